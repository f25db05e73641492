//! Orthogonal-triangular factors and least squares.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as apply_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as apply,
};
use faer::linalg::qr::no_pivoting::factor::{
    qr_in_place, qr_in_place_scratch, recommended_block_size,
};
use faer::{Conj, Mat, MatRef, Par};

use super::batch::{Batch, Real, each, gather, row_major, with_real};
use super::triangular::triangular;
use super::{LinalgError, check_matrix, lower, upper, with_columns};
use crate::tape::derive_joint;
use crate::{Array, Element};

impl Array {
    /// `(Q, R)` with `A = Q R` for `A` of shape `[..., m, n]`: with `k = min(m, n)`, `Q` of shape `[..., m, k]` has orthonormal
    /// columns and `R` of shape `[..., k, n]` is upper triangular with a diagonal that is not negative, which makes them unique for
    /// a matrix of full rank.
    ///
    /// Where `R` has a zero on its diagonal there is no derivative: it comes out infinite or NaN.
    ///
    /// # Errors
    /// [`NotFinite`](LinalgError::NotFinite).
    #[track_caller]
    pub fn qr(&self) -> Result<(Array, Array), LinalgError> {
        check_matrix("qr", self);
        let (m, n) = (self.dim(-2), self.dim(-1));
        if m >= n {
            return tall(self);
        }
        // A = [X Y]: X = Q U, R = [U, Q^T Y].
        let (q, u) = tall(&self.narrow(-1, 0, m))?;
        let rest = self.narrow(-1, m, n - m);
        if !rest.all_finite() {
            return Err(LinalgError::NotFinite { operation: "qr", batch: None });
        }
        let r = Array::cat(&[&u, &q.t().matmul(&rest)], -1);
        Ok((q, r))
    }

    /// The `x` that minimises `|A x - b|`, for `A` of shape `[..., m, n]` of full rank and `b` of shape `[m]` or `[..., m, k]`; if
    /// there are fewer equations than unknowns, the solution of smallest norm. Differentiable to any order in both. By `A = Q R`,
    /// `x = R^{-1} Q^T b`, or by `A^T = Q R`, `x = Q R^{-T} b`.
    ///
    /// # Errors
    /// [`RankDeficient`](LinalgError::RankDeficient) where an element of `R`'s diagonal is below `max(m, n) eps` times its
    /// largest; [`NotFinite`](LinalgError::NotFinite).
    ///
    /// ```
    /// use lisse_array::Array;
    /// let a = Array::from_slice(&[1.0f64, 0.0, 1.0, 1.0, 1.0, 2.0], &[3, 2]); // a line through three points
    /// let b = Array::from_slice(&[1.0f64, 3.0, 5.0], &[3]);
    /// let x = a.lstsq(&b)?.to_vec::<f64>();
    /// assert!((x[0] - 1.0).abs() < 1e-14 && (x[1] - 2.0).abs() < 1e-14);
    /// # Ok::<(), lisse_array::linalg::LinalgError>(())
    /// ```
    #[track_caller]
    pub fn lstsq(&self, b: &Array) -> Result<Array, LinalgError> {
        check_matrix("lstsq", self);
        let (m, n) = (self.dim(-2), self.dim(-1));
        let (q, r) = if m >= n { self.qr()? } else { self.t().qr()? };
        with_real!(self.dtype(), T => check_rank(&Batch::<T>::new(&r), m, n))?;
        Ok(with_columns("lstsq", self, b, m, |b| {
            if m >= n {
                triangular(&r, &q.t().matmul(b), true)
            } else {
                q.matmul(&triangular(&r.t(), b, false))
            }
        }))
    }
}

/// The factors of a matrix with at least as many rows as columns, with the derivative
/// `(ctQ + Q copyltu(R ctR^T - ctQ^T Q)) R^{-T}`, where `copyltu` mirrors the lower triangle.
fn tall(a: &Array) -> Result<(Array, Array), LinalgError> {
    let (m, n) = (a.dim(-2), a.dim(-1));
    let (q, r) = with_real!(a.dtype(), T => {
        let batch = Batch::<T>::new(a);
        let factors = each(batch.count(), m, |i, par| {
            batch.check_finite("qr", i)?;
            Ok(factor(batch.matrix(i), par))
        })?;
        let (q, r): (Vec<_>, Vec<_>) = factors.into_iter().unzip();
        (gather(&q, &batch.lead, &[m, n], a), gather(&r, &batch.lead, &[n, n], a))
    });
    let mut outputs = derive_joint(vec![q, r], &[a], |cts, _, outputs| {
        let (q, r) = (outputs.get(0), outputs.get(1));
        let from_r = cts[1].as_ref().map(|ct| r.matmul(&upper(ct).t()));
        let from_q = cts[0].as_ref().map(|ct| -ct.t().matmul(&q));
        let Some(m) = sum(from_r, from_q) else { return vec![None] };
        let strict = lower(&m, 0.0);
        let mirrored = strict.t() + lower(&m, 1.0);
        let right = sum(cts[0].clone(), Some(q.matmul(&mirrored))).expect("one term is there");
        vec![Some(triangular(&r, &right.t(), true).t())]
    });
    let r = outputs.pop().expect("two outputs");
    let q = outputs.pop().expect("two outputs");
    Ok((q, r))
}

/// The sum of the terms that are there.
pub(super) fn sum(a: Option<Array>, b: Option<Array>) -> Option<Array> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

fn factor<T: Real>(matrix: MatRef<'_, T>, par: Par) -> (Vec<T>, Vec<T>) {
    let (m, n) = matrix.shape();
    if n == 0 {
        return (Vec::new(), Vec::new());
    }
    let block = recommended_block_size::<T>(m, n);
    let mut qr = matrix.to_owned();
    let mut coefficients = Mat::<T>::zeros(block, n);
    let mut memory = MemBuffer::new(qr_in_place_scratch::<T>(m, n, block, par, Default::default()));
    qr_in_place(
        qr.as_mut(),
        coefficients.as_mut(),
        par,
        MemStack::new(&mut memory),
        Default::default(),
    );
    let mut q = Mat::<T>::identity(m, n);
    let mut memory = MemBuffer::new(apply_scratch::<T>(m, block, n));
    apply(
        qr.as_ref(),
        coefficients.as_ref(),
        Conj::No,
        q.as_mut(),
        par,
        MemStack::new(&mut memory),
    );
    let zero = T::from_f64(0.0);
    let sign = |i: usize| T::from_f64(if qr[(i, i)] < zero { -1.0 } else { 1.0 });
    let q = Mat::from_fn(m, n, |i, j| q[(i, j)] * sign(j));
    let r = Mat::from_fn(n, n, |i, j| if i <= j { qr[(i, j)] * sign(i) } else { zero });
    (row_major(q.as_ref()), row_major(r.as_ref()))
}

fn check_rank<T: Real>(r: &Batch<T>, rows: usize, columns: usize) -> Result<(), LinalgError> {
    let relative = rows.max(columns) as f64 * Element::to_f64(T::EPSILON);
    for i in 0..r.count() {
        let matrix = r.matrix(i);
        let size = |k: usize| Element::to_f64(matrix[(k, k)]).abs();
        let largest = (0..r.rows).map(size).fold(0.0, f64::max);
        if let Some(pivot) = (0..r.rows).find(|&k| size(k) <= relative * largest) {
            let batch = r.place(i);
            return Err(LinalgError::RankDeficient {
                operation: "lstsq",
                batch,
                rows,
                columns,
                pivot,
            });
        }
    }
    Ok(())
}
