//! Element-wise operations: on the device where it has the kernels, else on the host.

use std::sync::Arc;

use burn_backend::Scalar;
use burn_backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn_dispatch::{Dispatch, DispatchTensor};

use super::devices::{bool_store, computes};
use super::tensor::{Frame, Tensor};
use super::{floats, integers};
use crate::DType;
use crate::cpu::{self, Binary, Compare, Logical, Unary};
use crate::shape::{self, Dims};
use crate::storage::{Storage, by_kind};

/// `op` on every element.
pub(crate) fn unary(op: Unary, x: Arc<Tensor>) -> Storage {
    let (dtype, store) = (x.dtype(), bool_store(x.device()));
    let float = dtype.is_float() && floats::has_unary(op);
    if x.is_on_host() || !(float || integers::has_unary(op, dtype)) {
        return x.hosted(cpu::unary(op, x.to_cpu()));
    }
    let frame = x.frame.clone();
    let t = Tensor::into_device(x);
    frame.on_device(if float {
        floats::unary(op, t, store)
    } else {
        integers::unary(op, t, dtype, store)
    })
}

/// `op` on two tensors of one dtype, broadcast as in numpy.
pub(crate) fn binary(op: Binary, a: Arc<Tensor>, b: Arc<Tensor>) -> Storage {
    check_devices(&op, &[&a, &b]);
    let (dtype, store) = (a.dtype(), bool_store(a.device()));
    let known = dtype.is_float() || integers::has_binary(op, dtype);
    if !known || a.is_on_host() || b.is_on_host() {
        return a.hosted(cpu::binary(op, a.to_cpu(), b.to_cpu()));
    }
    let (frame, [a, b]) = joined([a, b]);
    frame.on_device(if dtype.is_float() {
        floats::binary(op, a, b, store)
    } else {
        integers::binary(op, a, b, dtype, store)
    })
}

/// Which elements of two tensors of one dtype compare so, broadcast as in numpy.
pub(crate) fn compare(op: Compare, a: Arc<Tensor>, b: Arc<Tensor>) -> Storage {
    check_devices(&op, &[&a, &b]);
    let (dtype, store) = (a.dtype(), bool_store(a.device()));
    let known = dtype != DType::Bool || matches!(op, Compare::Equal | Compare::NotEqual);
    if !known || a.is_on_host() || b.is_on_host() {
        return a.hosted(cpu::compare(op, a.to_cpu(), b.to_cpu()));
    }
    let (frame, [a, b]) = joined([a, b]);
    frame.cast(DType::Bool).on_device(if dtype.is_float() {
        floats::compare(op, a, b, store)
    } else if dtype.is_int() {
        integers::compare(op, a, b, store)
    } else if op == Compare::Equal {
        Dispatch::bool_equal(a, b)
    } else {
        Dispatch::bool_not_equal(a, b)
    })
}

/// Elements of `a` where `condition` holds, else of `b`; all three broadcast.
pub(crate) fn select(condition: Arc<Tensor>, a: Arc<Tensor>, b: Arc<Tensor>) -> Storage {
    check_devices(&"select", &[&condition, &a, &b]);
    if condition.is_on_host() || a.is_on_host() || b.is_on_host() {
        return a.hosted(cpu::select(condition.to_cpu(), a.to_cpu(), b.to_cpu()));
    }
    let dtype = a.dtype();
    let (frame, [condition, a, b]) = joined([condition, a, b]);
    frame.on_device(by_kind!(
        Dispatch,
        dtype,
        float_mask_where,
        int_mask_where,
        bool_mask_where(b, condition, a)
    ))
}

/// Logic on truth values of one shape.
pub(crate) fn logical(op: Logical, a: Arc<Tensor>, b: Arc<Tensor>) -> Storage {
    check_devices(&op, &[&a, &b]);
    if a.is_on_host() || b.is_on_host() {
        return a.hosted(cpu::logical(op, a.to_cpu(), b.to_cpu()));
    }
    let (frame, [a, b]) = joined([a, b]);
    frame.on_device(match op {
        Logical::And => Dispatch::bool_and(a, b),
        Logical::Or => Dispatch::bool_or(a, b),
        Logical::Xor => Dispatch::bool_xor(a, b),
    })
}

/// Where a truth value is false.
pub(crate) fn logical_not(x: Arc<Tensor>) -> Storage {
    if x.is_on_host() {
        return x.hosted(cpu::logical_not(x.to_cpu()));
    }
    let frame = x.frame.clone();
    frame.on_device(Dispatch::bool_not(Tensor::into_device(x)))
}

/// Elements converted to another type; on the host if the device does not compute with one of the two.
pub(crate) fn cast(x: Arc<Tensor>, to: DType) -> Storage {
    if x.is_on_host() || !computes(x.device(), to) {
        return x.hosted(cpu::cast(x.to_cpu(), to));
    }
    let (from, frame, store) = (x.dtype(), x.frame.cast(to), bool_store(x.device()));
    let (float, t) = (to.is_float(), Tensor::into_device(x));
    let kinds = (from, to);
    let to = to.to_burn();
    frame.on_device(match kinds {
        (f, DType::Bool) if f.is_float() => {
            Dispatch::float_not_equal_elem(t, Scalar::Float(0.0), store)
        }
        (_, DType::Bool) => Dispatch::int_not_equal_elem(t, Scalar::Int(0), store),
        (DType::Bool, _) if float => Dispatch::bool_into_float(t, to.into()),
        (DType::Bool, _) => Dispatch::bool_into_int(t, to.into()),
        (f, _) if f.is_float() && float => Dispatch::float_cast(t, to.into()),
        (f, _) if f.is_float() => Dispatch::float_into_int(t, to.into()),
        _ if float => Dispatch::int_into_float(t, to.into()),
        _ => Dispatch::int_cast(t, to.into()),
    })
}

/// Panics unless all operands belong to one device.
fn check_devices(op: &dyn std::fmt::Debug, operands: &[&Tensor]) {
    let first = operands[0].device();
    for other in &operands[1..] {
        assert!(
            other.device() == first,
            "{op:?}: the operands lie on different devices, {first} and {}",
            other.device()
        );
    }
}

/// The operands raised to one rank, and the frame of what they broadcast to, with the last one's dtype.
fn joined<const N: usize>(operands: [Arc<Tensor>; N]) -> (Frame, [DispatchTensor; N]) {
    let joint = operands
        .iter()
        .fold(Dims::new(), |joint, x| shape::broadcast("broadcasting", &joint, x.shape()));
    let frame = operands[N - 1].frame.reshaped(&joint);
    (frame, operands.map(|x| Tensor::into_raised(x, joint.len())))
}
