//! Singular values and the pseudo-inverse.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Mat, Par};

use super::batch::{Batch, Real, each, gather, row_major, with_real};
use super::eigh::{column_signs, inverse_gaps};
use super::qr::sum;
use super::{LinalgError, check_matrix};
use crate::tape::derive_joint;
use crate::{Array, Element};

impl Array {
    /// `(U, s, V^T)` with `A = U diag(s) V^T` for `A` of shape `[..., m, n]`: with `k = min(m, n)`, `U` `[..., m, k]` and `V^T`
    /// `[..., k, n]` have orthonormal columns and rows, `s` `[..., k]` is descending. Each column of `U` has its largest component
    /// positive.
    ///
    /// The first derivative of the singular values alone always exists here (of a repeated one, along the vectors that were
    /// found). Derivatives of vectors, and higher ones of values, divide by differences of squared singular values and, unless `A`
    /// is square, by singular values: where two are equal or one is zero the result is infinite or NaN, and near there it loses
    /// digits. [`pinv`](Self::pinv) has its own rule without that restriction.
    ///
    /// # Errors
    /// [`NotFinite`](LinalgError::NotFinite), [`NoConvergence`](LinalgError::NoConvergence).
    #[track_caller]
    pub fn svd(&self) -> Result<(Array, Array, Array), LinalgError> {
        check_matrix("svd", self);
        let (m, n) = (self.dim(-2), self.dim(-1));
        let k = m.min(n);
        let parts = with_real!(self.dtype(), T => {
            let batch = Batch::<T>::new(self);
            let parts = each(batch.count(), m.max(n), |i, par| decompose(&batch, i, par))?;
            let mut columns = (Vec::new(), Vec::new(), Vec::new());
            for (u, s, vt) in parts {
                columns.0.push(u);
                columns.1.push(s);
                columns.2.push(vt);
            }
            vec![
                gather(&columns.0, &batch.lead, &[m, k], self),
                gather(&columns.1, &batch.lead, &[k], self),
                gather(&columns.2, &batch.lead, &[k, n], self),
            ]
        });
        let outputs = derive_joint(parts, &[self], |cts, _, outputs| {
            let (u, s, vt) = (outputs.get(0), outputs.get(1), outputs.get(2));
            vec![pullback(cts, &u, &s, &vt)]
        });
        let [u, s, vt] = <[Array; 3]>::try_from(outputs).expect("three outputs");
        Ok((u, s, vt))
    }

    /// The pseudo-inverse `A^+` of shape `[..., n, m]`, for `A` of shape `[..., m, n]` of any rank: singular values up to
    /// `tolerance` times the largest count as zero (`None`: `max(m, n)` times the dtype's epsilon). `A^+ b` is the smallest of the
    /// `x` that minimise `|A x - b|`.
    ///
    /// The derivative (Golub and Pereyra) is that along directions which keep the rank; there is none across a change of rank.
    ///
    /// # Errors
    /// As [`svd`](Self::svd).
    #[track_caller]
    pub fn pinv(&self, tolerance: Option<f64>) -> Result<Array, LinalgError> {
        check_matrix("pinv", self);
        let (u, s, vt) = self.stop_gradient().svd()?;
        let epsilon = with_real!(self.dtype(), T => Element::to_f64(<T as Real>::EPSILON));
        let relative = tolerance.unwrap_or(self.dim(-2).max(self.dim(-1)) as f64 * epsilon);
        let kept = if s.is_empty() {
            s.clone()
        } else {
            s.greater(&(s.max_keep(&[-1]) * relative)).cast(s.dtype())
        };
        // Dropped values become one before the division.
        let inverse = &kept / (&s * &kept + (1.0 - &kept));
        let value = (vt.t() * inverse.unsqueeze(-2)).matmul(&u.t());
        let (value_kept, a) = (value.clone(), self.clone());
        Ok(value.derive(self, move |ct, out| {
            let p = out.attach(&value_kept);
            let (pt, ctt) = (p.t(), ct.t());
            let first = pt.matmul(&ct).matmul(&pt);
            // (I - A P) G^T P P^T and P^T P G^T (I - P A)
            let right = ctt.matmul(&p).matmul(&pt);
            let second = &right - a.matmul(&p.matmul(&right));
            let left = pt.matmul(&p).matmul(&ctt);
            let third = &left - left.matmul(&p).matmul(&a);
            second + third - first
        }))
    }
}

/// With `F_ij = 1 / (s_j^2 - s_i^2)` off the diagonal, `Ju = F o (U^T ctU - ctU^T U)` and `Jv` alike:
/// `U (Ju S + S Jv + diag(ct_s)) V^T + (I - U U^T) ctU S^{-1} V^T + U S^{-1} ctV^T (I - V V^T)`.
fn pullback(cts: &[Option<Array>], u: &Array, s: &Array, vt: &Array) -> Option<Array> {
    let (row, column) = (s.unsqueeze(-2), s.unsqueeze(-1));
    let k = s.dim(-1);
    let turn = |basis_t_ct: Array| inverse_gaps(&s.square()) * (&basis_t_ct - basis_t_ct.t());
    let mut total = cts[1].as_ref().map(|ct| (u * ct.unsqueeze(-2)).matmul(vt));
    if let Some(ct) = &cts[0] {
        let inside = u.matmul(&(turn(u.t().matmul(ct)) * &row)).matmul(vt);
        total = sum(total, Some(inside));
        if u.dim(-2) > k {
            let outside = ct - u.matmul(&u.t().matmul(ct));
            total = sum(total, Some((outside / &row).matmul(vt)));
        }
    }
    if let Some(ct) = &cts[2] {
        let inside = u.matmul(&(&column * turn(vt.matmul(&ct.t())))).matmul(vt);
        total = sum(total, Some(inside));
        if vt.dim(-1) > k {
            let outside = ct - ct.matmul(&vt.t()).matmul(vt);
            total = sum(total, Some(u.matmul(&(outside / &column))));
        }
    }
    total
}

type Parts<T> = (Vec<T>, Vec<T>, Vec<T>);

fn decompose<T: Real>(batch: &Batch<T>, i: usize, par: Par) -> Result<Parts<T>, LinalgError> {
    const OPERATION: &str = "svd";
    batch.check_finite(OPERATION, i)?;
    let (m, n) = (batch.rows, batch.columns);
    let k = m.min(n);
    if k == 0 {
        return Ok(Parts::default());
    }
    let mut u = Mat::<T>::zeros(m, k);
    let mut v = Mat::<T>::zeros(n, k);
    let mut s = Diag::<T>::zeros(k);
    let thin = ComputeSvdVectors::Thin;
    let scratch = svd_scratch::<T>(m, n, thin, thin, par, Default::default());
    svd(
        batch.matrix(i),
        s.as_mut(),
        Some(u.as_mut()),
        Some(v.as_mut()),
        par,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| LinalgError::NoConvergence { operation: OPERATION, batch: batch.place(i) })?;
    let signs = column_signs(&u);
    let u = Mat::from_fn(m, k, |i, j| u[(i, j)] * signs[j]);
    let vt = Mat::from_fn(k, n, |i, j| v[(j, i)] * signs[i]);
    let s = s.column_vector().iter().copied().collect();
    Ok((row_major(u.as_ref()), s, row_major(vt.as_ref())))
}
