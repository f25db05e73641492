//! Gradient, projected gradient and proximal gradient methods: one loop.

use std::sync::Arc;

use lisse_array::{Array, grad, value_and_grad};

use super::derivative::{Function, Parameters, Solver, stationary};
use super::trace::{Trace, check_returned, check_scalar, check_start, dot, norm};
use super::{Limits, Solution, SolverError, Stop};
use crate::implicit::Condition;

type Operator<T> = Arc<dyn Fn(&Array, &T, f64) -> Array + Send + Sync>;

/// How a step length is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepRule {
    /// Always this.
    Fixed(f64),
    /// From `initial`, multiplied by `shrink` until the quadratic model at the step is an upper bound, at most `trials` times. The next search
    /// begins at the last step times `growth`.
    Backtracking {
        /// First step tried.
        initial: f64,
        /// Factor of a step that is too long, below 1.
        shrink: f64,
        /// Factor from one search to the next, at least 1. Acceleration wants 1: its proof needs steps that do not grow.
        growth: f64,
        /// Most trials of one search.
        trials: usize,
    },
}

impl Default for StepRule {
    fn default() -> Self {
        StepRule::Backtracking { initial: 1.0, shrink: 0.5, growth: 1.0, trials: 60 }
    }
}

impl StepRule {
    fn first(self) -> f64 {
        match self {
            StepRule::Fixed(step) | StepRule::Backtracking { initial: step, .. } => step,
        }
    }

    fn check(self) -> Result<(), SolverError> {
        let first = self.first();
        let sound = first > 0.0 && first.is_finite();
        SolverError::check("the step", first, sound, "a finite number above 0")?;
        if let StepRule::Backtracking { shrink, growth, .. } = self {
            SolverError::check("shrink", shrink, shrink > 0.0 && shrink < 1.0, "between 0 and 1")?;
            SolverError::check("growth", growth, growth >= 1.0, "at least 1")?;
        }
        Ok(())
    }
}

/// `min_x f(x, theta) + g(x, theta)` for a smooth `f` and a `g` with a proximal operator: `x <- prox_{s g}(x - s grad f(x))`, accelerated
/// (FISTA, Beck and Teboulle, 2009) with restarts where the momentum points uphill (O'Donoghue and Candes, 2015).
///
/// The error is `|x - prox_{s g}(x - s grad f(x))| / s`, the norm of the gradient where `g = 0`. The implicit derivative is that of the fixed
/// point `x = prox_{eta g}(x - eta grad f(x))`, whose solution depends on no `eta`.
#[derive(Clone)]
pub struct ProximalGradient<T> {
    f: Function<T>,
    prox: Option<Operator<T>>,
    /// When to end.
    pub limits: Limits,
    /// How steps are chosen.
    pub step: StepRule,
    /// Whether to accelerate.
    pub accelerate: bool,
    /// Whether to forget the momentum where it points uphill.
    pub restart: bool,
    /// `eta` of the fixed point behind the derivative.
    pub eta: f64,
}

impl<T: Parameters> ProximalGradient<T> {
    fn with(f: Function<T>, prox: Option<Operator<T>>) -> Self {
        ProximalGradient {
            f,
            prox,
            limits: Limits { max_iterations: 5000, ..Limits::default() },
            step: StepRule::default(),
            accelerate: true,
            restart: true,
            eta: 1.0,
        }
    }

    /// `f(x, theta)` is one number; `prox(v, theta, s)` is the proximal operator of `s g` at `v`.
    pub fn new(
        f: impl Fn(&Array, &T) -> Array + Send + Sync + 'static,
        prox: impl Fn(&Array, &T, f64) -> Array + Send + Sync + 'static,
    ) -> Self {
        Self::with(Arc::new(f), Some(Arc::new(prox)))
    }

    /// `min f(x, theta)` on the set that `projection(v, theta)` projects onto.
    pub fn projected(
        f: impl Fn(&Array, &T) -> Array + Send + Sync + 'static,
        projection: impl Fn(&Array, &T) -> Array + Send + Sync + 'static,
    ) -> Self {
        Self::new(f, move |v, theta, _| projection(v, theta))
    }

    /// `min f(x, theta)`: gradient descent.
    pub fn descent(f: impl Fn(&Array, &T) -> Array + Send + Sync + 'static) -> Self {
        Self::with(Arc::new(f), None)
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, tolerance: f64, max_iterations: usize) -> Self {
        self.limits = Limits::new(tolerance, max_iterations);
        self
    }

    /// With another step rule.
    #[must_use]
    pub fn step(mut self, step: StepRule) -> Self {
        self.step = step;
        self
    }

    /// With another `eta` in the fixed point behind the derivative.
    #[must_use]
    pub fn eta(mut self, eta: f64) -> Self {
        self.eta = eta;
        self
    }

    /// With or without restarts.
    #[must_use]
    pub fn restart(mut self, restart: bool) -> Self {
        self.restart = restart;
        self
    }

    /// Without acceleration.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.accelerate = false;
        if let StepRule::Backtracking { growth, .. } = &mut self.step {
            *growth = 2.0;
        }
        self
    }

    fn apply(&self, v: &Array, theta: &T, step: f64) -> Array {
        self.prox.as_ref().map_or_else(|| v.clone(), |prox| prox(v, theta, step))
    }

    /// The step from `y` and its length; `None` if no length is short enough.
    fn move_from(
        &self,
        y: &Array,
        theta: &T,
        first: f64,
        trace: &mut Trace,
    ) -> Option<(Array, f64)> {
        trace.counts.gradients += 1;
        let (value, gradient) = value_and_grad(|v: &Array| (self.f)(v, theta))(y);
        let mut step = first;
        let trial = |step: f64, trace: &mut Trace| {
            trace.counts.proximal += usize::from(self.prox.is_some());
            self.apply(&y.add_scaled(-step, &gradient), theta, step)
        };
        let StepRule::Backtracking { shrink, trials, .. } = self.step else {
            return Some((trial(step, trace), step));
        };
        let value = value.item();
        for _ in 0..trials {
            let next = trial(step, trace);
            trace.counts.values += 1;
            let change = (&next - y).stop_gradient();
            let reached = (self.f)(&next.stop_gradient(), theta).item();
            let model = dot(&gradient, &change) + dot(&change, &change) / (2.0 * step);
            let square = dot(&change, &change) / step;
            let noise = 8.0 * f64::EPSILON * value.abs().max(reached.abs());
            let short = if square > 100.0 * noise || !reached.is_finite() {
                reached <= value + model
            } else {
                // Rounding hides the difference of the values; that of the gradients tells as much.
                trace.counts.gradients += 1;
                let there = grad(|v: &Array| (self.f)(v, theta))(&next.stop_gradient());
                dot(&(there - &gradient), &change) <= square
            };
            if short {
                return Some((next, step));
            }
            step *= shrink;
        }
        // A value that is not finite is the caller's to report.
        (!value.is_finite()).then(|| (gradient * f64::NAN, step))
    }
}

impl<T: Parameters> Solver<T> for ProximalGradient<T> {
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError> {
        self.limits.check()?;
        self.step.check()?;
        check_start(start)?;
        check_scalar(&(self.f)(start, theta))?;
        check_returned("the proximal operator", &self.apply(start, theta, 1.0), start.shape())?;
        let mut trace = Trace::new(self.limits);
        let growth = match self.step {
            StepRule::Backtracking { growth, .. } => growth,
            StepRule::Fixed(_) => 1.0,
        };
        let mut step = self.step.first() / growth;
        let (mut x, mut y, mut t) = (start.clone(), start.clone(), 1.0f64);
        loop {
            let Some((next, length)) = self.move_from(&y, theta, step * growth, &mut trace) else {
                let error = f64::NAN;
                return Ok(trace.end(x, Stop::NoProgress, error));
            };
            step = length;
            let error = norm(&(&next - &y)) / step;
            if let Some(stop) = trace.record(error) {
                return Ok(trace.end(next, stop, error));
            }
            if self.accelerate {
                let uphill = self.restart && dot(&(&y - &next), &(&next - &x)) > 0.0;
                let t_next = if uphill { 1.0 } else { 0.5 * (1.0 + (1.0 + 4.0 * t * t).sqrt()) };
                let momentum = if uphill { 0.0 } else { (t - 1.0) / t_next };
                y = next.add_scaled(momentum, &(&next - &x));
                t = t_next;
            } else {
                y = next.clone();
            }
            x = next;
        }
    }

    fn condition(&self) -> Condition<Array, T> {
        let f = self.f.clone();
        let gradient = move |x: &Array, theta: &T| grad(|v: &Array| f(v, theta))(x);
        let Some(prox) = self.prox.clone() else {
            return stationary(gradient);
        };
        let eta = self.eta;
        Condition::fixed_point(move |x: &Array, theta: &T| {
            prox(&(x - gradient(x, theta) * eta), theta, eta)
        })
    }
}
