use std::sync::Arc;

use lisse_array::random::Law;
use lisse_array::{Array, Stream};
use proptest::prelude::*;

use super::baselines::*;
use super::linear_models::*;
use super::vector::{distance, norm};
use super::*;

fn draw(name: &str, n: usize) -> Vec<f64> {
    let mut v = vec![0.0; n];
    Stream::new(3).child(name).fill(Law::Normal, 0, &mut v);
    v
}

fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    let gap = distance(a, b);
    assert!(gap <= tolerance * (1.0 + norm(b)), "{a:?}\n{b:?}\ngap {gap}");
}

fn examples(name: &str, n: usize, width: usize) -> Examples {
    let labels = draw(&format!("{name} labels"), n).iter().map(|v| v.signum()).collect();
    Examples::new(draw(name, n * width), labels, width).unwrap()
}

fn classes(name: &str, n: usize, width: usize, k: usize) -> Examples {
    let labels = (0..n).map(|i| ((i * 7 + i / 3) % k) as f64).collect();
    Examples::new(draw(name, n * width), labels, width).unwrap()
}

fn matrix(e: &Examples) -> Array {
    Array::from_slice(&e.inputs, &[e.len(), e.width])
}

/// Central differences of everything an oracle gives, of order 1 and 2.
fn check_derivatives(problem: &dyn Bilevel, x: &[f64], y: &[f64], batch: &Batch) {
    let h = 1e-5;
    let shifted = |v: &[f64], d: &[f64], s: f64| -> Vec<f64> {
        v.iter().zip(d).map(|(v, d)| v + s * h * d).collect()
    };
    let (dx, dy) = (draw("dx", x.len()), draw("dy", y.len()));
    let dot = |a: &[f64], b: &[f64]| vector::dot(a, b);
    let agree = |exact: f64, difference: f64| {
        assert!((exact - difference).abs() <= 1e-6 * (1.0 + exact.abs()), "{exact} {difference}");
    };
    for level in [0, 1] {
        let value = |x: &[f64], y: &[f64]| {
            let g = if level == 0 {
                problem.upper(x, y, batch, Wrt::Both)
            } else {
                problem.lower(x, y, batch, Wrt::Both)
            };
            g.value
        };
        let g = if level == 0 {
            problem.upper(x, y, batch, Wrt::Both)
        } else {
            problem.lower(x, y, batch, Wrt::Both)
        };
        agree(
            dot(&g.x, &dx),
            (value(&shifted(x, &dx, 1.0), y) - value(&shifted(x, &dx, -1.0), y)) / (2.0 * h),
        );
        agree(
            dot(&g.y, &dy),
            (value(x, &shifted(y, &dy, 1.0)) - value(x, &shifted(y, &dy, -1.0))) / (2.0 * h),
        );
    }
    let v = draw("v", y.len());
    let slope = |x: &[f64], y: &[f64]| problem.lower(x, y, batch, Wrt::Y).y;
    let all = problem.lower_products(x, y, &v, batch);
    let (up, down) = (slope(x, &shifted(y, &v, 1.0)), slope(x, &shifted(y, &v, -1.0)));
    let difference: Vec<f64> = up.iter().zip(&down).map(|(a, b)| (a - b) / (2.0 * h)).collect();
    close(&all.hessian, &difference, 1e-6);
    let (up, down) = (slope(&shifted(x, &dx, 1.0), y), slope(&shifted(x, &dx, -1.0), y));
    agree(dot(&all.cross, &dx), (dot(&up, &v) - dot(&down, &v)) / (2.0 * h));
    close(&problem.hessian_product(x, y, &v, batch), &all.hessian, 1e-13);
    close(&problem.cross_product(x, y, &v, batch), &all.cross, 1e-13);
    close(&slope(x, y), &all.gradient, 1e-13);
}

/// The same numbers from two problems.
fn same(a: &dyn Bilevel, b: &dyn Bilevel, x: &[f64], y: &[f64], batch: &Batch) {
    let v = draw("direction", y.len());
    for wrt in [Wrt::X, Wrt::Y, Wrt::Both] {
        let (p, q) = (a.upper(x, y, batch, wrt), b.upper(x, y, batch, wrt));
        close(&[p.value], &[q.value], 1e-12);
        close(&p.x, &q.x, 1e-12);
        close(&p.y, &q.y, 1e-12);
        let (p, q) = (a.lower(x, y, batch, wrt), b.lower(x, y, batch, wrt));
        close(&[p.value], &[q.value], 1e-12);
        close(&p.x, &q.x, 1e-12);
        close(&p.y, &q.y, 1e-12);
    }
    let (p, q) = (a.lower_products(x, y, &v, batch), b.lower_products(x, y, &v, batch));
    close(&[p.value], &[q.value], 1e-12);
    close(&p.gradient, &q.gradient, 1e-12);
    close(&p.hessian, &q.hessian, 1e-12);
    close(&p.cross, &q.cross, 1e-12);
}

fn rows_of(a: &Array, batch: &Batch) -> Array {
    match &batch.rows {
        Rows::All => a.clone(),
        Rows::Block(r) => a.narrow(0, r.start, r.len()),
        Rows::Listed(list) => {
            let list: Vec<i64> = list.iter().map(|&i| i as i64).collect();
            a.index_select(0, &Array::from_slice(&list, &[list.len()]))
        }
    }
}

fn log_loss(margins: &Array) -> Array {
    // ln(1 + e^-m) = logsumexp(0, -m)
    let negated = -margins.unsqueeze(1);
    Array::cat(&[&negated, &negated.zeros_like()], 1).logsumexp(&[1])
}

fn batches() -> [Batch; 3] {
    let with = |rows| Batch { rows, ..Batch::all() };
    [Batch::all(), with(Rows::Block(3..9)), with(Rows::Listed(vec![1, 8, 4, 10, 1]))]
}

#[test]
fn closed_forms_equal_automatic_derivatives_and_differences() {
    let (train, validation) = (examples("train", 13, 5), examples("validation", 11, 5));
    let (a, b) = (matrix(&train), matrix(&validation));
    let (l, m) =
        (Array::from_slice(&train.labels, &[13]), Array::from_slice(&validation.labels, &[11]));
    let ridge = RidgeLogistic::new(train.clone(), validation.clone()).unwrap();
    let (b1, m1) = (b.clone(), m.clone());
    let upper = move |_: &Array, y: &Array, batch: &Batch| {
        log_loss(&(rows_of(&b1, batch).matmul(y) * rows_of(&m1, batch))).mean_all()
    };
    let upper_again = upper.clone();
    let (a1, l1) = (a.clone(), l.clone());
    let general = Closures::new((5, 5), upper, move |x, y, batch| {
        let fit = log_loss(&(rows_of(&a1, batch).matmul(y) * rows_of(&l1, batch))).mean_all();
        fit + (x.exp() * y.square()).sum_all() * 0.5
    });
    let (x, y) = (draw("x", 5), draw("y", 5));
    let cleaning = BinaryCleaning::new(train, validation, 0.3, Set::Whole, Set::Whole).unwrap();
    let cleaning_general = Closures::new((13, 5), upper_again, move |x, y, batch| {
        let losses = log_loss(&(rows_of(&a, batch).matmul(y) * rows_of(&l, batch)));
        (losses * rows_of(x, batch).sigmoid()).mean_all() + y.square().sum_all() * 0.15
    });
    let logits = draw("logits", 13);
    for batch in batches() {
        same(&ridge, &general, &x, &y, &batch);
        check_derivatives(&ridge, &x, &y, &batch);
        same(&cleaning, &cleaning_general, &logits, &y, &batch);
        check_derivatives(&cleaning, &logits, &y, &batch);
    }
}

#[test]
fn softmax_closed_form_equals_automatic_derivatives_and_differences() {
    let (train, validation) = (classes("s", 12, 4, 3), classes("t", 11, 4, 3));
    let (a, b) = (matrix(&train), matrix(&validation));
    let one_hot = |e: &Examples| {
        let labels: Vec<i64> = e.labels.iter().map(|&l| l as i64).collect();
        Array::one_hot(&Array::from_slice(&labels, &[labels.len()]), 3, lisse_array::DType::F64)
    };
    let (p, q) = (one_hot(&train), one_hot(&validation));
    let problem = SoftmaxCleaning::new(train, validation, 3, 0.05, Set::Whole, Set::Whole).unwrap();
    let losses = |inputs: &Array, targets: &Array, y: &Array, batch: &Batch| {
        let z = rows_of(inputs, batch).matmul(&y.reshape(&[4, 3]));
        z.logsumexp(&[1]) - (&z * rows_of(targets, batch)).sum(&[1])
    };
    let general = Closures::new(
        (12, 12),
        move |_, y, batch| losses(&b, &q, y, batch).mean_all(),
        move |x, y, batch| {
            let weighted = losses(&a, &p, y, batch) * rows_of(x, batch).sigmoid();
            weighted.mean_all() + y.square().sum_all() * 0.05
        },
    );
    let (x, y) = (draw("x", 12), draw("y", 12));
    for batch in batches() {
        same(&problem, &general, &x, &y, &batch);
        check_derivatives(&problem, &x, &y, &batch);
        check_derivatives(&general, &x, &y, &batch);
    }
}

/// `g = 1/2 (y - A x)^T S (y - A x)`, `f = sum cosh y_i`: the hypergradient is `A^T sinh(A x)`.
fn cosh() -> Closures {
    let a = Array::from_slice(&[1.0, 0.5, 0.0, 1.0], &[2, 2]);
    let s = Array::from_slice(&[1.0, 2.0], &[2]);
    Closures::new(
        (2, 2),
        |_, y, _| y.cosh().sum_all(),
        move |x, y, _| ((y - a.matmul(x)).square() * &s).sum_all() * 0.5,
    )
}

fn cosh_gradient(x: &[f64]) -> Vec<f64> {
    let y = [x[0] + 0.5 * x[1], x[1]];
    vec![y[0].sinh(), 0.5 * y[0].sinh() + y[1].sinh()]
}

#[test]
fn hypergradients_are_exact_at_the_solution() {
    let problem = cosh();
    let mut oracle = Oracle::new(&problem);
    let x = [0.7, -0.4];
    let y = [0.7 - 0.2, -0.4];
    let implicit = implicit_hypergradient(&mut oracle, &x, &y, &[0.0; 2], 1e-13, 10);
    close(&implicit.gradient, &cosh_gradient(&x), 1e-12);
    assert!(implicit.residual < 1e-13 && implicit.products == 2 && implicit.warnings.is_empty());
    let (unrolled, last) = unrolled_hypergradient(&mut oracle, &x, &[0.0; 2], 0.4, 80);
    close(&last, &y, 1e-12);
    close(&unrolled.gradient, &cosh_gradient(&x), 1e-10);
    assert_eq!(oracle.counts.hessian_products, 82);
    assert_eq!(oracle.counts.jacobian_products, 81);
}

/// Unrolling a few steps is the exact derivative of what those steps give, not of the solution.
#[test]
fn unrolling_is_the_derivative_of_its_own_steps() {
    let problem = cosh();
    let mut oracle = Oracle::new(&problem);
    let (x, y0, h) = ([0.7, -0.4], [0.3, 0.1], 1e-6);
    let mut value = |x: &[f64]| {
        let (_, y) = unrolled_hypergradient(&mut oracle, x, &y0, 0.3, 3);
        y.iter().map(|y| y.cosh()).sum::<f64>()
    };
    let difference: Vec<f64> = (0..2)
        .map(|i| {
            let (mut up, mut down) = (x, x);
            up[i] += h;
            down[i] -= h;
            (value(&up) - value(&down)) / (2.0 * h)
        })
        .collect();
    let (exact, _) = unrolled_hypergradient(&mut Oracle::new(&problem), &x, &y0, 0.3, 3);
    close(&exact.gradient, &difference, 1e-8);
}

fn solve(solver: &dyn Solver, problem: &dyn Bilevel, x: &[f64], y: &[f64], steps: usize) -> State {
    let mut oracle = Oracle::new(problem);
    let mut state = solver.start(x, y, &mut oracle).unwrap();
    for _ in 0..steps {
        solver.step(&mut state, &mut oracle, &Samples::whole()).unwrap();
    }
    state
}

#[test]
fn all_baselines_find_the_solution() {
    let problem = cosh();
    let (x, y) = ([0.7, -0.4], [0.0, 0.0]);
    let constant = Decay::constant;
    let solvers: Vec<(Box<dyn Solver>, f64)> = vec![
        (
            Box::new(Soba {
                gamma: constant(0.4),
                nu: constant(0.4),
                eta: constant(0.1),
                momentum: 0.0,
            }),
            1e-8,
        ),
        (
            Box::new(Soba {
                gamma: constant(0.4),
                nu: constant(0.4),
                eta: constant(0.1),
                momentum: 0.9,
            }),
            1e-8,
        ),
        (
            Box::new(StocBio {
                gamma: constant(0.4),
                nu: 0.4,
                eta: constant(0.1),
                inner: 5,
                terms: 30,
            }),
            1e-8,
        ),
        (Box::new(Ttsa { gamma: constant(0.4), nu: 0.4, eta: constant(0.05), terms: 30 }), 1e-8),
        (
            Box::new(Implicit {
                gamma: 0.4,
                eta: constant(0.1),
                inner: 5,
                tolerance: 1e-10,
                products: 10,
            }),
            1e-8,
        ),
        (Box::new(Unrolled { gamma: 0.4, eta: constant(0.1), inner: 20 }), 1e-8),
        (
            Box::new(F2sa {
                a: constant(0.002),
                c: constant(0.3),
                b: constant(0.05),
                lambda: 100.0,
                delta: constant(0.0),
                ..F2sa::default()
            }),
            1e-6,
        ),
        (
            Box::new(F2sa {
                a: constant(0.004),
                c: constant(0.3),
                b: constant(0.01),
                lambda: 30.0,
                delta: constant(0.0),
                inner: 1,
                recursive: Some(constant(0.5)),
                ..F2sa::default()
            }),
            1e-3,
        ),
        (Box::new(Pbgd { step: constant(0.005), inner_step: 0.4, weight: 50.0, inner: 10 }), 1e-2),
        (Box::new(Bome { step: constant(0.05), inner_step: 0.3, rate: 0.5, inner: 10 }), 1e-2),
    ];
    for (solver, tolerance) in solvers {
        let end = solve(solver.as_ref(), &problem, &x, &y, 2000);
        let left = norm(&cosh_gradient(&end.x));
        assert!(left < tolerance, "{}: {left}", solver.name());
    }
}

#[test]
fn soba_on_shared_samples_equals_soba_on_separate_ones() {
    let problem = cosh();
    let soba = Soba { gamma: 0.4.into(), nu: 0.4.into(), eta: 0.1.into(), momentum: 0.5 };
    let joint = solve(&soba, &problem, &[0.7, -0.4], &[0.0; 2], 20);
    let separate = Samples { shared: false, ..Samples::whole() };
    let mut oracle = Oracle::new(&problem);
    let mut state = soba.start(&[0.7, -0.4], &[0.0; 2], &mut oracle).unwrap();
    for _ in 0..20 {
        soba.step(&mut state, &mut oracle, &separate).unwrap();
    }
    close(&state.x, &joint.x, 1e-14);
    let counts = oracle.counts;
    assert_eq!((counts.hessian_products, counts.jacobian_products), (20, 20));
    assert_eq!((counts.upper_gradients, counts.lower_gradients), (40, 20));
}

#[test]
fn lower_problems_that_are_not_strongly_convex_are_noticed() {
    // g = (y_0^2 - y_1^2) / 2: a saddle.
    let saddle = Closures::new(
        (1, 2),
        |_, y, _| y.sum_all(),
        |x, y, _| {
            (y.square() * Array::from_slice(&[1.0, -1.0], &[2])).sum_all() * 0.5 + x.sum_all()
        },
    );
    let mut oracle = Oracle::new(&saddle);
    let result = implicit_hypergradient(&mut oracle, &[0.0], &[0.0, 0.0], &[0.0, 1.0], 1e-10, 10);
    assert_eq!(result.warnings[0].name(), "negative_curvature");
    // A flat direction.
    let flat = Closures::new(
        (1, 2),
        |_, y, _| y.sum_all(),
        |_, y, _| y.narrow(0, 0, 1).square().sum_all(),
    );
    let result =
        implicit_hypergradient(&mut Oracle::new(&flat), &[0.0], &[0.0; 2], &[0.0; 2], 1e-10, 10);
    assert_eq!(result.warnings[0].name(), "flat_curvature");
    assert!(result.warnings[0].to_string().contains("add a ridge"));
    // SOBA sees it through its own products.
    let soba = Soba { gamma: 0.1.into(), nu: 0.1.into(), eta: 0.1.into(), momentum: 0.0 };
    let state = solve(&soba, &saddle, &[0.0], &[0.0, 0.0], 60);
    assert!(state.warnings.iter().any(|w| w.name() == "negative_curvature"));
}

#[test]
fn bad_input_is_refused_with_what_would_be_right() {
    let problem = cosh();
    let oracle = Oracle::new(&problem);
    let message = |x: &[f64], y: &[f64]| oracle.check(x, y).unwrap_err().to_string();
    assert_eq!(message(&[1.0], &[0.0; 2]), "the start of x has 1 entries; expected 2");
    assert!(
        message(&[1.0, f64::NAN], &[0.0; 2]).contains("entry 1 is NaN; expected finite numbers")
    );
    assert!(message(&[0.0, 0.0], &[1e4, 0.0]).contains("the gradient of the upper objective"));
    let empty = Set::boxed(vec![0.0, 2.0], vec![1.0, 1.0]).unwrap_err().to_string();
    assert_eq!(empty, "the box is empty: entry 1 would have to be at least 2 and at most 1");
    assert!(Set::Ball { radius: -1.0 }.check("y", 2).unwrap_err().to_string().contains("above 0"));
    assert!(Set::boxed(vec![f64::NAN], vec![1.0]).is_err());
    let labels = Examples::new(vec![0.0; 4], vec![1.0, 0.5], 2).unwrap();
    let refused = RidgeLogistic::new(labels.clone(), labels).unwrap_err().to_string();
    assert_eq!(refused, "a label is 0.5; expected -1 or 1");
    assert!(
        Examples::new(vec![0.0; 3], vec![1.0, 1.0], 2)
            .unwrap_err()
            .to_string()
            .contains("expected 4")
    );
    assert!(
        Examples::new(Vec::new(), Vec::new(), 2).unwrap_err().to_string().contains("no examples")
    );
    let boxed = cosh().within(Set::Whole, Set::cube(2, 0.0, 1.0).unwrap());
    let soba = Soba { gamma: 0.1.into(), nu: 0.1.into(), eta: 0.1.into(), momentum: 0.0 };
    let refused =
        soba.start(&[0.0; 2], &[0.0; 2], &mut Oracle::new(&boxed)).unwrap_err().to_string();
    assert!(refused.contains("use the penalty method"), "{refused}");
}

#[test]
fn divergence_is_an_error_that_names_the_variable() {
    let problem = cosh();
    let soba = Soba { gamma: 5.0.into(), nu: 0.1.into(), eta: 0.1.into(), momentum: 0.0 };
    let mut oracle = Oracle::new(&problem);
    let mut state = soba.start(&[1.0, 1.0], &[0.0; 2], &mut oracle).unwrap();
    let failed =
        (0..2000).find_map(|_| soba.step(&mut state, &mut oracle, &Samples::whole()).err());
    assert!(failed.unwrap().to_string().contains("step sizes are too large"));
}

#[test]
fn trees_are_flattened_and_given_back() {
    let x = (
        Array::zeros(&[2], lisse_array::DType::F64),
        Array::zeros(&[1, 2], lisse_array::DType::F64),
    );
    let y = Array::zeros(&[2, 2], lisse_array::DType::F64);
    let problem = Closures::of_trees(
        &x,
        &y,
        |_, y: &Array, _| y.square().sum_all(),
        |x, y: &Array, _| (y - x.1.matmul(y) - x.0.unsqueeze(0)).square().sum_all(),
    );
    assert_eq!(problem.dims(), (4, 4));
    check_derivatives(&problem, &draw("x", 4), &draw("y", 4), &Batch::all());
}

#[test]
fn samples_are_functions_of_step_and_purpose() {
    let samples = Samples::draws((50, 70), 8, &Stream::new(1));
    let a = samples.draw(3, Purpose::Hessian);
    assert_eq!(a, samples.draw(3, Purpose::Hessian));
    assert_ne!(a, samples.draw(3, Purpose::Cross));
    assert_ne!(a, samples.draw(4, Purpose::Hessian));
    let blocks = Samples::blocks((50, 70), 8, &Stream::new(1));
    assert_eq!(blocks.draw(5, Purpose::Hessian), blocks.draw(5, Purpose::Cross));
    for k in 0..50 {
        let Rows::Block(range) = blocks.draw(k, Purpose::Hessian).rows else { panic!("a block") };
        assert!(range.end <= 70 && !range.is_empty() && range.start % 8 == 0);
    }
}

#[test]
fn threads_do_not_change_results() {
    let problem: Arc<dyn Bilevel> = Arc::new(
        SoftmaxCleaning::new(
            classes("a", 200, 30, 10),
            classes("b", 90, 30, 10),
            10,
            0.01,
            Set::Whole,
            Set::Whole,
        )
        .unwrap(),
    );
    let soba = Soba { gamma: 0.3.into(), nu: 0.1.into(), eta: 1.0.into(), momentum: 0.9 };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut oracle = Oracle::new(problem.as_ref());
            let samples = Samples::draws(problem.examples(), 64, &Stream::new(5));
            let mut state = soba.start(&[0.0; 200], &[0.0; 300], &mut oracle).unwrap();
            for _ in 0..10 {
                soba.step(&mut state, &mut oracle, &samples).unwrap();
            }
            state
        })
    };
    assert_eq!(run(1), run(2));
}

proptest! {
    #[test]
    fn projections_are_idempotent_nonexpansive_and_nearest(
        a in prop::collection::vec(-3.0..3.0f64, 5),
        b in prop::collection::vec(-3.0..3.0f64, 5),
        kind in 0..4usize,
    ) {
        let set = match kind {
            0 => Set::cube(5, -0.5, 0.7).unwrap(),
            1 => Set::Ball { radius: 1.3 },
            2 => Set::Nonnegative,
            _ => Set::Simplex { total: 2.0 },
        };
        let (p, q) = (set.nearest(&a), set.nearest(&b));
        prop_assert!(distance(&set.nearest(&p), &p) < 1e-12);
        prop_assert!(distance(&p, &q) <= distance(&a, &b) + 1e-12);
        // The variational inequality (a - p).(q - p) <= 0 for the point q of the set.
        let inner: f64 = a.iter().zip(&p).zip(&q).map(|((a, p), q)| (a - p) * (q - p)).sum();
        prop_assert!(inner < 1e-10);
    }
}
