//! Removing weights: by size, by the diagonal Fisher matrix, or by the inverse of the whole.

use lisse_array::{Array, Device, Tree};
use serde::{Deserialize, Serialize};

use super::masked::masked;
use super::{Error, Removal, StaticFisher};
use crate::Flat;

/// What decides which weights go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// The smallest `|w|`.
    Magnitude,
    /// The smallest `w^2 (mean g^2 + lambda) / 2`: optimal brain damage with the diagonal Fisher matrix. The others stay as they are.
    DiagonalFisher,
    /// The smallest `w^2 / (2 [F^-1]_qq)`, and the others move by `-(w_q / [F^-1]_qq) F^-1 e_q`: optimal brain surgeon.
    InverseFisher,
}

/// Prunes matrices and kernels (trained leaves of at least two axes; biases and norms stay) to a sparsity, in rounds: after each, new
/// gradients at the new weights.
///
/// With `s` the target and `s_0` what is removed already, round `r` of `R` goes to `1 - (1 - s_0) ((1 - s) / (1 - s_0))^(r/R)`: the same
/// share of what is left each time. Removed weights have no column in `G`: their gradients would distort the others' changes. Blocks
/// run over the weights that are left, in the order of the leaves, row-major.
///
/// Used once it prunes in one shot; with rising sparsities and training by [`Masked`](super::Masked) in between, gradually.
#[derive(Clone, Debug, PartialEq)]
pub struct Pruner {
    /// What decides.
    pub criterion: Criterion,
    /// `lambda` of the Fisher matrix.
    pub damping: f64,
    /// Coordinates per block of the Fisher matrix; `None` for one block.
    pub block: Option<usize>,
    /// `R`: rounds, each with fresh gradients.
    pub rounds: usize,
    /// How several removals of one round add up.
    pub removal: Removal,
}

/// What pruning leaves.
#[derive(Clone, Debug)]
pub struct Pruned<P> {
    /// The parameters; removed ones are exactly zero.
    pub params: P,
    /// One where a parameter is kept, zero where it is removed; ones on leaves that are not pruned.
    pub mask: P,
}

impl Pruner {
    /// The authors' defaults for a criterion: damping 1e-5, blocks of 128, 16 rounds, sums of single removals.
    pub fn new(criterion: Criterion) -> Pruner {
        Pruner { criterion, damping: 1e-5, block: Some(128), rounds: 16, removal: Removal::Sum }
    }

    /// Removes weights until a share `sparsity` of the prunable ones is zero, those that `mask` has removed already included.
    ///
    /// `gradients` gives gradients at the parameters of a round (counted from 0), stacked along a new leading axis of every leaf, as
    /// [`per_example_grad`](lisse_array::per_example_grad) makes them; it is not asked for [`Criterion::Magnitude`].
    ///
    /// # Errors
    /// A sparsity below the present one or not below 1, no rounds, a damping or block size of zero, numbers that are not finite.
    pub fn prune<P: Tree>(
        &self,
        params: &P,
        mask: &P,
        sparsity: f64,
        gradients: &mut dyn FnMut(&P, usize) -> P,
    ) -> Result<Pruned<P>, Error> {
        super::check_damping(self.damping)?;
        if self.rounds == 0 {
            return Err(Error::OutOfRange { name: "rounds", found: 0.0, expected: "at least 1" });
        }
        let flat = Flat::among(params, &prunable(params));
        let total = flat.len() as f64;
        let mut now = Pruned { params: masked(params, mask), mask: mask.clone() };
        let start = kept(&flat, mask).len() as f64 / total.max(1.0);
        if !(sparsity < 1.0 && sparsity >= 1.0 - start - 0.5 / total.max(1.0)) {
            let expected = "at least the present sparsity and below 1";
            return Err(Error::OutOfRange { name: "sparsity", found: sparsity, expected });
        }
        for round in 0..self.rounds {
            let progress = (round + 1) as f64 / self.rounds as f64;
            let left = (total * start * ((1.0 - sparsity) / start).powf(progress)).round() as usize;
            now = self.round(&flat, now, left, &mut |params| gradients(params, round))?;
        }
        Ok(now)
    }

    /// Removes weights until `left` are left.
    fn round<P: Tree>(
        &self,
        flat: &Flat,
        now: Pruned<P>,
        left: usize,
        gradients: &mut dyn FnMut(&P) -> P,
    ) -> Result<Pruned<P>, Error> {
        let kept = kept(flat, &now.mask);
        let count = kept.len().saturating_sub(left);
        if count == 0 {
            return Ok(now);
        }
        let index = Array::from_slice(&kept, &[kept.len()]);
        let whole = flat.gather(&now.params);
        let w = whole.index_select(0, &index);
        let (scores, fisher) = match self.criterion {
            Criterion::Magnitude => (w.abs(), None),
            Criterion::DiagonalFisher => {
                let rows = columns(flat, &gradients(&now.params), &index);
                (w.square() * (rows.square().mean(&[0]) + self.damping) * 0.5, None)
            }
            Criterion::InverseFisher => {
                let rows = columns(flat, &gradients(&now.params), &index);
                let fisher = StaticFisher::new(&rows, self.damping, self.block)?;
                (fisher.saliencies(&w), Some(fisher))
            }
        };
        let removed = smallest(&scores.to_f64_vec(), count)?;
        let w = match &fisher {
            Some(fisher) => &w + fisher.removal(&w, &removed, self.removal)?,
            None => w,
        };
        let mut alive = vec![1.0; kept.len()];
        for &q in &removed {
            alive[q] = 0.0;
        }
        let alive = Device::Cpu.with(|| Array::from_vec(alive, &[kept.len()]));
        let alive = alive.cast(w.dtype()).to_device(w.device());
        let place = |values: &Array| whole.zeros_like().index_add(0, &index, values);
        Ok(Pruned {
            params: flat.scatter(&now.params, &place(&(w * &alive))),
            mask: flat.scatter(&now.mask, &place(&alive)),
        })
    }
}

/// A mask that keeps everything.
pub fn ones<P: Tree>(params: &P) -> P {
    params.map(Array::ones_like)
}

/// Which leaves may be pruned.
fn prunable<P: Tree>(params: &P) -> Vec<bool> {
    let leaves = params.leaves().into_iter().zip(params.trainable());
    leaves.map(|(leaf, trained)| trained && leaf.rank() >= 2).collect()
}

/// Places of the weights that are left.
fn kept<P: Tree>(flat: &Flat, mask: &P) -> Vec<i64> {
    if flat.is_empty() {
        return Vec::new();
    }
    let mask = flat.gather(mask).to_f64_vec();
    (0..).zip(mask).filter(|(_, keep)| *keep != 0.0).map(|(i, _)| i).collect()
}

/// Stacked gradients as the rows of a matrix with columns for the given weights.
fn columns<P: Tree>(flat: &Flat, stacked: &P, index: &Array) -> Array {
    let leaves = stacked.leaves();
    let parts = flat.spans.iter().map(|span| &leaves[span.leaf]);
    let parts: Vec<Array> = parts.map(|rows| rows.reshape(&[rows.dim(0) as isize, -1])).collect();
    Array::cat(&parts.iter().collect::<Vec<_>>(), 1).index_select(1, index)
}

/// Places of the `count` smallest scores; the first of equal ones.
fn smallest(scores: &[f64], count: usize) -> Result<Vec<usize>, Error> {
    if scores.iter().any(|score| !score.is_finite()) {
        return Err(Error::NotFinite { name: "a weight's saliency" });
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    order.truncate(count);
    Ok(order)
}

impl<P: Tree> Pruned<P> {
    /// Share of the prunable weights that are zero.
    pub fn sparsity(&self) -> f64 {
        let flat = Flat::among(&self.params, &prunable(&self.params));
        1.0 - kept(&flat, &self.mask).len() as f64 / flat.len().max(1) as f64
    }
}
