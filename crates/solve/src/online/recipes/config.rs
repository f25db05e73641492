//! The schema.

use std::collections::BTreeMap;

use lisse_run::Invalid;
use serde::{Deserialize, Serialize};

use crate::online::{
    Cost, Domain, Drift, Hint, LearnerConfig, Link, OnlineError, Order, Pattern, SeaStream, Setting,
};

/// The schema of a comparison of online learners.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The learner of the arm.
    pub learner: LearnerConfig,
    /// Its guess of the next gradient; baselines that take none get none.
    #[serde(default)]
    pub hint: HintConfig,
    /// Rounds on each stream.
    pub rounds: u64,
    /// Regret is measured after `rounds`, half of them, a quarter, ...: so many times.
    #[serde(default = "five")]
    pub horizons: u32,
    /// Runs with different randomness on each stream.
    #[serde(default = "one")]
    pub seeds: u64,
    /// Streams that the arm plays on; all by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The streams by name.
    pub streams: BTreeMap<String, StreamConfig>,
}

fn five() -> u32 {
    5
}
fn one() -> u64 {
    1
}
fn yes() -> bool {
    true
}

/// Where hints come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HintConfig {
    /// Nowhere
    None,
    /// The last gradient
    #[default]
    Last,
    /// The gradient of the last loss at the anchor
    Middle,
    /// The mean of the last gradients
    Average {
        /// How many.
        window: usize,
    },
    /// A CSV file with a header, a row a round, a column a coordinate
    File {
        /// Where it is.
        path: String,
    },
}

impl HintConfig {
    /// The player's side of it.
    pub fn hint(&self) -> Hint {
        match self {
            HintConfig::None => Hint::None,
            HintConfig::Last => Hint::Last,
            HintConfig::Middle => Hint::Middle,
            HintConfig::Average { window } => Hint::Average { window: *window },
            HintConfig::File { .. } => Hint::Given,
        }
    }
}

/// The streams by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StreamConfig {
    /// Examples of a bundled data set, standardised and scaled to a largest norm of 1
    Data {
        /// Its name.
        data: String,
        /// Principal components to keep; 0 for all features as they are.
        #[serde(default)]
        components: usize,
        /// Loss of a prediction.
        loss: Link,
        /// Rows of a round; 0 for all.
        #[serde(default)]
        batch: usize,
        /// Which rows.
        #[serde(default)]
        order: Order,
        /// What changes.
        #[serde(default)]
        drift: Drift,
        /// Weight of `||x||^2 / 2`.
        #[serde(default)]
        l2: f64,
        /// The set.
        domain: Domain,
    },
    /// Examples of a CSV file, in order
    File {
        /// Where it is.
        path: String,
        /// The column to predict: two classes for logistic and hinge, else numbers. All others must hold numbers.
        target: String,
        /// Loss of a prediction.
        loss: Link,
        /// Rows of a round; 0 for all.
        #[serde(default = "single")]
        batch: usize,
        /// Weight of `||x||^2 / 2`.
        #[serde(default)]
        l2: f64,
        /// Whether to standardise columns over the whole file and scale to a largest norm of 1, which looks ahead.
        #[serde(default = "yes")]
        standardize: bool,
        /// The set.
        domain: Domain,
    },
    /// [`SeaStream`]: made up, with known variance and drift
    Sea {
        /// Coordinates.
        dim: usize,
        /// What is paid.
        cost: Cost,
        /// How the mean goes.
        mean: Pattern,
        /// Length of the mean.
        scale: f64,
        /// Length of the noise.
        #[serde(default)]
        noise: f64,
        /// The set.
        domain: Domain,
    },
}

fn single() -> usize {
    1
}

impl StreamConfig {
    /// The set, and the dimension if it is known without the data.
    fn shape(&self) -> (&Domain, Option<usize>) {
        match self {
            StreamConfig::Data { components, domain, .. } => {
                (domain, (*components > 0).then_some(*components))
            }
            StreamConfig::File { domain, .. } => (domain, None),
            StreamConfig::Sea { dim, domain, .. } => (domain, Some(*dim)),
        }
    }

    fn validate(&self) -> Result<(), (String, String)> {
        let range = |error| match error {
            OnlineError::OutOfRange { key, expected } => (key, expected),
            other => ("domain".into(), other.to_string()),
        };
        let (domain, dim) = self.shape();
        match (domain, dim) {
            (domain, Some(dim)) => domain.validate(dim).map_err(range)?,
            // Whether blocks sum to the dimension is seen when the data are.
            (Domain::Product { parts }, None) => {
                for part in parts {
                    part.domain.validate(part.size).map_err(range)?;
                }
            }
            (domain, None) => domain.validate(1).map_err(range)?,
        }
        match self {
            StreamConfig::Sea { dim, cost, mean, scale, noise, domain } => {
                let made = SeaStream::new(domain.clone(), *dim, *cost, *mean, *scale, *noise, 0);
                made.map(drop).map_err(range)
            }
            StreamConfig::Data { l2, drift, domain, .. } => {
                not_negative("l2", *l2)?;
                match *drift {
                    Drift::Flip { period: 0 } => Err(("drift.period".into(), "at least 1".into())),
                    Drift::Rotate { theta } if !theta.is_finite() => {
                        Err(("drift.theta".into(), "a number".into()))
                    }
                    Drift::Corrupt { share } if !(0.0..=1.0).contains(&share) => {
                        Err(("drift.share".into(), "a number from 0 to 1".into()))
                    }
                    Drift::None => Ok(()),
                    _ if !domain.is_round() => {
                        Err(("domain".into(), "a ball for a stream with a drift".into()))
                    }
                    _ => Ok(()),
                }
            }
            StreamConfig::File { l2, .. } => not_negative("l2", *l2),
        }
    }
}

fn not_negative(key: &str, value: f64) -> Result<(), (String, String)> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err((key.into(), "a number of at least 0".into()))
    }
}

impl Config {
    /// The streams of the arm.
    pub fn played(&self) -> impl Iterator<Item = (&String, &StreamConfig)> {
        self.streams.iter().filter(|(name, _)| self.only.is_empty() || self.only.contains(name))
    }

    /// Checks what types cannot say.
    pub fn validate(&self) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        check(self.rounds > 0, "rounds", "at least 1")?;
        check(self.seeds > 0, "seeds", "at least 1")?;
        let fits = (1..=32).contains(&self.horizons) && self.rounds >> (self.horizons - 1) > 0;
        check(fits, "horizons", "from 1 to the number of times that `rounds` can be halved")?;
        check(!self.streams.is_empty(), "streams", "at least one stream")?;
        let window = !matches!(self.hint, HintConfig::Average { window: 0 });
        check(window, "hint.window", "at least 1")?;
        if self.only.iter().any(|name| !self.streams.contains_key(name)) {
            let known = self.streams.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(Invalid::new("only", format!("names of streams: {known}")));
        }
        for (name, stream) in self.played() {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let named = !name.is_empty() && name.chars().all(plain);
            check(named, "streams", "names of letters, digits and `_`")?;
            stream.validate().map_err(|(key, expected)| {
                Invalid::new(format!("streams.{name}.{key}"), expected)
            })?;
            self.validate_learner(stream)?;
        }
        Ok(())
    }

    /// Builds the learner on the stream's set, with constants that are in range.
    fn validate_learner(&self, stream: &StreamConfig) -> Result<(), Invalid> {
        let (domain, dim) = stream.shape();
        let dim = match (domain, dim) {
            (_, Some(dim)) => dim,
            (Domain::Product { parts }, None) => parts.iter().map(|part| part.size).sum(),
            _ => 2,
        };
        let setting = Setting {
            strong_convexity: Some(1.0),
            exp_concavity: Some(1.0),
            horizon: self.rounds,
            ..Setting::new(domain.clone(), dim, 1.0)
        };
        let learner = self.learner.build(&setting).map_err(|error| match error {
            OnlineError::OutOfRange { key, expected } => {
                // Step sizes are fields of the learner in a recipe.
                let key = key.strip_prefix("steps.").unwrap_or(&key).to_owned();
                Invalid::new(format!("learner.{key}"), expected)
            }
            other => Invalid::new("learner", other.to_string()),
        })?;
        let hint = if self.learner.takes_hints() { self.hint.hint() } else { Hint::None };
        crate::online::Player::new(learner, hint).map(drop).map_err(|error| match error {
            OnlineError::OutOfRange { key, expected } => Invalid::new(key, expected),
            other => Invalid::new("hint", other.to_string()),
        })
    }
}
