//! Smooth optimization on derivatives of any order.
//!
//! One crate re-exports the whole: [`array`](mod@array) (arrays, trees, transformations), [`nn`] (layers, losses, models, weight files),
//! [`data`] (data sets, batches), [`optim`] (training optimizers, minimizers),
//! [`solve`] (derivatives of solutions, solvers, bilevel problems, transport, online learning, several objectives), [`fem`] (finite elements), [`run`] (recipes, the loop, reports). The
//! [`registry`] holds every method and recipe; the command `lisse` runs them.
//!
//! ```
//! use lisse::{Array, grad, hvp};
//! let f = |x: &Array| (x.square() * x).sum_all();
//! let x = Array::from_slice(&[1.0f64, 2.0], &[2]);
//! assert_eq!(grad(f)(&x).to_vec::<f64>(), [3.0, 12.0]);
//! assert_eq!(hvp(f, &x, &Array::ones(&[2], x.dtype())).to_vec::<f64>(), [6.0, 12.0]);
//! ```

pub use lisse_array as array;
pub use lisse_data as data;
pub use lisse_fem as fem;
pub use lisse_nn as nn;
pub use lisse_optim as optim;
pub use lisse_run as run;
pub use lisse_solve as solve;

pub use lisse_array::{
    Array, DType, Device, Stream, Tree, checkpoint, custom_vjp, grad, hessian, hvp, jacobian, jvp,
    per_example_grad, value_and_grad, value_and_grad_aux, value_grad_hvp, vjp,
};
pub use lisse_optim::minimize;

/// Every method, recipe and recipe kind of this build.
pub fn registry() -> run::Registry {
    let mut registry = run::Registry::new();
    optim::recipes::register(&mut registry);
    solve::register(&mut registry);
    registry
}

/// The book's pages with Rust code, so that `cargo test --doc` runs their examples.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../../docs/src/derivatives.md")]
    struct Derivatives;
    #[doc = include_str!("../../../docs/src/methods/first-order.md")]
    struct FirstOrder;
    #[doc = include_str!("../../../docs/src/methods/minimizers.md")]
    struct Minimizers;
    #[doc = include_str!("../../../docs/src/methods/sam-unlearning.md")]
    struct SmoothingAndUnlearning;
    #[doc = include_str!("../../../docs/src/methods/gradient-normalized-smoothness.md")]
    struct GradientNormalized;
    #[doc = include_str!("../../../docs/src/methods/clipped-adam.md")]
    struct CoordinateClipping;
    #[doc = include_str!("../../../docs/src/methods/target-surrogates.md")]
    struct TargetSurrogates;
    #[doc = include_str!("../../../docs/src/methods/last-iterate-sgd.md")]
    struct LastIterates;
    #[doc = include_str!("../../../docs/src/methods/adadagrad.md")]
    struct AdaptiveBatches;
    #[doc = include_str!("../../../docs/src/methods/mfac.md")]
    struct InverseFisher;
    #[doc = include_str!("../../../docs/src/methods/compositional-nce.md")]
    struct UnnormalizedModels;
    #[doc = include_str!("../../../docs/src/methods/implicit-differentiation.md")]
    struct ImplicitDifferentiation;
    #[doc = include_str!("../../../docs/src/methods/solvers.md")]
    struct Solvers;
    #[doc = include_str!("../../../docs/src/methods/sparse-ot.md")]
    struct SparseTransport;
    #[doc = include_str!("../../../docs/src/methods/penalty-bilevel.md")]
    struct PenaltyBilevel;
    #[doc = include_str!("../../../docs/src/methods/lv-hba.md")]
    struct LvHba;
    #[doc = include_str!("../../../docs/src/methods/bo-rep.md")]
    struct BoRep;
    #[doc = include_str!("../../../docs/src/methods/optimistic-omd.md")]
    struct OptimisticMirrorDescent;
    #[doc = include_str!("../../../docs/src/methods/multiobjective-nonsmooth-pde.md")]
    struct SeveralObjectives;
    #[doc = include_str!("../../../docs/src/methods/finite-elements.md")]
    struct FiniteElements;
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_recipe_fits_its_kind_and_every_name_exists() {
        super::registry().check().unwrap();
    }
}
