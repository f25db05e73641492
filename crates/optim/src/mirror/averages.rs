//! Averages of iterates.

use serde::{Deserialize, Serialize};

use super::MirrorError;

/// Which average of the iterates so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Average {
    /// The mean of all.
    Uniform,
    /// The mean of the last share of the iterates. Exact where the horizon is known; without one, of the last share or a bit more (at
    /// most twice as many), from blocks of doubling length.
    Suffix {
        /// The share, above 0, at most 1.
        #[serde(default = "half")]
        share: f64,
    },
    /// The weight of a new iterate is `(s + 1) / (t + s)`: `s = 1` weighs iterate `t` by `t`, `s = 0` is uniform.
    Polynomial {
        /// `s`, at least 0.
        #[serde(default = "one")]
        s: f64,
    },
    /// The weight of a new iterate is `t^{-power}`.
    Exponential {
        /// Between 0 and 1.
        #[serde(default = "power")]
        power: f64,
    },
}

fn half() -> f64 {
    0.5
}
fn one() -> f64 {
    1.0
}
fn power() -> f64 {
    0.9
}

impl Average {
    /// Name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Average::Uniform => "uniform",
            Average::Suffix { .. } => "suffix",
            Average::Polynomial { .. } => "polynomial",
            Average::Exponential { .. } => "exponential",
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), MirrorError> {
        let check = |good: bool, key: &str, expected| {
            good.then_some(())
                .ok_or(MirrorError::OutOfRange { key: format!("averages.{key}"), expected })
        };
        match *self {
            Average::Uniform => Ok(()),
            Average::Suffix { share } => {
                check(share > 0.0 && share <= 1.0, "share", "a number above 0, at most 1")
            }
            Average::Polynomial { s } => {
                check(s >= 0.0 && s.is_finite(), "s", "a number of at least 0")
            }
            Average::Exponential { power } => {
                check((0.0..=1.0).contains(&power), "power", "a number from 0 to 1")
            }
        }
    }
}

/// A running average.
///
/// ```
/// use lisse_optim::mirror::{Average, Averager};
/// let mut mean = Averager::new(Average::Polynomial { s: 1.0 }, None);
/// for x in [1.0, 2.0, 3.0] {
///     mean.take(&[x]);
/// }
/// assert!((mean.value().unwrap()[0] - (1.0 + 4.0 + 9.0) / 6.0).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Averager {
    kind: Average,
    /// Iterates taken.
    count: u64,
    /// First iterate, counted from 1, that a suffix of a known horizon takes.
    from: u64,
    mean: Vec<f64>,
    /// Means and lengths of the blocks of a suffix without horizon, oldest first.
    blocks: Vec<(Vec<f64>, u64)>,
}

impl Averager {
    /// Before the first iterate; `horizon` is the number of iterates that will come, if known.
    pub fn new(kind: Average, horizon: Option<u64>) -> Averager {
        let from = match (&kind, horizon) {
            (Average::Suffix { share }, Some(total)) => {
                ((1.0 - share) * total as f64).round().min(total.saturating_sub(1) as f64) as u64
                    + 1
            }
            // 0: no horizon.
            _ => 0,
        };
        Averager { kind, count: 0, from, mean: Vec::new(), blocks: Vec::new() }
    }

    /// Takes in the next iterate.
    pub fn take(&mut self, x: &[f64]) {
        self.count += 1;
        let t = self.count as f64;
        match self.kind {
            Average::Uniform => mix(&mut self.mean, x, 1.0 / t),
            Average::Polynomial { s } => mix(&mut self.mean, x, (s + 1.0) / (t + s)),
            Average::Exponential { power } => mix(&mut self.mean, x, t.powf(-power)),
            Average::Suffix { .. } if self.from > 0 => {
                if self.count >= self.from {
                    mix(&mut self.mean, x, 1.0 / (self.count - self.from + 1) as f64);
                }
            }
            Average::Suffix { share } => self.take_into_block(x, share),
        }
    }

    /// A block is full when it holds a quarter of the share of all iterates; the oldest leave when the others hold the share.
    fn take_into_block(&mut self, x: &[f64], share: f64) {
        let wanted = share * self.count as f64;
        match self.blocks.last_mut() {
            Some((mean, length)) if (*length as f64) < 0.25 * wanted => {
                *length += 1;
                mix(mean, x, 1.0 / *length as f64);
            }
            _ => self.blocks.push((x.to_vec(), 1)),
        }
        let mut held: u64 = self.blocks.iter().map(|(_, length)| length).sum();
        while (held - self.blocks[0].1) as f64 >= wanted {
            held -= self.blocks.remove(0).1;
        }
    }

    /// The average; `None` before the first iterate that counts.
    pub fn value(&self) -> Option<Vec<f64>> {
        if self.blocks.is_empty() {
            return (!self.mean.is_empty()).then(|| self.mean.clone());
        }
        let (mut sum, mut held) = (Vec::new(), 0);
        for (mean, length) in &self.blocks {
            held += length;
            mix(&mut sum, mean, *length as f64 / held as f64);
        }
        Some(sum)
    }

    /// Which average it is.
    pub fn kind(&self) -> &Average {
        &self.kind
    }
}

/// `mean <- mean + weight (x - mean)`, beginning with `x` itself.
fn mix(mean: &mut Vec<f64>, x: &[f64], weight: f64) {
    if mean.is_empty() {
        mean.extend_from_slice(x);
    } else {
        for (m, x) in mean.iter_mut().zip(x) {
            *m += weight * (x - *m);
        }
    }
}
