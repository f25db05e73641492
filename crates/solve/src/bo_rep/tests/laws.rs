//! Relatives, products with inverses, laws for any numbers, bad input.

use lisse_array::{Array, DType, Stream};
use lisse_optim::{Lbfgs, Options, minimize};
use proptest::prelude::*;

use super::{Plane, near, solve};
use crate::bilevel::baselines::{Decay, Soba, Solver, State};
use crate::bilevel::vector::{distance, norm};
use crate::bilevel::{Batch, Bilevel, Closures, Oracle, Samples, Warning, Wrt};
use crate::bo_rep::inverse::invert;
use crate::bo_rep::lower::{Block, project};
use crate::bo_rep::problems::{Examples, cleaning, ridge_weights, weighted_loss};
use crate::bo_rep::{BoRep, Inverse, Period, Refinement, Saba, Upper};

fn examples(n: usize, seed: u64) -> Examples {
    let stream = Stream::new(seed);
    let inputs = stream.child("inputs").normal(&[n, 3], DType::F64);
    let labels: Vec<i64> =
        (0..n).map(|i| stream.child("labels").below_at(i as u64, 2) as i64).collect();
    Examples::new(&inputs, &Array::from_vec(labels, &[n]), 1.0)
}

fn small() -> Closures {
    ridge_weights(examples(24, 1), examples(18, 2), 2)
}

fn start(problem: &dyn Bilevel) -> (Vec<f64>, Vec<f64>) {
    let (dx, dy) = problem.dims();
    (vec![-2.0; dx], Stream::new(5).normal(&[dy], DType::F64).to_vec())
}

fn soba(momentum: f64) -> Soba {
    let constant = Decay::constant;
    Soba { gamma: constant(0.3), nu: constant(0.2), eta: constant(0.5), momentum }
}

fn as_soba(momentum: f64) -> BoRep {
    BoRep { gamma: Some(0.3), nu: Some(0.2), ..BoRep::ma_soba(0.5, momentum) }
}

/// `simultaneous` is SOBA and with momentum MA-SOBA, on the same draws, bit for bit.
#[test]
fn it_contains_soba() {
    let problem = small();
    let (x, y) = start(&problem);
    let stream = Stream::new(3);
    let all = [
        Samples::whole(),
        Samples::draws(problem.examples(), 5, &stream),
        Samples::blocks(problem.examples(), 5, &stream),
    ];
    for samples in all {
        for momentum in [0.0, 0.9] {
            let one = solve(&soba(momentum), &problem, (&x, &y), &samples, 40, |_| false);
            let two = solve(&as_soba(momentum), &problem, (&x, &y), &samples, 40, |_| false);
            assert_eq!((one.x, one.y, one.z), (two.x, two.y, two.z), "{samples:?}, {momentum}");
        }
    }
}

/// Without normalization and momentum it is SOBA one after the other: `y`, `z`, `x`.
#[test]
fn it_contains_soba_in_gauss_seidel_order() {
    let method = BoRep { simultaneous: false, ..as_soba(0.0) };
    let plane = Plane { scale: 1.0 };
    let (mut x, mut y, mut z) = (vec![1.0, -0.7], vec![0.2, 0.4], vec![0.0, 0.0]);
    let all = Batch::all();
    let mut k = 0;
    solve(&method, &plane, (&x.clone(), &y.clone()), &Samples::whole(), 30, |state| {
        if k > 0 {
            let g = plane.lower(&x, &y, &all, Wrt::Y).y;
            y = vec![y[0] - 0.3 * g[0], y[1] - 0.3 * g[1]];
        }
        let b = plane.upper(&x, &y, &all, Wrt::Y).y;
        z = vec![z[0] - 0.2 * (z[0] - b[0]), z[1] - 0.2 * (2.0 * z[1] - b[1])];
        let c = plane.cross_product(&x, &y, &z, &all);
        x = vec![x[0] + 0.5 * c[0], x[1] + 0.5 * c[1]];
        k += 1;
        near(&state.x, &x, 1e-12);
        near(&state.y, &y, 1e-12);
        near(&state.z, &z, 1e-12);
        false
    });
}

#[test]
fn saba_with_one_block_is_soba_and_with_several_has_less_variance() {
    let problem = small();
    let (x, y) = start(&problem);
    let constant = Decay::constant;
    let saba = |block| Saba {
        gamma: constant(0.3),
        nu: constant(0.2),
        eta: constant(0.5),
        block,
        stream: Stream::new(8),
    };
    let whole = Samples::whole();
    let one = solve(&soba(0.0), &problem, (&x, &y), &whole, 30, |_| false);
    let two = solve(&saba(1000), &problem, (&x, &y), &whole, 30, |_| false);
    near(&one.x, &two.x, 1e-9);
    near(&one.z, &two.z, 1e-9);
    // With small blocks it settles where the lower level is solved; SOBA with the same batches does not.
    let rates = (constant(0.1), constant(0.05), constant(0.05));
    let few = Saba { gamma: rates.0, nu: rates.1, eta: rates.2, ..saba(5) };
    let noisy = Soba { gamma: rates.0, nu: rates.1, eta: rates.2, momentum: 0.0 };
    let blocks = Samples::blocks(problem.examples(), 5, &Stream::new(9));
    let error = |method: &dyn Solver| {
        let end = solve(method, &problem, (&x, &y), &blocks, 4000, |_| false);
        distance(&end.y, &solved(&problem, &end.x, &end.y))
    };
    let (reduced, plain) = (error(&few), error(&noisy));
    assert!(reduced < 0.3 * plain, "{reduced} against {plain}");
}

/// The lower level solved to rounding.
fn solved(problem: &dyn Bilevel, x: &[f64], y: &[f64]) -> Vec<f64> {
    let (mut y, all) = (y.to_vec(), Batch::all());
    for _ in 0..20_000 {
        let slope = problem.lower(x, &y, &all, Wrt::Y).y;
        y.iter_mut().zip(&slope).for_each(|(y, g)| *y -= 0.5 * g);
        if norm(&slope) < 1e-13 {
            break;
        }
    }
    y
}

/// `z` tends to the solution at the rate of the slowest eigenvalue.
#[test]
fn z_converges_at_its_rate() {
    let (right, nu) = ([3.0, -4.0], 0.4);
    let product = |v: &[f64], _: u64| vec![v[0], 2.0 * v[1]];
    let exact = [3.0, -2.0];
    let mut z = vec![0.0, 0.0];
    let mut error = norm(&exact);
    for _ in 0..20 {
        z = invert(Inverse::Running, nu, &z, &right, product).z;
        let next = distance(&z, &exact);
        // max |1 - nu lambda| = 0.6
        assert!(next <= 0.6 * error * (1.0 + 1e-9));
        error = next;
    }
    assert!(error < 1e-3);
}

#[test]
fn inverses_agree() {
    let (right, z) = ([3.0, -4.0, 1.0], [0.5, 0.5, 0.5]);
    let product = |v: &[f64], _: u64| vec![v[0], 2.0 * v[1], 0.5 * v[2]];
    let exact = [3.0, -2.0, 2.0];
    let cg = Inverse::Cg { iterations: 4, tolerance: 1e-14 };
    near(&invert(cg, 0.4, &z, &right, product).z, &exact, 1e-10);
    let neumann = Inverse::Neumann { terms: 200 };
    near(&invert(neumann, 0.4, &z, &right, product).z, &exact, 1e-10);
    let iterate = |inverse| {
        let mut z = z.to_vec();
        for _ in 0..2000 {
            z = invert(inverse, 0.4, &z, &right, product).z;
        }
        z
    };
    near(&iterate(Inverse::Running), &exact, 1e-10);
    near(&iterate(Inverse::LeastSquares), &exact, 1e-10);
    // Least squares needs no convexity.
    let indefinite = |v: &[f64], _: u64| vec![v[0], -2.0 * v[1], 0.5 * v[2]];
    let mut z = vec![0.0; 3];
    for _ in 0..2000 {
        z = invert(Inverse::LeastSquares, 0.4, &z, &right, indefinite).z;
    }
    near(&z, &[3.0, 2.0, 2.0], 1e-10);
    // The others see it.
    for inverse in [Inverse::Running, cg, neumann] {
        let step = invert(inverse, 0.1, &[0.0, 1.0, 0.0], &right, indefinite);
        assert!(
            matches!(step.warning(), Some(Warning::NegativeCurvature { curvature }) if curvature < 0.0),
            "{inverse:?}"
        );
    }
}

/// At `y*` with the exact `z` the hyper-gradient is the derivative of `f(x, y*(x))`.
#[test]
fn the_hyper_gradient_agrees_with_finite_differences() {
    let train = examples(24, 1);
    let problem = cleaning(train.clone(), examples(18, 2), 2, 0.01).unwrap();
    let stream = Stream::new(4);
    let x: Vec<f64> = stream.normal(&[24], DType::F64).to_vec();
    let solution = |x: &[f64]| {
        let x = Array::from_slice(x, &[24]);
        let objective = |y: &Array| weighted_loss(&x, y, &train, 0.01);
        let options = Options { gradient_tolerance: 1e-11, ..Options::default() };
        let zero = Array::zeros(&[8], DType::F64);
        minimize(objective, &zero, &Lbfgs::default(), &options).unwrap().x.to_vec::<f64>()
    };
    let y = solution(&x);
    let method = BoRep {
        beta: 0.0,
        upper: Upper::Plain,
        refinement: Refinement::None,
        inverse: Inverse::Cg { iterations: 50, tolerance: 1e-13 },
        gamma: Some(0.1),
        nu: Some(0.1),
        ..BoRep::default()
    };
    let h = solve(&method, &problem, (&x, &y), &Samples::whole(), 1, |_| false).direction;
    let phi = |x: &[f64]| problem.upper(x, &solution(x), &Batch::all(), Wrt::Y).value;
    for (i, &h) in h.iter().enumerate().take(8) {
        let shifted = |t: f64| {
            let mut x = x.clone();
            x[i] += t;
            phi(&x)
        };
        let d = 1e-3;
        let difference = (shifted(d) - shifted(-d)) / (2.0 * d);
        assert!((difference - h).abs() <= 1e-5 * h.abs().max(1e-3), "{i}: {difference} and {h}");
    }
}

/// Costs as promised: one Hessian and one mixed product, two gradients of `f`, `inner / period` gradients of `g` a step.
#[test]
fn what_a_step_costs() {
    let plane = Plane { scale: 1.0 };
    let method = BoRep {
        gamma: Some(0.4),
        nu: Some(0.4),
        refinement: Refinement::Steps { count: 7 },
        ..BoRep::default()
    };
    let mut oracle = Oracle::new(&plane);
    let mut state = method.start(&[1.0, 1.0], &[0.0, 0.0], &mut oracle).unwrap();
    for _ in 0..11 {
        method.step(&mut state, &mut oracle, &Samples::whole()).unwrap();
    }
    let counts = oracle.counts;
    assert_eq!((counts.hessian_products, counts.jacobian_products), (11, 11));
    assert_eq!((counts.upper_gradients, counts.lower_gradients), (22, 7 + 5 * 3));
}

/// A state saved and read again goes on to the same end.
#[test]
fn a_saved_state_goes_on() {
    let problem = small();
    let (x, y) = start(&problem);
    let samples = Samples::draws(problem.examples(), 5, &Stream::new(3));
    let method = BoRep {
        eta: 0.05,
        period: Period::Drift { tolerance: 0.1, lipschitz: None },
        upper: Upper::Adam { beta2: 0.9 },
        tasks: 2,
        mean_from: Some(5),
        ..BoRep::default()
    };
    let whole = solve(&method, &problem, (&x, &y), &samples, 120, |_| false);
    let mut half = solve(&method, &problem, (&x, &y), &samples, 60, |_| false);
    half.numbers[0] = half.numbers[0].min(f64::MAX); // JSON knows no infinity
    let text = serde_json::to_string(&half).unwrap();
    let mut state: State = serde_json::from_str(&text).unwrap();
    let mut oracle = Oracle::new(&problem);
    for _ in 0..60 {
        method.step(&mut state, &mut oracle, &samples).unwrap();
    }
    assert_eq!(state, whole);
}

#[test]
fn negative_curvature_is_counted_and_a_ridge_helps() {
    let lower = |x: &Array, y: &Array, _: &Batch| (x * y).sum_all() - y.square().sum_all() * 0.5;
    let problem = Closures::new((1, 1), |_, y, _| y.sum_all(), lower);
    let method = BoRep {
        gamma: Some(1e-3),
        nu: Some(0.1),
        refinement: Refinement::None,
        ..BoRep::default()
    };
    let end = solve(&method, &problem, (&[1.0], &[1.0]), &Samples::whole(), 20, |_| false);
    assert_eq!(method.negative_curvatures(&end), 19); // z begins at zero
    assert_eq!(end.warnings.len(), 1);
    let method = BoRep { ridge: 2.0, ..method };
    let end = solve(&method, &problem, (&[1.0], &[1.0]), &Samples::whole(), 200, |_| false);
    assert_eq!(method.negative_curvatures(&end), 0);
    near(&end.z, &[1.0], 1e-6);
}

#[test]
fn numbers_out_of_range_are_named() {
    let plane = Plane { scale: 1.0 };
    let message = |method: BoRep| {
        let mut oracle = Oracle::new(&plane);
        method.start(&[1.0, 1.0], &[0.0, 0.0], &mut oracle).unwrap_err().to_string()
    };
    let fine = BoRep::default;
    let cases = [
        (BoRep { eta: f64::NAN, ..fine() }, "eta: expected a finite number of at least 0"),
        (BoRep { decay: 1.0, ..fine() }, "decay: expected a number from 0 to 0.75"),
        (BoRep { gamma: Some(-1.0), ..fine() }, "gamma: expected a finite number above 0"),
        (BoRep { nu: Some(0.0), ..fine() }, "nu: expected a finite number above 0"),
        (BoRep { beta: 1.0, ..fine() }, "beta: expected a number from 0 to below 1"),
        (BoRep { inner: 0, ..fine() }, "inner: expected at least 1"),
        (BoRep { tasks: 0, ..fine() }, "tasks: expected at least 1"),
        (BoRep { radius: Some(f64::NAN), ..fine() }, "radius: expected"),
        (BoRep { ridge: -1.0, ..fine() }, "ridge: expected"),
        (BoRep { tolerance: -1.0, ..fine() }, "tolerance: expected"),
        (
            BoRep { period: Period::Every { steps: 0 }, ..fine() },
            "period.steps: expected at least 1",
        ),
        (BoRep { inverse: Inverse::Neumann { terms: 0 }, ..fine() }, "inverse.terms: expected"),
        (BoRep { upper: Upper::Clipped { bound: 0.0 }, ..fine() }, "upper.bound: expected"),
    ];
    for (method, expected) in cases {
        let text = message(method);
        assert!(text.contains(expected), "{text}");
    }
    let mut oracle = Oracle::new(&plane);
    let short = fine().start(&[1.0], &[0.0, 0.0], &mut oracle).unwrap_err().to_string();
    assert!(short.contains("the start of x has 1 entries; expected 2"), "{short}");
    let wrong = fine().start(&[1.0, f64::NAN], &[0.0, 0.0], &mut oracle).unwrap_err().to_string();
    assert!(wrong.contains("entry 1 is NaN"), "{wrong}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the start: steps have the length eta, refreshes stay in their ball, everything stays finite.
    #[test]
    fn steps_and_refreshes_are_bounded(
        a in -12.0..12.0f64, b in -12.0..12.0f64, eta in 1e-3..2.0f64, radius in 0.0..3.0f64,
    ) {
        let method = BoRep {
            eta, gamma: Some(0.4), nu: Some(0.4), radius: Some(radius), period: Period::Every { steps: 1 },
            ..BoRep::default()
        };
        let plane = Plane { scale: 1.0 };
        let (mut x, mut y) = (vec![a, b], None::<Vec<f64>>);
        let mut fine = true;
        solve(&method, &plane, (&[a, b], &[0.0, 0.0]), &Samples::whole(), 60, |s| {
            fine &= distance(&s.x, &x) <= eta * (1.0 + 1e-9) + 1e-12;
            fine &= norm(&s.direction) < 1e-3 || (distance(&s.x, &x) - eta).abs() < 1e-6;
            if let Some(y) = &y {
                fine &= distance(&s.y, y) <= radius * (1.0 + 1e-9) + 1e-12;
            }
            (x, y) = (s.x.clone(), Some(s.y.clone()));
            false
        });
        prop_assert!(fine);
    }

    /// The projection lands in the ball, at the nearest point, and leaves what is inside.
    #[test]
    fn projections(y in prop::collection::vec(-5.0..5.0f64, 3), c in prop::collection::vec(-5.0..5.0f64, 3), r in 0.0..6.0f64) {
        let mut p = y.clone();
        project(&mut p, &c, r);
        prop_assert!(distance(&p, &c) <= r * (1.0 + 1e-12) + 1e-15);
        let away = distance(&y, &c);
        prop_assert!((distance(&p, &y) - (away - r).max(0.0)).abs() < 1e-9);
        if away <= r {
            prop_assert_eq!(p, y);
        }
    }

    /// The average of a block lies within the ball as well.
    #[test]
    fn averages_stay_in_the_ball(steps in 1..20usize, gamma in 0.01..5.0f64, r in 0.0..2.0f64) {
        let start = [1.0, -2.0];
        let end = Block { steps, gamma, radius: Some(r) }.run(&start, |y, _| vec![y[0] - 9.0, 3.0 * y[1]]);
        prop_assert!(distance(&end.average, &start) <= r * (1.0 + 1e-9) + 1e-12);
        prop_assert!(distance(&end.last, &start) <= r * (1.0 + 1e-9) + 1e-12);
    }
}
