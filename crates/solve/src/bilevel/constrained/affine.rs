//! `{v : A v = b}`.

use lisse_array::Array;

use super::JointSet;
use crate::bilevel::vector::{axpy, check_finite, dot, norm};
use crate::bilevel::{BilevelError, Oracle};

/// Pairs `(x, y)` with `A (x, y) = b`: the projection is `v - A^T (A A^T)^+ (A v - b)`, factored once. Ignores `X` and `Y`.
#[derive(Clone, Debug)]
pub struct AffineSet {
    rows: Array,
    right: Array,
    /// `(A A^T)^+`
    gram: Array,
}

impl AffineSet {
    /// From the matrix `[m, dx + dy]` row by row and the right-hand side `[m]`.
    ///
    /// # Errors
    /// Lengths that do not fit, NaN; rows that contradict each other, with the combination that proves it.
    pub fn new(rows: Vec<f64>, right: Vec<f64>) -> Result<AffineSet, BilevelError> {
        let m = right.len();
        if m == 0 || !rows.len().is_multiple_of(m) || rows.is_empty() {
            let (what, found) = ("the matrix of the affine set", rows.len());
            return Err(BilevelError::Length { what, found, expected: m.max(1) });
        }
        check_finite("the matrix of the affine set", &rows, "")?;
        check_finite("the right-hand side of the affine set", &right, "")?;
        let n = rows.len() / m;
        let (a, b) = (Array::from_vec(rows, &[m, n]), Array::from_vec(right, &[m]));
        let failed = |e: lisse_array::linalg::LinalgError| BilevelError::Unsupported {
            method: "the affine set",
            reason: e.to_string(),
        };
        let gram = a.matmul(&a.t()).pinv(Some(1e-12)).map_err(failed)?;
        // What of b lies outside the range of A proves that there is no solution: r^T A = 0, r^T b = |r|^2.
        let point = a.t().matmul(&gram.matmul(&b));
        let left = (&b - a.matmul(&point)).to_vec::<f64>();
        let scale = norm(&b.to_vec::<f64>());
        if norm(&left) > 1e-9 * scale {
            let gap = dot(&left, &left);
            return Err(BilevelError::Infeasible { certificate: left, gap });
        }
        Ok(AffineSet { rows: a, right: b, gram })
    }
}

impl JointSet for AffineSet {
    fn project(
        &self,
        x: &mut [f64],
        y: &mut [f64],
        oracle: &mut Oracle<'_>,
    ) -> Result<usize, BilevelError> {
        let (split, width) = (x.len(), self.rows.dim(1));
        if split + y.len() != width {
            let what = "x and y together";
            return Err(BilevelError::Length { what, found: split + y.len(), expected: width });
        }
        oracle.counts.projections += 1;
        let mut v = x.to_vec();
        v.extend_from_slice(y);
        let point = Array::from_slice(&v, &[width]);
        let left = self.rows.matmul(&point) - &self.right;
        let shift = self.rows.t().matmul(&self.gram.matmul(&left)).to_vec::<f64>();
        axpy(&mut v, -1.0, &shift);
        x.copy_from_slice(&v[..split]);
        y.copy_from_slice(&v[split..]);
        Ok(1)
    }
}
