//! The proximal bundle method: for duals with kinks, with a certified gap.

use lisse_array::Array;

use super::ascent::Record;
use super::certificate::{relaxed_objective, repaired};
use super::columns::{Conjugates, inner};
use super::{Problem, SparsePlan, Status};

/// Cuts kept; the least active ones are merged.
const MOST_CUTS: usize = 160;
/// Share of the predicted increase that a step must bring to be taken.
const SERIOUS: f64 = 0.1;
/// Iterations between two certificates.
const CERTIFY_EVERY: usize = 10;
/// What is added to the diagonal of the multipliers' quadratic form, relative to its largest entry.
const RIDGE: f64 = 1e-13;

/// The gap that counts as none: relative to the value, or where that is near 0 to the costs.
pub(super) fn tolerated(gap: f64, value: f64, problem: &Problem) -> f64 {
    gap * value.abs().max(1e-3 * problem.scale() * problem.total())
}

/// A linearization of `-D`, with the plan that gave it.
struct Cut {
    gradient: Vec<f64>,
    /// How far the linearization lies below `-D` at the centre.
    error: f64,
    weight: f64,
    plan: SparsePlan,
}

/// `min -D(x)` by cuts and a proximal term (Lemarechal, 1978; Kiwiel, 1990).
///
/// The multipliers of the cuts combine their plans to one that nearly meets both margins, the relaxed solution; repaired it bounds the optimum from above,
/// whatever the multipliers.
pub(super) struct Bundle<'b> {
    pub gap: f64,
    pub max_iterations: usize,
    pub history: &'b mut Vec<Record>,
}

/// Where the bundle ended.
pub(super) struct Outcome {
    pub value: f64,
    /// The best upper bound with its plan, which meets both margins.
    pub best: Option<(f64, SparsePlan)>,
    pub iterations: usize,
    pub status: Status,
}

struct State {
    cuts: Vec<Cut>,
    gram: Vec<Vec<f64>>,
    /// Step length.
    step: f64,
}

impl Bundle<'_> {
    /// Ascends from `alpha`, leaves the best point there.
    pub fn run(&mut self, f: &mut Conjugates<'_>, alpha: &mut Vec<f64>) -> Outcome {
        let problem = f.problem;
        let length = problem.scale().max(f64::MIN_POSITIVE);
        let mut gradient = vec![0.0; alpha.len()];
        let mut value = f.semi_dual(alpha, &mut gradient);
        let size: f64 = gradient.iter().map(|g| g.abs()).fold(0.0, f64::max);
        let mut state = State {
            cuts: Vec::new(),
            gram: Vec::new(),
            step: 0.1 * length / size.max(1e-12 * problem.total()),
        };
        state.add(&gradient, 0.0, f.plan());
        state.cuts[0].weight = 1.0;
        let mut outcome =
            Outcome { value, best: None, iterations: 0, status: Status::OutOfIterations };
        let mut point = alpha.clone();
        for iteration in 1..=self.max_iterations {
            outcome.iterations = iteration;
            state.weigh();
            let (direction, error) = state.aggregate();
            let residual: f64 = direction.iter().map(|d| d.abs()).sum();
            let predicted = state.step * inner(&direction, &direction) + error;
            let tolerance = tolerated(self.gap, value, problem);
            let near = error + residual * length <= 4.0 * tolerance;
            let mut upper = None;
            if near || iteration % CERTIFY_EVERY == 0 || iteration == self.max_iterations {
                upper = Some(state.certify(f, &mut outcome));
            }
            self.history.push(Record { value, error: residual, upper });
            let bound = outcome.best.as_ref().map_or(f64::INFINITY, |best| best.0);
            if bound - value <= tolerance {
                outcome.status = Status::Converged;
                break;
            }
            if predicted <= 1e-15 * value.abs().max(length * 1e-12) {
                // The model is exact in this neighbourhood: look further.
                state.step *= 8.0;
                if state.step > 1e15 * length {
                    outcome.status = Status::Stalled;
                    break;
                }
                continue;
            }
            for ((p, a), d) in point.iter_mut().zip(&*alpha).zip(&direction) {
                *p = a - state.step * d;
            }
            let new = f.semi_dual(&point, &mut gradient);
            let serious = new - value >= SERIOUS * predicted;
            // Cuts hold gradients of -D.
            let back: f64 =
                gradient.iter().zip(&direction).map(|(g, d)| -g * -state.step * d).sum();
            let behind = if serious { 0.0 } else { (-value - (-new - back)).max(0.0) };
            state.make_room();
            state.add(&gradient, behind, f.plan());
            if serious {
                state.recentre(&point, alpha, new - value);
                if new - value > 0.5 * predicted {
                    state.step *= 2.0;
                }
                std::mem::swap(alpha, &mut point);
                value = new;
            } else if behind > predicted {
                state.step *= 0.7;
            }
        }
        outcome.value = value;
        outcome
    }
}

impl State {
    /// `ascent` is the gradient of `D`.
    fn add(&mut self, ascent: &[f64], error: f64, plan: SparsePlan) {
        let gradient: Vec<f64> = ascent.iter().map(|g| -g).collect();
        let products: Vec<f64> = self.cuts.iter().map(|c| inner(&c.gradient, &gradient)).collect();
        for (row, p) in self.gram.iter_mut().zip(&products) {
            row.push(*p);
        }
        let own = inner(&gradient, &gradient);
        self.gram.push(products.into_iter().chain([own]).collect());
        self.cuts.push(Cut { gradient, error, weight: 0.0, plan });
    }

    /// The multipliers: `min step/2 |sum_l w_l g_l|^2 + sum_l w_l e_l` over the simplex, by an active-set method from the last ones.
    fn weigh(&mut self) {
        let count = self.cuts.len();
        let mut weights: Vec<f64> = self.cuts.iter().map(|c| c.weight).collect();
        let mut active: Vec<usize> = (0..count).filter(|&l| weights[l] > 0.0).collect();
        for _ in 0..4 * count + 20 {
            let Some((wanted, level)) = self.stationary(&active) else { break };
            // The share of the way to the stationary point at which a multiplier becomes zero.
            let (mut share, mut blocking) = (1.0, None);
            for (at, (&l, &to)) in active.iter().zip(&wanted).enumerate() {
                if to < 0.0 {
                    let until = weights[l] / (weights[l] - to);
                    if until < share {
                        (share, blocking) = (until, Some(at));
                    }
                }
            }
            for (&l, &to) in active.iter().zip(&wanted) {
                weights[l] = (weights[l] + share * (to - weights[l])).max(0.0);
            }
            if let Some(at) = blocking {
                weights[active.remove(at)] = 0.0;
                continue;
            }
            let slopes = (0..count).filter(|l| !active.contains(l)).map(|l| {
                let row = active.iter().map(|&a| self.gram[l][a] * weights[a]).sum::<f64>();
                (l, self.step * row + self.cuts[l].error)
            });
            let Some((l, slope)) = slopes.min_by(|x, y| x.1.total_cmp(&y.1)) else { break };
            if slope >= level - 1e-12 * level.abs() {
                break;
            }
            active.push(l);
        }
        let total: f64 = weights.iter().sum();
        for (cut, weight) in self.cuts.iter_mut().zip(weights) {
            cut.weight = weight / total;
        }
    }

    /// The minimizer over the multipliers of `active` that sum to one, of any sign, and the slope they share there.
    fn stationary(&self, active: &[usize]) -> Option<(Vec<f64>, f64)> {
        let size = active.len() + 1;
        let largest = active.iter().map(|&l| self.gram[l][l]).fold(0.0, f64::max);
        // Scaled by the largest entry; cuts that depend on each other are told apart by a trace of their own.
        let scale = if largest > 0.0 { self.step * largest } else { 1.0 };
        let mut system = vec![0.0; size * size];
        let mut right = vec![0.0; size];
        for (x, &l) in active.iter().enumerate() {
            for (y, &o) in active.iter().enumerate() {
                system[x * size + y] = self.step * self.gram[l][o] / scale;
            }
            system[x * size + x] += RIDGE;
            system[x * size + size - 1] = -1.0;
            system[(size - 1) * size + x] = 1.0;
            right[x] = -self.cuts[l].error / scale;
        }
        right[size - 1] = 1.0;
        let solution = Array::from_vec(system, &[size, size])
            .solve(&Array::from_vec(right, &[size, 1]))
            .ok()?;
        let mut solution = solution.to_f64_vec();
        let level = solution.pop()? * scale;
        (solution.iter().all(|w| w.is_finite()) && level.is_finite()).then_some((solution, level))
    }

    fn aggregate(&self) -> (Vec<f64>, f64) {
        let mut direction = vec![0.0; self.cuts[0].gradient.len()];
        let mut error = 0.0;
        for cut in self.cuts.iter().filter(|c| c.weight > 0.0) {
            direction.iter_mut().zip(&cut.gradient).for_each(|(d, g)| *d += cut.weight * g);
            error += cut.weight * cut.error;
        }
        (direction, error)
    }

    /// Moves the centre, where the value grew by `gained`.
    fn recentre(&mut self, to: &[f64], from: &[f64], gained: f64) {
        let moved: Vec<f64> = to.iter().zip(from).map(|(t, f)| t - f).collect();
        let last = self.cuts.len() - 1;
        for cut in &mut self.cuts[..last] {
            cut.error = (cut.error - gained - inner(&cut.gradient, &moved)).max(0.0);
        }
    }

    /// When there are too many cuts: drops one without weight, or merges the two lightest.
    fn make_room(&mut self) {
        if self.cuts.len() < MOST_CUTS {
            return;
        }
        let idle = (0..self.cuts.len())
            .filter(|&l| self.cuts[l].weight < 1e-14)
            .max_by(|&x, &y| self.cuts[x].error.total_cmp(&self.cuts[y].error));
        if let Some(l) = idle {
            self.remove(l);
            return;
        }
        let mut order: Vec<usize> = (0..self.cuts.len()).collect();
        order.sort_by(|&x, &y| self.cuts[x].weight.total_cmp(&self.cuts[y].weight));
        let (x, y) = (order[0].min(order[1]), order[0].max(order[1]));
        let (second, first) = (self.remove(y), self.remove(x));
        let weight = first.weight + second.weight;
        let (p, q) = (first.weight / weight, second.weight / weight);
        let ascent: Vec<f64> =
            first.gradient.iter().zip(&second.gradient).map(|(g, h)| -(p * g + q * h)).collect();
        let plan = SparsePlan::combination(&[(p, &first.plan), (q, &second.plan)]);
        self.add(&ascent, p * first.error + q * second.error, plan);
        if let Some(merged) = self.cuts.last_mut() {
            merged.weight = weight;
        }
    }

    fn remove(&mut self, l: usize) -> Cut {
        self.gram.remove(l);
        self.gram.iter_mut().for_each(|row| {
            row.remove(l);
        });
        self.cuts.remove(l)
    }

    /// The upper bound of the aggregated plan; keeps the best.
    fn certify(&self, f: &Conjugates<'_>, outcome: &mut Outcome) -> f64 {
        let parts: Vec<(f64, &SparsePlan)> =
            self.cuts.iter().filter(|c| c.weight > 0.0).map(|c| (c.weight, &c.plan)).collect();
        let mean = SparsePlan::combination(&parts);
        if let Some(plan) = repaired(f.problem, &mean) {
            let upper = relaxed_objective(f.problem, &plan, f.k, f.gamma);
            if outcome.best.as_ref().is_none_or(|best| upper < best.0) {
                outcome.best = Some((upper, plan));
            }
        }
        outcome.best.as_ref().map_or(f64::INFINITY, |best| best.0)
    }
}
