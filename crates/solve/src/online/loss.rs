//! What a round costs.

use serde::{Deserialize, Serialize};

use super::{Domain, OnlineError, distance_squared, dot};

/// The loss `f_t` of a round.
pub trait Loss {
    /// `f_t(x)`.
    fn value(&self, x: &[f64]) -> f64;

    /// Writes a (sub)gradient at `x` to `out`.
    fn gradient(&self, x: &[f64], out: &mut [f64]);

    /// Writes `argmin_{x in X} f_t(x) + ||x - v||^2 / (2 step)` to `out`.
    ///
    /// # Errors
    /// [`OnlineError::NoProx`] by default.
    fn prox(
        &self,
        domain: &Domain,
        v: &[f64],
        step: f64,
        out: &mut [f64],
    ) -> Result<(), OnlineError> {
        let _ = (domain, v, step, out);
        Err(OnlineError::NoProx)
    }
}

/// `f(x) = <g, x>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear(
    /// `g`.
    pub Vec<f64>,
);

impl Loss for Linear {
    fn value(&self, x: &[f64]) -> f64 {
        dot(&self.0, x)
    }

    fn gradient(&self, _: &[f64], out: &mut [f64]) {
        out.copy_from_slice(&self.0);
    }

    fn prox(
        &self,
        domain: &Domain,
        v: &[f64],
        step: f64,
        out: &mut [f64],
    ) -> Result<(), OnlineError> {
        for (o, (v, g)) in out.iter_mut().zip(v.iter().zip(&self.0)) {
            *o = v - step * g;
        }
        domain.project(out);
        Ok(())
    }
}

/// `f(x) = ||x - c||^2 / 2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quadratic(
    /// `c`.
    pub Vec<f64>,
);

impl Loss for Quadratic {
    fn value(&self, x: &[f64]) -> f64 {
        0.5 * distance_squared(x, &self.0)
    }

    fn gradient(&self, x: &[f64], out: &mut [f64]) {
        for (o, (x, c)) in out.iter_mut().zip(x.iter().zip(&self.0)) {
            *o = x - c;
        }
    }

    fn prox(
        &self,
        domain: &Domain,
        v: &[f64],
        step: f64,
        out: &mut [f64],
    ) -> Result<(), OnlineError> {
        for (o, (v, c)) in out.iter_mut().zip(v.iter().zip(&self.0)) {
            *o = (v + step * c) / (1.0 + step);
        }
        domain.project(out);
        Ok(())
    }
}

/// `f(x) = ||x - c||_1`; its proximal step is exact on the sets where it can be taken before the projection of a box.
#[derive(Clone, Debug, PartialEq)]
pub struct Absolute(
    /// `c`.
    pub Vec<f64>,
);

impl Loss for Absolute {
    fn value(&self, x: &[f64]) -> f64 {
        x.iter().zip(&self.0).map(|(x, c)| (x - c).abs()).sum()
    }

    fn gradient(&self, x: &[f64], out: &mut [f64]) {
        for (o, (x, c)) in out.iter_mut().zip(x.iter().zip(&self.0)) {
            *o = if x == c { 0.0 } else { (x - c).signum() };
        }
    }

    fn prox(
        &self,
        domain: &Domain,
        v: &[f64],
        step: f64,
        out: &mut [f64],
    ) -> Result<(), OnlineError> {
        // In one dimension every set is an interval, onto which the unconstrained step is clipped.
        if !(matches!(domain, Domain::Box { .. }) || v.len() == 1) {
            return Err(OnlineError::NoProx);
        }
        for (o, (v, c)) in out.iter_mut().zip(v.iter().zip(&self.0)) {
            *o = if v - c > step {
                v - step
            } else if v - c < -step {
                v + step
            } else {
                *c
            };
        }
        domain.project(out);
        Ok(())
    }
}

/// A loss of the prediction `z = <a, x>` for an example with target `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// `ln(1 + exp(-y z))`, `y` = ±1
    Logistic,
    /// `(z - y)^2 / 2`
    Squared,
    /// `|z - y|`
    Absolute,
    /// `max(0, 1 - y z)`, `y` = ±1
    Hinge,
}

/// `ln(1 + e^z)` without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// `1 / (1 + e^{-z})`
fn sigmoid(z: f64) -> f64 {
    let e = (-z.abs()).exp();
    if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

impl Link {
    /// The loss.
    pub fn value(self, z: f64, y: f64) -> f64 {
        match self {
            Link::Logistic => softplus(-y * z),
            Link::Squared => 0.5 * (z - y) * (z - y),
            Link::Absolute => (z - y).abs(),
            Link::Hinge => (1.0 - y * z).max(0.0),
        }
    }

    /// Its least and largest slope at `z`: the same unless there is a kink.
    pub fn slopes(self, z: f64, y: f64) -> (f64, f64) {
        let both = |slope: f64| (slope, slope);
        match self {
            Link::Logistic => both(-y * sigmoid(-y * z)),
            Link::Squared => both(z - y),
            Link::Absolute if z == y => (-1.0, 1.0),
            Link::Absolute => both((z - y).signum()),
            Link::Hinge => {
                let margin = 1.0 - y * z;
                match margin.total_cmp(&0.0) {
                    std::cmp::Ordering::Greater => both(-y),
                    std::cmp::Ordering::Less => both(0.0),
                    std::cmp::Ordering::Equal => (f64::min(-y, 0.0), f64::max(-y, 0.0)),
                }
            }
        }
    }

    /// A slope: the one nearest to 0 at a kink.
    pub fn slope(self, z: f64, y: f64) -> f64 {
        let (low, high) = self.slopes(z, y);
        0f64.clamp(low, high)
    }

    /// Whether it has no kink.
    pub fn is_smooth(self) -> bool {
        matches!(self, Link::Logistic | Link::Squared)
    }

    /// Value, slope and curvature of a smooth loss that lies nowhere above this one, and below it by at most `width` (by nothing for a loss
    /// that is smooth itself): it makes certified minima of losses with kinks possible.
    pub(super) fn smoothed(self, z: f64, y: f64, width: f64) -> (f64, f64, f64) {
        match self {
            Link::Logistic => {
                let s = sigmoid(-y * z);
                (softplus(-y * z), -y * s, s * (1.0 - s))
            }
            Link::Squared => (0.5 * (z - y) * (z - y), z - y, 1.0),
            Link::Absolute => {
                let r = z - y;
                let root = r.hypot(width);
                (root - width, r / root, width * width / (root * root * root))
            }
            // max(0, u) is the mean of u and |u|.
            Link::Hinge => {
                let u = 1.0 - y * z;
                let root = u.hypot(width);
                let curvature = 0.5 * width * width / (root * root * root);
                (0.5 * (u + root - width), -0.5 * y * (1.0 + u / root), curvature)
            }
        }
    }

    /// Whether targets are signs.
    pub fn is_margin(self) -> bool {
        matches!(self, Link::Logistic | Link::Hinge)
    }

    /// A bound on slopes where `|z| <= reach` and `|y| <= target`.
    pub fn steepest(self, reach: f64, target: f64) -> f64 {
        match self {
            Link::Squared => reach + target,
            Link::Logistic | Link::Absolute | Link::Hinge => 1.0,
        }
    }

    /// A bound on the curvature in `z`, if there is one.
    pub fn curvature(self) -> Option<f64> {
        match self {
            Link::Logistic => Some(0.25),
            Link::Squared => Some(1.0),
            Link::Absolute | Link::Hinge => None,
        }
    }

    /// `alpha` such that the loss is `alpha`-exp-concave where `|z| <= reach` and `|y| <= target`: `e^{-reach}` for logistic, `1 / (reach +
    /// target)^2` for squared, none with kinks.
    pub fn exp_concavity(self, reach: f64, target: f64) -> Option<f64> {
        match self {
            Link::Logistic => Some((-reach).exp()),
            Link::Squared => Some((reach + target).powi(-2)),
            Link::Absolute | Link::Hinge => None,
        }
    }
}
