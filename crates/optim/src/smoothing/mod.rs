//! Smoothing a loss, so that its minima are flat and small moves of the parameters change little.
//!
//! Five ways, each around any optimizer and each usable alone as a [`Smoother`]:
//!
//! - [`Sam`]: the gradient at the worst point of a small ball
//! - [`RandomizedSmoothing`]: the mean gradient over Gaussian noise on the parameters
//! - [`GradientPenalty`]: `lambda |grad f|` added to the loss
//! - [`CurvaturePenalty`]: `lambda |grad f(x + mu v) - grad f(x)|` added, `v` the gradient's direction
//! - [`Averaged`]: the mean of the iterates (SWA) or their exponential average (EMA)
//!
//! [`PartlySmoothed`] smooths one of two added losses and leaves the other as it is: unlearning smooths what is to be forgotten and
//! not what is to be kept.
//!
//! ```
//! use lisse_array::Array;
//! use lisse_optim::smoothing::{Averaged, GradientPenalty};
//! use lisse_optim::{LossOracle, Optimizer, Sam, Sgd};
//! // SAM on f + 0.1 |grad f|, and the mean of the iterates from step 350 on.
//! let optimizer = Averaged::equally(350, 1, GradientPenalty::new(0.1, Sam::new(0.05, Sgd::new(0.01))));
//! let mut x = Array::from_slice(&[3.0f64, -2.0], &[2]);
//! let mut state = optimizer.init(&x);
//! let mut oracle = LossOracle(|x: &Array| (x.square().square() + x.square()).sum_all());
//! for _ in 0..400 {
//!     optimizer.step(&mut x, &mut state, &mut oracle);
//! }
//! let solution = optimizer.averaged(&x, &state).unwrap_or(x);
//! assert!(solution.square().sum_all().item() < 1e-2);
//! ```
//!
//! **Not finite.** A loss may be fine at the parameters and NaN where a smoother looks. Nothing is skipped and nothing is
//! replaced: the non-finite gradient goes to the optimizer, and the same step's [`StepInfo`] carries a non-finite
//! number that says whose it is (`sharpness`, the loss itself for [`RandomizedSmoothing`], `gradient_penalty_slope`,
//! `curvature_penalty_slope`). A run then stops at that step and names the number and the parameters that it reached.
//!
//! Reference: Fan, Jia, Zhang, Ramakrishna, Hong & Liu, "Towards LLM Unlearning Resilient to Relearning Attacks: A Sharpness-Aware
//! Minimization Perspective and Beyond", ICML 2025.

mod averaging;
mod config;
mod curvature;
mod partly;
mod penalty;
mod randomized;
#[cfg(test)]
mod tests;

pub use averaging::Averaged;
pub use config::{AverageConfig, CurvaturePenaltyConfig, GradientPenaltyConfig, SmoothConfig};
pub use curvature::CurvaturePenalty;
pub use partly::PartlySmoothed;
pub use penalty::GradientPenalty;
pub use randomized::RandomizedSmoothing;

use lisse_array::Tree;

use crate::optimizer::{Optimizer, Oracle, State, StepInfo, WithGradient};
use crate::sam::Sam;

/// A rule that puts another gradient in the place of a loss's own.
pub trait Smoother<P> {
    /// Loss and smoothed gradient at `params`. `step` numbers the random draws: within a step they are the same.
    fn value_and_grad(&self, oracle: &mut dyn Oracle<P>, params: &P, step: u64) -> Smoothed<P>;
}

/// What a [`Smoother`] found.
#[derive(Clone, Debug)]
pub struct Smoothed<P> {
    /// The loss.
    pub value: f64,
    /// The gradient to step with.
    pub gradient: P,
    /// Further figures, among them one that is not finite if the gradient is not.
    pub metrics: Vec<(&'static str, f64)>,
}

/// No smoothing: the loss's own gradient.
impl<P> Smoother<P> for () {
    fn value_and_grad(&self, oracle: &mut dyn Oracle<P>, params: &P, _step: u64) -> Smoothed<P> {
        let (value, gradient) = oracle.value_and_grad(params);
        Smoothed { value, gradient, metrics: Vec::new() }
    }
}

impl<P: Tree, O> Smoother<P> for Sam<O> {
    fn value_and_grad(&self, oracle: &mut dyn Oracle<P>, params: &P, step: u64) -> Smoothed<P> {
        if self.rho == 0.0 {
            return ().value_and_grad(oracle, params, step);
        }
        let worst = self.worst_of(oracle, params);
        let metrics = vec![("gradient_norm", worst.norm), ("sharpness", worst.sharpness)];
        Smoothed { value: worst.value, gradient: worst.gradient, metrics }
    }
}

/// One step of `inner` along the smoothed gradient.
fn step_with<P: Tree>(
    smoother: &impl Smoother<P>,
    inner: &impl Optimizer<P>,
    params: &mut P,
    state: &mut State<P>,
    oracle: &mut dyn Oracle<P>,
) -> StepInfo {
    let step = state.step;
    let mut metrics = Vec::new();
    let mut smoothed = WithGradient::new(oracle, |oracle: &mut dyn Oracle<P>, params: &P| {
        let found = smoother.value_and_grad(oracle, params, step);
        metrics = found.metrics;
        (found.value, found.gradient)
    });
    let mut info = inner.step(params, state, &mut smoothed);
    info.metrics.extend(metrics);
    info
}

/// Norm and direction of a tree; at zero the direction is zero.
fn unit<P: Tree>(x: &P) -> (f64, P) {
    const FLOOR: f64 = 1e-12;
    let norm = x.norm();
    (norm, x.scale(1.0 / (norm + FLOOR)))
}

/// `grad f(x + h v) - grad f(x - h v)`, which is `2 h H(x) v` to second order in `h`.
fn gradient_difference<P: Tree>(oracle: &mut dyn Oracle<P>, x: &P, v: &P, h: f64) -> P {
    let (_, ahead) = oracle.value_and_grad(&x.axpy(h, v));
    let (_, behind) = oracle.value_and_grad(&x.axpy(-h, v));
    ahead.axpy(-1.0, &behind)
}
