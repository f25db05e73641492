//! Kernels of the processor. Values are [`CpuTensor`]s, read through their layout and written in place where nothing else
//! refers to them.
//!
//! - `simd`: one loop compiled for several instruction sets; `math`: elementary functions for such loops
//! - `ops`, `integers`: the operations; `loops`: what runs them over slices
//! - `walk`: broadcasting; `elementwise`: both together on tensors
//! - `reduce`, `rows`: over axes; `band`: elements by magnitude; `combine`: sums and products of vectors; `copy`, `cast`: layouts and types; `update`: optimizer steps
//! - `parallel`: blocks of work that do not depend on the number of threads; `alloc`: memory for results

// A kernel is compiled for an instruction set by being inlined into a function that has it: this must not be a hint.
#![allow(clippy::inline_always)]

mod alloc;
mod band;
mod cast;
mod combine;
mod conv;
mod copy;
mod elementwise;
mod fill;
mod index;
mod integers;
mod layout;
mod loops;
mod math;
mod matmul;
mod ops;
mod parallel;
mod pool;
mod reduce;
mod resample;
mod rows;
mod scan;
mod simd;
mod sort;
mod store;
mod tensor;
mod update;
mod walk;

pub(crate) use alloc::{Buffer, output};
pub use band::Band;
pub(crate) use band::{band, sample};
pub(crate) use cast::cast;
pub(crate) use combine::{combine, products};
pub(crate) use conv::{Geometry, Real, conv, conv_input, conv_weight};
pub(crate) use copy::{contiguous, join};
pub(crate) use elementwise::{Logical, binary, compare, logical, logical_not, select, unary};
pub(crate) use fill::full;
pub(crate) use index::{gather, index_add, index_select, one_hot, place_block, scatter_add};
pub(crate) use layout::{Layout, Shape};
pub(crate) use math::Real as Float;
pub(crate) use matmul::matmul;
pub(crate) use ops::{Binary, Compare, Unary};
pub(crate) use pool::{Positions, Window, max_pool, put, take};
pub(crate) use reduce::{Reduce, arg_reduce, reduce};
pub(crate) use resample::{Resampler, resample};
pub(crate) use rows::{layer_norm_last, softmax_last};
pub(crate) use scan::{Cumulate, cumulate, linear_scan};
pub(crate) use sort::order_last;
pub(crate) use tensor::{CpuTensor, row_major, span, writable};
pub(crate) use update::{
    Adam, Descent, Leaf, Momentum, adam_update, displacement, gradient_update, momentum_update,
};

/// Runs `$body` with `$S` bound to the type in memory of a float dtype, else `$other`.
macro_rules! floats {
    ($dtype:expr, $S:ident => $body:expr, else $other:expr) => {
        match $dtype {
            $crate::DType::F64 => {
                type $S = f64;
                $body
            }
            $crate::DType::F32 => {
                type $S = f32;
                $body
            }
            $crate::DType::F16 => {
                type $S = half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $S = half::bf16;
                $body
            }
            _ => $other,
        }
    };
}
use floats;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timing;
