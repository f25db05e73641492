//! Trees as f64 vectors for the linear solvers.

use lisse_array::{Array, DType, Tree};

use super::ImplicitError;

/// Refuses leaves that are not finite or of a type that no solver takes.
pub(super) fn check<X: Tree>(what: &'static str, x: &X) -> Result<(), ImplicitError> {
    for ((leaf, array), trained) in x.named_leaves().into_iter().zip(x.trainable()) {
        if !trained {
            continue;
        }
        let dtype = array.dtype();
        if !matches!(dtype, DType::F64 | DType::F32) {
            return Err(ImplicitError::Type { what, leaf, dtype });
        }
        if !array.all_finite() {
            return Err(ImplicitError::NotFinite { what, leaf });
        }
    }
    Ok(())
}

/// Elements of the trained leaves.
pub(super) fn len<X: Tree>(x: &X) -> usize {
    let leaves = x.leaves().into_iter().zip(x.trainable());
    leaves.filter(|(_, trained)| *trained).map(|(leaf, _)| leaf.len()).sum()
}

/// The trained leaves one after another.
pub(super) fn to_vector<X: Tree>(x: &X) -> Vec<f64> {
    let mut leaves = x.leaves().into_iter().zip(x.trainable()).filter(|(_, trained)| *trained);
    let Some((first, _)) = leaves.next() else { return Vec::new() };
    let mut vector = first.to_f64_vec();
    for (leaf, _) in leaves {
        vector.extend(leaf.to_f64_vec());
    }
    vector
}

/// A tree like `like` with its trained leaves taken from `vector`, the others zero.
pub(super) fn from_vector<X: Tree>(like: &X, vector: &[f64]) -> X {
    let mut start = 0;
    like.map_named(|path, leaf| {
        if !leaf.dtype().is_float() || path.is_buffer() {
            return leaf.zeros_like();
        }
        let part = Array::from_slice(&vector[start..start + leaf.len()], leaf.shape());
        start += leaf.len();
        part.cast(leaf.dtype()).to_device(leaf.device())
    })
}

/// NaN in every trained leaf: what a failed solve leaves behind.
pub(super) fn poisoned<X: Tree>(like: &X) -> X {
    from_vector(like, &vec![f64::NAN; len(like)])
}
