//! Claims: what a recipe says that its run will show, such as `sam.test_accuracy >= sgd.test_accuracy`.
//!
//! ```text
//! claim    = sum ("<" | "<=" | ">" | ">=" | "==" | "!=") sum
//! sum      = product (("+" | "-") product)*
//! product  = factor (("*" | "/") factor)*
//! factor   = "-" factor | number | figure | "abs" "(" sum ")" | "(" sum ")"
//! figure   = name ("." name)*      with letters, digits and _ ; any other name stands in `backticks`
//! ```

mod parse;

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{Number, number, suggest};

/// An arithmetic expression over figures.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A constant.
    Number(f64),
    /// A figure of the run, by its full name.
    Figure(String),
    /// Sign change.
    Negative(Box<Expression>),
    /// Absolute value.
    Absolute(Box<Expression>),
    /// Two operands.
    Binary(Operator, Box<Expression>, Box<Expression>),
}

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Relation {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// A claim, read from its text with [`str::parse`].
///
/// ```
/// use lisse_run::claim::Claim;
/// let claim: Claim = "sam.eigenvalue < 0.5 * sgd.eigenvalue".parse()?;
/// assert_eq!(claim.figures(), ["sam.eigenvalue", "sgd.eigenvalue"]);
/// # Ok::<(), lisse_run::claim::ClaimError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    text: String,
    left: Expression,
    relation: Relation,
    right: Expression,
}

/// A claim and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    /// The claim as the recipe says it.
    pub claim: String,
    /// Value of its left side; NaN if a figure is missing.
    #[serde(with = "number")]
    pub left: f64,
    /// Value of its right side; NaN if a figure is missing.
    #[serde(with = "number")]
    pub right: f64,
    /// Whether it holds. A comparison with NaN never does.
    pub holds: bool,
    /// Why there is no value, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Why a claim cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClaimError {
    /// The text is not a claim.
    #[error(
        "claim `{claim}`: {problem}, at character {position}; right would be, for example, `sam.accuracy >= sgd.accuracy - 0.01`"
    )]
    Syntax {
        /// The text.
        claim: String,
        /// Where, in characters from 1.
        position: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A figure that the run will not have.
    #[error("claim `{claim}`: this run has no figure `{figure}`{hint}")]
    UnknownFigure {
        /// The text.
        claim: String,
        /// The figure.
        figure: String,
        /// The nearest figures, as the end of the sentence.
        hint: String,
    },
}

impl Claim {
    /// The claim as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names of the figures in it, in order, each once.
    pub fn figures(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.left.collect_figures(&mut names);
        self.right.collect_figures(&mut names);
        names
    }

    /// Checks that each figure could exist: that `possible` accepts it. `known` are names for the hint.
    pub fn check(
        &self,
        possible: impl Fn(&str) -> bool,
        known: &[String],
    ) -> Result<(), ClaimError> {
        match self.figures().into_iter().find(|name| !possible(name)) {
            None => Ok(()),
            Some(figure) => Err(ClaimError::UnknownFigure {
                claim: self.text.clone(),
                figure: figure.into(),
                hint: suggest::hint(figure, known.iter().map(String::as_str)),
            }),
        }
    }

    /// Both sides and whether the claim holds on these figures.
    pub fn evaluate(&self, figures: &IndexMap<String, Number>) -> ClaimResult {
        let (left, right) = (self.left.value(figures), self.right.value(figures));
        let holds = match self.relation {
            Relation::Less => left < right,
            Relation::LessOrEqual => left <= right,
            Relation::Greater => left > right,
            Relation::GreaterOrEqual => left >= right,
            Relation::Equal => left == right,
            Relation::NotEqual => left != right && !left.is_nan() && !right.is_nan(),
        };
        let problem =
            self.figures().into_iter().find(|name| !figures.contains_key(*name)).map(|name| {
                format!(
                    "this run has no figure `{name}`{}",
                    suggest::hint(name, figures.keys().map(String::as_str))
                )
            });
        ClaimResult { claim: self.text.clone(), left, right, holds, problem }
    }
}

impl Expression {
    fn collect_figures<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Expression::Number(_) => {}
            Expression::Figure(name) => {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
            Expression::Negative(inner) | Expression::Absolute(inner) => {
                inner.collect_figures(names);
            }
            Expression::Binary(_, left, right) => {
                left.collect_figures(names);
                right.collect_figures(names);
            }
        }
    }

    fn value(&self, figures: &IndexMap<String, Number>) -> f64 {
        match self {
            Expression::Number(value) => *value,
            Expression::Figure(name) => figures.get(name).map_or(f64::NAN, |number| number.0),
            Expression::Negative(inner) => -inner.value(figures),
            Expression::Absolute(inner) => inner.value(figures).abs(),
            Expression::Binary(operator, left, right) => {
                let (left, right) = (left.value(figures), right.value(figures));
                match operator {
                    Operator::Add => left + right,
                    Operator::Subtract => left - right,
                    Operator::Multiply => left * right,
                    Operator::Divide => left / right,
                }
            }
        }
    }
}

impl fmt::Display for ClaimResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.holds { "holds" } else { "does not hold" };
        write!(f, "{}: {word}", self.claim)?;
        match &self.problem {
            Some(problem) => write!(f, " ({problem})"),
            None => write!(f, " ({} and {})", number::human(self.left), number::human(self.right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> IndexMap<String, Number> {
        [
            ("sam.acc", 0.97),
            ("sgd.acc", 0.95),
            ("sam.eig", 3.0),
            ("sgd.eig", 10.0),
            ("nan", f64::NAN),
            ("adam-w.acc", 0.5),
        ]
        .map(|(name, value)| (name.to_owned(), Number(value)))
        .into_iter()
        .collect()
    }

    fn evaluate(text: &str) -> ClaimResult {
        text.parse::<Claim>().unwrap().evaluate(&figures())
    }

    #[test]
    fn claims_report_both_sides() {
        let result = evaluate("sam.eig < 0.5 * sgd.eig");
        assert_eq!((result.left, result.right, result.holds), (3.0, 5.0, true));
        assert_eq!(result.to_string(), "sam.eig < 0.5 * sgd.eig: holds (3 and 5)");
        assert!(!evaluate("sam.acc < sgd.acc").holds);
        assert!(evaluate("abs(sgd.acc - sam.acc) <= 0.03").holds);
        assert!(evaluate("`adam-w.acc` == 0.5").holds);
    }

    #[test]
    fn nan_never_holds() {
        for relation in ["<", "<=", ">", ">=", "==", "!="] {
            assert!(!evaluate(&format!("nan {relation} 1")).holds, "{relation}");
        }
    }

    #[test]
    fn a_missing_figure_names_the_nearest() {
        let result = evaluate("sam.ac >= 0");
        assert!(!result.holds && result.left.is_nan());
        assert!(
            result
                .problem
                .as_ref()
                .unwrap()
                .contains("no figure `sam.ac`; did you mean `sam.acc`?"),
            "{result}"
        );
        let claim: Claim = "smo.acc > 0".parse().unwrap();
        let error = claim.check(|name| name.starts_with("sam."), &["sam.acc".into()]).unwrap_err();
        assert!(
            error.to_string().contains("this run has no figure `smo.acc`; did you mean `sam.acc`?"),
            "{error}"
        );
    }
}
