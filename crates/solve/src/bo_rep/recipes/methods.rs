//! The methods that a recipe can name.

use std::sync::Arc;

use lisse_array::Stream;
use lisse_run::Invalid;
use serde::{Deserialize, Serialize};

use super::sentences::FewShotTask;
use crate::bilevel::baselines::{Decay, F2sa, Soba, Solver, StocBio, Ttsa};
use crate::bo_rep::{BoRep, MetaLearner, Saba};

/// The methods by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodConfig {
    /// [`BoRep`]
    BoRep(BoRep),
    /// [`Soba`]
    Soba {
        /// Step size of `x`.
        eta: f64,
        /// Step size of `y`.
        gamma: f64,
        /// Step size of `z`.
        nu: f64,
        /// Above 0: MA-SOBA.
        #[serde(default)]
        momentum: f64,
    },
    /// [`Saba`]
    Saba {
        /// Step size of `x`.
        eta: f64,
        /// Step size of `y`.
        gamma: f64,
        /// Step size of `z`.
        nu: f64,
        /// Examples in a block.
        block: usize,
    },
    /// [`StocBio`]
    Stocbio {
        /// Step size of `x`.
        eta: f64,
        /// Step size of `y`.
        gamma: f64,
        /// Step size in the series.
        nu: f64,
        /// Lower steps.
        #[serde(default = "three")]
        inner: usize,
        /// Terms of the series.
        #[serde(default = "five")]
        terms: usize,
    },
    /// [`Ttsa`], with the powers 3/5 and 2/5
    Ttsa {
        /// First step size of `x`.
        eta: f64,
        /// First step size of `y`.
        gamma: f64,
        /// Step size in the series.
        nu: f64,
        /// Terms of the series.
        #[serde(default = "five")]
        terms: usize,
    },
    /// [`F2sa`]
    F2sa {
        /// First step size of `x`.
        eta: f64,
        /// First step size of `y` and `z`.
        gamma: f64,
        /// First weight.
        #[serde(default = "one")]
        lambda: f64,
        /// First growth of the weight.
        #[serde(default = "tenth")]
        delta: f64,
        /// Inner steps.
        #[serde(default = "ten")]
        inner: usize,
    },
    /// [`MetaLearner`] that adapts everything; few-shot tasks only
    Maml(MetaConfig),
    /// [`MetaLearner`] that adapts the head; few-shot tasks only
    Anil(MetaConfig),
    /// No step of the upper level
    Fixed {
        /// The `x` that stays.
        #[serde(default)]
        trust: Trust,
    },
}

/// An `x` that stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The start of the problem: equal weights.
    #[default]
    Start,
    /// Weight 1 for right labels, 0 for the replaced ones, which no method knows; for `cleaning`.
    Right,
}

/// Options of MAML and ANIL.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetaConfig {
    /// Step size of the start.
    pub eta: f64,
    /// Step size of the adaptation.
    pub gamma: f64,
    /// Its steps.
    #[serde(default = "three")]
    pub inner: usize,
    /// Tasks of a step.
    #[serde(default = "four")]
    pub tasks: usize,
}

fn one() -> f64 {
    1.0
}
fn tenth() -> f64 {
    0.1
}
fn three() -> usize {
    3
}
fn four() -> usize {
    4
}
fn five() -> usize {
    5
}
fn ten() -> usize {
    10
}

/// A solver, or nothing for an `x` that stays.
pub type Method = Option<Box<dyn Solver>>;

impl MethodConfig {
    pub fn validate(&self) -> Result<(), Invalid> {
        let positive = |v: f64, key: &str| {
            if v > 0.0 && v.is_finite() {
                Ok(())
            } else {
                Err(Invalid::new(format!("method.{key}"), "a finite number above 0"))
            }
        };
        let some = |v: usize, key: &str| {
            if v > 0 { Ok(()) } else { Err(Invalid::new(format!("method.{key}"), "at least 1")) }
        };
        match self {
            MethodConfig::BoRep(options) => options
                .validate()
                .map_err(|bad| Invalid::new(format!("method.{}", bad.key), bad.expected)),
            MethodConfig::Soba { eta, gamma, nu, momentum } => {
                positive(*eta, "eta")?;
                positive(*gamma, "gamma")?;
                positive(*nu, "nu")?;
                if (0.0..1.0).contains(momentum) {
                    Ok(())
                } else {
                    Err(Invalid::new("method.momentum", "a number from 0 to below 1"))
                }
            }
            MethodConfig::Saba { eta, gamma, nu, block } => {
                positive(*eta, "eta")?;
                positive(*gamma, "gamma")?;
                positive(*nu, "nu")?;
                some(*block, "block")
            }
            MethodConfig::Stocbio { eta, gamma, nu, inner, terms } => {
                positive(*eta, "eta")?;
                positive(*gamma, "gamma")?;
                positive(*nu, "nu")?;
                some(*inner, "inner")?;
                some(*terms, "terms")
            }
            MethodConfig::Ttsa { eta, gamma, nu, terms } => {
                positive(*eta, "eta")?;
                positive(*gamma, "gamma")?;
                positive(*nu, "nu")?;
                some(*terms, "terms")
            }
            MethodConfig::F2sa { eta, gamma, lambda, delta, inner } => {
                positive(*eta, "eta")?;
                positive(*gamma, "gamma")?;
                positive(*lambda, "lambda")?;
                positive(*delta, "delta")?;
                some(*inner, "inner")
            }
            MethodConfig::Maml(meta) | MethodConfig::Anil(meta) => {
                positive(meta.eta, "eta")?;
                positive(meta.gamma, "gamma")?;
                some(meta.inner, "inner")?;
                some(meta.tasks, "tasks")
            }
            MethodConfig::Fixed { .. } => Ok(()),
        }
    }

    /// The solver. `few_shot` are the tasks of MAML and ANIL, `stream` chooses the blocks of SABA.
    pub fn build(&self, few_shot: Option<&Arc<FewShotTask>>, stream: &Stream) -> Method {
        let constant = Decay::constant;
        let meta = |config: &MetaConfig, adapts_all: bool| -> Method {
            Some(Box::new(MetaLearner {
                tasks: few_shot?.tasks(),
                adapts_all,
                inner: config.inner,
                gamma: config.gamma,
                eta: config.eta,
                batch: config.tasks,
            }))
        };
        match *self {
            MethodConfig::BoRep(ref options) => Some(Box::new(options.clone())),
            MethodConfig::Soba { eta, gamma, nu, momentum } => Some(Box::new(Soba {
                gamma: constant(gamma),
                nu: constant(nu),
                eta: constant(eta),
                momentum,
            })),
            MethodConfig::Saba { eta, gamma, nu, block } => Some(Box::new(Saba {
                gamma: constant(gamma),
                nu: constant(nu),
                eta: constant(eta),
                block,
                stream: stream.child("blocks"),
            })),
            MethodConfig::Stocbio { eta, gamma, nu, inner, terms } => Some(Box::new(StocBio {
                gamma: constant(gamma),
                nu,
                eta: constant(eta),
                inner,
                terms,
            })),
            MethodConfig::Ttsa { eta, gamma, nu, terms } => Some(Box::new(Ttsa {
                gamma: Decay { first: gamma, power: 0.4 },
                nu,
                eta: Decay { first: eta, power: 0.6 },
                terms,
            })),
            MethodConfig::F2sa { eta, gamma, lambda, delta, inner } => Some(Box::new(F2sa {
                a: Decay { first: gamma, power: 5.0 / 7.0 },
                c: Decay { first: gamma, power: 4.0 / 7.0 },
                b: Decay { first: eta, power: 4.0 / 7.0 },
                lambda,
                delta: Decay { first: delta, power: 1.0 / 7.0 },
                inner,
                ..F2sa::default()
            })),
            MethodConfig::Maml(ref config) => meta(config, true),
            MethodConfig::Anil(ref config) => meta(config, false),
            MethodConfig::Fixed { .. } => None,
        }
    }
}
