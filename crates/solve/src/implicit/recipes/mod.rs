//! Recipes: distilled digits, hyper-parameters by gradient, the sensitivity of packed spheres.

mod digits;
mod distill;
mod hyper;
mod inner;
mod sensitivity;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use lisse_array::{Array, Tree, value_and_grad};
use lisse_run::{Error, Invalid, Method, RecipeEntry, Registry, recipe};

use super::{Derivative, Implicit, ImplicitError, Unroll};
use crate::linear::{LinearSolver, Method as Linear};
use serde::{Deserialize, Serialize};

const RECIPES: [RecipeEntry; 3] = [
    recipe!("distill-digits", "Ten images that train a classifier of digits"),
    recipe!("hyperparameters", "Penalties of ridge, lasso and support vector machine by gradient"),
    recipe!("sensitivity-spheres", "How a packing of soft spheres moves when some of them grow"),
];

const METHOD: Method = Method {
    slug: "implicit-differentiation",
    title: "Implicit differentiation of solutions",
    paper: "Efficient and Modular Implicit Differentiation",
    arxiv: Some("2105.15183"),
    authors: "Mathieu Blondel, Quentin Berthet, Marco Cuturi, Roy Frostig, Stephan Hoyer, Felipe Llinares-Lopez, Fabian Pedregosa, Jean-Philippe Vert",
    year: 2022,
    field: "structured problems",
    summary: "Derivatives of any solver's solution from its optimality condition and one linear solve, in both modes and to any order",
    recipes: &["distill-digits", "hyperparameters", "sensitivity-spheres"],
    bibtex: "@inproceedings{blondel2022efficient,\n  title = {Efficient and Modular Implicit Differentiation},\n  author = {Blondel, Mathieu and Berthet, Quentin and Cuturi, Marco and Frostig, Roy and Hoyer, Stephan and Llinares-L{\\'o}pez, Felipe and Pedregosa, Fabian and Vert, Jean-Philippe},\n  booktitle = {Advances in Neural Information Processing Systems},\n  year = {2022}\n}",
};

/// Adds the kinds, the recipes and the method.
pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(distill::Distillation);
    registry.add_kind(hyper::Hyperparameters);
    registry.add_kind(sensitivity::Sensitivity);
    for recipe in RECIPES {
        registry.add_recipe(recipe);
    }
    registry.add_method(METHOD);
}

/// How a solve is differentiated, as recipes say it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
enum DerivativeConfig {
    /// A linear solve at the solution.
    Implicit {
        /// The linear solver by name.
        #[serde(default = "auto")]
        solver: String,
        /// Relative residual at which it stops.
        #[serde(default = "tolerance")]
        tolerance: f64,
        /// Solve on the support alone.
        #[serde(default)]
        support: bool,
    },
    /// So many recorded iterations from the first guess.
    Unrolled {
        /// Iterations.
        steps: usize,
        /// Distance of the iterates that are remembered; all without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkpoint: Option<usize>,
    },
    /// The Jacobian is taken for the identity: one recorded iteration at the solution.
    OneStep,
}

fn auto() -> String {
    "auto".into()
}
fn tolerance() -> f64 {
    1e-10
}

impl DerivativeConfig {
    fn validate(&self, key: &str) -> Result<(), Invalid> {
        let check = |good: bool, field: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(format!("{key}.{field}"), expected)) }
        };
        match self {
            DerivativeConfig::Implicit { solver, tolerance, .. } => {
                let names = "one of auto, cg, minres, gmres, bicgstab, neumann, normal-cg, lsqr, lu, cholesky, qr, inverse";
                let known = Linear::named(solver).is_some_and(|method| method != Linear::Identity);
                check(known, "solver", names)?;
                check(*tolerance > 0.0 && *tolerance < 1.0, "tolerance", "above 0 and below 1")
            }
            DerivativeConfig::Unrolled { steps, checkpoint } => {
                check(*steps > 0, "steps", "at least 1")?;
                check(*checkpoint != Some(0), "checkpoint", "at least 1")
            }
            DerivativeConfig::OneStep => Ok(()),
        }
    }

    fn build(&self) -> Derivative {
        match self {
            DerivativeConfig::Implicit { solver, tolerance, support } => {
                let method = Linear::named(solver).unwrap_or_default();
                let linear = LinearSolver { tolerance: *tolerance, ..LinearSolver::new(method) };
                let mut implicit = Implicit::new(linear);
                implicit.support = *support;
                Derivative::Implicit(implicit)
            }
            DerivativeConfig::Unrolled { steps, checkpoint } => {
                Derivative::Unroll(Unroll { steps: *steps, checkpoint: *checkpoint })
            }
            DerivativeConfig::OneStep => Derivative::Implicit(Implicit::method(Linear::Identity)),
        }
    }
}

/// Value and gradient of a function that may fail inside, or whose implicit derivative may.
fn value_and_gradient<P: Tree>(
    f: impl Fn(&P) -> Result<Array, ImplicitError>,
    at: &P,
    derivative: &Derivative,
) -> Result<(f64, P), Error> {
    let failure = RefCell::new(None);
    let compute = || {
        value_and_grad(|p: &P| {
            f(p).unwrap_or_else(|error| {
                failure.borrow_mut().get_or_insert(error);
                Array::scalar(f64::NAN)
            })
        })(at)
    };
    let found = match derivative {
        Derivative::Implicit(implicit) => implicit.checked(compute).map_err(Error::other)?,
        Derivative::Unroll(_) => compute(),
    };
    match failure.into_inner() {
        Some(error) => Err(Error::other(error)),
        None => Ok((found.0.item(), found.1)),
    }
}

/// The middle of some numbers; NaN of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => 0.5 * (sorted[middle - 1] + sorted[middle]),
    }
}
