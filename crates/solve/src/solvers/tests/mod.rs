//! Solvers: one table of problems and methods, their derivatives, quadratic programs, roots, and what is refused.

mod faults;
mod programs;
mod roots;
mod table;

use lisse_array::Array;

pub(super) fn vector(values: &[f64]) -> Array {
    Array::from_slice(values, &[values.len()])
}

pub(super) fn matrix(values: &[f64], rows: usize) -> Array {
    Array::from_slice(values, &[rows, values.len() / rows])
}

#[track_caller]
pub(super) fn close(what: &str, found: &Array, expected: &[f64], tolerance: f64) {
    let found = found.to_f64_vec();
    assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= tolerance, "{what}: found {found:?}, expected {expected:?}");
    }
}
