//! Sets given by linear equations and inequalities.

use lisse_array::{Array, DType};

use super::{Projected, ProjectionError, finite, shape_error};
use crate::solvers::dense::{independent_rows, largest};
use crate::solvers::{QpOptions, QuadraticProgram, SolverError, Stop, quadratic_program};

fn check_system(
    set: &'static str,
    x: &Array,
    names: (&'static str, &'static str),
    matrix: &Array,
    right: &Array,
) -> Result<Vec<f64>, ProjectionError> {
    let n = x.len();
    if x.shape() != [n] || n == 0 {
        return Err(shape_error(set, "the point", "one axis with at least one element", x));
    }
    let rows = right.len();
    if right.shape() != [rows] {
        return Err(shape_error(set, names.1, "one axis", right));
    }
    if matrix.shape() != [rows, n] {
        return Err(shape_error(set, names.0, format!("shape [{rows}, {n}]"), matrix));
    }
    finite(set, "the point", x)?;
    finite(set, names.1, right)?;
    finite(set, names.0, matrix)
}

/// `A x = b` for a vector `x` (`[n]`), `A` of shape `[m, n]`. Dependent equations that agree are dropped. Differentiable in all three.
///
/// # Errors
/// Equations that contradict each other.
pub fn affine(x: &Array, a: &Array, b: &Array) -> Projected {
    const SET: &str = "affine";
    let matrix = check_system(SET, x, ("A", "b"), a, b)?;
    let n = x.len();
    let all: Vec<usize> = (0..b.len()).collect();
    let rows = independent_rows(&matrix, n, &all);
    if rows.is_empty() {
        check_equations(SET, x, a, b)?;
        return Ok(x.clone());
    }
    let index = Array::from_vec::<i64>(rows.iter().map(|&i| i as i64).collect(), &[rows.len()]);
    let (kept_a, kept_b) = (a.index_select(0, &index), b.index_select(0, &index));
    let gram = kept_a.matmul(&kept_a.t());
    let multipliers = gram
        .solve(&(kept_a.matmul(x) - kept_b))
        .map_err(|source| ProjectionError::Linalg { set: SET, source })?;
    let projected = x - kept_a.t().matmul(&multipliers);
    check_equations(SET, &projected, a, b)?;
    Ok(projected)
}

fn check_equations(
    set: &'static str,
    p: &Array,
    a: &Array,
    b: &Array,
) -> Result<(), ProjectionError> {
    let gaps = (a.matmul(p) - b).to_f64_vec();
    let worst = largest(&gaps);
    if worst <= 1e-7 * (1.0 + largest(&b.to_f64_vec())) {
        return Ok(());
    }
    let row = gaps.iter().position(|g| g.abs() == worst).unwrap_or(0);
    let reason = format!(
        "equation {row} contradicts the others: its nearest solution misses it by {worst:.3e}"
    );
    Err(ProjectionError::Empty { set, reason })
}

/// `A x = b, G x <= h` for a vector `x` (`[n]`), as a quadratic program. Either system may have no rows. Differentiable in all arguments.
///
/// # Errors
/// Constraints that no point satisfies; the message names the rows of a certificate.
pub fn polyhedron(x: &Array, a: &Array, b: &Array, g: &Array, h: &Array) -> Projected {
    const SET: &str = "polyhedron";
    check_system(SET, x, ("A", "b"), a, b)?;
    check_system(SET, x, ("G", "h"), g, h)?;
    let n = x.len();
    let open = h.full_like(f64::NEG_INFINITY);
    let join = |top: &Array, bottom: &Array| match (top.is_empty(), bottom.is_empty()) {
        (true, _) => bottom.clone(),
        (_, true) => top.clone(),
        _ => Array::cat(&[top, bottom], 0),
    };
    let program = QuadraticProgram {
        p: x.device().with(|| Array::eye(n, DType::F64)),
        q: -x,
        a: join(a, g),
        lower: join(b, &open),
        upper: join(b, h),
    };
    if program.lower.is_empty() {
        return Ok(x.clone());
    }
    let best = quadratic_program(&program, &QpOptions::default()).map_err(|e| refused(SET, e))?;
    match best.stop {
        Stop::Converged => Ok(best.x),
        Stop::PrimalInfeasible => {
            let reason = contradicting(&best.certificate.unwrap_or_default(), b.len());
            Err(ProjectionError::Empty { set: SET, reason })
        }
        stop => Err(ProjectionError::NotConverged {
            set: SET,
            iterations: best.iterations,
            error: best.primal_residual.max(best.dual_residual),
            advice: stop.advice(),
        }),
    }
}

/// Which rows a certificate combines.
fn contradicting(certificate: &[f64], equations: usize) -> String {
    let rows = certificate.iter().enumerate().filter(|(_, y)| y.abs() > 1e-3).map(|(i, _)| {
        if i < equations {
            format!("equation {i}")
        } else {
            format!("inequality {}", i - equations)
        }
    });
    let rows: Vec<String> = rows.take(6).collect();
    format!("no point satisfies {} together", rows.join(", "))
}

/// The arguments were checked: what is left are factorizations that failed.
fn refused(set: &'static str, error: SolverError) -> ProjectionError {
    match error {
        SolverError::Linalg(source) => ProjectionError::Linalg { set, source },
        other => ProjectionError::Empty { set, reason: other.to_string() },
    }
}
