//! The IDX format of MNIST and its relatives.

use std::path::{Path, PathBuf};

use lisse_array::Array;

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::file;

/// Reads an IDX file of bytes (gzipped or not) as a u8 array of the file's shape.
///
/// # Errors
/// Unreadable file; wrong magic number; an element type other than unsigned byte; a length that the header does not promise.
pub fn read_idx(path: impl AsRef<Path>) -> Result<Array, DataError> {
    let path = path.as_ref();
    let source = path.display().to_string();
    let bytes = file::read(path)?;
    if bytes.is_empty() {
        return Err(DataError::EmptyFile { file: source, expected: "an IDX header" });
    }
    let bytes = file::unpack(&bytes, &source)?;
    let (shape, data) =
        parse(&bytes).map_err(|reason| DataError::format(source.as_str(), reason))?;
    Ok(Array::from_slice(data, &shape))
}

fn parse(bytes: &[u8]) -> Result<(Vec<usize>, &[u8]), String> {
    /// The code of unsigned bytes, the only element type that the known IDX data sets use.
    const UNSIGNED_BYTE: u8 = 8;
    let (&[zero, also_zero, kind, rank], rest) =
        bytes.split_first_chunk().ok_or("cut short within the header")?;
    if [zero, also_zero] != [0, 0] {
        return Err(format!(
            "not an IDX file: it starts with bytes {zero:#04x} {also_zero:#04x}, IDX with two zeros"
        ));
    }
    if kind != UNSIGNED_BYTE {
        return Err(format!(
            "element type {kind:#04x}; only unsigned bytes ({UNSIGNED_BYTE:#04x}) are read"
        ));
    }
    let (sizes, data) =
        rest.split_at_checked(4 * usize::from(rank)).ok_or("cut short within the header")?;
    let shape: Vec<usize> = sizes
        .chunks_exact(4)
        .map(|size| size.iter().fold(0, |value, &byte| 256 * value + usize::from(byte)))
        .collect();
    let expected = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    if expected != Some(data.len()) {
        return Err(format!(
            "shape {shape:?} needs {} bytes of data, the file has {}; it was cut short or damaged",
            expected.map_or_else(|| "more than 2^64".to_string(), |count| count.to_string()),
            data.len(),
        ));
    }
    Ok((shape, data))
}

/// MNIST, or a set in the same four files (Fashion-MNIST, KMNIST): training and test part.
#[derive(Clone, Debug)]
pub struct Mnist {
    /// 60000 examples for MNIST.
    pub train: Dataset,
    /// 10000 examples for MNIST.
    pub test: Dataset,
}

/// Reads MNIST from the folder that holds its four IDX files, `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
/// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each gzipped (`.gz`) or not.
///
/// Inputs are f32 `[n, 1, 28, 28]` in `[0, 1]`, targets i64 `[n]`.
///
/// # Errors
/// A missing file, with the names tried; damaged files; images and labels that do not match; a label above 9.
pub fn mnist(folder: impl AsRef<Path>) -> Result<Mnist, DataError> {
    let folder = folder.as_ref();
    Ok(Mnist { train: part(folder, "train")?, test: part(folder, "t10k")? })
}

fn part(folder: &Path, prefix: &str) -> Result<Dataset, DataError> {
    let images_path = find(folder, prefix, "images", 3)?;
    let labels_path = find(folder, prefix, "labels", 1)?;
    let images = read_idx(&images_path)?;
    let labels = read_idx(&labels_path)?;
    let &[count, height, width] = images.shape() else {
        return Err(wrong_shape(&images_path, "[images, height, width]", images.shape()));
    };
    if labels.shape() != [count] {
        return Err(wrong_shape(
            &labels_path,
            &format!("[{count}], one per image"),
            labels.shape(),
        ));
    }
    let labels: Vec<i64> = labels.to_vec::<u8>().into_iter().map(i64::from).collect();
    if let Some(row) = labels.iter().position(|&label| label > 9) {
        return Err(DataError::format(
            labels_path.display().to_string(),
            format!("label {} of image {} is not a digit 0 to 9", labels[row], row + 1),
        ));
    }
    let pixels: Vec<f32> =
        images.to_vec::<u8>().into_iter().map(|pixel| f32::from(pixel) / 255.0).collect();
    let mut dataset = Dataset::new(
        format!("mnist/{prefix}"),
        Array::from_vec(pixels, &[count, 1, height, width]),
        Array::from_vec(labels, &[count]),
    )?;
    dataset.class_names = Some((0..10).map(|digit| digit.to_string()).collect());
    Ok(dataset)
}

fn wrong_shape(path: &Path, expected: &str, found: &[usize]) -> DataError {
    DataError::format(
        path.display().to_string(),
        format!("shape {found:?} where {expected} was expected"),
    )
}

/// The file under one of the names that the mirrors use.
fn find(folder: &Path, prefix: &str, what: &str, rank: usize) -> Result<PathBuf, DataError> {
    let dash = format!("{prefix}-{what}-idx{rank}-ubyte");
    let dot = format!("{prefix}-{what}.idx{rank}-ubyte");
    let names = [dash.clone(), format!("{dash}.gz"), dot.clone(), format!("{dot}.gz")];
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        DataError::format(
            folder.display().to_string(),
            format!(
                "no file `{dash}` or `{dash}.gz` in this folder; put the four MNIST files there"
            ),
        )
    })
}
