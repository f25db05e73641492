//! An array in JSON or TOML is its dtype and shape; its values travel in weight files.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Array, DType};

#[derive(Serialize, Deserialize)]
struct Header {
    dtype: DType,
    shape: Vec<usize>,
}

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Header { dtype: self.dtype(), shape: self.shape().to_vec() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Array {
    /// Zeros of the given dtype and shape.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Array, D::Error> {
        let header = Header::deserialize(deserializer)?;
        Ok(Array::zeros(&header.shape, header.dtype))
    }
}
