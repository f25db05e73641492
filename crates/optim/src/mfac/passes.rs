//! The two passes over a window of gradients: `G x` and `G'w`.
//!
//! A row is an array of its own, so that replacing one costs nothing. Both passes go over columns in strips that stay in the
//! first-level cache, so that each gradient is read from memory once and nothing else is.

use lisse_array::{Array, fused};

/// `G x` for rows and `x` of shape `[d]`.
pub(super) fn products(rows: &[Array], x: &Array) -> Vec<f64> {
    fused::products(rows, x)
}

/// `G'w`; `None` without rows.
pub(super) fn combination(rows: &[Array], weights: &[f64]) -> Option<Array> {
    (!rows.is_empty()).then(|| fused::combination(rows, weights))
}
