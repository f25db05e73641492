//! Online convex optimization with hints: optimistic mirror descent and what it is compared with.
//!
//! In round `t` a learner plays `x_t` from a convex set, then sees the loss `f_t` and pays `f_t(x_t)`. The losses may be drawn, drift, or be
//! chosen against the learner; it never knows which. Its regret against `u` is `sum_t f_t(x_t) - f_t(u)`.
//!
//! - [`Player`]: a learner with its hint; `predict`, then `update`; serde saves it between two rounds
//! - learners: [`OptimisticOmd`] (convex, strongly convex, implicit, composite, and the gradient baselines), [`OptimisticNewton`]
//!   (exp-concave), [`OptimisticFtrl`], [`Ensemble`] (moving optimum), [`Doubling`] (unknown horizon)
//! - [`Environment`]: where losses come from: [`DataStream`], [`SeaStream`], or your own
//! - [`Ledger`]: what was paid, the variation that bounds it, the average iterate; [`best_fixed`]: a comparator with a certificate
//!
//! | situation | learner | regret grows like |
//! |---|---|---|
//! | convex, nothing else known | `oomd` | `sqrt(sigma^2) + sqrt(Sigma^2)` |
//! | strong convexity `lambda` known | `oomd-sc` | `(sigma_max^2 + Sigma_max^2) log(..) / lambda` |
//! | logistic or squared loss, bounded set, moderate dimension | `oomd-exp` | `(d / alpha) log(..)` |
//! | the optimum moves | `ensemble` | `P + sqrt(1 + P) (..)`, `P` its path length |
//! | kinks, but a cheap proximal step | `oomd-implicit` | as `oomd`, without smoothness |
//! | a simple regularizer | `oomd` with a [`Penalty`] | as `oomd` |
//!
//! Reference: Chen, Zhang, Tu, Zhao and Zhang, "Optimistic Online Mirror Descent for Bridging Stochastic and Adversarial Online Convex
//! Optimization", ICML 2023 and JMLR 2024.

mod comparator;
mod config;
mod data_stream;
mod domain;
mod doubling;
mod ensemble;
mod environment;
mod ftrl;
mod hedge;
mod ledger;
mod loss;
mod metric;
mod newton;
mod omd;
mod player;
pub(crate) mod recipes;
mod sea_stream;
mod steps;
#[cfg(test)]
mod tests;

pub use comparator::{Fixed, Objective, best_fixed};
pub use config::{LearnerConfig, Setting};
pub use data_stream::{DataStream, Drift, Order, Rows};
pub use domain::Domain;
pub use doubling::Doubling;
pub use ensemble::{Ensemble, Meta, grid};
pub use environment::Environment;
pub use ftrl::OptimisticFtrl;
pub use hedge::Hedge;
pub use ledger::{Ledger, Mark, play};
pub use loss::{Absolute, Linear, Link, Loss, Quadratic};
pub use metric::Metric;
pub use newton::OptimisticNewton;
pub use omd::{Map, OptimisticOmd, Penalty};
pub use player::{Hint, Learner, OnlineLearner, Player};
pub use sea_stream::{Cost, Pattern, SeaStream};
pub use steps::{Bound, Steps};

/// Why a learner or an environment cannot begin, or go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OnlineError {
    /// A number that is not allowed.
    #[error("`{key}` is out of range: expected {expected}")]
    OutOfRange {
        /// Which one.
        key: String,
        /// What would be right.
        expected: String,
    },
    /// A vector that does not fit.
    #[error("{what} has {found} entries; expected {expected}")]
    Dimension {
        /// Which vector.
        what: &'static str,
        /// Entries needed.
        expected: usize,
        /// Entries given.
        found: usize,
    },
    /// A vector with an infinite or undefined entry.
    #[error("{what} of round {round} is not finite: entry {entry} is {value}")]
    NotFinite {
        /// Which vector.
        what: &'static str,
        /// The round, counted from 1.
        round: u64,
        /// The first such entry.
        entry: usize,
        /// What it is.
        value: f64,
    },
    /// `predict` and `update` must alternate.
    #[error(
        "round {round}: `{called}` was called twice; call `predict`, then `update`, once each a round"
    )]
    OutOfTurn {
        /// The round, counted from 1.
        round: u64,
        /// What was called.
        called: &'static str,
    },
    /// A learner or a hint that needs more than a gradient.
    #[error("{what} needs the loss itself, not only its gradient: call `update_with`")]
    NeedsLoss {
        /// What needs it.
        what: &'static str,
    },
    /// A loss without a proximal step.
    #[error("this loss has no proximal step, which the implicit learner needs; use `oomd`")]
    NoProx,
    /// A hint that was not given.
    #[error("round {round}: the hint `given` needs a vector: call `supply` before `predict`")]
    NoHint {
        /// The round, counted from 1.
        round: u64,
    },
    /// More rounds than were planned for.
    #[error("{what} was planned for {horizon} rounds and has played them all")]
    PastHorizon {
        /// What was planned.
        what: &'static str,
        /// The rounds.
        horizon: u64,
    },
    /// An inner solve that did not reach its accuracy.
    #[error("{what} stopped at residual {residual:e}; rescale the losses or use a smaller set")]
    NoConvergence {
        /// The solve.
        what: &'static str,
        /// Where it stopped.
        residual: f64,
    },
    /// A matrix that is not positive definite, or whose decomposition failed.
    #[error("{0}")]
    Numerics(String),
}

pub(crate) fn out_of_range(key: &str, expected: &str) -> OnlineError {
    OnlineError::OutOfRange { key: key.into(), expected: expected.into() }
}

/// `value` is a finite number above 0.
pub(crate) fn positive(key: &str, value: f64) -> Result<(), OnlineError> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(out_of_range(key, "a number above 0"))
    }
}

/// `v` has `dim` finite entries.
pub(crate) fn check(
    what: &'static str,
    v: &[f64],
    dim: usize,
    round: u64,
) -> Result<(), OnlineError> {
    if v.len() != dim {
        return Err(OnlineError::Dimension { what, expected: dim, found: v.len() });
    }
    match v.iter().position(|x| !x.is_finite()) {
        Some(entry) => Err(OnlineError::NotFinite { what, round, entry, value: v[entry] }),
        None => Ok(()),
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// `||a - b||^2`
pub(crate) fn distance_squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}
