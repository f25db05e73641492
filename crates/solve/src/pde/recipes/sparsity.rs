//! Fronts of a loss against the l1 norm of its parameters.

use std::time::Instant;

use lisse_array::{Array, DType, Stream, Tree};
use lisse_data::{Dataset, Standardizer};
use lisse_optim::{Lbfgs, Options, minimize};
use lisse_run::report::{Axis, Cell, Picture, Table};
use lisse_run::{
    Arm, Audit, Error, Experiment, Finals, Invalid, Process, RecipeKind, Setup, Step, Stop, Watch,
};
use serde::{Deserialize, Serialize};

use super::expect;
use crate::pareto::dense::{along, dot};
use crate::pareto::{ArrayLoss, LassoPath, PathPoint, SparsityPath};

/// `kind = "sparsity-front"`: every arm traces the front of the same loss, one multiplier a step.
pub struct SparsityFront;

/// The schema.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The loss.
    pub task: TaskConfig,
    /// The method.
    pub method: MethodConfig,
    /// Number of multipliers, in equal factors.
    pub points: usize,
    /// First multiplier.
    pub first: f64,
    /// Last multiplier.
    pub last: f64,
    /// Violation of the optimality conditions at which a point is done.
    pub tolerance: f64,
    /// Most corrector steps at a multiplier; at the first, ten times as many.
    pub max_steps: usize,
}

/// Losses.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TaskConfig {
    /// Half the mean squared error of a linear model of the standardised diabetes data.
    Diabetes,
    /// Cross-entropy of a network with one hidden layer of `tanh` on digits shrunk to 4 x 4. All methods start from the network that
    /// L-BFGS finds with a ridge penalty of `first`.
    Digits {
        /// Examples, from the first on.
        rows: usize,
        /// Hidden units.
        hidden: usize,
    },
}

/// Methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodConfig {
    /// [`LassoPath`], for the diabetes data: all breakpoints at once, then evaluated at the multipliers.
    Homotopy,
    /// [`SparsityPath`] with predictor and Newton steps.
    Continuation,
    /// Proximal gradient steps from the point before.
    ProximalGradient,
    /// Proximal gradient steps from the starting point, for every multiplier anew.
    ColdProximalGradient,
}

impl RecipeKind for SparsityFront {
    type Config = Config;

    fn name(&self) -> &'static str {
        "sparsity-front"
    }

    fn validate(&self, config: &Config) -> Result<(), Invalid> {
        expect(config.points >= 2, "points", "at least 2")?;
        let positive = |v: f64| v > 0.0 && v.is_finite();
        expect(positive(config.first), "first", "a finite number above 0")?;
        let differs = positive(config.last) && config.last != config.first;
        expect(differs, "last", "a finite number above 0, other than `first`")?;
        expect(positive(config.tolerance), "tolerance", "a finite number above 0")?;
        expect(config.max_steps > 0, "max_steps", "at least 1")?;
        if let TaskConfig::Digits { rows, hidden } = config.task {
            expect((10..=1797).contains(&rows), "task.rows", "from 10 to 1797")?;
            expect((1..=64).contains(&hidden), "task.hidden", "from 1 to 64")?;
            let general = config.method != MethodConfig::Homotopy;
            expect(general, "method", "another than `homotopy`, which is for least squares")?;
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
            experiment = experiment.arm(arm.name, Path::new(arm.config, setup.seed)?);
        }
        Ok(experiment.conclude(move |finals, watch| conclude(&names, finals, watch)))
    }

    fn figures(&self, _: &Config) -> Option<Vec<String>> {
        Some(FIGURES.map(String::from).to_vec())
    }

    fn audit(&self, setup: &Setup, arms: Vec<Arm<Config>>) -> Result<Vec<Audit>, Error> {
        let mut audits = Vec::new();
        for arm in arms.into_iter().take(1) {
            let path = Path::new(arm.config, setup.seed)?;
            let at = Array::from_slice(&path.start, &[path.start.len()]) + 0.01;
            audits.push(Audit::new("loss", at, path.loss));
        }
        Ok(audits)
    }
}

const FIGURES: [&str; 11] = [
    "points",
    "breakpoints",
    "violation",
    "sorted",
    "gradients",
    "products",
    "work",
    "seconds",
    "nonzero_first",
    "nonzero_last",
    "mean_objective",
];

type Loss = Box<dyn Fn(&Array) -> Array>;

/// Traces one front.
struct Path {
    config: Config,
    loss: Loss,
    start: Vec<f64>,
    /// Matrix and right-hand side of least squares.
    linear: Option<(Vec<f64>, Vec<f64>)>,
}

/// Where it stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Tree)]
struct Trace {
    #[tree(skip)]
    points: Vec<PathPoint>,
    #[tree(skip)]
    breakpoints: usize,
    #[tree(skip)]
    seconds: f64,
}

impl Path {
    fn new(config: Config, seed: u64) -> Result<Path, Error> {
        match config.task {
            TaskConfig::Diabetes => Path::diabetes(config),
            TaskConfig::Digits { rows, hidden } => Path::digits(config, rows, hidden, seed),
        }
    }

    fn diabetes(config: Config) -> Result<Path, Error> {
        let data = Dataset::bundled("diabetes").map_err(Error::other)?;
        let scale = Standardizer::fit(&data.inputs).map_err(Error::other)?;
        let a = scale.apply(&data.inputs).map_err(Error::other)?;
        let b = &data.targets - data.targets.mean_all();
        let (n, p) = (a.dim(0), a.dim(1));
        let linear = Some((a.to_f64_vec(), b.to_f64_vec()));
        let half = 0.5 / n as f64;
        let loss: Loss = Box::new(move |x| (a.matmul(x) - &b).square().sum_all() * half);
        Ok(Path { config, loss, start: vec![0.0; p], linear })
    }

    fn digits(config: Config, rows: usize, hidden: usize, seed: u64) -> Result<Path, Error> {
        let data = Dataset::bundled("digits").map_err(Error::other)?.cast(DType::F64);
        let pixels = data.inputs.narrow(0, 0, rows).to_f64_vec();
        let labels = data.targets.narrow(0, 0, rows);
        let inputs = shrunk(&pixels, rows);
        let inputs = Array::from_vec(inputs, &[rows, 16]);
        let targets = Array::one_hot(&labels, 10, DType::F64) * (-1.0 / rows as f64);
        let h = hidden;
        let sizes = [16 * h, h, 10 * h, 10];
        let total: usize = sizes.iter().sum();
        let loss: Loss = Box::new(move |x| {
            let mut at = 0;
            let mut part = |size: usize, shape: &[isize]| {
                at += size;
                x.narrow(0, at - size, size).reshape(shape)
            };
            let (w, b) = (part(sizes[0], &[16, h as isize]), part(sizes[1], &[h as isize]));
            let (v, c) = (part(sizes[2], &[h as isize, 10]), part(sizes[3], &[10]));
            let inner = (inputs.matmul(&w) + b).tanh();
            ((inner.matmul(&v) + c).log_softmax(-1) * &targets).sum_all()
        });
        let draws = Stream::new(seed).child("weights").normal(&[total], DType::F64);
        // A trained network to begin with, the same for all arms.
        let ridge = |x: &Array| loss(x) + x.square().sum_all() * (0.5 * config.first);
        let options = Options { max_iterations: 300, ..Options::default() };
        let trained = minimize(ridge, &(draws * 0.4), &Lbfgs::default(), &options);
        let start = trained.map_err(Error::other)?.x.to_vec();
        Ok(Path { config, loss, start, linear: None })
    }

    fn lambda(&self, k: usize) -> f64 {
        let share = k as f64 / (self.config.points - 1) as f64;
        self.config.first * (self.config.last / self.config.first).powf(share)
    }

    /// A point of the exact path, with its violation computed anew.
    fn exact(&self, path: &LassoPath, lambda: f64) -> PathPoint {
        let x = path.at(lambda);
        let (violation, loss) = match &self.linear {
            Some((a, b)) => violation(a, b, &x, lambda),
            None => (f64::NAN, f64::NAN),
        };
        let l1 = x.iter().map(|x| x.abs()).sum();
        let nonzero = x.iter().filter(|x| **x != 0.0).count();
        PathPoint { lambda, x, loss, l1, nonzero, violation, gradients: 0, products: 0 }
    }
}

/// Means over blocks of 2 x 2 of images of 8 x 8, from -1 to 1.
fn shrunk(pixels: &[f64], rows: usize) -> Vec<f64> {
    let largest = pixels.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut inputs = Vec::with_capacity(rows * 16);
    for image in pixels.chunks_exact(64).take(rows) {
        for block in 0..16 {
            let corner = (block / 4) * 16 + (block % 4) * 2;
            let sum: f64 = [0, 1, 8, 9].iter().map(|o| image[corner + o]).sum();
            inputs.push(0.5 * sum / largest - 1.0);
        }
    }
    inputs
}

/// Largest violation of the optimality conditions of the lasso, and the loss.
fn violation(a: &[f64], b: &[f64], x: &[f64], lambda: f64) -> (f64, f64) {
    let (n, p) = (b.len() as f64, x.len());
    let fitted: Vec<f64> = a.chunks_exact(p).map(|row| dot(row, x)).collect();
    let residual = along(b, -1.0, &fitted);
    let off = |j: usize| {
        let c = a.iter().skip(j).step_by(p).zip(&residual).map(|(a, r)| a * r).sum::<f64>() / n;
        if x[j] == 0.0 { (c.abs() - lambda).max(0.0) } else { (c - lambda * x[j].signum()).abs() }
    };
    ((0..p).map(off).fold(0.0, f64::max), 0.5 * dot(&residual, &residual) / n)
}

impl Process for Path {
    type State = Trace;

    fn start(&self) -> Result<Trace, Error> {
        Ok(Trace::default())
    }

    fn advance(&self, state: &mut Trace, watch: &mut Watch) -> Result<Step, Error> {
        let k = state.points.len();
        if k >= self.config.points {
            return Ok(Step::Done(Stop::Completed));
        }
        let lambda = self.lambda(k);
        let clock = Instant::now();
        let point = match (self.config.method, &self.linear) {
            (MethodConfig::Homotopy, Some((a, b))) => {
                let path = LassoPath::new(a, b).map_err(Error::other)?;
                if k == 0 {
                    // Later steps repeat what they need; the whole path is one computation.
                    state.seconds = clock.elapsed().as_secs_f64();
                }
                state.breakpoints = path.breakpoints().len();
                self.exact(&path, lambda)
            }
            (method, _) => {
                let dim = self.start.len();
                let loss = ArrayLoss::new(dim, |x: &Array| (self.loss)(x));
                let second_order = method == MethodConfig::Continuation;
                let factor = if k == 0 { 10 } else { 1 };
                let max_steps = factor * self.config.max_steps;
                let path =
                    SparsityPath { tolerance: self.config.tolerance, max_steps, second_order };
                let cold = method == MethodConfig::ColdProximalGradient;
                let last = state.points.last().filter(|_| !cold);
                let (from, before) = last.map_or((&self.start, None), |p| (&p.x, Some(p.lambda)));
                let point = path.advance(&loss, from, before, lambda).map_err(Error::other)?;
                state.seconds += clock.elapsed().as_secs_f64();
                if last.is_some_and(|l| l.nonzero != point.nonzero) {
                    state.breakpoints += 1;
                }
                point
            }
        };
        watch.metric("lambda", lambda);
        watch.metric("loss", point.loss);
        watch.metric("l1", point.l1);
        watch.metric("nonzero", point.nonzero as f64);
        watch.metric("violation", point.violation);
        state.points.push(point);
        Ok(Step::Continue)
    }

    fn total(&self) -> Option<u64> {
        Some(self.config.points as u64)
    }

    fn finish(&self, state: &Trace, watch: &mut Watch) -> Result<(), Error> {
        let points = &state.points;
        let sum = |f: fn(&PathPoint) -> usize| points.iter().map(f).sum::<usize>() as f64;
        let (gradients, products) = (sum(|p| p.gradients), sum(|p| p.products));
        // With a rising multiplier the norm falls and the loss rises.
        let rising = self.config.last > self.config.first;
        let ordered = |pair: &[PathPoint]| {
            let (a, b) = if rising { (&pair[0], &pair[1]) } else { (&pair[1], &pair[0]) };
            let slack = 1e-6 * (a.l1 + a.loss.abs());
            b.l1 <= a.l1 + slack && b.loss >= a.loss - slack
        };
        let penalised = |p: &PathPoint| p.loss + p.lambda * p.l1;
        let count = points.len().max(1) as f64;
        let nonzero = |p: Option<&PathPoint>| p.map_or(f64::NAN, |p| p.nonzero as f64);
        watch.figure("points", points.len() as f64);
        watch.figure("breakpoints", state.breakpoints as f64);
        watch.figure("violation", points.iter().map(|p| p.violation).fold(0.0, f64::max));
        watch.figure("sorted", f64::from(u8::from(points.windows(2).all(ordered))));
        watch.figure("gradients", gradients);
        watch.figure("products", products);
        // A product with the Hessian costs about two gradients.
        watch.figure("work", gradients + 2.0 * products);
        watch.figure("seconds", state.seconds);
        watch.figure("nonzero_first", nonzero(points.first()));
        watch.figure("nonzero_last", nonzero(points.last()));
        watch.figure("mean_objective", points.iter().map(penalised).sum::<f64>() / count);
        Ok(())
    }
}

fn conclude(names: &[String], finals: &Finals<'_>, watch: &mut Watch) -> Result<(), Error> {
    let mut front =
        Picture::lines("Loss against sparsity", Axis::new("l1 norm"), Axis::new("loss"));
    let mut counts = Picture::lines(
        "Nonzero parameters",
        Axis::new("multiplier").log(),
        Axis::new("parameters that are not zero"),
    );
    let mut table = Table::new("What the fronts cost", {
        let mut columns = vec!["arm"];
        columns.extend(FIGURES);
        columns
    });
    for name in names {
        let Some(state) = finals.state::<Path>(name) else { continue };
        front = front.series(name.as_str(), state.points.iter().map(|p| (p.l1, p.loss)));
        let nonzero = state.points.iter().map(|p| (p.lambda, p.nonzero as f64));
        counts = counts.series(name.as_str(), nonzero);
        let mut row = vec![Cell::from(name.as_str())];
        row.extend(FIGURES.map(|f| {
            let full = if name.is_empty() { f.to_owned() } else { format!("{name}.{f}") };
            Cell::from(finals.figure(&full).unwrap_or(f64::NAN))
        }));
        table = table.row(row);
    }
    watch.picture("front", front)?;
    watch.picture("nonzero", counts)?;
    watch.table("cost", table)
}
