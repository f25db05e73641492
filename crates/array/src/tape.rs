//! The record of how arrays were computed, and the pass that walks it backwards.
//!
//! Each differentiable operation whose operand is *tracked* makes a [`Node`] that holds, for each tracked operand, the
//! operand's node and a pullback: a function from the output's cotangent to the operand's, written in `Array`
//! operations. A transformation (`grad`, `vjp`, ...) claims one bit of a 64-bit mask; its leaves carry the bit, and a
//! node carries the union of its operands' bits. An operation is recorded only if some transformation that is still
//! *active* on this thread owns one of these bits. While a backward pass runs, its own transformation is no longer
//! active: pullbacks are recorded exactly when an outer transformation needs them, and otherwise not at all. This is
//! what makes derivatives of any order work without a second rule table, and what makes the outermost pass free of
//! recording cost.

use std::cell::{Cell, RefCell};
use std::collections::BinaryHeap;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::Array;

/// From the cotangent of a node's output to the cotangent of one operand. The handle lets a rule that is cheapest in
/// terms of the output (exp, tanh, a matrix inverse) use that output without owning itself in a cycle.
pub(crate) type Pullback = Box<dyn Fn(Array, &Output<'_>) -> Array + Send + Sync>;

/// All operands' cotangents at once, from the cotangents of several outputs. `wanted[i]` tells whether operand `i` is tracked.
pub(crate) type JointPullback =
    Box<dyn Fn(&[Option<Array>], &[bool], &Outputs<'_>) -> Vec<Option<Array>> + Send + Sync>;

pub(crate) struct Node {
    /// Creation order: every operand's is smaller than its result's.
    sequence: u64,
    /// Transformations on whose leaves this value depends.
    mask: u64,
    kind: Kind,
}

enum Kind {
    Leaf,
    Operation(SmallVec<[(Arc<Node>, Pullback); 2]>),
    Joint {
        operands: Vec<Option<Arc<Node>>>,
        /// Data of the outputs, so that the pullback can refer to them.
        outputs: Vec<Array>,
        pullback: JointPullback,
    },
    /// One output of a joint operation.
    Part {
        joint: Arc<Node>,
        index: usize,
    },
}

/// The node whose pullback is running, to attach to data of its own output.
pub(crate) struct Output<'a>(&'a Arc<Node>);

impl Output<'_> {
    /// The output as a tracked array, given its data.
    pub fn attach(&self, data: &Array) -> Array {
        data.clone().with_node(Some(self.0.clone()))
    }
}

/// The outputs of a joint operation while its pullback runs.
pub(crate) struct Outputs<'a> {
    joint: &'a Arc<Node>,
    data: &'a [Array],
}

impl Outputs<'_> {
    /// Output `index`, tracked.
    pub fn get(&self, index: usize) -> Array {
        self.data[index].clone().with_node(Some(part(self.joint, index)))
    }
}

fn part(joint: &Arc<Node>, index: usize) -> Arc<Node> {
    Arc::new(Node {
        sequence: next_sequence(),
        mask: joint.mask,
        kind: Kind::Part { joint: joint.clone(), index },
    })
}

static SEQUENCE: AtomicU64 = AtomicU64::new(0);

fn next_sequence() -> u64 {
    SEQUENCE.fetch_add(1, Ordering::Relaxed)
}

thread_local! {
    /// Bits of the transformations that record on this thread.
    static ACTIVE: Cell<u64> = const { Cell::new(0) };
    /// How many transformations have been entered and not left.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Contents of dropped nodes, so that long chains are freed by a loop rather than by recursion.
    static GRAVEYARD: RefCell<Option<Vec<Kind>>> = const { RefCell::new(None) };
}

impl Drop for Node {
    fn drop(&mut self) {
        let kind = std::mem::replace(&mut self.kind, Kind::Leaf);
        if matches!(kind, Kind::Leaf) {
            return;
        }
        // A thread that is being torn down has no graveyard left: then plain recursion frees the node.
        let leftover = GRAVEYARD.try_with(|grave| {
            let mut grave = grave.borrow_mut();
            if let Some(pending) = grave.as_mut() {
                pending.push(kind);
                None
            } else {
                *grave = Some(Vec::new());
                Some(kind)
            }
        });
        let Ok(Some(first)) = leftover else { return };
        let mut current = Some(first);
        while let Some(kind) = current {
            drop(kind);
            current = GRAVEYARD.with_borrow_mut(|grave| grave.as_mut().and_then(Vec::pop));
        }
        GRAVEYARD.set(None);
    }
}

/// Bits of `arrays` that some active transformation owns; zero means: do not record.
#[inline]
pub(crate) fn tracked(arrays: &[&Array]) -> u64 {
    let active = ACTIVE.get();
    if active == 0 {
        return 0;
    }
    arrays.iter().fold(0, |mask, a| mask | a.node().map_or(0, |n| n.mask)) & active
}

impl Array {
    /// Whether an active transformation follows this array.
    pub(crate) fn is_tracked(&self) -> bool {
        tracked(&[self]) != 0
    }

    fn active_node(&self) -> Option<&Arc<Node>> {
        let active = ACTIVE.get();
        self.node().filter(|n| n.mask & active != 0)
    }

    /// Records `self` as a function of `x` with the given pullback, if `x` is tracked.
    pub(crate) fn derive<F>(self, x: &Array, pullback: F) -> Array
    where
        F: Fn(Array, &Output<'_>) -> Array + Send + Sync + 'static,
    {
        let mask = tracked(&[x]);
        let Some(node) = x.active_node() else { return self };
        let operands =
            SmallVec::from_buf_and_len_one((node.clone(), Box::new(pullback) as Pullback));
        self.with_operation(mask, operands)
    }

    /// Records `self` as a function of `x` and `y`; each pullback is dropped unless its operand is tracked.
    pub(crate) fn derive2<F, G>(self, x: &Array, to_x: F, y: &Array, to_y: G) -> Array
    where
        F: Fn(Array, &Output<'_>) -> Array + Send + Sync + 'static,
        G: Fn(Array, &Output<'_>) -> Array + Send + Sync + 'static,
    {
        self.derive_from(x.node().cloned(), to_x, y.node().cloned(), to_y)
    }

    /// As [`derive2`](Self::derive2), given the operands' nodes: for operations that took over the operands' buffers.
    pub(crate) fn derive_from<F, G>(
        self,
        x: Option<Arc<Node>>,
        to_x: F,
        y: Option<Arc<Node>>,
        to_y: G,
    ) -> Array
    where
        F: Fn(Array, &Output<'_>) -> Array + Send + Sync + 'static,
        G: Fn(Array, &Output<'_>) -> Array + Send + Sync + 'static,
    {
        let active = ACTIVE.get();
        let mut mask = 0;
        let mut operands: SmallVec<[(Arc<Node>, Pullback); 2]> = SmallVec::new();
        if let Some(node) = x.filter(|n| n.mask & active != 0) {
            mask |= node.mask & active;
            operands.push((node, Box::new(to_x)));
        }
        if let Some(node) = y.filter(|n| n.mask & active != 0) {
            mask |= node.mask & active;
            operands.push((node, Box::new(to_y)));
        }
        if mask == 0 { self } else { self.with_operation(mask, operands) }
    }

    fn with_operation(self, mask: u64, operands: SmallVec<[(Arc<Node>, Pullback); 2]>) -> Array {
        let node = Node { sequence: next_sequence(), mask, kind: Kind::Operation(operands) };
        self.with_node(Some(Arc::new(node)))
    }
}

trait OneElement<T> {
    fn from_buf_and_len_one(item: T) -> Self;
}
impl<T> OneElement<T> for SmallVec<[T; 2]> {
    fn from_buf_and_len_one(item: T) -> Self {
        let mut v = SmallVec::new();
        v.push(item);
        v
    }
}

/// Records an operation with any number of operands and outputs. `outputs` are untracked values; the returned ones are
/// tracked if an operand is.
pub(crate) fn derive_joint<F>(outputs: Vec<Array>, operands: &[&Array], pullback: F) -> Vec<Array>
where
    F: Fn(&[Option<Array>], &[bool], &Outputs<'_>) -> Vec<Option<Array>> + Send + Sync + 'static,
{
    let mask = tracked(operands);
    if mask == 0 {
        return outputs;
    }
    let joint = Arc::new(Node {
        sequence: next_sequence(),
        mask,
        kind: Kind::Joint {
            operands: operands.iter().map(|a| a.active_node().cloned()).collect(),
            outputs: outputs.clone(),
            pullback: Box::new(pullback),
        },
    });
    outputs
        .into_iter()
        .enumerate()
        .map(
            |(index, data)| {
                if data.dtype().is_float() {
                    data.with_node(Some(part(&joint, index)))
                } else {
                    data
                }
            },
        )
        .collect()
}

/// One running transformation; its bit is released when the scope ends, also by a panic.
pub(crate) struct Scope {
    bit: u64,
    outer_active: u64,
}

impl Scope {
    /// Starts recording for a new transformation.
    pub fn enter() -> Scope {
        let depth = DEPTH.get();
        assert!(depth < 64, "derivatives are nested more than 64 deep");
        DEPTH.set(depth + 1);
        let outer_active = ACTIVE.get();
        let bit = 1 << depth;
        ACTIVE.set(outer_active | bit);
        Scope { bit, outer_active }
    }

    /// Takes a bit without recording for it, so that transformations inside use other bits.
    pub fn reserve() -> Scope {
        let scope = Scope::enter();
        scope.stop_recording();
        scope
    }

    /// A fresh leaf of this transformation with the value of `x`; if `x` is itself tracked by an outer transformation, the
    /// leaf is a copy of it there.
    pub fn leaf(&self, x: &Array) -> Array {
        let outer = x.node().filter(|n| n.mask & self.outer_active != 0).cloned();
        let node = match outer {
            Some(node) => Node {
                sequence: next_sequence(),
                mask: (node.mask & self.outer_active) | self.bit,
                kind: Kind::Operation(SmallVec::from_buf_and_len_one((
                    node,
                    Box::new(|ct, _: &Output<'_>| ct) as Pullback,
                ))),
            },
            None => Node { sequence: next_sequence(), mask: self.bit, kind: Kind::Leaf },
        };
        x.clone().with_node(Some(Arc::new(node)))
    }

    /// Stops recording for this transformation; outer ones go on.
    pub fn stop_recording(&self) {
        ACTIVE.set(self.outer_active);
    }

    /// The bit that marks what depends on this transformation's leaves.
    pub fn bit(&self) -> u64 {
        self.bit
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        ACTIVE.set(self.outer_active);
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Runs `body` with nothing recorded.
pub(crate) fn without_recording<R>(body: impl FnOnce() -> R) -> R {
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            ACTIVE.set(self.0);
        }
    }
    let _restore = Restore(ACTIVE.replace(0));
    body()
}

/// Drops what no transformation that is still active needs.
pub(crate) fn settle(x: Array) -> Array {
    if x.active_node().is_some() { x } else { x.with_node(None) }
}

/// Node numbers are already well spread.
#[derive(Default)]
struct Identity(u64);
impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only node numbers are hashed")
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

struct ByAge(Arc<Node>);
impl PartialEq for ByAge {
    fn eq(&self, other: &Self) -> bool {
        self.0.sequence == other.0.sequence
    }
}
impl Eq for ByAge {}
impl PartialOrd for ByAge {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ByAge {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.sequence.cmp(&other.0.sequence)
    }
}

type Slots = SmallVec<[Option<Array>; 1]>;

/// Nodes still to visit, youngest first, with the cotangents gathered for them so far.
struct Frontier {
    heap: BinaryHeap<ByAge>,
    cotangents: HashMap<u64, Slots, BuildHasherDefault<Identity>>,
    bit: u64,
}

impl Frontier {
    fn add(&mut self, node: &Arc<Node>, cotangent: Array) {
        if node.mask & self.bit == 0 {
            return;
        }
        let (owner, index, count) = match &node.kind {
            Kind::Part { joint, index } => {
                let Kind::Joint { outputs, .. } = &joint.kind else {
                    unreachable!("a part belongs to a joint operation")
                };
                (joint, *index, outputs.len())
            }
            _ => (node, 0, 1),
        };
        let slots = match self.cotangents.entry(owner.sequence) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.heap.push(ByAge(owner.clone()));
                entry.insert(SmallVec::from_elem(None, count))
            }
        };
        slots[index] = Some(match slots[index].take() {
            Some(sum) => sum + cotangent,
            None => cotangent,
        });
    }
}

/// Propagates `seeds` (node, cotangent) back to `leaves`; `None` where a leaf was not reached. Consumes the seeds so that
/// the record is freed while it is walked, unless an outer transformation still holds it.
pub(crate) fn backward(
    seeds: Vec<(Option<Arc<Node>>, Array)>,
    bit: u64,
    leaves: &[Option<Arc<Node>>],
) -> Vec<Option<Array>> {
    let mut frontier = Frontier { heap: BinaryHeap::new(), cotangents: HashMap::default(), bit };
    for (node, cotangent) in seeds {
        if let Some(node) = node {
            frontier.add(&node, cotangent);
        }
    }
    let mut found: Vec<Option<Array>> = vec![None; leaves.len()];
    let targets: HashMap<u64, usize, BuildHasherDefault<Identity>> = leaves
        .iter()
        .enumerate()
        .filter_map(|(i, leaf)| leaf.as_ref().map(|n| (n.sequence, i)))
        .collect();
    while let Some(ByAge(node)) = frontier.heap.pop() {
        let slots = frontier.cotangents.remove(&node.sequence).expect("queued with a cotangent");
        if let Some(&i) = targets.get(&node.sequence) {
            found[i] = slots.into_iter().next().flatten();
            continue;
        }
        match &node.kind {
            Kind::Leaf | Kind::Part { .. } => {}
            Kind::Operation(operands) => pull_operation(&node, operands, slots, &mut frontier),
            Kind::Joint { operands, outputs, pullback } => {
                let wanted: Vec<bool> = operands
                    .iter()
                    .map(|o| o.as_ref().is_some_and(|n| n.mask & bit != 0))
                    .collect();
                let results = pullback(&slots, &wanted, &Outputs { joint: &node, data: outputs });
                debug_assert_eq!(results.len(), operands.len());
                for (operand, cotangent) in operands.iter().zip(results) {
                    if let (Some(operand), Some(cotangent)) = (operand, cotangent) {
                        frontier.add(operand, cotangent);
                    }
                }
            }
        }
    }
    found
}

fn pull_operation(
    node: &Arc<Node>,
    operands: &[(Arc<Node>, Pullback)],
    mut slots: Slots,
    frontier: &mut Frontier,
) {
    let Some(cotangent) = slots[0].take() else { return };
    let last = operands.iter().rposition(|(n, _)| n.mask & frontier.bit != 0);
    let mut cotangent = Some(cotangent);
    for (i, (operand, pullback)) in operands.iter().enumerate() {
        if operand.mask & frontier.bit == 0 {
            continue;
        }
        // The last consumer owns the buffer, so that it can be reused.
        let ct = if Some(i) == last { cotangent.take() } else { cotangent.clone() };
        let Some(ct) = ct else { break };
        let result = pullback(ct, &Output(node));
        frontier.add(operand, result);
    }
}
