//! Newton's method in a trust region, its steps by conjugate gradients.

use lisse_array::Array;

use super::{Iterate, Method, Objective, dot};

/// Newton-CG in a trust region (Steihaug, 1983): the quadratic model with exact Hessian-vector products is minimized by conjugate
/// gradients until the residual is small, negative curvature shows, or the radius is reached. No Hessian is formed.
///
/// Within bounds the step is taken in the free coordinates and projected.
#[derive(Clone, Debug, PartialEq)]
pub struct NewtonCg {
    /// First trust radius.
    pub radius: f64,
    /// Largest trust radius.
    pub max_radius: f64,
    /// Most conjugate-gradient steps per iteration; `None` for twice the dimension.
    pub max_inner: Option<usize>,
}

impl Default for NewtonCg {
    fn default() -> Self {
        NewtonCg { radius: 1.0, max_radius: 1e10, max_inner: None }
    }
}

impl NewtonCg {
    /// An approximate minimizer of `g's + s'Hs/2` within `|s| <= radius`, over coordinates where `free` is one.
    fn inner(&self, objective: &mut Objective<'_>, it: &Iterate, free: &Array) -> Array {
        let gradient = &it.gradient * free;
        let mut s = gradient.zeros_like();
        let mut r = gradient.clone();
        let mut d = -&r;
        let mut rr = dot(&r, &r);
        let tolerance = rr.sqrt() * rr.sqrt().sqrt().min(0.5);
        for _ in 0..self.max_inner.unwrap_or(2 * it.x.len()) {
            let hd = objective.hvp(&it.x, &d) * free;
            let curvature = dot(&d, &hd);
            if curvature <= 0.0 {
                return to_boundary(&s, &d, it.radius);
            }
            let alpha = rr / curvature;
            let next = s.add_scaled(alpha, &d);
            if dot(&next, &next).sqrt() >= it.radius {
                return to_boundary(&s, &d, it.radius);
            }
            s = next;
            r = r.add_scaled(alpha, &hd);
            let next_rr = dot(&r, &r);
            if next_rr.sqrt() <= tolerance {
                return s;
            }
            d = (d * (next_rr / rr)).add_scaled(-1.0, &r);
            rr = next_rr;
        }
        s
    }
}

/// `s + t d` with `t >= 0` and norm `radius`.
fn to_boundary(s: &Array, d: &Array, radius: f64) -> Array {
    let (dd, sd, ss) = (dot(d, d), dot(s, d), dot(s, s));
    let t = (-sd + (sd * sd + dd * (radius * radius - ss)).max(0.0).sqrt()) / dd;
    s.add_scaled(t, d)
}

impl Method for NewtonCg {
    fn start(&self, objective: &mut Objective<'_>, x: &Array) -> Iterate {
        let x = objective.project(x);
        let (value, gradient) = objective.value_and_grad(&x);
        Iterate { x, value, gradient, pairs: Vec::new(), radius: self.radius, iteration: 0 }
    }

    fn step(&self, objective: &mut Objective<'_>, iterate: &mut Iterate) -> bool {
        // Shrinks the region until a step is accepted.
        for _ in 0..60 {
            let free = objective.free(&iterate.x, &iterate.gradient);
            let step = self.inner(objective, iterate, &free);
            let x = objective.project(&(&iterate.x + step));
            let s = &x - &iterate.x;
            let length = dot(&s, &s).sqrt();
            if length == 0.0 {
                return false;
            }
            let predicted =
                -dot(&iterate.gradient, &s) - 0.5 * dot(&s, &objective.hvp(&iterate.x, &s));
            let value = objective.value(&x);
            // Near the optimum both decreases drown in rounding: then trust the model.
            let noise = 10.0 * f64::EPSILON * iterate.value.abs().max(1.0);
            let ratio = (iterate.value - value + noise) / (predicted + noise);
            // Cut off at a bound, a step may promise an increase and keep the promise.
            if ratio < 0.25 || predicted < -noise || !value.is_finite() {
                iterate.radius = 0.25 * length;
            } else if ratio > 0.75 && length > 0.99 * iterate.radius {
                iterate.radius = (2.0 * iterate.radius).min(self.max_radius);
            }
            if ratio > 0.1 && value.is_finite() && predicted > -noise {
                let (value, gradient) = objective.value_and_grad(&x);
                (iterate.x, iterate.value, iterate.gradient) = (x, value, gradient);
                return true;
            }
            if iterate.radius < 1e-15 * dot(&iterate.x, &iterate.x).sqrt().max(1e-300) {
                return false;
            }
        }
        false
    }
}
