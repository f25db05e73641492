//! Reductions over axes. The order in which elements are combined depends on the shape alone, never on the number of
//! threads, and is pairwise beyond a few thousand elements, so that rounding errors grow with the logarithm of the
//! count.

use std::mem::MaybeUninit;

use super::alloc::output;
use super::cast::cast;
use super::copy::contiguous;
use super::integers::Integer;
use super::layout::{Layout, Shape};
use super::math::Real;
use super::parallel::{Shared, Work, in_blocks};
use super::simd::{Isa, per_isa};
use super::store::Store;
use super::tensor::{CpuTensor, dtype, gapless, shape, span};
use crate::DType;

/// What a reduction makes of many elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduce {
    Sum,
    Prod,
    /// NaN if any is.
    Max,
    /// NaN if any is.
    Min,
}

/// Elements of a row that are combined without a break.
const PIECE: usize = 8192;
/// Rows that are added one after another where a leading axis is reduced.
const RUN: usize = 32;
/// Columns treated at once there.
const STRIP: usize = 256;
/// Independent accumulators along a row.
const LANES: usize = 32;
/// Elements of a row after which these are set aside and started anew.
const SPAN: usize = 16 * LANES;
/// Rows read in turn, span by span: several streams from memory are faster than one.
const STREAMS: usize = 4;

/// `op` over `axes` (ascending), which stay with length 1. Integers keep their dtype and wrap around.
pub(crate) fn reduce(op: Reduce, x: CpuTensor, axes: &[usize]) -> CpuTensor {
    let dtype = dtype(&x);
    match dtype {
        DType::F64 => reduce_floats::<f64>(op, x, axes),
        DType::F32 => reduce_floats::<f32>(op, x, axes),
        DType::F16 | DType::BF16 => {
            cast(reduce_floats::<f32>(op, cast(x, DType::F32), axes), dtype)
        }
        DType::I64 => reduce_integers::<i64>(op, x, axes),
        DType::I32 => reduce_integers::<i32>(op, x, axes),
        DType::U8 | DType::Bool => reduce_integers::<u8>(op, x, axes),
    }
}

/// An associative operation, up to rounding.
pub(crate) trait Fold<T>: 'static {
    fn start() -> T;
    fn join(a: T, b: T) -> T;
}

pub(crate) struct Sum;
struct Prod;
pub(crate) struct Max;
struct Min;

macro_rules! folds {
    ($($name:ident: $start:expr, ($a:ident, $b:ident) $join:expr;)*) => {$(
        impl<T: Real> Fold<T> for $name {
            #[inline(always)]
            fn start() -> T {
                $start
            }
            #[inline(always)]
            fn join($a: T, $b: T) -> T {
                $join
            }
        }
    )*};
}
folds! {
    Sum: T::ZERO, (a, b) a + b;
    Prod: T::ONE, (a, b) a * b;
    Max: -T::INFINITY, (a, b) b.larger(a);
    Min: T::INFINITY, (a, b) b.smaller(a);
}

/// The same on integers.
struct Whole<F>(F);

macro_rules! integer_folds {
    ($($name:ident: $start:expr, ($a:ident, $b:ident) $join:expr;)*) => {$(
        impl<T: Integer> Fold<T> for Whole<$name> {
            #[inline(always)]
            fn start() -> T {
                $start
            }
            #[inline(always)]
            fn join($a: T, $b: T) -> T {
                $join
            }
        }
    )*};
}
integer_folds! {
    Sum: T::ZERO, (a, b) a.plus(b);
    Prod: T::ONE, (a, b) a.times(b);
    Max: T::LEAST, (a, b) a.max(b);
    Min: T::GREATEST, (a, b) a.min(b);
}

fn reduce_floats<T: Real + Store>(op: Reduce, x: CpuTensor, axes: &[usize]) -> CpuTensor {
    match op {
        Reduce::Sum => fold_axes::<T, Sum>(x, axes),
        Reduce::Prod => fold_axes::<T, Prod>(x, axes),
        Reduce::Max => fold_axes::<T, Max>(x, axes),
        Reduce::Min => fold_axes::<T, Min>(x, axes),
    }
}

fn reduce_integers<T: Integer + Store>(op: Reduce, x: CpuTensor, axes: &[usize]) -> CpuTensor {
    match op {
        Reduce::Sum => fold_axes::<T, Whole<Sum>>(x, axes),
        Reduce::Prod => fold_axes::<T, Whole<Prod>>(x, axes),
        Reduce::Max => fold_axes::<T, Whole<Max>>(x, axes),
        Reduce::Min => fold_axes::<T, Whole<Min>>(x, axes),
    }
}

/// A stretch of neighbouring axes in memory that are all reduced or all kept.
#[derive(Clone, Copy)]
struct Group {
    len: usize,
    reduced: bool,
}

fn fold_axes<T: Store, F: Fold<T>>(x: CpuTensor, axes: &[usize]) -> CpuTensor {
    // Any gapless order of axes is reduced in the order of memory; the result keeps that order.
    let x = if gapless(x.layout()) { x } else { contiguous(x) };
    let lengths = shape(&x);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&axis| std::cmp::Reverse(x.layout().strides()[axis]));
    if x.is_contiguous() {
        order.sort_unstable();
    }
    let kept = |axis: usize| if axes.contains(&axis) { 1 } else { lengths[axis] };
    let result: Shape = (0..lengths.len()).map(kept).collect::<Vec<_>>().into();
    let mut strides = vec![1; lengths.len()];
    let mut stride = 1;
    for &axis in order.iter().rev() {
        strides[axis] = stride as isize;
        stride *= kept(axis).max(1);
    }
    let groups = group(order.iter().map(|&axis| (lengths[axis], axes.contains(&axis))));

    let mut out = output::<T>(result.num_elements());
    fold_groups::<T, F>(span(&x), groups, out.room());
    // SAFETY: `fold_groups` writes every element.
    unsafe { out.into_tensor_with(Layout::new(result, strides, 0), dtype(&x)) }
}

/// Merges neighbouring axes of one kind; axes of length 1 belong to any.
fn group(axes: impl Iterator<Item = (usize, bool)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (len, reduced) in axes.filter(|&(len, _)| len != 1) {
        match groups.last_mut() {
            Some(last) if last.reduced == reduced => last.len *= len,
            _ => groups.push(Group { len, reduced }),
        }
    }
    groups
}

/// Reduces the last reduced group, and the result again while there are others.
fn fold_groups<T: Store, F: Fold<T>>(x: &[T], mut groups: Vec<Group>, out: &mut [MaybeUninit<T>]) {
    let Some(last) = groups.iter().rposition(|g| g.reduced) else {
        out.write_copy_of_slice(x);
        return;
    };
    let outer = groups[..last].iter().map(|g| g.len).product();
    let inner = groups[last + 1..].iter().map(|g| g.len).product();
    let len = groups.remove(last).len;
    if !groups.iter().any(|g| g.reduced) {
        return fold::<T, F>(x, [outer, len, inner], out);
    }
    let mut between = output::<T>(outer * inner);
    fold::<T, F>(x, [outer, len, inner], between.room());
    // SAFETY: `fold` has written every element.
    fold_groups::<T, F>(unsafe { between.room().assume_init_ref() }, groups, out);
}

/// Reduces the middle axis of `[outer, len, inner]`.
fn fold<T: Store, F: Fold<T>>(
    x: &[T],
    [outer, len, inner]: [usize; 3],
    out: &mut [MaybeUninit<T>],
) {
    if len == 0 || out.is_empty() {
        out.fill(MaybeUninit::new(F::start()));
        return;
    }
    // Long axes in pieces, whose results are reduced in turn.
    let piece = if inner == 1 { PIECE } else { (Work::Light.block() / inner).max(RUN) };
    let pieces = len.div_ceil(piece);
    if pieces > 1 {
        let mut between = output::<T>(outer * pieces * inner);
        fold_pieces::<T, F>(x, [outer, len, inner], piece, between.room());
        // SAFETY: every piece has been written.
        return fold::<T, F>(
            unsafe { between.room().assume_init_ref() },
            [outer, pieces, inner],
            out,
        );
    }
    fold_pieces::<T, F>(x, [outer, len, inner], len, out);
}

/// Reduces each `piece` of the middle axis.
fn fold_pieces<T: Store, F: Fold<T>>(
    x: &[T],
    [outer, len, inner]: [usize; 3],
    piece: usize,
    out: &mut [MaybeUninit<T>],
) {
    let pieces = len.div_ceil(piece);
    let out = Shared::new(out);
    let tasks = outer * pieces;
    let strips = inner.div_ceil(STRIP);
    let per_task = piece.min(len) * inner / strips;
    in_blocks(tasks * strips, (Work::Light.block() / per_task.max(1)).max(1), |range| {
        if inner == 1 {
            // SAFETY: blocks do not overlap.
            let out = unsafe { out.part(range.clone()) };
            return fold_rows::<T, F>(x, len, piece, range.start, out);
        }
        for i in range {
            let (task, strip) = (i / strips, i % strips);
            let (row, part) = (task / pieces, task % pieces);
            let columns = strip * STRIP..((strip + 1) * STRIP).min(inner);
            let begin = (row * len + part * piece) * inner + columns.start;
            // SAFETY: strips do not overlap.
            let out = unsafe { out.part(task * inner + columns.start..task * inner + columns.end) };
            let mut sums = [F::start(); STRIP];
            let sums = &mut sums[..columns.len()];
            fold_columns::<T, F>(&x[begin..], inner, piece.min(len - part * piece), sums);
            out.write_copy_of_slice(sums);
        }
    });
}

per_isa! {
    /// Reduces pieces `first..` of rows of `len` elements.
    fn fold_rows<T: Store, F: Fold<T>>(x: &[T], len: usize, piece: usize, first: usize, out: &mut [MaybeUninit<T>]) = fold_rows_body
}

#[inline(always)]
fn fold_rows_body<I: Isa, T: Store, F: Fold<T>>(
    x: &[T],
    len: usize,
    piece: usize,
    first: usize,
    out: &mut [MaybeUninit<T>],
) {
    let pieces = len.div_ceil(piece);
    let row = |i: usize| {
        let (row, part) = ((first + i) / pieces, (first + i) % pieces);
        let begin = row * len + part * piece;
        &x[begin..(begin + piece).min((row + 1) * len)]
    };
    // The streams are as far apart as they can be, each over its own run of rows.
    let stride = out.len() / STREAMS;
    for i in 0..stride {
        let rows: [&[T]; STREAMS] = std::array::from_fn(|k| row(i + k * stride));
        for (k, total) in fold_streams::<T, F>(rows).into_iter().enumerate() {
            out[i + k * stride].write(total);
        }
    }
    for (i, out) in out.iter_mut().enumerate().skip(stride * STREAMS) {
        out.write(fold_row::<T, F>(row(i)));
    }
}

/// [`fold_row`] of several rows.
#[inline(always)]
fn fold_streams<T: Copy, F: Fold<T>>(rows: [&[T]; STREAMS]) -> [T; STREAMS] {
    let len = rows[0].len();
    if len < SPAN || rows.iter().any(|row| row.len() != len) {
        return rows.map(fold_row::<T, F>);
    }
    let parts = rows.map(|row| row.as_chunks::<SPAN>());
    let mut lanes = parts.map(|(_, rest)| fold_lanes::<T, F>(rest));
    for i in 0..len / SPAN {
        for (lanes, (spans, _)) in lanes.iter_mut().zip(&parts) {
            join_lanes::<T, F>(lanes, fold_lanes::<T, F>(&spans[i]));
        }
    }
    lanes.map(fold_tree::<T, F>)
}

/// Combines the elements of a row in [`LANES`] interleaved parts, and those in a tree.
#[inline(always)]
pub(crate) fn fold_row<T: Copy, F: Fold<T>>(row: &[T]) -> T {
    if row.len() < LANES {
        return row.iter().fold(F::start(), |a, &b| F::join(a, b));
    }
    let (spans, rest) = row.as_chunks::<SPAN>();
    let mut lanes = fold_lanes::<T, F>(rest);
    for span in spans {
        join_lanes::<T, F>(&mut lanes, fold_lanes::<T, F>(span));
    }
    fold_tree::<T, F>(lanes)
}

#[inline(always)]
fn join_lanes<T: Copy, F: Fold<T>>(lanes: &mut [T; LANES], others: [T; LANES]) {
    for (lane, other) in lanes.iter_mut().zip(others) {
        *lane = F::join(*lane, other);
    }
}

#[inline(always)]
fn fold_tree<T: Copy, F: Fold<T>>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] = F::join(lanes[i], lanes[i + width]);
        }
    }
    lanes[0]
}

/// Lane i combines elements i, i + LANES, ...
#[inline(always)]
fn fold_lanes<T: Copy, F: Fold<T>>(row: &[T]) -> [T; LANES] {
    let mut lanes = [F::start(); LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for i in 0..LANES {
            lanes[i] = F::join(lanes[i], chunk[i]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = F::join(*lane, x);
    }
    lanes
}

/// Combines `rows` rows, `stride` apart, into `sums`, which hold the start values: in halves down to [`RUN`] rows.
fn fold_columns<T: Store, F: Fold<T>>(x: &[T], stride: usize, rows: usize, sums: &mut [T]) {
    if rows <= RUN {
        return fold_run::<T, F>(x, stride, rows, sums);
    }
    let half = rows.div_ceil(2 * RUN) * RUN;
    fold_columns::<T, F>(x, stride, half, sums);
    let mut others = [F::start(); STRIP];
    let others = &mut others[..sums.len()];
    fold_columns::<T, F>(&x[half * stride..], stride, rows - half, others);
    for (sum, &other) in sums.iter_mut().zip(others.iter()) {
        *sum = F::join(*sum, other);
    }
}

per_isa! {
    fn fold_run<T: Store, F: Fold<T>>(x: &[T], stride: usize, rows: usize, sums: &mut [T]) = fold_run_body
}

#[inline(always)]
fn fold_run_body<I: Isa, T: Store, F: Fold<T>>(
    x: &[T],
    stride: usize,
    rows: usize,
    sums: &mut [T],
) {
    for row in 0..rows {
        let row = &x[row * stride..row * stride + sums.len()];
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum = F::join(*sum, x);
        }
    }
}

/// Where the largest (`max`) or smallest element along `axis` stands, as i64; the axis stays with length 1. The first
/// of equals; NaN beats all numbers.
pub(crate) fn arg_reduce(max: bool, x: CpuTensor, axis: usize) -> CpuTensor {
    let lengths = shape(&x);
    assert!(
        lengths[axis] > 0,
        "arg{}: axis {axis} of {lengths:?} is empty",
        if max { "max" } else { "min" }
    );
    match dtype(&x) {
        DType::F64 => arg_along::<f64>(max, x, axis),
        DType::F32 => arg_along::<f32>(max, x, axis),
        DType::F16 | DType::BF16 => arg_along::<f32>(max, cast(x, DType::F32), axis),
        DType::I64 => arg_along::<i64>(max, x, axis),
        DType::I32 => arg_along::<i32>(max, x, axis),
        DType::U8 | DType::Bool => arg_along::<u8>(max, x, axis),
    }
}

fn arg_along<T: Store<C = T>>(max: bool, x: CpuTensor, axis: usize) -> CpuTensor {
    let x = contiguous(x);
    let mut result = shape(&x).to_vec();
    let len = std::mem::replace(&mut result[axis], 1);
    let inner: usize = result[axis + 1..].iter().product();
    let outer: usize = result[..axis].iter().product();
    let values = span::<T>(&x);
    let mut out = output::<i64>(outer * inner);
    let room = Shared::new(out.room());
    let strips = inner.div_ceil(STRIP);
    in_blocks(
        outer * strips,
        (Work::Heavy.block() / (len * inner.min(STRIP)).max(1)).max(1),
        |range| {
            for i in range {
                let (row, strip) = (i / strips, i % strips);
                let columns = strip * STRIP..((strip + 1) * STRIP).min(inner);
                let begin = row * len * inner + columns.start;
                // SAFETY: strips do not overlap.
                let out =
                    unsafe { room.part(row * inner + columns.start..row * inner + columns.end) };
                if max {
                    arg_columns::<T, Larger>(&values[begin..], inner, len, out);
                } else {
                    arg_columns::<T, Smaller>(&values[begin..], inner, len, out);
                }
            }
        },
    );
    // SAFETY: the strips cover all of it.
    unsafe { out.into_tensor(result.into(), DType::I64) }
}

/// Which of two elements wins.
trait Order<T>: 'static {
    fn beats(a: T, b: T) -> bool;
}
struct Larger;
struct Smaller;

impl<T: PartialOrd + Copy> Order<T> for Larger {
    #[inline(always)]
    #[allow(clippy::eq_op)]
    fn beats(a: T, b: T) -> bool {
        a > b || (a != a && b == b)
    }
}
impl<T: PartialOrd + Copy> Order<T> for Smaller {
    #[inline(always)]
    #[allow(clippy::eq_op)]
    fn beats(a: T, b: T) -> bool {
        a < b || (a != a && b == b)
    }
}

per_isa! {
    fn arg_columns<T: Store, O: Order<T>>(x: &[T], stride: usize, rows: usize, out: &mut [MaybeUninit<i64>]) = arg_columns_body
}

#[inline(always)]
fn arg_columns_body<I: Isa, T: Store, O: Order<T>>(
    x: &[T],
    stride: usize,
    rows: usize,
    out: &mut [MaybeUninit<i64>],
) {
    if stride == 1 {
        out[0].write(arg_row::<T, O>(&x[..rows]));
        return;
    }
    let width = out.len();
    let mut best: [T; STRIP] = [bytemuck::Zeroable::zeroed(); STRIP];
    let mut at = [0i64; STRIP];
    best[..width].copy_from_slice(&x[..width]);
    for row in 1..rows {
        let values = &x[row * stride..row * stride + width];
        for ((&x, best), at) in values.iter().zip(&mut best).zip(&mut at) {
            let wins = O::beats(x, *best);
            *best = if wins { x } else { *best };
            *at = if wins { row as i64 } else { *at };
        }
    }
    out.write_copy_of_slice(&at[..width]);
}

/// The best of each lane, then the first element that equals the best of those.
#[inline(always)]
fn arg_row<T: Store, O: Order<T>>(row: &[T]) -> i64 {
    let mut best = row[0];
    let (whole, rest) = row.as_chunks::<LANES>();
    if let Some(first) = whole.first() {
        let mut lanes = *first;
        for chunk in whole {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane = if O::beats(x, *lane) { x } else { *lane };
            }
        }
        best = lanes.into_iter().fold(best, |a, b| if O::beats(b, a) { b } else { a });
    }
    best = rest.iter().fold(best, |a, &b| if O::beats(b, a) { b } else { a });
    // Nothing beats the best; it alone is not beaten by it, NaN included.
    row.iter().position(|&x| !O::beats(best, x)).expect("the best is in the row") as i64
}
