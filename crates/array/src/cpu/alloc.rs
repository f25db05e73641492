//! Memory for results: not zeroed, and for large results kept after use, so that a training loop touches the same pages
//! again instead of asking the system for new ones at every step.

use std::alloc::{Layout as Memory, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::{LazyLock, Mutex, PoisonError};

use burn_backend::{Bytes, Shape};
use burn_flex::{FlexTensor, Layout};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty};

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
    pub(crate) unsafe fn into_tensor(self, shape: Shape, dtype: DType) -> FlexTensor {
        debug_assert_eq!(self.len, shape.num_elements());
        // SAFETY: by the caller's promise.
        unsafe { self.into_tensor_with(Layout::contiguous(shape), dtype) }
    }

    /// The tensor of the written elements under a layout that covers them.
    ///
    /// # Safety
    /// Every element of `room` has been written.
    pub(crate) unsafe fn into_tensor_with(self, layout: Layout, dtype: DType) -> FlexTensor {
        let bytes = self.len * size_of::<T>();
        // SAFETY: `bytes` bytes are initialised, by the caller's promise.
        let bytes = unsafe { Bytes::from_controller(Box::new(self.buffer), bytes) };
        FlexTensor::new(bytes, layout, dtype.to_burn())
    }
}

/// Memory owned by a result, given back to the pool when dropped.
struct Buffer {
    start: NonNull<u8>,
    capacity: usize,
}

// SAFETY: the buffer owns its memory.
unsafe impl Send for Buffer {}

impl Buffer {
    fn new(bytes: usize) -> Self {
        if bytes == 0 {
            let start =
                NonNull::new(std::ptr::without_provenance_mut(ALIGN_POOLED)).expect("not null");
            return Self { start, capacity: 0 };
        }
        let capacity = if bytes < POOLED { bytes } else { class_size(class_of(bytes)) };
        if bytes >= POOLED
            && let Some(start) =
                POOL.lock().unwrap_or_else(PoisonError::into_inner).take(class_of(bytes))
        {
            return Self { start, capacity };
        }
        let memory = memory(capacity);
        // SAFETY: the size is not zero.
        let start = unsafe { alloc(memory) };
        Self { start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(memory)), capacity }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.capacity == 0 {
            return;
        }
        if self.capacity >= POOLED
            && POOL.lock().unwrap_or_else(PoisonError::into_inner).keep(self.start, self.capacity)
        {
            return;
        }
        // SAFETY: allocated by `new` with the same size and alignment.
        unsafe { dealloc(self.start.as_ptr(), memory(self.capacity)) }
    }
}

fn memory(capacity: usize) -> Memory {
    let align = if capacity >= POOLED { ALIGN_POOLED } else { ALIGN_SMALL };
    Memory::from_size_align(capacity, align).expect("array larger than memory")
}

impl AllocationController for Buffer {
    fn alloc_align(&self) -> usize {
        ALIGN_SMALL
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(
        &mut self,
        _: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        // SAFETY: the buffer owns `capacity` bytes.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.capacity) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        // SAFETY: as above.
        Ok(unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.capacity) })
    }
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
            let values = t.as_slice::<f32>().unwrap();
            assert!(values.iter().enumerate().all(|(i, &v)| v == i as f32));
            let copy = t.clone().into_data().try_into_vec::<f32>().unwrap();
            assert_eq!(copy.len(), len);
        }
    }
}
