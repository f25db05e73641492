//! The search for `gamma`: accept, halve or double.

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use super::solver::epsilon;
use crate::config::{OutOfRange, fail};

/// How `gamma` is found. A step with damping `lambda = |g|_* / gamma` is no longer than `gamma`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The first `gamma`, a length; taken within the bounds below.
    pub gamma: f64,
    /// Whether to search; else `gamma` stays and every finite step is taken.
    pub adaptive: bool,
    /// Factor after an accepted step.
    pub growth: f64,
    /// Factor after a rejected step.
    pub shrink: f64,
    /// Least `gamma`, on the way down as on the way up.
    pub min_gamma: f64,
    /// Largest `gamma`, the longest step.
    pub max_gamma: f64,
    /// Most trials per iteration.
    pub max_trials: usize,
}

impl Default for Search {
    fn default() -> Self {
        Search {
            gamma: 1.0,
            adaptive: true,
            growth: 2.0,
            shrink: 0.5,
            min_gamma: 1e-9,
            max_gamma: f64::INFINITY,
            max_trials: 41,
        }
    }
}

/// A point with value and gradient.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub x: Array,
    pub value: f64,
    pub gradient: Array,
    /// `|g|_*`
    pub norm: f64,
}

/// How a search ended.
pub(super) enum Found {
    /// A step was accepted.
    Step(Box<Accepted>),
    /// No trial was accepted: stay.
    Exhausted {
        /// The last `gamma`.
        gamma: f64,
        /// Trials made.
        trials: usize,
    },
}

pub(super) struct Accepted {
    pub point: Point,
    /// For the next search.
    pub gamma: f64,
    /// Damping of the step.
    pub lambda: f64,
    pub trials: usize,
}

impl Search {
    /// Checks every number; keys are those of the fields.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        if !positive(self.min_gamma) {
            return fail("min_gamma", "a number above 0");
        }
        if self.max_gamma.is_nan() || self.max_gamma < self.min_gamma {
            return fail("max_gamma", "a number of at least `min_gamma`");
        }
        if !positive(self.gamma) {
            return fail("gamma", "a number above 0");
        }
        if !(self.growth >= 1.0 && self.growth.is_finite()) {
            return fail("growth", "a number of at least 1");
        }
        if !(self.shrink > 0.0 && self.shrink < 1.0) {
            return fail("shrink", "a number between 0 and 1");
        }
        if self.max_trials == 0 {
            return fail("max_trials", "at least 1");
        }
        Ok(())
    }

    /// From `at`, with steps by `solve` (gradient, damping) and points by `evaluate` (step).
    pub(super) fn run(
        &self,
        at: &Point,
        gamma: f64,
        mut solve: impl FnMut(&Array, f64) -> Option<Array>,
        mut evaluate: impl FnMut(&Array, f64) -> Point,
    ) -> Found {
        let mut gamma = gamma.clamp(self.min_gamma, self.max_gamma);
        for trial in 1..=self.max_trials {
            let lambda = at.norm / gamma;
            // A matrix that is not positive definite is a rejection like any other.
            let next = solve(&at.gradient, lambda).map(|step| evaluate(&step, lambda));
            let accepted = next
                .filter(|next| next.value.is_finite() && next.norm.is_finite())
                .filter(|next| !self.adaptive || enough(at, next, lambda));
            if let Some(point) = accepted {
                let grown = if self.adaptive { gamma * self.growth } else { gamma };
                let gamma = grown.clamp(self.min_gamma, self.max_gamma);
                return Found::Step(Box::new(Accepted { point, gamma, lambda, trials: trial }));
            }
            // The next trial would be the same.
            if !self.adaptive || gamma == self.min_gamma || trial == self.max_trials {
                return Found::Exhausted { gamma, trials: trial };
            }
            gamma = (gamma * self.shrink).max(self.min_gamma);
        }
        Found::Exhausted { gamma, trials: self.max_trials }
    }
}

/// `f - f+ >= |g+|_*^2 / (8 lambda)`; where the values differ by rounding alone, whether the gradient did not grow.
fn enough(at: &Point, next: &Point, lambda: f64) -> bool {
    let decrease = at.value - next.value;
    let rounding = 16.0 * epsilon(at.x.dtype()) * at.value.abs();
    if decrease.abs() < rounding {
        return next.norm <= at.norm;
    }
    decrease >= next.norm * next.norm / (8.0 * lambda)
}

#[cfg(test)]
mod tests {
    use lisse_array::DType;

    use super::*;

    fn point(value: f64, gradient: f64) -> Point {
        Point {
            x: Array::zeros(&[1], DType::F64),
            value,
            gradient: Array::full(&[1], gradient, DType::F64),
            norm: gradient.abs(),
        }
    }

    #[test]
    fn rejected_searches_stay_and_never_pass_the_least_gamma() {
        let at = point(1.0, 1.0);
        let search = Search { min_gamma: 1e-3, ..Search::default() };
        let mut seen = Vec::new();
        // Every trial raises the value.
        let found = search.run(
            &at,
            1.0,
            |g, lambda| Some(g * (-1.0 / lambda)),
            |_, lambda| {
                seen.push(1.0 / lambda);
                point(2.0, 1.0)
            },
        );
        assert!(matches!(found, Found::Exhausted { gamma: 1e-3, trials: 11 }));
        assert!(seen.iter().all(|&gamma| gamma >= 1e-3 * (1.0 - 1e-12)));
    }

    #[test]
    fn failed_solves_and_points_that_are_not_finite_are_rejections() {
        let at = point(1.0, 1.0);
        let mut solves = 0;
        let found = Search::default().run(
            &at,
            1.0,
            |g, lambda| {
                solves += 1;
                (solves > 1).then(|| g * (-1.0 / lambda))
            },
            |step, _| point(if step.item() < -0.3 { f64::NAN } else { 0.5 }, 0.5),
        );
        let Found::Step(step) = found else { panic!("not accepted") };
        // Trial 1 has no factorization, trial 2 (gamma 1/2) is NaN, trial 3 (gamma 1/4) is accepted and doubles it.
        assert_eq!((step.trials, step.gamma), (3, 0.5));
    }

    #[test]
    fn differences_of_rounding_are_judged_by_the_gradient() {
        let at = point(1e6, 1e-3);
        assert!(enough(&at, &point(1e6 + 1e-9, 1e-4), 1.0));
        assert!(!enough(&at, &point(1e6 + 1e-9, 1e-2), 1.0));
        assert!(!enough(&at, &point(1e6 + 1.0, 1e-4), 1.0));
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let key = |search: Search| search.validate().unwrap_err().key;
        let good = Search::default();
        assert!(good.validate().is_ok());
        assert_eq!(key(Search { gamma: 0.0, ..good }), "gamma");
        assert_eq!(key(Search { gamma: f64::NAN, ..good }), "gamma");
        assert_eq!(key(Search { growth: 0.5, ..good }), "growth");
        assert_eq!(key(Search { shrink: 1.0, ..good }), "shrink");
        assert_eq!(key(Search { min_gamma: -1.0, ..good }), "min_gamma");
        assert_eq!(key(Search { max_gamma: 0.0, ..good }), "max_gamma");
        assert_eq!(key(Search { max_trials: 0, ..good }), "max_trials");
    }
}
