//! Slices of the loss surface around a solution.

use lisse_array::{Array, Stream, Tree};

/// A random direction in which every filter (slice along the first axis) of every leaf has the norm of the same filter in `params`
/// (Li et al., 2018), so that slices of differently scaled networks can be compared. Leaves of rank below two (biases, norms) stay zero.
pub fn filter_normalised<P: Tree>(params: &P, stream: Stream) -> P {
    let trainable = params.trainable();
    let mut index = 0;
    params.map(|leaf| {
        let i = index;
        index += 1;
        if !trainable[i] || leaf.rank() < 2 {
            return leaf.zeros_like();
        }
        let noise = stream.at(i as u64).normal(leaf.shape(), leaf.dtype()).to_device(leaf.device());
        let axes: Vec<isize> = (1..leaf.rank() as isize).collect();
        let length = |a: &Array| a.square().sum_keep(&axes).sqrt();
        &noise * (length(leaf) / (length(&noise) + 1e-12))
    })
}

/// The loss along `params + t direction` for `t` in `[-radius, radius]`: pairs `(t, loss)`.
///
/// # Errors
/// What `loss` fails with, for instance an interruption.
pub fn line<P: Tree, E>(
    mut loss: impl FnMut(&P) -> Result<f64, E>,
    params: &P,
    direction: &P,
    radius: f64,
    points: usize,
) -> Result<Vec<(f64, f64)>, E> {
    grid(radius, points).into_iter().map(|t| Ok((t, loss(&params.axpy(t, direction))?))).collect()
}

/// The loss over `params + s first + t second`: row `i` of the result holds `s = grid[i]`.
///
/// # Errors
/// What `loss` fails with.
pub fn plane<P: Tree, E>(
    mut loss: impl FnMut(&P) -> Result<f64, E>,
    params: &P,
    first: &P,
    second: &P,
    radius: f64,
    points: usize,
) -> Result<Vec<Vec<f64>>, E> {
    let axis = grid(radius, points);
    let mut rows = Vec::with_capacity(axis.len());
    for &s in &axis {
        let start = params.axpy(s, first);
        let row: Result<Vec<f64>, E> = axis.iter().map(|&t| loss(&start.axpy(t, second))).collect();
        rows.push(row?);
    }
    Ok(rows)
}

/// `points` numbers evenly from `-radius` to `radius`.
pub fn grid(radius: f64, points: usize) -> Vec<f64> {
    let last = points.max(2) - 1;
    (0..=last).map(|i| radius * (2.0 * i as f64 / last as f64 - 1.0)).collect()
}
