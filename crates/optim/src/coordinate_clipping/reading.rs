//! What a probe reads off along one candidate's step.

use lisse_array::{Array, DType, Tree};
use serde::{Deserialize, Serialize};

/// The loss along one candidate's step `u`, with `v = u / |u|`.
///
/// The quadratic model of the loss along `v` is `f(a) = f(0) - a c + a^2 S / 2`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The training's step.
    pub step: u64,
    /// The candidate.
    pub candidate: String,
    /// The bound of its clipping, if it clips.
    pub bound: Option<f64>,
    /// Share of the coordinates that it cut.
    pub clipped_share: Option<f64>,
    /// Directional sharpness `S = v' H v`, mean over the batches; may be negative.
    pub sharpness: f64,
    /// Standard error of the sharpness over the batches; NaN for one batch.
    pub sharpness_error: f64,
    /// `c = -g' v`: above 0 the loss falls at first.
    pub correlation: f64,
    /// `c / |g|`.
    pub cosine: f64,
    /// Share of `|g|^2` in the largest hundredth of the coordinates.
    pub gradient_top_share: f64,
    /// The same of `|u|^2`.
    pub update_top_share: f64,
    /// How large the step is.
    pub norms: Norms,
    /// Distance along `v` and loss there, until the loss exceeds that of the start.
    pub curve: Vec<(f64, f64)>,
    /// By array of parameters.
    pub layers: Vec<Layer>,
}

/// One array of parameters in a [`Reading`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Its path.
    pub path: String,
    /// `v_l' (H v)_l`; the sum over all arrays is the sharpness.
    pub sharpness: f64,
    /// Share of this array's `|g|^2` in the largest hundredth of its coordinates.
    pub gradient_top_share: f64,
}

/// Sizes of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Norms {
    /// Euclidean norm.
    pub l2: f64,
    /// Largest magnitude.
    pub largest: f64,
    /// Mean magnitude.
    pub mean: f64,
    /// Coordinates by decimal magnitude: below 1e-10, then each power of ten from 1e-10 to 1e1, then 10 and above.
    pub decades: [usize; 13],
}

impl Norms {
    /// The sizes of a tree's trained leaves.
    pub fn of<P: Tree>(tree: &P) -> Norms {
        let mut norms = Norms { l2: tree.norm(), ..Norms::default() };
        let leaves =
            tree.leaves().into_iter().zip(tree.trainable()).filter(|(_, trained)| *trained);
        let (mut sum, mut count) = (0.0, 0);
        for (leaf, _) in leaves.filter(|(leaf, _)| !leaf.is_empty()) {
            let sizes: Array = leaf.abs().cast(DType::F64);
            norms.largest = norms.largest.max(sizes.max_all().item());
            sum += sizes.sum_all().item();
            count += sizes.len();
            for size in sizes.to_vec::<f64>() {
                let decade = if size > 0.0 { size.log10().floor() + 11.0 } else { 0.0 };
                norms.decades[decade.clamp(0.0, 12.0) as usize] += 1;
            }
        }
        norms.mean = sum / count as f64;
        norms
    }
}

impl Reading {
    /// Mean and standard error of the batches' sharpness.
    pub(super) fn set_sharpness(&mut self, samples: &[f64]) {
        let n = samples.len() as f64;
        self.sharpness = samples.iter().sum::<f64>() / n;
        let squares: f64 = samples.iter().map(|s| (s - self.sharpness).powi(2)).sum();
        self.sharpness_error = (squares / (n - 1.0) / n).sqrt();
    }

    /// `a* = c / S`, the quadratic model's best distance; NaN where the model has none.
    pub fn best_step(&self) -> f64 {
        if self.sharpness > 0.0 && self.correlation > 0.0 {
            self.correlation / self.sharpness
        } else {
            f64::NAN
        }
    }

    /// `c^2 / (2 S)`, the quadratic model's largest decrease; NaN where the model has none.
    pub fn predicted_decrease(&self) -> f64 {
        self.best_step() * self.correlation / 2.0
    }

    /// Learning rate that would have made this step the quadratic model's best, given the one with which it was made.
    pub fn suggested_rate(&self, rate: f64) -> f64 {
        rate * self.best_step() / self.norms.l2
    }

    /// The largest decrease on the curve and its distance; 0 at 0 if the loss only rises.
    pub fn measured_decrease(&self) -> (f64, f64) {
        let start = self.curve.first().map_or(f64::NAN, |p| p.1);
        let decreases = self.curve.iter().map(|&(at, value)| (start - value, at));
        decreases
            .filter(|(d, _)| d.is_finite())
            .fold((0.0, 0.0), |best, new| if new.0 > best.0 { new } else { best })
    }

    /// What makes this reading doubtful, in words.
    pub fn doubts(&self) -> Vec<&'static str> {
        let mut doubts = Vec::new();
        let (predicted, measured) = (self.predicted_decrease(), self.measured_decrease().0);
        if predicted.is_finite() && !(predicted <= 3.0 * measured && measured <= 3.0 * predicted) {
            doubts.push("the quadratic model is off by more than 3 times");
        }
        if self.sharpness < 0.0 {
            doubts.push("negative curvature: only the measured decrease counts");
        }
        if self.bound == Some(0.0) {
            doubts
                .push("the bound is 0: more coordinates are zero than q leaves (`nonzero = true`)");
        }
        if self.bound.is_some_and(|b| b > 0.0) && self.clipped_share == Some(0.0) {
            doubts.push("nothing is clipped: q is too small for so few parameters");
        }
        doubts
    }
}
