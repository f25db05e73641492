//! What can be wrong with a weight file.

use std::io;
use std::path::{Path, PathBuf};

use super::LoadReport;

/// A weight file that cannot be read, written, or used for a model.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// There is no such file.
    #[error("{}: no such weight file", path.display())]
    NotFound {
        /// The file looked for.
        path: PathBuf,
    },
    /// A folder without weights.
    #[error(
        "{}: the folder holds neither model.safetensors nor model.safetensors.index.json",
        path.display()
    )]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The file ends too early.
    #[error(
        "{}: the file is truncated: its header promises {expected} bytes, it has {found}",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that should be there.
        expected: u64,
        /// Bytes that are.
        found: u64,
    },
    /// The file is not what its name says.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A tensor of a type that no array has.
    #[error("{}: `{name}` has element type {dtype}, which Lisse does not read", path.display())]
    UnsupportedDType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type, in the format's words.
        dtype: String,
    },
    /// The names or shapes in the file are not those of the model.
    #[error("{}: the weights do not fit the model{report}", path.display())]
    DoesNotFit {
        /// The file.
        path: PathBuf,
        /// What is missing, unexpected and mismatched.
        report: LoadReport,
    },
    /// Two leaves of a tree have one name.
    #[error("cannot save: two leaves are named `{name}`")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// Reading or writing failed.
    #[error("{}: {action} failed: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl WeightError {
    pub(super) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound && action == "opening" {
            return Self::NotFound { path: path.to_path_buf() };
        }
        Self::Io { path: path.to_path_buf(), action, source }
    }

    pub(super) fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_path_buf(), reason: reason.into() }
    }
}
