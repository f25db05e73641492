//! RMSProp.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Groups, Schedule};

/// RMSProp (Tieleman and Hinton, 2012): `v = a v + (1 - a) g^2; m = momentum m + g / (sqrt(v) + eps); x -= rate m`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RmsProp {
    /// Learning rate.
    pub learning_rate: Schedule,
    /// Decay of the mean square, `a`.
    pub decay: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Share of the last direction that is kept.
    pub momentum: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl RmsProp {
    /// PyTorch's defaults.
    pub fn new(learning_rate: impl Into<Schedule>) -> RmsProp {
        RmsProp {
            learning_rate: learning_rate.into(),
            decay: 0.99,
            epsilon: 1e-8,
            momentum: 0.0,
            weight_decay: 0.0,
            groups: Groups::default(),
        }
    }
}

impl<P: Tree> Optimizer<P> for RmsProp {
    fn init(&self, params: &P) -> State<P> {
        State::new().with("square", params.zeros_like()).with("momentum", params.zeros_like())
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let rate = self.learning_rate.at(state.schedule_step());
        state.step += 1;
        let settings = self.groups.settings(params, rate, self.weight_decay);
        let square = state.trees.remove("square").expect("made by init");
        let momentum = state.trees.remove("momentum").expect("made by init");
        let mut updated: [Vec<Array>; 3] = [Vec::new(), Vec::new(), Vec::new()];
        let leaves = params
            .leaves()
            .into_iter()
            .zip(gradient.leaves())
            .zip(square.leaves())
            .zip(momentum.leaves());
        for ((((x, g), v), m), s) in leaves.zip(&settings) {
            let new = if s.trained {
                let g = s.penalised(x, g);
                let v = v * self.decay + g.square() * (1.0 - self.decay);
                let m = m * self.momentum + g / (v.sqrt() + self.epsilon);
                [x.add_scaled(-s.learning_rate, &m), v, m]
            } else {
                [x.clone(), v.clone(), m.clone()]
            };
            for (list, array) in updated.iter_mut().zip(new) {
                list.push(array);
            }
        }
        let [x, v, m] = updated;
        state.trees.insert("square".into(), square.with_leaves(v));
        state.trees.insert("momentum".into(), momentum.with_leaves(m));
        *params = params.with_leaves(x);
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }
}
