//! The best fixed point in hindsight, with a proof of how good it is.

use super::{Domain, Metric, OnlineError, dot};

/// A convex function to minimise. One with kinks offers smooth ones below it, as near as asked.
pub trait Objective: Sync {
    /// Coordinates.
    fn dim(&self) -> usize;

    /// The value at `x`.
    fn value(&self, x: &[f64]) -> f64;

    /// Value at `x` of a smooth convex function that lies below this one by at most [`slack`](Self::slack)`(width)`; writes its gradient, and
    /// its Hessian row by row.
    fn derivatives(&self, x: &[f64], width: f64, gradient: &mut [f64], hessian: &mut [f64]) -> f64;

    /// How far below; 0 if the function is smooth itself.
    fn slack(&self, width: f64) -> f64 {
        let _ = width;
        0.0
    }
}

/// A minimum over a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// Where.
    pub point: Vec<f64>,
    /// The value there.
    pub value: f64,
    /// No point of the domain has a value below `value - gap`.
    pub gap: f64,
}

/// Minimises over `domain` by Newton steps projected in the norm of the Hessian. It stops when `<grad F(u), u> - min_{v in X} <grad F(u), v>`,
/// which bounds the distance to the minimum, is at most `tolerance (1 + |F|)`; kinks add what smoothing costs (at most `1e-6` times their slope).
///
/// # Errors
/// A gap a hundred times what was asked for.
pub fn best_fixed(
    objective: &dyn Objective,
    domain: &Domain,
    tolerance: f64,
) -> Result<Fixed, OnlineError> {
    let dim = objective.dim();
    domain.validate(dim)?;
    let mut x = domain.start(dim);
    if objective.slack(1.0) == 0.0 {
        let gap = descend(objective, domain, 0.0, tolerance, &mut x)?;
        return Ok(Fixed { value: objective.value(&x), point: x, gap });
    }
    let mut gap = f64::INFINITY;
    for digits in 1..=6 {
        let width = 10f64.powi(-digits);
        gap = descend(objective, domain, width, tolerance, &mut x)? + objective.slack(width);
    }
    Ok(Fixed { value: objective.value(&x), point: x, gap })
}

/// Descends from `x` and returns the gap where it stops.
fn descend(
    objective: &dyn Objective,
    domain: &Domain,
    width: f64,
    tolerance: f64,
    x: &mut Vec<f64>,
) -> Result<f64, OnlineError> {
    let dim = x.len();
    let (mut gradient, mut hessian) = (vec![0.0; dim], vec![0.0; dim * dim]);
    let (mut next_gradient, mut next_hessian) = (gradient.clone(), hessian.clone());
    let mut value = objective.derivatives(x, width, &mut gradient, &mut hessian);
    let mut gap = dot(&gradient, x) - domain.least(&gradient);
    for _ in 0..200 {
        if gap <= tolerance * (1.0 + value.abs()) {
            return Ok(gap.max(0.0));
        }
        let target = newton_point(domain, x, &gradient, &mut hessian)?;
        let direction: Vec<f64> = target.iter().zip(&*x).map(|(a, b)| a - b).collect();
        let slope = dot(&gradient, &direction);
        // Below this a change of the value is rounding: near the minimum whole steps are right, and the gap is the judge.
        let noise = 1e-13 * (1.0 + value.abs());
        let mut t = 1.0;
        loop {
            let point: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + t * d).collect();
            let there = objective.derivatives(&point, width, &mut next_gradient, &mut next_hessian);
            let next_gap = dot(&next_gradient, &point) - domain.least(&next_gradient);
            let lower = there <= value + 1e-4 * t * slope;
            if lower || (there <= value + noise && next_gap < 0.9 * gap) {
                std::mem::swap(&mut gradient, &mut next_gradient);
                std::mem::swap(&mut hessian, &mut next_hessian);
                (value, gap, *x) = (there, next_gap, point);
                break;
            }
            t *= 0.5;
            // A step that could only gain less than rounding: this is as good as it gets.
            if -t * slope <= noise || t < 1e-12 {
                return enough(gap, tolerance, value);
            }
        }
    }
    enough(gap, tolerance, value)
}

/// Accepts a gap within a hundred times what was asked for.
fn enough(gap: f64, tolerance: f64, value: f64) -> Result<f64, OnlineError> {
    if gap <= 100.0 * tolerance * (1.0 + value.abs()) {
        return Ok(gap.max(0.0));
    }
    Err(OnlineError::NoConvergence { what: "the search for the best fixed point", residual: gap })
}

/// `argmin_{y in X} <g, y - x> + <y - x, H (y - x)> / 2`, with a ridge where `H` is flat.
fn newton_point(
    domain: &Domain,
    x: &[f64],
    gradient: &[f64],
    hessian: &mut Vec<f64>,
) -> Result<Vec<f64>, OnlineError> {
    let dim = x.len();
    let trace: f64 = hessian.iter().step_by(dim + 1).sum();
    for entry in hessian.iter_mut().step_by(dim + 1) {
        *entry += 1e-10 * trace + 1e-12;
    }
    let metric = Metric::new(std::mem::replace(hessian, vec![0.0; dim * dim]), dim)?;
    let mut step = gradient.to_vec();
    metric.solve(&mut step);
    let mut target: Vec<f64> = x.iter().zip(&step).map(|(x, s)| x - s).collect();
    metric.project(domain, &mut target)?;
    Ok(target)
}
