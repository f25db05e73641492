//! Logistic regression.

use std::sync::{Mutex, PoisonError};

use lisse_array::Array;

use super::rows::Rows;
use super::{ProblemError, check_matrix, check_number, check_vector};
use crate::gradient_normalized::{Approximation, Curvature, CurvedProblem};

/// `f(w) = mean_i ln(1 + exp(-m_i)) + l2 |w|^2 / 2` with margins `m_i = y_i <a_i, w>`, labels `y_i` of -1 and 1.
///
/// With `s_i = sigmoid(-m_i)` the Hessian weighs the rows by `s_i (1 - s_i)`, the empirical Fisher matrix by `s_i^2`; they differ by at most the
/// loss itself, so that Fisher is as good as exact where the loss goes to 0 and slow where it does not. The penalty's Hessian is always exact.
/// For an intercept give a column of ones. Inputs of mostly zeros are kept by their other entries.
#[derive(Debug)]
pub struct Logistic {
    /// `y_i a_i`
    signed: Rows,
    l2: f64,
    /// The last point and its `s`: the matrix is asked for where the gradient was.
    last: Mutex<Option<(Array, Array)>>,
}

impl Logistic {
    /// From inputs `[n, d]` and labels `[n]` of -1 and 1.
    ///
    /// # Errors
    /// If shapes do not fit, an entry is not finite, a label is another number or `l2` is negative.
    pub fn new(inputs: &Array, labels: &Array, l2: f64) -> Result<Logistic, ProblemError> {
        check_matrix("the inputs", inputs)?;
        check_vector("the labels", labels, inputs.dim(0))?;
        check_number("l2", l2, l2 >= 0.0, "a number of at least 0")?;
        if let Some(&value) = labels.to_f64_vec().iter().find(|y| y.abs() != 1.0) {
            return Err(ProblemError::Number { what: "a label", value, expected: "-1 or 1" });
        }
        let signed = inputs * labels.cast(inputs.dtype()).unsqueeze(1);
        Ok(Logistic { signed: Rows::new(signed), l2, last: Mutex::new(None) })
    }

    fn misfits(&self, w: &Array) -> (Array, Array) {
        let against = -self.signed.times(w);
        let s = against.sigmoid();
        let kept = Some((w.clone(), s.clone()));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        (against, s)
    }

    /// `s` at `w`, from the last evaluation where it was there.
    fn slopes(&self, w: &Array) -> Array {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match last {
            Some((at, s)) if at.to_f64_vec() == w.to_f64_vec() => s,
            _ => self.misfits(w).1,
        }
    }

    fn penalty(&self, w: &Array) -> f64 {
        if self.l2 == 0.0 { 0.0 } else { 0.5 * self.l2 * w.square().sum_all().item() }
    }

    fn loss(&self, against: &Array, w: &Array) -> f64 {
        against.softplus().mean_all().item() + self.penalty(w)
    }
}

impl CurvedProblem for Logistic {
    fn dim(&self) -> usize {
        self.signed.width()
    }
    fn value(&self, w: &Array) -> f64 {
        self.loss(&-self.signed.times(w), w)
    }
    fn value_and_grad(&self, w: &Array) -> (f64, Array) {
        let (against, s) = self.misfits(w);
        let count = self.signed.count() as f64;
        let gradient = self.signed.sum(&s) * (-1.0 / count);
        (self.loss(&against, w), gradient.add_scaled(self.l2, w))
    }
    fn approximations(&self) -> &'static [Approximation] {
        &[Approximation::Exact, Approximation::GaussNewton, Approximation::Fisher]
    }
    fn curvature(&self, w: &Array, approximation: Approximation) -> Option<Curvature<'_>> {
        let s = self.slopes(w);
        let weights = match approximation {
            // The outputs are linear in the weights: Gauss-Newton leaves nothing out.
            Approximation::Exact | Approximation::GaussNewton => &s * (1.0 - &s),
            Approximation::Fisher => s.square(),
            _ => return None,
        };
        let weights = weights * (1.0 / self.signed.count() as f64);
        Some(self.signed.curvature(weights, self.l2))
    }
}
