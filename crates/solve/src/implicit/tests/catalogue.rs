//! The conditions of the catalogue agree with closed forms and with each other.

use lisse_array::{DType, Tree, check, jacobian};

use super::*;

const SLOPE: [f64; 3] = [-0.686_274_51, -0.294_117_65, 0.0];

fn slope(
    condition: &Condition<Array, Array>,
    implicit: &Implicit,
    w: &Array,
    penalty: f64,
) -> Vec<f64> {
    let (theta, one) = (Array::scalar(penalty), Array::scalar(1.0f64));
    root_jvp(condition, implicit, w, &theta, &one).unwrap().0.to_vec()
}

fn smooth(w: &Array, _: &Array) -> Array {
    let (x, y) = lasso_data();
    objectives::least_squares(w, &x, &y)
}

#[test]
fn the_lasso_from_all_its_conditions() {
    let (x, y) = lasso_data();
    for (penalty, expected) in
        [(0.1, [0.774_509_8, 0.617_647_06, 0.0]), (0.4, [0.568_627_45, 0.529_411_76, 0.0])]
    {
        let w = lasso_solver(penalty);
        close(&w.to_vec::<f64>(), &expected, 5e-9);
        let mut found = Vec::new();
        for eta in [0.05, 0.3, 1.0] {
            let condition = Condition::proximal_gradient(
                smooth,
                |u: &Array, penalty: &Array, eta: f64| soft_threshold(u, &(penalty * eta)),
                eta,
            );
            for implicit in [
                Implicit::default(),
                Implicit::method(Method::Lu),
                Implicit::default().on_support(),
            ] {
                found.push(slope(&condition, &implicit, &w, penalty));
                // Reverse mode, along each coordinate.
                for (i, expected) in SLOPE.iter().enumerate() {
                    let mut e = [0.0; 3];
                    e[i] = 1.0;
                    let theta = Array::scalar(penalty);
                    let (back, _) =
                        root_vjp(&condition, &implicit, &w, &theta, &vector(&e)).unwrap();
                    assert!((back.item() - expected).abs() < 5e-9);
                }
            }
        }
        let rows = Condition::block_proximal(
            |w: &Array, _: &Array| {
                let (x, y) = lasso_data();
                objectives::least_squares(&w.reshape(&[-1]), &x, &y)
            },
            |u: &Array, penalty: &Array, steps: &Array| soft_threshold(u, &(penalty * steps)),
            &[0.2, 0.5, 0.9],
        );
        found.push(slope(&rows, &Implicit::default(), &w.reshape(&[3, 1]), penalty));
        // On the support the lasso is smooth.
        let (a, b) = (x.narrow(1, 0, 2), y.clone());
        let reduced = Condition::stationary(move |w: &Array, penalty: &Array| {
            objectives::least_squares(w, &a, &b) + (w * penalty).sum_all()
        });
        let mut part = slope(&reduced, &Implicit::default(), &w.narrow(0, 0, 2), penalty);
        part.push(0.0);
        found.push(part);
        found.push(lasso_by_kkt(&w, penalty));
        for jacobian in found {
            close(&jacobian, &SLOPE, 5e-9);
            close(&jacobian, &[-35.0 / 51.0, -5.0 / 17.0, 0.0], 1e-8);
        }
    }
}

/// `w = u - v` with `u, v >= 0`.
fn lasso_by_kkt(w: &Array, penalty: f64) -> Vec<f64> {
    let (x, y) = lasso_data();
    let gradient = lisse_array::grad(|w: &Array| objectives::least_squares(w, &x, &y))(w);
    let split = Array::cat(&[&w.relu(), &w.neg().relu()], 0);
    let multipliers = Array::cat(&[&(&gradient + penalty), &(penalty - &gradient)], 0);
    let none = Array::zeros(&[0], DType::F64);
    let empty = none.clone();
    let condition = Condition::kkt(
        move |z: &Array, penalty: &Array| {
            let w = z.narrow(0, 0, 3) - z.narrow(0, 3, 3);
            objectives::least_squares(&w, &x, &y) + (z * penalty).sum_all()
        },
        move |_: &Array, _: &Array| empty.clone(),
        |z: &Array, _: &Array| z.neg(),
    );
    let at = (split, none, multipliers);
    let (theta, one) = (Array::scalar(penalty), Array::scalar(1.0f64));
    let ((z, _, _), _) =
        root_jvp(&condition, &Implicit::method(Method::Lu), &at, &theta, &one).unwrap();
    let z = z.to_vec::<f64>();
    (0..3).map(|i| z[i] - z[i + 3]).collect()
}

fn program(h: f64) -> Program {
    Program {
        q: matrix(&[2.0, 0.5, 0.5, 1.0], 2),
        c: vector(&[-1.0, -1.0]),
        e: matrix(&[1.0, 1.0], 2),
        d: vector(&[1.0]),
        g: matrix(&[1.0, 0.0, -1.0, 0.0], 2),
        h: vector(&[h, 0.0]),
    }
}

#[test]
fn a_quadratic_program_with_an_active_constraint() {
    let p = program(0.2);
    let at = (vector(&[0.2, 0.8]), vector(&[0.1]), vector(&[0.1, 0.0]));
    let condition = Condition::quadratic_program();
    assert!(condition.residual(&at, &p).norm() < 1e-15);
    let along = |change: &dyn Fn(&mut Program)| {
        let mut tangent = p.zeros_like();
        change(&mut tangent);
        let mut all = Vec::new();
        for method in [Method::Lu, Method::gmres(), Method::Lsqr] {
            let ((x, nu, lambda), report) =
                root_jvp(&condition, &Implicit::method(method), &at, &p, &tangent).unwrap();
            assert!(report.linear.residual < 1e-9);
            all.push([x.to_vec::<f64>(), nu.to_vec(), lambda.to_vec()].concat());
        }
        close(&all[0], &all[1], 1e-8);
        close(&all[0], &all[2], 1e-8);
        all.remove(0)
    };
    close(&along(&|t| t.h = vector(&[1.0, 0.0])), &[1.0, -1.0, 0.5, -2.0, 0.0], 1e-8);
    close(&along(&|t| t.h = vector(&[0.0, 1.0])), &[0.0; 5], 1e-8);
    close(&along(&|t| t.d = vector(&[1.0])), &[0.0, 1.0, -1.0, 0.5, 0.0], 1e-8);
    close(&along(&|t| t.c = vector(&[1.0, 0.0])), &[0.0, 0.0, 0.0, -1.0, 0.0], 1e-8);
    close(&along(&|t| t.c = vector(&[0.0, 1.0])), &[0.0, 0.0, -1.0, 1.0, 0.0], 1e-8);
    // Inactive: the bound does not matter.
    let (p, at) = (program(0.3), (vector(&[0.25, 0.75]), vector(&[0.125]), vector(&[0.0, 0.0])));
    assert!(condition.residual(&at, &p).norm() < 1e-15);
    let tangent = Program { h: vector(&[1.0, 0.0]), ..p.zeros_like() };
    let ((x, _, _), _) =
        root_jvp(&condition, &Implicit::method(Method::Lu), &at, &p, &tangent).unwrap();
    close(&x.to_vec::<f64>(), &[0.0, 0.0], 1e-12);
}

#[test]
fn the_same_program_by_the_general_conditions() {
    let p = program(0.2);
    let at = (vector(&[0.2, 0.8]), vector(&[0.1]), vector(&[0.1, 0.0]));
    let general = Condition::kkt(
        |x: &Array, p: &Program| x.matmul(&p.q.matmul(x)) * 0.5 + p.c.matmul(x),
        |x: &Array, p: &Program| p.e.matmul(x) - &p.d,
        |x: &Array, p: &Program| p.g.matmul(x) - &p.h,
    );
    let implicit = Implicit::method(Method::Lu);
    let w = (vector(&[0.3, -0.7]), vector(&[0.2]), vector(&[0.5, 0.1]));
    let (a, _) = root_vjp(&general, &implicit, &at, &p, &w).unwrap();
    let (b, _) = root_vjp(&Condition::quadratic_program(), &implicit, &at, &p, &w).unwrap();
    for (a, b) in [(&a.c, &b.c), (&a.d, &b.d), (&a.e, &b.e), (&a.g, &b.g), (&a.h, &b.h)] {
        close(&a.to_vec::<f64>(), &b.to_vec::<f64>(), 1e-10);
    }
    // The general form symmetrises Q, which the program takes as it is.
    let symmetric = (&b.q + b.q.t()) * 0.5;
    close(&a.q.to_vec::<f64>(), &symmetric.to_vec::<f64>(), 1e-10);
}

#[test]
fn newton_gradient_and_stationarity_give_one_jacobian() {
    let f = |x: &Array, theta: &Array| {
        ((x - theta).square() * vector(&[1.0, 2.0])).sum_all() * 0.5
            + (x.sum_all().square().square()) * 0.25
    };
    let theta = vector(&[0.8, -0.1]);
    let solver = |theta: &Array| -> Result<Array, ImplicitError> {
        let newton = Condition::newton_stationary(f, 1.0);
        let map = newton.map().unwrap().clone();
        Ok(fixed_point(
            |x: &Array, t: &Array| map(x, t),
            theta,
            theta,
            &FixedPoint { tolerance: 1e-14, ..Default::default() },
        )?
        .0)
    };
    let x = solver(&theta).unwrap();
    let exact = jacobian(
        |theta: &Array| {
            solve(&Condition::stationary(f), solver, &Implicit::default(), theta).unwrap()
        },
        &theta,
    );
    let gradient = |eta: f64| {
        Condition::fixed_point(move |x: &Array, theta: &Array| {
            x - lisse_array::grad(|x: &Array| f(x, theta))(x) * eta
        })
    };
    let mut conditions = vec![];
    for eta in [0.1, 0.5, 2.0] {
        conditions.push(gradient(eta));
        conditions.push(Condition::newton_stationary(f, eta));
        conditions.push(Condition::projected_gradient(f, |u: &Array, _: &Array| u.clone(), eta));
        conditions.push(Condition::mirror_descent(
            f,
            |x: &Array| x.clone(),
            |u: &Array, _: &Array| u.clone(),
            eta,
        ));
    }
    for condition in conditions {
        let found = jacobian(
            |theta: &Array| {
                custom_root(&condition, &Implicit::default(), theta, x.clone()).unwrap()
            },
            &theta,
        );
        close(&found.to_vec::<f64>(), &exact.to_vec::<f64>(), 1e-8);
    }
    // The iterations themselves as solvers change nothing, and at a root of Newton's map the Jacobian is the step.
    let implicit = Implicit::method(Method::Identity);
    let newton = Condition::newton_stationary(f, 1.0);
    let found = jacobian(
        |theta: &Array| custom_root(&newton, &implicit, theta, x.clone()).unwrap(),
        &theta,
    );
    close(&found.to_vec::<f64>(), &exact.to_vec::<f64>(), 1e-8);
    check::gradient(
        |t: &Array| solve(&Condition::stationary(f), solver, &Implicit::default(), t).unwrap(),
        &theta,
        2,
    )
    .unwrap();
}

#[test]
fn least_squares_residuals_and_gauss_newton() {
    // r = (x - a, x b - 1): x = (a + b) / (1 + b^2)
    let condition = Condition::least_squares(|x: &Array, theta: &Array| {
        let (a, b) = (theta.narrow(0, 0, 1), theta.narrow(0, 1, 1));
        Array::cat(&[&(x - a), &(x * b - 1.0)], 0)
    })
    .positive_definite();
    let solver = |t: &Array| -> Result<Array, LinalgError> {
        let (a, b) = (t.narrow(0, 0, 1), t.narrow(0, 1, 1));
        Ok((a + &b) / (b.square() + 1.0))
    };
    let implicit = Implicit::default();
    check::gradient(
        |t: &Array| solve(&condition, solver, &implicit, t).unwrap(),
        &vector(&[0.3, 1.7]),
        2,
    )
    .unwrap();
}

#[test]
fn the_entropy_on_the_simplex() {
    // min <c, x> + sum x log x over the simplex: softmax(-c).
    let f = |x: &Array, c: &Array| (x * c).sum_all() + (x * x.ln()).sum_all();
    let condition =
        Condition::mirror_descent(f, |x: &Array| x.ln(), |u: &Array, _: &Array| u.softmax(0), 0.4);
    let solver = |c: &Array| -> Result<Array, LinalgError> { Ok(c.neg().softmax(0)) };
    let c = vector(&[0.3, -0.2, 0.9]);
    let implicit = Implicit::default();
    let found = jacobian(|c: &Array| solve(&condition, solver, &implicit, c).unwrap(), &c);
    let exact = jacobian(|c: &Array| c.neg().softmax(0), &c);
    close(&found.to_vec::<f64>(), &exact.to_vec::<f64>(), 1e-9);
}

#[test]
fn projection_on_the_simplex() {
    let x = matrix(&[0.9, 0.5, 0.3, -0.2], 4);
    let p = simplex_rows(&x);
    close(&p.to_vec::<f64>(), &[0.666_666_67, 0.266_666_67, 0.066_666_67, 0.0], 5e-9);
    let j = jacobian(simplex_rows, &x).to_vec::<f64>();
    let s = [1.0, 1.0, 1.0, 0.0];
    let expected: Vec<f64> = (0..16)
        .map(|e| s[e / 4] * (f64::from(u8::from(e / 4 == e % 4)) - s[e % 4] / 3.0))
        .collect();
    close(&j, &expected, 1e-15);
    check::gradient(simplex_rows, &matrix(&[0.9, 0.5, 0.3, -0.2, 2.0, 0.1, 0.2, 0.3], 4), 2)
        .unwrap();
}

#[test]
fn a_second_order_cone_program() {
    // min c^T x over |x| <= r: x = -r c / |c|.
    let (r, c) = (1.5, [0.6, -0.8, 1.0]);
    let size = 2.0f64.sqrt();
    let cones = [Cone::SecondOrder(4)];
    let mut a = vec![0.0; 12];
    (0..3).for_each(|i| a[(i + 1) * 3 + i] = -1.0);
    let p = ConeProgram { a: matrix(&a, 3), b: vector(&[r, 0.0, 0.0, 0.0]), c: vector(&c) };
    let x: Vec<f64> = c.iter().map(|c| -r * c / size).collect();
    let slack = vector(&[r, x[0], x[1], x[2]]);
    let dual = vector(&[size, c[0], c[1], c[2]]);
    let z = cone_start(&vector(&x), &dual, &slack);
    let condition = Condition::cone_program(&cones);
    assert!(condition.residual(&z, &p).norm() < 1e-14);
    let implicit = Implicit::default();
    let solution = |p: &ConeProgram| {
        let z = custom_root(&condition, &implicit, p, z.clone()).unwrap();
        cone_solution(&z, 3, &cones).0
    };
    let along = |t: &ConeProgram| {
        implicit.checked(|| lisse_array::jvp(solution, &p, t).1.to_vec::<f64>()).unwrap()
    };
    let radius = ConeProgram { b: vector(&[1.0, 0.0, 0.0, 0.0]), ..p.zeros_like() };
    let expected: Vec<f64> = c.iter().map(|c| -c / size).collect();
    close(&along(&radius), &expected, 1e-8);
    for i in 0..3 {
        let mut e = [0.0; 3];
        e[i] = 1.0;
        let cost = ConeProgram { c: vector(&e), ..p.zeros_like() };
        let expected: Vec<f64> =
            (0..3).map(|k| -r / size * (f64::from(u8::from(i == k)) - c[i] * c[k] / 2.0)).collect();
        close(&along(&cost), &expected, 1e-8);
    }
    // Reverse mode gives the transposed numbers.
    let (_, pullback) = lisse_array::vjp(solution, &p);
    let back = implicit.checked(|| pullback(&vector(&[1.0, 0.0, 0.0]))).unwrap();
    assert!((back.b.to_vec::<f64>()[0] + 0.6 / size).abs() < 1e-8);
    assert_eq!(implicit.reports()[0].linear.method, "lsqr");
}

#[test]
fn a_linear_program_with_equations() {
    // min x1 + 2 x2, x1 + x2 = d, x >= 0: x = (d, 0).
    let cones = [Cone::Zero(1), Cone::NonNegative(2)];
    let p = ConeProgram {
        a: matrix(&[1.0, 1.0, -1.0, 0.0, 0.0, -1.0], 2),
        b: vector(&[3.0, 0.0, 0.0]),
        c: vector(&[1.0, 2.0]),
    };
    let z = cone_start(&vector(&[3.0, 0.0]), &vector(&[-1.0, 0.0, 1.0]), &vector(&[0.0, 3.0, 0.0]));
    let condition = Condition::cone_program(&cones);
    assert!(condition.residual(&z, &p).norm() < 1e-14);
    let implicit = Implicit::default();
    let tangent = ConeProgram { b: vector(&[1.0, 0.0, 0.0]), ..p.zeros_like() };
    let solution = |p: &ConeProgram| {
        cone_solution(&custom_root(&condition, &implicit, p, z.clone()).unwrap(), 2, &cones).0
    };
    close(&lisse_array::jvp(solution, &p, &tangent).1.to_vec::<f64>(), &[1.0, 0.0], 1e-9);
}

#[test]
fn objectives_agree_with_finite_differences() {
    let (x, y) = lasso_data();
    let (labels, one_hot) = (
        vector(&[1.0, -1.0, 1.0, -1.0, 1.0]),
        matrix(&[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.3, 0.7, 1.0, 0.0], 2),
    );
    let (w, b, penalty) = (vector(&[0.3, -0.4, 0.9]), Array::scalar(0.2f64), Array::scalar(0.7f64));
    let at = (w, b, penalty);
    type At = (Array, Array, Array);
    check::gradient(|(w, b, l): &At| objectives::logistic(w, Some(b), &x, &labels, l), &at, 2)
        .unwrap();
    check::gradient(
        |(w, _, l): &At| objectives::lasso(w, &x, &y, l) + objectives::ridge(w, &x, &y, l),
        &at,
        2,
    )
    .unwrap();
    check::gradient(|(w, _, _): &At| objectives::huber(w, &x, &y, 0.6), &at, 2).unwrap();
    let beta = matrix(&[0.2, 0.8, 0.5, 0.5, 0.9, 0.1, 0.3, 0.7, 0.4, 0.6], 2);
    let dual = |(beta, _, l): &At| objectives::svm_dual(beta, &x, &one_hot, l);
    check::gradient(dual, &(beta.clone(), at.1.clone(), at.2.clone()), 2).unwrap();
    // The value by hand: |X^T (Y - beta)|^2 / (2 l) - <beta, 1 - Y>.
    let product = x.t().matmul(&(&one_hot - &beta)).square().sum_all().item();
    let inner = (&beta * (1.0 - &one_hot)).sum_all().item();
    let value = objectives::svm_dual(&beta, &x, &one_hot, &at.2).item();
    assert!((value - (product / 1.4 - inner)).abs() < 1e-12);
    let weights = matrix(&[0.1, -0.3, 0.4, 0.2, 0.0, 0.6], 2);
    let softmax = |(w, b, l): &At| objectives::softmax_regression(w, Some(b), &x, &one_hot, l);
    check::gradient(softmax, &(weights, vector(&[0.1, -0.2]), at.2.clone()), 2).unwrap();
    let coding =
        |(codes, dictionary): &(Array, Array)| objectives::sparse_coding(codes, &x, dictionary);
    check::gradient(coding, &(beta, matrix(&[0.4, 0.1, -0.3, 0.5, 0.2, 0.8], 3)), 2).unwrap();
    // The elastic net's operator minimises |x - u|^2 / 2 + step (l1 |x| + l2 x^2 / 2).
    let u = vector(&[2.0, -0.1, -1.0]);
    let net = objectives::elastic_net(&u, &Array::scalar(0.5f64), &Array::scalar(2.0f64), 0.4);
    close(&net.to_vec::<f64>(), &[1.8 / 1.8, 0.0, -0.8 / 1.8], 1e-15);
}
