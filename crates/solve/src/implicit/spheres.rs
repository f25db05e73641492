//! Soft spheres in a periodic box, and the minimiser that is usual for them.
//!
//! The energy is `U = sum over pairs (1 - r_ij / s_ij)^2 / 2` for `r_ij < s_ij = (d_i + d_j) / 2`, with diameters `d`. A packed
//! configuration is a minimum of `U`; how it deforms when diameters change is the derivative of that minimum.

use lisse_array::Array;

use crate::linear::vector;

/// A periodic square (or line) with spheres in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Packing {
    /// Side of the box.
    pub side: f64,
    /// Coordinates per particle.
    pub dim: usize,
}

/// A pair in contact: its displacement and distance, the sum of radii.
struct Contact {
    i: usize,
    j: usize,
    unit: [f64; 3],
    r: f64,
    s: f64,
}

impl Packing {
    /// The energy of `positions [n, dim]` with `diameters [n]`, in array operations.
    pub fn energy(&self, positions: &Array, diameters: &Array) -> Array {
        let n = positions.dim(0);
        let delta = positions.unsqueeze(1) - positions.unsqueeze(0);
        // The nearest image; which one it is does not change nearby.
        let images = (delta.stop_gradient() * (1.0 / self.side) + 0.5).floor() * self.side;
        let square = (delta - images).square().sum(&[2]);
        // Diagonal entries would have a root at zero.
        let eye = Array::eye(n, positions.dtype());
        let r = (square + eye * (self.side * self.side)).sqrt();
        let s = (diameters.unsqueeze(1) + diameters.unsqueeze(0)) * 0.5;
        (1.0 - r / s).relu().square().sum_all() * 0.25
    }

    /// Calls `f` for every pair in contact.
    fn contacts(&self, x: &[f64], diameters: &[f64], mut f: impl FnMut(&Contact)) {
        let dim = self.dim;
        for i in 0..diameters.len() {
            for j in 0..i {
                let mut unit = [0.0; 3];
                let mut square = 0.0;
                for (a, u) in unit.iter_mut().enumerate().take(dim) {
                    let d = x[i * dim + a] - x[j * dim + a];
                    *u = d - (d / self.side + 0.5).floor() * self.side;
                    square += *u * *u;
                }
                let s = 0.5 * (diameters[i] + diameters[j]);
                if square < s * s && square > 0.0 {
                    let r = square.sqrt();
                    unit = unit.map(|u| u / r);
                    f(&Contact { i, j, unit, r, s });
                }
            }
        }
    }

    /// Energy and force (minus the gradient) at flat positions.
    pub fn force(&self, x: &[f64], diameters: &[f64], force: &mut [f64]) -> f64 {
        force.fill(0.0);
        let mut energy = 0.0;
        self.contacts(x, diameters, |c| {
            let gap = 1.0 - c.r / c.s;
            energy += 0.5 * gap * gap;
            for a in 0..self.dim {
                let push = gap / c.s * c.unit[a];
                force[c.i * self.dim + a] += push;
                force[c.j * self.dim + a] -= push;
            }
        });
        energy
    }

    /// The derivative of [`force`](Self::force) along a tangent of positions and diameters.
    pub fn force_tangent(
        &self,
        (x, dx): (&[f64], &[f64]),
        (diameters, dd): (&[f64], &[f64]),
        tangent: &mut [f64],
    ) {
        tangent.fill(0.0);
        let dim = self.dim;
        self.contacts(x, diameters, |c| {
            let mut relative = [0.0; 3];
            for (a, r) in relative.iter_mut().enumerate().take(dim) {
                *r = dx[c.i * dim + a] - dx[c.j * dim + a];
            }
            let dr: f64 = (0..dim).map(|a| relative[a] * c.unit[a]).sum();
            let ds = 0.5 * (dd[c.i] + dd[c.j]);
            let size = (1.0 - c.r / c.s) / c.s;
            // d [ 1/s - r/s^2 ] and d unit = (relative - unit dr) / r
            let change = -dr / (c.s * c.s) + ds * (2.0 * c.r / c.s - 1.0) / (c.s * c.s);
            for (a, (unit, relative)) in c.unit.iter().zip(relative).enumerate().take(dim) {
                let turn = (relative - unit * dr) / c.r;
                let push = change * unit + size * turn;
                tangent[c.i * dim + a] += push;
                tangent[c.j * dim + a] -= push;
            }
        });
    }
}

/// FIRE (Bitzek et al. 2006): damped dynamics whose step grows while the energy falls and which stops dead when it rises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fire {
    /// First step.
    pub step: f64,
    /// Largest step.
    pub max_step: f64,
    /// First mixing of velocity and force.
    pub mixing: f64,
    /// Stops when the largest force is below this.
    pub tolerance: f64,
    /// Most iterations.
    pub max_iterations: usize,
}

impl Default for Fire {
    fn default() -> Fire {
        Fire { step: 0.1, max_step: 0.4, mixing: 0.1, tolerance: 1e-12, max_iterations: 200_000 }
    }
}

/// Where FIRE stands, with the tangents of positions and velocities along a change of parameters.
#[derive(Clone, Debug)]
pub struct FireState {
    /// Positions.
    pub x: Vec<f64>,
    /// Their derivative along the change, by differentiating every step.
    pub dx: Vec<f64>,
    v: Vec<f64>,
    dv: Vec<f64>,
    f: Vec<f64>,
    df: Vec<f64>,
    step: f64,
    mixing: f64,
    good: usize,
    /// Iterations made.
    pub iterations: usize,
}

impl FireState {
    /// Largest force component.
    pub fn largest_force(&self) -> f64 {
        self.f.iter().fold(0.0, |m, f| m.max(f.abs()))
    }
}

impl Fire {
    /// A minimum of `packing` from `x`. If `dd` is given, the derivative of every iterate along that change of the diameters is
    /// carried along: exactly what unrolling computes, by forward differentiation and so without memory.
    pub fn minimize(
        &self,
        packing: &Packing,
        x: &[f64],
        diameters: &[f64],
        dd: Option<&[f64]>,
    ) -> FireState {
        let mut state = self.start(packing, x, diameters, dd);
        while state.largest_force() > self.tolerance && state.iterations < self.max_iterations {
            self.advance(packing, diameters, dd, &mut state);
        }
        state
    }

    /// At rest at `x`.
    pub fn start(
        &self,
        packing: &Packing,
        x: &[f64],
        diameters: &[f64],
        dd: Option<&[f64]>,
    ) -> FireState {
        let zero = vec![0.0; x.len()];
        let mut state = FireState {
            x: x.to_vec(),
            dx: zero.clone(),
            v: zero.clone(),
            dv: zero.clone(),
            f: zero.clone(),
            df: zero,
            step: self.step,
            mixing: self.mixing,
            good: 0,
            iterations: 0,
        };
        packing.force(x, diameters, &mut state.f);
        if let Some(dd) = dd {
            packing.force_tangent((x, &state.dx), (diameters, dd), &mut state.df);
        }
        state
    }

    /// One step of velocity Verlet, then mixing and the choice of the next step.
    pub fn advance(
        &self,
        packing: &Packing,
        diameters: &[f64],
        dd: Option<&[f64]>,
        state: &mut FireState,
    ) {
        let half = 0.5 * state.step;
        vector::axpy(half, &state.f, &mut state.v);
        vector::axpy(state.step, &state.v, &mut state.x);
        packing.force(&state.x, diameters, &mut state.f);
        vector::axpy(half, &state.f, &mut state.v);
        if let Some(dd) = dd {
            vector::axpy(half, &state.df, &mut state.dv);
            vector::axpy(state.step, &state.dv, &mut state.dx);
            packing.force_tangent((&state.x, &state.dx), (diameters, dd), &mut state.df);
            vector::axpy(half, &state.df, &mut state.dv);
        }
        mix(state, dd.is_some());
        let power = vector::dot(&state.f, &state.v);
        state.iterations += 1;
        if power > 0.0 {
            state.good += 1;
            if state.good > 5 {
                state.step = (1.1 * state.step).min(self.max_step);
                state.mixing *= 0.99;
            }
        } else if power < 0.0 {
            state.good = 0;
            state.v.fill(0.0);
            state.dv.fill(0.0);
            state.step *= 0.5;
            state.mixing = self.mixing;
        }
    }
}

/// `v += mixing (f |v| / |f| - v)`, and its tangent.
fn mix(state: &mut FireState, tangent: bool) {
    let (nf, nv) = (vector::norm(&state.f), vector::norm(&state.v));
    if nf == 0.0 || nv == 0.0 {
        return;
    }
    let (al, ratio) = (state.mixing, nv / nf);
    if tangent {
        let dnv = vector::dot(&state.v, &state.dv) / nv;
        let dnf = vector::dot(&state.f, &state.df) / nf;
        let dratio = dnv / nf - ratio * dnf / nf;
        for i in 0..state.v.len() {
            let toward = state.df[i] * ratio + state.f[i] * dratio;
            state.dv[i] += al * (toward - state.dv[i]);
        }
    }
    for (v, f) in state.v.iter_mut().zip(&state.f) {
        *v += al * (f * ratio - *v);
    }
}
