//! Reading tensors: where their elements lie.

use burn_flex::{FlexTensor, Layout};

use crate::DType;

/// The dtype of a tensor.
pub(crate) fn dtype(x: &FlexTensor) -> DType {
    DType::from_burn(x.dtype())
}

/// The lengths of a tensor's axes.
pub(crate) fn shape(x: &FlexTensor) -> &[usize] {
    x.layout().shape()
}

/// The stored elements of a tensor, whatever their layout, as the type that lies in memory.
pub(crate) fn stored<T: bytemuck::Pod>(x: &FlexTensor) -> &[T] {
    debug_assert_eq!(size_of::<T>(), dtype(x).size());
    bytemuck::cast_slice(x.bytes())
}

/// The elements of a gapless tensor in the order of memory.
pub(crate) fn span<T: bytemuck::Pod>(x: &FlexTensor) -> &[T] {
    debug_assert!(gapless(x.layout()));
    let n = x.layout().num_elements();
    // An empty slice of an empty array may begin beyond its end.
    if n == 0 { &[] } else { &stored(x)[x.layout().start_offset()..][..n] }
}

/// Whether the elements of a tensor fill a stretch of memory without gaps, in any order of axes.
pub(crate) fn gapless(layout: &Layout) -> bool {
    if layout.is_contiguous() {
        return true;
    }
    let mut axes: smallvec::SmallVec<[(isize, usize); 6]> = layout
        .strides()
        .iter()
        .zip(layout.shape().iter())
        .filter(|&(_, &n)| n != 1)
        .map(|(&s, &n)| (s, n))
        .collect();
    axes.sort_unstable();
    let mut expected = 1;
    for (stride, n) in axes {
        if stride != expected {
            return false;
        }
        expected *= n as isize;
    }
    true
}

/// Writable elements of a gapless tensor that nothing else refers to. Nothing where the tensor is a small part of a
/// larger allocation, which the result would keep alive.
pub(crate) fn owned_mut<T: bytemuck::Pod + burn_backend::Element>(
    x: &mut FlexTensor,
) -> Option<&mut [T]> {
    if !gapless(x.layout()) {
        return None;
    }
    let (start, n) = (x.layout().start_offset(), x.layout().num_elements());
    let stored = x.try_storage_mut::<T>()?;
    if n == 0 {
        return Some(&mut []);
    }
    (n >= stored.len() / 2).then(|| &mut stored[start..start + n])
}
