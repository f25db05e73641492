//! One arm: unlearning and the attacks on what came out, model after model.

use std::sync::{Arc, OnceLock};

use lisse_array::{Array, DType, Device, Stream, Tree};
use lisse_data::{Batches, Dataset};
use lisse_nn::models::{Mlp, MlpConfig};
use lisse_nn::{Context, Model, losses};
use lisse_run::{Error, Process, Setup, Step, Stop, Watch};
use serde::{Deserialize, Serialize};

use super::config::Config;
use crate::optimizer::{LossOracle, Optimizer, State};
use crate::sam::Sam;
use crate::smoothing::{PartlySmoothed, Smoother};

/// Data and network of one repetition, before unlearning.
pub(super) struct Original {
    forget: Part,
    retain: Part,
    forget_test: Dataset,
    retain_test: Dataset,
    pub network: Mlp,
    /// Cross entropy of each example to forget, for objectives that compare.
    reference: Array,
    stream: Stream,
}

/// Training examples and the order of their batches.
struct Part {
    data: Dataset,
    batches: Batches,
}

/// The originals of all repetitions, trained when first asked for, and shared by arms that agree on them.
pub(super) struct Originals {
    config: Config,
    seed: u64,
    device: Device,
    models: Vec<OnceLock<Original>>,
}

impl Originals {
    pub fn new(config: &Config, setup: &Setup) -> Originals {
        let models = (0..config.repeats.models).map(|_| OnceLock::new()).collect();
        Originals { config: config.clone(), seed: setup.seed, device: setup.device, models }
    }

    /// Whether a recipe's originals are these.
    pub fn fit(&self, other: &Config) -> bool {
        let described = |c: &Config| {
            format!("{:?}", (&c.data, &c.model, &c.original, &c.repeats, c.unlearn.batch_size))
        };
        described(&self.config) == described(other)
    }

    pub fn get(&self, model: u64) -> Result<&Original, Error> {
        let place = self.models.get(model as usize).ok_or_else(|| {
            Error::message(format!("the state asks for model {model} of {}", self.models.len()))
        })?;
        if let Some(found) = place.get() {
            return Ok(found);
        }
        let made = self.make(model)?;
        Ok(place.get_or_init(|| made))
    }

    fn make(&self, model: u64) -> Result<Original, Error> {
        let stream = Stream::new(self.seed).child("model").at(model);
        let Config { data, unlearn, .. } = &self.config;
        let all = Dataset::bundled(&data.name).map_err(Error::other)?;
        let classes = all.classes().ok_or_else(|| {
            Error::message(format!("data set `{}` has no classes to forget", data.name))
        })?;
        if let Some(label) = data.forget.iter().find(|l| !(0..classes as i64).contains(l)) {
            let last = classes - 1;
            return Err(Error::message(format!(
                "data.forget: class {label} is none of `{}`, whose classes are 0 to {last}",
                data.name
            )));
        }
        let all = all.cast(DType::F32);
        let (train, test) = all
            .train_test(data.test_fraction, &stream.child("split"))
            .map_err(|problem| Error::message(format!("data.test_fraction: {problem}")))?;
        let (forget, retain) = parted(&train.to_device(self.device), &data.forget)?;
        let (forget_test, retain_test) = parted(&test.to_device(self.device), &data.forget)?;
        let network = self.train(&train.to_device(self.device), classes, &stream)?;
        let part = |data: Dataset, name: &str| {
            let batches = Batches::new(data.len(), unlearn.batch_size).map_err(Error::other)?;
            Ok::<_, Error>(Part { data, batches: batches.shuffled(&stream.child(name)) })
        };
        let reference = cross_entropies(&network, &forget).stop_gradient();
        Ok(Original {
            forget: part(forget, "forget")?,
            retain: part(retain, "retain")?,
            forget_test,
            retain_test,
            network,
            reference,
            stream,
        })
    }

    /// The network that knows everything.
    fn train(&self, data: &Dataset, classes: usize, stream: &Stream) -> Result<Mlp, Error> {
        let Config { model, original, .. } = &self.config;
        let inputs: usize = data.inputs.shape()[1..].iter().product();
        let hidden = model.hidden.iter().copied();
        let sizes: Vec<usize> = std::iter::once(inputs).chain(hidden).chain([classes]).collect();
        let mut network = MlpConfig::new(&sizes).build(&stream.child("init"));
        let batches = Batches::new(data.len(), original.batch_size).map_err(Error::other)?;
        let batches = batches.shuffled(&stream.child("original"));
        let steps = original.epochs * batches.per_epoch() as u64;
        let optimizer = original.method.build::<Mlp>(steps);
        let mut state = optimizer.init(&network);
        for step in 0..steps {
            let batch = data.select(&batches.at(step).indices);
            let mut oracle = LossOracle(|net: &Mlp| cross_entropies(net, &batch).mean_all());
            optimizer.step(&mut network, &mut state, &mut oracle);
        }
        Ok(optimizer.averaged(&network, &state).unwrap_or(network))
    }
}

/// Examples of the given classes, and the others.
fn parted(data: &Dataset, classes: &[i64]) -> Result<(Dataset, Dataset), Error> {
    let labels = data.labels().map_err(Error::other)?;
    let (inside, outside): (Vec<usize>, Vec<usize>) =
        (0..labels.len()).partition(|&i| classes.contains(&labels[i]));
    if inside.is_empty() || outside.is_empty() {
        return Err(Error::message(format!(
            "data.forget: classes {classes:?} leave {} examples to forget and {} to retain; both are needed",
            inside.len(),
            outside.len()
        )));
    }
    Ok((data.select(&inside), data.select(&outside)))
}

fn logits(network: &Mlp, data: &Dataset) -> Array {
    network.forward(&data.inputs.reshape(&[data.len() as isize, -1]), &Context::eval())
}

/// Of each example.
pub(super) fn cross_entropies(network: &Mlp, data: &Dataset) -> Array {
    let loss = losses::CrossEntropy { reduction: losses::Reduction::None, ..Default::default() };
    loss.loss(&logits(network, data), &data.targets)
}

fn accuracy(network: &Mlp, data: &Dataset) -> f64 {
    let guess = logits(network, data).argmax(1);
    guess.equal(&data.targets.cast(guess.dtype())).cast(DType::F64).mean_all().item()
}

/// One arm.
pub(super) struct Unlearning {
    config: Config,
    pub originals: Arc<Originals>,
    smoother: Arc<dyn Smoother<Mlp>>,
    optimizer: Box<dyn Optimizer<Mlp>>,
    attacker: Box<dyn Optimizer<Mlp>>,
}

/// Where an arm stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub(super) struct UnlearnState {
    /// The network being unlearned; once that is done, what came out.
    network: Mlp,
    optimizer: State<Mlp>,
    /// Number of the model.
    #[tree(skip)]
    model: u64,
    #[tree(skip)]
    pub outcomes: Vec<Outcome>,
}

/// What became of one model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// On held-out examples of the forgotten classes.
    pub forget_accuracy: f64,
    /// On held-out examples of the others.
    pub retain_accuracy: f64,
    /// How much the forget loss rises at most, to first order, within the distance [`RADIUS`].
    pub sharpness: f64,
    /// For each attack the accuracy on held-out forgotten classes, after 0, 1, 2 ... steps.
    pub attacks: Vec<Vec<f64>>,
}

/// Of the ball within which sharpness is measured.
pub(super) const RADIUS: f64 = 0.5;

impl Unlearning {
    pub fn new(config: &Config, originals: Arc<Originals>) -> Unlearning {
        Unlearning {
            smoother: config.unlearn.smoothing.build(),
            optimizer: config.unlearn.method.build(config.unlearn.steps),
            attacker: config.relearn.method.build(config.relearn.last_step()),
            config: config.clone(),
            originals,
        }
    }

    fn forget_loss(&self, network: &Mlp, data: &Dataset, reference: &Array) -> Array {
        self.config.unlearn.objective.loss(&cross_entropies(network, data), reference)
    }

    fn step(&self, state: &mut UnlearnState, original: &Original, watch: &mut Watch) {
        let step = state.optimizer.step;
        let chosen = original.forget.batches.at(step).indices;
        let forget = original.forget.data.select(&chosen);
        let indices: Vec<i64> = chosen.iter().map(|&i| i as i64).collect();
        let count = indices.len();
        let indices = Array::from_vec(indices, &[count]).to_device(original.reference.device());
        let reference = original.reference.index_select(0, &indices);
        let retain = original.retain.data.select(&original.retain.batches.at(step).indices);
        let mut forget = LossOracle(|net: &Mlp| self.forget_loss(net, &forget, &reference));
        let mut retain = LossOracle(|net: &Mlp| cross_entropies(net, &retain).mean_all());
        let weight = self.config.unlearn.retain_weight;
        // Every model has draws of its own.
        let draw = state.model * self.config.unlearn.steps + step;
        let mut oracle =
            PartlySmoothed::new(&mut forget, &*self.smoother, &mut retain, weight, draw);
        let info = self.optimizer.step(&mut state.network, &mut state.optimizer, &mut oracle);
        watch.metric("unlearn.loss", info.loss);
        for (name, value) in oracle.metrics.into_iter().chain(info.metrics) {
            watch.metric(&format!("unlearn.{name}"), value);
        }
    }

    /// What unlearning came to; the network becomes the method's average where it averages.
    fn judge(&self, state: &mut UnlearnState, original: &Original) -> Outcome {
        if let Some(average) = self.optimizer.averaged(&state.network, &state.optimizer) {
            state.network = average;
        }
        let mut forget = LossOracle(|net: &Mlp| {
            self.forget_loss(net, &original.forget.data, &original.reference)
        });
        Outcome {
            forget_accuracy: accuracy(&state.network, &original.forget_test),
            retain_accuracy: accuracy(&state.network, &original.retain_test),
            sharpness: Sam::new(RADIUS, ()).worst_of(&mut forget, &state.network).sharpness,
            attacks: Vec::new(),
        }
    }

    /// Accuracy on the forgotten classes while a few of their examples are learned again.
    fn attack(&self, network: &Mlp, original: &Original, number: u64) -> Result<Vec<f64>, Error> {
        let relearn = &self.config.relearn;
        let stream = original.stream.child("attack").at(number);
        let available = original.forget.data.len();
        if relearn.samples > available {
            return Err(Error::message(format!(
                "relearn.samples: {} of the {available} training examples to forget",
                relearn.samples
            )));
        }
        let chosen = stream.child("samples").choose(available, relearn.samples);
        let data = original.forget.data.select(&chosen);
        let batches = Batches::new(data.len(), relearn.batch_size)
            .and_then(Batches::drop_last)
            .map_err(Error::other)?
            .shuffled(&stream);
        let mut network = network.clone();
        let mut state = self.attacker.init(&network);
        let mut curve = vec![accuracy(&network, &original.forget_test)];
        for step in 0..relearn.last_step() {
            let batch = data.select(&batches.at(step).indices);
            let mut oracle = LossOracle(|net: &Mlp| cross_entropies(net, &batch).mean_all());
            self.attacker.step(&mut network, &mut state, &mut oracle);
            curve.push(accuracy(&network, &original.forget_test));
        }
        Ok(curve)
    }
}

/// Mean accuracy over all attacks, by step.
pub(super) fn mean_curve(outcomes: &[Outcome]) -> Vec<f64> {
    let curves: Vec<&Vec<f64>> = outcomes.iter().flat_map(|outcome| &outcome.attacks).collect();
    let steps = curves.first().map_or(0, |curve| curve.len());
    (0..steps).map(|step| mean(curves.iter().map(|curve| curve[step]))).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
    sum / count
}

impl Process for Unlearning {
    type State = UnlearnState;

    fn start(&self) -> Result<UnlearnState, Error> {
        let network = self.originals.get(0)?.network.clone();
        let optimizer = self.optimizer.init(&network);
        Ok(UnlearnState { network, optimizer, model: 0, outcomes: Vec::new() })
    }

    /// One step of unlearning, or one whole attack.
    fn advance(&self, state: &mut UnlearnState, watch: &mut Watch) -> Result<Step, Error> {
        let original = self.originals.get(state.model)?;
        if state.optimizer.step < self.config.unlearn.steps {
            self.step(state, original, watch);
            if state.optimizer.step == self.config.unlearn.steps {
                let outcome = self.judge(state, original);
                state.outcomes.push(outcome);
            }
            return Ok(Step::Continue);
        }
        let outcome = state
            .outcomes
            .last_mut()
            .ok_or_else(|| Error::message("a state past unlearning without its outcome"))?;
        let curve = self.attack(&state.network, original, outcome.attacks.len() as u64)?;
        watch.metric("relearn.accuracy", curve.last().copied().unwrap_or(f64::NAN));
        outcome.attacks.push(curve);
        if (outcome.attacks.len() as u64) < self.config.repeats.attacks {
            return Ok(Step::Continue);
        }
        state.model += 1;
        if state.model == self.config.repeats.models {
            return Ok(Step::Done(Stop::Completed));
        }
        state.network = self.originals.get(state.model)?.network.clone();
        state.optimizer = self.optimizer.init(&state.network);
        Ok(Step::Continue)
    }

    fn finish(&self, state: &UnlearnState, watch: &mut Watch) -> Result<(), Error> {
        let outcomes = &state.outcomes;
        let originals: Vec<&Original> = (0..self.config.repeats.models)
            .map(|m| self.originals.get(m))
            .collect::<Result<_, _>>()?;
        let before = |test: fn(&Original) -> &Dataset| {
            mean(originals.iter().map(|o| accuracy(&o.network, test(o))))
        };
        watch.figure("original_forget_accuracy", before(|o| &o.forget_test));
        watch.figure("original_retain_accuracy", before(|o| &o.retain_test));
        watch.figure("forget_accuracy", mean(outcomes.iter().map(|o| o.forget_accuracy)));
        watch.figure("retain_accuracy", mean(outcomes.iter().map(|o| o.retain_accuracy)));
        watch.figure("forget_sharpness", mean(outcomes.iter().map(|o| o.sharpness)));
        let curve = mean_curve(outcomes);
        for &step in &self.config.relearn.steps {
            let accuracy = curve.get(step as usize).copied().unwrap_or(f64::NAN);
            watch.figure(&format!("relearned_{step}"), accuracy);
        }
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.repeats.models * (self.config.unlearn.steps + self.config.repeats.attacks))
    }
}
