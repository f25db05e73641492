//! The spread of examples' gradients, a few examples at a time.

use std::ops::Range;

use lisse_array::{Array, Tree};
use lisse_run::Ranks;

use super::{Moments, Projections, Spread, Wanted};
use crate::Flat;

/// Numbers in the gradients that are held at once.
const AT_ONCE: usize = 1 << 22;

/// Gradients stacked along a leading axis of every leaf, as rows `[examples, d]` of trained parameters.
///
/// # Panics
/// Where the leaves' leading axes differ.
pub fn rows<P: Tree>(flat: &Flat, stacked: &P) -> Array {
    let leaves = stacked.leaves();
    let parts: Vec<Array> = flat
        .spans
        .iter()
        .map(|span| leaves[span.leaf])
        .map(|leaf| leaf.reshape(&[leaf.dim(0) as isize, -1]))
        .collect();
    Array::cat(&parts.iter().collect::<Vec<_>>(), 1)
}

/// The part of a batch that one rank has.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Examples of this rank.
    pub examples: usize,
    /// Examples of lower ranks.
    pub before: usize,
    /// The ranks; all must ask together.
    pub ranks: &'a Ranks,
}

impl Part<'_> {
    /// The spread around the mean gradient `mean` `[d]` of the whole batch. `of` gives the gradients of a range of this rank's
    /// examples as rows `[examples, d]`; only as many are asked for at once as fit a few megabytes.
    pub fn of_examples(
        self,
        mean: &Array,
        wanted: Wanted,
        mut of: impl FnMut(Range<usize>) -> Array,
    ) -> Spread {
        let chunk = (AT_ONCE / mean.len().max(1)).clamp(1, 128);
        let mut gathered = Gathered::default();
        for start in (0..self.examples).step_by(chunk) {
            let rows = of(start..(start + chunk).min(self.examples));
            gathered.projections = gathered.projections.plus(&Projections::of_rows(&rows, mean, 1));
            if wanted == Wanted::Coordinates {
                gathered.add(Moments::of_rows(&rows));
            }
        }
        self.spread(mean, wanted, &gathered)
    }

    /// As [`of_examples`](Self::of_examples), from the means `[d]` of about `parts` micro-batches over all ranks (each has at least
    /// one): cheaper by far where single gradients are dear, and noisier, as its `parts - 1` degrees of freedom say.
    pub fn of_parts(
        self,
        mean: &Array,
        wanted: Wanted,
        parts: usize,
        mut of: impl FnMut(Range<usize>) -> Array,
    ) -> Spread {
        let own = parts.div_ceil(self.ranks.size()).clamp(1, self.examples.max(1));
        let mut gathered = Gathered::default();
        for i in (0..own).filter(|_| self.examples > 0) {
            let range = i * self.examples / own..(i + 1) * self.examples / own;
            let (size, gradient) = (range.len(), of(range));
            let projections = Projections::of_rows(&gradient.unsqueeze(0), mean, size);
            gathered.projections = gathered.projections.plus(&projections);
            if wanted == Wanted::Coordinates {
                gathered.add(Moments::of_mean(&gradient, size));
            }
        }
        self.spread(mean, wanted, &gathered)
    }

    fn spread(self, mean: &Array, wanted: Wanted, gathered: &Gathered) -> Spread {
        let sums = gathered.projections.all_reduce(self.before, self.ranks);
        let spread = sums.spread(mean.square().sum_all().item());
        if wanted == Wanted::Numbers {
            return spread;
        }
        let moments = Moments::all_reduce(gathered.moments.as_ref(), mean, self.ranks);
        Spread { ratios: moments.and_then(|m| m.spread().ratios), ..spread }
    }
}

#[derive(Default)]
struct Gathered {
    projections: Projections,
    moments: Option<Moments>,
}

impl Gathered {
    fn add(&mut self, part: Moments) {
        self.moments = Some(match &self.moments {
            Some(known) => known.merge(&part),
            None => part,
        });
    }
}
