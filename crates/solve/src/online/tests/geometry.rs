//! Sets, projections in other norms, the Hedge.

use lisse_array::{DType, Stream};
use proptest::prelude::*;

use super::super::{Domain, Hedge, Metric, distance_squared, dot};
use super::near;

fn domains() -> Vec<Domain> {
    vec![
        Domain::Ball { radius: 0.7 },
        Domain::Box { low: -0.3, high: 0.5 },
        Domain::Simplex,
        Domain::L1Ball { radius: 0.6 },
        Domain::product([
            (1, Domain::Box { low: 0.1, high: 0.2 }),
            (2, Domain::Simplex),
            (1, Domain::Ball { radius: 0.4 }),
        ]),
    ]
}

/// `a I + sum v v^T`
fn metric(seed: u64, terms: u64, weight: f64) -> Metric {
    let mut metric = Metric::identity(4, 0.5);
    for t in 0..terms {
        let v = Stream::new(seed).at(t).normal(&[4], DType::F64).to_vec::<f64>();
        metric.add(weight, &v);
    }
    metric
}

#[test]
fn a_projection_in_another_norm() {
    let metric = Metric::new(vec![4.0, 1.0, 1.0, 1.0], 2).unwrap();
    let ball = Domain::Ball { radius: 1.0 };
    let mut x = vec![2.0, -1.0];
    metric.project(&ball, &mut x).unwrap();
    assert!((x[0] - 1.0).abs() < 1e-14 && x[1].abs() < 1e-14, "{x:?}");
    // The multiplier: H (y - x) = 3 x.
    let mut pull = vec![0.0; 2];
    metric.apply(&[2.0 - x[0], -1.0 - x[1]], &mut pull);
    near(pull[0] / x[0], 3.0);
    let mut plain = [2.0, -1.0];
    ball.project(&mut plain);
    near(plain[0], 0.894427191);
    near(plain[1], -0.4472135955);
}

#[test]
fn rank_one_terms_keep_the_factor() {
    let grown = metric(3, 12, 0.8);
    let fresh = Metric::new(grown.matrix().to_vec(), 4).unwrap();
    let b = [0.3, -1.0, 2.0, 0.1];
    let (mut x, mut y) = (b.to_vec(), b.to_vec());
    grown.solve(&mut x);
    fresh.solve(&mut y);
    assert!(distance_squared(&x, &y).sqrt() < 1e-13);
    let mut back = vec![0.0; 4];
    grown.apply(&x, &mut back);
    assert!(distance_squared(&back, &b).sqrt() < 1e-12);
    assert!((grown.dual_norm_squared(&b) - dot(&b, &x)).abs() < 1e-12);
    let text = Metric::new(vec![1.0, 2.0, 2.0, 1.0], 2).unwrap_err().to_string();
    assert!(text.contains("not positive definite: pivot 1"), "{text}");
}

#[test]
fn diameters_and_starts() {
    let stated = [1.4, 1.6, 2f64.sqrt(), 1.2, (0.01f64 + 2.0 + 0.64).sqrt()];
    for (domain, diameter) in domains().iter().zip(stated) {
        domain.validate(4).unwrap();
        near(domain.diameter(4), diameter);
        assert!(domain.contains(&domain.start(4), 1e-15), "{domain:?}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let text = |domain: Domain| domain.validate(3).unwrap_err().to_string();
    assert!(text(Domain::Ball { radius: -1.0 }).contains("`domain.radius` is out of range"));
    assert!(text(Domain::Box { low: 1.0, high: 1.0 }).contains("above `low`"));
    assert!(text(Domain::product([(2, Domain::Simplex)])).contains("sum to the 3 coordinates"));
    assert!(Domain::Simplex.validate(0).is_err());
}

proptest! {
    /// A projection is feasible, and no feasible point is in an obtuse direction: `<x - y, H (z - x)> >= 0`.
    #[test]
    fn projections_satisfy_their_conditions(seed in 0u64..1000, size in 0.1..5.0f64, terms in 0u64..8) {
        let stream = Stream::new(seed).child("points");
        let metric = metric(seed, terms, 1.5);
        for (i, domain) in domains().iter().enumerate() {
            let y: Vec<f64> = stream.at(i as u64).normal(&[4], DType::F64).to_vec::<f64>()
                .iter().map(|v| size * v).collect();
            let mut x = y.clone();
            metric.project(domain, &mut x).unwrap();
            prop_assert!(domain.contains(&x, 1e-12));
            prop_assert!(metric.residual(domain, &y, &x) < 1e-9, "{:?}: {}", domain, metric.residual(domain, &y, &x));
            let difference: Vec<f64> = x.iter().zip(&y).map(|(a, b)| a - b).collect();
            let mut gradient = vec![0.0; 4];
            metric.apply(&difference, &mut gradient);
            // The least of <gradient, z> over the set is at x.
            prop_assert!(dot(&gradient, &x) <= domain.least(&gradient) + 1e-8 * (1.0 + dot(&gradient, &gradient).sqrt()));
        }
    }

    /// In the norm of a multiple of I it is the Euclidean projection, which is idempotent.
    #[test]
    fn with_the_identity_it_is_euclidean(seed in 0u64..1000, size in 0.1..5.0f64) {
        for (i, domain) in domains().iter().enumerate() {
            let y: Vec<f64> = Stream::new(seed).at(i as u64).normal(&[4], DType::F64).to_vec::<f64>()
                .iter().map(|v| size * v).collect();
            let (mut x, mut plain) = (y.clone(), y);
            Metric::identity(4, 2.5).project(domain, &mut x).unwrap();
            domain.project(&mut plain);
            prop_assert!(distance_squared(&x, &plain).sqrt() < 1e-12);
            let mut again = plain.clone();
            domain.project(&mut again);
            prop_assert!(distance_squared(&again, &plain).sqrt() < 1e-15);
        }
    }

    #[test]
    fn weights_are_a_distribution_and_ignore_constants(
        losses in proptest::collection::vec(proptest::collection::vec(-3.0..3.0f64, 4), 1..20), shift in -50.0..50.0f64
    ) {
        let mut plain = Hedge::constant(&[0.4, 0.3, 0.2, 0.1], 0.3).unwrap();
        let mut shifted = plain.clone();
        for row in &losses {
            let moved: Vec<f64> = row.iter().map(|l| l + shift).collect();
            let p = plain.predict(row).unwrap().to_vec();
            let q = shifted.predict(&moved).unwrap();
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-14 && p.iter().all(|w| *w >= 0.0));
            prop_assert!(distance_squared(&p, q).sqrt() < 1e-12);
            plain.update(row).unwrap();
            shifted.update(&moved).unwrap();
        }
    }
}

/// A constant added to losses and guesses alike leaves the adaptive rate alone too.
#[test]
fn adaptive_rates_ignore_constants() {
    let (mut plain, mut shifted) = (Hedge::new(3, 0.5).unwrap(), Hedge::new(3, 0.5).unwrap());
    for t in 0..30 {
        let losses: Vec<f64> = (0..3).map(|i| f64::from(t * 7 + i * 3).sin()).collect();
        let guess: Vec<f64> = (0..3).map(|i| f64::from(t * 5 + i).cos()).collect();
        let up = |v: &[f64]| v.iter().map(|x| x + 10.0).collect::<Vec<f64>>();
        plain.predict(&guess).unwrap();
        shifted.predict(&up(&guess)).unwrap();
        assert!(distance_squared(plain.weights(), shifted.weights()) < 1e-24);
        plain.update(&losses).unwrap();
        shifted.update(&up(&losses)).unwrap();
        near(plain.rate(), shifted.rate());
    }
    assert!(plain.rate() < 0.5);
}
