//! One learner on its streams, some rounds a step.

use std::sync::Arc;

use lisse_array::Tree;
use lisse_run::{Error, Process, Step, Stop, Watch};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::facts::Fact;
use super::streams::{Shelf, Source, hints};
use crate::online::{
    Bound, Environment, Hint, LearnerConfig, Ledger, Map, Mark, OnlineError, Penalty, Player,
    Setting, play,
};

/// Rounds of a step: little enough to be interrupted, much enough to be shared by threads.
const CHUNK: u64 = 200;

/// One learner on all streams.
pub(crate) struct Runner {
    learner: LearnerConfig,
    hint: Hint,
    hints: Option<Vec<Vec<f64>>>,
    rounds: u64,
    sources: Vec<Arc<Source>>,
}

/// Where a comparison stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Tree)]
pub(crate) struct RunState {
    /// Of the current stream, by seed; empty before its first round.
    #[tree(skip)]
    runs: Vec<(Player, Ledger)>,
    /// Of the streams that are done.
    #[tree(skip)]
    pub outcomes: Vec<Outcome>,
}

/// A learner's run on a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub stream: String,
    /// Means over the seeds.
    pub points: Vec<Point>,
    pub longest_gradient: f64,
    /// `F(mean of the points) - min F` at the end.
    pub excess: Option<f64>,
    /// Spread of the regret at the end: its standard error over seeds.
    pub regret_error: f64,
    /// Largest regret over its bound, over seeds and horizons, where there is one.
    pub bound_ratio: Option<f64>,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub round: u64,
    pub loss: f64,
    pub variation: f64,
    /// Against the best fixed point, and how sure that is; at horizons.
    pub regret: Option<f64>,
    pub gap: Option<f64>,
    pub dynamic: f64,
    pub origin: f64,
    pub path: f64,
    /// `sqrt(sum sigma^2) + sqrt(sum Sigma^2)`.
    pub difficulty: f64,
    pub variance: f64,
    pub drift: f64,
}

impl Outcome {
    /// The points at which regret is known.
    pub fn horizons(&self) -> impl Iterator<Item = (&Point, f64)> {
        self.points.iter().filter_map(|point| Some((point, point.regret?)))
    }

    /// Regret over `sqrt(sum sigma^2) + sqrt(sum Sigma^2)` at the first and the last horizon.
    pub fn shape(&self) -> (f64, f64) {
        let ratio = |(point, regret): (&Point, f64)| regret / point.difficulty;
        let first = self.horizons().next().map_or(f64::NAN, ratio);
        (first, self.horizons().last().map_or(f64::NAN, ratio))
    }

    /// The slope of `ln regret` over `ln rounds`; NaN where a regret is not positive.
    pub fn growth(&self) -> f64 {
        let logs: Vec<(f64, f64)> = self
            .horizons()
            .map(|(point, regret)| ((point.round as f64).ln(), regret.ln()))
            .collect();
        let count = logs.len() as f64;
        let (mx, my) = (
            logs.iter().map(|p| p.0).sum::<f64>() / count,
            logs.iter().map(|p| p.1).sum::<f64>() / count,
        );
        let over: f64 = logs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
        over / logs.iter().map(|p| (p.0 - mx) * (p.0 - mx)).sum::<f64>()
    }
}

/// What every stream of an arm has figures for.
pub(super) fn figure_names(config: &Config) -> Vec<&'static str> {
    let mut names = vec![
        "loss",
        "origin",
        "regret",
        "regret_error",
        "gap",
        "dynamic",
        "variation",
        "growth",
        "shape",
        "shape_first",
        "longest_gradient",
        "excess",
    ];
    if bounded(&config.learner).is_some() {
        names.push("bound_ratio");
    }
    names
}

/// `delta`, for learners whose regret has the pathwise bound.
fn bounded(learner: &LearnerConfig) -> Option<f64> {
    match learner {
        LearnerConfig::Oomd {
            delta,
            bound: None | Some(Bound::Known { .. }),
            map: Map::Euclidean,
            penalty: Penalty::None,
        } => Some(*delta),
        _ => None,
    }
}

impl Runner {
    /// Loads the streams, or takes them from the shelf.
    pub(super) fn new(config: &Config, shelf: &mut Shelf) -> Result<Runner, Error> {
        let takes = config.learner.takes_hints();
        let hints = if takes { hints(&config.hint)? } else { None };
        if let Some(rows) = hints.as_ref().map(|hints| hints.len() as u64)
            && rows < config.rounds
        {
            let text = format!(
                "the file of hints has {rows} rows; one for each of {} rounds is needed",
                config.rounds
            );
            return Err(Error::message(text));
        }
        Ok(Runner {
            learner: config.learner.clone(),
            hint: if takes { config.hint.hint() } else { Hint::None },
            hints,
            rounds: config.rounds,
            sources: shelf.sources(config)?,
        })
    }

    fn setting(&self, environment: &dyn Environment) -> Setting {
        Setting { horizon: self.rounds, ..environment.setting() }
    }

    fn begin(&self, source: &Source) -> Result<Vec<(Player, Ledger)>, OnlineError> {
        let one = |environment: &(dyn Environment + Send)| {
            let setting = self.setting(environment);
            let player = Player::new(self.learner.build(&setting)?, self.hint)?;
            Ok((player, Ledger::new(setting.dim, &source.marks)))
        };
        source.environments.iter().map(|e| one(&**e)).collect()
    }

    fn outcome(&self, source: &Source, runs: &[(Player, Ledger)]) -> Result<Outcome, Error> {
        let facts = source.facts()?;
        let points = (0..source.marks.len())
            .map(|k| {
                let at: Vec<(&Mark, &Fact)> =
                    runs.iter().zip(facts).map(|((_, l), f)| (&l.marks[k], &f[k])).collect();
                point(&at)
            })
            .collect();
        let setting = self.setting(&*source.environments[0]);
        let diameter = setting.domain.diameter(setting.dim);
        let bound_ratio = bounded(&self.learner).map(|delta| {
            let known = match self.learner {
                LearnerConfig::Oomd { bound: Some(Bound::Known { value }), .. } => value,
                _ => setting.gradient_bound,
            };
            let ratio = |(mark, fact): (&Mark, &Fact)| {
                let bound = Ledger::bound(diameter, delta, known, mark.variation);
                fact.best.map(|(best, _)| (mark.loss - best) / bound)
            };
            let all = runs.iter().zip(facts).flat_map(|((_, l), f)| l.marks.iter().zip(f));
            all.filter_map(ratio).fold(f64::NEG_INFINITY, f64::max)
        });
        let excesses =
            runs.iter().zip(&source.environments).map(|((_, l), e)| e.excess(l.average()));
        let excesses: Vec<Option<f64>> =
            excesses.collect::<Result<_, _>>().map_err(Error::other)?;
        let excesses: Vec<f64> = excesses.into_iter().flatten().collect();
        let regrets: Vec<f64> = runs
            .iter()
            .zip(facts)
            .filter_map(|((_, l), f)| Some(l.regret(f.last()?.best?.0)))
            .collect();
        Ok(Outcome {
            stream: source.name.clone(),
            points,
            longest_gradient: runs.iter().map(|(_, l)| l.longest_gradient).fold(0.0, f64::max),
            excess: (!excesses.is_empty()).then(|| mean(&excesses)),
            regret_error: standard_error(&regrets),
            bound_ratio,
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn standard_error(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let m = mean(values);
    let squares: f64 = values.iter().map(|v| (v - m) * (v - m)).sum();
    if n > 1.0 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 }
}

/// The mean over seeds of a mark and what is known of its rounds.
fn point(at: &[(&Mark, &Fact)]) -> Point {
    let average = |value: &dyn Fn(&Mark, &Fact) -> f64| {
        at.iter().map(|(mark, fact)| value(mark, fact)).sum::<f64>() / at.len() as f64
    };
    let known = at.iter().all(|(_, fact)| fact.best.is_some());
    let best = |fact: &Fact| fact.best.unwrap_or((f64::NAN, f64::NAN));
    Point {
        round: at[0].0.round,
        loss: average(&|m, _| m.loss),
        variation: average(&|m, _| m.variation),
        regret: known.then(|| average(&|m, f| m.loss - best(f).0)),
        gap: known.then(|| average(&|_, f| best(f).1)),
        dynamic: average(&|m, f| m.loss - f.moving),
        origin: average(&|_, f| f.origin),
        path: average(&|_, f| f.path),
        difficulty: average(&|_, f| f.variance).sqrt() + average(&|_, f| f.drift).sqrt(),
        variance: average(&|_, f| f.variance),
        drift: average(&|_, f| f.drift),
    }
}

impl Process for Runner {
    type State = RunState;

    fn start(&self) -> Result<RunState, Error> {
        Ok(RunState::default())
    }

    fn advance(&self, state: &mut RunState, watch: &mut Watch) -> Result<Step, Error> {
        let Some(source) = self.sources.get(state.outcomes.len()) else {
            return Ok(Step::Done(Stop::Completed));
        };
        let named =
            |error: OnlineError| Error::message(format!("stream `{}`: {error}", source.name));
        if state.runs.is_empty() {
            state.runs = self.begin(source).map_err(named)?;
        }
        let done = state.runs[0].0.rounds();
        let rounds = CHUNK.min(self.rounds - done);
        let hints = self.hints.as_deref();
        state
            .runs
            .par_iter_mut()
            .zip(&source.environments)
            .map(|((player, ledger), environment)| {
                play(player, &**environment, ledger, rounds, hints)
            })
            .collect::<Result<Vec<()>, _>>()
            .map_err(named)?;
        let played = (done + rounds) as f64;
        let loss = state.runs.iter().map(|(_, ledger)| ledger.loss).sum::<f64>();
        watch
            .metric(&format!("{}.mean_loss", source.name), loss / state.runs.len() as f64 / played);
        if done + rounds == self.rounds {
            state.outcomes.push(self.outcome(source, &state.runs)?);
            state.runs.clear();
        }
        let finished = state.outcomes.len() == self.sources.len();
        Ok(if finished { Step::Done(Stop::Completed) } else { Step::Continue })
    }

    fn finish(&self, state: &RunState, watch: &mut Watch) -> Result<(), Error> {
        for outcome in &state.outcomes {
            let Some(last) = outcome.points.last() else { continue };
            let mut figure =
                |key: &str, value: f64| watch.figure(&format!("{}.{key}", outcome.stream), value);
            figure("loss", last.loss);
            figure("origin", last.origin);
            figure("regret", last.regret.unwrap_or(f64::NAN));
            figure("regret_error", outcome.regret_error);
            figure("gap", last.gap.unwrap_or(f64::NAN));
            figure("dynamic", last.dynamic);
            figure("variation", last.variation);
            figure("growth", outcome.growth());
            let (first, shape) = outcome.shape();
            figure("shape", shape);
            figure("shape_first", first);
            figure("longest_gradient", outcome.longest_gradient);
            figure("excess", outcome.excess.unwrap_or(f64::NAN));
            if let Some(ratio) = outcome.bound_ratio {
                figure("bound_ratio", ratio);
            }
        }
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.rounds.div_ceil(CHUNK) * self.sources.len() as u64)
    }
}
