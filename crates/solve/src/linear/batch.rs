//! Many systems at once, one product for all of them.

use super::LinearError;
use super::vector::{dot, norm};

/// How a batch of solves ended, one entry per system.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchReport {
    /// Iterations after which each system met the tolerance and was left alone.
    pub iterations: Vec<usize>,
    /// Relative residual of each.
    pub residuals: Vec<f64>,
}

/// Conjugate gradients on `count` independent positive definite systems of size `n`: `apply(x, y)` takes all of them, row
/// after row, and `b` holds the right-hand sides in the same layout. A system that meets `tolerance` is masked: its direction
/// becomes zero and its solution stays as it is, so each result equals that of a solve on its own.
///
/// # Errors
/// [`LinearError`] of the first system that fails: indefinite, NaN, or a residual above `bound` after `max_iterations`.
pub fn cg_batch(
    count: usize,
    apply: impl Fn(&[f64], &mut [f64]),
    b: &[f64],
    tolerance: f64,
    bound: f64,
    max_iterations: usize,
) -> Result<(Vec<f64>, BatchReport), LinearError> {
    let n = b.len() / count.max(1);
    if n * count != b.len() || count == 0 {
        let (rows, columns, what) = (b.len(), b.len(), "the batch of right-hand sides");
        return Err(LinearError::Size { rows, columns, what, len: count, need: b.len() });
    }
    let mut x = vec![0.0; b.len()];
    let (mut r, mut p, mut q) = (b.to_vec(), b.to_vec(), vec![0.0; b.len()]);
    let sizes: Vec<f64> = b.chunks(n).map(norm).collect();
    let mut squares: Vec<f64> = b.chunks(n).map(|b| dot(b, b)).collect();
    let mut iterations = vec![0; count];
    let mut running: Vec<bool> = sizes.iter().map(|&s| s > 0.0).collect();
    if sizes.iter().any(|s| !s.is_finite()) {
        return Err(LinearError::NotFinite {
            method: "cg",
            what: "a right-hand side of the batch",
        });
    }
    for iteration in 1..=max_iterations {
        if !running.contains(&true) {
            break;
        }
        apply(&p, &mut q);
        for i in (0..count).filter(|&i| running[i]).collect::<Vec<_>>() {
            let at = i * n..(i + 1) * n;
            let (p, q) = (&mut p[at.clone()], &q[at.clone()]);
            let curvature = dot(p, q);
            if curvature.is_nan() || curvature <= 0.0 {
                let curvature = curvature / dot(p, p);
                let method = "cg";
                return Err(LinearError::NotPositiveDefinite { method, curvature, iteration });
            }
            let alpha = squares[i] / curvature;
            let (x, r) = (&mut x[at.clone()], &mut r[at]);
            super::vector::axpy(alpha, p, x);
            super::vector::axpy(-alpha, q, r);
            let next = dot(r, r);
            super::vector::xpay(r, next / squares[i], p);
            squares[i] = next;
            iterations[i] = iteration;
            if next.sqrt() <= tolerance * sizes[i] {
                running[i] = false;
                p.fill(0.0);
            }
        }
    }
    let residuals: Vec<f64> = squares
        .iter()
        .zip(&sizes)
        .map(|(square, size)| if *size > 0.0 { square.sqrt() / size } else { 0.0 })
        .collect();
    for (&residual, &iterations) in residuals.iter().zip(&iterations) {
        if residual.is_nan() || residual > bound {
            return Err(LinearError::Residual { method: "cg", residual, bound, iterations });
        }
    }
    Ok((x, BatchReport { iterations, residuals }))
}
