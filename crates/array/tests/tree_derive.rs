//! `#[derive(Tree)]` on the shapes that models have.

use std::collections::BTreeMap;

use lisse_array::{Array, Tree};

fn array(value: f64) -> Array {
    Array::from_vec(vec![value, value], &[2])
}

fn names(tree: &impl Tree) -> Vec<String> {
    tree.named_leaves().into_iter().map(|(name, _)| name).collect()
}

/// Every leaf's first element, in order.
fn values(tree: &impl Tree) -> Vec<f64> {
    tree.leaves().into_iter().map(|x| x.to_f64_vec()[0]).collect()
}

/// Paths of the leaves marked as buffers.
fn buffers(tree: &impl Tree) -> Vec<String> {
    let mut found = Vec::new();
    tree.visit(&mut lisse_array::Path::default(), &mut |path, _| {
        if path.is_buffer() {
            found.push(path.to_string());
        }
    });
    found
}

fn doubled<T: Tree>(tree: &T) -> T {
    tree.map(|x| x * 2.0)
}

#[derive(Clone, Tree)]
struct Linear {
    weight: Array,
    bias: Option<Array>,
}

fn linear(value: f64) -> Linear {
    Linear { weight: array(value), bias: Some(array(value + 1.0)) }
}

#[derive(Clone, Tree)]
enum Activation {
    Relu,
    Prelu(Array),
    Affine { scale: Array, r#type: Array },
}

/// Not a tree: nothing implements it for function pointers.
type Schedule = fn(f64) -> f64;

#[derive(Clone, Tree)]
struct Network<T, S> {
    layers: Vec<T>,
    #[tree(buffer)]
    running: BTreeMap<String, Array>,
    #[tree(rename = "gate")]
    activation: Activation,
    #[tree(flatten)]
    head: Linear,
    #[tree(skip)]
    schedule: S,
    width: usize,
}

fn network() -> Network<Linear, Schedule> {
    Network {
        layers: vec![linear(1.0), linear(3.0)],
        running: BTreeMap::from([("mean".into(), array(5.0)), ("var".into(), array(6.0))]),
        activation: Activation::Affine { scale: array(7.0), r#type: array(8.0) },
        head: linear(9.0),
        schedule: |x| x + 1.0,
        width: 64,
    }
}

#[test]
fn paths_follow_fields_and_attributes() {
    assert_eq!(
        names(&network()),
        [
            "layers.0.weight",
            "layers.0.bias",
            "layers.1.weight",
            "layers.1.bias",
            "running.mean",
            "running.var",
            "gate.scale",
            "gate.type",
            "weight",
            "bias",
        ]
    );
    assert_eq!(buffers(&network()), ["running.mean", "running.var"]);
}

#[test]
fn rebuilding_keeps_everything_but_the_leaves() {
    let network = doubled(&network());
    assert_eq!(values(&network), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0]);
    assert_eq!(network.width, 64);
    assert_eq!((network.schedule)(1.0), 2.0);
    assert!(matches!(network.activation, Activation::Affine { .. }));
}

#[test]
fn variants_visit_their_own_fields() {
    assert!(names(&Activation::Relu).is_empty());
    assert!(matches!(doubled(&Activation::Relu), Activation::Relu));
    let prelu = Activation::Prelu(array(0.5));
    assert_eq!(names(&prelu), ["0"]);
    assert_eq!(values(&doubled(&prelu)), [1.0]);
}

#[derive(Clone, Tree)]
struct Pair(Array, #[tree(flatten)] Linear);

#[derive(Clone, Tree)]
struct Unit;

#[derive(Clone, Tree)]
enum Never {}

#[test]
fn tuple_and_unit_structs_are_trees() {
    let pair = Pair(array(1.0), linear(2.0));
    assert_eq!(names(&pair), ["0", "weight", "bias"]);
    assert_eq!(values(&doubled(&pair)), [2.0, 4.0, 6.0]);
    let Unit = doubled(&Unit);
    assert!(names(&Unit).is_empty());
    assert!(names(&None::<Never>).is_empty());
}

trait Method {
    type State;
}

#[derive(Clone)]
struct Momentum;

impl Method for Momentum {
    type State = Vec<Array>;
}

#[derive(Clone, Tree)]
struct Optimizer<M: Method, const N: usize> {
    state: M::State,
    recent: [Array; N],
    #[tree(skip)]
    method: M,
}

#[test]
fn projections_and_constants_in_generics_are_bound() {
    let optimizer: Optimizer<Momentum, 2> =
        Optimizer { state: vec![array(1.0)], recent: [array(2.0), array(3.0)], method: Momentum };
    assert_eq!(names(&optimizer), ["state.0", "recent.0", "recent.1"]);
    assert_eq!(values(&doubled(&optimizer)), [2.0, 4.0, 6.0]);
}

/// Field and crate names that could clash with those of the generated code.
#[derive(Clone, Tree)]
#[tree(crate = "lisse_array")]
struct Clashing {
    path: Array,
    f: Array,
    rebuilt: Array,
}

#[test]
fn generated_names_do_not_clash_with_fields() {
    let clashing = Clashing { path: array(1.0), f: array(2.0), rebuilt: array(3.0) };
    assert_eq!(names(&clashing), ["path", "f", "rebuilt"]);
    assert_eq!(values(&doubled(&clashing)), [2.0, 4.0, 6.0]);
}

#[derive(Clone, Tree)]
struct Recursive {
    value: Array,
    next: Option<Box<Recursive>>,
}

#[test]
fn recursive_types_are_trees() {
    let list = Recursive {
        value: array(1.0),
        next: Some(Box::new(Recursive { value: array(2.0), next: None })),
    };
    assert_eq!(names(&list), ["value", "next.value"]);
}
