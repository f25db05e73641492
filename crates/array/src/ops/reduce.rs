//! Sums, means, products, extrema and what is built from them.

use crate::Array;
use crate::cpu::{self, Reduce};
use crate::ops::signed;
use crate::shape::{self, Dims};
use crate::storage::Storage;

/// The untracked reduction with the reduced axes kept at size one.
fn run(op: Reduce, x: &Array, axes: &[usize]) -> Array {
    Array::untracked(match x.storage() {
        Storage::Cpu(t) => Storage::Cpu(cpu::reduce(op, t.clone(), axes)),
        #[cfg(feature = "gpu")]
        Storage::Gpu(t) => crate::gpu::reduce(op, t.clone(), axes),
    })
}

impl Array {
    /// Removes the given axes of size one.
    pub(crate) fn drop_axes(&self, axes: &[usize]) -> Array {
        let kept: Dims =
            (0..self.rank()).filter(|i| !axes.contains(i)).map(|i| self.shape()[i]).collect();
        self.reshape(&signed(&kept))
    }

    fn sum_axes(&self, axes: &[usize]) -> Array {
        let value = run(Reduce::Sum, self, axes);
        if !self.is_tracked() {
            return value;
        }
        let shape = Dims::from(self.shape());
        value.derive(self, move |ct, _| ct.expand(&shape))
    }

    fn extremum_axes(&self, op: Reduce, axes: &[usize]) -> Array {
        let value = run(op, self, axes);
        if !self.is_tracked() {
            return value;
        }
        // Tied elements share the derivative equally.
        let x = self.stop_gradient();
        let kept = value.clone();
        let axes = Dims::from(axes);
        value.derive(self, move |ct, _| {
            let hits = x.equal(&kept).cast(x.dtype());
            let share = &hits / hits.sum_axes(&axes);
            ct * share
        })
    }

    /// Product over axes. The derivative is exact at every order also where elements are zero.
    fn prod_axes(&self, axes: &[usize]) -> Array {
        let value = run(Reduce::Prod, self, axes);
        if !self.is_tracked() {
            return value;
        }
        let x = self.clone();
        let axes = Dims::from(axes);
        value.derive(self, move |ct, _| ct * x.product_of_others(&axes))
    }

    /// For each element the product of the others over `axes`, written with cumulative products from both ends so that zeros do no harm.
    fn product_of_others(&self, axes: &[usize]) -> Array {
        let (front, count) = self.bring_to_end(axes);
        let others = {
            let ones = front.narrow(-1, 0, 1).ones_like();
            let before = Array::cat(&[&ones, &front.narrow(-1, 0, count - 1)], -1).cumprod(-1);
            let reversed = front.flip(&[-1]);
            let after = Array::cat(&[&ones, &reversed.narrow(-1, 0, count - 1)], -1)
                .cumprod(-1)
                .flip(&[-1]);
            before * after
        };
        others.restore_from_end(self.shape(), axes)
    }

    /// The given axes merged into one last axis, and its size.
    fn bring_to_end(&self, axes: &[usize]) -> (Array, usize) {
        let mut order: Dims = (0..self.rank()).filter(|i| !axes.contains(i)).collect();
        let mut shape: Dims = order.iter().map(|&i| self.shape()[i]).collect();
        let count = axes.iter().map(|&i| self.shape()[i]).product();
        order.extend_from_slice(axes);
        shape.push(count);
        (self.permute(&signed(&order)).reshape(&signed(&shape)), count)
    }

    fn restore_from_end(&self, shape: &[usize], axes: &[usize]) -> Array {
        let mut order: Dims = (0..shape.len()).filter(|i| !axes.contains(i)).collect();
        order.extend_from_slice(axes);
        let permuted: Dims = order.iter().map(|&i| shape[i]).collect();
        let mut inverse: Dims = order.clone();
        for (position, &axis) in order.iter().enumerate() {
            inverse[axis] = position;
        }
        self.reshape(&signed(&permuted)).permute(&signed(&inverse))
    }

    fn logsumexp_axes(&self, axes: &[usize]) -> Array {
        let peak = run(Reduce::Max, self, axes);
        // Where everything is -inf (or something is +inf) shifting by the peak would give NaN.
        let finite = peak.abs().less(&peak.full_like(f64::INFINITY));
        let shift = Array::select(&finite, &peak, &peak.zeros_like());
        (self - &shift).exp().sum_axes(axes).ln() + shift
    }
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident $keep:ident $all:ident |$x:ident, $axes:ident| $body:expr;)*) => {
        impl Array {$(
            $(#[$doc])*
            ///
            /// Negative axes count from the last; none means all.
            #[track_caller]
            pub fn $name(&self, axes: &[isize]) -> Array {
                let resolved = shape::axes(stringify!($name), axes, self.shape());
                self.$keep(axes).drop_axes(&resolved)
            }
            /// The same with the reduced axes kept at size one.
            #[track_caller]
            pub fn $keep(&self, axes: &[isize]) -> Array {
                let $axes: &[usize] = &shape::axes(stringify!($name), axes, self.shape());
                let $x = self;
                $body
            }
            /// The same over all axes, of shape `[]`.
            #[track_caller]
            pub fn $all(&self) -> Array {
                self.$name(&[])
            }
        )*}
    };
}

fn count(x: &Array, axes: &[usize]) -> usize {
    axes.iter().map(|&i| x.shape()[i]).product()
}

reductions! {
    /// Sum over axes.
    sum sum_keep sum_all |x, axes| x.sum_axes(axes);
    /// Mean over axes.
    mean mean_keep mean_all |x, axes| x.sum_axes(axes) * (1.0 / count(x, axes) as f64);
    /// Product over axes.
    prod prod_keep prod_all |x, axes| x.prod_axes(axes);
    /// Largest element over axes; ties share the derivative; NaN wins.
    max max_keep max_all |x, axes| x.extremum_axes(Reduce::Max, axes);
    /// Smallest element over axes; ties share the derivative; NaN wins.
    min min_keep min_all |x, axes| x.extremum_axes(Reduce::Min, axes);
    /// `ln sum e^x` over axes, without overflow.
    logsumexp logsumexp_keep logsumexp_all |x, axes| x.logsumexp_axes(axes);
}

impl Array {
    /// Variance over axes with divisor `n - correction` (0: population, 1: sample).
    #[track_caller]
    pub fn var(&self, axes: &[isize], correction: f64) -> Array {
        let resolved = shape::axes("var", axes, self.shape());
        self.var_keep(axes, correction).drop_axes(&resolved)
    }

    /// The same with the reduced axes kept at size one.
    #[track_caller]
    pub fn var_keep(&self, axes: &[isize], correction: f64) -> Array {
        let resolved = shape::axes("var", axes, self.shape());
        let centred = self - self.mean_keep(axes);
        centred.square().sum_axes(&resolved) * (1.0 / (count(self, &resolved) as f64 - correction))
    }

    /// Whether any element over all axes is true (or nonzero).
    pub fn any(&self) -> bool {
        self.cast(self.device().index_dtype()).abs().max_all().item() != 0.0
    }

    /// Whether all elements are true (or nonzero).
    pub fn all(&self) -> bool {
        self.cast(self.device().index_dtype()).abs().min_all().item() != 0.0
    }
}
