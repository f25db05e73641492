//! The optimizers of the comparison, by name.

use std::cell::Cell;

use lisse_array::{Array, Tree, hvp, value_and_grad};
use lisse_nn::models::Mlp;
use serde::{Deserialize, Serialize};

use super::task::{Rows, Task, forward};
use crate::config::{OutOfRange, fail};
use crate::optimizer::{Composite, Optimizer, Oracle, State};
use crate::target_surrogate::{
    Batch, Examples, FunctionalProx, LossTargets, ParameterSearch, SsoConfig, Svrg,
};
use crate::{AdaGrad, AdaGradNorm, Adam, Lbfgs, Options, Schedule, Sgd, minimize};

/// An optimizer of the comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodConfig {
    /// [`Sso`](crate::target_surrogate::Sso)
    Sso(SsoConfig),
    /// Gradient steps
    Sgd {
        /// First step.
        learning_rate: f64,
        /// How it falls.
        #[serde(default)]
        decay: RateDecay,
    },
    /// [`ParameterSearch`]
    Sls {
        /// First step tried.
        #[serde(default = "one")]
        start: f64,
    },
    /// [`Adam`]
    Adam {
        /// Learning rate.
        learning_rate: f64,
    },
    /// [`AdaGrad`]
    Adagrad {
        /// Learning rate.
        learning_rate: f64,
    },
    /// [`AdaGradNorm`]
    AdagradNorm {
        /// Learning rate.
        learning_rate: f64,
    },
    /// [`Svrg`] with a snapshot per pass over the data; two calls a step, and a pass for the snapshot
    Svrg {
        /// Learning rate.
        learning_rate: f64,
    },
    /// [`FunctionalProx`]; a call per inner step
    Gulf2 {
        /// How far a stage goes.
        alpha: f64,
        /// Inner steps of a stage.
        #[serde(default = "twenty")]
        inner_steps: usize,
    },
    /// Fits everything seen so far, by L-BFGS: follow the leader
    Refit {
        /// Iterations after each call.
        iterations: usize,
    },
}

fn one() -> f64 {
    1.0
}
fn twenty() -> usize {
    20
}

/// How the step of [`MethodConfig::Sgd`] falls over `T` calls, `t` counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateDecay {
    /// Not at all.
    #[default]
    Constant,
    /// `1 / sqrt(t)`
    InverseSqrt,
    /// `(1 / T)^((t - 1) / T)`
    Exponential,
}

/// What has been spent.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Gradients of the loss of a batch.
    pub calls: f64,
    /// Values of it.
    pub values: f64,
    /// Forward passes of the model.
    pub forward: f64,
    /// Backward passes of the model.
    pub backward: f64,
    /// Time in the optimizer, the oracle included.
    pub seconds: f64,
}

/// Where an optimizer stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub struct MethodState {
    optimizer: State<Mlp>,
    /// Model and gradient of the whole loss there (SVRG).
    snapshot: Option<(Mlp, Mlp)>,
    /// Squared gradients of every example (diagonal AdaGrad).
    squares: Option<Array>,
    /// All inputs and targets so far (refitting).
    seen: Option<(Array, Array)>,
}

impl MethodConfig {
    /// Checks every number; keys are relative to the method.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        match *self {
            MethodConfig::Sgd { learning_rate, .. }
            | MethodConfig::Adam { learning_rate }
            | MethodConfig::Adagrad { learning_rate }
            | MethodConfig::AdagradNorm { learning_rate }
            | MethodConfig::Svrg { learning_rate }
            | MethodConfig::Sso(SsoConfig { learning_rate, .. })
                if !(learning_rate > 0.0 && learning_rate.is_finite()) =>
            {
                fail("learning_rate", "a number above 0")
            }
            MethodConfig::Sls { start } if !(start > 0.0 && start.is_finite()) => {
                fail("start", "a number above 0")
            }
            MethodConfig::Gulf2 { alpha, .. } if !(alpha > 0.0 && alpha <= 1.0) => {
                fail("alpha", "a number above 0, at most 1")
            }
            MethodConfig::Gulf2 { inner_steps: 0, .. } => fail("inner_steps", "at least 1"),
            MethodConfig::Refit { iterations: 0 } => fail("iterations", "at least 1"),
            MethodConfig::Sso(ref sso) => sso.validate(),
            _ => Ok(()),
        }
    }

    /// Whether the method remembers single examples of a fixed data set, or their pass.
    pub fn needs_fixed_data(&self) -> bool {
        use crate::target_surrogate::TargetStep::DiagonalAdagrad;
        match self {
            MethodConfig::Sso(sso) => sso.target_step == DiagonalAdagrad,
            MethodConfig::Svrg { .. } => true,
            _ => false,
        }
    }

    /// Whether it takes many steps of the model per call.
    pub fn is_surrogate(&self) -> bool {
        matches!(self, MethodConfig::Sso(_))
    }

    /// Whether it takes one step of the model per call.
    pub fn is_gradient_method(&self) -> bool {
        !matches!(self, MethodConfig::Sso(_) | MethodConfig::Refit { .. })
    }

    /// Before the first call.
    pub fn start(&self, model: &Mlp) -> MethodState {
        let optimizer = match *self {
            MethodConfig::Sso(ref sso) => sso.build(0.0.into(), Default::default()).init(model),
            MethodConfig::Adam { learning_rate } => Adam::new(learning_rate).init(model),
            MethodConfig::Adagrad { learning_rate } => AdaGrad::new(learning_rate).init(model),
            MethodConfig::AdagradNorm { learning_rate } => adagrad_norm(learning_rate).init(model),
            _ => State::new(),
        };
        MethodState { optimizer, snapshot: None, squares: None, seen: None }
    }

    /// Learns from the rows of one call (or more); the loss before.
    pub fn step(
        &self,
        model: &mut Mlp,
        state: &mut MethodState,
        spent: &mut Spent,
        task: &Task,
        rows: Rows,
        total: u64,
    ) -> f64 {
        if let MethodConfig::Sso(sso) = self {
            return surrogate_step(sso, model, state, spent, task, &rows);
        }
        let step = state.optimizer.step;
        let mut tally =
            Tally { task, rows: &rows, calls: 0.0, values: 0.0, passes: Cell::new(0.0) };
        let loss = match self {
            MethodConfig::Svrg { learning_rate } => {
                let all = task.all();
                if let Some(all) = all.filter(|_| step.is_multiple_of(task.per_epoch())) {
                    let whole = |m: &Mlp| task.loss(&forward(m, &all.inputs), &all.targets);
                    state.snapshot = Some((model.clone(), value_and_grad(whole)(model).1));
                    tally.calls += task.per_epoch() as f64;
                    tally.passes.set(task.per_epoch() as f64);
                }
                match &state.snapshot {
                    Some((snapshot, gradient)) => {
                        let learning_rate = Schedule::from(*learning_rate);
                        let svrg = Svrg { learning_rate, snapshot, gradient };
                        svrg.step(model, &mut state.optimizer, &mut tally).loss
                    }
                    None => {
                        Sgd::new(*learning_rate).step(model, &mut state.optimizer, &mut tally).loss
                    }
                }
            }
            MethodConfig::Refit { iterations } => refit(*iterations, model, state, &mut tally),
            MethodConfig::Gulf2 { alpha, inner_steps } => {
                let prox = FunctionalProx {
                    alpha: *alpha,
                    inner_steps: *inner_steps,
                    ..FunctionalProx::default()
                };
                tally.calls += (1 + inner_steps) as f64;
                prox.step(model, &mut state.optimizer, &mut tally).loss
            }
            _ => self.plain(step, total).step(model, &mut state.optimizer, &mut tally).loss,
        };
        spent.calls += tally.calls;
        spent.values += tally.values;
        spent.forward += tally.passes.get();
        spent.backward += tally.calls;
        loss
    }

    /// The optimizers that take one gradient a step.
    fn plain(&self, step: u64, total: u64) -> Box<dyn Optimizer<Mlp>> {
        match *self {
            MethodConfig::Adam { learning_rate } => Box::new(Adam::new(learning_rate)),
            MethodConfig::Adagrad { learning_rate } => Box::new(AdaGrad::new(learning_rate)),
            MethodConfig::AdagradNorm { learning_rate } => Box::new(adagrad_norm(learning_rate)),
            MethodConfig::Sgd { learning_rate, decay } => {
                let (t, total) = ((step + 1) as f64, total as f64);
                let factor = match decay {
                    RateDecay::Constant => 1.0,
                    RateDecay::InverseSqrt => 1.0 / t.sqrt(),
                    RateDecay::Exponential => total.powf(-(t - 1.0) / total),
                };
                Box::new(Sgd::new(learning_rate * factor))
            }
            MethodConfig::Sls { start } => {
                Box::new(ParameterSearch { start, ..ParameterSearch::default() })
            }
            _ => Box::new(ParameterSearch::default()),
        }
    }
}

/// One step size for all, `s / sqrt(sum |g|^2)`.
fn adagrad_norm(learning_rate: f64) -> AdaGradNorm {
    AdaGradNorm { initial: 1e-12, ..AdaGradNorm::new(learning_rate) }
}

fn surrogate_step(
    sso: &SsoConfig,
    model: &mut Mlp,
    state: &mut MethodState,
    spent: &mut Spent,
    task: &Task,
    rows: &Rows,
) -> f64 {
    let sso = sso.build(sso.learning_rate.into(), Default::default());
    let outputs = |m: &Mlp| forward(m, &rows.inputs);
    let mut targets = LossTargets(|z: &Array| task.loss(z, &rows.targets));
    let squares = state.squares.get_or_insert_with(|| {
        let mut shape = rows.targets.shape().to_vec();
        shape[0] = task.examples().unwrap_or(0);
        Array::zeros(&shape, rows.targets.dtype())
    });
    let examples = rows.ids.as_ref().map(|ids| Examples { ids, squares });
    let batch = Batch { outputs: &outputs, targets: &mut targets, examples };
    let loss = sso.advance(model, &mut state.optimizer, batch).loss;
    let count = |name: &str| state.optimizer.numbers.get(name).copied().unwrap_or(0.0);
    spent.calls = count("oracle_calls");
    spent.values = count("target_trials");
    spent.forward = count("forward_passes");
    spent.backward = count("backward_passes");
    loss
}

fn refit(
    iterations: usize,
    model: &mut Mlp,
    state: &mut MethodState,
    tally: &mut Tally<'_>,
) -> f64 {
    let rows = tally.rows;
    let loss = tally.value_and_grad(model).0;
    let (inputs, targets) = match state.seen.take() {
        Some((inputs, targets)) => {
            (Array::cat(&[&inputs, &rows.inputs], 0), Array::cat(&[&targets, &rows.targets], 0))
        }
        None => (rows.inputs.clone(), rows.targets.clone()),
    };
    let objective = |m: &Mlp| tally.task.loss(&forward(m, &inputs), &targets);
    let options =
        Options { gradient_tolerance: 1e-10, max_iterations: iterations, ..Options::default() };
    // A start that is not finite stays where it is.
    if let Ok(best) = minimize(objective, model, &Lbfgs::default(), &options) {
        *model = best.x;
        tally.passes.set(tally.passes.get() + best.counts.total() as f64);
    }
    state.seen = Some((inputs, targets));
    state.optimizer.step += 1;
    loss
}

/// The oracle of one call's rows, which counts.
struct Tally<'a> {
    task: &'a Task,
    rows: &'a Rows,
    calls: f64,
    values: f64,
    passes: Cell<f64>,
}

impl Tally<'_> {
    fn pass(&self) {
        self.passes.set(self.passes.get() + 1.0);
    }
}

impl Oracle<Mlp> for Tally<'_> {
    fn value_and_grad(&mut self, params: &Mlp) -> (f64, Mlp) {
        self.calls += 1.0;
        let (value, gradient) = value_and_grad(|m: &Mlp| self.loss(&self.outputs(m)))(params);
        (value.item(), gradient)
    }
    fn value(&mut self, params: &Mlp) -> f64 {
        self.values += 1.0;
        self.loss(&self.outputs(params)).item()
    }
    fn hvp(&mut self, params: &Mlp, v: &Mlp) -> Mlp {
        hvp(|m: &Mlp| self.loss(&self.outputs(m)), params, v)
    }
    fn composite(&self) -> Option<&dyn Composite<Mlp>> {
        Some(self)
    }
}

impl Composite<Mlp> for Tally<'_> {
    fn outputs(&self, params: &Mlp) -> Array {
        self.pass();
        forward(params, &self.rows.inputs)
    }
    fn loss(&self, outputs: &Array) -> Array {
        self.task.loss(outputs, &self.rows.targets)
    }
}
