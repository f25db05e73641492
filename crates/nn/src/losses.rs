//! Losses, with the values and conventions of PyTorch.

mod cross_entropy;
mod hinge;

pub use cross_entropy::{CrossEntropy, cross_entropy, nll, soft_cross_entropy};
pub use hinge::{hinge, multiclass_hinge};

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

/// What becomes of the loss of each element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Tree, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// Their sum over the size of the first axis: the Kullback-Leibler divergence of a batch.
    BatchMean,
    /// Each is kept.
    None,
}

impl Reduction {
    /// Reduces the losses of all elements.
    pub fn apply(self, losses: &Array) -> Array {
        match self {
            Self::Mean => losses.mean_all(),
            Self::Sum => losses.sum_all(),
            Self::BatchMean => {
                assert!(losses.rank() > 0, "a scalar loss has no batch to take the mean over");
                losses.sum_all() / losses.dim(0).max(1) as f64
            }
            Self::None => losses.clone(),
        }
    }
}

/// Panics unless the two shapes are equal: broadcasting in a loss is a mistake nearly always.
#[track_caller]
fn check_same(name: &str, prediction: &Array, target: &Array) {
    assert!(
        prediction.shape() == target.shape(),
        "{name}: predictions {:?} and targets {:?} differ in shape",
        prediction.shape(),
        target.shape()
    );
}

/// Squared error `(prediction - target)^2`.
#[track_caller]
pub fn mse(prediction: &Array, target: &Array, reduction: Reduction) -> Array {
    check_same("mse", prediction, target);
    reduction.apply(&(prediction - target).square())
}

/// Huber's loss (1964): `d^2 / 2` up to `delta`, `delta (|d| - delta / 2)` beyond, for `d = prediction - target`. Panics unless
/// `delta > 0`.
#[track_caller]
pub fn huber(prediction: &Array, target: &Array, delta: f64, reduction: Reduction) -> Array {
    check_same("huber", prediction, target);
    assert!(delta > 0.0, "huber: delta must be positive, got {delta}");
    let d = prediction - target;
    let inner = d.clamp(-delta, delta);
    // inner (d - inner / 2) is both pieces at once, and twice differentiable at zero.
    reduction.apply(&(&inner * (d - &inner * 0.5)))
}

/// Binary cross-entropy `-(t ln s + (1 - t) ln(1 - s))` with `s = sigmoid(logit)`, without overflow. Targets lie in `[0, 1]`.
#[track_caller]
pub fn bce_with_logits(logits: &Array, targets: &Array, reduction: Reduction) -> Array {
    check_same("bce_with_logits", logits, targets);
    reduction.apply(&(logits.softplus() - logits * targets))
}

/// As [`bce_with_logits`], with the loss of positive targets multiplied by `positive_weight` (broadcasting), against classes of
/// unequal size.
#[track_caller]
pub fn weighted_bce_with_logits(
    logits: &Array,
    targets: &Array,
    positive_weight: &Array,
    reduction: Reduction,
) -> Array {
    check_same("weighted_bce_with_logits", logits, targets);
    let positive = positive_weight * targets * (-logits).softplus();
    reduction.apply(&(positive + (1.0 - targets) * logits.softplus()))
}

/// Kullback-Leibler divergence `p (ln p - ln q)` from the logarithm of the model's distribution `q` and the target
/// distribution `p`; zero where `p` is. [`Reduction::BatchMean`] gives the divergence per example.
#[track_caller]
pub fn kl_div(log_q: &Array, p: &Array, reduction: Reduction) -> Array {
    check_same("kl_div", log_q, p);
    let positive = p.greater(&p.zeros_like());
    let log_p = Array::select(&positive, p, &p.ones_like()).ln();
    reduction.apply(&(p * (log_p - log_q)))
}

/// As [`kl_div`], with the target also given by its logarithm.
#[track_caller]
pub fn kl_div_log(log_q: &Array, log_p: &Array, reduction: Reduction) -> Array {
    check_same("kl_div_log", log_q, log_p);
    reduction.apply(&(log_p.exp() * (log_p - log_q)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_array::{DType, Stream, check};

    fn pair() -> (Array, Array) {
        let draw = |seed| Stream::new(seed).normal(&[3, 4], DType::F64) * 1.5;
        (draw(0), draw(1))
    }

    #[test]
    fn derivatives_to_the_second_order() {
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::BatchMean, Reduction::None] {
            let at = pair();
            check::gradient(|(x, t): &(Array, Array)| mse(x, t, reduction), &at, 2).unwrap();
            check::gradient(|(x, t): &(Array, Array)| huber(x, t, 0.7, reduction), &at, 2).unwrap();
            let bce = |(x, t): &(Array, Array)| bce_with_logits(x, &t.sigmoid(), reduction);
            check::gradient(bce, &at, 2).unwrap();
            let weight = Array::from_slice(&[0.5f64, 1.0, 2.0, 3.0], &[4]);
            let bce = |(x, t): &(Array, Array)| {
                weighted_bce_with_logits(x, &t.sigmoid(), &weight, reduction)
            };
            check::gradient(bce, &at, 2).unwrap();
            let kl = |(x, t): &(Array, Array)| kl_div(&x.log_softmax(1), &t.softmax(1), reduction);
            check::gradient(kl, &at, 2).unwrap();
            let kl = |(x, t): &(Array, Array)| {
                kl_div_log(&x.log_softmax(1), &t.log_softmax(1), reduction)
            };
            check::gradient(kl, &at, 2).unwrap();
        }
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let logits = Array::from_slice(&[-900.0f64, 900.0], &[2]);
        let targets = Array::from_slice(&[1.0f64, 1.0], &[2]);
        let losses = bce_with_logits(&logits, &targets, Reduction::None).to_vec::<f64>();
        assert_eq!(losses, [900.0, 0.0]);
    }

    #[test]
    fn zero_probabilities_add_nothing() {
        let log_q = Array::from_slice(&[0.5f64.ln(), 0.5f64.ln()], &[1, 2]);
        let p = Array::from_slice(&[1.0f64, 0.0], &[1, 2]);
        let divergence = kl_div(&log_q, &p, Reduction::BatchMean).item();
        assert!((divergence - 2f64.ln()).abs() < 1e-15);
    }

    #[test]
    #[should_panic(expected = "mse: predictions [3] and targets [3, 1] differ in shape")]
    fn shapes_are_not_broadcast() {
        let zeros = |shape: &[usize]| Array::zeros(shape, DType::F64);
        mse(&zeros(&[3]), &zeros(&[3, 1]), Reduction::Mean);
    }
}
