//! Linear regression with batches of a fixed size against batches that grow: how far from the optimum, after how many steps.

use lisse_array::{Array, DType, Stream, Tree};
use lisse_data::{Bundled, Dataset, Standardizer};
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Error, Experiment, Finals, Invalid, Method, Process, RecipeEntry, RecipeKind, Setup, Step,
    Watch, recipe,
};
use serde::{Deserialize, Serialize};

use crate::config::OptimizerConfig;
use crate::optimizer::{Optimizer, Oracle, State};

/// The recipes of the method.
pub(super) const BATCH_RECIPES: [RecipeEntry; 2] = [
    recipe!(
        "adaptive-batch-diabetes",
        "Batches that grow against fixed ones: linear regression under three optimizers"
    ),
    recipe!(
        "adaptive-batch-digits",
        "Batches that grow against fixed ones: softmax regression on digits under AdaGrad"
    ),
];

/// The method.
pub(super) const BATCH_METHOD: Method = Method {
    slug: "adadagrad",
    title: "Adaptive batch sizes for adaptive gradient methods (AdAdaGrad)",
    paper: "AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods",
    arxiv: Some("2402.11215"),
    authors: "Tim Tsz-Kit Lau, Han Liu, Mladen Kolar",
    year: 2024,
    field: "training",
    summary: "Starts with small batches and grows them when the gradient's sampling noise is too large for its size, under any optimizer",
    recipes: &["adaptive-batch-diabetes", "adaptive-batch-digits"],
    bibtex: "@article{lau2024adadagrad,\n  title = {{AdAdaGrad}: Adaptive Batch Size Schemes for Adaptive Gradient Methods},\n  author = {Lau, Tim Tsz-Kit and Liu, Han and Kolar, Mladen},\n  journal = {arXiv preprint arXiv:2402.11215},\n  year = {2024}\n}",
};

/// `kind = "batch-regression"`: every arm is an optimizer with batches of a size, or with batches that grow, on the same least-squares
/// problem; each is repeated with other draws of the data.
pub struct BatchRegression;

/// The schema of such a recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// A bundled data set for regression.
    pub data: DataConfig,
    /// The optimizer.
    pub method: OptimizerConfig,
    /// How long, and with which batches.
    pub training: TrainingConfig,
}

/// What to learn from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataConfig {
    /// A bundled data set without classes; features and target are standardized.
    pub name: String,
}

/// How long to train.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// Steps after which the first distance is taken.
    pub steps: u64,
    /// Passes over the data (as many examples drawn) after which the second is.
    pub epochs: u64,
    /// Examples per step, each batch drawn from all examples without replacement; adaptive batches start from it.
    pub batch_size: usize,
    /// Trainings with other draws, of which medians are told.
    pub repeats: u64,
}

/// `1/2 |X w - y|^2 / n` and its minimum.
#[derive(Clone)]
struct Problem {
    inputs: Array,
    targets: Array,
    minimum: f64,
}

impl Problem {
    fn new(name: &str) -> Result<Problem, Error> {
        let data = Dataset::bundled(name).map_err(Error::other)?.cast(DType::F64);
        if data.classes().is_some() {
            return Err(Error::message(format!(
                "data.name: `{name}` holds classes; a regression needs numbers to predict"
            )));
        }
        let standard = |x: &Array| -> Result<Array, Error> {
            let scale = Standardizer::fit(x).map_err(Error::other)?;
            scale.apply(x).map_err(Error::other)
        };
        let inputs = standard(&data.inputs)?;
        let targets = standard(&data.targets.unsqueeze(1))?.squeeze(1);
        let mut problem = Problem { inputs, targets, minimum: 0.0 };
        let normal = problem.inputs.t().matmul(&problem.inputs);
        let right = problem.inputs.t().matmul(&problem.targets);
        let best = normal.solve(&right.unsqueeze(1)).map_err(Error::other)?.squeeze(1);
        problem.minimum = problem.loss(&best);
        Ok(problem)
    }

    fn len(&self) -> usize {
        self.inputs.dim(0)
    }

    fn residuals(&self, w: &Array) -> Array {
        self.inputs.matmul(w) - &self.targets
    }

    fn loss(&self, w: &Array) -> f64 {
        self.residuals(w).square().mean_all().item() / 2.0
    }

    fn gap(&self, w: &Array) -> f64 {
        self.loss(w) - self.minimum
    }

    fn batch(&self, indices: &[usize]) -> Problem {
        let places: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
        let at = Array::from_vec(places, &[indices.len()]);
        Problem {
            inputs: self.inputs.index_select(0, &at),
            targets: self.targets.index_select(0, &at),
            minimum: self.minimum,
        }
    }
}

impl Oracle<Array> for Problem {
    fn value_and_grad(&mut self, w: &Array) -> (f64, Array) {
        let residuals = self.residuals(w);
        let gradient = residuals.matmul(&self.inputs) * (1.0 / self.len() as f64);
        (residuals.square().mean_all().item() / 2.0, gradient)
    }
    fn value(&mut self, w: &Array) -> f64 {
        self.loss(w)
    }
    fn hvp(&mut self, _: &Array, v: &Array) -> Array {
        self.inputs.matmul(v).matmul(&self.inputs) * (1.0 / self.len() as f64)
    }
    fn per_example_grads(&mut self, w: &Array) -> Option<Array> {
        Some(self.residuals(w).unsqueeze(1) * &self.inputs)
    }
}

impl RecipeKind for BatchRegression {
    type Config = Config;

    fn name(&self) -> &'static str {
        "batch-regression"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        let t = &config.training;
        let numbers = [("steps", t.steps), ("epochs", t.epochs), ("repeats", t.repeats)];
        if let Some((key, _)) = numbers.iter().find(|(_, n)| *n == 0) {
            return Err(Invalid::new(format!("training.{key}"), "at least 1"));
        }
        if t.batch_size == 0 {
            return Err(Invalid::new("training.batch_size", "at least 1"));
        }
        Bundled::find(&config.data.name)
            .map_err(|_| Invalid::new("data.name", "a bundled data set for regression"))?;
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
        for arm in arms {
            names.push(arm.name.clone());
            experiment = experiment.arm(arm.name, Runner::new(arm.config, setup.seed)?);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, finals, watch)))
    }

    fn figures(&self, _: &Config) -> Option<Vec<String>> {
        Some(FIGURES.map(String::from).to_vec())
    }
}

const FIGURES: [&str; 4] =
    ["gap_after_steps", "gap_after_epochs", "steps_of_epochs", "batch_after_steps"];

/// One arm: all its repeats, one a step.
struct Runner {
    config: Config,
    problem: Problem,
    optimizer: Box<dyn Optimizer<Array>>,
    stream: Stream,
}

/// What the repeats came to.
#[derive(Clone, Debug, Serialize, Deserialize, Tree)]
struct RunState {
    #[tree(skip)]
    outcomes: Vec<Outcome>,
}

/// One training.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Outcome {
    gap_after_steps: f64,
    gap_after_epochs: f64,
    steps_of_epochs: u64,
    batch_after_steps: usize,
    /// Examples used, batch size and distance to the minimum, where the path turns.
    path: Vec<(f64, f64, f64)>,
}

impl Runner {
    fn new(mut config: Config, seed: u64) -> Result<Runner, Error> {
        let problem = Problem::new(&config.data.name)?;
        let (len, training) = (problem.len(), &mut config.training);
        if training.batch_size > len {
            return Err(Error::message(format!(
                "training.batch_size: {} is more than the {len} examples of `{}`",
                training.batch_size, config.data.name
            )));
        }
        if let Some(controller) = &mut config.method.adaptive_batch {
            *controller = super::sizes::fitted(controller, training.batch_size, len)?;
            training.batch_size = controller.initial();
        }
        let steps = (training.epochs * len as u64).div_ceil(training.batch_size as u64);
        let optimizer = config.method.build(steps.max(training.steps));
        Ok(Runner { optimizer, problem, stream: Stream::new(seed), config })
    }

    fn train(&self, repeat: u64) -> Outcome {
        let (len, training) = (self.problem.len(), &self.config.training);
        let budget = training.epochs * len as u64;
        let stream = self.stream.child("batches").at(repeat);
        let mut w = Array::zeros(&[self.problem.inputs.dim(1)], DType::F64);
        let mut state: State<Array> = self.optimizer.init(&w);
        let mut outcome = Outcome::default();
        let (mut examples, mut step, mut last) = (0u64, 0u64, 0usize);
        let mut next_point = 1.0;
        while step < training.steps || examples < budget {
            let size = self.optimizer.batch_size(&state).unwrap_or(training.batch_size).min(len);
            let mut batch = self.problem.batch(&stream.at(step).choose(len, size));
            self.optimizer.step(&mut w, &mut state, &mut batch);
            (step, examples) = (step + 1, examples + size as u64);
            if step == training.steps {
                outcome.gap_after_steps = self.problem.gap(&w);
                outcome.batch_after_steps = size;
            }
            if outcome.steps_of_epochs == 0 && examples >= budget {
                outcome.gap_after_epochs = self.problem.gap(&w);
                outcome.steps_of_epochs = step;
            }
            if size != last || step as f64 >= next_point {
                next_point = step as f64 * 1.1;
                outcome.path.push((examples as f64, size as f64, self.problem.gap(&w)));
                last = size;
            }
        }
        outcome
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

impl Process for Runner {
    type State = RunState;

    fn start(&self) -> Result<RunState, Error> {
        Ok(RunState { outcomes: Vec::new() })
    }

    fn advance(&self, state: &mut RunState, watch: &mut Watch) -> Result<Step, Error> {
        let outcome = self.train(state.outcomes.len() as u64);
        watch.metric("gap_after_steps", outcome.gap_after_steps);
        watch.metric("gap_after_epochs", outcome.gap_after_epochs);
        state.outcomes.push(outcome);
        Ok(Step::Continue)
    }

    fn finish(&self, state: &RunState, watch: &mut Watch) -> Result<(), Error> {
        let of = |f: fn(&Outcome) -> f64| median(state.outcomes.iter().map(f));
        watch.figure("gap_after_steps", of(|o| o.gap_after_steps));
        watch.figure("gap_after_epochs", of(|o| o.gap_after_epochs));
        watch.figure("steps_of_epochs", of(|o| o.steps_of_epochs as f64));
        watch.figure("batch_after_steps", of(|o| o.batch_after_steps as f64));
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.training.repeats)
    }
}

fn conclude(names: &[String], finals: &Finals<'_>, watch: &mut Watch) -> Result<(), Error> {
    let examples = || Axis::new("examples used").log();
    let mut sizes =
        Picture::lines("Batch sizes", examples(), Axis::new("examples in a batch").log());
    let mut gaps =
        Picture::lines("Progress", examples(), Axis::new("loss minus its minimum").log());
    let mut table = Table::new(
        "Distances to the minimum",
        ["arm", "after the steps", "after the epochs", "steps of the epochs", "last batch"],
    );
    for name in names {
        let figure = |f: &str| finals.figure(&format!("{name}.{f}")).unwrap_or(f64::NAN);
        let mut row = vec![Cell::from(name.as_str())];
        row.extend(FIGURES.map(|f| Cell::from(figure(f))));
        table = table.row(row);
        let first = finals.state::<Runner>(name).and_then(|state| state.outcomes.first());
        if let Some(outcome) = first {
            let path = &outcome.path;
            sizes = sizes.series(name.as_str(), path.iter().map(|&(x, size, _)| (x, size)));
            let gap = |&(x, _, gap): &(f64, f64, f64)| (x, gap.max(1e-16));
            gaps = gaps.series(name.as_str(), path.iter().map(gap));
        }
    }
    watch.picture("batch-sizes", sizes.caption("Of the first of the repeats."))?;
    watch.picture("progress", gaps.caption("Of the first of the repeats."))?;
    watch.table("distances", table.caption("Medians over the repeats."))
}

#[cfg(test)]
mod tests {
    use lisse_run::Registry;

    use super::*;

    #[test]
    fn the_minimum_is_that_of_the_normal_equations() {
        let mut problem = Problem::new("diabetes").unwrap();
        assert!((problem.minimum - 0.241126).abs() < 1e-6, "{}", problem.minimum);
        let w = Stream::new(0).normal(&[10], DType::F64);
        let (value, gradient) = problem.value_and_grad(&w);
        assert_eq!(value, problem.value(&w));
        let rows = problem.per_example_grads(&w).unwrap();
        assert!((rows.mean(&[0]) - &gradient).norm() < 1e-12);
        let v = Stream::new(1).normal(&[10], DType::F64);
        let moved = problem.value_and_grad(&(&w + &v)).1;
        assert!((moved - gradient - problem.hvp(&w, &v)).norm() < 1e-11);
        assert!(Problem::new("digits").is_err());
    }

    #[test]
    fn the_recipes_are_whole() {
        let mut registry = Registry::new();
        crate::recipes::register(&mut registry);
        for recipe in BATCH_RECIPES {
            assert!(registry.recipe(recipe.name).is_ok());
        }
        registry.check().unwrap();
    }
}
