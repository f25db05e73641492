//! What distillation works on: images of digits and the classifier's training.

use lisse_array::{Array, DType};
use lisse_data::{Dataset, one_hot};
use lisse_run::Error;

use super::super::objectives;

/// Images in rows with their labels.
pub(super) struct Examples {
    pub(super) inputs: Array,
    pub(super) targets: Array,
    labels: Vec<i64>,
}

pub(super) const CLASSES: usize = 10;

impl Examples {
    pub(super) fn new(data: &Dataset) -> Result<Examples, Error> {
        let inputs = data.inputs.reshape(&[data.len() as isize, -1]);
        let labels = data.labels().map_err(Error::other)?;
        let targets = one_hot(&data.targets, CLASSES, DType::F64).map_err(Error::other)?;
        // Pixels from 0 to 16, whatever the bundle's scale.
        let inputs = &inputs * (1.0 / inputs.max_all().item());
        Ok(Examples { inputs, targets, labels })
    }

    pub(super) fn of_class(&self, class: usize) -> Vec<usize> {
        (0..self.labels.len()).filter(|&i| self.labels[i] == class as i64).collect()
    }

    /// The rows `indices` as a matrix.
    pub(super) fn rows(&self, indices: &[usize]) -> Array {
        let rows: Vec<Array> = indices.iter().map(|&i| self.inputs.narrow(0, i, 1)).collect();
        Array::cat(&rows.iter().collect::<Vec<_>>(), 0)
    }

    pub(super) fn accuracy(&self, weights: &Array) -> f64 {
        let guesses = self.inputs.matmul(weights).argmax(1).to_f64_vec();
        let right = guesses.iter().zip(&self.labels).filter(|(g, l)| **g == **l as f64).count();
        right as f64 / self.labels.len() as f64
    }

    pub(super) fn loss(&self, weights: &Array) -> Array {
        let zero = Array::scalar(0.0f64);
        objectives::softmax_regression(weights, None, &self.inputs, &self.targets, &zero)
    }
}

/// Weights and the weights before, for momentum.
pub(super) type Momentum = (Array, Array);

/// The classifier's training: an accelerated gradient step on `mean cross entropy + penalty |W|^2`, which is strongly convex,
/// with the step and momentum that its constants call for.
pub(super) fn inner_step(
    (w, before): &Momentum,
    images: &Array,
    targets: &Array,
    penalty: f64,
    smoothness: f64,
) -> Momentum {
    let ratio = (2.0 * penalty / smoothness).sqrt();
    let look = w.add_scaled((1.0 - ratio) / (1.0 + ratio), &(w - before));
    let error = images.matmul(&look).softmax(1) - targets;
    let gradient =
        images.t().matmul(&error) * (1.0 / images.dim(0) as f64) + &look * (2.0 * penalty);
    (look.add_scaled(-1.0 / smoothness, &gradient), w.clone())
}

/// A bound on the largest curvature: half the mean squared length of the images, as a bound on the largest eigenvalue of their
/// Gram matrix by its largest row sum, and the penalty's.
pub(super) fn smoothness(images: &Array, penalty: f64) -> f64 {
    let gram = images.matmul(&images.t()).abs().sum(&[1]).max_all().item();
    0.5 * gram / images.dim(0) as f64 + 2.0 * penalty
}
