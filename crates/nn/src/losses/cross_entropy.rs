//! Cross-entropy over classes.

use lisse_array::{Array, DType};

use super::Reduction;
use crate::norm::channel_shape;

/// Mean of `-ln softmax(logits)[target]`: `logits` `[batch, classes, ...]`, `targets` integers `[batch, ...]`. See
/// [`CrossEntropy`] for label smoothing, ignored targets, class weights and other reductions.
///
/// ```
/// use lisse_array::Array;
/// use lisse_nn::losses::cross_entropy;
/// let logits = Array::from_slice(&[0.0f32, 0.0, 0.0, 0.0], &[2, 2]);
/// let loss = cross_entropy(&logits, &Array::from_slice(&[0i64, 1], &[2]));
/// assert!((loss.item() - 2f64.ln()).abs() < 1e-6);
/// ```
#[track_caller]
pub fn cross_entropy(logits: &Array, targets: &Array) -> Array {
    CrossEntropy::default().loss(logits, targets)
}

/// `-sum_c p_c ln softmax(logits)_c` for target distributions `p` of the shape of `logits` `[batch, classes, ...]`; the mean is
/// over all but the classes.
#[track_caller]
pub fn soft_cross_entropy(logits: &Array, p: &Array, reduction: Reduction) -> Array {
    super::check_same("soft_cross_entropy", logits, p);
    reduction.apply(&-(logits.log_softmax(1) * p).sum(&[1]))
}

/// `-log_probabilities[target]`: `log_probabilities` `[batch, classes, ...]`, `targets` integers `[batch, ...]`.
#[track_caller]
pub fn nll(log_probabilities: &Array, targets: &Array, reduction: Reduction) -> Array {
    CrossEntropy { reduction, ..CrossEntropy::default() }.of_log(log_probabilities, targets)
}

/// Cross-entropy with options, as `torch.nn.CrossEntropyLoss`.
///
/// With smoothing `e`, weights `w` and `C` classes, an element's loss is
/// `-(1 - e) w_y ln p_y - e/C sum_c w_c ln p_c`. The mean divides by the sum of the targets' weights. Where every target is
/// ignored the mean is zero (NaN in PyTorch).
#[derive(Clone, Debug, Default)]
pub struct CrossEntropy {
    /// Share of the target spread over all classes, in `[0, 1]`; 0 by default.
    pub label_smoothing: f64,
    /// A target that counts for nothing; none by default.
    pub ignore_index: Option<i64>,
    /// A factor for each class, `[classes]`; ones by default.
    pub class_weights: Option<Array>,
    /// The mean by default.
    pub reduction: Reduction,
}

impl CrossEntropy {
    /// The loss of `logits` `[batch, classes, ...]` for integer `targets` `[batch, ...]`.
    ///
    /// Panics where shapes do not fit or a target is no class.
    #[track_caller]
    pub fn loss(&self, logits: &Array, targets: &Array) -> Array {
        check_targets(logits, targets, self.ignore_index);
        self.of_checked(&logits.log_softmax(1), targets)
    }

    /// As [`loss`](Self::loss), from logarithms of probabilities.
    #[track_caller]
    pub fn of_log(&self, log_probabilities: &Array, targets: &Array) -> Array {
        check_targets(log_probabilities, targets, self.ignore_index);
        self.of_checked(log_probabilities, targets)
    }

    fn of_checked(&self, log_p: &Array, targets: &Array) -> Array {
        let smoothing = self.label_smoothing;
        assert!(
            (0.0..=1.0).contains(&smoothing),
            "cross_entropy: label_smoothing must lie between 0 and 1, got {smoothing}"
        );
        let targets = targets.cast(DType::I64);
        let ignored = self.ignore_index.map(|i| targets.equal(&targets.full_like(i as f64)));
        let classes = match &ignored {
            Some(ignored) => Array::select(ignored, &targets.zeros_like(), &targets),
            None => targets,
        };
        let mut losses = -log_p.gather(1, &classes.unsqueeze(1)).squeeze(1);
        let weights = self.target_weights(&classes, ignored.as_ref(), log_p);
        if let Some(class_weights) = &self.class_weights {
            losses = losses * gather_weights(class_weights, &classes);
        }
        if smoothing > 0.0 {
            losses = losses * (1.0 - smoothing) + self.spread(log_p) * smoothing;
        }
        if let Some(ignored) = &ignored {
            losses = Array::select(ignored, &losses.zeros_like(), &losses);
        }
        match (self.reduction, weights) {
            (Reduction::Mean, Some(weights)) => {
                let total = weights.sum_all();
                let none = total.equal(&total.zeros_like());
                losses.sum_all() / Array::select(&none, &total.ones_like(), &total)
            }
            (reduction, _) => reduction.apply(&losses),
        }
    }

    /// `-1/C sum_c w_c ln p_c`
    fn spread(&self, log_p: &Array) -> Array {
        let weighted = match &self.class_weights {
            Some(w) => log_p * w.reshape(&channel_shape(log_p.rank())),
            None => log_p.clone(),
        };
        -weighted.mean(&[1])
    }

    /// What each target adds to the mean's divisor; none where that is one throughout.
    fn target_weights(
        &self,
        classes: &Array,
        ignored: Option<&Array>,
        log_p: &Array,
    ) -> Option<Array> {
        let ones = || Array::ones(classes.shape(), log_p.dtype()).to_device(log_p.device());
        if self.class_weights.is_none() && ignored.is_none() {
            return None;
        }
        let weights = match &self.class_weights {
            Some(class_weights) => {
                assert!(
                    class_weights.shape() == [log_p.dim(1)],
                    "cross_entropy: class weights {:?} for {} classes",
                    class_weights.shape(),
                    log_p.dim(1)
                );
                gather_weights(class_weights, classes)
            }
            None => ones(),
        };
        Some(match ignored {
            Some(ignored) => Array::select(ignored, &weights.zeros_like(), &weights),
            None => weights,
        })
    }
}

fn gather_weights(class_weights: &Array, classes: &Array) -> Array {
    let shape: Vec<isize> = classes.shape().iter().map(|&d| d as isize).collect();
    class_weights.index_select(0, &classes.reshape(&[-1])).reshape(&shape)
}

#[track_caller]
pub(super) fn check_targets(scores: &Array, targets: &Array, ignore_index: Option<i64>) {
    let fits = scores.rank() >= 2
        && targets.rank() + 1 == scores.rank()
        && targets.dim(0) == scores.dim(0)
        && targets.shape()[1..] == scores.shape()[2..];
    assert!(
        fits && targets.dtype().is_int(),
        "cross_entropy: needs scores [batch, classes, ...] and integer targets [batch, ...], got {:?} and {} {:?}",
        scores.shape(),
        targets.dtype(),
        targets.shape()
    );
    let classes = scores.dim(1) as i64;
    let values = targets.cast(DType::I64).to_vec::<i64>();
    let bad = values.iter().position(|&t| !(0..classes).contains(&t) && Some(t) != ignore_index);
    if let Some(at) = bad {
        panic!(
            "cross_entropy: target {} at position {at} is not one of {classes} classes, 0 to {}",
            values[at],
            classes - 1
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_array::{Stream, check};

    #[test]
    fn derivatives_under_every_option() {
        let logits = Stream::new(0).normal(&[4, 3], DType::F64);
        let targets = Array::from_slice(&[0i64, 2, -100, 1], &[4]);
        let weights = Array::from_slice(&[0.5f64, 1.0, 2.0], &[3]);
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            for label_smoothing in [0.0, 0.2] {
                for class_weights in [None, Some(weights.clone())] {
                    let loss = CrossEntropy {
                        label_smoothing,
                        ignore_index: Some(-100),
                        class_weights,
                        reduction,
                    };
                    check::gradient(|x: &Array| loss.loss(x, &targets), &logits, 2).unwrap();
                }
            }
        }
        let p = Stream::new(1).normal(&[4, 3], DType::F64).softmax(1);
        check::gradient(|x: &Array| soft_cross_entropy(x, &p, Reduction::Mean), &logits, 2)
            .unwrap();
    }

    #[test]
    fn images_of_classes() {
        let logits = Stream::new(0).normal(&[2, 3, 4, 5], DType::F64);
        let targets = Array::full(&[2, 4, 5], 1.0, DType::I64);
        let loss = cross_entropy(&logits, &targets).item();
        let expected = -logits.log_softmax(1).index(1, 1).mean_all().item();
        assert!((loss - expected).abs() < 1e-14);
    }

    #[test]
    fn ignoring_everything_gives_zero() {
        let logits = Stream::new(0).normal(&[2, 3], DType::F64);
        let targets = Array::from_slice(&[-1i64, -1], &[2]);
        let loss = CrossEntropy { ignore_index: Some(-1), ..CrossEntropy::default() };
        assert_eq!(loss.loss(&logits, &targets).item(), 0.0);
    }

    #[test]
    #[should_panic(expected = "target 3 at position 1 is not one of 3 classes, 0 to 2")]
    fn a_target_that_is_no_class_is_named() {
        let targets = Array::from_slice(&[0i64, 3], &[2]);
        cross_entropy(&Array::zeros(&[2, 3], DType::F32), &targets);
    }
}
