//! The part of a recipe that is the same for every kind.

use serde::{Deserialize, Serialize};

/// Top-level keys that belong to every recipe; all others belong to its kind. `arms` is taken out before.
pub(crate) const HEAD_KEYS: [&str; 10] =
    ["kind", "name", "title", "summary", "methods", "seed", "device", "quick", "claims", "run"];

/// The part of a recipe that is the same for every kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The recipe kind, which reads the rest.
    pub kind: String,
    /// Name of the recipe; by default that of its file.
    #[serde(default)]
    pub name: String,
    /// One line for reports and lists.
    #[serde(default)]
    pub title: String,
    /// What the recipe does and shows, in a few sentences.
    #[serde(default)]
    pub summary: String,
    /// Slugs of the methods it uses, for citations.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Seed of all randomness.
    #[serde(default)]
    pub seed: u64,
    /// The device, such as `cpu` or `cuda:0`.
    #[serde(default = "cpu")]
    pub device: String,
    /// Whether this is the quick form. In a recipe that is not resolved yet, `quick` is the table that makes it so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quick: bool,
    /// What the recipe shows; see [`claim`](crate::claim).
    #[serde(default)]
    pub claims: Vec<String>,
    /// Settings of the loop.
    #[serde(default)]
    pub run: Limits,
}

// Serde wants a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

fn cpu() -> String {
    "cpu".into()
}

/// Settings of the loop: `[run]` in a recipe. Limits hold for each arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Seconds between checkpoints.
    pub checkpoint_secs: f64,
    /// Steps between checkpoints; by default only time counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_steps: Option<u64>,
    /// Steps after which an arm is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Seconds after which an arm is stopped. A run stopped by time does not repeat exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_secs: Option<f64>,
    /// Stops an arm whose metric no longer improves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStop>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            checkpoint_secs: 60.0,
            checkpoint_steps: None,
            max_steps: None,
            max_secs: None,
            early_stop: None,
        }
    }
}

/// When to stop because a metric no longer improves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStop {
    /// The metric, by its name in `metrics.jsonl`.
    pub metric: String,
    /// Recorded values without an improvement after which to stop.
    pub patience: u64,
    /// Whether lower or higher is better.
    #[serde(default)]
    pub goal: Goal,
    /// The least change that counts as an improvement.
    #[serde(default)]
    pub min_change: f64,
}

/// Which way a metric should go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Lower is better.
    #[default]
    Lower,
    /// Higher is better.
    Higher,
}
