//! Galerkin's method in a reduced basis, with error bounds.

use super::error::same_length;
use super::{Basis, Deim, MaxElliptic, PdeError, Stationary, Tracking};
use crate::linear::vector::{dot, norm};
use crate::pareto::dense;

/// The equation and its objectives in a basis of few vectors. Systems have the size of the basis; the max term is evaluated at all
/// nodes, or at those of an empirical interpolation.
pub struct Reduced<'a> {
    problem: &'a Tracking,
    basis: Basis,
    /// Basis by nodes, row-major `[n, r]`.
    rows: Vec<f64>,
    deim: Option<(Deim, Vec<f64>)>,
}

/// A state in the reduced basis.
#[derive(Clone, Debug, PartialEq)]
pub struct ReducedState {
    /// Its values at the free nodes.
    pub y: Vec<f64>,
    /// Its coefficients.
    pub coefficients: Vec<f64>,
    /// Newton steps taken.
    pub steps: usize,
    /// Bound on the error in the energy norm: `|R|` in the dual norm of the stiffness matrix, which is at most
    /// `1 + kappa / lambda_min` times the error. The max term is monotone and only helps.
    pub bound: f64,
}

impl<'a> Reduced<'a> {
    /// The problem in this basis.
    pub fn new(problem: &'a Tracking, basis: Basis) -> Reduced<'a> {
        let (n, r) = (problem.equation().len(), basis.len());
        let mut rows = vec![0.0; n * r];
        for (j, v) in basis.vectors().iter().enumerate() {
            v.iter().enumerate().for_each(|(i, v)| rows[i * r + j] = *v);
        }
        Reduced { problem, basis, rows, deim: None }
    }

    /// With the max term from few nodes. The error bound holds all the same; it is of the state that comes out.
    pub fn with_deim(mut self, deim: Deim) -> Reduced<'a> {
        let e = self.problem.equation();
        let (r, k) = (self.basis.len(), deim.points().len());
        // kappa V^T m U (P^T U)^{-1}
        let mut map = vec![0.0; r * k];
        for i in 0..e.len() {
            for (j, v) in self.row(i).iter().enumerate() {
                let weight = e.kappa * e.mass[i] * v;
                map[j * k..(j + 1) * k]
                    .iter_mut()
                    .zip(deim.row(i))
                    .for_each(|(m, u)| *m += weight * u);
            }
        }
        self.deim = Some((deim, map));
        self
    }

    /// The basis.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    fn row(&self, i: usize) -> &[f64] {
        let r = self.basis.len();
        &self.rows[i * r..(i + 1) * r]
    }

    /// `V c`
    fn expand(&self, c: &[f64]) -> Vec<f64> {
        self.rows.chunks_exact(c.len().max(1)).map(|row| dot(row, c)).collect()
    }

    /// Adds `V^T diag(d) V` to a block of a row-major matrix.
    fn add_diagonal(&self, d: &[f64], block: &mut [f64], stride: usize, corner: usize, sign: f64) {
        let r = self.basis.len();
        for (i, d) in d.iter().enumerate().filter(|(_, d)| **d != 0.0) {
            let row = self.row(i);
            for (a, &va) in row.iter().enumerate() {
                let factor = sign * d * va;
                let target = &mut block[corner + a * stride..corner + a * stride + r];
                target.iter_mut().zip(row).for_each(|(t, v)| *t += factor * v);
            }
        }
    }

    /// The state for the right-hand side `u`, with its error bound, which costs one solve with the stiffness matrix's factors.
    ///
    /// # Errors
    /// [`PdeError::Length`], [`PdeError::NotConverged`].
    pub fn state(&self, u: &[f64]) -> Result<ReducedState, PdeError> {
        const STEPS: usize = 60;
        let e = self.problem.equation();
        same_length("the right-hand side", u.len(), e.len())?;
        let (r, n) = (self.basis.len(), e.len());
        let load: Vec<f64> = e.mass.iter().zip(u).map(|(m, u)| m * u).collect();
        let right = self.basis.project(&load);
        let size = norm(&right).max(f64::MIN_POSITIVE);
        let (mut c, mut y) = (vec![0.0; r], vec![0.0; n]);
        let mut steps = 0;
        loop {
            let (force, mut matrix) = self.max_term(&y);
            let residual: Vec<f64> = (0..r).map(|j| c[j] + force[j] - right[j]).collect();
            if norm(&residual) <= 1e-12 * size || r == 0 {
                break;
            }
            if steps == STEPS {
                let residual = norm(&residual) / size;
                return Err(PdeError::NotConverged { what: "reduced Newton", steps, residual });
            }
            (0..r).for_each(|j| matrix[j * r + j] += 1.0);
            let step = dense::solve(matrix, residual)
                .ok_or(crate::pareto::ParetoError::Singular("reduced Newton"))?;
            c.iter_mut().zip(&step).for_each(|(c, d)| *c -= d);
            y = self.expand(&c);
            steps += 1;
        }
        let bound = state_bound(e, &y, u);
        Ok(ReducedState { y, coefficients: c, steps, bound })
    }

    /// `V^T kappa m max(0, y)` and its derivative in the coefficients.
    fn max_term(&self, y: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let e = self.problem.equation();
        let r = self.basis.len();
        let mut matrix = vec![0.0; r * r];
        if let Some((deim, map)) = &self.deim {
            let k = deim.points().len();
            let at: Vec<f64> = deim.points().iter().map(|&p| y[p].max(0.0)).collect();
            let force = map.chunks_exact(k).map(|row| dot(row, &at)).collect();
            for (a, row) in map.chunks_exact(k).enumerate() {
                for (w, &p) in row.iter().zip(deim.points()).filter(|(_, p)| y[**p] > 0.0) {
                    let target = &mut matrix[a * r..(a + 1) * r];
                    target.iter_mut().zip(self.row(p)).for_each(|(t, v)| *t += w * v);
                }
            }
            return (force, matrix);
        }
        let positive: Vec<f64> =
            (0..y.len()).map(|i| e.kappa * e.mass[i] * y[i].max(0.0)).collect();
        self.add_diagonal(&e.slope(y, None), &mut matrix, r, 0, 1.0);
        (self.basis.project(&positive), matrix)
    }

    /// The stationary point of a weighted sum with state, adjoint and control in the basis: as [`Tracking::weighted`], with systems of
    /// twice the size of the basis.
    ///
    /// # Errors
    /// [`PdeError`] for weights that do not fit, or if Newton's method does not arrive.
    pub fn weighted(
        &self,
        weights: &[f64],
        start: Option<&Stationary>,
    ) -> Result<Stationary, PdeError> {
        const STEPS: usize = 60;
        let e = self.problem.equation();
        self.problem.check_weights(weights)?;
        let (r, n) = (self.basis.len(), e.len());
        let cost = self.problem.cost(weights);
        let side = 2 * r;
        let mut unknowns = vec![0.0; side];
        if let Some(start) = start {
            unknowns[..r].copy_from_slice(&self.basis.coefficients(&start.y));
            unknowns[r..].copy_from_slice(&self.basis.coefficients(&start.p));
        }
        let mut mass = vec![0.0; side * side];
        self.add_diagonal(&e.mass, &mut mass, side, r, 1.0 / cost);
        let mut best = f64::INFINITY;
        for steps in 0..STEPS {
            let (y, p) = (self.expand(&unknowns[..r]), self.expand(&unknowns[r..]));
            let misfit = self.problem.misfit(weights, &y);
            let slope = e.slope(&y, None);
            let (mut f1, mut f2, mut size) = (vec![0.0; n], vec![0.0; n], 0.0f64);
            for i in 0..n {
                f1[i] = slope[i] * y[i] + e.mass[i] * p[i] / cost;
                f2[i] = slope[i] * p[i] - e.mass[i] * misfit[i];
            }
            let mut residual = self.basis.project(&f1);
            residual.extend(self.basis.project(&f2));
            for (j, value) in residual.iter_mut().enumerate() {
                size += value.powi(2) + unknowns[j].powi(2);
                *value += unknowns[j];
            }
            let relative = norm(&residual) / size.sqrt().max(f64::MIN_POSITIVE);
            if relative <= 1e-12 || (relative <= 1e-9 && relative >= 0.5 * best) {
                let u: Vec<f64> = p.iter().map(|p| -p / cost).collect();
                let values = self.problem.values_at(&y, &u);
                let weights = weights.to_vec();
                return Ok(Stationary { weights, y, p, u, values, steps, residual: relative });
            }
            best = best.min(relative);
            let mut matrix = mass.clone();
            let curvature = self.problem.curvature(weights, &y);
            let goal: Vec<f64> = e.mass.iter().zip(&curvature).map(|(m, c)| m * c).collect();
            self.add_diagonal(&slope, &mut matrix, side, 0, 1.0);
            self.add_diagonal(&slope, &mut matrix, side, r * side + r, 1.0);
            self.add_diagonal(&goal, &mut matrix, side, r * side, -1.0);
            (0..side).for_each(|j| matrix[j * side + j] += 1.0);
            let step = dense::solve(matrix, residual)
                .ok_or(crate::pareto::ParetoError::Singular("reduced Newton"))?;
            unknowns.iter_mut().zip(&step).for_each(|(x, d)| *x -= d);
        }
        Err(PdeError::NotConverged { what: "reduced Newton", steps: STEPS, residual: best })
    }

    /// Bounds of a stationary point's state against the true state of its control, and of its adjoint against the true adjoint of its state, in the
    /// energy norm relative to their own. Two solves with the stiffness matrix's factors.
    pub fn bounds(&self, point: &Stationary) -> [f64; 2] {
        let e = self.problem.equation();
        let state = state_bound(e, &point.y, &point.u);
        let misfit = self.problem.misfit(&point.weights, &point.y);
        let mut residual = vec![0.0; e.len()];
        e.apply_stiffness(&point.p, &mut residual);
        let slope = e.slope(&point.y, None);
        for i in 0..e.len() {
            residual[i] += slope[i] * point.p[i] - e.mass[i] * misfit[i];
        }
        let adjoint = dual_norm(e, &residual);
        let relative = |bound: f64, v: &[f64]| bound / e.energy(v).sqrt().max(f64::MIN_POSITIVE);
        [relative(state, &point.y), relative(adjoint, &point.p)]
    }
}

/// `sqrt(R^T K^{-1} R)`
fn dual_norm(e: &MaxElliptic, residual: &[f64]) -> f64 {
    dot(residual, &e.solve_stiffness(residual)).max(0.0).sqrt()
}

fn state_bound(e: &MaxElliptic, y: &[f64], u: &[f64]) -> f64 {
    let mut residual = vec![0.0; e.len()];
    e.apply_stiffness(y, &mut residual);
    for i in 0..e.len() {
        residual[i] += e.mass[i] * (e.kappa * y[i].max(0.0) - u[i]);
    }
    dual_norm(e, &residual)
}
