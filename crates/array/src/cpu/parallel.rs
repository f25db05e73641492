//! Work in fixed blocks: how many threads there are never changes what is computed.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

/// How many elements one task takes. Below two tasks a kernel stays on its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// An addition or so: bound by memory.
    Light,
    /// Elementary functions.
    Heavy,
    /// Scalar code of tens of nanoseconds.
    Slow,
}

impl Work {
    pub(crate) const fn block(self) -> usize {
        match self {
            Work::Light => 1 << 17,
            Work::Heavy => 1 << 14,
            Work::Slow => 1 << 11,
        }
    }
}

/// Calls `body` on consecutive ranges of at most `block` that cover `0..n`, on several threads where there are two or
/// more ranges.
pub(crate) fn in_blocks(n: usize, block: usize, body: impl Fn(Range<usize>) + Sync) {
    let block = block.max(1);
    if n <= block || rayon::current_num_threads() == 1 {
        if n > 0 {
            body(0..n);
        }
        return;
    }
    (0..n.div_ceil(block)).into_par_iter().for_each(|i| body(i * block..((i + 1) * block).min(n)));
}

/// A mutable slice of which each thread takes its own part.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: parts are handed out by `Shared::part`, whose callers keep them disjoint.
unsafe impl<T: Send> Sync for Shared<'_, T> {}
// SAFETY: as for a mutable slice.
unsafe impl<T: Send> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), life: PhantomData }
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// No two live parts overlap.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        debug_assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: within the slice, and by the caller's promise not aliased.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
