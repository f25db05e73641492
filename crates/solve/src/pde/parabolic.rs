//! The equation with a max term in time.

use lisse_array::Array;

use super::error::{require, same_length};
use super::{Goal, MaxElliptic, PdeError};
use crate::pareto::Objectives;

/// `dy/dt - Lap y + kappa max(0, y) = u` from `y(0) = initial` to time `horizon`, by implicit Euler steps, each a semismooth Newton solve;
/// objectives `1/2 |y - target|^2 + cost/2 |u|^2` in space and time, with a target that does not change in time. A control is its values at the free
/// nodes for all times, one time after the other.
#[derive(Clone)]
pub struct MaxParabolic {
    equation: MaxElliptic,
    goals: Vec<Goal>,
    initial: Vec<f64>,
    steps: usize,
    dt: f64,
}

impl MaxParabolic {
    /// With `steps` steps of equal length.
    ///
    /// # Errors
    /// [`PdeError`] for vectors of the wrong length, no steps or no objectives, or a horizon not above 0.
    pub fn new(
        equation: MaxElliptic,
        goals: Vec<Goal>,
        initial: Vec<f64>,
        horizon: f64,
        steps: usize,
    ) -> Result<MaxParabolic, PdeError> {
        require(steps > 0, "steps", 0.0, "at least 1")?;
        require(!goals.is_empty(), "goals", 0.0, "at least one")?;
        require(horizon > 0.0 && horizon.is_finite(), "horizon", horizon, "a number above 0")?;
        same_length("the initial state", initial.len(), equation.len())?;
        for goal in &goals {
            require(goal.control_cost >= 0.0, "control_cost", goal.control_cost, "at least 0")?;
            let length = goal.target.as_ref().map_or(equation.len(), Vec::len);
            same_length("a target", length, equation.len())?;
        }
        Ok(MaxParabolic { equation, goals, initial, steps, dt: horizon / steps as f64 })
    }

    /// The equation in space.
    pub fn equation(&self) -> &MaxElliptic {
        &self.equation
    }

    /// Length of a time step.
    pub fn dt(&self) -> f64 {
        self.dt
    }

    /// `m / dt`
    fn inertia(&self) -> Vec<f64> {
        self.equation.mass.iter().map(|m| m / self.dt).collect()
    }

    /// States at all times after 0.
    ///
    /// # Errors
    /// [`PdeError::Length`], [`PdeError::NotConverged`].
    pub fn states(&self, u: &[f64]) -> Result<Vec<Vec<f64>>, PdeError> {
        let n = self.equation.len();
        same_length("the control", u.len(), n * self.steps)?;
        let inertia = self.inertia();
        let mut states: Vec<Vec<f64>> = Vec::with_capacity(self.steps);
        for u in u.chunks_exact(n) {
            let before = states.last().unwrap_or(&self.initial);
            let right: Vec<f64> =
                (0..n).map(|i| self.equation.mass[i] * u[i] + inertia[i] * before[i]).collect();
            let state = self.equation.state_with(&right, Some(&inertia), Some(before))?;
            states.push(state.y);
        }
        Ok(states)
    }

    /// Gradient of one objective's tracking part, backwards in time: `(K + m/dt + kappa m D) q_k = m (y_k - target) + m/dt q_{k+1}`.
    fn adjoint(&self, target: &[f64], states: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, PdeError> {
        let inertia = self.inertia();
        let mut later = vec![0.0; self.equation.len()];
        let mut all = Vec::with_capacity(states.len());
        for y in states.iter().rev() {
            let right: Vec<f64> = (0..y.len())
                .map(|i| self.equation.mass[i] * (y[i] - target[i]) + inertia[i] * later[i])
                .collect();
            later = self.equation.solve(&self.equation.slope(y, Some(&inertia)), &right)?;
            all.push(later.clone());
        }
        all.reverse();
        Ok(all)
    }

    fn values_at(&self, states: &[Vec<f64>], u: &[f64]) -> Vec<f64> {
        let e = &self.equation;
        let square: f64 = u.chunks_exact(e.len()).map(|u| e.inner(u, u)).sum();
        let value = |goal: &Goal| {
            let misfit: f64 = goal.target.as_ref().map_or(0.0, |target| {
                let away = |y: &Vec<f64>| {
                    let d: Vec<f64> = y.iter().zip(target).map(|(y, t)| y - t).collect();
                    e.inner(&d, &d)
                };
                states.iter().map(away).sum()
            });
            0.5 * self.dt * (misfit + goal.control_cost * square)
        };
        self.goals.iter().map(value).collect()
    }

    /// The last state as an array over all nodes of the space.
    ///
    /// # Errors
    /// As [`states`](Self::states).
    pub fn last_state(&self, u: &[f64]) -> Result<Array, PdeError> {
        let states = self.states(u)?;
        Ok(self.equation.extend(states.last().unwrap_or(&self.initial)))
    }
}

impl Objectives for MaxParabolic {
    fn dim(&self) -> usize {
        self.equation.len() * self.steps
    }

    fn count(&self) -> usize {
        self.goals.len()
    }

    /// NaN where the equation cannot be solved.
    fn values(&self, u: &[f64]) -> Vec<f64> {
        match self.states(u) {
            Ok(states) => self.values_at(&states, u),
            Err(_) => vec![f64::NAN; self.goals.len()],
        }
    }

    fn subgradients(&self, u: &[f64]) -> Vec<Vec<f64>> {
        let states = self.states(u).ok();
        let one = |goal: &Goal| {
            let cost = goal.control_cost;
            let priced = || u.iter().map(|u| cost * u).collect::<Vec<f64>>();
            let Some(target) = &goal.target else { return Some(priced()) };
            let adjoint = self.adjoint(target, states.as_ref()?).ok()?.concat();
            Some(adjoint.iter().zip(u).map(|(q, u)| q + cost * u).collect())
        };
        let all = self.goals.iter().map(one);
        all.map(|g| g.unwrap_or_else(|| vec![f64::NAN; u.len()])).collect()
    }

    fn inner(&self, a: &[f64], b: &[f64]) -> f64 {
        let n = self.equation.len();
        let pairs = a.chunks_exact(n).zip(b.chunks_exact(n));
        self.dt * pairs.map(|(a, b)| self.equation.inner(a, b)).sum::<f64>()
    }
}
