//! What the loops of all solvers share: limits, counts, history.

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use super::{Counts, Record, Solution, SolverError, Stop};

/// When a solver ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Converged when the solver's error is at most this.
    pub tolerance: f64,
    /// Most iterations.
    pub max_iterations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { tolerance: 1e-8, max_iterations: 1000 }
    }
}

impl Limits {
    /// Limits with these values.
    pub fn new(tolerance: f64, max_iterations: usize) -> Limits {
        Limits { tolerance, max_iterations }
    }

    pub(crate) fn check(&self) -> Result<(), SolverError> {
        let sound = self.tolerance > 0.0;
        SolverError::check("tolerance", self.tolerance, sound, "a number above 0")
    }
}

/// The history of a solve in progress.
pub(crate) struct Trace {
    limits: Limits,
    pub counts: Counts,
    history: Vec<Record>,
}

impl Trace {
    pub fn new(limits: Limits) -> Trace {
        Trace { limits, counts: Counts::default(), history: Vec::new() }
    }

    /// Iterations recorded so far.
    pub fn iterations(&self) -> usize {
        self.history.len()
    }

    /// Records an iteration's error; says whether to end.
    pub fn record(&mut self, error: f64) -> Option<Stop> {
        let iteration = self.history.len() + 1;
        self.history.push(Record { iteration, error, evaluations: self.counts.total() });
        self.judge(error)
    }

    /// Whether to end at a point with this error, after the iterations recorded.
    pub fn judge(&self, error: f64) -> Option<Stop> {
        match () {
            () if !error.is_finite() => Some(Stop::NotFinite),
            () if error <= self.limits.tolerance => Some(Stop::Converged),
            () if self.history.len() >= self.limits.max_iterations => Some(Stop::MaxIterations),
            () => None,
        }
    }

    pub fn end(self, x: Array, stop: Stop, error: f64) -> Solution {
        Solution {
            x,
            stop,
            iterations: self.history.len(),
            error,
            counts: self.counts,
            history: self.history,
        }
    }
}

/// Euclidean norm of all elements, as a number.
pub(crate) fn norm(x: &Array) -> f64 {
    x.stop_gradient().square().sum_all().item().sqrt()
}

/// Largest absolute element, as a number; NaN wins.
pub(crate) fn largest(x: &Array) -> f64 {
    if x.is_empty() { 0.0 } else { x.stop_gradient().abs().max_all().item() }
}

/// Inner product of all elements, as a number.
pub(crate) fn dot(a: &Array, b: &Array) -> f64 {
    (a.stop_gradient() * b.stop_gradient()).sum_all().item()
}

/// A start must be finite f64 with at least one element.
pub(crate) fn check_start(start: &Array) -> Result<(), SolverError> {
    if start.is_empty() {
        return Err(SolverError::Shape {
            argument: "the start",
            expected: "at least one element".into(),
            found: start.shape().to_vec(),
        });
    }
    SolverError::check_finite("the start", start).map(|_| ())
}

/// A function's value must have the shape that its use needs.
pub(crate) fn check_returned(
    function: &'static str,
    value: &Array,
    expected: &[usize],
) -> Result<(), SolverError> {
    if value.shape() == expected {
        return Ok(());
    }
    Err(SolverError::Returned {
        function,
        expected: expected.to_vec(),
        found: value.shape().to_vec(),
    })
}

/// An objective must return one number.
pub(crate) fn check_scalar(value: &Array) -> Result<(), SolverError> {
    if value.len() == 1 {
        return Ok(());
    }
    check_returned("the objective", value, &[])
}
