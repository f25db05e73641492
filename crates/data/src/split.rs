//! Training and test parts.

use std::collections::BTreeMap;

use lisse_array::Stream;

use crate::error::DataError;

/// Indices of two parts that do not overlap and together are everything, each ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// For training.
    pub train: Vec<usize>,
    /// Held out.
    pub test: Vec<usize>,
}

impl Split {
    fn of(len: usize, held_out: impl IntoIterator<Item = usize>) -> Self {
        let mut in_test = vec![false; len];
        for index in held_out {
            in_test[index] = true;
        }
        let (test, train) = (0..len).partition(|&index| in_test[index]);
        Self { train, test }
    }
}

/// Holds out `round(test_fraction * len)` examples, drawn without regard to anything.
///
/// # Errors
/// A fraction that leaves one part empty.
pub fn split(len: usize, test_fraction: f64, stream: &Stream) -> Result<Split, DataError> {
    let count = test_count("split", len, test_fraction)?;
    Ok(Split::of(len, stream.choose(len, count)))
}

/// Holds out `round(test_fraction * n)` examples such that each class has its share: within one example of
/// `test_fraction` times its size, and one example of each class stays in training where that leaves enough to hold out.
///
/// # Errors
/// A fraction that leaves one part empty.
pub fn stratified_split(
    labels: &[i64],
    test_fraction: f64,
    stream: &Stream,
) -> Result<Split, DataError> {
    let count = test_count("stratified_split", labels.len(), test_fraction)?;
    let mut members: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (index, &label) in labels.iter().enumerate() {
        members.entry(label).or_default().push(index);
    }
    let sizes: Vec<usize> = members.values().map(Vec::len).collect();
    let shares = shares(&sizes, test_fraction, count);
    let mut held_out = Vec::with_capacity(count);
    for ((label, class), share) in members.iter().zip(shares) {
        let drawn = stream.at(label.cast_unsigned()).choose(class.len(), share);
        held_out.extend(drawn.into_iter().map(|place| class[place]));
    }
    Ok(Split::of(labels.len(), held_out))
}

/// `folds` splits whose test parts partition the examples, their sizes within one of each other.
///
/// # Errors
/// Fewer than two folds or more folds than examples.
pub fn k_fold(len: usize, folds: usize, stream: &Stream) -> Result<Vec<Split>, DataError> {
    if folds < 2 || folds > len {
        return Err(DataError::argument(
            "k_fold",
            format!("{folds} folds of {len} examples; expected 2 to {len} folds"),
        ));
    }
    let order = stream.permutation(len);
    let fold = |number: usize| {
        Split::of(len, order[number * len / folds..(number + 1) * len / folds].iter().copied())
    };
    Ok((0..folds).map(fold).collect())
}

fn test_count(what: &'static str, len: usize, fraction: f64) -> Result<usize, DataError> {
    let count = (fraction * len as f64).round();
    if fraction > 0.0 && fraction < 1.0 && count >= 1.0 && count < len as f64 {
        return Ok(count as usize);
    }
    Err(DataError::argument(
        what,
        format!(
            "a test fraction of {fraction} of {len} examples leaves one part empty; expected a fraction between 0 and 1 with an example in each part"
        ),
    ))
}

/// How many of each class to hold out, `total` together: the whole part of each share, then one more where the
/// remainder is largest (earlier classes first among equals), keeping one in training while others can give.
fn shares(sizes: &[usize], fraction: f64, total: usize) -> Vec<usize> {
    let exact: Vec<f64> = sizes.iter().map(|&size| fraction * size as f64).collect();
    let mut shares: Vec<usize> = exact.iter().map(|share| share.floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let mut left = total.saturating_sub(shares.iter().sum());
    for reserve in [1, 0] {
        for &class in &by_remainder {
            if left > 0
                && shares[class] + reserve < sizes[class]
                && shares[class] as f64 <= exact[class]
            {
                shares[class] += 1;
                left -= 1;
            }
        }
    }
    shares
}
