//! How a solve is differentiated.

use std::sync::{Arc, Mutex, PoisonError};

use super::ImplicitError;
use crate::linear::{LinearSolver, Method, Report};

/// What one linear solve of a derivative came to.
#[derive(Clone, Debug, PartialEq)]
pub struct SolveReport {
    /// The condition.
    pub condition: &'static str,
    /// Whether it was the transposed system (reverse mode).
    pub transposed: bool,
    /// `|F(x, theta)|` at the point that the solver returned.
    pub optimality: f64,
    /// Method, iterations, relative residual, condition hint.
    pub linear: Report,
}

#[derive(Default)]
pub(super) struct Log {
    reports: Vec<SolveReport>,
    failure: Option<ImplicitError>,
    /// The last solutions of the plain and of the transposed system.
    pub warm: [Option<Vec<f64>>; 2],
}

/// The implicit function theorem: one linear solve per cotangent or tangent, whatever the solver did.
///
/// Clones share the log of their solves. A failed solve gives NaN, and [`checked`](Self::checked) turns it into the error that
/// says why.
#[derive(Clone)]
pub struct Implicit {
    /// Method, tolerance, bound, ridge, preconditioner of the linear solve. [`Method::Auto`] follows the condition's structure;
    /// [`Method::Identity`] takes the Jacobian for the identity, which for a fixed point is the one-step ("Jacobian-free")
    /// derivative; [`Method::Neumann`] with `terms` truncates the series.
    pub linear: LinearSolver,
    /// Solve only for the coordinates that are not zero. Valid for fixed points of operators that hold zeros at zero nearby
    /// (soft thresholding, projection on the simplex or the nonnegative orthant).
    pub support: bool,
    /// The solution is a matrix of so many independent rows (one parameter each): all are solved at once by conjugate
    /// gradients, each until it has converged.
    pub batch: Option<usize>,
    /// Start each solve from the last one's solution. A resumed computation then equals an uninterrupted one only up to the
    /// tolerance.
    pub warm_start: bool,
    log: Arc<Mutex<Log>>,
}

impl Default for Implicit {
    fn default() -> Implicit {
        Implicit::new(LinearSolver::default())
    }
}

impl std::fmt::Debug for Implicit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Implicit")
            .field("linear", &self.linear)
            .field("support", &self.support)
            .field("batch", &self.batch)
            .field("warm_start", &self.warm_start)
            .finish_non_exhaustive()
    }
}

impl Implicit {
    /// With this linear solver.
    pub fn new(linear: LinearSolver) -> Implicit {
        Implicit { linear, support: false, batch: None, warm_start: false, log: Arc::default() }
    }

    /// With this method and the default tolerances.
    pub fn method(method: Method) -> Implicit {
        Implicit::new(LinearSolver::new(method))
    }

    /// Solves on the support alone.
    #[must_use]
    pub fn on_support(mut self) -> Implicit {
        self.support = true;
        self
    }

    /// Treats the solution as `rows` independent ones.
    #[must_use]
    pub fn batched(mut self, rows: usize) -> Implicit {
        self.batch = Some(rows);
        self
    }

    /// Starts solves from the last solution.
    #[must_use]
    pub fn warm(mut self) -> Implicit {
        self.warm_start = true;
        self
    }

    /// Runs `body`, which differentiates, and fails with the first failure of a linear solve in it.
    ///
    /// # Errors
    /// [`ImplicitError::Linear`]: the Jacobian is singular, the residual above the bound, NaN.
    pub fn checked<T>(&self, body: impl FnOnce() -> T) -> Result<T, ImplicitError> {
        self.with_log(|log| {
            log.reports.clear();
            log.failure = None;
        });
        let result = body();
        match self.with_log(|log| log.failure.take()) {
            Some(failure) => Err(failure),
            None => Ok(result),
        }
    }

    /// Reports of the solves since the last [`checked`](Self::checked) began.
    pub fn reports(&self) -> Vec<SolveReport> {
        self.with_log(|log| log.reports.clone())
    }

    pub(super) fn report(&self, report: SolveReport) {
        /// So many reports are kept of an unchecked computation.
        const KEPT: usize = 1024;
        self.with_log(|log| {
            if log.reports.len() == KEPT {
                log.reports.remove(0);
            }
            log.reports.push(report);
        });
    }

    pub(super) fn fail(&self, failure: ImplicitError) {
        self.with_log(|log| {
            log.failure.get_or_insert(failure);
        });
    }

    pub(super) fn with_log<R>(&self, f: impl FnOnce(&mut Log) -> R) -> R {
        f(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Differentiation through iterations: `steps` applications of the condition's map, recorded, from the point that the solver
/// returns. With a solver that returns the first guess this is plain unrolling; from a converged solution it is the truncated
/// form, whose error shrinks like the rate of contraction to the power `steps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unroll {
    /// Iterations.
    pub steps: usize,
    /// Remember only every so many iterations and compute those between again in the backward pass.
    pub checkpoint: Option<usize>,
}

/// How a solve is differentiated.
#[derive(Clone, Debug)]
pub enum Derivative {
    /// By a linear solve at the solution.
    Implicit(Implicit),
    /// Through iterations.
    Unroll(Unroll),
}

impl From<&Implicit> for Derivative {
    fn from(implicit: &Implicit) -> Derivative {
        Derivative::Implicit(implicit.clone())
    }
}

impl From<Unroll> for Derivative {
    fn from(unroll: Unroll) -> Derivative {
        Derivative::Unroll(unroll)
    }
}

impl From<&Derivative> for Derivative {
    fn from(derivative: &Derivative) -> Derivative {
        derivative.clone()
    }
}
