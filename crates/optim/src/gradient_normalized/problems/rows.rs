//! The rows of a regression, dense or sparse.

use std::sync::Arc;

use lisse_array::sparse::Csr;
use lisse_array::{Array, DType, Device};
use rayon::prelude::*;

use crate::gradient_normalized::Curvature;

/// A matrix with one row for each example.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    Dense(Array),
    Sparse(Arc<Sparse>),
}

#[derive(Debug)]
pub(super) struct Sparse {
    matrix: Csr,
    transposed: Csr,
    values: Vec<f64>,
}

/// The share of entries that are not zero from which dense kernels win.
const DENSE: f64 = 0.25;
/// Elements from which it is worth to look for zeros.
const LARGE: usize = 1 << 14;

impl Rows {
    /// Keeps large matrices of mostly zeros (one-hot inputs) by their other entries.
    pub fn new(matrix: Array) -> Rows {
        let candidate = matrix.len() >= LARGE
            && matrix.dtype() == DType::F64
            && matrix.device() == Device::Cpu
            && matrix.dim(0) >= matrix.dim(1);
        if !candidate || matrix.sign().abs().mean_all().item() >= DENSE {
            return Rows::Dense(matrix);
        }
        let matrix = Csr::from_dense(&matrix);
        let transposed = matrix.t();
        let values = matrix.values().to_vec::<f64>();
        Rows::Sparse(Arc::new(Sparse { matrix, transposed, values }))
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        match self {
            Rows::Dense(matrix) => matrix.dim(0),
            Rows::Sparse(sparse) => sparse.matrix.shape()[0],
        }
    }

    /// Length of a row.
    pub fn width(&self) -> usize {
        match self {
            Rows::Dense(matrix) => matrix.dim(1),
            Rows::Sparse(sparse) => sparse.matrix.shape()[1],
        }
    }

    /// `R v`
    pub fn times(&self, v: &Array) -> Array {
        match self {
            Rows::Dense(matrix) => matrix.matmul(v),
            Rows::Sparse(sparse) => sparse.matrix.matmul(v),
        }
    }

    /// `R^T s`
    pub fn sum(&self, s: &Array) -> Array {
        match self {
            Rows::Dense(matrix) => s.matmul(matrix),
            Rows::Sparse(sparse) => sparse.transposed.matmul(s),
        }
    }

    /// `R^T diag(weights) R + ridge I`
    pub fn curvature(&self, weights: Array, ridge: f64) -> Curvature<'static> {
        match self {
            Rows::Dense(matrix) => Curvature::Gram { rows: matrix.clone(), weights, ridge },
            Rows::Sparse(sparse) => {
                let (for_products, for_matrix) = (sparse.clone(), sparse.clone());
                let kept = weights.clone();
                let product = move |v: &Array| {
                    let image = for_products.matrix.matmul(v) * &weights;
                    for_products.transposed.matmul(&image).add_scaled(ridge, v)
                };
                let dense = move || for_matrix.gram(&kept.to_vec::<f64>(), ridge);
                Curvature::Operator { product: Box::new(product), dense: Some(Box::new(dense)) }
            }
        }
    }
}

impl Sparse {
    /// `R^T diag(weights) R + ridge I`, of which only pairs of entries in one row are touched.
    fn gram(&self, weights: &[f64], ridge: f64) -> Array {
        /// Parts whose sums are added in order: the result does not depend on the number of threads.
        const PARTS: usize = 8;
        let [rows, n] = self.matrix.shape();
        let part = |k: usize| {
            let mut sum = vec![0.0; n * n];
            let place = rows * k / PARTS..rows * (k + 1) / PARTS;
            for (row, &weight) in place.clone().zip(&weights[place]) {
                self.add_row(row, weight, n, &mut sum);
            }
            sum
        };
        let parts: Vec<Vec<f64>> = (0..PARTS).into_par_iter().map(part).collect();
        let mut matrix = vec![0.0; n * n];
        for sum in parts {
            matrix.iter_mut().zip(sum).for_each(|(all, part)| *all += part);
        }
        for i in 0..n {
            matrix[i * n + i] += ridge;
            for j in 0..i {
                matrix[j * n + i] = matrix[i * n + j];
            }
        }
        Array::from_vec(matrix, &[n, n])
    }

    /// Adds the lower triangle of one row's outer product; columns ascend within a row.
    fn add_row(&self, row: usize, weight: f64, n: usize, sum: &mut [f64]) {
        let pattern = self.matrix.pattern();
        let place = pattern.indptr()[row]..pattern.indptr()[row + 1];
        let (columns, values) = (&pattern.indices()[place.clone()], &self.values[place]);
        for (p, (&i, &a)) in columns.iter().zip(values).enumerate() {
            let line = &mut sum[i * n..(i + 1) * n];
            for (&j, &b) in columns[..=p].iter().zip(values) {
                line[j] += weight * a * b;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lisse_array::Stream;

    use super::*;

    #[test]
    fn sparse_and_dense_rows_are_one_matrix() {
        let stream = Stream::new(1);
        let draw = stream.child("values").normal(&[2000, 12], DType::F64);
        let mask = stream.child("mask").uniform(&[2000, 12], DType::F64).less(&Array::scalar(0.2));
        let matrix = draw * mask.cast(DType::F64);
        let (dense, sparse) = (Rows::Dense(matrix.clone()), Rows::new(matrix));
        assert!(matches!(sparse, Rows::Sparse(_)));
        assert_eq!((dense.count(), dense.width()), (sparse.count(), sparse.width()));
        let v = stream.child("v").normal(&[12], DType::F64);
        let s = stream.child("s").uniform(&[2000], DType::F64);
        let near = |a: Array, b: Array| assert!((a - b).abs().max_all().item() < 1e-10);
        near(dense.times(&v), sparse.times(&v));
        near(dense.sum(&s), sparse.sum(&s));
        let (a, b) = (dense.curvature(s.clone(), 0.3), sparse.curvature(s, 0.3));
        near(a.dense(&v), b.dense(&v));
        near(a.apply(&v), b.apply(&v));
    }

    #[test]
    fn full_and_small_matrices_stay_dense() {
        assert!(matches!(Rows::new(Array::ones(&[3000, 10], DType::F64)), Rows::Dense(_)));
        assert!(matches!(Rows::new(Array::zeros(&[10, 10], DType::F64)), Rows::Dense(_)));
    }
}
