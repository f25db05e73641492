//! Penalty on the gradient's norm.

use lisse_array::Tree;
use serde::{Deserialize, Serialize};

use super::{Smoothed, Smoother, gradient_difference, step_with, unit};
use crate::config::{OutOfRange, fail};
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};

/// Gradient penalty around any optimizer: it minimises `f(x) + lambda |grad f(x)|`.
///
/// The penalty's gradient is `lambda H u` with `u = grad f / |grad f|` and `H` the Hessian: one exact Hessian-vector product, or
/// with `differences = h` the central difference `lambda (grad f(x + h u) - grad f(x - h u)) / (2 h)`, whose error is `O(h^2)`.
/// SAM is its first-order form: `f(x + rho u) = f(x) + rho |grad f(x)| + O(rho^2)`.
///
/// The reported loss is `f` without the penalty; `gradient_penalty` is the penalty, `gradient_penalty_slope` its gradient's norm.
///
/// Reference: Zhao, Zhang & Hu, "Penalizing gradient norm for efficiently improving generalization in deep learning", ICML 2022.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientPenalty<O> {
    /// Weight of the penalty; 0 gives the inner optimizer exactly.
    pub lambda: f64,
    /// Distance of the central differences; the exact product if `None`. From 1e-3 to 1e-2 suits f32.
    pub differences: Option<f64>,
    /// The optimizer.
    pub inner: O,
}

impl<O> GradientPenalty<O> {
    /// The penalty by exact products.
    pub fn new(lambda: f64, inner: O) -> GradientPenalty<O> {
        GradientPenalty { lambda, differences: None, inner }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        if !(self.lambda >= 0.0 && self.lambda.is_finite()) {
            return fail("lambda", "a number of at least 0");
        }
        if !self.differences.is_none_or(|h| h > 0.0 && h.is_finite()) {
            return fail("differences", "a distance above 0, or nothing for exact products");
        }
        Ok(())
    }

    /// `H u`.
    fn product<P: Tree>(&self, oracle: &mut dyn Oracle<P>, x: &P, u: &P) -> P {
        let Some(h) = self.differences else { return oracle.hvp(x, u) };
        gradient_difference(oracle, x, u, h).scale(0.5 / h)
    }
}

impl<P: Tree, O> Smoother<P> for GradientPenalty<O> {
    fn value_and_grad(&self, oracle: &mut dyn Oracle<P>, params: &P, step: u64) -> Smoothed<P> {
        if self.lambda == 0.0 {
            return ().value_and_grad(oracle, params, step);
        }
        let (value, gradient) = oracle.value_and_grad(params);
        let (norm, u) = unit(&gradient);
        let slope = self.product(oracle, params, &u);
        let metrics = vec![
            ("gradient_penalty", self.lambda * norm),
            ("gradient_penalty_slope", self.lambda * slope.norm()),
        ];
        Smoothed { value, gradient: gradient.axpy(self.lambda, &slope), metrics }
    }
}

impl<P: Tree, O: Optimizer<P>> Optimizer<P> for GradientPenalty<O> {
    fn init(&self, params: &P) -> State<P> {
        self.inner.init(params)
    }
    fn batch_size(&self, state: &State<P>) -> Option<usize> {
        self.inner.batch_size(state)
    }
    fn averaged(&self, params: &P, state: &State<P>) -> Option<P> {
        self.inner.averaged(params, state)
    }
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        if self.lambda == 0.0 {
            return self.inner.step(params, state, oracle);
        }
        step_with(self, &self.inner, params, state, oracle)
    }
}
