//! Where the elements of a tensor lie in its memory.

use std::ops::{Deref, DerefMut};

use smallvec::SmallVec;

use crate::shape::Dims;

/// Lengths of axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape(Dims);

impl Shape {
    /// The product of all lengths.
    pub fn num_elements(&self) -> usize {
        self.0.iter().product()
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl DerefMut for Shape {
    fn deref_mut(&mut self) -> &mut [usize] {
        &mut self.0
    }
}

impl From<&[usize]> for Shape {
    fn from(lengths: &[usize]) -> Shape {
        Shape(Dims::from(lengths))
    }
}

impl From<Vec<usize>> for Shape {
    fn from(lengths: Vec<usize>) -> Shape {
        Shape(Dims::from_vec(lengths))
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(lengths: I) -> Shape {
        Shape(lengths.into_iter().collect())
    }
}

/// Steps in memory along axes, in elements.
pub(crate) type Strides = SmallVec<[isize; 6]>;

/// Element `i` of a tensor lies at `start + sum_k i_k strides_k`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    shape: Shape,
    strides: Strides,
    start: usize,
}

impl Layout {
    /// Row-major from the start of the memory.
    pub fn contiguous(shape: Shape) -> Layout {
        let strides = crate::shape::strides(&shape).iter().map(|&s| s as isize).collect();
        Layout { shape, strides, start: 0 }
    }

    /// Any layout; the caller answers for its staying within the memory.
    pub fn new(shape: Shape, strides: impl Into<Strides>, start: usize) -> Layout {
        let strides = strides.into();
        debug_assert_eq!(shape.len(), strides.len());
        Layout { shape, strides, start }
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// Where the first element lies.
    pub fn start_offset(&self) -> usize {
        self.start
    }

    pub fn num_elements(&self) -> usize {
        self.shape.num_elements()
    }

    /// Whether the elements lie in row-major order without gaps. Axes of length one may have any stride.
    pub fn is_contiguous(&self) -> bool {
        if self.num_elements() == 0 {
            return true;
        }
        let mut expected = 1;
        for (&length, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if length != 1 {
                if stride != expected {
                    return false;
                }
                expected *= length as isize;
            }
        }
        true
    }

    /// Axis `i` of the result is axis `axes[i]`.
    pub fn permute(&self, axes: &[usize]) -> Layout {
        debug_assert_eq!(axes.len(), self.shape.len());
        Layout {
            shape: axes.iter().map(|&axis| self.shape[axis]).collect(),
            strides: axes.iter().map(|&axis| self.strides[axis]).collect(),
            start: self.start,
        }
    }

    /// The given axes read backwards.
    pub fn flip(&self, axes: &[usize]) -> Layout {
        let mut flipped = self.clone();
        if self.num_elements() == 0 {
            return flipped;
        }
        for &axis in axes {
            let last = (self.shape[axis] - 1) as isize * flipped.strides[axis];
            flipped.start = flipped.start.strict_add_signed(last);
            flipped.strides[axis] = -flipped.strides[axis];
        }
        flipped
    }

    /// Elements `start..start + length` along one axis.
    pub fn narrow(&self, axis: usize, start: usize, length: usize) -> Layout {
        debug_assert!(start + length <= self.shape[axis]);
        let mut narrowed = self.clone();
        narrowed.shape[axis] = length;
        // An empty part begins nowhere: its offset must not leave the memory.
        if length > 0 {
            narrowed.start = self.start.strict_add_signed(start as isize * self.strides[axis]);
        }
        narrowed
    }

    /// Axes of length one repeated to reach `shape`, which has as many axes.
    pub fn expand(&self, shape: &[usize]) -> Layout {
        debug_assert_eq!(shape.len(), self.shape.len());
        let axes = self.shape.iter().zip(&self.strides).zip(shape);
        let strides = axes.map(|((&from, &stride), &to)| if from == to { stride } else { 0 });
        Layout { shape: shape.into(), strides: strides.collect(), start: self.start }
    }

    /// The same elements in row-major order under another shape, if they lie in that order.
    pub fn reshape(&self, shape: Shape) -> Option<Layout> {
        debug_assert_eq!(self.num_elements(), shape.num_elements());
        self.is_contiguous().then(|| Layout { start: self.start, ..Layout::contiguous(shape) })
    }

    /// Where the element at `index` lies.
    #[cfg(test)]
    pub fn index(&self, index: &[usize]) -> usize {
        let steps = index.iter().zip(&self.strides).map(|(&i, &s)| i as isize * s);
        self.start.strict_add_signed(steps.sum())
    }
}
