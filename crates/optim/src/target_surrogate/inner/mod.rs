//! What minimizes the surrogate over the parameters.

mod exact;
mod first_order;
mod gauss_newton;

use lisse_array::{Array, vjp};
use serde::{Deserialize, Serialize};

use super::surrogate::Surrogate;
use crate::config::OutOfRange;
use crate::minimize::{Iterate, Lbfgs, Method, NewtonCg, Objective};
pub(super) use first_order::AdamMemory;

/// The solver between two calls of the oracle. It sees the model, not the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Inner {
    /// Gradient steps of one length.
    Gradient {
        /// Their length.
        step: f64,
    },
    /// Gradient steps `s` that satisfy `q(w - s dq) <= q(w) - decrease s |dq|^2`; the first is tried at `start`, each later one at
    /// `expand` times the last, and shrunk until it is good enough.
    Armijo {
        /// First step tried.
        #[serde(default = "start")]
        start: f64,
        /// What the last step is multiplied by.
        #[serde(default = "expand")]
        expand: f64,
        /// What a refused step is multiplied by.
        #[serde(default = "shrink")]
        shrink: f64,
        /// Share of the promised decrease that is enough.
        #[serde(default = "decrease")]
        decrease: f64,
        /// Whether the first step after a call of the oracle goes on from the last one before it; else it is `start` again.
        #[serde(default = "yes")]
        warm: bool,
    },
    /// Adam, whose moments live on across calls of the oracle.
    Adam {
        /// Its learning rate.
        #[serde(default = "adam_rate")]
        learning_rate: f64,
    },
    /// Limited-memory BFGS.
    Lbfgs {
        /// Steps remembered.
        #[serde(default = "memory")]
        memory: usize,
    },
    /// Newton's method in a trust region, with exact Hessian-vector products of the surrogate.
    Newton {
        /// First trust radius.
        #[serde(default = "radius")]
        radius: f64,
    },
    /// Gauss-Newton: `(J'WJ + damping) s = -dq` by conjugate gradients, no matrix formed, and a halved step where it does not lower
    /// the surrogate.
    GaussNewton {
        /// Most products `J'WJ v` per step.
        #[serde(default = "products")]
        products: usize,
        /// Residual at which conjugate gradients stop, relative to the gradient.
        #[serde(default = "residual")]
        residual: f64,
        /// Added to the diagonal.
        #[serde(default)]
        damping: f64,
    },
    /// The minimizer itself where the model is linear in its parameters: `w - (sqrt(W) J)^+ g / sqrt(W)`, the nearest of the minimizers.
    /// For other models Gauss-Newton with as many products as there are parameters.
    Exact,
}

fn start() -> f64 {
    10.0
}
fn expand() -> f64 {
    1.8
}
fn shrink() -> f64 {
    0.9
}
fn decrease() -> f64 {
    0.1
}
fn yes() -> bool {
    true
}
fn adam_rate() -> f64 {
    1e-3
}
fn memory() -> usize {
    10
}
fn radius() -> f64 {
    1.0
}
fn products() -> usize {
    50
}
fn residual() -> f64 {
    1e-6
}

impl Default for Inner {
    fn default() -> Inner {
        Inner::armijo()
    }
}

impl Inner {
    /// [`Armijo`](Self::Armijo) with its usual constants.
    pub fn armijo() -> Inner {
        Inner::Armijo {
            start: start(),
            expand: expand(),
            shrink: shrink(),
            decrease: decrease(),
            warm: true,
        }
    }

    /// [`GaussNewton`](Self::GaussNewton) with its usual constants.
    pub fn gauss_newton() -> Inner {
        Inner::GaussNewton { products: products(), residual: residual(), damping: 0.0 }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let within = |v: f64| v > 0.0 && v < 1.0;
        let all: &[(bool, &str, &'static str)] = &match *self {
            Inner::Gradient { step } => vec![(positive(step), "step", "a number above 0")],
            Inner::Armijo { start, expand, shrink, decrease, .. } => vec![
                (positive(start), "start", "a number above 0"),
                (expand >= 1.0 && expand.is_finite(), "expand", "a number of at least 1"),
                (within(shrink), "shrink", "a number between 0 and 1"),
                (within(decrease), "decrease", "a number between 0 and 1"),
            ],
            Inner::Adam { learning_rate } => {
                vec![(positive(learning_rate), "learning_rate", "a number above 0")]
            }
            Inner::Lbfgs { memory } => vec![(memory > 0, "memory", "at least 1")],
            Inner::Newton { radius } => vec![(positive(radius), "radius", "a number above 0")],
            Inner::GaussNewton { products, residual, damping } => vec![
                (products > 0, "products", "at least 1"),
                (within(residual), "residual", "a number between 0 and 1"),
                (damping >= 0.0 && damping.is_finite(), "damping", "a number of at least 0"),
            ],
            Inner::Exact => Vec::new(),
        };
        match all.iter().find(|(good, ..)| !good) {
            Some((_, key, expected)) => Err(OutOfRange { key: (*key).to_string(), expected }),
            None => Ok(()),
        }
    }
}

/// Evaluations of the model: forward passes, and pullbacks or pushforwards through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passes {
    pub forward: u64,
    pub backward: u64,
}

/// The surrogate as a function of the parameters, as one vector.
pub(super) struct Work<'a> {
    pub model: &'a dyn Fn(&Array) -> Array,
    pub surrogate: &'a Surrogate,
    pub passes: Passes,
}

/// Outputs at a point, and their transposed derivative.
pub(super) struct Linearised<'a> {
    pub outputs: Array,
    pub pull: Box<dyn Fn(&Array) -> Array + 'a>,
}

/// `model` at `x`, with its pullback.
pub(super) fn linearise<'a>(model: &'a dyn Fn(&Array) -> Array, x: &Array) -> Linearised<'a> {
    let (outputs, pull) = vjp(|x: &Array| model(x), x);
    Linearised { outputs, pull: Box::new(pull) }
}

impl<'a> Work<'a> {
    pub fn outputs(&mut self, x: &Array) -> Array {
        self.passes.forward += 1;
        (self.model)(x)
    }

    fn linearise(&mut self, x: &Array) -> Linearised<'a> {
        self.passes.forward += 1;
        linearise(self.model, x)
    }

    /// The surrogate's gradient in the parameters.
    fn gradient(&mut self, at: &Linearised<'_>) -> Array {
        self.passes.backward += 1;
        (at.pull)(&self.surrogate.gradient_at(&at.outputs))
    }

    /// `q - l(z)`, without a pass of the model.
    fn change(&self, outputs: &Array) -> f64 {
        self.surrogate.change(outputs).item()
    }
}

/// When the inner steps end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub steps: usize,
    /// Norm of the gradient that is small enough.
    pub tolerance: f64,
    /// The same, as a share of the first.
    pub relative: f64,
}

impl Limits {
    fn enough(&self, first: f64) -> f64 {
        self.tolerance.max(self.relative * first)
    }
}

/// Where the inner steps ended.
pub(super) struct Outcome {
    pub x: Array,
    /// Outputs there, where they are known.
    pub outputs: Option<Array>,
    pub steps: usize,
    /// Norm of the last gradient that was evaluated.
    pub gradient_norm: f64,
    /// Steps after which the surrogate was higher.
    pub increases: usize,
}

/// What some solvers keep from one call of the oracle to the next.
pub(super) struct Memory {
    pub armijo_step: Option<f64>,
    pub adam: Option<AdamMemory>,
}

/// Euclidean norm.
pub(super) fn norm(x: &Array) -> f64 {
    x.square().sum_all().item().sqrt()
}

impl Inner {
    /// Lowers the surrogate from `x`, where the model is `at`.
    pub(super) fn solve<'a>(
        &self,
        work: &mut Work<'a>,
        x: &Array,
        at: Linearised<'a>,
        limits: Limits,
        memory: &mut Memory,
    ) -> Outcome {
        match self {
            Inner::Gradient { .. } | Inner::Armijo { .. } | Inner::Adam { .. } => {
                first_order::solve(self, work, x, at, limits, memory)
            }
            Inner::Lbfgs { memory } => {
                let method = Lbfgs { memory: *memory, ..Lbfgs::default() };
                minimize(&method, 1.0, work, x, &at, limits)
            }
            Inner::Newton { radius } => {
                let method = NewtonCg { radius: *radius, ..NewtonCg::default() };
                minimize(&method, *radius, work, x, &at, limits)
            }
            Inner::GaussNewton { products, residual, damping } => {
                gauss_newton::solve([*residual, *damping], *products, work, x, at, limits)
            }
            Inner::Exact => exact::solve(work, x, at, limits),
        }
    }
}

/// Iterations of a minimizer.
fn minimize(
    method: &dyn Method,
    radius: f64,
    work: &mut Work<'_>,
    x: &Array,
    at: &Linearised<'_>,
    limits: Limits,
) -> Outcome {
    let gradient = work.gradient(at);
    let first = norm(&gradient);
    let (model, surrogate) = (work.model, work.surrogate);
    let mut objective = Objective::new(|x: &Array| surrogate.change(&model(x)));
    let (x, pairs) = (x.clone(), Vec::new());
    let mut iterate = Iterate { x, value: 0.0, gradient, pairs, radius, iteration: 0 };
    let mut gradient_norm = first;
    while iterate.iteration < limits.steps && gradient_norm > limits.enough(first) {
        if !method.step(&mut objective, &mut iterate) {
            break;
        }
        iterate.iteration += 1;
        gradient_norm = norm(&iterate.gradient);
    }
    let counts = objective.counts;
    // A Hessian-vector product is a gradient and its derivative.
    let twice = 2 * counts.hessian_products as u64;
    work.passes.forward += (counts.values + counts.gradients) as u64 + twice;
    work.passes.backward += counts.gradients as u64 + twice;
    Outcome { x: iterate.x, outputs: None, steps: iterate.iteration, gradient_norm, increases: 0 }
}
