//! Eigenvalues and vectors of symmetric matrices.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, Par};

use super::batch::{Batch, Real, each, gather, row_major, with_real};
use super::qr::sum;
use super::{LinalgError, check_square, constant, symmetric};
use crate::tape::derive_joint;
use crate::{Array, Element};

impl Array {
    /// `(w, V)` with `A = V diag(w) V^T` for symmetric `A` of shape `[..., n, n]`: eigenvalues `w` of shape `[..., n]`, ascending,
    /// and orthonormal eigenvectors in the columns of `V`, each with its largest component positive.
    ///
    /// Only the lower triangle of `A` is read, and the derivative is that along symmetric directions, as for
    /// [`cholesky`](Self::cholesky).
    ///
    /// The first derivative of the eigenvalues alone always exists here (of a repeated one, along the vectors that were found).
    /// Derivatives of vectors, and higher ones of values, divide by the gaps between eigenvalues. Where eigenvalues repeat there is
    /// no derivative and the result is infinite or NaN; where they nearly do, it loses the digits that the gap has lost.
    /// [`matrix_exp`](Self::matrix_exp), [`solve`](Self::solve) and [`cholesky`](Self::cholesky) have no such restriction.
    ///
    /// # Errors
    /// [`NotFinite`](LinalgError::NotFinite), [`NoConvergence`](LinalgError::NoConvergence).
    ///
    /// ```
    /// use lisse_array::Array;
    /// let a = Array::from_slice(&[2.0f64, 1.0, 1.0, 2.0], &[2, 2]);
    /// let (w, v) = a.eigh()?;
    /// assert!((w.to_vec::<f64>()[1] - 3.0).abs() < 1e-14);
    /// assert!((v.matmul(&w.unsqueeze(-1)).sum_all().item() - 3.0 * 2f64.sqrt()).abs() < 1e-14);
    /// # Ok::<(), lisse_array::linalg::LinalgError>(())
    /// ```
    #[track_caller]
    pub fn eigh(&self) -> Result<(Array, Array), LinalgError> {
        check_square("eigh", self);
        let n = self.dim(-1);
        let (values, vectors) = with_real!(self.dtype(), T => {
            let batch = Batch::<T>::new(self);
            let pairs = each(batch.count(), n, |i, par| decompose(&batch, i, par))?;
            let (w, v): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            (gather(&w, &batch.lead, &[n], self), gather(&v, &batch.lead, &[n, n], self))
        });
        // V (diag(ct_w) + F o (V^T ct_V)) V^T with F_ij = 1 / (w_j - w_i) off the diagonal.
        let mut outputs = derive_joint(vec![values, vectors], &[self], |cts, _, outputs| {
            let v = outputs.get(1);
            let from_values = cts[0].as_ref().map(|ct| &v * ct.unsqueeze(-2));
            let from_vectors = cts[1].as_ref().map(|ct| {
                let gaps = inverse_gaps(&outputs.get(0));
                v.matmul(&(gaps * v.t().matmul(ct)))
            });
            let left = sum(from_values, from_vectors);
            vec![left.map(|left| symmetric(left.matmul(&v.t())))]
        });
        let vectors = outputs.pop().expect("two outputs");
        let values = outputs.pop().expect("two outputs");
        Ok((values, vectors))
    }
}

/// `1 / (x_j - x_i)` off the diagonal and zero on it, for `x` of shape `[..., n]`. Infinite where values repeat.
pub(super) fn inverse_gaps(x: &Array) -> Array {
    let n = x.dim(-1);
    let diagonal = constant(x, n, n, |i, j| f64::from(u8::from(i == j)));
    let gaps = x.unsqueeze(-2) - x.unsqueeze(-1) + &diagonal;
    (1.0 - diagonal) / gaps
}

fn decompose<T: Real>(
    batch: &Batch<T>,
    i: usize,
    par: Par,
) -> Result<(Vec<T>, Vec<T>), LinalgError> {
    const OPERATION: &str = "eigh";
    let n = batch.rows;
    if n == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut matrix = Mat::<T>::zeros(n, n);
    matrix.copy_from_triangular_lower(batch.matrix(i));
    super::check_finite(OPERATION, &row_major(matrix.as_ref()), batch.place(i))?;
    let mut values = Diag::<T>::zeros(n);
    let mut vectors = Mat::<T>::zeros(n, n);
    let scratch =
        self_adjoint_evd_scratch::<T>(n, ComputeEigenvectors::Yes, par, Default::default());
    self_adjoint_evd(
        matrix.as_ref(),
        values.as_mut(),
        Some(vectors.as_mut()),
        par,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| LinalgError::NoConvergence { operation: OPERATION, batch: batch.place(i) })?;
    let signs = column_signs(&vectors);
    let vectors = Mat::from_fn(n, n, |i, j| vectors[(i, j)] * signs[j]);
    let values = values.column_vector().iter().copied().collect();
    Ok((values, row_major(vectors.as_ref())))
}

/// For each column, the sign of its component that is largest in absolute value (the first of equals).
pub(super) fn column_signs<T: Real>(matrix: &Mat<T>) -> Vec<T> {
    let sign = |j: usize| {
        let column = (0..matrix.nrows()).map(|i| Element::to_f64(matrix[(i, j)]));
        let largest = column.fold(0.0, |l: f64, v| if v.abs() > l.abs() { v } else { l });
        T::from_f64(if largest < 0.0 { -1.0 } else { 1.0 })
    };
    (0..matrix.ncols()).map(sign).collect()
}
