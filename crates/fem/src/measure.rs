//! Quadrature points of a mesh or its boundary, and what the basis does there.

use lisse_array::sparse::Csr;
use lisse_array::{Array, DType};

use crate::mesh::determinant;
use crate::space::tabulate;
use crate::{Bilinear, CellKind, FemError, Quadrature, Space};

/// Quadrature on the cells or on a part of the boundary of a space. A coefficient is an array `[points]` with its value at each
/// quadrature point; make one with [`coefficient`](Self::coefficient), [`constant`](Self::constant) or from a
/// function of the space with [`at`](Self::at).
#[derive(Clone, Debug)]
pub struct Measure {
    pub(crate) space: Space,
    points: Vec<f64>,
    normals: Vec<f64>,
    pub(crate) weights: Array,
    pub(crate) values: Csr,
    pub(crate) gradients: Vec<Csr>,
}

/// Rows of the tables as they grow: one for each quadrature point.
#[derive(Default)]
struct Tables {
    points: Vec<f64>,
    normals: Vec<f64>,
    weights: Vec<f64>,
    columns: Vec<usize>,
    values: Vec<f64>,
    gradients: Vec<Vec<f64>>,
}

impl Measure {
    /// All cells, with a rule that is exact for polynomials of this degree on cells that are not curved.
    ///
    /// # Errors
    /// [`FemError::Degree`].
    pub fn cells(space: &Space, degree: usize) -> Result<Measure, FemError> {
        let mesh = space.mesh();
        let rule = Quadrature::new(mesh.kind(), degree)?;
        let mut tables = Tables::new(mesh.dim());
        for cell in 0..mesh.cell_count() {
            for q in 0..rule.len() {
                let volume = tables.point(space, cell, rule.point(q));
                tables.weights.push(rule.weights()[q] * volume);
            }
        }
        Ok(tables.finish(space))
    }

    /// Facets of the boundary whose middle satisfies the predicate.
    ///
    /// # Errors
    /// [`FemError::NoFacets`] if none does, [`FemError::Degree`].
    pub fn boundary(
        space: &Space,
        degree: usize,
        on: impl Fn(&[f64]) -> bool,
    ) -> Result<Measure, FemError> {
        let (mesh, kind) = (space.mesh(), space.mesh().kind());
        let dim = mesh.dim();
        let rule = match kind {
            CellKind::Segment => Quadrature::point_mass(),
            CellKind::Triangle | CellKind::Quad => Quadrature::new(CellKind::Segment, degree)?,
            CellKind::Tetrahedron => Quadrature::new(CellKind::Triangle, degree)?,
        };
        let mut tables = Tables::new(dim);
        for facet in mesh.boundary() {
            let corners = kind.facets()[facet.local];
            if !on(&space.facet_middle(facet.cell, corners)) {
                continue;
            }
            let (area, normal) = area_and_normal(space, facet.cell, corners);
            for q in 0..rule.len() {
                let reference = on_facet(kind, corners, rule.point(q));
                tables.point(space, facet.cell, &reference);
                tables.weights.push(rule.weights()[q] * area);
                tables.normals.extend_from_slice(&normal);
            }
        }
        if tables.weights.is_empty() {
            return Err(FemError::NoFacets);
        }
        Ok(tables.finish(space))
    }

    /// Number of quadrature points.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Never: there is at least one point.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Coordinates of a quadrature point.
    pub fn point(&self, q: usize) -> &[f64] {
        let dim = self.space.mesh().dim();
        &self.points[q * dim..(q + 1) * dim]
    }

    /// Unit normal at a quadrature point of the boundary, pointing outward; `None` on cells.
    pub fn normal(&self, q: usize) -> Option<&[f64]> {
        let dim = self.space.mesh().dim();
        self.normals.get(q * dim..(q + 1) * dim)
    }

    /// Weights, with the Jacobian of the cell.
    pub fn weights(&self) -> &Array {
        &self.weights
    }

    /// The coefficient with the values of `f` at the quadrature points.
    pub fn coefficient(&self, f: impl Fn(&[f64]) -> f64) -> Array {
        let values = (0..self.len()).map(|q| f(self.point(q))).collect();
        Array::from_vec::<f64>(values, &[self.len()])
    }

    /// The coefficient that has one value everywhere.
    pub fn constant(&self, value: f64) -> Array {
        Array::full(&[self.len()], value, DType::F64)
    }

    /// A function of the space at the quadrature points.
    #[track_caller]
    pub fn at(&self, u: &Array) -> Array {
        self.values.matmul(u)
    }

    /// The derivative of a function of the space along an axis at the quadrature points.
    #[track_caller]
    pub fn gradient_at(&self, u: &Array, axis: usize) -> Array {
        self.gradients[axis].matmul(u)
    }

    /// Integral of a coefficient.
    #[track_caller]
    pub fn integral(&self, f: &Array) -> Array {
        (f * &self.weights).sum_all()
    }

    /// `v -> integral of f v`, as a vector over the nodes.
    #[track_caller]
    pub fn load(&self, f: &Array) -> Array {
        self.values.t().matmul(&(f * &self.weights))
    }

    /// `v -> integral of q . grad v` for a flux `q` with one coefficient per axis.
    #[track_caller]
    pub fn flux_load(&self, q: &[Array]) -> Array {
        assert!(
            q.len() == self.gradients.len(),
            "flux_load: {} components for {} axes",
            q.len(),
            self.gradients.len()
        );
        let parts = q.iter().zip(&self.gradients);
        parts
            .map(|(q, gradient)| gradient.t().matmul(&(q * &self.weights)))
            .reduce(|sum, part| sum + part)
            .expect("a mesh has an axis")
    }

    /// `integral of c grad u . grad v`
    pub fn diffusion(&self) -> Bilinear {
        let terms: Vec<_> = self.gradients.iter().map(|g| (g, g)).collect();
        Bilinear::new(self, &terms)
    }

    /// `integral of c u v`
    pub fn mass(&self) -> Bilinear {
        Bilinear::new(self, &[(&self.values, &self.values)])
    }

    /// `integral of c (du / dx_axis) v`
    pub fn advection(&self, axis: usize) -> Bilinear {
        Bilinear::new(self, &[(&self.values, &self.gradients[axis])])
    }

    /// `integral of q dv_axis / dx_axis` with test functions `q` of `pressure`, a measure with the same points on another space, and
    /// one component of a velocity `v` of this space: a block of Stokes' equations.
    #[track_caller]
    pub fn divergence(&self, pressure: &Measure, axis: usize) -> Bilinear {
        assert!(
            self.points == pressure.points,
            "divergence: the two measures must have the same quadrature points"
        );
        Bilinear::mixed(self, &pressure.values, &self.gradients[axis])
    }

    /// The two parts of linear elasticity, with `dim` unknowns per node (component `c` of node `i` is `i dim + c`):
    /// `integral of c (grad u + grad u^T) : grad v`, whose coefficient is the shear modulus, and `integral of c div u div v` for Lame's other
    /// constant. Their matrices share places.
    pub fn elasticity(&self) -> [Bilinear; 2] {
        Bilinear::elasticity(self)
    }

    /// The diagonal of row sums of the mass matrix, for first-order spaces the usual lumped mass.
    pub fn lumped_mass(&self) -> Array {
        self.load(&self.constant(1.0))
    }

    /// `|u - f|` in `L2`
    #[track_caller]
    pub fn l2_error(&self, u: &Array, f: impl Fn(&[f64]) -> f64) -> f64 {
        let difference = self.at(u) - self.coefficient(f);
        self.integral(&difference.square()).item().sqrt()
    }

    /// `|grad u - gradient|` in `L2`
    #[track_caller]
    pub fn gradient_error(&self, u: &Array, gradient: impl Fn(&[f64]) -> Vec<f64>) -> f64 {
        let along = |axis: usize| {
            let difference = self.gradient_at(u, axis) - self.coefficient(|x| gradient(x)[axis]);
            self.integral(&difference.square()).item()
        };
        (0..self.gradients.len()).map(along).sum::<f64>().sqrt()
    }
}

impl Tables {
    fn new(dim: usize) -> Tables {
        Tables { gradients: vec![Vec::new(); dim], ..Tables::default() }
    }

    /// Adds the row of a point of a cell's reference; returns the Jacobian's determinant.
    fn point(&mut self, space: &Space, cell: usize, reference: &[f64]) -> f64 {
        let mesh = space.mesh();
        let (dim, kind) = (mesh.dim(), mesh.kind());
        let (shape, slope) = tabulate(kind, 1, reference);
        // Column k of the Jacobian: derivative of the position along axis k of the reference.
        let mut jacobian = vec![0.0; dim * dim];
        for axis in 0..dim {
            let mut x = 0.0;
            for corner in 0..kind.corners() {
                let at = mesh.corner(cell, corner)[axis];
                x += shape[corner] * at;
                for k in 0..dim {
                    jacobian[k * dim + axis] += slope[corner * dim + k] * at;
                }
            }
            self.points.push(x);
        }
        let volume = determinant(&jacobian);
        let inverse = inverse(&jacobian, volume);
        let (values, slopes) = tabulate(kind, space.order(), reference);
        // Rows of a sparse matrix are ascending.
        let nodes = space.cell(cell);
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_unstable_by_key(|&i| nodes[i]);
        for &i in &order {
            self.columns.push(nodes[i]);
            self.values.push(values[i]);
            for axis in 0..dim {
                let along = (0..dim).map(|k| slopes[i * dim + k] * inverse[axis * dim + k]);
                self.gradients[axis].push(along.sum());
            }
        }
        volume
    }

    fn finish(self, space: &Space) -> Measure {
        let points = self.weights.len();
        let local = self.columns.len() / points;
        let indptr = (0..=points).map(|q| q * local).collect();
        let table = Array::from_vec(self.values, &[points * local]);
        let values = Csr::new(points, space.len(), indptr, self.columns, &table)
            .expect("nodes of a cell are sorted and counted by the space");
        let gradients = self
            .gradients
            .into_iter()
            .map(|g| values.with_values(&Array::from_vec(g, &[points * local])))
            .collect();
        Measure {
            space: space.clone(),
            points: self.points,
            normals: self.normals,
            weights: Array::from_vec(self.weights, &[points]),
            values,
            gradients,
        }
    }
}

/// Entry `(k, axis)` at `axis * dim + k`: derivative of reference coordinate `k` along an axis of space.
fn inverse(j: &[f64], determinant: f64) -> Vec<f64> {
    let d = 1.0 / determinant;
    match *j {
        [_] => vec![d],
        [a, b, c, e] => vec![e * d, -b * d, -c * d, a * d],
        [a, b, c, e, f, g, h, i, k] => vec![
            (f * k - g * i) * d,
            (c * i - b * k) * d,
            (b * g - c * f) * d,
            (g * h - e * k) * d,
            (a * k - c * h) * d,
            (c * e - a * g) * d,
            (e * i - f * h) * d,
            (b * h - a * i) * d,
            (a * f - b * e) * d,
        ],
        _ => unreachable!("cells have one to three dimensions"),
    }
}

/// A point of a facet, given in the facet's reference, in the cell's reference.
fn on_facet(kind: CellKind, corners: &[usize], x: &[f64]) -> Vec<f64> {
    let dim = kind.dim();
    let at = |corner: usize, axis: usize| kind.reference()[corner * dim + axis];
    let along = |axis: usize| {
        let start = at(corners[0], axis);
        let rest = x.iter().zip(&corners[1..]);
        start + rest.map(|(t, &corner)| t * (at(corner, axis) - start)).sum::<f64>()
    };
    (0..dim).map(along).collect()
}

/// Jacobian of the map from the facet's reference, and the unit normal outward.
fn area_and_normal(space: &Space, cell: usize, corners: &[usize]) -> (f64, Vec<f64>) {
    let mesh = space.mesh();
    let at = |k: usize| mesh.corner(cell, corners[k]);
    let towards = |k: usize| -> Vec<f64> { at(k).iter().zip(at(0)).map(|(b, a)| b - a).collect() };
    let mut normal = match mesh.dim() {
        1 => vec![1.0],
        2 => {
            let side = towards(1);
            vec![side[1], -side[0]]
        }
        _ => {
            let (a, b) = (towards(1), towards(2));
            vec![a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
        }
    };
    let area = normal.iter().map(|x| x * x).sum::<f64>().sqrt();
    let all: Vec<usize> = (0..mesh.kind().corners()).collect();
    let inside = space.facet_middle(cell, &all);
    let outward: f64 =
        normal.iter().zip(at(0).iter().zip(&inside)).map(|(n, (x, m))| n * (x - m)).sum();
    for n in &mut normal {
        *n *= outward.signum() / area;
    }
    (area, normal)
}

#[cfg(test)]
mod tests;
