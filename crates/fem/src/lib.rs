//! Finite elements: meshes, spaces, assembly into sparse matrices, adjoints.
//!
//! - [`Mesh`]: segments, triangles, quads and tetrahedra; structured intervals, rectangles and boxes
//! - [`Space`]: continuous piecewise polynomials of first and second order on a mesh
//! - [`Measure`]: quadrature on the cells or on a part of the boundary, with the values and gradients of the basis there as
//!   sparse matrices
//! - [`Bilinear`]: a form whose matrix is linear in a coefficient; [`Dirichlet`]: prescribed values
//!
//! Everything is a product with a constant sparse matrix, so that derivatives of any order pass through assembly and
//! solve: the adjoint method is `grad` of a function that assembles and solves.
//!
//! ```
//! use lisse_array::{Array, DType, grad};
//! use lisse_fem::{CellKind, Dirichlet, Measure, Mesh, Space};
//!
//! let mesh = Mesh::rectangle([8, 8], [[0.0, 1.0], [0.0, 1.0]], CellKind::Triangle)?;
//! let space = Space::new(mesh, 1)?;
//! let dx = Measure::cells(&space, 2)?;
//! let boundary = Dirichlet::new(&space, |_| true);
//! let (diffusion, load) = (dx.diffusion(), dx.load(&dx.constant(1.0)));
//! // -div(c grad u) = 1, u = 0 on the boundary; the mean of u and its derivative by c in every quadrature point
//! let mean = |c: &Array| {
//!     let (a, b) = boundary.impose(&diffusion.matrix(c), &load, &Array::zeros(&[space.len()], DType::F64));
//!     dx.integral(&dx.at(&a.solve(&b).expect("a positive coefficient")))
//! };
//! let c = dx.constant(1.0);
//! assert!((mean(&c).item() - 0.0351).abs() < 2e-3);
//! assert!(grad(mean)(&c).to_vec::<f64>().iter().all(|&d| d <= 0.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod dirichlet;
mod error;
mod form;
mod measure;
mod mesh;
mod quadrature;
mod space;

pub use dirichlet::Dirichlet;
pub use error::FemError;
pub use form::Bilinear;
pub use measure::Measure;
pub use mesh::{CellKind, Facet, Mesh};
pub use quadrature::Quadrature;
pub use space::Space;
