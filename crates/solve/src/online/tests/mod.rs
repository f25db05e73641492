//! Tests of the module, by part.

mod bounds;
mod comparators;
mod geometry;
mod learners;
mod protocol;
mod recipe;
mod streams;

use super::{
    Domain, Environment, Hint, Learner, LearnerConfig, Ledger, Loss, Player, Quadratic, Setting,
    play,
};

/// `f_t(x) = ||x - c_t||^2 / 2` with `c_t` on a circle of radius 0.9, 0.3 radians a round, in the unit ball.
pub(super) struct Circle;

pub(super) fn circle_setting(rounds: u64) -> Setting {
    Setting {
        smoothness: Some(1.0),
        strong_convexity: Some(1.0),
        exp_concavity: Some(0.25),
        horizon: rounds,
        ..Setting::new(Domain::Ball { radius: 1.0 }, 2, 2.0)
    }
}

impl Environment for Circle {
    fn setting(&self) -> Setting {
        circle_setting(5)
    }
    fn round(&self, t: u64) -> Box<dyn Loss + '_> {
        let (sin, cos) = (0.3 * (t - 1) as f64).sin_cos();
        Box::new(Quadratic(vec![0.9 * cos, 0.9 * sin]))
    }
    fn best_fixed(&self, _: u64) -> Result<super::Fixed, super::OnlineError> {
        unreachable!("not asked for")
    }
    fn best_at(&self, t: u64) -> Result<Vec<f64>, super::OnlineError> {
        let (sin, cos) = (0.3 * (t - 1) as f64).sin_cos();
        Ok(vec![0.9 * cos, 0.9 * sin])
    }
    fn difficulty(&self, _: u64) -> (f64, f64) {
        (0.0, 0.0)
    }
}

/// A learner by the text that a recipe has for it.
pub(super) fn config(text: &str) -> LearnerConfig {
    serde_json::from_str(text).unwrap()
}

/// Points and account of a run on the circle.
pub(super) fn on_circle(text: &str, hint: Hint, rounds: u64) -> (Vec<Vec<f64>>, Ledger) {
    run_on_circle(config(text).build(&circle_setting(rounds)).unwrap(), hint, rounds)
}

pub(super) fn run_on_circle(learner: Learner, hint: Hint, rounds: u64) -> (Vec<Vec<f64>>, Ledger) {
    let mut player = Player::new(learner, hint).unwrap();
    let mut ledger = Ledger::new(2, &[]);
    let mut points = Vec::new();
    for _ in 0..rounds {
        play(&mut player, &Circle, &mut ledger, 1, None).unwrap();
        points.push(player.point().to_vec());
    }
    (points, ledger)
}

/// Absolute distance of numbers that are stated to ten digits.
pub(super) fn near(found: f64, stated: f64) {
    assert!(
        (found - stated).abs() <= 6e-8f64.min(6e-11 * (1.0 + 10.0 * stated.abs())),
        "{found} is not {stated}"
    );
}
