//! Vectors looked up by number.

use lisse_array::{Array, Stream, Tree};
use serde::{Deserialize, Serialize};

use crate::init::normal;

/// A table of vectors: `[...]` of integers below `count` to `[..., width]`.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Embedding {
    /// `[count, width]`
    pub weight: Array,
}

impl Embedding {
    /// Standard normal vectors, PyTorch's initial values.
    pub fn new(count: usize, width: usize, stream: &Stream) -> Embedding {
        Embedding { weight: normal(&stream.child("weight"), &[count, width], 1.0) }
    }

    /// The vectors of `indices`. Panics where an index lies outside the table.
    #[track_caller]
    pub fn forward(&self, indices: &Array) -> Array {
        self.weight.embedding(indices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_array::{DType, check, grad};

    #[test]
    fn rows_are_looked_up_and_collect_their_derivatives() {
        let table = Embedding { weight: Array::arange(0.0, 8.0, 1.0, DType::F64).reshape(&[4, 2]) };
        let indices = Array::from_slice(&[3i64, 1, 3], &[1, 3]);
        assert_eq!(table.forward(&indices).shape(), [1, 3, 2]);
        assert_eq!(table.forward(&indices).to_vec::<f64>(), [6.0, 7.0, 2.0, 3.0, 6.0, 7.0]);
        let g = grad(|t: &Embedding| t.forward(&indices).sum_all())(&table);
        assert_eq!(g.weight.to_vec::<f64>(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 2.0, 2.0]);
        check::gradient(|t: &Embedding| t.forward(&indices).tanh(), &table, 2).unwrap();
    }
}
