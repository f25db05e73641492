//! Deterministic minimization of smooth functions, with bounds.

mod gradient_descent;
mod lbfgs;
mod line_search;
mod newton_cg;

use lisse_array::{Array, DType, Tree, hvp, value_and_grad};
use serde::{Deserialize, Serialize};

pub use gradient_descent::GradientDescent;
pub use lbfgs::Lbfgs;
pub use newton_cg::NewtonCg;

/// When to stop, and where the minimizer may go.
#[derive(Clone, Debug)]
pub struct Options<P> {
    /// Converged when the largest entry of the (projected) gradient is at most this.
    pub gradient_tolerance: f64,
    /// Most iterations.
    pub max_iterations: usize,
    /// Most evaluations of value, gradient and Hessian-vector product together.
    pub max_evaluations: usize,
    /// Lower and upper bounds, shaped like the argument; infinite entries are free.
    pub bounds: Option<(P, P)>,
}

impl<P> Default for Options<P> {
    fn default() -> Self {
        Options {
            gradient_tolerance: 1e-6,
            max_iterations: 1000,
            max_evaluations: 100_000,
            bounds: None,
        }
    }
}

/// Why a minimization ended. Not converging is a result, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// The gradient is small enough.
    Converged,
    /// No representable step lowers the value any more.
    NoProgress,
    /// The iteration limit was reached.
    MaxIterations,
    /// The evaluation limit was reached.
    MaxEvaluations,
    /// Value or gradient became NaN or infinite.
    NotFinite,
}

impl Stop {
    /// What it means and what to try.
    pub fn advice(self) -> &'static str {
        match self {
            Stop::Converged => "the gradient is below the tolerance",
            Stop::NoProgress => {
                "no step lowers the value within floating-point precision; the tolerance may be out of reach: \
                 use f64, rescale the problem, or accept this point"
            }
            Stop::MaxIterations => {
                "the iteration limit was reached; raise max_iterations or use a second-order method"
            }
            Stop::MaxEvaluations => "the evaluation limit was reached; raise max_evaluations",
            Stop::NotFinite => {
                "value or gradient is not finite here; start elsewhere or add bounds"
            }
        }
    }
}

/// How often the problem was evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Values alone.
    pub values: usize,
    /// Gradients (each with its value).
    pub gradients: usize,
    /// Hessian-vector products.
    pub hessian_products: usize,
}

impl Counts {
    /// All evaluations together.
    pub fn total(&self) -> usize {
        self.values + self.gradients + self.hessian_products
    }
}

/// One line of a minimization's history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Iterations so far.
    pub iteration: usize,
    /// Value.
    pub value: f64,
    /// Largest entry of the projected gradient.
    pub gradient: f64,
    /// Evaluations so far.
    pub evaluations: usize,
}

/// The result of [`minimize()`].
#[derive(Clone, Debug)]
pub struct Minimum<P> {
    /// Where the search ended.
    pub x: P,
    /// The value there.
    pub value: f64,
    /// Largest entry of the projected gradient there.
    pub gradient: f64,
    /// Why the search ended.
    pub stop: Stop,
    /// Iterations taken.
    pub iterations: usize,
    /// What it cost.
    pub counts: Counts,
    /// Progress by iteration, the start included.
    pub history: Vec<Record>,
}

/// The arguments do not describe a problem.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MinimizeError {
    /// Bounds of another shape than the argument.
    #[error("bounds have {found} elements, the starting point {expected}")]
    BoundsShape {
        /// Elements of the bounds.
        found: usize,
        /// Elements of the starting point.
        expected: usize,
    },
    /// A lower bound above its upper bound.
    #[error("bounds of coordinate {coordinate} are empty: lower {lower} exceeds upper {upper}")]
    EmptyBounds {
        /// Flat index of the coordinate.
        coordinate: usize,
        /// Its lower bound.
        lower: f64,
        /// Its upper bound.
        upper: f64,
    },
    /// The starting point holds NaN or infinity.
    #[error("the starting point is not finite at coordinate {coordinate}: {value}")]
    StartNotFinite {
        /// Flat index of the coordinate.
        coordinate: usize,
        /// What stands there.
        value: f64,
    },
    /// The starting point has no elements.
    #[error("the starting point has no trainable elements")]
    Empty,
}

/// A function of one vector, with its bounds and a count of what it was asked.
pub struct Objective<'a> {
    function: Box<dyn Fn(&Array) -> Array + 'a>,
    bounds: Option<(Array, Array)>,
    /// Evaluations so far.
    pub counts: Counts,
}

impl<'a> Objective<'a> {
    /// An objective on vectors.
    pub fn new(function: impl Fn(&Array) -> Array + 'a) -> Objective<'a> {
        Objective { function: Box::new(function), bounds: None, counts: Counts::default() }
    }

    /// Restricts the argument to a box.
    #[must_use]
    pub fn within(mut self, lower: Array, upper: Array) -> Objective<'a> {
        self.bounds = Some((lower, upper));
        self
    }

    /// The value at `x`.
    pub fn value(&mut self, x: &Array) -> f64 {
        self.counts.values += 1;
        (self.function)(x).item()
    }

    /// Value and gradient at `x`.
    pub fn value_and_grad(&mut self, x: &Array) -> (f64, Array) {
        self.counts.gradients += 1;
        let (value, gradient) = value_and_grad(&self.function)(x);
        (value.item(), gradient)
    }

    /// Exact Hessian-vector product at `x`.
    pub fn hvp(&mut self, x: &Array, v: &Array) -> Array {
        self.counts.hessian_products += 1;
        hvp(&self.function, x, v)
    }

    /// The nearest point within the bounds.
    pub fn project(&self, x: &Array) -> Array {
        match &self.bounds {
            Some((lower, upper)) => x.maximum(lower).minimum(upper),
            None => x.clone(),
        }
    }

    /// Whether there are bounds.
    pub fn bounded(&self) -> bool {
        self.bounds.is_some()
    }

    /// Largest entry of `P(x - g) - x`: of the gradient, where no bound is in the way.
    pub fn optimality(&self, x: &Array, gradient: &Array) -> f64 {
        (self.project(&(x - gradient)) - x).abs().max_all().item()
    }

    /// 1 where a coordinate may move along the negative gradient, 0 where a bound holds it or soon would: within the distance
    /// `min(1e-3, |P(x - g) - x|)` of the bound (Bertsekas, 1982), without which steps zigzag between bounds.
    pub fn free(&self, x: &Array, gradient: &Array) -> Array {
        let ones = x.ones_like();
        let Some((lower, upper)) = &self.bounds else { return ones };
        let near = self.optimality(x, gradient).min(1e-3);
        let zero = x.zeros_like();
        let held_low =
            x.less_equal(&(lower + near)).cast(x.dtype()) * gradient.greater(&zero).cast(x.dtype());
        let held_high =
            x.greater_equal(&(upper - near)).cast(x.dtype()) * gradient.less(&zero).cast(x.dtype());
        ones - held_low.maximum(&held_high)
    }

    /// A direction that is a method's own in the `free` coordinates and the negative gradient in the others, which takes them to
    /// their bounds.
    pub fn two_metric(&self, direction: &Array, free: &Array, gradient: &Array) -> Array {
        if self.bounded() { direction * free - gradient * (1.0 - free) } else { direction.clone() }
    }
}

/// Where a minimization stands. One form for all methods, so that it is saved and resumed in one way.
#[derive(Clone, Debug, Serialize, Deserialize, lisse_array::Tree)]
pub struct Iterate {
    /// Current point.
    pub x: Array,
    /// Value there.
    pub value: f64,
    /// Gradient there.
    pub gradient: Array,
    /// Past steps and gradient changes, oldest first (L-BFGS; gradient descent keeps one).
    pub pairs: Vec<(Array, Array)>,
    /// Trust radius (Newton-CG).
    pub radius: f64,
    /// Iterations taken.
    pub iteration: usize,
}

/// A minimization method: how to get from one iterate to the next.
pub trait Method {
    /// One iteration; false if no step lowers the value any more.
    fn step(&self, objective: &mut Objective<'_>, iterate: &mut Iterate) -> bool;

    /// The iterate at a starting point.
    fn start(&self, objective: &mut Objective<'_>, x: &Array) -> Iterate {
        let x = objective.project(x);
        let (value, gradient) = objective.value_and_grad(&x);
        Iterate { x, value, gradient, pairs: Vec::new(), radius: 1.0, iteration: 0 }
    }
}

impl<M: Method + ?Sized> Method for Box<M> {
    fn step(&self, objective: &mut Objective<'_>, iterate: &mut Iterate) -> bool {
        (**self).step(objective, iterate)
    }
    fn start(&self, objective: &mut Objective<'_>, x: &Array) -> Iterate {
        (**self).start(objective, x)
    }
}

/// Minimizes a smooth function of a tree from `x0`.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::{Lbfgs, Options, Stop, minimize};
/// let rosenbrock = |x: &Array| {
///     let (a, b) = (x.index(0, 0), x.index(0, 1));
///     (1.0 - &a).square() + (b - a.square()).square() * 100.0
/// };
/// let best = minimize(rosenbrock, &Array::from_slice(&[-1.2f64, 1.0], &[2]), &Lbfgs::default(), &Options::default())?;
/// assert_eq!(best.stop, Stop::Converged);
/// assert!((best.x.to_vec::<f64>()[1] - 1.0).abs() < 1e-5);
/// # Ok::<(), lisse_optim::minimize::MinimizeError>(())
/// ```
///
/// # Errors
/// If the starting point is empty or not finite, or the bounds are empty or of another shape.
pub fn minimize<P: Tree>(
    f: impl Fn(&P) -> Array,
    x0: &P,
    method: &(impl Method + ?Sized),
    options: &Options<P>,
) -> Result<Minimum<P>, MinimizeError> {
    let start = x0.flatten();
    check_start(&start)?;
    let mut objective = Objective::new(|x: &Array| f(&x0.unflatten(x)));
    if let Some((lower, upper)) = &options.bounds {
        let (lower, upper) = (lower.flatten(), upper.flatten());
        check_bounds(&lower, &upper, start.len())?;
        objective = objective.within(lower, upper);
    }
    let mut iterate = method.start(&mut objective, &start);
    let mut history = Vec::new();
    let stop = loop {
        let gradient = objective.optimality(&iterate.x, &iterate.gradient);
        history.push(Record {
            iteration: iterate.iteration,
            value: iterate.value,
            gradient,
            evaluations: objective.counts.total(),
        });
        if let Some(stop) = stop_reason(&iterate, gradient, &objective.counts, options) {
            break stop;
        }
        if !method.step(&mut objective, &mut iterate) {
            break Stop::NoProgress;
        }
        iterate.iteration += 1;
    };
    let gradient = history.last().map_or(f64::NAN, |r| r.gradient);
    Ok(Minimum {
        x: x0.unflatten(&iterate.x),
        value: iterate.value,
        gradient,
        stop,
        iterations: iterate.iteration,
        counts: objective.counts,
        history,
    })
}

fn stop_reason<P>(
    iterate: &Iterate,
    gradient: f64,
    counts: &Counts,
    options: &Options<P>,
) -> Option<Stop> {
    if !iterate.value.is_finite() || !gradient.is_finite() {
        Some(Stop::NotFinite)
    } else if gradient <= options.gradient_tolerance {
        Some(Stop::Converged)
    } else if iterate.iteration >= options.max_iterations {
        Some(Stop::MaxIterations)
    } else if counts.total() >= options.max_evaluations {
        Some(Stop::MaxEvaluations)
    } else {
        None
    }
}

fn check_start(x: &Array) -> Result<(), MinimizeError> {
    if x.is_empty() {
        return Err(MinimizeError::Empty);
    }
    match x.to_f64_vec().iter().enumerate().find(|(_, v)| !v.is_finite()) {
        Some((coordinate, &value)) => Err(MinimizeError::StartNotFinite { coordinate, value }),
        None => Ok(()),
    }
}

fn check_bounds(lower: &Array, upper: &Array, expected: usize) -> Result<(), MinimizeError> {
    for bound in [lower, upper] {
        if bound.len() != expected {
            return Err(MinimizeError::BoundsShape { found: bound.len(), expected });
        }
    }
    let pairs = lower.to_f64_vec().into_iter().zip(upper.to_f64_vec());
    for (coordinate, (lower, upper)) in pairs.enumerate() {
        // Also refuses NaN.
        if !matches!(
            lower.partial_cmp(&upper),
            Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)
        ) {
            return Err(MinimizeError::EmptyBounds { coordinate, lower, upper });
        }
    }
    Ok(())
}

/// Inner product of two vectors as f64.
pub(crate) fn dot(a: &Array, b: &Array) -> f64 {
    debug_assert!(a.dtype() == DType::F64 || a.dtype() == DType::F32);
    (a * b).sum_all().item()
}
