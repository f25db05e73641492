//! Methods to compare with: gradient descent and its fast form with backtracking, super-universal and cubic Newton.
//!
//! Normalized gradient descent is [`GradientRegularizedNewton`](super::GradientRegularizedNewton) with
//! [`Approximation::None`].

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use super::curvature::{Approximation, Curvature};
use super::descent::{CurvedProblem, Descent, DescentError, Progress, curvature};
use super::metric::Metric;
use super::solver::{Backend, Linear, Solver, epsilon};
use crate::config::{OutOfRange, fail};
use crate::minimize::dot;

/// What a bound on a constant never falls below.
const LEAST: f64 = 1e-5;

fn positive(key: &str, value: f64) -> Result<(), OutOfRange> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    fail(key, "a number above 0")
}

/// Gradient descent `x+ = x - B^-1 g / L`, with `L` doubled until `f(x+) <= f + <g, x+ - x> + L |x+ - x|^2 / 2` and halved after every step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BacktrackingGradient {
    /// First `L`.
    pub smoothness: f64,
    /// Most trials per iteration.
    pub max_trials: usize,
}

impl Default for BacktrackingGradient {
    fn default() -> Self {
        BacktrackingGradient { smoothness: 1.0, max_trials: 30 }
    }
}

/// Nesterov's fast gradient method with the same search for `L`: steps from `y`, a mean of the iterate and of a second sequence `v`
/// that gathers all gradients with growing weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FastGradient {
    /// First `L`.
    pub smoothness: f64,
    /// Most trials per iteration.
    pub max_trials: usize,
}

impl Default for FastGradient {
    fn default() -> Self {
        FastGradient { smoothness: 1.0, max_trials: 30 }
    }
}

/// Super-universal Newton (Doikov, Mishchenko and Nesterov, 2024): `lambda = H |g|_*^alpha`, with `H` quadrupled until
/// `<g+, x - x+> >= |g+|_*^2 / (4 lambda)` and quartered after every step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuperUniversalNewton {
    /// First `H`.
    pub regularization: f64,
    /// Power of the gradient's norm, from 2/3 to 1.
    pub alpha: f64,
    /// What stands for the Hessian.
    pub approximation: Approximation,
    /// Most trials per iteration.
    pub max_trials: usize,
}

impl Default for SuperUniversalNewton {
    fn default() -> Self {
        SuperUniversalNewton {
            regularization: 1.0,
            alpha: 1.0,
            approximation: Approximation::Exact,
            max_trials: 40,
        }
    }
}

/// Cubic regularization of Newton's method (Nesterov and Polyak, 2006): the step minimizes `<g, d> + <H d, d> / 2 + M |d|^3 / 6`, with `M` doubled
/// until that model bounds the function and halved after every step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CubicNewton {
    /// First `M`.
    pub regularization: f64,
    /// What stands for the Hessian.
    pub approximation: Approximation,
    /// Most trials per iteration.
    pub max_trials: usize,
}

impl Default for CubicNewton {
    fn default() -> Self {
        CubicNewton { regularization: 1.0, approximation: Approximation::Exact, max_trials: 40 }
    }
}

/// `f(t) <= f(y) + <g, t - y> + L |t - y|^2 / 2`, up to rounding.
fn below_parabola(
    value: f64,
    at: (&Array, f64, &Array),
    t: &Array,
    bound: f64,
    metric: &Metric,
) -> bool {
    let (y, at_y, gradient) = at;
    let step = t - y;
    let length = metric.norm(&step);
    let rounding = 4.0 * epsilon(t.dtype()) * at_y.abs();
    value.is_finite()
        && value <= at_y + dot(gradient, &step) + 0.5 * bound * length * length + rounding
}

fn arrive(progress: &mut Progress, problem: &dyn CurvedProblem, metric: &Metric, x: Array) {
    progress.counts.gradients += 1;
    (progress.value, progress.gradient) = problem.value_and_grad(&x);
    progress.gradient_norm = metric.dual_norm(&progress.gradient);
    progress.x = x;
}

impl Descent for BacktrackingGradient {
    fn check(&self) -> Result<(), OutOfRange> {
        positive("smoothness", self.smoothness)
    }
    fn initial(&self) -> f64 {
        self.smoothness
    }
    fn advance(
        &self,
        problem: &dyn CurvedProblem,
        metric: &Metric,
        progress: &mut Progress,
    ) -> Result<bool, DescentError> {
        let direction = metric.solve(&progress.gradient);
        for _ in 0..self.max_trials {
            let bound = progress.parameter;
            let t = progress.x.add_scaled(-1.0 / bound, &direction);
            progress.counts.values += 1;
            let at = (&progress.x, progress.value, &progress.gradient);
            if below_parabola(problem.value(&t), at, &t, bound, metric) {
                arrive(progress, problem, metric, t);
                progress.parameter = (bound / 2.0).max(LEAST);
                return Ok(true);
            }
            progress.parameter = 2.0 * bound;
        }
        Ok(false)
    }
}

impl Descent for FastGradient {
    fn check(&self) -> Result<(), OutOfRange> {
        positive("smoothness", self.smoothness)
    }
    fn initial(&self) -> f64 {
        self.smoothness
    }
    fn advance(
        &self,
        problem: &dyn CurvedProblem,
        metric: &Metric,
        progress: &mut Progress,
    ) -> Result<bool, DescentError> {
        let v = progress.companion.get_or_insert_with(|| progress.x.clone()).clone();
        let weight = progress.weight;
        for _ in 0..self.max_trials {
            let bound = progress.parameter;
            let a = (1.0 + (1.0 + 4.0 * weight * bound).sqrt()) / (2.0 * bound);
            let share = a / (a + weight);
            let y = (&v * share).add_scaled(1.0 - share, &progress.x);
            let (at_y, gradient) = problem.value_and_grad(&y);
            let t = y.add_scaled(-1.0 / bound, &metric.solve(&gradient));
            progress.counts.gradients += 1;
            progress.counts.values += 1;
            if below_parabola(problem.value(&t), (&y, at_y, &gradient), &t, bound, metric) {
                progress.companion = Some(t.add_scaled(weight / a, &(&t - &progress.x)));
                progress.weight = weight + a;
                arrive(progress, problem, metric, t);
                progress.parameter = (bound / 2.0).max(LEAST);
                return Ok(true);
            }
            progress.parameter = 2.0 * bound;
        }
        Ok(false)
    }
}

impl Descent for SuperUniversalNewton {
    fn check(&self) -> Result<(), OutOfRange> {
        positive("regularization", self.regularization)?;
        if !(self.alpha >= 2.0 / 3.0 && self.alpha <= 1.0) {
            return fail("alpha", "a number from 2/3 to 1");
        }
        Ok(())
    }
    fn initial(&self) -> f64 {
        self.regularization
    }
    fn advance(
        &self,
        problem: &dyn CurvedProblem,
        metric: &Metric,
        progress: &mut Progress,
    ) -> Result<bool, DescentError> {
        let h = curvature(problem, progress, self.approximation)?;
        let mut solver = Solver::new(h, metric, Linear::default(), &progress.gradient)?;
        for _ in 0..self.max_trials {
            let lambda = progress.parameter * progress.gradient_norm.powf(self.alpha);
            if let Some(step) = solver.step(&progress.gradient, lambda) {
                let x = &progress.x + &step;
                let (value, gradient) = problem.value_and_grad(&x);
                progress.counts.gradients += 1;
                let norm = metric.dual_norm(&gradient);
                let finite = value.is_finite() && norm.is_finite();
                if finite && -dot(&gradient, &step) >= norm * norm / (4.0 * lambda) {
                    progress.counts.add(solver.work);
                    (progress.x, progress.value) = (x, value);
                    (progress.gradient, progress.gradient_norm) = (gradient, norm);
                    progress.damping = lambda;
                    progress.parameter = (progress.parameter / 4.0).max(LEAST);
                    return Ok(true);
                }
            }
            progress.parameter *= 4.0;
        }
        progress.counts.add(solver.work);
        Ok(false)
    }
}

impl CubicNewton {
    /// The minimizer of the cubic model and its damping `M r / 2`, where `r = |d(M r / 2)|`.
    ///
    /// For a semidefinite `H` the length falls no faster than `1 / r`, so that `r -> (r |d|)^(1/2)` halves the distance to the
    /// root at least; bisection stands by for other matrices.
    fn model_step(
        solver: &mut Solver<'_>,
        metric: &Metric,
        gradient: &Array,
        m: f64,
    ) -> Option<(Array, f64)> {
        let (mut low, mut high) = (0.0f64, f64::INFINITY);
        let mut r = 1.0;
        let mut last = None;
        for _ in 0..100 {
            let damping = 0.5 * m * r;
            let Some(step) = solver.step(gradient, damping) else {
                low = r;
                r = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * r };
                continue;
            };
            let length = metric.norm(&step);
            last = Some((step, damping));
            if (r - length).abs() <= 1e-8 * r {
                break;
            }
            if r < length {
                low = r;
            } else {
                high = r;
            }
            let guess = (r * length).sqrt();
            r = if guess > low && guess < high { guess } else { 0.5 * (low + high) };
        }
        last
    }
}

impl Descent for CubicNewton {
    fn check(&self) -> Result<(), OutOfRange> {
        positive("regularization", self.regularization)
    }
    fn initial(&self) -> f64 {
        self.regularization
    }
    fn advance(
        &self,
        problem: &dyn CurvedProblem,
        metric: &Metric,
        progress: &mut Progress,
    ) -> Result<bool, DescentError> {
        let h = curvature(problem, progress, self.approximation)?;
        let matrix = h.dense(&progress.gradient);
        let linear = Linear { backend: Backend::Eigen, max_products: None };
        let h = Curvature::Dense(matrix.clone());
        let mut solver = Solver::new(h, metric, linear, &progress.gradient)?;
        for _ in 0..self.max_trials {
            let m = progress.parameter;
            let found = Self::model_step(&mut solver, metric, &progress.gradient, m);
            if let Some((step, damping)) = found {
                let x = &progress.x + &step;
                progress.counts.values += 1;
                let length = metric.norm(&step);
                let model = dot(&progress.gradient, &step)
                    + 0.5 * dot(&matrix.matmul(&step), &step)
                    + m / 6.0 * length.powi(3);
                let rounding = 4.0 * epsilon(x.dtype()) * progress.value.abs();
                if problem.value(&x) <= progress.value + model + rounding {
                    progress.counts.add(solver.work);
                    arrive(progress, problem, metric, x);
                    progress.damping = damping;
                    progress.parameter = (m / 2.0).max(LEAST);
                    return Ok(true);
                }
            }
            progress.parameter = 2.0 * m;
        }
        progress.counts.add(solver.work);
        Ok(false)
    }
}
