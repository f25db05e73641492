//! What a method gives, so that the one loop can drive it.

use std::any::Any;

use lisse_array::{Array, Tree};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arrays::{self, Arrays};
use crate::{Error, Stop, Watch};

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// There is more to do.
    Continue,
    /// The process is done, for this reason.
    Done(Stop),
}

/// Anything that advances step by step and can be watched, stopped, saved and resumed: a training, a solve, a search.
///
/// The state is saved as safetensors (its arrays, by path) and MessagePack (the rest). For a resumed run to equal an
/// uninterrupted one bit for bit, everything that changes must be in the state: in particular, draw random numbers from a
/// stream made of the seed and a step counter of the state, not from a generator kept in the process.
pub trait Process {
    /// All that changes from step to step.
    type State: Tree + Serialize + DeserializeOwned + Clone + 'static;

    /// The state before the first step.
    fn start(&self) -> Result<Self::State, Error>;

    /// One step. Report what it did with [`Watch::metric`].
    fn advance(&self, state: &mut Self::State, watch: &mut Watch) -> Result<Step, Error>;

    /// After the last step: final figures, pictures and tables, through `watch`. Not called when the steps failed
    /// ([`Stop::is_failure`]). Long work should name its parts with [`Watch::phase`] and call [`Watch::tick`].
    fn finish(&self, state: &Self::State, watch: &mut Watch) -> Result<(), Error> {
        let _ = (state, watch);
        Ok(())
    }

    /// Number of steps, if it is known. The loop stops after that many even if `advance` never says it is done.
    fn total(&self) -> Option<u64> {
        None
    }
}

/// A [`Process`] of any state type, so that the loop is compiled once and arms may differ in type.
pub(crate) trait AnyProcess {
    fn start(&self) -> Result<Box<dyn AnyState>, Error>;
    fn load(&self, rest: &[u8], arrays: &Arrays) -> Result<Box<dyn AnyState>, Error>;
    fn advance(&self, state: &mut dyn AnyState, watch: &mut Watch) -> Result<Step, Error>;
    fn finish(&self, state: &dyn AnyState, watch: &mut Watch) -> Result<(), Error>;
    fn total(&self) -> Option<u64>;
}

/// A state of any type.
pub(crate) trait AnyState: Any {
    /// Everything but the arrays' values.
    fn rest(&self) -> Result<Vec<u8>, Error>;
    /// The arrays by path.
    fn arrays(&self) -> Vec<(String, Array)>;
    /// Path of the first leaf that holds a NaN or an infinity.
    fn first_bad_leaf(&self) -> Option<String>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<S: Tree + Serialize + 'static> AnyState for S {
    fn rest(&self) -> Result<Vec<u8>, Error> {
        rmp_serde::to_vec_named(self)
            .map_err(|error| Error::message(format!("the state cannot be saved: {error}")))
    }

    fn arrays(&self) -> Vec<(String, Array)> {
        self.named_leaves().into_iter().map(|(path, leaf)| (path, leaf.clone())).collect()
    }

    fn first_bad_leaf(&self) -> Option<String> {
        self.named_leaves().into_iter().find(|(_, leaf)| !leaf.all_finite()).map(|(path, _)| path)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

const SAME_TYPE: &str = "a process is only given states that it made";

impl<P: Process> AnyProcess for P {
    fn start(&self) -> Result<Box<dyn AnyState>, Error> {
        Ok(Box::new(Process::start(self)?))
    }

    fn load(&self, rest: &[u8], arrays: &Arrays) -> Result<Box<dyn AnyState>, Error> {
        let skeleton: P::State = rmp_serde::from_slice(rest).map_err(|error| {
            Error::message(format!(
                "the saved state does not fit this version of the method: {error}"
            ))
        })?;
        Ok(Box::new(arrays::fill(&skeleton, arrays)?))
    }

    fn advance(&self, state: &mut dyn AnyState, watch: &mut Watch) -> Result<Step, Error> {
        Process::advance(self, state.as_any_mut().downcast_mut().expect(SAME_TYPE), watch)
    }

    fn finish(&self, state: &dyn AnyState, watch: &mut Watch) -> Result<(), Error> {
        Process::finish(self, state.as_any().downcast_ref().expect(SAME_TYPE), watch)
    }

    fn total(&self) -> Option<u64> {
        Process::total(self)
    }
}
