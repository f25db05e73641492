//! The function that is minimized between two calls of the oracle.

use lisse_array::{Array, grad, hvp};

/// What keeps the outputs near those at which the oracle was asked.
#[derive(Clone, Debug)]
pub enum Penalty {
    /// `w / 2 |f - z|^2` with `w = 1 / eta`.
    Scalar(f64),
    /// `1/2 sum_i w_i (f_i - z_i)^2`, weights shaped like the outputs.
    Elementwise(Array),
    /// `w KL(p(f) | p(z))` summed over the rows, where `p` is softmax along the last axis, or the sigmoid of a single output.
    Divergence(f64),
}

/// A model of the loss `l` around the outputs `z`:
/// `q(f) = l(z) + <g, f - z> + penalty(f, z)`, with `g` the gradient of `l` at `z`.
///
/// With the divergence the linear term is in probabilities: `<dl/dp, p(f) - p(z)>`. Where the penalty is at least the curvature of
/// `l`, `q` lies above the loss everywhere.
#[derive(Clone, Debug)]
pub struct Surrogate {
    /// Outputs at which the oracle was asked, `[examples, ...]`.
    pub outputs: Array,
    /// Loss there.
    pub value: f64,
    /// Gradient there.
    pub gradient: Array,
    /// What keeps `f` near.
    pub penalty: Penalty,
}

impl Surrogate {
    /// `q(f) - l(z)`, differentiable in `f`. Without the constant, so that small decreases do not drown in rounding.
    pub fn change(&self, f: &Array) -> Array {
        match &self.penalty {
            Penalty::Scalar(weight) => {
                let d = f - &self.outputs;
                (&d * (&self.gradient + &d * (0.5 * weight))).sum_all()
            }
            Penalty::Elementwise(weights) => {
                let d = f - &self.outputs;
                (&d * (&self.gradient + &d * weights * 0.5)).sum_all()
            }
            Penalty::Divergence(weight) => self.divergence_change(f, *weight),
        }
    }

    /// `<dl/dp, p(f) - p(z)> + w KL(p(f) | p(z))`, with `dl/dp = (dl/dz) / p` up to a constant of each row, which drops out.
    fn divergence_change(&self, f: &Array, weight: f64) -> Array {
        let (logits, before, gradient) = if is_binary(&self.outputs) {
            let pair =
                |a: &Array, b: &Array| Array::stack(&[&a.reshape(&[-1]), &b.reshape(&[-1])], -1);
            let zeros = self.outputs.zeros_like();
            (pair(f, &zeros), pair(&self.outputs, &zeros), pair(&self.gradient, &-&self.gradient))
        } else {
            (f.clone(), self.outputs.clone(), self.gradient.clone())
        };
        let log_p = logits.log_softmax(-1);
        let log_ratio = &log_p - before.log_softmax(-1);
        (gradient * log_ratio.expm1() + log_p.exp() * log_ratio * weight).sum_all()
    }

    /// `dq/df`.
    pub fn gradient_at(&self, f: &Array) -> Array {
        match &self.penalty {
            Penalty::Scalar(weight) => self.gradient.add_scaled(*weight, &(f - &self.outputs)),
            Penalty::Elementwise(weights) => &self.gradient + (f - &self.outputs) * weights,
            Penalty::Divergence(_) => grad(|f: &Array| self.change(f))(f),
        }
    }

    /// `d2q/df2` times `v`.
    pub fn curvature(&self, f: &Array, v: &Array) -> Array {
        match &self.penalty {
            Penalty::Scalar(weight) => v * *weight,
            Penalty::Elementwise(weights) => v * weights,
            Penalty::Divergence(_) => hvp(|f: &Array| self.change(f), f, v),
        }
    }

    /// Weights of the squares, shaped like the outputs; none for a divergence.
    pub(super) fn weights(&self) -> Option<Array> {
        match &self.penalty {
            Penalty::Scalar(weight) => Some(self.outputs.full_like(*weight)),
            Penalty::Elementwise(weights) => Some(weights.clone()),
            Penalty::Divergence(_) => None,
        }
    }
}

/// Whether each example has one output, the logit of a yes.
pub(super) fn is_binary(outputs: &Array) -> bool {
    outputs.rank() < 2 || outputs.dim(-1) == 1
}
