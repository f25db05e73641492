//! Sums of powers of affine functions.

use lisse_array::Array;

use super::{ProblemError, check_matrix, check_number, check_vector};
use crate::gradient_normalized::{Approximation, Curvature, CurvedProblem};

/// `f(x) = sum_i phi(<a_i, x> - b_i)` with `phi(t) = max(t, 0)^p`, which is zero on the polytope `A x <= b`, or `phi(t) = |t|^p`, `p >= 2`.
#[derive(Clone, Debug)]
pub struct SumOfPowers {
    a: Array,
    b: Array,
    power: f64,
    one_sided: bool,
}

impl SumOfPowers {
    /// Feasibility of `A x <= b`: `phi(t) = max(t, 0)^p`.
    ///
    /// # Errors
    /// If shapes do not fit, an entry is not finite or `power` is below 2.
    pub fn polytope(a: Array, b: Array, power: f64) -> Result<SumOfPowers, ProblemError> {
        check_matrix("A", &a)?;
        check_vector("b", &b, a.dim(0))?;
        check_number("power", power, power >= 2.0, "a number of at least 2")?;
        Ok(SumOfPowers { a, b, power, one_sided: true })
    }

    /// `phi(t) = |t|^p`.
    ///
    /// # Errors
    /// As [`polytope`](Self::polytope).
    pub fn two_sided(a: Array, b: Array, power: f64) -> Result<SumOfPowers, ProblemError> {
        Ok(SumOfPowers { one_sided: false, ..SumOfPowers::polytope(a, b, power)? })
    }

    /// The chain `|x_1 - 1|^p + sum_i |x_{i+1} - x_i|^p`, whose minimizer is all ones and whose Hessian vanishes there for `p > 2`.
    ///
    /// # Errors
    /// If `power` is below 2 or `dim` is 0.
    pub fn difference_chain(dim: usize, power: f64) -> Result<SumOfPowers, ProblemError> {
        let entry = |e: usize| {
            let (i, j) = (e / dim, e % dim);
            f64::from(u8::from(i == j)) - f64::from(u8::from(i == j + 1))
        };
        let a = Array::from_vec((0..dim * dim).map(entry).collect::<Vec<f64>>(), &[dim, dim]);
        let b = (0..dim).map(|i| f64::from(u8::from(i == 0))).collect::<Vec<f64>>();
        SumOfPowers::two_sided(a, Array::from_vec(b, &[dim]), power)
    }

    /// `|t|`, and the sign of what is left of `t`.
    fn residuals(&self, x: &Array) -> (Array, Array) {
        let t = self.a.matmul(x) - &self.b;
        let t = if self.one_sided { t.relu() } else { t };
        (t.abs(), t.sign())
    }
}

impl CurvedProblem for SumOfPowers {
    fn dim(&self) -> usize {
        self.a.dim(1)
    }
    fn value(&self, x: &Array) -> f64 {
        self.residuals(x).0.powf(self.power).sum_all().item()
    }
    fn value_and_grad(&self, x: &Array) -> (f64, Array) {
        let (size, sign) = self.residuals(x);
        let slope = size.powf(self.power - 1.0) * sign * self.power;
        (size.powf(self.power).sum_all().item(), self.a.t().matmul(&slope))
    }
    fn approximations(&self) -> &'static [Approximation] {
        &[Approximation::Exact]
    }
    fn curvature(&self, x: &Array, approximation: Approximation) -> Option<Curvature<'_>> {
        let p = self.power;
        (approximation == Approximation::Exact).then(|| {
            let (size, sign) = self.residuals(x);
            // Where nothing is left, the square of a kinked power is flat; for p = 2 two-sided it is not.
            let active = if self.one_sided { sign.abs() } else { size.ones_like() };
            let weights = size.powf(p - 2.0) * active * (p * (p - 1.0));
            Curvature::Gram { rows: self.a.clone(), weights, ridge: 0.0 }
        })
    }
}
