//! Steps along averaged gradients.

use lisse_array::Tree;
use serde::{Deserialize, Serialize};

use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Groups, Schedule};

/// `v_1 = g_1`, `v_t = (1 - beta) v_{t-1} + beta g_t`, `x -= rate v_t`: the moving average that compositional methods step along.
/// At `beta = 1` it is gradient descent, bit for bit; in between, momentum whose first step is whole and whose rate needs no change
/// when `beta` does.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::energy::GradientAverage;
/// use lisse_optim::{LossOracle, Optimizer};
/// let optimizer = GradientAverage::new(0.1).beta(0.5);
/// let mut x = Array::from_slice(&[1.0f64], &[1]);
/// let mut state = optimizer.init(&x);
/// for _ in 0..100 {
///     optimizer.step(&mut x, &mut state, &mut LossOracle(|x: &Array| x.square().sum_all()));
/// }
/// assert!(x.item().abs() < 1e-6);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientAverage {
    /// Learning rate.
    pub learning_rate: Schedule,
    /// Share of the newest gradient, above 0 and at most 1.
    pub beta: f64,
    /// L2 penalty, whose gradient is averaged with the rest.
    pub weight_decay: f64,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl GradientAverage {
    /// With `beta = 0.1`.
    pub fn new(learning_rate: impl Into<Schedule>) -> GradientAverage {
        GradientAverage {
            learning_rate: learning_rate.into(),
            beta: 0.1,
            weight_decay: 0.0,
            groups: Groups::default(),
        }
    }

    /// Sets the share of the newest gradient.
    #[must_use]
    pub fn beta(self, beta: f64) -> GradientAverage {
        GradientAverage { beta, ..self }
    }
}

impl<P: Tree> Optimizer<P> for GradientAverage {
    fn init(&self, _: &P) -> State<P> {
        State::new()
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let rate = self.learning_rate.at(state.schedule_step());
        let settings = self.groups.settings(params, rate, self.weight_decay);
        let old = state.trees.remove("average").filter(|_| self.beta < 1.0);
        let old = old.as_ref().map(Tree::leaves);
        let (mut xs, mut averages) = (Vec::new(), Vec::new());
        let leaves = params.leaves().into_iter().zip(gradient.leaves()).zip(&settings);
        for (i, ((x, g), leaf)) in leaves.enumerate() {
            if !leaf.trained {
                averages.push(g.clone());
                xs.push(x.clone());
                continue;
            }
            let g = leaf.penalised(x, g);
            let average = match &old {
                Some(old) => (old[i] * (1.0 - self.beta)).add_scaled(self.beta, &g),
                None => g,
            };
            xs.push(x.add_scaled(-leaf.learning_rate, &average));
            averages.push(average);
        }
        state.trees.insert("average".into(), gradient.with_leaves(averages));
        *params = params.with_leaves(xs);
        state.step += 1;
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }
}
