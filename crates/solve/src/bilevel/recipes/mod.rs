//! Recipe kinds and methods of this module.

mod config;
mod fixed;
mod process;
mod tasks;
#[cfg(test)]
mod tests;

use lisse_array::{Array, DType};
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Method, RecipeEntry, RecipeKind, Registry,
    Setup, Watch, recipe,
};

use config::{Config, ProblemConfig, SvmData};
use process::{Runner, plotted};

/// `kind = "bilevel"`: every arm is a method, all on one problem.
pub struct BilevelRace;

const RECIPES: [RecipeEntry; 4] = [
    recipe!(
        "penalty-cleaning",
        "Cleaning flipped labels by gradients only, the model confined to a ball"
    ),
    recipe!(
        "penalty-digits",
        "Cleaning digits with wrong labels: penalty methods beside SOBA and StocBiO"
    ),
    recipe!("lv-hba-svm", "Weights for the examples of a support vector machine"),
    recipe!("lv-hba-toy", "Many lower solutions under a coupling constraint"),
];

const PENALTY: Method = Method {
    slug: "penalty-bilevel",
    title: "Penalty method for bilevel problems",
    paper: "On Penalty Methods for Nonconvex Bilevel Optimization and First-Order Stochastic Approximation",
    arxiv: Some("2309.01753"),
    authors: "Jeongyeol Kwon, Dohyun Kwon, Stephen Wright, Robert Nowak",
    year: 2024,
    field: "bilevel",
    summary: "Two-level problems with gradients only, also where the lower level has many solutions or a simple constraint",
    recipes: &["penalty-cleaning", "penalty-digits"],
    bibtex: "@inproceedings{kwon2024penalty,\n  title = {On Penalty Methods for Nonconvex Bilevel Optimization and First-Order Stochastic Approximation},\n  author = {Kwon, Jeongyeol and Kwon, Dohyun and Wright, Stephen and Nowak, Robert},\n  booktitle = {International Conference on Learning Representations},\n  year = {2024}\n}",
};

const LV_HBA: Method = Method {
    slug: "lv-hba",
    title: "Constrained bilevel problems by the proximal Lagrangian value function",
    paper: "Constrained Bi-Level Optimization: Proximal Lagrangian Value function Approach and Hessian-free Algorithm",
    arxiv: Some("2401.16164"),
    authors: "Wei Yao, Chengming Yu, Shangzhi Zeng, Jin Zhang",
    year: 2024,
    field: "bilevel",
    summary: "Two-level problems whose constraints couple both levels, in a single loop without second derivatives",
    recipes: &["lv-hba-svm", "lv-hba-toy"],
    bibtex: "@inproceedings{yao2024constrained,\n  title = {Constrained Bi-Level Optimization: Proximal {L}agrangian Value function Approach and {H}essian-free Algorithm},\n  author = {Yao, Wei and Yu, Chengming and Zeng, Shangzhi and Zhang, Jin},\n  booktitle = {International Conference on Learning Representations},\n  year = {2024}\n}",
};

/// Adds the recipe kinds, recipes and methods.
pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(BilevelRace);
    for recipe in RECIPES {
        registry.add_recipe(recipe);
    }
    registry.add_method(PENALTY).add_method(LV_HBA);
}

impl RecipeKind for BilevelRace {
    type Config = Config;

    fn name(&self) -> &'static str {
        "bilevel"
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
            experiment = experiment.arm(arm.name.clone(), Runner::new(&arm.config, setup.seed)?);
            entries.push((arm.name, arm.config.problem));
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&entries, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        Some(process::figures(config))
    }

    /// The toy's objectives as functions of arrays; those of linear models have closed forms that tests compare with automatic
    /// derivatives.
    fn audit(&self, _: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let toy =
            arms.iter().any(|a| matches!(a.config.problem, ProblemConfig::CoupledSine { .. }));
        if !toy {
            return Ok(Vec::new());
        }
        let pair = (Array::full(&[4], 0.3, DType::F64), Array::full(&[4], -0.2, DType::F64));
        let upper = |(x, y): &(Array, Array)| {
            let wave = (x.sum_all() + y.sum_all() * 0.5).sin();
            wave + ((x + y).square().sum_all() + 1.0).ln()
        };
        Ok(vec![Audit::new("upper objective", pair, upper)])
    }
}

/// One set of pictures and a table for each problem.
fn conclude(
    arms: &[(String, ProblemConfig)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let mut groups: Vec<(String, Vec<&(String, ProblemConfig)>)> = Vec::new();
    for arm in arms {
        let name = label(&arm.1);
        match groups.iter_mut().find(|group| group.0 == name) {
            Some(group) => group.1.push(arm),
            None => groups.push((name, vec![arm])),
        }
    }
    for (i, (name, arms)) in groups.iter().enumerate() {
        show(i, name, arms, finals, watch)?;
    }
    Ok(())
}

fn show(
    i: usize,
    name: &str,
    arms: &[&(String, ProblemConfig)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let problem = &arms[0].1;
    let (title, axis) = plotted(problem);
    let heading = |by| format!("{name}: {title}, by {by}");
    let mut by_step = Picture::lines(heading("step"), Axis::new("steps"), Axis::new(axis));
    let mut by_time = Picture::lines(heading("time"), Axis::new("seconds").log(), Axis::new(axis));
    for (arm, _) in arms {
        let Some(state) = finals.state::<Runner>(arm) else { continue };
        let steps = state.path.iter().map(|&(k, _, v)| (k as f64, v));
        by_step = by_step.series(arm.as_str(), steps);
        let times = state.path.iter().filter(|p| p.1 > 0.0).map(|&(_, s, v)| (s, v));
        by_time = by_time.series(arm.as_str(), times);
    }
    let caption = "Means over the splits.";
    watch.picture(&format!("by-step-{i}"), by_step.caption(caption))?;
    watch.picture(&format!("by-time-{i}"), by_time.caption(caption))?;
    let mut columns = vec!["method"];
    columns.extend(tasks::names(problem));
    columns.extend([
        "upper_gradients",
        "lower_gradients",
        "hessian_products",
        "jacobian_products",
        "projections",
        "seconds",
        "failed",
        "warnings",
    ]);
    let mut table = Table::new(format!("{name}: at the end"), columns.iter().copied());
    for (arm, _) in arms {
        let figure = |name: &&str| Cell::from(finals.figure(&full(arm, name)).unwrap_or(f64::NAN));
        let cells = columns[1..].iter().map(figure);
        table = table.row(std::iter::once(Cell::from(arm.as_str())).chain(cells));
    }
    let caption = "Means over the splits; products and gradients are counted for one split.";
    watch.table(&format!("end-{i}"), table.caption(caption))
}

/// What pictures call a problem.
fn label(problem: &ProblemConfig) -> String {
    let share = |flipped: f64| format!("{:.0} % wrong labels", 100.0 * flipped);
    match problem {
        ProblemConfig::Cleaning { flipped, .. } => format!("breast cancer, {}", share(*flipped)),
        ProblemConfig::Digits { flipped, .. } => format!("digits, {}", share(*flipped)),
        ProblemConfig::Svm { data: SvmData::BreastCancer, flipped, .. } => {
            format!("SVM on breast cancer, {}", share(*flipped))
        }
        ProblemConfig::Svm { data: SvmData::Digits, flipped, .. } => {
            format!("SVM on fours and nines, {}", share(*flipped))
        }
        ProblemConfig::ManySolutions { n, .. } => format!("many solutions, n = {n}"),
        ProblemConfig::CoupledSine { n, .. } => format!("coupled sine, n = {n}"),
    }
}

fn full(arm: &str, figure: &str) -> String {
    if arm.is_empty() { figure.to_owned() } else { format!("{arm}.{figure}") }
}
