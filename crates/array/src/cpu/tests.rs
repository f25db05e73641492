//! Kernels against naive loops over indices, for every kind of layout, and the same bits for any number of threads.

use half::{bf16, f16};
use proptest::prelude::*;

use super::layout::Layout;
use super::tensor::CpuTensor;
use super::*;
use crate::storage::raw_tensor;
use crate::{DType, Element};

/// A tensor of `values` rounded to `dtype`.
fn tensor(values: &[f64], shape: &[usize], dtype: DType) -> CpuTensor {
    crate::dtype::with_dtype!(dtype, T => {
        raw_tensor::<T>(values.iter().map(|&v| <T as Element>::from_f64(v)).collect(), shape, dtype)
    })
}

/// All elements in row-major order, whatever the layout.
fn values(x: &CpuTensor) -> Vec<f64> {
    let shape = x.layout().shape().to_vec();
    let n: usize = shape.iter().product();
    (0..n)
        .map(|mut i| {
            let mut at = vec![0; shape.len()];
            for axis in (0..shape.len()).rev() {
                at[axis] = i % shape[axis];
                i /= shape[axis];
            }
            let offset = x.layout().index(&at);
            crate::dtype::with_dtype!(tensor::dtype(x), T => Element::to_f64(tensor::stored::<T>(x)[offset]))
        })
        .collect()
}

/// Well mixed numbers in [-4, 4).
fn mixed(n: usize) -> Vec<f64> {
    (0..n as u64)
        .map(|i| (i.wrapping_mul(0x9e3779b97f4a7c15) >> 40) as f64 / f64::from(1 << 21) - 4.0)
        .collect()
}

/// The same elements in another layout: axes permuted in memory, reversed, a slice of something larger, or shared.
fn disguise(x: CpuTensor, how: u8) -> CpuTensor {
    let shape = x.layout().shape().to_vec();
    let rank = shape.len();
    match how % 5 {
        1 if rank > 1 => {
            let axes: Vec<usize> = (0..rank).rev().collect();
            let swapped = x.clone().with_layout(x.layout().permute(&axes));
            let dense = copy::copied(&swapped);
            let back = dense.layout().permute(&axes);
            dense.with_layout(back)
        }
        2 if rank > 0 => {
            let flipped = copy::copied(&x.clone().with_layout(x.layout().flip(&[rank - 1])));
            let back = flipped.layout().flip(&[rank - 1]);
            flipped.with_layout(back)
        }
        3 if rank > 0 => {
            // Twice as long on each axis, of which every second element counts.
            let doubled: Vec<usize> = shape.iter().map(|n| 2 * n).collect();
            let mut wide = vec![77.0; doubled.iter().product()];
            let layout = Layout::contiguous(doubled.clone().into());
            let strides: Vec<isize> = layout.strides().iter().map(|s| 2 * s).collect();
            let first: isize = layout.strides().iter().sum();
            let view = Layout::new(Shape::from(&shape[..]), strides, first as usize);
            for (i, v) in values(&x).into_iter().enumerate() {
                let mut rest = i;
                let mut at = vec![0; rank];
                for axis in (0..rank).rev() {
                    at[axis] = rest % shape[axis];
                    rest /= shape[axis];
                }
                wide[view.index(&at)] = v;
            }
            tensor(&wide, &doubled, tensor::dtype(&x)).with_layout(view)
        }
        _ => x,
    }
}

fn naive_zip(a: &CpuTensor, b: &CpuTensor, f: impl Fn(f64, f64) -> f64) -> (Vec<usize>, Vec<f64>) {
    let (sa, sb) = (a.layout().shape().to_vec(), b.layout().shape().to_vec());
    let common = walk::broadcast(&sa, &sb).unwrap().to_vec();
    let (va, vb) = (values(a), values(b));
    let at = |mut i: usize, shape: &[usize]| {
        let (mut flat, mut stride) = (0, 1);
        for axis in (0..common.len()).rev() {
            let k = i % common[axis];
            i /= common[axis];
            if let Some(own) = (axis + shape.len()).checked_sub(common.len()) {
                flat += if shape[own] == 1 { 0 } else { k * stride };
                stride *= shape[own];
            }
        }
        flat
    };
    let n = common.iter().product();
    (common.clone(), (0..n).map(|i| f(va[at(i, &sa)], vb[at(i, &sb)])).collect())
}

/// Two shapes that broadcast: some axes of a common shape set to 1 or left out.
fn shapes() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    let axis = prop_oneof![4 => 1usize..7, 1 => Just(0usize), 1 => 30usize..80];
    prop::collection::vec((axis, 0u8..6), 0..5).prop_flat_map(|axes| {
        let rank = axes.len();
        (Just(axes), 0..=rank, any::<bool>()).prop_map(|(axes, cut, swap)| {
            let a = axes.iter().map(|&(n, kind)| if kind == 1 { 1 } else { n }).collect();
            let b = axes.iter().skip(cut).map(|&(n, kind)| if kind == 2 { 1 } else { n }).collect();
            if swap { (b, a) } else { (a, b) }
        })
    })
}

fn float() -> impl Strategy<Value = DType> {
    prop::sample::select(vec![DType::F32, DType::F64, DType::F16, DType::BF16])
}

fn any_dtype() -> impl Strategy<Value = DType> {
    prop::sample::select(vec![
        DType::F32,
        DType::F64,
        DType::F16,
        DType::BF16,
        DType::I64,
        DType::I32,
        DType::U8,
    ])
}

fn round_to(v: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::from(v as f32),
        DType::F16 => f16::from_f32(v as f32).to_f64(),
        DType::BF16 => bf16::from_f32(v as f32).to_f64(),
        _ => v,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn binary_broadcasts(
        (sa, sb) in shapes(), dtype in any_dtype(), (ha, hb) in (0u8..5, 0u8..5), shared in 0u8..4,
    ) {
        // Small whole numbers: exact in every dtype.
        let whole = |n: usize, m: f64| mixed(n).into_iter().map(|v| (v * m).floor().abs()).collect::<Vec<_>>();
        let a = disguise(tensor(&whole(sa.iter().product(), 3.0), &sa, dtype), ha);
        let b = disguise(tensor(&whole(sb.iter().product(), 2.0), &sb, dtype), hb);
        let keep = (shared & 1 == 1).then(|| a.clone());
        let keep_b = (shared & 2 == 2).then(|| b.clone());
        let before = (values(&a), values(&b));
        let wrap = |v: f64| if dtype == DType::U8 { v.rem_euclid(256.0) } else { v };
        for (op, f) in [
            (Binary::Sub, (|a, b| a - b) as fn(f64, f64) -> f64),
            (Binary::Mul, |a, b| a * b),
            (Binary::Max, f64::max),
            (Binary::AddScaled(2.0), |a, b| a + 2.0 * b),
        ] {
            let (shape, want) = naive_zip(&a, &b, f);
            let (x, y) = if op == Binary::Sub && shared == 0 {
                (disguise(tensor(&before.0, &sa, dtype), ha), disguise(tensor(&before.1, &sb, dtype), hb))
            } else {
                (a.clone(), b.clone())
            };
            let got = binary(op, x, y);
            prop_assert_eq!(&got.layout().shape()[..], &shape[..]);
            let want: Vec<f64> = want.into_iter().map(wrap).collect();
            prop_assert_eq!(values(&got), want);
        }
        let (_, want) = naive_zip(&a, &b, |a, b| f64::from(u8::from(a < b)));
        prop_assert_eq!(values(&compare(Compare::Less, a.clone(), b.clone())), want);
        // Nothing that is still referred to has changed.
        prop_assert!(keep.is_none_or(|k| values(&k) == before.0));
        prop_assert!(keep_b.is_none_or(|k| values(&k) == before.1));
    }

    #[test]
    fn select_broadcasts((sa, sb) in shapes(), dtype in any_dtype(), (ha, hb, hc) in (0u8..5, 0u8..5, 0u8..5)) {
        let n = |s: &[usize]| s.iter().product::<usize>();
        let whole = |n: usize| mixed(n).into_iter().map(|v| v.floor().abs()).collect::<Vec<_>>();
        let a = disguise(tensor(&whole(n(&sa)), &sa, dtype), ha);
        let b = disguise(tensor(&vec![9.0; n(&sb)], &sb, dtype), hb);
        let bits: Vec<f64> = mixed(n(&sb)).iter().map(|v| f64::from(u8::from(*v > 0.0))).collect();
        let cond = disguise(tensor(&bits, &sb, DType::Bool), hc);
        let (shape, picked) = naive_zip(&a, &cond, |a, c| if c == 1.0 { a } else { 9.0 });
        let got = select(cond, a, b);
        prop_assert_eq!(&got.layout().shape()[..], &shape[..]);
        prop_assert_eq!(values(&got), picked);
    }

    #[test]
    fn unary_maps_every_layout((shape, _) in shapes(), dtype in float(), how in 0u8..5, shared in any::<bool>()) {
        let n = shape.iter().product();
        let x = disguise(tensor(&mixed(n), &shape, dtype), how);
        let before = values(&x);
        let keep = shared.then(|| x.clone());
        let got = values(&unary(Unary::Square, x));
        let want: Vec<f64> = before.iter().map(|&v| round_to(v * v, dtype)).collect();
        prop_assert_eq!(got, want);
        prop_assert!(keep.is_none_or(|k| values(&k) == before));
    }

    #[test]
    fn copies_and_casts_keep_elements((shape, _) in shapes(), from in any_dtype(), to in any_dtype(), how in 0u8..5) {
        let n = shape.iter().product();
        let whole: Vec<f64> = mixed(n).into_iter().map(|v| v.floor().abs()).collect();
        let x = disguise(tensor(&whole, &shape, from), how);
        let copy = contiguous(x.clone());
        prop_assert!(copy.is_contiguous());
        prop_assert_eq!(values(&copy), whole.clone());
        prop_assert_eq!(values(&cast(x, to)), whole);
    }

    #[test]
    fn reductions_agree((shape, _) in shapes(), dtype in any_dtype(), how in 0u8..5, pick in 0u8..32) {
        let n = shape.iter().product();
        let small: Vec<f64> = mixed(n).into_iter().map(|v| f64::from(u8::from(v > 3.0))).collect();
        let x = disguise(tensor(&small, &shape, dtype), how);
        let axes: Vec<usize> = (0..shape.len()).filter(|a| pick >> a & 1 == 1).collect();
        let kept: Vec<usize> =
            shape.iter().enumerate().map(|(a, &n)| if axes.contains(&a) { 1 } else { n }).collect();
        let out: usize = kept.iter().product();
        let (mut sum, mut max) = (vec![0.0; out], vec![f64::NEG_INFINITY; out]);
        let flat = naive_index(&shape, &kept);
        for (i, v) in small.iter().enumerate() {
            sum[flat(i)] += v;
            max[flat(i)] = f64::max(max[flat(i)], *v);
        }
        let got = reduce(Reduce::Sum, x.clone(), &axes);
        prop_assert_eq!(&got.layout().shape()[..], &kept[..]);
        for v in &mut sum {
            *v = if dtype == DType::U8 { *v % 256.0 } else { round_to(*v, dtype) };
        }
        prop_assert_eq!(values(&got), sum);
        if n > 0 {
            prop_assert_eq!(values(&reduce(Reduce::Max, x, &axes)), max);
        }
    }

    #[test]
    fn argmax_is_first_of_equals((shape, _) in shapes(), dtype in any_dtype(), how in 0u8..5, axis in 0usize..5) {
        let axis = axis % shape.len().max(1);
        prop_assume!(!shape.is_empty() && shape[axis] > 0);
        let n = shape.iter().product();
        let few: Vec<f64> = mixed(n).into_iter().map(|v| v.floor().abs()).collect();
        let x = disguise(tensor(&few, &shape, dtype), how);
        let mut kept = shape.clone();
        kept[axis] = 1;
        let stride: usize = shape[axis + 1..].iter().product();
        let flat = naive_index(&shape, &kept);
        let mut best = vec![(f64::NEG_INFINITY, 0.0); kept.iter().product()];
        for (i, &v) in few.iter().enumerate() {
            let slot = &mut best[flat(i)];
            if v > slot.0 {
                *slot = (v, (i / stride % shape[axis]) as f64);
            }
        }
        let got = arg_reduce(true, x, axis);
        prop_assert_eq!(values(&got), best.into_iter().map(|b| b.1).collect::<Vec<_>>());
    }
}

/// From a flat index into `shape` to one into `kept`, where reduced axes have length 1.
fn naive_index<'a>(shape: &'a [usize], kept: &'a [usize]) -> impl Fn(usize) -> usize + 'a {
    move |mut i| {
        let (mut flat, mut stride) = (0, 1);
        for axis in (0..shape.len()).rev() {
            let k = i % shape[axis];
            i /= shape[axis];
            flat += if kept[axis] == 1 { 0 } else { k * stride };
            stride *= kept[axis];
        }
        flat
    }
}

#[test]
fn activations_and_their_slopes_agree_with_definitions() {
    let x: Vec<f64> = (-400..=400).map(|i| f64::from(i) * 0.025).collect();
    let t = || tensor(&x, &[x.len()], DType::F64);
    let ones = || tensor(&vec![1.0; x.len()], &[x.len()], DType::F64);
    let near = |name: &str, got: CpuTensor, f: &dyn Fn(f64) -> f64| {
        for (&x, got) in x.iter().zip(values(&got)) {
            let close = (got - f(x)).abs() <= 1e-14 * f(x).abs().max(1.0)
                || (got.is_nan() && f(x).is_nan());
            assert!(close, "{name}({x}): {got} and {}", f(x));
        }
    };
    let phi = |x: f64| 0.5 * libm::erfc(-x / 2f64.sqrt());
    let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let s = |x: f64| 1.0 / (1.0 + (-x).exp());
    let u = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    let du = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
    near("gelu", unary(Unary::GeluErf, t()), &|x| x * phi(x));
    near("gelu tanh", unary(Unary::GeluTanh, t()), &|x| 0.5 * x * (1.0 + u(x).tanh()));
    near("silu", unary(Unary::Silu, t()), &|x| x * s(x));
    near("gelu'", binary(Binary::GeluErfGrad, t(), ones()), &|x| phi(x) + x * density(x));
    near("gelu tanh'", binary(Binary::GeluTanhGrad, t(), ones()), &|x| {
        0.5 * (1.0 + u(x).tanh()) + 0.5 * x * (1.0 - u(x).tanh().powi(2)) * du(x)
    });
    near("silu'", binary(Binary::SiluGrad, t(), ones()), &|x| s(x) * (1.0 + x * (1.0 - s(x))));
    near("softplus'", binary(Binary::SoftplusGrad, t(), ones()), &s);
    near("x^2.5", unary(Unary::PowScalar(2.5), t()), &|x| x.powf(2.5));
}

#[test]
fn infinities_and_nan_pass_through() {
    let edge = [f64::NEG_INFINITY, f64::INFINITY, f64::NAN, -0.0];
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        let t = || tensor(&edge, &[4], dtype);
        let of = |op| values(&unary(op, t()));
        let silu = of(Unary::Silu);
        assert!(silu[0].abs() == 0.0 && silu[1] == f64::INFINITY && silu[2].is_nan());
        let gelu = of(Unary::GeluErf);
        assert!(gelu[0].abs() == 0.0 && gelu[1] == f64::INFINITY && gelu[2].is_nan());
        let relu = of(Unary::Relu);
        assert!(relu[0] == 0.0 && relu[1] == f64::INFINITY && relu[2].is_nan());
        let clamp = of(Unary::Clamp(-1.0, 1.0));
        assert!(clamp[0] == -1.0 && clamp[1] == 1.0 && clamp[2].is_nan());
        let max = values(&binary(Binary::Max, t(), tensor(&[0.0; 4], &[4], dtype)));
        assert!(max[0] == 0.0 && max[1] == f64::INFINITY && max[2].is_nan());
        assert!(values(&reduce(Reduce::Max, t(), &[0]))[0].is_nan());
        assert!(values(&reduce(Reduce::Min, t(), &[0]))[0].is_nan());
        assert_eq!(values(&arg_reduce(true, t(), 0)), [2.0]);
        assert_eq!(values(&arg_reduce(false, t(), 0)), [2.0]);
        let nan = values(&compare(Compare::Equal, t(), t()));
        assert_eq!(nan, [1.0, 1.0, 0.0, 1.0]);
    }
    let many = |at: usize| {
        let mut v = mixed(1000);
        v[at] = f64::NAN;
        tensor(&v, &[1000], DType::F32)
    };
    for at in [0, 31, 500, 999] {
        assert!(values(&reduce(Reduce::Max, many(at), &[0]))[0].is_nan());
        assert_eq!(values(&arg_reduce(false, many(at), 0)), [at as f64]);
    }
}

#[test]
fn large_angles_are_reduced_exactly() {
    let x = [1e6f32, 1.5e7, 3e30, -1e9, 0.5];
    let t = tensor(&x.map(f64::from), &[5], DType::F32);
    for (x, got) in x.iter().zip(values(&unary(Unary::Sin, t.clone()))) {
        assert!((got - f64::from(*x).sin()).abs() < 1e-7);
    }
    let in_place = values(&unary(Unary::Sin, tensor(&x.map(f64::from), &[5], DType::F32)));
    assert_eq!(in_place, values(&unary(Unary::Sin, t)));
}

#[test]
fn integers_wrap_and_divide_as_said() {
    let a = || tensor(&[7.0, -7.0, 5.0], &[3], DType::I64);
    let b = || tensor(&[2.0, 2.0, -3.0], &[3], DType::I64);
    assert_eq!(values(&binary(Binary::Div, a(), b())), [3.0, -3.0, -1.0]);
    assert_eq!(values(&binary(Binary::Rem, a(), b())), [1.0, 1.0, -1.0]);
    assert_eq!(
        values(&binary(Binary::Pow, a(), tensor(&[2.0, 3.0, 0.0], &[3], DType::I64))),
        [49.0, -343.0, 1.0]
    );
    assert_eq!(values(&unary(Unary::Neg, tensor(&[1.0], &[1], DType::U8))), [255.0]);
}

#[test]
#[should_panic(expected = "division of integers by zero")]
fn integer_division_by_zero_is_refused() {
    binary(Binary::Div, tensor(&[1.0], &[1], DType::I32), tensor(&[0.0], &[1], DType::I32));
}

#[test]
fn truth_values_combine() {
    let a = || tensor(&[0.0, 0.0, 1.0, 1.0], &[4], DType::Bool);
    let b = || tensor(&[0.0, 1.0, 0.0, 1.0], &[4], DType::Bool);
    assert_eq!(values(&logical(Logical::And, a(), b())), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(values(&logical(Logical::Or, a(), b())), [0.0, 1.0, 1.0, 1.0]);
    assert_eq!(values(&logical(Logical::Xor, a(), b())), [0.0, 1.0, 1.0, 0.0]);
    assert_eq!(values(&logical_not(a())), [1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn sums_of_many_floats_stay_accurate() {
    let n = 3_000_001;
    let x = vec![0.1f32; n];
    let sum = reduce(Reduce::Sum, raw_tensor(x, &[n], DType::F32), &[0]);
    let want = f64::from(0.1f32) * n as f64;
    assert!((values(&sum)[0] - want).abs() < 2e-6 * want);
    // Down the first axis too.
    let x = raw_tensor(vec![0.1f32; 200_000 * 3], &[200_000, 3], DType::F32);
    let want = f64::from(0.1f32) * 200_000.0;
    for got in values(&reduce(Reduce::Sum, x, &[0])) {
        assert!((got - want).abs() < 2e-6 * want);
    }
}

#[test]
fn softmax_agrees_with_its_definition() {
    for (rows, len) in [(1, 1), (7, 10), (3, 1025), (2, 5000)] {
        for dtype in [DType::F32, DType::F64] {
            let x: Vec<f64> = mixed(rows * len).iter().map(|v| round_to(v * 20.0, dtype)).collect();
            let soft = values(&softmax_last(tensor(&x, &[rows, len], dtype), false));
            let log = values(&softmax_last(tensor(&x, &[rows, len], dtype), true));
            for row in 0..rows {
                let x = &x[row * len..][..len];
                let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = x.iter().map(|v| (v - max).exp()).sum();
                let eps = if dtype == DType::F32 { 2e-5 } else { 1e-13 };
                for (i, v) in x.iter().enumerate() {
                    let want = v - max - sum.ln();
                    assert!((log[row * len + i] - want).abs() <= eps * want.abs().max(1.0));
                    assert!((soft[row * len + i] - want.exp()).abs() <= eps * want.exp() + 1e-37);
                }
            }
        }
    }
}

#[test]
fn layer_norm_agrees_with_its_definition() {
    let (rows, len) = (5, 1300);
    let x = mixed(rows * len);
    let (y, mean, rstd) = layer_norm_last(tensor(&x, &[rows, len], DType::F64), 1e-5);
    assert_eq!(&mean.layout().shape()[..], &[rows, 1]);
    for row in 0..rows {
        let x = &x[row * len..][..len];
        let center = x.iter().sum::<f64>() / len as f64;
        let spread = x.iter().map(|v| (v - center).powi(2)).sum::<f64>() / len as f64;
        let scale = 1.0 / (spread + 1e-5).sqrt();
        assert!((values(&mean)[row] - center).abs() < 1e-13);
        assert!((values(&rstd)[row] - scale).abs() < 1e-13);
        for (y, v) in values(&y)[row * len..].iter().zip(x) {
            assert!((y - (v - center) * scale).abs() < 1e-12);
        }
    }
}

#[test]
fn updates_follow_their_equations() {
    let n = 1003;
    let (start, g) = (mixed(n), mixed(2 * n)[n..].to_vec());
    let o = Adam {
        rate: 0.01,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        decoupled_decay: 0.1,
        decay: 0.2,
        correction1: 1.0 - 0.9f64.powi(3),
        correction2: 1.0 - 0.99f64.powi(3),
    };
    let (mut p, mut m, mut v) = (start.clone(), vec![0.5; n], vec![0.25; n]);
    adam_update(vec![Leaf { state: [&mut p, &mut m, &mut v], gradient: &g, options: o }]);
    for i in 0..n {
        let g = g[i] + 0.2 * start[i];
        let (want_m, want_v) = (0.9 * 0.5 + 0.1 * g, 0.99 * 0.25 + 0.01 * g * g);
        let step = 0.01 * (want_m / o.correction1) / ((want_v / o.correction2).sqrt() + 1e-8);
        let want = start[i] - 0.01 * 0.1 * start[i] - step;
        assert!(
            (p[i] - want).abs() < 1e-14
                && (m[i] - want_m).abs() < 1e-14
                && (v[i] - want_v).abs() < 1e-14
        );
    }
    let (mut p, mut u) = (start.clone(), vec![0.5; n]);
    let o = Momentum { rate: 0.1, keep: 0.9, decay: 0.0, nesterov: true };
    momentum_update(vec![Leaf { state: [&mut p, &mut u], gradient: &g, options: o }]);
    for i in 0..n {
        let velocity = 0.9 * 0.5 + g[i];
        assert!((u[i] - velocity).abs() < 1e-14);
        assert!((p[i] - (start[i] - 0.1 * (g[i] + 0.9 * velocity))).abs() < 1e-14);
    }
}

/// Everything that works in blocks, on enough elements for several.
fn a_bit_of_everything() -> Vec<Vec<f64>> {
    let n = 400_000;
    let x = || tensor(&mixed(n), &[n], DType::F32);
    let square = || tensor(&mixed(n), &[625, 640], DType::F32);
    let turned = || square().with_layout(square().layout().permute(&[1, 0]));
    let bias = || tensor(&mixed(640), &[640], DType::F32);
    let mut p: Vec<f32> = mixed(n).iter().map(|&v| v as f32).collect();
    let (mut u, g) = (p.clone(), p.clone());
    let options = Momentum { rate: 0.1, keep: 0.9, decay: 0.0, nesterov: false };
    momentum_update(vec![Leaf { state: [&mut p, &mut u], gradient: &g, options }]);
    vec![
        values(&unary(Unary::Exp, x())),
        values(&unary(Unary::Sin, unary(Unary::MulScalar(1e6), x()))),
        values(&binary(Binary::TanhGrad, x(), x())),
        values(&binary(Binary::Mul, square(), bias())),
        values(&binary(Binary::Sub, turned(), contiguous(turned()))),
        values(&reduce(Reduce::Sum, x(), &[0])),
        values(&reduce(Reduce::Sum, square(), &[0])),
        values(&reduce(Reduce::Sum, square(), &[1])),
        values(&reduce(Reduce::Prod, turned(), &[1])),
        values(&arg_reduce(true, square(), 0)),
        values(&softmax_last(square(), false)),
        values(&softmax_last(square(), true)),
        values(&layer_norm_last(square(), 1e-5).0),
        p.into_iter().map(f64::from).collect(),
    ]
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let with = |threads: usize| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(a_bit_of_everything)
    };
    let bits = |all: Vec<Vec<f64>>| all.into_iter().flatten().map(f64::to_bits).collect::<Vec<_>>();
    let alone = bits(with(1));
    assert!(alone == bits(with(2)), "two threads");
    assert!(alone == bits(with(5)), "five threads");
}
