//! The derivative of a root, in both modes and to any order.

use std::cell::OnceCell;
use std::sync::Arc;

use lisse_array::{Tree, custom_vjp, vjp};

use super::systems::{batched, on_support, with_factor};
use super::unroll::unroll_map;
use super::{Condition, Derivative, Implicit, ImplicitError, SolveReport, vectors};
use crate::linear::{Factor, LinearError, LinearSolver, Method, Operator, Report, Solution};

/// What a differentiable tree must be to outlive the call that records it.
pub trait Leafy: Tree + Send + Sync + 'static {}
impl<T: Tree + Send + Sync + 'static> Leafy for T {}

/// The solution of `condition` found by `solver`, as a differentiable function of `theta`.
///
/// The solver sees `theta` as a constant and may do anything; its first guess and whatever else it uses get no derivative.
///
/// # Errors
/// The solver's own, NaN in the solution, a leaf that is neither f64 nor f32, an [`Unroll`](super::Unroll) of a condition
/// without a map. Failures of the derivative come later, from [`Implicit::checked`].
pub fn solve<X: Leafy, P: Leafy, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    condition: &Condition<X, P>,
    solver: impl FnOnce(&P) -> Result<X, E>,
    derivative: impl Into<Derivative>,
    theta: &P,
) -> Result<X, ImplicitError> {
    let found = solver(&theta.map(lisse_array::Array::stop_gradient));
    let found = found.map_err(|error| ImplicitError::Solver(error.into()))?;
    match derivative.into() {
        Derivative::Implicit(implicit) => custom_root(condition, &implicit, theta, found),
        Derivative::Unroll(options) => {
            let found = found.map(lisse_array::Array::stop_gradient);
            vectors::check("the solution", &found)?;
            let map =
                condition.map.as_ref().ok_or(ImplicitError::NoMap { condition: condition.name })?;
            unroll_map(map, &found, theta, options.steps, options.checkpoint)
        }
    }
}

/// As [`solve`], for a solver that also returns a factor of the Jacobian `d F / d x` at its solution (the normal matrix of a
/// ridge regression, the Hessian of the last Newton step): derivatives reuse it instead of solving anew.
///
/// # Errors
/// As [`solve`].
pub fn solve_factored<X: Leafy, P: Leafy, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    condition: &Condition<X, P>,
    solver: impl FnOnce(&P) -> Result<(X, Factor), E>,
    implicit: &Implicit,
    theta: &P,
) -> Result<X, ImplicitError> {
    let found = solver(&theta.map(lisse_array::Array::stop_gradient));
    let (found, factor) = found.map_err(|error| ImplicitError::Solver(error.into()))?;
    let size = vectors::len(&found);
    if factor.size() != size {
        let (condition, got) = (condition.name, factor.size());
        return Err(ImplicitError::Shape { condition, got, need: size });
    }
    attach(Core::new(condition, implicit, Some(factor)), theta, found)
}

/// `solution`, found by any means, as a differentiable function of `theta`.
///
/// # Errors
/// NaN in the solution, a leaf that is neither f64 nor f32.
pub fn custom_root<X: Leafy, P: Leafy>(
    condition: &Condition<X, P>,
    implicit: &Implicit,
    theta: &P,
    solution: X,
) -> Result<X, ImplicitError> {
    attach(Core::new(condition, implicit, None), theta, solution)
}

/// [`custom_root`] of `x = map(x, theta)`.
///
/// # Errors
/// As [`custom_root`].
pub fn custom_fixed_point<X: Leafy, P: Leafy>(
    map: impl Fn(&X, &P) -> X + Send + Sync + 'static,
    implicit: &Implicit,
    theta: &P,
    solution: X,
) -> Result<X, ImplicitError> {
    custom_root(&Condition::fixed_point(map), implicit, theta, solution)
}

/// The product of a cotangent `w` of the solution with its Jacobian: the cotangent of `theta`, and how the linear solve went.
/// All arguments are taken as constants; the plain first-order form, without a record.
///
/// # Errors
/// [`ImplicitError::Linear`] and the faults of [`custom_root`].
pub fn root_vjp<X: Leafy, P: Leafy>(
    condition: &Condition<X, P>,
    implicit: &Implicit,
    solution: &X,
    theta: &P,
    w: &X,
) -> Result<(P, SolveReport), ImplicitError> {
    let (x, theta, w) = constants(solution, theta, w)?;
    let core = Core::new(condition, implicit, None);
    let (u, report) = core.linear_solve(true, &x, &theta, &w)?;
    let (_, pullback) = vjp(|theta: &P| condition.residual(&x, theta), &theta);
    Ok((pullback(&u.scale(-1.0)), report))
}

/// The product of the solution's Jacobian with a tangent `v` of `theta`, and how the linear solve went.
///
/// # Errors
/// As [`root_vjp`].
pub fn root_jvp<X: Leafy, P: Leafy>(
    condition: &Condition<X, P>,
    implicit: &Implicit,
    solution: &X,
    theta: &P,
    v: &P,
) -> Result<(X, SolveReport), ImplicitError> {
    let (x, theta, v) = constants_jvp(solution, theta, v)?;
    let core = Core::new(condition, implicit, None);
    let push = linearize(|theta: &P| condition.residual(&x, theta), &theta, &x);
    core.linear_solve(false, &x, &theta, &push(&v).scale(-1.0))
}

fn constants<X: Leafy, P: Leafy>(x: &X, theta: &P, w: &X) -> Result<(X, P, X), ImplicitError> {
    let settle = lisse_array::Array::stop_gradient;
    vectors::check("the solution", x)?;
    vectors::check("the cotangent", w)?;
    Ok((x.map(settle), theta.map(settle), w.map(settle)))
}

fn constants_jvp<X: Leafy, P: Leafy>(x: &X, theta: &P, v: &P) -> Result<(X, P, P), ImplicitError> {
    let settle = lisse_array::Array::stop_gradient;
    vectors::check("the solution", x)?;
    vectors::check("the tangent", v)?;
    Ok((x.map(settle), theta.map(settle), v.map(settle)))
}

/// The directional derivative of `f` at `at` as a function of the direction, evaluated once and pushed many times. The inner
/// transformation runs inside the outer one, so that their records do not mix. `like` has the structure of the result.
fn linearize<P: Tree, Q: Tree, F: Fn(&P) -> Q>(
    f: F,
    at: &P,
    like: &Q,
) -> impl Fn(&P) -> Q + use<P, Q, F> {
    let at = at.clone();
    let (_, push) = vjp(
        move |cotangent: &Q| {
            let (_, pullback) = vjp(&f, &at);
            pullback(cotangent)
        },
        &like.zeros_like(),
    );
    push
}

fn attach<X: Leafy, P: Leafy>(
    core: Core<X, P>,
    theta: &P,
    solution: X,
) -> Result<X, ImplicitError> {
    let solution = solution.map(lisse_array::Array::stop_gradient);
    vectors::check("the solution", &solution)?;
    let core = Arc::new(core);
    Ok(custom_vjp(
        theta,
        move |_| (solution, ()),
        move |theta: &P, x: &X, (), w: &X| {
            let u = solve_rule(&core, true, x, theta, w);
            // Point and parameters are arguments, not captured: see `solve_rule`.
            let at = (x.clone(), theta.clone());
            let (_, pullback) = vjp(|(x, theta): &(X, P)| core.condition.residual(x, theta), &at);
            pullback(&u.scale(-1.0)).1
        },
    ))
}

/// `A^{-1} b`, or `A^{-T} b`, with `A = d F / d x` at `(x, theta)`: differentiable in all three.
///
/// From `A u = b` follows `du = A^{-1} (db - dA u)`, so a cotangent `ct` gives `s = A^{-T} ct` to `b` and the gradient of
/// `-s^T A u` to `x` and `theta`. The rule may run in the pass of a transformation whose bit has been given back, and a new
/// transformation may then own the same bit. Hence everything that the rule differentiates enters as an argument: an array
/// that is merely captured would lead the inner pass into the record of the outer one, endlessly.
fn solve_rule<X: Leafy, P: Leafy>(
    core: &Arc<Core<X, P>>,
    transposed: bool,
    x: &X,
    theta: &P,
    b: &X,
) -> X {
    let operands = (x.clone(), theta.clone(), b.clone());
    let (forward, backward) = (core.clone(), core.clone());
    custom_vjp(
        &operands,
        move |(x, theta, b)| (forward.settled_solve(transposed, x, theta, b), ()),
        move |(x, theta, _): &(X, P, X), u: &X, (), ct: &X| {
            let s = solve_rule(&backward, !transposed, x, theta, ct);
            let (left, right) = if transposed { (u, &s) } else { (&s, u) };
            let (to_x, to_theta) = backward.pairing_gradient(x, theta, left, right);
            (to_x.scale(-1.0), to_theta.scale(-1.0), s)
        },
    )
}

/// A condition with its derivative: what the rules share.
struct Core<X, P> {
    condition: Condition<X, P>,
    implicit: Implicit,
    factor: Option<Factor>,
}

impl<X: Leafy, P: Leafy> Core<X, P> {
    fn new(condition: &Condition<X, P>, implicit: &Implicit, factor: Option<Factor>) -> Core<X, P> {
        Core { condition: condition.clone(), implicit: implicit.clone(), factor }
    }

    /// The gradient in `x` and `theta` of `left^T (d F / d x) right`.
    fn pairing_gradient(&self, x: &X, theta: &P, left: &X, right: &X) -> (X, P) {
        let at = (x.clone(), theta.clone(), left.clone());
        let residual = &self.condition.residual;
        let (_, pullback) = vjp(
            |(x, theta, left): &(X, P, X)| {
                let (_, adjoint) = vjp(|x: &X| residual(x, theta), x);
                adjoint(left)
            },
            &at,
        );
        let (to_x, to_theta, _) = pullback(right);
        (to_x, to_theta)
    }

    /// [`linear_solve`](Self::linear_solve), with NaN in place of a failure that the log keeps.
    fn settled_solve(&self, transposed: bool, x: &X, theta: &P, b: &X) -> X {
        match self.linear_solve(transposed, x, theta, b) {
            Ok((u, _)) => u,
            Err(failure) => {
                self.implicit.fail(failure);
                vectors::poisoned(b)
            }
        }
    }

    /// The solve itself, on constants. Logs its report.
    fn linear_solve(
        &self,
        transposed: bool,
        x: &X,
        theta: &P,
        b: &X,
    ) -> Result<(X, SolveReport), ImplicitError> {
        let right = vectors::to_vector(b);
        let name = self.condition.name;
        if right.iter().all(|v| *v == 0.0) {
            let linear = Report { method: "zero", iterations: 0, residual: 0.0, condition: None };
            let report = SolveReport { condition: name, transposed, optimality: 0.0, linear };
            return Ok((b.zeros_like(), report));
        }
        let (value, pullback) = vjp(|x: &X| self.condition.residual(x, theta), x);
        let (got, need) = (vectors::len(&value), vectors::len(x));
        if got != need || right.len() != need {
            return Err(ImplicitError::Shape { condition: name, got, need });
        }
        let optimality = value.norm();
        let push = OnceCell::new();
        let adjoint = |v: &[f64], out: &mut [f64]| {
            copy(&pullback(&vectors::from_vector(&value, v)), out);
        };
        let forward = |v: &[f64], out: &mut [f64]| {
            let push = push
                .get_or_init(|| linearize(|x: &X| self.condition.residual(x, theta), x, &value));
            copy(&push(&vectors::from_vector(x, v)), out);
        };
        let structure = self.condition.structure;
        let operator = if structure.is_symmetric() {
            Operator::slices(need, adjoint)
        } else if transposed {
            Operator::slices(need, adjoint).with_transpose(forward)
        } else {
            Operator::slices(need, forward).with_transpose(adjoint)
        };
        let operator = operator.structure(structure);
        let solution = self.solve_vector(&operator, transposed, x, &right);
        let direction = if transposed { "reverse" } else { "forward" };
        let solution = solution.map_err(|source| ImplicitError::Linear {
            condition: name,
            direction,
            optimality,
            source,
        })?;
        let linear = solution.report;
        let report = SolveReport { condition: name, transposed, optimality, linear };
        self.implicit.report(report.clone());
        Ok((vectors::from_vector(b, &solution.x), report))
    }

    fn solve_vector(
        &self,
        operator: &Operator<'_>,
        transposed: bool,
        x: &X,
        b: &[f64],
    ) -> Result<Solution, LinearError> {
        let solver = self.linear();
        if let Some(factor) = &self.factor {
            return with_factor(factor, &solver, operator, transposed, b);
        }
        if let Some(rows) = self.implicit.batch {
            return batched(rows, &solver, operator, b);
        }
        if self.implicit.support {
            return on_support(&solver, operator, transposed, &vectors::to_vector(x), b);
        }
        if !self.implicit.warm_start {
            return solver.solve(operator, b);
        }
        let slot = usize::from(transposed);
        let start = self.implicit.with_log(|log| log.warm[slot].clone());
        let start = start.filter(|start| start.len() == b.len());
        let solution = solver.solve_from(operator, b, start.as_deref())?;
        self.implicit.with_log(|log| log.warm[slot] = Some(solution.x.clone()));
        Ok(solution)
    }

    fn linear(&self) -> LinearSolver {
        let mut solver = self.implicit.linear.clone();
        if let (Method::Auto, Some(method)) = (solver.method, self.condition.method) {
            solver.method = method;
        }
        solver
    }
}

fn copy<X: Tree>(tree: &X, out: &mut [f64]) {
    out.copy_from_slice(&vectors::to_vector(tree));
}
