//! What was paid.

use serde::{Deserialize, Serialize};

use super::{Environment, OnlineError, Player, distance_squared, dot};

/// How a run stood after a number of rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Rounds.
    pub round: u64,
    /// `sum f_t(x_t)`.
    pub loss: f64,
    /// `sum ||g_t - m_t||^2`.
    pub variation: f64,
    /// The mean of the points played: the answer to a stochastic problem (online to batch).
    pub average: Vec<f64>,
}

/// The account of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Rounds.
    pub rounds: u64,
    /// `sum f_t(x_t)`.
    pub loss: f64,
    /// `sum ||g_t - m_t||^2` for the hints `m_t`.
    pub variation: f64,
    /// The longest gradient seen.
    pub longest_gradient: f64,
    average: Vec<f64>,
    /// Rounds after which to keep a mark, rising.
    planned: Vec<u64>,
    /// The marks so far.
    pub marks: Vec<Mark>,
}

impl Ledger {
    /// An empty account that keeps marks after these numbers of rounds (rising).
    pub fn new(dim: usize, planned: &[u64]) -> Ledger {
        Ledger {
            rounds: 0,
            loss: 0.0,
            variation: 0.0,
            longest_gradient: 0.0,
            average: vec![0.0; dim],
            planned: planned.to_vec(),
            marks: Vec::new(),
        }
    }

    /// Enters a round: the point, its loss and gradient, and the hint.
    pub fn record(&mut self, x: &[f64], loss: f64, gradient: &[f64], hint: &[f64]) {
        self.rounds += 1;
        self.loss += loss;
        self.variation += distance_squared(gradient, hint);
        self.longest_gradient = self.longest_gradient.max(dot(gradient, gradient).sqrt());
        let share = 1.0 / self.rounds as f64;
        for (a, x) in self.average.iter_mut().zip(x) {
            *a += share * (x - *a);
        }
        if self.planned.get(self.marks.len()) == Some(&self.rounds) {
            self.marks.push(Mark {
                round: self.rounds,
                loss: self.loss,
                variation: self.variation,
                average: self.average.clone(),
            });
        }
    }

    /// The mean of the points played.
    pub fn average(&self) -> &[f64] {
        &self.average
    }

    /// `sum f_t(x_t) - comparator`, for what a comparator paid in the same rounds.
    pub fn regret(&self, comparator: f64) -> f64 {
        self.loss - comparator
    }

    /// `2.5 D sqrt(delta + 4 G^2 + sum ||g_t - m_t||^2)`: no regret of self-confident optimistic mirror descent exceeds it.
    pub fn bound(diameter: f64, delta: f64, gradient_bound: f64, variation: f64) -> f64 {
        2.5 * diameter * (delta + 4.0 * gradient_bound * gradient_bound + variation).sqrt()
    }
}

/// Plays the next `rounds` rounds. `hints` are for [`Hint::Given`](super::Hint::Given), one for each round from the first.
///
/// # Errors
/// What the learner refuses; hints that have run out.
pub fn play(
    player: &mut Player,
    environment: &dyn Environment,
    ledger: &mut Ledger,
    rounds: u64,
    hints: Option<&[Vec<f64>]>,
) -> Result<(), OnlineError> {
    let mut gradient = vec![0.0; ledger.average.len()];
    for _ in 0..rounds {
        let t = player.rounds() + 1;
        if let Some(hints) = hints {
            let hint = hints.get(t as usize - 1).ok_or(OnlineError::PastHorizon {
                what: "the list of hints",
                horizon: hints.len() as u64,
            })?;
            player.supply(hint)?;
        }
        player.predict()?;
        let loss = environment.round(t);
        loss.gradient(player.point(), &mut gradient);
        let value = loss.value(player.point());
        ledger.record(player.point(), value, &gradient, player.guess());
        player.update_with(&gradient, &*loss)?;
    }
    Ok(())
}
