//! The proximal Lagrangian value function, solved to a tolerance.

use super::saddle::{Centre, clip, directions, saddle_step_size};
use crate::bilevel::vector::{axpy, distance, dot, sub};
use crate::bilevel::{Batch, BilevelError, Oracle, Wrt};

/// `v(x, y, z) = min over t in Y of max over lam >= 0 of f(x, t) + lam^T c(x, t) + |t - y|^2 / (2 gamma1) - |lam - z|^2 / (2 gamma2)`.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueFunction {
    /// The value.
    pub value: f64,
    /// The minimizer.
    pub t: Vec<f64>,
    /// The maximizer.
    pub lam: Vec<f64>,
    /// `df/dx(x, t) + lam^T dc/dx(x, t)`
    pub gradient_x: Vec<f64>,
    /// `(y - t) / gamma1`
    pub gradient_y: Vec<f64>,
    /// `(lam - z) / gamma2`
    pub gradient_z: Vec<f64>,
}

/// Solves the saddle problem by extragradient steps until a step moves less than `tolerance` (relative to the step size). `bound` limits
/// multipliers; infinite for none.
///
/// # Errors
/// If it does not get there: the lower problem is not convex, or `gamma1` too large.
pub fn value_function(
    oracle: &mut Oracle<'_>,
    (x, y, z): (&[f64], &[f64], &[f64]),
    gamma: (f64, f64),
    bound: f64,
    tolerance: f64,
) -> Result<ValueFunction, BilevelError> {
    let at = Centre { x, y, z, gamma };
    let (_, lipschitz) = saddle_step_size(oracle, x, y, gamma);
    let mut eta = 0.7 / lipschitz;
    let (mut t, mut lam) = (y.to_vec(), z.to_vec());
    oracle.project_y(&mut t);
    clip(oracle, &mut lam, bound);
    const MOST: usize = 200_000;
    for _ in 0..MOST {
        let (d_t, d_lam) = directions(oracle, at, &t, &lam);
        let (mut half_t, mut half_lam) = (t.clone(), lam.clone());
        super::saddle::step(oracle, at, (&mut half_t, &mut half_lam), (&d_t, &d_lam), (eta, bound));
        let moved =
            (distance(&t, &half_t).powi(2) + distance(&lam, &half_lam).powi(2)).sqrt() / eta;
        if moved <= tolerance {
            return Ok(finish(oracle, at, half_t, half_lam));
        }
        let (e_t, e_lam) = directions(oracle, at, &half_t, &half_lam);
        // Where the estimate of L was too small, the half step is longer than the contraction allows.
        let turned = (distance(&d_t, &e_t).powi(2) + distance(&d_lam, &e_lam).powi(2)).sqrt();
        if eta * turned > 0.95 * moved * eta {
            eta *= 0.5;
            continue;
        }
        super::saddle::step(oracle, at, (&mut t, &mut lam), (&e_t, &e_lam), (eta, bound));
    }
    let reason = format!(
        "its saddle problem was not solved to {tolerance} in {MOST} steps; the lower problem must be convex in y, or gamma1 below the \
         inverse of its weak convexity"
    );
    Err(BilevelError::Unsupported { method: "the proximal Lagrangian value function", reason })
}

fn finish(oracle: &mut Oracle<'_>, at: Centre<'_>, t: Vec<f64>, lam: Vec<f64>) -> ValueFunction {
    let lower = oracle.lower(at.x, &t, &Batch::all(), Wrt::X);
    let c = oracle.problem().constraint(at.x, &t);
    let (shift, turn) = (sub(&t, at.y), sub(&lam, at.z));
    let value = lower.value + dot(&lam, &c) + dot(&shift, &shift) / (2.0 * at.gamma.0)
        - dot(&turn, &turn) / (2.0 * at.gamma.1);
    let mut gradient_x = lower.x;
    if !lam.is_empty() {
        axpy(&mut gradient_x, 1.0, &oracle.constraint_products(at.x, &t, &lam).0);
    }
    ValueFunction {
        value,
        gradient_x,
        gradient_y: shift.iter().map(|s| -s / at.gamma.0).collect(),
        gradient_z: turn.iter().map(|d| d / at.gamma.1).collect(),
        t,
        lam,
    }
}
