//! Convolutions and the two maps that are their derivatives.

use std::sync::Arc;

use burn_backend::Scalar;
use burn_backend::ops::{ConvOptions, FloatTensorOps, ModuleOps};
use burn_dispatch::{Dispatch, DispatchTensor};

use super::devices::handle;
use super::tensor::{Tensor, kernel_shape};
use crate::cpu::Geometry;
use crate::storage::Storage;

/// The maps that a convolution and its derivatives are, by what they make.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum ConvMap {
    /// From input and weight.
    Output,
    /// From output and weight.
    Input,
    /// From input and output.
    Weight,
}

/// One of the maps over `axes` spatial axes, to `shape`; nothing if the operands are not on the device.
pub(crate) fn conv(
    map: ConvMap,
    axes: usize,
    geometry: &Geometry,
    [a, b]: [&Arc<Tensor>; 2],
    shape: &[usize],
) -> Option<Storage> {
    if a.is_on_host() || b.is_on_host() || a.device() != b.device() {
        return None;
    }
    let frame = a.frame.reshaped(shape);
    let dtype = frame.dtype.to_burn().into();
    // The backward maps read no more than the shape of what they make.
    let out = || {
        let zero = Scalar::Float(0.0);
        Dispatch::float_full(kernel_shape(shape), zero, handle(frame.device), dtype)
    };
    let [a, b] = [a, b].map(|t| Tensor::into_device(t.clone()));
    let value = match axes {
        1 => run::<1>(map, geometry, a, b, out, &KERNELS_1),
        2 => run::<2>(map, geometry, a, b, out, &KERNELS_2),
        _ => run::<3>(map, geometry, a, b, out, &KERNELS_3),
    };
    Some(frame.on_device(value))
}

type Backward<const N: usize> =
    fn(DispatchTensor, DispatchTensor, DispatchTensor, ConvOptions<N>) -> DispatchTensor;

/// Burn's kernels over `N` axes: forward, to the input and to the weight.
struct Kernels<const N: usize> {
    forward: fn(
        DispatchTensor,
        DispatchTensor,
        Option<DispatchTensor>,
        ConvOptions<N>,
    ) -> DispatchTensor,
    to_input: Backward<N>,
    to_weight: Backward<N>,
}

const KERNELS_1: Kernels<1> = Kernels {
    forward: Dispatch::conv1d,
    to_input: Dispatch::conv1d_x_backward,
    to_weight: Dispatch::conv1d_weight_backward,
};
const KERNELS_2: Kernels<2> = Kernels {
    forward: Dispatch::conv2d,
    to_input: Dispatch::conv2d_x_backward,
    to_weight: Dispatch::conv2d_weight_backward,
};
const KERNELS_3: Kernels<3> = Kernels {
    forward: Dispatch::conv3d,
    to_input: Dispatch::conv3d_x_backward,
    to_weight: Dispatch::conv3d_weight_backward,
};

fn run<const N: usize>(
    map: ConvMap,
    geometry: &Geometry,
    a: DispatchTensor,
    b: DispatchTensor,
    out: impl FnOnce() -> DispatchTensor,
    kernels: &Kernels<N>,
) -> DispatchTensor {
    let last = |values: [usize; 3]| std::array::from_fn(|i| values[3 - N + i]);
    let options = ConvOptions::new(
        last(geometry.stride),
        last(geometry.padding),
        last(geometry.dilation),
        geometry.groups,
    );
    match map {
        ConvMap::Output => (kernels.forward)(a, b, None, options),
        ConvMap::Input => (kernels.to_input)(out(), b, a, options),
        ConvMap::Weight => (kernels.to_weight)(a, out(), b, options),
    }
}
