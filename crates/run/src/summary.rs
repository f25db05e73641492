//! `summary.json`: what a run came to.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::claim::ClaimResult;
use crate::{Environment, Number, Stop, number};

/// What a run came to. Written as `summary.json` when it ends or is interrupted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the recipe.
    pub recipe: String,
    /// The recipe kind.
    pub kind: String,
    /// Title of the recipe; its name if it has none.
    pub title: String,
    /// The recipe's description; may be empty.
    pub summary: String,
    /// Slugs of the methods that the recipe uses.
    pub methods: Vec<String>,
    /// Seed of all randomness.
    pub seed: u64,
    /// The device, such as `cpu`.
    pub device: String,
    /// Whether this is the quick form.
    pub quick: bool,
    /// Number of ranks.
    pub ranks: usize,
    /// Why the run stopped: the first failure among its arms, if any.
    pub stop: Stop,
    /// What a person may do next.
    pub advice: String,
    /// Whether there is nothing left to do; false after an interruption.
    pub finished: bool,
    /// Steps over all arms.
    pub steps: u64,
    /// Wall seconds, interruptions left out.
    pub wall_secs: f64,
    /// Processor seconds of all threads of the first rank.
    pub cpu_secs: f64,
    /// The most memory in use at once, in bytes; 0 where the system does not tell.
    pub peak_memory_bytes: u64,
    /// Final numbers by name.
    pub figures: IndexMap<String, Number>,
    /// What the recipe claims, and whether it held.
    pub claims: Vec<ClaimResult>,
    /// The arms that have ended, in order.
    pub arms: Vec<ArmSummary>,
    /// Lines that the method wanted kept.
    pub notes: Vec<String>,
    /// Pictures and tables, by their file names under `artefacts/`, in the order in which they were made.
    pub exhibits: Vec<String>,
    /// Where the run took place.
    pub environment: Environment,
}

impl Summary {
    /// The claims that did not hold.
    pub fn failed_claims(&self) -> impl Iterator<Item = &ClaimResult> {
        self.claims.iter().filter(|claim| !claim.holds)
    }
}

/// How one arm ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    /// Name; empty for a run without arms.
    pub name: String,
    /// Why it stopped.
    pub stop: Stop,
    /// Its steps.
    pub steps: u64,
    /// Seconds spent in its steps.
    #[serde(with = "number")]
    pub seconds: f64,
}
