//! One method on its problems, one iteration a step.

use std::time::Instant;

use lisse_array::{Stream, Tree};
use lisse_run::{Error, Process, Step, Stop, Watch};
use serde::{Deserialize, Serialize};

use super::config::{Config, Task};
use crate::gradient_normalized::{Counts, Descent, Progress, Status};

/// Powers of ten for which a run says how soon its value came that near to the minimum.
pub(super) const DIGITS: [i32; 5] = [1, 2, 4, 6, 8];

pub(super) struct Runner {
    method: Box<dyn Descent>,
    tasks: Vec<(String, Task)>,
}

/// Where a comparison stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub(super) struct RunState {
    /// The problem being solved.
    #[tree(skip)]
    problem: usize,
    progress: Option<Progress>,
    #[tree(skip)]
    seconds: f64,
    #[tree(skip)]
    pub results: Vec<Solved>,
}

/// A method's run on a problem.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Solved {
    pub problem: String,
    pub status: Option<Status>,
    pub gradient_norm: f64,
    pub counts: Counts,
    /// Seconds and distance of the value to the minimum, by iteration.
    pub path: Vec<(f64, f64)>,
}

impl Solved {
    /// The first iteration whose value is within `10^-digits` of the minimum.
    pub fn iterations_to(&self, digits: i32) -> f64 {
        let gap = 10f64.powi(-digits);
        let first = self.path.iter().position(|&(_, g)| g < gap);
        first.map_or(f64::INFINITY, |k| k as f64)
    }
}

impl Runner {
    pub fn new(config: &Config, seed: u64) -> Result<Runner, Error> {
        let build = |(name, problem): (&String, &super::config::ProblemConfig)| {
            let task = problem.build(config.metric, Stream::new(seed).child(name))?;
            Ok((name.clone(), task))
        };
        let tasks = config.problems.iter().map(build).collect::<Result<_, Error>>()?;
        Ok(Runner { method: config.method.build(), tasks })
    }
}

impl Process for Runner {
    type State = RunState;

    fn start(&self) -> Result<RunState, Error> {
        Ok(RunState { problem: 0, progress: None, seconds: 0.0, results: Vec::new() })
    }

    fn advance(&self, state: &mut RunState, watch: &mut Watch) -> Result<Step, Error> {
        let Some((name, task)) = self.tasks.get(state.problem) else {
            return Ok(Step::Done(Stop::Completed));
        };
        let problem = task.problem.as_ref();
        let clock = Instant::now();
        let mut moved = true;
        let progress = match &mut state.progress {
            Some(progress) => {
                moved =
                    self.method.advance(problem, &task.metric, progress).map_err(Error::other)?;
                progress.iteration += usize::from(moved);
                progress
            }
            empty => {
                state.results.push(Solved {
                    problem: name.clone(),
                    status: None,
                    gradient_norm: f64::NAN,
                    counts: Counts::default(),
                    path: Vec::new(),
                });
                let first = self.method.initial();
                empty.insert(Progress::start(problem, &task.metric, &task.start, first))
            }
        };
        state.seconds += clock.elapsed().as_secs_f64();
        let solved = state
            .results
            .last_mut()
            .ok_or_else(|| Error::message("a comparison without its problem"))?;
        let gap = progress.value - task.minimum;
        if moved {
            solved.path.push((state.seconds, gap));
        }
        (solved.gradient_norm, solved.counts) = (progress.gradient_norm, progress.counts);
        watch.metric(&format!("{name}.gap"), gap);
        watch.metric(&format!("{name}.gradient_norm"), progress.gradient_norm);
        let exhausted = (!moved).then_some(Status::SearchExhausted);
        if let Some(status) = exhausted.or(task.stopping.reached(progress)) {
            solved.status = Some(status);
            (state.problem, state.progress, state.seconds) = (state.problem + 1, None, 0.0);
        }
        Ok(if state.problem == self.tasks.len() {
            Step::Done(Stop::Completed)
        } else {
            Step::Continue
        })
    }

    fn finish(&self, state: &RunState, watch: &mut Watch) -> Result<(), Error> {
        for solved in &state.results {
            let name = &solved.problem;
            let mut figure = |key: &str, value: f64| watch.figure(&format!("{name}.{key}"), value);
            let converged = solved.status == Some(Status::ConvergedGradient);
            // An unsolved problem cost infinitely much; a claim about it fails.
            let cost = |v: f64| if converged { v } else { f64::INFINITY };
            let (seconds, gap) = solved.path.last().copied().unwrap_or((f64::NAN, f64::NAN));
            figure("converged", f64::from(u8::from(converged)));
            figure("iterations", cost(solved.path.len().saturating_sub(1) as f64));
            figure("solves", solved.counts.solves as f64);
            figure("gradients", solved.counts.gradients as f64);
            figure("gradient_norm", solved.gradient_norm);
            figure("gap", gap);
            figure("seconds", seconds);
            for digits in DIGITS {
                figure(&format!("iterations_{digits}"), solved.iterations_to(digits));
            }
        }
        Ok(())
    }
}
