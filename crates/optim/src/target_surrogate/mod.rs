//! Surrogates in the space of outputs: many steps of the parameters per call of an expensive oracle.

mod baselines;
mod config;
mod inner;
mod oracle;
mod step;
mod surrogate;
#[cfg(test)]
mod tests;

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

pub use baselines::{FunctionalProx, ParameterSearch, Svrg};
pub use config::SsoConfig;
pub use inner::Inner;
pub use oracle::{Counted, LossTargets, TargetOracle};
pub use step::{Examples, TargetStep};
pub use surrogate::{Penalty, Surrogate};

use crate::config::{OutOfRange, fail};
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Flat, Groups, Schedule};
use inner::{AdamMemory, Limits, Memory, Passes, Work, linearise};
use step::Query;

/// Surrogate optimization in the space of outputs, SSO (Lavington, Vaswani, Babanezhad, Schmidt and Le Roux, 2023), for losses
/// `h(x) = l(f(x))` whose costly part is `l`: a simulator, an expert, a rollout.
///
/// With the outputs `z = f(x_t)` of a batch and the gradient `g` of `l` there, which one call of the oracle tells, the parameters
/// go to a minimizer of
///
/// `q(x) = l(z) + <g, f(x) - z> + |f(x) - z|^2 / (2 eta)`
///
/// by `inner_steps` steps of the inner solver, which asks the model only. Where `eta <= 1 / L`, with `L` the smoothness of an
/// example's loss in its outputs (1/4 for logistic loss, 1/2 for cross-entropy, 2 for squared errors), `q` lies above the loss and
/// touches it at `x_t`: whatever lowers `q` lowers the loss at least as much. One gradient step is a step of (stochastic) gradient
/// descent, whatever `eta` is; infinitely many are projected gradient descent on the outputs.
///
/// `f` must be one function during a step: [`Oracle::composite`] of a training draws the same dropout masks at every evaluation.
/// Wrappers that change gradients (SAM, clipping) have no effect around it, for it asks for the gradient of outputs.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::target_surrogate::{Inner, Sso};
/// use lisse_optim::{CompositeOracle, Optimizer};
/// let x = Array::from_slice(&[1.0f64, 2.0, 0.0, 1.0, 3.0, -1.0], &[3, 2]);
/// let y = Array::from_slice(&[1.0f64, 2.0, 0.0], &[3]);
/// let mut oracle = CompositeOracle {
///     outputs: |w: &Array| x.matmul(w),
///     loss: |z: &Array| (z - &y).square().sum_all() * 0.5,
/// };
/// // Least squares in one call.
/// let sso = Sso::new(1.0).summed().inner(Inner::Exact);
/// let mut w = Array::from_slice(&[0.1f64, -0.2], &[2]);
/// let mut state = sso.init(&w);
/// sso.step(&mut w, &mut state, &mut oracle);
/// assert!((w.to_vec::<f64>()[0] - 0.169492).abs() < 1e-6);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sso {
    /// `eta`, for one example's loss: `1 / L` is safe on full batches.
    pub learning_rate: Schedule,
    /// How the step in the space of outputs follows from it.
    pub target_step: TargetStep,
    /// The solver between two calls.
    pub inner: Inner,
    /// Its most steps.
    pub inner_steps: usize,
    /// Norm of the surrogate's gradient at which it stops.
    pub tolerance: f64,
    /// The same, as a share of the norm at its start; 0 for none.
    pub relative_tolerance: f64,
    /// Whether the loss is a mean over the examples of the batch, as that of a training; else a sum.
    pub mean: bool,
    /// Whether the loss is evaluated at the new outputs too, to report how well the surrogate predicted it: no call, but a value at
    /// other outputs of the same batch.
    pub diagnose: bool,
    /// Parts of the model that are frozen (a learning-rate scale of 0); nothing else of a group counts here.
    pub groups: Groups,
}

/// One batch of a problem, for [`Sso::advance`].
pub struct Batch<'a, P> {
    /// The model: outputs of the batch, `[examples, ...]`.
    pub outputs: &'a dyn Fn(&P) -> Array,
    /// Whom to ask for the loss of outputs.
    pub targets: &'a mut dyn TargetOracle,
    /// Which examples these are; only diagonal AdaGrad needs it.
    pub examples: Option<Examples<'a>>,
}

impl Sso {
    /// A constant step `eta` in the space of outputs, 20 gradient steps with a line search inside.
    pub fn new(eta: impl Into<Schedule>) -> Sso {
        Sso {
            learning_rate: eta.into(),
            target_step: TargetStep::Constant,
            inner: Inner::default(),
            inner_steps: 20,
            tolerance: 1e-6,
            relative_tolerance: 0.0,
            mean: true,
            diagnose: true,
            groups: Groups::default(),
        }
    }

    /// Another inner solver.
    #[must_use]
    pub fn inner(self, inner: Inner) -> Sso {
        Sso { inner, ..self }
    }

    /// Another number of inner steps.
    #[must_use]
    pub fn inner_steps(self, inner_steps: usize) -> Sso {
        Sso { inner_steps, ..self }
    }

    /// Another rule for the step in the space of outputs.
    #[must_use]
    pub fn target_step(self, target_step: TargetStep) -> Sso {
        Sso { target_step, ..self }
    }

    /// For losses that are sums over the examples.
    #[must_use]
    pub fn summed(self) -> Sso {
        Sso { mean: false, ..self }
    }

    /// Checks every number but the learning rate.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let below = |part: &'static str| {
            move |bad: OutOfRange| OutOfRange { key: format!("{part}.{}", bad.key), ..bad }
        };
        self.target_step.validate().map_err(below("target_step"))?;
        self.inner.validate().map_err(below("inner"))?;
        if self.inner_steps == 0 {
            return fail("inner_steps", "at least 1");
        }
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            return fail("tolerance", "a number of at least 0");
        }
        if !(0.0..1.0).contains(&self.relative_tolerance) {
            return fail("relative_tolerance", "a number from 0 to below 1");
        }
        let quadratic = matches!(self.inner, Inner::Exact | Inner::GaussNewton { .. });
        if quadratic && self.target_step == TargetStep::Mirror {
            return fail(
                "inner.name",
                "`gradient`, `armijo`, `adam`, `lbfgs` or `newton` with the target step `mirror`, whose penalty is no square",
            );
        }
        Ok(())
    }

    /// One call of the oracle, and the inner steps after it.
    ///
    /// # Panics
    /// If the step is [`TargetStep::DiagonalAdagrad`] and the batch does not name its examples.
    pub fn advance<P: Tree>(
        &self,
        params: &mut P,
        state: &mut State<P>,
        batch: Batch<'_, P>,
    ) -> StepInfo {
        let before = params.clone();
        let flat = Flat::of(&before);
        let x = flat.gather(&before);
        let mask = self.mask(&before, &flat, &x);
        let place = |v: &Array| {
            let free = mask.as_ref().map(|mask| &x + (v - &x) * mask);
            flat.scatter(&before, free.as_ref().unwrap_or(v))
        };
        let model = |v: &Array| (batch.outputs)(&place(v));
        let mut targets = Counted::new(batch.targets);

        let at = linearise(&model, &x);
        let step = state.schedule_step();
        state.step += 1;
        let asked = self.ask(&at.outputs, step, state, &mut targets, batch.examples);
        let learning_rate = self.learning_rate.at(step);
        let Some((surrogate, target_step)) = asked else {
            // Nothing can be learnt from such an answer; the caller sees it in the loss.
            add(state, "oracle_calls", targets.calls);
            return StepInfo { loss: f64::NAN, learning_rate, metrics: Vec::new() };
        };
        let passes = Passes { forward: 1, backward: 0 };
        let mut work = Work { model: &model, surrogate: &surrogate, passes };
        let limits = Limits {
            steps: self.inner_steps,
            tolerance: self.tolerance,
            relative: self.relative_tolerance,
        };
        let mut memory = recall(state, &flat);
        let outcome = self.inner.solve(&mut work, &x, at, limits, &mut memory);
        *params = place(&outcome.x);
        keep(state, &flat, params, memory);

        let mut metrics = vec![
            ("target_step", target_step),
            ("target_gradient_norm", inner::norm(&surrogate.gradient)),
            ("inner_steps", outcome.steps as f64),
            ("inner_increases", outcome.increases as f64),
            ("inner_gradient_norm", outcome.gradient_norm),
        ];
        if self.diagnose {
            let after = outcome.outputs.unwrap_or_else(|| work.outputs(&outcome.x));
            metrics.extend(prediction(&surrogate, &after, &mut targets));
        }
        let totals = [
            ("oracle_calls", targets.calls),
            ("target_trials", targets.trials),
            ("forward_passes", work.passes.forward),
            ("backward_passes", work.passes.backward),
        ];
        metrics.extend(totals.map(|(name, count)| (name, add(state, name, count))));
        metrics.push(("oracle_seconds", targets.seconds));
        StepInfo { loss: surrogate.value, learning_rate, metrics }
    }

    /// The surrogate after one call of the oracle at `outputs`, and its step; none if the answer is not finite.
    fn ask<P: Tree>(
        &self,
        outputs: &Array,
        step: u64,
        state: &mut State<P>,
        targets: &mut Counted<'_>,
        examples: Option<Examples<'_>>,
    ) -> Option<(Surrogate, f64)> {
        let (value, gradient) = targets.value_and_grad(outputs);
        if !(value.is_finite() && gradient.all_finite()) {
            return None;
        }
        let rows = if outputs.rank() > 0 { outputs.dim(0) } else { 1 };
        let to_sum = if self.mean { rows as f64 } else { 1.0 };
        let query = Query { outputs, value, gradient: &gradient, to_sum, step };
        let eta = self.learning_rate.at(step);
        let (penalty, step) = self.target_step.penalty(eta, &query, state, targets, examples);
        Some((Surrogate { outputs: outputs.clone(), value, gradient, penalty }, step))
    }

    /// 1 where a parameter may move; none if all may.
    fn mask<P: Tree>(&self, params: &P, flat: &Flat, x: &Array) -> Option<Array> {
        let settings = self.groups.settings(params, 1.0, 0.0);
        if flat.spans.iter().all(|span| settings[span.leaf].trained) {
            return None;
        }
        let part = |span: &crate::Span| {
            let free = if settings[span.leaf].trained { 1.0 } else { 0.0 };
            x.narrow(0, span.range.start, span.range.len()).full_like(free)
        };
        let parts: Vec<Array> = flat.spans.iter().map(part).collect();
        Some(Array::cat(&parts.iter().collect::<Vec<_>>(), 0))
    }
}

impl<P: Tree> Optimizer<P> for Sso {
    fn init(&self, params: &P) -> State<P> {
        if matches!(self.inner, Inner::Adam { .. }) {
            State::new().with("mean", params.zeros_like()).with("square", params.zeros_like())
        } else {
            State::new()
        }
    }

    /// # Panics
    /// If the oracle does not give its loss as a function of outputs ([`Oracle::composite`]).
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let composite = oracle
            .composite()
            .expect("sso: the problem must give its loss as a function of model outputs (Oracle::composite)");
        let outputs = |p: &P| composite.outputs(p);
        let mut targets = LossTargets(|z: &Array| composite.loss(z));
        self.advance(
            params,
            state,
            Batch { outputs: &outputs, targets: &mut targets, examples: None },
        )
    }
}

/// How the loss fell against how the surrogate did: the surrogate's decrease, and their ratio where there is one. Below 1 with a step
/// of at most `1 / L` on a full batch, `f` was not one function.
fn prediction(
    surrogate: &Surrogate,
    after: &Array,
    targets: &mut Counted<'_>,
) -> Vec<(&'static str, f64)> {
    let predicted = -surrogate.change(after).item();
    let actual = surrogate.value - targets.value(after);
    let mut metrics = vec![("surrogate_decrease", predicted)];
    if predicted > 0.0 && actual.is_finite() {
        metrics.push(("decrease_ratio", actual / predicted));
    }
    metrics
}

/// Adds to a count in the state and returns the sum.
fn add<P>(state: &mut State<P>, name: &str, count: u64) -> f64 {
    let total = state.numbers.entry(name.into()).or_insert(0.0);
    *total += count as f64;
    *total
}

/// What the inner solver left in the state.
fn recall<P: Tree>(state: &State<P>, flat: &Flat) -> Memory {
    let moments = state.trees.get("mean").zip(state.trees.get("square"));
    Memory {
        armijo_step: state.numbers.get("inner_step").copied(),
        adam: moments.map(|(mean, square)| AdamMemory {
            mean: flat.gather(mean),
            square: flat.gather(square),
            step: state.numbers.get("inner_count").map_or(0, |&count| count as u64),
        }),
    }
}

/// Leaves it there again.
fn keep<P: Tree>(state: &mut State<P>, flat: &Flat, like: &P, memory: Memory) {
    if let Some(step) = memory.armijo_step {
        state.numbers.insert("inner_step".into(), step);
    }
    if let Some(adam) = memory.adam {
        // Buffers of `like` are no moments.
        let zeros = like.zeros_like();
        state.trees.insert("mean".into(), flat.scatter(&zeros, &adam.mean));
        state.trees.insert("square".into(), flat.scatter(&zeros, &adam.square));
        state.numbers.insert("inner_count".into(), adam.step as f64);
    }
}
