//! The one loop.

use std::time::Instant;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, Progress, States};
use crate::environment::{Clock, peak_memory_bytes};
use crate::exhibit::Exhibit;
use crate::experiment::{Experiment, Finals};
use crate::process::{AnyProcess, AnyState};
use crate::recipe::{EarlyStop, Goal, Limits};
use crate::report::{Picture, Table};
use crate::{ArmSummary, ArmView, Error, Interrupt, Number, Quiet, Ranks, Row, Step, Stop, Watch};

/// Drives the arms of an experiment one after another, from the start or from a checkpoint.
pub(crate) struct Driver<'e, 'a> {
    pub(crate) experiment: &'e Experiment<'a>,
    pub(crate) limits: &'e Limits,
    /// Text of the resolved recipe, which a checkpoint belongs to.
    pub(crate) recipe: &'e str,
    pub(crate) watch: Watch,
    pub(crate) progress: Progress,
    /// Final states of the arms that are over, if the experiment has a conclusion, and that of the current arm after a resume.
    pub(crate) states: States,
    clock: Clock,
    /// What `progress` said of time when this process began.
    before: (f64, f64),
    last_save: (Instant, u64),
}

/// What ranks tell each other between two steps.
#[derive(Serialize, Deserialize)]
struct Wishes {
    stop: Option<Stop>,
    save: bool,
}

impl<'e, 'a> Driver<'e, 'a> {
    pub(crate) fn new(
        experiment: &'e Experiment<'a>,
        limits: &'e Limits,
        recipe: &'e str,
        mut watch: Watch,
        progress: Progress,
        states: States,
    ) -> Self {
        watch.record = progress.record.clone();
        let before = (progress.wall_secs, progress.cpu_secs);
        let last_save = (Instant::now(), progress.steps);
        Driver {
            experiment,
            limits,
            recipe,
            watch,
            progress,
            states,
            clock: Clock::start(),
            before,
            last_save,
        }
    }

    /// Runs to the end or to an interruption; returns why it stopped.
    pub(crate) fn run(&mut self) -> Result<Stop, Error> {
        let stop = self.arms();
        self.count_time();
        match stop {
            Err(Error::Interrupted) => Ok(Stop::Interrupted),
            other => other,
        }
    }

    fn arms(&mut self) -> Result<Stop, Error> {
        let experiment = self.experiment;
        while let Some((name, process)) = experiment.arms.get(self.progress.arm) {
            let resumed = self.states.pop_if(|(arm, _)| arm == name);
            let mut state = match resumed {
                Some((_, state)) => state,
                None => process.start()?,
            };
            let stop = self.arm(name, &**process, &mut *state)?;
            if stop == Stop::Interrupted {
                self.save(Some((name, &*state)))?;
                return Ok(stop);
            }
            self.end_arm(name, stop);
            if experiment.conclusion.is_some() {
                self.states.push((name.clone(), state));
            }
            self.save(None)?;
        }
        self.conclude()?;
        let ended = &self.progress.ended;
        let first = |is: fn(&Stop) -> bool| ended.iter().find(|arm| is(&arm.stop));
        let telling = first(Stop::is_failure)
            .or_else(|| first(|stop| matches!(stop, Stop::Budget { .. })))
            .or(ended.first().filter(|_| ended.len() == 1));
        Ok(telling.map_or(Stop::Completed, |arm| arm.stop.clone()))
    }

    /// All that is left of an arm: its steps, and what it has to show in the end.
    fn arm(
        &mut self,
        name: &str,
        process: &dyn AnyProcess,
        state: &mut dyn AnyState,
    ) -> Result<Stop, Error> {
        name.clone_into(&mut self.watch.arm);
        self.watch.step = self.progress.step;
        self.watch.observer.arm(ArmView {
            name,
            index: self.progress.arm,
            count: self.experiment.arms.len(),
            step: self.progress.step,
            total: process.total(),
        });
        let stop = match self.progress.stopped.clone() {
            Some(stop) => stop,
            None => self.steps(name, process, state)?,
        };
        if stop == Stop::Interrupted {
            return Ok(stop);
        }
        self.watch.observer.stopped(name, &stop);
        if self.progress.stopped.is_none() {
            self.progress.stopped = Some(stop.clone());
            if let Some(early) =
                self.limits.early_stop.as_ref().filter(|_| self.progress.best.is_none())
            {
                self.watch.note(&format!(
                    "run.early_stop watched `{}`, but the run recorded no metric of that name; metrics.jsonl has those it did",
                    early.metric
                ));
            }
            // What follows may take long: come back to here, not to the last periodic checkpoint.
            self.save(Some((name, &*state)))?;
        }
        if !stop.is_failure() {
            process.finish(&*state, &mut self.watch)?;
        }
        Ok(stop)
    }

    fn steps(
        &mut self,
        name: &str,
        process: &dyn AnyProcess,
        state: &mut dyn AnyState,
    ) -> Result<Stop, Error> {
        let started = Instant::now();
        let before = self.progress.arm_secs;
        let mut stop = None;
        loop {
            let wishes = Wishes {
                stop: stop.or_else(|| self.reason_to_stop(process.total())),
                save: self.save_is_due(),
            };
            let agreed = self.agree(wishes)?;
            if agreed.stop.is_some() {
                return Ok(agreed.stop.unwrap_or(Stop::Completed));
            }
            if agreed.save {
                self.save(Some((name, &*state)))?;
            }
            self.watch.step = self.progress.step + 1;
            let step = process.advance(state, &mut self.watch)?;
            self.progress.step += 1;
            self.progress.steps += 1;
            self.progress.arm_secs = before + started.elapsed().as_secs_f64();
            let row = self.watch.end_step(self.progress.arm_secs)?;
            let early = self.early_stop(&row);
            stop = not_finite(&row, state).or(match step {
                Step::Done(stop) => Some(stop),
                Step::Continue => early,
            });
        }
    }

    fn reason_to_stop(&self, total: Option<u64>) -> Option<Stop> {
        let (limits, progress) = (self.limits, &self.progress);
        if total.is_some_and(|total| progress.step >= total) {
            return Some(Stop::Completed);
        }
        if let Some(steps) = limits.max_steps.filter(|&steps| progress.step >= steps) {
            return Some(Stop::Budget { limit: format!("run.max_steps = {steps}") });
        }
        if let Some(secs) = limits.max_secs.filter(|&secs| progress.arm_secs >= secs) {
            return Some(Stop::Budget { limit: format!("run.max_secs = {secs}") });
        }
        self.watch.interrupt.is_requested().then_some(Stop::Interrupted)
    }

    fn save_is_due(&self) -> bool {
        let (time, steps) = self.last_save;
        self.watch.store.is_some()
            && (time.elapsed().as_secs_f64() >= self.limits.checkpoint_secs
                || self
                    .limits
                    .checkpoint_steps
                    .is_some_and(|every| self.progress.steps - steps >= every))
    }

    /// All ranks stop for the reason of the first that has one, and save when any wants to.
    fn agree(&self, wishes: Wishes) -> Result<Wishes, Error> {
        if self.watch.ranks.size() == 1 {
            return Ok(wishes);
        }
        let all = self.watch.ranks.gather(&wishes)?;
        let save = all.iter().any(|wishes| wishes.save);
        Ok(Wishes { stop: all.into_iter().find_map(|wishes| wishes.stop), save })
    }

    fn early_stop(&mut self, row: &Row) -> Option<Stop> {
        let EarlyStop { metric, patience, goal, min_change } = self.limits.early_stop.as_ref()?;
        let value = row.metrics.get(metric)?.0;
        let better = |best: f64| match goal {
            Goal::Lower => value < best - min_change,
            Goal::Higher => value > best + min_change,
        };
        match &mut self.progress.best {
            Some((best, since)) if !better(best.0) => {
                *since += 1;
                (*since >= *patience).then(|| Stop::EarlyStopped {
                    metric: metric.clone(),
                    best: best.0,
                    patience: *patience,
                })
            }
            other => {
                *other = Some((Number(value), 0));
                None
            }
        }
    }

    fn end_arm(&mut self, name: &str, stop: Stop) {
        let progress = &mut self.progress;
        progress.ended.push(ArmSummary {
            name: name.into(),
            stop,
            steps: progress.step,
            seconds: progress.arm_secs,
        });
        progress.arm += 1;
        progress.step = 0;
        progress.arm_secs = 0.0;
        progress.stopped = None;
        progress.best = None;
        // Metrics belong to steps; one reported in `finish` must not turn up in the next arm's first row.
        self.watch.metrics.clear();
    }

    fn conclude(&mut self) -> Result<(), Error> {
        self.watch.arm.clear();
        if let Some(conclusion) = &self.experiment.conclusion {
            let figures = self.watch.record.figures.clone();
            conclusion(&Finals { states: &self.states, figures: &figures }, &mut self.watch)?;
        }
        Ok(())
    }

    fn count_time(&mut self) {
        let progress = &mut self.progress;
        progress.wall_secs = self.before.0 + self.clock.wall_secs();
        progress.cpu_secs = self.before.1 + self.clock.cpu_secs();
        progress.peak_memory_bytes = progress.peak_memory_bytes.max(peak_memory_bytes());
    }

    fn save(&mut self, current: Option<(&str, &dyn AnyState)>) -> Result<(), Error> {
        self.last_save = (Instant::now(), self.progress.steps);
        self.count_time();
        let Some(store) = &mut self.watch.store else { return Ok(()) };
        // Rows first: a checkpoint must not speak of rows that are not on the disk.
        self.progress.metrics_bytes = store.log.sync()?;
        self.progress.record = self.watch.record.clone();
        let ended = self.states.iter().map(|(arm, state)| (arm.as_str(), &**state));
        let bytes = checkpoint::encode(&self.progress, self.recipe, ended.chain(current))?;
        store.write_checkpoint(&bytes)?;
        self.watch.observer.saved(self.progress.step);
        Ok(())
    }
}

/// A metric that is not finite makes the loop look for the leaf that is not. Metrics may be NaN for reasons of their own (the mean
/// of nothing), so they alone are no reason to stop.
fn not_finite(row: &Row, state: &dyn AnyState) -> Option<Stop> {
    let (metric, _) = row.metrics.iter().find(|(_, value)| !value.0.is_finite())?;
    let leaf = state.first_bad_leaf()?;
    Some(Stop::NotFinite { step: row.step, leaf, metric: metric.clone() })
}

/// What a [`rehearse`]d experiment came to.
#[derive(Debug)]
pub struct Rehearsal {
    /// Why it stopped.
    pub stop: Stop,
    /// How each arm ended.
    pub arms: Vec<ArmSummary>,
    /// Figures by full name.
    pub figures: IndexMap<String, Number>,
    /// Metrics of every step.
    pub rows: Vec<Row>,
    /// Pictures by full name.
    pub pictures: IndexMap<String, Picture>,
    /// Tables by full name.
    pub tables: IndexMap<String, Table>,
    /// Notes in order.
    pub notes: Vec<String>,
}

/// Drives an experiment in memory, without folder, terminal or limits: for tests and for use as a library.
pub fn rehearse(experiment: &Experiment<'_>) -> Result<Rehearsal, Error> {
    let mut watch = Watch::new(None, Box::new(Quiet), Ranks::alone(), Interrupt::manual());
    watch.keep = true;
    let limits = Limits::default();
    let mut driver =
        Driver::new(experiment, &limits, "", watch, Progress::default(), States::new());
    let stop = driver.run()?;
    let watch = driver.watch;
    let mut rehearsal = Rehearsal {
        stop,
        arms: driver.progress.ended,
        figures: watch.record.figures,
        rows: watch.kept_rows,
        pictures: IndexMap::new(),
        tables: IndexMap::new(),
        notes: watch.record.notes,
    };
    for (name, exhibit) in watch.kept_exhibits {
        match exhibit {
            Exhibit::Picture(picture) => drop(rehearsal.pictures.insert(name, picture)),
            Exhibit::Table(table) => drop(rehearsal.tables.insert(name, table)),
        }
    }
    Ok(rehearsal)
}
