//! Minimizers race to the optimum of functions whose optimum is known.

use std::time::Instant;

use lisse_array::{DType, Tree};
use lisse_data::Dataset;
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Process, RecipeKind, Setup, Step, Stop, Watch,
};
use serde::{Deserialize, Serialize};

use crate::minimize::{Counts, GradientDescent, Iterate, Lbfgs, Method, NewtonCg, Objective};
use crate::problems::{self, Problem};

/// `kind = "race"`: every arm is a method, each runs on every problem.
pub struct Race;

/// The schema of a race.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The method of the arm.
    pub method: MethodConfig,
    /// Names of test functions.
    pub problems: Vec<String>,
    /// A problem is solved when the value is this near to the known minimum.
    #[serde(default = "tolerance")]
    pub tolerance: f64,
    /// Most iterations on one problem.
    #[serde(default = "max_iterations")]
    pub max_iterations: usize,
}

fn tolerance() -> f64 {
    1e-8
}
fn max_iterations() -> usize {
    5000
}

/// A minimizer by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodConfig {
    /// [`GradientDescent`]
    GradientDescent,
    /// [`Lbfgs`]
    Lbfgs {
        /// Steps remembered.
        #[serde(default = "memory")]
        memory: usize,
    },
    /// [`NewtonCg`]
    NewtonCg {
        /// First trust radius.
        #[serde(default = "radius")]
        radius: f64,
    },
    /// [`GradientRegularizedNewton`](crate::gradient_normalized::GradientRegularizedNewton)
    Gns {
        /// First `gamma`.
        #[serde(default = "radius")]
        gamma: f64,
        /// How steps are solved for.
        #[serde(default)]
        solver: crate::gradient_normalized::Backend,
    },
}

fn memory() -> usize {
    10
}
fn radius() -> f64 {
    1.0
}

impl MethodConfig {
    fn build(&self) -> Box<dyn Method> {
        match *self {
            MethodConfig::GradientDescent => Box::new(GradientDescent::default()),
            MethodConfig::Lbfgs { memory } => Box::new(Lbfgs { memory, ..Lbfgs::default() }),
            MethodConfig::NewtonCg { radius } => {
                Box::new(NewtonCg { radius, ..NewtonCg::default() })
            }
            MethodConfig::Gns { gamma, solver } => {
                use crate::gradient_normalized::{GradientRegularizedNewton, Search};
                let search = Search { gamma, ..Search::default() };
                let newton = GradientRegularizedNewton { search, ..Default::default() };
                Box::new(newton.backend(solver))
            }
        }
    }
}

/// L2 penalty of the logistic problem.
const L2: f64 = 1e-3;
/// Its minimal value on the standardised breast-cancer data, from `crates/optim/tests/golden/make_logistic.py`.
const LOGISTIC_MINIMUM: f64 = include!("../../tests/golden/logistic_minimum.txt");

/// All problems that a recipe can name.
fn all_problems() -> Result<Vec<Problem>, Error> {
    let cancer = Dataset::bundled("breast_cancer").map_err(Error::other)?.cast(DType::F64);
    let scale = lisse_data::Standardizer::fit(&cancer.inputs).map_err(Error::other)?;
    let inputs = scale.apply(&cancer.inputs).map_err(Error::other)?;
    let labels = cancer.targets.cast(DType::F64) * 2.0 - 1.0;
    let mut list = problems::all();
    list.push(problems::logistic_regression(&inputs, &labels, L2, LOGISTIC_MINIMUM));
    Ok(list)
}

impl RecipeKind for Race {
    type Config = Config;

    fn name(&self) -> &'static str {
        "race"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        if config.problems.is_empty() {
            return Err(Invalid::new("problems", "at least one test function"));
        }
        for (i, name) in config.problems.iter().enumerate() {
            let key = format!("problems.{i}");
            if !NAMES.contains(&name.as_str()) {
                return Err(Invalid::new(key, format!("one of {}", NAMES.join(", "))));
            }
            if config.problems[..i].contains(name) {
                return Err(Invalid::new(key, "each problem once"));
            }
        }
        if !(config.tolerance > 0.0 && config.tolerance.is_finite()) {
            return Err(Invalid::new("tolerance", "a number above 0"));
        }
        match config.method {
            MethodConfig::Lbfgs { memory: 0 } => Err(Invalid::new("method.memory", "at least 1")),
            MethodConfig::NewtonCg { radius } if !(radius > 0.0 && radius.is_finite()) => {
                Err(Invalid::new("method.radius", "a number above 0"))
            }
            MethodConfig::Gns { gamma, .. } if !(gamma > 0.0 && gamma.is_finite()) => {
                Err(Invalid::new("method.gamma", "a number above 0"))
            }
            _ => Ok(()),
        }
    }

    fn experiment(&self, _: &Setup, arms: Vec<Arm<Config>>) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut entries = Vec::new();
        for arm in arms {
            let runner = Runner::new(arm.config.clone())?;
            entries.push((arm.name.clone(), arm.config.problems));
            experiment = experiment.arm(arm.name, runner);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&entries, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let per_problem = |p: &String| {
            ["evaluations", "iterations", "seconds", "gap"].map(|f| format!("{p}.{f}"))
        };
        Some(config.problems.iter().flat_map(per_problem).chain(["solved".into()]).collect())
    }

    fn audit(&self, _: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let names = arms.into_iter().next().map(|arm| arm.config.problems).unwrap_or_default();
        let chosen = all_problems()?.into_iter().filter(|p| names.iter().any(|n| n == p.name));
        Ok(chosen.map(|p| Audit::new(p.name, p.start(), p.function)).collect())
    }
}

/// Names of the problems, in the table's order.
const NAMES: [&str; 8] = [
    "rosenbrock",
    "rosenbrock_n",
    "himmelblau",
    "beale",
    "powell_singular",
    "quadratic_mild",
    "quadratic_stiff",
    "logistic_breast_cancer",
];

/// One method on its problems, one iteration a step.
struct Runner {
    config: Config,
    method: Box<dyn Method>,
    problems: Vec<Problem>,
}

/// Where a race stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
struct RunState {
    /// The problem being solved.
    #[tree(skip)]
    problem: usize,
    iterate: Option<Iterate>,
    #[tree(skip)]
    counts: Counts,
    #[tree(skip)]
    seconds: f64,
    #[tree(skip)]
    results: Vec<Outcome>,
}

/// What a method achieved on a problem.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    problem: String,
    solved: bool,
    evaluations: usize,
    iterations: usize,
    seconds: f64,
    gap: f64,
    /// Evaluations and distance of the value to the minimum, by iteration.
    path: Vec<(f64, f64)>,
}

impl Runner {
    fn new(config: Config) -> Result<Runner, Error> {
        let mut available = all_problems()?;
        let problems = config
            .problems
            .iter()
            .map(|name| {
                let i = available.iter().position(|p| p.name == name);
                // `validate` has seen the names; only a repeated one can be missing here.
                i.map(|i| available.swap_remove(i))
                    .ok_or_else(|| Error::message(format!("problem `{name}` is named twice")))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Runner { method: config.method.build(), config, problems })
    }
}

impl Process for Runner {
    type State = RunState;

    fn start(&self) -> Result<RunState, Error> {
        Ok(RunState {
            problem: 0,
            iterate: None,
            counts: Counts::default(),
            seconds: 0.0,
            results: Vec::new(),
        })
    }

    fn advance(&self, state: &mut RunState, watch: &mut Watch) -> Result<Step, Error> {
        let Some(problem) = self.problems.get(state.problem) else {
            return Ok(Step::Done(Stop::Completed));
        };
        let clock = Instant::now();
        let mut objective = Objective::new(&problem.function);
        objective.counts = state.counts;
        let mut moved = true;
        let mut fresh = false;
        let iterate = if let Some(iterate) = &mut state.iterate {
            moved = self.method.step(&mut objective, iterate);
            iterate.iteration += 1;
            iterate
        } else {
            fresh = true;
            state.iterate.insert(self.method.start(&mut objective, &problem.start()))
        };
        state.counts = objective.counts;
        state.seconds += clock.elapsed().as_secs_f64();
        let gap = (iterate.value - problem.minimum).max(0.0);
        if fresh {
            state.results.push(Outcome {
                problem: problem.name.into(),
                solved: false,
                evaluations: 0,
                iterations: 0,
                seconds: 0.0,
                gap,
                path: Vec::new(),
            });
        }
        let iteration = iterate.iteration;
        let outcome = state
            .results
            .last_mut()
            .ok_or_else(|| Error::message("a race state without its problem"))?;
        outcome.path.push((state.counts.total() as f64, gap));
        watch.metric(&format!("{}.gap", problem.name), gap);
        let solved = gap <= self.config.tolerance;
        if solved || !moved || iteration >= self.config.max_iterations || !gap.is_finite() {
            outcome.solved = solved;
            outcome.evaluations = state.counts.total();
            outcome.iterations = iteration;
            outcome.seconds = state.seconds;
            outcome.gap = gap;
            (state.problem, state.iterate, state.counts, state.seconds) =
                (state.problem + 1, None, Counts::default(), 0.0);
        }
        Ok(if state.problem == self.problems.len() {
            Step::Done(Stop::Completed)
        } else {
            Step::Continue
        })
    }

    fn finish(&self, state: &RunState, watch: &mut Watch) -> Result<(), Error> {
        for outcome in &state.results {
            let name = &outcome.problem;
            // An unsolved problem cost infinitely much; a claim about it fails.
            let cost = |v: f64| if outcome.solved { v } else { f64::INFINITY };
            watch.figure(&format!("{name}.evaluations"), cost(outcome.evaluations as f64));
            watch.figure(&format!("{name}.iterations"), cost(outcome.iterations as f64));
            watch.figure(&format!("{name}.seconds"), cost(outcome.seconds));
            watch.figure(&format!("{name}.gap"), outcome.gap);
        }
        watch.figure("solved", state.results.iter().filter(|o| o.solved).count() as f64);
        Ok(())
    }
}

fn conclude(
    arms: &[(String, Vec<String>)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let names = arms.first().map(|(_, names)| names.clone()).unwrap_or_default();
    let mut evaluations =
        Picture::bars("Evaluations to the optimum", Axis::new("evaluations").log());
    let mut seconds = Picture::bars("Seconds to the optimum", Axis::new("seconds").log());
    let mut table = Table::new(
        "The race",
        ["problem", "method", "evaluations", "iterations", "seconds", "distance to the minimum"],
    );
    for name in &names {
        for (arm, _) in arms {
            let figure = |f: &str| finals.figure(&format!("{arm}.{name}.{f}")).unwrap_or(f64::NAN);
            evaluations = evaluations.bar_in(name, arm, figure("evaluations"));
            seconds = seconds.bar_in(name, arm, figure("seconds"));
            table = table.row([
                Cell::from(name.as_str()),
                Cell::from(arm.as_str()),
                Cell::from(figure("evaluations")),
                Cell::from(figure("iterations")),
                Cell::from(figure("seconds")),
                Cell::from(figure("gap")),
            ]);
        }
    }
    let caption = "Values, gradients and Hessian-vector products together; a missing bar did not reach the tolerance.";
    watch.picture("evaluations", evaluations.caption(caption))?;
    watch.picture("seconds", seconds)?;
    watch.table("race", table)?;
    for name in &names {
        let axis = Axis::new("value minus minimum").log();
        let mut lines =
            Picture::lines(format!("Progress on {name}"), Axis::new("evaluations"), axis);
        for (arm, _) in arms {
            let found = finals
                .state::<Runner>(arm)
                .and_then(|s| s.results.iter().find(|o| o.problem == *name));
            if let Some(outcome) = found {
                // A logarithmic axis has no zero: machine precision stands for it.
                lines = lines
                    .series(arm.as_str(), outcome.path.iter().map(|&(e, gap)| (e, gap.max(1e-16))));
            }
        }
        watch.picture(&format!("progress-{name}"), lines)?;
    }
    Ok(())
}

/// Keeps the table of names honest.
#[cfg(test)]
mod tests {
    use lisse_array::Array;

    use super::*;

    #[test]
    fn names_are_those_of_the_problems() {
        let problems = all_problems().unwrap();
        assert_eq!(problems.iter().map(|p| p.name).collect::<Vec<_>>(), NAMES);
    }

    #[test]
    fn the_logistic_minimum_of_another_solver_is_reached() {
        let problem = all_problems().unwrap().pop().unwrap();
        let best = crate::minimize(
            &problem.function,
            &Array::zeros(&[problem.dim()], DType::F64),
            &NewtonCg::default(),
            &crate::Options { gradient_tolerance: 1e-10, ..crate::Options::default() },
        )
        .unwrap();
        assert!((best.value - problem.minimum).abs() < 1e-11, "{} {}", best.value, problem.minimum);
    }
}
