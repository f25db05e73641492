//! Densities that can be drawn from and evaluated: what unnormalized models are compared with.

mod flow;
mod gaussian;
mod mixture;

use lisse_array::{Array, DType, Stream, Tree};
use serde::{Deserialize, Serialize};

pub use flow::{Coupling, Flow, FlowFit};
pub use gaussian::Gaussian;
pub use mixture::{Mixture, MixtureFit};

/// A density `q` with known normalization.
///
/// Choose `q` no narrower than the data, in any direction: the ratio `p/q` has infinite variance otherwise.
pub trait Noise {
    /// `count` independent points, stacked along a leading axis.
    fn sample(&self, count: usize, stream: &Stream) -> Array;

    /// `log q` of every row, `[n]`; differentiable in `x`.
    fn log_density(&self, x: &Array) -> Array;
}

impl<Q: Noise + ?Sized> Noise for Box<Q> {
    fn sample(&self, count: usize, stream: &Stream) -> Array {
        (**self).sample(count, stream)
    }
    fn log_density(&self, x: &Array) -> Array {
        (**self).log_density(x)
    }
}

impl<Q: Noise + ?Sized> Noise for std::sync::Arc<Q> {
    fn sample(&self, count: usize, stream: &Stream) -> Array {
        (**self).sample(count, stream)
    }
    fn log_density(&self, x: &Array) -> Array {
        (**self).log_density(x)
    }
}

/// Why a density could not be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoiseError {
    /// Data of the wrong shape, or too few.
    #[error("{what}: {found}; expected {expected}")]
    Input {
        /// Which density.
        what: &'static str,
        /// What was given.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A covariance that is not positive definite.
    #[error(
        "{what}: the covariance is not positive definite ({problem}); drop constant or dependent columns, or add to its diagonal"
    )]
    Covariance {
        /// Which density.
        what: &'static str,
        /// The failed factorization.
        problem: String,
    },
}

/// Rows of `[n, d]` finite floats, at least `least` of them, as f64.
pub(in crate::energy) fn rows(
    what: &'static str,
    data: &Array,
    least: usize,
) -> Result<Array, NoiseError> {
    let fits = data.rank() == 2 && data.shape()[0] >= least && data.shape()[1] > 0;
    if !fits || !data.dtype().is_float() {
        let found = format!("{} data of shape {:?}", data.dtype(), data.shape());
        let expected = if least > 1 {
            "floats of shape [n, d] with more rows than components"
        } else {
            "floats of shape [n, d]"
        };
        return Err(NoiseError::Input { what, found, expected });
    }
    if !data.all_finite() {
        let (found, expected) = ("data with NaN or infinities".to_string(), "finite numbers");
        return Err(NoiseError::Input { what, found, expected });
    }
    Ok(data.cast(DType::F64))
}

/// The uniform density on a box; `log q` is minus infinity outside.
///
/// ```
/// use lisse_array::{Array, DType, Stream};
/// use lisse_optim::energy::{Noise, UniformBox};
/// let noise = UniformBox::new(&[-1.0, 0.0], &[1.0, 3.0], DType::F64)?;
/// let inside = noise.sample(100, &Stream::new(0));
/// assert!((noise.log_density(&inside).max_all().item() + 6f64.ln()).abs() < 1e-12);
/// # Ok::<(), lisse_optim::energy::NoiseError>(())
/// ```
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct UniformBox {
    /// Lower corner, `[d]`.
    pub low: Array,
    /// Sides, `[d]`, above 0.
    pub width: Array,
}

impl UniformBox {
    /// The box between two corners.
    ///
    /// # Errors
    /// Corners of different or no dimension, or a side that is not above 0.
    pub fn new(low: &[f64], high: &[f64], dtype: DType) -> Result<UniformBox, NoiseError> {
        let ordered = low.iter().zip(high).all(|(l, h)| l < h && (h - l).is_finite());
        if low.is_empty() || low.len() != high.len() || !ordered {
            let found = format!("corners {low:?} and {high:?}");
            let expected = "finite corners of one dimension, the second above the first";
            return Err(NoiseError::Input { what: "UniformBox", found, expected });
        }
        let array = |values: &[f64]| Array::from_slice(values, &[values.len()]).cast(dtype);
        Ok(UniformBox { low: array(low), width: array(high) - array(low) })
    }

    /// The smallest box around data `[n, d]`, widened by `margin` times its side on each side.
    ///
    /// # Errors
    /// Data that are no finite rows, or constant in a column.
    pub fn fit(data: &Array, margin: f64) -> Result<UniformBox, NoiseError> {
        let values = rows("UniformBox::fit", data, 1)?;
        let (low, high) = (values.min(&[0]), values.max(&[0]));
        let extra = (&high - &low) * margin;
        UniformBox::new(&(low - &extra).to_f64_vec(), &(high + extra).to_f64_vec(), data.dtype())
    }
}

impl Noise for UniformBox {
    fn sample(&self, count: usize, stream: &Stream) -> Array {
        stream.uniform(&[count, self.low.len()], self.low.dtype()) * &self.width + &self.low
    }

    fn log_density(&self, x: &Array) -> Array {
        let from_centre = ((x - &self.low) / &self.width - 0.5).abs().max(&[1]).stop_gradient();
        // Single precision may round a drawn point onto the border.
        let outside = from_centre.greater(&from_centre.full_like(0.5 + 1e-6));
        // Constant inside, as a function of x too: its gradient is 0 and not absent.
        let level = (x * 0.0).sum(&[1]) - self.width.ln().sum_all();
        Array::select(&outside, &level.full_like(f64::NEG_INFINITY), &level)
    }
}
