use lisse_array::{Array, DType, Stream, Tree, check, grad};

use super::*;
use crate::{Adam, CompositeOracle, Group, Sgd};

fn x3() -> Array {
    Array::from_slice(&[1.0f64, 2.0, 0.0, 1.0, 3.0, -1.0], &[3, 2])
}

fn vector(values: &[f64]) -> Array {
    Array::from_slice(values, &[values.len()])
}

fn logistic(z: &Array) -> Array {
    let y = vector(&[1.0, 0.0, 1.0]);
    (z.softplus() - z * y).sum_all()
}

fn linear(w: &Array) -> Array {
    x3().matmul(w)
}

fn close(x: &Array, expected: &[f64], tolerance: f64) {
    let found = x.to_f64_vec();
    let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < tolerance);
    assert!(near && found.len() == expected.len(), "{found:?} is not {expected:?}");
}

/// One step from `w`.
fn moved(sso: &Sso, w: &Array, loss: impl Fn(&Array) -> Array) -> (Array, StepInfo) {
    let (mut w, mut state) = (w.clone(), sso.init(w));
    let info = sso.step(&mut w, &mut state, &mut CompositeOracle { outputs: linear, loss });
    (w, info)
}

fn metric(info: &StepInfo, name: &str) -> f64 {
    info.metrics.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no metric {name}")).1
}

fn gradient(eta: f64, step: f64, steps: usize) -> Sso {
    Sso::new(eta).summed().inner(Inner::Gradient { step }).inner_steps(steps)
}

#[test]
fn worked_logistic_example() {
    let w = vector(&[0.1, -0.2]);
    let z = linear(&w);
    close(&z, &[-0.3, -0.2, 0.5], 1e-12);
    close(&grad(logistic)(&z), &[-0.574443, 0.450166, -0.377541], 1e-6);
    close(&grad(|w: &Array| logistic(&linear(w)))(&w), &[-1.707065, -0.321178], 1e-6);
    let (exact, info) = moved(&Sso::new(4.0).summed().inner(Inner::Exact), &w, logistic);
    assert!((info.loss - 1.926571).abs() < 1e-6);
    close(&exact, &[0.816174, 0.133481], 1e-6);
    assert!((logistic(&linear(&exact)).item() - 1.147871).abs() < 1e-6);
    assert!((info.loss - metric(&info, "surrogate_decrease") - 1.261740).abs() < 1e-6);
    // Gradient steps inside.
    let path = [
        ([0.270706, -0.167882], 1.660677),
        ([0.399539, -0.136314], 1.505211),
        ([0.496953, -0.106261], 1.413092),
    ];
    for (steps, (point, q)) in path.iter().enumerate() {
        let (w, info) = moved(&gradient(4.0, 0.1, steps + 1), &w, logistic);
        close(&w, point, 1e-6);
        assert!((info.loss - metric(&info, "surrogate_decrease") - q).abs() < 1e-6);
        assert_eq!(metric(&info, "inner_steps"), (steps + 1) as f64);
    }
    // The released code's s is twice eta: s = 4.
    let (half, _) = moved(&Sso::new(2.0).summed().inner(Inner::Exact), &w, logistic);
    close(&half, &[0.458087, -0.033259], 1e-6);
}

#[test]
fn all_inner_solvers_find_the_same_minimizer() {
    let w = vector(&[0.1, -0.2]);
    let all = [
        Inner::armijo(),
        Inner::Adam { learning_rate: 0.01 },
        Inner::Lbfgs { memory: 10 },
        Inner::Newton { radius: 1.0 },
        Inner::gauss_newton(),
        Inner::Gradient { step: 0.3 },
    ];
    for inner in all {
        let sso = Sso::new(4.0).summed().inner(inner.clone()).inner_steps(3000);
        let (w, info) = moved(&sso, &w, logistic);
        close(&w, &[0.816174, 0.133481], 2e-6);
        assert!(metric(&info, "decrease_ratio") >= 1.0, "{inner:?}");
    }
}

#[test]
fn one_gradient_step_is_gradient_descent_bit_for_bit() {
    let w = vector(&[0.1, -0.2]);
    for eta in [0.1, 4.0, 100.0] {
        let mut ours = w.clone();
        let mut theirs = w.clone();
        let (sso, sgd) = (gradient(eta, 0.1, 1), Sgd::new(0.1));
        let (mut a, mut b) = (sso.init(&ours), Optimizer::<Array>::init(&sgd, &theirs));
        for _ in 0..20 {
            let mut oracle = CompositeOracle { outputs: linear, loss: logistic };
            sso.step(&mut ours, &mut a, &mut oracle);
            sgd.step(&mut theirs, &mut b, &mut oracle);
        }
        assert_eq!(ours.to_vec::<f64>(), theirs.to_vec::<f64>());
    }
}

#[test]
fn one_adam_step_inside_is_adam_bit_for_bit() {
    let start = (vector(&[0.1, -0.2]), vector(&[0.3]));
    let oracle = || CompositeOracle {
        outputs: |(w, b): &(Array, Array)| linear(w).tanh() + b,
        loss: |z: &Array| logistic(z),
    };
    let (mut ours, mut theirs) = (start.clone(), start);
    let sso = Sso::new(4.0).inner(Inner::Adam { learning_rate: 0.01 }).inner_steps(1);
    let adam = Adam::new(0.01);
    let (mut a, mut b) = (sso.init(&ours), adam.init(&theirs));
    for _ in 0..20 {
        sso.step(&mut ours, &mut a, &mut oracle());
        adam.step(&mut theirs, &mut b, &mut oracle());
    }
    assert_eq!(ours.flatten().to_vec::<f64>(), theirs.flatten().to_vec::<f64>());
}

#[test]
fn least_squares_in_one_call() {
    let y = vector(&[1.0, 2.0, 0.0]);
    for start in [[0.1, -0.2], [5.0, 3.0]] {
        let loss = |z: &Array| (z - &y).square().sum_all() * 0.5;
        let (w, _) = moved(&Sso::new(1.0).summed().inner(Inner::Exact), &vector(&start), loss);
        close(&w, &[0.169492, 0.694915], 1e-6);
    }
}

#[test]
fn steps_beyond_the_safe_one_may_diverge() {
    // 1/2 |z - y|^2 has L = 1; with eta = 3 the distance to the solution doubles.
    let y = vector(&[1.0, 2.0, 0.0]);
    let loss = |z: &Array| (z - &y).square().sum_all() * 0.5;
    let sso = Sso::new(3.0).summed().inner(Inner::Exact);
    let (mut w, mut state) = (vector(&[0.1, -0.2]), State::new());
    let distance = |w: &Array| (w - vector(&[0.169492, 0.694915])).norm();
    let first = distance(&w);
    for _ in 0..5 {
        let info = sso.step(&mut w, &mut state, &mut CompositeOracle { outputs: linear, loss });
        assert!(metric(&info, "decrease_ratio") < 0.0);
    }
    assert!((distance(&w) / first - 32.0).abs() < 1e-3);
}

type Layers = (Array, Array);

/// A small network, its loss and its parameters.
fn network() -> (impl Fn(&Layers) -> Array, impl Fn(&Array) -> Array, Layers) {
    let stream = Stream::new(3);
    let x = stream.child("x").normal(&[9, 4], DType::F64);
    let labels = Array::from_slice(&[0i64, 1, 2, 2, 1, 0, 1, 2, 0], &[9]);
    let params = (
        stream.child("first").normal(&[4, 5], DType::F64),
        stream.child("second").normal(&[5, 3], DType::F64),
    );
    let outputs = move |(a, b): &Layers| x.matmul(a).tanh().matmul(b);
    let loss = move |z: &Array| lisse_nn::losses::cross_entropy(z, &labels);
    (outputs, loss, params)
}

#[test]
fn the_surrogate_of_a_network_lies_above_its_loss() {
    let solvers = [
        Inner::armijo(),
        Inner::Gradient { step: 0.05 },
        Inner::Lbfgs { memory: 5 },
        Inner::Newton { radius: 1.0 },
        Inner::gauss_newton(),
        Inner::Exact,
    ];
    for inner in solvers {
        let (outputs, loss, mut params) = network();
        // Cross-entropy is 1/2-smooth in the logits of an example.
        let sso = Sso::new(2.0).inner(inner.clone()).inner_steps(6);
        let mut state = sso.init(&params);
        let mut oracle = CompositeOracle { outputs: &outputs, loss: &loss };
        for _ in 0..8 {
            let before = oracle.value(&params);
            let info = sso.step(&mut params, &mut state, &mut oracle);
            let after = oracle.value(&params);
            let q = info.loss - metric(&info, "surrogate_decrease");
            assert_eq!(info.loss, before);
            assert!(after <= q + 1e-12 && q <= before + 1e-12, "{inner:?}: {after} {q} {before}");
            assert!(metric(&info, "decrease_ratio") >= 1.0 - 1e-9, "{inner:?}");
        }
    }
}

#[test]
fn a_model_that_can_do_anything_follows_its_targets() {
    let x = Array::from_slice(&[1.0f64, 2.0, 0.0, -1.0, 1.0, 1.0, 0.5, 0.0, 2.0], &[3, 3]);
    let mut w = vector(&[0.3, -0.2, 0.7]);
    let z = x.matmul(&w);
    let target = &z - grad(logistic)(&z) * 2.5;
    let sso = Sso::new(2.5).summed().inner(Inner::Exact);
    let mut oracle = CompositeOracle { outputs: |w: &Array| x.matmul(w), loss: logistic };
    sso.step(&mut w, &mut State::new(), &mut oracle);
    close(&x.matmul(&w), &target.to_f64_vec(), 1e-10);
}

#[test]
fn small_steps_and_zero_gradients_do_not_move() {
    let w = vector(&[0.1, -0.2]);
    let (near, _) = moved(&Sso::new(1e-8).summed().inner(Inner::Exact), &w, logistic);
    close(&near, &w.to_f64_vec(), 1e-7);
    let flat = |z: &Array| (z * 0.0).sum_all();
    for inner in [Inner::armijo(), Inner::Adam { learning_rate: 0.1 }, Inner::gauss_newton()] {
        let (same, _) = moved(&Sso::new(4.0).inner(inner), &w, flat);
        assert_eq!(same.to_vec::<f64>(), w.to_vec::<f64>());
    }
    let (same, _) = moved(&Sso::new(4.0).inner(Inner::Exact), &w, flat);
    close(&same, &w.to_f64_vec(), 1e-15);
}

/// An oracle that counts on its own.
struct Expert {
    calls: usize,
    values: usize,
}

impl TargetOracle for Expert {
    fn value_and_grad(&mut self, outputs: &Array) -> (f64, Array) {
        self.calls += 1;
        (logistic(outputs).item(), grad(logistic)(outputs))
    }
    fn value(&mut self, outputs: &Array) -> f64 {
        self.values += 1;
        logistic(outputs).item()
    }
}

#[test]
fn the_oracle_is_called_once_a_step() {
    for (inner_steps, rule) in [
        (1, TargetStep::Constant),
        (20, TargetStep::Constant),
        (20, TargetStep::line_search()),
        (7, TargetStep::Adagrad),
        (3, TargetStep::Mirror),
    ] {
        let mut expert = Expert { calls: 0, values: 0 };
        // Far too long a step, so that the search has to try.
        let sso = Sso::new(300.0).summed().inner_steps(inner_steps).target_step(rule);
        let (mut w, mut state) = (vector(&[0.1, -0.2]), State::new());
        for _ in 0..12 {
            let batch = Batch { outputs: &linear, targets: &mut expert, examples: None };
            sso.advance(&mut w, &mut state, batch);
        }
        assert_eq!(expert.calls, 12);
        assert_eq!(state.numbers["oracle_calls"], 12.0);
        assert_eq!(state.numbers["target_trials"], expert.values as f64);
        assert!(state.numbers["forward_passes"] >= 12.0);
    }
}

#[test]
fn forward_and_backward_passes_are_counted() {
    let count = std::cell::Cell::new(0);
    let outputs = |w: &Array| {
        count.set(count.get() + 1);
        linear(w)
    };
    for inner in [Inner::Gradient { step: 0.01 }, Inner::armijo(), Inner::Lbfgs { memory: 4 }] {
        count.set(0);
        let sso = Sso::new(4.0).summed().inner(inner.clone()).inner_steps(5);
        let mut state = State::new();
        let mut expert = Expert { calls: 0, values: 0 };
        let batch = Batch { outputs: &outputs, targets: &mut expert, examples: None };
        sso.advance(&mut vector(&[0.1, -0.2]), &mut state, batch);
        assert_eq!(state.numbers["forward_passes"], f64::from(count.get()), "{inner:?}");
        assert!(state.numbers["backward_passes"] >= 5.0, "{inner:?}");
    }
}

#[test]
fn softmax_targets_keep_their_row_sums() {
    let stream = Stream::new(5);
    let x = stream.child("x").normal(&[6, 4], DType::F64);
    let labels = Array::from_slice(&[0i64, 1, 2, 2, 1, 0], &[6]);
    let loss = |z: &Array| lisse_nn::losses::cross_entropy(z, &labels);
    let mut w = stream.child("w").normal(&[4, 3], DType::F64);
    let z = x.matmul(&w);
    assert!(grad(loss)(&z).sum(&[1]).abs().max_all().item() < 1e-15);
    let shifted = &z + stream.child("shift").normal(&[6, 1], DType::F64);
    assert!((grad(loss)(&z) - grad(loss)(&shifted)).abs().max_all().item() < 1e-15);
    let mut oracle = CompositeOracle { outputs: |w: &Array| x.matmul(w), loss };
    Sso::new(2.0).inner(Inner::Exact).step(&mut w, &mut State::new(), &mut oracle);
    assert!((x.matmul(&w).sum(&[1]) - z.sum(&[1])).abs().max_all().item() < 1e-12);
}

/// The step that a rule takes at given outputs.
fn rule_step(rule: &TargetStep, eta: f64, outputs: &[f64], state: &mut State<Array>) -> f64 {
    let y = vector(&[1.0, 0.0]);
    let mut targets = LossTargets(|z: &Array| (z.softplus() - z * &y).sum_all());
    let outputs = vector(outputs);
    let (value, gradient) = targets.value_and_grad(&outputs);
    let query =
        Query { outputs: &outputs, value, gradient: &gradient, to_sum: 1.0, step: state.step };
    rule.penalty(eta, &query, state, &mut targets, None).1
}

#[test]
fn the_search_in_target_space_takes_what_decreases_enough() {
    let rule = TargetStep::line_search();
    let mut state = State::new();
    assert_eq!(rule_step(&rule, 2.0, &[0.3, -1.2], &mut state), 2.0);
    // The next search begins above.
    assert!((rule_step(&rule, 2.0, &[0.3, -1.2], &mut state) - 3.6).abs() < 1e-12);
    // L = 1/4: steps up to 2 (1 - c) / L = 4 always pass, so none below 0.9 of it is taken.
    for outputs in [[0.0, 0.0], [-9.0, 4.0], [0.1, 7.0]] {
        let found = rule_step(&rule, 1000.0, &outputs, &mut State::new());
        assert!((3.6..1000.0).contains(&found), "{outputs:?}: {found}");
    }
    let bounded = TargetStep::LineSearch {
        expand: 1.8,
        shrink: 0.5,
        decrease: 0.999,
        smoothness: Some(0.25),
    };
    assert!(rule_step(&bounded, 1000.0, &[0.0, 0.0], &mut State::new()) >= 4.0);
}

#[test]
fn steps_follow_their_rules() {
    let at = |rule: TargetStep, step: u64| {
        rule_step(&rule, 4.0, &[0.3, -1.2], &mut State { step, ..State::new() })
    };
    assert_eq!(at(TargetStep::Constant, 8), 4.0);
    assert_eq!(at(TargetStep::InverseSqrt, 0), 4.0);
    assert_eq!(at(TargetStep::InverseSqrt, 3), 2.0);
    assert_eq!(at(TargetStep::Exponential { total: 16 }, 0), 4.0);
    assert!((at(TargetStep::Exponential { total: 16 }, 8) - 1.0).abs() < 1e-12);
    let g = [-1.0 / (1.0 + 0.3f64.exp()), 1.0 / (1.0 + 1.2f64.exp())];
    let norm = g[0].hypot(g[1]);
    let mut state = State::new();
    for t in [1.0f64, 2.0] {
        let step = rule_step(&TargetStep::Adagrad, 4.0, &[0.3, -1.2], &mut state);
        assert!((1.0 / step - (norm * t.sqrt() / 4.0 + 1e-6)).abs() < 1e-12);
    }
}

#[test]
fn diagonal_adagrad_remembers_each_example() {
    let mut squares = Array::zeros(&[5], DType::F64);
    let sso = Sso::new(4.0).summed().inner(Inner::Exact).target_step(TargetStep::DiagonalAdagrad);
    let (mut w, mut state) = (vector(&[0.1, -0.2]), State::new());
    let z = linear(&w);
    let g = grad(logistic)(&z);
    let mut expert = Expert { calls: 0, values: 0 };
    let ids = [4, 0, 2];
    for _ in 0..2 {
        let examples = Some(Examples { ids: &ids, squares: &mut squares });
        sso.advance(&mut w, &mut state, Batch { outputs: &linear, targets: &mut expert, examples });
    }
    let kept = squares.to_vec::<f64>();
    assert!(kept[1] == 0.0 && kept[3] == 0.0 && kept[4] > g.to_vec::<f64>()[0].powi(2));
    // The first step: weights |g| / eta, so the target is z - eta sign(g).
    let (mut w, mut squares) = (vector(&[0.1, -0.2]), Array::zeros(&[5], DType::F64));
    let examples = Some(Examples { ids: &ids, squares: &mut squares });
    sso.advance(
        &mut w,
        &mut State::new(),
        Batch { outputs: &linear, targets: &mut expert, examples },
    );
    let root = g.abs().sqrt().unsqueeze(1);
    let weighted = &root * x3();
    let right = root.squeeze(1) * (&z - g.sign() * 4.0);
    close(&w, &weighted.lstsq(&right).unwrap().to_f64_vec(), 1e-9);
}

#[test]
fn online_newton_weights_are_the_curvature_of_the_loss() {
    let outputs = vector(&[0.3, -1.2]);
    let p = outputs.sigmoid();
    let weights = (&p * (1.0 - &p) + 1e-5) / 2.0;
    let query = Query { outputs: &outputs, value: 0.0, gradient: &p, to_sum: 1.0, step: 0 };
    let mut targets = LossTargets(|z: &Array| z.sum_all());
    let (penalty, _) = TargetStep::OnlineNewton.penalty(
        2.0,
        &query,
        &mut State::<Array>::new(),
        &mut targets,
        None,
    );
    let Penalty::Elementwise(found) = penalty else { panic!("weights") };
    close(&found, &weights.to_f64_vec(), 1e-15);
}

/// Surrogates of each kind around random logits of three classes, and of one output.
fn surrogates() -> Vec<(Surrogate, Array)> {
    let stream = Stream::new(11);
    let mut list = Vec::new();
    for shape in [vec![4, 3], vec![4, 1], vec![4]] {
        let z = stream.child("z").normal(&shape, DType::F64);
        let g = stream.child("g").normal(&shape, DType::F64);
        let f = &z + stream.child("f").normal(&shape, DType::F64);
        let weights = stream.child("w").uniform(&shape, DType::F64) + 0.1;
        let penalties =
            [Penalty::Scalar(0.7), Penalty::Elementwise(weights), Penalty::Divergence(0.4)];
        for penalty in penalties {
            let (outputs, gradient) = (z.clone(), g.clone());
            list.push((Surrogate { outputs, value: 3.0, gradient, penalty }, f.clone()));
        }
    }
    list
}

#[test]
fn surrogates_touch_the_loss_and_have_their_derivatives() {
    for (surrogate, f) in surrogates() {
        assert!(surrogate.change(&surrogate.outputs).item().abs() < 1e-14);
        let q = |f: &Array| surrogate.change(f);
        check::gradient(q, &f, 2).unwrap();
        close(&surrogate.gradient_at(&f), &grad(q)(&f).to_f64_vec(), 1e-12);
        let v = f.cos();
        close(&surrogate.curvature(&f, &v), &lisse_array::hvp(q, &f, &v).to_f64_vec(), 1e-10);
        // Rows of a softmax gradient sum to zero; then all touch with the gradient of the loss.
        let z = &surrogate.outputs;
        let g = if z.rank() == 2 && z.dim(1) > 1 {
            &surrogate.gradient - surrogate.gradient.mean_keep(&[1])
        } else {
            surrogate.gradient.clone()
        };
        let touching = Surrogate { gradient: g.clone(), ..surrogate.clone() };
        close(&touching.gradient_at(z), &g.to_f64_vec(), 1e-12);
    }
}

#[test]
fn mirror_descent_ends_at_the_reweighted_probabilities() {
    // The outputs are free, so that the surrogate is minimized over all probabilities: p exp(-eta dl/dp), normalised.
    let mut z = Array::from_slice(&[0.2f64, -0.4, 1.0], &[1, 3]);
    let labels = Array::from_slice(&[1i64], &[1]);
    let loss = |z: &Array| lisse_nn::losses::cross_entropy(z, &labels);
    let p = z.softmax(-1);
    let per_probability = grad(loss)(&z) / &p;
    let expected = (p.ln() - per_probability * 0.3).softmax(-1);
    let sso = Sso::new(0.3)
        .target_step(TargetStep::Mirror)
        .inner(Inner::Lbfgs { memory: 10 })
        .inner_steps(200);
    sso.step(
        &mut z,
        &mut State::new(),
        &mut CompositeOracle { outputs: |z: &Array| z.clone(), loss },
    );
    close(&z.softmax(-1), &expected.to_f64_vec(), 1e-6);
}

#[test]
fn frozen_parts_stay() {
    let (outputs, loss, start) = network();
    let frozen = Group { pattern: "0".into(), learning_rate_scale: 0.0, weight_decay: None };
    for inner in [Inner::armijo(), Inner::gauss_newton(), Inner::Lbfgs { memory: 3 }] {
        let sso = Sso { groups: Groups(vec![frozen.clone()]), ..Sso::new(2.0).inner(inner) };
        let mut params = start.clone();
        let mut state = sso.init(&params);
        sso.step(&mut params, &mut state, &mut CompositeOracle { outputs: &outputs, loss: &loss });
        assert_eq!(params.0.to_vec::<f64>(), start.0.to_vec::<f64>());
        assert_ne!(params.1.to_vec::<f64>(), start.1.to_vec::<f64>());
    }
}

#[test]
fn answers_that_are_not_finite_leave_the_parameters() {
    let w = vector(&[0.1, -0.2]);
    let (same, info) = moved(&Sso::new(4.0), &w, |z: &Array| (z - 10.0).sqrt().sum_all());
    assert!(info.loss.is_nan());
    assert_eq!(same.to_vec::<f64>(), w.to_vec::<f64>());
    // A model that overflows at the first trial only.
    let steep = |w: &Array| (linear(w) * 1e3).exp() * 1e-200;
    let mut x = vector(&[0.1, -0.2]);
    let mut oracle = CompositeOracle { outputs: steep, loss: |z: &Array| -z.sum_all() };
    Sso::new(4.0).step(&mut x, &mut State::new(), &mut oracle);
    assert!(x.all_finite());
}

#[test]
fn numbers_out_of_range_are_named() {
    let key = |sso: Sso| sso.validate().err().map(|bad| bad.key);
    assert_eq!(key(Sso::new(1.0)), None);
    assert_eq!(key(Sso::new(1.0).inner_steps(0)).as_deref(), Some("inner_steps"));
    let armijo = Inner::Armijo { start: 1.0, expand: 1.8, shrink: 1.0, decrease: 0.1, warm: true };
    assert_eq!(key(Sso::new(1.0).inner(armijo)).as_deref(), Some("inner.shrink"));
    let bad = Inner::Adam { learning_rate: f64::NAN };
    assert_eq!(key(Sso::new(1.0).inner(bad)).as_deref(), Some("inner.learning_rate"));
    let rule = TargetStep::Exponential { total: 0 };
    assert_eq!(key(Sso::new(1.0).target_step(rule)).as_deref(), Some("target_step.total"));
    let mirror = Sso::new(1.0).target_step(TargetStep::Mirror).inner(Inner::Exact);
    assert_eq!(key(mirror).as_deref(), Some("inner.name"));
}

#[test]
#[should_panic(expected = "Oracle::composite")]
fn a_loss_without_outputs_is_refused() {
    let mut x = vector(&[1.0]);
    Sso::new(1.0).step(
        &mut x,
        &mut State::new(),
        &mut crate::LossOracle(|x: &Array| x.square().sum_all()),
    );
}
