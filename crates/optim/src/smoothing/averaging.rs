//! Averages of the iterates.

use lisse_array::Tree;
use serde::{Deserialize, Serialize};

use crate::config::{OutOfRange, fail};
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};

/// Name of the average in the optimizer's state.
const AVERAGE: &str = "weight_average";
/// Name of the number of snapshots in it.
const SNAPSHOTS: &str = "weight_average_snapshots";

/// Weight averaging around any optimizer: the solution is an average of iterates, the steps are the inner optimizer's own.
///
/// After steps `start`, and every `every`-th step from there on that is a multiple of `every`, the iterate joins the average:
/// `a <- a + w_n (x - a)` at the `n`-th snapshot, with
///
/// - `w_n = 1 / n`, the plain mean (stochastic weight averaging; Izmailov et al., UAI 2018)
/// - `w_n = (1 - d) / (1 - d^n)`, the bias-corrected exponential average of decay `d`, if one is given (EMA)
///
/// [`Optimizer::averaged`] gives the average, and before the first snapshot what the inner optimizer gives. Buffers are those of the
/// latest snapshot: the statistics of batch normalisation belong to that iterate, not to the average, and should be estimated anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Averaged<O> {
    /// First step, counted from 1, that may join.
    pub start: u64,
    /// Only steps that are multiples of this join.
    pub every: u64,
    /// `d` in `[0, 1)`; the plain mean if `None`.
    pub decay: Option<f64>,
    /// The optimizer.
    pub inner: O,
}

impl<O> Averaged<O> {
    /// The plain mean of the iterates after steps `start`, and every `every` from there (100 and 5 of 125 steps in the paper).
    pub fn equally(start: u64, every: u64, inner: O) -> Averaged<O> {
        Averaged { start, every, decay: None, inner }
    }

    /// The exponential average over all steps.
    pub fn exponentially(decay: f64, inner: O) -> Averaged<O> {
        Averaged { start: 1, every: 1, decay: Some(decay), inner }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        if self.every == 0 {
            return fail("every", "at least 1");
        }
        if !self.decay.is_none_or(|d| (0.0..1.0).contains(&d)) {
            return fail("decay", "a number from 0 to below 1, or nothing for the plain mean");
        }
        Ok(())
    }

    /// Whether any of `steps` steps joins the average.
    pub fn has_snapshot_within(&self, steps: u64) -> bool {
        self.start.max(1).checked_next_multiple_of(self.every).is_some_and(|first| first <= steps)
    }

    fn weight(&self, snapshots: f64) -> f64 {
        self.decay.map_or(1.0 / snapshots, |d| (1.0 - d) / (1.0 - d.powf(snapshots)))
    }

    fn take_in<P: Tree>(&self, params: &P, state: &mut State<P>) {
        let snapshots = state.numbers.get(SNAPSHOTS).copied().unwrap_or(0.0) + 1.0;
        let weight = self.weight(snapshots);
        let average = match state.trees.remove(AVERAGE) {
            // The first snapshot, or an average that forgets all but the last: the iterate itself, bit for bit.
            Some(average) if weight < 1.0 => blend(&average, params, weight),
            _ => params.clone(),
        };
        state.trees.insert(AVERAGE.into(), average);
        state.numbers.insert(SNAPSHOTS.into(), snapshots);
    }
}

/// `average + weight (x - average)`; buffers and integers of `x`.
fn blend<P: Tree>(average: &P, x: &P, weight: f64) -> P {
    let trainable = x.trainable();
    let mut trainable = trainable.into_iter();
    average.zip_map(x, |average, x| {
        if trainable.next() == Some(true) {
            average.add_scaled(weight, &(x - average))
        } else {
            x.clone()
        }
    })
}

impl<P: Tree, O: Optimizer<P>> Optimizer<P> for Averaged<O> {
    fn init(&self, params: &P) -> State<P> {
        self.inner.init(params)
    }
    fn batch_size(&self, state: &State<P>) -> Option<usize> {
        self.inner.batch_size(state)
    }
    fn averaged(&self, params: &P, state: &State<P>) -> Option<P> {
        let average = state.trees.get(AVERAGE).cloned();
        average.or_else(|| self.inner.averaged(params, state))
    }
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let info = self.inner.step(params, state, oracle);
        if state.step >= self.start && state.step.is_multiple_of(self.every) {
            self.take_in(params, state);
        }
        info
    }
}
