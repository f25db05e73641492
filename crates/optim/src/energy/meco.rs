//! The compositional estimator of the likelihood's gradient.

use lisse_array::{Array, DType};
use serde::{Deserialize, Serialize};

use crate::config::{OutOfRange, fail};

/// Maximum likelihood of unnormalized models by compositional optimization (MECO; Jiang et al., ICML 2023).
///
/// The negative log-likelihood `L(th) = -mean_i log p0(x_i; th) + log g(th)` has `g(th) = E_q[r(z)] = Z`, with ratios `r = p0/q` to a
/// noise density `q`. The logarithm of an average over a batch of noise is biased; a moving average over all batches is not, in the
/// long run:
///
/// ```text
/// u_t = (1 - gamma) u_{t-1} + gamma mean_j r(z_j; th_t),     u_1 = mean_j r(z_j; th_1)
/// G_t = -mean_i grad log p0(x_i; th_t) + mean_j r(z_j; th_t) grad log p0(z_j; th_t) / u_t
/// ```
///
/// `G_t` goes to any optimizer: averaged gradients `v_t = (1 - beta) v_{t-1} + beta G_t` as in the paper
/// ([`GradientAverage`](super::GradientAverage)), or Adam, whose `beta1` is `1 - beta`. Everything is computed with logarithms;
/// no gradient passes through `u`, which is a number and not the batch's own ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Meco {
    /// Share of the newest batch in `u`, above 0 and at most 1. Small: little variance, but `u` lags behind parameters that move fast.
    /// At 1 `u` is the batch's own average, the biased estimator.
    pub gamma: f64,
    /// Whether `gamma` falls as `1 / sqrt(t)`, as the theory has it.
    pub decay: bool,
    /// Bound on a ratio, in multiples of the batch's average; none by default.
    pub weight_clip: Option<f64>,
}

impl Default for Meco {
    fn default() -> Meco {
        Meco { gamma: 0.1, decay: false, weight_clip: None }
    }
}

impl Meco {
    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        if !(self.gamma > 0.0 && self.gamma <= 1.0) {
            return fail("gamma", "a number above 0, at most 1");
        }
        if self.weight_clip.is_some_and(|clip| !(clip >= 1.0 && clip.is_finite())) {
            return fail("weight_clip", "a number of at least 1: multiples of the average");
        }
        Ok(())
    }

    /// `gamma_t`, `updates` having been made before.
    fn share(&self, updates: u64) -> f64 {
        if self.decay { self.gamma / (updates.max(1) as f64).sqrt() } else { self.gamma }
    }

    /// The tracker after a batch with this logarithm of its mean ratio.
    pub fn update(&self, tracker: &Tracker, log_mean_ratio: f64) -> Tracker {
        let gamma = self.share(tracker.updates);
        let log_u = match tracker.log_u {
            Some(old) => log_add_exp((-gamma).ln_1p() + old, gamma.ln() + log_mean_ratio),
            None => log_mean_ratio,
        };
        Tracker { log_u: Some(log_u), updates: tracker.updates + 1 }
    }

    /// Share of the ratios that `weight_clip` bounds; none without it.
    pub(super) fn clipped(&self, log_ratio: &Array) -> Option<f64> {
        let bound = log_mean_exp(log_ratio) + self.weight_clip?.ln();
        let above = log_ratio.greater(&log_ratio.full_like(bound));
        Some(above.cast(DType::F64).mean_all().item())
    }

    /// `r_j / (B u)` for log ratios `[B]` (plus logarithms of weights times `B`), not differentiated; bounded.
    pub(super) fn weights(&self, log_ratio: &Array, log_u: f64) -> Array {
        let mut scaled = log_ratio.stop_gradient() - log_u;
        if let Some(clip) = self.weight_clip {
            let mean = log_mean_exp(&scaled);
            scaled = scaled.minimum(&scaled.full_like(mean + clip.ln()));
        }
        scaled.exp() / log_ratio.len() as f64
    }
}

/// The moving average `u` of the ratio, as its logarithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tracker {
    /// `log u`; none before the first batch.
    pub log_u: Option<f64>,
    /// Batches seen.
    pub updates: u64,
}

/// `log(e^a + e^b)`
fn log_add_exp(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `log mean_j e^{l_j}`
pub(super) fn log_mean_exp(log: &Array) -> f64 {
    log.stop_gradient().logsumexp_all().item() - (log.len() as f64).ln()
}

/// `(sum r)^2 / (n sum r^2)`: the share of a sample that counts, of ratios by their logarithms.
pub fn effective_share(log_ratio: &Array) -> f64 {
    let l = log_ratio.stop_gradient();
    let n = (l.len() as f64).ln();
    (2.0 * l.logsumexp_all().item() - (l * 2.0).logsumexp_all().item() - n).exp()
}
