//! The problems and methods that a recipe can name, and one run of them.

use lisse_array::{Array, DType};
use lisse_data::{BUNDLED, Bundled, Dataset, Standardizer};
use lisse_run::{Error, Invalid};
use serde::{Deserialize, Serialize};

use crate::mirror::{
    Average, Csmd, Domain, Geometry, LinearModel, Linearized, Loss, Mark, Mirror, MirrorError,
    Noise, Noisy, Regularizer, Sampled, Sampling, ScheduleFree, Steps, StochasticOracle, pegasos,
};
use crate::{AdaGrad, Adam, Optimizer};

/// A linear model of standardised data and, for the regression losses, standardised targets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProblemConfig {
    /// Heading of its part of the report; arms with the same share their pictures.
    pub title: String,
    /// A bundled data set: of two classes for `hinge` and `logistic`.
    pub data: String,
    /// The loss.
    pub loss: Loss,
    /// `h`.
    #[serde(default)]
    pub regularizer: Regularizer,
    /// `X`.
    #[serde(default)]
    pub domain: Domain,
    /// Noise added to every gradient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
    /// Whether a column of ones joins the inputs; its weight is one of `x` like the others, regularizer included.
    #[serde(default)]
    pub intercept: bool,
    /// The least value of the objective, known from another solver.
    pub minimum: f64,
}

/// A method by name. The arm's `etas` are its step sizes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodConfig {
    /// [`Csmd`]
    Csmd {
        /// The mirror map.
        #[serde(default)]
        mirror: Mirror,
        /// Step sizes; their `eta` comes from `etas`.
        steps: Steps,
        /// Bound on the norm of a gradient.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clip: Option<f64>,
        /// How examples are drawn.
        #[serde(default)]
        sampling: Sampling,
        /// Examples per step.
        #[serde(default = "one")]
        batch: usize,
    },
    /// [`pegasos`], for a squared norm; its step sizes are not scaled.
    Pegasos {
        /// Whether to stay in the ball that holds the solution.
        #[serde(default)]
        project: bool,
    },
    /// [`Adam`] on subgradients
    Adam,
    /// [`AdaGrad`] on subgradients
    Adagrad,
    /// [`ScheduleFree`] on subgradients
    ScheduleFree {
        /// How near to the average gradients are taken.
        #[serde(default = "momentum")]
        momentum: f64,
    },
}

fn one() -> usize {
    1
}
fn momentum() -> f64 {
    0.9
}

/// The averages beside every run of [`Csmd`].
pub fn averages() -> [Average; 3] {
    [Average::Uniform, Average::Suffix { share: 0.5 }, Average::Polynomial { s: 1.0 }]
}

fn invalid(table: &str, problem: MirrorError) -> Invalid {
    match problem {
        MirrorError::OutOfRange { key, expected } => {
            Invalid::new(format!("{table}.{key}"), expected)
        }
        other => Invalid::new(table, other.to_string()),
    }
}

impl ProblemConfig {
    pub fn validate(&self) -> Result<(), Invalid> {
        if Bundled::find(&self.data).is_err() {
            let names = BUNDLED.map(|set| set.name).join(", ");
            return Err(Invalid::new("problem.data", format!("a bundled data set ({names})")));
        }
        if !self.minimum.is_finite() {
            return Err(Invalid::new("problem.minimum", "a finite number"));
        }
        let noise = self.noise.map_or(Ok(()), |n| n.validate());
        noise.map_err(|bad| invalid("problem", bad))
    }

    /// `f`, without `h`.
    pub fn load(&self) -> Result<Box<dyn StochasticOracle + Send>, Error> {
        let data = Dataset::bundled(&self.data).map_err(Error::other)?.cast(DType::F64);
        let standardised = |values: &Array| -> Result<Array, Error> {
            let scale = Standardizer::fit(values).map_err(Error::other)?;
            scale.apply(values).map_err(Error::other)
        };
        let inputs = standardised(&data.inputs.reshape(&[data.len() as isize, -1]))?;
        let inputs = if self.intercept {
            Array::cat(&[&inputs, &Array::ones(&[data.len(), 1], DType::F64)], 1)
        } else {
            inputs
        };
        let targets = data.targets.cast(DType::F64);
        let targets = match self.loss {
            Loss::Hinge | Loss::Logistic if data.classes() == Some(2) => targets * 2.0 - 1.0,
            Loss::Hinge | Loss::Logistic => {
                return Err(Error::message(format!(
                    "problem.data: `{}` has not two classes, which this loss needs",
                    self.data
                )));
            }
            Loss::Absolute | Loss::Squared => {
                standardised(&targets.reshape(&[-1, 1]))?.reshape(&[-1])
            }
        };
        let model = LinearModel::new(&inputs, &targets, self.loss).map_err(Error::other)?;
        Ok(match self.noise {
            Some(noise) => Box::new(Noisy { inner: model, noise }),
            None => Box::new(model),
        })
    }
}

impl MethodConfig {
    pub fn validate(&self, problem: &ProblemConfig) -> Result<(), Invalid> {
        match self {
            MethodConfig::Csmd { mirror, .. } => {
                let parts = (mirror.clone(), problem.regularizer.clone(), problem.domain.clone());
                Geometry::new(parts.0, parts.1, parts.2).map_err(|bad| match bad {
                    MirrorError::OutOfRange { ref key, expected } => {
                        let table = if key.starts_with("mirror") { "method" } else { "problem" };
                        Invalid::new(format!("{table}.{key}"), expected)
                    }
                    other => Invalid::new("method.mirror", other.to_string()),
                })?;
                self.csmd(problem, 1.0)
                    .and_then(|csmd| csmd.validate())
                    .map_err(|bad| invalid("method", bad))
            }
            MethodConfig::Pegasos { .. } => match problem.regularizer {
                Regularizer::SquaredL2 { weight } if weight > 0.0 => Ok(()),
                _ => Err(Invalid::new("problem.regularizer", "squared-l2 with a weight above 0")),
            },
            MethodConfig::ScheduleFree { momentum } if !(0.0..=1.0).contains(momentum) => {
                Err(Invalid::new("method.momentum", "a number from 0 to 1"))
            }
            _ if problem.domain != Domain::Whole => {
                Err(Invalid::new("problem.domain", "the whole space for this method"))
            }
            _ => Ok(()),
        }
    }

    /// Whether averages are kept beside the last iterate.
    pub fn averages(&self) -> bool {
        matches!(self, MethodConfig::Csmd { .. } | MethodConfig::Pegasos { .. })
    }

    fn csmd(&self, problem: &ProblemConfig, eta: f64) -> Result<Csmd, MirrorError> {
        let csmd = match self {
            MethodConfig::Csmd { mirror, steps, clip, sampling, batch } => {
                let (regularizer, domain) = (problem.regularizer.clone(), problem.domain.clone());
                let geometry = Geometry::new(mirror.clone(), regularizer, domain)?;
                let csmd = Csmd::new(geometry, steps.with_eta(eta)).sampling(*sampling, *batch);
                Csmd { clip: *clip, ..csmd }
            }
            _ => pegasos(
                problem.regularizer.strong_convexity(),
                matches!(self, MethodConfig::Pegasos { project: true }),
            )?,
        };
        Ok(averages().into_iter().fold(csmd, Csmd::average))
    }

    /// One run from 0 with objective values at the marks.
    pub fn trace(
        &self,
        problem: &ProblemConfig,
        f: &dyn StochasticOracle,
        eta: f64,
        seed: u64,
        marks: &[u64],
    ) -> Result<Vec<Mark>, MirrorError> {
        let start = vec![0.0; f.dimension()];
        let whole = || Linearized::new(f, problem.regularizer.clone());
        match self {
            MethodConfig::Csmd { .. } => self.csmd(problem, eta)?.trace(f, &start, seed, marks),
            MethodConfig::Pegasos { .. } => {
                self.csmd(problem, eta)?.trace(&whole()?, &start, seed, marks)
            }
            MethodConfig::Adam => trained(&Adam::new(eta), &whole()?, seed, marks),
            MethodConfig::Adagrad => trained(&AdaGrad::new(eta), &whole()?, seed, marks),
            MethodConfig::ScheduleFree { momentum } => {
                let optimizer = ScheduleFree { momentum: *momentum, ..ScheduleFree::new(eta) };
                trained(&optimizer, &whole()?, seed, marks)
            }
        }
    }
}

/// A training optimizer on a convex problem, one example a step.
fn trained(
    optimizer: &dyn Optimizer<Array>,
    problem: &dyn StochasticOracle,
    seed: u64,
    marks: &[u64],
) -> Result<Vec<Mark>, MirrorError> {
    let mut oracle = Sampled::new(problem, Sampling::WithReplacement, 1, seed)?;
    let mut x = Array::zeros(&[problem.dimension()], DType::F64);
    let mut state = optimizer.init(&x);
    let mut rows = Vec::with_capacity(marks.len());
    for &mark in marks {
        while state.step < mark {
            oracle.next();
            optimizer.step(&mut x, &mut state, &mut oracle);
        }
        let solution = optimizer.averaged(&x, &state).unwrap_or_else(|| x.clone());
        let last = problem.value(&solution.to_f64_vec());
        rows.push(Mark { step: mark, last, averages: Vec::new() });
    }
    Ok(rows)
}
