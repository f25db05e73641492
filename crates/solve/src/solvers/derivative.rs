//! The derivative of a solution, apart from the solver that found it.

use std::sync::Arc;

use lisse_array::{Array, Tree};

use super::{Solution, SolverError, Stop};
use crate::implicit::{Condition, Implicit, custom_root};
use crate::linear::Structure;

/// What a solution may depend on: any tree that can be kept for the backward pass.
pub trait Parameters: Tree + Send + Sync + 'static {}
impl<T: Tree + Send + Sync + 'static> Parameters for T {}

/// A function of a point and parameters.
pub(crate) type Function<T> = Arc<dyn Fn(&Array, &T) -> Array + Send + Sync>;

/// How a solution is differentiated in the parameters. There is no derivative in the start: a solution does not depend on it.
#[derive(Clone, Debug)]
pub enum Derivative {
    /// By the condition that holds at the solution: one linear solve per cotangent, memory independent of the iterations, any order. Right
    /// where the solver converged; elsewhere its error is of the order of the solution's. A failed linear solve gives NaN;
    /// [`Implicit::checked`] says why.
    Implicit(Implicit),
    /// Through the iterations, whose memory it keeps. Step lengths and other coefficients that a solver computes on the way (line searches,
    /// quasi-Newton matrices, mixing weights) are taken as constants. That ends at the derivative of the solution where each iteration
    /// contracts by itself (gradient, proximal, mirror, coordinate, Picard, Newton, Gauss-Newton steps), as slowly as the iteration does.
    /// [`Minimizer`](super::Minimizer), [`Broyden`](super::Broyden) and [`Anderson`](super::Anderson) converge faster than that: their
    /// solution is exact before its unrolled derivative is, so choose the implicit one.
    Unrolled,
    /// None: the solution is a constant.
    Constant,
}

impl Default for Derivative {
    fn default() -> Self {
        Derivative::Implicit(Implicit::default())
    }
}

/// A solver of a problem with parameters `T`.
pub trait Solver<T: Parameters> {
    /// Runs from `start`. Written in array operations, so that it can be differentiated through.
    ///
    /// # Errors
    /// Arguments that describe no problem.
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError>;

    /// What holds at a solution.
    fn condition(&self) -> Condition<Array, T>;

    /// Runs from `start` and gives the solution its derivative in `theta`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn solve(
        &self,
        start: &Array,
        theta: &T,
        derivative: &Derivative,
    ) -> Result<Solution, SolverError> {
        if let Derivative::Unrolled = derivative {
            return self.run(start, theta);
        }
        let mut solution = self.run(&start.stop_gradient(), &theta.map(Array::stop_gradient))?;
        if let (Derivative::Implicit(implicit), true) =
            (derivative, solution.stop != Stop::NotFinite)
        {
            solution.x = custom_root(&self.condition(), implicit, theta, solution.x)
                .map_err(|error| SolverError::Derivative(error.to_string()))?;
        }
        Ok(solution)
    }
}

/// `F(x, theta) = 0` for an `F` that is a gradient in `x`.
pub(crate) fn stationary<T: Parameters>(
    gradient: impl Fn(&Array, &T) -> Array + Send + Sync + 'static,
) -> Condition<Array, T> {
    Condition::root(gradient).structure(Structure::Symmetric)
}
