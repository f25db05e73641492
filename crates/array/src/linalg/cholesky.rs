//! Cholesky factors.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltError, cholesky_in_place, cholesky_in_place_scratch};
use faer::{Mat, Par};

use super::batch::{Batch, Real, each, gather, row_major, with_real};
use super::triangular::triangular;
use super::{LinalgError, check_square, lower, symmetric, with_columns};
use crate::Array;

impl Array {
    /// The lower triangular `L` with positive diagonal and `A = L L^T`, for symmetric positive definite `A` of shape
    /// `[..., n, n]`.
    ///
    /// Only the lower triangle of `A` is read; the upper one is taken to be its mirror image. The derivative is that along
    /// symmetric directions: it comes out symmetric, half of an off-diagonal pair's derivative in each place.
    ///
    /// # Errors
    /// [`NotPositiveDefinite`](LinalgError::NotPositiveDefinite) with the pivot; [`NotFinite`](LinalgError::NotFinite).
    ///
    /// ```
    /// use lisse_array::Array;
    /// let a = Array::from_slice(&[4.0f64, 2.0, 2.0, 10.0], &[2, 2]);
    /// assert_eq!(a.cholesky()?.to_vec::<f64>(), [2.0, 0.0, 1.0, 3.0]);
    /// # Ok::<(), lisse_array::linalg::LinalgError>(())
    /// ```
    #[track_caller]
    pub fn cholesky(&self) -> Result<Array, LinalgError> {
        check_square("cholesky", self);
        let value = with_real!(self.dtype(), T => {
            let batch = Batch::<T>::new(self);
            let n = batch.rows;
            let parts = each(batch.count(), n, |i, par| factor(&batch, i, par))?;
            gather(&parts, &batch.lead, &[n, n], self)
        });
        let kept = value.clone();
        // With Phi the lower triangle with halved diagonal: sym(L^{-T} Phi(L^T ct) L^{-1}).
        Ok(value.derive(self, move |ct, out| {
            let l = out.attach(&kept);
            let middle = lower(&l.t().matmul(&lower(&ct, 1.0)), 0.5);
            let left = triangular(&l.t(), &middle, true);
            symmetric(triangular(&l.t(), &left.t(), true))
        }))
    }

    /// `x` with `L L^T x = b`, for a Cholesky factor `L` of shape `[..., n, n]`; `b` is `[n]` or `[..., n, k]`, leading axes
    /// broadcast. Differentiable to any order in both.
    #[track_caller]
    pub fn cholesky_solve(&self, b: &Array) -> Array {
        check_square("cholesky_solve", self);
        with_columns("cholesky_solve", self, b, self.dim(-1), |b| {
            triangular(&self.t(), &triangular(self, b, false), true)
        })
    }
}

fn factor<T: Real>(batch: &Batch<T>, i: usize, par: Par) -> Result<Vec<T>, LinalgError> {
    const OPERATION: &str = "cholesky";
    let n = batch.rows;
    let matrix = batch.matrix(i);
    let mut l = Mat::<T>::zeros(n, n);
    l.copy_from_triangular_lower(matrix);
    super::check_finite(OPERATION, &row_major(l.as_ref()), batch.place(i))?;
    let mut memory = MemBuffer::new(cholesky_in_place_scratch::<T>(n, par, Default::default()));
    cholesky_in_place(
        l.as_mut(),
        Default::default(),
        par,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|LltError::NonPositivePivot { index }| LinalgError::NotPositiveDefinite {
        operation: OPERATION,
        batch: batch.place(i),
        pivot: index,
    })?;
    let mut values = row_major(l.as_ref());
    for row in 0..n {
        values[row * n + row + 1..(row + 1) * n].fill(T::from_f64(0.0));
    }
    Ok(values)
}
