//! Transport with at most `k` entries in every column (or row) of the plan.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::ascent::{Ascent, Record, adam};
use super::bundle::{Bundle, tolerated};
use super::certificate::{relaxed_objective, repaired};
use super::columns::Conjugates;
use super::{Problem, SparsePlan, Status, TransportError, solve_exact};

/// Along which axis entries are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// At most `k` sources for every target.
    #[default]
    Column,
    /// At most `k` targets for every source.
    Row,
}

/// How the dual is maximized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Solver {
    /// L-BFGS on the semi-dual, and where that stalls at a kink the bundle method; `k = 1` by the network simplex method, which it equals
    #[default]
    Auto,
    /// L-BFGS on the semi-dual: the column margin is met, no fallback
    SemiDual,
    /// L-BFGS on the dual: both margins are met in the limit, no fallback
    Dual,
    /// The bundle method on the semi-dual
    Bundle,
    /// Adam on the semi-dual, for routers; takes the best iterate
    Adam {
        /// Step size.
        rate: f64,
    },
}

/// `min <T, C> + gamma/2 |T|^2` with both margins and at most `k` entries in every column, through its dual (Liu, Puigcerver and Blondel, 2023).
///
/// The dual equals that of the convex relaxation with the squared k-support norm. Where the `k` largest scores of every column are unique at the optimum the plan
/// solves the problem as stated; at ties ([`Solution::tied_columns`]) it has at most `k` entries but misses the row margin by [`Solution::row_error`], and
/// [`Solution::relaxed`] meets both with more entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SparseOt {
    /// Most entries; `None` for no bound, which is quadratically regularized transport.
    pub k: Option<usize>,
    /// Strength of the squared norm, in units of cost by mass.
    pub gamma: f64,
    /// What is counted.
    pub axis: Axis,
    /// How the dual is maximized.
    pub solver: Solver,
    /// Solves for `m, m/2, m/4, ..., k` entries in turn, each from the last potentials.
    pub continuation: bool,
    /// L-BFGS and Adam stop when the margins are missed by at most this share of the mass.
    pub tolerance: f64,
    /// Relative certified gap at which the bundle method stops.
    pub gap: f64,
    /// Most iterations of L-BFGS or Adam.
    pub max_iterations: usize,
    /// Most iterations of the bundle method.
    pub max_cuts: usize,
    /// Steps that L-BFGS remembers.
    pub memory: usize,
}

impl Default for SparseOt {
    fn default() -> Self {
        SparseOt {
            k: None,
            gamma: 1.0,
            axis: Axis::Column,
            solver: Solver::Auto,
            continuation: false,
            tolerance: 1e-6,
            gap: 1e-6,
            max_iterations: 500,
            max_cuts: 1000,
            memory: 10,
        }
    }
}

/// What a solve came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Solution {
    /// The dual's value `D`: a lower bound on the optimum.
    pub value: f64,
    /// The relaxed objective of [`relaxed`](Self::relaxed): an upper bound. `gap` is the difference.
    pub upper: f64,
    /// At most `k` entries in every column (or row); meets the margin of that axis.
    pub plan: SparsePlan,
    /// Meets both margins; may have more entries at ties. `None` if forbidden pairs kept it from being made.
    pub relaxed: Option<SparsePlan>,
    /// Potentials of the sources, of mean 0.
    pub alpha: Vec<f64>,
    /// Potentials of the targets.
    pub beta: Vec<f64>,
    /// `<T, C>` of the plan.
    pub cost: f64,
    /// `|T 1 - a|_1`
    pub row_error: f64,
    /// `|T' 1 - b|_1`
    pub column_error: f64,
    /// Columns (or rows) whose choice of entries is not unique.
    pub tied_columns: usize,
    /// The sources (or targets) that tie.
    pub tied_rows: Vec<u32>,
    /// Iterations of L-BFGS or Adam.
    pub iterations: usize,
    /// Iterations of the bundle method.
    pub cuts: usize,
    /// Evaluations of the dual.
    pub evaluations: usize,
    /// How the last solver ended.
    pub status: Status,
    /// Value and error by iteration.
    pub history: Vec<Record>,
}

impl Solution {
    /// Upper minus lower bound.
    pub fn gap(&self) -> f64 {
        self.upper - self.value
    }
}

impl SparseOt {
    /// At most `k` sources for every target.
    pub fn new(k: usize, gamma: f64) -> SparseOt {
        SparseOt { k: Some(k), gamma, ..SparseOt::default() }
    }

    /// No bound on the entries: quadratically regularized transport.
    pub fn quadratic(gamma: f64) -> SparseOt {
        SparseOt { gamma, ..SparseOt::default() }
    }

    /// Checks options that do not depend on the problem.
    pub(super) fn check(&self) -> Result<(), TransportError> {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        if self.k == Some(0) {
            return Err(TransportError::option("k", 0, "at least 1 (or absent for no bound)"));
        }
        if !positive(self.gamma) {
            return Err(TransportError::option("gamma", self.gamma, "a finite number above 0"));
        }
        for (name, value) in [("tolerance", self.tolerance), ("gap", self.gap)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(TransportError::option(name, value, "0 or more, and finite"));
            }
        }
        if self.memory == 0 {
            return Err(TransportError::option("memory", 0, "at least 1"));
        }
        if let Solver::Adam { rate } = self.solver
            && !positive(rate)
        {
            return Err(TransportError::option("rate", rate, "a finite number above 0"));
        }
        Ok(())
    }

    /// Solves a problem.
    ///
    /// # Errors
    /// An option out of range: `k` of 0, or more than there are sources; `gamma` not positive. [`TransportError::Infeasible`] with proof.
    ///
    /// ```
    /// use lisse_solve::transport::{Problem, SparseOt};
    /// let costs = [0.0, 1.0, 3.0, 2.0, 0.5, 1.0, 4.0, 2.0, 0.3];
    /// let problem = Problem::new(&[0.5, 0.3, 0.2], &[0.4, 0.4, 0.2], &costs)?;
    /// let found = SparseOt::new(2, 1.0).solve(&problem)?;
    /// assert!((found.value - 0.46).abs() < 1e-6 && found.plan.most_per_column() <= 2);
    /// assert!(found.gap() < 1e-5);
    /// # Ok::<(), lisse_solve::transport::TransportError>(())
    /// ```
    pub fn solve(&self, problem: &Problem) -> Result<Solution, TransportError> {
        self.solve_from(problem, None)
    }

    /// Solves a problem from potentials (of the sources; with [`Axis::Row`] of the targets) found before for a similar one.
    ///
    /// # Errors
    /// As [`solve`](Self::solve); potentials of the wrong number or not finite.
    pub fn solve_from(
        &self,
        problem: &Problem,
        start: Option<&[f64]>,
    ) -> Result<Solution, TransportError> {
        self.check()?;
        if self.axis == Axis::Row {
            let columns = SparseOt { axis: Axis::Column, ..self.clone() };
            let found =
                columns.solve_from(&problem.transposed(), start).map_err(|error| match error {
                    TransportError::Option { option, found, expected } => TransportError::Option {
                        option,
                        found,
                        expected: expected.replace("sources", "targets"),
                    },
                    // The proof in terms of the problem as it was given.
                    TransportError::Infeasible(_) => solve_exact(problem).err().unwrap_or(error),
                    other => other,
                })?;
            return Ok(found.transposed());
        }
        let m = problem.sources();
        let k = self.k.unwrap_or(m);
        if k > m {
            let expected = format!("1 to {m}, the number of sources (or absent for no bound)");
            return Err(TransportError::option("k", k, expected));
        }
        let alpha = match start {
            Some(start) if start.len() != m => {
                let why = "one potential for each of what is not counted".to_string();
                return Err(TransportError::Shape {
                    what: "start",
                    found: start.len(),
                    expected: m,
                    why,
                });
            }
            Some(start) if start.iter().any(|a| !a.is_finite()) => {
                return Err(TransportError::option(
                    "start",
                    "a potential that is not finite",
                    "finite",
                ));
            }
            Some(start) => start.to_vec(),
            None => vec![0.0; m],
        };
        if problem.has_forbidden() {
            // The dual would grow for ever; the simplex method tells.
            solve_exact(problem)?;
        }
        Run { options: self, problem, history: Vec::new(), iterations: 0, cuts: 0, evaluations: 0 }
            .solve(k, alpha)
    }

    /// Solves many problems, in parallel; each result is as if it were alone.
    pub fn solve_batch(&self, problems: &[Problem]) -> Vec<Result<Solution, TransportError>> {
        problems.par_iter().map(|problem| self.solve(problem)).collect()
    }
}

impl Solution {
    fn transposed(self) -> Solution {
        Solution {
            plan: self.plan.transposed(),
            relaxed: self.relaxed.map(|plan| plan.transposed()),
            alpha: self.beta,
            beta: self.alpha,
            row_error: self.column_error,
            column_error: self.row_error,
            ..self
        }
        .centred()
    }

    /// Potentials of mean 0 over the sources.
    fn centred(mut self) -> Solution {
        let mean = self.alpha.iter().sum::<f64>() / self.alpha.len() as f64;
        for a in &mut self.alpha {
            *a -= mean;
        }
        for b in &mut self.beta {
            *b += mean;
        }
        self
    }
}

/// A solve under way.
struct Run<'r> {
    options: &'r SparseOt,
    problem: &'r Problem,
    history: Vec<Record>,
    iterations: usize,
    cuts: usize,
    evaluations: usize,
}

impl Run<'_> {
    fn solve(mut self, k: usize, mut alpha: Vec<f64>) -> Result<Solution, TransportError> {
        if self.options.continuation {
            let mut larger = self.problem.sources();
            while larger > k {
                let mut f = Conjugates::new(self.problem, larger, self.options.gamma);
                self.ascend(&mut f, &mut alpha);
                larger = (larger / 2).max(k);
            }
        }
        let mut f = Conjugates::new(self.problem, k, self.options.gamma);
        let mut relaxed = None;
        let status = match self.options.solver {
            Solver::Auto if k == 1 => {
                let exact = solve_exact(self.problem)?;
                alpha = exact.alpha;
                relaxed = Some(exact.plan);
                Status::Converged
            }
            Solver::Auto => match self.ascend(&mut f, &mut alpha) {
                Status::Converged => Status::Converged,
                // Rounding may keep the margins from being met any closer where nothing is left to gain.
                _ if self.is_near(&mut f, &alpha) => Status::Converged,
                _ => self.bundle(&mut f, &mut alpha, &mut relaxed),
            },
            Solver::SemiDual => self.ascend(&mut f, &mut alpha),
            Solver::Bundle => self.bundle(&mut f, &mut alpha, &mut relaxed),
            Solver::Adam { rate } => {
                let tolerance = self.options.tolerance * self.problem.total();
                let most = self.options.max_iterations;
                let mut value = |x: &[f64], g: &mut [f64]| f.semi_dual(x, g);
                let (_, status) =
                    adam(&mut value, &mut alpha, rate, most, tolerance, &mut self.history);
                self.iterations += self.history.len() - 1;
                status
            }
            Solver::Dual => return Ok(self.dual(&mut f, alpha)),
        };
        Ok(self.finish(f, alpha, relaxed, status))
    }

    fn ascent(&mut self) -> Ascent<'_> {
        Ascent {
            memory: self.options.memory,
            tolerance: self.options.tolerance * self.problem.total(),
            max_iterations: self.options.max_iterations,
            history: &mut self.history,
        }
    }

    /// A step across a tenth of the range of the costs: where potentials begin to matter.
    fn first_step(&self) -> f64 {
        0.1 * self.problem.scale().max(f64::MIN_POSITIVE)
    }

    fn ascend(&mut self, f: &mut Conjugates<'_>, alpha: &mut Vec<f64>) -> Status {
        let (step, before) = (self.first_step(), self.history.len());
        let mut value = |x: &[f64], g: &mut [f64]| f.semi_dual(x, g);
        let (_, status) = self.ascent().run(&mut value, alpha, step);
        self.iterations += (self.history.len() - before).saturating_sub(1);
        status
    }

    /// Whether the repaired plan certifies the gap that the bundle method would stop at.
    fn is_near(&self, f: &mut Conjugates<'_>, alpha: &[f64]) -> bool {
        let value = f.semi_dual(alpha, &mut vec![0.0; alpha.len()]);
        repaired(self.problem, &f.plan()).is_some_and(|plan| {
            let upper = relaxed_objective(self.problem, &plan, f.k, f.gamma);
            upper - value <= tolerated(self.options.gap, value, self.problem)
        })
    }

    fn bundle(
        &mut self,
        f: &mut Conjugates<'_>,
        alpha: &mut Vec<f64>,
        relaxed: &mut Option<SparsePlan>,
    ) -> Status {
        let (gap, max_iterations) = (self.options.gap, self.options.max_cuts);
        let mut bundle = Bundle { gap, max_iterations, history: &mut self.history };
        let outcome = bundle.run(f, alpha);
        self.cuts += outcome.iterations;
        *relaxed = outcome.best.map(|best| best.1);
        outcome.status
    }

    fn dual(mut self, f: &mut Conjugates<'_>, alpha: Vec<f64>) -> Solution {
        let step = self.first_step();
        // For these beta every column starts to fill.
        let (m, n) = (self.problem.sources(), self.problem.targets());
        f.semi_dual(&alpha, &mut vec![0.0; m]);
        let mut point: Vec<f64> = alpha.into_iter().chain(f.beta()).collect();
        let mut value = |x: &[f64], g: &mut [f64]| f.dual(x, g);
        let (_, status) = self.ascent().run(&mut value, &mut point, step);
        self.iterations = self.history.len() - 1;
        let mut gradient = vec![0.0; m + n];
        let value = f.dual(&point, &mut gradient);
        let beta = point.split_off(m);
        let plan = f.plan();
        self.report(f, value, (point, beta), plan, None, status)
    }

    fn finish(
        self,
        mut f: Conjugates<'_>,
        alpha: Vec<f64>,
        relaxed: Option<SparsePlan>,
        status: Status,
    ) -> Solution {
        let value = f.semi_dual(&alpha, &mut vec![0.0; alpha.len()]);
        let (beta, plan) = (f.beta(), f.plan());
        self.report(&mut f, value, (alpha, beta), plan, relaxed, status)
    }

    fn report(
        self,
        f: &mut Conjugates<'_>,
        value: f64,
        (alpha, beta): (Vec<f64>, Vec<f64>),
        plan: SparsePlan,
        relaxed: Option<SparsePlan>,
        status: Status,
    ) -> Solution {
        let bound = |plan: &SparsePlan| relaxed_objective(self.problem, plan, f.k, f.gamma);
        // Of the solver's plan and the repaired raw one, the better.
        let candidates = [relaxed, repaired(self.problem, &plan)].into_iter().flatten();
        let best = candidates.map(|plan| (bound(&plan), plan)).min_by(|x, y| x.0.total_cmp(&y.0));
        let (upper, relaxed) =
            best.map_or((f64::INFINITY, None), |(upper, plan)| (upper, Some(plan)));
        let ties = (f.k < self.problem.sources()).then(|| f.ties(&alpha, relaxed.as_ref()));
        let (mut plan, mut tied_columns, mut tied_rows) = (plan, 0, Vec::new());
        if let Some(ties) = ties {
            (tied_columns, tied_rows) = (ties.columns, ties.rows);
            // As good a maximizer; taken if it meets the margin better.
            let missed = |plan: &SparsePlan| plan.marginal_errors(self.problem).0;
            if tied_columns > 0 && missed(&ties.plan) < missed(&plan) {
                plan = ties.plan;
            }
        }
        let (row_error, column_error) = plan.marginal_errors(self.problem);
        Solution {
            value,
            upper,
            cost: plan.cost(self.problem),
            plan,
            relaxed,
            alpha,
            beta,
            row_error,
            column_error,
            tied_columns,
            tied_rows,
            iterations: self.iterations,
            cuts: self.cuts,
            evaluations: self.evaluations + f.evaluations,
            status,
            history: self.history,
        }
        .centred()
    }
}
