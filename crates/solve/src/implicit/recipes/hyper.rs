//! Penalties tuned by the gradient of the validation loss.

use std::time::Instant;

use lisse_array::{Array, DType, Stream, Tree};
use lisse_data::{Dataset, Standardizer, one_hot};
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Process, RecipeKind, Setup, Step, Stop, Watch,
};
use serde::{Deserialize, Serialize};

use super::inner::Inner;
use super::{DerivativeConfig, median, value_and_gradient};
use crate::implicit::{Derivative, ImplicitError};

/// `kind = "hyperparameters"`: every arm tunes the penalty of a problem with another derivative.
pub(super) struct Hyperparameters;

/// The schema.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Config {
    /// What is fitted.
    pub(super) problem: Problem,
    /// How the fit is differentiated.
    pub(super) derivative: DerivativeConfig,
    /// Steps of Adam on the logarithm of the penalty.
    steps: u64,
    /// Its learning rate.
    rate: f64,
    /// Decay of its mean of squared gradients. The usual 0.999 remembers the steep start for a thousand steps.
    #[serde(default = "decay")]
    decay: f64,
    /// Logarithm of the first penalty.
    start: f64,
    /// Smallest and largest logarithm of the grid that the result is compared with.
    grid: (f64, f64),
    /// Points of the grid.
    #[serde(default = "points")]
    points: usize,
}

fn decay() -> f64 {
    0.9
}
fn points() -> usize {
    121
}

/// The problems by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Problem {
    /// Ridge regression on diabetes.
    Ridge,
    /// Lasso on diabetes.
    Lasso,
    /// Multiclass support vector machine on wine, by its dual.
    Svm,
}

impl RecipeKind for Hyperparameters {
    type Config = Config;

    fn name(&self) -> &'static str {
        "hyperparameters"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        config.derivative.validate("derivative")?;
        check(config.steps > 0, "steps", "at least 1")?;
        check(config.rate > 0.0 && config.rate.is_finite(), "rate", "a number above 0")?;
        check((0.0..1.0).contains(&config.decay), "decay", "at least 0 and below 1")?;
        let (low, high) = config.grid;
        let ordered = low < high && low >= -30.0 && high <= 30.0;
        check(ordered, "grid", "two rising numbers between -30 and 30")?;
        let inside = config.start >= low && config.start <= high;
        check(inside, "start", "a number within the grid")?;
        check(config.points >= 2, "points", "at least 2")
    }

    fn experiment(
        &self,
        setup: &Setup,
        arms: Vec<Arm<Config>>,
    ) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut names = Vec::new();
        for arm in arms {
            names.push((arm.name.clone(), arm.config.problem));
            experiment = experiment.arm(arm.name, Tuning::new(arm.config, setup.seed)?);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, finals, watch)))
    }

    fn figures(&self, _: &Config) -> Option<Vec<String>> {
        Some(FIGURES.into_iter().map(String::from).collect())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let mut audits = Vec::new();
        for arm in arms {
            // Truncated and one-step derivatives are wrong by design.
            if !matches!(arm.config.derivative, DerivativeConfig::Implicit { .. }) {
                continue;
            }
            let start = Array::scalar(arm.config.start);
            let tuning = Tuning::new(arm.config, setup.seed)?;
            audits.push(Audit::new(
                format!("validation loss, {}", arm.name),
                start,
                move |t: &Array| tuning.loss(t).unwrap_or_else(|_| Array::scalar(f64::NAN)),
            ));
        }
        Ok(audits)
    }
}

const FIGURES: [&str; 8] = [
    "validation_loss",
    "grid_minimum",
    "excess",
    "log_penalty",
    "largest_rise",
    "gradient_error",
    "first_loss",
    "seconds_per_step",
];

/// One arm.
struct Tuning {
    config: Config,
    derivative: Derivative,
    inner: Inner,
}

impl Tuning {
    fn new(config: Config, seed: u64) -> Result<Tuning, Error> {
        let inner = load(config.problem, seed)?;
        let derivative = config.derivative.build();
        Ok(Tuning { config, derivative, inner })
    }

    fn loss(&self, log_penalty: &Array) -> Result<Array, ImplicitError> {
        self.inner.validation_loss(log_penalty, &self.derivative)
    }

    fn value(&self, log_penalty: f64) -> Result<f64, Error> {
        self.inner.value(log_penalty).map_err(Error::other)
    }

    fn grid(&self) -> impl Iterator<Item = f64> + '_ {
        let ((low, high), n) = (self.config.grid, self.config.points);
        (0..n).map(move |i| low + (high - low) * i as f64 / (n - 1) as f64)
    }
}

/// Half of the rows for training, half for validation; inputs standardised on the former.
fn load(problem: Problem, seed: u64) -> Result<Inner, Error> {
    let name = if problem == Problem::Svm { "wine" } else { "diabetes" };
    let data = Dataset::bundled(name).map_err(Error::other)?.cast(DType::F64);
    let (train, validation) =
        data.train_test(0.5, &Stream::new(seed).child("split")).map_err(Error::other)?;
    let scale = Standardizer::fit(&train.inputs).map_err(Error::other)?;
    let inputs = |part: &Dataset| scale.apply(&part.inputs).map_err(Error::other);
    let (x, validation_x) = (inputs(&train)?, inputs(&validation)?);
    if problem == Problem::Svm {
        let targets = |part: &Dataset| one_hot(&part.targets, 3, DType::F64).map_err(Error::other);
        return Ok(Inner::new(problem, x, targets(&train)?, validation_x, targets(&validation)?));
    }
    let y = train.targets.reshape(&[-1]);
    let mean = y.mean_all();
    let deviation = (&y - &mean).square().mean_all().sqrt();
    let standard = |y: &Array| (y.reshape(&[-1]) - &mean) / &deviation;
    let (y, validation_y) = (standard(&train.targets), standard(&validation.targets));
    Ok(Inner::new(problem, x, y, validation_x, validation_y))
}

/// Where a tuning stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
struct State {
    #[tree(skip)]
    log_penalty: f64,
    #[tree(skip)]
    moments: (f64, f64),
    /// Penalty and loss by step.
    #[tree(skip)]
    path: Vec<(f64, f64)>,
    #[tree(skip)]
    gradient_error: f64,
    #[tree(skip)]
    seconds: Vec<f64>,
}

impl Process for Tuning {
    type State = State;

    fn start(&self) -> Result<State, Error> {
        let (path, seconds) = (Vec::new(), Vec::new());
        let (log_penalty, moments, gradient_error) = (self.config.start, (0.0, 0.0), f64::NAN);
        Ok(State { log_penalty, moments, path, gradient_error, seconds })
    }

    fn advance(&self, state: &mut State, watch: &mut Watch) -> Result<Step, Error> {
        let clock = Instant::now();
        let at = Array::scalar(state.log_penalty);
        let (loss, gradient) = value_and_gradient(|t| self.loss(t), &at, &self.derivative)?;
        let gradient = gradient.item();
        state.seconds.push(clock.elapsed().as_secs_f64());
        if state.path.is_empty() {
            let h = 1e-4;
            let up = self.value(state.log_penalty + h)?;
            let down = self.value(state.log_penalty - h)?;
            let difference = (up - down) / (2.0 * h);
            state.gradient_error = (gradient - difference).abs() / difference.abs();
        }
        state.path.push((state.log_penalty, loss));
        let k = state.path.len() as i32;
        let (first, second) = (0.9f64, self.config.decay);
        let (m, v) = state.moments;
        let m = first * m + (1.0 - first) * gradient;
        let v = second * v + (1.0 - second) * gradient * gradient;
        state.moments = (m, v);
        let (m, v) = (m / (1.0 - first.powi(k)), v / (1.0 - second.powi(k)));
        state.log_penalty -= self.config.rate * m / (v.sqrt() + 1e-8);
        let (low, high) = self.config.grid;
        state.log_penalty = state.log_penalty.clamp(low, high);
        watch.metric("validation_loss", loss);
        watch.metric("log_penalty", state.log_penalty);
        Ok(if k as u64 == self.config.steps { Step::Done(Stop::Completed) } else { Step::Continue })
    }

    fn finish(&self, state: &State, watch: &mut Watch) -> Result<(), Error> {
        let best = self.value(state.log_penalty)?;
        let mut grid = Vec::with_capacity(self.config.points);
        watch.phase("grid", Some(self.config.points as u64));
        for t in self.grid() {
            grid.push((t, self.value(t)?));
            watch.tick()?;
        }
        let minimum = grid.iter().map(|g| g.1).fold(f64::INFINITY, f64::min);
        let rise = state.path.windows(2).map(|w| w[1].1 - w[0].1).fold(0.0, f64::max);
        let values = [
            best,
            minimum,
            best / minimum - 1.0,
            state.log_penalty,
            rise,
            state.gradient_error,
            state.path.first().map_or(f64::NAN, |p| p.1),
            median(&state.seconds),
        ];
        for (name, value) in FIGURES.into_iter().zip(values) {
            watch.figure(name, value);
        }
        let picture = Picture::lines(
            "Validation loss over the penalty",
            Axis::new("logarithm of the penalty"),
            Axis::new("validation loss"),
        )
        .series("grid", grid)
        .series("path of the gradient", state.path.iter().copied());
        watch.picture("path", picture)
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.steps)
    }
}

fn conclude(
    arms: &[(String, Problem)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let mut table = Table::new(
        "Penalties found by gradient",
        [
            "arm",
            "validation loss",
            "best of the grid",
            "excess",
            "log penalty",
            "error of the first gradient",
            "seconds per step",
        ],
    );
    for (arm, _) in arms {
        let figure = |f: &str| finals.figure(&format!("{arm}.{f}")).unwrap_or(f64::NAN);
        let mut row = vec![Cell::from(arm.as_str())];
        let columns = [
            "validation_loss",
            "grid_minimum",
            "excess",
            "log_penalty",
            "gradient_error",
            "seconds_per_step",
        ];
        row.extend(columns.map(|f| Cell::from(figure(f))));
        table = table.row(row);
    }
    watch.table("penalties", table)?;
    for problem in [Problem::Ridge, Problem::Lasso, Problem::Svm] {
        let mut picture = Picture::lines(
            format!("{problem:?}: validation loss by step"),
            Axis::new("steps of Adam"),
            Axis::new("validation loss"),
        );
        let mut any = false;
        for (arm, _) in arms.iter().filter(|(_, p)| *p == problem) {
            let Some(state) = finals.state::<Tuning>(arm) else { continue };
            let points = state.path.iter().enumerate().map(|(k, p)| (k as f64, p.1));
            picture = picture.series(arm.as_str(), points);
            any = true;
        }
        if any {
            watch.picture(&format!("{problem:?}").to_lowercase(), picture)?;
        }
    }
    Ok(())
}
