//! Elementary functions for draws, from additions, multiplications, divisions and square roots alone: the compiler can
//! vectorise them, and every IEEE machine gives the same bits (which the system's mathematical library doesn't promise).

#![expect(clippy::excessive_precision, reason = "coefficients stand as they were published")]

use std::f64::consts::FRAC_PI_2;

/// 2⁻⁶⁴.
pub(super) const ULP_64: f64 = 1.0 / 18_446_744_073_709_551_616.0;
const ONE_BITS: u64 = 0x3FF0_0000_0000_0000;
const MANTISSA: u64 = 0x000F_FFFF_FFFF_FFFF;

/// A word as a number in (0, 1], fine near zero: (word + 1) 2⁻⁶⁴, rounded.
#[inline(always)]
pub(super) fn open_unit(word: u64) -> f64 {
    (word as f64 + 1.0) * ULP_64
}

/// A word's leading `bits` bits (at most 53) as a number in [0, 1).
#[inline(always)]
pub(super) fn unit(word: u64, bits: u32) -> f64 {
    (word >> (64 - bits)) as f64 * (1.0 / (1_u64 << bits) as f64)
}

/// Natural logarithm of a positive normal number, within one unit in the last place (the method of fdlibm's `e_log.c`).
#[inline(always)]
pub(super) fn ln(x: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3FE6_A09E_0000_0000;
    const TWO_52: u64 = 0x4330_0000_0000_0000;
    const LN2_HIGH: f64 = 6.931_471_803_691_238_164_90e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;
    // x = 2^exponent (1 + f) with 1 + f between √½ and √2; the exponent turns into a float through a number near 2⁵².
    let shifted = x.to_bits().wrapping_add(ONE_BITS - SQRT_HALF);
    let exponent = f64::from_bits(TWO_52 | (shifted >> 52)) - (4_503_599_627_370_496.0 + 1023.0);
    let f = f64::from_bits((shifted & MANTISSA).wrapping_add(SQRT_HALF)) - 1.0;

    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w
        * (3.999999999940941908e-01
            + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    let odd = z
        * (6.666666666666735130e-01
            + w * (2.857142874366239149e-01
                + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    exponent * LN2_HIGH
        - ((half_square - (s * (half_square + (even + odd)) + exponent * LN2_LOW)) - f)
}

/// Cosine and sine of the angle of `word` 2⁻⁶⁴ turns (its leading 54 bits count).
#[inline(always)]
pub(super) fn cos_sin_turns(word: u64) -> (f64, f64) {
    // The nearest quarter turn, and the rest as a float in [-½, ½) quarter turns.
    let rounded = word.wrapping_add(1 << 61);
    let quarter = rounded >> 62;
    let x = (f64::from_bits(ONE_BITS | ((rounded << 2) >> 12)) - 1.5) * FRAC_PI_2;

    let z = x * x;
    let sine = x + x
        * z
        * (-1.66666666666666324348e-01
            + z * (8.33333333332248946124e-03
                + z * (-1.98412698298579493134e-04
                    + z * (2.75573137070700676789e-06
                        + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
    let cosine = 1.0
        - (0.5 * z
            - z * z
                * (4.16666666666666019037e-02
                    + z * (-1.38888888888741095749e-03
                        + z * (2.48015872894767294178e-05
                            + z * (-2.75573143513906633035e-07
                                + z * (2.08757232129817482790e-09
                                    - z * 1.13596475577881948265e-11))))));

    let odd = (quarter & 1).wrapping_neg();
    let (c, s) = (cosine.to_bits(), sine.to_bits());
    let cosine = (c & !odd) | (s & odd);
    let sine = (s & !odd) | (c & odd);
    let cosine_sign = (quarter.wrapping_add(1) & 2) << 62;
    let sine_sign = (quarter & 2) << 62;
    (f64::from_bits(cosine ^ cosine_sign), f64::from_bits(sine ^ sine_sign))
}

/// Two independent standard normals from two words (Box & Muller 1958); the tails reach 9.4.
#[inline(always)]
pub(super) fn box_muller(words: [u64; 2]) -> (f64, f64) {
    let radius = (-2.0 * ln(open_unit(words[0]))).sqrt();
    let (cosine, sine) = cos_sin_turns(words[1]);
    (radius * cosine, radius * sine)
}

/// One standard normal from one word, by inversion: the tail probability from 63 bits, the sign from the last.
pub(super) fn normal_by_inversion(word: u64) -> f64 {
    let tail = ((word >> 1) as f64 + 0.5) * ULP_64;
    let z = normal_quantile(tail);
    if word & 1 == 0 { z } else { -z }
}

/// Φ(x), the standard normal distribution function, with full relative accuracy in the lower tail.
pub(super) fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// Φ⁻¹(p) for p in (0, 1), to about 16 digits (Wichura 1988, algorithm AS 241, PPND16).
pub(super) fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * ratio(&CENTRE, r);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = (-ln(tail)).sqrt();
    let size = if r <= 5.0 { ratio(&SHOULDER, r - 1.6) } else { ratio(&TAIL, r - 5.0) };
    size.copysign(q)
}

/// A rational function: numerator and denominator coefficients, constants first.
fn ratio([numerator, denominator]: &[[f64; 8]; 2], x: f64) -> f64 {
    let polynomial = |c: &[f64; 8]| c.iter().rev().fold(0.0, |sum, c| sum * x + c);
    polynomial(numerator) / polynomial(denominator)
}

const CENTRE: [[f64; 8]; 2] = [
    [
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ],
    [
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ],
];
const SHOULDER: [[f64; 8]; 2] = [
    [
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ],
    [
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ],
];
const TAIL: [[f64; 8]; 2] = [
    [
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ],
    [
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_within_an_ulp_of_the_reference() {
        let mut x = 1.3e-300;
        while x < 1e300 {
            let (ours, reference) = (ln(x), libm::log(x));
            assert!((ours - reference).abs() <= reference.abs() * 2.3e-16, "{x}");
            x *= 1.0379;
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn cosine_and_sine_match_the_reference_around_the_circle() {
        for i in 0..1000_u64 {
            let word = i.wrapping_mul(0x0041_8937_4BC6_A7EF);
            let angle = word as f64 * ULP_64 * std::f64::consts::TAU;
            let (cosine, sine) = cos_sin_turns(word);
            assert!((cosine - libm::cos(angle)).abs() < 1e-15, "{i}");
            assert!((sine - libm::sin(angle)).abs() < 1e-15, "{i}");
        }
        assert_eq!(cos_sin_turns(0), (1.0, 0.0));
    }

    #[test]
    fn quantile_inverts_the_distribution_function_far_into_the_tail() {
        let mut x: f64 = -37.0;
        while x < 5.0 {
            let back = normal_quantile(normal_cdf(x));
            // Above the median p is near one, where its own spacing limits what can be recovered.
            let limit = if x < 0.0 { 1e-13 } else { 1e-9 };
            assert!((back - x).abs() <= limit * x.abs().max(1.0), "{x}: {back}");
            x += 0.013;
        }
    }

    #[test]
    fn extreme_words_give_finite_normals() {
        for word in [0, 1, u64::MAX - 1, u64::MAX] {
            assert!(normal_by_inversion(word).is_finite());
            let (a, b) = box_muller([word, word]);
            assert!(a.is_finite() && b.is_finite());
        }
        assert!(box_muller([0, 0]).0 > 9.0);
    }
}
