//! Recipe kinds: fronts under a differential equation, covers of critical points, fronts of loss against sparsity.

mod cover;
mod front;
mod sparsity;

use lisse_run::{Method, RecipeEntry, Registry, recipe};

pub use cover::ParetoCover;
pub use front::ParetoFront;
pub use sparsity::SparsityFront;

/// Adds everything here to a registry.
pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(ParetoFront);
    registry.add_kind(ParetoCover);
    registry.add_kind(SparsityFront);
    for recipe in RECIPES {
        registry.add_recipe(recipe);
    }
    registry.add_method(METHOD);
}

const RECIPES: [RecipeEntry; 5] = [
    recipe!("pareto-elliptic", "The front of a non-smooth elliptic control problem, spaced evenly"),
    recipe!("reduced-basis", "The same fronts with a reduced basis and error bounds"),
    recipe!("pareto-cover", "All critical points of two non-smooth functions, by subdivision"),
    recipe!("sparsity-front", "Loss against sparsity: the whole path on the diabetes data"),
    recipe!("sparsity-network", "Loss against sparsity of a small network for digits"),
];

const METHOD: Method = Method {
    slug: "multiobjective-nonsmooth-pde",
    title: "Several objectives, non-smooth and under differential equations",
    paper: "Multiobjective Optimization of Non-Smooth PDE-Constrained Problems - Switches, State Constraints and Model Order Reduction",
    arxiv: Some("2308.01113"),
    authors: "Marco Bernreuther, Michael Dellnitz, Bennet Gebken, Georg Mueller, Sebastian Peitz, Konstantin Sonntag, Stefan Volkwein",
    year: 2023,
    field: "several objectives",
    summary: "Fronts that are evenly spaced, covered or followed; semismooth Newton, common descent, reduced bases with error bounds",
    recipes: &[
        "pareto-elliptic",
        "reduced-basis",
        "pareto-cover",
        "sparsity-front",
        "sparsity-network",
    ],
    bibtex: "@misc{bernreuther2023multiobjective,\n  title = {Multiobjective Optimization of Non-Smooth {PDE}-Constrained Problems - Switches, State Constraints and Model Order Reduction},\n  author = {Bernreuther, Marco and Dellnitz, Michael and Gebken, Bennet and M{\\\"u}ller, Georg and Peitz, Sebastian and Sonntag, Konstantin and Volkwein, Stefan},\n  year = {2023},\n  eprint = {2308.01113},\n  archivePrefix = {arXiv}\n}",
};

/// `Err` unless the value of a key is fine.
fn expect(good: bool, key: &str, expected: &str) -> Result<(), lisse_run::Invalid> {
    if good { Ok(()) } else { Err(lisse_run::Invalid::new(key, expected)) }
}

#[cfg(test)]
mod tests;
