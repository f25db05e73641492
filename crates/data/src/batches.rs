//! Which examples make up which batch.

use std::sync::{Arc, Mutex, PoisonError};

use lisse_array::Stream;

use crate::error::DataError;

/// The examples of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The step, from 0 over all epochs.
    pub step: u64,
    /// How often the data had been gone through before, from 0.
    pub epoch: u64,
    /// Which examples, in order.
    pub indices: Vec<usize>,
}

/// Cuts `len` examples into batches, epoch after epoch.
///
/// The batch of a step is a pure function of the stream and the step, so a resumed run goes on as if it had not been
/// interrupted. The order within an epoch is one permutation for any batch size: it depends on the stream and the epoch only.
///
/// ```
/// use lisse_array::Stream;
/// use lisse_data::Batches;
///
/// let batches = Batches::new(10, 4)?.shuffled(&Stream::new(7));
/// assert_eq!(batches.per_epoch(), 3);
/// assert_eq!(batches.at(2).indices.len(), 2); // what the first epoch has left
/// assert_eq!(batches.at(3).epoch, 1);
/// # Ok::<(), lisse_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct Batches {
    len: usize,
    size: usize,
    drop_last: bool,
    stream: Option<Stream>,
    /// The last permutation made, so that going through an epoch makes it once.
    latest: Mutex<Option<(u64, Arc<[usize]>)>>,
}

impl Clone for Batches {
    fn clone(&self) -> Self {
        Self {
            len: self.len,
            size: self.size,
            drop_last: self.drop_last,
            stream: self.stream,
            latest: Mutex::new(None),
        }
    }
}

impl Batches {
    /// Batches of `size` out of `len` examples in their own order; the last batch of an epoch holds what is left.
    ///
    /// # Errors
    /// No examples, or a batch size of 0.
    pub fn new(len: usize, size: usize) -> Result<Self, DataError> {
        if len == 0 || size == 0 {
            return Err(DataError::argument(
                "Batches",
                format!("batches of {size} out of {len} examples; expected at least 1 of each"),
            ));
        }
        Ok(Self { len, size, drop_last: false, stream: None, latest: Mutex::new(None) })
    }

    /// Shuffles each epoch anew.
    pub fn shuffled(mut self, stream: &Stream) -> Self {
        self.stream = Some(stream.child("shuffle"));
        self.latest = Mutex::new(None);
        self
    }

    /// Leaves out the last batch of an epoch if it would be smaller than the others.
    ///
    /// # Errors
    /// A batch size above the number of examples: nothing would be left.
    pub fn drop_last(mut self) -> Result<Self, DataError> {
        if self.size > self.len {
            return Err(DataError::argument(
                "Batches::drop_last",
                format!(
                    "batches of {} out of {} examples leave none; expected a batch size of at most {}",
                    self.size, self.len, self.len
                ),
            ));
        }
        self.drop_last = true;
        Ok(self)
    }

    /// Batches in an epoch, at least 1.
    pub fn per_epoch(&self) -> usize {
        if self.drop_last { self.len / self.size } else { self.len.div_ceil(self.size) }
    }

    /// Examples in all.
    pub fn examples(&self) -> usize {
        self.len
    }

    /// Examples in a batch; the last one of an epoch may hold fewer.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The batch of a step.
    pub fn at(&self, step: u64) -> Selection {
        let per_epoch = self.per_epoch() as u64;
        let epoch = step / per_epoch;
        let start = (step % per_epoch) as usize * self.size;
        let range = start..(start + self.size).min(self.len);
        let indices = match &self.stream {
            None => range.collect(),
            Some(stream) => self.order(stream, epoch)[range].to_vec(),
        };
        Selection { step, epoch, indices }
    }

    /// The batches from a step on, without end.
    pub fn from_step(&self, step: u64) -> impl Iterator<Item = Selection> + '_ {
        (step..).map(|step| self.at(step))
    }

    /// The batches of one epoch, for instance to evaluate on all of a test set.
    pub fn epoch(&self, epoch: u64) -> impl Iterator<Item = Selection> + '_ {
        let first = epoch * self.per_epoch() as u64;
        (first..first + self.per_epoch() as u64).map(|step| self.at(step))
    }

    pub(crate) fn order(&self, stream: &Stream, epoch: u64) -> Arc<[usize]> {
        // A panic while the lock is held cannot leave half a permutation, so poison means nothing here.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some((known, order)) if *known == epoch => Arc::clone(order),
            _ => {
                let order: Arc<[usize]> = stream.at(epoch).permutation(self.len).into();
                *latest = Some((epoch, Arc::clone(&order)));
                order
            }
        }
    }
}
