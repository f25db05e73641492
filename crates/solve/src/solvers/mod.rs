//! Solvers whose solutions have derivatives.
//!
//! A problem is a function of a point and of parameters `theta` (any [`Tree`](lisse_array::Tree)); a solver is a value; how its solution is
//! differentiated is a third value, [`Derivative`]: implicitly by default, through the iterations on request.
//!
//! | problem | solver |
//! | --- | --- |
//! | `min f(x)` | [`Minimizer`] (L-BFGS, BFGS, nonlinear conjugate gradients; bounds), [`ProximalGradient::descent`] |
//! | `min f(x) + g(x)`, `g` with a [proximal operator](crate::proximal) | [`ProximalGradient`] (ISTA, FISTA), [`BlockCoordinateDescent`] |
//! | `min f(x)` on a set with a [projection](crate::projection) | [`ProximalGradient::projected`], [`MirrorDescent`] |
//! | `min \|r(x)\|^2 / 2` | [`LeastSquares`] (Levenberg-Marquardt, Gauss-Newton) |
//! | `F(x) = 0` | [`Newton`], [`Broyden`] |
//! | `f(x) = 0` for one number | [`bisection`], [`brent`]; with derivatives [`ScalarRoot`] |
//! | `x = T(x)` | [`FixedPoint`] (Picard), [`Anderson`] |
//! | convex quadratic programs | [`quadratic_program`], [`equality_quadratic_program`], [`box_quadratic_program`] |
//!
//! A solve that ends elsewhere than at a solution is a [`Solution`] that says why ([`Stop`], with advice), not an error; errors are arguments
//! that describe no problem.
//!
//! ```
//! use lisse_array::{Array, grad};
//! use lisse_solve::proximal;
//! use lisse_solve::solvers::{Derivative, ProximalGradient, Solver};
//! // Lasso with a design of the identity: the solution is soft(y, lambda), its derivative -1 on the support.
//! let y = Array::from_slice(&[3.0f64, -0.5], &[2]);
//! let target = y.clone();
//! let lasso = ProximalGradient::new(
//!     move |x: &Array, _: &Array| (x - &target).square().sum_all() * 0.5,
//!     |v: &Array, lambda: &Array, step: f64| proximal::l1(v, &(lambda * step)),
//! );
//! let total = |lambda: &Array| {
//!     lasso.solve(&y.zeros_like(), lambda, &Derivative::default()).unwrap().x.sum_all()
//! };
//! let lambda = Array::scalar(1.0f64);
//! assert!((total(&lambda).item() - 2.0).abs() < 1e-7);
//! assert!((grad(total)(&lambda).item() + 1.0).abs() < 1e-7);
//! ```

mod coordinate;
pub(crate) mod dense;
mod derivative;
mod fixed_point;
mod least_squares;
mod mirror;
mod outcome;
mod proximal_gradient;
mod quadratic;
pub mod recipes;
mod root;
mod scalar;
mod smooth;
mod trace;

#[cfg(test)]
mod tests;

pub use coordinate::BlockCoordinateDescent;
pub use derivative::{Derivative, Parameters, Solver};
pub use fixed_point::{Anderson, FixedPoint};
pub use least_squares::LeastSquares;
pub use mirror::MirrorDescent;
pub use outcome::{Counts, Record, Solution, SolverError, Stop};
pub use proximal_gradient::{ProximalGradient, StepRule};
pub use quadratic::{
    BoxQpOptions, QpOptions, QpSolution, QuadraticProgram, Side, box_quadratic_program,
    equality_quadratic_program, quadratic_program,
};
pub use root::{Broyden, Newton};
pub use scalar::{Bracketing, Root, RootOptions, ScalarRoot, bisection, brent};
pub use smooth::{Direction, Minimizer};
pub use trace::Limits;
