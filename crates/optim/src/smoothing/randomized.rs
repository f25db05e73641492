//! Randomized smoothing of a loss.

use lisse_array::{Stream, Tree};
use serde::{Deserialize, Serialize};

use super::{Smoothed, Smoother};
use crate::config::{OutOfRange, fail};
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};

/// Randomized smoothing around any optimizer: it sees, in place of `f`, its mean over noise on the parameters.
///
/// `f_sigma(x) = 1/K sum_k f(x + sigma z_k)`, with `z_k` standard normal in every trained coordinate, drawn anew each step and
/// held within it.
///
/// One step costs `K` gradients. Values and Hessian-vector products are those of the smoothed loss as well, so line searches,
/// penalties and SAM inside agree with its gradient; the reported loss is the smoothed one.
///
/// Reference: Duchi, Bartlett & Wainwright, "Randomized smoothing for stochastic optimization", SIAM J. Optim. 22 (2012).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RandomizedSmoothing<O> {
    /// Standard deviation of the noise, not scaled by the parameters; 0 gives the inner optimizer exactly.
    pub sigma: f64,
    /// `K`, at least 1.
    pub samples: u64,
    /// Of the noise: the same seed and step give the same noise.
    pub seed: u64,
    /// The optimizer.
    pub inner: O,
}

impl<O> RandomizedSmoothing<O> {
    /// Three samples, seed 0.
    pub fn new(sigma: f64, inner: O) -> RandomizedSmoothing<O> {
        RandomizedSmoothing { sigma, samples: 3, seed: 0, inner }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        if !(self.sigma >= 0.0 && self.sigma.is_finite()) {
            return fail("sigma", "a number of at least 0");
        }
        if self.samples == 0 {
            return fail("samples", "at least 1");
        }
        Ok(())
    }

    /// `x + sigma z_k` for a step's `k`-th sample; buffers and integers stay as they are.
    pub fn point<P: Tree>(&self, x: &P, step: u64, sample: u64) -> P {
        let noise = Stream::new(self.seed).child("randomized smoothing").at(step).at(sample);
        let mut leaf = 0;
        x.map_named(|path, x| {
            leaf += 1;
            if !x.dtype().is_float() || path.is_buffer() {
                return x.clone();
            }
            let z = noise.at(leaf).normal(x.shape(), x.dtype()).to_device(x.device());
            x.add_scaled(self.sigma, &z)
        })
    }

    fn mean_of<P: Tree>(&self, x: &P, step: u64, mut f: impl FnMut(&P) -> P) -> P {
        let first = f(&self.point(x, step, 0));
        let add = |sum: P, k| sum.axpy(1.0, &f(&self.point(x, step, k)));
        (1..self.samples).fold(first, add).scale(1.0 / self.samples as f64)
    }
}

/// The smoothed loss of one step.
struct Noisy<'a, P, O> {
    oracle: &'a mut dyn Oracle<P>,
    smoothing: &'a RandomizedSmoothing<O>,
    step: u64,
}

impl<P: Tree, O> Oracle<P> for Noisy<'_, P, O> {
    fn value_and_grad(&mut self, params: &P) -> (f64, P) {
        let mut sum = 0.0;
        let gradient = self.smoothing.mean_of(params, self.step, |x| {
            let (value, gradient) = self.oracle.value_and_grad(x);
            sum += value;
            gradient
        });
        (sum / self.smoothing.samples as f64, gradient)
    }
    fn value(&mut self, params: &P) -> f64 {
        let RandomizedSmoothing { samples, .. } = *self.smoothing;
        let point = |k| self.smoothing.point(params, self.step, k);
        (0..samples).map(|k| self.oracle.value(&point(k))).sum::<f64>() / samples as f64
    }
    fn hvp(&mut self, params: &P, v: &P) -> P {
        self.smoothing.mean_of(params, self.step, |x| self.oracle.hvp(x, v))
    }
    fn per_example_grads(&mut self, params: &P) -> Option<P> {
        let mut sum: Option<P> = None;
        for k in 0..self.smoothing.samples {
            let point = self.smoothing.point(params, self.step, k);
            let rows = self.oracle.per_example_grads(&point)?;
            sum = Some(match sum {
                Some(sum) => sum.axpy(1.0, &rows),
                None => rows,
            });
        }
        sum.map(|sum| sum.scale(1.0 / self.smoothing.samples as f64))
    }
    // A mean over several parameters is no loss of one model's outputs: `composite` stays `None`.
}

impl<P: Tree, O> Smoother<P> for RandomizedSmoothing<O> {
    fn value_and_grad(&self, oracle: &mut dyn Oracle<P>, params: &P, step: u64) -> Smoothed<P> {
        if self.sigma == 0.0 {
            return ().value_and_grad(oracle, params, step);
        }
        let mut noisy = Noisy { oracle, smoothing: self, step };
        let (value, gradient) = noisy.value_and_grad(params);
        Smoothed { value, gradient, metrics: Vec::new() }
    }
}

impl<P: Tree, O: Optimizer<P>> Optimizer<P> for RandomizedSmoothing<O> {
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
        if self.sigma == 0.0 {
            return self.inner.step(params, state, oracle);
        }
        let step = state.step;
        self.inner.step(params, state, &mut Noisy { oracle, smoothing: self, step })
    }
}
