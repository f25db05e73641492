//! The undifferentiated value of an array: a tensor of Burn's CPU backend, whose raw buffers our own kernels read, or
//! of its dispatching GPU backend.

use burn_backend::{Shape, TensorData};
use burn_flex::{FlexTensor, Layout};

use crate::{DType, Device, Element};

#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Cpu(FlexTensor),
    #[cfg(feature = "gpu")]
    /// Behind an `Arc`, so that clones share an identity.
    Gpu(std::sync::Arc<crate::gpu::Tensor>),
}

impl Storage {
    pub fn from_vec<T: Element>(values: Vec<T>, shape: &[usize]) -> FlexTensor {
        let raw: Vec<T::Raw> = if T::DTYPE == DType::Bool {
            values.into_iter().map(T::to_raw).collect()
        } else {
            // The memory form of every other element is the element itself.
            let mut values = std::mem::ManuallyDrop::new(values);
            let (ptr, len, capacity) = (values.as_mut_ptr(), values.len(), values.capacity());
            // SAFETY: `T` and `T::Raw` are the same type here (all elements but bool), so the
            // allocation is handed over with its own layout; `values` is not dropped.
            unsafe { Vec::from_raw_parts(ptr.cast::<T::Raw>(), len, capacity) }
        };
        raw_tensor(raw, shape, T::DTYPE)
    }

    pub fn shape(&self) -> &[usize] {
        match self {
            Storage::Cpu(t) => t.layout().shape(),
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => t.shape(),
        }
    }

    pub fn dtype(&self) -> DType {
        match self {
            Storage::Cpu(t) => DType::from_burn(t.dtype()),
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => t.dtype(),
        }
    }

    pub fn device(&self) -> Device {
        match self {
            Storage::Cpu(_) => Device::Cpu,
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => t.device(),
        }
    }

    /// The value on the processor; copies from a GPU.
    pub fn to_cpu(&self) -> FlexTensor {
        match self {
            Storage::Cpu(t) => t.clone(),
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => t.to_cpu(),
        }
    }

    pub fn to_device(&self, device: Device) -> Storage {
        if self.device() == device {
            return self.clone();
        }
        match device {
            Device::Cpu => Storage::Cpu(self.to_cpu()),
            #[cfg(feature = "gpu")]
            _ => Storage::Gpu(crate::gpu::Tensor::from_cpu(self.to_cpu(), device).into()),
            #[cfg(not(feature = "gpu"))]
            _ => panic!("to_device: this build has no support for {device}"),
        }
    }
}

/// A CPU tensor that owns `values`, row-major.
pub(crate) fn raw_tensor<T: bytemuck::Pod + Send + Sync>(
    values: Vec<T>,
    shape: &[usize],
    dtype: DType,
) -> FlexTensor {
    debug_assert_eq!(values.len(), shape.iter().product::<usize>());
    FlexTensor::new(
        burn_backend::Bytes::from_elems(values),
        Layout::contiguous(Shape::from(shape)),
        dtype.to_burn(),
    )
}

/// The elements of a contiguous CPU tensor in their memory form (bool as u8). Panics if the tensor is strided: call `to_contiguous` first.
pub(crate) fn elements<T: burn_backend::Element + bytemuck::Pod>(t: &FlexTensor) -> &[T] {
    let (start, end) = t.layout().contiguous_offsets().expect("contiguous tensor");
    &t.storage::<T>()[start..end]
}

/// Calls the float, int or bool form of an operation of a Burn backend, by dtype.
macro_rules! by_kind {
    ($backend:ident, $dtype:expr, $float:ident, $int:ident, $bool:ident ($($arg:tt)*)) => {
        if $dtype.is_float() {
            $backend::$float($($arg)*)
        } else if $dtype.is_int() {
            $backend::$int($($arg)*)
        } else {
            $backend::$bool($($arg)*)
        }
    };
}
pub(crate) use by_kind;

impl From<TensorData> for Storage {
    fn from(data: TensorData) -> Self {
        Storage::Cpu(FlexTensor::from_data(data))
    }
}
