//! Elimination: solve, inverse, determinant.

use std::sync::Arc;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::lu::partial_pivoting::{factor, solve};
use faer::perm::Perm;
use faer::{Conj, Mat, MatMut, MatRef, Par};

use super::batch::{Batch, Real, each, gather, solve_each, with_real};
use super::{LinalgError, check_square, constant, with_columns};
use crate::shape::Dims;
use crate::{Array, Element};

/// Square matrices with their factors `P A = L U` (`P` a permutation, `L` unit lower and `U` upper triangular), to solve with
/// several right-hand sides. Made by [`Array::lu`].
///
/// ```
/// use lisse_array::Array;
/// let a = Array::from_slice(&[4.0f64, 1.0, 2.0, 3.0], &[2, 2]);
/// let lu = a.lu()?;
/// let b = Array::from_slice(&[1.0f64, 2.0], &[2]);
/// let x = lu.solve(&b);
/// assert!((a.matmul(&x) - &b).abs().max_all().item() < 1e-15);
/// # Ok::<(), lisse_array::linalg::LinalgError>(())
/// ```
#[derive(Clone)]
pub struct Lu {
    matrix: Array,
    factors: Arc<dyn Factors>,
}

trait Factors: Send + Sync {
    /// Solutions with these matrices or their transposes, unrecorded.
    fn solve(&self, b: &Array, transposed: bool) -> Array;
    /// For each matrix, the sign of the determinant and the logarithm of its size, on the device of `like`.
    fn log_determinants(&self, like: &Array) -> (Array, Array);
    /// The matrix and row of the first zero pivot.
    fn zero_pivot(&self) -> Option<(usize, usize)>;
}

struct Factored<T> {
    lead: Dims,
    matrices: Vec<Factor<T>>,
}

struct Factor<T> {
    /// `L` below the diagonal, `U` on and above it.
    lu: Mat<T>,
    permutation: Perm<usize>,
    transpositions: usize,
}

impl<T: Real> Factor<T> {
    fn new(matrix: MatRef<'_, T>, par: Par) -> Factor<T> {
        let n = matrix.nrows();
        let mut lu = matrix.to_owned();
        let (mut forward, mut inverse) = (vec![0usize; n], vec![0usize; n]);
        let mut memory =
            MemBuffer::new(factor::lu_in_place_scratch::<usize, T>(n, n, par, Default::default()));
        let (info, _) = factor::lu_in_place(
            lu.as_mut(),
            &mut forward,
            &mut inverse,
            par,
            MemStack::new(&mut memory),
            Default::default(),
        );
        let permutation = Perm::new_checked(forward.into(), inverse.into(), n);
        Factor { lu, permutation, transpositions: info.transposition_count }
    }

    fn pivots(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.lu.nrows()).map(|i| Element::to_f64(self.lu[(i, i)]))
    }

    fn solve(&self, x: MatMut<'_, T>, transposed: bool, par: Par) {
        let (n, k) = x.shape();
        let (lu, p) = (self.lu.as_ref(), self.permutation.as_ref());
        // Both directions need the same scratch: a permuted copy of the right-hand side.
        let mut memory = MemBuffer::new(solve::solve_in_place_scratch::<usize, T>(n, k, par));
        let stack = MemStack::new(&mut memory);
        if transposed {
            solve::solve_transpose_in_place_with_conj(lu, lu, p, Conj::No, x, par, stack);
        } else {
            solve::solve_in_place_with_conj(lu, lu, p, Conj::No, x, par, stack);
        }
    }

    /// The first pivot that is zero. Those after it mean nothing, and may be NaN.
    fn zero_pivot(&self) -> Option<usize> {
        self.pivots().position(|p| p == 0.0 || p.is_nan())
    }

    /// Sign of the determinant and logarithm of its size; (0, -inf) for a singular matrix.
    fn log_determinant(&self) -> (T, T) {
        if self.zero_pivot().is_some() {
            return (T::from_f64(0.0), T::from_f64(f64::NEG_INFINITY));
        }
        let start = if self.transpositions.is_multiple_of(2) { 1.0 } else { -1.0 };
        let join = |(sign, log): (f64, f64), p: f64| (sign * p.signum(), log + p.abs().ln());
        let (sign, log) = self.pivots().fold((start, 0.0), join);
        (T::from_f64(sign), T::from_f64(log))
    }
}

impl<T: Real> Factors for Factored<T> {
    fn solve(&self, b: &Array, transposed: bool) -> Array {
        solve_each::<T>("solve", &self.lead, b, |i, x, par| {
            self.matrices[i].solve(x, transposed, par);
        })
    }

    fn log_determinants(&self, like: &Array) -> (Array, Array) {
        let (signs, logs) = self.matrices.iter().map(Factor::log_determinant).unzip();
        (gather::<T>(&[signs], &self.lead, &[], like), gather::<T>(&[logs], &self.lead, &[], like))
    }

    fn zero_pivot(&self) -> Option<(usize, usize)> {
        self.matrices.iter().enumerate().find_map(|(i, f)| Some((i, f.zero_pivot()?)))
    }
}

fn factorize(operation: &'static str, a: &Array) -> Result<Lu, LinalgError> {
    check_square(operation, a);
    let factors: Arc<dyn Factors> = with_real!(a.dtype(), T => {
        let batch = Batch::<T>::new(a);
        let matrices = each(batch.count(), batch.rows, |i, par| {
            batch.check_finite(operation, i)?;
            Ok(Factor::new(batch.matrix(i), par))
        })?;
        Arc::new(Factored { lead: batch.lead, matrices })
    });
    Ok(Lu { matrix: a.clone(), factors })
}

impl Lu {
    fn check_regular(self, operation: &'static str) -> Result<Lu, LinalgError> {
        match self.factors.zero_pivot() {
            None => Ok(self),
            Some((i, pivot)) => {
                let batch = (self.matrix.rank() > 2).then_some(i);
                Err(LinalgError::Singular { operation, batch, pivot })
            }
        }
    }

    /// `x` with `A x = b`, for `b` of shape `[n]` or `[..., n, k]` whose leading axes broadcast with the matrices'.
    #[track_caller]
    pub fn solve(&self, b: &Array) -> Array {
        with_columns("solve", &self.matrix, b, self.matrix.dim(-1), |b| self.apply(b, false))
    }

    /// `x` with `A^T x = b`; shapes as in [`solve`](Self::solve).
    #[track_caller]
    pub fn solve_transposed(&self, b: &Array) -> Array {
        with_columns("solve", &self.matrix, b, self.matrix.dim(-1), |b| self.apply(b, true))
    }

    /// Solves for columns. With `w` the solution of the transposed system for the cotangent, `b` gets `w` and `A` gets
    /// `-w x^T` (or its transpose): the same factors serve every order.
    fn apply(&self, b: &Array, transposed: bool) -> Array {
        let value = self.factors.solve(b, transposed);
        let kept = value.clone();
        let (to_matrix, to_b) = (self.clone(), self.clone());
        let b_shape = Dims::from(b.shape());
        value.derive2(
            &self.matrix,
            move |ct, out| {
                let w = to_matrix.apply(&ct, !transposed);
                let x = out.attach(&kept);
                let outer = if transposed { x.matmul(&w.t()) } else { w.matmul(&x.t()) };
                (-outer).unbroadcast(to_matrix.matrix.shape())
            },
            b,
            move |ct, _| to_b.apply(&ct, !transposed).unbroadcast(&b_shape),
        )
    }

    fn identity(&self) -> Array {
        let n = self.matrix.dim(-1);
        constant(&self.matrix, n, n, |i, j| f64::from(u8::from(i == j)))
    }

    /// `A^{-1}`, of the matrices' shape. To solve a system, [`solve`](Self::solve) is faster and more accurate.
    pub fn inverse(&self) -> Array {
        self.apply(&self.identity(), false)
    }

    /// Sign of the determinant and logarithm of its absolute value, each of the leading axes' shape. The sign is a constant;
    /// the logarithm has derivative `A^{-T}`.
    pub fn slogdet(&self) -> (Array, Array) {
        let (sign, log) = self.factors.log_determinants(&self.matrix);
        let kept = self.clone();
        let log = log.derive(&self.matrix, move |ct, _| {
            ct.unsqueeze(-1).unsqueeze(-1) * kept.apply(&kept.identity(), true)
        });
        (sign, log)
    }
}

impl Array {
    /// Factors of square matrices `[..., n, n]`, to solve with several right-hand sides.
    ///
    /// # Errors
    /// [`Singular`](LinalgError::Singular) where a pivot is exactly zero, [`NotFinite`](LinalgError::NotFinite). A nearly singular
    /// matrix is not refused: its solutions are as wrong as its condition number is large.
    #[track_caller]
    pub fn lu(&self) -> Result<Lu, LinalgError> {
        factorize("lu", self)?.check_regular("lu")
    }

    /// `x` with `A x = b` for square `A` of shape `[..., n, n]`, by elimination with row exchanges. `b` is a vector `[n]` or
    /// columns `[..., n, k]`; leading axes broadcast. Differentiable to any order in both.
    ///
    /// # Errors
    /// As [`lu`](Self::lu).
    ///
    /// ```
    /// use lisse_array::Array;
    /// let a = Array::from_slice(&[2.0f64, 0.0, 0.0, 4.0], &[2, 2]);
    /// let b = Array::from_slice(&[1.0f64, 1.0], &[2]);
    /// assert_eq!(a.solve(&b)?.to_vec::<f64>(), [0.5, 0.25]);
    /// assert!(a.zeros_like().solve(&b).is_err());
    /// # Ok::<(), lisse_array::linalg::LinalgError>(())
    /// ```
    #[track_caller]
    pub fn solve(&self, b: &Array) -> Result<Array, LinalgError> {
        Ok(factorize("solve", self)?.check_regular("solve")?.solve(b))
    }

    /// `A^{-1}` of square matrices `[..., n, n]`.
    ///
    /// # Errors
    /// As [`lu`](Self::lu).
    #[track_caller]
    pub fn inverse(&self) -> Result<Array, LinalgError> {
        Ok(factorize("inverse", self)?.check_regular("inverse")?.inverse())
    }

    /// Sign and logarithm of the absolute value of the determinant, which itself may overflow; each of shape `[...]`.
    ///
    /// # Errors
    /// As [`lu`](Self::lu): the logarithm of a singular matrix's determinant is not a number.
    #[track_caller]
    pub fn slogdet(&self) -> Result<(Array, Array), LinalgError> {
        Ok(factorize("slogdet", self)?.check_regular("slogdet")?.slogdet())
    }

    /// Determinant of square matrices `[..., n, n]`, of shape `[...]`: zero for a singular one. The derivative is
    /// `det(A) A^{-T}`.
    ///
    /// # Errors
    /// [`NotFinite`](LinalgError::NotFinite); under a transformation also [`Singular`](LinalgError::Singular), because the rule
    /// needs the inverse.
    #[track_caller]
    pub fn det(&self) -> Result<Array, LinalgError> {
        let lu = factorize("det", self)?;
        let (sign, log) = lu.factors.log_determinants(self);
        let value = sign * log.exp();
        if !self.is_tracked() {
            return Ok(value);
        }
        let lu = lu.check_regular("det")?;
        let kept = value.clone();
        Ok(value.derive(self, move |ct, out| {
            (ct * out.attach(&kept)).unsqueeze(-1).unsqueeze(-1) * lu.apply(&lu.identity(), true)
        }))
    }
}
