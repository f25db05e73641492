//! Structures whose leaves are arrays: parameters, gradients, optimizer and solver states.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{Array, DType};

/// One step from a tree to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A field of a struct.
    Field(&'static str),
    /// A position in a list or tuple.
    Index(usize),
    /// A key of a map.
    Key(Arc<str>),
}

/// Where a leaf is: `blocks.3.attn.q.weight`.
#[derive(Clone, Debug, Default)]
pub struct Path {
    segments: Vec<Segment>,
    /// Depth of segments at which buffers begin, outermost first.
    buffers: Vec<usize>,
}

impl Path {
    /// The root.
    pub fn root() -> Path {
        Path::default()
    }

    /// Goes down to a part.
    pub fn enter(&mut self, segment: Segment) {
        self.segments.push(segment);
    }

    /// Goes down to a part whose leaves are buffers: saved with the weights, but not trained.
    pub fn enter_buffer(&mut self, segment: Segment) {
        self.segments.push(segment);
        self.buffers.push(self.segments.len());
    }

    /// Goes back up.
    pub fn leave(&mut self) {
        if self.buffers.last() == Some(&self.segments.len()) {
            self.buffers.pop();
        }
        self.segments.pop();
    }

    /// Whether the leaf is a buffer rather than a parameter.
    pub fn is_buffer(&self) -> bool {
        !self.buffers.is_empty()
    }

    /// The steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            match segment {
                Segment::Field(name) => f.write_str(name)?,
                Segment::Index(i) => write!(f, "{i}")?,
                Segment::Key(key) => f.write_str(key)?,
            }
        }
        Ok(())
    }
}

/// A structure whose leaves are [`Array`]s, each with a path. Use `#[derive(Tree)]`.
///
/// ```
/// use lisse_array::{Array, DType, Tree};
/// #[derive(Clone, Tree)]
/// struct Line { slope: Array, offset: Array }
/// let p = Line { slope: Array::scalar(2.0f64), offset: Array::scalar(1.0f64) };
/// assert_eq!(p.named_leaves()[1].0, "offset");
/// assert_eq!(p.dot(&p), 5.0);
/// ```
pub trait Tree: Clone {
    /// Visits the leaves in a fixed order.
    fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array));

    /// The same tree with each leaf replaced, in the same order.
    fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self;

    /// The leaves in order.
    fn leaves(&self) -> Vec<&Array> {
        let mut leaves = Vec::new();
        self.visit(&mut Path::root(), &mut |_, leaf| leaves.push(leaf));
        leaves
    }

    /// The leaves with their paths, in order.
    fn named_leaves(&self) -> Vec<(String, &Array)> {
        let mut leaves = Vec::new();
        self.visit(&mut Path::root(), &mut |path, leaf| leaves.push((path.to_string(), leaf)));
        leaves
    }

    /// For each leaf in order, whether it is trained: a float that is not a buffer.
    fn trainable(&self) -> Vec<bool> {
        let mut trainable = Vec::new();
        self.visit(&mut Path::root(), &mut |path, leaf| {
            trainable.push(leaf.dtype().is_float() && !path.is_buffer());
        });
        trainable
    }

    /// The same tree with `f` applied to each leaf.
    fn map(&self, mut f: impl FnMut(&Array) -> Array) -> Self
    where
        Self: Sized,
    {
        self.rebuild(&mut Path::root(), &mut |_, leaf| f(leaf))
    }

    /// The same tree with `f` applied to each leaf and its path.
    fn map_named(&self, mut f: impl FnMut(&Path, &Array) -> Array) -> Self
    where
        Self: Sized,
    {
        self.rebuild(&mut Path::root(), &mut f)
    }

    /// Combines two trees of the same structure leaf by leaf.
    fn zip_map(&self, other: &Self, mut f: impl FnMut(&Array, &Array) -> Array) -> Self
    where
        Self: Sized,
    {
        let others = other.leaves();
        let mut others = others.into_iter();
        self.map(|leaf| f(leaf, others.next().expect("zip_map: the second tree has fewer leaves")))
    }

    /// The same structure with the given leaves, in order.
    fn with_leaves(&self, leaves: impl IntoIterator<Item = Array>) -> Self
    where
        Self: Sized,
    {
        let mut leaves = leaves.into_iter();
        let tree = self.map(|_| leaves.next().expect("with_leaves: too few leaves"));
        assert!(leaves.next().is_none(), "with_leaves: too many leaves");
        tree
    }

    /// Takes the leaves out, leaving placeholders: buffers that nothing else holds can then be reused by an update.
    fn take_leaves(&mut self) -> Vec<Array>
    where
        Self: Sized,
    {
        let leaves = self.leaves().into_iter().cloned().collect();
        let placeholder = Array::zeros(&[], DType::F32);
        *self = self.map(|_| placeholder.clone());
        leaves
    }

    /// Number of elements over all leaves.
    fn count(&self) -> usize {
        self.leaves().iter().map(|leaf| leaf.len()).sum()
    }

    /// Inner product over the trained leaves.
    fn dot(&self, other: &Self) -> f64
    where
        Self: Sized,
    {
        self.dot_array(other).item()
    }

    /// Inner product over the trained leaves, as a differentiable scalar in the first trained leaf's dtype.
    fn dot_array(&self, other: &Self) -> Array
    where
        Self: Sized,
    {
        let trainable = self.trainable();
        let mut sum: Option<Array> = None;
        for ((a, b), trained) in self.leaves().into_iter().zip(other.leaves()).zip(trainable) {
            if trained {
                let term = (a * b).sum_all();
                sum = Some(match sum {
                    Some(s) => s + term.cast(a.dtype()),
                    None => term,
                });
            }
        }
        sum.unwrap_or_else(|| Array::zeros(&[], DType::F64))
    }

    /// `self + factor * x` on the trained leaves; the others stay as they are in `self`.
    fn axpy(&self, factor: f64, x: &Self) -> Self
    where
        Self: Sized,
    {
        let trainable = self.trainable();
        let mut trainable = trainable.into_iter();
        self.zip_map(x, |a, b| {
            if trainable.next() == Some(true) { a.add_scaled(factor, b) } else { a.clone() }
        })
    }

    /// `factor * self` on the trained leaves.
    fn scale(&self, factor: f64) -> Self
    where
        Self: Sized,
    {
        self.map_named(|path, a| {
            if a.dtype().is_float() && !path.is_buffer() { a * factor } else { a.clone() }
        })
    }

    /// Euclidean norm over the trained leaves.
    fn norm(&self) -> f64
    where
        Self: Sized,
    {
        let trainable = self.trainable();
        let squares = self.leaves().into_iter().zip(trainable).filter(|(_, t)| *t);
        squares.map(|(a, _)| a.square().sum_all().item()).sum::<f64>().sqrt()
    }

    /// Zeros of the same structure, shapes and dtypes.
    fn zeros_like(&self) -> Self
    where
        Self: Sized,
    {
        self.map(Array::zeros_like)
    }

    /// The trained leaves as one vector, in order. Panics if they differ in dtype.
    fn flatten(&self) -> Array
    where
        Self: Sized,
    {
        let trainable = self.trainable();
        let parts: Vec<Array> = self
            .leaves()
            .into_iter()
            .zip(trainable)
            .filter(|(_, trained)| *trained)
            .map(|(leaf, _)| leaf.reshape(&[-1]))
            .collect();
        if parts.is_empty() {
            return Array::zeros(&[0], DType::F32);
        }
        Array::cat(&parts.iter().collect::<Vec<_>>(), 0)
    }

    /// The inverse of [`flatten`](Self::flatten): this tree with its trained leaves taken from `vector`.
    fn unflatten(&self, vector: &Array) -> Self
    where
        Self: Sized,
    {
        let mut start = 0;
        let tree = self.map_named(|path, leaf| {
            if !leaf.dtype().is_float() || path.is_buffer() {
                return leaf.clone();
            }
            let shape: Vec<isize> = leaf.shape().iter().map(|&d| d as isize).collect();
            let part = vector.narrow(0, start, leaf.len()).reshape(&shape);
            start += leaf.len();
            part
        });
        assert!(
            start == vector.len(),
            "unflatten: the vector has {} elements, the tree {start}",
            vector.len()
        );
        tree
    }
}

impl Tree for Array {
    fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array)) {
        f(path, self);
    }
    fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        f(path, self)
    }
}

impl<T: Tree> Tree for Vec<T> {
    fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array)) {
        for (i, item) in self.iter().enumerate() {
            path.enter(Segment::Index(i));
            item.visit(path, f);
            path.leave();
        }
    }
    fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        let rebuild = |(i, item): (usize, &T)| {
            path.enter(Segment::Index(i));
            let built = item.rebuild(path, f);
            path.leave();
            built
        };
        self.iter().enumerate().map(rebuild).collect()
    }
}

impl<T: Tree, const N: usize> Tree for [T; N] {
    fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array)) {
        for (i, item) in self.iter().enumerate() {
            path.enter(Segment::Index(i));
            item.visit(path, f);
            path.leave();
        }
    }
    fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        std::array::from_fn(|i| {
            path.enter(Segment::Index(i));
            let built = self[i].rebuild(path, f);
            path.leave();
            built
        })
    }
}

impl<T: Tree> Tree for Option<T> {
    fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array)) {
        if let Some(inner) = self {
            inner.visit(path, f);
        }
    }
    fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        self.as_ref().map(|inner| inner.rebuild(path, f))
    }
}

impl<T: Tree> Tree for Box<T> {
    fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array)) {
        (**self).visit(path, f);
    }
    fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        Box::new((**self).rebuild(path, f))
    }
}

impl<T: Tree> Tree for BTreeMap<String, T> {
    fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array)) {
        for (key, item) in self {
            path.enter(Segment::Key(key.as_str().into()));
            item.visit(path, f);
            path.leave();
        }
    }
    fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        let rebuild = |(key, item): (&String, &T)| {
            path.enter(Segment::Key(key.as_str().into()));
            let built = item.rebuild(path, f);
            path.leave();
            (key.clone(), built)
        };
        self.iter().map(rebuild).collect()
    }
}

macro_rules! tuple_tree {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Tree),*> Tree for ($($name,)*) {
            #[allow(unused_variables)]
            fn visit<'a>(&'a self, path: &mut Path, f: &mut dyn FnMut(&Path, &'a Array)) {
                $(
                    path.enter(Segment::Index($index));
                    self.$index.visit(path, f);
                    path.leave();
                )*
            }
            #[allow(unused_variables, clippy::unused_unit)]
            fn rebuild(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
                ($({
                    path.enter(Segment::Index($index));
                    let built = self.$index.rebuild(path, f);
                    path.leave();
                    built
                },)*)
            }
        }
    };
}
tuple_tree!();
tuple_tree!(A 0);
tuple_tree!(A 0, B 1);
tuple_tree!(A 0, B 1, C 2);
tuple_tree!(A 0, B 1, C 2, D 3);
tuple_tree!(A 0, B 1, C 2, D 3, E 4);
tuple_tree!(A 0, B 1, C 2, D 3, E 4, F 5);

/// Plain values are trees without leaves.
macro_rules! leafless {
    ($($t:ty),*) => {$(
        impl Tree for $t {
            fn visit<'a>(&'a self, _: &mut Path, _: &mut dyn FnMut(&Path, &'a Array)) {}
            fn rebuild(&self, _: &mut Path, _: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
                self.clone()
            }
        }
    )*};
}
leafless!(
    bool,
    char,
    u8,
    u16,
    u32,
    u64,
    usize,
    i8,
    i16,
    i32,
    i64,
    isize,
    f32,
    f64,
    String,
    &'static str,
    DType,
    crate::Device,
    crate::random::Stream
);
