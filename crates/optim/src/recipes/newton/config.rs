//! The schema, and what it builds.

use std::collections::BTreeMap;

use lisse_array::{Array, DType, Stream};
use lisse_data::{Dataset, Standardizer};
use lisse_run::{Error, Invalid};
use serde::{Deserialize, Serialize};

use crate::gradient_normalized::problems::{
    Chebyshev, LinearEquations, LogSumExp, Logistic, ResidualPower, RosenbrockEquations, Softmax,
    SumOfPowers,
};
use crate::gradient_normalized::{
    Approximation, Backend, BacktrackingGradient, CubicNewton, CurvedProblem, Descent,
    FastGradient, GradientRegularizedNewton, Linear, Metric, Search, Stopping,
    SuperUniversalNewton,
};

/// The schema of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The method of the arm.
    pub method: MethodConfig,
    /// What lengths are measured in.
    #[serde(default)]
    pub metric: MetricConfig,
    /// The problems by name.
    pub problems: BTreeMap<String, ProblemConfig>,
}

/// A problem and when to leave it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProblemConfig {
    /// The function.
    pub function: FunctionConfig,
    /// Its minimal value; found by the exact method if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// Solved when the norm of the gradient is below this.
    pub gradient_tolerance: f64,
    /// Most iterations.
    pub max_iterations: usize,
}

/// The functions by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FunctionConfig {
    /// [`Logistic`] on standardised breast-cancer data with an intercept, from 0
    Logistic {
        /// Penalty.
        l2: f64,
    },
    /// [`Softmax`] on digits with an intercept, from 0
    Softmax {
        /// Penalty.
        l2: f64,
    },
    /// [`LogSumExp`] of random affine functions, shifted to the minimizer 0, from ones
    Logsumexp {
        /// Affine functions.
        rows: usize,
        /// Dimension.
        dim: usize,
        /// Smoothing.
        mu: f64,
    },
    /// [`RosenbrockEquations`] from (-2, 2)
    Rosenbrock {
        /// Power of the residual norm.
        power: f64,
    },
    /// [`Chebyshev`] chain from halves
    Chebyshev {
        /// Dimension.
        dim: usize,
        /// Power of the residual norm.
        power: f64,
    },
    /// [`LinearEquations`] with random coefficients, half as many as unknowns, from ones
    Linear {
        /// Unknowns.
        dim: usize,
        /// Power of the residual norm.
        power: f64,
    },
    /// [`SumOfPowers::difference_chain`] from zeros
    DifferenceChain {
        /// Dimension.
        dim: usize,
        /// Power of the differences.
        power: f64,
    },
}

/// The methods by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodConfig {
    /// [`GradientRegularizedNewton`]
    Gns {
        /// What stands for the Hessian.
        #[serde(default)]
        approximation: Approximation,
        /// First `gamma`.
        #[serde(default = "one")]
        gamma: f64,
        /// Whether `gamma` is searched for.
        #[serde(default = "yes")]
        adaptive: bool,
        /// Factor of `gamma` after an accepted step.
        #[serde(default = "two")]
        growth: f64,
        /// Factor of `gamma` after a rejected step.
        #[serde(default = "half")]
        shrink: f64,
        /// How steps are solved for.
        #[serde(default)]
        solver: Backend,
    },
    /// [`BacktrackingGradient`]
    Gradient {
        /// First Lipschitz constant.
        #[serde(default = "one")]
        smoothness: f64,
    },
    /// [`FastGradient`]
    FastGradient {
        /// First Lipschitz constant.
        #[serde(default = "one")]
        smoothness: f64,
    },
    /// [`SuperUniversalNewton`]
    SuperUniversal {
        /// What stands for the Hessian.
        #[serde(default)]
        approximation: Approximation,
        /// Power of the gradient's norm.
        #[serde(default = "one")]
        alpha: f64,
    },
    /// [`CubicNewton`]
    Cubic {
        /// What stands for the Hessian.
        #[serde(default)]
        approximation: Approximation,
    },
}

fn one() -> f64 {
    1.0
}
fn two() -> f64 {
    2.0
}
fn half() -> f64 {
    0.5
}
fn yes() -> bool {
    true
}

/// What lengths are measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricConfig {
    /// `I`
    #[default]
    Identity,
    /// `A^T A + 1e-8 I` of the problem's matrix `A`; the problem must have one
    Normal,
}

impl MethodConfig {
    pub(super) fn build(&self) -> Box<dyn Descent> {
        match *self {
            MethodConfig::Gns { approximation, gamma, adaptive, growth, shrink, solver } => {
                Box::new(GradientRegularizedNewton {
                    approximation,
                    search: Search { gamma, adaptive, growth, shrink, ..Search::default() },
                    linear: Linear { backend: solver, ..Linear::default() },
                })
            }
            MethodConfig::Gradient { smoothness } => {
                Box::new(BacktrackingGradient { smoothness, ..Default::default() })
            }
            MethodConfig::FastGradient { smoothness } => {
                Box::new(FastGradient { smoothness, ..Default::default() })
            }
            MethodConfig::SuperUniversal { approximation, alpha } => {
                Box::new(SuperUniversalNewton { alpha, approximation, ..Default::default() })
            }
            MethodConfig::Cubic { approximation } => {
                Box::new(CubicNewton { approximation, ..Default::default() })
            }
        }
    }

    fn approximation(&self) -> Approximation {
        match *self {
            MethodConfig::Gns { approximation, .. }
            | MethodConfig::SuperUniversal { approximation, .. }
            | MethodConfig::Cubic { approximation } => approximation,
            MethodConfig::Gradient { .. } | MethodConfig::FastGradient { .. } => {
                Approximation::None
            }
        }
    }
}

/// A problem, where to start, and in what metric.
pub(super) struct Task {
    pub problem: Box<dyn CurvedProblem>,
    pub start: Array,
    pub metric: Metric,
    pub minimum: f64,
    pub stopping: Stopping,
}

/// The matrix of a problem that has one.
type Parts = (Box<dyn CurvedProblem>, Array, Option<Array>);

impl FunctionConfig {
    fn build(&self, stream: Stream) -> Result<Parts, Error> {
        let constant = |value: f64, dim: usize| Array::full(&[dim], value, DType::F64);
        Ok(match *self {
            FunctionConfig::Logistic { l2 } => {
                let data = Dataset::bundled("breast_cancer").map_err(Error::other)?;
                let data = data.cast(DType::F64);
                let scale = Standardizer::fit(&data.inputs).map_err(Error::other)?;
                let inputs = with_intercept(&scale.apply(&data.inputs).map_err(Error::other)?);
                let labels = data.targets.cast(DType::F64) * 2.0 - 1.0;
                let problem = Logistic::new(&inputs, &labels, l2).map_err(Error::other)?;
                let start = constant(0.0, problem.dim());
                (Box::new(problem), start, None)
            }
            FunctionConfig::Softmax { l2 } => {
                let data = Dataset::bundled("digits").map_err(Error::other)?.cast(DType::F64);
                let pixels = data.inputs.reshape(&[data.len() as isize, -1]);
                let inputs = with_intercept(&(&pixels * (1.0 / pixels.max_all().item())));
                let problem = Softmax::new(&inputs, &data.targets, 10, l2).map_err(Error::other)?;
                let start = constant(0.0, problem.dim());
                (Box::new(problem), start, None)
            }
            FunctionConfig::Logsumexp { rows, dim, mu } => {
                let a = stream.child("rows").uniform(&[rows, dim], DType::F64) * 2.0 - 1.0;
                let b = stream.child("offsets").uniform(&[rows], DType::F64) * 2.0 - 1.0;
                let problem = LogSumExp::centred(a, b, mu).map_err(Error::other)?;
                let matrix = problem.rows().clone();
                (Box::new(problem), constant(1.0, dim), Some(matrix))
            }
            FunctionConfig::Rosenbrock { power } => {
                let problem = ResidualPower::new(RosenbrockEquations::default(), power);
                let start = Array::from_slice(&[-2.0, 2.0], &[2]);
                (Box::new(problem.map_err(Error::other)?), start, None)
            }
            FunctionConfig::Chebyshev { dim, power } => {
                let problem = ResidualPower::new(Chebyshev { dim }, power).map_err(Error::other)?;
                (Box::new(problem), constant(0.5, dim), None)
            }
            FunctionConfig::Linear { dim, power } => {
                let rows = dim.div_ceil(2);
                let a = stream.child("rows").normal(&[rows, dim], DType::F64);
                let b = stream.child("offsets").normal(&[rows], DType::F64);
                let equations = LinearEquations::new(a.clone(), b).map_err(Error::other)?;
                let problem = ResidualPower::new(equations, power).map_err(Error::other)?;
                (Box::new(problem), constant(1.0, dim), Some(a))
            }
            FunctionConfig::DifferenceChain { dim, power } => {
                let problem = SumOfPowers::difference_chain(dim, power).map_err(Error::other)?;
                (Box::new(problem), constant(0.0, dim), None)
            }
        })
    }

    fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let count = |ok: bool, key| if ok { Ok(()) } else { Err((key, "at least 1")) };
        let power = |p: f64| {
            let ok = p >= 2.0 && p.is_finite();
            if ok { Ok(()) } else { Err(("power", "a number of at least 2")) }
        };
        match *self {
            FunctionConfig::Logistic { l2 } | FunctionConfig::Softmax { l2 } => {
                let ok = l2 >= 0.0 && l2.is_finite();
                if ok { Ok(()) } else { Err(("l2", "a number of at least 0")) }
            }
            FunctionConfig::Logsumexp { rows, dim, mu } => {
                count(rows > 0, "rows")?;
                count(dim > 0, "dim")?;
                let ok = mu > 0.0 && mu.is_finite();
                if ok { Ok(()) } else { Err(("mu", "a number above 0")) }
            }
            FunctionConfig::Rosenbrock { power: p } => power(p),
            FunctionConfig::Chebyshev { dim, power: p }
            | FunctionConfig::Linear { dim, power: p }
            | FunctionConfig::DifferenceChain { dim, power: p } => {
                count(dim > 0, "dim")?;
                power(p)
            }
        }
    }

    fn has_matrix(&self) -> bool {
        matches!(self, FunctionConfig::Logsumexp { .. } | FunctionConfig::Linear { .. })
    }

    fn approximations(&self) -> &'static [Approximation] {
        match self {
            FunctionConfig::Logistic { .. } | FunctionConfig::Softmax { .. } => {
                &[Approximation::Exact, Approximation::GaussNewton, Approximation::Fisher]
            }
            FunctionConfig::Logsumexp { .. } => {
                &[Approximation::Exact, Approximation::WeightedGaussNewton]
            }
            FunctionConfig::DifferenceChain { .. } => &[Approximation::Exact],
            FunctionConfig::Rosenbrock { .. }
            | FunctionConfig::Chebyshev { .. }
            | FunctionConfig::Linear { .. } => &[
                Approximation::Exact,
                Approximation::Inexact,
                Approximation::GaussNewton,
                Approximation::Fisher,
            ],
        }
    }
}

fn with_intercept(inputs: &Array) -> Array {
    let ones = Array::ones(&[inputs.dim(0), 1], inputs.dtype());
    Array::cat(&[inputs, &ones], 1)
}

impl ProblemConfig {
    pub(super) fn build(&self, metric: MetricConfig, stream: Stream) -> Result<Task, Error> {
        let (problem, start, matrix) = self.function.build(stream)?;
        let metric = match (metric, &matrix) {
            (MetricConfig::Normal, Some(a)) => Metric::normal(a, 1e-8).map_err(Error::other)?,
            _ => Metric::identity(),
        };
        let stopping = Stopping {
            gradient_tolerance: Some(self.gradient_tolerance),
            max_iterations: self.max_iterations,
            ..Stopping::default()
        };
        let minimum = match self.minimum {
            Some(minimum) => minimum,
            None => exact_minimum(problem.as_ref(), &start)?,
        };
        Ok(Task { problem, start, metric, minimum, stopping })
    }
}

/// The value that the exact method ends at.
fn exact_minimum(problem: &dyn CurvedProblem, start: &Array) -> Result<f64, Error> {
    let newton = GradientRegularizedNewton::default();
    let stopping = Stopping { gradient_tolerance: Some(1e-13), ..Stopping::default() };
    let best = crate::gradient_normalized::descend(
        problem,
        start,
        &newton,
        &Metric::identity(),
        &stopping,
    );
    best.map(|best| best.value).map_err(Error::other)
}

impl Config {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        self.method
            .build()
            .check()
            .map_err(|bad| Invalid::new(format!("method.{}", bad.key), bad.expected))?;
        if self.problems.is_empty() {
            return Err(Invalid::new("problems", "at least one problem"));
        }
        for (name, problem) in &self.problems {
            let at = |key: &str| format!("problems.{name}.{key}");
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(Invalid::new("problems", "names of letters, digits and `_`"));
            }
            if let Err((key, expected)) = problem.function.validate() {
                return Err(Invalid::new(at(&format!("function.{key}")), expected));
            }
            if !(problem.gradient_tolerance > 0.0 && problem.gradient_tolerance.is_finite()) {
                return Err(Invalid::new(at("gradient_tolerance"), "a number above 0"));
            }
            if problem.minimum.is_some_and(|f| !f.is_finite()) {
                return Err(Invalid::new(at("minimum"), "a number"));
            }
            if self.metric == MetricConfig::Normal && !problem.function.has_matrix() {
                let expected = "`identity`, or only problems with a matrix (`logsumexp`, `linear`)";
                return Err(Invalid::new("metric", expected));
            }
            let asked = self.method.approximation();
            let has = problem.function.approximations();
            if asked != Approximation::None && !has.contains(&asked) {
                let has = has.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let expected = format!("one that problem `{name}` has ({has}, none)");
                return Err(Invalid::new("method.approximation", expected));
            }
        }
        Ok(())
    }
}
