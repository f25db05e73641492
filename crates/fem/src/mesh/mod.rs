//! Meshes of one kind of cell.

mod facets;
mod structured;

pub use facets::Facet;

use crate::FemError;

/// Kinds of cells, each with its reference cell: unit interval, unit triangle, unit square, unit tetrahedron.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CellKind {
    /// Two ends, in one dimension.
    Segment,
    /// Three corners counter-clockwise.
    Triangle,
    /// Four corners counter-clockwise, mapped bilinearly.
    Quad,
    /// Four corners, the last on the side to which the first three turn counter-clockwise.
    Tetrahedron,
}

impl CellKind {
    /// Dimension of space.
    pub fn dim(self) -> usize {
        match self {
            CellKind::Segment => 1,
            CellKind::Triangle | CellKind::Quad => 2,
            CellKind::Tetrahedron => 3,
        }
    }

    /// Number of corners.
    pub fn corners(self) -> usize {
        match self {
            CellKind::Segment => 2,
            CellKind::Triangle => 3,
            CellKind::Quad | CellKind::Tetrahedron => 4,
        }
    }

    /// Corners of each edge.
    pub fn edges(self) -> &'static [[usize; 2]] {
        match self {
            CellKind::Segment => &[[0, 1]],
            CellKind::Triangle => &[[0, 1], [1, 2], [2, 0]],
            CellKind::Quad => &[[0, 1], [1, 2], [2, 3], [3, 0]],
            CellKind::Tetrahedron => &[[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]],
        }
    }

    /// Corners of each facet: ends, sides or faces.
    pub fn facets(self) -> &'static [&'static [usize]] {
        match self {
            CellKind::Segment => &[&[0], &[1]],
            CellKind::Triangle => &[&[0, 1], &[1, 2], &[2, 0]],
            CellKind::Quad => &[&[0, 1], &[1, 2], &[2, 3], &[3, 0]],
            CellKind::Tetrahedron => &[&[1, 2, 3], &[0, 3, 2], &[0, 1, 3], &[0, 2, 1]],
        }
    }

    /// Coordinates of the corners of the reference cell, `dim` for each.
    pub fn reference(self) -> &'static [f64] {
        match self {
            CellKind::Segment => &[0.0, 1.0],
            CellKind::Triangle => &[0.0, 0.0, 1.0, 0.0, 0.0, 1.0],
            CellKind::Quad => &[0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0],
            CellKind::Tetrahedron => &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        }
    }
}

/// Points and the cells between them.
#[derive(Clone, Debug)]
pub struct Mesh {
    kind: CellKind,
    points: Vec<f64>,
    cells: Vec<usize>,
    boundary: Vec<Facet>,
}

impl Mesh {
    /// The mesh with `points` (`dim` coordinates each) and `cells` (the points of the corners each).
    ///
    /// # Errors
    /// [`FemError`] for lists that are not whole, coordinates that are not finite, corners out of range, cells that are flat or
    /// turned over, unused points, and facets of more than two cells.
    pub fn new(kind: CellKind, points: Vec<f64>, cells: Vec<usize>) -> Result<Mesh, FemError> {
        let (dim, corners) = (kind.dim(), kind.corners());
        let whole = |count: usize, what, unit, of| {
            if count == 0 {
                return Err(FemError::Empty { what });
            }
            if count.is_multiple_of(unit) {
                Ok(())
            } else {
                Err(FemError::Lengths { what, count, unit, of })
            }
        };
        whole(points.len(), "coordinates", dim, "point")?;
        whole(cells.len(), "corners", corners, "cell")?;
        if let Some(bad) = points.iter().position(|x| !x.is_finite()) {
            return Err(FemError::NotFinite { point: bad / dim });
        }
        let count = points.len() / dim;
        let mut used = vec![false; count];
        for (k, &point) in cells.iter().enumerate() {
            let mark = used.get_mut(point).ok_or(FemError::Corner {
                cell: k / corners,
                point,
                points: count,
            })?;
            *mark = true;
        }
        if let Some(point) = used.iter().position(|used| !used) {
            return Err(FemError::Unused { point });
        }
        let mut mesh = Mesh { kind, points, cells, boundary: Vec::new() };
        mesh.check_volumes()?;
        mesh.boundary = facets::boundary(kind, &mesh.cells)?;
        Ok(mesh)
    }

    /// The Jacobian must be positive at every corner; for a quad that means convex.
    fn check_volumes(&self) -> Result<(), FemError> {
        for cell in 0..self.cell_count() {
            let at_corner = |k: usize| {
                let neighbours: &[usize] = match self.kind {
                    CellKind::Segment => &[1],
                    CellKind::Triangle => &[1, 2],
                    CellKind::Quad => &[(k + 1) % 4, (k + 3) % 4],
                    CellKind::Tetrahedron => &[1, 2, 3],
                };
                let columns: Vec<f64> = neighbours
                    .iter()
                    .flat_map(|&n| {
                        let (a, b) = (self.corner(cell, k), self.corner(cell, n));
                        b.iter().zip(a).map(|(b, a)| b - a)
                    })
                    .collect();
                determinant(&columns)
            };
            let turns = if self.kind == CellKind::Quad { 4 } else { 1 };
            let smallest = (0..turns).map(at_corner).fold(f64::INFINITY, f64::min);
            let size = self.diameter(cell).powi(self.kind.dim() as i32);
            if smallest <= 1e-12 * size {
                return Err(FemError::Volume { cell, volume: smallest });
            }
        }
        Ok(())
    }

    /// Kind of the cells.
    pub fn kind(&self) -> CellKind {
        self.kind
    }

    /// Dimension of space.
    pub fn dim(&self) -> usize {
        self.kind.dim()
    }

    /// Number of points.
    pub fn point_count(&self) -> usize {
        self.points.len() / self.dim()
    }

    /// Number of cells.
    pub fn cell_count(&self) -> usize {
        self.cells.len() / self.kind.corners()
    }

    /// Coordinates of a point.
    pub fn point(&self, i: usize) -> &[f64] {
        &self.points[i * self.dim()..(i + 1) * self.dim()]
    }

    /// Points of a cell's corners.
    pub fn cell(&self, cell: usize) -> &[usize] {
        let corners = self.kind.corners();
        &self.cells[cell * corners..(cell + 1) * corners]
    }

    /// Coordinates of a corner of a cell.
    pub fn corner(&self, cell: usize, k: usize) -> &[f64] {
        self.point(self.cell(cell)[k])
    }

    /// Facets that belong to one cell only.
    pub fn boundary(&self) -> &[Facet] {
        &self.boundary
    }

    /// Largest distance between two corners of a cell.
    pub fn diameter(&self, cell: usize) -> f64 {
        let corners = self.kind.corners();
        let mut largest = 0.0f64;
        for a in 0..corners {
            for b in 0..a {
                let squares = self.corner(cell, a).iter().zip(self.corner(cell, b));
                largest = largest.max(squares.map(|(x, y)| (x - y).powi(2)).sum());
            }
        }
        largest.sqrt()
    }
}

/// Determinant of a matrix of order 1, 2 or 3, in columns.
pub(crate) fn determinant(m: &[f64]) -> f64 {
    match *m {
        [a] => a,
        [a, b, c, d] => a * d - b * c,
        [a, b, c, d, e, f, g, h, i] => {
            a * (e * i - f * h) - d * (b * i - c * h) + g * (b * f - c * e)
        }
        _ => unreachable!("cells have one to three dimensions"),
    }
}

#[cfg(test)]
mod tests;
