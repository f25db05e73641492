//! The undifferentiated value of an array: a tensor of the processor, or of Burn's dispatching GPU backend.

use crate::cpu::{Buffer, CpuTensor, Layout, span};
use crate::{DType, Device, Element};

#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Cpu(CpuTensor),
    #[cfg(feature = "gpu")]
    /// Behind an `Arc`, so that clones share an identity.
    Gpu(std::sync::Arc<crate::gpu::Tensor>),
}

impl Storage {
    pub fn from_vec<T: Element>(values: Vec<T>, shape: &[usize]) -> CpuTensor {
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
            Storage::Cpu(t) => t.dtype(),
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
    pub fn to_cpu(&self) -> CpuTensor {
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
) -> CpuTensor {
    debug_assert_eq!(values.len(), shape.iter().product::<usize>());
    CpuTensor::new(Buffer::of_vec(values), Layout::contiguous(shape.into()), dtype)
}

/// The elements of a contiguous CPU tensor in their memory form (bool as u8). Panics if the tensor is strided.
pub(crate) fn elements<T: bytemuck::Pod>(t: &CpuTensor) -> &[T] {
    assert!(t.is_contiguous(), "elements of a strided tensor");
    span(t)
}

#[cfg(feature = "gpu")]
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
#[cfg(feature = "gpu")]
pub(crate) use by_kind;
