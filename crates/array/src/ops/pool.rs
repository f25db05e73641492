//! Pooling over one to three spatial axes.

use std::sync::Arc;

use crate::Array;
use crate::cpu::{self, Positions, Real, Resampler, Window};
use crate::ops::resample::{AxisMap, check_images, real_kernel};
use crate::shape::Dims;
use crate::storage::elements;

/// Windows that move over an input: one entry per spatial axis (1 to 3).
///
/// ```
/// use lisse_array::ops::Pool;
/// let pool = Pool::new(&[3, 3]).stride(2).padding(1);
/// assert_eq!(pool.kernel, [3, 3]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Pool {
    /// Elements of a window.
    pub kernel: Vec<usize>,
    /// Step between neighbouring windows, at least 1.
    pub stride: Vec<usize>,
    /// Room before and after each axis, at most half the kernel.
    pub padding: Vec<usize>,
    /// Distance between neighbouring elements of a window, at least 1; averages need 1.
    pub dilation: Vec<usize>,
    /// Whether a last window that hangs over the end counts.
    pub ceil: bool,
}

impl Pool {
    /// Windows side by side: the stride equals the kernel.
    pub fn new(kernel: &[usize]) -> Pool {
        Pool {
            kernel: kernel.to_vec(),
            stride: kernel.to_vec(),
            padding: vec![0; kernel.len()],
            dilation: vec![1; kernel.len()],
            ceil: false,
        }
    }

    /// Sets the step along every axis.
    pub fn stride(mut self, stride: usize) -> Pool {
        self.stride.fill(stride);
        self
    }

    /// Sets the room at both ends of every axis.
    pub fn padding(mut self, padding: usize) -> Pool {
        self.padding.fill(padding);
        self
    }

    /// Sets the distance of a window's elements along every axis.
    pub fn dilation(mut self, dilation: usize) -> Pool {
        self.dilation.fill(dilation);
        self
    }

    /// Sets whether a last window that hangs over the end counts.
    pub fn ceil(mut self, ceil: bool) -> Pool {
        self.ceil = ceil;
        self
    }

    #[track_caller]
    fn check(&self, operation: &str, x: &Array) {
        check_images(operation, x, self.kernel.len());
        let shape = x.shape();
        let axes = self.kernel.len();
        let fits =
            [&self.stride, &self.padding, &self.dilation].iter().all(|list| list.len() == axes)
                && self.kernel.iter().chain(&self.stride).chain(&self.dilation).all(|&v| v > 0)
                && (0..axes).all(|i| 2 * self.padding[i] <= self.kernel[i]);
        assert!(
            fits,
            "{operation}: each list needs {axes} entries, at least 1 but for the padding, which is at most half the kernel: \
             input {shape:?}, {self:?}"
        );
        for i in 0..axes {
            let (reach, padded) = (self.reach(i), shape[i + 2] + 2 * self.padding[i]);
            assert!(
                reach <= padded && shape[i + 2] > 0,
                "{operation}: the window reaches over {reach} elements, more than the padded axis {} of {padded}: \
                 input {shape:?}, {self:?}",
                i + 2
            );
        }
    }

    fn reach(&self, axis: usize) -> usize {
        self.dilation[axis] * (self.kernel[axis] - 1) + 1
    }

    /// Number of windows along an axis of `size` elements.
    fn count(&self, axis: usize, size: usize) -> usize {
        let (stride, padding) = (self.stride[axis], self.padding[axis]);
        let free = size + 2 * padding - self.reach(axis);
        if !self.ceil {
            return free / stride + 1;
        }
        let count = free.div_ceil(stride) + 1;
        // A window must begin within the input or the room before it.
        if (count - 1) * stride >= size + padding { count - 1 } else { count }
    }

    /// The windows along an axis, without what hangs over the ends.
    fn windows(&self, axis: usize, size: usize) -> Vec<Window> {
        let (padding, step) = (self.padding[axis], self.dilation[axis]);
        (0..self.count(axis, size))
            .map(|i| {
                let begin = i * self.stride[axis];
                let skipped = padding.saturating_sub(begin).div_ceil(step);
                let start = begin + skipped * step - padding;
                let count =
                    size.saturating_sub(start).div_ceil(step).min(self.kernel[axis] - skipped);
                Window { start, count, step }
            })
            .collect()
    }

    /// The average over each window of an axis as a matrix.
    fn averages(&self, axis: usize, size: usize, count_padding: bool) -> Resampler {
        let windows = self.windows(axis, size);
        let rows = windows.into_iter().enumerate().map(|(i, window)| {
            let begin = i * self.stride[axis];
            let end = (begin + self.kernel[axis]).min(size + 2 * self.padding[axis]);
            average(window, if count_padding { end - begin } else { window.count })
        });
        Resampler::new(size, rows)
    }
}

fn average(window: Window, divisor: usize) -> Vec<(usize, f64)> {
    (window.start..window.start + window.count).map(|i| (i, 1.0 / divisor as f64)).collect()
}

/// `count` windows that cover an axis evenly: from `floor(i size / count)` to `ceil((i + 1) size / count)`.
fn even_windows(size: usize, count: usize) -> Vec<Window> {
    (0..count)
        .map(|i| {
            let start = i * size / count;
            Window { start, count: ((i + 1) * size).div_ceil(count) - start, step: 1 }
        })
        .collect()
}

fn max_kernel<T: Real>(
    x: &Array,
    windows: &[Vec<Window>],
    shape: &[usize],
    list: &mut Vec<i32>,
) -> Array {
    let mut extent = [1; 3];
    let mut lifted: [Vec<Window>; 3] =
        std::array::from_fn(|_| vec![Window { start: 0, count: 1, step: 1 }]);
    let lead = 3 - windows.len();
    for (i, windows) in windows.iter().enumerate() {
        extent[lead + i] = x.shape()[i + 2];
        lifted[lead + i].clone_from(windows);
    }
    let (values, positions) = cpu::max_pool(elements::<T>(&x.to_cpu()), extent, &lifted, shape);
    *list = positions;
    Array::from_cpu(values).to_device(x.device())
}

impl Array {
    /// Largest element of each window, of `[batch, channels, spatial..]`. Ties go to the first element, which alone gets the
    /// derivative; NaN wins. What lies outside the input never does. Computed on the host.
    ///
    /// ```
    /// use lisse_array::{Array, DType, ops::Pool};
    /// let x = Array::ones(&[8, 3, 28, 28], DType::F32);
    /// assert_eq!(x.max_pool(&Pool::new(&[2, 2])).shape(), [8, 3, 14, 14]);
    /// ```
    #[track_caller]
    pub fn max_pool(&self, pool: &Pool) -> Array {
        pool.check("max_pool", self);
        let windows =
            (0..pool.kernel.len()).map(|i| pool.windows(i, self.shape()[i + 2])).collect();
        self.max_windows(windows)
    }

    /// Largest element of `sizes[i]` windows that cover each spatial axis evenly. Computed on the host.
    #[track_caller]
    pub fn adaptive_max_pool(&self, sizes: &[usize]) -> Array {
        self.check_adaptive("adaptive_max_pool", sizes);
        self.max_windows(
            sizes.iter().enumerate().map(|(i, &n)| even_windows(self.shape()[i + 2], n)).collect(),
        )
    }

    fn max_windows(&self, windows: Vec<Vec<Window>>) -> Array {
        let mut shape = Dims::from(&self.shape()[..2]);
        shape.extend(windows.iter().map(Vec::len));
        if self.is_empty() {
            return self.device().with(|| Array::zeros(&shape, self.dtype()));
        }
        let mut list = Vec::new();
        let value = real_kernel!(self, max_kernel(&windows, &shape, &mut list));
        if !self.is_tracked() {
            return value;
        }
        let positions = Positions {
            size: self.shape()[2..].iter().product(),
            repeat: 1,
            count: shape[2..].iter().product(),
            list,
        };
        let (positions, from) = (Arc::new(positions), Dims::from(self.shape()));
        value.derive(self, move |ct, _| ct.put_at(&positions, &from))
    }

    /// Mean of each window, of `[batch, channels, spatial..]`. With `count_padding` the room around the input counts as
    /// zeros; without, a window's mean is over its elements in the input. Computed on the host.
    #[track_caller]
    pub fn avg_pool(&self, pool: &Pool, count_padding: bool) -> Array {
        pool.check("avg_pool", self);
        assert!(
            pool.dilation.iter().all(|&d| d == 1),
            "avg_pool: windows must have dilation 1: input {:?}, {pool:?}",
            self.shape()
        );
        let maps =
            (0..pool.kernel.len()).map(|i| pool.averages(i, self.shape()[i + 2], count_padding));
        self.along_axes(maps.collect())
    }

    /// Mean of `sizes[i]` windows that cover each spatial axis evenly; `&[1, 1]` is the mean over all of it. Computed on the
    /// host.
    #[track_caller]
    pub fn adaptive_avg_pool(&self, sizes: &[usize]) -> Array {
        self.check_adaptive("adaptive_avg_pool", sizes);
        let maps = sizes.iter().enumerate().map(|(i, &count)| {
            let size = self.shape()[i + 2];
            Resampler::new(size, even_windows(size, count).into_iter().map(|w| average(w, w.count)))
        });
        self.along_axes(maps.collect())
    }

    #[track_caller]
    fn check_adaptive(&self, operation: &str, sizes: &[usize]) {
        check_images(operation, self, sizes.len());
        assert!(
            sizes.iter().all(|&s| s > 0) && self.shape()[2..].iter().all(|&s| s > 0),
            "{operation}: shape {:?} does not pool to {sizes:?}",
            self.shape()
        );
    }

    /// Applies one matrix per spatial axis, from the first: its rows are whole and the rest has fewer elements.
    pub(super) fn along_axes(&self, maps: Vec<Resampler>) -> Array {
        maps.into_iter()
            .enumerate()
            .fold(self.clone(), |x, (i, map)| x.resample(i + 2, &AxisMap::new(map), false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    /// Distinct values far apart, so that no difference step changes which is largest.
    fn image(shape: &[usize]) -> Array {
        let count: usize = shape.iter().product();
        Array::from_vec::<f64>(
            (0..count).map(|i| (i * 7919 % 1009) as f64 / 200.0 - 2.0).collect(),
            shape,
        )
    }

    #[test]
    fn derivatives_of_pooling() {
        let pool = Pool::new(&[3, 2]).stride(2).padding(1).ceil(true);
        let x = image(&[1, 2, 5, 6]);
        check::gradient(|x: &Array| x.max_pool(&pool).exp(), &x, 2).unwrap();
        check::gradient(|x: &Array| x.max_pool(&Pool::new(&[2, 2])).sin(), &x, 2).unwrap();
        check::gradient(|x: &Array| x.adaptive_max_pool(&[2, 3]).sin(), &x, 2).unwrap();
        check::gradient(|x: &Array| x.avg_pool(&pool, false).exp(), &x, 2).unwrap();
        check::gradient(|x: &Array| x.adaptive_avg_pool(&[1, 4]).sin(), &x, 2).unwrap();
    }

    #[test]
    fn ties_go_to_the_first_and_nan_wins() {
        let x = Array::from_slice(&[1.0f32, 1.0, 1.0, 1.0, 0.0, f32::NAN, 3.0, 2.0], &[1, 2, 2, 2]);
        let (y, pullback) = crate::vjp(|x: &Array| x.max_pool(&Pool::new(&[2, 2])), &x);
        assert_eq!(y.to_vec::<f32>()[0], 1.0);
        assert!(y.to_vec::<f32>()[1].is_nan());
        assert_eq!(
            pullback(&y.ones_like()).to_vec::<f32>(),
            [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
        );
    }

    #[test]
    fn half_floats_pool_like_floats() {
        let x = image(&[1, 2, 4, 4]).cast(crate::DType::F16);
        let y = x.max_pool(&Pool::new(&[2, 2]));
        assert_eq!(y.dtype(), crate::DType::F16);
        assert_eq!(
            y.to_f64_vec(),
            x.cast(crate::DType::F32).max_pool(&Pool::new(&[2, 2])).to_f64_vec()
        );
    }

    #[test]
    #[should_panic(expected = "more than the padded axis 2 of 2: input [1, 1, 2, 9]")]
    fn a_window_larger_than_the_input() {
        image(&[1, 1, 2, 9]).max_pool(&Pool::new(&[3, 3]));
    }
}
