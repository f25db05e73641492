//! The schema of a pruning recipe.

use lisse_data::{BUNDLED, Bundled};
use lisse_nn::Activation;
use lisse_run::Invalid;
use serde::{Deserialize, Serialize};

use crate::config::OptimizerConfig;
use crate::mfac::{Criterion, Pruner, Removal};

/// A pruning recipe: networks are trained, then lose more and more of their weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What to learn from.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// How it is trained before any pruning.
    pub dense: DenseConfig,
    /// How weights are chosen.
    pub prune: PruneConfig,
    /// Training after each pruning, which makes it gradual. Without it every sparsity is reached in one shot from the dense network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrain: Option<DenseConfig>,
    /// Networks, each with its own split, initial values and draws, over which the figures are means.
    #[serde(default = "one")]
    pub repeats: u64,
}

fn one() -> u64 {
    1
}

/// What to learn from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataConfig {
    /// A bundled data set with classes.
    pub name: String,
    /// Share of the examples kept for testing.
    #[serde(default = "quarter")]
    pub test_fraction: f64,
}

fn quarter() -> f64 {
    0.25
}

/// Dense layers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Between the layers.
    #[serde(default)]
    pub activation: Activation,
}

/// A training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DenseConfig {
    /// Passes over the training examples.
    pub epochs: u64,
    /// Examples per step.
    pub batch_size: usize,
    /// The optimizer.
    pub method: OptimizerConfig,
}

/// How weights are chosen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PruneConfig {
    /// `magnitude`, `diagonal-fisher` or `inverse-fisher`.
    pub criterion: Criterion,
    /// Gradients per round.
    #[serde(default = "gradients")]
    pub gradients: usize,
    /// Examples per gradient.
    #[serde(default = "single")]
    pub batch_size: usize,
    /// `lambda` of the Fisher matrix.
    #[serde(default = "damping")]
    pub damping: f64,
    /// Coordinates per block of the Fisher matrix; left out, it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
    /// Rounds per sparsity, each with fresh gradients.
    #[serde(default = "rounds")]
    pub rounds: usize,
    /// `sum` or `joint`.
    #[serde(default = "sum")]
    pub removal: Removal,
    /// Shares of the weights to remove, rising.
    pub sparsities: Vec<f64>,
}

fn gradients() -> usize {
    64
}
fn single() -> usize {
    1
}
fn damping() -> f64 {
    1e-5
}
fn rounds() -> usize {
    16
}
fn sum() -> Removal {
    Removal::Sum
}

impl PruneConfig {
    pub(super) fn pruner(&self) -> Pruner {
        Pruner {
            criterion: self.criterion,
            damping: self.damping,
            block: self.block,
            rounds: self.rounds,
            removal: self.removal,
        }
    }

    fn validate(&self) -> Result<(), Invalid> {
        at_least_one(self.gradients, "prune.gradients")?;
        at_least_one(self.batch_size, "prune.batch_size")?;
        at_least_one(self.rounds, "prune.rounds")?;
        at_least_one(self.block.unwrap_or(1), "prune.block")?;
        if !(self.damping > 0.0 && self.damping.is_finite()) {
            let expected = "a number above 0: without damping the inverse does not exist";
            return Err(Invalid::new("prune.damping", expected));
        }
        let inside = self.sparsities.iter().all(|s| (0.0..1.0).contains(s));
        let rising = self.sparsities.is_sorted_by(|a, b| a < b);
        if self.sparsities.is_empty() || !inside || !rising {
            let expected = "numbers from 0 to below 1 in rising order";
            return Err(Invalid::new("prune.sparsities", expected));
        }
        Ok(())
    }
}

fn at_least_one(count: usize, key: &str) -> Result<(), Invalid> {
    if count > 0 { Ok(()) } else { Err(Invalid::new(key, "at least 1")) }
}

impl DenseConfig {
    fn validate(&self, table: &str) -> Result<(), Invalid> {
        at_least_one(self.epochs as usize, &format!("{table}.epochs"))?;
        at_least_one(self.batch_size, &format!("{table}.batch_size"))?;
        self.method
            .validate()
            .map_err(|bad| Invalid::new(format!("{table}.method.{}", bad.key), bad.expected))
    }
}

impl Config {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        if Bundled::find(&self.data.name).is_err() {
            let names = BUNDLED.map(|set| set.name).join(", ");
            return Err(Invalid::new("data.name", format!("a bundled data set ({names})")));
        }
        if !(self.data.test_fraction > 0.0 && self.data.test_fraction < 1.0) {
            return Err(Invalid::new("data.test_fraction", "a number between 0 and 1"));
        }
        if self.model.hidden.contains(&0) {
            return Err(Invalid::new("model.hidden", "at least 1"));
        }
        self.dense.validate("dense")?;
        if let Some(retrain) = &self.retrain {
            retrain.validate("retrain")?;
        }
        self.prune.validate()?;
        at_least_one(self.repeats as usize, "repeats")
    }

    /// The figure of a sparsity: `accuracy_90`, `accuracy_97_5`.
    pub(super) fn figure(sparsity: f64) -> String {
        let percent = (sparsity * 1000.0).round() / 10.0;
        format!("accuracy_{percent}").replace('.', "_")
    }
}
