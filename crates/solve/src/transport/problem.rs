//! Masses and costs, checked.

use lisse_array::Array;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::TransportError;

/// How far apart two totals may lie, relative to them, and still count as equal; what is left is divided away.
const BALANCE: f64 = 1e-9;

/// The cost of moving mass between two points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// `|x - y|^2`
    #[default]
    SquaredEuclidean,
    /// `|x - y|`
    Euclidean,
    /// `1 - x . y / (|x| |y|)`
    Cosine,
}

/// A transport problem: `sources` masses `a`, `targets` masses `b` of the same total, and costs `C` of moving a unit from source `i` to target `j`.
///
/// A cost of infinity forbids the pair. Masses of 0 are allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    a: Vec<f64>,
    b: Vec<f64>,
    /// Column after column: what one target would pay to each source.
    cost: Vec<f64>,
    /// Largest finite cost, without its sign.
    scale: f64,
    forbidden: bool,
}

impl Problem {
    /// From masses and a cost matrix, row after row (`a.len()` rows, `b.len()` columns).
    ///
    /// # Errors
    /// Empty or wrong shapes; masses that are negative, not finite, or of different totals; costs that are NaN or `-inf`.
    ///
    /// ```
    /// use lisse_solve::transport::Problem;
    /// let problem = Problem::new(&[0.5, 0.5], &[0.25, 0.75], &[0.0, 1.0, 2.0, 0.5])?;
    /// assert_eq!((problem.sources(), problem.targets(), problem.cost(1, 0)), (2, 2, 2.0));
    /// let error = Problem::new(&[0.5, 0.6], &[0.25, 0.75], &[0.0; 4]).unwrap_err();
    /// assert!(error.to_string().contains("the totals must agree"));
    /// # Ok::<(), lisse_solve::transport::TransportError>(())
    /// ```
    pub fn new(a: &[f64], b: &[f64], cost: &[f64]) -> Result<Problem, TransportError> {
        let (m, n) = (a.len(), b.len());
        if m == 0 || n == 0 {
            return Err(TransportError::Empty { rows: m, columns: n });
        }
        if cost.len() != m * n {
            return Err(TransportError::Shape {
                what: "costs",
                found: cost.len(),
                expected: m * n,
                why: format!("{m} sources times {n} targets"),
            });
        }
        let mut columns = vec![0.0; m * n];
        columns.par_chunks_mut(m).enumerate().for_each(|(j, column)| {
            for (i, c) in column.iter_mut().enumerate() {
                *c = cost[i * n + j];
            }
        });
        Problem::of_columns(a.to_vec(), b.to_vec(), columns)
    }

    /// From a cost matrix alone: `1 / m` at every source, `1 / n` at every target.
    ///
    /// # Errors
    /// As [`Problem::new`].
    pub fn uniform(
        sources: usize,
        targets: usize,
        cost: &[f64],
    ) -> Result<Problem, TransportError> {
        let equal = |count: usize| vec![1.0 / count as f64; count];
        Problem::new(&equal(sources), &equal(targets), cost)
    }

    /// From points: `x` holds `a.len()` of them, `y` `b.len()`, one after another with `dim` coordinates each.
    ///
    /// # Errors
    /// As [`Problem::new`]; coordinates that are not finite; a point of length 0 under [`Metric::Cosine`].
    pub fn from_points(
        (a, x): (&[f64], &[f64]),
        (b, y): (&[f64], &[f64]),
        dim: usize,
        metric: Metric,
    ) -> Result<Problem, TransportError> {
        let (m, n) = (a.len(), b.len());
        if m == 0 || n == 0 {
            return Err(TransportError::Empty { rows: m, columns: n });
        }
        let x = prepared("source points", x, m, dim, metric)?;
        let y = prepared("target points", y, n, dim, metric)?;
        let mut columns = vec![0.0; m * n];
        columns.par_chunks_mut(m).zip(y.par_chunks(dim)).for_each(|(column, y)| {
            for (c, x) in column.iter_mut().zip(x.chunks(dim)) {
                *c = distance(x, y, metric);
            }
        });
        Problem::of_columns(a.to_vec(), b.to_vec(), columns)
    }

    /// From arrays: `a` `[m]`, `b` `[n]`, `cost` `[m, n]`, of any float dtype.
    ///
    /// # Errors
    /// As [`Problem::new`]. Panics if `a` or `b` is no vector or `cost` no matrix, as arrays do.
    #[track_caller]
    pub fn from_arrays(a: &Array, b: &Array, cost: &Array) -> Result<Problem, TransportError> {
        assert!(
            a.rank() == 1 && b.rank() == 1 && cost.shape() == [a.len(), b.len()],
            "transport: masses {:?} and {:?} do not go with costs {:?}; give [m], [n] and [m, n]",
            a.shape(),
            b.shape(),
            cost.shape()
        );
        Problem::new(&a.to_f64_vec(), &b.to_f64_vec(), &cost.to_f64_vec())
    }

    fn of_columns(a: Vec<f64>, mut b: Vec<f64>, cost: Vec<f64>) -> Result<Problem, TransportError> {
        let (sources, targets) = (mass("source masses", &a)?, mass("target masses", &b)?);
        if (sources - targets).abs() > BALANCE * sources.max(targets) {
            return Err(TransportError::Unbalanced { sources, targets });
        }
        for b in &mut b {
            *b *= sources / targets;
        }
        let m = a.len();
        if let Some(at) = cost.iter().position(|c| c.is_nan() || *c == f64::NEG_INFINITY) {
            return Err(TransportError::Cost { row: at % m, column: at / m, value: cost[at] });
        }
        let finite = cost.iter().filter(|c| c.is_finite());
        let scale = finite.fold(0.0f64, |most, c| most.max(c.abs()));
        let forbidden = cost.contains(&f64::INFINITY);
        Ok(Problem { a, b, cost, scale, forbidden })
    }

    /// The problem with sources and targets exchanged.
    pub fn transposed(&self) -> Problem {
        let (m, n) = (self.sources(), self.targets());
        let mut cost = vec![0.0; m * n];
        cost.par_chunks_mut(n).enumerate().for_each(|(i, row)| {
            for (j, c) in row.iter_mut().enumerate() {
                *c = self.cost[j * m + i];
            }
        });
        Problem { a: self.b.clone(), b: self.a.clone(), cost, ..*self }
    }

    /// The same costs with other masses, not checked again.
    pub(super) fn with_masses(&self, a: Vec<f64>, b: Vec<f64>) -> Problem {
        Problem { a, b, cost: self.cost.clone(), ..*self }
    }

    /// Number of sources, `m`.
    pub fn sources(&self) -> usize {
        self.a.len()
    }

    /// Number of targets, `n`.
    pub fn targets(&self) -> usize {
        self.b.len()
    }

    /// Masses of the sources.
    pub fn a(&self) -> &[f64] {
        &self.a
    }

    /// Masses of the targets.
    pub fn b(&self) -> &[f64] {
        &self.b
    }

    /// Cost of moving a unit from source `i` to target `j`.
    pub fn cost(&self, i: usize, j: usize) -> f64 {
        self.cost[j * self.a.len() + i]
    }

    /// Costs of target `j`, by source.
    pub fn column(&self, j: usize) -> &[f64] {
        let m = self.a.len();
        &self.cost[j * m..(j + 1) * m]
    }

    /// Whether some pair is forbidden.
    pub fn has_forbidden(&self) -> bool {
        self.forbidden
    }

    /// Mass to be moved.
    pub fn total(&self) -> f64 {
        self.a.iter().sum()
    }

    /// Largest finite cost, without its sign.
    pub fn scale(&self) -> f64 {
        self.scale
    }
}

/// The sum of checked masses.
fn mass(what: &'static str, values: &[f64]) -> Result<f64, TransportError> {
    if let Some(index) = values.iter().position(|v| !(*v >= 0.0 && v.is_finite())) {
        return Err(TransportError::Mass { what, index, value: values[index] });
    }
    let total: f64 = values.iter().sum();
    if total > 0.0 { Ok(total) } else { Err(TransportError::NoMass { what }) }
}

/// Checked coordinates; of length one for the cosine.
fn prepared(
    what: &'static str,
    points: &[f64],
    count: usize,
    dim: usize,
    metric: Metric,
) -> Result<Vec<f64>, TransportError> {
    if dim == 0 {
        return Err(TransportError::Points {
            what,
            reason: "no coordinates; give at least one".into(),
        });
    }
    if points.len() != count * dim {
        let why = format!("{count} points with {dim} coordinates each");
        return Err(TransportError::Shape {
            what,
            found: points.len(),
            expected: count * dim,
            why,
        });
    }
    if let Some(at) = points.iter().position(|p| !p.is_finite()) {
        let (point, axis) = (at / dim, at % dim);
        let reason =
            format!("coordinate {axis} of point {point} is {}; it must be finite", points[at]);
        return Err(TransportError::Points { what, reason });
    }
    let mut points = points.to_vec();
    if metric == Metric::Cosine {
        for (index, point) in points.chunks_mut(dim).enumerate() {
            let length = point.iter().map(|p| p * p).sum::<f64>().sqrt();
            if length == 0.0 {
                let reason = format!(
                    "point {index} is the origin, which has no direction; leave it out or use another metric"
                );
                return Err(TransportError::Points { what, reason });
            }
            for p in point {
                *p /= length;
            }
        }
    }
    Ok(points)
}

fn distance(x: &[f64], y: &[f64], metric: Metric) -> f64 {
    let square = || x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
    match metric {
        Metric::SquaredEuclidean => square(),
        Metric::Euclidean => square().sqrt(),
        Metric::Cosine => 1.0 - x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>(),
    }
}
