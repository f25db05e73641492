//! The array type: a value on a device, and how it was computed while a derivative needs it.

use std::sync::Arc;

use crate::cpu::CpuTensor;

use crate::storage::Storage;
use crate::tape::Node;
use crate::{DType, Device, Element, cpu, shape};

/// An n-dimensional array on a [`Device`].
///
/// Cloning is cheap (the buffer is shared). Operators that take their operands by value reuse the buffer of an operand
/// that nobody else holds. Under a transformation such as [`grad`](crate::grad) an array remembers how it was computed.
///
/// Shapes or element types that do not fit an operation are programming errors and panic with the operation's name and both
/// shapes.
///
/// ```
/// use lisse_array::{Array, DType};
/// let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
/// let y = &x * 2.0 + Array::ones(&[3], DType::F32);
/// assert_eq!(y.to_vec::<f32>(), [3.0, 5.0, 7.0, 9.0, 11.0, 13.0]);
/// assert_eq!(x.matmul(&x.t()).shape(), [2, 2]);
/// ```
#[derive(Clone)]
pub struct Array {
    storage: Storage,
    node: Option<Arc<Node>>,
}

impl Array {
    // Making arrays -----------------------------------------------------------------------------------------------------

    /// Takes `values` (row-major) as an array of the given shape on the current device. Panics if the counts differ.
    pub fn from_vec<T: Element>(values: Vec<T>, shape: &[usize]) -> Array {
        shape::check_count("from_vec", values.len(), shape);
        Array::from_cpu(Storage::from_vec(values, shape)).to_device(Device::current())
    }

    /// Copies `values` (row-major) into an array of the given shape on the current device.
    pub fn from_slice<T: Element>(values: &[T], shape: &[usize]) -> Array {
        Array::from_vec(values.to_vec(), shape)
    }

    /// A single number, of shape `[]`.
    pub fn scalar<T: Element>(value: T) -> Array {
        Array::from_vec(vec![value], &[])
    }

    /// All elements zero.
    pub fn zeros(shape: &[usize], dtype: DType) -> Array {
        Array::full(shape, 0.0, dtype)
    }

    /// All elements one.
    pub fn ones(shape: &[usize], dtype: DType) -> Array {
        Array::full(shape, 1.0, dtype)
    }

    /// All elements `value`.
    pub fn full(shape: &[usize], value: f64, dtype: DType) -> Array {
        match Device::current() {
            Device::Cpu => Array::from_cpu(cpu::full(shape, value, dtype)),
            #[cfg(feature = "gpu")]
            device => Array::untracked(crate::gpu::full(shape, value, dtype, device)),
            #[cfg(not(feature = "gpu"))]
            device => Array::from_cpu(cpu::full(shape, value, dtype)).to_device(device),
        }
    }

    /// `start, start + step, ...` up to but not including `end`.
    pub fn arange(start: f64, end: f64, step: f64, dtype: DType) -> Array {
        assert!(step != 0.0, "arange: the step is zero");
        let count = ((end - start) / step).ceil().max(0.0) as usize;
        let values = (0..count).map(|i| start + step * i as f64).collect();
        Array::converted(values, &[count], dtype)
    }

    /// `count` numbers evenly from `start` to `end`, both included.
    pub fn linspace(start: f64, end: f64, count: usize, dtype: DType) -> Array {
        let step = (end - start) / (count.max(2) - 1) as f64;
        let at = |i| if i + 1 == count && count > 1 { end } else { start + step * i as f64 };
        Array::converted((0..count).map(at).collect(), &[count], dtype)
    }

    /// The `n` by `n` identity.
    pub fn eye(n: usize, dtype: DType) -> Array {
        let mut values = vec![0.0; n * n];
        values.iter_mut().step_by(n + 1).for_each(|v| *v = 1.0);
        Array::converted(values, &[n, n], dtype)
    }

    /// The values as `dtype` on the current device, converted on the way: not every device holds f64.
    fn converted(values: Vec<f64>, shape: &[usize], dtype: DType) -> Array {
        Array::from_cpu(Storage::from_vec(values, shape)).cast(dtype).to_device(Device::current())
    }

    /// Zeros of this array's shape, dtype and device.
    pub fn zeros_like(&self) -> Array {
        self.full_like(0.0)
    }

    /// Ones of this array's shape, dtype and device.
    pub fn ones_like(&self) -> Array {
        self.full_like(1.0)
    }

    /// `value` everywhere, with this array's shape, dtype and device.
    pub fn full_like(&self, value: f64) -> Array {
        self.device().with(|| Array::full(self.shape(), value, self.dtype()))
    }

    // Looking at arrays -------------------------------------------------------------------------------------------------

    /// Sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        self.storage.shape()
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape().len()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of an axis; negative counts from the last.
    pub fn dim(&self, axis: isize) -> usize {
        self.shape()[shape::axis("dim", axis, self.shape())]
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// Where the elements are.
    pub fn device(&self) -> Device {
        self.storage.device()
    }

    /// The elements, row-major. Panics if `T` is not the array's dtype; see [`to_f64_vec`](Self::to_f64_vec).
    pub fn to_vec<T: Element>(&self) -> Vec<T> {
        assert!(
            T::DTYPE == self.dtype(),
            "to_vec: the array holds {}, not {}",
            self.dtype(),
            T::DTYPE
        );
        let tensor = self.to_cpu();
        crate::storage::elements::<T::Raw>(&tensor).iter().map(|&r| T::from_raw(r)).collect()
    }

    /// The elements, row-major, converted to f64.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        // Converted on the processor: fewer bytes to move, and not every device holds f64.
        self.stop_gradient().to_device(Device::Cpu).cast(DType::F64).to_vec()
    }

    /// The only element, as f64. Panics unless there is exactly one.
    pub fn item(&self) -> f64 {
        assert!(
            self.len() == 1,
            "item: shape {:?} holds {} elements, not one",
            self.shape(),
            self.len()
        );
        self.to_f64_vec()[0]
    }

    /// Whether every element is finite (true for integers).
    pub fn all_finite(&self) -> bool {
        // A sum is finite unless an element is not, or it overflows: then look at each.
        !self.dtype().is_float()
            || self.stop_gradient().sum_all().item().is_finite()
            || self.to_f64_vec().iter().all(|v| v.is_finite())
    }

    // Moving and relabelling --------------------------------------------------------------------------------------------

    /// The same array on `device`; differentiable.
    pub fn to_device(&self, device: Device) -> Array {
        let home = self.device();
        if home == device {
            return self.clone();
        }
        Array::untracked(self.storage.to_device(device))
            .derive(self, move |ct, _| ct.to_device(home))
    }

    /// Elements converted to `dtype`; differentiable between float types.
    pub fn cast(&self, dtype: DType) -> Array {
        let from = self.dtype();
        if from == dtype {
            return self.clone();
        }
        let out = Array::untracked(crate::ops::cast(&self.storage, dtype));
        if from.is_float() && dtype.is_float() {
            out.derive(self, move |ct, _| ct.cast(from))
        } else {
            out
        }
    }

    /// The same value, treated as a constant by every transformation.
    pub fn stop_gradient(&self) -> Array {
        Array::untracked(self.storage.clone())
    }

    // For operations ----------------------------------------------------------------------------------------------------

    pub(crate) fn untracked(storage: Storage) -> Array {
        Array { storage, node: None }
    }

    pub(crate) fn from_cpu(tensor: CpuTensor) -> Array {
        Array::untracked(Storage::Cpu(tensor))
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) fn into_parts(self) -> (Storage, Option<Arc<Node>>) {
        (self.storage, self.node)
    }

    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }

    pub(crate) fn with_node(self, node: Option<Arc<Node>>) -> Array {
        Array { storage: self.storage, node }
    }

    /// The value on the processor, row-major.
    pub(crate) fn to_cpu(&self) -> CpuTensor {
        cpu::contiguous(self.storage.to_cpu())
    }

    /// An address that identifies the buffer, to recognise a leaf across clones.
    pub fn buffer_id(&self) -> usize {
        match &self.storage {
            Storage::Cpu(t) => t.bytes().as_ptr() as usize,
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => Arc::as_ptr(t) as usize,
        }
    }
}
