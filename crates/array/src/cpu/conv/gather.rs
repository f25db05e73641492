//! Weighted sums of shifted planes: `target[row, p] = sum_k weight[row, k] planes[offset[k] + p]`.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::real::{Shared, pieces};
use super::{Planes, Real};
use crate::cpu::{CpuTensor, Shape, output};

/// Room behind the planes, since tiles are read whole, and for a tile of results: the widest tile is 8 vectors of 64 bytes.
const SLACK: usize = 128;
/// Largest number of rows of a tile.
const ROWS: usize = 6;

/// The positions that a pass computes: for each of `rows` channels, a grid within a plane of size `extent`.
pub(super) struct Target {
    pub rows: usize,
    pub grid: [usize; 3],
    pub extent: [usize; 3],
    pub start: [usize; 3],
    pub step: [usize; 3],
}

/// A run of neighbouring results of a tile that go to neighbouring (or evenly spaced) places.
struct Segment {
    lane: usize,
    count: usize,
    target: usize,
    /// Whether a whole tile may be stored at `target`: what is written too much is overwritten by a later segment.
    spill: bool,
}

struct Tile {
    source: usize,
    segments: std::ops::Range<usize>,
}

/// One sum over taps, for all rows and groups.
pub(super) struct Pass<T> {
    offsets: Vec<usize>,
    /// Weights in the order of their use: `[group][block of rows][k][row]`.
    weights: Vec<T>,
    tiles: Vec<Tile>,
    segments: Vec<Segment>,
    target: Target,
    /// Rows per block but for the last block.
    block: usize,
    width: usize,
}

/// Rows and vectors of a tile for so many rows: twelve accumulators fill the registers.
fn tile_shape(rows: usize) -> (usize, usize) {
    match rows {
        1 => (1, 8),
        2 => (2, 4),
        3 => (3, 4),
        _ => (ROWS, 2),
    }
}

impl<T: Real> Pass<T> {
    /// `weight(group, row, k)` is the factor of tap `k`.
    pub fn new(
        planes: &Planes,
        offsets: Vec<usize>,
        target: Target,
        groups: usize,
        weight: impl Fn(usize, usize, usize) -> T,
    ) -> Self {
        let (block, vectors) = tile_shape(target.rows);
        let lanes = Arch::new().dispatch(Lanes::<T>(std::marker::PhantomData));
        let mut weights = Vec::with_capacity(groups * target.rows * offsets.len());
        for group in 0..groups {
            for first in (0..target.rows).step_by(block) {
                for k in 0..offsets.len() {
                    for row in first..(first + block).min(target.rows) {
                        weights.push(weight(group, row, k));
                    }
                }
            }
        }
        let mut pass = Pass {
            offsets,
            weights,
            tiles: Vec::new(),
            segments: Vec::new(),
            target,
            block,
            width: vectors * lanes,
        };
        pass.lay_tiles(planes);
        pass
    }

    /// Covers the grid by tiles that run on over the ends of rows, within one depth.
    fn lay_tiles(&mut self, planes: &Planes) {
        let [depth, rows, columns] = self.target.grid;
        let pitch = planes.size[2];
        let plane = self.plane();
        let dense = self.target.step == [1; 3];
        let length = (rows - 1) * pitch + columns;
        for d in 0..depth {
            let base = d * planes.size[1] * pitch;
            for first in (0..length).step_by(self.width) {
                let begin = self.segments.len();
                let end = (first + self.width).min(length);
                for row in first / pitch..=(end - 1) / pitch {
                    let from = first.max(row * pitch);
                    let to = end.min(row * pitch + columns);
                    if from >= to {
                        continue;
                    }
                    let target = self.place(d, row, from - row * pitch);
                    let spill = dense && target + self.width <= plane;
                    self.segments.push(Segment {
                        lane: from - first,
                        count: to - from,
                        target,
                        spill,
                    });
                }
                self.tiles
                    .push(Tile { source: base + first, segments: begin..self.segments.len() });
            }
        }
    }

    fn plane(&self) -> usize {
        self.target.extent.iter().product()
    }

    fn place(&self, d: usize, h: usize, w: usize) -> usize {
        let Target { extent, start, step, .. } = &self.target;
        let at = |axis: usize, i: usize| start[axis] + i * step[axis];
        (at(0, d) * extent[1] + at(1, h)) * extent[2] + at(2, w)
    }

    fn blocks(&self) -> usize {
        self.target.rows.div_ceil(self.block)
    }
}

struct Lanes<T>(std::marker::PhantomData<T>);
impl<T: Real> WithSimd for Lanes<T> {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        T::lanes::<S>()
    }
}

/// Runs passes that together write every element of the result, `[batch, groups * rows, extent]` (in the form of `shape`),
/// from a source `[batch, groups * channels, planes.extent]`.
pub(super) fn run<T: Real>(
    source: &[T],
    planes: &Planes,
    passes: &[Pass<T>],
    batch: usize,
    groups: usize,
    channels: usize,
    shape: &[usize],
) -> CpuTensor {
    let first = &passes[0];
    let (rows, plane) = (first.target.rows, first.plane());
    let image = channels * planes.extent.iter().product::<usize>();
    let mut out = output::<T>(batch * groups * rows * plane);
    let target = Shared(out.room().as_mut_ptr().cast::<T>());
    // With few images the rows are shared out too, at the price of filling the planes more than once.
    let splits = pieces(2).div_ceil(batch * groups).min(first.blocks());
    let share = first.blocks().div_ceil(splits);
    let task = |scratch: &mut Vec<T>, index: usize| {
        let (item, split) = (index / splits, index % splits);
        planes.fill(&source[item * image..][..image], channels, scratch);
        let blocks = (split * share).min(first.blocks())..((split + 1) * share).min(first.blocks());
        for pass in passes {
            // SAFETY: this is the region of one image and group, of which the task alone writes the rows of its blocks.
            let target = unsafe { target.get().add(item * rows * plane) };
            let group = item % groups;
            Arch::new().dispatch(Task {
                pass,
                group,
                blocks: blocks.clone(),
                planes: scratch,
                target,
            });
        }
    };
    let scratch = || vec![T::ZERO; channels * planes.channel() + SLACK];
    let tasks = batch * groups * splits;
    (0..tasks).into_par_iter().for_each_init(scratch, task);
    // SAFETY: the passes wrote every element.
    unsafe { out.into_tensor(Shape::from(shape), T::DTYPE) }
}

/// Some blocks of rows of one image and group.
struct Task<'a, T> {
    pass: &'a Pass<T>,
    group: usize,
    blocks: std::ops::Range<usize>,
    planes: &'a [T],
    target: *mut T,
}

impl<T: Real> WithSimd for Task<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Pass { offsets, weights, tiles, target, block, .. } = self.pass;
        let group =
            &weights[self.group * target.rows * offsets.len()..][..target.rows * offsets.len()];
        let mut results = [T::ZERO; ROWS * SLACK + SLACK];
        for tile in tiles {
            // SAFETY: a tile begins at a position of the grid, so each tap reads within the planes or the slack behind them.
            let source = unsafe { self.planes.as_ptr().add(tile.source) };
            for index in self.blocks.clone() {
                let first = index * block;
                let rows = (target.rows - first).min(*block);
                let weights = &group[first * offsets.len()..][..rows * offsets.len()];
                // SAFETY: as above; `results` has room for every tile shape.
                unsafe { sum(simd, rows, *block, weights, source, offsets, results.as_mut_ptr()) };
                self.store(tile, first, rows, &results);
            }
        }
    }
}

impl<T: Real> Task<'_, T> {
    #[inline(always)]
    fn store(&self, tile: &Tile, first: usize, rows: usize, results: &[T]) {
        let pass = self.pass;
        let (plane, step) = (pass.plane(), pass.target.step[2]);
        for row in 0..rows {
            for segment in &pass.segments[tile.segments.clone()] {
                let from = &results[row * pass.width + segment.lane..];
                // SAFETY: segments lie within the plane; spilling ones with their whole tile.
                unsafe {
                    let to = self.target.add((first + row) * plane + segment.target);
                    if segment.spill {
                        std::ptr::copy_nonoverlapping(from.as_ptr(), to, pass.width);
                    } else {
                        for (i, value) in from[..segment.count].iter().enumerate() {
                            *to.add(i * step) = *value;
                        }
                    }
                }
            }
        }
    }
}

/// Picks the tile shape at run time.
#[inline(always)]
unsafe fn sum<S: Simd, T: Real>(
    simd: S,
    rows: usize,
    block: usize,
    weights: &[T],
    source: *const T,
    offsets: &[usize],
    results: *mut T,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match (block, rows) {
            (1, _) => tile::<S, T, 1, 8>(simd, weights, source, offsets, results),
            (2, _) => tile::<S, T, 2, 4>(simd, weights, source, offsets, results),
            (3, _) => tile::<S, T, 3, 4>(simd, weights, source, offsets, results),
            (_, 1) => tile::<S, T, 1, 2>(simd, weights, source, offsets, results),
            (_, 2) => tile::<S, T, 2, 2>(simd, weights, source, offsets, results),
            (_, 3) => tile::<S, T, 3, 2>(simd, weights, source, offsets, results),
            (_, 4) => tile::<S, T, 4, 2>(simd, weights, source, offsets, results),
            (_, 5) => tile::<S, T, 5, 2>(simd, weights, source, offsets, results),
            _ => tile::<S, T, ROWS, 2>(simd, weights, source, offsets, results),
        }
    }
}

/// `R` rows of `V` vectors, summed in registers over all taps.
///
/// # Safety
/// `V` vectors can be read at `source` plus each offset, and `R V` written at `results`; there are `R` weights per offset.
#[inline(always)]
unsafe fn tile<S: Simd, T: Real, const R: usize, const V: usize>(
    simd: S,
    weights: &[T],
    source: *const T,
    offsets: &[usize],
    results: *mut T,
) {
    let mut sums = [[T::splat(simd, T::ZERO); V]; R];
    let mut weight = weights.as_ptr();
    for &offset in offsets {
        // SAFETY: the caller's promise.
        unsafe {
            let at = source.add(offset).cast::<T::Vector<S>>();
            let values: [T::Vector<S>; V] = std::array::from_fn(|v| at.add(v).read_unaligned());
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = T::splat(simd, *weight.add(r));
                for (sum, &value) in sums.iter_mut().zip(&values) {
                    *sum = T::mul_add(simd, factor, value, *sum);
                }
            }
            weight = weight.add(R);
        }
    }
    let results = results.cast::<T::Vector<S>>();
    for (r, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { results.add(r * V + v).write_unaligned(sum) };
        }
    }
}
