//! Times one case of the optimizers' comparison with peers: `optim CASE REPETITIONS`, threads by `RAYON_NUM_THREADS`. Prints JSON: median
//! seconds and peak memory. `benches/optim/run` calls it beside the same case in Python.

use lisse::nn::losses::cross_entropy;
use lisse::optim::coordinate_clipping::{CoordinateClip, Wanted, rank};
use lisse::optim::{Adam, LossOracle, Optimizer, Sam, Sgd};
use lisse::{Array, DType, Stream, Tree};
use lisse_benches::{Ready, median};

/// Five million parameters in twenty leaves.
fn five_million(stream: Stream) -> Vec<Array> {
    (0..20).map(|i| stream.at(i).normal(&[500, 500], DType::F32)).collect()
}

fn step(repetitions: usize, optimizer: impl Optimizer<Vec<Array>>) -> f64 {
    let stream = Stream::new(0);
    let mut params = five_million(stream.child("x"));
    let mut oracle = Ready(five_million(stream.child("g")));
    let mut state = optimizer.init(&params);
    median(repetitions, || {
        optimizer.step(&mut params, &mut state, &mut oracle);
    })
}

/// 784-256-256-10 with ReLU, on 128 random images.
fn mlp_step(repetitions: usize, optimizer: impl Optimizer<Vec<Array>>) -> f64 {
    let stream = Stream::new(0);
    let x = stream.child("x").normal(&[128, 784], DType::F32);
    let y = Array::from_vec((0..128i64).map(|i| i % 10).collect(), &[128]);
    let mut params: Vec<Array> = [(784usize, 256usize), (256, 256), (256, 10)]
        .iter()
        .zip(0..)
        .map(|(&(a, b), i)| stream.at(i).normal(&[a, b], DType::F32) * (1.0 / a as f64).sqrt())
        .collect();
    let mut oracle = LossOracle(|w: &Vec<Array>| {
        let h = x.matmul(&w[0]).relu().matmul(&w[1]).relu();
        cross_entropy(&h.matmul(&w[2]), &y)
    });
    let mut state = optimizer.init(&params);
    median(repetitions, || {
        optimizer.step(&mut params, &mut state, &mut oracle);
    })
}

/// One pass over five million numbers, their norm; their magnitude of rank a tenth; and that with the clipping.
fn clipping(case: &str, repetitions: usize) -> f64 {
    let gradient = five_million(Stream::new(0));
    let (wanted, clip) = (Wanted { fraction: 0.1, nonzero: false }, CoordinateClip::new(0.1));
    median(repetitions, || {
        std::hint::black_box(match case {
            "clip_pass_5m" => gradient.norm(),
            "clip_rank_5m" => rank(&gradient, wanted).map_or(f64::NAN, |found| found.threshold),
            _ => clip.apply(&gradient).bound,
        });
    })
}

fn time(case: &str, repetitions: usize) -> Option<f64> {
    Some(match case {
        "sgd_5m" => step(repetitions, Sgd::new(1e-3)),
        "momentum_5m" => step(repetitions, Sgd::new(1e-3).momentum(0.9)),
        "adam_5m" => step(repetitions, Adam::new(1e-3)),
        "adamw_5m" => step(repetitions, Adam::decoupled(1e-3, 0.01)),
        "mlp_momentum_step" => mlp_step(repetitions, Sgd::new(1e-3).momentum(0.9)),
        "mlp_sam_step" => mlp_step(repetitions, Sam::new(0.05, Sgd::new(1e-3).momentum(0.9))),
        "clip_pass_5m" | "clip_rank_5m" | "clip_5m" => clipping(case, repetitions),
        _ => return None,
    })
}

fn main() {
    lisse_benches::run_case("optim", time);
}
