//! Logistic regression with two classes: learning ridge weights, and cleaning data.

use super::{Examples, LossSum, each_row, logistic, sigmoid};
use crate::bilevel::vector::{axpy, dot, scale};
use crate::bilevel::{Batch, Bilevel, BilevelError, Gradient, LowerProducts, Set, Wrt};

/// Mean logistic loss of a batch and its gradient in `y`.
fn upper(data: &Examples, y: &[f64], batch: &Batch) -> (f64, Vec<f64>) {
    let (mut losses, mut gradient) = (LossSum::new(), vec![0.0; y.len()]);
    let count = each_row(batch, data.len(), |i| {
        let (row, label) = (data.row(i), data.labels[i]);
        let slope = losses.add(label * dot(row, y));
        axpy(&mut gradient, -label * slope, row);
    });
    let share = 1.0 / count as f64;
    scale(&mut gradient, share);
    (losses.value() * share, gradient)
}

/// Ridge weights of logistic regression, one for each feature: `x` are their logarithms,
///
/// ```text
/// f(y) = mean over validation of ln(1 + e^{-b a.y})      g(x, y) = mean over training of the same + 1/2 sum_j e^{x_j} y_j^2
/// ```
#[derive(Clone, Debug)]
pub struct RidgeLogistic {
    train: Examples,
    validation: Examples,
}

impl RidgeLogistic {
    /// From labels -1 and 1.
    ///
    /// # Errors
    /// Other labels, different widths.
    pub fn new(train: Examples, validation: Examples) -> Result<RidgeLogistic, BilevelError> {
        check_pair(&train, &validation)?;
        Ok(RidgeLogistic { train, validation })
    }
}

fn check_pair(train: &Examples, validation: &Examples) -> Result<(), BilevelError> {
    train.check_binary()?;
    validation.check_binary()?;
    if train.width == validation.width {
        return Ok(());
    }
    let what = "a row of the validation data";
    Err(BilevelError::Length { what, found: validation.width, expected: train.width })
}

impl Bilevel for RidgeLogistic {
    fn dims(&self) -> (usize, usize) {
        (self.train.width, self.train.width)
    }

    fn examples(&self) -> (usize, usize) {
        (self.validation.len(), self.train.len())
    }

    fn upper(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        let (value, slope) = upper(&self.validation, y, batch);
        let gx = if wrt.x() { vec![0.0; x.len()] } else { Vec::new() };
        Gradient { value, x: gx, y: if wrt.y() { slope } else { Vec::new() } }
    }

    fn lower(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        let mut gx = Vec::new();
        let mut penalty = 0.0;
        let weights: Vec<f64> = x.iter().map(|x| x.exp()).collect();
        for (w, y) in weights.iter().zip(y) {
            penalty += 0.5 * w * y * y;
            if wrt.x() {
                gx.push(0.5 * w * y * y);
            }
        }
        let (value, mut slope) = upper(&self.train, y, batch);
        for ((s, w), y) in slope.iter_mut().zip(&weights).zip(y) {
            *s += w * y;
        }
        Gradient { value: value + penalty, x: gx, y: if wrt.y() { slope } else { Vec::new() } }
    }

    fn hessian_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        self.lower_products(x, y, v, batch).hessian
    }

    fn cross_product(&self, x: &[f64], y: &[f64], v: &[f64], _: &Batch) -> Vec<f64> {
        x.iter().zip(y.iter().zip(v)).map(|(x, (y, v))| x.exp() * y * v).collect()
    }

    fn lower_products(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> LowerProducts {
        let mut out = LowerProducts {
            value: 0.0,
            gradient: vec![0.0; y.len()],
            hessian: vec![0.0; y.len()],
            cross: vec![0.0; y.len()],
        };
        let data = &self.train;
        let mut losses = LossSum::new();
        let count = each_row(batch, data.len(), |i| {
            let (row, label) = (data.row(i), data.labels[i]);
            let (ay, av) = two_dots(row, y, v);
            let slope = losses.add(label * ay);
            let bend = slope * (1.0 - slope) * av;
            two_axpys(&mut out.gradient, -label * slope, &mut out.hessian, bend, row);
        });
        let share = 1.0 / count as f64;
        out.value = losses.value() * share;
        for j in 0..y.len() {
            let weight = x[j].exp();
            out.value += 0.5 * weight * y[j] * y[j];
            out.gradient[j] = out.gradient[j] * share + weight * y[j];
            out.hessian[j] = out.hessian[j] * share + weight * v[j];
            out.cross[j] = weight * y[j] * v[j];
        }
        out
    }
}

/// `row . a` and `row . b` in one pass.
pub(super) fn two_dots(row: &[f64], a: &[f64], b: &[f64]) -> (f64, f64) {
    let (mut first, mut second) = ([0.0; 4], [0.0; 4]);
    let (rows, lefts, rights) = (row.chunks_exact(4), a.chunks_exact(4), b.chunks_exact(4));
    let (mut p, mut q) = (0.0, 0.0);
    for ((r, a), b) in rows.remainder().iter().zip(lefts.remainder()).zip(rights.remainder()) {
        p += r * a;
        q += r * b;
    }
    for ((r, a), b) in rows.zip(lefts).zip(rights) {
        for j in 0..4 {
            first[j] += r[j] * a[j];
            second[j] += r[j] * b[j];
        }
    }
    let sum = |s: [f64; 4]| (s[0] + s[1]) + (s[2] + s[3]);
    (sum(first) + p, sum(second) + q)
}

/// `a += s row; b += t row`
fn two_axpys(a: &mut [f64], s: f64, b: &mut [f64], t: f64, row: &[f64]) {
    for ((a, b), r) in a.iter_mut().zip(b).zip(row) {
        *a += s * r;
        *b += t * r;
    }
}

/// Cleaning data by weights: `x_i` is the logit of the weight of training example `i`,
///
/// ```text
/// f(y) = mean over validation of ln(1 + e^{-b a.y})      g(x, y) = mean_i sigmoid(x_i) ln(1 + e^{-b_i a_i.y}) + ridge/2 |y|^2
/// ```
///
/// with `y` in a set, for example a ball. Without ridge the lower problem is not strongly convex.
#[derive(Clone, Debug)]
pub struct BinaryCleaning {
    train: Examples,
    validation: Examples,
    ridge: f64,
    sets: (Set, Set),
}

impl BinaryCleaning {
    /// From labels -1 and 1.
    ///
    /// # Errors
    /// Other labels, different widths, a negative ridge, an empty set.
    pub fn new(
        train: Examples,
        validation: Examples,
        ridge: f64,
        logits: Set,
        weights: Set,
    ) -> Result<BinaryCleaning, BilevelError> {
        check_pair(&train, &validation)?;
        if !(ridge >= 0.0 && ridge.is_finite()) {
            let expected = "a number of at least 0";
            return Err(BilevelError::Number { what: "the ridge", value: ridge, expected });
        }
        logits.check("the set of the logits", train.len())?;
        weights.check("the set of the weights", train.width)?;
        Ok(BinaryCleaning { train, validation, ridge, sets: (logits, weights) })
    }
}

impl Bilevel for BinaryCleaning {
    fn dims(&self) -> (usize, usize) {
        (self.train.len(), self.train.width)
    }

    fn examples(&self) -> (usize, usize) {
        (self.validation.len(), self.train.len())
    }

    fn upper(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        let (value, slope) = upper(&self.validation, y, batch);
        let gx = if wrt.x() { vec![0.0; x.len()] } else { Vec::new() };
        Gradient { value, x: gx, y: if wrt.y() { slope } else { Vec::new() } }
    }

    fn lower(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        let data = &self.train;
        let mut out = Gradient {
            value: 0.0,
            x: if wrt.x() { vec![0.0; x.len()] } else { Vec::new() },
            y: if wrt.y() { vec![0.0; y.len()] } else { Vec::new() },
        };
        let count = each_row(batch, data.len(), |i| {
            let (row, label, weight) = (data.row(i), data.labels[i], sigmoid(x[i]));
            let (loss, slope) = logistic(label * dot(row, y));
            out.value += weight * loss;
            if wrt.x() {
                out.x[i] += weight * (1.0 - weight) * loss;
            }
            if wrt.y() {
                axpy(&mut out.y, -label * weight * slope, row);
            }
        });
        let share = 1.0 / count as f64;
        out.value = out.value * share + 0.5 * self.ridge * dot(y, y);
        scale(&mut out.x, share);
        for (g, y) in out.y.iter_mut().zip(y) {
            *g = *g * share + self.ridge * y;
        }
        out
    }

    fn hessian_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        self.lower_products(x, y, v, batch).hessian
    }

    fn cross_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        self.lower_products(x, y, v, batch).cross
    }

    fn lower_products(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> LowerProducts {
        let data = &self.train;
        let mut out = LowerProducts {
            value: 0.0,
            gradient: vec![0.0; y.len()],
            hessian: vec![0.0; y.len()],
            cross: vec![0.0; x.len()],
        };
        let count = each_row(batch, data.len(), |i| {
            let (row, label, weight) = (data.row(i), data.labels[i], sigmoid(x[i]));
            let (ay, av) = two_dots(row, y, v);
            let (loss, slope) = logistic(label * ay);
            out.value += weight * loss;
            let bend = weight * slope * (1.0 - slope) * av;
            two_axpys(&mut out.gradient, -label * weight * slope, &mut out.hessian, bend, row);
            out.cross[i] -= weight * (1.0 - weight) * label * slope * av;
        });
        let share = 1.0 / count as f64;
        out.value = out.value * share + 0.5 * self.ridge * dot(y, y);
        for j in 0..y.len() {
            out.gradient[j] = out.gradient[j] * share + self.ridge * y[j];
            out.hessian[j] = out.hessian[j] * share + self.ridge * v[j];
        }
        scale(&mut out.cross, share);
        out
    }

    fn set_x(&self) -> &Set {
        &self.sets.0
    }

    fn set_y(&self) -> &Set {
        &self.sets.1
    }
}
