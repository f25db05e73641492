//! Stochastic gradient descent.

use lisse_array::Tree;
use lisse_array::fused::{DescentUpdate, MomentumUpdate, descend_of_all, momentum_of_all};
use serde::{Deserialize, Serialize};

use crate::groups::in_order;
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
        // Taken out, so that the update can write into their buffers.
        let x = params.take_leaves();
        let leaves = gradient.leaves().into_iter().zip(&settings);
        if let Some(mut momentum) = state.trees.remove("momentum") {
            let (mut moved, mut kept) = (Vec::new(), Vec::new());
            for ((x, m), (g, s)) in x.into_iter().zip(momentum.take_leaves()).zip(leaves) {
                let options = MomentumUpdate {
                    rate: s.learning_rate,
                    momentum: self.momentum,
                    decay: s.weight_decay,
                    nesterov: self.nesterov,
                };
                if s.trained { moved.push(([x, m], g, options)) } else { kept.push([x, m]) }
            }
            let updated = in_order(&settings, momentum_of_all(moved), kept);
            let (x, m): (Vec<_>, Vec<_>) = updated.map(|[x, m]| (x, m)).unzip();
            state.trees.insert("momentum".into(), momentum.with_leaves(m));
            *params = params.with_leaves(x);
        } else {
            let (mut moved, mut kept) = (Vec::new(), Vec::new());
            for (x, (g, s)) in x.into_iter().zip(leaves) {
                let options = DescentUpdate { rate: s.learning_rate, decay: s.weight_decay };
                if s.trained { moved.push(([x], g, options)) } else { kept.push([x]) }
            }
            *params =
                params.with_leaves(in_order(&settings, descend_of_all(moved), kept).flatten());
        }
        state.step += 1;
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }
}
