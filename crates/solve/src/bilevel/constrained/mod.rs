//! Problems of two levels whose lower level has constraints `c(x, y) <= 0` in both variables.
//!
//! Reference for [`LvHba`]: Yao, Yu, Zeng and Zhang, "Constrained Bi-Level Optimization: Proximal Lagrangian Value function Approach and
//! Hessian-free Algorithm", ICLR 2024, arXiv 2401.16164; for [`Gaffa`]: Yao, Yin, Zeng and Zhang, "Overcoming Lower-Level Constraints in
//! Bilevel Optimization: A Novel Approach with Regularized Gap Functions", arXiv 2406.01992.

mod affine;
mod equality;
mod gaffa;
mod implicit;
mod joint;
mod lower;
mod lv_hba;
mod polyhedron;
mod saddle;
mod scaled;
mod svm;
#[cfg(test)]
mod tests;
mod toys;
mod value;

pub use affine::AffineSet;
pub use equality::EAipod;
pub use gaffa::Gaffa;
pub use implicit::{ImplicitKkt, kkt_hypergradient};
pub use joint::{JointSet, ProductSet};
pub use lower::solve_constrained_lower;
pub use lv_hba::{Growth, LvHba, LvReport, SaddleSteps};
pub use polyhedron::{ConvexSet, Polyhedron};
pub use saddle::saddle_step_size;
pub use scaled::ScaledRows;
pub use svm::{HingeSet, SvmProblem};
pub use toys::{coupled_sine, many_solutions, scalar_box};
pub use value::{ValueFunction, value_function};
