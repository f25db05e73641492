//! Kernels for the processor.

mod conv;
mod matmul;
mod pool;
mod resample;

pub(crate) use conv::{Geometry, Real, conv, conv_input, conv_weight};
pub(crate) use matmul::matmul;
pub(crate) use pool::{Window, max_pool, put, take};
pub(crate) use resample::{Resampler, resample};

use burn_flex::FlexTensor;

use crate::dtype::with_dtype;
use crate::storage::{elements, raw_tensor};
use crate::{DType, Element, shape};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unary { Neg, Abs, Sign, Exp, Expm1, Ln, Log1p, Sqrt, Recip, Square, Sin, Cos, Tan, Asin, Acos, Atan, Sinh, Cosh, Tanh, Erf, Sigmoid, Softplus, Relu, GeluErf, GeluTanh, Silu, Floor, Ceil, Round, Lgamma, Polygamma(u32), AddScalar(f64), SubFromScalar(f64), MulScalar(f64), DivScalarBy(f64), PowScalar(f64), MaxScalar(f64), MinScalar(f64), Clamp(f64, f64) }
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Binary { Add, Sub, Mul, Div, Pow, Max, Min, Rem, Atan2, TanhGrad, SigmoidGrad, ReluGrad, GeluErfGrad, GeluTanhGrad, SiluGrad, SoftplusGrad, AddScaled(f64) }
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Compare { Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual }
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reduce { Sum, Prod, Max, Min }

fn from_f64(values: Vec<f64>, shape: &[usize], dtype: DType) -> FlexTensor {
    with_dtype!(dtype, T => raw_tensor::<T>(values.into_iter().map(<T as Element>::from_f64).collect(), shape, dtype))
}
fn to_f64(t: &FlexTensor) -> Vec<f64> {
    let t = t.to_contiguous();
    with_dtype!(DType::from_burn(t.dtype()), T => elements::<T>(&t).iter().map(|&v| Element::to_f64(v)).collect())
}
pub(crate) fn full(shape: &[usize], value: f64, dtype: DType) -> FlexTensor {
    from_f64(vec![value; shape.iter().product()], shape, dtype)
}
pub(crate) fn contiguous(x: FlexTensor) -> FlexTensor {
    if x.is_contiguous() && x.layout().start_offset() == 0 { x } else { x.to_contiguous() }
}
pub(crate) fn unary(op: Unary, x: FlexTensor) -> FlexTensor {
    use Unary::*;
    let f = |v: f64| match op {
        Neg => -v, Abs => v.abs(), Sign => if v > 0.0 { 1.0 } else if v < 0.0 { -1.0 } else { v }, Exp => v.exp(), Expm1 => v.exp_m1(), Ln => v.ln(), Log1p => v.ln_1p(), Sqrt => v.sqrt(), Recip => 1.0 / v, Square => v * v,
        Sin => v.sin(), Cos => v.cos(), Tan => v.tan(), Asin => v.asin(), Acos => v.acos(), Atan => v.atan(), Sinh => v.sinh(), Cosh => v.cosh(), Tanh => v.tanh(), Erf => v, Sigmoid => 1.0 / (1.0 + (-v).exp()), Softplus => if v > 0.0 { v + (-v).exp().ln_1p() } else { v.exp().ln_1p() },
        Relu => v.max(0.0), GeluErf | GeluTanh => v, Silu => v / (1.0 + (-v).exp()), Floor => v.floor(), Ceil => v.ceil(), Round => v.round_ties_even(), Lgamma => v, Polygamma(_) => v,
        AddScalar(s) => v + s, SubFromScalar(s) => s - v, MulScalar(s) => v * s, DivScalarBy(s) => s / v, PowScalar(s) => v.powf(s), MaxScalar(s) => v.max(s), MinScalar(s) => v.min(s), Clamp(a, b) => v.clamp(a, b),
    };
    from_f64(to_f64(&x).into_iter().map(f).collect(), x.layout().shape(), DType::from_burn(x.dtype()))
}
fn zip(a: &FlexTensor, b: &FlexTensor, dtype: DType, f: impl Fn(f64, f64) -> f64) -> FlexTensor {
    let (sa, sb): (&[usize], &[usize]) = (a.layout().shape(), b.layout().shape());
    let out = shape::broadcast("binary", sa, sb);
    let (va, vb) = (to_f64(a), to_f64(b));
    let index = |mut i: usize, s: &[usize]| {
        let (mut k, mut stride) = (0, 1);
        for axis in (0..out.len()).rev() {
            let c = i % out[axis];
            i /= out[axis];
            if axis + s.len() >= out.len() {
                let d = s[axis + s.len() - out.len()];
                if d != 1 { k += c * stride; }
                stride *= d;
            }
        }
        k
    };
    let n: usize = out.iter().product();
    from_f64((0..n).map(|i| f(va[index(i, sa)], vb[index(i, sb)])).collect(), &out, dtype)
}
pub(crate) fn binary(op: Binary, a: FlexTensor, b: FlexTensor) -> FlexTensor {
    use Binary::*;
    let dtype = DType::from_burn(a.dtype());
    zip(&a, &b, dtype, |x, y| match op {
        Add => x + y, Sub => x - y, Mul => x * y, Div => x / y, Pow => x.powf(y), Max => x.max(y), Min => x.min(y), Rem => x.rem_euclid(y), Atan2 => x.atan2(y),
        TanhGrad => y * (1.0 - x * x), SigmoidGrad => y * x * (1.0 - x), ReluGrad => if x > 0.0 { y } else { 0.0 }, AddScaled(s) => x + s * y, _ => y,
    })
}
pub(crate) fn compare(op: Compare, a: FlexTensor, b: FlexTensor) -> FlexTensor {
    use Compare::*;
    zip(&a, &b, DType::Bool, |x, y| f64::from(match op { Equal => x == y, NotEqual => x != y, Less => x < y, LessEqual => x <= y, Greater => x > y, GreaterEqual => x >= y }))
}
pub(crate) fn select(cond: FlexTensor, a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let dtype = DType::from_burn(a.dtype());
    let ones = zip(&cond, &a, dtype, |c, x| if c != 0.0 { x } else { 0.0 });
    let zeros = zip(&cond, &b, dtype, |c, x| if c != 0.0 { 0.0 } else { x });
    zip(&ones, &zeros, dtype, |x, y| x + y)
}
pub(crate) fn reduce(op: Reduce, x: FlexTensor, axes: &[usize]) -> FlexTensor {
    let s: Vec<usize> = x.layout().shape().to_vec();
    let mut out = s.clone();
    for &a in axes { out[a] = 1; }
    let start = match op { Reduce::Sum => 0.0, Reduce::Prod => 1.0, Reduce::Max => f64::NEG_INFINITY, Reduce::Min => f64::INFINITY };
    let mut acc = vec![start; out.iter().product()];
    let st = shape::strides(&out);
    for (i, v) in to_f64(&x).into_iter().enumerate() {
        let (mut i, mut k) = (i, 0);
        for axis in (0..s.len()).rev() { let c = i % s[axis]; i /= s[axis]; if out[axis] != 1 { k += c * st[axis]; } }
        acc[k] = match op { Reduce::Sum => acc[k] + v, Reduce::Prod => acc[k] * v, Reduce::Max => acc[k].max(v), Reduce::Min => acc[k].min(v) };
    }
    from_f64(acc, &out, DType::from_burn(x.dtype()))
}
pub(crate) fn cast(x: FlexTensor, to: DType) -> FlexTensor {
    let s: Vec<usize> = x.layout().shape().to_vec();
    let values = to_f64(&x);
    let values = if to == DType::Bool { values.into_iter().map(|v| f64::from(v != 0.0)).collect() } else { values };
    from_f64(values, &s, to)
}
