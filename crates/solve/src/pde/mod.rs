//! Several objectives under a non-smooth differential equation.
//!
//! - [`MaxElliptic`]: `-Lap y + kappa max(0, y) = u` on meshes in one to three dimensions, by semismooth Newton;
//!   [`MaxParabolic`]: the same in time
//! - [`Tracking`]: objectives that track a state and price the control, state bounds by penalty or multiplier, and the Newton
//!   method for the optimality system of a weighted sum
//! - [`ReferencePoint`], [`weighted_front`], [`EpsilonConstraint`], [`pascoletti_serafini`]: scalarisations, which trace the front
//! - [`Basis`], [`Reduced`], [`AdaptiveReduced`]: reduced bases with error bounds
//! - [`switching`]: controls that jump between modes
//!
//! Methods that need values and (sub)gradients only are in [`pareto`](crate::pareto); [`Tracking`] and [`MaxParabolic`]
//! are [`Objectives`](crate::pareto::Objectives).
//!
//! Reference: Bernreuther, Dellnitz, Gebken, Mueller, Peitz, Sonntag and Volkwein, Multiobjective optimization of non-smooth
//! PDE-constrained problems, arXiv 2308.01113, 2023.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over nodes read several vectors at one index"
)]

mod adaptive;
mod basis;
mod elliptic;
mod error;
mod parabolic;
pub mod recipes;
mod reduced;
mod scalar;
pub mod switching;
mod tracking;

pub use adaptive::{AdaptiveReduced, Counts};
pub use basis::{Basis, Deim};
pub use elliptic::{MaxElliptic, State};
pub use error::PdeError;
pub use parabolic::MaxParabolic;
pub use reduced::{Reduced, ReducedState};
pub use scalar::{
    EpsilonConstraint, ReferencePoint, WeightedProblem, pascoletti_serafini, simplex_grid,
    weighted_front,
};
pub use tracking::{Goal, StateBound, Stationary, Systems, Tracking};

#[cfg(test)]
mod tests;
