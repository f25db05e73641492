//! Shapes: broadcasting, axes, and the messages for those that do not fit.

use smallvec::SmallVec;

/// Sizes or axes, on the stack for usual ranks.
pub(crate) type Dims = SmallVec<[usize; 6]>;

#[track_caller]
pub(crate) fn check_count(operation: &str, count: usize, shape: &[usize]) {
    let needed: usize = shape.iter().product();
    assert!(
        count == needed,
        "{operation}: {count} values do not fill shape {shape:?}, which needs {needed}"
    );
}

/// Resolves an axis that may count from the end.
#[track_caller]
pub(crate) fn axis(operation: &str, axis: isize, shape: &[usize]) -> usize {
    let rank = shape.len() as isize;
    let resolved = if axis < 0 { axis + rank } else { axis };
    assert!(
        (0..rank).contains(&resolved),
        "{operation}: axis {axis} is out of range for shape {shape:?}"
    );
    resolved as usize
}

/// Resolves axes, sorted; none given means all. Panics on repeats.
#[track_caller]
pub(crate) fn axes(operation: &str, axes: &[isize], shape: &[usize]) -> Dims {
    if axes.is_empty() {
        return (0..shape.len()).collect();
    }
    let mut resolved: Dims = axes.iter().map(|&a| axis(operation, a, shape)).collect();
    resolved.sort_unstable();
    assert!(
        resolved.windows(2).all(|w| w[0] != w[1]),
        "{operation}: axes {axes:?} name an axis of shape {shape:?} twice"
    );
    resolved
}

/// The shape to which two shapes broadcast, as in numpy.
#[track_caller]
pub(crate) fn broadcast(operation: &str, a: &[usize], b: &[usize]) -> Dims {
    let rank = a.len().max(b.len());
    let size = |s: &[usize], i: usize| if i + s.len() < rank { 1 } else { s[i + s.len() - rank] };
    (0..rank)
        .map(|i| match (size(a, i), size(b, i)) {
            (m, n) if m == n => m,
            (1, n) => n,
            (m, 1) => m,
            _ => panic!("{operation}: shapes {a:?} and {b:?} do not broadcast"),
        })
        .collect()
}

/// Axes of `to` along which `from` was repeated when it was broadcast to `to`.
pub(crate) fn repeated_axes(from: &[usize], to: &[usize]) -> SmallVec<[isize; 6]> {
    let lead = to.len() - from.len();
    (0..to.len())
        .filter(|&i| i < lead || (from[i - lead] == 1 && to[i] != 1))
        .map(|i| i as isize)
        .collect()
}

/// Resolves a target shape with at most one `-1`.
#[track_caller]
pub(crate) fn infer(from: &[usize], to: &[isize]) -> Dims {
    let count: usize = from.iter().product();
    let known: usize = to.iter().filter(|&&d| d >= 0).map(|&d| d as usize).product();
    let holes = to.iter().filter(|&&d| d < 0).count();
    let fits = match holes {
        0 => known == count,
        1 => known > 0 && count.is_multiple_of(known),
        _ => false,
    };
    assert!(fits, "reshape: shape {from:?} ({count} elements) does not fit {to:?}");
    to.iter().map(|&d| if d < 0 { count / known } else { d as usize }).collect()
}

/// Row-major strides.
pub(crate) fn strides(shape: &[usize]) -> Dims {
    let mut strides: Dims = SmallVec::from_elem(1, shape.len());
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}
