//! Softmax regression whose training examples have weights.

use lisse_array::Array;

use super::{Examples, each_row, sigmoid};
use crate::bilevel::vector::{dot, scale};
use crate::bilevel::{Batch, Bilevel, BilevelError, Gradient, LowerProducts, Rows, Set, Wrt};

/// Cleaning data with `k` classes: `x_i` is the logit of the weight of training example `i`, `y` the `[d, k]` matrix `W` row by row,
///
/// ```text
/// f(W) = mean over validation of CE(W)      g(x, W) = mean_i sigmoid(x_i) CE_i(W) + ridge |W|^2
/// ```
#[derive(Clone, Debug)]
pub struct SoftmaxCleaning {
    train: (Array, Examples),
    validation: (Array, Examples),
    classes: usize,
    ridge: f64,
    sets: (Set, Set),
}

impl SoftmaxCleaning {
    /// From labels 0 to `classes - 1`.
    ///
    /// # Errors
    /// Other labels, different widths, a negative ridge, an empty set.
    pub fn new(
        train: Examples,
        validation: Examples,
        classes: usize,
        ridge: f64,
        logits: Set,
        weights: Set,
    ) -> Result<SoftmaxCleaning, BilevelError> {
        if train.width != validation.width {
            let what = "a row of the validation data";
            return Err(BilevelError::Length {
                what,
                found: validation.width,
                expected: train.width,
            });
        }
        if !(ridge >= 0.0 && ridge.is_finite()) {
            let expected = "a number of at least 0";
            return Err(BilevelError::Number { what: "the ridge", value: ridge, expected });
        }
        let fits = |l: f64| l >= 0.0 && l < classes as f64 && l.fract() == 0.0;
        let mut labels = train.labels.iter().chain(&validation.labels);
        if let Some(&value) = labels.find(|l| !fits(**l)) {
            let expected = "a class from 0 to below the number of classes";
            return Err(BilevelError::Number { what: "a label", value, expected });
        }
        logits.check("the set of the logits", train.len())?;
        weights.check("the set of the weights", train.width * classes)?;
        let matrix = |e: &Examples| Array::from_slice(&e.inputs, &[e.len(), e.width]);
        Ok(SoftmaxCleaning {
            train: (matrix(&train), train),
            validation: (matrix(&validation), validation),
            classes,
            ridge,
            sets: (logits, weights),
        })
    }

    /// Cross-entropies of a batch and, in place of the logits, residuals `p - onehot`; with a second block of columns (the logits'
    /// change along a direction) also `p o z - p (p . z)`, unweighted.
    fn pass(&self, labels: &[f64], rows: &[usize], scores: &mut [f64], blocks: usize) -> Pass {
        let k = self.classes;
        let (mut losses, mut slopes) = (Vec::with_capacity(rows.len()), Vec::new());
        for (row, &i) in scores.chunks_exact_mut(blocks * k).zip(rows) {
            let (z, along) = row.split_at_mut(k);
            let label = labels[i] as usize;
            let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let own = z[label] - top;
            let mut sum = 0.0;
            for z in z.iter_mut() {
                *z = (*z - top).exp();
                sum += *z;
            }
            losses.push(sum.ln() - own);
            scale(z, 1.0 / sum);
            if blocks == 2 {
                slopes.push(dot(z, along) - along[label]);
                let mean = dot(z, along);
                for (a, p) in along.iter_mut().zip(z.iter()) {
                    *a = p * (*a - mean);
                }
            }
            z[label] -= 1.0;
        }
        Pass { losses, slopes }
    }

    fn weigh(scores: &mut [f64], width: usize, weights: impl Iterator<Item = f64>) {
        for (row, weight) in scores.chunks_exact_mut(width).zip(weights) {
            scale(row, weight);
        }
    }
}

struct Pass {
    losses: Vec<f64>,
    /// `(p - onehot) . z` by row.
    slopes: Vec<f64>,
}

/// The rows of a batch as a matrix (a view where they are neighbours) and as a list.
fn gathered(matrix: &Array, batch: &Batch) -> (Array, Vec<usize>) {
    let n = matrix.dim(0);
    let mut list = Vec::new();
    each_row(batch, n, |i| list.push(i));
    let part = match &batch.rows {
        Rows::All => matrix.clone(),
        Rows::Block(range) => matrix.narrow(0, range.start, range.len()),
        Rows::Listed(rows) => {
            let rows: Vec<i64> = rows.iter().map(|&i| i as i64).collect();
            matrix.index_select(0, &Array::from_slice(&rows, &[rows.len()]))
        }
    };
    (part, list)
}

impl Bilevel for SoftmaxCleaning {
    fn dims(&self) -> (usize, usize) {
        (self.train.1.len(), self.train.1.width * self.classes)
    }

    fn examples(&self) -> (usize, usize) {
        (self.validation.1.len(), self.train.1.len())
    }

    fn upper(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        let (d, k) = (self.train.1.width, self.classes);
        let (part, rows) = gathered(&self.validation.0, batch);
        let mut scores = part.matmul(&Array::from_slice(y, &[d, k])).to_vec::<f64>();
        let pass = self.pass(&self.validation.1.labels, &rows, &mut scores, 1);
        let share = 1.0 / rows.len() as f64;
        let slope = || {
            scale(&mut scores, share);
            part.t().matmul(&Array::from_vec(scores, &[rows.len(), k])).to_vec::<f64>()
        };
        Gradient {
            value: pass.losses.iter().sum::<f64>() * share,
            x: if wrt.x() { vec![0.0; x.len()] } else { Vec::new() },
            y: if wrt.y() { slope() } else { Vec::new() },
        }
    }

    fn lower(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        let (d, k) = (self.train.1.width, self.classes);
        let (part, rows) = gathered(&self.train.0, batch);
        let mut scores = part.matmul(&Array::from_slice(y, &[d, k])).to_vec::<f64>();
        let pass = self.pass(&self.train.1.labels, &rows, &mut scores, 1);
        let share = 1.0 / rows.len() as f64;
        let weights: Vec<f64> = rows.iter().map(|&i| sigmoid(x[i])).collect();
        let mut out =
            Gradient { value: dot(&weights, &pass.losses) * share, ..Gradient::default() };
        out.value += self.ridge * dot(y, y);
        if wrt.x() {
            out.x = vec![0.0; x.len()];
            for ((&i, w), loss) in rows.iter().zip(&weights).zip(&pass.losses) {
                out.x[i] += w * (1.0 - w) * loss * share;
            }
        }
        if wrt.y() {
            Self::weigh(&mut scores, k, weights.iter().map(|w| w * share));
            let scores = Array::from_vec(scores, &[rows.len(), k]);
            out.y = part.t().matmul(&scores).to_vec();
            for (g, y) in out.y.iter_mut().zip(y) {
                *g += 2.0 * self.ridge * y;
            }
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
        let (d, k) = (self.train.1.width, self.classes);
        let (part, rows) = gathered(&self.train.0, batch);
        let mut both = Vec::with_capacity(2 * d * k);
        for (y, v) in y.chunks_exact(k).zip(v.chunks_exact(k)) {
            both.extend_from_slice(y);
            both.extend_from_slice(v);
        }
        let mut scores = part.matmul(&Array::from_vec(both, &[d, 2 * k])).to_vec::<f64>();
        let pass = self.pass(&self.train.1.labels, &rows, &mut scores, 2);
        let share = 1.0 / rows.len() as f64;
        let weights: Vec<f64> = rows.iter().map(|&i| sigmoid(x[i])).collect();
        Self::weigh(&mut scores, 2 * k, weights.iter().map(|w| w * share));
        let image = part.t().matmul(&Array::from_vec(scores, &[rows.len(), 2 * k])).to_vec::<f64>();
        let mut cross = vec![0.0; x.len()];
        for ((&i, w), slope) in rows.iter().zip(&weights).zip(&pass.slopes) {
            cross[i] += w * (1.0 - w) * slope * share;
        }
        let ridge = 2.0 * self.ridge;
        let (mut gradient, mut hessian) = (Vec::with_capacity(d * k), Vec::with_capacity(d * k));
        for (j, row) in image.chunks_exact(2 * k).enumerate() {
            let at = j * k..(j + 1) * k;
            gradient.extend(row[..k].iter().zip(&y[at.clone()]).map(|(g, y)| g + ridge * y));
            hessian.extend(row[k..].iter().zip(&v[at]).map(|(h, v)| h + ridge * v));
        }
        let value = dot(&weights, &pass.losses) * share + self.ridge * dot(y, y);
        LowerProducts { value, gradient, hessian, cross }
    }

    fn set_x(&self) -> &Set {
        &self.sets.0
    }

    fn set_y(&self) -> &Set {
        &self.sets.1
    }
}
