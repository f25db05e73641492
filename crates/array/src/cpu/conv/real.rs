//! The element types of the register-blocked kernels, over the processor's vectors.

use pulp::Simd;

use crate::Element;

/// f32 or f64 with its vector operations.
pub(crate) trait Real:
    Element<Raw = Self>
    + bytemuck::Pod
    + PartialOrd
    + std::ops::AddAssign
    + std::ops::Mul<Output = Self>
{
    /// Zero.
    const ZERO: Self;
    /// The processor's vector of this type.
    type Vector<S: Simd>: bytemuck::Pod;
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// Elements in a vector.
    #[inline(always)]
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }
}

macro_rules! real {
    ($t:ty, $vector:ident, $splat:ident, $mul_add:ident) => {
        impl Real for $t {
            const ZERO: $t = 0.0;
            type Vector<S: Simd> = S::$vector;
            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: $t) -> S::$vector {
                simd.$splat(value)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                c: S::$vector,
            ) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
        }
    };
}
real!(f32, f32s, splat_f32s, mul_add_f32s);
real!(f64, f64s, splat_f64s, mul_add_f64s);

/// An element count as the number of worker threads sees it: how many pieces to cut work into.
pub(super) fn pieces(per_thread: usize) -> usize {
    per_thread * rayon::current_num_threads()
}

/// A pointer that several tasks may write through, each to elements of its own.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(pub *mut T);
// SAFETY: tasks that hold a copy write to disjoint elements, which is for their maker to ensure.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}
impl<T> Shared<T> {
    /// Through a method, so that closures capture the wrapper and not its field.
    pub fn get(self) -> *mut T {
        self.0
    }
}
