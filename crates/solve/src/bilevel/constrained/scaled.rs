//! Constraints scaled to gradients of unit length.

use std::sync::Arc;

use crate::bilevel::vector::dot;
use crate::bilevel::{Batch, Bilevel, Gradient, LowerProducts, LowerSolution, Set, Wrt};

/// The same problem with constraint `i` divided by `scale[i]`; multipliers are multiplied by it. Steps on badly scaled rows are either
/// tiny or unstable.
pub struct ScaledRows {
    inner: Arc<dyn Bilevel>,
    scale: Vec<f64>,
}

impl ScaledRows {
    /// Scales by the length of each gradient at `(x, y)`; rows without gradient stay.
    pub fn at(inner: Arc<dyn Bilevel>, x: &[f64], y: &[f64]) -> ScaledRows {
        let mut unit = vec![0.0; inner.constraints()];
        let scale = (0..unit.len())
            .map(|i| {
                unit[i] = 1.0;
                let (gx, gy) = inner.constraint_products(x, y, &unit);
                unit[i] = 0.0;
                let length = (dot(&gx, &gx) + dot(&gy, &gy)).sqrt();
                if length > 0.0 { length } else { 1.0 }
            })
            .collect();
        ScaledRows { inner, scale }
    }

    /// The lengths.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    fn divided(&self, weights: &[f64]) -> Vec<f64> {
        weights.iter().zip(&self.scale).map(|(w, s)| w / s).collect()
    }
}

impl Bilevel for ScaledRows {
    fn dims(&self) -> (usize, usize) {
        self.inner.dims()
    }
    fn examples(&self) -> (usize, usize) {
        self.inner.examples()
    }
    fn upper(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        self.inner.upper(x, y, batch, wrt)
    }
    fn lower(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        self.inner.lower(x, y, batch, wrt)
    }
    fn hessian_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        self.inner.hessian_product(x, y, v, batch)
    }
    fn cross_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        self.inner.cross_product(x, y, v, batch)
    }
    fn lower_products(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> LowerProducts {
        self.inner.lower_products(x, y, v, batch)
    }
    fn set_x(&self) -> &Set {
        self.inner.set_x()
    }
    fn set_y(&self) -> &Set {
        self.inner.set_y()
    }
    fn constraints(&self) -> usize {
        self.inner.constraints()
    }
    fn constraint(&self, x: &[f64], y: &[f64]) -> Vec<f64> {
        self.divided(&self.inner.constraint(x, y))
    }
    fn is_equality(&self, i: usize) -> bool {
        self.inner.is_equality(i)
    }
    fn constraint_products(&self, x: &[f64], y: &[f64], weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
        self.inner.constraint_products(x, y, &self.divided(weights))
    }
    fn solve_lower(&self, x: &[f64]) -> Option<LowerSolution> {
        let mut solution = self.inner.solve_lower(x)?;
        for (l, s) in solution.multipliers.iter_mut().zip(&self.scale) {
            *l *= s;
        }
        Some(solution)
    }
}
