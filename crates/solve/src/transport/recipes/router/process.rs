//! Trainings with one router, one after another.

use std::cell::RefCell;

use lisse_array::{Array, Stream, Tree};
use lisse_data::{Batches, Dataset};
use lisse_optim::{Adam, LossOracle, Optimizer, State};
use lisse_run::{Error, Process, Step, Stop, Watch};
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::model::{Mixture, Pass};
use crate::transport::{Router, TransportError};

pub(super) struct Trainer {
    pub config: Config,
    router: Router,
    optimizer: Adam,
    train: Dataset,
    test: Dataset,
    seed: u64,
}

/// Where the trainings stand.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub(super) struct RunState {
    #[tree(skip)]
    step: u64,
    model: Mixture,
    memory: State<Mixture>,
    #[tree(skip)]
    pub outcomes: Vec<Outcome>,
}

/// What a training came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub accuracy: f64,
    /// Largest over mean demand for experts, mean over groups of test images.
    pub imbalance: f64,
    pub served: f64,
    /// Share of the demand for each expert.
    pub shares: Vec<f64>,
}

impl Trainer {
    pub fn new(config: &Config, seed: u64) -> Result<Trainer, Error> {
        let data = Dataset::bundled("digits").map_err(Error::other)?;
        let (train, test) =
            data.train_test(0.25, &Stream::new(seed).child("split")).map_err(Error::other)?;
        Ok(Trainer {
            router: config.method.router(),
            optimizer: Adam::new(config.training.learning_rate),
            config: config.clone(),
            train,
            test,
            seed,
        })
    }

    fn stream(&self, training: u64) -> Stream {
        Stream::new(self.seed).child("training").at(training)
    }

    pub fn model(&self, training: u64) -> Mixture {
        Mixture::new(&self.config.model, &self.stream(training).child("model"))
    }

    /// Images and labels of a step.
    pub fn batch(&self, training: u64, step: u64) -> Result<(Array, Array), Error> {
        let size = self.config.training.batch_size;
        let batches = Batches::new(self.train.len(), size)
            .and_then(|batches| {
                batches.shuffled(&self.stream(training).child("batches")).drop_last()
            })
            .map_err(Error::other)?;
        let part = self.train.select(&batches.at(step).indices);
        Ok((part.inputs, part.targets))
    }

    /// One step of a training; the loss and what the router did.
    fn train(&self, state: &mut RunState) -> Result<(f64, f64), Error> {
        let training = state.outcomes.len() as u64;
        let (images, labels) = self.batch(training, state.step)?;
        let auxiliary = self.config.method.auxiliary;
        let seen: RefCell<Result<f64, TransportError>> = RefCell::new(Ok(f64::NAN));
        let loss = |model: &Mixture| match model.forward(&images, &self.router) {
            Ok(pass) => {
                *seen.borrow_mut() = Ok(pass.dispatch.imbalance());
                pass.loss(&labels, auxiliary)
            }
            Err(error) => {
                // Told below; a loss must be made of the model all the same.
                *seen.borrow_mut() = Err(error);
                model.flatten().sum_all() * 0.0
            }
        };
        let info = self.optimizer.step(&mut state.model, &mut state.memory, &mut LossOracle(loss));
        let imbalance = seen.into_inner().map_err(Error::other)?;
        state.step += 1;
        Ok((info.loss, imbalance))
    }

    /// The whole test part, in groups of the batch size.
    fn judge(&self, model: &Mixture) -> Result<Outcome, Error> {
        let size = self.config.training.batch_size;
        let mut outcome =
            Outcome { shares: vec![0.0; self.config.model.experts], ..Outcome::default() };
        let (mut right, mut groups) = (0.0, 0.0);
        for start in (0..self.test.len()).step_by(size) {
            let count = size.min(self.test.len() - start);
            let part = self.test.select(&(start..start + count).collect::<Vec<_>>());
            let Pass { scores, dispatch, .. } =
                model.forward(&part.inputs, &self.router).map_err(Error::other)?;
            let found = scores.argmax(1).to_f64_vec();
            right += found.iter().zip(part.targets.to_f64_vec()).filter(|(x, y)| **x == *y).count()
                as f64;
            // A last small group is rougher: it counts by its size.
            let weight = count as f64;
            outcome.imbalance += weight * dispatch.imbalance();
            outcome.served += weight * dispatch.served();
            let total: usize = dispatch.demand().iter().sum();
            for (share, &demand) in outcome.shares.iter_mut().zip(dispatch.demand()) {
                *share += weight * demand as f64 / total.max(1) as f64;
            }
            groups += weight;
        }
        outcome.accuracy = right / self.test.len() as f64;
        outcome.imbalance /= groups;
        outcome.served /= groups;
        for share in &mut outcome.shares {
            *share /= groups;
        }
        Ok(outcome)
    }
}

/// Names of the figures of an arm.
pub(super) const FIGURES: [&str; 6] =
    ["accuracy", "accuracy_least", "imbalance", "imbalance_least", "imbalance_most", "served"];

impl Process for Trainer {
    type State = RunState;

    fn start(&self) -> Result<RunState, Error> {
        let model = self.model(0);
        let memory = self.optimizer.init(&model);
        Ok(RunState { step: 0, model, memory, outcomes: Vec::new() })
    }

    fn advance(&self, state: &mut RunState, watch: &mut Watch) -> Result<Step, Error> {
        let (loss, imbalance) = self.train(state)?;
        watch.metric("loss", loss);
        watch.metric("imbalance", imbalance);
        if state.step == self.config.training.steps {
            let outcome = self.judge(&state.model)?;
            watch.metric("accuracy", outcome.accuracy);
            state.outcomes.push(outcome);
            state.step = 0;
            state.model = self.model(state.outcomes.len() as u64);
            state.memory = self.optimizer.init(&state.model);
        }
        let done = state.outcomes.len() as u64 == self.config.training.seeds;
        Ok(if done { Step::Done(Stop::Completed) } else { Step::Continue })
    }

    fn finish(&self, state: &RunState, watch: &mut Watch) -> Result<(), Error> {
        let of = |f: fn(&Outcome) -> f64| state.outcomes.iter().map(f).collect::<Vec<_>>();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let (accuracy, imbalance) = (of(|o| o.accuracy), of(|o| o.imbalance));
        watch.figure("accuracy", mean(&accuracy));
        watch.figure("accuracy_least", least(&accuracy));
        watch.figure("imbalance", mean(&imbalance));
        watch.figure("imbalance_least", least(&imbalance));
        watch.figure("imbalance_most", imbalance.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        watch.figure("served", mean(&of(|o| o.served)));
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.training.steps * self.config.training.seeds)
    }
}
