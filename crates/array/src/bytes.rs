//! Arrays as bytes: how files hold them.

use crate::dtype::with_dtype;
use crate::storage::{elements, raw_tensor};
use crate::{Array, DType, Device};

#[cfg(target_endian = "big")]
compile_error!("arrays in files are little-endian and are read without swapping bytes");

impl Array {
    /// The elements, row-major and little-endian; a bool is one byte.
    ///
    /// ```
    /// use lisse_array::{Array, DType};
    /// let x = Array::from_slice(&[1i32, -2], &[2]);
    /// assert_eq!(x.to_bytes(), [1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
    /// assert_eq!(Array::from_bytes(&x.to_bytes(), DType::I32, &[2]).to_vec::<i32>(), [1, -2]);
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let tensor = self.to_cpu();
        with_dtype!(self.dtype(), T => bytemuck::cast_slice(elements::<T>(&tensor)).to_vec())
    }

    /// The array whose elements [`to_bytes`](Self::to_bytes) gave, on the current device; any byte but zero is true.
    ///
    /// Panics if there are not as many bytes as `dtype` and `shape` take.
    #[track_caller]
    pub fn from_bytes(bytes: &[u8], dtype: DType, shape: &[usize]) -> Array {
        let count: usize = shape.iter().product();
        assert!(
            bytes.len() == count * dtype.size(),
            "from_bytes: {} bytes, {dtype} of shape {shape:?} takes {}",
            bytes.len(),
            count * dtype.size()
        );
        if dtype == DType::Bool {
            return Array::from_vec(bytes.iter().map(|&b| b != 0).collect(), shape);
        }
        let array = with_dtype!(dtype, T => {
            Array::from_cpu(raw_tensor::<T>(bytemuck::pod_collect_to_vec(bytes), shape, dtype))
        });
        array.to_device(Device::current())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_survives() {
        let values = Array::from_slice(&[0.0f64, 1.0, 1.0, 0.0, 1.0, 0.0], &[2, 3]);
        for dtype in DType::ALL {
            // A transposed view: bytes follow the shape, not the memory.
            let array = values.cast(dtype).t();
            let back = Array::from_bytes(&array.to_bytes(), dtype, array.shape());
            assert_eq!(back.dtype(), dtype);
            assert_eq!(back.to_f64_vec(), array.to_f64_vec());
        }
        assert_eq!(Array::from_bytes(&[7], DType::Bool, &[1]).to_bytes(), [1]);
    }

    #[test]
    #[should_panic(expected = "from_bytes: 3 bytes, f32 of shape [1] takes 4")]
    fn a_wrong_count_is_refused() {
        Array::from_bytes(&[0; 3], DType::F32, &[1]);
    }
}
