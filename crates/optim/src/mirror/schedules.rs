//! Step sizes with guarantees for the last iterate.

use serde::{Deserialize, Serialize};

use super::MirrorError;
use super::prox::{not_negative, positive};

/// A step size `eta_t` for every step `t = 1, 2, ...`; `T` is the horizon, the number of steps that will be made.
///
/// With `D1 = D(x, x_1)`, `M` the Lipschitz part and `L` the smooth part of `f`, `sigma` the noise, `mu` the strong convexity relative to the
/// mirror map and `k = L / mu`, the last iterate satisfies, up to constants (in expectation; with probability `1 - delta` under sub-Gaussian
/// noise with `sigma^2 ln(1 / delta)` in place of `sigma^2`):
///
/// | schedule | `eta_t` | `T` | `F(x_{T+1}) - F(x)` |
/// |---|---|---|---|
/// | `inv-sqrt` | `min(1/(2L), eta/sqrt t)` | no | `L D1/T + (D1/eta + eta (M^2+sigma^2) ln T) / sqrt T` |
/// | `const-sqrt` | `min(1/(2L), eta/sqrt T)` | yes | the same |
/// | `linear-decay` | `eta (T-t+1) / T^{3/2}` | yes | `(D1/eta + eta (M^2+sigma^2)) / sqrt T`, for `L = 0` |
/// | `stages` | linear decay with `T_j = first 2^j`, one after the other | no | as `linear-decay`, at the end of each stage |
/// | `sc-f1` | `1 / (mu (t + 2k))` | no | `L D1/T + (M^2+sigma^2) ln T / (mu (T+k))` |
/// | `sc-f2` | `2 / (mu (t + 1 + 4k))` | no | `L (1+k) D1 / (T (T+k)) + (M^2+sigma^2) ln T / (mu (T+k))` |
/// | `sc-h1` | `1 / (mu (t + 2k))` | no | as `sc-f1`, `mu` of `h` |
/// | `sc-h2` | `2 / (mu (t + 4k))` | no | as `sc-f2`, `mu` of `h` |
/// | `sc-two-phase` | see [`Steps::ScTwoPhase`] | yes | `L D1 exp(-T/(2c+4k)) + (M^2+sigma^2) ln T / (mu (T+k))` |
/// | `heavy-tail` | `min(eta_s/t^{(2-p)/p}, eta/t^{1/p})` | no | `(D1/eta + eta^{p-1} (M^p+sigma^p) ln T) / T^{1-1/p}`, and a term of `L` |
/// | `heavy-tail-linear` | `eta (T-t+1) / T^{1+1/p}` | yes | the same without the logarithm |
///
/// Reference: Liu and Zhou, "Revisiting the Last-Iterate Convergence of Stochastic Gradient Methods", ICLR 2024.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Steps {
    /// The same for all steps: a baseline without a guarantee of this kind.
    Constant {
        /// `eta`, above 0.
        #[serde(default = "one")]
        eta: f64,
    },
    /// For an unknown horizon.
    InvSqrt {
        /// `eta`, above 0.
        #[serde(default = "one")]
        eta: f64,
        /// `L`; 0 for none.
        #[serde(default)]
        smoothness: f64,
    },
    /// One step size for the whole of a known horizon.
    ConstSqrt {
        /// `eta`, above 0.
        #[serde(default = "one")]
        eta: f64,
        /// `L`; 0 for none.
        #[serde(default)]
        smoothness: f64,
    },
    /// The choice where the horizon is known: no logarithm in its bound, and the last of its steps is `eta / T^{3/2}`, not 0.
    LinearDecay {
        /// `eta`, above 0.
        #[serde(default = "one")]
        eta: f64,
    },
    /// Linear decay for an unknown horizon: stages of doubled length, each from the last point of the one before.
    Stages {
        /// `eta`, above 0.
        #[serde(default = "one")]
        eta: f64,
        /// Steps of the first stage, at least 1.
        first: u64,
    },
    /// Strongly convex `f`.
    ScF1 {
        /// `mu_f`, above 0.
        mu: f64,
        /// `L / mu_f`.
        #[serde(default)]
        kappa: f64,
    },
    /// Strongly convex `f`, with longer steps.
    ScF2 {
        /// `mu_f`, above 0.
        mu: f64,
        /// `L / mu_f`.
        #[serde(default)]
        kappa: f64,
    },
    /// Strongly convex `h`. With `kappa = 0` these are the steps `1 / (mu t)` of Pegasos.
    ScH1 {
        /// `mu_h`, above 0.
        mu: f64,
        /// `L / mu_h`.
        #[serde(default)]
        kappa: f64,
    },
    /// Strongly convex `h`, with longer steps.
    ScH2 {
        /// `mu_h`, above 0.
        mu: f64,
        /// `L / mu_h`.
        #[serde(default)]
        kappa: f64,
    },
    /// Strongly convex and smooth: with `tau = ceil(T/2)`, `1 / (mu (1 + 2k))` at `t = 1`, `1 / (mu (c + 2k))` until `tau`,
    /// `2 / (mu (t - tau + 2 + 4k))` from there.
    ScTwoPhase {
        /// `mu`, above 0.
        mu: f64,
        /// `k`. At 0 the first phase does not shrink anything and only costs.
        #[serde(default)]
        kappa: f64,
        /// `c`, at least 0, with `c + k > 1`.
        #[serde(default = "phase")]
        c: f64,
    },
    /// Noise of which only the `p`-th moment is finite, best with [`Mirror::Power`](super::Mirror::Power).
    HeavyTail {
        /// `eta`, above 0.
        #[serde(default = "one")]
        eta: f64,
        /// The moment: above 1, at most 2.
        p: f64,
        /// Bound for smooth `f`, of the order of `D1^{(2-p)/p} / L`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        eta_s: Option<f64>,
        /// Whether `T` stands in place of `t`.
        #[serde(default)]
        known_horizon: bool,
    },
    /// Linear decay for noise of which only the `p`-th moment is finite.
    HeavyTailLinear {
        /// `eta`, above 0.
        #[serde(default = "one")]
        eta: f64,
        /// The moment: above 1, at most 2.
        p: f64,
    },
}

fn one() -> f64 {
    1.0
}
fn phase() -> f64 {
    1.5
}

impl Steps {
    /// Whether the step sizes depend on the number of steps to be made.
    pub fn needs_horizon(&self) -> bool {
        match self {
            Steps::ConstSqrt { .. }
            | Steps::LinearDecay { .. }
            | Steps::ScTwoPhase { .. }
            | Steps::HeavyTailLinear { .. } => true,
            Steps::HeavyTail { known_horizon, .. } => *known_horizon,
            _ => false,
        }
    }

    /// The schedule for a run.
    ///
    /// # Errors
    /// A number out of range; [`MirrorError::NeedsHorizon`] where the horizon is needed and missing, or 0.
    pub fn plan(&self, horizon: Option<u64>) -> Result<Plan, MirrorError> {
        self.validate()?;
        if self.needs_horizon() && horizon.is_none_or(|t| t == 0) {
            return Err(MirrorError::NeedsHorizon { schedule: self.name() });
        }
        Ok(Plan { steps: self.clone(), horizon })
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), MirrorError> {
        let check = |good: bool, key: &str, expected| {
            good.then_some(())
                .ok_or(MirrorError::OutOfRange { key: format!("steps.{key}"), expected })
        };
        const ABOVE: &str = "a number above 0";
        const AT_LEAST: &str = "a number of at least 0";
        const MOMENT: &str = "a number above 1, at most 2";
        let moment = |p: f64| p > 1.0 && p <= 2.0;
        match *self {
            Steps::Constant { eta } | Steps::LinearDecay { eta } => {
                check(positive(eta), "eta", ABOVE)
            }
            Steps::InvSqrt { eta, smoothness } | Steps::ConstSqrt { eta, smoothness } => {
                check(positive(eta), "eta", ABOVE)?;
                check(not_negative(smoothness), "smoothness", AT_LEAST)
            }
            Steps::Stages { eta, first } => {
                check(positive(eta), "eta", ABOVE)?;
                check(first > 0, "first", "at least 1")
            }
            Steps::ScF1 { mu, kappa }
            | Steps::ScF2 { mu, kappa }
            | Steps::ScH1 { mu, kappa }
            | Steps::ScH2 { mu, kappa } => {
                check(positive(mu), "mu", ABOVE)?;
                check(not_negative(kappa), "kappa", AT_LEAST)
            }
            Steps::ScTwoPhase { mu, kappa, c } => {
                check(positive(mu), "mu", ABOVE)?;
                check(not_negative(kappa), "kappa", AT_LEAST)?;
                check(not_negative(c) && c + kappa > 1.0, "c", "a number with c + kappa above 1")
            }
            Steps::HeavyTail { eta, p, eta_s, .. } => {
                check(positive(eta), "eta", ABOVE)?;
                check(moment(p), "p", MOMENT)?;
                check(eta_s.is_none_or(positive), "eta_s", ABOVE)
            }
            Steps::HeavyTailLinear { eta, p } => {
                check(positive(eta), "eta", ABOVE)?;
                check(moment(p), "p", MOMENT)
            }
        }
    }

    /// The same with another `eta`; the strongly convex schedules have none and stay as they are.
    #[must_use]
    pub fn with_eta(&self, value: f64) -> Steps {
        let mut steps = self.clone();
        match &mut steps {
            Steps::Constant { eta }
            | Steps::InvSqrt { eta, .. }
            | Steps::ConstSqrt { eta, .. }
            | Steps::LinearDecay { eta }
            | Steps::Stages { eta, .. }
            | Steps::HeavyTail { eta, .. }
            | Steps::HeavyTailLinear { eta, .. } => *eta = value,
            Steps::ScF1 { .. }
            | Steps::ScF2 { .. }
            | Steps::ScH1 { .. }
            | Steps::ScH2 { .. }
            | Steps::ScTwoPhase { .. } => {}
        }
        steps
    }

    /// The same with the `eta` that balances its bound, for a start `radius` from the solution and gradients of root mean square
    /// `gradient_rms`: `sqrt(D1 / G^2)`, and `sqrt(D1 / (G^2 ln T))` for `inv-sqrt` and `const-sqrt`, where `D1 = radius^2 / 2`
    /// (Euclidean) and `G = gradient_rms`; for the heavy-tailed ones the same with `D1 / G^p` to the power `1/p`.
    ///
    /// These come from bounds: expect the right order of magnitude.
    #[must_use]
    pub fn tuned(&self, radius: f64, gradient_rms: f64, horizon: u64) -> Steps {
        let distance = 0.5 * radius * radius;
        let logarithm = (horizon.max(3) as f64).ln();
        let eta = match *self {
            Steps::InvSqrt { .. } | Steps::ConstSqrt { .. } => {
                (distance / (gradient_rms * gradient_rms * logarithm)).sqrt()
            }
            Steps::Constant { .. } => (distance / horizon.max(1) as f64).sqrt() / gradient_rms,
            Steps::HeavyTail { p, .. } => {
                (distance / (gradient_rms.powf(p) * logarithm)).powf(1.0 / p)
            }
            Steps::HeavyTailLinear { p, .. } => (distance / gradient_rms.powf(p)).powf(1.0 / p),
            _ => distance.sqrt() / gradient_rms,
        };
        self.with_eta(eta)
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Steps::Constant { .. } => "constant",
            Steps::InvSqrt { .. } => "inv-sqrt",
            Steps::ConstSqrt { .. } => "const-sqrt",
            Steps::LinearDecay { .. } => "linear-decay",
            Steps::Stages { .. } => "stages",
            Steps::ScF1 { .. } => "sc-f1",
            Steps::ScF2 { .. } => "sc-f2",
            Steps::ScH1 { .. } => "sc-h1",
            Steps::ScH2 { .. } => "sc-h2",
            Steps::ScTwoPhase { .. } => "sc-two-phase",
            Steps::HeavyTail { .. } => "heavy-tail",
            Steps::HeavyTailLinear { .. } => "heavy-tail-linear",
        }
    }
}

/// A schedule that has the horizon it needs.
///
/// ```
/// use lisse_optim::mirror::Steps;
/// let plan = Steps::LinearDecay { eta: 1.0 }.plan(Some(4))?;
/// assert_eq!([1, 2, 3, 4].map(|t| plan.at(t)), [0.5, 0.375, 0.25, 0.125]);
/// assert!(Steps::LinearDecay { eta: 1.0 }.plan(None).is_err());
/// # Ok::<(), lisse_optim::mirror::MirrorError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    steps: Steps,
    horizon: Option<u64>,
}

impl Plan {
    /// For `total` steps, of numbers that have been checked.
    pub(super) fn for_steps(steps: &Steps, total: u64) -> Plan {
        Plan { steps: steps.clone(), horizon: Some(total.max(1)) }
    }

    /// `eta_t`, with `t` counted from 1. Past the horizon linear decays stay at their last, smallest step.
    pub fn at(&self, t: u64) -> f64 {
        let step = t.max(1);
        let horizon = self.horizon.unwrap_or(0).max(1);
        let (t, total) = (step as f64, horizon as f64);
        let left = (horizon.saturating_sub(step) + 1) as f64;
        let capped = |eta: f64, l: f64| if l > 0.0 { eta.min(1.0 / (2.0 * l)) } else { eta };
        match self.steps {
            Steps::Constant { eta } => eta,
            Steps::InvSqrt { eta, smoothness } => capped(eta / t.sqrt(), smoothness),
            Steps::ConstSqrt { eta, smoothness } => capped(eta / total.sqrt(), smoothness),
            Steps::LinearDecay { eta } => eta * left / total.powf(1.5),
            Steps::Stages { eta, first } => {
                let (before, length) = stage(step, first);
                let length_f = length as f64;
                eta * (length - (step - before) + 1) as f64 / length_f.powf(1.5)
            }
            Steps::ScF1 { mu, kappa } | Steps::ScH1 { mu, kappa } => 1.0 / (mu * (t + 2.0 * kappa)),
            Steps::ScF2 { mu, kappa } => 2.0 / (mu * (t + 1.0 + 4.0 * kappa)),
            Steps::ScH2 { mu, kappa } => 2.0 / (mu * (t + 4.0 * kappa)),
            Steps::ScTwoPhase { mu, kappa, c } => {
                let tau = horizon.div_ceil(2);
                if step == 1 {
                    1.0 / (mu * (1.0 + 2.0 * kappa))
                } else if step <= tau {
                    1.0 / (mu * (c + 2.0 * kappa))
                } else {
                    2.0 / (mu * ((step - tau) as f64 + 2.0 + 4.0 * kappa))
                }
            }
            Steps::HeavyTail { eta, p, eta_s, known_horizon } => {
                let t = if known_horizon { total } else { t };
                let step = eta / t.powf(1.0 / p);
                eta_s.map_or(step, |s| step.min(s / t.powf((2.0 - p) / p)))
            }
            Steps::HeavyTailLinear { eta, p } => eta * left / total.powf(1.0 + 1.0 / p),
        }
    }

    /// `T`, if the run has one.
    pub fn horizon(&self) -> Option<u64> {
        self.horizon
    }

    /// Whether step `t` is the last of a stage, so that the point after it is one to report.
    pub fn ends_stage(&self, t: u64) -> bool {
        match self.steps {
            Steps::Stages { first, .. } => {
                let (before, length) = stage(t.max(1), first);
                t == before + length
            }
            _ => self.horizon == Some(t),
        }
    }
}

/// Steps before the stage that holds step `t`, and the stage's length.
fn stage(t: u64, first: u64) -> (u64, u64) {
    // Stage j begins after first (2^j - 1) steps.
    let j = ((t - 1) / first + 1).ilog2();
    (first * ((1 << j) - 1), first << j)
}
