//! Objectives with the equation as their constraint, and the Newton method for their weighted sums.

use std::sync::Arc;

use lisse_array::Array;
use lisse_array::sparse::{Csr, Pattern};
use serde::{Deserialize, Serialize};

use super::error::{require, same_length};
use super::{MaxElliptic, PdeError};
use crate::linear::vector::norm;
use crate::linear::{LinearSolver, Method, Operator, Preconditioner, Structure};
use crate::pareto::Objectives;
use crate::pareto::dense::{along, dot};

/// One objective: `1/2 |y - target|^2 + cost/2 |u|^2`, either part optional.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// The desired state at the free nodes.
    pub target: Option<Vec<f64>>,
    /// Price of the control.
    pub control_cost: f64,
}

/// The penalty `1/(2 nu) |max(0, y - upper + nu multiplier)|^2` for the bound `y <= upper`, in every objective. With a
/// multiplier it is the augmented Lagrangian.
#[derive(Clone, Debug, PartialEq)]
pub struct StateBound {
    /// The bound at the free nodes.
    pub upper: Vec<f64>,
    /// Small for a bound that is kept well.
    pub nu: f64,
    /// The multiplier, zero for the plain penalty.
    pub multiplier: Vec<f64>,
}

/// How the coupled linear systems are solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Systems {
    /// Sparse elimination of state and adjoint together.
    #[default]
    Direct,
    /// MINRES on the symmetric form, preconditioned by one factored matrix of the size of the equation: a number of iterations that
    /// depends neither on the mesh nor on the weights. For large meshes.
    Minres,
}

/// Several objectives of the control `u` under [`MaxElliptic`].
#[derive(Clone)]
pub struct Tracking {
    equation: MaxElliptic,
    goals: Vec<Goal>,
    bound: Option<StateBound>,
    systems: Systems,
    coupled: Arc<Pattern>,
}

/// A control that is stationary for a weighted sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stationary {
    /// Weights of the objectives, of sum one.
    pub weights: Vec<f64>,
    /// State.
    pub y: Vec<f64>,
    /// Adjoint state.
    pub p: Vec<f64>,
    /// Control.
    pub u: Vec<f64>,
    /// Values of the objectives.
    pub values: Vec<f64>,
    /// Linear systems solved.
    pub steps: usize,
    /// Relative residual of the optimality system.
    pub residual: f64,
}

impl Tracking {
    /// These objectives.
    ///
    /// # Errors
    /// [`PdeError`] for no objectives, targets of another length than [`MaxElliptic::len`], or negative costs.
    pub fn new(equation: MaxElliptic, goals: Vec<Goal>) -> Result<Tracking, PdeError> {
        require(!goals.is_empty(), "goals", 0.0, "at least one")?;
        for goal in &goals {
            require(goal.control_cost >= 0.0, "control_cost", goal.control_cost, "at least 0")?;
            let length = goal.target.as_ref().map_or(equation.len(), Vec::len);
            same_length("a target", length, equation.len())?;
        }
        let coupled = coupled_pattern(&equation);
        Ok(Tracking { equation, goals, bound: None, systems: Systems::Direct, coupled })
    }

    /// With a bound on the state.
    ///
    /// # Errors
    /// [`PdeError`] for vectors of the wrong length or `nu` not above 0.
    pub fn bounded(mut self, bound: StateBound) -> Result<Tracking, PdeError> {
        same_length("the bound", bound.upper.len(), self.equation.len())?;
        same_length("the multiplier", bound.multiplier.len(), self.equation.len())?;
        require(bound.nu > 0.0, "nu", bound.nu, "above 0")?;
        self.bound = Some(bound);
        Ok(self)
    }

    /// With another way to solve the linear systems.
    pub fn systems(mut self, systems: Systems) -> Tracking {
        self.systems = systems;
        self
    }

    /// The equation.
    pub fn equation(&self) -> &MaxElliptic {
        &self.equation
    }

    /// The objectives.
    pub fn goals(&self) -> &[Goal] {
        &self.goals
    }

    /// Values of all objectives at a state and a control.
    pub fn values_at(&self, y: &[f64], u: &[f64]) -> Vec<f64> {
        let equation = &self.equation;
        let penalty = self.bound.as_ref().map_or(0.0, |bound| {
            let over = excess(bound, y);
            equation.inner(&over, &over) / (2.0 * bound.nu)
        });
        let square = equation.inner(u, u);
        let value = |goal: &Goal| {
            let misfit = goal.target.as_ref().map_or(0.0, |target| {
                let away: Vec<f64> = y.iter().zip(target).map(|(y, t)| y - t).collect();
                equation.inner(&away, &away)
            });
            0.5 * misfit + 0.5 * goal.control_cost * square + penalty
        };
        self.goals.iter().map(value).collect()
    }

    /// `sum a_i sigma_i`
    pub(super) fn cost(&self, weights: &[f64]) -> f64 {
        weights.iter().zip(&self.goals).map(|(a, goal)| a * goal.control_cost).sum()
    }

    /// `sum a_i dj_i/dy` over the mass, at the free nodes.
    pub(super) fn misfit(&self, weights: &[f64], y: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; y.len()];
        for (a, goal) in weights.iter().zip(&self.goals) {
            if let Some(target) = &goal.target {
                sum.iter_mut().zip(y.iter().zip(target)).for_each(|(s, (y, t))| *s += a * (y - t));
            }
        }
        if let Some(bound) = &self.bound {
            let total: f64 = weights.iter().sum();
            let over = excess(bound, y);
            sum.iter_mut().zip(over).for_each(|(s, o)| *s += total * o / bound.nu);
        }
        sum
    }

    /// The derivative of [`misfit`](Self::misfit) in `y`, diagonal.
    pub(super) fn curvature(&self, weights: &[f64], y: &[f64]) -> Vec<f64> {
        let pairs = weights.iter().zip(&self.goals);
        let tracking: f64 = pairs.filter(|(_, g)| g.target.is_some()).map(|(a, _)| a).sum();
        let mut all = vec![tracking; y.len()];
        if let Some(bound) = &self.bound {
            let total: f64 = weights.iter().sum();
            for (c, over) in all.iter_mut().zip(excess(bound, y)) {
                *c += if over > 0.0 { total / bound.nu } else { 0.0 };
            }
        }
        all
    }

    pub(super) fn check_weights(&self, weights: &[f64]) -> Result<(), PdeError> {
        same_length("the weights", weights.len(), self.goals.len())?;
        let bad = weights.iter().find(|a| !(a.is_finite() && **a >= 0.0));
        require(
            bad.is_none(),
            "weight",
            bad.copied().unwrap_or(0.0),
            "a finite number, at least 0",
        )?;
        let cost = self.cost(weights);
        require(
            cost > 0.0,
            "weighted control cost",
            cost,
            "above 0; weigh an objective with a control cost",
        )
    }

    /// The control that is stationary for `sum a_i J_i`, by Newton steps on state and adjoint together, in which the indicator of
    /// the max term counts as constant. From `start`, say the solution for neighbouring weights, few are needed.
    ///
    /// At a solution the state may stay at the kink at some nodes, where the indicator takes a value within `[0, 1]`. Nodes whose
    /// state keeps changing sign are therefore pinned to 0, with their equation of the adjoint as what determines the indicator, and
    /// released if its value falls outside. A step without such changes that does not reduce the residual is halved; if
    /// that does not help, gradient steps on the reduced objective come in between.
    ///
    /// # Errors
    /// [`PdeError`] for weights that do not fit or whose control cost is 0, or if Newton's method does not arrive.
    pub fn weighted(
        &self,
        weights: &[f64],
        start: Option<&Stationary>,
    ) -> Result<Stationary, PdeError> {
        const STEPS: usize = 100;
        self.check_weights(weights)?;
        let n = self.equation.len();
        let zeros = || vec![0.0; n];
        let (y, p) = start.map_or_else(|| (zeros(), zeros()), |s| (s.y.clone(), s.p.clone()));
        same_length("the start", y.len(), n)?;
        let mut at = Iterate { y, p, pinned: vec![false; n], flips: vec![0; n] };
        let mut now = self.residual(weights, &at);
        let (mut steps, mut rounded) = (0, false);
        while steps < STEPS {
            if now.relative <= 1e-12 || rounded {
                if self.release(weights, &mut at) {
                    now = self.residual(weights, &at);
                    rounded = false;
                    steps += 1;
                    continue;
                }
                return Ok(self.stationary(weights, at, steps, now.relative));
            }
            let step = self.newton_step(weights, &at, &now)?;
            steps += 1;
            match self.search(weights, &at, &now, &step, steps) {
                Some((next, residual)) => (at, now) = (next, residual),
                // Rounding allows no more.
                None if now.relative <= 1e-9 => rounded = true,
                None => {
                    let cost = self.cost(weights);
                    let u: Vec<f64> = at.p.iter().map(|p| -p / cost).collect();
                    (at.y, at.p) = self.gradient_steps(weights, u)?;
                    now = self.residual(weights, &at);
                }
            }
        }
        Err(PdeError::NotConverged {
            what: "Newton for the optimality system",
            steps,
            residual: now.relative,
        })
    }

    fn stationary(&self, weights: &[f64], at: Iterate, steps: usize, residual: f64) -> Stationary {
        let cost = self.cost(weights);
        let u: Vec<f64> = at.p.iter().map(|p| -p / cost).collect();
        let values = self.values_at(&at.y, &u);
        Stationary { weights: weights.to_vec(), y: at.y, p: at.p, u, values, steps, residual }
    }

    /// The whole step, or a part of it that reduces the residual.
    fn search(
        &self,
        weights: &[f64],
        at: &Iterate,
        now: &Residual,
        (dy, dp): &(Vec<f64>, Vec<f64>),
        steps: usize,
    ) -> Option<(Iterate, Residual)> {
        let mut share = 1.0;
        while share > 1e-3 {
            let mut next = Iterate {
                y: along(&at.y, share, dy),
                p: along(&at.p, share, dp),
                pinned: at.pinned.clone(),
                flips: at.flips.clone(),
            };
            // Beyond a kink the residual jumps: there it need not fall, for a while.
            let free = next.count_flips(&at.y) && share == 1.0 && steps < 50;
            let residual = self.residual(weights, &next);
            if residual.relative <= 1e-12 || residual.merit < now.merit || free {
                return Some((next, residual));
            }
            share *= 0.5;
        }
        None
    }

    /// Lets go of pinned nodes whose indicator is not within `[0, 1]`; whether there were any.
    fn release(&self, weights: &[f64], at: &mut Iterate) -> bool {
        if !at.pinned.contains(&true) {
            return false;
        }
        let indicator = self.indicator(weights, &at.y, &at.p);
        let largest = at.y.iter().fold(0.0f64, |m, y| m.max(y.abs()));
        let mut any = false;
        for i in 0..at.y.len() {
            let inside = (-1e-7..=1.0 + 1e-7).contains(&indicator[i]);
            if at.pinned[i] && !inside {
                (at.pinned[i], at.flips[i], any) = (false, 0, true);
                // The sign decides the indicator from here on.
                at.y[i] = if indicator[i] > 1.0 { 1e-14 * largest } else { 0.0 };
            }
        }
        any
    }

    /// The value of the indicator at each node for which the adjoint equation holds.
    fn indicator(&self, weights: &[f64], y: &[f64], p: &[f64]) -> Vec<f64> {
        let e = &self.equation;
        let misfit = self.misfit(weights, y);
        let mut image = vec![0.0; y.len()];
        e.apply_stiffness(p, &mut image);
        let largest = p.iter().fold(0.0f64, |m, p| m.max(p.abs()));
        let at = |i: usize| {
            let slope = e.kappa * e.mass[i] * p[i];
            let any = p[i].abs() <= 1e-13 * largest || slope == 0.0;
            if any { 0.0 } else { (e.mass[i] * misfit[i] - image[i]) / slope }
        };
        (0..y.len()).map(at).collect()
    }

    /// `R1 = K y + kappa m max(0, y) + m p / S`, `R2 = K p + kappa m D p - m misfit(y)`, and `m y` for `R2` at pinned nodes.
    fn residual(&self, weights: &[f64], at: &Iterate) -> Residual {
        let (e, y, p) = (&self.equation, &at.y, &at.p);
        let cost = self.cost(weights);
        let misfit = self.misfit(weights, y);
        let (mut r1, mut r2) = (vec![0.0; y.len()], vec![0.0; y.len()]);
        e.apply_stiffness(y, &mut r1);
        e.apply_stiffness(p, &mut r2);
        let (mut size1, mut size2) = (0.0f64, 0.0f64);
        for i in 0..y.len() {
            let (m, control) = (e.mass[i], e.mass[i] * p[i] / cost);
            let goal = m * misfit[i];
            size1 += r1[i] * r1[i] + control * control;
            size2 += r2[i] * r2[i] + goal * goal;
            r1[i] += e.kappa * m * y[i].max(0.0) + control;
            r2[i] += if y[i] > 0.0 { e.kappa * m * p[i] } else { 0.0 } - goal;
            if at.pinned[i] {
                r2[i] = m * y[i];
            }
        }
        let part = |r: &[f64], size: f64| norm(r) / size.sqrt().max(f64::MIN_POSITIVE);
        let relative = part(&r1, size1).max(part(&r2, size2));
        // In one unit: the state equation's residual is a force, the adjoint's one over the price of a force.
        let merit = norm(&r1) * cost.sqrt() + norm(&r2);
        Residual { r1, r2, relative, merit }
    }

    fn newton_step(
        &self,
        weights: &[f64],
        at: &Iterate,
        residual: &Residual,
    ) -> Result<(Vec<f64>, Vec<f64>), PdeError> {
        let n = at.y.len();
        let slope = self.equation.slope(&at.y, None);
        let curvature = self.curvature(weights, &at.y);
        let cost = self.cost(weights);
        // Pinned nodes break the symmetry that MINRES lives on.
        let both = if self.systems == Systems::Minres && !at.pinned.contains(&true) {
            self.minres_step(&slope, &curvature, cost, residual)?
        } else {
            let right: Vec<f64> = residual.r1.iter().chain(&residual.r2).map(|r| -r).collect();
            let matrix = self.coupled_matrix(&slope, &curvature, cost, &at.pinned);
            matrix.lu()?.solve(&Array::from_vec(right, &[2 * n])).to_vec()
        };
        Ok((both[..n].to_vec(), both[n..].to_vec()))
    }

    /// `[T, m / S; -m curvature, T]` with `T = K + kappa m D`; the lower rows of pinned nodes are `[m, 0]`.
    fn coupled_matrix(&self, slope: &[f64], curvature: &[f64], cost: f64, pinned: &[bool]) -> Csr {
        let e = &self.equation;
        let (pattern, n) = (e.stiffness.pattern(), slope.len());
        let block = e.shifted(slope).values().to_f64_vec();
        let mut values = Vec::with_capacity(self.coupled.len());
        for i in 0..n {
            values.extend_from_slice(&block[pattern.indptr()[i]..pattern.indptr()[i + 1]]);
            values.push(e.mass[i] / cost);
        }
        for i in 0..n {
            let row = &block[pattern.indptr()[i]..pattern.indptr()[i + 1]];
            if pinned[i] {
                values.push(e.mass[i]);
                values.resize(values.len() + row.len(), 0.0);
            } else {
                values.push(-e.mass[i] * curvature[i]);
                values.extend_from_slice(row);
            }
        }
        let length = values.len();
        Csr::with_pattern(self.coupled.clone(), &Array::from_vec(values, &[length]))
    }

    /// With `dp = -g dq`, `g = sqrt(S)`: the symmetric `[m w, g T; g T, -m]`, preconditioned by `F = sqrt(w) m + g T` as `sqrt(w) F` and `F /
    /// sqrt(w)` (Bai, Benzi, Chen and Wang, Preconditioned MHSS iteration methods, 2013).
    fn minres_step(
        &self,
        slope: &[f64],
        curvature: &[f64],
        cost: f64,
        at: &Residual,
    ) -> Result<Vec<f64>, PdeError> {
        let e = &self.equation;
        let (n, g) = (slope.len(), cost.sqrt());
        // F / g = T + sqrt(w) m / g has the places of T.
        let middle: Vec<f64> =
            (0..n).map(|i| slope[i] + e.mass[i] * curvature[i].max(1e-3).sqrt() / g).collect();
        let factor = e.shifted(&middle).cholesky()?;
        let w = (curvature.iter().sum::<f64>() / n as f64).max(1e-3).sqrt();
        let precondition = move |r: &[f64], z: &mut [f64]| {
            let both = r.chunks_exact(n).zip(z.chunks_exact_mut(n)).zip([1.0 / (g * w), w / g]);
            for ((r, z), scale) in both {
                let solved = factor.solve(&(Array::from_slice(r, &[n]) * scale));
                z.copy_from_slice(&solved.to_vec::<f64>());
            }
        };
        let operator = Operator::slices(2 * n, |x: &[f64], out: &mut [f64]| {
            let ((dy, dq), (top, low)) = (x.split_at(n), out.split_at_mut(n));
            e.apply_stiffness(dq, top);
            e.apply_stiffness(dy, low);
            for i in 0..n {
                top[i] = g * (top[i] + slope[i] * dq[i]) + e.mass[i] * curvature[i] * dy[i];
                low[i] = g * (low[i] + slope[i] * dy[i]) - e.mass[i] * dq[i];
            }
        })
        .structure(Structure::Symmetric);
        let right: Vec<f64> = at.r2.iter().copied().chain(at.r1.iter().map(|r| -g * r)).collect();
        let solver = LinearSolver {
            preconditioner: Some(Preconditioner::Function(Arc::new(precondition))),
            tolerance: 1e-12,
            max_iterations: Some(500),
            ..LinearSolver::new(Method::Minres)
        };
        let mut x = solver.solve(&operator, &right)?.x;
        x[n..].iter_mut().for_each(|q| *q *= -g);
        Ok(x)
    }

    /// Some steps along the gradient of the reduced objective, each with a state and an adjoint.
    fn gradient_steps(
        &self,
        weights: &[f64],
        mut u: Vec<f64>,
    ) -> Result<(Vec<f64>, Vec<f64>), PdeError> {
        let (e, cost) = (&self.equation, self.cost(weights));
        let total = |y: &[f64], u: &[f64]| dot(weights, &self.values_at(y, u));
        let mut y = e.state(&u, None)?.y;
        let mut t = 1.0 / cost;
        for _ in 0..20 {
            let p = self.adjoint(weights, &y)?;
            let g: Vec<f64> = p.iter().zip(&u).map(|(p, u)| p + cost * u).collect();
            let (square, value) = (e.inner(&g, &g), total(&y, &u));
            for _ in 0..40 {
                let trial = along(&u, -t, &g);
                let state = e.state(&trial, Some(&y))?;
                if total(&state.y, &trial) <= value - 1e-4 * t * square {
                    (u, y) = (trial, state.y);
                    t *= 2.0;
                    break;
                }
                t *= 0.5;
            }
        }
        let p = u.iter().map(|u| -cost * u).collect();
        Ok((y, p))
    }

    /// The adjoint state of `sum a_i J_i` at a state: `(K + kappa m D) p = m misfit(y)`; `D = 0` where `y = 0`.
    ///
    /// # Errors
    /// [`PdeError::Linalg`] for a state that is not finite.
    pub fn adjoint(&self, weights: &[f64], y: &[f64]) -> Result<Vec<f64>, PdeError> {
        let e = &self.equation;
        let misfit = self.misfit(weights, y);
        let right: Vec<f64> = e.mass.iter().zip(&misfit).map(|(m, r)| m * r).collect();
        e.solve(&e.slope(y, None), &right)
    }

    /// Length of a subgradient of `sum a_i J_i` at `u`, from a state and an adjoint computed anew. At nodes whose state is 0 up to
    /// rounding, the indicator is the one within `[0, 1]` that suits `u` best.
    ///
    /// # Errors
    /// [`PdeError`] as of [`MaxElliptic::state`].
    pub fn criticality(&self, weights: &[f64], u: &[f64]) -> Result<f64, PdeError> {
        self.check_weights(weights)?;
        let (e, cost) = (&self.equation, self.cost(weights));
        let y = e.state(u, None)?.y;
        let wanted: Vec<f64> = u.iter().map(|u| -cost * u).collect();
        let indicator = self.indicator(weights, &y, &wanted);
        let largest = y.iter().fold(0.0f64, |m, y| m.max(y.abs()));
        let mut slope = e.slope(&y, None);
        for i in (0..y.len()).filter(|&i| y[i].abs() <= 1e-8 * largest) {
            slope[i] = e.kappa * e.mass[i] * indicator[i].clamp(0.0, 1.0);
        }
        let misfit = self.misfit(weights, &y);
        let right: Vec<f64> = e.mass.iter().zip(&misfit).map(|(m, r)| m * r).collect();
        let g = along(&e.solve(&slope, &right)?, -1.0, &wanted);
        Ok(e.inner(&g, &g).sqrt())
    }

    /// Solves for falling `nu`, each from the one before. With `multiplier`, `nu` stays and the multiplier is moved instead (augmented
    /// Lagrangian), once for each entry. Returns the solution and the problem with its last bound.
    ///
    /// # Errors
    /// [`PdeError`] if there is no bound, and as [`weighted`](Self::weighted).
    pub fn with_bound_path(
        &self,
        weights: &[f64],
        nus: &[f64],
        multiplier: bool,
    ) -> Result<(Stationary, Tracking), PdeError> {
        let mut problem = self.clone();
        let mut last: Option<Stationary> = None;
        for &nu in nus {
            require(nu > 0.0, "nu", nu, "above 0")?;
            let Some(bound) = problem.bound.as_mut() else { break };
            if multiplier && let Some(last) = &last {
                bound.multiplier = excess(bound, &last.y).iter().map(|o| o / bound.nu).collect();
            }
            bound.nu = nu;
            last = Some(problem.weighted(weights, last.as_ref())?);
        }
        let last = last.ok_or(PdeError::Option {
            option: "nus",
            value: 0.0,
            expected: "one value or more, for a problem with a bound",
        })?;
        Ok((last, problem))
    }
}

impl Objectives for Tracking {
    fn dim(&self) -> usize {
        self.equation.len()
    }

    fn count(&self) -> usize {
        self.goals.len()
    }

    /// NaN where the equation cannot be solved.
    fn values(&self, u: &[f64]) -> Vec<f64> {
        match self.equation.state(u, None) {
            Ok(state) => self.values_at(&state.y, u),
            Err(_) => vec![f64::NAN; self.goals.len()],
        }
    }

    fn subgradients(&self, u: &[f64]) -> Vec<Vec<f64>> {
        let one = |i: usize, y: &[f64]| {
            let mut weights = vec![0.0; self.goals.len()];
            weights[i] = 1.0;
            let p = self.adjoint(&weights, y).ok()?;
            let cost = self.goals[i].control_cost;
            Some(p.iter().zip(u).map(|(p, u)| p + cost * u).collect())
        };
        let state = self.equation.state(u, None).ok();
        let all = (0..self.goals.len()).map(|i| state.as_ref().and_then(|s| one(i, &s.y)));
        all.map(|g| g.unwrap_or_else(|| vec![f64::NAN; u.len()])).collect()
    }

    fn inner(&self, a: &[f64], b: &[f64]) -> f64 {
        self.equation.inner(a, b)
    }
}

/// Where Newton's method stands.
struct Iterate {
    y: Vec<f64>,
    p: Vec<f64>,
    /// Nodes whose state is held at the kink.
    pinned: Vec<bool>,
    /// How often the state of a node changed its sign.
    flips: Vec<u32>,
}

impl Iterate {
    /// Books changes of sign since `before`, and pins nodes at the third one; whether there were any.
    fn count_flips(&mut self, before: &[f64]) -> bool {
        let mut any = false;
        for i in 0..self.y.len() {
            if !self.pinned[i] && (self.y[i] > 0.0) != (before[i] > 0.0) {
                any = true;
                self.flips[i] += 1;
                self.pinned[i] = self.flips[i] >= 3;
            }
        }
        any
    }
}

struct Residual {
    r1: Vec<f64>,
    r2: Vec<f64>,
    relative: f64,
    merit: f64,
}

fn excess(bound: &StateBound, y: &[f64]) -> Vec<f64> {
    let shifted = bound.upper.iter().zip(&bound.multiplier).map(|(b, l)| b - bound.nu * l);
    y.iter().zip(shifted).map(|(y, b)| (y - b).max(0.0)).collect()
}

/// Places of `[T, diagonal; diagonal, T]`.
fn coupled_pattern(equation: &MaxElliptic) -> Arc<Pattern> {
    let (pattern, n) = (equation.stiffness.pattern(), equation.len());
    let row = |i: usize| &pattern.indices()[pattern.indptr()[i]..pattern.indptr()[i + 1]];
    let (mut indptr, mut indices) = (vec![0], Vec::new());
    for i in 0..n {
        indices.extend_from_slice(row(i));
        indices.push(n + i);
        indptr.push(indices.len());
    }
    for i in 0..n {
        indices.push(i);
        indices.extend(row(i).iter().map(|j| n + j));
        indptr.push(indices.len());
    }
    Arc::new(Pattern::new(2 * n, 2 * n, indptr, indices).expect("rows are ascending"))
}
