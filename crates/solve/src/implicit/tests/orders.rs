//! Exact values and derivatives of first and second order, in both modes.

use lisse_array::{check, grad, hessian, jacobian, jvp, vjp};

use super::*;

#[test]
fn ridge_has_the_derivatives_of_its_closed_form() {
    let theta = ridge_data();
    let w = ridge_solver(&theta).unwrap();
    close(&w.to_vec::<f64>(), &[1.126_984_13, 0.015_873_02], 5e-9);
    let cotangent = vector(&[1.0, -1.0]);
    for problem in [
        ridge_problem(),
        ridge_problem().positive_definite(),
        ridge_problem().structure(Structure::General),
    ] {
        let implicit = Implicit::default();
        let ((x, y, penalty), report) =
            root_vjp(&problem, &implicit, &w, &theta, &cotangent).unwrap();
        close(&[penalty.item()], &[-0.493_827_16], 5e-9);
        close(&y.to_vec::<f64>(), &[0.111_111_11, 0.0, -0.222_222_22, 0.333_333_33], 5e-9);
        let expected = [
            -0.139_329_81,
            0.012_345_68,
            0.095_238_10,
            -0.095_238_10,
            0.246_913_58,
            0.007_054_67,
            -0.291_005_29,
            -0.089_947_09,
        ];
        close(&x.to_vec::<f64>(), &expected, 5e-9);
        assert!(report.linear.residual < 1e-12 && report.optimality < 1e-12, "{report:?}");
        let tangent = (theta.0.zeros_like(), theta.1.zeros_like(), Array::scalar(1.0f64));
        let (slope, _) = root_jvp(&problem, &implicit, &w, &theta, &tangent).unwrap();
        close(&slope.to_vec::<f64>(), &[-0.573_444_19, -0.079_617_03], 5e-9);
    }
}

#[test]
fn every_linear_solver_gives_the_same_derivative() {
    let theta = ridge_data();
    let w = ridge_solver(&theta).unwrap();
    let problem = ridge_problem().positive_definite();
    for name in [
        "cg",
        "minres",
        "gmres",
        "bicgstab",
        "normal-cg",
        "lsqr",
        "lu",
        "cholesky",
        "qr",
        "inverse",
    ] {
        let implicit = Implicit::method(Method::named(name).unwrap());
        let (found, report) =
            root_vjp(&problem, &implicit, &w, &theta, &vector(&[1.0, -1.0])).unwrap();
        close(&[found.2.item()], &[-0.493_827_160_5], 1e-9);
        assert_eq!(report.linear.method, name);
    }
}

#[test]
fn ridge_agrees_with_finite_differences_to_second_order() {
    let problem = ridge_problem().positive_definite();
    for method in [Method::Cg, Method::Lu, Method::gmres()] {
        let implicit = Implicit::method(method);
        let f = |theta: &RidgeData| solve(&problem, ridge_solver, &implicit, theta).unwrap().sin();
        implicit.checked(|| check::gradient(f, &ridge_data(), 2).unwrap()).unwrap();
    }
}

/// `x + x^3 = theta`, elementwise with a coupling: nonlinear in the solution.
fn cubic() -> Condition<Array, (Array, Array)> {
    Condition::root(|x: &Array, (a, b): &(Array, Array)| {
        x * x.square() * b + x + x.flip(&[0]) * (a * 0.2) - a
    })
}

fn cubic_solver((a, b): &(Array, Array)) -> Result<Array, LinalgError> {
    let condition = cubic();
    let theta = (a.clone(), b.clone());
    let mut x = a * 0.5;
    for _ in 0..60 {
        let f = |x: &Array| condition.residual(x, &theta);
        x = &x - jacobian(f, &x).solve(&f(&x))?;
    }
    Ok(x)
}

#[test]
fn a_nonlinear_root_agrees_with_finite_differences_to_third_order() {
    let theta = (vector(&[0.7, -1.1, 0.4]), vector(&[0.5, 1.0, 1.5]));
    for method in [Method::gmres(), Method::Lu, Method::BiCgStab, Method::Lsqr] {
        let tight = LinearSolver { tolerance: 1e-13, ..LinearSolver::new(method) };
        let implicit = Implicit::new(tight);
        let f =
            |theta: &(Array, Array)| solve(&cubic(), cubic_solver, &implicit, theta).unwrap().exp();
        implicit.checked(|| check::gradient(f, &theta, 3).unwrap()).unwrap();
    }
}

#[test]
fn forward_and_reverse_mode_are_transposed() {
    let theta = (vector(&[0.7, -1.1, 0.4]), vector(&[0.5, 1.0, 1.5]));
    let implicit = Implicit::default();
    let f = |theta: &(Array, Array)| solve(&cubic(), cubic_solver, &implicit, theta).unwrap();
    let (tangent, cotangent) =
        ((vector(&[0.3, 0.1, -0.5]), vector(&[-0.2, 0.4, 0.9])), vector(&[1.0, -2.0, 0.5]));
    let (_, forward) = jvp(f, &theta, &tangent);
    let (_, pullback) = vjp(f, &theta);
    let back = pullback(&cotangent);
    let pairing = |a: &Array, b: &Array| (a * b).sum_all().item();
    let other = pairing(&back.0, &tangent.0) + pairing(&back.1, &tangent.1);
    assert!((pairing(&forward, &cotangent) - other).abs() < 1e-10);
    // The expert forms agree.
    let x = cubic_solver(&theta).unwrap();
    let (expert, report) = root_jvp(&cubic(), &implicit, &x, &theta, &tangent).unwrap();
    close(&expert.to_vec::<f64>(), &forward.to_vec::<f64>(), 1e-9);
    assert!(!report.transposed);
    // A pullback outlives its transformation, and may be called again.
    let again = pullback(&cotangent);
    assert_eq!(again.0.to_vec::<f64>(), back.0.to_vec::<f64>());
}

#[test]
fn hessians_come_forward_over_reverse_and_reverse_over_reverse() {
    let implicit = Implicit::default();
    let outer = |a: &Array| {
        let theta = (a.clone(), vector(&[0.5, 1.0, 1.5]));
        solve(&cubic(), cubic_solver, &implicit, &theta).unwrap().square().sum_all()
    };
    let a = vector(&[0.7, -1.1, 0.4]);
    let reverse = hessian(outer, &a);
    let column = |i: usize| {
        let mut e = vec![0.0; 3];
        e[i] = 1.0;
        jvp(|a: &Array| grad(outer)(a), &a, &vector(&e)).1.to_vec::<f64>()
    };
    let forward: Vec<f64> = (0..3).flat_map(column).collect();
    close(&forward, &reverse.t().to_vec::<f64>(), 1e-8);
    close(&reverse.to_vec::<f64>(), &reverse.t().to_vec::<f64>(), 1e-8);
}

#[test]
fn a_solution_inside_a_solution() {
    // The outer root's condition contains the inner solution: both rules nest.
    let inner = |a: &Array| {
        let theta = (a.clone(), vector(&[1.0, 1.0]));
        solve(&cubic(), cubic_solver, &Implicit::default(), &theta).unwrap()
    };
    let condition =
        Condition::root(move |x: &Array, theta: &Array| x + inner(&(x * 0.3 + theta)) - theta);
    let solver = |theta: &Array| -> Result<Array, ImplicitError> {
        let theta = theta.clone();
        let map = move |x: &Array, theta: &Array| {
            let pair = (x * 0.3 + theta, vector(&[1.0, 1.0]));
            theta - cubic_solver(&pair).unwrap()
        };
        Ok(fixed_point(
            map,
            &theta.zeros_like(),
            &theta,
            &FixedPoint { tolerance: 1e-14, ..Default::default() },
        )?
        .0)
    };
    let implicit = Implicit::default();
    let f = |theta: &Array| solve(&condition, solver, &implicit, theta).unwrap();
    check::gradient(f, &vector(&[0.4, -0.3]), 2).unwrap();
}

#[test]
fn the_value_needs_no_solve() {
    // Danskin: the derivative of min f(., theta) is the partial derivative at the minimizer.
    let theta = ridge_data();
    let implicit = Implicit::default();
    let (x, y, _) = theta.clone();
    let value = |penalty: &Array| {
        let theta = (x.clone(), y.clone(), penalty.clone());
        let w = solve(&ridge_problem(), ridge_solver, &implicit, &theta).unwrap();
        objectives::ridge(&w, &x, &y, penalty)
    };
    let through = grad(value)(&theta.2).item();
    let w = ridge_solver(&theta).unwrap();
    let partial = grad(|penalty: &Array| objectives::ridge(&w, &x, &y, penalty))(&theta.2).item();
    assert!((through - partial).abs() < 1e-12);
}

#[test]
fn the_forward_factor_is_reused() {
    let theta = ridge_data();
    let factored = |(x, y, penalty): &RidgeData| {
        let n = x.dim(0) as f64;
        let gram = x.t().matmul(x) * (1.0 / n) + Array::eye(x.dim(1), x.dtype()) * penalty;
        let factor = crate::linear::Factor::cholesky(&gram)?;
        let w = factor.solve(&(x.t().matmul(y) * (1.0 / n)).to_vec::<f64>());
        Ok::<_, crate::linear::LinearError>((vector(&w), factor))
    };
    let implicit = Implicit::default();
    let f = |theta: &RidgeData| {
        solve_factored(&ridge_problem(), factored, &implicit, theta).unwrap().sin()
    };
    implicit.checked(|| check::gradient(f, &theta, 2).unwrap()).unwrap();
    assert!(implicit.reports().iter().all(|r| r.linear.method == "factor of the forward pass"));
    // A factor of another matrix is found out.
    let wrong = |theta: &RidgeData| {
        let (w, _) = factored(theta)?;
        Ok::<_, crate::linear::LinearError>((
            w,
            crate::linear::Factor::cholesky(&Array::eye(2, w_type()))?,
        ))
    };
    let failed = implicit.checked(|| {
        grad(|t: &RidgeData| {
            solve_factored(&ridge_problem(), wrong, &implicit, t).unwrap().sum_all()
        })(&theta)
    });
    assert!(failed.unwrap_err().to_string().contains("factor of the forward pass"));
}

fn w_type() -> lisse_array::DType {
    lisse_array::DType::F64
}

#[test]
fn trees_of_solutions_and_parameters() {
    // min |u - a|^2 + |v - u b|^2 + |v|^2, a tree on both sides; f32 leaves come back as f32.
    type Pair = (Array, Array);
    let problem = Condition::stationary(|(u, v): &Pair, (a, b): &Pair| {
        (u - a).square().sum_all() + (v - u * b).square().sum_all() + v.square().sum_all()
    })
    .positive_definite();
    let closed = |(a, b): &Pair| -> Result<Pair, LinalgError> {
        let u = a / (b.square() * 0.5 + 1.0);
        Ok((u.clone(), &u * b * 0.5))
    };
    let theta = (vector(&[1.0, -2.0]), vector(&[0.5, 1.5]));
    let implicit = Implicit::default();
    let f = |theta: &Pair| {
        let (u, v) = solve(&problem, closed, &implicit, theta).unwrap();
        (u.sin() + v.cos()).sum_all()
    };
    check::gradient(f, &theta, 2).unwrap();
    let single = (theta.0.cast(lisse_array::DType::F32), theta.1.cast(lisse_array::DType::F32));
    let (double, single) = (grad(f)(&theta), grad(f)(&single));
    assert_eq!(single.0.dtype(), lisse_array::DType::F32);
    close(&single.0.to_f64_vec(), &double.0.to_f64_vec(), 1e-5);
}

#[test]
fn a_batch_of_problems_is_as_each_alone() {
    let problem = Condition::stationary(|x: &Array, theta: &Array| {
        let own = (x - theta).square().sum_all() * 0.5;
        own + (x.square().square() * theta.square()).sum_all() * 0.25
            + x.sum_keep(&[1]).square().sum_all() * 0.3
    })
    .positive_definite();
    let solver = |theta: &Array| -> Result<Array, ImplicitError> {
        let step = |x: &Array, theta: &Array| {
            let gradient = (x - theta) + x * x.square() * theta.square() + x.sum_keep(&[1]) * 0.6;
            x - gradient * 0.2
        };
        Ok(fixed_point(
            step,
            &theta.zeros_like(),
            theta,
            &FixedPoint { tolerance: 1e-14, ..Default::default() },
        )?
        .0)
    };
    let theta = matrix(&[0.5, -1.0, 0.8, 0.2, 1.2, -0.4], 2);
    let all = |implicit: &Implicit| {
        implicit
            .checked(|| {
                grad(|t: &Array| solve(&problem, solver, implicit, t).unwrap().sin().sum_all())(
                    &theta,
                )
            })
            .unwrap()
    };
    let batched = Implicit::default().batched(3);
    let (together, flat) = (all(&batched), all(&Implicit::default()));
    close(&together.to_vec::<f64>(), &flat.to_vec::<f64>(), 1e-9);
    assert_eq!(batched.reports()[0].linear.method, "batched cg");
    let f = |t: &Array| solve(&problem, solver, &batched, t).unwrap();
    check::gradient(f, &theta, 2).unwrap();
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let problem = ridge_problem().positive_definite();
            let implicit = Implicit::default();
            let f = |theta: &RidgeData| {
                solve(&problem, ridge_solver, &implicit, theta).unwrap().sin().sum_all()
            };
            let (x, y, penalty) = grad(f)(&ridge_data());
            [x.to_vec::<f64>(), y.to_vec(), penalty.to_vec()].concat()
        })
    };
    assert_eq!(on(1), on(2));
}

#[test]
fn a_warm_start_saves_the_second_solve() {
    let problem = ridge_problem().positive_definite();
    let implicit = Implicit::default().warm();
    let theta = ridge_data();
    let w = ridge_solver(&theta).unwrap();
    let cotangent = vector(&[1.0, -1.0]);
    let (_, first) = root_vjp(&problem, &implicit, &w, &theta, &cotangent).unwrap();
    let (found, second) = root_vjp(&problem, &implicit, &w, &theta, &cotangent).unwrap();
    assert!(second.linear.iterations < first.linear.iterations);
    close(&[found.2.item()], &[-0.493_827_160_5], 1e-9);
}
