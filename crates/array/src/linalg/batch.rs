//! Running a kernel on each matrix of a batch.

use crate::cpu::CpuTensor;
use faer::{Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::linalg::LinalgError;
use crate::shape::{self, Dims};
use crate::storage::{elements, raw_tensor};
use crate::{Array, DType, Element};

/// Numbers that factorizations run in.
pub(crate) trait Real:
    faer::traits::RealField + Element<Raw = Self> + bytemuck::Pod
{
    /// Distance from one to the next number.
    const EPSILON: Self;
}
impl Real for f64 {
    const EPSILON: f64 = f64::EPSILON;
}
impl Real for f32 {
    const EPSILON: f32 = f32::EPSILON;
}

#[track_caller]
pub(crate) fn check_real(operation: &str, dtype: DType) {
    assert!(
        matches!(dtype, DType::F64 | DType::F32),
        "{operation}: runs in f64 and f32, got {dtype}; cast first"
    );
}

/// Runs `$body` with `$T` bound to `f64` or `f32`; other dtypes must have been refused before.
macro_rules! with_real {
    ($dtype:expr, $T:ident => $body:expr) => {
        if $dtype == $crate::DType::F64 {
            type $T = f64;
            $body
        } else {
            type $T = f32;
            $body
        }
    };
}
pub(crate) use with_real;

/// Matrices of one shape: `lead` counts them, each is row-major.
pub(crate) struct Batch<T> {
    pub lead: Dims,
    pub rows: usize,
    pub columns: usize,
    tensor: CpuTensor,
    element: std::marker::PhantomData<T>,
}

impl<T: Real> Batch<T> {
    pub fn new(x: &Array) -> Batch<T> {
        let (lead, matrix) = x.shape().split_at(x.rank() - 2);
        Batch {
            lead: Dims::from(lead),
            rows: matrix[0],
            columns: matrix[1],
            tensor: x.to_cpu(),
            element: std::marker::PhantomData,
        }
    }

    pub fn count(&self) -> usize {
        self.lead.iter().product()
    }

    pub fn values(&self, i: usize) -> &[T] {
        let size = self.rows * self.columns;
        &elements::<T>(&self.tensor)[i * size..(i + 1) * size]
    }

    pub fn matrix(&self, i: usize) -> MatRef<'_, T> {
        MatRef::from_row_major_slice(self.values(i), self.rows, self.columns)
    }

    /// The position of matrix `i` for messages.
    pub fn place(&self, i: usize) -> Option<usize> {
        (!self.lead.is_empty()).then_some(i)
    }

    pub fn check_finite(&self, operation: &'static str, i: usize) -> Result<(), LinalgError> {
        check_finite(operation, self.values(i), self.place(i))
    }
}

pub(crate) fn check_finite<T: Real>(
    operation: &'static str,
    values: &[T],
    batch: Option<usize>,
) -> Result<(), LinalgError> {
    if values.iter().all(|v| Element::to_f64(*v).is_finite()) {
        Ok(())
    } else {
        Err(LinalgError::NotFinite { operation, batch })
    }
}

/// Size from which one matrix is worth all threads.
const PARALLEL_INSIDE: usize = 256;
/// Splitting of the work on one matrix. Fixed, so that sums are split alike on every machine.
const PIECES: usize = 8;

/// How a matrix of this size is to be worked on. Depends on nothing else, for the sake of reproducible rounding.
pub(crate) fn parallelism(size: usize) -> Par {
    if size >= PARALLEL_INSIDE { Par::rayon(PIECES) } else { Par::Seq }
}

/// `kernel` on each of `count` matrices of about `size` rows; the failure of the first that fails.
pub(crate) fn each<R: Send>(
    count: usize,
    size: usize,
    kernel: impl Fn(usize, Par) -> Result<R, LinalgError> + Sync,
) -> Result<Vec<R>, LinalgError> {
    let par = parallelism(size);
    let small = count * size * size * size < 1 << 15;
    if count == 1 || small || matches!(par, Par::Rayon(_)) {
        return (0..count).map(|i| kernel(i, par)).collect();
    }
    // Collected before looking for failures: which failure is reported must not depend on the order of execution.
    let results: Vec<Result<R, LinalgError>> =
        (0..count).into_par_iter().map(|i| kernel(i, par)).collect();
    results.into_iter().collect()
}

/// [`each`] for kernels that cannot fail.
pub(crate) fn each_sure<R: Send>(
    count: usize,
    size: usize,
    kernel: impl Fn(usize, Par) -> R + Sync,
) -> Vec<R> {
    each(count, size, |i, par| Ok(kernel(i, par))).unwrap_or_default()
}

/// A matrix as row-major elements.
pub(crate) fn row_major<T: Real>(matrix: MatRef<'_, T>) -> Vec<T> {
    let mut values = vec![T::from_f64(0.0); matrix.nrows() * matrix.ncols()];
    MatMut::from_row_major_slice_mut(&mut values, matrix.nrows(), matrix.ncols()).copy_from(matrix);
    values
}

/// The array of shape `[...lead, ...tail]` made of `parts`, on the device of `like`.
pub(crate) fn gather<T: Real>(
    parts: &[Vec<T>],
    lead: &[usize],
    tail: &[usize],
    like: &Array,
) -> Array {
    let mut shape = Dims::from(lead);
    shape.extend_from_slice(tail);
    Array::from_cpu(raw_tensor(parts.concat(), &shape, T::DTYPE)).to_device(like.device())
}

/// For each position in a batch of shape `to`, the position in a batch of shape `from` that broadcasts to it.
pub(crate) fn broadcast_positions(from: &[usize], to: &[usize]) -> Vec<usize> {
    let strides = shape::strides(from);
    let lead = to.len() - from.len();
    let position = |mut i: usize| {
        let mut position = 0;
        for axis in (0..to.len()).rev() {
            if axis >= lead && from[axis - lead] != 1 {
                position += (i % to[axis]) * strides[axis - lead];
            }
            i /= to[axis];
        }
        position
    };
    (0..to.iter().product()).map(position).collect()
}

/// Solves with each matrix of a batch of shape `lead` against each of `b`, which broadcast: `solve(i, x, par)` replaces `x` by
/// the solution with matrix `i`.
pub(crate) fn solve_each<T: Real>(
    operation: &str,
    lead: &[usize],
    b: &Array,
    solve: impl Fn(usize, MatMut<'_, T>, Par) + Sync,
) -> Array {
    let b_batch = Batch::<T>::new(b);
    let out = shape::broadcast(operation, lead, &b_batch.lead);
    let (of_a, of_b) = (broadcast_positions(lead, &out), broadcast_positions(&b_batch.lead, &out));
    let parts = each_sure(of_a.len(), b_batch.rows, |i, par| {
        let mut x: Mat<T> = b_batch.matrix(of_b[i]).to_owned();
        solve(of_a[i], x.as_mut(), par);
        row_major(x.as_ref())
    });
    gather(&parts, &out, &[b_batch.rows, b_batch.columns], b)
}
