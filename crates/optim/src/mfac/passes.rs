//! The two passes over a window of gradients: `G x` and `G'w`.
//!
//! A row is an array of its own, so that replacing one costs nothing. Both passes go over columns in spans that stay in the
//! second-level cache, so that each gradient is read from memory once and nothing else is; sums within a span are of the rows' dtype, over
//! spans of f64.

use lisse_array::{Array, Device};
use rayon::prelude::*;

/// Columns per span. Fixed, so that sums do not depend on the number of threads.
const SPAN: usize = 1 << 16;

/// Starts and lengths of the spans.
fn spans(x: &Array) -> Vec<(usize, usize)> {
    let len = x.dim(0);
    if x.device() != Device::Cpu {
        return vec![(0, len)];
    }
    (0..len).step_by(SPAN).map(|start| (start, SPAN.min(len - start))).collect()
}

/// `G x` for rows and `x` of shape `[d]`.
pub(super) fn products(rows: &[Array], x: &Array) -> Vec<f64> {
    let of_span = |&(start, len): &(usize, usize)| {
        let x = x.narrow(0, start, len);
        let products: Vec<Array> =
            rows.iter().map(|row| row.narrow(0, start, len).matmul(&x).reshape(&[1])).collect();
        Array::cat(&products.iter().collect::<Vec<_>>(), 0).to_f64_vec()
    };
    let mut sums = vec![0.0; rows.len()];
    if rows.is_empty() {
        return sums;
    }
    let parts: Vec<Vec<f64>> = spans(x).par_iter().map(of_span).collect();
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// `G'w`; `None` without rows.
pub(super) fn combination(rows: &[Array], weights: &[f64]) -> Option<Array> {
    let (first, others) = rows.split_first()?;
    let of_span = |&(start, len): &(usize, usize)| {
        let part = |row: &Array| row.narrow(0, start, len);
        let scaled = part(first) * weights[0];
        others
            .iter()
            .zip(&weights[1..])
            .fold(scaled, |sum, (row, &w)| sum.add_scaled(w, &part(row)))
    };
    let mut parts: Vec<Array> = spans(first).par_iter().map(of_span).collect();
    if parts.len() == 1 {
        return parts.pop();
    }
    Some(Array::cat(&parts.iter().collect::<Vec<_>>(), 0))
}
