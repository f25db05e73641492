//! Margin losses.

use lisse_array::{Array, DType};

use super::Reduction;
use super::cross_entropy::check_targets;

/// `max(0, margin - target * score)` for targets -1 and 1 of the shape of `scores`.
#[track_caller]
pub fn hinge(scores: &Array, targets: &Array, margin: f64, reduction: Reduction) -> Array {
    super::check_same("hinge", scores, targets);
    reduction.apply(&(margin - scores * targets).relu())
}

/// `1/C sum_{c != y} max(0, margin - scores_y + scores_c)` for `scores` `[batch, C]` and integer `targets` `[batch]`, as
/// `torch.nn.MultiMarginLoss`.
#[track_caller]
pub fn multiclass_hinge(
    scores: &Array,
    targets: &Array,
    margin: f64,
    reduction: Reduction,
) -> Array {
    check_targets(scores, targets, None);
    let own = scores.gather(1, &targets.cast(DType::I64).unsqueeze(1));
    // The target's own term is the margin itself, whatever the scores.
    let terms = (scores - own + margin).relu().sum(&[1]) - margin.max(0.0);
    reduction.apply(&(terms / scores.dim(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_array::{Stream, check};

    #[test]
    fn values_by_hand() {
        let scores = Array::from_slice(&[0.5f64, -2.0], &[2]);
        let targets = Array::from_slice(&[1.0f64, -1.0], &[2]);
        assert_eq!(hinge(&scores, &targets, 1.0, Reduction::None).to_vec::<f64>(), [0.5, 0.0]);
        let scores = Array::from_slice(&[1.0f64, 0.5, -1.0], &[1, 3]);
        let target = Array::from_slice(&[0i64], &[1]);
        let loss = multiclass_hinge(&scores, &target, 1.0, Reduction::Mean).item();
        assert!((loss - 0.5 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn derivatives_to_the_second_order() {
        let scores = Stream::new(0).normal(&[3, 4], DType::F64);
        let targets = Array::from_slice(&[0i64, 3, 1], &[3]);
        let f = |x: &Array| multiclass_hinge(&x.square(), &targets, 1.0, Reduction::Mean);
        check::gradient(f, &scores, 2).unwrap();
        let signs = Array::from_slice(&[1.0f64, -1.0, 1.0, -1.0], &[4]);
        let signs = signs.expand(&[3, 4]);
        check::gradient(|x: &Array| hinge(&x.exp(), &signs, 1.0, Reduction::Mean), &scores, 2)
            .unwrap();
    }
}
