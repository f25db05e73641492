//! Tensors of the processor: elements in shared memory under a layout, and ways to read and write them.

use std::sync::Arc;

use super::alloc::Buffer;
use super::copy::{contiguous, copied};
use super::layout::Layout;
use crate::DType;

/// Elements in memory that clones share.
#[derive(Clone)]
pub(crate) struct CpuTensor {
    memory: Arc<Buffer>,
    layout: Layout,
    dtype: DType,
}

impl CpuTensor {
    /// The elements that lie in `memory` under `layout`.
    ///
    /// # Panics
    /// If the memory is not a whole number of elements.
    pub fn new(memory: Buffer, layout: Layout, dtype: DType) -> CpuTensor {
        assert!(memory.bytes().len().is_multiple_of(dtype.size()));
        CpuTensor { memory: Arc::new(memory), layout, dtype }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The same memory seen otherwise.
    pub fn with_layout(self, layout: Layout) -> CpuTensor {
        CpuTensor { layout, ..self }
    }

    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// All of the memory, whatever the layout.
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    /// A copy, if need be, in row-major order.
    pub fn reshape(&self, shape: &[usize]) -> CpuTensor {
        match self.layout.reshape(shape.into()) {
            Some(layout) => self.clone().with_layout(layout),
            None => contiguous(self.clone()).with_layout(Layout::contiguous(shape.into())),
        }
    }

    pub fn permute(&self, axes: &[usize]) -> CpuTensor {
        self.clone().with_layout(self.layout.permute(axes))
    }

    pub fn narrow(&self, axis: usize, start: usize, length: usize) -> CpuTensor {
        self.clone().with_layout(self.layout.narrow(axis, start, length))
    }

    /// All elements of the memory, to be written, if nothing else refers to it.
    fn stored_mut<T: bytemuck::Pod>(&mut self) -> Option<&mut [T]> {
        debug_assert_eq!(size_of::<T>(), self.dtype.size());
        Arc::get_mut(&mut self.memory).map(|memory| bytemuck::cast_slice_mut(memory.bytes_mut()))
    }
}

impl std::fmt::Debug for CpuTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CpuTensor")
            .field("layout", &self.layout)
            .field("dtype", &self.dtype)
            .finish_non_exhaustive()
    }
}

/// The dtype of a tensor.
pub(crate) fn dtype(x: &CpuTensor) -> DType {
    x.dtype
}

/// The lengths of a tensor's axes.
pub(crate) fn shape(x: &CpuTensor) -> &[usize] {
    x.layout.shape()
}

/// The stored elements of a tensor, whatever their layout, as the type that lies in memory.
pub(crate) fn stored<T: bytemuck::Pod>(x: &CpuTensor) -> &[T] {
    debug_assert_eq!(size_of::<T>(), x.dtype.size());
    bytemuck::cast_slice(x.bytes())
}

/// The elements of a gapless tensor in the order of memory.
pub(crate) fn span<T: bytemuck::Pod>(x: &CpuTensor) -> &[T] {
    debug_assert!(gapless(&x.layout));
    let n = x.layout.num_elements();
    // An empty slice of an empty array may begin beyond its end.
    if n == 0 { &[] } else { &stored(x)[x.layout.start_offset()..][..n] }
}
/// Whether the elements of a tensor fill a stretch of memory without gaps, in any order of axes.
pub(crate) fn gapless(layout: &Layout) -> bool {
    if layout.is_contiguous() {
        return true;
    }
    let mut axes: smallvec::SmallVec<[(isize, usize); 6]> = layout
        .strides()
        .iter()
        .zip(layout.shape().iter())
        .filter(|&(_, &n)| n != 1)
        .map(|(&s, &n)| (s, n))
        .collect();
    axes.sort_unstable();
    let mut expected = 1;
    for (stride, n) in axes {
        if stride != expected {
            return false;
        }
        expected *= n as isize;
    }
    true
}

/// Writable elements of a gapless tensor that nothing else refers to. Nothing where the tensor is a small part of a
/// larger allocation, which the result would keep alive.
pub(crate) fn owned_mut<T: bytemuck::Pod>(x: &mut CpuTensor) -> Option<&mut [T]> {
    if !gapless(&x.layout) {
        return None;
    }
    let (start, n) = (x.layout.start_offset(), x.layout.num_elements());
    let stored = x.stored_mut::<T>()?;
    if n == 0 {
        return Some(&mut []);
    }
    (n >= stored.len() / 2).then(|| &mut stored[start..start + n])
}

/// The tensor row-major from the start of its buffer; copied only if it is not so already.
pub(crate) fn row_major(x: CpuTensor) -> CpuTensor {
    if x.is_contiguous() && x.layout.start_offset() == 0 { x } else { copied(&x) }
}

/// Writable elements of a row-major tensor; copied first if something else holds the buffer.
pub(crate) fn writable<T: bytemuck::Pod>(x: &mut CpuTensor) -> &mut [T] {
    let n = x.layout.num_elements();
    if Arc::get_mut(&mut x.memory).is_none() {
        *x = copied(x);
    }
    &mut x.stored_mut::<T>().expect("nothing else holds a fresh copy")[..n]
}
