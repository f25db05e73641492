//! What can be wrong with data.

use std::path::{Path, PathBuf};

/// Where in a source a value stands, counted from 1 as editors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a text file, the header included.
    Line(u64),
    /// A row of an array or of a binary table.
    Row(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// Why data could not be read or used. Each message names the source, what was wrong and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file could not be opened or read.
    #[error("cannot read `{}`: {reason}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file has no bytes, or none but white space.
    #[error("{file}: the file is empty; expected {expected}")]
    EmptyFile {
        /// The file.
        file: String,
        /// What a file of this kind starts with.
        expected: &'static str,
    },
    /// The source is well formed but holds no example.
    #[error("{file}: no rows; expected at least one{}", if *dropped > 0 { format!(" ({dropped} rows with missing values were dropped)") } else { String::new() })]
    NoRows {
        /// The file or data set.
        file: String,
        /// Rows that were there but left out because of missing values.
        dropped: usize,
    },
    /// A row has more or fewer cells than the header.
    #[error("{file}: line {line}: {found} cells where the header has {expected}")]
    Ragged {
        /// The file.
        file: String,
        /// The line on which the row starts.
        line: u64,
        /// Cells in the header.
        expected: usize,
        /// Cells in the row.
        found: usize,
    },
    /// A cell holds something other than what its column should.
    #[error("{file}: {place}, column {column} (`{name}`): expected {expected}, found `{found}`")]
    WrongCell {
        /// The file.
        file: String,
        /// The row.
        place: Place,
        /// The column, from 1.
        column: usize,
        /// The column's name.
        name: String,
        /// `a number`, `a whole number`.
        expected: &'static str,
        /// The cell's text.
        found: String,
    },
    /// A cell is empty, NaN or infinite, and the policy is to refuse that.
    #[error(
        "{file}: {place}, column {column} (`{name}`): {found}; drop such rows with `Missing::DropRows` or keep them with `Missing::Keep`"
    )]
    NotFinite {
        /// The file or data set.
        file: String,
        /// The row.
        place: Place,
        /// The column, from 1.
        column: usize,
        /// The column's name.
        name: String,
        /// `missing value`, `NaN`, `inf`.
        found: String,
    },
    /// Two columns have one name.
    #[error("{file}: columns {first} and {second} are both named `{name}`; names must differ")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The name.
        name: String,
        /// Where it stands first, from 1.
        first: usize,
        /// Where it stands again, from 1.
        second: usize,
    },
    /// A name that is not there: of a column, array, data set, field.
    #[error("{holder}: no {kind} `{name}`; {}", crate::nearest::advice(name, known))]
    Unknown {
        /// Where it was looked for.
        holder: String,
        /// `column`, `array`, `data set`, `field`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A line of a JSON Lines file is not what it should be.
    #[error("{file}: line {line}, column {column}: {reason}")]
    Json {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: usize,
        /// What was wrong.
        reason: String,
    },
    /// A binary file is damaged, cut short or of another kind.
    #[error("{file}: {reason}")]
    Format {
        /// The file, and the array in it where it holds several.
        file: String,
        /// What was wrong and what would be right.
        reason: String,
    },
    /// An argument outside its range, or arrays that do not go together.
    #[error("{what}: {reason}")]
    Argument {
        /// The operation or setting.
        what: &'static str,
        /// What was given and what would be right.
        reason: String,
    },
}

impl DataError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |reason| Self::Io { path: path.to_path_buf(), reason }
    }

    pub(crate) fn format(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Format { file: file.into(), reason: reason.into() }
    }

    pub(crate) fn argument(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Argument { what, reason: reason.into() }
    }
}
