//! Optimal transport: entropic, quadratic, exact, and with few entries in every column of the plan.
//!
//! - [`Problem`]: masses and costs, from matrices or points; infinite costs forbid pairs
//! - [`SparseOt`]: at most `k` sources for every target (Liu, Puigcerver and Blondel, 2023), quadratic regularization without `k`; with a certified gap
//! - [`Sinkhorn`]: entropic; [`solve_exact`]: no regularization
//! - layers: [`SparseOt::layer`], [`Sinkhorn::layer`], [`exact_cost`]; [`Router`] for mixtures of experts
//! - files: [`read_problem`], [`write_plan`]
//!
//! Plans are `T`: `T_ij` is what source `i` sends to target `j`, rows sum to `a`, columns to `b`.

mod ascent;
mod bundle;
mod certificate;
mod columns;
mod error;
mod exact;
mod files;
mod layer;
mod plan;
mod problem;
pub mod recipes;
mod rounding;
mod router;
mod simd;
mod sinkhorn;
mod sparse;
#[cfg(test)]
mod tests;

pub use ascent::{Record, Status};
pub use certificate::{Certificate, half_squared_k_support_norm};
pub use columns::project_sparse_simplex;
pub use error::TransportError;
pub use exact::{ExactTransport, solve_exact};
pub use files::{
    FileError, Marginals, PlanFormat, ProblemFiles, plan_picture, read_problem, write_plan,
};
pub use layer::{Transported, exact_cost};
pub use plan::SparsePlan;
pub use problem::{Metric, Problem};
pub use rounding::round_sparse;
pub use router::{Dispatch, Routed, Router, RouterRule, importance_loss, load_loss};
pub use sinkhorn::{EntropicTransport, Sinkhorn};
pub use sparse::{Axis, Solution, Solver, SparseOt};
