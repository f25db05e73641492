//! Who answers for the loss of outputs, and what it was asked.

use std::time::Instant;

use lisse_array::{Array, value_and_grad};

/// The expensive half of a problem `l(f(params))`: the loss of the outputs of one batch. A simulator, an expert, a label.
pub trait TargetOracle {
    /// The loss and its gradient at `outputs`, `[examples, ...]`: one expensive call.
    fn value_and_grad(&mut self, outputs: &Array) -> (f64, Array);

    /// The loss at other outputs of the same batch, from what the last call has told: what a line search in the space of outputs
    /// asks for.
    fn value(&mut self, outputs: &Array) -> f64;
}

/// The target oracle of a differentiable loss.
pub struct LossTargets<F>(
    /// The loss of outputs; must return one float.
    pub F,
);

impl<F: Fn(&Array) -> Array> TargetOracle for LossTargets<F> {
    fn value_and_grad(&mut self, outputs: &Array) -> (f64, Array) {
        let (value, gradient) = value_and_grad(&self.0)(outputs);
        (value.item(), gradient)
    }

    fn value(&mut self, outputs: &Array) -> f64 {
        (self.0)(outputs).item()
    }
}

/// Counts what passes to an oracle.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::target_surrogate::{Counted, LossTargets, TargetOracle};
/// let mut expert = LossTargets(|z: &Array| z.square().sum_all());
/// let mut counted = Counted::new(&mut expert);
/// counted.value_and_grad(&Array::from_slice(&[1.0f64, 2.0], &[2]));
/// counted.value(&Array::from_slice(&[0.5f64, 1.0], &[2]));
/// assert_eq!((counted.calls, counted.trials), (1, 1));
/// ```
pub struct Counted<'a> {
    inner: &'a mut dyn TargetOracle,
    /// Expensive calls.
    pub calls: u64,
    /// Values at other outputs of the same batch.
    pub trials: u64,
    /// Time spent in both.
    pub seconds: f64,
}

impl<'a> Counted<'a> {
    /// Nothing asked yet.
    pub fn new(inner: &'a mut dyn TargetOracle) -> Counted<'a> {
        Counted { inner, calls: 0, trials: 0, seconds: 0.0 }
    }

    fn timed<T>(&mut self, ask: impl FnOnce(&mut dyn TargetOracle) -> T) -> T {
        let clock = Instant::now();
        let answer = ask(self.inner);
        self.seconds += clock.elapsed().as_secs_f64();
        answer
    }
}

impl TargetOracle for Counted<'_> {
    fn value_and_grad(&mut self, outputs: &Array) -> (f64, Array) {
        self.calls += 1;
        self.timed(|oracle| oracle.value_and_grad(outputs))
    }

    fn value(&mut self, outputs: &Array) -> f64 {
        self.trials += 1;
        self.timed(|oracle| oracle.value(outputs))
    }
}
