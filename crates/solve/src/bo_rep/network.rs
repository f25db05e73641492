//! A recurrent representation of sentences and a head on it.

use lisse_array::{Array, DType, Stream, Tree};
use lisse_nn::losses::cross_entropy;
use lisse_nn::recurrent::{RecurrentLayer, RecurrentStack};
use lisse_nn::{Context, Gru, Linear, Lstm, RecurrentConfig, to_dtype};
use serde::{Deserialize, Serialize};

use super::text::Sentences;

/// Kind of a recurrent layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// `h' = tanh(W x + U h + b)`
    #[default]
    Tanh,
    /// Gated recurrent unit.
    Gru,
    /// Long short-term memory.
    Lstm,
}

/// Recurrent layers with the maximum over time of the top one: the representation, `x` of the upper level.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Encoder {
    /// What the layers are.
    #[tree(skip)]
    pub cell: Cell,
    /// Their parameters.
    #[tree(flatten)]
    pub stack: RecurrentStack,
}

impl Encoder {
    /// Every parameter uniform within `1 / sqrt(hidden)`, in f64.
    pub fn new(
        cell: Cell,
        inputs: usize,
        hidden: usize,
        layers: usize,
        stream: &Stream,
    ) -> Encoder {
        let config = RecurrentConfig::new(inputs, hidden).layers(layers);
        let stack = match cell {
            Cell::Lstm => config.lstm(stream).stack,
            Cell::Gru => config.gru(stream).stack,
            Cell::Tanh => first_gate(&config.gru(stream).stack, hidden),
        };
        to_dtype(&Encoder { cell, stack }, DType::F64)
    }

    /// Sentences to `[sentences, hidden]`: the largest value of each unit of the top layer over the words. Places behind the
    /// end of a sentence do not count.
    pub fn forward(&self, sentences: &Sentences) -> Array {
        let (words, context) = (&sentences.words, Context::eval());
        let states = match self.cell {
            Cell::Lstm => self.lstm().forward(words, None, &context).0,
            Cell::Gru => self.gru().forward(words, None, &context).0,
            Cell::Tanh => {
                self.stack.layers.iter().fold(words.clone(), |x, layer| tanh_layer(layer, &x))
            }
        };
        // All units lie within (-1, 1).
        let behind = (sentences.mask.unsqueeze(-1) - 1.0) * 4.0;
        (states + behind).max(&[1])
    }

    fn lstm(&self) -> Lstm {
        Lstm { stack: self.stack.clone(), dropout: 0.0 }
    }

    fn gru(&self) -> Gru {
        Gru { stack: self.stack.clone(), dropout: 0.0 }
    }
}

/// A layer has one gate where a GRU has three.
fn first_gate(stack: &RecurrentStack, hidden: usize) -> RecurrentStack {
    stack.map(|leaf| leaf.narrow(0, 0, hidden))
}

/// `[batch, time, inputs]` to `[batch, time, hidden]`.
fn tanh_layer(layer: &RecurrentLayer, x: &Array) -> Array {
    let offset = |y: Array, bias: &Option<Array>| match bias {
        Some(bias) => y + bias,
        None => y,
    };
    let inputs = offset(x.matmul(&layer.weight_ih.t()), &layer.bias_ih);
    let inputs = offset(inputs, &layer.bias_hh);
    let recurrent = layer.weight_hh.t();
    let mut states: Vec<Array> = Vec::with_capacity(x.dim(1));
    for t in 0..x.dim(1) {
        let input = inputs.index(1, t);
        states.push(match states.last() {
            Some(h) => (input + h.matmul(&recurrent)).tanh(),
            None => input.tanh(),
        });
    }
    Array::stack(&states.iter().collect::<Vec<_>>(), 1)
}

/// Linear layers with tanh between: `y` of the lower level.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Head {
    /// From the representation up.
    pub layers: Vec<Linear>,
}

impl Head {
    /// Layers of the given widths, from the representation's to the number of classes, in f64.
    pub fn new(widths: &[usize], stream: &Stream) -> Head {
        let layer =
            |(i, pair): (usize, &[usize])| Linear::new(pair[0], pair[1], &stream.at(i as u64));
        to_dtype(&Head { layers: widths.windows(2).enumerate().map(layer).collect() }, DType::F64)
    }

    /// `[sentences, hidden]` to logits `[sentences, classes]`.
    pub fn forward(&self, representation: &Array) -> Array {
        let mut y = representation.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                y = y.tanh();
            }
            y = layer.forward(&y);
        }
        y
    }
}

/// Mean cross-entropy of the sentences.
pub fn loss(encoder: &Encoder, head: &Head, sentences: &Sentences) -> Array {
    cross_entropy(&head.forward(&encoder.forward(sentences)), &sentences.labels)
}

/// Share of the sentences that are classified rightly.
pub fn accuracy(encoder: &Encoder, head: &Head, sentences: &Sentences) -> f64 {
    let found = head.forward(&encoder.forward(sentences)).argmax(1);
    found.equal(&sentences.labels).cast(DType::F64).mean_all().item()
}
