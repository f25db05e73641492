//! Mean and spread of vectors that come in parts.

use lisse_array::Array;
use lisse_run::Ranks;

use super::Spread;

/// Count, mean and sum of squared deviations, coordinate by coordinate, of gradients that are seen in parts: chunks of examples,
/// micro-batches, ranks.
///
/// Parts are merged exactly (Chan, Golub and LeVeque, 1983): `M2 = M2_a + M2_b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b)`. An
/// average of the parts' variances would be wrong where parts are small.
///
/// ```
/// use lisse_array::Array;
/// use lisse_optim::adaptive_batch::Moments;
/// let gradients = Array::from_slice(&[1.0f64, 3.0, 2.0, 0.0], &[4, 1]);
/// let halves = [gradients.narrow(0, 0, 2), gradients.narrow(0, 2, 2)].map(|g| Moments::of_rows(&g));
/// let [a, b] = halves;
/// let merged = a.merge(&b);
/// assert_eq!(merged.mean.to_vec::<f64>(), [1.5]);
/// assert!((merged.variance().item() - 5.0 / 3.0).abs() < 1e-15);
/// ```
#[derive(Clone, Debug)]
pub struct Moments {
    /// Examples behind it.
    pub examples: usize,
    /// Vectors seen: the examples, or fewer where each is the mean of a micro-batch.
    pub observations: usize,
    /// Mean gradient, `[d]`.
    pub mean: Array,
    /// Sum over the observations of `n (m - mean)^2`, where `m` is the mean of `n` examples, `[d]`.
    pub m2: Array,
}

impl Moments {
    /// Moments of the rows of `[examples, d]`.
    ///
    /// # Panics
    /// On another shape, or without a row.
    pub fn of_rows(rows: &Array) -> Moments {
        Moments::of_means(rows, 1)
    }

    /// Moments of the rows of `[micro-batches, d]`, each the mean gradient of `size` examples: the variance of such means is that
    /// of single examples divided by `size`, so no single example need be told apart.
    ///
    /// # Panics
    /// On another shape, or without a row.
    pub fn of_means(means: &Array, size: usize) -> Moments {
        assert!(
            means.rank() == 2 && means.dim(0) > 0,
            "moments: rows [count, d] with at least one row, got {:?}",
            means.shape()
        );
        let mean = means.mean(&[0]);
        let m2 = (means - &mean).square().sum(&[0]) * size as f64;
        Moments { examples: means.dim(0) * size, observations: means.dim(0), mean, m2 }
    }

    /// The moments of one vector, the mean gradient of `size` examples.
    pub fn of_mean(mean: &Array, size: usize) -> Moments {
        Moments { examples: size, observations: 1, mean: mean.clone(), m2: mean.zeros_like() }
    }

    /// The moments of both parts together.
    pub fn merge(&self, other: &Moments) -> Moments {
        let (a, b) = (self.examples as f64, other.examples as f64);
        let delta = &other.mean - &self.mean;
        Moments {
            examples: self.examples + other.examples,
            observations: self.observations + other.observations,
            mean: self.mean.add_scaled(b / (a + b), &delta),
            m2: (&self.m2 + &other.m2).add_scaled(a * b / (a + b), &delta.square()),
        }
    }

    /// `V`: the variance of single examples' gradients, `M2 / (observations - 1)`, `[d]`; NaN with fewer than two observations.
    pub fn variance(&self) -> Array {
        if self.observations < 2 {
            return self.m2.full_like(f64::NAN);
        }
        &self.m2 * (1.0 / (self.observations - 1) as f64)
    }

    /// What the norm test and the coordinate-wise test need. The inner-product tests look at each example's inner product with the
    /// mean of all, which moments by coordinate do not hold: see [`Projections`](super::Projections).
    pub fn spread(&self) -> Spread {
        let (variance, squares) = (self.variance(), self.mean.square());
        let largest = if squares.is_empty() { 0.0 } else { squares.max_all().item() };
        // A coordinate whose mean gradient vanishes asks for any number of examples; the floor keeps the quotient a number.
        let floor = largest * Spread::FLOOR;
        let ratios = if largest > 0.0 {
            &variance / squares.maximum(&squares.full_like(floor))
        } else {
            variance.full_like(f64::INFINITY)
        };
        Spread {
            examples: self.examples,
            observations: self.observations,
            total: variance.sum_all().item(),
            along: None,
            squared_norm: squares.sum_all().item(),
            ratios: Some(ratios),
            flawed: None,
        }
    }

    /// The moments over all ranks' parts, on all ranks with the same bits. A rank without examples gives `None`; all must call
    /// this, and `like` has the length and dtype of a mean.
    pub fn all_reduce(part: Option<&Moments>, like: &Array, ranks: &Ranks) -> Option<Moments> {
        if ranks.size() == 1 {
            return part.cloned();
        }
        let number = |of: fn(&Moments) -> usize| ranks.sum(part.map_or(0.0, |m| of(m) as f64));
        let examples = number(|m| m.examples);
        let observations = number(|m| m.observations);
        let zeros = like.zeros_like();
        let weighted = part.map_or_else(|| zeros.clone(), |m| &m.mean * m.examples as f64);
        let mean = ranks.all_reduce_tree(&weighted) * (1.0 / examples);
        let around =
            part.map_or(zeros, |m| m.m2.add_scaled(m.examples as f64, &(&m.mean - &mean).square()));
        (examples > 0.0).then(|| Moments {
            examples: examples as usize,
            observations: observations as usize,
            m2: ranks.all_reduce_tree(&around),
            mean,
        })
    }
}
