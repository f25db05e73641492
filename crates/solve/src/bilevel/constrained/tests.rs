use std::sync::Arc;
use std::time::Instant;

use lisse_array::random::Law;
use lisse_array::{Array, Stream};
use proptest::prelude::*;

use super::lv_hba::violation;
use super::*;
use crate::bilevel::baselines::{Solver, State};
use crate::bilevel::linear_models::Examples;
use crate::bilevel::vector::{distance, norm};
use crate::bilevel::{Batch, Bilevel, BilevelError, Closures, Oracle, Samples, Set, Wrt};

fn near(a: &[f64], b: &[f64], tolerance: f64) {
    let gap = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(a.len() == b.len() && gap <= tolerance, "{a:?} is not {b:?}: {gap}");
}

fn draw(name: &str, n: usize) -> Vec<f64> {
    let mut v = vec![0.0; n];
    Stream::new(11).child(name).fill(Law::Normal, 0, &mut v);
    v
}

fn value(
    problem: &dyn Bilevel,
    x: &[f64],
    y: &[f64],
    z: &[f64],
    gamma: (f64, f64),
) -> ValueFunction {
    value_function(&mut Oracle::new(problem), (x, y, z), gamma, f64::INFINITY, 1e-12).unwrap()
}

#[test]
fn the_scalar_problem_has_the_tabulated_values() {
    let problem = scalar_box();
    let gamma = (2.0, 0.5);
    let gap = |x: f64, y: f64, v: f64| problem.lower(&[x], &[y], &Batch::all(), Wrt::Y).value - v;
    let v = value(&problem, &[1.5], &[1.2], &[0.3], gamma);
    near(&[v.t[0], v.lam[0], v.value], &[1.15, 0.375, 0.1125], 1e-10);
    near(&[v.gradient_x[0], v.gradient_y[0], v.gradient_z[0]], &[0.35, 0.025, 0.15], 1e-10);
    // Outside C the gap may be negative.
    near(&[gap(1.5, 1.2, v.value)], &[-0.0675], 1e-10);
    let v = value(&problem, &[0.2], &[0.4], &[0.1], gamma);
    near(&[v.t[0], v.lam[0], v.value], &[0.266_666_67, 0.0, -0.003_333_33], 6e-9);
    near(&v.gradient_x, &[-0.066_666_67], 6e-9);
    near(&v.gradient_y, &[0.066_666_67], 6e-9);
    near(&v.gradient_z, &[-0.2], 6e-9);
    near(&[gap(0.2, 0.4, v.value)], &[0.023_333_33], 6e-9);
    let v = value(&problem, &[1.5], &[1.0], &[0.5], gamma);
    near(&[gap(1.5, 1.0, v.value)], &[0.0], 1e-10);
    let v = value(&problem, &[1.5], &[1.0], &[0.0], gamma);
    near(&[gap(1.5, 1.0, v.value)], &[0.0625], 1e-10);
}

#[test]
fn without_constraints_it_is_the_moreau_envelope() {
    let a = 3.0;
    let problem = Closures::new(
        (1, 1),
        |_, y, _| y.sum_all(),
        move |_, y, _| y.square().sum_all() * (0.5 * a),
    );
    for (y, gamma) in [(1.7, 0.4), (-0.6, 5.0)] {
        let v = value(&problem, &[0.0], &[y], &[], (gamma, 1.0));
        near(&[v.value], &[a * y * y / (2.0 * (1.0 + a * gamma))], 1e-10);
    }
}

/// A quadratic lower level with inequalities in both variables, feasible for every `x`.
fn coupled() -> Closures {
    let q = Array::from_slice(&[2.0, 0.3, 0.1, 0.3, 1.0, 0.0, 0.1, 0.0, 1.5], &[3, 3]);
    let c = Array::from_slice(&[1.0, 0.5, 0.2, -0.4, 1.0, 0.3, 0.2, -0.7, 1.0], &[3, 3]);
    let b = Array::from_slice(&[0.5, -0.2, 0.3, 0.4, -1.0, 0.3], &[3, 2]);
    Closures::new(
        (2, 3),
        |x, y, _| {
            (y - 1.0).square().sum_all()
                + (x * y.narrow(0, 0, 2)).sum_all()
                + x.square().sum_all() * 0.5
        },
        move |x, y, _| {
            (y * q.matmul(y)).sum_all() * 0.5 - (x * y.narrow(0, 0, 2)).sum_all() - y.sum_all()
        },
    )
    .subject_to(vec![false, false, true], move |x, y| c.matmul(y) + b.matmul(x) - 0.1)
}

#[test]
fn gradients_of_the_value_function_agree_with_differences() {
    let problem = coupled();
    let (x, y, z) = (vec![0.3, -0.5], vec![0.2, 0.4, -0.1], vec![0.5, 0.1, -0.3]);
    let gamma = (1.5, 0.7);
    let exact = value(&problem, &x, &y, &z, gamma);
    let gradient = [exact.gradient_x, exact.gradient_y, exact.gradient_z].concat();
    let all = [x, y, z].concat();
    let h = 1e-5;
    for i in 0..all.len() {
        let at = |s: f64| {
            let mut p = all.clone();
            p[i] += s * h;
            value(&problem, &p[..2], &p[2..5], &p[5..], gamma).value
        };
        let difference = (at(1.0) - at(-1.0)) / (2.0 * h);
        assert!((difference - gradient[i]).abs() < 1e-6 * (1.0 + gradient[i].abs()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_gap_is_not_negative_on_feasible_pairs(
        point in prop::collection::vec(-1.5..1.5f64, 5),
        z in prop::collection::vec(0.0..2.0f64, 3),
    ) {
        let problem = coupled();
        let mut oracle = Oracle::new(&problem);
        let (mut x, mut y) = (point[..2].to_vec(), point[2..].to_vec());
        ConvexSet::default().project(&mut x, &mut y, &mut oracle).unwrap();
        let v = value(&problem, &x, &y, &z, (1.0, 1.0));
        let gap = problem.lower(&x, &y, &Batch::all(), Wrt::Y).value - v.value;
        prop_assert!(gap > -1e-8, "{}", gap);
    }

    #[test]
    fn projections_onto_polyhedra_satisfy_the_optimality_conditions(
        rows in prop::collection::vec(-1.0..1.0f64, 20),
        right in prop::collection::vec(0.05..1.0f64, 5),
        a in prop::collection::vec(-3.0..3.0f64, 4),
        b in prop::collection::vec(-3.0..3.0f64, 4),
    ) {
        // 0 is feasible.
        let mut right = right;
        right[4] = 0.0;
        let set = Polyhedron::new(rows.clone(), right.clone(), vec![false, false, false, false, true]).unwrap();
        let (p, mu, _) = set.nearest(&a).unwrap();
        let (q, ..) = set.nearest(&b).unwrap();
        for i in 0..5 {
            let excess = rows[4 * i..4 * i + 4].iter().zip(&p).map(|(r, p)| r * p).sum::<f64>() - right[i];
            prop_assert!(excess < 1e-9 && (i == 4 || mu[i] > -1e-12));
            prop_assert!((mu[i] * excess).abs() < 1e-9);
        }
        let mut back = p.clone();
        for i in 0..5 {
            for j in 0..4 {
                back[j] += mu[i] * rows[4 * i + j];
            }
        }
        prop_assert!(distance(&back, &a) < 1e-9);
        prop_assert!(distance(&p, &q) <= distance(&a, &b) + 1e-9);
        prop_assert!(distance(&set.nearest(&p).unwrap().0, &p) < 1e-9);
    }

    #[test]
    fn the_hinge_projection_is_nonexpansive_and_idempotent(
        a in prop::collection::vec(-2.0..2.0f64, 7),
        b in prop::collection::vec(-2.0..2.0f64, 7),
    ) {
        let set = HingeSet::new(hinge_rows());
        let project = |v: &[f64]| { let mut p = v.to_vec(); set.project_y(&mut p); p };
        let (p, q) = (project(&a), project(&b));
        prop_assert!(distance(&p, &q) <= distance(&a, &b) + 1e-9);
        prop_assert!(distance(&project(&p), &p) < 1e-9);
        prop_assert!(set.residual(&a, &p) < 1e-9);
    }
}

fn hinge_rows() -> Examples {
    let rows = vec![1.0, 0.0, 1.0, 0.0, 1.0, 1.0, -1.0, 1.0, 1.0, 2.0, -1.0, 1.0];
    Examples::new(rows, vec![1.0, -1.0, -1.0, 1.0], 3).unwrap()
}

#[test]
fn the_hinge_projection_has_the_tabulated_result() {
    let set = HingeSet::new(hinge_rows());
    let start = [0.2, -0.1, 0.3, 0.1, 0.0, 0.5, 0.2];
    let mut y = start.to_vec();
    let steps = set.project_y(&mut y);
    near(&y, &[0.5, -0.6, 0.1, 0.4, 0.5, 0.5, 0.2], 1e-12);
    assert_eq!(steps, 2);
    let problem = SvmProblem::new(hinge_rows(), hinge_rows(), (-8.0, 4.0)).unwrap();
    near(&problem.constraint(&[0.0; 4], &y), &[0.0, 0.0, -0.5, -0.9], 1e-12);
    assert!(set.residual(&start, &y) <= 1e-9);
    // The same by the general method on the problem's constraints.
    let free = Closures::new((4, 7), |_, y, _| y.sum_all(), |_, y, _| y.sum_all());
    let (rows, labels) = (hinge_rows(), [1.0, -1.0, -1.0, 1.0]);
    let z = Array::from_slice(&rows.inputs, &[4, 3]);
    let l = Array::from_slice(&labels, &[4]);
    let free = free.subject_to(vec![false; 4], move |_, y| {
        1.0 - y.narrow(0, 3, 4) - z.matmul(&y.narrow(0, 0, 3)) * &l
    });
    let (mut x, mut general) = (vec![0.0; 4], start.to_vec());
    let mut oracle = Oracle::new(&free);
    assert_eq!(ConvexSet::default().project(&mut x, &mut general, &mut oracle).unwrap(), 1);
    near(&general, &y, 1e-10);
}

/// Newton on the eliminated problem against the general dual method, on the same points.
#[test]
fn the_hinge_projection_is_much_faster_than_a_general_one() {
    let (n, d) = (60, 11);
    let mut inputs = draw("rows", n * d);
    inputs.iter_mut().skip(d - 1).step_by(d).for_each(|v| *v = 1.0);
    let labels: Vec<f64> = draw("labels", n).iter().map(|v| v.signum()).collect();
    let set = HingeSet::new(Examples::new(inputs.clone(), labels.clone(), d).unwrap());
    let mut rows = vec![0.0; n * (d + n)];
    for i in 0..n {
        for j in 0..d {
            rows[i * (d + n) + j] = -labels[i] * inputs[i * d + j];
        }
        rows[i * (d + n) + d + i] = -1.0;
    }
    let general = Polyhedron::new(rows, vec![-1.0; n], vec![false; n]).unwrap();
    let start = draw("start", d + n);
    let clock = Instant::now();
    let mut y = start.clone();
    set.project_y(&mut y);
    let fast = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    let (p, ..) = general.nearest(&start).unwrap();
    let slow = clock.elapsed().as_secs_f64();
    near(&p, &y, 1e-8);
    assert!(fast < slow, "{fast} {slow}");
}

#[test]
fn curved_constraints_are_projected_onto_by_linearizations() {
    // |v|^2 <= 1 in (x, y).
    let problem = Closures::new((1, 2), |_, y, _| y.sum_all(), |_, y, _| y.sum_all())
        .subject_to(vec![false], |x, y| {
            (x.square().sum_all() + y.square().sum_all() - 1.0).reshape(&[1])
        });
    let (mut x, mut y) = (vec![1.0], vec![2.0, -2.0]);
    let mut oracle = Oracle::new(&problem);
    ConvexSet::default().project(&mut x, &mut y, &mut oracle).unwrap();
    near(&[x[0], y[0], y[1]], &[1.0 / 3.0, 2.0 / 3.0, -2.0 / 3.0], 1e-8);
}

#[test]
fn empty_sets_come_with_a_proof() {
    // v_0 + v_1 = 1 and 2 v_0 + 2 v_1 = 3.
    let error = AffineSet::new(vec![1.0, 1.0, 2.0, 2.0], vec![1.0, 3.0]).unwrap_err();
    let BilevelError::Infeasible { certificate, gap } = &error else { panic!("{error}") };
    near(&[certificate[0] + 2.0 * certificate[1]], &[0.0], 1e-12);
    near(&[certificate[0] + 3.0 * certificate[1]], &[*gap], 1e-12);
    assert!(*gap > 0.0 && error.to_string().contains("the constraints have no solution"));
    // v <= -1 and -v <= -1.
    let set = Polyhedron::new(vec![1.0, -1.0], vec![-1.0, -1.0], vec![false; 2]).unwrap();
    let BilevelError::Infeasible { certificate, gap } = set.nearest(&[0.3]).unwrap_err() else {
        panic!("infeasible")
    };
    near(&[certificate[0] - certificate[1]], &[0.0], 1e-12);
    assert!(gap < 0.0 && certificate.iter().all(|c| *c >= 0.0));
    // A lower problem without feasible points.
    let problem = Closures::new((1, 1), |_, y, _| y.sum_all(), |_, y, _| y.square().sum_all())
        .subject_to(vec![false, false], |_, y| Array::cat(&[&(y + 1.0), &(1.0 - y)], 0));
    let mut oracle = Oracle::new(&problem);
    let error = solve_constrained_lower(&mut oracle, &[0.0], (&[0.0], &[]), 1e-8).unwrap_err();
    assert!(matches!(error, BilevelError::Infeasible { .. }), "{error}");
    assert!(Polyhedron::new(vec![1.0; 3], vec![1.0; 2], vec![false; 2]).is_err());
    assert!(AffineSet::new(vec![f64::NAN, 1.0], vec![1.0]).is_err());
}

fn lv(set: AffineSet, rates: [f64; 3], gamma: (f64, f64), growth: Growth) -> LvHba {
    let [alpha, beta, eta] = rates;
    LvHba { alpha, beta, eta, gamma, growth, guard: false, ..LvHba::new(set, 0.1) }
}

fn error_of(x: &[f64]) -> f64 {
    x.iter().map(|x| (x + 0.3).powi(2)).sum::<f64>().sqrt() / (0.3 * (x.len() as f64).sqrt())
}

/// Runs on [`many_solutions`] from ones, and returns relative errors of `x` after the given steps.
fn toy_errors(
    n: usize,
    scaled: bool,
    method: &dyn Fn(AffineSet) -> LvHba,
    marks: &[u64],
) -> Vec<f64> {
    let scale = if scaled { 1.0 / (3.0 * n as f64).sqrt() } else { 1.0 };
    let (problem, set) = many_solutions(n, scale).unwrap();
    let method = method(set);
    let mut oracle = Oracle::new(&problem);
    let mut state = method.start(&vec![1.0; n], &vec![1.0; 2 * n], &mut oracle).unwrap();
    let mut errors = Vec::new();
    for &mark in marks {
        while state.step < mark {
            if method.step(&mut state, &mut oracle, &Samples::whole()).is_err() {
                errors.push(f64::INFINITY);
                return errors;
            }
        }
        errors.push(error_of(&state.x));
    }
    errors
}

const POWER: Growth = Growth::Power { first: 1.0, power: 0.3 };

#[test]
fn fixed_penalties_have_the_exact_stationary_points() {
    let stationary = |gamma1: f64, c: f64| {
        let e = 4.0 * (gamma1 + 2.0) / (15.0 * gamma1 * c + 6.0 * (gamma1 + 2.0));
        -0.3 * (1.0 + e)
    };
    near(&[stationary(1.0, 10.0)], &[-9.0 / 28.0], 1e-12);
    near(&[stationary(1.0, 100.0), stationary(1.0, 1000.0)], &[-0.302_371_54, -0.300_239_71], 6e-9);
    near(&[stationary(10.0, 10.0), stationary(10.0, 100.0)], &[-0.309_160_31, -0.300_955_41], 6e-9);
    for (gamma1, c, steps) in [(1.0, 10.0, 6000), (10.0, 10.0, 30_000)] {
        let n = 3;
        let (problem, set) = many_solutions(n, 1.0 / 3.0).unwrap();
        let fixed = Growth::Power { first: c, power: 0.0 };
        let method = lv(set, [0.2, 0.2, 0.3], (gamma1, 1.0), fixed);
        let mut oracle = Oracle::new(&problem);
        let mut state = method.start(&[1.0; 3], &[1.0; 6], &mut oracle).unwrap();
        for _ in 0..steps {
            method.step(&mut state, &mut oracle, &Samples::whole()).unwrap();
        }
        near(&state.x, &[stationary(gamma1, c); 3], 1e-8);
        if gamma1 == 1.0 {
            near(&state.y, &[[0.732_142_86; 3], [-0.410_714_29; 3]].concat(), 1e-8);
            near(&state.memory[0], &[[0.714_285_71; 3], [-0.392_857_14; 3]].concat(), 1e-8);
            near(&[state.memory[1][0] / 3.0], &[-1.017_857_14], 1e-8);
        }
        let report = method.report(&state, &mut oracle);
        assert!(report.violation < 1e-12 && report.residual < 1e-6 && report.gap > 0.0);
    }
}

#[test]
fn dynamics_on_the_toy_are_as_tabulated() {
    let scaled = |set| lv(set, [0.05, 0.05, 0.2], (1.0, 1.0), POWER);
    let errors = toy_errors(100, true, &scaled, &[200, 1000, 5000, 20_000]);
    near(&errors, &[0.0567, 0.0880, 0.0569, 0.0386], 6e-5);
    // Without scaling: tiny steps are needed, and are slow.
    let slow = |set| lv(set, [1e-3, 1e-3, 1e-3], (10.0, 1.0), POWER);
    let errors = toy_errors(100, false, &slow, &[2000, 20_000]);
    assert!(errors[0] > 0.5 && errors[1] < 0.0143, "{errors:?}");
    // Larger ones diverge, and so do the published settings.
    let large = |set| lv(set, [0.01, 0.01, 0.004], (1.0, 1.0), POWER);
    let errors = toy_errors(100, false, &large, &[100, 2000]);
    assert!(errors[1] > 100.0 * errors[0], "{errors:?}");
    let published = Growth::Power { first: 0.025, power: 0.3 };
    let shipped = |set| lv(set, [0.008, 0.02, 0.01], (10.0, 10.0), published);
    assert!(toy_errors(100, false, &shipped, &[1500])[0] > 100.0);
}

#[test]
fn stages_reach_the_tabulated_errors_in_any_dimension() {
    let stages = Growth::Stages { first: 1.0, factor: 4.0, stages: 6, steps: 1000, patience: 0 };
    for n in [10, 100] {
        let method = |set| lv(set, [0.2, 0.2, 0.3], (1.0, 1.0), stages);
        let errors = toy_errors(n, true, &method, &[1000, 2000, 3000, 4000, 5000, 6000]);
        near(&errors, &[0.363_636, 0.153_846, 0.046_512, 0.012_264, 0.002_526, 0.000_235], 6e-7);
    }
    // Stages of 300 steps leave the last ones unfinished.
    let short = Growth::Stages { first: 1.0, factor: 4.0, stages: 6, steps: 300, patience: 0 };
    let method = |set| lv(set, [0.2, 0.2, 0.3], (1.0, 1.0), short);
    let errors = toy_errors(10, true, &method, &[1500, 1800]);
    // Exact stationary points are off by 0.00311 and 0.00078.
    near(&errors, &[0.000_207, 0.003_035], 6e-7);
}

#[test]
fn a_step_of_size_zero_changes_nothing() {
    let problem = coupled();
    let mut method = LvHba::new(ConvexSet::default(), 0.0);
    method.guard = false;
    let mut oracle = Oracle::new(&problem);
    let mut state = method.start(&[0.3, -0.2], &[0.4, 0.1, 0.2], &mut oracle).unwrap();
    let before = state.clone();
    method.step(&mut state, &mut oracle, &Samples::whole()).unwrap();
    near(&state.x, &before.x, 1e-12);
    near(&state.y, &before.y, 1e-12);
    assert_eq!((&state.z, &state.memory[..2]), (&before.z, &before.memory[..2]));
}

#[test]
fn all_methods_agree_on_a_problem_with_inequalities() {
    let problem = coupled();
    // f at the exact lower solution.
    let hyper = |x: &[f64]| {
        let mut oracle = Oracle::new(&problem);
        let lower = solve_constrained_lower(&mut oracle, x, (&[0.0; 3], &[]), 1e-11).unwrap();
        (problem.upper(x, &lower.y, &Batch::all(), Wrt::Y).value, lower)
    };
    let x = [0.6, -0.3];
    let (_, solution) = hyper(&x);
    let mut oracle = Oracle::new(&problem);
    let mut warnings = Vec::new();
    let exact = kkt_hypergradient(&mut oracle, &x, &solution, 1e-5, &mut warnings).unwrap();
    let h = 1e-5;
    for i in 0..2 {
        let at = |s: f64| {
            let mut p = x;
            p[i] += s * h;
            hyper(&p).0
        };
        let difference = (at(1.0) - at(-1.0)) / (2.0 * h);
        assert!((difference - exact[i]).abs() < 1e-5 * (1.0 + exact[i].abs()), "{exact:?}");
    }
    let run = |method: &dyn Solver, steps: usize| {
        let mut oracle = Oracle::new(&problem);
        let mut state = method.start(&x, &[0.0; 3], &mut oracle).unwrap();
        for _ in 0..steps {
            method.step(&mut state, &mut oracle, &Samples::whole()).unwrap();
        }
        state
    };
    let implicit = run(&ImplicitKkt { step: 0.05, threshold: 1e-5, tolerance: 1e-10 }, 400);
    let best = hyper(&implicit.x).0;
    let stages = Growth::Stages { first: 1.0, factor: 4.0, stages: 6, steps: 1500, patience: 300 };
    let mut single = LvHba { growth: stages, ..LvHba::new(ConvexSet::default(), 0.05) };
    let found = run(&single, 6000);
    assert!(hyper(&found.x).0 < best + 1e-3, "{} {best}", hyper(&found.x).0);
    // Its multipliers are those of the lower problem.
    near(&found.z, &hyper(&found.x).1.multipliers, 2e-2);
    single.saddle = SaddleSteps::Extragradient;
    assert!(hyper(&run(&single, 6000).x).0 < best + 1e-3);
    // Without the projection constraints hold only in the limit of the penalty, which is 10 here and 22.
    let gaffa = |most| {
        let options = Gaffa { alpha: 0.01, beta: 0.01, eta: 0.05, most, ..Gaffa::default() };
        run(&options, 30_000)
    };
    let outside = |s: &State| violation(&Oracle::new(&problem), &s.x, &s.y);
    let (loose, found) = (gaffa(10.0), gaffa(100.0));
    assert!(hyper(&found.x).0 < best + 2e-2, "{} {best}", hyper(&found.x).0);
    assert!(
        outside(&found) < 0.2 && outside(&found) < 0.6 * outside(&loose),
        "{} {}",
        outside(&found),
        outside(&loose)
    );
}

/// Alternating projected descent solves problems with one lower solution and stalls where there are many.
#[test]
fn alternating_descent_needs_unique_lower_solutions() {
    let (sine, set) = coupled_sine(20, 6, &Stream::new(2)).unwrap();
    let (x, y) = (draw("x", 20), draw("y", 20));
    let objective = |x: &[f64]| {
        let mut oracle = Oracle::new(&sine);
        let lower = solve_constrained_lower(&mut oracle, x, (&y, &[]), 1e-9).unwrap();
        sine.upper(x, &lower.y, &Batch::all(), Wrt::Y).value
    };
    let method = EAipod { a: 0.1, b: 0.05, ..EAipod::default() };
    let mut oracle = Oracle::new(&sine);
    let mut state = method.start(&x, &y, &mut oracle).unwrap();
    let first = objective(&state.x);
    // The hypergradient is that of the optimality conditions, at an exact lower solution.
    let lower = solve_constrained_lower(&mut oracle, &x, (&y, &[]), 1e-11).unwrap();
    let exact = kkt_hypergradient(&mut oracle, &x, &lower, 1e-5, &mut Vec::new()).unwrap();
    let still = EAipod { inner: 0, outer: 1, b: 0.0, ..method };
    let mut probe = State { y: lower.y, ..state.clone() };
    still.step(&mut probe, &mut oracle, &Samples::whole()).unwrap();
    near(&probe.direction, &exact, 1e-6);
    for _ in 0..300 {
        method.step(&mut state, &mut oracle, &Samples::whole()).unwrap();
    }
    assert!(objective(&state.x) < first - 0.5, "{first} {}", objective(&state.x));
    // LV-HBA on the same problem, which keeps the constraint on x too.
    let lv = LvHba { growth: POWER, ..LvHba::new(set, 0.05) };
    let mut state = lv.start(&x, &y, &mut oracle).unwrap();
    for _ in 0..1500 {
        lv.step(&mut state, &mut oracle, &Samples::whole()).unwrap();
    }
    assert!(objective(&state.x) < first - 0.5);
    // Many lower solutions: it keeps the one that the start happens to lead to.
    let (many, set) = many_solutions(5, 1.0 / 15.0f64.sqrt()).unwrap();
    let (x, y) = (draw("many x", 5), draw("many y", 10));
    let mut oracle = Oracle::new(&many);
    let mut state = method.start(&x, &y, &mut oracle).unwrap();
    for _ in 0..3000 {
        method.step(&mut state, &mut oracle, &Samples::whole()).unwrap();
    }
    let off = error_of(&state.x);
    assert!(off > 0.1, "{off}");
    assert!(state.warnings.iter().any(|w| w.name() == "flat_curvature"), "{:?}", state.warnings);
    // LV-HBA chooses among them.
    let lv = LvHba { eta: 0.3, ..LvHba::new(set, 0.2) };
    let mut state = lv.start(&x, &y, &mut oracle).unwrap();
    for _ in 0..6000 {
        lv.step(&mut state, &mut oracle, &Samples::whole()).unwrap();
    }
    assert!(error_of(&state.x) < 5e-3, "{}", error_of(&state.x));
    let refused = method.start(&[0.0; 2], &[0.0; 3], &mut Oracle::new(&coupled())).unwrap_err();
    assert!(refused.to_string().contains("it needs equality constraints only"));
}

fn small_svm() -> SvmProblem {
    let (n, d) = (40, 4);
    let data = |name: &str| {
        let mut inputs = draw(name, n * d);
        inputs.iter_mut().skip(d - 1).step_by(d).for_each(|v| *v = 1.0);
        let labels = (0..n).map(|i| (inputs[i * d] + 0.4 * inputs[i * d + 1]).signum()).collect();
        Examples::new(inputs, labels, d).unwrap()
    };
    SvmProblem::new(data("train"), data("validation"), (-8.0, 4.0)).unwrap()
}

#[test]
fn the_svm_has_exact_derivatives_and_lower_solutions() {
    let problem = small_svm();
    let (nx, ny) = problem.dims();
    let (x, y) = (vec![-1.0; nx], draw("point", ny));
    let h = 1e-6;
    for (level, part) in [(0, 'y'), (1, 'x'), (1, 'y')] {
        let evaluate = |x: &[f64], y: &[f64]| match level {
            0 => problem.upper(x, y, &Batch::all(), Wrt::Both),
            _ => problem.lower(x, y, &Batch::all(), Wrt::Both),
        };
        let g = evaluate(&x, &y);
        for i in [0, 1, 3, 20] {
            let at = |s: f64| {
                let (mut x, mut y) = (x.clone(), y.clone());
                if part == 'x' {
                    x[i] += s * h;
                } else {
                    y[i] += s * h;
                }
                evaluate(&x, &y).value
            };
            let difference = (at(1.0) - at(-1.0)) / (2.0 * h);
            let exact = if part == 'x' { g.x[i] } else { g.y[i] };
            assert!((difference - exact).abs() < 1e-6 * (1.0 + exact.abs()), "{level} {part} {i}");
        }
    }
    let v = draw("direction", ny);
    let slope = |x: &[f64], y: &[f64]| problem.lower(x, y, &Batch::all(), Wrt::Y).y;
    let moved: Vec<f64> = y.iter().zip(&v).map(|(y, v)| y + h * v).collect();
    let hv = problem.hessian_product(&x, &y, &v, &Batch::all());
    let difference: Vec<f64> =
        slope(&x, &moved).iter().zip(slope(&x, &y)).map(|(a, b)| (a - b) / h).collect();
    near(&hv, &difference, 1e-6);
    // The exact solver agrees with the general one.
    let exact = problem.solve_lower(&x).unwrap();
    let (margins, d) = (SvmProblem::margins(&hinge(&problem), &exact.y), 4);
    assert!(margins.iter().zip(&exact.y[d..]).all(|(m, s)| 1.0 - s - m < 1e-12 && *s >= 0.0));
    let mut oracle = Oracle::new(&problem);
    let stationary = {
        let mut s = slope(&x, &exact.y);
        let push = oracle.constraint_products(&x, &exact.y, &exact.multipliers).1;
        s.iter_mut().zip(&push).for_each(|(s, p)| *s += p);
        norm(&s)
    };
    assert!(stationary < 1e-10, "{stationary}");
    // The implicit gradient against differences of the exact solutions.
    let gradient = kkt_hypergradient(&mut oracle, &x, &exact, 1e-9, &mut Vec::new()).unwrap();
    let value = |x: &[f64]| {
        let y = problem.solve_lower(x).unwrap().y;
        problem.upper(x, &y, &Batch::all(), Wrt::Y).value
    };
    for i in [0, 5, 17] {
        let at = |s: f64| {
            let mut p = x.clone();
            p[i] += s * 1e-5;
            value(&p)
        };
        let difference = (at(1.0) - at(-1.0)) / 2e-5;
        assert!((difference - gradient[i]).abs() < 1e-6, "{difference} {}", gradient[i]);
    }
}

fn hinge(problem: &SvmProblem) -> Examples {
    problem.train().clone()
}

#[test]
fn step_sizes_that_are_too_large_are_noticed_and_survived() {
    let problem = Arc::new(small_svm());
    let (nx, _) = problem.dims();
    let start = (vec![-2.0; nx], problem.first_y());
    let method = |guard: bool| LvHba {
        growth: Growth::Power { first: 0.02, power: 0.3 },
        guard,
        adapt_bound: false,
        bound: f64::MAX,
        ..LvHba::new(problem.set(), 3.0)
    };
    let run = |guard: bool| {
        let mut oracle = Oracle::new(problem.as_ref());
        let method = method(guard);
        let mut state = method.start(&start.0, &start.1, &mut oracle).unwrap();
        for _ in 0..3000 {
            method.step(&mut state, &mut oracle, &Samples::whole())?;
        }
        Ok::<State, BilevelError>(state)
    };
    let error = run(false).unwrap_err().to_string();
    assert!(error.contains("eta must be below 2 rho / L^2"), "{error}");
    let state = run(true).unwrap();
    assert!(state.warnings.iter().any(|w| w.name() == "restarted"));
    assert!(state.x.iter().chain(&state.y).all(|v| v.is_finite()));
    // Scaled rows allow longer steps.
    let mut oracle = Oracle::new(problem.as_ref());
    let (plain, lipschitz) = saddle_step_size(&mut oracle, &start.0, &start.1, (1.0, 1.0));
    let scaled = ScaledRows::at(problem.clone(), &start.0, &start.1);
    let (wide, smaller) =
        saddle_step_size(&mut Oracle::new(&scaled), &start.0, &start.1, (1.0, 1.0));
    assert!(wide > plain && smaller < lipschitz && plain > 0.0);
}

#[test]
fn the_step_size_comes_from_the_exact_lipschitz_constant() {
    // d = (t, lam) -> (t - x + lam + (t - y) / 2, 1 - t + 2 (lam - z)): [[1.5, 1], [-1, 2]].
    let problem = scalar_box();
    let (eta, lipschitz) = saddle_step_size(&mut Oracle::new(&problem), &[1.5], &[1.2], (2.0, 0.5));
    let matrix = Array::from_slice(&[1.5, 1.0, -1.0, 2.0], &[2, 2]);
    let exact = matrix.svd().unwrap().1.to_vec::<f64>()[0];
    near(&[lipschitz], &[exact], 1e-4);
    near(&[eta], &[0.25 / (exact * exact)], 1e-4);
}

#[test]
fn multipliers_at_their_bound_are_said_and_the_bound_raised() {
    let (problem, set) = many_solutions(10, 1.0 / 30.0f64.sqrt()).unwrap();
    // The multiplier is -sqrt(30).
    let method = LvHba { bound: 1.0, alpha: 0.2, beta: 0.2, eta: 0.3, ..LvHba::new(set, 0.2) };
    let mut oracle = Oracle::new(&problem);
    let mut state = method.start(&[1.0; 10], &[1.0; 20], &mut oracle).unwrap();
    for _ in 0..6000 {
        method.step(&mut state, &mut oracle, &Samples::whole()).unwrap();
    }
    assert!(state.warnings.iter().any(|w| w.name() == "multiplier_at_bound"));
    assert!(state.numbers[8] > 30.0f64.sqrt() && error_of(&state.x) < 1e-2);
}

#[test]
fn a_saved_state_goes_on_to_the_same_result() {
    let problem = small_svm();
    let (nx, _) = problem.dims();
    let method = LvHba::new(problem.set(), 0.02);
    let mut oracle = Oracle::new(&problem);
    let first = method.start(&vec![-2.0; nx], &problem.first_y(), &mut oracle).unwrap();
    let mut whole = first.clone();
    let mut go = |state: &mut State, steps: usize| {
        for _ in 0..steps {
            method.step(state, &mut oracle, &Samples::whole()).unwrap();
        }
    };
    go(&mut whole, 120);
    let mut half = first;
    go(&mut half, 57);
    let text = serde_json::to_string(&half).unwrap();
    let mut half: State = serde_json::from_str(&text).unwrap();
    go(&mut half, 63);
    assert_eq!(half, whole);
}

#[test]
fn options_and_problems_that_do_not_fit_are_refused() {
    let problem = coupled();
    let message = |method: &dyn Solver, problem: &dyn Bilevel| {
        let (dx, dy) = problem.dims();
        let mut oracle = Oracle::new(problem);
        method.start(&vec![0.0; dx], &vec![0.0; dy], &mut oracle).unwrap_err().to_string()
    };
    let set = ConvexSet::default();
    let good = LvHba::new(set, 0.1);
    assert_eq!(
        message(&LvHba { gamma: (0.0, 1.0), ..good.clone() }, &problem),
        "gamma1 is 0; expected a number above 0"
    );
    let growth = Growth::Power { first: 1.0, power: 0.5 };
    assert!(message(&LvHba { growth, ..good.clone() }, &problem).contains("below 1/2"));
    assert!(message(&LvHba { alpha: f64::NAN, ..good }, &problem).contains("alpha is NaN"));
    assert!(message(&LvHba::new(ProductSet, 0.1), &problem).contains("couple x and y"));
    let soba = crate::bilevel::baselines::Soba {
        gamma: 0.1.into(),
        nu: 0.1.into(),
        eta: 0.1.into(),
        momentum: 0.0,
    };
    assert!(message(&soba, &problem).contains("use LV-HBA"));
    let boxed = coupled().within(Set::cube(2, 0.0, 1.0).unwrap(), Set::Whole);
    assert!(message(&LvHba::new(set, 0.1), &boxed).contains("write its bounds as constraints"));
    let labels = Examples::new(vec![1.0; 4], vec![1.0, 0.0], 2).unwrap();
    assert!(SvmProblem::new(labels.clone(), labels, (0.0, 1.0)).is_err());
}
