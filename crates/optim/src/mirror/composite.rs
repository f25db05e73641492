//! Proximal steps for the parameters of a model.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use super::prox::{not_negative, positive, shrink_spectrum};
use crate::config::OutOfRange;
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Groups, Schedule};

/// `h` on the trained parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Penalty {
    /// `h = 0`.
    #[default]
    None,
    /// `weight ||x||_1`.
    L1 {
        /// At least 0.
        weight: f64,
    },
    /// `(weight / 2) ||x||_2^2`: weight decay as a proximal step.
    SquaredL2 {
        /// At least 0.
        weight: f64,
    },
    /// `l1 ||x||_1 + (l2 / 2) ||x||_2^2`.
    ElasticNet {
        /// Weight of the l1 norm, at least 0.
        l1: f64,
        /// Weight of the squared norm, at least 0.
        l2: f64,
    },
    /// `weight` times the sum of the norms of the rows (first axis: outputs, filters) of every array with two axes or more: switches whole
    /// units off.
    Rows {
        /// Above 0.
        weight: f64,
    },
    /// `weight` times the sum of the singular values of every array with two axes or more, as a matrix with its first axis as rows: lowers
    /// ranks. One decomposition per array and step.
    Nuclear {
        /// Above 0.
        weight: f64,
    },
}

/// `X` for the trained parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Constraint {
    /// Everywhere.
    #[default]
    None,
    /// Every entry between two numbers.
    Box {
        /// Least value.
        low: f64,
        /// Greatest value.
        high: f64,
    },
    /// Norm of all trained parameters together at most `radius`.
    Ball {
        /// Above 0.
        radius: f64,
    },
}

/// Composite stochastic mirror descent in the Euclidean geometry for models:
/// `x <- P_X(prox_{eta h}(x - eta g))`, which is the exact composite step for the pairs that [`validate`](Self::validate) lets through. Without
/// penalty and constraint it is [`Sgd`](crate::Sgd), bit for bit.
///
/// A group with its own learning rate has that in its proximal step too; `weight_decay` of a group is an L2 penalty in the gradient.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::mirror::{Penalty, ProximalSgd};
/// use lisse_optim::{LossOracle, Optimizer};
/// let optimizer = ProximalSgd { penalty: Penalty::L1 { weight: 0.5 }, ..ProximalSgd::new(0.1) };
/// let mut x = Array::from_slice(&[1.0f64, 1.0], &[2]);
/// let mut state = optimizer.init(&x);
/// // |x - (3, 0.2)|^2 / 2 + 0.5 |x|_1 is least at (2.5, 0).
/// let target = Array::from_slice(&[3.0f64, 0.2], &[2]);
/// let mut oracle = LossOracle(|x: &Array| (x - &target).square().sum_all() * 0.5);
/// for _ in 0..300 {
///     optimizer.step(&mut x, &mut state, &mut oracle);
/// }
/// let x = x.to_vec::<f64>();
/// assert!((x[0] - 2.5).abs() < 1e-9 && x[1] == 0.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProximalSgd {
    /// `eta`; [`Schedule::LastIterate`] has the step sizes with guarantees.
    pub learning_rate: Schedule,
    /// `h`.
    pub penalty: Penalty,
    /// `X`.
    pub constraint: Constraint,
    /// Settings for parts of the model.
    pub groups: Groups,
}

impl ProximalSgd {
    /// Gradient steps, without penalty or constraint.
    pub fn new(learning_rate: impl Into<Schedule>) -> ProximalSgd {
        ProximalSgd {
            learning_rate: learning_rate.into(),
            penalty: Penalty::None,
            constraint: Constraint::None,
            groups: Groups::default(),
        }
    }

    /// Checks every number, and that the step is exact.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let check = |good: bool, key: &str, expected| {
            good.then_some(()).ok_or_else(|| OutOfRange { key: key.into(), expected })
        };
        match self.penalty {
            Penalty::None => {}
            Penalty::L1 { weight } | Penalty::SquaredL2 { weight } => {
                check(not_negative(weight), "penalty.weight", "a number of at least 0")?;
            }
            Penalty::ElasticNet { l1, l2 } => {
                check(not_negative(l1), "penalty.l1", "a number of at least 0")?;
                check(not_negative(l2), "penalty.l2", "a number of at least 0")?;
            }
            Penalty::Rows { weight } | Penalty::Nuclear { weight } => {
                check(positive(weight), "penalty.weight", "a number above 0")?;
            }
        }
        match self.constraint {
            Constraint::None => Ok(()),
            Constraint::Box { low, high } => {
                let separable =
                    !matches!(self.penalty, Penalty::Rows { .. } | Penalty::Nuclear { .. });
                let expected = "none or a ball: penalties on rows or singular values have no exact step in a box";
                check(separable, "constraint", expected)?;
                check(low <= high, "constraint.high", "a number of at least `low`")
            }
            Constraint::Ball { radius } => {
                check(positive(radius), "constraint.radius", "a number above 0")?;
                let one_rate = self
                    .groups
                    .0
                    .iter()
                    .all(|g| g.learning_rate_scale == 0.0 || g.learning_rate_scale == 1.0);
                let expected =
                    "none or a box: with several learning rates the step in a ball is not exact";
                check(one_rate, "constraint", expected)
            }
        }
    }

    /// `prox_{rate h}(v)` of one array.
    fn proximal(&self, v: Array, rate: f64) -> Array {
        let soft = |v: &Array, by: f64| v - v.clamp(-by, by);
        match self.penalty {
            Penalty::None => v,
            Penalty::L1 { weight } => soft(&v, rate * weight),
            Penalty::SquaredL2 { weight } => v / (1.0 + rate * weight),
            Penalty::ElasticNet { l1, l2 } => soft(&v, rate * l1) / (1.0 + rate * l2),
            Penalty::Rows { weight } | Penalty::Nuclear { weight }
                if v.rank() < 2 || v.is_empty() || rate * weight == 0.0 =>
            {
                v
            }
            Penalty::Rows { weight } => {
                let shape: Vec<isize> = v.shape().iter().map(|&n| n as isize).collect();
                let rows = v.reshape(&[shape[0], -1]);
                let norms = rows.square().sum_keep(&[1]).sqrt();
                // A row at 0 has factor relu(1 - inf) = 0.
                let factor = (1.0 - rate * weight / norms).relu();
                (rows * factor).reshape(&shape)
            }
            Penalty::Nuclear { weight } => {
                let shape: Vec<isize> = v.shape().iter().map(|&n| n as isize).collect();
                shrink_spectrum(&v.reshape(&[shape[0], -1]), rate * weight).reshape(&shape)
            }
        }
    }
}

impl<P: Tree> Optimizer<P> for ProximalSgd {
    fn init(&self, _: &P) -> State<P> {
        State::new()
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let rate = self.learning_rate.at(state.schedule_step());
        let settings = self.groups.settings(params, rate, 0.0);
        let mut leaves = params.take_leaves();
        for ((x, g), s) in leaves.iter_mut().zip(gradient.leaves()).zip(&settings) {
            if !s.trained {
                continue;
            }
            let v = x.add_scaled(-s.learning_rate, &s.penalised(x, g));
            let next = self.proximal(v, s.learning_rate);
            *x = match self.constraint {
                Constraint::Box { low, high } => next.clamp(low, high),
                _ => next,
            };
        }
        if let Constraint::Ball { radius } = self.constraint {
            let trained = || leaves.iter().zip(&settings).filter(|(_, s)| s.trained);
            let square: f64 = trained().map(|(x, _)| x.square().sum_all().item()).sum();
            if square.sqrt() > radius {
                let factor = radius / square.sqrt();
                for (x, _) in leaves.iter_mut().zip(&settings).filter(|(_, s)| s.trained) {
                    *x = &*x * factor;
                }
            }
        }
        *params = params.with_leaves(leaves);
        state.step += 1;
        StepInfo { loss, learning_rate: rate, metrics: Vec::new() }
    }
}
