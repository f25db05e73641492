//! Smoothing as recipes name it.

use lisse_array::Tree;
use serde::{Deserialize, Serialize};

use super::{Averaged, CurvaturePenalty, GradientPenalty, RandomizedSmoothing};
use crate::Optimizer;
use crate::config::{OptimizerConfig, OutOfRange};

/// [`RandomizedSmoothing`] in a recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmoothConfig {
    /// Standard deviation of the noise on the parameters.
    pub sigma: f64,
    /// Draws per step.
    #[serde(default = "samples")]
    pub samples: u64,
    /// Of the noise.
    #[serde(default)]
    pub seed: u64,
}

fn samples() -> u64 {
    3
}

impl SmoothConfig {
    pub(crate) fn around<O>(&self, inner: O) -> RandomizedSmoothing<O> {
        let SmoothConfig { sigma, samples, seed } = *self;
        RandomizedSmoothing { sigma, samples, seed, inner }
    }
}

/// [`GradientPenalty`] in a recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientPenaltyConfig {
    /// Weight.
    pub lambda: f64,
    /// Distance of central differences in place of the exact product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differences: Option<f64>,
}

impl GradientPenaltyConfig {
    pub(crate) fn around<O>(&self, inner: O) -> GradientPenalty<O> {
        GradientPenalty { lambda: self.lambda, differences: self.differences, inner }
    }
}

/// [`CurvaturePenalty`] in a recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurvaturePenaltyConfig {
    /// Weight.
    pub lambda: f64,
    /// Length of the step along the gradient.
    #[serde(default = "mu")]
    pub mu: f64,
    /// Distance of central differences in place of the exact products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differences: Option<f64>,
}

fn mu() -> f64 {
    0.01
}

impl CurvaturePenaltyConfig {
    pub(crate) fn around<O>(&self, inner: O) -> CurvaturePenalty<O> {
        let CurvaturePenaltyConfig { lambda, mu, differences } = *self;
        CurvaturePenalty { lambda, mu, differences, inner }
    }
}

/// [`Averaged`] in a recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AverageConfig {
    /// First step, counted from 1, that may join the average.
    #[serde(default = "one")]
    pub start: u64,
    /// Only steps that are multiples of this join.
    #[serde(default = "one")]
    pub every: u64,
    /// Decay of the exponential average; the plain mean without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<f64>,
}

fn one() -> u64 {
    1
}

impl AverageConfig {
    pub(crate) fn around<O>(&self, inner: O) -> Averaged<O> {
        let AverageConfig { start, every, decay } = *self;
        Averaged { start, every, decay, inner }
    }

    /// Whether any of `steps` steps joins the average.
    pub fn has_snapshot_within(&self, steps: u64) -> bool {
        self.around(()).has_snapshot_within(steps)
    }
}

/// Puts the table's name before the key.
pub(crate) fn under(table: &str, checked: Result<(), OutOfRange>) -> Result<(), OutOfRange> {
    checked.map_err(|bad| OutOfRange { key: format!("{table}.{}", bad.key), ..bad })
}

impl OptimizerConfig {
    pub(crate) fn validate_smoothing(&self) -> Result<(), OutOfRange> {
        if let Some(smooth) = &self.smooth {
            under("smooth", smooth.around(()).validate())?;
        }
        if let Some(penalty) = &self.gradient_penalty {
            under("gradient_penalty", penalty.around(()).validate())?;
        }
        if let Some(penalty) = &self.curvature_penalty {
            under("curvature_penalty", penalty.around(()).validate())?;
            if self.gradient_penalty.is_some() {
                return Err(OutOfRange {
                    key: "curvature_penalty".into(),
                    expected: "one penalty: the second would need third derivatives of the first",
                });
            }
        }
        if let Some(average) = &self.average {
            under("average", average.around(()).validate())?;
        }
        Ok(())
    }

    /// From the loss to the rule: noise, then a penalty on the noisy loss, then what is in `inner` (SAM, clipping, the rule). The
    /// average is taken of what comes out.
    pub(crate) fn smoothed<P: Tree + 'static>(
        &self,
        inner: Box<dyn Optimizer<P>>,
    ) -> Box<dyn Optimizer<P>> {
        let mut optimizer = inner;
        if let Some(penalty) = &self.gradient_penalty {
            optimizer = Box::new(penalty.around(optimizer));
        }
        if let Some(penalty) = &self.curvature_penalty {
            optimizer = Box::new(penalty.around(optimizer));
        }
        if let Some(smooth) = &self.smooth {
            optimizer = Box::new(smooth.around(optimizer));
        }
        if let Some(average) = &self.average {
            optimizer = Box::new(average.around(optimizer));
        }
        optimizer
    }
}
