//! The algorithms: double loop with proximal smoothing, and the single loop with recursive momentum.

use serde::{Deserialize, Serialize};

use crate::bilevel::baselines::{Decay, Solver, State, recurse, refuse_constraints};
use crate::bilevel::vector::{axpy, distance, mix, norm, sub};
use crate::bilevel::{Batch, BilevelError, Oracle, Samples, Warning, Wrt};

/// Step size of the lower steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum InnerStep {
    /// This.
    Fixed(Decay),
    /// `1 / (lower + sigma upper + 1 / prox)` from smoothness constants of `g(x, .)` and `f(x, .)`.
    Smoothness {
        /// `L_g`
        lower: f64,
        /// `L_f`
        upper: f64,
    },
}

/// What stands for the gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Streams {
    /// Gradients of the samples (the double loop).
    #[default]
    Plain,
    /// Recursive momentum: `d = grad(now; new sample) + (1 - eta) (d - grad(before; new sample))`. Needs one inner step; twice the
    /// gradients.
    Recursive(Decay),
    /// `d = eta grad + (1 - eta) d`, to compare.
    Averaged(Decay),
}

/// The penalty method. `x` moves along an estimate of the gradient of `psi_sigma`; `y` and `z` are centres of proximal terms around the
/// minimizers of `sigma f + g` and `g`:
///
/// ```text
/// u = y, w = z;   inner times:  u = P_Y(u - gamma (sigma df/dy(u) + dg/dy(u) + (u - y) / prox))
///                               w = P_Y(w - gamma (dg/dy(w) + (w - z) / prox))
/// x = P_X(x - alpha (df/dx(u) + (dg/dx(u) - dg/dx(w)) / sigma))           both dg/dx on one sample
/// y += beta (u - y),   z += beta (w - z)
/// ```
///
/// Memory: `u`, `w`; then, with streams, the points of the last inner and outer gradients and the five directions. Numbers: `sigma`,
/// the estimate of `g(x, u) - g(x, w)`, steps without motion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PenaltyBilevel {
    /// Penalty parameter: by default `0.5 (k + 1)^-1/3`.
    pub sigma: Decay,
    /// It stays above this.
    pub smallest_sigma: f64,
    /// Instead of the schedule: start at `sigma.first`, halve when the estimated lower gap exceeds this times `sigma^2`.
    pub automatic: Option<f64>,
    /// Proximal parameter `rho`; infinite for none.
    pub prox: f64,
    /// `beta`
    pub mix: Decay,
    /// Inner steps.
    pub inner: usize,
    /// `gamma`
    pub inner_step: InnerStep,
    /// `alpha`
    pub step: Decay,
    /// Samples averaged for the step of `x`.
    pub outer_batches: usize,
    /// Single loop or double loop.
    pub streams: Streams,
    /// Lower steps at the start before `x` moves.
    pub warm_up: usize,
    /// Lower steps, as in the warm-up, after this many steps of `x` without motion; 0 for never.
    pub restart: u64,
    /// Whether both `dg/dx` see the same sample. Without, their noise is `1 / sigma` times larger.
    pub replay: bool,
}

impl Default for PenaltyBilevel {
    fn default() -> PenaltyBilevel {
        PenaltyBilevel {
            sigma: Decay { first: 0.5, power: 1.0 / 3.0 },
            smallest_sigma: 1e-7,
            automatic: None,
            prox: 1.0,
            mix: Decay::constant(0.5),
            inner: 3,
            inner_step: InnerStep::Smoothness { lower: 1.0, upper: 1.0 },
            step: Decay::constant(0.05),
            outer_batches: 1,
            streams: Streams::Plain,
            warm_up: 100,
            restart: 0,
            replay: true,
        }
    }
}

// Numbers of the sampler that only this method uses.
const INNER: u64 = 40;
const OUTER: u64 = 41;
const SECOND: u64 = 42;
const WARM: u64 = 43;

impl PenaltyBilevel {
    /// Refuses options out of range.
    ///
    /// # Errors
    /// The first one.
    pub fn check(&self) -> Result<(), BilevelError> {
        let positive = |what, value: f64| {
            let expected = "a number above 0";
            if value > 0.0 { Ok(()) } else { Err(BilevelError::Number { what, value, expected }) }
        };
        positive("sigma", self.sigma.first)?;
        positive("the smallest sigma", self.smallest_sigma)?;
        positive("prox", self.prox)?;
        positive("the step size of x", self.step.first)?;
        positive("inner", self.inner as f64)?;
        positive("outer batches", self.outer_batches as f64)?;
        if !(self.mix.first > 0.0 && self.mix.first <= 1.0) {
            let expected = "a number above 0 and at most 1";
            return Err(BilevelError::Number { what: "mix", value: self.mix.first, expected });
        }
        if self.streams != Streams::Plain && (self.inner != 1 || self.outer_batches != 1) {
            let expected = "1: streams need one inner step and one sample";
            return Err(BilevelError::Number { what: "inner", value: self.inner as f64, expected });
        }
        match self.inner_step {
            InnerStep::Fixed(step) => positive("the inner step size", step.first),
            InnerStep::Smoothness { lower, upper } => {
                positive("the lower smoothness", lower)?;
                let expected = "a number of at least 0";
                let ok = upper >= 0.0;
                let what = "the upper smoothness";
                if ok { Ok(()) } else { Err(BilevelError::Number { what, value: upper, expected }) }
            }
        }
    }

    fn gamma(&self, k: u64, sigma: f64, prox: f64) -> f64 {
        match self.inner_step {
            InnerStep::Fixed(step) => step.at(k),
            InnerStep::Smoothness { lower, upper } => 1.0 / (lower + sigma * upper + 1.0 / prox),
        }
    }

    /// `sigma` of this step.
    fn sigma(&self, state: &State) -> f64 {
        let wanted =
            if self.automatic.is_some() { state.numbers[0] } else { self.sigma.at(state.step) };
        wanted.max(self.smallest_sigma)
    }

    fn warm_up(&self, state: &mut State, oracle: &mut Oracle<'_>, samples: &Samples, round: u64) {
        let sigma = self.sigma(state);
        let gamma = self.gamma(state.step, sigma, f64::INFINITY);
        for t in 0..self.warm_up as u64 {
            let number = round * self.warm_up as u64 + t;
            let (upper, lower) = (samples.upper.at(number, WARM), samples.lower.at(number, WARM));
            let mut dy = oracle.lower_y(&state.x, &state.y, &lower);
            axpy(&mut dy, sigma, &oracle.upper_y(&state.x, &state.y, &upper));
            let dz = oracle.lower_y(&state.x, &state.z, &lower);
            axpy(&mut state.y, -gamma, &dy);
            axpy(&mut state.z, -gamma, &dz);
            oracle.project_y(&mut state.y);
            oracle.project_y(&mut state.z);
        }
    }

    /// The lower steps with plain gradients, and the direction of `x`.
    fn plain(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
        (sigma, gamma): (f64, f64),
    ) {
        let k = state.step;
        let (mut u, mut w) = (state.y.clone(), state.z.clone());
        for t in 0..self.inner as u64 {
            let round = k * self.inner as u64 + t;
            let (upper, lower) = (samples.upper.at(round, INNER), samples.lower.at(round, INNER));
            let mut du = oracle.lower_y(&state.x, &u, &lower);
            axpy(&mut du, sigma, &oracle.upper_y(&state.x, &u, &upper));
            let dw = oracle.lower_y(&state.x, &w, &lower);
            self.proximal_step(&mut u, &du, &state.y, gamma, oracle);
            self.proximal_step(&mut w, &dw, &state.z, gamma, oracle);
        }
        let mut direction = vec![0.0; state.x.len()];
        let mut gap = 0.0;
        let share = 1.0 / self.outer_batches as f64;
        for m in 0..self.outer_batches as u64 {
            let round = k * self.outer_batches as u64 + m;
            let lower = samples.lower.at(round, OUTER);
            let second = if self.replay { lower.clone() } else { samples.lower.at(round, SECOND) };
            let x = &state.x;
            axpy(&mut direction, share, &oracle.upper_x(x, &u, &samples.upper.at(round, OUTER)));
            let at_u = oracle.lower(x, &u, &lower, Wrt::X);
            let at_w = oracle.lower(x, &w, &second, Wrt::X);
            axpy(&mut direction, share / sigma, &sub(&at_u.x, &at_w.x));
            gap += share * (at_u.value - at_w.value);
            note_cancellation(&at_u.x, sigma, &mut state.warnings);
        }
        state.direction = direction;
        state.memory = vec![u, w];
        state.numbers[1] = gap;
    }

    fn proximal_step(
        &self,
        u: &mut [f64],
        gradient: &[f64],
        centre: &[f64],
        gamma: f64,
        oracle: &mut Oracle<'_>,
    ) {
        for ((u, g), y) in u.iter_mut().zip(gradient).zip(centre) {
            *u -= gamma * (g + (*u - y) / self.prox);
        }
        oracle.project_y(u);
    }

    /// The single loop: five gradient streams.
    fn streamed(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
        (sigma, gamma): (f64, f64),
    ) {
        let k = state.step;
        let eta = match self.streams {
            Streams::Recursive(eta) | Streams::Averaged(eta) => eta.at(k).min(1.0),
            Streams::Plain => 1.0,
        };
        let recursive = matches!(self.streams, Streams::Recursive(_));
        let (upper, lower) = (samples.upper.at(k, INNER), samples.lower.at(k, INNER));
        // Memory: u, w, then (x, u, w) of the last inner and of the last outer gradients, then the streams.
        let mut memory: Vec<Vec<f64>> = state.memory.drain(..).collect();
        let before = memory.len() == 13;
        memory.resize(13, Vec::new());
        let (u, w) = (state.y.clone(), state.z.clone());
        let inner = |x: &[f64], u: &[f64], w: &[f64], oracle: &mut Oracle<'_>| {
            let fy = oracle.upper_y(x, u, &upper);
            [fy, oracle.lower_y(x, u, &lower), oracle.lower_y(x, w, &lower)]
        };
        let now = inner(&state.x, &u, &w, oracle);
        let old = (before && recursive).then(|| inner(&memory[2], &memory[3], &memory[4], oracle));
        advance(&mut memory[8..11], now, old, before.then_some(eta), recursive);
        (memory[2], memory[3], memory[4]) = (state.x.clone(), u.clone(), w.clone());
        let (mut du, dw) = (memory[9].clone(), memory[10].clone());
        axpy(&mut du, sigma, &memory[8]);
        let (mut u, mut w) = (u, w);
        self.proximal_step(&mut u, &du, &state.y, gamma, oracle);
        self.proximal_step(&mut w, &dw, &state.z, gamma, oracle);

        let mut gap = 0.0;
        let mut outer = |x: &[f64], u: &[f64], w: &[f64], oracle: &mut Oracle<'_>| {
            let fx = oracle.upper_x(x, u, &upper);
            let (at_u, at_w) =
                (oracle.lower(x, u, &lower, Wrt::X), oracle.lower(x, w, &lower, Wrt::X));
            gap = at_u.value - at_w.value;
            [fx, sub(&at_u.x, &at_w.x)]
        };
        let old = (before && recursive).then(|| outer(&memory[5], &memory[6], &memory[7], oracle));
        let now = outer(&state.x, &u, &w, oracle);
        advance(&mut memory[11..13], now, old, before.then_some(eta), recursive);
        (memory[5], memory[6], memory[7]) = (state.x.clone(), u.clone(), w.clone());
        let mut direction = memory[11].clone();
        axpy(&mut direction, 1.0 / sigma, &memory[12]);
        (memory[0], memory[1]) = (u, w);
        state.numbers[1] = gap;
        (state.direction, state.memory) = (direction, memory);
    }

    fn adapt(&self, state: &mut State) {
        if let Some(c) = self.automatic {
            let sigma = state.numbers[0];
            if state.numbers[1] > c * sigma * sigma {
                state.numbers[0] = (0.5 * sigma).max(self.smallest_sigma);
            }
        }
    }
}

/// Moves streams on.
fn advance<const N: usize>(
    streams: &mut [Vec<f64>],
    now: [Vec<f64>; N],
    old: Option<[Vec<f64>; N]>,
    eta: Option<f64>,
    recursive: bool,
) {
    let mut old = old.map(IntoIterator::into_iter);
    for (stream, now) in streams.iter_mut().zip(now) {
        match eta {
            None => *stream = now,
            Some(eta) if recursive => {
                recurse(stream, now, old.as_mut().and_then(Iterator::next), eta);
            }
            Some(eta) => mix(stream, eta, &now),
        }
    }
}

/// Notes a difference that is rounding error: `sigma` times a gradient of unit size must be far above the rounding errors of both terms.
fn note_cancellation(at_u: &[f64], sigma: f64, warnings: &mut Vec<Warning>) {
    if sigma < 1e-7 || sigma < 1e3 * f64::EPSILON * norm(at_u) {
        Warning::Cancellation { sigma }.note(warnings);
    }
}

impl Solver for PenaltyBilevel {
    fn name(&self) -> &'static str {
        match self.streams {
            Streams::Plain => "penalty",
            Streams::Recursive(_) => "penalty, recursive momentum",
            Streams::Averaged(_) => "penalty, averaged gradients",
        }
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        self.check()?;
        refuse_constraints(self.name(), oracle, false)?;
        oracle.check(x, y)?;
        let mut state = State::new(x.to_vec(), y.to_vec());
        oracle.project_x(&mut state.x);
        oracle.project_y(&mut state.y);
        state.z = state.y.clone();
        state.memory = vec![state.y.clone(), state.z.clone()];
        state.numbers = vec![self.sigma.first, 0.0, 0.0];
        Ok(state)
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> Result<(), BilevelError> {
        if state.step == 0 {
            self.warm_up(state, oracle, samples, 0);
        }
        let (k, sigma) = (state.step, self.sigma(state));
        let gamma = self.gamma(k, sigma, self.prox);
        match self.streams {
            Streams::Plain => self.plain(state, oracle, samples, (sigma, gamma)),
            _ => self.streamed(state, oracle, samples, (sigma, gamma)),
        }
        let before = state.x.clone();
        axpy(&mut state.x, -self.step.at(k), &state.direction);
        oracle.project_x(&mut state.x);
        let beta = self.mix.at(k);
        mix(&mut state.y, beta, &state.memory[0]);
        mix(&mut state.z, beta, &state.memory[1]);
        self.adapt(state);
        let still = distance(&before, &state.x) <= 1e-12 * (1.0 + norm(&state.x));
        state.numbers[2] = if still { state.numbers[2] + 1.0 } else { 0.0 };
        state.step += 1;
        if self.restart > 0 && state.numbers[2] >= self.restart as f64 {
            state.numbers[2] = 0.0;
            self.warm_up(state, oracle, samples, state.step);
        }
        state.check_finite()
    }
}

impl PenaltyBilevel {
    /// The penalty parameter that the next step will use.
    pub fn current_sigma(&self, state: &State) -> f64 {
        self.sigma(state)
    }

    /// Estimates of `psi_sigma(x)` and of the lower gap `g(x, u) - g(x, w)` at the last inner points, on all examples.
    pub fn estimate(&self, state: &State, oracle: &mut Oracle<'_>) -> (f64, f64) {
        let (x, all) = (&state.x, Batch::all());
        let [u, w] = [&state.memory[0], &state.memory[1]];
        let gap = oracle.lower_value(x, u, &all) - oracle.lower_value(x, w, &all);
        (oracle.upper_value(x, u, &all) + gap / self.sigma(state), gap)
    }
}
