//! A probe as part of any training: fed at every step, read at some.

use std::collections::BTreeMap;

use lisse_array::{Array, Path, Segment, Tree};
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{Error, Invalid, Watch};
use serde::{Deserialize, Serialize};

use super::probe::{Candidate, Known, Probe};
use super::reading::Reading;
use crate::config::OptimizerConfig;
use crate::optimizer::{Oracle, State};

/// Directional sharpness in a recipe: candidates by name, each an optimizer as under `method`.
///
/// ```toml
/// [directional]
/// at = [100, 400]
/// baseline = "sgd"
/// candidates.sgd.optimizer = { name = "sgd", learning_rate = 1.0 }
/// candidates.sgd_clipped.optimizer = { name = "sgd", learning_rate = 1.0 }
/// candidates.sgd_clipped.coordinate_clip = { fraction = 0.1 }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DirectionalConfig {
    /// Steps after which to look.
    pub at: Vec<u64>,
    /// Held-out batches to look on: the more, the smaller the standard error.
    #[serde(default = "batches")]
    pub batches: usize,
    /// Examples in each.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// The candidate by whose sharpness the others' are divided.
    pub baseline: String,
    /// The optimizers to compare.
    pub candidates: BTreeMap<String, OptimizerConfig>,
}

fn batches() -> usize {
    4
}
fn batch_size() -> usize {
    32
}

impl DirectionalConfig {
    /// Checks the numbers for a training of `total` steps; `table` is the key of this table.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn validate(&self, table: &str, total: u64) -> Result<(), Invalid> {
        let fail =
            |key: &str, expected: String| Err(Invalid::new(format!("{table}.{key}"), expected));
        if self.at.is_empty() || self.at.iter().any(|&step| step == 0 || step > total) {
            return fail("at", format!("steps from 1 to the last ({total})"));
        }
        for (value, key) in [(self.batches, "batches"), (self.batch_size, "batch_size")] {
            if value == 0 {
                return fail(key, "at least 1".to_string());
            }
        }
        if !self.candidates.contains_key(&self.baseline) {
            let names = self.candidates.keys().cloned().collect::<Vec<_>>().join(", ");
            return fail("baseline", format!("one of the candidates ({names})"));
        }
        for (name, candidate) in &self.candidates {
            if let Err(bad) = candidate.validate() {
                return fail(&format!("candidates.{name}.{}", bad.key), bad.expected.to_string());
            }
        }
        Ok(())
    }

    /// Names of the figures of the last look.
    pub fn figures(&self) -> Vec<String> {
        self.candidates.keys().flat_map(|name| FIGURES.map(|f| format!("{f}.{name}"))).collect()
    }
}

/// Figures per candidate.
const FIGURES: [&str; 5] =
    ["sharpness", "relative_sharpness", "cosine", "predicted_decrease", "measured_decrease"];

/// Feeds a [`Probe`] along a training.
pub struct Observer<P> {
    /// The settings.
    pub config: DirectionalConfig,
    probe: Probe<P>,
}

/// What an [`Observer`] has seen: part of the training's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "P: Serialize", deserialize = "P: serde::de::DeserializeOwned"))]
pub struct Observed<P> {
    /// The candidates' memories.
    pub states: Vec<State<P>>,
    /// All looks so far, candidate by candidate.
    pub readings: Vec<Reading>,
}

impl<P: Tree> Tree for Observed<P> {
    fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array)) {
        path.enter(Segment::Field("states"));
        self.states.visit(path, f);
        path.leave();
    }
    fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        path.enter(Segment::Field("states"));
        let states = self.states.rebuild(path, f);
        path.leave();
        Observed { states, readings: self.readings.clone() }
    }
}

impl<P: Tree + 'static> Observer<P> {
    /// The observer of a training of `total` steps.
    pub fn new(config: &DirectionalConfig, total: u64) -> Observer<P> {
        let candidate = |(name, method): (&String, &OptimizerConfig)| Candidate {
            name: name.clone(),
            optimizer: method.build(total),
        };
        let probe = Probe::new(config.candidates.iter().map(candidate).collect());
        Observer { config: config.clone(), probe }
    }

    /// Before the first step.
    pub fn start(&self, params: &P) -> Observed<P> {
        Observed { states: self.probe.init(params), readings: Vec::new() }
    }

    /// Feeds the candidates at `params`, before the training's own step number `step` (from 0); looks on the batches of `held_out`
    /// if the recipe says so. Neither parameters nor training are changed.
    ///
    /// # Errors
    /// An interruption.
    pub fn observe<'o>(
        &self,
        seen: &mut Observed<P>,
        params: &P,
        step: u64,
        known: &mut Known<'_, P>,
        held_out: impl FnOnce() -> Result<Vec<Box<dyn Oracle<P> + 'o>>, Error>,
        watch: &mut Watch,
    ) -> Result<(), Error> {
        let pseudo = self.probe.feed(&mut seen.states, params, known);
        if !self.config.at.contains(&(step + 1)) {
            return Ok(());
        }
        let mut oracles = held_out()?;
        let mut batches: Vec<&mut dyn Oracle<P>> =
            oracles.iter_mut().map(|o| &mut **o as &mut dyn Oracle<P>).collect();
        let readings = self.probe.look(&pseudo, params, &mut batches, || watch.tick())?;
        for reading in readings {
            watch.metric(&format!("sharpness.{}", reading.candidate), reading.sharpness);
            seen.readings.push(Reading { step: step + 1, ..reading });
        }
        Ok(())
    }

    /// Figures of the last look, the table of all and the pictures.
    ///
    /// # Errors
    /// A report that cannot be written.
    pub fn finish(&self, seen: &Observed<P>, watch: &mut Watch) -> Result<(), Error> {
        let Some(last) = seen.readings.iter().map(|r| r.step).max() else { return Ok(()) };
        for reading in seen.readings.iter().filter(|r| r.step == last) {
            let values = [
                reading.sharpness,
                reading.sharpness / self.baseline_at(seen, last).abs(),
                reading.cosine,
                reading.predicted_decrease(),
                reading.measured_decrease().0,
            ];
            for (name, value) in FIGURES.iter().zip(values) {
                watch.figure(&format!("{name}.{}", reading.candidate), value);
            }
        }
        watch.table("directional-sharpness", self.table(seen))?;
        watch.table("by-layer", layer_table(seen, last))?;
        watch.picture("sharpness-by-step", self.over_steps(seen))?;
        for &step in &self.config.at {
            if let Some(picture) = along_steps(seen, step) {
                watch.picture(&format!("along-{step}"), picture)?;
            }
        }
        let doubtful = seen.readings.iter().filter(|r| !r.doubts().is_empty());
        for reading in doubtful {
            let doubts = reading.doubts().join("; ");
            watch.note(&format!("step {}, {}: {doubts}", reading.step, reading.candidate));
        }
        Ok(())
    }

    fn baseline_at(&self, seen: &Observed<P>, step: u64) -> f64 {
        let at = |r: &&Reading| r.step == step && r.candidate == self.config.baseline;
        seen.readings.iter().find(at).map_or(f64::NAN, |r| r.sharpness)
    }

    fn table(&self, seen: &Observed<P>) -> Table {
        let title = "Directional sharpness along one trajectory";
        let ratio = format!("S / |S of {}|", self.config.baseline);
        let columns = [
            "step",
            "candidate",
            "clipping",
            "bound",
            "cut",
            "|u|",
            "S",
            "error of S",
            &ratio,
            "-g'v",
            "cosine",
            "a* = c/S",
            "predicted decrease",
            "measured decrease",
            "at distance",
            "top 1 % of |g|^2",
            "top 1 % of |u|^2",
        ];
        let mut table = Table::new(title, columns);
        for r in &seen.readings {
            let clip = self.config.candidates.get(&r.candidate).and_then(|c| c.coordinate_clip);
            let clip = clip.map_or("none".to_string(), |c| {
                format!("{} of the {:?}", c.fraction, c.target).to_lowercase()
            });
            let (measured, distance) = r.measured_decrease();
            let numbers = [
                r.bound.unwrap_or(f64::NAN),
                r.clipped_share.unwrap_or(0.0),
                r.norms.l2,
                r.sharpness,
                r.sharpness_error,
                r.sharpness / self.baseline_at(seen, r.step).abs(),
                r.correlation,
                r.cosine,
                r.best_step(),
                r.predicted_decrease(),
                measured,
                distance,
                r.gradient_top_share,
                r.update_top_share,
            ];
            let words =
                [Cell::from(r.step as f64), Cell::from(r.candidate.as_str()), Cell::from(clip)];
            table = table.row(words.into_iter().chain(numbers.map(Cell::from)));
        }
        table.caption(format!(
            "Exact Hessian-vector products on {} held-out batches of {} examples, model in evaluation mode. A lower sharpness allows larger steps, but it is not sufficient: a lower correlation with the gradient takes that back, and models are known in which clipping divided SGD's sharpness by three and still made it slower. What counts in the end is the decrease.",
            self.config.batches, self.config.batch_size
        ))
    }

    fn over_steps(&self, seen: &Observed<P>) -> Picture {
        let axis = Axis::new("directional sharpness").log();
        let mut picture = Picture::lines("Directional sharpness by step", Axis::new("step"), axis);
        for name in self.config.candidates.keys() {
            // A logarithmic axis shows no negative curvature; the table does.
            let own = seen.readings.iter().filter(|r| r.candidate == *name && r.sharpness > 0.0);
            picture = picture.series(name.as_str(), own.map(|r| (r.step as f64, r.sharpness)));
        }
        picture.caption("All candidates in the same places of one trajectory.").into()
    }
}

/// How the loss changes along each candidate's step, in units of its own best distance.
fn along_steps<P>(seen: &Observed<P>, step: u64) -> Option<Picture> {
    let mut picture = Picture::lines(
        format!("The loss along the updates after {step} steps"),
        Axis::new("distance"),
        Axis::new("held-out loss"),
    );
    let mut any = false;
    for reading in seen.readings.iter().filter(|r| r.step == step && r.curve.len() > 1) {
        picture = picture.series(reading.candidate.as_str(), reading.curve.clone());
        any = true;
    }
    let caption = "Each curve ends at the first point above the start.";
    any.then(|| picture.caption(caption).into())
}

/// Where the sharpness of each candidate sits, and how concentrated the gradient is, array by array.
fn layer_table<P>(seen: &Observed<P>, step: u64) -> Table {
    let readings: Vec<&Reading> =
        seen.readings.iter().filter(|r| r.step == step && !r.layers.is_empty()).collect();
    let names = readings.iter().map(|r| format!("S: {}", r.candidate));
    let columns: Vec<String> = ["parameters".to_string(), "top 1 % of |g|^2".to_string()]
        .into_iter()
        .chain(names)
        .collect();
    let mut table =
        Table::new(format!("Sharpness by array of parameters after {step} steps"), columns);
    let Some(first) = readings.first() else { return table };
    for (i, layer) in first.layers.iter().enumerate() {
        let parts = readings.iter().map(|r| Cell::from(r.layers[i].sharpness));
        let head = [Cell::from(layer.path.as_str()), Cell::from(layer.gradient_top_share)];
        table = table.row(head.into_iter().chain(parts));
    }
    table.caption("The parts v_l' (H v)_l of each candidate's sharpness; they add up to it.")
}
