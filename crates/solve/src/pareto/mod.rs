//! Several objectives at once: `min (J_1(x), ..., J_k(x))`.
//!
//! A point is Pareto optimal if no other is at least as good in every objective and better in one. Such points are critical: 0
//! lies in the convex hull of the objectives' (sub)gradients. The methods here find one critical point, follow the set of them,
//! or cover it:
//!
//! | to | use |
//! |---|---|
//! | improve every objective at once, smooth | [`CommonDescent`] |
//! | the same for objectives that are only locally Lipschitz | [`GoldsteinDescent`] |
//! | follow the set of smooth critical points | [`Continuation`] |
//! | cover all critical points in a box of few dimensions | [`Cover`] |
//! | trade a loss against sparsity | [`LassoPath`], [`SparsityPath`] |
//! | judge a front | [`nondominated`], [`hypervolume`], [`spacing_ratio`] |
//!
//! Scalarisations of problems with a differential equation are in [`pde`](crate::pde).
//!
//! Reference: Bernreuther, Dellnitz, Gebken, Mueller, Peitz, Sonntag and Volkwein, Multiobjective optimization of non-smooth
//! PDE-constrained problems, arXiv 2308.01113, 2023.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over nodes read several vectors at one index"
)]

mod continuation;
pub(crate) mod dense;
mod descent;
mod error;
mod front;
mod genetic;
mod goldstein;
mod lasso;
mod min_norm;
pub mod problems;
pub(crate) mod root;
mod smooth;
mod sparsity;
mod subdivision;

pub use continuation::{Continuation, CriticalPoint};
pub use descent::{CommonDescent, Descended};
pub use error::ParetoError;
pub use front::{hypervolume, nondominated, spacing_ratio};
pub use genetic::{Genetic, Population};
pub use goldstein::{Goldstein, GoldsteinDescent, GoldsteinStatus, Witness, certificate};
pub use lasso::{Breakpoint, LassoPath};
pub use min_norm::{min_norm, min_norm_weights};
pub use smooth::{Smooth, SmoothObjectives};
pub use sparsity::{ArrayLoss, PathPoint, SmoothLoss, SparsityPath};
pub use subdivision::Cover;

/// Objectives with one element each of their Clarke subdifferentials.
pub trait Objectives: Sync {
    /// Dimension of `x`.
    fn dim(&self) -> usize;

    /// Number of objectives.
    fn count(&self) -> usize;

    /// All values.
    fn values(&self, x: &[f64]) -> Vec<f64>;

    /// One subgradient of every objective, as its representative in the [inner product](Self::inner).
    fn subgradients(&self, x: &[f64]) -> Vec<Vec<f64>>;

    /// One value.
    fn value(&self, i: usize, x: &[f64]) -> f64 {
        self.values(x)[i]
    }

    /// One subgradient.
    fn subgradient(&self, i: usize, x: &[f64]) -> Vec<f64> {
        self.subgradients(x).swap_remove(i)
    }

    /// What lengths and angles are measured in: for functions on a mesh, the mass matrix.
    fn inner(&self, a: &[f64], b: &[f64]) -> f64 {
        dense::dot(a, b)
    }
}

/// Refuses starting points that do not fit.
fn check_start(f: &dyn Objectives, x: &[f64]) -> Result<(), ParetoError> {
    if x.len() != f.dim() {
        return Err(ParetoError::Dimension { given: x.len(), expected: f.dim() });
    }
    if f.count() == 0 {
        return Err(ParetoError::NoObjectives);
    }
    check_finite("starting point", x)
}

fn check_finite(what: &'static str, x: &[f64]) -> Result<(), ParetoError> {
    match x.iter().position(|v| !v.is_finite()) {
        Some(place) => Err(ParetoError::NotFinite { what, place }),
        None => Ok(()),
    }
}

use dense::along as moved;

#[cfg(test)]
mod tests;
