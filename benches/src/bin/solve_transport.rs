//! Times transport: `solve_transport CASE REPETITIONS`. `benches/solve/transport.py` is the same in POT and ott-jax, on the same problems from the same hash.
//!
//! Cases are `METHOD_SIZE`: `emd_1000`, `sinkhorn_1000`, `quadratic_dual_200`, `quadratic_1000`, `sparse_200`, `sparse_dual_1000`.

use lisse::solve::transport::{Problem, Sinkhorn, Solver, SparseOt, Status, solve_exact};
use lisse_benches::{median, run_case};

/// Entropy.
const EPSILON: f64 = 0.01;
/// Strength of the squared norm: times the masses of `1 / n` this is a hundredth of the costs at `n = 1000`.
const GAMMA: f64 = 10.0;
/// Entries of a column.
const K: usize = 4;
/// `|T 1 - a|_1` to be reached.
const ERROR: f64 = 1e-6;

/// splitmix64 of a counter, as a number from 0 to below 1.
fn uniform(counter: usize) -> f64 {
    let mut z = (counter as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / 2f64.powi(53)
}

/// Squared distances of two clouds in the unit square, with masses that differ.
fn problem(n: usize) -> Problem {
    let cloud = |start: usize| -> Vec<f64> { (0..2 * n).map(|i| uniform(start + i)).collect() };
    let masses = |start: usize| {
        let raw: Vec<f64> = (0..n).map(|i| 0.5 + uniform(start + i)).collect();
        let sum: f64 = raw.iter().sum();
        raw.into_iter().map(|m| m / sum).collect::<Vec<_>>()
    };
    let (x, y, a, b) = (cloud(0), cloud(10_000), masses(20_000), masses(30_000));
    let cost =
        |i: usize, j: usize| (x[2 * i] - y[2 * j]).powi(2) + (x[2 * i + 1] - y[2 * j + 1]).powi(2);
    let costs: Vec<f64> = (0..n * n).map(|e| cost(e / n, e % n)).collect();
    Problem::new(&a, &b, &costs).expect("a problem by construction")
}

fn time(case: &str, repetitions: usize) -> Option<f64> {
    let (method, size) = case.rsplit_once('_')?;
    let problem = problem(size.parse().ok().filter(|n| (2..=5000).contains(n))?);
    let with = |solver, k| SparseOt {
        solver,
        k,
        gamma: GAMMA,
        tolerance: ERROR,
        max_iterations: 5000,
        ..SparseOt::default()
    };
    let regularized = |ot: SparseOt| {
        let found = ot.solve(&problem).ok()?;
        let error = found.row_error.max(found.column_error);
        // A bounded count may end at a kink; it must say so.
        (found.status == Status::Converged && error <= 2.0 * ERROR || ot.k.is_some())
            .then_some(())?;
        Some(median(repetitions, || {
            ot.solve(&problem).ok();
        }))
    };
    match method {
        "emd" => {
            solve_exact(&problem).ok()?;
            Some(median(repetitions, || {
                solve_exact(&problem).ok();
            }))
        }
        "sinkhorn" => {
            let sinkhorn = Sinkhorn { epsilon: EPSILON, tolerance: ERROR, ..Sinkhorn::default() };
            let found = sinkhorn.solve(&problem).ok()?;
            (found.status == Status::Converged).then_some(())?;
            Some(median(repetitions, || {
                sinkhorn.solve(&problem).ok();
            }))
        }
        "quadratic" => regularized(with(Solver::SemiDual, None)),
        "quadratic_dual" => regularized(with(Solver::Dual, None)),
        "sparse" => regularized(with(Solver::SemiDual, Some(K))),
        "sparse_dual" => regularized(with(Solver::Dual, Some(K))),
        _ => None,
    }
}

fn main() {
    run_case("solve_transport", time);
}
