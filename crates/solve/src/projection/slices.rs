//! Projections of plain vectors, in place, without derivatives.

use super::ProjectionError;

type Done = Result<(), ProjectionError>;

pub(crate) fn check_finite(set: &'static str, argument: &'static str, v: &[f64]) -> Done {
    // A sum is finite unless an element is not, or it overflows: then look at each.
    if v.iter().sum::<f64>().is_finite() {
        return Ok(());
    }
    match v.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(ProjectionError::NotFinite { set, argument, index, value: v[index] }),
        None => Ok(()),
    }
}

pub(crate) fn check_length(
    set: &'static str,
    argument: &'static str,
    found: usize,
    expected: usize,
) -> Done {
    if found == expected {
        return Ok(());
    }
    let expected = format!("{expected} elements, as the point");
    Err(ProjectionError::Shape { set, argument, expected, found: vec![found] })
}

pub(crate) fn check_positive(set: &'static str, argument: &'static str, value: f64) -> Done {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(ProjectionError::OutOfRange { set, argument, expected: "a finite number above 0", value })
}

pub(crate) fn check_not_negative(set: &'static str, argument: &'static str, value: f64) -> Done {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    let expected = "a finite number of at least 0";
    Err(ProjectionError::OutOfRange { set, argument, expected, value })
}

fn check_some(set: &'static str, v: &[f64]) -> Done {
    if v.is_empty() {
        let expected = "at least one element".into();
        return Err(ProjectionError::Shape {
            set,
            argument: "the point",
            expected,
            found: vec![0],
        });
    }
    check_finite(set, "the point", v)
}

/// Bounds may be infinite, but not NaN and not the wrong way round.
pub(crate) fn check_bounds(set: &'static str, low: &[f64], high: &[f64]) -> Done {
    match low.iter().zip(high).position(|(l, h)| l.is_nan() || h.is_nan() || l > h) {
        None => Ok(()),
        Some(i) => Err(ProjectionError::Empty {
            set,
            reason: format!(
                "coordinate {i} has lower bound {} and upper bound {}",
                low[i], high[i]
            ),
        }),
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// `x >= 0`.
pub fn non_negative(v: &mut [f64]) -> Done {
    check_finite("non_negative", "the point", v)?;
    for x in v.iter_mut() {
        *x = x.max(0.0);
    }
    Ok(())
}

/// `low <= x <= high`; bounds may be infinite.
pub fn boxed(v: &mut [f64], low: &[f64], high: &[f64]) -> Done {
    const SET: &str = "boxed";
    check_finite(SET, "the point", v)?;
    check_length(SET, "low", low.len(), v.len())?;
    check_length(SET, "high", high.len(), v.len())?;
    check_bounds(SET, low, high)?;
    for ((x, &l), &h) in v.iter_mut().zip(low).zip(high) {
        *x = x.clamp(l, h);
    }
    Ok(())
}

/// The shift `t` with `sum_i max(v_i - t, 0) = total`, of finite `v` and positive `total`: `O(n log n)` (Held, Wolfe and Crowder, 1974).
pub(crate) fn simplex_shift(v: &[f64], total: f64) -> f64 {
    let mut sorted = v.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut shift) = (0.0, sorted[0] - total);
    for (k, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - total) / (k + 1) as f64;
        if *value <= candidate {
            break;
        }
        shift = candidate;
    }
    shift
}

/// The value from which on the `k` largest elements lie; of equal ones at the border the first count.
pub(crate) fn keep_largest(v: &[f64], k: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..v.len()).collect();
    order.sort_by(|&a, &b| v[b].total_cmp(&v[a]));
    let mut keep = vec![false; v.len()];
    order.iter().take(k).for_each(|&i| keep[i] = true);
    keep
}

/// `x >= 0, sum x = total`.
///
/// ```
/// let mut v = [0.9, 0.5, 0.3, -0.2];
/// lisse_solve::projection::slices::simplex(&mut v, 1.0)?;
/// assert!((v[0] - 2.0 / 3.0).abs() < 1e-15 && v[3] == 0.0);
/// # Ok::<(), lisse_solve::projection::ProjectionError>(())
/// ```
pub fn simplex(v: &mut [f64], total: f64) -> Done {
    check_some("simplex", v)?;
    check_positive("simplex", "total", total)?;
    let shift = simplex_shift(v, total);
    for x in v.iter_mut() {
        *x = (*x - shift).max(0.0);
    }
    Ok(())
}

/// `x >= 0, sum x = total`, at most `k` entries not 0: not convex, so one of the nearest points.
pub fn sparse_simplex(v: &mut [f64], k: usize, total: f64) -> Done {
    const SET: &str = "sparse_simplex";
    check_some(SET, v)?;
    check_positive(SET, "total", total)?;
    check_count(SET, k, v.len())?;
    let keep = keep_largest(v, k);
    let kept: Vec<f64> = v.iter().zip(&keep).filter(|(_, k)| **k).map(|(x, _)| *x).collect();
    let shift = simplex_shift(&kept, total);
    for (x, keep) in v.iter_mut().zip(keep) {
        *x = if keep { (*x - shift).max(0.0) } else { 0.0 };
    }
    Ok(())
}

pub(crate) fn check_count(set: &'static str, k: usize, n: usize) -> Done {
    if (1..=n).contains(&k) {
        return Ok(());
    }
    let expected = "between 1 and the number of elements";
    Err(ProjectionError::OutOfRange { set, argument: "k", expected, value: k as f64 })
}

/// `|x|_1 <= radius`.
pub fn l1_ball(v: &mut [f64], radius: f64) -> Done {
    check_finite("l1_ball", "the point", v)?;
    check_not_negative("l1_ball", "radius", radius)?;
    let magnitudes: Vec<f64> = v.iter().map(|x| x.abs()).collect();
    if magnitudes.iter().sum::<f64>() <= radius {
        return Ok(());
    }
    if radius == 0.0 {
        v.fill(0.0);
        return Ok(());
    }
    let shift = simplex_shift(&magnitudes, radius);
    for (x, magnitude) in v.iter_mut().zip(magnitudes) {
        *x = (magnitude - shift).max(0.0).copysign(*x);
    }
    Ok(())
}

/// `|x|_2 <= radius`.
pub fn l2_ball(v: &mut [f64], radius: f64) -> Done {
    check_finite("l2_ball", "the point", v)?;
    check_not_negative("l2_ball", "radius", radius)?;
    let norm = dot(v, v).sqrt();
    if norm > radius {
        for x in v.iter_mut() {
            *x *= radius / norm;
        }
    }
    Ok(())
}

/// `|x|_inf <= radius`.
pub fn linf_ball(v: &mut [f64], radius: f64) -> Done {
    check_finite("linf_ball", "the point", v)?;
    check_not_negative("linf_ball", "radius", radius)?;
    for x in v.iter_mut() {
        *x = x.clamp(-radius, radius);
    }
    Ok(())
}

/// `(a.x - b) / a.a`, of a normal vector that is not 0.
fn excess(set: &'static str, v: &[f64], a: &[f64], b: f64) -> Result<f64, ProjectionError> {
    check_finite(set, "the point", v)?;
    check_length(set, "the normal vector", a.len(), v.len())?;
    check_finite(set, "the normal vector", a)?;
    check_finite(set, "the offset", &[b])?;
    let square = dot(a, a);
    if square == 0.0 {
        let expected = "different from the zero vector";
        let argument = "the normal vector";
        return Err(ProjectionError::OutOfRange { set, argument, expected, value: 0.0 });
    }
    Ok((dot(a, v) - b) / square)
}

/// `a.x = b`.
pub fn hyperplane(v: &mut [f64], a: &[f64], b: f64) -> Done {
    let t = excess("hyperplane", v, a, b)?;
    v.iter_mut().zip(a).for_each(|(x, a)| *x -= t * a);
    Ok(())
}

/// `a.x <= b`.
pub fn half_space(v: &mut [f64], a: &[f64], b: f64) -> Done {
    let t = excess("half_space", v, a, b)?.max(0.0);
    v.iter_mut().zip(a).for_each(|(x, a)| *x -= t * a);
    Ok(())
}

/// `|x|_2 <= t` for the vector `(t, x)`.
pub fn second_order_cone(v: &mut [f64]) -> Done {
    check_some("second_order_cone", v)?;
    let (t, norm) = (v[0], dot(&v[1..], &v[1..]).sqrt());
    if norm <= t {
    } else if norm <= -t {
        v.fill(0.0);
    } else {
        let height = 0.5 * (t + norm);
        v[0] = height;
        for x in &mut v[1..] {
            *x *= height / norm;
        }
    }
    Ok(())
}

/// The multiplier `tau` with `w . clip(v + tau w) = c`, by sorting the points where a coordinate reaches a bound: `O(n log n)`.
pub(crate) fn section_multiplier(
    v: &[f64],
    low: &[f64],
    high: &[f64],
    w: &[f64],
    c: f64,
) -> Result<f64, ProjectionError> {
    const SET: &str = "box_section";
    let (mut least, mut most) = (0.0, 0.0);
    for ((&l, &h), &w) in low.iter().zip(high).zip(w).filter(|(_, w)| **w != 0.0) {
        least += (w * l).min(w * h);
        most += (w * l).max(w * h);
    }
    let slack = 1e-12 * (1.0 + c.abs());
    if c < least - slack || c > most + slack {
        let reason = format!("w.x lies between {least} and {most} on the box, never at {c}");
        return Err(ProjectionError::Empty { set: SET, reason });
    }
    let value = |tau: f64| -> f64 {
        let terms = v.iter().zip(low).zip(high).zip(w);
        terms
            .map(|(((v, l), h), w)| if *w == 0.0 { 0.0 } else { w * (v + tau * w).clamp(*l, *h) })
            .sum()
    };
    let mut knots: Vec<f64> = (0..v.len())
        .filter(|&i| w[i] != 0.0)
        .flat_map(|i| [(low[i] - v[i]) / w[i], (high[i] - v[i]) / w[i]])
        .filter(|t| t.is_finite())
        .collect();
    knots.sort_unstable_by(f64::total_cmp);
    // The sum is non-decreasing in tau and linear between knots.
    let after = knots.partition_point(|&t| value(t) < c);
    let slope = |inside: f64| -> f64 {
        let terms = v.iter().zip(low).zip(high).zip(w);
        terms
            .filter(|(((v, l), h), w)| {
                let p = **v + inside * **w;
                p > **l && p < **h
            })
            .map(|(_, w)| w * w)
            .sum()
    };
    Ok(match (after.checked_sub(1).map(|i| knots[i]), knots.get(after).copied()) {
        (None, None) => (c - value(0.0)) / dot(w, w).max(f64::MIN_POSITIVE),
        (Some(left), None) => step_from(left, c - value(left), slope(left + left.abs() + 1.0)),
        (None, Some(right)) => step_from(right, c - value(right), slope(right - right.abs() - 1.0)),
        (Some(left), Some(right)) => {
            let (a, b) = (value(left), value(right));
            if b > a { left + (right - left) * ((c - a) / (b - a)) } else { right }
        }
    })
}

fn step_from(knot: f64, missing: f64, slope: f64) -> f64 {
    if slope > 0.0 { knot + missing / slope } else { knot }
}

/// `low <= x <= high, w.x = c`; bounds may be infinite.
pub fn box_section(v: &mut [f64], low: &[f64], high: &[f64], w: &[f64], c: f64) -> Done {
    const SET: &str = "box_section";
    check_finite(SET, "the point", v)?;
    check_length(SET, "low", low.len(), v.len())?;
    check_length(SET, "high", high.len(), v.len())?;
    check_length(SET, "w", w.len(), v.len())?;
    check_bounds(SET, low, high)?;
    check_finite(SET, "w", w)?;
    check_finite(SET, "c", &[c])?;
    let tau = section_multiplier(v, low, high, w, c)?;
    for (i, x) in v.iter_mut().enumerate() {
        *x = (*x + tau * w[i]).clamp(low[i], high[i]);
    }
    Ok(())
}

/// The blocks of equal value of the nearest non-decreasing sequence, as the place where each begins: pool adjacent violators, `O(n)`.
pub(crate) fn monotone_blocks(v: &[f64]) -> Vec<usize> {
    // Start, sum, length of each block.
    let mut blocks: Vec<(usize, f64, f64)> = Vec::new();
    for (i, &x) in v.iter().enumerate() {
        let mut block = (i, x, 1.0);
        while let Some(&(start, sum, length)) = blocks.last() {
            if sum / length <= block.1 / block.2 {
                break;
            }
            block = (start, sum + block.1, length + block.2);
            blocks.pop();
        }
        blocks.push(block);
    }
    blocks.into_iter().map(|b| b.0).collect()
}

fn average_blocks(v: &mut [f64], starts: &[usize]) {
    for (k, &start) in starts.iter().enumerate() {
        let end = starts.get(k + 1).copied().unwrap_or(v.len());
        let mean = v[start..end].iter().sum::<f64>() / (end - start) as f64;
        v[start..end].fill(mean);
    }
}

/// `x_1 <= x_2 <= ... <= x_n`.
pub fn isotonic(v: &mut [f64]) -> Done {
    check_finite("isotonic", "the point", v)?;
    let starts = monotone_blocks(v);
    average_blocks(v, &starts);
    Ok(())
}

/// The convex hull of all permutations of `w`, by one sort and one isotonic regression (Blondel and others, 2020, arXiv 2002.08871).
pub fn permutahedron(v: &mut [f64], w: &[f64]) -> Done {
    const SET: &str = "permutahedron";
    check_finite(SET, "the point", v)?;
    check_length(SET, "w", w.len(), v.len())?;
    check_finite(SET, "w", w)?;
    let (order, sorted) = ascending(v, w);
    let mut excess: Vec<f64> = order.iter().zip(&sorted).map(|(&i, w)| v[i] - w).collect();
    let starts = monotone_blocks(&excess);
    average_blocks(&mut excess, &starts);
    order.iter().zip(excess).for_each(|(&i, e)| v[i] -= e);
    Ok(())
}

/// The order that sorts `v`, and `w` sorted.
pub(crate) fn ascending(v: &[f64], w: &[f64]) -> (Vec<usize>, Vec<f64>) {
    let mut order: Vec<usize> = (0..v.len()).collect();
    order.sort_by(|&a, &b| v[a].total_cmp(&v[b]));
    let mut sorted = w.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    (order, sorted)
}
