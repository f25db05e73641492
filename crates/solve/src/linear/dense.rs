//! Dense factors of small operators, and of matrices that are factored once and used many times.

use lisse_array::linalg::{LinalgError, Lu};
use lisse_array::{Array, DType};

use super::solver::{Method, Outcome};
use super::{LinearError, Operator, vector};

/// Condition from which a matrix counts as singular in f64.
const SINGULAR: f64 = 1e15;

/// Not-a-number counts as singular.
fn is_singular(condition: f64) -> bool {
    condition.is_nan() || condition >= SINGULAR
}

/// Factors of a square matrix, to solve with it and its transpose many times.
///
/// ```
/// use lisse_array::Array;
/// use lisse_solve::linear::Factor;
/// let a = Array::from_slice(&[4.0f64, 2.0, 2.0, 10.0], &[2, 2]);
/// let factor = Factor::cholesky(&a)?;
/// let x = factor.solve(&[6.0, 12.0]);
/// assert!((x[0] - 1.0).abs() < 1e-15 && (x[1] - 1.0).abs() < 1e-15);
/// # Ok::<(), lisse_solve::linear::LinearError>(())
/// ```
#[derive(Clone)]
pub struct Factor {
    size: usize,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Lu(Lu),
    /// The lower triangle, row-major.
    Cholesky(Vec<f64>),
}

impl std::fmt::Debug for Factor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Lu(_) => "lu",
            Kind::Cholesky(_) => "cholesky",
        };
        write!(f, "Factor({kind}, {})", self.size)
    }
}

impl Factor {
    /// `P A = L U`, for any regular matrix `[n, n]`. A matrix that is singular to working precision is refused.
    ///
    /// # Errors
    /// [`LinearError::Singular`] with the estimated condition, [`LinearError::NotSquare`], NaN.
    pub fn lu(matrix: &Array) -> Result<Factor, LinearError> {
        let matrix = square("lu", matrix)?;
        let size = matrix.dim(0);
        let singular = |condition| LinearError::Singular { method: "lu", size, condition };
        let lu = match matrix.lu() {
            Ok(lu) => lu,
            Err(LinalgError::Singular { .. }) => return Err(singular(f64::INFINITY)),
            Err(other) => return Err(other.into()),
        };
        let factor = Factor { size, kind: Kind::Lu(lu) };
        let condition = factor.condition(&matrix);
        if is_singular(condition) { Err(singular(condition)) } else { Ok(factor) }
    }

    /// `A = L L^T`, for a symmetric positive definite matrix; only the lower triangle is read.
    ///
    /// # Errors
    /// [`LinearError::NotPositiveDefinite`] with the pivot, [`LinearError::NotSquare`], NaN.
    pub fn cholesky(matrix: &Array) -> Result<Factor, LinearError> {
        let matrix = square("cholesky", matrix)?;
        let size = matrix.dim(0);
        match matrix.cholesky() {
            Ok(l) => Ok(Factor { size, kind: Kind::Cholesky(l.to_vec()) }),
            Err(LinalgError::NotPositiveDefinite { pivot, .. }) => {
                let (method, curvature) = ("cholesky", f64::NAN);
                Err(LinearError::NotPositiveDefinite { method, curvature, iteration: pivot })
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Rows of the matrix.
    pub fn size(&self) -> usize {
        self.size
    }

    /// `A^{-1} b`
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = b.to_vec();
        self.solve_in_place(&mut x, false);
        x
    }

    /// Replaces `x` by `A^{-1} x`, or by `A^{-T} x`.
    pub fn solve_in_place(&self, x: &mut [f64], transposed: bool) {
        assert!(x.len() == self.size, "Factor: {} elements for size {}", x.len(), self.size);
        match &self.kind {
            Kind::Lu(lu) => {
                let b = Array::from_slice(x, &[x.len()]);
                let solved = if transposed { lu.solve_transposed(&b) } else { lu.solve(&b) };
                x.copy_from_slice(&solved.to_vec::<f64>());
            }
            Kind::Cholesky(l) => {
                forward(l, x);
                backward(l, x);
            }
        }
    }

    /// Estimated condition number in the 1-norm (Higham 1988).
    pub fn condition(&self, matrix: &Array) -> f64 {
        let norm = matrix.abs().sum(&[0]).max_all().item();
        norm * self.inverse_norm()
    }

    /// A lower bound on `|A^{-1}|_1`, nearly always within a factor of three (Hager's method).
    fn inverse_norm(&self) -> f64 {
        let n = self.size;
        let mut x = vec![1.0 / n as f64; n];
        let mut best: f64 = 0.0;
        for _ in 0..5 {
            self.solve_in_place(&mut x, false);
            let size: f64 = x.iter().map(|v| v.abs()).sum();
            if !size.is_finite() {
                return f64::INFINITY;
            }
            if size <= best {
                break;
            }
            best = size;
            for v in &mut x {
                *v = if *v < 0.0 { -1.0 } else { 1.0 };
            }
            self.solve_in_place(&mut x, true);
            let largest = (0..n).max_by(|&i, &j| x[i].abs().total_cmp(&x[j].abs())).unwrap_or(0);
            x.fill(0.0);
            x[largest] = 1.0;
        }
        // Alternating signs of growing size catch what the iteration misses.
        let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
        let growth = |i: usize| 1.0 + i as f64 / (n.max(2) - 1) as f64;
        let mut probe: Vec<f64> = (0..n).map(|i| sign(i) * growth(i)).collect();
        self.solve_in_place(&mut probe, false);
        let size = probe.iter().map(|v| v.abs()).sum::<f64>() * 2.0 / (3.0 * n as f64);
        if size.is_finite() { best.max(size) } else { f64::INFINITY }
    }
}

fn square(method: &'static str, matrix: &Array) -> Result<Array, LinearError> {
    if matrix.rank() != 2 || matrix.dim(0) != matrix.dim(1) {
        let at = |i: usize| matrix.shape().get(i).copied().unwrap_or(1);
        return Err(LinearError::NotSquare { method, rows: at(0), columns: at(1) });
    }
    Ok(matrix.stop_gradient().cast(DType::F64))
}

/// `L x = b` in place: dot products with the rows.
fn forward(l: &[f64], x: &mut [f64]) {
    let n = x.len();
    for i in 0..n {
        let row = &l[i * n..i * n + i];
        x[i] = (x[i] - vector::dot(row, &x[..i])) / l[i * n + i];
    }
}

/// `L^T x = b` in place: multiples of the rows, so that the factor is read in order too.
fn backward(l: &[f64], x: &mut [f64]) {
    let n = x.len();
    for i in (0..n).rev() {
        x[i] /= l[i * n + i];
        let (head, tail) = x.split_at_mut(i);
        vector::axpy(-tail[0], &l[i * n..i * n + i], head);
    }
}

/// Columns of a block of [`gram`].
const BLOCK: usize = 128;

/// `X^T X` for `X` of shape `[rows, columns]` in f64, by blocks of one triangle: little more than half of the work of the product.
/// Not recorded.
///
/// # Panics
/// If `x` is not of rank two.
pub fn gram(x: &Array) -> Array {
    assert!(x.rank() == 2, "gram: needs a matrix, got {:?}", x.shape());
    let x = x.stop_gradient().cast(DType::F64);
    let n = x.dim(1);
    if n <= BLOCK {
        return x.t().matmul(&x);
    }
    let mut values = vec![0.0; n * n];
    for i in (0..n).step_by(BLOCK) {
        let height = BLOCK.min(n - i);
        // Row block i against all columns up to its own end.
        let width = i + height;
        let rows = x.narrow(1, i, height).t().matmul(&x.narrow(1, 0, width)).to_vec::<f64>();
        for (r, row) in rows.chunks(width).enumerate() {
            values[(i + r) * n..(i + r) * n + width].copy_from_slice(row);
        }
    }
    mirror(&mut values, n);
    Array::from_vec(values, &[n, n])
}

/// Copies the lower triangle into the upper one, by tiles that fit the cache.
fn mirror(values: &mut [f64], n: usize) {
    const TILE: usize = 32;
    for i in (0..n).step_by(TILE) {
        for j in (0..=i).step_by(TILE) {
            for r in i..(i + TILE).min(n) {
                for c in j..(j + TILE).min(r) {
                    values[c * n + r] = values[r * n + c];
                }
            }
        }
    }
}

/// Solves by making the matrix.
pub(super) fn solve(
    method: Method,
    operator: &Operator<'_>,
    b: &[f64],
) -> Result<Outcome, LinearError> {
    let matrix = operator.to_matrix();
    let n = operator.rows();
    let (factor, name) = match method {
        Method::Cholesky => (Factor::cholesky(&matrix)?, method.name()),
        Method::Qr => return qr(&matrix, b),
        _ => (Factor::lu(&matrix)?, method.name()),
    };
    let condition = factor.condition(&matrix);
    if is_singular(condition) {
        return Err(LinearError::Singular { method: name, size: n, condition });
    }
    let x = if method == Method::Inverse {
        let inverse = matrix.inverse()?;
        inverse.matmul(&Array::from_slice(b, &[n])).to_vec()
    } else {
        factor.solve(b)
    };
    Ok(Outcome { x, iterations: n, condition: Some(condition) })
}

fn qr(matrix: &Array, b: &[f64]) -> Result<Outcome, LinearError> {
    let n = b.len();
    let (q, r) = matrix.qr()?;
    let diagonal = r.diagonal(0, 1).abs();
    let condition = diagonal.max_all().item() / diagonal.min_all().item();
    if is_singular(condition) {
        return Err(LinearError::Singular { method: "qr", size: n, condition });
    }
    let right = q.t().matmul(&Array::from_slice(b, &[n]));
    let x = r.solve_triangular(&right, true)?.to_vec();
    Ok(Outcome { x, iterations: n, condition: Some(condition) })
}
