//! Spaces of continuous piecewise polynomials.

mod element;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use lisse_array::sparse::{Csr, Pattern};
use lisse_array::{Array, DType};

use crate::{CellKind, FemError, Mesh};
pub(crate) use element::tabulate;

/// Continuous functions that are polynomials of first or second order on every cell (on quads: in each variable). A function is
/// its values at the nodes: the points of the mesh, and for second order the middles of edges and of quads.
#[derive(Clone, Debug)]
pub struct Space {
    mesh: Arc<Mesh>,
    order: usize,
    /// Nodes of the cells, `local` for each.
    nodes: Vec<usize>,
    local: usize,
    coordinates: Vec<f64>,
    patterns: Arc<[OnceLock<Arc<Pattern>>; 3]>,
}

impl Space {
    /// The space of this order, 1 or 2.
    ///
    /// # Errors
    /// [`FemError::Order`].
    pub fn new(mesh: impl Into<Arc<Mesh>>, order: usize) -> Result<Space, FemError> {
        let mesh = mesh.into();
        if !(1..=2).contains(&order) {
            return Err(FemError::Order { order });
        }
        let mut coordinates: Vec<f64> =
            (0..mesh.point_count()).flat_map(|i| mesh.point(i).to_vec()).collect();
        let mut nodes = Vec::new();
        let mut edges: HashMap<(usize, usize), usize> = HashMap::new();
        let mut count = mesh.point_count();
        for cell in 0..mesh.cell_count() {
            let corners = mesh.cell(cell);
            nodes.extend_from_slice(corners);
            if order == 1 {
                continue;
            }
            let mut add = |corners: &[usize]| {
                let share = 1.0 / corners.len() as f64;
                for axis in 0..mesh.dim() {
                    let sum: f64 = corners.iter().map(|&i| mesh.point(i)[axis]).sum();
                    coordinates.push(sum * share);
                }
                count += 1;
                count - 1
            };
            for [a, b] in mesh.kind().edges() {
                let (a, b) = (corners[*a], corners[*b]);
                nodes.push(*edges.entry((a.min(b), a.max(b))).or_insert_with(|| add(&[a, b])));
            }
            if mesh.kind() == CellKind::Quad {
                nodes.push(add(corners));
            }
        }
        let local = nodes.len() / mesh.cell_count();
        Ok(Space { mesh, order, nodes, local, coordinates, patterns: Arc::default() })
    }

    /// The mesh.
    pub fn mesh(&self) -> &Arc<Mesh> {
        &self.mesh
    }

    /// Order of the polynomials.
    pub fn order(&self) -> usize {
        self.order
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.coordinates.len() / self.mesh.dim()
    }

    /// Never: a mesh has points.
    pub fn is_empty(&self) -> bool {
        self.coordinates.is_empty()
    }

    /// Coordinates of a node.
    pub fn node(&self, i: usize) -> &[f64] {
        let dim = self.mesh.dim();
        &self.coordinates[i * dim..(i + 1) * dim]
    }

    /// Nodes of a cell: corners, then edges, then the middle.
    pub fn cell(&self, cell: usize) -> &[usize] {
        &self.nodes[cell * self.local..(cell + 1) * self.local]
    }

    /// The function with the values of `f` at the nodes, of shape `[len]`.
    pub fn interpolate(&self, f: impl Fn(&[f64]) -> f64) -> Array {
        let values = (0..self.len()).map(|i| f(self.node(i))).collect();
        Array::from_vec::<f64>(values, &[self.len()])
    }

    /// Nodes on facets of the boundary whose middle satisfies the predicate, ascending.
    pub fn boundary_nodes(&self, on: impl Fn(&[f64]) -> bool) -> Vec<usize> {
        let kind = self.mesh.kind();
        let mut nodes = Vec::new();
        for facet in self.mesh.boundary() {
            let corners = kind.facets()[facet.local];
            if !on(&self.facet_middle(facet.cell, corners)) {
                continue;
            }
            let cell = self.cell(facet.cell);
            nodes.extend(corners.iter().map(|&k| cell[k]));
            if self.order == 2 {
                let within = |[a, b]: &[usize; 2]| corners.contains(a) && corners.contains(b);
                let edges = kind.edges().iter().enumerate().filter(|(_, edge)| within(edge));
                nodes.extend(edges.map(|(k, _)| cell[kind.corners() + k]));
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    pub(crate) fn facet_middle(&self, cell: usize, corners: &[usize]) -> Vec<f64> {
        let share = 1.0 / corners.len() as f64;
        let along = |axis: usize| {
            corners.iter().map(|&k| self.mesh.corner(cell, k)[axis]).sum::<f64>() * share
        };
        (0..self.mesh.dim()).map(along).collect()
    }

    /// The places of matrices on this space with `components` unknowns per node, shared by all of them. Component `c` of
    /// node `i` is unknown `i components + c`.
    pub(crate) fn pattern(&self, components: usize) -> Arc<Pattern> {
        let make = || {
            let (mut rows, mut columns) = (Vec::new(), Vec::new());
            for cell in 0..self.mesh.cell_count() {
                let unknowns: Vec<usize> = self
                    .cell(cell)
                    .iter()
                    .flat_map(|i| (0..components).map(move |c| i * components + c))
                    .collect();
                for &i in &unknowns {
                    rows.resize(rows.len() + unknowns.len(), i);
                    columns.extend_from_slice(&unknowns);
                }
            }
            let n = self.len() * components;
            let ones = Array::ones(&[rows.len()], DType::F64);
            let full = Csr::from_triplets(n, n, &rows, &columns, &ones);
            full.expect("nodes are counted by the space itself").pattern().clone()
        };
        self.patterns[components - 1].get_or_init(make).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_shared_and_lie_where_they_should() {
        let unit = [[0.0, 1.0]; 2];
        for (kind, order, count) in [
            (CellKind::Triangle, 1, 12),
            (CellKind::Triangle, 2, 35),
            (CellKind::Quad, 1, 12),
            (CellKind::Quad, 2, 35),
        ] {
            let space = Space::new(Mesh::rectangle([3, 2], unit, kind).unwrap(), order).unwrap();
            assert_eq!(space.len(), count, "{kind:?} {order}");
            let outside = space.boundary_nodes(|_| true);
            let on = |x: &[f64]| x.iter().any(|&x| x == 0.0 || x == 1.0);
            let expected: Vec<usize> = (0..count).filter(|&i| on(space.node(i))).collect();
            assert_eq!(outside, expected, "{kind:?} {order}");
        }
        let tets = Space::new(Mesh::cuboid([1, 1, 1], [[0.0, 1.0]; 3]).unwrap(), 2).unwrap();
        // 8 corners; 12 edges of the cube, 6 diagonals of faces, 1 of the cube.
        assert_eq!(tets.len(), 27);
        let low = tets.boundary_nodes(|x| x[2] == 0.0);
        assert!(low.len() == 9 && low.iter().all(|&i| tets.node(i)[2] == 0.0));
        let mesh = Mesh::interval(1, [0.0, 1.0]).unwrap();
        let message = Space::new(mesh, 3).unwrap_err().to_string();
        assert_eq!(message, "space: order 3 is not available; orders are 1 and 2");
    }
}
