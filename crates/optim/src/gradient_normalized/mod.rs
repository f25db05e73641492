//! Newton's method regularized by the gradient, with approximate Hessians.
//!
//! - [`GradientRegularizedNewton`]: the method; [`Search`] finds its one parameter, [`Linear`] says how steps are solved for
//! - [`descend`] runs it, or a baseline, on a [`CurvedProblem`] in a [`Metric`]; [`problems`] has some
//! - [`GradientNormalized`]: for networks, by products, as an [`Optimizer`](crate::Optimizer)
//! - [`smoothness_along`]: the quantity behind the method, measured
//!
//! Baselines: [`BacktrackingGradient`], [`FastGradient`], [`SuperUniversalNewton`], [`CubicNewton`].

mod baselines;
mod curvature;
mod descent;
mod krylov;
mod metric;
mod network;
mod newton;
pub mod problems;
mod search;
mod smoothness;
mod solver;
#[cfg(test)]
mod tests;

pub use baselines::{BacktrackingGradient, CubicNewton, FastGradient, SuperUniversalNewton};
pub use curvature::{Approximation, Curvature, Product};
pub use descent::{
    Counts, CurvedProblem, Descent, DescentError, Outcome, Progress, Record, Status, Stopping,
    descend,
};
pub use metric::{Metric, MetricError};
pub use network::{GnsConfig, GradientNormalized, Products};
pub use newton::GradientRegularizedNewton;
pub use search::Search;
pub use smoothness::smoothness_along;
pub use solver::{Backend, Linear, NotLowRank, Solver, Work};
