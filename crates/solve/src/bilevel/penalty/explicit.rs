//! The exact hypergradient where the lower problem has many solutions and active constraints, as a reference.

use lisse_array::Array;

use crate::bilevel::sets::multipliers;
use crate::bilevel::vector::{axpy, dot, norm};
use crate::bilevel::{Active, Batch, BilevelError, Oracle, Warning, Wrt};

/// `df/dx - [0, g_xy] K^+ [0; df/dy]` with `K = [[0, J], [J^T, L_yy]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplicitGradient {
    /// The gradient of `psi`.
    pub gradient: Vec<f64>,
    /// Active constraints.
    pub active: usize,
    /// Their multipliers.
    pub multipliers: Vec<f64>,
    /// Rank of `K`; `None` where it was not formed.
    pub rank: Option<usize>,
    /// `|K w - [0; df/dy]|` relative to `|df/dy|`: not small means that `f` can fall inside the set of lower solutions, so that `y` is not the one
    /// that the upper level would choose.
    pub residual: f64,
    /// What makes the formula doubtful.
    pub warnings: Vec<Warning>,
}

/// Up to this order `K` is formed; beyond, the reduced system is solved by conjugate gradients.
const DENSE: usize = 400;

/// The gradient of `psi` at `x`, `y` an exact solution there, constraints closer than `tolerance` active. `x` must not occur in the
/// constraints.
///
/// # Errors
/// Coupled constraints; numbers that are not finite.
pub fn explicit_gradient(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    y: &[f64],
    tolerance: f64,
) -> Result<ExplicitGradient, BilevelError> {
    crate::bilevel::baselines::refuse_constraints("the explicit gradient", oracle, false)?;
    let all = Batch::all();
    let active = oracle.problem().set_y().active(y, tolerance);
    let slope = oracle.lower_y(x, y, &all);
    let (lambda, independent) = multipliers(&active, &slope);
    let mut warnings = Vec::new();
    if independent < active.len() {
        Warning::DependentConstraints { rank: independent, active: active.len() }
            .note(&mut warnings);
    }
    for (a, l) in active.iter().zip(&lambda) {
        if !a.equality && l.abs() <= 1e-8 * (1.0 + norm(&slope)) {
            Warning::WeaklyActive { multiplier: *l }.note(&mut warnings);
        }
    }
    // Balls bend the Lagrangian.
    let bend: f64 = active.iter().zip(&lambda).map(|(a, l)| a.curvature * l).sum();
    let upper = oracle.upper(x, y, &all, Wrt::Both);
    let size = y.len() + active.len();
    let (v, rank, residual) = if size <= DENSE {
        dense(oracle, x, y, &active, bend, &upper.y)?
    } else {
        reduced(oracle, x, y, &active, bend, &upper.y, &mut warnings)
    };
    let mut gradient = upper.x;
    axpy(&mut gradient, -1.0, &oracle.cross_product(x, y, &v, &all));
    Ok(ExplicitGradient {
        gradient,
        active: active.len(),
        multipliers: lambda,
        rank,
        residual,
        warnings,
    })
}

type Solved = (Vec<f64>, Option<usize>, f64);

fn dense(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    y: &[f64],
    active: &[Active],
    bend: f64,
    right: &[f64],
) -> Result<Solved, BilevelError> {
    let (n, m) = (y.len(), active.len());
    let size = n + m;
    let mut k = vec![0.0; size * size];
    for (i, a) in active.iter().enumerate() {
        for (j, g) in a.gradient.iter().enumerate() {
            k[i * size + m + j] = *g;
            k[(m + j) * size + i] = *g;
        }
    }
    let mut unit = vec![0.0; n];
    for j in 0..n {
        unit[j] = 1.0;
        let column = oracle.hessian_product(x, y, &unit, &Batch::all());
        unit[j] = 0.0;
        for (i, h) in column.iter().enumerate() {
            k[(m + i) * size + m + j] = *h + if i == j { bend } else { 0.0 };
        }
    }
    let what = "the matrix of the optimality conditions";
    crate::bilevel::vector::check_finite(what, &k, "; y is no point of the lower problem")?;
    let matrix = Array::from_vec(k, &[size, size]);
    let mut b = vec![0.0; m];
    b.extend_from_slice(right);
    let b = Array::from_vec(b, &[size]);
    let failed = |e: lisse_array::linalg::LinalgError| BilevelError::Unsupported {
        method: "the explicit gradient",
        reason: e.to_string(),
    };
    let (_, s, _) = matrix.svd().map_err(failed)?;
    let s = s.to_vec::<f64>();
    let rank = s.iter().filter(|v| **v > 1e-12 * s[0]).count();
    let w = matrix.pinv(Some(1e-12)).map_err(failed)?.matmul(&b);
    let left = (matrix.matmul(&w) - &b).to_vec::<f64>();
    let residual = norm(&left) / norm(right).max(f64::MIN_POSITIVE);
    Ok((w.to_vec::<f64>()[m..].to_vec(), Some(rank), residual))
}

/// `P (L_yy) P v = P df/dy` on the null space of the active gradients, by conjugate gradients from 0: the smallest solution.
fn reduced(
    oracle: &mut Oracle<'_>,
    x: &[f64],
    y: &[f64],
    active: &[Active],
    bend: f64,
    right: &[f64],
    warnings: &mut Vec<Warning>,
) -> Solved {
    let project = |v: &mut Vec<f64>| {
        let (lambda, _) = multipliers(active, v);
        for (a, l) in active.iter().zip(&lambda) {
            axpy(v, *l, &a.gradient);
        }
    };
    let mut residual = right.to_vec();
    project(&mut residual);
    let scale = norm(&residual).max(f64::MIN_POSITIVE);
    let (mut v, mut p) = (vec![0.0; y.len()], residual.clone());
    let mut rr = dot(&residual, &residual);
    let mut high = 0.0f64;
    for _ in 0..4 * y.len() {
        if rr.sqrt() <= 1e-11 * scale {
            break;
        }
        let mut hp = oracle.hessian_product(x, y, &p, &Batch::all());
        axpy(&mut hp, bend, &p);
        project(&mut hp);
        let curvature = dot(&p, &hp) / dot(&p, &p);
        high = high.max(curvature.abs());
        if curvature <= 1e-12 * high {
            if curvature < -1e-12 * high {
                Warning::NegativeCurvature { curvature }.note(warnings);
            } else {
                Warning::FlatCurvature { ratio: (curvature / high).max(0.0) }.note(warnings);
            }
            break;
        }
        let length = rr / dot(&p, &hp);
        axpy(&mut v, length, &p);
        axpy(&mut residual, -length, &hp);
        let next = dot(&residual, &residual);
        let share = next / rr;
        for (p, r) in p.iter_mut().zip(&residual) {
            *p = r + share * *p;
        }
        rr = next;
    }
    (v, None, rr.sqrt() / scale)
}
