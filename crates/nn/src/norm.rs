//! Normalisation within one example: layer, group and root mean square.

use lisse_array::{Array, DType, Tree};
use serde::{Deserialize, Serialize};

/// Layer normalisation over the trailing axes of shape `weight.shape()` (Ba et al. 2016):
/// `y = (x - mean) / sqrt(var + eps) * weight + bias`.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct LayerNorm {
    /// Scale, of the normalised shape.
    pub weight: Array,
    /// Offset, of the normalised shape.
    pub bias: Option<Array>,
    /// Added to the variance; PyTorch's default is 1e-5.
    pub eps: f64,
}

impl LayerNorm {
    /// Over trailing axes of the given shape, with `eps = 1e-5`.
    pub fn new(shape: &[usize]) -> LayerNorm {
        LayerNorm {
            weight: Array::ones(shape, DType::F32),
            bias: Some(Array::zeros(shape, DType::F32)),
            eps: 1e-5,
        }
    }

    /// With another number added to the variance.
    pub fn eps(mut self, eps: f64) -> LayerNorm {
        self.eps = eps;
        self
    }

    /// Any shape that ends in that of the weight; the shape stays.
    #[track_caller]
    pub fn forward(&self, x: &Array) -> Array {
        let (shape, own) = (x.shape(), self.weight.shape());
        assert!(shape.ends_with(own), "layer_norm: the input {shape:?} does not end in {own:?}");
        let y = if own.len() == 1 {
            x.layer_norm(self.eps)
        } else {
            let mut flat = signed(&shape[..shape.len() - own.len()]);
            flat.push(self.weight.len() as isize);
            x.reshape(&flat).layer_norm(self.eps).reshape(&signed(shape))
        };
        let y = y * &self.weight;
        match &self.bias {
            Some(bias) => y + bias,
            None => y,
        }
    }
}

/// Group normalisation of `[batch, channels, size...]` (Wu and He 2018): each example's channels are normalised in
/// `groups` groups, over their channels and sizes. One channel per group is instance normalisation.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct GroupNorm {
    /// Scale, `[channels]`
    pub weight: Array,
    /// Offset, `[channels]`
    pub bias: Array,
    /// Number of groups.
    pub groups: usize,
    /// Added to the variance; PyTorch's default is 1e-5.
    pub eps: f64,
}

impl GroupNorm {
    /// With `eps = 1e-5`. Panics unless `groups` divides `channels`.
    pub fn new(groups: usize, channels: usize) -> GroupNorm {
        assert!(
            groups > 0 && channels.is_multiple_of(groups),
            "group_norm: {groups} groups do not divide {channels} channels"
        );
        GroupNorm {
            weight: Array::ones(&[channels], DType::F32),
            bias: Array::zeros(&[channels], DType::F32),
            groups,
            eps: 1e-5,
        }
    }

    /// `[batch, channels, size...]`; the shape stays.
    #[track_caller]
    pub fn forward(&self, x: &Array) -> Array {
        let shape = x.shape();
        assert!(
            shape.len() >= 2 && shape[1] == self.weight.len(),
            "group_norm: the input {shape:?} does not have {} channels in axis 1",
            self.weight.len()
        );
        let y = x.reshape(&[shape[0] as isize, self.groups as isize, -1]).layer_norm(self.eps);
        let per_channel = channel_shape(x.rank());
        y.reshape(&signed(shape)) * self.weight.reshape(&per_channel)
            + self.bias.reshape(&per_channel)
    }
}

/// Root-mean-square normalisation over the last axis (Zhang and Sennrich 2019): `y = x / sqrt(mean(x^2) + eps) * weight`.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct RmsNorm {
    /// Scale, `[width]`
    pub weight: Array,
    /// Added to the mean square; 1e-6 as in most language models (PyTorch's default is the dtype's epsilon).
    pub eps: f64,
}

impl RmsNorm {
    /// With `eps = 1e-6`.
    pub fn new(width: usize) -> RmsNorm {
        RmsNorm { weight: Array::ones(&[width], DType::F32), eps: 1e-6 }
    }

    /// With another number added to the mean square.
    pub fn eps(mut self, eps: f64) -> RmsNorm {
        self.eps = eps;
        self
    }

    /// `[..., width]`; the shape stays.
    #[track_caller]
    pub fn forward(&self, x: &Array) -> Array {
        assert!(
            x.rank() >= 1 && x.dim(-1) == self.weight.len(),
            "rms_norm: the input {:?} does not end in {}",
            x.shape(),
            self.weight.len()
        );
        x / (x.square().mean_keep(&[-1]) + self.eps).sqrt() * &self.weight
    }
}

/// `[channels, 1, ...]`: broadcasts along axis 1 of an array of rank `rank`.
pub(crate) fn channel_shape(rank: usize) -> Vec<isize> {
    let mut shape = vec![1; rank - 1];
    shape[0] = -1;
    shape
}

pub(crate) fn signed(shape: &[usize]) -> Vec<isize> {
    shape.iter().map(|&d| d as isize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_dtype;
    use lisse_array::{Stream, check};

    fn input(shape: &[usize]) -> Array {
        Stream::new(5).normal(shape, DType::F64)
    }

    #[test]
    fn derivatives_of_input_and_parameters() {
        let layer = to_dtype(&LayerNorm::new(&[2, 3]), DType::F64);
        check::gradient(
            |(l, x): &(LayerNorm, Array)| l.forward(x).tanh(),
            &(layer, input(&[2, 2, 3])),
            2,
        )
        .unwrap();
        let layer = to_dtype(&GroupNorm::new(2, 4), DType::F64);
        check::gradient(
            |(l, x): &(GroupNorm, Array)| l.forward(x).tanh(),
            &(layer, input(&[2, 4, 3])),
            2,
        )
        .unwrap();
        let layer = to_dtype(&RmsNorm::new(4), DType::F64);
        check::gradient(
            |(l, x): &(RmsNorm, Array)| l.forward(x).tanh(),
            &(layer, input(&[3, 4])),
            2,
        )
        .unwrap();
    }

    #[test]
    fn groups_have_mean_zero_and_variance_one() {
        let y = to_dtype(&GroupNorm::new(2, 4), DType::F64).forward(&input(&[3, 4, 5]));
        let groups = y.reshape(&[6, 10]);
        assert!(groups.mean(&[1]).abs().max_all().item() < 1e-12);
        assert!((groups.var(&[1], 0.0) - 1.0).abs().max_all().item() < 1e-4);
    }

    #[test]
    #[should_panic(expected = "layer_norm: the input [2, 3] does not end in [4]")]
    fn a_wrong_width_is_named() {
        LayerNorm::new(&[4]).forward(&Array::zeros(&[2, 3], DType::F32));
    }
}
