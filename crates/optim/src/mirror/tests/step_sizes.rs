use super::*;

fn first(steps: &Steps, horizon: Option<u64>, count: u64) -> Vec<f64> {
    let plan = steps.plan(horizon).unwrap();
    (1..=count).map(|t| plan.at(t)).collect()
}

#[test]
fn tables() {
    let linear = Steps::LinearDecay { eta: 1.0 };
    assert_eq!(first(&linear, Some(4), 4), [0.5, 0.375, 0.25, 0.125]);
    let (mu, kappa) = (0.5, 2.0);
    near(&first(&Steps::ScF1 { mu, kappa }, None, 3), &[0.4, 0.33333, 0.2857143], 4e-6);
    near(&first(&Steps::ScH1 { mu, kappa }, None, 3), &[0.4, 0.33333, 0.2857143], 4e-6);
    near(&first(&Steps::ScF2 { mu, kappa }, None, 3), &[0.4, 0.3636364, 0.3333333], 5e-8);
    near(&first(&Steps::ScH2 { mu, kappa }, None, 2), &[4.0 / 9.0, 0.4], 1e-15);
    let phases = first(&Steps::ScTwoPhase { mu, kappa, c: 1.5 }, Some(6), 6);
    let expected = [0.4, 0.3636364, 0.3636364, 0.3636364, 0.3333333, 0.3076923];
    near(&phases, &expected, 5e-8);
    let sqrt = Steps::InvSqrt { eta: 1.0, smoothness: 1.0 };
    near(&first(&sqrt, None, 5), &[0.5, 0.5, 0.5, 0.5, 1.0 / 5f64.sqrt()], 1e-15);
    assert_eq!(first(&Steps::ConstSqrt { eta: 1.0, smoothness: 0.0 }, Some(4), 2), [0.5, 0.5]);
    let heavy = Steps::HeavyTail { eta: 1.0, p: 1.5, eta_s: Some(0.5), known_horizon: false };
    near(&first(&heavy, None, 8)[7..], &[0.25], 1e-15);
    near(&first(&heavy, None, 1), &[0.5], 1e-15);
    let linear = Steps::HeavyTailLinear { eta: 1.0, p: 2.0 };
    near(&first(&linear, Some(4), 4), &[0.5, 0.375, 0.25, 0.125], 1e-15);
}

#[test]
fn stages_are_linear_decays_of_doubled_length() {
    let plan = Steps::Stages { eta: 2.0, first: 3 }.plan(None).unwrap();
    let mut t = 0;
    for length in [3u64, 6, 12, 24] {
        let alone = Steps::LinearDecay { eta: 2.0 }.plan(Some(length)).unwrap();
        for local in 1..=length {
            t += 1;
            assert_eq!(plan.at(t), alone.at(local));
            assert_eq!(plan.ends_stage(t), local == length);
        }
    }
}

#[test]
fn tuned_steps_balance_their_bounds() {
    let tuned = |s: Steps| match s.tuned(2.0, 4.0, 100) {
        Steps::LinearDecay { eta }
        | Steps::InvSqrt { eta, .. }
        | Steps::HeavyTailLinear { eta, .. } => eta,
        _ => f64::NAN,
    };
    assert_eq!(tuned(Steps::LinearDecay { eta: 1.0 }), 2f64.sqrt() / 4.0);
    let log = 100f64.ln();
    let inv = tuned(Steps::InvSqrt { eta: 1.0, smoothness: 0.0 });
    assert!((inv - (2.0 / (16.0 * log)).sqrt()).abs() < 1e-15);
    let heavy = tuned(Steps::HeavyTailLinear { eta: 1.0, p: 2.0 });
    assert!((heavy - 2f64.sqrt() / 4.0).abs() < 1e-15);
}

#[test]
fn a_missing_horizon_and_bad_numbers_are_named() {
    let missing = Steps::LinearDecay { eta: 1.0 }.plan(None).unwrap_err().to_string();
    assert!(missing.contains("linear-decay") && missing.contains("inv-sqrt"), "{missing}");
    let key = |s: Steps| match s.validate() {
        Err(MirrorError::OutOfRange { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(key(Steps::InvSqrt { eta: 0.0, smoothness: 0.0 }), "steps.eta");
    assert_eq!(key(Steps::InvSqrt { eta: 1.0, smoothness: f64::NAN }), "steps.smoothness");
    assert_eq!(key(Steps::ScTwoPhase { mu: 1.0, kappa: 0.0, c: 1.0 }), "steps.c");
    assert_eq!(key(Steps::ScH1 { mu: 0.0, kappa: 0.0 }), "steps.mu");
    assert_eq!(key(Steps::Stages { eta: 1.0, first: 0 }), "steps.first");
    assert_eq!(key(Steps::HeavyTailLinear { eta: 1.0, p: 1.0 }), "steps.p");
}

#[test]
fn linear_to_zero_is_linear_decay_and_no_step_of_it_is_zero() {
    let total = 50;
    let zero = Schedule::LinearToZero { peak: 0.3, warmup: 0, total };
    let plan = Steps::LinearDecay { eta: 1.0 }.plan(Some(total)).unwrap();
    let factor = 0.3 * (total as f64).sqrt();
    for step in 0..total {
        assert!((zero.at(step) - factor * plan.at(step + 1)).abs() < 1e-15);
    }
    assert!(zero.at(total - 1) > 0.0);
}
