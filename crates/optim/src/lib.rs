//! Training optimizers and minimizers.
//!
//! - training: [`Optimizer`] ([`Sgd`], [`Adam`], [`RmsProp`], [`AdaGrad`], [`AdaGradNorm`]), wrapped by [`Sam`] or [`Clipped`],
//!   fed by an [`Oracle`] that gives loss, gradient and curvature at any point; [`Schedule`]s and parameter [`Groups`]
//! - deterministic problems: [`minimize()`] with [`GradientDescent`], [`Lbfgs`] or [`NewtonCg`]
//! - looking at solutions: [`spectrum`] (Hessian eigenvalues), [`landscape`] (slices of the loss surface)
//! - [`config`]: optimizers as recipes name them; [`recipes`]: the recipe kinds of this crate
//! - [`problems`]: test functions with known optima

mod adagrad;
mod adam;
mod clip;
pub mod config;
mod flat;
mod groups;
pub mod landscape;
pub mod minimize;
mod optimizer;
pub mod problems;
pub mod recipes;
mod rmsprop;
mod sam;
mod schedule;
mod sgd;
pub mod spectrum;

pub use adagrad::{AdaGrad, AdaGradNorm};
pub use adam::Adam;
pub use clip::{Clip, Clipped};
pub use flat::{Flat, Span};
pub use groups::{Group, Groups};
pub use minimize::{
    GradientDescent, Lbfgs, Method, Minimum, NewtonCg, Objective, Options, Stop, minimize,
};
pub use optimizer::{Composite, LossOracle, Optimizer, Oracle, State, StepInfo, WithGradient};
pub use rmsprop::RmsProp;
pub use sam::Sam;
pub use schedule::Schedule;
pub use sgd::Sgd;
