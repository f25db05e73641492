//! Softmax, its logarithm, and layer normalisation.

use crate::storage::Storage;
use crate::tape::derive_joint;
use crate::{Array, cpu, shape};

/// The untracked softmax of an untracked array, or its logarithm: in one pass over the last axis on the processor.
fn softmax_value(x: &Array, axis: isize, log: bool) -> Array {
    let last = shape::axis("softmax", axis, x.shape()) + 1 == x.rank();
    if let (true, Storage::Cpu(t)) = (last, x.storage()) {
        return Array::from_cpu(cpu::softmax_last(t.clone(), log));
    }
    let shifted = x - x.max_keep(&[axis]);
    if log {
        let total = shifted.exp().sum_keep(&[axis]).ln();
        return shifted - total;
    }
    let powers = shifted.exp();
    let total = powers.sum_keep(&[axis]);
    powers / total
}

/// The untracked normalised array and the reciprocal standard deviation of an untracked array, over the last axis.
fn normalised_value(x: &Array, eps: f64) -> (Array, Array) {
    match x.storage() {
        Storage::Cpu(t) => {
            let (y, _, scale) = cpu::layer_norm_last(t.clone(), eps);
            (Array::from_cpu(y), Array::from_cpu(scale))
        }
        #[cfg(feature = "gpu")]
        Storage::Gpu(_) => normalised_composed(x, eps),
    }
}

#[cfg(feature = "gpu")]
fn normalised_composed(x: &Array, eps: f64) -> (Array, Array) {
    let centred = x - x.mean_keep(&[-1]);
    let scale = (centred.square().mean_keep(&[-1]) + eps).sqrt().recip();
    (centred * &scale, scale)
}

#[track_caller]
fn check_float(operation: &str, x: &Array) {
    assert!(
        x.dtype().is_float(),
        "{operation}: needs floats, got {} of shape {:?}",
        x.dtype(),
        x.shape()
    );
}

impl Array {
    /// `e^x / sum e^x` along an axis, without overflow. Where all elements are `-inf` the result is NaN.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Array {
        check_float("softmax", self);
        shape::axis("softmax", axis, self.shape());
        let value = softmax_value(&self.stop_gradient(), axis, false);
        if !self.is_tracked() {
            return value;
        }
        let kept = value.clone();
        value.derive(self, move |ct, out| {
            let y = out.attach(&kept);
            let mean = (&ct * &y).sum_keep(&[axis]);
            (ct - mean) * y
        })
    }

    /// `x - ln sum e^x` along an axis: the logarithm of [`softmax`](Self::softmax), accurate also where that underflows.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Array {
        check_float("log_softmax", self);
        shape::axis("log_softmax", axis, self.shape());
        let value = softmax_value(&self.stop_gradient(), axis, true);
        if !self.is_tracked() {
            return value;
        }
        let kept = value.clone();
        value.derive(self, move |ct, out| {
            let total = ct.sum_keep(&[axis]);
            ct - out.attach(&kept).exp() * total
        })
    }

    /// `(x - mean) / sqrt(variance + eps)` over the last axis, with the variance of divisor `n`. Scale and shift are the
    /// caller's.
    #[track_caller]
    pub fn layer_norm(&self, eps: f64) -> Array {
        check_float("layer_norm", self);
        assert!(
            self.shape().last().is_some_and(|&n| n > 0),
            "layer_norm: needs elements along a last axis, got shape {:?}",
            self.shape()
        );
        let (y, scale) = normalised_value(&self.stop_gradient(), eps);
        if !self.is_tracked() {
            return y;
        }
        // With s = 1 / sqrt(variance + eps): dy = s (dx - mean dx - y mean(y dx)) and ds = -s^2 mean(y dx). The scale is an
        // output of its own so that the rule is again a function of outputs only.
        let count = self.dim(-1) as f64;
        let outputs = derive_joint(vec![y, scale], &[self], move |cts, _, outputs| {
            let (y, scale) = (outputs.get(0), outputs.get(1));
            let through_y = cts[0].as_ref().map(|ct| {
                let along = (ct * &y).mean_keep(&[-1]);
                (ct - ct.mean_keep(&[-1]) - &y * along) * &scale
            });
            let through_scale = cts[1].as_ref().map(|ct| ct * scale.square() * &y * (-1.0 / count));
            vec![match (through_y, through_scale) {
                (Some(a), Some(b)) => Some(a + b),
                (a, b) => a.or(b),
            }]
        });
        outputs.into_iter().next().expect("two outputs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, check};

    fn sample(shape: &[usize]) -> Array {
        let count: usize = shape.iter().product();
        Array::from_vec((0..count).map(|i| (i as f64 * 1.3).sin() * 2.0).collect::<Vec<_>>(), shape)
    }

    #[test]
    fn values_are_those_of_the_formula() {
        let x = Array::from_slice(&[1.0f64, 2.0, 3.0], &[3]);
        let expected = [0.09003057317038046, 0.24472847105479767, 0.6652409557748219];
        for (y, e) in x.softmax(0).to_vec::<f64>().into_iter().zip(expected) {
            assert!((y - e).abs() < 1e-15);
        }
        for (y, e) in x.log_softmax(-1).to_vec::<f64>().into_iter().zip(expected) {
            assert!((y - e.ln()).abs() < 1e-14);
        }
        let columns = sample(&[3, 4]).softmax(0).sum(&[0]).to_vec::<f64>();
        assert!(columns.iter().all(|s| (s - 1.0).abs() < 1e-15));
    }

    #[test]
    fn large_and_masked_elements_do_no_harm() {
        let x = Array::from_slice(&[1e4f32, 0.0, f32::NEG_INFINITY], &[3]);
        assert_eq!(x.softmax(0).to_vec::<f32>(), [1.0, 0.0, 0.0]);
        assert_eq!(x.log_softmax(0).to_vec::<f32>(), [0.0, -1e4, f32::NEG_INFINITY]);
    }

    #[test]
    fn softmax_differentiates() {
        check::gradient(|x: &Array| x.softmax(1), &sample(&[2, 3]), 3).unwrap();
        check::gradient(|x: &Array| x.softmax(0).square(), &sample(&[3, 2]), 2).unwrap();
        check::gradient(|x: &Array| x.log_softmax(-1).sin(), &sample(&[2, 3]), 3).unwrap();
    }

    #[test]
    fn layers_are_normalised() {
        let x = sample(&[3, 5]);
        let y = x.layer_norm(0.0);
        assert!(y.mean(&[-1]).abs().max_all().item() < 1e-15);
        assert!((y.var(&[-1], 0.0) - 1.0).abs().max_all().item() < 1e-14);
        // A constant layer has no scale but that of eps.
        let flat = Array::full(&[1, 4], 3.0, DType::F32).layer_norm(1e-5);
        assert_eq!(flat.to_vec::<f32>(), [0.0; 4]);
    }

    #[test]
    fn layer_norm_differentiates() {
        check::gradient(|x: &Array| x.layer_norm(1e-5), &sample(&[2, 4]), 3).unwrap();
        check::gradient(|x: &Array| x.layer_norm(0.1).sin(), &sample(&[1, 5]), 3).unwrap();
    }
}
