//! Basis functions on the reference cells.

use crate::CellKind;

/// Values and gradients of the basis at a point of the reference cell: `values[i]`, `gradients[i * dim + axis]`.
pub(crate) fn tabulate(kind: CellKind, order: usize, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    match kind {
        CellKind::Quad => tensor(order, x),
        _ => simplex(kind, order, x),
    }
}

/// In barycentric coordinates `l`: `l_i`, or `l_i (2 l_i - 1)` at corners and `4 l_i l_j` on edges.
fn simplex(kind: CellKind, order: usize, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let dim = kind.dim();
    let mut l = vec![1.0 - x.iter().sum::<f64>()];
    l.extend_from_slice(x);
    let slope = |i: usize, axis: usize| match i {
        0 => -1.0,
        _ if i == axis + 1 => 1.0,
        _ => 0.0,
    };
    let (mut values, mut gradients) = (Vec::new(), Vec::new());
    for (i, &weight) in l.iter().enumerate() {
        values.push(if order == 1 { weight } else { weight * (2.0 * weight - 1.0) });
        let outer = if order == 1 { 1.0 } else { 4.0 * weight - 1.0 };
        gradients.extend((0..dim).map(|axis| outer * slope(i, axis)));
    }
    if order == 2 {
        for &[i, j] in kind.edges() {
            values.push(4.0 * l[i] * l[j]);
            let along = |axis| 4.0 * (l[i] * slope(j, axis) + l[j] * slope(i, axis));
            gradients.extend((0..dim).map(along));
        }
    }
    (values, gradients)
}

/// Products of one-dimensional functions: corners, edges, middle.
fn tensor(order: usize, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    const FIRST: [[usize; 2]; 4] = [[0, 0], [1, 0], [1, 1], [0, 1]];
    const SECOND: [[usize; 2]; 9] =
        [[0, 0], [2, 0], [2, 2], [0, 2], [1, 0], [2, 1], [1, 2], [0, 1], [1, 1]];
    let line = |t: f64| -> ([f64; 3], [f64; 3]) {
        if order == 1 {
            ([1.0 - t, t, 0.0], [-1.0, 1.0, 0.0])
        } else {
            (
                [(1.0 - t) * (1.0 - 2.0 * t), 4.0 * t * (1.0 - t), t * (2.0 * t - 1.0)],
                [4.0 * t - 3.0, 4.0 - 8.0 * t, 4.0 * t - 1.0],
            )
        }
    };
    let ((u, du), (v, dv)) = (line(x[0]), line(x[1]));
    let nodes: &[[usize; 2]] = if order == 1 { &FIRST } else { &SECOND };
    let values = nodes.iter().map(|&[i, j]| u[i] * v[j]).collect();
    let gradients = nodes.iter().flat_map(|&[i, j]| [du[i] * v[j], u[i] * dv[j]]).collect();
    (values, gradients)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [CellKind; 4] =
        [CellKind::Segment, CellKind::Triangle, CellKind::Quad, CellKind::Tetrahedron];

    proptest! {
        /// The functions sum to one, and their gradients are the derivatives.
        #[test]
        fn a_partition_of_unity(kind in 0usize..4, order in 1usize..3, x in proptest::array::uniform3(0.0f64..1.0)) {
            let kind = KINDS[kind];
            let x = &x[..kind.dim()];
            let (values, gradients) = tabulate(kind, order, x);
            prop_assert!((values.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for axis in 0..kind.dim() {
                let moved = |h: f64| {
                    let mut y = x.to_vec();
                    y[axis] += h;
                    tabulate(kind, order, &y).0
                };
                let (up, down) = (moved(1e-5), moved(-1e-5));
                for i in 0..values.len() {
                    let slope = (up[i] - down[i]) / 2e-5;
                    prop_assert!((slope - gradients[i * kind.dim() + axis]).abs() < 1e-8);
                }
            }
        }
    }
}
