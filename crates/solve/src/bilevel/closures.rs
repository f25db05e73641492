//! A problem from two functions, with derivatives by automatic differentiation.

use lisse_array::{Array, Tree, grad, hvp, value_and_grad, value_and_grad_aux, vjp};
use lisse_optim::Flat;

use super::{Batch, Bilevel, Gradient, LowerProducts, Set, Wrt};

type Level = Box<dyn Fn(&Array, &Array, &Batch) -> Array + Send + Sync>;
type Coupling = Box<dyn Fn(&Array, &Array) -> Array + Send + Sync>;

/// A [`Bilevel`] problem from functions `f(x, y, batch)` and `g(x, y, batch)` that give scalars; all derivatives are exact.
///
/// ```
/// use lisse_solve::bilevel::{Batch, Bilevel, Closures};
/// let problem = Closures::new((1, 1), |_, y, _| y.square().sum_all(), |x, y, _| (y - x).square().sum_all() * 0.5);
/// let products = problem.lower_products(&[2.0], &[3.0], &[1.0], &Batch::all());
/// assert_eq!((products.gradient[0], products.hessian[0], products.cross[0]), (1.0, 1.0, -1.0));
/// ```
pub struct Closures {
    dims: (usize, usize),
    upper: Level,
    lower: Level,
    coupling: Option<(usize, Vec<bool>, Coupling)>,
    sets: (Set, Set),
    examples: (usize, usize),
}

fn array(v: &[f64]) -> Array {
    Array::from_slice(v, &[v.len()])
}

impl Closures {
    /// From functions of vectors `[dx]` and `[dy]` (f64) and a batch.
    pub fn new(
        dims: (usize, usize),
        upper: impl Fn(&Array, &Array, &Batch) -> Array + Send + Sync + 'static,
        lower: impl Fn(&Array, &Array, &Batch) -> Array + Send + Sync + 'static,
    ) -> Closures {
        Closures {
            dims,
            upper: Box::new(upper),
            lower: Box::new(lower),
            coupling: None,
            sets: (Set::Whole, Set::Whole),
            examples: (0, 0),
        }
    }

    /// From functions of trees shaped like `x` and `y`. Get flat starts with [`Flat::gather`], trees back with [`Flat::scatter`].
    pub fn of_trees<X, Y>(
        x: &X,
        y: &Y,
        upper: impl Fn(&X, &Y, &Batch) -> Array + Send + Sync + 'static,
        lower: impl Fn(&X, &Y, &Batch) -> Array + Send + Sync + 'static,
    ) -> Closures
    where
        X: Tree + Send + Sync + 'static,
        Y: Tree + Send + Sync + 'static,
    {
        let (flat_x, flat_y) = (Flat::of(x), Flat::of(y));
        let dims = (flat_x.len(), flat_y.len());
        let parts = std::sync::Arc::new((flat_x, x.clone(), flat_y, y.clone()));
        let trees = move |x: &Array, y: &Array| {
            let (flat_x, like_x, flat_y, like_y) = &*parts;
            (flat_x.scatter(like_x, x), flat_y.scatter(like_y, y))
        };
        let again = trees.clone();
        let upper = move |x: &Array, y: &Array, batch: &Batch| {
            let (x, y) = trees(x, y);
            upper(&x, &y, batch)
        };
        let lower = move |x: &Array, y: &Array, batch: &Batch| {
            let (x, y) = again(x, y);
            lower(&x, &y, batch)
        };
        Closures::new(dims, upper, lower)
    }

    /// With sets for `x` and `y`.
    pub fn within(mut self, x: Set, y: Set) -> Closures {
        self.sets = (x, y);
        self
    }

    /// With means over this many examples in the upper and the lower objective.
    pub fn over(mut self, upper: usize, lower: usize) -> Closures {
        self.examples = (upper, lower);
        self
    }

    /// With constraints `c(x, y) <= 0`, one entry of a vector each; `equality[i]` for `= 0`.
    pub fn subject_to(
        mut self,
        equality: Vec<bool>,
        constraint: impl Fn(&Array, &Array) -> Array + Send + Sync + 'static,
    ) -> Closures {
        self.coupling = Some((equality.len(), equality, Box::new(constraint)));
        self
    }
}

fn gradient(level: &Level, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
    let (x, y) = (array(x), array(y));
    match wrt {
        Wrt::X => {
            let (value, slope) = value_and_grad(|x: &Array| level(x, &y, batch))(&x);
            Gradient { value: value.item(), x: slope.to_vec(), y: Vec::new() }
        }
        Wrt::Y => {
            let (value, slope) = value_and_grad(|y: &Array| level(&x, y, batch))(&y);
            Gradient { value: value.item(), x: Vec::new(), y: slope.to_vec() }
        }
        Wrt::Both => {
            let both = |(x, y): &(Array, Array)| level(x, y, batch);
            let (value, (gx, gy)) = value_and_grad(both)(&(x, y));
            Gradient { value: value.item(), x: gx.to_vec(), y: gy.to_vec() }
        }
    }
}

impl Bilevel for Closures {
    fn dims(&self) -> (usize, usize) {
        self.dims
    }
    fn examples(&self) -> (usize, usize) {
        self.examples
    }
    fn upper(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        gradient(&self.upper, x, y, batch, wrt)
    }
    fn lower(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        gradient(&self.lower, x, y, batch, wrt)
    }
    fn hessian_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        let x = array(x);
        hvp(|y: &Array| (self.lower)(&x, y, batch), &array(y), &array(v)).to_vec()
    }
    fn cross_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        let (y, v) = (array(y), array(v));
        let along = |x: &Array| {
            let slope = grad(|y: &Array| (self.lower)(x, y, batch))(&y);
            (slope * &v).sum_all()
        };
        grad(along)(&array(x)).to_vec()
    }
    fn lower_products(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> LowerProducts {
        let v = array(v);
        let along = |(x, y): &(Array, Array)| {
            let (value, slope) = value_and_grad(|y: &Array| (self.lower)(x, y, batch))(y);
            ((&slope * &v).sum_all(), (value, slope))
        };
        let (_, (cross, hessian), (value, slope)) =
            value_and_grad_aux(along)(&(array(x), array(y)));
        LowerProducts {
            value: value.item(),
            gradient: slope.to_vec(),
            hessian: hessian.to_vec(),
            cross: cross.to_vec(),
        }
    }
    fn set_x(&self) -> &Set {
        &self.sets.0
    }
    fn set_y(&self) -> &Set {
        &self.sets.1
    }
    fn constraints(&self) -> usize {
        self.coupling.as_ref().map_or(0, |c| c.0)
    }
    fn constraint(&self, x: &[f64], y: &[f64]) -> Vec<f64> {
        self.coupling.as_ref().map_or_else(Vec::new, |(_, _, c)| c(&array(x), &array(y)).to_vec())
    }
    fn is_equality(&self, i: usize) -> bool {
        self.coupling.as_ref().is_some_and(|c| c.1[i])
    }
    fn constraint_products(&self, x: &[f64], y: &[f64], weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let Some((_, _, c)) = &self.coupling else {
            return (vec![0.0; x.len()], vec![0.0; y.len()]);
        };
        let pair = (array(x), array(y));
        let (_, pullback) = vjp(|(x, y): &(Array, Array)| c(x, y), &pair);
        let (gx, gy) = pullback(&array(weights));
        (gx.to_vec(), gy.to_vec())
    }
}
