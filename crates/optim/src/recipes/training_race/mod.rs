//! Training optimizers race on three fixed tasks: with equal numbers of gradient evaluations, and with equal seconds.

mod task;

use std::cell::Cell;
use std::time::Instant;

use lisse_array::{Array, Tree, hvp, value_and_grad};
use lisse_run::report::{Axis, Cell as Entry, Picture, Table};
use lisse_run::{
    Arm, Error, Experiment, Finals, Invalid, Process, RecipeEntry, RecipeKind, Setup, Step, Stop,
    Watch, recipe,
};
use serde::{Deserialize, Serialize};

use crate::config::OptimizerConfig;
use crate::optimizer::{Composite, Optimizer, Oracle, State};
use crate::spectrum::try_lanczos;
use task::{Batch, Learner, Task, TaskName};

/// The built-in race.
pub const TRAINING_RACE_RECIPE: RecipeEntry = recipe!(
    "training-race",
    "Every training optimizer on three tasks: equal evaluations, equal seconds"
);

/// `kind = "training-race"`: every arm is an optimizer, each trains the same three models on the same batches.
pub struct TrainingRace;

/// The schema of a race. The optimizer is given once for each task, because a good learning rate for one is none for another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What an arm may spend.
    pub budget: Budgets,
    /// The optimizer for the convolutional network.
    pub digits: OptimizerConfig,
    /// The optimizer for the transformer.
    pub text: OptimizerConfig,
    /// The optimizer for softmax regression.
    pub softmax: OptimizerConfig,
}

/// What an arm may spend on each task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Budgets {
    /// On the convolutional network.
    pub digits: Budget,
    /// On the transformer.
    pub text: Budget,
    /// On softmax regression.
    pub softmax: Budget,
    /// Most Hessian-vector products for a largest eigenvalue.
    pub products: usize,
}

/// What may be spent on one task: an arm goes on until it has spent both.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Budget {
    /// Evaluations: a gradient counts 1, a Hessian-vector product 2, a value or the model's outputs 1/3.
    pub evaluations: f64,
    /// Seconds in the optimizer's steps.
    pub seconds: f64,
}

impl Config {
    fn optimizer(&self, name: TaskName) -> &OptimizerConfig {
        match name {
            TaskName::Digits => &self.digits,
            TaskName::Text => &self.text,
            TaskName::Softmax => &self.softmax,
        }
    }

    fn budget(&self, name: TaskName) -> &Budget {
        match name {
            TaskName::Digits => &self.budget.digits,
            TaskName::Text => &self.budget.text,
            TaskName::Softmax => &self.budget.softmax,
        }
    }
}

impl RecipeKind for TrainingRace {
    type Config = Config;

    fn name(&self) -> &'static str {
        "training-race"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        for task in TaskName::ALL {
            let name = task.name();
            let Budget { evaluations, seconds } = *config.budget(task);
            if !(evaluations >= 1.0 && evaluations.is_finite()) {
                let key = format!("budget.{name}.evaluations");
                return Err(Invalid::new(key, "a number of at least 1"));
            }
            if !(seconds >= 0.0 && seconds.is_finite()) {
                let key = format!("budget.{name}.seconds");
                return Err(Invalid::new(key, "a number of at least 0"));
            }
            config
                .optimizer(task)
                .validate_with_fixed_batches()
                .map_err(|bad| Invalid::new(format!("{name}.{}", bad.key), bad.expected))?;
        }
        if config.budget.products == 0 {
            return Err(Invalid::new("budget.products", "at least 1"));
        }
        Ok(())
    }

    fn experiment(
        &self,
        setup: &Setup,
        arms: Vec<Arm<Config>>,
    ) -> Result<Experiment<'static>, Error> {
        let mut experiment = Experiment::new();
        let mut names = Vec::new();
        for arm in arms {
            names.push(arm.name.clone());
            experiment = experiment.arm(arm.name, Racer::new(arm.config, setup.seed)?);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, finals, watch)))
    }

    fn figures(&self, _: &Config) -> Option<Vec<String>> {
        let per_task = |task: TaskName| FIGURES.map(|figure| format!("{}.{figure}", task.name()));
        Some(TaskName::ALL.into_iter().flat_map(per_task).collect())
    }
}

const FIGURES: [&str; 8] = [
    "loss",
    "accuracy",
    "largest_eigenvalue",
    "evaluations",
    "seconds",
    "state_per_parameter",
    "loss_at_seconds",
    "accuracy_at_seconds",
];

/// One arm: an optimizer on each task, one step at a time.
struct Racer {
    config: Config,
    tasks: Vec<Task>,
    optimizers: Vec<Box<dyn Optimizer<Learner>>>,
}

/// Where a race stands.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
struct RaceState {
    /// The task being trained.
    #[tree(skip)]
    task: usize,
    learner: Option<Learner>,
    optimizer: Option<State<Learner>>,
    #[tree(skip)]
    spent: Spent,
    #[tree(skip)]
    results: Vec<Outcome>,
}

/// What has been spent on the current task.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Spent {
    steps: u64,
    evaluations: f64,
    seconds: f64,
}

/// What an optimizer made of a task.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Outcome {
    /// Evaluations, seconds and training loss, now and then.
    path: Vec<(f64, f64, f64)>,
    by_evaluations: Option<Measured>,
    by_seconds: Option<Measured>,
    largest_eigenvalue: f64,
    state_per_parameter: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Measured {
    loss: f64,
    accuracy: f64,
    evaluations: f64,
    seconds: f64,
}

/// Points of a curve.
const POINTS: f64 = 40.0;

impl Racer {
    fn new(config: Config, seed: u64) -> Result<Racer, Error> {
        let tasks =
            TaskName::ALL.into_iter().map(|n| Task::new(n, seed)).collect::<Result<Vec<_>, _>>()?;
        // Schedules end with the evaluations: a step takes at least one.
        let build = |n: TaskName| {
            let (rule, steps) = (config.optimizer(n), config.budget(n).evaluations.ceil() as u64);
            rule.fits(steps)
                .map_err(|problem| Error::message(format!("{}.{problem}", n.name())))?;
            Ok(rule.build(steps))
        };
        let optimizers = TaskName::ALL.into_iter().map(build).collect::<Result<_, Error>>()?;
        Ok(Racer { config, tasks, optimizers })
    }

    /// Whether this step's loss belongs on the curve: some forty points, evenly spread over the evaluations.
    fn is_point(before: &Spent, after: &Spent, budget: &Budget) -> bool {
        let mark = |spent: &Spent| (spent.evaluations * POINTS / budget.evaluations).floor();
        before.steps == 0 || mark(before) != mark(after)
    }
}

fn measure(task: &Task, learner: &Learner, spent: &Spent) -> Measured {
    Measured {
        loss: task.train.loss(learner).item(),
        accuracy: task.test.accuracy(learner),
        evaluations: spent.evaluations,
        seconds: spent.seconds,
    }
}

impl Process for Racer {
    type State = RaceState;

    fn start(&self) -> Result<RaceState, Error> {
        Ok(RaceState {
            task: 0,
            learner: None,
            optimizer: None,
            spent: Spent::default(),
            results: Vec::new(),
        })
    }

    fn advance(&self, state: &mut RaceState, watch: &mut Watch) -> Result<Step, Error> {
        let Some(task) = self.tasks.get(state.task) else {
            return Ok(Step::Done(Stop::Completed));
        };
        let (rule, budget) = (&self.optimizers[state.task], self.config.budget(task.name));
        if state.results.len() == state.task {
            state.results.push(Outcome::default());
        }
        let learner = state.learner.get_or_insert_with(|| task.start());
        let memory = state.optimizer.get_or_insert_with(|| rule.init(learner));

        let before = state.spent;
        let mut oracle = Counted { batch: task.batch(before.steps)?, spent: Cell::new(0.0) };
        let clock = Instant::now();
        let info = rule.step(learner, memory, &mut oracle);
        let spent = &mut state.spent;
        // Ranks must agree on when the time is over.
        spent.seconds += watch.ranks().broadcast(clock.elapsed().as_secs_f64())?;
        spent.evaluations += oracle.spent.get();
        spent.steps += 1;
        watch.metric(&format!("{}.train.loss", task.name.name()), info.loss);

        let outcome = &mut state.results[state.task];
        let solution = || rule.averaged(learner, memory).unwrap_or_else(|| learner.clone());
        if Self::is_point(&before, spent, budget) {
            let loss = task.train.loss(&solution()).item();
            outcome.path.push((spent.evaluations, spent.seconds, loss));
        }
        let lost = !info.loss.is_finite();
        if outcome.by_seconds.is_none() && (spent.seconds >= budget.seconds || lost) {
            outcome.by_seconds = Some(measure(task, &solution(), spent));
        }
        if outcome.by_evaluations.is_none() && (spent.evaluations >= budget.evaluations || lost) {
            let solution = solution();
            outcome.by_evaluations = Some(measure(task, &solution, spent));
            outcome.state_per_parameter = memory.count() as f64 / learner.count() as f64;
            let product =
                |v: &Learner| Ok::<_, Error>(hvp(|l: &Learner| task.train.loss(l), &solution, v));
            let products = self.config.budget.products;
            let spectrum = try_lanczos(product, &solution, products, 1e-2, task.lanczos_stream())?;
            outcome.largest_eigenvalue = spectrum.largest();
        }
        if outcome.by_seconds.is_some() && outcome.by_evaluations.is_some() {
            (state.task, state.spent) = (state.task + 1, Spent::default());
            (state.learner, state.optimizer) = (None, None);
        }
        let over = state.task == self.tasks.len();
        Ok(if over { Step::Done(Stop::Completed) } else { Step::Continue })
    }

    fn finish(&self, state: &RaceState, watch: &mut Watch) -> Result<(), Error> {
        for (task, outcome) in self.tasks.iter().zip(&state.results) {
            let mut tell = |figure: &str, value: f64| {
                watch.figure(&format!("{}.{figure}", task.name.name()), value);
            };
            if let Some(measured) = outcome.by_evaluations {
                tell("loss", measured.loss);
                tell("accuracy", measured.accuracy);
                tell("evaluations", measured.evaluations);
                tell("seconds", measured.seconds);
            }
            tell("largest_eigenvalue", outcome.largest_eigenvalue);
            tell("state_per_parameter", outcome.state_per_parameter);
            if let Some(measured) = outcome.by_seconds {
                tell("loss_at_seconds", measured.loss);
                tell("accuracy_at_seconds", measured.accuracy);
            }
        }
        Ok(())
    }
}

/// The loss of one batch, and what was asked of it.
struct Counted {
    batch: Batch,
    spent: Cell<f64>,
}

impl Counted {
    fn count(&self, evaluations: f64) {
        self.spent.set(self.spent.get() + evaluations);
    }
}

impl Oracle<Learner> for Counted {
    fn value_and_grad(&mut self, params: &Learner) -> (f64, Learner) {
        self.count(1.0);
        let (value, gradient) = value_and_grad(|l: &Learner| self.batch.loss(l))(params);
        (value.item(), gradient)
    }

    fn value(&mut self, params: &Learner) -> f64 {
        self.count(1.0 / 3.0);
        self.batch.loss(params).item()
    }

    fn hvp(&mut self, params: &Learner, v: &Learner) -> Learner {
        self.count(2.0);
        hvp(|l: &Learner| self.batch.loss(l), params, v)
    }

    fn composite(&self) -> Option<&dyn Composite<Learner>> {
        Some(self)
    }
}

impl Composite<Learner> for Counted {
    fn outputs(&self, params: &Learner) -> Array {
        self.count(1.0 / 3.0);
        params.logits(&self.batch.inputs)
    }

    fn loss(&self, outputs: &Array) -> Array {
        lisse_nn::losses::cross_entropy(outputs, &self.batch.targets)
    }
}

/// Curves that a picture can tell apart.
const CURVES: usize = 8;

fn conclude(arms: &[String], finals: &Finals<'_>, watch: &mut Watch) -> Result<(), Error> {
    for (index, task) in TaskName::ALL.into_iter().enumerate() {
        let outcome = |arm: &str| finals.state::<Racer>(arm).and_then(|s| s.results.get(index));
        let loss = || Axis::new("training loss").log();
        let title = task.title();
        let mut by_evaluations =
            Picture::lines(format!("Equal evaluations: {title}"), Axis::new("evaluations"), loss());
        let mut by_seconds =
            Picture::lines(format!("Equal seconds: {title}"), Axis::new("seconds"), loss());
        for arm in ranked(arms, task, finals).into_iter().take(CURVES) {
            let Some(outcome) = outcome(arm) else { continue };
            let path = || outcome.path.iter().filter(|p| p.2.is_finite());
            by_evaluations = by_evaluations.series(arm, path().map(|p| (p.0, p.2)));
            by_seconds = by_seconds.series(arm, path().map(|p| (p.1, p.2)));
        }
        let caption =
            "The optimizers with the smallest losses after equal evaluations; the table has all.";
        let (by_evaluations, by_seconds) =
            (by_evaluations.caption(caption), by_seconds.caption(caption));
        watch.picture(&format!("{}-evaluations", task.name()), by_evaluations)?;
        watch.picture(&format!("{}-seconds", task.name()), by_seconds)?;
    }
    watch.table("results", table(arms, finals))
}

/// A figure of an arm on a task; NaN if it has none.
fn figure(arm: &str, name: &str, task: TaskName, finals: &Finals<'_>) -> f64 {
    finals.figure(&format!("{arm}.{}.{name}", task.name())).unwrap_or(f64::NAN)
}

/// The optimizers, smallest loss first, those without a loss last.
fn ranked<'a>(arms: &'a [String], task: TaskName, finals: &Finals<'_>) -> Vec<&'a str> {
    let mut ranked: Vec<&str> = arms.iter().map(String::as_str).collect();
    let loss = |arm| figure(arm, "loss", task, finals).abs();
    ranked.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
    ranked
}

/// One row for each optimizer on each task, the smallest loss first.
fn table(arms: &[String], finals: &Finals<'_>) -> Table {
    let columns = [
        "task",
        "optimizer",
        "loss",
        "accuracy",
        "largest eigenvalue",
        "evaluations",
        "seconds",
        "memory",
        "loss, equal seconds",
        "accuracy, equal seconds",
    ];
    let mut table = Table::new("Results", columns);
    for task in TaskName::ALL {
        for arm in ranked(arms, task, finals) {
            let numbers = FIGURES.map(|name| Entry::from(figure(arm, name, task, finals)));
            table =
                table.row([Entry::from(task.title()), Entry::from(arm)].into_iter().chain(numbers));
        }
    }
    table.caption(
        "Loss on the training data, accuracy on held-out data; memory is the optimizer's state in units of the parameters. A gradient \
         counts as one evaluation, a Hessian-vector product as two, a value as a third.",
    )
}
