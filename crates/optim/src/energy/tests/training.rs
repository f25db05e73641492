//! Steps, noise and data.

use super::*;
use crate::LossOracle;
use crate::config::OptimizerConfig;

#[test]
fn the_biased_estimator_is_the_likelihood_of_the_batch() {
    let noise = Gaussian::isotropic(1, 1.5, DType::F64);
    let (x, z) = (Stream::new(0).normal(&[9, 1], DType::F64), noise.sample(7, &Stream::new(1)));
    let batch = Batch::new(&x, &z, &noise);
    let p = Parameters { energy: tilt(0.4), log_z: None };
    // Whatever u was before.
    let tracker = Tracker { log_u: Some(5.0), updates: 3 };
    let (_, gradient) = meco(1.0).oracle(&batch, &noise, tracker).value_and_grad(&p);
    let likelihood = |t: &Array| (&z * t).logsumexp_all() - (&x * t).mean_all();
    close(gradient.energy.theta.item(), grad(likelihood)(&p.energy.theta).item(), 1e-14);
}

#[test]
fn a_model_that_is_the_noise_stays_on_average() {
    let noise = Gaussian::isotropic(1, 1.0, DType::F64);
    let p = Parameters { energy: tilt(0.0), log_z: None };
    let gradients = (0..400).map(|i| {
        let stream = Stream::new(i);
        let (x, z) = (noise.sample(32, &stream.child("x")), noise.sample(32, &stream.child("z")));
        let batch = Batch::new(&x, &z, &noise);
        meco(0.1)
            .oracle(&batch, &noise, Tracker::default())
            .value_and_grad(&p)
            .1
            .energy
            .theta
            .item()
    });
    // Each has variance 2 / 32.
    close(gradients.sum::<f64>() / 400.0, 0.0, 4.0 * (2.0 / 32.0 / 400.0f64).sqrt());
}

#[test]
fn bounded_ratios_are_counted() {
    let noise = Gaussian::isotropic(1, 1.0, DType::F64);
    let log_ratio = Array::from_slice(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0f64.ln()], &[8]);
    let bounded = Meco { weight_clip: Some(2.0), ..Meco::default() };
    let weights = bounded.weights(&log_ratio, 0.0).to_vec::<f64>();
    close(weights[7], 2.0 * 1.25 / 8.0, 1e-15);
    close(weights[0], 1.0 / 8.0, 1e-15);
    assert_eq!(bounded.clipped(&log_ratio), Some(0.125));
    assert_eq!(Meco::default().clipped(&log_ratio), None);
    let estimator = Estimator { objective: Objective::Meco(bounded), ..Estimator::default() };
    let optimizer = Sgd::new(0.1);
    let mut fit = estimator.start(tilt(0.5), &optimizer);
    let data = Stream::new(0).normal(&[8, 1], DType::F64);
    let info = estimator.step(&mut fit, &noise, &optimizer, &data, &Stream::new(1));
    let names: Vec<_> = info.metrics.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["ess", "clipped", "log_u"]);
}

/// Mean distance of the average of the last 500 iterates from the mean of the data.
fn error(gamma: f64, mean: f64, deviation: f64) -> f64 {
    let noise = Gaussian::isotropic(1, deviation, DType::F64);
    let estimator = Estimator { form: Form::Free, ..meco(gamma) };
    let optimizer = GradientAverage::new(0.05).beta(0.1);
    let of_seed = |seed: u64| {
        let energy = Location { location: Array::zeros(&[1], DType::F64) };
        let mut fit = estimator.start(energy, &optimizer);
        let mut sum = 0.0;
        for step in 0..4000 {
            let stream = Stream::new(seed).at(step);
            let data = stream.child("data").normal(&[32, 1], DType::F64) + mean;
            estimator.step(&mut fit, &noise, &optimizer, &data, &stream);
            if step >= 3500 {
                sum += fit.parameters.energy.location.item();
            }
        }
        (sum / 500.0 - mean).abs()
    };
    (0..2).map(of_seed).sum::<f64>() / 2.0
}

#[test]
fn the_moving_average_takes_the_bias_away() {
    for (mean, deviation) in [(8.0, 6.0), (16.0, 12.0)] {
        let (unbiased, biased) = (error(0.1, mean, deviation), error(1.0, mean, deviation));
        assert!(unbiased <= biased / 3.0, "{unbiased} against {biased} at ({mean}, {deviation})");
    }
}

#[test]
fn steps_are_the_same_after_saving() {
    let noise = Gaussian::isotropic(1, 2.0, DType::F64);
    let optimizer = GradientAverage::new(0.1);
    let step = |fit: &mut Fit<Tilt>, i: u64| {
        let stream = Stream::new(9).at(i);
        let data = stream.child("data").normal(&[16, 1], DType::F64);
        meco(0.1).step(fit, &noise, &optimizer, &data, &stream);
    };
    let mut fit = meco(0.1).start(tilt(0.5), &optimizer);
    step(&mut fit, 0);
    // Numbers travel as text, arrays by their leaves.
    let text = serde_json::to_string(&fit).unwrap();
    let skeleton: Fit<Tilt> = serde_json::from_str(&text).unwrap();
    let mut again = skeleton.with_leaves(fit.leaves().into_iter().cloned());
    step(&mut fit, 1);
    step(&mut again, 1);
    assert_eq!(fit.tracker, again.tracker);
    assert_eq!(fit.parameters.energy.theta.item(), again.parameters.energy.theta.item());
}

#[test]
fn the_averaged_rule_has_a_name() {
    let read = |text: &str| serde_json::from_str::<OptimizerConfig>(text).unwrap();
    let rule = r#"{"optimizer": {"name": "gradient-average", "learning_rate": 0.1, "beta": 0.5, "weight_decay": 0.2}}"#;
    let config = read(rule);
    assert!(config.validate().is_ok());
    let (named, own) = (
        config.build::<Array>(10),
        GradientAverage { weight_decay: 0.2, ..GradientAverage::new(0.1).beta(0.5) },
    );
    let loss = |x: &Array| (x - 1.0).square().sum_all();
    let start = Stream::new(0).normal(&[4], DType::F64);
    let (mut a, mut b) = (start.clone(), start);
    let (mut s, mut t) = (named.init(&a), own.init(&b));
    for _ in 0..3 {
        named.step(&mut a, &mut s, &mut LossOracle(loss));
        own.step(&mut b, &mut t, &mut LossOracle(loss));
        assert_eq!(a.to_vec::<f64>(), b.to_vec::<f64>());
    }
    for beta in ["0.0", "1.5", "-1.0"] {
        let bad = read(&rule.replace("0.5", beta)).validate().err().unwrap();
        assert_eq!(bad.key, "optimizer.beta");
    }
}

#[test]
fn noise_is_fitted_to_data() {
    let data = Planar::TwoSpirals.sample(400, &Stream::new(0), DType::F64);
    let nll = |q: &dyn Noise| -q.log_density(&data).mean_all().item();
    let gaussian = nll(&Gaussian::fit(&data, 1.0).unwrap());
    let mixture = nll(&MixtureFit::default().fit(&data, &Stream::new(1)).unwrap());
    let settings = FlowFit { steps: 200, hidden: 16, learning_rate: 5e-3, ..FlowFit::default() };
    let start = nll(&settings.start(&data, &Stream::new(2)).unwrap());
    let flow = nll(&settings.fit(&data, &Stream::new(2)).unwrap());
    close(start, gaussian, 1e-9);
    assert!(mixture < gaussian - 0.05, "{mixture} against {gaussian}");
    assert!(flow < gaussian - 0.05, "{flow} against {gaussian}");
    assert!(FlowFit::default().start(&data.narrow(1, 0, 1), &Stream::new(0)).is_err());
    assert!(
        MixtureFit { components: 0, ..MixtureFit::default() }.fit(&data, &Stream::new(0)).is_err()
    );
}

#[test]
fn planar_densities_fit_their_points() {
    let nll = |planar: Planar| {
        let points = planar.sample(20_000, &Stream::new(3), DType::F64);
        -planar.log_density(&points).unwrap().mean_all().item()
    };
    close(nll(Planar::EightGaussians), 2.841, 0.03);
    close(nll(Planar::Checkerboard), 32f64.ln(), 1e-12);
    for planar in [Planar::TwoSpirals, Planar::Rings, Planar::Pinwheel] {
        let points = planar.sample(2000, &Stream::new(4), DType::F64);
        assert!(points.abs().max_all().item() < 6.0 && planar.log_density(&points).is_none());
    }
}

#[test]
fn whitened_components_have_unit_covariance_and_come_back() {
    let mix = Stream::new(0).normal(&[5, 5], DType::F64);
    let data = Stream::new(1).normal(&[200, 5], DType::F64).matmul(&mix) + 2.0;
    let whitener = Whitener::fit(&data, 3).unwrap();
    let z = whitener.apply(&data);
    let covariance = z.t().matmul(&z) / 200.0;
    assert!((covariance - Array::eye(3, DType::F64)).abs().max_all().item() < 1e-10);
    let whole = Whitener::fit(&data, 5).unwrap();
    assert!((whole.invert(&whole.apply(&data)) - &data).abs().max_all().item() < 1e-9);
    assert!(Whitener::fit(&data, 6).is_err());
}

#[test]
fn logits_of_pixels_know_their_volume() {
    let x = Array::from_slice(&[0.1, 0.5, 0.9, 0.3], &[2, 2]);
    let (_, log_det) = logit(&x);
    let slope = grad(|x: &Array| logit(x).0.sum_all())(&x).ln().sum(&[1]);
    assert!((slope - log_det).abs().max_all().item() < 1e-13);
    let whole = Array::from_slice(&[0.0f64, 16.0], &[2]);
    let spread = dequantize(&whole, 17, &Stream::new(0)).to_vec::<f64>();
    assert!((0.0..1.0 / 17.0).contains(&spread[0]) && (16.0 / 17.0..1.0).contains(&spread[1]));
}

#[test]
fn convolutional_energies_learn() {
    let stream = Stream::new(0);
    let energy = ConvEnergy::new([1, 8, 8], &[4, 8], &stream);
    let images = stream.uniform(&[3, 1, 8, 8], DType::F32);
    let flat = images.reshape(&[3, 64]);
    assert_eq!(energy.energy(&images).to_vec::<f32>(), energy.energy(&flat).to_vec::<f32>());
    let noise = UniformBox::new(&[0.0; 64], &[1.0; 64], DType::F32).unwrap();
    let optimizer = crate::Adam::new(0.01);
    let estimator = meco(0.1);
    let mut fit = estimator.start(energy, &optimizer);
    let data = flat * 0.5;
    let losses = (0..30)
        .map(|i| estimator.step(&mut fit, &noise, &optimizer, &data, &Stream::new(1).at(i)).loss);
    let losses: Vec<f64> = losses.collect();
    assert!(losses[29] < losses[0], "{losses:?}");
}

#[test]
fn foreign_examples_are_told_by_rank() {
    assert!((auroc(&[0.0, 1.0, 2.0], &[1.5, 3.0]) - 5.0 / 6.0).abs() < 1e-15);
    let familiar: Vec<f64> = (0..100).map(f64::from).collect();
    // The threshold is the 95th score, 94.
    assert_eq!(false_positive_rate(&familiar, &[90.0, 94.0, 94.5, 200.0]), 0.5);
}
