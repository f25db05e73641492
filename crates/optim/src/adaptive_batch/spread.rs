//! How the gradients of examples spread around their mean.

use lisse_array::Array;
use lisse_run::Ranks;

use super::Moments;

/// Which of a [`Spread`]'s numbers a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Variance, in all and along the mean gradient: one number of each example.
    Numbers,
    /// Variance of every coordinate.
    Coordinates,
}

/// What is to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which numbers.
    pub wanted: Wanted,
    /// Into how many micro-batches to part the batch, to look at their means in place of single examples; `None` for examples.
    pub parts: Option<usize>,
}

/// Sample statistics of the gradients `g_i` of a batch's `b` examples around their mean `g`, over all trained parameters jointly.
#[derive(Clone, Debug)]
pub struct Spread {
    /// `b`
    pub examples: usize,
    /// Vectors that were looked at: the examples, or micro-batches.
    pub observations: usize,
    /// `|V|_1`: the variance (divided by the count less one) summed over coordinates.
    pub total: f64,
    /// `Var_i <g_i, g>`
    pub along: Option<f64>,
    /// `|g|^2`
    pub squared_norm: f64,
    /// `V_j / g_j^2` by coordinate, `g_j^2` at least [`FLOOR`](Spread::FLOOR) of its largest.
    pub ratios: Option<Array>,
    /// The first example of the batch whose gradient is not finite.
    pub flawed: Option<usize>,
}

impl Spread {
    /// Smallest `g_j^2` that counts, in units of the largest.
    pub const FLOOR: f64 = 1e-12;

    /// The spread of gradients stacked as `[examples, d]`, with all its numbers.
    ///
    /// # Panics
    /// On another shape, or without a row.
    pub fn of_rows(rows: &Array) -> Spread {
        let moments = Moments::of_rows(rows);
        let projections = Projections::of_rows(rows, &moments.mean, 1);
        let squared_norm = moments.mean.square().sum_all().item();
        Spread { ratios: moments.spread().ratios, ..projections.spread(squared_norm) }
    }

    /// The variance across the mean gradient: `|V|_1 - Var_i <g_i, g> / |g|^2`, that of `o_i = g_i - (<g_i, g> / |g|^2) g`.
    pub fn across(&self) -> Option<f64> {
        let across = self.total - self.along? / self.squared_norm;
        // Both are sums of squares: only rounding can make the difference negative.
        Some(if across < 0.0 { 0.0 } else { across })
    }
}

/// Sums over examples of what the inner-product tests look at, relative to a mean gradient `g` that is known before: `r_i = g_i - g`
/// gives `|r_i|^2` and `<r_i, g>`, each one number summed over ALL tensors before it is squared.
///
/// Parts with the same `g` add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Projections {
    /// Examples behind it.
    pub examples: usize,
    /// Vectors seen.
    pub observations: usize,
    /// Sum of `n |r|^2`, `n` the examples of an observation.
    pub deviation: f64,
    /// Sum of `n <r, g>`.
    pub along: f64,
    /// Sum of `n <r, g>^2`.
    pub along_squared: f64,
    /// The first example, counted within the part, whose gradient is not finite.
    pub flawed: Option<usize>,
}

impl Projections {
    /// Of rows `[observations, d]`, each the mean gradient of `size` examples, around the mean gradient `[d]` of the batch.
    pub fn of_rows(rows: &Array, mean: &Array, size: usize) -> Projections {
        let residuals = rows - mean;
        let deviations = residuals.square().sum(&[1]).to_f64_vec();
        let along = residuals.matmul(mean).to_f64_vec();
        let sums = Projections::of_numbers(&deviations, &along, size);
        // One bad row spoils the mean and with it all residuals: look at the rows themselves.
        let bad = |row: usize| !rows.narrow(0, row, 1).all_finite();
        let finite = sums.deviation.is_finite() && sums.along_squared.is_finite();
        let flawed = if finite { None } else { (0..rows.dim(0)).find(|&row| bad(row)) };
        Projections { flawed: flawed.map(|row| row * size), ..sums }
    }

    /// Of `|r_i|^2` and `<r_i, g>` of each observation.
    pub fn of_numbers(deviations: &[f64], along: &[f64], size: usize) -> Projections {
        let n = size as f64;
        Projections {
            examples: deviations.len() * size,
            observations: deviations.len(),
            deviation: n * deviations.iter().sum::<f64>(),
            along: n * along.iter().sum::<f64>(),
            along_squared: n * along.iter().map(|p| p * p).sum::<f64>(),
            flawed: None,
        }
    }

    /// The sums over both parts, `other` being the later examples.
    #[must_use]
    pub fn plus(&self, other: &Projections) -> Projections {
        Projections {
            examples: self.examples + other.examples,
            observations: self.observations + other.observations,
            deviation: self.deviation + other.deviation,
            along: self.along + other.along,
            along_squared: self.along_squared + other.along_squared,
            flawed: self.flawed.or(other.flawed.map(|i| self.examples + i)),
        }
    }

    /// The sums over the ranks' parts, on all ranks with the same bits; `before` is the number of examples that lower ranks have.
    #[must_use]
    pub fn all_reduce(&self, before: usize, ranks: &Ranks) -> Projections {
        if ranks.size() == 1 {
            return *self;
        }
        let mut sums = [
            self.examples as f64,
            self.observations as f64,
            self.deviation,
            self.along,
            self.along_squared,
        ];
        ranks.all_reduce_sum(&mut sums);
        // One slot for each rank: whoever has no flaw adds nothing.
        let mut flaws = vec![0.0; ranks.size()];
        flaws[ranks.rank()] = self.flawed.map_or(0.0, |i| (before + i + 1) as f64);
        ranks.all_reduce_sum(&mut flaws);
        let [examples, observations, deviation, along, along_squared] = sums;
        Projections {
            examples: examples as usize,
            observations: observations as usize,
            deviation,
            along,
            along_squared,
            flawed: flaws.into_iter().find(|&f| f > 0.0).map(|f| f as usize - 1),
        }
    }

    /// The variances, for a mean gradient of this squared norm.
    pub fn spread(&self, squared_norm: f64) -> Spread {
        let degrees = if self.observations < 2 { f64::NAN } else { (self.observations - 1) as f64 };
        let examples = self.examples as f64;
        // The mean of <r, g> is zero but for rounding where `g` is the mean of these examples.
        let along = self.along_squared - self.along * self.along / examples;
        Spread {
            examples: self.examples,
            observations: self.observations,
            total: self.deviation / degrees,
            along: Some(if along < 0.0 { 0.0 } else { along } / degrees),
            squared_norm,
            ratios: None,
            flawed: self.flawed,
        }
    }
}
