//! Learners with many step sizes under a Hedge, for an optimum that moves.

use serde::{Deserialize, Serialize};

use super::omd::moves;
use super::{Hedge, Learner, Loss, OnlineError, OnlineLearner, check, dot, out_of_range};

/// How the learners of an [`Ensemble`] and their Hedge are fed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Meta {
    /// One gradient a round, at the ensemble's point, for all. The Hedge sees `<g, x_i> + c ||x_i - x_i before||^2`, and the same with the
    /// last gradient as its guess: learners that move much must be worth it (Zhao, Zhang, Zhang and Zhou, "Adaptivity and Non-stationarity",
    /// 2021; the ensemble of the SEA paper).
    Collaborative {
        /// `c`, usually `2 L`.
        switching: f64,
    },
    /// One gradient a round; the Hedge sees `<g, x_i - x>` and has no guess (Ader; Zhang, Lu and Zhou, 2018).
    Surrogate,
    /// Every learner takes extra-gradient steps with gradients of its own; the guess is made with the last loss at the weighted mean of the
    /// new points (Sword; Zhao, Zhang, Zhang and Zhou, 2020). Needs the loss.
    Own,
}

/// Several learners whose points are mixed by a [`Hedge`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    learners: Vec<Learner>,
    hedge: Hedge,
    meta: Meta,
    point: Vec<f64>,
    points: Vec<Vec<f64>>,
    /// The points of the round before; empty in the first.
    before: Vec<Vec<f64>>,
    /// `c ||x_i - x_i before||^2`.
    moves: Vec<f64>,
    /// The Hedge's guess, for [`Meta::Own`].
    guess: Vec<f64>,
    rounds: u64,
    played: bool,
}

/// `first`, `ratio first`, `ratio^2 first`, ... below `cap`, and `cap`.
pub fn grid(first: f64, ratio: f64, cap: f64) -> Vec<f64> {
    let mut steps = Vec::new();
    let mut next = first;
    // A step within rounding of the cap is the cap.
    while next < cap * (1.0 - 1e-12) {
        steps.push(next);
        next *= ratio;
    }
    steps.push(cap);
    steps
}

impl Ensemble {
    /// Puts learners of one dimension under a Hedge with as many experts.
    ///
    /// # Errors
    /// No learners; learners of different dimensions; a Hedge of another size; a negative penalty on moves; [`Meta::Own`] with a learner
    /// that has no anchor.
    pub fn new(learners: Vec<Learner>, hedge: Hedge, meta: Meta) -> Result<Ensemble, OnlineError> {
        let Some(first) = learners.first() else {
            return Err(out_of_range("learners", "at least one learner"));
        };
        let dim = first.dim();
        if let Some(other) = learners.iter().find(|l| l.dim() != dim) {
            let (expected, found) = (dim, other.dim());
            return Err(OnlineError::Dimension { what: "a learner's point", expected, found });
        }
        if hedge.weights().len() != learners.len() {
            let (expected, found) = (learners.len(), hedge.weights().len());
            return Err(OnlineError::Dimension { what: "the Hedge", expected, found });
        }
        match meta {
            Meta::Collaborative { switching } if !(switching >= 0.0 && switching.is_finite()) => {
                return Err(out_of_range("switching", "a number of at least 0"));
            }
            Meta::Own if learners.iter().any(|l| l.anchor().is_none()) => {
                return Err(out_of_range("learners", "optimistic mirror descent"));
            }
            _ => {}
        }
        let count = learners.len();
        Ok(Ensemble {
            point: first.point().to_vec(),
            points: learners.iter().map(|l| l.point().to_vec()).collect(),
            before: Vec::new(),
            moves: vec![0.0; count],
            guess: vec![0.0; count],
            learners,
            hedge,
            meta,
            rounds: 0,
            played: false,
        })
    }

    /// The Hedge's weights on the learners.
    pub fn weights(&self) -> &[f64] {
        self.hedge.weights()
    }

    /// The learners' points.
    pub fn points(&self) -> &[Vec<f64>] {
        &self.points
    }

    fn collect_points(&mut self) {
        for (point, learner) in self.points.iter_mut().zip(&self.learners) {
            point.copy_from_slice(learner.point());
        }
    }

    fn mix(&self, out: &mut [f64]) {
        out.fill(0.0);
        for (point, weight) in self.points.iter().zip(self.hedge.weights()) {
            for (o, x) in out.iter_mut().zip(point) {
                *o += weight * x;
            }
        }
    }

    fn inner_products(&self, g: &[f64]) -> Vec<f64> {
        self.points.iter().zip(&self.moves).map(|(x, m)| dot(g, x) + m).collect()
    }

    /// Steps of learners with gradients of their own, up to their next points.
    fn extra_gradient(&mut self, loss: &dyn Loss) -> Result<(), OnlineError> {
        let mut g = vec![0.0; self.point.len()];
        for learner in &mut self.learners {
            loss.gradient(learner.point(), &mut g);
            learner.update(&g, Some(loss))?;
            let anchor = learner.anchor().ok_or(OnlineError::NeedsLoss { what: "an anchor" })?;
            loss.gradient(anchor, &mut g);
            learner.predict(&g)?;
        }
        self.collect_points();
        let mut mean = vec![0.0; self.point.len()];
        self.mix(&mut mean);
        loss.gradient(&mean, &mut g);
        self.guess = self.inner_products(&g);
        Ok(())
    }
}

impl OnlineLearner for Ensemble {
    fn dim(&self) -> usize {
        self.point.len()
    }

    fn predict(&mut self, hint: &[f64]) -> Result<(), OnlineError> {
        let round = self.rounds + 1;
        if self.played {
            return Err(OnlineError::OutOfTurn { round, called: "predict" });
        }
        check("the hint", hint, self.point.len(), round)?;
        let none = vec![0.0; hint.len()];
        let base_hint = if matches!(self.meta, Meta::Collaborative { .. }) { hint } else { &none };
        if self.rounds == 0 || self.meta != Meta::Own {
            for learner in &mut self.learners {
                learner.predict(base_hint)?;
            }
            self.collect_points();
        }
        let guess = match self.meta {
            Meta::Collaborative { switching } => {
                if !self.before.is_empty() {
                    self.moves = moves(&self.points, &self.before);
                    for m in &mut self.moves {
                        *m *= switching;
                    }
                }
                self.inner_products(hint)
            }
            Meta::Surrogate => vec![0.0; self.learners.len()],
            Meta::Own => self.guess.clone(),
        };
        self.hedge.predict(&guess)?;
        let mut point = std::mem::take(&mut self.point);
        self.mix(&mut point);
        self.point = point;
        self.played = true;
        Ok(())
    }

    fn point(&self) -> &[f64] {
        &self.point
    }

    fn update(&mut self, gradient: &[f64], loss: Option<&dyn Loss>) -> Result<(), OnlineError> {
        let round = self.rounds + 1;
        if !self.played {
            return Err(OnlineError::OutOfTurn { round, called: "update" });
        }
        check("the gradient", gradient, self.point.len(), round)?;
        if self.meta == Meta::Own && loss.is_none() {
            return Err(OnlineError::NeedsLoss { what: "the ensemble `sword`" });
        }
        let mut losses = self.inner_products(gradient);
        if self.meta == Meta::Surrogate {
            let own = dot(gradient, &self.point);
            for l in &mut losses {
                *l -= own;
            }
        }
        self.hedge.update(&losses)?;
        match (self.meta, loss) {
            (Meta::Own, Some(loss)) => self.extra_gradient(loss)?,
            _ => {
                for learner in &mut self.learners {
                    learner.update(gradient, loss)?;
                }
            }
        }
        self.before.clone_from(&self.points);
        self.rounds += 1;
        self.played = false;
        Ok(())
    }
}
