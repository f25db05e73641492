//! Preparing data for densities: whitening, and images of whole numbers.

use lisse_array::{Array, Stream, Tree};
use serde::{Deserialize, Serialize};

use super::NoiseError;

/// The leading principal components of data, scaled to unit variance. Likelihoods in these coordinates are not those of the data.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Whitener {
    /// `[d]`
    pub mean: Array,
    /// Directions of greatest variance, `[k, d]`, orthonormal rows.
    pub directions: Array,
    /// Deviations along them, `[k]`.
    pub deviations: Array,
}

impl Whitener {
    /// From training data `[n, d]`.
    ///
    /// # Errors
    /// More components than the data vary in, or data that are no finite rows.
    pub fn fit(data: &Array, components: usize) -> Result<Whitener, NoiseError> {
        const WHAT: &str = "Whitener::fit";
        let values = super::noise::rows(WHAT, data, 2)?;
        let (n, dim) = (values.shape()[0] as f64, values.shape()[1]);
        let mean = values.mean(&[0]);
        let centred = &values - &mean;
        let covariance = centred.t().matmul(&centred) / n;
        let (variances, vectors) = covariance.eigh().map_err(|problem| NoiseError::Covariance {
            what: WHAT,
            problem: problem.to_string(),
        })?;
        // Ascending order: the last ones are the greatest.
        let spectrum = variances.to_f64_vec();
        let least = spectrum.last().map_or(0.0, |top| top * 1e-12);
        let varying = spectrum.iter().filter(|v| **v > least).count();
        if components == 0 || components > varying {
            return Err(NoiseError::Input {
                what: WHAT,
                found: format!("{components} components of data that vary in {varying} directions"),
                expected: "at least 1 and at most as many as vary",
            });
        }
        let first = dim - components;
        let whitener = Whitener {
            mean,
            directions: vectors.narrow(1, first, components).t().flip(&[0]),
            deviations: variances.narrow(0, first, components).sqrt().flip(&[0]),
        };
        Ok(whitener.map(|leaf| leaf.cast(data.dtype())))
    }

    /// `[n, d]` to `[n, k]`.
    pub fn apply(&self, x: &Array) -> Array {
        (x - &self.mean).matmul(&self.directions.t()) / &self.deviations
    }

    /// `[n, k]` to the nearest `[n, d]`.
    pub fn invert(&self, z: &Array) -> Array {
        (z * &self.deviations).matmul(&self.directions) + &self.mean
    }
}

/// Whole numbers from 0 to `levels - 1` spread uniformly over `[0, 1)`: `(x + u) / levels`.
pub fn dequantize(x: &Array, levels: usize, stream: &Stream) -> Array {
    (x + stream.uniform(x.shape(), x.dtype())) / levels as f64
}

/// `log(y / (1 - y))` at `y = 0.05 + 0.9 x`, for images in `[0, 1]` whose noise is a flow, with the logarithm of the determinant of each
/// example: it belongs to both `log p` and `log q`, cancels in their ratio, and counts in bits per dimension.
pub fn logit(x: &Array) -> (Array, Array) {
    let y = x * 0.9 + 0.05;
    let rest = 1.0 - &y;
    let slope = (0.9 / (&y * &rest)).ln();
    let n = x.shape()[0] as isize;
    ((y / rest).ln(), slope.reshape(&[n, -1]).sum(&[1]))
}
