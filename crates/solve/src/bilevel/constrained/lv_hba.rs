//! LV-HBA: a single loop with gradients and one projection per step.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::JointSet;
use super::saddle::{Centre, clip, directions, step};
use crate::bilevel::baselines::{Solver, State};
use crate::bilevel::vector::{axpy, distance, dot, norm};
use crate::bilevel::{Batch, BilevelError, Oracle, Samples, Warning, Wrt};

/// How the penalty parameter `c_k` grows. The stationary point for a fixed `c` is off by `O(1 / c)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Growth {
    /// `first (k + 1)^power`, `0 <= power < 1/2`
    Power {
        /// `c_0`
        first: f64,
        /// The power.
        power: f64,
    },
    /// Stages `first`, `first factor`, ... (`stages` of them), each for at most `steps` steps and until the residual has not fallen by a
    /// tenth for `patience` steps (0: never); everything goes on warm.
    Stages {
        /// The first `c`.
        first: f64,
        /// Factor from stage to stage.
        factor: f64,
        /// Number of stages.
        stages: usize,
        /// Most steps of a stage.
        steps: u64,
        /// Steps without progress before the next stage.
        patience: u64,
    },
}

/// Steps towards the saddle point, one for each step of `(x, y)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaddleSteps {
    /// One gradient, as published.
    #[default]
    Single,
    /// Two gradients: stable for steps up to `1 / L`, also where many constraints are active.
    Extragradient,
}

/// The method. With `v` the proximal Lagrangian value function whose saddle point `(t, lam)` is followed by single steps,
///
/// ```text
/// t   = P_Y(t - eta d_t),  lam = P_Z(lam - eta d_lam)                         (directions at the old pair)
/// d_x = F_x / c + f_x(x, y) - f_x(x, t) - lam^T c_x(x, t),   d_y = F_y / c + f_y(x, y) - (y - t) / gamma1,   d_z = -(lam - z) / gamma2
/// (x, y) = P_C((x, y) - alpha (d_x, d_y)),   z = P_Z(z - beta d_z)
/// ```
///
/// Memory: `t`, `lam`, then the last good `x`, `y`, `z`, `t`, `lam`. Numbers: factor of the step sizes, reference of the divergence guard,
/// residual, stage, step of the stage, best residual of the stage, step of the best, iterations of the last projection, bound of the
/// multipliers.
#[derive(Clone)]
pub struct LvHba {
    /// `C`
    pub set: Arc<dyn JointSet>,
    /// Step size of `(x, y)`.
    pub alpha: f64,
    /// Another step size for `x`, sound only where the set does not tie `x` to `y`.
    pub alpha_x: Option<f64>,
    /// Step size of `z`.
    pub beta: f64,
    /// Step size of the saddle steps; below `2 rho / L^2`, see [`saddle_step_size`](super::saddle_step_size).
    pub eta: f64,
    /// Proximal parameters of `t` and `lam`.
    pub gamma: (f64, f64),
    /// `c_k`
    pub growth: Growth,
    /// Bound of the multipliers.
    pub bound: f64,
    /// Doubles the bound when a multiplier reaches it.
    pub adapt_bound: bool,
    /// How the saddle point is followed.
    pub saddle: SaddleSteps,
    /// Starts at the exact lower solution with its multipliers, where the problem has a solver of its own.
    pub warm: bool,
    /// Takes back and halves the step sizes when the saddle directions grow tenfold over 50 steps.
    pub guard: bool,
}

/// Norms and gaps of a state, for logs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LvReport {
    /// `c_k`
    pub c: f64,
    /// `f(x, y) - (f(x, t) + lam^T c(x, t) + ...)`: estimate of `f - v`.
    pub gap: f64,
    /// Largest violation of the constraints by `(x, y)`.
    pub violation: f64,
    /// `dist(0, (F', 0) + c (f - v)' + normal cone)`, by the last projected step.
    pub residual: f64,
    /// Iterations of the last projection.
    pub projection: f64,
}

const SCALE: usize = 0;
const REFERENCE: usize = 1;
const RESIDUAL: usize = 2;
const STAGE: usize = 3;
const STAGE_STEP: usize = 4;
const BEST: usize = 5;
const BEST_STEP: usize = 6;
const PROJECTION: usize = 7;
const BOUND: usize = 8;
/// Steps between two looks of the divergence guard.
const WINDOW: u64 = 50;

impl LvHba {
    /// Equal step sizes, `gamma = (1, 1)`, stages `1, 4, ..., 1024`.
    pub fn new(set: impl JointSet + 'static, rate: f64) -> LvHba {
        LvHba {
            set: Arc::new(set),
            alpha: rate,
            alpha_x: None,
            beta: rate,
            eta: rate,
            gamma: (1.0, 1.0),
            growth: Growth::Stages {
                first: 1.0,
                factor: 4.0,
                stages: 6,
                steps: 1000,
                patience: 200,
            },
            bound: 1e3,
            adapt_bound: true,
            saddle: SaddleSteps::Single,
            warm: true,
            guard: true,
        }
    }

    /// Refuses options out of range.
    ///
    /// # Errors
    /// The first one.
    pub fn check(&self) -> Result<(), BilevelError> {
        let rates = [
            ("alpha", self.alpha),
            ("the step size of x", self.alpha_x.unwrap_or(0.0)),
            ("beta", self.beta),
            ("eta", self.eta),
        ];
        for (what, value) in rates {
            if !(value >= 0.0 && value.is_finite()) {
                let expected = "a number of at least 0";
                return Err(BilevelError::Number { what, value, expected });
            }
        }
        let first = match self.growth {
            Growth::Power { first, .. } | Growth::Stages { first, .. } => first,
        };
        let positives = [
            ("gamma1", self.gamma.0),
            ("gamma2", self.gamma.1),
            ("the bound of multipliers", self.bound),
            ("the first c", first),
        ];
        for (what, value) in positives {
            if value.is_nan() || value <= 0.0 {
                let expected = "a number above 0";
                return Err(BilevelError::Number { what, value, expected });
            }
        }
        match self.growth {
            Growth::Power { power, .. } if !(0.0..0.5).contains(&power) => {
                let expected = "a number from 0 to below 1/2";
                Err(BilevelError::Number { what: "the power of c", value: power, expected })
            }
            _ => Ok(()),
        }
    }

    /// `c_k`
    pub fn c(&self, state: &State) -> f64 {
        match self.growth {
            Growth::Power { first, power } => first * ((state.step + 1) as f64).powf(power),
            Growth::Stages { first, factor, .. } => {
                first * factor.powi(state.numbers[STAGE] as i32)
            }
        }
    }

    /// Whether the last stage is over.
    pub fn finished(&self, state: &State) -> bool {
        match self.growth {
            Growth::Power { .. } => false,
            Growth::Stages { stages, .. } => state.numbers[STAGE] as usize >= stages,
        }
    }

    /// Gaps and norms of a state.
    pub fn report(&self, state: &State, oracle: &mut Oracle<'_>) -> LvReport {
        let (x, y, z) = (&state.x, &state.y, &state.z);
        let (t, lam) = (&state.memory[0], &state.memory[1]);
        let all = Batch::all();
        let problem = oracle.problem();
        let inside = dot(lam, &problem.constraint(x, t));
        let near = distance(t, y).powi(2) / (2.0 * self.gamma.0)
            - distance(lam, z).powi(2) / (2.0 * self.gamma.1);
        let gap = oracle.lower_value(x, y, &all) - oracle.lower_value(x, t, &all) - inside - near;
        LvReport {
            c: self.c(state),
            gap,
            violation: violation(oracle, x, y),
            residual: state.numbers[RESIDUAL],
            projection: state.numbers[PROJECTION],
        }
    }

    fn follow(&self, state: &mut State, oracle: &mut Oracle<'_>) -> f64 {
        let eta = self.eta * state.numbers[SCALE];
        let bound = state.numbers[BOUND];
        let mut memory = std::mem::take(&mut state.memory);
        let at = Centre { x: &state.x, y: &state.y, z: &state.z, gamma: self.gamma };
        let (first, rest) = memory.split_at_mut(1);
        let (t, lam) = (&mut first[0], &mut rest[0]);
        let (mut d_t, mut d_lam) = directions(oracle, at, t, lam);
        let length = (dot(&d_t, &d_t) + dot(&d_lam, &d_lam)).sqrt();
        if self.saddle == SaddleSteps::Extragradient {
            let (mut half_t, mut half_lam) = (t.clone(), lam.clone());
            step(oracle, at, (&mut half_t, &mut half_lam), (&d_t, &d_lam), (eta, bound));
            (d_t, d_lam) = directions(oracle, at, &half_t, &half_lam);
        }
        let met = step(oracle, at, (t, lam), (&d_t, &d_lam), (eta, bound));
        state.memory = memory;
        if met {
            Warning::MultiplierAtBound { bound }.note(&mut state.warnings);
            if self.adapt_bound {
                state.numbers[BOUND] *= 2.0;
            }
        }
        length
    }

    fn outer(&self, state: &mut State, oracle: &mut Oracle<'_>) -> Result<(), BilevelError> {
        let all = Batch::all();
        let c = self.c(state);
        let scale = state.numbers[SCALE];
        let (t, lam) = (&state.memory[0], &state.memory[1]);
        let (x, y) = (&state.x, &state.y);
        let upper = oracle.upper(x, y, &all, Wrt::Both);
        let here = oracle.lower(x, y, &all, Wrt::Both);
        let there = oracle.lower(x, t, &all, Wrt::X);
        let (mut d_x, mut d_y) = (here.x, here.y);
        axpy(&mut d_x, 1.0 / c, &upper.x);
        axpy(&mut d_x, -1.0, &there.x);
        if !lam.is_empty() {
            axpy(&mut d_x, -1.0, &oracle.constraint_products(x, t, lam).0);
        }
        axpy(&mut d_y, 1.0 / c, &upper.y);
        for ((d, y), t) in d_y.iter_mut().zip(y).zip(t) {
            *d -= (y - t) / self.gamma.0;
        }
        let (mut new_x, mut new_y, mut new_z) = (x.clone(), y.clone(), state.z.clone());
        let (rate, rate_x) = (self.alpha * scale, self.alpha_x.unwrap_or(self.alpha) * scale);
        axpy(&mut new_x, -rate_x, &d_x);
        axpy(&mut new_y, -rate, &d_y);
        for ((z, l), old) in new_z.iter_mut().zip(lam).zip(&state.z) {
            *z += self.beta * scale * (l - old) / self.gamma.1;
        }
        crate::bilevel::vector::check_finite("x", &new_x, TOO_LARGE)?;
        crate::bilevel::vector::check_finite("y", &new_y, TOO_LARGE)?;
        let iterations = self.set.project(&mut new_x, &mut new_y, oracle)?;
        clip(oracle, &mut new_z, state.numbers[BOUND]);
        let part = |moved: f64, rate: f64| if rate > 0.0 { moved / rate } else { 0.0 };
        let moved = [
            part(distance(&new_x, x), rate_x),
            part(distance(&new_y, y), rate),
            part(distance(&new_z, &state.z), self.beta * scale),
        ];
        state.numbers[RESIDUAL] = c * norm(&moved);
        state.numbers[PROJECTION] = iterations as f64;
        (state.x, state.y, state.z, state.direction) = (new_x, new_y, new_z, d_x);
        Ok(())
    }

    /// Goes to the next stage when this one is over.
    fn change_stage(&self, state: &mut State) {
        let Growth::Stages { stages, steps, patience, .. } = self.growth else { return };
        let (residual, numbers) = (state.numbers[RESIDUAL], &mut state.numbers);
        numbers[STAGE_STEP] += 1.0;
        if residual < 0.9 * numbers[BEST] {
            (numbers[BEST], numbers[BEST_STEP]) = (residual, numbers[STAGE_STEP]);
        }
        let stalled = patience > 0 && numbers[STAGE_STEP] - numbers[BEST_STEP] >= patience as f64;
        if (numbers[STAGE_STEP] >= steps as f64 || stalled) && (numbers[STAGE] as usize) < stages {
            numbers[STAGE] += 1.0;
            (numbers[STAGE_STEP], numbers[BEST], numbers[BEST_STEP]) = (0.0, f64::MAX, 0.0);
        }
    }

    /// Looks every 50 steps whether the directions have grown tenfold; if so, goes back with half the step sizes.
    fn watch(state: &mut State, length: f64) {
        let bad = !length.is_finite()
            || (state.numbers[REFERENCE] > 0.0
                && length > 10.0 * state.numbers[REFERENCE].max(1.0));
        if bad {
            let saved: Vec<Vec<f64>> = state.memory[2..7].to_vec();
            let [x, y, z, t, lam] = <[Vec<f64>; 5]>::try_from(saved).unwrap_or_default();
            (state.x, state.y, state.z) = (x, y, z);
            (state.memory[0], state.memory[1]) = (t, lam);
            state.numbers[SCALE] *= 0.5;
            Warning::Restarted { step: state.step }.note(&mut state.warnings);
        } else if state.step.is_multiple_of(WINDOW) {
            state.numbers[REFERENCE] = length;
            Self::save(state);
        }
    }

    fn save(state: &mut State) {
        let [t, lam] = [state.memory[0].clone(), state.memory[1].clone()];
        let (x, y, z) = (state.x.clone(), state.y.clone(), state.z.clone());
        state.memory.truncate(2);
        state.memory.extend([x, y, z, t, lam]);
    }
}

const TOO_LARGE: &str =
    "; the step sizes are too large (eta must be below 2 rho / L^2, see saddle_step_size)";

/// Largest violation of the constraints.
pub(super) fn violation(oracle: &Oracle<'_>, x: &[f64], y: &[f64]) -> f64 {
    let problem = oracle.problem();
    let c = problem.constraint(x, y);
    let excess = |(i, c): (usize, &f64)| if problem.is_equality(i) { c.abs() } else { c.max(0.0) };
    c.iter().enumerate().map(excess).fold(0.0, f64::max)
}

impl Solver for LvHba {
    fn name(&self) -> &'static str {
        "LV-HBA"
    }

    /// Projects the start onto `C`; `t` starts at `y`, multipliers at 0 unless the start is warm.
    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        self.check()?;
        oracle.check(x, y)?;
        let mut state = State::new(x.to_vec(), y.to_vec());
        state.z = vec![0.0; oracle.problem().constraints()];
        if let Some(solution) = self.warm.then(|| oracle.problem().solve_lower(x)).flatten() {
            (state.y, state.z) = (solution.y, solution.multipliers);
            clip(oracle, &mut state.z, self.bound);
        }
        self.set.project(&mut state.x, &mut state.y, oracle)?;
        state.memory = vec![state.y.clone(), state.z.clone()];
        state.numbers = vec![1.0, 0.0, f64::MAX, 0.0, 0.0, f64::MAX, 0.0, 0.0, self.bound];
        Self::save(&mut state);
        Ok(state)
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        _: &Samples,
    ) -> Result<(), BilevelError> {
        let length = self.follow(state, oracle);
        if self.guard && !length.is_finite() {
            Self::watch(state, length);
        } else {
            crate::bilevel::vector::check_finite("the saddle direction", &[length], TOO_LARGE)?;
            self.outer(state, oracle)?;
            if self.guard {
                Self::watch(state, length);
            }
        }
        self.change_stage(state);
        state.step += 1;
        Ok(())
    }
}
