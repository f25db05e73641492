//! Lion.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::groups::LeafSettings;
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Groups, Schedule};

/// Lion (Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023):
/// `w = b1 m + (1 - b1) g; x -= rate (sign(w) + decay x); m = b2 m + (1 - b2) g`.
///
/// Every coordinate moves by the same amount, so learning rates are 3 to 10 times smaller than Adam's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lion {
    /// Learning rate.
    pub learning_rate: Schedule,
    /// Share of the momentum in the direction.
    pub beta1: f64,
    /// Decay of the momentum.
    pub beta2: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Whether the direction is `sign(w)`; without it, `w` itself, to be clipped by
    /// [`CoordinateClipped`](crate::coordinate_clipping::CoordinateClipped).
    pub sign: bool,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl Lion {
    /// Lion with the paper's defaults and no weight decay.
    pub fn new(learning_rate: impl Into<Schedule>) -> Lion {
        Lion {
            learning_rate: learning_rate.into(),
            beta1: 0.9,
            beta2: 0.99,
            weight_decay: 0.0,
            sign: true,
            groups: Groups::default(),
        }
    }

    fn update(&self, x: &Array, m: &Array, g: &Array, leaf: &LeafSettings) -> [Array; 2] {
        let w = (m * self.beta1).add_scaled(1.0 - self.beta1, g);
        let direction = if self.sign { w.sign() } else { w };
        let decayed = match leaf.weight_decay {
            0.0 => x.clone(),
            decay => x * (1.0 - leaf.learning_rate * decay),
        };
        let m = (m * self.beta2).add_scaled(1.0 - self.beta2, g);
        [decayed.add_scaled(-leaf.learning_rate, &direction), m]
    }
}

impl<P: Tree> Optimizer<P> for Lion {
    fn init(&self, params: &P) -> State<P> {
        State::new().with("momentum", params.zeros_like())
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let rate = self.learning_rate.at(state.schedule_step());
        let settings = self.groups.settings(params, rate, self.weight_decay);
        let momentum = state.trees.remove("momentum").expect("made by init");
        let (mut xs, mut ms) = (Vec::new(), Vec::new());
        let leaves = params.leaves().into_iter().zip(momentum.leaves()).zip(gradient.leaves());
        for (((x, m), g), s) in leaves.zip(&settings) {
            let [x, m] = if s.trained { self.update(x, m, g, s) } else { [x.clone(), m.clone()] };
            xs.push(x);
            ms.push(m);
        }
        state.trees.insert("momentum".into(), momentum.with_leaves(ms));
        *params = params.with_leaves(xs);
        state.step += 1;
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LossOracle;

    #[test]
    fn the_first_direction_is_the_sign_and_a_hundredth_is_remembered() {
        let c = Array::from_slice(&[3.0f64, -0.5, 0.0], &[3]);
        let lion = Lion::new(0.1);
        let mut x = c.zeros_like();
        let mut state = lion.init(&x);
        lion.step(&mut x, &mut state, &mut LossOracle(|x: &Array| (x * &c).sum_all()));
        assert_eq!(x.to_vec::<f64>(), [-0.1, 0.1, 0.0]);
        let m = state.trees["momentum"].to_vec::<f64>();
        assert!(m.iter().zip([0.03, -0.005, 0.0]).all(|(a, b)| (a - b).abs() < 1e-16), "{m:?}");
    }

    #[test]
    fn the_direction_is_mixed_before_the_momentum_and_decay_is_decoupled() {
        let lion = Lion { weight_decay: 0.5, sign: false, ..Lion::new(0.1) };
        let mut x = Array::from_slice(&[2.0f64], &[1]);
        let mut state = lion.init(&x);
        for _ in 0..2 {
            lion.step(&mut x, &mut state, &mut LossOracle(|x: &Array| x.sum_all()));
        }
        // Step 1: w = .1, x = 2 * .95 - .01 = 1.89; step 2: m = .01, w = .109, x = 1.89 * .95 - .0109.
        assert!((x.item() - 1.7846).abs() < 1e-14, "{}", x.item());
        assert!((state.trees["momentum"].item() - 0.0199).abs() < 1e-15);
    }
}
