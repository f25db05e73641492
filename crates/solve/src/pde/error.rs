//! What can go wrong with a problem that a differential equation constrains.

use lisse_array::linalg::LinalgError;

use crate::linear::LinearError;
use crate::pareto::ParetoError;

/// A problem or an option that cannot be used, or a solve that broke down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PdeError {
    /// The discretisation cannot be used.
    #[error(transparent)]
    Fem(#[from] lisse_fem::FemError),
    /// A linear system could not be solved.
    #[error(transparent)]
    Linalg(#[from] LinalgError),
    /// An iterative solve was not set up well.
    #[error(transparent)]
    Linear(#[from] LinearError),
    /// Something about the objectives.
    #[error(transparent)]
    Pareto(#[from] ParetoError),
    /// A mesh whose nodes are all on the boundary.
    #[error("the mesh has no node inside, so that there is nothing to solve; refine it")]
    NoInterior,
    /// A space whose lumped mass is not positive.
    #[error("the lumped mass is not positive at node {node}; use a space of first order")]
    Mass {
        /// The first such node.
        node: usize,
    },
    /// A number out of range.
    #[error("`{option}` is {value}; it must be {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was given.
        value: f64,
        /// What would be right.
        expected: &'static str,
    },
    /// A vector of the wrong length.
    #[error("{what} has {given} entries, expected {expected}")]
    Length {
        /// The vector.
        what: &'static str,
        /// Its length.
        given: usize,
        /// The right length.
        expected: usize,
    },
    /// Newton's method did not arrive.
    #[error(
        "{what}: residual {residual:e} after {steps} steps; the data may hold numbers of very different size, or the tolerance is below rounding"
    )]
    NotConverged {
        /// Which iteration.
        what: &'static str,
        /// Steps taken.
        steps: usize,
        /// The last relative residual.
        residual: f64,
    },
}

pub(super) fn require(
    good: bool,
    option: &'static str,
    value: f64,
    expected: &'static str,
) -> Result<(), PdeError> {
    if good { Ok(()) } else { Err(PdeError::Option { option, value, expected }) }
}

pub(super) fn same_length(
    what: &'static str,
    given: usize,
    expected: usize,
) -> Result<(), PdeError> {
    if given == expected { Ok(()) } else { Err(PdeError::Length { what, given, expected }) }
}
