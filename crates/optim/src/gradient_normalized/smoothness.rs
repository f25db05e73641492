//! Gradient-normalized smoothness, measured.

use lisse_array::Array;

use super::curvature::Curvature;
use super::metric::Metric;

/// Points per direction and sign before the boundary is refined.
const POINTS: usize = 4000;
/// The ratio of the longest displacement tried to the shortest.
const SPAN: f64 = 1e9;

/// The largest `gamma` up to `reach` with `|f'(x+h) - f'(x) - H h|_* <= |f'(x)|_* |h| / gamma` for all `h` along the `directions`, of either sign, with
/// `|h| <= gamma`: the gradient-normalized smoothness of `f` at `x` over balls, as far as these directions show it.
///
/// A step with `gamma` up to the true value is always accepted. In one dimension this is the true value up to the grid; in more it is an upper
/// estimate, since the worst direction may be another: it explains a run, it cannot steer one. It costs 8000 gradients a direction.
///
/// ```
/// use lisse_array::{Array, grad};
/// use lisse_optim::gradient_normalized::{Curvature, Metric, smoothness_along};
/// // x^2 without a Hessian: |g| / L.
/// let gradient = grad(|x: &Array| x.square().sum_all());
/// let x = Array::from_slice(&[3.0f64], &[1]);
/// let right = Array::from_slice(&[1.0f64], &[1]);
/// let gamma = smoothness_along(gradient, &x, &Curvature::Zero, &Metric::identity(), &[right], 1e3);
/// assert!((gamma - 3.0).abs() < 1e-9);
/// ```
pub fn smoothness_along(
    gradient: impl Fn(&Array) -> Array,
    x: &Array,
    curvature: &Curvature<'_>,
    metric: &Metric,
    directions: &[Array],
    reach: f64,
) -> f64 {
    let at = gradient(x);
    let norm = metric.dual_norm(&at);
    let rays: Vec<(Array, Array)> = directions
        .iter()
        .flat_map(|d| [d.clone(), -d])
        .map(|d| {
            let unit = &d * (1.0 / metric.norm(&d));
            let image = curvature.apply(&unit);
            (unit, image)
        })
        .collect();
    // The error of the linear model of the gradient, relative to the displacement and to the gradient.
    let error = |t: f64| {
        let along = |(unit, image): &(Array, Array)| {
            let moved = gradient(&x.add_scaled(t, unit));
            metric.dual_norm(&(moved - &at).add_scaled(-t, image)) / (t * norm)
        };
        rays.iter().map(along).fold(0.0, f64::max)
    };
    let first = reach / SPAN;
    let step = SPAN.powf(1.0 / POINTS as f64);
    let (mut worst, mut before) = (0.0f64, 0.0);
    for i in 0..=POINTS {
        let t = first * step.powi(i as i32);
        let here = error(t);
        if t * worst.max(here) > 1.0 {
            return refine(before, t, |t| t * worst.max(error(t)) <= 1.0);
        }
        worst = worst.max(here);
        before = t;
    }
    reach
}

/// The boundary between where `holds` is true, at `low`, and false, at `high`.
fn refine(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}
