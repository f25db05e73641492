//! Batch normalisation.

use lisse_array::{Array, DType, Tree};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::norm::{channel_shape, signed};

/// Batch normalisation of `[batch, channels, size...]` of any rank from 2 (Ioffe and Szegedy 2015):
/// `y = (x - mean) / sqrt(var + eps) * weight + bias` per channel.
///
/// In training, mean and (biased) variance are those of the batch, and the running statistics move to
/// `(1 - momentum) running + momentum batch`, with the unbiased variance, through [`Context::apply_updates`]. In evaluation
/// the running statistics are used.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct BatchNorm {
    /// Scale, `[channels]`
    pub weight: Array,
    /// Offset, `[channels]`
    pub bias: Array,
    /// `[channels]`
    #[tree(buffer)]
    pub running_mean: Array,
    /// `[channels]`
    #[tree(buffer)]
    pub running_var: Array,
    /// Training steps seen, an i64 of shape `[]`.
    #[tree(buffer)]
    pub num_batches_tracked: Array,
    /// Added to the variance; 1e-5.
    pub eps: f64,
    /// Share of the new batch in the running statistics; 0.1.
    pub momentum: f64,
}

impl BatchNorm {
    /// With `eps = 1e-5` and `momentum = 0.1`.
    pub fn new(channels: usize) -> BatchNorm {
        BatchNorm {
            weight: Array::ones(&[channels], DType::F32),
            bias: Array::zeros(&[channels], DType::F32),
            running_mean: Array::zeros(&[channels], DType::F32),
            running_var: Array::ones(&[channels], DType::F32),
            num_batches_tracked: Array::scalar(0i64),
            eps: 1e-5,
            momentum: 0.1,
        }
    }

    /// `[batch, channels, size...]`; the shape stays. Panics in training on a single value per channel, whose variance is
    /// unknown.
    #[track_caller]
    pub fn forward(&self, x: &Array, context: &Context) -> Array {
        let channels = self.weight.len();
        assert!(
            x.rank() >= 2 && x.dim(1) == channels,
            "batch_norm: the input {:?} does not have {channels} channels in axis 1",
            x.shape()
        );
        let shape = channel_shape(x.rank());
        if context.is_training() {
            let normalised = self.normalise_batch(x, context);
            return normalised * self.weight.reshape(&shape) + self.bias.reshape(&shape);
        }
        let scale = &self.weight / (&self.running_var + self.eps).sqrt();
        let offset = &self.bias - &self.running_mean * &scale;
        x * scale.reshape(&shape) + offset.reshape(&shape)
    }

    fn normalise_batch(&self, x: &Array, context: &Context) -> Array {
        let axes: Vec<isize> = (0..x.rank() as isize).filter(|&axis| axis != 1).collect();
        let count = x.len() / self.weight.len().max(1);
        assert!(
            count > 1,
            "batch_norm: training needs more than one value per channel, the input is {:?}",
            x.shape()
        );
        let mean = x.mean_keep(&axes);
        let centred = x - &mean;
        let var = centred.square().mean_keep(&axes);
        self.track(&mean, &var, count, context);
        centred * (var + self.eps).powf(-0.5)
    }

    fn track(&self, mean: &Array, var: &Array, count: usize, context: &Context) {
        let shape = signed(self.running_mean.shape());
        let step = |old: &Array, batch: &Array, factor: f64| {
            let batch = batch.stop_gradient().reshape(&shape);
            (old.stop_gradient() * (1.0 - self.momentum)).add_scaled(self.momentum * factor, &batch)
        };
        context.push_update(&self.running_mean, &step(&self.running_mean, mean, 1.0));
        let unbiased = count as f64 / (count - 1) as f64;
        context.push_update(&self.running_var, &step(&self.running_var, var, unbiased));
        let seen = &self.num_batches_tracked;
        context.push_update(seen, &(seen + seen.ones_like()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_dtype;
    use lisse_array::{Stream, check, grad};

    fn layer() -> BatchNorm {
        to_dtype(&BatchNorm::new(3), DType::F64)
    }

    #[test]
    fn derivatives_in_training_and_evaluation() {
        for shape in [&[5, 3][..], &[2, 3, 4]] {
            let x = Stream::new(0).normal(shape, DType::F64);
            for context in [Context::eval(), Context::train(Stream::new(1))] {
                let f = |(l, x): &(BatchNorm, Array)| l.forward(x, &context).tanh();
                check::gradient(f, &(layer(), x.clone()), 2).unwrap();
            }
        }
    }

    #[test]
    fn statistics_move_once_per_step_and_outside_the_gradient() {
        let mut model = layer();
        let x = Stream::new(0).normal(&[50, 3], DType::F64) * 2.0 + 1.0;
        let context = Context::train(Stream::new(1));
        for scale in [1.0, 7.0] {
            grad(|m: &BatchNorm| m.forward(&(&x * scale), &context).square().sum_all())(&model);
        }
        assert_eq!(model.running_mean.to_vec::<f64>(), [0.0; 3]);
        context.apply_updates(&mut model);
        let expected = x.mean(&[0]) * 0.1;
        assert!((&model.running_mean - expected).abs().max_all().item() < 1e-12);
        let expected = x.var(&[0], 1.0) * 0.1 + 0.9;
        assert!((&model.running_var - expected).abs().max_all().item() < 1e-12);
        assert_eq!(model.num_batches_tracked.item(), 1.0);
    }

    #[test]
    #[should_panic(
        expected = "training needs more than one value per channel, the input is [1, 3]"
    )]
    fn one_value_has_no_variance() {
        layer().forward(&Array::zeros(&[1, 3], DType::F64), &Context::train(Stream::new(0)));
    }
}
