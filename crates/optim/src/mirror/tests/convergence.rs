use super::*;

#[test]
fn strongly_convex_composite_steps_in_closed_form() {
    let g = [1.0, -2.0, 0.5, 3.0, -1.0];
    let run = |eta: fn(f64) -> f64| {
        let h = Regularizer::SquaredL2 { weight: 0.5 };
        let geometry = geometry(Mirror::Euclidean, h, Domain::Whole);
        let mut w = geometry.point(&[0.0]);
        for (i, g) in g.iter().enumerate() {
            geometry.step(&mut w, &[*g], eta(i as f64 + 1.0));
        }
        w.x[0]
    };
    let weighted: f64 = g.iter().enumerate().map(|(i, g)| (i + 2) as f64 * g).sum();
    assert!((run(|t| 2.0 / (0.5 * t)) + 2.0 / (0.5 * 6.0 * 7.0) * weighted).abs() < 1e-14);
    near(&[run(|t| 2.0 / (0.5 * t)), run(|t| 1.0 / (0.5 * t))], &[-0.6666667, -0.5], 5e-8);
    let plan = Steps::ScH2 { mu: 0.5, kappa: 0.0 }.plan(None).unwrap();
    assert_eq!(plan.at(3), 2.0 / (0.5 * 3.0));
}

/// Defazio et al., 2023: with `x_{t+1} = x_t - eta (1 - t/T) g_t`,
/// `f(x_T) - f(u) <= ||x_1 - u||^2 / (2 eta T) + eta / (2T) sum_t ||g_t||^2` for every `u`.
#[test]
fn the_last_iterate_inequality_holds() {
    let stream = Stream::new(17);
    for case in 0..2000u64 {
        let s = stream.at(case);
        let points = 2 + s.child("T").below(30);
        let dimension = 1 + s.child("d").below(4) as usize;
        let pieces = 1 + s.child("pieces").below(6) as usize;
        let draw = |name: &str, n: usize| s.child(name).normal(&[n], DType::F64).to_vec::<f64>();
        let (slopes, offsets, scale) =
            (draw("h", pieces * dimension), draw("c", pieces), draw("l1", 1)[0].abs());
        let l1 = case % 2 == 0;
        let value = |x: &[f64]| {
            if l1 {
                return scale * x.iter().zip(&slopes).map(|(x, c)| (x - c).abs()).sum::<f64>();
            }
            let piece = |i: usize| {
                offsets[i] + (0..dimension).map(|j| slopes[i * dimension + j] * x[j]).sum::<f64>()
            };
            (0..pieces).map(piece).fold(f64::NEG_INFINITY, f64::max)
        };
        let gradient = |x: &[f64], _: &Draw<'_>, out: &mut [f64]| {
            if l1 {
                for ((o, x), c) in out.iter_mut().zip(x).zip(&slopes) {
                    *o = scale * (x - c).signum();
                }
                return;
            }
            let top = value(x);
            let piece = |i: &usize| {
                offsets[*i] + (0..dimension).map(|j| slopes[i * dimension + j] * x[j]).sum::<f64>()
                    >= top
            };
            let i = (0..pieces).find(piece).unwrap();
            out.copy_from_slice(&slopes[i * dimension..(i + 1) * dimension]);
        };
        let oracle = Function { dimension, value, gradient };
        let eta = draw("eta", 1)[0].exp();
        // T points are T - 1 steps of linear decay with eta_t = eta (1 - t/T).
        let updates = points - 1;
        let horizon = updates as f64;
        let constant = eta * horizon.powf(1.5) / points as f64;
        let csmd = euclidean(Steps::LinearDecay { eta: constant });
        let start = draw("start", dimension);
        let mut progress = csmd.start(&start, 0, Some(updates)).unwrap();
        let mut squares = 0.0;
        let mut g = vec![0.0; dimension];
        let draw_nothing = Draw { examples: &[], stream };
        for step in 0..points {
            (oracle.gradient)(progress.last(), &draw_nothing, &mut g);
            squares += prox::square(&g);
            if step < updates {
                csmd.advance(&oracle, &mut progress, 1).unwrap();
            }
        }
        for k in 0..5 {
            let u = s.child("u").at(k).normal(&[dimension], DType::F64).to_vec::<f64>();
            let distance: f64 = start.iter().zip(&u).map(|(a, b)| (a - b) * (a - b)).sum();
            let total = points as f64;
            let bound = distance / (2.0 * eta * total) + eta / (2.0 * total) * squares;
            let gap = oracle.value(progress.last()) - oracle.value(&u);
            assert!(gap <= bound + 1e-10, "case {case}: {gap} above {bound}");
        }
    }
}

fn slow_values(steps: usize, rule: Steps) -> (f64, f64) {
    let oracle = MaxLinear::slow_last_iterate(steps);
    let ball = geometry(Mirror::Euclidean, Regularizer::None, Domain::Ball { radius: 1.0 });
    let csmd = Csmd::new(ball, rule).average(Average::Uniform);
    let run = csmd.run(&oracle, &vec![0.0; steps], 0, steps as u64).unwrap();
    (oracle.value(run.last()), oracle.value(&run.averages()[0].1))
}

#[test]
fn the_logarithm_is_real_without_decay_and_gone_with_it() {
    let sqrt = Steps::InvSqrt { eta: 1.0, smoothness: 0.0 };
    let constant = Steps::ConstSqrt { eta: 1.0, smoothness: 0.0 };
    let linear = Steps::LinearDecay { eta: 1.0 };
    // Steps, last iterate of the three, average of the first, lower bound.
    let table = [
        (64, [0.0303442786, 0.0265231426, 0.0043620994], [0.0061420, 0.0162456]),
        (1024, [0.0116168089, 0.0106118311, 0.0010606744], [0.0016186, 0.0067690]),
    ];
    for (steps, lasts, [mean, bound]) in table {
        let rules = [sqrt.clone(), constant.clone(), linear.clone()];
        let found: Vec<_> = rules.into_par_iter().map(|r| slow_values(steps, r)).collect();
        near(&[found[0].0, found[1].0, found[2].0], &lasts, 5e-11);
        let total = steps as f64;
        near(&[found[0].1, total.ln() / (32.0 * total.sqrt())], &[mean, bound], 5e-8);
        assert!(found[0].0 > bound && found[1].0 > bound && found[2].0 < bound);
    }
}

#[test]
fn a_matrix_game() {
    let rows = vec![vec![1.0, -2.0, 0.5], vec![-0.5, 1.0, 1.0], vec![0.3, 0.2, -1.5]];
    let oracle = MaxLinear { rows };
    let entropy = geometry(Mirror::Entropy, Regularizer::None, Domain::Simplex);
    let gap = |steps: Steps| {
        let run = Csmd::new(entropy.clone(), steps).run(&oracle, &[1.0 / 3.0; 3], 0, 100).unwrap();
        oracle.value(run.last()) - 0.0858369099
    };
    let found = [
        gap(Steps::InvSqrt { eta: 1.0, smoothness: 0.0 }),
        gap(Steps::ConstSqrt { eta: 1.0, smoothness: 0.0 }),
        gap(Steps::LinearDecay { eta: 1.0 }),
    ];
    near(&found, &[0.05520606, 0.06892702, 0.00034169], 6e-9);
}

#[test]
fn known_methods_come_back() {
    let loss = |x: &Array| (x.square().square() + x.exp()).sum_all();
    let start = [0.3, -0.2, 0.1];
    let gradient = |x: &[f64], _: &Draw<'_>, out: &mut [f64]| {
        for (o, x) in out.iter_mut().zip(x) {
            *o = 4.0 * x * x * x + x.exp();
        }
    };
    let oracle = Function { dimension: 3, value: |_: &[f64]| 0.0, gradient };
    let run = |mirror| {
        let csmd = Csmd::new(
            geometry(mirror, Regularizer::None, Domain::Whole),
            Steps::Constant { eta: 0.1 },
        );
        csmd.run(&oracle, &start, 0, 25).unwrap().last().to_vec()
    };
    let plain = run(Mirror::Euclidean);
    assert_eq!(run(Mirror::Power { p: 2.0 }), plain);
    near(&run(Mirror::PNorm { q: 2.0 }), &plain, 1e-14);
    near(&run(Mirror::Diagonal { b: vec![1.0; 3] }), &plain, 0.0);
    let mut x = Array::from_slice(&start, &[3]);
    let optimizer = Sgd::new(0.1);
    let mut state = optimizer.init(&x);
    for _ in 0..25 {
        optimizer.step(&mut x, &mut state, &mut LossOracle(loss));
    }
    near(&x.to_vec::<f64>(), &plain, 1e-14);
}

#[test]
fn the_optimum_stays_where_there_is_no_noise() {
    let gradient = |x: &[f64], _: &Draw<'_>, out: &mut [f64]| out.copy_from_slice(x);
    let value = prox::square;
    let oracle = Function { dimension: 2, value, gradient };
    for mirror in [Mirror::Euclidean, Mirror::Power { p: 1.3 }, Mirror::PNorm { q: 1.5 }] {
        let geometry = geometry(mirror, Regularizer::L1 { weight: 0.1 }, Domain::Whole);
        let csmd = Csmd::new(geometry, Steps::LinearDecay { eta: 3.0 });
        assert_eq!(csmd.run(&oracle, &[0.0, 0.0], 0, 50).unwrap().last(), [0.0, 0.0]);
    }
}

/// The tail of the last gap over seeds: no heavier than exponential.
#[test]
fn high_probability() {
    let gradient = |x: &[f64], draw: &Draw<'_>, out: &mut [f64]| {
        draw.stream.fill(Law::Normal, 0, out);
        for (o, x) in out.iter_mut().zip(x) {
            *o += x;
        }
    };
    let value = |x: &[f64]| 0.5 * prox::square(x);
    let oracle = Function { dimension: 10, value, gradient };
    let seeds: Vec<u64> = (0..2000).collect();
    let runs = euclidean(Steps::LinearDecay { eta: 1.0 })
        .run_seeds(&oracle, &[1.0; 10], &seeds, 1000)
        .unwrap();
    let mut gaps: Vec<f64> = runs.iter().map(|r| value(r.last())).collect();
    gaps.sort_by(f64::total_cmp);
    let q = |share: f64| gaps[(share * gaps.len() as f64) as usize];
    assert!(q(0.999) - q(0.5) <= 4.0 * (q(0.9) - q(0.5)));
    near(&[q(0.5), q(0.9), q(0.99)], &[0.0116, 0.0201, 0.0284], 0.0025);
    near(&[q(0.999)], &[0.0333], 0.008);
}
