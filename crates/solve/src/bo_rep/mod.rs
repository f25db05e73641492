//! Bilevel optimization under unbounded smoothness: normalized momentum, a refined start, periodic updates of the lower level.
//!
//! [`BoRep`] is a [`Solver`](crate::bilevel::baselines::Solver) of [`Bilevel`](crate::bilevel::Bilevel) problems like those it is measured
//! against; [`Saba`] and SLIP ([`BoRep::slip`]) are relatives.
//!
//! ```
//! use lisse_solve::bilevel::baselines::Solver;
//! use lisse_solve::bilevel::{Oracle, Samples};
//! use lisse_solve::bo_rep::{BoRep, problems};
//!
//! let problem = problems::cosh();
//! let mut oracle = Oracle::new(&problem);
//! let method = BoRep { eta: 0.1, ..BoRep::default() };
//! let mut state = method.start(&[10.0, -8.0], &[0.0, 0.0], &mut oracle)?;
//! for _ in 0..200 {
//!     method.step(&mut state, &mut oracle, &Samples::whole())?;
//! }
//! assert!(state.x.iter().all(|x| x.abs() < 1.0));
//! assert_eq!(oracle.counts.jacobian_products, 200);
//! # Ok::<(), lisse_solve::bilevel::BilevelError>(())
//! ```

mod few_shot;
mod gauss_newton;
mod inverse;
mod lower;
pub mod network;
mod options;
pub mod problems;
pub mod recipes;
mod saba;
mod solver;
#[cfg(test)]
mod tests;
pub mod text;

pub use few_shot::{FewShot, MetaLearner};
pub use gauss_newton::GaussNewton;
pub use lower::Refinement;
pub use options::{BoRep, Inverse, OutOfRange, Period, Upper};
pub use saba::Saba;
