//! Memory for results: not zeroed, and for large results kept after use, so that a training loop touches the same pages
//! again instead of asking the system for new ones at every step.

use std::alloc::{Layout as Memory, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::layout::{Layout, Shape};
use super::tensor::CpuTensor;
use crate::DType;

/// Buffers from this size on are kept for reuse.
const POOLED: usize = 1 << 16;
/// At most this many bytes wait for reuse.
const POOL_LIMIT: usize = 256 << 20;
/// A cache line, which is also the widest vector.
const ALIGN_POOLED: usize = 64;
const ALIGN_SMALL: usize = 16;

/// Room for `len` elements that a kernel is about to write.
pub(crate) struct Output<T> {
    buffer: Buffer,
    len: usize,
    element: PhantomData<T>,
}

/// Room for `len` elements, not initialised.
pub(crate) fn output<T: bytemuck::Pod>(len: usize) -> Output<T> {
    let bytes = len.checked_mul(size_of::<T>()).expect("array larger than memory");
    Output { buffer: Buffer::new(bytes), len, element: PhantomData }
}

impl<T: bytemuck::Pod> Output<T> {
    /// The elements to write.
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<T>] {
        // SAFETY: the buffer holds at least `len` elements, aligned for every element type, and is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.buffer.start.as_ptr().cast(), self.len) }
    }

    /// The row-major tensor of the written elements.
    ///
    /// # Safety
    /// Every element of `room` has been written.
    pub(crate) unsafe fn into_tensor(self, shape: Shape, dtype: DType) -> CpuTensor {
        debug_assert_eq!(self.len, shape.num_elements());
        // SAFETY: by the caller's promise.
        unsafe { self.into_tensor_with(Layout::contiguous(shape), dtype) }
    }

    /// The tensor of the written elements under a layout that covers them.
    ///
    /// # Safety
    /// Every element of `room` has been written.
    pub(crate) unsafe fn into_tensor_with(self, layout: Layout, dtype: DType) -> CpuTensor {
        let bytes = self.len * size_of::<T>();
        // Initialised, by the caller's promise.
        let mut buffer = self.buffer;
        buffer.filled = bytes;
        CpuTensor::new(buffer, layout, dtype)
    }
}

/// Memory of a tensor: of a result, given back to the pool when dropped, or taken over from a vector.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    /// How it was allocated; nothing to free if the size is zero.
    memory: Memory,
    /// Bytes from the start that are initialised.
    filled: usize,
    pooled: bool,
}

// SAFETY: the buffer owns its memory, which only a mutable borrow writes.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Room for `bytes` bytes, none of them initialised.
    fn new(bytes: usize) -> Self {
        let pooled = bytes >= POOLED;
        let capacity = if pooled { class_size(class_of(bytes)) } else { bytes };
        let memory = memory(capacity);
        if bytes == 0 {
            return Self { start: nowhere(memory), memory, filled: 0, pooled };
        }
        if pooled
            && let Some(start) =
                POOL.lock().unwrap_or_else(PoisonError::into_inner).take(class_of(bytes))
        {
            return Self { start, memory, filled: 0, pooled };
        }
        // SAFETY: the size is not zero.
        let start = unsafe { alloc(memory) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(memory));
        Self { start, memory, filled: 0, pooled }
    }

    /// The memory of a vector, not copied.
    pub fn of_vec<T: bytemuck::Pod + Send + Sync>(values: Vec<T>) -> Self {
        let mut values = std::mem::ManuallyDrop::new(values);
        let memory = Memory::array::<T>(values.capacity()).expect("what a vector has allocated");
        let filled = values.len() * size_of::<T>();
        let start = NonNull::new(values.as_mut_ptr().cast()).expect("vectors do not lie at null");
        Self { start, memory, filled, pooled: false }
    }

    /// The initialised bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: that many bytes are initialised and owned.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.filled) }
    }

    /// The initialised bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.filled) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let capacity = self.memory.size();
        if capacity == 0 {
            return;
        }
        if self.pooled
            && POOL.lock().unwrap_or_else(PoisonError::into_inner).keep(self.start, capacity)
        {
            return;
        }
        // SAFETY: allocated with this size and alignment, by `new` or by a vector.
        unsafe { dealloc(self.start.as_ptr(), self.memory) }
    }
}

fn memory(capacity: usize) -> Memory {
    let align = if capacity >= POOLED { ALIGN_POOLED } else { ALIGN_SMALL };
    Memory::from_size_align(capacity, align).expect("array larger than memory")
}

/// Where empty memory lies.
fn nowhere(memory: Memory) -> NonNull<u8> {
    NonNull::new(std::ptr::without_provenance_mut(memory.align())).expect("not null")
}

/// Sizes 4, 5, 6, 7 times a power of two, so that rounding up wastes at most a quarter.
fn class_of(bytes: usize) -> usize {
    let bits = (bytes - 1).ilog2() as usize;
    bits * 4 + (((bytes - 1) >> (bits - 2)) & 3)
}

fn class_size(class: usize) -> usize {
    (4 + class % 4 + 1) << (class / 4 - 2)
}

/// Freed buffers by class.
struct Pool {
    free: Vec<Vec<NonNull<u8>>>,
    held: usize,
}

// SAFETY: the pool owns the memory that its pointers name.
unsafe impl Send for Pool {}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(|| {
    Mutex::new(Pool {
        free: std::iter::repeat_with(Vec::new).take(4 * usize::BITS as usize).collect(),
        held: 0,
    })
});

impl Pool {
    fn take(&mut self, class: usize) -> Option<NonNull<u8>> {
        let start = self.free[class].pop()?;
        self.held -= class_size(class);
        Some(start)
    }

    /// Whether the pool took the buffer. A full pool first lets go of all it holds: sizes in use come back soon.
    fn keep(&mut self, start: NonNull<u8>, capacity: usize) -> bool {
        if capacity > POOL_LIMIT {
            return false;
        }
        if self.held + capacity > POOL_LIMIT {
            self.clear();
        }
        self.held += capacity;
        self.free[class_of(capacity)].push(start);
        true
    }

    fn clear(&mut self) {
        for (class, buffers) in self.free.iter_mut().enumerate() {
            for start in buffers.drain(..) {
                // SAFETY: allocated by `Buffer::new` with the size of its class.
                unsafe { dealloc(start.as_ptr(), memory(class_size(class))) }
            }
        }
        self.held = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_asked_for() {
        for bytes in
            (POOLED..POOLED * 9).step_by(977).chain([POOLED, POOLED + 1, 1 << 20, (1 << 20) + 1])
        {
            let size = class_size(class_of(bytes));
            assert!(size >= bytes, "{bytes} in {size}");
            assert!((size as f64) <= bytes as f64 * 1.26, "{bytes} in {size}");
            assert_eq!(class_of(size), class_of(bytes));
        }
    }

    #[test]
    fn outputs_hold_what_was_written() {
        for len in [0usize, 1, 7, 100_000] {
            let mut out = output::<f32>(len);
            for (i, slot) in out.room().iter_mut().enumerate() {
                slot.write(i as f32);
            }
            // SAFETY: all written above.
            let t = unsafe { out.into_tensor(Shape::from(vec![len]), DType::F32) };
            let values = crate::storage::elements::<f32>(&t);
            assert_eq!(values.len(), len);
            assert!(values.iter().enumerate().all(|(i, &v)| v == i as f32));
        }
    }
}
