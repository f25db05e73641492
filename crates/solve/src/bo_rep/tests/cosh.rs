//! The problem whose gradient grows like its value.

use super::{Plane, near, solve};
use crate::bilevel::baselines::{Decay, Soba, Solver};
use crate::bilevel::{Batch, Bilevel, Oracle, Samples, Wrt};
use crate::bo_rep::problems::{cosh, cosh_gradient};
use crate::bo_rep::{BoRep, Period, Refinement, Upper};

fn method(eta: f64, refinement: usize) -> BoRep {
    BoRep {
        eta,
        gamma: Some(0.4),
        nu: Some(0.4),
        refinement: Refinement::Steps { count: refinement },
        ..BoRep::default()
    }
}

fn soba(eta: f64) -> Soba {
    let constant = Decay::constant;
    Soba { gamma: constant(0.4), nu: constant(0.4), eta: constant(eta), momentum: 0.0 }
}

/// Index of the first step after which the gradient is below 0.1.
fn first(method: &dyn Solver, y: &[f64], most: u64) -> Option<u64> {
    let small = |x: &[f64]| Plane::slope(x) < 0.1;
    let plane = Plane { scale: 1.0 };
    let end = solve(method, &plane, (&Plane::START, y), &Samples::whole(), most, |s| small(&s.x));
    small(&end.x).then(|| end.step - 1)
}

#[test]
fn the_problem_and_its_closed_form_agree() {
    let (a, b) = (cosh(), Plane { scale: 1.0 });
    let (x, y, v, all) = ([0.7, -1.3], [0.4, 0.9], [2.0, -0.5], Batch::all());
    assert!((Plane::slope(&Plane::START) - 1404.18595).abs() < 1e-5);
    near(
        &cosh_gradient(&Plane::START),
        &{
            let s = Plane::solution(&Plane::START);
            [s[0].sinh(), 0.5 * s[0].sinh() + s[1].sinh()]
        },
        1e-9,
    );
    for wrt in [Wrt::X, Wrt::Y] {
        let (one, two) = (a.lower(&x, &y, &all, wrt), b.lower(&x, &y, &all, wrt));
        assert!((one.value - two.value).abs() < 1e-12);
        if wrt.x() {
            near(&one.x, &two.x, 1e-12);
        } else {
            near(&one.y, &two.y, 1e-12);
        }
        let (one, two) = (a.upper(&x, &y, &all, wrt), b.upper(&x, &y, &all, wrt));
        assert!((one.value - two.value).abs() < 1e-12);
        if wrt.x() { near(&one.x, &two.x, 1e-12) } else { near(&one.y, &two.y, 1e-12) }
    }
    near(&a.hessian_product(&x, &y, &v, &all), &b.hessian_product(&x, &y, &v, &all), 1e-12);
    near(&a.cross_product(&x, &y, &v, &all), &b.cross_product(&x, &y, &v, &all), 1e-12);
}

#[test]
fn three_steps_by_number() {
    let end =
        solve(&method(0.1, 5), &cosh(), (&Plane::START, &[0.0, 0.0]), &Samples::whole(), 3, |_| {
            false
        });
    near(&end.x, &[9.98363618, -7.70046270], 1e-8);
    near(&end.y, &[5.87204299, -7.81653187], 1e-8);
    near(&end.z, &[119.57182059, -638.97706617], 1e-7);
}

#[test]
fn steps_to_a_small_gradient() {
    for (eta, expected) in [(0.1, 157), (0.05, 261), (0.02, 646)] {
        assert_eq!(first(&method(eta, 50), &[0.0, 0.0], 2000), Some(expected), "eta = {eta}");
    }
}

#[test]
fn constant_steps_are_slow_or_diverge() {
    let exact = Plane::solution(&Plane::START);
    let plane = Plane { scale: 1.0 };
    let mut oracle = Oracle::new(&plane);
    let fast = soba(2e-3);
    let mut state = fast.start(&Plane::START, &exact, &mut oracle).unwrap();
    let failed = (0..60).position(|_| {
        let step = fast.step(&mut state, &mut oracle, &Samples::whole());
        step.is_err() || Plane::slope(&state.x) > 1e8
    });
    assert!(failed.is_some_and(|k| k < 30), "{failed:?}");
    let counts = [(1.5e-3, 2585), (1e-3, 4965), (3e-4, 16827), (1e-4, 50555)];
    for (eta, expected) in counts {
        assert_eq!(first(&soba(eta), &exact, 60_000), Some(expected), "eta = {eta}");
    }
    // One sixteenth of the best.
    assert!(10 * first(&method(0.1, 50), &[0.0, 0.0], 2000).unwrap() < 2585);
}

#[test]
fn any_step_length_stays_finite() {
    for eta in [0.01, 0.03, 0.1, 0.3, 1.0] {
        let plane = Plane { scale: 1.0 };
        let end = solve(
            &method(eta, 50),
            &plane,
            (&Plane::START, &[0.0, 0.0]),
            &Samples::whole(),
            4000,
            |_| false,
        );
        assert!(end.check_finite().is_ok() && Plane::slope(&end.x) < 1404.0, "eta = {eta}");
    }
}

#[test]
fn a_constant_length_ends_in_a_cycle_and_a_falling_one_does_not() {
    let smallest = |method: &BoRep| {
        let mut late: Vec<f64> = Vec::new();
        let plane = Plane { scale: 1.0 };
        solve(method, &plane, (&Plane::START, &[0.0, 0.0]), &Samples::whole(), 5000, |s| {
            if s.step > 4000 {
                late.push(Plane::slope(&s.x));
            }
            false
        });
        late.sort_by(f64::total_cmp);
        late[late.len() / 2]
    };
    let (constant, falling) =
        (smallest(&method(0.1, 50)), smallest(&BoRep { decay: 0.25, ..method(0.1, 50) }));
    assert!((0.5..0.8).contains(&constant), "{constant}");
    assert!((0.05..0.12).contains(&falling), "{falling}");
}

#[test]
fn a_step_has_the_length_eta() {
    let method = method(0.1, 5);
    let plane = Plane { scale: 1.0 };
    let mut before = Plane::START.to_vec();
    solve(&method, &plane, (&Plane::START, &[0.0, 0.0]), &Samples::whole(), 300, |s| {
        let length = (s.x[0] - before[0]).hypot(s.x[1] - before[1]);
        assert!(s.direction[0].hypot(s.direction[1]) <= 1e-3 || (length - 0.1).abs() < 1e-6);
        before.clone_from(&s.x);
        false
    });
}

#[test]
fn the_scale_of_the_upper_level_does_not_matter() {
    let path = |scale: f64| {
        let mut path = Vec::new();
        let plane = Plane { scale };
        solve(&method(0.1, 5), &plane, (&Plane::START, &[0.0, 0.0]), &Samples::whole(), 100, |s| {
            path.extend_from_slice(&s.x);
            false
        });
        path
    };
    near(&path(1.0), &path(1000.0), 1e-9);
}

#[test]
fn without_a_gradient_nothing_moves() {
    let end =
        solve(&method(0.1, 5), &cosh(), (&[0.0, 0.0], &[0.0, 0.0]), &Samples::whole(), 20, |_| {
            false
        });
    assert_eq!((end.x, end.z, end.direction), (vec![0.0; 2], vec![0.0; 2], vec![0.0; 2]));
}

#[test]
fn the_lower_level_moves_at_its_time_and_within_its_ball() {
    let plane = Plane { scale: 1.0 };
    let whole = Samples::whole();
    for radius in [Some(0.0), Some(0.05), None] {
        let method = BoRep { radius, period: Period::Every { steps: 3 }, ..method(0.1, 5) };
        let mut before: Option<Vec<f64>> = None;
        let mut moves = 0;
        let end = solve(&method, &plane, (&Plane::START, &[0.0, 0.0]), &whole, 31, |s| {
            // After step k (from 0) the state's counter is k + 1.
            let k = s.step - 1;
            if let Some(before) = &before {
                let way = (s.y[0] - before[0]).hypot(s.y[1] - before[1]);
                assert!(k % 3 == 0 || way == 0.0, "moved at step {k}");
                assert!(way <= radius.unwrap_or(f64::INFINITY) * (1.0 + 1e-12));
                moves += usize::from(way > 0.0);
            }
            before = Some(s.y.clone());
            false
        });
        assert_eq!(method.refreshes(&end), 10);
        assert_eq!(moves, if radius == Some(0.0) { 0 } else { 10 });
    }
}

#[test]
fn rates_come_from_the_curvature_of_the_lower_level() {
    let automatic = BoRep { eta: 0.1, ..BoRep::default() };
    let k = first(&automatic, &[0.0, 0.0], 2000).unwrap();
    assert!((140..180).contains(&k), "{k}");
    let plane = Plane { scale: 1.0 };
    let end =
        solve(&automatic, &plane, (&Plane::START, &[0.0, 0.0]), &Samples::whole(), 101, |_| false);
    assert!((automatic.curvature(&end) - 2.0).abs() < 1e-3, "{}", automatic.curvature(&end));
}

#[test]
fn a_refresh_by_drift_follows_the_way_of_x() {
    let drift = |tolerance, lipschitz| BoRep {
        period: Period::Drift { tolerance, lipschitz },
        ..method(0.1, 50)
    };
    let plane = Plane { scale: 1.0 };
    let run = |method: &BoRep| {
        solve(method, &plane, (&Plane::START, &[0.0, 0.0]), &Samples::whole(), 200, |_| false)
    };
    // Known constant 1: every third step of 0.1 exceeds 0.25; the first step of all is free.
    let known = drift(0.25, Some(1.0));
    let end = run(&known);
    assert!((60..=68).contains(&known.refreshes(&end)), "{}", known.refreshes(&end));
    // Found from the refreshes: |A| is 1.28.
    let found = drift(0.25, None);
    let end = run(&found);
    assert!((0.3..1.6).contains(&found.lipschitz(&end)), "{}", found.lipschitz(&end));
    assert!((20..150).contains(&found.refreshes(&end)), "{}", found.refreshes(&end));
    assert!(first(&found, &[0.0, 0.0], 2000).is_some_and(|k| k < 400));
}

#[test]
fn other_upper_steps_solve_a_tame_start_too() {
    let plane = Plane { scale: 1.0 };
    for upper in [Upper::Plain, Upper::Clipped { bound: 1.0 }, Upper::Adam { beta2: 0.999 }] {
        // Steps of Adam do not shrink by themselves.
        let decay = if matches!(upper, Upper::Adam { .. }) { 0.5 } else { 0.0 };
        let method = BoRep { decay, upper, ..method(0.05, 50) };
        let end =
            solve(&method, &plane, (&[1.0, -0.5], &[0.0, 0.0]), &Samples::whole(), 3000, |_| false);
        assert!(Plane::slope(&end.x) < 1e-2, "{upper:?}: {}", Plane::slope(&end.x));
    }
    // From far away the clipped step is bounded by eta times the bound.
    let clipped = BoRep { upper: Upper::Clipped { bound: 1.0 }, ..method(0.1, 5) };
    let end =
        solve(&clipped, &plane, (&Plane::START, &[0.0, 0.0]), &Samples::whole(), 1, |_| false);
    assert!(((end.x[0] - 10.0).hypot(end.x[1] + 8.0) - 0.1).abs() < 1e-12);
}

#[test]
fn best_mean_and_convergence() {
    let method = BoRep { mean_from: Some(1000), tolerance: 0.5, decay: 0.5, ..method(1.0, 50) };
    let plane = Plane { scale: 1.0 };
    let mut tail = Vec::new();
    let end = solve(&method, &plane, (&Plane::START, &[0.0, 0.0]), &Samples::whole(), 3000, |s| {
        if s.step > 1000 {
            tail.push(s.x[0]);
        }
        false
    });
    let mean = method.mean(&end).unwrap();
    assert!((mean[0] - tail.iter().sum::<f64>() / 2000.0).abs() < 1e-10);
    let (mean, best) = (Plane::slope(mean), Plane::slope(method.best(&end)));
    assert!(mean < 0.1 && best < 2.0, "{mean} {best}");
    assert!(method.converged(&end));
    assert!(!BoRep { tolerance: 0.0, ..method }.converged(&end));
}

#[test]
fn epochs_refine_better_than_as_many_noisy_steps() {
    assert_eq!(Refinement::Epochs { epochs: 3, steps: 20, radius: None }.gradients(), 140);
    // Noise of size one on a quadratic: averages and falling rates leave less of it.
    let noise = |t: usize| if (t * 7919) % 13 < 6 { 1.0 } else { -6.0 / 7.0 };
    let refine = |how: Refinement| how.refine(&[10.0], 0.4, |y, t| vec![y[0] - 3.0 + noise(t)])[0];
    let epochs = refine(Refinement::Epochs { epochs: 5, steps: 20, radius: None });
    let steps = refine(Refinement::Steps { count: 620 });
    assert!((epochs - 3.0).abs() < 0.05 && (epochs - 3.0).abs() < (steps - 3.0).abs());
    // The ball around the first start keeps the first epoch near.
    let near = refine(Refinement::Epochs { epochs: 1, steps: 20, radius: Some(0.5) });
    assert!((near - 9.5).abs() < 0.5 && near >= 9.5 - 1e-12, "{near}");
}
