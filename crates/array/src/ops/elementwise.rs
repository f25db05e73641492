//! Arithmetic, elementary functions, activations, comparisons.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::cpu::{self, Binary, Compare, Unary};
use crate::storage::Storage;
use crate::tape::tracked;
use crate::{Array, DType};

/// What a unary rule needs of the computation: its operand, its result, or nothing.
enum Rule {
    Input(fn(&Array, Array) -> Array),
    Output(fn(&Array, Array) -> Array),
    Cotangent(Box<dyn Fn(Array) -> Array + Send + Sync>),
    Constant,
}

fn run_unary(op: Unary, x: Storage) -> Storage {
    match x {
        Storage::Cpu(t) => Storage::Cpu(cpu::unary(op, t)),
        #[cfg(feature = "gpu")]
        Storage::Gpu(t) => crate::gpu::unary(op, t),
    }
}

fn run_binary(op: Binary, a: Storage, b: Storage) -> Storage {
    match (a, b) {
        (Storage::Cpu(a), Storage::Cpu(b)) => Storage::Cpu(cpu::binary(op, a, b)),
        #[cfg(feature = "gpu")]
        (Storage::Gpu(a), Storage::Gpu(b)) => crate::gpu::binary(op, a, b),
        #[cfg(feature = "gpu")]
        _ => panic!("{op:?}: the operands lie on different devices"),
    }
}

pub(crate) fn cast(x: &Storage, to: DType) -> Storage {
    match x {
        Storage::Cpu(t) => Storage::Cpu(cpu::cast(t.clone(), to)),
        #[cfg(feature = "gpu")]
        Storage::Gpu(t) => crate::gpu::cast(t.clone(), to),
    }
}

#[track_caller]
fn check_float(operation: &str, x: &Array) {
    assert!(
        x.dtype().is_float(),
        "{operation}: needs floats, got {} of shape {:?}",
        x.dtype(),
        x.shape()
    );
}

/// A unary operation on a borrowed operand.
fn unary(x: &Array, op: Unary, rule: Rule) -> Array {
    let y = Array::untracked(run_unary(op, x.storage().clone()));
    if !x.is_tracked() {
        return y;
    }
    match rule {
        Rule::Constant => y,
        Rule::Cotangent(f) => y.derive(x, move |ct, _| f(ct)),
        Rule::Input(f) => {
            let kept = x.clone();
            y.derive(x, move |ct, _| f(&kept, ct))
        }
        Rule::Output(f) => {
            let kept = y.clone();
            y.derive(x, move |ct, out| f(&out.attach(&kept), ct))
        }
    }
}

/// A first-derivative kernel in one pass, for when nothing is recorded; the composed form otherwise.
fn fused(op: Binary, a: &Array, ct: Array, composed: impl FnOnce(&Array, Array) -> Array) -> Array {
    if tracked(&[a, &ct]) != 0 {
        return composed(a, ct);
    }
    Array::untracked(run_binary(op, a.storage().clone(), ct.into_parts().0))
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident, $op:expr, $rule:expr;)*) => {
        impl Array {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Array {
                check_float(stringify!($name), self);
                unary(self, $op, $rule)
            }
        )*}
    };
}

unary_methods! {
    /// `e^x`
    exp, Unary::Exp, Rule::Output(|y, ct| ct * y);
    /// `e^x - 1`, accurate near zero
    expm1, Unary::Expm1, Rule::Output(|y, ct| ct * (y + 1.0));
    /// Natural logarithm
    ln, Unary::Ln, Rule::Input(|x, ct| ct / x);
    /// `ln(1 + x)`, accurate near zero
    log1p, Unary::Log1p, Rule::Input(|x, ct| ct / (x + 1.0));
    /// Square root
    sqrt, Unary::Sqrt, Rule::Output(|y, ct| ct * 0.5 / y);
    /// `1 / x`
    recip, Unary::Recip, Rule::Output(|y, ct| -(ct * y.square()));
    /// Sine
    sin, Unary::Sin, Rule::Input(|x, ct| ct * x.cos());
    /// Cosine
    cos, Unary::Cos, Rule::Input(|x, ct| -(ct * x.sin()));
    /// Tangent
    tan, Unary::Tan, Rule::Output(|y, ct| ct * (y.square() + 1.0));
    /// Inverse sine
    asin, Unary::Asin, Rule::Input(|x, ct| ct / (1.0 - x.square()).sqrt());
    /// Inverse cosine
    acos, Unary::Acos, Rule::Input(|x, ct| -(ct / (1.0 - x.square()).sqrt()));
    /// Inverse tangent
    atan, Unary::Atan, Rule::Input(|x, ct| ct / (x.square() + 1.0));
    /// Hyperbolic sine
    sinh, Unary::Sinh, Rule::Input(|x, ct| ct * x.cosh());
    /// Hyperbolic cosine
    cosh, Unary::Cosh, Rule::Input(|x, ct| ct * x.sinh());
    /// Hyperbolic tangent
    tanh, Unary::Tanh, Rule::Output(|y, ct| fused(Binary::TanhGrad, y, ct, |y, ct| ct * (1.0 - y.square())));
    /// Error function `2/sqrt(pi) int_0^x e^{-t^2} dt`
    erf, Unary::Erf, Rule::Input(|x, ct| ct * (-x.square()).exp() * std::f64::consts::FRAC_2_SQRT_PI);
    /// `1 / (1 + e^{-x})`
    sigmoid, Unary::Sigmoid, Rule::Output(|y, ct| fused(Binary::SigmoidGrad, y, ct, |y, ct| ct * (y * (1.0 - y))));
    /// `ln(1 + e^x)`, without overflow
    softplus, Unary::Softplus, Rule::Input(|x, ct| fused(Binary::SoftplusGrad, x, ct, |x, ct| ct * x.sigmoid()));
    /// `max(x, 0)`, with derivative 0 at 0
    relu, Unary::Relu, Rule::Output(|y, ct| fused(Binary::ReluGrad, y, ct, |y, ct| ct * y.step()));
    /// `x Phi(x)` with the normal distribution function
    gelu, Unary::GeluErf, Rule::Input(|x, ct| fused(Binary::GeluErfGrad, x, ct, |x, ct| ct * gelu_slope(x)));
    /// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, the approximation of GPT-2
    gelu_tanh, Unary::GeluTanh, Rule::Input(|x, ct| fused(Binary::GeluTanhGrad, x, ct, |x, ct| ct * gelu_tanh_slope(x)));
    /// `x sigmoid(x)`
    silu, Unary::Silu, Rule::Input(|x, ct| fused(Binary::SiluGrad, x, ct, |x, ct| ct * silu_slope(x)));
    /// `ln |Gamma(x)|`
    lgamma, Unary::Lgamma, Rule::Input(|x, ct| ct * x.digamma());
    /// Derivative of [`lgamma`](Self::lgamma)
    digamma, Unary::Polygamma(0), Rule::Input(|x, ct| ct * x.polygamma(1));
    /// Largest integer not above; derivative zero
    floor, Unary::Floor, Rule::Constant;
    /// Smallest integer not below; derivative zero
    ceil, Unary::Ceil, Rule::Constant;
    /// Nearest integer, ties to even; derivative zero
    round, Unary::Round, Rule::Constant;
}

/// `Phi(x) + x phi(x)`
fn gelu_slope(x: &Array) -> Array {
    let cdf = ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
    let density = (x.square() * -0.5).exp()
        * (0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2);
    cdf + x * density
}

fn gelu_tanh_slope(x: &Array) -> Array {
    let c = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
    let square = x.square();
    let t = ((&square * 0.044715 + 1.0) * x * c).tanh();
    let inner = (square * (3.0 * 0.044715) + 1.0) * c;
    (&t + 1.0) * 0.5 + x * (1.0 - t.square()) * inner * 0.5
}

/// `s + x s (1 - s)`
fn silu_slope(x: &Array) -> Array {
    let s = x.sigmoid();
    &s + x * &s * (1.0 - &s)
}

impl Array {
    /// `-x`
    pub fn neg(&self) -> Array {
        unary(self, Unary::Neg, Rule::Cotangent(Box::new(|ct| -ct)))
    }

    /// `|x|`, with derivative 0 at 0
    pub fn abs(&self) -> Array {
        unary(self, Unary::Abs, Rule::Input(|x, ct| ct * x.sign()))
    }

    /// -1, 0 or 1; derivative zero
    pub fn sign(&self) -> Array {
        unary(self, Unary::Sign, Rule::Constant)
    }

    /// 1 where positive, else 0; derivative zero
    pub fn step(&self) -> Array {
        self.greater(&Array::zeros(&[], self.dtype()).to_device(self.device())).cast(self.dtype())
    }

    /// `x^2`
    pub fn square(&self) -> Array {
        unary(self, Unary::Square, Rule::Input(|x, ct| ct * (x * 2.0)))
    }

    /// `x^p` for a fixed exponent
    #[track_caller]
    pub fn powf(&self, exponent: f64) -> Array {
        check_float("powf", self);
        let y = Array::untracked(run_unary(Unary::PowScalar(exponent), self.storage().clone()));
        if exponent == 0.0 || !self.is_tracked() {
            return y;
        }
        let x = self.clone();
        y.derive(self, move |ct, _| ct * (x.powf(exponent - 1.0) * exponent))
    }

    /// `x^p` elementwise, for positive `x` where the exponent's derivative is wanted
    #[track_caller]
    pub fn pow(&self, exponent: &Array) -> Array {
        check_float("pow", self);
        let (x, p) = (self.clone(), exponent.clone());
        let value = binary_value("pow", Binary::Pow, self, exponent);
        let kept = value.clone();
        let (sx, sp) = (self.shape().to_vec(), exponent.shape().to_vec());
        let x2 = x.clone();
        value.derive2(
            self,
            move |ct, _| (ct * (x.pow(&(&p - 1.0)) * &p)).unbroadcast(&sx),
            exponent,
            move |ct, out| {
                // x^p ln x tends to 0 with x for p > 0.
                let zero = x2.equal(&x2.zeros_like());
                let log = Array::select(
                    &zero,
                    &x2.zeros_like(),
                    &Array::select(&zero, &x2.ones_like(), &x2).ln(),
                );
                (ct * (out.attach(&kept) * log)).unbroadcast(&sp)
            },
        )
    }

    /// Polygamma function of order `n`: the `n`-th derivative of digamma
    #[track_caller]
    pub fn polygamma(&self, n: u32) -> Array {
        check_float("polygamma", self);
        let y = Array::untracked(run_unary(Unary::Polygamma(n), self.storage().clone()));
        let x = self.clone();
        y.derive(self, move |ct, _| ct * x.polygamma(n + 1))
    }

    /// Larger of the two; where equal, each gets half the derivative. NaN wins.
    #[track_caller]
    pub fn maximum(&self, other: &Array) -> Array {
        extremum("maximum", Binary::Max, self, other)
    }

    /// Smaller of the two; where equal, each gets half the derivative. NaN wins.
    #[track_caller]
    pub fn minimum(&self, other: &Array) -> Array {
        extremum("minimum", Binary::Min, self, other)
    }

    /// `min(max(x, low), high)`; the derivative is 1 inside and on the bounds, 0 outside
    #[track_caller]
    pub fn clamp(&self, low: f64, high: f64) -> Array {
        assert!(low <= high, "clamp: the lower bound {low} exceeds the upper bound {high}");
        let y = Array::untracked(run_unary(Unary::Clamp(low, high), self.storage().clone()));
        if !self.is_tracked() {
            return y;
        }
        let inside = y.equal(self).cast(self.dtype());
        y.derive(self, move |ct, _| ct * &inside)
    }

    /// Remainder with the sign of the divisor; the derivative to `self` is 1, to the divisor `-floor(x / y)`
    #[track_caller]
    pub fn remainder(&self, divisor: &Array) -> Array {
        let value = binary_value("remainder", Binary::Rem, self, divisor);
        if tracked(&[self, divisor]) == 0 {
            return value;
        }
        let (sx, sy) = (self.shape().to_vec(), divisor.shape().to_vec());
        let quotient = (self.stop_gradient() / divisor.stop_gradient()).floor();
        value.derive2(
            self,
            move |ct, _| ct.unbroadcast(&sx),
            divisor,
            move |ct, _| (-(ct * &quotient)).unbroadcast(&sy),
        )
    }

    /// Angle of the point `(x, self)`, in `(-pi, pi]`
    #[track_caller]
    pub fn atan2(&self, x: &Array) -> Array {
        check_float("atan2", self);
        let value = binary_value("atan2", Binary::Atan2, self, x);
        if tracked(&[self, x]) == 0 {
            return value;
        }
        let (y, x0) = (self.clone(), x.clone());
        let (y1, x1) = (self.clone(), x.clone());
        let (sy, sx) = (self.shape().to_vec(), x.shape().to_vec());
        value.derive2(
            self,
            move |ct, _| (ct * &x0 / (x0.square() + y.square())).unbroadcast(&sy),
            x,
            move |ct, _| (-(ct * &y1 / (x1.square() + y1.square()))).unbroadcast(&sx),
        )
    }

    /// `self + factor * other`, in one pass
    #[track_caller]
    pub fn add_scaled(&self, factor: f64, other: &Array) -> Array {
        let value = binary_value("add_scaled", Binary::AddScaled(factor), self, other);
        if tracked(&[self, other]) == 0 {
            return value;
        }
        let (sx, sy) = (self.shape().to_vec(), other.shape().to_vec());
        value.derive2(
            self,
            move |ct, _| ct.unbroadcast(&sx),
            other,
            move |ct, _| (ct * factor).unbroadcast(&sy),
        )
    }

    /// `self` where `condition`, else `other`; all three broadcast
    #[track_caller]
    pub fn select(condition: &Array, a: &Array, b: &Array) -> Array {
        assert!(
            condition.dtype() == DType::Bool && a.dtype() == b.dtype(),
            "select: needs a bool condition and two arrays of one dtype, got {}, {} and {}",
            condition.dtype(),
            a.dtype(),
            b.dtype()
        );
        let storage = match (condition.storage().clone(), a.storage().clone(), b.storage().clone())
        {
            (Storage::Cpu(c), Storage::Cpu(a), Storage::Cpu(b)) => {
                Storage::Cpu(cpu::select(c, a, b))
            }
            #[cfg(feature = "gpu")]
            (Storage::Gpu(c), Storage::Gpu(a), Storage::Gpu(b)) => crate::gpu::select(c, a, b),
            #[cfg(feature = "gpu")]
            _ => panic!("select: the operands lie on different devices"),
        };
        let value = Array::untracked(storage);
        if tracked(&[a, b]) == 0 {
            return value;
        }
        let (c1, c2) = (condition.clone(), condition.clone());
        let (sa, sb) = (a.shape().to_vec(), b.shape().to_vec());
        value.derive2(
            a,
            move |ct, _| {
                Array::select(&c1, &ct, &Array::zeros(&[], ct.dtype()).to_device(ct.device()))
                    .unbroadcast(&sa)
            },
            b,
            move |ct, _| {
                Array::select(&c2, &Array::zeros(&[], ct.dtype()).to_device(ct.device()), &ct)
                    .unbroadcast(&sb)
            },
        )
    }
}

#[track_caller]
fn extremum(name: &str, op: Binary, a: &Array, b: &Array) -> Array {
    let value = binary_value(name, op, a, b);
    if tracked(&[a, b]) == 0 {
        return value;
    }
    // 1 where the operand is the result, 1/2 where both are.
    let share = |x: &Array, y: &Array| {
        let wins = value.equal(x).cast(value.dtype());
        let ties = wins.clone() * value.equal(y).cast(value.dtype());
        wins - ties * 0.5
    };
    let (to_a, to_b) = (share(a, b), share(b, a));
    let (sa, sb) = (a.shape().to_vec(), b.shape().to_vec());
    value.derive2(
        a,
        move |ct, _| (ct * &to_a).unbroadcast(&sa),
        b,
        move |ct, _| (ct * &to_b).unbroadcast(&sb),
    )
}

#[track_caller]
fn check_pair(name: &str, a: &Array, b: &Array) {
    assert!(
        a.dtype() == b.dtype(),
        "{name}: dtypes differ: {} of shape {:?} and {} of shape {:?}; cast one of them",
        a.dtype(),
        a.shape(),
        b.dtype(),
        b.shape()
    );
    if a.shape() != b.shape() {
        crate::shape::broadcast(name, a.shape(), b.shape());
    }
}

/// The untracked value of a binary operation on borrowed operands.
#[track_caller]
fn binary_value(name: &str, op: Binary, a: &Array, b: &Array) -> Array {
    check_pair(name, a, b);
    Array::untracked(run_binary(op, a.storage().clone(), b.storage().clone()))
}

/// A binary operation that may take over the operands' buffers.
#[track_caller]
fn arithmetic(op: Binary, a: Array, b: Array) -> Array {
    let name = match op {
        Binary::Add => "add",
        Binary::Sub => "sub",
        Binary::Mul => "mul",
        _ => "div",
    };
    check_pair(name, &a, &b);
    if tracked(&[&a, &b]) == 0 {
        return Array::untracked(run_binary(op, a.into_parts().0, b.into_parts().0));
    }
    let (sa, sb) = (crate::shape::Dims::from(a.shape()), crate::shape::Dims::from(b.shape()));
    if matches!(op, Binary::Add | Binary::Sub) {
        // The rules need no operand: their buffers can be taken over.
        let ((a, node_a), (b, node_b)) = (a.into_parts(), b.into_parts());
        let value = Array::untracked(run_binary(op, a, b));
        let negative = op == Binary::Sub;
        return value.derive_from(
            node_a,
            move |ct, _| ct.unbroadcast(&sa),
            node_b,
            move |ct, _| if negative { -ct } else { ct }.unbroadcast(&sb),
        );
    }
    let value = binary_value(name, op, &a, &b);
    if op == Binary::Mul {
        let (a1, b1) = (a.clone(), b.clone());
        return value.derive2(
            &a,
            move |ct, _| (ct * &b1).unbroadcast(&sa),
            &b,
            move |ct, _| (ct * &a1).unbroadcast(&sb),
        );
    }
    let (b1, b2) = (b.clone(), b.clone());
    let kept = value.clone();
    value.derive2(
        &a,
        move |ct, _| (ct / &b1).unbroadcast(&sa),
        &b,
        move |ct, out| (-(ct * (out.attach(&kept) / &b2))).unbroadcast(&sb),
    )
}

/// An operation with a number; takes over the buffer.
fn with_scalar(x: Array, op: Unary) -> Array {
    if !x.is_tracked() {
        return Array::untracked(run_unary(op, x.into_parts().0));
    }
    let rule = match op {
        Unary::AddScalar(_) => Rule::Cotangent(Box::new(|ct| ct)),
        Unary::SubFromScalar(_) => Rule::Cotangent(Box::new(|ct| -ct)),
        Unary::MulScalar(s) => Rule::Cotangent(Box::new(move |ct| ct * s)),
        Unary::DivScalar(s) => Rule::Cotangent(Box::new(move |ct| ct / s)),
        Unary::DivScalarBy(s) => {
            let kept = x.clone();
            Rule::Cotangent(Box::new(move |ct| ct * (-s) / kept.square()))
        }
        _ => unreachable!("not an operation with a number"),
    };
    unary(&x, op, rule)
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:expr, $scalar:expr, $reversed:expr;)*) => {$(
        impl $trait<Array> for Array {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: Array) -> Array { arithmetic($op, self, other) }
        }
        impl $trait<&Array> for Array {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: &Array) -> Array { arithmetic($op, self, other.clone()) }
        }
        impl $trait<Array> for &Array {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: Array) -> Array { arithmetic($op, self.clone(), other) }
        }
        impl $trait<&Array> for &Array {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: &Array) -> Array { arithmetic($op, self.clone(), other.clone()) }
        }
        impl $trait<f64> for Array {
            type Output = Array;
            fn $method(self, other: f64) -> Array { with_scalar(self, $scalar(other)) }
        }
        impl $trait<f64> for &Array {
            type Output = Array;
            fn $method(self, other: f64) -> Array { with_scalar(self.clone(), $scalar(other)) }
        }
        impl $trait<Array> for f64 {
            type Output = Array;
            fn $method(self, other: Array) -> Array { with_scalar(other, $reversed(self)) }
        }
        impl $trait<&Array> for f64 {
            type Output = Array;
            fn $method(self, other: &Array) -> Array { with_scalar(other.clone(), $reversed(self)) }
        }
    )*};
}
operators! {
    Add add Binary::Add, Unary::AddScalar, Unary::AddScalar;
    Sub sub Binary::Sub, |s: f64| Unary::AddScalar(-s), Unary::SubFromScalar;
    Mul mul Binary::Mul, Unary::MulScalar, Unary::MulScalar;
    Div div Binary::Div, Unary::DivScalar, Unary::DivScalarBy;
}

impl Neg for Array {
    type Output = Array;
    fn neg(self) -> Array {
        if self.is_tracked() {
            Array::neg(&self)
        } else {
            Array::untracked(run_unary(Unary::Neg, self.into_parts().0))
        }
    }
}
impl Neg for &Array {
    type Output = Array;
    fn neg(self) -> Array {
        Array::neg(self)
    }
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Array {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self, other: &Array) -> Array {
                check_pair(stringify!($name), self, other);
                let storage = match (self.storage().clone(), other.storage().clone()) {
                    (Storage::Cpu(a), Storage::Cpu(b)) => Storage::Cpu(cpu::compare(Compare::$op, a, b)),
                    #[cfg(feature = "gpu")]
                    (Storage::Gpu(a), Storage::Gpu(b)) => crate::gpu::compare(Compare::$op, a, b),
                    #[cfg(feature = "gpu")]
                    _ => panic!(concat!(stringify!($name), ": the operands lie on different devices")),
                };
                Array::untracked(storage)
            }
        )*}
    };
}
comparisons! {
    /// Where the two are equal
    equal Equal;
    /// Where the two differ
    not_equal NotEqual;
    /// Where `self < other`
    less Less;
    /// Where `self <= other`
    less_equal LessEqual;
    /// Where `self > other`
    greater Greater;
    /// Where `self >= other`
    greater_equal GreaterEqual;
}
