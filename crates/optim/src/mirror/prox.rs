//! The simple part `h` of an objective, the set `X`, and their proximal steps in the Euclidean geometry.

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use super::MirrorError;

/// `h`: a convex function whose proximal step `prox_{s h}(v) = argmin_x s h(x) + ||x - v||^2 / 2` is known.
///
/// It enters a step whole, never through a subgradient.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Regularizer {
    /// `h = 0`.
    #[default]
    None,
    /// `h = weight ||x||_1`.
    L1 {
        /// `lambda`, at least 0.
        weight: f64,
    },
    /// `h = (weight / 2) ||x||_2^2`.
    SquaredL2 {
        /// `mu`, at least 0.
        weight: f64,
    },
    /// `h = l1 ||x||_1 + (l2 / 2) ||x||_2^2`.
    ElasticNet {
        /// Weight of the l1 norm, at least 0.
        l1: f64,
        /// Weight of the squared norm, at least 0.
        l2: f64,
    },
    /// `h = weight sum_b ||x_b||_2` over consecutive blocks of coordinates.
    GroupLasso {
        /// `lambda`, at least 0.
        weight: f64,
        /// Lengths of the blocks, which together are the dimension.
        blocks: Vec<usize>,
    },
    /// `h = weight ||X||_*`, the sum of the singular values of the coordinates as a matrix, row by row.
    Nuclear {
        /// `lambda`, at least 0.
        weight: f64,
        /// Rows of the matrix.
        rows: usize,
        /// Its columns.
        columns: usize,
    },
    /// `h = weight sum_i x_i ln x_i`, on the simplex.
    NegativeEntropy {
        /// `lambda`, at least 0.
        weight: f64,
    },
}

impl Regularizer {
    /// `h(x)`.
    pub fn value(&self, x: &[f64]) -> f64 {
        let l1 = || x.iter().map(|v| v.abs()).sum::<f64>();
        match self {
            Regularizer::None => 0.0,
            Regularizer::L1 { weight } => weight * l1(),
            Regularizer::SquaredL2 { weight } => 0.5 * weight * square(x),
            Regularizer::ElasticNet { l1: a, l2: b } => a * l1() + 0.5 * b * square(x),
            Regularizer::GroupLasso { weight, blocks } => {
                let mut rest = x;
                let norms = blocks.iter().map(|&n| {
                    let (block, after) = rest.split_at(n);
                    rest = after;
                    square(block).sqrt()
                });
                weight * norms.sum::<f64>()
            }
            Regularizer::Nuclear { weight, rows, columns } => {
                let matrix = Array::from_slice(x, &[*rows, *columns]);
                weight * matrix.svd().map_or(f64::NAN, |(_, s, _)| s.sum_all().item())
            }
            Regularizer::NegativeEntropy { weight } => {
                let term = |v: &f64| if *v > 0.0 { v * v.ln() } else { 0.0 };
                weight * x.iter().map(term).sum::<f64>()
            }
        }
    }

    /// Adds a subgradient at `x` to `out`: what methods without proximal steps use. At a kink of l1 or of a norm it is the one that is 0
    /// there.
    ///
    /// # Errors
    /// The nuclear norm and the entropy, for which it is not offered.
    pub fn add_subgradient(&self, x: &[f64], out: &mut [f64]) -> Result<(), MirrorError> {
        let (l1, l2) = match self {
            Regularizer::None => return Ok(()),
            Regularizer::L1 { weight } => (*weight, 0.0),
            Regularizer::SquaredL2 { weight } => (0.0, *weight),
            Regularizer::ElasticNet { l1, l2 } => (*l1, *l2),
            Regularizer::GroupLasso { weight, blocks } => {
                let mut start = 0;
                for &n in blocks {
                    let norm = square(&x[start..start + n]).sqrt();
                    for i in start..start + n {
                        out[i] += if norm > 0.0 { weight * x[i] / norm } else { 0.0 };
                    }
                    start += n;
                }
                return Ok(());
            }
            Regularizer::Nuclear { .. } | Regularizer::NegativeEntropy { .. } => {
                return Err(MirrorError::OutOfRange {
                    key: "regularizer".into(),
                    expected: "one with a subgradient: none, l1, squared-l2, elastic-net or group-lasso",
                });
            }
        };
        for (o, &v) in out.iter_mut().zip(x) {
            let sign = if v == 0.0 { 0.0 } else { v.signum() };
            *o += l1 * sign + l2 * v;
        }
        Ok(())
    }

    /// `v <- prox_{step h}(v)`, in the whole space.
    ///
    /// The entropy has no Euclidean closed form; [`Geometry`](super::Geometry) never lets it come here.
    pub(super) fn prox(&self, v: &mut [f64], step: f64) {
        match self {
            Regularizer::None | Regularizer::NegativeEntropy { .. } => {}
            Regularizer::L1 { weight } => soft(v, step * weight),
            Regularizer::SquaredL2 { weight } => divide(v, 1.0 + step * weight),
            Regularizer::ElasticNet { l1, l2 } => {
                soft(v, step * l1);
                divide(v, 1.0 + step * l2);
            }
            Regularizer::GroupLasso { weight, blocks } => {
                let mut rest = v;
                for &n in blocks {
                    let (block, after) = rest.split_at_mut(n);
                    shrink(block, step * weight);
                    rest = after;
                }
            }
            Regularizer::Nuclear { weight, rows, columns } => {
                let matrix = Array::from_slice(v, &[*rows, *columns]);
                v.copy_from_slice(&shrink_spectrum(&matrix, step * weight).to_vec::<f64>());
            }
        }
    }

    /// The strength of the squared norm in it, which makes `h` strongly convex.
    pub fn strong_convexity(&self) -> f64 {
        match self {
            Regularizer::SquaredL2 { weight } => *weight,
            Regularizer::ElasticNet { l2, .. } => *l2,
            _ => 0.0,
        }
    }

    pub(super) fn validate(&self, dimension: Option<usize>) -> Result<(), MirrorError> {
        let weight = |key: &str, value: f64| {
            not_negative(value).then_some(()).ok_or_else(|| MirrorError::OutOfRange {
                key: format!("regularizer.{key}"),
                expected: "a number of at least 0",
            })
        };
        match self {
            Regularizer::None => Ok(()),
            Regularizer::L1 { weight: w }
            | Regularizer::SquaredL2 { weight: w }
            | Regularizer::NegativeEntropy { weight: w } => weight("weight", *w),
            Regularizer::ElasticNet { l1, l2 } => {
                weight("l1", *l1)?;
                weight("l2", *l2)
            }
            Regularizer::GroupLasso { weight: w, blocks } => {
                weight("weight", *w)?;
                let sum = blocks.iter().sum::<usize>();
                if dimension.is_some_and(|d| d != sum) {
                    return Err(MirrorError::OutOfRange {
                        key: "regularizer.blocks".into(),
                        expected: "lengths that sum to the dimension",
                    });
                }
                Ok(())
            }
            Regularizer::Nuclear { weight: w, rows, columns } => {
                weight("weight", *w)?;
                if dimension.is_some_and(|d| d != rows * columns) {
                    return Err(MirrorError::OutOfRange {
                        key: "regularizer.rows".into(),
                        expected: "rows x columns that make the dimension",
                    });
                }
                Ok(())
            }
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Regularizer::None => "none",
            Regularizer::L1 { .. } => "l1",
            Regularizer::SquaredL2 { .. } => "squared-l2",
            Regularizer::ElasticNet { .. } => "elastic-net",
            Regularizer::GroupLasso { .. } => "group-lasso",
            Regularizer::Nuclear { .. } => "nuclear",
            Regularizer::NegativeEntropy { .. } => "negative-entropy",
        }
    }
}

/// `X`: where the iterates stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Domain {
    /// Everywhere.
    #[default]
    Whole,
    /// `low <= x_i <= high`.
    Box {
        /// Least value of a coordinate.
        low: f64,
        /// Greatest value of a coordinate.
        high: f64,
    },
    /// `||x||_2 <= radius`.
    Ball {
        /// Above 0.
        radius: f64,
    },
    /// `x_i >= 0`, `sum_i x_i = 1`.
    Simplex,
}

impl Domain {
    /// `v <- argmin_{x in X} ||x - v||_2`.
    pub fn project(&self, v: &mut [f64]) {
        match *self {
            Domain::Whole => {}
            Domain::Box { low, high } => {
                for x in v {
                    *x = x.clamp(low, high);
                }
            }
            Domain::Ball { radius } => {
                let norm = square(v).sqrt();
                if norm > radius {
                    scale_by(v, radius / norm);
                }
            }
            Domain::Simplex => onto_simplex(v),
        }
    }

    pub(super) fn validate(&self) -> Result<(), MirrorError> {
        let fail = |key: &str, expected| {
            Err(MirrorError::OutOfRange { key: format!("domain.{key}"), expected })
        };
        match *self {
            Domain::Box { low, high } if low.is_nan() || high.is_nan() || low > high => {
                fail("high", "a number of at least `low`")
            }
            Domain::Ball { radius } if !positive(radius) => fail("radius", "a number above 0"),
            _ => Ok(()),
        }
    }

    /// Whether `x` lies in it, up to rounding.
    pub fn contains(&self, x: &[f64]) -> bool {
        const SLACK: f64 = 1e-9;
        match *self {
            Domain::Whole => true,
            Domain::Box { low, high } => x.iter().all(|v| *v >= low - SLACK && *v <= high + SLACK),
            Domain::Ball { radius } => square(x).sqrt() <= radius * (1.0 + SLACK),
            Domain::Simplex => {
                x.iter().all(|v| *v >= 0.0) && (x.iter().sum::<f64>() - 1.0).abs() <= SLACK
            }
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Domain::Whole => "whole",
            Domain::Box { .. } => "box",
            Domain::Ball { .. } => "ball",
            Domain::Simplex => "simplex",
        }
    }
}

pub(super) fn positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

pub(super) fn not_negative(value: f64) -> bool {
    value >= 0.0 && value.is_finite()
}

/// `||v||_2^2`.
pub(super) fn square(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum()
}

/// Soft thresholding: every coordinate towards 0 by `threshold`.
pub(super) fn soft(v: &mut [f64], threshold: f64) {
    for x in v {
        *x = soft_one(*x, threshold);
    }
}

pub(super) fn soft_one(x: f64, threshold: f64) -> f64 {
    // Not `max`, which would hide NaN.
    if x > threshold {
        x - threshold
    } else if x < -threshold {
        x + threshold
    } else if x.is_nan() {
        x
    } else {
        0.0
    }
}

pub(super) fn scale_by(v: &mut [f64], factor: f64) {
    for x in v {
        *x *= factor;
    }
}

fn divide(v: &mut [f64], by: f64) {
    for x in v {
        *x /= by;
    }
}

/// Shortens a vector by `by`, at most to 0.
fn shrink(v: &mut [f64], by: f64) {
    let norm = square(v).sqrt();
    let factor = if norm <= by { 0.0 } else { 1.0 - by / norm };
    scale_by(v, factor);
}

/// A matrix with its singular values lowered by `by`, at most to 0. One that is not finite stays as it is, to be seen.
pub(super) fn shrink_spectrum(matrix: &Array, by: f64) -> Array {
    match matrix.svd() {
        Ok((u, s, vt)) => (u * (s - by).relu()).matmul(&vt),
        Err(_) => matrix.clone(),
    }
}

/// Euclidean projection onto the simplex by sorting (Held, Wolfe and Crowder, 1974).
fn onto_simplex(v: &mut [f64]) {
    let mut sorted = v.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (k, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (k + 1) as f64;
        if *value <= candidate {
            break;
        }
        shift = candidate;
    }
    for x in v.iter_mut().filter(|x| !x.is_nan()) {
        *x = (*x - shift).max(0.0);
    }
}
