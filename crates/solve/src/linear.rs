//! Linear systems `A x = b` for an operator that is known by its products: Krylov methods, least squares and dense factors.
//!
//! An [`Operator`] is a product (and, where a method needs it, the transposed product) with a size and a [`Structure`]. A
//! [`LinearSolver`] is a method with its tolerances; it reads the structure, reports what it reached in a [`Report`], and
//! refuses a solution whose relative residual exceeds [`bound`](LinearSolver::bound). Vectors are f64 slices; operators
//! written on arrays are wrapped by [`Operator::arrays`].
//!
//! | operator | method ([`Method::Auto`] takes the first of a row) |
//! | --- | --- |
//! | symmetric positive definite | [`Cg`](Method::Cg), [`Cholesky`](Method::Cholesky) |
//! | symmetric | [`Minres`](Method::Minres) |
//! | general | [`Gmres`](Method::Gmres), [`BiCgStab`](Method::BiCgStab), [`Lu`](Method::Lu), [`Qr`](Method::Qr) |
//! | `I - T` with a contraction `T` | [`Neumann`](Method::Neumann) |
//! | singular or rectangular | [`Lsqr`](Method::Lsqr), [`NormalCg`](Method::NormalCg) |
//!
//! ```
//! use lisse_solve::linear::{LinearSolver, Operator, Structure};
//! let a = Operator::slices(2, |x, y| {
//!     y[0] = 4.0 * x[0] + x[1];
//!     y[1] = x[0] + 3.0 * x[1];
//! })
//! .structure(Structure::PositiveDefinite);
//! let solution = LinearSolver::default().solve(&a, &[1.0, 2.0])?;
//! assert!((solution.x[0] - 1.0 / 11.0).abs() < 1e-12 && solution.report.residual < 1e-10);
//! # Ok::<(), lisse_solve::linear::LinearError>(())
//! ```

mod batch;
mod dense;
mod error;
mod krylov;
mod least_squares;
mod minres;
mod operator;
mod solver;
#[cfg(test)]
mod tests;
pub mod vector;

pub use batch::{BatchReport, cg_batch};
pub use dense::{Factor, gram};
pub use error::LinearError;
pub use operator::{Operator, Structure};
pub use solver::{ApproximateInverse, LinearSolver, Method, Preconditioner, Report, Solution};
