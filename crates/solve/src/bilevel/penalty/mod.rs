//! The penalty method for problems of two levels whose lower level may have many solutions and a simple set: gradients only.
//!
//! With `h_s = s f + g` and `l(x, s) = min over y in Y of h_s(x, y)` the penalised objective is `psi_s(x) = (l(x, s) - l(x, 0)) / s`. It lies
//! below the true `psi`, by `O(s)` where an error bound holds, and its gradient is `(dh_s/dx(x, y_s) - dg/dx(x, y_0)) / s` for any
//! minimizers. Reference: Kwon, Kwon, Wright and Nowak, "On Penalty Methods for Nonconvex Bilevel Optimization and First-Order Stochastic
//! Approximation", ICLR 2024, arXiv 2309.01753.

mod explicit;
mod lower;
mod report;
mod solver;
#[cfg(test)]
mod tests;

pub use explicit::{ExplicitGradient, explicit_gradient};
pub(crate) use lower::accelerated;
pub use lower::{LowerSolve, Penalised, penalised, solve_lower};
pub use report::{Ending, PenaltyReport, penalty_report};
pub use solver::{InnerStep, PenaltyBilevel, Streams};
