//! Gradient clipping around any optimizer.

use lisse_array::Tree;
use serde::{Deserialize, Serialize};

use crate::optimizer::{Optimizer, Oracle, State, StepInfo};

/// How gradients are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clip {
    /// Scales the whole gradient so that its global Euclidean norm is at most this.
    Norm(f64),
    /// Bounds each entry to `[-c, c]`.
    Value(f64),
}

impl Clip {
    /// The clipped gradient and its norm before.
    pub fn apply<P: Tree>(self, gradient: &P) -> (P, f64) {
        let norm = gradient.norm();
        let clipped = match self {
            // A gradient that is not finite stays so: it must be seen, not hidden.
            Clip::Norm(bound) if norm > bound => gradient.scale(bound / norm),
            Clip::Norm(_) => gradient.clone(),
            Clip::Value(bound) => gradient.map_named(|path, leaf| {
                if leaf.dtype().is_float() && !path.is_buffer() {
                    leaf.clamp(-bound, bound)
                } else {
                    leaf.clone()
                }
            }),
        };
        (clipped, norm)
    }
}

/// An optimizer that sees clipped gradients.
#[derive(Clone, Debug)]
pub struct Clipped<O> {
    /// The bound.
    pub clip: Clip,
    /// The optimizer.
    pub inner: O,
}

struct ClippedOracle<'a, P> {
    clip: Clip,
    inner: &'a mut dyn Oracle<P>,
    norm: f64,
}

impl<P: Tree> Oracle<P> for ClippedOracle<'_, P> {
    fn value_and_grad(&mut self, params: &P) -> (f64, P) {
        let (value, gradient) = self.inner.value_and_grad(params);
        let (gradient, norm) = self.clip.apply(&gradient);
        self.norm = norm;
        (value, gradient)
    }
    fn value(&mut self, params: &P) -> f64 {
        self.inner.value(params)
    }
    fn hvp(&mut self, params: &P, v: &P) -> P {
        self.inner.hvp(params, v)
    }
    fn per_example_grads(&mut self, params: &P) -> Option<P> {
        self.inner.per_example_grads(params)
    }
}

impl<P: Tree, O: Optimizer<P>> Optimizer<P> for Clipped<O> {
    fn init(&self, params: &P) -> State<P> {
        self.inner.init(params)
    }
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let mut clipped = ClippedOracle { clip: self.clip, inner: oracle, norm: f64::NAN };
        let mut info = self.inner.step(params, state, &mut clipped);
        info.metrics.push(("gradient_norm", clipped.norm));
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_array::Array;

    #[test]
    fn the_norm_is_bounded_globally_and_values_each() {
        let g = (Array::from_slice(&[3.0f64], &[1]), Array::from_slice(&[4.0f64], &[1]));
        let (clipped, norm) = Clip::Norm(1.0).apply(&g);
        assert_eq!((norm, clipped.0.item(), clipped.1.item()), (5.0, 0.6000000000000001, 0.8));
        let (clipped, _) = Clip::Value(3.5).apply(&g);
        assert_eq!((clipped.0.item(), clipped.1.item()), (3.0, 3.5));
        assert_eq!(Clip::Norm(9.0).apply(&g).0.1.item(), 4.0);
    }
}
