//! The spread of examples' gradients from what layers saw: activations and output gradients of the whole batch.
//!
//! A dense layer's gradient for one example is the product of two vectors, a convolution's a sum of such products over positions.
//! Norms, inner products and sums of squares follow from the factors, and no example's gradient is formed.

use std::cell::RefCell;

use lisse_array::ops::Pad;
use lisse_array::{Array, DType, Tree, grad};
use lisse_nn::models::{Mlp, SmallConvNet};
use lisse_nn::{Conv2d, Linear};
use lisse_run::Ranks;

use super::{Moments, Projections, Spread, Wanted};
use crate::Flat;

/// What one layer `y = W a + c` saw of a batch: with `d` the gradient of an example's own loss by `y`, its gradient of the weight is
/// `sum_p d_p a_p'` over positions `p`, that of the bias `sum_p d_p`.
#[derive(Clone, Debug)]
pub struct LayerTrace {
    /// Index of the weight among the leaves of the parameters; its first axis counts outputs.
    pub weight: usize,
    /// Index of the bias.
    pub bias: Option<usize>,
    /// `a`: `[examples, positions, inputs]`; for a convolution the inputs of a position are its window.
    pub inputs: Array,
    /// `d`: `[examples, positions, outputs]`
    pub errors: Array,
}

/// Numbers of a batch of gradients that are formed at once, for convolutions with many positions.
const AT_ONCE: usize = 1 << 22;

impl LayerTrace {
    fn examples(&self) -> usize {
        self.inputs.dim(0)
    }

    /// Per example, the squared norm of its gradient.
    pub fn squared_norms(&self) -> Vec<f64> {
        let (positions, wide) = (self.inputs.dim(1), self.inputs.dim(2) * self.errors.dim(2));
        let weight = if positions == 1 {
            self.inputs.square().sum(&[1, 2]) * self.errors.square().sum(&[1, 2])
        } else if positions * positions < wide {
            // |sum_p d_p a_p'|^2 = sum_pq (d_p . d_q) (a_p . a_q)
            let gram = |x: &Array| x.matmul(&x.t());
            (gram(&self.errors) * gram(&self.inputs)).sum(&[1, 2])
        } else {
            let parts = self.gradients(|rows| rows.square().sum(&[1, 2]));
            Array::cat(&parts.iter().collect::<Vec<_>>(), 0)
        };
        match self.bias {
            Some(_) => (weight + self.errors.sum(&[1]).square().sum(&[1])).to_f64_vec(),
            None => weight.to_f64_vec(),
        }
    }

    /// Per example, the inner product of its gradient with a tree of parameters' shape: `sum_p d_p' G a_p`.
    pub fn along(&self, leaves: &[&Array]) -> Vec<f64> {
        let direction = self.as_matrix(leaves[self.weight]);
        let weight = (self.inputs.matmul(&direction.t()) * &self.errors).sum(&[1, 2]);
        match self.bias {
            Some(bias) => (weight + self.errors.sum(&[1]).matmul(leaves[bias])).to_f64_vec(),
            None => weight.to_f64_vec(),
        }
    }

    /// Sums over examples of the squared gradient, of the weight `[outputs, inputs]` and of the bias.
    pub fn square_sums(&self) -> (Array, Option<Array>) {
        let weight = if self.inputs.dim(1) == 1 {
            let (errors, inputs) = (self.errors.squeeze(1), self.inputs.squeeze(1));
            errors.square().t().matmul(&inputs.square())
        } else {
            let parts = self.gradients(|rows| rows.square().sum(&[0]));
            parts.into_iter().reduce(|a, b| a + b).expect("at least one chunk")
        };
        (weight, self.bias.map(|_| self.errors.sum(&[1]).square().sum(&[0])))
    }

    fn as_matrix(&self, leaf: &Array) -> Array {
        leaf.reshape(&[self.errors.dim(2) as isize, -1])
    }

    /// `f` of the examples' gradients of the weight `[chunk, outputs, inputs]`, chunk by chunk.
    fn gradients(&self, f: impl Fn(&Array) -> Array) -> Vec<Array> {
        let wide = self.inputs.dim(2) * self.errors.dim(2);
        let chunk = (AT_ONCE / wide.max(1)).max(1);
        let starts = (0..self.examples().max(1)).step_by(chunk);
        let of = |start: usize| {
            let count = chunk.min(self.examples() - start);
            let part = |x: &Array| x.narrow(0, start, count);
            f(&part(&self.errors).t().matmul(&part(&self.inputs)))
        };
        starts.map(of).collect()
    }
}

/// The spread around `gradient`, the mean gradient of the batch, from what every layer saw of this rank's examples; `before` is the
/// number of examples that lower ranks have.
///
/// `None` where the layers do not make up all that is trained, and where the gradients are so alike that the difference
/// `sum |g_i|^2 - b |g|^2` is rounding: then look at the examples one by one. All ranks come to the same answer.
pub fn spread_of_layers<P: Tree>(
    layers: &[LayerTrace],
    gradient: &P,
    wanted: Wanted,
    before: usize,
    ranks: &Ranks,
) -> Option<Spread> {
    let flat = Flat::of(gradient);
    let leaves = gradient.leaves();
    let mut covered: Vec<usize> =
        layers.iter().flat_map(|l| l.bias.into_iter().chain([l.weight])).collect();
    covered.sort_unstable();
    let smallest = match leaves.first()?.dtype() {
        DType::F64 => 1e-9,
        DType::F32 => 1e-3,
        _ => return None,
    };
    if !covered.iter().eq(flat.spans.iter().map(|span| &span.leaf)) {
        return None;
    }
    let mean = flat.gather(gradient);
    let squared_norm = mean.square().sum_all().item();
    let examples = layers.first()?.examples();
    let (mut norms, mut along) = (vec![0.0; examples], vec![0.0; examples]);
    for layer in layers.iter().filter(|_| examples > 0) {
        let add = |to: &mut [f64], of: Vec<f64>| to.iter_mut().zip(of).for_each(|(a, b)| *a += b);
        add(&mut norms, layer.squared_norms());
        add(&mut along, layer.along(&leaves));
    }
    let deviations: Vec<f64> = norms
        .iter()
        .zip(&along)
        .map(|(norm, along)| norm - 2.0 * along + squared_norm)
        // A NaN stays.
        .map(|d| if d < 0.0 { 0.0 } else { d })
        .collect();
    for a in &mut along {
        *a -= squared_norm;
    }
    let flawed = norms.iter().position(|norm| !norm.is_finite());
    let own = Projections { flawed, ..Projections::of_numbers(&deviations, &along, 1) };
    let sums = own.all_reduce(before, ranks);
    let all_norms = ranks.sum(norms.iter().sum());
    if sums.deviation < smallest * all_norms {
        return None;
    }
    let spread = sums.spread(squared_norm);
    if wanted == Wanted::Numbers {
        return Some(spread);
    }
    let squares = squares_of_layers(layers, &flat, gradient);
    let squares = ranks.all_reduce_tree(&squares);
    let m2 = squares.add_scaled(-(sums.examples as f64), &mean.square());
    let m2 = m2.maximum(&m2.zeros_like());
    let moments = Moments { examples: sums.examples, observations: sums.observations, mean, m2 };
    Some(Spread { ratios: moments.spread().ratios, ..spread })
}

/// Sums over examples of squared gradients, as one vector.
fn squares_of_layers<P: Tree>(layers: &[LayerTrace], flat: &Flat, like: &P) -> Array {
    let mut leaves: Vec<Array> = like.leaves().into_iter().map(Array::zeros_like).collect();
    for layer in layers.iter().filter(|layer| layer.examples() > 0) {
        let shaped = |sum: &Array, like: &Array| {
            sum.reshape(&like.shape().iter().map(|&n| n as isize).collect::<Vec<_>>())
        };
        let (weight, bias) = layer.square_sums();
        leaves[layer.weight] = shaped(&weight, &leaves[layer.weight]);
        if let (Some(at), Some(sum)) = (layer.bias, bias) {
            leaves[at] = shaped(&sum, &leaves[at]);
        }
    }
    flat.gather(&like.with_leaves(leaves))
}

/// Input and, by the output, the gradient of each layer's examples, for a forward pass that shows every layer's input and output to
/// `tap` and goes on with what it returns. The pass ends in the mean loss.
fn record(pass: impl Fn(&dyn Fn(&Array, Array) -> Array) -> Array) -> Vec<(Array, Array)> {
    let seen: RefCell<Vec<(Array, Array)>> = RefCell::default();
    pass(&|input, output| {
        seen.borrow_mut().push((input.clone(), output.zeros_like()));
        output
    });
    let (inputs, zeros): (Vec<Array>, Vec<Array>) = seen.into_inner().into_iter().unzip();
    // A number added to each output has the gradient of that output.
    let errors = grad(|taps: &Vec<Array>| {
        let next = RefCell::new(taps.iter());
        pass(&|_, output| output + next.borrow_mut().next().expect("the same layers again"))
    })(&zeros);
    let of_sum = |error: Array| {
        let examples = error.dim(0) as f64;
        error * examples
    };
    inputs.into_iter().zip(errors.into_iter().map(of_sum)).collect()
}

/// What the layers of `net` see of a batch under the mean loss `loss` of its outputs; `None` with dropout, whose masks
/// differ from pass to pass.
pub fn trace_mlp(
    net: &Mlp,
    inputs: &Array,
    loss: impl Fn(&Array) -> Array,
) -> Option<Vec<LayerTrace>> {
    if net.dropout > 0.0 || inputs.rank() != 2 {
        return None;
    }
    let seen = record(|tap| {
        let mut x = inputs.clone();
        for (i, layer) in net.layers.iter().enumerate() {
            if i > 0 {
                x = net.activation.forward(&x);
            }
            x = tap(&x, layer.forward(&x));
        }
        loss(&x)
    });
    let mut leaf = 0;
    Some(net.layers.iter().zip(seen).map(|(layer, seen)| dense(layer, seen, &mut leaf)).collect())
}

/// As [`trace_mlp`], for a convolutional network; `None` with dropout or batch normalisation, under which no example has a
/// gradient of its own.
pub fn trace_conv_net(
    net: &SmallConvNet,
    inputs: &Array,
    loss: impl Fn(&Array) -> Array,
) -> Option<Vec<LayerTrace>> {
    if net.dropout > 0.0 || net.bn1.is_some() || net.bn2.is_some() {
        return None;
    }
    let seen = record(|tap| {
        let stage = |x: &Array, conv: &Conv2d| {
            let y = tap(x, conv.forward(x));
            lisse_nn::pool::max_pool(&net.activation.forward(&y), 2)
        };
        let x = stage(&stage(inputs, &net.conv1), &net.conv2);
        let x = x.reshape(&[x.dim(0) as isize, -1]);
        let hidden = net.activation.forward(&tap(&x, net.fc1.forward(&x)));
        loss(&tap(&hidden, net.fc2.forward(&hidden)))
    });
    let mut leaf = 0;
    let [conv1, conv2, fc1, fc2]: [(Array, Array); 4] = seen.try_into().ok()?;
    Some(vec![
        convolution(&net.conv1, conv1, &mut leaf)?,
        convolution(&net.conv2, conv2, &mut leaf)?,
        dense(&net.fc1, fc1, &mut leaf),
        dense(&net.fc2, fc2, &mut leaf),
    ])
}

/// The next index, for every parameter that is there.
fn places(bias: bool, leaf: &mut usize) -> (usize, Option<usize>) {
    let weight = *leaf;
    *leaf += 1 + usize::from(bias);
    (weight, bias.then_some(weight + 1))
}

fn dense(layer: &Linear, (inputs, errors): (Array, Array), leaf: &mut usize) -> LayerTrace {
    let (weight, bias) = places(layer.bias.is_some(), leaf);
    LayerTrace { weight, bias, inputs: inputs.unsqueeze(1), errors: errors.unsqueeze(1) }
}

/// `None` for groups or dilation.
fn convolution(
    layer: &Conv2d,
    (inputs, errors): (Array, Array),
    leaf: &mut usize,
) -> Option<LayerTrace> {
    let options = &layer.options;
    if options.groups != 1 || options.dilation.iter().any(|&d| d != 1) {
        return None;
    }
    let (weight, bias) = places(layer.bias.is_some(), leaf);
    let around = |axis: usize| (options.padding[axis], options.padding[axis]);
    let padded = inputs.pad(&[(0, 0), (0, 0), around(0), around(1)], Pad::Constant(0.0));
    // [n, channels, rows, columns, kernel, kernel]
    let windows = padded.unfold(2, layer.weight.dim(2), options.stride[0]).unfold(
        3,
        layer.weight.dim(3),
        options.stride[1],
    );
    let (examples, rows, columns) = (windows.dim(0), windows.dim(2), windows.dim(3));
    let positions = [examples as isize, (rows * columns) as isize, -1];
    Some(LayerTrace {
        weight,
        bias,
        inputs: windows.permute(&[0, 2, 3, 1, 4, 5]).reshape(&positions),
        errors: errors.permute(&[0, 2, 3, 1]).reshape(&positions),
    })
}
