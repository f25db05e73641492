//! Gaussian densities with full covariance.

use std::f64::consts::TAU;

use lisse_array::{Array, DType, Stream, Tree};
use serde::{Deserialize, Serialize};

use super::{Noise, NoiseError, rows};

/// `N(mean, L L')`, on rows of `d` numbers.
///
/// ```
/// use lisse_array::{Array, DType};
/// use lisse_optim::energy::{Gaussian, Noise};
/// let noise = Gaussian::isotropic(2, 2.0, DType::F64);
/// let at_zero = noise.log_density(&Array::zeros(&[1, 2], DType::F64)).item();
/// assert!((at_zero + (2.0 * std::f64::consts::PI * 4.0).ln()).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Gaussian {
    /// `[d]`
    pub mean: Array,
    /// `L`, lower triangular with positive diagonal, `[d, d]`.
    pub factor: Array,
    /// `L^-1`.
    pub whitener: Array,
}

impl Gaussian {
    /// Mean 0 and the same deviation in every direction.
    pub fn isotropic(dim: usize, deviation: f64, dtype: DType) -> Gaussian {
        let eye = Array::eye(dim, dtype);
        Gaussian {
            mean: Array::zeros(&[dim], dtype),
            factor: &eye * deviation,
            whitener: eye / deviation,
        }
    }

    /// From mean `[d]` and covariance `[d, d]`.
    ///
    /// # Errors
    /// Shapes that do not fit, or a covariance that is not positive definite.
    pub fn new(mean: &Array, covariance: &Array) -> Result<Gaussian, NoiseError> {
        const WHAT: &str = "Gaussian";
        let dim = mean.len();
        if dim == 0 || mean.rank() != 1 || covariance.shape() != [dim, dim] {
            return Err(NoiseError::Input {
                what: WHAT,
                found: format!("mean {:?} and covariance {:?}", mean.shape(), covariance.shape()),
                expected: "shapes [d] and [d, d]",
            });
        }
        let fails = |problem: &dyn std::fmt::Display| NoiseError::Covariance {
            what: WHAT,
            problem: problem.to_string(),
        };
        let factor = covariance.cast(DType::F64).cholesky().map_err(|e| fails(&e))?;
        let eye = Array::eye(dim, DType::F64);
        let whitener = factor.solve_triangular(&eye, false).map_err(|e| fails(&e))?;
        let dtype = mean.dtype();
        Ok(Gaussian {
            mean: mean.clone(),
            factor: factor.cast(dtype),
            whitener: whitener.cast(dtype),
        })
    }

    /// Mean and covariance of data `[n, d]`, with all deviations multiplied by `inflation`: 1.2 keeps the tails of `p/q` light.
    ///
    /// # Errors
    /// Data that are no finite rows, or whose columns depend on each other.
    pub fn fit(data: &Array, inflation: f64) -> Result<Gaussian, NoiseError> {
        let values = rows("Gaussian::fit", data, 2)?;
        let mean = values.mean(&[0]);
        let centred = &values - &mean;
        let covariance = centred.t().matmul(&centred) / values.shape()[0] as f64;
        let covariance = covariance * (inflation * inflation);
        let fitted = Gaussian::new(&mean, &covariance)?;
        Ok(fitted.map(|leaf| leaf.cast(data.dtype())))
    }

    /// The number of coordinates.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// `L z + mean` for rows `z`.
    pub(super) fn colour(&self, white: &Array) -> Array {
        white.matmul(&self.factor.t()) + &self.mean
    }

    /// `L^-1 (x - mean)` for rows `x`.
    pub(super) fn whiten(&self, x: &Array) -> Array {
        (x - &self.mean).matmul(&self.whitener.t())
    }

    /// `log det L^-1`.
    pub(super) fn log_scale(&self) -> Array {
        self.whitener.diagonal(0, 1).ln().sum_all()
    }
}

/// `log N(z; 0, I)` of rows.
pub(super) fn log_standard_normal(white: &Array) -> Array {
    white.square().sum(&[1]) * -0.5 - 0.5 * white.shape()[1] as f64 * TAU.ln()
}

impl Noise for Gaussian {
    fn sample(&self, count: usize, stream: &Stream) -> Array {
        self.colour(&stream.normal(&[count, self.dim()], self.mean.dtype()))
    }

    fn log_density(&self, x: &Array) -> Array {
        log_standard_normal(&self.whiten(x)) + self.log_scale()
    }
}
