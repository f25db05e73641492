//! The problem of two levels as methods see it.

use serde::{Deserialize, Serialize};

use super::vector::check_finite;
use super::{Batch, BilevelError, Set};

/// Which partial derivatives are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrt {
    /// In `x`.
    X,
    /// In `y`.
    Y,
    /// In both.
    Both,
}

impl Wrt {
    /// Whether the derivative in `x` is wanted.
    pub fn x(self) -> bool {
        self != Wrt::Y
    }
    /// Whether the derivative in `y` is wanted.
    pub fn y(self) -> bool {
        self != Wrt::X
    }
}

/// A value and its partial derivatives; those not asked for are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradient {
    /// The value.
    pub value: f64,
    /// `[dx]` or empty.
    pub x: Vec<f64>,
    /// `[dy]` or empty.
    pub y: Vec<f64>,
}

/// All that one step of a method with second derivatives asks of the lower objective, along `v`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LowerProducts {
    /// `g(x, y)`
    pub value: f64,
    /// `dg/dy`, `[dy]`
    pub gradient: Vec<f64>,
    /// `(d2g/dy2) v`, `[dy]`
    pub hessian: Vec<f64>,
    /// `d/dx <dg/dy, v>`, `[dx]`
    pub cross: Vec<f64>,
}

/// An exact solution of the lower problem with the multipliers of its coupled constraints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LowerSolution {
    /// The solution.
    pub y: Vec<f64>,
    /// One multiplier for each constraint.
    pub multipliers: Vec<f64>,
}

/// `min over x in X of f(x, y)` where `y` minimises `g(x, .)` over `Y`, perhaps under `c(x, y) <= 0`.
///
/// Vectors are flat f64; [`Closures`](super::Closures) makes a problem from functions of arrays or of trees. An implementation with
/// closed forms may override the joint oracles with one pass.
pub trait Bilevel: Send + Sync {
    /// Lengths of `x` and `y`.
    fn dims(&self) -> (usize, usize);

    /// Examples over which `f` and `g` are means; 0 if they are not.
    fn examples(&self) -> (usize, usize) {
        (0, 0)
    }

    /// `f` and its derivatives.
    fn upper(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient;

    /// `g` and its derivatives.
    fn lower(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient;

    /// `(d2g/dy2) v`, exact.
    fn hessian_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64>;

    /// `d/dx <dg/dy, v>` with `v` constant.
    fn cross_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64>;

    /// Gradient and both products of the lower objective on one batch.
    fn lower_products(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> LowerProducts {
        let Gradient { value, y: gradient, .. } = self.lower(x, y, batch, Wrt::Y);
        let hessian = self.hessian_product(x, y, v, batch);
        LowerProducts { value, gradient, hessian, cross: self.cross_product(x, y, v, batch) }
    }

    /// Where `x` may be.
    fn set_x(&self) -> &Set {
        &Set::Whole
    }

    /// Where `y` may be.
    fn set_y(&self) -> &Set {
        &Set::Whole
    }

    /// Number of constraints that couple `x` and `y`.
    fn constraints(&self) -> usize {
        0
    }

    /// `c(x, y)`: each entry is to be at most 0, or equal to 0 where [`is_equality`](Bilevel::is_equality).
    fn constraint(&self, x: &[f64], y: &[f64]) -> Vec<f64> {
        let _ = (x, y);
        Vec::new()
    }

    /// Whether constraint `i` is an equality.
    fn is_equality(&self, i: usize) -> bool {
        let _ = i;
        false
    }

    /// `sum_i weights_i dc_i/dx` and the same in `y`.
    fn constraint_products(&self, x: &[f64], y: &[f64], weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let _ = weights;
        (vec![0.0; x.len()], vec![0.0; y.len()])
    }

    /// The exact lower solution, where the problem knows a better way than a general solver.
    fn solve_lower(&self, x: &[f64]) -> Option<LowerSolution> {
        let _ = x;
        None
    }
}

/// How often each oracle was asked. Partial gradients count singly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Values of either objective alone.
    pub values: u64,
    /// Partial gradients of `f`.
    pub upper_gradients: u64,
    /// Partial gradients of `g`.
    pub lower_gradients: u64,
    /// `(d2g/dy2) v`
    pub hessian_products: u64,
    /// `d/dx <dg/dy, v>`
    pub jacobian_products: u64,
    /// Products with the constraints' Jacobian.
    pub constraint_products: u64,
    /// Projections onto sets.
    pub projections: u64,
}

impl Counts {
    /// Names and numbers, for reports.
    pub fn entries(&self) -> [(&'static str, u64); 7] {
        [
            ("values", self.values),
            ("upper_gradients", self.upper_gradients),
            ("lower_gradients", self.lower_gradients),
            ("hessian_products", self.hessian_products),
            ("jacobian_products", self.jacobian_products),
            ("constraint_products", self.constraint_products),
            ("projections", self.projections),
        ]
    }

    /// Gradients and products together.
    pub fn total(&self) -> u64 {
        self.upper_gradients + self.lower_gradients + self.hessian_products + self.jacobian_products
    }
}

/// A problem that counts what it is asked. Methods see problems through it.
pub struct Oracle<'a> {
    problem: &'a dyn Bilevel,
    /// What was asked so far.
    pub counts: Counts,
}

fn partials(wrt: Wrt) -> u64 {
    if wrt == Wrt::Both { 2 } else { 1 }
}

impl<'a> Oracle<'a> {
    /// Counts from 0.
    pub fn new(problem: &'a dyn Bilevel) -> Oracle<'a> {
        Oracle { problem, counts: Counts::default() }
    }

    /// Goes on counting.
    pub fn resume(problem: &'a dyn Bilevel, counts: Counts) -> Oracle<'a> {
        Oracle { problem, counts }
    }

    /// The problem.
    pub fn problem(&self) -> &'a dyn Bilevel {
        self.problem
    }

    /// Refuses starts that do not fit: wrong lengths, NaN, empty sets.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, x: &[f64], y: &[f64]) -> Result<(), BilevelError> {
        let (dx, dy) = self.problem.dims();
        for (what, v, expected) in [("the start of x", x, dx), ("the start of y", y, dy)] {
            if v.len() != expected {
                return Err(BilevelError::Length { what, found: v.len(), expected });
            }
            check_finite(what, v, "")?;
        }
        self.problem.set_x().check("the set of x", dx)?;
        self.problem.set_y().check("the set of y", dy)?;
        let first = self.problem.lower(x, y, &Batch::all(), Wrt::Y);
        let hint = "; check the data and the start";
        check_finite("the gradient of the lower objective at the start", &first.y, hint)?;
        let first = self.problem.upper(x, y, &Batch::all(), Wrt::Both);
        check_finite("the gradient of the upper objective at the start", &first.y, hint)?;
        check_finite("the gradient of the upper objective at the start", &first.x, hint)
    }

    /// `f`.
    pub fn upper_value(&mut self, x: &[f64], y: &[f64], batch: &Batch) -> f64 {
        self.counts.values += 1;
        self.problem.upper(x, y, batch, Wrt::Y).value
    }

    /// `g`.
    pub fn lower_value(&mut self, x: &[f64], y: &[f64], batch: &Batch) -> f64 {
        self.counts.values += 1;
        self.problem.lower(x, y, batch, Wrt::Y).value
    }

    /// `f` and its derivatives.
    pub fn upper(&mut self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        self.counts.upper_gradients += partials(wrt);
        self.problem.upper(x, y, batch, wrt)
    }

    /// `g` and its derivatives.
    pub fn lower(&mut self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        self.counts.lower_gradients += partials(wrt);
        self.problem.lower(x, y, batch, wrt)
    }

    /// `df/dx`
    pub fn upper_x(&mut self, x: &[f64], y: &[f64], batch: &Batch) -> Vec<f64> {
        self.upper(x, y, batch, Wrt::X).x
    }

    /// `df/dy`
    pub fn upper_y(&mut self, x: &[f64], y: &[f64], batch: &Batch) -> Vec<f64> {
        self.upper(x, y, batch, Wrt::Y).y
    }

    /// `dg/dx`
    pub fn lower_x(&mut self, x: &[f64], y: &[f64], batch: &Batch) -> Vec<f64> {
        self.lower(x, y, batch, Wrt::X).x
    }

    /// `dg/dy`
    pub fn lower_y(&mut self, x: &[f64], y: &[f64], batch: &Batch) -> Vec<f64> {
        self.lower(x, y, batch, Wrt::Y).y
    }

    /// `(d2g/dy2) v`
    pub fn hessian_product(&mut self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        self.counts.hessian_products += 1;
        self.problem.hessian_product(x, y, v, batch)
    }

    /// `d/dx <dg/dy, v>`
    pub fn cross_product(&mut self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        self.counts.jacobian_products += 1;
        self.problem.cross_product(x, y, v, batch)
    }

    /// Gradient and both products on one batch.
    pub fn lower_products(
        &mut self,
        x: &[f64],
        y: &[f64],
        v: &[f64],
        batch: &Batch,
    ) -> LowerProducts {
        self.counts.lower_gradients += 1;
        self.counts.hessian_products += 1;
        self.counts.jacobian_products += 1;
        self.problem.lower_products(x, y, v, batch)
    }

    /// `sum_i weights_i dc_i/dx`, and in `y`.
    pub fn constraint_products(
        &mut self,
        x: &[f64],
        y: &[f64],
        weights: &[f64],
    ) -> (Vec<f64>, Vec<f64>) {
        self.counts.constraint_products += 1;
        self.problem.constraint_products(x, y, weights)
    }

    /// Projects onto `X`.
    pub fn project_x(&mut self, x: &mut [f64]) {
        self.counts.projections += u64::from(!self.problem.set_x().is_whole());
        self.problem.set_x().project(x);
    }

    /// Projects onto `Y`.
    pub fn project_y(&mut self, y: &mut [f64]) {
        self.counts.projections += u64::from(!self.problem.set_y().is_whole());
        self.problem.set_y().project(y);
    }
}
