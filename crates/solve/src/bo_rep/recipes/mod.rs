//! Methods for two levels beside each other, on a test problem, on tables and on sentences.

mod config;
mod methods;
mod process;
mod sentences;
mod tables;
mod task;
#[cfg(test)]
mod tests;

use lisse_array::Stream;
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Method, RecipeEntry, RecipeKind, Registry,
    Setup, Watch, recipe,
};

use config::{Config, ProblemConfig};
use process::{COMMON, OWN, RunState, Runner};

/// `kind = "bo-rep"`: every arm is a method on the problem.
pub struct BoRepRace;

const RECIPES: [RecipeEntry; 3] = [
    recipe!(
        "bo-rep-cosh",
        "Two levels with unbounded smoothness: normalized steps against constant ones"
    ),
    recipe!(
        "bo-rep-cleaning",
        "Weights for training examples with wrong labels, learned from clean ones"
    ),
    recipe!(
        "bo-rep-topics",
        "A recurrent representation of sentences, learned over few-shot tasks"
    ),
];

const METHOD: Method = Method {
    slug: "bo-rep",
    title: "Bilevel optimization under unbounded smoothness (BO-REP)",
    paper: "Bilevel Optimization under Unbounded Smoothness: A New Algorithm and Convergence Analysis",
    arxiv: Some("2401.09587"),
    authors: "Jie Hao, Xiaochuan Gong, Mingrui Liu",
    year: 2024,
    field: "bilevel",
    summary: "Normalized momentum on the upper level, a refined start and periodic updates on the lower one: for recurrent networks",
    recipes: &["bo-rep-cosh", "bo-rep-cleaning", "bo-rep-topics"],
    bibtex: "@inproceedings{hao2024bilevel,\n  title = {Bilevel Optimization under Unbounded Smoothness: A New Algorithm and Convergence Analysis},\n  author = {Hao, Jie and Gong, Xiaochuan and Liu, Mingrui},\n  booktitle = {International Conference on Learning Representations},\n  year = {2024}\n}",
};

/// Adds the recipe kind, the recipes and the method.
pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(BoRepRace);
    for recipe in RECIPES {
        registry.add_recipe(recipe);
    }
    registry.add_method(METHOD);
}

/// Final figures of a problem, best known first.
fn problem_figures(problem: &ProblemConfig) -> &'static [&'static str] {
    match problem {
        ProblemConfig::Cosh { .. } => &["gradient"],
        ProblemConfig::Cleaning { .. } => &["validation_loss", "test_accuracy", "auc"],
        ProblemConfig::Ridge { .. } => &["validation_loss", "test_accuracy"],
        ProblemConfig::FewShot(_) => &["test_loss", "test_accuracy"],
    }
}

impl RecipeKind for BoRepRace {
    type Config = Config;

    fn name(&self) -> &'static str {
        "bo-rep"
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
        let mut entries = Vec::new();
        for arm in arms {
            entries.push((arm.name.clone(), problem_figures(&arm.config.problem)));
            experiment = experiment.arm(arm.name, Runner::new(arm.config, setup.seed)?);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&entries, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let own: &[&str] =
            if matches!(config.method, methods::MethodConfig::BoRep(_)) { &OWN } else { &[] };
        let names = COMMON.iter().chain(problem_figures(&config.problem)).chain(own);
        Some(names.map(|name| (*name).to_owned()).collect())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let stream = Stream::new(setup.seed).child("problem");
        arms.first().map_or_else(|| Ok(Vec::new()), |arm| Ok(arm.config.task(&stream)?.0.audits()))
    }
}

type Entries = [(String, &'static [&'static str])];

fn conclude(arms: &Entries, finals: &Finals<'_>, watch: &mut Watch) -> Result<(), Error> {
    let states: Vec<(&str, &RunState)> = arms
        .iter()
        .filter_map(|(arm, _)| Some((arm.as_str(), finals.state::<Runner>(arm)?)))
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for (_, state) in &states {
        for (name, _) in state.path.iter().flat_map(|mark| &mark.values) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    for name in names {
        let label = name.replace('_', " ");
        let curves = |title: &str, x: Axis, at: fn(&process::Mark) -> f64| {
            let mut picture = Picture::lines(format!("{label}, {title}"), x, Axis::new(&label));
            for (arm, state) in &states {
                let value = |mark: &process::Mark| {
                    let found = mark.values.iter().find(|(n, _)| n == name);
                    found.map(|(_, value)| (at(mark), *value))
                };
                picture = picture.series(*arm, state.path.iter().filter_map(value));
            }
            picture
        };
        let calls = curves("by gradients and products", Axis::new("calls"), |m| m.calls as f64);
        watch.picture(&format!("{name}-calls"), calls)?;
        let seconds = curves("by time", Axis::new("seconds"), |m| m.seconds);
        watch.picture(&format!("{name}-seconds"), seconds)?;
    }
    watch.table("costs", table(arms, &states, finals))
}

fn table(arms: &Entries, states: &[(&str, &RunState)], finals: &Finals<'_>) -> Table {
    let figures = arms.first().map_or(&[][..], |(_, figures)| figures);
    let costs = [
        "steps",
        "steps_to",
        "upper_gradients",
        "lower_gradients",
        "hessian_products",
        "jacobian_products",
        "seconds",
    ];
    let spoken = |name: &&str| name.replace('_', " ");
    let columns = std::iter::once("method".to_owned())
        .chain(figures.iter().map(spoken))
        .chain(costs.iter().map(spoken))
        .chain(["ended".to_owned()]);
    let mut table = Table::new("Results and what they cost", columns);
    for (arm, state) in states {
        let value =
            |name: &str| Cell::from(finals.figure(&format!("{arm}.{name}")).unwrap_or(f64::NAN));
        let end = match &state.failure {
            Some(reason) => reason.clone(),
            None => "as planned".to_owned(),
        };
        let values = figures.iter().chain(&costs).map(|name| value(name));
        table = table.row(std::iter::once(Cell::from(*arm)).chain(values).chain([Cell::from(end)]));
    }
    table.caption("Gradients count singly for each variable; products are with the Hessian of the lower level and with its mixed derivative.")
}
