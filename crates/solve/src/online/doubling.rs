//! Learners that must know the number of rounds, without knowing it.

use serde::{Deserialize, Serialize};

use super::{
    Learner, LearnerConfig, Loss, OnlineError, OnlineLearner, Setting, check, out_of_range,
};

/// The doubling trick: a fresh learner, planned for `first`, then `2 first`, `4 first`, ... rounds. Costs a constant factor of the regret of
/// one that knew the horizon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubling {
    config: LearnerConfig,
    /// Of the current learner; its horizon is the stage's length.
    setting: Setting,
    learner: Learner,
    /// Rounds finished in this stage.
    rounds: u64,
}

impl Doubling {
    /// Begins with a stage of `first` rounds.
    ///
    /// # Errors
    /// `first` of 0; what the learner itself refuses.
    pub fn new(
        config: LearnerConfig,
        setting: &Setting,
        first: u64,
    ) -> Result<Doubling, OnlineError> {
        if first == 0 {
            return Err(out_of_range("first", "at least 1"));
        }
        let setting = Setting { horizon: first, ..setting.clone() };
        let learner = config.build(&setting)?;
        Ok(Doubling { config, setting, learner, rounds: 0 })
    }

    /// Rounds of the current stage.
    pub fn stage(&self) -> u64 {
        self.setting.horizon
    }
}

impl OnlineLearner for Doubling {
    fn dim(&self) -> usize {
        self.learner.dim()
    }

    fn predict(&mut self, hint: &[f64]) -> Result<(), OnlineError> {
        check("the hint", hint, self.dim(), self.rounds + 1)?;
        if self.rounds == self.setting.horizon {
            self.setting.horizon *= 2;
            self.learner = self.config.build(&self.setting)?;
            self.rounds = 0;
        }
        self.learner.predict(hint)
    }

    fn point(&self) -> &[f64] {
        self.learner.point()
    }

    fn update(&mut self, gradient: &[f64], loss: Option<&dyn Loss>) -> Result<(), OnlineError> {
        self.learner.update(gradient, loss)?;
        self.rounds += 1;
        Ok(())
    }
}
