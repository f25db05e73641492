//! One method on the problem, one solve a step.

use std::time::Instant;

use lisse_array::Tree;
use lisse_run::{Error, Process, Step, Stop, Watch};
use serde::{Deserialize, Serialize};

use super::config::{Config, Palettes, Task};
use crate::transport::{Problem, Sinkhorn, SparsePlan, Status, solve_exact};

/// An entry of a dense plan counts where it is at least this share of the mass.
const COUNTED: f64 = 1e-8;

pub(super) struct Runner {
    problem: Problem,
    pub palettes: Option<Palettes>,
    pub tasks: Vec<(String, Task)>,
}

/// Where a comparison stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Tree)]
pub(super) struct RunState {
    #[tree(skip)]
    pub results: Vec<Solved>,
}

/// What one solve came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Solved {
    pub label: String,
    pub figures: Vec<(String, f64)>,
    pub plan: SparsePlan,
    /// Value by iteration.
    pub path: Vec<f64>,
}

/// Names of the figures of a solve.
pub(super) const FIGURES: [&str; 13] = [
    "value",
    "gap",
    "cost",
    "density",
    "most",
    "row_error",
    "tied",
    "iterations",
    "cuts",
    "evaluations",
    "converged",
    "seconds",
    "relaxed_density",
];

impl Runner {
    pub fn new(config: &Config) -> Result<Runner, Error> {
        let (problem, palettes) = config.data.load()?;
        let tasks = config.method.tasks();
        for (label, task) in &tasks {
            if let Task::Sparse(ot) = task
                && ot.k.is_some_and(|k| k > problem.sources())
            {
                return Err(Error::message(format!(
                    "method.entries: {label} asks for more entries than there are sources ({})",
                    problem.sources()
                )));
            }
        }
        Ok(Runner { problem, palettes, tasks })
    }

    fn solve(&self, label: &str, task: &Task) -> Result<Solved, Error> {
        let clock = Instant::now();
        let (mut numbers, plan, path) = match task {
            Task::Sparse(ot) => {
                let found = ot.solve(&self.problem).map_err(Error::other)?;
                let numbers = [
                    found.value,
                    found.gap(),
                    found.cost,
                    found.plan.density(),
                    found.plan.most_per_column() as f64,
                    found.row_error,
                    found.tied_columns as f64,
                    found.iterations as f64,
                    found.cuts as f64,
                    found.evaluations as f64,
                    f64::from(u8::from(found.status == Status::Converged)),
                    0.0,
                    found.relaxed.as_ref().map_or(f64::NAN, SparsePlan::density),
                ];
                let path = found.history.iter().map(|record| record.value).collect();
                (numbers, found.plan, path)
            }
            Task::Sinkhorn(epsilon) => {
                let found = Sinkhorn::new(*epsilon).solve(&self.problem).map_err(Error::other)?;
                let plan = counted(&self.problem, &found.plan);
                let converged = f64::from(u8::from(found.status == Status::Converged));
                let iterations = found.iterations as f64;
                let numbers = [
                    found.value,
                    f64::NAN,
                    found.cost,
                    plan.density(),
                    plan.most_per_column() as f64,
                    found.row_error,
                    0.0,
                    iterations,
                    0.0,
                    iterations,
                    converged,
                    0.0,
                    plan.density(),
                ];
                (numbers, plan, Vec::new())
            }
            Task::Exact => {
                let found = solve_exact(&self.problem).map_err(Error::other)?;
                let (rows, _) = found.plan.marginal_errors(&self.problem);
                let plan = found.plan;
                let numbers = [
                    found.cost,
                    0.0,
                    found.cost,
                    plan.density(),
                    plan.most_per_column() as f64,
                    rows,
                    0.0,
                    found.pivots as f64,
                    0.0,
                    found.pivots as f64,
                    1.0,
                    0.0,
                    plan.density(),
                ];
                (numbers, plan, Vec::new())
            }
        };
        numbers[11] = clock.elapsed().as_secs_f64();
        let figures = FIGURES.iter().map(|f| (*f).to_string()).zip(numbers).collect();
        Ok(Solved { label: label.to_string(), figures, plan, path })
    }
}

/// The entries of a dense plan that carry mass to speak of.
fn counted(problem: &Problem, dense: &[f64]) -> SparsePlan {
    let (n, least) = (problem.targets(), COUNTED * problem.total());
    let entries = dense.iter().enumerate().filter(|(_, t)| **t >= least);
    let entries = entries.map(|(e, t)| ((e / n) as u32, (e % n) as u32, *t)).collect();
    SparsePlan::from_entries(problem.sources(), n, entries)
}

impl Process for Runner {
    type State = RunState;

    fn start(&self) -> Result<RunState, Error> {
        Ok(RunState::default())
    }

    fn advance(&self, state: &mut RunState, watch: &mut Watch) -> Result<Step, Error> {
        let Some((label, task)) = self.tasks.get(state.results.len()) else {
            return Ok(Step::Done(Stop::Completed));
        };
        let solved = self.solve(label, task)?;
        for (name, value) in solved.figures.iter().filter(|(name, _)| name != "seconds") {
            watch.metric(name, *value);
        }
        state.results.push(solved);
        Ok(if state.results.len() == self.tasks.len() {
            Step::Done(Stop::Completed)
        } else {
            Step::Continue
        })
    }

    fn finish(&self, state: &RunState, watch: &mut Watch) -> Result<(), Error> {
        for solved in &state.results {
            for (name, value) in &solved.figures {
                watch.figure(&format!("{}.{name}", solved.label), *value);
            }
        }
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.tasks.len() as u64)
    }
}
