//! The metric `B` in which steps and gradients are measured.

use lisse_array::linalg::LinalgError;
use lisse_array::{Array, DType};

use crate::minimize::dot;

/// A symmetric positive definite matrix `B`: `|h| = <B h, h>^(1/2)` on steps, `|s|_* = <s, B^-1 s>^(1/2)` on gradients.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::gradient_normalized::Metric;
/// let metric = Metric::diagonal(&Array::from_slice(&[4.0f64, 1.0], &[2]))?;
/// let step = Array::from_slice(&[1.0f64, 0.0], &[2]);
/// assert_eq!(metric.norm(&step), 2.0);
/// assert_eq!(metric.dual_norm(&metric.apply(&step)), 2.0);
/// # Ok::<(), lisse_optim::gradient_normalized::MetricError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Metric(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    Identity,
    Diagonal(Array),
    Dense {
        matrix: Array,
        /// Lower Cholesky factor.
        factor: Array,
    },
}

/// A matrix that measures nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// A diagonal entry that is not a positive number.
    #[error("the metric's entry {index} is {value}; each must be a number above 0")]
    NotPositive {
        /// Where.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// Not a vector or matrix as asked for.
    #[error("the metric has shape {found:?}; {expected}")]
    Shape {
        /// What came.
        found: Vec<usize>,
        /// What would be right.
        expected: &'static str,
    },
    /// No Cholesky factor.
    #[error("the metric: {0}")]
    NotPositiveDefinite(#[from] LinalgError),
}

impl Metric {
    /// `B = I`.
    pub fn identity() -> Metric {
        Metric(Kind::Identity)
    }

    /// `B = diag(weights)`.
    ///
    /// # Errors
    /// If a weight is not a positive number.
    pub fn diagonal(weights: &Array) -> Result<Metric, MetricError> {
        if weights.rank() != 1 {
            let found = weights.shape().to_vec();
            return Err(MetricError::Shape { found, expected: "a diagonal is a vector" });
        }
        let bad = |v: f64| !(v > 0.0 && v.is_finite());
        match weights.to_f64_vec().into_iter().enumerate().find(|&(_, v)| bad(v)) {
            Some((index, value)) => Err(MetricError::NotPositive { index, value }),
            None => Ok(Metric(Kind::Diagonal(weights.clone()))),
        }
    }

    /// A full symmetric matrix; only its lower triangle is read.
    ///
    /// # Errors
    /// If it is not square or not positive definite.
    pub fn dense(matrix: &Array) -> Result<Metric, MetricError> {
        if matrix.rank() != 2 || matrix.dim(0) != matrix.dim(1) {
            let found = matrix.shape().to_vec();
            return Err(MetricError::Shape { found, expected: "a dense metric is square" });
        }
        let factor = matrix.cholesky()?;
        Ok(Metric(Kind::Dense { matrix: matrix.clone(), factor }))
    }

    /// `B = A^T A + shift I`: distances as the residuals `A x` see them. A small shift makes it definite where `A` lacks rank.
    ///
    /// # Errors
    /// If the result is not positive definite.
    pub fn normal(a: &Array, shift: f64) -> Result<Metric, MetricError> {
        if a.rank() != 2 {
            let found = a.shape().to_vec();
            return Err(MetricError::Shape { found, expected: "`A` of `A^T A` is a matrix" });
        }
        let eye = Array::eye(a.dim(1), a.dtype());
        Metric::dense(&a.t().matmul(a).add_scaled(shift, &eye))
    }

    /// Order of the matrix; `None` for the identity, which fits any.
    pub fn dim(&self) -> Option<usize> {
        match &self.0 {
            Kind::Identity => None,
            Kind::Diagonal(weights) => Some(weights.len()),
            Kind::Dense { matrix, .. } => Some(matrix.dim(0)),
        }
    }

    /// `B h`
    pub fn apply(&self, h: &Array) -> Array {
        match &self.0 {
            Kind::Identity => h.clone(),
            Kind::Diagonal(weights) => h * weights,
            Kind::Dense { matrix, .. } => matrix.matmul(h),
        }
    }

    /// `B^-1 s`
    pub fn solve(&self, s: &Array) -> Array {
        match &self.0 {
            Kind::Identity => s.clone(),
            Kind::Diagonal(weights) => s / weights,
            Kind::Dense { factor, .. } => factor.cholesky_solve(s),
        }
    }

    /// `B^-1` applied to each row of a matrix, as columns: `B^-1 R^T`.
    pub(super) fn solve_rows(&self, rows: &Array) -> Array {
        match &self.0 {
            Kind::Identity => rows.t(),
            Kind::Diagonal(weights) => (rows / weights).t(),
            Kind::Dense { factor, .. } => factor.cholesky_solve(&rows.t()),
        }
    }

    /// `|h|`, the length of a step.
    pub fn norm(&self, h: &Array) -> f64 {
        dot(h, &self.apply(h)).sqrt()
    }

    /// `|s|_*`, the length of a gradient.
    pub fn dual_norm(&self, s: &Array) -> f64 {
        dot(s, &self.solve(s)).sqrt()
    }

    pub(super) fn is_identity(&self) -> bool {
        matches!(self.0, Kind::Identity)
    }

    /// `H + lambda B`
    pub(super) fn damp(&self, hessian: &Array, lambda: f64) -> Array {
        let diagonal = |weights: &Array| eye_like(hessian) * weights;
        match &self.0 {
            Kind::Identity => hessian.add_scaled(lambda, &eye_like(hessian)),
            Kind::Diagonal(weights) => hessian.add_scaled(lambda, &diagonal(weights)),
            Kind::Dense { matrix, .. } => hessian.add_scaled(lambda, matrix),
        }
    }

    /// `T` and `S` with `T^T H T = S` diagonal and `T^T B T = I`, so that `(H + lambda B)^-1 = T (S + lambda)^-1 T^T`.
    pub(super) fn joint_eigen(&self, hessian: &Array) -> Result<(Array, Array), LinalgError> {
        match &self.0 {
            Kind::Identity => {
                let (values, vectors) = hessian.eigh()?;
                Ok((vectors, values))
            }
            Kind::Diagonal(weights) => {
                let scale = weights.sqrt().recip();
                let scaled = hessian * &scale * scale.unsqueeze(1);
                let (values, vectors) = scaled.eigh()?;
                Ok((vectors * scale.unsqueeze(1), values))
            }
            Kind::Dense { factor, .. } => {
                let half = factor.solve_triangular(hessian, false)?;
                let whole = factor.solve_triangular(&half.t(), false)?;
                let (values, vectors) = whole.eigh()?;
                Ok((factor.t().solve_triangular(&vectors, true)?, values))
            }
        }
    }
}

fn eye_like(matrix: &Array) -> Array {
    matrix.device().with(|| Array::eye(matrix.dim(0), DType::F64)).cast(matrix.dtype())
}

#[cfg(test)]
mod tests {
    use lisse_array::Stream;

    use super::*;

    #[test]
    fn norms_are_dual_and_metrics_agree_where_they_say_the_same() {
        let stream = Stream::new(3);
        let a = stream.child("a").normal(&[7, 4], DType::F64);
        let h = stream.child("h").normal(&[4], DType::F64);
        let s = stream.child("s").normal(&[4], DType::F64);
        let metric = Metric::normal(&a, 1e-3).unwrap();
        assert!((metric.dual_norm(&metric.apply(&h)) - metric.norm(&h)).abs() < 1e-12);
        // Cauchy-Schwarz between the two norms.
        assert!(dot(&s, &h).abs() <= metric.norm(&h) * metric.dual_norm(&s));
        let weights = Array::from_slice(&[1.0f64, 2.0, 0.5, 4.0], &[4]);
        let diagonal = Metric::diagonal(&weights).unwrap();
        let dense = Metric::dense(&(Array::eye(4, DType::F64) * &weights)).unwrap();
        assert!((diagonal.norm(&h) - dense.norm(&h)).abs() < 1e-13);
        assert!((diagonal.dual_norm(&s) - dense.dual_norm(&s)).abs() < 1e-13);
    }

    #[test]
    fn bad_metrics_are_named() {
        let message = |m: Result<Metric, MetricError>| m.unwrap_err().to_string();
        assert_eq!(
            message(Metric::diagonal(&Array::from_slice(&[1.0f64, 0.0], &[2]))),
            "the metric's entry 1 is 0; each must be a number above 0"
        );
        assert_eq!(
            message(Metric::dense(&Array::ones(&[2, 3], DType::F64))),
            "the metric has shape [2, 3]; a dense metric is square"
        );
        let indefinite = Array::from_slice(&[1.0f64, 0.0, 0.0, -1.0], &[2, 2]);
        assert!(message(Metric::dense(&indefinite)).contains("not positive definite"));
    }
}
