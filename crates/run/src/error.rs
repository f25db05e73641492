//! What can go wrong around a run.

use std::io;
use std::path::{Path, PathBuf};

use crate::claim::ClaimError;
use crate::recipe::RecipeError;

/// A failure of a run, a recipe, or anything read from or written to disk. Each message names the input, what was wrong, and
/// what would be right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A recipe does not fit its schema.
    #[error(transparent)]
    Recipe(#[from] Box<RecipeError>),
    /// A claim cannot be read, or names a figure that the run will not have.
    #[error(transparent)]
    Claim(#[from] Box<ClaimError>),
    /// A name that the registry does not have.
    #[error("there is no {what} called `{name}`{hint}")]
    Unknown {
        /// What was looked for: a method, a recipe, a recipe kind.
        what: &'static str,
        /// The name given.
        name: String,
        /// The nearest names, as the end of the sentence.
        hint: String,
    },
    /// Something could not be read or written.
    #[error("{}: could not {action}: {source}{hint}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What the system said.
        source: io::Error,
        /// What is still whole and what to do, as the end of the sentence; may be empty.
        hint: String,
    },
    /// The folder for a new run is there already.
    #[error(
        "{}: this folder exists and is not empty; give a new folder with --out, or continue the run in it with `lisse resume {}`",
        path.display(), path.display()
    )]
    FolderExists {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that holds no run.
    #[error("{}: this is not a run folder: it has no {missing}", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The file that is missing.
        missing: &'static str,
    },
    /// A run that has no summary yet.
    #[error(
        "{}: this run has not ended: it is going on, or it was killed and `lisse resume {}` finishes it",
        path.display(), path.display()
    )]
    NotEnded {
        /// The folder.
        path: PathBuf,
    },
    /// A finished run cannot be resumed.
    #[error(
        "{}: this run is finished ({stop}), there is nothing to resume; start a new one with `lisse run {}`",
        path.display(), path.join("recipe.toml").display()
    )]
    AlreadyFinished {
        /// The run folder.
        path: PathBuf,
        /// Why it stopped.
        stop: String,
    },
    /// Another process is writing into the run folder.
    #[error("{}: another process is running in this folder; wait for it or stop it first", path.display())]
    Busy {
        /// The run folder.
        path: PathBuf,
    },
    /// A file that should hold part of a run does not.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// Ranks could not be set up, or could not work together.
    #[error("ranks: {0}")]
    Ranks(String),
    /// A failure of the method itself.
    #[error("{0}")]
    Message(String),
    /// A failure of the method itself, from another library.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A failure described by a sentence.
    pub fn message(text: impl Into<String>) -> Error {
        Error::Message(text.into())
    }

    /// Wraps any other error.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Other(error.into())
    }

    /// A disk error; a full disk is told what to do about it.
    pub(crate) fn disk(path: &Path, action: &'static str, source: io::Error) -> Error {
        let hint = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "; free some space, then `lisse resume` goes on from the last checkpoint, which is intact".to_owned()
            }
            _ => String::new(),
        };
        Error::Disk { path: path.to_owned(), action, source, hint }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Error {
        Error::Corrupt { path: path.to_owned(), reason: reason.into() }
    }
}
