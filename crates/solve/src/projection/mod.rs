//! Euclidean projections `argmin_{p in C} |p - x|^2` onto convex (and a few other) sets, with derivatives of any order.
//!
//! | set | on arrays | on slices |
//! | --- | --- | --- |
//! | `x >= 0` | [`non_negative`] | [`slices::non_negative`] |
//! | `low <= x <= high` | [`boxed`] | [`slices::boxed`] |
//! | `x >= 0, sum x = total` | [`simplex`], [`sparse_simplex`] | [`slices::simplex`], [`slices::sparse_simplex`] |
//! | `\|x\|_1`, `\|x\|_2`, `\|x\|_inf` at most `radius` | [`l1_ball`], [`l2_ball`], [`linf_ball`] | the same |
//! | `\|x\|_1`, `\|x\|_2` equal to `radius` | [`l1_sphere`], [`l2_sphere`] | |
//! | `a.x = b`, `a.x <= b` | [`hyperplane`], [`half_space`] | [`slices::hyperplane`], [`slices::half_space`] |
//! | `A x = b` | [`affine`] | |
//! | `A x = b, G x <= h` | [`polyhedron`] | |
//! | `low <= x <= high, w.x = c` | [`box_section`] | [`slices::box_section`] |
//! | `\|x\|_2 <= t` | [`second_order_cone`] | [`slices::second_order_cone`] |
//! | symmetric, no negative eigenvalue | [`positive_semidefinite`] | |
//! | `P >= 0, P 1 = a, P' 1 = b` | [`transport`], [`transport_kl`], [`birkhoff`] | |
//! | `x_1 <= ... <= x_n` | [`isotonic`] | [`slices::isotonic`] |
//! | hull of the permutations of `w` | [`permutahedron`] | [`slices::permutahedron`] |
//!
//! **Derivatives.** The set of active constraints is found on the values; on it a projection is a closed form (mostly affine), and that
//! closed form is what is written in array operations. Its derivatives are those of the projection wherever it has any, to every
//! order, and cost no differentiated sort. On the boundary between two active sets they belong to one of the two: an element of the
//! generalized Jacobian. Parameters of the sets (radius, bounds, normal vectors, marginals) are differentiable arguments too.
//!
//! Everything is f64. Functions of vectors work on the last axis of an array and treat the others as a batch, where they say so.

mod cones;
mod isotonic;
mod polyhedra;
pub mod slices;
mod transport;
mod vectors;

#[cfg(test)]
mod tests;

pub use cones::{positive_semidefinite, second_order_cone};
pub use isotonic::{isotonic, permutahedron};
pub use polyhedra::{affine, polyhedron};
pub use transport::{birkhoff, transport, transport_kl};
pub use vectors::{
    box_section, boxed, half_space, hyperplane, l1_ball, l1_sphere, l2_ball, l2_sphere, linf_ball,
    non_negative, simplex, sparse_simplex,
};

use lisse_array::linalg::LinalgError;
use lisse_array::{Array, DType};
use rayon::prelude::*;

/// A projection that does not exist or whose arguments do not describe a set.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// NaN or infinity where a number is needed.
    #[error("{set}: {argument} is not finite at element {index}: {value}")]
    NotFinite {
        /// The projection.
        set: &'static str,
        /// Which argument.
        argument: &'static str,
        /// Flat index of the element.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// No point satisfies the constraints.
    #[error("{set}: the set is empty: {reason}")]
    Empty {
        /// The projection.
        set: &'static str,
        /// Why there is no such point.
        reason: String,
    },
    /// Several points are nearest.
    #[error("{set}: no nearest point is the only one: {reason}")]
    NotUnique {
        /// The projection.
        set: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// An array of the wrong shape.
    #[error("{set}: {argument} must have {expected}, not shape {found:?}")]
    Shape {
        /// The projection.
        set: &'static str,
        /// Which argument.
        argument: &'static str,
        /// The shape it needs, in words.
        expected: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// An array that is not f64.
    #[error("{set}: {argument} must be f64, not {found}; cast it first")]
    NotF64 {
        /// The projection.
        set: &'static str,
        /// Which argument.
        argument: &'static str,
        /// Its type.
        found: DType,
    },
    /// A number out of range.
    #[error("{set}: {argument} must be {expected}, not {value}")]
    OutOfRange {
        /// The projection.
        set: &'static str,
        /// Which argument.
        argument: &'static str,
        /// What would be right.
        expected: &'static str,
        /// What it is.
        value: f64,
    },
    /// An iteration ended short of its tolerance.
    #[error("{set}: {iterations} iterations left an error of {error:e}; {advice}")]
    NotConverged {
        /// The projection.
        set: &'static str,
        /// Iterations taken.
        iterations: usize,
        /// Largest violation of a constraint.
        error: f64,
        /// What to try.
        advice: &'static str,
    },
    /// A factorization failed.
    #[error("{set}: {source}")]
    Linalg {
        /// The projection.
        set: &'static str,
        /// How.
        source: LinalgError,
    },
}

/// The result of a projection.
pub type Projected = Result<Array, ProjectionError>;

/// The elements of a finite f64 array.
pub(crate) fn finite(
    set: &'static str,
    argument: &'static str,
    x: &Array,
) -> Result<Vec<f64>, ProjectionError> {
    if x.dtype() != DType::F64 {
        return Err(ProjectionError::NotF64 { set, argument, found: x.dtype() });
    }
    let values = x.to_f64_vec();
    slices::check_finite(set, argument, &values)?;
    Ok(values)
}

/// The only element of a finite f64 array.
pub(crate) fn number(
    set: &'static str,
    argument: &'static str,
    x: &Array,
) -> Result<f64, ProjectionError> {
    let values = finite(set, argument, x)?;
    match values[..] {
        [value] => Ok(value),
        _ => Err(shape_error(set, argument, "one element", x)),
    }
}

pub(crate) fn shape_error(
    set: &'static str,
    argument: &'static str,
    expected: impl Into<String>,
    x: &Array,
) -> ProjectionError {
    ProjectionError::Shape { set, argument, expected: expected.into(), found: x.shape().to_vec() }
}

/// Length of the last axis, above 0.
pub(crate) fn last_axis(set: &'static str, x: &Array) -> Result<usize, ProjectionError> {
    match x.shape().last() {
        Some(&n) if n > 0 => Ok(n),
        _ => Err(shape_error(set, "the point", "a last axis with at least one element", x)),
    }
}

/// A constant of the shape and on the device of `like`, filled row by row (last axis) from `values`.
pub(crate) fn by_rows(
    like: &Array,
    values: &[f64],
    columns: usize,
    fill: impl Fn(&[f64], &mut [f64]) + Sync,
) -> Array {
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut(columns)
        .zip(values.par_chunks(columns))
        .with_min_len(1 + 4096 / columns)
        .for_each(|(out, row)| fill(row, out));
    constant(like, out, like.shape())
}

/// A constant on the device of `like`.
pub(crate) fn constant(like: &Array, values: Vec<f64>, shape: &[usize]) -> Array {
    like.device().with(|| Array::from_vec::<f64>(values, shape))
}
