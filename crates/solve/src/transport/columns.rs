//! The conjugates of the columns and their gradients: what every solver evaluates.

use rayon::prelude::*;

use super::simd::{above, max_difference};
use super::{Problem, SparsePlan};

/// Columns that are worked on together; fixed, so that sums do not depend on the number of threads.
const BLOCK: usize = 32;
/// Problems with fewer entries than this are evaluated on one thread: handing them out costs more.
const SMALL: usize = 1 << 14;
/// How near, relative to the largest cost, the first score left out may come to the last one taken and still count as equal.
const TIE: f64 = 1e-6;

/// A concave dual function `D` and its supergradient at any point.
pub(super) struct Conjugates<'p> {
    pub problem: &'p Problem,
    /// Most entries of a column.
    pub k: usize,
    /// Strength of the squared norm.
    pub gamma: f64,
    blocks: Vec<Block>,
    pub evaluations: usize,
}

/// What the evaluation of a block of columns left.
#[derive(Clone, Default)]
struct Block {
    /// Score above the threshold (then mass) and source of each entry.
    entries: Vec<(f64, u32)>,
    /// Where each column's entries end.
    ends: Vec<usize>,
    /// `beta_j` of each column.
    beta: Vec<f64>,
    value: f64,
    scratch: Vec<(f64, u32)>,
}

impl<'p> Conjugates<'p> {
    pub fn new(problem: &'p Problem, k: usize, gamma: f64) -> Self {
        let blocks = vec![Block::default(); problem.targets().div_ceil(BLOCK)];
        Conjugates { problem, k, gamma, blocks, evaluations: 0 }
    }

    fn each_block(&mut self, work: impl Fn(usize, &mut Block) + Sync) {
        self.evaluations += 1;
        let small = self.problem.sources() * self.problem.targets() < SMALL;
        let one = |(number, block): (usize, &mut Block)| {
            block.entries.clear();
            block.ends.clear();
            block.beta.clear();
            block.value = 0.0;
            work(number, block);
        };
        if small {
            self.blocks.iter_mut().enumerate().for_each(one);
        } else {
            self.blocks.par_iter_mut().enumerate().for_each(one);
        }
    }

    fn range(problem: &Problem, block: usize) -> std::ops::Range<usize> {
        block * BLOCK..((block + 1) * BLOCK).min(problem.targets())
    }

    /// The semi-dual `D(alpha) = <a, alpha> - sum_j Omega*_{b_j}(alpha - c_j)`, and into `gradient` `a - T 1`, with `T` of the columns' maximizers.
    pub fn semi_dual(&mut self, alpha: &[f64], gradient: &mut [f64]) -> f64 {
        let (problem, k, gamma) = (self.problem, self.k, self.gamma);
        self.each_block(|number, block| {
            for j in Self::range(problem, number) {
                semi_dual_column(alpha, problem.column(j), problem.b()[j], gamma, k, block);
            }
        });
        let conjugates: f64 = self.blocks.iter().map(|b| b.value).sum();
        self.residual_of_rows(gradient);
        inner(problem.a(), alpha) - conjugates
    }

    /// The dual `D(alpha, beta) = <a, alpha> + <b, beta> - sum_j Omega*_+(alpha + beta_j 1 - c_j)`, and `a - T 1`, `b - T' 1` into `gradient`.
    pub fn dual(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let (problem, k, gamma) = (self.problem, self.k, self.gamma);
        let (alpha, beta) = point.split_at(problem.sources());
        self.each_block(|number, block| {
            for j in Self::range(problem, number) {
                dual_column(alpha, problem.column(j), beta[j], gamma, k, block);
            }
        });
        let conjugates: f64 = self.blocks.iter().map(|b| b.value).sum();
        let (rows, columns) = gradient.split_at_mut(problem.sources());
        self.residual_of_rows(rows);
        columns.copy_from_slice(problem.b());
        for (number, block) in self.blocks.iter().enumerate() {
            let mut start = 0;
            for (j, &end) in Self::range(problem, number).zip(&block.ends) {
                columns[j] -= block.entries[start..end].iter().map(|e| e.0).sum::<f64>();
                start = end;
            }
        }
        inner(problem.a(), alpha) + inner(problem.b(), beta) - conjugates
    }

    fn residual_of_rows(&self, gradient: &mut [f64]) {
        gradient.copy_from_slice(self.problem.a());
        for &(mass, i) in self.blocks.iter().flat_map(|b| &b.entries) {
            gradient[i as usize] -= mass;
        }
    }

    /// The plan of the last evaluation.
    pub fn plan(&self) -> SparsePlan {
        let mut plan = SparsePlan::new(self.problem.sources());
        for block in &self.blocks {
            let mut start = 0;
            for &end in &block.ends {
                for &(mass, i) in &block.entries[start..end] {
                    plan.push(i, mass);
                }
                plan.end_column();
                start = end;
            }
        }
        plan
    }

    /// `beta` of the last evaluation of the semi-dual: with it `(alpha, beta)` has the same value in the dual.
    pub fn beta(&self) -> Vec<f64> {
        self.blocks.iter().flat_map(|b| b.beta.iter().copied()).collect()
    }

    /// Columns where the choice of the `k` largest scores is not unique though it matters, the sources in question, and the plan of the last evaluation with these
    /// columns' choices made as `like`, a plan that meets both margins, would have them.
    pub fn ties(&self, alpha: &[f64], like: Option<&SparsePlan>) -> Ties {
        let (problem, k) = (self.problem, self.k);
        let near = TIE * problem.scale().max(f64::MIN_POSITIVE);
        let (beta, plan) = (self.beta(), self.plan());
        let mut ties =
            Ties { columns: 0, rows: Vec::new(), plan: SparsePlan::new(problem.sources()) };
        for (j, &beta) in beta.iter().enumerate() {
            let mut positive = Vec::new();
            above(alpha, problem.column(j), -beta, &mut positive);
            let mut chosen: Vec<(usize, f64)> = plan.column(j).collect();
            if positive.len() > k {
                positive.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
                let level = positive[k].0;
                if positive[k - 1].0 - level <= near {
                    ties.columns += 1;
                    let tied = positive.iter().filter(|e| (e.0 - level).abs() <= near);
                    ties.rows.extend(tied.map(|e| e.1));
                    if let Some(like) = like {
                        let wanted: Vec<(usize, f64)> = like.column(j).collect();
                        chosen = self.chosen(positive, level + near, &wanted, problem.b()[j]);
                    }
                }
            }
            for (i, t) in chosen {
                ties.plan.push(i as u32, t);
            }
            ties.plan.end_column();
        }
        ties.rows.sort_unstable();
        ties.rows.dedup();
        ties
    }

    /// The scores that are clearly among the `k` largest, filled up with those that tie and carry most of `wanted`; projected.
    fn chosen(
        &self,
        mut scores: Vec<(f64, u32)>,
        clear: f64,
        wanted: &[(usize, f64)],
        mass: f64,
    ) -> Vec<(usize, f64)> {
        let carried = |i: u32| wanted.iter().find(|w| w.0 == i as usize).map_or(0.0, |w| w.1);
        let rank = |e: &(f64, u32)| if e.0 > clear { f64::INFINITY } else { carried(e.1) };
        // Stable: what carries as much stays in the order of scores.
        scores.sort_by(|x, y| rank(y).total_cmp(&rank(x)));
        scores.truncate(self.k);
        scores.sort_unstable_by_key(|e| e.1);
        let theta = threshold(&scores, self.gamma * mass);
        let entries = scores.into_iter().filter(|e| e.0 > theta);
        entries.map(|(s, i)| (i as usize, (s - theta) / self.gamma)).collect()
    }
}

/// What is not determined.
pub(super) struct Ties {
    pub columns: usize,
    pub rows: Vec<u32>,
    /// The plan with these choices made.
    pub plan: SparsePlan,
}

pub(super) fn inner(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Leaves the `k` largest, the first of equal ones, in ascending order of their places.
pub(super) fn keep_largest(entries: &mut Vec<(f64, u32)>, k: usize) {
    if entries.len() > k {
        entries.select_nth_unstable_by(k - 1, |x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
        entries.truncate(k);
        entries.sort_unstable_by_key(|e| e.1);
    }
}

/// The `theta` with `sum_i max(s_i - theta, 0) = mass`, for scores from which something was taken so that none is large.
pub(super) fn threshold(scores: &[(f64, u32)], mass: f64) -> f64 {
    let (mut sum, mut count) = (scores.iter().map(|s| s.0).sum::<f64>(), scores.len());
    let mut theta = (sum - mass) / count as f64;
    // Michelot's iteration: the threshold only grows, and what falls under it stays out.
    loop {
        let (mut next_sum, mut next_count) = (0.0, 0);
        for &(s, _) in scores.iter().filter(|s| s.0 > theta) {
            next_sum += s;
            next_count += 1;
        }
        // Rounding may bring an entry at the threshold back: that ends it too.
        if next_count >= count || next_count == 0 {
            return theta;
        }
        (sum, count) = (next_sum, next_count);
        theta = (sum - mass) / count as f64;
    }
}

/// `max { s't - gamma/2 |t|^2 : t >= 0, sum t = b, at most k entries }` for `s = alpha - c`: the `k` largest scores, projected.
fn semi_dual_column(alpha: &[f64], c: &[f64], b: f64, gamma: f64, k: usize, block: &mut Block) {
    let top = max_difference(alpha, c);
    if b == 0.0 || !top.is_finite() {
        // Nothing is wanted here. Any beta up to -top is optimal; take the one that more mass would meet.
        block.ends.push(block.entries.len());
        block.beta.push(if top.is_finite() { -top } else { 0.0 });
        return;
    }
    // The largest score lies at most gamma b above the threshold: nothing below that can be an entry.
    let cut = top - gamma * b;
    block.scratch.clear();
    above(alpha, c, cut, &mut block.scratch);
    if block.scratch.is_empty() {
        // gamma b vanishes beside the scores: all mass to the best source.
        let best = alpha.iter().zip(c).position(|(a, c)| a - c == top).unwrap_or(0);
        block.entries.push((b, best as u32));
        block.ends.push(block.entries.len());
        block.beta.push(-cut);
        block.value += top * b - 0.5 * gamma * b * b;
        return;
    }
    keep_largest(&mut block.scratch, k);
    let theta = threshold(&block.scratch, gamma * b);
    let (mut linear, mut square) = (0.0, 0.0);
    for &(s, i) in block.scratch.iter().filter(|s| s.0 > theta) {
        let t = (s - theta) / gamma;
        linear += s * t;
        square += t * t;
        block.entries.push((t, i));
    }
    block.ends.push(block.entries.len());
    block.beta.push(-(cut + theta));
    block.value += cut * b + linear - 0.5 * gamma * square;
}

/// `max { s't - gamma/2 |t|^2 : t >= 0, at most k entries }` for `s = alpha + beta - c`.
fn dual_column(alpha: &[f64], c: &[f64], beta: f64, gamma: f64, k: usize, block: &mut Block) {
    block.scratch.clear();
    above(alpha, c, -beta, &mut block.scratch);
    keep_largest(&mut block.scratch, k);
    let mut square = 0.0;
    for &(s, i) in &block.scratch {
        square += s * s;
        block.entries.push((s / gamma, i));
    }
    block.ends.push(block.entries.len());
    block.beta.push(beta);
    block.value += square / (2.0 * gamma);
}

/// The nearest point to `v` on the simplex `{ t >= 0, sum t = mass }` among those with at most `k` entries: the `k` largest values (of equal ones the
/// first), projected on the simplex.
///
/// ```
/// use lisse_solve::transport::project_sparse_simplex;
/// let nearest = project_sparse_simplex(&[0.9, 0.5, 0.3, -0.2], 2, 1.0);
/// assert!((nearest[0] - 0.7).abs() < 1e-15 && (nearest[1] - 0.3).abs() < 1e-15);
/// assert_eq!(nearest[2..], [0.0, 0.0]);
/// ```
///
/// Panics if `v` is empty or holds NaN, `k` is 0, or `mass` is not positive.
pub fn project_sparse_simplex(v: &[f64], k: usize, mass: f64) -> Vec<f64> {
    assert!(
        !v.is_empty() && k > 0 && mass > 0.0 && v.iter().all(|v| !v.is_nan()),
        "project_sparse_simplex: {} values, k = {k}, mass {mass}; give numbers, k from 1 and a positive mass",
        v.len()
    );
    let top = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut entries: Vec<(f64, u32)> = v.iter().map(|v| v - top).zip(0u32..).collect();
    keep_largest(&mut entries, k);
    let theta = threshold(&entries, mass);
    let mut projected = vec![0.0; v.len()];
    for (s, i) in entries {
        projected[i as usize] = (s - theta).max(0.0);
    }
    projected
}
