//! Random changes of images that keep their class.

use half::{bf16, f16};
use lisse_array::random::Law;
use lisse_array::{Array, DType, Element, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// What lies beyond an image's border.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fill {
    /// One value everywhere, for instance 0.
    Value(f64),
    /// The image mirrored at its outermost pixels, which are not repeated.
    Reflect,
    /// The outermost pixel repeated.
    Edge,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Pad { amount: usize, fill: Fill },
    RandomCrop { height: usize, width: usize },
    RandomShift { padding: usize, fill: Fill },
    RandomFlip { probability: f64 },
}

/// Changes applied one after the other to each image of a batch `[n, channels, height, width]`.
///
/// What happens to an image depends on the stream, the epoch and the image's index in the data set, on nothing else: not on
/// the batch it is in nor on the threads. Any dtype and device; the work is done on the host.
///
/// ```
/// use lisse_array::{Array, DType, Stream};
/// use lisse_data::{Augmentation, Fill};
///
/// let standard = Augmentation::new().random_crop(4).random_flip(0.5);
/// let images = Array::ones(&[2, 3, 32, 32], DType::F32);
/// let augmented = standard.apply(&images, &[17, 4], 0, &Stream::new(0))?;
/// assert_eq!(augmented.shape(), [2, 3, 32, 32]);
///
/// let padded = Augmentation::new().pad(2, Fill::Edge).apply(&images, &[17, 4], 0, &Stream::new(0))?;
/// assert_eq!(padded.shape(), [2, 3, 36, 36]);
/// # Ok::<(), lisse_data::DataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    changes: Vec<Change>,
}

impl Augmentation {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `amount` pixels on each side.
    pub fn pad(self, amount: usize, fill: Fill) -> Self {
        self.then(Change::Pad { amount, fill })
    }

    /// Pads by `padding` zeros and cuts a window of the original size at a uniformly random place.
    pub fn random_crop(self, padding: usize) -> Self {
        self.random_crop_filled(padding, Fill::Value(0.0))
    }

    /// As [`random_crop`](Self::random_crop) with other padding, for instance the value of black after standardisation.
    pub fn random_crop_filled(self, padding: usize, fill: Fill) -> Self {
        self.then(Change::RandomShift { padding, fill })
    }

    /// Cuts a window of `height` by `width` pixels at a uniformly random place.
    pub fn random_crop_to(self, height: usize, width: usize) -> Self {
        self.then(Change::RandomCrop { height, width })
    }

    /// Mirrors left and right with the given probability.
    pub fn random_flip(self, probability: f64) -> Self {
        self.then(Change::RandomFlip { probability })
    }

    fn then(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// The changed images. `indices[i]` is the index of image `i` in the data set.
    ///
    /// # Errors
    /// Not `[n, channels, height, width]` with an index per image; a crop larger than the image; reflection by as much as
    /// the image or more; a probability outside `[0, 1]`.
    pub fn apply(
        &self,
        images: &Array,
        indices: &[usize],
        epoch: u64,
        stream: &Stream,
    ) -> Result<Array, DataError> {
        self.check(images)?;
        if indices.len() != images.shape()[0] {
            return Err(DataError::argument(
                WHAT,
                format!("{} indices for {} images", indices.len(), images.shape()[0]),
            ));
        }
        Ok(self.apply_checked(images, indices, epoch, stream))
    }

    pub(crate) fn check(&self, images: &Array) -> Result<(), DataError> {
        let &[_, _, height, width] = images.shape() else {
            return Err(DataError::argument(
                WHAT,
                format!("shape {:?}; expected [n, channels, height, width]", images.shape()),
            ));
        };
        let sizes = self.changes.iter().try_fold([height, width], |size, change| change.size(size));
        sizes.map(|_| ()).map_err(|reason| DataError::argument(WHAT, reason))
    }

    /// For images that [`check`](Self::check) has passed.
    pub(crate) fn apply_checked(
        &self,
        images: &Array,
        indices: &[usize],
        epoch: u64,
        stream: &Stream,
    ) -> Array {
        let windows: Vec<Window> = indices
            .iter()
            .map(|&index| self.window(images.shape(), &stream.at(epoch).at(index as u64)))
            .collect();
        match images.dtype() {
            DType::F64 => look_through::<f64>(images, &windows),
            DType::F32 => look_through::<f32>(images, &windows),
            DType::F16 => look_through::<f16>(images, &windows),
            DType::BF16 => look_through::<bf16>(images, &windows),
            DType::I64 => look_through::<i64>(images, &windows),
            DType::I32 => look_through::<i32>(images, &windows),
            DType::U8 => look_through::<u8>(images, &windows),
            DType::Bool => look_through::<bool>(images, &windows),
        }
    }

    fn window(&self, shape: &[usize], stream: &Stream) -> Window {
        let mut window = Window { rows: whole(shape[2]), columns: whole(shape[3]) };
        for (number, change) in self.changes.iter().enumerate() {
            change.apply(&mut window, &stream.at(number as u64));
        }
        window
    }
}

const WHAT: &str = "Augmentation";

impl Change {
    /// The size `[height, width]` after the change, or why it can't be made.
    fn size(self, [height, width]: [usize; 2]) -> Result<[usize; 2], String> {
        let smaller = height.min(width);
        match self {
            Self::Pad { amount, fill: Fill::Reflect }
            | Self::RandomShift { padding: amount, fill: Fill::Reflect }
                if amount >= smaller =>
            {
                Err(format!(
                    "cannot reflect {amount} pixels at the border of images of {height}x{width}; at most {} can be",
                    smaller.saturating_sub(1)
                ))
            }
            Self::Pad { .. } | Self::RandomShift { .. } if smaller == 0 => {
                Err(format!("images of {height}x{width} have no pixels to pad"))
            }
            Self::Pad { amount, .. } => Ok([height + 2 * amount, width + 2 * amount]),
            Self::RandomCrop { height: 0, .. } | Self::RandomCrop { width: 0, .. } => {
                Err("a crop needs at least one pixel".to_string())
            }
            Self::RandomCrop { height: rows, width: columns }
                if rows > height || columns > width =>
            {
                Err(format!(
                    "cannot crop {rows}x{columns} out of images of {height}x{width}; pad them first"
                ))
            }
            Self::RandomCrop { height, width } => Ok([height, width]),
            Self::RandomFlip { probability } if !(0.0..=1.0).contains(&probability) => {
                Err(format!("flip probability is {probability}; expected a number from 0 to 1"))
            }
            Self::RandomShift { .. } | Self::RandomFlip { .. } => Ok([height, width]),
        }
    }

    fn apply(self, window: &mut Window, stream: &Stream) {
        match self {
            Self::Pad { amount, fill } => window.pad(amount, fill),
            Self::RandomCrop { height, width } => window.crop(height, width, stream),
            Self::RandomShift { padding, fill } => {
                let (height, width) = (window.rows.len(), window.columns.len());
                window.pad(padding, fill);
                window.crop(height, width, stream);
            }
            Self::RandomFlip { probability } => {
                if stream.value_at(Law::Uniform { lo: 0.0, hi: 1.0 }, 0) < probability {
                    window.columns.reverse();
                }
            }
        }
    }
}

/// Where a row or column of the result comes from: every change acts on rows and columns apart.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    At(usize),
    Value(f64),
}

/// The rows and columns of the source that the result shows.
struct Window {
    rows: Vec<Origin>,
    columns: Vec<Origin>,
}

fn whole(size: usize) -> Vec<Origin> {
    (0..size).map(Origin::At).collect()
}

impl Window {
    fn pad(&mut self, amount: usize, fill: Fill) {
        self.rows = padded(&self.rows, amount, fill);
        self.columns = padded(&self.columns, amount, fill);
    }

    fn crop(&mut self, height: usize, width: usize, stream: &Stream) {
        self.rows = cropped(&self.rows, height, &stream.child("rows"));
        self.columns = cropped(&self.columns, width, &stream.child("columns"));
    }
}

fn padded(axis: &[Origin], amount: usize, fill: Fill) -> Vec<Origin> {
    let (size, amount) = (axis.len() as isize, amount as isize);
    let origin = |place: isize| {
        let inside = match fill {
            Fill::Value(value) if !(0..size).contains(&place) => return Origin::Value(value),
            Fill::Edge => place.clamp(0, size - 1),
            Fill::Reflect if place < 0 => -place,
            Fill::Reflect if place >= size => 2 * (size - 1) - place,
            Fill::Value(_) | Fill::Reflect => place,
        };
        axis[inside as usize]
    };
    (-amount..size + amount).map(origin).collect()
}

fn cropped(axis: &[Origin], size: usize, stream: &Stream) -> Vec<Origin> {
    let start = stream.below((axis.len() - size) as u64 + 1) as usize;
    axis[start..start + size].to_vec()
}

/// The images as their windows show them.
fn look_through<T: Element>(images: &Array, windows: &[Window]) -> Array {
    let &[count, channels, height, width] = images.shape() else {
        unreachable!("augmentation of shape {:?} was checked at the door", images.shape());
    };
    let (new_height, new_width) =
        windows.first().map_or((height, width), |window| (window.rows.len(), window.columns.len()));
    let source = images.to_vec::<T>();
    let planes: Vec<Vec<T>> = (0..count * channels)
        .into_par_iter()
        .map(|plane| {
            let pixels = &source[plane * height * width..(plane + 1) * height * width];
            show(pixels, width, &windows[plane / channels])
        })
        .collect();
    Array::from_vec(planes.concat(), &[count, channels, new_height, new_width])
        .to_device(images.device())
}

fn show<T: Element>(pixels: &[T], width: usize, window: &Window) -> Vec<T> {
    let mut shown = Vec::with_capacity(window.rows.len() * window.columns.len());
    for &row in &window.rows {
        shown.extend(window.columns.iter().map(|&column| match (row, column) {
            (Origin::At(row), Origin::At(column)) => pixels[row * width + column],
            (Origin::Value(value), _) | (_, Origin::Value(value)) => T::from_f64(value),
        }));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_repeats_mirrors_or_fills() {
        let axis = whole(3);
        let places = |fill| {
            let place = |origin| match origin {
                Origin::At(place) => place as f64,
                Origin::Value(value) => value,
            };
            padded(&axis, 2, fill).into_iter().map(place).collect::<Vec<f64>>()
        };
        assert_eq!(places(Fill::Edge), [0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0]);
        assert_eq!(places(Fill::Reflect), [2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0]);
        assert_eq!(places(Fill::Value(-1.0)), [-1.0, -1.0, 0.0, 1.0, 2.0, -1.0, -1.0]);
    }
}
