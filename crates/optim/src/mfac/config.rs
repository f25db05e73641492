//! M-FAC in recipes.

use serde::{Deserialize, Serialize};

use super::{Mfac, Product};
use crate::config::{OutOfRange, fail};
use crate::{Groups, Schedule};

/// [`Mfac`] as a recipe names it: `optimizer = { name = "mfac", learning_rate = 1e-3, window = 128, damping = 1e-4 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MfacConfig {
    /// Learning rate.
    #[serde(default = "learning_rate")]
    pub learning_rate: f64,
    /// Gradients in the window.
    #[serde(default = "window")]
    pub window: usize,
    /// `lambda`.
    #[serde(default = "damping")]
    pub damping: f64,
    /// Share of the last direction that is kept.
    #[serde(default)]
    pub momentum: f64,
    /// L2 penalty, or decay past the window if `decoupled`.
    #[serde(default)]
    pub weight_decay: f64,
    /// Whether the weight decay bypasses the window.
    #[serde(default)]
    pub decoupled: bool,
    /// Whether only gradients that are there count while the window fills.
    #[serde(default)]
    pub effective_window: bool,
    /// Whether parameters that are exactly zero at first stay so.
    #[serde(default)]
    pub sparse: bool,
    /// Longest direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_step: Option<f64>,
    /// `push-through` or `recursive`.
    #[serde(default)]
    pub product: Product,
}

fn learning_rate() -> f64 {
    1e-3
}
fn window() -> usize {
    1024
}
fn damping() -> f64 {
    1e-5
}

impl MfacConfig {
    /// Checks what only this rule has; learning rate and weight decay are checked with those of all rules.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        if !(self.damping > 0.0 && self.damping.is_finite()) {
            return fail("damping", "a number above 0: without damping the inverse does not exist");
        }
        if self.window == 0 {
            return fail("window", "at least 1 gradient");
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return fail("momentum", "a number from 0 to below 1");
        }
        if self.largest_step.is_some_and(|bound| !(bound > 0.0 && bound.is_finite())) {
            return fail("largest_step", "a number above 0");
        }
        Ok(())
    }

    /// Checks that a training of `steps` steps fills the window.
    ///
    /// # Errors
    /// What is wrong, if it does not.
    pub fn fits(&self, steps: u64) -> Result<(), String> {
        if self.window as u64 <= steps {
            return Ok(());
        }
        Err(format!(
            "window: {} gradients do not come in the {steps} steps of this training; take {steps} at most, or train longer",
            self.window
        ))
    }

    /// The optimizer.
    pub fn build(&self, learning_rate: Schedule, groups: Groups) -> Mfac {
        Mfac {
            learning_rate,
            window: self.window,
            damping: self.damping,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            decoupled: self.decoupled,
            effective_window: self.effective_window,
            sparse: self.sparse,
            largest_step: self.largest_step,
            product: self.product,
            groups,
        }
    }
}
