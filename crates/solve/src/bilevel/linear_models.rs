//! Problems on linear models with closed forms: one pass over a batch gives value, gradient and both products. They equal the same
//! functions given to [`Closures`](super::Closures), and are what the recipes and benchmarks run.

mod binary;
mod softmax;

pub use binary::{BinaryCleaning, RidgeLogistic};
pub use softmax::SoftmaxCleaning;

use super::{Batch, BilevelError, Rows};

/// A matrix of examples in rows and their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Examples {
    /// `[n, d]` row by row.
    pub inputs: Vec<f64>,
    /// `[n]`: -1 or 1 for two classes, else 0 to `classes - 1`.
    pub labels: Vec<f64>,
    /// `d`
    pub width: usize,
}

impl Examples {
    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// No examples, lengths that do not fit, NaN.
    pub fn new(inputs: Vec<f64>, labels: Vec<f64>, width: usize) -> Result<Examples, BilevelError> {
        let expected = labels.len() * width;
        if inputs.len() != expected {
            let (what, found) = ("the matrix of examples", inputs.len());
            return Err(BilevelError::Length { what, found, expected });
        }
        if labels.is_empty() || width == 0 {
            let reason = "there are no examples or no features".to_owned();
            return Err(BilevelError::Empty { what: "the data set", reason });
        }
        super::vector::check_finite("the matrix of examples", &inputs, "; clean the data")?;
        super::vector::check_finite("the labels", &labels, "; clean the data")?;
        Ok(Examples { inputs, labels, width })
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none; never true for a checked set.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.inputs[i * self.width..(i + 1) * self.width]
    }

    fn check_binary(&self) -> Result<(), BilevelError> {
        match self.labels.iter().find(|l| **l != 1.0 && **l != -1.0) {
            Some(&value) => {
                Err(BilevelError::Number { what: "a label", value, expected: "-1 or 1" })
            }
            None => Ok(()),
        }
    }
}

/// Calls `f` for each row of a batch; returns their number.
pub(crate) fn each_row(batch: &Batch, examples: usize, mut f: impl FnMut(usize)) -> usize {
    match &batch.rows {
        Rows::All => {
            (0..examples).for_each(f);
            examples
        }
        Rows::Block(range) => {
            range.clone().for_each(&mut f);
            range.len()
        }
        Rows::Listed(list) => {
            list.iter().copied().for_each(&mut f);
            list.len()
        }
    }
}

pub(crate) fn sigmoid(t: f64) -> f64 {
    1.0 / (1.0 + (-t).exp())
}

/// `ln(1 + e^-m)` and `sigmoid(-m)` with one exponential.
pub(crate) fn logistic(m: f64) -> (f64, f64) {
    let e = (-m.abs()).exp();
    let loss = e.ln_1p() + (-m).max(0.0);
    let slope = if m >= 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) };
    (loss, slope)
}

/// A sum of logistic losses with one logarithm for many terms: `sum ln(1 + e_i) = ln prod (1 + e_i)`, every factor at most 2.
pub(crate) struct LossSum {
    sum: f64,
    product: f64,
    factors: u32,
}

impl LossSum {
    pub(crate) fn new() -> LossSum {
        LossSum { sum: 0.0, product: 1.0, factors: 0 }
    }

    /// Adds `ln(1 + e^-m)` and returns `sigmoid(-m)`.
    pub(crate) fn add(&mut self, m: f64) -> f64 {
        let e = (-m.abs()).exp();
        self.sum += (-m).max(0.0);
        self.product *= 1.0 + e;
        self.factors += 1;
        if self.factors == 512 {
            (self.sum, self.product, self.factors) = (self.value(), 1.0, 0);
        }
        let share = 1.0 / (1.0 + e);
        if m >= 0.0 { e * share } else { share }
    }

    pub(crate) fn value(&self) -> f64 {
        self.sum + self.product.ln()
    }
}
