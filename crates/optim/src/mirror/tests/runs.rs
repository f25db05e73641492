use super::*;

fn model() -> LinearModel {
    let stream = Stream::new(2);
    let inputs = stream.child("x").normal(&[30, 4], DType::F64);
    let targets = inputs.sum(&[1]) + stream.child("y").normal(&[30], DType::F64);
    LinearModel::new(&inputs, &targets, Loss::Absolute).unwrap()
}

fn averaging() -> Csmd {
    let averages = [
        Average::Uniform,
        Average::Suffix { share: 0.5 },
        Average::Polynomial { s: 1.0 },
        Average::Exponential { power: 0.9 },
    ];
    let csmd = euclidean(Steps::InvSqrt { eta: 0.3, smoothness: 0.0 });
    averages.into_iter().fold(csmd, Csmd::average)
}

#[test]
fn seeds_decide_alone_and_threads_do_not() {
    let oracle = Noisy { inner: model(), noise: Noise::StudentT { df: 1.5, scale: 1.0 } };
    let csmd = averaging();
    let seeds = [4, 7, 4, 1];
    let many = csmd.run_seeds(&oracle, &[0.0; 4], &seeds, 300).unwrap();
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let one = alone.install(|| csmd.run_seeds(&oracle, &[0.0; 4], &seeds, 300).unwrap());
    assert_eq!(many, one);
    assert_eq!(many[0], many[2]);
    assert_ne!(many[0].last(), many[1].last());
}

#[test]
fn a_saved_run_goes_on_bit_for_bit() {
    let oracle = Noisy { inner: model(), noise: Noise::Pareto { index: 1.5, scale: 0.2 } };
    for sampling in [Sampling::WithReplacement, Sampling::Shuffled] {
        for horizon in [Some(101), None] {
            let csmd = averaging().sampling(sampling, 7);
            let mut whole = csmd.start(&[0.0; 4], 3, horizon).unwrap();
            csmd.advance(&oracle, &mut whole, 101).unwrap();
            let mut part = csmd.start(&[0.0; 4], 3, horizon).unwrap();
            csmd.advance(&oracle, &mut part, 43).unwrap();
            let saved = serde_json::to_string(&part).unwrap();
            let mut part: Progress = serde_json::from_str(&saved).unwrap();
            csmd.advance(&oracle, &mut part, 58).unwrap();
            assert_eq!(part, whole);
        }
    }
}

#[test]
fn a_pass_sees_every_example_once() {
    let mut sampler = Sampler::new(Some(10), 4, Sampling::Shuffled, 9);
    let sizes: Vec<usize> = (1..=3).map(|t| sampler.at(t).examples.len()).collect();
    assert_eq!(sizes, [4, 4, 2]);
    let mut pass: Vec<usize> = (4..=6).flat_map(|t| sampler.at(t).examples.to_vec()).collect();
    pass.sort_unstable();
    assert_eq!(pass, (0..10).collect::<Vec<_>>());
}

#[test]
fn averages_are_those_of_their_weights() {
    let xs: Vec<f64> = (1..=40).map(|t| (t as f64 * 0.7).sin()).collect();
    let run = |kind: Average, horizon| {
        let mut averager = Averager::new(kind, horizon);
        for x in &xs {
            averager.take(&[*x]);
        }
        averager.value().unwrap()[0]
    };
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!((run(Average::Uniform, None) - mean(&xs)).abs() < 1e-14);
    assert!((run(Average::Suffix { share: 0.25 }, Some(40)) - mean(&xs[30..])).abs() < 1e-14);
    assert!((run(Average::Polynomial { s: 0.0 }, None) - mean(&xs)).abs() < 1e-14);
    let weighted: f64 = xs.iter().enumerate().map(|(i, x)| (i + 1) as f64 * x).sum();
    let linear = weighted / (40.0 * 41.0 / 2.0);
    assert!((run(Average::Polynomial { s: 1.0 }, None) - linear).abs() < 1e-14);
    // Without horizon: some suffix of a half or more.
    let suffix = run(Average::Suffix { share: 0.5 }, None);
    assert!((0..=20).any(|from| (suffix - mean(&xs[from..])).abs() < 1e-13));
}

#[test]
fn a_stopped_run_reports_its_last_finished_stage() {
    let oracle = model();
    let csmd = euclidean(Steps::Stages { eta: 1.0, first: 8 });
    let mut progress = csmd.start(&[0.0; 4], 5, None).unwrap();
    csmd.advance(&oracle, &mut progress, 7).unwrap();
    assert!(progress.finished_stage().is_none());
    csmd.advance(&oracle, &mut progress, 30).unwrap();
    let at_24 = csmd.run(&oracle, &[0.0; 4], 5, 24).unwrap();
    assert_eq!(progress.finished_stage().unwrap(), at_24.last());
    // The first stage is linear decay over its length.
    let linear = euclidean(Steps::LinearDecay { eta: 1.0 });
    let alone = linear.run(&oracle, &[0.0; 4], 5, 8).unwrap();
    assert_eq!(alone.last(), csmd.run(&oracle, &[0.0; 4], 5, 8).unwrap().last());
}

#[test]
fn bad_input_is_named() {
    let oracle = model();
    let csmd = averaging();
    let dimension = csmd.run(&oracle, &[0.0; 3], 0, 5).unwrap_err();
    assert_eq!(dimension, MirrorError::Dimension { expected: 4, found: 3 });
    let linear = euclidean(Steps::LinearDecay { eta: 1.0 });
    assert!(matches!(linear.start(&[0.0], 0, None), Err(MirrorError::NeedsHorizon { .. })));
    let mut progress = linear.start(&[0.0; 4], 0, Some(3)).unwrap();
    let past = linear.advance(&oracle, &mut progress, 4).unwrap_err();
    assert_eq!(past, MirrorError::PastHorizon { horizon: 3 });
    let gradient = |_: &[f64], _: &Draw<'_>, out: &mut [f64]| out.fill(f64::NAN);
    let nan = Function { dimension: 1, value: |_: &[f64]| 0.0, gradient };
    assert_eq!(csmd.run(&nan, &[0.0], 0, 5).unwrap_err(), MirrorError::NotFinite { step: 1 });
    let key = |result: Result<Progress, MirrorError>| match result {
        Err(MirrorError::OutOfRange { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(key(csmd.clone().clip(0.0).run(&oracle, &[0.0; 4], 0, 1)), "clip");
    let none = csmd.clone().sampling(Sampling::Shuffled, 0);
    assert_eq!(key(none.run(&oracle, &[0.0; 4], 0, 1)), "batch");
    assert_eq!(key(csmd.run(&oracle, &[0.0, f64::NAN, 0.0, 0.0], 0, 1)), "start");
    let ball = geometry(Mirror::Euclidean, Regularizer::None, Domain::Ball { radius: 1.0 });
    let outside = Csmd::new(ball, Steps::Constant { eta: 1.0 });
    assert_eq!(key(outside.run(&oracle, &[2.0; 4], 0, 1)), "start");
    let blocks = Regularizer::GroupLasso { weight: 1.0, blocks: vec![3] };
    let grouped = geometry(Mirror::Euclidean, blocks, Domain::Whole);
    let grouped = Csmd::new(grouped, Steps::Constant { eta: 1.0 });
    assert_eq!(key(grouped.run(&oracle, &[0.0; 4], 0, 1)), "regularizer.blocks");
    assert!(Noise::StudentT { df: 1.0, scale: 1.0 }.validate().is_err());
    let targets = Array::from_slice(&[0.0f64, 1.0], &[2]);
    assert!(LinearModel::new(&Array::ones(&[2, 1], DType::F64), &targets, Loss::Hinge).is_err());
}

#[test]
fn losses_have_their_derivatives_and_smoothness() {
    let stream = Stream::new(8);
    let inputs = stream.normal(&[20, 3], DType::F64);
    let signs = stream.child("y").rademacher(&[20], DType::F64);
    let x = [0.3, -0.2, 0.5];
    let all: Vec<usize> = (0..20).collect();
    for loss in [Loss::Hinge, Loss::Logistic, Loss::Absolute, Loss::Squared] {
        let model = LinearModel::new(&inputs, &signs, loss).unwrap();
        let mut g = [0.0; 3];
        let value = model.gradient(&x, &Draw { examples: &all, stream }, &mut g);
        assert!((value - model.value(&x)).abs() < 1e-14);
        for j in 0..3 {
            let at = |h: f64| {
                let mut y = x;
                y[j] += h;
                model.value(&y)
            };
            assert!(((at(1e-6) - at(-1e-6)) / 2e-6 - g[j]).abs() < 1e-8, "{loss:?}");
        }
    }
    let squared = LinearModel::new(
        &Array::eye(2, DType::F64),
        &Array::zeros(&[2], DType::F64),
        Loss::Squared,
    );
    assert!((squared.unwrap().smoothness().unwrap() - 0.5).abs() < 1e-14);
}
