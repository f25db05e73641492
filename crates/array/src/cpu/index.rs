//! Elements by index: gathering, adding at indices, placing a block. Indices have been checked by the caller.
//!
//! An array is seen as `[outer, n, inner]` around the indexed axis. What is added at one place is added in the order of
//! the source, however the work is divided, so results do not depend on the number of threads.

use std::mem::MaybeUninit;

use bytemuck::Zeroable;
use rayon::prelude::*;

use super::alloc::output;
use super::contiguous;
use super::scan::Number;
use super::tensor::CpuTensor;
use crate::dtype::with_dtype;
use crate::shape::Dims;
use crate::storage::{elements, raw_tensor};
use crate::{DType, Element};

/// Elements that one task moves; below, a second thread does not pay.
const BLOCK: usize = 1 << 15;

/// Number of elements before, along and behind an axis.
pub(crate) fn lanes(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

fn dtype(t: &CpuTensor) -> DType {
    t.dtype()
}

/// Calls `fill(o, first, rows)` for pieces of `out`, seen as `[outer, n, inner]`: `rows` are those from `first` on in outer
/// block `o`. Pieces hold about `piece` rows and are filled in parallel.
fn by_rows<T: Number>(
    out: &mut [T],
    (n, inner): (usize, usize),
    piece: usize,
    fill: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let block = n * inner;
    if out.is_empty() {
        return;
    }
    let split = |(o, rows): (usize, &mut [T])| {
        if piece >= n {
            fill(o, 0, rows);
        } else {
            rows.par_chunks_mut(piece * inner)
                .enumerate()
                .for_each(|(p, rows)| fill(o, p * piece, rows));
        }
    };
    let together = (BLOCK / block).max(1);
    if out.len() == block {
        split((0, out));
    } else {
        out.par_chunks_mut(block).with_min_len(together).enumerate().for_each(split);
    }
}

/// Rows per task when each row costs `inner` elements.
fn rows_per_block(inner: usize) -> usize {
    (BLOCK / inner.max(1)).max(1)
}

/// `out[o, j, i] = x[o, index[o, j, i], i]`
pub(crate) fn gather(x: &CpuTensor, axis: usize, index: &CpuTensor) -> CpuTensor {
    let (x, index) = (contiguous(x.clone()), contiguous(index.clone()));
    let (_, n, inner) = lanes(x.layout().shape(), axis);
    let shape: &[usize] = index.layout().shape();
    let m = shape[axis];
    let index = elements::<i64>(&index);
    with_dtype!(dtype(&x), T => {
        let from = elements::<T>(&x);
        let mut out: Vec<T> = vec![Zeroable::zeroed(); index.len()];
        by_rows(&mut out, (m, inner), rows_per_block(inner), |o, first, rows| {
            let at = (o * m + first) * inner;
            let index = &index[at..at + rows.len()];
            let from = &from[o * n * inner..(o + 1) * n * inner];
            if inner == 1 {
                for (slot, &k) in rows.iter_mut().zip(index) {
                    *slot = from[k as usize];
                }
            } else {
                for (row, ks) in rows.chunks_exact_mut(inner).zip(index.chunks_exact(inner)) {
                    for (i, (slot, &k)) in row.iter_mut().zip(ks).enumerate() {
                        *slot = from[k as usize * inner + i];
                    }
                }
            }
        });
        raw_tensor(out, shape, dtype(&x))
    })
}

/// `out[o, j, i] = x[o, index[j], i]`
pub(crate) fn index_select(x: &CpuTensor, axis: usize, index: &CpuTensor) -> CpuTensor {
    let (x, index) = (contiguous(x.clone()), contiguous(index.clone()));
    let (outer, n, inner) = lanes(x.layout().shape(), axis);
    let index = elements::<i64>(&index);
    let m = index.len();
    let mut shape = Dims::from(&x.layout().shape()[..]);
    shape[axis] = m;
    with_dtype!(dtype(&x), T => {
        let from = elements::<T>(&x);
        let mut out: Vec<T> = vec![Zeroable::zeroed(); outer * m * inner];
        by_rows(&mut out, (m, inner), rows_per_block(inner), |o, first, rows| {
            let from = &from[o * n * inner..(o + 1) * n * inner];
            if inner == 1 {
                for (slot, &k) in rows.iter_mut().zip(&index[first..]) {
                    *slot = from[k as usize];
                }
            } else {
                for (row, &k) in rows.chunks_exact_mut(inner).zip(&index[first..]) {
                    row.copy_from_slice(&from[k as usize * inner..][..inner]);
                }
            }
        });
        raw_tensor(out, &shape, dtype(&x))
    })
}

/// A copy of `base`, or zeros.
fn start<T: Number>(base: Option<&CpuTensor>, count: usize) -> Vec<T> {
    base.map_or_else(
        || vec![Zeroable::zeroed(); count],
        |base| elements::<T>(&contiguous(base.clone())).to_vec(),
    )
}

/// Rows per task when the tasks share the `n` destination rows of one outer block and each looks through all `m` indices
/// for its own. Short rows are not worth the search.
fn rows_per_thread(outer: usize, n: usize, m: usize, inner: usize) -> usize {
    let threads = rayon::current_num_threads();
    let alone = inner < 16 || m * inner < BLOCK || outer >= threads;
    if alone { n } else { n.div_ceil(threads).max(1) }
}

/// `out[o, index[o, j, i], i] += source[o, j, i]` on a copy of `base`, or on zeros of the given shape.
pub(crate) fn scatter_add(
    base: Option<&CpuTensor>,
    shape: &[usize],
    axis: usize,
    index: &CpuTensor,
    source: &CpuTensor,
) -> CpuTensor {
    let (source, index) = (contiguous(source.clone()), contiguous(index.clone()));
    let (outer, n, inner) = lanes(shape, axis);
    let m = index.layout().shape()[axis];
    let index = elements::<i64>(&index);
    with_dtype!(dtype(&source), T => {
        let add = elements::<T>(&source);
        let mut out = start::<T>(base, outer * n * inner);
        by_rows(&mut out, (n, inner), n, |o, _, rows| {
            let block = o * m * inner..(o + 1) * m * inner;
            let (index, add) = (&index[block.clone()], &add[block]);
            for (ks, vs) in index.chunks_exact(inner).zip(add.chunks_exact(inner)) {
                for (i, (&k, &v)) in ks.iter().zip(vs).enumerate() {
                    let slot = &mut rows[k as usize * inner + i];
                    *slot = slot.plus(v);
                }
            }
        });
        raw_tensor(out, shape, dtype(&source))
    })
}

/// `out[o, index[j], i] += source[o, j, i]` on a copy of `base`, or on zeros of the given shape.
pub(crate) fn index_add(
    base: Option<&CpuTensor>,
    shape: &[usize],
    axis: usize,
    index: &CpuTensor,
    source: &CpuTensor,
) -> CpuTensor {
    let (source, index) = (contiguous(source.clone()), contiguous(index.clone()));
    let (outer, n, inner) = lanes(shape, axis);
    let index = elements::<i64>(&index);
    let m = index.len();
    with_dtype!(dtype(&source), T => {
        let add = elements::<T>(&source);
        let mut out = start::<T>(base, outer * n * inner);
        by_rows(&mut out, (n, inner), rows_per_thread(outer, n, m, inner), |o, first, rows| {
            let add = &add[o * m * inner..(o + 1) * m * inner];
            let count = rows.len() / inner;
            for (&k, vs) in index.iter().zip(add.chunks_exact(inner)) {
                let row = (k as usize).wrapping_sub(first);
                if row < count {
                    for (slot, &v) in rows[row * inner..][..inner].iter_mut().zip(vs) {
                        *slot = slot.plus(v);
                    }
                }
            }
        });
        raw_tensor(out, shape, dtype(&source))
    })
}

/// Ones at the indexed classes along a new last axis, zeros elsewhere.
pub(crate) fn one_hot(index: &CpuTensor, classes: usize, dtype: DType) -> CpuTensor {
    let index = contiguous(index.clone());
    let mut shape = Dims::from(&index.layout().shape()[..]);
    shape.push(classes);
    let index = elements::<i64>(&index);
    with_dtype!(dtype, T => {
        let mut out: Vec<T> = vec![Zeroable::zeroed(); index.len() * classes];
        let one = <T as Element>::from_f64(1.0);
        for (j, &k) in index.iter().enumerate() {
            out[j * classes + k as usize] = one;
        }
        raw_tensor(out, &shape, dtype)
    })
}

/// `value` in the given shape, with `x` in the block that begins at `corner`.
pub(crate) fn place_block(
    x: &CpuTensor,
    shape: &[usize],
    corner: &[usize],
    value: f64,
) -> CpuTensor {
    let x = contiguous(x.clone());
    let size: &[usize] = x.layout().shape();
    // Axes behind the last one that grows are copied together.
    let joint = (0..shape.len()).rev().find(|&i| size[i] != shape[i]).unwrap_or(0);
    let run: usize = size[joint..].iter().product();
    let strides = crate::shape::strides(shape);
    let mut offset: usize = corner.iter().zip(&strides).map(|(c, s)| c * s).sum();
    let mut counter = Dims::from_elem(0, joint);
    with_dtype!(dtype(&x), T => {
        let mut out = output::<T>(shape.iter().product());
        let room = out.room();
        room.fill(MaybeUninit::new(<T as Element>::from_f64(value)));
        if run > 0 {
            for row in elements::<T>(&x).chunks_exact(run) {
                room[offset..offset + run].write_copy_of_slice(row);
                for axis in (0..joint).rev() {
                    counter[axis] += 1;
                    offset += strides[axis];
                    if counter[axis] < size[axis] {
                        break;
                    }
                    offset -= counter[axis] * strides[axis];
                    counter[axis] = 0;
                }
            }
        }
        // SAFETY: filled above.
        unsafe { out.into_tensor(shape.into(), dtype(&x)) }
    })
}
