//! Making the next batches while the present one is used.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// An iterator whose items are made on a thread of their own, a few ahead, in the same order.
///
/// Dropping it stops the thread after the item it is making. A panic of the inner iterator is passed on by
/// [`next`](Iterator::next).
///
/// ```
/// let squares = lisse_data::Prefetch::new(2, (0..4).map(|i| i * i));
/// assert_eq!(squares.collect::<Vec<_>>(), [0, 1, 4, 9]);
/// ```
#[derive(Debug)]
pub struct Prefetch<T> {
    /// `None` once dropped, which is what tells the thread to stop.
    ready: Option<Receiver<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts the thread; at most `ahead` items (and the one in the making) wait to be taken.
    pub fn new(ahead: usize, items: impl Iterator<Item = T> + Send + 'static) -> Self {
        let (sender, receiver) = sync_channel(ahead);
        let thread = std::thread::spawn(move || {
            for item in items {
                if sender.send(item).is_err() {
                    break;
                }
            }
        });
        Self { ready: Some(receiver), thread: Some(thread) }
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Some(item) = self.ready.as_ref().and_then(|ready| ready.recv().ok()) {
            return Some(item);
        }
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.ready = None;
        if let Some(thread) = self.thread.take() {
            // Whoever drops it has no more use for the items, so neither for how making them failed.
            let _ = thread.join();
        }
    }
}
