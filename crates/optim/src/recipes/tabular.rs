//! Logistic regression on a table as it is: an optimizer at many learning rates from many seeds.

use lisse_array::{Array, DType, Stream, Tree};
use lisse_data::{BUNDLED, Batches, Bundled, Dataset};
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Process, RecipeKind, Setup, Step, Stop, Watch,
};
use serde::{Deserialize, Serialize};

use crate::config::OptimizerConfig;
use crate::coordinate_clipping::{Candidate, CoordinateClipped, Known, Probe, Reading};
use crate::optimizer::{LossOracle, Optimizer, Oracle};
use crate::{Group, Sgd, SignSgd};

/// `kind = "tabular"`: every arm is an optimizer, run at each learning rate from each seed; its result is the best rate's median.
pub struct Tabular;

/// The schema of a tabular recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What to learn from.
    pub data: DataConfig,
    /// The optimizer; its learning rate is multiplied by each of the list.
    pub method: OptimizerConfig,
    /// How long, at which rates.
    pub training: TrainingConfig,
    /// Shares clipped in the table of directions at the start.
    #[serde(default)]
    pub directions: Vec<f64>,
}

/// What to learn from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataConfig {
    /// A bundled data set with two classes; its columns are taken as they are, with a constant one after them.
    pub name: String,
}

/// How long to train, at which rates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// Steps of each run.
    pub steps: u64,
    /// Examples per step.
    pub batch_size: usize,
    /// Runs at each rate.
    pub seeds: u64,
    /// Powers of ten: the rates are `10^p`.
    pub powers: Vec<f64>,
}

impl RecipeKind for Tabular {
    type Config = Config;

    fn name(&self) -> &'static str {
        "tabular"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        if Bundled::find(&config.data.name).is_err() {
            let names = BUNDLED.map(|set| set.name).join(", ");
            return Err(Invalid::new("data.name", format!("a bundled data set ({names})")));
        }
        let training = &config.training;
        let counts = [
            (training.steps > 0, "steps"),
            (training.batch_size > 0, "batch_size"),
            (training.seeds > 0, "seeds"),
        ];
        for (ok, key) in counts {
            if !ok {
                return Err(Invalid::new(format!("training.{key}"), "at least 1"));
            }
        }
        if training.powers.is_empty() || !training.powers.iter().all(|p| p.abs() <= 30.0) {
            return Err(Invalid::new("training.powers", "at least one power of ten, -30 to 30"));
        }
        if config.directions.iter().any(|q| !(0.0..1.0).contains(q)) {
            return Err(Invalid::new("directions", "numbers from 0 to below 1"));
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
            let search = Search::new(&arm.config, setup)?;
            entries.push((arm.name.clone(), search.clone()));
            experiment = experiment.arm(arm.name, search);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&entries, finals, watch)))
    }

    fn figures(&self, _: &Config) -> Option<Vec<String>> {
        Some(["final_loss", "learning_rate"].map(String::from).to_vec())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let Some(arm) = arms.into_iter().next() else { return Ok(Vec::new()) };
        let problem = Problem::new(&arm.config.data.name, setup)?;
        // Raw columns of thousands: standing at zero keeps the differences meaningful.
        let params = problem.start() * 1e-5;
        Ok(vec![Audit::new("logistic loss", params, move |x: &Array| problem.loss(x))])
    }
}

/// `x -> mean(softplus(X x) - y X x)` with a last column of ones.
#[derive(Clone)]
struct Problem {
    inputs: Array,
    targets: Array,
}

impl Problem {
    fn new(name: &str, setup: &Setup) -> Result<Problem, Error> {
        let data = Dataset::bundled(name).map_err(Error::other)?.cast(DType::F64);
        if data.classes() != Some(2) {
            return Err(Error::message(format!(
                "data.name: `{name}` has no two classes; logistic regression needs two"
            )));
        }
        let rows = data.inputs.reshape(&[data.len() as isize, -1]);
        let ones = Array::ones(&[data.len(), 1], DType::F64);
        let problem = Problem {
            inputs: Array::cat(&[&rows, &ones], 1),
            targets: data.targets.cast(DType::F64),
        };
        Ok(Problem {
            inputs: problem.inputs.to_device(setup.device),
            targets: problem.targets.to_device(setup.device),
        })
    }

    fn len(&self) -> usize {
        self.targets.len()
    }

    fn start(&self) -> Array {
        Array::zeros(&[self.inputs.dim(1)], DType::F64)
    }

    fn select(&self, indices: &[usize]) -> Problem {
        let at: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
        let at = Array::from_slice(&at, &[at.len()]);
        Problem {
            inputs: self.inputs.index_select(0, &at),
            targets: self.targets.index_select(0, &at),
        }
    }

    fn loss(&self, x: &Array) -> Array {
        let z = self.inputs.matmul(x);
        (z.softplus() - &self.targets * z).mean_all()
    }
}

/// The loss's gradient in closed form: thousands of small steps feel the cost of a tape.
impl Oracle<Array> for Problem {
    fn value_and_grad(&mut self, x: &Array) -> (f64, Array) {
        let z = self.inputs.matmul(x);
        let value = (z.softplus() - &self.targets * &z).mean_all().item();
        let slope = (z.sigmoid() - &self.targets) / self.len() as f64;
        (value, slope.matmul(&self.inputs))
    }
    fn value(&mut self, x: &Array) -> f64 {
        self.loss(x).item()
    }
    fn hvp(&mut self, x: &Array, v: &Array) -> Array {
        LossOracle(|x: &Array| self.loss(x)).hvp(x, v)
    }
}

/// One optimizer at all rates from all seeds; a step is one run.
#[derive(Clone)]
struct Search {
    config: Config,
    problem: Problem,
    seed: u64,
}

/// Where a search stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Tree)]
struct SearchState {
    /// Final losses, seed by seed for the first rate, then the next.
    #[tree(skip)]
    losses: Vec<f64>,
}

impl Search {
    fn new(config: &Config, setup: &Setup) -> Result<Search, Error> {
        let problem = Problem::new(&config.data.name, setup)?;
        Ok(Search { config: config.clone(), problem, seed: setup.seed })
    }

    fn run(&self, run: u64, watch: &mut Watch) -> Result<f64, Error> {
        let TrainingConfig { steps, batch_size, seeds, .. } = self.config.training;
        let stream = Stream::new(self.seed).child("runs").at(run % seeds);
        let batches = Batches::new(self.problem.len(), batch_size.min(self.problem.len()))
            .map_err(Error::other)?
            .shuffled(&stream);
        let optimizer =
            self.optimizer(10f64.powf(self.config.training.powers[(run / seeds) as usize]));
        let mut x = self.problem.start();
        let mut state = optimizer.init(&x);
        for step in 0..steps {
            if step.is_multiple_of(100) {
                watch.tick()?;
            }
            let mut batch = self.problem.select(&batches.at(step).indices);
            let info = optimizer.step(&mut x, &mut state, &mut batch);
            if !info.loss.is_finite() {
                return Ok(f64::INFINITY);
            }
        }
        Ok(self.problem.loss(&x).item())
    }

    fn optimizer(&self, rate: f64) -> Box<dyn Optimizer<Array>> {
        let mut config = self.config.method.clone();
        let all = Group { pattern: "*".into(), learning_rate_scale: rate, weight_decay: None };
        config.groups.insert(0, all);
        config.build(self.config.training.steps)
    }

    /// Rates with the median of their final losses; a run that is not finite counts as infinite.
    fn medians(&self, state: &SearchState) -> Vec<(f64, f64)> {
        let runs = state.losses.chunks(self.config.training.seeds as usize);
        let median = |losses: &[f64]| {
            let mut sorted: Vec<f64> =
                losses.iter().map(|&l| if l.is_finite() { l } else { f64::INFINITY }).collect();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 2]
        };
        let rates = self.config.training.powers.iter().map(|p| 10f64.powf(*p));
        rates.zip(runs.map(median)).collect()
    }
}

fn best(medians: &[(f64, f64)]) -> (f64, f64) {
    medians.iter().copied().fold((f64::NAN, f64::INFINITY), |a, b| if b.1 < a.1 { b } else { a })
}

impl Process for Search {
    type State = SearchState;

    fn start(&self) -> Result<SearchState, Error> {
        Ok(SearchState::default())
    }

    fn advance(&self, state: &mut SearchState, watch: &mut Watch) -> Result<Step, Error> {
        let run = state.losses.len() as u64;
        let loss = self.run(run, watch)?;
        state.losses.push(loss);
        // A rate that is too large may end anywhere; the search counts that as infinite and goes on.
        if loss.is_finite() {
            watch.metric("final_loss", loss);
        }
        let last = Some(run + 1) == self.total();
        Ok(if last { Step::Done(Stop::Completed) } else { Step::Continue })
    }

    fn finish(&self, state: &SearchState, watch: &mut Watch) -> Result<(), Error> {
        let (rate, loss) = best(&self.medians(state));
        watch.figure("final_loss", loss);
        watch.figure("learning_rate", rate);
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.training.powers.len() as u64 * self.config.training.seeds)
    }
}

fn conclude(
    entries: &[(String, Search)],
    finals: &Finals<'_>,
    watch: &mut Watch,
) -> Result<(), Error> {
    let columns = ["arm", "clipped share", "learning rate", "final loss"];
    let mut table = Table::new("At the best learning rate", columns);
    let axis = Axis::new("median final loss").log();
    let mut curves =
        Picture::lines("Final loss by learning rate", Axis::new("learning rate").log(), axis);
    for (name, search) in entries {
        let Some(state) = finals.state::<Search>(name) else { continue };
        let medians = search.medians(state);
        let (rate, loss) = best(&medians);
        table = table.row([
            Cell::from(name.as_str()),
            Cell::from(search.config.method.coordinate_clip.map_or(0.0, |clip| clip.fraction)),
            Cell::from(rate),
            Cell::from(loss),
        ]);
        curves = curves.series(name.as_str(), medians);
    }
    watch.table("best-rates", table)?;
    watch.picture("learning-rates", curves)?;
    match entries.first() {
        Some((_, search)) if !search.config.directions.is_empty() => {
            let table = directions(search, watch)?;
            watch.table("directions", table)
        }
        _ => Ok(()),
    }
}

/// How sharp the full loss is at the start along clipped gradients and along their sign.
fn directions(search: &Search, watch: &mut Watch) -> Result<Table, Error> {
    let clipped = |&fraction: &f64| Candidate {
        name: format!("gradient, q = {fraction}"),
        optimizer: Box::new(CoordinateClipped::new(fraction, Sgd::new(1.0))),
    };
    let sign = Candidate { name: "sign".into(), optimizer: Box::new(SignSgd::new(1.0)) };
    let candidates = search.config.directions.iter().map(clipped).chain([sign]).collect();
    let (probe, x) = (Probe::new(candidates), search.problem.start());
    let (mut oracle, mut test) = (search.problem.clone(), search.problem.clone());
    let pseudo = probe.feed(&mut probe.init(&x), &x, &mut Known::at(&x, &mut oracle));
    let readings: Vec<Reading> = probe.look(&pseudo, &x, &mut [&mut test], || watch.tick())?;
    let columns = ["direction", "S", "cosine", "predicted decrease", "measured decrease"];
    let mut table = Table::new("Directions at the start, whole data", columns);
    for reading in readings {
        table = table.row([
            Cell::from(reading.candidate.as_str()),
            Cell::from(reading.sharpness),
            Cell::from(reading.cosine),
            Cell::from(reading.predicted_decrease()),
            Cell::from(reading.measured_decrease().0),
        ]);
    }
    Ok(table.caption("Directional sharpness S = v'Hv and the cosine with the downhill direction; decreases of the loss by the best step along each."))
}
