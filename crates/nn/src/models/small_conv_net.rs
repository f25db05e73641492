//! A convolutional network for small images, such as the 8 by 8 digits.

use lisse_array::{Array, Stream, Tree};
use serde::{Deserialize, Serialize};

use super::Model;
use crate::dropout::dropout;
use crate::pool::max_pool;
use crate::{Activation, BatchNorm, Context, Conv2d, ConvConfig, Linear};

/// Two 3 by 3 convolutions, each with (optional) batch normalisation, activation and 2 by 2 pooling, then two linear layers.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct SmallConvNet {
    /// First convolution.
    pub conv1: Conv2d,
    /// After the first convolution.
    pub bn1: Option<BatchNorm>,
    /// Second convolution.
    pub conv2: Conv2d,
    /// After the second convolution.
    pub bn2: Option<BatchNorm>,
    /// To the hidden layer.
    pub fc1: Linear,
    /// To the classes.
    pub fc2: Linear,
    /// After normalisation and in the hidden layer.
    pub activation: Activation,
    /// Probability of dropout in the hidden layer.
    pub dropout: f64,
}

/// How a [`SmallConvNet`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct SmallConvNetConfig {
    /// Channels of the images; 1 by default.
    pub channels: usize,
    /// Height and width of the images; 8 by default.
    pub size: usize,
    /// Number of classes; 10 by default.
    pub classes: usize,
    /// Channels of the two convolutions; 16 and 32 by default.
    pub widths: [usize; 2],
    /// Size of the hidden layer; 64 by default.
    pub hidden: usize,
    /// Whether to normalise over batches; yes by default.
    pub batch_norm: bool,
    /// Relu by default.
    pub activation: Activation,
    /// Probability of dropout in the hidden layer; 0 by default.
    pub dropout: f64,
}

impl Default for SmallConvNetConfig {
    fn default() -> Self {
        Self {
            channels: 1,
            size: 8,
            classes: 10,
            widths: [16, 32],
            hidden: 64,
            batch_norm: true,
            activation: Activation::Relu,
            dropout: 0.0,
        }
    }
}

impl SmallConvNetConfig {
    /// Draws PyTorch's initial values. Panics on images below 4 by 4.
    pub fn build(&self, stream: &Stream) -> SmallConvNet {
        assert!(
            self.size >= 4,
            "small_conv_net: images must be at least 4 by 4, got {}",
            self.size
        );
        let [first, second] = self.widths;
        let side = self.size / 4;
        let conv = |name: &str, inputs, outputs| {
            ConvConfig::new(inputs, outputs, 3).padding(1).build(&stream.child(name))
        };
        SmallConvNet {
            conv1: conv("conv1", self.channels, first),
            bn1: self.batch_norm.then(|| BatchNorm::new(first)),
            conv2: conv("conv2", first, second),
            bn2: self.batch_norm.then(|| BatchNorm::new(second)),
            fc1: Linear::new(second * side * side, self.hidden, &stream.child("fc1")),
            fc2: Linear::new(self.hidden, self.classes, &stream.child("fc2")),
            activation: self.activation,
            dropout: self.dropout,
        }
    }
}

impl Model for SmallConvNet {
    /// `[batch, channels, size, size]` to logits `[batch, classes]`.
    fn forward(&self, input: &Array, context: &Context) -> Array {
        let stage = |x: &Array, conv: &Conv2d, norm: Option<&BatchNorm>| {
            let x = conv.forward(x);
            let x = norm.map_or(x.clone(), |norm| norm.forward(&x, context));
            max_pool(&self.activation.forward(&x), 2)
        };
        let x = stage(input, &self.conv1, self.bn1.as_ref());
        let x = stage(&x, &self.conv2, self.bn2.as_ref());
        let x = self.fc1.forward(&x.reshape(&[x.dim(0) as isize, -1]));
        self.fc2.forward(&dropout(&self.activation.forward(&x), self.dropout, context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{summary, to_dtype};
    use lisse_array::{DType, check};

    #[test]
    fn the_default_fits_the_digits() {
        let model = SmallConvNetConfig::default().build(&Stream::new(0));
        let x = Array::zeros(&[3, 1, 8, 8], DType::F32);
        assert_eq!(model.forward(&x, &Context::eval()).shape(), [3, 10]);
        assert_eq!(summary(&model).parameters(), 160 + 32 + 4640 + 64 + 8256 + 650);
    }

    #[test]
    fn derivatives_to_the_second_order() {
        let config = SmallConvNetConfig {
            size: 4,
            widths: [2, 3],
            hidden: 4,
            activation: Activation::Silu,
            ..SmallConvNetConfig::default()
        };
        let model = to_dtype(&config.build(&Stream::new(0)), DType::F64);
        let x = Stream::new(1).normal(&[3, 1, 4, 4], DType::F64);
        let context = Context::train(Stream::new(2));
        check::gradient(|m: &SmallConvNet| m.forward(&x, &context), &model, 2).unwrap();
    }
}
