//! Learning rates as functions of the step.

use serde::{Deserialize, Serialize};

/// A learning rate for every step, counted from 0.
///
/// ```
/// use lisse_optim::Schedule;
/// let s = Schedule::Cosine { peak: 1.0, warmup: 10, total: 110, floor: 0.0 };
/// assert_eq!(s.at(4), 0.5);
/// assert_eq!(s.at(9), 1.0);
/// assert!((s.at(60) - 0.5).abs() < 0.02);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Schedule {
    /// The same for all steps.
    Constant {
        /// The learning rate.
        rate: f64,
    },
    /// Multiplied by `factor` after every `every` steps.
    Step {
        /// First learning rate.
        peak: f64,
        /// Steps between two drops.
        every: u64,
        /// What each drop multiplies by.
        factor: f64,
    },
    /// Half a cosine from `peak` to `floor` at `total`, after a linear warm-up.
    Cosine {
        /// Highest learning rate.
        peak: f64,
        /// Steps of warm-up; step `warmup - 1` is the first at the peak.
        warmup: u64,
        /// Step at which the floor is reached.
        total: u64,
        /// Lowest learning rate.
        floor: f64,
    },
    /// A line from `peak` to zero at `total`, after a linear warm-up.
    LinearToZero {
        /// Highest learning rate.
        peak: f64,
        /// Steps of warm-up.
        warmup: u64,
        /// Step at which zero is reached.
        total: u64,
    },
    /// A linear warm-up to `peak`, then constant.
    Warmup {
        /// Final learning rate.
        peak: f64,
        /// Steps of warm-up.
        warmup: u64,
    },
    /// `peak` times step sizes with guarantees for the last iterate.
    LastIterate {
        /// Multiplies them.
        peak: f64,
        /// The step sizes, whose step 1 is step 0 here.
        plan: crate::mirror::Plan,
    },
}

impl Schedule {
    /// The learning rate of step `step`.
    pub fn at(&self, step: u64) -> f64 {
        let warm = |peak: f64, warmup: u64| {
            (step < warmup).then(|| peak * (step + 1) as f64 / warmup as f64)
        };
        let progress = |warmup: u64, total: u64| {
            ((step.saturating_sub(warmup)) as f64 / total.saturating_sub(warmup).max(1) as f64)
                .min(1.0)
        };
        match *self {
            Schedule::LastIterate { peak, ref plan } => peak * plan.at(step + 1),
            Schedule::Constant { rate } => rate,
            Schedule::Step { peak, every, factor } => {
                peak * factor.powi(i32::try_from(step / every.max(1)).unwrap_or(i32::MAX))
            }
            Schedule::Cosine { peak, warmup, total, floor } => {
                warm(peak, warmup).unwrap_or_else(|| {
                    let angle = std::f64::consts::PI * progress(warmup, total);
                    floor + (peak - floor) * 0.5 * (1.0 + angle.cos())
                })
            }
            Schedule::LinearToZero { peak, warmup, total } => {
                warm(peak, warmup).unwrap_or_else(|| peak * (1.0 - progress(warmup, total)))
            }
            Schedule::Warmup { peak, warmup } => warm(peak, warmup).unwrap_or(peak),
        }
    }
}

impl From<f64> for Schedule {
    fn from(rate: f64) -> Schedule {
        Schedule::Constant { rate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_start_peak_and_end_where_they_say() {
        let linear = Schedule::LinearToZero { peak: 2.0, warmup: 4, total: 14 };
        assert_eq!([0, 3, 4, 9, 14, 20].map(|s| linear.at(s)), [0.5, 2.0, 2.0, 1.0, 0.0, 0.0]);
        let step = Schedule::Step { peak: 1.0, every: 10, factor: 0.5 };
        assert_eq!([0, 9, 10, 25].map(|s| step.at(s)), [1.0, 1.0, 0.5, 0.25]);
        let cosine = Schedule::Cosine { peak: 1.0, warmup: 0, total: 100, floor: 0.1 };
        assert_eq!(cosine.at(0), 1.0);
        assert!((cosine.at(100) - 0.1).abs() < 1e-15 && (cosine.at(50) - 0.55).abs() < 1e-12);
        assert_eq!(Schedule::Warmup { peak: 1.0, warmup: 2 }.at(7), 1.0);
    }
}
