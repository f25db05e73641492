//! Walking over the elements of a broadcast result in row-major order, a chunk at a time, with the matching elements
//! of each operand.

use std::mem::MaybeUninit;

use smallvec::SmallVec;

use super::layout::Layout;
use super::store::{CHUNK, Store, as_computed};

type Axes<T> = SmallVec<[T; 6]>;

/// The shape that `a` and `b` broadcast to, as in numpy: aligned at the last axis, lengths equal or one of them 1.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Option<Axes<usize>> {
    let rank = a.len().max(b.len());
    let length =
        |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (length(a, i), length(b, i)) {
            (m, n) if m == n => Some(m),
            (1, n) => Some(n),
            (m, 1) => Some(m),
            _ => None,
        })
        .collect()
}

/// A walk over a result of which `K` operands are read. Axes along which all operands advance evenly are merged; the
/// last axis that is left is called a row.
pub(crate) struct Walk<const K: usize> {
    shape: Axes<usize>,
    strides: [Axes<isize>; K],
    offsets: [usize; K],
}

/// Consecutive elements of the result: `rows` whole rows, or a part of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    row: usize,
    rows: usize,
    start: usize,
    len: usize,
    /// Where the chunk begins in the result.
    pub begin: usize,
}

impl Chunk {
    /// Its number of elements.
    pub(crate) fn size(&self) -> usize {
        self.rows * self.len
    }
}

impl<const K: usize> Walk<K> {
    /// A walk over `shape`, to which all operands broadcast.
    pub(crate) fn new(shape: &[usize], operands: [&Layout; K]) -> Self {
        let mut walk = Self {
            shape: SmallVec::new(),
            strides: std::array::from_fn(|_| SmallVec::new()),
            offsets: operands.map(Layout::start_offset),
        };
        for (axis, &length) in shape.iter().enumerate() {
            if length == 1 {
                continue;
            }
            let strides = operands.map(|layout| broadcast_stride(layout, shape.len(), axis));
            walk.push(length, strides);
        }
        if walk.shape.is_empty() {
            walk.push(1, [1; K]);
        }
        walk
    }

    fn push(&mut self, length: usize, strides: [isize; K]) {
        let merges = self.shape.last().is_some()
            && self
                .strides
                .iter()
                .zip(&strides)
                .all(|(own, &s)| own.last() == Some(&(s * length as isize)));
        if merges {
            *self.shape.last_mut().expect("not empty") *= length;
            for (own, s) in self.strides.iter_mut().zip(strides) {
                *own.last_mut().expect("not empty") = s;
            }
        } else {
            self.shape.push(length);
            for (own, s) in self.strides.iter_mut().zip(strides) {
                own.push(s);
            }
        }
    }

    fn row_len(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    fn rows(&self) -> usize {
        self.shape[..self.shape.len() - 1].iter().product()
    }

    fn parts_per_row(&self) -> usize {
        self.row_len().div_ceil(CHUNK)
    }

    fn rows_per_chunk(&self) -> usize {
        (CHUNK / self.row_len().max(1)).max(1)
    }

    /// Into how many chunks the result falls.
    pub(crate) fn chunks(&self) -> usize {
        if self.row_len() == 0 {
            return 0;
        }
        if self.row_len() > CHUNK {
            self.rows() * self.parts_per_row()
        } else {
            self.rows().div_ceil(self.rows_per_chunk())
        }
    }

    /// Chunk `i`.
    pub(crate) fn chunk(&self, i: usize) -> Chunk {
        let row_len = self.row_len();
        if row_len > CHUNK {
            let (row, part) = (i / self.parts_per_row(), i % self.parts_per_row());
            let start = part * CHUNK;
            let len = CHUNK.min(row_len - start);
            Chunk { row, rows: 1, start, len, begin: row * row_len + start }
        } else {
            let row = i * self.rows_per_chunk();
            let rows = self.rows_per_chunk().min(self.rows() - row);
            Chunk { row, rows, start: 0, len: row_len, begin: row * row_len }
        }
    }

    /// Length and stride of each axis that is left, for one operand.
    pub(crate) fn axes(&self, operand: usize) -> impl ExactSizeIterator<Item = (usize, isize)> {
        self.shape.iter().copied().zip(self.strides[operand].iter().copied())
    }

    /// Where an operand begins in its memory.
    pub(crate) fn offset(&self, operand: usize) -> usize {
        self.offsets[operand]
    }

    /// Where row `row` of operand `k` begins in its memory.
    fn row_offset(&self, k: usize, row: usize) -> isize {
        let outer = self.shape.len() - 1;
        let mut rest = row;
        let mut offset = self.offsets[k] as isize;
        for axis in (1..outer).rev() {
            offset += (rest % self.shape[axis]) as isize * self.strides[k][axis];
            rest /= self.shape[axis];
        }
        if outer > 0 {
            offset += rest as isize * self.strides[k][0];
        }
        offset
    }
}

/// The stride of `layout` along `axis` of a shape of `rank` axes that it broadcasts to.
fn broadcast_stride(layout: &Layout, rank: usize, axis: usize) -> isize {
    match (axis + layout.shape().len()).checked_sub(rank) {
        Some(own) if layout.shape()[own] != 1 => layout.strides()[own],
        _ => 0,
    }
}

/// Reads operand `K` of a walk chunk by chunk, in place where the elements lie side by side, else through a buffer.
pub(crate) struct Source<'a, S: Store> {
    stored: &'a [S],
    operand: usize,
    buffer: [MaybeUninit<S::C>; CHUNK],
    /// How much of the buffer has ever been written.
    ready: usize,
    /// What the buffer holds, if later chunks may use it again.
    held: Held,
}

#[derive(PartialEq)]
enum Held {
    Nothing,
    /// The element at this offset, this many times.
    Constant(isize, usize),
    /// So many elements of a row repeated.
    Rows(usize),
}

impl<'a, S: Store> Source<'a, S> {
    /// A source of `operand`, whose memory is `stored`.
    pub(crate) fn new(stored: &'a [S], operand: usize) -> Self {
        Self {
            stored,
            operand,
            buffer: [MaybeUninit::uninit(); CHUNK],
            ready: 0,
            held: Held::Nothing,
        }
    }

    /// The elements of `chunk`.
    #[inline]
    pub(crate) fn fetch<const K: usize>(&mut self, walk: &Walk<K>, chunk: Chunk) -> &[S::C] {
        let strides = &walk.strides[self.operand];
        let outer = strides.len() - 1;
        let inner = strides[outer];
        let side_by_side =
            inner == 1 && (chunk.rows == 1 || (outer == 1 && strides[0] == chunk.len as isize));
        if S::SAME && side_by_side {
            let begin = (walk.row_offset(self.operand, chunk.row) + chunk.start as isize) as usize;
            return as_computed(&self.stored[begin..begin + chunk.size()]);
        }
        let repeats = strides[..outer].iter().all(|&s| s == 0);
        if repeats && inner == 0 {
            self.fill(walk.row_offset(self.operand, 0), chunk.size());
        } else if chunk.rows == 1 && inner == 0 {
            self.fill(walk.row_offset(self.operand, chunk.row), chunk.len);
        } else if !(repeats
            && chunk.start == 0
            && matches!(self.held, Held::Rows(n) if n >= chunk.size()))
        {
            self.gather(walk, chunk, inner);
            // Only whole rows are held, and only where every row is the same.
            let whole = chunk.start == 0 && chunk.len == walk.row_len();
            self.held = if repeats && whole { Held::Rows(chunk.size()) } else { Held::Nothing };
        }
        self.buffer(chunk.size())
    }

    /// The first `count` elements of the buffer.
    fn buffer(&mut self, count: usize) -> &mut [S::C] {
        if self.ready < count {
            self.buffer[self.ready..count].fill(MaybeUninit::zeroed());
            self.ready = count;
        }
        // SAFETY: written at some time, at least with zeros.
        unsafe { std::slice::from_raw_parts_mut(self.buffer.as_mut_ptr().cast(), count) }
    }

    fn fill(&mut self, offset: isize, count: usize) {
        if !matches!(self.held, Held::Constant(o, n) if o == offset && n >= count) {
            let value = self.stored[offset as usize].widen();
            self.buffer(count).fill(value);
            self.held = Held::Constant(offset, count);
        }
    }

    fn gather<const K: usize>(&mut self, walk: &Walk<K>, chunk: Chunk, inner: isize) {
        let (stored, operand) = (self.stored, self.operand);
        for (i, out) in self.buffer(chunk.size()).chunks_exact_mut(chunk.len).enumerate() {
            let begin = walk.row_offset(operand, chunk.row + i) + chunk.start as isize * inner;
            match inner {
                1 => S::load(&stored[begin as usize..begin as usize + chunk.len], out),
                0 => out.fill(stored[begin as usize].widen()),
                _ => {
                    let mut at = begin;
                    for out in out {
                        *out = stored[at as usize].widen();
                        at += inner;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        let shape = |a: &[usize], b: &[usize]| broadcast(a, b).map(|s| s.to_vec());
        assert_eq!(shape(&[], &[2, 3]), Some(vec![2, 3]));
        assert_eq!(shape(&[4, 1, 3], &[2, 1]), Some(vec![4, 2, 3]));
        assert_eq!(shape(&[0, 1], &[1, 5]), Some(vec![0, 5]));
        assert_eq!(shape(&[2], &[3]), None);
    }

    #[test]
    fn even_axes_merge() {
        let a = Layout::contiguous(crate::cpu::Shape::from(vec![2, 3, 4]));
        assert_eq!(Walk::new(&[2, 3, 4], [&a]).shape.as_slice(), &[24]);
        let bias = Layout::contiguous(crate::cpu::Shape::from(vec![4]));
        assert_eq!(Walk::new(&[2, 3, 4], [&a, &bias]).shape.as_slice(), &[6, 4]);
    }
}
