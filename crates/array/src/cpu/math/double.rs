//! Functions of f64.

use super::{Real, polynomial};
use crate::cpu::simd::Isa;

/// Adding this to |x| < 2⁵¹ rounds x to the nearest integer, which then stands in the low bits of the sum.
const ROUNDER: f64 = 6755399441055744.0;
/// ln 2 in two parts, the first short enough for exact products with exponents (fdlibm).
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// (eʳ - 1 - r) / r² on |r| <= ln(2)/2.
const EXPM1: [f64; 10] = [
    0.5000000000000006,
    0.16666666666666685,
    0.04166666666657269,
    0.008333333333314387,
    0.0013888888932751685,
    0.00019841269903572646,
    2.4801503940008167e-5,
    2.755722739760157e-6,
    2.762654591871477e-7,
    2.511466830025644e-8,
];
/// (2 atanh(s) - 2 s) / s in powers of s² (fdlibm).
const LOG: [f64; 7] = [
    0.6666666666666735,
    0.3999999999940942,
    0.2857142874366239,
    0.22222198432149784,
    0.1818357216161805,
    0.15313837699209373,
    0.14798198605116586,
];
/// erf(x) / x in powers of x², |x| <= 1.
const ERF_NEAR: [f64; 12] = [
    std::f64::consts::FRAC_2_SQRT_PI,
    -0.3761263890318355,
    0.11283791670945253,
    -0.02686617064327617,
    0.0052239776074231425,
    -0.0008548325989684064,
    0.00012055295320198352,
    -1.4924744659133548e-5,
    1.6447517642377853e-6,
    -1.62091757495891e-7,
    1.372297597471211e-8,
    -7.801188987413148e-10,
];
/// exp(x²) erfc(x) in powers of (x - 5/2) / (x + 5/2), 1 <= x <= 6.
const ERFCX: [f64; 15] = [
    0.21080636406114356,
    -0.37173673394897305,
    0.25171319321746377,
    -0.1250330523789055,
    0.039922539074065996,
    -0.003993701160456554,
    -0.0026423659032456357,
    0.0008759152893302266,
    0.00022837916435150286,
    -0.00012887480079197108,
    -3.4168993171466775e-5,
    1.8596387182914676e-5,
    7.471718870065698e-6,
    -2.2318243584821845e-6,
    -1.5418457468471792e-6,
];
const SIN: [f64; 6] = [
    -0.16666666666666632,
    0.00833333333332249,
    -0.0001984126982985795,
    2.7557313707070068e-6,
    -2.5050760253406863e-8,
    1.58969099521155e-10,
];
const COS: [f64; 6] = [
    0.0416666666666666,
    -0.001388888888887411,
    2.480158728947673e-5,
    -2.7557314351390663e-7,
    2.087572321298175e-9,
    -1.1359647557788195e-11,
];

/// x = n ln 2 + r: returns (n as an integer, r).
#[inline(always)]
fn reduce<I: Isa>(x: f64) -> (i64, f64) {
    let shifted = x.fma::<I>(std::f64::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = n.fma::<I>(-LN2_LOW, n.fma::<I>(-LN2_HIGH, x));
    (shifted.to_bits().wrapping_sub(ROUNDER.to_bits()) as i64, r)
}

/// eʳ - 1 for |r| <= ln(2)/2.
#[inline(always)]
fn expm1_core<I: Isa>(r: f64) -> f64 {
    (r * r).fma::<I>(polynomial::<I, f64, 10>(r, EXPM1), r)
}

/// 2ⁿ for -1023 < n < 1024.
#[inline(always)]
fn two_to(n: i64) -> f64 {
    f64::from_bits((n.wrapping_add(1023) as u64) << 52)
}

/// 2^(n/2), rounded down, and 2 to what is left of n. The halves are found in 32 bits, which all vector units shift.
#[inline(always)]
fn two_to_halves(n: i64) -> (f64, f64) {
    let half = i64::from((n as i32) >> 1);
    (two_to(half), two_to(n.wrapping_sub(half)))
}

/// x = 2ᵏ m with sqrt(1/2) <= m < sqrt(2), for positive normal x: returns (k + 1023 as an integer, m).
#[inline(always)]
fn split(x: f64) -> (u64, f64) {
    const ROOT_HALF: u64 = 0x3fe6a09e667f3bcd;
    let shifted = x.to_bits().wrapping_add(0x3ff0000000000000 - ROOT_HALF);
    (shifted >> 52, f64::from_bits((shifted & 0x000fffffffffffff).wrapping_add(ROOT_HALF)))
}

/// A small non-negative integer as f64, by its bits: no vector unit before AVX-512 converts 64-bit integers.
#[inline(always)]
fn small_to_f64(n: u64) -> f64 {
    const TWO_52: f64 = 4503599627370496.0;
    f64::from_bits(n | TWO_52.to_bits()) - TWO_52
}

/// ln(2ᵏ (1 + f)).
#[inline(always)]
fn log_core<I: Isa>(k: f64, f: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let rest = z * polynomial::<I, f64, 7>(z, LOG);
    let half_square = 0.5 * f * f;
    let small = s.fma::<I>(half_square + rest, k * LN2_LOW);
    k.fma::<I>(LN2_HIGH, f - (half_square - small))
}

/// (sin r, cos r, quadrant) of `x` reduced to |r| <= pi/4.
#[inline(always)]
fn circle<I: Isa>(x: f64) -> (f64, f64, u64) {
    // pi/2 in parts whose products with n < 2²⁰ are exact.
    const PARTS: [f64; 3] = [1.5707963267341256, 6.07710050359346e-11, 2.912732056093356e-20];
    let shifted = x.fma::<I>(std::f64::consts::FRAC_2_PI, ROUNDER);
    let n = shifted - ROUNDER;
    let high = n.fma::<I>(-PARTS[0], x);
    let near = n.fma::<I>(-PARTS[1], high);
    // What the sums lost, so that results near zero keep their last places.
    let lost = n.fma::<I>(-PARTS[1], high - near) - n * PARTS[2];
    let r = near + lost;
    let tail = (near - r) + lost;
    let z = r * r;
    let sin_rest = polynomial::<I, f64, 6>(z, SIN);
    let sin = r + (z * r).fma::<I>(sin_rest, tail);
    let cos_rest = z * z * polynomial::<I, f64, 6>(z, COS);
    let half = 0.5 * z;
    let w = 1.0 - half;
    let cos = w + (((1.0 - w) - half) + (cos_rest - r * tail));
    (sin, cos, shifted.to_bits())
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const HALF: f64 = 0.5;
    const TWO: f64 = 2.0;
    const INFINITY: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    const EXP_SAFE: f64 = 709.0;

    #[inline(always)]
    fn of(value: f64) -> f64 {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn fma<I: Isa>(self, b: f64, c: f64) -> f64 {
        if I::FMA { self.mul_add(b, c) } else { self * b + c }
    }
    #[inline(always)]
    fn abs(self) -> f64 {
        f64::abs(self)
    }
    #[inline(always)]
    fn copysign(self, sign: f64) -> f64 {
        f64::copysign(self, sign)
    }
    #[inline(always)]
    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn floor(self) -> f64 {
        f64::floor(self)
    }
    #[inline(always)]
    fn ceil(self) -> f64 {
        f64::ceil(self)
    }
    #[inline(always)]
    fn round(self) -> f64 {
        f64::round_ties_even(self)
    }

    #[inline(always)]
    fn exp<I: Isa>(self) -> f64 {
        // Beyond these the result is infinite or zero; two factors reach every result between, subnormal ones too.
        let x = self.capped(710.0).raised(-746.0);
        let (n, r) = reduce::<I>(x);
        let (a, b) = two_to_halves(n);
        (1.0 + expm1_core::<I>(r)) * a * b
    }

    #[inline(always)]
    fn expm1<I: Isa>(self) -> f64 {
        let x = self.capped(710.0).raised(-40.0);
        let (n, r) = reduce::<I>(x);
        // Half of the result first: 2ⁿ itself may overflow where the result does not.
        let scale = two_to(n.wrapping_sub(1));
        let y = 2.0 * scale.fma::<I>(expm1_core::<I>(r), scale - 0.5);
        if self == 0.0 { self } else { y }
    }

    #[inline(always)]
    fn ln<I: Isa>(self) -> f64 {
        let subnormal = self < f64::MIN_POSITIVE;
        let x = if subnormal { self * 18014398509481984.0 } else { self };
        let (k, m) = split(x);
        let k = small_to_f64(k & 0x7ff) - if subnormal { 1077.0 } else { 1023.0 };
        let y = log_core::<I>(k, m - 1.0);
        let y = if self == f64::INFINITY { f64::INFINITY } else { y };
        let y = if self == 0.0 { f64::NEG_INFINITY } else { y };
        if self >= 0.0 { y } else { f64::NAN }
    }

    #[inline(always)]
    fn log1p<I: Isa>(self) -> f64 {
        let u = 1.0 + self;
        // What the sum lost, exactly; scaled with u below.
        let lost = if self > 1.0 { 1.0 - (u - self) } else { self - (u - 1.0) };
        let (k, m) = split(u);
        // 2^-k, made as half of 2^(1-k): zero for the largest k, where nothing of `lost` is left.
        let k = k & 0x7ff;
        let shrink = 0.5 * f64::from_bits(0x7ff0000000000000_u64.wrapping_sub(k << 52));
        let f = (m - 1.0) + lost * shrink;
        let y = log_core::<I>(small_to_f64(k) - 1023.0, f);
        let y = if self == f64::INFINITY { f64::INFINITY } else { y };
        let y = if self == -1.0 { f64::NEG_INFINITY } else { y };
        let y = if self == 0.0 { self } else { y };
        if self >= -1.0 { y } else { f64::NAN }
    }

    #[inline(always)]
    fn erf<I: Isa>(self) -> f64 {
        let x = self.abs();
        let near = self * polynomial::<I, f64, 12>(self * self, ERF_NEAR);
        let x = x.capped(6.0);
        let scaled = polynomial::<I, f64, 15>((x - 2.5) / (x + 2.5), ERFCX);
        // The exponent lies in [-36, 0]: none of the care that `exp` takes at its limits is needed.
        let (n, r) = reduce::<I>(-x * x);
        let far = 1.0 - (1.0 + expm1_core::<I>(r)) * two_to(n) * scaled;
        if self.abs() > 1.0 { far.copysign(self) } else { near }
    }

    #[inline(always)]
    fn sin<I: Isa>(self) -> f64 {
        let (sin, cos, quadrant) = circle::<I>(self);
        let y = if quadrant & 1 == 0 { sin } else { cos };
        let y = f64::from_bits(y.to_bits() ^ ((quadrant & 2) << 62));
        if self == 0.0 { self } else { y }
    }

    #[inline(always)]
    fn cos<I: Isa>(self) -> f64 {
        let (sin, cos, quadrant) = circle::<I>(self);
        let y = if quadrant & 1 == 0 { cos } else { sin };
        f64::from_bits(y.to_bits() ^ ((quadrant.wrapping_add(1) & 2) << 62))
    }

    #[inline(always)]
    fn angle_is_large(self) -> bool {
        f64::abs(self) > 1e6
    }

    fn sin_any(self) -> f64 {
        f64::sin(self)
    }
    fn cos_any(self) -> f64 {
        f64::cos(self)
    }
    #[inline(always)]
    fn pow<I: Isa>(self, exponent: f64) -> f64 {
        f64::powf(self, exponent)
    }
    fn tan(self) -> f64 {
        f64::tan(self)
    }
    fn asin(self) -> f64 {
        f64::asin(self)
    }
    fn acos(self) -> f64 {
        f64::acos(self)
    }
    fn atan(self) -> f64 {
        f64::atan(self)
    }
    fn atan2(self, x: f64) -> f64 {
        f64::atan2(self, x)
    }
    fn floor_mod(self, divisor: f64) -> f64 {
        let r = self % divisor;
        if r != 0.0 && (r < 0.0) != (divisor < 0.0) { r + divisor } else { r }
    }
}
