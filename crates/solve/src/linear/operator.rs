//! Linear maps known by their products.

use lisse_array::{Array, DType};
use rayon::prelude::*;

use super::vector;

type Apply<'a> = Box<dyn Fn(&[f64], &mut [f64]) + 'a>;

/// What is known of an operator; a promise of the caller that picks the method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Structure {
    /// Nothing.
    #[default]
    General,
    /// `A = A^T`.
    Symmetric,
    /// `A = A^T` and `x^T A x > 0` for `x != 0`.
    PositiveDefinite,
}

impl Structure {
    /// Whether the operator is its own transpose.
    pub fn is_symmetric(self) -> bool {
        self != Structure::General
    }
}

/// A linear map from vectors of `columns` to vectors of `rows` elements.
pub struct Operator<'a> {
    rows: usize,
    columns: usize,
    apply: Apply<'a>,
    transposed: Option<Apply<'a>>,
    structure: Structure,
    matrix: Option<Array>,
}

impl<'a> Operator<'a> {
    /// A square operator of size `n`: `apply(x, y)` writes `A x` into `y`.
    pub fn slices(n: usize, apply: impl Fn(&[f64], &mut [f64]) + 'a) -> Operator<'a> {
        Operator::rectangular(n, n, apply)
    }

    /// An operator of `rows` by `columns`.
    pub fn rectangular(
        rows: usize,
        columns: usize,
        apply: impl Fn(&[f64], &mut [f64]) + 'a,
    ) -> Operator<'a> {
        let (apply, transposed) = (Box::new(apply), None);
        Operator { rows, columns, apply, transposed, structure: Structure::General, matrix: None }
    }

    /// A square operator of size `n` on f64 arrays of shape `[n]`: a Hessian-vector product, a sparse matrix.
    pub fn arrays(n: usize, apply: impl Fn(&Array) -> Array + 'a) -> Operator<'a> {
        Operator::slices(n, on_arrays(apply))
    }

    /// A matrix `[rows, columns]`; its transpose comes with it.
    ///
    /// # Panics
    /// If `matrix` is not of rank two.
    #[track_caller]
    pub fn dense(matrix: &Array) -> Operator<'static> {
        assert!(matrix.rank() == 2, "Operator::dense: needs a matrix, got {:?}", matrix.shape());
        let matrix = matrix.stop_gradient().cast(DType::F64);
        let (rows, columns) = (matrix.dim(0), matrix.dim(1));
        let values = std::sync::Arc::new(matrix.to_vec::<f64>());
        let again = values.clone();
        let mut operator = Operator::rectangular(rows, columns, move |x, y| {
            product(&values, columns, x, y);
        })
        .with_transpose(move |x, y| product_transposed(&again, columns, x, y));
        operator.matrix = Some(matrix);
        operator
    }

    /// Adds the transposed product, which least squares and adjoint solves need; unnecessary for symmetric operators.
    #[must_use]
    pub fn with_transpose(mut self, transposed: impl Fn(&[f64], &mut [f64]) + 'a) -> Operator<'a> {
        self.transposed = Some(Box::new(transposed));
        self
    }

    /// As [`with_transpose`](Self::with_transpose), on f64 arrays.
    #[must_use]
    pub fn with_array_transpose(self, transposed: impl Fn(&Array) -> Array + 'a) -> Operator<'a> {
        self.with_transpose(on_arrays(transposed))
    }

    /// States the structure.
    #[must_use]
    pub fn structure(mut self, structure: Structure) -> Operator<'a> {
        self.structure = structure;
        self
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// What is known of the operator.
    pub fn known(&self) -> Structure {
        self.structure
    }

    /// `y = A x`
    pub fn apply(&self, x: &[f64], y: &mut [f64]) {
        (self.apply)(x, y);
    }

    /// Whether `A^T x` is known.
    pub fn has_transpose(&self) -> bool {
        self.transposed.is_some() || self.structure.is_symmetric()
    }

    /// `y = A^T x`, where it is known.
    pub fn apply_transposed(&self, x: &[f64], y: &mut [f64]) {
        match &self.transposed {
            Some(transposed) => transposed(x, y),
            None => (self.apply)(x, y),
        }
    }

    /// `r = b - A x`
    pub fn residual(&self, b: &[f64], x: &[f64], r: &mut [f64]) {
        self.apply(x, r);
        for (r, b) in r.iter_mut().zip(b) {
            *r = b - *r;
        }
    }

    /// The matrix, by one product per column unless it is known.
    pub fn to_matrix(&self) -> Array {
        if let Some(matrix) = &self.matrix {
            return matrix.clone();
        }
        let (rows, columns) = (self.rows, self.columns);
        let mut values = vec![0.0; rows * columns];
        let (mut basis, mut column) = (vec![0.0; columns], vec![0.0; rows]);
        for j in 0..columns {
            basis[j] = 1.0;
            self.apply(&basis, &mut column);
            basis[j] = 0.0;
            for (i, value) in column.iter().enumerate() {
                values[i * columns + j] = *value;
            }
        }
        Array::from_vec(values, &[rows, columns])
    }

    /// `A + ridge I`, by reference to this operator.
    pub(crate) fn ridged(&self, ridge: f64) -> Operator<'_> {
        let plus = move |x: &[f64], y: &mut [f64]| vector::axpy(ridge, x, y);
        let mut shifted = Operator::rectangular(self.rows, self.columns, move |x, y| {
            self.apply(x, y);
            plus(x, y);
        })
        .structure(self.structure);
        if self.transposed.is_some() {
            shifted = shifted.with_transpose(move |x, y| {
                self.apply_transposed(x, y);
                plus(x, y);
            });
        }
        shifted.matrix =
            self.matrix.as_ref().map(|matrix| matrix + Array::eye(self.rows, DType::F64) * ridge);
        shifted
    }

    /// The operator between the coordinates in `kept`, the others held at zero.
    pub fn restricted<'b>(&'b self, kept: &'b [usize]) -> Operator<'b> {
        let spread = move |x: &[f64], n: usize| {
            let mut full = vec![0.0; n];
            kept.iter().zip(x).for_each(|(&i, v)| full[i] = *v);
            full
        };
        let gather = move |full: &[f64], y: &mut [f64]| {
            kept.iter().zip(y).for_each(|(&i, y)| *y = full[i]);
        };
        let mut part = Operator::slices(kept.len(), move |x, y| {
            let mut out = vec![0.0; self.rows];
            self.apply(&spread(x, self.columns), &mut out);
            gather(&out, y);
        })
        .structure(self.structure);
        if self.transposed.is_some() {
            part = part.with_transpose(move |x, y| {
                let mut out = vec![0.0; self.columns];
                self.apply_transposed(&spread(x, self.rows), &mut out);
                gather(&out, y);
            });
        }
        part
    }
}

fn on_arrays<'a>(apply: impl Fn(&Array) -> Array + 'a) -> impl Fn(&[f64], &mut [f64]) + 'a {
    move |x, y| {
        let out = apply(&Array::from_slice(x, &[x.len()]));
        y.copy_from_slice(&out.stop_gradient().to_vec::<f64>());
    }
}

/// From this many elements on, several threads share a product.
const PARALLEL: usize = 1 << 17;

fn product(values: &[f64], columns: usize, x: &[f64], y: &mut [f64]) {
    let row = |i: usize| vector::dot(&values[i * columns..(i + 1) * columns], x);
    if values.len() < PARALLEL {
        y.iter_mut().enumerate().for_each(|(i, y)| *y = row(i));
    } else {
        y.par_iter_mut().enumerate().with_min_len(32).for_each(|(i, y)| *y = row(i));
    }
}

/// Columns that one thread takes at a time.
const STRIPE: usize = 512;

fn product_transposed(values: &[f64], columns: usize, x: &[f64], y: &mut [f64]) {
    let stripe = |start: usize, y: &mut [f64]| {
        y.fill(0.0);
        for (row, x) in values.chunks(columns).zip(x) {
            vector::axpy(*x, &row[start..start + y.len()], y);
        }
    };
    if values.len() < PARALLEL {
        stripe(0, y);
    } else {
        y.par_chunks_mut(STRIPE).enumerate().for_each(|(i, y)| stripe(i * STRIPE, y));
    }
}
