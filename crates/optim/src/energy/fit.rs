//! Training of an energy, step by step.

use lisse_array::{Array, Stream, Tree, hvp, value_and_grad_aux};
use serde::{Deserialize, Serialize};

use super::meco::{Tracker, effective_share, log_mean_exp};
use super::objective::{Seen, Terms};
use super::{
    Batch, ContrastiveDivergence, Density, Energy, Form, Langevin, Noise, Objective, Parameters,
};
use crate::config::{OutOfRange, fail};
use crate::{Optimizer, Oracle, State, StepInfo};

/// How an unnormalized model is learned.
///
/// ```
/// use lisse_array::{Array, DType, Stream};
/// use lisse_optim::Adam;
/// use lisse_optim::energy::{Estimator, Form, Gaussian, Location, Noise};
/// // The mean of a Gaussian, from its unnormalized density.
/// let noise = Gaussian::isotropic(1, 3.0, DType::F64);
/// let estimator = Estimator { form: Form::Free, ..Estimator::default() };
/// let optimizer = Adam::new(0.05);
/// let energy = Location { location: Array::zeros(&[1], DType::F64) };
/// let mut fit = estimator.start(energy, &optimizer);
/// for step in 0..400 {
///     let stream = Stream::new(0).at(step);
///     let data = stream.child("data").normal(&[64, 1], DType::F64) + 2.0;
///     estimator.step(&mut fit, &noise, &optimizer, &data, &stream);
/// }
/// assert!((fit.parameters.energy.location.item() - 2.0).abs() < 0.2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Estimator {
    /// What is minimized.
    pub objective: Objective,
    /// What the energy is measured from.
    pub form: Form,
    /// Noise per example of a batch.
    pub noise_ratio: usize,
    /// Multiplies the mean square of the energy on data and noise, which is added; 0 for none, 1e-3 holds back energies that run away.
    pub energy_penalty: f64,
}

impl Default for Estimator {
    fn default() -> Estimator {
        Estimator {
            objective: Objective::Meco(super::Meco::default()),
            form: Form::default(),
            noise_ratio: 1,
            energy_penalty: 0.0,
        }
    }
}

/// An energy in training.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
#[serde(bound(serialize = "M: Serialize", deserialize = "M: serde::de::DeserializeOwned"))]
pub struct Fit<M> {
    /// What is learned.
    pub parameters: Parameters<M>,
    /// The optimizer's memory.
    pub optimizer: State<Parameters<M>>,
    /// The moving average of MECO.
    #[tree(skip)]
    pub tracker: Tracker,
    /// The chains of contrastive divergence, next in turn first.
    pub chains: Option<Array>,
}

impl Estimator {
    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        self.objective
            .validate()
            .map_err(|wrong| OutOfRange { key: format!("objective.{}", wrong.key), ..wrong })?;
        if self.noise_ratio == 0 {
            return fail("noise_ratio", "at least 1");
        }
        if !(self.energy_penalty >= 0.0 && self.energy_penalty.is_finite()) {
            return fail("energy_penalty", "a number of at least 0");
        }
        Ok(())
    }

    /// Before the first step; a learned `log Z` starts at 0.
    pub fn start<M: Energy>(&self, energy: M, optimizer: &dyn Optimizer<Parameters<M>>) -> Fit<M> {
        let zero = energy
            .leaves()
            .into_iter()
            .find(|leaf| leaf.dtype().is_float())
            .map(|leaf| leaf.device().with(|| Array::zeros(&[], leaf.dtype())));
        let log_z = zero.filter(|_| self.objective.learns_log_z());
        let parameters = Parameters { energy, log_z };
        let optimizer = optimizer.init(&parameters);
        Fit { parameters, optimizer, tracker: Tracker::default(), chains: None }
    }

    /// Draws what the data are compared with and makes one step. The metrics are `ess` (the share of the noise that counts; below 0.02
    /// the noise does not fit the model, and NCE or another noise is better), `clipped` (the share of ratios that were bounded) and
    /// `log_u`, where they exist.
    pub fn step<M: Energy>(
        &self,
        fit: &mut Fit<M>,
        noise: &dyn Noise,
        optimizer: &dyn Optimizer<Parameters<M>>,
        data: &Array,
        stream: &Stream,
    ) -> StepInfo {
        let other = self.others(fit, noise, data, stream);
        self.step_on(fit, noise, optimizer, &Batch::new(data, &other, noise))
    }

    /// One step on a batch of one's own.
    pub fn step_on<M: Energy>(
        &self,
        fit: &mut Fit<M>,
        noise: &dyn Noise,
        optimizer: &dyn Optimizer<Parameters<M>>,
        batch: &Batch,
    ) -> StepInfo {
        let mut oracle = self.oracle(batch, noise, fit.tracker);
        let mut info = optimizer.step(&mut fit.parameters, &mut fit.optimizer, &mut oracle);
        if let Some(first) = oracle.first {
            fit.tracker = first.tracker;
            info.loss = first.loss;
            info.metrics.extend(first.ess.map(|ess| ("ess", ess)));
            info.metrics.extend(first.clipped.map(|share| ("clipped", share)));
            info.metrics.extend(first.tracker.log_u.map(|log_u| ("log_u", log_u)));
        }
        info
    }

    /// Loss and gradients on a batch, for optimizers that ask at several points: all of them compare with the same `u` before.
    pub fn oracle<'a>(
        &'a self,
        batch: &'a Batch,
        noise: &'a dyn Noise,
        tracker: Tracker,
    ) -> EnergyOracle<'a> {
        let terms = Terms {
            objective: &self.objective,
            form: self.form,
            energy_penalty: self.energy_penalty,
            batch,
            tracker,
            noise,
        };
        EnergyOracle { terms, first: None }
    }

    fn others<M: Energy>(
        &self,
        fit: &mut Fit<M>,
        noise: &dyn Noise,
        data: &Array,
        stream: &Stream,
    ) -> Array {
        let count = data.shape()[0];
        match self.objective {
            Objective::Cnce { deviation } | Objective::ScoreMatching { deviation } => {
                data + stream.child("moved").normal(data.shape(), data.dtype()) * deviation
            }
            Objective::ContrastiveDivergence(cd) => {
                let density = Density { energy: &fit.parameters.energy, form: self.form, noise };
                let queue = fit
                    .chains
                    .take()
                    .unwrap_or_else(|| noise.sample(cd.chains.max(count), &stream.child("chains")));
                let (turn, rest) = cd.turn(&density, &queue, count, stream);
                fit.chains = Some(Array::cat(&[&rest, &turn], 0));
                turn
            }
            _ => noise.sample(count * self.noise_ratio, &stream.child("noise")),
        }
    }
}

impl ContrastiveDivergence {
    /// The first `count` chains of the queue after their turn, and the others.
    fn turn<M: Energy>(
        &self,
        density: &Density<'_, M>,
        queue: &Array,
        count: usize,
        stream: &Stream,
    ) -> (Array, Array) {
        let old = queue.narrow(0, 0, count);
        let rest = queue.narrow(0, count, queue.shape()[0] - count);
        let fresh = density.noise.sample(count, &stream.child("fresh"));
        let mut column = vec![1isize; old.rank()];
        column[0] = count as isize;
        let again = stream.child("restart").bernoulli(self.restart, &[count]).reshape(&column);
        let start = Array::select(&again.expand(old.shape()), &fresh, &old);
        let langevin =
            Langevin { step_size: self.step_size, steps: self.steps, ..Langevin::default() };
        (langevin.run(density, &start, &stream.child("langevin")).0, rest)
    }
}

/// The objective on one batch, as optimizers see it.
pub struct EnergyOracle<'a> {
    terms: Terms<'a>,
    first: Option<Reading>,
}

/// What the first evaluation of a step showed.
struct Reading {
    loss: f64,
    tracker: Tracker,
    ess: Option<f64>,
    clipped: Option<f64>,
}

impl EnergyOracle<'_> {
    /// The moving average with this batch; that before while nothing has been evaluated.
    pub fn tracker(&self) -> Tracker {
        self.first.as_ref().map_or(self.terms.tracker, |first| first.tracker)
    }

    /// The function whose gradient is followed: its value is not that of the objective with MECO.
    pub fn evaluate<M: Energy>(&self, params: &Parameters<M>) -> Array {
        self.terms.evaluate(params).0
    }

    fn read(&mut self, seen: &Seen) -> f64 {
        let loss = seen.loss.item();
        if self.first.is_none() {
            let (tracker, clipped) = match (self.terms.objective, &seen.log_ratio) {
                (Objective::Meco(meco), Some(log_ratio)) => (
                    meco.update(&self.terms.tracker, log_mean_exp(log_ratio)),
                    meco.clipped(log_ratio),
                ),
                _ => (self.terms.tracker, None),
            };
            let ess = seen.log_ratio.as_ref().map(effective_share);
            self.first = Some(Reading { loss, tracker, ess, clipped });
        }
        loss
    }
}

impl<M: Energy> Oracle<Parameters<M>> for EnergyOracle<'_> {
    fn value_and_grad(&mut self, params: &Parameters<M>) -> (f64, Parameters<M>) {
        let (_, gradient, seen) =
            value_and_grad_aux(|p: &Parameters<M>| self.terms.evaluate(p))(params);
        (self.read(&seen), gradient)
    }

    fn value(&mut self, params: &Parameters<M>) -> f64 {
        let seen = self.terms.evaluate(params).1;
        self.read(&seen)
    }

    /// With MECO: of the ratio over `u` held, so that the square of the average score is not taken off.
    fn hvp(&mut self, params: &Parameters<M>, v: &Parameters<M>) -> Parameters<M> {
        hvp(|p: &Parameters<M>| self.evaluate(p), params, v)
    }
}
