//! A smooth maximum of affine functions.

use lisse_array::Array;

use super::{ProblemError, check_matrix, check_number, check_vector};
use crate::gradient_normalized::{Approximation, Curvature, CurvedProblem};

/// `f(x) = mu ln sum_i exp((<a_i, x> - b_i) / mu)` for rows `a_i` of `A: [m, n]`.
///
/// With `pi = softmax((A x - b) / mu)` the gradient is `A^T pi`, the Hessian `(A^T diag(pi) A - g g^T) / mu`, and weighted Gauss-Newton its
/// first term.
#[derive(Clone, Debug)]
pub struct LogSumExp {
    a: Array,
    b: Array,
    mu: f64,
}

impl LogSumExp {
    /// # Errors
    /// If shapes do not fit, an entry is not finite or `mu` is not above 0.
    pub fn new(a: Array, b: Array, mu: f64) -> Result<LogSumExp, ProblemError> {
        check_matrix("A", &a)?;
        check_vector("b", &b, a.dim(0))?;
        check_number("mu", mu, mu > 0.0, "a number above 0")?;
        Ok(LogSumExp { a, b, mu })
    }

    /// The same with `A - 1 g(0)^T` for `A`, which moves the minimizer to 0.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn centred(a: Array, b: Array, mu: f64) -> Result<LogSumExp, ProblemError> {
        let problem = LogSumExp::new(a, b, mu)?;
        let zero = problem.a.index(0, 0).zeros_like();
        let gradient = problem.value_and_grad(&zero).1;
        Ok(LogSumExp { a: &problem.a - gradient, ..problem })
    }

    /// `A`, with one row for each affine function.
    pub fn rows(&self) -> &Array {
        &self.a
    }

    fn arguments(&self, x: &Array) -> Array {
        (self.a.matmul(x) - &self.b) * (1.0 / self.mu)
    }
}

impl CurvedProblem for LogSumExp {
    fn dim(&self) -> usize {
        self.a.dim(1)
    }
    fn value(&self, x: &Array) -> f64 {
        self.mu * self.arguments(x).logsumexp_all().item()
    }
    fn value_and_grad(&self, x: &Array) -> (f64, Array) {
        let t = self.arguments(x);
        (self.mu * t.logsumexp_all().item(), self.a.t().matmul(&t.softmax(0)))
    }
    fn approximations(&self) -> &'static [Approximation] {
        &[Approximation::Exact, Approximation::WeightedGaussNewton]
    }
    fn curvature(&self, x: &Array, approximation: Approximation) -> Option<Curvature<'_>> {
        let pi = self.arguments(x).softmax(0);
        let rows = match approximation {
            // The covariance of the rows, in the form that cannot become indefinite by rounding.
            Approximation::Exact => &self.a - self.a.t().matmul(&pi),
            Approximation::WeightedGaussNewton => self.a.clone(),
            _ => return None,
        };
        Some(Curvature::Gram { rows, weights: pi * (1.0 / self.mu), ridge: 0.0 })
    }
}
