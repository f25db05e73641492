//! The protocol: predict, then update; and where hints come from.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    Doubling, Ensemble, Loss, OnlineError, OptimisticFtrl, OptimisticNewton, OptimisticOmd, check,
    out_of_range,
};

/// A learner: its state is all that it knows, and serde saves it between two rounds.
pub trait OnlineLearner {
    /// Coordinates of a point.
    fn dim(&self) -> usize;

    /// Chooses the next point. `hint` is a guess of the gradient that will be seen at it; 0 for no guess.
    ///
    /// # Errors
    /// A hint that does not fit; a second call in a round; an inner solve that fails.
    fn predict(&mut self, hint: &[f64]) -> Result<(), OnlineError>;

    /// The point last chosen.
    fn point(&self) -> &[f64];

    /// Learns the gradient at the point, and the loss where it is at hand.
    ///
    /// # Errors
    /// A gradient that does not fit; no prediction before it; a loss that is needed and missing.
    fn update(&mut self, gradient: &[f64], loss: Option<&dyn Loss>) -> Result<(), OnlineError>;

    /// The second sequence of optimistic mirror descent, from which hinted steps start.
    fn anchor(&self) -> Option<&[f64]> {
        None
    }
}

/// Any learner of this module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Learner {
    /// Mirror descent with two half-steps a round.
    Omd(OptimisticOmd),
    /// The same in the norm of a growing matrix, and the online Newton step.
    Newton(OptimisticNewton),
    /// Follow the regularized leader.
    Ftrl(OptimisticFtrl),
    /// Several learners under a Hedge.
    Ensemble(Box<Ensemble>),
    /// Restarts with doubled horizons.
    Doubling(Box<Doubling>),
}

impl Learner {
    fn as_dyn(&self) -> &dyn OnlineLearner {
        match self {
            Learner::Omd(learner) => learner,
            Learner::Newton(learner) => learner,
            Learner::Ftrl(learner) => learner,
            Learner::Ensemble(learner) => &**learner,
            Learner::Doubling(learner) => &**learner,
        }
    }

    fn as_dyn_mut(&mut self) -> &mut dyn OnlineLearner {
        match self {
            Learner::Omd(learner) => learner,
            Learner::Newton(learner) => learner,
            Learner::Ftrl(learner) => learner,
            Learner::Ensemble(learner) => &mut **learner,
            Learner::Doubling(learner) => &mut **learner,
        }
    }
}

impl OnlineLearner for Learner {
    fn dim(&self) -> usize {
        self.as_dyn().dim()
    }
    fn predict(&mut self, hint: &[f64]) -> Result<(), OnlineError> {
        self.as_dyn_mut().predict(hint)
    }
    fn point(&self) -> &[f64] {
        self.as_dyn().point()
    }
    fn update(&mut self, gradient: &[f64], loss: Option<&dyn Loss>) -> Result<(), OnlineError> {
        self.as_dyn_mut().update(gradient, loss)
    }
    fn anchor(&self) -> Option<&[f64]> {
        self.as_dyn().anchor()
    }
}

/// Where the guess of the next gradient comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Hint {
    /// No guess: optimistic learners become plain ones.
    None,
    /// The last gradient; 0 in the first round.
    #[default]
    Last,
    /// The gradient of the last loss at the anchor, one more query a round (extra-gradient).
    Middle,
    /// The mean of the last gradients, for noisy ones.
    Average {
        /// How many, at least 1.
        window: usize,
    },
    /// What [`Player::supply`] was told.
    Given,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Turn {
    Predict,
    Update,
}

/// A learner and its hint. The caller owns the loop.
///
/// ```
/// use lisse_solve::online::{Domain, Hint, LearnerConfig, Player, Setting};
/// let setting = Setting::new(Domain::Ball { radius: 1.0 }, 2, 2.0);
/// let mut player = Player::new(LearnerConfig::oomd().build(&setting)?, Hint::Last)?;
/// for t in 0..100 {
///     let angle = 0.1 * f64::from(t);
///     let x = player.predict()?.to_vec();
///     let gradient = [x[0] - 0.9 * angle.cos(), x[1] - 0.9 * angle.sin()];
///     player.update(&gradient)?;
/// }
/// # Ok::<(), lisse_solve::online::OnlineError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Player {
    learner: Learner,
    hint: Hint,
    /// The gradients that the next hint is made of, oldest first.
    recent: VecDeque<Vec<f64>>,
    /// The hint of this round, or the next.
    guess: Vec<f64>,
    supplied: bool,
    rounds: u64,
    turn: Turn,
}

impl Player {
    /// Puts a learner and a hint together.
    ///
    /// # Errors
    /// The hint `middle` for a learner without an anchor; a window of 0.
    pub fn new(learner: Learner, hint: Hint) -> Result<Player, OnlineError> {
        match hint {
            Hint::Middle if learner.anchor().is_none() => {
                return Err(out_of_range(
                    "hint",
                    "last, average, given or none for a learner that is not optimistic mirror descent",
                ));
            }
            Hint::Average { window: 0 } => return Err(out_of_range("hint.window", "at least 1")),
            _ => {}
        }
        let guess = vec![0.0; learner.dim()];
        let (recent, turn) = (VecDeque::new(), Turn::Predict);
        Ok(Player { learner, hint, recent, guess, supplied: false, rounds: 0, turn })
    }

    /// Says what the gradient of the next round may be, for [`Hint::Given`]. Other hints take no notice.
    ///
    /// # Errors
    /// A wrong number of entries, or one that is not finite.
    pub fn supply(&mut self, hint: &[f64]) -> Result<(), OnlineError> {
        check("the hint", hint, self.learner.dim(), self.rounds + 1)?;
        if matches!(self.hint, Hint::Given) && self.turn == Turn::Predict {
            self.guess.copy_from_slice(hint);
            self.supplied = true;
        }
        Ok(())
    }

    /// The point to play.
    ///
    /// # Errors
    /// A second call in a round; a hint that was not given; an inner solve that fails.
    pub fn predict(&mut self) -> Result<&[f64], OnlineError> {
        let round = self.rounds + 1;
        if self.turn != Turn::Predict {
            return Err(OnlineError::OutOfTurn { round, called: "predict" });
        }
        if matches!(self.hint, Hint::Given) && !self.supplied {
            return Err(OnlineError::NoHint { round });
        }
        self.learner.predict(&self.guess)?;
        self.turn = Turn::Update;
        Ok(self.learner.point())
    }

    /// Learns the gradient at the point played.
    ///
    /// # Errors
    /// A gradient that does not fit; no prediction before it; a learner or hint that needs the loss.
    pub fn update(&mut self, gradient: &[f64]) -> Result<(), OnlineError> {
        self.learn(gradient, None)
    }

    /// Learns the loss, and its gradient at the point played.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn update_with(&mut self, gradient: &[f64], loss: &dyn Loss) -> Result<(), OnlineError> {
        self.learn(gradient, Some(loss))
    }

    fn learn(&mut self, gradient: &[f64], loss: Option<&dyn Loss>) -> Result<(), OnlineError> {
        if self.turn != Turn::Update {
            return Err(OnlineError::OutOfTurn { round: self.rounds + 1, called: "update" });
        }
        if matches!(self.hint, Hint::Middle) && loss.is_none() {
            return Err(OnlineError::NeedsLoss { what: "the hint `middle`" });
        }
        self.learner.update(gradient, loss)?;
        self.rounds += 1;
        self.turn = Turn::Predict;
        self.supplied = false;
        self.remember(gradient, loss);
        Ok(())
    }

    fn remember(&mut self, gradient: &[f64], loss: Option<&dyn Loss>) {
        match self.hint {
            Hint::None | Hint::Given => {}
            Hint::Last => self.guess.copy_from_slice(gradient),
            Hint::Middle => {
                if let (Some(anchor), Some(loss)) = (self.learner.anchor(), loss) {
                    loss.gradient(anchor, &mut self.guess);
                }
            }
            Hint::Average { window } => {
                if self.recent.len() == window {
                    self.recent.pop_front();
                }
                self.recent.push_back(gradient.to_vec());
                let count = self.recent.len() as f64;
                for (i, g) in self.guess.iter_mut().enumerate() {
                    *g = self.recent.iter().map(|past| past[i]).sum::<f64>() / count;
                }
            }
        }
    }

    /// The point of this round.
    pub fn point(&self) -> &[f64] {
        self.learner.point()
    }

    /// The hint that this round's point was chosen with; between rounds, the next.
    pub fn guess(&self) -> &[f64] {
        &self.guess
    }

    /// Rounds finished.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// The learner.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }
}
