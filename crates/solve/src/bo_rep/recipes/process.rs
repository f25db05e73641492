//! A method on a problem, step by step.

use std::time::Instant;

use lisse_array::{Stream, Tree};
use lisse_run::{Error, Process, Step, Stop, Watch};
use serde::{Deserialize, Serialize};

use super::config::{Config, TrainingConfig};
use super::methods::{Method, MethodConfig};
use super::task::{Task, Values};
use crate::bilevel::baselines::State;
use crate::bilevel::vector::norm;
use crate::bilevel::{BilevelError, Counts, Oracle, Samples};
use crate::bo_rep::BoRep;

/// Figures that every arm has.
pub const COMMON: [&str; 9] = [
    "finite",
    "steps",
    "steps_to",
    "seconds",
    "calls",
    "upper_gradients",
    "lower_gradients",
    "hessian_products",
    "jacobian_products",
];

/// Figures of BO-REP alone.
pub const OWN: [&str; 3] = ["refreshes", "negative_curvatures", "curvature"];

/// One arm.
pub struct Runner {
    task: Box<dyn Task>,
    method: Method,
    /// The method's options, for what they alone tell.
    options: Option<BoRep>,
    samples: Samples,
    training: TrainingConfig,
}

/// Where it stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub struct RunState {
    #[tree(skip)]
    pub state: State,
    #[tree(skip)]
    pub counts: Counts,
    pub seconds: f64,
    /// The first step at which the goal was reached.
    pub reached: Option<Reached>,
    /// Why it went no further, if a number was not finite.
    pub failure: Option<String>,
    #[tree(skip)]
    pub path: Vec<Mark>,
}

/// A step, from 1.
pub type Reached = u64;

/// A measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mark {
    pub step: u64,
    pub seconds: f64,
    pub calls: u64,
    pub values: Vec<(String, f64)>,
}

impl Runner {
    pub fn new(config: Config, seed: u64) -> Result<Runner, Error> {
        let stream = Stream::new(seed);
        let (task, few_shot) = config.task(&stream.child("problem"))?;
        let draws = stream.child("samples");
        let method = config.method.build(few_shot.as_ref(), &draws);
        let samples = task.samples(config.training.batch, &draws);
        let options = match config.method {
            MethodConfig::BoRep(options) => Some(options),
            _ => None,
        };
        Ok(Runner { task, method, options, samples, training: config.training })
    }

    fn mark(&self, state: &mut RunState, watch: &mut Watch) {
        let values = self.task.measure(&state.state);
        for (name, value) in &values {
            watch.metric(name, *value);
        }
        watch.metric("momentum", norm(&state.state.direction));
        watch.metric("calls", state.counts.total() as f64);
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (step, calls) = (state.state.step, state.counts.total());
        state.path.push(Mark { step, seconds: state.seconds, calls, values });
    }

    /// One step; a point that is not finite is not taken.
    fn step(&self, state: &mut RunState) -> Result<(), BilevelError> {
        let Some(method) = &self.method else { return Ok(()) };
        let before = (state.state.x.clone(), state.state.y.clone(), state.state.z.clone());
        let mut oracle = Oracle::resume(self.task.problem(), state.counts);
        let done = method.step(&mut state.state, &mut oracle, &self.samples);
        state.counts = oracle.counts;
        if done.is_err() {
            (state.state.x, state.state.y, state.state.z) = before;
        }
        done
    }

    fn budget(&self, state: &RunState) -> Option<Stop> {
        let calls = self.training.calls?;
        let limit = || Stop::Budget { limit: format!("training.calls = {calls}") };
        (state.counts.total() >= calls).then(limit)
    }
}

impl Process for Runner {
    type State = RunState;

    fn start(&self) -> Result<RunState, Error> {
        let start = self.task.start();
        let mut oracle = Oracle::new(self.task.problem());
        let mut state = match &self.method {
            Some(method) => method.start(&start.x, &start.y, &mut oracle).map_err(Error::other)?,
            None => State::new(start.x, start.y),
        };
        if let Some(z) = start.z {
            state.z = z;
        }
        let (counts, path) = (oracle.counts, Vec::new());
        Ok(RunState { state, counts, seconds: 0.0, reached: None, failure: None, path })
    }

    fn advance(&self, state: &mut RunState, watch: &mut Watch) -> Result<Step, Error> {
        if state.path.is_empty() {
            self.mark(state, watch);
        }
        let clock = Instant::now();
        let done = self.step(state);
        state.seconds += clock.elapsed().as_secs_f64();
        if let Err(error) = done {
            let reason = format!("step {}: {error}", state.state.step);
            let arm = watch.arm().to_owned();
            watch.note(&format!("{arm} went no further than step {}: {error}", state.state.step));
            state.failure = Some(reason);
            return Ok(Step::Done(Stop::Completed));
        }
        if state.reached.is_none() && self.task.reached(&state.state) {
            state.reached = Some(state.state.step);
        }
        let goal = state.reached.is_some() && self.task.stops();
        let quiet = self.options.as_ref().is_some_and(|o| o.converged(&state.state));
        let budget = self.budget(state);
        let last = goal || quiet || budget.is_some() || state.state.step >= self.training.steps;
        if last || state.state.step.is_multiple_of(self.training.measure) {
            self.mark(state, watch);
        }
        Ok(match budget {
            _ if goal => {
                Step::Done(Stop::Converged { criterion: "the goal of the problem".into() })
            }
            _ if quiet => {
                Step::Done(Stop::Converged { criterion: "a small momentum for 50 steps".into() })
            }
            Some(stop) => Step::Done(stop),
            None => Step::Continue,
        })
    }

    fn finish(&self, state: &RunState, watch: &mut Watch) -> Result<(), Error> {
        let values: Values = self.task.conclude(&state.state, watch)?;
        for (name, value) in values {
            watch.figure(name, value);
        }
        let counts = state.counts;
        let never = f64::INFINITY;
        let common = [
            f64::from(u8::from(state.failure.is_none())),
            state.state.step as f64,
            state.reached.map_or(never, |step| step as f64),
            state.seconds,
            counts.total() as f64,
            counts.upper_gradients as f64,
            counts.lower_gradients as f64,
            counts.hessian_products as f64,
            counts.jacobian_products as f64,
        ];
        for (name, value) in COMMON.into_iter().zip(common) {
            watch.figure(name, value);
        }
        if let Some(options) = &self.options {
            let (refreshes, negative) =
                (options.refreshes(&state.state), options.negative_curvatures(&state.state));
            let own = [refreshes as f64, negative as f64, options.curvature(&state.state)];
            for (name, value) in OWN.into_iter().zip(own) {
                watch.figure(name, value);
            }
        }
        let arm = watch.arm().to_owned();
        for warning in &state.state.warnings {
            watch.note(&format!("{arm}: {warning}"));
        }
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(if self.method.is_some() { self.training.steps } else { 0 })
    }
}
