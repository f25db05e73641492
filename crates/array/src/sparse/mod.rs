//! Sparse matrices in compressed rows, with derivatives to values and operands.

mod factor;
mod pattern;
mod product;

pub use factor::CsrFactor;
pub use pattern::{CsrError, Pattern};

use std::sync::Arc;

use crate::{Array, Tree};
use product::{put, take};

/// A sparse matrix of shape `[rows, columns]` in compressed rows: a shared [`Pattern`] of places and one value for each.
///
/// The values are an [`Array`], so that derivatives reach them: a `Csr` is a [`Tree`] with the values as its only leaf.
/// Matrices that share a pattern ([`with_values`](Self::with_values)) also share its transpose and the symbolic analysis of
/// their factors. Products and solves run on the host, products in parallel over rows.
///
/// ```
/// use lisse_array::Array;
/// use lisse_array::sparse::Csr;
/// // [2 0; 1 4], with the entry at (1, 1) given in two parts that are summed
/// let values = Array::from_slice(&[2.0f64, 1.0, 3.0, 1.0], &[4]);
/// let a = Csr::from_triplets(2, 2, &[0, 1, 1, 1], &[0, 0, 1, 1], &values)?;
/// let b = Array::from_slice(&[2.0f64, 9.0], &[2]);
/// assert_eq!(a.matmul(&b).to_vec::<f64>(), [4.0, 38.0]);
/// let x = a.solve(&b)?;
/// assert_eq!(x.to_vec::<f64>(), [1.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csr {
    pattern: Arc<Pattern>,
    values: Array,
}

impl Csr {
    /// The matrix with `values[k]` at row `i` and column `indices[k]` for `k` in `indptr[i]..indptr[i + 1]`. `values` is a float
    /// vector of the length of `indices`.
    ///
    /// # Errors
    /// [`CsrError`] if the row pointers are not `rows + 1` numbers rising from zero to the count of entries, if a column is out
    /// of range, or if columns within a row are not strictly ascending.
    #[track_caller]
    pub fn new(
        rows: usize,
        columns: usize,
        indptr: Vec<usize>,
        indices: Vec<usize>,
        values: &Array,
    ) -> Result<Csr, CsrError> {
        Ok(Csr::with_pattern(Arc::new(Pattern::new(rows, columns, indptr, indices)?), values))
    }

    /// The matrix with these places and values.
    #[track_caller]
    pub fn with_pattern(pattern: Arc<Pattern>, values: &Array) -> Csr {
        assert!(
            values.shape() == [pattern.len()] && values.dtype().is_float(),
            "Csr: {} entries need as many float values, got {} of shape {:?}",
            pattern.len(),
            values.dtype(),
            values.shape()
        );
        Csr { pattern, values: values.clone() }
    }

    /// The matrix with `values[k]` added at row `i[k]`, column `j[k]`. Differentiable to the values.
    ///
    /// # Errors
    /// [`CsrError`] if the lists differ in length or an index is out of range.
    #[track_caller]
    pub fn from_triplets(
        rows: usize,
        columns: usize,
        i: &[usize],
        j: &[usize],
        values: &Array,
    ) -> Result<Csr, CsrError> {
        assert!(
            values.rank() == 1,
            "from_triplets: the values need shape [n], got {:?}",
            values.shape()
        );
        if i.len() != j.len() || i.len() != values.len() {
            return Err(CsrError::Lengths {
                rows: i.len(),
                columns: j.len(),
                values: values.len(),
            });
        }
        let (pattern, slots) = Pattern::from_places(rows, columns, i, j)?;
        let summed = put(values, &slots.into(), pattern.len());
        Ok(Csr::with_pattern(Arc::new(pattern), &summed))
    }

    /// The entries of a matrix that are not zero. Differentiable; the derivative stays on these places.
    #[track_caller]
    pub fn from_dense(matrix: &Array) -> Csr {
        assert!(matrix.rank() == 2, "from_dense: needs a matrix, got shape {:?}", matrix.shape());
        let (rows, columns) = (matrix.dim(0), matrix.dim(1));
        let kept: Vec<usize> = matrix
            .to_f64_vec()
            .iter()
            .enumerate()
            .filter(|(_, v)| **v != 0.0)
            .map(|(p, _)| p)
            .collect();
        let pattern = Pattern::from_sorted(rows, columns, &kept);
        let values = take(&matrix.reshape(&[-1]), &kept.into());
        Csr::with_pattern(Arc::new(pattern), &values)
    }

    /// The identity of size `n`.
    pub fn eye(n: usize, dtype: crate::DType) -> Csr {
        let places: Vec<usize> = (0..n).map(|i| i * n + i).collect();
        let pattern = Pattern::from_sorted(n, n, &places);
        Csr::with_pattern(Arc::new(pattern), &Array::ones(&[n], dtype))
    }

    /// The places of the entries.
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// The values, row by row.
    pub fn values(&self) -> &Array {
        &self.values
    }

    /// The same places with other values.
    #[track_caller]
    pub fn with_values(&self, values: &Array) -> Csr {
        Csr::with_pattern(self.pattern.clone(), values)
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.pattern.rows(), self.pattern.columns()]
    }

    /// The full matrix of shape `[rows, columns]`.
    pub fn to_dense(&self) -> Array {
        let [rows, columns] = self.shape();
        let places: Vec<usize> = self
            .pattern
            .row_of()
            .iter()
            .zip(self.pattern.indices())
            .map(|(i, j)| i * columns + j)
            .collect();
        put(&self.values, &places.into(), rows * columns)
            .reshape(&[rows as isize, columns as isize])
    }

    /// The transpose.
    pub fn t(&self) -> Csr {
        let transpose = self.pattern.transpose();
        Csr { pattern: transpose.pattern.clone(), values: take(&self.values, &transpose.order) }
    }

    /// The diagonal of shape `[min(rows, columns)]`, zero where there is no entry.
    pub fn diagonal(&self) -> Array {
        let count = self.pattern.rows().min(self.pattern.columns());
        let (entries, rows): (Vec<usize>, Vec<usize>) =
            (0..count).filter_map(|i| Some((self.pattern.position(i, i)?, i))).unzip();
        put(&take(&self.values, &entries.into()), &rows.into(), count)
    }

    /// `self + factor * other`, on the union of the places. Differentiable to both values.
    #[track_caller]
    pub fn add_scaled(&self, factor: f64, other: &Csr) -> Csr {
        assert!(
            self.shape() == other.shape(),
            "add_scaled: shapes {:?} and {:?} differ",
            self.shape(),
            other.shape()
        );
        if Arc::ptr_eq(&self.pattern, &other.pattern) {
            return self.with_values(&self.values.add_scaled(factor, &other.values));
        }
        let [rows, columns] = self.shape();
        let i = [self.pattern.row_of(), other.pattern.row_of()].concat();
        let j = [self.pattern.indices(), other.pattern.indices()].concat();
        let values = Array::cat(&[&self.values, &(&other.values * factor)], 0);
        Csr::from_triplets(rows, columns, &i, &j, &values).expect("places of valid matrices")
    }
}

impl Tree for Csr {
    fn visit<'a>(&'a self, path: &mut crate::Path, f: &mut dyn FnMut(&crate::Path, &'a Array)) {
        path.enter(crate::Segment::Field("values"));
        self.values.visit(path, f);
        path.leave();
    }

    fn rebuild(
        &self,
        path: &mut crate::Path,
        f: &mut dyn FnMut(&crate::Path, &Array) -> Array,
    ) -> Self {
        path.enter(crate::Segment::Field("values"));
        let values = self.values.rebuild(path, f);
        path.leave();
        Csr { pattern: self.pattern.clone(), values }
    }
}
