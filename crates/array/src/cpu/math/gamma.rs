//! The logarithm of the gamma function and its derivatives, in f64.

use std::f64::consts::PI;

/// ln|Γ(x)|; infinite at 0, -1, -2, ...
pub(crate) fn lgamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// The derivative of order `n + 1` of ln Γ: `polygamma(0, x)` is digamma, `polygamma(1, x)` trigamma, ...
///
/// For x > 0 the relative error stays below 1e-13; for x < 0, where zeros lie between any two poles, the error is
/// relative to the larger of the two terms of the reflection formula. At a pole: infinite where both sides agree in
/// sign (odd `n`), NaN where they do not; digamma takes the sign of a signed zero.
pub(crate) fn polygamma(n: u32, x: f64) -> f64 {
    if x.is_nan() || x == f64::NEG_INFINITY {
        return f64::NAN;
    }
    if x == 0.0 && n == 0 {
        return f64::INFINITY.copysign(-x);
    }
    if x <= 0.0 {
        if x == x.floor() {
            return if n % 2 == 1 { f64::INFINITY } else { f64::NAN };
        }
        return reflected(n, x);
    }
    if n == 0 { digamma(x) } else { high_order(n, x) }
}

/// ψₙ(x) = (-1)ⁿ ψₙ(1 - x) - π dⁿ/dxⁿ cot(πx).
fn reflected(n: u32, x: f64) -> f64 {
    let sign = if n.is_multiple_of(2) { 1.0 } else { -1.0 };
    let mirror = if n == 0 { digamma(1.0 - x) } else { high_order(n, 1.0 - x) };
    sign * mirror - PI * cotangent_derivative(n, x)
}

/// dⁿ/dxⁿ cot(πx), as a polynomial in c = cot(πx): each derivative maps p(c) to -π (1 + c²) p'(c).
fn cotangent_derivative(n: u32, x: f64) -> f64 {
    let angle = PI * (x - x.round());
    let c = angle.cos() / angle.sin();
    let mut p = vec![0.0, 1.0];
    for _ in 0..n {
        let mut next = vec![0.0; p.len() + 1];
        for (k, &a) in p.iter().enumerate().skip(1) {
            let d = -PI * a * k as f64;
            next[k - 1] += d;
            next[k + 1] += d;
        }
        p = next;
    }
    p.iter().rev().fold(0.0, |sum, &a| sum * c + a)
}

/// Bernoulli numbers B₂, B₄, ..., B₂₄.
const BERNOULLI: [f64; 12] = [
    1.0 / 6.0,
    -1.0 / 30.0,
    1.0 / 42.0,
    -1.0 / 30.0,
    5.0 / 66.0,
    -691.0 / 2730.0,
    7.0 / 6.0,
    -3617.0 / 510.0,
    43867.0 / 798.0,
    -174611.0 / 330.0,
    854513.0 / 138.0,
    -236364091.0 / 2730.0,
];

/// Digamma of x > 0.
fn digamma(x: f64) -> f64 {
    // Around the root, (x - root) times a polynomial keeps the relative error small.
    const ROOT: f64 = 1.4616321449683622;
    const ROOT_LOW: f64 = 9.549995429965697e-17;
    const SLOPE: [f64; 21] = [
        0.951_055_876_031_833,
        -0.4236274212814572,
        0.24054248424076243,
        -0.148_404_923_054_879_5,
        0.0949887244564976,
        -0.06192213318921027,
        0.040760833742712534,
        -0.026975800078016363,
        0.01790725451217726,
        -0.011908145663661514,
        0.007926913690867761,
        -0.005280911736330189,
        0.0035192878330421656,
        -0.002_337_499_133_197_718,
        0.001555048232145563,
        -0.0010778826094466374,
        7.287107988197346e-4,
        -3.543702107898549e-4,
        2.1709788937128857e-4,
        -3.787226545150078e-4,
        2.677933115887031e-4,
    ];
    if (1.0..=2.0).contains(&x) {
        let slope = SLOPE.iter().rev().fold(0.0, |sum, &c| sum * (x - 1.5) + c);
        return ((x - ROOT) - ROOT_LOW) * slope;
    }
    if x < 1.0 {
        return digamma(x + 1.0) - 1.0 / x;
    }
    let mut x = x;
    let mut shift = 0.0;
    while x < 12.0 {
        shift -= 1.0 / x;
        x += 1.0;
    }
    // ln x - 1/(2x) - Σ B₂ₖ / (2k x²ᵏ)
    let z = 1.0 / (x * x);
    let series = BERNOULLI
        .iter()
        .take(8)
        .enumerate()
        .rev()
        .fold(0.0, |sum, (k, b)| (sum + b / (2 * k + 2) as f64) * z);
    shift + (x.ln() - 0.5 / x - series)
}

/// ψₙ(x) = (-1)ⁿ⁺¹ n! Σₖ (x + k)⁻ⁿ⁻¹ for x > 0, n >= 1: terms up to a large x, then Euler-Maclaurin.
fn high_order(n: u32, x: f64) -> f64 {
    if x == f64::INFINITY {
        return 0.0;
    }
    let power = f64::from(n) + 1.0;
    let exponent = -(n as i32) - 1;
    let mut x = x;
    let mut sum = 0.0;
    while x < 14.0 + f64::from(n) {
        sum += x.powi(exponent);
        x += 1.0;
    }
    // Σ (x + k)^-s = x^(1-s)/(s-1) + x^-s/2 + Σ B₂ₖ/(2k)! s(s+1)...(s+2k-2) x^(1-s-2k)
    let base = x.powi(exponent);
    let mut tail = base * x / (power - 1.0) + 0.5 * base;
    let mut term = base * power / (2.0 * x);
    for (k, b) in BERNOULLI.iter().enumerate() {
        tail += b * term;
        let k = 2.0 * k as f64 + 2.0;
        term *= (power + k - 1.0) * (power + k) / ((k + 1.0) * (k + 2.0) * x * x);
    }
    let factorial: f64 = (1..=n).map(f64::from).product();
    let sign = if n % 2 == 1 { 1.0 } else { -1.0 };
    sign * factorial * (sum + tail)
}
