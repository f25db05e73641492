//! Times Newton's method regularized by the gradient on logistic regression of the shape of a9a (32561 x 123, fourteen one-hot fields), to a gradient
//! of 1e-8: `gns gns_a9a REPETITIONS`. `benches/optim/gns.py` is the same in scikit-learn, on the same data from the same hash.

use lisse::optim::gradient_normalized::problems::Logistic;
use lisse::optim::gradient_normalized::{
    CurvedProblem, GradientRegularizedNewton, Metric, Status, Stopping, descend,
};
use lisse::{Array, DType};
use lisse_benches::median;

const ROWS: usize = 32561;
const FIELDS: [usize; 14] = [5, 8, 5, 16, 5, 7, 14, 6, 5, 2, 2, 2, 5, 41];

/// splitmix64 of a counter, as a number from 0 to below 1.
fn uniform(counter: usize) -> f64 {
    let mut z = (counter as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / 2f64.powi(53)
}

fn data() -> (Array, Array) {
    let width: usize = FIELDS.iter().sum();
    let (mut x, mut y) = (vec![0.0; ROWS * width], Vec::with_capacity(ROWS));
    for row in 0..ROWS {
        let (mut start, mut logit) = (0, -1.5);
        for (field, &size) in FIELDS.iter().enumerate() {
            let u = uniform(row * 16 + field);
            // Some values are common, most are rare.
            let column = start + (size as f64 * u * u).floor() as usize;
            x[row * width + column] = 1.0;
            logit += (1.7 * column as f64).sin();
            start += size;
        }
        let chance = 1.0 / (1.0 + (-logit).exp());
        y.push(if uniform(row * 16 + 15) < chance { 1.0 } else { -1.0 });
    }
    (Array::from_vec(x, &[ROWS, width]), Array::from_vec(y, &[ROWS]))
}

fn time(case: &str, repetitions: usize) -> Option<f64> {
    if case != "gns_a9a" {
        return None;
    }
    let (x, y) = data();
    let stopping = Stopping { gradient_tolerance: Some(1e-8), ..Stopping::default() };
    let newton = GradientRegularizedNewton::default();
    let solve = || {
        // From the raw data on, as the peer's `fit`.
        let problem = Logistic::new(&x, &y, 1.0 / ROWS as f64).ok()?;
        let start = Array::zeros(&[problem.dim()], DType::F64);
        descend(&problem, &start, &newton, &Metric::identity(), &stopping).ok()
    };
    solve().filter(|best| best.status == Status::ConvergedGradient)?;
    Some(median(repetitions, || {
        solve();
    }))
}

fn main() {
    lisse_benches::run_case("gns", time);
}
