//! The matrix exponential.

use super::{LinalgError, check_square, constant};
use crate::Array;

/// Coefficients of the diagonal Padé approximant of degree 13 to `e^x`.
const PADE: [f64; 14] = [
    64764752532480000.0,
    32382376266240000.0,
    7771770303897600.0,
    1187353796428800.0,
    129060195264000.0,
    10559470521600.0,
    670442572800.0,
    33522128640.0,
    1323241920.0,
    40840800.0,
    960960.0,
    16380.0,
    182.0,
    1.0,
];

/// 1-norm up to which the approximant of degree 13 is exact to f64.
const REACH: f64 = 5.371920351148152;

impl Array {
    /// `e^A = sum_k A^k / k!` of square matrices `[..., n, n]`, by scaling and squaring (Higham, The scaling and squaring method for
    /// the matrix exponential revisited, 2005). One scaling serves the whole batch. Differentiable to any order.
    ///
    /// # Errors
    /// [`NotFinite`](LinalgError::NotFinite).
    ///
    /// ```
    /// use lisse_array::Array;
    /// let turn = Array::from_slice(&[0.0f64, -1.0, 1.0, 0.0], &[2, 2]) * std::f64::consts::FRAC_PI_2;
    /// let quarter = turn.matrix_exp()?.to_vec::<f64>();
    /// assert!((quarter[1] + 1.0).abs() < 1e-14 && quarter[0].abs() < 1e-14);
    /// # Ok::<(), lisse_array::linalg::LinalgError>(())
    /// ```
    #[track_caller]
    pub fn matrix_exp(&self) -> Result<Array, LinalgError> {
        check_square("matrix_exp", self);
        if !self.all_finite() {
            return Err(LinalgError::NotFinite { operation: "matrix_exp", batch: None });
        }
        if self.is_empty() {
            return Ok(self.clone());
        }
        let norm = self.stop_gradient().abs().sum(&[-2]).max_all().item();
        let squarings = (norm / REACH).log2().ceil().max(0.0) as i32;
        let mut result = pade(&(self * 0.5f64.powi(squarings)))?;
        for _ in 0..squarings {
            result = result.matmul(&result);
        }
        Ok(result)
    }
}

/// `(V - U)^{-1} (V + U)` with the odd part `U` and the even part `V` of the approximant's numerator.
fn pade(a: &Array) -> Result<Array, LinalgError> {
    let n = a.dim(-1);
    let identity = constant(a, n, n, |i, j| f64::from(u8::from(i == j)));
    let a2 = a.matmul(a);
    let a4 = a2.matmul(&a2);
    let a6 = a4.matmul(&a2);
    // A polynomial in A^2 with the coefficients b[first], b[first + 2], ...
    let polynomial = |first: usize| {
        let b = |k: usize| PADE[first + 2 * k];
        let high = &a6 * b(6) + &a4 * b(5) + &a2 * b(4);
        a6.matmul(&high) + &a6 * b(3) + &a4 * b(2) + &a2 * b(1) + &identity * b(0)
    };
    let u = a.matmul(&polynomial(1));
    let v = polynomial(0);
    (&v - &u).solve(&(v + u))
}
