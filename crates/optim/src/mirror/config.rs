//! These optimizers as recipes name them.

use serde::{Deserialize, Serialize};

use super::{Constraint, MirrorError, Penalty, Plan, ProximalSgd, ScheduleFree, Steps};
use crate::config::{Decay, OptimizerConfig, OutOfRange};
use crate::{Groups, Schedule};

/// `optimizer = { name = "csmd", ... }`: [`ProximalSgd`].
///
/// ```toml
/// [method.optimizer]
/// name = "csmd"
/// learning_rate = 0.1
/// penalty = { name = "l1", weight = 1e-4 }
/// constraint = { name = "box", low = -1.0, high = 1.0 }
/// [method.schedule]
/// name = "last-iterate"
/// steps = { name = "linear-decay", eta = 30.0 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsmdConfig {
    /// Multiplies the schedule.
    pub learning_rate: f64,
    /// `h`.
    #[serde(default)]
    pub penalty: Penalty,
    /// `X`.
    #[serde(default)]
    pub constraint: Constraint,
}

impl CsmdConfig {
    /// The optimizer.
    pub fn build(&self, learning_rate: Schedule, groups: Groups) -> ProximalSgd {
        let (penalty, constraint) = (self.penalty, self.constraint);
        ProximalSgd { learning_rate, penalty, constraint, groups }
    }

    /// Checks the numbers, with the groups of the whole.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate_within(&self, whole: &OptimizerConfig) -> Result<(), OutOfRange> {
        self.build(Schedule::from(self.learning_rate), Groups(whole.groups.clone()))
            .validate()
            .map_err(below("optimizer"))
    }
}

/// `optimizer = { name = "schedule-free", ... }`: [`ScheduleFree`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleFreeConfig {
    /// `gamma`.
    pub learning_rate: f64,
    /// `b`.
    #[serde(default = "momentum")]
    pub momentum: f64,
    /// L2 penalty.
    #[serde(default)]
    pub weight_decay: f64,
}

fn momentum() -> f64 {
    0.9
}

impl ScheduleFreeConfig {
    /// The optimizer.
    pub fn build(&self, learning_rate: Schedule, groups: Groups) -> ScheduleFree {
        let (momentum, weight_decay) = (self.momentum, self.weight_decay);
        ScheduleFree { learning_rate, momentum, weight_decay, groups }
    }

    /// Checks the numbers, and that no schedule is set where there is to be none.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate_within(&self, whole: &OptimizerConfig) -> Result<(), OutOfRange> {
        self.build(Schedule::from(self.learning_rate), Groups::default())
            .validate()
            .map_err(below("optimizer"))?;
        if !matches!(whole.schedule, Decay::Constant | Decay::Warmup { .. }) {
            let expected = "`constant` or `warmup`: the average takes the place of a decay";
            return Err(OutOfRange { key: "schedule.name".into(), expected });
        }
        Ok(())
    }
}

fn below(table: &'static str) -> impl Fn(OutOfRange) -> OutOfRange {
    move |bad| OutOfRange { key: format!("{table}.{}", bad.key), ..bad }
}

impl Steps {
    /// Checks them as the `steps` of a schedule in a recipe.
    pub(crate) fn validate_in_schedule(&self) -> Result<(), OutOfRange> {
        match self.validate() {
            Err(MirrorError::OutOfRange { key, expected }) => {
                Err(OutOfRange { key: format!("schedule.{key}"), expected })
            }
            _ => Ok(()),
        }
    }

    /// `peak` times these steps, for a training of `total` steps.
    pub(crate) fn schedule(&self, peak: f64, total: u64) -> Schedule {
        Schedule::LastIterate { peak, plan: Plan::for_steps(self, total) }
    }
}
