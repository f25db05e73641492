//! Dense linear algebra: solves, factorizations and their derivatives.
//!
//! All operations take batches: the last two axes are a matrix, the leading ones count matrices. They run on f64 and f32 (cast
//! half floats first), on the host (an array on a GPU is copied there and its result back), in parallel over the batch. The
//! result depends neither on the number of threads nor on whether a matrix comes alone or in a batch.
//!
//! | to | use |
//! | --- | --- |
//! | solve a square system | [`Array::solve`]; [`Array::lu`] for several right-hand sides |
//! | solve a symmetric positive definite system | [`Array::cholesky`], [`Array::cholesky_solve`] |
//! | fit more equations than unknowns, or find the smallest solution of fewer | [`Array::lstsq`] |
//! | the same for a matrix that lacks rank | [`Array::pinv`] |
//! | a large sparse system | [`Csr`](crate::sparse::Csr) |
//!
//! Derivatives are exact to any order, by the rules of Giles (An extended collection of matrix derivative results, 2008),
//! Murray (Differentiation of the Cholesky decomposition, 2016), Walter and Lehmann (Algorithmic differentiation of linear
//! algebra functions, 2010) and Golub and Pereyra (1973), written in array operations. Solves reuse their factors in
//! every order of the derivative.

mod batch;
mod cholesky;
mod eigh;
mod error;
mod expm;
mod lu;
mod qr;
mod svd;
mod triangular;

pub(crate) use batch::{Real, check_finite, with_real};
pub use error::LinalgError;
pub use lu::Lu;

use crate::Array;

/// The `rows` by `columns` constant with entries `f(i, j)`, beside `like` in dtype and device.
pub(crate) fn constant(
    like: &Array,
    rows: usize,
    columns: usize,
    f: impl Fn(usize, usize) -> f64,
) -> Array {
    let values = (0..rows * columns).map(|e| f(e / columns, e % columns)).collect();
    like.device().with(|| Array::from_vec::<f64>(values, &[rows, columns]).cast(like.dtype()))
}

/// Keeps the lower triangle, with the diagonal multiplied by `diagonal`.
fn lower(x: &Array, diagonal: f64) -> Array {
    let weight = |i: usize, j: usize| if i == j { diagonal } else { f64::from(u8::from(i > j)) };
    x * constant(x, x.dim(-2), x.dim(-1), weight)
}

/// Keeps the upper triangle with the diagonal.
fn upper(x: &Array) -> Array {
    x * constant(x, x.dim(-2), x.dim(-1), |i, j| f64::from(u8::from(i <= j)))
}

/// `(x + x^T) / 2`
fn symmetric(x: Array) -> Array {
    (x.t() + x) * 0.5
}

#[track_caller]
fn check_matrix(operation: &str, x: &Array) {
    assert!(
        x.rank() >= 2,
        "{operation}: needs a matrix or a batch of them, got shape {:?}",
        x.shape()
    );
    batch::check_real(operation, x.dtype());
}

#[track_caller]
fn check_square(operation: &str, x: &Array) {
    check_matrix(operation, x);
    assert!(
        x.dim(-2) == x.dim(-1),
        "{operation}: needs square matrices, got shape {:?}",
        x.shape()
    );
}

/// Runs `solve` on a right-hand side of shape `[..., n, k]`; a vector `[n]` is taken as one column. `rows` is what `n` must be.
#[track_caller]
fn with_columns(
    operation: &str,
    a: &Array,
    b: &Array,
    rows: usize,
    solve: impl FnOnce(&Array) -> Array,
) -> Array {
    assert!(
        a.dtype() == b.dtype(),
        "{operation}: dtypes differ: {} {:?} and {} {:?}",
        a.dtype(),
        a.shape(),
        b.dtype(),
        b.shape()
    );
    let vector = b.rank() == 1;
    let fits = b.rank() >= 1 && b.dim(if vector { 0 } else { -2 }) == rows;
    assert!(
        fits,
        "{operation}: the right-hand side needs {rows} rows: {:?} and {:?}; add an axis to a batch of vectors",
        a.shape(),
        b.shape()
    );
    if vector { solve(&b.unsqueeze(1)).squeeze(-1) } else { solve(b) }
}
