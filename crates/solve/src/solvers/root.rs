//! Systems of nonlinear equations.

use std::sync::Arc;

use lisse_array::Array;

use super::derivative::{Function, Parameters, Solver, stationary};
use super::least_squares::matrix_of;
use super::trace::{Trace, check_returned, check_start, norm};
use super::{Limits, Solution, SolverError, Stop};
use crate::implicit::Condition;

/// Halvings of a step before it is given up.
const HALVINGS: usize = 40;

/// `F(x, theta) = 0` by Newton's method: `x <- x - J^{-1} F`, steps halved until `|F|` falls.
///
/// The error is `|F(x)|`. `J` is formed: for some thousand unknowns, not more.
#[derive(Clone)]
pub struct Newton<T> {
    function: Function<T>,
    /// When to end.
    pub limits: Limits,
    /// Whether `F` is a gradient in `x`, which a linear solver of the derivative may use.
    pub symmetric: bool,
}

impl<T: Parameters> Newton<T> {
    /// `function(x, theta)` is shaped as `x`.
    pub fn new(function: impl Fn(&Array, &T) -> Array + Send + Sync + 'static) -> Self {
        Newton { function: Arc::new(function), limits: Limits::new(1e-10, 100), symmetric: false }
    }

    /// For the stationary points of `f(x, theta)`: `F` is its gradient.
    pub fn stationary(f: impl Fn(&Array, &T) -> Array + Send + Sync + 'static) -> Self {
        let gradient = move |x: &Array, theta: &T| lisse_array::grad(|v: &Array| f(v, theta))(x);
        Newton { symmetric: true, ..Newton::new(gradient) }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, tolerance: f64, max_iterations: usize) -> Self {
        self.limits = Limits::new(tolerance, max_iterations);
        self
    }
}

/// The longest of the steps `1, 1/2, 1/4, ...` along `direction` that lowers `|F|` by a part of what Newton's model promises, its point and
/// value there.
fn shorten(
    function: impl Fn(&Array) -> Array,
    x: &Array,
    direction: &Array,
    error: f64,
    trace: &mut Trace,
) -> Option<(Array, Array, f64)> {
    let mut step = 1.0;
    for _ in 0..HALVINGS {
        let next = x.add_scaled(step, direction);
        let value = function(&next);
        trace.counts.values += 1;
        let reached = norm(&value);
        if reached <= (1.0 - 1e-4 * step) * error {
            return Some((next, value, reached));
        }
        step *= 0.5;
    }
    None
}

impl<T: Parameters> Solver<T> for Newton<T> {
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError> {
        self.limits.check()?;
        check_start(start)?;
        let function = |x: &Array| (self.function)(x, theta);
        let mut trace = Trace::new(self.limits);
        let mut x = start.clone();
        let mut value = function(&x);
        trace.counts.values += 1;
        check_returned("the function", &value, x.shape())?;
        let mut error = norm(&value);
        if let Some(stop) = trace.judge(error) {
            return Ok(trace.end(x, stop, error));
        }
        let shape: Vec<isize> = x.shape().iter().map(|&d| d as isize).collect();
        loop {
            let j = matrix_of(function, &x, x.len());
            trace.counts.jacobians += 1;
            let Ok(step) = j.solve(&-value.reshape(&[-1])) else {
                return Ok(trace.end(x, Stop::Singular, error));
            };
            let direction = step.reshape(&shape);
            let Some(moved) = shorten(function, &x, &direction, error, &mut trace) else {
                return Ok(trace.end(x, Stop::NoProgress, error));
            };
            (x, value, error) = moved;
            if let Some(stop) = trace.record(error) {
                return Ok(trace.end(x, stop, error));
            }
        }
    }

    fn condition(&self) -> Condition<Array, T> {
        let function = self.function.clone();
        if self.symmetric {
            return stationary(move |x: &Array, theta: &T| function(x, theta));
        }
        Condition::root(move |x: &Array, theta: &T| function(x, theta))
    }
}

/// `F(x, theta) = 0` by Broyden's good method (1965): Newton's steps with an inverse Jacobian that is corrected by a matrix of rank one per
/// step; steps halved until `|F|` falls. Where they do not, the exact Jacobian is computed and the matrix begins again from its inverse.
///
/// The error is `|F(x)|`.
#[derive(Clone)]
pub struct Broyden<T> {
    function: Function<T>,
    /// When to end.
    pub limits: Limits,
    /// Whether the first matrix is the exact inverse Jacobian, not the identity.
    pub exact_start: bool,
}

impl<T: Parameters> Broyden<T> {
    /// `function(x, theta)` is shaped as `x`.
    pub fn new(function: impl Fn(&Array, &T) -> Array + Send + Sync + 'static) -> Self {
        Broyden { function: Arc::new(function), limits: Limits::new(1e-10, 500), exact_start: true }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, tolerance: f64, max_iterations: usize) -> Self {
        self.limits = Limits::new(tolerance, max_iterations);
        self
    }

    /// Beginning with the identity: no Jacobian is computed unless the search gets stuck.
    #[must_use]
    pub fn start_from_identity(mut self) -> Self {
        self.exact_start = false;
        self
    }
}

/// `H + (s - H y) (s' H) / (s' H y)`: the inverse after a step `s` that changed `F` by `y`; unchanged where that divides by 0.
fn corrected(h: &Array, s: &Array, y: &Array) -> Array {
    let hy = h.matmul(y);
    let sh = s.matmul(h);
    let divisor = s.matmul(&hy).item();
    if divisor.abs() <= 1e-14 * norm(s) * norm(&hy) || !divisor.is_finite() {
        return h.clone();
    }
    h + ((s - hy) * (1.0 / divisor)).unsqueeze(1) * sh.unsqueeze(0)
}

impl<T: Parameters> Solver<T> for Broyden<T> {
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError> {
        self.limits.check()?;
        check_start(start)?;
        let function = |x: &Array| (self.function)(x, theta);
        let mut trace = Trace::new(self.limits);
        let mut x = start.clone();
        let mut value = function(&x);
        trace.counts.values += 1;
        check_returned("the function", &value, x.shape())?;
        let mut error = norm(&value);
        if let Some(stop) = trace.judge(error) {
            return Ok(trace.end(x, stop, error));
        }
        let shape: Vec<isize> = x.shape().iter().map(|&d| d as isize).collect();
        let constants = theta.map(Array::stop_gradient);
        let exact = |x: &Array, trace: &mut Trace| {
            trace.counts.jacobians += 1;
            let at = x.stop_gradient();
            matrix_of(|v| (self.function)(v, &constants), &at, at.len()).inverse().ok()
        };
        let mut h = if self.exact_start {
            exact(&x, &mut trace)
        } else {
            Some(Array::eye(x.len(), x.dtype()))
        };
        let mut fresh = self.exact_start;
        loop {
            let Some(inverse) = &h else {
                return Ok(trace.end(x, Stop::Singular, error));
            };
            let direction = -inverse.matmul(&value.reshape(&[-1])).reshape(&shape);
            let Some((next, there, reached)) = shorten(function, &x, &direction, error, &mut trace)
            else {
                if fresh {
                    return Ok(trace.end(x, Stop::NoProgress, error));
                }
                h = exact(&x, &mut trace);
                fresh = true;
                continue;
            };
            let s = (&next - &x).stop_gradient().reshape(&[-1]);
            let y = (&there - &value).stop_gradient().reshape(&[-1]);
            h = Some(corrected(inverse, &s, &y));
            fresh = false;
            (x, value, error) = (next, there, reached);
            if let Some(stop) = trace.record(error) {
                return Ok(trace.end(x, stop, error));
            }
        }
    }

    fn condition(&self) -> Condition<Array, T> {
        let function = self.function.clone();
        Condition::root(move |x: &Array, theta: &T| function(x, theta))
    }
}
