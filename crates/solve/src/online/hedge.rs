//! Weights over experts.

use serde::{Deserialize, Serialize};

use super::omd::softmax;
use super::{OnlineError, check, positive};

/// Optimistic Hedge: `p_t` proportional to `phat_t exp(-eps_t M_t)`, then `phat_{t+1}` to `phat_t exp(-eps_t l_t)`, kept as logarithms.
///
/// `eps_t = min(cap, (1 + sum_{s<t} max_i |l_{s,i} - M_{s,i}|^2)^{-1/2})`, or a constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hedge {
    logs: Vec<f64>,
    weights: Vec<f64>,
    hint: Vec<f64>,
    /// Largest rate; `None` for no such limit, which every file format can hold.
    cap: Option<f64>,
    adaptive: bool,
    /// `1 + sum max |l - M|^2`.
    surprise: f64,
    rounds: u64,
}

impl Hedge {
    /// Even weights on `experts`, adaptive rates of at most `cap` (which may be infinite).
    ///
    /// # Errors
    /// No experts; a cap that is not above 0.
    pub fn new(experts: usize, cap: f64) -> Result<Hedge, OnlineError> {
        if experts == 0 {
            return Err(super::out_of_range("experts", "at least 1"));
        }
        if cap.is_nan() || cap <= 0.0 {
            return Err(super::out_of_range("cap", "a number above 0"));
        }
        Ok(Hedge {
            logs: vec![0.0; experts],
            weights: vec![1.0 / experts as f64; experts],
            hint: vec![0.0; experts],
            cap: cap.is_finite().then_some(cap),
            adaptive: true,
            surprise: 1.0,
            rounds: 0,
        })
    }

    /// The constant rate `eps` and these first weights, which need not sum to 1.
    ///
    /// # Errors
    /// No weights, or one that is not above 0; a rate that is not above 0.
    pub fn constant(first: &[f64], eps: f64) -> Result<Hedge, OnlineError> {
        positive("eps", eps)?;
        first.iter().try_for_each(|w| positive("weights", *w))?;
        let mut hedge = Hedge::new(first.len(), eps)?;
        hedge.adaptive = false;
        hedge.logs = first.iter().map(|w| w.ln()).collect();
        hedge.weights = hedge.logs.clone();
        softmax(&mut hedge.weights);
        Ok(hedge)
    }

    /// `eps` of the current round.
    pub fn rate(&self) -> f64 {
        let cap = self.cap.unwrap_or(f64::INFINITY);
        if self.adaptive { cap.min(self.surprise.powf(-0.5)) } else { cap }
    }

    /// The weights of this round, given a guess of its losses.
    ///
    /// # Errors
    /// A guess that does not fit.
    pub fn predict(&mut self, hint: &[f64]) -> Result<&[f64], OnlineError> {
        check("the guess of the losses", hint, self.logs.len(), self.rounds + 1)?;
        self.hint.copy_from_slice(hint);
        let rate = self.rate();
        for (w, (l, m)) in self.weights.iter_mut().zip(self.logs.iter().zip(hint)) {
            *w = l - rate * m;
        }
        softmax(&mut self.weights);
        Ok(&self.weights)
    }

    /// Learns the losses of this round.
    ///
    /// # Errors
    /// Losses that do not fit.
    pub fn update(&mut self, losses: &[f64]) -> Result<(), OnlineError> {
        check("the losses", losses, self.logs.len(), self.rounds + 1)?;
        let rate = self.rate();
        for (l, loss) in self.logs.iter_mut().zip(losses) {
            *l -= rate * loss;
        }
        let top = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for l in &mut self.logs {
            *l -= top;
        }
        let surprise = losses.iter().zip(&self.hint).map(|(l, m)| (l - m) * (l - m));
        self.surprise += surprise.fold(0.0, f64::max);
        self.rounds += 1;
        Ok(())
    }

    /// The weights last predicted.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }
}
