use super::*;

#[test]
fn soft_thresholds_divisions_and_boxes() {
    let (x, g) = ([1.0, -0.3, 0.05], [0.5, -1.0, 0.2]);
    let l1 = Regularizer::L1 { weight: 0.4 };
    let step =
        |h: Regularizer, domain| stepped(&geometry(Mirror::Euclidean, h, domain), &x, &g, 0.2);
    near(&step(l1.clone(), Domain::Whole), &[0.82, -0.02, 0.0], 1e-15);
    let net = Regularizer::ElasticNet { l1: 0.4, l2: 0.5 };
    near(&step(net, Domain::Whole), &[0.7454545, -0.0181818, 0.0], 5e-8);
    let boxed = Domain::Box { low: -0.5, high: 0.5 };
    near(&step(l1, boxed), &[0.5, -0.02, 0.0], 1e-15);
}

#[test]
fn multiplicative_weights() {
    let entropy = geometry(Mirror::Entropy, Regularizer::None, Domain::Simplex);
    let x = stepped(&entropy, &[0.2, 0.3, 0.5], &[1.0, 0.0, -1.0], 0.5);
    near(&x, &[0.0973824903, 0.2408348748, 0.6617826348], 5e-11);
    // A weight that underflows comes back.
    let mut point = entropy.point(&[0.5, 0.5]);
    entropy.step(&mut point, &[2000.0, 0.0], 1.0);
    assert_eq!(point.x, [0.0, 1.0]);
    entropy.step(&mut point, &[-2000.0, 0.0], 1.0);
    near(&point.x, &[0.5, 0.5], 1e-12);
}

#[test]
fn the_power_map() {
    let power = geometry(Mirror::Power { p: 1.5 }, Regularizer::None, Domain::Whole);
    let x = stepped(&power, &[0.6, -0.8], &[1.0, 2.0], 0.1);
    near(&x, &[0.5355347843, -0.8763296470], 5e-11);
    assert_eq!(stepped(&power, &[0.0, 0.0], &[0.0, 0.0], 0.1), [0.0, 0.0]);
}

#[test]
fn gradients_of_maps_invert_and_are_derivatives() {
    let stream = Stream::new(3);
    let maps = [
        Mirror::Euclidean,
        Mirror::PNorm { q: 1.5 },
        Mirror::PNorm { q: 2.0 },
        Mirror::Diagonal { b: vec![0.5, 2.0, 1.0, 7.0] },
        Mirror::Power { p: 1.1 },
        Mirror::Power { p: 1.5 },
        Mirror::Power { p: 2.0 },
    ];
    for (m, map) in maps.iter().enumerate() {
        for i in 0..50 {
            let x = stream.at(m as u64).at(i).normal(&[4], DType::F64).to_vec::<f64>();
            let z = map.gradient(&x);
            near(&map.gradient_inverse(&z), &x, 1e-14 * map.norm(&x).max(1.0) * 4.0);
            let h = 1e-6;
            for j in 0..4 {
                let mut ahead = x.clone();
                ahead[j] += h;
                let mut behind = x.clone();
                behind[j] -= h;
                let slope = (map.value(&ahead) - map.value(&behind)) / (2.0 * h);
                assert!((slope - z[j]).abs() < 1e-6 * (1.0 + map.value(&x) * 1e2), "{map:?}");
            }
        }
    }
    let simplex = [0.1, 0.6, 0.3];
    near(&Mirror::Entropy.gradient_inverse(&Mirror::Entropy.gradient(&simplex)), &simplex, 1e-15);
}

#[test]
fn divergences_bound_norms_from_above() {
    // Uniform convexity of the power map, on 10000 pairs for each of five moments.
    let stream = Stream::new(11);
    for p in [1.1, 1.25, 1.5, 1.75, 2.0] {
        let map = Mirror::Power { p };
        let q = p / (p - 1.0);
        for i in 0..10_000 {
            let v = stream.at(i).normal(&[6], DType::F64).to_vec::<f64>();
            let (x, y) = v.split_at(3);
            let gap: f64 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
            let bound = gap.sqrt().powf(q) / q;
            assert!(map.divergence(x, y) >= bound * (1.0 - 1e-9) - 1e-12, "{p} {x:?} {y:?}");
        }
    }
    // Strong convexity of the others, in their norms.
    for i in 0..2000 {
        let v = stream.at(i).normal(&[6], DType::F64).to_vec::<f64>();
        let (x, y) = v.split_at(3);
        let strong = |map: &Mirror, x: &[f64], y: &[f64]| {
            let d: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - y).collect();
            assert!(map.divergence(x, y) >= 0.5 * map.norm(&d).powi(2) - 1e-12, "{map:?}");
        };
        strong(&Mirror::PNorm { q: 1.3 }, x, y);
        strong(&Mirror::Diagonal { b: vec![0.3, 1.0, 4.0] }, x, y);
        strong(&Mirror::Entropy, &maps::softmax(x), &maps::softmax(y));
    }
}

/// Every exact step is least: no nearby feasible point has a smaller `h + <g, x> + D / eta`.
#[test]
fn steps_minimise_what_they_say() {
    let stream = Stream::new(5);
    let mirrors = [
        Mirror::Euclidean,
        Mirror::Entropy,
        Mirror::PNorm { q: 1.4 },
        Mirror::Diagonal { b: vec![0.5, 2.0, 1.0, 3.0] },
        Mirror::Power { p: 1.4 },
    ];
    let regularizers = [
        Regularizer::None,
        Regularizer::L1 { weight: 0.3 },
        Regularizer::SquaredL2 { weight: 0.7 },
        Regularizer::ElasticNet { l1: 0.3, l2: 0.7 },
        Regularizer::GroupLasso { weight: 0.4, blocks: vec![1, 3] },
        Regularizer::Nuclear { weight: 0.4, rows: 2, columns: 2 },
        Regularizer::NegativeEntropy { weight: 0.5 },
    ];
    let domains = [
        Domain::Whole,
        Domain::Box { low: -0.4, high: 0.5 },
        Domain::Ball { radius: 0.6 },
        Domain::Simplex,
    ];
    let mut tested = 0;
    for mirror in &mirrors {
        for regularizer in &regularizers {
            for domain in &domains {
                let made = Geometry::new(mirror.clone(), regularizer.clone(), domain.clone());
                if let Ok(geometry) = made {
                    tested += 1;
                    check_minimal(&geometry, &stream.at(tested));
                }
            }
        }
    }
    assert_eq!(tested, 20 + 2 + 12 + 8 + 3);
}

fn check_minimal(geometry: &Geometry, stream: &Stream) {
    let draw =
        |name: &str, i: u64| stream.child(name).at(i).normal(&[4], DType::F64).to_vec::<f64>();
    for i in 0..20 {
        let mut start: Vec<f64> = draw("start", i).iter().map(|v| 0.5 * v).collect();
        if *geometry.domain() == Domain::Simplex {
            start = maps::softmax(&start);
        }
        geometry.domain().project(&mut start);
        let (g, eta) = (draw("gradient", i), 0.3);
        let objective = |x: &[f64]| {
            let linear: f64 = g.iter().zip(x).map(|(g, x)| g * x).sum();
            geometry.regularizer().value(x) + linear + geometry.mirror().divergence(x, &start) / eta
        };
        let best = stepped(geometry, &start, &g, eta);
        assert!(geometry.domain().contains(&best), "{geometry:?} {best:?}");
        let least = objective(&best);
        for k in 0..100 {
            let size = 10f64.powi(-((k % 5) as i32));
            let mut other: Vec<f64> =
                best.iter().zip(draw("move", i * 100 + k)).map(|(b, d)| b + size * d).collect();
            geometry.domain().project(&mut other);
            let value = objective(&other);
            // NaN: the entropy of a point with a negative entry never comes up, the simplex has none.
            assert!(value >= least - 1e-9, "{geometry:?}: {value} below {least}");
        }
    }
}

#[test]
fn projections_are_nearest() {
    let mut v = vec![0.9, 0.8, -0.3];
    Domain::Simplex.project(&mut v);
    near(&v, &[0.55, 0.45, 0.0], 1e-15);
    let mut v = vec![3.0, -4.0];
    Domain::Ball { radius: 1.0 }.project(&mut v);
    near(&v, &[0.6, -0.8], 1e-15);
}

#[test]
fn impossible_triples_say_what_is_possible() {
    let message = |m, h, x| Geometry::new(m, h, x).unwrap_err().to_string();
    let text = message(Mirror::Entropy, Regularizer::None, Domain::Whole);
    assert!(text.contains("simplex") && text.contains("negative-entropy"), "{text}");
    let group = Regularizer::GroupLasso { weight: 1.0, blocks: vec![2] };
    let text = message(Mirror::Euclidean, group, Domain::Box { low: 0.0, high: 1.0 });
    assert!(text.contains("group-lasso") && text.contains("ball"), "{text}");
    let l2 = Regularizer::SquaredL2 { weight: 1.0 };
    assert!(Geometry::new(Mirror::PNorm { q: 1.5 }, l2, Domain::Whole).is_err());
}
