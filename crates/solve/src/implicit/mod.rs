//! Derivatives of solutions: implicit differentiation of roots, minimizers and fixed points.
//!
//! Three values, chosen apart (Blondel et al., Efficient and modular implicit differentiation, 2022):
//!
//! - the **problem**: a [`Condition`] `F(x, theta) = 0` that the solution satisfies, from the [catalogue](Condition#catalogue)
//!   or a closure;
//! - the **solver**: any function from `theta` to a solution. It is not differentiated and may be a black box;
//! - the **derivative of the solve**: [`Implicit`] (one linear solve with the Jacobian of `F`), or [`Unroll`] (through
//!   iterations of a fixed-point map, optionally with checkpoints).
//!
//! [`solve`] joins them. Its result takes part in every transformation of `lisse_array`: reverse and forward mode, any order.
//! With `A = d F / d x` at the solution, a cotangent `w` comes back as `-(d F / d theta)^T A^{-T} w`.
//!
//! ```
//! use lisse_array::{Array, grad};
//! use lisse_solve::implicit::{Condition, Implicit, solve};
//! // x(theta) = argmin (x - theta)^2 / 2 + x^4 / 4
//! let problem = Condition::stationary(|x: &Array, theta: &Array| {
//!     ((x - theta).square() * 0.5 + x.square().square() * 0.25).sum_all()
//! });
//! let newton = |theta: &Array| -> Result<Array, std::convert::Infallible> {
//!     let (t, mut x) = (theta.item(), 0.0f64);
//!     for _ in 0..50 {
//!         x -= (x - t + x.powi(3)) / (1.0 + 3.0 * x * x);
//!     }
//!     Ok(Array::scalar(x))
//! };
//! let derivative = Implicit::default();
//! let slope = derivative.checked(|| {
//!     grad(|theta: &Array| solve(&problem, newton, &derivative, theta).expect("Newton's method is finite"))(&Array::scalar(2.0f64))
//! })?;
//! // 1 / (1 + 3 x^2) at x = 1
//! assert!((slope.item() - 0.25).abs() < 1e-12);
//! # Ok::<(), lisse_solve::implicit::ImplicitError>(())
//! ```

mod catalogue;
mod condition;
mod cone;
mod derivative;
mod error;
pub mod objectives;
pub(crate) mod recipes;
mod root;
pub mod spheres;
mod systems;
#[cfg(test)]
mod tests;
mod unroll;
mod vectors;

pub use catalogue::{Program, simplex_rows, soft_threshold};
pub use condition::{Condition, Map};
pub use cone::{Cone, ConeProgram, cone_solution, cone_start};
pub use derivative::{Derivative, Implicit, SolveReport, Unroll};
pub use error::ImplicitError;
pub use root::{Leafy, custom_fixed_point, custom_root, root_jvp, root_vjp, solve, solve_factored};
pub use unroll::{FixedPoint, FixedPointReport, finite_difference, fixed_point, unroll};
