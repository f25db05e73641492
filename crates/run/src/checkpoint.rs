//! Where to go on: one safetensors file, replaced as a whole.
//!
//! The arrays of each state stand under their paths, with the arm's name and a slash before; the rest of the state is MessagePack
//! in the byte array `#state`, because JSON would lose infinities; how far the loop is stands as JSON in the file's metadata.

use std::collections::HashMap;
use std::fs;

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use crate::arrays::{self, Arrays};
use crate::experiment::Experiment;
use crate::folder::RunFolder;
use crate::process::AnyState;
use crate::watch::Record;
use crate::{ArmSummary, Error, Number, Stop};

const PROGRESS: &str = "lisse.progress";
const RECIPE: &str = "lisse.recipe";
const REST: &str = "#state";

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The arm that is next or being driven.
    pub(crate) arm: usize,
    /// Steps done in it.
    pub(crate) step: u64,
    /// Seconds spent in its steps.
    pub(crate) arm_secs: f64,
    /// Why its steps stopped, if they have; what is left then is to finish it.
    pub(crate) stopped: Option<Stop>,
    /// Best value of the early-stopping metric and values recorded since.
    pub(crate) best: Option<(Number, u64)>,
    /// The arms that are over.
    pub(crate) ended: Vec<ArmSummary>,
    /// Steps over all arms.
    pub(crate) steps: u64,
    pub(crate) wall_secs: f64,
    pub(crate) cpu_secs: f64,
    pub(crate) peak_memory_bytes: u64,
    /// Length of `metrics.jsonl`.
    pub(crate) metrics_bytes: u64,
    pub(crate) record: Record,
}

/// Named states, the last of which may be of an arm that is being driven.
pub(crate) type States = Vec<(String, Box<dyn AnyState>)>;

/// The content of a checkpoint file.
pub(crate) fn encode<'s>(
    progress: &Progress,
    recipe: &str,
    states: impl Iterator<Item = (&'s str, &'s dyn AnyState)>,
) -> Result<Vec<u8>, Error> {
    let mut named = Vec::new();
    for (arm, state) in states {
        let rest = state.rest()?;
        let length = rest.len();
        named.push((key(arm, REST), Array::from_vec(rest, &[length])));
        named.extend(state.arrays().into_iter().map(|(path, array)| (key(arm, &path), array)));
    }
    let progress = serde_json::to_string(progress).map_err(Error::other)?;
    arrays::encode(
        named,
        HashMap::from([(PROGRESS.into(), progress), (RECIPE.into(), recipe.into())]),
    )
}

fn key(arm: &str, path: &str) -> String {
    if arm.is_empty() { path.to_owned() } else { format!("{arm}/{path}") }
}

/// A checkpoint that was read.
pub(crate) struct Checkpoint {
    pub(crate) progress: Progress,
    arrays: Arrays,
}

impl Checkpoint {
    /// Bytes of the folder's checkpoint; `None` if none was made yet.
    pub(crate) fn read(folder: &RunFolder) -> Result<Option<Vec<u8>>, Error> {
        let path = folder.checkpoint_path();
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::disk(&path, "read", error)),
        }
    }

    /// Reads the file's content. The run must be resumed with the recipe with which it was started.
    pub(crate) fn decode(
        folder: &RunFolder,
        bytes: &[u8],
        recipe: &str,
    ) -> Result<Checkpoint, Error> {
        let path = folder.checkpoint_path();
        let corrupt = |problem: &str| {
            Error::corrupt(&path, format!("this checkpoint cannot be used: {problem}"))
        };
        let (arrays, metadata) = arrays::decode(bytes).map_err(|problem| corrupt(&problem))?;
        let text =
            metadata.get(PROGRESS).ok_or_else(|| corrupt("it does not say how far the run was"))?;
        let progress = serde_json::from_str(text).map_err(|error| corrupt(&error.to_string()))?;
        if metadata.get(RECIPE).is_some_and(|saved| saved != recipe) {
            return Err(corrupt(
                "recipe.toml was changed since; put it back, or start a new run with `lisse run` and the changed recipe",
            ));
        }
        Ok(Checkpoint { progress, arrays })
    }

    /// The states of the arms that the checkpoint has.
    pub(crate) fn states(&self, experiment: &Experiment<'_>) -> Result<States, Error> {
        let mut states = States::new();
        for (arm, process) in &experiment.arms {
            let Some(rest) = self.arrays.get(&key(arm, REST)) else { continue };
            let prefix = key(arm, "");
            let own = self.arrays.iter().filter_map(|(name, array)| {
                Some((name.strip_prefix(&prefix)?.to_owned(), array.clone()))
            });
            states.push((arm.clone(), process.load(&rest.to_vec::<u8>(), &own.collect())?));
        }
        Ok(states)
    }
}
