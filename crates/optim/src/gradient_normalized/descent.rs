//! Problems with curvature, methods that descend them, and the loop around both.

use std::time::Instant;

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use super::curvature::{Approximation, Curvature};
use super::metric::Metric;
use super::solver::{NotLowRank, Work};
use crate::config::OutOfRange;

/// A smooth function of a vector that can give matrices in place of its Hessian.
pub trait CurvedProblem {
    /// Length of the argument.
    fn dim(&self) -> usize;

    /// `f(x)`
    fn value(&self, x: &Array) -> f64;

    /// `f(x)` and its gradient.
    fn value_and_grad(&self, x: &Array) -> (f64, Array);

    /// The Hessian approximations that this problem has, besides [`Approximation::None`].
    fn approximations(&self) -> &'static [Approximation];

    /// `H(x)`; `None` for an approximation that this problem does not have.
    fn curvature(&self, x: &Array, approximation: Approximation) -> Option<Curvature<'_>>;
}

/// Why a descent cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum DescentError {
    /// The problem has no such matrix.
    #[error("the problem has no Hessian approximation `{asked}`; it has {}", names(available))]
    NoApproximation {
        /// What was asked for.
        asked: Approximation,
        /// What there is.
        available: &'static [Approximation],
    },
    /// Woodbury without low rank.
    #[error(transparent)]
    NotLowRank(#[from] NotLowRank),
    /// Starting point and problem, or metric and problem, differ in dimension.
    #[error("{what} has {found} elements, the problem {expected}")]
    Dimension {
        /// The one that differs.
        what: &'static str,
        /// Its dimension.
        found: usize,
        /// That of the problem.
        expected: usize,
    },
    /// A hyperparameter out of range.
    #[error("{key}: expected {expected}")]
    OutOfRange {
        /// The hyperparameter.
        key: String,
        /// What would be right.
        expected: &'static str,
    },
}

fn names(available: &[Approximation]) -> String {
    let all = available.iter().chain([&Approximation::None]);
    all.map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ")
}

impl From<OutOfRange> for DescentError {
    fn from(bad: OutOfRange) -> Self {
        DescentError::OutOfRange { key: bad.key, expected: bad.expected }
    }
}

/// What a descent has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Values alone.
    pub values: usize,
    /// Gradients, each with its value.
    pub gradients: usize,
    /// Hessian approximations asked for.
    pub hessians: usize,
    /// Products with one.
    pub products: usize,
    /// Linear systems solved.
    pub solves: usize,
    /// Matrix decompositions.
    pub factorizations: usize,
}

impl Counts {
    pub(super) fn add(&mut self, work: Work) {
        self.products += work.products;
        self.solves += work.solves;
        self.factorizations += work.factorizations;
    }
}

/// Where a descent stands. One form for all methods, so that it is saved and resumed in one way.
#[derive(Clone, Debug, Serialize, Deserialize, lisse_array::Tree)]
pub struct Progress {
    /// Current point.
    pub x: Array,
    /// Value there.
    pub value: f64,
    /// Gradient there.
    pub gradient: Array,
    /// `|g|_*`
    pub gradient_norm: f64,
    /// What the method adapts: `gamma`, a Lipschitz constant or a regularization.
    pub parameter: f64,
    /// Damping of the last step; NaN before the first and for methods without.
    pub damping: f64,
    /// The second sequence of the fast gradient method.
    pub companion: Option<Array>,
    /// Its weight.
    pub weight: f64,
    /// Iterations taken.
    pub iteration: usize,
    /// What they cost.
    #[tree(skip)]
    pub counts: Counts,
}

impl Progress {
    /// The starting point, evaluated.
    pub fn start(
        problem: &dyn CurvedProblem,
        metric: &Metric,
        x: &Array,
        parameter: f64,
    ) -> Progress {
        let (value, gradient) = problem.value_and_grad(x);
        Progress {
            x: x.clone(),
            value,
            gradient_norm: metric.dual_norm(&gradient),
            gradient,
            parameter,
            damping: f64::NAN,
            companion: None,
            weight: 0.0,
            iteration: 0,
            counts: Counts { gradients: 1, ..Counts::default() },
        }
    }
}

/// A method that descends a [`CurvedProblem`].
pub trait Descent {
    /// Checks the hyperparameters.
    ///
    /// # Errors
    /// The first value out of range.
    fn check(&self) -> Result<(), OutOfRange>;

    /// The first value of [`Progress::parameter`].
    fn initial(&self) -> f64;

    /// One iteration; false if no step is accepted, which leaves the point as it is.
    ///
    /// # Errors
    /// If the problem lacks the Hessian approximation or the solver cannot use it.
    fn advance(
        &self,
        problem: &dyn CurvedProblem,
        metric: &Metric,
        progress: &mut Progress,
    ) -> Result<bool, DescentError>;
}

/// The matrix asked for, counted, or what there is instead.
pub(super) fn curvature<'a>(
    problem: &'a dyn CurvedProblem,
    progress: &mut Progress,
    asked: Approximation,
) -> Result<Curvature<'a>, DescentError> {
    if asked == Approximation::None {
        return Ok(Curvature::Zero);
    }
    let found = problem.curvature(&progress.x, asked);
    let found = found
        .ok_or(DescentError::NoApproximation { asked, available: problem.approximations() })?;
    progress.counts.hessians += usize::from(!matches!(found, Curvature::Zero));
    Ok(found)
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stopping {
    /// The minimal value, where it is known.
    pub minimum: Option<f64>,
    /// Converged when the value is less than this above the minimum.
    pub value_tolerance: f64,
    /// Converged when `|g|_*` is below this.
    pub gradient_tolerance: Option<f64>,
    /// Most iterations.
    pub max_iterations: usize,
}

impl Default for Stopping {
    fn default() -> Self {
        Stopping {
            minimum: None,
            value_tolerance: 1e-8,
            gradient_tolerance: Some(1e-8),
            max_iterations: 1000,
        }
    }
}

/// Why a descent ended. Not converging is a result, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The value is near enough to the known minimum.
    #[serde(rename = "converged_f")]
    ConvergedValue,
    /// The gradient is small enough.
    #[serde(rename = "converged_grad")]
    ConvergedGradient,
    /// The iteration limit was reached.
    #[serde(rename = "max_iters")]
    MaxIterations,
    /// No trial was accepted; the point is the best one found.
    #[serde(rename = "search_exhausted")]
    SearchExhausted,
    /// Value or gradient is NaN or infinite.
    #[serde(rename = "non_finite")]
    NonFinite,
}

impl Status {
    /// As it is saved: `converged_f`, `converged_grad`, `max_iters`, `search_exhausted` or `non_finite`.
    pub fn name(self) -> &'static str {
        match self {
            Status::ConvergedValue => "converged_f",
            Status::ConvergedGradient => "converged_grad",
            Status::MaxIterations => "max_iters",
            Status::SearchExhausted => "search_exhausted",
            Status::NonFinite => "non_finite",
        }
    }

    /// What it means and what to try.
    pub fn advice(self) -> &'static str {
        match self {
            Status::ConvergedValue => "the value is within the tolerance of the known minimum",
            Status::ConvergedGradient => "the gradient is below the tolerance",
            Status::MaxIterations => {
                "the iteration limit was reached; raise max_iterations or use a better Hessian approximation"
            }
            Status::SearchExhausted => {
                "no trial step lowers the value enough: rounding may be all that is left, or the gradient is wrong; \
                 accept this point, rescale the problem, or check the derivatives"
            }
            Status::NonFinite => "value or gradient is not finite here; start elsewhere",
        }
    }
}

/// One line of a descent's history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Iterations so far.
    pub iteration: usize,
    /// Value.
    pub value: f64,
    /// `|g|_*`
    pub gradient_norm: f64,
    /// See [`Progress::parameter`].
    pub parameter: f64,
    /// See [`Progress::damping`].
    pub damping: f64,
    /// What it has cost.
    pub counts: Counts,
    /// Seconds since the start.
    pub seconds: f64,
}

/// The result of [`descend`].
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Where the descent ended.
    pub x: Array,
    /// The value there.
    pub value: f64,
    /// `|g|_*` there.
    pub gradient_norm: f64,
    /// Why it ended.
    pub status: Status,
    /// Iterations taken.
    pub iterations: usize,
    /// What they cost.
    pub counts: Counts,
    /// Progress by iteration, the start included.
    pub trace: Vec<Record>,
}

/// Minimizes `problem` from `x0`.
///
/// ```
/// use lisse_array::{Array, DType};
/// use lisse_optim::gradient_normalized::{
///     GradientRegularizedNewton, Metric, Status, Stopping, descend, problems::LogSumExp,
/// };
/// let a = Array::from_slice(&[1.0f64, 0.0, 0.0, 1.0, -1.0, -1.0], &[3, 2]);
/// let problem = LogSumExp::new(a, Array::zeros(&[3], DType::F64), 1.0)?;
/// let newton = GradientRegularizedNewton::default();
/// let start = Array::ones(&[2], DType::F64);
/// let best = descend(&problem, &start, &newton, &Metric::identity(), &Stopping::default())?;
/// assert_eq!(best.status, Status::ConvergedGradient);
/// assert!((best.value - 3f64.ln()).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If dimensions differ, a hyperparameter is out of range, or the problem lacks what the method needs.
pub fn descend(
    problem: &dyn CurvedProblem,
    x0: &Array,
    method: &dyn Descent,
    metric: &Metric,
    stopping: &Stopping,
) -> Result<Outcome, DescentError> {
    check(problem, x0, method, metric)?;
    let clock = Instant::now();
    let mut progress = Progress::start(problem, metric, x0, method.initial());
    let mut trace = Vec::new();
    let status = loop {
        trace.push(progress.record(clock.elapsed().as_secs_f64()));
        if let Some(status) = stopping.reached(&progress) {
            break status;
        }
        if !method.advance(problem, metric, &mut progress)? {
            break Status::SearchExhausted;
        }
        progress.iteration += 1;
    };
    Ok(Outcome {
        x: progress.x,
        value: progress.value,
        gradient_norm: progress.gradient_norm,
        status,
        iterations: progress.iteration,
        counts: progress.counts,
        trace,
    })
}

fn check(
    problem: &dyn CurvedProblem,
    x0: &Array,
    method: &dyn Descent,
    metric: &Metric,
) -> Result<(), DescentError> {
    method.check()?;
    let expected = problem.dim();
    let sizes = [("the starting point", Some(x0.len())), ("the metric", metric.dim())];
    for (what, size) in sizes {
        if let Some(found) = size.filter(|&size| size != expected) {
            return Err(DescentError::Dimension { what, found, expected });
        }
    }
    Ok(())
}

impl Progress {
    /// This point as a line of history.
    pub fn record(&self, seconds: f64) -> Record {
        Record {
            iteration: self.iteration,
            value: self.value,
            gradient_norm: self.gradient_norm,
            parameter: self.parameter,
            damping: self.damping,
            counts: self.counts,
            seconds,
        }
    }
}

impl Stopping {
    /// Whether to stop here. A gradient of zero always ends a descent.
    pub fn reached(&self, progress: &Progress) -> Option<Status> {
        let norm = progress.gradient_norm;
        if !progress.value.is_finite() || !norm.is_finite() {
            Some(Status::NonFinite)
        } else if self.minimum.is_some_and(|f| progress.value - f < self.value_tolerance) {
            Some(Status::ConvergedValue)
        } else if norm == 0.0 || self.gradient_tolerance.is_some_and(|limit| norm < limit) {
            Some(Status::ConvergedGradient)
        } else if progress.iteration >= self.max_iterations {
            Some(Status::MaxIterations)
        } else {
            None
        }
    }
}
