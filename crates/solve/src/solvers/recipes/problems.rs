//! The problems, their solvers, and a measure of optimality that is the same for all of them.

use std::sync::Arc;

use lisse_array::{Array, DType, grad};
use lisse_data::{Dataset, Standardizer};
use lisse_run::Error;

use super::config::ProblemConfig;
use crate::solvers::derivative::Function;
use crate::solvers::*;
use crate::{projection, proximal};

/// A solver with a limit on its iterations.
type Run = Box<dyn Fn(&Array, usize, f64, &Derivative) -> Result<Solution, SolverError>>;
type Operator = Arc<dyn Fn(&Array, &Array, f64) -> Array + Send + Sync>;

/// `min f(x, theta) + g(x, theta)` with the operator of `g`, and solvers.
pub(super) struct Task {
    pub start: Array,
    /// The penalty.
    pub theta: Array,
    pub solvers: Vec<(String, Run)>,
    f: Function<Array>,
    prox: Operator,
    /// `1 / L`
    step: f64,
}

impl Task {
    /// `f(x, theta)`
    pub fn value(&self, x: &Array, theta: &Array) -> Array {
        (self.f)(x, theta)
    }

    /// `|x - prox_{g / L}(x - grad f(x) / L)| L`: 0 exactly at solutions, whatever the solver.
    pub fn residual(&self, x: &Array) -> f64 {
        let gradient = grad(|v: &Array| (self.f)(v, &self.theta))(x);
        let next = (self.prox)(&x.add_scaled(-self.step, &gradient), &self.theta, self.step);
        (next - x).square().sum_all().item().sqrt() / self.step
    }
}

/// A problem with its solvers to be chosen from.
struct Parts {
    start: Array,
    theta: Array,
    f: Function<Array>,
    prox: Operator,
    step: f64,
}

/// Largest eigenvalue of `X' X / n`.
fn curvature(x: &Array) -> Result<f64, Error> {
    let (_, s, _) = x.svd().map_err(Error::other)?;
    Ok(s.square().max_all().item() / x.shape()[0] as f64)
}

fn first(data: &Dataset, count: usize) -> Array {
    let inputs = data.inputs.cast(DType::F64).reshape(&[data.len() as isize, -1]);
    inputs.narrow(0, 0, count.min(data.len()))
}

fn one_hot(data: &Dataset, count: usize, classes: usize) -> Array {
    Array::one_hot(&data.targets.narrow(0, 0, count.min(data.len())), classes, DType::F64)
}

fn standardized(name: &str) -> Result<(Dataset, Array), Error> {
    let data = Dataset::bundled(name).map_err(Error::other)?.cast(DType::F64);
    let scale = Standardizer::fit(&data.inputs).map_err(Error::other)?;
    let inputs = scale.apply(&data.inputs).map_err(Error::other)?;
    Ok((data, inputs))
}

/// Runs what `make` makes of iterations and a tolerance.
fn run<S: Solver<Array> + 'static>(start: Array, make: impl Fn(usize, f64) -> S + 'static) -> Run {
    Box::new(move |theta, iterations, tolerance, derivative| {
        make(iterations, tolerance).solve(&start, theta, derivative)
    })
}

impl Parts {
    fn proximal(&self, iterations: usize, tolerance: f64) -> ProximalGradient<Array> {
        let (f, prox) = (self.f.clone(), self.prox.clone());
        let eta = self.step;
        ProximalGradient::new(
            move |x: &Array, t: &Array| f(x, t),
            move |v: &Array, t: &Array, s: f64| prox(v, t, s),
        )
        .limits(tolerance, iterations)
        .eta(eta)
    }

    fn map(&self) -> impl Fn(&Array, &Array) -> Array + Send + Sync + 'static {
        let (f, prox, step) = (self.f.clone(), self.prox.clone(), self.step);
        move |x, t| {
            let gradient = grad(|v: &Array| f(v, t))(x);
            prox(&(x - gradient * step), t, step)
        }
    }

    /// The solvers that need nothing but the parts.
    fn common(self: &Arc<Self>, name: &str) -> Option<Run> {
        let parts = self.clone();
        let start = self.start.clone();
        Some(match name {
            "ista" | "projected" | "gradient" => {
                run(start, move |n, t| parts.proximal(n, t).plain())
            }
            "fista" => run(start, move |n, t| parts.proximal(n, t)),
            "fista_plain" => run(start, move |n, t| parts.proximal(n, t).restart(false)),
            // |T(x) - x| is the residual times the step.
            "picard" => {
                run(start, move |n, t| FixedPoint::new(parts.map()).limits(t * parts.step, n))
            }
            "anderson" => run(start, move |n, t| {
                Anderson::new(parts.map()).history(10).limits(t * parts.step, n)
            }),
            "lbfgs" => run(start, move |n, t| {
                let f = parts.f.clone();
                Minimizer::new(move |x: &Array, p: &Array| f(x, p)).limits(t, n)
            }),
            "conjugate" => run(start, move |n, t| {
                let f = parts.f.clone();
                Minimizer::new(move |x: &Array, p: &Array| f(x, p))
                    .direction(Direction::ConjugateGradients)
                    .limits(t, n)
            }),
            _ => return None,
        })
    }
}

/// A quadratic program's outcome as that of a solver.
fn from_program(best: QpSolution, x: Array) -> Solution {
    Solution {
        x,
        stop: best.stop,
        iterations: best.iterations,
        error: best.primal_residual.max(best.dual_residual),
        // One product with each matrix an iteration is what a gradient costs.
        counts: Counts { gradients: best.iterations, ..Counts::default() },
        history: Vec::new(),
    }
}

impl ProblemConfig {
    pub(super) fn build(&self, solvers: &[String]) -> Result<Task, Error> {
        let (parts, special): (Parts, Special) = match *self {
            ProblemConfig::Lasso { penalty } => lasso(penalty)?,
            ProblemConfig::SvmDual { penalty, examples } => svm_dual(penalty, examples)?,
            ProblemConfig::Softmax { penalty, examples } => softmax(penalty, examples)?,
            ProblemConfig::NonNegative { penalty, atoms } => non_negative(penalty, atoms)?,
        };
        let parts = Arc::new(parts);
        let named = solvers.iter().map(|name| {
            let found = special(name).or_else(|| parts.common(name));
            let run = found.ok_or_else(|| Error::message(format!("no solver `{name}` here")))?;
            Ok((name.clone(), run))
        });
        Ok(Task {
            solvers: named.collect::<Result<_, Error>>()?,
            start: parts.start.clone(),
            theta: parts.theta.clone(),
            f: parts.f.clone(),
            prox: parts.prox.clone(),
            step: parts.step,
        })
    }
}

/// Solvers that belong to one problem.
type Special = Box<dyn Fn(&str) -> Option<Run>>;

fn lasso(part: f64) -> Result<(Parts, Special), Error> {
    let (data, x) = standardized("diabetes")?;
    let targets = data.targets.cast(DType::F64);
    let y = &targets - targets.mean_all();
    let y = &y / y.square().mean_all().sqrt();
    let n = x.shape()[0] as f64;
    let d = x.shape()[1];
    let correlation = (x.t().matmul(&y) * (1.0 / n)).abs().max_all().item();
    let step = 1.0 / curvature(&x)?;
    let (xf, yf) = (x.clone(), y.clone());
    let f = move |w: &Array, _: &Array| (xf.matmul(w) - &yf).square().sum_all() * (0.5 / n);
    let parts = Parts {
        start: Array::zeros(&[d], DType::F64),
        theta: Array::scalar(part * correlation),
        f: Arc::new(f),
        prox: Arc::new(|v, penalty, s| proximal::l1(v, &(penalty * s))),
        step,
    };
    let special = move |name: &str| -> Option<Run> {
        let (x, y) = (x.clone(), y.clone());
        match name {
            "blocks" => Some(Box::new(move |theta, iterations, tolerance, derivative| {
                let (design, target) = (x.clone(), y.unsqueeze(1));
                let solver = BlockCoordinateDescent::new(
                    move |_: &Array| design.clone(),
                    move |p: &Array, _: &Array| (p - &target).square().sum_all() * (0.5 / n),
                    |v: &Array, penalty: &Array, steps: &Array, _| {
                        proximal::l1(v, &(steps * penalty))
                    },
                    1.0 / n,
                );
                let start = Array::zeros(&[d, 1], DType::F64);
                let mut found =
                    solver.limits(tolerance, iterations).solve(&start, theta, derivative)?;
                found.x = found.x.squeeze(1);
                Ok(found)
            })),
            "program" => Some(Box::new(move |theta, iterations, tolerance, _| {
                // Positive and negative parts of the coefficients.
                let h = x.t().matmul(&x) * (1.0 / n);
                let b = x.t().matmul(&y) * (1.0 / n);
                let top = Array::cat(&[&h, &-&h], 1);
                let program = QuadraticProgram {
                    p: Array::cat(&[&top, &-&top], 0),
                    q: Array::cat(&[&(theta - &b), &(theta + &b)], 0),
                    a: Array::eye(2 * d, DType::F64),
                    lower: Array::zeros(&[2 * d], DType::F64),
                    upper: Array::full(&[2 * d], f64::INFINITY, DType::F64),
                };
                let options =
                    QpOptions { tolerance, max_iterations: iterations, ..QpOptions::default() };
                let best = quadratic_program(&program, &options)?;
                let x = best.x.narrow(0, 0, d) - best.x.narrow(0, d, d);
                Ok(from_program(best, x))
            })),
            _ => None,
        }
    };
    Ok((parts, Box::new(special)))
}

/// `min |X' (Y - beta)|^2 / (2 lambda) - <beta, 1 - Y>` over rows of `beta` in the simplex.
fn svm_dual(penalty: f64, examples: usize) -> Result<(Parts, Special), Error> {
    let (data, all) = standardized("breast_cancer")?;
    let n = examples.min(data.len());
    // Divided by n as a loss is, and by the number of features as a kernel is.
    let x = all.narrow(0, 0, n) * (1.0 / (n as f64 * all.shape()[1] as f64).sqrt());
    let y = one_hot(&data, n, 2);
    let smooth = curvature(&x)? * n as f64 / penalty;
    let (xf, yf) = (x.clone(), y.clone());
    let f = move |beta: &Array, l: &Array| {
        let w = xf.t().matmul(&(&yf - beta));
        w.square().sum_all() * 0.5 / l - (beta * (1.0 - &yf)).sum_all() * (1.0 / n as f64)
    };
    let start = y.full_like(0.5);
    let parts = Parts {
        start: start.clone(),
        theta: Array::scalar(penalty),
        f: Arc::new(f),
        prox: Arc::new(|v, _, _| on_simplex(v)),
        step: 1.0 / smooth,
    };
    let f = parts.f.clone();
    let special = move |name: &str| -> Option<Run> {
        let (x, y, f) = (x.clone(), y.clone(), f.clone());
        let start = start.clone();
        match name {
            "mirror" => Some(run(start, move |n, t| {
                let f = f.clone();
                // Relative to the entropy, the smoothness is at most the largest row's.
                MirrorDescent::simplex(move |b: &Array, l: &Array| f(b, l), 1.0 / smooth)
                    .limits(t, n)
            })),
            "blocks" => Some(run(start, move |iterations, t| {
                let (design, target, gain) = (x.t(), x.t().matmul(&y), 1.0 - &y);
                BlockCoordinateDescent::new(
                    move |_: &Array| design.clone(),
                    move |p: &Array, l: &Array| (p - &target).square().sum_all() * 0.5 / l,
                    move |v: &Array, _: &Array, steps: &Array, rows: std::ops::Range<usize>| {
                        let gain = gain.narrow(0, rows.start, rows.len()) * (1.0 / n as f64);
                        on_simplex(&(v + gain * steps))
                    },
                    1.0 / penalty,
                )
                .limits(t, iterations)
            })),
            _ => None,
        }
    };
    Ok((parts, Box::new(special)))
}

/// Rows of a finite matrix on the simplex; NaN, which a diverging solver makes, stays NaN to be seen.
fn on_simplex(v: &Array) -> Array {
    projection::simplex(v, &Array::scalar(1.0f64)).unwrap_or_else(|_| v.full_like(f64::NAN))
}

fn softmax(penalty: f64, examples: usize) -> Result<(Parts, Special), Error> {
    let data = Dataset::bundled("digits").map_err(Error::other)?;
    let n = examples.min(data.len());
    let pixels = first(&data, n);
    let x = Array::cat(&[&pixels, &Array::ones(&[n, 1], DType::F64)], 1);
    let y = one_hot(&data, n, 10);
    let start = Array::zeros(&[x.shape()[1], 10], DType::F64);
    // The Hessian of a row's loss is at most half the identity.
    let step = 1.0 / (0.5 * curvature(&x)? + penalty);
    let f = move |w: &Array, l: &Array| {
        let scores = x.matmul(w);
        let loss = scores.logsumexp(&[-1]).sum_all() - (&scores * &y).sum_all();
        loss * (1.0 / n as f64) + l * w.square().sum_all() * 0.5
    };
    let parts = Parts {
        start,
        theta: Array::scalar(penalty),
        f: Arc::new(f),
        prox: Arc::new(|v, _, _| v.clone()),
        step,
    };
    Ok((parts, Box::new(|_: &str| None)))
}

fn non_negative(penalty: f64, atoms: usize) -> Result<(Parts, Special), Error> {
    let data = Dataset::bundled("digits").map_err(Error::other)?;
    let all = first(&data, data.len());
    // Images as columns; what they should combine to is the mean of all.
    let a = first(&data, atoms).t() + 0.0;
    let y = all.mean(&[0]);
    let n = a.shape()[1];
    let h = a.t().matmul(&a);
    let b = a.t().matmul(&y);
    let largest = curvature(&a)? * a.shape()[0] as f64;
    let f = move |x: &Array, l: &Array| {
        (a.matmul(x) - &y).square().sum_all() * 0.5 + l * x.square().sum_all() * 0.5
    };
    let parts = Parts {
        start: Array::zeros(&[n], DType::F64),
        theta: Array::scalar(penalty),
        f: Arc::new(f),
        prox: Arc::new(|v, _, _| v.relu()),
        step: 1.0 / (largest + penalty),
    };
    let f = parts.f.clone();
    let special = move |name: &str| -> Option<Run> {
        let (h, b, f) = (h.clone(), b.clone(), f.clone());
        let zeros = Array::zeros(&[n], DType::F64);
        let open = Array::full(&[n], f64::INFINITY, DType::F64);
        let matrix = move |theta: &Array| &h + Array::eye(n, DType::F64) * theta;
        match name {
            "lbfgsb" => Some(run(zeros.clone(), move |iterations, t| {
                let f = f.clone();
                Minimizer::new(move |x: &Array, l: &Array| f(x, l))
                    .within(zeros.clone(), open.clone())
                    .limits(t, iterations)
            })),
            "coordinates" => Some(Box::new(move |theta, max_iterations, tolerance, _| {
                let options = BoxQpOptions { tolerance, max_iterations };
                let best = box_quadratic_program(&matrix(theta), &-&b, &zeros, &open, &options)?;
                let x = best.x.clone();
                Ok(from_program(best, x))
            })),
            "program" => Some(Box::new(move |theta, max_iterations, tolerance, _| {
                let program = QuadraticProgram {
                    p: matrix(theta),
                    q: -&b,
                    a: Array::eye(n, DType::F64),
                    lower: zeros.clone(),
                    upper: open.clone(),
                };
                let options = QpOptions { tolerance, max_iterations, ..QpOptions::default() };
                let best = quadratic_program(&program, &options)?;
                let x = best.x.clone();
                Ok(from_program(best, x))
            })),
            _ => None,
        }
    };
    Ok((parts, Box::new(special)))
}
