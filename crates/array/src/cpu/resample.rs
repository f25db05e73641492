//! A fixed sparse matrix applied along one axis.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::layout::Shape;
use super::tensor::CpuTensor;
use super::{Real, output};

/// Elements of work below which a task is not worth its scheduling.
const TASK: usize = 1 << 14;

/// A sparse matrix `[output, input]`, by rows.
#[derive(Debug)]
pub(crate) struct Resampler {
    input: usize,
    /// Where each row's entries begin, and the end of the last.
    starts: Vec<usize>,
    /// Column and weight.
    entries: Vec<(usize, f64)>,
}

impl Resampler {
    /// From the entries (column, weight) of each row.
    pub fn new(input: usize, rows: impl IntoIterator<Item = Vec<(usize, f64)>>) -> Resampler {
        let mut map = Resampler { input, starts: vec![0], entries: Vec::new() };
        for row in rows {
            map.entries.extend(row);
            map.starts.push(map.entries.len());
        }
        map
    }

    pub fn output(&self) -> usize {
        self.starts.len() - 1
    }

    fn row(&self, i: usize) -> &[(usize, f64)] {
        &self.entries[self.starts[i]..self.starts[i + 1]]
    }

    pub fn transpose(&self) -> Resampler {
        let mut rows = vec![Vec::new(); self.input];
        for i in 0..self.output() {
            for &(column, weight) in self.row(i) {
                rows[column].push((i, weight));
            }
        }
        Resampler::new(self.output(), rows)
    }
}

/// Makes room into zeros.
pub(super) fn zeros<T: Real>(room: &mut [MaybeUninit<T>]) -> &mut [T] {
    room.fill(MaybeUninit::new(T::ZERO));
    // SAFETY: every element has been written.
    unsafe { &mut *(std::ptr::from_mut(room) as *mut [T]) }
}

/// `[.., input, inner]` to `[.., output, inner]`, which is `shape`.
pub(crate) fn resample<T: Real>(
    x: &[T],
    inner: usize,
    map: &Resampler,
    shape: &[usize],
) -> CpuTensor {
    let (from, to) = (map.input * inner, map.output() * inner);
    let mut out = output::<T>(x.len() / from * to);
    let weights: Vec<T> = map.entries.iter().map(|&(_, weight)| T::from_f64(weight)).collect();
    let one = |(x, out): (&[T], &mut [MaybeUninit<T>])| {
        for (i, out) in zeros(out).chunks_exact_mut(inner).enumerate() {
            let range = map.starts[i]..map.starts[i + 1];
            for (&(column, _), &weight) in map.entries[range.clone()].iter().zip(&weights[range]) {
                let row = &x[column * inner..][..inner];
                for (out, &value) in out.iter_mut().zip(row) {
                    *out += weight * value;
                }
            }
        }
    };
    let each = TASK.div_ceil(from.max(to));
    x.par_chunks_exact(from)
        .zip(out.room().par_chunks_exact_mut(to))
        .with_min_len(each)
        .for_each(one);
    // SAFETY: each block was made zeros first.
    unsafe { out.into_tensor(Shape::from(shape), T::DTYPE) }
}
