//! The method.

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use super::curvature::{Approximation, Curvature};
use super::descent::{CurvedProblem, Descent, DescentError, Progress, curvature};
use super::metric::Metric;
use super::search::{Found, Point, Search};
use super::solver::{Backend, Linear, Solver};
use crate::config::OutOfRange;
use crate::minimize::{Iterate, Method, Objective, dot};

/// Newton's method regularized by the gradient, with any positive semidefinite Hessian approximation `H` (Semenov, Jaggi and
/// Doikov, Gradient-Normalized Smoothness for Optimization with Approximate Hessians, 2026; arXiv 2506.13710):
///
/// `x+ = x - (H(x) + lambda B)^-1 g`, `lambda = |g|_* / gamma`,
///
/// with `gamma` doubled after every step that satisfies `f(x) - f(x+) >= |g(x+)|_*^2 / (8 lambda)` and halved until one does. There is no
/// constant to know, no trust region and no cubic model: one linear system per trial. Large `gamma` is Newton's method, `H = 0` normalized
/// gradient descent.
///
/// Three uses: [`descend`](super::descend) on a [`CurvedProblem`] with any approximation and metric; [`minimize`](crate::minimize()) on any
/// differentiable function, with its exact Hessian by products ([`Backend::Auto`], `Cg`, `Krylov`) or as a matrix (`Cholesky`, `Eigen`); and for
/// networks [`GradientNormalized`](super::GradientNormalized).
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::gradient_normalized::GradientRegularizedNewton;
/// use lisse_optim::{Options, Stop, minimize};
/// let rosenbrock = |x: &Array| {
///     let (a, b) = (x.index(0, 0), x.index(0, 1));
///     (1.0 - &a).square() + (b - a.square()).square() * 100.0
/// };
/// let start = Array::from_slice(&[-1.2f64, 1.0], &[2]);
/// let newton = GradientRegularizedNewton::default();
/// let best = minimize(rosenbrock, &start, &newton, &Options::default())?;
/// assert_eq!(best.stop, Stop::Converged);
/// # Ok::<(), lisse_optim::minimize::MinimizeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GradientRegularizedNewton {
    /// What stands for the Hessian. In [`minimize`](crate::minimize()), which knows only the function, all but `None` mean the exact one.
    pub approximation: Approximation,
    /// How `gamma` is found.
    pub search: Search,
    /// How steps are solved for.
    pub linear: Linear,
}

impl GradientRegularizedNewton {
    /// The paper's method with another matrix for the Hessian.
    pub fn with(approximation: Approximation) -> GradientRegularizedNewton {
        GradientRegularizedNewton { approximation, ..GradientRegularizedNewton::default() }
    }

    /// Steps with `gamma` as given, all of which are taken.
    #[must_use]
    pub fn fixed(self, gamma: f64) -> GradientRegularizedNewton {
        GradientRegularizedNewton {
            search: Search { gamma, adaptive: false, ..self.search },
            ..self
        }
    }

    /// Another way to solve for the steps.
    #[must_use]
    pub fn backend(self, backend: Backend) -> GradientRegularizedNewton {
        GradientRegularizedNewton { linear: Linear { backend, ..self.linear }, ..self }
    }
}

impl Descent for GradientRegularizedNewton {
    fn check(&self) -> Result<(), OutOfRange> {
        self.search.validate()
    }

    fn initial(&self) -> f64 {
        self.search.gamma
    }

    fn advance(
        &self,
        problem: &dyn CurvedProblem,
        metric: &Metric,
        progress: &mut Progress,
    ) -> Result<bool, DescentError> {
        let h = curvature(problem, progress, self.approximation)?;
        let mut solver = Solver::new(h, metric, self.linear, &progress.gradient)?;
        let at = Point {
            x: progress.x.clone(),
            value: progress.value,
            gradient: progress.gradient.clone(),
            norm: progress.gradient_norm,
        };
        let counts = &mut progress.counts;
        let found = self.search.run(
            &at,
            progress.parameter,
            |g, lambda| solver.step(g, lambda),
            |step, _| {
                counts.gradients += 1;
                let x = &at.x + step;
                let (value, gradient) = problem.value_and_grad(&x);
                let norm = metric.dual_norm(&gradient);
                Point { x, value, gradient, norm }
            },
        );
        progress.counts.add(solver.work);
        match found {
            Found::Exhausted { gamma, .. } => {
                progress.parameter = gamma;
                Ok(false)
            }
            Found::Step(step) => {
                let point = step.point;
                (progress.x, progress.value) = (point.x, point.value);
                (progress.gradient, progress.gradient_norm) = (point.gradient, point.norm);
                (progress.parameter, progress.damping) = (step.gamma, step.lambda);
                Ok(true)
            }
        }
    }
}

impl Method for GradientRegularizedNewton {
    fn start(&self, objective: &mut Objective<'_>, x: &Array) -> Iterate {
        let x = objective.project(x);
        let (value, gradient) = objective.value_and_grad(&x);
        Iterate { x, value, gradient, pairs: Vec::new(), radius: self.search.gamma, iteration: 0 }
    }

    /// Within bounds, the free coordinates take the regularized step and the others a gradient step to their bounds; norms are
    /// those of the free part of the gradient.
    fn step(&self, objective: &mut Objective<'_>, iterate: &mut Iterate) -> bool {
        let metric = Metric::identity();
        let free = objective.free(&iterate.x, &iterate.gradient);
        let bounded = objective.bounded();
        let masked = |v: &Array, free: &Array| if bounded { v * free } else { v.clone() };
        let gradient = masked(&iterate.gradient, &free);
        // With no free coordinate the held ones still have a way to go.
        let norm = metric.norm(&gradient);
        let norm = if norm > 0.0 { norm } else { metric.norm(&iterate.gradient) };
        let at = Point { x: iterate.x.clone(), value: iterate.value, gradient, norm };
        let objective = std::cell::RefCell::new(objective);
        let product = |v: &Array| {
            let image = objective.borrow_mut().hvp(&at.x, &masked(v, &free));
            masked(&image, &free)
        };
        let h = match self.approximation {
            Approximation::None => Curvature::Zero,
            _ => Curvature::Operator { product: Box::new(product), dense: None },
        };
        let backend = match self.linear.backend {
            // Products say nothing of rank.
            Backend::Woodbury => Backend::Auto,
            other => other,
        };
        let linear = Linear { backend, ..self.linear };
        let Ok(mut solver) = Solver::new(h, &metric, linear, &at.gradient) else { return false };
        let whole = &iterate.gradient;
        // Rejections shorten the gradient part too.
        let steps = |step: &Array, lambda: f64, objective: &Objective<'_>| {
            let held = if bounded { whole * (1.0 / lambda) } else { whole.clone() };
            objective.project(&(&at.x + objective.two_metric(step, &free, &held)))
        };
        let mut full_gradient = None;
        let found = self.search.run(
            &at,
            iterate.radius,
            |g, lambda| solver.step(g, lambda),
            |step, lambda| {
                let mut objective = objective.borrow_mut();
                let x = steps(step, lambda, &objective);
                let (value, gradient) = objective.value_and_grad(&x);
                let part = masked(&gradient, &objective.free(&x, &gradient));
                let norm = dot(&part, &part).sqrt();
                full_gradient = Some(gradient);
                Point { x, value, gradient: part, norm }
            },
        );
        match (found, full_gradient) {
            (Found::Step(step), Some(gradient)) => {
                iterate.radius = step.gamma;
                (iterate.x, iterate.value) = (step.point.x, step.point.value);
                iterate.gradient = gradient;
                true
            }
            _ => false,
        }
    }
}
