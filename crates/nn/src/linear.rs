//! Fully connected layers.

use lisse_array::{Array, DType, Stream, Tree};
use serde::{Deserialize, Serialize};

use crate::init::{Init, fan_bound, uniform};

/// `y = x W^T + b` over the last axis: `[..., inputs]` to `[..., outputs]`.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Linear {
    /// `[outputs, inputs]`
    pub weight: Array,
    /// `[outputs]`
    pub bias: Option<Array>,
}

/// How a [`Linear`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinearConfig {
    /// Size of the last axis of the input.
    pub inputs: usize,
    /// Size of the last axis of the output.
    pub outputs: usize,
    /// Whether an offset is added; yes by default.
    pub bias: bool,
    /// How the weight starts. With [`Init::Default`] the bias is uniform within `1 / sqrt(inputs)`, as in PyTorch; with any
    /// other it is zero.
    pub init: Init,
}

impl LinearConfig {
    /// With a bias and PyTorch's initial values.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, bias: true, init: Init::Default }
    }

    /// Whether an offset is added.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// How the weight starts.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Draws the initial values.
    pub fn build(&self, stream: &Stream) -> Linear {
        let shape = [self.outputs, self.inputs];
        let weight = self.init.weight(&stream.child("weight"), &shape);
        let bias = self.bias.then(|| initial_bias(stream, self.outputs, self.init, &shape));
        Linear { weight, bias }
    }
}

/// PyTorch's bias beside its default weight, zeros beside any other.
pub(crate) fn initial_bias(stream: &Stream, count: usize, init: Init, weight: &[usize]) -> Array {
    if init == Init::Default {
        uniform(&stream.child("bias"), &[count], fan_bound(weight))
    } else {
        Array::zeros(&[count], DType::F32)
    }
}

impl Linear {
    /// With a bias and PyTorch's initial values; see [`LinearConfig`] for more.
    pub fn new(inputs: usize, outputs: usize, stream: &Stream) -> Linear {
        LinearConfig::new(inputs, outputs).build(stream)
    }

    /// `[..., inputs]` to `[..., outputs]`
    #[track_caller]
    pub fn forward(&self, x: &Array) -> Array {
        linear(x, &self.weight, self.bias.as_ref())
    }
}

/// `x W^T + b` for `x` `[..., inputs]` and `weight` `[outputs, inputs]`.
#[track_caller]
pub(crate) fn linear(x: &Array, weight: &Array, bias: Option<&Array>) -> Array {
    assert!(
        x.rank() >= 1 && x.dim(-1) == weight.dim(1),
        "linear: the last axis of the input {:?} is not the second of the weight {:?}",
        x.shape(),
        weight.shape()
    );
    let y = x.matmul(&weight.t());
    match bias {
        Some(bias) => y + bias,
        None => y,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_dtype;
    use lisse_array::check;

    #[test]
    fn derivatives_of_input_and_parameters() {
        let layer = to_dtype(&Linear::new(3, 2, &Stream::new(0)), DType::F64);
        let x = Stream::new(1).normal(&[4, 5, 3], DType::F64);
        let f = |(layer, x): &(Linear, Array)| layer.forward(x).tanh();
        check::gradient(f, &(layer, x), 2).unwrap();
    }

    #[test]
    fn other_initialisers_have_no_bias_to_start_with() {
        let layer = LinearConfig::new(3, 2).init(Init::Normal { std: 0.1 }).build(&Stream::new(0));
        assert_eq!(layer.bias.unwrap().to_vec::<f32>(), [0.0, 0.0]);
        assert!(LinearConfig::new(3, 2).bias(false).build(&Stream::new(0)).bias.is_none());
    }

    #[test]
    #[should_panic(
        expected = "linear: the last axis of the input [4, 5] is not the second of the weight [2, 3]"
    )]
    fn a_wrong_input_is_named() {
        Linear::new(3, 2, &Stream::new(0)).forward(&Array::zeros(&[4, 5], DType::F32));
    }
}
