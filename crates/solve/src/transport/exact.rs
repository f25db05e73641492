//! Unregularized transport by the network simplex method.

use super::simd::max_difference;
use super::{Certificate, Problem, SparsePlan, TransportError};

/// No node.
const NONE: u32 = u32::MAX;
/// Entries that are priced before one of them enters.
const PRICED: usize = 1024;
/// Artificial flow, relative to the total mass, that counts as none: what rounding of the masses leaves.
const LEFT: f64 = 1e-9;

/// A solution of unregularized transport.
#[derive(Clone, Debug, PartialEq)]
pub struct ExactTransport {
    /// An optimal plan with at most `m + n - 1` entries.
    pub plan: SparsePlan,
    /// Potentials of the sources, of mean 0: `alpha_i + beta_j <= C_ij`, with equality where mass flows.
    pub alpha: Vec<f64>,
    /// Potentials of the targets.
    pub beta: Vec<f64>,
    /// `<T, C>`, minimal.
    pub cost: f64,
    /// Pivots made.
    pub pivots: usize,
    /// The arcs of the basis as (node, its parent), parents first; sources, then targets.
    pub(super) forest: Vec<(u32, u32)>,
}

/// `min { <T, C> : T >= 0, T 1 = a, T' 1 = b }` by the network simplex method: strongly feasible spanning trees (Cunningham, 1976), so that it cannot
/// cycle, and block pricing.
///
/// # Errors
/// [`TransportError::Infeasible`] where forbidden pairs leave no plan, with the sources that prove it.
///
/// ```
/// use lisse_solve::transport::{Problem, solve_exact};
/// let costs = [0.0, 1.0, 3.0, 2.0, 0.5, 1.0, 4.0, 2.0, 0.3];
/// let best = solve_exact(&Problem::new(&[0.5, 0.3, 0.2], &[0.4, 0.4, 0.2], &costs)?)?;
/// assert!((best.cost - 0.31).abs() < 1e-15);
/// # Ok::<(), lisse_solve::transport::TransportError>(())
/// ```
pub fn solve_exact(problem: &Problem) -> Result<ExactTransport, TransportError> {
    let mut tree = Tree::new(problem);
    let most = 100_000 + 1000 * (problem.sources() + problem.targets());
    // Potentials are added to in every pivot; what that leaves of rounding is wiped out once none can enter.
    loop {
        tree.price_out(most)?;
        let before = tree.pivots;
        tree.refresh();
        tree.price_out(most)?;
        if tree.pivots == before {
            break;
        }
    }
    tree.check_feasible()?;
    Ok(tree.solution())
}

/// A node: source, target, or the root to which artificial arcs lead.
#[derive(Clone, Copy)]
struct Node {
    parent: u32,
    first: u32,
    next: u32,
    previous: u32,
    depth: u32,
    /// Whether the arc between this node and its parent leads to the parent.
    up: bool,
    flow: f64,
    cost: f64,
}

/// A spanning tree, its flow and its potentials.
struct Tree<'p> {
    problem: &'p Problem,
    nodes: Vec<Node>,
    alpha: Vec<f64>,
    beta: Vec<f64>,
    /// Cost of an artificial arc: more than any path can save.
    artificial: f64,
    cursor: usize,
    pivots: usize,
}

impl<'p> Tree<'p> {
    /// Everything flows over the root.
    fn new(problem: &'p Problem) -> Tree<'p> {
        let (m, n) = (problem.sources(), problem.targets());
        let artificial = (problem.scale() + 1e-3 * problem.scale().max(1e-300)) * (m + n) as f64;
        let leaf = |up: bool, flow: f64, at: usize| Node {
            parent: (m + n) as u32,
            first: NONE,
            next: if at + 1 < m + n { at as u32 + 1 } else { NONE },
            previous: if at > 0 { at as u32 - 1 } else { NONE },
            depth: 1,
            up,
            flow,
            cost: artificial,
        };
        let mut nodes: Vec<Node> =
            problem.a().iter().enumerate().map(|(i, &a)| leaf(true, a, i)).collect();
        nodes.extend(problem.b().iter().enumerate().map(|(j, &b)| leaf(false, b, m + j)));
        nodes.push(Node {
            parent: NONE,
            first: 0,
            previous: NONE,
            next: NONE,
            depth: 0,
            up: false,
            flow: 0.0,
            cost: 0.0,
        });
        // An empty target must hang from its arc towards the root too, for the tree to be strongly feasible: it sends nothing up.
        for node in &mut nodes[m..m + n] {
            node.up = node.flow == 0.0;
        }
        let mut tree = Tree {
            problem,
            nodes,
            alpha: vec![0.0; m],
            beta: vec![0.0; n],
            artificial,
            cursor: 0,
            pivots: 0,
        };
        tree.refresh();
        tree
    }

    fn root(&self) -> u32 {
        (self.alpha.len() + self.beta.len()) as u32
    }

    fn is_source(&self, u: u32) -> bool {
        (u as usize) < self.alpha.len()
    }

    /// Pivots until nothing can enter.
    fn price_out(&mut self, most: usize) -> Result<(), TransportError> {
        // Below this a violation may be rounding of potentials as large as the artificial costs.
        let noise = 8.0 * f64::EPSILON * self.artificial.max(f64::MIN_POSITIVE);
        let per_block = PRICED.div_ceil(self.alpha.len());
        while let Some((column, top)) = self.price(per_block, noise) {
            let costs = self.problem.column(column);
            let row = self.alpha.iter().zip(costs).position(|(a, c)| a - c == top);
            // The maximum is one of the entries it was taken over.
            let Some(row) = row else { return Ok(()) };
            self.pivot(row, column);
            if self.pivots > most {
                return Err(TransportError::Unsolved {
                    solver: "network simplex",
                    iterations: self.pivots,
                    advice: "round the costs or the masses to fewer digits",
                });
            }
        }
        Ok(())
    }

    /// The column with the largest violation of the next block that has one, and the largest `alpha_i - c_ij` there.
    fn price(&mut self, per_block: usize, noise: f64) -> Option<(usize, f64)> {
        let n = self.beta.len();
        let (mut best, mut found) = (noise, None);
        let mut left = per_block;
        for _ in 0..n {
            let j = self.cursor;
            self.cursor = if j + 1 == n { 0 } else { j + 1 };
            let top = max_difference(&self.alpha, self.problem.column(j));
            let violation = top + self.beta[j];
            if violation > best {
                (best, found) = (violation, Some((j, top)));
            }
            left -= 1;
            if left == 0 {
                if found.is_some() {
                    return found;
                }
                left = per_block;
            }
        }
        found
    }

    /// Brings the arc from source `i` to target `j` into the tree.
    fn pivot(&mut self, i: usize, j: usize) {
        self.pivots += 1;
        let (source, target) = (i as u32, (self.alpha.len() + j) as u32);
        let join = self.join(source, target);
        let (leaving, on_source_side) = self.leaving(source, target, join);
        let amount = self.nodes[leaving as usize].flow;
        if amount > 0.0 {
            // Flow runs from the join down to the source and from the target up to it.
            self.push(source, join, amount, false);
            self.push(target, join, amount, true);
        }
        let (entry, outside) = if on_source_side { (source, target) } else { (target, source) };
        let cost = self.problem.cost(i, j);
        self.rehang(entry, outside, leaving, amount, cost);
        let violation = self.alpha[i] + self.beta[j] - cost;
        // The entering arc becomes tight by what its end inside the cut-off part gives up.
        let shift = if on_source_side { -violation } else { violation };
        self.shift_subtree(entry, shift);
    }

    /// Where the paths to the root meet.
    fn join(&self, mut u: u32, mut v: u32) -> u32 {
        while u != v {
            let (du, dv) = (self.nodes[u as usize].depth, self.nodes[v as usize].depth);
            if du >= dv {
                u = self.nodes[u as usize].parent;
            }
            if dv >= du {
                v = self.nodes[v as usize].parent;
            }
        }
        u
    }

    /// The arc whose flow ends first, by its lower node; of several the last one on the way around the cycle from the join, which keeps the tree strongly
    /// feasible.
    fn leaving(&self, source: u32, target: u32, join: u32) -> (u32, bool) {
        let (mut least, mut leaving, mut on_source_side) = (f64::INFINITY, NONE, true);
        let mut u = source;
        while u != join {
            let node = &self.nodes[u as usize];
            if node.up && node.flow < least {
                (least, leaving) = (node.flow, u);
            }
            u = node.parent;
        }
        u = target;
        while u != join {
            let node = &self.nodes[u as usize];
            if !node.up && node.flow <= least {
                (least, leaving, on_source_side) = (node.flow, u, false);
            }
            u = node.parent;
        }
        (leaving, on_source_side)
    }

    fn push(&mut self, from: u32, join: u32, amount: f64, upwards: bool) {
        let mut u = from;
        while u != join {
            let node = &mut self.nodes[u as usize];
            node.flow += if node.up == upwards { amount } else { -amount };
            u = node.parent;
        }
    }

    /// Cuts the tree above `leaving` and hangs the part with `entry` in it under `outside`.
    fn rehang(&mut self, entry: u32, outside: u32, leaving: u32, flow: f64, cost: f64) {
        let mut arc = (self.is_source(entry), flow, cost);
        let (mut u, mut under) = (entry, outside);
        loop {
            let node = self.nodes[u as usize];
            self.detach(u);
            self.attach(u, under);
            let hung = &mut self.nodes[u as usize];
            (hung.up, hung.flow, hung.cost) = arc;
            if u == leaving {
                return;
            }
            arc = (!node.up, node.flow, node.cost);
            under = u;
            u = node.parent;
        }
    }

    fn detach(&mut self, u: u32) {
        let Node { parent, next, previous, .. } = self.nodes[u as usize];
        if previous == NONE {
            self.nodes[parent as usize].first = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
    }

    fn attach(&mut self, u: u32, parent: u32) {
        let first = self.nodes[parent as usize].first;
        if first != NONE {
            self.nodes[first as usize].previous = u;
        }
        self.nodes[parent as usize].first = u;
        let node = &mut self.nodes[u as usize];
        (node.parent, node.previous, node.next) = (parent, NONE, first);
    }

    /// Adds `shift` to the potentials of the sources under `top`, takes it from those of the targets, and counts depths anew.
    fn shift_subtree(&mut self, top: u32, shift: f64) {
        self.walk(top, |tree, u| {
            let parent = tree.nodes[u as usize].parent;
            tree.nodes[u as usize].depth = tree.nodes[parent as usize].depth + 1;
            let m = tree.alpha.len();
            match (u as usize).checked_sub(m) {
                None => tree.alpha[u as usize] += shift,
                Some(j) => tree.beta[j] -= shift,
            }
        });
    }

    /// Visits `top` and all below it, parents first.
    fn walk(&mut self, top: u32, mut visit: impl FnMut(&mut Self, u32)) {
        let mut u = top;
        loop {
            visit(self, u);
            let first = self.nodes[u as usize].first;
            if first != NONE {
                u = first;
                continue;
            }
            loop {
                if u == top {
                    return;
                }
                let node = &self.nodes[u as usize];
                if node.next != NONE {
                    u = node.next;
                    break;
                }
                u = node.parent;
            }
        }
    }

    /// Potentials from the tree's costs.
    fn refresh(&mut self) {
        let mut child = self.nodes[self.root() as usize].first;
        while child != NONE {
            let after = self.nodes[child as usize].next;
            self.walk(child, |tree, u| {
                let (m, node) = (tree.alpha.len(), tree.nodes[u as usize]);
                let parent = node.parent as usize;
                let other = if node.parent == tree.root() {
                    0.0
                } else if parent < m {
                    tree.alpha[parent]
                } else {
                    tree.beta[parent - m]
                };
                // An artificial arc out of an empty target runs against the others.
                let cost = if node.parent == tree.root() && node.up != tree.is_source(u) {
                    -node.cost
                } else {
                    node.cost
                };
                match (u as usize).checked_sub(m) {
                    None => tree.alpha[u as usize] = cost - other,
                    Some(j) => tree.beta[j] = cost - other,
                }
            });
            child = after;
        }
    }

    /// Fails if mass still flows over the root: it cannot go from the sources that reach it to any target that is not full.
    fn check_feasible(&self) -> Result<(), TransportError> {
        let m = self.alpha.len();
        let root = self.root();
        let stuck = LEFT * self.problem.total();
        let over_root = |u: &usize| {
            let node = &self.nodes[*u];
            node.parent == root && node.up && node.flow > stuck
        };
        let start: Vec<usize> = (0..m).filter(over_root).collect();
        if start.is_empty() {
            return Ok(());
        }
        Err(TransportError::Infeasible(self.certificate(start)))
    }

    /// All sources that mass at `start` could be exchanged with, and the targets that these may use.
    fn certificate(&self, start: Vec<usize>) -> Certificate {
        let (m, n) = (self.alpha.len(), self.beta.len());
        let mut senders = vec![Vec::new(); n];
        for (i, j, _) in self.plan().entries() {
            senders[j].push(i);
        }
        let (mut reached, mut open) = (vec![false; m], vec![false; n]);
        let mut queue = start;
        for &i in &queue {
            reached[i] = true;
        }
        while let Some(i) = queue.pop() {
            for j in 0..n {
                if open[j] || self.problem.cost(i, j).is_infinite() {
                    continue;
                }
                open[j] = true;
                for &other in &senders[j] {
                    if !std::mem::replace(&mut reached[other], true) {
                        queue.push(other);
                    }
                }
            }
        }
        let chosen = |flags: &[bool]| (0..flags.len()).filter(|&i| flags[i]).collect::<Vec<_>>();
        let (sources, targets) = (chosen(&reached), chosen(&open));
        let supply = sources.iter().map(|&i| self.problem.a()[i]).sum();
        let demand = targets.iter().map(|&j| self.problem.b()[j]).sum();
        Certificate { sources, targets, supply, demand }
    }

    /// Potentials of empty sources and targets as high as the others allow: from artificial arcs they would be as large as those cost.
    fn tighten_empty(&mut self) {
        let (m, n, problem) = (self.alpha.len(), self.beta.len(), self.problem);
        for j in (0..n).filter(|&j| problem.b()[j] == 0.0) {
            let filled = (0..m).filter(|&i| problem.a()[i] > 0.0);
            let top = filled
                .map(|i| self.alpha[i] - problem.cost(i, j))
                .fold(f64::NEG_INFINITY, f64::max);
            self.beta[j] = if top.is_finite() { -top } else { 0.0 };
        }
        for i in (0..m).filter(|&i| problem.a()[i] == 0.0) {
            let room =
                (0..n).map(|j| problem.cost(i, j) - self.beta[j]).fold(f64::INFINITY, f64::min);
            self.alpha[i] = if room.is_finite() { room } else { 0.0 };
        }
    }

    fn plan(&self) -> SparsePlan {
        let (m, n) = (self.alpha.len(), self.beta.len());
        let entry = |(u, node): (usize, &Node)| {
            if node.parent == self.root() || node.flow <= 0.0 {
                return None;
            }
            let parent = node.parent as usize;
            let (source, target) = if u < m { (u, parent - m) } else { (parent, u - m) };
            Some((source as u32, target as u32, node.flow))
        };
        let nodes = self.nodes[..m + n].iter().enumerate();
        SparsePlan::from_entries(m, n, nodes.filter_map(entry).collect())
    }

    fn forest(&mut self) -> Vec<(u32, u32)> {
        let root = self.root();
        let mut forest = Vec::new();
        self.walk(root, |tree, u| {
            let parent = tree.nodes[u as usize].parent;
            if u != root && parent != root {
                forest.push((u, parent));
            }
        });
        forest
    }

    fn solution(mut self) -> ExactTransport {
        self.tighten_empty();
        let mean = self.alpha.iter().sum::<f64>() / self.alpha.len() as f64;
        for a in &mut self.alpha {
            *a -= mean;
        }
        for b in &mut self.beta {
            *b += mean;
        }
        let plan = self.plan();
        let cost = plan.cost(self.problem);
        let forest = self.forest();
        ExactTransport {
            plan,
            alpha: self.alpha,
            beta: self.beta,
            cost,
            pivots: self.pivots,
            forest,
        }
    }
}
