//! Integers, truth values, orders and categories.

use std::collections::HashMap;

use rayon::prelude::*;

use super::Stream;
use super::functions::unit;
use crate::{Array, Device};

impl Stream {
    /// A number uniform on 0, ..., `n` - 1, without bias. Panics if `n` is zero.
    pub fn below(&self, n: u64) -> u64 {
        self.below_at(0, n)
    }

    /// Element `index` (below 2⁴⁸) of a draw of numbers uniform on 0, ..., `n` - 1, without bias.
    ///
    /// Lemire, "Fast random integer generation in an interval", ACM TOMACS 29, 2019. Panics if `n` is zero.
    pub fn below_at(&self, index: u64, n: u64) -> u64 {
        assert!(n > 0, "below: there is no number below 0");
        let accept = |word: u64| {
            let product = u128::from(word) * u128::from(n);
            let low = product as u64;
            // 2⁶⁴ mod n products are one too many for an even share; the division is seldom needed.
            (low >= n || low >= n.wrapping_neg() % n).then_some((product >> 64) as u64)
        };
        if let Some(value) = accept(self.word(index)) {
            return value;
        }
        let mut round = 1;
        loop {
            let [a, b] = self.block(index, round);
            if let Some(value) = accept(a).or_else(|| accept(b)) {
                return value;
            }
            round += 1;
        }
    }

    /// Integers uniform on `lo`, ..., `hi` - 1, as an index array. Panics unless `lo` < `hi`.
    pub fn int_range(&self, lo: i64, hi: i64, shape: &[usize]) -> Array {
        assert!(lo < hi, "int_range: the range must have lo < hi, got {lo}..{hi}");
        let width = hi.wrapping_sub(lo) as u64;
        let values = (0..shape.iter().product::<usize>())
            .into_par_iter()
            .map(|i| lo.wrapping_add(self.below_at(i as u64, width) as i64))
            .collect();
        index_array(values, shape)
    }

    /// Truth values, each true with probability `p` in [0, 1].
    pub fn bernoulli(&self, p: f64, shape: &[usize]) -> Array {
        assert!((0.0..=1.0).contains(&p), "bernoulli: the probability must be in [0, 1], got {p}");
        let values: Vec<bool> = (0..shape.iter().product::<usize>())
            .into_par_iter()
            .map(|i| unit(self.word(i as u64), 53) < p)
            .collect();
        Array::from_vec(values, shape)
    }

    /// The numbers 0, ..., `n` - 1 in a uniformly random order (Fisher & Yates).
    pub fn permutation(&self, n: usize) -> Vec<usize> {
        self.choose(n, n)
    }

    /// [`Stream::permutation`] as an index array `[n]`.
    pub fn permutation_array(&self, n: usize) -> Array {
        let order = self.permutation(n);
        index_array(order.into_iter().map(|i| i as i64).collect(), &[n])
    }

    /// `k` different numbers below `n`, in random order: the first `k` of [`Stream::permutation`], in time and memory
    /// that grow with `k` alone where `k` is much less than `n`. Panics if `k` > `n`.
    pub fn choose(&self, n: usize, k: usize) -> Vec<usize> {
        assert!(k <= n, "choose: cannot take {k} different numbers out of {n}");
        let pick = |i: usize| i + self.below_at(i as u64, (n - i) as u64) as usize;
        if k > n / 16 {
            let mut numbers: Vec<usize> = (0..n).collect();
            for i in 0..k {
                numbers.swap(i, pick(i));
            }
            numbers.truncate(k);
            return numbers;
        }
        // The same swaps on an array of which only the moved entries are kept.
        let mut moved: HashMap<usize, usize> = HashMap::with_capacity(2 * k);
        (0..k)
            .map(|i| {
                let j = pick(i);
                let here = moved.get(&i).copied().unwrap_or(i);
                let there = moved.insert(j, here).unwrap_or(j);
                if i == j { here } else { there }
            })
            .collect()
    }

    /// `n` independent categories per row: for `weights` `[..., k]` an index array `[..., n]` of numbers below `k`,
    /// each drawn with probability proportional to its weight.
    ///
    /// Panics unless every row's weights are finite and not negative, with a positive sum.
    pub fn categorical(&self, weights: &Array, n: usize) -> Array {
        self.categories(weights, n, |row, weights| {
            assert!(
                weights.iter().all(|w| w.is_finite() && *w >= 0.0),
                "categorical: weights must be finite and not negative; row {row} holds {weights:?}"
            );
        })
    }

    /// [`Stream::categorical`] with weights exp(`logits`). A logit may be -∞ (never drawn), but not a whole row.
    ///
    /// Panics if a row holds NaN or ∞, or only -∞.
    pub fn categorical_logits(&self, logits: &Array, n: usize) -> Array {
        self.categories(logits, n, |row, logits| {
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!(
                max.is_finite() && !logits.iter().any(|l| l.is_nan()),
                "categorical_logits: a row needs a finite greatest logit and no NaN; row {row} holds {logits:?}"
            );
            for logit in logits {
                *logit = libm::exp(*logit - max);
            }
        })
    }

    /// Draws from rows that `prepare` checks and turns into weights.
    fn categories(
        &self,
        rows: &Array,
        n: usize,
        prepare: impl Fn(usize, &mut [f64]) + Sync,
    ) -> Array {
        let Some((&count, leading)) = rows.shape().split_last() else {
            panic!("categorical: weights must have a last axis of categories, got a scalar");
        };
        let shape: Vec<usize> = leading.iter().copied().chain([n]).collect();
        let mut values = rows.to_f64_vec();
        let mut out = vec![0_i64; shape.iter().product()];
        if !out.is_empty() {
            assert!(count > 0, "categorical: there are no categories to draw from");
            out.par_chunks_mut(n).zip(values.par_chunks_mut(count)).enumerate().for_each(
                |(row, (out, weights))| {
                    prepare(row, weights);
                    self.row_of_categories(row, weights, out);
                },
            );
        }
        index_array(out, &shape)
    }

    fn row_of_categories(&self, row: usize, weights: &mut [f64], out: &mut [i64]) {
        let last = weights.iter().rposition(|w| *w > 0.0);
        let Some(last) = last else {
            panic!("categorical: the weights of row {row} are all zero");
        };
        let mut total = 0.0;
        for weight in &mut *weights {
            total += *weight;
            *weight = total;
        }
        let cumulative = weights;
        let start = (row * out.len()) as u64;
        for (j, category) in out.iter_mut().enumerate() {
            let threshold = total * unit(self.word(start + j as u64), 53);
            let index = cumulative.partition_point(|c| *c <= threshold);
            *category = index.min(last) as i64;
        }
    }
}

/// Integers in the type that the current device indexes with.
fn index_array(values: Vec<i64>, shape: &[usize]) -> Array {
    Device::Cpu
        .with(|| Array::from_vec(values, shape))
        .cast(Device::current().index_dtype())
        .to_device(Device::current())
}
