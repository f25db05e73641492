//! Known functions that are only locally Lipschitz, for tests and comparisons.

use serde::{Deserialize, Serialize};

use super::Objectives;

/// Non-smooth functions with known minima.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// `max x_i^2`; 0 at 0
    MaxQ,
    /// `max(-x_1 - x_2, -x_1 - x_2 + |x|^2 - 1)`; `-sqrt 2` at `(1, 1) / sqrt 2`
    Lq,
    /// `max(x_1^4 + x_2^2, (2 - x_1)^2 + (2 - x_2)^2, 2 exp(x_2 - x_1))`; 2 at `(1, 1)`
    Cb3,
    /// `max(x_1^2 + (x_2 - 1)^2 + x_2 - 1, -x_1^2 - (x_2 - 1)^2 + x_2 + 1)`; 0 at 0, not convex
    Crescent,
    /// `-x_1 + 20 max(|x|^2 - 1, 0)`; -1 at `(1, 0)`
    Mifflin1,
    /// `-x_1 + 2 (|x|^2 - 1) + 1.75 ||x|^2 - 1|`; -1 at `(1, 0)`, not convex
    Mifflin2,
    /// `|x_1| + x_2^2 / 2`; 0 at 0
    Ridge,
    /// `((x_1 - 1)^2 + x_2^2) / 2`; 0 at `(1, 0)`, smooth
    Bowl,
}

impl Function {
    /// The minimal value in two dimensions.
    pub fn minimum(self) -> f64 {
        match self {
            Function::Lq => -std::f64::consts::SQRT_2,
            Function::Cb3 => 2.0,
            Function::Mifflin1 | Function::Mifflin2 => -1.0,
            Function::MaxQ | Function::Crescent | Function::Ridge | Function::Bowl => 0.0,
        }
    }

    /// Value and one subgradient. Of several active pieces the first counts; `|x|` has slope 1 at 0.
    pub fn evaluate(self, x: &[f64]) -> (f64, Vec<f64>) {
        if self == Function::MaxQ {
            let largest = (0..x.len()).fold(0, |m, i| if x[i].abs() > x[m].abs() { i } else { m });
            let mut g = vec![0.0; x.len()];
            g[largest] = 2.0 * x[largest];
            return (x[largest] * x[largest], g);
        }
        let (a, b) = (x[0], x[1]);
        let square = a * a + b * b;
        let sign = |v: f64| if v < 0.0 { -1.0 } else { 1.0 };
        match self {
            Function::MaxQ => unreachable!("handled above"),
            Function::Lq => largest(&[
                (-a - b, [-1.0, -1.0]),
                (-a - b + square - 1.0, [2.0 * a - 1.0, 2.0 * b - 1.0]),
            ]),
            Function::Cb3 => {
                let e = 2.0 * (b - a).exp();
                largest(&[
                    (a.powi(4) + b * b, [4.0 * a.powi(3), 2.0 * b]),
                    ((2.0 - a).powi(2) + (2.0 - b).powi(2), [2.0 * (a - 2.0), 2.0 * (b - 2.0)]),
                    (e, [-e, e]),
                ])
            }
            Function::Crescent => {
                let circle = a * a + (b - 1.0).powi(2);
                largest(&[
                    (circle + b - 1.0, [2.0 * a, 2.0 * (b - 1.0) + 1.0]),
                    (-circle + b + 1.0, [-2.0 * a, -2.0 * (b - 1.0) + 1.0]),
                ])
            }
            Function::Mifflin1 => largest(&[
                (-a, [-1.0, 0.0]),
                (-a + 20.0 * (square - 1.0), [40.0 * a - 1.0, 40.0 * b]),
            ]),
            Function::Mifflin2 => {
                let w = square - 1.0;
                let slope = 2.0 + 1.75 * sign(w);
                (-a + 2.0 * w + 1.75 * w.abs(), vec![2.0 * slope * a - 1.0, 2.0 * slope * b])
            }
            Function::Ridge => (a.abs() + 0.5 * b * b, vec![sign(a), b]),
            Function::Bowl => (0.5 * ((a - 1.0).powi(2) + b * b), vec![a - 1.0, b]),
        }
    }
}

fn largest(pieces: &[(f64, [f64; 2])]) -> (f64, Vec<f64>) {
    let best = pieces.iter().skip(1).fold(&pieces[0], |m, p| if p.0 > m.0 { p } else { m });
    (best.0, best.1.to_vec())
}

/// Several of them at once, in two dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Functions(pub Vec<Function>);

impl Objectives for Functions {
    fn dim(&self) -> usize {
        2
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn values(&self, x: &[f64]) -> Vec<f64> {
        self.0.iter().map(|f| f.evaluate(x).0).collect()
    }

    fn subgradients(&self, x: &[f64]) -> Vec<Vec<f64>> {
        self.0.iter().map(|f| f.evaluate(x).1).collect()
    }

    fn value(&self, i: usize, x: &[f64]) -> f64 {
        self.0[i].evaluate(x).0
    }

    fn subgradient(&self, i: usize, x: &[f64]) -> Vec<f64> {
        self.0[i].evaluate(x).1
    }
}
