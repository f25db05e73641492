//! Distillation: one image per class such that a classifier trained on them alone does well on all.

use std::time::Instant;

use lisse_array::{Array, DType, Stream, Tree};
use lisse_data::Dataset;
use lisse_run::report::{Axis, Cell, Image, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Process, RecipeKind, Setup, Step, Stop, Watch,
};
use serde::{Deserialize, Serialize};

use super::super::{Condition, Derivative, ImplicitError, objectives, solve, unroll};
use super::digits::{CLASSES, Examples, Momentum, inner_step, smoothness};
use super::{DerivativeConfig, median, value_and_gradient};

/// `kind = "distill"`: every arm chooses the training images by another method.
pub(super) struct Distillation;

/// The schema.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Config {
    /// How the arm comes to its images.
    method: MethodConfig,
    /// Weight of the squared norm of the classifier.
    #[serde(default = "penalty")]
    penalty: f64,
    /// Steps of the outer gradient method.
    steps: u64,
    /// Its step size.
    #[serde(default = "one")]
    rate: f64,
    /// Its momentum.
    #[serde(default = "momentum")]
    momentum: f64,
    /// Steps of the classifier's training.
    inner_steps: usize,
    /// Share of the examples that is held out.
    #[serde(default = "test_fraction")]
    test_fraction: f64,
}

fn penalty() -> f64 {
    0.05
}
fn one() -> f64 {
    1.0
}
fn momentum() -> f64 {
    0.9
}
fn unscaled() -> Vec<f64> {
    vec![1.0]
}
fn test_fraction() -> f64 {
    597.0 / 1797.0
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
enum MethodConfig {
    /// Gradient descent on the images.
    Distilled {
        /// How the classifier's training is differentiated.
        derivative: DerivativeConfig,
    },
    /// One random training image of each class, the mean over so many draws.
    RealImages {
        /// Draws.
        draws: u64,
    },
    /// The mean image of each class, times the scale that trains best: the penalty punishes dim images.
    ClassMeans {
        /// Scales to try.
        #[serde(default = "unscaled")]
        scales: Vec<f64>,
    },
    /// All training images, times the scale that trains best.
    AllImages {
        /// Scales to try.
        #[serde(default = "unscaled")]
        scales: Vec<f64>,
    },
}

impl Config {
    fn distills(&self) -> bool {
        matches!(self.method, MethodConfig::Distilled { .. })
    }
}

impl RecipeKind for Distillation {
    type Config = Config;

    fn name(&self) -> &'static str {
        "distill"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        check(config.penalty > 0.0 && config.penalty.is_finite(), "penalty", "a number above 0")?;
        check(config.steps > 0, "steps", "at least 1")?;
        check(config.rate > 0.0 && config.rate.is_finite(), "rate", "a number above 0")?;
        check((0.0..1.0).contains(&config.momentum), "momentum", "at least 0 and below 1")?;
        check(config.inner_steps > 0, "inner_steps", "at least 1")?;
        let fraction = config.test_fraction;
        check(fraction > 0.0 && fraction < 1.0, "test_fraction", "between 0 and 1")?;
        match &config.method {
            MethodConfig::Distilled { derivative } => {
                derivative.validate("method.derivative")?;
                let unrolled = matches!(derivative, DerivativeConfig::Unrolled { steps, .. } if *steps != config.inner_steps);
                check(!unrolled, "method.derivative.steps", "equal to inner_steps")
            }
            MethodConfig::RealImages { draws } => check(*draws > 0, "method.draws", "at least 1"),
            MethodConfig::ClassMeans { scales } | MethodConfig::AllImages { scales } => {
                let positive = scales.iter().all(|s| *s > 0.0 && s.is_finite());
                check(
                    !scales.is_empty() && positive,
                    "method.scales",
                    "one or more numbers above 0",
                )
            }
        }
    }

    fn experiment(
        &self,
        setup: &Setup,
        arms: Vec<Arm<Config>>,
    ) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut names = Vec::new();
        for arm in arms {
            names.push((arm.name.clone(), arm.config.distills()));
            experiment = experiment.arm(arm.name, Distill::new(arm.config, setup.seed)?);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, finals, watch)))
    }

    fn figures(&self, config: &Config) -> Option<Vec<String>> {
        let mut names = vec!["test_accuracy", "train_loss"];
        if config.distills() {
            names.extend(["first_loss", "inner_gradient", "seconds_per_step"]);
        }
        Some(names.into_iter().map(String::from).collect())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let mut audits = Vec::new();
        for arm in arms.into_iter().filter(|arm| arm.config.distills()) {
            // Two classes: the check walks many coordinates.
            let distill = Distill::new(arm.config, setup.seed)?.with_classes(2);
            let images = distill.first_images();
            let name = format!("loss of the distilled classifier, {}", arm.name);
            audits.push(Audit::new(name, images, move |images: &Array| {
                let nan = |_| Array::scalar(f64::NAN);
                distill.loss(images).unwrap_or_else(nan)
            }));
        }
        Ok(audits)
    }
}

/// One arm.
struct Distill {
    config: Config,
    derivative: Option<Derivative>,
    train: Examples,
    test: Examples,
    targets: Array,
    stream: Stream,
}

impl Distill {
    fn new(config: Config, seed: u64) -> Result<Distill, Error> {
        let stream = Stream::new(seed);
        let data = Dataset::bundled("digits").map_err(Error::other)?.cast(DType::F64);
        let (train, test) =
            data.train_test(config.test_fraction, &stream.child("split")).map_err(Error::other)?;
        let derivative = match &config.method {
            MethodConfig::Distilled { derivative } => Some(derivative.build()),
            _ => None,
        };
        Ok(Distill {
            config,
            derivative,
            train: Examples::new(&train)?,
            test: Examples::new(&test)?,
            targets: Array::eye(CLASSES, DType::F64),
            stream,
        })
    }

    /// With images of the first classes only.
    fn with_classes(mut self, classes: usize) -> Distill {
        self.targets = self.targets.narrow(0, 0, classes);
        self
    }

    /// Uniform noise, one image per class.
    fn first_images(&self) -> Array {
        let shape = [self.targets.dim(0), self.train.inputs.dim(1)];
        self.stream.child("images").uniform(&shape, DType::F64)
    }

    fn start_weights(&self) -> Momentum {
        let zero = Array::zeros(&[self.train.inputs.dim(1), CLASSES], DType::F64);
        (zero.clone(), zero)
    }

    /// The classifier trained on `images`, unrecorded.
    fn fit(&self, images: &Array, targets: &Array) -> Array {
        let (penalty, smooth) = (self.config.penalty, smoothness(images, self.config.penalty));
        let mut w = self.start_weights();
        for _ in 0..self.config.inner_steps {
            w = inner_step(&w, images, targets, penalty, smooth);
        }
        w.0
    }

    fn problem(&self) -> Condition<Array, Array> {
        let (targets, penalty) = (self.targets.clone(), Array::scalar(self.config.penalty));
        Condition::stationary(move |w: &Array, images: &Array| {
            objectives::softmax_regression(w, None, images, &targets, &penalty)
        })
        .positive_definite()
    }

    /// The classifier trained on `images`, as a differentiable function of them.
    fn classifier(&self, images: &Array, derivative: &Derivative) -> Result<Array, ImplicitError> {
        match derivative {
            Derivative::Unroll(options) => {
                let (targets, penalty) = (self.targets.clone(), self.config.penalty);
                // The step size is a constant of the algorithm, not a function of the images.
                let smooth = smoothness(&images.stop_gradient(), penalty);
                let step = move |w: &Momentum, images: &Array| {
                    inner_step(w, images, &targets, penalty, smooth)
                };
                let start = self.start_weights();
                Ok(unroll(step, &start, images, options.steps, options.checkpoint)?.0)
            }
            Derivative::Implicit(_) => {
                let solver =
                    |images: &Array| Ok::<_, ImplicitError>(self.fit(images, &self.targets));
                solve(&self.problem(), solver, derivative, images)
            }
        }
    }

    /// The mean cross entropy of all training images under the classifier trained on `images`.
    fn loss(&self, images: &Array) -> Result<Array, ImplicitError> {
        match &self.derivative {
            Some(derivative) => Ok(self.train.loss(&self.classifier(images, derivative)?)),
            None => Ok(self.train.loss(&self.fit(images, &self.targets))),
        }
    }

    /// Accuracy and loss after training on given images.
    fn judge(&self, images: &Array, targets: &Array) -> (f64, f64) {
        let w = self.fit(images, targets);
        (self.test.accuracy(&w), self.train.loss(&w).item())
    }

    /// The same for the scale of least training loss.
    fn judge_scaled(&self, images: &Array, targets: &Array, scales: &[f64]) -> (f64, f64) {
        let all = scales.iter().map(|s| self.judge(&(images * *s), targets));
        all.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((f64::NAN, f64::NAN))
    }

    fn class_means(&self) -> Array {
        let mean = |class| self.train.rows(&self.train.of_class(class)).mean_keep(&[0]);
        let means: Vec<Array> = (0..CLASSES).map(mean).collect();
        Array::cat(&means.iter().collect::<Vec<_>>(), 0)
    }

    /// One training image of each class.
    fn real_images(&self, draw: u64) -> Array {
        let pick = |class: usize| {
            let members = self.train.of_class(class);
            let stream = self.stream.child("draw").at(draw).at(class as u64);
            members[stream.below(members.len() as u64) as usize]
        };
        let chosen: Vec<usize> = (0..CLASSES).map(pick).collect();
        self.train.rows(&chosen)
    }

    /// The arm without distillation.
    fn baseline(&self) -> (f64, f64) {
        match &self.config.method {
            MethodConfig::RealImages { draws } => {
                let judge = |k: u64| self.judge(&self.real_images(k), &self.targets);
                let all: Vec<(f64, f64)> = (0..*draws).map(judge).collect();
                let mean =
                    |f: &dyn Fn(&(f64, f64)) -> f64| all.iter().map(f).sum::<f64>() / *draws as f64;
                (mean(&|r| r.0), mean(&|r| r.1))
            }
            MethodConfig::AllImages { scales } => {
                self.judge_scaled(&self.train.inputs, &self.train.targets, scales)
            }
            MethodConfig::ClassMeans { scales } => {
                self.judge_scaled(&self.class_means(), &self.targets, scales)
            }
            MethodConfig::Distilled { .. } => (f64::NAN, f64::NAN),
        }
    }
}

/// Where an arm stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
struct State {
    images: Array,
    velocity: Array,
    #[tree(skip)]
    losses: Vec<f64>,
    #[tree(skip)]
    accuracies: Vec<f64>,
    #[tree(skip)]
    seconds: Vec<f64>,
}

impl Process for Distill {
    type State = State;

    fn start(&self) -> Result<State, Error> {
        let images = self.first_images();
        let velocity = images.zeros_like();
        let (losses, accuracies, seconds) = (Vec::new(), Vec::new(), Vec::new());
        Ok(State { images, velocity, losses, accuracies, seconds })
    }

    fn advance(&self, state: &mut State, watch: &mut Watch) -> Result<Step, Error> {
        let Some(derivative) = &self.derivative else {
            let (accuracy, loss) = self.baseline();
            state.losses.push(loss);
            state.accuracies.push(accuracy);
            return Ok(Step::Done(Stop::Completed));
        };
        let clock = Instant::now();
        let (loss, gradient) =
            value_and_gradient(|images| self.loss(images), &state.images, derivative)?;
        state.seconds.push(clock.elapsed().as_secs_f64());
        state.velocity = &state.velocity * self.config.momentum + gradient;
        state.images = state.images.add_scaled(-self.config.rate, &state.velocity);
        let (accuracy, _) = self.judge(&state.images, &self.targets);
        state.losses.push(loss);
        state.accuracies.push(accuracy);
        watch.metric("train_loss", loss);
        watch.metric("test_accuracy", accuracy);
        Ok(Step::Continue)
    }

    fn finish(&self, state: &State, watch: &mut Watch) -> Result<(), Error> {
        let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
        if !self.config.distills() {
            watch.figure("test_accuracy", last(&state.accuracies));
            watch.figure("train_loss", last(&state.losses));
            return Ok(());
        }
        let (accuracy, loss) = self.judge(&state.images, &self.targets);
        watch.figure("test_accuracy", accuracy);
        watch.figure("train_loss", loss);
        watch.figure("first_loss", state.losses.first().copied().unwrap_or(f64::NAN));
        let w = self.fit(&state.images, &self.targets);
        watch.figure("inner_gradient", self.problem().residual(&w, &state.images).norm());
        watch.figure("seconds_per_step", median(&state.seconds));
        let side = (self.train.inputs.dim(1) as f64).sqrt() as usize;
        let values = state.images.to_f64_vec();
        let (low, high) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let mut picture = Picture::images("Distilled images", 5)
            .caption("Black is the smallest value, white the largest; pixels are free to leave the range of real images.");
        for (class, pixels) in values.chunks(side * side).enumerate() {
            let scaled: Vec<f64> = pixels.iter().map(|v| (v - low) / (high - low)).collect();
            picture = picture.image(Image::gray(side, side, &scaled)?, class.to_string());
        }
        watch.picture("images", picture)
    }

    fn total(&self) -> Option<u64> {
        Some(if self.config.distills() { self.config.steps } else { 1 })
    }
}

fn conclude(arms: &[(String, bool)], finals: &Finals<'_>, watch: &mut Watch) -> Result<(), Error> {
    let mut table = Table::new(
        "A classifier trained on what each arm chose",
        ["images", "test accuracy", "training loss", "seconds per outer step"],
    );
    let mut curve = Picture::lines(
        "Accuracy of the classifier trained on the distilled images",
        Axis::new("outer steps"),
        Axis::new("test accuracy"),
    );
    for (arm, distills) in arms {
        let figure = |f: &str| finals.figure(&format!("{arm}.{f}")).unwrap_or(f64::NAN);
        let mut row = vec![Cell::from(arm.as_str())];
        row.extend(["test_accuracy", "train_loss"].map(|f| Cell::from(figure(f))));
        row.push(if *distills { Cell::from(figure("seconds_per_step")) } else { Cell::from("") });
        table = table.row(row);
        let Some(state) = finals.state::<Distill>(arm) else { continue };
        let points = state.accuracies.iter().enumerate().map(|(k, a)| ((k + 1) as f64, *a));
        if *distills {
            curve = curve.series(arm.as_str(), points);
        }
    }
    watch.table("accuracy", table)?;
    watch.picture("accuracy", curve)
}
