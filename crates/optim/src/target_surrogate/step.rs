//! How far outputs may move between two calls of the oracle.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use super::oracle::TargetOracle;
use super::surrogate::{Penalty, is_binary};
use crate::config::{OutOfRange, fail};
use crate::optimizer::State;

/// The rule for the step `eta_t` in the space of outputs, from the base step `eta`, with `t` counted from 1 and the gradient `g_t`
/// of the sum over examples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TargetStep {
    /// `eta`
    #[default]
    Constant,
    /// `eta / sqrt(t)`
    InverseSqrt,
    /// `eta (1 / T)^((t - 1) / T)`
    Exponential {
        /// `T`, the calls in all.
        total: u64,
    },
    /// The largest of `e, shrink e, shrink^2 e, ...` with `l(z - e g) <= l(z) - decrease e |g|^2`, where `e` is `expand` times the
    /// last step, at first `eta`. Asks the oracle for values only, no model. Steps stay within 1e-4 and 1e4.
    LineSearch {
        /// What the last step is multiplied by.
        #[serde(default = "expand")]
        expand: f64,
        /// What a refused step is multiplied by.
        #[serde(default = "shrink")]
        shrink: f64,
        /// Share of the promised decrease that is enough.
        #[serde(default = "decrease")]
        decrease: f64,
        /// Smoothness of an example's loss in its outputs, if known: no step is below its inverse.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        smoothness: Option<f64>,
    },
    /// `1 / eta_t = sqrt(sum_s |g_s|^2) / eta + 1e-6`
    Adagrad,
    /// A weight for every output of every example: `sqrt(sum_s g_s^2) / eta`, elementwise, the sum within 1e-5 and 1e5. Needs to know
    /// which example each row is.
    DiagonalAdagrad,
    /// Weights `(p (1 - p) + 1e-5) / eta` with `p` the probability that the model gives: the sigmoid of a single output, else
    /// softmax along the last axis.
    OnlineNewton,
    /// Mirror descent on the probabilities: the penalty is `KL(p(f) | p(z)) / eta`, whose minimizer over all probabilities is
    /// `p exp(-eta dl/dp)`, normalised.
    Mirror,
}

fn expand() -> f64 {
    1.8
}
fn shrink() -> f64 {
    0.9
}
fn decrease() -> f64 {
    0.5
}

/// The outputs, and what the oracle said of them.
pub(super) struct Query<'a> {
    pub outputs: &'a Array,
    pub value: f64,
    /// Gradient of the loss as it was given.
    pub gradient: &'a Array,
    /// What turns the loss into a sum over examples.
    pub to_sum: f64,
    /// Steps taken before.
    pub step: u64,
}

/// Which example each row of a batch is, and what is remembered of all examples.
pub struct Examples<'a> {
    /// Index of each row's example.
    pub ids: &'a [usize],
    /// Sum of squared gradients, `[all examples, ...]`.
    pub squares: &'a mut Array,
}

/// Names of the numbers in the optimizer's state.
const LAST_STEP: &str = "target_step";
const SQUARES: &str = "target_squares";
/// Bounds of a searched step.
const LEAST: f64 = 1e-4;
const MOST: f64 = 1e4;
const MOST_TRIALS: usize = 100;

impl TargetStep {
    /// [`LineSearch`](Self::LineSearch) with its usual constants.
    pub fn line_search() -> TargetStep {
        TargetStep::LineSearch {
            expand: expand(),
            shrink: shrink(),
            decrease: decrease(),
            smoothness: None,
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        match *self {
            TargetStep::Exponential { total: 0 } => fail("total", "at least 1"),
            TargetStep::LineSearch { expand, .. } if !(expand >= 1.0 && expand.is_finite()) => {
                fail("expand", "a number of at least 1")
            }
            TargetStep::LineSearch { shrink, .. } if !(shrink > 0.0 && shrink < 1.0) => {
                fail("shrink", "a number between 0 and 1")
            }
            TargetStep::LineSearch { decrease, .. } if !(decrease > 0.0 && decrease < 1.0) => {
                fail("decrease", "a number between 0 and 1")
            }
            TargetStep::LineSearch { smoothness: Some(l), .. } if !(l > 0.0 && l.is_finite()) => {
                fail("smoothness", "a number above 0")
            }
            _ => Ok(()),
        }
    }

    /// The penalty of this step, in the scale of the loss as it was given, and the step it stands for.
    pub(super) fn penalty<P: Tree>(
        &self,
        eta: f64,
        query: &Query<'_>,
        state: &mut State<P>,
        targets: &mut dyn TargetOracle,
        examples: Option<Examples<'_>>,
    ) -> (Penalty, f64) {
        let t = (query.step + 1) as f64;
        let scalar = |eta: f64| (Penalty::Scalar(1.0 / (eta * query.to_sum)), eta);
        let weighted = |weights: Array| {
            let mean = weights.mean_all().item();
            (Penalty::Elementwise(weights / query.to_sum), 1.0 / mean)
        };
        match self {
            TargetStep::Constant => scalar(eta),
            TargetStep::InverseSqrt => scalar(eta / t.sqrt()),
            TargetStep::Exponential { total } => {
                let total = *total as f64;
                scalar(eta * total.powf(-(t - 1.0) / total))
            }
            TargetStep::LineSearch { .. } => {
                let found = self.search(eta, query, state, targets);
                state.numbers.insert(LAST_STEP.into(), found);
                scalar(found)
            }
            TargetStep::Adagrad => {
                let sum = state.numbers.entry(SQUARES.into()).or_insert(0.0);
                *sum += (query.gradient * query.to_sum).square().sum_all().item();
                scalar(1.0 / (sum.sqrt() / eta + 1e-6))
            }
            TargetStep::DiagonalAdagrad => {
                let examples = examples.expect(
                    "diagonal-adagrad: needs to know which example each row is; hand them to Sso::advance or take `adagrad`",
                );
                let squares = (query.gradient * query.to_sum).square();
                weighted(remember(examples, &squares).sqrt() / eta)
            }
            TargetStep::OnlineNewton => {
                let p = if is_binary(query.outputs) {
                    query.outputs.sigmoid()
                } else {
                    query.outputs.softmax(-1)
                };
                weighted((&p * (1.0 - &p) + 1e-5) / eta)
            }
            TargetStep::Mirror => (Penalty::Divergence(1.0 / (eta * query.to_sum)), eta),
        }
    }

    fn search<P>(
        &self,
        eta: f64,
        query: &Query<'_>,
        state: &State<P>,
        targets: &mut dyn TargetOracle,
    ) -> f64 {
        let TargetStep::LineSearch { expand, shrink, decrease, smoothness } = *self else {
            return eta;
        };
        let least = smoothness.map_or(LEAST, |l| (1.0 / l).max(LEAST));
        let mut step = state.numbers.get(LAST_STEP).map_or(eta, |last| last * expand);
        step = step.clamp(least, MOST.max(least));
        let slope = query.gradient.square().sum_all().item();
        for _ in 0..MOST_TRIALS {
            let given = step * query.to_sum;
            let there = targets.value(&query.outputs.add_scaled(-given, query.gradient));
            // Also false for NaN.
            if there <= query.value - decrease * given * slope || step <= least {
                break;
            }
            step = (step * shrink).max(least);
        }
        step
    }
}

/// Adds a batch's squares to what is remembered of its examples; their sums, within bounds.
fn remember(examples: Examples<'_>, squares: &Array) -> Array {
    let ids: Vec<i64> = examples.ids.iter().map(|&i| i as i64).collect();
    let ids = Array::from_vec(ids, &[examples.ids.len()]);
    *examples.squares = examples.squares.index_add(0, &ids, squares);
    examples.squares.index_select(0, &ids).clamp(1e-5, 1e5)
}
