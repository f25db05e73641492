//! Mirror descent in the norm of a growing matrix, for exp-concave losses.

use serde::{Deserialize, Serialize};

use super::{Domain, Loss, Metric, OnlineError, OnlineLearner, check, positive};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Rule {
    /// Both half-steps in `H_t`, which then takes `(beta / 2) g g^T`.
    Optimistic { weight: f64 },
    /// The online Newton step: `H` takes `g g^T` first, the step is `H^{-1} g / gamma`, and no hint.
    Plain { gamma: f64 },
}

/// Optimistic mirror descent with `D_t(x, y) = ||x - y||^2_{H_t} / 2`, `H_t = (1 + (beta / 2) G^2) I + (beta / 2) sum_{s<t} g_s g_s^T`, `beta =
/// min(1 / (4 G D), alpha) / 2`: for `alpha`-exp-concave losses. If `beta G^2 <= 2`, for all bounded gradients and `u` in `X`
///
/// ```text
/// sum <g_t, x_t - u> - (beta / 2) <g_t, x_t - u>^2  <=  (D^2 / 2) (1 + beta G^2 / 2) + sum ||g_t - m_t||^2 in the norm of H_t^{-1}
/// ```
///
/// A round costs `O(d^2)` while points stay inside `X`; a projection costs `O(d^3)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimisticNewton {
    domain: Domain,
    rule: Rule,
    metric: Metric,
    anchor: Vec<f64>,
    point: Vec<f64>,
    rounds: u64,
    played: bool,
}

/// `min(1 / (4 G D), alpha) / 2`
fn half_least(alpha: f64, gradient_bound: f64, diameter: f64) -> f64 {
    0.5 * alpha.min(1.0 / (4.0 * gradient_bound * diameter))
}

impl OptimisticNewton {
    /// For losses that are `alpha`-exp-concave with gradients of norm at most `gradient_bound`.
    ///
    /// # Errors
    /// A domain that does not fit; numbers that are not above 0.
    pub fn new(
        domain: Domain,
        dim: usize,
        alpha: f64,
        gradient_bound: f64,
    ) -> Result<OptimisticNewton, OnlineError> {
        domain.validate(dim)?;
        positive("alpha", alpha)?;
        positive("gradient_bound", gradient_bound)?;
        let weight = 0.5 * half_least(alpha, gradient_bound, domain.diameter(dim));
        let metric = Metric::identity(dim, 1.0 + weight * gradient_bound * gradient_bound);
        Ok(Self::with(domain, dim, Rule::Optimistic { weight }, metric))
    }

    /// The online Newton step (Hazan, Agarwal and Kale, 2007): `gamma = min(1 / (4 G D), alpha) / 2`, `H = I / (gamma D)^2 + sum g g^T`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn online_newton_step(
        domain: Domain,
        dim: usize,
        alpha: f64,
        gradient_bound: f64,
    ) -> Result<OptimisticNewton, OnlineError> {
        domain.validate(dim)?;
        positive("alpha", alpha)?;
        positive("gradient_bound", gradient_bound)?;
        let diameter = domain.diameter(dim);
        let gamma = half_least(alpha, gradient_bound, diameter);
        let metric = Metric::identity(dim, (gamma * diameter).powi(-2));
        Ok(Self::with(domain, dim, Rule::Plain { gamma }, metric))
    }

    fn with(domain: Domain, dim: usize, rule: Rule, metric: Metric) -> OptimisticNewton {
        let anchor = domain.start(dim);
        let point = anchor.clone();
        OptimisticNewton { domain, rule, metric, anchor, point, rounds: 0, played: false }
    }

    /// `H_t`.
    pub fn metric(&self) -> &Metric {
        &self.metric
    }

    /// `P_X(anchor - factor H^{-1} g)` in the norm of `H`.
    fn step(&self, g: &[f64], factor: f64) -> Result<Vec<f64>, OnlineError> {
        let mut direction = g.to_vec();
        self.metric.solve(&mut direction);
        let mut x: Vec<f64> =
            self.anchor.iter().zip(&direction).map(|(a, d)| a - factor * d).collect();
        self.metric.project(&self.domain, &mut x)?;
        Ok(x)
    }
}

impl OnlineLearner for OptimisticNewton {
    fn dim(&self) -> usize {
        self.anchor.len()
    }

    fn predict(&mut self, hint: &[f64]) -> Result<(), OnlineError> {
        let round = self.rounds + 1;
        if self.played {
            return Err(OnlineError::OutOfTurn { round, called: "predict" });
        }
        check("the hint", hint, self.anchor.len(), round)?;
        self.point = match self.rule {
            Rule::Optimistic { .. } => self.step(hint, 1.0)?,
            Rule::Plain { .. } => self.anchor.clone(),
        };
        self.played = true;
        Ok(())
    }

    fn point(&self) -> &[f64] {
        &self.point
    }

    fn update(&mut self, gradient: &[f64], _: Option<&dyn Loss>) -> Result<(), OnlineError> {
        let round = self.rounds + 1;
        if !self.played {
            return Err(OnlineError::OutOfTurn { round, called: "update" });
        }
        check("the gradient", gradient, self.anchor.len(), round)?;
        match self.rule {
            Rule::Optimistic { weight } => {
                self.anchor = self.step(gradient, 1.0)?;
                self.metric.add(weight, gradient);
            }
            Rule::Plain { gamma } => {
                self.metric.add(1.0, gradient);
                self.anchor = self.step(gradient, 1.0 / gamma)?;
            }
        }
        self.rounds += 1;
        self.played = false;
        Ok(())
    }

    fn anchor(&self) -> Option<&[f64]> {
        match self.rule {
            Rule::Optimistic { .. } => Some(&self.anchor),
            Rule::Plain { .. } => None,
        }
    }
}
