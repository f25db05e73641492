//! Logic on arrays of truth values.

use crate::cpu::{self, Logical};
use crate::shape;
use crate::storage::Storage;
use crate::{Array, DType};

#[track_caller]
fn check_bool(operation: &str, x: &Array) {
    assert!(
        x.dtype() == DType::Bool,
        "{operation}: needs bool, got {} of shape {:?}; compare first",
        x.dtype(),
        x.shape()
    );
}

macro_rules! connectives {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Array {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self, other: &Array) -> Array {
                check_bool(stringify!($name), self);
                check_bool(stringify!($name), other);
                let joint = shape::broadcast(stringify!($name), self.shape(), other.shape());
                let (a, b) = (self.expand(&joint), other.expand(&joint));
                Array::untracked(match (a.into_parts().0, b.into_parts().0) {
                    (Storage::Cpu(a), Storage::Cpu(b)) => {
                        Storage::Cpu(cpu::logical(Logical::$op, a, b))
                    }
                    #[cfg(feature = "gpu")]
                    (Storage::Gpu(a), Storage::Gpu(b)) => crate::gpu::logical(Logical::$op, a, b),
                    #[cfg(feature = "gpu")]
                    _ => panic!(concat!(stringify!($name), ": the operands lie on different devices")),
                })
            }
        )*}
    };
}
connectives! {
    /// Where both are true; broadcasts.
    and And;
    /// Where at least one is true; broadcasts.
    or Or;
    /// Where exactly one is true; broadcasts.
    xor Xor;
}

impl Array {
    /// Where this is false.
    #[track_caller]
    pub fn not(&self) -> Array {
        check_bool("not", self);
        Array::untracked(match self.storage().clone() {
            Storage::Cpu(t) => Storage::Cpu(cpu::logical_not(t)),
            #[cfg(feature = "gpu")]
            Storage::Gpu(t) => crate::gpu::logical_not(t),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_tables() {
        let a = Array::from_slice(&[false, false, true, true], &[2, 2]);
        let b = Array::from_slice(&[false, true], &[2]);
        assert_eq!(a.and(&b).to_vec::<bool>(), [false, false, false, true]);
        assert_eq!(a.or(&b).to_vec::<bool>(), [false, true, true, true]);
        assert_eq!(a.xor(&b).to_vec::<bool>(), [false, true, true, false]);
        assert_eq!(a.not().to_vec::<bool>(), [true, true, false, false]);
        // The operands are left as they were.
        assert_eq!(a.to_vec::<bool>(), [false, false, true, true]);
    }

    #[test]
    fn views_are_read_in_order() {
        let a = Array::from_slice(&[true, false, false, true, true, false], &[2, 3]).t();
        let b = Array::from_slice(&[true, true, false], &[3, 1]);
        assert_eq!(a.and(&b).to_vec::<bool>(), [true, true, false, true, false, false]);
        assert_eq!(a.not().to_vec::<bool>(), [false, false, true, false, true, true]);
    }

    #[test]
    #[should_panic(expected = "or: needs bool, got f32 of shape [1]")]
    fn numbers_are_refused() {
        let truth = Array::from_slice(&[true], &[1]);
        truth.or(&Array::ones(&[1], DType::F32));
    }
}
