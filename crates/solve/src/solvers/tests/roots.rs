//! Bracketed roots and systems of equations.

use lisse_array::{Array, grad};
use proptest::prelude::*;

use super::vector;
use crate::solvers::*;

#[test]
fn brent_is_fast_and_bisection_is_sure() {
    /// Function, interval, root, most evaluations of Brent's method.
    type Case = (&'static str, fn(f64) -> f64, f64, f64, f64, usize);
    let cases: [Case; 6] = [
        ("cosine", |x| x.cos() - x, 0.0, 1.0, 0.7390851332151607, 10),
        ("cubic", |x| x * x * x - 2.0 * x - 5.0, 2.0, 3.0, 2.0945514815423265, 12),
        ("exponential", |x| x.exp() - 1e3, 0.0, 20.0, 1e3f64.ln(), 20),
        ("flat", |x| (x - 1.0).powi(9), 0.0, 3.0, 1.0, 200),
        ("steep", |x| (50.0 * (x - 0.123)).tanh(), -1.0, 2.0, 0.123, 30),
        ("linear", |x| 3.0 * x - 1.0, 0.0, 5.0, 1.0 / 3.0, 6),
    ];
    for (name, f, a, b, root, most) in cases {
        let options = RootOptions::default();
        let brent = brent(f, a, b, &options).unwrap();
        let halves = bisection(f, a, b, &options).unwrap();
        // The ninth power is 0 to rounding within 1e-2 of its root's digits.
        let accuracy = if name == "flat" { 1e-1 } else { 1e-12 };
        for (method, r) in [("brent", brent), ("bisection", halves)] {
            assert_eq!(r.stop, Stop::Converged, "{name} by {method}");
            assert!((r.x - root).abs() < accuracy, "{name} by {method}: {}", r.x);
        }
        assert!(brent.evaluations <= most, "{name}: {} evaluations", brent.evaluations);
        assert!(halves.evaluations <= 70, "{name}: {} evaluations", halves.evaluations);
    }
}

#[test]
fn ends_may_be_roots_and_limits_hold() {
    let options = RootOptions::default();
    assert_eq!(bisection(|x| x, 0.0, 1.0, &options).unwrap().x, 0.0);
    assert_eq!(bisection(|x| x - 1.0, 0.0, 1.0, &options).unwrap().x, 1.0);
    assert_eq!(brent(|x| x, 0.0, 1.0, &options).unwrap().x, 0.0);
    assert_eq!(brent(|x| x - 1.0, 0.0, 1.0, &options).unwrap().x, 1.0);
    let few = RootOptions { max_evaluations: 5, ..options };
    for r in [bisection(|x| x.cos() - x, 0.0, 1.0, &few), brent(|x| x.exp() - 1e3, 0.0, 20.0, &few)]
    {
        let r = r.unwrap();
        assert_eq!((r.stop, r.evaluations), (Stop::MaxIterations, 5));
        assert!(r.width > 0.0);
    }
    let error = brent(|x| x * x + 1.0, -1.0, 2.0, &options).unwrap_err().to_string();
    assert_eq!(
        error,
        "the function must change sign between the ends of the interval: f(-1) = 2, f(2) = 5"
    );
    assert!(
        bisection(|x| x, f64::NAN, 1.0, &options).unwrap_err().to_string().contains("left end")
    );
}

#[test]
fn a_root_differentiates_to_any_order() {
    // x^2 = theta: x' = 1 / (2 x), x'' = -1 / (4 x^3).
    let root = ScalarRoot::new(|x: &Array, t: &Array| x.square() - t, 0.0, 10.0);
    let f = |t: &Array| root.solve(&Array::scalar(1.0f64), t, &Derivative::default()).unwrap().x;
    let t = Array::scalar(4.0f64);
    assert!((f(&t).item() - 2.0).abs() < 1e-13);
    assert!((grad(f)(&t).item() - 0.25).abs() < 1e-12);
    assert!((grad(grad(f))(&t).item() + 1.0 / 32.0).abs() < 1e-12);
}

#[test]
fn newton_is_quadratic_and_says_where_it_cannot_go() {
    let square = |x: &Array, t: &Array| x.square() - t;
    let found = Newton::new(square).run(&vector(&[3.0]), &vector(&[2.0])).unwrap();
    assert!(found.iterations <= 6 && (found.x.item() - 2f64.sqrt()).abs() < 1e-12);
    // No root: the search stops short of one.
    let none = Newton::new(|x: &Array, _: &Array| x.square() + 1.0);
    let stopped = none.run(&vector(&[0.7]), &vector(&[0.0])).unwrap();
    assert!(matches!(stopped.stop, Stop::NoProgress | Stop::Singular | Stop::MaxIterations));
    let singular = none.run(&vector(&[0.0]), &vector(&[0.0])).unwrap();
    assert_eq!(singular.stop, Stop::Singular);
    assert!(singular.converged().unwrap_err().to_string().contains("singular"));
}

#[test]
fn broyden_takes_fewer_jacobians_than_newton() {
    let f = |x: &Array, _: &Array| {
        let n = x.len();
        let left = Array::cat(&[&vector(&[0.0]), &x.narrow(0, 0, n - 1)], 0);
        let right = Array::cat(&[&x.narrow(0, 1, n - 1), &vector(&[0.0])], 0);
        // Broyden's tridiagonal system.
        x * 3.0 - x.square() * 2.0 - left - right * 2.0 + 1.0
    };
    let start = vector(&[-1.0; 12]);
    let none = Array::scalar(0.0f64);
    let newton = Newton::new(f).run(&start, &none).unwrap();
    let broyden = Broyden::new(f).run(&start, &none).unwrap();
    assert_eq!((newton.stop, broyden.stop), (Stop::Converged, Stop::Converged));
    assert!((&newton.x - &broyden.x).abs().max_all().item() < 1e-9);
    assert!(broyden.counts.jacobians < newton.counts.jacobians);
}

#[test]
fn anderson_needs_fewer_steps_than_picard() {
    // A contraction with rate 0.95.
    let map = |x: &Array, t: &Array| x * vector(&[0.95, -0.9, 0.5, 0.1]) + t;
    let (start, t) = (vector(&[0.0; 4]), vector(&[1.0, 2.0, 3.0, 4.0]));
    let picard = FixedPoint::new(map).limits(1e-10, 2000).run(&start, &t).unwrap();
    let anderson = Anderson::new(map).limits(1e-10, 2000).run(&start, &t).unwrap();
    assert_eq!((picard.stop, anderson.stop), (Stop::Converged, Stop::Converged));
    assert!(anderson.iterations <= 8, "{}", anderson.iterations);
    assert!(picard.iterations > 300, "{}", picard.iterations);
    // Four points span the space: the fifth residual vanishes, as GMRES would have it.
    assert!((anderson.x.to_f64_vec()[0] - 20.0).abs() < 1e-8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bracketed_roots_stay_in_their_interval(root in -5f64..5.0, left in 0.01f64..9.0, right in 0.01f64..9.0, power in 0usize..3) {
        let f = |x: f64| (x - root).signum() * (x - root).abs().powf([1.0, 3.0, 0.5][power]);
        for r in [brent(f, root - left, root + right, &RootOptions::default()), bisection(f, root - left, root + right, &RootOptions::default())] {
            let r = r.unwrap();
            prop_assert_eq!(r.stop, Stop::Converged);
            prop_assert!(r.x >= root - left && r.x <= root + right);
            prop_assert!((r.x - root).abs() < 1e-4);
        }
    }
}
