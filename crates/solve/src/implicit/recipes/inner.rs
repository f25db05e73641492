//! The problems whose penalty is tuned: their solvers, conditions and maps.

use lisse_array::{Array, DType};

use super::hyper::Problem;
use crate::implicit::{
    Condition, Derivative, FixedPoint, ImplicitError, Unroll, fixed_point, objectives,
    simplex_rows, soft_threshold, solve, solve_factored, unroll,
};
use crate::linear::{Factor, LinearError};

/// A problem with its data; the parameter is the logarithm of the penalty.
pub(super) struct Inner {
    problem: Problem,
    x: Array,
    y: Array,
    validation_x: Array,
    validation_y: Array,
    gram: Array,
    right: Array,
    /// Largest eigenvalue of `X^T X` (of `X^T X / n` for regressions).
    curvature: f64,
}

impl Inner {
    pub(super) fn new(
        problem: Problem,
        x: Array,
        y: Array,
        validation_x: Array,
        validation_y: Array,
    ) -> Inner {
        let scale = if problem == Problem::Svm { 1.0 } else { 1.0 / x.dim(0) as f64 };
        let gram = x.t().matmul(&x) * scale;
        let right = x.t().matmul(&y) * scale;
        // A bound from above keeps steps safe where the eigenvalues are out of reach.
        let bound = gram.abs().sum(&[1]).max_all().item();
        let curvature = gram.eigh().map_or(bound, |(values, _)| values.max_all().item());
        Inner { problem, x, y, validation_x, validation_y, gram, right, curvature }
    }

    /// The loss on validation data of the solution, differentiable in the logarithm of the penalty.
    pub(super) fn validation_loss(
        &self,
        log_penalty: &Array,
        derivative: &Derivative,
    ) -> Result<Array, ImplicitError> {
        let solution = match derivative {
            Derivative::Unroll(options) => self.unrolled(log_penalty, *options)?,
            Derivative::Implicit(implicit)
                if self.problem == Problem::Ridge
                    && implicit.linear.method != crate::linear::Method::Identity =>
            {
                let solver = |t: &Array| self.ridge(t.item());
                solve_factored(&self.condition(), solver, implicit, log_penalty)?
            }
            Derivative::Implicit(_) => {
                solve(&self.condition(), |t: &Array| self.fit(t.item()), derivative, log_penalty)?
            }
        };
        Ok(self.judge(&solution, log_penalty))
    }

    /// The validation loss without derivatives.
    pub(super) fn value(&self, log_penalty: f64) -> Result<f64, ImplicitError> {
        let solution = self.fit(log_penalty)?;
        Ok(self.judge(&solution, &Array::scalar(log_penalty)).item())
    }

    fn judge(&self, solution: &Array, log_penalty: &Array) -> Array {
        let weights = match self.problem {
            Problem::Svm => objectives::svm_weights(solution, &self.x, &self.y, &log_penalty.exp()),
            _ => solution.clone(),
        };
        objectives::least_squares(&weights, &self.validation_x, &self.validation_y)
    }

    fn fit(&self, log_penalty: f64) -> Result<Array, ImplicitError> {
        match self.problem {
            Problem::Ridge => {
                let failed = |error: LinearError| ImplicitError::Solver(error.into());
                Ok(self.ridge(log_penalty).map_err(failed)?.0)
            }
            Problem::Lasso => Ok(self.lasso(log_penalty.exp())),
            Problem::Svm => self.svm(log_penalty),
        }
    }

    /// The solution and the Cholesky factor that gave it.
    fn ridge(&self, log_penalty: f64) -> Result<(Array, Factor), LinearError> {
        let n = self.gram.dim(0);
        let matrix = &self.gram + Array::eye(n, DType::F64) * log_penalty.exp();
        let factor = Factor::cholesky(&matrix)?;
        let w = factor.solve(&self.right.to_vec::<f64>());
        Ok((Array::from_vec(w, &[n]), factor))
    }

    /// Cyclic coordinate descent on the Gram matrix, until nothing moves.
    fn lasso(&self, penalty: f64) -> Array {
        let n = self.gram.dim(0);
        let (gram, right) = (self.gram.to_vec::<f64>(), self.right.to_vec::<f64>());
        let mut w = vec![0.0f64; n];
        // Gradient of the smooth part without its constant: right - gram w, kept up to date.
        let mut rest = right;
        for _ in 0..100_000 {
            let mut moved: f64 = 0.0;
            for j in 0..n {
                let row = &gram[j * n..(j + 1) * n];
                let along = rest[j] + row[j] * w[j];
                let new = along.signum() * (along.abs() - penalty).max(0.0) / row[j];
                let change = new - w[j];
                if change != 0.0 {
                    rest.iter_mut().zip(row).for_each(|(r, g)| *r -= change * g);
                    w[j] = new;
                    moved = moved.max(change.abs());
                }
            }
            if moved < 1e-15 {
                break;
            }
        }
        Array::from_vec(w, &[n])
    }

    /// Accelerated projected gradient with restarts on the dual.
    fn svm(&self, log_penalty: f64) -> Result<Array, ImplicitError> {
        let theta = Array::scalar(log_penalty);
        let map = self.map();
        let classes = self.y.dim(1) as f64;
        let mut beta = self.y.full_like(1.0 / classes);
        let mut look = beta.clone();
        let mut momentum = 1.0f64;
        for _ in 0..2000 {
            let next = map(&look, &theta);
            let step = &next - &beta;
            // The momentum that points uphill is dropped.
            let uphill = ((&look - &next) * &step).sum_all().item() > 0.0;
            let after =
                if uphill { 1.0 } else { 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) };
            let factor = if uphill { 0.0 } else { (momentum - 1.0) / after };
            look = next.add_scaled(factor, &step);
            (beta, momentum) = (next, after);
            if step.abs().max_all().item() < 1e-13 {
                break;
            }
        }
        // Plain steps to the end: they say whether it is one.
        let options = FixedPoint { tolerance: 1e-11, max_iterations: 200_000 };
        Ok(fixed_point(|b: &Array, t: &Array| map(b, t), &beta, &theta, &options)?.0)
    }

    fn condition(&self) -> Condition<Array, Array> {
        match self.problem {
            Problem::Ridge => {
                let (x, y) = (self.x.clone(), self.y.clone());
                Condition::stationary(move |w: &Array, t: &Array| {
                    objectives::ridge(w, &x, &y, &t.exp())
                })
                .positive_definite()
            }
            Problem::Lasso | Problem::Svm => Condition::fixed_point(self.map()),
        }
    }

    /// A step of (proximal, projected) gradient descent.
    fn map(&self) -> impl Fn(&Array, &Array) -> Array + Send + Sync + 'static {
        let (problem, x, y) = (self.problem, self.x.clone(), self.y.clone());
        let (gram, right, curvature) = (self.gram.clone(), self.right.clone(), self.curvature);
        move |w: &Array, t: &Array| match problem {
            Problem::Ridge => {
                let gradient = gram.matmul(w) - &right + w * t.exp();
                w - gradient / (t.stop_gradient().exp() + curvature)
            }
            Problem::Lasso => {
                let step = 1.0 / curvature;
                let moved = w.add_scaled(-step, &(gram.matmul(w) - &right));
                soft_threshold(&moved, &(t.exp() * step))
            }
            Problem::Svm => {
                // Gradient of the dual, times its penalty: -X X^T (Y - beta) - penalty (1 - Y).
                let product = x.matmul(&x.t().matmul(&(&y - w)));
                let gradient = product.neg() - (1.0 - &y) * t.exp();
                simplex_rows(&w.add_scaled(-1.0 / curvature, &gradient))
            }
        }
    }

    fn unrolled(&self, log_penalty: &Array, options: Unroll) -> Result<Array, ImplicitError> {
        let start = match self.problem {
            Problem::Svm => self.y.full_like(1.0 / self.y.dim(1) as f64),
            _ => self.right.zeros_like(),
        };
        unroll(self.map(), &start, log_penalty, options.steps, options.checkpoint)
    }
}
