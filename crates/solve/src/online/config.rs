//! Learners by name.

use serde::{Deserialize, Serialize};

use super::{
    Bound, Domain, Doubling, Ensemble, Hedge, Learner, Map, Meta, OnlineError, OptimisticFtrl,
    OptimisticNewton, OptimisticOmd, Penalty, Steps, grid, out_of_range, positive,
};

/// What a learner is told about the losses to come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// `X`.
    pub domain: Domain,
    /// Coordinates.
    pub dim: usize,
    /// `G`: no gradient on `X` is longer.
    pub gradient_bound: f64,
    /// `L` of the mean losses, if they are smooth.
    pub smoothness: Option<f64>,
    /// `lambda`, if the mean losses are strongly convex.
    pub strong_convexity: Option<f64>,
    /// `alpha`, if the losses are exp-concave.
    pub exp_concavity: Option<f64>,
    /// `T`, for the learners that plan ahead: `ensemble`, `ader`, `sword`.
    pub horizon: u64,
}

impl Setting {
    /// Convex losses on `domain` of which only the bound on gradients is known, for 1000 rounds.
    pub fn new(domain: Domain, dim: usize, gradient_bound: f64) -> Setting {
        Setting {
            domain,
            dim,
            gradient_bound,
            smoothness: None,
            strong_convexity: None,
            exp_concavity: None,
            horizon: 1000,
        }
    }

    fn diameter(&self) -> f64 {
        self.domain.diameter(self.dim)
    }

    /// `L`; for losses that are not smooth the value at which the longest step of a grid, `1 / (8 L)`, is `D / G`.
    fn curvature(&self) -> f64 {
        match self.smoothness {
            Some(l) if l > 0.0 => l,
            _ => self.gradient_bound / (8.0 * self.diameter()),
        }
    }
}

/// Step sizes of an ensemble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grid {
    /// `D / (G sqrt T)`, doubling, up to `1 / (8 L)`: as the authors' library has it
    #[default]
    Library,
    /// `D / (G sqrt(8 T))`, times `sqrt 2`, up to `1 / (8 L)`: as the paper has it
    Paper,
}

/// A learner by its name, with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LearnerConfig {
    /// Optimistic mirror descent with self-confident steps
    Oomd {
        /// Above 0.
        #[serde(default = "one")]
        delta: f64,
        /// What is known about the norms of gradients; the environment's bound by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bound: Option<Bound>,
        /// Euclidean, or entropy on a simplex.
        #[serde(default)]
        map: Map,
        /// Enters both half-steps.
        #[serde(default)]
        penalty: Penalty,
    },
    /// The same with steps `2 / (lambda t)`
    OomdSc {
        /// The environment's by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lambda: Option<f64>,
    },
    /// [`OptimisticNewton`]
    OomdExp {
        /// The environment's by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alpha: Option<f64>,
    },
    /// Optimistic mirror descent whose second half-step takes the loss itself
    OomdImplicit {
        /// Above 0.
        #[serde(default = "one")]
        delta: f64,
    },
    /// Optimistic mirror descent with one step size; with the hint `middle` this is online extra-gradient descent
    Constant {
        /// Above 0.
        eta: f64,
    },
    /// Projected gradient descent with steps `D / (G sqrt t)`
    Ogd,
    /// Projected gradient descent with steps `1 / (lambda t)`
    OgdSc {
        /// The environment's by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lambda: Option<f64>,
    },
    /// Projected gradient descent with steps `D / sqrt(2 sum ||g||^2)`
    AdagradNorm {
        /// Above 0.
        #[serde(default = "tiny")]
        start: f64,
    },
    /// The online Newton step
    Ons {
        /// The environment's by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alpha: Option<f64>,
    },
    /// [`OptimisticFtrl`]
    Oftrl {
        /// Whether the smoothness is used, if there is one.
        #[serde(default = "yes")]
        smooth: bool,
    },
    /// [`OptimisticFtrl::leader`]
    OftlSc {
        /// The environment's by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lambda: Option<f64>,
    },
    /// [`Meta::Collaborative`]
    Ensemble {
        /// Step sizes.
        #[serde(default)]
        grid: Grid,
        /// `c`; `2 L` by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        switching: Option<f64>,
    },
    /// [`Meta::Surrogate`] over projected gradient descent
    Ader,
    /// [`Meta::Own`] over extra-gradient descent
    Sword,
    /// [`Doubling`] around another learner
    Doubling {
        /// Rounds of the first stage.
        first: u64,
        /// What is restarted.
        learner: Box<LearnerConfig>,
    },
}

fn one() -> f64 {
    1.0
}
fn tiny() -> f64 {
    1e-12
}
fn yes() -> bool {
    true
}

impl LearnerConfig {
    /// `oomd` with its defaults.
    pub fn oomd() -> LearnerConfig {
        LearnerConfig::Oomd { delta: 1.0, bound: None, map: Map::Euclidean, penalty: Penalty::None }
    }

    /// The learner, told what `setting` knows.
    ///
    /// # Errors
    /// Options out of range, or that do not go together; a constant that is needed and not known.
    pub fn build(&self, setting: &Setting) -> Result<Learner, OnlineError> {
        let (domain, dim) = (setting.domain.clone(), setting.dim);
        domain.validate(dim)?;
        positive("gradient_bound", setting.gradient_bound)?;
        let (d, g) = (setting.diameter(), setting.gradient_bound);
        let plain = |steps: Steps| OptimisticOmd::new(domain.clone(), dim, steps);
        let lambda = |own: &Option<f64>| known("lambda", *own, setting.strong_convexity);
        let alpha = |own: &Option<f64>| known("alpha", *own, setting.exp_concavity);
        let confident = |diameter: f64, delta: f64, bound: Option<Bound>| {
            let bound = bound.unwrap_or(Bound::Known { value: g });
            Steps::SelfConfident { diameter, delta, bound }
        };
        Ok(match self {
            LearnerConfig::Oomd { delta, bound, map, penalty } => {
                // In the entropy geometry the even start is within ln d of every point.
                let size = if *map == Map::Entropy { (2.0 * (dim as f64).ln()).sqrt() } else { d };
                let learner = plain(confident(size, *delta, *bound))?;
                Learner::Omd(learner.with_map(*map)?.with_penalty(*penalty)?)
            }
            LearnerConfig::OomdSc { lambda: own } => {
                Learner::Omd(plain(Steps::Harmonic { scale: 2.0 / lambda(own)? })?)
            }
            LearnerConfig::OomdExp { alpha: own } => {
                Learner::Newton(OptimisticNewton::new(domain, dim, alpha(own)?, g)?)
            }
            LearnerConfig::OomdImplicit { delta } => {
                Learner::Omd(plain(confident(d, *delta, None))?.implicit()?)
            }
            LearnerConfig::Constant { eta } => Learner::Omd(plain(Steps::Constant { eta: *eta })?),
            LearnerConfig::Ogd => Learner::Omd(plain(Steps::InvSqrt { scale: d / g })?),
            LearnerConfig::OgdSc { lambda: own } => {
                Learner::Omd(plain(Steps::Harmonic { scale: 1.0 / lambda(own)? })?)
            }
            LearnerConfig::AdagradNorm { start } => {
                Learner::Omd(plain(Steps::AdaGradNorm { diameter: d, start: *start })?)
            }
            LearnerConfig::Ons { alpha: own } => {
                let learner = OptimisticNewton::online_newton_step(domain, dim, alpha(own)?, g)?;
                Learner::Newton(learner)
            }
            LearnerConfig::Oftrl { smooth } => {
                let smoothness = setting.smoothness.filter(|l| *smooth && *l > 0.0);
                Learner::Ftrl(OptimisticFtrl::new(domain, dim, g, smoothness)?)
            }
            LearnerConfig::OftlSc { lambda: own } => {
                Learner::Ftrl(OptimisticFtrl::leader(domain, dim, lambda(own)?)?)
            }
            LearnerConfig::Ensemble { .. } | LearnerConfig::Ader | LearnerConfig::Sword => {
                Learner::Ensemble(Box::new(self.ensemble(setting)?))
            }
            LearnerConfig::Doubling { first, learner } => {
                Learner::Doubling(Box::new(Doubling::new((**learner).clone(), setting, *first)?))
            }
        })
    }

    /// Whether hints matter to it; baselines that take none are run with the hint 0.
    pub fn takes_hints(&self) -> bool {
        match self {
            LearnerConfig::Ogd
            | LearnerConfig::OgdSc { .. }
            | LearnerConfig::AdagradNorm { .. }
            | LearnerConfig::Ons { .. }
            | LearnerConfig::Ader
            | LearnerConfig::Sword => false,
            LearnerConfig::Doubling { learner, .. } => learner.takes_hints(),
            _ => true,
        }
    }

    fn ensemble(&self, setting: &Setting) -> Result<Ensemble, OnlineError> {
        if setting.horizon == 0 {
            return Err(out_of_range("horizon", "at least 1"));
        }
        let (d, g, t) = (setting.diameter(), setting.gradient_bound, setting.horizon as f64);
        let l = setting.curvature();
        let cap = 1.0 / (8.0 * l);
        let learners = |etas: Vec<f64>| {
            let learner = |eta: f64| {
                let steps = Steps::Constant { eta };
                OptimisticOmd::new(setting.domain.clone(), setting.dim, steps).map(Learner::Omd)
            };
            etas.into_iter().map(learner).collect::<Result<Vec<_>, _>>()
        };
        match self {
            LearnerConfig::Ader => {
                // Step sizes 2^i (D / G) sqrt(7 / (2 T)), first weights (1 + 1/N) / (i (i + 1)).
                let count = (0.5 * (1.0 + 4.0 * t / 7.0).log2()).ceil() as i32 + 1;
                let first = d / g * (3.5 / t).sqrt();
                let weights: Vec<f64> =
                    (1..=count).map(|i| 1.0 / (f64::from(i) * f64::from(i + 1))).collect();
                let hedge = Hedge::constant(&weights, (8.0 / t).sqrt() / (g * d))?;
                let etas = (0..count).map(|i| first * 2f64.powi(i)).collect();
                Ensemble::new(learners(etas)?, hedge, Meta::Surrogate)
            }
            LearnerConfig::Sword => {
                let learners = learners(grid(d / (g * (2.0 * t).sqrt()), 2.0, 2.0 * cap))?;
                let hedge = Hedge::new(learners.len(), f64::INFINITY)?;
                Ensemble::new(learners, hedge, Meta::Own)
            }
            _ => {
                let (kind, switching) = match self {
                    LearnerConfig::Ensemble { grid, switching } => (*grid, *switching),
                    _ => (Grid::default(), None),
                };
                let etas = match kind {
                    Grid::Library => grid(d / (g * t.sqrt()), 2.0, cap),
                    Grid::Paper => grid(d / (g * (8.0 * t).sqrt()), 2f64.sqrt(), cap),
                };
                let hedge = Hedge::new(etas.len(), 1.0 / (8.0 * d * d * l))?;
                let switching = switching.unwrap_or(2.0 * l);
                Ensemble::new(learners(etas)?, hedge, Meta::Collaborative { switching })
            }
        }
    }
}

fn known(key: &str, own: Option<f64>, told: Option<f64>) -> Result<f64, OnlineError> {
    let Some(value) = own.or(told) else {
        let expected = "a number above 0, since the losses are not known to have one";
        return Err(out_of_range(key, expected));
    };
    positive(key, value)?;
    Ok(value)
}
