//! Weights of training examples, and of a regularizer, for softmax regression.

use lisse_array::{Array, DType, Stream};
use lisse_data::{Dataset, Table, label_noise};
use lisse_optim::{Lbfgs, Options, minimize};
use lisse_run::{Audit, Error, Watch};

use super::config::DataConfig;
use super::task::{Start, Task, Values};
use crate::bilevel::baselines::State;
use crate::bilevel::{Batch, Bilevel, Closures, Rows, Samples, Wrt};
use crate::bo_rep::problems::{
    Examples, cleaning, ridge_weights, softmax_accuracy, softmax_loss, weighted_loss,
};

/// A logit whose weight is 1 in f64.
const SURE: f64 = 40.0;

/// What `x` stands for.
#[derive(Clone, Copy)]
enum Role {
    /// Logits of the examples' weights, beside this penalty.
    Weights { ridge: f64 },
    /// Logarithms of the features' penalties.
    Penalties,
}

/// Softmax regression whose data or regularizer is learned.
pub struct TableTask {
    role: Role,
    problem: Closures,
    train: Examples,
    test: Examples,
    validation: Examples,
    classes: usize,
    /// Whether a label was replaced; empty if that is not known.
    flipped: Vec<bool>,
    start: Vec<f64>,
}

struct Parts {
    train: Examples,
    validation: Examples,
    test: Examples,
    classes: usize,
    flipped: Vec<bool>,
}

impl TableTask {
    /// Which examples to trust. `fixed`: whether all have weight 1, or those with a right label and no other.
    pub fn cleaning(
        data: &DataConfig,
        ridge: f64,
        (equal, right): (bool, bool),
        stream: &Stream,
    ) -> Result<TableTask, Error> {
        let parts = load(data, stream)?;
        let n = parts.train.len();
        let start = match (equal, right) {
            (true, _) => vec![SURE; n],
            (_, true) => parts.flipped.iter().map(|&f| if f { -SURE } else { SURE }).collect(),
            _ => vec![0.0; n],
        };
        let (train, validation) = (parts.train.clone(), parts.validation.clone());
        let problem = cleaning(train, validation, parts.classes, ridge).map_err(Error::other)?;
        Ok(TableTask::of(parts, problem, Role::Weights { ridge }, start))
    }

    /// How much to regularize.
    pub fn ridge(data: &DataConfig, start: f64, stream: &Stream) -> Result<TableTask, Error> {
        let parts = load(data, stream)?;
        let problem = ridge_weights(parts.train.clone(), parts.validation.clone(), parts.classes);
        let start = vec![start; parts.train.inputs.dim(1)];
        Ok(TableTask::of(parts, problem, Role::Penalties, start))
    }

    fn of(parts: Parts, problem: Closures, role: Role, start: Vec<f64>) -> TableTask {
        let Parts { train, validation, test, classes, flipped } = parts;
        TableTask { role, problem, train, test, validation, classes, flipped, start }
    }

    fn lower(role: Role, x: &Array, y: &Array, train: &Examples) -> Array {
        match role {
            Role::Weights { ridge } => weighted_loss(x, y, train, ridge),
            Role::Penalties => {
                let squares = y.square().reshape(&[x.len() as isize, -1]).sum(&[1]);
                softmax_loss(y, train) + (squares * x.exp()).sum_all() * 0.5
            }
        }
    }

    /// The lower level solved anew, from the last `y`.
    fn solved(&self, state: &State) -> Result<Array, Error> {
        let x = Array::from_slice(&state.x, &[state.x.len()]);
        let objective = |y: &Array| TableTask::lower(self.role, &x, y, &self.train);
        let options =
            Options { gradient_tolerance: 1e-7, max_iterations: 500, ..Options::default() };
        let start = Array::from_slice(&state.y, &[state.y.len()]);
        Ok(minimize(objective, &start, &Lbfgs::default(), &options).map_err(Error::other)?.x)
    }

    fn auc(&self, x: &[f64]) -> Option<f64> {
        matches!(self.role, Role::Weights { .. }).then(|| auc(x, &self.flipped))
    }
}

/// Probability that a replaced label has a smaller weight than a right one, ties counting half. NaN if one kind is missing.
pub fn auc(x: &[f64], flipped: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..flipped.len().min(x.len())).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let (mut wins, mut right, mut wrong) = (0.0, 0.0, 0.0);
    for ties in order.chunk_by(|&a, &b| x[a] == x[b]) {
        let bad = ties.iter().filter(|&&i| flipped[i]).count() as f64;
        let good = ties.len() as f64 - bad;
        // The right ones here are above all wrong ones before, and level with those here.
        wins += good * (wrong + 0.5 * bad);
        (right, wrong) = (right + good, wrong + bad);
    }
    if right * wrong > 0.0 { wins / (right * wrong) } else { f64::NAN }
}

fn load(data: &DataConfig, stream: &Stream) -> Result<Parts, Error> {
    if let Some(files) = &data.files {
        let read = |path: &std::path::Path| {
            let table = Table::from_csv(path)?;
            Dataset::classification(&table, &files.target)
        };
        let train = read(&files.train).map_err(Error::other)?;
        let validation = read(&files.validation).map_err(Error::other)?;
        let test = files.test.as_deref().map(read).transpose().map_err(Error::other)?;
        let test = test.unwrap_or_else(|| validation.clone());
        for other in [&validation, &test] {
            if other.feature_names != train.feature_names || other.class_names != train.class_names
            {
                return Err(Error::message(format!(
                    "{} has not the columns and classes of {}; all files must have the same header and the same classes",
                    other.name, train.name
                )));
            }
        }
        let scale = lisse_data::Standardizer::fit(&train.inputs).map_err(Error::other)?;
        let examples = |set: &Dataset| -> Result<Examples, Error> {
            let inputs = scale.apply(&set.inputs).map_err(Error::other)?;
            Ok(Examples::new(&inputs, &set.targets, 1.0))
        };
        let classes = train.classes().unwrap_or(2);
        let (train, validation, test) =
            (examples(&train)?, examples(&validation)?, examples(&test)?);
        return Ok(Parts { train, validation, test, classes, flipped: Vec::new() });
    }
    let set = Dataset::bundled(&data.bundled).map_err(Error::other)?;
    let Some(classes) = set.classes() else {
        let text = format!(
            "problem.data.bundled: `{}` has no classes; take `digits`, `wine`, `iris` or `breast_cancer`",
            data.bundled
        );
        return Err(Error::message(text));
    };
    if data.train + data.validation >= set.len() {
        return Err(Error::message(format!(
            "problem.data: {} training and {} validation examples leave none of the {} in `{}` for testing",
            data.train,
            data.validation,
            set.len(),
            data.bundled
        )));
    }
    let order = stream.child("split").permutation(set.len());
    let largest = set.inputs.abs().max_all().item().max(f64::MIN_POSITIVE);
    let part = |range: std::ops::Range<usize>| {
        let part = set.select(&order[range]);
        Examples::new(&part.inputs, &part.targets, largest)
    };
    let mut train = part(0..data.train);
    let validation = part(data.train..data.train + data.validation);
    let test = part(data.train + data.validation..set.len());
    let noisy = label_noise(&train.labels, data.noise, classes, &stream.child("noise"));
    let noisy = noisy.map_err(Error::other)?;
    train.labels = noisy.labels.cast(DType::I64);
    let mut flipped = vec![false; train.len()];
    noisy.flipped.into_iter().for_each(|i| flipped[i] = true);
    Ok(Parts { train, validation, test, classes, flipped })
}

impl Task for TableTask {
    fn problem(&self) -> &dyn Bilevel {
        &self.problem
    }

    fn start(&self) -> Start {
        let y = vec![0.0; self.train.inputs.dim(1) * self.classes];
        Start { x: self.start.clone(), y, z: None }
    }

    fn samples(&self, batch: Option<usize>, stream: &Stream) -> Samples {
        match batch {
            Some(batch) => Samples::draws(self.problem.examples(), batch, stream),
            None => Samples::whole(),
        }
    }

    fn measure(&self, state: &State) -> Values {
        let y = Array::from_slice(&state.y, &[state.y.len()]);
        let loss = self.problem.upper(&state.x, &state.y, &Batch::all(), Wrt::Y).value;
        let mut values =
            vec![("running_loss", loss), ("running_accuracy", softmax_accuracy(&y, &self.test))];
        values.extend(self.auc(&state.x).map(|auc| ("auc", auc)));
        values
    }

    fn conclude(&self, state: &State, watch: &mut Watch) -> Result<Values, Error> {
        let y = self.solved(state)?;
        if matches!(self.role, Role::Weights { .. }) {
            let labels = self.train.labels.to_vec::<i64>();
            let row = |(i, (x, label)): (usize, (&f64, i64))| {
                format!("{i},{label},{}", 1.0 / (1.0 + (-x).exp()))
            };
            let rows = state.x.iter().zip(labels).enumerate().map(row);
            let lines: Vec<String> =
                std::iter::once("example,label,weight".to_owned()).chain(rows).collect();
            let csv = lines.join("\n") + "\n";
            watch.artefact("weights.csv", csv.as_bytes())?;
        }
        let mut values = vec![
            ("validation_loss", softmax_loss(&y, &self.validation).item()),
            ("test_accuracy", softmax_accuracy(&y, &self.test)),
        ];
        values.extend(self.auc(&state.x).map(|auc| ("auc", auc)));
        Ok(values)
    }

    fn audits(&self) -> Vec<Audit> {
        let few = Rows::Block(0..self.train.len().min(20));
        let (train, validation, role) = (self.train.rows(&few), self.validation.clone(), self.role);
        let stream = Stream::new(1);
        let length = match role {
            Role::Weights { .. } => train.len(),
            Role::Penalties => self.start.len(),
        };
        let x = stream.child("x").normal(&[length], DType::F64);
        let y = stream.child("y").normal(&[train.inputs.dim(1) * self.classes], DType::F64) * 0.1;
        let lower = move |(x, y): &(Array, Array)| TableTask::lower(role, x, y, &train);
        vec![
            Audit::new("lower", (x, y.clone()), lower),
            Audit::new("upper", y, move |y: &Array| softmax_loss(y, &validation)),
        ]
    }
}
