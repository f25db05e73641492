//! Schedule-free SGD.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::config::{OutOfRange, fail};
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Groups, Schedule};

const BASE: &str = "schedule_free_z";
const AVERAGE: &str = "schedule_free_x";
const WEIGHTS: &str = "schedule_free_weights";

/// SGD that averages online and needs no horizon:
///
/// `z <- z - gamma grad f(y)`, `x <- (1 - c) x + c z`, `y <- (1 - b) z + b x`, with `c = 1 / (t + 1)` after step `t`.
///
/// The parameters in training are `y`, where gradients are taken; [`Optimizer::averaged`] gives `x`, which is what to judge and use. With a
/// warm-up the average weighs `z` by `gamma^2`, which for a constant `gamma` is the same `c`. `b = 0` is SGD with its uniform average.
///
/// Reference: Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The Road Less Scheduled", NeurIPS 2024.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::mirror::ScheduleFree;
/// use lisse_optim::{LossOracle, Optimizer};
/// let optimizer = ScheduleFree::new(0.5);
/// let mut y = Array::from_slice(&[3.0f64, -2.0], &[2]);
/// let mut state = optimizer.init(&y);
/// let mut oracle = LossOracle(|x: &Array| x.abs().sum_all());
/// for _ in 0..400 {
///     optimizer.step(&mut y, &mut state, &mut oracle);
/// }
/// let x = optimizer.averaged(&y, &state).unwrap();
/// assert!(x.abs().sum_all().item() < 0.1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleFree {
    /// `gamma`: a constant, or a warm-up to one.
    pub learning_rate: Schedule,
    /// `b`: how near to the average gradients are taken.
    pub momentum: f64,
    /// L2 penalty, at `y`.
    pub weight_decay: f64,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl ScheduleFree {
    /// With the paper's `b = 0.9`.
    pub fn new(learning_rate: impl Into<Schedule>) -> ScheduleFree {
        ScheduleFree {
            learning_rate: learning_rate.into(),
            momentum: 0.9,
            weight_decay: 0.0,
            groups: Groups::default(),
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        if !(0.0..=1.0).contains(&self.momentum) {
            return fail("momentum", "a number from 0 to 1");
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return fail("weight_decay", "a number of at least 0");
        }
        Ok(())
    }

    /// `c`, and the sum of weights after this step. The start counts as much as the first step.
    fn share(rate: f64, before: Option<f64>) -> (f64, f64) {
        let weight = rate * rate;
        let sum = before.unwrap_or(weight) + weight;
        (if sum > 0.0 { weight / sum } else { 0.0 }, sum)
    }
}

impl<P: Tree> Optimizer<P> for ScheduleFree {
    fn init(&self, params: &P) -> State<P> {
        State::new().with(BASE, params.clone()).with(AVERAGE, params.clone())
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let rate = self.learning_rate.at(state.schedule_step());
        let (c, sum) = ScheduleFree::share(rate, state.numbers.get(WEIGHTS).copied());
        let settings = self.groups.settings(params, rate, self.weight_decay);
        let take = |state: &mut State<P>, name: &str| {
            state.trees.remove(name).unwrap_or_else(|| params.clone())
        };
        let (z_tree, x_tree) = (take(state, BASE), take(state, AVERAGE));
        let y = params.leaves();
        let (mut new_y, mut new_z, mut new_x) = (Vec::new(), Vec::new(), Vec::new());
        let olds = z_tree.leaves().into_iter().zip(x_tree.leaves());
        for (((y, g), s), (z, x)) in y.into_iter().zip(gradient.leaves()).zip(&settings).zip(olds) {
            if s.trained {
                let z = z.add_scaled(-s.learning_rate, &s.penalised(y, g));
                let x = x.add_scaled(c, &(&z - x));
                new_y.push(z.add_scaled(self.momentum, &(&x - &z)));
                new_z.push(z);
                new_x.push(x);
            } else {
                // Buffers follow the model.
                for list in [&mut new_y, &mut new_z, &mut new_x] {
                    list.push(Array::clone(y));
                }
            }
        }
        *params = params.with_leaves(new_y);
        state.trees.insert(BASE.into(), z_tree.with_leaves(new_z));
        state.trees.insert(AVERAGE.into(), x_tree.with_leaves(new_x));
        state.numbers.insert(WEIGHTS.into(), sum);
        state.step += 1;
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }

    fn averaged(&self, params: &P, state: &State<P>) -> Option<P> {
        let average = state.trees.get(AVERAGE)?;
        let trainable = params.trainable();
        let mut trained = trainable.into_iter();
        Some(params.zip_map(average, |y, x| {
            if trained.next() == Some(true) { x.clone() } else { y.clone() }
        }))
    }
}
