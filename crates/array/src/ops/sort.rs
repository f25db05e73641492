//! Sorting and positions of extrema.
//!
//! NaN counts as larger than every number: last in ascending order, first in descending order. The two zeros are equal.
//! The order itself is constant under differentiation: values pass their derivative through the permutation. Positions
//! are computed on the host and lie with the data.

use crate::shape::{self, Dims};
use crate::{Array, cpu};

impl Array {
    /// The elements sorted along an axis, and their positions there (i64). Stable: equal elements keep their order, also
    /// when descending. NaN counts as largest.
    ///
    /// ```
    /// use lisse_array::Array;
    /// let (values, positions) = Array::from_slice(&[3.0f32, 1.0, 2.0], &[3]).sort(0, true);
    /// assert_eq!(values.to_vec::<f32>(), [3.0, 2.0, 1.0]);
    /// assert_eq!(positions.to_vec::<i64>(), [0, 2, 1]);
    /// ```
    #[track_caller]
    pub fn sort(&self, axis: isize, descending: bool) -> (Array, Array) {
        let at = shape::axis("sort", axis, self.shape());
        self.first_in_order(at, descending, self.shape()[at])
    }

    /// Positions along an axis (i64) in which its elements are sorted; see [`sort`](Self::sort).
    #[track_caller]
    pub fn argsort(&self, axis: isize, descending: bool) -> Array {
        let at = shape::axis("argsort", axis, self.shape());
        self.order(at, descending, self.shape()[at])
    }

    /// The `k` largest (or smallest) elements along an axis, best first, and their positions (i64). Of equal elements the
    /// first counts; NaN counts as largest.
    #[track_caller]
    pub fn top_k(&self, k: usize, axis: isize, largest: bool) -> (Array, Array) {
        let at = shape::axis("top_k", axis, self.shape());
        assert!(
            k <= self.shape()[at],
            "top_k: {k} elements asked for, axis {at} of shape {:?} has {}",
            self.shape(),
            self.shape()[at]
        );
        self.first_in_order(at, largest, k)
    }

    fn first_in_order(&self, axis: usize, descending: bool, count: usize) -> (Array, Array) {
        let positions = self.order(axis, descending, count);
        (self.take_along(axis, &positions), positions)
    }

    fn order(&self, axis: usize, descending: bool, count: usize) -> Array {
        let lanes = self.stop_gradient().swap_axes(axis as isize, -1);
        Array::from_cpu(cpu::order_last(&lanes.to_cpu(), descending, count))
            .swap_axes(axis as isize, -1)
            .to_device(self.device())
    }

    fn extreme(&self, operation: &str, axis: isize, largest: bool) -> Array {
        let at = shape::axis(operation, axis, self.shape());
        assert!(
            self.shape()[at] > 0,
            "{operation}: axis {at} of shape {:?} has no elements",
            self.shape()
        );
        Array::from_cpu(cpu::arg_reduce(largest, self.to_cpu(), at)).to_device(self.device())
    }

    /// Position of the largest element along an axis (i64); the axis is dropped. The first of equal ones; a NaN wins.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Array {
        self.argmax_keep(axis).squeeze(axis)
    }

    /// The same with the axis kept at size one.
    #[track_caller]
    pub fn argmax_keep(&self, axis: isize) -> Array {
        self.extreme("argmax", axis, true)
    }

    /// Position of the smallest element along an axis (i64); the axis is dropped. The first of equal ones; a NaN wins.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Array {
        self.argmin_keep(axis).squeeze(axis)
    }

    /// The same with the axis kept at size one.
    #[track_caller]
    pub fn argmin_keep(&self, axis: isize) -> Array {
        self.extreme("argmin", axis, false)
    }

    /// The inverse of a permutation along the axis: for positions from [`argsort`](Self::argsort) the rank of each element.
    ///
    /// Panics if a position is negative or not below the size of the axis.
    #[track_caller]
    pub fn inverse_permutation(&self, axis: isize) -> Array {
        let at = shape::axis("inverse_permutation", axis, self.shape());
        let mut along = Dims::from_elem(1, self.rank());
        along[at] = self.shape()[at];
        let ranks = crate::ops::index::positions(0..self.shape()[at]).to_device(self.device());
        let ranks = ranks.reshape(&crate::ops::signed(&along)).expand(self.shape());
        self.zeros_like().scatter_add(axis, self, &ranks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, bf16, check, f16};

    #[test]
    fn sorting_is_stable_both_ways_and_puts_nan_last_or_first() {
        let x = Array::from_slice(
            &[2.0f64, f64::NAN, -0.0, 0.0, f64::INFINITY, 2.0, f64::NEG_INFINITY],
            &[7],
        );
        for x in [x.clone(), x.cast(DType::F32), x.cast(DType::F16), x.cast(DType::BF16)] {
            assert_eq!(x.argsort(0, false).to_vec::<i64>(), [6, 2, 3, 0, 5, 4, 1]);
            assert_eq!(x.argsort(0, true).to_vec::<i64>(), [1, 4, 0, 5, 2, 3, 6]);
        }
    }

    #[test]
    fn every_dtype_sorts() {
        let negative = [3i64, -1, i64::MAX, i64::MIN, 0];
        let (values, at) = Array::from_slice(&negative, &[5]).sort(0, false);
        assert_eq!(values.to_vec::<i64>(), [i64::MIN, -1, 0, 3, i64::MAX]);
        assert_eq!(at.to_vec::<i64>(), [3, 1, 4, 0, 2]);
        let (values, _) = Array::from_slice(&[5i32, i32::MIN, -7, i32::MAX], &[4]).sort(0, true);
        assert_eq!(values.to_vec::<i32>(), [i32::MAX, 5, -7, i32::MIN]);
        let (values, _) = Array::from_slice(&[9u8, 0, 255], &[3]).sort(0, false);
        assert_eq!(values.to_vec::<u8>(), [0, 9, 255]);
        let (values, _) = Array::from_slice(&[true, false], &[2]).sort(0, false);
        assert_eq!(values.to_vec::<bool>(), [false, true]);
        let half = [f16::from_f32(1.5), f16::from_f32(-2.0)];
        assert_eq!(Array::from_slice(&half, &[2]).argmin(0).to_vec::<i64>(), [1]);
        let brain = [bf16::from_f32(1.5), bf16::from_f32(2.0)];
        assert_eq!(Array::from_slice(&brain, &[2]).argmax(0).to_vec::<i64>(), [1]);
    }

    #[test]
    fn long_and_many_lanes_agree_with_the_standard_sort() {
        let count = 40_000;
        let values: Vec<f32> = (0..count).map(|i| ((i * 7919 % 1000) as f32).sin()).collect();
        for shape in [[1, count], [count / 8, 8]] {
            let n = shape[1];
            let positions = Array::from_slice(&values, &shape).argsort(1, false).to_vec::<i64>();
            for (lane, found) in values.chunks(n).zip(positions.chunks(n)) {
                let mut expected: Vec<i64> = (0..n as i64).collect();
                expected.sort_by(|&a, &b| lane[a as usize].total_cmp(&lane[b as usize]));
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn the_axis_may_be_any() {
        let x = Array::from_slice(&[3.0f32, 1.0, 2.0, 0.0, 5.0, 4.0], &[3, 2]);
        let (values, at) = x.sort(0, false);
        assert_eq!(values.to_vec::<f32>(), [2.0, 0.0, 3.0, 1.0, 5.0, 4.0]);
        assert_eq!(at.to_vec::<i64>(), [1, 1, 0, 0, 2, 2]);
        assert_eq!(x.argmax(0).to_vec::<i64>(), [2, 2]);
        assert_eq!(x.argmin_keep(0).shape(), [1, 2]);
        assert_eq!(x.argmin(-1).to_vec::<i64>(), [1, 1, 1]);
        assert_eq!(at.inverse_permutation(0).gather(0, &at).to_vec::<i64>(), [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn top_k_is_the_start_of_the_sorted_lane() {
        let x = Array::from_slice(&[1.0f64, 4.0, 4.0, -2.0, 3.0, 0.5, 9.0, 9.0], &[2, 4]);
        let (values, at) = x.top_k(2, 1, true);
        assert_eq!(values.to_vec::<f64>(), [4.0, 4.0, 9.0, 9.0]);
        assert_eq!(at.to_vec::<i64>(), [1, 2, 2, 3]);
        assert_eq!(x.top_k(1, 1, false).0.to_vec::<f64>(), [-2.0, 0.5]);
        assert_eq!(x.top_k(0, 1, false).0.shape(), [2, 0]);
    }

    #[test]
    fn a_nan_is_the_extreme() {
        let x = Array::from_slice(&[1.0f32, f32::NAN, 3.0, f32::NAN], &[4]);
        assert_eq!(x.argmax(0).item(), 1.0);
        assert_eq!(x.argmin(0).item(), 1.0);
    }

    #[test]
    fn empty_axes_sort_to_nothing() {
        let x = Array::zeros(&[2, 0], DType::F32);
        assert_eq!(x.sort(1, false).0.shape(), [2, 0]);
        assert_eq!(x.sort(0, true).1.shape(), [2, 0]);
    }

    #[test]
    fn derivatives_follow_the_elements() {
        let x = Array::from_slice(&[0.3f64, -1.2, 0.9, 2.0, 0.1, -0.4], &[2, 3]);
        check::gradient(|x: &Array| x.square().sort(1, true).0.sin(), &x, 3).unwrap();
        check::gradient(|x: &Array| x.square().top_k(2, 1, false).0.sin(), &x, 2).unwrap();
        check::gradient(|x: &Array| x.square().sort(0, false).0.sin(), &x, 2).unwrap();
    }

    #[test]
    #[should_panic(expected = "argmax: axis 1 of shape [2, 0] has no elements")]
    fn nothing_has_no_extreme() {
        Array::zeros(&[2, 0], DType::F32).argmax(1);
    }
}
