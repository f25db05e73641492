//! What can be said after the fact: bias, stationarity, and whether an error bound seems to hold.

use lisse_array::Stream;
use lisse_array::random::Law;
use serde::{Deserialize, Serialize};

use super::lower::{Penalised, penalised};
use crate::bilevel::vector::{axpy, distance, norm};
use crate::bilevel::{Oracle, Set, Warning};

/// How a run of the penalty method may be said to have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Stationary for the penalised objective, `sigma` small, and an error bound seems to hold: near a stationary point of `psi`.
    Converged,
    /// Not yet stationary, or `sigma` still large.
    NotYet,
    /// Without an error bound, stationarity of the penalised objective says nothing of `psi`.
    NoErrorBound,
}

/// The penalised objective at `sigma` and `sigma / 2`, and what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct PenaltyReport {
    /// At `sigma`.
    pub at_sigma: Penalised,
    /// At `sigma / 2`.
    pub at_half: Penalised,
    /// `2 psi_{sigma/2} - psi_sigma`: `psi` up to `O(sigma^2)`.
    pub extrapolated: f64,
    /// The same for the gradient.
    pub extrapolated_gradient: Vec<f64>,
    /// `extrapolated - psi_sigma`: estimate of the bias.
    pub bias: f64,
    /// `|x - P_X(x - gradient)|`, the gradient extrapolated.
    pub stationarity: f64,
    /// How it ended.
    pub ending: Ending,
    /// What was noticed.
    pub warnings: Vec<Warning>,
}

const MOST: usize = 20_000;

/// Solves the lower problems at `x` to `tolerance`, from `y` and `z`, and judges. `epsilon` is the stationarity wanted; `sigma` must be
/// at most that too for [`Ending::Converged`].
pub fn penalty_report(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    start: (&[f64], &[f64]),
    sigma: f64,
    epsilon: f64,
    tolerance: f64,
) -> PenaltyReport {
    let at_sigma = penalised(oracle, x, start, sigma, tolerance, MOST);
    let from = (at_sigma.y.as_slice(), at_sigma.z.as_slice());
    let at_half = penalised(oracle, x, from, 0.5 * sigma, tolerance, MOST);
    let mut warnings = Vec::new();
    note_active_sets(oracle.problem().set_y(), &at_sigma, tolerance, &mut warnings);
    let change = change(oracle, x, &at_sigma, &at_half, sigma, tolerance);
    if let Some(change) = change {
        Warning::NoErrorBound { change }.note(&mut warnings);
    }
    let extrapolated = 2.0 * at_half.value - at_sigma.value;
    let mut gradient: Vec<f64> = at_half.gradient.iter().map(|g| 2.0 * g).collect();
    axpy(&mut gradient, -1.0, &at_sigma.gradient);
    let stationarity = oracle.problem().set_x().projected_gradient(x, &gradient, 1.0);
    let ending = if change.is_some() {
        Ending::NoErrorBound
    } else if stationarity <= epsilon && sigma <= epsilon {
        Ending::Converged
    } else {
        Ending::NotYet
    };
    PenaltyReport {
        bias: extrapolated - at_sigma.value,
        extrapolated,
        extrapolated_gradient: gradient,
        stationarity,
        ending,
        warnings,
        at_sigma,
        at_half,
    }
}

/// Compares the active constraints at both solutions, up to what the solves leave open.
fn note_active_sets(set: &Set, at: &Penalised, tolerance: f64, warnings: &mut Vec<Warning>) {
    let near = tolerance.sqrt().min(1e-5);
    let ids = |y: &[f64]| -> Vec<usize> { set.active(y, near).iter().map(|a| a.id).collect() };
    let (penalised, lower) = (ids(&at.y), ids(&at.z));
    let only = |a: &[usize], b: &[usize]| a.iter().filter(|id| !b.contains(id)).count();
    let (penalised_only, lower_only) = (only(&penalised, &lower), only(&lower, &penalised));
    if penalised_only + lower_only > 0 {
        Warning::ActiveSetsDiffer { penalised_only, lower_only }.note(warnings);
    }
}

/// The relative change of the gradient if it tells that no error bound holds. Two signs: the gradient changes by more than half of
/// itself when `sigma` is halved; or its difference between two points `0.2 sigma` apart, on both sides of `x`, grows when both
/// `sigma` and the distance are halved. (With an error bound that difference is of the order of the distance; at a mere kink it stays.)
fn change(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    at_sigma: &Penalised,
    at_half: &Penalised,
    sigma: f64,
    tolerance: f64,
) -> Option<f64> {
    let size = 1.0 + norm(&at_sigma.gradient);
    let direct = distance(&at_half.gradient, &at_sigma.gradient) / size;
    if direct > 0.5 {
        return Some(direct);
    }
    let mut direction = vec![0.0; x.len()];
    Stream::new(0).child("error bound").fill(Law::Rademacher, 0, &mut direction);
    let length = norm(&direction);
    let mut jump = |sigma: f64, from: &Penalised| {
        let mut gradients = [1.0, -1.0].map(|sign| {
            let mut point = x.to_vec();
            axpy(&mut point, sign * 0.1 * sigma / length, &direction);
            oracle.project_x(&mut point);
            penalised(oracle, &point, (&from.y, &from.z), sigma, tolerance, MOST).gradient
        });
        let second = std::mem::take(&mut gradients[1]);
        distance(&gradients[0], &second)
    };
    let (wide, narrow) = (jump(sigma, at_sigma), jump(0.5 * sigma, at_half));
    (narrow > 1.5 * wide && narrow > 0.1 * size).then_some(narrow / size)
}
