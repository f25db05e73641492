//! What learning is compared with: fixed weights, and a grid.

use crate::bilevel::baselines::{Solver, State};
use crate::bilevel::constrained::solve_constrained_lower;
use crate::bilevel::{Batch, BilevelError, Oracle, Samples};

/// `x` is given and stays.
pub(super) struct Fixed {
    pub x: Vec<f64>,
}

impl Solver for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        oracle.check(x, y)?;
        Ok(State::new(self.x.clone(), y.to_vec()))
    }

    fn step(&self, state: &mut State, _: &mut Oracle<'_>, _: &Samples) -> Result<(), BilevelError> {
        state.step += 1;
        Ok(())
    }
}

/// Tries `x` with all entries alike, one value a step, and keeps the best by `f` at the exact lower solution. Numbers: its `f`.
pub(super) struct Grid {
    pub from: f64,
    pub to: f64,
    pub count: u64,
}

impl Solver for Grid {
    fn name(&self) -> &'static str {
        "grid"
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        oracle.check(x, y)?;
        let mut state = State::new(x.to_vec(), y.to_vec());
        state.numbers = vec![f64::MAX];
        Ok(state)
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        _: &Samples,
    ) -> Result<(), BilevelError> {
        let share = state.step as f64 / (self.count.max(2) - 1) as f64;
        let x = vec![self.from + share * (self.to - self.from); state.x.len()];
        let solution = solve_constrained_lower(oracle, &x, (&state.y, &[]), 1e-8)?;
        let value = oracle.upper_value(&x, &solution.y, &Batch::all());
        if value < state.numbers[0] {
            (state.x, state.y, state.numbers[0]) = (x, solution.y, value);
        }
        state.step += 1;
        Ok(())
    }
}
