//! Quasi-Newton and conjugate-gradient minimization, with bounds.

use std::sync::Arc;

use lisse_array::{Array, grad};
use lisse_optim::minimize::{self as minimizers, Iterate, Method, Objective};
use lisse_optim::{Lbfgs, Options, minimize};

use super::derivative::{Function, Parameters, Solver, stationary};
use super::trace::{check_scalar, check_start, dot};
use super::{Counts, Limits, Record, Solution, SolverError, Stop};
use crate::implicit::Condition;

/// Which directions a [`Minimizer`] takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Direction {
    /// L-BFGS with this many remembered steps.
    Lbfgs(usize),
    /// BFGS: all steps remembered.
    Bfgs,
    /// Nonlinear conjugate gradients of Polak and Ribiere, restarted where they do not descend.
    ConjugateGradients,
}

/// `min f(x, theta)`, within bounds if given, by [`lisse_optim::minimize()`].
///
/// The error is the largest entry of the (projected) gradient. The implicit derivative is that of `grad f = 0`, and within bounds that of
/// `x = clip(x - grad f(x))`; bounds are constants.
#[derive(Clone)]
pub struct Minimizer<T> {
    f: Function<T>,
    /// Directions.
    pub direction: Direction,
    /// Lower and upper bounds, shaped as the start; infinite entries are free.
    pub bounds: Option<(Array, Array)>,
    /// When to end.
    pub limits: Limits,
}

impl<T: Parameters> Minimizer<T> {
    /// `f(x, theta)` is one number. L-BFGS with 10 remembered steps.
    pub fn new(f: impl Fn(&Array, &T) -> Array + Send + Sync + 'static) -> Self {
        Minimizer {
            f: Arc::new(f),
            direction: Direction::Lbfgs(10),
            bounds: None,
            limits: Limits::default(),
        }
    }

    /// With other directions.
    #[must_use]
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Within bounds (L-BFGS-B).
    #[must_use]
    pub fn within(mut self, lower: Array, upper: Array) -> Self {
        self.bounds = Some((lower, upper));
        self
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, tolerance: f64, max_iterations: usize) -> Self {
        self.limits = Limits::new(tolerance, max_iterations);
        self
    }
}

impl<T: Parameters> Solver<T> for Minimizer<T> {
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError> {
        self.limits.check()?;
        check_start(start)?;
        check_scalar(&(self.f)(start, theta))?;
        if let Some((lower, upper)) = &self.bounds {
            for (argument, bound) in [("the lower bounds", lower), ("the upper bounds", upper)] {
                if bound.shape() != start.shape() {
                    let expected = format!("the shape {:?} of the start", start.shape());
                    let found = bound.shape().to_vec();
                    return Err(SolverError::Shape { argument, expected, found });
                }
            }
        }
        let options = Options {
            gradient_tolerance: self.limits.tolerance,
            max_iterations: self.limits.max_iterations,
            max_evaluations: usize::MAX,
            bounds: self.bounds.clone(),
        };
        let method: Box<dyn Method> = match (self.direction, &self.bounds) {
            (Direction::ConjugateGradients, None) => Box::new(ConjugateGradients),
            (Direction::ConjugateGradients, Some(_)) => {
                return Err(SolverError::OutOfRange {
                    argument: "the number of bounded coordinates",
                    expected: "0 with conjugate gradients; use L-BFGS",
                    value: start.len() as f64,
                });
            }
            (Direction::Lbfgs(memory), _) => Box::new(Lbfgs { memory, ..Lbfgs::default() }),
            (Direction::Bfgs, _) => {
                Box::new(Lbfgs { memory: self.limits.max_iterations.max(1), ..Lbfgs::default() })
            }
        };
        let best =
            minimize(|x: &Array| (self.f)(x, theta), start, &method, &options).map_err(refused)?;
        let history = best.history.iter().filter(|r| r.iteration > 0);
        Ok(Solution {
            x: best.x,
            stop: ended(best.stop),
            iterations: best.iterations,
            error: best.gradient,
            counts: Counts {
                values: best.counts.values,
                gradients: best.counts.gradients,
                ..Counts::default()
            },
            history: history
                .map(|r| Record {
                    iteration: r.iteration,
                    error: r.gradient,
                    evaluations: r.evaluations,
                })
                .collect(),
        })
    }

    fn condition(&self) -> Condition<Array, T> {
        let f = self.f.clone();
        let gradient = move |x: &Array, theta: &T| grad(|v: &Array| f(v, theta))(x);
        match self.bounds.clone() {
            None => stationary(gradient),
            Some((lower, upper)) => Condition::fixed_point(move |x: &Array, theta: &T| {
                (x - gradient(x, theta)).maximum(&lower).minimum(&upper)
            }),
        }
    }
}

fn ended(stop: minimizers::Stop) -> Stop {
    match stop {
        minimizers::Stop::Converged => Stop::Converged,
        minimizers::Stop::NoProgress => Stop::NoProgress,
        minimizers::Stop::NotFinite => Stop::NotFinite,
        minimizers::Stop::MaxIterations | minimizers::Stop::MaxEvaluations => Stop::MaxIterations,
    }
}

fn refused(error: minimizers::MinimizeError) -> SolverError {
    use minimizers::MinimizeError as E;
    match error {
        E::BoundsShape { found, expected } => SolverError::Shape {
            argument: "the bounds",
            expected: format!("{expected} elements"),
            found: vec![found],
        },
        E::EmptyBounds { coordinate, lower, upper } => {
            SolverError::EmptyBounds { row: coordinate, lower, upper }
        }
        E::StartNotFinite { coordinate, value } => {
            SolverError::NotFinite { argument: "the start", index: coordinate, value }
        }
        E::Empty => SolverError::Shape {
            argument: "the start",
            expected: "at least one element".into(),
            found: vec![0],
        },
    }
}

/// Polak and Ribiere's directions (never against the gradient) with a weak Wolfe search by bisection.
struct ConjugateGradients;

impl Method for ConjugateGradients {
    fn step(&self, objective: &mut Objective<'_>, it: &mut Iterate) -> bool {
        let steepest = -&it.gradient;
        // The pair holds the last direction and the gradient that it started from.
        let mut direction = match it.pairs.pop() {
            Some((last, old)) => {
                let beta = dot(&it.gradient, &(&it.gradient - &old)) / dot(&old, &old);
                steepest.add_scaled(beta.max(0.0), &last)
            }
            None => steepest.clone(),
        };
        if dot(&direction, &it.gradient) >= -1e-10 * dot(&steepest, &steepest) {
            direction = steepest.clone();
        }
        let mut found = wolfe(objective, it, &direction);
        if found.is_none() {
            direction = steepest;
            found = wolfe(objective, it, &direction);
        }
        let Some((x, value, gradient, step)) = found else { return false };
        it.pairs.push((direction, it.gradient.clone()));
        (it.x, it.value, it.gradient, it.radius) = (x, value, gradient, step);
        true
    }
}

/// Sufficient decrease 1e-4 and curvature 0.1, which conjugate directions need. The first step tried is the last one that was
/// taken, which the radius keeps.
fn wolfe(
    objective: &mut Objective<'_>,
    it: &Iterate,
    direction: &Array,
) -> Option<(Array, f64, Array, f64)> {
    let slope = dot(&it.gradient, direction);
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut step = if it.iteration == 0 { 1.0 / (-slope).sqrt().max(1.0) } else { it.radius };
    let noise = 10.0 * f64::EPSILON * it.value.abs();
    for _ in 0..60 {
        let x = it.x.add_scaled(step, direction);
        let (value, gradient) = objective.value_and_grad(&x);
        let there = dot(&gradient, direction);
        let enough = value <= it.value + 1e-4 * step * slope
            || (value <= it.value + noise && there <= 0.9998 * -slope);
        if !value.is_finite() || !enough {
            high = step;
        } else if there < 0.1 * slope {
            low = step;
        } else if there > -0.1 * slope {
            high = step;
        } else {
            return Some((x, value, gradient, step));
        }
        // The secant point of the slopes where it falls well inside, else the middle.
        let secant = step * slope / (slope - there);
        let inside = |s: f64| {
            s.is_finite() && s > low + 0.05 * (high - low) && s < high - 0.05 * (high - low)
        };
        step = if high.is_finite() {
            if inside(secant) { secant } else { 0.5 * (low + high) }
        } else if secant.is_finite() && secant > 1.1 * low {
            secant.min(10.0 * step)
        } else {
            2.0 * step
        };
        if high.is_finite() && high - low <= 1e-16 * high {
            return None;
        }
    }
    None
}
