//! Support vector machines whose examples have learned weights.

use lisse_array::Array;

use super::JointSet;
use crate::bilevel::linear_models::{Examples, sigmoid};
use crate::bilevel::vector::{axpy, dot, norm, sub};
use crate::bilevel::{Batch, Bilevel, BilevelError, Gradient, LowerSolution, Oracle, Set, Wrt};

/// `x` are the logarithms of the examples' weights, `y = (w, b, xi)`:
///
/// ```text
/// g = 1/2 |w|^2 + 1/2 sum_i e^{x_i} xi_i^2      under  1 - xi_i - l_i (w.a_i + b) <= 0
/// f = mean over validation of leaky(2 sigmoid(-5 l (w.a + b) / |w|) - 1),    leaky(u) = max(u, u / 100)
/// ```
///
/// Rows of the data end with a one for `b`.
#[derive(Clone, Debug)]
pub struct SvmProblem {
    train: Examples,
    validation: Examples,
    logs: Set,
}

impl SvmProblem {
    /// From labels -1 and 1; logarithms in `[low, high]`.
    ///
    /// # Errors
    /// Other labels, different widths, `low > high`.
    pub fn new(
        train: Examples,
        validation: Examples,
        (low, high): (f64, f64),
    ) -> Result<SvmProblem, BilevelError> {
        for &value in train.labels.iter().chain(&validation.labels) {
            if value.abs() != 1.0 {
                return Err(BilevelError::Number { what: "a label", value, expected: "-1 or 1" });
            }
        }
        if train.width != validation.width {
            let what = "a row of the validation data";
            return Err(BilevelError::Length {
                what,
                found: validation.width,
                expected: train.width,
            });
        }
        let logs = Set::cube(train.len(), low, high)?;
        Ok(SvmProblem { train, validation, logs })
    }

    /// Its `C`.
    pub fn set(&self) -> HingeSet {
        HingeSet { rows: self.train.clone() }
    }

    /// The training examples.
    pub fn train(&self) -> &Examples {
        &self.train
    }

    /// The margins `l (w.a + b)` of `data`.
    pub fn margins(data: &Examples, v: &[f64]) -> Vec<f64> {
        (0..data.len()).map(|i| data.labels[i] * dot(data.row(i), &v[..data.width])).collect()
    }

    /// A start: `w` of ones, no offset, slacks that satisfy all constraints.
    pub fn first_y(&self) -> Vec<f64> {
        let mut y = vec![1.0; self.train.width];
        y[self.train.width - 1] = 0.0;
        let slacks: Vec<f64> =
            Self::margins(&self.train, &y).iter().map(|m| (1.0 - m).max(0.0)).collect();
        y.extend(slacks);
        y
    }
}

/// Minimises `1/2 sum_j d_j (v_j - o_j)^2 + 1/2 sum_i s_i max(0, r_i - l_i a_i.v)^2` by Newton steps on the active rows with backtracking,
/// to a gradient of `1e-12` relative to its size at `v = o`.
fn hinge_newton(
    rows: &Examples,
    weights: &dyn Fn(usize) -> f64,
    limits: &dyn Fn(usize) -> f64,
    (diagonal, origin): (&[f64], &[f64]),
    start: &[f64],
) -> (Vec<f64>, usize) {
    let n = origin.len();
    let evaluate = |v: &[f64]| {
        let (mut value, mut gradient) = (0.0, vec![0.0; n]);
        for j in 0..n {
            gradient[j] = diagonal[j] * (v[j] - origin[j]);
            value += 0.5 * gradient[j] * (v[j] - origin[j]);
        }
        let mut active = Vec::new();
        for i in 0..rows.len() {
            let excess = limits(i) - rows.labels[i] * dot(rows.row(i), v);
            if excess > 0.0 {
                let s = weights(i);
                value += 0.5 * s * excess * excess;
                axpy(&mut gradient, -s * excess * rows.labels[i], rows.row(i));
                active.push((i, s));
            }
        }
        (value, gradient, active)
    };
    let mut v = start.to_vec();
    let (mut value, mut gradient, mut active) = evaluate(&v);
    let scale = 1.0 + norm(&gradient);
    let mut iterations = 0;
    while norm(&gradient) > 1e-12 * scale && iterations < 100 {
        iterations += 1;
        let mut hessian = vec![0.0; n * n];
        for j in 0..n {
            // A free offset alone leaves the matrix singular when no row is active.
            hessian[j * n + j] = diagonal[j] + 1e-13;
        }
        for (i, s) in &active {
            let row = rows.row(*i);
            for (j, r) in row.iter().enumerate() {
                axpy(&mut hessian[j * n..(j + 1) * n], s * r, row);
            }
        }
        let right = Array::from_vec(gradient.clone(), &[n]);
        let Ok(step) = Array::from_vec(hessian, &[n, n]).solve(&right) else { break };
        let step = step.to_vec::<f64>();
        let slope = dot(&gradient, &step);
        let mut length = 1.0;
        loop {
            let mut next = v.clone();
            axpy(&mut next, -length, &step);
            let found = evaluate(&next);
            if found.0 <= value - 1e-4 * length * slope + 1e-14 * value.abs() || length < 1e-10 {
                v = next;
                (value, gradient, active) = found;
                break;
            }
            length *= 0.5;
        }
    }
    (v, iterations)
}

impl Bilevel for SvmProblem {
    fn dims(&self) -> (usize, usize) {
        (self.train.len(), self.train.width + self.train.len())
    }

    fn upper(&self, x: &[f64], y: &[f64], _: &Batch, wrt: Wrt) -> Gradient {
        let data = &self.validation;
        let d = data.width;
        let (v, w) = (&y[..d], &y[..d - 1]);
        let length = norm(w).max(1e-12);
        let share = 1.0 / data.len() as f64;
        let mut out = Gradient {
            value: 0.0,
            x: if wrt.x() { vec![0.0; x.len()] } else { Vec::new() },
            y: if wrt.y() { vec![0.0; y.len()] } else { Vec::new() },
        };
        for i in 0..data.len() {
            let margin = data.labels[i] * dot(data.row(i), v) / length;
            let s = sigmoid(-5.0 * margin);
            let u = 2.0 * s - 1.0;
            let leak = if u > 0.0 { 1.0 } else { 0.01 };
            out.value += leak * u * share;
            if wrt.y() {
                let slope = -10.0 * leak * s * (1.0 - s) * share;
                axpy(&mut out.y[..d], slope * data.labels[i] / length, data.row(i));
                axpy(&mut out.y[..d - 1], -slope * margin / (length * length), w);
            }
        }
        out
    }

    fn lower(&self, x: &[f64], y: &[f64], _: &Batch, wrt: Wrt) -> Gradient {
        let d = self.train.width;
        let (w, slacks) = (&y[..d - 1], &y[d..]);
        let weighted: Vec<f64> = x.iter().zip(slacks).map(|(x, s)| x.exp() * s).collect();
        let value = 0.5 * dot(w, w) + 0.5 * dot(&weighted, slacks);
        let mut out = Gradient { value, ..Gradient::default() };
        if wrt.x() {
            out.x = weighted.iter().zip(slacks).map(|(w, s)| 0.5 * w * s).collect();
        }
        if wrt.y() {
            out.y = w.to_vec();
            out.y.push(0.0);
            out.y.extend(&weighted);
        }
        out
    }

    fn hessian_product(&self, x: &[f64], _: &[f64], v: &[f64], _: &Batch) -> Vec<f64> {
        let d = self.train.width;
        let mut out = v.to_vec();
        out[d - 1] = 0.0;
        out[d..].iter_mut().zip(x).for_each(|(o, x)| *o *= x.exp());
        out
    }

    fn cross_product(&self, x: &[f64], y: &[f64], v: &[f64], _: &Batch) -> Vec<f64> {
        let d = self.train.width;
        x.iter().zip(y[d..].iter().zip(&v[d..])).map(|(x, (s, v))| x.exp() * s * v).collect()
    }

    fn set_x(&self) -> &Set {
        &self.logs
    }

    fn constraints(&self) -> usize {
        self.train.len()
    }

    fn constraint(&self, _: &[f64], y: &[f64]) -> Vec<f64> {
        let d = self.train.width;
        let margins = Self::margins(&self.train, y);
        margins.iter().zip(&y[d..]).map(|(m, s)| 1.0 - s - m).collect()
    }

    fn constraint_products(&self, x: &[f64], y: &[f64], weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let d = self.train.width;
        let mut out = vec![0.0; y.len()];
        for (i, w) in weights.iter().enumerate() {
            if *w != 0.0 {
                axpy(&mut out[..d], -w * self.train.labels[i], self.train.row(i));
                out[d + i] = -w;
            }
        }
        (vec![0.0; x.len()], out)
    }

    fn solve_lower(&self, x: &[f64]) -> Option<LowerSolution> {
        let d = self.train.width;
        let mut diagonal = vec![1.0; d];
        diagonal[d - 1] = 0.0;
        let zero = vec![0.0; d];
        let weights: Vec<f64> = x.iter().map(|x| x.exp()).collect();
        let weight = |i: usize| weights[i];
        let (mut y, _) = hinge_newton(&self.train, &weight, &|_| 1.0, (&diagonal, &zero), &zero);
        let slacks: Vec<f64> =
            Self::margins(&self.train, &y).iter().map(|m| (1.0 - m).max(0.0)).collect();
        let multipliers = slacks.iter().zip(&weights).map(|(s, w)| s * w).collect();
        y.extend(slacks);
        Some(LowerSolution { y, multipliers })
    }
}

/// `{(w, b, xi) : 1 - xi_i - l_i (w.a_i + b) <= 0}` and `X` for `x`: slacks are eliminated, Newton steps find `(w, b)`.
#[derive(Clone, Debug)]
pub struct HingeSet {
    rows: Examples,
}

impl HingeSet {
    /// From rows that end with a one, and labels -1 and 1.
    pub fn new(rows: Examples) -> HingeSet {
        HingeSet { rows }
    }

    /// Replaces `(w, b, xi)` by the nearest point; returns the Newton steps.
    pub fn project_y(&self, y: &mut [f64]) -> usize {
        let d = self.rows.width;
        let (origin, slacks) = y.split_at(d);
        let ones = vec![1.0; d];
        let limit = |i: usize| 1.0 - slacks[i];
        let (v, steps) = hinge_newton(&self.rows, &|_| 1.0, &limit, (&ones, origin), origin);
        let margins = SvmProblem::margins(&self.rows, &v);
        let lifted: Vec<f64> =
            slacks.iter().zip(&margins).map(|(s, m)| s + (1.0 - s - m).max(0.0)).collect();
        y[..d].copy_from_slice(&v);
        y[d..].copy_from_slice(&lifted);
        steps
    }

    /// Largest entry of the residual of the optimality conditions of projecting `from` to `to`.
    pub fn residual(&self, from: &[f64], to: &[f64]) -> f64 {
        let d = self.rows.width;
        // The multiplier of row i is the lift of its slack.
        let lifts = sub(&to[d..], &from[d..]);
        let margins = SvmProblem::margins(&self.rows, to);
        let mut stationary = sub(&to[..d], &from[..d]);
        let mut worst = 0.0f64;
        for (i, (lift, margin)) in lifts.iter().zip(&margins).enumerate() {
            axpy(&mut stationary, -lift * self.rows.labels[i], self.rows.row(i));
            let c = 1.0 - to[d + i] - margin;
            worst = worst.max(c).max(-lift).max((lift * c).abs());
        }
        stationary.iter().fold(worst, |w, s| w.max(s.abs()))
    }
}

impl JointSet for HingeSet {
    fn project(
        &self,
        x: &mut [f64],
        y: &mut [f64],
        oracle: &mut Oracle<'_>,
    ) -> Result<usize, BilevelError> {
        oracle.project_x(x);
        oracle.counts.projections += 1;
        Ok(self.project_y(y))
    }
}
