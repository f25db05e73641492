//! Composite stochastic mirror descent, step sizes with guarantees for its last iterate, and averages to compare with.
//!
//! `min F(x) = f(x) + h(x)` over a convex set, `f` convex and seen through stochastic subgradients, `h` simple.
//!
//! - [`Csmd`]: the method on vectors, fed by a [`StochasticOracle`]; [`Geometry`] says which [`Mirror`] map, [`Regularizer`] and
//!   [`Domain`] go together, [`Steps`] are the step sizes, [`Average`]s run beside
//! - [`pilot`]: gradient norms and the heaviness of their tail before a run
//! - [`pegasos`], [`Linearized`], [`Sampled`]: what to compare with; [`Sampled`] gives these problems to any training optimizer
//! - [`ProximalSgd`] and [`ScheduleFree`]: for networks, as an [`Optimizer`](crate::Optimizer)
//!
//! Which step sizes: horizon known and `f` not smooth, or noisy: linear decay. Horizon unknown: `inv-sqrt`, or stages. Strongly convex `h`:
//! `sc-h1`. Heavy tails (a [`pilot`] with a tail index below 2): heavy-tail steps with [`Mirror::Power`]. For a smooth `f` give
//! `smoothness`, which caps the steps at `1 / (2L)`.

mod averages;
mod baselines;
mod composite;
mod config;
mod geometry;
mod maps;
mod oracle;
mod prox;
mod schedule_free;
mod schedules;
mod tail;
#[cfg(test)]
mod tests;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use averages::{Average, Averager};
pub use baselines::{Linearized, Sampled, pegasos};
pub use composite::{Constraint, Penalty, ProximalSgd};
pub use config::{CsmdConfig, ScheduleFreeConfig};
pub use geometry::{Geometry, Point};
pub use maps::Mirror;
pub use oracle::{Draw, LinearModel, Loss, MaxLinear, Noise, Noisy, Sampling, StochasticOracle};
pub use prox::{Domain, Regularizer};
pub use schedule_free::ScheduleFree;
pub use schedules::{Plan, Steps};
pub use tail::{Pilot, hill, pilot, tail_moment};

use oracle::Sampler;

/// Why a run cannot begin, or go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MirrorError {
    /// A number that is not allowed.
    #[error("`{key}` is out of range: expected {expected}")]
    OutOfRange {
        /// Which one.
        key: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A combination whose step has no closed form.
    #[error(
        "mirror map `{mirror}` has no exact step with regularizer `{regularizer}` on domain `{domain}`; with `{mirror}` there is one for {possible}"
    )]
    NoExactStep {
        /// The mirror map.
        mirror: &'static str,
        /// The regularizer.
        regularizer: &'static str,
        /// The domain.
        domain: &'static str,
        /// What the mirror map goes with.
        possible: &'static str,
    },
    /// A schedule without the number of steps that it depends on.
    #[error(
        "step sizes `{schedule}` depend on the number of steps: give it (at least 1), or use `inv-sqrt` or `stages`"
    )]
    NeedsHorizon {
        /// The schedule.
        schedule: &'static str,
    },
    /// A point that does not fit the problem.
    #[error("the problem has {expected} coordinates, the start {found}")]
    Dimension {
        /// Coordinates of the problem.
        expected: usize,
        /// Coordinates given.
        found: usize,
    },
    /// More steps than the horizon that the step sizes were made for.
    #[error("the run was planned for {horizon} steps and has made them all")]
    PastHorizon {
        /// The horizon.
        horizon: u64,
    },
    /// A gradient with an infinite or undefined entry.
    #[error("the gradient of step {step} is not finite")]
    NotFinite {
        /// The step, counted from 1.
        step: u64,
    },
    /// A factorization that failed.
    #[error("{0}")]
    Numerics(String),
}

/// Composite stochastic mirror descent: `x_{t+1} = argmin_{x in X} h(x) + <g_t, x - x_t> + D(x, x_t) / eta_t` with `g_t` a stochastic
/// subgradient of `f` at `x_t`, `D` the divergence of the mirror map. `T` steps from `x_1` give `x_{T+1}`, the last iterate, which is what the
/// guarantees of [`Steps`] are about. Averages are over `x_1, ..., x_T`, the points at which gradients were taken.
///
/// `batch` examples make one gradient: the noise, and with it a good `eta`, depends on it.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::mirror::{Average, Csmd, Domain, Geometry, LinearModel, Loss, Mirror, Regularizer, Steps};
/// // The median of 1, 2, 9, held towards 0.
/// let inputs = Array::ones(&[3, 1], lisse_array::DType::F64);
/// let targets = Array::from_slice(&[1.0f64, 2.0, 9.0], &[3]);
/// let oracle = LinearModel::new(&inputs, &targets, Loss::Absolute)?;
/// let geometry = Geometry::new(Mirror::Euclidean, Regularizer::L1 { weight: 0.1 }, Domain::Whole)?;
/// let csmd = Csmd::new(geometry, Steps::LinearDecay { eta: 2.0 }).average(Average::Uniform);
/// let run = csmd.run(&oracle, &[0.0], 7, 4000)?;
/// assert!((run.last()[0] - 2.0).abs() < 0.05);
/// # Ok::<(), lisse_optim::mirror::MirrorError>(())
/// ```
///
/// Reference: Liu and Zhou, "Revisiting the Last-Iterate Convergence of Stochastic Gradient Methods", ICLR 2024.
#[derive(Clone, Debug, PartialEq)]
pub struct Csmd {
    /// Mirror map, `h` and `X`.
    pub geometry: Geometry,
    /// `eta_t`.
    pub steps: Steps,
    /// Averages to keep beside the iterate.
    pub averages: Vec<Average>,
    /// Bound on the dual norm of a gradient: clipped SGD, a baseline for heavy tails.
    pub clip: Option<f64>,
    /// How examples are drawn.
    pub sampling: Sampling,
    /// Examples per step.
    pub batch: usize,
}

/// Where a run stands: all that is needed to go on with it, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    steps: u64,
    point: Point,
    averages: Vec<Averager>,
    stage: Option<Vec<f64>>,
    plan: Plan,
    seed: u64,
}

impl Progress {
    /// Steps made.
    pub fn steps(&self) -> u64 {
        self.steps
    }
    /// The last iterate.
    pub fn last(&self) -> &[f64] {
        &self.point.x
    }
    /// The averages, in the order asked for; a suffix average of which nothing has come yet is the last iterate.
    pub fn averages(&self) -> Vec<(Average, Vec<f64>)> {
        let value = |a: &Averager| a.value().unwrap_or_else(|| self.point.x.clone());
        self.averages.iter().map(|a| (a.kind().clone(), value(a))).collect()
    }
    /// The last point of the latest finished stage of [`Steps::Stages`] (or of the whole run, if it had a horizon and has reached it): what
    /// to report when a run is stopped somewhere.
    pub fn finished_stage(&self) -> Option<&[f64]> {
        self.stage.as_deref()
    }
    /// The step sizes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Objective values on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Steps made.
    pub step: u64,
    /// `F` of the last iterate.
    pub last: f64,
    /// `F` of the averages.
    pub averages: Vec<f64>,
}

impl Csmd {
    /// Single examples drawn with replacement, no averages.
    pub fn new(geometry: Geometry, steps: Steps) -> Csmd {
        Csmd {
            geometry,
            steps,
            averages: Vec::new(),
            clip: None,
            sampling: Sampling::WithReplacement,
            batch: 1,
        }
    }

    /// Keeps an average too.
    #[must_use]
    pub fn average(mut self, average: Average) -> Csmd {
        self.averages.push(average);
        self
    }

    /// Bounds the dual norm of every gradient.
    #[must_use]
    pub fn clip(self, bound: f64) -> Csmd {
        Csmd { clip: Some(bound), ..self }
    }

    /// How examples are drawn, and how many per step.
    #[must_use]
    pub fn sampling(self, sampling: Sampling, batch: usize) -> Csmd {
        Csmd { sampling, batch, ..self }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), MirrorError> {
        self.steps.validate()?;
        self.averages.iter().try_for_each(Average::validate)?;
        let bad = |key: &str, expected| Err(MirrorError::OutOfRange { key: key.into(), expected });
        if !self.clip.is_none_or(prox::positive) {
            return bad("clip", "a number above 0, or nothing");
        }
        if self.batch == 0 {
            return bad("batch", "at least 1");
        }
        Ok(())
    }

    /// Begins a run at `start` that will make `horizon` steps, if that is known.
    ///
    /// # Errors
    /// A number out of range; a start outside the domain; step sizes that need a horizon and have none.
    pub fn start(
        &self,
        start: &[f64],
        seed: u64,
        horizon: Option<u64>,
    ) -> Result<Progress, MirrorError> {
        self.validate()?;
        self.geometry.check_start(start)?;
        Ok(Progress {
            steps: 0,
            point: self.geometry.point(start),
            averages: self.averages.iter().map(|a| Averager::new(a.clone(), horizon)).collect(),
            stage: None,
            plan: self.steps.plan(horizon)?,
            seed,
        })
    }

    /// Makes `count` further steps.
    ///
    /// # Errors
    /// A problem of another dimension or without examples; more steps than the horizon; a gradient that is not finite (the steps before it
    /// are kept).
    pub fn advance(
        &self,
        oracle: &dyn StochasticOracle,
        progress: &mut Progress,
        count: u64,
    ) -> Result<(), MirrorError> {
        let dimension = oracle.dimension();
        if progress.point.x.len() != dimension {
            return Err(MirrorError::Dimension {
                expected: dimension,
                found: progress.point.x.len(),
            });
        }
        if oracle.examples() == Some(0) {
            return Err(MirrorError::OutOfRange { key: "examples".into(), expected: "at least 1" });
        }
        let mut sampler = Sampler::new(oracle.examples(), self.batch, self.sampling, progress.seed);
        let mut gradient = vec![0.0; dimension];
        for _ in 0..count {
            let t = progress.steps + 1;
            if let Some(horizon) = progress.plan.horizon().filter(|h| t > *h) {
                return Err(MirrorError::PastHorizon { horizon });
            }
            oracle.gradient(&progress.point.x, &sampler.at(t), &mut gradient);
            if !gradient.iter().all(|g| g.is_finite()) {
                return Err(MirrorError::NotFinite { step: t });
            }
            self.bound(&mut gradient);
            for average in &mut progress.averages {
                average.take(&progress.point.x);
            }
            self.geometry.step(&mut progress.point, &gradient, progress.plan.at(t));
            progress.steps = t;
            if progress.plan.ends_stage(t) {
                progress.stage = Some(progress.point.x.clone());
            }
        }
        Ok(())
    }

    fn bound(&self, gradient: &mut [f64]) {
        let Some(bound) = self.clip else { return };
        let norm = self.geometry.mirror().dual_norm(gradient);
        if norm > bound {
            prox::scale_by(gradient, bound / norm);
        }
    }

    /// A whole run of `steps` steps, which is its horizon.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`advance`](Self::advance).
    pub fn run(
        &self,
        oracle: &dyn StochasticOracle,
        start: &[f64],
        seed: u64,
        steps: u64,
    ) -> Result<Progress, MirrorError> {
        let mut progress = self.start(start, seed, Some(steps))?;
        self.advance(oracle, &mut progress, steps)?;
        Ok(progress)
    }

    /// Runs with several seeds at the same time. Every run depends on its seed alone, so the result is the same for any number of threads.
    ///
    /// # Errors
    /// Of the first seed, in the order given, that has one.
    pub fn run_seeds(
        &self,
        oracle: &dyn StochasticOracle,
        start: &[f64],
        seeds: &[u64],
        steps: u64,
    ) -> Result<Vec<Progress>, MirrorError> {
        let runs: Vec<_> =
            seeds.par_iter().map(|&seed| self.run(oracle, start, seed, steps)).collect();
        runs.into_iter().collect()
    }

    /// A run with objective values after each of the `marks` (rising numbers of steps, the last of which is the horizon).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn trace(
        &self,
        oracle: &dyn StochasticOracle,
        start: &[f64],
        seed: u64,
        marks: &[u64],
    ) -> Result<Vec<Mark>, MirrorError> {
        let mut progress = self.start(start, seed, marks.last().copied())?;
        let mut rows = Vec::with_capacity(marks.len());
        for &mark in marks {
            let count = mark.saturating_sub(progress.steps);
            self.advance(oracle, &mut progress, count)?;
            let averages = progress.averages();
            rows.push(Mark {
                step: progress.steps,
                last: self.objective(oracle, progress.last()),
                averages: averages.iter().map(|(_, x)| self.objective(oracle, x)).collect(),
            });
        }
        Ok(rows)
    }

    /// `F(x) = f(x) + h(x)`.
    pub fn objective(&self, oracle: &dyn StochasticOracle, x: &[f64]) -> f64 {
        oracle.value(x) + self.geometry.regularizer().value(x)
    }
}
