//! Energies, and what makes them densities.

use lisse_array::{Array, Tree};
use lisse_nn::{Context, Model};
use serde::{Deserialize, Serialize};

use super::Noise;

/// A function `E` of parameters and data that is to become a density `p(x) = e^{-E(x)} / Z`.
///
/// Every model of `lisse_nn` with one output per example is one: its output is the energy.
///
/// ```
/// use lisse_array::{Array, Tree};
/// use lisse_optim::energy::Energy;
/// /// `E(x) = |x - location|^2 / 2`
/// #[derive(Clone, Tree)]
/// struct Bowl {
///     location: Array,
/// }
/// impl Energy for Bowl {
///     fn energy(&self, x: &Array) -> Array {
///         (x - &self.location).square().sum(&[1]) * 0.5
///     }
/// }
/// let bowl = Bowl { location: Array::from_slice(&[1.0, 0.0], &[2]) };
/// let x = Array::from_slice(&[1.0, 2.0, 0.0, 0.0], &[2, 2]);
/// assert_eq!(bowl.energy(&x).to_vec::<f64>(), [2.0, 0.5]);
/// ```
pub trait Energy: Tree {
    /// `E` of every example of a batch `[n, ...]`: `[n]`.
    fn energy(&self, x: &Array) -> Array;
}

impl<M: Model> Energy for M {
    fn energy(&self, x: &Array) -> Array {
        let output = self.forward(x, &Context::eval());
        assert!(
            output.len() == x.shape()[0],
            "energy: a network for {} examples must give {} numbers, got shape {:?}",
            x.shape()[0],
            x.shape()[0],
            output.shape()
        );
        output.reshape(&[-1])
    }
}

/// What the energy is measured from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `log p0 = -E`
    Free,
    /// `log p0 = log q - E`: the energy corrects the noise. With `E = 0` at first all weights are equal: the best start.
    #[default]
    Residual,
}

impl Form {
    /// `log p0 - log q`, from energies and `log q`.
    pub(super) fn log_ratio(self, energy: &Array, log_q: &Array) -> Array {
        match self {
            Form::Free => -energy - log_q,
            Form::Residual => -energy,
        }
    }

    /// `log p0`.
    pub(super) fn log_p0(self, energy: &Array, log_q: &Array) -> Array {
        match self {
            Form::Free => -energy,
            Form::Residual => log_q - energy,
        }
    }
}

/// An energy with the logarithm of its normalization where that is learned: what is trained.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Parameters<M> {
    /// The energy.
    pub energy: M,
    /// `c`, one float; only for objectives that learn it.
    pub log_z: Option<Array>,
}

/// An energy and its noise, to be looked at: unnormalized densities and ratios.
#[derive(Clone, Copy)]
pub struct Density<'a, M> {
    /// The energy.
    pub energy: &'a M,
    /// What it is measured from.
    pub form: Form,
    /// The noise.
    pub noise: &'a dyn Noise,
}

impl<M: Energy> Density<'_, M> {
    /// `log p0` of every row.
    pub fn log_p0(&self, x: &Array) -> Array {
        let energy = self.energy.energy(x);
        match self.form {
            Form::Free => -energy,
            Form::Residual => self.noise.log_density(x) - energy,
        }
    }

    /// `log p0 - log q` of every row.
    pub fn log_ratio(&self, x: &Array) -> Array {
        let energy = self.energy.energy(x);
        match self.form {
            Form::Free => -energy - self.noise.log_density(x),
            Form::Residual => -energy,
        }
    }
}

/// `E(x) = |x|^2 / 2 - theta . x`, or without the square: Gaussians of unit covariance in their natural parameter, and
/// exponential tilts of the noise.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Tilt {
    /// `theta`, `[d]`.
    pub theta: Array,
    /// Whether `|x|^2 / 2` is there.
    pub square: bool,
}

impl Energy for Tilt {
    fn energy(&self, x: &Array) -> Array {
        let linear = -(x * &self.theta).sum(&[1]);
        if self.square { linear + x.square().sum(&[1]) * 0.5 } else { linear }
    }
}

/// `E(x) = |x - location|^2 / 2`: a Gaussian in its mean parameter.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Location {
    /// `[d]`
    pub location: Array,
}

impl Energy for Location {
    fn energy(&self, x: &Array) -> Array {
        (x - &self.location).square().sum(&[1]) * 0.5
    }
}
