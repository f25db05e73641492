//! Functions whose Hessian approximations are known in closed form.

mod function;
mod logsumexp;
mod powers;
mod regression;
mod residuals;
mod rows;
mod softmax;

use lisse_array::Array;

pub use function::Function;
pub use logsumexp::LogSumExp;
pub use powers::SumOfPowers;
pub use regression::Logistic;
pub use residuals::{
    Chebyshev, Differentiable, Equations, LinearEquations, ResidualPower, RosenbrockEquations,
};
pub use softmax::Softmax;

/// Data that do not make a problem.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProblemError {
    /// Shapes that do not fit each other.
    #[error("{what} has shape {found:?}; {expected}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// What would be right.
        expected: &'static str,
    },
    /// A number out of range.
    #[error("{what} is {value}; it must be {expected}")]
    Number {
        /// Which input.
        what: &'static str,
        /// What came.
        value: f64,
        /// What would be right.
        expected: &'static str,
    },
    /// NaN or infinity among the data.
    #[error("{what} holds a number that is not finite")]
    NotFinite {
        /// Which input.
        what: &'static str,
    },
}

/// Refuses anything but a finite matrix with rows and columns.
fn check_matrix(what: &'static str, a: &Array) -> Result<(), ProblemError> {
    if a.rank() != 2 || a.is_empty() {
        let found = a.shape().to_vec();
        return Err(ProblemError::Shape { what, found, expected: "a matrix with rows is needed" });
    }
    if a.all_finite() { Ok(()) } else { Err(ProblemError::NotFinite { what }) }
}

/// Refuses a vector that has not one finite entry for each of `rows` rows.
fn check_vector(what: &'static str, b: &Array, rows: usize) -> Result<(), ProblemError> {
    if b.shape() != [rows] {
        let found = b.shape().to_vec();
        let expected = "a vector with one entry for each row is needed";
        return Err(ProblemError::Shape { what, found, expected });
    }
    if b.all_finite() { Ok(()) } else { Err(ProblemError::NotFinite { what }) }
}

fn check_number(
    what: &'static str,
    value: f64,
    good: bool,
    expected: &'static str,
) -> Result<(), ProblemError> {
    if good && value.is_finite() {
        Ok(())
    } else {
        Err(ProblemError::Number { what, value, expected })
    }
}
