//! A growing matrix `H`, its Cholesky factor, and projections in its norm.

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use super::{Domain, OnlineError, dot};

/// A positive definite `H` with its Cholesky factor. Adding a rank-one term costs `O(d^2)`, and so does a solve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    dim: usize,
    /// `H`, row by row.
    matrix: Vec<f64>,
    /// `L` with `H = L L^T`, row by row.
    factor: Vec<f64>,
}

/// Residuals of projections, relative to the size of the gradient, below this count as solved.
const TOLERANCE: f64 = 1e-13;

impl Metric {
    /// `scale I`. `scale` must be above 0.
    pub fn identity(dim: usize, scale: f64) -> Metric {
        let diagonal = |value: f64| {
            let mut matrix = vec![0.0; dim * dim];
            matrix.iter_mut().step_by(dim + 1).for_each(|entry| *entry = value);
            matrix
        };
        Metric { dim, matrix: diagonal(scale), factor: diagonal(scale.sqrt()) }
    }

    /// Of a symmetric matrix, row by row.
    ///
    /// # Errors
    /// A wrong number of entries; a matrix that is not positive definite.
    pub fn new(matrix: Vec<f64>, dim: usize) -> Result<Metric, OnlineError> {
        if matrix.len() != dim * dim {
            let (expected, found) = (dim * dim, matrix.len());
            return Err(OnlineError::Dimension { what: "the matrix", expected, found });
        }
        let mut factor = vec![0.0; dim * dim];
        for i in 0..dim {
            for j in 0..=i {
                let known = dot(&factor[i * dim..i * dim + j], &factor[j * dim..j * dim + j]);
                let rest = matrix[i * dim + j] - known;
                factor[i * dim + j] = if i == j { rest.sqrt() } else { rest / factor[j * dim + j] };
            }
            if factor[i * dim + i].is_nan() || factor[i * dim + i] <= 0.0 {
                let text = format!("the matrix is not positive definite: pivot {i} is not above 0");
                return Err(OnlineError::Numerics(text));
            }
        }
        Ok(Metric { dim, matrix, factor })
    }

    /// `H`, row by row.
    pub fn matrix(&self) -> &[f64] {
        &self.matrix
    }

    /// `H <- H + weight v v^T` with `weight >= 0`, in `O(d^2)`.
    pub fn add(&mut self, weight: f64, v: &[f64]) {
        let d = self.dim;
        for i in 0..d {
            for j in 0..d {
                self.matrix[i * d + j] += weight * v[i] * v[j];
            }
        }
        // Columns of the factor are rotated one by one (Gill, Golub, Murray and Saunders, 1974).
        let root = weight.sqrt();
        let mut rest: Vec<f64> = v.iter().map(|x| root * x).collect();
        for k in 0..d {
            let old = self.factor[k * d + k];
            let new = old.hypot(rest[k]);
            let (c, s) = (new / old, rest[k] / old);
            self.factor[k * d + k] = new;
            for (i, rest) in rest.iter_mut().enumerate().skip(k + 1) {
                let l = (self.factor[i * d + k] + s * *rest) / c;
                *rest = c * *rest - s * l;
                self.factor[i * d + k] = l;
            }
        }
    }

    /// `v <- H^{-1} v`
    pub fn solve(&self, v: &mut [f64]) {
        self.forward(v);
        let d = self.dim;
        for i in (0..d).rev() {
            v[i] /= self.factor[i * d + i];
            let x = v[i];
            for (j, entry) in v[..i].iter_mut().enumerate() {
                *entry -= self.factor[i * d + j] * x;
            }
        }
    }

    /// `v <- L^{-1} v`
    fn forward(&self, v: &mut [f64]) {
        let d = self.dim;
        for i in 0..d {
            let known = dot(&self.factor[i * d..i * d + i], &v[..i]);
            v[i] = (v[i] - known) / self.factor[i * d + i];
        }
    }

    /// `<v, H^{-1} v>`
    pub fn dual_norm_squared(&self, v: &[f64]) -> f64 {
        let mut w = v.to_vec();
        self.forward(&mut w);
        dot(&w, &w)
    }

    /// `out <- H v`
    pub fn apply(&self, v: &[f64], out: &mut [f64]) {
        for (row, o) in self.matrix.chunks_exact(self.dim).zip(out) {
            *o = dot(row, v);
        }
    }

    /// `y <- argmin_{x in X} <x - y, H (x - y)>`.
    ///
    /// A point of `X` stays. On a ball the multiplier is found by Newton's method on the secular equation, after one eigendecomposition; on a
    /// box coordinates are minimised in turn; elsewhere, and where that is slow, by accelerated projected gradient steps.
    ///
    /// # Errors
    /// No convergence, which takes a matrix of extreme condition.
    pub fn project(&self, domain: &Domain, y: &mut [f64]) -> Result<(), OnlineError> {
        if domain.contains(y, 0.0) {
            return Ok(());
        }
        match domain {
            Domain::Ball { radius } => self.onto_ball(*radius, y),
            Domain::Box { low, high } => {
                let mut x = y.to_vec();
                domain.project(&mut x);
                if self.sweep_box(*low, *high, y, &mut x) {
                    y.copy_from_slice(&x);
                    return Ok(());
                }
                self.accelerate(domain, y)
            }
            _ => self.accelerate(domain, y),
        }
    }

    /// `||x - P(x - H (x - y) / L)|| L`, which is 0 at the projection `x` of `y`; `L` is the trace of `H`.
    pub fn residual(&self, domain: &Domain, y: &[f64], x: &[f64]) -> f64 {
        let trace: f64 = self.matrix.iter().step_by(self.dim + 1).sum();
        let difference: Vec<f64> = x.iter().zip(y).map(|(a, b)| a - b).collect();
        let mut gradient = vec![0.0; self.dim];
        self.apply(&difference, &mut gradient);
        let mut moved: Vec<f64> = x.iter().zip(&gradient).map(|(a, g)| a - g / trace).collect();
        domain.project(&mut moved);
        super::distance_squared(x, &moved).sqrt() * trace
    }

    fn eigen(&self) -> Result<(Vec<f64>, Vec<f64>), OnlineError> {
        let matrix = Array::from_slice(&self.matrix, &[self.dim, self.dim]);
        let (w, v) = matrix.eigh().map_err(|error| OnlineError::Numerics(error.to_string()))?;
        Ok((w.to_vec::<f64>(), v.to_vec::<f64>()))
    }

    /// `(H + nu I) x = H y` with `||x|| = radius`. From `nu = 0`, Newton steps for `1 / ||x(nu)|| = 1 / radius` rise to the root.
    fn onto_ball(&self, radius: f64, y: &mut [f64]) -> Result<(), OnlineError> {
        let d = self.dim;
        let (w, v) = self.eigen()?;
        let b: Vec<f64> =
            (0..d).map(|j| w[j] * (0..d).map(|i| v[i * d + j] * y[i]).sum::<f64>()).collect();
        let mut nu = 0.0;
        for _ in 0..200 {
            let terms = || b.iter().zip(&w).map(|(b, w)| (b / (w + nu), w + nu));
            let norm_squared: f64 = terms().map(|(x, _)| x * x).sum();
            let slope: f64 = terms().map(|(x, w)| x * x / w).sum();
            let step = (norm_squared.sqrt() / radius - 1.0) * norm_squared / slope;
            nu += step;
            if step <= 1e-15 * nu {
                break;
            }
        }
        for i in 0..d {
            y[i] = (0..d).map(|j| v[i * d + j] * b[j] / (w[j] + nu)).sum();
        }
        // The last digits of the multiplier decide whether the point is just outside.
        Domain::Ball { radius }.project(y);
        Ok(())
    }

    /// Minimises over one coordinate after another; `false` if many sweeps were not enough.
    fn sweep_box(&self, low: f64, high: f64, y: &[f64], x: &mut [f64]) -> bool {
        let d = self.dim;
        let mut difference: Vec<f64> = x.iter().zip(y).map(|(a, b)| a - b).collect();
        let size = high.abs().max(low.abs());
        for _ in 0..1000 {
            let mut largest: f64 = 0.0;
            for i in 0..d {
                let row = &self.matrix[i * d..(i + 1) * d];
                let new = (x[i] - dot(row, &difference) / row[i]).clamp(low, high);
                largest = largest.max((new - x[i]).abs());
                (x[i], difference[i]) = (new, new - y[i]);
            }
            if largest <= TOLERANCE * size {
                return true;
            }
        }
        false
    }

    /// Projected gradient steps with the momentum of the condition number (Nesterov).
    fn accelerate(&self, domain: &Domain, y: &mut [f64]) -> Result<(), OnlineError> {
        let d = self.dim;
        let (w, _) = self.eigen()?;
        let (least, most) = (w[0].max(1e-14 * w[d - 1]), w[d - 1]);
        let ratio = (least / most).sqrt();
        let momentum = (1.0 - ratio) / (1.0 + ratio);
        let mut x = y.to_vec();
        domain.project(&mut x);
        let mut ahead = x.clone();
        let mut gradient = vec![0.0; d];
        let size = 1.0 + domain.radius(d);
        let mut moved = f64::INFINITY;
        for _ in 0..200_000 {
            let difference: Vec<f64> = ahead.iter().zip(&*y).map(|(a, b)| a - b).collect();
            self.apply(&difference, &mut gradient);
            let mut next: Vec<f64> =
                ahead.iter().zip(&gradient).map(|(a, g)| a - g / most).collect();
            domain.project(&mut next);
            moved = super::distance_squared(&next, &ahead).sqrt();
            for (i, a) in ahead.iter_mut().enumerate() {
                *a = next[i] + momentum * (next[i] - x[i]);
            }
            x = next;
            if moved <= TOLERANCE * size {
                y.copy_from_slice(&x);
                return Ok(());
            }
        }
        Err(OnlineError::NoConvergence { what: "the projection in the norm of H", residual: moved })
    }
}
