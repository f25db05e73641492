//! Ranks that are threads of one process.

use std::sync::{Arc, Barrier, Mutex, PoisonError};

use super::Wire;

struct Board {
    /// `letters[from][to]`.
    letters: Mutex<Vec<Vec<Vec<u8>>>>,
    turn: Barrier,
}

struct ThreadWire {
    rank: usize,
    size: usize,
    board: Arc<Board>,
}

pub(crate) fn run<T: Send>(size: usize, f: impl Fn(Arc<dyn Wire>) -> T + Sync) -> Vec<T> {
    let board =
        Arc::new(Board { letters: Mutex::new(vec![Vec::new(); size]), turn: Barrier::new(size) });
    std::thread::scope(|scope| {
        let start = |rank| {
            let wire = Arc::new(ThreadWire { rank, size, board: board.clone() });
            let f = &f;
            scope.spawn(move || f(wire))
        };
        let threads: Vec<_> = (0..size).map(start).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

impl Wire for ThreadWire {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&self, parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let letters = || self.board.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters()[self.rank] = parts;
        self.board.turn.wait();
        let received =
            letters().iter_mut().map(|from| std::mem::take(&mut from[self.rank])).collect();
        // Nobody writes the next letters before all have read these.
        self.board.turn.wait();
        received
    }

    fn abort(&self, code: i32) -> ! {
        std::process::exit(code)
    }
}
