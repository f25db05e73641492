//! Folders of images, a folder per class.

use std::path::{Path, PathBuf};

use image::DynamicImage;
use image::imageops::FilterType;
use lisse_array::Array;
use rayon::prelude::*;

use crate::dataset::Dataset;
use crate::error::DataError;

/// How images become arrays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// `[height, width]` to which each image is scaled (Lanczos filter, aspect not kept); `None` (default) leaves them as
    /// they are, and then all must be equally large.
    pub size: Option<[usize; 2]>,
    /// One channel of brightness in place of red, green, blue.
    pub gray: bool,
}

/// The images (`.png`, `.jpg`, `.jpeg`, `.bmp`) of a folder's sub-folders, whose names are the classes. Pixels are read when
/// asked for.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    root: PathBuf,
    /// The files, class by class, in the order of their names.
    pub files: Vec<PathBuf>,
    /// The class of each file.
    pub labels: Vec<i64>,
    /// The sub-folders' names in ascending order.
    pub class_names: Vec<String>,
    options: ImageOptions,
}

impl ImageFolder {
    /// Lists a folder's images.
    ///
    /// # Errors
    /// Unreadable folder; no sub-folders; a sub-folder without images.
    pub fn open(root: impl AsRef<Path>, options: ImageOptions) -> Result<Self, DataError> {
        let root = root.as_ref();
        let mut folder = Self {
            root: root.to_path_buf(),
            files: Vec::new(),
            labels: Vec::new(),
            class_names: Vec::new(),
            options,
        };
        for class in sorted(root, Path::is_dir)? {
            let images = sorted(&class, is_image)?;
            if images.is_empty() {
                return Err(DataError::format(
                    class.display().to_string(),
                    "no images in this class; expected .png, .jpg, .jpeg or .bmp files",
                ));
            }
            let label = folder.class_names.len() as i64;
            folder.labels.extend(images.iter().map(|_| label));
            folder.files.extend(images);
            let name = class.file_name().unwrap_or_default();
            folder.class_names.push(name.to_string_lossy().into_owned());
        }
        if folder.files.is_empty() {
            return Err(DataError::format(
                root.display().to_string(),
                "no sub-folders; expected one per class with its images in it",
            ));
        }
        Ok(folder)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none, which [`open`](Self::open) refuses.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The images of the given indices as f32 `[n, channels, height, width]` in `[0, 1]`.
    ///
    /// # Errors
    /// A file that is not an image, with its path; images of different size where no size was set.
    ///
    /// # Panics
    /// On an index past the last image.
    pub fn load(&self, indices: &[usize]) -> Result<Array, DataError> {
        let images: Vec<(Vec<f32>, [usize; 2])> = indices
            .par_iter()
            .map(|&index| self.read(&self.files[index]))
            .collect::<Result<_, _>>()?;
        let [height, width] = images.first().map_or([0, 0], |(_, size)| *size);
        for (&index, (_, size)) in indices.iter().zip(&images) {
            if *size != [height, width] {
                return Err(DataError::format(
                    self.files[index].display().to_string(),
                    format!(
                        "{}x{} pixels where {} has {height}x{width} (height x width); set `ImageOptions::size` to scale them",
                        size[0],
                        size[1],
                        self.files[indices[0]].display(),
                    ),
                ));
            }
        }
        let channels = if self.options.gray { 1 } else { 3 };
        let shape = [indices.len(), channels, height, width];
        let pixels: Vec<f32> = images.into_iter().flat_map(|(pixels, _)| pixels).collect();
        Ok(Array::from_vec(pixels, &shape))
    }

    /// All images with their labels, in memory.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn dataset(&self) -> Result<Dataset, DataError> {
        let all: Vec<usize> = (0..self.len()).collect();
        let labels = Array::from_slice(&self.labels, &[self.len()]);
        let mut dataset = Dataset::new(self.root.display().to_string(), self.load(&all)?, labels)?;
        dataset.class_names = Some(self.class_names.clone());
        Ok(dataset)
    }

    /// Pixels, channel by channel, and size.
    fn read(&self, path: &Path) -> Result<(Vec<f32>, [usize; 2]), DataError> {
        let bytes = crate::file::read(path)?;
        let mut picture = image::load_from_memory(&bytes).map_err(|error| {
            DataError::format(path.display().to_string(), format!("not a readable image ({error})"))
        })?;
        if let Some([height, width]) = self.options.size {
            picture = picture.resize_exact(width as u32, height as u32, FilterType::Lanczos3);
        }
        let size = [picture.height() as usize, picture.width() as usize];
        Ok((channels_first(&picture, self.options.gray), size))
    }
}

fn channels_first(picture: &DynamicImage, gray: bool) -> Vec<f32> {
    if gray {
        return picture.to_luma32f().into_raw();
    }
    let interleaved = picture.to_rgb32f().into_raw();
    (0..3).flat_map(|channel| interleaved.iter().skip(channel).step_by(3).copied()).collect()
}

/// A folder's entries that pass, in the order of their names, so that no file system decides the order of the data.
fn sorted(folder: &Path, pass: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(DataError::io(folder))? {
        let path = entry.map_err(DataError::io(folder))?.path();
        if pass(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    path.is_file() && matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg" | "bmp"))
}
