//! Environments: losses against array derivatives, comparators, draws.

use std::sync::Arc;

use lisse_array::{Array, DType, Stream, check, value_and_grad};

use super::super::recipes::array_loss;
use super::super::{
    Cost, DataStream, Domain, Drift, Environment, Link, Loss, Order, Pattern, Rows, SeaStream, dot,
};

const LINKS: [Link; 4] = [Link::Logistic, Link::Squared, Link::Absolute, Link::Hinge];
const BALL: Domain = Domain::Ball { radius: 2.0 };

fn examples(link: Link) -> (Array, Array) {
    let stream = Stream::new(5);
    let inputs = stream.child("x").normal(&[40, 3], DType::F64);
    let targets = stream.child("y").normal(&[40], DType::F64) + inputs.index(1, 0);
    (inputs, if link.is_margin() { targets.sign() } else { targets })
}

fn stream(link: Link, batch: usize, order: Order, drift: Drift, l2: f64) -> DataStream {
    let (inputs, targets) = examples(link);
    let rows = Arc::new(Rows::new(&inputs, &targets).unwrap());
    DataStream::new(rows, BALL, link, batch, order, drift, l2, 100, 11).unwrap()
}

/// Values and gradients of rounds equal those of arrays, whose derivatives of orders 1 and 2 equal finite differences.
#[test]
fn rounds_have_the_derivatives_of_their_losses() {
    for link in LINKS {
        let (inputs, targets) = examples(link);
        let data = stream(link, 0, Order::Drawn, Drift::None, 0.1);
        let loss = data.example_loss(1);
        let x = Array::from_slice(&[0.4, -0.3, 0.9], &[3]);
        let f = |x: &Array| array_loss(&inputs, &targets, link, 0.1, x);
        let (value, gradient) = value_and_grad(f)(&x);
        assert!((loss.value(&[0.4, -0.3, 0.9]) - value.item()).abs() < 1e-13, "{link:?}");
        let mut g = vec![0.0; 3];
        loss.gradient(&[0.4, -0.3, 0.9], &mut g);
        for (a, b) in g.iter().zip(gradient.to_vec::<f64>()) {
            assert!((a - b).abs() < 1e-13, "{link:?}");
        }
        check::gradient(f, &x, 2).unwrap();
    }
}

/// The smoothed losses: derivatives against differences, and where they lie.
#[test]
fn smoothed_links() {
    for link in LINKS {
        for z in [-2.1, -0.3, 0.2, 0.95, 1.05, 3.0] {
            for width in [0.5, 1e-2] {
                let (value, slope, curvature) = link.smoothed(z, 1.0, width);
                let h = 1e-5 * width.max(1e-2);
                let (up, down) =
                    (link.smoothed(z + h, 1.0, width), link.smoothed(z - h, 1.0, width));
                assert!(((up.0 - down.0) / (2.0 * h) - slope).abs() < 1e-6, "{link:?} {z}");
                assert!(((up.1 - down.1) / (2.0 * h) - curvature).abs() < 1e-4 * (1.0 + curvature));
                let below = link.value(z, 1.0) - value;
                let most = if link.is_smooth() { 1e-15 } else { width };
                assert!(below >= -1e-15 && below <= most, "{link:?} {z}: {below}");
                let (low, high) = link.slopes(z, 1.0);
                assert!(low <= high && (low..=high).contains(&link.slope(z, 1.0)));
            }
        }
    }
    assert_eq!(Link::Absolute.slopes(1.0, 1.0), (-1.0, 1.0));
    assert_eq!(Link::Hinge.slopes(1.0, 1.0), (-1.0, 0.0));
}

/// A turned stream is the turned problem: value at `R x` in round `t` is that at `x` in round 1.
#[test]
fn drifts_turn_and_flip() {
    let theta = 0.7;
    let data = stream(Link::Logistic, 0, Order::Drawn, Drift::Rotate { theta }, 0.0);
    let x = [0.4, -0.3, 0.9];
    let (sin, cos) = (theta * 4.0).sin_cos();
    let turned = [cos * x[0] - sin * x[1], sin * x[0] + cos * x[1], x[2]];
    let (first, fifth) = (data.example_loss(1), data.example_loss(5));
    assert!((first.value(&x) - fifth.value(&turned)).abs() < 1e-14);
    let best = data.best_at(5).unwrap();
    let mut g = vec![0.0; 3];
    fifth.gradient(&best, &mut g);
    assert!(dot(&g, &best) - BALL.least(&g) < 1e-9, "not the minimum of its round");
    let flips = stream(Link::Squared, 0, Order::Drawn, Drift::Flip { period: 3 }, 0.0);
    let opposite: Vec<f64> = x.iter().map(|v| -v).collect();
    assert!(
        (flips.example_loss(3).value(&x) - flips.example_loss(4).value(&opposite)).abs() < 1e-13
    );
    let corrupt = stream(Link::Squared, 0, Order::Drawn, Drift::Corrupt { share: 0.3 }, 0.0);
    let hit = (1..=1000)
        .filter(|t| corrupt.example_loss(*t).value(&x) != corrupt.example_loss(1).value(&x));
    let hit = hit.count();
    assert!((240..360).contains(&hit) || (640..760).contains(&hit), "{hit}");
}

/// A pass takes every row once; draws depend on the round alone.
#[test]
fn orders() {
    let rows_of = |data: &DataStream, rounds: std::ops::RangeInclusive<u64>| {
        let mut all: Vec<u64> =
            rounds.map(|t| data.example_loss(t).value(&[1.0, 0.5, 0.2]).to_bits()).collect();
        all.sort_unstable();
        all
    };
    let shuffled = stream(Link::Squared, 1, Order::Shuffled, Drift::None, 0.0);
    let sequential = stream(Link::Squared, 1, Order::Sequential, Drift::None, 0.0);
    let drawn = stream(Link::Squared, 1, Order::Drawn, Drift::None, 0.0);
    assert_eq!(rows_of(&shuffled, 1..=40), rows_of(&sequential, 1..=40));
    assert_eq!(rows_of(&shuffled, 41..=80), rows_of(&sequential, 1..=40));
    assert_ne!(rows_of(&drawn, 1..=40), rows_of(&sequential, 1..=40));
    assert_eq!(
        rows_of(&drawn, 7..=7),
        rows_of(&stream(Link::Squared, 1, Order::Drawn, Drift::None, 0.0), 7..=7)
    );
    // Past the planned rounds passes go on.
    assert_eq!(rows_of(&shuffled, 401..=440), rows_of(&sequential, 1..=40));
}

/// No feasible step lowers the sum of the rounds below the best fixed point's.
#[test]
fn the_best_fixed_point_is_best() {
    for link in LINKS {
        for drift in [Drift::None, Drift::Rotate { theta: 0.2 }, Drift::Flip { period: 7 }] {
            for batch in [0, 4] {
                let data = stream(link, batch, Order::Shuffled, drift, 0.0);
                let best = data.best_fixed(25).unwrap();
                let mean =
                    |x: &[f64]| (1..=25).map(|t| data.example_loss(t).value(x)).sum::<f64>() / 25.0;
                assert!((mean(&best.point) - best.value).abs() < 1e-12);
                assert!(
                    BALL.contains(&best.point, 1e-12) && best.gap < 1e-5,
                    "{link:?} {}",
                    best.gap
                );
                for i in 0..30 {
                    let step = Stream::new(i).ball(&[3], DType::F64).to_vec::<f64>();
                    let size = 10f64.powi(-(i as i32) / 6);
                    let mut x: Vec<f64> =
                        best.point.iter().zip(step).map(|(b, s)| b + size * s).collect();
                    BALL.project(&mut x);
                    assert!(mean(&x) >= best.value - best.gap - 1e-12, "{link:?} {drift:?}");
                }
            }
        }
    }
}

/// Proximal steps of single rows and batches against random feasible points.
#[test]
fn proximal_steps_are_minima() {
    for link in LINKS {
        for batch in [1, 3] {
            for l2 in [0.0, 0.3] {
                let data = stream(link, batch, Order::Drawn, Drift::Rotate { theta: 0.4 }, l2);
                for t in 1..6 {
                    let loss = data.example_loss(t);
                    for domain in
                        [Domain::Ball { radius: 0.8 }, Domain::Box { low: -0.2, high: 0.5 }]
                    {
                        let v = [0.5, -0.2, 0.3];
                        let mut x = vec![0.0; 3];
                        loss.prox(&domain, &v, 0.8, &mut x).unwrap();
                        assert!(domain.contains(&x, 1e-12));
                        let value =
                            |x: &[f64]| loss.value(x) + super::super::distance_squared(x, &v) / 1.6;
                        for i in 0..40 {
                            let step = Stream::new(i).at(t).ball(&[3], DType::F64).to_vec::<f64>();
                            let size = 10f64.powi(-(i as i32) / 8);
                            let mut y: Vec<f64> =
                                x.iter().zip(step).map(|(b, s)| b + size * s).collect();
                            domain.project(&mut y);
                            assert!(
                                value(&y) >= value(&x) - 1e-10,
                                "{link:?} batch {batch} {domain:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// The constants that learners are told hold at random points.
#[test]
fn settings_bound_what_they_say() {
    for link in LINKS {
        let data = stream(link, 1, Order::Drawn, Drift::None, 0.2);
        let setting = data.setting();
        for t in 1..60 {
            let x: Vec<f64> = Stream::new(t)
                .ball(&[3], DType::F64)
                .to_vec::<f64>()
                .iter()
                .map(|v| 2.0 * v)
                .collect();
            let mut g = vec![0.0; 3];
            data.example_loss(t).gradient(&x, &mut g);
            assert!(dot(&g, &g).sqrt() <= setting.gradient_bound + 1e-12);
        }
        assert_eq!(setting.strong_convexity, Some(0.2));
        assert_eq!(setting.smoothness.is_some(), link.is_smooth());
    }
}

#[test]
fn made_up_streams_know_their_difficulty() {
    let domain = Domain::Ball { radius: 1.5 };
    let sea =
        |cost, mean, noise| SeaStream::new(domain.clone(), 4, cost, mean, 0.8, noise, 3).unwrap();
    for cost in [Cost::Linear, Cost::Quadratic] {
        for pattern in [
            Pattern::Still,
            Pattern::Circle { theta: 0.3 },
            Pattern::Switch { period: 5 },
            Pattern::Signs,
        ] {
            let stream = sea(cost, pattern, 0.5);
            for t in 1..30 {
                let (mean, v) = (stream.mean(t), stream.vector(t));
                assert!((super::super::distance_squared(&mean, &v) - 0.25).abs() < 1e-12);
                assert!((dot(&mean, &mean) - 0.64).abs() < 1e-12);
                assert_eq!(stream.difficulty(t).0, 0.25);
                let x = domain_point(t);
                let mut g = vec![0.0; 4];
                stream.round(t).gradient(&x, &mut g);
                assert!(dot(&g, &g).sqrt() <= stream.setting().gradient_bound + 1e-12);
            }
            let best = stream.best_fixed(29).unwrap();
            let mean = |x: &[f64]| (1..=29).map(|t| stream.round(t).value(x)).sum::<f64>() / 29.0;
            assert!((mean(&best.point) - best.value).abs() < 1e-9, "{cost:?} {pattern:?}");
            for t in 0..30 {
                assert!(mean(&domain_point(t)) >= best.value - 1e-9);
            }
        }
    }
    let still = sea(Cost::Linear, Pattern::Still, 0.5);
    assert!(
        (1..50).all(|t| still.difficulty(t + 1).1 == 0.0)
            && (still.difficulty(1).1 - 0.64).abs() < 1e-12
    );
    let switch = sea(Cost::Linear, Pattern::Switch { period: 5 }, 0.0);
    let drifts: f64 = (2..=21).map(|t| switch.difficulty(t).1).sum();
    assert!((drifts - 4.0 * 4.0 * 0.64).abs() < 1e-12);
}

/// A point of the ball of radius 1.5.
fn domain_point(t: u64) -> Vec<f64> {
    let unit = Stream::new(t).child("point").ball(&[4], DType::F64).to_vec::<f64>();
    unit.iter().map(|v| 1.5 * v).collect()
}

#[test]
fn what_does_not_fit_is_named() {
    let (inputs, targets) = examples(Link::Squared);
    let rows = Arc::new(Rows::new(&inputs, &targets).unwrap());
    let refused = |domain: Domain, link, batch, drift, part: &str| {
        let rows = Arc::clone(&rows);
        let made = DataStream::new(rows, domain, link, batch, Order::Drawn, drift, 0.0, 10, 0);
        let text = made.unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    refused(BALL, Link::Squared, 41, Drift::None, "at most the number of rows, 40");
    refused(BALL, Link::Logistic, 1, Drift::None, "-1 and 1 for this loss");
    refused(BALL, Link::Squared, 1, Drift::Flip { period: 0 }, "`drift.period`");
    let cube = Domain::Box { low: -1.0, high: 1.0 };
    refused(cube, Link::Squared, 1, Drift::Flip { period: 2 }, "a ball");
    let nan = Array::full(&[40], f64::NAN, DType::F64);
    let text = Rows::new(&inputs, &nan).unwrap_err().to_string();
    assert!(text.contains("the targets of round 1 is not finite"), "{text}");
    assert!(Rows::new(&targets, &targets).is_err());
    assert!(
        SeaStream::new(BALL, 1, Cost::Linear, Pattern::Circle { theta: 0.1 }, 1.0, 0.0, 0).is_err()
    );
    assert!(SeaStream::new(BALL, 2, Cost::Linear, Pattern::Still, 0.0, 0.0, 0).is_err());
}

/// Sums over rounds do not depend on the number of threads.
#[test]
fn comparators_are_the_same_on_one_thread() {
    let best = || {
        let data = stream(Link::Logistic, 0, Order::Drawn, Drift::Rotate { theta: 0.01 }, 0.0);
        data.best_fixed(90).unwrap()
    };
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    assert_eq!(pool(1).install(best), pool(2).install(best));
}
