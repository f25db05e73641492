//! The lower problem with its constraints, solved to a tolerance.

use super::saddle::clip;
use crate::bilevel::penalty::accelerated;
use crate::bilevel::vector::{axpy, norm};
use crate::bilevel::{Batch, BilevelError, LowerSolution, Oracle, Wrt};

/// Minimises `g(x, .)` over `Y` under `c(x, .) <= 0`: by the problem's own solver if it has one, else by augmented Lagrangians with
/// accelerated gradients, until violation and change of the multipliers are below `tolerance`.
///
/// # Errors
/// If the violation does not fall: the constraints have no solution for this `x`.
pub fn solve_constrained_lower(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    start: (&[f64], &[f64]),
    tolerance: f64,
) -> Result<LowerSolution, BilevelError> {
    let problem = oracle.problem();
    if let Some(solution) = problem.solve_lower(x) {
        return Ok(solution);
    }
    let (mut y, mut multipliers) = (start.0.to_vec(), start.1.to_vec());
    multipliers.resize(problem.constraints(), 0.0);
    let mut weight = 10.0;
    let mut last = f64::INFINITY;
    for _ in 0..100 {
        let pushed = |c: &[f64], oracle: &Oracle<'_>| {
            let mut lam: Vec<f64> =
                multipliers.iter().zip(c).map(|(l, c)| l + weight * c).collect();
            clip(oracle, &mut lam, f64::INFINITY);
            lam
        };
        let mut slope = |y: &[f64]| {
            let lower = oracle.lower(x, y, &Batch::all(), Wrt::Y);
            let lam = pushed(&problem.constraint(x, y), oracle);
            let mut slope = lower.y;
            if !lam.is_empty() {
                axpy(&mut slope, 1.0, &oracle.constraint_products(x, y, &lam).1);
            }
            let bent: f64 = lam.iter().map(|l| l * l).sum::<f64>() / (2.0 * weight);
            (lower.value + bent, slope)
        };
        y = accelerated(&mut slope, problem.set_y(), &y, 0.1 * tolerance, 20_000).y;
        let next = pushed(&problem.constraint(x, &y), oracle);
        let change = crate::bilevel::vector::distance(&next, &multipliers) / weight;
        multipliers = next;
        if change <= tolerance {
            return Ok(LowerSolution { y, multipliers });
        }
        if change > 0.25 * last {
            weight = f64::min(weight * 4.0, 1e8);
        }
        last = change;
    }
    if super::lv_hba::violation(oracle, x, &y) <= tolerance * 1e3 {
        return Ok(LowerSolution { y, multipliers });
    }
    // The multipliers grow along a direction that proves that nothing is feasible.
    let size = norm(&multipliers).max(f64::MIN_POSITIVE);
    let certificate: Vec<f64> = multipliers.iter().map(|l| l / size).collect();
    let c = problem.constraint(x, &y);
    let gap = certificate.iter().zip(&c).map(|(w, c)| w * c).sum();
    Err(BilevelError::Infeasible { certificate, gap })
}
