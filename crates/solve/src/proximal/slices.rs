//! Proximal operators of plain vectors, in place, without derivatives. `weight` is step times strength, at least 0; a negative weight or NaN
//! panics.

use crate::projection::slices as projection;

#[track_caller]
fn check(operator: &str, weight: f64) {
    assert!(
        weight >= 0.0 && weight.is_finite(),
        "{operator}: a weight must be a finite number of at least 0, not {weight}"
    );
}

/// One entry towards 0 by `threshold`. NaN stays NaN.
pub fn soft(x: f64, threshold: f64) -> f64 {
    if x.abs() <= threshold { 0.0 } else { x - threshold.copysign(x) }
}

/// `sign(x) max(|x| - weight, 0)`
#[track_caller]
pub fn l1(v: &mut [f64], weight: f64) {
    check("l1", weight);
    for x in v.iter_mut() {
        *x = soft(*x, weight);
    }
}

/// `max(x - weight, 0)`
#[track_caller]
pub fn non_negative_l1(v: &mut [f64], weight: f64) {
    check("non_negative_l1", weight);
    for x in v.iter_mut() {
        *x = (*x - weight).max(0.0);
    }
}

/// `soft(x, weight) / (1 + weight gamma)`
#[track_caller]
pub fn elastic_net(v: &mut [f64], weight: f64, gamma: f64) {
    check("elastic_net", weight);
    check("elastic_net", gamma);
    for x in v.iter_mut() {
        *x = soft(*x, weight) / (1.0 + weight * gamma);
    }
}

/// `x / (1 + weight)`
#[track_caller]
pub fn ridge(v: &mut [f64], weight: f64) {
    check("ridge", weight);
    for x in v.iter_mut() {
        *x /= 1.0 + weight;
    }
}

/// `max(x, 0) / (1 + weight)`
#[track_caller]
pub fn non_negative_ridge(v: &mut [f64], weight: f64) {
    check("non_negative_ridge", weight);
    for x in v.iter_mut() {
        *x = x.max(0.0) / (1.0 + weight);
    }
}

/// `x max(1 - weight / |x|, 0)` of the whole vector.
#[track_caller]
pub fn group_lasso(v: &mut [f64], weight: f64) {
    check("group_lasso", weight);
    let norm = projection::dot(v, v).sqrt();
    let factor = if norm <= weight { 0.0 } else { 1.0 - weight / norm };
    for x in v.iter_mut() {
        *x *= factor;
    }
}

/// `x` minus its projection onto the l1 ball of radius `weight`. A vector that is not finite stays as it is.
#[track_caller]
pub fn linf(v: &mut [f64], weight: f64) {
    check("linf", weight);
    let mut inner = v.to_vec();
    if projection::l1_ball(&mut inner, weight).is_ok() {
        v.iter_mut().zip(inner).for_each(|(x, p)| *x -= p);
    }
}

/// `(x + sqrt(x^2 + 4 weight)) / 2`
#[track_caller]
pub fn log_barrier(v: &mut [f64], weight: f64) {
    check("log_barrier", weight);
    for x in v {
        let root = x.hypot(2.0 * weight.sqrt());
        *x = if *x < 0.0 { 2.0 * weight / (root - *x) } else { 0.5 * (*x + root) };
    }
}
