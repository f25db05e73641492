//! Loops over slices, compiled per instruction set, and what an operation gives to be looped over.

use std::mem::MaybeUninit;

use super::parallel::Work;
use super::simd::{Isa, per_isa};

/// Numbers that an operation on one array takes besides its elements.
pub(crate) type Params<T> = [T; 2];

/// An operation on one number.
pub(crate) trait Map<T>: 'static {
    /// Whether some elements need [`Map::special`].
    const GUARDED: bool = false;
    fn apply<I: Isa>(p: Params<T>, x: T) -> T;
    #[inline(always)]
    fn is_special(_x: T) -> bool {
        false
    }
    fn special(x: T) -> T {
        x
    }
}

/// An operation on two numbers.
pub(crate) trait Zip<T>: 'static {
    fn apply<I: Isa>(p: T, a: T, b: T) -> T;
}

type MapInto<T> = fn(Params<T>, &[T], &mut [MaybeUninit<T>]);
type MapInPlace<T> = fn(Params<T>, &mut [T]);
type ZipInto<T> = fn(T, &[T], &[T], &mut [MaybeUninit<T>]);
type ZipLeft<T> = fn(T, &mut [T], &[T]);
type ZipRight<T> = fn(T, &[T], &mut [T]);

/// Writes a comparison of two slices.
pub(crate) type CompareKernel<T> = fn(&[T], &[T], &mut [MaybeUninit<u8>]);

/// An operation on one array, ready to run on slices.
#[derive(Clone, Copy)]
pub(crate) struct UnaryKernel<T: 'static> {
    pub work: Work,
    params: Params<T>,
    write: MapInto<T>,
    in_place: MapInPlace<T>,
}

impl<T: bytemuck::Pod> UnaryKernel<T> {
    pub(crate) fn of<O: Map<T>>(params: Params<T>, work: Work) -> Self {
        Self { work, params, write: map_into::<T, O>, in_place: map_in_place::<T, O> }
    }

    /// Writes `f(x)` to `out`, of the same length.
    #[inline]
    pub(crate) fn write(&self, x: &[T], out: &mut [MaybeUninit<T>]) {
        debug_assert_eq!(x.len(), out.len());
        (self.write)(self.params, x, out);
    }

    /// Replaces `x` by `f(x)`.
    #[inline]
    pub(crate) fn in_place(&self, x: &mut [T]) {
        (self.in_place)(self.params, x);
    }
}

/// An operation on two arrays, ready to run on slices.
#[derive(Clone, Copy)]
pub(crate) struct BinaryKernel<T: 'static> {
    pub work: Work,
    param: T,
    write: ZipInto<T>,
    left: ZipLeft<T>,
    right: ZipRight<T>,
}

impl<T: bytemuck::Pod> BinaryKernel<T> {
    pub(crate) fn of<O: Zip<T>>(param: T, work: Work) -> Self {
        Self {
            work,
            param,
            write: zip_into::<T, O>,
            left: zip_left::<T, O>,
            right: zip_right::<T, O>,
        }
    }

    /// Writes `f(a, b)` to `out`; all of the same length.
    #[inline]
    pub(crate) fn write(&self, a: &[T], b: &[T], out: &mut [MaybeUninit<T>]) {
        debug_assert!(a.len() == out.len() && b.len() == out.len());
        (self.write)(self.param, a, b, out);
    }

    /// Replaces `a` by `f(a, b)`.
    #[inline]
    pub(crate) fn left(&self, a: &mut [T], b: &[T]) {
        debug_assert_eq!(a.len(), b.len());
        (self.left)(self.param, a, b);
    }

    /// Replaces `b` by `f(a, b)`.
    #[inline]
    pub(crate) fn right(&self, a: &[T], b: &mut [T]) {
        debug_assert_eq!(a.len(), b.len());
        (self.right)(self.param, a, b);
    }
}

per_isa! {
    fn map_into<T: bytemuck::Pod, O: Map<T>>(p: Params<T>, x: &[T], out: &mut [MaybeUninit<T>]) = map_into_body
}
per_isa! {
    fn map_in_place<T: bytemuck::Pod, O: Map<T>>(p: Params<T>, x: &mut [T]) = map_in_place_body
}
per_isa! {
    fn zip_into<T: bytemuck::Pod, O: Zip<T>>(p: T, a: &[T], b: &[T], out: &mut [MaybeUninit<T>]) = zip_into_body
}
per_isa! {
    fn zip_left<T: bytemuck::Pod, O: Zip<T>>(p: T, a: &mut [T], b: &[T]) = zip_left_body
}
per_isa! {
    fn zip_right<T: bytemuck::Pod, O: Zip<T>>(p: T, a: &[T], b: &mut [T]) = zip_right_body
}

#[inline(always)]
fn map_into_body<I: Isa, T: bytemuck::Pod, O: Map<T>>(
    p: Params<T>,
    x: &[T],
    out: &mut [MaybeUninit<T>],
) {
    for (&x, out) in x.iter().zip(out.iter_mut()) {
        out.write(O::apply::<I>(p, x));
    }
    if O::GUARDED {
        for (&x, out) in x.iter().zip(out) {
            if O::is_special(x) {
                out.write(O::special(x));
            }
        }
    }
}

#[inline(always)]
fn map_in_place_body<I: Isa, T: bytemuck::Pod, O: Map<T>>(p: Params<T>, x: &mut [T]) {
    if !O::GUARDED {
        for x in x {
            *x = O::apply::<I>(p, *x);
        }
        return;
    }
    let mut before = [T::zeroed(); 256];
    for x in x.chunks_mut(before.len()) {
        let before = &mut before[..x.len()];
        before.copy_from_slice(x);
        for (x, &before) in x.iter_mut().zip(before.iter()) {
            *x = O::apply::<I>(p, before);
        }
        for (x, &before) in x.iter_mut().zip(before.iter()) {
            if O::is_special(before) {
                *x = O::special(before);
            }
        }
    }
}

#[inline(always)]
fn zip_into_body<I: Isa, T: bytemuck::Pod, O: Zip<T>>(
    p: T,
    a: &[T],
    b: &[T],
    out: &mut [MaybeUninit<T>],
) {
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        out.write(O::apply::<I>(p, a, b));
    }
}

#[inline(always)]
fn zip_left_body<I: Isa, T: bytemuck::Pod, O: Zip<T>>(p: T, a: &mut [T], b: &[T]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = O::apply::<I>(p, *a, b);
    }
}

#[inline(always)]
fn zip_right_body<I: Isa, T: bytemuck::Pod, O: Zip<T>>(p: T, a: &[T], b: &mut [T]) {
    for (&a, b) in a.iter().zip(b) {
        *b = O::apply::<I>(p, a, *b);
    }
}
