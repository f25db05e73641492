//! A race of solvers on problems with bundled data.

mod config;
mod problems;
mod process;

#[cfg(test)]
mod tests;

use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Method, RecipeEntry, RecipeKind, Registry,
    Setup, Watch, recipe,
};

use config::Config;
use process::Race;

/// `kind = "solver-race"`: every arm is a problem, on which its solvers run one after another.
pub struct SolverRace;

const RECIPE: RecipeEntry = recipe!(
    "solver-race",
    "Proximal, mirror, coordinate, quasi-Newton, mixing and splitting solvers on four problems"
);

const METHODS: [Method; 3] = [
    Method {
        slug: "fista",
        title: "Proximal gradients with acceleration, and their relatives (solvers)",
        paper: "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems",
        arxiv: None,
        authors: "Amir Beck, Marc Teboulle",
        year: 2009,
        field: "solvers",
        summary: "Smooth functions plus simple parts or sets: proximal, projected, mirror and coordinate steps, with derivatives of the solution",
        recipes: &["solver-race"],
        bibtex: "@article{beck2009fast,\n  title = {A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems},\n  author = {Beck, Amir and Teboulle, Marc},\n  journal = {SIAM Journal on Imaging Sciences},\n  volume = {2},\n  number = {1},\n  pages = {183--202},\n  year = {2009}\n}",
    },
    Method {
        slug: "anderson-acceleration",
        title: "Anderson acceleration of fixed points",
        paper: "Anderson Acceleration for Fixed-Point Iterations",
        arxiv: None,
        authors: "Homer F. Walker, Peng Ni",
        year: 2011,
        field: "solvers",
        summary: "Any contraction, faster: the next point mixes the last ones so that their residuals cancel",
        recipes: &["solver-race"],
        bibtex: "@article{walker2011anderson,\n  title = {Anderson Acceleration for Fixed-Point Iterations},\n  author = {Walker, Homer F. and Ni, Peng},\n  journal = {SIAM Journal on Numerical Analysis},\n  volume = {49},\n  number = {4},\n  pages = {1715--1735},\n  year = {2011}\n}",
    },
    Method {
        slug: "osqp",
        title: "Quadratic programs by operator splitting, with certificates",
        paper: "OSQP: an operator splitting solver for quadratic programs",
        arxiv: Some("1711.08013"),
        authors: "Bartolomeo Stellato, Goran Banjac, Paul Goulart, Alberto Bemporad, Stephen Boyd",
        year: 2020,
        field: "solvers",
        summary: "Convex quadratic programs, exact to ten digits, with proofs of infeasibility and derivatives in all data",
        recipes: &["solver-race"],
        bibtex: "@article{stellato2020osqp,\n  title = {{OSQP}: an operator splitting solver for quadratic programs},\n  author = {Stellato, Bartolomeo and Banjac, Goran and Goulart, Paul and Bemporad, Alberto and Boyd, Stephen},\n  journal = {Mathematical Programming Computation},\n  volume = {12},\n  number = {4},\n  pages = {637--672},\n  year = {2020}\n}",
    },
];

/// Adds the methods, recipes and recipe kinds of the solvers.
pub(crate) fn register(registry: &mut Registry) {
    registry.add_kind(SolverRace);
    registry.add_recipe(RECIPE);
    for method in METHODS {
        registry.add_method(method);
    }
}

impl RecipeKind for SolverRace {
    type Config = Config;

    fn name(&self) -> &'static str {
        "solver-race"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        config.validate()
    }

    fn experiment(&self, _: &Setup, arms: Vec<Arm<Config>>) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut entries = Vec::new();
        for arm in arms {
            entries.push((arm.name.clone(), arm.config.clone()));
            experiment = experiment.arm(arm.name, Race::new(arm.config)?);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&entries, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let mut keys = vec!["solved", "iterations", "evaluations", "seconds", "residual"];
        if config.derivative {
            keys.push("derivative_error");
        }
        let of = |solver: &String| keys.iter().map(|k| format!("{solver}.{k}")).collect::<Vec<_>>();
        Some(config.solvers.iter().flat_map(of).collect())
    }

    fn audit(&self, _: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let audit = |arm: Arm<Config>| {
            let task = arm.config.problem.build(&[])?;
            let at = (&task.start + 0.01, task.theta.clone());
            Ok(Audit::new(arm.name, at, move |(x, theta)| task.value(x, theta)))
        };
        arms.into_iter().map(audit).collect()
    }
}

fn conclude(
    arms: &[(String, Config)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    for (arm, config) in arms {
        let Some(state) = finals.state::<Race>(arm) else { continue };
        let residual = || Axis::new("residual, relative to the start").log();
        let mut by_iteration = Picture::lines(
            format!("{arm}: by iteration"),
            Axis::new("iterations").log(),
            residual(),
        );
        let mut by_time =
            Picture::lines(format!("{arm}: by time"), Axis::new("seconds").log(), residual());
        let title = format!("{arm}: cost of a residual of {:e}", config.tolerance);
        let mut table = Table::new(
            title,
            [
                "solver",
                "iterations",
                "evaluations",
                "seconds",
                "last residual",
                "derivative error",
                "ended",
            ],
        );
        for raced in &state.results {
            let name = raced.solver.as_str();
            // A logarithmic axis has no zero: machine precision stands for it.
            let path = |x: fn(&process::Mark) -> f64| {
                raced.marks.iter().map(move |m| (x(m), m.residual.max(1e-16))).collect::<Vec<_>>()
            };
            by_iteration = by_iteration.series(name, path(|m| m.iterations));
            by_time = by_time.series(name, path(|m| m.seconds.max(1e-6)));
            let solved = raced.solved(config.tolerance);
            let cost = |f: fn(process::Mark) -> f64| Cell::from(solved.map_or(f64::INFINITY, f));
            table = table.row([
                Cell::from(name),
                cost(|m| m.iterations),
                cost(|m| m.evaluations),
                cost(|m| m.seconds),
                Cell::from(raced.marks.last().map_or(f64::NAN, |m| m.residual)),
                Cell::from(raced.derivative_error),
                Cell::from(raced.ended.to_string().as_str()),
            ]);
        }
        watch.picture(&format!("iterations-{arm}"), by_iteration)?;
        watch.picture(&format!("seconds-{arm}"), by_time)?;
        watch.table(&format!("table-{arm}"), table)?;
    }
    Ok(())
}
