//! Exact selection by rank over all parameters at once, without sorting them.
//!
//! A small even sample says between which two magnitudes the wanted rank must lie; one pass counts what is above and collects what
//! is between; that little is searched. Should the sample mislead, the counts show it and the pass is made again with wider
//! bounds: the answer is exact and the same for any number of threads. Magnitudes are compared as the bits of their
//! representation, which are ordered as they are.

use std::ops::Range;

use lisse_array::{Array, DType, Tree};
use rayon::prelude::*;

/// Elements that one task looks at: they stay in the cache between copying and counting. As many are searched without a sample.
const CHUNK: usize = 1 << 15;
/// Elements in the sample, about.
const SAMPLE: usize = 1 << 16;

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
    let mut leaves: Vec<Array> = tree
        .leaves()
        .into_iter()
        .zip(trainable)
        .filter(|(_, trained)| *trained)
        .map(|(leaf, _)| leaf.stop_gradient().reshape(&[-1]))
        .collect();
    if leaves.iter().any(|leaf| leaf.dtype() == DType::F64) {
        leaves = leaves.iter().map(|leaf| leaf.cast(DType::F64)).collect();
        return rank_of::<f64>(&leaves, nonzero, rank_among);
    }
    let leaves: Vec<Array> = leaves.iter().map(|leaf| leaf.cast(DType::F32)).collect();
    rank_of::<f32>(&leaves, nonzero, rank_among)
}

/// A float whose bits without the sign are ordered as its magnitude.
trait Magnitude: lisse_array::Element {
    type Key: Copy + Ord + Send + Sync;
    const ZERO: Self::Key;
    const INFINITE: Self::Key;
    /// At least every key.
    const MOST: Self::Key;
    fn key(self) -> Self::Key;
    fn magnitude(key: Self::Key) -> f64;
}

impl Magnitude for f32 {
    type Key = u32;
    const ZERO: u32 = 0;
    const INFINITE: u32 = f32::INFINITY.to_bits();
    const MOST: u32 = u32::MAX;
    #[inline]
    fn key(self) -> u32 {
        self.to_bits() & (u32::MAX >> 1)
    }
    fn magnitude(key: u32) -> f64 {
        f64::from(f32::from_bits(key))
    }
}

impl Magnitude for f64 {
    type Key = u64;
    const ZERO: u64 = 0;
    const INFINITE: u64 = f64::INFINITY.to_bits();
    const MOST: u64 = u64::MAX;
    #[inline]
    fn key(self) -> u64 {
        self.to_bits() & (u64::MAX >> 1)
    }
    fn magnitude(key: u64) -> f64 {
        f64::from_bits(key)
    }
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

fn rank_of<T: Magnitude>(
    leaves: &[Array],
    nonzero: bool,
    rank_among: impl Fn(usize) -> usize,
) -> Option<Ranked> {
    let elements: usize = leaves.iter().map(Array::len).sum();
    let candidates = if nonzero { count_nonzero(leaves) } else { elements };
    let rank = rank_among(candidates);
    if rank >= candidates {
        return None;
    }
    let chunks = chunks_of(leaves);
    let scan = |low, high| scan::<T>(leaves, &chunks, low, high);
    let (low, high) =
        if elements <= CHUNK { (T::ZERO, T::MOST) } else { bracket::<T>(leaves, elements, rank) };
    let mut found = scan(low, high);
    if !found.finite {
        return None;
    }
    if rank < found.above {
        found = scan(high, T::MOST);
    } else if rank >= found.above + found.between.len() {
        found = scan(T::ZERO, low);
    }
    // Descending: the rank among those between counts from their largest.
    let within = rank - found.above;
    let (larger, key, _) = found.between.select_nth_unstable_by(within, |a, b| b.cmp(a));
    let key = *key;
    let above = found.above + larger.iter().filter(|&&k| k > key).count();
    Some(Ranked { threshold: T::magnitude(key), rank, above, elements })
}

fn count_nonzero(leaves: &[Array]) -> usize {
    let count = |leaf: &Array| leaf.not_equal(&leaf.zeros_like()).cast(DType::F64).sum_all().item();
    leaves.iter().map(count).sum::<f64>() as usize
}

/// Two keys between which the key of this rank lies, most probably.
fn bracket<T: Magnitude>(leaves: &[Array], elements: usize, rank: usize) -> (T::Key, T::Key) {
    // Odd, so that it does not walk along columns whose number is a power of two.
    let stride = (elements / SAMPLE) | 1;
    let part = |leaf: &Array| leaf.strided_slice(0, 0, leaf.len(), stride).to_vec::<T>();
    let mut sample: Vec<T::Key> = leaves.iter().flat_map(part).map(T::key).collect();
    let size = sample.len() as f64;
    let share = rank as f64 / elements as f64;
    // Four standard deviations of the place of a rank in a sample.
    let margin = 4.0 * (size * share * (1.0 - share)).sqrt() + 2.0;
    let mut at = |place: f64, outside: T::Key| {
        if place < 0.0 || place >= size {
            return outside;
        }
        *sample.select_nth_unstable_by(place as usize, |a, b| b.cmp(a)).1
    };
    (at(share * size + margin, T::ZERO), at(share * size - margin, T::MOST))
}

/// Pieces of leaves, so that large leaves are shared among threads.
fn chunks_of(leaves: &[Array]) -> Vec<(usize, Range<usize>)> {
    let pieces = |(i, leaf): (usize, &Array)| {
        let len = leaf.len();
        (0..len).step_by(CHUNK).map(move |start| (i, start..(start + CHUNK).min(len)))
    };
    leaves.iter().enumerate().flat_map(pieces).collect()
}

/// What a pass has found.
struct Scan<K> {
    /// Keys above the upper bound.
    above: usize,
    /// Keys from the lower to the upper bound.
    between: Vec<K>,
    finite: bool,
}

fn scan<T: Magnitude>(
    leaves: &[Array],
    chunks: &[(usize, Range<usize>)],
    low: T::Key,
    high: T::Key,
) -> Scan<T::Key> {
    let empty = || Scan { above: 0, between: Vec::new(), finite: true };
    let one = |mut found: Scan<T::Key>, (leaf, range): &(usize, Range<usize>)| {
        let values = leaves[*leaf].narrow(0, range.start, range.len()).to_vec::<T>();
        scan_values(&values, low, high, &mut found);
        found
    };
    let join = |mut a: Scan<T::Key>, b: Scan<T::Key>| {
        a.between.extend(b.between);
        Scan { above: a.above + b.above, between: a.between, finite: a.finite && b.finite }
    };
    match chunks {
        [chunk] => one(empty(), chunk),
        _ => chunks.par_iter().fold(empty, one).reduce(empty, join),
    }
}

/// Counts without branches in small groups; only groups that have something between are looked at one by one.
fn scan_values<T: Magnitude>(values: &[T], low: T::Key, high: T::Key, found: &mut Scan<T::Key>) {
    for group in values.chunks(16) {
        let (mut above, mut at_least, mut odd) = (0u32, 0u32, 0u32);
        for &value in group {
            let key = value.key();
            above += u32::from(key > high);
            at_least += u32::from(key >= low);
            odd += u32::from(key >= T::INFINITE);
        }
        found.above += above as usize;
        found.finite &= odd == 0;
        if at_least > above {
            let keys = group.iter().map(|v| v.key());
            found.between.extend(keys.filter(|&key| key >= low && key <= high));
        }
    }
}
