//! A convolutional energy for small images.

use lisse_array::{Array, Stream, Tree};
use lisse_nn::{Activation, Conv2d, ConvConfig, Linear, LinearConfig};
use serde::{Deserialize, Serialize};

use super::Energy;

/// The energy of images: a convolution 3x3, then convolutions 4x4 of stride 2, each followed by SiLU, the sum over all places, and a linear
/// layer. No batch normalization: it would tie the energies of data to the noise beside them.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct ConvEnergy {
    /// Convolutions from the image up.
    pub layers: Vec<Conv2d>,
    /// To one number.
    pub head: Linear,
    /// Channels, height and width of an image: rows may come flat.
    pub image: [usize; 3],
}

impl ConvEnergy {
    /// With these numbers of channels after each convolution; 64, 128, 256, 256 for 28x28 or 32x32.
    pub fn new(image: [usize; 3], channels: &[usize], stream: &Stream) -> ConvEnergy {
        let mut before = image[0];
        let mut layers = Vec::with_capacity(channels.len());
        for (i, &after) in channels.iter().enumerate() {
            let config = if i == 0 {
                ConvConfig::new(before, after, 3).padding(1)
            } else {
                ConvConfig::new(before, after, 4).stride(2).padding(1)
            };
            layers.push(config.build(&stream.at(i as u64)));
            before = after;
        }
        let head = LinearConfig::new(before, 1).build(&stream.child("head"));
        ConvEnergy { layers, head, image }
    }
}

impl Energy for ConvEnergy {
    fn energy(&self, x: &Array) -> Array {
        let [channels, height, width] = self.image.map(|d| d as isize);
        let mut x = x.reshape(&[-1, channels, height, width]);
        for layer in &self.layers {
            x = Activation::Silu.forward(&layer.forward(&x));
        }
        self.head.forward(&x.sum(&[2, 3])).reshape(&[-1])
    }
}
