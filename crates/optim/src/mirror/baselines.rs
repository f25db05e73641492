//! What to compare with.

use lisse_array::Array;

use super::oracle::{Draw, Sampler, Sampling, StochasticOracle};
use super::prox::positive;
use super::{Csmd, Domain, Geometry, Mirror, MirrorError, Regularizer, Steps};
use crate::optimizer::Oracle;

/// `f + h` with a subgradient of `h` in the gradient: for methods without proximal steps.
#[derive(Clone, Debug)]
pub struct Linearized<O> {
    inner: O,
    regularizer: Regularizer,
}

impl<O: StochasticOracle> Linearized<O> {
    /// Adds `h` to `inner`.
    ///
    /// # Errors
    /// A regularizer without subgradient, or of another dimension.
    pub fn new(inner: O, regularizer: Regularizer) -> Result<Linearized<O>, MirrorError> {
        regularizer.validate(Some(inner.dimension()))?;
        let zeros = vec![0.0; inner.dimension()];
        regularizer.add_subgradient(&zeros, &mut zeros.clone())?;
        Ok(Linearized { inner, regularizer })
    }
}

impl<O: StochasticOracle> StochasticOracle for Linearized<O> {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }
    fn examples(&self) -> Option<usize> {
        self.inner.examples()
    }
    fn gradient(&self, x: &[f64], draw: &Draw<'_>, out: &mut [f64]) -> f64 {
        let loss = self.inner.gradient(x, draw, out) + self.regularizer.value(x);
        match self.regularizer.add_subgradient(x, out) {
            Ok(()) => loss,
            Err(_) => unreachable!("`new` has refused it"),
        }
    }
    fn value(&self, x: &[f64]) -> f64 {
        self.inner.value(x) + self.regularizer.value(x)
    }
}

/// Pegasos for `f + (lambda / 2) ||x||^2`, to be run on the [`Linearized`] problem: steps `1 / (lambda t)` along the whole subgradient, and, if
/// `project`, back into the ball of radius `1 / sqrt(lambda)`, which holds the solution of a support vector machine.
///
/// Reference: Shalev-Shwartz, Singer and Srebro, "Pegasos: Primal Estimated sub-GrAdient SOlver for SVM", ICML 2007.
///
/// # Errors
/// `lambda` not above 0.
pub fn pegasos(lambda: f64, project: bool) -> Result<Csmd, MirrorError> {
    if !positive(lambda) {
        let key = "lambda".into();
        return Err(MirrorError::OutOfRange { key, expected: "a number above 0" });
    }
    let domain = if project { Domain::Ball { radius: 1.0 / lambda.sqrt() } } else { Domain::Whole };
    let geometry = Geometry::new(Mirror::Euclidean, Regularizer::None, domain)?;
    Ok(Csmd::new(geometry, Steps::ScH1 { mu: lambda, kappa: 0.0 }))
}

/// A stochastic convex problem as the [`Oracle`] of one step of any training optimizer. Call [`Sampled::next`] before every step.
///
/// Within a step every evaluation sees the same examples and the same noise. Hessian-vector products are central differences of gradients.
pub struct Sampled<'a> {
    problem: &'a dyn StochasticOracle,
    sampler: Sampler,
    step: u64,
}

impl<'a> Sampled<'a> {
    /// Before the first step.
    ///
    /// # Errors
    /// A batch of 0; a problem without examples to choose from.
    pub fn new(
        problem: &'a dyn StochasticOracle,
        sampling: Sampling,
        batch: usize,
        seed: u64,
    ) -> Result<Sampled<'a>, MirrorError> {
        if batch == 0 || problem.examples() == Some(0) {
            let key = if batch == 0 { "batch" } else { "examples" };
            return Err(MirrorError::OutOfRange { key: key.into(), expected: "at least 1" });
        }
        let sampler = Sampler::new(problem.examples(), batch, sampling, seed);
        Ok(Sampled { problem, sampler, step: 0 })
    }

    /// Goes on to the next step's examples.
    pub fn next(&mut self) {
        self.step += 1;
    }

    fn at(&mut self, x: &Array) -> (f64, Array) {
        let mut gradient = vec![0.0; x.len()];
        let draw = self.sampler.at(self.step.max(1));
        let loss = self.problem.gradient(&x.to_f64_vec(), &draw, &mut gradient);
        (loss, Array::from_vec(gradient, x.shape()).cast(x.dtype()))
    }
}

impl Oracle<Array> for Sampled<'_> {
    fn value_and_grad(&mut self, x: &Array) -> (f64, Array) {
        self.at(x)
    }
    fn value(&mut self, x: &Array) -> f64 {
        self.at(x).0
    }
    fn hvp(&mut self, x: &Array, v: &Array) -> Array {
        let step = 1e-5 / v.square().sum_all().item().sqrt().max(1e-12);
        let (ahead, behind) =
            (self.at(&x.add_scaled(step, v)).1, self.at(&x.add_scaled(-step, v)).1);
        (ahead - behind) / (2.0 * step)
    }
}
