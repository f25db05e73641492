//! Every kind of operation on every device of this machine, in f32, against the processor in f64.
//!
//! Inputs are made on the processor from numbers that f32 holds exactly and then moved, so that operations must find their
//! device from their operands. What an operation returns must lie on that device again.
#![allow(clippy::single_range_in_vec_init)] // a slice of one axis

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lisse_array::ops::{Conv, GridPadding, Interpolation, Pad, Pool};
use lisse_array::sparse::Csr;
use lisse_array::{
    Array, DType, Device, Stream, bf16, checkpoint, f16, fused, grad, hessian, hvp, jvp,
    per_example_grad,
};

/// Where a case runs, in which floats, and a source of inputs that are the same everywhere.
struct Given {
    device: Device,
    float: DType,
    draws: Cell<u64>,
}

impl Given {
    fn on(device: Device, float: DType) -> Given {
        Given { device, float, draws: Cell::new(0) }
    }

    fn stream(&self) -> Stream {
        self.draws.set(self.draws.get() + 1);
        Stream::new(5).at(self.draws.get())
    }

    /// Numbers between the bounds.
    fn between(&self, low: f64, high: f64, shape: &[usize]) -> Array {
        let x = self.stream().uniform_range(low, high, shape, DType::F32);
        x.cast(self.float).to_device(self.device)
    }

    fn normal(&self, shape: &[usize]) -> Array {
        self.stream().normal(shape, DType::F32).cast(self.float).to_device(self.device)
    }

    fn floats(&self, values: &[f32], shape: &[usize]) -> Array {
        Array::from_slice(values, shape).cast(self.float).to_device(self.device)
    }

    fn integers(&self, low: i64, high: i64, shape: &[usize], dtype: DType) -> Array {
        self.stream().int_range(low, high, shape).cast(dtype).to_device(self.device)
    }

    fn indices(&self, below: i64, shape: &[usize]) -> Array {
        self.integers(0, below, shape, DType::I64)
    }

    fn truth(&self, shape: &[usize]) -> Array {
        self.stream().bernoulli(0.5, shape).cast(DType::Bool).to_device(self.device)
    }
}

struct Case {
    name: &'static str,
    /// How far results may lie from those of the processor, relative to one and to the result.
    tolerance: f64,
    run: fn(&Given) -> Vec<Array>,
}

/// A table of cases `name, tolerance => results;`, each result an array.
macro_rules! cases {
    (|$g:ident| $($name:literal, $tolerance:expr => $($result:expr),+;)*) => {
        &[$(Case { name: $name, tolerance: $tolerance, run: |$g: &Given| vec![$($result),+] }),*]
    };
}

/// Rounding of f32 over a few operations.
const FEW: f64 = 1e-5;
/// Rounding over sums and elementary functions that devices approximate.
const MANY: f64 = 1e-4;
/// Elements are moved or compared, nothing is rounded.
const EXACT: f64 = 0.0;

/// Runs the cases on every device and reports all that go wrong at once.
fn check(cases: &[Case]) {
    let mut wrong = Vec::new();
    for device in Device::available() {
        for case in cases {
            let expected = (case.run)(&Given::on(Device::Cpu, DType::F64));
            let run = || (case.run)(&Given::on(device, DType::F32));
            let Ok(found) = catch_unwind(run) else {
                wrong.push(format!("{device}: {}: panicked, see above", case.name));
                continue;
            };
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                if let Err(reason) = agree(found, expected, device, case.tolerance) {
                    wrong.push(format!("{device}: {}, result {i}: {reason}", case.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} disagreements:\n{}", wrong.len(), wrong.join("\n"));
}

fn agree(found: &Array, expected: &Array, device: Device, tolerance: f64) -> Result<(), String> {
    if found.device() != device {
        return Err(format!("lies on {}", found.device()));
    }
    if found.shape() != expected.shape() {
        return Err(format!("has shape {:?}, not {:?}", found.shape(), expected.shape()));
    }
    let dtype = if expected.dtype() == DType::F64 { DType::F32 } else { expected.dtype() };
    if found.dtype() != dtype {
        return Err(format!("is {}, not {dtype}", found.dtype()));
    }
    let (found, expected) = (found.to_f64_vec(), expected.to_f64_vec());
    let far = |(a, b): &(&f64, &f64)| {
        let same = a == b || (a.is_nan() && b.is_nan());
        // False for NaN on one side.
        let near = (*a - *b).abs() <= tolerance * b.abs().max(1.0);
        !same && !near
    };
    match found.iter().zip(&expected).find(far) {
        Some((a, b)) => Err(format!("{a} instead of {b}")),
        None => Ok(()),
    }
}

#[test]
fn elementary_functions() {
    check(cases! { |g|
        "neg abs sign", EXACT => -g.normal(&[3, 5]), g.normal(&[7]).abs(), g.normal(&[7]).sign();
        "exp", FEW => g.between(-3.0, 3.0, &[3, 5]).exp();
        "expm1", FEW => g.between(-2.0, 2.0, &[40]).expm1(), g.between(-1e-4, 1e-4, &[9]).expm1() * 1e4;
        "ln", FEW => g.between(0.1, 9.0, &[3, 5]).ln();
        "log1p", FEW => g.between(-0.9, 5.0, &[40]).log1p(), g.between(-1e-4, 1e-4, &[9]).log1p() * 1e4;
        "sqrt recip square", FEW =>
            g.between(0.1, 9.0, &[8]).sqrt(), g.between(0.1, 9.0, &[8]).recip(), g.normal(&[8]).square();
        "sin cos", FEW => g.between(-7.0, 7.0, &[33]).sin(), g.between(-7.0, 7.0, &[33]).cos();
        "tan", MANY => g.between(-1.2, 1.2, &[33]).tan();
        "asin acos", MANY => g.between(-0.99, 0.99, &[33]).asin(), g.between(-0.99, 0.99, &[33]).acos();
        "atan", FEW => g.between(-9.0, 9.0, &[33]).atan();
        "sinh cosh", FEW => g.between(-3.0, 3.0, &[9]).sinh(), g.between(-3.0, 3.0, &[9]).cosh();
        "tanh", FEW => g.between(-5.0, 5.0, &[33]).tanh();
        "erf", FEW => g.between(-3.0, 3.0, &[33]).erf();
        "lgamma digamma", FEW => g.between(0.5, 5.0, &[9]).lgamma(), g.between(0.5, 5.0, &[9]).digamma();
        "floor ceil", EXACT => g.between(-3.0, 3.0, &[33]).floor(), g.between(-3.0, 3.0, &[33]).ceil();
        "round", EXACT => g.floats(&[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.4, 0.6], &[8]).round();
        "powf", FEW =>
            g.between(0.2, 3.0, &[9]).powf(1.7), g.between(0.2, 3.0, &[9]).powf(-0.5),
            g.between(0.2, 3.0, &[9]).powf(0.5), g.normal(&[9]).powf(0.0), g.normal(&[9]).powf(1.0);
        "powf of negative numbers", FEW =>
            g.between(-2.0, -0.5, &[9]).powf(2.0), g.between(-2.0, -0.5, &[9]).powf(3.0),
            g.between(-2.0, -0.5, &[9]).powf(5.0), g.between(-2.0, -0.5, &[9]).powf(-1.0),
            g.between(-2.0, -0.5, &[9]).powf(-3.0), g.between(-2.0, -0.5, &[9]).powf(1.5);
        "numbers", FEW =>
            g.normal(&[5]) + 1.5, g.normal(&[5]) - 1.5, 1.5 - g.normal(&[5]), g.normal(&[5]) * 1.5,
            g.normal(&[5]) / 1.5, 1.5 / g.between(0.5, 2.0, &[5]), g.normal(&[50]).clamp(-0.5, 0.7);
    });
}

#[test]
fn activations() {
    check(cases! { |g|
        "sigmoid", FEW => g.between(-9.0, 9.0, &[33]).sigmoid();
        "softplus", FEW => g.between(-9.0, 9.0, &[33]).softplus();
        "relu step", EXACT => g.normal(&[33]).relu(), g.normal(&[33]).step();
        "gelu", FEW => g.between(-5.0, 5.0, &[33]).gelu(), g.between(-5.0, 5.0, &[33]).gelu_tanh();
        "silu", FEW => g.between(-9.0, 9.0, &[33]).silu();
        "far out", FEW =>
            g.floats(&[-1e4, -90.0, 90.0, 1e4], &[4]).sigmoid(), g.floats(&[-1e4, -90.0, 90.0, 1e4], &[4]).softplus(),
            g.floats(&[-1e4, -90.0, 90.0, 1e4], &[4]).gelu(), g.floats(&[-1e4, -90.0, 90.0, 1e4], &[4]).gelu_tanh(),
            g.floats(&[-1e4, -90.0, 90.0, 1e4], &[4]).silu(), g.floats(&[-1e4, -90.0, 90.0, 1e4], &[4]).tanh();
        "softmax", FEW => g.normal(&[3, 17]).softmax(-1), g.normal(&[3, 17]).softmax(0), g.normal(&[3, 17]).log_softmax(1);
        "layer norm", MANY => g.normal(&[3, 17]).layer_norm(1e-5);
        "slopes", MANY =>
            slope(g, Array::sigmoid), slope(g, Array::tanh), slope(g, Array::softplus), slope(g, Array::relu),
            slope(g, Array::gelu), slope(g, Array::gelu_tanh), slope(g, Array::silu), slope(g, Array::abs);
    });
}

/// The derivative at some points.
fn slope(g: &Given, f: fn(&Array) -> Array) -> Array {
    grad(|x: &Array| f(x).sum_all())(&g.between(-4.0, 4.0, &[3, 11]))
}

#[test]
fn two_operands() {
    check(cases! { |g|
        "arithmetic", FEW =>
            g.normal(&[3, 5]) + g.normal(&[3, 5]), g.normal(&[3, 5]) - g.normal(&[3, 5]),
            g.normal(&[3, 5]) * g.normal(&[3, 5]), g.normal(&[3, 5]) / g.between(0.5, 2.0, &[3, 5]);
        "broadcasting", FEW =>
            g.normal(&[3, 5]) + g.normal(&[5]), g.normal(&[3, 1]) * g.normal(&[5]), g.normal(&[]) - g.normal(&[2, 1, 3]),
            g.normal(&[2, 3]).t() + g.normal(&[3, 2]), g.normal(&[]) * g.normal(&[]), g.normal(&[4]) / 3.0 + g.normal(&[1]);
        "pow", FEW => g.between(0.2, 3.0, &[9]).pow(&g.normal(&[9]));
        "maximum minimum", EXACT => g.normal(&[40]).maximum(&g.normal(&[40])), g.normal(&[4, 1]).minimum(&g.normal(&[40]));
        "remainder", FEW => g.between(-9.0, 9.0, &[33]).remainder(&g.floats(&[2.5], &[])), g.between(-9.0, 9.0, &[33]).remainder(&g.floats(&[-2.5], &[1]));
        "atan2", FEW => g.normal(&[33]).atan2(&g.normal(&[33]));
        "add scaled", FEW => g.normal(&[3, 5]).add_scaled(0.3, &g.normal(&[5]));
        "operands are left as they were", FEW => { let x = g.normal(&[6]); let y = &x * 2.0; let _ = x.clone() + 1.0; &x - &y };
        "comparisons", EXACT =>
            g.floats(&[1., 2., 3.], &[3]).equal(&g.floats(&[1., 3., 2.], &[3])), g.normal(&[9]).not_equal(&g.normal(&[])),
            g.normal(&[3, 5]).less(&g.normal(&[5])), g.normal(&[3, 5]).less_equal(&g.normal(&[5])),
            g.normal(&[3, 5]).greater(&g.normal(&[5])), g.normal(&[3, 5]).greater_equal(&g.normal(&[5]));
        "select", EXACT =>
            Array::select(&g.truth(&[3, 5]), &g.normal(&[3, 5]), &g.normal(&[3, 5])),
            Array::select(&g.truth(&[3, 1]), &g.normal(&[5]), &g.normal(&[])),
            Array::select(&g.truth(&[3]), &g.truth(&[3]), &g.truth(&[3])),
            Array::select(&g.truth(&[3]), &g.integers(0, 9, &[3], DType::I64), &g.integers(0, 9, &[], DType::I64));
        "logic", EXACT =>
            g.truth(&[3, 5]).and(&g.truth(&[5])), g.truth(&[3, 5]).or(&g.truth(&[3, 5])), g.truth(&[9]).xor(&g.truth(&[9])),
            g.truth(&[9]).not(), g.truth(&[]).not(), g.truth(&[9]).equal(&g.truth(&[9]));
    });
}

#[test]
fn nan_and_infinity() {
    fn odd(g: &Given) -> Array {
        g.floats(&[1.0, f32::NAN, -2.0, f32::INFINITY, f32::NEG_INFINITY, 0.0], &[2, 3])
    }
    check(cases! { |g|
        "nan stays", FEW =>
            odd(g).relu(), odd(g).clamp(-1.0, 1.0), odd(g).sign(), odd(g).silu(), odd(g).gelu(), odd(g).gelu_tanh(), odd(g).sigmoid(), odd(g).softplus();
        "nan wins", FEW =>
            odd(g).max(&[1]), odd(g).min(&[0]), odd(g).max_all(), odd(g).maximum(&g.floats(&[0.5], &[])),
            g.floats(&[0.5], &[]).minimum(&odd(g)), odd(g).sum(&[0]), odd(g).prod(&[1]);
        "nan compares", EXACT =>
            odd(g).equal(&odd(g)), odd(g).not_equal(&odd(g)), odd(g).less(&g.floats(&[0.0], &[])), odd(g).greater_equal(&odd(g));
        "masked softmax", FEW => g.floats(&[1.0, f32::NEG_INFINITY, 0.5, 2.0], &[2, 2]).softmax(-1);
        "empty logsumexp", FEW => g.floats(&[f32::NEG_INFINITY; 4], &[2, 2]).logsumexp(&[1]);
    });
    for device in Device::available() {
        let g = Given::on(device, DType::F32);
        assert!(!odd(&g).all_finite() && g.normal(&[3]).all_finite(), "{device}");
    }
}

#[test]
fn reductions() {
    check(cases! { |g|
        "sum", FEW =>
            g.normal(&[4, 5, 6]).sum(&[1]), g.normal(&[4, 5, 6]).sum(&[0, 2]), g.normal(&[4, 5, 6]).sum_all(), g.normal(&[]).sum_all(),
            g.normal(&[4, 5, 6]).permute(&[2, 0, 1]).sum(&[-1]), g.normal(&[1, 5]).expand(&[3, 5]).sum_keep(&[0]);
        "long sums", MANY => g.between(0.0, 1.0, &[3, 5000]).mean(&[1]), g.between(0.0, 1.0, &[5000, 3]).mean(&[0]), g.between(0.0, 1.0, &[70_000]).mean_all();
        "mean var", FEW => g.normal(&[4, 50]).mean(&[-1]), g.normal(&[4, 50]).var(&[-1], 1.0);
        "prod", FEW => g.between(0.5, 1.5, &[4, 6]).prod(&[1]), g.between(0.5, 1.5, &[4, 6]).prod_all();
        "max min", EXACT => g.normal(&[4, 5, 6]).max(&[1]), g.normal(&[4, 5, 6]).min(&[0, 2]), g.normal(&[4, 5, 6]).max_all(), g.normal(&[]).min_all();
        "logsumexp", FEW => g.normal(&[4, 50]).logsumexp(&[-1]);
        "running", FEW => g.normal(&[4, 30]).cumsum(1), g.normal(&[4, 30]).cumsum(0), g.between(0.5, 1.5, &[4, 9]).cumprod(1);
        "recurrence", FEW => g.normal(&[4, 30]).linear_scan(&g.between(0.1, 0.9, &[30]), 1);
        "positions", EXACT => g.normal(&[4, 30]).argmax(1), g.normal(&[4, 30]).argmin(0), g.normal(&[4, 30]).argsort(1, true);
        "sort", EXACT => g.normal(&[4, 30]).sort(1, false).0, g.normal(&[4, 30]).top_k(3, 1, true).0, g.normal(&[4, 30]).top_k(3, 0, true).1;
    });
    for device in Device::available() {
        let g = Given::on(device, DType::F32);
        let x = g.floats(&[0.0, 2.0], &[2]);
        assert!(x.any() && !x.all() && !x.zeros_like().any() && x.ones_like().all(), "{device}");
    }
}

#[test]
fn matrix_products() {
    check(cases! { |g|
        "plain", MANY => g.normal(&[17, 33]).matmul(&g.normal(&[33, 9])), g.normal(&[128, 96]).matmul(&g.normal(&[96, 64])), g.normal(&[1, 1]).matmul(&g.normal(&[1, 1]));
        "transposed", MANY => g.normal(&[33, 17]).t().matmul(&g.normal(&[33, 9])), g.normal(&[17, 33]).matmul(&g.normal(&[9, 33]).t()), g.normal(&[33, 17]).t().matmul(&g.normal(&[9, 33]).t());
        "vectors", MANY => g.normal(&[17, 33]).matmul(&g.normal(&[33])), g.normal(&[33]).matmul(&g.normal(&[33, 9])), g.normal(&[33]).matmul(&g.normal(&[33]));
        "batched", MANY => g.normal(&[3, 17, 33]).matmul(&g.normal(&[3, 33, 9])), g.normal(&[3, 17, 33]).matmul(&g.normal(&[33, 9])), g.normal(&[17, 33]).matmul(&g.normal(&[3, 33, 9]));
        "batches broadcast", MANY => g.normal(&[2, 1, 7, 5]).matmul(&g.normal(&[3, 5, 4])), g.normal(&[2, 3, 7, 5]).swap_axes(1, 2).matmul(&g.normal(&[2, 7, 5, 3]));
        "einsum", MANY => Array::einsum("bqhd,bkhd->bhqk", &[&g.normal(&[2, 5, 3, 4]), &g.normal(&[2, 6, 3, 4])]);
        "gradients", MANY => { let w = g.normal(&[6, 4]); grad(|w: &Array| g_of(w).square().sum_all())(&w) };
    });
}

/// A product with a fixed left factor on the device of `w`.
fn g_of(w: &Array) -> Array {
    let x = Stream::new(3).normal(&[2, 5, 6], DType::F32).cast(w.dtype()).to_device(w.device());
    x.matmul(w).tanh()
}

#[test]
fn views_and_joints() {
    check(cases! { |g|
        "reshape", EXACT => g.normal(&[4, 6]).reshape(&[3, -1]), g.normal(&[4, 6]).t().reshape(&[3, 8]), g.normal(&[1]).reshape(&[]), g.normal(&[]).reshape(&[1, 1]);
        "permute", EXACT => g.normal(&[2, 3, 4]).permute(&[2, 0, 1]), g.normal(&[]).permute(&[]), g.truth(&[2, 3]).t(), g.integers(0, 9, &[2, 3], DType::I64).t();
        "expand", EXACT => g.normal(&[3, 1]).expand(&[2, 3, 4]), g.normal(&[]).expand(&[2, 2]), g.truth(&[1]).expand(&[3]);
        "slice", EXACT => g.normal(&[4, 6]).slice(&[1..3, 2..6]), g.normal(&[4, 6]).t().narrow(0, 1, 2), g.normal(&[4, 6]).index(1, 3), g.truth(&[6]).narrow(0, 2, 3), g.normal(&[3]).index(0, 1);
        "strided", EXACT => g.normal(&[9, 2]).strided_slice(0, 1, 9, 3), g.normal(&[9]).unfold(0, 4, 2), g.normal(&[4, 4]).diagonal(0, 1), g.normal(&[4, 4]).tril(0), g.normal(&[4, 4]).triu(1);
        "place", EXACT => grad(|x: &Array| (x.slice(&[1..3, 2..6]) * 3.0).sum_all())(&g.normal(&[4, 6]));
        "pad", EXACT => g.normal(&[3, 4]).pad(&[(1, 2), (0, 3)], Pad::Constant(0.0)), g.normal(&[3, 4]).pad(&[(1, 2), (0, 3)], Pad::Constant(1.5)), g.normal(&[3, 4]).pad(&[(1, 2), (2, 1)], Pad::Reflect), g.normal(&[3, 4]).pad(&[(1, 2), (2, 1)], Pad::Replicate);
        "cat", EXACT => Array::cat(&[&g.normal(&[2, 3]), &g.normal(&[2, 4])], 1), Array::stack(&[&g.normal(&[3]), &g.normal(&[3])], 0), Array::cat(&[&g.truth(&[2]), &g.truth(&[3])], 0), Array::stack(&[&g.normal(&[]), &g.normal(&[])], 0);
        "flip roll repeat", EXACT => g.normal(&[3, 4]).flip(&[0]), g.normal(&[3, 4]).flip(&[0, 1]), g.normal(&[3, 4]).roll(&[1, -2], &[0, 1]), g.normal(&[3, 4]).repeat(&[2, 3]);
        "views of views", FEW => g.normal(&[4, 6]).t().slice(&[1..5]).flip(&[1]) + g.normal(&[4, 1]).t(), g.normal(&[4, 6]).t().exp().t();
        "nothing", EXACT => g.normal(&[0, 3]) + 1.0, g.normal(&[0, 3]).sum(&[0]), g.normal(&[3, 2]).narrow(0, 1, 0), Array::cat(&[&g.normal(&[0, 2]), &g.normal(&[3, 2])], 0), g.normal(&[2, 0]).matmul(&g.normal(&[0, 3])), g.normal(&[0]).reshape(&[0, 4]);
        "makers", EXACT => g.normal(&[3]).zeros_like(), g.normal(&[3, 2]).full_like(2.5), g.normal(&[]).ones_like(), g.truth(&[3]).ones_like(), g.indices(5, &[3]).full_like(3.0);
    });
}

#[test]
fn elements_by_index() {
    check(cases! { |g|
        "gather", EXACT => g.normal(&[4, 6]).gather(1, &g.indices(6, &[4, 3])), g.normal(&[4, 6]).gather(0, &g.indices(4, &[7, 6])), g.truth(&[4, 6]).gather(1, &g.indices(6, &[4, 3])), g.integers(0, 99, &[4, 6], DType::I64).gather(1, &g.indices(6, &[4, 3]));
        "select", EXACT => g.normal(&[4, 6]).index_select(1, &g.indices(6, &[9])), g.normal(&[4, 6]).t().index_select(0, &g.indices(6, &[2])), g.normal(&[4, 6]).embedding(&g.indices(4, &[3, 5])), g.truth(&[4, 6]).index_select(0, &g.indices(4, &[2]));
        "scatter", FEW => g.normal(&[4, 6]).scatter_add(1, &g.indices(6, &[4, 9]), &g.normal(&[4, 9])), g.normal(&[4, 6]).scatter_add(0, &g.indices(4, &[3, 6]), &g.normal(&[3, 6]));
        "add", FEW => g.normal(&[4, 6]).index_add(1, &g.indices(6, &[9]), &g.normal(&[4, 9])), g.normal(&[4, 6]).index_add(0, &g.indices(4, &[9]), &g.normal(&[9, 6]));
        "integers add", EXACT => g.integers(0, 9, &[4, 6], DType::I64).scatter_add(1, &g.indices(6, &[4, 9]), &g.integers(0, 9, &[4, 9], DType::I64)), g.integers(0, 9, &[5], DType::I32).index_add(0, &g.indices(5, &[9]), &g.integers(0, 9, &[9], DType::I32));
        "gradients", FEW => { let (x, i) = (g.normal(&[4, 6]), g.indices(6, &[4, 3])); grad(|x: &Array| x.gather(1, &i).square().sum_all())(&x) }, { let (x, i) = (g.normal(&[4, 6]), g.indices(4, &[9])); grad(|x: &Array| x.embedding(&i).square().sum_all())(&x) };
        "one hot", EXACT => Array::one_hot(&g.indices(4, &[5]), 4, DType::I32), g.normal(&[6]).argsort(0, false).inverse_permutation(0);
    });
}

#[test]
fn integers_and_casts() {
    fn some(g: &Given, dtype: DType) -> Array {
        g.integers(-50, 50, &[3, 7], dtype)
    }
    check(cases! { |g|
        "i64", EXACT =>
            some(g, DType::I64) + some(g, DType::I64), some(g, DType::I64) * some(g, DType::I64), -some(g, DType::I64), some(g, DType::I64) * 3.0 - 7.0,
            some(g, DType::I64).sum(&[1]), some(g, DType::I64).max_all(), some(g, DType::I64).less(&some(g, DType::I64)), some(g, DType::I64).abs().cumsum(1),
            some(g, DType::I64) / 7.0, some(g, DType::I64).maximum(&some(g, DType::I64)), some(g, DType::I64).clamp(-9.0, 9.0), some(g, DType::I64).remainder(&g.integers(3, 4, &[], DType::I64));
        "i32", EXACT =>
            some(g, DType::I32) - some(g, DType::I32), some(g, DType::I32).square(), 5.0 - some(g, DType::I32), some(g, DType::I32).min(&[0]), some(g, DType::I32).prod(&[1]) ,
            some(g, DType::I32).equal(&some(g, DType::I32)), some(g, DType::I32).sign(), some(g, DType::I32).matmul(&some(g, DType::I32).t());
        "wraps", EXACT => g.integers(2_000_000_000, 2_000_000_001, &[3], DType::I32) * 2.0, g.integers(2_000_000_000, 2_000_000_001, &[3], DType::I64) * 2.0;
        "u8", EXACT => g.integers(0, 200, &[9], DType::U8) + 100.0, g.integers(0, 9, &[9], DType::U8).sum_all(), g.integers(0, 9, &[9], DType::U8).cast(DType::I32);
        "float to integer", EXACT => g.between(-9.0, 9.0, &[9]).cast(DType::I64), g.between(-9.0, 9.0, &[9]).cast(DType::I32), g.between(0.0, 9.0, &[9]).cast(DType::U8), g.floats(&[0.0, 0.5, -1.0], &[3]).cast(DType::Bool);
        "integer to others", EXACT => some(g, DType::I64).cast(DType::I32), some(g, DType::I32).cast(DType::I64), some(g, DType::I64).cast(DType::Bool), some(g, DType::I64).cast(DType::F32);
        "truth to others", EXACT => g.truth(&[9]).cast(DType::F32), g.truth(&[9]).cast(DType::I64), g.truth(&[9]).cast(DType::I32), g.truth(&[9]).cast(DType::U8), g.truth(&[2, 3]).sum(&[0]);
    });
}

/// Types that a device may lack must work all the same: there or on the host.
#[test]
fn every_dtype_moves_there_and_back() {
    for device in Device::available() {
        for dtype in DType::ALL {
            let x = Array::arange(0.0, 6.0, 1.0, DType::I64).reshape(&[2, 3]).cast(dtype);
            let there = x.to_device(device);
            assert_eq!((there.device(), there.dtype()), (device, dtype));
            assert_eq!(
                there.to_device(Device::Cpu).to_f64_vec(),
                x.to_f64_vec(),
                "{device} {dtype}"
            );
            assert_eq!(there.t().to_f64_vec(), x.t().to_f64_vec(), "{device} {dtype}");
            let (mine, yours) =
                (Array::cat(&[&there, &there.flip(&[1])], 0), Array::cat(&[&x, &x.flip(&[1])], 0));
            assert_eq!(mine.to_f64_vec(), yours.to_f64_vec(), "{device} {dtype}");
            if dtype != DType::Bool {
                let (mine, yours) = (&there + &there * 2.0, &x + &x * 2.0);
                assert_eq!(mine.to_f64_vec(), yours.to_f64_vec(), "{device} {dtype}");
                assert_eq!(
                    there.sum(&[1]).to_f64_vec(),
                    x.sum(&[1]).to_f64_vec(),
                    "{device} {dtype}"
                );
                assert_eq!(there.max_all().item(), 5.0, "{device} {dtype}");
            }
            if dtype.is_float() {
                let (mine, yours) = (there.sin().softmax(-1), x.sin().softmax(-1));
                let error = (mine.to_device(Device::Cpu) - yours).abs().max_all().item();
                let rounding = if dtype.size() == 2 { 0.02 } else { 1e-6 };
                assert!(error < rounding, "{device} {dtype}: {error}");
                assert_eq!(
                    there.matmul(&there.t()).to_f64_vec(),
                    x.matmul(&x.t()).to_f64_vec(),
                    "{device} {dtype}"
                );
            }
        }
        assert_eq!(Array::from_slice(&[f16::from_f32(1.5)], &[1]).to_device(device).item(), 1.5);
        assert_eq!(Array::from_slice(&[bf16::from_f32(1.5)], &[1]).to_device(device).item(), 1.5);
        // Large integers keep all their digits.
        let large = Array::from_slice(&[i64::MAX, i64::MIN], &[2]);
        assert_eq!(large.to_device(device).to_vec::<i64>(), [i64::MAX, i64::MIN]);
    }
}

#[test]
fn images() {
    check(cases! { |g|
        "conv 1", MANY => g.normal(&[2, 3, 11]).conv(&g.normal(&[4, 3, 3]), &Conv::new(1).padding(1));
        "conv 2", MANY =>
            g.normal(&[2, 3, 9, 8]).conv(&g.normal(&[4, 3, 3, 3]), &Conv::new(2)), g.normal(&[2, 3, 9, 8]).conv(&g.normal(&[4, 3, 3, 3]), &Conv::new(2).padding(1).stride(2)),
            g.normal(&[2, 4, 9, 8]).conv(&g.normal(&[6, 2, 3, 2]), &Conv::new(2).groups(2)), g.normal(&[2, 3, 9, 8]).conv(&g.normal(&[4, 3, 2, 2]), &Conv::new(2).dilation(2));
        "conv 3", MANY => g.normal(&[1, 2, 5, 6, 4]).conv(&g.normal(&[3, 2, 2, 3, 2]), &Conv::new(3));
        "depthwise", MANY => g.normal(&[2, 4, 7, 7]).conv(&g.normal(&[4, 1, 3, 3]), &Conv::new(2).groups(4).padding(1));
        "conv transposed", MANY => g.normal(&[2, 4, 5, 4]).conv_transpose(&g.normal(&[4, 3, 3, 3]), &Conv::new(2).padding(1).stride(2), &[1, 1]), g.normal(&[2, 4, 5]).conv_transpose(&g.normal(&[4, 3, 3]), &Conv::new(1), &[0]);
        "conv gradients", MANY => conv_slope(g, &Conv::new(2).padding(1)).0, conv_slope(g, &Conv::new(2).padding(1)).1, conv_slope(g, &Conv::new(2).stride(2)).0, conv_slope(g, &Conv::new(2).stride(2)).1;
        "conv curvature", MANY => { let (x, w) = (g.normal(&[1, 2, 5, 5]), g.normal(&[2, 2, 3, 3])); let v = g.normal(&[2, 2, 3, 3]); hvp(|w: &Array| x.conv(w, &Conv::new(2)).tanh().sum_all(), &w, &v) };
        "pool", MANY => g.normal(&[2, 3, 8, 8]).max_pool(&Pool::new(&[2, 2])), g.normal(&[2, 3, 8, 8]).avg_pool(&Pool::new(&[3, 3]).padding(1), true), g.normal(&[2, 3, 7]).adaptive_avg_pool(&[3]), grad(|x: &Array| x.max_pool(&Pool::new(&[2, 2])).square().sum_all())(&g.normal(&[1, 2, 4, 4]));
        "resize", MANY => g.normal(&[2, 3, 4, 4]).interpolate(&[7, 5], Interpolation::Bilinear, false);
        "grid sample", MANY => g.normal(&[2, 3, 4, 4]).grid_sample(&g.between(-1.0, 1.0, &[2, 5, 5, 2]), GridPadding::Zeros, true);
    });
}

/// Gradients of a small convolution to its input and weight.
fn conv_slope(g: &Given, options: &Conv) -> (Array, Array) {
    let pair = (g.normal(&[2, 3, 7, 7]), g.normal(&[4, 3, 3, 3]));
    grad(|(x, w): &(Array, Array)| x.conv(w, options).square().sum_all() * 0.01)(&pair)
}

#[test]
fn transforms_and_linear_algebra() {
    fn definite(g: &Given) -> Array {
        let a = g.normal(&[5, 5]);
        a.matmul(&a.t())
            + g.floats(
                &[
                    1.0, 0., 0., 0., 0., 0., 1., 0., 0., 0., 0., 0., 1., 0., 0., 0., 0., 0., 1.,
                    0., 0., 0., 0., 0., 1.,
                ],
                &[5, 5],
            ) * 5.0
    }
    check(cases! { |g|
        "fft", MANY => Array::fft(&g.normal(&[3, 8]), &g.normal(&[3, 8]), &[1]).0, Array::rfft(&g.normal(&[3, 10]), &[1]).1, Array::irfft(&g.normal(&[6]), &g.normal(&[6]), 10, &[0]);
        "solve", MANY => definite(g).solve(&g.normal(&[5, 2])).unwrap(), definite(g).inverse().unwrap(), definite(g).cholesky().unwrap(), definite(g).slogdet().unwrap().1;
        "factors", MANY => definite(g).eigh().unwrap().0, g.normal(&[5, 3]).svd().unwrap().1, { let (q, r) = g.normal(&[5, 3]).qr().unwrap(); q.matmul(&r) };
        "solve differentiates", MANY => { let b = g.normal(&[5]); grad(|a: &Array| a.solve(&b).unwrap().square().sum_all())(&definite(g)) };
        "sparse", MANY => Csr::from_dense(&definite(g)).matmul(&g.normal(&[5, 2]));
    });
}

#[test]
fn derivatives() {
    fn f(x: &Array) -> Array {
        (x.tanh() * x.exp() + x.softmax(-1).ln()).square().mean_all()
    }
    check(cases! { |g|
        "grad", MANY => grad(f)(&g.normal(&[4, 5]));
        "hvp", MANY => hvp(f, &g.normal(&[4, 5]), &g.normal(&[4, 5]));
        "jvp", MANY => jvp(|x: &Array| x.layer_norm(1e-5) * x.sigmoid(), &g.normal(&[4, 5]), &g.normal(&[4, 5])).1;
        "hessian", MANY => hessian(|x: &Array| x.cumsum(0).sin().sum_all(), &g.normal(&[4]));
        "third order", MANY => { let v = g.normal(&[4]); grad(|x: &Array| (hvp(|x: &Array| x.sin().exp().sum_all(), x, &v) * &v).sum_all())(&g.normal(&[4])) };
        "checkpoint", MANY => grad(|x: &Array| checkpoint(|x: &Array| x.tanh().gelu(), x).sum_all())(&g.normal(&[4, 5]));
        "per example", MANY => { let data = g.normal(&[3, 4]); per_example_grad(|w: &Array, i| (w * data.index(0, i)).sin().sum_all(), &g.normal(&[4]), 3) };
        "attention", MANY => { let x = g.normal(&[2, 6, 8]); grad(|x: &Array| (x.matmul(&x.t()) * 0.3).softmax(-1).matmul(x).square().mean_all())(&x) };
        "adam", MANY => adam(g)[0].clone(), adam(g)[1].clone(), adam(g)[2].clone();
    });
}

fn adam(g: &Given) -> [Array; 3] {
    let options = fused::AdamUpdate {
        rate: 0.01,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        decay: 0.1,
        decoupled_decay: 0.05,
        step: 3,
    };
    let start = [g.normal(&[7, 5]), g.normal(&[7, 5]), g.between(0.1, 1.0, &[7, 5])];
    fused::adam(start, &g.normal(&[5, 7]).t(), &options)
}

/// Constructors and draws follow the current device, and a draw is the same everywhere.
#[test]
fn the_current_device_is_where_arrays_are_made() {
    for device in Device::available() {
        device.with(|| {
            let stream = Stream::new(1);
            let made = [
                Array::zeros(&[2, 3], DType::F32),
                Array::full(&[2, 3], 2.5, DType::F64),
                Array::ones(&[], DType::Bool),
                Array::arange(0.0, 5.0, 1.0, DType::I32),
                Array::linspace(0.0, 1.0, 5, DType::F32),
                Array::eye(3, DType::F32),
                Array::scalar(1.5f32),
                stream.normal(&[5], DType::F32),
                stream.int_range(0, 9, &[5]),
                stream.permutation_array(5),
            ];
            let there: Vec<Vec<f64>> = made.iter().map(Array::to_f64_vec).collect();
            assert!(made.iter().all(|a| a.device() == device), "{device}");
            let here = Device::Cpu.with(|| {
                [
                    stream.normal(&[5], DType::F32).to_f64_vec(),
                    stream.int_range(0, 9, &[5]).to_f64_vec(),
                    stream.permutation_array(5).to_f64_vec(),
                ]
            });
            assert_eq!(there[7..], here, "{device}");
            assert_eq!(there[0], [0.0; 6]);
            assert_eq!(there[1], [2.5; 6]);
            assert_eq!((&there[2][..], &there[3][..]), (&[1.0][..], &[0., 1., 2., 3., 4.][..]));
        });
    }
}

#[test]
fn devices_are_read_by_name() {
    for device in Device::available() {
        assert_eq!(device.to_string().parse(), Ok(device));
    }
    let reason = |name: &str| name.parse::<Device>().unwrap_err().to_string();
    assert_eq!(reason("gpu"), "no device `gpu`: expected `cpu`, `cuda:N` or `wgpu:N`");
    assert_eq!(reason("tpu:x"), "no device `tpu:x`: expected `cpu`, `cuda:N` or `wgpu:N`");
    assert_eq!(
        reason("cuda:one"),
        "no device `cuda:one`: `one` is not a device index; write `cuda:0`"
    );
    assert_eq!(reason("cpu:1"), "no device `cpu:1`: there is one processor; write `cpu`");
    assert!(reason("wgpu:99").starts_with("no device `wgpu:99`: this "), "{}", reason("wgpu:99"));
}

/// Needs a second device.
#[test]
fn operands_on_two_devices_are_refused() {
    let Some(&device) = Device::available().get(1) else { return };
    let (here, there) =
        (Array::ones(&[3], DType::F32), Array::ones(&[3], DType::F32).to_device(device));
    let refused = catch_unwind(AssertUnwindSafe(|| &here + &there)).unwrap_err();
    let message = refused.downcast_ref::<String>().expect("a message");
    assert!(message.contains("lie on different devices"), "{message}");
    assert_eq!(
        grad(|x: &Array| x.to_device(device).square().sum_all().to_device(Device::Cpu))(&here)
            .device(),
        Device::Cpu
    );
}
