//! Training a classifier, arm against arm: accuracy, curves, and how sharp the solutions are.

use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use lisse_array::{Array, DType, Stream, Tree, hvp, per_example_grad, value_and_grad};
use lisse_data::{BUNDLED, Batches, Bundled, Dataset, GrowingBatches, label_noise};
use lisse_nn::models::{Mlp, MlpConfig, SmallConvNet, SmallConvNetConfig};
use lisse_nn::{Context, Model, losses};
use lisse_run::report::{Axis, Picture};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Process, Ranks, RecipeKind, Setup, Step, Stop,
    Watch,
};
use serde::{Deserialize, Serialize};

use crate::Groups;
use crate::adaptive_batch::{Question, Spread};
use crate::config::OptimizerConfig;
use crate::coordinate_clipping::{DirectionalConfig, Known, Observed, Observer};
use crate::landscape;
use crate::optimizer::{Composite, Optimizer, Oracle, State};
use crate::recipes::sizes::{self, Drawn};
use crate::spectrum::try_lanczos;

/// `kind = "classify"`: every arm trains the same network on the same data with its own optimizer.
pub struct Classify;

/// The schema of a classification recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What to learn from.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// How it is trained.
    pub method: OptimizerConfig,
    /// How long.
    pub training: TrainingConfig,
    /// What to measure of the solution's surroundings; nothing if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharpness: Option<SharpnessConfig>,
    /// Other optimizers to look along during the training; nothing if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directional: Option<DirectionalConfig>,
}

/// What to learn from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataConfig {
    /// A bundled data set with classes.
    pub name: String,
    /// Share of the examples kept for testing.
    #[serde(default = "quarter")]
    pub test_fraction: f64,
    /// Share of the training labels replaced by wrong ones.
    #[serde(default)]
    pub label_noise: f64,
}

fn quarter() -> f64 {
    0.25
}

/// The network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelConfig {
    /// Two 3x3 convolutions with pooling, two dense layers.
    Conv {
        /// Channels of the two convolutions.
        channels: [usize; 2],
        /// Width of the hidden dense layer.
        hidden: usize,
    },
    /// Dense layers with ReLU.
    Mlp {
        /// Widths of the hidden layers.
        hidden: Vec<usize>,
        /// Another activation than ReLU.
        #[serde(default)]
        activation: lisse_nn::Activation,
    },
}

/// How long to train.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// Passes over the training examples.
    pub epochs: u64,
    /// Examples per step.
    pub batch_size: usize,
    /// Numbers of the network: `f32` or `f64`.
    #[serde(default = "single")]
    pub dtype: DType,
}

fn single() -> DType {
    DType::F32
}

/// What to measure around the solution.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SharpnessConfig {
    /// Most Hessian-vector products for the largest eigenvalue.
    pub products: usize,
    /// Half-width of the slices, in units of the filters' norms.
    pub radius: f64,
    /// Points along the line slice.
    pub line_points: usize,
    /// Points along each side of the plane slice.
    pub plane_points: usize,
}

/// The network of a recipe.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub enum Network {
    /// See [`ModelConfig::Conv`].
    Conv(#[tree(flatten)] Box<SmallConvNet>),
    /// See [`ModelConfig::Mlp`].
    Mlp(#[tree(flatten)] Mlp),
}

impl Network {
    fn new(config: &ModelConfig, data: &Dataset, classes: usize, stream: Stream) -> Network {
        let shape = data.inputs.shape();
        match config {
            ModelConfig::Conv { channels, hidden } => {
                let config = SmallConvNetConfig {
                    channels: shape[1],
                    size: shape[2],
                    classes,
                    widths: *channels,
                    hidden: *hidden,
                    batch_norm: false,
                    ..SmallConvNetConfig::default()
                };
                Network::Conv(Box::new(config.build(&stream)))
            }
            ModelConfig::Mlp { hidden, activation } => {
                let inputs = shape[1..].iter().product();
                let sizes: Vec<usize> = std::iter::once(inputs)
                    .chain(hidden.iter().copied())
                    .chain([classes])
                    .collect();
                Network::Mlp(MlpConfig::new(&sizes).activation(*activation).build(&stream))
            }
        }
    }

    pub(super) fn forward(&self, x: &Array, context: &Context) -> Array {
        match self {
            Network::Conv(net) => net.forward(x, context),
            Network::Mlp(net) => net.forward(&x.reshape(&[x.dim(0) as isize, -1]), context),
        }
    }
}

impl RecipeKind for Classify {
    type Config = Config;

    fn name(&self) -> &'static str {
        "classify"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        let positive =
            |ok: bool, key: &str| if ok { Ok(()) } else { Err(Invalid::new(key, "at least 1")) };
        positive(config.training.epochs > 0, "training.epochs")?;
        positive(config.training.batch_size > 0, "training.batch_size")?;
        if !matches!(config.training.dtype, DType::F32 | DType::F64) {
            return Err(Invalid::new("training.dtype", "f32 or f64"));
        }
        if Bundled::find(&config.data.name).is_err() {
            let names = BUNDLED.map(|set| set.name).join(", ");
            return Err(Invalid::new("data.name", format!("a bundled data set ({names})")));
        }
        match &config.model {
            ModelConfig::Conv { channels, hidden } => {
                positive(channels.iter().all(|&c| c > 0), "model.channels")?;
                positive(*hidden > 0, "model.hidden")?;
            }
            ModelConfig::Mlp { hidden, .. } => {
                positive(hidden.iter().all(|&h| h > 0), "model.hidden")?;
            }
        }
        if !(0.0..1.0).contains(&config.data.label_noise) {
            return Err(Invalid::new("data.label_noise", "a number from 0 to below 1"));
        }
        if !(config.data.test_fraction > 0.0 && config.data.test_fraction < 1.0) {
            return Err(Invalid::new("data.test_fraction", "a number between 0 and 1"));
        }
        if let Some(s) = &config.sharpness {
            positive(s.products > 0, "sharpness.products")?;
            positive(s.line_points > 2, "sharpness.line_points")?;
            positive(s.plane_points > 2, "sharpness.plane_points")?;
        }
        if let Some(directional) = &config.directional {
            // The number of steps depends on the data, which are not read yet.
            directional.validate("directional", u64::MAX)?;
        }
        config
            .method
            .validate()
            .map_err(|bad| Invalid::new(format!("method.{}", bad.key), bad.expected))
    }

    fn experiment(
        &self,
        setup: &Setup,
        arms: Vec<Arm<Config>>,
    ) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut names = Vec::new();
        let mut trainings = Vec::new();
        for arm in arms {
            let training = Training::new(&arm.config, setup)?;
            training.check_groups()?;
            trainings.push(training.clone());
            names.push(arm.name.clone());
            experiment = experiment.arm(arm.name, training);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, &trainings, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let mut names: Vec<String> =
            ["test_accuracy", "train_accuracy", "train_loss", "steps"].map(String::from).to_vec();
        names.extend(config.method.adaptive_batch.iter().map(|_| "last_batch_size".into()));
        if config.sharpness.is_some() {
            names.extend(["largest_eigenvalue".into(), "eigenvalue_residual".into()]);
        }
        names.extend(config.directional.iter().flat_map(DirectionalConfig::figures));
        Some(names)
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let Some(arm) = arms.into_iter().next() else { return Ok(Vec::new()) };
        let training = Training::new(&arm.config, setup)?;
        let params = training.initial().map(|leaf| leaf.cast(DType::F64));
        // A few examples: finite differences evaluate the loss a thousand times.
        let part = training
            .train
            .select(&(0..training.train.len().min(8)).collect::<Vec<_>>())
            .cast(DType::F64);
        let loss = move |net: &Network| {
            losses::cross_entropy(&net.forward(&part.inputs, &Context::eval()), &part.targets)
        };
        Ok(vec![Audit::new("training loss", params, loss)])
    }
}

/// One arm: a network, its data and its optimizer.
#[derive(Clone)]
struct Training {
    config: Config,
    train: Dataset,
    test: Dataset,
    classes: usize,
    batches: Batches,
    /// In place of `batches` where the optimizer says how large they are.
    growing: Option<GrowingBatches>,
    optimizer: Arc<dyn Optimizer<Network>>,
    observer: Option<Rc<Observer<Network>>>,
    stream: Stream,
    ranks: Ranks,
}

/// Where a training stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub struct TrainingState {
    network: Network,
    optimizer: State<Network>,
    #[tree(skip)]
    #[serde(default)]
    drawn: Drawn,
    directional: Option<Observed<Network>>,
}

impl Training {
    fn new(config: &Config, setup: &Setup) -> Result<Training, Error> {
        let stream = Stream::new(setup.seed);
        let data = Dataset::bundled(&config.data.name).map_err(Error::other)?;
        let classes = data.classes().ok_or_else(|| {
            Error::message(format!(
                "data set `{}` has no classes; a classification needs some",
                data.name
            ))
        })?;
        if matches!(config.model, ModelConfig::Conv { .. }) && data.inputs.rank() != 4 {
            return Err(Error::message(format!(
                "model `conv` needs images; `{}` holds rows of {:?}: use model `mlp`",
                data.name,
                &data.inputs.shape()[1..]
            )));
        }
        let data = data.cast(config.training.dtype);
        let (train, test) = data
            .train_test(config.data.test_fraction, &stream.child("split"))
            .map_err(|problem| Error::message(format!("data.test_fraction: {problem}")))?;
        let noise = stream.child("label noise");
        let noisy = label_noise(&train.targets, config.data.label_noise, classes, &noise)
            .map_err(Error::other)?;
        let train = train.with_targets(noisy.labels).map_err(Error::other)?;
        let config = &sizes::sized(config, train.len())?;
        let batches = Batches::new(train.len(), config.training.batch_size)
            .map_err(Error::other)?
            .shuffled(&stream);
        let (train, test) = (train.to_device(setup.device), test.to_device(setup.device));
        let steps = config.training.epochs * batches.per_epoch() as u64;
        config.method.fits(steps).map_err(|problem| Error::message(format!("method.{problem}")))?;
        let optimizer = config.method.build(steps);
        let chooses = optimizer.batch_size(&State::new()).is_some();
        let growing = chooses.then(|| GrowingBatches::new(train.len(), &stream));
        Ok(Training {
            growing: growing.transpose().map_err(Error::other)?,
            optimizer: Arc::from(optimizer),
            observer: observer(config, steps)?,
            config: config.clone(),
            train,
            test,
            classes,
            batches,
            stream,
            ranks: setup.ranks.clone(),
        })
    }

    /// Steps with batches of the first size.
    fn steps(&self) -> u64 {
        self.config.training.epochs * self.batches.per_epoch() as u64
    }

    /// Whether the last of the steps taken ended an epoch, and whether it was the last of all.
    fn progress(&self, state: &TrainingState) -> (bool, bool) {
        let steps = state.optimizer.step;
        match &self.growing {
            None => (steps.is_multiple_of(self.batches.per_epoch() as u64), steps == self.steps()),
            Some(batches) => {
                let examples = self.config.training.epochs * batches.examples() as u64;
                (state.drawn.ended_epoch(batches.examples()), state.drawn.examples() >= examples)
            }
        }
    }

    fn initial(&self) -> Network {
        Network::new(&self.config.model, &self.train, self.classes, self.stream.child("init"))
            .map(|leaf| leaf.cast(self.config.training.dtype))
    }

    /// Refuses a group pattern that matches nothing.
    fn check_groups(&self) -> Result<(), Error> {
        let groups = Groups(self.config.method.groups.clone());
        if groups.0.is_empty() {
            return Ok(());
        }
        match groups.unused(&self.initial()).first() {
            Some(pattern) => Err(Error::message(format!(
                "method.groups: pattern `{pattern}` matches no parameter of the network"
            ))),
            None => Ok(()),
        }
    }

    /// The network to judge: the method's average where it averages, the last iterate otherwise.
    fn solution(&self, state: &TrainingState) -> Network {
        let averaged = self.optimizer.averaged(&state.network, &state.optimizer);
        averaged.unwrap_or_else(|| state.network.clone())
    }

    fn train_loss(&self, network: &Network) -> Array {
        let logits = network.forward(&self.train.inputs, &Context::eval());
        losses::cross_entropy(&logits, &self.train.targets)
    }
}

/// The observer of a recipe that has one; its steps must lie within the training.
fn observer(config: &Config, steps: u64) -> Result<Option<Rc<Observer<Network>>>, Error> {
    let Some(directional) = &config.directional else { return Ok(None) };
    if directional.at.iter().any(|&step| step > steps) {
        return Err(Error::message(format!(
            "directional.at: steps from 1 to the last ({steps}); found {:?}",
            directional.at
        )));
    }
    Ok(Some(Rc::new(Observer::new(directional, steps))))
}

impl Training {
    /// Test batches for the probe, the same at every step.
    fn held_out(&self, config: &DirectionalConfig) -> Vec<Box<dyn Oracle<Network>>> {
        let stream = self.stream.child("held-out batches");
        let size = config.batch_size.min(self.test.len());
        let batch = |i: u64| {
            let part = self.test.select(&stream.at(i).choose(self.test.len(), size));
            let loss = move |net: &Network| {
                losses::cross_entropy(&net.forward(&part.inputs, &Context::eval()), &part.targets)
            };
            Box::new(crate::LossOracle(loss)) as Box<dyn Oracle<Network>>
        };
        (0..config.batches as u64).map(batch).collect()
    }
}

/// Share of the examples whose largest logit is their label.
fn accuracy(network: &Network, data: &Dataset) -> f64 {
    let guess = network.forward(&data.inputs, &Context::eval()).argmax(1);
    guess.equal(&data.targets.cast(guess.dtype())).cast(DType::F64).mean_all().item()
}

/// Loss and gradient of one batch, each rank on its share of the examples.
pub(super) struct BatchOracle<'a> {
    pub(super) inputs: Array,
    pub(super) targets: Array,
    pub(super) batch_size: usize,
    /// Examples of the batch that lower ranks have.
    pub(super) before: usize,
    pub(super) context: &'a Context,
    /// Where single examples draw from.
    pub(super) stream: Stream,
    pub(super) ranks: &'a Ranks,
    /// Where the batch comes from.
    pub(super) train: &'a Dataset,
    pub(super) indices: &'a [usize],
    /// The whole batch, once something has asked for it.
    pub(super) whole: OnceLock<Dataset>,
}

impl BatchOracle<'_> {
    /// The loss of one of this rank's examples, with draws of its own.
    pub(super) fn example_loss(&self, network: &Network, i: usize) -> Array {
        let context = Context::train(self.stream.at((self.before + i) as u64));
        let logits = network.forward(&self.inputs.narrow(0, i, 1), &context);
        losses::cross_entropy(&logits, &self.targets.narrow(0, i, 1))
    }

    /// The batch of all ranks: methods that step on outputs do the same steps on every rank.
    fn whole(&self) -> &Dataset {
        self.whole.get_or_init(|| self.train.select(self.indices))
    }

    /// This rank's part of the batch's mean loss.
    fn loss(&self, network: &Network) -> Array {
        // A step's loss is one function: every evaluation draws the same masks.
        let logits = network.forward(&self.inputs, &self.context.child("pass"));
        let share = self.inputs.dim(0) as f64 / self.batch_size as f64;
        losses::cross_entropy(&logits, &self.targets) * share
    }

    fn has_examples(&self) -> bool {
        self.inputs.dim(0) > 0
    }
}

impl Oracle<Network> for BatchOracle<'_> {
    fn value_and_grad(&mut self, params: &Network) -> (f64, Network) {
        let (value, gradient) = if self.has_examples() {
            let (value, gradient) = value_and_grad(|net: &Network| self.loss(net))(params);
            (value.item(), gradient)
        } else {
            (0.0, params.zeros_like())
        };
        (self.ranks.sum(value), self.ranks.all_reduce_tree(&gradient))
    }
    fn value(&mut self, params: &Network) -> f64 {
        self.ranks.sum(if self.has_examples() { self.loss(params).item() } else { 0.0 })
    }
    fn hvp(&mut self, params: &Network, v: &Network) -> Network {
        let own = if self.has_examples() {
            hvp(|net: &Network| self.loss(net), params, v)
        } else {
            params.zeros_like()
        };
        self.ranks.all_reduce_tree(&own)
    }
    fn per_example_grads(&mut self, params: &Network) -> Option<Network> {
        let examples = self.inputs.dim(0);
        let own = per_example_grad(|net: &Network, i| self.example_loss(net, i), params, examples);
        if self.ranks.size() == 1 {
            return Some(own);
        }
        // Each rank lays its rows where they belong among zeros.
        let after = self.batch_size - self.before - examples;
        let whole = own.map(|rows| {
            let zeros = |count: usize| {
                let mut shape = rows.shape().to_vec();
                shape[0] = count;
                Array::zeros(&shape, rows.dtype())
            };
            Array::cat(&[&zeros(self.before), rows, &zeros(after)], 0)
        });
        Some(self.ranks.all_reduce_tree(&whole))
    }
    fn gradient_spread(
        &mut self,
        params: &Network,
        gradient: &Network,
        question: Question,
    ) -> Option<Spread> {
        Some(sizes::spread_of_batch(self, params, gradient, question))
    }
    fn composite(&self) -> Option<&dyn Composite<Network>> {
        Some(self)
    }
}

impl Composite<Network> for BatchOracle<'_> {
    fn outputs(&self, params: &Network) -> Array {
        params.forward(&self.whole().inputs, &self.context.child("pass"))
    }
    fn loss(&self, outputs: &Array) -> Array {
        losses::cross_entropy(outputs, &self.whole().targets)
    }
}

impl Process for Training {
    type State = TrainingState;

    fn start(&self) -> Result<TrainingState, Error> {
        let network = self.initial();
        let optimizer = self.optimizer.init(&network);
        Ok(TrainingState {
            directional: self.observer.as_ref().map(|observer| observer.start(&network)),
            network,
            optimizer,
            drawn: Drawn::default(),
        })
    }

    fn advance(&self, state: &mut TrainingState, watch: &mut Watch) -> Result<Step, Error> {
        let step = state.optimizer.step;
        let size = self.optimizer.batch_size(&state.optimizer);
        let selection = match (&self.growing, size) {
            (Some(batches), Some(size)) => state.drawn.draw(batches, size),
            _ => self.batches.at(step),
        };
        let share = self.ranks.share(selection.indices.len());
        let part = self.train.select(&selection.indices[share.clone()]);
        let whole = match self.ranks.size() {
            1 => OnceLock::from(part.clone()),
            _ => OnceLock::new(),
        };
        let stream = self.stream.child("dropout").at(step);
        let context = Context::train(stream);
        let mut oracle = BatchOracle {
            inputs: part.inputs,
            targets: part.targets,
            batch_size: selection.indices.len(),
            before: share.start,
            context: &context,
            stream: stream.child("example"),
            ranks: &self.ranks,
            train: &self.train,
            indices: &selection.indices,
            whole,
        };
        let mut known;
        let oracle: &mut dyn Oracle<Network> = match (&self.observer, &mut state.directional) {
            (Some(observer), Some(seen)) => {
                known = Known::at(&state.network, &mut oracle);
                let held_out = || Ok(self.held_out(&observer.config));
                observer.observe(seen, &state.network, step, &mut known, held_out, watch)?;
                &mut known
            }
            _ => &mut oracle,
        };
        let info = self.optimizer.step(&mut state.network, &mut state.optimizer, oracle);
        context.apply_updates(&mut state.network);
        watch.metric("train.loss", info.loss);
        if let Some(flaw) = sizes::flaw(&info, &selection) {
            watch.note(&flaw);
        }
        for (name, value) in info.metrics {
            watch.metric(&format!("train.{name}"), value);
        }
        if self.growing.is_some() {
            watch.metric("train.examples", state.drawn.examples() as f64);
            watch.metric("train.learning_rate", info.learning_rate);
        }
        let (ended_epoch, done) = self.progress(state);
        if ended_epoch {
            watch.metric("test.accuracy", accuracy(&self.solution(state), &self.test));
        }
        Ok(if done { Step::Done(Stop::Completed) } else { Step::Continue })
    }

    fn finish(&self, state: &TrainingState, watch: &mut Watch) -> Result<(), Error> {
        let network = self.solution(state);
        watch.figure("test_accuracy", accuracy(&network, &self.test));
        watch.figure("train_accuracy", accuracy(&network, &self.train));
        watch.figure("train_loss", self.train_loss(&network).item());
        watch.figure("steps", state.optimizer.step as f64);
        if self.growing.is_some() {
            watch.figure("last_batch_size", state.drawn.size() as f64);
        }
        if let Some(sharpness) = &self.config.sharpness {
            watch.phase("largest Hessian eigenvalue", None);
            let product = |v: &Network| {
                watch.tick()?;
                Ok::<_, Error>(hvp(|net: &Network| self.train_loss(net), &network, v))
            };
            let stream = self.stream.child("lanczos");
            let spectrum = try_lanczos(product, &network, sharpness.products, 1e-3, stream)?;
            watch.figure("largest_eigenvalue", spectrum.largest());
            watch.figure("eigenvalue_residual", spectrum.residual);
        }
        if let (Some(observer), Some(seen)) = (&self.observer, &state.directional) {
            observer.finish(seen, watch)?;
        }
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        self.growing.is_none().then(|| self.steps())
    }
}

/// Slices of the loss surface around every arm's solution.
fn conclude(
    names: &[String],
    trainings: &[Training],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let states = names.iter().filter_map(|name| {
        finals.state::<Training>(name).map(|state| (name.as_str(), &state.drawn))
    });
    if let Some(picture) = sizes::picture(states) {
        watch.picture("batch-sizes", picture)?;
    }
    let Some(sharpness) = trainings.first().and_then(|t| t.config.sharpness.clone()) else {
        return Ok(());
    };
    let axis = landscape::grid(sharpness.radius, sharpness.plane_points);
    let loss_axis = Axis::new("training loss").log();
    let mut lines = Picture::lines(
        "The loss along a random direction",
        Axis::new("distance in filter norms"),
        loss_axis,
    );
    let work = sharpness.line_points + sharpness.plane_points * sharpness.plane_points;
    watch.phase("loss surface", Some((work * names.len()) as u64));
    for (name, training) in names.iter().zip(trainings) {
        let Some(state) = finals.state::<Training>(name) else { continue };
        let stream = training.stream.child("slices");
        let network = training.solution(state);
        let first = landscape::filter_normalised(&network, stream.child("first"));
        let second = landscape::filter_normalised(&network, stream.child("second"));
        let mut loss = |net: &Network| -> Result<f64, Error> {
            watch.tick()?;
            Ok(training.train_loss(net).item())
        };
        let along =
            landscape::line(&mut loss, &network, &first, sharpness.radius, sharpness.line_points)?;
        let plane = landscape::plane(
            &mut loss,
            &network,
            &first,
            &second,
            sharpness.radius,
            sharpness.plane_points,
        )?;
        lines = lines.series(name.as_str(), along);
        let heat = Picture::heat(
            format!("The loss around the solution of {name}"),
            Axis::new("first direction"),
            Axis::new("second direction"),
            axis.clone(),
            axis.clone(),
            // Rows of the plane step along the first direction, rows of the picture along the second.
            (0..axis.len()).flat_map(|j| plane.iter().map(move |row| row[j])).collect(),
        );
        let heat =
            heat.value(Axis::new("training loss")).log().contours(10).mark(0.0, 0.0, "solution");
        watch.picture(&format!("plane-{name}"), heat)?;
    }
    let caption = "Filter-normalised directions (Li et al., 2018): the same draw for every arm, scaled to its filters.";
    watch.picture("line", lines.caption(caption))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_of_examples_average_to_that_of_the_batch() {
        let stream = Stream::new(0);
        let network = Network::Mlp(MlpConfig::new(&[3, 4, 2]).build(&stream));
        let network = network.map(|leaf| leaf.cast(DType::F64));
        let context = Context::eval();
        let ranks = Ranks::alone();
        let inputs = stream.child("x").normal(&[5, 3], DType::F64);
        let targets = Array::from_slice(&[0i64, 1, 1, 0, 1], &[5]);
        let data = Dataset::new("five points", inputs.clone(), targets.clone()).unwrap();
        let mut oracle = BatchOracle {
            inputs,
            targets,
            batch_size: 5,
            before: 0,
            context: &context,
            stream,
            ranks: &ranks,
            train: &data,
            indices: &[0, 1, 2, 3, 4],
            whole: OnceLock::new(),
        };
        let examples = oracle.per_example_grads(&network).expect("a mean over examples");
        let (_, batch) = oracle.value_and_grad(&network);
        for (rows, mean) in examples.leaves().into_iter().zip(batch.leaves()) {
            assert_eq!(rows.dim(0), 5);
            assert!((rows.mean(&[0]) - mean).abs().max_all().item() < 1e-14);
        }
    }

    #[test]
    fn looking_along_other_optimizers_does_not_change_a_training() {
        let train = |extra: &str| {
            let text = format!(
                r#"{{"data": {{"name": "iris"}}, "model": {{"name": "mlp", "hidden": [5]}},
                    "training": {{"epochs": 2, "batch_size": 20}},
                    "method": {{"optimizer": {{"name": "adam", "learning_rate": 0.01}}}} {extra}}}"#
            );
            let config: Config = serde_json::from_str(&text).unwrap();
            Classify.validate(&config).unwrap();
            let setup = Setup {
                name: "iris".into(),
                seed: 0,
                device: lisse_array::Device::Cpu,
                quick: true,
                ranks: Ranks::alone(),
            };
            let arms = vec![Arm { name: String::new(), config }];
            lisse_run::rehearse(&Classify.experiment(&setup, arms).unwrap()).unwrap().figures
        };
        let directional = r#", "directional": {"at": [3, 9], "batches": 2, "batch_size": 10, "baseline": "sgd", "candidates": {
            "sgd": {"optimizer": {"name": "sgd", "learning_rate": 1.0}},
            "clipped": {"optimizer": {"name": "sgd", "learning_rate": 1.0}, "coordinate_clip": {"fraction": 0.1}}}}"#;
        let (alone, watched) = (train(""), train(directional));
        assert_eq!(alone["train_loss"], watched["train_loss"]);
        assert!(watched["sharpness.clipped"].0.is_finite());
    }

    #[test]
    fn outputs_and_their_loss_make_the_loss_of_the_batch() {
        let stream = Stream::new(0);
        let network = Network::Mlp(MlpConfig::new(&[3, 4, 2]).build(&stream));
        let network = network.map(|leaf| leaf.cast(DType::F64));
        let inputs = stream.child("x").normal(&[7, 3], DType::F64);
        let targets = Array::from_slice(&[0i64, 1, 1, 0, 1, 0, 0], &[7]);
        let data = Dataset::new("seven points", inputs, targets).unwrap();
        let indices = [5, 0, 3];
        let part = data.select(&indices);
        let (context, ranks) = (Context::eval(), Ranks::alone());
        let mut oracle = BatchOracle {
            inputs: part.inputs,
            targets: part.targets,
            batch_size: 3,
            before: 0,
            context: &context,
            stream,
            ranks: &ranks,
            train: &data,
            indices: &indices,
            whole: OnceLock::new(),
        };
        let value = oracle.value(&network);
        let composite = oracle.composite().expect("a loss of outputs");
        let outputs = composite.outputs(&network);
        assert_eq!(outputs.shape(), [3, 2]);
        assert_eq!(composite.loss(&outputs).item(), value);
    }
}
