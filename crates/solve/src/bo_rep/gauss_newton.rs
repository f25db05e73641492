//! Lower levels whose Hessian is replaced by its Gauss-Newton part.

use lisse_array::{Array, hvp, jvp, vjp};

use crate::bilevel::{Batch, Bilevel, Gradient, Set, Wrt};

type Outputs = Box<dyn Fn(&Array, &Array, &Batch) -> Array + Send + Sync>;
type Loss = Box<dyn Fn(&Array, &Batch) -> Array + Send + Sync>;

/// A problem with `g(x, y) = loss(outputs(x, y)) + ridge ||y||^2 / 2` whose products with the lower Hessian are those of
/// `J' L J + ridge`, `J` the Jacobian of the outputs in `y` and `L` the Hessian of the loss: positive definite for any convex loss,
/// where the exact Hessian of a network is not. All other derivatives are those of the inner problem.
pub struct GaussNewton<P> {
    inner: P,
    outputs: Outputs,
    loss: Loss,
    ridge: f64,
}

impl<P: Bilevel> GaussNewton<P> {
    /// From a problem and the parts of its lower objective.
    pub fn new(
        inner: P,
        outputs: impl Fn(&Array, &Array, &Batch) -> Array + Send + Sync + 'static,
        loss: impl Fn(&Array, &Batch) -> Array + Send + Sync + 'static,
        ridge: f64,
    ) -> GaussNewton<P> {
        GaussNewton { inner, outputs: Box::new(outputs), loss: Box::new(loss), ridge }
    }
}

fn array(v: &[f64]) -> Array {
    Array::from_slice(v, &[v.len()])
}

impl<P: Bilevel> Bilevel for GaussNewton<P> {
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
        let (x, y, v) = (array(x), array(y), array(v));
        let outputs = |y: &Array| (self.outputs)(&x, y, batch);
        let (value, tangent) = jvp(outputs, &y, &v);
        let bent = hvp(|out: &Array| (self.loss)(out, batch), &value, &tangent);
        let product = vjp(outputs, &y).1(&bent);
        (product + v * self.ridge).to_vec()
    }
    fn cross_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        self.inner.cross_product(x, y, v, batch)
    }
    fn set_x(&self) -> &Set {
        self.inner.set_x()
    }
    fn set_y(&self) -> &Set {
        self.inner.set_y()
    }
}
