//! The recipes of coordinate-wise clipping.

use lisse_run::{Method, RecipeEntry, recipe};

pub(super) const CLIPPING_RECIPES: [RecipeEntry; 2] = [
    recipe!(
        "clipping-tabular",
        "SGD and Adam with their largest coordinates clipped, on raw measurements"
    ),
    recipe!(
        "clipping-transformer",
        "Directional sharpness and clipped optimizers on a small decoder of text"
    ),
];

pub(super) const CLIPPING_METHOD: Method = Method {
    slug: "clipped-adam",
    title: "Coordinate-wise clipping and directional sharpness",
    paper: "Toward Understanding Why Adam Converges Faster Than SGD for Transformers",
    arxiv: Some("2306.00204"),
    authors: "Yan Pan, Yuanzhi Li",
    year: 2023,
    field: "training",
    summary: "Cuts the largest coordinates of gradient or update to one bound, and measures how sharp the loss is along what optimizers do",
    recipes: &["clipping-tabular", "clipping-transformer"],
    bibtex: "@misc{pan2023toward,\n  title = {Toward Understanding Why {Adam} Converges Faster Than {SGD} for Transformers},\n  author = {Pan, Yan and Li, Yuanzhi},\n  note = {OPT 2022: Optimization for Machine Learning (NeurIPS workshop)},\n  eprint = {2306.00204}, archivePrefix = {arXiv},\n  year = {2023}\n}",
};
