//! The recipe kinds and recipes of transport, and the method behind them.

mod plans;
mod router;
#[cfg(test)]
mod tests;

use lisse_run::{Method, Registry};

pub use plans::Plans;
pub use router::Routers;

const METHOD: Method = Method {
    slug: "sparse-ot",
    title: "Optimal transport with sparsity constraints",
    paper: "Sparsity-Constrained Optimal Transport",
    arxiv: Some("2209.15466"),
    authors: "Tianlin Liu, Joan Puigcerver, Mathieu Blondel",
    year: 2023,
    field: "transport",
    summary: "Transport plans with at most k entries in every column or row, through a smooth dual; balanced routers for mixtures of experts",
    recipes: &["transport-colours", "transport-router"],
    bibtex: "@inproceedings{liu2023sparsity,\n  title = {Sparsity-Constrained Optimal Transport},\n  author = {Liu, Tianlin and Puigcerver, Joan and Blondel, Mathieu},\n  booktitle = {International Conference on Learning Representations},\n  year = {2023}\n}",
};

/// Adds everything here to a registry.
pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Plans);
    registry.add_kind(Routers);
    registry.add_recipe(plans::COLOURS);
    registry.add_recipe(router::ROUTER);
    registry.add_method(METHOD);
}
