//! The splitting, on a program that has been scaled to entries of order one.

use lisse_array::Array;

use super::kkt::polish;
use super::{Numbers, QpOptions, Side};
use crate::solvers::dense::{add_scaled, dot, largest, product, transposed};
use crate::solvers::{SolverError, Stop};

/// Iterations between two looks at the residuals.
const CHECK_EVERY: usize = 10;
/// Equations get a larger step, as in OSQP.
const EQUATION_FACTOR: f64 = 1e3;
const RHO_RANGE: (f64, f64) = (1e-6, 1e6);

/// What the splitting came to, in the terms of the unscaled program.
pub(super) struct Outcome {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub stop: Stop,
    pub iterations: usize,
    pub factorizations: usize,
    pub primal_residual: f64,
    pub dual_residual: f64,
    pub active: Vec<Side>,
    pub polished: bool,
    pub certificate: Option<Vec<f64>>,
}

/// Diagonal scalings of variables (`d`), rows (`e`) and the objective (`c`).
struct Scaling {
    d: Vec<f64>,
    e: Vec<f64>,
    c: f64,
}

/// Ruiz equilibration: the columns of `[P, A'; A, 0]` get largest entries of about one.
fn equilibrate(numbers: &mut Numbers) -> Scaling {
    let (n, m) = (numbers.n, numbers.m);
    let mut scaling = Scaling { d: vec![1.0; n], e: vec![1.0; m], c: 1.0 };
    let factor = |size: f64| if size < 1e-12 { 1.0 } else { 1.0 / size.min(1e12).sqrt() };
    for _ in 0..10 {
        let d: Vec<f64> = (0..n)
            .map(|j| {
                let p = (0..n).fold(0.0f64, |l, i| l.max(numbers.p[i * n + j].abs()));
                factor((0..m).fold(p, |l, i| l.max(numbers.a[i * n + j].abs())))
            })
            .collect();
        let e: Vec<f64> = numbers.a.chunks_exact(n).map(|row| factor(largest(row))).collect();
        for i in 0..n {
            for (p, dj) in numbers.p[i * n..(i + 1) * n].iter_mut().zip(&d) {
                *p *= d[i] * dj;
            }
            numbers.q[i] *= d[i];
            scaling.d[i] *= d[i];
        }
        for (i, &e) in e.iter().enumerate() {
            for (a, d) in numbers.a[i * n..(i + 1) * n].iter_mut().zip(&d) {
                *a *= e * d;
            }
            numbers.lower[i] *= e;
            numbers.upper[i] *= e;
            scaling.e[i] *= e;
        }
        let columns = (0..n).map(|j| (0..n).fold(0.0f64, |l, i| l.max(numbers.p[i * n + j].abs())));
        let mean = columns.sum::<f64>() / n as f64;
        let size = mean.max(largest(&numbers.q));
        let c = if size < 1e-12 { 1.0 } else { 1.0 / size.clamp(1e-4, 1e4) };
        numbers.p.iter_mut().chain(&mut numbers.q).for_each(|v| *v *= c);
        scaling.c *= c;
    }
    scaling
}

/// `(P + sigma I + A' diag(rho) A)` factored.
struct Factor {
    l: Array,
    rho: Vec<f64>,
}

impl Factor {
    fn new(numbers: &Numbers, options: &QpOptions, rho: f64) -> Result<Factor, SolverError> {
        let n = numbers.n;
        let bounds = numbers.lower.iter().zip(&numbers.upper);
        let rho: Vec<f64> = bounds
            .map(|(l, u)| match () {
                () if l == u => rho * EQUATION_FACTOR,
                () if l.is_infinite() && u.is_infinite() => RHO_RANGE.0,
                () => rho,
            })
            .collect();
        let a = Array::from_slice(&numbers.a, &[numbers.m, n]);
        let weights = Array::from_slice(&rho, &[numbers.m, 1]);
        let mut k = a.t().matmul(&(&a * weights)).to_f64_vec();
        add_scaled(&mut k, 1.0, &numbers.p);
        for i in 0..n {
            k[i * n + i] += options.sigma;
        }
        match Array::from_vec::<f64>(k, &[n, n]).cholesky() {
            Ok(l) => Ok(Factor { l, rho }),
            Err(_) => Err(SolverError::NotConvex { argument: "p" }),
        }
    }

    fn solve(&self, b: Vec<f64>) -> Vec<f64> {
        let n = b.len();
        self.l.cholesky_solve(&Array::from_vec::<f64>(b, &[n])).to_f64_vec()
    }
}

struct State {
    x: Vec<f64>,
    z: Vec<f64>,
    y: Vec<f64>,
}

/// Residuals of the scaled program with the sizes they are compared with.
struct Residuals {
    primal: f64,
    dual: f64,
    primal_scale: f64,
    dual_scale: f64,
}

impl State {
    /// One iteration; returns the changes of `x` and `y`.
    fn step(
        &mut self,
        numbers: &Numbers,
        options: &QpOptions,
        factor: &Factor,
    ) -> (Vec<f64>, Vec<f64>) {
        let (n, alpha) = (numbers.n, options.relaxation);
        let weighted: Vec<f64> =
            self.z.iter().zip(&factor.rho).zip(&self.y).map(|((z, r), y)| r * z - y).collect();
        let mut rhs = transposed(&numbers.a, &weighted, n);
        add_scaled(&mut rhs, options.sigma, &self.x);
        add_scaled(&mut rhs, -1.0, &numbers.q);
        let x_tilde = factor.solve(rhs);
        let z_tilde = product(&numbers.a, &x_tilde);
        let dx: Vec<f64> = x_tilde.iter().zip(&self.x).map(|(t, x)| alpha * (t - x)).collect();
        add_scaled(&mut self.x, 1.0, &dx);
        let mut dy = vec![0.0; numbers.m];
        for (i, dy) in dy.iter_mut().enumerate() {
            let relaxed = alpha * z_tilde[i] + (1.0 - alpha) * self.z[i];
            let moved = relaxed + self.y[i] / factor.rho[i];
            let z = moved.clamp(numbers.lower[i], numbers.upper[i]);
            *dy = factor.rho[i] * (relaxed - z);
            self.z[i] = z;
            self.y[i] += *dy;
        }
        (dx, dy)
    }

    fn residuals(&self, numbers: &Numbers, scaling: &Scaling) -> Residuals {
        let ax = product(&numbers.a, &self.x);
        let px = product(&numbers.p, &self.x);
        let aty = transposed(&numbers.a, &self.y, numbers.n);
        // In the units of the unscaled program.
        let row =
            |v: &[f64]| v.iter().zip(&scaling.e).fold(0.0, |l: f64, (v, e)| l.max((v / e).abs()));
        let column = |v: &[f64]| {
            v.iter().zip(&scaling.d).fold(0.0, |l: f64, (v, d)| l.max((v / (d * scaling.c)).abs()))
        };
        let gap: Vec<f64> = ax.iter().zip(&self.z).map(|(a, z)| a - z).collect();
        let slope: Vec<f64> =
            px.iter().zip(&numbers.q).zip(&aty).map(|((p, q), a)| p + q + a).collect();
        Residuals {
            primal: row(&gap),
            dual: column(&slope),
            primal_scale: row(&ax).max(row(&self.z)),
            dual_scale: column(&px).max(column(&aty)).max(column(&numbers.q)),
        }
    }

    /// The side on which each constraint seems to end.
    fn sides(&self, numbers: &Numbers) -> Vec<Side> {
        (0..numbers.m)
            .map(|i| {
                let (l, u, z, y) = (numbers.lower[i], numbers.upper[i], self.z[i], self.y[i]);
                match () {
                    () if l == u => Side::Equal,
                    () if z - l < -y => Side::Lower,
                    () if u - z < y => Side::Upper,
                    () => Side::Free,
                }
            })
            .collect()
    }
}

/// A multiple `y` of the last change that proves that no point satisfies the constraints (unscaled, largest entry 1).
fn primal_certificate(
    numbers: &Numbers,
    original: &Numbers,
    scaling: &Scaling,
    dy: &[f64],
    tolerance: f64,
) -> Option<Vec<f64>> {
    let mut y: Vec<f64> = dy.iter().zip(&scaling.e).map(|(y, e)| y * e).collect();
    let size = largest(&y);
    if !size.is_normal() || largest(dy) < 1e-10 {
        return None;
    }
    for (i, y) in y.iter_mut().enumerate() {
        *y /= size;
        // No bound, no multiplier.
        if (*y > 0.0 && numbers.upper[i].is_infinite())
            || (*y < 0.0 && numbers.lower[i].is_infinite())
        {
            if y.abs() > tolerance {
                return None;
            }
            *y = 0.0;
        }
    }
    let support: f64 = (0..original.m)
        .filter(|&i| y[i] != 0.0)
        .map(|i| if y[i] > 0.0 { original.upper[i] * y[i] } else { original.lower[i] * y[i] })
        .sum();
    let combined = largest(&transposed(&original.a, &y, original.n));
    (support < -tolerance && combined <= tolerance).then_some(y)
}

/// A multiple of the last change along which the value falls for ever (unscaled, largest entry 1).
fn dual_certificate(
    original: &Numbers,
    scaling: &Scaling,
    dx: &[f64],
    tolerance: f64,
) -> Option<Vec<f64>> {
    let mut d: Vec<f64> = dx.iter().zip(&scaling.d).map(|(x, d)| x * d).collect();
    let size = largest(&d);
    if !size.is_normal() || largest(dx) < 1e-10 {
        return None;
    }
    for v in &mut d {
        *v /= size;
    }
    if dot(&original.q, &d) >= -tolerance || largest(&product(&original.p, &d)) > tolerance {
        return None;
    }
    let along = product(&original.a, &d);
    let free = along.iter().enumerate().all(|(i, &v)| {
        (original.upper[i].is_infinite() || v <= tolerance)
            && (original.lower[i].is_infinite() || v >= -tolerance)
    });
    free.then_some(d)
}

/// The step that balances the residuals.
fn balanced(rho: f64, r: &Residuals) -> f64 {
    let primal = r.primal / r.primal_scale.max(1e-10);
    let dual = r.dual / r.dual_scale.max(1e-10);
    let ratio = (primal / dual.max(1e-300)).sqrt().clamp(1e-3, 1e3);
    (rho * ratio).clamp(RHO_RANGE.0, RHO_RANGE.1)
}

pub(super) fn solve(original: &Numbers, options: &QpOptions) -> Result<Outcome, SolverError> {
    let mut numbers = original.clone();
    let scaling = equilibrate(&mut numbers);
    let mut rho = options.rho;
    let mut factor = Factor::new(&numbers, options, rho)?;
    let mut factorizations = 1;
    let mut state =
        State { x: vec![0.0; numbers.n], z: vec![0.0; numbers.m], y: vec![0.0; numbers.m] };
    let (mut last_sides, mut tried): (Vec<Side>, Vec<Side>) = (Vec::new(), Vec::new());
    let mut first_look = true;
    let end =
        |state: &State, stop, iterations, factorizations, residuals: &Residuals, certificate| {
            Outcome {
                x: state.x.iter().zip(&scaling.d).map(|(x, d)| x * d).collect(),
                y: state.y.iter().zip(&scaling.e).map(|(y, e)| y * e / scaling.c).collect(),
                stop,
                iterations,
                factorizations,
                primal_residual: residuals.primal,
                dual_residual: residuals.dual,
                active: state.sides(&numbers),
                polished: false,
                certificate,
            }
        };
    for iteration in 1..=options.max_iterations {
        let (dx, dy) = state.step(&numbers, options, &factor);
        if iteration % CHECK_EVERY != 0 && iteration != options.max_iterations {
            continue;
        }
        let r = state.residuals(&numbers, &scaling);
        if !(r.primal.is_finite() && r.dual.is_finite()) {
            return Ok(end(&state, Stop::NotFinite, iteration, factorizations, &r, None));
        }
        let sides = state.sides(&numbers);
        let settled = !first_look && sides == last_sides && sides != tried;
        first_look = false;
        if options.polish && settled {
            tried.clone_from(&sides);
            let now = end(&state, Stop::Converged, iteration, factorizations + 1, &r, None);
            factorizations += 1;
            if let Some(polished) = polish(original, now, options.tolerance) {
                return Ok(polished);
            }
        }
        last_sides = sides;
        let tolerance = options.tolerance;
        let small = r.primal <= tolerance * (1.0 + r.primal_scale)
            && r.dual <= tolerance * (1.0 + r.dual_scale);
        if small {
            return Ok(end(&state, Stop::Converged, iteration, factorizations, &r, None));
        }
        let accuracy = options.certificate_tolerance;
        if let Some(y) = primal_certificate(&numbers, original, &scaling, &dy, accuracy) {
            let stop = Stop::PrimalInfeasible;
            return Ok(end(&state, stop, iteration, factorizations, &r, Some(y)));
        }
        if let Some(d) = dual_certificate(original, &scaling, &dx, accuracy) {
            let stop = Stop::DualInfeasible;
            return Ok(end(&state, stop, iteration, factorizations, &r, Some(d)));
        }
        let next = balanced(rho, &r);
        if options.adapt
            && iteration % (5 * CHECK_EVERY) == 0
            && !(0.2..=5.0).contains(&(next / rho))
        {
            rho = next;
            factor = Factor::new(&numbers, options, rho)?;
            factorizations += 1;
        }
    }
    let r = state.residuals(&numbers, &scaling);
    Ok(end(&state, Stop::MaxIterations, options.max_iterations, factorizations, &r, None))
}
