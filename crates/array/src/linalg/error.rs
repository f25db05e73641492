//! How a factorization or solve can fail.

/// Why a matrix has no such factorization or solution, and what to try. `batch` is the position in a batch of matrices, with
/// leading axes flattened; `None` for a single matrix.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinalgError {
    /// A pivot is exactly zero.
    #[error(
        "{operation}: {} is singular (pivot {pivot} is zero); use `lstsq` or `pinv`, or add a small multiple of the identity",
        which(*batch)
    )]
    Singular {
        /// The operation.
        operation: &'static str,
        /// Which matrix of the batch.
        batch: Option<usize>,
        /// Row of the pivot.
        pivot: usize,
    },
    /// A Cholesky pivot is not positive.
    #[error(
        "{operation}: {} is not positive definite (pivot {pivot} is not positive); add a small multiple of the identity \
         (jitter), or use `solve` or `eigh`",
        which(*batch)
    )]
    NotPositiveDefinite {
        /// The operation.
        operation: &'static str,
        /// Which matrix of the batch.
        batch: Option<usize>,
        /// Row of the pivot; the leading block before it is positive definite.
        pivot: usize,
    },
    /// A matrix that should have full rank has less.
    #[error(
        "{operation}: {} of {rows} by {columns} has dependent rows or columns (found at number {pivot}); use `pinv`, which \
         drops directions below a tolerance",
        which(*batch)
    )]
    RankDeficient {
        /// The operation.
        operation: &'static str,
        /// Which matrix of the batch.
        batch: Option<usize>,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
        /// The first column (row, if there are fewer rows) that depends on those before it.
        pivot: usize,
    },
    /// The input holds NaN or an infinity.
    #[error("{operation}: {} holds NaN or an infinity; check what computed it", which(*batch))]
    NotFinite {
        /// The operation.
        operation: &'static str,
        /// Which matrix of the batch.
        batch: Option<usize>,
    },
    /// The iteration for eigenvalues or singular values did not converge.
    #[error("{operation}: the iteration did not converge on {}; scale the matrix, or use f64", which(*batch))]
    NoConvergence {
        /// The operation.
        operation: &'static str,
        /// Which matrix of the batch.
        batch: Option<usize>,
    },
    /// A sparse matrix was to be factored as symmetric but is not.
    #[error(
        "{operation}: the matrix is not symmetric at row {row}, column {column}; use `lu`, or symmetrise it"
    )]
    NotSymmetric {
        /// The operation.
        operation: &'static str,
        /// Row of the entry that differs from its mirror image.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// The factors do not fit into memory.
    #[error("{operation}: not enough memory for the factors; use an iterative solver")]
    OutOfMemory {
        /// The operation.
        operation: &'static str,
    },
}

fn which(batch: Option<usize>) -> String {
    batch.map_or_else(|| "the matrix".to_owned(), |i| format!("matrix {i} of the batch"))
}
