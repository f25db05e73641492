//! One step of the upper level.

use lisse_array::{DType, Stream};

use super::inverse::{Inversion, invert};
use super::lower::Block;
use super::{BoRep, Inverse, OutOfRange, Period, Upper};
use crate::bilevel::baselines::{Solver, State, refuse_constraints};
use crate::bilevel::vector::{axpy, distance, mix, norm};
use crate::bilevel::{BilevelError, Oracle, Purpose, Samples, Wrt};

/// Keeps `m / ||m||` a number where `m = 0`.
const GUARD: f64 = 1e-10;
/// Steps between two estimates of the largest eigenvalue of the lower Hessian, and products of one.
const CURVATURE_EVERY: u64 = 100;
const CURVATURE_PRODUCTS: usize = 10;
/// Steps in a row with a small `||m||` that count as convergence.
const CALM: f64 = 50.0;

// Places in `State::memory`.
const BEST_X: usize = 0;
const MEAN_X: usize = 1;
const SQUARES: usize = 2;
const POWER: usize = 3;
// Places in `State::numbers`.
const BEST_NORM: usize = 0;
const LAMBDA: usize = 1;
const LIPSCHITZ: usize = 2;
const QUIET: usize = 3;
const MEANS: usize = 4;
const WAY: usize = 5;
const NEGATIVE: usize = 6;
const REFRESHES: usize = 7;

/// Numbers of the random draws that are not one of [`Purpose`].
const REFRESH: u64 = 12;
const REFINE: u64 = 13;
const CURVATURE: u64 = 14;

impl From<OutOfRange> for BilevelError {
    fn from(bad: OutOfRange) -> BilevelError {
        BilevelError::Unsupported { method: "BO-REP", reason: bad.to_string() }
    }
}

/// What a solve with [`BoRep`] knows beside `x`, `y`, `z` and `m` (the state's `direction`).
impl BoRep {
    /// The `x` at which the momentum was smallest, compared after its start-up. Where `x` circles a solution the momentum is small at
    /// its turning points too: with steps that do not fall, [`mean`](BoRep::mean) is nearer.
    pub fn best<'s>(&self, state: &'s State) -> &'s [f64] {
        if state.numbers[BEST_NORM].is_finite() { &state.memory[BEST_X] } else { &state.x }
    }

    /// The mean of `x` since `mean_from`, if that has come.
    pub fn mean<'s>(&self, state: &'s State) -> Option<&'s [f64]> {
        (state.numbers[MEANS] > 0.0).then(|| &state.memory[MEAN_X][..])
    }

    /// The last estimate of the largest eigenvalue of the lower Hessian; 0 if none was needed.
    pub fn curvature(&self, state: &State) -> f64 {
        state.numbers[LAMBDA]
    }

    /// The last estimate of the Lipschitz constant of `y*`; 0 without [`Period::Drift`].
    pub fn lipschitz(&self, state: &State) -> f64 {
        state.numbers[LIPSCHITZ]
    }

    /// How often the lower level was refreshed.
    pub fn refreshes(&self, state: &State) -> u64 {
        state.numbers[REFRESHES] as u64
    }

    /// Steps of `z` that met negative curvature of the lower level.
    pub fn negative_curvatures(&self, state: &State) -> u64 {
        state.numbers[NEGATIVE] as u64
    }

    /// Whether `||m||` was below `tolerance` long enough.
    pub fn converged(&self, state: &State) -> bool {
        self.tolerance > 0.0 && state.numbers[QUIET] >= CALM
    }
}

impl Solver for BoRep {
    fn name(&self) -> &'static str {
        match (self.upper, self.period, self.inner) {
            (Upper::Normalized, Period::Every { steps: 1 }, 1) => "SLIP",
            (Upper::Normalized, ..) => "BO-REP",
            _ => "BO-REP without normalization",
        }
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        self.validate()?;
        refuse_constraints("BO-REP", oracle, true)?;
        oracle.check(x, y)?;
        let mut state = State::new(x.to_vec(), y.to_vec());
        let squares = if matches!(self.upper, Upper::Adam { .. }) { x.len() } else { 0 };
        let power = Stream::new(0).child("power").normal(&[y.len()], DType::F64);
        state.memory = vec![x.to_vec(), x.to_vec(), vec![0.0; squares], power.to_f64_vec()];
        state.numbers = vec![0.0; 8];
        state.numbers[BEST_NORM] = f64::INFINITY;
        Ok(state)
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> Result<(), BilevelError> {
        let k = state.step;
        self.measure_curvature(state, oracle, samples);
        if k == 0 {
            self.refine(state, oracle, samples);
        } else if !self.simultaneous && self.refresh_is_due(state, k) {
            let y = self.refreshed(state, oracle, samples, None);
            take(state, y);
        }
        let (y, direction) = if self.simultaneous {
            self.simultaneously(state, oracle, samples)
        } else {
            (None, self.in_turn(state, oracle, samples))
        };
        self.move_x(state, &direction, oracle);
        if let Some(y) = y {
            take(state, y);
        }
        state.step += 1;
        state.check_finite()
    }
}

impl BoRep {
    /// A rate, or one over the largest eigenvalue of `H + ridge`.
    fn rate(given: Option<f64>, state: &State, ridge: f64) -> f64 {
        given.unwrap_or_else(|| 1.0 / (state.numbers[LAMBDA] + ridge).max(f64::MIN_POSITIVE))
    }

    fn measure_curvature(&self, state: &mut State, oracle: &mut Oracle<'_>, samples: &Samples) {
        let wanted = self.gamma.is_none() || self.nu.is_none();
        if !wanted || !state.step.is_multiple_of(CURVATURE_EVERY) {
            return;
        }
        let batch = samples.lower.at(state.step, CURVATURE);
        let mut v = std::mem::take(&mut state.memory[POWER]);
        let mut lambda = 0.0;
        for _ in 0..CURVATURE_PRODUCTS {
            let length = norm(&v);
            if !(length > 0.0 && length.is_finite()) {
                break;
            }
            for v in &mut v {
                *v /= length;
            }
            v = oracle.hessian_product(&state.x, &state.y, &v, &batch);
            lambda = norm(&v);
        }
        (state.memory[POWER], state.numbers[LAMBDA]) = (v, lambda);
    }

    fn refine(&self, state: &mut State, oracle: &mut Oracle<'_>, samples: &Samples) {
        let gamma = Self::rate(self.gamma, state, 0.0);
        let x = &state.x;
        state.y = self.refinement.refine(&state.y, gamma, |y, t| {
            oracle.lower_y(x, y, &samples.lower.at(t as u64, REFINE))
        });
    }

    fn refresh_is_due(&self, state: &State, k: u64) -> bool {
        match self.period {
            Period::Every { steps } => k.is_multiple_of(steps),
            Period::Drift { tolerance, lipschitz } => {
                let lipschitz = lipschitz.unwrap_or(state.numbers[LIPSCHITZ]);
                // Nothing is known before the first refresh.
                state.numbers[REFRESHES] == 0.0 || lipschitz * state.numbers[WAY] > tolerance
            }
        }
    }

    /// A block of lower steps; `first` is the gradient of the first if it is known.
    fn refreshed(
        &self,
        state: &State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
        mut first: Option<Vec<f64>>,
    ) -> Vec<f64> {
        let gamma = Self::rate(self.gamma, state, 0.0);
        let block = Block { steps: self.inner, gamma, radius: self.radius };
        let purpose = if self.inner == 1 { Purpose::LowerGradient as u64 } else { REFRESH };
        let start = state.step * self.inner as u64;
        let end = block.run(&state.y, |y, t| {
            first.take().unwrap_or_else(|| {
                oracle.lower_y(&state.x, y, &samples.lower.at(start + t as u64, purpose))
            })
        });
        // A block of one step is its own average.
        if self.average && self.inner > 1 { end.average } else { end.last }
    }

    /// `z`, then `h` with the new `z`, then `m`, for each task. The mean of `m` over the tasks.
    fn in_turn(&self, state: &mut State, oracle: &mut Oracle<'_>, samples: &Samples) -> Vec<f64> {
        let mut mean = vec![0.0; state.x.len()];
        for task in 0..self.tasks as u64 {
            let at = state.step * self.tasks as u64 + task;
            let (x, y) = (&state.x, &state.y);
            let (upper_x, upper_y) = if samples.shared {
                let both = oracle.upper(x, y, &samples.draw(at, Purpose::UpperY), Wrt::Both);
                (Some(both.x), both.y)
            } else {
                (None, oracle.upper_y(x, y, &samples.draw(at, Purpose::UpperY)))
            };
            let z = self.solve(state, oracle, samples, at, &upper_y);
            let (x, y) = (&state.x, &state.y);
            let mut h =
                upper_x.unwrap_or_else(|| oracle.upper_x(x, y, &samples.draw(at, Purpose::UpperX)));
            let cross = oracle.cross_product(x, y, &z, &samples.draw(at, Purpose::Cross));
            axpy(&mut h, -1.0, &cross);
            state.z = z;
            self.remember(state, &h);
            axpy(&mut mean, 1.0 / self.tasks as f64, &state.direction);
        }
        mean
    }

    /// `y`, `z` and `m` from the same point; the new `y` (if its time has come) and the mean of `m`.
    fn simultaneously(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> (Option<Vec<f64>>, Vec<f64>) {
        let due = self.refresh_is_due(state, state.step + 1);
        // One pass over a shared batch gives everything of the lower level.
        let joint = due && samples.shared && self.inner == 1 && self.tasks == 1;
        if joint && self.inverse == Inverse::Running && self.ridge == 0.0 {
            let (x, y, z) = (&state.x, &state.y, &state.z);
            let lower =
                oracle.lower_products(x, y, z, &samples.draw(state.step, Purpose::LowerGradient));
            let both = oracle.upper(x, y, &samples.draw(state.step, Purpose::UpperY), Wrt::Both);
            let y = self.refreshed(state, oracle, samples, Some(lower.gradient));
            let mut h = both.x;
            axpy(&mut h, -1.0, &lower.cross);
            let nu = Self::rate(self.nu, state, 0.0);
            let step = Inversion::running(&state.z, &lower.hessian, &both.y, nu);
            note(state, &step);
            state.z = step.z;
            self.remember(state, &h);
            return (Some(y), state.direction.clone());
        }
        let y = due.then(|| self.refreshed(state, oracle, samples, None));
        let mut mean = vec![0.0; state.x.len()];
        for task in 0..self.tasks as u64 {
            let at = state.step * self.tasks as u64 + task;
            let upper_y = oracle.upper_y(&state.x, &state.y, &samples.draw(at, Purpose::UpperY));
            let z = self.solve(state, oracle, samples, at, &upper_y);
            let (x, y) = (&state.x, &state.y);
            let mut h = oracle.upper_x(x, y, &samples.draw(at, Purpose::UpperX));
            let cross = oracle.cross_product(x, y, &state.z, &samples.draw(at, Purpose::Cross));
            axpy(&mut h, -1.0, &cross);
            state.z = z;
            self.remember(state, &h);
            axpy(&mut mean, 1.0 / self.tasks as f64, &state.direction);
        }
        (y, mean)
    }

    fn solve(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
        at: u64,
        right: &[f64],
    ) -> Vec<f64> {
        let nu = Self::rate(self.nu, state, self.ridge);
        let (x, y) = (&state.x, &state.y);
        // The first product has the step's own sample, further ones samples of theirs.
        let product = |v: &[f64], j: u64| {
            let batch = if j == 0 {
                samples.draw(at, Purpose::Hessian)
            } else {
                samples.lower.at(at, CURVATURE + j)
            };
            let mut product = oracle.hessian_product(x, y, v, &batch);
            if self.ridge > 0.0 {
                axpy(&mut product, self.ridge, v);
            }
            product
        };
        let step = invert(self.inverse, nu, &state.z, right, product);
        note(state, &step);
        step.z
    }

    /// Takes a hyper-gradient into the momentum.
    fn remember(&self, state: &mut State, h: &[f64]) {
        if self.beta > 0.0 {
            mix(&mut state.direction, 1.0 - self.beta, h);
        } else {
            state.direction.copy_from_slice(h);
        }
        if let Upper::Adam { beta2 } = self.upper {
            for (s, h) in state.memory[SQUARES].iter_mut().zip(h) {
                *s = beta2 * *s + (1.0 - beta2) * h * h;
            }
        }
    }

    fn move_x(&self, state: &mut State, direction: &[f64], oracle: &mut Oracle<'_>) {
        let (k, eta) = (state.step, self.eta_at(state.step));
        let length = norm(direction);
        self.judge(state, length);
        let before = matches!(self.period, Period::Drift { .. }).then(|| state.x.clone());
        match self.upper {
            Upper::Normalized => axpy(&mut state.x, -eta / (length + GUARD), direction),
            Upper::Plain => axpy(&mut state.x, -eta, direction),
            Upper::Clipped { bound } => {
                axpy(&mut state.x, -eta * (bound / length).min(1.0), direction);
            }
            Upper::Adam { beta2 } => {
                let updates = ((k + 1) * self.tasks as u64) as f64;
                let (first, second) = (1.0 - self.beta.powf(updates), 1.0 - beta2.powf(updates));
                let squares = &state.memory[SQUARES];
                for (x, (m, s)) in state.x.iter_mut().zip(direction.iter().zip(squares)) {
                    *x -= eta * (m / first) / ((s / second).sqrt() + 1e-8);
                }
            }
        }
        oracle.project_x(&mut state.x);
        if let Some(before) = before {
            state.numbers[WAY] += distance(&state.x, &before);
        }
        if self.mean_from.is_some_and(|from| k >= from) {
            state.numbers[MEANS] += 1.0;
            mix(&mut state.memory[MEAN_X], 1.0 / state.numbers[MEANS], &state.x);
        }
    }

    /// Keeps the best `x` and counts quiet steps. The momentum means nothing before it has forgotten its start.
    fn judge(&self, state: &mut State, length: f64) {
        let warm = state.step as f64 * (1.0 - self.beta) >= 2.0;
        if warm && length < state.numbers[BEST_NORM] {
            state.numbers[BEST_NORM] = length;
            let (x, best) = (&state.x, &mut state.memory[BEST_X]);
            best.copy_from_slice(x);
        }
        let quiet = warm && length < self.tolerance;
        state.numbers[QUIET] = if quiet { state.numbers[QUIET] + 1.0 } else { 0.0 };
    }
}

/// Replaces `y`, and learns how much of the way of `x` it followed.
fn take(state: &mut State, y: Vec<f64>) {
    let way = state.numbers[WAY];
    if way > 0.0 {
        let ratio = distance(&y, &state.y) / way;
        state.numbers[LIPSCHITZ] = ratio.max(0.9 * state.numbers[LIPSCHITZ]);
    }
    state.y = y;
    state.numbers[WAY] = 0.0;
    state.numbers[REFRESHES] += 1.0;
}

/// Counts negative curvature of the lower level.
fn note(state: &mut State, step: &Inversion) {
    if let Some(warning) = step.warning() {
        state.numbers[NEGATIVE] += 1.0;
        warning.note(&mut state.warnings);
    }
}
