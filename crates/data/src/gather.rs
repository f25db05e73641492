//! Rows of an array by index.

use lisse_array::{Array, Device};

/// The rows `indices` of `array` `[n, ...]`, in that order, on its device. Panics on an index past the last row.
pub(crate) fn rows(array: &Array, indices: &[usize]) -> Array {
    let wanted: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
    let wanted = Device::Cpu.with(|| Array::from_vec(wanted, &[indices.len()]));
    array.index_select(0, &wanted)
}
