//! Linear maps with fixed entries, from which pooling and interpolation are made: a sparse matrix along one axis, and
//! moving elements by given positions. The transpose of each is its derivative.

use std::sync::Arc;

use crate::Array;
use crate::cpu::{self, Positions, Real, Resampler};
use crate::shape::Dims;
use crate::storage::elements;

/// Calls a kernel that is generic over f32 and f64 on `$x`; half floats are computed in f32.
macro_rules! real_kernel {
    ($x:expr, $kernel:ident($($arg:expr),*)) => {
        match $x.dtype() {
            $crate::DType::F64 => $kernel::<f64>($x $(, $arg)*),
            $crate::DType::F32 => $kernel::<f32>($x $(, $arg)*),
            dtype => $kernel::<f32>(&$x.stop_gradient().cast($crate::DType::F32) $(, $arg)*).cast(dtype),
        }
    };
}

/// A matrix along an axis and its transpose.
pub(super) struct AxisMap {
    forward: Resampler,
    backward: Resampler,
}

impl AxisMap {
    pub fn new(forward: Resampler) -> Arc<AxisMap> {
        let backward = forward.transpose();
        Arc::new(AxisMap { forward, backward })
    }
}

fn resample<T: Real>(x: &Array, axis: usize, map: &Resampler) -> Array {
    let mut shape = Dims::from(x.shape());
    let inner = shape[axis + 1..].iter().product();
    shape[axis] = map.output();
    if x.is_empty() || shape.contains(&0) {
        return x.device().with(|| Array::zeros(&shape, T::DTYPE));
    }
    Array::from_cpu(cpu::resample(elements::<T>(&x.to_cpu()), inner, map, &shape))
        .to_device(x.device())
}

fn take<T: Real>(x: &Array, positions: &Positions, shape: &[usize]) -> Array {
    if x.is_empty() || shape.contains(&0) {
        return x.device().with(|| Array::zeros(shape, T::DTYPE));
    }
    Array::from_cpu(cpu::take(elements::<T>(&x.to_cpu()), positions, shape)).to_device(x.device())
}

fn put<T: Real>(y: &Array, positions: &Positions, shape: &[usize]) -> Array {
    if y.is_empty() || shape.contains(&0) {
        return y.device().with(|| Array::zeros(shape, T::DTYPE));
    }
    Array::from_cpu(cpu::put(elements::<T>(&y.to_cpu()), positions, shape)).to_device(y.device())
}

impl Array {
    /// Applies the matrix (or its transpose) along an axis.
    pub(super) fn resample(&self, axis: usize, map: &Arc<AxisMap>, transposed: bool) -> Array {
        let matrix = if transposed { &map.backward } else { &map.forward };
        let value = real_kernel!(self, resample(axis, matrix));
        if !self.is_tracked() {
            return value;
        }
        let map = map.clone();
        value.derive(self, move |ct, _| ct.resample(axis, &map, !transposed))
    }

    /// Takes elements of each plane at the positions; the last axes of `shape` hold `count` elements per plane.
    pub(super) fn take_at(&self, positions: &Arc<Positions>, shape: &[usize]) -> Array {
        let value = real_kernel!(self, take(positions, shape));
        if !self.is_tracked() {
            return value;
        }
        let (positions, from) = (positions.clone(), Dims::from(self.shape()));
        value.derive(self, move |ct, _| ct.put_at(&positions, &from))
    }

    /// The transpose of [`take_at`](Self::take_at): adds elements at the positions of planes of zeros.
    pub(super) fn put_at(&self, positions: &Arc<Positions>, shape: &[usize]) -> Array {
        let value = real_kernel!(self, put(positions, shape));
        if !self.is_tracked() {
            return value;
        }
        let (positions, from) = (positions.clone(), Dims::from(self.shape()));
        value.derive(self, move |ct, _| ct.take_at(&positions, &from))
    }
}

#[track_caller]
pub(super) fn check_images(operation: &str, x: &Array, axes: usize) {
    assert!(
        x.rank() == axes + 2 && (1..=3).contains(&axes) && x.dtype().is_float(),
        "{operation}: {axes} spatial sizes need floats [batch, channels, spatial..] with as many spatial axes (1 to 3), \
         got {} {:?}",
        x.dtype(),
        x.shape()
    );
}
pub(super) use real_kernel;
