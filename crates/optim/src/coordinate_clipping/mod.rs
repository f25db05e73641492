//! Coordinate-wise clipping of gradients and updates, and how sharp the loss is along what optimizers do.
//!
//! - [`CoordinateClipped`]: an optimizer that sees, or makes, vectors whose largest coordinates are cut to one bound
//! - [`rank`]: the bound: a rank among all parameters at once, exact, without sorting
//! - [`Probe`]: many optimizers fed with one training, compared in the same place
//! - [`Observer`]: a probe as a part of any training
//!
//! Reference: Pan & Li, "Toward Understanding Why Adam Converges Faster Than SGD for Transformers", OPT 2022 (NeurIPS workshop).

mod config;
mod observer;
mod probe;
mod reading;
mod selection;
#[cfg(test)]
mod tests;

pub use observer::{DirectionalConfig, Observed, Observer};
pub use probe::{Candidate, Differences, Known, Probe, Pseudo, curvature_by_differences};
pub use reading::{Layer, Norms, Reading};
pub use selection::{Ranked, Wanted, rank, top_share};

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

use crate::config::{OutOfRange, fail};
use crate::optimizer::{Composite, Optimizer, Oracle, State, StepInfo};

/// Clipping of each coordinate at a rank among all: `clip(g)_i = sign(g_i) min(|g_i|, s tau)`, where `tau` is the value of rank
/// `floor(q d)` (0 for the largest) of `|g|` over all `d` trained parameters together, never per layer.
///
/// `clip(k g) = k clip(g)` for `k > 0`: the bound follows the gradient's size, only its shape changes. The clipped gradient is
/// shorter, so the learning rate wants to be larger: 1.5 to 5 times for Adam at `q = 0.5`, 3 to 10 times for SGD at `q = 0.1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoordinateClip {
    /// `q`: the share of coordinates that are cut. 0 for none; the paper takes 0.1 for SGD and 0.5 for Adam, Adafactor and Lion.
    pub fraction: f64,
    /// `s`: multiplies the bound.
    #[serde(default = "one")]
    pub scale: f64,
    /// What is clipped.
    #[serde(default)]
    pub target: Target,
    /// Ranks among the coordinates that are not zero: for gradients that are mostly zero (rows of an embedding that no example
    /// used), where the bound could be zero and nothing would move.
    #[serde(default)]
    pub nonzero: bool,
}

fn one() -> f64 {
    1.0
}

/// What is clipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The gradient, before momentum. The second moments of Adam and Adafactor still see the whole gradient.
    #[default]
    Gradient,
    /// The finished update.
    Update,
}

/// What clipping made of a tree.
#[derive(Clone, Debug)]
pub struct Bounded<P> {
    /// The clipped tree.
    pub tree: P,
    /// The bound `s tau`; infinite where nothing is clipped on purpose, NaN where there is no rank: a tree that is not finite
    /// stays as it is, to be seen and not hidden.
    pub bound: f64,
    /// Share of the trained coordinates that were cut.
    pub share: f64,
}

impl CoordinateClip {
    /// Clips the gradient at rank `floor(fraction d)`.
    pub fn new(fraction: f64) -> CoordinateClip {
        CoordinateClip { fraction, scale: 1.0, target: Target::Gradient, nonzero: false }
    }

    /// Clips the update instead.
    #[must_use]
    pub fn of_update(self) -> CoordinateClip {
        CoordinateClip { target: Target::Update, ..self }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        if !(0.0..1.0).contains(&self.fraction) {
            return fail(
                "fraction",
                "a number from 0 to below 1 (usually 0.05 to 0.5; 1 would leave nothing of the gradient)",
            );
        }
        if !(self.scale > 0.0 && self.scale.is_finite()) {
            return fail("scale", "a number above 0");
        }
        Ok(())
    }

    /// Clips a tree; buffers stay as they are.
    pub fn apply<P: Tree>(&self, tree: &P) -> Bounded<P> {
        if self.fraction <= 0.0 {
            return Bounded { tree: tree.clone(), bound: f64::INFINITY, share: 0.0 };
        }
        if self.fraction >= 1.0 {
            return Bounded { tree: tree.scale(0.0), bound: 0.0, share: 1.0 };
        }
        let wanted = Wanted { fraction: self.fraction, nonzero: self.nonzero };
        let Some(found) = rank(tree, wanted) else {
            return Bounded { tree: tree.clone(), bound: f64::NAN, share: 0.0 };
        };
        let bound = self.scale * found.threshold;
        let mut trainable = tree.trainable().into_iter();
        let clipped = tree.map(|leaf| match trainable.next() {
            Some(true) => leaf.clamp(-bound, bound),
            _ => leaf.clone(),
        });
        let above = if self.scale == 1.0 { found.above } else { count_above(tree, bound) };
        Bounded { tree: clipped, bound, share: above as f64 / found.elements as f64 }
    }
}

/// Trained elements whose magnitude exceeds `bound`.
fn count_above<P: Tree>(tree: &P, bound: f64) -> usize {
    let leaves = tree.leaves().into_iter().zip(tree.trainable()).filter(|(_, trained)| *trained);
    let count = |leaf: &Array| {
        leaf.abs().greater(&leaf.full_like(bound)).cast(lisse_array::DType::F64).sum_all().item()
    };
    leaves.map(|(leaf, _)| count(leaf)).sum::<f64>() as usize
}

/// An optimizer that sees clipped gradients or whose updates are clipped; see [`CoordinateClip`].
///
/// Put it directly around a rule and other wrappers (a bound on the global norm, SAM) around it. A rule with second moments takes
/// them from the gradient before this clipping if it is Adam or Adafactor; [`RmsProp`](crate::RmsProp) and
/// [`AdaGrad`](crate::AdaGrad) see only the clipped one. An L2 penalty is added by the rule, hence after the clipping.
///
/// A clipped update is cut after the learning rate. With one rate for all parameters that is the same as before it; with groups of
/// different rates the rank is among the steps as they are made. A decay that bypasses the gradient (AdamW) would be cut too:
/// recipes refuse that.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::coordinate_clipping::CoordinateClipped;
/// use lisse_optim::{LossOracle, Optimizer, Sgd};
/// // One coordinate is a hundred times as steep as the others: cut to their size, a single step solves all ten.
/// let mut steep = [1.0f64; 10];
/// steep[0] = 100.0;
/// let steep = Array::from_slice(&steep, &[10]);
/// let mut loss = LossOracle(|x: &Array| (x.square() * &steep * 0.5).sum_all());
/// let optimizer = CoordinateClipped::new(0.1, Sgd::new(1.0));
/// let mut x = Array::ones(&[10], steep.dtype());
/// let mut state = optimizer.init(&x);
/// let info = optimizer.step(&mut x, &mut state, &mut loss);
/// assert_eq!(x.to_vec::<f64>(), [0.0; 10]);
/// assert_eq!(info.metrics, [("threshold", 1.0), ("clipped_share", 0.1)]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoordinateClipped<O> {
    /// How is clipped.
    pub clip: CoordinateClip,
    /// The optimizer.
    pub inner: O,
}

impl<O> CoordinateClipped<O> {
    /// Clips the gradient that `inner` sees at rank `floor(fraction d)`.
    pub fn new(fraction: f64, inner: O) -> CoordinateClipped<O> {
        CoordinateClipped { clip: CoordinateClip::new(fraction), inner }
    }

    /// Clips the updates that `inner` makes.
    pub fn of_update(fraction: f64, inner: O) -> CoordinateClipped<O> {
        CoordinateClipped { clip: CoordinateClip::new(fraction).of_update(), inner }
    }
}

impl<P: Tree, O: Optimizer<P>> Optimizer<P> for CoordinateClipped<O> {
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
        if self.clip.fraction <= 0.0 {
            return self.inner.step(params, state, oracle);
        }
        let (mut info, bound, share) = match self.clip.target {
            Target::Gradient => {
                let mut clipped = ClippedOracle { inner: oracle, clip: self.clip, last: None };
                let info = self.inner.step(params, state, &mut clipped);
                let (bound, share) = clipped.last.unwrap_or((f64::NAN, 0.0));
                (info, bound, share)
            }
            Target::Update => self.step_with_clipped_update(params, state, oracle),
        };
        info.metrics.extend([("threshold", bound), ("clipped_share", share)]);
        info
    }
}

impl<O> CoordinateClipped<O> {
    fn step_with_clipped_update<P: Tree>(
        &self,
        params: &mut P,
        state: &mut State<P>,
        oracle: &mut dyn Oracle<P>,
    ) -> (StepInfo, f64, f64)
    where
        O: Optimizer<P>,
    {
        let before = params.clone();
        let info = self.inner.step(params, state, oracle);
        let update = params.axpy(-1.0, &before);
        let clipped = self.clip.apply(&update);
        if clipped.bound.is_finite() {
            // Where nothing is cut, the parameter is the one that the rule made, to the last bit.
            let (updates, cut, starts) = (update.leaves(), clipped.tree.leaves(), before.leaves());
            let mut trainable = params.trainable().into_iter();
            let mut i = 0;
            *params = params.map(|after| {
                let (u, c, start) = (updates[i], cut[i], starts[i]);
                i += 1;
                match trainable.next() {
                    Some(true) => Array::select(&u.equal(c), after, &(start + c)),
                    _ => after.clone(),
                }
            });
        }
        (info, clipped.bound, clipped.share)
    }
}

/// Answers with clipped gradients, and with the whole ones for second moments.
struct ClippedOracle<'a, P> {
    inner: &'a mut dyn Oracle<P>,
    clip: CoordinateClip,
    /// Bound and share of the last gradient.
    last: Option<(f64, f64)>,
}

impl<P: Tree> Oracle<P> for ClippedOracle<'_, P> {
    fn value_and_moment_grads(&mut self, params: &P) -> (f64, P, Option<P>) {
        let (value, gradient, unbounded) = self.inner.value_and_moment_grads(params);
        let clipped = self.clip.apply(&gradient);
        self.last = Some((clipped.bound, clipped.share));
        (value, clipped.tree, Some(unbounded.unwrap_or(gradient)))
    }
    fn value_and_grad(&mut self, params: &P) -> (f64, P) {
        let (value, gradient, _) = self.value_and_moment_grads(params);
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
    fn composite(&self) -> Option<&dyn Composite<P>> {
        self.inner.composite()
    }
}
