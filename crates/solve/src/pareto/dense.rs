//! Small dense linear algebra on flat slices.

/// `sum a_i b_i`
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Euclidean length.
pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// The solution of `A x = b` for a row-major `A`, by elimination with row exchanges; `None` where a pivot vanishes against the
/// largest entry.
pub(crate) fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    let scale = a.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| a[i * n + k].abs().total_cmp(&a[j * n + k].abs()))?;
        if a[pivot * n + k].abs().partial_cmp(&(1e-15 * scale))? != std::cmp::Ordering::Greater {
            return None;
        }
        if pivot != k {
            for j in k..n {
                a.swap(k * n + j, pivot * n + j);
            }
            b.swap(k, pivot);
        }
        let (above, below) = a.split_at_mut((k + 1) * n);
        let row = &above[k * n + k..];
        for i in 0..n - k - 1 {
            let target = &mut below[i * n + k..(i + 1) * n];
            let factor = target[0] / row[0];
            if factor != 0.0 {
                target.iter_mut().zip(row).for_each(|(t, r)| *t -= factor * r);
                b[k + 1 + i] -= factor * b[k];
            }
        }
    }
    for k in (0..n).rev() {
        let rest = dot(&a[k * n + k + 1..(k + 1) * n], &b[k + 1..]);
        b[k] = (b[k] - rest) / a[k * n + k];
    }
    Some(b)
}

/// `x + t v`
pub(crate) fn along(x: &[f64], t: f64, v: &[f64]) -> Vec<f64> {
    x.iter().zip(v).map(|(x, v)| x + t * v).collect()
}
