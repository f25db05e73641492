//! Rows of an array by index.

use lisse_array::Array;

/// The rows `indices` of `array` `[n, ...]`, in that order, on its device.
pub(crate) fn rows(array: &Array, indices: &[usize]) -> Array {
    let wanted: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
    let wanted = Array::from_vec(wanted, &[indices.len()]).to_device(array.device());
    array.index_select(0, &wanted)
}
