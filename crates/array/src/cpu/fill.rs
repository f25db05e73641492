//! Tensors of one repeated value.

use std::mem::MaybeUninit;

use super::alloc::output;
use super::layout::Shape;
use super::parallel::{Shared, Work, in_blocks};
use super::tensor::CpuTensor;
use crate::dtype::with_dtype;
use crate::{DType, Element};

/// A row-major tensor filled with the value of `dtype` nearest to `value`.
pub(crate) fn full(shape: &[usize], value: f64, dtype: DType) -> CpuTensor {
    let value = if dtype == DType::Bool { f64::from(u8::from(value != 0.0)) } else { value };
    with_dtype!(dtype, T => {
        let value: T = Element::from_f64(value);
        let mut out = output::<T>(shape.iter().product());
        let room = Shared::new(out.room());
        // SAFETY: blocks do not overlap.
        in_blocks(shape.iter().product(), Work::Light.block(), |range| unsafe { room.part(range) }.fill(MaybeUninit::new(value)));
        // SAFETY: the blocks cover all of it.
        unsafe { out.into_tensor(Shape::from(shape), dtype) }
    })
}
