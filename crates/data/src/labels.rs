//! Class labels: one-hot coding and label noise.

use lisse_array::{Array, DType, Stream};

use crate::error::DataError;

/// Labels `[n]` from 0 to `classes - 1` as rows `[n, classes]` with a single one, in `dtype`.
///
/// # Errors
/// Labels that are not whole numbers `[n]`, or out of range.
///
/// ```
/// use lisse_array::{Array, DType};
///
/// let labels = Array::from_slice(&[2i64, 0], &[2]);
/// let coded = lisse_data::one_hot(&labels, 3, DType::F32)?;
/// assert_eq!(coded.to_vec::<f32>(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
/// # Ok::<(), lisse_data::DataError>(())
/// ```
pub fn one_hot(labels: &Array, classes: usize, dtype: DType) -> Result<Array, DataError> {
    let list = checked(labels, classes, "one_hot")?;
    let mut coded = vec![0.0; list.len() * classes];
    for (row, &label) in list.iter().enumerate() {
        coded[row * classes + label as usize] = 1.0;
    }
    let coded = Array::from_vec(coded, &[list.len(), classes]);
    Ok(coded.cast(dtype).to_device(labels.device()))
}

/// Labels of which some were replaced.
#[derive(Clone, Debug)]
pub struct NoisyLabels {
    /// i64 `[n]`.
    pub labels: Array,
    /// Which were replaced, ascending.
    pub flipped: Vec<usize>,
}

/// Replaces exactly `round(fraction * n)` of the labels `[n]` by another class, each of the others equally likely
/// (symmetric label noise). Which and by what depends only on the stream.
///
/// # Errors
/// A fraction outside `[0, 1]`; fewer than two classes; labels that are not whole numbers `[n]` from 0 to `classes - 1`.
///
/// ```
/// use lisse_array::Stream;
/// use lisse_data::{Dataset, label_noise};
///
/// let digits = Dataset::bundled("digits")?;
/// let noisy = label_noise(&digits.targets, 0.2, 10, &Stream::new(0).child("label noise"))?;
/// assert_eq!(noisy.flipped.len(), 359); // round(0.2 * 1797)
/// let training = digits.with_targets(noisy.labels)?;
/// # Ok::<(), lisse_data::DataError>(())
/// ```
pub fn label_noise(
    labels: &Array,
    fraction: f64,
    classes: usize,
    stream: &Stream,
) -> Result<NoisyLabels, DataError> {
    const WHAT: &str = "label_noise";
    if !(0.0..=1.0).contains(&fraction) {
        return Err(DataError::argument(
            WHAT,
            format!("fraction is {fraction}; expected a number from 0 to 1"),
        ));
    }
    if classes < 2 {
        return Err(DataError::argument(
            WHAT,
            format!("{classes} classes leave no other label; expected at least 2"),
        ));
    }
    let mut list = checked(labels, classes, WHAT)?;
    let count = (fraction * list.len() as f64).round() as usize;
    let mut flipped = stream.child("which").choose(list.len(), count);
    flipped.sort_unstable();
    let replacement = stream.child("label");
    for &index in &flipped {
        // A shift of 1 to classes - 1 around the circle of labels reaches each other class once.
        let shift = 1 + replacement.below_at(index as u64, classes as u64 - 1) as i64;
        list[index] = (list[index] + shift) % classes as i64;
    }
    let noisy = Array::from_slice(&list, &[list.len()]).to_device(labels.device());
    Ok(NoisyLabels { labels: noisy, flipped })
}

/// Whole-number labels `[n]` on the host.
pub(crate) fn to_vec(labels: &Array) -> Result<Vec<i64>, DataError> {
    if labels.rank() != 1 || !labels.dtype().is_int() {
        return Err(DataError::argument(
            "labels",
            format!(
                "{} of shape {:?}; expected whole numbers of shape [n]",
                labels.dtype(),
                labels.shape()
            ),
        ));
    }
    Ok(labels.cast(DType::I64).to_vec())
}

fn checked(labels: &Array, classes: usize, what: &'static str) -> Result<Vec<i64>, DataError> {
    let list = to_vec(labels)?;
    match list.iter().position(|&label| label < 0 || label >= classes as i64) {
        None => Ok(list),
        Some(row) => Err(DataError::argument(
            what,
            format!(
                "label {} in row {}; expected 0 to {} ({classes} classes)",
                list[row],
                row + 1,
                classes as i64 - 1
            ),
        )),
    }
}
