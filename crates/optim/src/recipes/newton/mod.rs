//! Newton's method regularized by the gradient beside methods of first and second order.

mod config;
mod process;

use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Error, Experiment, Finals, Invalid, Method, RecipeEntry, RecipeKind, Setup, Watch, recipe,
};

use crate::gradient_normalized::Status;
use config::Config;
use process::{DIGITS, Runner};

/// `kind = "newton"`: every arm is a method, each runs on every problem.
pub struct NewtonRace;

/// The recipes of the method.
pub(super) const NEWTON_RECIPES: [RecipeEntry; 2] = [
    recipe!(
        "gns-newton",
        "Newton's method regularized by the gradient on logistic and softmax regression"
    ),
    recipe!("gns-digits", "Newton steps by products on a network for digits"),
];

/// The method.
pub(super) const NEWTON_METHOD: Method = Method {
    slug: "gradient-normalized-smoothness",
    title: "Gradient-regularized Newton with approximate Hessians (GNS)",
    paper: "Gradient-Normalized Smoothness for Optimization with Approximate Hessians",
    arxiv: Some("2506.13710"),
    authors: "Andrei Semenov, Martin Jaggi, Nikita Doikov",
    year: 2026,
    field: "minimization",
    summary: "Newton steps damped by the norm of the gradient, with any semidefinite matrix for the Hessian and no constant to know",
    recipes: &["gns-newton", "gns-digits"],
    bibtex: "@inproceedings{semenov2026gradient,\n  title = {Gradient-Normalized Smoothness for Optimization with Approximate {H}essians},\n  author = {Semenov, Andrei and Jaggi, Martin and Doikov, Nikita},\n  booktitle = {International Conference on Learning Representations},\n  year = {2026}\n}",
};

impl RecipeKind for NewtonRace {
    type Config = Config;

    fn name(&self) -> &'static str {
        "newton"
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
            let runner = Runner::new(&arm.config, setup.seed)?;
            let problems: Vec<String> = arm.config.problems.into_keys().collect();
            entries.push((arm.name.clone(), problems));
            experiment = experiment.arm(arm.name, runner);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&entries, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let plain =
            ["converged", "iterations", "solves", "gradients", "gradient_norm", "gap", "seconds"];
        let keys = plain.map(String::from).into_iter();
        let keys: Vec<String> = keys.chain(DIGITS.map(|d| format!("iterations_{d}"))).collect();
        let per_problem = |p: &String| {
            let under: Vec<String> = keys.iter().map(|k| format!("{p}.{k}")).collect();
            under
        };
        Some(config.problems.keys().flat_map(per_problem).collect())
    }
}

fn conclude(
    arms: &[(String, Vec<String>)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let names = arms.first().map(|(_, names)| names.clone()).unwrap_or_default();
    for name in &names {
        let gap = || Axis::new("value minus minimum").log();
        let mut by_iteration =
            Picture::lines(format!("{name}, by iteration"), Axis::new("iterations"), gap());
        let mut by_time =
            Picture::lines(format!("{name}, by time"), Axis::new("seconds").log(), gap());
        let mut table = Table::new(
            format!("{name}: iterations to a gap, and in all"),
            [
                "method",
                "1e-1",
                "1e-2",
                "1e-4",
                "1e-6",
                "1e-8",
                "to the gradient",
                "solves",
                "gradients",
                "seconds",
                "last gap",
                "ended",
            ],
        );
        for (arm, _) in arms {
            let Some(state) = finals.state::<Runner>(arm) else { continue };
            let Some(solved) = state.results.iter().find(|s| s.problem == *name) else { continue };
            let figure = |f: &str| finals.figure(&format!("{arm}.{name}.{f}")).unwrap_or(f64::NAN);
            // A logarithmic axis has no zero: machine precision stands for it.
            let shown = |gap: f64| gap.max(1e-16);
            let gaps = solved.path.iter().enumerate();
            by_iteration =
                by_iteration.series(arm.as_str(), gaps.map(|(k, &(_, g))| (k as f64, shown(g))));
            let times = solved.path.iter().map(|&(s, g)| (s.max(1e-6), shown(g)));
            by_time = by_time.series(arm.as_str(), times);
            let mut row = vec![Cell::from(arm.as_str())];
            row.extend(DIGITS.map(|d| Cell::from(figure(&format!("iterations_{d}")))));
            row.extend(
                ["iterations", "solves", "gradients", "seconds", "gap"]
                    .map(|f| Cell::from(figure(f))),
            );
            row.push(Cell::from(solved.status.map_or("", Status::name)));
            table = table.row(row);
        }
        watch.picture(&format!("iterations-{name}"), by_iteration)?;
        watch.picture(&format!("seconds-{name}"), by_time)?;
        watch.table(&format!("table-{name}"), table)?;
    }
    Ok(())
}
