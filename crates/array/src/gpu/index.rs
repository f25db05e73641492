//! Elements by index. Indices come checked, as i64 on the processor, and are uploaded in the device's index type.

use std::sync::Arc;

use crate::cpu::CpuTensor;
use burn_backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn_backend::tensor::IndexingUpdateOp;
use burn_dispatch::{Dispatch, DispatchTensor};

use super::integers::is_word;
use super::tensor::Tensor;
use crate::shape::Dims;
use crate::storage::{Storage, by_kind};
use crate::{Array, Device, cpu};

/// The indices on the device.
fn uploaded(indices: &Array, device: Device) -> DispatchTensor {
    let narrow = indices.to_device(Device::Cpu).cast(device.index_dtype()).to_cpu();
    Tensor::into_device(Tensor::from_cpu(narrow, device).into())
}

/// `out[.., j, ..] = x[.., indices[.., j, ..], ..]`
pub(crate) fn gather(x: Arc<Tensor>, axis: usize, indices: &Array) -> Storage {
    if x.is_on_host() || indices.is_empty() {
        return x.hosted(cpu::gather(&x.to_cpu(), axis, &indices.to_cpu()));
    }
    let (frame, dtype) = (x.frame.reshaped(indices.shape()), x.dtype());
    let (indices, t) = (uploaded(indices, x.device()), Tensor::into_device(x));
    frame.on_device(by_kind!(
        Dispatch,
        dtype,
        float_gather,
        int_gather,
        bool_gather(axis, t, indices)
    ))
}

/// `out[.., j, ..] = x[.., indices[j], ..]`
pub(crate) fn index_select(x: Arc<Tensor>, axis: usize, indices: &Array) -> Storage {
    if x.is_on_host() || indices.is_empty() {
        return x.hosted(cpu::index_select(&x.to_cpu(), axis, &indices.to_cpu()));
    }
    let mut shape = Dims::from(x.shape());
    shape[axis] = indices.len();
    let (frame, dtype) = (x.frame.reshaped(&shape), x.dtype());
    let (indices, t) = (uploaded(indices, x.device()), Tensor::into_device(x));
    frame.on_device(by_kind!(
        Dispatch,
        dtype,
        float_select,
        int_select,
        bool_select(t, axis, indices)
    ))
}

/// `out[.., indices[.., j, ..], ..] += source[.., j, ..]`, starting from `base`.
pub(crate) fn scatter_add(
    base: Arc<Tensor>,
    axis: usize,
    indices: &Array,
    source: Arc<Tensor>,
) -> Storage {
    let float = base.dtype().is_float();
    add_at(base, axis, indices, source, cpu::scatter_add, |base, indices, source| {
        if float {
            Dispatch::float_scatter(axis, base, indices, source, IndexingUpdateOp::Add)
        } else {
            Dispatch::int_scatter(axis, base, indices, source, IndexingUpdateOp::Add)
        }
    })
}

/// `out[.., indices[j], ..] += source[.., j, ..]`, starting from `base`.
pub(crate) fn index_add(
    base: Arc<Tensor>,
    axis: usize,
    indices: &Array,
    source: Arc<Tensor>,
) -> Storage {
    let float = base.dtype().is_float();
    add_at(base, axis, indices, source, cpu::index_add, |base, indices, source| {
        if float {
            Dispatch::float_select_assign(base, axis, indices, source, IndexingUpdateOp::Add)
        } else {
            Dispatch::int_select_assign(base, axis, indices, source, IndexingUpdateOp::Add)
        }
    })
}

/// An addition at indices by the processor's kernel, where values lie there or the device has none, else by the device's.
fn add_at(
    base: Arc<Tensor>,
    axis: usize,
    indices: &Array,
    source: Arc<Tensor>,
    on_host: fn(Option<&CpuTensor>, &[usize], usize, &CpuTensor, &CpuTensor) -> CpuTensor,
    on_device: impl FnOnce(DispatchTensor, DispatchTensor, DispatchTensor) -> DispatchTensor,
) -> Storage {
    let dtype = base.dtype();
    if base.is_on_host() || source.is_on_host() || !(dtype.is_float() || is_word(dtype)) {
        let (start, source) = (base.to_cpu(), source.to_cpu());
        return base.hosted(on_host(Some(&start), base.shape(), axis, &indices.to_cpu(), &source));
    }
    let frame = base.frame.clone();
    let indices = uploaded(indices, frame.device);
    frame.on_device(on_device(Tensor::into_device(base), indices, Tensor::into_device(source)))
}
