//! Reshaping, permuting, slicing, joining: operations that move elements and compute nothing.

use std::ops::Range;

use crate::ops::signed;
use crate::shape::{self, Dims};
use crate::storage::Storage;
use crate::tape::{derive_joint, tracked};
use crate::{Array, cpu};

impl Array {
    /// The same elements in row-major order with another shape; one size may be -1, to be inferred.
    #[track_caller]
    pub fn reshape(&self, shape: &[isize]) -> Array {
        let target = shape::infer(self.shape(), shape);
        if target[..] == *self.shape() {
            return self.clone();
        }
        let storage = match self.storage() {
            Storage::Cpu(t) => Storage::Cpu(t.reshape(&target)),
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => crate::gpu::reshape(t, &target),
        };
        let from = Dims::from(self.shape());
        Array::untracked(storage).derive(self, move |ct, _| ct.reshape(&signed(&from)))
    }

    /// Axes in another order: axis `i` of the result is axis `order[i]` of this array. A view.
    #[track_caller]
    pub fn permute(&self, order: &[isize]) -> Array {
        let axes: Dims = order.iter().map(|&a| shape::axis("permute", a, self.shape())).collect();
        let mut inverse: Dims = Dims::from_elem(usize::MAX, self.rank());
        for (position, &axis) in axes.iter().enumerate() {
            inverse[axis] = position;
        }
        assert!(
            axes.len() == self.rank() && !inverse.contains(&usize::MAX),
            "permute: {order:?} is not an order of the axes of shape {:?}",
            self.shape()
        );
        let storage = match self.storage() {
            Storage::Cpu(t) => Storage::Cpu(t.permute(&axes)),
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => crate::gpu::permute(t, &axes),
        };
        Array::untracked(storage).derive(self, move |ct, _| ct.permute(&signed(&inverse)))
    }

    /// Swaps two axes. A view.
    #[track_caller]
    pub fn swap_axes(&self, a: isize, b: isize) -> Array {
        let (a, b) =
            (shape::axis("swap_axes", a, self.shape()), shape::axis("swap_axes", b, self.shape()));
        let mut order: Dims = (0..self.rank()).collect();
        order.swap(a, b);
        self.permute(&signed(&order))
    }

    /// Swaps the last two axes: the transpose of a matrix or of each in a batch. A view.
    #[track_caller]
    pub fn t(&self) -> Array {
        assert!(self.rank() >= 2, "t: shape {:?} has no two axes to swap", self.shape());
        self.swap_axes(-2, -1)
    }

    /// Repeats axes of size one, and adds leading axes, to reach `shape`. A view.
    #[track_caller]
    pub fn expand(&self, shape: &[usize]) -> Array {
        if self.shape() == shape {
            return self.clone();
        }
        let reached = shape::broadcast("expand", self.shape(), shape);
        assert!(
            reached[..] == *shape,
            "expand: shape {:?} does not expand to {shape:?}",
            self.shape()
        );
        let lead = shape.len() - self.rank();
        let full: Dims = std::iter::repeat_n(1, lead).chain(self.shape().iter().copied()).collect();
        let aligned = if lead == 0 { self.clone() } else { self.reshape(&signed(&full)) };
        let storage = match aligned.storage() {
            Storage::Cpu(t) => Storage::Cpu(t.clone().with_layout(t.layout().expand(shape))),
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => crate::gpu::expand(t, shape),
        };
        let from = Dims::from(aligned.shape());
        Array::untracked(storage).derive(&aligned, move |ct, _| ct.unbroadcast(&from))
    }

    /// Inserts an axis of size one before `axis` (negative counts from the end of the result).
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Array {
        let mut shape = signed(self.shape());
        let at = if axis < 0 { axis + self.rank() as isize + 1 } else { axis };
        assert!(
            (0..=self.rank() as isize).contains(&at),
            "unsqueeze: axis {axis} is out of range for shape {:?}",
            self.shape()
        );
        shape.insert(at as usize, 1);
        self.reshape(&shape)
    }

    /// Removes an axis of size one.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Array {
        let at = shape::axis("squeeze", axis, self.shape());
        assert!(
            self.shape()[at] == 1,
            "squeeze: axis {axis} of shape {:?} is not of size 1",
            self.shape()
        );
        self.drop_axes(&[at])
    }

    /// The block of elements whose index along axis `i` lies in `ranges[i]`; missing ranges take the whole axis. A view.
    #[track_caller]
    pub fn slice(&self, ranges: &[Range<usize>]) -> Array {
        let shape = self.shape();
        assert!(ranges.len() <= shape.len(), "slice: {} ranges for shape {shape:?}", ranges.len());
        let full: Vec<Range<usize>> =
            (0..shape.len()).map(|i| ranges.get(i).cloned().unwrap_or(0..shape[i])).collect();
        for (axis, range) in full.iter().enumerate() {
            assert!(
                range.start <= range.end && range.end <= shape[axis],
                "slice: {range:?} is out of range for axis {axis} of shape {shape:?}"
            );
        }
        let storage = match self.storage() {
            Storage::Cpu(t) => {
                Storage::Cpu(full.iter().enumerate().fold(t.clone(), |t, (axis, r)| {
                    if r.len() == shape[axis] { t } else { t.narrow(axis, r.start, r.len()) }
                }))
            }
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => crate::gpu::slice(t, &full),
        };
        let value = Array::untracked(storage);
        if !self.is_tracked() {
            return value;
        }
        let from = Dims::from(shape);
        value.derive(self, move |ct, _| ct.place_in(&from, &full))
    }

    /// Elements `start..start + count` along one axis. A view.
    #[track_caller]
    pub fn narrow(&self, axis: isize, start: usize, count: usize) -> Array {
        let at = shape::axis("narrow", axis, self.shape());
        let mut ranges: Vec<Range<usize>> = self.shape().iter().map(|&d| 0..d).collect();
        ranges[at] = start..start + count;
        self.slice(&ranges)
    }

    /// Element `i` along one axis, which is dropped.
    #[track_caller]
    pub fn index(&self, axis: isize, i: usize) -> Array {
        self.narrow(axis, i, 1).squeeze(axis)
    }

    /// Zeros of `shape` with this array in the block `ranges`: the transpose of [`slice`](Self::slice).
    pub(crate) fn place_in(&self, shape: &[usize], ranges: &[Range<usize>]) -> Array {
        let storage = match self.storage() {
            Storage::Cpu(x) => {
                let corner: Dims = ranges.iter().map(|range| range.start).collect();
                Storage::Cpu(cpu::place_block(x, shape, &corner, 0.0))
            }
            #[cfg(feature = "gpu")]
            Storage::Gpu(x) => crate::gpu::place_block(x.clone(), shape, ranges),
        };
        let ranges = ranges.to_vec();
        Array::untracked(storage).derive(self, move |ct, _| ct.slice(&ranges))
    }

    /// Joins arrays along an existing axis. All other sizes must agree.
    #[track_caller]
    pub fn cat(arrays: &[&Array], axis: isize) -> Array {
        assert!(!arrays.is_empty(), "cat: no arrays");
        let first = arrays[0];
        let at = shape::axis("cat", axis, first.shape());
        for other in arrays {
            let fits = other.rank() == first.rank()
                && other.dtype() == first.dtype()
                && (0..first.rank()).all(|i| i == at || other.shape()[i] == first.shape()[i]);
            assert!(
                fits,
                "cat: {} {:?} and {} {:?} do not join along axis {axis}",
                first.dtype(),
                first.shape(),
                other.dtype(),
                other.shape()
            );
        }
        if arrays.len() == 1 {
            return first.clone();
        }
        let storages = arrays.iter().map(|a| a.storage().clone()).collect();
        let value = Array::untracked(cat_storages(storages, at));
        if tracked(arrays) == 0 {
            return value;
        }
        let sizes: Vec<usize> = arrays.iter().map(|a| a.shape()[at]).collect();
        let mut parts = derive_joint(vec![value], arrays, move |cts, wanted, _| {
            let ct = cts[0].as_ref().expect("one output");
            let mut start = 0;
            let piece = |(&size, &wanted): (&usize, &bool)| {
                start += size;
                wanted.then(|| ct.narrow(at as isize, start - size, size))
            };
            sizes.iter().zip(wanted).map(piece).collect()
        });
        parts.remove(0)
    }

    /// Joins arrays of one shape along a new axis.
    #[track_caller]
    pub fn stack(arrays: &[&Array], axis: isize) -> Array {
        let raised: Vec<Array> = arrays.iter().map(|a| a.unsqueeze(axis)).collect();
        Array::cat(&raised.iter().collect::<Vec<_>>(), axis)
    }

    /// Reverses the order along the given axes.
    #[track_caller]
    pub fn flip(&self, axes: &[isize]) -> Array {
        let resolved: Dims = axes.iter().map(|&a| shape::axis("flip", a, self.shape())).collect();
        let storage = match self.storage() {
            Storage::Cpu(t) => Storage::Cpu(t.clone().with_layout(t.layout().flip(&resolved))),
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => crate::gpu::flip(t, &resolved),
        };
        let axes = axes.to_vec();
        Array::untracked(storage).derive(self, move |ct, _| ct.flip(&axes))
    }
}

fn cat_storages(storages: Vec<Storage>, axis: usize) -> Storage {
    #[cfg(feature = "gpu")]
    if storages.iter().any(|s| matches!(s, Storage::Gpu(_))) {
        return crate::gpu::cat(storages, axis);
    }
    let tensors: Vec<_> = storages
        .into_iter()
        .map(|s| match s {
            Storage::Cpu(t) => t,
            #[cfg(feature = "gpu")]
            Storage::Gpu(_) => unreachable!("handled above"),
        })
        .collect();
    Storage::Cpu(cpu::join(&tensors, axis))
}
