//! What a stream was like, in hindsight.

use rayon::prelude::*;

use crate::online::{Environment, OnlineError, distance_squared};

/// The first rounds of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub round: u64,
    /// Loss of the best fixed point, and how much less another could at most have; at horizons.
    pub best: Option<(f64, f64)>,
    /// Loss of the minimizers of the means.
    pub moving: f64,
    /// Length of their path.
    pub path: f64,
    /// Loss of the point where learners start.
    pub origin: f64,
    /// `sum sigma_t^2`, and `sum sup ||grad F_t - grad F_{t-1}||^2`.
    pub variance: f64,
    pub drift: f64,
}

/// At the marks.
pub(super) type Facts = Vec<Fact>;

/// A round: loss of the moving minimizer, the minimizer, loss of the origin, difficulty.
type Seen = (f64, Vec<f64>, f64, (f64, f64));

/// Goes through the rounds up to the last mark.
pub(super) fn gather(
    environment: &dyn Environment,
    marks: &[u64],
    horizons: &[u64],
) -> Result<Facts, OnlineError> {
    let setting = environment.setting();
    let start = setting.domain.start(setting.dim);
    let last = marks.last().copied().unwrap_or(0);
    let look = |t: u64| -> Result<Seen, OnlineError> {
        let loss = environment.round(t);
        let best = environment.best_at(t)?;
        Ok((loss.value(&best), best, loss.value(&start), environment.difficulty(t)))
    };
    // The first look finds what the others share.
    look(1)?;
    let seen: Vec<Seen> = (1..=last).into_par_iter().map(look).collect::<Result<_, _>>()?;
    let mut facts = Vec::with_capacity(marks.len());
    let mut fact = Fact {
        round: 0,
        best: None,
        moving: 0.0,
        path: 0.0,
        origin: 0.0,
        variance: 0.0,
        drift: 0.0,
    };
    for (i, (moving, best, origin, (variance, drift))) in seen.iter().enumerate() {
        fact.round += 1;
        fact.moving += moving;
        fact.origin += origin;
        fact.variance += variance;
        fact.drift += drift;
        if i > 0 {
            fact.path += distance_squared(best, &seen[i - 1].1).sqrt();
        }
        if marks.get(facts.len()) == Some(&fact.round) {
            facts.push(fact.clone());
        }
    }
    for fact in facts.iter_mut().filter(|fact| horizons.contains(&fact.round)) {
        let fixed = environment.best_fixed(fact.round)?;
        let count = fact.round as f64;
        fact.best = Some((fixed.value * count, fixed.gap * count));
    }
    Ok(facts)
}
