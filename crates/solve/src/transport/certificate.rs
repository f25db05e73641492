//! What proves how good a plan is, or that there is none.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Problem, SparsePlan, solve_exact};

/// Mass that may stay missing, as a share of all: rounding.
const ROUNDING: f64 = 1e-12;

/// Why no plan exists: these sources hold more than the only targets open to them take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Sources that hold too much together.
    pub sources: Vec<usize>,
    /// All targets that any of them may send to.
    pub targets: Vec<usize>,
    /// What the sources hold.
    pub supply: f64,
    /// What the targets take.
    pub demand: f64,
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = |list: &[usize]| match list {
            [] => "none".to_string(),
            _ if list.len() <= 8 => {
                list.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
            }
            _ => format!("{}, {}, ... ({} in all)", list[0], list[1], list.len()),
        };
        write!(
            f,
            "the sources {} hold {} together, the targets open to them ({}) take only {}",
            some(&self.sources),
            self.supply,
            some(&self.targets),
            self.demand
        )
    }
}

/// Half the square of the k-support norm (Argyriou, Foygel and Srebro, 2012) of a column of masses: the largest convex function that nowhere exceeds
/// `1/2 |t|^2` on columns with at most `k` entries.
///
/// ```
/// use lisse_solve::transport::half_squared_k_support_norm;
/// assert_eq!(half_squared_k_support_norm(&[3.0, 4.0], 2), 12.5); // k = m: the Euclidean norm
/// assert_eq!(half_squared_k_support_norm(&[3.0, 4.0], 1), 24.5); // k = 1: the sum
/// ```
///
/// Panics if `k` is 0.
pub fn half_squared_k_support_norm(column: &[f64], k: usize) -> f64 {
    assert!(k > 0, "half_squared_k_support_norm: k is 0; it counts entries, from 1");
    let mut sorted: Vec<f64> = column.iter().map(|t| t.abs()).filter(|t| *t > 0.0).collect();
    if sorted.len() <= k {
        return 0.5 * sorted.iter().map(|t| t * t).sum::<f64>();
    }
    sorted.sort_by(|x, y| y.total_cmp(x));
    let mut tail: f64 = sorted[k - 1..].iter().sum();
    // The first entries that are larger than the mean share of the rest stand for themselves.
    for r in 0..k {
        let share = tail / (r + 1) as f64;
        if r + 1 == k || sorted[k - r - 2] > share {
            let head: f64 = sorted[..k - r - 1].iter().map(|t| t * t).sum();
            return 0.5 * (head + tail * share);
        }
        tail += sorted[k - r - 2];
    }
    unreachable!("the last turn of the loop returns")
}

/// `<T, C> + gamma sum_j 1/2 |t_j|_{k-support}^2`: for every plan that meets both margins an upper bound on the dual.
pub(super) fn relaxed_objective(problem: &Problem, plan: &SparsePlan, k: usize, gamma: f64) -> f64 {
    let norms = plan
        .indptr()
        .windows(2)
        .map(|w| half_squared_k_support_norm(&plan.values()[w[0]..w[1]], k));
    plan.cost(problem) + gamma * norms.sum::<f64>()
}

/// A plan near `plan` that meets both margins: rows and columns that are too full give up the same share of every entry, what is then missing is added
/// where it fits. Where forbidden pairs are in the way, a share of the plan is taken up and laid anew. `None` if there is no plan at all.
pub(super) fn repaired(problem: &Problem, plan: &SparsePlan) -> Option<SparsePlan> {
    let share = |wanted: &[f64], found: Vec<f64>| -> Vec<f64> {
        let ratio = |(w, f): (&f64, f64)| if f > *w { w / f } else { 1.0 };
        wanted.iter().zip(found).map(ratio).collect()
    };
    let (m, n) = (problem.sources(), problem.targets());
    let scaled = |plan: &SparsePlan, rows: &[f64], columns: &[f64]| {
        let entry = |(i, j, t): (usize, usize, f64)| (i as u32, j as u32, t * rows[i] * columns[j]);
        SparsePlan::from_entries(m, n, plan.entries().map(entry).collect())
    };
    let kept = scaled(plan, &share(problem.a(), plan.row_sums()), &vec![1.0; n]);
    let kept = scaled(&kept, &vec![1.0; m], &share(problem.b(), kept.column_sums()));
    let missing = |share: f64| {
        let rest = |wanted: &[f64], found: Vec<f64>| -> Vec<f64> {
            wanted.iter().zip(found).map(|(w, f)| (w - share * f).max(0.0)).collect()
        };
        (rest(problem.a(), kept.row_sums()), rest(problem.b(), kept.column_sums()))
    };
    let (a, b) = missing(1.0);
    let lacking: f64 = a.iter().sum::<f64>() / problem.total();
    if let Some(added) = corner(problem, a, b) {
        return Some(SparsePlan::combination(&[
            (1.0, &kept),
            (1.0, &SparsePlan::from_entries(m, n, added)),
        ]));
    }
    if lacking <= ROUNDING {
        return Some(kept);
    }
    // Room to go round what is forbidden: ten times what is missing, a tenth of everything, everything.
    let parts = [10.0 * lacking * m.max(n) as f64, 0.1, 1.0];
    parts.into_iter().filter(|part| *part <= 1.0).find_map(|part| {
        let (a, mut b) = missing(1.0 - part);
        let scale = a.iter().sum::<f64>() / b.iter().sum::<f64>();
        for b in &mut b {
            *b *= scale;
        }
        let added = solve_exact(&problem.with_masses(a, b)).ok()?.plan;
        Some(SparsePlan::combination(&[(1.0 - part, &kept), (1.0, &added)]))
    })
}

/// Fills from the first source and target on; `None` if that meets a forbidden pair.
fn corner(problem: &Problem, mut a: Vec<f64>, mut b: Vec<f64>) -> Option<Vec<(u32, u32, f64)>> {
    let (mut i, mut j, mut entries) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        let mass = a[i].min(b[j]);
        if mass > 0.0 {
            if problem.cost(i, j).is_infinite() {
                return None;
            }
            entries.push((i as u32, j as u32, mass));
        }
        (a[i], b[j]) = (a[i] - mass, b[j] - mass);
        if a[i] <= 0.0 {
            i += 1;
        } else {
            j += 1;
        }
    }
    Some(entries)
}
