//! Copies to row-major order.

use std::mem::MaybeUninit;

use super::alloc::output;
use super::layout::Shape;
use super::parallel::{Shared, Work, in_blocks, in_blocks_of};
use super::store::{CHUNK, Store};
use super::tensor::{CpuTensor, dtype, shape, span, stored};
use super::walk::{Source, Walk};

/// Side of the square blocks in which axes are swapped: a cache line of 4-byte elements.
const TILE: usize = 16;
/// Side of the squares in which these follow one another.
const PATCH: usize = 64;

/// `x` in row-major order; itself if it is so already.
pub(crate) fn contiguous(x: CpuTensor) -> CpuTensor {
    if x.is_contiguous() { x } else { copied(&x) }
}

/// A row-major copy.
pub(crate) fn copied(x: &CpuTensor) -> CpuTensor {
    match dtype(x).size() {
        8 => copy::<u64>(x),
        4 => copy::<u32>(x),
        2 => copy::<u16>(x),
        _ => copy::<u8>(x),
    }
}

/// Tensors one after another along an axis; their other lengths agree.
pub(crate) fn join(parts: &[CpuTensor], axis: usize) -> CpuTensor {
    match dtype(&parts[0]).size() {
        8 => join_as::<u64>(parts, axis),
        4 => join_as::<u32>(parts, axis),
        2 => join_as::<u16>(parts, axis),
        _ => join_as::<u8>(parts, axis),
    }
}

fn join_as<S: Store<C = S>>(parts: &[CpuTensor], axis: usize) -> CpuTensor {
    let parts: Vec<CpuTensor> = parts.iter().cloned().map(contiguous).collect();
    let mut lengths = Shape::from(shape(&parts[0]));
    lengths[axis] = parts.iter().map(|part| shape(part)[axis]).sum();
    let outer: usize = lengths[..axis].iter().product();
    let inner: usize = lengths[axis + 1..].iter().product();
    let runs: Vec<(&[S], usize)> =
        parts.iter().map(|part| (span::<S>(part), shape(part)[axis] * inner)).collect();
    let mut out = output::<S>(lengths.num_elements());
    let room = Shared::new(out.room());
    let per_row = lengths[axis] * inner;
    let begins = |row: usize| {
        runs.iter().scan(row * per_row, |next, (_, run)| Some(std::mem::replace(next, *next + run)))
    };
    if outer == 1 {
        let (begins, counts): (Vec<_>, Vec<_>) =
            begins(0).zip(runs.iter().map(|run| run.1)).unzip();
        in_blocks_of(&counts, Work::Light.block(), |part, range| {
            // SAFETY: every run has its own place, and blocks of it do not overlap.
            let room = unsafe { room.part(begins[part] + range.start..begins[part] + range.end) };
            room.write_copy_of_slice(&runs[part].0[range]);
        });
    } else {
        in_blocks(outer, Work::Light.block() / per_row.max(1), |rows| {
            for row in rows {
                for (begin, &(values, run)) in begins(row).zip(&runs) {
                    // SAFETY: every run of every row has its own place.
                    let room = unsafe { room.part(begin..begin + run) };
                    room.write_copy_of_slice(&values[row * run..][..run]);
                }
            }
        });
    }
    // SAFETY: the runs fill the rows.
    unsafe { out.into_tensor(lengths, dtype(&parts[0])) }
}

fn copy<S: Store<C = S>>(x: &CpuTensor) -> CpuTensor {
    let n = x.layout().num_elements();
    let mut out = output::<S>(n);
    let walk = Walk::new(shape(x), [x.layout()]);
    match Transposition::of(&walk) {
        Some(swap) => transpose(&swap, stored::<S>(x), out.room()),
        None => gather(&walk, stored::<S>(x), out.room()),
    }
    // SAFETY: both ways write every element.
    unsafe { out.into_tensor(x.layout().shape().clone(), dtype(x)) }
}

fn gather<S: Store<C = S>>(walk: &Walk<1>, stored: &[S], room: &mut [MaybeUninit<S>]) {
    let room = Shared::new(room);
    in_blocks(walk.chunks(), Work::Light.block() / CHUNK, |range| {
        let mut source = Source::<S>::new(stored, 0);
        for chunk in range.map(|i| walk.chunk(i)) {
            // SAFETY: chunks do not overlap.
            let room = unsafe { room.part(chunk.begin..chunk.begin + chunk.size()) };
            room.write_copy_of_slice(source.fetch(walk, chunk));
        }
    });
}

/// A copy whose source is dense along `rows`, its target along `columns`; the other axes are walked one by one.
struct Transposition {
    rows: usize,
    columns: usize,
    source_row: isize,
    source_column: isize,
    target_row: usize,
    /// Length, source stride and target stride of the other axes.
    others: Vec<(usize, isize, usize)>,
    offset: usize,
}

impl Transposition {
    /// The swap of axes by which the walk's operand is best copied, if its last axis is not its densest.
    fn of(walk: &Walk<1>) -> Option<Self> {
        let mut axes: Vec<(usize, isize, usize)> = walk.axes(0).map(|(n, s)| (n, s, 0)).collect();
        let mut stride = 1;
        for axis in axes.iter_mut().rev() {
            axis.2 = stride;
            stride *= axis.0;
        }
        let (columns, source_column, _) = axes.pop()?;
        let densest = (0..axes.len())
            .filter(|&i| axes[i].1 != 0 && axes[i].1.abs() < source_column.abs())
            .min_by_key(|&i| axes[i].1.abs())?;
        let (rows, source_row, target_row) = axes.remove(densest);
        Some(Self {
            rows,
            columns,
            source_row,
            source_column,
            target_row,
            others: axes,
            offset: walk.offset(0),
        })
    }

    fn others_len(&self) -> usize {
        self.others.iter().map(|o| o.0).product()
    }

    /// Where panel `i` of the other axes begins, in the source and in the target.
    fn panel(&self, i: usize) -> (isize, usize) {
        let mut rest = i;
        let (mut source, mut target) = (self.offset as isize, 0);
        for &(n, s, t) in &self.others {
            source += (rest % n) as isize * s;
            target += (rest % n) * t;
            rest /= n;
        }
        (source, target)
    }
}

fn transpose<S: Store>(swap: &Transposition, stored: &[S], room: &mut [MaybeUninit<S>]) {
    let bands = swap.rows.div_ceil(PATCH);
    let per_band = PATCH.min(swap.rows) * swap.columns;
    let whole = Shared::new(room);
    in_blocks(swap.others_len() * bands, (Work::Light.block() / per_band.max(1)).max(1), |range| {
        for i in range {
            let panel = swap.panel(i / bands);
            let top = (i % bands) * PATCH;
            for left in (0..swap.columns).step_by(PATCH) {
                patch(swap, stored, &whole, panel, (top, left));
            }
        }
    });
}

/// One patch of a panel, tile by tile; no two patches share elements of the target.
fn patch<S: Store>(
    swap: &Transposition,
    stored: &[S],
    whole: &Shared<'_, MaybeUninit<S>>,
    (source, target): (isize, usize),
    (top, left): (usize, usize),
) {
    let (bottom, right) = ((top + PATCH).min(swap.rows), (left + PATCH).min(swap.columns));
    for row in (top..bottom).step_by(TILE) {
        for column in (left..right).step_by(TILE) {
            let from =
                source + row as isize * swap.source_row + column as isize * swap.source_column;
            let to = target + row * swap.target_row + column;
            let size = (TILE.min(bottom - row), TILE.min(right - column));
            if size == (TILE, TILE) && swap.source_row == 1 {
                tile(swap, stored, whole, from, to);
            } else {
                piece(swap, stored, whole, from, to, size);
            }
        }
    }
}

/// A part of a tile, element by element.
fn piece<S: Store>(
    swap: &Transposition,
    stored: &[S],
    whole: &Shared<'_, MaybeUninit<S>>,
    from: isize,
    to: usize,
    (height, width): (usize, usize),
) {
    for r in 0..height {
        let to = to + r * swap.target_row;
        // SAFETY: no two tiles share a part of a row of the target.
        let out = unsafe { whole.part(to..to + width) };
        let mut at = from + r as isize * swap.source_row;
        for out in out {
            out.write(stored[at as usize]);
            at += swap.source_column;
        }
    }
}

/// A whole tile, turned in a buffer between whole reads and whole writes.
#[inline]
fn tile<S: Store>(
    swap: &Transposition,
    stored: &[S],
    whole: &Shared<'_, MaybeUninit<S>>,
    from: isize,
    to: usize,
) {
    let mut turned = [[MaybeUninit::<S>::uninit(); TILE]; TILE];
    for column in 0..TILE {
        let at = (from + column as isize * swap.source_column) as usize;
        let line: &[S; TILE] =
            stored[at..].first_chunk().expect("the layout lies within its memory");
        for (row, &x) in turned.iter_mut().zip(line) {
            row[column].write(x);
        }
    }
    for (row, line) in turned.iter().enumerate() {
        let to = to + row * swap.target_row;
        // SAFETY: no two tiles share a part of a row of the target.
        unsafe { whole.part(to..to + TILE) }.copy_from_slice(line);
    }
}
