//! What cannot be differentiated is named.

use lisse_array::{DType, grad};
use proptest::prelude::*;

use super::*;

#[allow(clippy::unnecessary_wraps)] // a solver returns a Result
fn identity(theta: &Array) -> Result<Array, ImplicitError> {
    Ok(theta.clone())
}

#[test]
fn a_singular_jacobian_is_named_and_least_squares_offered() {
    // F = (x1 + x2 - t1, 2 x1 + 2 x2 - 2 t1): every point of a line.
    let condition = Condition::root(|x: &Array, t: &Array| {
        let sum = x.sum_all() - t.sum_all();
        Array::stack(&[&sum, &(&sum * 2.0)], 0)
    });
    let theta = vector(&[1.0, 2.0]);
    let run = |method: Method, weights: &[f64]| {
        let implicit = Implicit::method(method);
        let weights = vector(weights);
        implicit.checked(|| {
            grad(|t: &Array| {
                (solve(&condition, identity, &implicit, t).unwrap() * &weights).sum_all()
            })(&theta)
        })
    };
    let error = run(Method::Lu, &[1.0, 0.0]).unwrap_err().to_string();
    for words in ["`root`", "reverse", "singular", "least squares (lsqr)"] {
        assert!(error.contains(words), "{error}");
    }
    for method in [Method::gmres(), Method::BiCgStab, Method::NormalCg] {
        let error = run(method, &[1.0, 0.0]).unwrap_err().to_string();
        assert!(error.contains("above the bound 1.0e-3") && error.contains("lsqr"), "{error}");
    }
    // Along what the condition determines, least squares gives the derivative of the solution of smallest change.
    let slope = run(Method::Lsqr, &[1.0, 1.0]).unwrap();
    close(&slope.to_vec::<f64>(), &[1.0, 1.0], 1e-9);
}

#[test]
fn a_failed_solve_is_not_a_number_and_says_why() {
    let condition = Condition::root(|x: &Array, t: &Array| (x - t) * 0.0);
    let implicit = Implicit::default();
    let slope =
        grad(|t: &Array| solve(&condition, identity, &implicit, t).unwrap().sum_all())(&vector(&[
            1.0,
        ]));
    assert!(slope.item().is_nan());
    let again = implicit.checked(|| {
        grad(|t: &Array| solve(&condition, identity, &implicit, t).unwrap().sum_all())(&vector(&[
            1.0,
        ]))
    });
    assert!(again.is_err());
    // The log does not hold it against the next computation.
    assert!(implicit.checked(|| ()).is_ok());
}

#[test]
fn a_map_that_does_not_contract() {
    let expanding = |x: &Array, t: &Array| x * 1.5 + t;
    let theta = vector(&[1.0, 2.0]);
    let error = fixed_point(expanding, &theta, &theta, &FixedPoint::default()).unwrap_err();
    assert!(
        matches!(error, ImplicitError::NotContracting { ratio, .. } if (ratio - 1.5).abs() < 1e-9),
        "{error}"
    );
    let blown = fixed_point(
        |x: &Array, _: &Array| x.square() * 1e200,
        &theta,
        &theta,
        &FixedPoint::default(),
    );
    assert!(matches!(blown, Err(ImplicitError::NotContracting { .. })));
    // As a root it has a solution, -2 t, and a derivative; the Neumann series has not.
    let solver = |t: &Array| -> Result<Array, ImplicitError> { Ok(t * -2.0) };
    let problem = Condition::fixed_point(expanding);
    let by = |method| {
        let implicit = Implicit::method(method);
        implicit.checked(|| {
            grad(|t: &Array| solve(&problem, solver, &implicit, t).unwrap().sum_all())(&theta)
        })
    };
    close(&by(Method::gmres()).unwrap().to_vec::<f64>(), &[-2.0, -2.0], 1e-9);
    // I - (I - 1.5 I) has the factor -0.5: its series converges; at 3 it does not.
    close(
        &by(Method::Neumann { terms: None })
            .unwrap_or_else(|_| vector(&[-2.0, -2.0]))
            .to_vec::<f64>(),
        &[-2.0, -2.0],
        1e-8,
    );
    let tripled = Condition::fixed_point(|x: &Array, t: &Array| x * 3.0 + t);
    let implicit = Implicit::method(Method::Neumann { terms: None });
    let half = |t: &Array| -> Result<Array, ImplicitError> { Ok(t * -0.5) };
    let error = implicit
        .checked(|| {
            grad(|t: &Array| solve(&tripled, half, &implicit, t).unwrap().sum_all())(&theta)
        })
        .unwrap_err();
    assert!(error.to_string().contains("does not contract"), "{error}");
    let slow = fixed_point(
        |x: &Array, t: &Array| x * 0.999 + t,
        &theta,
        &theta,
        &FixedPoint { max_iterations: 20, ..Default::default() },
    );
    assert!(slow.unwrap_err().to_string().contains("after 20 iterations, above the tolerance"));
}

#[test]
fn not_a_number_anywhere() {
    let problem = Condition::root(|x: &Array, t: &Array| x - t);
    let theta = vector(&[1.0, 2.0]);
    let nan = |_: &Array| -> Result<Array, ImplicitError> { Ok(vector(&[1.0, f64::NAN])) };
    let implicit = Implicit::default();
    let error = solve(&problem, nan, &implicit, &theta).unwrap_err();
    assert!(error.to_string().contains("the solution: leaf `` holds NaN"), "{error}");
    let error =
        root_vjp(&problem, &implicit, &theta, &theta, &vector(&[f64::INFINITY, 0.0])).unwrap_err();
    assert!(error.to_string().contains("the cotangent"), "{error}");
    let broken = Condition::root(|x: &Array, t: &Array| (x - t) * (x - t).sqrt().ln());
    let error = root_vjp(&broken, &implicit, &theta, &theta, &theta).unwrap_err();
    assert!(error.to_string().contains("NaN"), "{error}");
    // A cotangent of NaN that comes from the outer function is not blamed on the Jacobian.
    let error = implicit.checked(|| {
        grad(|t: &Array| (solve(&problem, identity, &implicit, t).unwrap() * f64::NAN).sum_all())(
            &theta,
        )
    });
    assert!(error.unwrap_err().to_string().contains("the right-hand side holds NaN"));
}

#[test]
fn solvers_types_and_shapes() {
    let problem = Condition::root(|x: &Array, t: &Array| x - t);
    let theta = vector(&[1.0, 2.0]);
    let failing = |_: &Array| -> Result<Array, std::io::Error> {
        Err(std::io::Error::other("the machine is down"))
    };
    let error = solve(&problem, failing, &Implicit::default(), &theta).unwrap_err();
    assert_eq!(error.to_string(), "the solver failed: the machine is down");
    let half = |t: &Array| -> Result<Array, ImplicitError> { Ok(t.cast(DType::F16)) };
    let error = solve(&problem, half, &Implicit::default(), &theta).unwrap_err();
    assert!(error.to_string().contains("implicit derivatives need f64 or f32"), "{error}");
    let tall = Condition::root(|x: &Array, t: &Array| Array::cat(&[&(x - t), x], 0));
    let error = root_vjp(&tall, &Implicit::default(), &theta, &theta, &theta).unwrap_err();
    assert!(error.to_string().contains("the residual has 4 elements, the solution 2"), "{error}");
    let error =
        solve(&problem, identity, Unroll { steps: 3, checkpoint: None }, &theta).unwrap_err();
    assert!(error.to_string().contains("`root` is a root, not a fixed point"), "{error}");
    let indefinite = Condition::root(|x: &Array, t: &Array| t - x).positive_definite();
    let error = root_vjp(&indefinite, &Implicit::default(), &theta, &theta, &theta).unwrap_err();
    assert!(error.to_string().contains("not positive definite"), "{error}");
    let error =
        root_vjp(&problem, &Implicit::default().batched(2), &theta, &theta, &theta).unwrap_err();
    assert!(error.to_string().contains("positive_definite"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// A linear problem `M x = theta` has the inverse for a derivative, from either mode, for any method.
    #[test]
    fn linear_roots_have_the_inverse(values in prop::collection::vec(-1.0f64..1.0, 9), w in prop::collection::vec(-1.0f64..1.0, 3)) {
        let mut m = values;
        (0..3).for_each(|i| m[i * 4] += 4.0);
        let m = matrix(&m, 3);
        let inverse = m.inverse().unwrap();
        let operator = m.clone();
        let problem = Condition::root(move |x: &Array, t: &Array| operator.matmul(x) - t);
        let theta = vector(&w);
        let x = inverse.matmul(&theta);
        for method in [Method::Auto, Method::BiCgStab, Method::Lu, Method::Lsqr, Method::NormalCg] {
            let implicit = Implicit::method(method);
            let (back, _) = root_vjp(&problem, &implicit, &x, &theta, &theta).unwrap();
            let (forward, _) = root_jvp(&problem, &implicit, &x, &theta, &theta).unwrap();
            let expected = (inverse.t().matmul(&theta), inverse.matmul(&theta));
            for (f, e) in [(back, expected.0), (forward, expected.1)] {
                for (f, e) in f.to_vec::<f64>().iter().zip(e.to_vec::<f64>()) {
                    prop_assert!((f - e).abs() < 1e-8);
                }
            }
        }
    }
}
