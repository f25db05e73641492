//! Triangular systems.

use faer::MatRef;
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};

use super::batch::{Batch, solve_each, with_real};
use super::{LinalgError, check_square, lower, upper, with_columns};
use crate::Array;
use crate::shape::Dims;

impl Array {
    /// `x` with `T x = b` for triangular `T` of shape `[..., n, n]`: upper triangular if `upper`, else lower. The other triangle
    /// is not read. `b` is `[n]` or `[..., n, k]`; leading axes broadcast. For the transposed system use `t.t()` and the other
    /// triangle. Differentiable to any order in both.
    ///
    /// # Errors
    /// [`Singular`](LinalgError::Singular) where a diagonal element is zero; [`NotFinite`](LinalgError::NotFinite).
    ///
    /// ```
    /// use lisse_array::Array;
    /// let t = Array::from_slice(&[2.0f64, 0.0, 1.0, 4.0], &[2, 2]);
    /// let b = Array::from_slice(&[2.0f64, 9.0], &[2]);
    /// assert_eq!(t.solve_triangular(&b, false)?.to_vec::<f64>(), [1.0, 2.0]);
    /// # Ok::<(), lisse_array::linalg::LinalgError>(())
    /// ```
    #[track_caller]
    pub fn solve_triangular(&self, b: &Array, upper: bool) -> Result<Array, LinalgError> {
        check_square("solve_triangular", self);
        with_real!(self.dtype(), T => check_diagonal(&Batch::<T>::new(self)))?;
        let rows = self.dim(-1);
        Ok(with_columns("solve_triangular", self, b, rows, |b| triangular(self, b, upper)))
    }
}

fn check_diagonal<T: super::Real>(batch: &Batch<T>) -> Result<(), LinalgError> {
    const OPERATION: &str = "solve_triangular";
    for i in 0..batch.count() {
        batch.check_finite(OPERATION, i)?;
        let matrix = batch.matrix(i);
        if let Some(pivot) = (0..batch.rows).find(|&k| matrix[(k, k)] == T::from_f64(0.0)) {
            return Err(LinalgError::Singular {
                operation: OPERATION,
                batch: batch.place(i),
                pivot,
            });
        }
    }
    Ok(())
}

/// Solves for columns. With `w` the solution of the transposed system for the cotangent, `b` gets `w` and `T` the triangle of
/// `-w x^T`.
pub(super) fn triangular(t: &Array, b: &Array, is_upper: bool) -> Array {
    let value = with_real!(t.dtype(), T => {
        let batch = Batch::<T>::new(t);
        solve_each::<T>("solve_triangular", &batch.lead, b, |i, x, par| {
            let matrix: MatRef<'_, T> = batch.matrix(i);
            if is_upper {
                solve_upper_triangular_in_place(matrix, x, par);
            } else {
                solve_lower_triangular_in_place(matrix, x, par);
            }
        })
    });
    let kept = value.clone();
    let (t1, t2) = (t.clone(), t.clone());
    let b_shape = Dims::from(b.shape());
    value.derive2(
        t,
        move |ct, out| {
            let w = triangular(&t1.t(), &ct, !is_upper);
            let outer = -w.matmul(&out.attach(&kept).t());
            let triangle = if is_upper { upper(&outer) } else { lower(&outer, 1.0) };
            triangle.unbroadcast(t1.shape())
        },
        b,
        move |ct, _| triangular(&t2.t(), &ct, !is_upper).unbroadcast(&b_shape),
    )
}
