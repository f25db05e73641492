//! Steps `d = -(H + lambda B)^-1 g` for one `H` and many `lambda`.

use lisse_array::{Array, DType};
use serde::{Deserialize, Serialize};

use super::curvature::Curvature;
use super::krylov::{Krylov, conjugate_gradients};
use super::metric::Metric;

/// How the linear systems are solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Woodbury for fewer rows than half the dimension, Krylov where only products are known or the dimension exceeds 3000,
    /// else Cholesky
    #[default]
    Auto,
    /// A Cholesky factorization of `H + lambda B` per trial
    Cholesky,
    /// One eigendecomposition of `H` relative to `B` per point; a trial then costs two products with a square matrix
    Eigen,
    /// For `H = R^T diag(w) R` with few rows: one eigendecomposition of the order of the rows per point
    Woodbury,
    /// Conjugate gradients on products, preconditioned by `B`: little memory, begins anew at every trial
    Cg,
    /// Lanczos vectors of `H` relative to `B`, kept between trials: the same steps as conjugate gradients, and a trial that
    /// only changes `lambda` costs no product unless it needs more vectors
    Krylov,
}

/// The dimension from which `Auto` prefers products to a matrix.
const LARGE: usize = 3000;

/// How the linear systems are solved, and how well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// The method.
    pub backend: Backend,
    /// Most products per trial (`Cg`) or point (`Krylov`); `None` for twice the dimension.
    pub max_products: Option<usize>,
}

/// What solving took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Systems solved.
    pub solves: usize,
    /// Products with `H`.
    pub products: usize,
    /// Cholesky and eigenvalue decompositions.
    pub factorizations: usize,
}

/// `H` prepared for solves with any damping.
pub struct Solver<'a> {
    metric: &'a Metric,
    kind: Kind<'a>,
    max_products: Option<usize>,
    /// What it took so far.
    pub work: Work,
}

enum Kind<'a> {
    Zero,
    Cholesky(Array),
    Eigen {
        basis: Array,
        values: Array,
    },
    Woodbury(Woodbury),
    Cg(Curvature<'a>),
    Krylov(Curvature<'a>, Option<Krylov>),
    /// The matrix is not finite: no step can come from it.
    Broken,
}

/// With `rows = diag(w)^(1/2) R`, `columns = B^-1 rows^T`, `rows columns = Q S Q^T`:
/// `(H + lambda B)^-1 g = (B^-1 g - columns Q (S + lambda)^-1 Q^T rows B^-1 g) / lambda`.
struct Woodbury {
    /// `Q^T rows`
    left: Array,
    /// `columns Q`
    right: Array,
    values: Array,
    ridge: f64,
}

/// `H` comes in a form that the backend cannot use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "solver `woodbury` needs a Hessian approximation of low rank, plus a penalty only where the metric is the identity; \
     use `cholesky`, `krylov` or `auto`"
)]
pub struct NotLowRank;

impl<'a> Solver<'a> {
    /// Prepares `curvature` at one point, whose gradient has the length and dtype of `like`.
    ///
    /// # Errors
    /// If `Woodbury` is asked for and `curvature` is not of low rank.
    pub fn new(
        curvature: Curvature<'a>,
        metric: &'a Metric,
        linear: Linear,
        like: &Array,
    ) -> Result<Solver<'a>, NotLowRank> {
        let mut solver = Solver {
            metric,
            kind: Kind::Zero,
            max_products: linear.max_products,
            work: Work::default(),
        };
        if matches!(curvature, Curvature::Zero) {
            return Ok(solver);
        }
        let backend = match linear.backend {
            Backend::Auto => choose(&curvature, metric, like.len()),
            chosen => chosen,
        };
        let dense = |work: &mut Work| {
            if matches!(curvature, Curvature::Operator { dense: None, .. }) {
                work.products += like.len();
            }
            curvature.dense(like)
        };
        solver.kind = match backend {
            Backend::Auto | Backend::Cholesky => Kind::Cholesky(dense(&mut solver.work)),
            Backend::Eigen => {
                solver.work.factorizations += 1;
                let pair = metric.joint_eigen(&dense(&mut solver.work)).ok();
                pair.map_or(Kind::Broken, |(basis, values)| Kind::Eigen { basis, values })
            }
            Backend::Woodbury => match &curvature {
                Curvature::Gram { rows, weights, ridge }
                    if *ridge == 0.0 || metric.is_identity() =>
                {
                    solver.work.factorizations += 1;
                    Woodbury::new(rows, weights, *ridge, metric)
                        .map_or(Kind::Broken, Kind::Woodbury)
                }
                _ => return Err(NotLowRank),
            },
            Backend::Cg => Kind::Cg(curvature),
            Backend::Krylov => Kind::Krylov(curvature, None),
        };
        Ok(solver)
    }

    /// `-(H + lambda B)^-1 g`; `None` if the matrix is not positive definite as far as was seen, or the step not finite.
    ///
    /// Of `Krylov`, all calls must pass the same gradient.
    pub fn step(&mut self, gradient: &Array, lambda: f64) -> Option<Array> {
        self.work.solves += 1;
        let most = self.max_products.unwrap_or(2 * gradient.len()).max(1);
        let step = match &mut self.kind {
            Kind::Broken => return None,
            Kind::Zero => self.metric.solve(gradient) * (-1.0 / lambda),
            Kind::Cholesky(matrix) => {
                self.work.factorizations += 1;
                let factor = self.metric.damp(matrix, lambda).cholesky().ok()?;
                -factor.cholesky_solve(gradient)
            }
            Kind::Eigen { basis, values } => {
                let damped = &*values + lambda;
                let least = damped.min_all().item();
                if least.is_nan() || least <= 0.0 {
                    return None;
                }
                -basis.matmul(&(basis.t().matmul(gradient) / damped))
            }
            Kind::Woodbury(woodbury) => woodbury.step(&self.metric.solve(gradient), lambda),
            Kind::Cg(curvature) => {
                let (step, products) =
                    conjugate_gradients(curvature, self.metric, gradient, lambda, most);
                self.work.products += products;
                step?
            }
            Kind::Krylov(curvature, space) => {
                let space = space.get_or_insert_with(|| Krylov::new(self.metric, gradient));
                let before = space.len();
                let step = space.step(curvature, self.metric, lambda, most);
                self.work.products += space.len() - before;
                step?
            }
        };
        step.all_finite().then_some(step)
    }
}

fn choose(curvature: &Curvature<'_>, metric: &Metric, n: usize) -> Backend {
    match curvature {
        Curvature::Gram { rows, ridge, .. }
            if 2 * rows.dim(0) <= n && (*ridge == 0.0 || metric.is_identity()) =>
        {
            Backend::Woodbury
        }
        Curvature::Operator { dense: None, .. } => Backend::Krylov,
        _ if n > LARGE => Backend::Krylov,
        _ => Backend::Cholesky,
    }
}

impl Woodbury {
    fn new(rows: &Array, weights: &Array, ridge: f64, metric: &Metric) -> Option<Woodbury> {
        let rows = rows * weights.sqrt().unsqueeze(1);
        let columns = metric.solve_rows(&rows);
        let inner = rows.matmul(&columns);
        let (values, vectors) = ((inner.t() + inner) * 0.5).eigh().ok()?;
        // Rounding may take the zeros of a semidefinite matrix below zero.
        let values = values.maximum(&values.zeros_like());
        Some(Woodbury {
            left: vectors.t().matmul(&rows),
            right: columns.matmul(&vectors),
            values,
            ridge,
        })
    }

    fn step(&self, solved: &Array, lambda: f64) -> Array {
        let damping = lambda + self.ridge;
        let inner = self.left.matmul(solved) / (&self.values + damping);
        (self.right.matmul(&inner) - solved) * (1.0 / damping)
    }
}

/// The smallest relative difference of floats of a dtype.
pub(super) fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F32 => f64::from(f32::EPSILON),
        DType::F16 => 2f64.powi(-10),
        _ => 2f64.powi(-7),
    }
}

#[cfg(test)]
mod tests {
    use lisse_array::Stream;

    use super::*;

    fn random_metrics(stream: Stream, n: usize) -> Vec<Metric> {
        let weights = stream.child("weights").uniform(&[n], DType::F64) + 0.1;
        let a = stream.child("metric").normal(&[n + 3, n], DType::F64);
        vec![
            Metric::identity(),
            Metric::diagonal(&weights).unwrap(),
            Metric::normal(&a, 1e-2).unwrap(),
        ]
    }

    fn solve(
        curvature: Curvature<'_>,
        metric: &Metric,
        backend: Backend,
        g: &Array,
        lambda: f64,
    ) -> Array {
        let linear = Linear { backend, max_products: None };
        Solver::new(curvature, metric, linear, g).unwrap().step(g, lambda).unwrap()
    }

    #[test]
    fn woodbury_and_eigen_are_cholesky() {
        let n = 9;
        for seed in 0..3 {
            let stream = Stream::new(seed);
            let g = stream.child("g").normal(&[n], DType::F64);
            for rank in [1, 4, 12] {
                let rows = stream.child("rows").normal(&[rank, n], DType::F64);
                let weights = stream.child("w").uniform(&[rank], DType::F64);
                for metric in random_metrics(stream, n) {
                    for lambda in [10.0, 0.3, 1e-3] {
                        let ridge = if metric.is_identity() { 0.2 } else { 0.0 };
                        let gram = || Curvature::Gram {
                            rows: rows.clone(),
                            weights: weights.clone(),
                            ridge,
                        };
                        let exact = solve(gram(), &metric, Backend::Cholesky, &g, lambda);
                        let size = exact.abs().max_all().item();
                        for backend in [Backend::Woodbury, Backend::Eigen, Backend::Auto] {
                            let other = solve(gram(), &metric, backend, &g, lambda);
                            let error = (&other - &exact).abs().max_all().item() / size;
                            assert!(
                                error < 1e-9,
                                "{backend:?} rank {rank} lambda {lambda}: {error:e}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_alone_reach_the_stated_residual_and_trials_share_vectors() {
        let n = 30;
        let stream = Stream::new(7);
        let rows = stream.child("rows").normal(&[40, n], DType::F64);
        let matrix = rows.t().matmul(&rows);
        let g = stream.child("g").normal(&[n], DType::F64) * 1e-3;
        for metric in random_metrics(stream, n) {
            let norm = metric.dual_norm(&g);
            let tolerance = norm * norm.sqrt().min(0.1) * (1.0 + 1e-9);
            for backend in [Backend::Cg, Backend::Krylov] {
                let operator = || Curvature::Operator {
                    product: Box::new(|v: &Array| matrix.matmul(v)),
                    dense: None,
                };
                let linear = Linear { backend, max_products: None };
                let mut solver = Solver::new(operator(), &metric, linear, &g).unwrap();
                let mut last = usize::MAX;
                for lambda in [0.01, 1.0, 100.0] {
                    let d = solver.step(&g, lambda).unwrap();
                    let residual = matrix.matmul(&d).add_scaled(lambda, &metric.apply(&d)) + &g;
                    assert!(metric.dual_norm(&residual) <= tolerance, "{backend:?} {lambda}");
                    if backend == Backend::Krylov && last != usize::MAX {
                        // More damping needs no further vectors.
                        assert_eq!(solver.work.products, last);
                    }
                    last = solver.work.products;
                }
            }
        }
    }

    #[test]
    fn indefinite_matrices_are_refused_until_damped() {
        let matrix = Array::from_slice(&[1.0f64, 0.0, 0.0, -2.0], &[2, 2]);
        let g = Array::from_slice(&[1.0f64, 1.0], &[2]);
        let metric = Metric::identity();
        for backend in [Backend::Cholesky, Backend::Eigen, Backend::Cg, Backend::Krylov] {
            let linear = Linear { backend, max_products: None };
            let mut solver =
                Solver::new(Curvature::Dense(matrix.clone()), &metric, linear, &g).unwrap();
            assert!(solver.step(&g, 1.0).is_none(), "{backend:?}");
            assert!(solver.step(&g, 3.0).is_some(), "{backend:?}");
        }
        let linear = Linear { backend: Backend::Woodbury, max_products: None };
        assert!(Solver::new(Curvature::Dense(matrix), &metric, linear, &g).is_err());
        // A matrix that is not finite gives no step, and no panic.
        let nan = Array::full(&[2, 2], f64::NAN, DType::F64);
        for backend in [Backend::Cholesky, Backend::Eigen, Backend::Cg, Backend::Krylov] {
            let linear = Linear { backend, max_products: None };
            let mut solver =
                Solver::new(Curvature::Dense(nan.clone()), &metric, linear, &g).unwrap();
            assert!(solver.step(&g, 1.0).is_none(), "{backend:?}");
        }
    }
}
