//! Proximal operators `prox_{w g}(x) = argmin_p w g(p) + |p - x|^2 / 2`, with derivatives of any order.
//!
//! | `g(p)` | on arrays | on slices |
//! | --- | --- | --- |
//! | 0 | [`none`] | |
//! | `\|p\|_1` | [`l1`] | [`slices::l1`] |
//! | `\|p\|_1` on `p >= 0` | [`non_negative_l1`] | [`slices::non_negative_l1`] |
//! | `\|p\|_1 + gamma \|p\|_2^2 / 2` | [`elastic_net`] | [`slices::elastic_net`] |
//! | `\|p\|_2^2 / 2` | [`ridge`] | [`slices::ridge`] |
//! | `\|p\|_2^2 / 2` on `p >= 0` | [`non_negative_ridge`] | [`slices::non_negative_ridge`] |
//! | `\|p\|_2` of each row | [`group_lasso`] | [`slices::group_lasso`] |
//! | `\|p\|_inf` of each row | [`linf`] | [`slices::linf`] |
//! | `- sum ln p` | [`log_barrier`] | [`slices::log_barrier`] |
//! | `sum h(p)`, Huber's function | [`huber`] | |
//! | sum of singular values | [`nuclear`] | |
//! | 0 on a convex set | its [projection] | |
//! | `g*`, the convex conjugate | [`conjugate`] | |
//!
//! `weight` is step times strength and broadcasts with `x`; it is a differentiable argument. A solver takes an operator as a closure of the
//! point, the parameters and the step: `|v, theta, step| proximal::l1(v, &(theta * step))`.
//!
//! Weights are programs' own numbers: a negative one or NaN panics with its value, as a shape that does not fit does. Where a weight comes
//! from outside, check it at the door.

pub mod slices;

#[cfg(test)]
mod tests;

use lisse_array::{Array, custom_vjp, vjp};

use crate::projection;

#[track_caller]
fn check_weight(operator: &str, weight: &Array) {
    let values = weight.to_f64_vec();
    if let Some(bad) = values.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
        panic!("{operator}: a weight must be a finite number of at least 0, not {bad}");
    }
}

/// `x`: the operator of `g = 0`.
pub fn none(x: &Array) -> Array {
    x.clone()
}

/// Soft thresholding `sign(x) max(|x| - weight, 0)`: the operator of `weight |p|_1`.
///
/// ```
/// use lisse_array::Array;
/// let x = Array::from_slice(&[3.0f64, -0.5, -2.0], &[3]);
/// let p = lisse_solve::proximal::l1(&x, &Array::scalar(1.0f64));
/// assert_eq!(p.to_vec::<f64>(), [2.0, 0.0, -1.0]);
/// ```
#[track_caller]
pub fn l1(x: &Array, weight: &Array) -> Array {
    check_weight("l1", weight);
    (x - weight).relu() - (-x - weight).relu()
}

/// `max(x - weight, 0)`: the operator of `weight |p|_1` on `p >= 0`.
#[track_caller]
pub fn non_negative_l1(x: &Array, weight: &Array) -> Array {
    check_weight("non_negative_l1", weight);
    (x - weight).relu()
}

/// `soft(x, weight) / (1 + weight gamma)`: the operator of `weight (|p|_1 + gamma |p|_2^2 / 2)`.
#[track_caller]
pub fn elastic_net(x: &Array, weight: &Array, gamma: &Array) -> Array {
    check_weight("elastic_net", gamma);
    l1(x, weight) / (weight * gamma + 1.0)
}

/// `x / (1 + weight)`: the operator of `weight |p|_2^2 / 2` (with the half).
#[track_caller]
pub fn ridge(x: &Array, weight: &Array) -> Array {
    check_weight("ridge", weight);
    x / (weight + 1.0)
}

/// `max(x, 0) / (1 + weight)`: the operator of `weight |p|_2^2 / 2` on `p >= 0`.
#[track_caller]
pub fn non_negative_ridge(x: &Array, weight: &Array) -> Array {
    check_weight("non_negative_ridge", weight);
    x.relu() / (weight + 1.0)
}

/// `x max(1 - weight / |x|, 0)` for each row (last axis): the operator of `weight` times the sum of the rows' Euclidean norms. `weight` is
/// one number, or one per row with a last axis of length 1.
#[track_caller]
pub fn group_lasso(x: &Array, weight: &Array) -> Array {
    check_weight("group_lasso", weight);
    let square = x.square().sum_keep(&[-1]);
    let alive =
        square.sqrt().stop_gradient().greater(&weight.expand(square.shape())).cast(x.dtype());
    // A row that is cut to 0 gets norm 1 here, so that none divides by 0.
    let norm = (square * &alive + (1.0 - &alive)).sqrt();
    x * (alive * (1.0 - weight / norm))
}

/// `x` minus the projection of each row (last axis) onto the l1 ball of radius `weight` (one number): the operator of the largest absolute
/// entry.
#[track_caller]
pub fn linf(x: &Array, weight: &Array) -> Array {
    check_weight("linf", weight);
    match projection::l1_ball(x, weight) {
        Ok(p) => x - p,
        Err(error) => panic!("linf: {error}"),
    }
}

/// `(x + sqrt(x^2 + 4 weight)) / 2`: the operator of `-weight sum ln p`, for a weight above 0. Positive for every `x`.
#[track_caller]
pub fn log_barrier(x: &Array, weight: &Array) -> Array {
    check_weight("log_barrier", weight);
    // For negative x the two terms nearly cancel: 2 w / (sqrt(x^2 + 4 w) - x) is the same number with all its digits.
    let root = (x.square() + weight * 4.0).sqrt();
    let negative = x.stop_gradient().less(&x.zeros_like());
    let other = Array::select(&negative, &(&root - x), &root.ones_like());
    let near = Array::select(&negative, &x.zeros_like(), &((x + &root) * 0.5));
    let far = weight * 2.0 / other;
    Array::select(&negative, &far, &near)
}

/// The operator of `weight` times Huber's function of each entry (`p^2 / 2` up to `delta`, `delta (|p| - delta / 2)` beyond):
/// `x / (1 + weight)` for `|x| <= delta (1 + weight)`, else `x - weight delta sign(x)`.
#[track_caller]
pub fn huber(x: &Array, weight: &Array, delta: f64) -> Array {
    check_weight("huber", weight);
    assert!(delta > 0.0 && delta.is_finite(), "huber: delta must be above 0, not {delta}");
    let border = ((weight + 1.0) * delta).stop_gradient().expand(x.shape());
    let inner = x.abs().stop_gradient().less_equal(&border);
    let outer = x - x.sign() * (weight * delta);
    Array::select(&inner, &(x / (weight + 1.0)), &outer)
}

/// Singular values lowered by `weight` (one number), at most to 0, of matrices `[..., m, n]`: the operator of the nuclear norm.
///
/// The derivative is exact to any order wherever no singular value equals `weight`, also where some repeat or are 0: it is that of two
/// [projections](crate::projection::positive_semidefinite) of the symmetric matrix `[0, X; X', 0]`. A matrix that is not finite gives NaN.
#[track_caller]
pub fn nuclear(x: &Array, weight: &Array) -> Array {
    check_weight("nuclear", weight);
    assert!(
        weight.len() == 1,
        "nuclear: the weight must be one number, not shape {:?}",
        weight.shape()
    );
    custom_vjp(
        &(x.clone(), weight.reshape(&[])),
        |(x, weight)| match x.svd() {
            Ok((u, s, vt)) => ((u * (s - weight).relu().unsqueeze(-2)).matmul(&vt), ()),
            Err(_) => (x.full_like(f64::NAN), ()),
        },
        |p, _, (), ct| vjp(dilated, p).1(ct),
    )
}

/// The nuclear operator through the eigenvalues of `[0, X; X', 0]`, which are plus and minus the singular values.
fn dilated((x, weight): &(Array, Array)) -> Array {
    let (m, n) = (x.dim(-2), x.dim(-1));
    let size = m + n;
    // Blocks placed by constant selections, which broadcast over a batch.
    let place = |rows: usize, offset: usize| {
        let entry = |e: usize| f64::from(u8::from(e / rows == e % rows + offset));
        Array::from_vec::<f64>((0..size * rows).map(entry).collect(), &[size, rows])
    };
    let (top, bottom) = (place(m, 0), place(n, m));
    let corner = top.matmul(x).matmul(&bottom.t());
    let joint = &corner + corner.t();
    let shift = Array::eye(size, x.dtype()) * weight;
    let above = projection::positive_semidefinite(&(&joint - &shift));
    let below = projection::positive_semidefinite(&(-&joint - &shift));
    match (above, below) {
        (Ok(above), Ok(below)) => top.t().matmul(&(above - below)).matmul(&bottom),
        _ => x.full_like(f64::NAN),
    }
}

/// The operator of the convex conjugate, by Moreau's identity: `prox_{w g*}(x) = x - w prox_{g / w}(x / w)`. `operator(v, weight)` is the
/// operator of `weight g`; `weight` must be above 0.
pub fn conjugate(operator: impl Fn(&Array, &Array) -> Array, x: &Array, weight: &Array) -> Array {
    x - weight * operator(&(x / weight), &weight.recip())
}
