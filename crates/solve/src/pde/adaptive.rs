//! A reduced model that is refined where its error bound asks for it.

use serde::{Deserialize, Serialize};

use super::error::require;
use super::{Basis, MaxElliptic, PdeError, Reduced, Stationary, Tracking, WeightedProblem};

/// Solves weighted sums in a reduced basis, and with the full model where the bounds on state and adjoint, relative to their energy norms,
/// exceed `tolerance`; the full solution then joins the basis. Along a front few full solves suffice, and they gather where
/// the front changes. (A step of a method on the front thus stays within the region in which the reduced model is trusted.)
pub struct AdaptiveReduced<'a> {
    problem: &'a Tracking,
    reduced: Reduced<'a>,
    tolerance: f64,
    counts: Counts,
}

/// What a reduced model has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Solves with the full model.
    pub full: usize,
    /// Linear systems of the full model in them.
    pub full_systems: usize,
    /// Solves with the reduced model.
    pub reduced: usize,
}

impl<'a> AdaptiveReduced<'a> {
    /// With an empty basis.
    ///
    /// # Errors
    /// [`PdeError::Option`] for a tolerance not above 0.
    pub fn new(problem: &'a Tracking, tolerance: f64) -> Result<AdaptiveReduced<'a>, PdeError> {
        AdaptiveReduced::with_basis(problem, Basis::new(), tolerance)
    }

    /// With a basis from elsewhere, such as an earlier front.
    ///
    /// # Errors
    /// [`PdeError::Option`] for a tolerance not above 0.
    pub fn with_basis(
        problem: &'a Tracking,
        basis: Basis,
        tolerance: f64,
    ) -> Result<AdaptiveReduced<'a>, PdeError> {
        require(tolerance > 0.0, "tolerance", tolerance, "above 0")?;
        let reduced = Reduced::new(problem, basis);
        Ok(AdaptiveReduced { problem, reduced, tolerance, counts: Counts::default() })
    }

    /// The reduced model as it is.
    pub fn reduced(&self) -> &Reduced<'a> {
        &self.reduced
    }

    /// What it has cost so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

impl WeightedProblem for AdaptiveReduced<'_> {
    fn solve(
        &mut self,
        weights: &[f64],
        start: Option<&Stationary>,
    ) -> Result<Stationary, PdeError> {
        let mut guess = start.cloned();
        if !self.reduced.basis().is_empty() {
            self.counts.reduced += 1;
            if let Ok(point) = self.reduced.weighted(weights, start) {
                if self.reduced.bounds(&point).into_iter().all(|bound| bound <= self.tolerance) {
                    return Ok(point);
                }
                guess = Some(point);
            }
        }
        let full = self.problem.weighted(weights, guess.as_ref())?;
        self.counts.full += 1;
        self.counts.full_systems += full.steps;
        let equation = self.problem.equation();
        let mut basis = self.reduced.basis().clone();
        basis.extend(equation, &full.y, 1e-10);
        basis.extend(equation, &full.p, 1e-10);
        self.reduced = Reduced::new(self.problem, basis);
        Ok(full)
    }

    fn objectives(&self) -> usize {
        self.problem.goals().len()
    }
}

impl Basis {
    /// The weak greedy method: adds the state of the control with the largest relative error bound, until all are below `tolerance` or `most`
    /// vectors are in. Returns the basis and the largest bound before each addition, and at the end.
    ///
    /// # Errors
    /// [`PdeError`] of a state that cannot be computed.
    pub fn greedy(
        problem: &Tracking,
        controls: &[Vec<f64>],
        tolerance: f64,
        most: usize,
    ) -> Result<(Basis, Vec<f64>), PdeError> {
        let equation: &MaxElliptic = problem.equation();
        let (mut basis, mut history) = (Basis::new(), Vec::new());
        loop {
            let reduced = Reduced::new(problem, basis.clone());
            let mut worst = (0, 0.0);
            for (k, u) in controls.iter().enumerate() {
                let state = reduced.state(u)?;
                let size = equation.energy(&state.y).sqrt();
                let bound =
                    if size > 0.0 { state.bound / size } else { state.bound / f64::EPSILON };
                if bound > worst.1 {
                    worst = (k, bound);
                }
            }
            history.push(worst.1);
            if worst.1 <= tolerance || basis.len() >= most {
                return Ok((basis, history));
            }
            let before = basis.len();
            let state = equation.state(&controls[worst.0], None)?;
            basis.extend(equation, &state.y, 1e-12);
            if basis.len() == before {
                return Ok((basis, history));
            }
        }
    }
}
