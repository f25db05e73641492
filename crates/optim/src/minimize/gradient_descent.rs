//! Gradient descent with a line search.

use super::line_search::projected_armijo;
use super::{Iterate, Method, Objective, dot};

/// Steepest descent along the projection arc; the first trial step is that of Barzilai and Borwein (1988), then halved until it
/// decreases the value enough.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GradientDescent {}

impl Method for GradientDescent {
    fn step(&self, objective: &mut Objective<'_>, iterate: &mut Iterate) -> bool {
        let direction = -&iterate.gradient;
        let first = match iterate.pairs.last() {
            Some((s, y)) if dot(s, y) > 0.0 => dot(s, s) / dot(s, y),
            _ => 1.0 / iterate.gradient.abs().max_all().item().max(1.0),
        };
        let Some((x, value, gradient)) = projected_armijo(objective, iterate, &direction, first)
        else {
            return false;
        };
        iterate.pairs = vec![(&x - &iterate.x, &gradient - &iterate.gradient)];
        (iterate.x, iterate.value, iterate.gradient) = (x, value, gradient);
        true
    }
}
