//! The residual networks for CIFAR (He et al. 2016, section 4.2): depth `6 n + 2` with 20, 32, 44, 56, 110, ...

use lisse_array::ops::Pad;
use lisse_array::{Array, Stream, Tree};
use serde::{Deserialize, Serialize};

use super::Model;
use crate::init::Fan;
use crate::pool::global_avg_pool;
use crate::{BatchNorm, Context, Conv2d, ConvConfig, Init, Linear, LinearConfig};

/// A stem, three stages of `n` blocks with widths `w`, `2w`, `4w` at full, half and quarter resolution, a mean and a linear
/// layer.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct CifarResNet {
    /// Image channels to `w`.
    pub conv1: Conv2d,
    /// After the stem.
    pub bn1: BatchNorm,
    /// Width `w`.
    pub layer1: Vec<CifarBlock>,
    /// Width `2w`.
    pub layer2: Vec<CifarBlock>,
    /// Width `4w`.
    pub layer3: Vec<CifarBlock>,
    /// To the classes.
    pub linear: Linear,
}

/// Two 3 by 3 convolutions beside a shortcut. Where the size changes, the shortcut takes every other pixel and pads the new
/// channels with zeros on both sides (option A of the paper, without parameters).
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct CifarBlock {
    /// First convolution, which carries the stride.
    pub conv1: Conv2d,
    /// After the first convolution.
    pub bn1: BatchNorm,
    /// Second convolution.
    pub conv2: Conv2d,
    /// After the second convolution.
    pub bn2: BatchNorm,
}

/// How a [`CifarResNet`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct CifarResNetConfig {
    /// Number of layers with weights, `6 n + 2`; 20 by default.
    pub depth: usize,
    /// Channels of the first stage; 16 by default.
    pub width: usize,
    /// Channels of the images; 3 by default.
    pub channels: usize,
    /// Number of classes; 10 by default.
    pub classes: usize,
}

impl Default for CifarResNetConfig {
    fn default() -> Self {
        Self { depth: 20, width: 16, channels: 3, classes: 10 }
    }
}

impl CifarResNetConfig {
    /// With this depth and the other defaults.
    pub fn new(depth: usize) -> Self {
        Self { depth, ..Self::default() }
    }

    /// Draws the initial values: Kaiming normal. Panics unless the depth is `6 n + 2` with `n > 0`.
    pub fn build(&self, stream: &Stream) -> CifarResNet {
        assert!(
            self.depth >= 8 && (self.depth - 2).is_multiple_of(6),
            "cifar_resnet: the depth must be 6 n + 2 (8, 14, 20, ...), got {}",
            self.depth
        );
        let (w, n) = (self.width, (self.depth - 2) / 6);
        let stage = |name: &str, inputs: usize, outputs: usize| {
            let stream = stream.child(name);
            let block = |i: usize| {
                let inputs = if i == 0 { inputs } else { outputs };
                CifarBlock::new(inputs, outputs, &stream.at(i as u64))
            };
            (0..n).map(block).collect()
        };
        let head = Init::KaimingNormal { gain: std::f64::consts::SQRT_2, fan: Fan::In };
        CifarResNet {
            conv1: conv(self.channels, w, 1, &stream.child("conv1")),
            bn1: BatchNorm::new(w),
            layer1: stage("layer1", w, w),
            layer2: stage("layer2", w, 2 * w),
            layer3: stage("layer3", 2 * w, 4 * w),
            linear: LinearConfig::new(4 * w, self.classes)
                .init(head)
                .build(&stream.child("linear")),
        }
    }
}

fn conv(inputs: usize, outputs: usize, stride: usize, stream: &Stream) -> Conv2d {
    let init = Init::KaimingNormal { gain: std::f64::consts::SQRT_2, fan: Fan::In };
    let config = ConvConfig::new(inputs, outputs, 3).stride(stride).padding(1).bias(false);
    config.init(init).build(stream)
}

impl CifarBlock {
    fn new(inputs: usize, outputs: usize, stream: &Stream) -> CifarBlock {
        let stride = if inputs == outputs { 1 } else { 2 };
        CifarBlock {
            conv1: conv(inputs, outputs, stride, &stream.child("conv1")),
            bn1: BatchNorm::new(outputs),
            conv2: conv(outputs, outputs, 1, &stream.child("conv2")),
            bn2: BatchNorm::new(outputs),
        }
    }

    /// `[batch, channels, height, width]`
    pub fn forward(&self, x: &Array, context: &Context) -> Array {
        let y = self.bn1.forward(&self.conv1.forward(x), context).relu();
        let y = self.bn2.forward(&self.conv2.forward(&y), context);
        (y + self.shortcut(x)).relu()
    }

    fn shortcut(&self, x: &Array) -> Array {
        let (inputs, outputs) = (x.dim(1), self.conv1.weight.dim(0));
        if inputs == outputs {
            return x.clone();
        }
        let half = x.strided_slice(2, 0, x.dim(2), 2).strided_slice(3, 0, x.dim(3), 2);
        let before = (outputs - inputs) / 2;
        let channels = (before, outputs - inputs - before);
        half.pad(&[(0, 0), channels, (0, 0), (0, 0)], Pad::Constant(0.0))
    }
}

impl Model for CifarResNet {
    /// `[batch, channels, size, size]` to logits `[batch, classes]`.
    fn forward(&self, input: &Array, context: &Context) -> Array {
        let mut x = self.bn1.forward(&self.conv1.forward(input), context).relu();
        for block in self.layer1.iter().chain(&self.layer2).chain(&self.layer3) {
            x = block.forward(&x, context);
        }
        self.linear.forward(&global_avg_pool(&x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;

    #[test]
    fn parameter_counts_are_those_of_the_paper() {
        // Section 4.2, table 6: 0.27 and 1.7 million.
        for (depth, count) in [(20, 269_722), (110, 1_727_962)] {
            let model = CifarResNetConfig::new(depth).build(&Stream::new(0));
            assert_eq!(summary(&model).parameters(), count);
        }
    }

    #[test]
    #[should_panic(expected = "the depth must be 6 n + 2 (8, 14, 20, ...), got 18")]
    fn other_depths_are_refused() {
        CifarResNetConfig::new(18).build(&Stream::new(0));
    }
}
