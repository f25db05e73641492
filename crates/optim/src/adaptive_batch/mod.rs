//! Batches that grow when the gradient's sampling noise is too large for its size.
//!
//! - [`AdaptiveBatch`]: around any optimizer; the training asks it for the size of the next batch
//! - [`Controller`]: the decision by itself: [`Test`], limits, smoothing
//! - [`Spread`]: what it decides on: from stacked gradients ([`Spread::of_rows`]), from [`Moments`] of parts or of micro-batch means,
//!   from [`Projections`], from a few examples at a time ([`Part`]), or from what layers saw ([`LayerTrace`])
//!
//! Reference: Lau, Liu and Kolar, "AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods", 2024.

mod chunks;
mod controller;
mod layers;
mod moments;
mod spread;
#[cfg(test)]
mod tests;

pub use chunks::{Part, rows};
pub use controller::{Controller, Coupling, Decision, Memory, Test};
pub use layers::{LayerTrace, spread_of_layers, trace_conv_net, trace_mlp};
pub use moments::Moments;
pub use spread::{Projections, Question, Spread, Wanted};

use lisse_array::{Array, Tree};

use crate::Flat;
use crate::config::{OptimizerConfig, OutOfRange};
use crate::optimizer::{Optimizer, Oracle, State, StepInfo, WithGradient};

/// Adaptive batch sizes (Lau, Liu and Kolar, 2024) around any optimizer: a step is taken with the present batch, then the test looks
/// at the same batch's gradients and sets the size of the next one, `b_next = min(ceil(max(b, need)), b_max)`.
///
/// The test sees the gradients as the loss gives them, before clipping, penalties and whatever else is inside. Put this wrapper
/// outside all others. The training must draw batches as large as [`batch_size`](Optimizer::batch_size) says.
///
/// Learning-rate schedules then count examples, in units of the initial batch
/// ([`State::schedule_step`]), so that a schedule means the same whatever the batches become. The sums of AdaGrad are not reset when
/// the batch grows: squared gradients of larger batches are smaller, and steps become longer.
///
/// The oracle must tell examples apart: [`Oracle::gradient_spread`] or [`Oracle::per_example_grads`].
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::adaptive_batch::{AdaptiveBatch, Controller};
/// use lisse_optim::{AdaGradNorm, Optimizer, Oracle};
/// /// 1/2 |x - a_i|^2 on average over the first examples of a data set.
/// struct Points(Array);
/// impl Oracle<Array> for Points {
///     fn value_and_grad(&mut self, x: &Array) -> (f64, Array) {
///         (self.value(x), x - self.0.mean(&[0]))
///     }
///     fn value(&mut self, x: &Array) -> f64 {
///         (x - &self.0).square().sum(&[1]).mean_all().item() / 2.0
///     }
///     fn hvp(&mut self, _: &Array, v: &Array) -> Array {
///         v.clone()
///     }
///     fn per_example_grads(&mut self, x: &Array) -> Option<Array> {
///         Some(x - &self.0)
///     }
/// }
/// let data = lisse_array::Stream::new(0).normal(&[512, 3], lisse_array::DType::F64);
/// let optimizer = AdaptiveBatch::new(Controller::norm(0.5, 4, 512), AdaGradNorm::new(1.0));
/// let mut x = Array::full(&[3], 5.0, data.dtype());
/// let mut state = optimizer.init(&x);
/// for _ in 0..30 {
///     let size = optimizer.batch_size(&state).unwrap();
///     optimizer.step(&mut x, &mut state, &mut Points(data.narrow(0, 0, size)));
/// }
/// assert!(optimizer.batch_size(&state) > Some(4)); // near the minimum a small batch sees only noise
/// ```
#[derive(Clone, Debug)]
pub struct AdaptiveBatch<O> {
    /// The decision.
    pub controller: Controller,
    /// The optimizer.
    pub inner: O,
}

impl<O> AdaptiveBatch<O> {
    /// An optimizer with this controller.
    pub fn new(controller: Controller, inner: O) -> AdaptiveBatch<O> {
        AdaptiveBatch { controller, inner }
    }
}

/// Name of the metric with the place of a batch's first example whose gradient is not finite.
pub const FLAWED: &str = "example_not_finite";

fn measure<P: Tree>(
    oracle: &mut dyn Oracle<P>,
    params: &P,
    gradient: &P,
    question: Question,
) -> Spread {
    let spread = oracle.gradient_spread(params, gradient, question).or_else(|| {
        let stacked = oracle.per_example_grads(params)?;
        Some(Spread::of_rows(&rows(&Flat::of(params), &stacked)))
    });
    spread.expect(
        "AdaptiveBatch: this problem gives no gradients of single examples; its oracle needs `gradient_spread` or `per_example_grads`",
    )
}

impl<P: Tree, O: Optimizer<P>> Optimizer<P> for AdaptiveBatch<O> {
    fn init(&self, params: &P) -> State<P> {
        self.inner.init(params)
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let mut memory = Memory::read(state, &self.controller);
        let size = memory.size;
        state.set_schedule_step(memory.examples / self.controller.initial() as u64);
        let before = params.clone();
        let question = self.controller.question(&memory);
        let (mut info, seen) = stepped(&self.inner, params, state, oracle, question.is_some());
        let factor = self.controller.rate_factor(&memory);
        if factor != 1.0 {
            *params = stretched(&before, params, factor);
            info.learning_rate *= factor;
        }
        self.controller.count_step(&mut memory);
        info.metrics.push(("batch_size", size as f64));
        if let Some(question) = question {
            let (at, gradient) = seen.unwrap_or_else(|| {
                // The rule looked at outputs only.
                let gradient = oracle.value_and_grad(&before).1;
                (before, gradient)
            });
            let spread = measure(oracle, &at, &gradient, question);
            let decision = self.controller.decide(&mut memory, &spread);
            report(&mut info, &spread, &decision);
        }
        memory.write(state);
        info
    }

    fn batch_size(&self, state: &State<P>) -> Option<usize> {
        Some(Memory::read(state, &self.controller).size)
    }

    fn averaged(&self, params: &P, state: &State<P>) -> Option<P> {
        self.inner.averaged(params, state)
    }
}

/// The inner step, and the first point and gradient that it asked for.
fn stepped<P: Tree>(
    inner: &impl Optimizer<P>,
    params: &mut P,
    state: &mut State<P>,
    oracle: &mut dyn Oracle<P>,
    look: bool,
) -> (StepInfo, Option<(P, P)>) {
    if !look {
        return (inner.step(params, state, oracle), None);
    }
    let mut seen = None;
    let mut raw = WithGradient::new(oracle, |oracle, at: &P| {
        let (value, gradient) = oracle.value_and_grad(at);
        seen.get_or_insert_with(|| (at.clone(), gradient.clone()));
        (value, gradient)
    });
    let info = inner.step(params, state, &mut raw);
    (info, seen)
}

/// `before + factor (after - before)` for what is trained: the step at a learning rate multiplied by `factor`.
fn stretched<P: Tree>(before: &P, after: &P, factor: f64) -> P {
    let mut trainable = before.trainable().into_iter();
    before.zip_map(after, |before: &Array, after: &Array| match trainable.next() {
        Some(true) => before.add_scaled(factor, &(after - before)),
        _ => after.clone(),
    })
}

fn report(info: &mut StepInfo, spread: &Spread, decision: &Decision) {
    info.metrics.push(("gradient_variance", spread.total));
    info.metrics.push(("squared_gradient_norm", spread.squared_norm));
    if decision.noise_floor {
        info.metrics.push(("noise_floor_reached", 1.0));
    } else {
        info.metrics.push(("batch_need", decision.need));
    }
    if let Some(example) = spread.flawed {
        info.metrics.push((FLAWED, example as f64));
    }
}

impl OptimizerConfig {
    pub(crate) fn validate_adaptive_batch(&self) -> Result<(), OutOfRange> {
        let Some(controller) = &self.adaptive_batch else { return Ok(()) };
        controller
            .validate()
            .map_err(|bad| OutOfRange { key: format!("adaptive_batch.{}", bad.key), ..bad })?;
        if controller.coupling != Coupling::None && self.keeps_points() {
            return Err(OutOfRange {
                key: "adaptive_batch.coupling".into(),
                expected: "`none` beside averages or constraints of the iterates, which a longer step would leave",
            });
        }
        Ok(())
    }

    /// Whether something inside averages the points that its steps lead to, or keeps them within a set.
    fn keeps_points(&self) -> bool {
        if self.average.is_some() {
            return true;
        }
        use crate::config::Rule;
        if matches!(self.optimizer, Rule::ScheduleFree(_) | Rule::Csmd(_)) {
            return true;
        }
        false
    }

    pub(crate) fn with_adaptive_batch<P: Tree + 'static>(
        &self,
        inner: Box<dyn Optimizer<P>>,
        total: u64,
    ) -> Box<dyn Optimizer<P>> {
        match &self.adaptive_batch {
            None => inner,
            Some(controller) => {
                let budget = total * controller.initial() as u64;
                let controller = Controller { budget, ..controller.clone() };
                Box::new(AdaptiveBatch { controller, inner })
            }
        }
    }
}
