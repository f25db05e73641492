//! Operations along the last axis that would otherwise take several passes.

use std::mem::MaybeUninit;

use super::alloc::output;
use super::cast::cast;
use super::copy::contiguous;
use super::layout::Shape;
use super::math::Real;
use super::parallel::{Shared, Work, in_blocks};
use super::reduce::{Max, Sum, fold_row};
use super::simd::{Isa, per_isa};
use super::store::{CHUNK, Store};
use super::tensor::{CpuTensor, dtype, owned_mut, shape, span};
use crate::DType;

/// Softmax over the last axis, exp(x - m) / Σ exp(x - m) with m the largest element; or its logarithm,
/// x - m - ln Σ exp(x - m).
pub(crate) fn softmax_last(x: CpuTensor, log: bool) -> CpuTensor {
    let dtype = dtype(&x);
    match dtype {
        DType::F64 => softmax_rows::<f64>(x, log),
        DType::F32 => softmax_rows::<f32>(x, log),
        DType::F16 | DType::BF16 => cast(softmax_rows::<f32>(cast(x, DType::F32), log), dtype),
        other => panic!("softmax: takes floats, not {other}"),
    }
}

fn softmax_rows<T: Real + Store>(x: CpuTensor, log: bool) -> CpuTensor {
    let len = *shape(&x).last().expect("softmax: needs an axis");
    let mut x = unique::<T>(contiguous(x));
    let Some(values) = owned_mut::<T>(&mut x) else { unreachable!("just made unique") };
    if values.is_empty() {
        return x;
    }
    let rows = values.len() / len;
    let values = Shared::new(values);
    in_blocks(rows, (Work::Heavy.block() / len).max(1), |range| {
        // SAFETY: blocks do not overlap.
        let values = unsafe { values.part(range.start * len..range.end * len) };
        // Short rows together, so that the exponentials fill whole vectors.
        for group in values.chunks_mut((CHUNK / len).max(1) * len) {
            if log { log_softmax::<T>(group, len) } else { softmax::<T>(group, len) }
        }
    });
    x
}

/// A tensor of the same elements that owns its memory: itself if nothing else refers to it.
fn unique<T: Store>(mut x: CpuTensor) -> CpuTensor {
    if owned_mut::<T>(&mut x).is_some() {
        return x;
    }
    let values = span::<T>(&x);
    let mut out = output::<T>(values.len());
    out.room().write_copy_of_slice(values);
    // SAFETY: all elements are written.
    unsafe { out.into_tensor(x.layout().shape().clone(), dtype(&x)) }
}

per_isa! {
    fn softmax<T: Real>(values: &mut [T], len: usize) = softmax_body
}

#[inline(always)]
fn softmax_body<I: Isa, T: Real>(values: &mut [T], len: usize) {
    for row in values.chunks_exact_mut(len) {
        let largest = fold_row::<T, Max>(row);
        for x in row {
            *x = *x - largest;
        }
    }
    for x in values.iter_mut() {
        *x = x.exp::<I>();
    }
    for row in values.chunks_exact_mut(len) {
        let scale = T::ONE / fold_row::<T, Sum>(row);
        for x in row {
            *x = *x * scale;
        }
    }
}

per_isa! {
    fn log_softmax<T: Real>(values: &mut [T], len: usize) = log_softmax_body
}

#[inline(always)]
fn log_softmax_body<I: Isa, T: Real>(values: &mut [T], len: usize) {
    let mut buffer = [T::ZERO; CHUNK];
    for row in values.chunks_exact_mut(len) {
        let largest = fold_row::<T, Max>(row);
        let mut sum = T::ZERO;
        for part in row.chunks_mut(CHUNK) {
            let powers = &mut buffer[..part.len()];
            for (x, power) in part.iter_mut().zip(powers.iter_mut()) {
                *x = *x - largest;
                *power = x.exp::<I>();
            }
            sum = sum + fold_row::<T, Sum>(powers);
        }
        let log = sum.ln::<I>();
        for x in row {
            *x = *x - log;
        }
    }
}

/// y = (x - mean) rstd over the last axis, with rstd = 1 / sqrt(variance + eps) and the variance of the population.
/// Returns y, mean and rstd; the last two keep the axis with length 1.
pub(crate) fn layer_norm_last(x: CpuTensor, eps: f64) -> (CpuTensor, CpuTensor, CpuTensor) {
    let dtype = dtype(&x);
    match dtype {
        DType::F64 => norm_rows::<f64>(x, eps),
        DType::F32 => norm_rows::<f32>(x, eps),
        DType::F16 | DType::BF16 => {
            let (y, mean, rstd) = norm_rows::<f32>(cast(x, DType::F32), eps);
            (cast(y, dtype), cast(mean, dtype), cast(rstd, dtype))
        }
        other => panic!("layer norm: takes floats, not {other}"),
    }
}

fn norm_rows<T: Real + Store>(x: CpuTensor, eps: f64) -> (CpuTensor, CpuTensor, CpuTensor) {
    let x = contiguous(x);
    let lengths = shape(&x);
    let (&len, leading) = lengths.split_last().expect("layer norm: needs an axis");
    let rows: usize = leading.iter().product();
    let values = span::<T>(&x);
    let mut y = output::<T>(rows * len);
    let mut mean = output::<T>(rows);
    let mut rstd = output::<T>(rows);
    let (ys, means, rstds) =
        (Shared::new(y.room()), Shared::new(mean.room()), Shared::new(rstd.room()));
    in_blocks(rows, (Work::Light.block() / len.max(1)).max(1), |range| {
        // SAFETY: blocks do not overlap.
        let (y, mean, rstd) = unsafe {
            (
                ys.part(range.start * len..range.end * len),
                means.part(range.clone()),
                rstds.part(range.clone()),
            )
        };
        norm::<T>(&values[range.start * len..range.end * len], len, T::of(eps), y, mean, rstd);
    });
    let mut statistics = leading.to_vec();
    statistics.push(1);
    let statistics = Shape::from(statistics);
    let dtype = dtype(&x);
    // SAFETY: the blocks cover all rows.
    unsafe {
        (
            y.into_tensor(x.layout().shape().clone(), dtype),
            mean.into_tensor(statistics.clone(), dtype),
            rstd.into_tensor(statistics, dtype),
        )
    }
}

per_isa! {
    fn norm<T: Real>(
        x: &[T],
        len: usize,
        eps: T,
        y: &mut [MaybeUninit<T>],
        mean: &mut [MaybeUninit<T>],
        rstd: &mut [MaybeUninit<T>],
    ) = norm_body
}

#[inline(always)]
fn norm_body<I: Isa, T: Real>(
    x: &[T],
    len: usize,
    eps: T,
    y: &mut [MaybeUninit<T>],
    mean: &mut [MaybeUninit<T>],
    rstd: &mut [MaybeUninit<T>],
) {
    if len == 0 {
        mean.fill(MaybeUninit::new(T::NAN));
        rstd.fill(MaybeUninit::new(T::NAN));
        return;
    }
    let share = T::ONE / T::of(len as f64);
    let rows = x.chunks_exact(len).zip(y.chunks_exact_mut(len));
    for ((x, y), (mean, rstd)) in rows.zip(mean.iter_mut().zip(rstd)) {
        let center = fold_row::<T, Sum>(x) * share;
        let spread = sum_of_squares(x, center) * share;
        let scale = T::ONE / (spread + eps).sqrt();
        for (&x, y) in x.iter().zip(y) {
            y.write((x - center) * scale);
        }
        mean.write(center);
        rstd.write(scale);
    }
}

/// Σ (x - center)².
#[inline(always)]
fn sum_of_squares<T: Real>(row: &[T], center: T) -> T {
    let mut squares = [T::ZERO; CHUNK];
    let mut sum = T::ZERO;
    for part in row.chunks(CHUNK) {
        let squares = &mut squares[..part.len()];
        for (&x, square) in part.iter().zip(squares.iter_mut()) {
            *square = (x - center) * (x - center);
        }
        sum = sum + fold_row::<T, Sum>(squares);
    }
    sum
}
