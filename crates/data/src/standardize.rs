//! Inputs of mean 0 and standard deviation 1.

use lisse_array::{Array, DType};
use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// A shift and a scale per feature: `z = (x - mean) / scale`, fitted on training data and applied to any.
///
/// A feature is an index of axis 1: a column of a table `[n, features]`, a channel of images `[n, channels, height, width]`.
/// `scale` is the standard deviation over everything else (divided by the count, not the count less one); a feature that
/// does not vary gets 1. Saved with a run through serde.
///
/// ```
/// use lisse_data::{Dataset, Standardizer};
///
/// let wine = Dataset::bundled("wine")?;
/// let standardizer = Standardizer::fit(&wine.inputs)?;
/// let z = standardizer.apply(&wine.inputs)?;
/// assert!(z.mean(&[0]).abs().max(&[]).item() < 1e-12);
/// # Ok::<(), lisse_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standardizer {
    /// Mean of each feature.
    pub mean: Vec<f64>,
    /// What each feature is divided by, above 0.
    pub scale: Vec<f64>,
}

impl Standardizer {
    /// Means and standard deviations of `inputs` `[n, features, ...]`, computed in f64.
    ///
    /// # Errors
    /// Fewer than two axes; no values; integers.
    pub fn fit(inputs: &Array) -> Result<Self, DataError> {
        let features = features(inputs, "Standardizer::fit")?;
        if inputs.is_empty() {
            return Err(DataError::argument(
                "Standardizer::fit",
                format!("shape {:?} holds no values; expected at least one row", inputs.shape()),
            ));
        }
        let others: Vec<isize> = (0..inputs.rank() as isize).filter(|&axis| axis != 1).collect();
        let values = inputs.cast(DType::F64);
        let mean = values.mean_keep(&others);
        let variance = (&values - &mean).square().mean(&others);
        let mean = mean.to_f64_vec();
        let scale = variance.to_f64_vec().into_iter().zip(&mean).map(|(variance, mean)| {
            let deviation = variance.sqrt();
            // Rounding makes the deviation of a constant a few units in its last place, not 0.
            if deviation > 1e-14 * mean.abs() { deviation } else { 1.0 }
        });
        let scale: Vec<f64> = scale.collect();
        debug_assert_eq!(scale.len(), features);
        Ok(Self { mean, scale })
    }

    /// `(x - mean) / scale`, in the dtype and on the device of `inputs`.
    ///
    /// # Errors
    /// Another number of features than fitted on; integers.
    pub fn apply(&self, inputs: &Array) -> Result<Array, DataError> {
        let (mean, scale) = self.shaped(inputs, "Standardizer::apply")?;
        Ok((inputs - mean) / scale)
    }

    /// `z * scale + mean`, which undoes [`apply`](Self::apply).
    ///
    /// # Errors
    /// Another number of features than fitted on; integers.
    pub fn invert(&self, standardized: &Array) -> Result<Array, DataError> {
        let (mean, scale) = self.shaped(standardized, "Standardizer::invert")?;
        Ok(standardized * scale + mean)
    }

    fn shaped(&self, like: &Array, what: &'static str) -> Result<(Array, Array), DataError> {
        let found = features(like, what)?;
        if found != self.mean.len() {
            return Err(DataError::argument(
                what,
                format!(
                    "shape {:?} has {found} features (axis 1); it was fitted on {}",
                    like.shape(),
                    self.mean.len()
                ),
            ));
        }
        let mut shape = vec![1; like.rank()];
        shape[1] = found;
        let place = |values: &[f64]| {
            Array::from_slice(values, &shape).cast(like.dtype()).to_device(like.device())
        };
        Ok((place(&self.mean), place(&self.scale)))
    }
}

fn features(inputs: &Array, what: &'static str) -> Result<usize, DataError> {
    if inputs.rank() >= 2 && inputs.dtype().is_float() {
        return Ok(inputs.shape()[1]);
    }
    Err(DataError::argument(
        what,
        format!(
            "{} of shape {:?}; expected floating point of shape [n, features, ...]",
            inputs.dtype(),
            inputs.shape()
        ),
    ))
}
