//! A fixed sparse matrix applied along one axis.

use rayon::prelude::*;

use super::Real;

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

/// `[.., input, inner]` to `[.., output, inner]`.
pub(crate) fn resample<T: Real>(x: &[T], inner: usize, map: &Resampler) -> Vec<T> {
    let (from, to) = (map.input * inner, map.output() * inner);
    let mut out = vec![T::ZERO; x.len() / from * to];
    let weights: Vec<T> = map.entries.iter().map(|&(_, weight)| T::from_f64(weight)).collect();
    let one = |(x, out): (&[T], &mut [T])| {
        for (i, out) in out.chunks_exact_mut(inner).enumerate() {
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
    x.par_chunks_exact(from).zip(out.par_chunks_exact_mut(to)).with_min_len(each).for_each(one);
    out
}
