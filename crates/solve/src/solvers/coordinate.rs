//! Block coordinate descent for functions of linear predictions.

use std::sync::Arc;

use lisse_array::{Array, grad};

use super::derivative::{Function, Parameters, Solver};
use super::trace::{Trace, check_returned, check_scalar, check_start};
use super::{Limits, Solution, SolverError};
use crate::implicit::Condition;

type RowOperator<T> =
    Arc<dyn Fn(&Array, &T, &Array, std::ops::Range<usize>) -> Array + Send + Sync>;
type Design<T> = Arc<dyn Fn(&T) -> Array + Send + Sync>;

/// `min_x h(A x, theta) + sum_j g_j(x_j, theta)` over the rows `x_j` of `x` (`[blocks, width]`), for `A` of shape `[n, blocks]`: one row after
/// another takes a proximal gradient step of length `1 / (curvature |a_j|^2)`, with `a_j` the columns of `A`. The predictions `A x` are kept up
/// to date, so that a sweep costs as much as one gradient, plus `blocks` gradients of `h`.
///
/// The error is the largest `|change of x_j| / step_j` of a sweep. The implicit derivative is that of the proximal gradient fixed point of all
/// rows at once.
#[derive(Clone)]
pub struct BlockCoordinateDescent<T> {
    design: Design<T>,
    loss: Function<T>,
    prox: RowOperator<T>,
    /// Upper bound of the second derivative of `h` in one prediction: `1 / n` for `|A x - y|^2 / (2 n)`.
    pub curvature: f64,
    /// When to end; an iteration is a sweep over all rows.
    pub limits: Limits,
}

impl<T: Parameters> BlockCoordinateDescent<T> {
    /// `design(theta)` is `A`; `loss(predictions, theta)` is `h` for predictions `[n, width]`; `prox(rows, theta, steps, range)` applies the
    /// proximal operators of `steps_j g_j` (`steps`: `[rows, 1]`) to the rows with numbers `range`.
    pub fn new(
        design: impl Fn(&T) -> Array + Send + Sync + 'static,
        loss: impl Fn(&Array, &T) -> Array + Send + Sync + 'static,
        prox: impl Fn(&Array, &T, &Array, std::ops::Range<usize>) -> Array + Send + Sync + 'static,
        curvature: f64,
    ) -> Self {
        BlockCoordinateDescent {
            design: Arc::new(design),
            loss: Arc::new(loss),
            prox: Arc::new(prox),
            curvature,
            limits: Limits { max_iterations: 2000, ..Limits::default() },
        }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, tolerance: f64, max_iterations: usize) -> Self {
        self.limits = Limits::new(tolerance, max_iterations);
        self
    }

    fn check(&self, start: &Array, theta: &T) -> Result<Array, SolverError> {
        self.limits.check()?;
        let sound = self.curvature > 0.0 && self.curvature.is_finite();
        SolverError::check("the curvature", self.curvature, sound, "a finite number above 0")?;
        check_start(start)?;
        let found = start.shape().to_vec();
        if found.len() != 2 {
            let expected = "two axes: blocks and their width".into();
            return Err(SolverError::Shape { argument: "the start", expected, found });
        }
        let design = (self.design)(theta);
        let fits = design.rank() == 2 && design.shape()[1] == found[0];
        if !fits {
            let expected = format!("two axes, the second as long as the {} blocks", found[0]);
            let found = design.shape().to_vec();
            return Err(SolverError::Shape { argument: "the design", expected, found });
        }
        check_scalar(&(self.loss)(&design.matmul(start), theta))?;
        Ok(design)
    }
}

impl<T: Parameters> Solver<T> for BlockCoordinateDescent<T> {
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError> {
        let design = self.check(start, theta)?;
        let blocks = start.shape()[0];
        // Rows of the transpose: each column of A in one piece.
        let columns: Vec<Array> = {
            let transposed = design.t() + 0.0;
            (0..blocks).map(|j| transposed.narrow(0, j, 1).reshape(&[-1, 1])).collect()
        };
        let curvatures: Vec<f64> = columns
            .iter()
            .map(|a| self.curvature * a.stop_gradient().square().sum_all().item())
            .collect();
        let mut rows: Vec<Array> = (0..blocks).map(|j| start.narrow(0, j, 1)).collect();
        let joined = |rows: &[Array]| Array::cat(&rows.iter().collect::<Vec<_>>(), 0);
        let mut predictions = design.matmul(start);
        let mut trace = Trace::new(self.limits);
        loop {
            let mut error = 0.0f64;
            for j in 0..blocks {
                let slope = grad(|p: &Array| (self.loss)(p, theta))(&predictions);
                // A column of zeros: any step is an exact one.
                let step = if curvatures[j] > 0.0 { 1.0 / curvatures[j] } else { 1.0 };
                let gradient = columns[j].t().matmul(&slope);
                let steps = Array::full(&[1, 1], step, start.dtype());
                let moved =
                    (self.prox)(&rows[j].add_scaled(-step, &gradient), theta, &steps, j..j + 1);
                check_returned("the proximal operator", &moved, rows[j].shape())?;
                let change = &moved - &rows[j];
                let size = change.stop_gradient().abs().max_all().item();
                error = if size.is_nan() { size } else { error.max(size / step) };
                if size > 0.0 {
                    predictions = predictions + columns[j].matmul(&change);
                    rows[j] = moved;
                }
                if error.is_nan() {
                    break;
                }
            }
            trace.counts.gradients += 1;
            trace.counts.proximal += 1;
            if let Some(stop) = trace.record(error) {
                return Ok(trace.end(joined(&rows), stop, error));
            }
        }
    }

    fn condition(&self) -> Condition<Array, T> {
        let (design, loss, prox) = (self.design.clone(), self.loss.clone(), self.prox.clone());
        Condition::fixed_point(move |x: &Array, theta: &T| {
            let a = design(theta);
            let slope = grad(|p: &Array| loss(p, theta))(&a.matmul(x));
            let steps = Array::ones(&[x.shape()[0], 1], x.dtype());
            prox(&(x - a.t().matmul(&slope)), theta, &steps, 0..x.shape()[0])
        })
    }
}
