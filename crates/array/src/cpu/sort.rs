//! Sorting and selecting along the last axis.
//!
//! Elements are mapped to unsigned integers of the same order, with NaN above everything and the two zeros equal, and
//! packed with their position: an unstable sort of the pairs is then a stable sort of the elements.

use rayon::prelude::*;

use super::contiguous;
use super::scan::Number;
use super::tensor::CpuTensor;
use crate::DType;
use crate::dtype::with_dtype;
use crate::shape::Dims;
use crate::storage::{elements, raw_tensor};

/// Elements below which a second thread does not pay.
const PARALLEL_FROM: usize = 1 << 13;

/// An element that maps to an integer of the same order.
trait Key: Number {
    /// Whether the keys fit 32 bits.
    const SHORT: bool;
    fn key(self) -> u64;
}

/// Order of floats as that of integers, by their bits.
fn float_key(v: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    if v.is_nan() {
        return u64::MAX;
    }
    // Adding zero makes -0 equal to 0.
    let bits = (v + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn short_float_key(v: f32) -> u64 {
    const SIGN: u32 = 1 << 31;
    if v.is_nan() {
        return u64::from(u32::MAX);
    }
    let bits = (v + 0.0).to_bits();
    u64::from(if bits & SIGN == 0 { bits | SIGN } else { !bits })
}

macro_rules! keys {
    ($($t:ty, $short:expr, $key:expr;)*) => {$(
        impl Key for $t {
            const SHORT: bool = $short;
            #[inline(always)]
            fn key(self) -> u64 {
                $key(self)
            }
        }
    )*};
}
keys! {
    f64, false, float_key;
    f32, true, short_float_key;
    half::f16, true, |v: half::f16| short_float_key(v.to_f32());
    half::bf16, true, |v: half::bf16| short_float_key(v.to_f32());
    i64, false, |v| v as u64 ^ (1 << 63);
    i32, true, |v| u64::from(v as u32 ^ (1 << 31));
    u8, true, u64::from;
}

/// Sorts the `count` smallest pairs to the front.
fn partial_sort<P: Ord + Send>(pairs: &mut [P], count: usize) {
    if count < pairs.len() {
        if count == 0 {
            return;
        }
        pairs.select_nth_unstable(count - 1);
        pairs[..count].sort_unstable();
    } else if pairs.len() < PARALLEL_FROM {
        pairs.sort_unstable();
    } else {
        pairs.par_sort_unstable();
    }
}

/// Positions of the first `out.len()` elements of `lane` in sorted order.
fn order_lane<T: Key>(lane: &[T], descending: bool, out: &mut [i64]) {
    if T::SHORT && u32::try_from(lane.len()).is_ok() {
        let flip = if descending { u64::from(u32::MAX) } else { 0 };
        let pack = |(i, v): (usize, &T)| (v.key() ^ flip) << 32 | i as u64;
        let mut pairs: Vec<u64> = lane.iter().enumerate().map(pack).collect();
        partial_sort(&mut pairs, out.len());
        for (slot, pair) in out.iter_mut().zip(pairs) {
            *slot = (pair & u64::from(u32::MAX)) as i64;
        }
    } else {
        let flip = if descending { u64::MAX } else { 0 };
        let mut pairs: Vec<(u64, usize)> =
            lane.iter().enumerate().map(|(i, v)| (v.key() ^ flip, i)).collect();
        partial_sort(&mut pairs, out.len());
        for (slot, (_, i)) in out.iter_mut().zip(pairs) {
            *slot = i as i64;
        }
    }
}

/// Positions along the last axis of its first `count` elements in sorted order; stable, NaN counts as largest.
pub(crate) fn order_last(x: &CpuTensor, descending: bool, count: usize) -> CpuTensor {
    let x = contiguous(x.clone());
    let mut shape = Dims::from(&x.layout().shape()[..]);
    let last = shape.len() - 1;
    let n = std::mem::replace(&mut shape[last], count);
    let mut out = vec![0i64; shape.iter().product()];
    if !out.is_empty() {
        with_dtype!(x.dtype(), T => {
            let lanes = elements::<T>(&x).par_chunks_exact(n).with_min_len((PARALLEL_FROM / n).max(1));
            lanes
                .zip(out.par_chunks_exact_mut(count))
                .for_each(|(lane, out)| order_lane(lane, descending, out));
        });
    }
    raw_tensor(out, &shape, DType::I64)
}
