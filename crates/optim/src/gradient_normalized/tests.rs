//! The numbers that are known of the method, its laws, and its baselines.

use lisse_array::{Array, DType, Stream, Tree, check, grad};

use super::problems::*;
use super::*;
use crate::{
    CompositeOracle, LossOracle, NewtonCg, Optimizer, Options, Oracle, Stop, minimize,
    problems as functions,
};

fn vector(values: &[f64]) -> Array {
    Array::from_slice(values, &[values.len()])
}

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

/// To a value within 1e-8 of the known minimum.
fn to(minimum: f64) -> Stopping {
    Stopping { minimum: Some(minimum), gradient_tolerance: None, ..Stopping::default() }
}

fn parabola() -> Function<impl Fn(&Array) -> Array> {
    Function { function: |x: &Array| x.square().sum_all(), dim: 1 }
}

/// 60 rows, 20 unknowns, shifted so that the minimizer is 0.
fn waves() -> LogSumExp {
    let a = |e: usize| {
        let (i, j) = ((e / 20 + 1) as f64, (e % 20 + 1) as f64);
        (0.7 * i + 1.3 * j + 0.11 * i * j).sin()
    };
    let a = Array::from_vec((0..1200).map(a).collect::<Vec<f64>>(), &[60, 20]);
    LogSumExp::centred(a, cosines(), 1.0).unwrap()
}

fn cosines() -> Array {
    Array::from_vec((1..=60).map(|i| (0.9 * f64::from(i)).cos()).collect(), &[60])
}

const WAVES_MINIMUM: f64 = 4.352645835904;

fn run(
    problem: &dyn CurvedProblem,
    x0: &Array,
    method: &dyn Descent,
    stopping: Stopping,
) -> Outcome {
    descend(problem, x0, method, &Metric::identity(), &stopping).unwrap()
}

/// The laws of every run: the value falls, every accepted step passes the test and is no longer than `gamma`.
fn check_laws(outcome: &Outcome) {
    for pair in outcome.trace.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let rounding = 16.0 * f64::EPSILON * before.value.abs();
        assert!(after.value <= before.value + rounding);
        let needed = after.gradient_norm.powi(2) / (8.0 * after.damping);
        let decrease = before.value - after.value;
        assert!(decrease >= needed || decrease.abs() <= rounding, "{decrease} {needed}");
    }
}

#[test]
fn a_parabola_step_by_step() {
    let start = vector(&[3.0]);
    let newton = GradientRegularizedNewton::default();
    let metric = Metric::identity();
    let problem = parabola();
    let mut progress = Progress::start(&problem, &metric, &start, 1.0);
    let points = [2.25, 1.1911764706, 0.2733294];
    for (i, x) in points.into_iter().enumerate() {
        near(progress.parameter, 2f64.powi(i as i32), 0.0);
        assert!(newton.advance(&problem, &metric, &mut progress).unwrap());
        near(progress.x.item(), x, 1e-7);
        // The first trial each time.
        assert_eq!(progress.counts.solves, i + 1);
    }
    near(progress.parameter, 8.0, 0.0);
}

#[test]
fn convex_quadratics_accept_every_first_trial() {
    for seed in 0..5 {
        let stream = Stream::new(seed);
        let a = stream.child("a").normal(&[8, 6], DType::F64);
        let b = stream.child("b").normal(&[8], DType::F64);
        let problem = ResidualPower::new(LinearEquations::new(a, b).unwrap(), 2.0).unwrap();
        let start = stream.child("x").normal(&[6], DType::F64) * 10.0;
        let stopping = Stopping { gradient_tolerance: Some(1e-9), ..Stopping::default() };
        let best = run(&problem, &start, &GradientRegularizedNewton::default(), stopping);
        assert_eq!(best.status, Status::ConvergedGradient);
        assert_eq!(best.counts.solves, best.iterations);
        for (k, record) in best.trace.iter().enumerate() {
            near(record.parameter, 2f64.powi(k as i32), 0.0);
        }
        check_laws(&best);
        // Superlinear: the last ratios of gradient norms fall.
        let norms: Vec<f64> = best.trace.iter().map(|r| r.gradient_norm).collect();
        let ratios: Vec<f64> = norms.windows(2).map(|w| w[1] / w[0]).collect();
        let last = &ratios[ratios.len() - 3..];
        assert!(last[1] < last[0] && last[2] < last[1], "{ratios:?}");
    }
}

#[test]
fn steps_are_as_long_as_gamma_without_a_matrix_and_never_longer_with_one() {
    let problem = waves();
    let weights = Stream::new(1).uniform(&[20], DType::F64) + 0.5;
    for metric in [
        Metric::identity(),
        Metric::diagonal(&weights).unwrap(),
        Metric::normal(problem.rows(), 0.0).unwrap(),
    ] {
        for approximation in
            [Approximation::None, Approximation::Exact, Approximation::WeightedGaussNewton]
        {
            let newton = GradientRegularizedNewton::with(approximation);
            let mut progress =
                Progress::start(&problem, &metric, &Array::ones(&[20], DType::F64), 1.0);
            while progress.iteration < 12 && progress.gradient_norm > 1e-8 {
                progress.iteration += 1;
                let before = progress.clone();
                assert!(newton.advance(&problem, &metric, &mut progress).unwrap());
                let gamma = before.gradient_norm / progress.damping;
                let length = metric.norm(&(&progress.x - &before.x));
                if approximation == Approximation::None {
                    near(length / gamma, 1.0, 1e-9);
                } else {
                    assert!(length <= gamma * (1.0 + 1e-9));
                }
            }
        }
    }
}

/// Values to compare with derivatives of [`lisse_array`], which must be those of the closed forms.
fn agrees(problem: &dyn CurvedProblem, function: impl Fn(&Array) -> Array, x: &Array) {
    check::gradient(&function, x, 2).unwrap();
    let (value, gradient) = problem.value_and_grad(x);
    let size = 1.0 + gradient.abs().max_all().item();
    near(value, function(x).item(), 1e-12 * (1.0 + value.abs()));
    near(problem.value(x), value, 1e-12 * (1.0 + value.abs()));
    assert!((grad(&function)(x) - &gradient).abs().max_all().item() < 1e-11 * size);
    let matrix = problem.curvature(x, Approximation::Exact).unwrap();
    let expected = lisse_array::hessian(&function, x);
    let size = 1.0 + expected.abs().max_all().item();
    assert!((matrix.dense(x) - &expected).abs().max_all().item() < 1e-10 * size);
    let v = Stream::new(9).normal(&[x.len()], DType::F64);
    assert!((matrix.apply(&v) - expected.matmul(&v)).abs().max_all().item() < 1e-10 * size);
    // Central differences of the gradient, without any derivative of ours.
    let h = 1e-5;
    for i in 0..x.len() {
        let unit = Array::eye(x.len(), DType::F64).index(0, i);
        let ahead = problem.value_and_grad(&x.add_scaled(h, &unit)).1;
        let behind = problem.value_and_grad(&x.add_scaled(-h, &unit)).1;
        let column = (ahead - behind) * (0.5 / h);
        let error = (column - expected.index(0, i)).abs().max_all().item() / size;
        assert!(error < 1e-8, "column {i}: {error:e}");
    }
    for &other in problem.approximations() {
        let matrix = problem.curvature(x, other).unwrap();
        let dense = matrix.dense(x);
        let size = 1.0 + dense.abs().max_all().item();
        let error = (matrix.apply(&v) - dense.matmul(&v)).abs().max_all().item();
        assert!(error < 1e-10 * size, "{other}: {error:e}");
        if other != Approximation::Exact {
            let least = dense.eigh().unwrap().0.min_all().item();
            assert!(least > -1e-10 * size, "{other} has the eigenvalue {least:e}");
        }
    }
}

#[test]
fn closed_forms_are_the_derivatives() {
    let stream = Stream::new(2);
    let draw = |name: &str, shape: &[usize]| stream.child(name).normal(shape, DType::F64);
    let x = draw("x", &[4]);
    let (a, b) = (draw("a", &[7, 4]), draw("b", &[7]));
    let problem = LogSumExp::new(a.clone(), b.clone(), 0.7).unwrap();
    agrees(&problem, |x| ((a.matmul(x) - &b) / 0.7).logsumexp_all() * 0.7, &x);
    for power in [2.0, 3.0, 4.0, 6.0] {
        let linear = LinearEquations::new(a.clone(), b.clone()).unwrap();
        let problem = ResidualPower::new(linear, power).unwrap();
        let norm = |x: &Array| (a.matmul(x) - &b).square().sum_all();
        agrees(&problem, |x| norm(x).powf(0.5 * power) / power, &x);
        let chain = |x: &Array| {
            let rest = x.narrow(0, 1, 3) - (x.narrow(0, 0, 3).square() * 2.0 - 1.0);
            Array::cat(&[&((1.0 - x.narrow(0, 0, 1)) * 0.5), &rest], 0)
        };
        let problem = ResidualPower::new(Chebyshev { dim: 4 }, power).unwrap();
        agrees(&problem, |x| chain(x).square().sum_all().powf(0.5 * power) / power, &x);
        // The same equations by automatic derivatives.
        let generic =
            ResidualPower::new(Differentiable { function: chain, dim: 4 }, power).unwrap();
        for &approximation in problem.approximations() {
            let by_hand = problem.curvature(&x, approximation).unwrap().dense(&x);
            let automatic = generic.curvature(&x, approximation).unwrap().dense(&x);
            let error = (&by_hand - automatic).abs().max_all().item();
            assert!(error < 1e-10 * (1.0 + by_hand.abs().max_all().item()));
        }
    }
    let inside = |x: &Array| (a.matmul(x) - &b).relu();
    let problem = SumOfPowers::polytope(a.clone(), b.clone(), 3.0).unwrap();
    agrees(&problem, |x| inside(x).powf(3.0).sum_all(), &x);
    let problem = SumOfPowers::two_sided(a.clone(), b.clone(), 4.0).unwrap();
    agrees(&problem, |x| (a.matmul(x) - &b).square().square().sum_all(), &x);
    let y = b.sign();
    let problem = Logistic::new(&a, &y, 0.1).unwrap();
    let signed = &a * y.unsqueeze(1);
    let loss = |w: &Array| (-signed.matmul(w)).softplus().mean_all() + w.square().sum_all() * 0.05;
    agrees(&problem, loss, &x);
    let labels = Array::from_slice(&[0i64, 1, 2, 2, 1, 0, 1], &[7]);
    let problem = Softmax::new(&a, &labels, 3, 0.1).unwrap();
    let hot = Array::one_hot(&labels, 3, DType::F64);
    let loss = |w: &Array| {
        let z = a.matmul(&w.reshape(&[4, 3]));
        -(z.log_softmax(1) * &hot).sum(&[1]).mean_all() + w.square().sum_all() * 0.05
    };
    agrees(&problem, loss, &draw("w", &[12]));
}

#[test]
fn weighted_gauss_newton_is_the_hessian_and_the_square_of_the_gradient() {
    let problem = waves();
    let x = Array::ones(&[20], DType::F64);
    let gradient = problem.value_and_grad(&x).1;
    let matrix = |a| problem.curvature(&x, a).unwrap().dense(&x);
    let difference = matrix(Approximation::WeightedGaussNewton) - matrix(Approximation::Exact);
    let outer = &gradient * gradient.unsqueeze(1);
    assert!((difference - outer).abs().max_all().item() < 1e-12);
}

#[test]
fn fisher_matrices_are_means_of_outer_products() {
    let stream = Stream::new(4);
    let a = stream.child("a").normal(&[9, 3], DType::F64);
    let w = stream.child("w").normal(&[3], DType::F64);
    let y = stream.child("y").normal(&[9], DType::F64).sign();
    let fisher = |rows: Vec<Array>| {
        let rows = Array::stack(&rows.iter().collect::<Vec<_>>(), 0);
        rows.t().matmul(&rows) / 9.0
    };
    let logistic = Logistic::new(&a, &y, 0.0).unwrap();
    let of_one = |i: usize| {
        let one = Logistic::new(&a.narrow(0, i, 1), &y.narrow(0, i, 1), 0.0).unwrap();
        one.value_and_grad(&w).1
    };
    let found = logistic.curvature(&w, Approximation::Fisher).unwrap().dense(&w);
    let expected = fisher((0..9).map(of_one).collect());
    assert!((found - expected).abs().max_all().item() < 1e-14);
    let labels = Array::from_vec((0..9).map(|i| i % 3).collect::<Vec<i64>>(), &[9]);
    let w = stream.child("W").normal(&[9], DType::F64);
    let softmax = Softmax::new(&a, &labels, 3, 0.0).unwrap();
    let of_one = |i: usize| {
        let one = Softmax::new(&a.narrow(0, i, 1), &labels.narrow(0, i, 1), 3, 0.0).unwrap();
        one.value_and_grad(&w).1
    };
    let found = softmax.curvature(&w, Approximation::Fisher).unwrap().dense(&w);
    let expected = fisher((0..9).map(of_one).collect());
    assert!((found - expected).abs().max_all().item() < 1e-14);
}

#[test]
fn rosenbrock_as_equations_by_hand() {
    let x = vector(&[-2.0, 2.0]);
    for (power, value, gradient, hessian) in [
        (2.0, 204.5, [-803.0, -200.0], [2001.0, 400.0, 400.0, 100.0]),
        (4.0, 41820.25, [-328427.0, -81800.0], [2108027.0, 484800.0, 484800.0, 120900.0]),
    ] {
        let problem = ResidualPower::new(RosenbrockEquations::default(), power).unwrap();
        let (f, g) = problem.value_and_grad(&x);
        near(f, value, 1e-10 * value);
        let matrix = problem.curvature(&x, Approximation::Exact).unwrap().dense(&x);
        for (found, expected) in g.to_vec::<f64>().into_iter().zip(gradient) {
            near(found, expected, 1e-9 * expected.abs());
        }
        for (found, expected) in matrix.to_vec::<f64>().into_iter().zip(hessian) {
            near(found, expected, 1e-9 * expected.abs());
        }
    }
}

/// At a solution there is nothing to divide by.
#[test]
fn residual_powers_are_flat_at_a_solution() {
    let x = vector(&[1.0, 1.0]);
    for (power, scale) in [(2.0, 1.0), (3.0, 0.0), (4.0, 0.0)] {
        let problem = ResidualPower::new(RosenbrockEquations::default(), power).unwrap();
        let matrix = problem.curvature(&x, Approximation::Exact).unwrap().dense(&x);
        let j = RosenbrockEquations::default().jacobian(&x);
        assert!((matrix - j.t().matmul(&j) * scale).abs().max_all().item() < 1e-9);
        assert_eq!(problem.value_and_grad(&x).1.norm(), 0.0);
    }
}

#[test]
fn smoothness_by_hand() {
    let identity = Metric::identity();
    let right = [vector(&[1.0])];
    let measured = |f: &dyn Fn(&Array) -> Array, x: f64, h: f64| {
        let curvature = Curvature::Dense(Array::full(&[1, 1], h, DType::F64));
        smoothness_along(grad(f), &vector(&[x]), &curvature, &identity, &right, 1e3)
    };
    let quartic = |x: &Array| x.square().square().sum_all() * 0.25;
    near(measured(&quartic, 1.0, 3.0), 0.5320888862, 1e-9);
    let square = |x: &Array| x.square().sum_all();
    near(measured(&square, 3.0, 0.0), 3.0, 1e-9);
    let logistic = |x: &Array| (-x).softplus().sum_all();
    near(measured(&logistic, 0.0, 0.25), 3.92236, 1e-5);
    near(measured(&logistic, 0.0, 0.0), 2.0, 1e-2);
    let s = 1.0 / (1.0 + 3f64.exp());
    let exact = measured(&logistic, 3.0, s * (1.0 - s));
    let fisher = measured(&logistic, 3.0, s * s);
    near(exact, 1.28960, 1e-4);
    near(fisher, 0.76407, 1e-4);
    near(measured(&logistic, 3.0, 0.0), 0.74422, 1e-4);
    // A perturbed matrix costs no more than the harmonic rule says.
    let perturbation = (s * (1.0 - s) - s * s) / s;
    near(perturbation, 0.905148, 1e-6);
    let bound = 1.0 / (1.0 / exact + perturbation);
    near(bound, 0.59503, 1e-5);
    assert!(bound <= fisher);
}

#[test]
fn steps_with_gamma_below_the_smoothness_are_accepted() {
    let logistic = Function { function: |x: &Array| (-x).softplus().sum_all(), dim: 1 };
    let start = vector(&[3.0]);
    let search = Search { gamma: 1.2896, ..Search::default() };
    let newton = GradientRegularizedNewton { search, ..Default::default() };
    let mut progress = Progress::start(&logistic, &Metric::identity(), &start, search.gamma);
    assert!(newton.advance(&logistic, &Metric::identity(), &mut progress).unwrap());
    assert_eq!(progress.counts.solves, 1);
}

#[test]
fn scaling_the_function_leaves_the_iterates_and_scaling_the_space_moves_them_along() {
    let problem = waves();
    let function = |x: &Array| (problem.rows().matmul(x) - cosines()).logsumexp_all();
    let newton = GradientRegularizedNewton::default();
    let start = Array::ones(&[20], DType::F64);
    let stopping = Stopping { max_iterations: 5, ..Stopping::default() };
    let plain = run(&problem, &start, &newton, stopping);
    let scaled = Function { function: |x: &Array| function(x) * 37.0, dim: 20 };
    let other = run(&scaled, &start, &newton, stopping);
    assert!((&plain.x - &other.x).abs().max_all().item() < 1e-9);
    // x = Q y with B of y: Q^T Q.
    let q = Stream::new(6).normal(&[20, 20], DType::F64) * 0.1 + Array::eye(20, DType::F64);
    let turned = Function { function: |y: &Array| function(&q.matmul(y)), dim: 20 };
    let metric = Metric::normal(&q, 0.0).unwrap();
    let start = q.solve(&start).unwrap();
    let other = descend(&turned, &start, &newton, &metric, &stopping).unwrap();
    assert_eq!(plain.counts.solves, other.counts.solves);
    let back = q.matmul(&other.x);
    assert!((&plain.x - back).abs().max_all().item() < 1e-7);
}

#[test]
fn deterministic_logsumexp() {
    let problem = waves();
    let start = Array::ones(&[20], DType::F64);
    let (value, gradient) = problem.value_and_grad(&start);
    near(value, 18.765200470697, 1e-11);
    near(gradient.norm(), 4.028438668097, 1e-11);
    near(problem.value(&start.zeros_like()), WAVES_MINIMUM, 1e-11);
    let newton = GradientRegularizedNewton::with;
    let exact = run(&problem, &start, &newton(Approximation::Exact), to(WAVES_MINIMUM));
    assert_eq!((exact.iterations, exact.counts.solves), (6, 6));
    let values = [18.765200, 14.736808, 6.773414, 4.385265, 4.353304];
    for (record, value) in exact.trace.iter().zip(values) {
        near(record.value, value, 1e-6);
    }
    let weighted =
        run(&problem, &start, &newton(Approximation::WeightedGaussNewton), to(WAVES_MINIMUM));
    assert_eq!((weighted.iterations, weighted.counts.solves), (24, 41));
    let values = [18.765200, 17.964070, 17.162941, 16.361814];
    for (record, value) in weighted.trace.iter().zip(values) {
        near(record.value, value, 1e-6);
    }
    check_laws(&exact);
    check_laws(&weighted);
    let iterations =
        |method: &dyn Descent| run(&problem, &start, method, to(WAVES_MINIMUM)).iterations;
    let within = |found: usize, expected: usize| {
        assert!(found.abs_diff(expected) <= 1, "{found} iterations, {expected} expected");
    };
    within(iterations(&BacktrackingGradient::default()), 15);
    within(iterations(&SuperUniversalNewton::default()), 9);
    within(iterations(&CubicNewton::default()), 7);
    let metric = Metric::normal(problem.rows(), 0.0).unwrap();
    let in_metric = |method: &dyn Descent| {
        descend(&problem, &start, method, &metric, &to(WAVES_MINIMUM)).unwrap().iterations
    };
    within(in_metric(&newton(Approximation::Exact)), 8);
    within(in_metric(&newton(Approximation::WeightedGaussNewton)), 24);
    within(in_metric(&BacktrackingGradient::default()), 18);
}

#[test]
fn backends_take_the_same_steps() {
    let problem = waves();
    let start = Array::ones(&[20], DType::F64);
    for approximation in [Approximation::Exact, Approximation::WeightedGaussNewton] {
        for metric in [Metric::identity(), Metric::normal(problem.rows(), 0.0).unwrap()] {
            let path = |backend: Backend| {
                let newton = GradientRegularizedNewton::with(approximation).backend(backend);
                descend(&problem, &start, &newton, &metric, &to(WAVES_MINIMUM)).unwrap()
            };
            let cholesky = path(Backend::Cholesky);
            for backend in [Backend::Eigen, Backend::Woodbury] {
                let other = path(backend);
                assert_eq!(other.iterations, cholesky.iterations);
                for (a, b) in other.trace.iter().zip(&cholesky.trace) {
                    near(a.value, b.value, 1e-9);
                    near(a.parameter, b.parameter, 0.0);
                }
                assert!(
                    other.counts.factorizations
                        < cholesky.counts.factorizations.max(other.iterations + 1)
                );
            }
            // Inexact steps, and as good.
            for backend in [Backend::Cg, Backend::Krylov] {
                let other = path(backend);
                assert_eq!(other.status, Status::ConvergedValue);
                assert!(other.iterations <= cholesky.iterations + 4, "{}", other.iterations);
            }
        }
    }
}

#[test]
fn rosenbrock_takes_as_many_iterations_as_known() {
    let start = vector(&[-2.0, 2.0]);
    let equations = ResidualPower::new(RosenbrockEquations::default(), 2.0).unwrap();
    let count = |problem: &dyn CurvedProblem, approximation| {
        let newton = GradientRegularizedNewton::with(approximation);
        let best = run(problem, &start, &newton, to(0.0));
        check_laws(&best);
        (best.iterations, best.counts.solves)
    };
    assert_eq!(count(&equations, Approximation::Exact), (51, 105));
    assert_eq!(count(&equations, Approximation::Inexact), (49, 100));
    let plain = Function { function: functions::rosenbrock(2).function, dim: 2 };
    assert_eq!(count(&plain, Approximation::Exact), (51, 105));
    let stopping = Stopping { max_iterations: 5000, ..to(0.0) };
    let gradient = run(&plain, &start, &BacktrackingGradient::default(), stopping);
    assert_eq!(gradient.status, Status::MaxIterations);
    assert!(gradient.value > 1e-7 && gradient.value < 1e-5, "{}", gradient.value);
}

#[test]
fn chebyshev_chains_take_as_many_iterations_as_known() {
    for (dim, iterations, solves) in [(50, 17, 37), (200, 20, 43)] {
        let problem = ResidualPower::new(Chebyshev { dim }, 4.0).unwrap();
        let newton = GradientRegularizedNewton::with(Approximation::Inexact);
        let best = run(&problem, &Array::full(&[dim], 0.5, DType::F64), &newton, to(0.0));
        assert_eq!((best.iterations, best.counts.solves), (iterations, solves));
    }
}

#[test]
fn a_run_goes_on_from_saved_progress_bit_for_bit() {
    let (problem, metric) = (waves(), Metric::identity());
    let start = Array::ones(&[20], DType::F64);
    let newton = GradientRegularizedNewton::with(Approximation::WeightedGaussNewton);
    let mut whole = Progress::start(&problem, &metric, &start, newton.initial());
    for _ in 0..7 {
        newton.advance(&problem, &metric, &mut whole).unwrap();
    }
    let mut halves = Progress::start(&problem, &metric, &start, newton.initial());
    for _ in 0..3 {
        newton.advance(&problem, &metric, &mut halves).unwrap();
    }
    let text = serde_json::to_string(&Progress { damping: 0.0, ..halves.clone() }).unwrap();
    let empty: Progress = serde_json::from_str(&text).unwrap();
    let mut resumed = empty.with_leaves(halves.leaves().into_iter().cloned());
    for _ in 0..4 {
        newton.advance(&problem, &metric, &mut resumed).unwrap();
    }
    assert_eq!(whole.x.to_vec::<f64>(), resumed.x.to_vec::<f64>());
    assert_eq!(whole.parameter, resumed.parameter);
}

#[test]
fn fixed_gamma_takes_every_step() {
    let problem = parabola();
    let newton = GradientRegularizedNewton::default().fixed(1.0);
    let stopping = Stopping { max_iterations: 3, ..Stopping::default() };
    let best = run(&problem, &vector(&[3.0]), &newton, stopping);
    // lambda = |2 x|: x -> x - 2 x / (2 + 2 x).
    let mut x = 3.0;
    for _ in 0..3 {
        x -= x / (1.0 + x);
    }
    near(best.x.item(), x, 1e-12);
    assert!(best.trace.iter().all(|r| r.parameter == 1.0));
    assert_eq!(best.counts.solves, 3);
}

/// A gradient of the wrong sign: no trial can be accepted.
struct Uphill;

impl CurvedProblem for Uphill {
    fn dim(&self) -> usize {
        1
    }
    fn value(&self, x: &Array) -> f64 {
        -x.square().item()
    }
    fn value_and_grad(&self, x: &Array) -> (f64, Array) {
        (2.0 + x.square().item(), x.full_like(-1.0))
    }
    fn approximations(&self) -> &'static [Approximation] {
        &[]
    }
    fn curvature(&self, _: &Array, _: Approximation) -> Option<Curvature<'_>> {
        None
    }
}

#[test]
fn a_search_without_success_stays_and_says_so() {
    let newton = GradientRegularizedNewton::with(Approximation::None);
    let best = run(&Uphill, &vector(&[1.0]), &newton, Stopping::default());
    assert_eq!((best.status, best.value, best.x.item()), (Status::SearchExhausted, 3.0, 1.0));
    assert_eq!(serde_json::to_value(best.status).unwrap(), "search_exhausted");
    let error = descend(
        &Uphill,
        &vector(&[1.0]),
        &GradientRegularizedNewton::default(),
        &Metric::identity(),
        &Stopping::default(),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "the problem has no Hessian approximation `exact`; it has `none`"
    );
}

#[test]
fn indefinite_hessians_are_damped_until_definite() {
    // A maximum at 0, minima at -1 and 1; the start has negative curvature.
    let double_well =
        Function { function: |x: &Array| (x.square() - 1.0).square().sum_all(), dim: 2 };
    let newton = GradientRegularizedNewton::default();
    for backend in [Backend::Cholesky, Backend::Eigen, Backend::Cg, Backend::Krylov] {
        let start = vector(&[0.1, -0.2]);
        let best = run(&double_well, &start, &newton.backend(backend), to(0.0));
        assert_eq!(best.status, Status::ConvergedValue, "{backend:?}");
        check_laws(&best);
    }
}

#[test]
fn values_that_are_not_finite_are_a_status_and_never_a_step() {
    let log = Function { function: |x: &Array| (x - x.ln()).sum_all(), dim: 1 };
    let newton = GradientRegularizedNewton::default();
    let best = run(&log, &vector(&[-1.0]), &newton, Stopping::default());
    assert_eq!(best.status, Status::NonFinite);
    // From 10 the first steps with a large gamma would leave the domain.
    let search = Search { gamma: 1e6, ..Search::default() };
    let bold = GradientRegularizedNewton { search, ..newton };
    for start in [0.01, 10.0, 1e3] {
        let best = run(&log, &vector(&[start]), &bold, Stopping::default());
        assert_eq!(best.status, Status::ConvergedGradient);
        near(best.x.item(), 1.0, 1e-7);
    }
    // Powers of 6 and more overflow plain gradient steps from here; none is taken.
    let steep = ResidualPower::new(RosenbrockEquations::default(), 8.0).unwrap();
    let stopping = Stopping { max_iterations: 50, ..Stopping::default() };
    let start = vector(&[-2.0, 2.0]);
    for method in [
        &BacktrackingGradient { max_trials: 90, ..Default::default() } as &dyn Descent,
        &FastGradient { max_trials: 90, ..Default::default() },
        &CubicNewton::default(),
        &newton,
    ] {
        let best = run(&steep, &start, method, stopping);
        assert!(best.value.is_finite() && best.gradient_norm.is_finite());
        assert!(best.value <= steep.value(&start));
    }
}

#[test]
fn huge_margins_do_not_overflow() {
    let a = Array::from_slice(&[1e4f64, -2e4, 3e4, 1.0], &[4, 1]);
    let y = vector(&[1.0, -1.0, 1.0, -1.0]);
    let problem = Logistic::new(&a, &y, 0.0).unwrap();
    for w in [-1e3, 0.0, 1e3] {
        let (value, gradient) = problem.value_and_grad(&vector(&[w]));
        assert!(value.is_finite() && gradient.all_finite());
    }
    let best =
        run(&problem, &vector(&[-1.0]), &GradientRegularizedNewton::default(), Stopping::default());
    assert_eq!(best.status, Status::ConvergedGradient);
}

#[test]
fn fast_gradient_is_fast_and_tells_its_gradient() {
    let functions::Problem { function, start, .. } = functions::quadratic(20, 1e4);
    let problem = Function { function, dim: 20 };
    let stopping = Stopping { max_iterations: 20_000, ..to(0.0) };
    let slow = run(&problem, &vector(&start), &BacktrackingGradient::default(), stopping);
    let fast = run(&problem, &vector(&start), &FastGradient::default(), stopping);
    assert_eq!(fast.status, Status::ConvergedValue);
    assert!(fast.iterations < slow.iterations, "{} {}", fast.iterations, slow.iterations);
    let last = fast.trace.last().unwrap();
    near(last.gradient_norm, problem.value_and_grad(&fast.x).1.norm(), 1e-12);
}

#[test]
fn what_does_not_fit_is_named() {
    let problem = waves();
    let newton = GradientRegularizedNewton::default();
    let message = |x: &Array, method: &dyn Descent, metric: &Metric| {
        descend(&problem, x, method, metric, &Stopping::default()).unwrap_err().to_string()
    };
    let (identity, x) = (Metric::identity(), Array::ones(&[20], DType::F64));
    assert_eq!(
        message(&vector(&[1.0]), &newton, &identity),
        "the starting point has 1 elements, the problem 20"
    );
    let small = Metric::diagonal(&vector(&[1.0, 2.0])).unwrap();
    assert_eq!(message(&x, &newton, &small), "the metric has 2 elements, the problem 20");
    assert_eq!(
        message(&x, &GradientRegularizedNewton::with(Approximation::Fisher), &identity),
        "the problem has no Hessian approximation `fisher`; it has `exact`, `weighted-gauss-newton`, `none`"
    );
    assert_eq!(message(&x, &newton.fixed(-1.0), &identity), "gamma: expected a number above 0");
    let chain = ResidualPower::new(Chebyshev { dim: 3 }, 2.0).unwrap();
    let error = descend(
        &chain,
        &vector(&[0.5; 3]),
        &newton.backend(Backend::Woodbury),
        &identity,
        &Stopping::default(),
    );
    assert!(error.unwrap_err().to_string().contains("low rank"));
    let shape = LogSumExp::new(Array::ones(&[3, 2], DType::F64), vector(&[1.0]), 1.0);
    assert_eq!(
        shape.unwrap_err().to_string(),
        "b has shape [1]; a vector with one entry for each row is needed"
    );
    let a = Array::ones(&[3, 2], DType::F64);
    let error = LogSumExp::new(a.clone(), vector(&[1.0; 3]), 0.0).unwrap_err().to_string();
    assert_eq!(error, "mu is 0; it must be a number above 0");
    let error = Logistic::new(&a, &vector(&[1.0, 0.0, 1.0]), 0.0).unwrap_err().to_string();
    assert_eq!(error, "a label is 0; it must be -1 or 1");
    let error = ResidualPower::new(RosenbrockEquations::default(), 1.5).unwrap_err().to_string();
    assert_eq!(error, "power is 1.5; it must be a number of at least 2");
    let error = Logistic::new(&(a / 0.0), &vector(&[1.0; 3]), 0.0).unwrap_err().to_string();
    assert_eq!(error, "the inputs holds a number that is not finite");
}

#[test]
fn any_function_is_minimized_with_and_without_bounds() {
    for problem in functions::all() {
        for backend in [Backend::Auto, Backend::Cholesky, Backend::Cg] {
            let newton = GradientRegularizedNewton::default().backend(backend);
            let options =
                Options { gradient_tolerance: 1e-7, max_iterations: 300, ..Options::default() };
            let best = minimize(&problem.function, &problem.start(), &newton, &options).unwrap();
            let what =
                format!("{} {backend:?}: {:?} after {}", problem.name, best.stop, best.iterations);
            assert_eq!(best.stop, Stop::Converged, "{what}");
            // From its usual start the chain of ten leads into its other minimum, near (-1, 1, ..., 1).
            let other = problem.name == "rosenbrock_n" && best.x.to_vec::<f64>()[0] < 0.0;
            let near = if problem.name == "powell_singular" { 1e-1 } else { 1e-4 };
            assert!(other || problem.distance(&best.x.to_vec::<f64>()) < near, "{what}");
            assert!(best.history.windows(2).all(|w| w[1].value <= w[0].value + 1e-12));
        }
    }
    let problem = functions::rosenbrock(2);
    let bounds = (Array::full(&[2], -2.0, DType::F64), Array::full(&[2], 0.5, DType::F64));
    let options = Options { bounds: Some(bounds), ..Options::default() };
    let newton = GradientRegularizedNewton::default();
    let best = minimize(&problem.function, &problem.start(), &newton, &options).unwrap();
    let x = best.x.to_vec::<f64>();
    assert_eq!(best.stop, Stop::Converged, "gradient {:e}", best.gradient);
    near(x[0], 0.5, 1e-9);
    near(x[1], 0.25, 1e-5);
    // Of the order of a trust region's cost.
    let options = Options::default();
    let rosenbrock = functions::rosenbrock(10);
    let cost = |best: crate::Minimum<Array>| best.counts.total();
    let ours =
        cost(minimize(&rosenbrock.function, &rosenbrock.start(), &newton, &options).unwrap());
    let region = cost(
        minimize(&rosenbrock.function, &rosenbrock.start(), &NewtonCg::default(), &options)
            .unwrap(),
    );
    assert!(ours < 5 * region, "{ours} {region}");
}

type Weights = (Array, Array);

/// Two layers on points of the plane: `tanh(x W) v`, squared errors.
fn network() -> (impl Fn(&Weights) -> Array, Array, Weights) {
    let stream = Stream::new(8);
    let x = stream.child("x").normal(&[40, 2], DType::F64);
    let y = (x.narrow(1, 0, 1) * 2.0).tanh() - (x.narrow(1, 1, 1) - x.narrow(1, 0, 1)).tanh() * 0.7;
    let start = (
        stream.child("W").normal(&[2, 6], DType::F64),
        stream.child("v").normal(&[6, 1], DType::F64) * 0.5,
    );
    (move |p: &(Array, Array)| x.matmul(&p.0).tanh().matmul(&p.1), y, start)
}

fn train(
    optimizer: GradientNormalized,
    oracle: &mut dyn Oracle<(Array, Array)>,
    start: &(Array, Array),
    steps: usize,
) -> Vec<f64> {
    let mut params = start.clone();
    let mut state = optimizer.init(&params);
    (0..steps).map(|_| optimizer.step(&mut params, &mut state, oracle).loss).collect()
}

#[test]
fn networks_descend_by_every_kind_of_product() {
    let (outputs, y, start) = network();
    let loss = |z: &Array| (z - &y).square().mean_all();
    let mut oracle = CompositeOracle { outputs: &outputs, loss };
    let mut last = Vec::new();
    for products in [Products::GaussNewton, Products::Hessian, Products::None] {
        let optimizer = GradientNormalized { products, ..Default::default() };
        let losses = train(optimizer, &mut oracle, &start, 40);
        assert!(losses.windows(2).all(|w| w[1] <= w[0] + 1e-14), "{losses:?}");
        last.push(losses[39]);
    }
    // Curvature pays.
    assert!(last[0] < 0.2 * last[2] && last[1] < 0.2 * last[2], "{last:?}");
    // An oracle without outputs takes Hessian products.
    let mut plain = LossOracle(|p: &(Array, Array)| loss(&outputs(p)));
    let fallen = train(GradientNormalized::default(), &mut plain, &start, 5);
    let exact = GradientNormalized { products: Products::Hessian, ..Default::default() };
    assert_eq!(fallen, train(exact, &mut plain, &start, 5));
}

#[test]
fn networks_take_the_steps_of_the_dense_method() {
    let (outputs, y, start) = network();
    let loss = |z: &Array| (z - &y).square().mean_all();
    let decay = 1e-2;
    let flat = start.flatten();
    let penalised = Function {
        function: |x: &Array| {
            loss(&outputs(&start.unflatten(x))) + x.square().sum_all() * (0.5 * decay)
        },
        dim: flat.len(),
    };
    let newton = GradientRegularizedNewton::default().backend(Backend::Krylov);
    let metric = Metric::identity();
    let mut progress = Progress::start(&penalised, &metric, &flat, 1.0);
    let mut oracle = CompositeOracle { outputs: &outputs, loss };
    let optimizer = GradientNormalized {
        products: Products::Hessian,
        weight_decay: decay,
        max_products: 100,
        ..Default::default()
    };
    let mut params = start.clone();
    let mut state = optimizer.init(&params);
    for _ in 0..6 {
        newton.advance(&penalised, &metric, &mut progress).unwrap();
        optimizer.step(&mut params, &mut state, &mut oracle);
        assert!((params.flatten() - &progress.x).abs().max_all().item() < 1e-9);
        near(state.numbers["gamma"], progress.parameter, 0.0);
    }
}

/// Squared errors of single examples beside their mean.
struct Examples<F>(CompositeOracle<F, fn(&Array) -> Array>);

impl<F: Fn(&Array) -> Array> Oracle<Array> for Examples<F> {
    fn value_and_grad(&mut self, params: &Array) -> (f64, Array) {
        self.0.value_and_grad(params)
    }
    fn value(&mut self, params: &Array) -> f64 {
        self.0.value(params)
    }
    fn hvp(&mut self, params: &Array, v: &Array) -> Array {
        self.0.hvp(params, v)
    }
    fn per_example_grads(&mut self, params: &Array) -> Option<Array> {
        let (z, pullback) = lisse_array::vjp(|p: &Array| (self.0.outputs)(p).square(), params);
        let eye = Array::eye(z.len(), DType::F64);
        let rows: Vec<Array> = (0..z.len()).map(|i| pullback(&eye.index(0, i))).collect();
        Some(Array::stack(&rows.iter().collect::<Vec<_>>(), 0))
    }
}

#[test]
fn fisher_steps_solve_with_the_examples_outer_products() {
    let stream = Stream::new(3);
    let a = stream.child("a").normal(&[5, 8], DType::F64);
    let b = stream.child("b").normal(&[5], DType::F64);
    let x = stream.child("x").normal(&[8], DType::F64);
    let mut oracle = Examples(CompositeOracle {
        outputs: |x: &Array| a.matmul(x) - &b,
        loss: |z: &Array| z.square().mean_all(),
    });
    for decay in [0.0, 0.1] {
        let optimizer = GradientNormalized {
            products: Products::Fisher,
            weight_decay: decay,
            ..Default::default()
        };
        let optimizer = GradientNormalized {
            search: Search { adaptive: false, gamma: 0.3, ..optimizer.search },
            ..optimizer
        };
        let mut params = x.clone();
        let mut state = optimizer.init(&params);
        optimizer.step(&mut params, &mut state, &mut oracle);
        let rows = oracle.per_example_grads(&x).unwrap();
        let gradient = oracle.value_and_grad(&x).1.add_scaled(decay, &x);
        let lambda = gradient.norm() / 0.3;
        let matrix =
            (rows.t().matmul(&rows) / 5.0).add_scaled(lambda + decay, &Array::eye(8, DType::F64));
        let expected = &x - matrix.solve(&gradient).unwrap();
        assert!((params - expected).abs().max_all().item() < 1e-10);
    }
}

#[test]
fn losses_that_are_not_finite_change_nothing() {
    let optimizer = GradientNormalized { products: Products::Hessian, ..Default::default() };
    // NaN at the point itself.
    let mut oracle = LossOracle(|x: &Array| x.ln().sum_all());
    let mut params = vector(&[-1.0]);
    let mut state = optimizer.init(&params);
    optimizer.step(&mut params, &mut state, &mut oracle);
    assert_eq!((params.item(), state.numbers["gamma"]), (-1.0, 1.0));
    // NaN at trial points only: shorter steps are tried.
    let mut oracle = LossOracle(|x: &Array| (x - x.ln()).sum_all());
    let mut params = vector(&[3.0]);
    let bold =
        GradientNormalized { search: Search { gamma: 1e6, ..Search::default() }, ..optimizer };
    let mut state = Optimizer::<Array>::init(&bold, &params);
    for _ in 0..20 {
        bold.step(&mut params, &mut state, &mut oracle);
        assert!(params.item() > 0.0);
    }
    near(params.item(), 1.0, 1e-6);
}

#[test]
fn single_precision_reaches_its_own_accuracy() {
    let problem = functions::rosenbrock(2);
    let start = problem.start().cast(DType::F32);
    let newton = GradientRegularizedNewton::default();
    let options = Options { gradient_tolerance: 1e-3, ..Options::default() };
    let best = minimize(&problem.function, &start, &newton, &options).unwrap();
    assert_eq!(best.stop, Stop::Converged);
    assert!(problem.distance(&best.x.to_f64_vec()) < 1e-2);
}

#[test]
fn recipes_name_the_rule_and_what_does_not_go_with_it() {
    use crate::config::OptimizerConfig;
    let parse = |extra: &str| -> OptimizerConfig {
        let text = format!(r#"{{"optimizer": {{"name": "gns", {extra}}}"#);
        serde_json::from_str(&text.replace(", }", "}")).unwrap()
    };
    let key = |extra: &str| parse(extra).validate().unwrap_err().key;
    assert!(parse(r#""products": "fisher", "max_gamma": 2.0}"#).validate().is_ok());
    assert_eq!(key(r#""gamma": -1.0}"#), "optimizer.gamma");
    assert_eq!(key(r#""growth": 0.1}"#), "optimizer.growth");
    assert_eq!(key(r#""max_products": 0}"#), "optimizer.max_products");
    assert_eq!(key(r#""weight_decay": -1.0}"#), "optimizer.weight_decay");
    assert_eq!(key(r#""gamma": 1.0}, "schedule": {"name": "cosine"}"#), "schedule");
    assert_eq!(key(r#""gamma": 1.0}, "groups": [{"pattern": "*"}]"#), "groups");
    let built: Box<dyn Optimizer<Array>> = parse(r#""gamma": 0.5}"#).build(10);
    assert_eq!(built.init(&vector(&[1.0])).numbers["gamma"], 0.5);
}
