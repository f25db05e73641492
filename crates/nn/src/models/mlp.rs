//! Multi-layer perceptron.

use lisse_array::{Array, Stream, Tree};
use serde::{Deserialize, Serialize};

use super::Model;
use crate::dropout::dropout;
use crate::{Activation, Context, Init, Linear, LinearConfig};

/// Linear layers with an activation (and dropout) between them: `[..., sizes[0]]` to `[..., last size]`.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Mlp {
    /// From the input up.
    pub layers: Vec<Linear>,
    /// After every layer but the last.
    pub activation: Activation,
    /// Probability of dropout after every activation.
    pub dropout: f64,
}

/// How an [`Mlp`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Sizes of input, hidden layers and output.
    pub sizes: Vec<usize>,
    /// Relu by default.
    #[serde(default)]
    pub activation: Activation,
    /// 0 by default.
    #[serde(default)]
    pub dropout: f64,
    /// PyTorch's by default.
    #[serde(default)]
    pub init: Init,
}

impl MlpConfig {
    /// Relu, no dropout, PyTorch's initial values.
    pub fn new(sizes: &[usize]) -> Self {
        let sizes = sizes.to_vec();
        Self { sizes, activation: Activation::Relu, dropout: 0.0, init: Init::Default }
    }

    /// The activation between layers.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Probability of dropout after every activation.
    pub fn dropout(mut self, probability: f64) -> Self {
        self.dropout = probability;
        self
    }

    /// How the weights start.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Draws the initial values. Panics on fewer than two sizes.
    pub fn build(&self, stream: &Stream) -> Mlp {
        assert!(
            self.sizes.len() >= 2,
            "mlp: needs the sizes of input and output at least, got {:?}",
            self.sizes
        );
        let layer = |(i, pair): (usize, &[usize])| {
            LinearConfig::new(pair[0], pair[1]).init(self.init).build(&stream.at(i as u64))
        };
        let layers = self.sizes.windows(2).enumerate().map(layer).collect();
        Mlp { layers, activation: self.activation, dropout: self.dropout }
    }
}

impl Model for Mlp {
    fn forward(&self, input: &Array, context: &Context) -> Array {
        let mut x = input.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = dropout(&self.activation.forward(&x), self.dropout, context);
            }
            x = layer.forward(&x);
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_dtype;
    use lisse_array::{DType, check};

    #[test]
    fn derivatives_to_the_second_order() {
        let config = MlpConfig::new(&[3, 4, 2]).activation(Activation::Tanh);
        let model = to_dtype(&config.build(&Stream::new(0)), DType::F64);
        let x = Stream::new(1).normal(&[5, 3], DType::F64);
        check::gradient(|m: &Mlp| m.forward(&x, &Context::eval()), &model, 2).unwrap();
    }

    #[test]
    fn configs_have_defaults() {
        let config: MlpConfig = serde_json::from_str(r#"{"sizes": [2, 3]}"#).unwrap();
        assert_eq!((config.activation, config.dropout), (Activation::Relu, 0.0));
    }
}
