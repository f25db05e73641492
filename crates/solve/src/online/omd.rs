//! Optimistic online mirror descent.

use serde::{Deserialize, Serialize};

use super::steps::Past;
use super::{
    Domain, Loss, OnlineError, OnlineLearner, Steps, check, distance_squared, dot, out_of_range,
};

/// What distances are measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Map {
    /// `||x - y||^2 / 2`
    #[default]
    Euclidean,
    /// Relative entropy, on a simplex; steps multiply.
    Entropy,
}

/// A fixed regularizer that enters every step whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Penalty {
    /// None.
    #[default]
    None,
    /// `l1 ||x||_1 + (l2 / 2) ||x||^2`.
    ElasticNet {
        /// At least 0.
        #[serde(default)]
        l1: f64,
        /// At least 0.
        #[serde(default)]
        l2: f64,
    },
}

impl Penalty {
    /// Its value at `x`.
    pub fn value(self, x: &[f64]) -> f64 {
        match self {
            Penalty::None => 0.0,
            Penalty::ElasticNet { l1, l2 } => {
                l1 * x.iter().map(|v| v.abs()).sum::<f64>() + 0.5 * l2 * dot(x, x)
            }
        }
    }

    /// `v <- prox_{eta r}(v)` in the whole space.
    fn prox(self, v: &mut [f64], eta: f64) {
        if let Penalty::ElasticNet { l1, l2 } = self {
            let threshold = eta * l1;
            for x in v {
                *x = (x.abs() - threshold).max(0.0).copysign(*x) / (1.0 + eta * l2);
            }
        }
    }

    fn validate(self, domain: &Domain) -> Result<(), OnlineError> {
        let Penalty::ElasticNet { l1, l2 } = self else { return Ok(()) };
        if !(l1 >= 0.0 && l2 >= 0.0 && l1.is_finite() && l2.is_finite()) {
            return Err(out_of_range("penalty", "weights of at least 0"));
        }
        if l1 > 0.0 && !domain.splits_l1() {
            return Err(out_of_range(
                "penalty.l1",
                "0 on a simplex, where the l1 norm is constant",
            ));
        }
        Ok(())
    }
}

/// Two half-steps a round from the anchor `xhat_t`, both with the same `eta_t`:
///
/// ```text
/// x_t        = argmin_{x in X} <m_t, x> + r(x) + D(x, xhat_t) / eta_t      m_t the hint
/// xhat_{t+1} = argmin_{x in X} <g_t, x> + r(x) + D(x, xhat_t) / eta_t      g_t the gradient of f_t at x_t
/// ```
///
/// One gradient a round, at the point played. With [`Steps::SelfConfident`], for all bounded gradients and all `u` in `X`,
/// `sum <g_t, x_t - u> <= 2.5 D sqrt(delta + 4 G^2 + sum ||g_t - m_t||^2)`. Without a hint it is online mirror descent, with the steps of a
/// baseline that baseline (`Steps::InvSqrt`: projected gradient descent; `Steps::AdaGradNorm`).
///
/// Implicit: the second half-step takes `f_t` itself, `argmin_X f_t(x) + ||x - xhat_t||^2 / (2 eta_t)`, for losses with kinks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimisticOmd {
    domain: Domain,
    map: Map,
    steps: Steps,
    penalty: Penalty,
    implicit: bool,
    past: Past,
    /// `eta` of the current round.
    eta: f64,
    anchor: Vec<f64>,
    /// The anchor's logarithms, for the entropy: products of many small factors would vanish for good.
    logs: Vec<f64>,
    point: Vec<f64>,
    hint: Vec<f64>,
    /// Whether a gradient is due.
    played: bool,
}

impl OptimisticOmd {
    /// Euclidean, at the start of the domain.
    ///
    /// # Errors
    /// A domain that does not fit; step sizes out of range.
    pub fn new(domain: Domain, dim: usize, steps: Steps) -> Result<OptimisticOmd, OnlineError> {
        domain.validate(dim)?;
        steps.validate()?;
        let anchor = domain.start(dim);
        Ok(OptimisticOmd {
            past: steps.past(),
            point: anchor.clone(),
            hint: vec![0.0; dim],
            logs: Vec::new(),
            map: Map::Euclidean,
            penalty: Penalty::None,
            implicit: false,
            eta: 0.0,
            played: false,
            domain,
            steps,
            anchor,
        })
    }

    /// Measures distances by `map`.
    ///
    /// # Errors
    /// The entropy elsewhere than on a simplex, or with a penalty or implicit steps.
    pub fn with_map(mut self, map: Map) -> Result<OptimisticOmd, OnlineError> {
        if map == Map::Entropy {
            if !self.domain.is_simplex() {
                return Err(out_of_range("map", "euclidean, or entropy on a simplex"));
            }
            if self.implicit || self.penalty != Penalty::None {
                return Err(out_of_range("map", "euclidean for implicit and composite steps"));
            }
            self.logs = self.anchor.iter().map(|x| x.ln()).collect();
        }
        self.map = map;
        Ok(self)
    }

    /// Adds a regularizer to both half-steps.
    ///
    /// # Errors
    /// Weights below 0; a combination whose step has no closed form.
    pub fn with_penalty(mut self, penalty: Penalty) -> Result<OptimisticOmd, OnlineError> {
        penalty.validate(&self.domain)?;
        if penalty != Penalty::None && (self.map == Map::Entropy || self.implicit) {
            return Err(out_of_range("penalty", "none with the entropy map or implicit steps"));
        }
        self.penalty = penalty;
        Ok(self)
    }

    /// Makes the second half-step implicit.
    ///
    /// # Errors
    /// With the entropy or a penalty.
    pub fn implicit(mut self) -> Result<OptimisticOmd, OnlineError> {
        if self.map == Map::Entropy || self.penalty != Penalty::None {
            return Err(out_of_range("implicit", "the euclidean map and no penalty"));
        }
        self.implicit = true;
        Ok(self)
    }

    /// Begins at `start` instead.
    ///
    /// # Errors
    /// A point outside the domain.
    pub fn starting_at(mut self, start: &[f64]) -> Result<OptimisticOmd, OnlineError> {
        check("the start", start, self.anchor.len(), 1)?;
        if !self.domain.contains(start, 1e-9) {
            return Err(out_of_range("start", "a point of the domain"));
        }
        self.anchor.copy_from_slice(start);
        self.point.copy_from_slice(start);
        if self.map == Map::Entropy {
            self.logs = start.iter().map(|x| x.ln()).collect();
        }
        Ok(self)
    }

    /// The step size of the round being played, or of the last.
    pub fn eta(&self) -> f64 {
        self.eta
    }

    /// `out <- argmin_{x in X} <g, x> + r(x) + D(x, anchor) / eta`
    fn half_step(&self, g: &[f64], out: &mut [f64]) {
        match self.map {
            Map::Euclidean => {
                for (o, (a, g)) in out.iter_mut().zip(self.anchor.iter().zip(g)) {
                    *o = a - self.eta * g;
                }
                self.penalty.prox(out, self.eta);
                self.domain.project(out);
            }
            Map::Entropy => {
                for (o, (a, g)) in out.iter_mut().zip(self.logs.iter().zip(g)) {
                    *o = a - self.eta * g;
                }
                softmax(out);
            }
        }
    }

    /// `||v||^2` in the norm that gradients are measured by.
    fn dual_square(&self, v: impl Iterator<Item = f64>) -> f64 {
        match self.map {
            Map::Euclidean => v.map(|x| x * x).sum(),
            Map::Entropy => v.map(|x| x * x).fold(0.0, f64::max),
        }
    }

    fn move_anchor(&mut self, g: &[f64], loss: Option<&dyn Loss>) -> Result<(), OnlineError> {
        let mut next = vec![0.0; self.anchor.len()];
        match loss {
            Some(loss) if self.implicit => {
                loss.prox(&self.domain, &self.anchor, self.eta, &mut next)?;
            }
            _ => self.half_step(g, &mut next),
        }
        if self.map == Map::Entropy {
            for (l, g) in self.logs.iter_mut().zip(g) {
                *l -= self.eta * g;
            }
            let shift = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for l in &mut self.logs {
                *l -= shift;
            }
        }
        self.anchor = next;
        Ok(())
    }
}

/// `v <- exp(v) / sum exp(v)`
pub(super) fn softmax(v: &mut [f64]) {
    let top = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for x in &mut *v {
        *x = (*x - top).exp();
    }
    let sum: f64 = v.iter().sum();
    for x in &mut *v {
        *x /= sum;
    }
}

impl OnlineLearner for OptimisticOmd {
    fn dim(&self) -> usize {
        self.anchor.len()
    }

    fn predict(&mut self, hint: &[f64]) -> Result<(), OnlineError> {
        let round = self.past.rounds + 1;
        if self.played {
            return Err(OnlineError::OutOfTurn { round, called: "predict" });
        }
        check("the hint", hint, self.anchor.len(), round)?;
        if self.steps.is_late() {
            self.hint.fill(0.0);
            self.point.clone_from(&self.anchor);
        } else {
            self.hint.copy_from_slice(hint);
            self.eta = self.steps.eta(&self.past)?;
            let mut point = std::mem::take(&mut self.point);
            self.half_step(hint, &mut point);
            self.point = point;
        }
        self.played = true;
        Ok(())
    }

    fn point(&self) -> &[f64] {
        &self.point
    }

    fn update(&mut self, gradient: &[f64], loss: Option<&dyn Loss>) -> Result<(), OnlineError> {
        let round = self.past.rounds + 1;
        if !self.played {
            return Err(OnlineError::OutOfTurn { round, called: "update" });
        }
        check("the gradient", gradient, self.anchor.len(), round)?;
        if self.implicit && loss.is_none() {
            return Err(OnlineError::NeedsLoss { what: "the implicit learner" });
        }
        let square = self.dual_square(gradient.iter().copied());
        let surprise = self.dual_square(gradient.iter().zip(&self.hint).map(|(g, m)| g - m));
        let mut past = self.past.clone();
        self.steps.observe(&mut past, square, surprise);
        if self.steps.is_late() {
            self.eta = self.steps.eta(&past)?;
        }
        self.move_anchor(gradient, loss)?;
        self.past = past;
        self.played = false;
        Ok(())
    }

    fn anchor(&self) -> Option<&[f64]> {
        Some(&self.anchor)
    }
}

/// `||x_i - y_i||^2` for two lists of points.
pub(super) fn moves(now: &[Vec<f64>], before: &[Vec<f64>]) -> Vec<f64> {
    now.iter().zip(before).map(|(a, b)| distance_squared(a, b)).collect()
}
