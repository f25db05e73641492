//! Entropic transport.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::simd::{axpy, dot, exp_difference, max_difference};
use super::{Problem, Status, TransportError, solve_exact};

/// Columns that are worked on together; fixed, so that sums do not depend on the number of threads.
const BLOCK: usize = 64;
/// Problems with fewer entries than this are solved on one thread.
const SMALL: usize = 1 << 15;
/// Once a scaling leaves `1 / LIMIT ..= LIMIT` it moves into the potentials.
const LIMIT: f64 = 1e30;

/// Sinkhorn's algorithm, stabilized (Schmitzer, 2019): potentials in the log domain, scalings of a kernel made from them in between, one pass over the
/// kernel for an iteration.
///
/// `min <T, C> + epsilon sum_ij T_ij (log T_ij - 1)` with both margins; `T_ij = exp((alpha_i + beta_j - C_ij) / epsilon)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sinkhorn {
    /// Strength of the entropy, in units of the cost.
    pub epsilon: f64,
    /// Stops when `|T 1 - a|_1` is at most this share of the mass; the other margin is met.
    pub tolerance: f64,
    /// Most iterations.
    pub max_iterations: usize,
}

impl Default for Sinkhorn {
    fn default() -> Self {
        Sinkhorn { epsilon: 0.05, tolerance: 1e-9, max_iterations: 10_000 }
    }
}

/// An entropic plan.
#[derive(Clone, Debug, PartialEq)]
pub struct EntropicTransport {
    /// The plan, row after row.
    pub plan: Vec<f64>,
    /// Potentials of the sources, of mean 0 over those with mass (`-inf` at sources without).
    pub alpha: Vec<f64>,
    /// Potentials of the targets.
    pub beta: Vec<f64>,
    /// `<T, C>`
    pub cost: f64,
    /// The dual's value, `<a, alpha> + <b, beta> - epsilon sum T`.
    pub value: f64,
    /// `|T 1 - a|_1`
    pub row_error: f64,
    /// Iterations made.
    pub iterations: usize,
    /// Whether the tolerance was reached.
    pub status: Status,
}

impl Sinkhorn {
    /// With this strength.
    pub fn new(epsilon: f64) -> Sinkhorn {
        Sinkhorn { epsilon, ..Sinkhorn::default() }
    }

    /// Solves a problem.
    ///
    /// # Errors
    /// `epsilon` or `tolerance` out of range; [`TransportError::Infeasible`] with proof.
    ///
    /// ```
    /// use lisse_solve::transport::{Problem, Sinkhorn};
    /// let problem = Problem::uniform(2, 2, &[0.0, 1.0, 1.0, 0.0])?;
    /// let found = Sinkhorn::new(0.5).solve(&problem)?;
    /// let share = 1.0 / (1.0 + (-2.0f64).exp());
    /// assert!((found.plan[0] - share / 2.0).abs() < 1e-12);
    /// # Ok::<(), lisse_solve::transport::TransportError>(())
    /// ```
    pub fn solve(&self, problem: &Problem) -> Result<EntropicTransport, TransportError> {
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(TransportError::option("epsilon", self.epsilon, "a finite number above 0"));
        }
        if self.tolerance.is_nan() || self.tolerance < 0.0 {
            return Err(TransportError::option("tolerance", self.tolerance, "0 or more"));
        }
        if problem.has_forbidden() {
            // Would go on for ever; the simplex method tells.
            solve_exact(problem)?;
        }
        let mut scaling = Scaling::new(problem, self.epsilon);
        let target = self.tolerance * problem.total();
        let (mut iterations, mut status) = (0, Status::OutOfIterations);
        scaling.log_columns();
        scaling.log_rows();
        scaling.make_kernel();
        while iterations < self.max_iterations {
            let error = scaling.iterate();
            iterations += 1;
            // The error is that before the last scaling of the rows.
            if error <= target {
                status = Status::Converged;
                break;
            }
        }
        scaling.absorb();
        Ok(scaling.solution(iterations, status))
    }
}

struct Scaling<'p> {
    problem: &'p Problem,
    epsilon: f64,
    alpha: Vec<f64>,
    beta: Vec<f64>,
    /// `exp((alpha_i + beta_j - C_ij) / epsilon)`, column after column.
    kernel: Vec<f64>,
    u: Vec<f64>,
    v: Vec<f64>,
    /// What each block of columns adds to the rows.
    partial: Vec<Vec<f64>>,
    rows: Vec<f64>,
}

/// Kernel columns with their partial row sums, and scalings with the masses of those columns.
type Block<'a> = ((&'a [f64], &'a mut Vec<f64>), (&'a mut [f64], &'a [f64]));

impl<'p> Scaling<'p> {
    fn new(problem: &'p Problem, epsilon: f64) -> Scaling<'p> {
        let (m, n) = (problem.sources(), problem.targets());
        let alpha = problem.a().iter().map(|&a| if a > 0.0 { 0.0 } else { f64::NEG_INFINITY });
        Scaling {
            problem,
            epsilon,
            alpha: alpha.collect(),
            beta: vec![0.0; n],
            kernel: vec![0.0; m * n],
            u: problem.a().iter().map(|&a| f64::from(u8::from(a > 0.0))).collect(),
            v: vec![1.0; n],
            partial: vec![vec![0.0; m]; n.div_ceil(BLOCK)],
            rows: vec![0.0; m],
        }
    }

    fn small(&self) -> bool {
        self.kernel.len() < SMALL
    }

    /// `beta_j = epsilon (log b_j - log sum_i exp((alpha_i - C_ij) / epsilon))`: the column margins are met.
    fn log_columns(&mut self) {
        let (problem, epsilon, alpha, m) =
            (self.problem, self.epsilon, &self.alpha, self.alpha.len());
        let column = |(j, (beta, scratch)): (usize, (&mut f64, &mut [f64]))| {
            let top = max_difference(alpha, problem.column(j));
            exp_difference(alpha, problem.column(j), -top, 1.0 / epsilon, scratch);
            let sum: f64 = scratch.iter().sum();
            *beta = epsilon * (problem.b()[j].ln() - sum.ln()) - top;
        };
        self.beta.par_iter_mut().zip(self.kernel.par_chunks_mut(m)).enumerate().for_each(column);
    }

    /// `alpha_i = epsilon (log a_i - log sum_j exp((beta_j - C_ij) / epsilon))`: the row margins are met.
    fn log_rows(&mut self) {
        let (problem, epsilon) = (self.problem, self.epsilon);
        let finite = || (0..self.beta.len()).filter(|&j| self.beta[j].is_finite());
        let mut tops = vec![f64::INFINITY; self.alpha.len()];
        for j in finite() {
            let beta = self.beta[j];
            tops.iter_mut().zip(problem.column(j)).for_each(|(t, c)| *t = t.min(c - beta));
        }
        let (mut sums, mut terms) = (vec![0.0; tops.len()], vec![0.0; tops.len()]);
        for j in finite() {
            exp_difference(&tops, problem.column(j), self.beta[j], 1.0 / epsilon, &mut terms);
            axpy(1.0, &terms, &mut sums);
        }
        for (i, alpha) in self.alpha.iter_mut().enumerate() {
            if problem.a()[i] > 0.0 {
                *alpha = epsilon * (problem.a()[i].ln() - sums[i].ln()) + tops[i];
            }
        }
    }

    fn make_kernel(&mut self) {
        let (problem, epsilon, alpha, beta) = (self.problem, self.epsilon, &self.alpha, &self.beta);
        let column = |(j, column): (usize, &mut [f64])| {
            if beta[j] == f64::NEG_INFINITY {
                column.fill(0.0);
            } else {
                exp_difference(alpha, problem.column(j), beta[j], 1.0 / epsilon, column);
            }
        };
        self.kernel.par_chunks_mut(alpha.len()).enumerate().for_each(column);
    }

    /// Scales columns, then rows; returns `|T 1 - a|_1` between the two.
    fn iterate(&mut self) -> f64 {
        let (m, b, u) = (self.u.len(), self.problem.b(), &self.u);
        let block = |((kernel, rows), (v, b)): Block<'_>| {
            rows.fill(0.0);
            for ((column, v), &b) in kernel.chunks_exact(m).zip(v).zip(b) {
                let sum = dot(column, u);
                *v = if b > 0.0 { b / sum } else { 0.0 };
                axpy(*v, column, rows);
            }
        };
        let kernels = self.kernel.par_chunks(m * BLOCK).zip(&mut self.partial);
        let scalings = self.v.par_chunks_mut(BLOCK).zip(b.par_chunks(BLOCK));
        if self.kernel.len() < SMALL {
            let kernels = self.kernel.chunks(m * BLOCK).zip(&mut self.partial);
            kernels.zip(self.v.chunks_mut(BLOCK).zip(b.chunks(BLOCK))).for_each(block);
        } else {
            kernels.zip(scalings).for_each(block);
        }
        self.rows.fill(0.0);
        for part in &self.partial {
            self.rows.iter_mut().zip(part).for_each(|(r, p)| *r += p);
        }
        let (mut error, mut extreme) = (0.0, false);
        for ((u, &r), &a) in self.u.iter_mut().zip(&self.rows).zip(self.problem.a()) {
            error += (*u * r - a).abs();
            if a > 0.0 {
                *u = a / r;
                extreme |= !(1.0 / LIMIT..=LIMIT).contains(u);
            }
        }
        extreme |=
            self.v.iter().zip(b).any(|(v, b)| *b > 0.0 && !(1.0 / LIMIT..=LIMIT).contains(v));
        if extreme {
            self.rescue();
        }
        error
    }

    /// Scalings that left their range: into the potentials as far as they are numbers, then an iteration in the log domain, which cannot overflow.
    fn rescue(&mut self) {
        let usable = |s: &f64| *s >= f64::MIN_POSITIVE && s.is_finite();
        for scaling in [&mut self.u, &mut self.v] {
            scaling.iter_mut().filter(|s| **s != 0.0 && !usable(s)).for_each(|s| *s = 1.0);
        }
        self.absorb();
        self.log_columns();
        self.log_rows();
        self.make_kernel();
    }

    /// Moves the scalings into the potentials.
    fn absorb(&mut self) {
        for (potential, scaling) in [(&mut self.alpha, &mut self.u), (&mut self.beta, &mut self.v)]
        {
            for (p, s) in potential.iter_mut().zip(scaling.iter_mut()) {
                // A mass of 0 keeps its infinite potential.
                if *s > 0.0 {
                    *p += self.epsilon * s.ln();
                    *s = 1.0;
                }
            }
        }
    }

    fn solution(mut self, iterations: usize, status: Status) -> EntropicTransport {
        // Exact columns, and a plan that agrees with the potentials.
        self.log_columns();
        self.make_kernel();
        let (m, n, problem) = (self.alpha.len(), self.beta.len(), self.problem);
        let finite: Vec<f64> = self.alpha.iter().copied().filter(|a| a.is_finite()).collect();
        let mean = finite.iter().sum::<f64>() / finite.len() as f64;
        for a in &mut self.alpha {
            *a -= mean;
        }
        for b in &mut self.beta {
            *b += mean;
        }
        let mut plan = vec![0.0; m * n];
        let kernel = &self.kernel;
        let row = |(i, row): (usize, &mut [f64])| {
            for (j, t) in row.iter_mut().enumerate() {
                *t = kernel[j * m + i];
            }
        };
        if self.small() {
            plan.chunks_mut(n).enumerate().for_each(row);
        } else {
            plan.par_chunks_mut(n).enumerate().for_each(row);
        }
        let column_cost = |j: usize| {
            let entries = kernel[j * m..(j + 1) * m].iter().zip(problem.column(j));
            entries.map(|(t, c)| if *t > 0.0 { t * c } else { 0.0 }).sum::<f64>()
        };
        let cost = (0..n).map(column_cost).sum();
        let sums = plan.chunks(n).map(|row| row.iter().sum::<f64>());
        let row_error = sums.zip(problem.a()).map(|(s, a)| (s - a).abs()).sum();
        // 0 times -inf counts as 0.
        let pairing = |mass: &[f64], potential: &[f64]| -> f64 {
            mass.iter().zip(potential).filter(|(m, _)| **m > 0.0).map(|(m, p)| m * p).sum()
        };
        let value = pairing(problem.a(), &self.alpha) + pairing(problem.b(), &self.beta)
            - self.epsilon * problem.total();
        EntropicTransport {
            plan,
            alpha: self.alpha,
            beta: self.beta,
            cost,
            value,
            row_error,
            iterations,
            status,
        }
    }
}
