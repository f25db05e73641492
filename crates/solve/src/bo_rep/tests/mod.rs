//! The method against numbers computed elsewhere, its relatives, and its laws.

mod cosh;
mod laws;
mod sentences;

use crate::bilevel::baselines::{Solver, State};
use crate::bilevel::{Batch, Bilevel, Gradient, LowerProducts, Oracle, Samples, Wrt};

/// The test problem in closed form: as [`cosh`](super::problems::cosh), a hundred times faster. `f` may be scaled.
pub(crate) struct Plane {
    pub(crate) scale: f64,
}

impl Plane {
    pub(crate) const START: [f64; 2] = [10.0, -8.0];

    /// `A x`
    pub(crate) fn solution(x: &[f64]) -> Vec<f64> {
        vec![x[0] + 0.5 * x[1], x[1]]
    }

    /// `A' v`
    fn back(v: [f64; 2]) -> Vec<f64> {
        vec![v[0], 0.5 * v[0] + v[1]]
    }

    /// `|grad Phi(x)|` of the unscaled problem.
    pub(crate) fn slope(x: &[f64]) -> f64 {
        let s = Plane::solution(x);
        let g = Plane::back([s[0].sinh(), s[1].sinh()]);
        g[0].hypot(g[1])
    }
}

impl Bilevel for Plane {
    fn dims(&self) -> (usize, usize) {
        (2, 2)
    }
    fn upper(&self, _: &[f64], y: &[f64], _: &Batch, _: Wrt) -> Gradient {
        let value = self.scale * (y[0].cosh() + y[1].cosh());
        let slope = vec![self.scale * y[0].sinh(), self.scale * y[1].sinh()];
        Gradient { value, x: vec![0.0; 2], y: slope }
    }
    fn lower(&self, x: &[f64], y: &[f64], _: &Batch, _: Wrt) -> Gradient {
        let s = Plane::solution(x);
        let r = [y[0] - s[0], 2.0 * (y[1] - s[1])];
        let value = 0.5 * (r[0] * r[0] + r[1] * r[1] / 2.0);
        let back = Plane::back([-r[0], -r[1]]);
        Gradient { value, x: back, y: r.to_vec() }
    }
    fn hessian_product(&self, _: &[f64], _: &[f64], v: &[f64], _: &Batch) -> Vec<f64> {
        vec![v[0], 2.0 * v[1]]
    }
    fn cross_product(&self, _: &[f64], _: &[f64], v: &[f64], _: &Batch) -> Vec<f64> {
        Plane::back([-v[0], -2.0 * v[1]])
    }
    fn lower_products(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> LowerProducts {
        let Gradient { value, y: gradient, .. } = self.lower(x, y, batch, Wrt::Y);
        let hessian = self.hessian_product(x, y, v, batch);
        LowerProducts { value, gradient, hessian, cross: self.cross_product(x, y, v, batch) }
    }
}

/// `steps` steps, unless `stop` says so after one.
pub(crate) fn solve(
    method: &dyn Solver,
    problem: &dyn Bilevel,
    (x, y): (&[f64], &[f64]),
    samples: &Samples,
    steps: u64,
    mut stop: impl FnMut(&State) -> bool,
) -> State {
    let mut oracle = Oracle::new(problem);
    let mut state = method.start(x, y, &mut oracle).unwrap();
    for _ in 0..steps {
        method.step(&mut state, &mut oracle, samples).unwrap();
        if stop(&state) {
            break;
        }
    }
    state
}

/// `|a - b| <= tolerance`, entry by entry.
#[track_caller]
pub(crate) fn near(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= tolerance, "entry {i}: {x} and {y}, in {a:?} and {b:?}");
    }
}
