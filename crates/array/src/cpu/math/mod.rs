//! Elementary functions written so that loops over them vectorise.
//!
//! No function branches: both sides of a choice are computed and one is selected. Each returns the exact limits at 0,
//! infinities and NaN. Errors over the whole range, measured by the tests beside each file: at most 2 units in the
//! last place, but for those that say otherwise.

mod double;
mod gamma;
mod single;

#[cfg(test)]
mod tests;

use super::simd::Isa;

pub(crate) use gamma::{lgamma, polygamma};

/// The floating-point types kernels compute in.
pub(crate) trait Real:
    Copy
    + PartialOrd
    + Send
    + Sync
    + bytemuck::Pod
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
{
    const ZERO: Self;
    const ONE: Self;
    const HALF: Self;
    const TWO: Self;
    const INFINITY: Self;
    const NAN: Self;
    /// Up to here, exp is finite.
    const EXP_SAFE: Self;

    fn of(value: f64) -> Self;
    fn to_f64(self) -> f64;

    /// `self * b + c`, with one rounding where the processor does so.
    fn fma<I: Isa>(self, b: Self, c: Self) -> Self;
    fn abs(self) -> Self;
    fn copysign(self, sign: Self) -> Self;
    fn sqrt(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    /// To the nearest integer, halves to even.
    fn round(self) -> Self;

    fn exp<I: Isa>(self) -> Self;
    fn expm1<I: Isa>(self) -> Self;
    fn ln<I: Isa>(self) -> Self;
    fn log1p<I: Isa>(self) -> Self;
    fn erf<I: Isa>(self) -> Self;
    /// Sine for arguments that [`Real::angle_is_large`] does not name.
    fn sin<I: Isa>(self) -> Self;
    /// Cosine, likewise.
    fn cos<I: Isa>(self) -> Self;
    /// Whether the quick argument reduction of `sin` and `cos` is not good enough.
    fn angle_is_large(self) -> bool;
    fn sin_any(self) -> Self;
    fn cos_any(self) -> Self;
    fn pow<I: Isa>(self, exponent: Self) -> Self;

    // Functions that are seldom on a hot path: the platform's.
    fn tan(self) -> Self;
    fn asin(self) -> Self;
    fn acos(self) -> Self;
    fn atan(self) -> Self;
    fn atan2(self, x: Self) -> Self;
    /// The remainder of a division, with the sign of the divisor.
    fn floor_mod(self, divisor: Self) -> Self;

    /// tanh(x) = e / (e + 2) with e = exp(2|x|) - 1.
    #[inline(always)]
    fn tanh<I: Isa>(self) -> Self {
        let cap = Self::of(20.0);
        let twice = (self.abs() + self.abs()).capped(cap + cap);
        let e = twice.expm1::<I>();
        (e / (e + Self::TWO)).copysign(self)
    }

    /// sinh(x) = (e + e / (e + 1)) / 2 with e = exp(|x|) - 1; where that overflows, exp(|x|/2)^2 / 2.
    #[inline(always)]
    fn sinh<I: Isa>(self) -> Self {
        let x = self.abs();
        let e = x.expm1::<I>();
        let near = Self::HALF * (e + e / (e + Self::ONE));
        let root = (Self::HALF * x).exp::<I>();
        let far = (Self::HALF * root) * root;
        (if x > Self::EXP_SAFE { far } else { near }).copysign(self)
    }

    #[inline(always)]
    fn cosh<I: Isa>(self) -> Self {
        let x = self.abs();
        let e = x.exp::<I>();
        let near = Self::HALF * (e + Self::ONE / e);
        let root = (Self::HALF * x).exp::<I>();
        let far = (Self::HALF * root) * root;
        if x > Self::EXP_SAFE { far } else { near }
    }

    /// 1 / (1 + exp(-x)), accurate in both tails.
    #[inline(always)]
    fn sigmoid<I: Isa>(self) -> Self {
        let e = (-self.abs()).exp::<I>();
        let numerator = if self < Self::ZERO { e } else { Self::ONE };
        numerator / (Self::ONE + e)
    }

    /// ln(1 + exp(x)).
    #[inline(always)]
    fn softplus<I: Isa>(self) -> Self {
        let tail = (-self.abs()).exp::<I>().log1p::<I>();
        self.larger(Self::ZERO) + tail
    }

    /// The larger of two; NaN if either is.
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other || self.is_nan() { self } else { other }
    }

    /// The smaller of two; NaN if either is.
    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        if self < other || self.is_nan() { self } else { other }
    }

    /// At most `cap`; NaN stays.
    #[inline(always)]
    fn capped(self, cap: Self) -> Self {
        if self > cap { cap } else { self }
    }

    /// At least `floor`; NaN stays.
    #[inline(always)]
    fn raised(self, floor: Self) -> Self {
        if self < floor { floor } else { self }
    }

    #[inline(always)]
    #[allow(clippy::eq_op, clippy::wrong_self_convention)]
    fn is_nan(self) -> bool {
        self != self
    }
}

/// `c[0] + c[1] x + c[2] x² + ...` by Horner's rule.
#[inline(always)]
pub(crate) fn polynomial<I: Isa, T: Real, const N: usize>(x: T, c: [T; N]) -> T {
    let mut sum = c[N - 1];
    let mut k = N - 1;
    while k > 0 {
        k -= 1;
        sum = sum.fma::<I>(x, c[k]);
    }
    sum
}
