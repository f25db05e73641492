//! Regular meshes of intervals, rectangles and boxes.

use super::{CellKind, Mesh};
use crate::FemError;

impl Mesh {
    /// `n` equal segments from `bounds[0]` to `bounds[1]`.
    ///
    /// # Errors
    /// [`FemError::Structured`] for no segments or bounds that do not rise.
    pub fn interval(n: usize, bounds: [f64; 2]) -> Result<Mesh, FemError> {
        let points = lattice([n], [bounds])?;
        let cells = (0..n).flat_map(|i| [i, i + 1]).collect();
        Mesh::new(CellKind::Segment, points, cells)
    }

    /// `n[0]` by `n[1]` equal rectangles over `bounds`, as quads or each cut into two triangles from its lower left to its upper
    /// right corner. Points are numbered with the first coordinate running fastest.
    ///
    /// # Errors
    /// [`FemError::Structured`] for no rectangles, bounds that do not rise, or another kind of cell.
    pub fn rectangle(
        n: [usize; 2],
        bounds: [[f64; 2]; 2],
        kind: CellKind,
    ) -> Result<Mesh, FemError> {
        let points = lattice(n, bounds)?;
        let mut cells = Vec::with_capacity(6 * n[0] * n[1]);
        for j in 0..n[1] {
            for i in 0..n[0] {
                let a = j * (n[0] + 1) + i;
                let (b, c, d) = (a + 1, a + n[0] + 2, a + n[0] + 1);
                match kind {
                    CellKind::Triangle => cells.extend([a, b, c, a, c, d]),
                    CellKind::Quad => cells.extend([a, b, c, d]),
                    _ => {
                        return Err(FemError::Structured {
                            what: "kind of cell",
                            value: format!("{kind:?}"),
                            expected: "a rectangle is made of triangles or quads",
                        });
                    }
                }
            }
        }
        Mesh::new(kind, points, cells)
    }

    /// `n[0]` by `n[1]` by `n[2]` equal boxes over `bounds`, each cut into six tetrahedra around its diagonal (Kuhn), so that
    /// neighbouring boxes fit.
    ///
    /// # Errors
    /// [`FemError::Structured`] for no boxes or bounds that do not rise.
    pub fn cuboid(n: [usize; 3], bounds: [[f64; 2]; 3]) -> Result<Mesh, FemError> {
        /// Orders in which the three coordinates are raised from the lowest corner to the highest, with their parity.
        const WAYS: [([usize; 3], bool); 6] = [
            ([0, 1, 2], true),
            ([1, 2, 0], true),
            ([2, 0, 1], true),
            ([1, 0, 2], false),
            ([0, 2, 1], false),
            ([2, 1, 0], false),
        ];
        let points = lattice(n, bounds)?;
        let strides = [1, n[0] + 1, (n[0] + 1) * (n[1] + 1)];
        let mut cells = Vec::with_capacity(24 * n[0] * n[1] * n[2]);
        for k in 0..n[2] {
            for j in 0..n[1] {
                for i in 0..n[0] {
                    let a = i + strides[1] * j + strides[2] * k;
                    for (way, even) in WAYS {
                        let b = a + strides[way[0]];
                        let c = b + strides[way[1]];
                        let d = c + strides[way[2]];
                        // An odd order of the axes turns the cell over.
                        cells.extend(if even { [a, b, c, d] } else { [a, c, b, d] });
                    }
                }
            }
        }
        Mesh::new(CellKind::Tetrahedron, points, cells)
    }
}

/// The corners of a regular grid, first coordinate fastest.
fn lattice<const D: usize>(n: [usize; D], bounds: [[f64; 2]; D]) -> Result<Vec<f64>, FemError> {
    if n.contains(&0) {
        return Err(FemError::Structured {
            what: "number of cells",
            value: format!("{n:?}"),
            expected: "at least 1 along every axis",
        });
    }
    if bounds.iter().any(|[low, high]| !(low < high && low.is_finite() && high.is_finite())) {
        return Err(FemError::Structured {
            what: "extent",
            value: format!("{bounds:?}"),
            expected: "give finite bounds that rise along every axis",
        });
    }
    let total: usize = n.iter().map(|n| n + 1).product();
    let mut points = Vec::with_capacity(total * D);
    for mut index in 0..total {
        for axis in 0..D {
            let step = index % (n[axis] + 1);
            index /= n[axis] + 1;
            let share = step as f64 / n[axis] as f64;
            points.push(bounds[axis][0] * (1.0 - share) + bounds[axis][1] * share);
        }
    }
    Ok(points)
}
