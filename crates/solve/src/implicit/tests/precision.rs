//! Errors of derivatives at iterates that have not converged, and unrolling.

use lisse_array::{Tree, check, grad, jvp};

use super::*;

/// Diabetes data with centred columns of norm one and a standardised target.
fn diabetes() -> (Array, Array) {
    let data = lisse_data::Dataset::bundled("diabetes").unwrap().cast(lisse_array::DType::F64);
    let x = &data.inputs - data.inputs.mean_keep(&[0]);
    let x = &x / x.square().sum_keep(&[0]).sqrt();
    let y = &data.targets - data.targets.mean_all();
    let y = &y / y.square().mean_all().sqrt();
    (x, y.reshape(&[-1]))
}

#[test]
fn the_error_of_the_implicit_jacobian_follows_that_of_the_iterate() {
    let (x, y) = diabetes();
    let penalty = Array::scalar(1e-3f64);
    let gram = x.t().matmul(&x);
    let right = x.t().matmul(&y);
    let (values, _) = gram.eigh().unwrap();
    let step = 1.0 / (values.max_all().item() + 1e-3);
    let solver = gram.clone() + Array::eye(10, x.dtype()) * 1e-3;
    let best = solver.solve(&right).unwrap();
    let exact = solver.solve(&best).unwrap().neg();
    assert!((exact.norm() - 1307.6).abs() < 0.05, "{}", exact.norm());
    let (g, r) = (gram.clone(), right.clone());
    let condition =
        Condition::root(move |w: &Array, penalty: &Array| g.matmul(w) - &r + w * penalty)
            .positive_definite();
    let map = move |w: &Array, penalty: &Array| w - (gram.matmul(w) - &right + w * penalty) * step;
    let start = best.zeros_like();
    // Values and half a unit of their last digit.
    let expected = [
        (10, [(12.26, 5e-3), (1277.0, 0.5), (1307.0, 0.5)]),
        (100, [(9.856, 5e-4), (1031.0, 0.5), (1276.0, 0.5)]),
        (500, [(3.807, 5e-4), (398.0, 0.5), (872.0, 0.5)]),
        (1000, [(1.159, 5e-4), (121.0, 0.5), (410.0, 0.5)]),
        (3000, [(0.009_97, 5e-6), (1.043, 5e-4), (8.49, 5e-3)]),
    ];
    for (steps, expected) in expected {
        let one = Array::scalar(1.0f64);
        let recorded = |penalty: &Array| unroll(map.clone(), &start, penalty, steps, None).unwrap();
        let (w, through) = jvp(recorded, &penalty, &one);
        let (slope, _) = root_jvp(&condition, &Implicit::default(), &w, &penalty, &one).unwrap();
        let distance = |a: &Array, b: &Array| a.axpy(-1.0, b).norm();
        let found = [distance(&w, &best), distance(&slope, &exact), distance(&through, &exact)];
        for (found, (expected, half)) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= half, "{steps}: {found} is not {expected}");
        }
        let ratio = found[1] / found[0];
        assert!((104.05..104.65).contains(&ratio), "{steps}: {ratio}");
        assert!(steps < 100 || found[1] < found[2]);
    }
}

fn contraction() -> impl Fn(&Array, &Array) -> Array + Send + Sync + Clone + 'static {
    |x: &Array, theta: &Array| (x * 0.5 + theta).tanh()
}

#[test]
fn checkpoints_change_memory_but_not_derivatives() {
    let theta = vector(&[0.3, -0.8]);
    let start = vector(&[0.0, 0.0]);
    let run = |checkpoint: Option<usize>| {
        move |theta: &Array| {
            unroll(contraction(), &vector(&[0.0, 0.0]), theta, 10, checkpoint).unwrap()
        }
    };
    let plain = grad(|t: &Array| run(None)(t).sum_all())(&theta);
    for every in [1, 3, 10, 99] {
        let found = grad(|t: &Array| run(Some(every))(t).sum_all())(&theta);
        close(&found.to_vec::<f64>(), &plain.to_vec::<f64>(), 1e-15);
    }
    check::gradient(run(Some(4)), &theta, 2).unwrap();
    let error = unroll(contraction(), &start, &theta, 5, Some(0)).unwrap_err();
    assert!(error.to_string().contains("checkpoint is 0, it must be at least 1"), "{error}");
}

#[test]
fn all_ways_to_differentiate_a_fixed_point_meet() {
    let theta = vector(&[0.3, -0.8]);
    let solver = |theta: &Array| {
        Ok::<_, ImplicitError>(
            fixed_point(
                contraction(),
                &theta.zeros_like(),
                theta,
                &FixedPoint { tolerance: 1e-14, ..FixedPoint::default() },
            )?
            .0,
        )
    };
    let problem = Condition::fixed_point(contraction());
    let by = |derivative: &Derivative| {
        grad(|t: &Array| solve(&problem, solver, derivative, t).unwrap().sin().sum_all())(&theta)
            .to_vec::<f64>()
    };
    let exact = by(&Derivative::from(&Implicit::default()));
    let full = |t: &Array| -> Result<Array, ImplicitError> { Ok(t.zeros_like()) };
    let unrolled = grad(|t: &Array| {
        solve(&problem, full, Unroll { steps: 60, checkpoint: Some(8) }, t).unwrap().sin().sum_all()
    })(&theta);
    close(&unrolled.to_vec::<f64>(), &exact, 1e-10);
    close(&by(&Unroll { steps: 60, checkpoint: None }.into()), &exact, 1e-10);
    let neumann = |terms| by(&(&Implicit::method(Method::Neumann { terms })).into());
    close(&neumann(None), &exact, 1e-9);
    // Truncations: K terms of the series are K recorded steps from the solution; one is the Jacobian-free form.
    for k in 1..6 {
        close(&neumann(Some(k)), &by(&Unroll { steps: k, checkpoint: None }.into()), 1e-9);
    }
    close(&by(&(&Implicit::method(Method::Identity)).into()), &neumann(Some(1)), 1e-14);
    let error = |k| (neumann(Some(k))[0] - exact[0]).abs();
    assert!(error(8) < error(4) && error(4) < error(1) && error(1) > 1e-3);
    let one = vector(&[1.0, 0.0]);
    let difference = finite_difference(solver, &theta, &one, 1e-5).unwrap();
    let (tangent, _) =
        root_jvp(&problem, &Implicit::default(), &solver(&theta).unwrap(), &theta, &one).unwrap();
    close(&difference.to_vec::<f64>(), &tangent.to_vec::<f64>(), 1e-8);
    check::gradient(
        |t: &Array| {
            custom_fixed_point(contraction(), &Implicit::default(), t, solver(t).unwrap()).unwrap()
        },
        &theta,
        2,
    )
    .unwrap();
}
