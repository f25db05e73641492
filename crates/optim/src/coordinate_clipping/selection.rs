//! Exact selection by rank over all parameters at once, without sorting them.
//!
//! A small even sample says between which two magnitudes the wanted rank must lie; one pass counts what is above and collects what
//! is between; that little is searched. Should the sample mislead, the counts show it and the pass is made again with wider
//! bounds: the answer is exact and the same for any number of threads.

use std::cmp::Ordering;

use lisse_array::fused::{Band, band, magnitudes};
use lisse_array::{Array, DType, Device, Tree};
use rayon::prelude::*;

/// Elements that one task looks at. As many are searched without a sample.
const CHUNK: usize = 1 << 15;
/// Elements in the sample, about.
const SAMPLE: usize = 1 << 15;

/// What a tree's magnitudes are like around a rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// The magnitude of this rank.
    pub threshold: f64,
    /// The rank, from 0 for the largest.
    pub rank: usize,
    /// Magnitudes above the threshold.
    pub above: usize,
    /// Trained elements.
    pub elements: usize,
}

/// Which rank is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// `q`: the rank is `floor(q n)`, from 0 for the largest.
    pub fraction: f64,
    /// Whether `n` counts only elements that are not zero.
    pub nonzero: bool,
}

/// The magnitude of rank `floor(q n)` among all trained elements of a tree, 0 for the largest.
///
/// `None` if there is no such rank (nothing trained, `q` of 1, only zeros) or if an element is NaN or infinite: then no magnitude
/// is a sensible bound.
///
/// Half precision is searched as f32; elements on a GPU are searched on the processor.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::coordinate_clipping::{Wanted, rank};
/// let g = Array::from_slice(&[5.0f64, -4.0, 3.0, -2.0, 1.0], &[5]);
/// let found = rank(&g, Wanted { fraction: 0.4, nonzero: false }).unwrap();
/// assert_eq!((found.threshold, found.rank, found.above), (3.0, 2, 2));
/// ```
pub fn rank<P: Tree>(tree: &P, wanted: Wanted) -> Option<Ranked> {
    search(tree, wanted.nonzero, |n| (n as f64 * wanted.fraction).floor() as usize)
}

/// As [`rank`], for the rank that `rank_among` gives for a number of candidates.
fn search<P: Tree>(tree: &P, nonzero: bool, rank_among: impl Fn(usize) -> usize) -> Option<Ranked> {
    let trainable = tree.trainable();
    let leaves = tree.leaves().into_iter().zip(trainable).filter(|(_, trained)| *trained);
    let leaves: Vec<Array> = leaves
        .map(|(leaf, _)| leaf.stop_gradient().to_device(Device::Cpu).reshape(&[-1]))
        .collect();
    let double = leaves.iter().any(|leaf| leaf.dtype() == DType::F64);
    let dtype = if double { DType::F64 } else { DType::F32 };
    let leaves: Vec<Array> = leaves.iter().map(|leaf| leaf.cast(dtype)).collect();
    rank_of(&leaves, nonzero, rank_among)
}

/// Share of a tree's squared norm that lies in the largest `fraction` of its trained elements (at least in one); NaN for a tree
/// of zeros or one that is not finite.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::coordinate_clipping::top_share;
/// let g = Array::from_slice(&[3.0f64, 4.0, 0.0, 0.0], &[4]);
/// assert!((top_share(&g, 0.25) - 16.0 / 25.0).abs() < 1e-15);
/// ```
pub fn top_share<P: Tree>(tree: &P, fraction: f64) -> f64 {
    let count = |n: usize| ((n as f64 * fraction).floor() as usize).max(1);
    let total = tree.norm().powi(2);
    // The element after the last that counts; a single element is all there is.
    let Some(found) = search(tree, false, count) else {
        return if tree.count() == 1 && total > 0.0 { 1.0 } else { f64::NAN };
    };
    let trainable = tree.trainable();
    let leaves = tree.leaves().into_iter().zip(trainable).filter(|(_, trained)| *trained);
    let above: f64 = leaves
        .map(|(leaf, _)| {
            let larger = leaf.abs().cast(DType::F64).greater(&Array::scalar(found.threshold));
            (leaf.cast(DType::F64).square() * larger.cast(DType::F64)).sum_all().item()
        })
        .sum();
    let ties = (count(found.elements) - found.above) as f64 * found.threshold.powi(2);
    (above + ties) / total
}

fn rank_of(leaves: &[Array], nonzero: bool, rank_among: impl Fn(usize) -> usize) -> Option<Ranked> {
    let elements: usize = leaves.iter().map(Array::len).sum();
    let candidates = if nonzero { count_nonzero(leaves) } else { elements };
    let rank = rank_among(candidates);
    if rank >= candidates {
        return None;
    }
    let chunks = chunks_of(leaves);
    let (low, high) = match elements {
        ..=CHUNK => (0.0, f64::INFINITY),
        _ => bracket(leaves, elements, rank)?,
    };
    let mut found = scan(&chunks, low, high);
    if found.infinite {
        return None;
    }
    if rank < found.above {
        found = scan(&chunks, high, f64::INFINITY);
    } else if rank >= found.above + found.within.len() {
        found = scan(&chunks, 0.0, low);
    }
    // Descending: the rank among those between counts from their largest.
    let within = rank - found.above;
    let (larger, threshold, _) = found.within.select_nth_unstable_by(within, descending);
    let threshold = *threshold;
    let above = found.above + larger.iter().filter(|&&m| m > threshold).count();
    Some(Ranked { threshold, rank, above, elements })
}

fn count_nonzero(leaves: &[Array]) -> usize {
    let count = |leaf: &Array| leaf.not_equal(&leaf.zeros_like()).cast(DType::F64).sum_all().item();
    leaves.iter().map(count).sum::<f64>() as usize
}

/// The largest magnitude first.
// By reference, as what sorts calls it.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn descending(a: &f64, b: &f64) -> Ordering {
    b.total_cmp(a)
}

/// Two magnitudes between which that of this rank lies, most probably; `None` if one that is not finite was met.
fn bracket(leaves: &[Array], elements: usize, rank: usize) -> Option<(f64, f64)> {
    // Odd, so that it does not walk along columns whose number is a power of two.
    let stride = (elements / SAMPLE) | 1;
    let mut sample: Vec<f64> = leaves.iter().flat_map(|leaf| magnitudes(leaf, stride)).collect();
    if sample.iter().any(|m| !m.is_finite()) {
        return None;
    }
    let size = sample.len() as f64;
    let share = rank as f64 / elements as f64;
    // Three standard deviations of the place of a rank in a sample: a second pass is dearer than a wider bracket, but rare.
    let margin = 3.0 * (size * share * (1.0 - share)).sqrt() + 2.0;
    let (first, last) = (share * size - margin, share * size + margin);
    let mut rest = sample.as_mut_slice();
    let mut low = 0.0;
    if last < size {
        let (larger, found, _) = rest.select_nth_unstable_by(last as usize, descending);
        (low, rest) = (*found, larger);
    }
    if first < 0.0 {
        return Some((low, f64::INFINITY));
    }
    Some((low, *rest.select_nth_unstable_by(first as usize, descending).1))
}

/// Pieces of leaves, so that large leaves are shared among threads.
fn chunks_of(leaves: &[Array]) -> Vec<Array> {
    let pieces = |leaf: &Array| {
        let piece = |start| leaf.narrow(0, start, CHUNK.min(leaf.len() - start));
        (0..leaf.len()).step_by(CHUNK).map(piece).collect::<Vec<_>>()
    };
    leaves.iter().flat_map(pieces).collect()
}

/// The magnitudes of all chunks by a band.
fn scan(chunks: &[Array], low: f64, high: f64) -> Band {
    let one = |chunk: &Array| band(chunk, low, high);
    let parts: Vec<Band> = match chunks {
        [chunk] => vec![one(chunk)],
        _ => chunks.par_iter().map(one).collect(),
    };
    Band {
        above: parts.iter().map(|part| part.above).sum(),
        infinite: parts.iter().any(|part| part.infinite),
        within: parts.into_iter().flat_map(|part| part.within).collect(),
    }
}
