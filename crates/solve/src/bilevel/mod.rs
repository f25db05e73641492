//! Optimization on two levels: minimise `f(x, y)` where `y` solves another problem, `min over y of g(x, y)`.
//!
//! - [`Bilevel`]: the problem, as five oracles on flat vectors; [`Closures`] makes one from two functions by automatic
//!   differentiation, [`linear_models`] have closed forms; [`Oracle`] counts what is asked
//! - [`penalty`]: gradients only, lower problems with many solutions and simple sets
//! - [`constrained`]: LV-HBA and others, for constraints that couple both levels
//! - [`baselines`]: SOBA, StocBiO, TTSA, F2SA, PBGD, BOME, implicit and unrolled hypergradients
//!
//! Every method is a [`Solver`](baselines::Solver): a struct of options with `start` and `step` on one [`State`](baselines::State).

pub mod baselines;
mod closures;
pub mod constrained;
mod error;
pub mod linear_models;
pub mod penalty;
mod problem;
pub mod recipes;
mod sampling;
mod sets;
#[cfg(test)]
mod tests;
pub(crate) mod vector;

pub use closures::Closures;
pub use error::{BilevelError, Warning};
pub use problem::{Bilevel, Counts, Gradient, LowerProducts, LowerSolution, Oracle, Wrt};
pub use sampling::{Batch, Purpose, Rows, Sampler, Samples};
pub use sets::{Active, Set};
