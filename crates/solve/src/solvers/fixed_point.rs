//! Fixed points: Picard's iteration and Anderson's acceleration of it.

use std::collections::VecDeque;
use std::sync::Arc;

use lisse_array::Array;

use super::derivative::{Function, Parameters, Solver};
use super::trace::{Trace, check_returned, check_start, dot, norm};
use super::{Limits, Solution, SolverError};
use crate::implicit::Condition;

/// `x = T(x, theta)` by `x <- x + damping (T(x) - x)`: converges where `T` contracts.
///
/// The error is `|T(x) - x|`.
#[derive(Clone)]
pub struct FixedPoint<T> {
    map: Function<T>,
    /// When to end.
    pub limits: Limits,
    /// Part of the way that is gone, in (0, 1]; less than 1 where `T` overshoots.
    pub damping: f64,
}

impl<T: Parameters> FixedPoint<T> {
    /// `map(x, theta)` is shaped as `x`.
    pub fn new(map: impl Fn(&Array, &T) -> Array + Send + Sync + 'static) -> Self {
        FixedPoint { map: Arc::new(map), limits: Limits::default(), damping: 1.0 }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, tolerance: f64, max_iterations: usize) -> Self {
        self.limits = Limits::new(tolerance, max_iterations);
        self
    }

    /// Going only this part of the way.
    #[must_use]
    pub fn damping(mut self, damping: f64) -> Self {
        self.damping = damping;
        self
    }
}

impl<T: Parameters> Solver<T> for FixedPoint<T> {
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError> {
        self.limits.check()?;
        let sound = self.damping > 0.0 && self.damping <= 1.0;
        SolverError::check("the damping", self.damping, sound, "above 0 and at most 1")?;
        check_start(start)?;
        let mut trace = Trace::new(self.limits);
        let mut x = start.clone();
        loop {
            let image = (self.map)(&x, theta);
            trace.counts.values += 1;
            check_returned("the map", &image, x.shape())?;
            let residual = &image - &x;
            let error = norm(&residual);
            let next =
                if self.damping == 1.0 { image } else { x.add_scaled(self.damping, &residual) };
            if let Some(stop) = trace.record(error) {
                return Ok(trace.end(if error.is_finite() { next } else { x }, stop, error));
            }
            x = next;
        }
    }

    fn condition(&self) -> Condition<Array, T> {
        let map = self.map.clone();
        Condition::fixed_point(move |x: &Array, theta: &T| map(x, theta))
    }
}

/// The residual of Anderson's mixing, relative to the least so far, from which on it begins again.
const ASTRAY: f64 = 2.0;

/// `x = T(x, theta)` by Anderson's mixing (Anderson, 1965; Walker and Ni, 2011): the next point is `sum_i a_i (x_i + mixing r_i)` over the last
/// points, with residuals `r_i = T(x_i) - x_i` and the weights, of sum 1, that make `|sum_i a_i r_i|` least.
///
/// Where the residual grows to twice the least so far, the history is dropped and the iteration goes on from the point that had the least.
///
/// The error is `|T(x) - x|`.
#[derive(Clone)]
pub struct Anderson<T> {
    map: Function<T>,
    /// When to end.
    pub limits: Limits,
    /// Points that are combined, at least 1.
    pub history: usize,
    /// `beta`: how much of the residual is added, above 0.
    pub mixing: f64,
    /// Regularization of the weights, relative to each squared residual.
    pub ridge: f64,
    /// After how many plain iterations the mixing begins.
    pub warm_up: usize,
}

impl<T: Parameters> Anderson<T> {
    /// `map(x, theta)` is shaped as `x`.
    pub fn new(map: impl Fn(&Array, &T) -> Array + Send + Sync + 'static) -> Self {
        Anderson {
            map: Arc::new(map),
            limits: Limits::default(),
            history: 5,
            mixing: 1.0,
            ridge: 1e-12,
            warm_up: 0,
        }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, tolerance: f64, max_iterations: usize) -> Self {
        self.limits = Limits::new(tolerance, max_iterations);
        self
    }

    /// Combining this many points.
    #[must_use]
    pub fn history(mut self, history: usize) -> Self {
        self.history = history;
        self
    }

    fn check(&self) -> Result<(), SolverError> {
        self.limits.check()?;
        let history = self.history as f64;
        SolverError::check("the history", history, self.history > 0, "at least 1")?;
        let sound = self.mixing > 0.0 && self.mixing.is_finite();
        SolverError::check("the mixing", self.mixing, sound, "a finite number above 0")?;
        let sound = self.ridge >= 0.0 && self.ridge.is_finite();
        SolverError::check("the ridge", self.ridge, sound, "a finite number of at least 0")
    }

    /// Weights from the Gram matrix of the residuals; `None` if it is singular.
    fn weights(&self, gram: &VecDeque<Vec<f64>>) -> Option<Vec<f64>> {
        let m = gram.len();
        let entry = |i: usize, j: usize| {
            // Of residuals scaled to length 1: the last ones are much shorter than the first.
            let regular = if i == j { self.ridge } else { 0.0 };
            gram[i.max(j)][i.min(j)] / (gram[i][i] * gram[j][j]).sqrt() + regular
        };
        let matrix = (0..m * m).map(|e| entry(e / m, e % m)).collect();
        let lengths: Vec<f64> = (0..m).map(|i| gram[i][i].sqrt()).collect();
        // With D the lengths and N the scaled matrix: a ~ (D N D)^{-1} 1, up to the scale of the sum.
        let inverse = lengths.iter().map(|l| lengths[m - 1] / l).collect();
        let ones = Array::from_vec::<f64>(inverse, &[m]);
        let solution = Array::from_vec::<f64>(matrix, &[m, m]).solve(&ones).ok()?.to_f64_vec();
        let unscaled = solution.iter().zip(&lengths).map(|(s, l)| s / l);
        let sum: f64 = unscaled.clone().sum();
        let weights: Vec<f64> = unscaled.map(|w| w / sum).collect();
        weights.iter().all(|w| w.is_finite() && w.abs() < 1e6).then_some(weights)
    }
}

impl<T: Parameters> Solver<T> for Anderson<T> {
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError> {
        self.check()?;
        check_start(start)?;
        let mut trace = Trace::new(self.limits);
        let mut x = start.clone();
        let mut points: VecDeque<(Array, Array)> = VecDeque::new();
        let mut gram: VecDeque<Vec<f64>> = VecDeque::new();
        let mut best: Option<(Array, Array, f64)> = None;
        loop {
            let image = (self.map)(&x, theta);
            trace.counts.values += 1;
            check_returned("the map", &image, x.shape())?;
            let residual = &image - &x;
            let error = norm(&residual);
            if let Some(stop) = trace.record(error) {
                let last = if error.is_finite() { image } else { x };
                return Ok(trace.end(last, stop, error));
            }
            if trace.iterations() <= self.warm_up {
                x = image;
                continue;
            }
            match &best {
                // Mixing has led astray: begin again at the best point, with a plain step, which contracts if the map does.
                Some((at, step, least)) if error > ASTRAY * least && points.len() > 1 => {
                    x = at.add_scaled(self.mixing, step);
                    points.clear();
                    gram.clear();
                    continue;
                }
                Some((_, _, least)) if error >= *least => {}
                _ => best = Some((x.clone(), residual.clone(), error)),
            }
            if points.len() == self.history {
                points.pop_front();
                gram.pop_front();
                for row in &mut gram {
                    row.remove(0);
                }
            }
            let mut row: Vec<f64> = points.iter().map(|(_, r)| dot(r, &residual)).collect();
            gram.iter_mut().zip(&row).for_each(|(old, &v)| old.push(v));
            row.push(error * error);
            gram.push_back(row);
            points.push_back((x, residual));
            x = if let Some(weights) = self.weights(&gram) {
                self.combine(&points, &weights)
            } else {
                // Nothing to be learnt from residuals that are multiples of each other: begin again from the last.
                points.drain(..points.len() - 1);
                gram.clear();
                gram.push_back(vec![error * error]);
                self.combine(&points, &[1.0])
            };
        }
    }

    fn condition(&self) -> Condition<Array, T> {
        let map = self.map.clone();
        Condition::fixed_point(move |x: &Array, theta: &T| map(x, theta))
    }
}

impl<T: Parameters> Anderson<T> {
    fn combine(&self, points: &VecDeque<(Array, Array)>, weights: &[f64]) -> Array {
        let mut sum = points[0].0.zeros_like();
        for ((x, r), &w) in points.iter().zip(weights) {
            sum = sum.add_scaled(w, x).add_scaled(w * self.mixing, r);
        }
        sum
    }
}
