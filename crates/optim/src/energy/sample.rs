//! Points drawn from a trained energy.

use lisse_array::{Array, Stream, grad, value_and_grad_aux};

use super::meco::effective_share;
use super::{Density, Energy};

/// Langevin dynamics, `z += (s^2/2) grad log p0(z) + s N(0, I)`, on all rows at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Langevin {
    /// `s`: 0.01 to 0.1 where the data have unit variance.
    pub step_size: f64,
    /// Number of steps.
    pub steps: usize,
    /// Whether moves are accepted by Metropolis' rule (MALA), which makes the limit exact.
    pub metropolis: bool,
    /// Bound on each coordinate of `s^2 grad log p0`; it makes the limit inexact even with Metropolis' rule. None by default.
    pub drift_bound: Option<f64>,
}

impl Default for Langevin {
    fn default() -> Langevin {
        Langevin { step_size: 0.1, steps: 60, metropolis: false, drift_bound: None }
    }
}

/// Positions with `log p0` and drift there.
struct Place {
    z: Array,
    log_p0: Array,
    drift: Array,
}

impl Langevin {
    /// Moves the rows of `start`; the second result is the share of accepted moves.
    pub fn run<M: Energy>(
        &self,
        density: &Density<'_, M>,
        start: &Array,
        stream: &Stream,
    ) -> (Array, f64) {
        let mut here = self.look(density, start);
        let mut accepted = 0.0;
        for step in 0..self.steps {
            let stream = stream.at(step as u64);
            let kick = stream.normal(here.z.shape(), here.z.dtype()) * self.step_size;
            let next = self.look(density, &(&here.z + &here.drift + kick));
            if self.metropolis {
                let log_share = self.log_acceptance(&here, &next);
                let draws = stream.child("accept").uniform(log_share.shape(), log_share.dtype());
                let taken = draws.ln().less(&log_share);
                accepted += taken.cast(here.z.dtype()).mean_all().item();
                here = here.or(&next, &taken);
            } else {
                accepted += 1.0;
                here = next;
            }
        }
        (here.z, accepted / self.steps.max(1) as f64)
    }

    fn look<M: Energy>(&self, density: &Density<'_, M>, z: &Array) -> Place {
        let (_, gradient, log_p0) = value_and_grad_aux(|z: &Array| {
            let log_p0 = density.log_p0(z);
            (log_p0.sum_all(), log_p0.stop_gradient())
        })(z);
        let mut drift = gradient * (self.step_size * self.step_size);
        if let Some(bound) = self.drift_bound {
            drift = drift.clamp(-bound, bound);
        }
        Place { z: z.clone(), log_p0, drift: drift * 0.5 }
    }

    /// `log (p(next) N(here | next) / (p(here) N(next | here)))`
    fn log_acceptance(&self, here: &Place, next: &Place) -> Array {
        let rows = here.z.shape()[0] as isize;
        let distance = |from: &Place, to: &Place| {
            (&to.z - &from.z - &from.drift).square().reshape(&[rows, -1]).sum(&[1])
        };
        let moves = distance(here, next) - distance(next, here);
        &next.log_p0 - &here.log_p0 + moves / (2.0 * self.step_size * self.step_size)
    }
}

impl Place {
    /// The rows of `next` where taken.
    fn or(&self, next: &Place, taken: &Array) -> Place {
        let mut column = vec![1isize; self.z.rank()];
        column[0] = -1;
        let wide = taken.reshape(&column).expand(self.z.shape());
        Place {
            z: Array::select(&wide, &next.z, &self.z),
            log_p0: Array::select(taken, &next.log_p0, &self.log_p0),
            drift: Array::select(&wide, &next.drift, &self.drift),
        }
    }
}

/// Sampling and importance resampling: `oversampling` times as many points of noise, drawn again by their ratios. The second result is
/// the share of the noise that counts.
///
/// # Errors
/// If a ratio is not a number, or none is above 0.
pub fn resample<M: Energy>(
    density: &Density<'_, M>,
    count: usize,
    oversampling: usize,
    stream: &Stream,
) -> Result<(Array, f64), NotADensity> {
    let pool = density.noise.sample(count * oversampling.max(1), &stream.child("pool"));
    let log_ratio = density.log_ratio(&pool);
    let values = log_ratio.to_f64_vec();
    if values.iter().any(|l| l.is_nan() || *l == f64::INFINITY)
        || values.iter().all(|l| *l == f64::NEG_INFINITY)
    {
        return Err(NotADensity);
    }
    let chosen = stream.child("again").categorical_logits(&log_ratio, count);
    Ok((pool.index_select(0, &chosen), effective_share(&log_ratio)))
}

/// Ratios that cannot be probabilities.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "the ratios of model to noise are not finite; train with a smaller learning rate, an energy penalty or a wider noise"
)]
pub struct NotADensity;

/// `grad log p0`, the score, of every row.
pub fn score<M: Energy>(density: &Density<'_, M>, x: &Array) -> Array {
    grad(|x: &Array| density.log_p0(x).sum_all())(x)
}
