//! Minimal residuals for symmetric operators.

use super::LinearError;
use super::solver::{Outcome, Task};
use super::vector::{axpy, dot, norm};

/// MINRES (Paige and Saunders 1975) with a positive definite preconditioner. The residual it watches is that in the
/// preconditioner's norm, so a run ends by the true one, looked at when the watched one says so.
pub(super) fn minres(task: &Task<'_>, mut x: Vec<f64>) -> Result<Outcome, LinearError> {
    let mut iterations = 0;
    let mut previous = f64::INFINITY;
    let mut r = vec![0.0; x.len()];
    loop {
        task.operator.residual(task.b, &x, &mut r);
        iterations += 1;
        let size = norm(&r);
        if !size.is_finite() {
            return Err(Task::not_finite("minres"));
        }
        let stalled = size > 0.5 * previous;
        if size <= task.target || stalled || iterations >= task.max_iterations {
            return Ok(Outcome { x, iterations, condition: None });
        }
        previous = size;
        sweep(task, &r, size, &mut x, &mut iterations)?;
    }
}

/// One Lanczos run from the residual `r`; adds the correction to `x`.
fn sweep(
    task: &Task<'_>,
    r: &[f64],
    size: f64,
    x: &mut [f64],
    iterations: &mut usize,
) -> Result<(), LinearError> {
    let n = r.len();
    let mut y = vec![0.0; n];
    task.precondition(r, &mut y);
    let first = dot(r, &y);
    if first.is_nan() || first <= 0.0 {
        let (method, iteration) = ("minres: the preconditioner", *iterations);
        return Err(LinearError::NotPositiveDefinite { method, curvature: first, iteration });
    }
    let mut beta = first.sqrt();
    let (mut r1, mut r2) = (r.to_vec(), r.to_vec());
    let (mut v, mut product) = (vec![0.0; n], vec![0.0; n]);
    let (mut w, mut w1, mut w2) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let (mut old_beta, mut dbar, mut epsilon) = (0.0, 0.0, 0.0);
    let (mut phi, mut cs, mut sn) = (beta, -1.0, 0.0);
    let target = phi * task.target / size;
    let mut largest: f64 = 0.0;
    while *iterations < task.max_iterations {
        for (v, y) in v.iter_mut().zip(&y) {
            *v = y / beta;
        }
        task.operator.apply(&v, &mut product);
        *iterations += 1;
        if old_beta > 0.0 {
            axpy(-beta / old_beta, &r1, &mut product);
        }
        let alpha = dot(&v, &product);
        axpy(-alpha / beta, &r2, &mut product);
        std::mem::swap(&mut r1, &mut r2);
        r2.copy_from_slice(&product);
        task.precondition(&r2, &mut y);
        old_beta = beta;
        let square = dot(&r2, &y);
        if !square.is_finite() {
            return Err(Task::not_finite("minres"));
        }
        beta = square.max(0.0).sqrt();
        largest = largest.max(alpha.abs() + beta);
        // The plane rotation that makes the tridiagonal matrix triangular.
        let old_epsilon = epsilon;
        let delta = cs * dbar + sn * alpha;
        let gbar = sn * dbar - cs * alpha;
        epsilon = sn * beta;
        dbar = -cs * beta;
        let gamma = gbar.hypot(beta);
        if gamma <= f64::EPSILON * largest {
            break;
        }
        (cs, sn) = (gbar / gamma, beta / gamma);
        let step = cs * phi;
        phi *= sn;
        std::mem::swap(&mut w1, &mut w2);
        std::mem::swap(&mut w2, &mut w);
        for (((w, v), w1), w2) in w.iter_mut().zip(&v).zip(&w1).zip(&w2) {
            *w = (v - old_epsilon * w1 - delta * w2) / gamma;
        }
        axpy(step, &w, x);
        if phi.abs() <= target || beta <= f64::EPSILON * largest {
            break;
        }
    }
    Ok(())
}
