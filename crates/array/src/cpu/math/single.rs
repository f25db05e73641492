//! Functions of f32.

use super::{Real, polynomial};
use crate::cpu::simd::Isa;

/// Adding this to |x| < 2²² rounds x to the nearest integer, which then stands in the low bits of the sum.
const ROUNDER: f32 = 12582912.0;
/// ln 2 in two parts, the first short enough for exact products with exponents.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// (eʳ - 1 - r) / r² on |r| <= ln(2)/2.
const EXPM1: [f32; 5] = [0.5, 0.166_665_42, 0.041_666_28, 0.008_366_698, 0.001_394_664_9];
/// (2 atanh(s) - 2 s) / s in powers of s² (fdlibm).
const LOG: [f32; 4] = [0.666_666_6, 0.400_009_72, 0.284_987_87, 0.242_790_79];

/// x = n ln 2 + r: returns (n as an integer, r).
#[inline(always)]
fn reduce<I: Isa>(x: f32) -> (i32, f32) {
    let shifted = x.fma::<I>(std::f32::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = n.fma::<I>(-LN2_LOW, n.fma::<I>(-LN2_HIGH, x));
    (shifted.to_bits().wrapping_sub(ROUNDER.to_bits()) as i32, r)
}

/// eʳ - 1 for |r| <= ln(2)/2.
#[inline(always)]
fn expm1_core<I: Isa>(r: f32) -> f32 {
    (r * r).fma::<I>(polynomial::<I, f32, 5>(r, EXPM1), r)
}

/// 2ⁿ for -127 < n < 128.
#[inline(always)]
fn two_to(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// x = 2ᵏ m with sqrt(1/2) <= m < sqrt(2), for positive normal x: returns (k, m).
#[inline(always)]
fn split(x: f32) -> (i32, f32) {
    const ROOT_HALF: u32 = 0x3f3504f3;
    let shifted = x.to_bits().wrapping_add(0x3f800000 - ROOT_HALF);
    let k = (shifted >> 23) as i32 - 127;
    (k, f32::from_bits((shifted & 0x007fffff).wrapping_add(ROOT_HALF)))
}

/// ln(2ᵏ (1 + f)).
#[inline(always)]
fn log_core<I: Isa>(k: i32, f: f32) -> f32 {
    let s = f / (2.0 + f);
    let z = s * s;
    let rest = z * polynomial::<I, f32, 4>(z, LOG);
    let half_square = 0.5 * f * f;
    let k = k as f32;
    let small = s.fma::<I>(half_square + rest, k * LN2_LOW);
    k.fma::<I>(LN2_HIGH, f - (half_square - small))
}

/// Sine and cosine of `x`, reduced and evaluated in f64: (sin r, cos r, quadrant).
#[inline(always)]
fn circle<I: Isa>(x: f32) -> (f64, f64, u64) {
    const ROUNDER: f64 = 6755399441055744.0;
    // The first part has 33 bits, so that its product with n < 2²⁰ is exact.
    const HALF_PI: f64 = 1.5707963267341256;
    const HALF_PI_LOW: f64 = 6.077100506506192e-11;
    let x = f64::from(x);
    let shifted = x.fma::<I>(std::f64::consts::FRAC_2_PI, ROUNDER);
    let n = shifted - ROUNDER;
    let r = n.fma::<I>(-HALF_PI_LOW, n.fma::<I>(-HALF_PI, x));
    let z = r * r;
    let sin = (z * r).fma::<I>(
        polynomial::<I, f64, 4>(
            z,
            [
                -0.16666666641626524,
                0.008333329385889463,
                -1.9839334836096632e-4,
                2.718311493989822e-6,
            ],
        ),
        r,
    );
    let cos = z.fma::<I>(
        polynomial::<I, f64, 4>(
            z,
            [
                -0.499999997251031,
                0.04166662332373906,
                -0.001388676377460993,
                2.439_044_879_627_741e-5,
            ],
        ),
        1.0,
    );
    (sin, cos, shifted.to_bits())
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const HALF: f32 = 0.5;
    const TWO: f32 = 2.0;
    const INFINITY: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;
    const EXP_SAFE: f32 = 88.0;

    #[inline(always)]
    fn of(value: f64) -> f32 {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn fma<I: Isa>(self, b: f32, c: f32) -> f32 {
        if I::FMA { self.mul_add(b, c) } else { self * b + c }
    }
    #[inline(always)]
    fn abs(self) -> f32 {
        f32::abs(self)
    }
    #[inline(always)]
    fn copysign(self, sign: f32) -> f32 {
        f32::copysign(self, sign)
    }
    #[inline(always)]
    fn sqrt(self) -> f32 {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn floor(self) -> f32 {
        f32::floor(self)
    }
    #[inline(always)]
    fn ceil(self) -> f32 {
        f32::ceil(self)
    }
    #[inline(always)]
    fn round(self) -> f32 {
        f32::round_ties_even(self)
    }

    #[inline(always)]
    fn exp<I: Isa>(self) -> f32 {
        // Beyond these the result is infinite or zero; two factors reach every result between, subnormal ones too.
        let x = self.capped(90.0).raised(-105.0);
        let (n, r) = reduce::<I>(x);
        let half = n >> 1;
        (1.0 + expm1_core::<I>(r)) * two_to(half) * two_to(n.wrapping_sub(half))
    }

    #[inline(always)]
    fn expm1<I: Isa>(self) -> f32 {
        let x = self.capped(88.9).raised(-20.0);
        let (n, r) = reduce::<I>(x);
        // Half of the result first: 2ⁿ itself may overflow where the result does not.
        let scale = two_to(n.wrapping_sub(1));
        let y = 2.0 * scale.fma::<I>(expm1_core::<I>(r), scale - 0.5);
        if self == 0.0 { self } else { y }
    }

    #[inline(always)]
    fn ln<I: Isa>(self) -> f32 {
        let subnormal = self < f32::MIN_POSITIVE;
        let x = if subnormal { self * 8388608.0 } else { self };
        let (k, m) = split(x);
        let y = log_core::<I>(if subnormal { k - 23 } else { k }, m - 1.0);
        let y = if self == f32::INFINITY { f32::INFINITY } else { y };
        let y = if self == 0.0 { f32::NEG_INFINITY } else { y };
        if self >= 0.0 { y } else { f32::NAN }
    }

    #[inline(always)]
    fn log1p<I: Isa>(self) -> f32 {
        let u = 1.0 + self;
        // What the sum lost, exactly.
        let lost = if self > 1.0 { 1.0 - (u - self) } else { self - (u - 1.0) };
        let (k, m) = split(u);
        let y = log_core::<I>(k, (m - 1.0) + lost * two_to(-k.min(126)));
        let y = if self == f32::INFINITY { f32::INFINITY } else { y };
        let y = if self == -1.0 { f32::NEG_INFINITY } else { y };
        let y = if self == 0.0 { self } else { y };
        if self >= -1.0 { y } else { f32::NAN }
    }

    #[inline(always)]
    fn erf<I: Isa>(self) -> f32 {
        let t = self.abs();
        let s = self * self;
        let near = polynomial::<I, f32, 6>(
            s,
            [
                1.283_791_7e-1,
                -3.761_253_4e-1,
                1.128_199_25e-1,
                -2.676_813_5e-2,
                4.991_194_2e-3,
                -5.967_617e-4,
            ],
        )
        .fma::<I>(self, self);
        let t = t.capped(4.5);
        let exponent = polynomial::<I, f32, 7>(
            t,
            [
                -1.287_175_1e-1,
                -6.348_467e-1,
                -1.067_778_8e-1,
                2.425_462_2e-2,
                -3.883_964_4e-3,
                3.831_971_3e-4,
                -1.728_534_7e-5,
            ],
        );
        // The exponent lies in [-17, 0]: none of the care that `exp` takes at its limits is needed.
        let (n, r) = reduce::<I>(exponent.fma::<I>(t, -t));
        let scale = two_to(n);
        let far = (1.0 - scale) - scale * expm1_core::<I>(r);
        if self.abs() > 0.927_734_4 { far.copysign(self) } else { near }
    }

    #[inline(always)]
    fn sin<I: Isa>(self) -> f32 {
        let (sin, cos, quadrant) = circle::<I>(self);
        let y = if quadrant & 1 == 0 { sin } else { cos };
        let y = f64::from_bits(y.to_bits() ^ ((quadrant & 2) << 62)) as f32;
        if self == 0.0 { self } else { y }
    }

    #[inline(always)]
    fn cos<I: Isa>(self) -> f32 {
        let (sin, cos, quadrant) = circle::<I>(self);
        let y = if quadrant & 1 == 0 { cos } else { sin };
        f64::from_bits(y.to_bits() ^ ((quadrant.wrapping_add(1) & 2) << 62)) as f32
    }

    #[inline(always)]
    fn angle_is_large(self) -> bool {
        f32::abs(self) > 1e6
    }

    fn sin_any(self) -> f32 {
        f32::sin(self)
    }
    fn cos_any(self) -> f32 {
        f32::cos(self)
    }

    /// |x|^y = exp(y ln|x|) in f64, which leaves f32 correct to the last place; signs and special cases as in C.
    #[inline(always)]
    fn pow<I: Isa>(self, exponent: f32) -> f32 {
        let y = f64::from(exponent);
        let magnitude = f64::from(self.abs());
        let power = Real::exp::<I>(y * Real::ln::<I>(magnitude)) as f32;
        let power = if exponent == 0.0 || magnitude == 1.0 { 1.0 } else { power };
        let whole = f32::floor(exponent) == exponent;
        let half = 0.5 * exponent;
        let odd = whole && f32::floor(half) != half;
        let negative = self.is_sign_negative();
        let signed = if negative && odd { -power } else { power };
        let undefined = self < 0.0 && !whole && self != f32::NEG_INFINITY;
        let y = if undefined { f32::NAN } else { signed };
        let unordered =
            (Real::is_nan(self) && exponent != 0.0) || (Real::is_nan(exponent) && self != 1.0);
        if unordered { f32::NAN } else { y }
    }

    fn tan(self) -> f32 {
        f32::tan(self)
    }
    fn asin(self) -> f32 {
        f32::asin(self)
    }
    fn acos(self) -> f32 {
        f32::acos(self)
    }
    fn atan(self) -> f32 {
        f32::atan(self)
    }
    fn atan2(self, x: f32) -> f32 {
        f32::atan2(self, x)
    }
    fn floor_mod(self, divisor: f32) -> f32 {
        let r = self % divisor;
        if r != 0.0 && (r < 0.0) != (divisor < 0.0) { r + divisor } else { r }
    }
}
