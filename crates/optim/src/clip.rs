//! Gradient clipping around any optimizer.

use lisse_array::Tree;
use serde::{Deserialize, Serialize};

use crate::optimizer::{Optimizer, Oracle, State, StepInfo, WithGradient};

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

impl<P: Tree, O: Optimizer<P>> Optimizer<P> for Clipped<O> {
    fn init(&self, params: &P) -> State<P> {
        self.inner.init(params)
    }
    fn batch_size(&self, state: &State<P>) -> Option<usize> {
        self.inner.batch_size(state)
    }
    fn averaged(&self, params: &P, state: &State<P>) -> Option<P> {
        self.inner.averaged(params, state)
    }
    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let mut norm = f64::NAN;
        let mut clipped = WithGradient::new(oracle, |inner, params: &P| {
            let (value, gradient) = inner.value_and_grad(params);
            let (gradient, before) = self.clip.apply(&gradient);
            norm = before;
            (value, gradient)
        });
        let mut info = self.inner.step(params, state, &mut clipped);
        info.metrics.push(("unclipped_norm", norm));
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
