//! The saddle problem behind the proximal Lagrangian value function.

use lisse_array::Stream;
use lisse_array::random::Law;

use crate::bilevel::vector::{axpy, dot, norm, scale};
use crate::bilevel::{Batch, Oracle, Wrt};

/// Where the saddle problem is posed: `(x, y, z)` and both proximal parameters.
#[derive(Clone, Copy)]
pub(super) struct Centre<'a> {
    pub x: &'a [f64],
    pub y: &'a [f64],
    pub z: &'a [f64],
    pub gamma: (f64, f64),
}

/// `d_t = df/dy(x, t) + lam^T dc/dy(x, t) + (t - y) / gamma1` and `d_lam = -c(x, t) + (lam - z) / gamma2`.
pub(super) fn directions(
    oracle: &mut Oracle<'_>,
    at: Centre<'_>,
    t: &[f64],
    lam: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let mut d_t = oracle.lower(at.x, t, &Batch::all(), Wrt::Y).y;
    if !lam.is_empty() {
        axpy(&mut d_t, 1.0, &oracle.constraint_products(at.x, t, lam).1);
    }
    for ((d, t), y) in d_t.iter_mut().zip(t).zip(at.y) {
        *d += (t - y) / at.gamma.0;
    }
    let mut d_lam = oracle.problem().constraint(at.x, t);
    for ((d, l), z) in d_lam.iter_mut().zip(lam).zip(at.z) {
        *d = -*d + (l - z) / at.gamma.1;
    }
    (d_t, d_lam)
}

/// Keeps multipliers in `[0, bound]`, or `[-bound, bound]` for equalities; says whether the bound was met.
pub(super) fn clip(oracle: &Oracle<'_>, lam: &mut [f64], bound: f64) -> bool {
    let mut met = false;
    for (i, l) in lam.iter_mut().enumerate() {
        let low = if oracle.problem().is_equality(i) { -bound } else { 0.0 };
        met |= *l > bound || (*l < low && low < 0.0);
        *l = l.max(low).min(bound);
    }
    met
}

/// One projected step from the old `(t, lam)`.
pub(super) fn step(
    oracle: &mut Oracle<'_>,
    at: Centre<'_>,
    (t, lam): (&mut [f64], &mut [f64]),
    (d_t, d_lam): (&[f64], &[f64]),
    (eta, bound): (f64, f64),
) -> bool {
    let _ = at;
    axpy(t, -eta, d_t);
    oracle.project_y(t);
    axpy(lam, -eta, d_lam);
    clip(oracle, lam, bound)
}

/// A step size for the saddle steps: `rho / (2 L^2)`, with `rho = min(1 / gamma1, 1 / gamma2)` the strong monotonicity (convex lower
/// problem) and `L` the Lipschitz constant of the directions, from 20 power iterations on their derivative by differences of
/// gradients. Returns `(step, L)`.
pub fn saddle_step_size(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    y: &[f64],
    gamma: (f64, f64),
) -> (f64, f64) {
    let l = oracle.problem().constraints();
    let zero = vec![0.0; l];
    let at = Centre { x, y, z: &zero, gamma };
    let (base_t, base_lam) = directions(oracle, at, y, &zero);
    let width = y.len();
    let h = 1e-5 * (1.0 + norm(y));
    let mut image = |v: &[f64]| {
        let mut t = y.to_vec();
        axpy(&mut t, h, &v[..width]);
        let lam: Vec<f64> = v[width..].iter().map(|l| h * l).collect();
        let (mut d, d_lam) = directions(oracle, at, &t, &lam);
        axpy(&mut d, -1.0, &base_t);
        d.extend(d_lam.iter().zip(&base_lam).map(|(a, b)| a - b));
        scale(&mut d, 1.0 / h);
        d
    };
    // The derivative is [[H, A^T], [-A, D]] with symmetric H and D, so its transpose is itself with the sign of multipliers turned.
    let turn = |v: &mut [f64]| scale(&mut v[width..], -1.0);
    let mut v = vec![0.0; width + l];
    Stream::new(0).child("power iteration").fill(Law::Normal, 0, &mut v);
    let mut lipschitz = 0.0;
    for _ in 0..20 {
        let length = norm(&v).max(f64::MIN_POSITIVE);
        scale(&mut v, 1.0 / length);
        let mut w = image(&v);
        lipschitz = norm(&w);
        turn(&mut w);
        v = image(&w);
        turn(&mut v);
        if dot(&v, &v) == 0.0 {
            break;
        }
    }
    let rho = (1.0 / gamma.0).min(1.0 / gamma.1);
    (0.5 * rho / (lipschitz * lipschitz), lipschitz)
}
