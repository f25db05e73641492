//! Operations on flat vectors, summed in a fixed order.

use super::BilevelError;

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four running sums: the order is fixed and the loop vectorises.
    let mut sums = [0.0; 4];
    let (left, right) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in left.zip(right) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

/// `y += factor x`
pub(crate) fn axpy(y: &mut [f64], factor: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// `y *= factor`
pub(crate) fn scale(y: &mut [f64], factor: f64) {
    for y in y {
        *y *= factor;
    }
}

/// `a - b`
pub(crate) fn sub(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x - y).collect()
}

/// `(1 - share) a + share b`, into `a`.
pub(crate) fn mix(a: &mut [f64], share: f64, b: &[f64]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = (1.0 - share) * *a + share * b;
    }
}

pub(crate) fn check_finite(
    what: &'static str,
    values: &[f64],
    hint: &'static str,
) -> Result<(), BilevelError> {
    // A finite sum of squares has finite terms; only otherwise is it worth looking at each.
    if dot(values, values).is_finite() {
        return Ok(());
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(entry) => Err(BilevelError::NotFinite { what, entry, value: values[entry], hint }),
        None => Ok(()),
    }
}
