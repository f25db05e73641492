//! What a solution satisfies.

use std::sync::Arc;

use lisse_array::{Array, Tree, grad};

use crate::linear::{Method, Structure};

/// A map of a point and its parameters to a tree like the point.
pub type Map<X, P> = Arc<dyn Fn(&X, &P) -> X + Send + Sync>;

/// An optimality condition `F(x, theta) = 0`, the definition of the solution `x(theta)`.
///
/// `F` must take everything that is to be differentiated through `theta`; what it captures is a constant. It is written in
/// array operations, so that its Jacobians are available by products.
///
/// # Catalogue
///
/// | constructor | condition |
/// | --- | --- |
/// | [`root`](Self::root) | `F` itself |
/// | [`fixed_point`](Self::fixed_point) | `x = T(x, theta)` |
/// | [`stationary`](Self::stationary) | `grad f = 0` |
/// | [`least_squares`](Self::least_squares) | `J^T r = 0` for residuals `r` |
/// | [`projected_gradient`](Self::projected_gradient) | `x = P(x - step grad f)` |
/// | [`proximal_gradient`](Self::proximal_gradient) | `x = prox(x - step grad f)` |
/// | [`block_proximal`](Self::block_proximal) | the same with a step per row |
/// | [`mirror_descent`](Self::mirror_descent) | `x = P_phi(grad phi(x) - step grad f)` |
/// | [`newton`](Self::newton) | `x = x - step (d G)^{-1} G` |
/// | [`kkt`](Self::kkt), [`quadratic_program`](Condition::quadratic_program) | stationarity of the Lagrangian, feasibility, complementarity |
/// | [`cone_program`](Condition::cone_program) | residual of the homogeneous self-dual embedding |
pub struct Condition<X, P> {
    pub(super) name: &'static str,
    pub(super) residual: Map<X, P>,
    pub(super) map: Option<Map<X, P>>,
    pub(super) structure: Structure,
    /// What `Method::Auto` means here, where the structure does not say it all.
    pub(super) method: Option<Method>,
}

impl<X, P> Clone for Condition<X, P> {
    fn clone(&self) -> Self {
        Condition { residual: self.residual.clone(), map: self.map.clone(), ..*self }
    }
}

impl<X: Tree + 'static, P: Tree + 'static> Condition<X, P> {
    /// `F(x, theta) = 0`.
    pub fn root(f: impl Fn(&X, &P) -> X + Send + Sync + 'static) -> Condition<X, P> {
        Condition::named("root", f)
    }

    pub(super) fn named(
        name: &'static str,
        f: impl Fn(&X, &P) -> X + Send + Sync + 'static,
    ) -> Condition<X, P> {
        let residual = Arc::new(f);
        Condition { name, residual, map: None, structure: Structure::General, method: None }
    }

    /// `x = T(x, theta)`: `F = x - T`.
    pub fn fixed_point(map: impl Fn(&X, &P) -> X + Send + Sync + 'static) -> Condition<X, P> {
        Condition::named_map("fixed point", map)
    }

    pub(super) fn named_map(
        name: &'static str,
        map: impl Fn(&X, &P) -> X + Send + Sync + 'static,
    ) -> Condition<X, P> {
        let map: Map<X, P> = Arc::new(map);
        let again = map.clone();
        let mut condition =
            Condition::named(name, move |x: &X, theta: &P| x.axpy(-1.0, &again(x, theta)));
        condition.map = Some(map);
        condition
    }

    /// A stationary point of `f(., theta)`: minimizer, maximizer or saddle. The Jacobian is a Hessian, hence symmetric.
    pub fn stationary(f: impl Fn(&X, &P) -> Array + Send + Sync + 'static) -> Condition<X, P> {
        Condition::named("stationarity", move |x: &X, theta: &P| grad(|x: &X| f(x, theta))(x))
            .structure(Structure::Symmetric)
    }

    /// A stationary point of `|r(x, theta)|^2 / 2`: what Gauss-Newton and Levenberg-Marquardt solve.
    pub fn least_squares(
        residuals: impl Fn(&X, &P) -> Array + Send + Sync + 'static,
    ) -> Condition<X, P> {
        let mut condition = Condition::stationary(move |x: &X, theta: &P| {
            residuals(x, theta).square().sum_all() * 0.5
        });
        condition.name = "least squares";
        condition
    }

    /// States the structure of `d F / d x`: positive definite at a strict minimizer (then CG is used), symmetric, general.
    #[must_use]
    pub fn structure(mut self, structure: Structure) -> Condition<X, P> {
        self.structure = structure;
        self
    }

    /// Short for the structure [`PositiveDefinite`](Structure::PositiveDefinite).
    #[must_use]
    pub fn positive_definite(self) -> Condition<X, P> {
        self.structure(Structure::PositiveDefinite)
    }

    /// Its name in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// `F(x, theta)`
    pub fn residual(&self, x: &X, theta: &P) -> X {
        (self.residual)(x, theta)
    }

    /// `T` of a fixed point.
    pub fn map(&self) -> Option<&Map<X, P>> {
        self.map.as_ref()
    }
}
