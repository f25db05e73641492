//! Shared by the tests of linear algebra, sparse matrices and Fourier transforms.
#![allow(dead_code)] // each test binary uses a part

use lisse_array::{Array, DType, Stream};

/// A reference value by name; see golden/linalg.py.
pub fn golden(name: &str) -> Array {
    let all: serde_json::Value =
        serde_json::from_str(include_str!("../golden/linalg.json")).unwrap();
    let entry = &all[name];
    let numbers = |key: &str| -> Vec<f64> {
        entry[key]
            .as_array()
            .unwrap_or_else(|| panic!("{name}"))
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect()
    };
    let shape: Vec<usize> = numbers("shape").iter().map(|&d| d as usize).collect();
    Array::from_vec(numbers("values"), &shape)
}

/// Standard normal numbers from a fixed seed.
pub fn normal(seed: u64, shape: &[usize]) -> Array {
    Stream::new(seed).normal(shape, DType::F64)
}

/// Square matrices far from singular.
pub fn regular(seed: u64, batch: &[usize], n: usize) -> Array {
    let shape: Vec<usize> = batch.iter().copied().chain([n, n]).collect();
    normal(seed, &shape) + Array::eye(n, DType::F64) * (2.0 * (n as f64).sqrt())
}

/// `x x^T + I`
pub fn definite(x: &Array) -> Array {
    x.matmul(&x.t()) + Array::eye(x.dim(-2), x.dtype())
}

/// Largest absolute difference, relative to the larger of one and the largest expected value.
pub fn distance(found: &Array, expected: &Array) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    if found.is_empty() {
        return 0.0;
    }
    let (found, expected) = (found.cast(DType::F64), expected.cast(DType::F64));
    let worst = (found - &expected).abs().max_all().item();
    if worst.is_nan() { f64::INFINITY } else { worst / expected.abs().max_all().item().max(1.0) }
}

#[track_caller]
pub fn assert_close(found: &Array, expected: &Array, tolerance: f64) {
    let distance = distance(found, expected);
    assert!(
        distance <= tolerance,
        "off by {distance:e}, more than {tolerance:e}:\n{found}\nfor\n{expected}"
    );
}

/// Rounding of an algorithm on matrices of size `n`: a modest multiple of `n eps`.
pub fn rounding(n: usize, dtype: DType) -> f64 {
    let epsilon = if dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    20.0 * n as f64 * epsilon
}
