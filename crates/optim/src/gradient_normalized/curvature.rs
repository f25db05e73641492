//! Hessian approximations and the forms in which problems give them.

use lisse_array::{Array, DType};
use serde::{Deserialize, Serialize};

/// Which matrix stands for the Hessian. All but the exact one are positive semidefinite everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approximation {
    /// The Hessian itself
    #[default]
    Exact,
    /// `J^T (loss Hessian) J`: the curvature of the loss, not of what it is taken of
    GaussNewton,
    /// Gauss-Newton of LogSumExp: `A^T diag(softmax) A / mu`, the Hessian and the square of the gradient
    WeightedGaussNewton,
    /// Outer products of gradients: of each example (the empirical Fisher matrix), or of the whole residual norm
    Fisher,
    /// The Gauss-Newton and Fisher terms of a power of a residual norm: its Hessian without second derivatives of residuals
    Inexact,
    /// Zero: steps of length `gamma` along the normalized gradient
    None,
}

impl std::fmt::Display for Approximation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Approximation::Exact => "exact",
            Approximation::GaussNewton => "gauss-newton",
            Approximation::WeightedGaussNewton => "weighted-gauss-newton",
            Approximation::Fisher => "fisher",
            Approximation::Inexact => "inexact",
            Approximation::None => "none",
        })
    }
}

/// A product with the Hessian approximation.
pub type Product<'a> = Box<dyn Fn(&Array) -> Array + 'a>;

/// A Hessian approximation `H` at one point.
pub enum Curvature<'a> {
    /// `H = 0`
    Zero,
    /// A symmetric matrix `[n, n]`
    Dense(Array),
    /// `H = R^T diag(weights) R + ridge I`, with rows `R: [m, n]` and weights of at least 0
    Gram {
        /// `R`
        rows: Array,
        /// `[m]`
        weights: Array,
        /// What a quadratic penalty adds
        ridge: f64,
    },
    /// Known by its products, and by its matrix where that is cheaper to make than `n` products
    Operator {
        /// `v -> H v`
        product: Product<'a>,
        /// The matrix
        dense: Option<Box<dyn Fn() -> Array + 'a>>,
    },
}

impl Curvature<'_> {
    /// `H v`
    pub fn apply(&self, v: &Array) -> Array {
        match self {
            Curvature::Zero => v.zeros_like(),
            Curvature::Dense(matrix) => matrix.matmul(v),
            Curvature::Gram { rows, weights, ridge } => {
                let product = rows.t().matmul(&(rows.matmul(v) * weights));
                if *ridge == 0.0 { product } else { product.add_scaled(*ridge, v) }
            }
            Curvature::Operator { product, .. } => product(v),
        }
    }

    /// The matrix `[n, n]`, in the dtype of `like`, a vector of `n` elements.
    pub fn dense(&self, like: &Array) -> Array {
        let n = like.len();
        let eye = || like.device().with(|| Array::eye(n, DType::F64)).cast(like.dtype());
        match self {
            Curvature::Zero => eye() * 0.0,
            Curvature::Dense(matrix) => matrix.clone(),
            Curvature::Gram { rows, weights, ridge } => {
                let gram = weighted_gram(rows, weights);
                if *ridge == 0.0 { gram } else { gram.add_scaled(*ridge, &eye()) }
            }
            Curvature::Operator { dense: Some(dense), .. } => dense(),
            Curvature::Operator { product, dense: None } => {
                let basis = eye();
                let columns: Vec<Array> = (0..n).map(|i| product(&basis.index(0, i))).collect();
                let matrix = Array::stack(&columns.iter().collect::<Vec<_>>(), 0);
                // Products differ in rounding from their transposes.
                (matrix.t() + &matrix) * 0.5
            }
        }
    }
}

/// `R^T diag(weights) R` for rows `[m, n]`.
///
/// Blocks of rows are weighted and multiplied while they lie in the cache; their sums are added in a fixed order. Of wide rows the lower
/// left quarter is the mirror image of the upper right one.
pub(crate) fn weighted_gram(rows: &Array, weights: &Array) -> Array {
    const BLOCK: usize = 512;
    const WIDE: usize = 64;
    let (m, n) = (rows.dim(0), rows.dim(1));
    let half = if n < WIDE { n } else { n / 2 };
    let block = |start: usize| {
        let count = BLOCK.min(m - start);
        let part = rows.narrow(0, start, count);
        let weighted = &part * weights.narrow(0, start, count).unsqueeze(1);
        let upper = part.narrow(1, 0, half).t().matmul(&weighted);
        let right = |x: &Array| x.narrow(1, half, n - half);
        (upper, right(&part).t().matmul(&right(&weighted)))
    };
    let blocks = (0..m).step_by(BLOCK).map(block);
    let Some((upper, corner)) = blocks.reduce(|a, b| (a.0 + b.0, a.1 + b.1)) else {
        return rows.device().with(|| Array::zeros(&[n, n], DType::F64)).cast(rows.dtype());
    };
    if half == n {
        return upper;
    }
    let lower = Array::cat(&[&upper.narrow(1, half, n - half).t(), &corner], 1);
    Array::cat(&[&upper, &lower], 0)
}

#[cfg(test)]
mod tests {
    use lisse_array::Stream;

    use super::*;

    #[test]
    fn wide_rows_use_the_mirror_image() {
        let stream = Stream::new(6);
        for n in [63, 64, 101] {
            let rows = stream.child("rows").normal(&[700, n], DType::F64);
            let weights = stream.child("weights").uniform(&[700], DType::F64);
            let direct = rows.t().matmul(&(&rows * weights.unsqueeze(1)));
            assert!((weighted_gram(&rows, &weights) - direct).abs().max_all().item() < 1e-10);
        }
    }

    #[test]
    fn every_form_of_one_matrix_multiplies_alike() {
        let stream = Stream::new(5);
        // More than one block of rows.
        let rows = stream.child("rows").normal(&[2500, 3], DType::F64);
        let weights = stream.child("weights").uniform(&[2500], DType::F64);
        let v = stream.child("v").normal(&[3], DType::F64);
        let gram = Curvature::Gram { rows: rows.clone(), weights: weights.clone(), ridge: 0.5 };
        let matrix = gram.dense(&v);
        let direct =
            rows.t().matmul(&(&rows * weights.unsqueeze(1))) + Array::eye(3, DType::F64) * 0.5;
        assert!((&matrix - direct).abs().max_all().item() < 1e-9);
        let kept = matrix.clone();
        let operator =
            Curvature::Operator { product: Box::new(move |v| kept.matmul(v)), dense: None };
        assert!((operator.dense(&v) - &matrix).abs().max_all().item() < 1e-9);
        let product = Curvature::Dense(matrix).apply(&v);
        for other in [gram, operator] {
            assert!((other.apply(&v) - &product).abs().max_all().item() < 1e-9);
        }
        assert_eq!(Curvature::Zero.apply(&v).to_vec::<f64>(), [0.0; 3]);
    }
}
