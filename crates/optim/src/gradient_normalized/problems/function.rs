//! Any differentiable function.

use lisse_array::{Array, hessian, hvp, value_and_grad};

use crate::gradient_normalized::{Approximation, Curvature, CurvedProblem};

/// A function with its exact Hessian, by derivatives of [`lisse_array`].
pub struct Function<F> {
    /// The function of a vector; returns one float.
    pub function: F,
    /// Length of the vector.
    pub dim: usize,
}

impl<F: Fn(&Array) -> Array> CurvedProblem for Function<F> {
    fn dim(&self) -> usize {
        self.dim
    }
    fn value(&self, x: &Array) -> f64 {
        (self.function)(x).item()
    }
    fn value_and_grad(&self, x: &Array) -> (f64, Array) {
        let (value, gradient) = value_and_grad(&self.function)(x);
        (value.item(), gradient)
    }
    fn approximations(&self) -> &'static [Approximation] {
        &[Approximation::Exact]
    }
    fn curvature(&self, x: &Array, approximation: Approximation) -> Option<Curvature<'_>> {
        (approximation == Approximation::Exact).then(|| {
            let (at, again) = (x.clone(), x.clone());
            Curvature::Operator {
                product: Box::new(move |v| hvp(&self.function, &at, v)),
                dense: Some(Box::new(move || hessian(&self.function, &again))),
            }
        })
    }
}
