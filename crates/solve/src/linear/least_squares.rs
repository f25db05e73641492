//! Least squares for operators of any shape and rank.

use super::LinearError;
use super::krylov::Lanczos;
use super::solver::{Outcome, Task};
use super::vector::{axpy, dot, norm, scale, xpay};

/// CG on the normal equations `(A^T A + ridge I) x = A^T b`, without forming the product (Bjorck 1996, CGLS).
pub(super) fn normal_cg(
    task: &Task<'_>,
    mut x: Vec<f64>,
    ridge: f64,
) -> Result<Outcome, LinearError> {
    let mut r = vec![0.0; task.b.len()];
    task.operator.residual(task.b, &x, &mut r);
    let gradient = |r: &[f64], x: &[f64], s: &mut [f64]| {
        task.operator.apply_transposed(r, s);
        axpy(-ridge, x, s);
    };
    let mut s = vec![0.0; x.len()];
    gradient(&r, &x, &mut s);
    let (mut p, mut q) = (s.clone(), vec![0.0; task.b.len()]);
    let mut size = dot(&s, &s);
    let first = size;
    let mut lanczos = Lanczos::default();
    let mut iterations = 2;
    while norm(&r) > task.target && size > 1e-30 * first && iterations < task.max_iterations {
        task.operator.apply(&p, &mut q);
        let curvature = dot(&q, &q) + ridge * dot(&p, &p);
        if !curvature.is_finite() {
            return Err(Task::not_finite("normal-cg"));
        }
        if curvature <= 0.0 {
            break;
        }
        let alpha = size / curvature;
        axpy(alpha, &p, &mut x);
        axpy(-alpha, &q, &mut r);
        gradient(&r, &x, &mut s);
        iterations += 2;
        let next = dot(&s, &s);
        lanczos.push(alpha, next / size);
        xpay(&s, next / size, &mut p);
        size = next;
    }
    let condition = lanczos.condition().map(f64::sqrt);
    Ok(Outcome { x, iterations, condition })
}

/// LSQR (Paige and Saunders 1982): minimises `|A x - b|^2 + ridge |x|^2`; from zero it finds the minimiser of smallest norm.
/// It ends when the residual meets the target or `|A^T r| <= eps |A| |r|`, which marks a least-squares solution.
pub(super) fn lsqr(task: &Task<'_>, mut x: Vec<f64>, ridge: f64) -> Result<Outcome, LinearError> {
    let damp = ridge.sqrt();
    let (rows, columns) = (task.b.len(), x.len());
    let mut u = vec![0.0; rows];
    task.operator.residual(task.b, &x, &mut u);
    let mut beta = norm(&u);
    let relative = task.target / norm(task.b);
    let mut iterations = 1;
    if beta <= task.target {
        return Ok(Outcome { x, iterations, condition: None });
    }
    scale(1.0 / beta, &mut u);
    let (mut v, mut product) = (vec![0.0; columns], vec![0.0; rows.max(columns)]);
    task.operator.apply_transposed(&u, &mut v);
    let mut alpha = norm(&v);
    iterations += 1;
    if alpha == 0.0 {
        return Ok(Outcome { x, iterations, condition: None });
    }
    scale(1.0 / alpha, &mut v);
    let mut w = v.clone();
    let (mut phi_bar, mut rho_bar, mut damped) = (beta, alpha, 0.0f64);
    let (mut a_square, mut d_square) = (0.0f64, 0.0f64);
    while iterations < task.max_iterations {
        task.operator.apply(&v, &mut product[..rows]);
        xpay_into(&product[..rows], -alpha, &mut u);
        beta = norm(&u);
        if !beta.is_finite() {
            return Err(Task::not_finite("lsqr"));
        }
        a_square += alpha * alpha + beta * beta + ridge;
        if beta > 0.0 {
            scale(1.0 / beta, &mut u);
            task.operator.apply_transposed(&u, &mut product[..columns]);
            xpay_into(&product[..columns], -beta, &mut v);
            alpha = norm(&v);
            if alpha > 0.0 {
                scale(1.0 / alpha, &mut v);
            }
        } else {
            alpha = 0.0;
        }
        iterations += 2;
        // First the damping is rotated away, then the bidiagonal's subdiagonal.
        let rho_damped = rho_bar.hypot(damp);
        let phi_damped = rho_bar / rho_damped * phi_bar;
        damped = damped.hypot(damp / rho_damped * phi_bar);
        let rho = rho_damped.hypot(beta);
        let (c, s) = (rho_damped / rho, beta / rho);
        let theta = s * alpha;
        rho_bar = -c * alpha;
        let phi = c * phi_damped;
        phi_bar = s * phi_damped;
        let step = phi / rho;
        d_square += dot(&w, &w) / (rho * rho);
        axpy(step, &w, &mut x);
        xpay_into(&v, -theta / rho, &mut w);
        let residual = phi_bar.hypot(damped);
        let normal = alpha * (c * phi_bar).abs() / (a_square.sqrt() * residual);
        if phi_bar.abs() <= task.target && damp == 0.0 || alpha == 0.0 {
            break;
        }
        if normal <= relative.max(1e-15) {
            break;
        }
    }
    let condition = (a_square * d_square).sqrt();
    Ok(Outcome { x, iterations, condition: (condition > 0.0).then_some(condition) })
}

/// `y = x + factor * y`
fn xpay_into(x: &[f64], factor: f64, y: &mut [f64]) {
    xpay(x, factor, y);
}
