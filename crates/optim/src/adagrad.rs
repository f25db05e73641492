//! AdaGrad, by coordinate and by norm.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Groups, Schedule};

/// AdaGrad (Duchi, Hazan and Singer, 2011): `s += g^2; x -= rate g / (sqrt(s) + eps)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdaGrad {
    /// Learning rate.
    pub learning_rate: Schedule,
    /// What the sums of squares start from.
    pub initial: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl AdaGrad {
    /// Sums start at zero, `eps = 1e-10`.
    pub fn new(learning_rate: impl Into<Schedule>) -> AdaGrad {
        AdaGrad {
            learning_rate: learning_rate.into(),
            initial: 0.0,
            epsilon: 1e-10,
            weight_decay: 0.0,
            groups: Groups::default(),
        }
    }
}

impl<P: Tree> Optimizer<P> for AdaGrad {
    fn init(&self, params: &P) -> State<P> {
        State::new().with("sum", params.map(|leaf| leaf.full_like(self.initial)))
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let rate = self.learning_rate.at(state.schedule_step());
        state.step += 1;
        let settings = self.groups.settings(params, rate, self.weight_decay);
        let sum = state.trees.remove("sum").expect("made by init");
        let (mut new_params, mut new_sums): (Vec<Array>, Vec<Array>) = (Vec::new(), Vec::new());
        let leaves = params.leaves().into_iter().zip(gradient.leaves()).zip(sum.leaves());
        for (((x, g), sum), s) in leaves.zip(&settings) {
            if !s.trained {
                new_params.push(x.clone());
                new_sums.push(sum.clone());
                continue;
            }
            let g = s.penalised(x, g);
            let sum = sum + g.square();
            new_params.push(x.add_scaled(-s.learning_rate, &(g / (sum.sqrt() + self.epsilon))));
            new_sums.push(sum);
        }
        state.trees.insert("sum".into(), sum.with_leaves(new_sums));
        *params = params.with_leaves(new_params);
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }
}

/// AdaGrad-Norm (Ward, Wu and Bottou, 2019): one step size for all coordinates, `b^2 += |g|^2; x -= rate g / b`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdaGradNorm {
    /// Learning rate.
    pub learning_rate: Schedule,
    /// `b` before the first step.
    pub initial: f64,
    /// Settings for parts of the model; weight decay is an L2 penalty.
    pub groups: Groups,
}

impl AdaGradNorm {
    /// Starts from `b = 0.01`.
    pub fn new(learning_rate: impl Into<Schedule>) -> AdaGradNorm {
        AdaGradNorm {
            learning_rate: learning_rate.into(),
            initial: 1e-2,
            groups: Groups::default(),
        }
    }
}

impl<P: Tree> Optimizer<P> for AdaGradNorm {
    fn init(&self, _: &P) -> State<P> {
        let mut state = State::new();
        state.numbers.insert("sum".into(), self.initial * self.initial);
        state
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let rate = self.learning_rate.at(state.schedule_step());
        state.step += 1;
        let settings = self.groups.settings(params, rate, 0.0);
        // What is trained, with its penalty: the norm is that of the steps' directions.
        let penalised: Vec<Option<Array>> = params
            .leaves()
            .into_iter()
            .zip(gradient.leaves())
            .zip(&settings)
            .map(|((x, g), s)| s.trained.then(|| s.penalised(x, g)))
            .collect();
        let norm =
            penalised.iter().flatten().map(|g| g.square().sum_all().item()).sum::<f64>().sqrt();
        let sum = state.numbers.entry("sum".into()).or_insert(self.initial * self.initial);
        *sum += norm * norm;
        let b = sum.sqrt();
        let leaves = params.leaves().into_iter().zip(&penalised).zip(&settings);
        let new: Vec<Array> = leaves
            .map(|((x, g), s)| match g {
                Some(g) if b > 0.0 => x.add_scaled(-s.learning_rate / b, g),
                _ => x.clone(),
            })
            .collect();
        *params = params.with_leaves(new);
        StepInfo { loss, learning_rate: rate, metrics: vec![("gradient_norm", norm)] }
    }
}
