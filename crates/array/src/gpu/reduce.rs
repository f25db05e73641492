//! Reductions over axes and running sums.

use std::sync::Arc;

use burn_backend::Scalar;
use burn_backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn_dispatch::{Dispatch, DispatchTensor};

use super::devices::bool_store;
use super::integers::is_word;
use super::tensor::Tensor;
use crate::cpu::{self, Cumulate, Reduce};
use crate::shape::Dims;
use crate::storage::Storage;
use crate::{Array, DType};

/// `op` over `axes`, which stay with size one.
pub(crate) fn reduce(op: Reduce, x: Arc<Tensor>, axes: &[usize]) -> Storage {
    let dtype = x.dtype();
    if x.is_on_host() || !(dtype.is_float() || is_word(dtype)) {
        return x.hosted(cpu::reduce(op, x.to_cpu(), axes));
    }
    if matches!(dtype, DType::F16 | DType::BF16) {
        // Half floats are combined in f32, as on the processor.
        let wide = Array::untracked(Storage::Gpu(x)).cast(DType::F32);
        let Storage::Gpu(wide) = wide.into_parts().0 else {
            unreachable!("casts stay on the device")
        };
        let reduced = Array::untracked(reduce(op, wide, axes));
        return reduced.cast(dtype).into_parts().0;
    }
    let mut shape = Dims::from(x.shape());
    for &axis in axes {
        shape[axis] = 1;
    }
    let (frame, store) = (x.frame.reshaped(&shape), bool_store(x.device()));
    let t = Tensor::into_device(x);
    let value = if dtype.is_float() {
        reduce_floats(op, t, axes, store)
    } else {
        axes.iter().fold(t, |t, &axis| match op {
            Reduce::Sum => Dispatch::int_sum_dim(t, axis),
            Reduce::Prod => Dispatch::int_prod_dim(t, axis),
            Reduce::Max => Dispatch::int_max_dim(t, axis),
            Reduce::Min => Dispatch::int_min_dim(t, axis),
        })
    };
    frame.on_device(value)
}

fn reduce_floats(
    op: Reduce,
    t: DispatchTensor,
    axes: &[usize],
    store: burn_backend::BoolDType,
) -> DispatchTensor {
    let over = |t: DispatchTensor, f: fn(DispatchTensor, usize) -> DispatchTensor| {
        axes.iter().fold(t, |t, &axis| f(t, axis))
    };
    let extremum = match op {
        Reduce::Sum => return over(t, Dispatch::float_sum_dim),
        Reduce::Prod => return over(t, Dispatch::float_prod_dim),
        Reduce::Max => Dispatch::float_max_dim,
        Reduce::Min => Dispatch::float_min_dim,
    };
    // Device kernels may pass over NaN: where there is one it is put back.
    let nan = Dispatch::float_is_nan(t.clone(), store);
    let dtype = burn_backend::TensorMetadata::dtype(&t).into();
    let count = over(Dispatch::bool_into_float(nan, dtype), Dispatch::float_max_dim);
    let nan = Dispatch::float_greater_elem(count, Scalar::Float(0.0), store);
    Dispatch::float_mask_fill(over(t, extremum), nan, Scalar::Float(f64::NAN))
}

/// The running sum or product along an axis.
pub(crate) fn cumulate(op: Cumulate, x: Arc<Tensor>, axis: usize) -> Storage {
    let dtype = x.dtype();
    if x.is_on_host() || !(matches!(dtype, DType::F32 | DType::F64) || is_word(dtype)) {
        return x.hosted(cpu::cumulate(op, &x.to_cpu(), axis, false));
    }
    let frame = x.frame.clone();
    let t = Tensor::into_device(x);
    frame.on_device(match (op, dtype.is_float()) {
        (Cumulate::Sum, true) => Dispatch::float_cumsum(t, axis),
        (Cumulate::Sum, false) => Dispatch::int_cumsum(t, axis),
        (Cumulate::Prod, true) => Dispatch::float_cumprod(t, axis),
        (Cumulate::Prod, false) => Dispatch::int_cumprod(t, axis),
    })
}
