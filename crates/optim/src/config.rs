//! Optimizers as recipes name them.

use lisse_array::Tree;
use serde::{Deserialize, Serialize};

use crate::{
    AdaGrad, AdaGradNorm, Adam, Clip, Clipped, Group, Groups, Optimizer, RmsProp, Sam, Schedule,
    Sgd,
};

/// An optimizer with its schedule and wrappers, as written in a recipe.
///
/// ```toml
/// [method.optimizer]
/// name = "sgd"
/// learning_rate = 0.05
/// momentum = 0.9
/// [method.schedule]
/// name = "cosine"
/// [method.sam]
/// rho = 0.05
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OptimizerConfig {
    /// The rule.
    pub optimizer: Rule,
    /// How the learning rate changes.
    #[serde(default)]
    pub schedule: Decay,
    /// Sharpness-aware minimization around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sam: Option<SamConfig>,
    /// Randomized smoothing of the loss: before all else, so that penalties and SAM act on the smoothed loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smooth: Option<crate::smoothing::SmoothConfig>,
    /// Penalty on the gradient's norm: SAM perturbs the penalised loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_penalty: Option<crate::smoothing::GradientPenaltyConfig>,
    /// Penalty on the curvature along the gradient; not beside `gradient_penalty`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curvature_penalty: Option<crate::smoothing::CurvaturePenaltyConfig>,
    /// Average of the iterates, to be used in place of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<crate::smoothing::AverageConfig>,
    /// Bound on the gradient that the rule sees (after SAM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipConfig>,
    /// Clipping of each coordinate at a rank among all, directly around the rule (after `clip`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinate_clip: Option<crate::coordinate_clipping::CoordinateClip>,
    /// Batches that grow with the noise of the gradient; outside all else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive_batch: Option<crate::adaptive_batch::Controller>,
    /// Settings by parameter path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

/// The optimizers by name, with the defaults of their papers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs)] // the fields are those of the optimizers
pub enum Rule {
    /// [`Sgd`]
    Sgd {
        learning_rate: f64,
        #[serde(default)]
        momentum: f64,
        #[serde(default)]
        nesterov: bool,
        #[serde(default)]
        weight_decay: f64,
    },
    /// [`Adam`]
    Adam {
        learning_rate: f64,
        #[serde(default = "beta1")]
        beta1: f64,
        #[serde(default = "beta2")]
        beta2: f64,
        #[serde(default = "epsilon")]
        epsilon: f64,
        #[serde(default)]
        weight_decay: f64,
    },
    /// [`Adam`] with decoupled weight decay
    Adamw {
        learning_rate: f64,
        #[serde(default = "beta1")]
        beta1: f64,
        #[serde(default = "beta2")]
        beta2: f64,
        #[serde(default = "epsilon")]
        epsilon: f64,
        #[serde(default = "decoupled_decay")]
        weight_decay: f64,
    },
    /// [`RmsProp`]
    Rmsprop {
        learning_rate: f64,
        #[serde(default = "square_decay")]
        decay: f64,
        #[serde(default)]
        momentum: f64,
        #[serde(default)]
        weight_decay: f64,
    },
    /// [`AdaGrad`]
    Adagrad {
        learning_rate: f64,
        #[serde(default)]
        weight_decay: f64,
    },
    /// [`AdaGradNorm`]
    AdagradNorm {
        learning_rate: f64,
        #[serde(default = "initial_norm")]
        initial: f64,
    },
    /// [`Lion`](crate::Lion)
    Lion {
        learning_rate: f64,
        #[serde(default = "beta1")]
        beta1: f64,
        #[serde(default = "lion_beta2")]
        beta2: f64,
        #[serde(default)]
        weight_decay: f64,
        #[serde(default = "yes")]
        sign: bool,
    },
    /// [`Adafactor`](crate::Adafactor)
    Adafactor { learning_rate: f64 },
    /// [`SignSgd`](crate::SignSgd)
    SignSgd {
        learning_rate: f64,
        #[serde(default)]
        momentum: f64,
        #[serde(default)]
        weight_decay: f64,
    },
    /// [`NormalizedSgd`](crate::NormalizedSgd)
    NormalizedSgd {
        learning_rate: f64,
        #[serde(default)]
        momentum: f64,
        #[serde(default)]
        weight_decay: f64,
    },
    /// [`ProximalSgd`](crate::mirror::ProximalSgd)
    Csmd(crate::mirror::CsmdConfig),
    /// [`ScheduleFree`](crate::mirror::ScheduleFree)
    ScheduleFree(crate::mirror::ScheduleFreeConfig),
    /// [`Sso`](crate::target_surrogate::Sso)
    Sso(crate::target_surrogate::SsoConfig),
    /// [`Mfac`](crate::mfac::Mfac)
    Mfac(crate::mfac::MfacConfig),
    /// [`GradientNormalized`](crate::gradient_normalized::GradientNormalized)
    Gns(crate::gradient_normalized::GnsConfig),
    /// [`GradientAverage`](crate::energy::GradientAverage)
    GradientAverage {
        learning_rate: f64,
        #[serde(default = "newest_share")]
        beta: f64,
        #[serde(default)]
        weight_decay: f64,
    },
}

fn beta1() -> f64 {
    0.9
}
fn beta2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}
fn decoupled_decay() -> f64 {
    0.01
}
fn square_decay() -> f64 {
    0.99
}
fn initial_norm() -> f64 {
    0.01
}
fn lion_beta2() -> f64 {
    0.99
}
fn newest_share() -> f64 {
    0.1
}
fn yes() -> bool {
    true
}

/// How the learning rate falls from the rule's own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs)] // the fields are those of `Schedule`
pub enum Decay {
    /// Not at all
    #[default]
    Constant,
    /// By a factor now and then
    Step { every: u64, factor: f64 },
    /// Along half a cosine to `floor`
    Cosine {
        #[serde(default)]
        warmup: u64,
        #[serde(default)]
        floor: f64,
    },
    /// Linearly to zero
    LinearToZero {
        #[serde(default)]
        warmup: u64,
    },
    /// Up at first, then not at all
    Warmup { warmup: u64 },
    /// The learning rate times step sizes with guarantees for the last iterate, for as many steps as the training has
    LastIterate { steps: crate::mirror::Steps },
}

/// Sharpness-aware minimization in a recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SamConfig {
    /// Radius of the ball.
    pub rho: f64,
    /// ASAM: measure the ball relative to the parameters.
    #[serde(default)]
    pub adaptive: bool,
}

/// Gradient clipping in a recipe: exactly one of the two.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClipConfig {
    /// Largest global norm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<f64>,
    /// Largest absolute entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// A key whose value is out of range, and what would be right.
pub struct OutOfRange {
    /// Key below the optimizer's table: `sam.rho`.
    pub key: String,
    /// What was expected.
    pub expected: &'static str,
}

/// What a range check answers.
pub(crate) fn fail(key: &str, expected: &'static str) -> Result<(), OutOfRange> {
    Err(OutOfRange { key: key.to_string(), expected })
}

impl OptimizerConfig {
    /// [`validate`](Self::validate) for a training whose batches are all of one size.
    ///
    /// # Errors
    /// As `validate`, and for batches that would grow.
    pub fn validate_with_fixed_batches(&self) -> Result<(), OutOfRange> {
        if self.adaptive_batch.is_some() {
            return fail("adaptive_batch", "no such table: batches are of one size here");
        }
        self.validate()
    }

    /// Checks that a training of `steps` steps is long enough: a window that fills, an average with a member.
    ///
    /// # Errors
    /// The key below the optimizer's table, and what is wrong.
    pub fn fits(&self, steps: u64) -> Result<(), String> {
        if let Rule::Mfac(mfac) = &self.optimizer {
            mfac.fits(steps).map_err(|problem| format!("optimizer.{problem}"))?;
        }
        if self.average.as_ref().is_some_and(|average| !average.has_snapshot_within(steps)) {
            return Err(format!(
                "average.start: no step joins the average within the {steps} of this training"
            ));
        }
        Ok(())
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let fraction = |v: f64| (0.0..1.0).contains(&v);
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let not_negative = |v: f64| v >= 0.0 && v.is_finite();
        if !positive(self.optimizer.learning_rate()) {
            return fail("optimizer.learning_rate", "a number above 0");
        }
        if !not_negative(self.optimizer.weight_decay()) {
            return fail("optimizer.weight_decay", "a number of at least 0");
        }
        self.schedule.validate(self.optimizer.learning_rate())?;
        for (i, group) in self.groups.iter().enumerate() {
            if !not_negative(group.learning_rate_scale) {
                let key = format!("groups.{i}.learning_rate_scale");
                return fail(&key, "a number of at least 0");
            }
            if !group.weight_decay.is_none_or(not_negative) {
                return fail(&format!("groups.{i}.weight_decay"), "a number of at least 0");
            }
        }
        match self.optimizer {
            Rule::Csmd(ref csmd) => csmd.validate_within(self)?,
            Rule::ScheduleFree(ref free) => free.validate_within(self)?,
            Rule::Sso(ref sso) => sso.validate_within(self)?,
            Rule::Mfac(ref mfac) => mfac
                .validate()
                .map_err(|bad| OutOfRange { key: format!("optimizer.{}", bad.key), ..bad })?,
            Rule::Gns(ref gns) => gns.validate_within(self)?,
            Rule::Sgd { momentum, nesterov, .. } => {
                if !fraction(momentum) {
                    return fail("optimizer.momentum", "a number from 0 to below 1");
                }
                if nesterov && momentum == 0.0 {
                    return fail("optimizer.nesterov", "false, or a momentum above 0");
                }
            }
            Rule::Adam { beta1, beta2, epsilon, .. }
            | Rule::Adamw { beta1, beta2, epsilon, .. } => {
                if !positive(epsilon) {
                    return fail("optimizer.epsilon", "a number above 0");
                }
                if !fraction(beta1) {
                    return fail("optimizer.beta1", "a number from 0 to below 1");
                }
                if !fraction(beta2) {
                    return fail("optimizer.beta2", "a number from 0 to below 1");
                }
            }
            Rule::Rmsprop { decay, momentum, .. } => {
                if !fraction(decay) {
                    return fail("optimizer.decay", "a number from 0 to below 1");
                }
                if !fraction(momentum) {
                    return fail("optimizer.momentum", "a number from 0 to below 1");
                }
            }
            Rule::GradientAverage { beta, .. } if !(beta > 0.0 && beta <= 1.0) => {
                return fail("optimizer.beta", "a number above 0, at most 1");
            }
            Rule::AdagradNorm { initial, .. } if !positive(initial) => {
                return fail("optimizer.initial", "a number above 0");
            }
            Rule::Lion { beta1, .. } if !fraction(beta1) => {
                return fail("optimizer.beta1", "a number from 0 to below 1");
            }
            Rule::Lion { beta2, .. } if !fraction(beta2) => {
                return fail("optimizer.beta2", "a number from 0 to below 1");
            }
            Rule::SignSgd { momentum, .. } | Rule::NormalizedSgd { momentum, .. }
                if !fraction(momentum) =>
            {
                return fail("optimizer.momentum", "a number from 0 to below 1");
            }
            _ => {}
        }
        if let Some(sam) = &self.sam
            && !(sam.rho >= 0.0 && sam.rho.is_finite())
        {
            return fail("sam.rho", "a number of at least 0");
        }
        self.validate_smoothing()?;
        self.validate_adaptive_batch()?;
        self.validate_coordinate_clip()?;
        match &self.clip {
            Some(
                ClipConfig { norm: Some(_), value: Some(_) }
                | ClipConfig { norm: None, value: None },
            ) => fail("clip", "either `norm` or `value`"),
            Some(ClipConfig { norm: Some(v), .. }) if !positive(*v) => {
                fail("clip.norm", "a number above 0")
            }
            Some(ClipConfig { value: Some(v), .. }) if !positive(*v) => {
                fail("clip.value", "a number above 0")
            }
            _ => Ok(()),
        }
    }

    /// The optimizer for a training of `total` steps.
    pub fn build<P: Tree + 'static>(&self, total: u64) -> Box<dyn Optimizer<P>> {
        let schedule = self.schedule.build(self.optimizer.learning_rate(), total);
        let rule = self.optimizer.build(schedule, Groups(self.groups.clone()));
        let rule = self.coordinate_clipped(rule);
        let clip =
            self.clip.as_ref().and_then(|c| c.norm.map(Clip::Norm).or(c.value.map(Clip::Value)));
        let clipped: Box<dyn Optimizer<P>> = match clip {
            Some(clip) => Box::new(Clipped { clip, inner: rule }),
            None => rule,
        };
        let sharpness_aware: Box<dyn Optimizer<P>> = match &self.sam {
            Some(SamConfig { rho, adaptive: true }) => Box::new(Sam::adaptive(*rho, clipped)),
            Some(SamConfig { rho, adaptive: false }) => Box::new(Sam::new(*rho, clipped)),
            None => clipped,
        };
        self.with_adaptive_batch(self.smoothed(sharpness_aware), total)
    }
}

impl Rule {
    /// The learning rate at its highest.
    pub fn learning_rate(&self) -> f64 {
        match *self {
            Rule::Csmd(ref csmd) => csmd.learning_rate,
            Rule::ScheduleFree(ref free) => free.learning_rate,
            Rule::Sso(ref sso) => sso.learning_rate,
            Rule::Mfac(ref mfac) => mfac.learning_rate,
            // Its steps have the length of its own search.
            Rule::Gns(_) => 1.0,
            Rule::GradientAverage { learning_rate, .. }
            | Rule::Sgd { learning_rate, .. }
            | Rule::Adam { learning_rate, .. }
            | Rule::Adamw { learning_rate, .. }
            | Rule::Rmsprop { learning_rate, .. }
            | Rule::Adagrad { learning_rate, .. }
            | Rule::AdagradNorm { learning_rate, .. }
            | Rule::Lion { learning_rate, .. }
            | Rule::Adafactor { learning_rate }
            | Rule::SignSgd { learning_rate, .. }
            | Rule::NormalizedSgd { learning_rate, .. } => learning_rate,
        }
    }

    /// L2 penalty, or decoupled decay for AdamW.
    fn weight_decay(&self) -> f64 {
        match *self {
            Rule::ScheduleFree(ref free) => free.weight_decay,
            Rule::Mfac(ref mfac) => mfac.weight_decay,
            Rule::Gns(ref gns) => gns.weight_decay,
            Rule::GradientAverage { weight_decay, .. }
            | Rule::Sgd { weight_decay, .. }
            | Rule::Adam { weight_decay, .. }
            | Rule::Adamw { weight_decay, .. }
            | Rule::Rmsprop { weight_decay, .. }
            | Rule::Adagrad { weight_decay, .. }
            | Rule::Lion { weight_decay, .. }
            | Rule::SignSgd { weight_decay, .. }
            | Rule::NormalizedSgd { weight_decay, .. } => weight_decay,
            Rule::Csmd(_) | Rule::Sso(_) | Rule::AdagradNorm { .. } | Rule::Adafactor { .. } => 0.0,
        }
    }

    fn build<P: Tree + 'static>(
        &self,
        learning_rate: Schedule,
        groups: Groups,
    ) -> Box<dyn Optimizer<P>> {
        match *self {
            Rule::Csmd(ref csmd) => Box::new(csmd.build(learning_rate, groups)),
            Rule::ScheduleFree(ref free) => Box::new(free.build(learning_rate, groups)),
            Rule::Sso(ref sso) => Box::new(sso.build(learning_rate, groups)),
            Rule::Mfac(ref mfac) => Box::new(mfac.build(learning_rate, groups)),
            Rule::Gns(ref gns) => Box::new(gns.build()),
            Rule::GradientAverage { beta, weight_decay, .. } => {
                Box::new(crate::energy::GradientAverage {
                    learning_rate,
                    beta,
                    weight_decay,
                    groups,
                })
            }
            Rule::Sgd { momentum, nesterov, weight_decay, .. } => {
                Box::new(Sgd { learning_rate, momentum, nesterov, weight_decay, groups })
            }
            Rule::Adam { beta1, beta2, epsilon, weight_decay, .. } => Box::new(Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
                decoupled: false,
                groups,
            }),
            Rule::Adamw { beta1, beta2, epsilon, weight_decay, .. } => Box::new(Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
                decoupled: true,
                groups,
            }),
            Rule::Rmsprop { decay, momentum, weight_decay, .. } => Box::new(RmsProp {
                decay,
                momentum,
                weight_decay,
                groups,
                ..RmsProp::new(learning_rate)
            }),
            Rule::Adagrad { weight_decay, .. } => {
                Box::new(AdaGrad { weight_decay, groups, ..AdaGrad::new(learning_rate) })
            }
            Rule::AdagradNorm { initial, .. } => {
                Box::new(AdaGradNorm { learning_rate, initial, groups })
            }
            Rule::Lion { beta1, beta2, weight_decay, sign, .. } => {
                Box::new(crate::Lion { learning_rate, beta1, beta2, weight_decay, sign, groups })
            }
            Rule::Adafactor { .. } => {
                Box::new(crate::Adafactor { groups, ..crate::Adafactor::new(learning_rate) })
            }
            Rule::SignSgd { momentum, weight_decay, .. } => {
                Box::new(crate::SignSgd { learning_rate, momentum, weight_decay, groups })
            }
            Rule::NormalizedSgd { momentum, weight_decay, .. } => {
                Box::new(crate::NormalizedSgd { learning_rate, momentum, weight_decay, groups })
            }
        }
    }
}

impl Decay {
    fn validate(&self, peak: f64) -> Result<(), OutOfRange> {
        match *self {
            Decay::LastIterate { ref steps } => steps.validate_in_schedule(),
            Decay::Step { every: 0, .. } => fail("schedule.every", "at least 1"),
            Decay::Step { factor, .. } if !(factor > 0.0 && factor.is_finite()) => {
                fail("schedule.factor", "a number above 0")
            }
            Decay::Cosine { floor, .. } if !(floor >= 0.0 && floor <= peak) => {
                fail("schedule.floor", "a number from 0 to the learning rate")
            }
            _ => Ok(()),
        }
    }

    fn build(&self, peak: f64, total: u64) -> Schedule {
        match *self {
            Decay::LastIterate { ref steps } => steps.schedule(peak, total),
            Decay::Constant => Schedule::Constant { rate: peak },
            Decay::Step { every, factor } => Schedule::Step { peak, every, factor },
            Decay::Cosine { warmup, floor } => Schedule::Cosine { peak, warmup, total, floor },
            Decay::LinearToZero { warmup } => Schedule::LinearToZero { peak, warmup, total },
            Decay::Warmup { warmup } => Schedule::Warmup { peak, warmup },
        }
    }
}
