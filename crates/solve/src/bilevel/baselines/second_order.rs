//! Single-loop methods with products of second derivatives.

use super::{Decay, Solver, State};
use crate::bilevel::vector::{axpy, dot, mix};
use crate::bilevel::{BilevelError, Oracle, Purpose, Samples, Warning};

/// SOBA (Dagreou, Ablin, Vaiter, Moreau 2022): from one point,
///
/// ```text
/// y -= gamma dg/dy      z -= nu (H z - df/dy)      x -= eta (df/dx - d/dx <dg/dy, z>)
/// ```
///
/// With `momentum` the direction of `x` is averaged (MA-SOBA, Chen, Xiao, Balasubramanian 2024): `m = momentum m + (1 - momentum) h`.
/// If the samples are shared, one pass over a batch gives all three lower products.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Soba {
    /// Step size of `y`.
    pub gamma: Decay,
    /// Step size of `z`.
    pub nu: Decay,
    /// Step size of `x`.
    pub eta: Decay,
    /// Share of the last direction that is kept, in `[0, 1)`.
    pub momentum: f64,
}

/// Notes the curvature along `v` if it is negative.
pub(crate) fn note_curvature(v: &[f64], product: &[f64], warnings: &mut Vec<Warning>) {
    let (bent, length) = (dot(v, product), dot(v, v));
    if bent < -1e-12 * length {
        Warning::NegativeCurvature { curvature: bent / length }.note(warnings);
    }
}

impl Solver for Soba {
    fn name(&self) -> &'static str {
        if self.momentum > 0.0 { "MA-SOBA" } else { "SOBA" }
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> Result<(), BilevelError> {
        let k = state.step;
        let (x, y, z) = (&state.x, &state.y, &state.z);
        let (gradient, hessian, cross, upper_x, upper_y);
        if samples.shared {
            let batch = samples.draw(k, Purpose::LowerGradient);
            let lower = oracle.lower_products(x, y, z, &batch);
            (gradient, hessian, cross) = (lower.gradient, lower.hessian, lower.cross);
            let batch = samples.draw(k, Purpose::UpperY);
            let upper = oracle.upper(x, y, &batch, crate::bilevel::Wrt::Both);
            (upper_x, upper_y) = (upper.x, upper.y);
        } else {
            gradient = oracle.lower_y(x, y, &samples.draw(k, Purpose::LowerGradient));
            hessian = oracle.hessian_product(x, y, z, &samples.draw(k, Purpose::Hessian));
            upper_y = oracle.upper_y(x, y, &samples.draw(k, Purpose::UpperY));
            upper_x = oracle.upper_x(x, y, &samples.draw(k, Purpose::UpperX));
            cross = oracle.cross_product(x, y, z, &samples.draw(k, Purpose::Cross));
        }
        note_curvature(z, &hessian, &mut state.warnings);
        let mut direction = upper_x;
        axpy(&mut direction, -1.0, &cross);
        axpy(&mut state.y, -self.gamma.at(k), &gradient);
        let nu = self.nu.at(k);
        axpy(&mut state.z, -nu, &hessian);
        axpy(&mut state.z, nu, &upper_y);
        if self.momentum > 0.0 {
            mix(&mut state.direction, 1.0 - self.momentum, &direction);
        } else {
            state.direction = direction;
        }
        state.descend(self.eta.at(k), oracle)
    }
}

/// StocBiO (Ji, Yang, Liang 2021): `inner` lower steps, then the linear system by `terms` terms of the Neumann series with step
/// `nu`, then `x`. Every product has a batch of its own. `z` holds the sum of the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StocBio {
    /// Step size of `y`.
    pub gamma: Decay,
    /// Step size in the series, below 2 / (largest eigenvalue).
    pub nu: f64,
    /// Step size of `x`.
    pub eta: Decay,
    /// Lower steps.
    pub inner: usize,
    /// Terms of the series.
    pub terms: usize,
}

impl Solver for StocBio {
    fn name(&self) -> &'static str {
        "StocBiO"
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> Result<(), BilevelError> {
        let k = state.step;
        let gamma = self.gamma.at(k);
        for t in 0..self.inner as u64 {
            let batch = samples.lower.at(k * self.inner as u64 + t, 10);
            let gradient = oracle.lower_y(&state.x, &state.y, &batch);
            axpy(&mut state.y, -gamma, &gradient);
        }
        let (x, y) = (&state.x, &state.y);
        let mut power = oracle.upper_y(x, y, &samples.draw(k, Purpose::UpperY));
        let mut sum = vec![0.0; power.len()];
        for j in 0..self.terms as u64 {
            axpy(&mut sum, self.nu, &power);
            let batch = samples.lower.at(k * self.terms as u64 + j, 11);
            let product = oracle.hessian_product(x, y, &power, &batch);
            note_curvature(&power, &product, &mut state.warnings);
            axpy(&mut power, -self.nu, &product);
        }
        let mut direction = oracle.upper_x(x, y, &samples.draw(k, Purpose::UpperX));
        let cross = oracle.cross_product(x, y, &sum, &samples.draw(k, Purpose::Cross));
        axpy(&mut direction, -1.0, &cross);
        (state.direction, state.z) = (direction, sum);
        state.descend(self.eta.at(k), oracle)
    }
}

/// TTSA (Hong, Wai, Wang, Yang 2023): one lower step, then a hypergradient as in [`StocBio`], on two time scales: `eta` must fall faster
/// than `gamma`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ttsa {
    /// Step size of `y`, `(k + 1)^-2/5` in theory.
    pub gamma: Decay,
    /// Step size in the series.
    pub nu: f64,
    /// Step size of `x`, `(k + 1)^-3/5` in theory.
    pub eta: Decay,
    /// Terms of the series.
    pub terms: usize,
}

impl Ttsa {
    fn inner(&self) -> StocBio {
        StocBio { gamma: self.gamma, nu: self.nu, eta: self.eta, inner: 1, terms: self.terms }
    }
}

impl Solver for Ttsa {
    fn name(&self) -> &'static str {
        "TTSA"
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        self.inner().start(x, y, oracle)
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> Result<(), BilevelError> {
        self.inner().step(state, oracle, samples)
    }
}
