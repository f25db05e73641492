//! The schema.

use std::path::PathBuf;
use std::sync::Arc;

use lisse_array::Stream;
use lisse_run::{Error, Invalid};
use serde::{Deserialize, Serialize};

use super::methods::{MethodConfig, Trust};
use super::sentences::{FewShotConfig, FewShotTask};
use super::tables::TableTask;
use super::task::{CoshTask, Task};

/// The schema of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What is solved.
    pub problem: ProblemConfig,
    /// By which method.
    pub method: MethodConfig,
    /// For how long.
    pub training: TrainingConfig,
}

/// For how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// Most steps of the upper level.
    pub steps: u64,
    /// Examples in a sample; all of them if left out. Few-shot tasks are their own samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Steps between two measurements.
    pub measure: u64,
    /// Most gradients and products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
}

/// The problems by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProblemConfig {
    /// [`cosh`](crate::bo_rep::problems::cosh) from (10, -8)
    Cosh {
        /// Where the lower level starts.
        #[serde(default)]
        lower: LowerStart,
        /// Solved once the norm of the gradient of `Phi` is below this.
        until: f64,
        /// Whether the solve ends there.
        #[serde(default = "yes")]
        stop: bool,
    },
    /// [`cleaning`](crate::bo_rep::problems::cleaning)
    Cleaning {
        /// The examples.
        #[serde(default)]
        data: DataConfig,
        /// Penalty of the lower level.
        ridge: f64,
    },
    /// [`ridge_weights`](crate::bo_rep::problems::ridge_weights)
    Ridge {
        /// The examples.
        #[serde(default)]
        data: DataConfig,
        /// Logarithm of all weights at the start.
        start: f64,
    },
    /// [`FewShot`](crate::bo_rep::FewShot)
    FewShot(FewShotConfig),
}

/// Where `y` starts in the test problem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LowerStart {
    /// At 0.
    #[default]
    Zero,
    /// At `y*(x_0)`.
    Exact,
    /// At `y*(x_0)`, and `z` at the solution of its linear system.
    ExactBoth,
}

/// Examples with classes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct DataConfig {
    /// A bundled data set, cut at random. Not used with `files`.
    pub bundled: String,
    /// Training examples.
    pub train: usize,
    /// Validation examples; all others are for testing.
    pub validation: usize,
    /// Share of the training labels replaced by another class.
    pub noise: f64,
    /// CSV files of your own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
}

/// CSV files with one header line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Files {
    /// What to weigh.
    pub train: PathBuf,
    /// What to trust.
    pub validation: PathBuf,
    /// What to judge by; the validation file if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The column of the classes.
    pub target: String,
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            bundled: "digits".into(),
            train: 900,
            validation: 300,
            noise: 0.4,
            files: None,
        }
    }
}

fn yes() -> bool {
    true
}

/// A problem, and the same as a few-shot task where it is one.
type TaskAndShots = (Box<dyn Task>, Option<Arc<FewShotTask>>);

impl Config {
    pub fn validate(&self) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        check(self.training.measure > 0, "training.measure", "at least 1")?;
        check(self.training.batch != Some(0), "training.batch", "at least 1")?;
        check(self.training.calls != Some(0), "training.calls", "at least 1")?;
        self.problem.validate()?;
        self.method.validate()?;
        let few_shot = matches!(self.problem, ProblemConfig::FewShot(_));
        let meta = matches!(self.method, MethodConfig::Maml(_) | MethodConfig::Anil(_));
        check(
            few_shot || !meta,
            "method.name",
            "another method: MAML and ANIL need few-shot tasks",
        )?;
        let finite =
            matches!(self.problem, ProblemConfig::Cleaning { .. } | ProblemConfig::Ridge { .. });
        let saba = matches!(self.method, MethodConfig::Saba { .. });
        check(finite || !saba, "method.name", "another method: SABA needs examples to remember")?;
        let right = matches!(self.method, MethodConfig::Fixed { trust: Trust::Right });
        let flipped = match &self.problem {
            ProblemConfig::Cleaning { data, .. } => data.files.is_none(),
            _ => false,
        };
        check(
            flipped || !right,
            "method.trust",
            "`start`: only `cleaning` of bundled data knows the right labels",
        )
    }

    /// The problem with its data.
    pub fn task(&self, stream: &Stream) -> Result<TaskAndShots, Error> {
        Ok(match &self.problem {
            ProblemConfig::Cosh { lower, until, stop } => {
                (Box::new(CoshTask::new(*lower, *until, *stop)), None)
            }
            ProblemConfig::Cleaning { data, ridge } => {
                let right = matches!(self.method, MethodConfig::Fixed { trust: Trust::Right });
                let equal = matches!(self.method, MethodConfig::Fixed { trust: Trust::Start });
                (Box::new(TableTask::cleaning(data, *ridge, (equal, right), stream)?), None)
            }
            ProblemConfig::Ridge { data, start } => {
                (Box::new(TableTask::ridge(data, *start, stream)?), None)
            }
            ProblemConfig::FewShot(config) => {
                let task = Arc::new(FewShotTask::new(config, stream)?);
                (Box::new(Arc::clone(&task)), Some(task))
            }
        })
    }
}

impl ProblemConfig {
    fn validate(&self) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        let positive = |v: f64| v > 0.0 && v.is_finite();
        match self {
            ProblemConfig::Cosh { until, .. } => {
                check(positive(*until), "problem.until", "a finite number above 0")
            }
            ProblemConfig::Cleaning { data, ridge } => {
                check(
                    positive(*ridge),
                    "problem.ridge",
                    "a finite number above 0: without it the lower level has no unique solution",
                )?;
                data.validate()
            }
            ProblemConfig::Ridge { data, start } => {
                check(start.is_finite(), "problem.start", "a finite number")?;
                data.validate()
            }
            ProblemConfig::FewShot(config) => config.validate(),
        }
    }
}

impl DataConfig {
    fn validate(&self) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        check(
            (0.0..1.0).contains(&self.noise),
            "problem.data.noise",
            "a number from 0 to below 1",
        )?;
        check(self.train > 0, "problem.data.train", "at least 1")?;
        check(self.validation > 0, "problem.data.validation", "at least 1")
    }
}
