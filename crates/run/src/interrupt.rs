//! Ctrl-C and friends: the first asks the loop to save and stop, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;

/// Exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// A request to save and stop, seen by the loop between steps and by [`Watch::tick`](crate::Watch::tick).
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A request that only [`request`](Interrupt::request) makes.
    pub fn manual() -> Interrupt {
        Interrupt::default()
    }

    /// Listens to Ctrl-C, SIGTERM and SIGHUP (batch systems send these before their time limit). The first one asks to save and
    /// stop; the second exits with code 130. A process can install this once; a second time is an error.
    pub fn install() -> Result<Interrupt, Error> {
        let interrupt = Interrupt::manual();
        let seen = interrupt.clone();
        ctrlc::set_handler(move || {
            if seen.0.swap(true, Ordering::SeqCst) {
                std::process::exit(INTERRUPTED);
            }
        })
        .map_err(Error::other)?;
        Ok(interrupt)
    }

    /// Asks to save and stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether someone asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
