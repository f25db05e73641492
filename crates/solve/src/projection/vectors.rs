//! Sets of vectors. Each function finds the active constraints on the values and states the closed form that holds on them.

use lisse_array::Array;

use super::slices::{
    self, check_bounds, check_count, check_not_negative, check_positive, keep_largest,
    section_multiplier, simplex_shift,
};
use super::{
    Projected, ProjectionError, by_rows, constant, finite, last_axis, number, shape_error,
};

/// `x >= 0`, for an array of any shape.
pub fn non_negative(x: &Array) -> Projected {
    finite("non_negative", "the point", x)?;
    Ok(x.relu())
}

/// `low <= x <= high`, for an array of any shape and bounds that broadcast with it; bounds may be infinite. Differentiable in the bounds.
pub fn boxed(x: &Array, low: &Array, high: &Array) -> Projected {
    const SET: &str = "boxed";
    finite(SET, "the point", x)?;
    let spread = |argument, bound: &Array| {
        let bound = fit(SET, argument, bound, x)?;
        Ok::<_, ProjectionError>(bound.to_f64_vec())
    };
    check_bounds(SET, &spread("low", low)?, &spread("high", high)?)?;
    Ok(x.maximum(low).minimum(high))
}

/// `bound` expanded to the shape of `x`, if it can be.
fn fit(set: &'static str, argument: &'static str, bound: &Array, x: &Array) -> Projected {
    let (from, to) = (bound.shape(), x.shape());
    let fits = from.len() <= to.len()
        && from.iter().rev().zip(to.iter().rev()).all(|(&a, &b)| a == b || a == 1);
    if bound.dtype() != x.dtype() {
        return Err(ProjectionError::NotF64 { set, argument, found: bound.dtype() });
    }
    if !fits {
        return Err(shape_error(
            set,
            argument,
            format!("a shape that broadcasts to {to:?}"),
            bound,
        ));
    }
    Ok(bound.expand(to))
}

/// 1 where the projection of a row onto the simplex is above 0.
fn support(row: &[f64], total: f64, out: &mut [f64]) {
    let shift = simplex_shift(row, total);
    for (o, &v) in out.iter_mut().zip(row) {
        *o = f64::from(u8::from(v > shift));
    }
}

/// `mask (x - t)` with the `t` that makes each row sum to `total`.
fn shifted(x: &Array, mask: &Array, total: &Array) -> Array {
    let shift = ((x * mask).sum_keep(&[-1]) - total) / mask.sum_keep(&[-1]);
    // Rounding may leave -1e-17 at the border of the support.
    ((x - shift) * mask).relu()
}

/// `x >= 0, sum x = total` along the last axis, row by row. `total` is one number above 0.
///
/// With the support `s` of the result, its Jacobian is `diag(s) - s s' / |s|`.
///
/// ```
/// use lisse_array::Array;
/// let x = Array::from_slice(&[0.9f64, 0.5, 0.3, -0.2], &[4]);
/// let p = lisse_solve::projection::simplex(&x, &Array::scalar(1.0f64))?;
/// assert!((p.sum_all().item() - 1.0).abs() < 1e-15);
/// # Ok::<(), lisse_solve::projection::ProjectionError>(())
/// ```
pub fn simplex(x: &Array, total: &Array) -> Projected {
    const SET: &str = "simplex";
    let n = last_axis(SET, x)?;
    let values = finite(SET, "the point", x)?;
    let size = number(SET, "total", total)?;
    check_positive(SET, "total", size)?;
    let mask = by_rows(x, &values, n, |row, out| support(row, size, out));
    Ok(shifted(x, &mask, &total.reshape(&[])))
}

/// `x >= 0, sum x = total` with at most `k` entries above 0, along the last axis: the `k` largest entries, projected onto the simplex.
/// The set is not convex; of several nearest points this is one.
pub fn sparse_simplex(x: &Array, k: usize, total: &Array) -> Projected {
    const SET: &str = "sparse_simplex";
    let n = last_axis(SET, x)?;
    let values = finite(SET, "the point", x)?;
    let size = number(SET, "total", total)?;
    check_positive(SET, "total", size)?;
    check_count(SET, k, n)?;
    let mask = by_rows(x, &values, n, |row, out| {
        let keep = keep_largest(row, k);
        let kept: Vec<f64> = row.iter().zip(&keep).filter(|(_, k)| **k).map(|(v, _)| *v).collect();
        let shift = simplex_shift(&kept, size);
        for ((o, &v), keep) in out.iter_mut().zip(row).zip(keep) {
            *o = f64::from(u8::from(keep && v > shift));
        }
    });
    Ok(shifted(x, &mask, &total.reshape(&[])))
}

/// `sign(x)` on the support of the projection of `|x|` onto the simplex.
fn signed_support(row: &[f64], radius: f64, out: &mut [f64]) {
    let magnitudes: Vec<f64> = row.iter().map(|v| v.abs()).collect();
    support(&magnitudes, radius, out);
    for (o, v) in out.iter_mut().zip(row) {
        *o = o.copysign(*v);
    }
}

/// `|x|_1 <= radius` along the last axis, row by row.
pub fn l1_ball(x: &Array, radius: &Array) -> Projected {
    const SET: &str = "l1_ball";
    let n = last_axis(SET, x)?;
    let values = finite(SET, "the point", x)?;
    let size = number(SET, "radius", radius)?;
    check_not_negative(SET, "radius", size)?;
    let outside = |row: &[f64]| row.iter().map(|v| v.abs()).sum::<f64>() > size;
    if size == 0.0 {
        return Ok(x.zeros_like());
    }
    let mask = by_rows(x, &values, n, |row, out| {
        if outside(row) { signed_support(row, size, out) } else { out.fill(2.0) }
    });
    // Rows inside are marked by 2: they stay.
    let inside = mask.greater(&mask.full_like(1.5));
    let signs = Array::select(&inside, &mask.zeros_like(), &mask);
    let guard = inside.cast(x.dtype()).max_keep(&[-1]);
    let count = signs.abs().sum_keep(&[-1]) + guard;
    let shift = ((x * &signs).sum_keep(&[-1]) - radius.reshape(&[])) / count;
    let moved = (x - &signs * shift) * signs.abs();
    Ok(Array::select(&inside, x, &moved))
}

/// `|x|_1 = radius` along the last axis: not convex; zeros count as positive.
pub fn l1_sphere(x: &Array, radius: &Array) -> Projected {
    const SET: &str = "l1_sphere";
    let n = last_axis(SET, x)?;
    let values = finite(SET, "the point", x)?;
    let size = number(SET, "radius", radius)?;
    check_positive(SET, "radius", size)?;
    let signs = by_rows(x, &values, n, |row, out| signed_support(row, size, out));
    let shift = ((x * &signs).sum_keep(&[-1]) - radius.reshape(&[])) / signs.abs().sum_keep(&[-1]);
    Ok((x - &signs * shift) * signs.abs())
}

/// 1 for rows (last axis) whose Euclidean norm exceeds `bound`, as an array with a last axis of length 1.
fn norms_above(x: &Array, values: &[f64], n: usize, bound: f64) -> Array {
    let above = values.chunks(n).map(|r| f64::from(u8::from(slices::dot(r, r).sqrt() > bound)));
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("a last axis") = 1;
    constant(x, above.collect(), &shape)
}

/// `|x|_2 <= radius` along the last axis, row by row. Outside, the Jacobian is `(radius / |x|) (I - x x' / |x|^2)`.
pub fn l2_ball(x: &Array, radius: &Array) -> Projected {
    const SET: &str = "l2_ball";
    let n = last_axis(SET, x)?;
    let values = finite(SET, "the point", x)?;
    let size = number(SET, "radius", radius)?;
    check_not_negative(SET, "radius", size)?;
    let outside = norms_above(x, &values, n, size);
    let inside = 1.0 - &outside;
    // The rows inside get norm 1 here, so that none divides by 0.
    let norm = (x.square().sum_keep(&[-1]) * &outside + &inside).sqrt();
    Ok(x * (inside + outside * radius.reshape(&[]) / norm))
}

/// `|x|_2 = radius` along the last axis: not convex.
///
/// # Errors
/// A row of zeros, which is as far from all points of the sphere.
pub fn l2_sphere(x: &Array, radius: &Array) -> Projected {
    const SET: &str = "l2_sphere";
    let n = last_axis(SET, x)?;
    let values = finite(SET, "the point", x)?;
    check_positive(SET, "radius", number(SET, "radius", radius)?)?;
    if values.chunks(n).any(|row| row.iter().all(|v| *v == 0.0)) {
        let reason = "a row is zero, the centre of the sphere";
        return Err(ProjectionError::NotUnique { set: SET, reason });
    }
    Ok(x * (radius.reshape(&[]) / x.square().sum_keep(&[-1]).sqrt()))
}

/// `|x|_inf <= radius`, for an array of any shape.
pub fn linf_ball(x: &Array, radius: &Array) -> Projected {
    const SET: &str = "linf_ball";
    finite(SET, "the point", x)?;
    check_not_negative(SET, "radius", number(SET, "radius", radius)?)?;
    let radius = radius.reshape(&[]);
    Ok(x.minimum(&radius).maximum(&-&radius))
}

/// `(a.x - b) / a.a` with the rows of `x` along the last axis.
fn excess(set: &'static str, x: &Array, a: &Array, b: &Array) -> Projected {
    let n = last_axis(set, x)?;
    finite(set, "the point", x)?;
    number(set, "the offset", b)?;
    let normal = finite(set, "the normal vector", a)?;
    if a.shape() != [n] {
        return Err(shape_error(set, "the normal vector", format!("shape [{n}]"), a));
    }
    if normal.iter().all(|v| *v == 0.0) {
        let expected = "different from the zero vector";
        let argument = "the normal vector";
        return Err(ProjectionError::OutOfRange { set, argument, expected, value: 0.0 });
    }
    Ok(((x * a).sum_keep(&[-1]) - b.reshape(&[])) / a.square().sum_all())
}

/// `a.x = b` for the rows of `x` along the last axis; `a` of shape `[n]`, `b` one number. Differentiable in all three.
pub fn hyperplane(x: &Array, a: &Array, b: &Array) -> Projected {
    Ok(x - excess("hyperplane", x, a, b)? * a)
}

/// `a.x <= b` for the rows of `x` along the last axis. Where active, the Jacobian is `I - a a' / |a|^2`.
pub fn half_space(x: &Array, a: &Array, b: &Array) -> Projected {
    Ok(x - excess("half_space", x, a, b)?.relu() * a)
}

/// `low <= x <= high, w.x = c` for a vector `x`: `clip(x + tau w)` with the `tau` that meets the equation. Bounds may be infinite.
/// Differentiable in all arguments.
///
/// # Errors
/// If `w.x` never equals `c` on the box.
pub fn box_section(x: &Array, low: &Array, high: &Array, w: &Array, c: &Array) -> Projected {
    const SET: &str = "box_section";
    let values = finite(SET, "the point", x)?;
    let n = values.len();
    for (argument, array) in [("the point", x), ("low", low), ("high", high), ("w", w)] {
        if array.shape() != [n] {
            return Err(shape_error(SET, argument, format!("shape [{n}]"), array));
        }
    }
    let (lows, highs) = (low.to_f64_vec(), high.to_f64_vec());
    check_bounds(SET, &lows, &highs)?;
    let weights = finite(SET, "w", w)?;
    let target = number(SET, "c", c)?;
    let tau = section_multiplier(&values, &lows, &highs, &weights, target)?;
    // Where the result lies: at the lower bound, at the upper one, between.
    let place: Vec<i8> = (0..n)
        .map(|i| {
            let p = values[i] + tau * weights[i];
            i8::from(p >= highs[i]) - i8::from(p <= lows[i] && p < highs[i])
        })
        .collect();
    let mask = |at: i8| {
        let here = place.iter().map(|p| f64::from(u8::from(*p == at))).collect();
        constant(x, here, &[n])
    };
    let free = mask(0);
    let held = at_bound(&mask(-1), low) + at_bound(&mask(1), high);
    let square = (&free * w.square()).sum_all();
    if square.item() == 0.0 {
        return Ok(&free * x + held);
    }
    let missing = c.reshape(&[]) - (w * &held).sum_all() - (&free * w * x).sum_all();
    Ok(&free * (x + w * (missing / square)) + held)
}

/// `mask * bound`, without the NaN of `0 * inf`.
fn at_bound(mask: &Array, bound: &Array) -> Array {
    let here = mask.greater(&mask.zeros_like());
    Array::select(&here, bound, &bound.zeros_like())
}
