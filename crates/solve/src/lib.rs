//! Structured problems.
//!
//! - [`linear`]: systems known by their products: Krylov methods, least squares, dense factors, with residuals reported and refused above a bound
//! - [`implicit`]: derivatives of solutions through the conditions that they satisfy
//! - [`projection`]s onto sets, [`proximal`] operators and [`solvers`] whose solutions have derivatives
//! - [`transport`]: optimal transport, exact, entropic, quadratic, with few entries in a column
//! - [`bilevel`]: problems whose constraint is another minimization; [`bo_rep`]: when the upper one is not smooth in the usual sense
//! - [`online`]: learning against a stream of losses, with hints
//! - [`pareto`]: several objectives; [`pde`]: on partial differential equations

pub mod bilevel;
pub mod bo_rep;
pub mod implicit;
#[cfg(test)]
mod interruption;
pub mod linear;
pub mod online;
pub mod pareto;
pub mod pde;
pub mod projection;
pub mod proximal;
pub mod solvers;
pub mod transport;

use lisse_run::Registry;

/// Adds the methods, recipes and recipe kinds of this crate to a registry.
pub fn register(registry: &mut Registry) {
    implicit::recipes::register(registry);
    solvers::recipes::register(registry);
    transport::recipes::register(registry);
    bilevel::recipes::register(registry);
    bo_rep::recipes::register(registry);
    online::recipes::register(registry);
    pde::recipes::register(registry);
}
