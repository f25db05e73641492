//! Cumulative sums and products.

use burn_backend::ops::FloatTensorOps;

use crate::storage::backend;
use crate::{Array, shape};

impl Array {
    /// Running sum along an axis.
    #[track_caller]
    pub fn cumsum(&self, axis: isize) -> Array {
        let at = shape::axis("cumsum", axis, self.shape());
        let storage = backend!(float_cumsum(self.storage().clone(), at));
        Array::untracked(storage)
            .derive(self, move |ct, _| ct.flip(&[axis]).cumsum(axis).flip(&[axis]))
    }

    /// Running product along an axis.
    #[track_caller]
    pub fn cumprod(&self, axis: isize) -> Array {
        let at = shape::axis("cumprod", axis, self.shape());
        let value = Array::untracked(backend!(float_cumprod(self.storage().clone(), at)));
        let (x, kept) = (self.clone(), value.clone());
        value.derive(self, move |ct, out| {
            (ct * out.attach(&kept)).flip(&[axis]).cumsum(axis).flip(&[axis]) / &x
        })
    }
}
