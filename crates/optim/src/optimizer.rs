//! What an optimizer is, and what it may ask of a problem.

use std::collections::BTreeMap;

use lisse_array::{Array, Path, Segment, Tree, hvp, value_and_grad};
use serde::{Deserialize, Serialize};

/// What an optimizer may ask of the problem, at ANY point: line searches, SAM and surrogates need more than the gradient at the
/// current parameters.
pub trait Oracle<P> {
    /// Loss and gradient.
    fn value_and_grad(&mut self, params: &P) -> (f64, P);

    /// Loss, the gradient to follow, and the one whose squares scale the step where it is another: a wrapper may bound what is
    /// followed and leave the scale alone.
    fn value_and_moment_grads(&mut self, params: &P) -> (f64, P, Option<P>) {
        let (value, gradient) = self.value_and_grad(params);
        (value, gradient, None)
    }

    /// Loss alone.
    fn value(&mut self, params: &P) -> f64;

    /// Exact Hessian-vector product.
    fn hvp(&mut self, params: &P, v: &P) -> P;

    /// Gradients of each example's loss, stacked along a new leading axis of every leaf; `None` if the loss is not a mean over
    /// examples or the problem does not tell them apart.
    fn per_example_grads(&mut self, params: &P) -> Option<P> {
        let _ = params;
        None
    }

    /// How the gradients of the batch's examples spread around `gradient`, their mean at `params`, without holding them all; `None`
    /// if it takes [`per_example_grads`](Self::per_example_grads) to tell.
    fn gradient_spread(
        &mut self,
        params: &P,
        gradient: &P,
        question: crate::adaptive_batch::Question,
    ) -> Option<crate::adaptive_batch::Spread> {
        let _ = (params, gradient, question);
        None
    }

    /// The loss as a function of model outputs, where it is one: what Gauss-Newton products and surrogates need.
    fn composite(&self) -> Option<&dyn Composite<P>> {
        None
    }
}

/// A loss of the form `l(f(params))`, with `f` the model's outputs on the current batch.
pub trait Composite<P> {
    /// `f`: one row per example.
    fn outputs(&self, params: &P) -> Array;

    /// `l`: one float.
    fn loss(&self, outputs: &Array) -> Array;
}

/// The oracle of a differentiable scalar function.
pub struct LossOracle<F>(
    /// The loss; must return one float.
    pub F,
);

impl<P: Tree, F: Fn(&P) -> Array> Oracle<P> for LossOracle<F> {
    fn value_and_grad(&mut self, params: &P) -> (f64, P) {
        let (value, gradient) = value_and_grad(&self.0)(params);
        (value.item(), gradient)
    }

    fn value(&mut self, params: &P) -> f64 {
        (self.0)(params).item()
    }

    fn hvp(&mut self, params: &P, v: &P) -> P {
        hvp(&self.0, params, v)
    }
}

/// The oracle of a loss of model outputs, `l(f(params))`.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::{CompositeOracle, Oracle};
/// let mut oracle = CompositeOracle {
///     outputs: |x: &Array| x * 3.0,
///     loss: |z: &Array| z.square().sum_all(),
/// };
/// let x = Array::from_slice(&[1.0f64, -2.0], &[2]);
/// let (value, gradient) = oracle.value_and_grad(&x);
/// assert_eq!((value, gradient.to_vec::<f64>()), (45.0, vec![18.0, -36.0]));
/// assert!(oracle.composite().is_some());
/// ```
pub struct CompositeOracle<F, L> {
    /// `f`: one row per example.
    pub outputs: F,
    /// `l`: one float.
    pub loss: L,
}

impl<P: Tree, F: Fn(&P) -> Array, L: Fn(&Array) -> Array> Oracle<P> for CompositeOracle<F, L> {
    fn value_and_grad(&mut self, params: &P) -> (f64, P) {
        let (value, gradient) = value_and_grad(|p: &P| (self.loss)(&(self.outputs)(p)))(params);
        (value.item(), gradient)
    }

    fn value(&mut self, params: &P) -> f64 {
        (self.loss)(&(self.outputs)(params)).item()
    }

    fn hvp(&mut self, params: &P, v: &P) -> P {
        hvp(|p: &P| (self.loss)(&(self.outputs)(p)), params, v)
    }

    fn composite(&self) -> Option<&dyn Composite<P>> {
        Some(self)
    }
}

impl<P: Tree, F: Fn(&P) -> Array, L: Fn(&Array) -> Array> Composite<P> for CompositeOracle<F, L> {
    fn outputs(&self, params: &P) -> Array {
        (self.outputs)(params)
    }

    fn loss(&self, outputs: &Array) -> Array {
        (self.loss)(outputs)
    }
}

/// An oracle that answers with another loss and gradient: what wrappers hand to the optimizer inside.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::{LossOracle, Optimizer, Oracle, Sgd, WithGradient};
/// // Signs instead of gradients.
/// let mut oracle = LossOracle(|x: &Array| x.square().sum_all());
/// let mut signs = WithGradient::new(&mut oracle, |inner, x: &Array| {
///     let (value, gradient) = inner.value_and_grad(x);
///     (value, gradient.sign())
/// });
/// let mut x = Array::from_slice(&[3.0f64, -2.0], &[2]);
/// let optimizer = Sgd::new(0.5);
/// let mut state = optimizer.init(&x);
/// optimizer.step(&mut x, &mut state, &mut signs);
/// assert_eq!(x.to_vec::<f64>(), [2.5, -1.5]);
/// ```
pub struct WithGradient<'a, P, F> {
    inner: &'a mut dyn Oracle<P>,
    rule: F,
}

impl<'a, P, F: FnMut(&mut dyn Oracle<P>, &P) -> (f64, P)> WithGradient<'a, P, F> {
    /// Answers `value_and_grad` by `rule`, which may ask `inner` anything; all else by `inner`.
    pub fn new(inner: &'a mut dyn Oracle<P>, rule: F) -> WithGradient<'a, P, F> {
        WithGradient { inner, rule }
    }
}

impl<P, F: FnMut(&mut dyn Oracle<P>, &P) -> (f64, P)> Oracle<P> for WithGradient<'_, P, F> {
    fn value_and_grad(&mut self, params: &P) -> (f64, P) {
        (self.rule)(self.inner, params)
    }
    fn value(&mut self, params: &P) -> f64 {
        self.inner.value(params)
    }
    fn hvp(&mut self, params: &P, v: &P) -> P {
        self.inner.hvp(params, v)
    }
    fn per_example_grads(&mut self, params: &P) -> Option<P> {
        self.inner.per_example_grads(params)
    }
    fn gradient_spread(
        &mut self,
        params: &P,
        gradient: &P,
        question: crate::adaptive_batch::Question,
    ) -> Option<crate::adaptive_batch::Spread> {
        self.inner.gradient_spread(params, gradient, question)
    }
    fn composite(&self) -> Option<&dyn Composite<P>> {
        self.inner.composite()
    }
}

/// What one step tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepInfo {
    /// Loss at the parameters before the step.
    pub loss: f64,
    /// Learning rate that was used.
    pub learning_rate: f64,
    /// Further named figures: gradient norm before clipping, sharpness, ...
    pub metrics: Vec<(&'static str, f64)>,
}

const SCHEDULE_STEP: &str = "schedule_step";

/// An optimizer's memory: trees shaped like the parameters and numbers, by name, so that every optimizer's state is saved,
/// resumed and moved in the same way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(bound(serialize = "P: Serialize", deserialize = "P: serde::de::DeserializeOwned"))]
pub struct State<P> {
    /// Steps taken.
    pub step: u64,
    /// Moments and other trees shaped like the parameters.
    pub trees: BTreeMap<String, P>,
    /// Single numbers.
    pub numbers: BTreeMap<String, f64>,
}

impl<P> State<P> {
    /// A state before the first step, without memory.
    pub fn new() -> State<P> {
        State { step: 0, trees: BTreeMap::new(), numbers: BTreeMap::new() }
    }

    /// Where learning-rate schedules stand: at the steps taken, or, where batches change their size, at the number of initial batches
    /// that the examples used so far would fill.
    pub fn schedule_step(&self) -> u64 {
        self.numbers.get(SCHEDULE_STEP).map_or(self.step, |&step| step as u64)
    }

    /// Sets [`schedule_step`](Self::schedule_step) for the coming step.
    pub fn set_schedule_step(&mut self, step: u64) {
        self.numbers.insert(SCHEDULE_STEP.into(), step as f64);
    }

    /// Adds a named tree.
    pub fn with(mut self, name: &str, tree: P) -> State<P> {
        self.trees.insert(name.to_string(), tree);
        self
    }
}

impl<P: Tree> Tree for State<P> {
    fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array)) {
        path.enter(Segment::Field("trees"));
        self.trees.visit(path, f);
        path.leave();
    }
    fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        path.enter(Segment::Field("trees"));
        let trees = self.trees.rebuild(path, f);
        path.leave();
        State { step: self.step, trees, numbers: self.numbers.clone() }
    }
}

/// A rule that improves parameters step by step.
///
/// Wrappers ([`Sam`](crate::Sam), [`Clipped`](crate::Clipped)) change what the inner optimizer sees of the oracle, so they
/// compose with any optimizer and each other.
///
/// ```
/// use lisse_array::{Array, Tree};
/// use lisse_optim::{Adam, LossOracle, Optimizer, Sam};
/// let optimizer = Sam::new(0.05, Adam::new(0.1));
/// let mut x = Array::from_slice(&[3.0f64, -2.0], &[2]);
/// let mut state = optimizer.init(&x);
/// let mut oracle = LossOracle(|x: &Array| x.square().sum_all());
/// for _ in 0..200 {
///     optimizer.step(&mut x, &mut state, &mut oracle);
/// }
/// assert!(x.norm() < 0.1);
/// ```
pub trait Optimizer<P: Tree> {
    /// Memory before the first step.
    fn init(&self, params: &P) -> State<P>;

    /// One update of `params` in place.
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo;

    /// Examples that the next step's batch should have; `None` leaves it to the training.
    fn batch_size(&self, state: &State<P>) -> Option<usize> {
        let _ = state;
        None
    }

    /// The parameters to use instead of the last iterate, where the method averages; `None` for the last iterate.
    fn averaged(&self, params: &P, state: &State<P>) -> Option<P> {
        let _ = (params, state);
        None
    }
}

impl<P: Tree, O: Optimizer<P> + ?Sized> Optimizer<P> for Box<O> {
    fn init(&self, params: &P) -> State<P> {
        (**self).init(params)
    }
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        (**self).step(params, state, oracle)
    }
    fn batch_size(&self, state: &State<P>) -> Option<usize> {
        (**self).batch_size(state)
    }
    fn averaged(&self, params: &P, state: &State<P>) -> Option<P> {
        (**self).averaged(params, state)
    }
}
