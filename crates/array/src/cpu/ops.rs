//! The element-wise operations and, for each, a kernel per element type.

use std::mem::MaybeUninit;

use super::loops::{BinaryKernel, CompareKernel, Map, Params, UnaryKernel, Zip};
use super::math::{self, Real};
use super::parallel::Work;
use super::simd::Isa;

/// Operations on one array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unary {
    Neg,
    Abs,
    /// -1, 0 or 1; keeps zeros and NaN.
    Sign,
    Exp,
    Expm1,
    Ln,
    Log1p,
    Sqrt,
    Recip,
    Square,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Erf,
    Sigmoid,
    Softplus,
    Relu,
    GeluErf,
    GeluTanh,
    Silu,
    Floor,
    Ceil,
    /// To the nearest integer, halves to even.
    Round,
    /// ln|Γ(x)|.
    Lgamma,
    /// Derivative of order n + 1 of ln Γ.
    Polygamma(u32),
    /// x + s
    AddScalar(f64),
    /// s - x
    SubFromScalar(f64),
    /// x s
    MulScalar(f64),
    /// x / s
    DivScalar(f64),
    /// s / x
    DivScalarBy(f64),
    /// xˢ
    PowScalar(f64),
    /// x within the two bounds; NaN stays.
    Clamp(f64, f64),
}

/// Operations on two arrays, with those first derivatives whose parts would otherwise need several passes:
/// for them `a` is a value and `b` the cotangent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    /// Integers are divided towards zero.
    Div,
    Pow,
    /// NaN if either is.
    Max,
    /// NaN if either is.
    Min,
    /// The remainder with the sign of the divisor.
    Rem,
    Atan2,
    /// b (1 - a²), a = tanh x
    TanhGrad,
    /// b a (1 - a), a = sigmoid x
    SigmoidGrad,
    /// b where a > 0
    ReluGrad,
    GeluErfGrad,
    GeluTanhGrad,
    SiluGrad,
    SoftplusGrad,
    /// a + s b
    AddScaled(f64),
}

/// Comparisons; those with NaN are false, but for `NotEqual`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// Declares operations on one number: `Name(p, x) = value`.
macro_rules! maps {
    ($($name:ident($p:pat, $x:ident) = $value:expr;)*) => {$(
        struct $name;
        impl<T: Real> Map<T> for $name {
            #[inline(always)]
            fn apply<I: Isa>($p: Params<T>, $x: T) -> T {
                $value
            }
        }
    )*};
}

maps! {
    Neg(_, x) = -x;
    Abs(_, x) = x.abs();
    Sign(_, x) = if x > T::ZERO { T::ONE } else if x < T::ZERO { -T::ONE } else { x };
    Exp(_, x) = x.exp::<I>();
    Expm1(_, x) = x.expm1::<I>();
    Ln(_, x) = x.ln::<I>();
    Log1p(_, x) = x.log1p::<I>();
    Sqrt(_, x) = x.sqrt();
    Recip(_, x) = T::ONE / x;
    Square(_, x) = x * x;
    Tan(_, x) = x.tan();
    Asin(_, x) = x.asin();
    Acos(_, x) = x.acos();
    Atan(_, x) = x.atan();
    Sinh(_, x) = x.sinh::<I>();
    Cosh(_, x) = x.cosh::<I>();
    Tanh(_, x) = x.tanh::<I>();
    Erf(_, x) = x.erf::<I>();
    Sigmoid(_, x) = x.sigmoid::<I>();
    Softplus(_, x) = x.softplus::<I>();
    Relu(_, x) = if x > T::ZERO || x.is_nan() { x } else { T::ZERO };
    GeluErf(_, x) = T::HALF * far_below(x) * (T::ONE + (x * T::of(std::f64::consts::FRAC_1_SQRT_2)).erf::<I>());
    GeluTanh(_, x) = far_below(x) * gelu_gate::<T, I>(far_below(x)).0;
    Silu(_, x) = far_below(x) * x.sigmoid::<I>();
    Floor(_, x) = x.floor();
    Ceil(_, x) = x.ceil();
    Round(_, x) = x.round();
    Lgamma(_, x) = T::of(math::lgamma(x.to_f64()));
    Polygamma(p, x) = T::of(math::polygamma(p[0].to_f64() as u32, x.to_f64()));
    AddScalar(p, x) = x + p[0];
    SubFromScalar(p, x) = p[0] - x;
    MulScalar(p, x) = x * p[0];
    DivScalar(p, x) = x / p[0];
    DivScalarBy(p, x) = p[0] / x;
    PowScalar(p, x) = x.pow::<I>(p[0]);
    Cube(_, x) = x * x * x;
    RecipSqrt(_, x) = T::ONE / x.sqrt();
    RecipSquare(_, x) = T::ONE / (x * x);
    Clamp(p, x) = x.raised(p[0]).capped(p[1]);
    One(_, _x) = T::ONE;
    Same(_, x) = x;
}

/// Sine and cosine, which leave large angles to the platform's functions.
macro_rules! circular {
    ($name:ident, $fast:ident, $any:ident) => {
        struct $name;
        impl<T: Real> Map<T> for $name {
            const GUARDED: bool = true;
            #[inline(always)]
            fn apply<I: Isa>(_: Params<T>, x: T) -> T {
                x.$fast::<I>()
            }
            #[inline(always)]
            fn is_special(x: T) -> bool {
                x.angle_is_large()
            }
            fn special(x: T) -> T {
                x.$any()
            }
        }
    };
}
circular!(Sin, sin, sin_any);
circular!(Cos, cos, cos_any);

/// Declares operations on two numbers: `Name(p, a, b) = value`.
macro_rules! zips {
    ($($name:ident($p:pat, $a:ident, $b:ident) = $value:expr;)*) => {$(
        struct $name;
        impl<T: Real> Zip<T> for $name {
            #[inline(always)]
            fn apply<I: Isa>($p: T, $a: T, $b: T) -> T {
                $value
            }
        }
    )*};
}

zips! {
    Add(_, a, b) = a + b;
    Sub(_, a, b) = a - b;
    Mul(_, a, b) = a * b;
    Div(_, a, b) = a / b;
    Pow(_, a, b) = a.pow::<I>(b);
    Max(_, a, b) = a.larger(b);
    Min(_, a, b) = a.smaller(b);
    Rem(_, a, b) = a.floor_mod(b);
    Atan2(_, a, b) = a.atan2(b);
    TanhGrad(_, a, b) = b * (T::ONE - a * a);
    SigmoidGrad(_, a, b) = b * (a * (T::ONE - a));
    ReluGrad(_, a, b) = if a > T::ZERO { b } else { T::ZERO };
    GeluErfGrad(_, a, b) = b * gelu_erf_slope::<T, I>(a);
    GeluTanhGrad(_, a, b) = b * gelu_tanh_slope::<T, I>(a);
    SiluGrad(_, a, b) = b * silu_slope::<T, I>(a);
    SoftplusGrad(_, a, b) = b * a.sigmoid::<I>();
    AddScaled(s, a, b) = s.fma::<I>(b, a);
}

/// `x`, but finite where it is far below zero: there every gate that multiplies it is zero already.
#[inline(always)]
fn far_below<T: Real>(x: T) -> T {
    x.raised(T::of(-800.0))
}

/// s = sigmoid(2u), which is (1 + tanh u) / 2, for u = sqrt(2/pi) (x + 0.044715 x³); and du/dx.
#[inline(always)]
fn gelu_gate<T: Real, I: Isa>(x: T) -> (T, T) {
    let scale = T::of(0.7978845608028654);
    let cubic = T::of(0.044715);
    let square = x * x;
    let u = scale * x * cubic.fma::<I>(square, T::ONE);
    let slope = scale * (T::of(3.0) * cubic).fma::<I>(square, T::ONE);
    ((u + u).sigmoid::<I>(), slope)
}

/// s + x s (1 - s) 2u'.
#[inline(always)]
fn gelu_tanh_slope<T: Real, I: Isa>(x: T) -> T {
    let x = x.raised(T::of(-100.0)).capped(T::of(100.0));
    let (s, slope) = gelu_gate::<T, I>(x);
    s + x * (s * (T::ONE - s)) * (slope + slope)
}

/// Φ(x) + x φ(x).
#[inline(always)]
fn gelu_erf_slope<T: Real, I: Isa>(x: T) -> T {
    let x = x.raised(T::of(-100.0)).capped(T::of(100.0));
    let below = T::HALF * (T::ONE + (x * T::of(std::f64::consts::FRAC_1_SQRT_2)).erf::<I>());
    let density = T::of(0.3989422804014327) * (-T::HALF * (x * x)).exp::<I>();
    x.fma::<I>(density, below)
}

/// s (1 + x (1 - s)).
#[inline(always)]
fn silu_slope<T: Real, I: Isa>(x: T) -> T {
    let s = x.sigmoid::<I>();
    let x = far_below(x).capped(T::of(800.0));
    s * x.fma::<I>(T::ONE - s, T::ONE)
}

/// The kernel of `op` on floats.
pub(crate) fn unary_kernel<T: Real>(op: Unary) -> UnaryKernel<T> {
    use Work::{Heavy, Light, Slow};
    macro_rules! k {
        ($map:ident, $work:expr) => {
            k!($map, $work, 0.0, 0.0)
        };
        ($map:ident, $work:expr, $a:expr, $b:expr) => {
            UnaryKernel::of::<$map>([T::of($a), T::of($b)], $work)
        };
    }
    match op {
        Unary::Neg => k!(Neg, Light),
        Unary::Abs => k!(Abs, Light),
        Unary::Sign => k!(Sign, Light),
        Unary::Exp => k!(Exp, Heavy),
        Unary::Expm1 => k!(Expm1, Heavy),
        Unary::Ln => k!(Ln, Heavy),
        Unary::Log1p => k!(Log1p, Heavy),
        Unary::Sqrt | Unary::PowScalar(0.5) => k!(Sqrt, Light),
        Unary::Recip | Unary::PowScalar(-1.0) => k!(Recip, Light),
        Unary::Square | Unary::PowScalar(2.0) => k!(Square, Light),
        Unary::Sin => k!(Sin, Heavy),
        Unary::Cos => k!(Cos, Heavy),
        Unary::Tan => k!(Tan, Slow),
        Unary::Asin => k!(Asin, Slow),
        Unary::Acos => k!(Acos, Slow),
        Unary::Atan => k!(Atan, Slow),
        Unary::Sinh => k!(Sinh, Heavy),
        Unary::Cosh => k!(Cosh, Heavy),
        Unary::Tanh => k!(Tanh, Heavy),
        Unary::Erf => k!(Erf, Heavy),
        Unary::Sigmoid => k!(Sigmoid, Heavy),
        Unary::Softplus => k!(Softplus, Heavy),
        Unary::Relu => k!(Relu, Light),
        Unary::GeluErf => k!(GeluErf, Heavy),
        Unary::GeluTanh => k!(GeluTanh, Heavy),
        Unary::Silu => k!(Silu, Heavy),
        Unary::Floor => k!(Floor, Light),
        Unary::Ceil => k!(Ceil, Light),
        Unary::Round => k!(Round, Light),
        Unary::Lgamma => k!(Lgamma, Slow),
        Unary::Polygamma(n) => k!(Polygamma, Slow, f64::from(n), 0.0),
        Unary::AddScalar(s) => k!(AddScalar, Light, s, 0.0),
        Unary::SubFromScalar(s) => k!(SubFromScalar, Light, s, 0.0),
        Unary::MulScalar(s) => k!(MulScalar, Light, s, 0.0),
        Unary::DivScalar(s) => k!(DivScalar, Light, s, 0.0),
        Unary::DivScalarBy(s) => k!(DivScalarBy, Light, s, 0.0),
        Unary::Clamp(low, high) => k!(Clamp, Light, low, high),
        Unary::PowScalar(0.0) => k!(One, Light),
        Unary::PowScalar(1.0) => k!(Same, Light),
        Unary::PowScalar(3.0) => k!(Cube, Light),
        Unary::PowScalar(-2.0) => k!(RecipSquare, Light),
        Unary::PowScalar(-0.5) => k!(RecipSqrt, Light),
        Unary::PowScalar(s) => {
            k!(PowScalar, if size_of::<T>() == 8 { Slow } else { Heavy }, s, 0.0)
        }
    }
}

/// The kernel of `op` on floats.
pub(crate) fn binary_kernel<T: Real>(op: Binary) -> BinaryKernel<T> {
    use Work::{Heavy, Light, Slow};
    macro_rules! k {
        ($zip:ident, $work:expr) => {
            BinaryKernel::of::<$zip>(T::ZERO, $work)
        };
    }
    match op {
        Binary::Add => k!(Add, Light),
        Binary::Sub => k!(Sub, Light),
        Binary::Mul => k!(Mul, Light),
        Binary::Div => k!(Div, Light),
        Binary::Pow => k!(Pow, if size_of::<T>() == 8 { Slow } else { Heavy }),
        Binary::Max => k!(Max, Light),
        Binary::Min => k!(Min, Light),
        Binary::Rem => k!(Rem, Slow),
        Binary::Atan2 => k!(Atan2, Slow),
        Binary::TanhGrad => k!(TanhGrad, Light),
        Binary::SigmoidGrad => k!(SigmoidGrad, Light),
        Binary::ReluGrad => k!(ReluGrad, Light),
        Binary::GeluErfGrad => k!(GeluErfGrad, Heavy),
        Binary::GeluTanhGrad => k!(GeluTanhGrad, Heavy),
        Binary::SiluGrad => k!(SiluGrad, Heavy),
        Binary::SoftplusGrad => k!(SoftplusGrad, Heavy),
        Binary::AddScaled(s) => BinaryKernel::of::<AddScaled>(T::of(s), Light),
    }
}

/// A comparison of any ordered elements.
pub(crate) fn compare_kernel<T: bytemuck::Pod + PartialOrd>(op: Compare) -> CompareKernel<T> {
    match op {
        Compare::Equal => comparison::equal::<T>,
        Compare::NotEqual => comparison::not_equal::<T>,
        Compare::Less => comparison::less::<T>,
        Compare::LessEqual => comparison::less_equal::<T>,
        Compare::Greater => comparison::greater::<T>,
        Compare::GreaterEqual => comparison::greater_equal::<T>,
    }
}

mod comparison {
    use super::{Isa, MaybeUninit};
    use crate::cpu::simd::per_isa;

    macro_rules! comparisons {
        ($($name:ident $body:ident $op:tt;)*) => {$(
            per_isa! {
                pub(super) fn $name<T: PartialOrdPod>(a: &[T], b: &[T], out: &mut [MaybeUninit<u8>]) = $body
            }
            #[inline(always)]
            fn $body<I: Isa, T: PartialOrdPod>(a: &[T], b: &[T], out: &mut [MaybeUninit<u8>]) {
                for ((&a, &b), out) in a.iter().zip(b).zip(out) {
                    out.write(u8::from(a $op b));
                }
            }
        )*};
    }

    pub(super) trait PartialOrdPod: bytemuck::Pod + PartialOrd {}
    impl<T: bytemuck::Pod + PartialOrd> PartialOrdPod for T {}

    comparisons! {
        equal equal_body ==;
        not_equal not_equal_body !=;
        less less_body <;
        less_equal less_equal_body <=;
        greater greater_body >;
        greater_equal greater_equal_body >=;
    }
}
