//! What is minimized: the likelihood by MECO, and the baselines.

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use super::meco::{Meco, Tracker, log_mean_exp};
use super::{Density, Energy, Form, Noise, Parameters, score};
use crate::config::{OutOfRange, fail};

/// An objective for unnormalized models, by name in recipes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Objective {
    /// [`Meco`]: the likelihood
    Meco(Meco),
    /// Noise contrastive estimation (Gutmann and Hyvarinen, 2010): data against noise as a classification, with logits
    /// `f = log p0 - c - log q - log nu` and loss `mean softplus(-f(x)) + nu mean softplus(f(z))`; `nu` is the noise per data
    Nce,
    /// The exponential loss of the same logits, `mean e^{-f(x)/2} + nu mean e^{f(z)/2}` (eNCE; Liu et al., 2021); take
    /// normalized gradient steps on it
    Ence,
    /// Conditional NCE (Ceylan and Gutmann, 2018): data against data moved by `N(0, deviation^2)`,
    /// `mean softplus(log p0(x') - log p0(x))`
    Cnce {
        /// How far data are moved.
        deviation: f64,
    },
    /// `-mean log p0(x) + c + e^{-c} mean r(z) - 1`, whose minimum over `c` is the likelihood
    SelfNormalized,
    /// Likelihood gradient with Langevin chains in place of weighted noise
    ContrastiveDivergence(ContrastiveDivergence),
    /// Denoising score matching (Vincent, 2011): `mean |grad log p0(y) + (y - x)/deviation^2|^2 / 2` at `y = x + deviation N(0, I)`
    ScoreMatching {
        /// Deviation of the noise that is added: the model becomes that of the smoothed data.
        deviation: f64,
    },
}

/// Settings of persistent contrastive divergence. Chains wait in a queue, take their turn for a few steps, and a few begin anew at
/// noise each time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContrastiveDivergence {
    /// Langevin steps of a turn.
    pub steps: usize,
    /// Their deviation.
    pub step_size: f64,
    /// Chains in the queue.
    pub chains: usize,
    /// Probability to begin anew.
    pub restart: f64,
}

impl Default for ContrastiveDivergence {
    fn default() -> Self {
        ContrastiveDivergence { steps: 20, step_size: 0.1, chains: 10_000, restart: 0.05 }
    }
}

impl Objective {
    /// Checks every number; keys are relative to the objective.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        match self {
            Objective::Meco(meco) => meco.validate(),
            Objective::Cnce { deviation } | Objective::ScoreMatching { deviation }
                if !positive(*deviation) =>
            {
                fail("deviation", "a number above 0")
            }
            Objective::ContrastiveDivergence(cd) if cd.steps == 0 => fail("steps", "at least 1"),
            Objective::ContrastiveDivergence(cd) if cd.chains == 0 => fail("chains", "at least 1"),
            Objective::ContrastiveDivergence(cd) if !positive(cd.step_size) => {
                fail("step_size", "a number above 0")
            }
            Objective::ContrastiveDivergence(cd) if !(0.0..=1.0).contains(&cd.restart) => {
                fail("restart", "a number from 0 to 1")
            }
            _ => Ok(()),
        }
    }

    /// Whether `log Z` is a parameter.
    pub fn learns_log_z(&self) -> bool {
        matches!(self, Objective::Nce | Objective::Ence | Objective::SelfNormalized)
    }

    /// Whether the second part of a batch is noise, so that ratios are known.
    pub fn compares_with_noise(&self) -> bool {
        self.learns_log_z() || matches!(self, Objective::Meco(_))
    }
}

/// Data and what they are compared with, for one step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[n, ...]`
    pub data: Array,
    /// Noise, moved data or chains, `[m, ...]`.
    pub other: Array,
    /// `log q` of the data, `[n]`.
    pub data_log_q: Array,
    /// `log q` of the others, `[m]`.
    pub other_log_q: Array,
    /// Weights of both, each with sum 1 (nodes of a quadrature); `None` for equal weights.
    pub weights: Option<[Array; 2]>,
}

impl Batch {
    /// Data and others with the noise's density at both.
    pub fn new(data: &Array, other: &Array, noise: &dyn Noise) -> Batch {
        let (data_log_q, other_log_q) = (noise.log_density(data), noise.log_density(other));
        Batch { data: data.clone(), other: other.clone(), data_log_q, other_log_q, weights: None }
    }

    fn mean_data(&self, values: &Array) -> Array {
        mean(values, self.weights.as_ref().map(|w| &w[0]))
    }
    fn mean_other(&self, values: &Array) -> Array {
        mean(values, self.weights.as_ref().map(|w| &w[1]))
    }
}

fn mean(values: &Array, weights: Option<&Array>) -> Array {
    match weights {
        Some(weights) => (values * weights).sum_all(),
        None => values.mean_all(),
    }
}

/// What one evaluation shows beside the function that is differentiated.
#[derive(Clone, lisse_array::Tree)]
pub(super) struct Seen {
    /// The objective, for people.
    pub loss: Array,
    /// `log r` of the noise, weights included.
    pub log_ratio: Option<Array>,
}

/// Everything an objective needs beside the parameters.
pub(super) struct Terms<'a> {
    pub objective: &'a Objective,
    pub form: Form,
    pub energy_penalty: f64,
    pub batch: &'a Batch,
    /// Before this batch.
    pub tracker: Tracker,
    /// For score matching.
    pub noise: &'a dyn Noise,
}

impl Terms<'_> {
    /// A function whose gradient is the one to follow, and what was seen.
    pub fn evaluate<M: Energy>(&self, p: &Parameters<M>) -> (Array, Seen) {
        if let Objective::ScoreMatching { deviation } = self.objective {
            return self.score_matching(*deviation, &p.energy);
        }
        let batch = self.batch;
        let n = batch.data.shape()[0];
        let rows = Array::cat(&[&batch.data, &batch.other], 0);
        let energies = p.energy.energy(&rows);
        let data = energies.narrow(0, 0, n);
        let other = energies.narrow(0, n, rows.shape()[0] - n);
        let log_p0 = self.form.log_p0(&data, &batch.data_log_q);
        let (mut value, seen) = match self.objective {
            Objective::Meco(meco) => self.likelihood(meco, &log_p0, &other),
            Objective::Cnce { .. } => {
                let moved = self.form.log_p0(&other, &batch.other_log_q);
                plain(batch.mean_data(&(moved - log_p0).softplus()))
            }
            Objective::ContrastiveDivergence(_) => {
                let chains = self.form.log_p0(&other, &batch.other_log_q);
                plain(batch.mean_other(&chains) - batch.mean_data(&log_p0))
            }
            _ => self.with_learned_normalization(p, &data, &other),
        };
        if self.energy_penalty > 0.0 {
            value = value + energies.square().mean_all() * self.energy_penalty;
        }
        (value, seen)
    }

    /// `log r` with the logarithms of weights, so that plain means of `r` are weighted ones.
    fn log_ratio(&self, energy: &Array) -> Array {
        let plain = self.form.log_ratio(energy, &self.batch.other_log_q);
        match &self.batch.weights {
            Some([_, w]) => plain + (w * w.len() as f64).ln(),
            None => plain,
        }
    }

    fn likelihood(&self, meco: &Meco, log_p0: &Array, other: &Array) -> (Array, Seen) {
        let log_ratio = self.log_ratio(other);
        let now = meco.update(&self.tracker, log_mean_exp(&log_ratio));
        let log_u = now.log_u.unwrap_or(0.0);
        let weights = meco.weights(&log_ratio, log_u);
        // e^{l - l} is 1; its first derivative gives w grad l, its second w (H + grad l grad l'), with u held.
        let unit = (&log_ratio - log_ratio.stop_gradient()).exp();
        let minus_log_p0 = -self.batch.mean_data(log_p0);
        let loss = minus_log_p0.stop_gradient() + log_u;
        let value = minus_log_p0 + (weights * unit).sum_all();
        (value, Seen { loss, log_ratio: Some(log_ratio.stop_gradient()) })
    }

    fn with_learned_normalization<M: Energy>(
        &self,
        p: &Parameters<M>,
        data: &Array,
        other: &Array,
    ) -> (Array, Seen) {
        let batch = self.batch;
        let c = p.log_z.clone().unwrap_or_else(|| Array::zeros(&[], data.dtype()));
        let ratio = self.log_ratio(other);
        let value = if *self.objective == Objective::SelfNormalized {
            let log_p0 = self.form.log_p0(data, &batch.data_log_q);
            (&ratio - &c).exp().mean_all() + &c - batch.mean_data(&log_p0) - 1.0
        } else {
            let nu = batch.other.shape()[0] as f64 / batch.data.shape()[0] as f64;
            let nu = if batch.weights.is_some() { 1.0 } else { nu };
            let shift = &c + nu.ln();
            let of_data = self.form.log_ratio(data, &batch.data_log_q) - &shift;
            let of_noise = self.form.log_ratio(other, &batch.other_log_q) - &shift;
            match self.objective {
                Objective::Ence => {
                    batch.mean_data(&(of_data * -0.5).exp())
                        + batch.mean_other(&(of_noise * 0.5).exp()) * nu
                }
                _ => {
                    batch.mean_data(&(-of_data).softplus())
                        + batch.mean_other(&of_noise.softplus()) * nu
                }
            }
        };
        let loss = value.stop_gradient();
        (value, Seen { loss, log_ratio: Some(ratio.stop_gradient()) })
    }

    fn score_matching<M: Energy>(&self, deviation: f64, model: &M) -> (Array, Seen) {
        let moved = &self.batch.other;
        let density = Density { energy: model, form: self.form, noise: self.noise };
        let score = score(&density, moved);
        let target = (moved - &self.batch.data) / (deviation * deviation);
        let n = moved.shape()[0] as isize;
        plain((score + target).square().reshape(&[n, -1]).sum(&[1]).mean_all() * 0.5)
    }
}

/// A function that is its own loss.
fn plain(value: Array) -> (Array, Seen) {
    let loss = value.stop_gradient();
    (value, Seen { loss, log_ratio: None })
}
