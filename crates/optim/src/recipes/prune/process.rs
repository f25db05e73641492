//! One arm: pruning, sparsity after sparsity, network after network.

use std::sync::{Arc, OnceLock};

use lisse_array::{Array, DType, Device, Stream, Tree, per_example_grad};
use lisse_data::{Batches, Dataset};
use lisse_nn::models::{Mlp, MlpConfig};
use lisse_nn::{Context, Model, losses};
use lisse_run::{Error, Process, Setup, Step, Stop, Watch};
use serde::{Deserialize, Serialize};

use super::config::{Config, DenseConfig};
use crate::mfac::{Masked, ones};
use crate::optimizer::{LossOracle, Optimizer};

/// Data and network of one repetition, before pruning.
pub(super) struct Dense {
    train: Dataset,
    test: Dataset,
    network: Mlp,
    accuracy: f64,
    stream: Stream,
}

/// The dense networks of all repetitions, trained when first asked for, and shared by arms that agree on them.
pub(super) struct Originals {
    config: Config,
    seed: u64,
    device: Device,
    networks: Vec<OnceLock<Dense>>,
}

impl Originals {
    pub fn new(config: &Config, setup: &Setup) -> Originals {
        let networks = (0..config.repeats).map(|_| OnceLock::new()).collect();
        Originals { config: config.clone(), seed: setup.seed, device: setup.device, networks }
    }

    /// Whether a recipe's dense networks are these.
    pub fn fit(&self, other: &Config) -> bool {
        let described = |c: &Config| format!("{:?}", (&c.data, &c.model, &c.dense, c.repeats));
        described(&self.config) == described(other)
    }

    fn get(&self, number: u64) -> Result<&Dense, Error> {
        let place = self.networks.get(number as usize).ok_or_else(|| {
            Error::message(format!(
                "the state asks for network {number} of {}",
                self.networks.len()
            ))
        })?;
        if let Some(found) = place.get() {
            return Ok(found);
        }
        let made = self.make(number)?;
        Ok(place.get_or_init(|| made))
    }

    fn make(&self, number: u64) -> Result<Dense, Error> {
        let stream = Stream::new(self.seed).child("network").at(number);
        let data = Dataset::bundled(&self.config.data.name).map_err(Error::other)?;
        let classes = data.classes().ok_or_else(|| {
            Error::message(format!("data set `{}` has no classes to tell apart", data.name))
        })?;
        let (train, test) = data
            .cast(DType::F32)
            .to_device(self.device)
            .train_test(self.config.data.test_fraction, &stream.child("split"))
            .map_err(|problem| Error::message(format!("data.test_fraction: {problem}")))?;
        let inputs: usize = train.inputs.shape()[1..].iter().product();
        let hidden = self.config.model.hidden.iter().copied();
        let sizes: Vec<usize> = std::iter::once(inputs).chain(hidden).chain([classes]).collect();
        let start = MlpConfig::new(&sizes)
            .activation(self.config.model.activation)
            .build(&stream.child("init"));
        let order = stream.child("dense");
        let network = train_network(&self.config.dense, start, &train, &order, None)?;
        let accuracy = accuracy(&network, &test);
        Ok(Dense { train, test, network, accuracy, stream })
    }
}

/// Trains a network, without bringing back what a mask removes.
fn train_network(
    config: &DenseConfig,
    mut network: Mlp,
    data: &Dataset,
    stream: &Stream,
    mask: Option<&Mlp>,
) -> Result<Mlp, Error> {
    let batches = Batches::new(data.len(), config.batch_size).map_err(Error::other)?;
    let batches = batches.shuffled(stream);
    let steps = config.epochs * batches.per_epoch() as u64;
    let mut optimizer = config.method.build::<Mlp>(steps);
    if let Some(mask) = mask {
        optimizer = Box::new(Masked { mask: mask.clone(), inner: optimizer });
    }
    let mut state = optimizer.init(&network);
    for step in 0..steps {
        let batch = data.select(&batches.at(step).indices);
        optimizer.step(&mut network, &mut state, &mut LossOracle(|net: &Mlp| loss(net, &batch)));
    }
    Ok(optimizer.averaged(&network, &state).unwrap_or(network))
}

fn logits(network: &Mlp, data: &Dataset) -> Array {
    network.forward(&data.inputs.reshape(&[data.len() as isize, -1]), &Context::eval())
}

pub(super) fn loss(network: &Mlp, data: &Dataset) -> Array {
    losses::cross_entropy(&logits(network, data), &data.targets)
}

fn accuracy(network: &Mlp, data: &Dataset) -> f64 {
    let guess = logits(network, data).argmax(1);
    guess.equal(&data.targets.cast(guess.dtype())).cast(DType::F64).mean_all().item()
}

/// One arm.
pub(super) struct Pruning {
    config: Config,
    originals: Arc<Originals>,
}

/// Where an arm stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub(super) struct PruningState {
    network: Mlp,
    mask: Mlp,
    /// Number of the network.
    #[tree(skip)]
    number: u64,
    /// For each network the test accuracy dense and at each sparsity.
    #[tree(skip)]
    pub accuracies: Vec<Vec<f64>>,
}

impl Pruning {
    pub fn new(config: &Config, originals: Arc<Originals>) -> Pruning {
        Pruning { config: config.clone(), originals }
    }

    fn begin(&self, state: &mut PruningState) -> Result<(), Error> {
        let dense = self.originals.get(state.number)?;
        state.network = dense.network.clone();
        state.mask = ones(&dense.network);
        Ok(())
    }

    /// The batches of one round's gradients: every example once before any comes again.
    fn draws(&self, dense: &Dense, stream: &Stream) -> Vec<Vec<usize>> {
        let prune = &self.config.prune;
        let (count, size) = (prune.gradients, prune.batch_size);
        let passes = (count * size).div_ceil(dense.train.len());
        let order: Vec<usize> = (0..passes as u64)
            .flat_map(|pass| stream.at(pass).permutation(dense.train.len()))
            .collect();
        order.chunks(size).take(count).map(<[usize]>::to_vec).collect()
    }

    /// Prunes to a sparsity, and trains on where the recipe says so.
    fn prune(&self, state: &mut PruningState, level: usize) -> Result<(), Error> {
        let dense = self.originals.get(state.number)?;
        let sparsity = self.config.prune.sparsities[level];
        let stream = dense.stream.child("gradients").at(level as u64);
        let mut gradients = |net: &Mlp, round: usize| {
            let draws = self.draws(dense, &stream.at(round as u64));
            let batches: Vec<Dataset> =
                draws.iter().map(|indices| dense.train.select(indices)).collect();
            per_example_grad(|net: &Mlp, i| loss(net, &batches[i]), net, batches.len())
        };
        let pruned = self
            .config
            .prune
            .pruner()
            .prune(&state.network, &state.mask, sparsity, &mut gradients)
            .map_err(Error::other)?;
        state.network = pruned.params;
        state.mask = pruned.mask;
        if let Some(retrain) = &self.config.retrain {
            let order = dense.stream.child("retrain").at(level as u64);
            let start = state.network.clone();
            state.network = train_network(retrain, start, &dense.train, &order, Some(&state.mask))?;
        }
        Ok(())
    }
}

/// Mean over the networks, dense first, then by sparsity.
pub(super) fn means(accuracies: &[Vec<f64>]) -> Vec<f64> {
    let levels = accuracies.first().map_or(0, Vec::len);
    let of_level = |level: usize| accuracies.iter().map(|network| network[level]).sum::<f64>();
    (0..levels).map(|level| of_level(level) / accuracies.len() as f64).collect()
}

impl Process for Pruning {
    type State = PruningState;

    fn start(&self) -> Result<PruningState, Error> {
        let network = self.originals.get(0)?.network.clone();
        let mask = ones(&network);
        Ok(PruningState { network, mask, number: 0, accuracies: Vec::new() })
    }

    /// One sparsity of one network.
    fn advance(&self, state: &mut PruningState, watch: &mut Watch) -> Result<Step, Error> {
        let dense = self.originals.get(state.number)?;
        if state.accuracies.len() as u64 == state.number {
            state.accuracies.push(vec![dense.accuracy]);
        }
        let level = state.accuracies[state.number as usize].len() - 1;
        if level == 0 || self.config.retrain.is_none() {
            self.begin(state)?;
        }
        self.prune(state, level)?;
        let accuracy = accuracy(&state.network, &dense.test);
        watch.metric("sparsity", self.config.prune.sparsities[level]);
        watch.metric("test.accuracy", accuracy);
        state.accuracies[state.number as usize].push(accuracy);
        if level + 1 == self.config.prune.sparsities.len() {
            state.number += 1;
        }
        let done = state.number == self.config.repeats;
        Ok(if done { Step::Done(Stop::Completed) } else { Step::Continue })
    }

    fn finish(&self, state: &PruningState, watch: &mut Watch) -> Result<(), Error> {
        let means = means(&state.accuracies);
        let names = self.config.prune.sparsities.iter().map(|&s| Config::figure(s));
        for (name, mean) in std::iter::once("dense_accuracy".to_string()).chain(names).zip(means) {
            watch.figure(&name, mean);
        }
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.repeats * self.config.prune.sparsities.len() as u64)
    }
}
