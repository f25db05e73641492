//! What differs between training and evaluation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lisse_array::{Array, Stream, Tree};

/// Passed to `forward`: whether the model is being trained, where dropout gets its random numbers, and where batch
/// normalisation leaves its new running statistics.
///
/// Make one per training step:
///
/// ```
/// use lisse_array::{DType, Stream};
/// use lisse_nn::{BatchNorm, Context};
///
/// let mut layer = BatchNorm::new(3);
/// let x = Stream::new(0).normal(&[16, 3], DType::F32);
/// let context = Context::train(Stream::new(1).at(0));
/// layer.forward(&x, &context);
/// layer.forward(&(&x * 2.0), &context); // a second evaluation in the same step, as SAM does
/// context.apply_updates(&mut layer);
/// assert_eq!(layer.num_batches_tracked.item(), 1.0);
/// ```
///
/// **Randomness.** Each random layer takes the next number of the context's own counter, so a forward pass through the same
/// layers in the same order draws the same masks. Where the order is not fixed (examples in parallel) or the pass runs more
/// than once (inside [`checkpoint`](lisse_array::checkpoint), or a loss that must be a function), give it a context
/// of its own by [`child`](Self::child) or [`at`](Self::at), whose counter starts at zero.
///
/// **Statistics.** The first update of a buffer in a step is kept, later ones are dropped: a second evaluation at a
/// perturbed point, or the repetition inside a checkpoint, does not count. A layer applied several times in one pass counts its first
/// batch. Buffers are recognised by their memory ([`Array::buffer_id`]): layers made by cloning another share
/// its buffers, and so its statistics.
#[derive(Debug)]
pub struct Context {
    stream: Option<Stream>,
    calls: AtomicU64,
    updates: Arc<Mutex<HashMap<usize, Update>>>,
}

#[derive(Debug)]
struct Update {
    /// Held so that its address is not given to another buffer before the update is applied.
    _old: Array,
    new: Array,
}

impl Context {
    /// Evaluation: no dropout, running statistics.
    pub fn eval() -> Context {
        Context::with(None)
    }

    /// Training: dropout drawn from `stream`, statistics of the batch.
    pub fn train(stream: Stream) -> Context {
        Context::with(Some(stream))
    }

    fn with(stream: Option<Stream>) -> Context {
        Context { stream, calls: AtomicU64::new(0), updates: Arc::default() }
    }

    /// Whether this is a training pass.
    pub fn is_training(&self) -> bool {
        self.stream.is_some()
    }

    /// A context with a stream of its own, by name, and a counter at zero; it reports updates to this one.
    pub fn child(&self, name: &str) -> Context {
        self.derived(|stream| stream.child(name))
    }

    /// As [`child`](Self::child), by number.
    pub fn at(&self, index: u64) -> Context {
        self.derived(|stream| stream.at(index))
    }

    fn derived(&self, stream: impl FnOnce(&Stream) -> Stream) -> Context {
        Context {
            stream: self.stream.as_ref().map(stream),
            calls: AtomicU64::new(0),
            updates: self.updates.clone(),
        }
    }

    /// The stream for the next random layer; none in evaluation.
    pub fn next_stream(&self) -> Option<Stream> {
        self.stream.map(|stream| stream.at(self.calls.fetch_add(1, Ordering::Relaxed)))
    }

    /// Notes the new value of a buffer (a leaf below a `#[tree(buffer)]` field).
    pub fn push_update(&self, buffer: &Array, new: &Array) {
        self.lock()
            .entry(buffer.buffer_id())
            .or_insert_with(|| Update { _old: buffer.stop_gradient(), new: new.stop_gradient() });
    }

    /// Installs the noted buffers in `model` and forgets them. Call it once per step, after the parameters have moved.
    pub fn apply_updates<M: Tree>(&self, model: &mut M) {
        let updates = std::mem::take(&mut *self.lock());
        if updates.is_empty() {
            return;
        }
        *model = model.map_named(|path, leaf| match updates.get(&leaf.buffer_id()) {
            Some(update) if path.is_buffer() => update.new.clone(),
            _ => leaf.clone(),
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Update>> {
        // A panic elsewhere leaves the map whole: every change to it is one insertion.
        self.updates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_array::DType;

    #[test]
    fn draws_repeat_with_the_same_order_of_calls() {
        let draw = |c: &Context| c.next_stream().unwrap().uniform(&[3], DType::F64).to_vec::<f64>();
        let (a, b) = (Context::train(Stream::new(4)), Context::train(Stream::new(4)));
        let first = draw(&a);
        assert_eq!(first, draw(&b));
        assert_ne!(first, draw(&a));
        assert_eq!(draw(&a.child("block")), draw(&b.child("block")));
        assert_ne!(draw(&a.at(0)), draw(&a.at(1)));
        assert!(Context::eval().next_stream().is_none() && !Context::eval().at(1).is_training());
    }

    #[derive(Clone, Tree)]
    struct Counter {
        #[tree(buffer)]
        seen: Array,
        weight: Array,
    }

    #[test]
    fn the_first_update_of_a_step_is_installed_in_buffers_only() {
        let mut counter = Counter { seen: Array::scalar(0.0f64), weight: Array::scalar(1.0f64) };
        let context = Context::train(Stream::new(0));
        for value in [5.0, 6.0] {
            context.at(value as u64).push_update(&counter.seen, &Array::scalar(value));
            context.push_update(&counter.weight, &Array::scalar(value));
        }
        context.apply_updates(&mut counter);
        assert_eq!((counter.seen.item(), counter.weight.item()), (5.0, 1.0));
        context.apply_updates(&mut counter);
        assert_eq!(counter.seen.item(), 5.0);
    }
}
