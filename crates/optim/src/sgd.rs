//! Stochastic gradient descent.

use lisse_array::fused::{MomentumUpdate, descend, momentum};
use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::groups::LeafSettings;
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Groups, Schedule};

/// Stochastic gradient descent with momentum, Nesterov's variant and L2 weight decay, as PyTorch defines them:
/// `g += decay x; m = momentum m + g; x -= rate (nesterov ? g + momentum m : m)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sgd {
    /// Learning rate.
    pub learning_rate: Schedule,
    /// Share of the last direction that is kept; 0 for none.
    pub momentum: f64,
    /// Whether to look ahead along the momentum.
    pub nesterov: bool,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl Sgd {
    /// Plain gradient steps.
    pub fn new(learning_rate: impl Into<Schedule>) -> Sgd {
        Sgd {
            learning_rate: learning_rate.into(),
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            groups: Groups::default(),
        }
    }

    /// Keeps a share of the last direction.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Sgd {
        Sgd { momentum, ..self }
    }
}

impl<P: Tree> Optimizer<P> for Sgd {
    fn init(&self, params: &P) -> State<P> {
        if self.momentum == 0.0 {
            State::new()
        } else {
            State::new().with("momentum", params.zeros_like())
        }
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let rate = self.learning_rate.at(state.schedule_step());
        let settings = self.groups.settings(params, rate, self.weight_decay);
        let mut momentum = state.trees.remove("momentum");
        // Taken out, so that the update can write into their buffers.
        let x = params.take_leaves();
        let mut m = momentum.as_mut().map(Tree::take_leaves).unwrap_or_default().into_iter();
        let mut new_params = Vec::with_capacity(x.len());
        let mut new_momentum = Vec::with_capacity(m.len());
        for ((x, g), s) in x.into_iter().zip(gradient.leaves()).zip(&settings) {
            let (x, m) = if s.trained { self.update(x, g, m.next(), s) } else { (x, m.next()) };
            new_params.push(x);
            new_momentum.extend(m);
        }
        if let Some(m) = &momentum {
            state.trees.insert("momentum".into(), m.with_leaves(new_momentum));
        }
        *params = params.with_leaves(new_params);
        state.step += 1;
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }
}

impl Sgd {
    fn update(
        &self,
        x: Array,
        g: &Array,
        m: Option<Array>,
        leaf: &LeafSettings,
    ) -> (Array, Option<Array>) {
        let Some(m) = m else {
            return (descend(x, g, leaf.learning_rate, leaf.weight_decay), None);
        };
        let options = MomentumUpdate {
            rate: leaf.learning_rate,
            momentum: self.momentum,
            decay: leaf.weight_decay,
            nesterov: self.nesterov,
        };
        let [x, m] = momentum([x, m], g, &options);
        (x, Some(m))
    }
}
