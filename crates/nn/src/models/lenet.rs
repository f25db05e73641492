//! LeNet-5.

use lisse_array::{Array, Stream, Tree};
use serde::{Deserialize, Serialize};

use super::Model;
use crate::pool::max_pool;
use crate::{Context, Conv2d, ConvConfig, Linear};

/// LeCun's network of 1998 in today's form: relu for tanh, largest elements for means, plain logits.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct LeNet {
    /// Input channels to 6, kernel 5.
    pub conv1: Conv2d,
    /// 6 to 16 channels, kernel 5.
    pub conv2: Conv2d,
    /// To 120.
    pub fc1: Linear,
    /// To 84.
    pub fc2: Linear,
    /// To the classes.
    pub fc3: Linear,
}

/// How a [`LeNet`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LeNetConfig {
    /// Channels of the images; 1 by default.
    pub channels: usize,
    /// Height and width of the images; 28 by default, then padded to 32 as LeCun did.
    pub size: usize,
    /// Number of classes; 10 by default.
    pub classes: usize,
}

impl Default for LeNetConfig {
    fn default() -> Self {
        Self { channels: 1, size: 28, classes: 10 }
    }
}

impl LeNetConfig {
    /// Draws PyTorch's initial values. Panics on images below 12 by 12.
    pub fn build(&self, stream: &Stream) -> LeNet {
        assert!(self.size >= 12, "lenet: images must be at least 12 by 12, got {}", self.size);
        let padding = if self.size == 28 { 2 } else { 0 };
        let side = ((self.size + 2 * padding - 4) / 2 - 4) / 2;
        let first = ConvConfig::new(self.channels, 6, 5).padding(padding);
        LeNet {
            conv1: first.build(&stream.child("conv1")),
            conv2: ConvConfig::new(6, 16, 5).build(&stream.child("conv2")),
            fc1: Linear::new(16 * side * side, 120, &stream.child("fc1")),
            fc2: Linear::new(120, 84, &stream.child("fc2")),
            fc3: Linear::new(84, self.classes, &stream.child("fc3")),
        }
    }
}

impl Model for LeNet {
    /// `[batch, channels, size, size]` to logits `[batch, classes]`.
    fn forward(&self, input: &Array, _: &Context) -> Array {
        let x = max_pool(&self.conv1.forward(input).relu(), 2);
        let x = max_pool(&self.conv2.forward(&x).relu(), 2);
        let x = self.fc1.forward(&x.reshape(&[x.dim(0) as isize, -1])).relu();
        self.fc3.forward(&self.fc2.forward(&x).relu())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;
    use lisse_array::DType;

    #[test]
    fn the_usual_network_has_61706_parameters() {
        let model = LeNetConfig::default().build(&Stream::new(0));
        assert_eq!(summary(&model).parameters(), 61_706);
        let x = Array::zeros(&[2, 1, 28, 28], DType::F32);
        assert_eq!(model.forward(&x, &Context::eval()).shape(), [2, 10]);
        let model = LeNetConfig { channels: 3, size: 32, classes: 7 }.build(&Stream::new(0));
        let x = Array::zeros(&[2, 3, 32, 32], DType::F32);
        assert_eq!(model.forward(&x, &Context::eval()).shape(), [2, 7]);
    }
}
