//! One vector in place of a tree: what methods need that look at all parameters at once.

use std::ops::Range;

use lisse_array::{Array, Tree};

/// Where the trained leaves of a tree lie in one flat vector.
///
/// Buffers are left out: they are not trained, so no method may see them.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::Flat;
/// let tree = (Array::from_slice(&[1.0f32, 2.0], &[2]), Array::from_slice(&[3.0f32], &[1]));
/// let flat = Flat::of(&tree);
/// let vector = flat.gather(&tree);
/// assert_eq!(vector.to_vec::<f32>(), [1.0, 2.0, 3.0]);
/// let doubled = flat.scatter(&tree, &(vector * 2.0));
/// assert_eq!(doubled.1.item(), 6.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Flat {
    /// The trained leaves in the tree's order.
    pub spans: Vec<Span>,
    len: usize,
}

/// One trained leaf's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Path of the leaf.
    pub path: String,
    /// Index among all leaves of the tree, buffers included.
    pub leaf: usize,
    /// Elements of the vector.
    pub range: Range<usize>,
    /// Shape of the leaf.
    pub shape: Vec<usize>,
}

impl Flat {
    /// The view of a tree's trained leaves.
    pub fn of<P: Tree>(tree: &P) -> Flat {
        let trainable = tree.trainable();
        let mut spans = Vec::new();
        let mut start = 0;
        for (leaf, (path, array)) in tree.named_leaves().into_iter().enumerate() {
            if trainable[leaf] {
                let range = start..start + array.len();
                start = range.end;
                spans.push(Span { path, leaf, range, shape: array.shape().to_vec() });
            }
        }
        Flat { spans, len: start }
    }

    /// The view of those trained leaves for which `keep`, one for each leaf of the tree, is true.
    pub fn among<P: Tree>(tree: &P, keep: &[bool]) -> Flat {
        let mut flat = Flat::of(tree);
        flat.spans.retain(|span| keep[span.leaf]);
        flat.len = 0;
        for span in &mut flat.spans {
            let end = flat.len + span.range.len();
            span.range = flat.len..end;
            flat.len = end;
        }
        flat
    }

    /// Elements of the vector.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is trained.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The trained leaves as one vector, in the dtype of the first.
    ///
    /// A tree of one contiguous leaf is not copied.
    pub fn gather<P: Tree>(&self, tree: &P) -> Array {
        let leaves = tree.leaves();
        let parts: Vec<Array> =
            self.spans.iter().map(|span| leaves[span.leaf].reshape(&[-1])).collect();
        if parts.len() == 1 {
            return parts.into_iter().next().expect("one part");
        }
        Array::cat(&parts.iter().collect::<Vec<_>>(), 0)
    }

    /// The tree with its trained leaves taken from `vector`, as views of it; buffers stay those of `like`.
    ///
    /// # Panics
    /// If `vector` has another length.
    pub fn scatter<P: Tree>(&self, like: &P, vector: &Array) -> P {
        assert_eq!(vector.shape(), [self.len], "Flat::scatter: a vector of {} elements", self.len);
        let mut leaves: Vec<Array> = like.leaves().into_iter().cloned().collect();
        for span in &self.spans {
            let shape: Vec<isize> = span.shape.iter().map(|&n| n as isize).collect();
            leaves[span.leaf] =
                vector.narrow(0, span.range.start, span.range.len()).reshape(&shape);
        }
        like.with_leaves(leaves)
    }

    /// The leaf that holds element `index`.
    pub fn span_of(&self, index: usize) -> Option<&Span> {
        let after = self.spans.partition_point(|span| span.range.end <= index);
        self.spans.get(after)
    }
}

#[cfg(test)]
mod tests {
    use lisse_array::DType;

    use super::*;

    #[test]
    fn elements_know_their_leaves_and_empty_leaves_own_none() {
        let tree = (
            Array::arange(0.0, 4.0, 1.0, DType::F64).reshape(&[2, 2]),
            (Array::zeros(&[0], DType::F64), Array::arange(4.0, 7.0, 1.0, DType::F64)),
        );
        let flat = Flat::of(&tree);
        assert_eq!(flat.len(), 7);
        assert_eq!(flat.span_of(3).unwrap().path, "0");
        assert_eq!(flat.span_of(4).unwrap().path, "1.1");
        assert!(flat.span_of(7).is_none());
        let vector = flat.gather(&tree);
        assert_eq!(vector.to_vec::<f64>(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let back = flat.scatter(&tree, &vector);
        assert_eq!(back.0.shape(), [2, 2]);
        assert_eq!(back.1.1.to_vec::<f64>(), [4.0, 5.0, 6.0]);
    }
}
