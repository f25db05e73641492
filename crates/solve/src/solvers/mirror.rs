//! Mirror descent.

use std::sync::Arc;

use lisse_array::{Array, grad};

use super::derivative::{Function, Parameters, Solver};
use super::trace::{Trace, check_returned, check_scalar, check_start, norm};
use super::{Limits, Solution, SolverError};
use crate::implicit::Condition;

type Map = Arc<dyn Fn(&Array) -> Array + Send + Sync>;

/// `min f(x, theta)` on a set in the geometry of a mirror map `phi`: `x <- P(grad phi(x) - s grad f(x))`, where `P` is the Bregman projection
/// of a dual point onto the set (Nemirovski and Yudin, 1983; Beck and Teboulle, 2003).
///
/// The step has no default: it should be one over the smoothness of `f` relative to `phi`. The error is `|x_{k+1} - x_k| / s_k`.
#[derive(Clone)]
pub struct MirrorDescent<T> {
    f: Function<T>,
    map: Map,
    back: Function<T>,
    /// When to end.
    pub limits: Limits,
    /// `s`, above 0.
    pub step: f64,
    /// Whether step `k` (from 1) is `s / sqrt(k)`, for functions that are not smooth.
    pub decay: bool,
}

/// `ln x`, finite where a coordinate has become 0.
fn logarithm(x: &Array) -> Array {
    x.maximum(&x.full_like(1e-280)).ln()
}

impl<T: Parameters> MirrorDescent<T> {
    /// `map` is `grad phi`; `back(u, theta)` is the point of the set with the least Bregman distance to the dual point `u`.
    pub fn new(
        f: impl Fn(&Array, &T) -> Array + Send + Sync + 'static,
        map: impl Fn(&Array) -> Array + Send + Sync + 'static,
        back: impl Fn(&Array, &T) -> Array + Send + Sync + 'static,
        step: f64,
    ) -> Self {
        MirrorDescent {
            f: Arc::new(f),
            map: Arc::new(map),
            back: Arc::new(back),
            limits: Limits { max_iterations: 5000, ..Limits::default() },
            step,
            decay: false,
        }
    }

    /// On the simplex (each row, along the last axis) with the entropy: `x <- softmax(ln x - s grad f(x))`. Start inside, with all
    /// coordinates above 0.
    pub fn simplex(f: impl Fn(&Array, &T) -> Array + Send + Sync + 'static, step: f64) -> Self {
        Self::new(f, logarithm, |u, _| u.softmax(-1), step)
    }

    /// On `x >= 0` with the entropy: `x <- x exp(-s grad f(x))`. Start with all coordinates above 0.
    pub fn positive(f: impl Fn(&Array, &T) -> Array + Send + Sync + 'static, step: f64) -> Self {
        Self::new(f, logarithm, |u, _| u.exp(), step)
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, tolerance: f64, max_iterations: usize) -> Self {
        self.limits = Limits::new(tolerance, max_iterations);
        self
    }
}

impl<T: Parameters> Solver<T> for MirrorDescent<T> {
    fn run(&self, start: &Array, theta: &T) -> Result<Solution, SolverError> {
        self.limits.check()?;
        let sound = self.step > 0.0 && self.step.is_finite();
        SolverError::check("the step", self.step, sound, "a finite number above 0")?;
        check_start(start)?;
        check_scalar(&(self.f)(start, theta))?;
        let image = (self.back)(&(self.map)(start), theta);
        check_returned("the Bregman projection", &image, start.shape())?;
        let mut trace = Trace::new(self.limits);
        let mut x = start.clone();
        loop {
            let gradient = grad(|v: &Array| (self.f)(v, theta))(&x);
            trace.counts.gradients += 1;
            trace.counts.proximal += 1;
            let k = (trace.iterations() + 1) as f64;
            let step = if self.decay { self.step / k.sqrt() } else { self.step };
            let next = (self.back)(&(self.map)(&x).add_scaled(-step, &gradient), theta);
            let error = norm(&(&next - &x)) / step;
            x = next;
            if let Some(stop) = trace.record(error) {
                return Ok(trace.end(x, stop, error));
            }
        }
    }

    fn condition(&self) -> Condition<Array, T> {
        let (f, map, back, step) = (self.f.clone(), self.map.clone(), self.back.clone(), self.step);
        Condition::fixed_point(move |x: &Array, theta: &T| {
            let gradient = grad(|v: &Array| f(v, theta))(x);
            back(&(map(x) - gradient * step), theta)
        })
    }
}
