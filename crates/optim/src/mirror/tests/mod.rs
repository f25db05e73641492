mod compared;
mod convergence;
mod runs;
mod step_sizes;
mod steps_of_maps;
mod tails;

use lisse_array::random::Law;
use lisse_array::{Array, DType, Stream};

use super::*;
use crate::config::OptimizerConfig;
use crate::{Adam, LossOracle, Optimizer, Schedule, Sgd, State};

fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= tolerance, "{found:?} against {expected:?}");
    }
}

fn geometry(mirror: Mirror, regularizer: Regularizer, domain: Domain) -> Geometry {
    Geometry::new(mirror, regularizer, domain).unwrap()
}

fn stepped(geometry: &Geometry, x: &[f64], g: &[f64], eta: f64) -> Vec<f64> {
    let mut point = geometry.point(x);
    geometry.step(&mut point, g, eta);
    point.x
}

/// An oracle of closures, without randomness.
struct Function<V, G> {
    dimension: usize,
    value: V,
    gradient: G,
}

impl<V: Fn(&[f64]) -> f64 + Sync, G: Fn(&[f64], &Draw<'_>, &mut [f64]) + Sync> StochasticOracle
    for Function<V, G>
{
    fn dimension(&self) -> usize {
        self.dimension
    }
    fn gradient(&self, x: &[f64], draw: &Draw<'_>, out: &mut [f64]) -> f64 {
        (self.gradient)(x, draw, out);
        (self.value)(x)
    }
    fn value(&self, x: &[f64]) -> f64 {
        (self.value)(x)
    }
}

fn euclidean(steps: Steps) -> Csmd {
    Csmd::new(Geometry::default(), steps)
}
