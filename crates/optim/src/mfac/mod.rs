//! M-FAC: products of the inverse empirical Fisher matrix with vectors, without a `d` by `d` matrix.
//!
//! With gradients `g_1 .. g_m` as the rows of `G` and damping `lambda` the matrix is
//!
//! `F = lambda I + G'G / m`,
//!
//! an identity and `m` rank-one terms, so that its inverse is exact in `O(d m)`:
//!
//! - [`StaticFisher`]: of fixed gradients; products, diagonal and entries of the inverse, whole or in blocks of coordinates
//! - [`SlidingWindow`]: the newest `m` gradients of a training; one is replaced at a time. [`Coefficients`] is the paper's
//!   recursive form of the same products
//! - [`Mfac`]: the optimizer that steps along `F^-1 g`
//! - [`Pruner`]: removes the weights whose loss costs least, and moves the others to make up for them; [`Masked`] trains on
//!   without bringing them back
//!
//! Frantar, Kurtic, Alistarh, "M-FAC: Efficient Matrix-Free Approximations of Second-Order Information", NeurIPS 2021.

mod coefficients;
mod config;
mod masked;
mod optimizer;
mod passes;
mod prune;
mod static_fisher;
#[cfg(test)]
mod tests;
mod window;

use lisse_array::linalg::LinalgError;

pub use coefficients::Coefficients;
pub use config::MfacConfig;
pub use masked::Masked;
pub use optimizer::{Mfac, Product};
pub use prune::{Criterion, Pruned, Pruner, ones};
pub use static_fisher::{Removal, StaticFisher};
pub use window::SlidingWindow;

/// Why no inverse could be had.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number out of its range.
    #[error("{name}: {found} is out of range; it must be {expected}")]
    OutOfRange {
        /// Its name.
        name: &'static str,
        /// What it was.
        found: f64,
        /// What would be right.
        expected: &'static str,
    },
    /// An array of the wrong shape.
    #[error("{name}: shape {found:?} does not fit; {expected}")]
    Shape {
        /// What the array is.
        name: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// What would be right.
        expected: String,
    },
    /// A NaN or an infinity.
    #[error(
        "{name} holds NaN or an infinity, or its squares overflow; check the loss, or lower the learning rate"
    )]
    NotFinite {
        /// Where it was seen.
        name: &'static str,
    },
    /// The small matrix has no factor.
    #[error(
        "the damping of {damping:e} is lost in the rounding of the gradients' products: {source}; raise it"
    )]
    Factor {
        /// The damping.
        damping: f64,
        /// What the factorization said.
        source: LinalgError,
    },
}

impl Error {
    /// What a failed factorization means, of which `name` went in.
    fn of_factor(name: &'static str, damping: f64, source: LinalgError) -> Error {
        match source {
            LinalgError::NotFinite { .. } => Error::NotFinite { name },
            source => Error::Factor { damping, source },
        }
    }
}

/// Checks the damping: without it the inverse does not exist.
fn check_damping(damping: f64) -> Result<(), Error> {
    if damping > 0.0 && damping.is_finite() {
        return Ok(());
    }
    Err(Error::OutOfRange { name: "damping", found: damping, expected: "above 0" })
}
