//! What the benchmark binaries share.
#![allow(clippy::print_stdout)] // their output is the result

use std::time::Instant;

use lisse::Tree;
use lisse::optim::Oracle;

/// An oracle whose answer costs nothing: what is timed is the optimizer.
pub struct Ready<P>(
    /// The gradient.
    pub P,
);

impl<P: Tree> Oracle<P> for Ready<P> {
    fn value_and_grad(&mut self, _: &P) -> (f64, P) {
        (0.0, self.0.clone())
    }
    fn value(&mut self, _: &P) -> f64 {
        0.0
    }
    fn hvp(&mut self, _: &P, v: &P) -> P {
        v.clone()
    }
}

/// Median seconds of `work`, after a warm-up.
pub fn median(repetitions: usize, mut work: impl FnMut()) -> f64 {
    for _ in 0..3 {
        work();
    }
    let mut times: Vec<f64> = (0..repetitions)
        .map(|_| {
            let clock = Instant::now();
            work();
            clock.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The whole of a binary that is called `NAME CASE REPETITIONS`: prints as JSON the seconds that `time` gives and the peak memory.
pub fn run_case(name: &str, time: fn(&str, usize) -> Option<f64>) {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, case, repetitions] = arguments.as_slice() else {
        println!("usage: {name} CASE REPETITIONS");
        std::process::exit(2);
    };
    let seconds = repetitions.parse().ok().filter(|&n: &usize| n > 0).and_then(|n| time(case, n));
    let Some(seconds) = seconds else {
        println!("{name}: unknown case `{case}` or repetitions `{repetitions}` not a count");
        std::process::exit(2);
    };
    println!("{}", serde_json::json!({"case": case, "seconds": seconds, "peak_mib": peak_mib()}));
}

/// The most memory this process held, in MiB; 0 where the system does not tell.
pub fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()).unwrap_or(0.0)
        / 1024.0
}
