//! Densities without their normalization: energies, learned by maximum likelihood (MECO) or against noise.
//!
//! A model is any [`Energy`]: a tree with a function from a batch to one number per example. It becomes the density
//! `p0 = e^{-E}` or, in [`Form::Residual`], `p0 = q e^{-E}`, whose integral `Z` nobody knows. An [`Estimator`] trains it with a
//! [`Noise`] `q` that can be drawn from and evaluated, by an [`Objective`]: [`Meco`], noise contrastive estimation and its kin, contrastive
//! divergence, score matching. Afterwards [`Partition`] estimates `Z`, [`resample`] and [`Langevin`] draw from the model, and
//! [`auroc`] says how well the energy tells foreign data.
//!
//! Reference: W. Jiang, J. Qin, L. Wu, C. Chen, T. Yang, L. Zhang, *Learning Unnormalized Statistical Models via
//! Compositional Optimization*, ICML 2023.

// The model.
mod conv;
mod model;
mod noise;
pub use conv::ConvEnergy;
pub use model::{Density, Energy, Form, Location, Parameters, Tilt};
pub use noise::{
    Coupling, Flow, FlowFit, Gaussian, Mixture, MixtureFit, Noise, NoiseError, UniformBox,
};

// Learning.
mod average;
mod fit;
mod meco;
mod objective;
pub use average::GradientAverage;
pub use fit::{EnergyOracle, Estimator, Fit};
pub use meco::{Meco, Tracker, effective_share};
pub use objective::{Batch, ContrastiveDivergence, Objective};

// Looking.
mod measure;
mod sample;
pub use measure::{Partition, auroc, false_positive_rate};
pub use sample::{Langevin, NotADensity, resample, score};

// Data.
mod planar;
mod whiten;
pub use planar::Planar;
pub use whiten::{Whitener, dequantize, logit};

#[cfg(test)]
mod tests;
