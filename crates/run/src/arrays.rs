//! Arrays in and out of safetensors.

use std::borrow::Cow;
use std::collections::HashMap;

use lisse_array::{Array, DType, Tree};
use safetensors::{Dtype, SafeTensors, View};

use crate::Error;

/// Arrays by name.
pub(crate) type Arrays = HashMap<String, Array>;

/// The arrays and the text as one safetensors file; the text goes into its metadata.
pub(crate) fn encode(
    arrays: Vec<(String, Array)>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, Error> {
    let views = arrays.into_iter().map(|(name, array)| (name, Saved(array)));
    safetensors::serialize(views, Some(metadata)).map_err(Error::other)
}

/// The arrays and the metadata of a safetensors file, or what is wrong with it.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Arrays, HashMap<String, String>), String> {
    let text = |error: safetensors::SafeTensorError| error.to_string();
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(text)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(text)?;
    let mut arrays = Arrays::with_capacity(tensors.len());
    for (name, view) in tensors.iter() {
        let array = from_bytes(view.dtype(), view.shape(), view.data()).ok_or_else(|| {
            format!("`{name}` has the element type {:?}, which is not one of Lisse's", view.dtype())
        })?;
        arrays.insert(name.to_owned(), array);
    }
    Ok((arrays, metadata.metadata().clone().unwrap_or_default()))
}

/// The skeleton with its leaves taken from `arrays` by path.
pub(crate) fn fill<T: Tree>(skeleton: &T, arrays: &Arrays) -> Result<T, Error> {
    let mut leaves = Vec::new();
    for (path, leaf) in skeleton.named_leaves() {
        let saved = arrays
            .get(&path)
            .ok_or_else(|| Error::message(format!("the saved state has no array `{path}`")))?;
        if saved.shape() != leaf.shape() || saved.dtype() != leaf.dtype() {
            return Err(Error::message(format!(
                "the saved array `{path}` is {} {:?}, but the state says {} {:?}",
                saved.dtype(),
                saved.shape(),
                leaf.dtype(),
                leaf.shape()
            )));
        }
        leaves.push(saved.clone());
    }
    Ok(skeleton.with_leaves(leaves))
}

/// An array as safetensors sees it. Bytes are made when asked for, so that only one array at a time is held twice.
struct Saved(Array);

impl View for Saved {
    fn dtype(&self) -> Dtype {
        match self.0.dtype() {
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

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.to_bytes())
    }

    fn data_len(&self) -> usize {
        self.0.len() * self.dtype().bitsize() / 8
    }
}

fn from_bytes(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Option<Array> {
    let dtype = match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool,
        _ => return None,
    };
    Some(Array::from_bytes(bytes, dtype, shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_survives() {
        let arrays: Vec<_> = DType::ALL
            .iter()
            .map(|&dtype| {
                (
                    dtype.to_string(),
                    Array::from_vec(vec![0.0f64, 1.0, 1.0, 0.0, 1.0, 0.0], &[2, 3]).cast(dtype),
                )
            })
            .collect();
        let (back, metadata) =
            decode(&encode(arrays.clone(), HashMap::from([("a".into(), "b".into())])).unwrap())
                .unwrap();
        assert_eq!(metadata["a"], "b");
        for (name, array) in arrays {
            assert_eq!(back[&name].dtype(), array.dtype());
            assert_eq!(back[&name].shape(), array.shape());
            assert_eq!(back[&name].to_f64_vec(), array.to_f64_vec());
        }
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let bytes =
            encode(vec![("x".into(), Array::ones(&[8], DType::F32))], HashMap::new()).unwrap();
        assert!(decode(&bytes[..bytes.len() - 3]).is_err());
        assert!(decode(b"").is_err());
    }

    #[test]
    fn missing_and_misshapen_leaves_are_named() {
        let skeleton = vec![Array::zeros(&[2], DType::F32)];
        let error = fill(&skeleton, &Arrays::new()).unwrap_err().to_string();
        assert_eq!(error, "the saved state has no array `0`");
        let wrong = Arrays::from([("0".to_owned(), Array::zeros(&[3], DType::F32))]);
        let error = fill(&skeleton, &wrong).unwrap_err().to_string();
        assert_eq!(error, "the saved array `0` is f32 [3], but the state says f32 [2]");
    }
}
