//! The worked numbers, and the laws that hold for any gradients.

use lisse_array::{Array, DType, Stream, Tree};

use super::*;
use crate::config::{OptimizerConfig, OutOfRange};
use crate::optimizer::{LossOracle, Optimizer, Oracle, State};
use crate::{Sgd, WithGradient};

fn vector(values: &[f64]) -> Array {
    Array::from_slice(values, &[values.len()])
}

fn rows(rows: &[&[f64]]) -> Array {
    Array::from_vec(rows.concat(), &[rows.len(), rows[0].len()])
}

fn draw(name: &str, shape: &[usize]) -> Array {
    Stream::new(7).child(name).normal(shape, DType::F64)
}

#[track_caller]
fn close(a: &Array, b: &Array, tolerance: f64) {
    assert_eq!(a.shape(), b.shape());
    let difference = (a - b).abs().max_all().item();
    let size = b.abs().max_all().item().max(1e-300);
    assert!(difference <= tolerance * size, "{difference:e} of {size:e}\n{a}\n{b}");
}

#[track_caller]
fn near(a: &Array, b: &[f64]) {
    let found = a.to_f64_vec();
    assert_eq!(found.len(), b.len());
    assert!(found.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-6), "{found:?} is not {b:?}");
}

fn fisher(g: &Array, damping: f64) -> Array {
    let m = g.dim(0) as f64;
    Array::eye(g.dim(1), DType::F64) * damping + g.t().matmul(g) / m
}

fn inverse(g: &Array, damping: f64) -> Array {
    fisher(g, damping).inverse().unwrap()
}

fn window_of(g: &Array, capacity: usize, damping: f64) -> SlidingWindow {
    let mut window = SlidingWindow::new(capacity, damping).unwrap();
    for i in 0..g.dim(0) {
        window.push(&g.index(0, i)).unwrap();
    }
    window
}

fn example() -> Array {
    rows(&[&[1.0, 2.0, 0.0], &[0.0, 1.0, -1.0]])
}

#[test]
fn worked_inverse_of_two_gradients() {
    let g = example();
    let fisher = StaticFisher::new(&g, 0.5, None).unwrap();
    let expected = [
        [1.571429, -0.571429, -0.285714],
        [-0.571429, 0.571429, 0.285714],
        [-0.285714, 0.285714, 1.142857],
    ];
    near(&fisher.ihvp(&Array::eye(3, DType::F64)).unwrap(), expected.as_flattened());
    for (a, row) in expected.iter().enumerate() {
        for (b, value) in row.iter().enumerate() {
            assert!((fisher.entry(a, b) - value).abs() < 1e-6);
        }
    }
    near(&fisher.diagonal(), &[1.571429, 0.571429, 1.142857]);
    near(&fisher.denominators(), &[12.0, 4.666667]);
    let ones = vector(&[1.0, 1.0, 1.0]);
    near(&fisher.ihvp(&ones).unwrap(), &[0.714286, 0.285714, 1.142857]);
    let window = window_of(&g, 2, 0.5);
    near(&window.ihvp(&ones).unwrap(), &[0.714286, 0.285714, 1.142857]);
    near(&window.ihvp_recursive(&ones).unwrap(), &[0.714286, 0.285714, 1.142857]);
}

#[test]
fn worked_coefficients() {
    let coefficients = window_of(&example(), 2, 0.5).coefficients();
    let d = [(0, 0, 10.0), (0, 1, 4.0), (1, 1, 2.666667)];
    let b = [(0, 0, 2.0), (1, 0, -0.666667), (1, 1, 2.0)];
    assert!(d.iter().all(|&(i, j, value)| (coefficients.d(i, j) - value).abs() < 1e-6));
    assert!(b.iter().all(|&(i, j, value)| (coefficients.b(i, j) - value).abs() < 1e-6));
    // The rows of B give F_{i-1}^-1 g_i, the recursion's own rows.
    near(&(example().index(0, 0) * coefficients.b(0, 0)), &[2.0, 4.0, 0.0]);
    let second =
        example().index(0, 0) * coefficients.b(1, 0) + example().index(0, 1) * coefficients.b(1, 1);
    near(&second, &[-0.666667, 0.666667, -2.0]);
}

#[test]
fn every_form_is_the_dense_inverse() {
    // Fewer and more gradients than coordinates; the window wraps one and a half times.
    for (m, d) in [(6usize, 15), (24, 9), (1, 4), (70, 40)] {
        let stream = draw("gradients", &[m + m.div_ceil(2), d]);
        let x = draw("x", &[d]);
        for damping in [0.3, 1e-3] {
            let mut window = SlidingWindow::new(m, damping).unwrap();
            let mut last = x.clone();
            for i in 0..stream.dim(0) {
                let g = stream.index(0, i);
                last = window.precondition(&g).unwrap();
            }
            let newest = stream.narrow(0, stream.dim(0) - m, m);
            let dense = inverse(&newest, damping);
            let expected = dense.matmul(&x);
            let woodbury = {
                let c =
                    newest.matmul(&newest.t()) + Array::eye(m, DType::F64) * (m as f64 * damping);
                let inner = c.solve(&newest.matmul(&x)).unwrap();
                (&x - newest.t().matmul(&inner)) / damping
            };
            let fixed = StaticFisher::new(&newest, damping, None).unwrap();
            let turned = StaticFisher::new(&newest.flip(&[0]), damping, None).unwrap();
            for found in [
                window.ihvp(&x).unwrap(),
                window.ihvp_recursive(&x).unwrap(),
                fixed.ihvp(&x).unwrap(),
                turned.ihvp(&x).unwrap(),
                woodbury,
            ] {
                close(&found, &expected, 1e-9);
            }
            let g = stream.index(0, stream.dim(0) - 1);
            close(&last, &dense.matmul(&g), 1e-9);
            close(&fixed.diagonal(), &dense.diagonal(0, 1), 1e-9);
        }
    }
}

#[test]
fn one_gradient_and_many_of_the_same() {
    let g = vector(&[1.0, 2.0, 2.0]);
    let mut window = SlidingWindow::new(4, 0.5).unwrap();
    near(&window.ihvp(&g).unwrap(), &[2.0, 4.0, 4.0]);
    near(&window.precondition(&g).unwrap(), &[0.363636, 0.727273, 0.727273]);
    // Orthogonal to the window.
    near(&window.ihvp(&vector(&[2.0, -1.0, 0.0])).unwrap(), &[4.0, -2.0, 0.0]);
    for _ in 0..2 {
        window.push(&g).unwrap();
    }
    near(&window.precondition(&g).unwrap(), &[0.105263, 0.210526, 0.210526]);
    let before = window.ihvp(&vector(&[1.0, 0.0, 0.0])).unwrap();
    window.push(&g).unwrap();
    close(&window.ihvp(&vector(&[1.0, 0.0, 0.0])).unwrap(), &before, 1e-14);
    // Counting what is there only, one gradient is as good as four of the same.
    let mut effective = SlidingWindow::new(4, 0.5).unwrap().effective(true);
    near(&effective.precondition(&g).unwrap(), &[0.105263, 0.210526, 0.210526]);
}

#[test]
fn the_inverse_is_symmetric_positive_and_bounded() {
    let (g, damping) = (draw("gradients", &[40, 12]), 0.05);
    let (x, y) = (draw("x", &[12]), draw("y", &[12]));
    let fisher_matrix = fisher(&g, damping);
    let fixed = StaticFisher::new(&g, damping, None).unwrap();
    let diagonal = fixed.diagonal().to_f64_vec();
    assert!(diagonal.iter().all(|&v| v > 0.0 && v <= 1.0 / damping));
    let product = fixed.ihvp(&x).unwrap();
    close(&fisher_matrix.matmul(&product), &x, 1e-10);
    assert!(x.matmul(&product).item() > 0.0);
    let across = x.matmul(&fixed.ihvp(&y).unwrap()).item();
    assert!((across - y.matmul(&product).item()).abs() < 1e-12 * across.abs().max(1.0));
}

#[test]
fn much_damping_is_gradient_descent() {
    let (damping, rate) = (1e9, 1e8);
    let g = draw("gradients", &[5, 7]);
    let fixed = StaticFisher::new(&g, damping, None).unwrap();
    let x = draw("x", &[7]);
    close(&(fixed.ihvp(&x).unwrap() * damping), &x, 1e-7);
    let loss = |x: &Array| (x.square() + x.sin()).sum_all();
    let run = |optimizer: &dyn Optimizer<Array>| {
        let (mut params, mut state) = (x.clone(), optimizer.init(&x));
        (0..10).for_each(|_| {
            optimizer.step(&mut params, &mut state, &mut LossOracle(loss));
        });
        params
    };
    let mfac = Mfac { window: 4, damping, ..Mfac::new(rate) };
    close(&run(&mfac), &run(&Sgd::new(rate / damping)), 1e-7);
}

#[test]
fn blocks_run_from_the_diagonal_to_the_whole() {
    let (g, damping) = (draw("gradients", &[50, 11]), 0.02);
    let x = draw("x", &[11]);
    let whole = StaticFisher::new(&g, damping, None).unwrap();
    for block in [11, 12, 1000] {
        let same = StaticFisher::new(&g, damping, Some(block)).unwrap();
        assert_eq!(same.ihvp(&x).unwrap().to_f64_vec(), whole.ihvp(&x).unwrap().to_f64_vec());
    }
    let diagonal = (g.square().mean(&[0]) + damping).recip();
    close(&StaticFisher::new(&g, damping, Some(1)).unwrap().diagonal(), &diagonal, 1e-12);
    // Blocks of 4, the last one of 3, against the dense inverse of each.
    let blocks = StaticFisher::new(&g, damping, Some(4)).unwrap();
    let product = blocks.ihvp(&x).unwrap();
    for (start, len) in [(0, 4), (4, 4), (8, 3)] {
        let dense = inverse(&g.narrow(1, start, len), damping);
        let expected = dense.matmul(&x.narrow(0, start, len));
        close(&product.narrow(0, start, len), &expected, 1e-10);
        let found = blocks.diagonal().narrow(0, start, len);
        close(&found, &dense.diagonal(0, 1), 1e-10);
        let entry = dense.index(0, 0).index(0, 2).item();
        assert!((blocks.entry(start, start + 2) - entry).abs() < 1e-9);
    }
    assert_eq!(blocks.entry(3, 4), 0.0);
    // Several vectors at once.
    let both = blocks.ihvp(&Array::stack(&[&x, &(&x * 2.0)], 0)).unwrap();
    close(&both.index(0, 1), &(product * 2.0), 1e-12);
}

#[test]
fn pages_do_not_matter() {
    let (g, damping) = (draw("gradients", &[80, 30]), 1e-3);
    let x = draw("x", &[30]);
    let whole = StaticFisher::new(&g, damping, Some(13)).unwrap();
    for pages in [1, 2, 4, 80] {
        let mut paged = StaticFisher::with_capacity(30, 80, damping, Some(13)).unwrap();
        for page in 0..pages {
            paged.append(&g.narrow(0, page * 80 / pages, 80 / pages)).unwrap();
        }
        close(&paged.ihvp(&x).unwrap(), &whole.ihvp(&x).unwrap(), 1e-10);
        close(&paged.diagonal(), &whole.diagonal(), 1e-10);
        close(&paged.denominators(), &whole.denominators(), 1e-10);
        let error = paged.append(&g.narrow(0, 0, 1)).unwrap_err();
        assert!(error.to_string().contains("at most 0 more gradients fit"), "{error}");
    }
    // Pages that are still to come count as zero.
    let none = StaticFisher::with_capacity(30, 80, damping, None).unwrap();
    close(&none.ihvp(&x).unwrap(), &(&x / damping), 1e-15);
    assert!(none.diagonal().to_f64_vec().iter().all(|&v| v == 1.0 / damping));
}

#[test]
fn worked_removals() {
    let fisher = StaticFisher::new(&example(), 0.5, None).unwrap();
    let w = vector(&[1.0, -0.5, 0.2]);
    near(&fisher.saliencies(&w), &[0.318182, 0.21875, 0.0175]);
    for rule in [Removal::Sum, Removal::Joint] {
        near(&fisher.removal(&w, &[2], rule).unwrap(), &[0.05, -0.05, -0.2]);
    }
    let after = |rule| &w + fisher.removal(&w, &[1, 2], rule).unwrap();
    let sum = after(Removal::Sum).index(0, 0).item();
    let joint = after(Removal::Joint);
    assert!((sum - 0.55).abs() < 1e-6, "{sum}");
    near(&joint, &[0.5, 0.0, 0.0]);
    // Joint removal solves the constrained problem: the change's gradient vanishes on what is left.
    let (g, damping) = (draw("gradients", &[30, 12]), 0.01);
    let w = draw("w", &[12]);
    let fisher = StaticFisher::new(&g, damping, Some(5)).unwrap();
    let change = fisher.removal(&w, &[9, 1, 3, 4], Removal::Joint).unwrap();
    let left = (&w + &change).to_f64_vec();
    assert!([9, 1, 3, 4].iter().all(|&q: &usize| left[q].abs() < 1e-12));
    let gradient = self::fisher(&g.narrow(1, 0, 5), damping).matmul(&change.narrow(0, 0, 5));
    assert!([0, 2].iter().all(|&q: &usize| gradient.to_f64_vec()[q].abs() < 1e-10));
}

#[test]
fn single_precision_is_enough_for_the_optimizers_product() {
    let (m, d, damping) = (64, 500, 1e-6);
    let g = draw("gradients", &[m, d]);
    let mut exact = SlidingWindow::new(m, damping).unwrap();
    let mut single = SlidingWindow::new(m, damping).unwrap();
    let (mut p, mut q) = (g.clone(), g.clone());
    for i in 0..m {
        p = exact.precondition(&g.index(0, i)).unwrap();
        q = single.precondition(&g.index(0, i).cast(DType::F32)).unwrap();
    }
    let error = (q.cast(DType::F64) - &p).norm() / p.norm();
    assert!(error < 1e-4, "{error:e}");
    // Without the stable form nothing is left.
    let subtracted = single.ihvp(&g.index(0, m - 1).cast(DType::F32)).unwrap();
    assert!((subtracted.cast(DType::F64) - &p).norm() / p.norm() > 0.01);
}

#[test]
fn coefficients_follow_a_replacement() {
    let g = draw("gradients", &[9, 20]);
    let mut window = window_of(&g.narrow(0, 0, 6), 6, 0.1);
    let mut coefficients = window.coefficients();
    for i in 6..9 {
        let place = window.push(&g.index(0, i)).unwrap();
        coefficients.replace(window.gram(), place);
        let fresh = window.coefficients();
        for row in 0..6 {
            for column in 0..=row {
                assert!((coefficients.b(row, column) - fresh.b(row, column)).abs() < 1e-12);
                assert!((coefficients.d(column, row) - fresh.d(column, row)).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn inner_products_do_not_drift() {
    // More columns than one span, and a length that no span divides.
    let d = (1 << 17) + 77;
    let g = Stream::new(3).normal(&[5, d], DType::F32);
    let window = window_of(&g, 3, 1e-3);
    let newest = Array::stack(&window.rows().iter().collect::<Vec<_>>(), 0).cast(DType::F64);
    let expected = newest.matmul(&newest.t());
    let found = Array::from_slice(window.gram(), &[3, 3]);
    close(&found, &expected, 1e-6);
    // The same gradients put in afresh have the same products to the bit: places 0 and 1 here are 2 and 0 there.
    let again = window_of(&g.narrow(0, 2, 3), 3, 1e-3);
    assert_eq!(again.gram()[1], window.gram()[2 * 3]);
}

#[test]
fn a_gradient_that_is_not_finite_leaves_the_window_alone() {
    let mut window = window_of(&example(), 2, 0.5);
    let before = (window.gram().to_vec(), window.next());
    let bad = window.push(&vector(&[1.0, f64::NAN, 0.0])).unwrap_err();
    assert_eq!(bad, Error::NotFinite { name: "the gradient" });
    assert_eq!((window.gram().to_vec(), window.next()), before);
    near(&window.ihvp(&vector(&[1.0, 1.0, 1.0])).unwrap(), &[0.714286, 0.285714, 1.142857]);
    // In an optimizer it reaches the parameters, where a run sees it.
    let optimizer = Mfac { window: 2, ..Mfac::new(0.1) };
    let mut x = vector(&[1.0, 2.0]);
    let mut state = optimizer.init(&x);
    let mut oracle = LossOracle(|x: &Array| x.sum_all());
    let mut broken = WithGradient::new(&mut oracle, |_: &mut dyn Oracle<Array>, x: &Array| {
        (f64::NAN, x * f64::INFINITY)
    });
    optimizer.step(&mut x, &mut state, &mut broken);
    assert!(!x.all_finite() && state.trees.is_empty());
}

#[test]
fn a_damping_below_rounding_is_raised() {
    // Equal rows: C has rank one, and 1e-22 does nothing beside squares of 9.
    let mut window = SlidingWindow::new(3, 1e-22).unwrap();
    let g = vector(&[1.0, 2.0, 2.0]);
    for _ in 0..3 {
        let product = window.precondition(&g).unwrap();
        assert!(product.all_finite() && product.norm() > 0.0);
    }
}

type Pair = (Array, Array);

fn start() -> Pair {
    (draw("a", &[3, 4]), draw("b", &[4]))
}

fn bowl(p: &Pair) -> Array {
    (p.0.square() * 3.0).sum_all()
        + (p.0.matmul(&p.1) - 1.0).square().sum_all()
        + p.1.sin().sum_all()
}

fn steps(optimizer: &dyn Optimizer<Pair>, count: usize) -> (Pair, State<Pair>) {
    let mut params = start();
    let mut state = optimizer.init(&params);
    for _ in 0..count {
        optimizer.step(&mut params, &mut state, &mut LossOracle(bowl));
    }
    (params, state)
}

#[test]
fn one_step_is_the_formula() {
    let optimizer = Mfac { window: 4, damping: 0.5, weight_decay: 0.1, ..Mfac::new(0.2) };
    let (params, state) = steps(&optimizer, 1);
    let begin = start();
    let (_, gradient) = LossOracle(bowl).value_and_grad(&begin);
    let gradient = gradient.axpy(0.1, &begin);
    let square = gradient.dot(&gradient);
    let expected = begin.axpy(-0.2 / (0.5 + square / 4.0), &gradient);
    close(&params.0, &expected.0, 1e-12);
    close(&params.1, &expected.1, 1e-12);
    assert_eq!(state.trees.keys().collect::<Vec<_>>(), ["gram", "window.0"]);
    // The recursive form takes the same steps.
    let recursive = Mfac { product: Product::Recursive, ..optimizer.clone() };
    let (a, b) = (steps(&optimizer, 11).0, steps(&recursive, 11).0);
    close(&a.0, &b.0, 1e-9);
    // Decay beside the window, momentum and a bound on the step.
    let decoupled = Mfac { decoupled: true, momentum: 0.9, ..optimizer.clone() };
    let (params, _) = steps(&decoupled, 1);
    let (_, gradient) = LossOracle(bowl).value_and_grad(&begin);
    let square = gradient.dot(&gradient);
    let expected = begin.scale(1.0 - 0.2 * 0.1).axpy(-0.2 * 0.1 / (0.5 + square / 4.0), &gradient);
    close(&params.0, &expected.0, 1e-12);
    let bounded = Mfac { largest_step: Some(1e-3), weight_decay: 0.0, ..optimizer };
    let (params, _) = steps(&bounded, 1);
    assert!((params.axpy(-1.0, &begin).norm() - 0.2e-3).abs() < 1e-12);
}

#[test]
fn a_state_that_was_saved_goes_on_bit_for_bit() {
    let optimizer = Mfac { window: 3, damping: 0.1, momentum: 0.5, sparse: true, ..Mfac::new(0.1) };
    let (whole, _) = steps(&optimizer, 9);
    let (mut params, state) = steps(&optimizer, 5);
    // As a checkpoint does it: the rest as text, arrays by path into new buffers.
    let text = serde_json::to_string(&state).unwrap();
    let fresh: State<Pair> = serde_json::from_str(&text).unwrap();
    let copies = state
        .leaves()
        .into_iter()
        .map(|leaf| Array::from_vec(leaf.to_f64_vec(), leaf.shape()).cast(leaf.dtype()));
    let mut resumed = fresh.with_leaves(copies.collect::<Vec<_>>());
    for _ in 5..9 {
        optimizer.step(&mut params, &mut resumed, &mut LossOracle(bowl));
    }
    assert_eq!(params.0.to_f64_vec(), whole.0.to_f64_vec());
    assert_eq!(params.1.to_f64_vec(), whole.1.to_f64_vec());
}

#[test]
fn zeros_stay_zero_in_sparse_mode_and_frozen_groups_stay() {
    let mut params = start();
    params.0 = &params.0 * vector(&[1.0, 0.0, 1.0, 0.0]);
    let mut free = Mfac { window: 3, damping: 0.1, sparse: true, ..Mfac::new(0.1) };
    free.groups.0.push(crate::Group {
        pattern: "1".into(),
        learning_rate_scale: 0.0,
        weight_decay: None,
    });
    let before = params.clone();
    let mut state = free.init(&params);
    for _ in 0..5 {
        free.step(&mut params, &mut state, &mut LossOracle(bowl));
    }
    assert_eq!(params.1.to_f64_vec(), before.1.to_f64_vec());
    let zero = |p: &Pair| p.0.to_f64_vec().iter().map(|&v| v == 0.0).collect::<Vec<_>>();
    assert_eq!(zero(&params), zero(&before));
    // Nothing of the frozen leaf is in the window.
    assert_eq!(state.trees["window.0"].0.shape(), [12]);
    assert_eq!(free.memory_bytes(&params), 3 * 12 * 8 + 9 * 8);
}

/// A least-squares problem whose gradients are those of single rows.
fn regression(p: &Pair, inputs: &Array, i: usize) -> Array {
    let hidden = p.0.matmul(&inputs.index(0, i)).tanh();
    (hidden.sum_all() + p.1.sum_all() - 1.0).square()
}

fn pruned(pruner: &Pruner, sparsity: f64) -> Pruned<Pair> {
    let params = start();
    let inputs = draw("inputs", &[20, 4]);
    let mut gradients = |p: &Pair, _: usize| {
        lisse_array::per_example_grad(|p: &Pair, i| regression(p, &inputs, i), p, 20)
    };
    pruner.prune(&params, &ones(&params), sparsity, &mut gradients).unwrap()
}

#[test]
fn pruning_reaches_its_sparsity_and_leaves_vectors_alone() {
    for criterion in [Criterion::Magnitude, Criterion::DiagonalFisher, Criterion::InverseFisher] {
        for rounds in [1, 3] {
            let result = pruned(&Pruner { rounds, ..Pruner::new(criterion) }, 0.75);
            assert_eq!(result.sparsity(), 0.75);
            let zeros = result.params.0.to_f64_vec().iter().filter(|&&v| v == 0.0).count();
            assert_eq!(zeros, 9);
            assert_eq!(result.params.1.to_f64_vec(), start().1.to_f64_vec());
        }
    }
    // The smallest go, and nothing else moves.
    let result = pruned(&Pruner::new(Criterion::Magnitude), 0.5);
    let (before, after) = (start().0.to_f64_vec(), result.params.0.to_f64_vec());
    let gone = before.iter().zip(&after).filter(|(_, a)| **a == 0.0);
    let bound = gone.map(|(b, _)| b.abs()).fold(0.0, f64::max);
    assert!(before.iter().zip(&after).all(|(b, a)| *a == if b.abs() <= bound { 0.0 } else { *b }));
    // Blocks of one weight are the diagonal Fisher matrix: the same weights go.
    let single =
        Pruner { block: Some(1), rounds: 1, damping: 0.1, ..Pruner::new(Criterion::InverseFisher) };
    let diagonal = Pruner { criterion: Criterion::DiagonalFisher, ..single.clone() };
    let (a, b) = (pruned(&single, 0.5), pruned(&diagonal, 0.5));
    close(&a.params.0, &b.params.0, 1e-12);
}

#[test]
fn pruning_goes_on_where_it_stopped_and_masks_hold_in_training() {
    let pruner = Pruner { rounds: 2, ..Pruner::new(Criterion::InverseFisher) };
    let first = pruned(&pruner, 0.5);
    let optimizer = Masked { mask: first.mask.clone(), inner: Sgd::new(0.01).momentum(0.9) };
    let mut params = first.params.clone();
    let mut state = optimizer.init(&params);
    for _ in 0..5 {
        optimizer.step(&mut params, &mut state, &mut LossOracle(bowl));
    }
    let zeros = |p: &Pair| p.0.to_f64_vec().iter().filter(|&&v| v == 0.0).count();
    assert_eq!(zeros(&params), 6);
    let inputs = draw("inputs", &[20, 4]);
    let mut gradients = |p: &Pair, _: usize| {
        lisse_array::per_example_grad(|p: &Pair, i| regression(p, &inputs, i), p, 20)
    };
    let second = pruner.prune(&params, &first.mask, 0.75, &mut gradients).unwrap();
    assert_eq!((second.sparsity(), zeros(&second.params)), (0.75, 9));
    let error = pruner.prune(&params, &second.mask, 0.5, &mut gradients).unwrap_err();
    assert!(error.to_string().contains("at least the present sparsity"), "{error}");
}

#[test]
fn bad_numbers_name_themselves() {
    let zero = SlidingWindow::new(4, 0.0).unwrap_err();
    assert_eq!(zero.to_string(), "damping: 0 is out of range; it must be above 0");
    assert!(SlidingWindow::new(0, 0.1).unwrap_err().to_string().starts_with("window: 0"));
    let g = example();
    assert!(StaticFisher::new(&g, f64::NAN, None).is_err());
    assert!(StaticFisher::new(&g, 0.1, Some(0)).unwrap_err().to_string().starts_with("block"));
    let nan = StaticFisher::new(&(&g / 0.0), 0.1, None).unwrap_err();
    assert_eq!(nan, Error::NotFinite { name: "gradients" });
    let short = window_of(&g, 2, 0.5).ihvp(&vector(&[1.0])).unwrap_err();
    assert!(short.to_string().contains("the window holds [3] of f64"), "{short}");

    let config = |text: &str| -> Result<OptimizerConfig, OutOfRange> {
        let config: OptimizerConfig =
            serde_json::from_str(&format!(r#"{{"optimizer": {{"name": "mfac", {text}}}}}"#))
                .unwrap();
        config.validate().map(|()| config)
    };
    for (text, key) in [
        (r#""damping": 0.0"#, "optimizer.damping"),
        (r#""window": 0"#, "optimizer.window"),
        (r#""momentum": 1.0"#, "optimizer.momentum"),
        (r#""largest_step": 0.0"#, "optimizer.largest_step"),
        (r#""learning_rate": 0.0"#, "optimizer.learning_rate"),
    ] {
        assert_eq!(config(text).err().map(|bad| bad.key), Some(key.to_string()));
    }
    let built = config(r#""window": 8, "damping": 0.01"#).ok().unwrap();
    let rule = built.build::<Pair>(10);
    let mut params = start();
    let mut state = rule.init(&params);
    let info = rule.step(&mut params, &mut state, &mut LossOracle(bowl));
    assert_eq!((info.learning_rate, state.trees.len()), (1e-3, 2));
    let crate::config::Rule::Mfac(mfac) = built.optimizer else { panic!("another rule") };
    assert!(mfac.fits(8).is_ok());
    let short = mfac.fits(7).unwrap_err();
    assert!(short.contains("8 gradients do not come in the 7 steps"), "{short}");
}

#[test]
fn sharpness_aware_and_clipped_around_it() {
    let text = r#"{
        "optimizer": {"name": "mfac", "learning_rate": 0.05, "window": 4, "damping": 0.1},
        "sam": {"rho": 0.05}, "clip": {"norm": 1.0}
    }"#;
    let config: OptimizerConfig = serde_json::from_str(text).unwrap();
    assert!(config.validate().is_ok());
    let optimizer = config.build::<Pair>(60);
    let (params, state) = steps(&*optimizer, 60);
    assert!(bowl(&params).item() < 0.5 * bowl(&start()).item());
    // What the window holds is clipped.
    let norm = state.trees["window.0"].0.norm();
    assert!(norm <= 1.0 + 1e-12, "{norm}");
}
