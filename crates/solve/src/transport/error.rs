//! What can be wrong with a transport problem.

use crate::transport::Certificate;

/// Why a transport problem could not be posed or solved. Each message names the input, what was wrong and what would be right.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No sources or no targets.
    #[error(
        "the cost matrix is {rows} by {columns}; transport needs at least one source and one target"
    )]
    Empty {
        /// Sources.
        rows: usize,
        /// Targets.
        columns: usize,
    },
    /// Lengths that do not go together.
    #[error("{what}: {found} values where {expected} are needed ({why})")]
    Shape {
        /// The input.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The right length.
        expected: usize,
        /// Where the right length comes from.
        why: String,
    },
    /// A mass that is negative, NaN or infinite.
    #[error("{what}: entry {index} is {value}; masses must be 0 or more, and finite")]
    Mass {
        /// `source masses`, `target masses`.
        what: &'static str,
        /// The entry, from 0.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// All masses are 0.
    #[error("{what}: all masses are 0; at least one must be positive")]
    NoMass {
        /// `source masses`, `target masses`.
        what: &'static str,
    },
    /// Different totals.
    #[error(
        "the sources hold {sources} in all, the targets {targets}; the totals must agree (divide each by its sum)"
    )]
    Unbalanced {
        /// Sum of the sources' masses.
        sources: f64,
        /// Sum of the targets' masses.
        targets: f64,
    },
    /// A cost that is NaN or `-inf`.
    #[error(
        "cost of source {row} to target {column} is {value}; costs must be finite, or inf for a pair that is forbidden"
    )]
    Cost {
        /// The source, from 0.
        row: usize,
        /// The target, from 0.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A coordinate that is not finite, or points without coordinates.
    #[error("{what}: {reason}")]
    Points {
        /// `source points`, `target points`.
        what: &'static str,
        /// What was wrong and what would be right.
        reason: String,
    },
    /// The forbidden pairs leave no plan.
    #[error("no plan avoids the forbidden pairs: {0}")]
    Infeasible(Certificate),
    /// An option outside its range.
    #[error("{option}: {found}; it must be {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// What was given.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A solver that used up its steps.
    #[error("{solver}: not solved after {iterations} iterations; {advice}")]
    Unsolved {
        /// The solver.
        solver: &'static str,
        /// Iterations made.
        iterations: usize,
        /// What to try.
        advice: &'static str,
    },
}

impl TransportError {
    pub(super) fn option(
        option: &'static str,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> TransportError {
        TransportError::Option { option, found: found.to_string(), expected: expected.into() }
    }
}
