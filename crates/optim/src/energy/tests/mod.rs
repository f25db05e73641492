//! Against closed forms.

mod baselines;
mod training;

use lisse_array::{Array, DType, Stream, Tree, check, grad, hessian};

use super::meco::log_mean_exp;
use super::*;
use crate::{Optimizer, Oracle, Sgd};

/// Nodes and weights of the trapezoid rule for `N(mean, 1)`.
fn nodes(mean: f64) -> (Array, Array) {
    let (step, reach) = (0.02f64, 12.0);
    let count = (2.0 * reach / step) as usize + 1;
    let offsets: Vec<f64> = (0..count).map(|i| -reach + step * i as f64).collect();
    let scale = step / std::f64::consts::TAU.sqrt();
    let weights = offsets.iter().map(|d| scale * (-d * d / 2.0).exp()).collect();
    let points = offsets.iter().map(|d| mean + d).collect();
    (Array::from_vec(points, &[count, 1]), Array::from_vec(weights, &[count]))
}

/// Exact expectations under data `N(mean, 1)` and noise `N(0, 1)`.
fn exact(mean: f64) -> (Batch, Gaussian) {
    let noise = Gaussian::isotropic(1, 1.0, DType::F64);
    let ((x, wx), (z, wz)) = (nodes(mean), nodes(0.0));
    (Batch { weights: Some([wx, wz]), ..Batch::new(&x, &z, &noise) }, noise)
}

fn tilt(theta: f64) -> Tilt {
    Tilt { theta: Array::from_slice(&[theta], &[1]), square: false }
}

fn meco(gamma: f64) -> Estimator {
    Estimator {
        objective: Objective::Meco(Meco { gamma, ..Meco::default() }),
        ..Default::default()
    }
}

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not {b} within {tolerance}");
}

#[test]
fn the_moving_average_is_that_of_the_ratio() {
    let ratios = Array::from_slice(&[0.5f64, 2.0, 1.5], &[3]).ln();
    let before = Tracker { log_u: Some(0.0), updates: 1 };
    let after = Meco::default().update(&before, log_mean_exp(&ratios));
    close(after.log_u.unwrap(), 0.032_789_8, 5e-8);
    // Ratios beyond what a double holds.
    let far = Meco::default().update(&Tracker { log_u: Some(2000.0), updates: 1 }, 2001.0);
    close(far.log_u.unwrap(), 2000.0 + (0.9 + 0.1 * 1f64.exp()).ln(), 1e-9);
}

#[test]
fn without_averages_it_is_the_gradient_of_the_likelihood() {
    let (batch, noise) = exact(1.0);
    let (estimator, optimizer) = (meco(1.0), GradientAverage::new(0.5).beta(1.0));
    let mut fit = estimator.start(tilt(0.0), &optimizer);
    for k in 1..=8 {
        estimator.step_on(&mut fit, &noise, &optimizer, &batch);
        close(fit.parameters.energy.theta.item(), 1.0 - 0.5f64.powi(k), 1e-10);
    }
}

#[test]
fn with_averages_the_path_is_the_known_one() {
    let path = [
        (0.5, 1.0, -1.0),
        (0.867_197_656_7, 1.066_574_226_5, -0.734_395_313_3),
        (1.050_494_199_7, 1.261_522_250_2, -0.366_593_086_2),
        (1.087_924_506_9, 1.498_922_080_7, -0.074_860_614_3),
        (1.059_296_264_4, 1.653_071_142_8, 0.057_256_485_0),
        (1.022_424_840_6, 1.702_795_164_6, 0.073_742_847_6),
    ];
    let (batch, noise) = exact(1.0);
    let (estimator, optimizer) = (meco(0.5), GradientAverage::new(0.5).beta(0.5));
    let mut fit = estimator.start(tilt(0.0), &optimizer);
    for (theta, u, v) in path {
        estimator.step_on(&mut fit, &noise, &optimizer, &batch);
        close(fit.parameters.energy.theta.item(), theta, 1e-9);
        close(fit.tracker.log_u.unwrap().exp(), u, 1e-9);
        close(fit.optimizer.trees["average"].energy.theta.item(), v, 1e-9);
    }
    for _ in 0..200 {
        estimator.step_on(&mut fit, &noise, &optimizer, &batch);
    }
    close(fit.parameters.energy.theta.item(), 1.0, 1e-9);
    close(fit.tracker.log_u.unwrap(), 0.5, 1e-9);
}

#[test]
fn a_constant_moves_u_and_nothing_else() {
    let (batch, noise) = exact(1.0);
    let shifted = Batch { other_log_q: &batch.other_log_q - 3.0, ..batch.clone() };
    let estimator = Estimator { form: Form::Free, ..meco(0.5) };
    let optimizer = GradientAverage::new(0.1);
    let quadratic = || Tilt { square: true, ..tilt(0.5) };
    let mut plain = estimator.start(quadratic(), &optimizer);
    let mut moved = plain.clone();
    for _ in 0..20 {
        estimator.step_on(&mut plain, &noise, &optimizer, &batch);
        estimator.step_on(&mut moved, &noise, &optimizer, &shifted);
        let (a, b) = (&plain.parameters.energy.theta, &moved.parameters.energy.theta);
        close(a.item(), b.item(), 1e-12);
        close(moved.tracker.log_u.unwrap() - plain.tracker.log_u.unwrap(), 3.0, 1e-12);
    }
}

#[test]
fn a_model_that_is_the_noise_has_equal_weights() {
    let noise = Gaussian::isotropic(1, 1.0, DType::F64);
    let z = noise.sample(64, &Stream::new(3));
    let log_ratio = Density { energy: &tilt(0.0), form: Form::Residual, noise: &noise };
    let log_ratio = log_ratio.log_ratio(&z);
    assert!(
        Meco::default().weights(&log_ratio, 0.0).to_vec::<f64>().iter().all(|w| *w == 1.0 / 64.0)
    );
    assert_eq!(effective_share(&log_ratio), 1.0);
}

#[test]
fn the_gradient_is_that_of_the_surrogate() {
    let noise = Gaussian::isotropic(1, 1.5, DType::F64);
    let (x, z) = (Stream::new(0).normal(&[9, 1], DType::F64), noise.sample(7, &Stream::new(1)));
    let batch = Batch::new(&x, &z, &noise);
    let tracker = Tracker { log_u: Some(0.3), updates: 5 };
    let estimator = meco(0.1);
    let p = Parameters { energy: tilt(0.4), log_z: None };
    let mut oracle = estimator.oracle(&batch, &noise, tracker);
    let (_, gradient) = oracle.value_and_grad(&p);
    let log_u = oracle.tracker().log_u.unwrap();
    let held = |t: &Array| (&z * t - log_u).exp().mean_all() - (&x * t).mean_all();
    check::gradient(held, &p.energy.theta, 2).unwrap();
    close(gradient.energy.theta.item(), grad(held)(&p.energy.theta).item(), 1e-12);
    let one = Parameters { energy: tilt(1.0), log_z: None };
    let product = oracle.hvp(&p, &one).energy.theta.item();
    close(product, hessian(held, &p.energy.theta).item(), 1e-12);
}

#[test]
fn effective_shares_have_a_closed_form() {
    for (mean, deviation, inverse) in [
        (1.0, 1.0, std::f64::consts::E),
        (4.0, 3.0, 5.594_558_2),
        (8.0, 6.0, 10.523_253_7),
        (0.0, 2.0, 1.511_857_9),
    ] {
        let noise = Gaussian::isotropic(1, deviation, DType::F64);
        let energy = Location { location: Array::from_slice(&[mean], &[1]) };
        let density = Density { energy: &energy, form: Form::Free, noise: &noise };
        let found = Partition::estimate(&density, 1_000_000, &Stream::new(7));
        close(found.ess * inverse, 1.0, 0.02);
        let log_z = 0.5 * std::f64::consts::TAU.ln();
        close(found.log_z, log_z, 5.0 * found.standard_error);
    }
}

#[test]
fn contrastive_losses_and_their_flatness_are_the_known_ones() {
    let at = |mean: f64| {
        let (batch, noise) = exact(mean);
        move |p: &Array| {
            let energy = Tilt { theta: p.narrow(0, 0, 1), square: false };
            let p = Parameters { energy, log_z: Some(p.narrow(0, 1, 1).reshape(&[])) };
            let estimator = Estimator { objective: Objective::Nce, ..Estimator::default() };
            estimator.oracle(&batch, &noise, Tracker::default()).evaluate(&p)
        }
    };
    let point = |theta: f64, c: f64| Array::from_slice(&[theta, c], &[2]);
    close(at(1.0)(&point(1.0, 0.5)).item(), 1.163_451_396_8, 1e-9);
    close(at(2.0)(&point(0.5, 0.125)).item(), 1.036_837_891_1, 1e-9);
    close(at(8.0)(&point(8.0, 32.0)).item(), 1.870_70e-4, 1e-9);
    for (mean, least) in [
        (1.0, 0.213_37),
        (2.0, 0.056_886),
        (4.0, 2.060_22e-3),
        (6.0, 3.815_85e-5),
        (8.0, 3.466_28e-7),
    ] {
        let best = point(mean, mean * mean / 2.0);
        assert!(grad(at(mean))(&best).norm() < 1e-10);
        let (values, _) = hessian(at(mean), &best).eigh().unwrap();
        close(values.to_f64_vec()[0] / least, 1.0, 1e-4);
    }
}

#[test]
fn the_whole_newest_gradient_is_gradient_descent() {
    let quadratic = |x: &Array| (x - 0.3).square().sum_all();
    let (mut a, mut b) = (Stream::new(0).normal(&[5], DType::F32), Array::zeros(&[5], DType::F32));
    b = b + &a;
    let (average, sgd) = (GradientAverage::new(0.1).beta(1.0), Sgd::new(0.1));
    let (mut s, mut t) = (average.init(&a), sgd.init(&b));
    for _ in 0..5 {
        average.step(&mut a, &mut s, &mut crate::LossOracle(quadratic));
        sgd.step(&mut b, &mut t, &mut crate::LossOracle(quadratic));
        assert_eq!(a.to_vec::<f32>(), b.to_vec::<f32>());
    }
}

#[test]
fn densities_integrate_to_one_and_have_right_gradients() {
    let data = Planar::Pinwheel.sample(300, &Stream::new(0), DType::F64);
    let flow = FlowFit { couplings: 2, hidden: 8, steps: 20, ..FlowFit::default() };
    let noises: Vec<Box<dyn Noise>> = vec![
        Box::new(Gaussian::fit(&data, 1.2).unwrap()),
        Box::new(MixtureFit::default().fit(&data, &Stream::new(1)).unwrap()),
        Box::new(UniformBox::fit(&data, 0.1).unwrap()),
        Box::new(flow.fit(&data, &Stream::new(2)).unwrap()),
    ];
    let (cells, side) = (160, 16.0);
    let step = side / cells as f64;
    let grid: Vec<f64> = (0..cells * cells)
        .flat_map(|i| [i % cells, i / cells].map(|k| (k as f64 + 0.5) * step - side / 2.0))
        .collect();
    let grid = Array::from_vec(grid, &[cells * cells, 2]);
    for noise in &noises {
        let total = noise.log_density(&grid).exp().sum_all().item() * step * step;
        close(total, 1.0, 0.05);
        let drawn = noise.sample(8, &Stream::new(5));
        assert!(noise.log_density(&drawn).all_finite());
        check::gradient(|x: &Array| noise.log_density(x), &drawn, 2).unwrap();
    }
}

#[test]
fn chains_and_resampling_draw_from_the_model() {
    let noise = Gaussian::isotropic(1, 3.0, DType::F64);
    let energy = Location { location: Array::from_slice(&[1.0], &[1]) };
    let density = Density { energy: &energy, form: Form::Free, noise: &noise };
    let start = noise.sample(2000, &Stream::new(0));
    let langevin = Langevin { step_size: 0.8, steps: 60, metropolis: true, drift_bound: None };
    let (chains, accepted) = langevin.run(&density, &start, &Stream::new(1));
    assert!(accepted > 0.5 && accepted < 1.0, "{accepted}");
    let (again, _) = resample(&density, 2000, 20, &Stream::new(2)).unwrap();
    for x in [chains, again] {
        close(x.mean_all().item(), 1.0, 0.1);
        close((&x - 1.0).square().mean_all().item(), 1.0, 0.15);
    }
}

#[test]
fn values_out_of_range_name_themselves() {
    let wrong = |estimator: Estimator, key: &str| {
        let found = estimator.validate().err().map(|e| e.key);
        assert_eq!(found.as_deref(), Some(key));
    };
    wrong(meco(0.0), "objective.gamma");
    wrong(meco(1.1), "objective.gamma");
    wrong(meco(f64::NAN), "objective.gamma");
    wrong(Estimator { noise_ratio: 0, ..meco(0.1) }, "noise_ratio");
    wrong(Estimator { energy_penalty: -1.0, ..meco(0.1) }, "energy_penalty");
    let objective = Objective::Cnce { deviation: 0.0 };
    wrong(Estimator { objective, ..meco(0.1) }, "objective.deviation");
    let flat = Array::zeros(&[5, 2], DType::F64);
    assert!(Gaussian::fit(&flat, 1.0).is_err());
    assert!(Gaussian::fit(&(flat * f64::NAN), 1.0).is_err());
}
