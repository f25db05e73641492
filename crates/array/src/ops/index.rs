//! Elements by index: gathering, and its transpose, adding at indices.
//!
//! Indices are i64 arrays, on the processor or on the device of the data; results lie with the data.

use crate::ops::signed;
use crate::shape::{self, Dims};
use crate::storage::{Storage, elements};
use crate::{Array, DType, cpu};

/// The indices as an untracked array on the processor. Panics unless they are i64 and below `size`.
#[track_caller]
fn checked(operation: &str, indices: &Array, axis: usize, size: usize) -> Array {
    assert!(
        indices.dtype() == DType::I64,
        "{operation}: indices must be i64, got {} of shape {:?}",
        indices.dtype(),
        indices.shape()
    );
    let tensor = indices.to_cpu();
    // Negative ones are huge as unsigned.
    let values = elements::<i64>(&tensor);
    if values.iter().fold(0, |top, &i| top.max(i as u64)) >= size as u64
        && let Some(bad) = values.iter().find(|&&i| i as u64 >= size as u64)
    {
        panic!("{operation}: index {bad} is out of range for axis {axis} of size {size}");
    }
    Array::from_cpu(tensor)
}

/// Panics unless the two shapes agree on every axis but one.
#[track_caller]
fn check_around(operation: &str, what: &str, data: &[usize], other: &[usize], axis: usize) {
    let fits =
        data.len() == other.len() && (0..data.len()).all(|i| i == axis || data[i] == other[i]);
    assert!(
        fits,
        "{operation}: {what} of shape {other:?} do not fit data of shape {data:?}: all sizes but that of axis {axis} \
         must agree"
    );
}

#[track_caller]
fn check_source(operation: &str, data: &Array, source: &Array, expected: &[usize]) {
    assert!(
        data.dtype() == source.dtype() && source.shape() == expected,
        "{operation}: the source must be {} of shape {expected:?}, got {} of shape {:?}",
        data.dtype(),
        source.dtype(),
        source.shape()
    );
}

impl Array {
    /// Picks elements along an axis: `out[.., j, ..] = self[.., indices[.., j, ..], ..]`. The indices have this array's rank
    /// and its sizes on the other axes; the result has their shape.
    ///
    /// Panics if an index is negative or not below the size of the axis.
    ///
    /// ```
    /// use lisse_array::Array;
    /// let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// let labels = Array::from_slice(&[1i64, 0], &[2, 1]);
    /// assert_eq!(x.gather(1, &labels).to_vec::<f32>(), [2.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn gather(&self, axis: isize, indices: &Array) -> Array {
        let at = shape::axis("gather", axis, self.shape());
        check_around("gather", "indices", self.shape(), indices.shape(), at);
        self.take_along(at, &checked("gather", indices, at, self.shape()[at]))
    }

    /// [`gather`](Self::gather) with indices that are known to fit.
    pub(crate) fn take_along(&self, axis: usize, indices: &Array) -> Array {
        let value = Array::untracked(match self.storage() {
            Storage::Cpu(t) => Storage::Cpu(cpu::gather(t, axis, &indices.to_cpu())),
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => crate::gpu::gather(t.clone(), axis, indices),
        });
        let (shape, indices) = (Dims::from(self.shape()), indices.clone());
        value.derive(self, move |ct, _| ct.scatter_into_zeros(&shape, axis, &indices))
    }

    /// Adds elements at indices along an axis, the transpose of [`gather`](Self::gather):
    /// `out[.., indices[.., j, ..], ..] += source[.., j, ..]`, starting from this array. Source and indices have one shape,
    /// which agrees with this array's on the other axes. What meets at one place is added in the order of the source.
    ///
    /// Panics if an index is negative or not below the size of the axis.
    #[track_caller]
    pub fn scatter_add(&self, axis: isize, indices: &Array, source: &Array) -> Array {
        let at = shape::axis("scatter_add", axis, self.shape());
        check_around("scatter_add", "indices", self.shape(), indices.shape(), at);
        check_source("scatter_add", self, source, indices.shape());
        let indices = checked("scatter_add", indices, at, self.shape()[at]);
        let value = scatter(Some(self), self.shape(), at, &indices, source);
        value.derive2(self, |ct, _| ct, source, move |ct, _| ct.take_along(at, &indices))
    }

    fn scatter_into_zeros(&self, shape: &[usize], axis: usize, indices: &Array) -> Array {
        let value = scatter(None, shape, axis, indices, self);
        let indices = indices.clone();
        value.derive(self, move |ct, _| ct.take_along(axis, &indices))
    }

    /// Picks whole slices along an axis: `out[.., j, ..] = self[.., indices[j], ..]` for a 1-d array of indices.
    ///
    /// Panics if an index is negative or not below the size of the axis.
    #[track_caller]
    pub fn index_select(&self, axis: isize, indices: &Array) -> Array {
        let at = shape::axis("index_select", axis, self.shape());
        check_flat("index_select", indices);
        self.take_slices(at, &checked("index_select", indices, at, self.shape()[at]))
    }

    /// [`index_select`](Self::index_select) with indices that are known to fit.
    pub(crate) fn take_slices(&self, axis: usize, indices: &Array) -> Array {
        let value = Array::untracked(match self.storage() {
            Storage::Cpu(t) => Storage::Cpu(cpu::index_select(t, axis, &indices.to_cpu())),
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => crate::gpu::index_select(t.clone(), axis, indices),
        });
        let (shape, indices) = (Dims::from(self.shape()), indices.clone());
        value.derive(self, move |ct, _| ct.add_slices_to_zeros(&shape, axis, &indices))
    }

    /// Adds whole slices along an axis, the transpose of [`index_select`](Self::index_select):
    /// `out[.., indices[j], ..] += source[.., j, ..]`, starting from this array. What meets in one slice is added in the order
    /// of the source.
    ///
    /// Panics if an index is negative or not below the size of the axis.
    #[track_caller]
    pub fn index_add(&self, axis: isize, indices: &Array, source: &Array) -> Array {
        let at = shape::axis("index_add", axis, self.shape());
        check_flat("index_add", indices);
        let mut expected = Dims::from(self.shape());
        expected[at] = indices.len();
        check_source("index_add", self, source, &expected);
        let indices = checked("index_add", indices, at, self.shape()[at]);
        let value = add_slices(Some(self), self.shape(), at, &indices, source);
        value.derive2(self, |ct, _| ct, source, move |ct, _| ct.take_slices(at, &indices))
    }

    fn add_slices_to_zeros(&self, shape: &[usize], axis: usize, indices: &Array) -> Array {
        let value = add_slices(None, shape, axis, indices, self);
        let indices = indices.clone();
        value.derive(self, move |ct, _| ct.take_slices(axis, &indices))
    }

    /// Rows of a table: for this array of shape `[rows, ..size]` and indices of any shape, an array of shape
    /// `[..indices, ..size]`.
    ///
    /// Panics if an index is negative or not below the number of rows.
    ///
    /// ```
    /// use lisse_array::Array;
    /// let table = Array::from_slice(&[0.0f32, 0.5, 1.0, 1.5, 2.0, 2.5], &[3, 2]);
    /// let tokens = Array::from_slice(&[2i64, 0, 0, 1], &[2, 2]);
    /// assert_eq!(table.embedding(&tokens).shape(), [2, 2, 2]);
    /// ```
    #[track_caller]
    pub fn embedding(&self, indices: &Array) -> Array {
        assert!(self.rank() > 0, "embedding: a table needs at least one axis, this array has none");
        let flat = checked("embedding", indices, 0, self.shape()[0]).reshape(&[-1]);
        let shape: Dims = indices.shape().iter().chain(&self.shape()[1..]).copied().collect();
        self.take_slices(0, &flat).reshape(&signed(&shape))
    }

    /// One at the given class along a new last axis of size `classes`, zero elsewhere.
    ///
    /// Panics if an index is negative or not below `classes`.
    #[track_caller]
    pub fn one_hot(indices: &Array, classes: usize, dtype: DType) -> Array {
        let here = checked("one_hot", indices, indices.rank(), classes);
        Array::from_cpu(cpu::one_hot(&here.to_cpu(), classes, dtype)).to_device(indices.device())
    }

    /// Elements with equal index along two axes, as a new last axis in place of the two.
    #[track_caller]
    pub fn diagonal(&self, a: isize, b: isize) -> Array {
        let (a, b) =
            (shape::axis("diagonal", a, self.shape()), shape::axis("diagonal", b, self.shape()));
        assert!(a != b, "diagonal: axis {a} of shape {:?} is given twice", self.shape());
        let mut order: Dims = (0..self.rank()).filter(|&i| i != a && i != b).collect();
        let mut shape: Dims = order.iter().map(|&i| self.shape()[i]).collect();
        order.extend([a, b]);
        let (rows, columns) = (self.shape()[a], self.shape()[b]);
        shape.push(rows * columns);
        let flat = self.permute(&signed(&order)).reshape(&signed(&shape));
        flat.take_slices(
            shape.len() - 1,
            &positions((0..rows.min(columns)).map(|i| i * (columns + 1))),
        )
    }
}

/// Indices that the library itself computed, on the processor.
pub(crate) fn positions(indices: impl Iterator<Item = usize>) -> Array {
    let indices: Vec<i64> = indices.map(|i| i as i64).collect();
    let count = indices.len();
    Array::from_cpu(Storage::from_vec(indices, &[count]))
}

#[track_caller]
fn check_flat(operation: &str, indices: &Array) {
    assert!(
        indices.rank() == 1,
        "{operation}: indices must have one axis, got shape {:?}",
        indices.shape()
    );
}

/// The untracked sum of `source` at `indices` and `base` (or zeros of the given shape).
fn scatter(
    base: Option<&Array>,
    shape: &[usize],
    axis: usize,
    indices: &Array,
    source: &Array,
) -> Array {
    Array::untracked(match source.storage() {
        Storage::Cpu(t) => {
            let base = base.map(Array::to_cpu);
            Storage::Cpu(cpu::scatter_add(base.as_ref(), shape, axis, &indices.to_cpu(), t))
        }
        #[cfg(feature = "gpu")]
        Storage::Gpu(t) => {
            crate::gpu::scatter_add(start(base, shape, source), axis, indices, t.clone())
        }
    })
}

/// As [`scatter`], for whole slices.
fn add_slices(
    base: Option<&Array>,
    shape: &[usize],
    axis: usize,
    indices: &Array,
    source: &Array,
) -> Array {
    Array::untracked(match source.storage() {
        Storage::Cpu(t) => {
            let base = base.map(Array::to_cpu);
            Storage::Cpu(cpu::index_add(base.as_ref(), shape, axis, &indices.to_cpu(), t))
        }
        #[cfg(feature = "gpu")]
        Storage::Gpu(t) => {
            crate::gpu::index_add(start(base, shape, source), axis, indices, t.clone())
        }
    })
}

/// What is added to: `base`, or zeros on the device of `source`.
#[cfg(feature = "gpu")]
fn start(
    base: Option<&Array>,
    shape: &[usize],
    source: &Array,
) -> std::sync::Arc<crate::gpu::Tensor> {
    let base = base.map_or_else(
        || source.device().with(|| Array::zeros(shape, source.dtype())),
        |base| base.to_device(source.device()),
    );
    let Storage::Gpu(base) = base.into_parts().0 else { unreachable!("the source is on a GPU") };
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check, grad};

    fn sample(shape: &[usize]) -> Array {
        let count: usize = shape.iter().product();
        Array::from_vec((0..count).map(|i| (i as f64 * 0.37).sin()).collect::<Vec<_>>(), shape)
    }

    fn indices(values: &[i64], shape: &[usize]) -> Array {
        Array::from_slice(values, shape)
    }

    #[test]
    fn gather_picks_along_every_axis() {
        let x = Array::arange(0.0, 24.0, 1.0, DType::F32).reshape(&[2, 3, 4]);
        let k = indices(&[1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1], &[1, 3, 4]);
        let picked = x.gather(0, &k).to_vec::<f32>();
        assert_eq!(picked, [12., 1., 14., 3., 4., 17., 18., 19., 8., 9., 10., 23.]);
        let k = indices(&[2, 0, 1, 2, 0, 2, 2, 1], &[2, 1, 4]);
        assert_eq!(x.gather(1, &k).to_vec::<f32>(), [8., 1., 6., 11., 12., 21., 22., 19.]);
        let k = indices(&[3, 3, 0, 1, 1, 0, 2, 0, 0, 3, 1, 1], &[2, 3, 2]);
        let expected = [3., 3., 4., 5., 9., 8., 14., 12., 16., 19., 21., 21.];
        assert_eq!(x.gather(-1, &k).to_vec::<f32>(), expected);
    }

    #[test]
    fn gather_reads_views_and_every_dtype() {
        let x = Array::arange(0.0, 6.0, 1.0, DType::F64).reshape(&[2, 3]).t();
        let k = indices(&[2, 0], &[1, 2]);
        for dtype in [DType::F16, DType::BF16, DType::I64, DType::I32, DType::U8] {
            assert_eq!(x.cast(dtype).gather(0, &k).to_f64_vec(), [2.0, 3.0], "{dtype}");
        }
        let truth = Array::from_slice(&[true, false, true], &[3]);
        assert_eq!(truth.gather(0, &indices(&[1, 2], &[2])).to_vec::<bool>(), [false, true]);
    }

    #[test]
    fn adding_at_indices_accumulates() {
        let x = Array::ones(&[3, 2], DType::F32);
        let source = Array::arange(1.0, 9.0, 1.0, DType::F32).reshape(&[4, 2]);
        let k = indices(&[2, 0, 2, 2, 0, 1, 2, 0], &[4, 2]);
        assert_eq!(x.scatter_add(0, &k, &source).to_vec::<f32>(), [6., 11., 1., 7., 12., 5.]);
        let rows = x.index_add(0, &indices(&[2, 0, 2, 2], &[4]), &source);
        assert_eq!(rows.to_vec::<f32>(), [4., 5., 1., 1., 14., 17.]);
    }

    #[test]
    fn slices_are_selected_and_embedded() {
        let x = Array::arange(0.0, 6.0, 1.0, DType::F32).reshape(&[2, 3]);
        let columns = x.index_select(1, &indices(&[2, 2, 0], &[3]));
        assert_eq!(columns.to_vec::<f32>(), [2., 2., 0., 5., 5., 3.]);
        let rows = x.embedding(&indices(&[1, 0, 1, 1], &[2, 2]));
        assert_eq!(rows.shape(), [2, 2, 3]);
        assert_eq!(rows.to_vec::<f32>(), [3., 4., 5., 0., 1., 2., 3., 4., 5., 3., 4., 5.]);
        assert_eq!(x.embedding(&indices(&[1], &[])).to_vec::<f32>(), [3., 4., 5.]);
        assert_eq!(x.embedding(&indices(&[], &[0])).shape(), [0, 3]);
    }

    #[test]
    fn one_hot_adds_an_axis() {
        let hot = Array::one_hot(&indices(&[2, 0], &[2]), 3, DType::F32);
        assert_eq!(hot.shape(), [2, 3]);
        assert_eq!(hot.to_vec::<f32>(), [0., 0., 1., 1., 0., 0.]);
    }

    #[test]
    fn diagonals_of_any_two_axes() {
        let x = Array::arange(0.0, 12.0, 1.0, DType::F64).reshape(&[2, 3, 2]);
        assert_eq!(x.diagonal(0, 2).to_vec::<f64>(), [0., 7., 2., 9., 4., 11.]);
        assert_eq!(x.diagonal(1, 2).to_vec::<f64>(), [0., 3., 6., 9.]);
        check::gradient(|x: &Array| x.diagonal(0, 2).exp(), &x, 2).unwrap();
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let x = sample(&[3, 4]);
        let k = indices(&[2, 0, 0, 1, 2, 1, 0, 2], &[2, 4]);
        check::gradient(|x: &Array| x.square().gather(0, &k).sin(), &x, 3).unwrap();
        let flat = indices(&[3, 1, 1, 0, 3], &[5]);
        check::gradient(|x: &Array| x.square().index_select(1, &flat).sin(), &x, 3).unwrap();
        let pair = (sample(&[3, 4]), sample(&[2, 4]) * 2.0);
        let f = |(x, y): &(Array, Array)| x.scatter_add(0, &k, &y.square()).sin();
        check::gradient(f, &pair, 2).unwrap();
        let pair = (sample(&[3, 4]), sample(&[3, 5]) * 2.0);
        let f = |(x, y): &(Array, Array)| x.index_add(1, &flat, &y.square()).sin();
        check::gradient(f, &pair, 2).unwrap();
    }

    #[test]
    fn an_embedding_gradient_adds_repeated_rows() {
        let table = Array::zeros(&[4, 2], DType::F32);
        let tokens = indices(&[3, 1, 3, 3], &[4]);
        let g = grad(|t: &Array| t.embedding(&tokens).sum_all())(&table);
        assert_eq!(g.to_vec::<f32>(), [0., 0., 1., 1., 0., 0., 3., 3.]);
    }

    #[test]
    fn sums_do_not_depend_on_the_number_of_threads() {
        let (n, m) = (97, 40_000);
        let k = indices(&(0..m as i64).map(|i| i * i % n as i64).collect::<Vec<_>>(), &[m]);
        let source = (0..m).map(|i| (i as f32 * 0.1).sin() * 1e3).collect::<Vec<_>>();
        let source = Array::from_vec(source, &[m]);
        let wide = source.unsqueeze(1).expand(&[m, 20]);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let zeros = Array::zeros(&[n], DType::F32);
                let scattered = zeros.scatter_add(0, &k, &source).to_vec::<f32>();
                let added = Array::zeros(&[n, 20], DType::F32).index_add(0, &k, &wide);
                (scattered, added.to_vec::<f32>())
            })
        };
        let one = run(1);
        assert!((2..6).all(|threads| run(threads) == one));
        let mut naive = vec![0.0f32; n];
        for (i, v) in source.to_vec::<f32>().into_iter().enumerate() {
            naive[i * i % n] += v;
        }
        assert_eq!(one.0, naive);
    }

    #[test]
    fn large_pieces_agree_with_loops() {
        let (outer, n, m, inner) = (2, 50, 300, 130);
        let x = sample(&[outer, n, inner]);
        let flat: Vec<i64> = (0..m as i64).map(|i| i * 7 % n as i64).collect();
        let selected = x.index_select(1, &indices(&flat, &[m])).to_vec::<f64>();
        let full = indices(&flat, &[1, m, 1]).expand(&[outer, m, inner]);
        assert_eq!(x.gather(1, &full).to_vec::<f64>(), selected);
        let from = x.to_vec::<f64>();
        for (e, v) in selected.iter().enumerate() {
            let (o, j, i) = (e / inner / m, e / inner % m, e % inner);
            assert_eq!(*v, from[(o * n + flat[j] as usize) * inner + i]);
        }
    }

    #[test]
    #[should_panic(expected = "gather: index 5 is out of range for axis 1 of size 4")]
    fn an_index_behind_the_end_is_named() {
        sample(&[2, 4]).gather(1, &indices(&[0, 5], &[2, 1]));
    }

    #[test]
    #[should_panic(expected = "embedding: index -1 is out of range for axis 0 of size 2")]
    fn a_negative_index_is_named() {
        sample(&[2, 4]).embedding(&indices(&[-1], &[1]));
    }

    #[test]
    #[should_panic(expected = "index_select: indices must be i64, got f64 of shape [2]")]
    fn indices_are_integers() {
        sample(&[2, 4]).index_select(0, &sample(&[2]));
    }
}
