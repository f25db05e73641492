//! The transport polytope `{P >= 0, P 1 = a, P' 1 = b}`, in the Euclidean and in the Kullback-Leibler geometry.

use lisse_array::{Array, DType, custom_vjp};

use super::{Projected, ProjectionError, constant, finite, shape_error};

/// Largest violation of a marginal that is accepted, relative to the total mass.
const TOLERANCE: f64 = 1e-12;

/// Checked values of the point and the marginals.
struct Problem {
    point: Vec<f64>,
    a: Vec<f64>,
    b: Vec<f64>,
    mass: f64,
}

impl Problem {
    fn new(set: &'static str, x: &Array, a: &Array, b: &Array) -> Result<Problem, ProjectionError> {
        let &[rows, columns] = x.shape() else {
            return Err(shape_error(set, "the point", "two axes", x));
        };
        if rows == 0 || columns == 0 {
            return Err(shape_error(set, "the point", "at least one row and one column", x));
        }
        for (argument, marginal, length) in [("a", a, rows), ("b", b, columns)] {
            if marginal.shape() != [length] {
                return Err(shape_error(set, argument, format!("shape [{length}]"), marginal));
            }
        }
        let problem = Problem {
            point: finite(set, "the point", x)?,
            a: finite(set, "a", a)?,
            b: finite(set, "b", b)?,
            mass: a.to_f64_vec().iter().sum(),
        };
        problem.check(set)?;
        Ok(problem)
    }

    fn check(&self, set: &'static str) -> Result<(), ProjectionError> {
        let empty = |reason| Err(ProjectionError::Empty { set, reason });
        for (name, marginal) in [("a", &self.a), ("b", &self.b)] {
            if let Some(i) = marginal.iter().position(|v| *v < 0.0) {
                return empty(format!("{name} is negative at {i}: {}", marginal[i]));
            }
        }
        let other: f64 = self.b.iter().sum();
        if (self.mass - other).abs() > 1e-9 * self.mass.max(other) || self.mass == 0.0 {
            return empty(format!(
                "a sums to {}, b to {other}; both must have the same mass above 0",
                self.mass
            ));
        }
        Ok(())
    }

    /// Row sums, then column sums, minus the marginals.
    fn violation(&self, plan: &[f64]) -> Vec<f64> {
        let (m, n) = (self.a.len(), self.b.len());
        let mut out: Vec<f64> = self.a.iter().chain(&self.b).map(|v| -v).collect();
        for i in 0..m {
            for j in 0..n {
                out[i] += plan[i * n + j];
                out[m + j] += plan[i * n + j];
            }
        }
        out
    }
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |l, x| l.max(x.abs()))
}

/// `[diag(P 1), P; P', diag(P' 1)]` with a small ridge: the Hessian of either dual at the (weighted) plan `P`.
fn laplacian(plan: &[f64], m: usize, n: usize, ridge: f64) -> Array {
    let size = m + n;
    let mut h = vec![0.0; size * size];
    for i in 0..m {
        for j in 0..n {
            let p = plan[i * n + j];
            h[i * size + i] += p;
            h[(m + j) * size + m + j] += p;
            h[i * size + m + j] = p;
            h[(m + j) * size + i] = p;
        }
    }
    for k in 0..size {
        h[k * size + k] += ridge;
    }
    Array::from_vec::<f64>(h, &[size, size])
}

/// A convex dual of the potentials `f, g` (one vector): its value, the plan it stands for, and the weights of its Hessian.
trait Dual {
    fn plan(&self, potentials: &[f64]) -> Vec<f64>;
    fn value(&self, potentials: &[f64], plan: &[f64]) -> f64;
    fn weights(&self, plan: &[f64]) -> Vec<f64>;
}

struct Quadratic<'a>(&'a Problem);
struct Entropic<'a>(&'a Problem);

fn sums(p: &Problem, potentials: &[f64]) -> impl Iterator<Item = f64> {
    let n = p.b.len();
    let m = p.a.len();
    (0..m * n).map(move |k| p.point[k] + potentials[k / n] + potentials[m + k % n])
}

fn linear(p: &Problem, potentials: &[f64]) -> f64 {
    potentials.iter().zip(p.a.iter().chain(&p.b)).map(|(f, a)| f * a).sum()
}

impl Dual for Quadratic<'_> {
    fn plan(&self, potentials: &[f64]) -> Vec<f64> {
        sums(self.0, potentials).map(|v| v.max(0.0)).collect()
    }
    fn value(&self, potentials: &[f64], plan: &[f64]) -> f64 {
        0.5 * plan.iter().map(|v| v * v).sum::<f64>() - linear(self.0, potentials)
    }
    fn weights(&self, plan: &[f64]) -> Vec<f64> {
        plan.iter().map(|v| f64::from(u8::from(*v > 0.0))).collect()
    }
}

impl Dual for Entropic<'_> {
    fn plan(&self, potentials: &[f64]) -> Vec<f64> {
        sums(self.0, potentials).map(f64::exp).collect()
    }
    fn value(&self, potentials: &[f64], plan: &[f64]) -> f64 {
        plan.iter().sum::<f64>() - linear(self.0, potentials)
    }
    fn weights(&self, plan: &[f64]) -> Vec<f64> {
        plan.to_vec()
    }
}

/// Newton's method with a backtracking line search on a dual; semismooth where the dual is only once differentiable.
fn newton(
    set: &'static str,
    problem: &Problem,
    dual: &impl Dual,
    mut potentials: Vec<f64>,
) -> Result<Vec<f64>, ProjectionError> {
    const ITERATIONS: usize = 200;
    let (m, n) = (problem.a.len(), problem.b.len());
    let mut plan = dual.plan(&potentials);
    let mut error = f64::INFINITY;
    for _ in 0..ITERATIONS {
        let gradient = problem.violation(&plan);
        error = largest(&gradient);
        if error <= TOLERANCE * problem.mass {
            return Ok(plan);
        }
        let weights = dual.weights(&plan);
        let top = (largest(&weights) * 1e-13).max(f64::MIN_POSITIVE);
        // An isolated row or column has no weight at all: the ridge grows with the error, and vanishes with it.
        let ridge = top.max(largest(&weights) * 1e-4 * (error / problem.mass).min(1.0));
        let rhs = Array::from_slice(&gradient, &[m + n]);
        let step = laplacian(&weights, m, n, ridge)
            .solve(&rhs)
            .map_err(|source| ProjectionError::Linalg { set, source })?
            .to_f64_vec();
        let slope: f64 = gradient.iter().zip(&step).map(|(g, s)| g * s).sum();
        let value = dual.value(&potentials, &plan);
        let mut size = 1.0;
        loop {
            let trial: Vec<f64> = potentials.iter().zip(&step).map(|(p, s)| p - size * s).collect();
            let trial_plan = dual.plan(&trial);
            let lower = dual.value(&trial, &trial_plan) <= value - 1e-4 * size * slope;
            // Near the end the value has no digits left to show progress: the violation has.
            if lower || largest(&problem.violation(&trial_plan)) < 0.9 * error {
                (potentials, plan) = (trial, trial_plan);
                break;
            }
            size *= 0.5;
            if size < 1e-12 {
                return settle(set, plan, error, problem.mass, ITERATIONS);
            }
        }
    }
    settle(set, plan, error, problem.mass, ITERATIONS)
}

/// Rounding can end the search a little above the tolerance; far above it is a failure.
fn settle(
    set: &'static str,
    plan: Vec<f64>,
    error: f64,
    mass: f64,
    iterations: usize,
) -> Result<Vec<f64>, ProjectionError> {
    if error <= 1e-9 * mass {
        return Ok(plan);
    }
    let advice = "scale the point down (a larger temperature), or check it for entries of very different size";
    Err(ProjectionError::NotConverged { set, iterations, error, advice })
}

/// The plan `P >= 0` with row sums `a` and column sums `b` nearest to the matrix `x` (`[m, n]`): the dual of the quadratically regularized
/// transport problem, by a semismooth Newton method. Differentiable in all three: on its support the projection is affine.
///
/// # Errors
/// Negative marginals, or marginals of different mass.
pub fn transport(x: &Array, a: &Array, b: &Array) -> Projected {
    const SET: &str = "transport";
    let problem = Problem::new(SET, x, a, b)?;
    let (m, n) = (problem.a.len(), problem.b.len());
    let plan = newton(SET, &problem, &Quadratic(&problem), start(&problem))?;
    let floor = 1e-13 * problem.mass;
    let support: Vec<f64> = plan.iter().map(|v| f64::from(u8::from(*v > floor))).collect();
    // The potentials of the support's pieces are free by a constant each: the pseudo-inverse takes the smallest.
    let inverse = laplacian(&support, m, n, 0.0)
        .pinv(None)
        .map_err(|source| ProjectionError::Linalg { set: SET, source })?;
    let mask = constant(x, support, &[m, n]);
    let kept = x * &mask;
    let missing = Array::cat(&[&(a - kept.sum(&[1])), &(b - kept.sum(&[0]))], 0);
    let potentials = inverse.matmul(&missing);
    let f = potentials.narrow(0, 0, m).unsqueeze(1);
    let g = potentials.narrow(0, m, n);
    Ok(((x + f + g) * mask).relu())
}

/// Potentials that give a plan with the right mass where nothing is cut off.
fn start(p: &Problem) -> Vec<f64> {
    let (m, n) = (p.a.len() as f64, p.b.len() as f64);
    let mean = (p.mass - p.point.iter().sum::<f64>()) / (m * n);
    let rows =
        p.point.chunks(p.b.len()).zip(&p.a).map(|(row, a)| (a - row.iter().sum::<f64>()) / n);
    let columns = (0..p.b.len()).map(|j| {
        let sum: f64 = p.point.iter().skip(j).step_by(p.b.len()).sum();
        (p.b[j] - sum) / m - mean
    });
    rows.chain(columns).collect()
}

/// The nearest doubly stochastic matrix (rows and columns sum to 1).
pub fn birkhoff(x: &Array) -> Projected {
    let n = x.shape().first().copied().unwrap_or(0);
    if x.shape() != [n, n] {
        return Err(shape_error("birkhoff", "the point", "as many rows as columns", x));
    }
    let ones = x.device().with(|| Array::ones(&[n], DType::F64));
    transport(x, &ones, &ones)
}

/// The plan `P = exp(x + f + g)` with row sums `a` and column sums `b`: the projection of `exp(x)` in the Kullback-Leibler divergence, or
/// entropic optimal transport with cost `-x` at temperature 1. Sinkhorn's iteration, ended by Newton's method; derivatives of any order by
/// the equations of the marginals, in all three arguments.
///
/// # Errors
/// Marginals that are not above 0 everywhere (leave such rows out: they are 0), or of different mass.
pub fn transport_kl(x: &Array, a: &Array, b: &Array) -> Projected {
    const SET: &str = "transport_kl";
    let problem = Problem::new(SET, x, a, b)?;
    let lowest = problem.a.iter().chain(&problem.b).copied().fold(f64::INFINITY, f64::min);
    slices_positive(SET, lowest)?;
    let plan = newton(SET, &problem, &Entropic(&problem), sinkhorn(&problem, 50))?;
    let plan = constant(x, plan, x.shape());
    Ok(custom_vjp(
        &(x.clone(), a.clone(), b.clone()),
        move |_| (plan, ()),
        |_, plan, (), ct| {
            let (f, g) = marginal_multipliers(plan, &(plan * ct));
            (plan * (ct - f.unsqueeze(1) - &g), f, g)
        },
    ))
}

fn slices_positive(set: &'static str, lowest: f64) -> Result<(), ProjectionError> {
    super::slices::check_positive(set, "the least marginal", lowest)
}

/// `f, g` with `[diag(P 1), P; P', diag(P' 1)] (f, g) = (row sums, column sums)` of `w`, the last `g` being 0: they are determined up to a
/// constant that moves from one to the other, and so is everything computed from `f + g`.
fn marginal_multipliers(plan: &Array, w: &Array) -> (Array, Array) {
    let (m, n) = (plan.shape()[0], plan.shape()[1]);
    let narrow = plan.narrow(1, 0, n - 1);
    let rows = plan.sum(&[1]);
    let columns = narrow.sum(&[0]);
    // Rows eliminated: a system of the columns alone.
    let scaled = &narrow / rows.unsqueeze(1);
    let right_rows = w.sum(&[1]);
    let right = w.sum(&[0]).narrow(0, 0, n - 1) - scaled.t().matmul(&right_rows);
    let diagonal = Array::eye(n - 1, DType::F64) * columns;
    let complement = diagonal - narrow.t().matmul(&scaled);
    let g = match complement.solve(&right) {
        Ok(g) => g,
        // A plan so sparse that its support falls apart within rounding: no finite multiplier exists.
        Err(_) => right.full_like(f64::NAN),
    };
    let f = (right_rows - narrow.matmul(&g)) / rows;
    debug_assert!(f.len() == m);
    (f, Array::cat(&[&g, &w.sum_all().reshape(&[1]).zeros_like()], 0))
}

/// Sinkhorn's iteration in the logarithmic domain.
fn sinkhorn(p: &Problem, iterations: usize) -> Vec<f64> {
    let (m, n) = (p.a.len(), p.b.len());
    let mut potentials = vec![0.0; m + n];
    let log_sum = |terms: &mut dyn Iterator<Item = f64>| {
        let terms: Vec<f64> = terms.collect();
        let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top + terms.iter().map(|t| (t - top).exp()).sum::<f64>().ln()
    };
    for _ in 0..iterations {
        for i in 0..m {
            let row = &p.point[i * n..(i + 1) * n];
            let sum = log_sum(&mut row.iter().zip(&potentials[m..]).map(|(x, g)| x + g));
            potentials[i] = p.a[i].ln() - sum;
        }
        for j in 0..n {
            let sum = log_sum(&mut (0..m).map(|i| p.point[i * n + j] + potentials[i]));
            potentials[m + j] = p.b[j].ln() - sum;
        }
    }
    potentials
}
