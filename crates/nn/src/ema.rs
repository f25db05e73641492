//! Exponential moving averages of trees.

use lisse_array::Tree;
use serde::{Deserialize, Serialize};

/// An exponential moving average of parameters: `average <- decay average + (1 - decay) parameters` at each
/// [`update`](Self::update). Buffers and integers are copied from the latest tree.
///
/// With bias correction the average starts from zero and [`value`](Self::value) divides by `1 - decay^n`, so that it weighs the
/// `n` trees seen and not the first more than the others.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Ema<P: Tree> {
    /// The running average, before correction.
    pub average: P,
    /// Share of the old average kept at each update.
    pub decay: f64,
    /// Whether the start from zero is corrected for.
    pub bias_corrected: bool,
    /// Number of updates.
    pub updates: u64,
}

impl<P: Tree> Ema<P> {
    /// Starts from `parameters` themselves. Panics unless `decay` lies in `[0, 1)`.
    pub fn new(parameters: &P, decay: f64) -> Ema<P> {
        Ema::with(parameters.clone(), decay, false)
    }

    /// Starts from zero, with bias correction. Panics unless `decay` lies in `[0, 1)`.
    pub fn bias_corrected(parameters: &P, decay: f64) -> Ema<P> {
        Ema::with(parameters.scale(0.0), decay, true)
    }

    fn with(average: P, decay: f64, bias_corrected: bool) -> Ema<P> {
        assert!((0.0..1.0).contains(&decay), "ema: the decay must lie in [0, 1), got {decay}");
        Ema { average, decay, bias_corrected, updates: 0 }
    }

    /// Takes in the parameters of one more step.
    pub fn update(&mut self, parameters: &P) {
        let trainable = parameters.trainable();
        let mut trainable = trainable.into_iter();
        self.average = self.average.zip_map(parameters, |old, new| {
            let new = new.stop_gradient();
            if trainable.next() == Some(true) {
                (old * self.decay).add_scaled(1.0 - self.decay, &new)
            } else {
                new
            }
        });
        self.updates += 1;
    }

    /// The averaged tree. Panics with bias correction before the first update.
    pub fn value(&self) -> P {
        if !self.bias_corrected {
            return self.average.clone();
        }
        assert!(
            self.updates > 0,
            "ema: a bias-corrected average has no value before the first update"
        );
        self.average.scale(1.0 / (1.0 - self.decay.powf(self.updates as f64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchNorm;
    use lisse_array::Array;

    #[test]
    fn the_correction_makes_constants_exact() {
        let five = Array::scalar(5.0f64);
        let mut ema = Ema::bias_corrected(&five, 0.9);
        for _ in 0..3 {
            ema.update(&five);
        }
        assert!((ema.value().item() - 5.0).abs() < 1e-14);
        assert!((ema.average.item() - 5.0 * (1.0 - 0.9f64.powi(3))).abs() < 1e-14);
    }

    #[test]
    fn the_plain_average_forgets_its_start() {
        let mut ema = Ema::new(&Array::scalar(1.0f64), 0.5);
        ema.update(&Array::scalar(0.0f64));
        ema.update(&Array::scalar(4.0f64));
        assert_eq!(ema.value().item(), 2.25);
    }

    #[test]
    fn buffers_are_copied() {
        let old = BatchNorm::new(2);
        let mut new = old.clone();
        new.running_mean = &new.running_mean + 3.0;
        new.weight = &new.weight * 3.0;
        let mut ema = Ema::new(&old, 0.5);
        ema.update(&new);
        assert_eq!(ema.value().running_mean.to_vec::<f32>(), [3.0, 3.0]);
        assert_eq!(ema.value().weight.to_vec::<f32>(), [2.0, 2.0]);
    }
}
