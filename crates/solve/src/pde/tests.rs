use std::f64::consts::PI;

use lisse_array::{Array, grad};
use lisse_fem::{CellKind, Measure, Mesh, Space};

use super::switching::{Koopman, Switched, best_sequence, sum_up_rounding};
use super::*;
use crate::pareto::dense::along;
use crate::pareto::{
    CommonDescent, GoldsteinDescent, GoldsteinStatus, Objectives, certificate, spacing_ratio,
};

fn wave(x: &[f64]) -> f64 {
    (2.0 * PI * x[0]).sin() * (PI * x[1]).sin()
}

fn tracking_pair(n: usize) -> Tracking {
    let equation = MaxElliptic::unit_square(n, 10.0).unwrap();
    let goal = |target: Vec<f64>| Goal { target: Some(target), control_cost: 1e-4 };
    let goals = vec![goal(equation.sample(wave)), goal(vec![-0.5; n * n])];
    Tracking::new(equation, goals).unwrap()
}

/// Tracking against the price of the control.
fn tracking_and_cost(n: usize) -> Tracking {
    let equation = MaxElliptic::unit_square(n, 10.0).unwrap();
    let goals = vec![
        Goal { target: Some(equation.sample(wave)), control_cost: 0.0 },
        Goal { target: None, control_cost: 1e-3 },
    ];
    Tracking::new(equation, goals).unwrap()
}

fn line(n: usize, kappa: f64) -> MaxElliptic {
    let space = Space::new(Mesh::interval(n + 1, [0.0, 1.0]).unwrap(), 1).unwrap();
    MaxElliptic::new(&space, kappa).unwrap()
}

#[test]
fn one_dimension_against_the_closed_form() {
    for (n, middle) in [(9, 0.06028602), (99, 0.06052051)] {
        let equation = line(n, 10.0);
        let state = equation.state(&vec![1.0; n], None).unwrap();
        assert!((state.y[n / 2] - middle).abs() < 5e-9, "{}", state.y[n / 2]);
        assert_eq!(state.steps, 2);
        let exact =
            |x: f64| 0.1 * (1.0 - (10f64.sqrt() * (x - 0.5)).cosh() / (10f64.sqrt() / 2.0).cosh());
        assert!((exact(0.5) - 0.06052290).abs() < 5e-9);
        let worst = (0..n)
            .map(|i| (state.y[i] - exact((i + 1) as f64 / (n + 1) as f64)).abs())
            .fold(0.0, f64::max);
        assert!(worst < 3e-2 / ((n + 1) * (n + 1)) as f64, "{worst}");
        let below = equation.state(&vec![-1.0; n], None).unwrap();
        assert_eq!(below.steps, 1);
        for (i, y) in below.y.iter().enumerate() {
            let x = (i + 1) as f64 / (n + 1) as f64;
            assert!((y + x * (1.0 - x) / 2.0).abs() < 1e-12);
        }
    }
}

#[test]
fn two_dimensions_against_a_manufactured_solution() {
    for (n, error, steps) in
        [(15, 5.137e-3, 3), (31, 1.279e-3, 3), (63, 3.194e-4, 4), (127, 7.98e-5, 4)]
    {
        let equation = MaxElliptic::unit_square(n, 10.0).unwrap();
        let f = equation.sample(|x| 5.0 * PI * PI * wave(x) + 10.0 * wave(x).max(0.0));
        let state = equation.state(&f, None).unwrap();
        let away = along(&state.y, -1.0, &equation.sample(wave));
        let l2 = equation.inner(&away, &away).sqrt();
        assert!((l2 / error - 1.0).abs() < 2e-3, "{n}: {l2}");
        assert_eq!(state.steps, steps, "{n}");
    }
    let equation = MaxElliptic::unit_square(31, 10.0).unwrap();
    let up = equation.state(&[1.0; 961], None).unwrap().y;
    assert!((up.iter().copied().fold(0.0, f64::max) - 0.04689648).abs() < 5e-9);
    let shift: Vec<f64> = equation.mass().iter().map(|m| 10.0 * m).collect();
    let linear = equation.solve(&shift, equation.mass()).unwrap();
    assert!(along(&up, -1.0, &linear).iter().all(|d| d.abs() < 1e-12));
    let down = equation.state(&[-1.0; 961], None).unwrap().y;
    assert!((down.iter().copied().fold(0.0, f64::min) + 0.07361474).abs() < 5e-9);
}

#[test]
fn other_meshes_converge_at_second_order() {
    let error = |n: usize| {
        let mesh = Mesh::cuboid([n; 3], [[0.0, 1.0]; 3]).unwrap();
        let space = Space::new(mesh, 1).unwrap();
        let equation = MaxElliptic::new(&space, 10.0).unwrap();
        let exact = |x: &[f64]| wave(x) * (PI * x[2]).sin();
        let f = equation.sample(|x| 6.0 * PI * PI * exact(x) + 10.0 * exact(x).max(0.0));
        let y = equation.extend(&equation.state(&f, None).unwrap().y);
        Measure::cells(&space, 6).unwrap().l2_error(&y, exact)
    };
    let order = (error(8) / error(16)).log2();
    assert!((1.7..2.3).contains(&order), "{order}");
    let quads =
        Space::new(Mesh::rectangle([8; 2], [[0.0, 1.0]; 2], CellKind::Quad).unwrap(), 1).unwrap();
    assert_eq!(MaxElliptic::new(&quads, 1.0).unwrap().len(), 49);
}

#[test]
fn gradients_agree_with_differences() {
    let problem = tracking_pair(15);
    let e = problem.equation().clone();
    let u = e.sample(|x| 30.0 * wave(x) - 4.0 * x[0]);
    let way = e.sample(|x| (3.0 * x[0]).cos() + x[1]);
    let y = e.state(&u, None).unwrap().y;
    assert!(y.iter().all(|y| y.abs() > 1e-8));
    let gradients = problem.subgradients(&u);
    let h = 1e-3;
    let (up, down) = (problem.values(&along(&u, h, &way)), problem.values(&along(&u, -h, &way)));
    for i in 0..2 {
        let slope = (up[i] - down[i]) / (2.0 * h);
        let exact = e.inner(&gradients[i], &way);
        assert!((slope / exact - 1.0).abs() < 1e-6, "{slope} {exact}");
    }
}

#[test]
fn weighted_sums_of_two_trackings() {
    let problem = tracking_pair(31);
    let expected = [
        ([1.0, 0.0], [0.02843847, 0.20802993]),
        ([0.5, 0.5], [0.07295595, 0.07458959]),
        ([0.0, 1.0], [0.21431205, 0.02799752]),
    ];
    let minres = problem.clone().systems(Systems::Minres);
    let mut last: Option<Stationary> = None;
    for (weights, values) in expected {
        let point = problem.weighted(&weights, last.as_ref()).unwrap();
        for i in 0..2 {
            assert!((point.values[i] - values[i]).abs() < 1e-8, "{weights:?} {:?}", point.values);
        }
        assert!((1..=5).contains(&point.steps), "{}", point.steps);
        assert!(point.residual < 1e-12);
        assert!(problem.criticality(&weights, &point.u).unwrap() < 1e-9);
        let again = minres.weighted(&weights, last.as_ref()).unwrap();
        let away = along(&again.u, -1.0, &point.u);
        assert!(away.iter().all(|d| d.abs() < 1e-6), "{:?}", again.values);
        last = Some(point);
    }
}

/// Weights of thirteen points from almost all tracking to almost all price.
fn thirteen() -> Vec<Vec<f64>> {
    (0..13).map(|k| 0.02 + 0.08 * f64::from(k)).map(|a| vec![1.0 - a, a]).collect()
}

#[test]
fn reference_points_space_the_front_evenly() {
    let problem = tracking_and_cost(31);
    let front = weighted_front(&mut &problem, &thirteen()).unwrap();
    let values = |front: &[Stationary]| front.iter().map(|p| p.values.clone()).collect::<Vec<_>>();
    let near =
        |v: &[f64], expected: [f64; 2]| v.iter().zip(expected).all(|(v, e)| (v - e).abs() < 2e-6);
    let convex = values(&front);
    assert!(near(&convex[0], [0.000416, 0.328401]), "{:?}", convex[0]);
    assert!(near(&convex[12], [0.123185, 0.000018]), "{:?}", convex[12]);
    assert!((spacing_ratio(&convex) - 16.0).abs() < 0.1, "{}", spacing_ratio(&convex));
    let arc: f64 = convex.windows(2).map(|p| (p[0][0] - p[1][0]).hypot(p[0][1] - p[1][1])).sum();
    let method = ReferencePoint::new(arc / 12.0);
    let mut even = vec![front[0].clone()];
    while let Some((next, _)) = method.next(&mut &problem, even.last().unwrap()).unwrap() {
        if next.values[1] < convex[12][1] || even.len() > 20 {
            break;
        }
        even.push(next);
    }
    let points = values(&even);
    assert_eq!(points.len(), 13);
    assert!(near(&points[2], [0.002862, 0.265692]), "{:?}", points[2]);
    assert!(near(&points[6], [0.017881, 0.141726]), "{:?}", points[6]);
    assert!(near(&points[12], [0.109200, 0.001501]), "{:?}", points[12]);
    assert!((spacing_ratio(&points) - 1.16).abs() < 0.01, "{}", spacing_ratio(&points));
    assert_eq!(crate::pareto::nondominated(&points).len(), 13);
}

#[test]
fn other_scalarisations_meet_the_same_front() {
    let problem = tracking_and_cost(15);
    let middle = problem.weighted(&[0.6, 0.4], None).unwrap();
    let bound = EpsilonConstraint { least: 1e-3, ..EpsilonConstraint::new(middle.values[1]) };
    let (point, multiplier, _) = bound.solve(&mut &problem).unwrap();
    assert!((point.values[0] / middle.values[0] - 1.0).abs() < 1e-6);
    assert!((multiplier / (0.4 / 0.6) - 1.0).abs() < 1e-5, "{multiplier}");
    let slack = EpsilonConstraint { least: 1e-3, ..EpsilonConstraint::new(1e3) };
    assert_eq!(slack.solve(&mut &problem).unwrap().1, 1e-3);
    let z = [middle.values[0] - 0.02, middle.values[1] - 0.04];
    let (point, _) = pascoletti_serafini(&mut &problem, z, [1.0, 2.0], [1e-3, 1.0]).unwrap();
    assert!((point.weights[1] - 0.4).abs() < 1e-6, "{:?}", point.weights);
    assert_eq!(simplex_grid(3, 4).len(), 15);
    assert!(simplex_grid(3, 4).iter().all(|w| (w.iter().sum::<f64>() - 1.0).abs() < 1e-12));
    let three = simplex_grid(2, 4);
    assert_eq!(three[1], [0.25, 0.75]);
}

#[test]
fn descent_in_the_inner_product_of_functions() {
    let problem = tracking_pair(7);
    let start = vec![0.0; 49];
    let descent = GoldsteinDescent {
        eps: 1e-4,
        delta: 1e-4,
        first_step: Some(1e4),
        max_steps: 300,
        ..Default::default()
    };
    let found = descent.minimize(&problem, &start).unwrap();
    assert_eq!(found.status, GoldsteinStatus::Critical);
    assert!(certificate(&problem, &found.x, 1e-4, &found.witnesses) <= 1e-4);
    let before = problem.values(&start);
    assert!(found.values.iter().zip(before).all(|(now, was)| *now < was));
}

#[test]
fn state_bounds_by_penalty_and_by_multiplier() {
    let problem = tracking_and_cost(15);
    let weights = [0.9, 0.1];
    let free = problem.weighted(&weights, None).unwrap();
    let n = problem.equation().len();
    let bound = StateBound { upper: vec![0.3; n], nu: 1.0, multiplier: vec![0.0; n] };
    let bounded = problem.clone().bounded(bound).unwrap();
    let over = |y: &[f64]| y.iter().map(|y| y - 0.3).fold(0.0, f64::max);
    assert!(over(&free.y) > 0.2);
    let (loose, _) = bounded.with_bound_path(&weights, &[1e-1, 1e-2], false).unwrap();
    let (tight, _) = bounded.with_bound_path(&weights, &[1e-1, 1e-2, 1e-3, 1e-4], false).unwrap();
    let nus = [1e-1, 1e-2, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3];
    let (exact, problem) = bounded.with_bound_path(&weights, &nus, true).unwrap();
    assert!(over(&tight.y) < 0.1 * over(&loose.y) && over(&loose.y) < over(&free.y));
    assert!(over(&exact.y) < 1e-3 * over(&loose.y), "{} {}", over(&exact.y), over(&tight.y));
    let y = problem.equation().state(&exact.u, None).unwrap().y;
    assert!(along(&y, -1.0, &exact.y).iter().all(|d| d.abs() < 1e-9));
}

#[test]
fn reduced_bases_and_their_bounds() {
    let problem = tracking_and_cost(31);
    let e = problem.equation();
    let control = |a: f64, b: f64| e.sample(|x| a * wave(x) + b);
    let mut snapshots = Vec::new();
    for a in [-50.0, 0.0, 50.0] {
        for b in [-10.0, 0.0, 10.0] {
            if a != 0.0 || b != 0.0 {
                snapshots.push(e.state(&control(a, b), None).unwrap().y);
            }
        }
    }
    let limit = 1.0 + e.kappa() / e.least_eigenvalue();
    assert!((limit - 1.51).abs() < 5e-3, "{limit}");
    let full = Basis::pod(e, &snapshots, 8).unwrap();
    assert_eq!(full.len(), 8);
    let tests = [(-37.0, 6.0), (21.0, -8.0), (44.0, 9.0), (-12.0, -3.0), (30.0, 1.0), (5.0, 7.0)];
    let mut before = f64::INFINITY;
    for (r, most) in [(1, 1.0), (2, 0.1), (3, 0.06), (4, 0.02), (6, 0.01), (8, 0.004)] {
        let reduced = Reduced::new(&problem, full.truncated(r));
        let mut worst = 0.0f64;
        for (a, b) in tests {
            let u = control(a, b);
            let y = e.state(&u, None).unwrap().y;
            let state = reduced.state(&u).unwrap();
            let error = e.energy(&along(&state.y, -1.0, &y)).sqrt();
            let effectivity = state.bound / error;
            assert!((1.0 - 1e-9..limit).contains(&effectivity), "{r} {effectivity}");
            worst = worst.max(error / e.energy(&y).sqrt());
        }
        assert!(worst <= most && worst <= before * 1.001, "{r}: {worst}");
        before = worst;
    }
    // The max term from as many nodes as snapshots is nearly as good.
    let positive: Vec<Vec<f64>> =
        snapshots.iter().map(|y| y.iter().map(|y| y.max(0.0)).collect()).collect();
    let deim = Deim::new(&positive, 8).unwrap();
    let at: Vec<f64> = deim.points().iter().map(|&i| positive[0][i]).collect();
    assert!(along(&deim.interpolate(&at), -1.0, &positive[0]).iter().all(|d| d.abs() < 1e-9));
    let reduced = Reduced::new(&problem, full.clone()).with_deim(deim);
    let u = control(30.0, 1.0);
    let state = reduced.state(&u).unwrap();
    let error = e.energy(&along(&state.y, -1.0, &e.state(&u, None).unwrap().y)).sqrt();
    assert!(state.bound >= error && error < 0.02 * e.energy(&state.y).sqrt(), "{error}");
    let controls: Vec<Vec<f64>> = tests.iter().map(|&(a, b)| control(a, b)).collect();
    let (basis, history) = Basis::greedy(&problem, &controls, 1e-3, 6).unwrap();
    assert!(basis.len() <= 6 && *history.last().unwrap() <= 1e-3, "{history:?}");
}

#[test]
fn adaptive_bases_trace_the_front() {
    let problem = tracking_and_cost(31);
    let weights = thirteen();
    let exact = weighted_front(&mut &problem, &weights).unwrap();
    let mut model = AdaptiveReduced::new(&problem, 1e-4).unwrap();
    let front = weighted_front(&mut model, &weights).unwrap();
    let e = problem.equation();
    for (a, b) in front.iter().zip(&exact) {
        let error = e.energy(&along(&a.y, -1.0, &b.y)).sqrt() / e.energy(&b.y).sqrt();
        assert!(error < 2e-3, "{:?}: {error}", a.weights);
    }
    assert!(model.counts().full < 13 && model.counts().reduced >= 12, "{:?}", model.counts());
    // With the solutions in the basis, the reduced front is the full one.
    let mut snapshots: Vec<Vec<f64>> = exact.iter().map(|p| p.y.clone()).collect();
    snapshots.extend(exact.iter().map(|p| p.p.clone()));
    let reduced = Reduced::new(&problem, Basis::pod(e, &snapshots, 20).unwrap());
    let again = reduced.weighted(&exact[5].weights, None).unwrap();
    assert!((again.values[0] / exact[5].values[0] - 1.0).abs() < 1e-6);
}

#[test]
fn the_parabolic_problem() {
    // Order one in time against an exact solution of the semidiscrete problem: e^{-t} times the wave.
    let e = MaxElliptic::unit_square(7, 10.0).unwrap();
    let shape = e.sample(wave);
    let mut image = vec![0.0; shape.len()];
    e.apply_stiffness(&shape, &mut image);
    let error = |steps: usize| {
        let goals = vec![Goal { target: None, control_cost: 1.0 }];
        let problem = MaxParabolic::new(e.clone(), goals, shape.clone(), 1.0, steps).unwrap();
        let u: Vec<f64> = (1..=steps)
            .flat_map(|k| {
                let decay = (-(k as f64) / steps as f64).exp();
                (0..shape.len())
                    .map(|i| {
                        decay * (-shape[i] + image[i] / e.mass()[i] + 10.0 * shape[i].max(0.0))
                    })
                    .collect::<Vec<f64>>()
            })
            .collect();
        let last = problem.states(&u).unwrap().pop().unwrap();
        let away: Vec<f64> = last.iter().zip(&shape).map(|(y, s)| y - s * (-1f64).exp()).collect();
        e.inner(&away, &away).sqrt()
    };
    let order = (error(10) / error(20)).log2();
    assert!((order - 1.0).abs() < 0.1, "{order}");

    let goals = vec![
        Goal { target: Some(shape.clone()), control_cost: 1e-3 },
        Goal { target: Some(vec![-0.2; 49]), control_cost: 1e-2 },
    ];
    let problem = MaxParabolic::new(e.clone(), goals, e.sample(|x| x[0] - 0.4), 0.5, 4).unwrap();
    let u: Vec<f64> = (0..problem.dim()).map(|i| (i as f64 * 0.7).sin() * 20.0).collect();
    let way: Vec<f64> = (0..problem.dim()).map(|i| (i as f64 * 0.3).cos()).collect();
    let gradients = problem.subgradients(&u);
    let h = 1e-4;
    let (up, down) = (problem.values(&along(&u, h, &way)), problem.values(&along(&u, -h, &way)));
    for i in 0..2 {
        let exact = problem.inner(&gradients[i], &way);
        assert!(((up[i] - down[i]) / (2.0 * h) / exact - 1.0).abs() < 1e-6);
    }
    let descent =
        CommonDescent { tolerance: 1e-4, first_step: 200.0, max_steps: 500, ..Default::default() };
    let found = descent.minimize(&problem, &vec![0.0; problem.dim()]).unwrap();
    assert!(found.criticality <= 1e-4, "{}", found.criticality);
    assert_eq!(problem.last_state(&found.x).unwrap().len(), 81);
}

#[test]
fn switching_times_rounding_and_models() {
    let (a, b, tau) = (-1.3, 0.8, 0.35);
    let system = Switched::new(&[1.2], 1.0, 40, |y: &Array| y.square().sum_all() * 0.5)
        .unwrap()
        .mode(move |y: &Array| y * a)
        .mode(move |y: &Array| y * b);
    let at = Array::from_slice(&[tau], &[1]);
    let last: f64 = 1.2 * (a * tau + b * (1.0 - tau)).exp();
    let exact = (a - b) * last * last;
    assert!((system.gradient(&at)[0] - exact).abs() < 1e-7);
    assert!((grad(|t: &Array| system.cost(t))(&at).item() - exact).abs() < 1e-7);
    let worst = lisse_array::check::gradient(|t: &Array| system.cost(t), &at, 2).unwrap();
    assert!(worst < 1e-6);
    // Three modes of a pendulum: both gradients, and a minimum that is no worse.
    let field = |torque: f64| {
        move |y: &Array| {
            let (angle, speed) = (y.narrow(0, 0, 1), y.narrow(0, 1, 1));
            Array::cat(&[&speed, &(angle.sin() * -1.0 + torque)], 0)
        }
    };
    let swing = Switched::new(&[0.0, 0.0], 3.0, 30, |y: &Array| (y - 1.0).square().sum_all())
        .unwrap()
        .mode(field(1.0))
        .mode(field(-1.0))
        .mode(field(0.5));
    let times = Array::from_slice(&[1.0f64, 2.0], &[2]);
    let exact = grad(|t: &Array| swing.cost(t))(&times).to_vec::<f64>();
    assert!(swing.gradient(&times).iter().zip(exact).all(|(a, b)| (a - b).abs() < 1e-5));
    let (best, cost, _) = swing.optimize(&[1.0, 2.0], 200).unwrap();
    assert!(
        cost < swing.cost(&times).item() && best[0] <= best[1] && best[0] >= 0.0 && best[1] <= 3.0
    );
    assert!(swing.optimize(&[1.0], 5).is_err());

    let (dt, n) = (0.01, 100);
    let weights: Vec<Vec<f64>> =
        (0..n).map(|k| 0.5 + 0.5 * (f64::from(k) * 0.1).sin()).map(|w| vec![w, 1.0 - w]).collect();
    let modes = sum_up_rounding(&weights, &[dt; 100]);
    let mut ahead = 0.0f64;
    for (w, &m) in weights.iter().zip(&modes) {
        ahead += dt * (w[0] - if m == 0 { 1.0 } else { 0.0 });
        assert!(ahead.abs() <= dt);
    }

    let rows = |rate: f64| (1..6).map(|k| vec![f64::from(k) * rate]).collect::<Vec<_>>();
    let model = |a: f64| Koopman::fit(&rows(1.0), &rows((a * 0.1f64).exp())).unwrap();
    assert!((model(-0.7).matrix()[0] - (-0.07f64).exp()).abs() < 1e-14);
    let (modes, _) =
        best_sequence(&[model(-0.7), model(0.4)], &[2.0], 4, |y| (y[0] - 1.9).abs()).unwrap();
    assert_eq!(modes[0], 0);
    assert!(best_sequence(&[model(1.0)], &[1.0], 0, |y| y[0]).is_err());
    assert!(Koopman::fit(&[], &[]).is_err());
}

#[test]
fn bad_input_is_named() {
    let message = |e: PdeError| e.to_string();
    let one = Space::new(Mesh::interval(1, [0.0, 1.0]).unwrap(), 1).unwrap();
    let none = MaxElliptic::new(&one, 1.0).map(|_| ()).unwrap_err();
    assert_eq!(
        message(none),
        "the mesh has no node inside, so that there is nothing to solve; refine it"
    );
    assert!(MaxElliptic::unit_square(0, 1.0).is_err());
    let negative = MaxElliptic::unit_square(3, -1.0).map(|_| ()).unwrap_err();
    assert_eq!(message(negative), "`kappa` is -1; it must be a finite number, at least 0");
    let triangles = Mesh::rectangle([2; 2], [[0.0, 1.0]; 2], CellKind::Triangle).unwrap();
    let second = MaxElliptic::new(&Space::new(triangles, 2).unwrap(), 1.0).map(|_| ()).unwrap_err();
    assert!(message(second).contains("use a space of first order"));
    let e = MaxElliptic::unit_square(3, 1.0).unwrap();
    assert_eq!(
        message(e.state(&[1.0], None).unwrap_err()),
        "the right-hand side has 1 entries, expected 9"
    );
    assert!(e.state(&[f64::NAN; 9], None).is_err());
    let goal = |cost: f64| Goal { target: None, control_cost: cost };
    assert!(Tracking::new(e.clone(), vec![]).is_err());
    assert!(Tracking::new(e.clone(), vec![goal(-1.0)]).is_err());
    let free = Tracking::new(e, vec![goal(0.0), goal(1.0)]).unwrap();
    let priceless = free.weighted(&[1.0, 0.0], None).unwrap_err();
    assert_eq!(
        message(priceless),
        "`weighted control cost` is 0; it must be above 0; weigh an objective with a control cost"
    );
    assert!(free.weighted(&[1.0], None).is_err());
    assert!(free.weighted(&[f64::NAN, 1.0], None).is_err());
    assert!(AdaptiveReduced::new(&free, 0.0).is_err());
    assert!(free.with_bound_path(&[0.5, 0.5], &[1.0], false).is_err());
}
