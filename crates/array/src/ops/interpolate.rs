//! Resizing images. Each method is a fixed matrix along each spatial axis.

use crate::Array;
use crate::cpu::Resampler;
use crate::ops::resample::check_images;

/// How values between the elements of an image are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The element whose area holds the point.
    Nearest,
    /// Linear along each axis between the two neighbours.
    Bilinear,
    /// Cubic convolution along each axis over four neighbours, with `a = -0.75` (Keys 1981).
    Bicubic,
}

impl Array {
    /// Resizes the spatial axes of `[batch, channels, spatial..]` (1 to 3) to `sizes`; elements outside repeat the border.
    ///
    /// With `align_corners` the centres of the first and last elements of input and output coincide; without, the outer
    /// edges do. [`Interpolation::Nearest`] knows edges only and ignores it. Computed on the host.
    ///
    /// ```
    /// use lisse_array::{Array, ops::Interpolation};
    /// let x = Array::from_slice(&[0.0f64, 1.0], &[1, 1, 2]);
    /// let y = x.interpolate(&[3], Interpolation::Bilinear, true);
    /// assert_eq!(y.to_vec::<f64>(), [0.0, 0.5, 1.0]);
    /// ```
    #[track_caller]
    pub fn interpolate(
        &self,
        sizes: &[usize],
        method: Interpolation,
        align_corners: bool,
    ) -> Array {
        check_images("interpolate", self, sizes.len());
        assert!(
            sizes.iter().chain(&self.shape()[2..]).all(|&s| s > 0),
            "interpolate: shape {:?} cannot be resized to {sizes:?}",
            self.shape()
        );
        let maps = sizes.iter().zip(&self.shape()[2..]);
        self.along_axes(maps.map(|(&to, &from)| matrix(from, to, method, align_corners)).collect())
    }
}

/// The weights of the input's elements in each of `to` output elements.
fn matrix(from: usize, to: usize, method: Interpolation, align_corners: bool) -> Resampler {
    let ratio = from as f64 / to as f64;
    let at = |i: usize| match (align_corners, to) {
        (true, 1) => 0.0,
        (true, _) => i as f64 * ((from - 1) as f64 / (to - 1) as f64),
        (false, _) => (i as f64 + 0.5) * ratio - 0.5,
    };
    let last = from - 1;
    let row = |i: usize| match method {
        Interpolation::Nearest => vec![((i * from / to).min(last), 1.0)],
        Interpolation::Bilinear => {
            let at = at(i).max(0.0);
            let (base, part) = (at.floor(), at.fract());
            let base = (base as usize).min(last);
            vec![(base, 1.0 - part), ((base + 1).min(last), part)]
        }
        Interpolation::Bicubic => {
            let at = at(i);
            let base = at.floor();
            let part = at - base;
            let element = |shift: isize| (base as isize + shift).clamp(0, last as isize) as usize;
            (-1..=2).map(|shift| (element(shift), cubic((part - shift as f64).abs()))).collect()
        }
    };
    Resampler::new(from, (0..to).map(row))
}

/// Weight of an element at this distance.
fn cubic(distance: f64) -> f64 {
    const A: f64 = -0.75;
    let d = distance;
    if d <= 1.0 {
        ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0
    } else {
        ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn derivatives_of_resizing() {
        let x = Array::linspace(-1.0, 1.0, 24, crate::DType::F64).sin().reshape(&[1, 2, 3, 4]);
        for method in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic] {
            for align in [false, true] {
                check::gradient(|x: &Array| x.interpolate(&[5, 3], method, align).exp(), &x, 2)
                    .unwrap();
            }
        }
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let x = Array::linspace(-1.0, 1.0, 24, crate::DType::F64).reshape(&[1, 2, 3, 4]);
        for method in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic] {
            assert_eq!(x.interpolate(&[3, 4], method, false).to_vec::<f64>(), x.to_vec::<f64>());
        }
    }
}
