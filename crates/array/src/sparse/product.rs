//! Products with sparse matrices. Three maps are each other's transposes: `matmul` (values and dense to dense), `sampled` (two
//! dense to values), and the pair `take` and `put` that move values between places.

use std::sync::Arc;

use rayon::prelude::*;

use super::{Csr, Pattern};
use crate::linalg::with_real;
use crate::storage::{elements, raw_tensor};
use crate::{Array, DType, Element};

impl Csr {
    /// `A x` for `x` of shape `[columns]` or `[columns, k]`. Differentiable to any order in the values and in `x`.
    #[track_caller]
    pub fn matmul(&self, x: &Array) -> Array {
        let [rows, columns] = self.shape();
        assert!(
            matches!(x.rank(), 1 | 2) && x.dim(0) == columns,
            "sparse matmul: inner dimensions differ: [{rows}, {columns}] x {:?}",
            x.shape()
        );
        check_dtype("sparse matmul", self.values(), x);
        if x.rank() == 1 { product(self, &x.unsqueeze(1)).squeeze(1) } else { product(self, x) }
    }
}

#[track_caller]
pub(super) fn check_dtype(operation: &str, values: &Array, x: &Array) {
    assert!(
        values.dtype() == x.dtype() && matches!(x.dtype(), DType::F64 | DType::F32),
        "{operation}: runs in f64 and f32, got values of {} and an operand of {}; cast them",
        values.dtype(),
        x.dtype()
    );
}

/// `y[i, :] = sum_e in row i: values[e] x[column(e), :]`
fn product(a: &Csr, x: &Array) -> Array {
    let value = with_real!(x.dtype(), T => product_value::<T>(a, x));
    let (to_values, to_x, kept) = (a.pattern().clone(), a.clone(), x.clone());
    value.derive2(
        a.values(),
        move |ct, _| sampled(&to_values, &ct, &kept),
        x,
        move |ct, _| product(&to_x.t(), &ct),
    )
}

/// `v[e] = sum_k left[row(e), k] right[column(e), k]`: the product `left right^T` at the places of the pattern only.
pub(super) fn sampled(pattern: &Arc<Pattern>, left: &Array, right: &Array) -> Array {
    let value = with_real!(left.dtype(), T => sampled_value::<T>(pattern, left, right));
    let (p1, p2) = (pattern.clone(), pattern.clone());
    let (l, r) = (left.clone(), right.clone());
    value.derive2(
        left,
        move |ct, _| product(&Csr::with_pattern(p1.clone(), &ct), &r),
        right,
        move |ct, _| product(&Csr::with_pattern(p2.clone(), &ct).t(), &l),
    )
}

/// `y[e] = x[places[e]]` for vectors.
pub(super) fn take(x: &Array, places: &Arc<[usize]>) -> Array {
    let n = x.len();
    let value = with_real_or_cast(x, |x| {
        with_real!(x.dtype(), T => {
            let cpu = x.to_cpu();
            let from = elements::<T>(&cpu);
            vector(places.iter().map(|&p| from[p]).collect::<Vec<T>>(), x)
        })
    });
    let places = places.clone();
    value.derive(x, move |ct, _| put(&ct, &places, n))
}

/// `y[places[e]] += x[e]` into `n` zeros: the transpose of [`take`].
pub(super) fn put(x: &Array, places: &Arc<[usize]>, n: usize) -> Array {
    let value = with_real_or_cast(x, |x| {
        with_real!(x.dtype(), T => {
            let cpu = x.to_cpu();
            let mut sums = vec![0.0 as T; n];
            for (&p, &v) in places.iter().zip(elements::<T>(&cpu)) {
                sums[p] += v;
            }
            vector(sums, x)
        })
    });
    let places = places.clone();
    value.derive(x, move |ct, _| take(&ct, &places))
}

/// Half floats are moved through f32.
fn with_real_or_cast(x: &Array, f: impl FnOnce(&Array) -> Array) -> Array {
    let x = x.stop_gradient();
    if matches!(x.dtype(), DType::F64 | DType::F32) {
        return f(&x);
    }
    f(&x.cast(DType::F32)).cast(x.dtype())
}

fn vector<T: Element + bytemuck::Pod>(values: Vec<T>, like: &Array) -> Array {
    let shape = [values.len()];
    Array::from_cpu(raw_tensor(values, &shape, T::DTYPE)).to_device(like.device())
}

/// Entries per task below which threads do not pay.
const GRAIN: usize = 1 << 13;

fn product_value<T: crate::linalg::Real>(a: &Csr, x: &Array) -> Array {
    let pattern = a.pattern();
    let k = x.dim(1);
    let (values, x_cpu) = (a.values().to_cpu(), x.to_cpu());
    let (values, dense) = (elements::<T>(&values), elements::<T>(&x_cpu));
    let mut out = vec![<T as Element>::from_f64(0.0); pattern.rows() * k];
    let (indptr, indices) = (pattern.indptr(), pattern.indices());
    let row = |(i, out): (usize, &mut [T])| {
        for e in indptr[i]..indptr[i + 1] {
            let from = &dense[indices[e] * k..(indices[e] + 1) * k];
            for (y, &x) in out.iter_mut().zip(from) {
                *y += values[e] * x;
            }
        }
    };
    if k > 0 {
        // About as many entries in each task, whatever the number of rows.
        let work = (pattern.len() * k / pattern.rows().max(1)).max(1);
        out.par_chunks_mut(k).enumerate().with_min_len((GRAIN / work).max(1)).for_each(row);
    }
    Array::from_cpu(raw_tensor(out, &[pattern.rows(), k], T::DTYPE)).to_device(x.device())
}

fn sampled_value<T: crate::linalg::Real>(pattern: &Pattern, left: &Array, right: &Array) -> Array {
    let k = left.dim(1);
    let (left_cpu, right_cpu) = (left.to_cpu(), right.to_cpu());
    let (l, r) = (elements::<T>(&left_cpu), elements::<T>(&right_cpu));
    let dot = |(&i, &j): (&usize, &usize)| {
        let pairs = l[i * k..(i + 1) * k].iter().zip(&r[j * k..(j + 1) * k]);
        pairs.fold(<T as Element>::from_f64(0.0), |sum, (&a, &b)| sum + a * b)
    };
    let values: Vec<T> = pattern
        .row_of()
        .par_iter()
        .zip(pattern.indices())
        .with_min_len((GRAIN / k.max(1)).max(1))
        .map(dot)
        .collect();
    vector(values, left)
}
