//! Reading images at given points.

use std::sync::Arc;

use crate::Array;
use crate::cpu::Positions;
use crate::ops::signed;

/// What lies outside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GridPadding {
    /// Zeros.
    Zeros,
    /// The nearest element of the border.
    Border,
    /// The image mirrored at its border, again and again.
    Reflection,
}

impl Array {
    /// Values of the image `[batch, channels, height, width]` at the points of `grid`, `[batch, h, w, 2]`, interpolated
    /// bilinearly: `[batch, channels, h, w]`. A point is (x, y), with -1 and 1 at the left and right (top and bottom) of the
    /// image: the centres of its outermost elements with `align_corners`, else their outer edges.
    ///
    /// Differentiable to any order in the image and in the grid; in the grid the value has kinks where a point crosses the
    /// centre of an element. Computed on the host.
    ///
    /// ```
    /// use lisse_array::{Array, ops::GridPadding};
    /// let image = Array::from_slice(&[0.0f64, 1.0, 2.0, 3.0], &[1, 1, 2, 2]);
    /// let centre = Array::from_slice(&[0.0f64, 0.0], &[1, 1, 1, 2]);
    /// assert_eq!(image.grid_sample(&centre, GridPadding::Zeros, true).item(), 1.5);
    /// ```
    #[track_caller]
    pub fn grid_sample(&self, grid: &Array, padding: GridPadding, align_corners: bool) -> Array {
        let points = Points::new("grid_sample", self, grid, padding, align_corners);
        let (left, top) = (points.x.floor(), points.y.floor());
        let corners = left.to_f64_vec().into_iter().zip(top.to_f64_vec()).collect::<Vec<_>>();
        let (right_part, lower_part) = (&points.x - left, &points.y - top);
        let (left_part, upper_part) = (1.0 - &right_part, 1.0 - &lower_part);
        let corner = |dx: f64, dy: f64, weight: Array| {
            let places = corners.iter().map(|&(x, y)| (x + dx, y + dy));
            points.read(self, places) * weight.unsqueeze(1)
        };
        let upper = corner(0.0, 0.0, &left_part * &upper_part)
            + corner(1.0, 0.0, &right_part * &upper_part);
        let lower =
            corner(0.0, 1.0, left_part * &lower_part) + corner(1.0, 1.0, right_part * lower_part);
        upper + lower
    }

    /// As [`grid_sample`](Self::grid_sample), with the element nearest to each point; constant in the grid.
    #[track_caller]
    pub fn grid_sample_nearest(
        &self,
        grid: &Array,
        padding: GridPadding,
        align_corners: bool,
    ) -> Array {
        let points =
            Points::new("grid_sample_nearest", self, &grid.stop_gradient(), padding, align_corners);
        let (x, y) = (points.x.round().to_f64_vec(), points.y.round().to_f64_vec());
        points.read(self, x.into_iter().zip(y))
    }
}

/// Points in units of elements, `[batch, h, w]`.
struct Points {
    x: Array,
    y: Array,
}

impl Points {
    #[track_caller]
    fn new(
        operation: &str,
        image: &Array,
        grid: &Array,
        padding: GridPadding,
        align_corners: bool,
    ) -> Points {
        let (shape, at) = (image.shape(), grid.shape());
        assert!(
            shape.len() == 4
                && at.len() == 4
                && at[3] == 2
                && at[0] == shape[0]
                && shape[2] > 0
                && shape[3] > 0,
            "{operation}: needs an image [batch, channels, height, width] and a grid [batch, h, w, 2], got {shape:?} and {at:?}"
        );
        assert!(
            image.dtype() == grid.dtype() && image.dtype().is_float(),
            "{operation}: needs floats of one dtype, got {} {shape:?} and {} {at:?}",
            image.dtype(),
            grid.dtype()
        );
        let along =
            |axis: usize, size: usize| resolve(&grid.index(-1, axis), size, padding, align_corners);
        Points { x: along(0, shape[3]), y: along(1, shape[2]) }
    }

    /// The elements at whole-numbered places (x, y), zero outside the image.
    fn read(&self, image: &Array, places: impl Iterator<Item = (f64, f64)>) -> Array {
        let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| image.shape()[i]);
        let (h, w) = (self.x.shape()[1], self.x.shape()[2]);
        let place = |(x, y): (f64, f64)| {
            let inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
            if inside { (y as usize * width + x as usize) as i32 } else { -1 }
        };
        let positions = Positions {
            size: height * width,
            repeat: channels,
            count: h * w,
            list: places.map(place).collect(),
        };
        image.take_at(&Arc::new(positions), &[batch, channels, h, w])
    }
}

/// From -1..1 to elements, with points outside moved into the image if it is continued there.
fn resolve(at: &Array, size: usize, padding: GridPadding, align_corners: bool) -> Array {
    let at = at.reshape(&signed(&at.shape()[..3]));
    let size = size as f64;
    let elements = if align_corners {
        (at + 1.0) * ((size - 1.0) / 2.0)
    } else {
        ((at + 1.0) * size - 1.0) * 0.5
    };
    match padding {
        GridPadding::Zeros => elements,
        GridPadding::Border => elements.clamp(0.0, size - 1.0),
        GridPadding::Reflection => {
            let (low, span) = if align_corners { (0.0, size - 1.0) } else { (-0.5, size) };
            reflect(&elements, low, span).clamp(0.0, size - 1.0)
        }
    }
}

/// Folds the line into `low..low + span`.
fn reflect(x: &Array, low: f64, span: f64) -> Array {
    if span == 0.0 {
        return x * 0.0;
    }
    let distance = (x - low).abs();
    let flips = (&distance * (1.0 / span)).floor();
    let rest = distance - &flips * span;
    let odd = &flips - (&flips * 0.5).floor() * 2.0;
    rest * (1.0 - &odd * 2.0) + odd * span + low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn derivatives_in_image_and_grid() {
        let image = Array::linspace(-1.0, 2.0, 24, crate::DType::F64).sin().reshape(&[1, 2, 3, 4]);
        // No coordinate maps to a whole element, where the value has a kink.
        let grid = Array::from_slice(
            &[0.31f64, -0.47, 1.23, 0.11, -1.41, 0.77, 0.05, -0.9],
            &[1, 2, 2, 2],
        );
        for padding in [GridPadding::Zeros, GridPadding::Border, GridPadding::Reflection] {
            for align in [false, true] {
                let sample = |(x, g): &(Array, Array)| x.grid_sample(g, padding, align).exp();
                check::gradient(sample, &(image.clone(), grid.clone()), 2).unwrap();
                let nearest = |x: &Array| x.grid_sample_nearest(&grid, padding, align).exp();
                check::gradient(nearest, &image, 2).unwrap();
            }
        }
    }
}
