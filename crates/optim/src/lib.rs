//! Training optimizers and minimizers.
//!
//! - training: [`Optimizer`] ([`Sgd`], [`Adam`], [`RmsProp`], [`AdaGrad`], [`AdaGradNorm`]), wrapped by [`Sam`] or [`Clipped`],
//!   fed by an [`Oracle`] that gives loss, gradient and curvature at any point; [`Schedule`]s and parameter [`Groups`]
//! - beyond first order: [`smoothing`] (noise, penalties, averages), [`gradient_normalized`] (Newton regularized by the gradient), [`mfac`] (inverse Fisher
//!   products), [`coordinate_clipping`], [`target_surrogate`]s, [`adaptive_batch`] sizes, [`mirror`] descent and its schedules; [`unlearning`];
//!   [`energy`] models without a known integral
//! - deterministic problems: [`minimize()`] with [`GradientDescent`], [`Lbfgs`] or [`NewtonCg`]
//! - looking at solutions: [`spectrum`] (Hessian eigenvalues), [`landscape`] (slices of the loss surface)
//! - [`config`]: optimizers as recipes name them; [`recipes`]: the recipe kinds of this crate
//! - [`problems`]: test functions with known optima

mod adafactor;
mod adagrad;
mod adam;
pub mod adaptive_batch;
mod clip;
pub mod config;
pub mod coordinate_clipping;
pub mod energy;
mod flat;
pub mod gradient_normalized;
mod groups;
pub mod landscape;
mod lion;
pub mod mfac;
pub mod minimize;
pub mod mirror;
mod optimizer;
pub mod problems;
pub mod recipes;
mod rmsprop;
mod sam;
mod schedule;
mod sgd;
mod sign_sgd;
pub mod smoothing;
pub mod spectrum;
pub mod target_surrogate;
pub mod unlearning;

pub use adafactor::Adafactor;
pub use adagrad::{AdaGrad, AdaGradNorm};
pub use adam::Adam;
pub use clip::{Clip, Clipped};
pub use flat::{Flat, Span};
pub use groups::{Group, Groups};
pub use lion::Lion;
pub use minimize::{
    GradientDescent, Lbfgs, Method, Minimum, NewtonCg, Objective, Options, Stop, minimize,
};
pub use optimizer::{
    Composite, CompositeOracle, LossOracle, Optimizer, Oracle, State, StepInfo, WithGradient,
};
pub use rmsprop::RmsProp;
pub use sam::Sam;
pub use schedule::Schedule;
pub use sgd::Sgd;
pub use sign_sgd::{NormalizedSgd, SignSgd};
