//! Sets with a cheap projection, and their active constraints.

use serde::{Deserialize, Serialize};

use super::vector::{dot, norm, scale};
use super::{BilevelError, vector};

/// A closed convex set of vectors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    /// Everything.
    #[default]
    Whole,
    /// `low <= v <= high`, entry by entry; ends may be infinite. Made by [`Set::boxed`].
    Box {
        /// Lower ends.
        low: Vec<f64>,
        /// Upper ends.
        high: Vec<f64>,
    },
    /// `|v| <= radius`
    Ball {
        /// Positive.
        radius: f64,
    },
    /// `v >= 0`
    Nonnegative,
    /// `v >= 0`, sum `total`.
    Simplex {
        /// Positive.
        total: f64,
    },
}

/// An active constraint `h(y) <= 0`.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// Gradient of `h`.
    pub gradient: Vec<f64>,
    /// The Hessian of `h` is this times the identity.
    pub curvature: f64,
    /// Whether it is an equality: always active, its multiplier of any sign.
    pub equality: bool,
    /// The same number for the same constraint at another point.
    pub id: usize,
}

impl Set {
    /// A box, refusing empty ones.
    ///
    /// # Errors
    /// Ends of different length, NaN, a lower end above its upper end.
    pub fn boxed(low: Vec<f64>, high: Vec<f64>) -> Result<Set, BilevelError> {
        let set = Set::Box { low, high };
        if let Set::Box { low, .. } = &set {
            set.check("the box", low.len())?;
        }
        Ok(set)
    }

    /// `[low, high]^n`.
    ///
    /// # Errors
    /// As [`boxed`](Set::boxed).
    pub fn cube(n: usize, low: f64, high: f64) -> Result<Set, BilevelError> {
        Set::boxed(vec![low; n], vec![high; n])
    }

    /// Refuses a set that is empty or not one of vectors of length `n`.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, what: &'static str, n: usize) -> Result<(), BilevelError> {
        let positive = |value: f64, name| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                let expected = "a number above 0; a set without inner points is empty or a point";
                Err(BilevelError::Number { what: name, value, expected })
            }
        };
        match self {
            Set::Whole | Set::Nonnegative => Ok(()),
            Set::Ball { radius } => positive(*radius, "the radius of a ball"),
            Set::Simplex { total } => positive(*total, "the total of a simplex"),
            Set::Box { low, high } => {
                if low.len() != n || high.len() != n {
                    let found = if low.len() == n { high.len() } else { low.len() };
                    return Err(BilevelError::Length { what, found, expected: n });
                }
                let bad = low.iter().zip(high).position(|(l, h)| l.is_nan() || h.is_nan() || l > h);
                bad.map_or(Ok(()), |i| {
                    let reason = format!(
                        "entry {i} would have to be at least {} and at most {}",
                        low[i], high[i]
                    );
                    Err(BilevelError::Empty { what, reason })
                })
            }
        }
    }

    /// Whether it is all of the space.
    pub fn is_whole(&self) -> bool {
        matches!(self, Set::Whole)
    }

    /// Replaces `v` by the nearest point of the set.
    pub fn project(&self, v: &mut [f64]) {
        match self {
            Set::Whole => {}
            Set::Box { low, high } => {
                for (v, (l, h)) in v.iter_mut().zip(low.iter().zip(high)) {
                    *v = v.max(*l).min(*h);
                }
            }
            Set::Ball { radius } => {
                let length = norm(v);
                if length > *radius {
                    scale(v, radius / length);
                }
            }
            Set::Nonnegative => {
                for v in v {
                    *v = v.max(0.0);
                }
            }
            Set::Simplex { total } => project_simplex(v, *total),
        }
    }

    /// A projected copy.
    pub fn nearest(&self, v: &[f64]) -> Vec<f64> {
        let mut point = v.to_vec();
        self.project(&mut point);
        point
    }

    /// The constraints that hold with equality at `y`, up to `tolerance`.
    pub fn active(&self, y: &[f64], tolerance: f64) -> Vec<Active> {
        let n = y.len();
        let unit = |i: usize, sign: f64, id: usize| {
            let mut gradient = vec![0.0; n];
            gradient[i] = sign;
            Active { gradient, curvature: 0.0, equality: false, id }
        };
        let low = |i: usize| unit(i, -1.0, i);
        match self {
            Set::Whole => Vec::new(),
            Set::Box { low: lower, high } => {
                let below = (0..n).filter(|&i| y[i] - lower[i] <= tolerance).map(low);
                let above = (0..n).filter(|&i| high[i] - y[i] <= tolerance);
                below.chain(above.map(|i| unit(i, 1.0, n + i))).collect()
            }
            Set::Ball { radius } => {
                let near = radius - norm(y) <= tolerance;
                // h = (|y|^2 - radius^2) / 2
                let active =
                    Active { gradient: y.to_vec(), curvature: 1.0, equality: false, id: 0 };
                near.then_some(active).into_iter().collect()
            }
            Set::Nonnegative => (0..n).filter(|&i| y[i] <= tolerance).map(low).collect(),
            Set::Simplex { .. } => {
                let sum = Active { gradient: vec![1.0; n], curvature: 0.0, equality: true, id: n };
                let zeros = (0..n).filter(|&i| y[i] <= tolerance).map(low);
                std::iter::once(sum).chain(zeros).collect()
            }
        }
    }

    /// `|v - project(v - step gradient)| / step`: 0 at a stationary point.
    pub fn projected_gradient(&self, v: &[f64], gradient: &[f64], step: f64) -> f64 {
        let mut moved = v.to_vec();
        vector::axpy(&mut moved, -step, gradient);
        self.project(&mut moved);
        vector::distance(v, &moved) / step
    }
}

/// By sorting: the largest threshold whose positive part sums to `total`.
fn project_simplex(v: &mut [f64], total: f64) {
    let mut sorted = v.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (i, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - total) / (i + 1) as f64;
        if *value > candidate {
            shift = candidate;
        }
    }
    for v in v {
        *v = (*v - shift).max(0.0);
    }
}

/// Multipliers of active constraints by least squares: `argmin |gradient + sum lam_i h_i|`, through the normal equations'
/// pseudo-inverse, and the rank of the active gradients.
pub(crate) fn multipliers(active: &[Active], gradient: &[f64]) -> (Vec<f64>, usize) {
    use lisse_array::Array;
    let m = active.len();
    if m == 0 {
        return (Vec::new(), 0);
    }
    let gram: Vec<f64> = active
        .iter()
        .flat_map(|a| active.iter().map(move |b| dot(&a.gradient, &b.gradient)))
        .collect();
    let right: Vec<f64> = active.iter().map(|a| -dot(&a.gradient, gradient)).collect();
    let gram = Array::from_vec(gram, &[m, m]);
    let Ok((_, s, _)) = gram.svd() else {
        return (vec![f64::NAN; m], 0);
    };
    let s = s.to_vec::<f64>();
    let rank = s.iter().filter(|v| **v > 1e-12 * s[0]).count();
    let solution = gram.pinv(Some(1e-12)).map(|p| p.matmul(&Array::from_vec(right, &[m])));
    (solution.map_or_else(|_| vec![f64::NAN; m], |v| v.to_vec()), rank)
}
