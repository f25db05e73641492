//! What can be wrong with a problem of two levels, and what should make its user wary.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A bilevel problem or option that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BilevelError {
    /// A vector of the wrong length.
    #[error("{what} has {found} entries; expected {expected}")]
    Length {
        /// Which vector.
        what: &'static str,
        /// Its length.
        found: usize,
        /// What it should be.
        expected: usize,
    },
    /// NaN or infinity.
    #[error("{what}: entry {entry} is {value}; expected finite numbers{hint}")]
    NotFinite {
        /// Which vector.
        what: &'static str,
        /// Its first bad entry.
        entry: usize,
        /// What stands there.
        value: f64,
        /// What to try, as the end of the sentence.
        hint: &'static str,
    },
    /// A number out of its range.
    #[error("{what} is {value}; expected {expected}")]
    Number {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Its range.
        expected: &'static str,
    },
    /// A set without points.
    #[error("{what} is empty: {reason}")]
    Empty {
        /// Which set.
        what: &'static str,
        /// Why nothing lies in it.
        reason: String,
    },
    /// Constraints that contradict each other, with a proof.
    #[error(
        "the constraints have no solution: the combination of their rows with the weights {certificate:?} has no variable left but \
         would have to be {gap:e}; drop or loosen one of the rows with a weight that is not 0"
    )]
    Infeasible {
        /// Weights of the rows.
        certificate: Vec<f64>,
        /// What the combination claims of 0.
        gap: f64,
    },
    /// A method that does not fit the problem.
    #[error("{method} cannot solve this problem: {reason}")]
    Unsupported {
        /// The method.
        method: &'static str,
        /// Why not, and what can.
        reason: String,
    },
}

/// Something that a method saw and that makes its result doubtful. Each is raised at most once per kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "kebab-case")]
pub enum Warning {
    /// `v^T (d2g/dy2) v < 0`: the lower problem is not convex there.
    NegativeCurvature {
        /// `v^T H v / v^T v`.
        curvature: f64,
    },
    /// `v^T (d2g/dy2) v` is nearly 0 beside its largest value: the lower problem is not strongly convex, its solution need not be unique.
    FlatCurvature {
        /// Smallest over largest curvature met.
        ratio: f64,
    },
    /// The active constraints at the two lower solutions differ: the penalty is too weak for its gradient to be near the true one.
    ActiveSetsDiffer {
        /// Active at the penalised solution only.
        penalised_only: usize,
        /// Active at the lower solution only.
        lower_only: usize,
    },
    /// An active constraint has a multiplier of nearly 0 (no strict complementarity): the solution has a kink there.
    WeaklyActive {
        /// Its multiplier.
        multiplier: f64,
    },
    /// The gradients of active constraints depend on each other: multipliers are not unique.
    DependentConstraints {
        /// Rank of the active Jacobian.
        rank: usize,
        /// Active constraints.
        active: usize,
    },
    /// The gradient of the penalised objective keeps growing as the penalty shrinks: there is no error bound, the result need not be
    /// near a solution of the problem of two levels.
    NoErrorBound {
        /// `|gradient at sigma / 2 - gradient at sigma| / (1 + |gradient at sigma|)`.
        change: f64,
    },
    /// The penalty parameter is so small that the difference of gradients is rounding error.
    Cancellation {
        /// The parameter.
        sigma: f64,
    },
    /// A multiplier sits at its bound; raise the bound.
    MultiplierAtBound {
        /// The bound.
        bound: f64,
    },
    /// The saddle steps grew, the last good state was taken back and the step sizes were halved.
    Restarted {
        /// At this step.
        step: u64,
    },
}

impl Warning {
    /// The names of all kinds.
    pub const NAMES: [&'static str; 9] = [
        "negative_curvature",
        "flat_curvature",
        "active_sets_differ",
        "weakly_active",
        "dependent_constraints",
        "no_error_bound",
        "cancellation",
        "multiplier_at_bound",
        "restarted",
    ];

    /// The name under which reports count it.
    pub fn name(&self) -> &'static str {
        match self {
            Warning::NegativeCurvature { .. } => "negative_curvature",
            Warning::FlatCurvature { .. } => "flat_curvature",
            Warning::ActiveSetsDiffer { .. } => "active_sets_differ",
            Warning::WeaklyActive { .. } => "weakly_active",
            Warning::DependentConstraints { .. } => "dependent_constraints",
            Warning::NoErrorBound { .. } => "no_error_bound",
            Warning::Cancellation { .. } => "cancellation",
            Warning::MultiplierAtBound { .. } => "multiplier_at_bound",
            Warning::Restarted { .. } => "restarted",
        }
    }

    /// Adds it to a list unless one of its kind is there.
    pub fn note(self, list: &mut Vec<Warning>) {
        if list.iter().all(|other| other.name() != self.name()) {
            list.push(self);
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::NegativeCurvature { curvature } => write!(
                f,
                "the lower problem is not convex: its Hessian has curvature {curvature:.3e} along a direction; add a ridge to it"
            ),
            Warning::FlatCurvature { ratio } => write!(
                f,
                "the lower problem is hardly strongly convex (curvatures differ by a factor {:.1e}); hypergradients that invert its \
                 Hessian are unreliable, add a ridge or use the penalty method",
                1.0 / ratio
            ),
            Warning::ActiveSetsDiffer { penalised_only, lower_only } => write!(
                f,
                "{penalised_only} constraints are active only at the penalised and {lower_only} only at the lower solution: sigma is \
                 too large for the gradient to be near the true one; make it smaller"
            ),
            Warning::WeaklyActive { multiplier } => write!(
                f,
                "an active constraint has the multiplier {multiplier:.3e}, nearly 0: the objective may have a kink here, its gradient is \
                 one of several"
            ),
            Warning::DependentConstraints { rank, active } => write!(
                f,
                "the {active} active constraints have only {rank} independent gradients; multipliers are not unique"
            ),
            Warning::NoErrorBound { change } => write!(
                f,
                "the gradient of the penalised objective changes by {change:.2} of itself when sigma is halved: no error bound holds \
                 here, and this point need not be near a solution of the problem of two levels"
            ),
            Warning::Cancellation { sigma } => write!(
                f,
                "sigma = {sigma:.1e} leaves no digits in the difference of gradients; keep it above 1e-7"
            ),
            Warning::MultiplierAtBound { bound } => {
                write!(f, "a multiplier reached its bound {bound}; raise the bound")
            }
            Warning::Restarted { step } => write!(
                f,
                "the steps grew tenfold at step {step}: the last good state was taken back and the step sizes halved"
            ),
        }
    }
}
