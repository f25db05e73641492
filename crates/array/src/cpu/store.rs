//! How element types are computed with: floats of 16 bits through f32, all others as they are.

use std::mem::MaybeUninit;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Elements per round through a buffer: small enough for the first-level cache.
pub(crate) const CHUNK: usize = 1024;

/// An element as it lies in memory.
pub(crate) trait Store: bytemuck::Pod + PartialOrd + Send + Sync {
    /// What kernels compute with.
    type C: bytemuck::Pod + PartialOrd + Send + Sync;
    /// Whether that is this type itself.
    const SAME: bool;
    /// Widens one element.
    fn widen(self) -> Self::C;
    /// Widens elements; both slices have one length.
    fn load(x: &[Self], out: &mut [Self::C]);
    /// Rounds results; both slices have one length.
    fn save(x: &[Self::C], out: &mut [Self]);
}

macro_rules! same {
    ($($t:ty)*) => {$(
        impl Store for $t {
            type C = $t;
            const SAME: bool = true;
            #[inline(always)]
            fn widen(self) -> $t {
                self
            }
            fn load(x: &[$t], out: &mut [$t]) {
                out.copy_from_slice(x);
            }
            fn save(x: &[$t], out: &mut [$t]) {
                out.copy_from_slice(x);
            }
        }
    )*};
}
// The unsigned types stand for any element of their size where values only move.
same!(f64 f32 i64 i32 u8 u16 u32 u64);

macro_rules! widened {
    ($($t:ty)*) => {$(
        impl Store for $t {
            type C = f32;
            const SAME: bool = false;
            fn widen(self) -> f32 {
                self.to_f32()
            }
            fn load(x: &[$t], out: &mut [f32]) {
                x.convert_to_f32_slice(out);
            }
            fn save(x: &[f32], out: &mut [$t]) {
                out.convert_from_f32_slice(x);
            }
        }
    )*};
}
widened!(f16 bf16);

/// A slice of elements that are computed with as they are, as what is computed with.
pub(crate) fn as_computed<S: Store>(x: &[S]) -> &[S::C] {
    debug_assert!(S::SAME);
    bytemuck::cast_slice(x)
}

/// Mutable [`as_computed`].
pub(crate) fn as_computed_mut<S: Store>(x: &mut [S]) -> &mut [S::C] {
    debug_assert!(S::SAME);
    bytemuck::cast_slice_mut(x)
}

/// [`as_computed`] of memory yet to be written.
pub(crate) fn as_computed_room<S: Store>(x: &mut [MaybeUninit<S>]) -> &mut [MaybeUninit<S::C>] {
    debug_assert!(S::SAME);
    assert_eq!(size_of::<S>(), size_of::<S::C>());
    // SAFETY: the same type, by `SAME`.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) }
}

/// Memory as elements, first made zero: for writers that only take initialised slices.
pub(crate) fn zeroed<T: bytemuck::Pod>(x: &mut [MaybeUninit<T>]) -> &mut [T] {
    x.fill(MaybeUninit::zeroed());
    // SAFETY: all bytes are initialised, and zero is a value of every plain type.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) }
}
