//! Pooling helpers over the operations of [`Array`]: `max_pool`, `avg_pool`, `adaptive_avg_pool`, `adaptive_max_pool`.

use lisse_array::Array;
use lisse_array::ops::Pool;

/// Largest element of windows of `size` per axis, without overlap: `[batch, channels, size...]` shrinks by `size`.
pub fn max_pool(x: &Array, size: usize) -> Array {
    let windows = vec![size; x.rank() - 2];
    x.max_pool(&Pool::new(&windows).stride(size))
}

/// Mean of windows of `size` per axis, without overlap.
pub fn avg_pool(x: &Array, size: usize) -> Array {
    let windows = vec![size; x.rank() - 2];
    x.avg_pool(&Pool::new(&windows).stride(size), true)
}

/// Mean over all spatial axes: `[batch, channels, size...]` to `[batch, channels]`.
pub fn global_avg_pool(x: &Array) -> Array {
    x.mean(&spatial_axes("global_avg_pool", x))
}

/// Largest element over all spatial axes: `[batch, channels, size...]` to `[batch, channels]`.
pub fn global_max_pool(x: &Array) -> Array {
    x.max(&spatial_axes("global_max_pool", x))
}

fn spatial_axes(name: &str, x: &Array) -> Vec<isize> {
    assert!(x.rank() > 2, "{name}: needs [batch, channels, size...], got {:?}", x.shape());
    (2..x.rank() as isize).collect()
}

/// Mean over the steps of a sequence that are not padding: `x` `[batch, time, width]`, `padding` bool `[batch, time]`, true
/// where a step is to be left out. A sequence of padding alone gives zeros.
pub fn masked_mean(x: &Array, padding: &Array) -> Array {
    assert!(
        x.rank() == 3 && padding.shape() == &x.shape()[..2],
        "masked_mean: needs [batch, time, width] and [batch, time], got {:?} and {:?}",
        x.shape(),
        padding.shape()
    );
    let weight = 1.0 - padding.cast(x.dtype()).unsqueeze(2);
    let count = weight.sum(&[1]).maximum(&Array::ones(&[], x.dtype()).to_device(x.device()));
    (x * weight).sum(&[1]) / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use lisse_array::{DType, check};

    #[test]
    fn values_by_hand() {
        let x = Array::arange(0.0, 16.0, 1.0, DType::F64).reshape(&[1, 1, 4, 4]);
        assert_eq!(max_pool(&x, 2).to_vec::<f64>(), [5.0, 7.0, 13.0, 15.0]);
        assert_eq!(avg_pool(&x, 2).to_vec::<f64>(), [2.5, 4.5, 10.5, 12.5]);
        assert_eq!(global_avg_pool(&x).to_vec::<f64>(), [7.5]);
        assert_eq!(global_max_pool(&x).to_vec::<f64>(), [15.0]);
        assert_eq!(global_max_pool(&x).shape(), [1, 1]);
    }

    #[test]
    fn padding_is_left_out_of_the_mean() {
        let x = Array::from_slice(&[1.0f64, 2.0, 3.0, 5.0, 7.0, 9.0], &[2, 3, 1]);
        let padding = Array::from_slice(&[false, false, true, true, true, true], &[2, 3]);
        assert_eq!(masked_mean(&x, &padding).to_vec::<f64>(), [1.5, 0.0]);
        check::gradient(|x: &Array| masked_mean(x, &padding).exp(), &x, 2).unwrap();
    }
}
