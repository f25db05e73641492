//! Small problems with known answers.

use lisse_array::{Array, DType, Stream};

use super::AffineSet;
use crate::bilevel::vector::dot;
use crate::bilevel::{Batch, Bilevel, BilevelError, Closures, Gradient, Wrt};

/// `g = 1/2 (y - x)^2`, `c = y - 1 <= 0` and `f = 1/2 y^2`, all scalars.
pub fn scalar_box() -> Closures {
    Closures::new(
        (1, 1),
        |_, y, _| y.square().sum_all() * 0.5,
        |x, y, _| (y - x).square().sum_all() * 0.5,
    )
    .subject_to(vec![false], |_, y| y - 1.0)
}

/// Many lower solutions under one coupling constraint: `x` and both halves of `y` in `R^n`,
///
/// ```text
/// f = 1/2 |x - y2|^2 + 1/2 |y1 - 1|^2     g = 1/2 |y1|^2 - x.y1 + 1.y2     under 1.x + 1.y1 + 1.y2 = 0
/// ```
///
/// whose solution is `x = -0.3, y1 = 0.7, y2 = -0.4` in every entry, with the multiplier -1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ManySolutions {
    n: usize,
    /// Factor of the constraint.
    scale: f64,
}

/// The problem with `n` entries, its constraint times `scale` (`1 / sqrt(3 n)` makes its gradient a unit vector), and its `C`.
///
/// # Errors
/// None for `n > 0`.
pub fn many_solutions(
    n: usize,
    scale: f64,
) -> Result<(impl Bilevel + 'static, AffineSet), BilevelError> {
    Ok((ManySolutions { n, scale }, AffineSet::new(vec![scale; 3 * n], vec![0.0])?))
}

impl Bilevel for ManySolutions {
    fn dims(&self) -> (usize, usize) {
        (self.n, 2 * self.n)
    }

    fn upper(&self, x: &[f64], y: &[f64], _: &Batch, wrt: Wrt) -> Gradient {
        let (y1, y2) = y.split_at(self.n);
        let gap: Vec<f64> = x.iter().zip(y2).map(|(x, y)| x - y).collect();
        let off: Vec<f64> = y1.iter().map(|y| y - 1.0).collect();
        let value = 0.5 * (dot(&gap, &gap) + dot(&off, &off));
        let slope = || off.iter().copied().chain(gap.iter().map(|g| -g)).collect();
        let gy = if wrt.y() { slope() } else { Vec::new() };
        Gradient { value, y: gy, x: if wrt.x() { gap } else { Vec::new() } }
    }

    fn lower(&self, x: &[f64], y: &[f64], _: &Batch, wrt: Wrt) -> Gradient {
        let (y1, y2) = y.split_at(self.n);
        let value = 0.5 * dot(y1, y1) - dot(x, y1) + y2.iter().sum::<f64>();
        let mut out = Gradient { value, ..Gradient::default() };
        if wrt.x() {
            out.x = y1.iter().map(|y| -y).collect();
        }
        if wrt.y() {
            out.y = y1.iter().zip(x).map(|(y, x)| y - x).collect();
            out.y.resize(2 * self.n, 1.0);
        }
        out
    }

    fn hessian_product(&self, _: &[f64], _: &[f64], v: &[f64], _: &Batch) -> Vec<f64> {
        let mut out = v[..self.n].to_vec();
        out.resize(2 * self.n, 0.0);
        out
    }

    fn cross_product(&self, _: &[f64], _: &[f64], v: &[f64], _: &Batch) -> Vec<f64> {
        v[..self.n].iter().map(|v| -v).collect()
    }

    fn constraints(&self) -> usize {
        1
    }

    fn constraint(&self, x: &[f64], y: &[f64]) -> Vec<f64> {
        vec![self.scale * (x.iter().sum::<f64>() + y.iter().sum::<f64>())]
    }

    fn is_equality(&self, _: usize) -> bool {
        true
    }

    fn constraint_products(&self, x: &[f64], y: &[f64], weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let entry = self.scale * weights[0];
        (vec![entry; x.len()], vec![entry; y.len()])
    }
}

/// One lower solution, a nonconvex upper objective and random couplings: `x, y` in `R^n`,
///
/// ```text
/// f = sin(c.x + d.y) + ln(|x + y|^2 + 1)     g = 1/2 |x - y|^2  under  A y + H x = 0,    upper constraint B x = 0
/// ```
///
/// with `m` rows each of standard normal matrices divided by `sqrt n`. Returns the problem and its `C`, which holds `B x = 0` too.
///
/// # Errors
/// None for `0 < m < n / 2`.
pub fn coupled_sine(
    n: usize,
    m: usize,
    stream: &Stream,
) -> Result<(Closures, AffineSet), BilevelError> {
    let shrink = 1.0 / (n as f64).sqrt();
    let matrix =
        |name: &str, rows: usize| stream.child(name).normal(&[rows, n], DType::F64) * shrink;
    let (a, h, b) = (matrix("A", m), matrix("H", m), matrix("B", m / 2));
    let vector = |name: &str| stream.child(name).normal(&[n], DType::F64) * shrink;
    let (c, d) = (vector("c"), vector("d"));
    let coupled = Array::cat(&[&h, &a], 1).to_vec::<f64>();
    let upper_only = Array::cat(&[&b, &b.zeros_like()], 1).to_vec::<f64>();
    let rows = [coupled, upper_only].concat();
    let set = AffineSet::new(rows, vec![0.0; m + m / 2])?;
    let problem = Closures::new(
        (n, n),
        move |x, y, _| {
            let wave = ((&c * x).sum_all() + (&d * y).sum_all()).sin();
            wave + ((x + y).square().sum_all() + 1.0).ln()
        },
        |x, y, _| (x - y).square().sum_all() * 0.5,
    );
    let problem = problem.subject_to(vec![true; m], move |x, y| a.matmul(y) + h.matmul(x));
    Ok((problem, set))
}
