//! Problems on bundled data, with starts and what is measured.

use std::sync::Arc;

use lisse_array::{DType, Stream};
use lisse_data::{Dataset, Standardizer, label_noise};
use lisse_run::Error;

use super::config::{ProblemConfig, SvmData};
use crate::bilevel::constrained::{
    JointSet, ScaledRows, SvmProblem, coupled_sine, many_solutions, solve_constrained_lower,
};
use crate::bilevel::linear_models::{BinaryCleaning, Examples, SoftmaxCleaning};
use crate::bilevel::penalty::solve_lower;
use crate::bilevel::vector::{dot, norm, scale};
use crate::bilevel::{Batch, Bilevel, Oracle, Set, Wrt};

/// A problem, where to start, and what to measure of a result.
pub(super) trait Task: Send + Sync {
    fn problem(&self) -> &dyn Bilevel;
    fn start(&self) -> (Vec<f64>, Vec<f64>);
    /// Values in the order of [`names`].
    fn evaluate(&self, x: &[f64], y: &[f64]) -> Result<Vec<f64>, Error>;
    /// `x` that knows which labels are wrong.
    fn oracle(&self) -> Option<Vec<f64>> {
        None
    }
    fn joint_set(&self) -> Option<Arc<dyn JointSet>> {
        None
    }
}

/// What a task measures; the first is what is plotted.
pub(super) fn names(problem: &ProblemConfig) -> &'static [&'static str] {
    match problem {
        ProblemConfig::Cleaning { .. } => &[
            "validation_loss",
            "test_accuracy",
            "auc",
            "loss_ratio",
            "accuracy_gain",
            "validation_only_accuracy",
            "lower_norm",
        ],
        ProblemConfig::Digits { .. } => {
            &["validation_loss", "test_accuracy", "auc", "loss_ratio", "accuracy_gain"]
        }
        ProblemConfig::Svm { .. } => &[
            "validation_loss",
            "test_accuracy",
            "auc",
            "loss_drop",
            "accuracy_gain",
            "iterate_loss",
            "iterate_accuracy",
            "violation",
        ],
        ProblemConfig::ManySolutions { .. } => &["error", "iterate_objective", "violation"],
        ProblemConfig::CoupledSine { .. } => {
            &["objective", "iterate_objective", "violation", "lower_error"]
        }
    }
}

pub(super) fn build(config: &ProblemConfig, stream: &Stream) -> Result<Box<dyn Task>, Error> {
    Ok(match *config {
        ProblemConfig::Cleaning { train, validation, flipped, radius, limit } => {
            Box::new(Cleaning::new(stream, (train, validation), flipped, (radius, limit))?)
        }
        ProblemConfig::Digits { train, validation, flipped, ridge } => {
            Box::new(Digits::new(stream, (train, validation), flipped, ridge)?)
        }
        ProblemConfig::Svm { data, train, validation, flipped, start, scaled } => {
            Box::new(Svm::new(stream, data, (train, validation), flipped, (start, scaled))?)
        }
        ProblemConfig::ManySolutions { n, scaled, random } => {
            let factor = if scaled { 1.0 / (3.0 * n as f64).sqrt() } else { 1.0 };
            let (problem, set) = many_solutions(n, factor).map_err(Error::other)?;
            let draw = |name, n: usize| -> Vec<f64> {
                if random {
                    stream.child(name).normal(&[n], DType::F64).to_vec()
                } else {
                    vec![1.0; n]
                }
            };
            let (x, y) = (draw("x", n), draw("y", 2 * n));
            Box::new(Toy::new(Arc::new(problem), Arc::new(set), x, y, true))
        }
        ProblemConfig::CoupledSine { n, m } => {
            let (problem, set) =
                coupled_sine(n, m, &stream.child("matrices")).map_err(Error::other)?;
            let draw = |name| stream.child(name).normal(&[n], DType::F64).to_vec::<f64>();
            Box::new(Toy::new(Arc::new(problem), Arc::new(set), draw("x"), draw("y"), false))
        }
    })
}

/// Rows of a data set in three parts, a column of ones at the end.
struct Parts {
    train: Examples,
    validation: Examples,
    test: Examples,
    wrong: Vec<bool>,
}

/// `inputs` row by row, labels -1 and 1 (or classes), in random order; a share of the training labels is wrong.
fn parts(
    (inputs, labels, width): (&[f64], &[f64], usize),
    (train, validation): (usize, usize),
    flipped: f64,
    stream: &Stream,
    classes: usize,
) -> Result<Parts, Error> {
    let order = stream.child("split").permutation(labels.len());
    let take = |rows: &[usize]| {
        let mut flat = Vec::with_capacity(rows.len() * (width + 1));
        for &i in rows {
            flat.extend_from_slice(&inputs[i * width..(i + 1) * width]);
            flat.push(1.0);
        }
        let labels = rows.iter().map(|&i| labels[i]).collect();
        Examples::new(flat, labels, width + 1).map_err(Error::other)
    };
    let mut first = take(&order[..train])?;
    let codes: Vec<i64> = first
        .labels
        .iter()
        .map(|l| if classes == 2 { i64::from(*l > 0.0) } else { *l as i64 })
        .collect();
    let codes = lisse_array::Array::from_slice(&codes, &[codes.len()]);
    let noisy =
        label_noise(&codes, flipped, classes, &stream.child("labels")).map_err(Error::other)?;
    let mut wrong = vec![false; train];
    for &i in &noisy.flipped {
        wrong[i] = true;
    }
    let value = |l: i64| if classes == 2 { 2.0 * l as f64 - 1.0 } else { l as f64 };
    first.labels = noisy.labels.to_vec::<i64>().into_iter().map(value).collect();
    Ok(Parts {
        train: first,
        validation: take(&order[train..train + validation])?,
        test: take(&order[train + validation..])?,
        wrong,
    })
}

/// Standardised inputs divided by `shrink`, labels -1 and 1.
fn tumours(shrink: f64) -> Result<(Vec<f64>, Vec<f64>, usize), Error> {
    let data = Dataset::bundled("breast_cancer").map_err(Error::other)?.cast(DType::F64);
    let fitted = Standardizer::fit(&data.inputs).map_err(Error::other)?;
    let inputs = fitted.apply(&data.inputs).map_err(Error::other)? * (1.0 / shrink);
    let labels = data.labels().map_err(Error::other)?;
    let labels = labels.into_iter().map(|l| 2.0 * l as f64 - 1.0).collect();
    Ok((inputs.to_vec(), labels, data.inputs.dim(1)))
}

fn digits() -> Result<(Vec<f64>, Vec<f64>, usize), Error> {
    let data = Dataset::bundled("digits").map_err(Error::other)?.cast(DType::F64);
    let labels = data.labels().map_err(Error::other)?.into_iter().map(|l| l as f64).collect();
    Ok((data.inputs.to_vec(), labels, 64))
}

/// Share of pairs of a wrong and a right example in which the wrong one weighs less.
fn auc(weights: &[f64], wrong: &[bool]) -> f64 {
    let (mut pairs, mut good) = (0.0, 0.0);
    for (w, _) in weights.iter().zip(wrong).filter(|p| *p.1) {
        for (c, _) in weights.iter().zip(wrong).filter(|p| !*p.1) {
            pairs += 1.0;
            good += if w < c { 1.0 } else { f64::from(u8::from(w == c)) * 0.5 };
        }
    }
    if pairs > 0.0 { good / pairs } else { 0.5 }
}

fn binary_accuracy(data: &Examples, v: &[f64]) -> f64 {
    let right = |i: &usize| data.labels[*i] * dot(data.row(*i), &v[..data.width]) > 0.0;
    (0..data.len()).filter(right).count() as f64 / data.len() as f64
}

const SOLVE: (f64, usize) = (1e-7, 20_000);

struct Cleaning {
    problem: BinaryCleaning,
    test: Examples,
    wrong: Vec<bool>,
    limit: f64,
    plain: (f64, f64),
    validation_only: f64,
}

impl Cleaning {
    fn new(
        stream: &Stream,
        sizes: (usize, usize),
        flipped: f64,
        (radius, limit): (f64, f64),
    ) -> Result<Cleaning, Error> {
        let (inputs, labels, width) = tumours(1.0)?;
        let parts = parts((&inputs, &labels, width), sizes, flipped, stream, 2)?;
        let (logits, ball) = (Set::cube(sizes.0, -limit, limit), Set::Ball { radius });
        let logits = logits.map_err(Error::other)?;
        // A model fitted on the validation data alone.
        let alone = BinaryCleaning::new(
            parts.validation.clone(),
            parts.validation.clone(),
            0.0,
            Set::Whole,
            ball.clone(),
        );
        let alone = alone.map_err(Error::other)?;
        let (x, y) = (vec![0.0; sizes.1], vec![0.0; width + 1]);
        let fitted = solve_lower(&mut Oracle::new(&alone), &x, &y, 0.0, SOLVE.0, SOLVE.1).y;
        let validation_only = binary_accuracy(&parts.test, &fitted);
        let problem = BinaryCleaning::new(parts.train, parts.validation, 0.0, logits, ball);
        let problem = problem.map_err(Error::other)?;
        let (test, wrong) = (parts.test, parts.wrong);
        let mut task = Cleaning { problem, test, wrong, limit, plain: (1.0, 0.0), validation_only };
        let (x, y) = task.start();
        task.plain = task.resolved(&x, &y);
        Ok(task)
    }

    /// Validation loss and test accuracy at the exact lower solution.
    fn resolved(&self, x: &[f64], y: &[f64]) -> (f64, f64) {
        let mut oracle = Oracle::new(&self.problem);
        let y = solve_lower(&mut oracle, x, y, 0.0, SOLVE.0, SOLVE.1).y;
        (oracle.upper_value(x, &y, &Batch::all()), binary_accuracy(&self.test, &y))
    }
}

impl Task for Cleaning {
    fn problem(&self) -> &dyn Bilevel {
        &self.problem
    }
    fn start(&self) -> (Vec<f64>, Vec<f64>) {
        let (dx, dy) = self.problem.dims();
        (vec![0.0; dx], vec![0.0; dy])
    }
    fn evaluate(&self, x: &[f64], y: &[f64]) -> Result<Vec<f64>, Error> {
        let (loss, accuracy) = self.resolved(x, y);
        let (ratio, gain) = (self.plain.0 / loss, accuracy - self.plain.1);
        let auc = auc(x, &self.wrong);
        Ok(vec![loss, accuracy, auc, ratio, gain, self.validation_only, norm(y)])
    }
    fn oracle(&self) -> Option<Vec<f64>> {
        Some(self.wrong.iter().map(|w| if *w { -self.limit } else { self.limit }).collect())
    }
}

struct Digits {
    problem: SoftmaxCleaning,
    test: Examples,
    wrong: Vec<bool>,
    plain: (f64, f64),
}

impl Digits {
    fn new(
        stream: &Stream,
        sizes: (usize, usize),
        flipped: f64,
        ridge: f64,
    ) -> Result<Digits, Error> {
        let (inputs, labels, width) = digits()?;
        let parts = parts((&inputs, &labels, width), sizes, flipped, stream, 10)?;
        let logits = Set::cube(sizes.0, -8.0, 8.0).map_err(Error::other)?;
        let problem =
            SoftmaxCleaning::new(parts.train, parts.validation, 10, ridge, logits, Set::Whole);
        let problem = problem.map_err(Error::other)?;
        let mut task = Digits { problem, test: parts.test, wrong: parts.wrong, plain: (1.0, 0.0) };
        let (x, y) = task.start();
        task.plain = task.resolved(&x, &y);
        Ok(task)
    }

    fn resolved(&self, x: &[f64], y: &[f64]) -> (f64, f64) {
        let mut oracle = Oracle::new(&self.problem);
        // A ridge leaves no more than residual / (2 ridge) of distance.
        let y = solve_lower(&mut oracle, x, y, 0.0, 1e-6, 3000).y;
        let value = oracle.upper_value(x, &y, &Batch::all());
        let k = 10;
        let right = |i: &usize| {
            let mut scores = [0.0; 10];
            for (j, a) in self.test.row(*i).iter().enumerate() {
                for (s, w) in scores.iter_mut().zip(&y[j * k..(j + 1) * k]) {
                    *s += a * w;
                }
            }
            let best = (0..k).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            best == Some(self.test.labels[*i] as usize)
        };
        let count = (0..self.test.len()).filter(right).count();
        (value, count as f64 / self.test.len() as f64)
    }
}

impl Task for Digits {
    fn problem(&self) -> &dyn Bilevel {
        &self.problem
    }
    fn start(&self) -> (Vec<f64>, Vec<f64>) {
        let (dx, dy) = self.problem.dims();
        (vec![0.0; dx], vec![0.0; dy])
    }
    fn evaluate(&self, x: &[f64], y: &[f64]) -> Result<Vec<f64>, Error> {
        let (loss, accuracy) = self.resolved(x, y);
        let (ratio, gain) = (self.plain.0 / loss, accuracy - self.plain.1);
        Ok(vec![loss, accuracy, auc(x, &self.wrong), ratio, gain])
    }
    fn oracle(&self) -> Option<Vec<f64>> {
        Some(self.wrong.iter().map(|w| if *w { -8.0 } else { 8.0 }).collect())
    }
}

struct Svm {
    problem: Arc<dyn Bilevel>,
    set: Arc<dyn JointSet>,
    first: Vec<f64>,
    test: Examples,
    wrong: Vec<bool>,
    log_weight: f64,
    plain: (f64, f64),
}

impl Svm {
    fn new(
        stream: &Stream,
        data: SvmData,
        sizes: (usize, usize),
        flipped: f64,
        (start, scaled): (f64, bool),
    ) -> Result<Svm, Error> {
        let (inputs, labels, width) = match data {
            SvmData::BreastCancer => tumours(30.0f64.sqrt())?,
            SvmData::Digits => fours_and_nines()?,
        };
        let parts = parts((&inputs, &labels, width), sizes, flipped, stream, 2)?;
        let svm =
            SvmProblem::new(parts.train, parts.validation, (-8.0, 4.0)).map_err(Error::other)?;
        let (first, set) = (svm.first_y(), svm.set());
        let svm: Arc<dyn Bilevel> = Arc::new(svm);
        let x = vec![start; sizes.0];
        let problem: Arc<dyn Bilevel> =
            if scaled { Arc::new(ScaledRows::at(Arc::clone(&svm), &x, &first)) } else { svm };
        let (test, wrong) = (parts.test, parts.wrong);
        let (set, plain): (Arc<dyn JointSet>, _) = (Arc::new(set), (0.0, 0.0));
        let mut task = Svm { problem, set, first, test, wrong, log_weight: start, plain };
        task.plain = task.resolved(&x)?;
        Ok(task)
    }

    fn resolved(&self, x: &[f64]) -> Result<(f64, f64), Error> {
        let mut oracle = Oracle::new(self.problem.as_ref());
        let solution = solve_constrained_lower(&mut oracle, x, (&self.first, &[]), 1e-8);
        let y = solution.map_err(Error::other)?.y;
        Ok((oracle.upper_value(x, &y, &Batch::all()), binary_accuracy(&self.test, &y)))
    }
}

/// Images of 4 and 9, divided by the mean length of a row.
fn fours_and_nines() -> Result<(Vec<f64>, Vec<f64>, usize), Error> {
    let (inputs, labels, width) = digits()?;
    let (mut kept, mut signs) = (Vec::new(), Vec::new());
    for (row, label) in inputs.chunks_exact(width).zip(labels) {
        if label == 4.0 || label == 9.0 {
            kept.extend_from_slice(row);
            signs.push(if label == 4.0 { -1.0 } else { 1.0 });
        }
    }
    let length = (dot(&kept, &kept) / signs.len() as f64).sqrt();
    scale(&mut kept, 1.0 / length);
    Ok((kept, signs, width))
}

impl Task for Svm {
    fn problem(&self) -> &dyn Bilevel {
        self.problem.as_ref()
    }
    fn start(&self) -> (Vec<f64>, Vec<f64>) {
        (vec![self.log_weight; self.wrong.len()], self.first.clone())
    }
    fn evaluate(&self, x: &[f64], y: &[f64]) -> Result<Vec<f64>, Error> {
        let (loss, accuracy) = self.resolved(x)?;
        let iterate = self.problem.upper(x, y, &Batch::all(), Wrt::Y).value;
        let worst = self.problem.constraint(x, y).into_iter().fold(0.0, f64::max);
        Ok(vec![
            loss,
            accuracy,
            auc(x, &self.wrong),
            self.plain.0 - loss,
            accuracy - self.plain.1,
            iterate,
            binary_accuracy(&self.test, y),
            worst,
        ])
    }
    fn oracle(&self) -> Option<Vec<f64>> {
        let any = self.wrong.iter().any(|w| *w);
        let log = |w: &bool| if *w { -8.0 } else { self.log_weight };
        any.then(|| self.wrong.iter().map(log).collect())
    }
    fn joint_set(&self) -> Option<Arc<dyn JointSet>> {
        Some(Arc::clone(&self.set))
    }
}

struct Toy {
    problem: Arc<dyn Bilevel>,
    set: Arc<dyn JointSet>,
    start: (Vec<f64>, Vec<f64>),
    /// Whether the optimum is known to be -0.3 in every entry.
    known: bool,
}

impl Toy {
    fn new(
        problem: Arc<dyn Bilevel>,
        set: Arc<dyn JointSet>,
        x: Vec<f64>,
        y: Vec<f64>,
        known: bool,
    ) -> Toy {
        Toy { problem, set, start: (x, y), known }
    }
}

impl Task for Toy {
    fn problem(&self) -> &dyn Bilevel {
        self.problem.as_ref()
    }
    fn start(&self) -> (Vec<f64>, Vec<f64>) {
        self.start.clone()
    }
    fn evaluate(&self, x: &[f64], y: &[f64]) -> Result<Vec<f64>, Error> {
        let iterate = self.problem.upper(x, y, &Batch::all(), Wrt::Y).value;
        let c = self.problem.constraint(x, y);
        let worst = c.iter().fold(0.0f64, |w, c| w.max(c.abs()));
        if self.known {
            let off: f64 = x.iter().map(|x| (x + 0.3).powi(2)).sum();
            let error = off.sqrt() / (0.3 * (x.len() as f64).sqrt());
            return Ok(vec![error, iterate, worst]);
        }
        let mut oracle = Oracle::new(self.problem.as_ref());
        let solution = solve_constrained_lower(&mut oracle, x, (y, &[]), 1e-8);
        let exact = solution.map_err(Error::other)?.y;
        let off = crate::bilevel::vector::distance(&exact, y);
        Ok(vec![oracle.upper_value(x, &exact, &Batch::all()), iterate, worst, off])
    }
    fn joint_set(&self) -> Option<Arc<dyn JointSet>> {
        Some(Arc::clone(&self.set))
    }
}
