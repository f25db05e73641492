//! One energy in training.

use std::rc::Rc;

use lisse_array::{Array, Stream, Tree};
use lisse_run::{Error, Process, Setup, Step, Stop, Watch};
use serde::{Deserialize, Serialize};

use super::config::{Config, DataConfig, Learned};
use super::pictures;
use super::task::Task;
use crate::Groups;
use crate::energy::{Density, Fit, Form, Parameters, Partition, auroc, false_positive_rate};
use crate::optimizer::Optimizer;

/// One arm.
#[derive(Clone)]
pub struct Training {
    pub config: Config,
    pub task: Rc<Task>,
    optimizer: Rc<dyn Optimizer<Parameters<Learned>>>,
    stream: Stream,
}

/// Where a training stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
pub struct TrainingState {
    pub fit: Fit<Learned>,
    /// Steps and `-log p` of the test data.
    #[tree(skip)]
    pub curve: Vec<(f64, f64)>,
    /// The parameter of a one-dimensional closed form, step by step.
    #[tree(skip)]
    pub path: Vec<f64>,
}

/// Below this share of noise that counts, the likelihood of MECO is not to be trusted.
const ENOUGH: f64 = 0.02;
/// Steps that a parameter must stay near the truth to have reached it.
const STAY: usize = 50;
/// Steps whose average is compared with the truth.
const LAST: usize = 500;

impl Training {
    pub fn new(config: &Config, setup: &Setup) -> Result<Training, Error> {
        config
            .method
            .fits(config.training.steps)
            .map_err(|problem| Error::message(format!("method.{problem}")))?;
        let training = Training {
            config: config.clone(),
            task: Rc::new(Task::new(config, setup)?),
            optimizer: Rc::from(config.method.build(config.training.steps)),
            stream: Stream::new(setup.seed),
        };
        let groups = Groups(config.method.groups.clone());
        if !groups.0.is_empty()
            && let Some(pattern) = groups.unused(&training.begin().fit.parameters).first()
        {
            return Err(Error::message(format!(
                "method.groups: pattern `{pattern}` matches no parameter of the model"
            )));
        }
        Ok(training)
    }

    pub fn energy(&self) -> Learned {
        let stream = self.stream.child("energy");
        self.config.energy.build(self.task.dim(), self.task.dtype, &stream)
    }

    fn begin(&self) -> TrainingState {
        let fit = self.config.estimator.start(self.energy(), &*self.optimizer);
        TrainingState { fit, curve: Vec::new(), path: Vec::new() }
    }

    /// The parameters to judge: the optimizer's average where it averages.
    pub fn solution(&self, state: &TrainingState) -> Learned {
        let last = &state.fit.parameters;
        let averaged = self.optimizer.averaged(last, &state.fit.optimizer);
        averaged.map_or_else(|| last.energy.clone(), |average| average.energy)
    }

    pub fn density<'a>(&'a self, energy: &'a Learned) -> Density<'a, Learned> {
        Density { energy, form: self.form(), noise: &*self.task.noise }
    }

    fn form(&self) -> Form {
        self.config.estimator.form
    }

    /// Noise for evaluations and samples; never that of the training.
    pub fn fresh(&self, name: &str) -> Stream {
        self.stream.child("evaluation").child(name)
    }

    /// Normalization from `samples` points of noise, and mean of `-log p` of the test data.
    fn nll(&self, energy: &Learned, samples: usize) -> (Partition, f64) {
        let density = self.density(energy);
        let partition = Partition::estimate(&density, samples, &self.fresh("partition"));
        let log_p0 = density.log_p0(&self.task.test).mean_all().item();
        (partition, partition.log_z - log_p0)
    }

    /// The true parameter of a one-dimensional closed form.
    pub fn truth(&self) -> Option<f64> {
        match self.config.data {
            DataConfig::Gaussian { mean } => Some(mean),
            _ => None,
        }
    }

    /// How far the average of the last parameters is from the truth, and the first step of a stretch within 5 % of it.
    fn approach(&self, path: &[f64]) -> Option<(f64, f64)> {
        let truth = self.truth()?;
        let last = &path[path.len().saturating_sub(LAST)..];
        if last.is_empty() {
            return None;
        }
        let error = (last.iter().sum::<f64>() / last.len() as f64 - truth).abs();
        let near: Vec<bool> =
            path.iter().map(|p| (p - truth).abs() <= 0.05 * truth.abs()).collect();
        let reached = near.windows(STAY).position(|stretch| stretch.iter().all(|near| *near));
        Some((error, reached.map_or(f64::INFINITY, |step| step as f64 + 1.0)))
    }

    /// How well scores tell foreign examples from the test data.
    fn tell(&self, score: &dyn Fn(&Array) -> Vec<f64>, prefix: &str, watch: &mut Watch) {
        let familiar = score(&self.task.test);
        for (name, foreign) in &self.task.outliers {
            let foreign = score(foreign);
            watch.figure(&format!("{prefix}auroc_{name}"), auroc(&familiar, &foreign));
            let rate = false_positive_rate(&familiar, &foreign);
            watch.figure(&format!("{prefix}fpr_{name}"), rate);
        }
    }
}

impl Config {
    /// The names of an arm's figures.
    pub fn figures(&self) -> Vec<String> {
        let mut names = vec!["nll", "nll_error", "log_z", "ess", "noise_nll"];
        match &self.data {
            DataConfig::Gaussian { .. } => names.extend(["true_nll", "error", "reached"]),
            DataConfig::Planar { .. } => names.extend(["true_nll", "grid_nll", "divergence"]),
            DataConfig::Digits { .. } => {
                let figures = ["auroc", "fpr"]
                    .into_iter()
                    .flat_map(|kind| ["foreign", "uniform"].map(|of| format!("{kind}_{of}")));
                let own: Vec<String> = figures.collect();
                let noise = own.iter().map(|name| format!("noise_{name}"));
                let all = noise.chain(own.iter().cloned());
                return names.into_iter().map(String::from).chain(all).collect();
            }
        }
        names.into_iter().map(String::from).collect()
    }
}

impl Process for Training {
    type State = TrainingState;

    fn start(&self) -> Result<TrainingState, Error> {
        Ok(self.begin())
    }

    fn advance(&self, state: &mut TrainingState, watch: &mut Watch) -> Result<Step, Error> {
        let step = state.fit.optimizer.step;
        let stream = self.stream.child("step").at(step);
        let size = self.config.training.batch_size;
        let data = self.task.batch(step, size, &stream.child("data"));
        let noise = &*self.task.noise;
        let estimator = &self.config.estimator;
        let info = estimator.step(&mut state.fit, noise, &*self.optimizer, &data, &stream);
        watch.metric("train.loss", info.loss);
        for (name, value) in info.metrics {
            watch.metric(&format!("train.{name}"), value);
        }
        if let Some(number) = state.fit.parameters.energy.number() {
            state.path.push(number);
            watch.metric("parameter", number);
        }
        let done = state.fit.optimizer.step;
        if done.is_multiple_of(self.config.evaluation.every) {
            let samples = self.config.evaluation.samples / 16;
            let (_, nll) = self.nll(&self.solution(state), samples);
            watch.metric("test.nll", nll);
            state.curve.push((done as f64, nll));
        }
        let last = done == self.config.training.steps;
        Ok(if last { Step::Done(Stop::Completed) } else { Step::Continue })
    }

    fn finish(&self, state: &TrainingState, watch: &mut Watch) -> Result<(), Error> {
        let energy = self.solution(state);
        watch.phase("normalization", None);
        let (partition, nll) = self.nll(&energy, self.config.evaluation.samples);
        watch.figure("nll", nll);
        watch.figure("nll_error", partition.standard_error);
        watch.figure("log_z", partition.log_z);
        watch.figure("ess", partition.ess);
        let noise = &self.task.noise;
        watch.figure("noise_nll", -noise.log_density(&self.task.test).mean_all().item());
        if partition.ess < ENOUGH {
            let arm = watch.arm().to_string();
            watch.note(&format!(
                "{arm}: {:.2} % of the noise counts: its log Z is not to be trusted; take wider noise or noise fitted better to the data",
                100.0 * partition.ess
            ));
        }
        if let Some(truth) = self.task.true_nll() {
            watch.figure("true_nll", truth);
        }
        if let Some((error, reached)) = self.approach(&state.path) {
            watch.figure("error", error);
            watch.figure("reached", reached);
        }
        let density = self.density(&energy);
        let of_model = |x: &Array| (-density.log_p0(x)).to_f64_vec();
        self.tell(&of_model, "", watch);
        self.tell(&|x| (-noise.log_density(x)).to_f64_vec(), "noise_", watch);
        pictures::of_arm(self, &energy, watch)
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.training.steps)
    }
}
