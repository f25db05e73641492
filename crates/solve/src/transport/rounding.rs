//! Repairing the row margin without giving up the bound on entries.

use super::{Problem, SparsePlan};

/// Mass that counts as none, relative to the total.
const NOTHING: f64 = 1e-13;
/// Times that all moves are listed anew.
const PASSES: usize = 50;

/// A way to move mass within a column.
struct Move {
    column: usize,
    from: usize,
    to: usize,
    /// Cost of a unit.
    price: f64,
}

/// Moves mass within the columns of `plan` from sources that send too much to sources that send too little, cheapest first, so that no column gets more
/// than `k` entries. Columns keep their sums; the row error falls as far as such moves allow, which need not be to zero.
///
/// Panics if `k` is 0 or the shapes differ.
pub fn round_sparse(problem: &Problem, plan: &SparsePlan, k: usize) -> SparsePlan {
    assert!(
        k > 0 && plan.sources() == problem.sources() && plan.targets() == problem.targets(),
        "round_sparse: k = {k}, a plan of {} by {} for a problem of {} by {}",
        plan.sources(),
        plan.targets(),
        problem.sources(),
        problem.targets()
    );
    let small = NOTHING * problem.total();
    let mut columns: Vec<Vec<(usize, f64)>> =
        (0..plan.targets()).map(|j| plan.column(j).collect()).collect();
    // What each source still has to send; negative where it sends too much.
    let mut lacking: Vec<f64> =
        problem.a().iter().zip(plan.row_sums()).map(|(a, s)| a - s).collect();
    for _ in 0..PASSES {
        let mut moves = moves(problem, &columns, &lacking, small);
        moves.sort_by(|x, y| x.price.total_cmp(&y.price));
        let mut moved = false;
        for change in moves {
            moved |= carry_out(&change, &mut columns[change.column], &mut lacking, k, small);
        }
        if !moved {
            break;
        }
    }
    let entries = columns
        .iter()
        .enumerate()
        .flat_map(|(j, column)| column.iter().map(move |&(i, t)| (i as u32, j as u32, t)));
    SparsePlan::from_entries(problem.sources(), problem.targets(), entries.collect())
}

fn moves(
    problem: &Problem,
    columns: &[Vec<(usize, f64)>],
    lacking: &[f64],
    small: f64,
) -> Vec<Move> {
    let short: Vec<usize> = (0..lacking.len()).filter(|&i| lacking[i] > small).collect();
    let mut moves = Vec::new();
    for (column, entries) in columns.iter().enumerate() {
        for &(from, _) in entries.iter().filter(|(i, _)| lacking[*i] < -small) {
            for &to in &short {
                let price = problem.cost(to, column) - problem.cost(from, column);
                if price.is_finite() {
                    moves.push(Move { column, from, to, price });
                }
            }
        }
    }
    moves
}

/// Makes a move if it is still possible; says whether it was.
fn carry_out(
    change: &Move,
    column: &mut Vec<(usize, f64)>,
    lacking: &mut [f64],
    k: usize,
    small: f64,
) -> bool {
    let Some(at) = column.iter().position(|e| e.0 == change.from) else { return false };
    let mass = column[at].1;
    let amount = mass.min(lacking[change.to]).min(-lacking[change.from]);
    if amount <= small {
        return false;
    }
    let whole = amount == mass;
    match column.iter().position(|e| e.0 == change.to) {
        Some(there) => column[there].1 += amount,
        None if whole || column.len() < k => column.push((change.to, amount)),
        None => return false,
    }
    if whole {
        column.remove(at);
    } else {
        column[at].1 -= amount;
    }
    lacking[change.to] -= amount;
    lacking[change.from] += amount;
    true
}
