//! Batches whose size may change from step to step.

use std::sync::Arc;

use lisse_array::Stream;
use serde::{Deserialize, Serialize};

use crate::batches::{Batches, Selection};
use crate::error::DataError;

/// Cuts shuffled epochs into batches whose size is asked for step by step.
///
/// Each epoch is one permutation, which depends on the stream and the epoch only, and every example is drawn once per epoch. A
/// batch always has the size asked for: what an epoch has left is carried over, and the batch is filled up from the next
/// epoch. An example that is in the batch already is not taken a second time; it is put off to the next batch. So no batch
/// holds an example twice, and none is small by accident.
///
/// All that changes is in the [`Position`], which is saved with a run.
///
/// ```
/// use lisse_array::Stream;
/// use lisse_data::{GrowingBatches, Position};
///
/// let batches = GrowingBatches::new(10, &Stream::new(7))?;
/// let mut position = Position::default();
/// let sizes = [2, 4, 7, 10];
/// let drawn = sizes.map(|size| batches.draw(&mut position, size).indices);
/// assert_eq!(drawn.each_ref().map(Vec::len), sizes);
/// assert_eq!(position.examples, 23); // two epochs and three examples of the third
/// # Ok::<(), lisse_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GrowingBatches {
    /// Makes and keeps the permutations.
    orders: Batches,
    stream: Stream,
}

/// How far [`GrowingBatches`] have been drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Batches drawn.
    pub step: u64,
    /// Examples drawn.
    pub examples: u64,
    /// The epoch being drawn from.
    pub epoch: u64,
    /// Places of its permutation that have been passed.
    pub passed: usize,
    /// Examples of this epoch that were passed because the batch held them already; they come first.
    pub put_off: Vec<usize>,
}

impl GrowingBatches {
    /// Batches out of `len` examples, shuffled as [`Batches::shuffled`](crate::Batches::shuffled) does.
    ///
    /// # Errors
    /// No examples.
    pub fn new(len: usize, stream: &Stream) -> Result<Self, DataError> {
        Ok(Self { orders: Batches::new(len, 1)?, stream: stream.child("shuffle") })
    }

    /// Examples in all: the largest batch.
    pub fn examples(&self) -> usize {
        self.orders.examples()
    }

    /// The next batch of `size` examples, or of all if `size` is larger.
    pub fn draw(&self, position: &mut Position, size: usize) -> Selection {
        let len = self.examples();
        let size = size.clamp(1, len);
        let (step, epoch) = (position.step, position.epoch);
        let mut indices = Vec::with_capacity(size);
        let order = self.order(epoch);
        take_put_off(position, &mut indices, size);
        let end = (position.passed + size - indices.len()).min(len);
        indices.extend_from_slice(&order[position.passed..end]);
        position.passed = end;
        if indices.len() < size {
            next_epoch(position);
            let order = self.order(position.epoch);
            let mut held = vec![false; len];
            for &i in &indices {
                held[i] = true;
            }
            while indices.len() < size {
                let example = order[position.passed];
                position.passed += 1;
                if held[example] {
                    position.put_off.push(example);
                } else {
                    indices.push(example);
                }
            }
        }
        position.step += 1;
        position.examples += size as u64;
        if position.passed == len && position.put_off.is_empty() {
            next_epoch(position);
        }
        Selection { step, epoch, indices }
    }

    fn order(&self, epoch: u64) -> Arc<[usize]> {
        self.orders.order(&self.stream, epoch)
    }
}

fn next_epoch(position: &mut Position) {
    position.epoch += 1;
    position.passed = 0;
}

fn take_put_off(position: &mut Position, indices: &mut Vec<usize>, size: usize) {
    let count = position.put_off.len().min(size);
    indices.extend(position.put_off.drain(..count));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batches;

    fn growing(len: usize) -> GrowingBatches {
        GrowingBatches::new(len, &Stream::new(3)).unwrap()
    }

    #[test]
    fn any_sizes_give_each_example_once_per_epoch_and_no_batch_an_example_twice() {
        let (len, batches) = (23, growing(23));
        let mut position = Position::default();
        let mut seen = vec![0u64; len];
        let sizes = [2, 2, 3, 5, 8, 13, 21, 23, 23, 7, 22, 1, 23, 19, 4, 23, 23];
        let mut drawn = 0;
        for (step, size) in sizes.into_iter().enumerate() {
            let batch = batches.draw(&mut position, size);
            assert_eq!((batch.step, batch.indices.len()), (step as u64, size));
            let mut sorted = batch.indices.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), size, "an example twice in batch {step}");
            batch.indices.iter().for_each(|&i| seen[i] += 1);
            drawn += size;
            // After k epochs and a bit each example was drawn k or k + 1 times.
            let whole = (drawn / len) as u64;
            assert!(seen.iter().all(|&n| n >= whole.saturating_sub(1) && n <= whole + 1));
            if drawn % len == 0 {
                assert!(seen.iter().all(|&n| n == whole), "epoch {whole}: {seen:?}");
            }
        }
        assert_eq!(position.examples, drawn as u64);
    }

    #[test]
    fn a_fixed_size_that_divides_the_examples_gives_the_batches_of_a_fixed_size() {
        let fixed = Batches::new(12, 4).unwrap().shuffled(&Stream::new(3));
        let mut position = Position::default();
        for step in 0..9 {
            assert_eq!(growing(12).draw(&mut position, 4), fixed.at(step));
        }
    }

    #[test]
    fn a_saved_position_goes_on_with_the_same_examples() {
        let batches = growing(11);
        let mut position = Position::default();
        for size in [3, 5, 9] {
            batches.draw(&mut position, size);
        }
        let saved = serde_json::to_string(&position).unwrap();
        let mut restored: Position = serde_json::from_str(&saved).unwrap();
        for size in [7, 11, 2] {
            assert_eq!(batches.draw(&mut restored, size), batches.draw(&mut position, size));
        }
    }

    #[test]
    fn a_size_above_the_examples_gives_all_and_none_is_refused() {
        let mut position = Position::default();
        assert_eq!(growing(5).draw(&mut position, 9).indices.len(), 5);
        assert_eq!(position, Position { step: 1, examples: 5, epoch: 1, ..Position::default() });
        assert!(GrowingBatches::new(0, &Stream::new(0)).is_err());
    }
}
