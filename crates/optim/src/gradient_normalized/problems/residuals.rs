//! Systems of equations by a power of the residual norm.

use lisse_array::{Array, DType, hessian, jacobian};

use super::{ProblemError, check_matrix, check_number, check_vector};
use crate::gradient_normalized::curvature::weighted_gram;
use crate::gradient_normalized::{Approximation, Curvature, CurvedProblem};
use crate::minimize::dot;

/// Equations `u(x) = 0` with derivatives.
pub trait Equations {
    /// Unknowns.
    fn dim(&self) -> usize;
    /// `u(x)`
    fn residuals(&self, x: &Array) -> Array;
    /// `J = u'(x)`, a row for each equation.
    fn jacobian(&self, x: &Array) -> Array;
    /// `sum_i w_i Hess u_i(x)`
    fn second(&self, x: &Array, w: &Array) -> Array;
}

/// `f(x) = |u(x)|^p / p`, `p >= 2`.
///
/// With `r = |u|`, `s = J^T u` the gradient is `r^{p-2} s` and the Hessian `r^{p-2} J^T J + (p-2) r^{p-4} s s^T + r^{p-2} sum_i u_i Hess u_i`:
/// [`Approximation::GaussNewton`] is its first term, [`Fisher`](Approximation::Fisher) the second, [`Inexact`](Approximation::Inexact) both.
///
/// ```
/// use lisse_array::{Array, DType};
/// use lisse_optim::gradient_normalized::{
///     Approximation, GradientRegularizedNewton, Metric, Stopping, descend,
///     problems::{Chebyshev, ResidualPower},
/// };
/// let problem = ResidualPower::new(Chebyshev { dim: 10 }, 4.0)?;
/// let newton = GradientRegularizedNewton::with(Approximation::Inexact);
/// let start = Array::full(&[10], 0.5, DType::F64);
/// let best = descend(&problem, &start, &newton, &Metric::identity(), &Stopping::default())?;
/// assert!(best.value < 1e-8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ResidualPower<E> {
    equations: E,
    power: f64,
}

impl<E: Equations> ResidualPower<E> {
    /// # Errors
    /// If `power` is below 2 or there are no unknowns.
    pub fn new(equations: E, power: f64) -> Result<ResidualPower<E>, ProblemError> {
        check_number("power", power, power >= 2.0, "a number of at least 2")?;
        let dim = equations.dim() as f64;
        check_number("the number of unknowns", dim, dim > 0.0, "at least 1")?;
        Ok(ResidualPower { equations, power })
    }

    /// `r^{p-2}` and `(p-2) r^{p-4}`; at a solution the second, whose factor vanishes, is 0.
    fn factors(&self, r: f64) -> (f64, f64) {
        let p = self.power;
        let first = if p == 2.0 { 1.0 } else { r.powf(p - 2.0) };
        let second = if p == 2.0 || r == 0.0 { 0.0 } else { (p - 2.0) * r.powf(p - 4.0) };
        (first, second)
    }
}

impl<E: Equations> CurvedProblem for ResidualPower<E> {
    fn dim(&self) -> usize {
        self.equations.dim()
    }
    fn value(&self, x: &Array) -> f64 {
        let u = self.equations.residuals(x);
        dot(&u, &u).sqrt().powf(self.power) / self.power
    }
    fn value_and_grad(&self, x: &Array) -> (f64, Array) {
        let u = self.equations.residuals(x);
        let r = dot(&u, &u).sqrt();
        let s = self.equations.jacobian(x).t().matmul(&u);
        (r.powf(self.power) / self.power, s * self.factors(r).0)
    }
    fn approximations(&self) -> &'static [Approximation] {
        &[
            Approximation::Exact,
            Approximation::Inexact,
            Approximation::GaussNewton,
            Approximation::Fisher,
        ]
    }
    fn curvature(&self, x: &Array, approximation: Approximation) -> Option<Curvature<'_>> {
        let u = self.equations.residuals(x);
        let j = self.equations.jacobian(x);
        let s = j.t().matmul(&u).unsqueeze(0);
        let (first, second) = self.factors(dot(&u, &u).sqrt());
        let gram = |rows: Array, weights: Array| Curvature::Gram { rows, weights, ridge: 0.0 };
        let equal = |count: usize| u.device().with(|| Array::full(&[count], first, u.dtype()));
        let last = u.index(0, 0).full_like(second).unsqueeze(0);
        let both = || (Array::cat(&[&j, &s], 0), Array::cat(&[&equal(u.len()), &last], 0));
        Some(match approximation {
            Approximation::GaussNewton => gram(j, equal(u.len())),
            Approximation::Fisher => gram(s, last),
            Approximation::Inexact => {
                let (rows, weights) = both();
                gram(rows, weights)
            }
            Approximation::Exact => {
                let (rows, weights) = both();
                let residual = self.equations.second(x, &u);
                Curvature::Dense(weighted_gram(&rows, &weights).add_scaled(first, &residual))
            }
            _ => return None,
        })
    }
}

/// Rosenbrock's function as equations: `u = (a - x_1, b^(1/2) (x_2 - x_1^2))`, solution `(a, a^2)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RosenbrockEquations {
    /// 1 in the usual form.
    pub a: f64,
    /// 100 in the usual form.
    pub b: f64,
}

impl Default for RosenbrockEquations {
    fn default() -> Self {
        RosenbrockEquations { a: 1.0, b: 100.0 }
    }
}

/// A small array beside `like`.
fn beside(like: &Array, values: &[f64], shape: &[usize]) -> Array {
    like.device().with(|| Array::from_slice(values, shape)).cast(like.dtype())
}

impl Equations for RosenbrockEquations {
    fn dim(&self) -> usize {
        2
    }
    fn residuals(&self, x: &Array) -> Array {
        let v = x.to_f64_vec();
        beside(x, &[self.a - v[0], self.b.sqrt() * (v[1] - v[0] * v[0])], &[2])
    }
    fn jacobian(&self, x: &Array) -> Array {
        let (first, root) = (x.to_f64_vec()[0], self.b.sqrt());
        beside(x, &[-1.0, 0.0, -2.0 * root * first, root], &[2, 2])
    }
    fn second(&self, x: &Array, w: &Array) -> Array {
        let bend = -2.0 * self.b.sqrt() * w.to_f64_vec()[1];
        beside(x, &[bend, 0.0, 0.0, 0.0], &[2, 2])
    }
}

/// The Chebyshev chain `u_1 = (1 - x_1) / 2`, `u_i = x_i - (2 x_{i-1}^2 - 1)`, solution all ones: smooth, and hard for methods of first order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chebyshev {
    /// Unknowns.
    pub dim: usize,
}

impl Equations for Chebyshev {
    fn dim(&self) -> usize {
        self.dim
    }
    fn residuals(&self, x: &Array) -> Array {
        let v = x.to_f64_vec();
        let rest = v.windows(2).map(|pair| pair[1] - (2.0 * pair[0] * pair[0] - 1.0));
        let all: Vec<f64> = std::iter::once(0.5 * (1.0 - v[0])).chain(rest).collect();
        beside(x, &all, &[self.dim])
    }
    fn jacobian(&self, x: &Array) -> Array {
        let n = self.dim;
        let mut rows = vec![0.0; n * n];
        rows[0] = -0.5;
        for (i, v) in x.to_f64_vec().into_iter().enumerate().take(n - 1) {
            rows[(i + 1) * n + i] = -4.0 * v;
            rows[(i + 1) * n + i + 1] = 1.0;
        }
        beside(x, &rows, &[n, n])
    }
    fn second(&self, x: &Array, w: &Array) -> Array {
        let n = self.dim;
        let mut matrix = vec![0.0; n * n];
        for (i, w) in w.to_f64_vec().into_iter().enumerate().skip(1) {
            matrix[(i - 1) * n + i - 1] = -4.0 * w;
        }
        beside(x, &matrix, &[n, n])
    }
}

/// `u = A x - b`. With [`Metric::normal`](crate::gradient_normalized::Metric::normal) of the same `A` one factorization serves all steps.
#[derive(Clone, Debug)]
pub struct LinearEquations {
    a: Array,
    b: Array,
}

impl LinearEquations {
    /// # Errors
    /// If shapes do not fit or an entry is not finite.
    pub fn new(a: Array, b: Array) -> Result<LinearEquations, ProblemError> {
        check_matrix("A", &a)?;
        check_vector("b", &b, a.dim(0))?;
        Ok(LinearEquations { a, b })
    }
}

impl Equations for LinearEquations {
    fn dim(&self) -> usize {
        self.a.dim(1)
    }
    fn residuals(&self, x: &Array) -> Array {
        self.a.matmul(x) - &self.b
    }
    fn jacobian(&self, _: &Array) -> Array {
        self.a.clone()
    }
    fn second(&self, x: &Array, _: &Array) -> Array {
        let n = self.a.dim(1);
        x.device().with(|| Array::zeros(&[n, n], DType::F64)).cast(x.dtype())
    }
}

/// Residuals given as a differentiable function, with derivatives by [`lisse_array`].
pub struct Differentiable<F> {
    /// From a vector to a vector.
    pub function: F,
    /// Unknowns.
    pub dim: usize,
}

impl<F: Fn(&Array) -> Array> Equations for Differentiable<F> {
    fn dim(&self) -> usize {
        self.dim
    }
    fn residuals(&self, x: &Array) -> Array {
        (self.function)(x)
    }
    fn jacobian(&self, x: &Array) -> Array {
        jacobian(&self.function, x)
    }
    fn second(&self, x: &Array, w: &Array) -> Array {
        hessian(|x: &Array| ((self.function)(x) * w).sum_all(), x)
    }
}
