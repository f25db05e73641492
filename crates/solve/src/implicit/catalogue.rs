//! Optimality conditions of constrained and composite problems.

use lisse_array::{Array, DType, Tree, grad, jacobian};

use super::Condition;

impl<X: Tree + 'static, P: Tree + 'static> Condition<X, P> {
    /// `x = project(x - step grad f(x, theta), theta)`: a minimizer of `f` over a convex set. The derivative does not depend on
    /// the step.
    pub fn projected_gradient(
        f: impl Fn(&X, &P) -> Array + Send + Sync + 'static,
        project: impl Fn(&X, &P) -> X + Send + Sync + 'static,
        step: f64,
    ) -> Condition<X, P> {
        Condition::named_map("projected gradient", move |x: &X, theta: &P| {
            let gradient = grad(|x: &X| f(x, theta))(x);
            project(&x.axpy(-step, &gradient), theta)
        })
    }

    /// `x = prox(x - step grad f(x, theta), theta, step)`: a minimizer of `f + g`, with
    /// `prox(u, theta, step) = argmin |x - u|^2 / 2 + step g(x, theta)`. Valid where the operator is differentiable; for sparse
    /// solutions, [`Implicit::support`](super::Implicit::support) solves on the support alone.
    pub fn proximal_gradient(
        f: impl Fn(&X, &P) -> Array + Send + Sync + 'static,
        prox: impl Fn(&X, &P, f64) -> X + Send + Sync + 'static,
        step: f64,
    ) -> Condition<X, P> {
        Condition::named_map("proximal gradient", move |x: &X, theta: &P| {
            let gradient = grad(|x: &X| f(x, theta))(x);
            prox(&x.axpy(-step, &gradient), theta, step)
        })
    }

    /// `x = project(mirror(x) - step grad f(x, theta), theta)`, with `mirror` the gradient of the mirror map and `project` from
    /// dual points to the set. For the entropy on the simplex: logarithm and softmax (the solution must be interior).
    pub fn mirror_descent(
        f: impl Fn(&X, &P) -> Array + Send + Sync + 'static,
        mirror: impl Fn(&X) -> X + Send + Sync + 'static,
        project: impl Fn(&X, &P) -> X + Send + Sync + 'static,
        step: f64,
    ) -> Condition<X, P> {
        Condition::named_map("mirror descent", move |x: &X, theta: &P| {
            let gradient = grad(|x: &X| f(x, theta))(x);
            project(&mirror(x).axpy(-step, &gradient), theta)
        })
    }
}

impl<P: Tree + 'static> Condition<Array, P> {
    /// Proximal gradient on the rows of a matrix `x`, each with its own step: the fixed point of block coordinate descent.
    /// `prox(u, theta, steps)` gets the steps with a trailing axis, to broadcast over a row.
    pub fn block_proximal(
        f: impl Fn(&Array, &P) -> Array + Send + Sync + 'static,
        prox: impl Fn(&Array, &P, &Array) -> Array + Send + Sync + 'static,
        steps: &[f64],
    ) -> Condition<Array, P> {
        let steps = steps.to_vec();
        Condition::named_map("block proximal gradient", move |x: &Array, theta: &P| {
            let shape: Vec<usize> =
                (0..x.rank()).map(|a| if a == 0 { steps.len() } else { 1 }).collect();
            let steps = Array::from_slice(&steps, &shape).cast(x.dtype());
            let gradient = grad(|x: &Array| f(x, theta))(x);
            prox(&(x - gradient * &steps), theta, &steps)
        })
    }

    /// `x = x - step (d G / d x)^{-1} G(x, theta)` for a vector `x`: at a root the Jacobian of the condition is `step I`, so
    /// that the backward pass needs no solve beyond the dense one inside the map.
    pub fn newton(
        g: impl Fn(&Array, &P) -> Array + Send + Sync + 'static,
        step: f64,
    ) -> Condition<Array, P> {
        Condition::named_map("newton", move |x: &Array, theta: &P| {
            let value = g(x, theta);
            let matrix = jacobian(|x: &Array| g(x, theta), x);
            // A singular Jacobian shows as NaN, which every later check names.
            let direction = matrix.solve(&value).unwrap_or_else(|_| &value * f64::NAN);
            x - direction * step
        })
    }

    /// [`newton`](Self::newton) for a stationary point of `f`.
    pub fn newton_stationary(
        f: impl Fn(&Array, &P) -> Array + Send + Sync + 'static,
        step: f64,
    ) -> Condition<Array, P> {
        Condition::newton(move |x: &Array, theta: &P| grad(|x: &Array| f(x, theta))(x), step)
    }
}

/// A primal-dual point: variables, multipliers of equalities, multipliers of inequalities.
type PrimalDual = (Array, Array, Array);

impl<P: Tree + 'static> Condition<PrimalDual, P> {
    /// The conditions of Karush, Kuhn and Tucker for `min f` subject to `h = 0`, `g <= 0`, at a primal-dual point
    /// `(x, nu, lambda)`: `(grad f + dh^T nu + dg^T lambda, h, lambda g)`. The inequalities themselves are dropped, which is
    /// valid where complementarity is strict; then the Jacobian is regular, and multipliers of inactive constraints stay zero.
    pub fn kkt(
        f: impl Fn(&Array, &P) -> Array + Send + Sync + 'static,
        equality: impl Fn(&Array, &P) -> Array + Send + Sync + 'static,
        inequality: impl Fn(&Array, &P) -> Array + Send + Sync + 'static,
    ) -> Condition<PrimalDual, P> {
        Condition::named("kkt", move |(x, nu, lambda): &PrimalDual, theta: &P| {
            let both = (x.clone(), nu.clone(), lambda.clone());
            // The multipliers come in as parameters: what a gradient's function captures must be of its own making.
            let lagrangian = |(x, nu, lambda): &PrimalDual| {
                f(x, theta)
                    + (equality(x, theta) * nu).sum_all()
                    + (inequality(x, theta) * lambda).sum_all()
            };
            let (stationarity, _, _) = grad(lagrangian)(&both);
            (stationarity, equality(x, theta), inequality(x, theta) * lambda)
        })
    }
}

/// A convex quadratic program: minimise `x^T Q x / 2 + c^T x` subject to `E x = d`, `G x <= h`.
#[derive(Clone, Debug, Tree)]
pub struct Program {
    /// `Q`, symmetric positive semidefinite.
    pub q: Array,
    /// `c`
    pub c: Array,
    /// `E`
    pub e: Array,
    /// `d`
    pub d: Array,
    /// `G`
    pub g: Array,
    /// `h`
    pub h: Array,
}

impl Condition<PrimalDual, Program> {
    /// The KKT conditions of a quadratic [`Program`], with all its data as parameters.
    pub fn quadratic_program() -> Condition<PrimalDual, Program> {
        Condition::named("quadratic program", |(x, nu, lambda): &PrimalDual, p: &Program| {
            let stationarity = p.q.matmul(x) + &p.c + p.e.t().matmul(nu) + p.g.t().matmul(lambda);
            (stationarity, p.e.matmul(x) - &p.d, lambda * (p.g.matmul(x) - &p.h))
        })
    }
}

/// `sign(x) max(|x| - threshold, 0)`, differentiable in both away from the kink.
pub fn soft_threshold(x: &Array, threshold: &Array) -> Array {
    x.sign() * (x.abs() - threshold).relu()
}

/// The rows of a matrix projected on the probability simplex. The support is found by sorting, unrecorded; the result is
/// written on the support, so its derivative is the closed form `diag(s) - s s^T / |s|`.
pub fn simplex_rows(x: &Array) -> Array {
    let (rows, columns) = (x.dim(0), x.dim(1));
    let values = x.to_f64_vec();
    let mut support = vec![0.0; values.len()];
    for (row, support) in values.chunks(columns).zip(support.chunks_mut(columns)) {
        let mut order: Vec<f64> = row.to_vec();
        order.sort_by(|a, b| b.total_cmp(a));
        let (mut sum, mut threshold) = (0.0, f64::NEG_INFINITY);
        for (k, v) in order.iter().enumerate() {
            sum += v;
            let candidate = (sum - 1.0) / (k + 1) as f64;
            if *v > candidate {
                threshold = candidate;
            }
        }
        for (s, v) in support.iter_mut().zip(row) {
            *s = f64::from(u8::from(*v > threshold));
        }
    }
    let support =
        Array::from_vec::<f64>(support, &[rows, columns]).cast(DType::F64).cast(x.dtype());
    let count = support.sum_keep(&[1]);
    let threshold = ((x * &support).sum_keep(&[1]) - 1.0) / count;
    (x - threshold) * support
}
