//! Times M-FAC's step on a million parameters with a full window of 32 gradients: `mfac CASE REPETITIONS`, threads by `RAYON_NUM_THREADS`.
//! `benches/optim/mfac.py` runs it beside PyTorch.
//!
//! `mfac_step`: a whole step on eight leaves; `mfac_precondition`: the window's two passes and its small algebra; `read`: a plain sum over as
//! much memory as one pass reads.

use lisse::optim::Optimizer;
use lisse::optim::mfac::{Mfac, SlidingWindow};
use lisse::{Array, DType, Stream};
use lisse_benches::{Ready, median};
use rayon::prelude::*;

const WINDOW: usize = 32;
const LEAVES: u64 = 8;
const LEAF: usize = 125_000;

fn million(stream: Stream) -> Vec<Array> {
    (0..LEAVES).map(|i| stream.at(i).normal(&[250, LEAF / 250], DType::F32)).collect()
}

fn step(repetitions: usize) -> f64 {
    let stream = Stream::new(0);
    let mut params = million(stream.child("x"));
    let optimizer = Mfac { window: WINDOW, damping: 1e-4, ..Mfac::new(1e-3) };
    let mut state = optimizer.init(&params);
    for i in 0..WINDOW as u64 {
        let mut oracle = Ready(million(stream.child("g").at(i)));
        optimizer.step(&mut params, &mut state, &mut oracle);
    }
    let mut oracle = Ready(million(stream.child("g")));
    median(repetitions, || {
        optimizer.step(&mut params, &mut state, &mut oracle);
    })
}

fn precondition(repetitions: usize) -> Option<f64> {
    let stream = Stream::new(0);
    let len = LEAF * LEAVES as usize;
    let mut window = SlidingWindow::new(WINDOW, 1e-4).ok()?;
    for i in 0..WINDOW as u64 {
        window.push(&stream.at(i).normal(&[len], DType::F32)).ok()?;
    }
    let g = stream.child("g").normal(&[len], DType::F32);
    Some(median(repetitions, || {
        std::hint::black_box(window.precondition(&g).is_ok());
    }))
}

/// Sums of 32 lanes, so that memory and not the additions is what takes time.
fn read(repetitions: usize) -> f64 {
    let values = vec![1.0f32; WINDOW * LEAF * LEAVES as usize];
    let sum = |part: &[f32]| {
        let mut lanes = [0.0f32; 32];
        for chunk in part.chunks_exact(32) {
            lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane += v);
        }
        lanes.iter().sum::<f32>()
    };
    median(repetitions, || {
        std::hint::black_box(values.par_chunks(1 << 16).map(sum).sum::<f32>());
    })
}

fn time(case: &str, repetitions: usize) -> Option<f64> {
    match case {
        "mfac_step" => Some(step(repetitions)),
        "mfac_precondition" => precondition(repetitions),
        "read" => Some(read(repetitions)),
        _ => None,
    }
}

fn main() {
    lisse_benches::run_case("mfac", time);
}
