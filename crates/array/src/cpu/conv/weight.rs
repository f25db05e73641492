//! The weight's derivative: `dw[o, k] = sum_{n, p} y[n, o, p] planes[n, offset[k] + p]`.
//!
//! One operand is packed so that a vector holds several of its channels (or taps) at one position; the elements of the
//! other are read one after the other along each of a few *streams* and multiply the vector. What is packed is
//! whichever costs less. The images are cut into a number of parts that depends on the shapes alone, and the parts'
//! sums are added in order, so the result is the same for any number of threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::real::Shared;
use super::{Geometry, Planes, Real};

/// Positions that are packed at a time: a panel of them stays in the first-level cache.
const BAND: usize = 256;
/// Streams of a tile.
const STREAMS: usize = 6;
/// Vectors of a tile.
const VECTORS: usize = 2;
/// Number of tasks to aim at, whatever the number of threads.
const TASKS: usize = 16;
/// Elements that the sums of all parts may take together.
const PARTIAL: usize = 1 << 20;

/// Output positions `first..first + count`, which lie at `source..` in the planes.
struct Run {
    source: usize,
    first: usize,
    count: usize,
}

/// Which operand is packed into vectors.
#[derive(Clone, Copy, PartialEq)]
enum Packed {
    Filters,
    Taps,
}

/// What all tasks of a call share.
struct Plan<'a, T> {
    geometry: &'a Geometry,
    x: &'a [T],
    y: &'a [T],
    planes: Planes,
    /// Offsets of the taps of one channel.
    offsets: Vec<usize>,
    /// Runs in bands of about [`BAND`] positions.
    bands: Vec<Vec<Run>>,
    packed: Packed,
}

pub(super) fn run<T: Real>(x: &[T], y: &[T], geometry: &Geometry) -> Vec<T> {
    let planes = geometry.input_planes();
    let taps = geometry.channels * geometry.taps();
    let weights = geometry.filters * taps;
    let plan = Plan {
        geometry,
        x,
        y,
        offsets: geometry.input_offsets(&planes, 1),
        bands: bands(geometry, &planes),
        planes,
        packed: cheaper(geometry.filters, taps),
    };
    let parts = (PARTIAL / (geometry.groups * weights)).clamp(1, TASKS).min(geometry.batch);
    let streams = match plan.packed {
        Packed::Filters => geometry.channels,
        Packed::Taps => geometry.filters,
    };
    let splits = (TASKS / (parts * geometry.groups)).clamp(1, streams);
    let share = streams.div_ceil(splits);
    let unit = geometry.groups * weights;
    let mut sums = vec![T::ZERO; parts * unit];
    let target = Shared(sums.as_mut_ptr());
    (0..parts * geometry.groups * splits).into_par_iter().for_each(|index| {
        let (rest, split) = (index / splits, index % splits);
        let (part, group) = (rest / geometry.groups, rest % geometry.groups);
        let images = part * geometry.batch / parts..(part + 1) * geometry.batch / parts;
        let streams = (split * share).min(streams)..((split + 1) * share).min(streams);
        // SAFETY: the weights of one part and group; the task alone writes those of its streams.
        let target = unsafe { target.get().add(part * unit + group * weights) };
        if !streams.is_empty() {
            Arch::new().dispatch(Task { plan: &plan, group, images, streams, target });
        }
    });
    for part in 1..parts {
        let (total, rest) = sums.split_at_mut(unit);
        for (total, &sum) in total.iter_mut().zip(&rest[(part - 1) * unit..]) {
            *total += sum;
        }
    }
    sums.truncate(unit);
    sums
}

/// Compares the products that tiles make, in vain ones included, and the copying.
fn cheaper(filters: usize, taps: usize) -> Packed {
    const COPY: usize = 24;
    let lanes = 16;
    let cost =
        |packed: usize, streams: usize| packed.next_multiple_of(lanes) * streams + COPY * packed;
    if cost(filters, taps) <= cost(taps, filters) { Packed::Filters } else { Packed::Taps }
}

fn bands(geometry: &Geometry, planes: &Planes) -> Vec<Vec<Run>> {
    let [depth, rows, columns] = geometry.output;
    let mut bands: Vec<Vec<Run>> = Vec::new();
    let mut room = 0;
    for row in 0..depth * rows {
        let start = planes.position([0; 3], [row / rows, row % rows, 0]);
        for offset in (0..columns).step_by(BAND) {
            let count = BAND.min(columns - offset);
            let run = Run { source: start + offset, first: row * columns + offset, count };
            match bands.last_mut() {
                Some(band) if room >= count => band.push(run),
                _ => {
                    bands.push(vec![run]);
                    room = BAND;
                }
            }
            room -= count;
        }
    }
    bands
}

/// One part of the images, one group, some of the streams' channels or filters.
struct Task<'a, T> {
    plan: &'a Plan<'a, T>,
    group: usize,
    images: std::ops::Range<usize>,
    streams: std::ops::Range<usize>,
    target: *mut T,
}

impl<T: Real> WithSimd for Task<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = VECTORS * T::lanes::<S>();
        let geometry = self.plan.geometry;
        let taps = self.plan.offsets.len();
        let (channels, packed, streams) = match self.plan.packed {
            Packed::Filters => (self.streams.clone(), geometry.filters, self.streams.len() * taps),
            Packed::Taps => (0..geometry.channels, geometry.channels * taps, self.streams.len()),
        };
        let panels = packed.div_ceil(width);
        let mut planes = vec![T::ZERO; channels.len() * self.plan.planes.channel()];
        let mut panel = vec![T::ZERO; panels * width * BAND];
        let mut sums = vec![T::ZERO; panels * width * streams];
        for image in self.images.clone() {
            let x = self.x(image, &channels);
            self.plan.planes.fill(x, channels.len(), &mut planes);
            for band in &self.plan.bands {
                self.pack(band, image, &planes, width, &mut panel);
                for p in 0..panels {
                    let panel = &panel[p * width * BAND..][..width * BAND];
                    for first in (0..streams).step_by(STREAMS) {
                        let count = STREAMS.min(streams - first);
                        let sums = &mut sums[(p * streams + first) * width..][..count * width];
                        self.multiply(
                            simd,
                            band,
                            image,
                            &planes,
                            first..first + count,
                            panel,
                            sums,
                        );
                    }
                }
            }
        }
        self.store(&sums, packed, streams, width);
    }
}

impl<T: Real> Task<'_, T> {
    #[inline(always)]
    fn x(&self, image: usize, channels: &std::ops::Range<usize>) -> &[T] {
        let geometry = self.plan.geometry;
        let first = (image * geometry.groups + self.group) * geometry.channels + channels.start;
        &self.plan.x[first * geometry.input_len()..][..channels.len() * geometry.input_len()]
    }

    /// The output channel `filter` of the group in one image.
    #[inline(always)]
    fn y(&self, image: usize, filter: usize) -> &[T] {
        let geometry = self.plan.geometry;
        let at = (image * geometry.groups + self.group) * geometry.filters + filter;
        &self.plan.y[at * geometry.output_len()..][..geometry.output_len()]
    }

    /// Where tap `k` (of all channels in the planes) begins.
    #[inline(always)]
    fn offset(&self, k: usize) -> usize {
        let taps = self.plan.offsets.len();
        k / taps * self.plan.planes.channel() + self.plan.offsets[k % taps]
    }

    #[inline(always)]
    fn pack(&self, band: &[Run], image: usize, planes: &[T], width: usize, panel: &mut [T]) {
        let geometry = self.plan.geometry;
        let count = match self.plan.packed {
            Packed::Filters => geometry.filters,
            Packed::Taps => geometry.channels * self.plan.offsets.len(),
        };
        for item in 0..count {
            let to = &mut panel[item / width * width * BAND + item % width..];
            let mut at = 0;
            for run in band {
                let from = match self.plan.packed {
                    Packed::Filters => &self.y(image, item)[run.first..][..run.count],
                    Packed::Taps => &planes[self.offset(item) + run.source..][..run.count],
                };
                for (to, &from) in to[at * width..].iter_mut().step_by(width).zip(from) {
                    *to = from;
                }
                at += run.count;
            }
        }
    }

    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "the innermost level of a loop nest")]
    fn multiply<S: Simd>(
        &self,
        simd: S,
        band: &[Run],
        image: usize,
        planes: &[T],
        streams: std::ops::Range<usize>,
        panel: &[T],
        sums: &mut [T],
    ) {
        let mut starts = [std::ptr::null::<T>(); STREAMS];
        for (start, stream) in starts.iter_mut().zip(streams.clone()) {
            *start = match self.plan.packed {
                Packed::Filters => planes[self.offset(stream)..].as_ptr(),
                Packed::Taps => self.y(image, self.streams.start + stream).as_ptr(),
            };
        }
        // In the result every position of the output follows the last one.
        let whole = [Run {
            source: band[0].first,
            first: band[0].first,
            count: band.iter().map(|run| run.count).sum(),
        }];
        let runs = if self.plan.packed == Packed::Filters { band } else { &whole };
        let (panel, sums) = (panel.as_ptr(), sums.as_mut_ptr());
        // SAFETY: each stream begins at its tap or filter and the runs lie within its plane; the panel holds the band's
        // positions and `sums` one row of vectors per stream.
        unsafe {
            match streams.len() {
                1 => outer::<S, T, 1>(simd, &starts, runs, panel, sums),
                2 => outer::<S, T, 2>(simd, &starts, runs, panel, sums),
                3 => outer::<S, T, 3>(simd, &starts, runs, panel, sums),
                4 => outer::<S, T, 4>(simd, &starts, runs, panel, sums),
                5 => outer::<S, T, 5>(simd, &starts, runs, panel, sums),
                _ => outer::<S, T, STREAMS>(simd, &starts, runs, panel, sums),
            }
        }
    }

    /// From `[panel][stream][lane]` to the weight's order.
    #[inline(always)]
    fn store(&self, sums: &[T], packed: usize, streams: usize, width: usize) {
        let geometry = self.plan.geometry;
        let taps = geometry.channels * self.plan.offsets.len();
        for item in 0..packed {
            for stream in 0..streams {
                let sum = sums[(item / width * streams + stream) * width + item % width];
                let at = match self.plan.packed {
                    Packed::Filters => {
                        item * taps + self.streams.start * self.plan.offsets.len() + stream
                    }
                    Packed::Taps => (self.streams.start + stream) * taps + item,
                };
                // SAFETY: within the group's weights, at filters and taps of this task's streams.
                unsafe { *self.target.add(at) = sum };
            }
        }
    }
}

/// Adds to `R` rows of sums the products of each stream's elements with the panel's vectors.
///
/// # Safety
/// All runs can be read from each of the first `R` streams, as many positions from `panel`, and `sums` holds `R` rows.
#[inline(always)]
unsafe fn outer<S: Simd, T: Real, const R: usize>(
    simd: S,
    streams: &[*const T; STREAMS],
    runs: &[Run],
    panel: *const T,
    sums: *mut T,
) {
    let rows = sums.cast::<T::Vector<S>>();
    let mut vectors = panel.cast::<T::Vector<S>>();
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums: [[T::Vector<S>; VECTORS]; R] = std::array::from_fn(|r| {
            std::array::from_fn(|v| rows.add(r * VECTORS + v).read_unaligned())
        });
        for run in runs {
            let at: [*const T; R] = std::array::from_fn(|r| streams[r].add(run.source));
            for i in 0..run.count {
                let values: [T::Vector<S>; VECTORS] =
                    std::array::from_fn(|v| vectors.add(v).read_unaligned());
                for (sums, at) in sums.iter_mut().zip(&at) {
                    let factor = T::splat(simd, *at.add(i));
                    for (sum, &value) in sums.iter_mut().zip(&values) {
                        *sum = T::mul_add(simd, factor, value, *sum);
                    }
                }
                vectors = vectors.add(VECTORS);
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                rows.add(r * VECTORS + v).write_unaligned(sum);
            }
        }
    }
}
