//! Transport as a differentiable function of masses and costs.

use std::sync::Arc;

use lisse_array::{Array, DType, custom_vjp};

use super::{Axis, Problem, Sinkhorn, SparseOt, TransportError, solve_exact};

/// The result of a transport layer: all four can be differentiated with respect to masses and costs.
#[derive(Clone, Debug)]
pub struct Transported {
    /// The optimal value, one float.
    pub value: Array,
    /// The plan, `[m, n]`.
    pub plan: Array,
    /// Potentials of the sources, `[m]`, of mean 0.
    pub alpha: Array,
    /// Potentials of the targets, `[n]`.
    pub beta: Array,
}

type Arguments = (Array, Array, Array);
type Results = (Array, Array, Array, Array);

/// What the derivative of a plan needs besides the plan.
struct Response {
    /// Pairs that carry mass; where they do, how fast mass follows potentials (divided by `strength`). `None`: the plan itself.
    support: Option<Array>,
    strength: f64,
    /// Projector on potentials that are constant on connected parts of the support, which nothing determines.
    free: Array,
    /// Which columns carry mass.
    filled: Array,
}

impl SparseOt {
    /// Value, plan and potentials as differentiable functions of `a` `[m]`, `b` `[n]` and `cost` `[m, n]`.
    ///
    /// The value's derivative is the envelope's: the plan, `alpha` and `beta`. Those of plan and potentials come from differentiating the conditions of
    /// optimality on the support; they are exact where the support is locally constant, that is away from ties, and derivatives of any order follow (the second of the
    /// plan being zero). Masses vary within equal totals. The row margin is off by `tolerance`: choose it small.
    ///
    /// # Errors
    /// As [`SparseOt::solve`].
    ///
    /// ```
    /// use lisse_array::{Array, grad};
    /// use lisse_solve::transport::SparseOt;
    /// let half = Array::from_slice(&[0.5f64, 0.5], &[2]);
    /// let costs = Array::from_slice(&[0.0f64, 1.0, 1.0, 0.0], &[2, 2]);
    /// let ot = SparseOt::quadratic(0.5);
    /// let value = |c: &Array| ot.layer(&half, &half, c).map_or_else(|_| c.sum_all() * f64::NAN, |found| found.value);
    /// assert_eq!(grad(value)(&costs).to_vec::<f64>(), [0.5, 0.0, 0.0, 0.5]);
    /// ```
    pub fn layer(&self, a: &Array, b: &Array, cost: &Array) -> Result<Transported, TransportError> {
        if self.axis == Axis::Row {
            let columns = SparseOt { axis: Axis::Column, ..self.clone() };
            let found = columns.layer(b, a, &cost.t())?;
            let mean = found.beta.mean_all();
            return Ok(Transported {
                value: found.value,
                plan: found.plan.t(),
                alpha: &found.beta - &mean,
                beta: &found.alpha + &mean,
            });
        }
        let found = self.solve(&Problem::from_arrays(a, b, cost)?)?;
        let (m, n) = (a.len(), b.len());
        let dense = found.plan.to_dense();
        let support: Vec<f64> = dense.iter().map(|t| f64::from(u8::from(*t > 0.0))).collect();
        let response = Response {
            free: parts(&support, m, n),
            filled: filled(&support, n),
            support: Some(Array::from_vec(support, &[m, n])),
            strength: self.gamma,
        };
        Ok(attach((a, b, cost), found.value, dense, (found.alpha, found.beta), response))
    }
}

impl Sinkhorn {
    /// Value, plan and potentials as differentiable functions of `a`, `b` and `cost`, to any order. Costs a dense solve with `m` unknowns for a backward pass.
    ///
    /// # Errors
    /// As [`Sinkhorn::solve`]; masses of 0, at which the plan has no derivative.
    pub fn layer(&self, a: &Array, b: &Array, cost: &Array) -> Result<Transported, TransportError> {
        let problem = Problem::from_arrays(a, b, cost)?;
        for (what, masses) in [("source masses", problem.a()), ("target masses", problem.b())] {
            if let Some(index) = masses.iter().position(|m| *m == 0.0) {
                return Err(TransportError::Mass { what, index, value: 0.0 });
            }
        }
        let found = self.solve(&problem)?;
        let (m, n) = (a.len(), b.len());
        let response = Response {
            support: None,
            strength: self.epsilon,
            free: Array::full(&[m, m], 1.0 / m as f64, DType::F64),
            filled: Array::ones(&[n], DType::F64),
        };
        Ok(attach((a, b, cost), found.value, found.plan, (found.alpha, found.beta), response))
    }
}

/// The value of unregularized transport as a differentiable function of `a` `[m]`, `b` `[n]` and `cost` `[m, n]`.
///
/// The plan is a linear function of the masses and the potentials of the costs as long as the basis stays optimal, so that derivatives of all orders are exact away
/// from degenerate problems; there they are those of one basis.
///
/// # Errors
/// As [`solve_exact`].
pub fn exact_cost(a: &Array, b: &Array, cost: &Array) -> Result<Array, TransportError> {
    let found = solve_exact(&Problem::from_arrays(a, b, cost)?)?;
    let (m, n) = (a.len(), b.len());
    let basis = Arc::new(Basis { sources: m, nodes: m + n, arcs: found.forest });
    let places = basis.arcs.iter().map(|&(u, parent)| {
        let (source, target) = if (u as usize) < m { (u, parent) } else { (parent, u) };
        i64::from(source) * n as i64 + i64::from(target) - m as i64
    });
    let places = Array::from_vec(places.collect::<Vec<i64>>(), &[basis.arcs.len()]);
    let masses = Array::cat(&[&a.cast(DType::F64), &b.cast(DType::F64)], 0);
    let costs = cost.cast(DType::F64).reshape(&[-1]).index_select(0, &places);
    Ok((flow(&basis, &masses) * costs).sum_all().cast(cost.dtype()))
}

/// A spanning forest of sources and targets.
struct Basis {
    sources: usize,
    nodes: usize,
    /// Nodes with their parents, parents first.
    arcs: Vec<(u32, u32)>,
}

impl Basis {
    fn sign(&self, u: u32) -> f64 {
        if (u as usize) < self.sources { 1.0 } else { -1.0 }
    }
}

/// What flows along the arcs for given masses of the nodes: sums over subtrees. Its transpose is [`potentials`].
fn flow(basis: &Arc<Basis>, masses: &Array) -> Array {
    let again = basis.clone();
    custom_vjp(
        masses,
        |masses| {
            let signed = (0u32..).zip(masses.to_f64_vec()).map(|(u, m)| m * basis.sign(u));
            let mut sums: Vec<f64> = signed.collect();
            let mut flows = vec![0.0; basis.arcs.len()];
            for (flow, &(u, parent)) in flows.iter_mut().zip(&basis.arcs).rev() {
                *flow = sums[u as usize] * basis.sign(u);
                sums[parent as usize] += sums[u as usize];
            }
            (Array::from_vec(flows, &[basis.arcs.len()]), ())
        },
        move |_, _, (), ct| potentials(&again, ct),
    )
}

/// Potentials of the nodes, 0 at the roots, whose sums along the arcs are given. Its transpose is [`flow`].
fn potentials(basis: &Arc<Basis>, costs: &Array) -> Array {
    let again = basis.clone();
    custom_vjp(
        costs,
        |costs| {
            let mut signed = vec![0.0; basis.nodes];
            for (cost, &(u, parent)) in costs.to_f64_vec().into_iter().zip(&basis.arcs) {
                signed[u as usize] = signed[parent as usize] + basis.sign(u) * cost;
            }
            let values = (0u32..).zip(signed).map(|(u, s)| s * basis.sign(u)).collect();
            (Array::from_vec(values, &[basis.nodes]), ())
        },
        move |_, _, (), ct| flow(&again, ct),
    )
}

fn filled(support: &[f64], n: usize) -> Array {
    let mut any = vec![0.0; n];
    for row in support.chunks(n) {
        any.iter_mut().zip(row).for_each(|(a, s)| *a = f64::max(*a, *s));
    }
    Array::from_vec(any, &[n])
}

/// The projector on vectors that are constant on each connected part of the support's sources.
fn parts(support: &[f64], m: usize, n: usize) -> Array {
    let mut part: Vec<usize> = (0..m).collect();
    fn root(part: &mut [usize], mut i: usize) -> usize {
        while part[i] != i {
            part[i] = part[part[i]];
            i = part[i];
        }
        i
    }
    for j in 0..n {
        let mut rows = (0..m).filter(|i| support[i * n + j] > 0.0);
        if let Some(first) = rows.next() {
            for i in rows {
                let (x, y) = (root(&mut part, first), root(&mut part, i));
                part[x.max(y)] = x.min(y);
            }
        }
    }
    let roots: Vec<usize> = (0..m).map(|i| root(&mut part, i)).collect();
    let mut projector = vec![0.0; m * m];
    for i in 0..m {
        let size = roots.iter().filter(|r| **r == roots[i]).count();
        for l in 0..m {
            if roots[l] == roots[i] {
                projector[i * m + l] = 1.0 / size as f64;
            }
        }
    }
    Array::from_vec(projector, &[m, m])
}

/// Joins a solution to its arguments.
fn attach(
    (a, b, cost): (&Array, &Array, &Array),
    value: f64,
    plan: Vec<f64>,
    (alpha, beta): (Vec<f64>, Vec<f64>),
    response: Response,
) -> Transported {
    let (m, n) = (a.len(), b.len());
    let results = (
        Array::scalar(value),
        Array::from_vec(plan, &[m, n]),
        Array::from_vec(alpha, &[m]),
        Array::from_vec(beta, &[n]),
    );
    let dtype = cost.dtype();
    let arguments = (a.cast(DType::F64), b.cast(DType::F64), cost.cast(DType::F64));
    let (value, plan, alpha, beta) = custom_vjp(
        &arguments,
        |_| (results, response),
        |_: &Arguments, found, response, ct| pullback(found, response, ct),
    );
    Transported {
        value: value.cast(dtype),
        plan: plan.cast(dtype),
        alpha: alpha.cast(dtype),
        beta: beta.cast(dtype),
    }
}

/// The cotangents of masses and costs.
///
/// With weights `W` (the support, or the plan itself) a plan obeys `dT = W (dalpha + dbeta' - dC) / s` and its margins `da` and `db`: a symmetric linear system in
/// the potentials, whose columns are eliminated first.
fn pullback((_, plan, alpha, beta): &Results, response: &Response, ct: &Results) -> Arguments {
    let (ct_value, ct_plan, ct_alpha, ct_beta) = ct;
    let weights = response.support.as_ref().unwrap_or(plan);
    let weighted = weights * ct_plan * (1.0 / response.strength);
    let rows = weighted.sum(&[1]) + ct_alpha;
    let columns = weighted.sum(&[0]) + ct_beta;
    // One where nothing flows, to divide by.
    let inverse = &response.filled / (weights.sum(&[0]) + (1.0 - &response.filled));
    let scaled = weights * &inverse;
    let m = plan.dim(0);
    let diagonal = Array::eye(m, DType::F64) * weights.sum(&[1]).unsqueeze(1);
    let system = diagonal - scaled.matmul(&weights.t()) + &response.free;
    let right = rows - scaled.matmul(&columns);
    let right = &right - response.free.matmul(&right);
    // The system is positive definite by construction; numbers that are not finite come out as such.
    let w = system
        .solve(&right.unsqueeze(1))
        .map_or_else(|_| right.full_like(f64::NAN), |w| w.squeeze(1));
    let z = &inverse * (columns - weights.t().matmul(&w));
    let pairs = w.unsqueeze(1) + z.unsqueeze(0);
    (
        &w * response.strength + ct_value * alpha,
        &z * response.strength + ct_value * beta,
        weights * pairs - weighted + ct_value * plan,
    )
}
