//! Element-wise operations on integers of a device. Overflow wraps around; division, which may fail, stays on the host.

use burn_backend::ops::IntTensorOps;
use burn_backend::{BoolDType, Scalar};
use burn_dispatch::{Dispatch as D, DispatchTensor as T};

use super::tensor::nearest;
use crate::DType;
use crate::cpu::{Binary, Compare, Unary};

/// Whether devices compute with this type; bytes, whose kernels differ in how they wrap, are left to the host.
pub(super) fn is_word(dtype: DType) -> bool {
    matches!(dtype, DType::I32 | DType::I64)
}

/// Whether the device computes `op` on this type.
pub(super) fn has_unary(op: Unary, dtype: DType) -> bool {
    is_word(dtype)
        && matches!(
            op,
            Unary::Neg
                | Unary::Abs
                | Unary::Square
                | Unary::AddScalar(_)
                | Unary::SubFromScalar(_)
                | Unary::MulScalar(_)
                | Unary::Clamp(..)
        )
}

/// Whether the device computes `op` on this type.
pub(super) fn has_binary(op: Binary, dtype: DType) -> bool {
    is_word(dtype)
        && matches!(
            op,
            Binary::Add
                | Binary::Sub
                | Binary::Mul
                | Binary::Max
                | Binary::Min
                | Binary::AddScaled(_)
        )
}

pub(super) fn unary(op: Unary, x: T, dtype: DType, store: BoolDType) -> T {
    let whole = |s: f64| Scalar::Int(nearest(s, dtype));
    match op {
        Unary::Neg => D::int_neg(x),
        Unary::Abs => D::int_abs(x),
        Unary::Square => D::int_mul(x.clone(), x),
        Unary::AddScalar(s) => D::int_add_scalar(x, whole(s)),
        Unary::SubFromScalar(s) => D::int_add_scalar(D::int_neg(x), whole(s)),
        Unary::MulScalar(s) => D::int_mul_scalar(x, whole(s)),
        Unary::Clamp(low, high) => at_most(at_least(x, whole(low), store), whole(high), store),
        _ => unreachable!("computed on the host"),
    }
}

pub(super) fn binary(op: Binary, a: T, b: T, dtype: DType, store: BoolDType) -> T {
    match op {
        Binary::Add => D::int_add(a, b),
        Binary::Sub => D::int_sub(a, b),
        Binary::Mul => D::int_mul(a, b),
        Binary::Max => {
            let higher = D::int_greater(a.clone(), b.clone(), store);
            D::int_mask_where(b, higher, a)
        }
        Binary::Min => {
            let lower = D::int_lower(a.clone(), b.clone(), store);
            D::int_mask_where(b, lower, a)
        }
        Binary::AddScaled(s) => D::int_add(a, D::int_mul_scalar(b, Scalar::Int(nearest(s, dtype)))),
        _ => unreachable!("computed on the host"),
    }
}

pub(super) fn compare(op: Compare, a: T, b: T, store: BoolDType) -> T {
    match op {
        Compare::Equal => D::int_equal(a, b, store),
        Compare::NotEqual => D::int_not_equal(a, b, store),
        Compare::Less => D::int_lower(a, b, store),
        Compare::LessEqual => D::int_lower_equal(a, b, store),
        Compare::Greater => D::int_greater(a, b, store),
        Compare::GreaterEqual => D::int_greater_equal(a, b, store),
    }
}

fn at_least(x: T, s: Scalar, store: BoolDType) -> T {
    let below = D::int_lower_elem(x.clone(), s, store);
    D::int_mask_fill(x, below, s)
}

fn at_most(x: T, s: Scalar, store: BoolDType) -> T {
    let above = D::int_greater_elem(x.clone(), s, store);
    D::int_mask_fill(x, above, s)
}
