//! Maximizers of concave functions given by value and (super)gradient, on flat vectors: the functions here have kinks, and small problems come in batches,
//! so that neither the smooth line search nor the arrays of `lisse_optim::minimize` fit.

use serde::{Deserialize, Serialize};

use super::columns::inner;

/// Sufficient increase, as a share of what the slope promises.
const INCREASE: f64 = 1e-4;
/// The slope must fall to this share.
const CURVATURE: f64 = 0.9;
/// Trials of a line search.
const TRIALS: usize = 40;
/// Line searches that may fail before the ascent gives up.
const FAILURES: usize = 3;
/// Iterations within which the error must improve by a tenth or the value by [`PROGRESS`].
const PATIENCE: usize = 60;
/// Relative increase of the value that counts as progress.
const PROGRESS: f64 = 1e-5;

/// How an ascent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The error is below the tolerance.
    Converged,
    /// Steps no longer help: a kink.
    Stalled,
    /// No iterations are left.
    OutOfIterations,
}

/// A step of a solver.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The dual's value.
    pub value: f64,
    /// `|T 1 - a|_1` there (of both margins for the dual solver); for the bundle of the aggregated plan.
    pub error: f64,
    /// Certified upper bound on the optimum, where one was computed.
    pub upper: Option<f64>,
}

/// L-BFGS with a weak Wolfe line search by bracketing, which also works on functions with kinks (Lewis and Overton, 2013).
pub(super) struct Ascent<'o> {
    pub memory: usize,
    pub tolerance: f64,
    pub max_iterations: usize,
    pub history: &'o mut Vec<Record>,
}

/// Value and gradient.
pub(super) type Function<'f> = &'f mut dyn FnMut(&[f64], &mut [f64]) -> f64;

struct Pair {
    s: Vec<f64>,
    y: Vec<f64>,
    curvature: f64,
}

fn norm1(x: &[f64]) -> f64 {
    x.iter().map(|x| x.abs()).sum()
}

fn norm(x: &[f64]) -> f64 {
    inner(x, x).sqrt()
}

impl Ascent<'_> {
    /// Ascends from `x`, leaves the best point there.
    pub fn run(&mut self, f: Function<'_>, x: &mut Vec<f64>, first_step: f64) -> (f64, Status) {
        let mut gradient = vec![0.0; x.len()];
        let mut value = f(x, &mut gradient);
        let mut pairs: Vec<Pair> = Vec::new();
        let (mut failures, mut best_error, mut since, mut value_then) =
            (0, f64::INFINITY, 0, value);
        let mut trial = Trial { x: x.clone(), gradient: gradient.clone(), value };
        for _ in 0..self.max_iterations {
            let error = norm1(&gradient);
            self.history.push(Record { value, error, upper: None });
            if error <= self.tolerance {
                return (value, Status::Converged);
            }
            since += 1;
            if error < 0.9 * best_error || value - value_then > PROGRESS * value.abs() {
                (best_error, since, value_then) = (best_error.min(error), 0, value);
            }
            if since > PATIENCE {
                return (value, Status::Stalled);
            }
            let direction = direction(&pairs, &gradient);
            let start = if pairs.is_empty() { first_step / norm(&gradient) } else { 1.0 };
            if !search(f, x, value, &gradient, &direction, start, &mut trial) {
                failures += 1;
                if failures == FAILURES {
                    return (value, Status::Stalled);
                }
                pairs.clear();
                continue;
            }
            let s: Vec<f64> = trial.x.iter().zip(&*x).map(|(new, old)| new - old).collect();
            // Minus the change: the curvature of what is minimized.
            let y: Vec<f64> =
                gradient.iter().zip(&trial.gradient).map(|(old, new)| old - new).collect();
            let curvature = inner(&s, &y);
            if curvature > 1e-10 * norm(&s) * norm(&y) {
                if pairs.len() == self.memory {
                    pairs.remove(0);
                }
                pairs.push(Pair { s, y, curvature });
            }
            std::mem::swap(x, &mut trial.x);
            std::mem::swap(&mut gradient, &mut trial.gradient);
            value = trial.value;
        }
        let status = if norm1(&gradient) <= self.tolerance {
            Status::Converged
        } else {
            Status::OutOfIterations
        };
        (value, status)
    }
}

struct Trial {
    x: Vec<f64>,
    gradient: Vec<f64>,
    value: f64,
}

/// The two-loop recursion.
fn direction(pairs: &[Pair], gradient: &[f64]) -> Vec<f64> {
    let mut q = gradient.to_vec();
    let add = |q: &mut [f64], factor: f64, v: &[f64]| {
        q.iter_mut().zip(v).for_each(|(q, v)| *q += factor * v);
    };
    let mut steps = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let step = inner(&pair.s, &q) / pair.curvature;
        add(&mut q, -step, &pair.y);
        steps.push(step);
    }
    if let Some(last) = pairs.last() {
        let scale = last.curvature / inner(&last.y, &last.y);
        for q in &mut q {
            *q *= scale;
        }
    }
    for (pair, step) in pairs.iter().zip(steps.iter().rev()) {
        let back = inner(&pair.y, &q) / pair.curvature;
        add(&mut q, step - back, &pair.s);
    }
    q
}

/// Finds a step of enough increase after which the slope has fallen enough. Leaves the point in `trial`.
fn search(
    f: Function<'_>,
    x: &[f64],
    value: f64,
    gradient: &[f64],
    direction: &[f64],
    start: f64,
    trial: &mut Trial,
) -> bool {
    let slope = inner(gradient, direction);
    if slope <= 0.0 || !slope.is_finite() {
        return false;
    }
    let noise = 4.0 * f64::EPSILON * value.abs();
    let (mut low, mut high, mut step) = ((0.0, value, slope), f64::INFINITY, start);
    for _ in 0..TRIALS {
        for ((t, x), d) in trial.x.iter_mut().zip(x).zip(direction) {
            *t = x + step * d;
        }
        trial.value = f(&trial.x, &mut trial.gradient);
        let here = inner(&trial.gradient, direction);
        let enough = trial.value >= value + INCREASE * step * slope
            // Where rounding hides the increase, the slopes tell (Hager and Zhang, 2005).
            || (trial.value >= value - noise && here >= (2.0 * INCREASE - 1.0) * slope && here <= slope);
        if !enough {
            high = step;
        } else if here > CURVATURE * slope {
            low = (step, trial.value, here);
        } else {
            return true;
        }
        step = if high.is_finite() {
            let middle = f64::midpoint(low.0, high);
            // The maximizer of the parabola through the lower end and the trial, kept inside.
            let width = step - low.0;
            let fall = low.2 * width - (trial.value - low.1);
            let parabola = low.0 + 0.5 * low.2 * width * width / fall;
            let margin = 0.1 * (high - low.0);
            if !enough && fall > 0.0 {
                parabola.clamp(low.0 + margin, high - margin)
            } else {
                middle
            }
        } else {
            2.0 * step
        };
        if high.is_finite() && high - low.0 <= 1e-14 * high {
            break;
        }
    }
    false
}

/// Adam (Kingma and Ba, 2015) upwards: the best point seen and its value, and a record of every step.
pub(super) fn adam(
    f: Function<'_>,
    x: &mut [f64],
    rate: f64,
    iterations: usize,
    tolerance: f64,
    history: &mut Vec<Record>,
) -> (f64, Status) {
    let mut gradient = vec![0.0; x.len()];
    let (mut mean, mut square) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let mut best = (f64::NEG_INFINITY, x.to_vec());
    for t in 1..=iterations + 1 {
        let value = f(x, &mut gradient);
        let error = norm1(&gradient);
        history.push(Record { value, error, upper: None });
        if value > best.0 {
            best.0 = value;
            best.1.copy_from_slice(x);
        }
        if error <= tolerance {
            x.copy_from_slice(&best.1);
            return (best.0, Status::Converged);
        }
        if t > iterations {
            break;
        }
        let correction = (1.0 - 0.9f64.powi(t as i32), 1.0 - 0.999f64.powi(t as i32));
        for (i, g) in gradient.iter().enumerate() {
            mean[i] = 0.9 * mean[i] + 0.1 * g;
            square[i] = 0.999 * square[i] + 0.001 * g * g;
            x[i] += rate * (mean[i] / correction.0) / ((square[i] / correction.1).sqrt() + 1e-8);
        }
    }
    x.copy_from_slice(&best.1);
    (best.0, Status::OutOfIterations)
}
