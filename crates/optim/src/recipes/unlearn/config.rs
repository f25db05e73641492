//! The schema of an unlearning recipe.

use std::sync::Arc;

use lisse_data::{BUNDLED, Bundled};
use lisse_nn::models::Mlp;
use lisse_run::Invalid;
use serde::{Deserialize, Serialize};

use crate::Sam;
use crate::config::{OptimizerConfig, OutOfRange};
use crate::smoothing::{CurvaturePenaltyConfig, GradientPenaltyConfig, SmoothConfig, Smoother};
use crate::unlearning::Forget;

/// An unlearning recipe: a classifier learns all classes, unlearns some, and is then attacked by relearning.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What to learn from, and what of it to forget.
    pub data: DataConfig,
    /// The classifier.
    pub model: ModelConfig,
    /// How it learns everything.
    pub original: OriginalConfig,
    /// How it forgets.
    pub unlearn: UnlearnConfig,
    /// How it is attacked.
    pub relearn: RelearnConfig,
    /// Over how many draws the figures are means.
    #[serde(default)]
    pub repeats: Repeats,
}

/// What to learn from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataConfig {
    /// A bundled data set with classes.
    pub name: String,
    /// Share of the examples kept for testing.
    #[serde(default = "quarter")]
    pub test_fraction: f64,
    /// Labels of the classes to forget.
    pub forget: Vec<i64>,
}

fn quarter() -> f64 {
    0.25
}

/// Dense layers with ReLU.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
}

/// The training on all classes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OriginalConfig {
    /// Passes over the training examples.
    pub epochs: u64,
    /// Examples per step.
    pub batch_size: usize,
    /// The optimizer.
    pub method: OptimizerConfig,
}

/// The unlearning: `forget + retain_weight * retain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnlearnConfig {
    /// What is minimised on the examples to forget.
    pub objective: Forget,
    /// Weight of the cross entropy on the others; 0 for the forget loss alone.
    #[serde(default = "one")]
    pub retain_weight: f64,
    /// Smoothing of the forget loss alone.
    #[serde(default)]
    pub smoothing: Smoothing,
    /// Steps.
    pub steps: u64,
    /// Examples per step of either kind.
    pub batch_size: usize,
    /// The optimizer of the sum; SAM and the like in here act on both losses.
    pub method: OptimizerConfig,
}

fn one() -> f64 {
    1.0
}

/// How the forget loss is smoothed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Smoothing {
    /// Not at all
    #[default]
    None,
    /// [`Sam`]
    Sam {
        /// Radius of the ball.
        rho: f64,
        /// ASAM: measure the ball relative to the parameters.
        #[serde(default)]
        adaptive: bool,
    },
    /// [`RandomizedSmoothing`](crate::smoothing::RandomizedSmoothing)
    Randomized(SmoothConfig),
    /// [`GradientPenalty`](crate::smoothing::GradientPenalty)
    GradientPenalty(GradientPenaltyConfig),
    /// [`CurvaturePenalty`](crate::smoothing::CurvaturePenalty)
    CurvaturePenalty(CurvaturePenaltyConfig),
}

/// The attack: training on a few of the forgotten examples.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RelearnConfig {
    /// Forgotten examples that the attacker has.
    pub samples: usize,
    /// Examples per step, at most `samples`.
    pub batch_size: usize,
    /// Steps after which the accuracy is a figure, in increasing order.
    pub steps: Vec<u64>,
    /// The optimizer.
    pub method: OptimizerConfig,
}

/// Over how many draws the figures are means.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Repeats {
    /// Networks, each with its own split, initial values and batches.
    pub models: u64,
    /// Attacks on each.
    pub attacks: u64,
}

impl Default for Repeats {
    fn default() -> Repeats {
        Repeats { models: 1, attacks: 1 }
    }
}

impl Smoothing {
    pub(super) fn build(&self) -> Arc<dyn Smoother<Mlp>> {
        match self {
            Smoothing::None => Arc::new(()),
            Smoothing::Sam { rho, adaptive: true } => Arc::new(Sam::adaptive(*rho, ())),
            Smoothing::Sam { rho, adaptive: false } => Arc::new(Sam::new(*rho, ())),
            Smoothing::Randomized(config) => Arc::new(config.around(())),
            Smoothing::GradientPenalty(config) => Arc::new(config.around(())),
            Smoothing::CurvaturePenalty(config) => Arc::new(config.around(())),
        }
    }

    fn validate(&self) -> Result<(), OutOfRange> {
        match self {
            Smoothing::Sam { rho, .. } if !(*rho >= 0.0 && rho.is_finite()) => {
                Err(OutOfRange { key: "rho".into(), expected: "a number of at least 0" })
            }
            Smoothing::None | Smoothing::Sam { .. } => Ok(()),
            Smoothing::Randomized(config) => config.around(()).validate(),
            Smoothing::GradientPenalty(config) => config.around(()).validate(),
            Smoothing::CurvaturePenalty(config) => config.around(()).validate(),
        }
    }
}

fn at_least_one(ok: bool, key: &str) -> Result<(), Invalid> {
    if ok { Ok(()) } else { Err(Invalid::new(key, "at least 1")) }
}

fn within(table: &str, checked: Result<(), OutOfRange>) -> Result<(), Invalid> {
    checked.map_err(|bad| Invalid::new(format!("{table}.{}", bad.key), bad.expected))
}

impl Config {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        self.data.validate()?;
        at_least_one(self.model.hidden.iter().all(|&h| h > 0), "model.hidden")?;
        at_least_one(self.original.epochs > 0, "original.epochs")?;
        at_least_one(self.original.batch_size > 0, "original.batch_size")?;
        within("original.method", self.original.method.validate_with_fixed_batches())?;
        self.unlearn.validate()?;
        self.relearn.validate()?;
        at_least_one(self.repeats.models > 0, "repeats.models")?;
        at_least_one(self.repeats.attacks > 0, "repeats.attacks")
    }
}

impl DataConfig {
    fn validate(&self) -> Result<(), Invalid> {
        if Bundled::find(&self.name).is_err() {
            let names = BUNDLED.map(|set| set.name).join(", ");
            return Err(Invalid::new("data.name", format!("a bundled data set ({names})")));
        }
        if !(self.test_fraction > 0.0 && self.test_fraction < 1.0) {
            return Err(Invalid::new("data.test_fraction", "a number between 0 and 1"));
        }
        if self.forget.is_empty() {
            return Err(Invalid::new("data.forget", "at least one class"));
        }
        Ok(())
    }
}

impl UnlearnConfig {
    fn validate(&self) -> Result<(), Invalid> {
        within("unlearn.objective", self.objective.validate())?;
        if !(self.retain_weight >= 0.0 && self.retain_weight.is_finite()) {
            return Err(Invalid::new("unlearn.retain_weight", "a number of at least 0"));
        }
        within("unlearn.smoothing", self.smoothing.validate())?;
        at_least_one(self.steps > 0, "unlearn.steps")?;
        at_least_one(self.batch_size > 0, "unlearn.batch_size")?;
        within("unlearn.method", self.method.validate_with_fixed_batches())?;
        match &self.method.average {
            Some(average) if !average.has_snapshot_within(self.steps) => Err(Invalid::new(
                "unlearn.method.average.start",
                format!("a step to average within the {} of unlearning", self.steps),
            )),
            _ => Ok(()),
        }
    }
}

impl RelearnConfig {
    fn validate(&self) -> Result<(), Invalid> {
        at_least_one(self.samples > 0, "relearn.samples")?;
        if !(1..=self.samples).contains(&self.batch_size) {
            let expected = format!("a number from 1 to relearn.samples, {}", self.samples);
            return Err(Invalid::new("relearn.batch_size", expected));
        }
        let increasing = self.steps.windows(2).all(|pair| pair[0] < pair[1]);
        if self.steps.first().is_none_or(|&first| first == 0) || !increasing {
            return Err(Invalid::new("relearn.steps", "increasing numbers of at least 1"));
        }
        within("relearn.method", self.method.validate_with_fixed_batches())
    }

    pub(super) fn last_step(&self) -> u64 {
        self.steps.last().copied().unwrap_or(0)
    }
}
