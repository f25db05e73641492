//! A made-up stream whose variance and drift are known exactly.

use lisse_array::random::Law;
use lisse_array::{DType, Stream};
use serde::{Deserialize, Serialize};

use super::{
    Domain, Environment, Fixed, Linear, Loss, OnlineError, Quadratic, Setting, distance_squared,
    dot, out_of_range,
};

/// What is paid for a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cost {
    /// `<v_t, x>`
    Linear,
    /// `||x - v_t||^2 / 2`
    Quadratic,
}

/// How the mean of `v_t` goes from round to round. Its length is `scale`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Pattern {
    /// Stays at the first unit vector: a stochastic environment.
    Still,
    /// Turns in the plane of the first two coordinates.
    Circle {
        /// Radians a round.
        theta: f64,
    },
    /// Changes its sign.
    Switch {
        /// Rounds between changes, at least 1.
        period: u64,
    },
    /// Random signs in every coordinate: an adversary that knows nothing, which is as bad as any for linear costs.
    Signs,
}

/// `v_t = mean_t + noise xi_t` with `xi_t` uniform on the sphere, so that `sigma_t = noise` and gradients stay bounded.
#[derive(Clone, Debug, PartialEq)]
pub struct SeaStream {
    domain: Domain,
    dim: usize,
    cost: Cost,
    pattern: Pattern,
    scale: f64,
    noise: f64,
    random: Stream,
}

impl SeaStream {
    /// Makes a stream from a seed.
    ///
    /// # Errors
    /// Numbers out of range; a domain that does not fit; a circle in one dimension.
    pub fn new(
        domain: Domain,
        dim: usize,
        cost: Cost,
        pattern: Pattern,
        scale: f64,
        noise: f64,
        seed: u64,
    ) -> Result<SeaStream, OnlineError> {
        domain.validate(dim)?;
        for (key, value) in [("scale", scale), ("noise", noise)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(out_of_range(key, "a number of at least 0"));
            }
        }
        if scale + noise == 0.0 {
            return Err(out_of_range("scale", "a number above 0, or some noise"));
        }
        match pattern {
            Pattern::Circle { theta } if !theta.is_finite() => {
                return Err(out_of_range("mean.theta", "a number"));
            }
            Pattern::Circle { .. } if dim < 2 => {
                return Err(out_of_range("dim", "at least 2 for a circle"));
            }
            Pattern::Switch { period: 0 } => return Err(out_of_range("mean.period", "at least 1")),
            _ => {}
        }
        let random = Stream::new(seed).child("sea");
        Ok(SeaStream { domain, dim, cost, pattern, scale, noise, random })
    }

    /// The mean of `v_t`.
    pub fn mean(&self, t: u64) -> Vec<f64> {
        let mut mean = vec![0.0; self.dim];
        match self.pattern {
            Pattern::Still => mean[0] = self.scale,
            Pattern::Circle { theta } => {
                let (sin, cos) = (theta * (t - 1) as f64).sin_cos();
                (mean[0], mean[1]) = (self.scale * cos, self.scale * sin);
            }
            Pattern::Switch { period } => {
                mean[0] =
                    if ((t - 1) / period).is_multiple_of(2) { self.scale } else { -self.scale };
            }
            Pattern::Signs => {
                self.random.child("signs").at(t).fill(Law::Rademacher, 0, &mut mean);
                let length = self.scale / (self.dim as f64).sqrt();
                for v in &mut mean {
                    *v *= length;
                }
            }
        }
        mean
    }

    /// `v_t`.
    pub fn vector(&self, t: u64) -> Vec<f64> {
        let mut v = self.mean(t);
        if self.noise > 0.0 {
            let sphere = self.random.child("noise").at(t).sphere(&[self.dim], DType::F64);
            for (v, n) in v.iter_mut().zip(sphere.to_vec::<f64>()) {
                *v += self.noise * n;
            }
        }
        v
    }

    /// The best answer to costs with mean vector `v`.
    fn answer(&self, v: &[f64]) -> Vec<f64> {
        match self.cost {
            Cost::Quadratic => {
                let mut x = v.to_vec();
                self.domain.project(&mut x);
                x
            }
            // A step so long that only the direction counts.
            Cost::Linear => {
                let length = dot(v, v).sqrt();
                if length == 0.0 {
                    return self.domain.start(self.dim);
                }
                let reach = 1e9 * (1.0 + self.domain.radius(self.dim)) / length;
                let mut x: Vec<f64> = v.iter().map(|v| -reach * v).collect();
                self.domain.project(&mut x);
                x
            }
        }
    }
}

impl Environment for SeaStream {
    fn setting(&self) -> Setting {
        let reach = self.scale + self.noise;
        let quadratic = self.cost == Cost::Quadratic;
        let extra = if quadratic { self.domain.radius(self.dim) } else { 0.0 };
        Setting {
            smoothness: Some(if quadratic { 1.0 } else { 0.0 }),
            strong_convexity: quadratic.then_some(1.0),
            // `h` is alpha-exp-concave if alpha g g^T is below its Hessian.
            exp_concavity: quadratic.then(|| (reach + extra).powi(-2)),
            ..Setting::new(self.domain.clone(), self.dim, reach + extra)
        }
    }

    fn round(&self, t: u64) -> Box<dyn Loss + '_> {
        match self.cost {
            Cost::Linear => Box::new(Linear(self.vector(t))),
            Cost::Quadratic => Box::new(Quadratic(self.vector(t))),
        }
    }

    fn best_fixed(&self, rounds: u64) -> Result<Fixed, OnlineError> {
        let mut mean = vec![0.0; self.dim];
        for t in 1..=rounds {
            for (m, v) in mean.iter_mut().zip(self.vector(t)) {
                *m += v;
            }
        }
        for m in &mut mean {
            *m /= rounds as f64;
        }
        let point = self.answer(&mean);
        let (value, gap) = match self.cost {
            Cost::Linear => {
                (self.domain.least(&mean), dot(&mean, &point) - self.domain.least(&mean))
            }
            Cost::Quadratic => {
                let total: f64 =
                    (1..=rounds).map(|t| 0.5 * distance_squared(&point, &self.vector(t))).sum();
                (total / rounds as f64, 0.0)
            }
        };
        Ok(Fixed { point, value, gap: gap.max(0.0) })
    }

    fn best_at(&self, t: u64) -> Result<Vec<f64>, OnlineError> {
        Ok(self.answer(&self.mean(t)))
    }

    fn difficulty(&self, t: u64) -> (f64, f64) {
        let mean = self.mean(t);
        let drift = if t > 1 {
            distance_squared(&mean, &self.mean(t - 1))
        } else {
            // The longest gradient of F_1 on X, by the triangle inequality.
            let extra =
                if self.cost == Cost::Quadratic { self.domain.radius(self.dim) } else { 0.0 };
            (dot(&mean, &mean).sqrt() + extra).powi(2)
        };
        (self.noise * self.noise, drift)
    }

    fn excess(&self, x: &[f64]) -> Result<Option<f64>, OnlineError> {
        if self.pattern != Pattern::Still {
            return Ok(None);
        }
        let mean = self.mean(1);
        let best = self.answer(&mean);
        Ok(Some(match self.cost {
            Cost::Linear => dot(&mean, x) - self.domain.least(&mean),
            Cost::Quadratic => 0.5 * (distance_squared(x, &mean) - distance_squared(&best, &mean)),
        }))
    }
}
