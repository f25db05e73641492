//! The linear systems that are not solved as they stand: with a known factor, row by row, on the support.

use crate::linear::{
    Factor, LinearError, LinearSolver, Operator, Report, Solution, Structure, cg_batch, vector,
};

/// A solve with the forward pass's factor. One product checks that it belongs to this Jacobian.
pub(super) fn with_factor(
    factor: &Factor,
    solver: &LinearSolver,
    operator: &Operator<'_>,
    transposed: bool,
    b: &[f64],
) -> Result<Solution, LinearError> {
    let mut x = b.to_vec();
    factor.solve_in_place(&mut x, transposed);
    let mut r = vec![0.0; b.len()];
    operator.residual(b, &x, &mut r);
    let residual = vector::norm(&r) / vector::norm(b);
    let method = "factor of the forward pass";
    if residual.is_nan() || residual > solver.bound {
        let bound = solver.bound;
        return Err(LinearError::Residual { method, residual, bound, iterations: 1 });
    }
    Ok(Solution { x, report: Report { method, iterations: 1, residual, condition: None } })
}

/// All rows at once.
pub(super) fn batched(
    rows: usize,
    solver: &LinearSolver,
    operator: &Operator<'_>,
    b: &[f64],
) -> Result<Solution, LinearError> {
    if operator.known() != Structure::PositiveDefinite {
        let (method, curvature) = ("batched cg (state `positive_definite` to use it)", f64::NAN);
        return Err(LinearError::NotPositiveDefinite { method, curvature, iteration: 0 });
    }
    let most = solver.max_iterations.unwrap_or((10 * b.len() / rows.max(1)).max(1000));
    let apply = |x: &[f64], y: &mut [f64]| operator.apply(x, y);
    let (x, report) = cg_batch(rows, apply, b, solver.tolerance, solver.bound, most)?;
    let iterations = report.iterations.iter().copied().max().unwrap_or(0);
    let residual = report.residuals.iter().copied().fold(0.0, f64::max);
    let report = Report { method: "batched cg", iterations, residual, condition: None };
    Ok(Solution { x, report })
}

/// With the map constant off the support `S`, rows of `A` off it are those of the identity: `A = [A_SS A_SC; 0 I]`.
pub(super) fn on_support(
    solver: &LinearSolver,
    operator: &Operator<'_>,
    transposed: bool,
    at: &[f64],
    b: &[f64],
) -> Result<Solution, LinearError> {
    let kept: Vec<usize> = (0..at.len()).filter(|&i| at[i] != 0.0).collect();
    let mut x = b.to_vec();
    for &i in &kept {
        x[i] = 0.0;
    }
    let mut product = vec![0.0; b.len()];
    // Forward, the known part moves to the right-hand side; transposed, the support does not see the rest.
    if !transposed && kept.len() < at.len() && x.iter().any(|v| *v != 0.0) {
        operator.apply(&x, &mut product);
    }
    let right: Vec<f64> = kept.iter().map(|&i| b[i] - product[i]).collect();
    let part = operator.restricted(&kept);
    let solution = solver.solve(&part, &right)?;
    kept.iter().zip(&solution.x).for_each(|(&i, v)| x[i] = *v);
    if transposed && kept.len() < at.len() {
        let mut inside = vec![0.0; b.len()];
        kept.iter().zip(&solution.x).for_each(|(&i, v)| inside[i] = *v);
        operator.apply(&inside, &mut product);
        for i in (0..at.len()).filter(|&i| at[i] == 0.0) {
            x[i] = b[i] - product[i];
        }
    }
    Ok(Solution { x, report: solution.report })
}
