//! Why a run or an arm of it stopped.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::number;

/// The reason for stopping, each with a sentence of [`advice`](Stop::advice).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stop {
    /// All planned steps were taken.
    Completed,
    /// The method's own criterion was met.
    Converged {
        /// The criterion, with its values: `gradient norm 8.1e-9 <= 1e-8`.
        criterion: String,
    },
    /// A limit on steps, time or evaluations was reached first.
    Budget {
        /// The limit: `run.max_secs = 60`.
        limit: String,
    },
    /// The watched metric no longer improved.
    EarlyStopped {
        /// The metric.
        metric: String,
        /// Its best value.
        #[serde(with = "number")]
        best: f64,
        /// Recorded values since the best one.
        patience: u64,
    },
    /// The method found that it moves away from any solution.
    Diverged {
        /// How it showed.
        reason: String,
    },
    /// A number in the state is NaN or infinite.
    NotFinite {
        /// The step after which it was found, counted from 1 within the arm.
        step: u64,
        /// Path of the first such leaf of the state.
        leaf: String,
        /// The metric that showed it.
        metric: String,
    },
    /// The user or the system asked to stop; the state is saved.
    Interrupted,
}

impl Stop {
    /// What a person may do next.
    pub fn advice(&self) -> String {
        match self {
            Stop::Completed => "The run did what its recipe asked.".into(),
            Stop::Converged { .. } => {
                "The criterion is met; tighten it in the recipe if the result is not exact enough."
                    .into()
            }
            Stop::Budget { limit } => {
                format!(
                    "The limit {limit} came before the method was done; raise it in the recipe or with --set."
                )
            }
            Stop::EarlyStopped { metric, .. } => {
                format!(
                    "{metric} no longer improved; a longer run.early_stop.patience or a smaller step may find better."
                )
            }
            Stop::Diverged { .. } => {
                "Try a smaller step size, a warm-up or a start nearer to the solution.".into()
            }
            Stop::NotFinite { leaf, .. } => format!(
                "A NaN or an infinity reached `{leaf}`: try a smaller learning rate, gradient clipping or f64, and check the data for extreme values."
            ),
            Stop::Interrupted => {
                "Everything is saved; `lisse resume RUN` goes on from here.".into()
            }
        }
    }

    /// Whether the result should not be used: divergence, or numbers that are not finite.
    pub fn is_failure(&self) -> bool {
        matches!(self, Stop::Diverged { .. } | Stop::NotFinite { .. })
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Completed => f.write_str("completed"),
            Stop::Converged { criterion } => write!(f, "converged: {criterion}"),
            Stop::Budget { limit } => write!(f, "budget used up: {limit}"),
            Stop::EarlyStopped { metric, best, patience } => {
                write!(
                    f,
                    "stopped early: {metric} has not improved on {best} for {patience} values"
                )
            }
            Stop::Diverged { reason } => write!(f, "diverged: {reason}"),
            Stop::NotFinite { step, leaf, metric } => {
                write!(
                    f,
                    "not finite: at step {step} {metric} is not a finite number, and neither is `{leaf}`"
                )
            }
            Stop::Interrupted => f.write_str("interrupted"),
        }
    }
}
