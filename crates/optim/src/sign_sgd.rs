//! Gradient steps of fixed size: by sign, and by norm.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::groups::LeafSettings;
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Groups, Schedule};

/// Sign descent with momentum (Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems", ICML 2018):
/// `m = g` at first, then `m = mu m + (1 - mu) g; x -= rate sign(m)`. An L2 penalty is added to `g`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignSgd {
    /// Learning rate: how far each coordinate moves.
    pub learning_rate: Schedule,
    /// `mu`; 0 for the sign of the gradient itself.
    pub momentum: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl SignSgd {
    /// Without momentum.
    pub fn new(learning_rate: impl Into<Schedule>) -> SignSgd {
        let learning_rate = learning_rate.into();
        SignSgd { learning_rate, momentum: 0.0, weight_decay: 0.0, groups: Groups::default() }
    }
}

/// Normalized descent with momentum: each parameter array moves along its own momentum, `x -= rate sqrt(n) m / |m|` for an array of
/// `n` elements, with `m` as for [`SignSgd`]. The root makes a typical element move by the learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NormalizedSgd {
    /// Learning rate: the root mean square of an array's step.
    pub learning_rate: Schedule,
    /// `mu`; 0 for the gradient itself.
    pub momentum: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl NormalizedSgd {
    /// Without momentum.
    pub fn new(learning_rate: impl Into<Schedule>) -> NormalizedSgd {
        let learning_rate = learning_rate.into();
        NormalizedSgd { learning_rate, momentum: 0.0, weight_decay: 0.0, groups: Groups::default() }
    }
}

/// The same step for both, up to what is made of the momentum.
struct Averaging<'a> {
    learning_rate: &'a Schedule,
    momentum: f64,
    weight_decay: f64,
    groups: &'a Groups,
    direction: fn(&Array) -> Array,
}

impl Averaging<'_> {
    fn init<P: Tree>(&self, params: &P) -> State<P> {
        if self.momentum == 0.0 {
            State::new()
        } else {
            State::new().with("momentum", params.zeros_like())
        }
    }

    fn step<P: Tree>(
        &self,
        params: &mut P,
        state: &mut State<P>,
        oracle: &mut dyn Oracle<P>,
    ) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let rate = self.learning_rate.at(state.schedule_step());
        let settings = self.groups.settings(params, rate, self.weight_decay);
        let old = state.trees.remove("momentum");
        let memory = old.as_ref().map(Tree::leaves);
        let (mut xs, mut ms) = (Vec::new(), Vec::new());
        let leaves = params.leaves().into_iter().zip(gradient.leaves()).zip(&settings);
        for (i, ((x, g), s)) in leaves.enumerate() {
            let m = memory.as_ref().map(|m| m[i]);
            if !s.trained {
                xs.push(x.clone());
                ms.extend(m.cloned());
                continue;
            }
            let mixed = self.mixed(m.filter(|_| state.step > 0), &s.penalised(x, g));
            xs.push(self.moved(x, &mixed, s));
            if m.is_some() {
                ms.push(mixed);
            }
        }
        if let Some(old) = &old {
            state.trees.insert("momentum".into(), old.with_leaves(ms));
        }
        *params = params.with_leaves(xs);
        state.step += 1;
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }

    fn mixed(&self, m: Option<&Array>, g: &Array) -> Array {
        m.map_or_else(|| g.clone(), |m| (m * self.momentum).add_scaled(1.0 - self.momentum, g))
    }

    fn moved(&self, x: &Array, m: &Array, leaf: &LeafSettings) -> Array {
        x.add_scaled(-leaf.learning_rate, &(self.direction)(m))
    }
}

/// `sqrt(n) m / |m|`; zero stays zero.
fn normalized(m: &Array) -> Array {
    let norm = m.square().sum_all().item().sqrt();
    if norm == 0.0 { m.clone() } else { m * ((m.len() as f64).sqrt() / norm) }
}

impl SignSgd {
    fn rule(&self) -> Averaging<'_> {
        Averaging {
            learning_rate: &self.learning_rate,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            groups: &self.groups,
            direction: Array::sign,
        }
    }
}

impl NormalizedSgd {
    fn rule(&self) -> Averaging<'_> {
        Averaging {
            learning_rate: &self.learning_rate,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            groups: &self.groups,
            direction: normalized,
        }
    }
}

impl<P: Tree> Optimizer<P> for SignSgd {
    fn init(&self, params: &P) -> State<P> {
        self.rule().init(params)
    }
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        self.rule().step(params, state, oracle)
    }
}

impl<P: Tree> Optimizer<P> for NormalizedSgd {
    fn init(&self, params: &P) -> State<P> {
        self.rule().init(params)
    }
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        self.rule().step(params, state, oracle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LossOracle;

    fn after(optimizer: &dyn Optimizer<Array>, gradients: [[f64; 2]; 2]) -> Vec<f64> {
        let mut x = Array::from_slice(&[0.0f64, 0.0], &[2]);
        let mut state = optimizer.init(&x);
        for g in gradients {
            let g = Array::from_slice(&g, &[2]);
            optimizer.step(&mut x, &mut state, &mut LossOracle(|x: &Array| (x * &g).sum_all()));
        }
        x.to_vec::<f64>()
    }

    #[test]
    fn signs_of_the_average() {
        let gradients = [[2.0, -0.1], [-3.0, 2.0]];
        // Without memory the second gradient decides; with it, .9 * 2 - .3 stays positive and -.09 + .2 turns.
        assert_eq!(after(&SignSgd::new(0.5), gradients), [0.0, 0.0]);
        let slow = SignSgd { momentum: 0.9, ..SignSgd::new(0.5) };
        assert_eq!(after(&slow, gradients), [-1.0, 0.0]);
    }

    #[test]
    fn an_array_moves_by_its_rate_whatever_the_gradients_size() {
        let gradients = [[3.0, 4.0], [3e-9, 4e-9]];
        let x = after(&NormalizedSgd::new(0.5), gradients);
        let step = 2f64.sqrt();
        assert!((x[0] + 0.6 * step).abs() < 1e-15 && (x[1] + 0.8 * step).abs() < 1e-15, "{x:?}");
        assert_eq!(after(&NormalizedSgd::new(0.5), [[0.0; 2]; 2]), [0.0, 0.0]);
    }
}
