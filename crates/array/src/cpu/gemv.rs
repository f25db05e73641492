//! Products of a tall or wide matrix with a vector, which read the matrix once: they are bound by memory.

use std::mem::MaybeUninit;

use super::math::Real;
use super::parallel::{Shared, in_blocks};
use super::simd::{Isa, per_isa};

/// Columns of which a part of the vector stays in cache while all rows pass.
const COLUMNS: usize = 1 << 12;
/// Independent accumulators along a row.
const LANES: usize = 32;

/// `out[i] = sum_c matrix[i, c] x[c]` for a row-major matrix with rows as long as `x`. Sums over stretches of columns are taken in the
/// matrix's type, their sum in f64; the order does not depend on the number of threads.
pub(crate) fn matrix_vector<T: Real>(matrix: &[T], x: &[T]) -> Vec<f64> {
    let n = x.len();
    if n == 0 {
        return Vec::new();
    }
    let rows = matrix.len() / n;
    let strips = n.div_ceil(COLUMNS);
    let mut parts = vec![T::ZERO; strips * rows];
    let shared = Shared::new(&mut parts);
    in_blocks(strips, (1 << 17) / (COLUMNS * rows.max(1)), |range| {
        for strip in range {
            let columns = strip * COLUMNS..((strip + 1) * COLUMNS).min(n);
            // SAFETY: strips do not overlap.
            let out = unsafe { shared.part(strip * rows..(strip + 1) * rows) };
            dots(&matrix[columns.start..], n, &x[columns], out);
        }
    });
    let mut sums = vec![0.0; rows];
    for strip in parts.chunks_exact(rows.max(1)) {
        for (sum, part) in sums.iter_mut().zip(strip) {
            *sum += part.to_f64();
        }
    }
    sums
}

per_isa! {
    /// `out[i] = x . matrix[i * stride..]`
    fn dots<T: Real>(matrix: &[T], stride: usize, x: &[T], out: &mut [T]) = dots_body
}

#[inline(always)]
fn dots_body<I: Isa, T: Real>(matrix: &[T], stride: usize, x: &[T], out: &mut [T]) {
    let (whole, rest) = x.as_chunks::<LANES>();
    for (i, out) in out.iter_mut().enumerate() {
        let row = &matrix[i * stride..][..x.len()];
        let (row_whole, row_rest) = row.as_chunks::<LANES>();
        let mut lanes = [T::ZERO; LANES];
        for (a, b) in row_whole.iter().zip(whole) {
            for k in 0..LANES {
                lanes[k] = a[k].fma::<I>(b[k], lanes[k]);
            }
        }
        for (k, (&a, &b)) in row_rest.iter().zip(rest).enumerate() {
            lanes[k] = a.fma::<I>(b, lanes[k]);
        }
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for k in 0..width {
                lanes[k] = lanes[k] + lanes[k + width];
            }
        }
        *out = lanes[0];
    }
}

/// `out[c] = sum_i weights[i] matrix[i, c]` for a row-major matrix with rows as long as `out`.
pub(crate) fn vector_matrix<T: Real>(weights: &[T], matrix: &[T], out: &mut [MaybeUninit<T>]) {
    let n = out.len();
    let shared = Shared::new(out);
    in_blocks(n.div_ceil(COLUMNS), (1 << 17) / (COLUMNS * weights.len().max(1)), |range| {
        for strip in range {
            let columns = strip * COLUMNS..((strip + 1) * COLUMNS).min(n);
            // SAFETY: strips do not overlap.
            let out = unsafe { shared.part(columns.clone()) };
            out.fill(MaybeUninit::new(T::ZERO));
            // SAFETY: filled.
            let out = unsafe { out.assume_init_mut() };
            combine(weights, &matrix[columns.start.min(matrix.len())..], n, out);
        }
    });
}

per_isa! {
    /// `out += sum_i weights[i] matrix[i * stride..]`
    fn combine<T: Real>(weights: &[T], matrix: &[T], stride: usize, out: &mut [T]) = combine_body
}

#[inline(always)]
fn combine_body<I: Isa, T: Real>(weights: &[T], matrix: &[T], stride: usize, out: &mut [T]) {
    let n = out.len();
    let (fours, rest) = weights.as_chunks::<4>();
    for (i, w) in fours.iter().enumerate() {
        let row = |k: usize| &matrix[(4 * i + k) * stride..][..n];
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        for j in 0..n {
            let sum = w[0].fma::<I>(a[j], w[1].fma::<I>(b[j], out[j]));
            out[j] = w[2].fma::<I>(c[j], w[3].fma::<I>(d[j], sum));
        }
    }
    for (i, &w) in rest.iter().enumerate() {
        let row = &matrix[(4 * fours.len() + i) * stride..][..n];
        for (out, &x) in out.iter_mut().zip(row) {
            *out = w.fma::<I>(x, *out);
        }
    }
}
