//! What a weight file and a model do not share.

use std::fmt;

use lisse_array::DType;

/// A leaf of the model that the file does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The leaf's path.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The most similar unused name in the file, if one is similar.
    pub nearest: Option<String>,
}

/// A leaf that the file has with another shape or kind of element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The leaf's path.
    pub path: String,
    /// Element type and shape in the model.
    pub expected: (DType, Vec<usize>),
    /// Element type and shape in the file.
    pub found: (DType, Vec<usize>),
}

/// What a weight file and a model do not share; empty after a complete load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Leaves that the file does not have.
    pub missing: Vec<Missing>,
    /// Names in the file that the model does not have.
    pub unexpected: Vec<String>,
    /// Leaves of another shape, or floats where integers are needed.
    pub mismatched: Vec<Mismatch>,
    /// A prefix which all names in the file would have to lose for the model's to match, if there is one.
    pub prefix: Option<String>,
}

/// Lines of one kind in a message; the rest is counted.
const LINES: usize = 8;

impl LoadReport {
    /// Whether every leaf was found and nothing was left over.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
}

impl fmt::Display for LoadReport {
    /// One line for each difference, each after a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mismatch in self.mismatched.iter().take(LINES) {
            let (expected, found) = (&mismatch.expected, &mismatch.found);
            write!(
                f,
                "\n  mismatched: `{}` is {} {:?} in the model, {} {:?} in the file",
                mismatch.path, expected.0, expected.1, found.0, found.1
            )?;
        }
        rest(f, "mismatched", self.mismatched.len())?;
        for missing in self.missing.iter().take(LINES) {
            write!(f, "\n  missing from the file: `{}` {:?}", missing.path, missing.shape)?;
            if let Some(nearest) = &missing.nearest {
                write!(f, " (nearest name there: `{nearest}`)")?;
            }
        }
        rest(f, "missing from the file", self.missing.len())?;
        for name in self.unexpected.iter().take(LINES) {
            write!(f, "\n  not in the model: `{name}`")?;
        }
        rest(f, "not in the model", self.unexpected.len())?;
        if let Some(prefix) = &self.prefix {
            write!(
                f,
                "\n  hint: the file's names start with `{prefix}`; load it with LoadOptions::strip_prefix"
            )?;
        }
        Ok(())
    }
}

fn rest(f: &mut fmt::Formatter<'_>, kind: &str, count: usize) -> fmt::Result {
    if count > LINES { write!(f, "\n  {kind}: {} more", count - LINES) } else { Ok(()) }
}

/// The most similar of `names`, if it is similar at all.
pub(super) fn nearest<'n>(
    path: &str,
    names: impl IntoIterator<Item = &'n String>,
) -> Option<String> {
    names
        .into_iter()
        .map(|name| (strsim::normalized_levenshtein(path, name), name))
        .filter(|(similarity, _)| *similarity >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.clone())
}
