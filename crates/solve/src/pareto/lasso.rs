//! The whole path of least squares with an l1 penalty.

use super::dense::{dot, solve};
use super::error::require;
use super::{ParetoError, check_finite};

/// A point where the set of nonzero coefficients changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Breakpoint {
    /// The multiplier of the l1 norm.
    pub lambda: f64,
    /// The coefficients.
    pub x: Vec<f64>,
    /// The loss `|A x - b|^2 / (2 n)`.
    pub loss: f64,
    /// `|x|_1`
    pub l1: f64,
    /// Coefficients that may be nonzero beyond this point (towards smaller multipliers), ascending.
    pub active: Vec<usize>,
}

/// All minimisers of `|A x - b|^2 / (2 n) + lambda |x|_1` for `lambda` from the largest correlation to 0: the front of loss
/// against l1 norm. Between breakpoints `x` is affine in `lambda`, with `dx_A / dlambda = -(A_A^T A_A / n)^{-1} sign(x_A)` (Osborne,
/// Presnell and Turlach, 2000). A step costs a solve in the active coefficients.
#[derive(Clone, Debug, PartialEq)]
pub struct LassoPath {
    breakpoints: Vec<Breakpoint>,
}

impl LassoPath {
    /// The path for a row-major `a` of shape `[b.len(), x.len()]`.
    ///
    /// # Errors
    /// [`ParetoError::Shape`], [`ParetoError::NotFinite`]; [`ParetoError::Singular`] if columns that are active together are dependent.
    pub fn new(a: &[f64], b: &[f64]) -> Result<LassoPath, ParetoError> {
        let n = b.len();
        require(n > 0, "rows", 0.0, "at least 1")?;
        if a.is_empty() || !a.len().is_multiple_of(n) {
            return Err(ParetoError::Shape { what: "the matrix", given: a.len(), expected: n });
        }
        check_finite("matrix", a)?;
        check_finite("right-hand side", b)?;
        let p = a.len() / n;
        let scale = 1.0 / n as f64;
        let column = |j: usize| a.iter().skip(j).step_by(p);
        let product = |i: usize, j: usize| -> f64 {
            column(i).zip(column(j)).map(|(x, y)| x * y).sum::<f64>() * scale
        };
        let gram: Vec<f64> =
            (0..p).flat_map(|i| (0..p).map(move |j| (i, j))).map(|(i, j)| product(i, j)).collect();
        let right: Vec<f64> =
            (0..p).map(|j| column(j).zip(b).map(|(x, y)| x * y).sum::<f64>() * scale).collect();
        let constant = 0.5 * dot(b, b) * scale;
        Homotopy { gram, right, constant, p }.run()
    }

    /// The breakpoints from the largest multiplier, where all is zero, to 0, the least squares solution.
    pub fn breakpoints(&self) -> &[Breakpoint] {
        &self.breakpoints
    }

    /// The coefficients for a multiplier.
    pub fn at(&self, lambda: f64) -> Vec<f64> {
        let last = self.breakpoints.len() - 1;
        let next = self.breakpoints.iter().position(|b| b.lambda <= lambda).unwrap_or(last);
        if next == 0 || lambda <= self.breakpoints[last].lambda {
            return self.breakpoints[next].x.clone();
        }
        let (above, below) = (&self.breakpoints[next - 1], &self.breakpoints[next]);
        let share = (above.lambda - lambda) / (above.lambda - below.lambda);
        above.x.iter().zip(&below.x).map(|(a, b)| a * (1.0 - share) + b * share).collect()
    }
}

struct Homotopy {
    gram: Vec<f64>,
    right: Vec<f64>,
    constant: f64,
    p: usize,
}

impl Homotopy {
    fn run(self) -> Result<LassoPath, ParetoError> {
        let p = self.p;
        let mut x = vec![0.0; p];
        let mut correlation = self.right.clone();
        let mut lambda = correlation.iter().fold(0.0f64, |m, c| m.max(c.abs()));
        let mut active: Vec<usize> = (0..p).filter(|&j| correlation[j].abs() == lambda).collect();
        if lambda == 0.0 {
            active.clear();
        }
        let mut path = vec![self.point(&x, lambda, &active)];
        let mut dropped = None;
        while lambda > 0.0 && path.len() < 50 * (p + 1) {
            let signs: Vec<f64> = active.iter().map(|&j| correlation[j].signum()).collect();
            let block = active.iter().flat_map(|&i| active.iter().map(move |&j| (i, j)));
            let block = block.map(|(i, j)| self.gram[i * p + j]).collect();
            let way = solve(block, signs)
                .ok_or(ParetoError::Singular("lasso path: dependent active columns"))?;
            let slope = |j: usize| -> f64 {
                active.iter().zip(&way).map(|(&i, w)| self.gram[j * p + i] * w).sum()
            };
            // The next event on the way down to lambda = 0.
            let (mut length, mut event) = (lambda, None);
            for j in (0..p).filter(|j| !active.contains(j)) {
                let (c, s) = (correlation[j], slope(j));
                for t in [(lambda - c) / (1.0 - s), (lambda + c) / (1.0 + s)] {
                    let again = dropped == Some(j) && t < 1e-9 * lambda;
                    if t >= 0.0 && t < length && !again {
                        (length, event) = (t, Some((j, true)));
                    }
                }
            }
            for (&j, &w) in active.iter().zip(&way) {
                let t = -x[j] / w;
                if t > 1e-14 * lambda && t < length {
                    (length, event) = (t, Some((j, false)));
                }
            }
            active.iter().zip(&way).for_each(|(&j, w)| x[j] += length * w);
            lambda = if event.is_none() { 0.0 } else { lambda - length };
            dropped = None;
            match event {
                Some((j, true)) => active.push(j),
                Some((j, false)) => {
                    active.retain(|&i| i != j);
                    x[j] = 0.0;
                    dropped = Some(j);
                }
                None => {}
            }
            for (j, c) in correlation.iter_mut().enumerate() {
                *c = self.right[j] - dot(&self.gram[j * p..(j + 1) * p], &x);
            }
            path.push(self.point(&x, lambda, &active));
        }
        Ok(LassoPath { breakpoints: path })
    }

    fn point(&self, x: &[f64], lambda: f64, active: &[usize]) -> Breakpoint {
        let p = self.p;
        let quadratic: f64 = (0..p)
            .map(|i| x[i] * (0.5 * dot(&self.gram[i * p..(i + 1) * p], x) - self.right[i]))
            .sum();
        let mut active = active.to_vec();
        active.sort_unstable();
        Breakpoint {
            lambda,
            x: x.to_vec(),
            loss: self.constant + quadratic,
            l1: x.iter().map(|v| v.abs()).sum(),
            active,
        }
    }
}
