//! Direct sparse solves.

use std::sync::{Arc, OnceLock};

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::LltError;
use faer::sparse::linalg::LuError;
use faer::sparse::linalg::cholesky::{LltRef, SymbolicCholesky, factorize_symbolic_cholesky};
use faer::sparse::linalg::lu::{LuRef, NumericLu, SymbolicLu, factorize_symbolic_lu};
use faer::sparse::{FaerError, SparseColMatRef, SymbolicSparseColMatRef};
use faer::{Conj, Mat, MatMut, MatRef, Par, Side};

use super::product::{check_dtype, sampled};
use super::{Csr, Pattern};
use crate::linalg::{LinalgError, Real, check_finite, with_real};
use crate::storage::{elements, raw_tensor};
use crate::{Array, Element};

/// Analyses that depend on places only, shared by all matrices of a pattern.
#[derive(Default)]
pub(super) struct Symbolic {
    lu: OnceLock<Result<Arc<SymbolicLu<usize>>, LinalgError>>,
    cholesky: OnceLock<Result<Arc<SymbolicCholesky<usize>>, LinalgError>>,
}

/// A square sparse matrix with its factors, to solve with several right-hand sides. Made by [`Csr::lu`] and
/// [`Csr::cholesky`].
#[derive(Clone)]
pub struct CsrFactor {
    matrix: Csr,
    factor: Arc<dyn Factor>,
}

trait Factor: Send + Sync {
    /// Solution with the matrix or its transpose, for row-major columns `[n, k]`.
    fn solve(&self, b: &Array, transposed: bool) -> Array;
}

struct Lu<T> {
    symbolic: Arc<SymbolicLu<usize>>,
    numeric: NumericLu<usize, T>,
}

struct Cholesky<T> {
    symbolic: Arc<SymbolicCholesky<usize>>,
    numeric: Vec<T>,
}

/// Sparse factors are computed in one order of operations: their result must not depend on the number of threads.
const PAR: Par = Par::Seq;

impl Csr {
    /// Factors `P A Q = L U` of a square matrix, by elimination with row exchanges and a fill-reducing order of columns. The
    /// analysis of the places is done once per [`Pattern`].
    ///
    /// # Errors
    /// [`Singular`](LinalgError::Singular), [`NotFinite`](LinalgError::NotFinite), [`OutOfMemory`](LinalgError::OutOfMemory).
    #[track_caller]
    pub fn lu(&self) -> Result<CsrFactor, LinalgError> {
        const OPERATION: &str = "sparse lu";
        self.check_solvable(OPERATION)?;
        let transpose = self.pattern().transpose();
        // Columns of the matrix are rows of its transpose.
        let columns = symbolic_columns(&transpose.pattern);
        let symbolic = self.pattern().symbolic.lu.get_or_init(|| {
            let analysed = factorize_symbolic_lu(columns, Default::default());
            analysed.map(Arc::new).map_err(|e| memory(OPERATION, e))
        });
        let symbolic = symbolic.clone()?;
        let by_column = self.stop_gradient().t();
        let factor: Arc<dyn Factor> = with_real!(self.values().dtype(), T => {
            let cpu = by_column.values().to_cpu();
            let matrix = SparseColMatRef::new(columns, elements::<T>(&cpu));
            Arc::new(Lu::<T>::new(symbolic, matrix)?)
        });
        Ok(CsrFactor { matrix: self.clone(), factor })
    }

    /// Factors `P A P^T = L L^T` of a symmetric positive definite matrix (both triangles stored), with a fill-reducing order. Half
    /// the work and memory of [`lu`](Self::lu), often far less.
    ///
    /// # Errors
    /// [`NotSymmetric`](LinalgError::NotSymmetric) unless mirrored entries are equal;
    /// [`NotPositiveDefinite`](LinalgError::NotPositiveDefinite), whose pivot counts in the fill-reducing order;
    /// [`NotFinite`](LinalgError::NotFinite), [`OutOfMemory`](LinalgError::OutOfMemory).
    #[track_caller]
    pub fn cholesky(&self) -> Result<CsrFactor, LinalgError> {
        const OPERATION: &str = "sparse cholesky";
        self.check_solvable(OPERATION)?;
        if let Some((row, column)) = self.asymmetry() {
            return Err(LinalgError::NotSymmetric { operation: OPERATION, row, column });
        }
        // The matrix is its own transpose, so that its rows are its columns.
        let columns = symbolic_columns(self.pattern());
        let symbolic = self.pattern().symbolic.cholesky.get_or_init(|| {
            let analysed = factorize_symbolic_cholesky(
                columns,
                Side::Lower,
                Default::default(),
                Default::default(),
            );
            analysed.map(Arc::new).map_err(|e| memory(OPERATION, e))
        });
        let symbolic = symbolic.clone()?;
        let factor: Arc<dyn Factor> = with_real!(self.values().dtype(), T => {
            let cpu = self.values().to_cpu();
            let matrix = SparseColMatRef::new(columns, elements::<T>(&cpu));
            Arc::new(Cholesky::<T>::new(symbolic, matrix)?)
        });
        Ok(CsrFactor { matrix: self.clone(), factor })
    }

    /// `x` with `A x = b` for a square matrix and `b` of shape `[n]` or `[n, k]`. A symmetric matrix with a positive diagonal is
    /// tried with [`cholesky`](Self::cholesky) first, everything else goes to [`lu`](Self::lu). Differentiable to any order in
    /// the values (on the places of the pattern) and in `b`, with the same factors.
    ///
    /// # Errors
    /// As [`lu`](Self::lu).
    #[track_caller]
    pub fn solve(&self, b: &Array) -> Result<Array, LinalgError> {
        Ok(self.factor()?.solve(b))
    }

    /// The factors that [`solve`](Self::solve) chooses.
    ///
    /// # Errors
    /// As [`lu`](Self::lu).
    #[track_caller]
    pub fn factor(&self) -> Result<CsrFactor, LinalgError> {
        let [rows, columns] = self.shape();
        let definite = || {
            self.stop_gradient().diagonal().to_f64_vec().iter().all(|&d| d > 0.0)
                && self.asymmetry().is_none()
        };
        if rows == columns
            && definite()
            && let Ok(factor) = self.cholesky()
        {
            return Ok(factor);
        }
        self.lu()
    }

    #[track_caller]
    fn check_solvable(&self, operation: &'static str) -> Result<(), LinalgError> {
        let [rows, columns] = self.shape();
        assert!(rows == columns, "{operation}: needs a square matrix, got [{rows}, {columns}]");
        check_dtype(operation, self.values(), self.values());
        let cpu = self.values().to_cpu();
        with_real!(self.values().dtype(), T => check_finite(operation, elements::<T>(&cpu), None))
    }

    /// The first place whose mirror image holds another value.
    fn asymmetry(&self) -> Option<(usize, usize)> {
        let pattern = self.pattern();
        let values = self.values().to_f64_vec();
        pattern.row_of().iter().zip(pattern.indices()).enumerate().find_map(|(e, (&i, &j))| {
            let mirrored = if i == j { Some(e) } else { pattern.position(j, i) };
            (mirrored.map(|m| values[m]) != Some(values[e])).then_some((i, j))
        })
    }

    fn stop_gradient(&self) -> Csr {
        self.with_values(&self.values().stop_gradient())
    }
}

fn symbolic_columns(transposed: &Pattern) -> SymbolicSparseColMatRef<'_, usize> {
    SymbolicSparseColMatRef::new_checked(
        transposed.columns(),
        transposed.rows(),
        transposed.indptr(),
        None,
        transposed.indices(),
    )
}

fn memory(operation: &'static str, _: FaerError) -> LinalgError {
    // The other kind of failure, an index beyond the range of usize, cannot happen.
    LinalgError::OutOfMemory { operation }
}

impl<T: Real> Lu<T> {
    fn new(
        symbolic: Arc<SymbolicLu<usize>>,
        matrix: SparseColMatRef<'_, usize, T>,
    ) -> Result<Self, LinalgError> {
        const OPERATION: &str = "sparse lu";
        let mut numeric = NumericLu::new();
        let scratch = symbolic.factorize_numeric_lu_scratch::<T>(PAR, Default::default());
        let mut buffer = MemBuffer::try_new(scratch)
            .map_err(|_| LinalgError::OutOfMemory { operation: OPERATION })?;
        let outcome = symbolic.factorize_numeric_lu(
            &mut numeric,
            matrix,
            PAR,
            MemStack::new(&mut buffer),
            Default::default(),
        );
        match outcome {
            Ok(_) => {}
            Err(LuError::SymbolicSingular { index }) => {
                return Err(LinalgError::Singular {
                    operation: OPERATION,
                    batch: None,
                    pivot: index,
                });
            }
            Err(LuError::Generic(e)) => return Err(memory(OPERATION, e)),
        }
        let lu = Lu { symbolic, numeric };
        lu.check_regular(matrix.nrows())?;
        Ok(lu)
    }

    /// A pivot that is zero shows as a solution that is not finite.
    fn check_regular(&self, n: usize) -> Result<(), LinalgError> {
        let mut probe = Mat::<T>::full(n, 1, T::from_f64(1.0));
        self.solve_in_place(probe.as_mut(), false);
        let bad = (0..n).find(|&i| !Element::to_f64(probe[(i, 0)]).is_finite());
        match bad {
            Some(pivot) => {
                Err(LinalgError::Singular { operation: "sparse lu", batch: None, pivot })
            }
            None => Ok(()),
        }
    }

    fn solve_in_place(&self, x: MatMut<'_, T>, transposed: bool) {
        let lu = LuRef::new_unchecked(&*self.symbolic, &self.numeric);
        let k = x.ncols();
        if transposed {
            let scratch = self.symbolic.solve_transpose_in_place_scratch::<T>(k, PAR);
            let mut buffer = MemBuffer::new(scratch);
            lu.solve_transpose_in_place_with_conj(Conj::No, x, PAR, MemStack::new(&mut buffer));
        } else {
            let mut buffer = MemBuffer::new(self.symbolic.solve_in_place_scratch::<T>(k, PAR));
            lu.solve_in_place_with_conj(Conj::No, x, PAR, MemStack::new(&mut buffer));
        }
    }
}

impl<T: Real> Factor for Lu<T> {
    fn solve(&self, b: &Array, transposed: bool) -> Array {
        solve_columns::<T>(b, |x| self.solve_in_place(x, transposed))
    }
}

impl<T: Real> Cholesky<T> {
    fn new(
        symbolic: Arc<SymbolicCholesky<usize>>,
        matrix: SparseColMatRef<'_, usize, T>,
    ) -> Result<Self, LinalgError> {
        const OPERATION: &str = "sparse cholesky";
        let mut numeric = vec![T::from_f64(0.0); symbolic.len_val()];
        let scratch = symbolic.factorize_numeric_llt_scratch::<T>(PAR, Default::default());
        let mut buffer = MemBuffer::try_new(scratch)
            .map_err(|_| LinalgError::OutOfMemory { operation: OPERATION })?;
        let outcome = symbolic.factorize_numeric_llt(
            &mut numeric,
            matrix,
            Side::Lower,
            Default::default(),
            PAR,
            MemStack::new(&mut buffer),
            Default::default(),
        );
        if let Err(LltError::NonPositivePivot { index: pivot }) = outcome {
            return Err(LinalgError::NotPositiveDefinite {
                operation: OPERATION,
                batch: None,
                pivot,
            });
        }
        Ok(Cholesky { symbolic, numeric })
    }
}

impl<T: Real> Factor for Cholesky<T> {
    fn solve(&self, b: &Array, _: bool) -> Array {
        let factor = LltRef::new(&*self.symbolic, &self.numeric);
        solve_columns::<T>(b, |x| {
            let scratch = self.symbolic.solve_in_place_scratch::<T>(x.ncols(), PAR);
            let mut buffer = MemBuffer::new(scratch);
            factor.solve_in_place_with_conj(Conj::No, x, PAR, MemStack::new(&mut buffer));
        })
    }
}

fn solve_columns<T: Real>(b: &Array, solve: impl FnOnce(MatMut<'_, T>)) -> Array {
    let cpu = b.to_cpu();
    let (n, k) = (b.dim(0), b.dim(1));
    let mut x: Mat<T> = MatRef::from_row_major_slice(elements::<T>(&cpu), n, k).to_owned();
    solve(x.as_mut());
    let mut values = vec![T::from_f64(0.0); n * k];
    MatMut::from_row_major_slice_mut(&mut values, n, k).copy_from(&x);
    Array::from_cpu(raw_tensor(values, &[n, k], T::DTYPE)).to_device(b.device())
}

impl CsrFactor {
    /// The matrix that was factored.
    pub fn matrix(&self) -> &Csr {
        &self.matrix
    }

    /// `x` with `A x = b`, for `b` of shape `[n]` or `[n, k]`.
    #[track_caller]
    pub fn solve(&self, b: &Array) -> Array {
        self.checked(b, false)
    }

    /// `x` with `A^T x = b`, for `b` of shape `[n]` or `[n, k]`.
    #[track_caller]
    pub fn solve_transposed(&self, b: &Array) -> Array {
        self.checked(b, true)
    }

    #[track_caller]
    fn checked(&self, b: &Array, transposed: bool) -> Array {
        let [n, _] = self.matrix.shape();
        assert!(
            matches!(b.rank(), 1 | 2) && b.dim(0) == n,
            "sparse solve: the right-hand side needs {n} rows: [{n}, {n}] and {:?}",
            b.shape()
        );
        check_dtype("sparse solve", self.matrix.values(), b);
        if b.rank() == 1 {
            self.apply(&b.unsqueeze(1), transposed).squeeze(1)
        } else {
            self.apply(b, transposed)
        }
    }

    /// With `w` the solution of the transposed system for the cotangent, `b` gets `w` and the values get `-w x^T` (or its
    /// transpose) at their places.
    fn apply(&self, b: &Array, transposed: bool) -> Array {
        let value = self.factor.solve(b, transposed);
        let kept = value.clone();
        let (to_values, to_b) = (self.clone(), self.clone());
        value.derive2(
            self.matrix.values(),
            move |ct, out| {
                let w = to_values.apply(&ct, !transposed);
                let x = out.attach(&kept);
                let (left, right) = if transposed { (&x, &w) } else { (&w, &x) };
                -sampled(to_values.matrix.pattern(), left, right)
            },
            b,
            move |ct, _| to_b.apply(&ct, !transposed),
        )
    }
}
