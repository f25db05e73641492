//! Dense products on plain slices, row-major.

/// `A x` for `A` of `n = x.len()` columns.
pub(crate) fn product(a: &[f64], x: &[f64]) -> Vec<f64> {
    if x.is_empty() {
        return Vec::new();
    }
    a.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

/// `A' y` for `A` of `y.len()` rows and `n` columns.
pub(crate) fn transposed(a: &[f64], y: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n];
    if n > 0 {
        for (row, &y) in a.chunks_exact(n).zip(y).filter(|(_, y)| **y != 0.0) {
            add_scaled(&mut out, y, row);
        }
    }
    out
}

/// `out += factor v`
pub(crate) fn add_scaled(out: &mut [f64], factor: f64, v: &[f64]) {
    for (o, v) in out.iter_mut().zip(v) {
        *o += factor * v;
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Largest absolute value.
pub(crate) fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |l: f64, x| if x.is_nan() { f64::NAN } else { l.max(x.abs()) })
}

/// Euclidean norm.
pub(crate) fn norm(v: &[f64]) -> f64 {
    dot(v, v).sqrt()
}

/// Of rows offered in the order `candidates`, those that are independent of the ones before them: modified Gram-Schmidt, twice.
pub(crate) fn independent_rows(a: &[f64], n: usize, candidates: &[usize]) -> Vec<usize> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let mut chosen = Vec::new();
    for &i in candidates {
        if basis.len() == n {
            break;
        }
        let mut row = a[i * n..(i + 1) * n].to_vec();
        let size = norm(&row);
        for _ in 0..2 {
            for b in &basis {
                let along = dot(b, &row);
                add_scaled(&mut row, -along, b);
            }
        }
        let rest = norm(&row);
        if rest > 1e-10 * size {
            for x in &mut row {
                *x /= rest;
            }
            basis.push(row);
            chosen.push(i);
        }
    }
    chosen
}
