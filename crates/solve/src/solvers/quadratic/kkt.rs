//! The linear equations of a set of active constraints: the exact end of a solution, and its derivative.

use lisse_array::{Array, DType};

use super::admm::Outcome;
use super::{Numbers, QpSolution, QuadraticProgram, Side};
use crate::solvers::dense::{dot, independent_rows, largest, product, transposed};
use crate::solvers::{SolverError, Stop};

/// Active rows that are independent: equations first, then those with the largest multipliers.
fn active_rows(numbers: &Numbers, active: &[Side], y: &[f64]) -> Vec<usize> {
    let mut candidates: Vec<usize> = (0..numbers.m).filter(|&i| active[i] != Side::Free).collect();
    let priority = |i: usize| if active[i] == Side::Equal { f64::INFINITY } else { y[i].abs() };
    candidates.sort_by(|&a, &b| priority(b).total_cmp(&priority(a)));
    let mut rows = independent_rows(&numbers.a, numbers.n, &candidates);
    rows.sort_unstable();
    rows
}

fn bound(numbers: &Numbers, active: &[Side], row: usize) -> f64 {
    if active[row] == Side::Lower { numbers.lower[row] } else { numbers.upper[row] }
}

/// `[P, A_S'; A_S, 0]`
fn matrix(numbers: &Numbers, rows: &[usize]) -> Vec<f64> {
    let (n, size) = (numbers.n, numbers.n + rows.len());
    let mut k = vec![0.0; size * size];
    for i in 0..n {
        k[i * size..i * size + n].copy_from_slice(&numbers.p[i * n..(i + 1) * n]);
    }
    for (s, &row) in rows.iter().enumerate() {
        for j in 0..n {
            let entry = numbers.a[row * n + j];
            k[(n + s) * size + j] = entry;
            k[j * size + n + s] = entry;
        }
    }
    k
}

/// The solution of the equations with a small regularization, refined until it is gone (OSQP, section 4). `None` if it fails.
fn refined(numbers: &Numbers, rows: &[usize], rhs: &[f64]) -> Option<Vec<f64>> {
    let size = rhs.len();
    let k = matrix(numbers, rows);
    let scale = largest(&k).max(1e-300);
    let mut regular = k.clone();
    for i in 0..size {
        regular[i * size + i] += if i < numbers.n { 1e-9 } else { -1e-9 } * scale;
    }
    let lu = Array::from_vec::<f64>(regular, &[size, size]).lu().ok()?;
    let mut solution = vec![0.0; size];
    let mut last = f64::INFINITY;
    for _ in 0..30 {
        let residual: Vec<f64> =
            rhs.iter().zip(product(&k, &solution)).map(|(b, v)| b - v).collect();
        let error = largest(&residual);
        if !error.is_finite() || error >= last {
            break;
        }
        last = error;
        let step = lu.solve(&Array::from_slice(&residual, &[size])).to_f64_vec();
        solution.iter_mut().zip(step).for_each(|(s, d)| *s += d);
    }
    solution.iter().all(|v| v.is_finite()).then_some(solution)
}

/// The outcome with the equations of its active set solved, if all conditions of optimality hold to the tolerance there.
pub(super) fn polish(numbers: &Numbers, mut outcome: Outcome, tolerance: f64) -> Option<Outcome> {
    let n = numbers.n;
    let rows = active_rows(numbers, &outcome.active, &outcome.y);
    let bounds = rows.iter().map(|&i| bound(numbers, &outcome.active, i));
    let rhs: Vec<f64> = numbers.q.iter().map(|q| -q).chain(bounds).collect();
    let solution = refined(numbers, &rows, &rhs)?;
    let (x, multipliers) = solution.split_at(n);
    let mut y = vec![0.0; numbers.m];
    rows.iter().zip(multipliers).for_each(|(&i, &v)| y[i] = v);
    let ax = product(&numbers.a, x);
    let violation =
        (0..numbers.m).map(|i| (numbers.lower[i] - ax[i]).max(ax[i] - numbers.upper[i]));
    let primal = violation.fold(0.0, f64::max);
    let px = product(&numbers.p, x);
    let aty = transposed(&numbers.a, &y, n);
    let slope: Vec<f64> = (0..n).map(|j| px[j] + numbers.q[j] + aty[j]).collect();
    let dual = largest(&slope);
    let wrong = (0..numbers.m).map(|i| match outcome.active[i] {
        Side::Lower => y[i],
        Side::Upper => -y[i],
        _ => 0.0,
    });
    let wrong = wrong.fold(0.0, f64::max);
    let primal_scale = 1.0 + largest(&ax);
    let dual_scale = 1.0 + largest(&px).max(largest(&aty)).max(largest(&numbers.q));
    let optimal = primal <= tolerance * primal_scale
        && dual <= tolerance * dual_scale
        && wrong <= tolerance * dual_scale;
    if !optimal {
        return None;
    }
    outcome.x = x.to_vec();
    outcome.y = y;
    outcome.primal_residual = primal;
    outcome.dual_residual = dual;
    outcome.polished = true;
    Some(outcome)
}

/// `s + K^{-1} (b - K s)` for a constant `s` that solves `K s = b`: the derivative of the solution, to any order, and one step of
/// refinement. For a singular `K` the smallest such step.
fn differentiable(k: &Array, b: &Array, s: &[f64]) -> Result<Array, SolverError> {
    let s = k.device().with(|| Array::from_slice(s, &[s.len()]));
    let residual = b - k.matmul(&s);
    let size = s.abs().max_all().item().max(1.0);
    if let Ok(step) = k.solve(&residual) {
        let largest = step.abs().max_all().item();
        if largest.is_finite() && largest <= 1e-5 * size && regular(k) {
            return Ok(s + step);
        }
    }
    let inverse = k.pinv(None).map_err(SolverError::Linalg)?;
    Ok(&s + inverse.matmul(&residual))
}

/// Whether elimination found no pivot that is rounding.
fn regular(k: &Array) -> bool {
    let n = k.shape()[0];
    let k = k.stop_gradient();
    // A solve with a known solution loses as many digits as the condition number has.
    let known = Array::from_vec::<f64>((0..n).map(|i| 1.0 + (i as f64).sin()).collect(), &[n]);
    match k.solve(&k.matmul(&known)) {
        Ok(found) => (found - known).abs().max_all().item() < 1e-3,
        Err(_) => false,
    }
}

/// Gives a converged solution its derivatives.
pub(super) fn attach(
    program: &QuadraticProgram,
    numbers: &Numbers,
    outcome: &Outcome,
) -> Result<(Array, Array), SolverError> {
    let n = numbers.n;
    let active = if outcome.polished { outcome.active.clone() } else { settle(numbers, outcome) };
    let rows = active_rows(numbers, &active, &outcome.y);
    let bounds: Vec<Array> = rows
        .iter()
        .map(|&i| {
            let side = if active[i] == Side::Lower { &program.lower } else { &program.upper };
            side.narrow(0, i, 1)
        })
        .collect();
    let index = rows.iter().map(|&i| i as i64).collect();
    let index = Array::from_vec::<i64>(index, &[rows.len()]);
    let p = (&program.p + program.p.t()) * 0.5;
    let mut parts = vec![-&program.q];
    parts.extend(bounds);
    let rhs = Array::cat(&parts.iter().collect::<Vec<_>>(), 0);
    let mut known = outcome.x.clone();
    known.extend(rows.iter().map(|&i| outcome.y[i]));
    let solution = if rows.is_empty() {
        differentiable(&p, &rhs, &known)?
    } else {
        let a = program.a.index_select(0, &index);
        differentiable(&saddle(&p, &a), &rhs, &known)?
    };
    let x = solution.narrow(0, 0, n);
    let y = Array::zeros(&[numbers.m], DType::F64);
    let y = if rows.is_empty() {
        y
    } else {
        y.index_add(0, &index, &solution.narrow(0, n, rows.len()))
    };
    Ok((x, y))
}

fn saddle(p: &Array, a: &Array) -> Array {
    let rows = a.shape()[0];
    let corner = Array::zeros(&[rows, rows], DType::F64);
    let top = Array::cat(&[p, &a.t()], 1);
    let bottom = Array::cat(&[a, &corner], 1);
    Array::cat(&[&top, &bottom], 0)
}

/// Without an exact end, a constraint is taken to be active if its multiplier is clearly not 0.
fn settle(numbers: &Numbers, outcome: &Outcome) -> Vec<Side> {
    let size = largest(&outcome.y).max(1e-300);
    let mut active = outcome.active.clone();
    for (i, side) in active.iter_mut().enumerate() {
        let equal = numbers.lower[i] == numbers.upper[i];
        if !equal && outcome.y[i].abs() <= 1e-9 * size {
            *side = Side::Free;
        }
    }
    active
}

/// `min 1/2 x' P x + q' x` subject to `A x = b`, by its linear equations; differentiable to any order in all four.
///
/// # Errors
/// Shapes that do not fit; equations that contradict each other; a program without a lower bound; a `P` that is not convex where the
/// equations leave freedom is not detected.
pub fn equality_quadratic_program(
    p: &Array,
    q: &Array,
    a: &Array,
    b: &Array,
) -> Result<QpSolution, SolverError> {
    let program = QuadraticProgram {
        p: p.clone(),
        q: q.clone(),
        a: a.clone(),
        lower: b.clone(),
        upper: b.clone(),
    };
    let numbers = Numbers::new(&program)?;
    let active = vec![Side::Equal; numbers.m];
    let rows = active_rows(&numbers, &active, &vec![0.0; numbers.m]);
    let rhs: Vec<f64> =
        numbers.q.iter().map(|q| -q).chain(rows.iter().map(|&i| numbers.upper[i])).collect();
    let solution =
        refined(&numbers, &rows, &rhs).ok_or(SolverError::NotConvex { argument: "p" })?;
    let (x, multipliers) = solution.split_at(numbers.n);
    let mut y = vec![0.0; numbers.m];
    rows.iter().zip(multipliers).for_each(|(&i, &v)| y[i] = v);
    let ax = product(&numbers.a, x);
    let gaps: Vec<f64> = ax.iter().zip(&numbers.upper).map(|(a, b)| a - b).collect();
    let primal = largest(&gaps);
    let aty = transposed(&numbers.a, &y, numbers.n);
    let px = product(&numbers.p, x);
    let slope: Vec<f64> = (0..numbers.n).map(|j| px[j] + numbers.q[j] + aty[j]).collect();
    let dual = largest(&slope);
    let scale = 1e-7 * (1.0 + largest(&ax).max(largest(&px)).max(largest(&numbers.q)));
    let stop = match () {
        () if primal > scale => Stop::PrimalInfeasible,
        () if dual > scale => Stop::DualInfeasible,
        () => Stop::Converged,
    };
    let certificate = match stop {
        // The residual of a least-squares solution is orthogonal to what the rows can reach.
        Stop::PrimalInfeasible => Some(contradiction(&numbers, &gaps)),
        Stop::DualInfeasible => Some(slope.iter().map(|s| -s / dual).collect()),
        _ => None,
    };
    let outcome = Outcome {
        x: x.to_vec(),
        y,
        stop,
        iterations: 1,
        factorizations: 1,
        primal_residual: primal,
        dual_residual: dual,
        active,
        polished: true,
        certificate,
    };
    let (x, y) = if stop == Stop::Converged {
        attach(&program, &numbers, &outcome)?
    } else {
        let place = |v: &[f64]| Array::from_slice(v, &[v.len()]);
        (place(&outcome.x), place(&outcome.y))
    };
    Ok(QpSolution {
        x,
        y,
        value: numbers.value(&outcome.x),
        stop,
        iterations: 1,
        factorizations: 1,
        primal_residual: primal,
        dual_residual: dual,
        active: outcome.active,
        polished: true,
        certificate: outcome.certificate,
    })
}

/// A `y` with `A' y = 0` and `b' y < 0`, from equations that contradict each other: the part of the gap outside the range of `A`.
fn contradiction(numbers: &Numbers, gaps: &[f64]) -> Vec<f64> {
    let a = Array::from_slice(&numbers.a, &[numbers.m, numbers.n]);
    let gap = Array::from_slice(gaps, &[numbers.m]);
    let Ok(inverse) = a.pinv(None) else { return gaps.to_vec() };
    let outside = (&gap - a.matmul(&inverse.matmul(&gap))).to_f64_vec();
    let size = largest(&outside).max(f64::MIN_POSITIVE);
    let sign = if dot(&outside, &numbers.upper) > 0.0 { -1.0 } else { 1.0 };
    outside.iter().map(|v| sign * v / size).collect()
}
