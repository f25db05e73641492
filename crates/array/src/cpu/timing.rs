//! How long kernels take, to be run by hand: `cargo test --release -p lisse-array timing -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use super::tensor::CpuTensor;
use super::*;
use crate::DType;
use crate::storage::raw_tensor;

/// Median nanoseconds of a call.
fn median(calls: usize, mut f: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..31)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                f();
            }
            start.elapsed().as_nanos() as f64 / calls as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[15]
}

fn tensor(n: usize, shape: &[usize]) -> CpuTensor {
    raw_tensor(
        (0..n).map(|i| (i % 1000) as f32 * 0.004 - 2.0).collect::<Vec<f32>>(),
        shape,
        DType::F32,
    )
}

#[allow(clippy::print_stdout)]
fn table(threads: usize) {
    let report =
        |name: &str, ns: f64| println!("{threads} threads  {name:36} {:10.2} us", ns / 1000.0);
    let big = tensor(1 << 22, &[1 << 22]);
    report(
        "exp(x) * x + x, 4M",
        median(1, || {
            let y = unary(Unary::Exp, big.clone());
            let y = binary(Binary::Mul, y, big.clone());
            black_box(binary(Binary::Add, y, big.clone()));
        }),
    );
    report(
        "sum, 4M",
        median(1, || {
            black_box(reduce(Reduce::Sum, big.clone(), &[0]));
        }),
    );
    report(
        "a + b, 4M, new",
        median(1, || {
            black_box(binary(Binary::Add, big.clone(), big.clone()));
        }),
    );
    for (name, op) in [
        ("tanh", Unary::Tanh),
        ("gelu", Unary::GeluErf),
        ("sigmoid", Unary::Sigmoid),
        ("ln", Unary::Ln),
        ("sin", Unary::Sin),
    ] {
        report(
            &format!("{name}, 4M"),
            median(1, || {
                black_box(unary(op, big.clone()));
            }),
        );
    }
    let square = tensor(1 << 22, &[2048, 2048]);
    let turned = square.clone().with_layout(square.layout().permute(&[1, 0]));
    report(
        "contiguous of transpose, 2048x2048",
        median(1, || {
            black_box(contiguous(turned.clone()));
        }),
    );
    report(
        "sum over rows, 2048x2048",
        median(1, || {
            black_box(reduce(Reduce::Sum, square.clone(), &[0]));
        }),
    );
    report(
        "sum over columns, 2048x2048",
        median(1, || {
            black_box(reduce(Reduce::Sum, square.clone(), &[1]));
        }),
    );
    report(
        "softmax, 2048x2048",
        median(1, || {
            black_box(softmax_last(square.clone(), false));
        }),
    );
    let bias = tensor(2048, &[2048]);
    report(
        "+ bias, 2048x2048",
        median(1, || {
            black_box(binary(Binary::Add, square.clone(), bias.clone()));
        }),
    );
    let small = tensor(1024, &[1024]);
    report(
        "a + b, 1024",
        median(1000, || {
            black_box(binary(Binary::Add, small.clone(), small.clone()));
        }),
    );
    report(
        "tanh, 32x32",
        median(1000, || {
            black_box(unary(Unary::Tanh, small.clone()));
        }),
    );
    let (wide, row) = (tensor(1280, &[128, 10]), tensor(10, &[10]));
    report(
        "+ bias, 128x10",
        median(1000, || {
            black_box(binary(Binary::Add, wide.clone(), row.clone()));
        }),
    );
    report(
        "sum over rows, 128x10",
        median(1000, || {
            black_box(reduce(Reduce::Sum, wide.clone(), &[0]));
        }),
    );
    report(
        "log softmax, 128x10",
        median(1000, || {
            black_box(softmax_last(wide.clone(), true));
        }),
    );
    let medium = tensor(128 * 256, &[128, 256]);
    let row = tensor(256, &[256]);
    report(
        "+ bias, 128x256",
        median(100, || {
            black_box(binary(Binary::Add, medium.clone(), row.clone()));
        }),
    );
    report(
        "sum over rows, 128x256",
        median(100, || {
            black_box(reduce(Reduce::Sum, medium.clone(), &[0]));
        }),
    );
    report(
        "tanh, 128x256",
        median(100, || {
            black_box(unary(Unary::Tanh, medium.clone()));
        }),
    );
    for n in [1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 20] {
        let x = tensor(n, &[n]);
        report(
            &format!("a + b, {n}"),
            median(20, || {
                black_box(binary(Binary::Add, x.clone(), x.clone()));
            }),
        );
        report(
            &format!("exp, {n}"),
            median(20, || {
                black_box(unary(Unary::Exp, x.clone()));
            }),
        );
    }
    let n = 270_000;
    let (mut p, mut m, mut v, g) =
        (vec![0.5f32; n], vec![0.0f32; n], vec![0.0f32; n], vec![0.1f32; n]);
    let o = Adam {
        rate: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        decoupled_decay: 0.0,
        decay: 0.0,
        correction1: 0.5,
        correction2: 0.5,
    };
    report(
        "adam, 270k",
        median(10, || {
            adam_update(vec![Leaf { state: [&mut p, &mut m, &mut v], gradient: &g, options: o }]);
        }),
    );
}

#[test]
#[ignore = "takes seconds and prints a table"]
fn timing() {
    for threads in [1, 2] {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| table(threads));
    }
}
