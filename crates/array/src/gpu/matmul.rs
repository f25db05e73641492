//! Matrix products.

use std::sync::Arc;

use burn_backend::ops::FloatTensorOps;
use burn_dispatch::Dispatch;

use super::devices::multiplies;
use super::tensor::Tensor;
use crate::Array;
use crate::shape::{self, Dims};
use crate::storage::Storage;

/// The product of matrices over the last two axes; the others broadcast. Integers are multiplied on the host, and all on software
/// rasterizers.
pub(crate) fn matmul(a: Arc<Tensor>, b: Arc<Tensor>) -> Storage {
    assert!(
        a.device() == b.device(),
        "matmul: the operands lie on different devices, {} and {}",
        a.device(),
        b.device()
    );
    let known = a.dtype().is_float() && multiplies(a.device());
    if a.is_on_host() || b.is_on_host() || !known {
        let right = Array::from_cpu(b.to_cpu());
        return a.on_host(|left| left.matmul(&right));
    }
    let (ra, rb) = (a.shape().len(), b.shape().len());
    let mut shape: Dims = shape::broadcast("matmul", &a.shape()[..ra - 2], &b.shape()[..rb - 2]);
    shape.extend([a.shape()[ra - 2], b.shape()[rb - 1]]);
    let frame = a.frame.reshaped(&shape);
    let [a, b] = [a, b].map(|t| Tensor::into_raised(t, shape.len()));
    frame.on_device(Dispatch::float_matmul(a, b))
}
