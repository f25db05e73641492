//! Training a small decoder on the bytes of a text, arm against arm.

use std::sync::Arc;

use lisse_array::{Array, DType, Stream, Tree, hvp, per_example_grad, value_and_grad};
use lisse_data::{TEXTS, Text, Windows};
use lisse_nn::models::{Gpt, GptConfig};
use lisse_nn::{Context, losses};
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Process, Ranks, RecipeKind, Setup, Step, Stop,
    Watch,
};
use serde::{Deserialize, Serialize};

use crate::Groups;
use crate::config::OptimizerConfig;
use crate::coordinate_clipping::{DirectionalConfig, Known, Observed, Observer};
use crate::optimizer::{Composite, LossOracle, Optimizer, Oracle, State};

/// `kind = "language"`: every arm trains the same byte-level decoder on the same windows with its own optimizer.
pub struct Language;

/// The schema of a language recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What to read.
    pub data: TextConfig,
    /// The decoder.
    #[serde(default)]
    pub model: DecoderConfig,
    /// How it is trained.
    pub method: OptimizerConfig,
    /// How long.
    pub training: TrainingConfig,
    /// Other optimizers to look along during the training; nothing if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directional: Option<DirectionalConfig>,
}

/// What to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TextConfig {
    /// A bundled text.
    pub name: String,
    /// Share of the text, at its end, kept for testing.
    #[serde(default = "tenth")]
    pub test_fraction: f64,
}

fn tenth() -> f64 {
    0.1
}

/// A decoder of pre-normalised blocks with learned positions over 256 bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct DecoderConfig {
    /// Bytes that it sees.
    pub context: usize,
    /// Size of a byte's vector.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Heads of each attention; they divide the width.
    pub heads: usize,
    /// Probability of dropout.
    pub dropout: f64,
    /// Whether the map to logits is the table of bytes.
    pub tied: bool,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        DecoderConfig { context: 64, width: 64, depth: 2, heads: 4, dropout: 0.0, tied: false }
    }
}

/// How long to train.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// Optimizer steps.
    pub steps: u64,
    /// Windows per step.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// Steps between two looks at the test loss.
    #[serde(default = "evaluate_every")]
    pub evaluate_every: u64,
    /// Windows of the test text, and of the training text, on which losses are measured.
    #[serde(default = "evaluation_windows")]
    pub evaluation_windows: usize,
    /// Numbers of the network: `f32` or `f64`.
    #[serde(default = "single")]
    pub dtype: DType,
}

fn batch_size() -> usize {
    32
}
fn evaluate_every() -> u64 {
    50
}
fn evaluation_windows() -> usize {
    128
}
fn single() -> DType {
    DType::F32
}

/// The number of bytes.
const BYTES: usize = 256;

/// The network of a recipe.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub struct Decoder {
    body: Gpt,
    /// Map to logits, `[width, 256]`, unless the table of bytes serves.
    head: Option<Array>,
}

impl DecoderConfig {
    /// Draws the initial values: normal with deviation 0.02, smaller where a part joins the residual stream.
    pub fn build(&self, stream: &Stream) -> Decoder {
        let body = GptConfig {
            vocabulary: BYTES,
            context: self.context,
            width: self.width,
            depth: self.depth,
            heads: self.heads,
            dropout: self.dropout,
        };
        let head = stream.child("head").normal(&[self.width, BYTES], DType::F32) * 0.02;
        Decoder { body: body.build(stream), head: (!self.tied).then_some(head) }
    }

    fn validate(&self) -> Result<(), Invalid> {
        let sizes = [
            (self.context, "context"),
            (self.width, "width"),
            (self.depth, "depth"),
            (self.heads, "heads"),
        ];
        for (size, key) in sizes {
            if size == 0 {
                return Err(Invalid::new(format!("model.{key}"), "at least 1"));
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(Invalid::new("model.heads", format!("a divisor of width {}", self.width)));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Invalid::new("model.dropout", "a number from 0 to below 1"));
        }
        Ok(())
    }
}

impl Decoder {
    /// Logits of the next byte, one row for each place of each window.
    pub fn logits(&self, inputs: &Array, context: &Context) -> Array {
        let hidden = self.body.hidden(inputs, context);
        let logits = match &self.head {
            Some(head) => hidden.matmul(head),
            None => self.body.logits(&hidden),
        };
        logits.reshape(&[-1, BYTES as isize])
    }

    /// Mean cross-entropy per byte in nats.
    pub fn loss(&self, windows: &Windows, context: &Context) -> Array {
        losses::cross_entropy(
            &self.logits(&windows.inputs, context),
            &windows.targets.reshape(&[-1]),
        )
    }
}

impl RecipeKind for Language {
    type Config = Config;

    fn name(&self) -> &'static str {
        "language"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        if !TEXTS.contains(&config.data.name.as_str()) {
            return Err(Invalid::new(
                "data.name",
                format!("a bundled text ({})", TEXTS.join(", ")),
            ));
        }
        if !(config.data.test_fraction > 0.0 && config.data.test_fraction < 1.0) {
            return Err(Invalid::new("data.test_fraction", "a number between 0 and 1"));
        }
        config.model.validate()?;
        let training = &config.training;
        let counts = [
            (training.steps as usize, "steps"),
            (training.batch_size, "batch_size"),
            (training.evaluate_every as usize, "evaluate_every"),
            (training.evaluation_windows, "evaluation_windows"),
        ];
        for (count, key) in counts {
            if count == 0 {
                return Err(Invalid::new(format!("training.{key}"), "at least 1"));
            }
        }
        if !matches!(training.dtype, DType::F32 | DType::F64) {
            return Err(Invalid::new("training.dtype", "f32 or f64"));
        }
        if let Some(directional) = &config.directional {
            directional.validate("directional", training.steps)?;
        }
        config
            .method
            .validate_with_fixed_batches()
            .map_err(|bad| Invalid::new(format!("method.{}", bad.key), bad.expected))
    }

    fn experiment(
        &self,
        setup: &Setup,
        arms: Vec<Arm<Config>>,
    ) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut entries = Vec::new();
        for arm in arms {
            let training = Training::new(&arm.config, setup)?;
            training.check_groups()?;
            entries.push((arm.name.clone(), arm.config));
            experiment = experiment.arm(arm.name, training);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&entries, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let mut names: Vec<String> = ["test_loss", "train_loss"].map(String::from).to_vec();
        names.extend(config.directional.iter().flat_map(DirectionalConfig::figures));
        Some(names)
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let Some(arm) = arms.into_iter().next() else { return Ok(Vec::new()) };
        // A small relative of the model: finite differences evaluate the loss a thousand times.
        let config = DecoderConfig { context: 4, width: 4, depth: 1, heads: 2, ..arm.config.model };
        let text = Text::bundled(&arm.config.data.name).map_err(Error::other)?;
        let windows = text.spread_windows(2, 4).map_err(Error::other)?;
        // Larger weights than the initial ones: normalising small vectors bends too much for finite differences.
        let params = config.build(&Stream::new(setup.seed)).map(|leaf| {
            let leaf = leaf.cast(DType::F64);
            if leaf.rank() == 2 { leaf * 25.0 } else { leaf + 0.1 }
        });
        let loss = move |net: &Decoder| net.loss(&windows, &Context::eval());
        Ok(vec![Audit::new("training loss", params, loss)])
    }
}

/// One arm: a decoder, its text and its optimizer.
pub(crate) struct Training {
    config: Config,
    train: Text,
    test: Text,
    /// Fixed windows of the training text and of the test text.
    measured: [Windows; 2],
    optimizer: Arc<dyn Optimizer<Decoder>>,
    observer: Option<Observer<Decoder>>,
    stream: Stream,
    ranks: Ranks,
}

/// Where a training stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub(crate) struct TrainingState {
    decoder: Decoder,
    optimizer: State<Decoder>,
    directional: Option<Observed<Decoder>>,
    /// Step and test loss.
    #[tree(skip)]
    curve: Vec<(u64, f64)>,
}

impl Training {
    pub(crate) fn new(config: &Config, setup: &Setup) -> Result<Training, Error> {
        let text = Text::bundled(&config.data.name).map_err(Error::other)?;
        let (train, test) = text
            .train_test(config.data.test_fraction)
            .map_err(|problem| Error::message(format!("data.test_fraction: {problem}")))?;
        let measured = |text: &Text| {
            text.spread_windows(config.training.evaluation_windows, config.model.context)
                .map_err(|problem| Error::message(format!("model.context: {problem}")))
        };
        config
            .method
            .fits(config.training.steps)
            .map_err(|problem| Error::message(format!("method.{problem}")))?;
        Ok(Training {
            measured: [measured(&train)?, measured(&test)?],
            optimizer: Arc::from(config.method.build(config.training.steps)),
            observer: config.directional.as_ref().map(|d| Observer::new(d, config.training.steps)),
            config: config.clone(),
            train,
            test,
            stream: Stream::new(setup.seed),
            ranks: setup.ranks.clone(),
        })
    }

    fn initial(&self) -> Decoder {
        let decoder = self.config.model.build(&self.stream.child("init"));
        decoder.map(|leaf| leaf.cast(self.config.training.dtype))
    }

    /// Refuses a group pattern that matches nothing.
    fn check_groups(&self) -> Result<(), Error> {
        let groups = Groups(self.config.method.groups.clone());
        match groups.unused(&self.initial()).first() {
            Some(pattern) => Err(Error::message(format!(
                "method.groups: pattern `{pattern}` matches no parameter of the network"
            ))),
            None => Ok(()),
        }
    }

    /// The decoder to judge: the method's average where it averages, the last iterate otherwise.
    fn solution(&self, state: &TrainingState) -> Decoder {
        let averaged = self.optimizer.averaged(&state.decoder, &state.optimizer);
        averaged.unwrap_or_else(|| state.decoder.clone())
    }

    /// Held-out batches for the probe, the same at every step.
    fn held_out(&self) -> Result<Vec<Box<dyn Oracle<Decoder>>>, Error> {
        let Some(directional) = &self.config.directional else { return Ok(Vec::new()) };
        let stream = self.stream.child("held-out batches");
        (0..directional.batches as u64)
            .map(|i| {
                let (count, length) = (directional.batch_size, self.config.model.context);
                let windows =
                    self.test.windows(count, length, &stream.at(i)).map_err(Error::other)?;
                let loss = move |net: &Decoder| net.loss(&windows, &Context::eval());
                Ok(Box::new(LossOracle(loss)) as Box<dyn Oracle<Decoder>>)
            })
            .collect()
    }
}

impl Process for Training {
    type State = TrainingState;

    fn start(&self) -> Result<TrainingState, Error> {
        let decoder = self.initial();
        Ok(TrainingState {
            optimizer: self.optimizer.init(&decoder),
            directional: self.observer.as_ref().map(|observer| observer.start(&decoder)),
            decoder,
            curve: Vec::new(),
        })
    }

    fn advance(&self, state: &mut TrainingState, watch: &mut Watch) -> Result<Step, Error> {
        let step = state.optimizer.step;
        let TrainingConfig { steps, batch_size, evaluate_every, .. } = self.config.training;
        let count = self.optimizer.batch_size(&state.optimizer).unwrap_or(batch_size);
        let windows = self
            .train
            .windows(count, self.config.model.context, &self.stream.child("windows").at(step))
            .map_err(Error::other)?;
        let share = self.ranks.share(count);
        let stream = self.stream.child("dropout").at(step);
        let context = Context::train(stream);
        let mut oracle = WindowOracle {
            windows: windows.part(share),
            batch_size: count,
            context: &context,
            stream: stream.child("example"),
            ranks: &self.ranks,
        };
        let info = match (&self.observer, &mut state.directional) {
            (Some(observer), Some(seen)) => {
                let mut known = Known::at(&state.decoder, &mut oracle);
                let held_out = || self.held_out();
                observer.observe(seen, &state.decoder, step, &mut known, held_out, watch)?;
                self.optimizer.step(&mut state.decoder, &mut state.optimizer, &mut known)
            }
            _ => self.optimizer.step(&mut state.decoder, &mut state.optimizer, &mut oracle),
        };
        watch.metric("train.loss", info.loss);
        for (name, value) in info.metrics {
            watch.metric(&format!("train.{name}"), value);
        }
        if (step + 1).is_multiple_of(evaluate_every) || step + 1 == steps {
            let loss = self.solution(state).loss(&self.measured[1], &Context::eval()).item();
            watch.metric("test.loss", loss);
            state.curve.push((step + 1, loss));
        }
        Ok(if step + 1 == steps { Step::Done(Stop::Completed) } else { Step::Continue })
    }

    fn finish(&self, state: &TrainingState, watch: &mut Watch) -> Result<(), Error> {
        let decoder = self.solution(state);
        for (name, windows) in ["train_loss", "test_loss"].into_iter().zip(&self.measured) {
            watch.figure(name, decoder.loss(windows, &Context::eval()).item());
        }
        match (&self.observer, &state.directional) {
            (Some(observer), Some(seen)) => observer.finish(seen, watch),
            _ => Ok(()),
        }
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.training.steps)
    }
}

/// Loss and gradient of one batch of windows, each rank on its share.
struct WindowOracle<'a> {
    windows: Windows,
    batch_size: usize,
    context: &'a Context,
    /// Where single windows draw from.
    stream: Stream,
    ranks: &'a Ranks,
}

impl WindowOracle<'_> {
    /// This rank's part of the batch's mean loss.
    fn loss(&self, decoder: &Decoder) -> Array {
        let share = self.windows.len() as f64 / self.batch_size as f64;
        // A step's loss is one function: every evaluation draws the same masks.
        decoder.loss(&self.windows, &self.context.child("pass")) * share
    }
}

impl Oracle<Decoder> for WindowOracle<'_> {
    fn value_and_grad(&mut self, params: &Decoder) -> (f64, Decoder) {
        let (value, gradient) = if self.windows.is_empty() {
            (0.0, params.zeros_like())
        } else {
            let (value, gradient) = value_and_grad(|net: &Decoder| self.loss(net))(params);
            (value.item(), gradient)
        };
        (self.ranks.sum(value), self.ranks.all_reduce_tree(&gradient))
    }
    fn value(&mut self, params: &Decoder) -> f64 {
        self.ranks.sum(if self.windows.is_empty() { 0.0 } else { self.loss(params).item() })
    }
    fn hvp(&mut self, params: &Decoder, v: &Decoder) -> Decoder {
        let own = if self.windows.is_empty() {
            params.zeros_like()
        } else {
            hvp(|net: &Decoder| self.loss(net), params, v)
        };
        self.ranks.all_reduce_tree(&own)
    }
    /// One example is one window. Not over several ranks.
    fn per_example_grads(&mut self, params: &Decoder) -> Option<Decoder> {
        if self.ranks.size() > 1 {
            return None;
        }
        let loss = |net: &Decoder, i: usize| {
            net.loss(&self.windows.part(i..i + 1), &Context::train(self.stream.at(i as u64)))
        };
        Some(per_example_grad(loss, params, self.windows.len()))
    }
    fn composite(&self) -> Option<&dyn Composite<Decoder>> {
        (self.ranks.size() == 1).then_some(self as &dyn Composite<Decoder>)
    }
}

impl Composite<Decoder> for WindowOracle<'_> {
    fn outputs(&self, params: &Decoder) -> Array {
        params.logits(&self.windows.inputs, &self.context.child("pass"))
    }
    fn loss(&self, outputs: &Array) -> Array {
        losses::cross_entropy(outputs, &self.windows.targets.reshape(&[-1]))
    }
}

/// All arms in one table and one picture.
fn conclude(
    entries: &[(String, Config)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let axis = Axis::new("test loss per byte");
    let mut curves = Picture::lines("Test loss", Axis::new("step"), axis);
    let mut table = Table::new(
        "After training",
        ["arm", "learning rate", "clipped share", "training loss", "test loss", "bits per byte"],
    );
    for (name, config) in entries {
        let Some(state) = finals.state::<Training>(name) else { continue };
        curves = curves
            .series(name.as_str(), state.curve.iter().map(|&(step, loss)| (step as f64, loss)));
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        let figure = |f: &str| finals.figure(&format!("{prefix}{f}")).unwrap_or(f64::NAN);
        table = table.row([
            Cell::from(name.as_str()),
            Cell::from(config.method.optimizer.learning_rate()),
            Cell::from(config.method.coordinate_clip.map_or(0.0, |clip| clip.fraction)),
            Cell::from(figure("train_loss")),
            Cell::from(figure("test_loss")),
            Cell::from(figure("test_loss") / std::f64::consts::LN_2),
        ]);
    }
    watch.table("after-training", table)?;
    watch.picture("test-loss", curves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_run::{Rehearsal, rehearse};

    fn config(extra: &str) -> Config {
        let text = format!(
            r#"{{"data": {{"name": "topics"}}, "model": {{"context": 8, "width": 8, "depth": 1, "heads": 2}},
                "training": {{"steps": 6, "batch_size": 4, "evaluate_every": 3, "evaluation_windows": 4}},
                "method": {{"optimizer": {{"name": "adam", "learning_rate": 0.01}}}} {extra}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    const DIRECTIONAL: &str = r#", "directional": {"at": [2, 6], "batches": 2, "batch_size": 2, "baseline": "sgd", "candidates": {
        "sgd": {"optimizer": {"name": "sgd", "learning_rate": 1.0}},
        "sgd_clipped": {"optimizer": {"name": "sgd", "learning_rate": 1.0}, "coordinate_clip": {"fraction": 0.1}},
        "lion": {"optimizer": {"name": "lion", "learning_rate": 0.1}}}}"#;

    fn setup() -> Setup {
        Setup {
            name: "language".into(),
            seed: 0,
            device: lisse_array::Device::Cpu,
            quick: true,
            ranks: Ranks::alone(),
        }
    }

    #[test]
    fn the_default_has_some_136_thousand_parameters() {
        let decoder = DecoderConfig::default().build(&Stream::new(0));
        assert_eq!(decoder.count(), 256 * 64 * 2 + 64 * 64 + 2 * 49_984 + 128);
        let tied = DecoderConfig { tied: true, ..DecoderConfig::default() };
        assert_eq!(decoder.count() - tied.build(&Stream::new(0)).count(), 256 * 64);
    }

    #[test]
    fn watching_a_training_does_not_change_it() {
        let train = |extra: &str| {
            let arms = vec![Arm { name: String::new(), config: config(extra) }];
            let experiment = Language.experiment(&setup(), arms).unwrap();
            rehearse(&experiment).unwrap()
        };
        let (alone, watched) = (train(""), train(DIRECTIONAL));
        let figure = |r: &Rehearsal, name: &str| r.figures[name].0;
        for name in ["test_loss", "train_loss"] {
            assert_eq!(figure(&alone, name), figure(&watched, name));
        }
        assert_eq!(figure(&watched, "relative_sharpness.sgd").abs(), 1.0);
        let names = Language.figures(&config(DIRECTIONAL)).unwrap();
        assert!(names.iter().all(|name| watched.figures.contains_key(name)), "{names:?}");
    }

    #[test]
    fn what_cannot_be_is_named() {
        let key = |change: &dyn Fn(&mut Config)| {
            let mut config = config(DIRECTIONAL);
            change(&mut config);
            format!("{:?}", Language.validate(&config).unwrap_err())
        };
        assert!(Language.validate(&config(DIRECTIONAL)).is_ok());
        assert!(key(&|c| c.data.name = "topic".into()).contains("data.name"));
        assert!(key(&|c| c.model.heads = 3).contains("model.heads"));
        assert!(key(&|c| c.training.steps = 0).contains("training.steps"));
        let probe = |change: &dyn Fn(&mut DirectionalConfig)| {
            key(&|c| change(c.directional.as_mut().unwrap()))
        };
        assert!(probe(&|d| d.at = vec![7]).contains("directional.at"));
        assert!(probe(&|d| d.baseline = "adam".into()).contains("directional.baseline"));
    }
}
