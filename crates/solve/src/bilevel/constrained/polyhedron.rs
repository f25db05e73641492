//! Polyhedra, and convex sets by their linearizations.

use lisse_array::Array;

use super::JointSet;
use crate::bilevel::vector::{axpy, check_finite, dot, norm};
use crate::bilevel::{BilevelError, Oracle};

/// `{v : G v <= h}`, the projection by a dual active-set method (least distance by nonnegative least squares): exact in finitely many
/// exchanges, and a proof of emptiness where there is no point.
#[derive(Clone, Debug, PartialEq)]
pub struct Polyhedron {
    rows: Vec<f64>,
    right: Vec<f64>,
    equality: Vec<bool>,
    width: usize,
}

impl Polyhedron {
    /// From the matrix `[m, n]` row by row and the right-hand side; `equality[i]` where row `i` holds with `=`.
    ///
    /// # Errors
    /// Lengths that do not fit, NaN.
    pub fn new(
        rows: Vec<f64>,
        right: Vec<f64>,
        equality: Vec<bool>,
    ) -> Result<Polyhedron, BilevelError> {
        let m = right.len();
        if m == 0 || equality.len() != m || !rows.len().is_multiple_of(m) || rows.is_empty() {
            let (what, found) = ("the matrix of the polyhedron", rows.len());
            return Err(BilevelError::Length { what, found, expected: m.max(1) });
        }
        check_finite("the matrix of the polyhedron", &rows, "")?;
        check_finite("the right-hand side of the polyhedron", &right, "")?;
        let width = rows.len() / m;
        Ok(Polyhedron { rows, right, equality, width })
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * self.width..(i + 1) * self.width]
    }

    fn excess(&self, i: usize, v: &[f64]) -> f64 {
        dot(self.row(i), v) - self.right[i]
    }

    /// The nearest point and its multipliers: `v0 - G^T mu`. Goldfarb and Idnani's dual method for the identity.
    ///
    /// # Errors
    /// [`BilevelError::Infeasible`] with a certificate: weights `mu` with `mu^T G = 0` and `mu^T h < 0`.
    pub fn nearest(&self, start: &[f64]) -> Result<(Vec<f64>, Vec<f64>, usize), BilevelError> {
        let m = self.right.len();
        let mut v = start.to_vec();
        let mut mu = vec![0.0; m];
        // Active rows and the sign with which they push.
        let mut active: Vec<(usize, f64)> = Vec::new();
        let scale: Vec<f64> = (0..m).map(|i| norm(self.row(i)).max(f64::MIN_POSITIVE)).collect();
        let tolerance = 1e-12 * (1.0 + norm(start));
        for exchanges in 0..50 * (m + 1) {
            let worst = (0..m)
                .filter(|i| active.iter().all(|a| a.0 != *i))
                .map(|i| {
                    let excess = self.excess(i, &v);
                    (i, if self.equality[i] { excess.abs() } else { excess } / scale[i], excess)
                })
                .max_by(|a, b| a.1.total_cmp(&b.1));
            let Some((entering, _, excess)) = worst.filter(|w| w.1 > tolerance) else {
                return Ok((v, mu, exchanges));
            };
            let sign = if excess < 0.0 { -1.0 } else { 1.0 };
            self.enter(entering, sign, &mut v, &mut mu, &mut active)?;
        }
        Ok((v, mu, 50 * (m + 1)))
    }

    /// Raises the multiplier of row `i` until it is satisfied, dropping rows whose multiplier would change sign.
    fn enter(
        &self,
        i: usize,
        sign: f64,
        v: &mut [f64],
        mu: &mut [f64],
        active: &mut Vec<(usize, f64)>,
    ) -> Result<(), BilevelError> {
        let row: Vec<f64> = self.row(i).iter().map(|r| sign * r).collect();
        let limit = sign * self.right[i];
        for _ in 0..=2 * self.right.len() + 2 {
            // The part of the row outside the span of the active rows, and the change of their multipliers per unit of its own.
            let along = self.coefficients(active, &row);
            let mut free = row.clone();
            for ((a, s), c) in active.iter().zip(&along) {
                axpy(&mut free, -c * s, self.row(*a));
            }
            let steep = dot(&free, &row);
            let independent = norm(&free) > 1e-10 * norm(&row);
            // mu_active falls by `along` per unit; inequalities may not change sign.
            let blocking = active
                .iter()
                .zip(&along)
                .enumerate()
                .filter(|(_, ((a, _), c))| !self.equality[*a] && **c > 1e-13)
                .map(|(position, ((a, s), c))| (position, s * mu[*a] / c))
                .min_by(|a, b| a.1.total_cmp(&b.1));
            let full = if independent { (dot(&row, v) - limit) / steep } else { f64::INFINITY };
            let partial = blocking.map_or(f64::INFINITY, |b| b.1.max(0.0));
            let step = full.min(partial);
            if step.is_infinite() {
                return Err(self.proof(i, sign, active, &along));
            }
            axpy(v, -step * f64::from(u8::from(independent)), &free);
            mu[i] += sign * step;
            for ((a, s), c) in active.iter().zip(&along) {
                mu[*a] -= s * c * step;
            }
            if full <= partial {
                active.push((i, sign));
                return Ok(());
            }
            if let Some((position, _)) = blocking {
                mu[active[position].0] = 0.0;
                active.remove(position);
            }
        }
        Ok(())
    }

    fn coefficients(&self, active: &[(usize, f64)], row: &[f64]) -> Vec<f64> {
        let k = active.len();
        if k == 0 {
            return Vec::new();
        }
        let signed =
            |(a, s): &(usize, f64)| -> Vec<f64> { self.row(*a).iter().map(|r| s * r).collect() };
        let rows: Vec<Vec<f64>> = active.iter().map(signed).collect();
        let gram = rows.iter().flat_map(|a| rows.iter().map(move |b| dot(a, b))).collect();
        let right: Vec<f64> = rows.iter().map(|a| dot(a, row)).collect();
        let gram = Array::from_vec(gram, &[k, k]);
        let right = Array::from_vec(right, &[k]);
        // Active rows are independent: a row only enters with a part of its own.
        gram.solve(&right).map_or_else(|_| vec![0.0; k], |c| c.to_vec())
    }

    fn proof(&self, i: usize, sign: f64, active: &[(usize, f64)], along: &[f64]) -> BilevelError {
        let mut certificate = vec![0.0; self.right.len()];
        certificate[i] = sign;
        for ((a, s), c) in active.iter().zip(along) {
            certificate[*a] = -c * s;
        }
        let gap = dot(&certificate, &self.right);
        BilevelError::Infeasible { certificate, gap }
    }
}

impl JointSet for Polyhedron {
    fn project(
        &self,
        x: &mut [f64],
        y: &mut [f64],
        oracle: &mut Oracle<'_>,
    ) -> Result<usize, BilevelError> {
        let split = x.len();
        if split + y.len() != self.width {
            let (what, found) = ("x and y together", split + y.len());
            return Err(BilevelError::Length { what, found, expected: self.width });
        }
        oracle.counts.projections += 1;
        let mut v = x.to_vec();
        v.extend_from_slice(y);
        let (v, _, exchanges) = self.nearest(&v)?;
        x.copy_from_slice(&v[..split]);
        y.copy_from_slice(&v[split..]);
        Ok(exchanges)
    }
}

/// The problem's own constraints `c(x, y) <= 0`, jointly convex, by projecting on their linearizations until the optimality conditions hold
/// to `tolerance`. One round for affine constraints. `X` and `Y` must be the whole space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvexSet {
    /// Largest violation left, and largest change of the last round.
    pub tolerance: f64,
    /// Most rounds.
    pub rounds: usize,
}

impl Default for ConvexSet {
    fn default() -> ConvexSet {
        ConvexSet { tolerance: 1e-10, rounds: 200 }
    }
}

impl JointSet for ConvexSet {
    fn project(
        &self,
        x: &mut [f64],
        y: &mut [f64],
        oracle: &mut Oracle<'_>,
    ) -> Result<usize, BilevelError> {
        let problem = oracle.problem();
        if !(problem.set_x().is_whole() && problem.set_y().is_whole()) {
            let reason = "x or y is confined to a set of its own; write its bounds as constraints"
                .to_owned();
            return Err(BilevelError::Unsupported { method: "the convex set", reason });
        }
        oracle.counts.projections += 1;
        let (m, split) = (problem.constraints(), x.len());
        let mut start = x.to_vec();
        start.extend_from_slice(y);
        let mut v = start.clone();
        let equality: Vec<bool> = (0..m).map(|i| problem.is_equality(i)).collect();
        for round in 1..=self.rounds {
            let values = problem.constraint(&v[..split], &v[split..]);
            let (mut rows, mut right) = (Vec::with_capacity(m * v.len()), Vec::with_capacity(m));
            let mut unit = vec![0.0; m];
            for i in 0..m {
                unit[i] = 1.0;
                let (mut row, gy) = oracle.constraint_products(&v[..split], &v[split..], &unit);
                unit[i] = 0.0;
                row.extend_from_slice(&gy);
                right.push(dot(&row, &v) - values[i]);
                rows.extend(row);
            }
            let (next, _, _) = Polyhedron::new(rows, right, equality.clone())?.nearest(&start)?;
            let moved = crate::bilevel::vector::distance(&next, &v);
            v = next;
            let values = problem.constraint(&v[..split], &v[split..]);
            let violation = values
                .iter()
                .zip(&equality)
                .map(|(c, e)| if *e { c.abs() } else { c.max(0.0) })
                .fold(0.0, f64::max);
            if violation <= self.tolerance && (moved <= self.tolerance || round == 1) {
                x.copy_from_slice(&v[..split]);
                y.copy_from_slice(&v[split..]);
                return Ok(round);
            }
        }
        let reason = format!(
            "no pair with violation below {} was found in {} rounds",
            self.tolerance, self.rounds
        );
        Err(BilevelError::Empty { what: "the set of feasible pairs", reason })
    }
}
