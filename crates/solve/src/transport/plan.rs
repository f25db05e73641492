//! Plans with few entries, column after column.

use serde::{Deserialize, Serialize};

use super::Problem;

/// A transport plan by columns, as in the compressed sparse column format: entries `indptr[j]..indptr[j + 1]` of `indices` (sources, ascending) and
/// `values` belong to target `j`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SparsePlan {
    sources: usize,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f64>,
}

impl SparsePlan {
    /// A plan without columns yet, for `sources` sources.
    pub(super) fn new(sources: usize) -> SparsePlan {
        SparsePlan { sources, indptr: vec![0], ..SparsePlan::default() }
    }

    /// From `(source, target, mass)`; entries of one place are added, zeros left out.
    pub(super) fn from_entries(
        sources: usize,
        targets: usize,
        mut entries: Vec<(u32, u32, f64)>,
    ) -> SparsePlan {
        // A stable sort: what is added keeps its order.
        entries.sort_by_key(|&(i, j, _)| (j, i));
        let mut plan = SparsePlan::new(sources);
        let mut rest = entries.as_slice();
        for j in 0..targets as u32 {
            let count = rest.iter().take_while(|e| e.1 == j).count();
            let (column, later) = rest.split_at(count);
            for group in column.chunk_by(|x, y| x.0 == y.0) {
                let mass: f64 = group.iter().map(|e| e.2).sum();
                if mass != 0.0 {
                    plan.push(group[0].0, mass);
                }
            }
            plan.end_column();
            rest = later;
        }
        plan
    }

    /// From a whole matrix, row after row; zeros are left out. Panics if `dense` has another size.
    pub fn from_dense(sources: usize, targets: usize, dense: &[f64]) -> SparsePlan {
        assert!(
            dense.len() == sources * targets && targets > 0,
            "SparsePlan: {} values for {sources} sources and {targets} targets",
            dense.len()
        );
        let entries = dense.iter().enumerate().filter(|(_, t)| **t != 0.0);
        let entries = entries.map(|(e, t)| ((e / targets) as u32, (e % targets) as u32, *t));
        SparsePlan::from_entries(sources, targets, entries.collect())
    }

    pub(super) fn push(&mut self, source: u32, mass: f64) {
        self.indices.push(source);
        self.values.push(mass);
    }

    pub(super) fn end_column(&mut self) {
        self.indptr.push(self.indices.len());
    }

    /// Number of sources.
    pub fn sources(&self) -> usize {
        self.sources
    }

    /// Number of targets.
    pub fn targets(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Where columns begin; one more than there are.
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// Sources of the entries.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Masses of the entries.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Sources and masses of a target.
    pub fn column(&self, j: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.indptr[j]..self.indptr[j + 1];
        let sources = self.indices[range.clone()].iter().map(|&i| i as usize);
        sources.zip(self.values[range].iter().copied())
    }

    /// All entries: source, target, mass.
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        (0..self.targets()).flat_map(move |j| self.column(j).map(move |(i, t)| (i, j, t)))
    }

    /// Number of entries that are not 0.
    pub fn nonzeros(&self) -> usize {
        self.values.iter().filter(|v| **v != 0.0).count()
    }

    /// Share of the entries that are not 0.
    pub fn density(&self) -> f64 {
        self.nonzeros() as f64 / (self.sources * self.targets()) as f64
    }

    /// Most entries of a column.
    pub fn most_per_column(&self) -> usize {
        let count = |j: usize| self.column(j).filter(|(_, t)| *t != 0.0).count();
        (0..self.targets()).map(count).max().unwrap_or(0)
    }

    /// `T 1`: what leaves each source.
    pub fn row_sums(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.sources];
        for (&i, t) in self.indices.iter().zip(&self.values) {
            sums[i as usize] += t;
        }
        sums
    }

    /// `T' 1`: what reaches each target.
    pub fn column_sums(&self) -> Vec<f64> {
        self.indptr.windows(2).map(|w| self.values[w[0]..w[1]].iter().sum()).collect()
    }

    /// `<T, C>`
    pub fn cost(&self, problem: &Problem) -> f64 {
        self.entries().map(|(i, j, t)| t * problem.cost(i, j)).sum()
    }

    /// `|T 1 - a|_1` and `|T' 1 - b|_1`
    pub fn marginal_errors(&self, problem: &Problem) -> (f64, f64) {
        let distance = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - y).abs()).sum();
        (distance(&self.row_sums(), problem.a()), distance(&self.column_sums(), problem.b()))
    }

    /// The whole matrix, row after row.
    pub fn to_dense(&self) -> Vec<f64> {
        let n = self.targets();
        let mut dense = vec![0.0; self.sources * n];
        for (i, j, t) in self.entries() {
            dense[i * n + j] += t;
        }
        dense
    }

    /// Sources and targets exchanged.
    pub fn transposed(&self) -> SparsePlan {
        let entries = self.entries().map(|(i, j, t)| (j as u32, i as u32, t)).collect();
        SparsePlan::from_entries(self.targets(), self.sources, entries)
    }

    /// `sum_l weight_l plan_l`
    pub(super) fn combination(plans: &[(f64, &SparsePlan)]) -> SparsePlan {
        let Some((_, first)) = plans.first() else { return SparsePlan::default() };
        let entries = plans.iter().flat_map(|&(w, plan)| {
            plan.entries().map(move |(i, j, t)| (i as u32, j as u32, w * t))
        });
        SparsePlan::from_entries(first.sources, first.targets(), entries.collect())
    }

    /// Where mass of the sources would be if it followed the plan: for each source the plan's mean of the targets' `values` (`dim` each), or `None` for
    /// a source that sends nothing. Palettes are transferred like this.
    pub fn barycentres(&self, values: &[f64], dim: usize) -> Vec<Option<Vec<f64>>> {
        let mut sums = vec![vec![0.0; dim]; self.sources];
        let mut masses = vec![0.0; self.sources];
        for (i, j, t) in self.entries() {
            masses[i] += t;
            for (sum, value) in sums[i].iter_mut().zip(&values[j * dim..(j + 1) * dim]) {
                *sum += t * value;
            }
        }
        let mean = |(sum, mass): (Vec<f64>, f64)| {
            (mass > 0.0).then(|| sum.into_iter().map(|s| s / mass).collect())
        };
        sums.into_iter().zip(masses).map(mean).collect()
    }
}
