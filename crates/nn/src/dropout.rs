//! Dropout.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::Context;

/// Sets elements to zero with a probability and scales the others to keep the mean (Srivastava et al. 2014); does nothing in
/// evaluation.
#[derive(Clone, Copy, Debug, Tree, Serialize, Deserialize)]
pub struct Dropout {
    /// Probability of a zero, in `[0, 1]`.
    pub probability: f64,
}

impl Dropout {
    /// Panics unless the probability lies in `[0, 1]`.
    pub fn new(probability: f64) -> Dropout {
        check_probability(probability);
        Dropout { probability }
    }

    /// Any shape; the shape stays.
    pub fn forward(&self, x: &Array, context: &Context) -> Array {
        dropout(x, self.probability, context)
    }
}

/// See [`Dropout`]. Panics unless the probability lies in `[0, 1]`.
pub fn dropout(x: &Array, probability: f64, context: &Context) -> Array {
    check_probability(probability);
    if probability == 0.0 {
        return x.clone();
    }
    let Some(stream) = context.next_stream() else { return x.clone() };
    if probability == 1.0 {
        return x * 0.0;
    }
    let kept = x.device().with(|| stream.bernoulli(1.0 - probability, x.shape()));
    x * (kept.cast(x.dtype()) / (1.0 - probability))
}

fn check_probability(probability: f64) {
    assert!(
        (0.0..=1.0).contains(&probability),
        "dropout: the probability must lie between 0 and 1, got {probability}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_array::{DType, Stream, checkpoint, grad};

    #[test]
    fn zeros_have_their_share_and_the_mean_stays() {
        let x = Array::ones(&[100, 100], DType::F64);
        let y = dropout(&x, 0.3, &Context::train(Stream::new(0)));
        let zeros = y.to_vec::<f64>().iter().filter(|v| **v == 0.0).count();
        // 10,000 draws with standard deviation 46.
        assert!((2800..3200).contains(&zeros), "{zeros}");
        assert!((y.mean_all().item() - 1.0).abs() < 0.03);
        assert_eq!(dropout(&x, 0.3, &Context::eval()).to_vec::<f64>(), x.to_vec::<f64>());
        assert_eq!(dropout(&x, 1.0, &Context::train(Stream::new(0))).sum_all().item(), 0.0);
    }

    #[test]
    fn the_derivative_is_the_mask() {
        let x = Stream::new(1).normal(&[20], DType::F64);
        let masked = |x: &Array| dropout(x, 0.5, &Context::train(Stream::new(2)));
        let g = grad(|x: &Array| masked(x).sum_all())(&x);
        assert_eq!((g * &x).to_vec::<f64>(), masked(&x).to_vec::<f64>());
    }

    #[test]
    fn a_checkpoint_repeats_the_mask_of_its_own_context() {
        let x = Stream::new(1).normal(&[20], DType::F64);
        let masked = |x: &Array| {
            let own = Context::train(Stream::new(2)).child("block");
            checkpoint(move |x: &Array| dropout(x, 0.5, &own.at(0)), x)
        };
        let g = grad(|x: &Array| masked(x).sum_all())(&x);
        assert_eq!((g * &x).to_vec::<f64>(), masked(&x).to_vec::<f64>());
    }

    #[test]
    #[should_panic(expected = "the probability must lie between 0 and 1, got 1.5")]
    fn probabilities_are_checked() {
        Dropout::new(1.5);
    }
}
