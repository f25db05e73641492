//! Conversions between element types.

use std::mem::MaybeUninit;

use half::{bf16, f16};

use super::alloc::output;
use super::copy::contiguous;
use super::layout::Layout;
use super::parallel::{Shared, Work, in_blocks};
use super::simd::{Isa, per_isa};
use super::store::{CHUNK, Store, as_computed, as_computed_room, zeroed};
use super::tensor::{CpuTensor, dtype, gapless, span};
use crate::DType;

/// `x` with elements of another type: floats to integers towards zero (NaN to 0, and no further than the type
/// reaches), numbers to truth values by whether they differ from zero.
pub(crate) fn cast(x: CpuTensor, to: DType) -> CpuTensor {
    let from = dtype(&x);
    if from == to {
        return x;
    }
    match from {
        DType::F64 => cast_from::<f64>(x, to),
        DType::F32 => cast_from::<f32>(x, to),
        DType::F16 => cast_from::<f16>(x, to),
        DType::BF16 => cast_from::<bf16>(x, to),
        DType::I64 => cast_from::<i64>(x, to),
        DType::I32 => cast_from::<i32>(x, to),
        DType::U8 | DType::Bool => cast_from::<u8>(x, to),
    }
}

fn cast_from<S: Store>(x: CpuTensor, to: DType) -> CpuTensor
where
    S::C: Number,
{
    let x = if gapless(x.layout()) { x } else { contiguous(x) };
    let convert = match to {
        DType::F64 => write_as::<S, f64>,
        DType::F32 => write_as::<S, f32>,
        DType::F16 => write_as::<S, f16>,
        DType::BF16 => write_as::<S, bf16>,
        DType::I64 => write_as::<S, i64>,
        DType::I32 => write_as::<S, i32>,
        DType::U8 => write_as::<S, u8>,
        DType::Bool => write_truth::<S>,
    };
    convert(&x, to)
}

/// A number that any other kind of number can be made of.
pub(crate) trait Number: bytemuck::Pod + PartialEq {
    fn to_f64(self) -> f64;
    fn to_f32(self) -> f32;
    fn to_i64(self) -> i64;
    fn to_i32(self) -> i32;
    fn to_u8(self) -> u8;
    fn from_number<N: Number>(x: N) -> Self;
}

macro_rules! number {
    ($($t:ty, $from:ident;)*) => {$(
        impl Number for $t {
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn to_i64(self) -> i64 {
                self as i64
            }
            #[inline(always)]
            fn to_i32(self) -> i32 {
                self as i32
            }
            #[inline(always)]
            fn to_u8(self) -> u8 {
                self as u8
            }
            #[inline(always)]
            fn from_number<N: Number>(x: N) -> $t {
                x.$from()
            }
        }
    )*};
}
number! {
    f64, to_f64;
    f32, to_f32;
    i64, to_i64;
    i32, to_i32;
    u8, to_u8;
}

fn write_as<S: Store, T: Store>(x: &CpuTensor, to: DType) -> CpuTensor
where
    S::C: Number,
    T::C: Number,
{
    write_with::<S, T>(x, to, |x, out| {
        let mut wide = [bytemuck::Zeroable::zeroed(); CHUNK];
        let wide = if S::SAME {
            as_computed(x)
        } else {
            S::load(x, &mut wide[..x.len()]);
            &wide[..x.len()]
        };
        if T::SAME {
            return convert::<S::C, T::C>(wide, as_computed_room(out));
        }
        let mut narrow = [MaybeUninit::uninit(); CHUNK];
        let narrow = &mut narrow[..x.len()];
        convert::<S::C, T::C>(wide, narrow);
        // SAFETY: `convert` has written every element.
        T::save(unsafe { narrow.assume_init_ref() }, zeroed(out));
    })
}

fn write_truth<S: Store>(x: &CpuTensor, to: DType) -> CpuTensor
where
    S::C: Number,
{
    write_with::<S, u8>(x, to, |x, out| {
        for (&x, out) in x.iter().zip(out) {
            out.write(u8::from(x.widen() != bytemuck::Zeroable::zeroed()));
        }
    })
}

/// Writes a tensor of the layout of `x` by chunks.
fn write_with<S: Store, T: Store>(
    x: &CpuTensor,
    to: DType,
    write: impl Fn(&[S], &mut [MaybeUninit<T>]) + Sync,
) -> CpuTensor {
    let values = span::<S>(x);
    let n = values.len();
    let mut out = output::<T>(n);
    let room = Shared::new(out.room());
    in_blocks(n, Work::Light.block(), |range| {
        // SAFETY: blocks do not overlap.
        let room = unsafe { room.part(range.clone()) };
        for (x, out) in values[range].chunks(CHUNK).zip(room.chunks_mut(CHUNK)) {
            write(x, out);
        }
    });
    let layout = Layout::new(x.layout().shape().clone(), x.layout().strides().to_vec(), 0);
    // SAFETY: the blocks cover all of it.
    unsafe { out.into_tensor_with(layout, to) }
}

per_isa! {
    fn convert<A: Number, B: Number>(x: &[A], out: &mut [MaybeUninit<B>]) = convert_body
}

#[inline(always)]
fn convert_body<I: Isa, A: Number, B: Number>(x: &[A], out: &mut [MaybeUninit<B>]) {
    for (&x, out) in x.iter().zip(out) {
        out.write(B::from_number(x));
    }
}
