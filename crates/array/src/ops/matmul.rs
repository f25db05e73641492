//! Matrix products.

use crate::cpu::CpuTensor;

use crate::ops::signed;
use crate::shape::{self, Dims};
use crate::storage::Storage;
use crate::tape::tracked;
use crate::{Array, DType, cpu};

impl Array {
    /// Matrix product over the last two axes; leading axes broadcast. Vectors act as in numpy: a row on the left, a column on
    /// the right, and their axis is dropped. Transposed views are multiplied without a copy.
    ///
    /// ```
    /// use lisse_array::{Array, DType};
    /// let a = Array::ones(&[5, 2, 3], DType::F32);
    /// let b = Array::ones(&[3, 4], DType::F32);
    /// assert_eq!(a.matmul(&b).shape(), [5, 2, 4]);
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: &Array) -> Array {
        let (a, b) = (self.shape(), other.shape());
        assert!(
            !a.is_empty() && !b.is_empty(),
            "matmul: scalars have no matrix product: {a:?} x {b:?}"
        );
        assert!(
            self.dtype() == other.dtype(),
            "matmul: dtypes differ: {} {a:?} x {} {b:?}",
            self.dtype(),
            other.dtype()
        );
        if a.len() == 1 {
            return self.unsqueeze(0).matmul(other).squeeze(if b.len() == 1 { 0 } else { -2 });
        }
        if b.len() == 1 {
            return self.matmul(&other.unsqueeze(1)).squeeze(-1);
        }
        let (inner, other_inner) = (a[a.len() - 1], b[b.len() - 2]);
        assert!(inner == other_inner, "matmul: inner dimensions differ: {a:?} x {b:?}");
        if b.len() == 2 && a.len() > 2 {
            // One tall product instead of many small ones; also for the weight's derivative.
            let mut out: Dims = Dims::from(&a[..a.len() - 1]);
            out.push(b[1]);
            return self.reshape(&[-1, inner as isize]).product(other).reshape(&signed(&out));
        }
        shape::broadcast("matmul", &a[..a.len() - 2], &b[..b.len() - 2]);
        self.product(other)
    }

    /// The product of two arrays of rank at least 2 whose shapes fit.
    fn product(&self, other: &Array) -> Array {
        let value = Array::untracked(match (self.storage(), other.storage()) {
            (Storage::Cpu(a), Storage::Cpu(b)) => Storage::Cpu(multiply(a, b)),
            #[cfg(feature = "gpu")]
            (Storage::Gpu(a), Storage::Gpu(b)) => crate::gpu::matmul(a.clone(), b.clone()),
            #[cfg(feature = "gpu")]
            _ => panic!("matmul: the operands lie on different devices"),
        });
        if tracked(&[self, other]) == 0 {
            return value;
        }
        let (a, b) = (self.clone(), other.clone());
        let (sa, sb) = (Dims::from(self.shape()), Dims::from(other.shape()));
        value.derive2(
            self,
            move |ct, _| ct.product(&b.t()).unbroadcast(&sa),
            other,
            move |ct, _| a.t().product(&ct).unbroadcast(&sb),
        )
    }
}

fn multiply(a: &CpuTensor, b: &CpuTensor) -> CpuTensor {
    match a.dtype() {
        DType::F32 => cpu::matmul::<f32>(a, b),
        DType::F64 => cpu::matmul::<f64>(a, b),
        dtype => {
            // Half floats and integers are multiplied in a wider float.
            let wide = if dtype.is_float() { DType::F32 } else { DType::F64 };
            let (a, b) = (cpu::cast(a.clone(), wide), cpu::cast(b.clone(), wide));
            cpu::cast(multiply(&a, &b), dtype)
        }
    }
}
