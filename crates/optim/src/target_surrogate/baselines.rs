//! Optimizers to compare with.

use lisse_array::{Array, Tree, value_and_grad};
use serde::{Deserialize, Serialize};

use crate::optimizer::{LossOracle, Optimizer, Oracle, State, StepInfo, WithGradient};
use crate::{Schedule, Sgd};

/// Stochastic gradient descent with an Armijo line search in the space of parameters (Vaswani et al., 2019):
/// `h(x - s g) <= h(x) - decrease s |g|^2`, the first trial `expand` times the last step. Every trial asks the whole problem for a
/// value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterSearch {
    /// First step tried.
    pub start: f64,
    /// What the last step is multiplied by.
    pub expand: f64,
    /// What a refused step is multiplied by.
    pub shrink: f64,
    /// Share of the promised decrease that is enough.
    pub decrease: f64,
}

impl Default for ParameterSearch {
    fn default() -> Self {
        ParameterSearch { start: 1.0, expand: 1.8, shrink: 0.9, decrease: 0.1 }
    }
}

impl<P: Tree> Optimizer<P> for ParameterSearch {
    fn init(&self, _: &P) -> State<P> {
        State::new()
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let slope = gradient.dot(&gradient);
        let mut step = state.numbers.get("step").map_or(self.start, |last| last * self.expand);
        let mut found = None;
        for _ in 0..100 {
            let next = params.axpy(-step, &gradient);
            if oracle.value(&next) <= loss - self.decrease * step * slope {
                found = Some(next);
                break;
            }
            step *= self.shrink;
        }
        if let Some(next) = found {
            *params = next;
            state.numbers.insert("step".into(), step);
        }
        state.step += 1;
        StepInfo { loss, learning_rate: step, metrics: Vec::new() }
    }
}

/// Stochastic variance-reduced gradients (Johnson and Zhang, 2013): `g_B(x) - g_B(y) + g(y)`, with `y` a snapshot of the parameters
/// and `g(y)` the gradient over all examples there.
pub struct Svrg<'a, P> {
    /// Learning rate.
    pub learning_rate: Schedule,
    /// The snapshot.
    pub snapshot: &'a P,
    /// Gradient of the whole loss there.
    pub gradient: &'a P,
}

impl<P: Tree> Optimizer<P> for Svrg<'_, P> {
    fn init(&self, _: &P) -> State<P> {
        State::new()
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let mut reduced = WithGradient::new(oracle, |inner, params: &P| {
            let (loss, gradient) = inner.value_and_grad(params);
            let (_, there) = inner.value_and_grad(self.snapshot);
            (loss, gradient.axpy(-1.0, &there).axpy(1.0, self.gradient))
        });
        Sgd::new(self.learning_rate.clone()).step(params, state, &mut reduced)
    }
}

/// Guided functional gradients, GULF2 (Johnson and Zhang, 2020): the inner steps minimize `l(f) - (1 - alpha) <g, f>` plus
/// `decay |x|^2`: the Bregman divergence of the loss itself in place of SSO's squares. Each inner step asks for the loss, so that this
/// suits losses that are cheap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionalProx {
    /// `alpha`: how far to go.
    pub alpha: f64,
    /// L2 penalty.
    pub decay: f64,
    /// Gradient steps, each with an Armijo search.
    pub inner_steps: usize,
}

impl Default for FunctionalProx {
    fn default() -> Self {
        FunctionalProx { alpha: 0.1, decay: 1e-5, inner_steps: 20 }
    }
}

impl<P: Tree> Optimizer<P> for FunctionalProx {
    fn init(&self, _: &P) -> State<P> {
        State::new()
    }

    /// # Panics
    /// If the oracle does not give its loss as a function of outputs ([`Oracle::composite`]).
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let composite = oracle.composite().expect(
            "gulf2: the problem must give its loss as a function of model outputs (Oracle::composite)",
        );
        let (loss, guide) =
            value_and_grad(|z: &Array| composite.loss(z))(&composite.outputs(params));
        let guide = guide * (1.0 - self.alpha);
        let objective = |p: &P| {
            let outputs = composite.outputs(p);
            let decay = p.dot_array(p) * self.decay;
            composite.loss(&outputs) - (&guide * &outputs).sum_all() + decay
        };
        let search = ParameterSearch { start: 10.0, ..ParameterSearch::default() };
        let mut inner = State::new();
        if let Some(&step) = state.numbers.get("step") {
            inner.numbers.insert("step".into(), step);
        }
        for _ in 0..self.inner_steps {
            search.step(params, &mut inner, &mut LossOracle(objective));
        }
        if let Some(&step) = inner.numbers.get("step") {
            state.numbers.insert("step".into(), step);
        }
        state.step += 1;
        StepInfo { loss: loss.item(), learning_rate: self.alpha, metrics: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CompositeOracle;

    fn oracle() -> CompositeOracle<impl Fn(&Array) -> Array, impl Fn(&Array) -> Array> {
        let x = Array::from_slice(&[1.0f64, 2.0, 0.0, 1.0, 3.0, -1.0], &[3, 2]);
        let y = Array::from_slice(&[1.0f64, 0.0, 1.0], &[3]);
        CompositeOracle {
            outputs: move |w: &Array| x.matmul(w),
            loss: move |z: &Array| (z.softplus() - z * &y).mean_all(),
        }
    }

    #[test]
    fn the_search_takes_steps_that_decrease_enough() {
        let mut oracle = oracle();
        let (mut w, mut state) = (Array::from_slice(&[0.1f64, -0.2], &[2]), State::new());
        let search = ParameterSearch { start: 1e3, ..ParameterSearch::default() };
        for _ in 0..20 {
            let (loss, gradient) = oracle.value_and_grad(&w);
            let info = search.step(&mut w, &mut state, &mut oracle);
            let promised = info.learning_rate * gradient.dot(&gradient);
            assert!(oracle.value(&w) <= loss - 0.1 * promised);
        }
    }

    #[test]
    fn a_snapshot_of_the_same_batch_gives_the_plain_gradient() {
        let mut oracle = oracle();
        let w = Array::from_slice(&[0.1f64, -0.2], &[2]);
        let snapshot = Array::from_slice(&[0.5f64, 0.5], &[2]);
        let (_, gradient) = oracle.value_and_grad(&snapshot);
        let svrg = Svrg { learning_rate: 0.5.into(), snapshot: &snapshot, gradient: &gradient };
        let (mut ours, mut theirs) = (w.clone(), w);
        svrg.step(&mut ours, &mut State::new(), &mut oracle);
        Sgd::new(0.5).step(&mut theirs, &mut State::new(), &mut oracle);
        assert!((ours - theirs).abs().max_all().item() < 1e-15);
    }

    #[test]
    fn without_guidance_the_prox_minimizes_the_loss_and_with_all_of_it_stays() {
        let mut oracle = oracle();
        let start = Array::from_slice(&[0.1f64, -0.2], &[2]);
        let (mut w, mut still) = (start.clone(), start.clone());
        // alpha = 1 is the loss itself; alpha = 0 its divergence from the outputs, zero where it stands.
        let whole = FunctionalProx { alpha: 1.0, decay: 1e-2, inner_steps: 300 };
        whole.step(&mut w, &mut State::new(), &mut oracle);
        let (_, gradient) = oracle.value_and_grad(&w);
        assert!((gradient + &w * 2e-2).norm() < 1e-6);
        let none = FunctionalProx { alpha: 0.0, decay: 0.0, inner_steps: 5 };
        none.step(&mut still, &mut State::new(), &mut oracle);
        assert!((still - start).abs().max_all().item() < 1e-9);
    }
}
