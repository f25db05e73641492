//! Penalty on the curvature along the gradient.

use lisse_array::Tree;
use serde::{Deserialize, Serialize};

use super::{Smoothed, Smoother, gradient_difference, step_with, unit};
use crate::config::{OutOfRange, fail};
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};

/// Curvature regularisation around any optimizer: it minimises `f(x) + lambda R(x)`, where
/// `R(x) = |r|` with `r = grad f(x + mu v) - grad f(x)` and `v = grad f(x) / |grad f(x)|` held constant.
///
/// With `s = r / |r|` and `H` the Hessian, the penalty's gradient is `lambda [H(x + mu v) - H(x)] s`: two exact Hessian-vector
/// products, or with `differences = h` four gradients, at `x + mu v +- h s` and `x +- h s`, with an error of `O(h^2)`.
///
/// The reported loss is `f` without the penalty; `curvature_penalty` is the penalty, `curvature_penalty_slope` its gradient's norm.
///
/// Reference: Moosavi-Dezfooli, Fawzi, Uesato & Frossard, "Robustness via curvature regularization, and vice versa", CVPR 2019; on
/// parameters: Fan et al., ICML 2025.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvaturePenalty<O> {
    /// Weight of the penalty; 0 gives the inner optimizer exactly.
    pub lambda: f64,
    /// Length of the step along the gradient.
    pub mu: f64,
    /// Distance of the central differences; exact products if `None`.
    pub differences: Option<f64>,
    /// The optimizer.
    pub inner: O,
}

impl<O> CurvaturePenalty<O> {
    /// The penalty by exact products, `mu` 0.01.
    pub fn new(lambda: f64, inner: O) -> CurvaturePenalty<O> {
        CurvaturePenalty { lambda, mu: 0.01, differences: None, inner }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        if !(self.lambda >= 0.0 && self.lambda.is_finite()) {
            return fail("lambda", "a number of at least 0");
        }
        if !(self.mu > 0.0 && self.mu.is_finite()) {
            return fail("mu", "a number above 0");
        }
        if !self.differences.is_none_or(|h| h > 0.0 && h.is_finite()) {
            return fail("differences", "a distance above 0, or nothing for exact products");
        }
        Ok(())
    }

    /// `[H(ahead) - H(x)] s`.
    fn slope<P: Tree>(&self, oracle: &mut dyn Oracle<P>, x: &P, ahead: &P, s: &P) -> P {
        let Some(h) = self.differences else {
            return oracle.hvp(ahead, s).axpy(-1.0, &oracle.hvp(x, s));
        };
        let mut difference = |x: &P| gradient_difference(oracle, x, s, h);
        difference(ahead).axpy(-1.0, &difference(x)).scale(0.5 / h)
    }
}

impl<P: Tree, O> Smoother<P> for CurvaturePenalty<O> {
    fn value_and_grad(&self, oracle: &mut dyn Oracle<P>, params: &P, step: u64) -> Smoothed<P> {
        if self.lambda == 0.0 {
            return ().value_and_grad(oracle, params, step);
        }
        let (value, gradient) = oracle.value_and_grad(params);
        let ahead = params.axpy(self.mu, &unit(&gradient).1);
        let (_, gradient_ahead) = oracle.value_and_grad(&ahead);
        let (bend, s) = unit(&gradient_ahead.axpy(-1.0, &gradient));
        let slope = self.slope(oracle, params, &ahead, &s);
        let metrics = vec![
            ("curvature_penalty", self.lambda * bend),
            ("curvature_penalty_slope", self.lambda * slope.norm()),
        ];
        Smoothed { value, gradient: gradient.axpy(self.lambda, &slope), metrics }
    }
}

impl<P: Tree, O: Optimizer<P>> Optimizer<P> for CurvaturePenalty<O> {
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
