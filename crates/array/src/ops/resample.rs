//! Linear maps with fixed entries, from which pooling and interpolation are made: a sparse matrix along one axis, and
//! moving elements by given positions. The transpose of each is its derivative.

use std::sync::Arc;

use crate::Array;
use crate::cpu::{self, Real, Resampler};
use crate::shape::Dims;
use crate::storage::{elements, raw_tensor};

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

/// Positions `[outer, count]` in planes of `size` elements, the same for `repeat` planes in a row; negative ones are nowhere.
pub(super) struct Positions {
    pub size: usize,
    pub repeat: usize,
    pub count: usize,
    pub list: Vec<i32>,
}

fn resample<T: Real>(x: &Array, axis: usize, map: &Resampler) -> Array {
    let mut shape = Dims::from(x.shape());
    let inner = shape[axis + 1..].iter().product();
    shape[axis] = map.output();
    if x.is_empty() || shape.contains(&0) {
        return x.device().with(|| Array::zeros(&shape, T::DTYPE));
    }
    let values = cpu::resample(elements::<T>(&x.to_cpu()), inner, map);
    Array::from_cpu(raw_tensor(values, &shape, T::DTYPE)).to_device(x.device())
}

fn take<T: Real>(x: &Array, positions: &Positions, shape: &[usize]) -> Array {
    move_elements(x, shape, |x: &[T]| {
        cpu::take(x, positions.size, positions.repeat, &positions.list, positions.count)
    })
}

fn put<T: Real>(y: &Array, positions: &Positions, shape: &[usize]) -> Array {
    move_elements(y, shape, |y: &[T]| cpu::put(y, positions.size, positions.repeat, &positions.list, positions.count))
}

fn move_elements<T: Real>(x: &Array, shape: &[usize], kernel: impl FnOnce(&[T]) -> Vec<T>) -> Array {
    if x.is_empty() || shape.contains(&0) {
        return x.device().with(|| Array::zeros(shape, T::DTYPE));
    }
    let values = kernel(elements::<T>(&x.to_cpu()));
    Array::from_cpu(raw_tensor(values, shape, T::DTYPE)).to_device(x.device())
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
