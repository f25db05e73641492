//! The optimizer that steps along the inverse Fisher matrix times the gradient.

use lisse_array::fused::{DescentUpdate, descend_of_all};
use lisse_array::{Array, DType, Device, Tree};
use serde::{Deserialize, Serialize};

use super::{Error, SlidingWindow};
use crate::groups::LeafSettings;
use crate::optimizer::{Optimizer, Oracle, State, StepInfo};
use crate::{Flat, Groups, Schedule};

/// M-FAC (Frantar, Kurtic, Alistarh, 2021): every gradient `g`, with that of the weight decay, enters a window of the newest `m`, and
/// the step goes along
///
/// `p = (lambda I + (1/m) sum_i g_i g_i')^-1 g`, `v = mu v + (1 - mu) p`, `x -= rate v`.
///
/// One step costs two passes over the window and a factor of an `m` by `m` matrix; memory is `m` gradients. The window is part of the
/// state, so a resumed training goes on bit for bit.
///
/// The length of `p` depends on the damping and not on the gradient's scale: `lambda -> inf` is gradient descent at `rate / lambda`,
/// and along a direction that the window knows well `p` is a Newton step. The first steps are long where `m` is large; use a
/// [warm-up](crate::Schedule::Warmup) over `m` steps, [`effective_window`](Self::effective_window), or
/// [`largest_step`](Self::largest_step).
///
/// A gradient that is not finite does not enter the window; the step goes along it, so that the training sees it and stops.
///
/// ```
/// use lisse_array::{Array, Tree};
/// use lisse_optim::{LossOracle, Optimizer, mfac::Mfac};
/// let optimizer = Mfac { window: 8, damping: 20.0, ..Mfac::new(1.0) };
/// let mut x = Array::from_slice(&[3.0f64, -2.0], &[2]);
/// let mut state = optimizer.init(&x);
/// let mut oracle = LossOracle(|x: &Array| (x.square() * Array::from_slice(&[10.0f64, 0.1], &[2])).sum_all());
/// for _ in 0..200 {
///     optimizer.step(&mut x, &mut state, &mut oracle);
/// }
/// assert!(x.norm() < 1.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mfac {
    /// Learning rate.
    pub learning_rate: Schedule,
    /// `m`: gradients in the window. More are better until memory is spent.
    pub window: usize,
    /// `lambda`.
    pub damping: f64,
    /// `mu`: how much of the last direction is kept; the new one enters with `1 - mu`.
    pub momentum: f64,
    /// Weight decay: an L2 penalty, whose gradient enters the window, or `x -= rate decay x` if decoupled.
    pub weight_decay: f64,
    /// Whether the weight decay bypasses the window.
    pub decoupled: bool,
    /// Whether only gradients that are there count while the window fills; the authors count the missing ones as zero.
    pub effective_window: bool,
    /// Whether parameters that are exactly zero at first stay so: they are left out of the window and the step.
    pub sparse: bool,
    /// Longest direction: `p` is scaled down to this Euclidean norm.
    pub largest_step: Option<f64>,
    /// How the product is computed.
    pub product: Product,
    /// Settings for parts of the model.
    pub groups: Groups,
}

/// How [`Mfac`] computes `F^-1 g`. The same in exact numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// `m G' C^-1 e` with a symmetric factor: no difference of nearly equal vectors.
    #[default]
    PushThrough,
    /// The paper's recursive coefficients: `g / lambda` less a combination of the window. For f64, or a damping that is not small.
    Recursive,
}

impl Mfac {
    /// The paper's defaults: a window of 1024 gradients, damping 1e-5, neither momentum nor weight decay.
    pub fn new(learning_rate: impl Into<Schedule>) -> Mfac {
        Mfac {
            learning_rate: learning_rate.into(),
            window: 1024,
            damping: 1e-5,
            momentum: 0.0,
            weight_decay: 0.0,
            decoupled: false,
            effective_window: false,
            sparse: false,
            largest_step: None,
            product: Product::default(),
            groups: Groups::default(),
        }
    }

    /// Bytes that the window holds for a model.
    pub fn memory_bytes<P: Tree>(&self, params: &P) -> usize {
        let trained =
            self.settings(params, 0.0).iter().map(|leaf| leaf.trained).collect::<Vec<_>>();
        let width = match window_dtype(params, &trained) {
            DType::F64 => 8,
            _ => 4,
        };
        let square = self.window * self.window * 8;
        Flat::among(params, &trained).len() * self.window * width + square
    }

    fn settings<P: Tree>(&self, params: &P, rate: f64) -> Vec<LeafSettings> {
        self.groups.settings(params, rate, self.weight_decay)
    }

    /// The direction for a gradient, which enters the window.
    fn direction(&self, window: &mut SlidingWindow, gradient: &Array) -> Result<Array, Error> {
        match self.product {
            Product::PushThrough => window.precondition(gradient),
            Product::Recursive => {
                window.push(gradient)?;
                window.ihvp_recursive(gradient)
            }
        }
    }

    /// Names of rows in their order.
    fn row(&self, place: usize) -> String {
        let digits = self.window.saturating_sub(1).max(1).ilog10() as usize + 1;
        format!("window.{place:0digits$}")
    }

    /// The window as the last step left it.
    fn recall<P: Tree>(&self, state: &State<P>, carrier: usize) -> Result<SlidingWindow, Error> {
        let held = |tree: &P| tree.leaves()[carrier].clone();
        let rows = state.trees.range("window.".to_string().."window/".to_string());
        let rows: Vec<Array> = rows.map(|(_, tree)| held(tree)).collect();
        let gram = state
            .trees
            .get("gram")
            .map_or_else(|| vec![0.0; self.window * self.window], |tree| held(tree).to_f64_vec());
        let next = state.numbers.get("next").map_or(0, |&next| next as usize);
        let window = SlidingWindow::with_rows(self.window, self.damping, rows, gram, next)?;
        Ok(window.effective(self.effective_window))
    }

    /// Puts what a push has changed into the state.
    fn keep<P: Tree>(
        &self,
        state: &mut State<P>,
        window: &SlidingWindow,
        like: &P,
        carrier: usize,
    ) {
        let place = (window.next() + self.window - 1) % self.window;
        let side = [self.window, self.window];
        let gram = Device::Cpu.with(|| Array::from_slice(window.gram(), &side));
        state.trees.insert(self.row(place), hold(like, carrier, &window.rows()[place]));
        state.trees.insert("gram".into(), hold(like, carrier, &gram));
        state.numbers.insert("next".into(), window.next() as f64);
    }

    /// `v = mu v + (1 - mu) p`, bounded.
    fn smoothed<P: Tree>(&self, state: &mut State<P>, p: Array, like: &P, carrier: usize) -> Array {
        let p = match self.largest_step {
            Some(bound) => {
                let norm = p.norm();
                if norm > bound { p * (bound / norm) } else { p }
            }
            None => p,
        };
        if self.momentum == 0.0 {
            return p;
        }
        let fresh = p * (1.0 - self.momentum);
        let velocity = match state.trees.get("velocity") {
            Some(tree) => fresh.add_scaled(self.momentum, tree.leaves()[carrier]),
            None => fresh,
        };
        state.trees.insert("velocity".into(), hold(like, carrier, &velocity));
        velocity
    }
}

/// A vector over all parameters, or anything else that is no tree, carried by one leaf of a tree; the other leaves are empty.
fn hold<P: Tree>(like: &P, carrier: usize, array: &Array) -> P {
    let leaves = like.leaves();
    let empty = |leaf: &Array| leaf.device().with(|| Array::zeros(&[0], leaf.dtype()));
    like.with_leaves(
        leaves
            .into_iter()
            .enumerate()
            .map(|(i, leaf)| if i == carrier { array.clone() } else { empty(leaf) })
            .collect::<Vec<_>>(),
    )
}

/// Half floats are kept as f32.
fn window_dtype<P: Tree>(params: &P, trained: &[bool]) -> DType {
    let first = params.leaves().into_iter().zip(trained).find(|(_, trained)| **trained);
    match first.map(|(leaf, _)| leaf.dtype()) {
        Some(DType::F64) => DType::F64,
        _ => DType::F32,
    }
}

impl<P: Tree> Optimizer<P> for Mfac {
    fn init(&self, params: &P) -> State<P> {
        if !self.sparse {
            return State::new();
        }
        let nonzero = |leaf: &Array| leaf.not_equal(&leaf.zeros_like()).cast(leaf.dtype());
        State::new().with("mask", params.map(nonzero))
    }

    fn step(&self, params: &mut P, state: &mut State<P>, oracle: &mut dyn Oracle<P>) -> StepInfo {
        let (loss, gradient) = oracle.value_and_grad(params);
        let rate = self.learning_rate.at(state.schedule_step());
        state.step += 1;
        let settings = self.settings(params, rate);
        let trained: Vec<bool> = settings.iter().map(|leaf| leaf.trained).collect();
        let flat = Flat::among(params, &trained);
        let mut info = StepInfo { loss, learning_rate: rate, metrics: Vec::new() };
        let Some(carrier) = flat.spans.first().map(|span| span.leaf) else { return info };
        let g = flat.gather(&self.penalised(params, gradient, &settings, state));
        let g = g.cast(window_dtype(params, &trained));
        let recalled = self.recall(state, carrier);
        let direction = recalled.and_then(|mut window| {
            let direction = self.direction(&mut window, &g)?;
            self.keep(state, &window, params, carrier);
            let place = (window.next() + self.window - 1) % self.window;
            let norm = window.gram()[place * (self.window + 1)].sqrt();
            info.metrics.push(("gradient_norm", norm));
            Ok(direction)
        });
        // Without an inverse the gradient itself: if it is not finite, that must be seen.
        let direction = direction.unwrap_or(g);
        let direction = self.smoothed(state, direction, params, carrier);
        self.update(params, &flat, &direction, &settings);
        info
    }
}

impl Mfac {
    /// The gradient with that of the L2 penalty, on the parameters that take part.
    fn penalised<P: Tree>(
        &self,
        params: &P,
        gradient: P,
        settings: &[LeafSettings],
        state: &State<P>,
    ) -> P {
        let mut settings = settings.iter();
        let full = if self.decoupled || self.weight_decay == 0.0 && self.groups.0.is_empty() {
            gradient
        } else {
            params.zip_map(&gradient, |x, g| match settings.next() {
                Some(leaf) if leaf.trained => leaf.penalised(x, g),
                _ => g.clone(),
            })
        };
        match state.trees.get("mask") {
            Some(mask) => full
                .zip_map(mask, |g, keep| if g.dtype().is_float() { g * keep } else { g.clone() }),
            None => full,
        }
    }

    /// `x -= rate (direction + decay x)`, leaf by leaf.
    fn update<P: Tree>(
        &self,
        params: &mut P,
        flat: &Flat,
        direction: &Array,
        settings: &[LeafSettings],
    ) {
        // Taken out, so that the update can write into their buffers.
        let mut leaves: Vec<Option<Array>> = params.take_leaves().into_iter().map(Some).collect();
        let parts = flat.spans.iter().map(|span| {
            let shape: Vec<isize> = span.shape.iter().map(|&n| n as isize).collect();
            let dtype = leaves[span.leaf].as_ref().map_or(direction.dtype(), Array::dtype);
            direction.narrow(0, span.range.start, span.range.len()).reshape(&shape).cast(dtype)
        });
        let parts: Vec<Array> = parts.collect();
        let moved = flat.spans.iter().zip(&parts).map(|(span, part)| {
            let x = leaves[span.leaf].take().expect("each leaf has one span");
            let leaf = &settings[span.leaf];
            let decay = if self.decoupled { leaf.learning_rate * leaf.weight_decay } else { 0.0 };
            let kept = if decay == 0.0 { x } else { x * (1.0 - decay) };
            ([kept], part, DescentUpdate { rate: leaf.learning_rate, decay: 0.0 })
        });
        let moved = descend_of_all(moved.collect());
        for (span, [x]) in flat.spans.iter().zip(moved) {
            leaves[span.leaf] = Some(x);
        }
        let leaves = leaves.into_iter().flatten();
        *params = params.with_leaves(leaves);
    }
}
