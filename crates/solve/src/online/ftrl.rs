//! Optimistic follow the (regularized) leader.

use serde::{Deserialize, Serialize};

use super::{Domain, Loss, OnlineError, OnlineLearner, check, positive};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Rule {
    /// `eta_t = D^2 / (nu + sum_{s<t} eta_s ||g_s - m_s||^2)`
    Regularized { diameter: f64, nu: f64 },
    /// The losses `<g, x - x_s> + (mu / 2) ||x - x_s||^2` regularize themselves.
    Leader { mu: f64 },
}

/// Optimistic follow the regularized leader (Sachs, Hadiji, van Erven and Guzmán, 2022), with all gradients in one sum:
///
/// ```text
/// x_t = P_X(x_1 - eta_t (sum_{s<t} g_s + m_t)),   eta_t = D^2 / (nu + sum_{s<t} eta_s ||g_s - m_s||^2)
/// ```
///
/// Under strong convexity `mu` it follows the leader of the quadratic lower bounds, `x_t = P_X((sum_{s<t} (mu x_s - g_s) - m_t) / (mu (t -
/// 1)))`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimisticFtrl {
    domain: Domain,
    rule: Rule,
    start: Vec<f64>,
    point: Vec<f64>,
    hint: Vec<f64>,
    /// `sum g_s`, or `sum g_s - mu x_s`.
    sum: Vec<f64>,
    /// `sum eta_s ||g_s - m_s||^2`.
    surprise: f64,
    rounds: u64,
    played: bool,
}

impl OptimisticFtrl {
    /// Convex losses with gradients of norm at most `gradient_bound`: `nu = L D^2 + D G` for a known smoothness `L` of the means, else `2 D
    /// G`.
    ///
    /// # Errors
    /// A domain that does not fit; numbers out of range.
    pub fn new(
        domain: Domain,
        dim: usize,
        gradient_bound: f64,
        smoothness: Option<f64>,
    ) -> Result<OptimisticFtrl, OnlineError> {
        domain.validate(dim)?;
        positive("gradient_bound", gradient_bound)?;
        let diameter = domain.diameter(dim);
        let nu = match smoothness {
            Some(l) => {
                positive("smoothness", l)?;
                l * diameter * diameter + diameter * gradient_bound
            }
            None => 2.0 * diameter * gradient_bound,
        };
        Ok(Self::with(domain, dim, Rule::Regularized { diameter, nu }))
    }

    /// Losses whose means are `mu`-strongly convex.
    ///
    /// # Errors
    /// A domain that does not fit; `mu` not above 0.
    pub fn leader(domain: Domain, dim: usize, mu: f64) -> Result<OptimisticFtrl, OnlineError> {
        domain.validate(dim)?;
        positive("mu", mu)?;
        Ok(Self::with(domain, dim, Rule::Leader { mu }))
    }

    fn with(domain: Domain, dim: usize, rule: Rule) -> OptimisticFtrl {
        let start = domain.start(dim);
        OptimisticFtrl {
            domain,
            rule,
            point: start.clone(),
            start,
            hint: vec![0.0; dim],
            sum: vec![0.0; dim],
            surprise: 0.0,
            rounds: 0,
            played: false,
        }
    }

    fn eta(&self) -> f64 {
        match self.rule {
            Rule::Regularized { diameter, nu } => diameter * diameter / (nu + self.surprise),
            Rule::Leader { mu } => 1.0 / (mu * self.rounds as f64),
        }
    }
}

impl OnlineLearner for OptimisticFtrl {
    fn dim(&self) -> usize {
        self.start.len()
    }

    fn predict(&mut self, hint: &[f64]) -> Result<(), OnlineError> {
        let round = self.rounds + 1;
        if self.played {
            return Err(OnlineError::OutOfTurn { round, called: "predict" });
        }
        check("the hint", hint, self.start.len(), round)?;
        self.hint.copy_from_slice(hint);
        let eta = self.eta();
        // Nothing regularizes the leader of no losses: it begins at the start.
        let leads = !(matches!(self.rule, Rule::Leader { .. }) && self.rounds == 0);
        let centred = matches!(self.rule, Rule::Leader { .. });
        for (i, point) in self.point.iter_mut().enumerate() {
            let origin = if centred { 0.0 } else { self.start[i] };
            let total = self.sum[i] + hint[i];
            *point = if leads { origin - eta * total } else { self.start[i] };
        }
        self.domain.project(&mut self.point);
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
        check("the gradient", gradient, self.start.len(), round)?;
        let pull = match self.rule {
            Rule::Regularized { .. } => {
                self.surprise += self.eta() * super::distance_squared(gradient, &self.hint);
                0.0
            }
            Rule::Leader { mu } => mu,
        };
        for (s, (g, x)) in self.sum.iter_mut().zip(gradient.iter().zip(&self.point)) {
            *s += g - pull * x;
        }
        self.rounds += 1;
        self.played = false;
        Ok(())
    }
}
