//! What to minimise so that a model forgets.

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use crate::config::{OutOfRange, fail};

/// A loss whose descent removes what a model knows about given examples. The whole objective adds a retain loss:
/// `forget + gamma retain`, with [`PartlySmoothed`](crate::smoothing::PartlySmoothed) where the forgetting is to be robust.
///
/// `L` is the cross entropy of an example under the model, `L_ref` that under the model before unlearning, and
/// `d = L - L_ref = -ln (p / p_ref)`.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::unlearning::{Forget, Reduction};
/// let npo = Forget::Npo { beta: 0.1, reduction: Reduction::PerSample };
/// let (now, before) = (Array::scalar(1.5f64).reshape(&[1]), Array::scalar(0.5f64).reshape(&[1]));
/// assert!((npo.loss(&now, &before).item() - 12.887933).abs() < 1e-6); // d = 1
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Forget {
    /// `-mean L`: gradient ascent; with a retain loss beside it, gradient difference (GradDiff).
    GradientAscent,
    /// Negative preference optimization (Zhang, Lin, Bai & Mei, 2024): `-(2 / beta) mean ln sigma(beta d)`. Its slope in `L` is
    /// `-2 sigma(-beta d)`: that of gradient ascent at `d = 0`, fading as the example is forgotten. `beta -> 0` is gradient ascent.
    Npo {
        /// `beta`, above 0.
        beta: f64,
        /// Where the mean is taken.
        #[serde(default)]
        reduction: Reduction,
    },
    /// SimNPO (Fan et al., 2024), without a reference: `-(2 / beta) mean ln sigma(beta L - margin)`.
    SimNpo {
        /// `beta`, above 0.
        beta: f64,
        /// `gamma` of the paper, at least 0.
        #[serde(default)]
        margin: f64,
    },
}

/// Where the mean over a batch is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Of each example's loss: does not depend on how a batch is cut into parts.
    #[default]
    PerSample,
    /// Of the cross entropies, before the logarithm of the sigmoid, as the released code of the robust variants does.
    BatchMean,
}

impl Forget {
    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        match *self {
            Forget::Npo { beta, .. } | Forget::SimNpo { beta, .. }
                if !(beta > 0.0 && beta.is_finite()) =>
            {
                fail("beta", "a number above 0")
            }
            Forget::SimNpo { margin, .. } if !(margin >= 0.0 && margin.is_finite()) => {
                fail("margin", "a number of at least 0")
            }
            _ => Ok(()),
        }
    }

    /// The loss of a batch from the cross entropies `[batch]` of the model and of the model before unlearning.
    pub fn loss(&self, losses: &Array, reference: &Array) -> Array {
        match *self {
            Forget::GradientAscent => -losses.mean_all(),
            Forget::Npo { beta, reduction } => {
                let d = losses - reference;
                let d = match reduction {
                    Reduction::PerSample => d,
                    Reduction::BatchMean => d.mean_all(),
                };
                // -ln sigma(x) = softplus(-x), without overflow.
                (d * -beta).softplus().mean_all() * (2.0 / beta)
            }
            Forget::SimNpo { beta, margin } => {
                (margin - losses * beta).softplus().mean_all() * (2.0 / beta)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_array::{Tree, check, grad, value_and_grad};

    fn npo(beta: f64) -> Forget {
        Forget::Npo { beta, reduction: Reduction::PerSample }
    }

    /// Loss and weight on gradient ascent of one example.
    fn at(forget: &Forget, d: f64) -> (f64, f64) {
        let (losses, reference) =
            (Array::from_slice(&[d + 0.3], &[1]), Array::from_slice(&[0.3], &[1]));
        let (value, slope) = value_and_grad(|l: &Array| forget.loss(l, &reference))(&losses);
        (value.item(), -slope.item())
    }

    #[test]
    fn npo_has_the_published_values() {
        let rows = [
            (0.1, 0.0, 13.862944, 1.0),
            (0.1, 1.0, 12.887933, 0.950042),
            (0.1, 5.0, 9.481540, 0.755081),
            (0.1, 20.0, 2.538560, 0.238406),
            (1.0, -1.0, 2.626523, 1.462117),
        ];
        for (beta, d, loss, weight) in rows {
            let (found_loss, found_weight) = at(&npo(beta), d);
            assert!((found_loss - loss).abs() < 1e-6, "{beta} {d}: {found_loss}");
            assert!((found_weight - weight).abs() < 1e-6, "{beta} {d}: {found_weight}");
        }
        let (loss, weight) = at(&npo(0.7), 0.0);
        assert_eq!((loss, weight), (2.0 / 0.7 * 2f64.ln(), 1.0));
    }

    #[test]
    fn a_small_beta_is_gradient_ascent() {
        let losses = Array::from_slice(&[0.2f64, 1.4, 3.0], &[3]);
        let reference = Array::from_slice(&[0.1f64, 0.3, 0.2], &[3]);
        let slope = |f: &Forget| grad(|l: &Array| f.loss(l, &reference))(&losses);
        let distance = (slope(&npo(1e-7)) - slope(&Forget::GradientAscent)).norm();
        assert!(distance < 1e-6, "{distance}");
    }

    #[test]
    fn reductions_agree_on_equal_examples_and_simnpo_needs_no_reference() {
        let (losses, reference) =
            (Array::from_slice(&[1.0f64, 1.0], &[2]), Array::from_slice(&[0.4f64, 0.4], &[2]));
        let mean = Forget::Npo { beta: 0.5, reduction: Reduction::BatchMean };
        let distance = mean.loss(&losses, &reference) - npo(0.5).loss(&losses, &reference);
        assert!(distance.item().abs() < 1e-15);
        let sim = Forget::SimNpo { beta: 2.0, margin: 0.5 };
        let expected = (1.0 + (0.5f64 - 2.0).exp()).ln();
        assert!((sim.loss(&losses, &reference).item() - expected).abs() < 1e-15);
        assert_eq!(sim.loss(&losses, &reference).item(), sim.loss(&losses, &losses).item());
    }

    #[test]
    fn derivatives_to_the_second_order() {
        let reference = Array::from_slice(&[0.1f64, 0.3, 0.2], &[3]);
        let losses = Array::from_slice(&[0.2f64, 0.3, 3.0], &[3]);
        for forget in [npo(0.7), Forget::SimNpo { beta: 1.5, margin: 0.2 }] {
            check::gradient(|l: &Array| forget.loss(l, &reference), &losses, 2).unwrap();
        }
    }

    #[test]
    fn values_out_of_range_name_themselves() {
        for (forget, key) in [
            (npo(0.0), "beta"),
            (npo(f64::NAN), "beta"),
            (Forget::SimNpo { beta: 1.0, margin: -1.0 }, "margin"),
        ] {
            assert_eq!(forget.validate().map_err(|bad| bad.key), Err(key.to_string()));
        }
    }
}
