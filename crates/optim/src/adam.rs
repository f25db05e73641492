//! Adam and AdamW.

use lisse_array::fused::{AdamUpdate, adam, adam_of_all};
use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::groups::{LeafSettings, in_order};
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Groups, Schedule};

/// Adam (Kingma and Ba, 2015), and AdamW (Loshchilov and Hutter, 2019) with `decoupled` weight decay:
/// `m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; x -= rate m^ / (sqrt(v^) + eps)`, where the hats divide by `1 - b^t`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// Learning rate.
    pub learning_rate: Schedule,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Weight decay: an L2 penalty, or `x -= rate decay x` if decoupled.
    pub weight_decay: f64,
    /// Whether the weight decay bypasses the moments.
    pub decoupled: bool,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl Adam {
    /// Adam with the paper's defaults and no weight decay.
    pub fn new(learning_rate: impl Into<Schedule>) -> Adam {
        Adam {
            learning_rate: learning_rate.into(),
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            groups: Groups::default(),
        }
    }

    /// AdamW.
    pub fn decoupled(learning_rate: impl Into<Schedule>, weight_decay: f64) -> Adam {
        Adam { weight_decay, decoupled: true, ..Adam::new(learning_rate) }
    }
}

impl<P: Tree> Optimizer<P> for Adam {
    fn init(&self, params: &P) -> State<P> {
        State::new().with("mean", params.zeros_like()).with("square", params.zeros_like())
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient, unbounded) = oracle.value_and_moment_grads(params);
        let rate = self.learning_rate.at(state.schedule_step());
        state.step += 1;
        let settings = self.groups.settings(params, rate, self.weight_decay);
        let mut mean = state.trees.remove("mean").expect("made by init");
        let mut square = state.trees.remove("square").expect("made by init");
        // Taken out, so that the update can write into their buffers.
        let (x, m, v) = (params.take_leaves(), mean.take_leaves(), square.take_leaves());
        let (mut moved, mut kept) = (Vec::new(), Vec::new());
        for ((((x, m), v), g), s) in
            x.into_iter().zip(m).zip(v).zip(gradient.leaves()).zip(&settings)
        {
            if s.trained {
                moved.push(([x, m, v], g, self.update(state.step, s)));
            } else {
                kept.push([x, m, v]);
            }
        }
        let moved = match &unbounded {
            None => adam_of_all(moved),
            Some(squared) => {
                let squared =
                    squared.leaves().into_iter().zip(&settings).filter(|(_, s)| s.trained);
                moved
                    .into_iter()
                    .zip(squared)
                    .map(|((x, g, o), (s, _))| apart(x, g, s, &o))
                    .collect()
            }
        };
        let mut updated: [Vec<Array>; 3] = [Vec::new(), Vec::new(), Vec::new()];
        for new in in_order(&settings, moved, kept) {
            for (list, array) in updated.iter_mut().zip(new) {
                list.push(array);
            }
        }
        let [x, m, v] = updated;
        state.trees.insert("mean".into(), mean.with_leaves(m));
        state.trees.insert("square".into(), square.with_leaves(v));
        *params = params.with_leaves(x);
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }
}

impl Adam {
    fn update(&self, step: u64, leaf: &LeafSettings) -> AdamUpdate {
        let decay = leaf.weight_decay;
        AdamUpdate {
            rate: leaf.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            decay: if self.decoupled { 0.0 } else { decay },
            decoupled_decay: if self.decoupled { decay } else { 0.0 },
            step,
        }
    }
}

/// The update of [`adam`] with one gradient in the first moment and another in the second.
fn apart([x, m, v]: [Array; 3], g: &Array, squared: &Array, o: &AdamUpdate) -> [Array; 3] {
    // The second moment as Adam makes it, to the last bit: it does not depend on the first.
    let [_, _, v] = adam([x.clone(), m.clone(), v], squared, o);
    let m = (m * o.beta1).add_scaled(1.0 - o.beta1, &g.add_scaled(o.decay, &x));
    let correction = |beta: f64| 1.0 - beta.powf(o.step as f64);
    let scale = v.sqrt() / correction(o.beta2).sqrt() + o.epsilon;
    let x = if o.decoupled_decay == 0.0 { x } else { x * (1.0 - o.rate * o.decoupled_decay) };
    [x.add_scaled(-o.rate / correction(o.beta1), &(&m / scale)), m, v]
}
