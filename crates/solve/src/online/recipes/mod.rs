//! Recipes: learners on streams, against the best fixed and the moving optimum.

mod config;
mod facts;
mod process;
mod report;
mod streams;

use lisse_array::{Array, DType};
use lisse_run::{
    Arm, Audit, Error, Experiment, Invalid, Method, RecipeEntry, RecipeKind, Registry, Setup,
    recipe,
};

use config::Config;
use process::Runner;
use streams::Shelf;
pub(super) use streams::array_loss;

/// `kind = "online"`: every arm is a learner, each plays on every stream.
pub(crate) struct Online;

const RECIPES: [RecipeEntry; 2] = [
    recipe!(
        "online-regret",
        "Regret of online learners between stochastic and adversarial streams, by horizon"
    ),
    recipe!("online-drift", "Online learners on logistic losses whose concept turns"),
];

const METHOD: Method = Method {
    slug: "optimistic-omd",
    title: "Optimistic online mirror descent",
    paper: "Optimistic Online Mirror Descent for Bridging Stochastic and Adversarial Online Convex Optimization",
    arxiv: Some("2302.04552"),
    authors: "Sijia Chen, Yu-Jie Zhang, Wei-Wei Tu, Peng Zhao, Lijun Zhang",
    year: 2024,
    field: "online learning",
    summary: "Online learners with hints, whose regret shrinks with the variance and the drift of the losses",
    recipes: &["online-regret", "online-drift"],
    bibtex: "@article{chen2024optimistic,\n  title = {Optimistic Online Mirror Descent for Bridging Stochastic and Adversarial Online Convex Optimization},\n  author = {Chen, Sijia and Zhang, Yu-Jie and Tu, Wei-Wei and Zhao, Peng and Zhang, Lijun},\n  journal = {Journal of Machine Learning Research},\n  volume = {25},\n  year = {2024}\n}",
};

/// Adds the kind, the recipes and the method.
pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(Online).add_method(METHOD);
    for recipe in RECIPES {
        registry.add_recipe(recipe);
    }
}

impl RecipeKind for Online {
    type Config = Config;

    fn name(&self) -> &'static str {
        "online"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        config.validate()
    }

    fn experiment(
        &self,
        setup: &Setup,
        arms: Vec<Arm<Config>>,
    ) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut shelf = Shelf::new(setup.seed);
        let mut names = Vec::new();
        for arm in arms {
            names.push(arm.name.clone());
            experiment = experiment.arm(arm.name, Runner::new(&arm.config, &mut shelf)?);
        }
        Ok(experiment.conclude(move |finals, watch| report::conclude(&names, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let keys = process::figure_names(config);
        let of_stream = |name: &String| -> Vec<String> {
            keys.iter().map(|key| format!("{name}.{key}")).collect()
        };
        Some(config.played().flat_map(|(name, _)| of_stream(name)).collect())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let mut audits: Vec<Audit> = Vec::new();
        let _ = setup;
        for (name, stream) in arms.iter().flat_map(|arm| &arm.config.streams) {
            if audits.iter().any(|audit| audit.name() == name) {
                continue;
            }
            if let Some((inputs, targets, link, l2)) = stream.examples(name)? {
                let at = Array::full(&[inputs.dim(1)], 0.3, DType::F64);
                let loss = move |x: &Array| array_loss(&inputs, &targets, link, l2, x);
                audits.push(Audit::new(name.clone(), at, loss));
            }
        }
        Ok(audits)
    }
}
