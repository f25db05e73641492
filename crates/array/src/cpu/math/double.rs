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
    0.500_000_000_000_000_6,
    0.166_666_666_666_666_86,
    0.041_666_666_666_572_69,
    0.008_333_333_333_314_386,
    0.001_388_888_893_275_168_4,
    1.984_126_990_357_264_3e-4,
    2.480_150_394_008_167_2e-5,
    2.755_722_739_760_157e-6,
    2.762_654_591_871_477e-7,
    2.511_466_830_025_644e-8,
];
/// (2 atanh(s) - 2 s) / s in powers of s² (fdlibm).
const LOG: [f64; 7] = [
    6.666_666_666_666_735e-1,
    3.999_999_999_940_942e-1,
    2.857_142_874_366_239e-1,
    2.222_219_843_214_978_4e-1,
    1.818_357_216_161_805e-1,
    1.531_383_769_920_937_3e-1,
    1.479_819_860_511_658_6e-1,
];
/// erf(x) / x in powers of x², |x| <= 1.
const ERF_NEAR: [f64; 12] = [
    1.128_379_167_095_512_6,
    -0.376_126_389_031_835_47,
    0.112_837_916_709_452_53,
    -0.026_866_170_645_176_27,
    0.005_223_977_607_423_143,
    -8.548_325_989_684_064e-4,
    1.205_529_532_019_835_2e-4,
    -1.492_474_465_913_354_7e-5,
    1.644_751_764_237_785_3e-6,
    -1.620_917_574_958_91e-7,
    1.372_297_597_471_211e-8,
    -7.801_188_987_413_148e-10,
];
/// exp(x²) erfc(x) in powers of (x - 5/2) / (x + 5/2), 1 <= x <= 6.
const ERFCX: [f64; 15] = [
    0.210_806_364_061_143_56,
    -0.371_736_733_948_973_07,
    0.251_713_193_217_463_8,
    -0.125_033_052_378_905_5,
    0.039_922_539_074_065_996,
    -0.003_993_701_160_456_554,
    -0.002_642_365_903_245_636,
    8.759_152_893_082_266e-4,
    2.283_791_643_150_285_6e-4,
    -1.288_748_007_919_71e-4,
    -3.416_899_317_146_678e-5,
    1.859_638_718_291_467_5e-5,
    7.471_718_870_065_697e-6,
    -2.231_824_358_482_184_6e-6,
    -1.541_845_746_847_179_3e-6,
];
const SIN: [f64; 6] = [
    -1.666_666_666_666_663_2e-1,
    8.333_333_333_322_49e-3,
    -1.984_126_982_985_795e-4,
    2.755_731_370_707_007e-6,
    -2.505_076_025_340_686_3e-8,
    1.589_690_995_211_55e-10,
];
const COS: [f64; 6] = [
    4.166_666_666_666_66e-2,
    -1.388_888_888_887_411e-3,
    2.480_158_728_947_673e-5,
    -2.755_731_435_139_066_3e-7,
    2.087_572_321_298_175e-9,
    -1.135_964_755_778_819_5e-11,
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
        let far = 1.0 - Real::exp::<I>(-x * x) * scaled;
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
