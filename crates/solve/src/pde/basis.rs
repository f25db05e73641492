//! Bases of few vectors, orthonormal in the energy of the equation, and points of empirical interpolation.

use lisse_array::Array;
use serde::{Deserialize, Serialize};

use super::error::{require, same_length};
use super::{MaxElliptic, PdeError};
use crate::linear::vector::dot;
use crate::pareto::dense;

/// Vectors `v_1, ..., v_r` with `v_i^T K v_j = delta_ij`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Basis {
    /// One after the other.
    vectors: Vec<Vec<f64>>,
    /// `K v_i`
    images: Vec<Vec<f64>>,
}

impl Basis {
    /// No vectors.
    pub fn new() -> Basis {
        Basis { vectors: Vec::new(), images: Vec::new() }
    }

    /// The best `r` vectors for the snapshots in the energy norm (proper orthogonal decomposition), or as many as they span. The singular value
    /// decomposition is taken of the triangular factor of the snapshots, not of their Gram matrix, so that small parts are not lost in
    /// rounding.
    ///
    /// # Errors
    /// [`PdeError::Length`] for snapshots of the wrong length, [`PdeError::Linalg`] for some that are not finite.
    pub fn pod(
        equation: &MaxElliptic,
        snapshots: &[Vec<f64>],
        r: usize,
    ) -> Result<Basis, PdeError> {
        let mut frame = Basis::new();
        let mut coefficients = Vec::new();
        for snapshot in snapshots {
            same_length("a snapshot", snapshot.len(), equation.len())?;
            coefficients.push(frame.extend(equation, snapshot, 1e-14));
        }
        let (m, k) = (snapshots.len(), frame.len());
        if k == 0 {
            return Ok(frame);
        }
        let mut table = vec![0.0; k * m];
        for (column, c) in coefficients.iter().enumerate() {
            c.iter().enumerate().for_each(|(row, c)| table[row * m + column] = *c);
        }
        let (u, _, _) = Array::from_vec(table, &[k, m]).svd()?;
        let (u, columns) = (u.to_vec::<f64>(), k.min(m));
        let mut basis = Basis::new();
        for j in 0..r.min(columns) {
            let mut v = vec![0.0; equation.len()];
            for (i, w) in frame.vectors.iter().enumerate() {
                v = dense::along(&v, u[i * columns + j], w);
            }
            basis.extend(equation, &v, 1e-14);
        }
        Ok(basis)
    }

    /// Adds the part of a vector that is orthogonal to the basis, if it is more than `tolerance` of the vector. Returns the coefficients of the
    /// vector in the new basis.
    pub fn extend(&mut self, equation: &MaxElliptic, v: &[f64], tolerance: f64) -> Vec<f64> {
        let before = equation.energy(v).sqrt();
        let mut coefficients = vec![0.0; self.len()];
        let mut rest = v.to_vec();
        // Twice is enough.
        for _ in 0..2 {
            for (i, (w, image)) in self.vectors.iter().zip(&self.images).enumerate() {
                let c = dot(&rest, image);
                coefficients[i] += c;
                rest = dense::along(&rest, -c, w);
            }
        }
        let length = equation.energy(&rest).sqrt();
        if length > tolerance * before && length > 0.0 {
            for x in &mut rest {
                *x /= length;
            }
            let mut image = vec![0.0; v.len()];
            equation.apply_stiffness(&rest, &mut image);
            self.vectors.push(rest);
            self.images.push(image);
            coefficients.push(length);
        }
        coefficients
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty()
    }

    /// The first `r` vectors.
    pub fn truncated(&self, r: usize) -> Basis {
        let r = r.min(self.len());
        Basis { vectors: self.vectors[..r].to_vec(), images: self.images[..r].to_vec() }
    }

    /// The vectors.
    pub fn vectors(&self) -> &[Vec<f64>] {
        &self.vectors
    }

    /// `sum c_i v_i`
    pub fn combine(&self, c: &[f64]) -> Vec<f64> {
        let n = self.vectors.first().map_or(0, Vec::len);
        let mut sum = vec![0.0; n];
        for (v, c) in self.vectors.iter().zip(c) {
            sum.iter_mut().zip(v).for_each(|(s, v)| *s += c * v);
        }
        sum
    }

    /// `v_i^T x`
    pub fn project(&self, x: &[f64]) -> Vec<f64> {
        self.vectors.iter().map(|v| dot(v, x)).collect()
    }

    /// Coefficients of the best approximation in the energy norm.
    pub fn coefficients(&self, x: &[f64]) -> Vec<f64> {
        self.images.iter().map(|v| dot(v, x)).collect()
    }
}

impl Default for Basis {
    fn default() -> Self {
        Basis::new()
    }
}

/// Discrete empirical interpolation (Chaturantabut and Sorensen, 2010): a vector of a kind known from snapshots is found from its values at
/// few nodes, chosen greedily.
#[derive(Clone, Debug, PartialEq)]
pub struct Deim {
    /// The nodes.
    points: Vec<usize>,
    /// `U (P^T U)^{-1}`, row-major `[n, points]`.
    interpolation: Vec<f64>,
}

impl Deim {
    /// With the `count` leading left singular vectors of the snapshots, or as many as they span.
    ///
    /// # Errors
    /// [`PdeError`] for no snapshots or some that are not finite.
    pub fn new(snapshots: &[Vec<f64>], count: usize) -> Result<Deim, PdeError> {
        require(
            !snapshots.is_empty() && count > 0,
            "count",
            count as f64,
            "at least 1, with snapshots",
        )?;
        let (n, m) = (snapshots[0].len(), snapshots.len());
        let table = snapshots.concat();
        let (u, s, _) = Array::from_vec(table, &[m, n]).t().svd()?;
        let (u, s) = (u.to_vec::<f64>(), s.to_vec::<f64>());
        let rank = s.iter().filter(|&&v| v > 1e-12 * s[0]).count();
        let (count, width) = (count.min(rank).max(1), n.min(m));
        let vector = |j: usize| (0..n).map(|i| u[i * width + j]).collect::<Vec<f64>>();
        let mut points: Vec<usize> = Vec::new();
        let mut kept: Vec<Vec<f64>> = Vec::new();
        for j in 0..count {
            let v = vector(j);
            let mut rest = v.clone();
            if !points.is_empty() {
                let at = points.iter().flat_map(|&p| kept.iter().map(move |u| u[p])).collect();
                let right = points.iter().map(|&p| v[p]).collect();
                let c = dense::solve(at, right).ok_or(singular())?;
                for (u, c) in kept.iter().zip(&c) {
                    rest = dense::along(&rest, -c, u);
                }
            }
            let largest = (0..n).fold(0, |m, i| if rest[i].abs() > rest[m].abs() { i } else { m });
            points.push(largest);
            kept.push(v);
        }
        let k = points.len();
        // Row i of U (P^T U)^{-1} solves with the transpose of P^T U.
        let transposed: Vec<f64> =
            kept.iter().flat_map(|u| points.iter().map(move |&p| u[p])).collect();
        let mut interpolation = Vec::with_capacity(n * k);
        for i in 0..n {
            let row = kept.iter().map(|u| u[i]).collect();
            interpolation.extend(dense::solve(transposed.clone(), row).ok_or(singular())?);
        }
        Ok(Deim { points, interpolation })
    }

    /// The chosen nodes.
    pub fn points(&self) -> &[usize] {
        &self.points
    }

    /// The whole vector from its values at the chosen nodes.
    pub fn interpolate(&self, values: &[f64]) -> Vec<f64> {
        self.interpolation.chunks_exact(self.points.len()).map(|row| dot(row, values)).collect()
    }

    pub(super) fn row(&self, i: usize) -> &[f64] {
        let k = self.points.len();
        &self.interpolation[i * k..(i + 1) * k]
    }
}

fn singular() -> PdeError {
    crate::pareto::ParetoError::Singular("empirical interpolation").into()
}
