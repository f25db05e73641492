//! Times gradients through solutions: `solve_implicit CASE REPETITIONS`. `benches/solve/implicit.py` is the same in JAXopt and Optimistix, on the same
//! data from the same hash.
//!
//! - `ridge_100`, `ridge_1000`: ridge regression with a penalty per feature, twice as many rows as features; one Cholesky factor for the solution and its
//!   derivative
//! - `softmax_100`, `softmax_1000`: softmax regression of ten classes with so many weights on 1000 rows, by L-BFGS to a gradient of 1e-8; conjugate
//!   gradients for the derivative
//! - `memory_implicit_N`, `memory_unrolled_N`: softmax_1000 with N steps of gradient descent, for the peak of memory
//!
//! The time is that of a validation loss and its gradient with respect to the logarithms of all penalties. Prints the seconds of the first call too, and the
//! sum of the gradient's squares to compare with peers.
#![allow(clippy::print_stdout)] // the output is the result

use std::time::Instant;

use lisse::optim::minimize::{Lbfgs, Options, minimize};
use lisse::solve::implicit::{
    Condition, Implicit, ImplicitError, objectives, solve, solve_factored, unroll,
};
use lisse::solve::linear::{Factor, LinearError, LinearSolver, Method, gram};
use lisse::{Array, DType, value_and_grad};
use lisse_benches::median;

const CLASSES: usize = 10;
const ROWS: usize = 1000;

/// splitmix64 of a counter, as a number from -1 to below 1.
fn uniform(counter: usize) -> f64 {
    let mut z = (counter as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / 2f64.powi(52) - 1.0
}

fn matrix(rows: usize, columns: usize, from: usize) -> Array {
    let values: Vec<f64> = (0..rows * columns).map(|i| uniform(from + i)).collect();
    Array::from_vec(values, &[rows, columns])
}

/// A validation loss and its gradient in the logarithms of the penalties.
type Task = Box<dyn Fn() -> (Array, Array)>;

fn ridge(d: usize) -> Task {
    let rows = 2 * d;
    let (x, valid_x) = (matrix(rows, d, 0), matrix(rows, d, 1 << 30));
    let truth = matrix(d, 1, 1 << 40).reshape(&[-1]);
    let noise = |from| matrix(rows, 1, from).reshape(&[-1]);
    let y = x.matmul(&truth) + noise(1 << 41);
    let valid_y = valid_x.matmul(&truth) + noise(1 << 42);
    let n = rows as f64;
    // What does not depend on the penalties is computed in the timed part all the same, as peers do.
    Box::new(move || {
        let (gram, right) = (gram(&x) * (1.0 / n), x.t().matmul(&y) * (1.0 / n));
        let (g, r) = (gram.clone(), right.clone());
        let problem = Condition::root(move |w: &Array, t: &Array| g.matmul(w) - &r + w * t.exp())
            .positive_definite();
        let solver = |t: &Array| -> Result<(Array, Factor), LinearError> {
            let (mut matrix, t) = (gram.to_vec::<f64>(), t.to_vec::<f64>());
            for (entry, t) in matrix.iter_mut().step_by(d + 1).zip(t) {
                *entry += t.exp();
            }
            let factor = Factor::cholesky(&Array::from_vec(matrix, &[d, d]))?;
            let w = factor.solve(&right.to_vec::<f64>());
            Ok((Array::from_vec(w, &[d]), factor))
        };
        let implicit = Implicit::default();
        let loss = |t: &Array| {
            let w = solve_factored(&problem, solver, &implicit, t).expect("a definite matrix");
            objectives::least_squares(&w, &valid_x, &valid_y)
        };
        let at = Array::zeros(&[d], DType::F64);
        implicit.checked(|| value_and_grad(loss)(&at)).expect("a definite matrix")
    })
}

/// Inputs and one-hot targets for training and validation.
struct Classes {
    x: Array,
    y: Array,
    valid_x: Array,
    valid_y: Array,
}

fn classes(features: usize) -> Classes {
    let truth = matrix(features, CLASSES, 1 << 40);
    let part = |from: usize| {
        let x = matrix(ROWS, features, from);
        let labels = (x.matmul(&truth) + matrix(ROWS, CLASSES, from + (1 << 31))).argmax(1);
        (x, Array::one_hot(&labels, CLASSES, DType::F64))
    };
    let ((x, y), (valid_x, valid_y)) = (part(0), part(1 << 30));
    Classes { x, y, valid_x, valid_y }
}

/// Mean cross entropy and penalty `exp(t)` of each feature, times `|w|^2 / 2`.
fn penalised(w: &Array, t: &Array, x: &Array, y: &Array) -> Array {
    let zero = Array::scalar(0.0f64);
    objectives::softmax_regression(w, None, x, y, &zero)
        + (w.square() * t.exp().unsqueeze(1)).sum_all() * 0.5
}

fn softmax(d: usize) -> Task {
    let features = d / CLASSES;
    let Classes { x, y, valid_x, valid_y } = classes(features);
    Box::new(move || {
        let (a, b) = (x.clone(), y.clone());
        let problem = Condition::stationary(move |w: &Array, t: &Array| penalised(w, t, &a, &b))
            .positive_definite();
        let solver = |t: &Array| {
            let options = Options { gradient_tolerance: 1e-8, ..Options::default() };
            let start = Array::zeros(&[features, CLASSES], DType::F64);
            minimize(|w: &Array| penalised(w, t, &x, &y), &start, &Lbfgs::default(), &options)
                .map(|best| best.x)
        };
        let implicit =
            Implicit::new(LinearSolver { tolerance: 1e-8, ..LinearSolver::new(Method::Cg) });
        let zero = Array::scalar(0.0f64);
        let loss = |t: &Array| {
            let w = solve(&problem, solver, &implicit, t).expect("finite");
            objectives::softmax_regression(&w, None, &valid_x, &valid_y, &zero)
        };
        let at = Array::full(&[features], (1e-2f64).ln(), DType::F64);
        implicit.checked(|| value_and_grad(loss)(&at)).expect("a definite Hessian")
    })
}

/// Gradient descent of `steps` on softmax_1000, differentiated by either way.
fn memory(steps: usize, implicit: bool) -> Task {
    let Classes { x, y, valid_x, valid_y } = classes(100);
    Box::new(move || {
        let (a, b, c, d) = (x.clone(), y.clone(), x.clone(), y.clone());
        let step = move |w: &Array, t: &Array| {
            let error = a.matmul(w).softmax(1) - &b;
            let gradient = a.t().matmul(&error) * (1.0 / ROWS as f64) + w * t.exp().unsqueeze(1);
            w.add_scaled(-1.0, &gradient)
        };
        let problem = Condition::stationary(move |w: &Array, t: &Array| penalised(w, t, &c, &d))
            .positive_definite();
        let start = Array::zeros(&[100, CLASSES], DType::F64);
        let derivative = Implicit::default();
        let zero = Array::scalar(0.0f64);
        let loss = |t: &Array| {
            let w = if implicit {
                let solver = |t: &Array| -> Result<Array, ImplicitError> {
                    Ok((0..steps).fold(start.clone(), |w, _| step(&w, t)))
                };
                solve(&problem, solver, &derivative, t)
            } else {
                unroll(step.clone(), &start, t, steps, None)
            };
            objectives::softmax_regression(&w.expect("finite"), None, &valid_x, &valid_y, &zero)
        };
        let at = Array::full(&[100], (1e-1f64).ln(), DType::F64);
        derivative.checked(|| value_and_grad(loss)(&at)).expect("a definite Hessian")
    })
}

fn task(case: &str) -> Option<Task> {
    let (kind, size) = case.rsplit_once('_')?;
    let size: usize = size.parse().ok()?;
    match (kind, size) {
        ("ridge", 1..=5000) => Some(ridge(size)),
        ("softmax", 10..=10_000) if size.is_multiple_of(CLASSES) => Some(softmax(size)),
        ("memory_implicit", 1..) => Some(memory(size, true)),
        ("memory_unrolled", 1..) => Some(memory(size, false)),
        _ => None,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let parsed = match arguments.as_slice() {
        [_, case, repetitions] => {
            repetitions.parse().ok().filter(|n: &usize| *n > 0).zip(task(case))
        }
        _ => None,
    };
    let Some((repetitions, task)) = parsed else {
        println!(
            "usage: solve_implicit ridge_D|softmax_D|memory_implicit_N|memory_unrolled_N REPETITIONS"
        );
        std::process::exit(2);
    };
    let clock = Instant::now();
    let (value, gradient) = task();
    let first = clock.elapsed().as_secs_f64();
    let seconds = if arguments[1].starts_with("memory") {
        first
    } else {
        median(repetitions, || {
            task();
        })
    };
    println!(
        "{}",
        serde_json::json!({
            "case": arguments[1],
            "seconds": seconds,
            "first_seconds": first,
            "peak_mib": lisse_benches::peak_mib(),
            "value": value.item(),
            "gradient_square": gradient.square().sum_all().item(),
        })
    );
}
