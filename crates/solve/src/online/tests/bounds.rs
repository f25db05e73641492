//! The guarantees that hold for every run.

use lisse_array::{DType, Stream};
use proptest::prelude::*;

use super::super::{
    Bound, Domain, Ledger, OnlineLearner, OptimisticNewton, OptimisticOmd, Steps, distance_squared,
    dot,
};

const G: f64 = 2.0;
const ROUNDS: u64 = 60;

/// How gradients are chosen.
fn gradient(kind: u32, seed: u64, t: u64, x: &[f64]) -> Vec<f64> {
    let d = x.len();
    let stream = Stream::new(seed).at(t);
    let unit = || stream.sphere(&[d], DType::F64).to_vec::<f64>();
    let g: Vec<f64> = match kind {
        // At random, of any length.
        0 => stream.ball(&[d], DType::F64).to_vec::<f64>(),
        // Against the point, whatever it is.
        1 => {
            let norm = dot(x, x).sqrt();
            if norm > 0.0 { x.iter().map(|v| v / norm).collect() } else { unit() }
        }
        // In turn one way and the other.
        2 => (0..d)
            .map(|i| if i == 0 { if t.is_multiple_of(2) { 1.0 } else { -1.0 } } else { 0.0 })
            .collect(),
        // Slowly turning.
        _ => {
            let (sin, cos) = (0.05 * t as f64).sin_cos();
            (0..d).map(|i| [cos, sin, 0.0][i.min(2)]).collect()
        }
    };
    g.iter().map(|v| G * v).collect()
}

/// Hints, good and bad.
fn hint(kind: u32, seed: u64, t: u64, last: &[f64]) -> Vec<f64> {
    match kind {
        0 => vec![0.0; last.len()],
        1 => last.to_vec(),
        _ => {
            let noise = Stream::new(seed).child("hint").at(t).ball(&[last.len()], DType::F64);
            noise.to_vec::<f64>().iter().map(|v| G * v).collect()
        }
    }
}

/// A run: points, gradients, hints.
type Run = Vec<(Vec<f64>, Vec<f64>, Vec<f64>)>;

fn run(learner: &mut dyn OnlineLearner, seed: u64, gradients: u32, hints: u32) -> Run {
    let mut last = vec![0.0; learner.dim()];
    (1..=ROUNDS)
        .map(|t| {
            let m = hint(hints, seed, t, &last);
            learner.predict(&m).unwrap();
            let x = learner.point().to_vec();
            last = gradient(gradients, seed, t, &x);
            learner.update(&last, None).unwrap();
            (x, last.clone(), m)
        })
        .collect()
}

fn domain(kind: u32) -> Domain {
    match kind {
        0 => Domain::Ball { radius: 1.5 },
        1 => Domain::Box { low: -0.5, high: 1.0 },
        _ => Domain::L1Ball { radius: 1.0 },
    }
}

/// Points of the set: the worst for the sum, and others.
fn comparators(domain: &Domain, run: &Run, seed: u64) -> Vec<Vec<f64>> {
    let d = run[0].0.len();
    let sum: Vec<f64> = (0..d).map(|i| run.iter().map(|(_, g, _)| g[i]).sum()).collect();
    let far = |v: &[f64], reach: f64| {
        let mut u: Vec<f64> = v.iter().map(|x| reach * x).collect();
        domain.project(&mut u);
        u
    };
    let random =
        |i: u64| Stream::new(seed).child("u").at(i).normal(&[d], DType::F64).to_vec::<f64>();
    let mut list: Vec<Vec<f64>> = (0..6).map(|i| far(&random(i), 1.0)).collect();
    list.push(far(&sum, -1e6));
    list
}

proptest! {
    #[test]
    fn convex(seed in 0u64..10_000, gradients in 0u32..4, hints in 0u32..3, set in 0u32..3, dim in 1usize..4, delta in 0.01..4.0f64) {
        let domain = domain(set);
        let diameter = domain.diameter(dim);
        let steps = Steps::SelfConfident { diameter, delta, bound: Bound::Known { value: G } };
        let mut learner = OptimisticOmd::new(domain.clone(), dim, steps).unwrap();
        let run = run(&mut learner, seed, gradients, hints);
        let variation: f64 = run.iter().map(|(_, g, m)| distance_squared(g, m)).sum();
        let bound = Ledger::bound(diameter, delta, G, variation);
        for u in comparators(&domain, &run, seed) {
            let regret: f64 = run.iter().map(|(x, g, _)| dot(g, x) - dot(g, &u)).sum();
            prop_assert!(regret <= bound * (1.0 + 1e-12), "{} > {}", regret, bound);
        }
    }

    /// With hints that are true the regret does not grow.
    #[test]
    fn perfect_hints(seed in 0u64..10_000, kind in prop_oneof![Just(0u32), Just(2), Just(3)], dim in 1usize..4) {
        let domain = Domain::Ball { radius: 1.5 };
        let steps = Steps::SelfConfident { diameter: 3.0, delta: 1.0, bound: Bound::Known { value: G } };
        let mut learner = OptimisticOmd::new(domain.clone(), dim, steps).unwrap();
        let mut run = Run::new();
        for t in 1..=ROUNDS {
            let g = gradient(kind, seed, t, &vec![1.0; dim]);
            learner.predict(&g).unwrap();
            run.push((learner.point().to_vec(), g.clone(), g.clone()));
            learner.update(&g, None).unwrap();
        }
        for u in comparators(&domain, &run, seed) {
            let regret: f64 = run.iter().map(|(x, g, _)| dot(g, x) - dot(g, &u)).sum();
            prop_assert!(regret <= 1.5 * (1.0 + 4.0 * G * G).sqrt() + 1e-10);
        }
    }

    #[test]
    fn strongly_convex(seed in 0u64..10_000, gradients in 0u32..4, hints in 0u32..3, set in 0u32..3, dim in 1usize..4, lambda in 0.05..3.0f64) {
        let domain = domain(set);
        let diameter = domain.diameter(dim);
        let steps = Steps::Harmonic { scale: 2.0 / lambda };
        let mut learner = OptimisticOmd::new(domain.clone(), dim, steps).unwrap();
        let mut run = run(&mut learner, seed, gradients, hints);
        // The first hint is 0 in the theorem.
        if run[0].2.iter().any(|v| *v != 0.0) {
            let mut learner = OptimisticOmd::new(domain.clone(), dim, Steps::Harmonic { scale: 2.0 / lambda }).unwrap();
            let mut hints: Vec<Vec<f64>> = run.iter().map(|(_, _, m)| m.clone()).collect();
            hints[0] = vec![0.0; dim];
            run = hints.into_iter().zip(1..).map(|(m, t)| {
                learner.predict(&m).unwrap();
                let x = learner.point().to_vec();
                let g = gradient(gradients, seed, t, &x);
                learner.update(&g, None).unwrap();
                (x, g, m)
            }).collect();
        }
        let surprise: f64 = run.iter().zip(1..).map(|((_, g, m), t)| 2.0 / (lambda * f64::from(t)) * distance_squared(g, m)).sum();
        let first = &run[0].1;
        let bound = surprise + 0.25 * lambda * diameter * diameter + dot(first, first) / lambda;
        for u in comparators(&domain, &run, seed) {
            let regret: f64 = run.iter().map(|(x, g, _)| dot(g, x) - dot(g, &u) - 0.5 * lambda * distance_squared(x, &u)).sum();
            prop_assert!(regret <= bound * (1.0 + 1e-12), "{} > {}", regret, bound);
        }
    }

    #[test]
    fn exp_concave(seed in 0u64..10_000, gradients in 0u32..4, hints in 0u32..3, dim in 1usize..4, alpha in 0.01..1.0f64) {
        let domain = Domain::Ball { radius: 1.0 };
        let diameter = 2.0;
        let beta = 0.5 * alpha.min(1.0 / (4.0 * G * diameter));
        prop_assert!(beta * G * G <= 2.0);
        let mut learner = OptimisticNewton::new(domain.clone(), dim, alpha, G).unwrap();
        let mut surprise = 0.0;
        let mut last = vec![0.0; dim];
        let mut run = Run::new();
        for t in 1..=ROUNDS {
            let m = hint(hints, seed, t, &last);
            learner.predict(&m).unwrap();
            let x = learner.point().to_vec();
            last = gradient(gradients, seed, t, &x);
            let difference: Vec<f64> = last.iter().zip(&m).map(|(g, m)| g - m).collect();
            surprise += learner.metric().dual_norm_squared(&difference);
            learner.update(&last, None).unwrap();
            run.push((x, last.clone(), m));
        }
        let bound = 0.5 * diameter * diameter * (1.0 + 0.5 * beta * G * G) + surprise;
        for u in comparators(&domain, &run, seed) {
            let regret: f64 = run.iter().map(|(x, g, _)| {
                let r = dot(g, x) - dot(g, &u);
                r - 0.5 * beta * r * r
            }).sum();
            prop_assert!(regret <= bound * (1.0 + 1e-10), "{} > {}", regret, bound);
        }
    }
}
