//! Convex quadratic programs `min 1/2 x' P x + q' x` subject to `l <= A x <= u`.
//!
//! The operator splitting of OSQP (Stellato and others, 2020, arXiv 1711.08013), with its scaling, step adaptation and certificates of
//! infeasibility. Whenever the splitting has settled on a set of active constraints the equations of that set are solved exactly, so that a
//! solution comes with ten or more digits, as derivatives need it.

mod admm;
mod coordinate;
mod kkt;

pub use coordinate::{BoxQpOptions, box_quadratic_program};
pub use kkt::equality_quadratic_program;

use lisse_array::{Array, DType, Tree};
use serde::{Deserialize, Serialize};

use super::{SolverError, Stop};

/// `min 1/2 x' P x + q' x` subject to `lower <= A x <= upper`; bounds may be infinite, and equal for an equation.
///
/// For bounds on single variables give rows of the identity.
#[derive(Clone, Debug, Tree)]
pub struct QuadraticProgram {
    /// `P`, symmetric positive semidefinite, `[n, n]`.
    pub p: Array,
    /// `q`, `[n]`.
    pub q: Array,
    /// `A`, `[m, n]`.
    pub a: Array,
    /// `l`, `[m]`; minus infinity for none.
    pub lower: Array,
    /// `u`, `[m]`; infinity for none.
    pub upper: Array,
}

/// How to solve a quadratic program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QpOptions {
    /// Largest violation of the constraints and of stationarity, absolute and relative to the terms that cancel.
    pub tolerance: f64,
    /// How exactly a certificate of infeasibility must hold, relative to its length.
    pub certificate_tolerance: f64,
    /// Most iterations.
    pub max_iterations: usize,
    /// First step `rho`; it adapts in `[1e-6, 1e6]`.
    pub rho: f64,
    /// Regularization `sigma` of the splitting.
    pub sigma: f64,
    /// Relaxation, in (0, 2).
    pub relaxation: f64,
    /// Whether `rho` follows the ratio of the residuals.
    pub adapt: bool,
    /// Whether the equations of a settled active set are solved exactly.
    pub polish: bool,
}

impl Default for QpOptions {
    fn default() -> Self {
        QpOptions {
            tolerance: 1e-9,
            certificate_tolerance: 1e-6,
            max_iterations: 20_000,
            rho: 0.1,
            sigma: 1e-6,
            relaxation: 1.6,
            adapt: true,
            polish: true,
        }
    }
}

impl QpOptions {
    /// The settings that OSQP publishes: a loose tolerance, no exact end.
    pub fn osqp() -> QpOptions {
        QpOptions {
            tolerance: 1e-3,
            certificate_tolerance: 1e-4,
            max_iterations: 4000,
            polish: false,
            ..QpOptions::default()
        }
    }

    fn check(&self) -> Result<(), SolverError> {
        let positive = |name, value: f64| SolverError::check(name, value, value > 0.0, "above 0");
        positive("tolerance", self.tolerance)?;
        positive("certificate_tolerance", self.certificate_tolerance)?;
        positive("rho", self.rho)?;
        positive("sigma", self.sigma)?;
        let inside = self.relaxation > 0.0 && self.relaxation < 2.0;
        SolverError::check("relaxation", self.relaxation, inside, "between 0 and 2")
    }
}

/// Where a constraint stands at a solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Strictly between its bounds: its multiplier is 0.
    Free,
    /// At its lower bound: multiplier at most 0.
    Lower,
    /// At its upper bound: multiplier at least 0.
    Upper,
    /// Its bounds are equal.
    Equal,
}

/// What a quadratic program came to.
#[derive(Clone, Debug)]
pub struct QpSolution {
    /// `x`, `[n]`. Differentiable in all arrays of the program where [`stop`](Self::stop) is [`Stop::Converged`]; otherwise the last iterate.
    pub x: Array,
    /// Multipliers `y`, `[m]`: `P x + q + A' y = 0`, `y >= 0` at upper and `y <= 0` at lower bounds. Differentiable as `x`.
    pub y: Array,
    /// `1/2 x' P x + q' x`.
    pub value: f64,
    /// Why the solver ended.
    pub stop: Stop,
    /// Iterations taken.
    pub iterations: usize,
    /// Factorizations computed.
    pub factorizations: usize,
    /// Largest violation of the constraints.
    pub primal_residual: f64,
    /// Largest entry of `P x + q + A' y`.
    pub dual_residual: f64,
    /// Where each constraint stands.
    pub active: Vec<Side>,
    /// Whether the equations of the active set were solved exactly.
    pub polished: bool,
    /// For [`Stop::PrimalInfeasible`] a `y` of largest entry 1 with `A' y = 0` and `u' y+ + l' y- < 0`, which no `x` can satisfy; for
    /// [`Stop::DualInfeasible`] a direction `d` with `P d = 0`, `q' d < 0` along which the value falls for ever.
    pub certificate: Option<Vec<f64>>,
}

/// A checked program as plain numbers.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub n: usize,
    pub m: usize,
    pub p: Vec<f64>,
    pub q: Vec<f64>,
    pub a: Vec<f64>,
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
}

impl Numbers {
    fn new(program: &QuadraticProgram) -> Result<Numbers, SolverError> {
        let n = program.q.len();
        let m = program.lower.len();
        if n == 0 {
            return Err(SolverError::Shape {
                argument: "q",
                expected: "at least one element".into(),
                found: program.q.shape().to_vec(),
            });
        }
        let wanted: [(&'static str, &Array, &[usize]); 5] = [
            ("p", &program.p, &[n, n]),
            ("q", &program.q, &[n]),
            ("a", &program.a, &[m, n]),
            ("lower", &program.lower, &[m]),
            ("upper", &program.upper, &[m]),
        ];
        for (argument, array, shape) in wanted {
            SolverError::check_f64(argument, array)?;
            if array.shape() != shape {
                let expected = format!("shape {shape:?}");
                return Err(SolverError::Shape {
                    argument,
                    expected,
                    found: array.shape().to_vec(),
                });
            }
        }
        let numbers = Numbers {
            n,
            m,
            p: SolverError::check_finite("p", &program.p)?,
            q: SolverError::check_finite("q", &program.q)?,
            a: SolverError::check_finite("a", &program.a)?,
            lower: program.lower.to_f64_vec(),
            upper: program.upper.to_f64_vec(),
        };
        numbers.check()?;
        Ok(numbers)
    }

    fn check(&self) -> Result<(), SolverError> {
        let n = self.n;
        let scale = super::dense::largest(&self.p);
        for i in 0..n {
            for j in 0..i {
                if (self.p[i * n + j] - self.p[j * n + i]).abs() > 1e-10 * scale {
                    return Err(SolverError::NotSymmetric { argument: "p", row: i, column: j });
                }
            }
        }
        for (i, (&lower, &upper)) in self.lower.iter().zip(&self.upper).enumerate() {
            let sound = lower <= upper && lower < f64::INFINITY && upper > f64::NEG_INFINITY;
            if !sound {
                return Err(SolverError::EmptyBounds { row: i, lower, upper });
            }
        }
        Ok(())
    }

    pub(crate) fn value(&self, x: &[f64]) -> f64 {
        use super::dense::{dot, product};
        0.5 * dot(x, &product(&self.p, x)) + dot(&self.q, x)
    }
}

/// Solves a convex quadratic program.
///
/// ```
/// use lisse_array::Array;
/// use lisse_solve::solvers::{QpOptions, QuadraticProgram, Stop, quadratic_program};
/// let row = |v: &[f64], shape: &[usize]| Array::from_slice(v, shape);
/// // min x^2 + x y + y^2 / 2 - x - y  on  x + y = 1,  0 <= x <= 0.2
/// let program = QuadraticProgram {
///     p: row(&[2.0, 0.5, 0.5, 1.0], &[2, 2]),
///     q: row(&[-1.0, -1.0], &[2]),
///     a: row(&[1.0, 1.0, 1.0, 0.0], &[2, 2]),
///     lower: row(&[1.0, 0.0], &[2]),
///     upper: row(&[1.0, 0.2], &[2]),
/// };
/// let best = quadratic_program(&program, &QpOptions::default())?;
/// assert_eq!(best.stop, Stop::Converged);
/// assert!((best.x.to_vec::<f64>()[1] - 0.8).abs() < 1e-9);
/// # Ok::<(), lisse_solve::solvers::SolverError>(())
/// ```
///
/// The derivative of the solution is that of the equations of its active constraints, which holds where every active constraint has a
/// multiplier that is not 0. Where those equations are singular (several solutions) it is the smallest one that satisfies them.
///
/// # Errors
/// Arguments that do not describe a program. An infeasible or unbounded program is a result, with its certificate.
pub fn quadratic_program(
    program: &QuadraticProgram,
    options: &QpOptions,
) -> Result<QpSolution, SolverError> {
    options.check()?;
    let numbers = Numbers::new(program)?;
    let outcome = admm::solve(&numbers, options)?;
    let value = numbers.value(&outcome.x);
    let (x, y) = if outcome.stop == Stop::Converged {
        kkt::attach(program, &numbers, &outcome)?
    } else {
        let place = |v: &[f64]| {
            program.q.device().with(|| Array::from_slice(v, &[v.len()]).cast(DType::F64))
        };
        (place(&outcome.x), place(&outcome.y))
    };
    Ok(QpSolution {
        x,
        y,
        value,
        stop: outcome.stop,
        iterations: outcome.iterations,
        factorizations: outcome.factorizations,
        primal_residual: outcome.primal_residual,
        dual_residual: outcome.dual_residual,
        active: outcome.active,
        polished: outcome.polished,
        certificate: outcome.certificate,
    })
}
