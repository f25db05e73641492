//! Accuracy over dense grids, against the platform's functions, `libm`, and values computed with 40 digits.

use super::*;
use crate::cpu::simd::{Baseline, V3};

/// Distance in units in the last place of `want`.
fn ulps32(got: f32, want: f64) -> f64 {
    if (want as f32).is_infinite() || want.is_nan() {
        let same = got == want as f32 || (got.is_nan() && want.is_nan());
        return if same { 0.0 } else { f64::INFINITY };
    }
    let size = (want.abs() as f32).max(f32::MIN_POSITIVE);
    (f64::from(got) - want).abs()
        / (f64::from(f32::from_bits(size.to_bits() + 1)) - f64::from(size))
}

fn ulps64(got: f64, want: f64) -> f64 {
    if !want.is_finite() {
        let same = got == want || (got.is_nan() && want.is_nan());
        return if same { 0.0 } else { f64::INFINITY };
    }
    let size = want.abs().max(f64::MIN_POSITIVE);
    (got - want).abs() / (f64::from_bits(size.to_bits() + 1) - size)
}

/// The largest error over every 10007th f32, both signs, subnormal to infinite.
fn check32(name: &str, limit: f64, f: impl Fn(f32) -> f32, want: impl Fn(f64) -> f64) {
    for x in (0..=u32::MAX).step_by(10007).map(f32::from_bits).chain([
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.0,
        -0.0,
    ]) {
        let (got, want) = (f(x), want(f64::from(x)));
        assert!(ulps32(got, want) <= limit, "{name}({x:e}): got {got:e}, want {want:e}");
    }
}

/// The largest error over f64 of all magnitudes and over a grid of usual ones.
fn check64(name: &str, limit: f64, f: impl Fn(f64) -> f64, want: impl Fn(f64) -> f64) {
    let all = (0..500_000u64).map(|i| f64::from_bits(i.wrapping_mul(u64::MAX / 499_979)));
    let usual = (-200_000..=200_000).map(|i| f64::from(i) * 2.4e-4);
    for x in all.chain(usual).chain([f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0]) {
        let (got, want) = (f(x), want(x));
        assert!(ulps64(got, want) <= limit, "{name}({x:e}): got {got:e}, want {want:e}");
    }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}

fn singles<I: Isa>() {
    check32("exp", 1.1, |x| Real::exp::<I>(x), f64::exp);
    check32("expm1", 1.7, |x| Real::expm1::<I>(x), f64::exp_m1);
    check32("ln", 1.0, |x| Real::ln::<I>(x), f64::ln);
    check32("log1p", 1.5, |x| Real::log1p::<I>(x), f64::ln_1p);
    check32("tanh", 2.5, |x| Real::tanh::<I>(x), f64::tanh);
    check32("sinh", 2.5, |x| Real::sinh::<I>(x), f64::sinh);
    check32("cosh", 2.5, |x| Real::cosh::<I>(x), f64::cosh);
    check32("erf", 1.2, |x| Real::erf::<I>(x), libm::erf);
    check32("sigmoid", 2.5, |x| Real::sigmoid::<I>(x), sigmoid);
    check32("softplus", 1.8, |x| Real::softplus::<I>(x), softplus);
    let near = |x: f32| if x.angle_is_large() { 0.0 } else { x };
    check32("sin", 0.6, |x| Real::sin::<I>(near(x)), |x| f64::from(near(x as f32)).sin());
    check32("cos", 0.6, |x| Real::cos::<I>(near(x)), |x| f64::from(near(x as f32)).cos());
}

/// The references are themselves off by up to one place, hence looser limits than those documented.
fn doubles<I: Isa>() {
    check64("exp", 1.5, |x| Real::exp::<I>(x), f64::exp);
    check64("expm1", 2.5, |x| Real::expm1::<I>(x), f64::exp_m1);
    check64("ln", 1.5, |x| Real::ln::<I>(x), f64::ln);
    check64("log1p", 1.5, |x| Real::log1p::<I>(x), f64::ln_1p);
    check64("tanh", 4.0, |x| Real::tanh::<I>(x), f64::tanh);
    check64("sinh", 3.0, |x| Real::sinh::<I>(x), f64::sinh);
    check64("cosh", 3.0, |x| Real::cosh::<I>(x), f64::cosh);
    check64("erf", 2.0, |x| Real::erf::<I>(x), libm::erf);
    check64("sigmoid", 3.0, |x| Real::sigmoid::<I>(x), sigmoid);
    check64("softplus", 2.5, |x| Real::softplus::<I>(x), softplus);
    let near = |x: f64| if x.angle_is_large() { 0.0 } else { x };
    check64("sin", 1.0, |x| Real::sin::<I>(near(x)), |x| near(x).sin());
    check64("cos", 1.0, |x| Real::cos::<I>(near(x)), |x| near(x).cos());
}

#[test]
fn single_precision_with_fma() {
    singles::<V3>();
}

#[test]
fn single_precision_without_fma() {
    singles::<Baseline>();
}

#[test]
fn double_precision_with_fma() {
    doubles::<V3>();
}

#[test]
fn double_precision_without_fma() {
    doubles::<Baseline>();
}

#[test]
fn signs_of_zero_are_kept() {
    for f in [
        Real::expm1::<V3>,
        Real::log1p::<V3>,
        Real::tanh::<V3>,
        Real::sinh::<V3>,
        Real::erf::<V3>,
        Real::sin::<V3>,
    ] {
        assert!(f(-0.0f32) == 0.0 && f(-0.0f32).is_sign_negative());
    }
    for f in [
        Real::expm1::<V3>,
        Real::log1p::<V3>,
        Real::tanh::<V3>,
        Real::sinh::<V3>,
        Real::erf::<V3>,
        Real::sin::<V3>,
    ] {
        assert!(f(-0.0f64) == 0.0 && f(-0.0f64).is_sign_negative());
    }
}

#[test]
fn powers_agree_with_the_platform() {
    let interesting = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        -2.0,
        3.0,
        -3.0,
        0.5,
        -0.5,
        1.5,
        -2.5,
        1e-30,
        -1e30,
        88.0,
        1.0001,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    for x in interesting {
        for y in interesting {
            let (got, want) = (Real::pow::<V3>(x, y), f64::from(x).powf(f64::from(y)));
            assert!(ulps32(got, want) <= 0.51, "{x:e}^{y:e}: got {got:e}, want {want:e}");
            assert!(
                got.is_nan() || got.is_sign_negative() == want.is_sign_negative(),
                "sign of {x:e}^{y:e}"
            );
        }
    }
}

/// Values to 17 digits.
const POLYGAMMA: [(u32, f64, f64); 22] = [
    (0, 0.1, -10.423754940411076),
    (0, 1.4, -0.06138454458511624),
    (0, 1.4616, -3.110625123034165e-05),
    (0, -2.3, 3.3173231575618227),
    (0, 30.0, 3.384438132685525),
    (0, 2.5, 0.7031566406452432),
    (0, 1e-5, -100000.57719921567),
    (0, -100.3, 6.895643124860435),
    (0, 1e10, 23.025850929890456),
    (1, 0.3, 12.245364546107732),
    (1, 2.5, 0.49035775610023485),
    (1, -3.7, 14.84242186412428),
    (1, 1e-5, 10000000001.644908),
    (1, 1e6, 1.0000005000001667e-06),
    (2, 0.3, -75.27253658872604),
    (2, -1.2, 246.72729169898594),
    (2, 12.0, -0.007547205368998912),
    (3, 5.0, 0.021427828192755075),
    (3, -0.5, 193.40909103400244),
    (5, 1.0, 122.0811674381339),
    (5, 20.0, 8.48426620615823e-06),
    (8, 0.7, -999512.830457095),
];

#[test]
fn polygamma_agrees_with_known_values() {
    for (n, x, want) in POLYGAMMA {
        let got = polygamma(n, x);
        assert!(
            (got - want).abs() <= 1e-13 * want.abs(),
            "polygamma({n}, {x}): got {got:e}, want {want:e}"
        );
    }
    assert_eq!(polygamma(0, 0.0), f64::NEG_INFINITY);
    assert_eq!(polygamma(0, -0.0), f64::INFINITY);
    assert!(polygamma(0, -3.0).is_nan() && polygamma(2, -3.0).is_nan());
    assert_eq!(polygamma(1, -3.0), f64::INFINITY);
    assert_eq!(polygamma(0, f64::INFINITY), f64::INFINITY);
    assert_eq!(polygamma(1, f64::INFINITY), 0.0);
}

#[test]
fn lgamma_satisfies_its_recurrence_and_reflection() {
    for i in 1..4000 {
        let x = f64::from(i) * 0.0137 - 20.0;
        if (x - x.round()).abs() < 1e-6 {
            continue;
        }
        let (a, b) = (lgamma(x + 1.0), lgamma(x) + x.abs().ln());
        assert!(
            (a - b).abs() <= 1e-13 * a.abs().max(x.abs().ln().abs()).max(1.0),
            "at {x}: {a} and {b}"
        );
    }
    assert_eq!(lgamma(-4.0), f64::INFINITY);
    assert_eq!(lgamma(1.0), 0.0);
    assert_eq!(lgamma(2.0), 0.0);
    assert!((lgamma(0.5) - 0.5723649429247001).abs() < 1e-15);
}
