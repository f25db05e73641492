//! Krylov methods for square operators, and the Neumann series.

use super::LinearError;
use super::solver::{Outcome, Task};
use super::vector::{axpy, dot, norm, xpay};

impl Task<'_> {
    /// `z = M^{-1} r`, or `z = r`.
    pub(super) fn precondition(&self, r: &[f64], z: &mut [f64]) {
        match self.preconditioner {
            Some(preconditioner) => preconditioner.apply(r, z),
            None => z.copy_from_slice(r),
        }
    }

    pub(super) fn not_finite(method: &'static str) -> LinearError {
        LinearError::NotFinite { method, what: "a product with the operator" }
    }
}

/// Conjugate gradients (Hestenes and Stiefel 1952), preconditioned.
pub(super) fn cg(task: &Task<'_>, mut x: Vec<f64>) -> Result<Outcome, LinearError> {
    let n = x.len();
    let mut r = vec![0.0; n];
    task.operator.residual(task.b, &x, &mut r);
    let mut z = vec![0.0; n];
    task.precondition(&r, &mut z);
    let mut p = z.clone();
    let mut q = vec![0.0; n];
    let mut rz = dot(&r, &z);
    let mut lanczos = Lanczos::default();
    let mut iterations = 1;
    while norm(&r) > task.target && iterations <= task.max_iterations {
        task.operator.apply(&p, &mut q);
        let curvature = dot(&p, &q);
        if !curvature.is_finite() {
            return Err(Task::not_finite("cg"));
        }
        // A residual at the rounding level leaves directions without meaning: that is convergence, not indefiniteness.
        let scale = norm(&p) * norm(&q);
        if curvature <= 0.0 || rz <= 0.0 {
            if curvature.abs() <= 1e-14 * scale || norm(&r) <= 1e-13 * norm(task.b) {
                break;
            }
            let curvature = curvature / dot(&p, &p);
            let (method, iteration) = ("cg", iterations);
            return Err(LinearError::NotPositiveDefinite { method, curvature, iteration });
        }
        let alpha = rz / curvature;
        axpy(alpha, &p, &mut x);
        axpy(-alpha, &q, &mut r);
        task.precondition(&r, &mut z);
        let next = dot(&r, &z);
        let beta = next / rz;
        lanczos.push(alpha, beta);
        xpay(&z, beta, &mut p);
        rz = next;
        iterations += 1;
    }
    Ok(Outcome { x, iterations, condition: lanczos.condition() })
}

/// The tridiagonal matrix whose eigenvalues approximate the (preconditioned) operator's, from the coefficients of CG.
#[derive(Default)]
pub(super) struct Lanczos {
    diagonal: Vec<f64>,
    off: Vec<f64>,
    next: f64,
}

/// Steps of CG that enter the estimate.
const LANCZOS_STEPS: usize = 200;

impl Lanczos {
    pub(super) fn push(&mut self, alpha: f64, beta: f64) {
        if self.diagonal.len() < LANCZOS_STEPS {
            self.diagonal.push(1.0 / alpha + self.next);
            self.off.push(beta.max(0.0).sqrt() / alpha);
            self.next = beta / alpha;
        }
    }

    /// Largest by smallest eigenvalue, by bisection.
    pub(super) fn condition(&self) -> Option<f64> {
        let n = self.diagonal.len();
        let radius = |i: usize| {
            let left = if i > 0 { self.off[i - 1] } else { 0.0 };
            left + if i + 1 < n { self.off[i] } else { 0.0 }
        };
        let high = (0..n).map(|i| self.diagonal[i] + radius(i)).fold(f64::NAN, f64::max);
        if !(high > 0.0 && high.is_finite()) {
            return None;
        }
        let low = self.bisect(high, 1);
        (low > 0.0).then(|| self.bisect(high, n) / low)
    }

    /// The `k`-th smallest eigenvalue in `(0, high]`.
    fn bisect(&self, high: f64, k: usize) -> f64 {
        let (mut low, mut high) = (0.0, high);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.below(middle) >= k {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }

    /// How many eigenvalues lie below `x` (Sturm sequence).
    fn below(&self, x: f64) -> usize {
        let (mut count, mut pivot) = (0, 1.0);
        for (i, d) in self.diagonal.iter().enumerate() {
            let coupling = if i > 0 { self.off[i - 1] * self.off[i - 1] } else { 0.0 };
            pivot = d - x - coupling / pivot;
            if pivot == 0.0 {
                pivot = f64::EPSILON * d.abs().max(f64::MIN_POSITIVE);
            }
            count += usize::from(pivot < 0.0);
        }
        count
    }
}

/// GMRES(m) (Saad and Schultz 1986), preconditioned from the right so that the residual is the true one.
pub(super) fn gmres(
    task: &Task<'_>,
    mut x: Vec<f64>,
    restart: usize,
) -> Result<Outcome, LinearError> {
    let n = x.len();
    let (mut r, mut z) = (vec![0.0; n], vec![0.0; n]);
    let mut iterations = 0;
    let mut previous = f64::INFINITY;
    loop {
        task.operator.residual(task.b, &x, &mut r);
        let size = norm(&r);
        iterations += 1;
        if !size.is_finite() {
            return Err(Task::not_finite("gmres"));
        }
        // A cycle that gains nothing has met the rounding level or a null space: more of them change nothing.
        if size <= task.target || iterations > task.max_iterations || size > 0.999_999 * previous {
            return Ok(Outcome { x, iterations, condition: None });
        }
        previous = size;
        let cycle = Cycle::run(task, &r, size, restart.min(n), &mut iterations)?;
        let y = cycle.coefficients();
        r.fill(0.0);
        for (basis, y) in cycle.basis.iter().zip(&y) {
            axpy(*y, basis, &mut r);
        }
        task.precondition(&r, &mut z);
        axpy(1.0, &z, &mut x);
    }
}

/// One cycle of Arnoldi steps with Givens rotations.
struct Cycle {
    basis: Vec<Vec<f64>>,
    /// Columns of the triangular factor.
    triangle: Vec<Vec<f64>>,
    right: Vec<f64>,
}

impl Cycle {
    fn run(
        task: &Task<'_>,
        r: &[f64],
        size: f64,
        restart: usize,
        iterations: &mut usize,
    ) -> Result<Cycle, LinearError> {
        let first: Vec<f64> = r.iter().map(|v| v / size).collect();
        let mut cycle = Cycle { basis: vec![first], triangle: Vec::new(), right: vec![size] };
        let mut rotations: Vec<(f64, f64)> = Vec::with_capacity(restart);
        let mut z = vec![0.0; r.len()];
        for k in 0..restart {
            let mut w = vec![0.0; r.len()];
            task.precondition(&cycle.basis[k], &mut z);
            task.operator.apply(&z, &mut w);
            *iterations += 1;
            let before = norm(&w);
            if !before.is_finite() {
                return Err(Task::not_finite("gmres"));
            }
            let mut column = vec![0.0; k + 1];
            // Twice is enough to keep the basis orthogonal.
            for _ in 0..2 {
                for (h, v) in column.iter_mut().zip(&cycle.basis) {
                    let along = dot(&w, v);
                    axpy(-along, v, &mut w);
                    *h += along;
                }
            }
            let below = norm(&w);
            for (i, (c, s)) in rotations.iter().enumerate() {
                let (a, b) = (column[i], column[i + 1]);
                (column[i], column[i + 1]) = (c * a + s * b, c * b - s * a);
            }
            let radius = column[k].hypot(below);
            if radius <= f64::EPSILON * before {
                break;
            }
            let (c, s) = (column[k] / radius, below / radius);
            column[k] = radius;
            rotations.push((c, s));
            cycle.triangle.push(column);
            let last = cycle.right[k];
            cycle.right[k] = c * last;
            cycle.right.push(-s * last);
            if cycle.right[k + 1].abs() <= task.target
                || below <= f64::EPSILON * before
                || *iterations >= task.max_iterations
            {
                break;
            }
            cycle.basis.push(w.iter().map(|v| v / below).collect());
        }
        Ok(cycle)
    }

    /// Back substitution.
    fn coefficients(&self) -> Vec<f64> {
        let m = self.triangle.len();
        let mut y = self.right[..m].to_vec();
        for i in (0..m).rev() {
            y[i] /= self.triangle[i][i];
            for j in 0..i {
                y[j] -= self.triangle[i][j] * y[i];
            }
        }
        y
    }
}

/// BiCGSTAB (van der Vorst 1992), preconditioned from the right.
pub(super) fn bicgstab(task: &Task<'_>, mut x: Vec<f64>) -> Result<Outcome, LinearError> {
    let n = x.len();
    let mut r = vec![0.0; n];
    task.operator.residual(task.b, &x, &mut r);
    let mut shadow = r.clone();
    let mut p = r.clone();
    let (mut v, mut t) = (vec![0.0; n], vec![0.0; n]);
    let (mut ph, mut sh) = (vec![0.0; n], vec![0.0; n]);
    let mut rho = dot(&shadow, &r);
    let mut iterations = 1;
    // The best iterate is kept: the residual is not monotone.
    let (mut best, mut best_size) = (x.clone(), norm(&r));
    while norm(&r) > task.target && iterations < task.max_iterations {
        task.precondition(&p, &mut ph);
        task.operator.apply(&ph, &mut v);
        let alpha = rho / dot(&shadow, &v);
        axpy(-alpha, &v, &mut r);
        axpy(alpha, &ph, &mut x);
        task.precondition(&r, &mut sh);
        task.operator.apply(&sh, &mut t);
        iterations += 2;
        let tt = dot(&t, &t);
        let omega = if tt > 0.0 { dot(&t, &r) / tt } else { 0.0 };
        axpy(omega, &sh, &mut x);
        axpy(-omega, &t, &mut r);
        let size = norm(&r);
        if size.is_finite() && size < best_size {
            best.copy_from_slice(&x);
            best_size = size;
        }
        let next = dot(&shadow, &r);
        let beta = (next / rho) * (alpha / omega);
        if !beta.is_finite() || next.abs() < 1e-30 * norm(&shadow) * size {
            // Breakdown: begin again from the best iterate.
            x.copy_from_slice(&best);
            task.operator.residual(task.b, &x, &mut r);
            let again = norm(&r);
            if again <= task.target || again == norm(&shadow) {
                break;
            }
            shadow.copy_from_slice(&r);
            p.copy_from_slice(&r);
            rho = dot(&shadow, &r);
            continue;
        }
        for ((p, r), v) in p.iter_mut().zip(&r).zip(&v) {
            *p = r + beta * (*p - omega * v);
        }
        rho = next;
    }
    if !best_size.is_finite() {
        return Err(Task::not_finite("bicgstab"));
    }
    if norm(&r) <= task.target {
        best = x;
    }
    Ok(Outcome { x: best, iterations, condition: None })
}

/// `x = sum_k (I - A)^k b`. Terms that grow over five products in a row end it with an error.
pub(super) fn neumann(task: &Task<'_>, terms: Option<usize>) -> Result<Outcome, LinearError> {
    let mut x = task.b.to_vec();
    let mut term = task.b.to_vec();
    let mut product = vec![0.0; term.len()];
    let count = terms.map_or(task.max_iterations, |terms| terms.saturating_sub(1));
    let (mut size, mut growing, mut iterations) = (norm(&term), 0, 0);
    while iterations < count {
        task.operator.apply(&term, &mut product);
        iterations += 1;
        axpy(-1.0, &product, &mut term);
        axpy(1.0, &term, &mut x);
        let next = norm(&term);
        if !next.is_finite() {
            return Err(Task::not_finite("neumann"));
        }
        growing = if next >= size { growing + 1 } else { 0 };
        if growing >= 5 && terms.is_none() {
            return Err(LinearError::NotContracting { ratio: next / size });
        }
        size = next;
        // The next term is the residual: b - A x_k = (I - A)^{k+1} b.
        if terms.is_none() && size <= task.target {
            break;
        }
    }
    Ok(Outcome { x, iterations, condition: None })
}
