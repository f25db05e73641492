//! The schema of a comparison of routers.

use lisse_run::Invalid;
use serde::{Deserialize, Serialize};

use crate::transport::{Router, RouterRule};

/// The schema.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// How tokens find their experts.
    pub method: MethodConfig,
    /// The network.
    #[serde(default)]
    pub model: ModelConfig,
    /// How long.
    pub training: TrainingConfig,
}

/// A router, and the weight of losses that ask for balance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MethodConfig {
    /// Who chooses.
    pub rule: RouterRule,
    /// Room of an expert in units of its share.
    #[serde(default = "factor")]
    pub capacity_factor: f64,
    /// Capacities are multiples of this.
    #[serde(default = "multiple")]
    pub multiple: usize,
    /// Steps of Adam on the dual.
    #[serde(default = "iterations")]
    pub iterations: usize,
    /// Its step size.
    #[serde(default = "rate")]
    pub rate: f64,
    /// Weight of half the sum of importance and load loss.
    #[serde(default)]
    pub auxiliary: f64,
}

fn factor() -> f64 {
    1.25
}
fn multiple() -> usize {
    4
}
fn iterations() -> usize {
    20
}
fn rate() -> f64 {
    1e-2
}

/// A mixture of experts on the 16 patches of a digit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelConfig {
    /// Width of a token.
    pub width: usize,
    /// Hidden units of an expert.
    pub hidden: usize,
    /// Experts.
    pub experts: usize,
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig { width: 32, hidden: 32, experts: 4 }
    }
}

/// How long to train.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// Steps of a training.
    pub steps: u64,
    /// Images of a step; their tokens are routed together.
    pub batch_size: usize,
    /// Step size of Adam.
    pub learning_rate: f64,
    /// Trainings from different seeds.
    pub seeds: u64,
}

impl MethodConfig {
    pub(super) fn router(&self) -> Router {
        Router {
            rule: self.rule,
            capacity_factor: self.capacity_factor,
            multiple: self.multiple,
            iterations: self.iterations,
            rate: self.rate,
        }
    }
}

impl Config {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let (model, training) = (&self.model, &self.training);
        let counts = [
            ("model.width", model.width),
            ("model.hidden", model.hidden),
            ("training.steps", training.steps as usize),
            ("training.seeds", training.seeds as usize),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(Invalid::new(*key, "at least 1"));
        }
        if model.experts < 2 {
            return Err(Invalid::new("model.experts", "at least 2"));
        }
        if !(1..=450).contains(&training.batch_size) {
            return Err(Invalid::new(
                "training.batch_size",
                "1 to 450, the images of the smaller part of the data",
            ));
        }
        if !(training.learning_rate > 0.0 && training.learning_rate.is_finite()) {
            return Err(Invalid::new("training.learning_rate", "a finite number above 0"));
        }
        if !(self.method.auxiliary >= 0.0 && self.method.auxiliary.is_finite()) {
            return Err(Invalid::new("method.auxiliary", "0 or more"));
        }
        self.method
            .router()
            .check(model.experts)
            .map_err(|error| Invalid::new("method", error.to_string()))
    }
}
