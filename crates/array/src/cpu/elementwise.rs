//! Element-wise operations on tensors: broadcast, in place where an operand is not needed any more.

use std::mem::MaybeUninit;

use super::alloc::output;
use super::copy::contiguous;
use super::layout::{Layout, Shape};
use super::loops::{BinaryKernel, CompareKernel, Map, Params, UnaryKernel, Zip};
use super::ops::{self, Binary, Compare, Unary};
use super::parallel::{Shared, Work, in_blocks};
use super::simd::{Isa, per_isa};
use super::store::{CHUNK, Store, as_computed, as_computed_mut, as_computed_room, zeroed};
use super::tensor::{CpuTensor, dtype, gapless, owned_mut, shape, span, stored};
use super::walk::{Source, Walk, broadcast};
use super::{floats, integers};
use crate::DType;

/// `op` on every element of floats; of integers where it has a meaning there.
pub(crate) fn unary(op: Unary, x: CpuTensor) -> CpuTensor {
    fn of_integers<T: integers::Integer + Store<C = T>>(op: Unary, x: CpuTensor) -> CpuTensor {
        match integers::unary_kernel::<T>(op) {
            Some(kernel) => map::<T>(&kernel, x),
            None => panic!("{op:?}: not an operation on {} arrays", dtype(&x)),
        }
    }
    floats!(dtype(&x), S => map::<S>(&ops::unary_kernel(op), x), else match dtype(&x) {
        DType::I64 => of_integers::<i64>(op, x),
        DType::I32 => of_integers::<i32>(op, x),
        DType::U8 => of_integers::<u8>(op, x),
        other => panic!("{op:?}: not an operation on {other} arrays"),
    })
}

/// `op` on two tensors of one dtype, broadcast as in numpy.
pub(crate) fn binary(op: Binary, a: CpuTensor, b: CpuTensor) -> CpuTensor {
    fn of_integers<T: integers::Integer + Store<C = T>>(
        op: Binary,
        a: CpuTensor,
        b: CpuTensor,
    ) -> CpuTensor {
        match integers::binary_kernel::<T>(op) {
            Some(kernel) => zip::<T>(&kernel, a, b),
            None => panic!("{op:?}: not an operation on {} arrays", dtype(&a)),
        }
    }
    same_dtype(&op, &a, &b);
    floats!(dtype(&a), S => zip::<S>(&ops::binary_kernel(op), a, b), else match dtype(&a) {
        DType::I64 => of_integers::<i64>(op, a, b),
        DType::I32 => of_integers::<i32>(op, a, b),
        DType::U8 => of_integers::<u8>(op, a, b),
        other => panic!("{op:?}: not an operation on {other} arrays"),
    })
}

/// Which elements of two tensors of one dtype compare so, broadcast as in numpy.
pub(crate) fn compare(op: Compare, a: CpuTensor, b: CpuTensor) -> CpuTensor {
    same_dtype(&op, &a, &b);
    floats!(dtype(&a), S => compare_with::<S>(ops::compare_kernel(op), &a, &b), else match dtype(&a) {
        DType::I64 => compare_with::<i64>(ops::compare_kernel(op), &a, &b),
        DType::I32 => compare_with::<i32>(ops::compare_kernel(op), &a, &b),
        _ => compare_with::<u8>(ops::compare_kernel(op), &a, &b),
    })
}

/// Elements of `a` where `cond` holds, else of `b`; all three broadcast.
pub(crate) fn select(cond: CpuTensor, a: CpuTensor, b: CpuTensor) -> CpuTensor {
    same_dtype(&"select", &a, &b);
    assert_eq!(dtype(&cond), DType::Bool, "select: the condition must be bool");
    match dtype(&a).size() {
        8 => select_with::<u64>(&cond, &a, &b),
        4 => select_with::<u32>(&cond, &a, &b),
        2 => select_with::<u16>(&cond, &a, &b),
        _ => select_with::<u8>(&cond, &a, &b),
    }
}

struct And;
struct Or;
struct Xor;
struct Not;

impl Zip<u8> for And {
    #[inline(always)]
    fn apply<I: Isa>(_: u8, a: u8, b: u8) -> u8 {
        a & b
    }
}
impl Zip<u8> for Or {
    #[inline(always)]
    fn apply<I: Isa>(_: u8, a: u8, b: u8) -> u8 {
        a | b
    }
}
impl Zip<u8> for Xor {
    #[inline(always)]
    fn apply<I: Isa>(_: u8, a: u8, b: u8) -> u8 {
        a ^ b
    }
}
impl Map<u8> for Not {
    #[inline(always)]
    fn apply<I: Isa>(_: Params<u8>, x: u8) -> u8 {
        x ^ 1
    }
}

/// Operations on two truth values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logical {
    And,
    Or,
    Xor,
}

/// `op` on two bool tensors, broadcast as in numpy.
pub(crate) fn logical(op: Logical, a: CpuTensor, b: CpuTensor) -> CpuTensor {
    assert!(dtype(&a) == DType::Bool && dtype(&b) == DType::Bool, "{op:?}: takes bool arrays");
    let kernel = match op {
        Logical::And => BinaryKernel::of::<And>(0, Work::Light),
        Logical::Or => BinaryKernel::of::<Or>(0, Work::Light),
        Logical::Xor => BinaryKernel::of::<Xor>(0, Work::Light),
    };
    zip::<u8>(&kernel, a, b)
}

/// The opposite of each truth value.
pub(crate) fn logical_not(x: CpuTensor) -> CpuTensor {
    assert_eq!(dtype(&x), DType::Bool, "not: takes a bool array");
    map::<u8>(&UnaryKernel::of::<Not>([0; 2], Work::Light), x)
}

fn same_dtype(op: &dyn std::fmt::Debug, a: &CpuTensor, b: &CpuTensor) {
    assert_eq!(dtype(a), dtype(b), "{op:?}: dtypes differ: {} and {}", dtype(a), dtype(b));
}

fn common_shape(a: &CpuTensor, b: &CpuTensor) -> Shape {
    match broadcast(shape(a), shape(b)) {
        Some(common) => Shape::from(common.as_slice()),
        None => panic!("shapes do not broadcast: {:?} and {:?}", shape(a), shape(b)),
    }
}

/// Applies a kernel to every element.
pub(crate) fn map<S: Store>(kernel: &UnaryKernel<S::C>, x: CpuTensor) -> CpuTensor {
    let mut x = if gapless(x.layout()) { x } else { contiguous(x) };
    let block = kernel.work.block();
    if let Some(values) = owned_mut::<S>(&mut x) {
        let n = values.len();
        let values = Shared::new(values);
        // SAFETY: blocks do not overlap.
        in_blocks(n, block, |range| map_in_place::<S>(kernel, unsafe { values.part(range) }));
        return x;
    }
    let values = span::<S>(&x);
    let n = values.len();
    let mut out = output::<S>(n);
    let room = Shared::new(out.room());
    in_blocks(n, block, |range| {
        // SAFETY: blocks do not overlap.
        map_into::<S>(kernel, &values[range.clone()], unsafe { room.part(range) });
    });
    let layout = Layout::new(x.layout().shape().clone(), x.layout().strides().to_vec(), 0);
    // SAFETY: the blocks cover all of it.
    unsafe { out.into_tensor_with(layout, dtype(&x)) }
}

fn map_into<S: Store>(kernel: &UnaryKernel<S::C>, x: &[S], out: &mut [MaybeUninit<S>]) {
    if S::SAME {
        return kernel.write(as_computed(x), as_computed_room(out));
    }
    let mut buffer = [bytemuck::Zeroable::zeroed(); CHUNK];
    for (x, out) in x.chunks(CHUNK).zip(out.chunks_mut(CHUNK)) {
        let buffer = &mut buffer[..x.len()];
        S::load(x, buffer);
        kernel.in_place(buffer);
        S::save(buffer, zeroed(out));
    }
}

fn map_in_place<S: Store>(kernel: &UnaryKernel<S::C>, x: &mut [S]) {
    if S::SAME {
        return kernel.in_place(as_computed_mut(x));
    }
    let mut buffer = [bytemuck::Zeroable::zeroed(); CHUNK];
    for x in x.chunks_mut(CHUNK) {
        let buffer = &mut buffer[..x.len()];
        S::load(x, buffer);
        kernel.in_place(buffer);
        S::save(buffer, x);
    }
}

/// Applies a kernel to pairs of elements.
pub(crate) fn zip<S: Store>(kernel: &BinaryKernel<S::C>, a: CpuTensor, b: CpuTensor) -> CpuTensor {
    if S::SAME
        && shape(&a) == shape(&b)
        && ((a.is_contiguous() && b.is_contiguous())
            || (a.layout().strides() == b.layout().strides() && gapless(a.layout())))
    {
        return zip_flat::<S>(kernel, a, b);
    }
    zip_broadcast::<S>(kernel, untangled(a), untangled(b))
}

/// Large tensors whose last axis is not the dense one, copied to row-major order: gathering their elements one by one
/// would use a cache line for each.
fn untangled(x: CpuTensor) -> CpuTensor {
    let layout = x.layout();
    let inner = layout.strides().iter().zip(layout.shape().iter()).rev().find(|&(_, &n)| n != 1);
    let scattered = inner.is_some_and(|(&s, _)| s.unsigned_abs() > 1);
    if scattered && layout.num_elements() >= 4096 { contiguous(x) } else { x }
}

/// Both tensors fill memory in the same order of axes.
fn zip_flat<S: Store>(
    kernel: &BinaryKernel<S::C>,
    mut a: CpuTensor,
    mut b: CpuTensor,
) -> CpuTensor {
    let n = a.layout().num_elements();
    let block = kernel.work.block();
    if let Some(left) = owned_mut::<S>(&mut a) {
        let right = as_computed(span::<S>(&b));
        let left = Shared::new(as_computed_mut(left));
        in_blocks(n, block, |range| {
            // SAFETY: blocks do not overlap.
            kernel.left(unsafe { left.part(range.clone()) }, &right[range]);
        });
        return a;
    }
    let left = as_computed(span::<S>(&a));
    if let Some(right) = owned_mut::<S>(&mut b) {
        let right = Shared::new(as_computed_mut(right));
        in_blocks(n, block, |range| {
            // SAFETY: blocks do not overlap.
            kernel.right(&left[range.clone()], unsafe { right.part(range) });
        });
        return b;
    }
    let right = as_computed(span::<S>(&b));
    let mut out = output::<S>(n);
    let room = Shared::new(as_computed_room(out.room()));
    in_blocks(n, block, |range| {
        // SAFETY: blocks do not overlap.
        kernel.write(&left[range.clone()], &right[range.clone()], unsafe { room.part(range) });
    });
    let layout = Layout::new(a.layout().shape().clone(), a.layout().strides().to_vec(), 0);
    // SAFETY: the blocks cover all of it.
    unsafe { out.into_tensor_with(layout, dtype(&a)) }
}

fn zip_broadcast<S: Store>(
    kernel: &BinaryKernel<S::C>,
    mut a: CpuTensor,
    mut b: CpuTensor,
) -> CpuTensor {
    let common = common_shape(&a, &b);
    let walk = Walk::new(&common, [a.layout(), b.layout()]);
    let block = kernel.work.block() / CHUNK;
    let fits = |x: &CpuTensor| S::SAME && shape(x) == &common[..] && x.is_contiguous();
    let (fits_a, fits_b) = (fits(&a), fits(&b));
    if fits_a && let Some(left) = owned_mut::<S>(&mut a) {
        let left = Shared::new(as_computed_mut(left));
        in_blocks(walk.chunks(), block, |range| {
            let mut right = Source::<S>::new(stored(&b), 1);
            for chunk in range.map(|i| walk.chunk(i)) {
                let right = right.fetch(&walk, chunk);
                // SAFETY: chunks do not overlap.
                kernel.left(unsafe { left.part(chunk.begin..chunk.begin + chunk.size()) }, right);
            }
        });
        return a;
    }
    if fits_b && let Some(right) = owned_mut::<S>(&mut b) {
        let right = Shared::new(as_computed_mut(right));
        in_blocks(walk.chunks(), block, |range| {
            let mut left = Source::<S>::new(stored(&a), 0);
            for chunk in range.map(|i| walk.chunk(i)) {
                let left = left.fetch(&walk, chunk);
                // SAFETY: chunks do not overlap.
                kernel.right(left, unsafe { right.part(chunk.begin..chunk.begin + chunk.size()) });
            }
        });
        return b;
    }
    let mut out = output::<S>(common.num_elements());
    let room = Shared::new(out.room());
    in_blocks(walk.chunks(), block, |range| {
        let mut left = Source::<S>::new(stored(&a), 0);
        let mut right = Source::<S>::new(stored(&b), 1);
        for chunk in range.map(|i| walk.chunk(i)) {
            let (left, right) = (left.fetch(&walk, chunk), right.fetch(&walk, chunk));
            // SAFETY: chunks do not overlap.
            let room = unsafe { room.part(chunk.begin..chunk.begin + chunk.size()) };
            if S::SAME {
                kernel.write(left, right, as_computed_room(room));
            } else {
                let mut buffer = [bytemuck::Zeroable::zeroed(); CHUNK];
                let buffer = &mut buffer[..left.len()];
                buffer.copy_from_slice(left);
                kernel.left(buffer, right);
                S::save(buffer, zeroed(room));
            }
        }
    });
    // SAFETY: the chunks cover all of it.
    unsafe { out.into_tensor(common, dtype(&a)) }
}

fn compare_with<S: Store>(kernel: CompareKernel<S::C>, a: &CpuTensor, b: &CpuTensor) -> CpuTensor {
    let common = common_shape(a, b);
    let walk = Walk::new(&common, [a.layout(), b.layout()]);
    let mut out = output::<u8>(common.num_elements());
    let room = Shared::new(out.room());
    in_blocks(walk.chunks(), Work::Light.block() / CHUNK, |range| {
        let mut left = Source::<S>::new(stored(a), 0);
        let mut right = Source::<S>::new(stored(b), 1);
        for chunk in range.map(|i| walk.chunk(i)) {
            // SAFETY: chunks do not overlap.
            let room = unsafe { room.part(chunk.begin..chunk.begin + chunk.size()) };
            kernel(left.fetch(&walk, chunk), right.fetch(&walk, chunk), room);
        }
    });
    // SAFETY: the chunks cover all of it.
    unsafe { out.into_tensor(common, DType::Bool) }
}

per_isa! {
    fn choose<T: bytemuck::Pod>(cond: &[u8], a: &[T], b: &[T], out: &mut [MaybeUninit<T>]) = choose_body
}

#[inline(always)]
fn choose_body<I: Isa, T: bytemuck::Pod>(
    cond: &[u8],
    a: &[T],
    b: &[T],
    out: &mut [MaybeUninit<T>],
) {
    for (((&cond, &a), &b), out) in cond.iter().zip(a).zip(b).zip(out) {
        out.write(if cond != 0 { a } else { b });
    }
}

fn select_with<S: Store<C = S>>(cond: &CpuTensor, a: &CpuTensor, b: &CpuTensor) -> CpuTensor {
    let of_two = common_shape(a, b);
    let Some(common) = broadcast(shape(cond), &of_two) else {
        panic!(
            "select: shapes do not broadcast: {:?}, {:?} and {:?}",
            shape(cond),
            shape(a),
            shape(b)
        );
    };
    let common = Shape::from(common.as_slice());
    let walk = Walk::new(&common, [cond.layout(), a.layout(), b.layout()]);
    let mut out = output::<S>(common.num_elements());
    let room = Shared::new(out.room());
    in_blocks(walk.chunks(), Work::Light.block() / CHUNK, |range| {
        let mut conds = Source::<u8>::new(stored(cond), 0);
        let mut left = Source::<S>::new(stored(a), 1);
        let mut right = Source::<S>::new(stored(b), 2);
        for chunk in range.map(|i| walk.chunk(i)) {
            // SAFETY: chunks do not overlap.
            let room = unsafe { room.part(chunk.begin..chunk.begin + chunk.size()) };
            let cond = conds.fetch(&walk, chunk);
            choose(cond, left.fetch(&walk, chunk), right.fetch(&walk, chunk), room);
        }
    });
    // SAFETY: the chunks cover all of it.
    unsafe { out.into_tensor(common, dtype(a)) }
}
