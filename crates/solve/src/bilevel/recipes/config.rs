//! The schema, and the methods that it names.

use std::sync::Arc;

use lisse_array::Stream;
use lisse_run::{Error, Invalid};
use serde::{Deserialize, Serialize};

use super::fixed::{Fixed, Grid};
use super::tasks::{self, Task};
use crate::bilevel::baselines::{
    Bome, Decay, F2sa, Implicit, Pbgd, Soba, Solver, StocBio, Unrolled,
};
use crate::bilevel::constrained::{EAipod, Gaffa, Growth, ImplicitKkt, LvHba, SaddleSteps};
use crate::bilevel::penalty::{InnerStep, PenaltyBilevel, Streams};

/// The schema of a comparison on one problem.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The problem.
    pub problem: ProblemConfig,
    /// The method of the arm.
    pub method: MethodConfig,
    /// Steps of `x`.
    pub steps: u64,
    /// Splits of the data (or starts), all run.
    #[serde(default = "one_seed")]
    pub seeds: u64,
    /// Examples in a batch; 0 for all.
    #[serde(default)]
    pub batch: usize,
    /// Evaluations along the way.
    #[serde(default = "twenty")]
    pub evaluations: u64,
}

fn one_seed() -> u64 {
    1
}
fn twenty() -> u64 {
    20
}

/// The problems by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProblemConfig {
    /// Weights for the examples of logistic regression over a ball, on breast cancer with flipped labels.
    Cleaning {
        /// Training examples.
        train: usize,
        /// Clean validation examples.
        validation: usize,
        /// Share of flipped labels.
        flipped: f64,
        /// Radius of the ball of the model's weights.
        radius: f64,
        /// The logits of the examples' weights stay in `[-limit, limit]`.
        limit: f64,
    },
    /// Weights for the examples of softmax regression with a ridge, on digits with wrong labels.
    Digits {
        /// Training examples.
        train: usize,
        /// Clean validation examples.
        validation: usize,
        /// Share of wrong labels.
        flipped: f64,
        /// `ridge |W|^2`
        ridge: f64,
    },
    /// Weights for the examples of a support vector machine.
    Svm {
        /// `breast-cancer`, or `digits`: 4 against 9.
        data: SvmData,
        /// Training examples.
        train: usize,
        /// Clean validation examples.
        validation: usize,
        /// Share of flipped labels.
        flipped: f64,
        /// Logarithm of the weights at the start.
        start: f64,
        /// Constraints are scaled to gradients of unit length.
        #[serde(default)]
        scaled: bool,
    },
    /// The toy with many lower solutions and a known optimum.
    ManySolutions {
        /// Dimension of `x`.
        n: usize,
        /// Whether the constraint has a gradient of unit length.
        scaled: bool,
        /// Random entries at the start instead of ones.
        #[serde(default)]
        random: bool,
    },
    /// The toy with a nonconvex upper level and random couplings.
    CoupledSine {
        /// Dimension of `x` and `y`.
        n: usize,
        /// Rows of the lower constraint.
        m: usize,
    },
}

/// Data of the support vector machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SvmData {
    /// 569 tumours, 30 features.
    BreastCancer,
    /// Images of fours and nines, 64 pixels.
    Digits,
}

/// The methods by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodConfig {
    /// [`PenaltyBilevel`]
    Penalty {
        /// First penalty parameter.
        #[serde(default = "half")]
        sigma: f64,
        /// Power of its decay.
        #[serde(default = "third")]
        sigma_power: f64,
        /// Instead of the decay, halve when the lower gap exceeds this times its square.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        automatic: Option<f64>,
        /// Step size of `x`.
        step: f64,
        /// Power of its decay.
        #[serde(default)]
        step_power: f64,
        /// Inner steps.
        #[serde(default = "three")]
        inner: usize,
        /// Smoothness of the lower objective.
        lower_smoothness: f64,
        /// Smoothness of the upper objective.
        upper_smoothness: f64,
        /// Proximal parameter.
        #[serde(default = "one")]
        prox: f64,
        /// Mixing.
        #[serde(default = "half")]
        mix: f64,
        /// Share of the new gradient in the recursion of the single loop; needs `inner = 1`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recursive: Option<f64>,
    },
    /// [`F2sa`]
    F2sa {
        /// First weight.
        lambda: f64,
        /// Its growth per step.
        delta: f64,
        /// Step size of `y`, falls as the weight grows if `delta > 0`.
        a: f64,
        /// Step size of `z`.
        c: f64,
        /// Step size of `x`.
        b: f64,
        /// Inner steps.
        #[serde(default = "ten")]
        inner: usize,
        /// Whether `y` stays in its set.
        #[serde(default = "yes")]
        projected: bool,
    },
    /// [`Pbgd`]
    Pbgd {
        /// Step size of `x` and `y`.
        step: f64,
        /// Step size of the lower steps.
        inner_step: f64,
        /// Weight of the gap.
        weight: f64,
        /// Lower steps.
        #[serde(default = "ten")]
        inner: usize,
    },
    /// [`Bome`]
    Bome {
        /// Step size of `x` and `y`.
        step: f64,
        /// Step size of the lower steps.
        inner_step: f64,
        /// Lower steps.
        #[serde(default = "ten")]
        inner: usize,
    },
    /// [`Soba`]
    Soba {
        /// Step size of `y`.
        gamma: f64,
        /// Step size of `z`.
        nu: f64,
        /// Step size of `x`.
        eta: f64,
        /// Momentum of the direction.
        #[serde(default)]
        momentum: f64,
    },
    /// [`StocBio`]
    Stocbio {
        /// Step size of `y`.
        gamma: f64,
        /// Step size of the series.
        nu: f64,
        /// Step size of `x`.
        eta: f64,
        /// Lower steps.
        #[serde(default = "ten")]
        inner: usize,
        /// Terms of the series.
        #[serde(default = "ten")]
        terms: usize,
    },
    /// [`Implicit`]
    Implicit {
        /// Step size of `y`.
        gamma: f64,
        /// Step size of `x`.
        eta: f64,
        /// Lower steps.
        #[serde(default = "ten")]
        inner: usize,
    },
    /// [`Unrolled`]
    Unrolled {
        /// Step size of `y`.
        gamma: f64,
        /// Step size of `x`.
        eta: f64,
        /// Lower steps.
        #[serde(default = "ten")]
        inner: usize,
    },
    /// [`LvHba`]
    LvHba {
        /// Step size of `(x, y)`.
        alpha: f64,
        /// Own step size of `x`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alpha_x: Option<f64>,
        /// Step size of `z`.
        beta: f64,
        /// Step size of the saddle steps.
        eta: f64,
        /// Proximal parameter of `t`.
        #[serde(default = "one")]
        gamma1: f64,
        /// Proximal parameter of the multipliers.
        #[serde(default = "one")]
        gamma2: f64,
        /// Growth of the penalty.
        growth: Growth,
        /// Bound of the multipliers.
        #[serde(default = "thousand")]
        bound: f64,
        /// One or two gradients per saddle step.
        #[serde(default)]
        saddle: SaddleSteps,
        /// Starts at the exact lower solution where the problem can find it.
        #[serde(default = "yes")]
        warm: bool,
        /// Goes back and halves the step sizes when the steps grow.
        #[serde(default = "yes")]
        guard: bool,
    },
    /// [`Gaffa`]
    Gaffa {
        /// Step size of `(x, y)`.
        #[serde(default = "thousandth")]
        alpha: f64,
        /// Step size of `z`.
        #[serde(default = "thousandth")]
        beta: f64,
        /// Step size of `t`.
        #[serde(default = "hundredth")]
        eta: f64,
        /// First penalty.
        #[serde(default = "one")]
        first: f64,
        /// Largest penalty.
        #[serde(default = "ten_times")]
        most: f64,
    },
    /// [`EAipod`]
    EAipod {
        /// Step size of `y`.
        a: f64,
        /// Step size of `x`.
        b: f64,
    },
    /// [`ImplicitKkt`]
    ImplicitKkt {
        /// Step size of `x`.
        step: f64,
    },
    /// The best of equal weights whose logarithms are evenly spaced, one a step.
    Grid {
        /// The first.
        from: f64,
        /// The last.
        to: f64,
    },
    /// No learning: the start, or weights that know which labels are wrong.
    Fixed {
        /// Whether they know.
        #[serde(default)]
        oracle: bool,
    },
}

fn half() -> f64 {
    0.5
}
fn third() -> f64 {
    1.0 / 3.0
}
fn one() -> f64 {
    1.0
}
fn ten_times() -> f64 {
    10.0
}
fn thousand() -> f64 {
    1e3
}
fn thousandth() -> f64 {
    1e-3
}
fn hundredth() -> f64 {
    1e-2
}
fn three() -> usize {
    3
}
fn ten() -> usize {
    10
}
fn yes() -> bool {
    true
}

impl Config {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        if self.seeds == 0 {
            return Err(Invalid::new("seeds", "a number of at least 1"));
        }
        if self.evaluations == 0 {
            return Err(Invalid::new("evaluations", "a number of at least 1"));
        }
        self.problem.validate()?;
        self.method.validate()
    }
}

impl ProblemConfig {
    fn validate(&self) -> Result<(), Invalid> {
        let share = |value: f64| {
            let fits = (0.0..1.0).contains(&value);
            if fits {
                Ok(())
            } else {
                Err(Invalid::new("problem.flipped", "a number from 0 to below 1"))
            }
        };
        let sizes = |train: usize, validation: usize, most: usize| {
            if train == 0 || validation == 0 || train + validation >= most {
                let expected =
                    format!("sizes above 0 that leave some of the {most} examples for testing");
                return Err(Invalid::new("problem.train", expected));
            }
            Ok(())
        };
        match *self {
            ProblemConfig::Cleaning { train, validation, flipped, radius, limit } => {
                sizes(train, validation, 569)?;
                share(flipped)?;
                above("problem.radius", radius)?;
                above("problem.limit", limit)
            }
            ProblemConfig::Digits { train, validation, flipped, ridge } => {
                sizes(train, validation, 1797)?;
                share(flipped)?;
                if ridge >= 0.0 {
                    Ok(())
                } else {
                    Err(Invalid::new("problem.ridge", "a number of at least 0"))
                }
            }
            ProblemConfig::Svm { data, train, validation, flipped, start, .. } => {
                sizes(train, validation, if data == SvmData::Digits { 361 } else { 569 })?;
                share(flipped)?;
                let fits = (-8.0..=4.0).contains(&start);
                if fits {
                    Ok(())
                } else {
                    Err(Invalid::new("problem.start", "a number from -8 to 4"))
                }
            }
            ProblemConfig::ManySolutions { n, .. } => above("problem.n", n as f64),
            ProblemConfig::CoupledSine { n, m } => {
                let fits = m > 1 && 2 * m < n;
                if fits {
                    Ok(())
                } else {
                    Err(Invalid::new("problem.m", "a number from 2 to below n / 2"))
                }
            }
        }
    }

    pub(super) fn task(&self, seed: u64) -> Result<Box<dyn Task>, Error> {
        tasks::build(self, &Stream::new(seed))
    }
}

fn above(key: &str, value: f64) -> Result<(), Invalid> {
    if value > 0.0 { Ok(()) } else { Err(Invalid::new(key, "a number above 0")) }
}

impl MethodConfig {
    fn validate(&self) -> Result<(), Invalid> {
        let at = |key: &str| format!("method.{key}");
        let all = |list: &[(&str, f64)]| list.iter().try_for_each(|(k, v)| above(&at(k), *v));
        match *self {
            MethodConfig::Penalty { recursive: Some(_), inner, .. } if inner != 1 => {
                Err(Invalid::new(at("inner"), "1, because of method.recursive"))
            }
            MethodConfig::Penalty { mix, .. } if !(mix > 0.0 && mix <= 1.0) => {
                Err(Invalid::new(at("mix"), "a number above 0 and at most 1"))
            }
            MethodConfig::Penalty { sigma, step, lower_smoothness, prox, inner, .. } => all(&[
                ("sigma", sigma),
                ("step", step),
                ("lower_smoothness", lower_smoothness),
                ("prox", prox),
                ("inner", inner as f64),
            ]),
            MethodConfig::F2sa { lambda, a, b, c, .. } => {
                all(&[("lambda", lambda), ("a", a), ("b", b), ("c", c)])
            }
            MethodConfig::Pbgd { step, inner_step, weight, .. } => {
                all(&[("step", step), ("inner_step", inner_step), ("weight", weight)])
            }
            MethodConfig::Bome { step, inner_step, .. } => {
                all(&[("step", step), ("inner_step", inner_step)])
            }
            MethodConfig::Soba { momentum, .. } if !(0.0..1.0).contains(&momentum) => {
                Err(Invalid::new(at("momentum"), "a number from 0 to below 1"))
            }
            MethodConfig::Soba { gamma, nu, eta, .. }
            | MethodConfig::Stocbio { gamma, nu, eta, .. } => {
                all(&[("gamma", gamma), ("nu", nu), ("eta", eta)])
            }
            MethodConfig::Implicit { gamma, eta, .. }
            | MethodConfig::Unrolled { gamma, eta, .. } => all(&[("gamma", gamma), ("eta", eta)]),
            MethodConfig::LvHba { growth: Growth::Power { power, .. }, .. }
                if !(0.0..0.5).contains(&power) =>
            {
                Err(Invalid::new(at("growth.power.power"), "a number from 0 to below 1/2"))
            }
            MethodConfig::LvHba { alpha, beta, eta, gamma1, gamma2, bound, .. } => all(&[
                ("alpha", alpha),
                ("beta", beta),
                ("eta", eta),
                ("gamma1", gamma1),
                ("gamma2", gamma2),
                ("bound", bound),
            ]),
            MethodConfig::Gaffa { alpha, beta, eta, first, most } => all(&[
                ("alpha", alpha),
                ("beta", beta),
                ("eta", eta),
                ("first", first),
                ("most", most),
            ]),
            MethodConfig::EAipod { a, b } => all(&[("a", a), ("b", b)]),
            MethodConfig::ImplicitKkt { step } => above(&at("step"), step),
            MethodConfig::Grid { from, to } if from > to => {
                Err(Invalid::new(at("from"), "a number of at most method.to"))
            }
            MethodConfig::Grid { .. } | MethodConfig::Fixed { .. } => Ok(()),
        }
    }

    /// The penalty method, if that is what it is.
    pub(super) fn penalty(&self) -> Option<PenaltyBilevel> {
        let MethodConfig::Penalty {
            sigma,
            sigma_power,
            automatic,
            step,
            step_power,
            inner,
            lower_smoothness,
            upper_smoothness,
            prox,
            mix,
            recursive,
        } = *self
        else {
            return None;
        };
        Some(PenaltyBilevel {
            sigma: Decay { first: sigma, power: sigma_power },
            automatic,
            prox,
            mix: mix.into(),
            inner,
            inner_step: InnerStep::Smoothness { lower: lower_smoothness, upper: upper_smoothness },
            step: Decay { first: step, power: step_power },
            streams: recursive.map_or(Streams::Plain, |eta| Streams::Recursive(eta.into())),
            ..PenaltyBilevel::default()
        })
    }

    pub(super) fn build(&self, task: &dyn Task, steps: u64) -> Result<Box<dyn Solver>, Error> {
        if let Some(penalty) = self.penalty() {
            return Ok(Box::new(penalty));
        }
        Ok(match *self {
            MethodConfig::Penalty { .. } => {
                return Err(Error::message("a penalty method without one"));
            }
            MethodConfig::F2sa { lambda, delta, a, c, b, inner, projected } => {
                let (b, c, delta) = (b.into(), c.into(), delta.into());
                let projected_options =
                    F2sa { projected, inner, recursive: None, ..F2sa::default() };
                Box::new(F2sa { lambda, delta, a: a.into(), c, b, ..projected_options })
            }
            MethodConfig::Pbgd { step, inner_step, weight, inner } => {
                Box::new(Pbgd { step: step.into(), inner_step, weight, inner })
            }
            MethodConfig::Bome { step, inner_step, inner } => {
                Box::new(Bome { step: step.into(), inner_step, rate: 0.5, inner })
            }
            MethodConfig::Soba { gamma, nu, eta, momentum } => {
                Box::new(Soba { gamma: gamma.into(), nu: nu.into(), eta: eta.into(), momentum })
            }
            MethodConfig::Stocbio { gamma, nu, eta, inner, terms } => {
                Box::new(StocBio { gamma: gamma.into(), nu, eta: eta.into(), inner, terms })
            }
            MethodConfig::Implicit { gamma, eta, inner } => {
                Box::new(Implicit { gamma, eta: eta.into(), inner, tolerance: 1e-6, products: 100 })
            }
            MethodConfig::Unrolled { gamma, eta, inner } => {
                Box::new(Unrolled { gamma, eta: eta.into(), inner })
            }
            MethodConfig::LvHba { .. } => Box::new(self.lv_hba(task)?),
            MethodConfig::Gaffa { alpha, beta, eta, first, most } => {
                Box::new(Gaffa { alpha, beta, eta, first, most, ..Gaffa::default() })
            }
            MethodConfig::EAipod { a, b } => Box::new(EAipod { a, b, ..EAipod::default() }),
            MethodConfig::ImplicitKkt { step } => {
                Box::new(ImplicitKkt { step, threshold: 1e-5, tolerance: 1e-8 })
            }
            MethodConfig::Grid { from, to } => Box::new(Grid { from, to, count: steps.max(1) }),
            MethodConfig::Fixed { oracle } => {
                let x = if oracle { task.oracle() } else { Some(task.start().0) };
                let missing = "this problem has no wrong labels to know; leave method.oracle out";
                Box::new(Fixed { x: x.ok_or_else(|| Error::message(missing))? })
            }
        })
    }

    fn lv_hba(&self, task: &dyn Task) -> Result<LvHba, Error> {
        let MethodConfig::LvHba {
            alpha,
            alpha_x,
            beta,
            eta,
            gamma1,
            gamma2,
            growth,
            bound,
            saddle,
            warm,
            guard,
        } = *self
        else {
            return Err(Error::message("LV-HBA without its options"));
        };
        let missing =
            "LV-HBA needs a problem with coupled constraints: svm, many-solutions or coupled-sine";
        let set = task.joint_set().ok_or_else(|| Error::message(missing))?;
        Ok(LvHba {
            set: Arc::clone(&set),
            alpha,
            alpha_x,
            beta,
            eta,
            gamma: (gamma1, gamma2),
            growth,
            bound,
            adapt_bound: true,
            saddle,
            warm,
            guard,
        })
    }
}
