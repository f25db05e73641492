//! Two added losses, one of them smoothed.

use lisse_array::Tree;

use super::Smoother;
use crate::optimizer::Oracle;

/// The loss `smoothed + weight * plain`, whose gradient is the smoothed one of the first and the own one of the second.
///
/// Robust unlearning is `min_x max_{|e| <= rho} f(x + e) + gamma g(x)` with `f` what is to be forgotten and `g` what is to be kept: only
/// `f` is perturbed.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::{LossOracle, Optimizer, Sam, Sgd};
/// use lisse_optim::smoothing::PartlySmoothed;
/// let mut x = Array::from_slice(&[1.0f64, -1.0], &[2]);
/// let mut forget = LossOracle(|x: &Array| x.square().sum_all() * -1.0);
/// let mut retain = LossOracle(|x: &Array| (x - 2.0).square().sum_all());
/// let optimizer = Sgd::new(0.1);
/// let mut state = optimizer.init(&x);
/// let sam = Sam::new(0.05, ());
/// let mut oracle = PartlySmoothed::new(&mut forget, &sam, &mut retain, 1.0, state.step);
/// optimizer.step(&mut x, &mut state, &mut oracle);
/// assert!(oracle.metrics.iter().any(|(name, _)| *name == "sharpness"));
/// ```
pub struct PartlySmoothed<'a, P> {
    smoothed: &'a mut dyn Oracle<P>,
    smoother: &'a dyn Smoother<P>,
    plain: &'a mut dyn Oracle<P>,
    weight: f64,
    step: u64,
    /// Both losses and the smoother's figures, of the latest gradient.
    pub metrics: Vec<(&'static str, f64)>,
}

impl<'a, P> PartlySmoothed<'a, P> {
    /// For one step; `step` numbers the smoother's draws. A weight of 0 leaves `plain` unasked.
    pub fn new(
        smoothed: &'a mut dyn Oracle<P>,
        smoother: &'a dyn Smoother<P>,
        plain: &'a mut dyn Oracle<P>,
        weight: f64,
        step: u64,
    ) -> PartlySmoothed<'a, P> {
        PartlySmoothed { smoothed, smoother, plain, weight, step, metrics: Vec::new() }
    }
}

impl<P: Tree> Oracle<P> for PartlySmoothed<'_, P> {
    fn value_and_grad(&mut self, params: &P) -> (f64, P) {
        let smoothed = self.smoother.value_and_grad(self.smoothed, params, self.step);
        self.metrics = smoothed.metrics;
        self.metrics.push(("smoothed_loss", smoothed.value));
        if self.weight == 0.0 {
            return (smoothed.value, smoothed.gradient);
        }
        let (plain, gradient) = self.plain.value_and_grad(params);
        self.metrics.push(("plain_loss", plain));
        let value = smoothed.value + self.weight * plain;
        (value, smoothed.gradient.axpy(self.weight, &gradient))
    }
    fn value(&mut self, params: &P) -> f64 {
        let smoothed = self.smoothed.value(params);
        if self.weight == 0.0 {
            smoothed
        } else {
            smoothed + self.weight * self.plain.value(params)
        }
    }
    fn hvp(&mut self, params: &P, v: &P) -> P {
        let smoothed = self.smoothed.hvp(params, v);
        if self.weight == 0.0 {
            return smoothed;
        }
        smoothed.axpy(self.weight, &self.plain.hvp(params, v))
    }
}
