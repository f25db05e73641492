//! One method on all splits, one step of each at a time.

use std::time::Instant;

use lisse_array::{Stream, Tree};
use lisse_run::{Error, Process, Step, Stop, Watch};
use serde::{Deserialize, Serialize};

use super::config::{Config, ProblemConfig};
use super::tasks::{Task, names};
use crate::bilevel::baselines::{Solver, State};
use crate::bilevel::penalty::{Ending, PenaltyBilevel, penalty_report};
use crate::bilevel::{Counts, Oracle, Samples, Warning};

pub(super) struct Runner {
    config: Config,
    splits: Vec<Split>,
    penalty: Option<PenaltyBilevel>,
}

struct Split {
    task: Box<dyn Task>,
    solver: Box<dyn Solver>,
    samples: Samples,
}

/// One split's progress.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    state: State,
    counts: Counts,
    /// Why it ended early.
    failed: Option<String>,
    /// What the task measures, at the last evaluation.
    values: Vec<f64>,
}

/// Where an arm stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub(super) struct RunState {
    #[tree(skip)]
    runs: Vec<Progress>,
    #[tree(skip)]
    step: u64,
    #[tree(skip)]
    seconds: f64,
    /// Step, seconds, mean of what is plotted.
    #[tree(skip)]
    pub path: Vec<(u64, f64, f64)>,
}

/// Figures of every arm, beside those of its problem.
const PLAIN: [&str; 3] = ["failed", "seconds", "warnings"];
/// Figures of penalty methods.
const PENALTY: [&str; 5] = ["psi_sigma", "psi_bias", "stationarity", "converged", "no_error_bound"];

pub(super) fn figures(config: &Config) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for name in names(&config.problem) {
        list.extend([(*name).to_owned(), format!("{name}_min"), format!("{name}_max")]);
    }
    list.extend(PLAIN.map(String::from));
    list.extend(Counts::default().entries().map(|e| e.0.to_owned()));
    list.extend(Warning::NAMES.map(|name| format!("warning_{name}")));
    if config.method.penalty().is_some() {
        list.extend(PENALTY.map(String::from));
    }
    list
}

impl Runner {
    pub fn new(config: &Config, seed: u64) -> Result<Runner, Error> {
        let splits = (0..config.seeds)
            .map(|i| {
                let task = config.problem.task(seed + i)?;
                let solver = config.method.build(task.as_ref(), config.steps)?;
                let examples = task.problem().examples();
                let samples = if config.batch == 0 || examples.0 == 0 {
                    Samples::whole()
                } else {
                    let stream = Stream::new(seed + i).child("batches");
                    Samples::draws(examples, config.batch, &stream)
                };
                Ok(Split { task, solver, samples })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Runner { config: config.clone(), splits, penalty: config.method.penalty() })
    }

    /// Measures every run that has not failed and adds a point to the path.
    fn evaluate(&self, state: &mut RunState) -> Result<(), Error> {
        let (mut sum, mut count) = (0.0, 0.0);
        for (split, run) in self.splits.iter().zip(&mut state.runs) {
            if run.failed.is_none() {
                run.values = split.task.evaluate(&run.state.x, &run.state.y)?;
                sum += run.values[0];
                count += 1.0;
            }
        }
        state.path.push((state.step, state.seconds, sum / count));
        Ok(())
    }
}

impl Process for Runner {
    type State = RunState;

    fn start(&self) -> Result<RunState, Error> {
        let runs = self.splits.iter().map(|split| {
            let mut oracle = Oracle::new(split.task.problem());
            let (x, y) = split.task.start();
            let state = split.solver.start(&x, &y, &mut oracle).map_err(Error::other)?;
            Ok(Progress { state, counts: oracle.counts, failed: None, values: Vec::new() })
        });
        let runs = runs.collect::<Result<Vec<_>, Error>>()?;
        let mut state = RunState { runs, step: 0, seconds: 0.0, path: Vec::new() };
        self.evaluate(&mut state)?;
        Ok(state)
    }

    fn advance(&self, state: &mut RunState, watch: &mut Watch) -> Result<Step, Error> {
        let clock = Instant::now();
        for (split, run) in self.splits.iter().zip(&mut state.runs) {
            if run.failed.is_some() {
                continue;
            }
            let mut oracle = Oracle::resume(split.task.problem(), run.counts);
            if let Err(error) = split.solver.step(&mut run.state, &mut oracle, &split.samples) {
                run.failed = Some(format!("step {}: {error}", state.step + 1));
                watch.note(&format!("{}: a run ended at {}", split.solver.name(), error));
            }
            run.counts = oracle.counts;
        }
        state.seconds += clock.elapsed().as_secs_f64();
        state.step += 1;
        let every = (self.config.steps / self.config.evaluations).max(1);
        if state.step.is_multiple_of(every) || state.step == self.config.steps {
            self.evaluate(state)?;
            if let Some(&(_, _, value)) = state.path.last().filter(|p| p.2.is_finite()) {
                watch.metric(names(&self.config.problem)[0], value);
            }
        }
        let over = state.runs.iter().all(|run| run.failed.is_some());
        Ok(if over || state.step >= self.config.steps {
            Step::Done(Stop::Completed)
        } else {
            Step::Continue
        })
    }

    fn finish(&self, state: &RunState, watch: &mut Watch) -> Result<(), Error> {
        let good: Vec<&Progress> = state.runs.iter().filter(|r| r.failed.is_none()).collect();
        for (i, name) in names(&self.config.problem).iter().enumerate() {
            let column: Vec<f64> = good.iter().map(|r| r.values[i]).collect();
            let mean = column.iter().sum::<f64>() / column.len() as f64;
            watch.figure(name, mean);
            let fold = |f: fn(f64, f64) -> f64| column.iter().copied().fold(f64::NAN, f);
            watch.figure(&format!("{name}_min"), fold(f64::min));
            watch.figure(&format!("{name}_max"), fold(f64::max));
        }
        watch.figure("failed", (state.runs.len() - good.len()) as f64);
        watch.figure("seconds", state.seconds / state.runs.len() as f64);
        let mut warnings: Vec<Vec<Warning>> =
            state.runs.iter().map(|r| r.state.warnings.clone()).collect();
        if let Some(penalty) = &self.penalty {
            self.judge(penalty, state, &mut warnings, watch)?;
        }
        note_warnings(&warnings, watch);
        let total = |i: usize| state.runs.iter().map(|r| r.counts.entries()[i].1).sum::<u64>();
        for (i, (name, _)) in Counts::default().entries().iter().enumerate() {
            watch.figure(name, total(i) as f64 / state.runs.len() as f64);
        }
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.steps.max(1))
    }
}

impl Runner {
    /// Bias and stationarity of the penalised objective, on all examples.
    fn judge(
        &self,
        penalty: &PenaltyBilevel,
        state: &RunState,
        warnings: &mut [Vec<Warning>],
        watch: &mut Watch,
    ) -> Result<(), Error> {
        let mut sums = [0.0; 5];
        let mut count = 0.0;
        watch.phase("judging the penalty", Some(state.runs.len() as u64));
        for ((split, run), list) in self.splits.iter().zip(&state.runs).zip(warnings) {
            watch.tick()?;
            if run.failed.is_some() {
                continue;
            }
            let mut oracle = Oracle::new(split.task.problem());
            let start = (run.state.y.as_slice(), run.state.z.as_slice());
            let sigma = penalty.current_sigma(&run.state);
            let report = penalty_report(&mut oracle, &run.state.x, start, sigma, 1e-2, 1e-5);
            let is = |ending| f64::from(u8::from(report.ending == ending));
            let found = [
                report.at_sigma.value,
                report.bias,
                report.stationarity,
                is(Ending::Converged),
                is(Ending::NoErrorBound),
            ];
            sums.iter_mut().zip(found).for_each(|(s, f)| *s += f);
            count += 1.0;
            for warning in report.warnings {
                warning.note(list);
            }
        }
        for (name, sum) in PENALTY.iter().zip(sums) {
            watch.figure(name, sum / count);
        }
        Ok(())
    }
}

/// Counts the runs with each warning and says each once.
fn note_warnings(warnings: &[Vec<Warning>], watch: &mut Watch) {
    let mut kinds = 0;
    for name in Warning::NAMES {
        let mut said = warnings.iter().flatten().filter(|w| w.name() == name);
        let count = warnings.iter().filter(|list| list.iter().any(|w| w.name() == name)).count();
        watch.figure(&format!("warning_{name}"), count as f64);
        if let Some(first) = said.next() {
            kinds += 1;
            watch.note(&format!("{count} of {} runs: {first}", warnings.len()));
        }
    }
    watch.figure("warnings", f64::from(kinds));
}

/// Title and axis of the plot of a problem.
pub(super) fn plotted(problem: &ProblemConfig) -> (&'static str, &'static str) {
    match problem {
        ProblemConfig::Cleaning { .. } | ProblemConfig::Digits { .. } => {
            ("Validation loss at the exact lower solution", "validation loss")
        }
        ProblemConfig::Svm { .. } => ("Validation loss at the exact lower solution", "leaky loss"),
        ProblemConfig::ManySolutions { .. } => ("Distance to the known solution", "relative error"),
        ProblemConfig::CoupledSine { .. } => {
            ("Upper objective at the exact lower solution", "objective")
        }
    }
}
