//! BiC-GAFFA: without a projection onto the coupled constraints.

use super::saddle::clip;
use crate::bilevel::baselines::{Solver, State};
use crate::bilevel::vector::axpy;
use crate::bilevel::{Batch, BilevelError, Oracle, Samples, Wrt};

/// The doubly regularised gap function in place of the constraints:
///
/// ```text
/// t = P_Y(t - eta (f_y(x, t) + z^T c_y(x, t) + (t - y) / gamma1)),   lam = max(0, z + gamma2 c(x, y))
/// d_x = F_x / c + f_x(x, y) + lam^T c_x(x, y) - f_x(x, t) - z^T c_x(x, t)
/// d_y = F_y / c + f_y(x, y) + lam^T c_y(x, y) - (y - t) / gamma1,   d_z = (lam - z) / gamma2 - c(x, t)
/// ```
///
/// then `x`, `y`, `z` step by `alpha`, `alpha`, `beta` and are projected onto `X`, `Y`, `[0, bound]`; `c = min(first (k + 1)^power, most)`.
/// Memory: `t`. The constraints hold only in the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaffa {
    /// Step size of `x` and `y`.
    pub alpha: f64,
    /// Step size of `z`.
    pub beta: f64,
    /// Step size of `t`.
    pub eta: f64,
    /// Proximal parameters.
    pub gamma: (f64, f64),
    /// First penalty parameter.
    pub first: f64,
    /// Its growth.
    pub power: f64,
    /// Its bound.
    pub most: f64,
    /// Bound of `z`.
    pub bound: f64,
}

impl Default for Gaffa {
    fn default() -> Gaffa {
        Gaffa {
            alpha: 0.001,
            beta: 0.001,
            eta: 0.01,
            gamma: (10.0, 1.0),
            first: 1.0,
            power: 0.3,
            most: 10.0,
            bound: 1e3,
        }
    }
}

impl Solver for Gaffa {
    fn name(&self) -> &'static str {
        "BiC-GAFFA"
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        oracle.check(x, y)?;
        let mut state = State::new(x.to_vec(), y.to_vec());
        oracle.project_x(&mut state.x);
        oracle.project_y(&mut state.y);
        state.z = vec![0.0; oracle.problem().constraints()];
        state.memory = vec![state.y.clone()];
        Ok(state)
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        _: &Samples,
    ) -> Result<(), BilevelError> {
        let all = Batch::all();
        let (x, y, z) = (&state.x, &state.y, &state.z);
        let mut t = state.memory[0].clone();
        let mut d_t = oracle.lower_y(x, &t, &all);
        axpy(&mut d_t, 1.0, &oracle.constraint_products(x, &t, z).1);
        for ((d, t), y) in d_t.iter_mut().zip(&t).zip(y) {
            *d += (t - y) / self.gamma.0;
        }
        axpy(&mut t, -self.eta, &d_t);
        oracle.project_y(&mut t);
        let c_here = oracle.problem().constraint(x, y);
        let mut lam: Vec<f64> = z.iter().zip(&c_here).map(|(z, c)| z + self.gamma.1 * c).collect();
        clip(oracle, &mut lam, f64::INFINITY);
        let c = (self.first * ((state.step + 1) as f64).powf(self.power)).min(self.most);
        let upper = oracle.upper(x, y, &all, Wrt::Both);
        let here = oracle.lower(x, y, &all, Wrt::Both);
        let there = oracle.lower_x(x, &t, &all);
        let (lam_x, lam_y) = oracle.constraint_products(x, y, &lam);
        let (z_x, _) = oracle.constraint_products(x, &t, z);
        let (mut d_x, mut d_y) = (here.x, here.y);
        axpy(&mut d_x, 1.0 / c, &upper.x);
        axpy(&mut d_x, 1.0, &lam_x);
        axpy(&mut d_x, -1.0, &there);
        axpy(&mut d_x, -1.0, &z_x);
        axpy(&mut d_y, 1.0 / c, &upper.y);
        axpy(&mut d_y, 1.0, &lam_y);
        for ((d, y), t) in d_y.iter_mut().zip(y).zip(&t) {
            *d -= (y - t) / self.gamma.0;
        }
        let c_there = oracle.problem().constraint(x, &t);
        for ((z, l), c) in state.z.iter_mut().zip(&lam).zip(&c_there) {
            *z -= self.beta * ((l - *z) / self.gamma.1 - c);
        }
        clip(oracle, &mut state.z, self.bound);
        axpy(&mut state.x, -self.alpha, &d_x);
        axpy(&mut state.y, -self.alpha, &d_y);
        oracle.project_x(&mut state.x);
        oracle.project_y(&mut state.y);
        (state.memory, state.direction) = (vec![t], d_x);
        state.step += 1;
        state.check_finite()
    }
}
