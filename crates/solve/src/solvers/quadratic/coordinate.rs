//! Box-constrained quadratic programs by coordinate descent.

use lisse_array::{Array, DType};
use serde::{Deserialize, Serialize};

use super::admm::Outcome;
use super::kkt::attach;
use super::{Numbers, QpSolution, QuadraticProgram, Side};
use crate::solvers::dense::{add_scaled, dot};
use crate::solvers::{SolverError, Stop};

/// How far coordinate descent goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoxQpOptions {
    /// Converged when one sweep moves no coordinate by more than this, in units of its own curvature.
    pub tolerance: f64,
    /// Most sweeps over all coordinates.
    pub max_iterations: usize,
}

impl Default for BoxQpOptions {
    fn default() -> Self {
        BoxQpOptions { tolerance: 1e-10, max_iterations: 10_000 }
    }
}

/// `min 1/2 x' P x + q' x` subject to `lower <= x <= upper` for `P` with a positive diagonal: one coordinate after another, exactly.
///
/// The result is that of [`quadratic_program`](super::quadratic_program) with the identity as constraint matrix, derivatives included.
///
/// # Errors
/// Shapes that do not fit, empty bounds, a diagonal entry of `P` that is not above 0.
pub fn box_quadratic_program(
    p: &Array,
    q: &Array,
    lower: &Array,
    upper: &Array,
    options: &BoxQpOptions,
) -> Result<QpSolution, SolverError> {
    let n = q.len();
    let program = QuadraticProgram {
        p: p.clone(),
        q: q.clone(),
        a: Array::eye(n, DType::F64),
        lower: lower.clone(),
        upper: upper.clone(),
    };
    let numbers = Numbers::new(&program)?;
    if let Some(i) = (0..n).find(|&i| numbers.p[i * n + i] <= 0.0) {
        let value = numbers.p[i * n + i];
        return Err(SolverError::OutOfRange {
            argument: "the diagonal of p",
            expected: "above 0",
            value,
        });
    }
    let mut x: Vec<f64> =
        (0..n).map(|i| 0.0f64.clamp(numbers.lower[i], numbers.upper[i])).collect();
    let mut slope: Vec<f64> = numbers.q.clone();
    for (j, &value) in x.iter().enumerate().filter(|(_, v)| **v != 0.0) {
        add_scaled(&mut slope, value, &numbers.p[j * n..(j + 1) * n]);
    }
    let (mut stop, mut iterations) = (Stop::MaxIterations, 0);
    while iterations < options.max_iterations {
        iterations += 1;
        let mut moved = 0.0f64;
        for (i, x) in x.iter_mut().enumerate() {
            let curvature = numbers.p[i * n + i];
            let target = (*x - slope[i] / curvature).clamp(numbers.lower[i], numbers.upper[i]);
            let step = target - *x;
            if step != 0.0 {
                *x = target;
                add_scaled(&mut slope, step, &numbers.p[i * n..(i + 1) * n]);
                moved = moved.max(step.abs() * curvature);
            }
        }
        if !x.iter().all(|v| v.is_finite()) {
            stop = Stop::NotFinite;
            break;
        }
        if moved <= options.tolerance {
            stop = Stop::Converged;
            break;
        }
    }
    let active: Vec<Side> = (0..n)
        .map(|i| match () {
            () if numbers.lower[i] == numbers.upper[i] => Side::Equal,
            () if x[i] == numbers.lower[i] && slope[i] > 0.0 => Side::Lower,
            () if x[i] == numbers.upper[i] && slope[i] < 0.0 => Side::Upper,
            () => Side::Free,
        })
        .collect();
    let held = |i: usize| active[i] != Side::Free;
    let y: Vec<f64> = (0..n).map(|i| if held(i) { -slope[i] } else { 0.0 }).collect();
    let dual_residual = (0..n).filter(|&i| !held(i)).fold(0.0f64, |l, i| l.max(slope[i].abs()));
    let value = 0.5 * (dot(&x, &slope) + dot(&x, &numbers.q));
    let outcome = Outcome {
        x,
        y,
        stop,
        iterations,
        factorizations: 0,
        primal_residual: 0.0,
        dual_residual,
        active,
        polished: true,
        certificate: None,
    };
    let (x, y) = if stop == Stop::Converged {
        attach(&program, &numbers, &outcome)?
    } else {
        (Array::from_slice(&outcome.x, &[n]), Array::from_slice(&outcome.y, &[n]))
    };
    Ok(QpSolution {
        x,
        y,
        value,
        stop,
        iterations,
        factorizations: 0,
        primal_residual: 0.0,
        dual_residual,
        active: outcome.active,
        polished: false,
        certificate: None,
    })
}
