//! Scalarisations: one stationary point of a weighted sum, or a short sequence of them, for each point of the front.

use super::error::require;
use super::{PdeError, Stationary, Tracking};
use crate::pareto::dense::norm;
use crate::pareto::root::brent;

/// What solves weighted sums: the problem itself, or a reduced model of it.
pub trait WeightedProblem {
    /// The stationary point of `sum a_i J_i`, perhaps from a neighbour.
    ///
    /// # Errors
    /// [`PdeError`] if it is not found.
    fn solve(
        &mut self,
        weights: &[f64],
        start: Option<&Stationary>,
    ) -> Result<Stationary, PdeError>;

    /// Number of objectives.
    fn objectives(&self) -> usize;
}

impl WeightedProblem for &Tracking {
    fn solve(
        &mut self,
        weights: &[f64],
        start: Option<&Stationary>,
    ) -> Result<Stationary, PdeError> {
        self.weighted(weights, start)
    }

    fn objectives(&self) -> usize {
        self.goals().len()
    }
}

/// Weights `(1 - a, a)`.
fn pair(a: f64) -> [f64; 2] {
    [1.0 - a, a]
}

fn two(problem: &dyn WeightedProblem) -> Result<(), PdeError> {
    let k = problem.objectives();
    require(k == 2, "number of objectives", k as f64, "2 for this scalarisation")
}

/// All weights `i / n` of sum one for `k` objectives, in an order in which neighbours follow each other.
pub fn simplex_grid(k: usize, n: usize) -> Vec<Vec<f64>> {
    fn fill(k: usize, left: usize, n: usize, head: &mut Vec<f64>, all: &mut Vec<Vec<f64>>) {
        if k == 1 {
            head.push(left as f64 / n as f64);
            all.push(head.clone());
            head.pop();
            return;
        }
        // Alternate directions, so that the last of a row is near the first of the next.
        let down = all.len() % 2 == 1;
        for step in 0..=left {
            let i = if down { left - step } else { step };
            head.push(i as f64 / n as f64);
            fill(k - 1, left - i, n, head, all);
            head.pop();
        }
    }
    let mut all = Vec::new();
    if k > 0 && n > 0 {
        fill(k, n, n, &mut Vec::new(), &mut all);
    }
    all
}

/// The stationary points for a list of weights, each from the one before. Finds the convex part of the front only, unevenly.
///
/// # Errors
/// [`PdeError`] of the first weights that fail.
pub fn weighted_front(
    problem: &mut dyn WeightedProblem,
    weights: &[Vec<f64>],
) -> Result<Vec<Stationary>, PdeError> {
    let mut front: Vec<Stationary> = Vec::with_capacity(weights.len());
    for weights in weights {
        let next = problem.solve(weights, front.last())?;
        front.push(next);
    }
    Ok(front)
}

/// Points of the front of two objectives that are nearest to a reference point below it: `min |J(u) - z|^2 / 2`. Stationary points are
/// those of a weighted sum with weights proportional to `J(u) - z > 0`, so that one scalar equation in the weight
/// remains. The reference point then moves along the front: neighbours come out about `spacing` apart, on convex and on other parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferencePoint {
    /// Distance that the reference point moves along the front.
    pub spacing: f64,
    /// Distance that it lies below the front; a quarter of the spacing is a good choice.
    pub depth: f64,
    /// Tolerance for the weight.
    pub tolerance: f64,
}

impl ReferencePoint {
    /// With this distance between points.
    pub fn new(spacing: f64) -> ReferencePoint {
        ReferencePoint { spacing, depth: spacing / 4.0, tolerance: 1e-10 }
    }

    /// The next point after one with weights `(1 - a, a)`, towards smaller `J_2`, and the number of linear systems solved. `None`
    /// where the front ends: no weight up to one fits.
    ///
    /// # Errors
    /// [`PdeError`] for another number of objectives than two, distances not above 0, or a solve that fails.
    pub fn next(
        &self,
        problem: &mut dyn WeightedProblem,
        current: &Stationary,
    ) -> Result<Option<(Stationary, usize)>, PdeError> {
        two(problem)?;
        require(self.spacing > 0.0, "spacing", self.spacing, "above 0")?;
        require(self.depth > 0.0, "depth", self.depth, "above 0")?;
        // The normal of the front, which points from the reference to it.
        let d: Vec<f64> = current.weights.iter().map(|w| w / norm(&current.weights)).collect();
        let z = [
            current.values[0] + self.spacing * d[1] - self.depth * d[0],
            current.values[1] - self.spacing * d[0] - self.depth * d[1],
        ];
        let (mut last, mut systems) = (current.clone(), 0);
        let equation = |a: f64| -> Result<f64, PdeError> {
            last = problem.solve(&pair(a), Some(&last))?;
            systems += last.steps;
            Ok((1.0 - a) * (last.values[1] - z[1]) - a * (last.values[0] - z[0]))
        };
        let found = brent(equation, (current.weights[1], 1.0 - 1e-9), self.tolerance)?;
        Ok(found.map(|_| (last, systems)))
    }
}

/// `min J_1 subject to J_2 <= bound`, by an augmented Lagrangian, whose inner problem is a weighted sum with weights `(1, w)`, `w =
/// max(0, multiplier + rho (J_2 - bound))`: a scalar equation with a rising left side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpsilonConstraint {
    /// Bound of `J_2`.
    pub bound: f64,
    /// First penalty.
    pub rho: f64,
    /// Violation at which to stop, relative to the bound.
    pub tolerance: f64,
    /// Least multiplier considered; above 0 if the first objective alone has no control cost.
    pub least: f64,
}

impl EpsilonConstraint {
    /// With this bound.
    pub fn new(bound: f64) -> EpsilonConstraint {
        EpsilonConstraint { bound, rho: 100.0, tolerance: 1e-8, least: 0.0 }
    }

    /// The solution, with its multiplier and the number of linear systems.
    ///
    /// # Errors
    /// [`PdeError`] for another number of objectives than two, options out of range, a bound that cannot be kept, or a solve that fails.
    pub fn solve(
        &self,
        problem: &mut dyn WeightedProblem,
    ) -> Result<(Stationary, f64, usize), PdeError> {
        two(problem)?;
        require(self.rho > 0.0, "rho", self.rho, "above 0")?;
        require(self.tolerance > 0.0, "tolerance", self.tolerance, "above 0")?;
        let (mut multiplier, mut rho, mut before) = (0.0f64, self.rho, f64::INFINITY);
        let least = self.least / (1.0 + self.least);
        let mut last = problem.solve(&pair(least), None)?;
        let mut systems = last.steps;
        let scale = self.bound.abs().max(f64::MIN_POSITIVE);
        let largest = last.values[1] - self.bound;
        if largest <= 0.0 {
            return Ok((last, self.least, systems));
        }
        for _ in 0..60 {
            // In a = w / (1 + w), the weight on the simplex.
            let equation = |a: f64| -> Result<f64, PdeError> {
                last = problem.solve(&pair(a), Some(&last))?;
                systems += last.steps;
                let w = (multiplier + rho * (last.values[1] - self.bound)).max(self.least);
                Ok(a - w / (1.0 + w))
            };
            let top = multiplier + rho * largest;
            let precision = (1e-2 * before / scale).clamp(1e-12, 1e-4);
            brent(equation, (least, top / (1.0 + top)), precision)?;
            let violation = last.values[1] - self.bound;
            multiplier = (multiplier + rho * violation).max(self.least);
            if violation.abs() <= self.tolerance * scale {
                return Ok((last, multiplier, systems));
            }
            if violation.abs() > before / 4.0 {
                rho *= 10.0;
            }
            before = violation.abs();
        }
        Err(PdeError::NotConverged {
            what: "epsilon constraint: the bound may be below what J_2 can reach",
            steps: 60,
            residual: before / scale,
        })
    }
}

/// `min t subject to J_i(u) - z_i <= t r_i` for two objectives and `r > 0`: where both constraints are active the weights satisfy `(J_1 - z_1) /
/// r_1 = (J_2 - z_2) / r_2`, else it is an end of `range`, the weights of the second objective that are considered. Returns the
/// point and the number of linear systems.
///
/// # Errors
/// [`PdeError`] for another number of objectives than two, a direction or a range that does not fit, or a solve that fails.
pub fn pascoletti_serafini(
    problem: &mut dyn WeightedProblem,
    z: [f64; 2],
    r: [f64; 2],
    range: [f64; 2],
) -> Result<(Stationary, usize), PdeError> {
    two(problem)?;
    require(r[0] > 0.0 && r[1] > 0.0, "direction", r[0].min(r[1]), "above 0 in both")?;
    let [low, high] = range;
    let fine = 0.0 <= low && low < high && high <= 1.0;
    require(fine, "range of weights", low, "a rising pair within 0 and 1")?;
    let (mut last, mut systems) = (None::<Stationary>, 0);
    let mut at = |a: f64| -> Result<f64, PdeError> {
        let next = problem.solve(&pair(a), last.as_ref())?;
        systems += next.steps;
        let value = (next.values[0] - z[0]) / r[0] - (next.values[1] - z[1]) / r[1];
        last = Some(next);
        Ok(value)
    };
    // The first objective rises with the weight of the second.
    let (first, second) = (at(low)?, at(high)?);
    if first < 0.0 && second > 0.0 {
        brent(&mut at, (low, high), 1e-10)?;
    } else {
        at(if first >= 0.0 { low } else { high })?;
    }
    let point = last.ok_or(PdeError::NoInterior)?;
    Ok((point, systems))
}
