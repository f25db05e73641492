//! Gauss-Newton by conjugate gradients.

use lisse_array::{Array, jvp};

use super::{Limits, Linearised, Outcome, Work, norm};

/// How often a step is halved before it is given up.
const MOST_HALVINGS: usize = 40;
/// Share of the promised decrease that is enough.
const DECREASE: f64 = 1e-4;

pub(super) fn solve<'a>(
    [residual, damping]: [f64; 2],
    products: usize,
    work: &mut Work<'a>,
    x: &Array,
    mut at: Linearised<'a>,
    limits: Limits,
) -> Outcome {
    let mut x = x.clone();
    let (mut steps, mut change) = (0, 0.0);
    let mut gradient = work.gradient(&at);
    let mut gradient_norm = norm(&gradient);
    let enough = limits.enough(gradient_norm);
    while steps < limits.steps && gradient_norm > enough {
        let direction = direction(work, &x, &at, &gradient, [residual, damping], products);
        let slope = (&direction * &gradient).sum_all().item();
        let Some(next) = halve(work, &x, &direction, slope, change) else { break };
        (x, at, change) = next;
        steps += 1;
        gradient = work.gradient(&at);
        gradient_norm = norm(&gradient);
    }
    Outcome { x, outputs: Some(at.outputs), steps, gradient_norm, increases: 0 }
}

/// The first of `x + d, x + d / 2, ...` that lowers the surrogate enough.
fn halve<'a>(
    work: &mut Work<'a>,
    x: &Array,
    direction: &Array,
    slope: f64,
    change: f64,
) -> Option<(Array, Linearised<'a>, f64)> {
    let mut step = 1.0;
    for _ in 0..MOST_HALVINGS {
        let next = x.add_scaled(step, direction);
        let at = work.linearise(&next);
        let there = work.change(&at.outputs);
        if there <= change + DECREASE * step * slope {
            return Some((next, at, there));
        }
        step *= 0.5;
    }
    None
}

/// `s` with `(J'WJ + damping) s = -gradient`, from zero: of several solutions the smallest.
fn direction(
    work: &mut Work<'_>,
    x: &Array,
    at: &Linearised<'_>,
    gradient: &Array,
    [residual, damping]: [f64; 2],
    products: usize,
) -> Array {
    let mut s = gradient.zeros_like();
    let mut r = -gradient;
    let mut d = r.clone();
    let mut rr = r.square().sum_all().item();
    let enough = residual * residual * rr;
    for _ in 0..products {
        let (_, moved) = jvp(|x: &Array| (work.model)(x), x, &d);
        // The forward pass, the transposed derivative and its transpose; then back.
        work.passes.forward += 1;
        work.passes.backward += 3;
        let product =
            (at.pull)(&work.surrogate.curvature(&at.outputs, &moved)).add_scaled(damping, &d);
        let curvature = (&d * &product).sum_all().item();
        if curvature.is_nan() || curvature <= 0.0 {
            break;
        }
        let alpha = rr / curvature;
        s = s.add_scaled(alpha, &d);
        r = r.add_scaled(-alpha, &product);
        let next = r.square().sum_all().item();
        if next <= enough {
            break;
        }
        d = r.add_scaled(next / rr, &d);
        rr = next;
    }
    // Negative curvature at once: the gradient says where down is.
    if s.square().sum_all().item() == 0.0 { -gradient } else { s }
}
