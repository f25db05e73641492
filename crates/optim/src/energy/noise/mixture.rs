//! Mixtures of Gaussians, fitted by expectation maximization.

use lisse_array::{Array, DType, Stream, Tree};
use serde::{Deserialize, Serialize};

use super::{Gaussian, Noise, NoiseError, rows};

/// `sum_k weight_k N(mean_k, covariance_k)`.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Mixture {
    /// Logarithms of the weights, `[k]`.
    pub log_weights: Array,
    /// The parts.
    pub components: Vec<Gaussian>,
}

/// How a [`Mixture`] is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixtureFit {
    /// Number of Gaussians.
    pub components: usize,
    /// Added to the diagonal of every covariance; 0.1 for data of unit variance.
    pub regularization: f64,
    /// Most rounds of expectation and maximization.
    pub rounds: usize,
    /// The fit ends when a round gains less log-likelihood per point.
    pub tolerance: f64,
}

impl Default for MixtureFit {
    fn default() -> MixtureFit {
        MixtureFit { components: 5, regularization: 0.1, rounds: 200, tolerance: 1e-5 }
    }
}

impl MixtureFit {
    /// Fits data `[n, d]`. The first centres are points drawn far from each other, by squared distance.
    ///
    /// # Errors
    /// Fewer points than components, or columns that depend on each other without regularization.
    pub fn fit(&self, data: &Array, stream: &Stream) -> Result<Mixture, NoiseError> {
        let values = rows("Mixture::fit", data, self.components.max(1) + 1)?;
        if self.components == 0 {
            let (found, expected) = ("0 components".to_string(), "at least 1");
            return Err(NoiseError::Input { what: "Mixture::fit", found, expected });
        }
        let n = values.shape()[0];
        let nearest = squared_distances(&values, &self.centres(&values, stream)).argmin(1);
        let mut shares = Array::one_hot(&nearest, self.components, DType::F64);
        let mut before = f64::NEG_INFINITY;
        let mut mixture = self.maximize(&values, &shares)?;
        for _ in 0..self.rounds {
            let joint = mixture.joint(&values);
            let total = joint.logsumexp_keep(&[1]);
            shares = (joint - &total).exp();
            mixture = self.maximize(&values, &shares)?;
            let now = total.sum_all().item() / n as f64;
            if now - before < self.tolerance {
                break;
            }
            before = now;
        }
        Ok(mixture.map(|leaf| leaf.cast(data.dtype())))
    }

    fn centres(&self, values: &Array, stream: &Stream) -> Array {
        let n = values.shape()[0] as u64;
        let mut centres = values.narrow(0, stream.child("first").below(n) as usize, 1);
        for k in 1..self.components {
            let distance = squared_distances(values, &centres).min(&[1]);
            // All points alike: any will do.
            let weights =
                if distance.max_all().item() > 0.0 { distance } else { distance.ones_like() };
            let chosen = stream.at(k as u64).categorical(&weights, 1);
            centres = Array::cat(&[&centres, &values.index_select(0, &chosen)], 0);
        }
        centres
    }

    /// The best mixture for given shares of points in components, `[n, k]`.
    fn maximize(&self, values: &Array, shares: &Array) -> Result<Mixture, NoiseError> {
        let dim = values.shape()[1];
        // A component that lost all points keeps a trace of weight instead of dividing by 0.
        let counts = shares.sum(&[0]) + 1e-10;
        let mut components = Vec::with_capacity(self.components);
        for k in 0..self.components {
            let weights = shares.narrow(1, k, 1) / counts.narrow(0, k, 1);
            let mean = (values * &weights).sum(&[0]);
            let centred = values - &mean;
            let covariance = (&centred * &weights).t().matmul(&centred);
            let spread = Array::eye(dim, DType::F64) * self.regularization;
            components.push(Gaussian::new(&mean, &(covariance + spread))?);
        }
        Ok(Mixture { log_weights: counts.ln().log_softmax(0), components })
    }
}

/// `[n, k]`
fn squared_distances(values: &Array, centres: &Array) -> Array {
    (values.unsqueeze(1) - centres.unsqueeze(0)).square().sum(&[2])
}

impl Mixture {
    /// `log weight_k + log N_k(x)`, `[n, k]`.
    fn joint(&self, x: &Array) -> Array {
        let parts: Vec<Array> = self.components.iter().map(|c| c.log_density(x)).collect();
        Array::stack(&parts.iter().collect::<Vec<_>>(), 1) + &self.log_weights
    }
}

impl Noise for Mixture {
    fn sample(&self, count: usize, stream: &Stream) -> Array {
        let dtype = self.log_weights.dtype();
        let chosen = stream.child("component").categorical_logits(&self.log_weights, count);
        let chosen = Array::one_hot(&chosen, self.components.len(), dtype);
        let dim = self.components.first().map_or(0, Gaussian::dim);
        let white = stream.normal(&[count, dim], dtype);
        let mut x = white.zeros_like();
        for (k, component) in self.components.iter().enumerate() {
            x = x + component.colour(&white) * chosen.narrow(1, k, 1);
        }
        x
    }

    fn log_density(&self, x: &Array) -> Array {
        self.joint(x).logsumexp(&[1])
    }
}
