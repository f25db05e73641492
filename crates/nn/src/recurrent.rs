//! Recurrent layers with PyTorch's parameters and gate order.

use lisse_array::{Array, Path, Segment, Stream, Tree};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::dropout::dropout;
use crate::init::uniform;
use crate::linear::linear;

/// The parameters of one layer; `gates` is 4 for an LSTM and 3 for a GRU.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecurrentLayer {
    /// `[gates * hidden, inputs]`
    pub weight_ih: Array,
    /// `[gates * hidden, hidden]`
    pub weight_hh: Array,
    /// `[gates * hidden]`
    pub bias_ih: Option<Array>,
    /// `[gates * hidden]`
    pub bias_hh: Option<Array>,
}

/// Layers one above the other. As in PyTorch the layer's number stands in the parameter's name, not in the path:
/// `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_ih_l1`, ...
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecurrentStack {
    /// From the input up.
    pub layers: Vec<RecurrentLayer>,
}

fn segment(name: &str, layer: usize) -> Segment {
    Segment::Key(format!("{name}_l{layer}").into())
}

impl Tree for RecurrentStack {
    fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array)) {
        for (i, layer) in self.layers.iter().enumerate() {
            let leaves = [
                ("weight_ih", Some(&layer.weight_ih)),
                ("weight_hh", Some(&layer.weight_hh)),
                ("bias_ih", layer.bias_ih.as_ref()),
                ("bias_hh", layer.bias_hh.as_ref()),
            ];
            for (name, leaf) in leaves {
                path.enter(segment(name, i));
                if let Some(leaf) = leaf {
                    f(path, leaf);
                }
                path.leave();
            }
        }
    }

    fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        let mut leaf = |name: &str, i: usize, array: &Array| {
            path.enter(segment(name, i));
            let built = f(path, array);
            path.leave();
            built
        };
        let mut layers = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            layers.push(RecurrentLayer {
                weight_ih: leaf("weight_ih", i, &layer.weight_ih),
                weight_hh: leaf("weight_hh", i, &layer.weight_hh),
                bias_ih: layer.bias_ih.as_ref().map(|b| leaf("bias_ih", i, b)),
                bias_hh: layer.bias_hh.as_ref().map(|b| leaf("bias_hh", i, b)),
            });
        }
        RecurrentStack { layers }
    }
}

impl RecurrentLayer {
    fn hidden(&self) -> usize {
        self.weight_hh.dim(1)
    }

    /// The input's part of every gate at every step: one product for the whole sequence.
    fn input_gates(&self, x: &Array) -> Array {
        linear(x, &self.weight_ih, self.bias_ih.as_ref())
    }

    /// The state's part of every gate.
    fn state_gates(&self, h: &Array) -> Array {
        linear(h, &self.weight_hh, self.bias_hh.as_ref())
    }
}

/// How an [`Lstm`] or a [`Gru`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecurrentConfig {
    /// Size of the last axis of the input.
    pub inputs: usize,
    /// Size of the state.
    pub hidden: usize,
    /// Layers one above the other; 1 by default.
    pub layers: usize,
    /// Whether the gates have offsets; yes by default.
    pub bias: bool,
    /// Dropout between layers; 0 by default.
    pub dropout: f64,
}

impl RecurrentConfig {
    /// One layer with offsets, no dropout.
    pub fn new(inputs: usize, hidden: usize) -> Self {
        Self { inputs, hidden, layers: 1, bias: true, dropout: 0.0 }
    }

    /// Layers one above the other.
    pub fn layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// Whether the gates have offsets.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Dropout between layers.
    pub fn dropout(mut self, probability: f64) -> Self {
        self.dropout = probability;
        self
    }

    /// An LSTM; every parameter uniform within `1 / sqrt(hidden)`, as in PyTorch.
    pub fn lstm(&self, stream: &Stream) -> Lstm {
        Lstm { stack: self.stack(4, stream), dropout: self.dropout }
    }

    /// A GRU; every parameter uniform within `1 / sqrt(hidden)`, as in PyTorch.
    pub fn gru(&self, stream: &Stream) -> Gru {
        Gru { stack: self.stack(3, stream), dropout: self.dropout }
    }

    fn stack(&self, gates: usize, stream: &Stream) -> RecurrentStack {
        assert!(self.layers > 0 && self.hidden > 0, "recurrent: needs a layer and a state");
        let bound = 1.0 / (self.hidden as f64).sqrt();
        let rows = gates * self.hidden;
        let layer = |i: usize| {
            let stream = stream.at(i as u64);
            let draw = |name: &str, shape: &[usize]| uniform(&stream.child(name), shape, bound);
            let inputs = if i == 0 { self.inputs } else { self.hidden };
            RecurrentLayer {
                weight_ih: draw("weight_ih", &[rows, inputs]),
                weight_hh: draw("weight_hh", &[rows, self.hidden]),
                bias_ih: self.bias.then(|| draw("bias_ih", &[rows])),
                bias_hh: self.bias.then(|| draw("bias_hh", &[rows])),
            }
        };
        RecurrentStack { layers: (0..self.layers).map(layer).collect() }
    }
}

/// Long short-term memory (Hochreiter and Schmidhuber 1997), gates in the order input, forget, cell, output.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Lstm {
    /// The layers, whose parameters stand at this layer's own path.
    #[tree(flatten)]
    pub stack: RecurrentStack,
    /// Dropout between layers.
    pub dropout: f64,
}

/// Gated recurrent unit (Cho et al. 2014), gates in the order reset, update, new.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Gru {
    /// The layers, whose parameters stand at this layer's own path.
    #[tree(flatten)]
    pub stack: RecurrentStack,
    /// Dropout between layers.
    pub dropout: f64,
}

/// Hidden and cell state of an [`Lstm`], each `[layers, batch, hidden]`.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct LstmState {
    /// Hidden state.
    pub hidden: Array,
    /// Cell state.
    pub cell: Array,
}

impl Lstm {
    /// `x` `[batch, time, inputs]` to the top layer's states `[batch, time, hidden]` and the last state of every layer. Starts
    /// from zeros without a state.
    #[track_caller]
    pub fn forward(
        &self,
        x: &Array,
        state: Option<&LstmState>,
        context: &Context,
    ) -> (Array, LstmState) {
        let zeros = initial("lstm", &self.stack, x, state.map(|s| &s.hidden));
        let start = state.cloned().unwrap_or(LstmState { hidden: zeros.clone(), cell: zeros });
        let mut cells = Vec::new();
        let (y, hidden) = run(&self.stack, x, self.dropout, context, |layer, i, x| {
            let mut h = start.hidden.index(0, i);
            let mut c = start.cell.index(0, i);
            let hs = steps(&layer.input_gates(x), |gates| {
                (h, c) = lstm_step(layer, gates, &h, &c);
                h.clone()
            });
            cells.push(c);
            hs
        });
        let cell = Array::stack(&cells.iter().collect::<Vec<_>>(), 0);
        (y, LstmState { hidden, cell })
    }
}

/// `c' = f c + i g`, `h' = o tanh(c')`
fn lstm_step(layer: &RecurrentLayer, from_input: &Array, h: &Array, c: &Array) -> (Array, Array) {
    let n = layer.hidden();
    let gates = from_input + layer.state_gates(h);
    let gate = |i: usize| gates.narrow(-1, i * n, n);
    let c = gate(1).sigmoid() * c + gate(0).sigmoid() * gate(2).tanh();
    (gate(3).sigmoid() * c.tanh(), c)
}

impl Gru {
    /// `x` `[batch, time, inputs]` to the top layer's states `[batch, time, hidden]` and the last state of every layer,
    /// `[layers, batch, hidden]`. Starts from zeros without a state.
    #[track_caller]
    pub fn forward(&self, x: &Array, state: Option<&Array>, context: &Context) -> (Array, Array) {
        let zeros = initial("gru", &self.stack, x, state);
        let start = state.cloned().unwrap_or(zeros);
        run(&self.stack, x, self.dropout, context, |layer, i, x| {
            let mut h = start.index(0, i);
            steps(&layer.input_gates(x), |gates| {
                h = gru_step(layer, gates, &h);
                h.clone()
            })
        })
    }
}

/// `h' = (1 - z) tanh(n_x + r n_h) + z h`
fn gru_step(layer: &RecurrentLayer, from_input: &Array, h: &Array) -> Array {
    let n = layer.hidden();
    let from_state = layer.state_gates(h);
    let part = |gates: &Array, i: usize| gates.narrow(-1, i * n, n);
    let reset = (part(from_input, 0) + part(&from_state, 0)).sigmoid();
    let update = (part(from_input, 1) + part(&from_state, 1)).sigmoid();
    let new = (part(from_input, 2) + reset * part(&from_state, 2)).tanh();
    &new + update * (h - &new)
}

/// Checks input and state, and gives a state of zeros.
#[track_caller]
fn initial(name: &str, stack: &RecurrentStack, x: &Array, state: Option<&Array>) -> Array {
    let inputs = stack.layers[0].weight_ih.dim(1);
    assert!(
        x.rank() == 3 && x.dim(2) == inputs && x.dim(1) > 0,
        "{name}: the input must be [batch, time, {inputs}] with at least one step, got {:?}",
        x.shape()
    );
    let shape = [stack.layers.len(), x.dim(0), stack.layers[0].hidden()];
    if let Some(state) = state {
        assert!(
            state.shape() == shape,
            "{name}: the state must be {shape:?}, got {:?}",
            state.shape()
        );
    }
    x.device().with(|| Array::zeros(&shape, x.dtype()))
}

/// Applies `layer` to all layers in turn; the top's outputs and each layer's last, `[layers, batch, hidden]`.
fn run(
    stack: &RecurrentStack,
    x: &Array,
    probability: f64,
    context: &Context,
    mut layer: impl FnMut(&RecurrentLayer, usize, &Array) -> Array,
) -> (Array, Array) {
    let mut y = x.clone();
    let mut last = Vec::new();
    for (i, parameters) in stack.layers.iter().enumerate() {
        if i > 0 {
            y = dropout(&y, probability, context);
        }
        y = layer(parameters, i, &y);
        last.push(y.index(1, y.dim(1) - 1));
    }
    (y, Array::stack(&last.iter().collect::<Vec<_>>(), 0))
}

/// Applies `step` to each time of `[batch, time, width]` and joins the results along time.
fn steps(x: &Array, mut step: impl FnMut(&Array) -> Array) -> Array {
    let outputs: Vec<Array> = (0..x.dim(1)).map(|t| step(&x.index(1, t))).collect();
    Array::stack(&outputs.iter().collect::<Vec<_>>(), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_dtype;
    use lisse_array::{DType, check};

    #[test]
    fn derivatives_of_input_and_parameters() {
        let config = RecurrentConfig::new(2, 3).layers(2);
        let x = Stream::new(1).normal(&[2, 3, 2], DType::F64);
        let context = Context::eval();
        let lstm = to_dtype(&config.lstm(&Stream::new(0)), DType::F64);
        let f = |(l, x): &(Lstm, Array)| {
            let (y, state) = l.forward(x, None, &context);
            y.sum_all() + state.cell.square().sum_all()
        };
        check::gradient(f, &(lstm, x.clone()), 2).unwrap();
        let gru = to_dtype(&config.gru(&Stream::new(0)), DType::F64);
        check::gradient(|(l, x): &(Gru, Array)| l.forward(x, None, &context).0, &(gru, x), 2)
            .unwrap();
    }

    #[test]
    fn a_sequence_may_be_cut_and_continued() {
        let layer =
            to_dtype(&RecurrentConfig::new(2, 3).layers(2).lstm(&Stream::new(0)), DType::F64);
        let x = Stream::new(1).normal(&[2, 5, 2], DType::F64);
        let context = Context::eval();
        let (whole, _) = layer.forward(&x, None, &context);
        let (_, state) = layer.forward(&x.narrow(1, 0, 2), None, &context);
        let (rest, _) = layer.forward(&x.narrow(1, 2, 3), Some(&state), &context);
        assert!((whole.narrow(1, 2, 3) - rest).abs().max_all().item() < 1e-15);
    }

    #[test]
    fn parameters_are_named_as_in_pytorch() {
        let layer = RecurrentConfig::new(2, 3).layers(2).gru(&Stream::new(0));
        let names: Vec<String> = layer.named_leaves().into_iter().map(|(name, _)| name).collect();
        let expected = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ih_l1"];
        assert_eq!(names[..5], expected);
        assert_eq!(layer.map(Array::clone).named_leaves().len(), 8);
    }

    #[test]
    #[should_panic(
        expected = "gru: the input must be [batch, time, 2] with at least one step, got [2, 5]"
    )]
    fn a_wrong_input_is_named() {
        let x = Array::zeros(&[2, 5], DType::F32);
        RecurrentConfig::new(2, 3).gru(&Stream::new(0)).forward(&x, None, &Context::eval());
    }
}
