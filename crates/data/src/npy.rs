//! NumPy arrays: `.npy` and `.npz`.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use half::f16;
use lisse_array::{Array, Element};
use npyz::{DType, Deserialize, NpyFile, NpyHeader, Order, TypeChar};

use crate::error::DataError;
use crate::file;

/// Reads a `.npy` file.
///
/// Dtypes: f8, f4, f2 as they are; i8 and i4 as they are, smaller signed integers as i32; u1 as u8, u2 as i32, u4 and u8 as
/// i64; booleans. Either byte order; Fortran order is turned into C order.
///
/// # Errors
/// Unreadable, damaged or cut-short file; a dtype that is not a number; a u8 value above the largest i64.
pub fn read_npy(path: impl AsRef<Path>) -> Result<Array, DataError> {
    let path = path.as_ref();
    decode(&file::read(path)?, &path.display().to_string())
}

/// Reads all arrays of a `.npz` file by name, compressed or not.
///
/// # Errors
/// As [`read_npy`]; the message names the array. A file without arrays.
pub fn read_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, Array>, DataError> {
    let path = path.as_ref();
    let source = path.display().to_string();
    let bytes = file::read(path)?;
    if bytes.is_empty() {
        return Err(DataError::EmptyFile { file: source, expected: "a zip archive of .npy files" });
    }
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| {
        DataError::format(&source, format!("not a whole .npz file, cut short or damaged ({error})"))
    })?;
    let mut arrays = BTreeMap::new();
    for index in 0..archive.len() {
        let damaged = |name: &str, error: String| {
            DataError::format(format!("{source}, array {name}"), format!("damaged ({error})"))
        };
        let mut entry = archive
            .by_index(index)
            .map_err(|error| damaged(&format!("number {}", index + 1), error.to_string()))?;
        let name = entry
            .name()
            .map_err(|error| damaged(&format!("number {}", index + 1), error.to_string()))?;
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_string();
        let mut content = Vec::new();
        entry
            .read_to_end(&mut content)
            .map_err(|error| damaged(&format!("`{name}`"), error.to_string()))?;
        let array = decode(&content, &format!("{source}, array `{name}`"))?;
        arrays.insert(name, array);
    }
    if arrays.is_empty() {
        return Err(DataError::NoRows { file: source, dropped: 0 });
    }
    Ok(arrays)
}

/// Takes an array out of what [`read_npz`] gave; `source` names the file in the message.
///
/// # Errors
/// [`DataError::Unknown`] with the nearest name.
pub fn take_array(
    arrays: &mut BTreeMap<String, Array>,
    name: &str,
    source: &str,
) -> Result<Array, DataError> {
    arrays.remove(name).ok_or_else(|| DataError::Unknown {
        holder: source.to_string(),
        kind: "array",
        name: name.to_string(),
        known: arrays.keys().cloned().collect(),
    })
}

fn decode(bytes: &[u8], source: &str) -> Result<Array, DataError> {
    if bytes.is_empty() {
        return Err(DataError::EmptyFile { file: source.into(), expected: "a NumPy array" });
    }
    let mut data = bytes;
    let header = NpyHeader::from_reader(&mut data).map_err(|error| {
        DataError::format(source, format!("not a NumPy array, or its header is damaged ({error})"))
    })?;
    let DType::Plain(kind) = header.dtype() else {
        return Err(unsupported(&header, source));
    };
    let file = Stored { header, data, source };
    match (kind.type_char(), kind.size_field()) {
        (TypeChar::Float, 8) => file.array::<f64, f64>(Ok),
        (TypeChar::Float, 4) => file.array::<f32, f32>(Ok),
        (TypeChar::Float, 2) => file.array::<f16, f16>(Ok),
        (TypeChar::Int, 8) => file.array::<i64, i64>(Ok),
        (TypeChar::Int, 4) => file.array::<i32, i32>(Ok),
        (TypeChar::Int, 2) => file.array::<i16, i32>(|value| Ok(value.into())),
        (TypeChar::Int, 1) => file.array::<i8, i32>(|value| Ok(value.into())),
        (TypeChar::Uint, 8) => file.array::<u64, i64>(|value| {
            i64::try_from(value).map_err(|_| format!("{value} is above the largest i64"))
        }),
        (TypeChar::Uint, 4) => file.array::<u32, i64>(|value| Ok(value.into())),
        (TypeChar::Uint, 2) => file.array::<u16, i32>(|value| Ok(value.into())),
        (TypeChar::Uint, 1) => file.array::<u8, u8>(Ok),
        (TypeChar::Bool, _) => file.array::<bool, bool>(Ok),
        _ => Err(unsupported(&file.header, source)),
    }
}

fn unsupported(header: &NpyHeader, source: &str) -> DataError {
    DataError::format(
        source,
        format!(
            "dtype {} is not a real number or truth value; save it as such an array",
            header.dtype().descr()
        ),
    )
}

/// A parsed header and the bytes after it.
struct Stored<'a> {
    header: NpyHeader,
    data: &'a [u8],
    source: &'a str,
}

impl Stored<'_> {
    fn array<T: Deserialize, E: Element>(
        self,
        convert: impl Fn(T) -> Result<E, String>,
    ) -> Result<Array, DataError> {
        self.check_length()?;
        let source = self.source;
        let damaged = |reason: String| DataError::format(source, reason);
        let shape: Vec<usize> = self.header.shape().iter().map(|&dim| dim as usize).collect();
        let order = self.header.order();
        let stored: Vec<T> = NpyFile::with_header(self.header, self.data)
            .into_vec()
            .map_err(|error| damaged(error.to_string()))?;
        let values: Vec<E> =
            stored.into_iter().map(convert).collect::<Result<_, _>>().map_err(damaged)?;
        Ok(match order {
            Order::C => Array::from_vec(values, &shape),
            Order::Fortran => Array::from_vec(from_fortran(&values, &shape), &shape),
        })
    }

    /// Compares the data's length with what the header promises, before room for it is made.
    fn check_length(&self) -> Result<(), DataError> {
        let size = self.header.dtype().num_bytes().unwrap_or(0) as u64;
        let needed =
            self.header.shape().iter().try_fold(size, |bytes, &dim| bytes.checked_mul(dim));
        if needed == Some(self.data.len() as u64) {
            return Ok(());
        }
        let needed = needed.map_or_else(|| "more than 2^64".to_string(), |bytes| bytes.to_string());
        Err(DataError::format(
            self.source,
            format!(
                "shape {:?} of dtype {} needs {needed} bytes of data, there are {}; the file was cut short or damaged",
                self.header.shape(),
                self.header.dtype().descr(),
                self.data.len(),
            ),
        ))
    }
}

/// Values whose first index runs fastest, brought into the order where the last one does.
fn from_fortran<E: Copy>(values: &[E], shape: &[usize]) -> Vec<E> {
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |stride, &dim| {
            let current = *stride;
            *stride *= dim;
            Some(current)
        })
        .collect();
    let mut index = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        let offset: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        ordered.push(values[offset]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fortran_order_is_turned() {
        assert_eq!(from_fortran(&[1, 4, 2, 5, 3, 6], &[2, 3]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(from_fortran(&[7], &[]), [7]);
    }
}
