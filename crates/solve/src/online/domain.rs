//! The sets that points are played from.

use lisse_optim::mirror;
use serde::{Deserialize, Serialize};

use super::{OnlineError, dot, out_of_range, positive};

/// A bounded convex set `X`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Domain {
    /// `||x||_2 <= radius`.
    Ball {
        /// Above 0.
        radius: f64,
    },
    /// `low <= x_i <= high`.
    Box {
        /// Least value of a coordinate.
        low: f64,
        /// Greatest value of a coordinate, above `low`.
        high: f64,
    },
    /// `x_i >= 0`, `sum_i x_i = 1`.
    Simplex,
    /// `||x||_1 <= radius`.
    L1Ball {
        /// Above 0.
        radius: f64,
    },
    /// Blocks of consecutive coordinates, each in a set of its own.
    Product {
        /// The blocks in order.
        parts: Vec<Part>,
    },
}

/// A block of a [`Domain::Product`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Coordinates of the block.
    pub size: usize,
    /// Its set.
    pub domain: Domain,
}

impl Domain {
    /// A product of blocks, given by size and set.
    pub fn product(parts: impl IntoIterator<Item = (usize, Domain)>) -> Domain {
        let parts = parts.into_iter().map(|(size, domain)| Part { size, domain }).collect();
        Domain::Product { parts }
    }

    /// Checks the numbers, and that vectors with `dim` entries fit.
    pub fn validate(&self, dim: usize) -> Result<(), OnlineError> {
        if dim == 0 {
            return Err(out_of_range("dim", "at least 1"));
        }
        match self {
            Domain::Ball { radius } | Domain::L1Ball { radius } => {
                positive("domain.radius", *radius)
            }
            Domain::Box { low, high } => {
                let good = low.is_finite() && high.is_finite() && low < high;
                if good { Ok(()) } else { Err(out_of_range("domain.high", "a number above `low`")) }
            }
            Domain::Simplex => Ok(()),
            Domain::Product { parts } => {
                if parts.iter().map(|part| part.size).sum::<usize>() != dim {
                    let expected = format!("blocks whose sizes sum to the {dim} coordinates");
                    return Err(out_of_range("domain.parts", &expected));
                }
                parts.iter().try_for_each(|part| part.domain.validate(part.size))
            }
        }
    }

    /// `v <- argmin_{x in X} ||x - v||_2`, exactly.
    pub fn project(&self, v: &mut [f64]) {
        match self {
            Domain::Ball { radius } => mirror::Domain::Ball { radius: *radius }.project(v),
            Domain::Box { low, high } => {
                mirror::Domain::Box { low: *low, high: *high }.project(v);
            }
            Domain::Simplex => mirror::Domain::Simplex.project(v),
            Domain::L1Ball { radius } => onto_l1_ball(v, *radius),
            Domain::Product { parts } => {
                for (part, block) in blocks_mut(parts, v) {
                    part.project(block);
                }
            }
        }
    }

    /// Where learners begin: the centre of a ball, the point of a box nearest to 0, the even distribution on a simplex.
    pub fn start(&self, dim: usize) -> Vec<f64> {
        match self {
            Domain::Ball { .. } | Domain::L1Ball { .. } => vec![0.0; dim],
            Domain::Box { low, high } => vec![0f64.clamp(*low, *high); dim],
            Domain::Simplex => vec![1.0 / dim as f64; dim],
            Domain::Product { parts } => {
                parts.iter().flat_map(|part| part.domain.start(part.size)).collect()
            }
        }
    }

    /// The largest Euclidean distance of two points of it.
    pub fn diameter(&self, dim: usize) -> f64 {
        match self {
            Domain::Ball { radius } | Domain::L1Ball { radius } => 2.0 * radius,
            Domain::Box { low, high } => (high - low) * (dim as f64).sqrt(),
            Domain::Simplex => {
                if dim > 1 {
                    2f64.sqrt()
                } else {
                    0.0
                }
            }
            Domain::Product { parts } => {
                let squares = parts.iter().map(|part| part.domain.diameter(part.size).powi(2));
                squares.sum::<f64>().sqrt()
            }
        }
    }

    /// The largest Euclidean norm of a point of it.
    pub fn radius(&self, dim: usize) -> f64 {
        match self {
            Domain::Ball { radius } | Domain::L1Ball { radius } => *radius,
            Domain::Box { low, high } => low.abs().max(high.abs()) * (dim as f64).sqrt(),
            Domain::Simplex => 1.0,
            Domain::Product { parts } => {
                let squares = parts.iter().map(|part| part.domain.radius(part.size).powi(2));
                squares.sum::<f64>().sqrt()
            }
        }
    }

    /// Whether `x` lies in it, up to `slack` in every constraint.
    pub fn contains(&self, x: &[f64], slack: f64) -> bool {
        match self {
            Domain::Ball { radius } => dot(x, x).sqrt() <= radius + slack,
            Domain::Box { low, high } => x.iter().all(|v| (low - slack..=high + slack).contains(v)),
            Domain::Simplex => {
                x.iter().all(|v| *v >= -slack) && (x.iter().sum::<f64>() - 1.0).abs() <= slack
            }
            Domain::L1Ball { radius } => x.iter().map(|v| v.abs()).sum::<f64>() <= radius + slack,
            Domain::Product { parts } => {
                let mut rest = x;
                parts.iter().all(|part| {
                    let (block, after) = rest.split_at(part.size);
                    rest = after;
                    part.domain.contains(block, slack)
                })
            }
        }
    }

    /// `min_{x in X} <g, x>`: what certifies a minimum, and the best fixed answer to linear losses.
    pub fn least(&self, g: &[f64]) -> f64 {
        match self {
            Domain::Ball { radius } => -radius * dot(g, g).sqrt(),
            Domain::Box { low, high } => g.iter().map(|&v| (v * low).min(v * high)).sum(),
            Domain::Simplex => g.iter().copied().fold(f64::INFINITY, f64::min),
            Domain::L1Ball { radius } => -radius * g.iter().map(|v| v.abs()).fold(0.0, f64::max),
            Domain::Product { parts } => {
                let mut rest = g;
                let block = |part: &Part| {
                    let (block, after) = rest.split_at(part.size);
                    rest = after;
                    part.domain.least(block)
                };
                parts.iter().map(block).sum()
            }
        }
    }

    /// Whether it is one simplex, where the entropy map lives.
    pub(super) fn is_simplex(&self) -> bool {
        matches!(self, Domain::Simplex)
    }

    /// Whether it stays where it is under every rotation and sign change about 0.
    pub(super) fn is_round(&self) -> bool {
        matches!(self, Domain::Ball { .. })
    }

    /// Whether a step with an l1 penalty and then the projection is the step with both.
    pub(super) fn splits_l1(&self) -> bool {
        match self {
            Domain::Ball { .. } | Domain::Box { .. } | Domain::L1Ball { .. } => true,
            Domain::Simplex => false,
            Domain::Product { parts } => parts.iter().all(|part| part.domain.splits_l1()),
        }
    }
}

/// The blocks of a vector with their sets.
fn blocks_mut<'a>(
    parts: &'a [Part],
    mut rest: &'a mut [f64],
) -> impl Iterator<Item = (&'a Domain, &'a mut [f64])> {
    parts.iter().map(move |part| {
        let (block, after) = std::mem::take(&mut rest).split_at_mut(part.size);
        rest = after;
        (&part.domain, block)
    })
}

/// Onto `||x||_1 <= radius`: the absolute values go onto a simplex (Duchi et al., 2008).
fn onto_l1_ball(v: &mut [f64], radius: f64) {
    if v.iter().map(|x| x.abs()).sum::<f64>() <= radius {
        return;
    }
    let mut sizes: Vec<f64> = v.iter().map(|x| x.abs() / radius).collect();
    mirror::Domain::Simplex.project(&mut sizes);
    for (x, size) in v.iter_mut().zip(sizes) {
        *x = (size * radius).copysign(*x);
    }
}
