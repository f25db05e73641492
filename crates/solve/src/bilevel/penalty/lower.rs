//! The lower problem solved to a tolerance, and the penalised objective from two such solves.

use crate::bilevel::vector::{axpy, dot, sub};
use crate::bilevel::{Batch, Oracle, Set, Wrt};

/// A minimizer of `sigma f(x, .) + g(x, .)` over `Y`.
#[derive(Clone, Debug, PartialEq)]
pub struct LowerSolve {
    /// The point.
    pub y: Vec<f64>,
    /// `sigma f + g` there.
    pub value: f64,
    /// `L |y - project(y - gradient / L)|`, `L` the last curvature estimate.
    pub residual: f64,
    /// Iterations taken.
    pub iterations: usize,
}

fn penalised_value(oracle: &mut Oracle<'_>, x: &[f64], y: &[f64], sigma: f64) -> (f64, Vec<f64>) {
    let lower = oracle.lower(x, y, &Batch::all(), Wrt::Y);
    let (mut value, mut slope) = (lower.value, lower.y);
    if sigma > 0.0 {
        let upper = oracle.upper(x, y, &Batch::all(), Wrt::Y);
        value += sigma * upper.value;
        axpy(&mut slope, sigma, &upper.y);
    }
    (value, slope)
}

/// Minimises `sigma f(x, .) + g(x, .)` over `Y` by accelerated projected gradients with restarts and a curvature estimate of its own,
/// from `start`, until the residual is at most `tolerance` or for `most` iterations.
pub fn solve_lower(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    start: &[f64],
    sigma: f64,
    tolerance: f64,
    most: usize,
) -> LowerSolve {
    let set = oracle.problem().set_y();
    let mut slope = |y: &[f64]| penalised_value(oracle, x, y, sigma);
    accelerated(&mut slope, set, start, tolerance, most)
}

/// Value and gradient of a function at a point.
pub(crate) type Slope<'a> = dyn FnMut(&[f64]) -> (f64, Vec<f64>) + 'a;

/// Accelerated projected gradients for a smooth convex function.
pub(crate) fn accelerated(
    function: &mut Slope<'_>,
    set: &Set,
    start: &[f64],
    tolerance: f64,
    most: usize,
) -> LowerSolve {
    let mut y = set.nearest(start);
    let (mut value, mut slope_y) = function(&y);
    let (mut v, mut slope_v) = (y.clone(), slope_y.clone());
    let (mut bend, mut age) = (1.0f64, 1.0f64);
    let mut residual = f64::INFINITY;
    let mut iterations = 0;
    while iterations < most {
        iterations += 1;
        let (next, next_value, next_slope) = loop {
            let mut next = v.clone();
            axpy(&mut next, -1.0 / bend, &slope_v);
            set.project(&mut next);
            let (value, slope) = function(&next);
            let step = sub(&next, &v);
            // The curvature along the step, from gradients: values lose half of the digits near a solution.
            let curved = dot(&sub(&slope, &slope_v), &step);
            let fits = curved <= bend * dot(&step, &step) * (1.0 + 1e-10);
            if fits || bend > 1e18 || !value.is_finite() {
                break (next, value, slope);
            }
            bend *= 2.0;
        };
        let moved = sub(&next, &y);
        let uphill = dot(&slope_v, &moved) > 0.0;
        (y, value, slope_y) = (next, next_value, next_slope);
        residual = set.projected_gradient(&y, &slope_y, 1.0 / bend);
        if residual <= tolerance || !value.is_finite() {
            break;
        }
        if uphill {
            age = 1.0;
            (v, slope_v) = (y.clone(), slope_y.clone());
        } else {
            let next_age = 0.5 * (1.0 + (1.0 + 4.0 * age * age).sqrt());
            v.clone_from(&y);
            axpy(&mut v, (age - 1.0) / next_age, &moved);
            age = next_age;
            slope_v = function(&v).1;
        }
        bend = (bend * 0.98).max(1e-12);
    }
    LowerSolve { y, value, residual, iterations }
}

/// `psi_sigma(x)` with its gradient and both minimizers.
#[derive(Clone, Debug, PartialEq)]
pub struct Penalised {
    /// `psi_sigma(x) = f(x, y) + (g(x, y) - g(x, z)) / sigma`
    pub value: f64,
    /// Its gradient.
    pub gradient: Vec<f64>,
    /// Minimizer of `sigma f + g`.
    pub y: Vec<f64>,
    /// Minimizer of `g`.
    pub z: Vec<f64>,
    /// `g(x, y) - g(x, z)`
    pub gap: f64,
}

/// Evaluates the penalised objective at `x` by solving both lower problems to `tolerance` from `(y, z)`.
pub fn penalised(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    (y, z): (&[f64], &[f64]),
    sigma: f64,
    tolerance: f64,
    most: usize,
) -> Penalised {
    // The gradient divides by sigma what the solutions leave over.
    let tight = tolerance * sigma.min(1.0);
    let y = solve_lower(oracle, x, y, sigma, tight, most).y;
    let z = solve_lower(oracle, x, z, 0.0, tight, most).y;
    let all = Batch::all();
    let upper = oracle.upper(x, &y, &all, Wrt::X);
    let (at_y, at_z) = (oracle.lower(x, &y, &all, Wrt::X), oracle.lower(x, &z, &all, Wrt::X));
    let gap = at_y.value - at_z.value;
    let mut gradient = upper.x;
    axpy(&mut gradient, 1.0 / sigma, &sub(&at_y.x, &at_z.x));
    Penalised { value: upper.value + gap / sigma, gradient, y, z, gap }
}
