//! Operations on [`Array`], by kind. All are methods of `Array`; the modules hold their derivative rules.
//!
//! Every rule is written in `Array` operations, so that derivatives of derivatives need no further rules.

mod conv;
mod einsum;
mod elementwise;
mod fft;
mod grid_sample;
mod index;
mod interpolate;
mod logical;
mod matmul;
mod pad;
mod pool;
mod reduce;
mod resample;
mod scan;
mod softmax;
mod sort;
mod view;

pub use conv::Conv;
pub(crate) use elementwise::cast;
pub use grid_sample::GridPadding;
pub use interpolate::Interpolation;
pub use pad::Pad;
pub use pool::Pool;

use crate::Array;
use crate::shape;

impl Array {
    /// The transpose of broadcasting: sums over the axes along which `self` was repeated from `shape`.
    pub(crate) fn unbroadcast(self, shape: &[usize]) -> Array {
        if self.shape() == shape {
            return self;
        }
        let axes = shape::repeated_axes(shape, self.shape());
        let summed = if axes.is_empty() { self } else { self.sum(&axes) };
        let target: Vec<isize> = shape.iter().map(|&d| d as isize).collect();
        summed.reshape(&target)
    }
}

/// A shape as the signed sizes that `reshape` takes.
pub(crate) fn signed(shape: &[usize]) -> smallvec::SmallVec<[isize; 6]> {
    shape.iter().map(|&d| d as isize).collect()
}
