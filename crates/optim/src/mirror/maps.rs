//! Mirror maps.

use serde::{Deserialize, Serialize};

use super::MirrorError;
use super::prox::{positive, square};

/// `psi`: the strongly (or uniformly) convex function that gives the geometry of a step, through its Bregman divergence
/// `D(x, y) = psi(x) - psi(y) - <grad psi(y), x - y>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Mirror {
    /// `psi = ||x||_2^2 / 2`: gradient steps.
    #[default]
    Euclidean,
    /// `psi = sum_i x_i ln x_i` on the simplex, strongly convex in the l1 norm: multiplicative updates.
    Entropy,
    /// `psi = ||x||_q^2 / (2 (q - 1))`, strongly convex in the q-norm.
    PNorm {
        /// Above 1, at most 2.
        q: f64,
    },
    /// `psi = sum_i b_i x_i^2 / 2`.
    Diagonal {
        /// One number above 0 per coordinate.
        b: Vec<f64>,
    },
    /// `psi = (2^{q-2} / q) ||x||_2^q` with `q = p / (p - 1)`, for noise of which only the `p`-th moment is finite:
    /// `D(x, y) >= ||x - y||^q / q`. At `p = 2` it is Euclidean.
    Power {
        /// The moment: above 1, at most 2.
        p: f64,
    },
}

/// `p / (p - 1)`.
fn conjugate(p: f64) -> f64 {
    p / (p - 1.0)
}

/// `||x||_q`, scaled so that neither large nor small entries overflow on the way.
fn norm(x: &[f64], q: f64) -> f64 {
    let top = x.iter().fold(0.0_f64, |top, v| top.max(v.abs()));
    if top == 0.0 || !top.is_finite() {
        return x.iter().map(|v| v.abs()).sum();
    }
    top * x.iter().map(|v| (v.abs() / top).powf(q)).sum::<f64>().powf(1.0 / q)
}

/// `x_i -> sign(x_i) |x_i|^{q-1} ||x||_q^{2-q} factor`; 0 at 0.
fn duality_map(x: &[f64], q: f64, factor: f64) -> Vec<f64> {
    let length = norm(x, q);
    if length == 0.0 {
        return vec![0.0; x.len()];
    }
    let one = |v: &f64| (v.abs() / length).powf(q - 1.0).copysign(*v) * length * factor;
    x.iter().map(one).collect()
}

impl Mirror {
    /// `psi(x)`.
    pub fn value(&self, x: &[f64]) -> f64 {
        match self {
            Mirror::Euclidean => 0.5 * square(x),
            Mirror::Entropy => {
                x.iter().map(|v| if *v > 0.0 { v * v.ln() } else { 0.0 }).sum::<f64>()
            }
            Mirror::PNorm { q } => norm(x, *q).powi(2) / (2.0 * (q - 1.0)),
            Mirror::Diagonal { b } => 0.5 * x.iter().zip(b).map(|(v, b)| b * v * v).sum::<f64>(),
            Mirror::Power { p } => {
                let q = conjugate(*p);
                (q - 2.0).exp2() / q * square(x).sqrt().powf(q)
            }
        }
    }

    /// `grad psi(x)`. The entropy's is -infinity where `x` is 0.
    pub fn gradient(&self, x: &[f64]) -> Vec<f64> {
        match self {
            Mirror::Euclidean => x.to_vec(),
            Mirror::Entropy => x.iter().map(|v| v.ln() + 1.0).collect(),
            Mirror::PNorm { q } => duality_map(x, *q, 1.0 / (q - 1.0)),
            Mirror::Diagonal { b } => x.iter().zip(b).map(|(v, b)| b * v).collect(),
            Mirror::Power { p } => {
                let q = conjugate(*p);
                let factor = (q - 2.0).exp2() * square(x).sqrt().powf(q - 2.0);
                x.iter().map(|v| factor * v).collect()
            }
        }
    }

    /// The `x` with `grad psi(x) = z`; for the entropy the one on the simplex, whose gradient is `z` up to a shift.
    pub fn gradient_inverse(&self, z: &[f64]) -> Vec<f64> {
        match self {
            Mirror::Euclidean => z.to_vec(),
            Mirror::Entropy => softmax(z),
            Mirror::PNorm { q } => duality_map(z, conjugate(*q), q - 1.0),
            Mirror::Diagonal { b } => z.iter().zip(b).map(|(v, b)| v / b).collect(),
            Mirror::Power { p } => {
                let length = square(z).sqrt();
                let factor = power_radius(*p, length, 0.0) / length;
                z.iter().map(|v| if length == 0.0 { 0.0 } else { factor * v }).collect()
            }
        }
    }

    /// `D(x, y)`.
    pub fn divergence(&self, x: &[f64], y: &[f64]) -> f64 {
        let slope = self.gradient(y).into_iter().zip(x.iter().zip(y)).map(|(g, (x, y))| {
            // 0 ln 0 = 0: a coordinate that both have at 0 adds nothing.
            if x == y { 0.0 } else { g * (x - y) }
        });
        self.value(x) - self.value(y) - slope.sum::<f64>()
    }

    /// The norm in which `psi` is convex.
    pub fn norm(&self, x: &[f64]) -> f64 {
        match self {
            Mirror::Euclidean | Mirror::Power { .. } => square(x).sqrt(),
            Mirror::Entropy => x.iter().map(|v| v.abs()).sum(),
            Mirror::PNorm { q } => norm(x, *q),
            Mirror::Diagonal { b } => x.iter().zip(b).map(|(v, b)| b * v * v).sum::<f64>().sqrt(),
        }
    }

    /// The dual norm, in which gradients are measured.
    pub fn dual_norm(&self, g: &[f64]) -> f64 {
        match self {
            Mirror::Euclidean | Mirror::Power { .. } => square(g).sqrt(),
            Mirror::Entropy => g.iter().fold(0.0, |top, v| {
                let size = v.abs();
                if size > top || size.is_nan() { size } else { top }
            }),
            Mirror::PNorm { q } => norm(g, conjugate(*q)),
            Mirror::Diagonal { b } => g.iter().zip(b).map(|(v, b)| v * v / b).sum::<f64>().sqrt(),
        }
    }

    pub(super) fn validate(&self, dimension: Option<usize>) -> Result<(), MirrorError> {
        let fail = |key: &str, expected| {
            Err(MirrorError::OutOfRange { key: format!("mirror.{key}"), expected })
        };
        let in_range = |v: f64| v > 1.0 && v <= 2.0;
        match self {
            Mirror::PNorm { q } if !in_range(*q) => fail("q", "a number above 1, at most 2"),
            Mirror::Power { p } if !in_range(*p) => fail("p", "a number above 1, at most 2"),
            Mirror::Diagonal { b } if !b.iter().all(|v| positive(*v)) => {
                fail("b", "numbers above 0")
            }
            Mirror::Diagonal { b } if dimension.is_some_and(|d| d != b.len()) => {
                fail("b", "one number per coordinate")
            }
            _ => Ok(()),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Mirror::Euclidean => "euclidean",
            Mirror::Entropy => "entropy",
            Mirror::PNorm { .. } => "p-norm",
            Mirror::Diagonal { .. } => "diagonal",
            Mirror::Power { .. } => "power",
        }
    }
}

/// `exp(z) / sum exp(z)`, from the greatest entry down.
pub(super) fn softmax(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = z.iter().map(|v| (v - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|v| v / sum).collect()
}

/// The `r >= 0` with `2^{q-2} r^{q-1} + slope r = length`: the norm of a power step whose objective also holds `(slope / 2) ||x||^2`.
pub(super) fn power_radius(p: f64, length: f64, slope: f64) -> f64 {
    let q = conjugate(p);
    let scale = (q - 2.0).exp2();
    let free = (length / scale).powf(p - 1.0); // 1 / (q - 1) = p - 1
    if slope == 0.0 || length == 0.0 || !length.is_finite() {
        return free;
    }
    // Convex and increasing in r for q >= 2: Newton's method from above never passes the root.
    let mut r = free.min(length / slope);
    for _ in 0..100 {
        let value = scale * r.powf(q - 1.0) + slope * r - length;
        let next = r - value / (scale * (q - 1.0) * r.powf(q - 2.0) + slope);
        if (next - r).abs() <= f64::EPSILON * r {
            return next;
        }
        r = next;
    }
    r
}
