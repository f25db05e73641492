//! Vector arithmetic on slices. Sums run over blocks of fixed length, so they do not depend on the number of threads.

use rayon::prelude::*;

/// Length of a block whose sum one thread takes.
const BLOCK: usize = 1 << 13;
/// From this length on, several threads pay.
const PARALLEL: usize = 1 << 16;

/// `<a, b>`
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    if a.len() < PARALLEL {
        return a.chunks(BLOCK).zip(b.chunks(BLOCK)).map(|(a, b)| block(a, b)).sum();
    }
    let parts: Vec<f64> =
        a.par_chunks(BLOCK).zip(b.par_chunks(BLOCK)).map(|(a, b)| block(a, b)).collect();
    parts.iter().sum()
}

/// Eight running sums, which the compiler turns into vector instructions.
fn block(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (head_a, head_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = head_a.remainder().iter().zip(head_b.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in head_a.zip(head_b) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f64>() + tail
}

/// Euclidean norm.
pub fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// `y += factor * x`
pub fn axpy(factor: f64, x: &[f64], y: &mut [f64]) {
    debug_assert_eq!(x.len(), y.len());
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// `y = x + factor * y`
pub fn xpay(x: &[f64], factor: f64, y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = x + factor * *y;
    }
}

/// `x *= factor`
pub fn scale(factor: f64, x: &mut [f64]) {
    for x in x {
        *x *= factor;
    }
}

/// Whether every element is finite.
pub fn all_finite(x: &[f64]) -> bool {
    x.iter().all(|v| v.is_finite())
}
