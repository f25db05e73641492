//! Weighted sums of vectors, and inner products of many vectors with one.
//!
//! Both go over the elements in strips, so that what is not read once stays in the first-level cache, and over several vectors at once, so
//! that it is read once for all of them.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::math::Real;
use super::parallel::{Shared, in_blocks};
use super::simd::{Isa, per_isa};

/// Elements of each vector that one task takes. Fixed, so that sums do not depend on the number of threads.
const TASK: usize = 1 << 16;
const STRIP: usize = 1 << 12;
/// Vectors that are read together.
const TOGETHER: usize = 4;
/// Independent accumulators of an inner product.
const LANES: usize = 16;

fn strips(task: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    task.clone().step_by(STRIP).map(move |start| start..task.end.min(start + STRIP))
}

/// Writes all of `out` with the sum of `weights[i] * rows[i]`, added to zero in this order by one multiply-add each.
pub(crate) fn combine<T: Real>(rows: &[&[T]], weights: &[T], out: &mut [MaybeUninit<T>]) {
    assert!(rows.len() == weights.len(), "combine: one weight for each row");
    assert!(rows.iter().all(|row| row.len() == out.len()), "combine: lengths differ");
    let n = out.len();
    let out = Shared::new(out);
    in_blocks(n, TASK, |task| {
        for strip in strips(task) {
            // SAFETY: strips do not overlap.
            let room = unsafe { out.part(strip.clone()) };
            let sum = super::store::zeroed(room);
            for (rows, weights) in rows.chunks(TOGETHER).zip(weights.chunks(TOGETHER)) {
                match (rows, weights) {
                    (&[a, b, c, d], &[wa, wb, wc, wd]) => {
                        let rows = [a, b, c, d].map(|row| &row[strip.clone()]);
                        add_together(sum, rows, [wa, wb, wc, wd]);
                    }
                    _ => {
                        for (row, &weight) in rows.iter().zip(weights) {
                            add(sum, &row[strip.clone()], weight);
                        }
                    }
                }
            }
        }
    });
}

per_isa! {
    fn add<T: Real>(sum: &mut [T], row: &[T], w: T) = add_body
}

#[inline(always)]
fn add_body<I: Isa, T: Real>(sum: &mut [T], row: &[T], w: T) {
    for (sum, &x) in sum.iter_mut().zip(row) {
        *sum = w.fma::<I>(x, *sum);
    }
}

per_isa! {
    fn add_together<T: Real>(sum: &mut [T], rows: [&[T]; TOGETHER], w: [T; TOGETHER]) = add_together_body
}

#[inline(always)]
fn add_together_body<I: Isa, T: Real>(sum: &mut [T], rows: [&[T]; TOGETHER], w: [T; TOGETHER]) {
    let [a, b, c, d] = rows;
    for ((((sum, &a), &b), &c), &d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let two = w[1].fma::<I>(b, w[0].fma::<I>(a, *sum));
        *sum = w[3].fma::<I>(d, w[2].fma::<I>(c, two));
    }
}

/// The inner product of each row with `x`: sums of a strip in the elements' type, sums of strips in f64.
pub(crate) fn products<T: Real>(rows: &[&[T]], x: &[T]) -> Vec<f64> {
    assert!(rows.iter().all(|row| row.len() == x.len()), "products: lengths differ");
    let of_task = |i: usize| {
        let mut sums = vec![0.0; rows.len()];
        for strip in strips(i * TASK..((i + 1) * TASK).min(x.len())) {
            let x = &x[strip.clone()];
            for (rows, sums) in rows.chunks(TOGETHER).zip(sums.chunks_mut(TOGETHER)) {
                // The last rows are fewer: one of them stands in for those that lack.
                let rows = std::array::from_fn(|k| &rows[k.min(rows.len() - 1)][strip.clone()]);
                for (sum, product) in sums.iter_mut().zip(products_together(rows, x)) {
                    *sum += product;
                }
            }
        }
        sums
    };
    let tasks = x.len().div_ceil(TASK);
    let parts: Vec<Vec<f64>> = (0..tasks).into_par_iter().map(of_task).collect();
    let mut sums = vec![0.0; rows.len()];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sums
}

per_isa! {
    fn products_together<T: Real>(rows: [&[T]; TOGETHER], x: &[T]) -> [f64; TOGETHER] = products_body
}

/// One multiply-add in each lane. By value: in this form the compiler keeps the lanes of all rows in vector registers.
#[inline(always)]
fn multiply_add<I: Isa, T: Real>(sums: [T; LANES], x: &[T; LANES], y: &[T; LANES]) -> [T; LANES] {
    std::array::from_fn(|i| y[i].fma::<I>(x[i], sums[i]))
}

#[inline(always)]
fn products_body<I: Isa, T: Real>(rows: [&[T]; TOGETHER], x: &[T]) -> [f64; TOGETHER] {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let [(a, a_rest), (b, b_rest), (c, c_rest), (d, d_rest)] =
        rows.map(|row| row.as_chunks::<LANES>());
    let zero = [T::ZERO; LANES];
    let (mut of_a, mut of_b, mut of_c, mut of_d) = (zero, zero, zero, zero);
    for ((((x, a), b), c), d) in chunks.iter().zip(a).zip(b).zip(c).zip(d) {
        of_a = multiply_add::<I, T>(of_a, x, a);
        of_b = multiply_add::<I, T>(of_b, x, b);
        of_c = multiply_add::<I, T>(of_c, x, c);
        of_d = multiply_add::<I, T>(of_d, x, d);
    }
    let mut sums = [of_a, of_b, of_c, of_d];
    for (sums, row) in sums.iter_mut().zip([a_rest, b_rest, c_rest, d_rest]) {
        for ((sum, &x), &y) in sums.iter_mut().zip(rest).zip(row) {
            *sum = y.fma::<I>(x, *sum);
        }
    }
    sums.map(|sums| sums.into_iter().map(T::to_f64).sum())
}
