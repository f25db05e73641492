//! Solves by products alone.

use lisse_array::Array;

use super::curvature::Curvature;
use super::metric::Metric;
use crate::minimize::dot;

/// The residual to reach, for a gradient of this dual norm: `min(0.1, |g|^(1/2)) |g|`, which keeps Newton's convergence superlinear.
fn tolerance(norm: f64) -> f64 {
    norm * norm.sqrt().min(0.1)
}

/// `-(H + lambda B)^-1 g` by conjugate gradients preconditioned by `B`, and the products it took; `None` at a direction of no
/// positive curvature.
pub(super) fn conjugate_gradients(
    curvature: &Curvature<'_>,
    metric: &Metric,
    gradient: &Array,
    lambda: f64,
    most: usize,
) -> (Option<Array>, usize) {
    let mut step = gradient.zeros_like();
    let mut residual = -gradient;
    let mut solved = metric.solve(&residual);
    let mut direction = solved.clone();
    let mut square = dot(&residual, &solved);
    let target = tolerance(square.sqrt());
    for products in 1..=most {
        let image = curvature.apply(&direction).add_scaled(lambda, &metric.apply(&direction));
        let bend = dot(&direction, &image);
        if bend.is_nan() || bend <= 0.0 {
            return (None, products);
        }
        let length = square / bend;
        step = step.add_scaled(length, &direction);
        residual = residual.add_scaled(-length, &image);
        solved = metric.solve(&residual);
        let next = dot(&residual, &solved);
        if next.sqrt() <= target {
            return (Some(step), products);
        }
        direction = solved.add_scaled(next / square, &direction);
        square = next;
    }
    (Some(step), most)
}

/// Lanczos vectors of `B^-1 H`, orthonormal in `B`, from `B^-1 g` on: `H V = B V T + ...` with `T` tridiagonal. `T` serves every
/// damping, since `V^T (H + lambda B) V = T + lambda I`.
pub(super) struct Krylov {
    vectors: Vec<Array>,
    /// `B v` of every vector.
    images: Vec<Array>,
    diagonal: Vec<f64>,
    /// `below[j]` couples vectors `j` and `j + 1`; the last one belongs to `next`.
    below: Vec<f64>,
    /// The vector to come, not normalised, in the space of gradients.
    next: Array,
    /// `|g|_*`
    norm: f64,
}

impl Krylov {
    pub(super) fn new(metric: &Metric, gradient: &Array) -> Krylov {
        Krylov {
            vectors: Vec::new(),
            images: Vec::new(),
            diagonal: Vec::new(),
            below: Vec::new(),
            next: -gradient,
            norm: metric.dual_norm(gradient),
        }
    }

    /// Products made.
    pub(super) fn len(&self) -> usize {
        self.diagonal.len()
    }

    /// The step for one damping, with as many further vectors as it needs; `None` if `T + lambda I` is not positive definite.
    pub(super) fn step(
        &mut self,
        curvature: &Curvature<'_>,
        metric: &Metric,
        lambda: f64,
        most: usize,
    ) -> Option<Array> {
        if self.diagonal.is_empty() {
            self.extend(curvature, metric);
        }
        loop {
            let coordinates = self.solve_tridiagonal(lambda)?;
            let residual = self.below.last()? * coordinates.last()?.abs();
            if residual <= tolerance(self.norm) || self.len() >= most {
                let first = self.vectors[0].zeros_like();
                let add = |sum: Array, (v, &y): (&Array, &f64)| sum.add_scaled(y, v);
                return Some(self.vectors.iter().zip(&coordinates).fold(first, add));
            }
            if !residual.is_finite() {
                return None;
            }
            self.extend(curvature, metric);
        }
    }

    fn extend(&mut self, curvature: &Curvature<'_>, metric: &Metric) {
        let length = self.below.last().copied().unwrap_or(self.norm);
        let image = &self.next * (1.0 / length);
        let vector = metric.solve(&image);
        let mut next = curvature.apply(&vector);
        self.diagonal.push(dot(&vector, &next));
        self.vectors.push(vector);
        self.images.push(image);
        // Against all vectors and twice: the recurrence alone loses their orthogonality.
        for _ in 0..2 {
            for (v, bv) in self.vectors.iter().zip(&self.images) {
                let along = dot(v, &next);
                next = next.add_scaled(-along, bv);
            }
        }
        self.below.push(metric.dual_norm(&next));
        self.next = next;
    }

    /// `y` with `(T + lambda I) y = |g|_* e_1`, by the factorization `L D L^T`; `None` at a pivot that is not positive.
    fn solve_tridiagonal(&self, lambda: f64) -> Option<Vec<f64>> {
        let mut pivots: Vec<f64> = Vec::with_capacity(self.len());
        let mut y: Vec<f64> = Vec::with_capacity(self.len());
        for (j, alpha) in self.diagonal.iter().enumerate() {
            let (pivot, value) = if j == 0 {
                (alpha + lambda, self.norm)
            } else {
                let ratio = self.below[j - 1] / pivots[j - 1];
                (alpha + lambda - ratio * self.below[j - 1], -ratio * y[j - 1])
            };
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            pivots.push(pivot);
            y.push(value);
        }
        for j in (0..y.len()).rev() {
            let after = if j + 1 < y.len() { self.below[j] * y[j + 1] } else { 0.0 };
            y[j] = (y[j] - after) / pivots[j];
        }
        Some(y)
    }
}
