//! Bilinear forms whose matrix is linear in a coefficient.

use std::sync::Arc;

use lisse_array::sparse::{Csr, Pattern};
use lisse_array::{Array, DType};

use crate::Measure;

/// A bilinear form with a coefficient. The entries of its matrix are a constant sparse matrix times the coefficient at the
/// quadrature points, hence differentiable to any order, and assembled in parallel in a fixed order of additions. Forms of one
/// space share the places of their matrices, so that sums of matrices are sums of values.
#[derive(Clone, Debug)]
pub struct Bilinear {
    pattern: Arc<Pattern>,
    /// `[entries, quadrature points]`
    map: Csr,
}

impl Bilinear {
    /// `sum over terms of integral c test(v) trial(u)`, with both given as tables `[points, nodes]` on the same places.
    pub(crate) fn new(measure: &Measure, terms: &[(&Csr, &Csr)]) -> Bilinear {
        let tables: Vec<_> = terms
            .iter()
            .map(|(test, trial)| (test.values().to_f64_vec(), trial.values().to_f64_vec()))
            .collect();
        let local = measure.values.pattern().len() / measure.len();
        let value = |q: usize, a: usize, b: usize| {
            let at = |k: usize| q * local + k;
            tables.iter().map(|(test, trial)| test[at(a)] * trial[at(b)]).sum()
        };
        let pattern = measure.space.pattern(1);
        let columns = measure.values.pattern().indices();
        let nodes = |q: usize| columns[q * local..(q + 1) * local].to_vec();
        Bilinear::assemble(pattern, &measure.weights, nodes, nodes, value)
    }

    /// `integral c test(q) trial(v)` with test functions of another space.
    pub(crate) fn mixed(measure: &Measure, test: &Csr, trial: &Csr) -> Bilinear {
        let points = measure.len();
        let nodes_of = |table: &Csr, q: usize| {
            let pattern = table.pattern();
            pattern.indices()[pattern.indptr()[q]..pattern.indptr()[q + 1]].to_vec()
        };
        let (mut rows, mut columns) = (Vec::new(), Vec::new());
        for q in 0..points {
            let across = nodes_of(trial, q);
            for i in nodes_of(test, q) {
                rows.resize(rows.len() + across.len(), i);
                columns.extend_from_slice(&across);
            }
        }
        let ones = Array::ones(&[rows.len()], DType::F64);
        let (n, m) = (test.shape()[1], trial.shape()[1]);
        let full = Csr::from_triplets(n, m, &rows, &columns, &ones);
        let pattern = full.expect("tables name nodes of their spaces").pattern().clone();
        let (t, s) = (test.values().to_f64_vec(), trial.values().to_f64_vec());
        let value = |q: usize, a: usize, b: usize| {
            t[test.pattern().indptr()[q] + a] * s[trial.pattern().indptr()[q] + b]
        };
        let (down, across) = (|q| nodes_of(test, q), |q| nodes_of(trial, q));
        Bilinear::assemble(pattern, &measure.weights, down, across, value)
    }

    /// Parts of linear elasticity: shear modulus, Lame's first constant.
    pub(crate) fn elasticity(measure: &Measure) -> [Bilinear; 2] {
        let dim = measure.gradients.len();
        let slopes: Vec<Vec<f64>> =
            measure.gradients.iter().map(|g| g.values().to_f64_vec()).collect();
        let local = measure.values.pattern().len() / measure.len();
        let columns = measure.values.pattern().indices();
        let unknowns = |q: usize| {
            let nodes = &columns[q * local..(q + 1) * local];
            nodes.iter().flat_map(|i| (0..dim).map(move |c| i * dim + c)).collect()
        };
        let slope = |q: usize, a: usize, axis: usize| slopes[axis][q * local + a / dim];
        let shear = |q: usize, a: usize, b: usize| {
            let (c, d) = (a % dim, b % dim);
            let cross = slope(q, a, d) * slope(q, b, c);
            let along = || (0..dim).map(|k| slope(q, a, k) * slope(q, b, k)).sum::<f64>();
            if c == d { cross + along() } else { cross }
        };
        let volume = |q: usize, a: usize, b: usize| slope(q, a, a % dim) * slope(q, b, b % dim);
        let pattern = measure.space.pattern(dim);
        let weights = &measure.weights;
        [
            Bilinear::assemble(pattern.clone(), weights, unknowns, unknowns, shear),
            Bilinear::assemble(pattern, weights, unknowns, unknowns, volume),
        ]
    }

    /// Writes the map in compressed rows directly: a pair of unknowns occurs once in a quadrature point, and points ascend.
    fn assemble(
        pattern: Arc<Pattern>,
        weights: &Array,
        down: impl Fn(usize) -> Vec<usize>,
        across: impl Fn(usize) -> Vec<usize>,
        value: impl Fn(usize, usize, usize) -> f64,
    ) -> Bilinear {
        let weights = weights.to_f64_vec();
        let mut entries: Vec<(usize, usize, f64)> = Vec::new();
        let mut indptr = vec![0; pattern.len() + 1];
        for (q, weight) in weights.iter().enumerate() {
            let (rows, columns) = (down(q), across(q));
            for (a, &i) in rows.iter().enumerate() {
                for (b, &j) in columns.iter().enumerate() {
                    let slot = pattern.position(i, j).expect("the pattern has all pairs of a cell");
                    indptr[slot + 1] += 1;
                    entries.push((slot, q, weight * value(q, a, b)));
                }
            }
        }
        for slot in 0..pattern.len() {
            indptr[slot + 1] += indptr[slot];
        }
        let mut next = indptr.clone();
        let (mut points, mut table) = (vec![0; entries.len()], vec![0.0; entries.len()]);
        for (slot, q, v) in entries {
            (points[next[slot]], table[next[slot]]) = (q, v);
            next[slot] += 1;
        }
        let table = Array::from_vec(table, &[points.len()]);
        let map = Csr::new(pattern.len(), weights.len(), indptr, points, &table)
            .expect("rows were counted and filled in ascending order");
        Bilinear { pattern, map }
    }

    /// The matrix for a coefficient `[points]`, differentiable to it.
    #[track_caller]
    pub fn matrix(&self, coefficient: &Array) -> Csr {
        Csr::with_pattern(self.pattern.clone(), &self.map.matmul(coefficient))
    }

    /// The matrix for the coefficient one.
    pub fn unit(&self) -> Csr {
        self.matrix(&Array::ones(&[self.map.shape()[1]], DType::F64))
    }

    /// The places of the matrix.
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }
}
