//! The other objectives.

use super::*;

/// Ten data, six points of noise, and a model with a learned normalization.
fn small() -> (Batch, Gaussian, Parameters<Tilt>) {
    let noise = Gaussian::isotropic(1, 1.5, DType::F64);
    let x = Stream::new(4).normal(&[10, 1], DType::F64) + 0.5;
    let z = noise.sample(6, &Stream::new(5));
    let p = Parameters { energy: tilt(0.4), log_z: Some(Array::scalar(0.2f64)) };
    (Batch::new(&x, &z, &noise), noise, p)
}

fn estimator(objective: Objective) -> Estimator {
    Estimator { objective, ..Estimator::default() }
}

#[test]
fn the_contrastive_gradient_weighs_by_errors_of_classification() {
    let (batch, noise, p) = small();
    let (theta, c) = (0.4, 0.2);
    let nu = 0.6f64;
    let nce = estimator(Objective::Nce);
    let (_, gradient) = nce.oracle(&batch, &noise, Tracker::default()).value_and_grad(&p);
    let logit = |x: &Array| x.squeeze(1) * theta - c - nu.ln();
    let (a, b) = ((-logit(&batch.data)).sigmoid(), logit(&batch.other).sigmoid() * nu);
    let of_theta =
        (&b * batch.other.squeeze(1)).mean_all() - (&a * batch.data.squeeze(1)).mean_all();
    close(gradient.energy.theta.item(), of_theta.item(), 1e-14);
    let of_c = a.mean_all() - b.mean_all();
    close(gradient.log_z.unwrap().item(), of_c.item(), 1e-14);
}

#[test]
fn a_constant_needs_the_learned_normalization_to_follow() {
    let (batch, noise, p) = small();
    // The same model with log p0 larger by 3.
    let shifted = Batch {
        data_log_q: &batch.data_log_q - 3.0,
        other_log_q: &batch.other_log_q - 3.0,
        ..batch.clone()
    };
    let value = |batch: &Batch, p: &Parameters<Tilt>| {
        let nce = Estimator { form: Form::Free, ..estimator(Objective::Nce) };
        nce.oracle(batch, &noise, Tracker::default()).value(p)
    };
    let followed = Parameters { log_z: Some(Array::scalar(3.2f64)), ..p.clone() };
    close(value(&batch, &p), value(&shifted, &followed), 1e-14);
    assert!((value(&batch, &p) - value(&shifted, &p)).abs() > 0.1);
}

#[test]
fn the_exponential_loss_takes_half_the_logits() {
    let (batch, noise, p) = small();
    let found = estimator(Objective::Ence).oracle(&batch, &noise, Tracker::default()).value(&p);
    let logit = |x: &Array| x.squeeze(1) * 0.4 - 0.2 - 0.6f64.ln();
    let expected = (logit(&batch.data) * -0.5).exp().mean_all().item()
        + 0.6 * (logit(&batch.other) * 0.5).exp().mean_all().item();
    close(found, expected, 1e-14);
}

#[test]
fn the_self_normalized_bound_touches_the_likelihood_at_the_normalization() {
    let (batch, noise) = exact(1.0);
    let snl = estimator(Objective::SelfNormalized);
    let theta = 0.7f64;
    let at = |c: f64| Parameters { energy: tilt(theta), log_z: Some(Array::scalar(c)) };
    let mut oracle = snl.oracle(&batch, &noise, Tracker::default());
    let log_z = theta * theta / 2.0;
    let (value, gradient) = oracle.value_and_grad(&at(log_z));
    let nll = meco(1.0).oracle(&batch, &noise, Tracker::default()).value(&at(log_z));
    close(value, nll, 1e-12);
    close(gradient.log_z.unwrap().item(), 0.0, 1e-12);
    close(gradient.energy.theta.item(), theta - 1.0, 1e-10);
    assert!(oracle.value(&at(log_z + 0.1)) > value && oracle.value(&at(log_z - 0.1)) > value);
}

#[test]
fn conditional_noise_compares_data_with_moved_data() {
    let (batch, noise, p) = small();
    let moved = Batch::new(&batch.data, &(&batch.data + 0.3), &noise);
    let free = Estimator { form: Form::Free, ..estimator(Objective::Cnce { deviation: 0.3 }) };
    let p = Parameters { log_z: None, ..p };
    let found = free.oracle(&moved, &noise, Tracker::default()).value(&p);
    // log p0(x') - log p0(x) is theta times the move, everywhere.
    close(found, (0.3 * 0.4f64).exp().ln_1p(), 1e-14);
}

#[test]
fn denoising_matches_scores() {
    let (batch, noise, _) = small();
    let deviation = 0.5;
    let moved = Batch::new(&batch.data, &(&batch.data * 1.1 - 0.2), &noise);
    let matching = estimator(Objective::ScoreMatching { deviation });
    let free = Estimator { form: Form::Free, ..matching };
    let loss = |location: &Array| {
        let energy = Location { location: location.clone() };
        let p = Parameters { energy, log_z: None };
        free.oracle(&moved, &noise, Tracker::default()).evaluate(&p)
    };
    let at = Array::from_slice(&[0.3], &[1]);
    let target = (&moved.other - &moved.data) / (deviation * deviation);
    let expected = (target - (&moved.other - &at)).square().mean_all().item() / 2.0;
    close(loss(&at).item(), expected, 1e-13);
    check::gradient(loss, &at, 2).unwrap();
    // The residual form adds the score of the noise, -z / 1.5^2.
    let p = Parameters { energy: tilt(0.4), log_z: None };
    let residual = matching.oracle(&moved, &noise, Tracker::default()).evaluate(&p);
    let target = (&moved.other - &moved.data) / (deviation * deviation);
    let expected = (target + 0.4 - &moved.other / 2.25).square().mean_all() / 2.0;
    close(residual.item(), expected.item(), 1e-13);
}

#[test]
fn contrastive_divergence_pulls_down_data_and_pushes_up_chains() {
    let (batch, noise, p) = small();
    let p = Parameters { log_z: None, ..p };
    let cd = estimator(Objective::ContrastiveDivergence(ContrastiveDivergence::default()));
    let (_, gradient) = cd.oracle(&batch, &noise, Tracker::default()).value_and_grad(&p);
    let expected = batch.other.mean_all() - batch.data.mean_all();
    close(gradient.energy.theta.item(), expected.item(), 1e-14);
}

#[test]
fn chains_take_turns() {
    let noise = Gaussian::isotropic(1, 1.0, DType::F64);
    let settings = ContrastiveDivergence { steps: 1, chains: 5, restart: 0.0, step_size: 0.1 };
    let cd = estimator(Objective::ContrastiveDivergence(settings));
    let optimizer = Sgd::new(0.01);
    let mut fit = cd.start(tilt(0.0), &optimizer);
    let data = Stream::new(1).normal(&[2, 1], DType::F64);
    let queue = |fit: &Fit<Tilt>| fit.chains.as_ref().unwrap().to_vec::<f64>();
    cd.step(&mut fit, &noise, &optimizer, &data, &Stream::new(2));
    let first = queue(&fit);
    cd.step(&mut fit, &noise, &optimizer, &data, &Stream::new(3));
    let second = queue(&fit);
    assert_eq!(first[2..], second[..3]);
    assert!(first[..2].iter().zip(&second[3..]).all(|(a, b)| a != b && (a - b).abs() < 1.0));
}
