//! Limited-memory BFGS.

use lisse_array::Array;

use super::line_search::{projected_armijo, strong_wolfe};
use super::{Iterate, Method, Objective, dot};

/// L-BFGS (Liu and Nocedal, 1989): quasi-Newton directions from the last few steps, strong Wolfe line search.
///
/// Within bounds the direction is taken in the free coordinates and the step along the projection arc (two-metric projection,
/// Bertsekas 1982).
#[derive(Clone, Debug, PartialEq)]
pub struct Lbfgs {
    /// Steps remembered.
    pub memory: usize,
    /// Curvature constant of the Wolfe condition.
    pub curvature: f64,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Lbfgs { memory: 10, curvature: 0.9 }
    }
}

impl Lbfgs {
    /// `-H g` by the two-loop recursion, in the coordinates where `free` is one.
    fn direction(pairs: &[(Array, Array)], gradient: &Array, free: Option<&Array>) -> Array {
        let masked = |v: &Array| free.map_or_else(|| v.clone(), |m| v * m);
        let mut q = masked(gradient);
        let mut steps = Vec::with_capacity(pairs.len());
        for (s, y) in pairs.iter().rev() {
            let (s, y) = (masked(s), masked(y));
            let curvature = dot(&s, &y);
            if curvature <= 0.0 {
                continue;
            }
            let alpha = dot(&s, &q) / curvature;
            q = q.add_scaled(-alpha, &y);
            steps.push((s, y, curvature, alpha));
        }
        if let Some((_, y, curvature, _)) = steps.first() {
            q = q * (curvature / dot(y, y));
        }
        for (s, y, curvature, alpha) in steps.iter().rev() {
            q = q.add_scaled(alpha - dot(y, &q) / curvature, s);
        }
        -q
    }

    fn search(
        &self,
        objective: &mut Objective<'_>,
        it: &Iterate,
        pairs: &[(Array, Array)],
    ) -> Option<(Array, f64, Array)> {
        let free = objective.bounded().then(|| objective.free(&it.x, &it.gradient));
        let direction = Lbfgs::direction(pairs, &it.gradient, free.as_ref());
        let first =
            if pairs.is_empty() { 1.0 / it.gradient.abs().sum_all().item().max(1.0) } else { 1.0 };
        let Some(free) = free else {
            return strong_wolfe(objective, it, &direction, first, self.curvature)
                .map(|t| (t.x, t.value, t.gradient));
        };
        let direction = objective.two_metric(&direction, &free, &it.gradient);
        projected_armijo(objective, it, &direction, first)
    }
}

impl Method for Lbfgs {
    fn step(&self, objective: &mut Objective<'_>, iterate: &mut Iterate) -> bool {
        // If the remembered curvature misleads, forget it and try the gradient itself.
        let found = self.search(objective, iterate, &iterate.pairs).or_else(|| {
            if iterate.pairs.is_empty() { None } else { self.search(objective, iterate, &[]) }
        });
        let Some((x, value, gradient)) = found else { return false };
        let (s, y) = (&x - &iterate.x, &gradient - &iterate.gradient);
        if dot(&s, &y) > 1e-10 * dot(&s, &s).sqrt() * dot(&y, &y).sqrt() {
            if iterate.pairs.len() == self.memory {
                iterate.pairs.remove(0);
            }
            iterate.pairs.push((s, y));
        }
        (iterate.x, iterate.value, iterate.gradient) = (x, value, gradient);
        true
    }
}
