//! The second-order cone and the cone of positive semidefinite matrices.

use lisse_array::{Array, custom_vjp};

use super::slices::dot;
use super::{Projected, ProjectionError, constant, finite, last_axis, shape_error};

/// `|x|_2 <= t` for vectors `(t, x)` along the last axis, row by row.
pub fn second_order_cone(z: &Array) -> Projected {
    const SET: &str = "second_order_cone";
    let n = last_axis(SET, z)?;
    let values = finite(SET, "the point", z)?;
    let mut shape = z.shape().to_vec();
    *shape.last_mut().expect("a last axis") = 1;
    let cases = |wanted: fn(f64, f64) -> bool| {
        let mark = |row: &[f64]| {
            let norm = dot(&row[1..], &row[1..]).sqrt();
            f64::from(u8::from(wanted(row[0], norm)))
        };
        constant(z, values.chunks(n).map(mark).collect(), &shape)
    };
    let inside = cases(|t, norm| norm <= t);
    let outside = cases(|t, norm| norm > t && norm > -t);
    let (t, x) = (z.narrow(-1, 0, 1), z.narrow(-1, 1, n - 1));
    // Rows that are not projected get norm 1 here, so that none divides by 0.
    let norm = (x.square().sum_keep(&[-1]) * &outside + (1.0 - &outside)).sqrt();
    let height = (&t + &norm) * 0.5 * &outside;
    let moved = Array::cat(&[&height, &(&x * (&height / &norm))], -1);
    Ok(z * inside + moved)
}

/// The nearest symmetric matrix without negative eigenvalues, for square matrices `[..., n, n]`; the symmetric part of `x` is what counts.
///
/// With the eigenvalues of `x` apart from 0 this is smooth, whether they repeat or not: `(X + |X|) / 2` with `H = |X|`, whose derivative
/// solves the Lyapunov equation `H dH + dH H = X dX + dX X`. Only sums of absolute eigenvalues are divided by, never gaps.
pub fn positive_semidefinite(x: &Array) -> Projected {
    const SET: &str = "positive_semidefinite";
    finite(SET, "the point", x)?;
    if x.rank() < 2 || x.dim(-1) != x.dim(-2) || x.is_empty() {
        return Err(shape_error(SET, "the point", "square matrices in its last two axes", x));
    }
    let symmetric = (x + x.t()) * 0.5;
    // Refused here rather than in the unrecorded forward pass, which cannot return an error.
    symmetric
        .stop_gradient()
        .eigh()
        .map_err(|source| ProjectionError::Linalg { set: SET, source })?;
    Ok((&symmetric + absolute(&symmetric)) * 0.5)
}

/// `|X| = V |w| V'` of symmetric matrices that [`Array::eigh`] can decompose.
fn absolute(x: &Array) -> Array {
    custom_vjp(
        x,
        |x| {
            let (w, v) = x.eigh().unwrap_or_else(|_| nowhere(x));
            ((&v * w.abs().unsqueeze(-2)).matmul(&v.t()), ())
        },
        |x, h, (), ct| {
            let w = lyapunov(h, &((ct + ct.t()) * 0.5));
            let product = x.matmul(&w);
            &product + product.t()
        },
    )
}

/// NaN, where a decomposition failed that succeeded before.
fn nowhere(x: &Array) -> (Array, Array) {
    (x.index(-1, 0).full_like(f64::NAN), x.full_like(f64::NAN))
}

/// The symmetric `Y` with `H Y + Y H = C`, for positive semidefinite `H` and symmetric `C`; 0 on the null space of `H`, where the equation
/// says nothing.
fn lyapunov(h: &Array, c: &Array) -> Array {
    custom_vjp(
        &(h.clone(), c.clone()),
        |(h, c)| {
            let (w, v) = ((h + h.t()) * 0.5).eigh().unwrap_or_else(|_| nowhere(h));
            let sums = w.unsqueeze(-1) + w.unsqueeze(-2);
            let floor = w.abs().max_keep(&[-1]).unsqueeze(-1) * 1e-14 + f64::MIN_POSITIVE;
            let solvable = sums.greater(&floor.expand(sums.shape()));
            let safe = Array::select(&solvable, &sums, &sums.ones_like());
            let inner = v.t().matmul(c).matmul(&v) / safe;
            let inner = Array::select(&solvable, &inner, &inner.zeros_like());
            (v.matmul(&inner).matmul(&v.t()), ())
        },
        |(h, _), y, (), ct| {
            let w = lyapunov(h, &((ct + ct.t()) * 0.5));
            let product = w.matmul(y);
            (-(&product + product.t()), w)
        },
    )
}
