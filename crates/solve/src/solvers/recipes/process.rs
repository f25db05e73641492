//! One problem, its solvers one after another, each run with more and more iterations.

use std::time::Instant;

use lisse_array::{Array, Tree, grad};
use lisse_run::{Error, Process, Step, Stop, Watch};
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::problems::Task;
use crate::solvers::{self, Derivative, SolverError};

/// Far below every tolerance asked for: runs are ended by their iterations.
const EXACT: f64 = 1e-13;
/// How exactly solutions are found whose differences stand for derivatives.
const NEAR_EXACT: f64 = 1e-11;

pub(super) struct Race {
    task: Task,
    config: Config,
}

/// Where a race stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub(super) struct RaceState {
    /// The solver that runs, by number.
    #[tree(skip)]
    solver: usize,
    /// Iterations of its next run.
    #[tree(skip)]
    iterations: usize,
    #[tree(skip)]
    pub results: Vec<Raced>,
}

/// One run of a solver from the start.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub iterations: f64,
    pub evaluations: f64,
    pub seconds: f64,
    /// Residual of optimality relative to that at the start.
    pub residual: f64,
}

/// What a solver came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Raced {
    pub solver: String,
    pub marks: Vec<Mark>,
    pub ended: solvers::Stop,
    /// Relative error of the implicit derivative.
    pub derivative_error: f64,
}

impl Raced {
    /// The first run that is accurate enough.
    pub fn solved(&self, tolerance: f64) -> Option<Mark> {
        self.marks.iter().copied().find(|m| m.residual <= tolerance)
    }
}

impl Race {
    pub fn new(config: Config) -> Result<Race, Error> {
        Ok(Race { task: config.problem.build(&config.solvers)?, config })
    }

    fn solve(
        &self,
        solver: usize,
        theta: &Array,
        iterations: usize,
        tolerance: f64,
        derivative: &Derivative,
    ) -> Result<solvers::Solution, SolverError> {
        (self.task.solvers[solver].1)(theta, iterations, tolerance, derivative)
    }

    /// Runs a solver for a number of iterations.
    fn mark(&self, solver: usize, iterations: usize) -> Result<(Mark, solvers::Stop), Error> {
        let clock = Instant::now();
        let found = self
            .solve(solver, &self.task.theta, iterations, EXACT, &Derivative::Constant)
            .map_err(Error::other)?;
        let seconds = clock.elapsed().as_secs_f64();
        let start = self.task.residual(&self.task.start);
        let mark = Mark {
            iterations: found.iterations as f64,
            evaluations: found.counts.total() as f64,
            seconds,
            residual: self.task.residual(&found.x) / start,
        };
        Ok((mark, found.stop))
    }

    /// The derivative of a fixed combination of the solution in the penalty against the central difference of exact solves.
    fn derivative_error(&self, solver: usize) -> Result<f64, Error> {
        let most = 20 * self.config.max_iterations;
        let value = |theta: &Array, derivative: &Derivative| {
            let found = self.solve(solver, theta, most, NEAR_EXACT, derivative);
            let x = found.map_err(Error::other)?.x;
            let weights = (0..x.len()).map(|i| (1.0 + 0.7 * i as f64).cos()).collect();
            Ok::<_, Error>((&x * Array::from_vec::<f64>(weights, x.shape())).sum_all())
        };
        let exact = grad(|theta: &Array| {
            value(theta, &Derivative::default()).unwrap_or_else(|_| theta * f64::NAN)
        })(&self.task.theta)
        .item();
        let h = 1e-3 * self.task.theta.item();
        let at = |factor: f64| {
            let theta = &self.task.theta + factor * h;
            value(&theta, &Derivative::Constant).map(|v| v.item())
        };
        // Error of order h^4.
        let difference = (8.0 * (at(1.0)? - at(-1.0)?) - (at(2.0)? - at(-2.0)?)) / (12.0 * h);
        Ok((exact - difference).abs() / difference.abs().max(1e-12))
    }
}

impl Process for Race {
    type State = RaceState;

    fn start(&self) -> Result<RaceState, Error> {
        Ok(RaceState { solver: 0, iterations: 1, results: Vec::new() })
    }

    fn advance(&self, state: &mut RaceState, watch: &mut Watch) -> Result<Step, Error> {
        let Some((name, _)) = self.task.solvers.get(state.solver) else {
            return Ok(Step::Done(Stop::Completed));
        };
        if state.iterations == 1 {
            state.results.push(Raced {
                solver: name.clone(),
                marks: Vec::new(),
                ended: solvers::Stop::MaxIterations,
                derivative_error: f64::NAN,
            });
        }
        let (mark, ended) = self.mark(state.solver, state.iterations)?;
        watch.metric(&format!("{name}.residual"), mark.residual);
        let raced =
            state.results.last_mut().ok_or_else(|| Error::message("a race without its solver"))?;
        // A solver that ends by itself is not run again.
        let last = mark.residual <= self.config.tolerance
            || state.iterations >= self.config.max_iterations
            || ended != solvers::Stop::MaxIterations;
        raced.marks.push(mark);
        raced.ended = ended;
        if last {
            if self.config.derivative && mark.residual <= self.config.tolerance {
                raced.derivative_error = self.derivative_error(state.solver)?;
            }
            (state.solver, state.iterations) = (state.solver + 1, 1);
        } else {
            let next = (state.iterations + 1).max(state.iterations * 5 / 4);
            state.iterations = next.min(self.config.max_iterations);
        }
        Ok(if state.solver == self.task.solvers.len() {
            Step::Done(Stop::Completed)
        } else {
            Step::Continue
        })
    }

    fn finish(&self, state: &RaceState, watch: &mut Watch) -> Result<(), Error> {
        for raced in &state.results {
            let name = &raced.solver;
            let solved = raced.solved(self.config.tolerance);
            let mut figure = |key: &str, value: f64| watch.figure(&format!("{name}.{key}"), value);
            // An unsolved problem cost infinitely much; a claim about it fails.
            let cost = |f: fn(Mark) -> f64| solved.map_or(f64::INFINITY, f);
            figure("solved", f64::from(u8::from(solved.is_some())));
            figure("iterations", cost(|m| m.iterations));
            figure("evaluations", cost(|m| m.evaluations));
            figure("seconds", cost(|m| m.seconds));
            figure("residual", raced.marks.last().map_or(f64::NAN, |m| m.residual));
            if self.config.derivative {
                figure("derivative_error", raced.derivative_error);
            }
        }
        Ok(())
    }
}
