//! Random streams: their values, their laws, and what they may not depend on.

use lisse_array::random::Law;
use lisse_array::{Array, DType, Stream};
use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc;
use statrs::function::gamma::{gamma_lr, gamma_ur};

const SAMPLES: usize = 40_000;

fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / 2.0_f64.sqrt())
}

fn sample(law: Law, name: &str) -> Vec<f64> {
    Stream::new(2024).child(name).draw(law, &[SAMPLES], DType::F64).to_vec::<f64>()
}

/// The probability of a Kolmogorov-Smirnov distance as large as the sample's, if `cdf` is its law.
fn kolmogorov_smirnov(mut sample: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let distance = sample
        .iter()
        .enumerate()
        .map(|(i, &x)| {
            let p = cdf(x);
            (p - i as f64 / n).max((i + 1) as f64 / n - p)
        })
        .fold(0.0, f64::max);
    let t = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * distance;
    let terms = (1..=100).map(|k| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * (-2.0 * (k as f64 * t).powi(2)).exp()
    });
    terms.sum::<f64>().clamp(0.0, 1.0)
}

/// The probability of a chi-square statistic as large as that of `counts`, if `expected` holds.
fn chi_square(counts: &[usize], expected: &[f64]) -> f64 {
    let statistic: f64 =
        counts.iter().zip(expected).map(|(&count, e)| (count as f64 - e).powi(2) / e).sum();
    gamma_ur((counts.len() - 1) as f64 / 2.0, statistic / 2.0)
}

type Cdf = Box<dyn Fn(f64) -> f64>;

/// Every law with its distribution function, and a name for the stream.
fn laws() -> Vec<(&'static str, Law, Cdf)> {
    let gamma =
        |alpha: f64| -> Cdf { Box::new(move |x| if x <= 0.0 { 0.0 } else { gamma_lr(alpha, x) }) };
    let beta = |a: f64, b: f64| -> Cdf { Box::new(move |x| beta_reg(a, b, x)) };
    let truncated = |lo: f64, hi: f64| -> Cdf {
        // On the side where the tails are small numbers and not one minus small numbers.
        let mass = |a: f64, b: f64| {
            if a > 0.0 { normal_cdf(-a) - normal_cdf(-b) } else { normal_cdf(b) - normal_cdf(a) }
        };
        Box::new(move |x| mass(lo, x) / mass(lo, hi))
    };
    let inf = f64::INFINITY;
    let mut rows: Vec<(&'static str, Law, Cdf)> = vec![
        ("uniform", Law::Uniform { lo: -2.0, hi: 3.0 }, Box::new(|x| (x + 2.0) / 5.0)),
        ("normal", Law::Normal, Box::new(normal_cdf)),
        ("exponential", Law::Exponential, Box::new(|x| 1.0 - (-x).exp())),
        ("laplace", Law::Laplace, Box::new(|x| 0.5 + 0.5 * x.signum() * (1.0 - (-x.abs()).exp()))),
        ("gumbel", Law::Gumbel, Box::new(|x| (-(-x).exp()).exp())),
    ];
    for (name, alpha) in [("gamma.1", 0.05), ("gamma.2", 0.7), ("gamma.3", 1.0), ("gamma.4", 30.0)]
    {
        rows.push((name, Law::Gamma { alpha }, gamma(alpha)));
    }
    for (name, a, b) in [("beta.1", 0.3, 0.2), ("beta.2", 2.0, 5.0), ("beta.3", 80.0, 0.9)] {
        rows.push((name, Law::Beta { a, b }, beta(a, b)));
    }
    for (name, lo, hi) in [
        ("truncated.1", -1.0, 2.0),
        ("truncated.2", -inf, 0.5),
        ("truncated.3", 0.5, inf),
        ("truncated.4", -inf, inf),
        ("truncated.5", 10.0, inf),
        ("truncated.6", -12.0, -11.9),
        ("truncated.7", 2.9, 3.1),
        ("truncated.8", -0.1, 0.02),
        ("truncated.9", 3.0, 9.0),
    ] {
        rows.push((name, Law::TruncatedNormal { lo, hi }, truncated(lo, hi)));
    }
    rows
}

#[test]
fn draws_follow_their_laws() {
    for (name, law, cdf) in laws() {
        let p = kolmogorov_smirnov(sample(law, name), cdf);
        assert!(p > 0.002, "{name} {law:?}: p = {p}");
    }
}

#[test]
fn the_test_of_laws_can_fail() {
    let shifted = sample(Law::Normal, "power").into_iter().map(|x| x + 0.02);
    assert!(kolmogorov_smirnov(shifted.collect(), normal_cdf) < 0.01);
}

#[test]
fn normal_moments_are_right() {
    let n = 1_000_000;
    let x = Stream::new(5).normal(&[n], DType::F64).to_vec::<f64>();
    let moment = |k: i32| x.iter().map(|x| x.powi(k)).sum::<f64>() / n as f64;
    // Each standard error times five: var(x^k) = E x^2k - (E x^k)².
    for (k, value, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0_f64)] {
        let limit = 5.0 * (variance / n as f64).sqrt();
        assert!((moment(k) - value).abs() < limit, "moment {k}: {}", moment(k));
    }
}

#[test]
fn rademacher_and_bernoulli_have_the_right_frequencies() {
    let signs = sample(Law::Rademacher, "signs");
    assert!(signs.iter().all(|x| x.abs() == 1.0));
    assert!(signs.iter().sum::<f64>().abs() < 4.0 * (SAMPLES as f64).sqrt());

    let stream = Stream::new(1).child("bernoulli");
    let frequency = |p| {
        let draws = stream.bernoulli(p, &[SAMPLES]).to_f64_vec();
        draws.into_iter().sum::<f64>() / SAMPLES as f64
    };
    assert_eq!((frequency(0.0), frequency(1.0)), (0.0, 1.0));
    assert!((frequency(0.3) - 0.3).abs() < 4.0 * (0.21 / SAMPLES as f64).sqrt());
}

#[test]
fn far_tails_stay_in_their_interval() {
    for (lo, hi) in [(40.0, f64::INFINITY), (1e6, 1e6 + 1.0), (-200.0, -199.0)] {
        let x = sample(Law::TruncatedNormal { lo, hi }, "far");
        assert!(x.iter().all(|x| (lo..=hi).contains(x)), "[{lo}, {hi}]");
        // Beyond a, the excess is nearly exponential with rate a.
        let near = if lo > 0.0 { lo } else { -hi };
        let excess = x.iter().map(|x| x.abs() - near).sum::<f64>() / SAMPLES as f64;
        assert!((excess * near - 1.0).abs() < 0.03, "[{lo}, {hi}]: {excess}");
    }
}

#[test]
fn short_draws_start_long_ones_in_every_law() {
    for (name, law, _) in laws() {
        let stream = Stream::new(3).child(name);
        let long = stream.draw(law, &[40_001], DType::F64).to_vec::<f64>();
        let short = stream.draw(law, &[2, 5], DType::F64).to_vec::<f64>();
        assert_eq!(short, long[..10], "{name}");
        // A part that starts and ends anywhere.
        let mut part = vec![0.0; 20_000];
        stream.fill(law, 777, &mut part);
        assert_eq!(part, long[777..20_777], "{name}");
        assert_eq!(stream.value_at(law, 12_345), long[12_345], "{name}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let draws = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a pool of threads");
        pool.install(|| {
            let stream = Stream::new(11);
            (
                stream.child("a").normal(&[50_000], DType::F32).to_vec::<f32>(),
                stream.child("b").gamma(0.4, &[50_000], DType::F64).to_vec::<f64>(),
                stream.child("c").int_range(0, 1000, &[50_000]).to_vec::<i64>(),
            )
        })
    };
    let one = draws(1);
    assert_eq!(one, draws(2));
    assert_eq!(one, draws(5));
}

#[test]
fn narrow_types_round_the_same_draw() {
    let stream = Stream::new(8).child("narrow");
    let wide = stream.normal(&[1000], DType::F64);
    let single = stream.normal(&[1000], DType::F32);
    assert_eq!(wide.cast(DType::F32).to_vec::<f32>(), single.to_vec::<f32>());

    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        let x = stream.uniform(&[SAMPLES], dtype).to_f64_vec();
        assert!(x.iter().all(|x| (0.0..1.0).contains(x)), "{dtype}");
        let mean = x.iter().sum::<f64>() / SAMPLES as f64;
        // Bits dropped towards zero shift the mean by half a step.
        let step = if dtype == DType::BF16 { 1.0 / 256.0 } else { 0.0 };
        assert!((mean - 0.5 + step / 2.0).abs() < 0.007, "{dtype}: {mean}");
    }
}

#[test]
fn children_are_different_and_uncorrelated() {
    let root = Stream::new(0);
    let mut seen = std::collections::HashSet::new();
    for i in 0..20_000 {
        for stream in [
            root.at(i),
            root.child(&i.to_string()),
            Stream::new(i),
            root.at(7).at(i),
            root.child("x").at(i),
        ] {
            assert!(seen.insert(stream), "two streams coincide at {i}");
        }
    }
    // Names that share words, or differ by trailing zeros, differ.
    let names = ["", "\0", "a", "a\0", "aaaaaaaa", "aaaaaaaaa", "b"];
    let children: std::collections::HashSet<_> = names.iter().map(|n| root.child(n)).collect();
    assert_eq!(children.len(), names.len());
    assert_ne!(root.child("a").child("b"), root.child("b").child("a"));
    assert_ne!(root.child("ab"), root.child("a").child("b"));

    let streams =
        [root, root.at(0), root.at(1), root.child("a"), root.child("b"), root.at(0).at(1)];
    let draws: Vec<Vec<f64>> =
        streams.iter().map(|s| s.normal(&[SAMPLES], DType::F64).to_vec::<f64>()).collect();
    for (i, a) in draws.iter().enumerate() {
        for b in &draws[i + 1..] {
            for lag in [0, 1] {
                let pairs = a.iter().zip(b.iter().skip(lag));
                let correlation = pairs.map(|(x, y)| x * y).sum::<f64>() / SAMPLES as f64;
                assert!(correlation.abs() < 4.5 / (SAMPLES as f64).sqrt(), "{correlation}");
            }
        }
    }
}

#[test]
fn first_draws_of_numbered_children_are_uniform() {
    let root = Stream::new(99).child("steps");
    let first = (0..SAMPLES as u64)
        .map(|i| root.at(i).value_at(Law::Uniform { lo: 0.0, hi: 1.0 }, 0))
        .collect();
    let p = kolmogorov_smirnov(first, |x| x);
    assert!(p > 0.002, "p = {p}");
}

#[test]
fn permutations_are_equally_likely() {
    let root = Stream::new(4).child("orders");
    let mut counts = vec![0; 24];
    for i in 0..24_000 {
        let order = root.at(i).permutation(4);
        let mut rank = 0;
        for (position, value) in order.iter().enumerate() {
            let smaller = order[position + 1..].iter().filter(|v| *v < value).count();
            rank = rank * (4 - position) + smaller;
        }
        counts[rank] += 1;
    }
    let p = chi_square(&counts, &[1000.0; 24]);
    assert!(p > 0.002, "p = {p}: {counts:?}");
}

#[test]
fn choices_start_permutations() {
    let stream = Stream::new(6);
    let order = stream.permutation(5000);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..5000).collect::<Vec<_>>());
    // Few and many take different ways to the same numbers.
    for k in [0, 1, 17, 312, 313, 2000, 5000] {
        assert_eq!(stream.choose(5000, k), order[..k], "{k}");
    }
    let array = stream.permutation_array(5000).to_f64_vec();
    assert!(array.iter().zip(&order).all(|(a, b)| *a == *b as f64));
    assert!(stream.permutation(0).is_empty());
}

#[test]
fn bounded_integers_are_even_and_in_range() {
    let stream = Stream::new(12);
    let mut counts = vec![0; 7];
    for value in stream.int_range(-3, 4, &[70_000]).to_f64_vec() {
        counts[(value + 3.0) as usize] += 1;
    }
    let p = chi_square(&counts, &[10_000.0; 7]);
    assert!(p > 0.002, "p = {p}: {counts:?}");
    // A bound for which a quarter of the words must be refused.
    let bound = 3 << 62;
    let below =
        (0..SAMPLES as u64).map(|i| stream.below_at(i, bound) as f64 / bound as f64).collect();
    let p = kolmogorov_smirnov(below, |x| x);
    assert!(p > 0.002, "p = {p}");
    assert_eq!(stream.below(1), 0);
}

#[test]
fn categories_have_their_probabilities() {
    let weights = vec![0.0, 1.0, 2.0, 0.0, 5.0, 0.0, 4.0, 4.0, 1.0, 1.0, 1.0, 1.0];
    let stream = Stream::new(13);
    let by_weight = stream.categorical(&Array::from_slice(&weights, &[2, 6]), SAMPLES);
    assert_eq!(by_weight.shape(), [2, SAMPLES]);
    let values = by_weight.to_f64_vec();
    for (row, weights) in weights.chunks(6).enumerate() {
        let total: f64 = weights.iter().sum();
        let mut counts = [0; 6];
        for value in &values[row * SAMPLES..(row + 1) * SAMPLES] {
            counts[*value as usize] += 1;
        }
        let (counts, expected): (Vec<usize>, Vec<f64>) = counts
            .iter()
            .zip(weights)
            .filter(|(count, weight)| **count > 0 || **weight > 0.0)
            .map(|(count, weight)| (count, weight / total * SAMPLES as f64))
            .unzip();
        assert!(expected.iter().all(|e| *e > 0.0), "a weight of zero was drawn");
        let p = chi_square(&counts, &expected);
        assert!(p > 0.002, "p = {p}: {counts:?}");
    }
    let logits: Vec<f64> = weights.iter().map(|w| w.ln() + 700.0).collect();
    let by_logit = stream.categorical_logits(&Array::from_vec(logits, &[2, 6]), SAMPLES);
    let different = by_logit.to_f64_vec().iter().zip(&values).filter(|(a, b)| a != b).count();
    // The same thresholds, up to the rounding of exp and ln.
    assert!(different < 3, "{different}");
}

#[test]
fn points_fill_the_sphere_and_the_ball() {
    let stream = Stream::new(14);
    let points = stream.sphere(&[SAMPLES, 3], DType::F64).to_vec::<f64>();
    for point in points.chunks(3) {
        assert!((point.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-14);
    }
    // In three dimensions each coordinate is uniform (Archimedes).
    let heights = points.chunks(3).map(|point| point[2]).collect();
    let p = kolmogorov_smirnov(heights, |x| f64::midpoint(x, 1.0));
    assert!(p > 0.002, "p = {p}");

    let points = stream.child("ball").ball(&[SAMPLES, 3], DType::F64).to_vec::<f64>();
    let radii =
        points.chunks(3).map(|point| point.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
    let p = kolmogorov_smirnov(radii, |r| r.powi(3));
    assert!(p > 0.002, "p = {p}");
}

#[test]
fn streams_survive_serialisation() {
    let stream = Stream::new(u64::MAX).child("noise").at(3);
    let text = serde_json::to_string(&stream).expect("a stream is four numbers");
    let back: Stream = serde_json::from_str(&text).expect("its own text");
    assert_eq!(stream, back);
}

/// These numbers may never change: saved runs and published results rest on them.
#[test]
fn streams_give_the_numbers_they_always_gave() {
    let stream = Stream::new(42).child("noise").at(3);
    let first = |law| {
        let mut out = [0.0; 3];
        stream.fill(law, 0, &mut out);
        out
    };
    assert_eq!(
        first(Law::Uniform { lo: -2.0, hi: 3.0 }),
        [2.5368437562366495, 1.2743894869223054, -1.5864804340249403]
    );
    assert_eq!(first(Law::Normal), [-0.24811494537933296, -0.364488235659246, 2.191301590074022]);
    assert_eq!(
        first(Law::Exponential),
        [0.09720635002728972, 0.4233064769314755, 2.4924883601153365]
    );
    assert_eq!(
        first(Law::Gamma { alpha: 0.7 }),
        [0.2572267933099503, 0.38993087604593074, 1.5409093758409933]
    );
    assert_eq!(
        first(Law::TruncatedNormal { lo: -1.0, hi: 2.0 }),
        [0.500420904850798, -0.7467726082436895, -0.8509881061145055]
    );
    assert_eq!(stream.permutation(8), [7, 5, 2, 3, 4, 0, 1, 6]);
    assert_eq!(stream.below(u64::MAX), 16737999134740920420);
}

#[test]
#[should_panic(expected = "gamma: alpha must be positive and finite, got -1")]
fn bad_parameters_are_named() {
    let _ = Stream::new(0).gamma(-1.0, &[3], DType::F64);
}

#[test]
#[should_panic(expected = "normal: draws are of a floating type, not i64")]
fn integer_types_are_refused() {
    let _ = Stream::new(0).normal(&[3], DType::I64);
}

#[test]
#[should_panic(expected = "row 1 holds")]
fn bad_weights_name_their_row() {
    let weights = Array::from_vec(vec![1.0, 1.0, -1.0, 2.0], &[2, 2]);
    let _ = Stream::new(0).categorical(&weights, 3);
}
