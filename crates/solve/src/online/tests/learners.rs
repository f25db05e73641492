//! Runs with known numbers, and learners that must coincide.

use super::super::{
    Absolute, Bound, Domain, Ensemble, Hedge, Hint, Learner, LearnerConfig, Loss, Map, Meta,
    OnlineLearner, OptimisticOmd, Penalty, Setting, Steps, grid,
};
use super::{circle_setting, near, on_circle, run_on_circle};

const OOMD: &str = r#"{"name": "oomd"}"#;

fn starts(points: &[Vec<f64>], stated: [[f64; 2]; 4]) {
    for (point, row) in points.iter().zip(stated) {
        near(point[0], row[0]);
        near(point[1], row[1]);
    }
}

#[test]
fn five_rounds_of_convex_steps() {
    let (points, ledger) = on_circle(OOMD, Hint::Last, 5);
    let stated = [
        [0.0, 0.0],
        [0.8630852494, 0.0],
        [0.4334903098, 0.2490661689],
        [0.7207732236, 0.3654321643],
    ];
    starts(&points, stated);
    near(ledger.loss, 0.6371691643);
    near(ledger.variation, 2.0292072116);
}

#[test]
fn five_rounds_of_strongly_convex_steps() {
    let (points, ledger) = on_circle(r#"{"name": "oomd-sc"}"#, Hint::Last, 5);
    let stated =
        [[0.0, 0.0], [1.0, 0.0], [0.7663380670, 0.4432803100], [0.8323441577, 0.3416824214]];
    starts(&points, stated);
    near(ledger.loss, 0.6134379410);
}

#[test]
fn five_rounds_of_exp_concave_steps() {
    let (points, ledger) = on_circle(r#"{"name": "oomd-exp"}"#, Hint::Last, 5);
    let stated =
        [[0.0, 0.0], [1.0, 0.0], [0.5864374723, 0.5003145270], [0.9670702214, 0.2545096989]];
    starts(&points, stated);
    near(ledger.loss, 0.6856786188);
}

/// Losses of all learners after 100 and 1000 rounds.
#[test]
fn long_runs() {
    let table = [
        (OOMD, Hint::Last, 10.0705136, 128.1644344),
        (OOMD, Hint::None, 20.1130371, 367.3071801),
        (r#"{"name": "ogd"}"#, Hint::None, 34.8128579, 407.1284827),
        (r#"{"name": "oomd-sc"}"#, Hint::Last, 36.4859917, 399.2789018),
        (r#"{"name": "oomd-exp"}"#, Hint::Last, 16.2274626, 89.4737056),
        (r#"{"name": "ensemble"}"#, Hint::Last, 31.5007749, 354.4143990),
        (r#"{"name": "oftrl"}"#, Hint::Last, 10.7180781, 160.4880059),
        (r#"{"name": "adagrad-norm"}"#, Hint::None, 9.7866638, 366.7813500),
        (r#"{"name": "ogd-sc"}"#, Hint::None, 42.2924149, 407.7945499),
    ];
    for (text, hint, hundred, thousand) in table {
        for (rounds, stated) in [(100, hundred), (1000, thousand)] {
            let (_, ledger) = on_circle(text, hint, rounds);
            assert!((ledger.loss - stated).abs() < 6e-8, "{text}: {} is not {stated}", ledger.loss);
        }
    }
}

/// Without a hint, and with one step size: projected gradient descent, written out.
#[test]
fn no_hint_and_a_constant_step_is_gradient_descent() {
    let (points, _) = on_circle(r#"{"name": "constant", "eta": 0.3}"#, Hint::None, 50);
    let mut x = [0.0, 0.0];
    for (t, point) in points.iter().enumerate() {
        assert_eq!(point, &x);
        let (sin, cos) = (0.3 * t as f64).sin_cos();
        x = [x[0] - 0.3 * (x[0] - 0.9 * cos), x[1] - 0.3 * (x[1] - 0.9 * sin)];
        Domain::Ball { radius: 1.0 }.project(&mut x);
    }
}

/// A list of the self-confident step sizes gives the same run.
#[test]
fn given_steps_reproduce_the_rule() {
    let (points, _) = on_circle(OOMD, Hint::Last, 30);
    let mut learner = OptimisticOmd::new(
        Domain::Ball { radius: 1.0 },
        2,
        Steps::SelfConfident { diameter: 2.0, delta: 1.0, bound: Bound::Known { value: 2.0 } },
    )
    .unwrap();
    let mut etas = Vec::new();
    let mut hint = vec![0.0; 2];
    for t in 0..30 {
        learner.predict(&hint).unwrap();
        etas.push(learner.eta());
        let (sin, cos) = (0.3 * f64::from(t)).sin_cos();
        hint = vec![learner.point()[0] - 0.9 * cos, learner.point()[1] - 0.9 * sin];
        learner.update(&hint, None).unwrap();
    }
    let given = Steps::Given { etas };
    let learner = OptimisticOmd::new(Domain::Ball { radius: 1.0 }, 2, given).unwrap();
    assert_eq!(run_on_circle(Learner::Omd(learner), Hint::Last, 30).0, points);
}

#[test]
fn a_perfect_hint_makes_the_half_steps_one() {
    let steps =
        Steps::SelfConfident { diameter: 2.0, delta: 1.0, bound: Bound::Known { value: 2.0 } };
    let mut learner = OptimisticOmd::new(Domain::Ball { radius: 1.0 }, 3, steps).unwrap();
    for t in 0..20 {
        let g = [f64::from(t).sin(), 0.5, f64::from(t).cos()];
        learner.predict(&g).unwrap();
        learner.update(&g, None).unwrap();
        assert_eq!(learner.anchor(), Some(learner.point()));
    }
}

#[test]
fn implicit_steps_land_on_kinks() {
    let step = |from: f64, domain: Domain| {
        let learner = OptimisticOmd::new(domain, 1, Steps::Constant { eta: 0.25 }).unwrap();
        let mut learner = learner.starting_at(&[from]).unwrap().implicit().unwrap();
        let loss = Absolute(vec![0.5]);
        learner.predict(&[0.0]).unwrap();
        let mut g = [0.0];
        loss.gradient(learner.point(), &mut g);
        learner.update(&g, Some(&loss)).unwrap();
        learner.anchor().unwrap()[0]
    };
    let unit = Domain::Ball { radius: 1.0 };
    near(step(0.9, unit.clone()), 0.65);
    assert_eq!(step(0.6, unit), 0.5);
    // The kink may lie outside.
    assert_eq!(step(0.2, Domain::Box { low: 0.0, high: 0.3 }), 0.3);
}

#[test]
fn entropy_steps_multiply() {
    let learner = OptimisticOmd::new(Domain::Simplex, 3, Steps::Constant { eta: 0.4 }).unwrap();
    let mut learner =
        learner.with_map(Map::Entropy).unwrap().starting_at(&[0.5, 0.3, 0.2]).unwrap();
    learner.predict(&[1.0, 0.0, -1.0]).unwrap();
    for (x, stated) in learner.point().iter().zip([0.3590263105, 0.3213625902, 0.3196110993]) {
        near(*x, stated);
    }
    learner.update(&[0.5, -0.5, 0.0], None).unwrap();
    let anchor = learner.anchor().unwrap();
    for (x, stated) in anchor.iter().zip([0.4195236363, 0.3755134331, 0.2049629306]) {
        near(*x, stated);
    }
}

/// Many rounds against one coordinate: as plain numbers its weight would be 0 for good.
#[test]
fn entropy_comes_back_from_tiny_weights() {
    let learner = OptimisticOmd::new(Domain::Simplex, 2, Steps::Constant { eta: 10.0 }).unwrap();
    let mut learner = learner.with_map(Map::Entropy).unwrap();
    for t in 0..400 {
        learner.predict(&[0.0, 0.0]).unwrap();
        let g = if t < 200 { [1.0, 0.0] } else { [0.0, 1.1] };
        learner.update(&g, None).unwrap();
    }
    assert!(learner.anchor().unwrap()[0] > 0.99, "{:?}", learner.anchor());
}

/// Composite steps against the minimum of `<g, x> + r(x) + |x - v|^2 / (2 eta)` over the set, on a fine grid.
#[test]
fn composite_steps_minimise_with_the_penalty() {
    let penalty = Penalty::ElasticNet { l1: 0.7, l2: 0.5 };
    for domain in [
        Domain::Ball { radius: 0.8 },
        Domain::Box { low: -0.2, high: 0.6 },
        Domain::L1Ball { radius: 0.7 },
    ] {
        let learner = OptimisticOmd::new(domain.clone(), 2, Steps::Constant { eta: 0.5 }).unwrap();
        let mut learner = learner.with_penalty(penalty).unwrap();
        for g in [[-2.5, 0.6], [-3.0, -2.0], [1.0, -1.0], [-4.0, -4.5]] {
            let v = learner.anchor().unwrap().to_vec();
            learner.predict(&[0.0, 0.0]).unwrap();
            learner.update(&g, None).unwrap();
            let value = |x: &[f64]| {
                let near = (x[0] - v[0]).powi(2) + (x[1] - v[1]).powi(2);
                g[0] * x[0] + g[1] * x[1] + penalty.value(x) + near
            };
            let found = value(learner.anchor().unwrap());
            for i in -100..=100 {
                for j in -100..=100 {
                    let x = [f64::from(i) * 0.01, f64::from(j) * 0.01];
                    assert!(!domain.contains(&x, 0.0) || value(&x) >= found - 1e-12, "{domain:?}");
                }
            }
        }
    }
}

#[test]
fn one_learner_in_an_ensemble_is_itself() {
    let text = r#"{"name": "constant", "eta": 0.2}"#;
    let alone = on_circle(text, Hint::Last, 60).0;
    let base = super::config(text).build(&circle_setting(60)).unwrap();
    let hedge = Hedge::new(1, 0.1).unwrap();
    let meta = Meta::Collaborative { switching: 2.0 };
    let ensemble = Ensemble::new(vec![base], hedge, meta).unwrap();
    assert_eq!(run_on_circle(Learner::Ensemble(Box::new(ensemble)), Hint::Last, 60).0, alone);
}

/// Learners of different kinds mix.
#[test]
fn an_ensemble_of_any_learners() {
    let build = |text: &str| super::config(text).build(&circle_setting(60)).unwrap();
    let learners = vec![build(OOMD), build(r#"{"name": "oftrl"}"#), build(r#"{"name": "ons"}"#)];
    let hedge = Hedge::new(3, f64::INFINITY).unwrap();
    let ensemble = Ensemble::new(learners, hedge, Meta::Collaborative { switching: 0.0 }).unwrap();
    let (points, ledger) = run_on_circle(Learner::Ensemble(Box::new(ensemble)), Hint::Last, 200);
    assert!(points.iter().all(|x| Domain::Ball { radius: 1.0 }.contains(x, 1e-12)));
    assert!(ledger.loss < on_circle(r#"{"name": "ons"}"#, Hint::None, 200).1.loss);
}

#[test]
fn grids_double_up_to_their_cap() {
    assert_eq!(grid(0.1, 2.0, 0.125), [0.1, 0.125]);
    let rounded: Vec<i64> =
        grid(0.001f64.sqrt(), 2.0, 0.125).iter().map(|e| (1e4 * e).round() as i64).collect();
    assert_eq!(rounded, [316, 632, 1250]);
    assert_eq!(grid(0.5, 2.0, 0.125), [0.125]);
    assert_eq!(grid(0.0625, 2.0, 0.125), [0.0625, 0.125]);
}

/// The plain form of Ader's rules beside the ensemble.
#[test]
fn ader_is_hedged_gradient_descent() {
    let rounds = 40u32;
    let (points, _) = on_circle(r#"{"name": "ader"}"#, Hint::Last, u64::from(rounds));
    let t = f64::from(rounds);
    let count = (0.5 * (1.0 + 4.0 * t / 7.0).log2()).ceil() as i32 + 1;
    let etas: Vec<f64> = (0..count).map(|i| (3.5 / t).sqrt() * 2f64.powi(i)).collect();
    let alpha = (8.0 / t).sqrt() / 4.0;
    let mut weights: Vec<f64> = (1..=count).map(|i| 1.0 / f64::from(i * (i + 1))).collect();
    let mut xs = vec![[0.0, 0.0]; etas.len()];
    for (round, point) in points.iter().enumerate() {
        let sum: f64 = weights.iter().sum();
        let mix = |k: usize| xs.iter().zip(&weights).map(|(x, w)| w / sum * x[k]).sum::<f64>();
        let x = [mix(0), mix(1)];
        assert!((x[0] - point[0]).abs() + (x[1] - point[1]).abs() < 1e-12, "round {round}");
        let (sin, cos) = (0.3 * round as f64).sin_cos();
        let g = [x[0] - 0.9 * cos, x[1] - 0.9 * sin];
        for ((own, eta), w) in xs.iter_mut().zip(&etas).zip(&mut weights) {
            *w *= (-alpha * (g[0] * (own[0] - x[0]) + g[1] * (own[1] - x[1]))).exp();
            *own = [own[0] - eta * g[0], own[1] - eta * g[1]];
            Domain::Ball { radius: 1.0 }.project(own);
        }
    }
}

/// Sword with one step size plays that learner's extra-gradient points.
#[test]
fn sword_of_one_learner_is_extra_gradient_descent() {
    let text = r#"{"name": "constant", "eta": 0.2}"#;
    let alone = on_circle(text, Hint::Middle, 60).0;
    let base = super::config(text).build(&circle_setting(60)).unwrap();
    let ensemble = Ensemble::new(vec![base], Hedge::new(1, 1.0).unwrap(), Meta::Own).unwrap();
    assert_eq!(run_on_circle(Learner::Ensemble(Box::new(ensemble)), Hint::None, 60).0, alone);
    let (points, ledger) = on_circle(r#"{"name": "sword"}"#, Hint::Last, 200);
    assert!(points.iter().all(|x| Domain::Ball { radius: 1.0 }.contains(x, 1e-12)));
    assert!(ledger.loss < on_circle(r#"{"name": "ogd"}"#, Hint::None, 200).1.loss);
}

#[test]
fn doubling_restarts_after_each_stage() {
    let inner = r#"{"name": "ensemble"}"#;
    let text = format!(r#"{{"name": "doubling", "first": 8, "learner": {inner}}}"#);
    let (points, _) = on_circle(&text, Hint::Last, 30);
    // The first stage is the learner planned for 8 rounds.
    assert_eq!(points[..8], on_circle(inner, Hint::Last, 8).0);
    // Then it is a fresh one, which starts from the centre plus its hint.
    let fresh = super::config(inner).build(&Setting { horizon: 16, ..circle_setting(16) }).unwrap();
    let mut fresh = fresh;
    let (sin, cos) = (0.3f64 * 7.0).sin_cos();
    let hint = [points[7][0] - 0.9 * cos, points[7][1] - 0.9 * sin];
    fresh.predict(&hint).unwrap();
    assert_eq!(points[8], fresh.point());
}

/// The leader of quadratic lower bounds, written out.
#[test]
fn follow_the_leader_follows_the_sum() {
    let (points, ledger) = on_circle(r#"{"name": "oftl-sc"}"#, Hint::None, 40);
    // With curvature 1 and no hint the leader is the mean of the targets so far.
    let mut sum = [0.0, 0.0];
    for (t, point) in points.iter().enumerate() {
        let share = if t == 0 { 0.0 } else { 1.0 / t as f64 };
        assert!((point[0] - share * sum[0]).abs() + (point[1] - share * sum[1]).abs() < 1e-12);
        let (sin, cos) = (0.3 * t as f64).sin_cos();
        sum = [sum[0] + 0.9 * cos, sum[1] + 0.9 * sin];
    }
    assert!(ledger.loss.is_finite());
}

/// Gradients that grow: the guess doubles and the variation begins anew.
#[test]
fn an_unknown_bound_is_learned() {
    let step = |bound: Bound, norms: &[f64]| {
        let steps = Steps::SelfConfident { diameter: 2.0, delta: 1.0, bound };
        let mut learner = OptimisticOmd::new(Domain::Ball { radius: 1.0 }, 1, steps).unwrap();
        for g in norms {
            learner.predict(&[0.0]).unwrap();
            learner.update(&[*g], None).unwrap();
        }
        learner.predict(&[0.0]).unwrap();
        learner.eta()
    };
    near(step(Bound::Running, &[0.5, 3.0]), 2.0 / (1.0 + 36.0 + 9.25f64).sqrt());
    near(step(Bound::Doubling { first: 1.0 }, &[0.5, 3.0]), 2.0 / (1.0 + 64.0f64).sqrt());
    near(step(Bound::Doubling { first: 1.0 }, &[0.5, 1.0]), 2.0 / (1.0 + 4.0 + 1.25f64).sqrt());
}

/// The first step of a learner without any hint knows nothing, of one with a supplied hint all.
#[test]
fn averages_and_supplied_hints() {
    let mut player = super::Player::new(
        LearnerConfig::oomd().build(&circle_setting(9)).unwrap(),
        Hint::Average { window: 2 },
    )
    .unwrap();
    for g in [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]] {
        player.predict().unwrap();
        player.update(&g).unwrap();
    }
    assert_eq!(player.guess(), [0.25, 0.75]);
    let learner = LearnerConfig::oomd().build(&circle_setting(9)).unwrap();
    let mut player = super::Player::new(learner, Hint::Given).unwrap();
    assert!(player.predict().unwrap_err().to_string().contains("supply"));
    player.supply(&[1.0, 0.0]).unwrap();
    near(player.predict().unwrap()[0], -2.0 / 17f64.sqrt());
}
