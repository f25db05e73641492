//! Descent for smooth objectives along the common descent direction.

use super::error::require;
use super::min_norm::{combine, min_norm_weights};
use super::{Objectives, ParetoError, check_start, moved};

/// Steps along `v = -sum a_i grad J_i`, with `a` in the simplex such that `|v|` is least: every objective falls with slope at
/// least `|v|^2`, and `v = 0` exactly at critical points (Fliege and Svaiter, 2000; Desideri, 2012). The step length is halved
/// until `J_i(x + t v) <= J_i(x) - c t |v|^2` for all `i`.
#[derive(Clone, Debug, PartialEq)]
pub struct CommonDescent {
    /// Stops at `|v|` below this.
    pub tolerance: f64,
    /// Bound on the error of the gradients: `v` is a descent direction of the true objectives while it is longer, and the descent
    /// stops where it is not. Then the true gradients have a combination of length at most twice the bound.
    pub gradient_error: f64,
    /// `c`
    pub armijo: f64,
    /// First step length tried.
    pub first_step: f64,
    /// Most steps.
    pub max_steps: usize,
    /// Takes `v` at `x_k + (k - 1) / (k + 2) (x_k - x_{k-1})`: accelerated, and no longer monotone.
    pub inertial: bool,
}

impl Default for CommonDescent {
    fn default() -> Self {
        CommonDescent {
            tolerance: 1e-8,
            gradient_error: 0.0,
            armijo: 0.25,
            first_step: 1.0,
            max_steps: 1000,
            inertial: false,
        }
    }
}

/// Where a descent ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Descended {
    /// The point.
    pub x: Vec<f64>,
    /// Its values.
    pub values: Vec<f64>,
    /// Weights of the shortest combination of gradients.
    pub weights: Vec<f64>,
    /// Length of that combination.
    pub criticality: f64,
    /// Steps taken.
    pub steps: usize,
}

impl CommonDescent {
    /// The common descent direction at `x` and the weights of the gradients in it.
    pub fn direction(f: &dyn Objectives, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let gradients = f.subgradients(x);
        let inner = |a: &Vec<f64>| gradients.iter().map(|b| f.inner(a, b)).collect::<Vec<_>>();
        let gram: Vec<f64> = gradients.iter().flat_map(inner).collect();
        let weights = min_norm_weights(&gram, gradients.len());
        let v = combine(&gradients, &weights).iter().map(|v| -v).collect();
        (v, weights)
    }

    /// One step from `x`; `None` where it is critical to the tolerance or no step is short enough.
    pub fn step(&self, f: &dyn Objectives, x: &[f64]) -> Option<Vec<f64>> {
        let (v, _) = CommonDescent::direction(f, x);
        let square = f.inner(&v, &v);
        (square.sqrt() > self.floor()).then(|| self.search(f, x, &v, square)).flatten()
    }

    fn floor(&self) -> f64 {
        self.tolerance.max(self.gradient_error)
    }

    fn search(&self, f: &dyn Objectives, x: &[f64], v: &[f64], square: f64) -> Option<Vec<f64>> {
        let before = f.values(x);
        let mut t = self.first_step;
        for _ in 0..60 {
            let trial = moved(x, t, v);
            let enough = |(now, was): (&f64, &f64)| *now <= was - self.armijo * t * square;
            if f.values(&trial).iter().zip(&before).all(enough) {
                return Some(trial);
            }
            t *= 0.5;
        }
        None
    }

    /// Steps from `start` to a critical point.
    ///
    /// # Errors
    /// [`ParetoError`] for a start that does not fit or an option out of range.
    pub fn minimize(&self, f: &dyn Objectives, start: &[f64]) -> Result<Descended, ParetoError> {
        check_start(f, start)?;
        require(self.tolerance >= 0.0, "tolerance", self.tolerance, "at least 0")?;
        require(self.gradient_error >= 0.0, "gradient_error", self.gradient_error, "at least 0")?;
        require(0.0 < self.armijo && self.armijo < 1.0, "armijo", self.armijo, "between 0 and 1")?;
        require(self.first_step > 0.0, "first_step", self.first_step, "above 0")?;
        let (mut x, mut before) = (start.to_vec(), start.to_vec());
        let mut steps = 0;
        while steps < self.max_steps {
            let from = if self.inertial {
                let inertia = (steps as f64 - 1.0).max(0.0) / (steps as f64 + 2.0);
                let pull: Vec<f64> = x.iter().zip(&before).map(|(x, b)| x - b).collect();
                moved(&x, inertia, &pull)
            } else {
                x.clone()
            };
            let Some(next) = self.step(f, &from) else { break };
            before = std::mem::replace(&mut x, next);
            steps += 1;
        }
        let (v, weights) = CommonDescent::direction(f, &x);
        let criticality = f.inner(&v, &v).sqrt();
        Ok(Descended { values: f.values(&x), x, weights, criticality, steps })
    }
}
