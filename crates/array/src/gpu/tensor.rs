//! The value of an array on a GPU, and its way there and back.

use std::sync::Arc;

use crate::cpu::CpuTensor;
use burn_backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn_backend::{BoolStore, Bytes, Scalar, Shape, TensorData, read_sync};
use burn_dispatch::{Dispatch, DispatchTensor};

use super::devices;
use crate::dtype::with_dtype;
use crate::shape::Dims;
use crate::storage::{Storage, by_kind, elements, raw_tensor};
use crate::{Array, DType, Device, cpu};

/// The value of an array that belongs to a GPU.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(super) frame: Frame,
    pub(super) value: Value,
}

/// All that is known of a tensor but its elements.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub device: Device,
    pub dtype: DType,
    pub shape: Dims,
}

/// Where the elements are.
#[allow(clippy::large_enum_variant)] // always behind an `Arc`
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// On the device, in the shape that [`kernel_shape`] gives.
    Device(DispatchTensor),
    /// In host memory: the device has no kernels for the dtype, or there are no elements, for which kernels are not
    /// launched.
    Host(CpuTensor),
}

/// The shape that kernels see: they need at least one axis.
pub(super) fn kernel_shape(shape: &[usize]) -> Shape {
    if shape.is_empty() { Shape::from([1]) } else { Shape::from(shape) }
}

impl Frame {
    pub fn reshaped(&self, shape: &[usize]) -> Frame {
        Frame { shape: Dims::from(shape), ..*self }
    }

    pub fn cast(&self, dtype: DType) -> Frame {
        Frame { dtype, shape: self.shape.clone(), ..*self }
    }

    /// A tensor whose elements a kernel has computed.
    pub fn on_device(self, value: DispatchTensor) -> Storage {
        debug_assert_eq!(
            burn_backend::TensorMetadata::shape(&value),
            kernel_shape(&self.shape),
            "a kernel's result has the shape that was worked out before"
        );
        Storage::Gpu(Tensor { frame: self, value: Value::Device(value) }.into())
    }
}

impl Tensor {
    /// Copies a value to `device`. Panics if there is no such device.
    pub fn from_cpu(value: CpuTensor, device: Device) -> Tensor {
        let dtype = value.dtype();
        let frame = Frame { device, dtype, shape: Dims::from(&value.layout().shape()[..]) };
        let handle = devices::handle(device);
        if frame.shape.contains(&0) || !devices::computes(device, dtype) {
            return Tensor { frame, value: Value::Host(value) };
        }
        let data = upload_form(value, &frame);
        let from_data = match dtype {
            DType::Bool => Dispatch::bool_from_data,
            d if d.is_int() => Dispatch::int_from_data,
            _ => Dispatch::float_from_data,
        };
        Tensor { frame, value: Value::Device(from_data(data, handle)) }
    }

    /// The value on the processor; waits for the device.
    pub fn to_cpu(&self) -> CpuTensor {
        match &self.value {
            Value::Host(t) => t.clone(),
            Value::Device(t) => self.frame.download(t.clone()),
        }
    }

    pub fn shape(&self) -> &[usize] {
        &self.frame.shape
    }

    pub fn dtype(&self) -> DType {
        self.frame.dtype
    }

    pub fn device(&self) -> Device {
        self.frame.device
    }

    /// Whether the elements are in host memory, where only the kernels of the processor reach them.
    pub(super) fn is_on_host(&self) -> bool {
        matches!(self.value, Value::Host(_))
    }

    /// The elements on the device, with leading axes of size one up to `rank`: kernels broadcast only between equal
    /// ranks. The buffer is handed over if nothing else holds it.
    pub(super) fn into_raised(tensor: Arc<Tensor>, rank: usize) -> DispatchTensor {
        let Tensor { frame, value } = Arc::unwrap_or_clone(tensor);
        let Value::Device(value) = value else { unreachable!("kernels get what is on the device") };
        if frame.shape.len().max(1) >= rank {
            return value;
        }
        let lead = rank - frame.shape.len();
        let shape: Dims = std::iter::repeat_n(1, lead).chain(frame.shape.iter().copied()).collect();
        reshaped(value, frame.dtype, Shape::from(&shape[..]))
    }

    /// The elements on the device.
    pub(super) fn into_device(tensor: Arc<Tensor>) -> DispatchTensor {
        Tensor::into_raised(tensor, 1)
    }

    /// The result of an operation that was computed on the host.
    pub(super) fn hosted(&self, value: CpuTensor) -> Storage {
        Storage::Gpu(Tensor::from_cpu(value, self.frame.device).into())
    }

    /// The result of `operation`, computed on the host.
    pub(super) fn on_host(&self, operation: impl FnOnce(Array) -> Array) -> Storage {
        self.hosted(operation(Array::from_cpu(self.to_cpu())).into_parts().0.to_cpu())
    }
}

/// The elements as the device stores them.
fn upload_form(value: CpuTensor, frame: &Frame) -> TensorData {
    let shape = kernel_shape(&frame.shape);
    let value = cpu::contiguous(value);
    if frame.dtype == DType::Bool
        && let BoolStore::U32 = devices::bool_store(frame.device)
    {
        let wide: Vec<u32> = elements::<u8>(&value).iter().map(|&b| u32::from(b != 0)).collect();
        let dtype = burn_backend::DType::Bool(BoolStore::U32);
        return TensorData::from_bytes(Bytes::from_elems(wide), shape, dtype);
    }
    let dtype = match frame.dtype {
        DType::Bool => burn_backend::DType::Bool(devices::bool_store(frame.device)),
        other => other.to_burn(),
    };
    with_dtype!(frame.dtype, T => {
        TensorData::from_bytes(Bytes::from_elems(elements::<T>(&value).to_vec()), shape, dtype)
    })
}

impl Frame {
    /// Copies a tensor from the device. Panics if the device failed: then no value of it is left to go on with.
    fn download(&self, value: DispatchTensor) -> CpuTensor {
        let data = match self.dtype {
            DType::Bool => read_sync(Dispatch::bool_into_data(value)),
            d if d.is_int() => read_sync(Dispatch::int_into_data(value)),
            _ => read_sync(Dispatch::float_into_data(value)),
        };
        let data = data.unwrap_or_else(|error| {
            panic!(
                "reading {} of shape {:?} from {} failed: {error}",
                self.dtype, self.shape, self.device
            )
        });
        let bytes = data.as_bytes();
        if data.dtype() == burn_backend::DType::Bool(BoolStore::U32) {
            let narrow: Vec<u8> = bytes.chunks_exact(4).map(|b| u8::from(b != [0; 4])).collect();
            return raw_tensor(narrow, &self.shape, DType::Bool);
        }
        with_dtype!(self.dtype, T => {
            raw_tensor::<T>(bytemuck::allocation::pod_collect_to_vec(bytes), &self.shape, self.dtype)
        })
    }
}

/// A tensor of one repeated value. Panics if there is no such device.
pub(crate) fn full(shape: &[usize], value: f64, dtype: DType, device: Device) -> Storage {
    if shape.contains(&0) || !devices::computes(device, dtype) {
        return Storage::Gpu(Tensor::from_cpu(cpu::full(shape, value, dtype), device).into());
    }
    let (frame, handle) =
        (Frame { device, dtype, shape: Dims::from(shape) }, devices::handle(device));
    let shape = kernel_shape(shape);
    let store = devices::bool_store(device);
    frame.on_device(match dtype {
        DType::Bool if value == 0.0 => Dispatch::bool_zeros(shape, handle, store),
        DType::Bool => Dispatch::bool_ones(shape, handle, store),
        d if d.is_int() => {
            Dispatch::int_full(shape, Scalar::Int(nearest(value, d)), handle, d.to_burn().into())
        }
        d => Dispatch::float_full(shape, Scalar::Float(value), handle, d.to_burn().into()),
    })
}

/// The integer of type `dtype` nearest to a number, as on the processor.
pub(super) fn nearest(value: f64, dtype: DType) -> i64 {
    match dtype {
        DType::I32 => i64::from(value as i32),
        DType::U8 => i64::from(value as u8),
        _ => value as i64,
    }
}

pub(super) fn reshaped(value: DispatchTensor, dtype: DType, shape: Shape) -> DispatchTensor {
    by_kind!(Dispatch, dtype, float_reshape, int_reshape, bool_reshape(value, shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(x: &Array) -> &Tensor {
        let Storage::Gpu(t) = x.storage() else { panic!("not on a GPU") };
        t
    }

    #[test]
    fn what_a_device_computes_with_stays_there() {
        for device in devices() {
            let x = Array::arange(0.0, 6.0, 1.0, DType::F32).reshape(&[2, 3]).to_device(device);
            let results = [
                x.cast(DType::I32),
                x.exp().t() + 1.0,
                x.less(&x.full_like(2.0)),
                x.softmax(-1).sum_all(),
                x.narrow(1, 0, 2).pad(&[(0, 0), (1, 0)], crate::ops::Pad::Constant(0.0)),
                x.gelu().cumsum(0).max(&[1]),
                x.index_select(1, &Array::from_slice(&[2i64, 0], &[2])),
            ];
            assert!(results.iter().all(|x| !tensor(x).is_on_host()), "{device}");
        }
    }

    #[test]
    fn empty_arrays_and_missing_types_are_kept_on_the_host() {
        for device in devices() {
            let x = Array::ones(&[3], DType::F32).to_device(device);
            assert!(tensor(&x.narrow(0, 1, 0)).is_on_host());
            let double = x.cast(DType::F64);
            assert_eq!(tensor(&double).is_on_host(), !devices::computes(device, DType::F64));
            assert_eq!((double.device(), double.sin().cast(DType::F32).device()), (device, device));
            assert!(!tensor(&double.cast(DType::F32)).is_on_host());
        }
    }

    #[test]
    #[should_panic(expected = "no device `cuda:99`: this build finds cpu")]
    fn an_absent_device_is_named() {
        Array::ones(&[1], DType::F32).to_device(Device::Cuda(99));
    }
}
