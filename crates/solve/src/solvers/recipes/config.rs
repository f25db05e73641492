//! The schema.

use lisse_run::Invalid;
use serde::{Deserialize, Serialize};

/// The schema of a race: a problem and the solvers that run on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What is solved.
    pub problem: ProblemConfig,
    /// The solvers by name.
    pub solvers: Vec<String>,
    /// Solved when the residual of optimality has fallen to this part of that at the start.
    #[serde(default = "tolerance")]
    pub tolerance: f64,
    /// Most iterations.
    pub max_iterations: usize,
    /// Whether to compare the implicit derivative of each solution with finite differences.
    #[serde(default)]
    pub derivative: bool,
}

fn tolerance() -> f64 {
    1e-6
}

/// The problems by name, on bundled data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProblemConfig {
    /// `|X w - y|^2 / (2 n) + lambda |w|_1` on standardised diabetes data
    Lasso {
        /// `lambda` as a part of the least penalty that makes all coefficients 0.
        penalty: f64,
    },
    /// The dual of the multiclass linear support vector machine on standardised breast-cancer data: rows of dual variables in the simplex
    SvmDual {
        /// `lambda`
        penalty: f64,
        /// Examples, from the first.
        examples: usize,
    },
    /// Softmax regression of digits with penalty `lambda |W|^2 / 2`
    Softmax {
        /// `lambda`
        penalty: f64,
        /// Examples, from the first.
        examples: usize,
    },
    /// The mean image of all digits as a non-negative combination of single images: non-negative least squares with penalty
    /// `lambda |x|^2 / 2`
    NonNegative {
        /// `lambda`
        penalty: f64,
        /// Images that are combined, from the first.
        atoms: usize,
    },
}

impl ProblemConfig {
    /// Solvers that the problem has.
    pub fn solvers(&self) -> &'static [&'static str] {
        match self {
            ProblemConfig::Lasso { .. } => {
                &["ista", "fista", "fista_plain", "blocks", "picard", "anderson", "program"]
            }
            ProblemConfig::SvmDual { .. } => &["projected", "fista", "mirror", "blocks"],
            ProblemConfig::Softmax { .. } => {
                &["gradient", "fista", "lbfgs", "conjugate", "picard", "anderson"]
            }
            ProblemConfig::NonNegative { .. } => {
                &["projected", "fista", "lbfgsb", "coordinates", "picard", "anderson", "program"]
            }
        }
    }

    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let (penalty, count, key, most, range) = match *self {
            ProblemConfig::Lasso { penalty } => (penalty, 1, "", 1, ""),
            ProblemConfig::SvmDual { penalty, examples } => {
                (penalty, examples, "examples", 569, "between 2 and 569")
            }
            ProblemConfig::Softmax { penalty, examples } => {
                (penalty, examples, "examples", 1797, "between 2 and 1797")
            }
            ProblemConfig::NonNegative { penalty, atoms } => {
                (penalty, atoms, "atoms", 1797, "between 2 and 1797")
            }
        };
        if !(penalty > 0.0 && penalty.is_finite()) {
            return Err(("penalty", "a number above 0"));
        }
        if matches!(self, ProblemConfig::Lasso { .. }) {
            return if penalty < 1.0 { Ok(()) } else { Err(("penalty", "between 0 and 1")) };
        }
        if (2..=most).contains(&count) { Ok(()) } else { Err((key, range)) }
    }
}

impl Config {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        self.problem
            .check()
            .map_err(|(key, expected)| Invalid::new(format!("problem.{key}"), expected))?;
        if self.solvers.is_empty() {
            return Err(Invalid::new("solvers", "at least one solver"));
        }
        let known = self.problem.solvers();
        for (i, name) in self.solvers.iter().enumerate() {
            let again = self.solvers[..i].contains(name);
            if again || !known.contains(&name.as_str()) {
                let expected = format!("different names out of {}", known.join(", "));
                return Err(Invalid::new("solvers", expected));
            }
        }
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(Invalid::new("tolerance", "between 0 and 1"));
        }
        if self.max_iterations == 0 {
            return Err(Invalid::new("max_iterations", "at least 1"));
        }
        if self.derivative && matches!(self.problem, ProblemConfig::SvmDual { .. }) {
            let expected = "false for `svm-dual`, whose dual variables are not unique";
            return Err(Invalid::new("derivative", expected));
        }
        Ok(())
    }
}
