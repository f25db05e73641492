//! Convolutions in one, two and three dimensions, and their transposes.

use lisse_array::ops::Conv;
use lisse_array::{Array, Stream, Tree};
use serde::{Deserialize, Serialize};

use crate::init::Init;
use crate::linear::initial_bias;

/// Convolution of `[batch, inputs, size...]` with `D` spatial axes (cross-correlation, as everywhere in the field).
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Convolution<const D: usize> {
    /// `[outputs, inputs / groups, kernel...]`
    pub weight: Array,
    /// `[outputs]`
    pub bias: Option<Array>,
    /// Stride, padding, dilation and groups.
    #[tree(skip)]
    pub options: Conv,
}

/// Convolution over sequences `[batch, inputs, length]`.
pub type Conv1d = Convolution<1>;
/// Convolution over images `[batch, inputs, height, width]`.
pub type Conv2d = Convolution<2>;
/// Convolution over volumes `[batch, inputs, depth, height, width]`.
pub type Conv3d = Convolution<3>;

/// How a [`Convolution`] is made.
#[derive(Clone, Debug)]
pub struct ConvConfig<const D: usize> {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Size of the kernel.
    pub kernel: [usize; D],
    /// Step between windows; 1 by default.
    pub stride: [usize; D],
    /// Zeros added on both sides; 0 by default.
    pub padding: [usize; D],
    /// Distance of the kernel's taps; 1 by default.
    pub dilation: [usize; D],
    /// Groups of channels that do not mix; 1 by default.
    pub groups: usize,
    /// Whether an offset per channel is added; yes by default.
    pub bias: bool,
    /// How the weight starts; the bias as in [`LinearConfig`](crate::LinearConfig::init).
    pub init: Init,
}

impl<const D: usize> ConvConfig<D> {
    /// A cubic kernel, stride 1, no padding, with a bias and PyTorch's initial values.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self {
            inputs,
            outputs,
            kernel: [kernel; D],
            stride: [1; D],
            padding: [0; D],
            dilation: [1; D],
            groups: 1,
            bias: true,
            init: Init::Default,
        }
    }

    /// The same step along every axis.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = [stride; D];
        self
    }

    /// The same padding along every axis.
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding = [padding; D];
        self
    }

    /// The same dilation along every axis.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = [dilation; D];
        self
    }

    /// Groups of channels that do not mix.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Whether an offset per channel is added.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// How the weight starts.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    fn options(&self) -> Conv {
        Conv {
            stride: self.stride.to_vec(),
            padding: self.padding.to_vec(),
            dilation: self.dilation.to_vec(),
            groups: self.groups,
        }
    }

    /// Draws the initial values. Panics if the groups do not divide the channels.
    pub fn build(&self, stream: &Stream) -> Convolution<D> {
        check_groups("conv", self.inputs, self.outputs, self.groups);
        let shape = weight_shape(self.outputs, self.inputs / self.groups, &self.kernel);
        Convolution {
            weight: self.init.weight(&stream.child("weight"), &shape),
            bias: self.bias.then(|| initial_bias(stream, self.outputs, self.init, &shape)),
            options: self.options(),
        }
    }
}

fn weight_shape(first: usize, second: usize, kernel: &[usize]) -> Vec<usize> {
    [first, second].iter().chain(kernel).copied().collect()
}

fn check_groups(name: &str, inputs: usize, outputs: usize, groups: usize) {
    assert!(
        groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups),
        "{name}: {groups} groups do not divide {inputs} input and {outputs} output channels"
    );
}

/// Adds `[channels]` along axis 1 of an array with `dimensions` spatial axes.
fn add_bias(y: Array, bias: Option<&Array>, dimensions: usize) -> Array {
    match bias {
        Some(bias) => {
            let mut shape = vec![1; dimensions + 1];
            shape[0] = -1;
            y + bias.reshape(&shape)
        }
        None => y,
    }
}

impl<const D: usize> Convolution<D> {
    /// `[batch, inputs, size...]` to `[batch, outputs, size...]`, with
    /// `size_out = (size + 2 padding - dilation (kernel - 1) - 1) / stride + 1`, rounded down.
    #[track_caller]
    pub fn forward(&self, x: &Array) -> Array {
        add_bias(x.conv(&self.weight, &self.options), self.bias.as_ref(), D)
    }
}

/// The transpose of a [`Convolution`] as a map, which makes images larger.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct ConvolutionTranspose<const D: usize> {
    /// `[inputs, outputs / groups, kernel...]`
    pub weight: Array,
    /// `[outputs]`
    pub bias: Option<Array>,
    /// Stride (of the output), padding (cut from both sides of the output), dilation and groups.
    #[tree(skip)]
    pub options: Conv,
    /// Added to one side of the output's size, per spatial axis.
    pub output_padding: Vec<usize>,
}

/// Transposed convolution over sequences.
pub type ConvTranspose1d = ConvolutionTranspose<1>;
/// Transposed convolution over images.
pub type ConvTranspose2d = ConvolutionTranspose<2>;

/// How a [`ConvolutionTranspose`] is made.
#[derive(Clone, Debug)]
pub struct ConvTransposeConfig<const D: usize> {
    /// Everything it shares with a convolution.
    pub conv: ConvConfig<D>,
    /// Added to one side of the output's size; 0 by default.
    pub output_padding: [usize; D],
}

impl<const D: usize> ConvTransposeConfig<D> {
    /// The transpose of a convolution with `conv.inputs` and `conv.outputs` channels, read in this map's own direction.
    pub fn new(conv: ConvConfig<D>) -> Self {
        Self { conv, output_padding: [0; D] }
    }

    /// The same along every axis; must be less than the stride or the dilation.
    pub fn output_padding(mut self, output_padding: usize) -> Self {
        self.output_padding = [output_padding; D];
        self
    }

    /// Draws the initial values. Panics if the groups do not divide the channels.
    pub fn build(&self, stream: &Stream) -> ConvolutionTranspose<D> {
        let conv = &self.conv;
        check_groups("conv_transpose", conv.inputs, conv.outputs, conv.groups);
        let shape = weight_shape(conv.inputs, conv.outputs / conv.groups, &conv.kernel);
        ConvolutionTranspose {
            weight: conv.init.weight(&stream.child("weight"), &shape),
            bias: conv.bias.then(|| initial_bias(stream, conv.outputs, conv.init, &shape)),
            options: conv.options(),
            output_padding: self.output_padding.to_vec(),
        }
    }
}

impl<const D: usize> ConvolutionTranspose<D> {
    /// `[batch, inputs, size...]` to `[batch, outputs, size...]`, with
    /// `size_out = (size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1`.
    #[track_caller]
    pub fn forward(&self, x: &Array) -> Array {
        let y = x.conv_transpose(&self.weight, &self.options, &self.output_padding);
        add_bias(y, self.bias.as_ref(), D)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_dtype;
    use lisse_array::{DType, check};

    #[test]
    fn derivatives_of_input_and_parameters() {
        let config = ConvConfig::<2>::new(4, 6, 3).stride(2).padding(1).groups(2);
        let layer = to_dtype(&config.build(&Stream::new(0)), DType::F64);
        let up = ConvTransposeConfig::new(ConvConfig::<2>::new(6, 2, 3).stride(2).padding(1));
        let up = to_dtype(&up.output_padding(1).build(&Stream::new(1)), DType::F64);
        let x = Stream::new(2).normal(&[2, 4, 6, 6], DType::F64);
        assert_eq!(up.forward(&layer.forward(&x)).shape(), [2, 2, 6, 6]);
        let f = |(layer, up, x): &(Conv2d, ConvTranspose2d, Array)| {
            up.forward(&layer.forward(x).tanh()).square()
        };
        check::gradient(f, &(layer, up, x), 2).unwrap();
    }

    #[test]
    #[should_panic(expected = "conv: 3 groups do not divide 4 input and 6 output channels")]
    fn groups_must_divide_channels() {
        ConvConfig::<1>::new(4, 6, 3).groups(3).build(&Stream::new(0));
    }
}
