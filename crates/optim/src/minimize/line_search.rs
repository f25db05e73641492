//! Step lengths: strong Wolfe for free problems, projected Armijo within bounds.

use lisse_array::Array;

use super::{Iterate, Objective, dot};

/// Sufficient decrease, as a share of what the slope promises.
const DECREASE: f64 = 1e-4;
/// Most evaluations of one search.
const MOST_TRIALS: usize = 40;

/// Whether a point decreases the value enough: by what the slope `promised` (the gradient at the start times the displacement,
/// negative), or, where rounding hides that decrease, so far as the slope there tells (the approximate condition of Hager and
/// Zhang, 2005): `slope` is the gradient at the point times the displacement.
fn decreases(before: f64, after: f64, promised: f64, slope: f64) -> bool {
    let noise = 10.0 * f64::EPSILON * before.abs();
    after <= before + DECREASE * promised
        || (after <= before + noise && slope <= (2.0 * DECREASE - 1.0) * promised)
}

/// A point on a ray with its value and gradient.
#[derive(Clone)]
pub(super) struct Trial {
    pub x: Array,
    pub value: f64,
    pub gradient: Array,
    step: f64,
    slope: f64,
}

/// Finds a step along `direction` that satisfies the strong Wolfe conditions with curvature constant `curvature` (Nocedal and
/// Wright, 2006, algorithms 3.5 and 3.6, cubic interpolation). Returns the best decrease found if rounding stops the search.
pub(super) fn strong_wolfe(
    objective: &mut Objective<'_>,
    from: &Iterate,
    direction: &Array,
    first: f64,
    curvature: f64,
) -> Option<Trial> {
    let slope = dot(&from.gradient, direction);
    if slope >= 0.0 || !slope.is_finite() {
        return None;
    }
    let origin = Trial {
        x: from.x.clone(),
        value: from.value,
        gradient: from.gradient.clone(),
        step: 0.0,
        slope,
    };
    let mut evaluate = |step: f64| {
        let x = from.x.add_scaled(step, direction);
        let (value, gradient) = objective.value_and_grad(&x);
        let slope = dot(&gradient, direction);
        Trial { x, value, gradient, step, slope }
    };
    let enough = |t: &Trial| decreases(origin.value, t.value, t.step * slope, t.step * t.slope);
    let flat = |t: &Trial| t.slope.abs() <= -curvature * slope;
    let mut previous = origin.clone();
    let mut step = first;
    for trial in 0..MOST_TRIALS {
        let current = evaluate(step);
        if !current.value.is_finite() {
            // Outside the domain: come back towards the last good point.
            step = previous.step + 0.1 * (step - previous.step);
            continue;
        }
        if enough(&current) && flat(&current) {
            return Some(current);
        }
        if !enough(&current) || (trial > 0 && current.value >= previous.value) {
            return zoom(&origin, previous, current, curvature, &mut evaluate);
        }
        if current.slope >= 0.0 {
            return zoom(&origin, current, previous, curvature, &mut evaluate);
        }
        previous = current;
        step *= 2.0;
    }
    (previous.step > 0.0).then_some(previous)
}

/// Narrows the interval between `low` (lowest value so far, slope pointing into the interval) and `high`.
fn zoom(
    origin: &Trial,
    mut low: Trial,
    mut high: Trial,
    curvature: f64,
    evaluate: &mut dyn FnMut(f64) -> Trial,
) -> Option<Trial> {
    for _ in 0..MOST_TRIALS {
        let width = (high.step - low.step).abs();
        if width <= f64::EPSILON * low.step.max(1e-300) {
            break;
        }
        let middle = evaluate(interpolate(&low, &high));
        let promised = middle.step * origin.slope;
        let enough = decreases(origin.value, middle.value, promised, middle.step * middle.slope);
        if enough && middle.slope.abs() <= -curvature * origin.slope {
            return Some(middle);
        }
        if !enough || middle.value >= low.value || !middle.value.is_finite() {
            high = middle;
        } else {
            if middle.slope * (high.step - low.step) >= 0.0 {
                high = low;
            }
            low = middle;
        }
    }
    (low.step > 0.0 && low.value < origin.value).then_some(low)
}

/// Minimizer of the cubic through two points' values and slopes, kept well inside the interval.
fn interpolate(a: &Trial, b: &Trial) -> f64 {
    let (low, high) = (a.step.min(b.step), a.step.max(b.step));
    let d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.step - b.step);
    let root = (d1 * d1 - a.slope * b.slope).sqrt() * (b.step - a.step).signum();
    let step =
        b.step - (b.step - a.step) * (b.slope + root - d1) / (b.slope - a.slope + 2.0 * root);
    let margin = 0.1 * (high - low);
    if step.is_finite() { step.clamp(low + margin, high - margin) } else { 0.5 * (low + high) }
}

/// Halves the step until the projected point decreases the value enough (Bertsekas, 1976): the point, its value and gradient.
pub(super) fn projected_armijo(
    objective: &mut Objective<'_>,
    from: &Iterate,
    direction: &Array,
    first: f64,
) -> Option<(Array, f64, Array)> {
    let mut step = first;
    for _ in 0..MOST_TRIALS {
        let x = objective.project(&from.x.add_scaled(step, direction));
        let moved = &x - &from.x;
        let promised = dot(&from.gradient, &moved);
        // With its gradient: the first trial is usually taken.
        let (value, gradient) = objective.value_and_grad(&x);
        if promised < 0.0 && decreases(from.value, value, promised, dot(&gradient, &moved)) {
            return Some((x, value, gradient));
        }
        step *= 0.5;
    }
    None
}
