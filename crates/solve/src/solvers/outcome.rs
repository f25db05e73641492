//! What a solve gives back, why it ended, and what can be wrong with its arguments.

use lisse_array::linalg::LinalgError;
use lisse_array::{Array, DType};
use serde::{Deserialize, Serialize};

/// Why a solver ended. Not converging is a result, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stop {
    /// The error is within the tolerance.
    Converged,
    /// The iteration limit was reached.
    MaxIterations,
    /// No step improves the point any more.
    NoProgress,
    /// Something became NaN or infinite.
    NotFinite,
    /// A linear system that the method solves is singular.
    Singular,
    /// No point satisfies the constraints.
    PrimalInfeasible,
    /// The value falls for ever.
    DualInfeasible,
}

impl Stop {
    /// What it means and what to try.
    pub fn advice(self) -> &'static str {
        match self {
            Stop::Converged => "the error is within the tolerance",
            Stop::MaxIterations => {
                "the iteration limit was reached; raise max_iterations, loosen the tolerance, or scale the variables to similar sizes"
            }
            Stop::NoProgress => {
                "no step improves the point within floating-point precision; the tolerance may be out of reach, or the function is \
                 not differentiable here: accept this point, rescale, or start elsewhere"
            }
            Stop::NotFinite => {
                "a value became NaN or infinite; start closer, use smaller steps, or add bounds"
            }
            Stop::Singular => {
                "a matrix of the method is singular here; add regularization, or use a method without linear systems"
            }
            Stop::PrimalInfeasible => {
                "no point satisfies all constraints; the certificate names the rows that contradict each other: loosen one of them"
            }
            Stop::DualInfeasible => {
                "the value falls without end along the certificate's direction; add a bound or a quadratic term"
            }
        }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stop::Converged => "converged",
            Stop::MaxIterations => "iteration limit",
            Stop::NoProgress => "no progress",
            Stop::NotFinite => "not finite",
            Stop::Singular => "singular",
            Stop::PrimalInfeasible => "primal infeasible",
            Stop::DualInfeasible => "dual infeasible",
        })
    }
}

/// How often a solver asked for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Values of the objective, residual or fixed-point map alone.
    pub values: usize,
    /// Gradients (each with its value).
    pub gradients: usize,
    /// Jacobians or Hessians.
    pub jacobians: usize,
    /// Proximal steps or projections.
    pub proximal: usize,
}

impl Counts {
    /// Evaluations of the problem's function: values, gradients and Jacobians together.
    pub fn total(&self) -> usize {
        self.values + self.gradients + self.jacobians
    }
}

/// One line of a solver's history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Iterations so far.
    pub iteration: usize,
    /// The solver's own measure of how far the point is from a solution.
    pub error: f64,
    /// Evaluations of the function so far.
    pub evaluations: usize,
}

/// What a solver came to.
#[derive(Clone, Debug)]
pub struct Solution {
    /// The point, shaped as the start. Differentiable in the parameters as asked for.
    pub x: Array,
    /// Why the solver ended.
    pub stop: Stop,
    /// Iterations taken.
    pub iterations: usize,
    /// The solver's own measure of how far the point is from a solution, at the end.
    pub error: f64,
    /// What it cost.
    pub counts: Counts,
    /// Progress by iteration.
    pub history: Vec<Record>,
}

impl Solution {
    /// The point, or an error that says why the solver ended elsewhere than at a solution.
    ///
    /// # Errors
    /// [`SolverError::NotConverged`] unless it [converged](Stop::Converged).
    pub fn converged(self) -> Result<Array, SolverError> {
        match self.stop {
            Stop::Converged => Ok(self.x),
            stop => Err(SolverError::NotConverged {
                stop,
                iterations: self.iterations,
                error: self.error,
            }),
        }
    }
}

/// Arguments that do not describe a problem.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SolverError {
    /// An array of the wrong shape.
    #[error("{argument} must have {expected}, not shape {found:?}")]
    Shape {
        /// Which argument.
        argument: &'static str,
        /// The shape it needs, in words.
        expected: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// An array that is not f64.
    #[error("{argument} must be f64, not {found}; cast it first")]
    NotF64 {
        /// Which argument.
        argument: &'static str,
        /// Its type.
        found: DType,
    },
    /// NaN or infinity where a number is needed.
    #[error("{argument} is not finite at element {index}: {value}")]
    NotFinite {
        /// Which argument.
        argument: &'static str,
        /// Flat index of the element.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// A number out of range.
    #[error("{argument} must be {expected}, not {value}")]
    OutOfRange {
        /// Which argument.
        argument: &'static str,
        /// What would be right.
        expected: &'static str,
        /// What it is.
        value: f64,
    },
    /// A matrix that should be symmetric.
    #[error(
        "{argument} must be symmetric; its entries ({row}, {column}) and ({column}, {row}) differ"
    )]
    NotSymmetric {
        /// Which argument.
        argument: &'static str,
        /// Row of an entry.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// A quadratic form that curves down somewhere.
    #[error(
        "{argument} must be positive semidefinite: the program is not convex, and may have no or many local solutions"
    )]
    NotConvex {
        /// Which argument.
        argument: &'static str,
    },
    /// A lower bound above its upper bound.
    #[error("the bounds of row {row} are empty: lower {lower}, upper {upper}")]
    EmptyBounds {
        /// The row.
        row: usize,
        /// Its lower bound.
        lower: f64,
        /// Its upper bound.
        upper: f64,
    },
    /// A function that has the same sign at both ends of an interval.
    #[error(
        "the function must change sign between the ends of the interval: f({left}) = {left_value}, f({right}) = {right_value}"
    )]
    NoSignChange {
        /// Left end.
        left: f64,
        /// Value there.
        left_value: f64,
        /// Right end.
        right: f64,
        /// Value there.
        right_value: f64,
    },
    /// A function that returned something of the wrong shape.
    #[error("{function} returned shape {found:?}, not {expected:?}")]
    Returned {
        /// Which function.
        function: &'static str,
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape it returned.
        found: Vec<usize>,
    },
    /// A solution was asked for, and there is none.
    #[error("the solver ended after {iterations} iterations with error {error:e} ({stop}): {}", stop.advice())]
    NotConverged {
        /// Why it ended.
        stop: Stop,
        /// Iterations taken.
        iterations: usize,
        /// Error at the end.
        error: f64,
    },
    /// The solution was refused by the rule of its derivative.
    #[error("the derivative of the solution: {0}")]
    Derivative(String),
    /// A factorization failed.
    #[error(transparent)]
    Linalg(#[from] LinalgError),
}

impl SolverError {
    pub(crate) fn check(
        argument: &'static str,
        value: f64,
        sound: bool,
        expected: &'static str,
    ) -> Result<(), SolverError> {
        if sound { Ok(()) } else { Err(SolverError::OutOfRange { argument, expected, value }) }
    }

    pub(crate) fn check_f64(argument: &'static str, x: &Array) -> Result<(), SolverError> {
        if x.dtype() == DType::F64 {
            return Ok(());
        }
        Err(SolverError::NotF64 { argument, found: x.dtype() })
    }

    pub(crate) fn check_finite(argument: &'static str, x: &Array) -> Result<Vec<f64>, SolverError> {
        SolverError::check_f64(argument, x)?;
        let values = x.to_f64_vec();
        match values.iter().position(|v| !v.is_finite()) {
            Some(index) => Err(SolverError::NotFinite { argument, index, value: values[index] }),
            None => Ok(values),
        }
    }
}
