//! One safetensors file: eight bytes with the header's length, the header in JSON, the tensors.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytemuck::{AnyBitPattern, NoUninit, pod_collect_to_vec};
use lisse_array::{Array, DType};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::WeightError;

/// The format's own limit for headers.
const MAX_HEADER: u64 = 100_000_000;

/// An open file whose header has been checked.
pub(super) struct WeightFile {
    path: PathBuf,
    file: File,
    start: u64,
    metadata: Metadata,
}

impl WeightFile {
    pub fn open(path: &Path) -> Result<Self, WeightError> {
        let io = |action| move |source| WeightError::io(path, action, source);
        let mut file = File::open(path).map_err(io("opening"))?;
        let found = file.metadata().map_err(io("reading"))?.len();
        let truncated =
            |expected| WeightError::Truncated { path: path.to_path_buf(), expected, found };
        if found < 8 {
            return Err(truncated(8));
        }
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(io("reading"))?;
        if length.starts_with(b"PK") {
            let reason = "this is a zip archive as torch.save writes it, not safetensors; convert it with \
                          safetensors.torch.save_file(model.state_dict(), path)";
            return Err(WeightError::malformed(path, reason));
        }
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER {
            return Err(WeightError::malformed(path, "this is not a safetensors file"));
        }
        let start = 8 + length;
        if start > found {
            return Err(truncated(start));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(io("reading"))?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| {
            WeightError::malformed(path, format!("the safetensors header is damaged: {error}"))
        })?;
        let end = check_extents(path, &metadata)?;
        match found.cmp(&(start + end)) {
            std::cmp::Ordering::Less => Err(truncated(start + end)),
            std::cmp::Ordering::Equal => {
                Ok(Self { path: path.to_path_buf(), file, start, metadata })
            }
            std::cmp::Ordering::Greater => {
                let reason = format!("{} bytes follow the last tensor", found - start - end);
                Err(WeightError::malformed(path, reason))
            }
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.metadata.tensors().into_keys().collect()
    }

    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.metadata.info(name)
    }

    /// The dtype an array of this tensor has. Small integers become i64.
    pub fn dtype(&self, name: &str, info: &TensorInfo) -> Result<DType, WeightError> {
        Ok(match info.dtype {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::I64 | Dtype::I8 | Dtype::I16 | Dtype::U16 | Dtype::U32 => DType::I64,
            Dtype::I32 => DType::I32,
            Dtype::U8 => DType::U8,
            Dtype::BOOL => DType::Bool,
            other => {
                return Err(WeightError::UnsupportedDType {
                    path: self.path.clone(),
                    name: name.to_string(),
                    dtype: other.to_string(),
                });
            }
        })
    }

    /// Reads one tensor that the header lists.
    pub fn read(&mut self, name: &str, info: &TensorInfo) -> Result<Array, WeightError> {
        let dtype = self.dtype(name, info)?;
        let (begin, end) = info.data_offsets;
        let mut bytes = vec![0; end - begin];
        self.file
            .seek(SeekFrom::Start(self.start + begin as u64))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|source| WeightError::io(&self.path, "reading", source))?;
        Ok(decode(&bytes, info, dtype))
    }
}

/// Where the data end. Every tensor must have as many bytes as its shape and type say.
fn check_extents(path: &Path, metadata: &Metadata) -> Result<u64, WeightError> {
    let mut last = 0;
    for (name, info) in metadata.tensors() {
        let (begin, end) = info.data_offsets;
        let bits = info
            .shape
            .iter()
            .try_fold(info.dtype.bitsize(), |product, &size| product.checked_mul(size));
        if begin > end || bits.map(|bits| bits.div_ceil(8)) != Some(end - begin) {
            let reason = format!(
                "the header is damaged: `{name}`, {} {:?}, is said to lie at bytes {begin} to {end}",
                info.dtype, info.shape
            );
            return Err(WeightError::malformed(path, reason));
        }
        last = last.max(end as u64);
    }
    Ok(last)
}

/// The bytes of a tensor of an accepted type; integers that arrays do not have become i64.
fn decode(bytes: &[u8], info: &TensorInfo, dtype: DType) -> Array {
    fn widened<T: AnyBitPattern + NoUninit + Into<i64>>(bytes: &[u8], shape: &[usize]) -> Array {
        let values: Vec<T> = pod_collect_to_vec(bytes);
        Array::from_vec::<i64>(values.into_iter().map(Into::into).collect(), shape)
    }
    let shape = &info.shape;
    match info.dtype {
        Dtype::I8 => widened::<i8>(bytes, shape),
        Dtype::I16 => widened::<i16>(bytes, shape),
        Dtype::U16 => widened::<u16>(bytes, shape),
        Dtype::U32 => widened::<u32>(bytes, shape),
        _ => Array::from_bytes(bytes, dtype, shape),
    }
}

/// The format's word for a dtype.
pub(super) fn format_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
