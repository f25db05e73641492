//! Rows of an array by index.

use lisse_array::Array;

/// The rows `indices` of `array` `[n, ...]`, in that order, on its device.
pub(crate) fn rows(array: &Array, indices: &[usize]) -> Array {
    // Neighbours are taken together: a data set in its own order is a view, not a copy.
    let runs: Vec<Array> = indices
        .chunk_by(|&before, &after| before + 1 == after)
        .map(|run| array.narrow(0, run[0], run.len()))
        .collect();
    if runs.is_empty() {
        return array.narrow(0, 0, 0);
    }
    Array::cat(&runs.iter().collect::<Vec<_>>(), 0)
}
