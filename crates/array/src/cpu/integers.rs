//! Element-wise operations on integers. Overflow wraps around.

use super::loops::{BinaryKernel, Map, Params, UnaryKernel, Zip};
use super::ops::{Binary, Unary};
use super::parallel::Work;
use super::simd::Isa;

/// The integer types of arrays.
pub(crate) trait Integer: bytemuck::Pod + Ord + Send + Sync {
    const ZERO: Self;
    const ONE: Self;
    const LEAST: Self;
    const GREATEST: Self;
    /// Nearest value of this type.
    fn of(value: f64) -> Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// Towards zero. Panics on division by zero.
    fn divided(self, other: Self) -> Self;
    /// The remainder with the sign of the divisor. Panics on division by zero.
    fn floor_mod(self, other: Self) -> Self;
    /// Panics on negative exponents.
    fn power(self, exponent: Self) -> Self;
}

macro_rules! integer {
    ($t:ty) => {
        impl Integer for $t {
            const ZERO: $t = 0;
            const ONE: $t = 1;
            const LEAST: $t = <$t>::MIN;
            const GREATEST: $t = <$t>::MAX;
            fn of(value: f64) -> $t {
                value as $t
            }
            #[inline(always)]
            fn plus(self, other: $t) -> $t {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn minus(self, other: $t) -> $t {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn times(self, other: $t) -> $t {
                self.wrapping_mul(other)
            }
            fn divided(self, other: $t) -> $t {
                assert!(other != 0, "div: division of integers by zero");
                self.wrapping_div(other)
            }
            #[allow(unused_comparisons)]
            fn floor_mod(self, other: $t) -> $t {
                assert!(other != 0, "rem: division of integers by zero");
                let r = self.wrapping_rem(other);
                if r != 0 && (r < 0) != (other < 0) { r.wrapping_add(other) } else { r }
            }
            #[allow(unused_comparisons)]
            fn power(self, exponent: $t) -> $t {
                assert!(exponent >= 0, "pow: integer to the negative power {exponent}");
                let (mut base, mut exponent, mut result) = (self, exponent, 1 as $t);
                while exponent > 0 {
                    if exponent & 1 == 1 {
                        result = result.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    exponent >>= 1;
                }
                result
            }
        }
    };
}
integer!(i64);
integer!(i32);
integer!(u8);

macro_rules! maps {
    ($($name:ident($p:pat, $x:ident) = $value:expr;)*) => {$(
        struct $name;
        impl<T: Integer> Map<T> for $name {
            #[inline(always)]
            fn apply<I: Isa>($p: Params<T>, $x: T) -> T {
                $value
            }
        }
    )*};
}

maps! {
    Neg(_, x) = T::ZERO.minus(x);
    Abs(_, x) = if x < T::ZERO { T::ZERO.minus(x) } else { x };
    Sign(_, x) = truth::<T>(x > T::ZERO).minus(truth(x < T::ZERO));
    Square(_, x) = x.times(x);
    Relu(_, x) = x.max(T::ZERO);
    Same(_, x) = x;
    AddScalar(p, x) = x.plus(p[0]);
    SubFromScalar(p, x) = p[0].minus(x);
    MulScalar(p, x) = x.times(p[0]);
    DivScalar(p, x) = x.divided(p[0]);
    DivScalarBy(p, x) = p[0].divided(x);
    PowScalar(p, x) = x.power(p[0]);
    Clamp(p, x) = x.max(p[0]).min(p[1]);
}

/// One for true, zero for false.
#[inline(always)]
fn truth<T: Integer>(value: bool) -> T {
    if value { T::ONE } else { T::ZERO }
}

macro_rules! zips {
    ($($name:ident($p:pat, $a:ident, $b:ident) = $value:expr;)*) => {$(
        struct $name;
        impl<T: Integer> Zip<T> for $name {
            #[inline(always)]
            fn apply<I: Isa>($p: T, $a: T, $b: T) -> T {
                $value
            }
        }
    )*};
}

zips! {
    Add(_, a, b) = a.plus(b);
    Sub(_, a, b) = a.minus(b);
    Mul(_, a, b) = a.times(b);
    Div(_, a, b) = a.divided(b);
    Pow(_, a, b) = a.power(b);
    Max(_, a, b) = a.max(b);
    Min(_, a, b) = a.min(b);
    Rem(_, a, b) = a.floor_mod(b);
    AddScaled(s, a, b) = a.plus(s.times(b));
}

/// The kernel of `op` on integers, where it has a meaning there.
pub(crate) fn unary_kernel<T: Integer>(op: Unary) -> Option<UnaryKernel<T>> {
    macro_rules! k {
        ($map:ident) => {
            k!($map, 0.0, 0.0)
        };
        ($map:ident, $a:expr, $b:expr) => {
            UnaryKernel::of::<$map>([T::of($a), T::of($b)], Work::Light)
        };
    }
    Some(match op {
        Unary::Neg => k!(Neg),
        Unary::Abs => k!(Abs),
        Unary::Sign => k!(Sign),
        Unary::Square => k!(Square),
        Unary::Relu => k!(Relu),
        Unary::Floor | Unary::Ceil | Unary::Round => k!(Same),
        Unary::AddScalar(s) => k!(AddScalar, s, 0.0),
        Unary::SubFromScalar(s) => k!(SubFromScalar, s, 0.0),
        Unary::MulScalar(s) => k!(MulScalar, s, 0.0),
        Unary::DivScalar(s) => k!(DivScalar, s, 0.0),
        Unary::DivScalarBy(s) => k!(DivScalarBy, s, 0.0),
        Unary::PowScalar(s) => k!(PowScalar, s, 0.0),
        Unary::Clamp(low, high) => k!(Clamp, low, high),
        _ => return None,
    })
}

/// The kernel of `op` on integers, where it has a meaning there.
pub(crate) fn binary_kernel<T: Integer>(op: Binary) -> Option<BinaryKernel<T>> {
    macro_rules! k {
        ($zip:ident) => {
            BinaryKernel::of::<$zip>(T::ZERO, Work::Light)
        };
    }
    Some(match op {
        Binary::Add => k!(Add),
        Binary::Sub => k!(Sub),
        Binary::Mul => k!(Mul),
        Binary::Div => k!(Div),
        Binary::Pow => k!(Pow),
        Binary::Max => k!(Max),
        Binary::Min => k!(Min),
        Binary::Rem => k!(Rem),
        Binary::AddScaled(s) => BinaryKernel::of::<AddScaled>(T::of(s), Work::Light),
        _ => return None,
    })
}
