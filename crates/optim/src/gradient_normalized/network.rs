//! The method for networks: matrices by products, values and gradients by an oracle.

use std::cell::RefCell;

use lisse_array::{Array, Tree, hvp, jvp, vjp};
use serde::{Deserialize, Serialize};

use super::curvature::{Curvature, Product};
use super::metric::Metric;
use super::search::{Found, Point, Search};
use super::solver::{Backend, Linear, Solver};
use crate::Flat;
use crate::config::{Decay, OptimizerConfig, OutOfRange, fail};
use crate::optimizer::{Composite, Optimizer, Oracle, State, StepInfo};

/// What multiplies in place of the Hessian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Products {
    /// `J^T (loss Hessian) J v`, with `J` the derivative of the outputs: positive semidefinite for convex losses of outputs
    #[default]
    GaussNewton,
    /// `H v` exactly; where `H + lambda I` is not positive definite the trial is rejected, which raises `lambda`
    Hessian,
    /// The mean of outer products of the examples' gradients, solved in the dimension of the batch
    Fisher,
    /// Nothing: normalized gradient descent
    None,
}

/// The gradient-regularized Newton method of [`GradientRegularizedNewton`](super::GradientRegularizedNewton) for networks.
///
/// `x+ = x - (H + lambda I)^-1 g`, `lambda = |g| / gamma`; the system is solved by Lanczos vectors that all trials of a step share. Nothing but
/// vectors is stored: `max_products` of them.
///
/// All values and gradients of a step are of the batch that the oracle holds. On the full batch the acceptance test is the paper's, and the loss
/// never rises. On mini-batches it says that the step lowers the loss of *this* batch, and `gamma` follows the smoothness of single batches: as the
/// gradient of a batch does not go to zero, `gamma` may grow until each step solves its batch, so bound it by `search.max_gamma`, which bounds the
/// length of every step, or fix it.
///
/// A step that no trial passes changes nothing and lowers `gamma`. Gauss-Newton needs an oracle with outputs, Fisher one with gradients of
/// examples; where the oracle has none, the exact Hessian stands in. Fisher with a penalty on weights (`weight_decay`) keeps its exact part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientNormalized {
    /// What stands for the Hessian.
    pub products: Products,
    /// How `gamma` is found.
    pub search: Search,
    /// Most products per step, each about four gradients.
    pub max_products: usize,
    /// L2 penalty `weight_decay |x|^2 / 2`, with its exact Hessian.
    pub weight_decay: f64,
}

impl Default for GradientNormalized {
    fn default() -> Self {
        GradientNormalized {
            products: Products::GaussNewton,
            search: Search::default(),
            max_products: 30,
            weight_decay: 0.0,
        }
    }
}

impl GradientNormalized {
    /// Checks every number; keys are those of the fields.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        if self.max_products == 0 {
            return fail("max_products", "at least 1");
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return fail("weight_decay", "a number of at least 0");
        }
        self.search.validate()
    }

    /// The matrix at `params`, on vectors of its trained leaves.
    fn curvature<'a, P: Tree>(
        &self,
        params: &'a P,
        flat: &'a Flat,
        oracle: &'a RefCell<&mut dyn Oracle<P>>,
    ) -> Curvature<'a> {
        let decay = self.weight_decay;
        let exact = move |v: &Array| {
            let image = oracle.borrow_mut().hvp(params, &zero_buffers(params, flat, v));
            flat.gather(&image).add_scaled(decay, v)
        };
        let exact = || Curvature::Operator { product: Box::new(exact), dense: None };
        let outputs = oracle.borrow().composite().is_some();
        match self.products {
            Products::None if decay == 0.0 => Curvature::Zero,
            Products::None => operator(Box::new(move |v| v * decay)),
            Products::GaussNewton if outputs => operator(Box::new(move |v| {
                let tangent = zero_buffers(params, flat, v);
                match oracle.borrow().composite() {
                    Some(model) => {
                        let image = gauss_newton(model, params, &tangent);
                        flat.gather(&image).add_scaled(decay, v)
                    }
                    // It had outputs a moment ago; a step of NaN is refused.
                    None => v.full_like(f64::NAN),
                }
            })),
            Products::GaussNewton | Products::Hessian => exact(),
            Products::Fisher => {
                let examples = oracle.borrow_mut().per_example_grads(params);
                examples.map_or_else(exact, |examples| fisher(&examples, flat, decay))
            }
        }
    }
}

fn operator(product: Product<'_>) -> Curvature<'_> {
    Curvature::Operator { product, dense: None }
}

/// A tangent of `params` that is `v` on trained leaves and zero on the others.
fn zero_buffers<P: Tree>(params: &P, flat: &Flat, v: &Array) -> P {
    flat.scatter(&params.zeros_like(), v)
}

/// `J^T (loss Hessian) J v`
fn gauss_newton<P: Tree>(model: &dyn Composite<P>, params: &P, v: &P) -> P {
    let (outputs, along) = jvp(|p: &P| model.outputs(p), params, v);
    let bent = hvp(|z: &Array| model.loss(z), &outputs, &along);
    let (_, pullback) = vjp(|p: &P| model.outputs(p), params);
    pullback(&bent)
}

/// `mean_i g_i g_i^T` from gradients stacked along a leading axis.
fn fisher<P: Tree>(examples: &P, flat: &Flat, decay: f64) -> Curvature<'static> {
    let leaves = examples.leaves();
    let rows: Vec<Array> = flat
        .spans
        .iter()
        .map(|span| leaves[span.leaf].reshape(&[leaves[span.leaf].dim(0) as isize, -1]))
        .collect();
    let rows = Array::cat(&rows.iter().collect::<Vec<_>>(), 1);
    let count = rows.dim(0);
    let weights = rows.narrow(1, 0, 1).squeeze(1).full_like(1.0 / count as f64);
    Curvature::Gram { rows, weights, ridge: decay }
}

impl<P: Tree> Optimizer<P> for GradientNormalized {
    fn init(&self, _: &P) -> State<P> {
        let mut state = State::new();
        state.numbers.insert("gamma".into(), self.search.gamma);
        state
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let flat = Flat::of(params);
        let decay = self.weight_decay;
        let penalised = |x: Array, value: f64, gradient: &P| {
            let gradient = flat.gather(gradient).add_scaled(decay, &x);
            let penalty =
                if decay == 0.0 { 0.0 } else { 0.5 * decay * x.square().sum_all().item() };
            let norm = gradient.square().sum_all().item().sqrt();
            Point { x, value: value + penalty, gradient, norm }
        };
        let (loss, gradient) = oracle.value_and_grad(params);
        let at = penalised(flat.gather(params), loss, &gradient);
        let gamma = state.numbers.get("gamma").copied().unwrap_or(self.search.gamma);
        state.step += 1;
        let mut info = StepInfo { loss, learning_rate: 1.0, metrics: Vec::new() };
        info.metrics.push(("gradient_norm", at.norm));
        if !(at.norm > 0.0 && at.norm.is_finite() && at.value.is_finite()) {
            // Stationary, or nothing to go by.
            info.metrics.extend([("gamma", gamma), ("accepted", 0.0)]);
            return info;
        }
        let oracle = RefCell::new(oracle);
        let metric = Metric::identity();
        let h = self.curvature(&*params, &flat, &oracle);
        let backend = match h {
            Curvature::Gram { .. } => Backend::Woodbury,
            _ => Backend::Krylov,
        };
        let linear = Linear { backend, max_products: Some(self.max_products) };
        let found = match Solver::new(h, &metric, linear, &at.gradient) {
            Err(_) => Found::Exhausted { gamma, trials: 0 },
            Ok(mut solver) => {
                let found = self.search.run(
                    &at,
                    gamma,
                    |g, lambda| solver.step(g, lambda),
                    |step, _| {
                        let x = &at.x + step;
                        let moved = flat.scatter(&*params, &x);
                        let (value, gradient) = oracle.borrow_mut().value_and_grad(&moved);
                        penalised(x, value, &gradient)
                    },
                );
                info.metrics.push(("products", solver.work.products as f64));
                found
            }
        };
        let (gamma, trials, accepted) = match found {
            Found::Exhausted { gamma, trials } => (gamma, trials, 0.0),
            Found::Step(step) => {
                info.metrics.push(("lambda", step.lambda));
                *params = flat.scatter(&*params, &step.point.x);
                (step.gamma, step.trials, 1.0)
            }
        };
        state.numbers.insert("gamma".into(), gamma);
        info.metrics.extend([("gamma", gamma), ("trials", trials as f64), ("accepted", accepted)]);
        info
    }
}

/// [`GradientNormalized`] in a recipe.
///
/// ```toml
/// [method.optimizer]
/// name = "gns"
/// products = "gauss-newton"
/// max_gamma = 1.0
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GnsConfig {
    /// What stands for the Hessian.
    pub products: Products,
    /// First `gamma`.
    pub gamma: f64,
    /// Whether `gamma` is searched for; else it stays.
    pub adaptive: bool,
    /// Factor of `gamma` after an accepted step.
    pub growth: f64,
    /// Factor of `gamma` after a rejected one.
    pub shrink: f64,
    /// Longest step.
    pub max_gamma: f64,
    /// Most trials per step.
    pub max_trials: usize,
    /// Most products per step.
    pub max_products: usize,
    /// L2 penalty.
    pub weight_decay: f64,
}

impl Default for GnsConfig {
    fn default() -> Self {
        let whole = GradientNormalized::default();
        let search = whole.search;
        GnsConfig {
            products: whole.products,
            gamma: search.gamma,
            adaptive: search.adaptive,
            growth: search.growth,
            shrink: search.shrink,
            max_gamma: search.max_gamma,
            max_trials: search.max_trials,
            max_products: whole.max_products,
            weight_decay: whole.weight_decay,
        }
    }
}

impl GnsConfig {
    /// The optimizer.
    pub fn build(&self) -> GradientNormalized {
        GradientNormalized {
            products: self.products,
            search: Search {
                gamma: self.gamma,
                adaptive: self.adaptive,
                growth: self.growth,
                shrink: self.shrink,
                max_gamma: self.max_gamma,
                max_trials: self.max_trials,
                ..Search::default()
            },
            max_products: self.max_products,
            weight_decay: self.weight_decay,
        }
    }

    /// Checks every number, and that nothing around the rule asks for a learning rate, which it has none of.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate_within(&self, whole: &OptimizerConfig) -> Result<(), OutOfRange> {
        if !matches!(whole.schedule, Decay::Constant) {
            return fail("schedule", "none: `gns` has no learning rate");
        }
        if !whole.groups.is_empty() {
            return fail("groups", "none: `gns` steps on all parameters at once");
        }
        let under = |bad: OutOfRange| OutOfRange { key: format!("optimizer.{}", bad.key), ..bad };
        self.build().validate().map_err(under)
    }
}
