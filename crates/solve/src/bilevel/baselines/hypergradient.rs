//! Hypergradients by the implicit function theorem and by unrolling, and descent with them.

use super::second_order::note_curvature;
use super::{Decay, Solver, State};
use crate::bilevel::vector::{axpy, dot, norm};
use crate::bilevel::{Batch, BilevelError, Oracle, Samples, Warning, Wrt};

/// A gradient of `f(x, y*(x))`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypergradient {
    /// The gradient.
    pub gradient: Vec<f64>,
    /// Solution of `H z = df/dy`, or the adjoint after the last unrolled step.
    pub z: Vec<f64>,
    /// Relative residual of the linear system.
    pub residual: f64,
    /// Products with the Hessian.
    pub products: usize,
    /// What the curvatures met say about the lower problem.
    pub warnings: Vec<Warning>,
}

/// Below this ratio of the smallest to the largest curvature met, the lower problem counts as not strongly convex.
const FLAT: f64 = 1e-8;

/// AID-CG: `df/dx - d/dx <dg/dy, z>` with `H z = df/dy` by conjugate gradients from `start`, at most `most` products, to `tolerance`
/// relative to `|df/dy|`. Exact at `y = y*(x)`. Stops at directions of no or negative curvature, with a warning.
pub fn implicit_hypergradient(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    y: &[f64],
    start: &[f64],
    tolerance: f64,
    most: usize,
) -> Hypergradient {
    let batch = Batch::all();
    let upper = oracle.upper(x, y, &batch, Wrt::Both);
    let mut z = start.to_vec();
    let mut warnings = Vec::new();
    let mut residual = upper.y.clone();
    let mut products = 0;
    if z.iter().any(|v| *v != 0.0) {
        axpy(&mut residual, -1.0, &oracle.hessian_product(x, y, &z, &batch));
        products += 1;
    }
    let scale = norm(&upper.y).max(f64::MIN_POSITIVE);
    let mut p = residual.clone();
    let mut rr = dot(&residual, &residual);
    let (mut low, mut high) = (f64::INFINITY, 0.0f64);
    while rr.sqrt() > tolerance * scale && products < most {
        let hp = oracle.hessian_product(x, y, &p, &batch);
        products += 1;
        note_curvature(&p, &hp, &mut warnings);
        let bent = dot(&p, &hp);
        let curvature = bent / dot(&p, &p);
        (low, high) = (low.min(curvature), high.max(curvature.abs()));
        if curvature <= FLAT * high {
            if curvature >= -1e-12 * high {
                let ratio = (low / high).max(0.0);
                Warning::FlatCurvature { ratio: if ratio.is_finite() { ratio } else { 0.0 } }
                    .note(&mut warnings);
            }
            break;
        }
        let length = rr / bent;
        axpy(&mut z, length, &p);
        axpy(&mut residual, -length, &hp);
        let next = dot(&residual, &residual);
        let share = next / rr;
        for (p, r) in p.iter_mut().zip(&residual) {
            *p = r + share * *p;
        }
        rr = next;
    }
    let mut gradient = upper.x;
    axpy(&mut gradient, -1.0, &oracle.cross_product(x, y, &z, &batch));
    Hypergradient { gradient, z, residual: rr.sqrt() / scale, products, warnings }
}

/// ITD: the exact derivative of `f(x, y_T)` after `steps` gradient steps of size `gamma` from `y`, by reverse recursion over the stored
/// iterates, and `y_T`. No tape: `steps` products with the Hessian and as many mixed ones.
pub fn unrolled_hypergradient(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    y: &[f64],
    gamma: f64,
    steps: usize,
) -> (Hypergradient, Vec<f64>) {
    let batch = Batch::all();
    let mut path = vec![y.to_vec()];
    for t in 0..steps {
        let mut next = path[t].clone();
        axpy(&mut next, -gamma, &oracle.lower_y(x, &path[t], &batch));
        path.push(next);
    }
    let upper = oracle.upper(x, &path[steps], &batch, Wrt::Both);
    let (mut gradient, mut adjoint) = (upper.x, upper.y);
    let mut warnings = Vec::new();
    for y in path[..steps].iter().rev() {
        let cross = oracle.cross_product(x, y, &adjoint, &batch);
        axpy(&mut gradient, -gamma, &cross);
        let product = oracle.hessian_product(x, y, &adjoint, &batch);
        note_curvature(&adjoint, &product, &mut warnings);
        axpy(&mut adjoint, -gamma, &product);
    }
    let residual = f64::NAN;
    let last = path.pop().unwrap_or_default();
    (Hypergradient { gradient, z: adjoint, residual, products: steps, warnings }, last)
}

/// Descent with [`implicit_hypergradient`]: `inner` lower gradient steps from the last `y`, the linear system from the last `z`.
/// Deterministic; samples are not used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Implicit {
    /// Step size of `y`.
    pub gamma: f64,
    /// Step size of `x`.
    pub eta: Decay,
    /// Lower steps.
    pub inner: usize,
    /// Relative residual of the linear system.
    pub tolerance: f64,
    /// Most products for it.
    pub products: usize,
}

impl Solver for Implicit {
    fn name(&self) -> &'static str {
        "AID-CG"
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        _: &Samples,
    ) -> Result<(), BilevelError> {
        for _ in 0..self.inner {
            let gradient = oracle.lower_y(&state.x, &state.y, &Batch::all());
            axpy(&mut state.y, -self.gamma, &gradient);
        }
        let (x, y, z) = (&state.x, &state.y, &state.z);
        let result = implicit_hypergradient(oracle, x, y, z, self.tolerance, self.products);
        for warning in result.warnings {
            warning.note(&mut state.warnings);
        }
        (state.direction, state.z) = (result.gradient, result.z);
        state.descend(self.eta.at(state.step), oracle)
    }
}

/// Descent with [`unrolled_hypergradient`], the lower steps from the last `y`. Deterministic; samples are not used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unrolled {
    /// Step size of `y`.
    pub gamma: f64,
    /// Step size of `x`.
    pub eta: Decay,
    /// Lower steps.
    pub inner: usize,
}

impl Solver for Unrolled {
    fn name(&self) -> &'static str {
        "ITD"
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        _: &Samples,
    ) -> Result<(), BilevelError> {
        let (x, y) = (&state.x, &state.y);
        let (result, y) = unrolled_hypergradient(oracle, x, y, self.gamma, self.inner);
        for warning in result.warnings {
            warning.note(&mut state.warnings);
        }
        (state.direction, state.z, state.y) = (result.gradient, result.z, y);
        state.descend(self.eta.at(state.step), oracle)
    }
}
