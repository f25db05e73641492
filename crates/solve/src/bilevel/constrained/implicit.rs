//! The implicit gradient through the optimality conditions of a constrained lower problem.

use lisse_array::Array;

use super::solve_constrained_lower;
use crate::bilevel::baselines::{Solver, State};
use crate::bilevel::vector::{axpy, check_finite};
use crate::bilevel::{Batch, BilevelError, LowerSolution, Oracle, Samples, Warning, Wrt};

/// The derivative of `f(x, y*(x))` at an exact lower solution: with the active constraints' Jacobian `J`,
///
/// ```text
/// [H J^T; J 0] (v, nu) = (df/dy, 0)        gradient = df/dx - d/dx <dg/dy, v> - nu^T dc/dx
/// ```
///
/// Exact for constraints affine in `y` whose coefficients do not depend on `x` (others lack the curvature of `c`). Active: equalities, and
/// inequalities whose multiplier exceeds `threshold`. The matrix is formed.
///
/// # Errors
/// Numbers that are not finite.
pub fn kkt_hypergradient(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    solution: &LowerSolution,
    threshold: f64,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<f64>, BilevelError> {
    let all = Batch::all();
    let y = &solution.y;
    let problem = oracle.problem();
    let active: Vec<usize> = (0..problem.constraints())
        .filter(|&i| problem.is_equality(i) || solution.multipliers[i] > threshold)
        .collect();
    let (n, m) = (y.len(), active.len());
    let size = n + m;
    let mut k = vec![0.0; size * size];
    let mut unit = vec![0.0; n];
    for j in 0..n {
        unit[j] = 1.0;
        for (i, h) in oracle.hessian_product(x, y, &unit, &all).iter().enumerate() {
            k[i * size + j] = *h;
        }
        unit[j] = 0.0;
    }
    let mut weights = vec![0.0; problem.constraints()];
    for (row, &i) in active.iter().enumerate() {
        weights[i] = 1.0;
        for (j, g) in oracle.constraint_products(x, y, &weights).1.iter().enumerate() {
            k[(n + row) * size + j] = *g;
            k[j * size + n + row] = *g;
        }
        weights[i] = 0.0;
    }
    check_finite("the matrix of the optimality conditions", &k, "; the lower solution is not one")?;
    let upper = oracle.upper(x, y, &all, Wrt::Both);
    let mut right = upper.y;
    right.resize(size, 0.0);
    let (matrix, right) = (Array::from_vec(k, &[size, size]), Array::from_vec(right, &[size]));
    let solved = matrix.solve(&right).map(|w| w.to_vec::<f64>());
    let w = match solved {
        Ok(w) if w.iter().all(|w| w.is_finite()) => w,
        _ => {
            Warning::FlatCurvature { ratio: 0.0 }.note(warnings);
            let failed = |e: lisse_array::linalg::LinalgError| BilevelError::Unsupported {
                method: "the implicit gradient",
                reason: e.to_string(),
            };
            matrix.pinv(Some(1e-12)).map_err(failed)?.matmul(&right).to_vec()
        }
    };
    let mut gradient = upper.x;
    axpy(&mut gradient, -1.0, &oracle.cross_product(x, y, &w[..n], &all));
    for (nu, &i) in w[n..].iter().zip(&active) {
        weights[i] = *nu;
    }
    if m > 0 {
        axpy(&mut gradient, -1.0, &oracle.constraint_products(x, y, &weights).0);
    }
    Ok(gradient)
}

/// Descent with [`kkt_hypergradient`], the lower problem solved exactly in every step. `z` holds the multipliers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImplicitKkt {
    /// Step size of `x`.
    pub step: f64,
    /// A constraint counts as active when its multiplier exceeds this; 1e-5.
    pub threshold: f64,
    /// Tolerance of the lower solution.
    pub tolerance: f64,
}

impl Solver for ImplicitKkt {
    fn name(&self) -> &'static str {
        "implicit KKT gradient"
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        oracle.check(x, y)?;
        let mut state = State::new(x.to_vec(), y.to_vec());
        state.z = vec![0.0; oracle.problem().constraints()];
        Ok(state)
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        _: &Samples,
    ) -> Result<(), BilevelError> {
        let start = (state.y.as_slice(), state.z.as_slice());
        let solution = solve_constrained_lower(oracle, &state.x, start, self.tolerance)?;
        let (x, warnings) = (&state.x, &mut state.warnings);
        let gradient = kkt_hypergradient(oracle, x, &solution, self.threshold, warnings)?;
        axpy(&mut state.x, -self.step, &gradient);
        oracle.project_x(&mut state.x);
        (state.y, state.z, state.direction) = (solution.y, solution.multipliers, gradient);
        state.step += 1;
        state.check_finite()
    }
}
