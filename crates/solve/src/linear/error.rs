//! How a linear solve can fail.

use lisse_array::linalg::LinalgError;

/// Why a linear system has no trustworthy solution, and what to try.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinearError {
    /// The method stopped with a residual above the bound.
    #[error(
        "{method}: the relative residual is {residual:.3e} after {iterations} iterations, above the bound {bound:.1e}; if the \
         operator is singular use least squares (lsqr) or a ridge, otherwise allow more iterations or give a preconditioner"
    )]
    Residual {
        /// The method.
        method: &'static str,
        /// `|b - A x| / |b|` that was reached.
        residual: f64,
        /// What it must not exceed.
        bound: f64,
        /// Iterations made.
        iterations: usize,
    },
    /// A factorization met a singular matrix.
    #[error(
        "{method}: the matrix of size {size} is singular to working precision (condition {condition:.1e}); use least squares \
         (lsqr) for the solution of smallest norm, add a ridge, or fix the directions that do not matter"
    )]
    Singular {
        /// The method.
        method: &'static str,
        /// Rows.
        size: usize,
        /// Estimated condition number in the 1-norm; infinite if a pivot is exactly zero.
        condition: f64,
    },
    /// A method for positive definite operators met a direction of curvature that is not positive.
    #[error(
        "{method}: the operator is not positive definite (curvature {curvature:.3e} in iteration {iteration}); use minres if it \
         is symmetric, gmres or lu otherwise"
    )]
    NotPositiveDefinite {
        /// The method.
        method: &'static str,
        /// `p^T A p / p^T p` of the direction.
        curvature: f64,
        /// Where it was met; a pivot's row for factorizations.
        iteration: usize,
    },
    /// The terms of the Neumann series grow.
    #[error(
        "neumann: the terms of the series grow by {ratio:.3} per term, so I - A does not contract; use gmres, which needs no \
         contraction"
    )]
    NotContracting {
        /// Ratio of the norms of the last two terms.
        ratio: f64,
    },
    /// NaN or infinity in the right-hand side, the start or a product.
    #[error("{method}: {what} holds NaN or an infinity; check what computed it")]
    NotFinite {
        /// The method.
        method: &'static str,
        /// Where it was found.
        what: &'static str,
    },
    /// Sizes do not fit.
    #[error("the operator is {rows} by {columns}, {what} has {len} elements; it needs {need}")]
    Size {
        /// Rows of the operator.
        rows: usize,
        /// Columns of the operator.
        columns: usize,
        /// The vector.
        what: &'static str,
        /// Its length.
        len: usize,
        /// What would fit.
        need: usize,
    },
    /// A method for square operators was given another.
    #[error("{method}: needs a square operator, got {rows} by {columns}; use lsqr or normal-cg")]
    NotSquare {
        /// The method.
        method: &'static str,
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// A least-squares method without the transposed product.
    #[error(
        "{method}: needs the transposed product; add it by Operator::with_transpose, or state that the operator is symmetric"
    )]
    NoTranspose {
        /// The method.
        method: &'static str,
    },
    /// An option outside its range.
    #[error("linear solver: {option} is {value}, it must be {range}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it was.
        value: f64,
        /// What would be right.
        range: &'static str,
    },
    /// Another failure of a dense factorization.
    #[error(transparent)]
    Dense(#[from] LinalgError),
}
