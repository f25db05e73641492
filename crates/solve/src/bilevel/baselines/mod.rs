//! The methods that others are measured against. All follow the same pattern: a struct of options with
//! [`start`](Solver::start) and [`step`](Solver::step), one [`State`] for all.

mod first_order;
mod hypergradient;
mod second_order;

use serde::{Deserialize, Serialize};

pub(crate) use first_order::recurse;
pub use first_order::{Bome, F2sa, Pbgd};
pub use hypergradient::{
    Hypergradient, Implicit, Unrolled, implicit_hypergradient, unrolled_hypergradient,
};
pub use second_order::{Soba, StocBio, Ttsa};

use super::{BilevelError, Oracle, Samples, Warning};

/// Where a method stands: all that it needs to go on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps taken.
    pub step: u64,
    /// The upper variable.
    pub x: Vec<f64>,
    /// The lower variable.
    pub y: Vec<f64>,
    /// A second vector of the lower level: the solution of the linear system, or the lower solution without penalty.
    pub z: Vec<f64>,
    /// Other vectors, as the method's documentation lists them.
    pub memory: Vec<Vec<f64>>,
    /// Other numbers, likewise.
    pub numbers: Vec<f64>,
    /// The last direction of `x`.
    pub direction: Vec<f64>,
    /// What was noticed.
    pub warnings: Vec<Warning>,
}

impl State {
    /// The start of any method.
    pub fn new(x: Vec<f64>, y: Vec<f64>) -> State {
        let (z, direction) = (vec![0.0; y.len()], vec![0.0; x.len()]);
        State { x, y, z, direction, ..State::default() }
    }

    /// The end of a step: `x` moves by `size` against `direction`, back into its set, and the step counts.
    ///
    /// # Errors
    /// If a variable is no longer finite.
    pub(crate) fn descend(
        &mut self,
        size: f64,
        oracle: &mut Oracle<'_>,
    ) -> Result<(), BilevelError> {
        super::vector::axpy(&mut self.x, -size, &self.direction);
        oracle.project_x(&mut self.x);
        self.step += 1;
        self.check_finite()
    }

    /// Fails once a variable is not finite.
    ///
    /// # Errors
    /// Which variable, and what to try.
    pub fn check_finite(&self) -> Result<(), BilevelError> {
        let hint = "; the step sizes are too large for this problem";
        super::vector::check_finite("x", &self.x, hint)?;
        super::vector::check_finite("y", &self.y, hint)?;
        super::vector::check_finite("z", &self.z, hint)
    }
}

/// A method for problems of two levels that advances step by step.
pub trait Solver: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// The state before the first step, after a check that method and problem fit: by default a method that knows neither constraints
    /// nor sets of `y`.
    ///
    /// # Errors
    /// Wrong lengths, NaN, empty sets, a problem that the method cannot solve.
    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        refuse_constraints(self.name(), oracle, true)?;
        oracle.check(x, y)?;
        Ok(State::new(x.to_vec(), y.to_vec()))
    }

    /// One step of `x`.
    ///
    /// # Errors
    /// If a variable is no longer finite.
    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> Result<(), BilevelError>;
}

/// `first (k + 1)^-power`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decay {
    /// The first value.
    pub first: f64,
    /// The power, at least 0.
    pub power: f64,
}

impl Decay {
    /// The same number always.
    pub const fn constant(first: f64) -> Decay {
        Decay { first, power: 0.0 }
    }

    /// The value of step `k`, from 0.
    pub fn at(&self, k: u64) -> f64 {
        if self.power == 0.0 { self.first } else { self.first * ((k + 1) as f64).powf(-self.power) }
    }
}

impl From<f64> for Decay {
    fn from(first: f64) -> Decay {
        Decay::constant(first)
    }
}

/// Refuses constraints that a method would ignore.
pub(crate) fn refuse_constraints(
    method: &'static str,
    oracle: &Oracle<'_>,
    sets: bool,
) -> Result<(), BilevelError> {
    let problem = oracle.problem();
    if problem.constraints() > 0 {
        let reason = "its constraints couple x and y; use LV-HBA or BiC-GAFFA".to_owned();
        return Err(BilevelError::Unsupported { method, reason });
    }
    if sets && !problem.set_y().is_whole() {
        let reason =
            "y is confined to a set, which it would ignore; use the penalty method".to_owned();
        return Err(BilevelError::Unsupported { method, reason });
    }
    Ok(())
}
