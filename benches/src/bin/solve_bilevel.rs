//! Times one iteration of SOBA: `solve_bilevel CASE REPETITIONS`. `regularization` learns one ridge weight for each of 22 features of logistic regression
//! (the shape of IJCNN1, 49990 training and 91701 validation examples), `cleaning` one weight for each of 20000 training examples of softmax
//! regression with 10 classes (the shape of MNIST, 785 columns, 5000 validation examples); batches of 64 neighbours.
//! `benches/solve/bilevel.py` is the same in JAX.

use lisse::Stream;
use lisse::solve::bilevel::baselines::{Decay, Soba, Solver};
use lisse::solve::bilevel::linear_models::{Examples, RidgeLogistic, SoftmaxCleaning};
use lisse::solve::bilevel::{Bilevel, Oracle, Samples, Set};
use lisse_benches::median;

/// splitmix64 of a counter, as a number from 0 to below 1.
fn uniform(counter: usize) -> f64 {
    let mut z = (counter as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / 2f64.powi(53)
}

/// Uniform inputs in `[-1, 1)` divided by the root of the width; labels by the largest of `classes` fixed sums of columns.
fn examples(first: usize, rows: usize, width: usize, classes: usize) -> Option<Examples> {
    let scale = 2.0 / (width as f64).sqrt();
    let mut inputs = Vec::with_capacity(rows * width);
    let mut labels = Vec::with_capacity(rows);
    for row in first..first + rows {
        let start = inputs.len();
        inputs.extend((0..width).map(|j| (uniform(row * width + j) - 0.5) * scale));
        let mut sums = vec![0.0; classes];
        inputs[start..].iter().enumerate().for_each(|(j, v)| sums[j % classes] += v);
        let best = (0..classes).max_by(|a, b| sums[*a].total_cmp(&sums[*b]))?;
        labels.push(if classes == 2 { 2.0 * best as f64 - 1.0 } else { best as f64 });
    }
    Examples::new(inputs, labels, width).ok()
}

const ITERATIONS: usize = 200;

fn time(case: &str, repetitions: usize) -> Option<f64> {
    let problem: Box<dyn Bilevel> = match case {
        "regularization" => {
            let (train, validation) =
                (examples(0, 49_990, 22, 2)?, examples(49_990, 91_701, 22, 2)?);
            Box::new(RidgeLogistic::new(train, validation).ok()?)
        }
        "cleaning" => {
            let (train, validation) =
                (examples(0, 20_000, 785, 10)?, examples(20_000, 5000, 785, 10)?);
            let logits = Set::Whole;
            Box::new(SoftmaxCleaning::new(train, validation, 10, 0.1, logits, Set::Whole).ok()?)
        }
        _ => return None,
    };
    let constant = Decay::constant;
    let soba =
        Soba { gamma: constant(0.01), nu: constant(0.01), eta: constant(0.01), momentum: 0.0 };
    let samples = Samples::blocks(problem.examples(), 64, &Stream::new(0));
    let (dx, dy) = problem.dims();
    let mut oracle = Oracle::new(problem.as_ref());
    let mut state = soba.start(&vec![0.0; dx], &vec![0.0; dy], &mut oracle).ok()?;
    let mut failed = false;
    let seconds = median(repetitions, || {
        for _ in 0..ITERATIONS {
            failed |= soba.step(&mut state, &mut oracle, &samples).is_err();
        }
    });
    (!failed).then_some(seconds / ITERATIONS as f64)
}

fn main() {
    lisse_benches::run_case("solve_bilevel", time);
}
