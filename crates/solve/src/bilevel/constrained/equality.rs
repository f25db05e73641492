//! E-AiPOD: alternating projected descent for affine equality constraints.

use lisse_array::random::Law;
use lisse_array::{Array, Stream};

use crate::bilevel::baselines::{Solver, State};
use crate::bilevel::vector::{axpy, dot};
use crate::bilevel::{Batch, BilevelError, Oracle, Samples, Warning, Wrt};

/// E-AiPOD (Xiao, Shen, Yin, Chen 2023), for `A y + H x = b` and a lower problem strongly convex on the null space of `A`: `inner` lower
/// steps with a projection only now and then,
///
/// ```text
/// z = y - a (dg/dy - r);   with probability p:  y = P(z - (a / p) r), r += (p / a) (y - z);   else y = z
/// ```
///
/// then `outer` steps of `x` along `df/dx - g_xy w + H^T A^+^T (g_yy w - df/dy)` with `w = V (V^T g_yy V)^+ V^T df/dy`, `V` the null space
/// of `A`: the derivative through the optimality conditions, whose last term moves `y` with the constraint.
/// Memory: `r`, `A^+` row by row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EAipod {
    /// Step size of `y`; 1e-3.
    pub a: f64,
    /// Step size of `x`; 2e-2.
    pub b: f64,
    /// Probability of a projection.
    pub probability: f64,
    /// Lower steps; 5.
    pub inner: usize,
    /// Steps of `x`; 2.
    pub outer: usize,
    /// Source of the coin.
    pub seed: u64,
}

impl Default for EAipod {
    fn default() -> EAipod {
        EAipod { a: 1e-3, b: 2e-2, probability: 0.5, inner: 5, outer: 2, seed: 0 }
    }
}

/// `A^+ u` and `A^+^T u` from `A^+` row by row.
fn times(pinv: &[f64], u: &[f64]) -> Vec<f64> {
    pinv.chunks_exact(u.len()).map(|row| dot(row, u)).collect()
}

fn times_transposed(pinv: &[f64], u: &[f64], m: usize) -> Vec<f64> {
    let mut out = vec![0.0; m];
    for (row, u) in pinv.chunks_exact(m).zip(u) {
        axpy(&mut out, *u, row);
    }
    out
}

impl EAipod {
    /// `V V^T u`
    fn onto_null_space(oracle: &Oracle<'_>, state: &State, u: &mut [f64]) {
        // A u, from the constraints' affinity: c(x, y + u) - c(x, y).
        let problem = oracle.problem();
        let mut shifted = state.y.clone();
        axpy(&mut shifted, 1.0, u);
        let mut image = problem.constraint(&state.x, &shifted);
        axpy(&mut image, -1.0, &problem.constraint(&state.x, &state.y));
        axpy(u, -1.0, &times(&state.memory[1], &image));
    }

    fn direction(state: &mut State, oracle: &mut Oracle<'_>) -> Vec<f64> {
        let all = Batch::all();
        let upper = oracle.upper(&state.x, &state.y, &all, Wrt::Both);
        let mut residual = upper.y.clone();
        Self::onto_null_space(oracle, state, &mut residual);
        let (mut w, mut p) = (vec![0.0; residual.len()], residual.clone());
        let mut rr = dot(&residual, &residual);
        let (first, mut high) = (rr.sqrt(), 0.0f64);
        for _ in 0..2 * w.len() {
            if rr.sqrt() <= 1e-10 * first.max(1e-300) {
                break;
            }
            let mut hp = oracle.hessian_product(&state.x, &state.y, &p, &all);
            Self::onto_null_space(oracle, state, &mut hp);
            let curvature = dot(&p, &hp) / dot(&p, &p);
            high = high.max(curvature.abs());
            if curvature <= 1e-10 * high {
                let ratio = (curvature / high).max(0.0);
                Warning::FlatCurvature { ratio: if ratio.is_finite() { ratio } else { 0.0 } }
                    .note(&mut state.warnings);
                break;
            }
            let length = rr / dot(&p, &hp);
            axpy(&mut w, length, &p);
            axpy(&mut residual, -length, &hp);
            let next = dot(&residual, &residual);
            let share = next / rr;
            for (p, r) in p.iter_mut().zip(&residual) {
                *p = r + share * *p;
            }
            rr = next;
        }
        let m = oracle.problem().constraints();
        let mut bent = oracle.hessian_product(&state.x, &state.y, &w, &all);
        axpy(&mut bent, -1.0, &upper.y);
        let weights = times_transposed(&state.memory[1], &bent, m);
        let mut direction = upper.x;
        axpy(&mut direction, 1.0, &oracle.constraint_products(&state.x, &state.y, &weights).0);
        axpy(&mut direction, -1.0, &oracle.cross_product(&state.x, &state.y, &w, &all));
        direction
    }
}

impl Solver for EAipod {
    fn name(&self) -> &'static str {
        "E-AiPOD"
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        oracle.check(x, y)?;
        let problem = oracle.problem();
        let m = problem.constraints();
        if m == 0 || (0..m).any(|i| !problem.is_equality(i)) || !problem.set_y().is_whole() {
            let reason = "it needs equality constraints only; use LV-HBA".to_owned();
            return Err(BilevelError::Unsupported { method: self.name(), reason });
        }
        if !(self.probability > 0.0 && self.probability <= 1.0) {
            let (what, expected) = ("the probability", "a number above 0 and at most 1");
            return Err(BilevelError::Number { what, value: self.probability, expected });
        }
        let mut rows = Vec::new();
        let mut unit = vec![0.0; m];
        for i in 0..m {
            unit[i] = 1.0;
            rows.extend(oracle.constraint_products(x, y, &unit).1);
            unit[i] = 0.0;
        }
        let failed = |e: lisse_array::linalg::LinalgError| BilevelError::Unsupported {
            method: "E-AiPOD",
            reason: e.to_string(),
        };
        let pinv = Array::from_vec(rows, &[m, y.len()]).pinv(Some(1e-12)).map_err(failed)?;
        let mut state = State::new(x.to_vec(), y.to_vec());
        state.memory = vec![vec![0.0; y.len()], pinv.to_vec()];
        Ok(state)
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        _: &Samples,
    ) -> Result<(), BilevelError> {
        let (a, p) = (self.a, self.probability);
        for t in 0..self.inner as u64 {
            let mut z = state.y.clone();
            axpy(&mut z, -a, &oracle.lower_y(&state.x, &state.y, &Batch::all()));
            axpy(&mut z, a, &state.memory[0]);
            let coin = Stream::new(self.seed).child("projection").at(state.step);
            if coin.value_at(Law::Uniform { lo: 0.0, hi: 1.0 }, t) < p {
                let mut y = z.clone();
                axpy(&mut y, -a / p, &state.memory[0]);
                let excess = oracle.problem().constraint(&state.x, &y);
                axpy(&mut y, -1.0, &times(&state.memory[1], &excess));
                oracle.counts.projections += 1;
                for ((r, y), z) in state.memory[0].iter_mut().zip(&y).zip(&z) {
                    *r += (p / a) * (y - z);
                }
                state.y = y;
            } else {
                state.y = z;
            }
        }
        for _ in 0..self.outer {
            let direction = Self::direction(state, oracle);
            axpy(&mut state.x, -self.b, &direction);
            oracle.project_x(&mut state.x);
            state.direction = direction;
        }
        state.step += 1;
        state.check_finite()
    }
}
