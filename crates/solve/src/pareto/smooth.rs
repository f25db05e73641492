//! Objectives given as functions of arrays, with exact derivatives.

use lisse_array::{Array, grad, hessian};
use rayon::prelude::*;

use super::Objectives;

/// Objectives with second derivatives.
pub trait SmoothObjectives: Objectives {
    /// The row-major Hessian of one objective.
    fn hessian(&self, i: usize, x: &[f64]) -> Vec<f64>;
}

type Function = Box<dyn Fn(&Array) -> Array + Send + Sync>;

/// Objectives as functions from an array `[dim]` to a scalar. Kinks are fine as far as the rules of the operations give one
/// element of the subdifferential.
///
/// ```
/// use lisse_array::Array;
/// use lisse_solve::pareto::{CommonDescent, Smooth};
/// let two = Smooth::new(2)
///     .objective(|x: &Array| x.square().sum_all())
///     .objective(|x: &Array| (x - 1.0).square().sum_all());
/// let found = CommonDescent::default().minimize(&two, &[3.0, 2.0])?;
/// assert!(found.criticality < 1e-6);
/// # Ok::<(), lisse_solve::pareto::ParetoError>(())
/// ```
pub struct Smooth {
    dim: usize,
    functions: Vec<Function>,
}

impl Smooth {
    /// No objectives yet, of points with `dim` coordinates.
    pub fn new(dim: usize) -> Smooth {
        Smooth { dim, functions: Vec::new() }
    }

    /// Adds an objective.
    pub fn objective(mut self, f: impl Fn(&Array) -> Array + Send + Sync + 'static) -> Smooth {
        self.functions.push(Box::new(f));
        self
    }

    fn array(&self, x: &[f64]) -> Array {
        Array::from_slice(x, &[self.dim])
    }
}

impl Objectives for Smooth {
    fn dim(&self) -> usize {
        self.dim
    }

    fn count(&self) -> usize {
        self.functions.len()
    }

    fn values(&self, x: &[f64]) -> Vec<f64> {
        (0..self.count()).map(|i| self.value(i, x)).collect()
    }

    fn subgradients(&self, x: &[f64]) -> Vec<Vec<f64>> {
        (0..self.count()).into_par_iter().map(|i| self.subgradient(i, x)).collect()
    }

    fn value(&self, i: usize, x: &[f64]) -> f64 {
        self.functions[i](&self.array(x)).item()
    }

    fn subgradient(&self, i: usize, x: &[f64]) -> Vec<f64> {
        grad(|x: &Array| self.functions[i](x))(&self.array(x)).to_vec()
    }
}

impl SmoothObjectives for Smooth {
    fn hessian(&self, i: usize, x: &[f64]) -> Vec<f64> {
        hessian(|x: &Array| self.functions[i](x), &self.array(x)).to_vec()
    }
}
