//! Step sizes and what they know of the past.

use serde::{Deserialize, Serialize};

use super::{OnlineError, out_of_range, positive};

/// What is known about the norms of the gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Bound {
    /// `||g_t|| <= value` in every round: what the guarantee needs.
    Known {
        /// `G`.
        value: f64,
    },
    /// The largest norm so far stands for `G`. The pathwise guarantee no longer holds: a norm that grows late was paid for with too long
    /// steps before.
    Running,
    /// A guess that doubles until it holds; the variation is counted anew from there (restarts on the same point).
    Doubling {
        /// First guess, above 0.
        first: f64,
    },
}

/// `eta_t`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Steps {
    /// `D / sqrt(delta + 4 G^2 + sum_{s<t} ||g_s - m_s||^2)`.
    SelfConfident {
        /// `D`.
        diameter: f64,
        /// `delta`, above 0.
        delta: f64,
        /// `G`.
        bound: Bound,
    },
    /// `scale / t`: `2 / lambda` for optimistic steps under strong convexity, `1 / lambda` for plain ones.
    Harmonic {
        /// Above 0.
        scale: f64,
    },
    /// `scale / sqrt t`, plain gradient descent with `D / G`.
    InvSqrt {
        /// Above 0.
        scale: f64,
    },
    /// `eta`.
    Constant {
        /// Above 0.
        eta: f64,
    },
    /// `D / sqrt(2 (start + sum_{s<=t} ||g_s||^2))`, which knows the gradient that it is used on and so takes no hint.
    AdaGradNorm {
        /// `D`.
        diameter: f64,
        /// Keeps the first step finite if the first gradient is 0; above 0.
        start: f64,
    },
    /// One number a round.
    Given {
        /// Each above 0.
        etas: Vec<f64>,
    },
}

/// The past, as far as step sizes need it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Past {
    /// Rounds finished.
    pub rounds: u64,
    /// `sum ||g - m||^2`, since the last restart.
    variation: f64,
    /// `sum ||g||^2`.
    squares: f64,
    /// Largest norm, or the guess.
    bound: f64,
}

impl Steps {
    /// Checks every number.
    pub fn validate(&self) -> Result<(), OnlineError> {
        match self {
            Steps::SelfConfident { diameter, delta, bound } => {
                positive("steps.diameter", *diameter)?;
                positive("steps.delta", *delta)?;
                match bound {
                    Bound::Known { value } => positive("steps.bound.value", *value),
                    Bound::Running => Ok(()),
                    Bound::Doubling { first } => positive("steps.bound.first", *first),
                }
            }
            Steps::Harmonic { scale } | Steps::InvSqrt { scale } => positive("steps.scale", *scale),
            Steps::Constant { eta } => positive("steps.eta", *eta),
            Steps::AdaGradNorm { diameter, start } => {
                positive("steps.diameter", *diameter)?;
                positive("steps.start", *start)
            }
            Steps::Given { etas } => {
                let good = !etas.is_empty() && etas.iter().all(|e| *e > 0.0 && e.is_finite());
                let expected = "one or more numbers above 0";
                if good { Ok(()) } else { Err(out_of_range("steps.etas", expected)) }
            }
        }
    }

    /// Whether the step size waits for the gradient of its round.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Steps::AdaGradNorm { .. })
    }

    pub(super) fn past(&self) -> Past {
        let bound = match self {
            Steps::SelfConfident { bound: Bound::Known { value: first }, .. }
            | Steps::SelfConfident { bound: Bound::Doubling { first }, .. } => *first,
            _ => 0.0,
        };
        Past { bound, ..Past::default() }
    }

    /// The step size of the round that follows `past`; for late ones, of the round just observed.
    pub(super) fn eta(&self, past: &Past) -> Result<f64, OnlineError> {
        let t = (past.rounds + 1) as f64;
        Ok(match self {
            Steps::SelfConfident { diameter, delta, .. } => {
                diameter / (delta + 4.0 * past.bound * past.bound + past.variation).sqrt()
            }
            Steps::Harmonic { scale } => scale / t,
            Steps::InvSqrt { scale } => scale / t.sqrt(),
            Steps::Constant { eta } => *eta,
            Steps::AdaGradNorm { diameter, start } => {
                diameter / (2.0 * (start + past.squares)).sqrt()
            }
            Steps::Given { etas } => {
                *etas.get(past.rounds as usize).ok_or(OnlineError::PastHorizon {
                    what: "the list of step sizes",
                    horizon: past.rounds,
                })?
            }
        })
    }

    /// Takes note of `||g||^2` and `||g - m||^2`.
    pub(super) fn observe(&self, past: &mut Past, square: f64, variation: f64) {
        past.rounds += 1;
        past.squares += square;
        past.variation += variation;
        match self {
            Steps::SelfConfident { bound: Bound::Running, .. } => {
                past.bound = past.bound.max(square.sqrt());
            }
            Steps::SelfConfident { bound: Bound::Doubling { .. }, .. }
                if square.sqrt() > past.bound =>
            {
                while square.sqrt() > past.bound {
                    past.bound *= 2.0;
                }
                past.variation = 0.0;
            }
            _ => {}
        }
    }
}
