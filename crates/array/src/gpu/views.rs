//! Reshaping, permuting, slicing, joining.

use std::ops::Range;
use std::sync::Arc;

use burn_backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn_backend::{Shape, Slice};
use burn_dispatch::{Dispatch, DispatchTensor};

use super::tensor::{Tensor, full, kernel_shape, reshaped};
use crate::ops::signed;
use crate::shape::Dims;
use crate::storage::{Storage, by_kind};
use crate::{Array, cpu};

/// The same elements in row-major order with another shape.
pub(crate) fn reshape(x: &Arc<Tensor>, shape: &[usize]) -> Storage {
    if x.is_on_host() {
        return x.on_host(|x| x.reshape(&signed(shape)));
    }
    let value = reshaped(Tensor::into_device(x.clone()), x.dtype(), kernel_shape(shape));
    x.frame.reshaped(shape).on_device(value)
}

/// Axis `i` of the result is axis `axes[i]`.
pub(crate) fn permute(x: &Arc<Tensor>, axes: &[usize]) -> Storage {
    if axes.is_empty() {
        return Storage::Gpu(x.clone());
    }
    if x.is_on_host() {
        return x.on_host(|x| x.permute(&signed(axes)));
    }
    let shape: Dims = axes.iter().map(|&axis| x.shape()[axis]).collect();
    let t = Tensor::into_device(x.clone());
    let value = by_kind!(Dispatch, x.dtype(), float_permute, int_permute, bool_permute(t, axes));
    x.frame.reshaped(&shape).on_device(value)
}

/// Axes of size one repeated to reach `shape`, which has the same rank.
pub(crate) fn expand(x: &Arc<Tensor>, shape: &[usize]) -> Storage {
    if x.is_on_host() || shape.contains(&0) {
        return x.on_host(|x| x.expand(shape));
    }
    let t = Tensor::into_device(x.clone());
    let value =
        by_kind!(Dispatch, x.dtype(), float_expand, int_expand, bool_expand(t, Shape::from(shape)));
    x.frame.reshaped(shape).on_device(value)
}

/// The block of elements within one range per axis.
pub(crate) fn slice(x: &Arc<Tensor>, ranges: &[Range<usize>]) -> Storage {
    if x.is_on_host() || ranges.is_empty() || ranges.iter().any(Range::is_empty) {
        return x.on_host(|x| x.slice(ranges));
    }
    let shape: Dims = ranges.iter().map(Range::len).collect();
    let t = Tensor::into_device(x.clone());
    let slices = burn_slices(ranges);
    let value = by_kind!(Dispatch, x.dtype(), float_slice, int_slice, bool_slice(t, &slices));
    x.frame.reshaped(&shape).on_device(value)
}

/// Zeros of `shape` with `x` in the block of the given ranges.
pub(crate) fn place_block(x: Arc<Tensor>, shape: &[usize], ranges: &[Range<usize>]) -> Storage {
    let zeros = full(shape, 0.0, x.dtype(), x.device());
    let Storage::Gpu(zeros) = zeros else { unreachable!("made on the device of `x`") };
    if zeros.is_on_host() || x.is_on_host() || ranges.is_empty() {
        let corner: Dims = ranges.iter().map(|r| r.start).collect();
        return zeros.hosted(cpu::place_block(&x.to_cpu(), shape, &corner, 0.0));
    }
    let (frame, dtype) = (zeros.frame.clone(), x.dtype());
    let (zeros, x, slices) =
        (Tensor::into_device(zeros), Tensor::into_device(x), burn_slices(ranges));
    frame.on_device(by_kind!(
        Dispatch,
        dtype,
        float_slice_assign,
        int_slice_assign,
        bool_slice_assign(zeros, &slices, x)
    ))
}

/// The order reversed along `axes`.
pub(crate) fn flip(x: &Arc<Tensor>, axes: &[usize]) -> Storage {
    if axes.is_empty() {
        return Storage::Gpu(x.clone());
    }
    if x.is_on_host() {
        return x.on_host(|x| x.flip(&signed(axes)));
    }
    let t = Tensor::into_device(x.clone());
    let value = by_kind!(Dispatch, x.dtype(), float_flip, int_flip, bool_flip(t, axes));
    x.frame.clone().on_device(value)
}

/// Tensors joined along an axis. Panics unless all lie on one device.
pub(crate) fn cat(parts: Vec<Storage>, axis: usize) -> Storage {
    let parts: Vec<Arc<Tensor>> = parts
        .into_iter()
        .map(|part| match part {
            Storage::Gpu(t) => t,
            Storage::Cpu(_) => panic!("cat: the arrays lie on different devices, one on cpu"),
        })
        .collect();
    let first = parts[0].clone();
    for part in &parts {
        assert!(
            part.device() == first.device(),
            "cat: the arrays lie on different devices, {} and {}",
            first.device(),
            part.device()
        );
    }
    let mut shape = Dims::from(first.shape());
    shape[axis] = parts.iter().map(|part| part.shape()[axis]).sum();
    let (empty, full): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|part| part.shape().contains(&0));
    if full.is_empty() || full[0].is_on_host() {
        let arrays: Vec<Array> =
            empty.iter().chain(&full).map(|part| Array::from_cpu(part.to_cpu())).collect();
        let joined = Array::cat(&arrays.iter().collect::<Vec<_>>(), axis as isize);
        return first.hosted(joined.into_parts().0.to_cpu());
    }
    let tensors: Vec<DispatchTensor> = full.into_iter().map(Tensor::into_device).collect();
    let value = by_kind!(Dispatch, first.dtype(), float_cat, int_cat, bool_cat(tensors, axis));
    first.frame.reshaped(&shape).on_device(value)
}

fn burn_slices(ranges: &[Range<usize>]) -> Vec<Slice> {
    ranges.iter().map(|r| Slice::new(r.start as isize, Some(r.end as isize), 1)).collect()
}
