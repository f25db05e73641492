//! The residual networks for ImageNet (He et al. 2016), as in torchvision.

use lisse_array::ops::Pool;
use lisse_array::{Array, Stream, Tree};
use serde::{Deserialize, Serialize};

use super::Model;
use crate::init::Fan;
use crate::pool::global_avg_pool;
use crate::{BatchNorm, Context, Conv2d, ConvConfig, Init, Linear};

/// A 7 by 7 stem with pooling, four stages of blocks, a mean and a linear layer.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct ResNet {
    /// Image channels to `w`, stride 2.
    pub conv1: Conv2d,
    /// After the stem.
    pub bn1: BatchNorm,
    /// Width `w`.
    pub layer1: Vec<ResNetBlock>,
    /// Width `2w`.
    pub layer2: Vec<ResNetBlock>,
    /// Width `4w`.
    pub layer3: Vec<ResNetBlock>,
    /// Width `8w`.
    pub layer4: Vec<ResNetBlock>,
    /// To the classes.
    pub fc: Linear,
}

/// A basic block (two 3 by 3 convolutions) or a bottleneck (1 by 1, 3 by 3, 1 by 1), beside a shortcut.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct ResNetBlock {
    /// First convolution; carries the stride of a basic block.
    pub conv1: Conv2d,
    /// After the first convolution.
    pub bn1: BatchNorm,
    /// Second convolution; carries the stride of a bottleneck.
    pub conv2: Conv2d,
    /// After the second convolution.
    pub bn2: BatchNorm,
    /// Third convolution, of a bottleneck only.
    pub conv3: Option<Conv2d>,
    /// After the third convolution.
    pub bn3: Option<BatchNorm>,
    /// On the shortcut, where the shape changes.
    pub downsample: Option<(Conv2d, BatchNorm)>,
}

/// How a [`ResNet`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ResNetConfig {
    /// Blocks of the four stages; 2, 2, 2, 2 by default.
    pub blocks: [usize; 4],
    /// Whether the blocks are bottlenecks, whose output is four times wider; no by default.
    pub bottleneck: bool,
    /// Channels of the stem; 64 by default.
    pub width: usize,
    /// Channels of the images; 3 by default.
    pub channels: usize,
    /// Number of classes; 1000 by default.
    pub classes: usize,
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self::resnet18()
    }
}

impl ResNetConfig {
    /// 11.7 million parameters.
    pub fn resnet18() -> Self {
        Self { blocks: [2; 4], bottleneck: false, width: 64, channels: 3, classes: 1000 }
    }

    /// 25.6 million parameters.
    pub fn resnet50() -> Self {
        Self { blocks: [3, 4, 6, 3], bottleneck: true, ..Self::resnet18() }
    }

    /// Draws the initial values: Kaiming normal over outputs, PyTorch's default for the last layer.
    pub fn build(&self, stream: &Stream) -> ResNet {
        let expansion = if self.bottleneck { 4 } else { 1 };
        let mut inputs = self.width;
        let mut stage = |number: usize| {
            let width = self.width << (number - 1);
            let stream = stream.child(&format!("layer{number}"));
            let blocks = (0..self.blocks[number - 1]).map(|i| {
                let stride = if i == 0 && number > 1 { 2 } else { 1 };
                let block = self.block(inputs, width, stride, &stream.at(i as u64));
                inputs = width * expansion;
                block
            });
            blocks.collect()
        };
        let (layer1, layer2, layer3, layer4) = (stage(1), stage(2), stage(3), stage(4));
        ResNet {
            conv1: conv(self.channels, self.width, 7, 2, &stream.child("conv1")),
            bn1: BatchNorm::new(self.width),
            layer1,
            layer2,
            layer3,
            layer4,
            fc: Linear::new(inputs, self.classes, &stream.child("fc")),
        }
    }

    fn block(&self, inputs: usize, width: usize, stride: usize, stream: &Stream) -> ResNetBlock {
        let s = |name: &str| stream.child(name);
        let outputs = if self.bottleneck { 4 * width } else { width };
        let (conv1, conv2, conv3) = if self.bottleneck {
            (
                conv(inputs, width, 1, 1, &s("conv1")),
                conv(width, width, 3, stride, &s("conv2")),
                Some(conv(width, outputs, 1, 1, &s("conv3"))),
            )
        } else {
            (
                conv(inputs, width, 3, stride, &s("conv1")),
                conv(width, width, 3, 1, &s("conv2")),
                None,
            )
        };
        ResNetBlock {
            conv1,
            bn1: BatchNorm::new(width),
            conv2,
            bn2: BatchNorm::new(width),
            conv3,
            bn3: self.bottleneck.then(|| BatchNorm::new(outputs)),
            downsample: (stride != 1 || inputs != outputs).then(|| {
                (conv(inputs, outputs, 1, stride, &s("downsample")), BatchNorm::new(outputs))
            }),
        }
    }
}

/// Without bias, padded to keep the size at stride 1.
fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize, stream: &Stream) -> Conv2d {
    let init = Init::KaimingNormal { gain: std::f64::consts::SQRT_2, fan: Fan::Out };
    let config = ConvConfig::new(inputs, outputs, kernel).stride(stride).padding(kernel / 2);
    config.bias(false).init(init).build(stream)
}

impl ResNetBlock {
    /// `[batch, channels, height, width]`
    pub fn forward(&self, x: &Array, context: &Context) -> Array {
        let mut y = self.bn1.forward(&self.conv1.forward(x), context).relu();
        y = self.bn2.forward(&self.conv2.forward(&y), context);
        if let (Some(conv3), Some(bn3)) = (&self.conv3, &self.bn3) {
            y = bn3.forward(&conv3.forward(&y.relu()), context);
        }
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.forward(&conv.forward(x), context),
            None => x.clone(),
        };
        (y + shortcut).relu()
    }
}

impl Model for ResNet {
    /// `[batch, channels, height, width]` to logits `[batch, classes]`; 224 by 224 in training, any size from 32 works.
    fn forward(&self, input: &Array, context: &Context) -> Array {
        let x = self.bn1.forward(&self.conv1.forward(input), context).relu();
        let mut x = x.max_pool(&Pool::new(&[3, 3]).stride(2).padding(1));
        let stages = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        for block in stages.into_iter().flatten() {
            x = block.forward(&x, context);
        }
        self.fc.forward(&global_avg_pool(&x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;
    use lisse_array::DType;

    #[test]
    fn sizes_and_names_are_those_of_torchvision() {
        let model = ResNetConfig::resnet18().build(&Stream::new(0));
        let table = summary(&model);
        assert_eq!((table.parameters(), table.rows.len()), (11_689_512, 122));
        assert_eq!(
            summary(&ResNetConfig::resnet50().build(&Stream::new(0))).parameters(),
            25_557_032
        );
        let names: Vec<&str> = table.rows.iter().map(|row| row.path.as_str()).collect();
        for name in ["layer2.0.downsample.0.weight", "layer2.0.downsample.1.running_var", "fc.bias"]
        {
            assert!(names.contains(&name), "{name}");
        }
    }

    #[test]
    fn bottlenecks_fit_together() {
        let config =
            ResNetConfig { blocks: [1, 2, 1, 1], width: 4, classes: 5, ..ResNetConfig::resnet50() };
        let model = config.build(&Stream::new(0));
        let x = Stream::new(1).normal(&[2, 3, 32, 32], DType::F32);
        let context = Context::train(Stream::new(2));
        assert_eq!(model.forward(&x, &context).shape(), [2, 5]);
    }
}
