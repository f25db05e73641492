//! What can be wrong with a mesh, a space or a rule.

/// A description of a discretisation that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FemError {
    /// A list of coordinates or corners is not whole.
    #[error("mesh: {count} {what} are no multiple of {unit}; give {unit} for each {of}")]
    Lengths {
        /// What the list holds.
        what: &'static str,
        /// Its length.
        count: usize,
        /// Numbers that belong together.
        unit: usize,
        /// What they describe.
        of: &'static str,
    },
    /// A mesh without cells or points.
    #[error("mesh: there are no {what}; give at least one cell and its points")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// A coordinate is not finite.
    #[error("mesh: point {point} has a coordinate that is not a finite number")]
    NotFinite {
        /// The point.
        point: usize,
    },
    /// A corner that is no point.
    #[error("mesh: cell {cell} names point {point}, but there are {points} points, counted from 0")]
    Corner {
        /// The cell.
        cell: usize,
        /// The number given.
        point: usize,
        /// Points of the mesh.
        points: usize,
    },
    /// A cell with no or negative volume.
    #[error(
        "mesh: cell {cell} has volume {volume:e}; its corners must span it in positive orientation (counter-clockwise in 2-D)"
    )]
    Volume {
        /// The cell.
        cell: usize,
        /// The signed volume, or the smallest Jacobian at a corner.
        volume: f64,
    },
    /// A point that no cell uses.
    #[error("mesh: point {point} belongs to no cell; remove it, or its equation would be empty")]
    Unused {
        /// The point.
        point: usize,
    },
    /// A facet of more than two cells.
    #[error("mesh: the facet with points {facet:?} belongs to more than two cells")]
    Crowded {
        /// Its points.
        facet: Vec<usize>,
    },
    /// A structured mesh that cannot be made.
    #[error("mesh: {what} {value} is not possible; {expected}")]
    Structured {
        /// The argument.
        what: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// An order of polynomials that does not exist here.
    #[error("space: order {order} is not available; orders are 1 and 2")]
    Order {
        /// The order.
        order: usize,
    },
    /// A degree of quadrature that is out of range.
    #[error("quadrature: degree {degree} is out of range; degrees are 0 to 20")]
    Degree {
        /// The degree.
        degree: usize,
    },
    /// No facet of the boundary was chosen.
    #[error(
        "measure: no facet of the boundary was chosen; the predicate sees the middle of each facet"
    )]
    NoFacets,
    /// The tables of a rule could not be computed.
    #[error("quadrature: {0}")]
    Linalg(#[from] lisse_array::linalg::LinalgError),
}
