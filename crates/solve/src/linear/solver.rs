//! Choosing and running a method.

use std::fmt;
use std::sync::Arc;

use super::{
    Factor, LinearError, Operator, Structure, dense, krylov, least_squares, minres, vector,
};

/// How to solve.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Method {
    /// By the operator's structure: CG, MINRES or GMRES; LSQR if it is not square.
    #[default]
    Auto,
    /// Conjugate gradients, for positive definite operators.
    Cg,
    /// Minimal residuals, for symmetric operators.
    Minres,
    /// Generalised minimal residuals, restarted after `restart` directions.
    Gmres {
        /// Directions kept.
        restart: usize,
    },
    /// Stabilised biconjugate gradients: constant memory, no transpose.
    BiCgStab,
    /// `x = sum (I - A)^k b`, for `I - A` a contraction. `terms` stops it early on purpose, and then no residual is required.
    Neumann {
        /// How many terms to sum; `None` until the tolerance is met.
        terms: Option<usize>,
    },
    /// CG on `A^T A x = A^T b`: needs no structure but squares the condition number.
    NormalCg,
    /// LSQR (Paige and Saunders 1982): least squares, and of several solutions that of smallest norm.
    Lsqr,
    /// Dense elimination.
    Lu,
    /// Dense Cholesky factor.
    Cholesky,
    /// Dense QR factor.
    Qr,
    /// Dense inverse, multiplied.
    Inverse,
    /// `x = b`: the operator is taken for the identity ("Jacobian-free"). No residual is required.
    Identity,
}

impl Method {
    /// Its name in messages and recipes.
    pub fn name(self) -> &'static str {
        match self {
            Method::Auto => "auto",
            Method::Cg => "cg",
            Method::Minres => "minres",
            Method::Gmres { .. } => "gmres",
            Method::BiCgStab => "bicgstab",
            Method::Neumann { .. } => "neumann",
            Method::NormalCg => "normal-cg",
            Method::Lsqr => "lsqr",
            Method::Lu => "lu",
            Method::Cholesky => "cholesky",
            Method::Qr => "qr",
            Method::Inverse => "inverse",
            Method::Identity => "identity",
        }
    }

    /// The method of this name, with its default options.
    pub fn named(name: &str) -> Option<Method> {
        let all = [
            Method::Auto,
            Method::Cg,
            Method::Minres,
            Method::gmres(),
            Method::BiCgStab,
            Method::Neumann { terms: None },
            Method::NormalCg,
            Method::Lsqr,
            Method::Lu,
            Method::Cholesky,
            Method::Qr,
            Method::Inverse,
            Method::Identity,
        ];
        all.into_iter().find(|method| method.name() == name)
    }

    /// GMRES with 50 directions.
    pub fn gmres() -> Method {
        Method::Gmres { restart: 50 }
    }

    /// What `Auto` means for this operator.
    fn resolve(self, operator: &Operator<'_>) -> Method {
        match (self, operator.known()) {
            (Method::Auto, _) if operator.rows() != operator.columns() => Method::Lsqr,
            (Method::Auto, Structure::PositiveDefinite) => Method::Cg,
            (Method::Auto, Structure::Symmetric) => Method::Minres,
            (Method::Auto, Structure::General) => Method::gmres(),
            (method, _) => method,
        }
    }

    /// Whether the result is an approximation on purpose, or a least-squares solution with a residual of its own.
    fn residual_is_free(self) -> bool {
        matches!(self, Method::Identity | Method::Neumann { terms: Some(_) } | Method::Lsqr)
    }
}

/// `apply(r, z)` writes an approximate solution of `A z = r` into `z`.
pub type ApproximateInverse = dyn Fn(&[f64], &mut [f64]) + Send + Sync;

/// An approximate inverse. It must be symmetric positive definite for CG and MINRES.
#[derive(Clone)]
pub enum Preconditioner {
    /// `apply(r, z)` writes the approximate solution of `A z = r` into `z`.
    Function(Arc<ApproximateInverse>),
    /// A factor of a nearby matrix.
    Factor(Arc<Factor>),
}

impl Preconditioner {
    /// `z = r / diagonal`, the inverse of a diagonal.
    pub fn diagonal(diagonal: &[f64]) -> Preconditioner {
        let inverse: Vec<f64> = diagonal.iter().map(|d| 1.0 / d).collect();
        Preconditioner::Function(Arc::new(move |r, z| {
            for ((z, r), d) in z.iter_mut().zip(r).zip(&inverse) {
                *z = r * d;
            }
        }))
    }

    /// `z = M^{-1} r`
    pub fn apply(&self, r: &[f64], z: &mut [f64]) {
        match self {
            Preconditioner::Function(apply) => apply(r, z),
            Preconditioner::Factor(factor) => {
                z.copy_from_slice(r);
                factor.solve_in_place(z, false);
            }
        }
    }
}

impl fmt::Debug for Preconditioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Preconditioner::Function(_) => "Function",
            Preconditioner::Factor(_) => "Factor",
        })
    }
}

/// A method with its tolerances.
#[derive(Clone, Debug)]
pub struct LinearSolver {
    /// How to solve.
    pub method: Method,
    /// Relative residual at which an iteration stops.
    pub tolerance: f64,
    /// Relative residual above which the result is refused.
    pub bound: f64,
    /// Products with the operator at most; `None`: ten times the size, at least 1000.
    pub max_iterations: Option<usize>,
    /// Added to the diagonal: `A + ridge I` (`A^T A + ridge I` for least squares).
    pub ridge: f64,
    /// Rounds of iterative refinement: the ridge then only helps the inner solves, `x += (A + ridge I)^{-1} (b - A x)`.
    pub refinements: usize,
    /// An approximate inverse, for the Krylov methods.
    pub preconditioner: Option<Preconditioner>,
}

impl Default for LinearSolver {
    fn default() -> LinearSolver {
        LinearSolver {
            method: Method::Auto,
            tolerance: 1e-10,
            bound: 1e-3,
            max_iterations: None,
            ridge: 0.0,
            refinements: 0,
            preconditioner: None,
        }
    }
}

/// What a solve reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The method that ran.
    pub method: &'static str,
    /// Products with the operator (about one per iteration).
    pub iterations: usize,
    /// `|b - A x| / |b|`, computed from the solution.
    pub residual: f64,
    /// A hint at the condition number, where the method gives one.
    pub condition: Option<f64>,
}

/// A solution with its report.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// The solution.
    pub x: Vec<f64>,
    /// How it was reached.
    pub report: Report,
}

/// What a method hands back: the report's residual is filled in by the caller.
pub(super) struct Outcome {
    pub x: Vec<f64>,
    pub iterations: usize,
    pub condition: Option<f64>,
}

/// What a Krylov method is given.
pub(super) struct Task<'a> {
    pub operator: &'a Operator<'a>,
    pub b: &'a [f64],
    /// Absolute residual at which to stop.
    pub target: f64,
    pub max_iterations: usize,
    pub preconditioner: Option<&'a Preconditioner>,
}

impl LinearSolver {
    /// This method with the default tolerances.
    pub fn new(method: Method) -> LinearSolver {
        LinearSolver { method, ..LinearSolver::default() }
    }

    /// Solves `A x = b`.
    ///
    /// # Errors
    /// [`LinearError`]: a residual above the bound, a singular or indefinite operator, NaN, sizes that do not fit.
    pub fn solve(&self, operator: &Operator<'_>, b: &[f64]) -> Result<Solution, LinearError> {
        self.solve_from(operator, b, None)
    }

    /// As [`solve`](Self::solve), from a first guess (which direct methods ignore).
    ///
    /// # Errors
    /// As [`solve`](Self::solve).
    pub fn solve_from(
        &self,
        operator: &Operator<'_>,
        b: &[f64],
        start: Option<&[f64]>,
    ) -> Result<Solution, LinearError> {
        self.check(operator, b, start)?;
        let method = self.method.resolve(operator);
        let size = vector::norm(b);
        let x = start.map_or_else(|| vec![0.0; operator.columns()], <[f64]>::to_vec);
        if size == 0.0 {
            let x = vec![0.0; operator.columns()];
            return Ok(Solution { x, report: report(method, 0, 0.0, None) });
        }
        let outcome = if self.ridge == 0.0 || matches!(method, Method::Lsqr | Method::NormalCg) {
            self.run(method, operator, b, x, size)?
        } else if self.refinements == 0 {
            let shifted = operator.ridged(self.ridge);
            let outcome = self.run(method, &shifted, b, x, size)?;
            return self.finish(method, &shifted, b, size, outcome);
        } else {
            self.refine(method, operator, b, x, size)?
        };
        self.finish(method, operator, b, size, outcome)
    }

    fn check(
        &self,
        operator: &Operator<'_>,
        b: &[f64],
        start: Option<&[f64]>,
    ) -> Result<(), LinearError> {
        let method = self.method.resolve(operator);
        let (rows, columns) = (operator.rows(), operator.columns());
        let size = |what, len, need| LinearError::Size { rows, columns, what, len, need };
        if b.len() != rows {
            return Err(size("the right-hand side", b.len(), rows));
        }
        if let Some(start) = start.filter(|start| start.len() != columns) {
            return Err(size("the start", start.len(), columns));
        }
        let least_squares = matches!(method, Method::Lsqr | Method::NormalCg);
        if rows != columns && !least_squares {
            return Err(LinearError::NotSquare { method: method.name(), rows, columns });
        }
        if least_squares && !operator.has_transpose() {
            return Err(LinearError::NoTranspose { method: method.name() });
        }
        if !vector::all_finite(b) {
            return Err(LinearError::NotFinite {
                method: method.name(),
                what: "the right-hand side",
            });
        }
        if start.is_some_and(|start| !vector::all_finite(start)) {
            return Err(LinearError::NotFinite { method: method.name(), what: "the start" });
        }
        self.check_options()
    }

    /// Refuses options outside their range.
    ///
    /// # Errors
    /// [`LinearError::Option`] with the range.
    pub fn check_options(&self) -> Result<(), LinearError> {
        let bad = |option, value, range| Err(LinearError::Option { option, value, range });
        if !(self.tolerance >= 0.0 && self.tolerance < 1.0) {
            return bad("tolerance", self.tolerance, "in [0, 1)");
        }
        if self.bound.is_nan() || self.bound <= 0.0 {
            return bad("bound", self.bound, "positive");
        }
        if !(self.ridge >= 0.0 && self.ridge.is_finite()) {
            return bad("ridge", self.ridge, "zero or positive");
        }
        if let Method::Gmres { restart: 0 } = self.method {
            return bad("restart", 0.0, "at least 1");
        }
        Ok(())
    }

    fn run(
        &self,
        method: Method,
        operator: &Operator<'_>,
        b: &[f64],
        x: Vec<f64>,
        size: f64,
    ) -> Result<Outcome, LinearError> {
        let most = operator.rows().max(operator.columns());
        let task = Task {
            operator,
            b,
            target: self.tolerance * size,
            max_iterations: self.max_iterations.unwrap_or((10 * most).max(1000)),
            preconditioner: self.preconditioner.as_ref(),
        };
        match method {
            Method::Cg => krylov::cg(&task, x),
            Method::Minres => minres::minres(&task, x),
            Method::Gmres { restart } => krylov::gmres(&task, x, restart),
            Method::BiCgStab => krylov::bicgstab(&task, x),
            Method::Neumann { terms } => krylov::neumann(&task, terms),
            Method::NormalCg => least_squares::normal_cg(&task, x, self.ridge),
            Method::Lsqr => least_squares::lsqr(&task, x, self.ridge),
            Method::Identity => Ok(Outcome { x: b.to_vec(), iterations: 0, condition: None }),
            Method::Lu | Method::Cholesky | Method::Qr | Method::Inverse => {
                dense::solve(method, operator, b)
            }
            Method::Auto => self.run(method.resolve(operator), operator, b, x, size),
        }
    }

    /// `x += (A + ridge I)^{-1} (b - A x)` until the residual meets the tolerance.
    fn refine(
        &self,
        method: Method,
        operator: &Operator<'_>,
        b: &[f64],
        mut x: Vec<f64>,
        size: f64,
    ) -> Result<Outcome, LinearError> {
        let shifted = operator.ridged(self.ridge);
        let mut r = vec![0.0; b.len()];
        let (mut iterations, mut condition) = (0, None);
        for _ in 0..=self.refinements {
            operator.residual(b, &x, &mut r);
            let left = vector::norm(&r);
            if left <= self.tolerance * size {
                break;
            }
            let step = self.run(method, &shifted, &r, vec![0.0; x.len()], left)?;
            vector::axpy(1.0, &step.x, &mut x);
            iterations += step.iterations + 1;
            condition = step.condition;
        }
        Ok(Outcome { x, iterations, condition })
    }

    fn finish(
        &self,
        method: Method,
        operator: &Operator<'_>,
        b: &[f64],
        size: f64,
        outcome: Outcome,
    ) -> Result<Solution, LinearError> {
        let mut r = vec![0.0; b.len()];
        operator.residual(b, &outcome.x, &mut r);
        let residual = vector::norm(&r) / size;
        let (name, iterations) = (method.name(), outcome.iterations);
        if !residual.is_finite() {
            return Err(LinearError::NotFinite { method: name, what: "the solution" });
        }
        let ridged = self.ridge > 0.0 && method == Method::NormalCg;
        if residual > self.bound && !method.residual_is_free() && !ridged {
            let bound = self.bound;
            return Err(LinearError::Residual { method: name, residual, bound, iterations });
        }
        let report = report(method, iterations, residual, outcome.condition);
        Ok(Solution { x: outcome.x, report })
    }
}

fn report(method: Method, iterations: usize, residual: f64, condition: Option<f64>) -> Report {
    Report { method: method.name(), iterations, residual, condition }
}
