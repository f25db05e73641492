use super::*;

#[test]
fn hill_finds_the_index_of_a_power_law() {
    // Quantiles of P(X > u) = u^-1.5.
    let norms: Vec<f64> = (1..=10_000).map(|i| (i as f64 / 10_001.0).powf(-1.0 / 1.5)).collect();
    let index = hill(&norms, 100).unwrap();
    assert!((index - 1.5).abs() < 0.05, "{index}");
    assert_eq!(hill(&[1.0; 50], 7), None);
    assert_eq!(hill(&[], 1), None);
    assert_eq!(hill(&[1.0, 2.0], 2), None);
    assert_eq!(
        (tail_moment(None), tail_moment(Some(9.0)), tail_moment(Some(0.5))),
        (2.0, 2.0, 1.05)
    );
}

#[test]
fn a_pilot_tells_heavy_noise_from_light() {
    let zero = |_: &[f64], _: &Draw<'_>, out: &mut [f64]| out.fill(0.0);
    let pilot_of = |noise: Noise| {
        let inner = Function { dimension: 5, value: |_: &[f64]| 0.0, gradient: zero };
        pilot(&Noisy { inner, noise }, &Mirror::Euclidean, &[0.0; 5], 4000, 1).unwrap()
    };
    let heavy = pilot_of(Noise::StudentT { df: 1.5, scale: 1.0 });
    assert!(heavy.p < 1.9, "{:?}", heavy.tail_index);
    // The quartiles of Student's t with 1.5 degrees of freedom.
    let noise = Noise::StudentT { df: 1.5, scale: 2.0 };
    let inner = Function { dimension: 20_000, value: |_: &[f64]| 0.0, gradient: zero };
    let mut draws = vec![0.0; 20_000];
    let draw = Draw { examples: &[], stream: Stream::new(4) };
    Noisy { inner, noise }.gradient(&vec![0.0; 20_000], &draw, &mut draws);
    draws.sort_by(f64::total_cmp);
    near(&[draws[5000], draws[10_000], draws[15_000]], &[-1.7452, 0.0, 1.7452], 0.12);
    let light = pilot_of(Noise::Gaussian { scale: 2.0 });
    assert_eq!(light.p, 2.0);
    assert!((light.gradient_rms - 2.0 * 5f64.sqrt()).abs() < 0.2);
    let weibull = pilot_of(Noise::SubWeibull { power: 0.5, scale: 1.0 });
    // E |noise|^2 = Gamma(1 + 2 / power) = 24.
    assert!((weibull.gradient_rms.powi(2) / 5.0 - 24.0).abs() < 6.0, "{}", weibull.gradient_rms);
}
