//! Element-wise operations on floats of a device, with the meaning that the processor's kernels give them.
//!
//! Where Burn's kernel differs (NaN, digits near zero, infinities) or is missing, the operation is composed of several.

use burn_backend::ops::{BoolTensorOps, FloatTensorOps};
use burn_backend::{BoolDType, Scalar};
use burn_dispatch::{Dispatch as D, DispatchTensor as T};

use crate::cpu::{Binary, Compare, Unary};

const FRAC_1_SQRT_2PI: f64 = 0.3989422804014327;
/// sqrt(2 / pi)
const GELU_SCALE: f64 = 0.7978845608028654;
const GELU_CUBIC: f64 = 0.044715;

/// Whether the device computes `op`; the gamma functions it leaves to the host.
pub(super) fn has_unary(op: Unary) -> bool {
    !matches!(op, Unary::Lgamma | Unary::Polygamma(_))
}

pub(super) fn unary(op: Unary, x: T, store: BoolDType) -> T {
    match op {
        Unary::Neg => D::float_neg(x),
        Unary::Abs => D::float_abs(x),
        Unary::Sign => sign(x, store),
        Unary::Exp => D::float_exp(x),
        Unary::Expm1 => expm1(x, store),
        Unary::Ln => D::float_log(x),
        Unary::Log1p => log1p(x, store),
        Unary::Sqrt => D::float_sqrt(x),
        Unary::Recip => D::float_recip(x),
        Unary::Square => square(x),
        Unary::Sin => D::float_sin(x),
        Unary::Cos => D::float_cos(x),
        Unary::Tan => D::float_tan(x),
        Unary::Asin => asin(x),
        Unary::Acos => acos(x),
        Unary::Atan => D::float_atan(x),
        Unary::Sinh => D::float_sinh(x),
        Unary::Cosh => D::float_cosh(x),
        Unary::Tanh => D::float_tanh(x),
        Unary::Erf => D::float_erf(x),
        Unary::Sigmoid => sigmoid(x),
        Unary::Softplus => softplus(x, store),
        Unary::Relu => at_least(x, 0.0, store),
        Unary::GeluErf => gelu_erf(x, store),
        Unary::GeluTanh => gelu_tanh(x, store),
        Unary::Silu => silu(x, store),
        Unary::Floor => D::float_floor(x),
        Unary::Ceil => D::float_ceil(x),
        Unary::Round => D::float_round(x),
        Unary::AddScalar(s) => plus(x, s),
        Unary::SubFromScalar(s) => minus_from(s, x),
        Unary::MulScalar(s) => times(x, s),
        Unary::DivScalar(s) => D::float_div_scalar(x, Scalar::Float(s)),
        Unary::DivScalarBy(s) => times(D::float_recip(x), s),
        Unary::PowScalar(s) => power(x, s),
        Unary::Clamp(low, high) => at_most(at_least(x, low, store), high, store),
        Unary::Lgamma | Unary::Polygamma(_) => unreachable!("computed on the host"),
    }
}

pub(super) fn binary(op: Binary, a: T, b: T, store: BoolDType) -> T {
    match op {
        Binary::Add => D::float_add(a, b),
        Binary::Sub => D::float_sub(a, b),
        Binary::Mul => D::float_mul(a, b),
        Binary::Div => D::float_div(a, b),
        Binary::Pow => D::float_powf(a, b),
        Binary::Max => {
            let higher = D::float_greater(a.clone(), b.clone(), store);
            extremum(a, b, higher, store)
        }
        Binary::Min => {
            let lower = D::float_lower(a.clone(), b.clone(), store);
            extremum(a, b, lower, store)
        }
        Binary::Rem => D::float_remainder(a, b),
        Binary::Atan2 => D::float_atan2(a, b),
        Binary::TanhGrad => D::float_mul(b, minus_from(1.0, square(a))),
        Binary::SigmoidGrad => D::float_mul(b, logistic_slope(a)),
        Binary::ReluGrad => {
            let flat = D::bool_not(D::float_greater_elem(a, Scalar::Float(0.0), store));
            D::float_mask_fill(b, flat, Scalar::Float(0.0))
        }
        Binary::GeluErfGrad => D::float_mul(b, gelu_erf_slope(a, store)),
        Binary::GeluTanhGrad => D::float_mul(b, gelu_tanh_slope(a, store)),
        Binary::SiluGrad => D::float_mul(b, silu_slope(a, store)),
        Binary::SoftplusGrad => D::float_mul(b, sigmoid(a)),
        Binary::AddScaled(s) => D::float_add(a, times(b, s)),
    }
}

pub(super) fn compare(op: Compare, a: T, b: T, store: BoolDType) -> T {
    match op {
        Compare::Equal => D::float_equal(a, b, store),
        // As the opposite of equal: NaN differs from everything, which the kernel of its own leaves open.
        Compare::NotEqual => D::bool_not(D::float_equal(a, b, store)),
        Compare::Less => D::float_lower(a, b, store),
        Compare::LessEqual => D::float_lower_equal(a, b, store),
        Compare::Greater => D::float_greater(a, b, store),
        Compare::GreaterEqual => D::float_greater_equal(a, b, store),
    }
}

fn plus(x: T, s: f64) -> T {
    D::float_add_scalar(x, Scalar::Float(s))
}

fn times(x: T, s: f64) -> T {
    D::float_mul_scalar(x, Scalar::Float(s))
}

fn minus_from(s: f64, x: T) -> T {
    plus(D::float_neg(x), s)
}

fn square(x: T) -> T {
    D::float_mul(x.clone(), x)
}

/// `a` where `chosen` or where it is NaN, else `b`: so a NaN of either stays.
fn extremum(a: T, b: T, chosen: T, store: BoolDType) -> T {
    let chosen = D::bool_or(chosen, D::float_is_nan(a.clone(), store));
    D::float_mask_where(b, chosen, a)
}

/// The larger of x and s; NaN stays.
fn at_least(x: T, s: f64, store: BoolDType) -> T {
    let below = D::float_lower_elem(x.clone(), Scalar::Float(s), store);
    D::float_mask_fill(x, below, Scalar::Float(s))
}

/// The smaller of x and s; NaN stays.
fn at_most(x: T, s: f64, store: BoolDType) -> T {
    let above = D::float_greater_elem(x.clone(), Scalar::Float(s), store);
    D::float_mask_fill(x, above, Scalar::Float(s))
}

fn sign(x: T, store: BoolDType) -> T {
    let nan = D::float_is_nan(x.clone(), store);
    D::float_mask_where(D::float_sign(x.clone()), nan, x)
}

/// `c_0 + c_1 x + c_2 x^2 + ...`
fn polynomial(x: &T, coefficients: &[f64]) -> T {
    let [rest @ .., c, last] = coefficients else { unreachable!("at least of degree one") };
    let highest = plus(times(x.clone(), *last), *c);
    rest.iter().rev().fold(highest, |sum, &c| plus(D::float_mul(sum, x.clone()), c))
}

/// `near` within `radius` of zero, else `far`.
fn near_zero(x: T, radius: f64, near: T, far: T, store: BoolDType) -> T {
    let close = D::float_lower_elem(D::float_abs(x), Scalar::Float(radius), store);
    D::float_mask_where(far, close, near)
}

/// Near zero by its series, where `e^x - 1` loses the digits.
fn expm1(x: T, store: BoolDType) -> T {
    const SERIES: [f64; 7] =
        [1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0];
    let near = D::float_mul(polynomial(&x, &SERIES), x.clone());
    let far = plus(D::float_exp(x.clone()), -1.0);
    near_zero(x, 0.5, near, far, store)
}

/// Near zero as `2 artanh(x / (2 + x))`, where `ln(1 + x)` loses the digits.
fn log1p(x: T, store: BoolDType) -> T {
    const SERIES: [f64; 6] = [2.0, 2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0, 2.0 / 11.0];
    let s = D::float_div(x.clone(), plus(x.clone(), 2.0));
    let near = D::float_mul(polynomial(&square(s.clone()), &SERIES), s);
    let far = D::float_log(plus(x.clone(), 1.0));
    near_zero(x, 0.5, near, far, store)
}

/// `sqrt(1 - x^2)`
fn chord(x: T) -> T {
    let square = D::float_mul(minus_from(1.0, x.clone()), plus(x, 1.0));
    D::float_sqrt(square)
}

/// As the angle of a point on the circle: graphics APIs promise no more than three digits of the inverse sine itself.
fn asin(x: T) -> T {
    D::float_atan2(x.clone(), chord(x))
}

fn acos(x: T) -> T {
    D::float_atan2(chord(x.clone()), x)
}

fn sigmoid(x: T) -> T {
    D::float_recip(plus(D::float_exp(D::float_neg(x)), 1.0))
}

/// `s (1 - s)`
fn logistic_slope(s: T) -> T {
    D::float_mul(s.clone(), minus_from(1.0, s))
}

/// `max(x, 0) + ln(1 + e^-|x|)`
fn softplus(x: T, store: BoolDType) -> T {
    let rest = log1p(D::float_exp(D::float_neg(D::float_abs(x.clone()))), store);
    D::float_add(at_least(x, 0.0, store), rest)
}

fn power(x: T, s: f64) -> T {
    if s == 3.0 {
        return D::float_mul(square(x.clone()), x);
    }
    if s == 0.5 {
        return D::float_sqrt(x);
    }
    if s == -0.5 {
        return D::float_recip(D::float_sqrt(x));
    }
    D::float_powf_scalar(x, Scalar::Float(s))
}

/// `x`, but finite far below zero, where every gate that multiplies it is zero.
fn far_below(x: T, store: BoolDType) -> T {
    at_least(x, -800.0, store)
}

/// `x` within bounds beyond which slopes of gated units do not change.
fn within(x: T, store: BoolDType) -> T {
    at_most(at_least(x, -100.0, store), 100.0, store)
}

/// The normal distribution function.
fn normal_cdf(x: T) -> T {
    times(plus(D::float_erf(times(x, std::f64::consts::FRAC_1_SQRT_2)), 1.0), 0.5)
}

fn gelu_erf(x: T, store: BoolDType) -> T {
    D::float_mul(far_below(x.clone(), store), normal_cdf(x))
}

/// `Phi(x) + x phi(x)`
fn gelu_erf_slope(x: T, store: BoolDType) -> T {
    let x = within(x, store);
    let density = times(D::float_exp(times(square(x.clone()), -0.5)), FRAC_1_SQRT_2PI);
    D::float_add(normal_cdf(x.clone()), D::float_mul(x, density))
}

/// `sigmoid(2 u)` for `u = sqrt(2/pi) (x + 0.044715 x^3)`
fn gelu_gate(x: T) -> T {
    let cubic = plus(times(square(x.clone()), GELU_CUBIC), 1.0);
    sigmoid(times(D::float_mul(x, cubic), 2.0 * GELU_SCALE))
}

fn gelu_tanh(x: T, store: BoolDType) -> T {
    let x = far_below(x, store);
    D::float_mul(x.clone(), gelu_gate(x))
}

/// `s + x s (1 - s) 2u'`
fn gelu_tanh_slope(x: T, store: BoolDType) -> T {
    let x = within(x, store);
    let s = gelu_gate(x.clone());
    let slope = times(plus(times(square(x.clone()), 3.0 * GELU_CUBIC), 1.0), 2.0 * GELU_SCALE);
    let bend = D::float_mul(logistic_slope(s.clone()), slope);
    D::float_add(s, D::float_mul(x, bend))
}

fn silu(x: T, store: BoolDType) -> T {
    D::float_mul(far_below(x.clone(), store), sigmoid(x))
}

/// `s (1 + x (1 - s))`
fn silu_slope(x: T, store: BoolDType) -> T {
    let s = sigmoid(x.clone());
    let x = at_most(far_below(x, store), 800.0, store);
    D::float_mul(s.clone(), plus(D::float_mul(x, minus_from(1.0, s)), 1.0))
}
