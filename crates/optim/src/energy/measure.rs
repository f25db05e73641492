//! How good a trained energy is: normalization, likelihood, and telling the foreign from the familiar.

use lisse_array::Stream;
use serde::{Deserialize, Serialize};

use super::{Density, Energy};

/// An estimate of `log Z = log E_q[p0/q]` from fresh noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    /// The estimate.
    pub log_z: f64,
    /// Its standard error, by the variance of the ratio; not to be trusted where `ess` is small.
    pub standard_error: f64,
    /// Effective share of the noise, `(E r)^2 / E r^2 = 1 / (1 + chi^2(p || q))`.
    pub ess: f64,
    /// Points drawn.
    pub samples: usize,
}

/// Rows that are evaluated at a time.
const CHUNK: usize = 8192;

impl Partition {
    /// From `samples` points (at least 1). Never from the noise of training: the model has adapted to it.
    pub fn estimate<M: Energy>(
        density: &Density<'_, M>,
        samples: usize,
        stream: &Stream,
    ) -> Partition {
        let samples = samples.max(1);
        // Sums of r and r^2 in multiples of e^peak and e^(2 peak).
        let (mut peak, mut first, mut second) = (f64::NEG_INFINITY, 0.0, 0.0);
        for (i, start) in (0..samples).step_by(CHUNK).enumerate() {
            let z = density.noise.sample(CHUNK.min(samples - start), &stream.at(i as u64));
            let ratios = density.log_ratio(&z).to_f64_vec();
            let highest = ratios.iter().copied().fold(peak, f64::max);
            if highest == f64::NEG_INFINITY {
                continue;
            }
            let shrink = (peak - highest).exp();
            first *= shrink;
            second *= shrink * shrink;
            peak = highest;
            for ratio in ratios {
                let r = (ratio - peak).exp();
                first += r;
                second += r * r;
            }
        }
        let n = samples as f64;
        let ess = first * first / (n * second);
        Partition {
            log_z: peak + (first / n).ln(),
            standard_error: ((1.0 / ess - 1.0).max(0.0) / n).sqrt(),
            ess,
            samples,
        }
    }
}

/// Probability that a foreign example scores above a familiar one, ties counting half: the area under the curve of true against false
/// positives. With the energy as score, `Z` does not matter.
///
/// ```
/// use lisse_optim::energy::auroc;
/// assert_eq!(auroc(&[0.0, 1.0], &[2.0, 3.0]), 1.0);
/// assert_eq!(auroc(&[0.0, 1.0], &[1.0, 0.0]), 0.5);
/// ```
pub fn auroc(familiar: &[f64], foreign: &[f64]) -> f64 {
    let mut sorted = familiar.to_vec();
    sorted.sort_by(f64::total_cmp);
    let wins = foreign.iter().map(|score| {
        let below = sorted.partition_point(|s| s < score);
        let not_above = sorted.partition_point(|s| s <= score);
        (below + not_above) as f64 / 2.0
    });
    wins.sum::<f64>() / (familiar.len() * foreign.len()) as f64
}

/// Share of foreign examples taken for familiar where 95 % of the familiar ones are accepted: those with the lowest scores.
pub fn false_positive_rate(familiar: &[f64], foreign: &[f64]) -> f64 {
    let mut sorted = familiar.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = (0.95 * sorted.len() as f64).ceil() as usize;
    let Some(&threshold) = sorted.get(last.saturating_sub(1)) else { return f64::NAN };
    foreign.iter().filter(|score| **score <= threshold).count() as f64 / foreign.len() as f64
}
