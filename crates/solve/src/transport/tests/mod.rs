//! Tests, by what they test.

mod entropic;
mod exact;
mod files;
mod layers;
mod routing;
mod sparse;

use lisse_array::Stream;

use super::Problem;

/// `C = [[0, 1, 3], [2, .5, 1], [4, 2, .3]]` with masses that leave one choice.
fn three() -> Problem {
    let costs = [0.0, 1.0, 3.0, 2.0, 0.5, 1.0, 4.0, 2.0, 0.3];
    Problem::new(&[0.5, 0.3, 0.2], &[0.4, 0.4, 0.2], &costs).unwrap()
}

/// `C_ij = ((3 i + 5 j + i j) mod 7) / 7`, 6 by 4, equal masses.
fn six_by_four() -> Problem {
    let cost = |i: usize, j: usize| ((3 * i + 5 * j + i * j) % 7) as f64 / 7.0;
    let costs: Vec<f64> = (0..6).flat_map(|i| (0..4).map(move |j| cost(i, j))).collect();
    Problem::uniform(6, 4, &costs).unwrap()
}

/// Uniform costs and masses of both ends.
fn random(m: usize, n: usize, seed: u64) -> Problem {
    let stream = Stream::new(seed);
    let masses = |name: &str, count: usize| {
        let raw = stream.child(name).uniform(&[count], lisse_array::DType::F64) + 0.2;
        (&raw * (1.0 / raw.sum_all().item())).to_f64_vec()
    };
    let costs = stream.child("costs").uniform(&[m, n], lisse_array::DType::F64).to_f64_vec();
    Problem::new(&masses("a", m), &masses("b", n), &costs).unwrap()
}

fn close(x: f64, y: f64, tolerance: f64) {
    assert!((x - y).abs() <= tolerance, "{x} is not {y} within {tolerance}");
}

fn all_close(x: &[f64], y: &[f64], tolerance: f64) {
    assert_eq!(x.len(), y.len());
    for (i, (x, y)) in x.iter().zip(y).enumerate() {
        assert!((x - y).abs() <= tolerance, "entry {i}: {x} is not {y} within {tolerance}");
    }
}

/// Runs work on a pool of so many threads.
fn with_threads<T: Send>(count: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap().install(work)
}
