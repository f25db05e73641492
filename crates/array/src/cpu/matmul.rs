//! Batched matrix products of strided operands, by the `gemm` crate.

use gemm::Parallelism;
use rayon::prelude::*;

use super::tensor::{CpuTensor, stored};
use crate::{Element, shape};

/// Multiply-adds below which a product is not worth a second thread.
const PARALLEL_FROM: usize = 1 << 18;

/// One operand: its elements from the first one on, and how to step through it.
struct Operand<'a, T> {
    data: &'a [T],
    offset: isize,
    row: isize,
    column: isize,
    batch: shape::Dims,
}

impl<'a, T: bytemuck::Pod> Operand<'a, T> {
    /// `batch` is the shape of the broadcast leading axes; `batch` strides are stored as two's complement in `Dims`.
    fn new(t: &'a CpuTensor, batch: &[usize]) -> Self {
        let (s, strides) = (t.layout().shape(), t.layout().strides());
        let rank = s.len();
        let lead = batch.len() + 2 - rank;
        let stride = |i: usize| {
            if i < lead || (s[i - lead] == 1 && batch[i] != 1) {
                0
            } else {
                strides[i - lead] as usize
            }
        };
        Operand {
            data: stored::<T>(t),
            offset: t.layout().start_offset() as isize,
            row: strides[rank - 2],
            column: strides[rank - 1],
            batch: (0..batch.len()).map(stride).collect(),
        }
    }

    /// Start of the matrix at flat batch position `i`.
    fn start(&self, mut i: usize, batch: &[usize]) -> isize {
        let mut offset = self.offset;
        for axis in (0..batch.len()).rev() {
            offset += (i % batch[axis]) as isize * self.batch[axis] as isize;
            i /= batch[axis];
        }
        offset
    }
}

/// `a @ b` for shapes `[..., m, k]` and `[..., k, n]` that broadcast, in any layout.
pub(crate) fn matmul<T>(a: &CpuTensor, b: &CpuTensor) -> CpuTensor
where
    T: Element<Raw = T> + bytemuck::Pod + Send + Sync,
{
    let (sa, sb) = (a.layout().shape(), b.layout().shape());
    let (ra, rb) = (sa.len(), sb.len());
    let (m, k, n) = (sa[ra - 2], sa[ra - 1], sb[rb - 1]);
    let batch = shape::broadcast("matmul", &sa[..ra - 2], &sb[..rb - 2]);
    let count: usize = batch.iter().product();
    let mut out_shape = batch.clone();
    out_shape.extend_from_slice(&[m, n]);
    if m == 0 || n == 0 || k == 0 || count == 0 {
        return super::full(&out_shape, 0.0, T::DTYPE);
    }
    let (left, right) = (Operand::<T>::new(a, &batch), Operand::<T>::new(b, &batch));
    let mut out = super::output::<T>(count * m * n);
    let room = out.room();
    let one = |i: usize, dst: *mut T, parallelism: Parallelism| {
        // SAFETY: the strides and offsets come from layouts that lie within their buffers; `dst` has room for m * n
        // elements, which are written, not read.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                dst,
                1,
                n as isize,
                false,
                matrix_at(&left, i, &batch),
                left.column,
                left.row,
                matrix_at(&right, i, &batch),
                right.column,
                right.row,
                T::from_f64(0.0),
                T::from_f64(1.0),
                false,
                false,
                false,
                parallelism,
            );
        }
    };
    let work = m * n * k;
    if count == 1 || work >= PARALLEL_FROM * 8 {
        let parallelism =
            if work >= PARALLEL_FROM { Parallelism::Rayon(0) } else { Parallelism::None };
        for i in 0..count {
            // SAFETY: matrix i of the output lies within the capacity.
            one(i, unsafe { room.as_mut_ptr().add(i * m * n) }.cast(), parallelism);
        }
    } else if count * work < PARALLEL_FROM {
        for i in 0..count {
            // SAFETY: as above.
            one(i, unsafe { room.as_mut_ptr().add(i * m * n) }.cast(), Parallelism::None);
        }
    } else {
        room.par_chunks_mut(m * n)
            .enumerate()
            .for_each(|(i, chunk)| one(i, chunk.as_mut_ptr().cast(), Parallelism::None));
    }
    // SAFETY: every matrix of the output was written above.
    unsafe { out.into_tensor(crate::cpu::Shape::from(&out_shape[..]), T::DTYPE) }
}

fn matrix_at<T: bytemuck::Pod>(operand: &Operand<'_, T>, i: usize, batch: &[usize]) -> *const T {
    // SAFETY: the layout's offsets lie within the buffer.
    unsafe { operand.data.as_ptr().offset(operand.start(i, batch)) }
}
