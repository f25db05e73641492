//! Batches of a data set, augmented, as arrays.

use std::sync::Arc;

use lisse_array::{Array, Stream};

use crate::augment::Augmentation;
use crate::batches::{Batches, Selection};
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::gather::rows;
use crate::prefetch::Prefetch;

/// The arrays of one step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch, ...]`, augmented.
    pub inputs: Array,
    /// `[batch, ...]`.
    pub targets: Array,
    /// Which examples these are.
    pub selection: Selection,
}

/// A data set with its batches and augmentation: step in, arrays out. Cheap to clone.
///
/// ```
/// use lisse_array::Stream;
/// use lisse_data::{Augmentation, Batches, Dataset, Loader};
///
/// let digits = Dataset::bundled("digits")?;
/// let stream = Stream::new(0).child("data");
/// let batches = Batches::new(digits.len(), 64)?.shuffled(&stream);
/// let loader = Loader::new(digits, batches)?
///     .augmented(Augmentation::new().random_crop(1), &stream.child("augmentation"))?;
/// let batch = loader.batch(1000); // whatever was asked for before
/// assert_eq!(batch.inputs.shape(), [64, 1, 8, 8]);
///
/// for batch in loader.prefetch(0..3, 2) {
///     assert_eq!(batch.targets.shape(), [64]);
/// }
/// # Ok::<(), lisse_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Loader {
    dataset: Arc<Dataset>,
    batches: Arc<Batches>,
    augmentation: Option<(Augmentation, Stream)>,
}

impl Loader {
    /// Batches as they are.
    ///
    /// # Errors
    /// Batches made for another number of examples.
    pub fn new(dataset: Dataset, batches: Batches) -> Result<Self, DataError> {
        if dataset.len() != batches.examples() {
            return Err(DataError::argument(
                "Loader",
                format!(
                    "batches of {} examples for `{}`, which has {}",
                    batches.examples(),
                    dataset.name,
                    dataset.len()
                ),
            ));
        }
        Ok(Self { dataset: Arc::new(dataset), batches: Arc::new(batches), augmentation: None })
    }

    /// Augments the inputs of each batch, drawing from `stream`.
    ///
    /// # Errors
    /// Inputs that are not images `[n, channels, height, width]`, or too small for the augmentation.
    pub fn augmented(
        mut self,
        augmentation: Augmentation,
        stream: &Stream,
    ) -> Result<Self, DataError> {
        augmentation.check(&self.dataset.inputs)?;
        self.augmentation = Some((augmentation, *stream));
        Ok(self)
    }

    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// How the examples are cut into batches.
    pub fn batches(&self) -> &Batches {
        &self.batches
    }

    /// The batch of a step: a pure function of what the loader was made from and the step.
    pub fn batch(&self, step: u64) -> Batch {
        let selection = self.batches.at(step);
        let mut inputs = rows(&self.dataset.inputs, &selection.indices);
        if let Some((augmentation, stream)) = &self.augmentation {
            inputs =
                augmentation.apply_checked(&inputs, &selection.indices, selection.epoch, stream);
        }
        let targets = rows(&self.dataset.targets, &selection.indices);
        Batch { inputs, targets, selection }
    }

    /// The batches of a range of steps (`0..100`, or `start..` without end), made up to `ahead` steps ahead on a thread.
    pub fn prefetch<Steps>(&self, steps: Steps, ahead: usize) -> Prefetch<Batch>
    where
        Steps: IntoIterator<Item = u64>,
        Steps::IntoIter: Send + 'static,
    {
        let loader = self.clone();
        Prefetch::new(ahead, steps.into_iter().map(move |step| loader.batch(step)))
    }
}
