//! Nonlinear least squares.

use std::sync::Arc;

use lisse_array::{Array, grad, jacobian, jvp};

use super::derivative::{Function, Parameters, Solver, stationary};
use super::trace::{Trace, check_start, dot, largest};
use super::{Limits, Solution, SolverError, Stop};
use crate::implicit::Condition;

/// `min |r(x, theta)|^2 / 2` by steps `d` with `(J' J + mu D) d = -J' r`, `D` the largest diagonal of `J' J` so far (Levenberg, 1944; Marquardt,
/// 1963; damping by Nielsen, 1999). Without damping it is Gauss and Newton's method with step halving.
///
/// The error is the largest entry of `J' r`, whose root gives the implicit derivative. `J` is formed: for some thousand unknowns, not more.
#[derive(Clone)]
pub struct LeastSquares<T> {
    residual: Function<T>,
    /// When to end.
    pub limits: Limits,
    /// First `mu`, relative to the diagonal; 0 for Gauss-Newton.
    pub damping: f64,
}

impl<T: Parameters> LeastSquares<T> {
    /// Levenberg-Marquardt. `residual(x, theta)` is an array of any shape.
    pub fn new(residual: impl Fn(&Array, &T) -> Array + Send + Sync + 'static) -> Self {
        let limits = Limits { max_iterations: 200, ..Limits::default() };
        LeastSquares { residual: Arc::new(residual), limits, damping: 1e-3 }
    }

    /// Gauss-Newton: no damping, steps halved until the value falls.
    pub fn gauss_newton(residual: impl Fn(&Array, &T) -> Array + Send + Sync + 'static) -> Self {
        LeastSquares { damping: 0.0, ..Self::new(residual) }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, tolerance: f64, max_iterations: usize) -> Self {
        self.limits = Limits::new(tolerance, max_iterations);
        self
    }

    /// With another first damping.
    #[must_use]
    pub fn damping(mut self, damping: f64) -> Self {
        self.damping = damping;
        self
    }
}

/// The Jacobian of `f` at `x` as a matrix, by rows or by columns, whichever needs fewer passes.
pub(crate) fn matrix_of(f: impl Fn(&Array) -> Array, x: &Array, outputs: usize) -> Array {
    let n = x.len();
    // A forward pass costs about three backward ones.
    if outputs <= 3 * n {
        return jacobian(&f, x).reshape(&[outputs as isize, n as isize]);
    }
    let shape: Vec<isize> = x.shape().iter().map(|&d| d as isize).collect();
    let basis = Array::eye(n, x.dtype());
    let columns: Vec<Array> = (0..n)
        .map(|i| jvp(&f, x, &basis.narrow(0, i, 1).reshape(&shape)).1.reshape(&[-1]))
        .collect();
    Array::stack(&columns.iter().collect::<Vec<_>>(), 1)
}

impl<T: Parameters> Solver<T> for LeastSquares<T> {
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError> {
        self.limits.check()?;
        let sound = self.damping >= 0.0 && self.damping.is_finite();
        SolverError::check("the damping", self.damping, sound, "a finite number of at least 0")?;
        check_start(start)?;
        let residual = |x: &Array| (self.residual)(x, theta).reshape(&[-1]);
        let shape: Vec<isize> = start.shape().iter().map(|&d| d as isize).collect();
        let n = start.len();
        let mut trace = Trace::new(self.limits);
        let mut x = start.clone();
        let mut r = residual(&x);
        let (mut mu, mut growth) = (self.damping, 2.0);
        let mut scale = vec![0.0f64; n];
        loop {
            let j = matrix_of(residual, &x, r.len());
            trace.counts.jacobians += 1;
            let gradient = j.t().matmul(&r);
            let error = largest(&gradient);
            if let Some(stop) = trace.record(error) {
                return Ok(trace.end(x, stop, error));
            }
            let normal = j.t().matmul(&j);
            let diagonal = normal.stop_gradient().diagonal(0, 1).to_f64_vec();
            for (s, d) in scale.iter_mut().zip(diagonal) {
                *s = s.max(d).max(f64::MIN_POSITIVE);
            }
            let weights = Array::from_slice(&scale, &[n]);
            let value = 0.5 * dot(&r, &r);
            let mut shrink = 1.0;
            let accepted = loop {
                let damped = &normal + Array::eye(n, x.dtype()) * (&weights * mu);
                let Ok(step) = damped.solve(&-&gradient) else {
                    if self.damping == 0.0 {
                        return Ok(trace.end(x, Stop::Singular, error));
                    }
                    mu = (mu * growth).max(1e-12);
                    growth *= 2.0;
                    continue;
                };
                let step = step * shrink;
                let next = &x + step.reshape(&shape);
                let there = residual(&next);
                trace.counts.values += 1;
                let reached = 0.5 * dot(&there, &there);
                let model = -0.5 * dot(&step, &(&gradient - &step * &weights * mu));
                // Near the end the difference of the values is rounding.
                let flat = (value - reached).abs() <= 4.0 * f64::EPSILON * value;
                if reached < value || (flat && reached.is_finite()) {
                    break Some((next, there, (value - reached) / model));
                }
                let stuck = largest(&step) <= f64::EPSILON * largest(&x).max(1e-300);
                if stuck || shrink < 1e-14 || mu > 1e30 {
                    break None;
                }
                if self.damping == 0.0 {
                    shrink *= 0.5;
                } else {
                    mu *= growth;
                    growth *= 2.0;
                }
            };
            let Some((next, there, gain)) = accepted else {
                return Ok(trace.end(x, Stop::NoProgress, error));
            };
            (x, r) = (next, there);
            if self.damping > 0.0 {
                mu *= (1.0 - (2.0 * gain.clamp(0.0, 1.0) - 1.0).powi(3)).max(1.0 / 3.0);
                growth = 2.0;
            }
        }
    }

    fn condition(&self) -> Condition<Array, T> {
        let residual = self.residual.clone();
        stationary(move |x: &Array, theta: &T| {
            grad(|x: &Array| residual(x, theta).square().sum_all() * 0.5)(x)
        })
    }
}
