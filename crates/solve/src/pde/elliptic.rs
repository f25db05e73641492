//! The semilinear equation with a max term.

use lisse_array::Array;
use lisse_array::sparse::{Csr, CsrFactor};
use lisse_fem::{CellKind, Dirichlet, Measure, Mesh, Space};

use super::PdeError;
use super::error::{require, same_length};
use crate::linear::vector::norm;

/// `-Lap y + kappa max(0, y) = u` in a domain, `y = 0` on its boundary, by finite elements of first order with lumped mass: with
/// the stiffness matrix `K` and the diagonal `m` of the free nodes, `K y + kappa m max(0, y) = m u`. On the unit square this is the
/// five-point formula. The solution is unique, monotone and Lipschitz in `u`, and differentiable where `y` is nowhere 0.
///
/// ```
/// use lisse_solve::pde::MaxElliptic;
/// let equation = MaxElliptic::unit_square(31, 10.0)?;
/// let state = equation.state(&vec![1.0; equation.len()], None)?;
/// let highest = state.y.iter().fold(0.0f64, |m, y| m.max(*y));
/// assert!((highest - 0.04689648).abs() < 1e-8);
/// # Ok::<(), lisse_solve::pde::PdeError>(())
/// ```
#[derive(Clone)]
pub struct MaxElliptic {
    boundary: Dirichlet,
    space: Space,
    pub(super) stiffness: Csr,
    pub(super) entries: Vec<f64>,
    diagonal: Vec<usize>,
    pub(super) mass: Vec<f64>,
    pub(super) kappa: f64,
    factor: CsrFactor,
}

/// A solution of the equation.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Values at the free nodes.
    pub y: Vec<f64>,
    /// Newton steps taken.
    pub steps: usize,
    /// Norm of the residual over that of the right-hand side.
    pub residual: f64,
}

impl MaxElliptic {
    /// The equation on a space of first order.
    ///
    /// # Errors
    /// [`PdeError::NoInterior`], [`PdeError::Mass`], [`PdeError::Option`] for a negative `kappa`.
    pub fn new(space: &Space, kappa: f64) -> Result<MaxElliptic, PdeError> {
        require(kappa >= 0.0 && kappa.is_finite(), "kappa", kappa, "a finite number, at least 0")?;
        let dx = Measure::cells(space, 2 * space.order())?;
        let boundary = Dirichlet::new(space, |_| true);
        if boundary.free().is_empty() {
            return Err(PdeError::NoInterior);
        }
        let all = dx.lumped_mass().to_f64_vec();
        let mass: Vec<f64> = boundary.free().iter().map(|&i| all[i]).collect();
        let largest = mass.iter().copied().fold(0.0, f64::max);
        if let Some(node) = mass.iter().position(|&m| m <= 1e-12 * largest) {
            return Err(PdeError::Mass { node: boundary.free()[node] });
        }
        let stiffness = boundary.restrict(&dx.diffusion().unit());
        let entries = stiffness.values().to_f64_vec();
        let pattern = stiffness.pattern();
        let place = |i| pattern.position(i, i).expect("a stiffness matrix has its diagonal");
        let diagonal = (0..mass.len()).map(place).collect();
        let factor = stiffness.factor()?;
        let space = space.clone();
        Ok(MaxElliptic { boundary, space, stiffness, entries, diagonal, mass, kappa, factor })
    }

    /// The equation on the unit square with `n` by `n` inner nodes on right-angled triangles.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn unit_square(n: usize, kappa: f64) -> Result<MaxElliptic, PdeError> {
        if n == 0 {
            return Err(PdeError::NoInterior);
        }
        let mesh = Mesh::rectangle([n + 1; 2], [[0.0, 1.0]; 2], CellKind::Triangle)?;
        MaxElliptic::new(&Space::new(mesh, 1)?, kappa)
    }

    /// Number of free nodes.
    pub fn len(&self) -> usize {
        self.mass.len()
    }

    /// Never: there are free nodes.
    pub fn is_empty(&self) -> bool {
        self.mass.is_empty()
    }

    /// Values of a function at the free nodes.
    pub fn sample(&self, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        self.boundary.free().iter().map(|&i| f(self.space.node(i))).collect()
    }

    /// Values at all nodes of the space, zero on the boundary.
    pub fn extend(&self, y: &[f64]) -> Array {
        self.boundary.extend(y)
    }

    /// The space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Lumped masses of the free nodes.
    pub fn mass(&self) -> &[f64] {
        &self.mass
    }

    /// `kappa`
    pub fn kappa(&self) -> f64 {
        self.kappa
    }

    /// `sum m a b`: the inner product in which gradients are taken.
    pub fn inner(&self, a: &[f64], b: &[f64]) -> f64 {
        self.mass.iter().zip(a.iter().zip(b)).map(|(m, (a, b))| m * a * b).sum()
    }

    /// `y^T K y`, the square of the energy norm.
    pub fn energy(&self, y: &[f64]) -> f64 {
        let mut image = vec![0.0; y.len()];
        self.apply_stiffness(y, &mut image);
        crate::linear::vector::dot(y, &image)
    }

    /// The state for the right-hand side `u`, by semismooth Newton steps from `start` or 0, to a relative residual of 1e-11. No
    /// damping is needed: with `D` the indicator of `y > 0`, `K + kappa m D` is an M-matrix for every `D`. The steps are few, whatever
    /// the mesh.
    ///
    /// # Errors
    /// [`PdeError::Length`], [`PdeError::NotConverged`], [`PdeError::Linalg`] for a `u` that is not finite.
    pub fn state(&self, u: &[f64], start: Option<&[f64]>) -> Result<State, PdeError> {
        let right: Vec<f64> = self.mass.iter().zip(u).map(|(m, u)| m * u).collect();
        same_length("the right-hand side", u.len(), self.len())?;
        self.state_with(&right, None, start)
    }

    /// `K y + s y + kappa m max(0, y) = right` with an optional diagonal `s`.
    pub(super) fn state_with(
        &self,
        right: &[f64],
        shift: Option<&[f64]>,
        start: Option<&[f64]>,
    ) -> Result<State, PdeError> {
        const STEPS: usize = 60;
        let n = self.len();
        let mut y = start.map_or_else(|| vec![0.0; n], <[f64]>::to_vec);
        same_length("the start", y.len(), n)?;
        let size = norm(right).max(f64::MIN_POSITIVE);
        let (mut residual, mut r) = (f64::INFINITY, vec![0.0; n]);
        for steps in 0..=STEPS {
            self.apply_stiffness(&y, &mut r);
            for i in 0..n {
                let linear = shift.map_or(0.0, |s| s[i]) * y[i];
                r[i] += linear + self.kappa * self.mass[i] * y[i].max(0.0) - right[i];
            }
            residual = norm(&r) / size;
            if residual <= 1e-11 {
                return Ok(State { y, steps, residual });
            }
            if steps == STEPS || !residual.is_finite() {
                break;
            }
            let step = self.solve(&self.slope(&y, shift), &r)?;
            y.iter_mut().zip(&step).for_each(|(y, d)| *y -= d);
        }
        Err(PdeError::NotConverged { what: "semismooth Newton", steps: STEPS, residual })
    }

    /// The diagonal `kappa m D + s` of the linearisation at `y`; `D = 0` where `y = 0`.
    pub(super) fn slope(&self, y: &[f64], shift: Option<&[f64]>) -> Vec<f64> {
        let at = |i: usize| {
            let active = if y[i] > 0.0 { self.kappa * self.mass[i] } else { 0.0 };
            active + shift.map_or(0.0, |s| s[i])
        };
        (0..y.len()).map(at).collect()
    }

    /// `K + diag(d)`
    pub(super) fn shifted(&self, d: &[f64]) -> Csr {
        let mut values = self.entries.clone();
        self.diagonal.iter().zip(d).for_each(|(&e, d)| values[e] += d);
        self.stiffness.with_values(&Array::from_vec(values, &[self.entries.len()]))
    }

    /// `x` with `(K + diag(d)) x = b`
    pub(super) fn solve(&self, d: &[f64], b: &[f64]) -> Result<Vec<f64>, PdeError> {
        let b = Array::from_slice(b, &[b.len()]);
        Ok(self.shifted(d).cholesky()?.solve(&b).to_vec())
    }

    /// `x` with `K x = b`, by factors made once.
    pub fn solve_stiffness(&self, b: &[f64]) -> Vec<f64> {
        self.factor.solve(&Array::from_slice(b, &[b.len()])).to_vec()
    }

    /// `K x`
    pub(super) fn apply_stiffness(&self, x: &[f64], out: &mut [f64]) {
        let pattern = self.stiffness.pattern();
        let (indptr, indices) = (pattern.indptr(), pattern.indices());
        for (i, out) in out.iter_mut().enumerate() {
            let row = indptr[i]..indptr[i + 1];
            let (values, columns) = (&self.entries[row.clone()], &indices[row]);
            *out = values.iter().zip(columns).map(|(v, &j)| v * x[j]).sum();
        }
    }

    /// The least eigenvalue of `K x = lambda m x`, by inverse iteration.
    pub fn least_eigenvalue(&self) -> f64 {
        let mut x = vec![1.0; self.len()];
        let mut value = f64::INFINITY;
        for _ in 0..200 {
            let b: Vec<f64> = self.mass.iter().zip(&x).map(|(m, x)| m * x).collect();
            x = self.solve_stiffness(&b);
            let length = self.inner(&x, &x).sqrt();
            for x in &mut x {
                *x /= length;
            }
            let next = self.energy(&x);
            if (next - value).abs() <= 1e-12 * next {
                return next;
            }
            value = next;
        }
        value
    }
}
