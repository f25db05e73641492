//! The schema of an energy recipe.

use lisse_array::{Array, DType, Stream, Tree};
use lisse_nn::Activation;
use lisse_nn::models::{Mlp, MlpConfig};
use lisse_run::Invalid;
use serde::{Deserialize, Serialize};

use crate::config::{OptimizerConfig, Rule};
use crate::energy::{
    Energy, Estimator, FlowFit, Gaussian, Location, MixtureFit, Noise, NoiseError, Planar, Tilt,
    UniformBox,
};

/// The schema of an energy recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What to learn from.
    pub data: DataConfig,
    /// What the model is compared with.
    pub noise: NoiseConfig,
    /// The energy before training.
    pub energy: EnergyConfig,
    /// The objective and what belongs to it.
    #[serde(default)]
    pub estimator: Estimator,
    /// The optimizer.
    pub method: OptimizerConfig,
    /// How long.
    pub training: TrainingConfig,
    /// How the model is judged.
    #[serde(default)]
    pub evaluation: Evaluation,
}

/// What to learn from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DataConfig {
    /// `N(mean, 1)` on the line, drawn anew for every batch.
    Gaussian {
        /// Its mean, not 0.
        mean: f64,
    },
    /// Points in the plane, drawn anew for every batch.
    Planar {
        /// Which distribution.
        shape: Planar,
    },
    /// Handwritten digits of some classes, dequantized, as whitened principal components; the other classes are what the model should
    /// find foreign.
    Digits {
        /// The classes that are learned.
        classes: Vec<i64>,
        /// Share of their examples kept for testing.
        #[serde(default = "fifth")]
        test_fraction: f64,
        /// Principal components.
        components: usize,
    },
}

fn fifth() -> f64 {
    0.2
}

/// What the model is compared with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NoiseConfig {
    /// `N(0, deviation^2 I)`
    Isotropic {
        /// The deviation.
        deviation: f64,
    },
    /// Mean and covariance of the data.
    Gaussian {
        /// Multiplies all deviations.
        #[serde(default = "inflation")]
        inflation: f64,
    },
    /// A mixture of Gaussians fitted to the data.
    Mixture {
        /// Their number.
        components: usize,
        /// Added to the diagonals of their covariances.
        #[serde(default = "tenth")]
        regularization: f64,
    },
    /// Uniform on a box around the data.
    Box {
        /// Widens each side, in multiples of it.
        #[serde(default = "tenth")]
        margin: f64,
    },
    /// A normalizing flow fitted to the data.
    Flow {
        /// Couplings.
        couplings: usize,
        /// Width of their networks.
        hidden: usize,
        /// Steps of its training.
        steps: u64,
    },
}

fn inflation() -> f64 {
    1.2
}
fn tenth() -> f64 {
    0.1
}

impl NoiseConfig {
    /// For data `[n, d]`.
    pub fn build(&self, data: &Array, stream: &Stream) -> Result<Box<dyn Noise>, NoiseError> {
        Ok(match *self {
            NoiseConfig::Isotropic { deviation } => {
                Box::new(Gaussian::isotropic(data.shape()[1], deviation, data.dtype()))
            }
            NoiseConfig::Gaussian { inflation } => Box::new(Gaussian::fit(data, inflation)?),
            NoiseConfig::Mixture { components, regularization } => {
                let fit = MixtureFit { components, regularization, ..MixtureFit::default() };
                Box::new(fit.fit(data, stream)?)
            }
            NoiseConfig::Box { margin } => Box::new(UniformBox::fit(data, margin)?),
            NoiseConfig::Flow { couplings, hidden, steps } => {
                let fit = FlowFit { couplings, hidden, steps, ..FlowFit::default() };
                Box::new(fit.fit(data, stream)?)
            }
        })
    }

    fn validate(&self) -> Result<(), Invalid> {
        let positive = |v: f64, key| {
            if v > 0.0 && v.is_finite() {
                Ok(())
            } else {
                Err(Invalid::new(format!("noise.{key}"), "a number above 0"))
            }
        };
        match *self {
            NoiseConfig::Isotropic { deviation } => positive(deviation, "deviation"),
            NoiseConfig::Gaussian { inflation } => positive(inflation, "inflation"),
            NoiseConfig::Mixture { components, regularization } => {
                positive(components as f64, "components")?;
                positive(regularization, "regularization")
            }
            NoiseConfig::Box { margin } => positive(margin, "margin"),
            NoiseConfig::Flow { couplings, hidden, steps } => {
                positive(couplings as f64, "couplings")?;
                positive(hidden as f64, "hidden")?;
                positive(steps as f64, "steps")
            }
        }
    }
}

/// The energy before training.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum EnergyConfig {
    /// [`Location`] at 0
    Location,
    /// [`Tilt`] at 0, with the square
    Tilt,
    /// Dense layers to one number.
    Mlp {
        /// Widths of the hidden layers.
        hidden: Vec<usize>,
        /// Smooth ones train more stably.
        #[serde(default = "silu")]
        activation: Activation,
    },
}

fn silu() -> Activation {
    Activation::Silu
}

/// The energy of a recipe.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub enum Learned {
    /// See [`EnergyConfig::Location`].
    Location(#[tree(flatten)] Location),
    /// See [`EnergyConfig::Tilt`].
    Tilt(#[tree(flatten)] Tilt),
    /// See [`EnergyConfig::Mlp`].
    Mlp(#[tree(flatten)] Mlp),
}

impl Energy for Learned {
    fn energy(&self, x: &Array) -> Array {
        match self {
            Learned::Location(energy) => energy.energy(x),
            Learned::Tilt(energy) => energy.energy(x),
            Learned::Mlp(energy) => energy.energy(x),
        }
    }
}

impl Learned {
    /// The parameter of a one-dimensional closed form.
    pub fn number(&self) -> Option<f64> {
        match self {
            Learned::Location(Location { location: p }) | Learned::Tilt(Tilt { theta: p, .. })
                if p.len() == 1 =>
            {
                Some(p.item())
            }
            _ => None,
        }
    }
}

impl EnergyConfig {
    /// For examples of `dim` numbers.
    pub fn build(&self, dim: usize, dtype: DType, stream: &Stream) -> Learned {
        match self {
            EnergyConfig::Location => {
                Learned::Location(Location { location: Array::zeros(&[dim], dtype) })
            }
            EnergyConfig::Tilt => {
                Learned::Tilt(Tilt { theta: Array::zeros(&[dim], dtype), square: true })
            }
            EnergyConfig::Mlp { hidden, activation } => {
                let sizes: Vec<usize> =
                    [dim].into_iter().chain(hidden.iter().copied()).chain([1]).collect();
                let mlp = MlpConfig::new(&sizes).activation(*activation).build(stream);
                Learned::Mlp(lisse_nn::to_dtype(&mlp, dtype))
            }
        }
    }
}

/// How long to train.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// Steps.
    pub steps: u64,
    /// Examples of a step.
    pub batch_size: usize,
    /// Numbers of model and data: `f32` or `f64`.
    #[serde(default = "single")]
    pub dtype: DType,
}

fn single() -> DType {
    DType::F32
}

/// How the model is judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluation {
    /// Points of noise for the final `log Z`.
    pub samples: usize,
    /// Steps between measurements on the test data, with a sixteenth of the points.
    pub every: u64,
}

impl Default for Evaluation {
    fn default() -> Evaluation {
        Evaluation { samples: 100_000, every: 100 }
    }
}

impl Config {
    /// Checks every number.
    pub fn validate(&self) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        check(self.training.steps > 0, "training.steps", "at least 1")?;
        check(self.training.batch_size > 0, "training.batch_size", "at least 1")?;
        let float = matches!(self.training.dtype, DType::F32 | DType::F64);
        check(float, "training.dtype", "f32 or f64")?;
        check(self.evaluation.samples >= 1000, "evaluation.samples", "at least 1000")?;
        check(self.evaluation.every > 0, "evaluation.every", "at least 1")?;
        self.data.validate()?;
        self.noise.validate()?;
        if let EnergyConfig::Mlp { hidden, .. } = &self.energy {
            check(hidden.iter().all(|&h| h > 0), "energy.hidden", "widths of at least 1")?;
        }
        let line = matches!(self.data, DataConfig::Gaussian { .. });
        let flow = matches!(self.noise, NoiseConfig::Flow { .. });
        check(!(line && flow), "noise.name", "another noise: a flow needs two coordinates")?;
        self.estimator
            .validate()
            .map_err(|bad| Invalid::new(format!("estimator.{}", bad.key), bad.expected))?;
        let boxed = matches!(self.noise, NoiseConfig::Box { .. });
        let expected = "one that stays within the box: the density of the noise is 0 outside";
        let leaves_box = !self.estimator.objective.compares_with_noise();
        check(!(boxed && leaves_box), "estimator.objective.name", expected)?;
        let composite = matches!(self.method.optimizer, Rule::Sso(_));
        let expected = "a rule that needs no loss of outputs";
        check(!composite, "method.optimizer.name", expected)?;
        self.method
            .validate_with_fixed_batches()
            .map_err(|bad| Invalid::new(format!("method.{}", bad.key), bad.expected))
    }
}

impl DataConfig {
    fn validate(&self) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        match self {
            DataConfig::Gaussian { mean } => {
                check(*mean != 0.0 && mean.is_finite(), "data.mean", "a number other than 0")
            }
            DataConfig::Planar { .. } => Ok(()),
            DataConfig::Digits { classes, test_fraction, components } => {
                let known = classes.iter().all(|class| (0..10).contains(class));
                let foreign = (0..10).any(|class| !classes.contains(&class));
                let expected = "some of the classes 0 to 9, not all: the others are foreign";
                check(!classes.is_empty() && known && foreign, "data.classes", expected)?;
                let fraction = *test_fraction > 0.0 && *test_fraction < 1.0;
                check(fraction, "data.test_fraction", "a number between 0 and 1")?;
                check((1..=64).contains(components), "data.components", "a number from 1 to 64")
            }
        }
    }
}
