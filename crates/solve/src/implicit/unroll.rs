//! Iterating a map: forward, and recorded for the alternative to implicit derivatives.

use std::sync::Arc;

use lisse_array::{Array, Tree, checkpoint};

use super::root::Leafy;
use super::{ImplicitError, Map, vectors};

/// `steps` iterations of `x = map(x, theta)` from `init`, recorded. With `checkpoint`, only every so many iterates are
/// remembered and those between are computed again in the backward pass: memory of `steps / k + k` iterations instead of
/// `steps`, for one more forward pass.
///
/// # Errors
/// NaN or an infinity in the result; `checkpoint` of zero.
pub fn unroll<X: Leafy, P: Leafy>(
    map: impl Fn(&X, &P) -> X + Send + Sync + 'static,
    init: &X,
    theta: &P,
    steps: usize,
    checkpoint: Option<usize>,
) -> Result<X, ImplicitError> {
    let map: Map<X, P> = Arc::new(map);
    unroll_map(&map, init, theta, steps, checkpoint)
}

pub(super) fn unroll_map<X: Leafy, P: Leafy>(
    map: &Map<X, P>,
    init: &X,
    theta: &P,
    steps: usize,
    every: Option<usize>,
) -> Result<X, ImplicitError> {
    let mut x = init.clone();
    match every {
        None => {
            for _ in 0..steps {
                x = map(&x, theta);
            }
        }
        Some(0) => {
            let (option, value) = ("checkpoint", "0".to_owned());
            return Err(ImplicitError::Option { option, value, range: "at least 1" });
        }
        Some(every) => {
            let mut left = steps;
            while left > 0 {
                let count = every.min(left);
                let map = map.clone();
                let segment =
                    move |(x, theta): &(X, P)| (0..count).fold(x.clone(), |x, _| map(&x, theta));
                x = checkpoint(segment, &(x, theta.clone()));
                left -= count;
            }
        }
    }
    vectors::check("the unrolled iterate", &x)?;
    Ok(x)
}

/// When plain iteration of a map stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedPoint {
    /// Converged when `|T(x) - x| <= tolerance (1 + |x|)`.
    pub tolerance: f64,
    /// Most iterations.
    pub max_iterations: usize,
}

impl Default for FixedPoint {
    /// 1e-10, 10 000 iterations: tight, because errors of the solution are errors of its derivative.
    fn default() -> FixedPoint {
        FixedPoint { tolerance: 1e-10, max_iterations: 10_000 }
    }
}

/// How an iteration ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedPointReport {
    /// Iterations made.
    pub iterations: usize,
    /// Length of the last step.
    pub step: f64,
    /// Ratio of the last two steps: the observed rate of contraction.
    pub rate: f64,
}

/// Plain iteration of a map until it stands still (nothing is recorded of constants).
///
/// # Errors
/// [`ImplicitError::NotContracting`] when the steps grow over ten iterations or leave the numbers;
/// [`ImplicitError::NotConverged`] at the limit.
pub fn fixed_point<X: Tree, P>(
    map: impl Fn(&X, &P) -> X,
    init: &X,
    theta: &P,
    options: &FixedPoint,
) -> Result<(X, FixedPointReport), ImplicitError> {
    let mut x = init.map(Array::stop_gradient);
    let (mut previous, mut growing) = (f64::INFINITY, 0);
    for iterations in 1..=options.max_iterations {
        let next = map(&x, theta);
        let step = next.axpy(-1.0, &x).norm();
        let rate = step / previous;
        let ratio = if step.is_finite() { rate } else { f64::INFINITY };
        growing = if ratio >= 1.0 { growing + 1 } else { 0 };
        x = next;
        if growing == 10 || !step.is_finite() {
            return Err(ImplicitError::NotContracting { ratio, iterations });
        }
        if step <= options.tolerance * (1.0 + x.norm()) {
            return Ok((x, FixedPointReport { iterations, step, rate }));
        }
        previous = step;
    }
    let (step, iterations) = (previous, options.max_iterations);
    Err(ImplicitError::NotConverged { step, iterations, tolerance: options.tolerance })
}

/// The derivative of a solver along `direction` by central differences with step `h`: two more solves, and the check of all
/// other ways.
///
/// # Errors
/// The solver's own.
pub fn finite_difference<X: Tree, P: Tree, E>(
    solver: impl Fn(&P) -> Result<X, E>,
    theta: &P,
    direction: &P,
    h: f64,
) -> Result<X, E> {
    let (up, down) = (solver(&theta.axpy(h, direction))?, solver(&theta.axpy(-h, direction))?);
    Ok(up.axpy(-1.0, &down).scale(0.5 / h))
}
