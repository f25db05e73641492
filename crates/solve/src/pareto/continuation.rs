//! Following the set of critical points of smooth objectives.

use std::collections::VecDeque;

use super::dense::{dot, norm, solve};
use super::error::require;
use super::{CommonDescent, ParetoError, SmoothObjectives, check_start, moved};

/// Predictor and corrector along the zeros of `H(x, a) = (sum a_i grad J_i(x), 1 - sum a_i)`, which are a manifold of dimension
/// `k - 1` where `H` is regular. From every point, steps along all directions of the tangent space; a corrected point counts
/// if no other is nearer than 0.6 steps. Where a weight turns negative the set ends, and the point on its edge is found with that weight
/// zero. With `N` points the bookkeeping is `O(N^2)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuation {
    /// Distance of neighbours.
    pub step: f64,
    /// Most points.
    pub max_points: usize,
    /// Newton's method stops at this norm of `H`.
    pub tolerance: f64,
}

impl Default for Continuation {
    fn default() -> Self {
        Continuation { step: 0.05, max_points: 10_000, tolerance: 1e-10 }
    }
}

/// A critical point.
#[derive(Clone, Debug, PartialEq)]
pub struct CriticalPoint {
    /// The point.
    pub x: Vec<f64>,
    /// Weights of the gradients, not negative, of sum one.
    pub weights: Vec<f64>,
    /// Values of the objectives.
    pub values: Vec<f64>,
}

impl Continuation {
    /// All points that are reached from `start`, which is first moved to a critical point by common descent.
    ///
    /// # Errors
    /// [`ParetoError`] for a start that does not fit or an option out of range, [`ParetoError::Singular`] if no regular critical point
    /// is found from `start`.
    pub fn follow(
        &self,
        f: &dyn SmoothObjectives,
        start: &[f64],
    ) -> Result<Vec<CriticalPoint>, ParetoError> {
        check_start(f, start)?;
        require(self.step > 0.0, "step", self.step, "above 0")?;
        require(self.tolerance > 0.0, "tolerance", self.tolerance, "above 0")?;
        let coarse = CommonDescent { tolerance: 1e-4, ..CommonDescent::default() };
        let descended = coarse.minimize(f, start)?;
        let mut found: Vec<CriticalPoint> = Vec::new();
        let mut queue = VecDeque::new();
        let first = self
            .correct(f, &descended.x, &descended.weights)
            .ok_or(ParetoError::Singular("continuation: at the first critical point"))?;
        queue.push_back(0);
        found.push(first);
        while let Some(at) = queue.pop_front() {
            for (dx, da) in self.directions(f, &found[at]) {
                if found.len() >= self.max_points {
                    return Ok(found);
                }
                let x = moved(&found[at].x, 1.0, &dx);
                let weights = moved(&found[at].weights, 1.0, &da);
                let Some(point) = self.correct(f, &x, &weights) else { continue };
                let gap = |other: &CriticalPoint| norm(&moved(&point.x, -1.0, &other.x));
                // A corrector that went far has found another part of the set, or none.
                let near = gap(&found[at]) <= 2.0 * norm(&dx);
                if near && found.iter().all(|other| gap(other) >= 0.6 * self.step) {
                    queue.push_back(found.len());
                    found.push(point);
                }
            }
        }
        Ok(found)
    }

    /// The critical point near `(x, a)`; weights that turn negative are fixed at zero, one after the other.
    fn correct(
        &self,
        f: &dyn SmoothObjectives,
        x: &[f64],
        weights: &[f64],
    ) -> Option<CriticalPoint> {
        let mut active: Vec<usize> = (0..f.count()).collect();
        let (mut x, mut weights) = (x.to_vec(), weights.to_vec());
        loop {
            let sum: f64 = active.iter().map(|&i| weights[i].max(0.0)).sum();
            let mut a: Vec<f64> = active.iter().map(|&i| weights[i].max(0.0) / sum).collect();
            self.newton(f, &mut x, &mut a, &active)?;
            weights = vec![0.0; f.count()];
            active.iter().zip(&a).for_each(|(&i, &a)| weights[i] = a);
            let worst =
                active.iter().copied().min_by(|&i, &j| weights[i].total_cmp(&weights[j]))?;
            if weights[worst] >= -1e-9 {
                weights = weights.into_iter().map(|w| w.max(0.0)).collect();
                return Some(CriticalPoint { values: f.values(&x), x, weights });
            }
            active.retain(|&i| i != worst);
        }
    }

    /// Newton steps of least length in `(x, a)`.
    fn newton(
        &self,
        f: &dyn SmoothObjectives,
        x: &mut [f64],
        a: &mut [f64],
        active: &[usize],
    ) -> Option<()> {
        let n = x.len();
        for _ in 0..30 {
            let (h, jacobian) = system(f, x, a, active);
            if norm(&h) <= self.tolerance {
                return Some(());
            }
            let rows = n + 1;
            let columns = n + active.len();
            let row = |i: usize| &jacobian[i * columns..(i + 1) * columns];
            let square = (0..rows).flat_map(|i| (0..rows).map(move |j| (i, j)));
            let square = square.map(|(i, j)| dot(row(i), row(j))).collect();
            let y = solve(square, h)?;
            let delta =
                |c: usize| -(0..rows).map(|i| y[i] * jacobian[i * columns + c]).sum::<f64>();
            x.iter_mut().enumerate().for_each(|(c, x)| *x += delta(c));
            a.iter_mut().enumerate().for_each(|(c, a)| *a += delta(n + c));
            if x.iter().any(|x| !x.is_finite()) {
                return None;
            }
        }
        None
    }

    /// Steps in the tangent space: all sums of at most one step up or down along each vector of a basis whose parts in `x` are
    /// orthonormal.
    fn directions(
        &self,
        f: &dyn SmoothObjectives,
        point: &CriticalPoint,
    ) -> Vec<(Vec<f64>, Vec<f64>)> {
        let (n, k) = (point.x.len(), f.count());
        let active: Vec<usize> = (0..k).collect();
        let (_, jacobian) = system(f, &point.x, &point.weights, &active);
        let basis = kernel(&jacobian, n + 1, n + k, n);
        let mut steps = Vec::new();
        for mut code in 0..3usize.pow(basis.len() as u32) {
            let mut sum = vec![0.0; n + k];
            for vector in &basis {
                sum = moved(&sum, self.step * ((code % 3) as f64 - 1.0), vector);
                code /= 3;
            }
            if norm(&sum[..n]) > 0.0 {
                steps.push((sum[..n].to_vec(), sum[n..].to_vec()));
            }
        }
        steps
    }
}

/// `H` and its Jacobian by rows, for the objectives in `active`.
fn system(
    f: &dyn SmoothObjectives,
    x: &[f64],
    a: &[f64],
    active: &[usize],
) -> (Vec<f64>, Vec<f64>) {
    let (n, k) = (x.len(), active.len());
    let columns = n + k;
    let mut h = vec![0.0; n + 1];
    let mut jacobian = vec![0.0; (n + 1) * columns];
    for (c, (&i, &weight)) in active.iter().zip(a).enumerate() {
        let (gradient, hessian) = (f.subgradient(i, x), f.hessian(i, x));
        for row in 0..n {
            h[row] += weight * gradient[row];
            jacobian[row * columns + n + c] = gradient[row];
            for column in 0..n {
                jacobian[row * columns + column] += weight * hessian[row * n + column];
            }
        }
        jacobian[n * columns + n + c] = -1.0;
    }
    h[n] = 1.0 - a.iter().sum::<f64>();
    (h, jacobian)
}

/// A basis of the kernel of a matrix of full rank, whose parts in the first `lead` coordinates are orthonormal. Directions that do not
/// move those are left out.
fn kernel(matrix: &[f64], rows: usize, columns: usize, lead: usize) -> Vec<Vec<f64>> {
    let mut range: Vec<Vec<f64>> = Vec::new();
    let orthogonal = |mut v: Vec<f64>, range: &[Vec<f64>]| {
        for _ in 0..2 {
            for q in range {
                v = moved(&v, -dot(&v, q), q);
            }
        }
        v
    };
    for row in matrix.chunks_exact(columns).take(rows) {
        let v = orthogonal(row.to_vec(), &range);
        let length = norm(&v);
        if length > 1e-12 * norm(row) {
            range.push(v.iter().map(|v| v / length).collect());
        }
    }
    let mut raw: Vec<Vec<f64>> = Vec::new();
    while range.len() < columns {
        let unit = |c: usize| {
            let mut e = vec![0.0; columns];
            e[c] = 1.0;
            orthogonal(e, &range)
        };
        let best = (0..columns).map(unit).fold(Vec::new(), |best: Vec<f64>, v| {
            if norm(&v) > norm(&best) + 1e-9 { v } else { best }
        });
        let length = norm(&best);
        let v: Vec<f64> = best.iter().map(|v| v / length).collect();
        range.push(v.clone());
        raw.push(v);
    }
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for mut v in raw {
        let before = norm(&v[..lead]);
        for _ in 0..2 {
            for q in &basis {
                v = moved(&v, -dot(&v[..lead], &q[..lead]), q);
            }
        }
        let length = norm(&v[..lead]);
        if length > 1e-8 * before && length > 1e-8 {
            basis.push(v.iter().map(|v| v / length).collect());
        }
    }
    basis
}
