//! The options of the method and its relatives.

use serde::{Deserialize, Serialize};

use super::Refinement;
use crate::bilevel::baselines::Decay;

/// Bilevel optimization with normalized momentum, a refined start and periodic updates of the lower level (BO-REP).
///
/// For `min over x of Phi(x) = f(x, y*(x))`, `y*(x) = argmin over y of g(x, y)` with `g(x, .)` strongly convex, and samples `F`, `G`
/// of `f`, `g`:
///
/// ```text
/// y_0 = refinement of y at x_0
/// every `period` steps:  y <- mean of `inner` steps  y - gamma grad_y G,  projected onto the ball of `radius` around the old y
/// every step:            z <- z - nu (H_yy G z - grad_y F)                 the solution of  H_yy z = grad_y f, tracked
///                        h =  grad_x F - J_xy G z                          the hyper-gradient
///                        m <- beta m + (1 - beta) h
///                        x <- x - eta m / (||m|| + 1e-10)
/// ```
///
/// The length of a step of `x` does not depend on the size of the gradient: that is what makes it safe where smoothness grows with
/// the gradient, as in recurrent networks. Every term has a sample of its own. Reference: Hao, Gong and Liu, "Bilevel Optimization
/// under Unbounded Smoothness: A New Algorithm and Convergence Analysis", ICLR 2024.
///
/// With other [`Upper`], [`Inverse`], `simultaneous` and one lower step the same loop is SLIP, MA-SOBA, and SOBA in Gauss-Seidel order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoRep {
    /// Step length (or rate) `eta` of the upper level.
    pub eta: f64,
    /// `a` in `eta (k + 1)^-a`; 0 ends in a cycle whose size is of the order of `eta`.
    pub decay: f64,
    /// Rate `gamma` of the lower level; `1 / lambda_max` of the lower Hessian if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// Momentum of the upper level.
    pub beta: f64,
    /// When the lower level is refreshed.
    pub period: Period,
    /// Steps `N` of a refresh.
    pub inner: usize,
    /// Whether a refresh ends in the mean of its steps rather than in the last.
    pub average: bool,
    /// Radius `R` of the ball around its start that a refresh stays in. Useful: a few times `eta` times the steps between two
    /// refreshes times the Lipschitz constant of `y*`, how far `y*` moves in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub radius: Option<f64>,
    /// The start of the lower level.
    pub refinement: Refinement,
    /// How `H_yy^-1 grad_y f` is found.
    pub inverse: Inverse,
    /// Rate `nu` of that; `1 / lambda_max` of the lower Hessian if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nu: Option<f64>,
    /// Added to the diagonal of `H_yy`, for lower levels that are not convex.
    pub ridge: f64,
    /// What a step of `x` makes of `m`.
    pub upper: Upper,
    /// Whether `y`, `z` and `x` are updated from the same point rather than one after the other.
    pub simultaneous: bool,
    /// Samples whose updates of `z` and `m` make one step of `x`, along the mean of their `m`: tasks of a meta-batch.
    pub tasks: usize,
    /// The mean of `x` is taken from this step on, if at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_from: Option<u64>,
    /// Converged when `||m||` is below this for 50 steps in a row; 0 for never.
    pub tolerance: f64,
}

/// When the lower level is refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Period {
    /// Every so many steps of the upper level.
    Every {
        /// `I`
        steps: u64,
    },
    /// When `y*` may have moved by more than `tolerance` since the last time: the way of `x` times the Lipschitz constant of `y*`.
    Drift {
        /// Largest distance.
        tolerance: f64,
        /// The Lipschitz constant; without it, the largest ratio of the ways of `y` and `x` seen from refresh to refresh, forgotten
        /// by a tenth each time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lipschitz: Option<f64>,
    },
}

/// How `z = H_yy^-1 grad_y f` is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Inverse {
    /// One gradient step of the quadratic `z' H z / 2 - z' grad_y f` from the last `z`: one Hessian-vector product.
    #[default]
    Running,
    /// One gradient step of `||H z - grad_y f||^2 / 2`: two products, and right for indefinite `H` as well. Its rate is `nu^2`.
    LeastSquares,
    /// Anew each time: the Neumann series `nu sum_j (I - nu H)^j grad_y f`.
    Neumann {
        /// Terms, one product each.
        terms: usize,
    },
    /// Conjugate gradients from the last `z`, with one sample of `H`.
    Cg {
        /// Most products.
        iterations: usize,
        /// Leaves when the residual is below this part of the right side.
        tolerance: f64,
    },
}

/// What a step of the upper level makes of the momentum `m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Upper {
    /// `m / (||m|| + 1e-10)`, with the norm of all parameters together.
    #[default]
    Normalized,
    /// `m`
    Plain,
    /// `m min(1, bound / ||m||)`
    Clipped {
        /// Longest step before `eta`.
        bound: f64,
    },
    /// `m / (1 - beta^k)` over the root of the mean of squares `h^2`, both without bias (Adam).
    Adam {
        /// Memory of the squares.
        beta2: f64,
    },
}

impl Default for BoRep {
    /// The values of the paper's code for representations, with rates found from the curvature of the lower level.
    fn default() -> Self {
        BoRep {
            eta: 1e-2,
            decay: 0.0,
            gamma: None,
            beta: 0.9,
            period: Period::Every { steps: 2 },
            inner: 3,
            average: true,
            radius: None,
            refinement: Refinement::default(),
            inverse: Inverse::Running,
            nu: None,
            ridge: 0.0,
            upper: Upper::Normalized,
            simultaneous: false,
            tasks: 1,
            mean_from: None,
            tolerance: 0.0,
        }
    }
}

impl BoRep {
    /// The paper's code for few-shot learning of text representations.
    pub fn hyper_representation() -> BoRep {
        BoRep { gamma: Some(1e-3), nu: Some(1e-2), tasks: 20, ..BoRep::default() }
    }

    /// The paper's code for weights of training examples.
    pub fn data_cleaning() -> BoRep {
        BoRep { eta: 5e-2, gamma: Some(5e-2), nu: Some(1e-2), inner: 10, ..BoRep::default() }
    }

    /// The paper's code for a learned regularizer.
    pub fn hyper_parameter() -> BoRep {
        BoRep {
            eta: 1e-4,
            gamma: Some(2e-3),
            nu: Some(1e-2),
            period: Period::Every { steps: 3 },
            tasks: 10,
            ..BoRep::default()
        }
    }

    /// SLIP (Gong, Hao and Liu 2024): a warm start of `y`, then one lower step for each step of the upper level.
    pub fn slip(eta: f64) -> BoRep {
        BoRep { eta, ..BoRep::single_loop() }
    }

    /// MA-SOBA (Chen, Xiao and Balasubramanian 2024): all three steps from one point, momentum, no normalization. With `beta = 0` it
    /// is SOBA.
    pub fn ma_soba(eta: f64, beta: f64) -> BoRep {
        BoRep {
            eta,
            beta,
            refinement: Refinement::None,
            upper: Upper::Plain,
            simultaneous: true,
            ..BoRep::single_loop()
        }
    }

    fn single_loop() -> BoRep {
        BoRep { period: Period::Every { steps: 1 }, inner: 1, average: false, ..BoRep::default() }
    }

    /// `eta (k + 1)^-a`
    pub fn eta_at(&self, step: u64) -> f64 {
        Decay { first: self.eta, power: self.decay }.at(step)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// The first option out of range, with what would be right.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let not_negative = |v: f64| v >= 0.0 && v.is_finite();
        let optional = |v: Option<f64>| v.is_none_or(positive);
        check(not_negative(self.eta), "eta", "a finite number of at least 0")?;
        check((0.0..=0.75).contains(&self.decay), "decay", "a number from 0 to 0.75")?;
        check(
            optional(self.gamma),
            "gamma",
            "a finite number above 0, or none for 1 / lambda_max",
        )?;
        check((0.0..1.0).contains(&self.beta), "beta", "a number from 0 to below 1")?;
        check(self.inner > 0, "inner", "at least 1")?;
        check(self.radius.is_none_or(not_negative), "radius", "a finite number of at least 0")?;
        check(optional(self.nu), "nu", "a finite number above 0, or none for 1 / lambda_max")?;
        check(not_negative(self.ridge), "ridge", "a finite number of at least 0")?;
        check(self.tasks > 0, "tasks", "at least 1")?;
        check(not_negative(self.tolerance), "tolerance", "a finite number of at least 0")?;
        match self.period {
            Period::Every { steps } => check(steps > 0, "period.steps", "at least 1")?,
            Period::Drift { tolerance, lipschitz } => {
                check(positive(tolerance), "period.tolerance", "a finite number above 0")?;
                check(optional(lipschitz), "period.lipschitz", "a finite number above 0, or none")?;
            }
        }
        match self.refinement {
            Refinement::Epochs { epochs, steps, radius } => {
                check((1..=20).contains(&epochs), "refinement.epochs", "from 1 to 20")?;
                check(steps > 0, "refinement.steps", "at least 1")?;
                check(optional(radius), "refinement.radius", "a finite number above 0, or none")?;
            }
            Refinement::None | Refinement::Steps { .. } => {}
        }
        match self.inverse {
            Inverse::Neumann { terms } => check(terms > 0, "inverse.terms", "at least 1")?,
            Inverse::Cg { iterations, tolerance } => {
                check(iterations > 0, "inverse.iterations", "at least 1")?;
                check(
                    not_negative(tolerance),
                    "inverse.tolerance",
                    "a finite number of at least 0",
                )?;
            }
            Inverse::Running | Inverse::LeastSquares => {}
        }
        match self.upper {
            Upper::Clipped { bound } => {
                check(positive(bound), "upper.bound", "a finite number above 0")
            }
            Upper::Adam { beta2 } => {
                check((0.0..1.0).contains(&beta2), "upper.beta2", "a number from 0 to below 1")
            }
            Upper::Normalized | Upper::Plain => Ok(()),
        }
    }
}

/// An option out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: expected {expected}")]
pub struct OutOfRange {
    /// The option.
    pub key: &'static str,
    /// What would be right.
    pub expected: &'static str,
}

pub(crate) fn check(
    good: bool,
    key: &'static str,
    expected: &'static str,
) -> Result<(), OutOfRange> {
    if good { Ok(()) } else { Err(OutOfRange { key, expected }) }
}
