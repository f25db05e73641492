mod catalogue;
mod inputs;
mod orders;
mod precision;
mod spheres;

use lisse_array::Array;
use lisse_array::linalg::LinalgError;

use super::*;
use crate::linear::{LinearSolver, Method, Structure};

fn vector(values: &[f64]) -> Array {
    Array::from_slice(values, &[values.len()])
}

fn matrix(values: &[f64], columns: usize) -> Array {
    Array::from_slice(values, &[values.len() / columns, columns])
}

#[track_caller]
fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= tolerance, "entry {i}: {f} is not {e}, within {tolerance:e}");
    }
}

/// Inputs, targets, penalty.
type RidgeData = (Array, Array, Array);

fn ridge_data() -> RidgeData {
    let x = matrix(&[1.0, 0.0, 1.0, 1.0, 0.0, 2.0, 2.0, -1.0], 2);
    (x, vector(&[1.0, 2.0, 0.0, 3.0]), Array::scalar(0.5f64))
}

fn ridge_problem() -> Condition<Array, RidgeData> {
    Condition::stationary(|w: &Array, (x, y, penalty): &RidgeData| {
        objectives::ridge(w, x, y, penalty)
    })
}

fn ridge_solver((x, y, penalty): &RidgeData) -> Result<Array, LinalgError> {
    let n = x.dim(0) as f64;
    let gram = x.t().matmul(x) * (1.0 / n) + Array::eye(x.dim(1), x.dtype()) * penalty;
    gram.solve(&(x.t().matmul(y) * (1.0 / n)))
}

/// The lasso of the checks: 5 examples, 3 features.
fn lasso_data() -> (Array, Array) {
    let x = [1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 2.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0, 2.0];
    (matrix(&x, 3), vector(&[2.0, 1.0, 1.5, 2.0, 1.0]))
}

/// Coordinate descent, to the last bit.
fn lasso_solver(penalty: f64) -> Array {
    let (x, y) = lasso_data();
    let (x, y) = (x.to_vec::<f64>(), y.to_vec::<f64>());
    let mut w = [0.0f64; 3];
    for _ in 0..2000 {
        for j in 0..3 {
            let column = |i: usize| x[i * 3 + j];
            let rest = |i: usize| {
                y[i] - (0..3).filter(|&k| k != j).map(|k| x[i * 3 + k] * w[k]).sum::<f64>()
            };
            let along: f64 = (0..5).map(|i| column(i) * rest(i)).sum::<f64>() / 5.0;
            let square: f64 = (0..5).map(|i| column(i) * column(i)).sum::<f64>() / 5.0;
            w[j] = along.signum() * (along.abs() - penalty).max(0.0) / square;
        }
    }
    vector(&w)
}
