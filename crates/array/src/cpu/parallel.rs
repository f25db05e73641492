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

/// [`in_blocks`] over several lists as if they lay one after another: `body` is called with a list's index and a range within it. Many lists
/// cost the threads one start, not one each.
pub(crate) fn in_blocks_of(
    lengths: &[usize],
    block: usize,
    body: impl Fn(usize, Range<usize>) + Sync,
) {
    let sum = |end: &mut usize, length: &usize| {
        *end += length;
        Some(*end)
    };
    let ends: Vec<usize> = lengths.iter().scan(0, sum).collect();
    in_blocks(ends.last().copied().unwrap_or(0), block, |range| {
        let first = ends.partition_point(|&end| end <= range.start);
        for (list, &end) in ends.iter().enumerate().skip(first) {
            let begin = end - lengths[list];
            if begin >= range.end {
                break;
            }
            let part = range.start.max(begin) - begin..range.end.min(end) - begin;
            if !part.is_empty() {
                body(list, part);
            }
        }
    });
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn blocks_of_lists_cover_each_element_once() {
        let lengths = [0, 3, 10, 0, 0, 25, 1, 0];
        for block in [0, 1, 4, 7, 100] {
            let seen = Mutex::new(lengths.map(|n| vec![0; n]));
            in_blocks_of(&lengths, block, |list, range| {
                assert!(!range.is_empty() && range.len() <= block.max(1).max(25));
                seen.lock().unwrap()[list][range].iter_mut().for_each(|n| *n += 1);
            });
            assert!(seen.into_inner().unwrap().iter().flatten().all(|&n| n == 1), "{block}");
        }
        in_blocks_of(&[], 4, |_, _| panic!("there is nothing"));
        in_blocks_of(&[0, 0], 4, |_, _| panic!("there is nothing"));
    }
}
