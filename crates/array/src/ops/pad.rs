//! Padding, rolling, repeating, windows, triangles: operations that lay elements out anew.

use std::ops::Range;

use crate::ops::index::positions;
use crate::ops::signed;
use crate::shape::{self, Dims};
use crate::storage::Storage;
use crate::{Array, cpu};

/// What lies beyond the edge of an array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pad {
    /// The same number everywhere.
    Constant(f64),
    /// The elements mirrored at the edge, which is not repeated: `c b | a b c | b a`.
    Reflect,
    /// The element at the edge, repeated: `a a | a b c | c c`.
    Replicate,
}

impl Array {
    /// Adds elements before and after along every axis: one pair of counts per axis.
    ///
    /// Panics if the number of pairs is not the rank, if a reflection reaches beyond the other edge, or if there is no
    /// element to replicate.
    ///
    /// ```
    /// use lisse_array::{Array, ops::Pad};
    /// let x = Array::from_slice(&[1.0f32, 2.0, 3.0], &[3]);
    /// assert_eq!(x.pad(&[(2, 1)], Pad::Reflect).to_vec::<f32>(), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn pad(&self, widths: &[(usize, usize)], mode: Pad) -> Array {
        assert!(
            widths.len() == self.rank(),
            "pad: {} pairs of widths for shape {:?}, which has {} axes",
            widths.len(),
            self.shape(),
            self.rank()
        );
        if widths.iter().all(|&w| w == (0, 0)) {
            return self.clone();
        }
        match mode {
            Pad::Constant(value) => self.pad_constant(widths, value),
            Pad::Reflect | Pad::Replicate => widths
                .iter()
                .enumerate()
                .fold(self.clone(), |x, (axis, &width)| x.pad_axis(axis, width, mode)),
        }
    }

    fn pad_constant(&self, widths: &[(usize, usize)], value: f64) -> Array {
        let from = self.shape();
        let shape: Dims =
            from.iter().zip(widths).map(|(n, (before, after))| before + n + after).collect();
        let corner: Dims = widths.iter().map(|w| w.0).collect();
        let ranges: Vec<Range<usize>> = from.iter().zip(&corner).map(|(n, c)| *c..c + n).collect();
        let value = match self.storage() {
            Storage::Cpu(t) => Array::from_cpu(cpu::place_block(t, &shape, &corner, value)),
            #[cfg(feature = "gpu")]
            Storage::Gpu(_) if value == 0.0 && self.dtype().is_float() => {
                self.stop_gradient().place_in(&shape, &ranges)
            }
            #[cfg(feature = "gpu")]
            Storage::Gpu(_) => {
                Array::from_cpu(cpu::place_block(&self.to_cpu(), &shape, &corner, value))
                    .to_device(self.device())
            }
        };
        value.derive(self, move |ct, _| ct.slice(&ranges))
    }

    #[track_caller]
    fn pad_axis(&self, axis: usize, (before, after): (usize, usize), mode: Pad) -> Array {
        if (before, after) == (0, 0) {
            return self.clone();
        }
        let n = self.shape()[axis];
        assert!(
            n > 0 && (mode != Pad::Reflect || before.max(after) < n),
            "pad: {mode:?} by ({before}, {after}) needs more elements than axis {axis} of shape {:?} has",
            self.shape()
        );
        let last = n as isize - 1;
        let source = |i: usize| {
            let i = i as isize - before as isize;
            if mode == Pad::Replicate {
                return i.clamp(0, last) as usize;
            }
            let mirrored = i.abs();
            (if mirrored > last { 2 * last - mirrored } else { mirrored }) as usize
        };
        self.take_slices(axis, &positions((0..before + n + after).map(source)))
    }

    /// Shifts elements along axes, those that leave at one end entering at the other: element `i` moves to `i + shift`.
    #[track_caller]
    pub fn roll(&self, shifts: &[isize], axes: &[isize]) -> Array {
        assert!(
            shifts.len() == axes.len(),
            "roll: {} shifts for {} axes",
            shifts.len(),
            axes.len()
        );
        axes.iter().zip(shifts).fold(self.clone(), |x, (&axis, &shift)| {
            let n = x.shape()[shape::axis("roll", axis, x.shape())];
            if n == 0 || shift.rem_euclid(n as isize) == 0 {
                return x;
            }
            let cut = n - shift.rem_euclid(n as isize) as usize;
            Array::cat(&[&x.narrow(axis, cut, n - cut), &x.narrow(axis, 0, cut)], axis)
        })
    }

    /// The whole array repeated `counts[i]` times along axis `i`; more counts than axes add leading axes.
    #[track_caller]
    pub fn repeat(&self, counts: &[usize]) -> Array {
        assert!(
            counts.len() >= self.rank(),
            "repeat: {} counts for shape {:?}, which has {} axes",
            counts.len(),
            self.shape(),
            self.rank()
        );
        let lead = counts.len() - self.rank();
        let sizes: Dims =
            std::iter::repeat_n(1, lead).chain(self.shape().iter().copied()).collect();
        let apart: Dims = sizes.iter().flat_map(|&n| [1, n]).collect();
        let copies: Dims = counts.iter().zip(&sizes).flat_map(|(&c, &n)| [c, n]).collect();
        let joint: Dims = counts.iter().zip(&sizes).map(|(c, n)| c * n).collect();
        self.reshape(&signed(&apart)).expand(&copies).reshape(&signed(&joint))
    }

    /// The lower triangle of the last two axes: elements above diagonal `k` become zero (`k = 0` is the main diagonal, larger
    /// ones lie above it).
    #[track_caller]
    pub fn tril(&self, k: isize) -> Array {
        self.triangle("tril", |i, j| j - i <= k)
    }

    /// The upper triangle of the last two axes: elements below diagonal `k` become zero.
    #[track_caller]
    pub fn triu(&self, k: isize) -> Array {
        self.triangle("triu", |i, j| j - i >= k)
    }

    #[track_caller]
    fn triangle(&self, operation: &str, keeps: impl Fn(isize, isize) -> bool) -> Array {
        assert!(self.rank() >= 2, "{operation}: shape {:?} has no two axes", self.shape());
        let [rows, columns] = [self.dim(-2), self.dim(-1)];
        let mask: Vec<bool> = (0..rows as isize)
            .flat_map(|i| (0..columns as isize).map(move |j| (i, j)))
            .map(|(i, j)| keeps(i, j))
            .collect();
        let mask = self.device().with(|| Array::from_vec(mask, &[rows, columns]));
        let zero = self.device().with(|| Array::zeros(&[], self.dtype()));
        Array::select(&mask, self, &zero)
    }

    /// Windows of `size` elements along an axis, each `step` after the last: the axis then counts the
    /// `(n - size) / step + 1` windows, and a new last axis runs within one.
    #[track_caller]
    pub fn unfold(&self, axis: isize, size: usize, step: usize) -> Array {
        let at = shape::axis("unfold", axis, self.shape());
        let n = self.shape()[at];
        assert!(
            step > 0 && size <= n,
            "unfold: windows of {size} with step {step} do not fit axis {at} of shape {:?}",
            self.shape()
        );
        let count = (n - size) / step + 1;
        let windows = (0..count).flat_map(|w| (0..size).map(move |i| w * step + i));
        let mut shape = signed(self.shape());
        shape[at] = count as isize;
        shape.insert(at + 1, size as isize);
        let mut order: Dims = (0..=self.rank()).filter(|&i| i != at + 1).collect();
        order.push(at + 1);
        self.take_slices(at, &positions(windows)).reshape(&shape).permute(&signed(&order))
    }

    /// Elements `start, start + step, ...` below `stop` along an axis. For the reverse order see [`flip`](Self::flip).
    #[track_caller]
    pub fn strided_slice(&self, axis: isize, start: usize, stop: usize, step: usize) -> Array {
        let at = shape::axis("strided_slice", axis, self.shape());
        assert!(
            step > 0 && start <= stop && stop <= self.shape()[at],
            "strided_slice: {start}..{stop} with step {step} is out of range for axis {at} of shape {:?}",
            self.shape()
        );
        if step == 1 {
            return self.narrow(axis, start, stop - start);
        }
        self.take_slices(at, &positions((start..stop).step_by(step)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, check};

    fn count_up(shape: &[usize]) -> Array {
        let count: usize = shape.iter().product();
        Array::arange(1.0, count as f64 + 1.0, 1.0, DType::F64).reshape(&signed(shape))
    }

    #[test]
    fn constants_surround_the_block() {
        let x = count_up(&[2, 2]);
        let padded = x.pad(&[(1, 0), (0, 2)], Pad::Constant(9.0));
        assert_eq!(padded.shape(), [3, 4]);
        let expected = [9., 9., 9., 9., 1., 2., 9., 9., 3., 4., 9., 9.];
        assert_eq!(padded.to_vec::<f64>(), expected);
        for dtype in [DType::F16, DType::I64, DType::U8] {
            let padded = x.cast(dtype).pad(&[(1, 0), (0, 2)], Pad::Constant(9.0));
            assert_eq!(padded.to_f64_vec(), expected, "{dtype}");
        }
    }

    #[test]
    fn constants_surround_blocks_of_any_rank() {
        let x = count_up(&[2, 3, 2, 2]);
        let padded = x.pad(&[(1, 1), (0, 0), (2, 0), (0, 0)], Pad::Constant(0.0));
        assert_eq!(padded.shape(), [4, 3, 4, 2]);
        assert_eq!(padded.slice(&[1..3, 0..3, 2..4, 0..2]).to_vec::<f64>(), x.to_vec::<f64>());
        assert_eq!(padded.sum_all().item(), x.sum_all().item());
        let column = x.t().pad(&[(0, 0), (0, 1), (0, 0), (0, 0)], Pad::Constant(0.0));
        assert_eq!(column.narrow(1, 0, 3).to_vec::<f64>(), x.t().to_vec::<f64>());
        let empty = Array::zeros(&[0, 2], DType::F32).pad(&[(1, 0), (0, 0)], Pad::Constant(1.0));
        assert_eq!(empty.to_vec::<f32>(), [1.0, 1.0]);
    }

    #[test]
    fn mirrors_and_repeated_edges() {
        let x = count_up(&[4]);
        let reflected = x.pad(&[(3, 2)], Pad::Reflect);
        assert_eq!(reflected.to_vec::<f64>(), [4., 3., 2., 1., 2., 3., 4., 3., 2.]);
        let replicated = x.pad(&[(2, 3)], Pad::Replicate);
        assert_eq!(replicated.to_vec::<f64>(), [1., 1., 1., 2., 3., 4., 4., 4., 4.]);
        let both = count_up(&[2, 2]).pad(&[(1, 0), (0, 1)], Pad::Reflect);
        assert_eq!(both.to_vec::<f64>(), [3., 4., 3., 1., 2., 1., 3., 4., 3.]);
    }

    #[test]
    fn rolling_and_repeating() {
        let x = count_up(&[2, 3]);
        assert_eq!(x.roll(&[1], &[1]).to_vec::<f64>(), [3., 1., 2., 6., 4., 5.]);
        assert_eq!(x.roll(&[-1, 3], &[1, 0]).to_vec::<f64>(), [5., 6., 4., 2., 3., 1.]);
        assert_eq!(
            count_up(&[2]).repeat(&[2, 2]).to_vec::<f64>(),
            [1., 2., 1., 2., 1., 2., 1., 2.]
        );
        assert_eq!(x.repeat(&[1, 2]).to_vec::<f64>()[..6], [1., 2., 3., 1., 2., 3.]);
    }

    #[test]
    fn triangles_keep_out_infinities() {
        let x = count_up(&[2, 3]);
        assert_eq!(x.tril(0).to_vec::<f64>(), [1., 0., 0., 4., 5., 0.]);
        assert_eq!(x.triu(1).to_vec::<f64>(), [0., 2., 3., 0., 0., 6.]);
        assert_eq!(x.tril(-1).to_vec::<f64>(), [0., 0., 0., 4., 0., 0.]);
        let infinite = x.full_like(f64::INFINITY).tril(0).to_vec::<f64>();
        assert_eq!(infinite.iter().filter(|v| **v == 0.0).count(), 3);
    }

    #[test]
    fn windows_and_strides() {
        let x = count_up(&[5]);
        assert_eq!(x.unfold(0, 3, 2).to_vec::<f64>(), [1., 2., 3., 3., 4., 5.]);
        let rows = count_up(&[3, 2]).unfold(0, 2, 1);
        assert_eq!(rows.shape(), [2, 2, 2]);
        assert_eq!(rows.to_vec::<f64>(), [1., 3., 2., 4., 3., 5., 4., 6.]);
        assert_eq!(x.strided_slice(0, 1, 5, 2).to_vec::<f64>(), [2., 4.]);
        assert_eq!(count_up(&[2, 4]).strided_slice(1, 0, 4, 3).to_vec::<f64>(), [1., 4., 5., 8.]);
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let x = count_up(&[2, 4]) * 0.3;
        let widths = [(1, 1), (2, 3)];
        for mode in [Pad::Constant(0.5), Pad::Reflect, Pad::Replicate] {
            check::gradient(|x: &Array| x.square().pad(&widths, mode).sin(), &x, 2).unwrap();
        }
        check::gradient(|x: &Array| x.square().unfold(1, 2, 1).sin(), &x, 3).unwrap();
        check::gradient(|x: &Array| x.square().strided_slice(1, 0, 4, 2).sin(), &x, 2).unwrap();
        check::gradient(|x: &Array| x.square().roll(&[1], &[1]).tril(0).sin(), &x, 2).unwrap();
        check::gradient(|x: &Array| x.square().repeat(&[2, 1, 2]).triu(1).sin(), &x, 2).unwrap();
    }

    #[test]
    #[should_panic(
        expected = "pad: Reflect by (3, 0) needs more elements than axis 0 of shape [3] has"
    )]
    fn a_mirror_reaches_to_the_other_edge() {
        count_up(&[3]).pad(&[(3, 0)], Pad::Reflect);
    }
}
