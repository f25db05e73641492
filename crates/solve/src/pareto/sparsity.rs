//! The front of a smooth loss against the l1 norm, convex or not.

use lisse_array::{Array, hvp, value_and_grad};
use serde::{Deserialize, Serialize};

use super::dense::{along, dot};
use super::error::require;
use super::{ParetoError, check_finite};
use crate::linear::{LinearSolver, Method, Operator, Structure};

/// A loss with first and second derivatives.
pub trait SmoothLoss {
    /// Dimension.
    fn dim(&self) -> usize;

    /// Value and gradient.
    fn value_and_gradient(&self, x: &[f64]) -> (f64, Vec<f64>);

    /// The Hessian times a vector.
    fn hessian_product(&self, x: &[f64], v: &[f64]) -> Vec<f64>;
}

/// A loss given as a function of an array `[dim]`.
pub struct ArrayLoss<F> {
    dim: usize,
    f: F,
}

impl<F: Fn(&Array) -> Array> ArrayLoss<F> {
    /// This function of `dim` numbers.
    pub fn new(dim: usize, f: F) -> ArrayLoss<F> {
        ArrayLoss { dim, f }
    }
}

impl<F: Fn(&Array) -> Array> SmoothLoss for ArrayLoss<F> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn value_and_gradient(&self, x: &[f64]) -> (f64, Vec<f64>) {
        let (value, gradient) = value_and_grad(|x: &Array| (self.f)(x))(&array(x));
        (value.item(), gradient.to_vec())
    }

    fn hessian_product(&self, x: &[f64], v: &[f64]) -> Vec<f64> {
        hvp(|x: &Array| (self.f)(x), &array(x), &array(v)).to_vec()
    }
}

fn array(x: &[f64]) -> Array {
    Array::from_slice(x, &[x.len()])
}

/// Follows local minimisers of `f(x) + lambda |x|_1` over a list of multipliers. Predictor: on the coefficients that are not zero,
/// `dx/dlambda = -H^{-1} sign(x)`. Corrector: Newton steps by conjugate gradients on the nonzero coefficients and those whose
/// gradient exceeds `lambda`, projected onto the orthant of their signs (a coefficient that would change sign becomes zero), with
/// a line search. Where the Hessian is not positive definite a ridge is added until it is; where that does not help, proximal gradient
/// steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SparsityPath {
    /// Stops a corrector at this violation of the optimality conditions.
    pub tolerance: f64,
    /// Most corrector steps at a multiplier.
    pub max_steps: usize,
    /// Whether the predictor and Newton's method are used; without, proximal gradient steps alone.
    pub second_order: bool,
}

impl Default for SparsityPath {
    fn default() -> Self {
        SparsityPath { tolerance: 1e-6, max_steps: 200, second_order: true }
    }
}

/// A local minimiser for one multiplier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathPoint {
    /// The multiplier of the l1 norm.
    pub lambda: f64,
    /// The point.
    pub x: Vec<f64>,
    /// Its loss.
    pub loss: f64,
    /// `|x|_1`
    pub l1: f64,
    /// Coefficients that are not zero.
    pub nonzero: usize,
    /// Violation of the optimality conditions.
    pub violation: f64,
    /// Gradients computed.
    pub gradients: usize,
    /// Hessian products computed.
    pub products: usize,
}

/// A point of the path as it moves.
struct Walk<'a> {
    loss: &'a dyn SmoothLoss,
    x: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    step: f64,
    /// Added to the Hessian's diagonal.
    ridge: f64,
    gradients: usize,
    products: usize,
}

impl SparsityPath {
    /// The point for `lambda`, from `start`, a point for `before` if there is one.
    ///
    /// # Errors
    /// [`ParetoError`] for a start that does not fit, a multiplier that is negative, or a loss that is not finite.
    pub fn advance(
        &self,
        loss: &dyn SmoothLoss,
        start: &[f64],
        before: Option<f64>,
        lambda: f64,
    ) -> Result<PathPoint, ParetoError> {
        if start.len() != loss.dim() {
            return Err(ParetoError::Dimension { given: start.len(), expected: loss.dim() });
        }
        check_finite("starting point", start)?;
        require(lambda >= 0.0 && lambda.is_finite(), "lambda", lambda, "a number, at least 0")?;
        require(self.tolerance > 0.0, "tolerance", self.tolerance, "above 0")?;
        let (value, gradient) = loss.value_and_gradient(start);
        check_finite("gradient of the loss", &gradient)?;
        let x = start.to_vec();
        let mut walk =
            Walk { loss, x, value, gradient, step: 1.0, ridge: 0.0, gradients: 1, products: 0 };
        if let Some(before) = before.filter(|_| self.second_order) {
            walk.predict(lambda - before, lambda);
        }
        for _ in 0..self.max_steps {
            if walk.violation(lambda) <= self.tolerance {
                break;
            }
            let newton = self.second_order && walk.newton(lambda);
            if !newton && !walk.proximal(lambda) {
                break;
            }
        }
        Ok(PathPoint {
            lambda,
            loss: walk.value,
            l1: walk.x.iter().map(|x| x.abs()).sum(),
            nonzero: walk.x.iter().filter(|x| **x != 0.0).count(),
            violation: walk.violation(lambda),
            gradients: walk.gradients,
            products: walk.products,
            x: walk.x,
        })
    }

    /// The points for a list of multipliers, each from the one before. Rising multipliers lead from a trained model to sparse ones.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn follow(
        &self,
        loss: &dyn SmoothLoss,
        start: &[f64],
        lambdas: &[f64],
    ) -> Result<Vec<PathPoint>, ParetoError> {
        let mut path: Vec<PathPoint> = Vec::new();
        for &lambda in lambdas {
            let (x, before) = path.last().map_or((start, None), |p| (&p.x[..], Some(p.lambda)));
            let next = self.advance(loss, x, before, lambda)?;
            path.push(next);
        }
        Ok(path)
    }
}

impl Walk<'_> {
    /// The slope of the penalised objective at a coefficient: its element of least size.
    fn slope(&self, i: usize, lambda: f64) -> f64 {
        let g = self.gradient[i];
        if self.x[i] == 0.0 {
            (g.abs() - lambda).max(0.0) * g.signum()
        } else {
            g + lambda * self.x[i].signum()
        }
    }

    fn violation(&self, lambda: f64) -> f64 {
        (0..self.x.len()).map(|i| self.slope(i, lambda).abs()).fold(0.0, f64::max)
    }

    fn objective(value: f64, x: &[f64], lambda: f64) -> f64 {
        value + lambda * x.iter().map(|x| x.abs()).sum::<f64>()
    }

    /// `H_AA^{-1} right` on the coefficients in `active`; `None` unless the Hessian is positive definite there.
    fn solve(&mut self, active: &[usize], right: &[f64]) -> Option<Vec<f64>> {
        let (n, count) = (self.x.len(), std::cell::Cell::new(0));
        let operator = Operator::slices(active.len(), |v: &[f64], out: &mut [f64]| {
            let mut whole = vec![0.0; n];
            active.iter().zip(v).for_each(|(&i, v)| whole[i] = *v);
            let image = self.loss.hessian_product(&self.x, &whole);
            out.iter_mut().zip(active).for_each(|(o, &i)| *o = image[i]);
            count.set(count.get() + 1);
        })
        .structure(Structure::PositiveDefinite);
        let solver = LinearSolver {
            tolerance: 1e-4,
            bound: 0.5,
            max_iterations: Some(100),
            ridge: self.ridge,
            ..LinearSolver::new(Method::Cg)
        };
        let solution = solver.solve(&operator, right);
        drop(operator);
        self.products += count.get();
        let x = solution.ok()?.x;
        (dot(&x, right) > 0.0).then_some(x)
    }

    /// As [`solve`](Self::solve), with a ridge that is raised while needed and lowered afterwards.
    fn damped(&mut self, active: &[usize], right: &[f64]) -> Option<Vec<f64>> {
        for _ in 0..6 {
            if let Some(way) = self.solve(active, right) {
                self.ridge = if self.ridge > 1e-6 { 0.3 * self.ridge } else { 0.0 };
                return Some(way);
            }
            self.ridge = (10.0 * self.ridge).max(1e-4);
        }
        None
    }

    fn predict(&mut self, change: f64, lambda: f64) {
        let active: Vec<usize> = (0..self.x.len()).filter(|&i| self.x[i] != 0.0).collect();
        let signs: Vec<f64> = active.iter().map(|&i| self.x[i].signum()).collect();
        let Some(way) = self.solve(&active, &signs) else { return };
        let mut trial = self.x.clone();
        for (&i, w) in active.iter().zip(&way) {
            let moved = trial[i] - change * w;
            trial[i] = if moved * trial[i] > 0.0 { moved } else { 0.0 };
        }
        let here = Self::objective(self.value, &self.x, lambda);
        self.accept(trial, lambda, here);
    }

    /// Takes a point whose penalised objective is at most `limit`.
    fn accept(&mut self, trial: Vec<f64>, lambda: f64, limit: f64) -> bool {
        let (value, gradient) = self.loss.value_and_gradient(&trial);
        self.gradients += 1;
        let good = Self::objective(value, &trial, lambda) <= limit
            && gradient.iter().all(|g| g.is_finite());
        if good {
            (self.x, self.value, self.gradient) = (trial, value, gradient);
        }
        good
    }

    fn newton(&mut self, lambda: f64) -> bool {
        let active: Vec<usize> = (0..self.x.len())
            .filter(|&i| self.x[i] != 0.0 || self.gradient[i].abs() > lambda)
            .collect();
        let slopes: Vec<f64> = active.iter().map(|&i| self.slope(i, lambda)).collect();
        let Some(way) = self.damped(&active, &slopes) else { return false };
        let sign = |i: usize| {
            if self.x[i] == 0.0 { -self.gradient[i].signum() } else { self.x[i].signum() }
        };
        let signs: Vec<f64> = active.iter().map(|&i| sign(i)).collect();
        let here = Self::objective(self.value, &self.x, lambda);
        let mut t = 1.0;
        for _ in 0..12 {
            let mut trial = self.x.clone();
            let mut gain = 0.0;
            for (k, &i) in active.iter().enumerate() {
                let moved = trial[i] - t * way[k];
                let next = if moved * signs[k] > 0.0 { moved } else { 0.0 };
                gain += slopes[k] * (trial[i] - next);
                trial[i] = next;
            }
            if gain > 0.0 && self.accept(trial, lambda, here - 1e-4 * gain) {
                return true;
            }
            t *= 0.5;
        }
        false
    }

    /// One proximal gradient step whose length is found by halving.
    fn proximal(&mut self, lambda: f64) -> bool {
        let here = Self::objective(self.value, &self.x, lambda);
        self.step *= 2.0;
        for _ in 0..60 {
            let t = self.step;
            let trial: Vec<f64> = along(&self.x, -t, &self.gradient)
                .into_iter()
                .map(|z| z.signum() * (z.abs() - t * lambda).max(0.0))
                .collect();
            let away = along(&trial, -1.0, &self.x);
            let square = dot(&away, &away);
            if square == 0.0 {
                return false;
            }
            if self.accept(trial, lambda, here - 0.25 / t * square) {
                return true;
            }
            self.step *= 0.5;
        }
        false
    }
}
