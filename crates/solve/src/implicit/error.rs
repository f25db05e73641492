//! How implicit differentiation can fail.

use lisse_array::DType;

use crate::linear::LinearError;

/// Why a solution or its derivative is not available, and what to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImplicitError {
    /// The solver failed.
    #[error("the solver failed: {0}")]
    Solver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// NaN or infinity in a solution, parameter or cotangent.
    #[error("{what}: leaf `{leaf}` holds NaN or an infinity; check what computed it")]
    NotFinite {
        /// Solution, parameters, cotangent.
        what: &'static str,
        /// Path of the leaf.
        leaf: String,
    },
    /// A leaf of the solution in a type that no linear solver takes.
    #[error("{what}: leaf `{leaf}` is {dtype}; implicit derivatives need f64 or f32")]
    Type {
        /// Solution or cotangent.
        what: &'static str,
        /// Path of the leaf.
        leaf: String,
        /// Its element type.
        dtype: DType,
    },
    /// The residual of the condition has another shape than the solution.
    #[error(
        "condition `{condition}`: the residual has {got} elements, the solution {need}; F must map x to a tree like x"
    )]
    Shape {
        /// The condition.
        condition: &'static str,
        /// Elements of the residual.
        got: usize,
        /// Elements of the solution.
        need: usize,
    },
    /// The linear system of the derivative.
    #[error(
        "derivative of the solution of `{condition}` ({direction}; |F| = {optimality:.2e} there): with the Jacobian at the \
         solution, {source}"
    )]
    Linear {
        /// The condition.
        condition: &'static str,
        /// `reverse` or `forward`.
        direction: &'static str,
        /// `|F(x, theta)|` at the point that the solver returned.
        optimality: f64,
        /// What was wrong.
        source: LinearError,
    },
    /// The iteration of a map does not contract.
    #[error(
        "fixed point: the map does not contract, the steps grew by {ratio:.3} per iteration (after {iterations}); damp the map, \
         or solve `x - T(x) = 0` as a root"
    )]
    NotContracting {
        /// Ratio of the last two steps.
        ratio: f64,
        /// Iterations made.
        iterations: usize,
    },
    /// The iteration of a map stopped early.
    #[error(
        "fixed point: the step is {step:.2e} after {iterations} iterations, above the tolerance {tolerance:.1e}; allow more"
    )]
    NotConverged {
        /// Length of the last step.
        step: f64,
        /// Iterations made.
        iterations: usize,
        /// What was asked for.
        tolerance: f64,
    },
    /// Unrolling a condition that has no map.
    #[error(
        "`{condition}` is a root, not a fixed point: it has no map to unroll; use Implicit, or Condition::fixed_point"
    )]
    NoMap {
        /// The condition.
        condition: &'static str,
    },
    /// An option outside its range.
    #[error("{option} is {value}, it must be {range}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it was.
        value: String,
        /// What would be right.
        range: &'static str,
    },
}
