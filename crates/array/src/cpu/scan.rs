//! Running sums, products and linear recurrences along an axis.

use std::num::Wrapping;
use std::ops::{Add, Mul};

use rayon::prelude::*;

use super::contiguous;
use super::index::lanes;
use super::tensor::CpuTensor;
use crate::dtype::with_dtype;
use crate::storage::{elements, raw_tensor};
use crate::{DType, Element};

/// An element with which kernels compute.
pub(crate) trait Number: Element<Raw = Self> + bytemuck::Pod + PartialOrd {
    /// In which long sums and products are accumulated.
    type Wide: Copy + Send + Sync + Add<Output = Self::Wide> + Mul<Output = Self::Wide>;
    fn widen(self) -> Self::Wide;
    fn narrow(wide: Self::Wide) -> Self;
    fn plus(self, other: Self) -> Self;
}

macro_rules! number {
    ($($t:ty as $wide:ty, $widen:expr, $narrow:expr, $plus:expr;)*) => {$(
        impl Number for $t {
            type Wide = $wide;
            #[inline(always)]
            fn widen(self) -> $wide {
                $widen(self)
            }
            #[inline(always)]
            fn narrow(wide: $wide) -> $t {
                $narrow(wide)
            }
            #[inline(always)]
            fn plus(self, other: $t) -> $t {
                $plus(self, other)
            }
        }
    )*};
}
number! {
    f64 as f64, |x| x, |w| w, |x, y| x + y;
    f32 as f64, f64::from, |w| w as f32, |x, y| x + y;
    half::f16 as f32, half::f16::to_f32, half::f16::from_f32, |x, y| x + y;
    half::bf16 as f32, half::bf16::to_f32, half::bf16::from_f32, |x, y| x + y;
    i64 as Wrapping<i64>, Wrapping, |w: Wrapping<i64>| w.0, i64::wrapping_add;
    i32 as Wrapping<i32>, Wrapping, |w: Wrapping<i32>| w.0, i32::wrapping_add;
    u8 as Wrapping<u8>, Wrapping, |w: Wrapping<u8>| w.0, u8::wrapping_add;
}

/// What accumulates along the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cumulate {
    Sum,
    Prod,
}

/// Elements below which a second thread does not pay.
const PARALLEL_FROM: usize = 1 << 15;

/// Walks one lane after another, from the last element to the first if `reverse`; `step` takes the state and the flat
/// position of an element to the next state, which is the result there.
fn scan<T: Number>(
    dtype: DType,
    shape: &[usize],
    axis: usize,
    reverse: bool,
    start: T::Wide,
    step: impl Fn(T::Wide, usize) -> T::Wide + Sync,
) -> CpuTensor {
    let (outer, n, inner) = lanes(shape, axis);
    let mut out: Vec<T> = vec![bytemuck::Zeroable::zeroed(); outer * n * inner];
    let block = n * inner;
    let run = |(o, chunk): (usize, &mut [T])| {
        let row = |j: usize| if reverse { n - 1 - j } else { j };
        if inner == 1 {
            let mut state = start;
            for j in (0..n).map(row) {
                state = step(state, o * block + j);
                chunk[j] = T::narrow(state);
            }
            return;
        }
        let mut states = vec![start; inner];
        for first in (0..n).map(|j| row(j) * inner) {
            let written = chunk[first..first + inner].iter_mut();
            for (i, (state, slot)) in states.iter_mut().zip(written).enumerate() {
                *state = step(*state, o * block + first + i);
                *slot = T::narrow(*state);
            }
        }
    };
    if block > 0 {
        if outer == 1 || out.len() < PARALLEL_FROM {
            out.chunks_mut(block).enumerate().for_each(run);
        } else {
            let together = (PARALLEL_FROM / 2 / block).max(1);
            out.par_chunks_mut(block).with_min_len(together).enumerate().for_each(run);
        }
    }
    raw_tensor(out, shape, dtype)
}

/// Running sum or product along an axis.
pub(crate) fn cumulate(op: Cumulate, x: &CpuTensor, axis: usize, reverse: bool) -> CpuTensor {
    let x = contiguous(x.clone());
    let (dtype, shape) = (x.dtype(), x.layout().shape());
    with_dtype!(dtype, T => {
        let x = elements::<T>(&x);
        let unit = |v: f64| <T as Element>::from_f64(v).widen();
        match op {
            Cumulate::Sum => scan::<T>(dtype, shape, axis, reverse, unit(0.0), |s, i| s + x[i].widen()),
            Cumulate::Prod => scan::<T>(dtype, shape, axis, reverse, unit(1.0), |s, i| s * x[i].widen()),
        }
    })
}

/// `h_t = a_t h_(t-1) + b_t` along an axis with `h` zero before the start (behind the end if `reverse`); `a` and `b` have
/// one shape.
pub(crate) fn linear_scan(a: &CpuTensor, b: &CpuTensor, axis: usize, reverse: bool) -> CpuTensor {
    let (a, b) = (contiguous(a.clone()), contiguous(b.clone()));
    let (dtype, shape) = (b.dtype(), b.layout().shape());
    with_dtype!(dtype, T => {
        let (a, b) = (elements::<T>(&a), elements::<T>(&b));
        let zero = <T as Element>::from_f64(0.0).widen();
        scan::<T>(dtype, shape, axis, reverse, zero, |h, i| a[i].widen() * h + b[i].widen())
    })
}
