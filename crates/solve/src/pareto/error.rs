//! What can go wrong.

/// A problem or an option that cannot be used, or a computation that broke down.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParetoError {
    /// A point of the wrong length.
    #[error("a point of {given} coordinates was given for {expected} unknowns")]
    Dimension {
        /// Its length.
        given: usize,
        /// The right length.
        expected: usize,
    },
    /// There is nothing to minimise.
    #[error("there are no objectives; give at least one")]
    NoObjectives,
    /// A number that is not finite.
    #[error("{what}: entry {place} is not a finite number")]
    NotFinite {
        /// What holds it.
        what: &'static str,
        /// Where.
        place: usize,
    },
    /// An option out of range.
    #[error("`{option}` is {value}; it must be {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was given.
        value: f64,
        /// What would be right.
        expected: &'static str,
    },
    /// A box that cannot be covered.
    #[error("cover: {0}")]
    Box(String),
    /// A matrix whose shape does not fit.
    #[error("{what} has {given} entries, expected {expected}")]
    Shape {
        /// The matrix or vector.
        what: &'static str,
        /// Its number of entries.
        given: usize,
        /// The right number.
        expected: usize,
    },
    /// A linear system without a unique solution.
    #[error("{0}: the linear system is singular")]
    Singular(&'static str),
}

/// `Err` unless the option is fine.
pub(super) fn require(
    good: bool,
    option: &'static str,
    value: f64,
    expected: &'static str,
) -> Result<(), ParetoError> {
    if good { Ok(()) } else { Err(ParetoError::Option { option, value, expected }) }
}
