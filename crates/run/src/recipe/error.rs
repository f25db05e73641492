//! What can be wrong with a recipe.

use std::fmt;

/// A problem in a recipe: where, in which arm, at which key, and what would be right.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeError {
    /// File and line (`sam.toml:14`), or the option of the command line.
    pub place: String,
    /// The arm whose settings are wrong, if the recipe has arms.
    pub arm: Option<String>,
    /// The key, with dots; empty for the recipe as a whole.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(arm) = &self.arm {
            write!(f, "in arm `{arm}`: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for RecipeError {}
