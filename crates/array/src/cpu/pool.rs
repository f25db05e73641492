//! Maxima over windows, and moving elements by fixed positions.

use rayon::prelude::*;

use super::layout::Shape;
use super::resample::zeros;
use super::tensor::CpuTensor;
use super::{Real, output};
use crate::storage::raw_tensor;

const TASK: usize = 1 << 14;

/// Positions `start, start + step, ...` of a window along one axis, all within the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub start: usize,
    pub count: usize,
    pub step: usize,
}

impl Window {
    fn positions(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| self.start + i * self.step)
    }
}

/// The largest element of each window of each plane, and its position in the plane: the first one among equals, NaN
/// above all. Planes have three axes; the result has the form `shape`.
pub(crate) fn max_pool<T: Real>(
    x: &[T],
    extent: [usize; 3],
    windows: &[Vec<Window>; 3],
    shape: &[usize],
) -> (CpuTensor, Vec<i32>) {
    let plane: usize = extent.iter().product();
    let pooled: usize = windows.iter().map(Vec::len).product();
    let count = x.len() / plane * pooled;
    let (mut values, mut positions) = (vec![T::ZERO; count], vec![0; count]);
    let pairs = halves(&windows[2]) && windows[0].iter().all(|w| w.count == 1);
    let one = |((x, values), positions): ((&[T], &mut [T]), &mut [i32])| {
        let mut rows = values
            .chunks_exact_mut(windows[2].len())
            .zip(positions.chunks_exact_mut(windows[2].len()));
        for depth in &windows[0] {
            for height in &windows[1] {
                let Some((values, positions)) = rows.next() else { return };
                let first = (depth.start * extent[1] + height.start) * extent[2];
                if pairs && height.count == 2 {
                    let second = first + height.step * extent[2];
                    quads(x, [first, second], values, positions);
                    continue;
                }
                for ((width, value), position) in windows[2].iter().zip(values).zip(positions) {
                    (*value, *position) = largest(x, extent, [*depth, *height, *width]);
                }
            }
        }
    };
    x.par_chunks_exact(plane)
        .zip(values.par_chunks_exact_mut(pooled))
        .zip(positions.par_chunks_exact_mut(pooled))
        .with_min_len(TASK.div_ceil(plane))
        .for_each(one);
    (raw_tensor(values, shape, T::DTYPE), positions)
}

/// Whether the windows are neighbouring pairs from the beginning of the axis.
fn halves(windows: &[Window]) -> bool {
    windows.iter().enumerate().all(|(i, w)| *w == Window { start: 2 * i, count: 2, step: 1 })
}

/// Whether `value` beats `best`; only NaN differs from itself.
#[inline]
#[allow(clippy::eq_op)]
fn above<T: Real>(value: T, best: T) -> bool {
    value > best || value != value
}

/// Windows of two by two elements of the rows that begin at `rows`.
fn quads<T: Real>(x: &[T], rows: [usize; 2], values: &mut [T], positions: &mut [i32]) {
    let count = 2 * values.len();
    let (upper, lower) = (&x[rows[0]..][..count], &x[rows[1]..][..count]);
    let outputs = values.iter_mut().zip(positions).enumerate();
    for ((i, (value, position)), (upper, lower)) in
        outputs.zip(upper.chunks_exact(2).zip(lower.chunks_exact(2)))
    {
        // Selects instead of branches: which element wins is anyone's guess.
        let pick = |a: (T, usize), b: (T, usize)| if above(b.0, a.0) { b } else { a };
        let at = |row: usize| rows[row] + 2 * i;
        let first = pick((upper[0], at(0)), (upper[1], at(0) + 1));
        let second = pick((lower[0], at(1)), (lower[1], at(1) + 1));
        let best = pick(first, second);
        *value = best.0;
        *position = best.1 as i32;
    }
}

fn largest<T: Real>(x: &[T], extent: [usize; 3], window: [Window; 3]) -> (T, i32) {
    let mut best = None;
    for d in window[0].positions() {
        for h in window[1].positions() {
            for w in window[2].positions() {
                let at = (d * extent[1] + h) * extent[2] + w;
                if best.is_none_or(|(value, _)| above(x[at], value)) {
                    best = Some((x[at], at as i32));
                }
            }
        }
    }
    best.unwrap_or((T::from_f64(f64::NEG_INFINITY), -1))
}

/// `out[a, b, p] = x[a, b, positions[a, p]]`, zero where the position is negative; `x` is `[.., repeat, size]`.
pub(crate) fn take<T: Real>(x: &[T], positions: &Positions, shape: &[usize]) -> CpuTensor {
    let Positions { size, count, .. } = *positions;
    let mut out = output::<T>(x.len() / size * count);
    out.room().par_chunks_exact_mut(count).with_min_len(TASK.div_ceil(count)).enumerate().for_each(
        |(row, out)| {
            let x = &x[row * size..][..size];
            for (out, &position) in zeros(out).iter_mut().zip(positions.of(row)) {
                if position >= 0 {
                    *out = x[position as usize];
                }
            }
        },
    );
    // SAFETY: each row was made zeros first.
    unsafe { out.into_tensor(Shape::from(shape), T::DTYPE) }
}

/// The transpose of [`take`]: adds each element at its position, in order.
pub(crate) fn put<T: Real>(y: &[T], positions: &Positions, shape: &[usize]) -> CpuTensor {
    let Positions { size, count, .. } = *positions;
    let mut out = output::<T>(y.len() / count * size);
    out.room().par_chunks_exact_mut(size).with_min_len(TASK.div_ceil(size)).enumerate().for_each(
        |(row, out)| {
            let out = zeros(out);
            for (&value, &position) in y[row * count..][..count].iter().zip(positions.of(row)) {
                if position >= 0 {
                    out[position as usize] += value;
                }
            }
        },
    );
    // SAFETY: each row was made zeros first.
    unsafe { out.into_tensor(Shape::from(shape), T::DTYPE) }
}

/// Positions in planes of `size` elements, `count` per plane and the same ones for `repeat` planes in a row; negative ones
/// are nowhere.
pub(crate) struct Positions {
    pub size: usize,
    pub repeat: usize,
    pub count: usize,
    pub list: Vec<i32>,
}

impl Positions {
    fn of(&self, plane: usize) -> &[i32] {
        &self.list[plane / self.repeat * self.count..][..self.count]
    }
}
