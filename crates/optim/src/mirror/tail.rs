//! How heavy the tail of the gradients' norms is, measured before a run.

use lisse_array::Stream;
use serde::{Deserialize, Serialize};

use super::oracle::{Draw, StochasticOracle};
use super::{Mirror, MirrorError};

/// What a pilot of stochastic gradients at one point tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pilot {
    /// Dual norms of the gradients.
    pub norms: Vec<f64>,
    /// Their root mean square: `G` of [`Steps::tuned`](super::Steps::tuned).
    pub gradient_rms: f64,
    /// Hill's estimate of the tail index; `None` where the largest norms do not differ.
    pub tail_index: Option<f64>,
    /// The moment to use: [`tail_moment`].
    pub p: f64,
}

/// Draws `samples` stochastic gradients at `x`, one example each.
///
/// # Errors
/// Fewer than 4 samples; `x` of another dimension; a gradient that is not finite.
pub fn pilot(
    oracle: &dyn StochasticOracle,
    mirror: &Mirror,
    x: &[f64],
    samples: usize,
    seed: u64,
) -> Result<Pilot, MirrorError> {
    if samples < 4 {
        return Err(MirrorError::OutOfRange { key: "samples".into(), expected: "at least 4" });
    }
    if x.len() != oracle.dimension() {
        return Err(MirrorError::Dimension { expected: oracle.dimension(), found: x.len() });
    }
    let stream = Stream::new(seed).child("pilot");
    let mut norms = Vec::with_capacity(samples);
    let mut gradient = vec![0.0; x.len()];
    for i in 0..samples as u64 {
        let example =
            oracle.examples().map(|n| stream.child("example").below_at(i, n as u64) as usize);
        let draw = Draw { examples: example.as_slice(), stream: stream.child("noise").at(i) };
        oracle.gradient(x, &draw, &mut gradient);
        let norm = mirror.dual_norm(&gradient);
        if !norm.is_finite() {
            return Err(MirrorError::NotFinite { step: i + 1 });
        }
        norms.push(norm);
    }
    let gradient_rms = (norms.iter().map(|n| n * n).sum::<f64>() / samples as f64).sqrt();
    let tail_index = hill(&norms, (samples as f64).sqrt() as usize);
    Ok(Pilot { p: tail_moment(tail_index), norms, gradient_rms, tail_index })
}

/// Hill's estimator of the tail index from the `k` largest of `norms`: `k / sum_{i <= k} ln(X_(i) / X_(k+1))`. `None` unless
/// `1 <= k < norms.len()`, the `k + 1` largest are above 0 and finite, and they differ.
///
/// Reference: Hill, "A simple general approach to inference about the tail of a distribution", Annals of Statistics 3, 1975.
pub fn hill(norms: &[f64], k: usize) -> Option<f64> {
    if k == 0 || k >= norms.len() {
        return None;
    }
    let mut sorted = norms.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (largest, threshold) = (&sorted[..k], sorted[k]);
    if !(threshold > 0.0 && largest[0].is_finite()) {
        return None;
    }
    let sum: f64 = largest.iter().map(|x| (x / threshold).ln()).sum();
    (sum > 0.0).then(|| k as f64 / sum)
}

/// The moment `p` to rely on: `0.95` of the tail index, from 1.05 to 2; 2 where there is no tail.
pub fn tail_moment(tail_index: Option<f64>) -> f64 {
    tail_index.map_or(2.0, |index| (0.95 * index).clamp(1.05, 2.0))
}
