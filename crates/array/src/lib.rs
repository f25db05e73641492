//! Arrays with derivatives of any order.
//!
//! - [`Array`]: an n-dimensional array on a [`Device`]; operations in [`ops`]
//! - [`Tree`]: structures whose leaves are arrays
//! - transformations: [`grad`], [`value_and_grad`], [`vjp`], [`jvp`], [`hvp`], [`jacobian`], [`hessian`],
//!   [`per_example_grad`], [`checkpoint`], [`custom_vjp`], freely nested
//! - [`linalg`]: dense solves and factorizations; [`sparse`]: sparse matrices; both with derivatives
//! - [`random`]: counter-based random streams
//! - [`check`]: derivatives against finite differences
#[allow(unused_extern_crates)] // the derive names this crate by its full name
extern crate self as lisse_array;

mod array;
mod bytes;
pub mod check;
mod cpu;
mod device;
mod dtype;
pub mod fused;
#[cfg(feature = "gpu")]
mod gpu;
pub mod linalg;
pub mod ops;
pub mod random;
mod serde_impl;
mod shape;
pub mod sparse;
mod storage;
mod tape;
mod text;
mod transform;
mod tree;

pub use array::Array;
pub use device::{Device, UnknownDevice};
pub use dtype::{DType, Element, UnknownDType};
pub use half::{bf16, f16};
pub use lisse_macros::Tree;
pub use random::Stream;
pub use transform::{
    checkpoint, custom_vjp, grad, hessian, hvp, jacobian, jvp, per_example_grad, value_and_grad,
    value_and_grad_aux, value_grad_hvp, vjp,
};
pub use tree::{Path, Segment, Tree};
