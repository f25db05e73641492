//! Operations on GPU tensors through Burn's dispatching backend.
//!
//! - `devices`: which devices there are, and which element types their kernels take
//! - `tensor`: the value of an array, on the device or, where the device cannot hold it, in host memory
//! - `elementwise`: `floats` and `integers` on the device, composed where Burn has no kernel of the same meaning
//! - `reduce`, `index`, `views`, `conv`, `matmul`: the rest
//!
//! Each operation here runs on the device or, through the kernels of the processor, on the host; callers cannot tell.

mod conv;
mod devices;
mod elementwise;
mod floats;
mod index;
mod integers;
mod matmul;
mod reduce;
mod tensor;
mod views;

pub(crate) use conv::{ConvMap, conv};
pub(crate) use devices::devices;
pub(crate) use elementwise::{binary, cast, compare, logical, logical_not, select, unary};
pub(crate) use index::{gather, index_add, index_select, scatter_add};
pub(crate) use matmul::matmul;
pub(crate) use reduce::{cumulate, reduce};
pub(crate) use tensor::{Tensor, full};
pub(crate) use views::{cat, expand, flip, permute, place_block, reshape, slice};
