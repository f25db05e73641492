//! Problems that the method is shown on.

use lisse_array::{Array, DType};
use lisse_nn::losses::cross_entropy;

use crate::bilevel::{Batch, BilevelError, Closures, Rows, Set};

/// Logits of weights beyond this no longer move.
const LOGIT: f64 = 8.0;

/// `g = (y - A x)' S (y - A x) / 2`, `f = sum_i cosh y_i` with `A = [1 0.5; 0 1]`, `S = diag(1, 2)`: the gradient of `f` grows like `f`
/// itself, so there is no Lipschitz constant. `y* = A x`, minimal at 0.
pub fn cosh() -> Closures {
    let lower = |x: &Array, y: &Array, _: &Batch| {
        let residual = y - matrix().matmul(x);
        (residual.square() * Array::from_slice(&[1.0, 2.0], &[2])).sum_all() * 0.5
    };
    Closures::new((2, 2), |_, y, _| y.cosh().sum_all(), lower)
}

fn matrix() -> Array {
    Array::from_slice(&[1.0, 0.5, 0.0, 1.0], &[2, 2])
}

/// `A' sinh(A x)`, the gradient of `f(x, y*(x))` in [`cosh`].
pub fn cosh_gradient(x: &[f64]) -> [f64; 2] {
    let slope = [(x[0] + 0.5 * x[1]).sinh(), x[1].sinh()];
    [slope[0], 0.5 * slope[0] + slope[1]]
}

/// Labelled examples.
#[derive(Clone, Debug)]
pub struct Examples {
    /// f64 `[n, features]`
    pub inputs: Array,
    /// Classes, i64 `[n]`.
    pub labels: Array,
}

impl Examples {
    /// How many.
    pub fn len(&self) -> usize {
        self.inputs.dim(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// With a column of ones, the rest divided by `scale`.
    pub fn new(inputs: &Array, labels: &Array, scale: f64) -> Examples {
        let flat = inputs.reshape(&[inputs.dim(0) as isize, -1]).cast(DType::F64) * (1.0 / scale);
        let ones = Array::ones(&[flat.dim(0), 1], DType::F64);
        Examples { inputs: Array::cat(&[&flat, &ones], 1), labels: labels.cast(DType::I64) }
    }

    /// These rows.
    pub fn rows(&self, rows: &Rows) -> Examples {
        Examples { inputs: pick(&self.inputs, rows), labels: pick(&self.labels, rows) }
    }
}

/// Rows of an array.
pub(crate) fn pick(array: &Array, rows: &Rows) -> Array {
    match rows {
        Rows::All => array.clone(),
        Rows::Block(range) => array.narrow(0, range.start, range.len()),
        Rows::Listed(list) => {
            let list: Vec<i64> = list.iter().map(|&i| i as i64).collect();
            array.index_select(0, &Array::from_slice(&list, &[list.len()]))
        }
    }
}

/// Logits of softmax regression, `y` holding a `[features, classes]` matrix.
fn logits(y: &Array, inputs: &Array) -> Array {
    inputs.matmul(&y.reshape(&[inputs.dim(1) as isize, -1]))
}

/// Mean cross-entropy of softmax regression.
pub fn softmax_loss(y: &Array, examples: &Examples) -> Array {
    cross_entropy(&logits(y, &examples.inputs), &examples.labels)
}

/// Share of examples that softmax regression gets right.
pub fn softmax_accuracy(y: &Array, examples: &Examples) -> f64 {
    let found = logits(y, &examples.inputs).argmax(1);
    found.equal(&examples.labels).cast(DType::F64).mean_all().item()
}

/// `mean_i sigmoid(x_i) CE_i(y) + ridge ||y||^2` over `examples`, which `x` weighs.
pub fn weighted_loss(x: &Array, y: &Array, examples: &Examples, ridge: f64) -> Array {
    let log_p = logits(y, &examples.inputs).log_softmax(1);
    let losses = -log_p.gather(1, &examples.labels.unsqueeze(1)).squeeze(1);
    (losses * x.sigmoid()).mean_all() + y.square().sum_all() * ridge
}

/// Which training examples to trust: `x` holds a logit for each, kept within [-8, 8]; `y` is the softmax regression that they train,
/// with the penalty `ridge ||y||^2`; `f` its mean cross-entropy on clean validation data.
///
/// # Errors
/// No training examples.
pub fn cleaning(
    train: Examples,
    validation: Examples,
    classes: usize,
    ridge: f64,
) -> Result<Closures, BilevelError> {
    let dims = (train.len(), train.inputs.dim(1) * classes);
    let examples = (validation.len(), train.len());
    let upper =
        move |_: &Array, y: &Array, batch: &Batch| softmax_loss(y, &validation.rows(&batch.rows));
    let lower = move |x: &Array, y: &Array, batch: &Batch| {
        weighted_loss(&pick(x, &batch.rows), y, &train.rows(&batch.rows), ridge)
    };
    let closures = Closures::new(dims, upper, lower).over(examples.0, examples.1);
    Ok(closures.within(Set::cube(dims.0, -LOGIT, LOGIT)?, Set::Whole))
}

/// How much to regularize: `x` holds the logarithm of a ridge weight for each feature, `g = CE + sum_i exp(x_i) ||y_i||^2 / 2` on
/// training data, `f` the cross-entropy on validation data. The exponential keeps weights positive.
pub fn ridge_weights(train: Examples, validation: Examples, classes: usize) -> Closures {
    let features = train.inputs.dim(1);
    let examples = (validation.len(), train.len());
    let upper =
        move |_: &Array, y: &Array, batch: &Batch| softmax_loss(y, &validation.rows(&batch.rows));
    let lower = move |x: &Array, y: &Array, batch: &Batch| {
        let squares = y.square().reshape(&[features as isize, -1]).sum(&[1]);
        softmax_loss(y, &train.rows(&batch.rows)) + (squares * x.exp()).sum_all() * 0.5
    };
    Closures::new((features, features * classes), upper, lower).over(examples.0, examples.1)
}
