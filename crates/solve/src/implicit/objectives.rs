//! Objectives of the problems that are most often differentiated, written in array operations.
//!
//! Averages over examples carry `1 / n`; penalties are parameters, so that they can be differentiated. Smooth parts of
//! composite problems come without their nonsmooth penalty, which belongs to the proximal operator.

use lisse_array::Array;

/// `|X w - y|^2 / (2 n)`
pub fn least_squares(w: &Array, inputs: &Array, targets: &Array) -> Array {
    (inputs.matmul(w) - targets).square().sum_all() * (0.5 / inputs.dim(0) as f64)
}

/// `|X w - y|^2 / (2 n) + penalty |w|^2 / 2`
pub fn ridge(w: &Array, inputs: &Array, targets: &Array, penalty: &Array) -> Array {
    least_squares(w, inputs, targets) + (w.square() * penalty).sum_all() * 0.5
}

/// The whole lasso objective `|X w - y|^2 / (2 n) + penalty |w|_1`; its smooth part is [`least_squares`].
pub fn lasso(w: &Array, inputs: &Array, targets: &Array, penalty: &Array) -> Array {
    least_squares(w, inputs, targets) + (w.abs() * penalty).sum_all()
}

/// Mean Huber loss of the residuals: quadratic within `delta`, linear beyond.
pub fn huber(w: &Array, inputs: &Array, targets: &Array, delta: f64) -> Array {
    let r = inputs.matmul(w) - targets;
    // With c = r clipped: c r - c^2 / 2, whose derivatives hold at r = 0 too.
    let clipped = r.clamp(-delta, delta);
    (&clipped * (r - &clipped * 0.5)).sum_all() * (1.0 / inputs.dim(0) as f64)
}

/// Mean logistic loss with labels -1 and 1, plus `penalty |w|^2 / 2`. With an `intercept`, which is not penalised.
pub fn logistic(
    w: &Array,
    intercept: Option<&Array>,
    inputs: &Array,
    labels: &Array,
    penalty: &Array,
) -> Array {
    let mut margins = inputs.matmul(w);
    if let Some(intercept) = intercept {
        margins = margins + intercept;
    }
    let loss = (margins * labels).neg().softplus();
    loss.sum_all() * (1.0 / inputs.dim(0) as f64) + (w.square() * penalty).sum_all() * 0.5
}

/// Mean cross entropy of `softmax(X W + b)` with (possibly soft) targets of shape `[n, classes]`, plus `penalty |W|^2`.
pub fn softmax_regression(
    weights: &Array,
    intercept: Option<&Array>,
    inputs: &Array,
    targets: &Array,
    penalty: &Array,
) -> Array {
    let mut scores = inputs.matmul(weights);
    if let Some(intercept) = intercept {
        scores = scores + intercept;
    }
    let loss = (scores.log_softmax(1) * targets).sum_all() * (-1.0 / inputs.dim(0) as f64);
    loss + (weights.square() * penalty).sum_all()
}

/// The dual of the multiclass linear support vector machine (Crammer and Singer), over `beta` with rows in the simplex:
/// `|X^T (Y - beta)|^2 / (2 penalty) - <beta, 1 - Y>`, for one-hot `Y`. Weights: [`svm_weights`].
pub fn svm_dual(beta: &Array, inputs: &Array, targets: &Array, penalty: &Array) -> Array {
    let product = inputs.t().matmul(&(targets - beta));
    product.square().sum_all() * 0.5 / penalty - (beta * (1.0 - targets)).sum_all()
}

/// `X^T (Y - beta) / penalty`
pub fn svm_weights(beta: &Array, inputs: &Array, targets: &Array, penalty: &Array) -> Array {
    inputs.t().matmul(&(targets - beta)) / penalty
}

/// The smooth part of sparse coding: mean of `|data - codes dictionary|^2 / 2` over rows. Its penalty, an elastic net on the
/// codes, is [`elastic_net`].
pub fn sparse_coding(codes: &Array, data: &Array, dictionary: &Array) -> Array {
    (data - codes.matmul(dictionary)).square().sum_all() * (0.5 / data.dim(0) as f64)
}

/// The proximal operator of `step (l1 |x|_1 + l2 |x|^2 / 2)`.
pub fn elastic_net(x: &Array, l1: &Array, l2: &Array, step: f64) -> Array {
    super::soft_threshold(x, &(l1 * step)) / (l2 * step + 1.0)
}
