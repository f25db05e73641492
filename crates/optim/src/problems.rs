//! Test functions with known optima: value, dimension, starting point, minimizer.
//!
//! Derivatives come from [`lisse_array`], so a function is written once.

use lisse_array::{Array, DType};

/// A smooth function of a vector with a known minimum.
pub struct Problem {
    /// Short name.
    pub name: &'static str,
    /// The function.
    pub function: Box<dyn Fn(&Array) -> Array + Send + Sync>,
    /// The usual starting point.
    pub start: Vec<f64>,
    /// Its minimal value.
    pub minimum: f64,
    /// The minimizers, all of them where there are several; empty if only the value is known.
    pub minimizers: Vec<Vec<f64>>,
    /// Where the function comes from.
    pub source: &'static str,
}

impl Problem {
    /// Dimension.
    pub fn dim(&self) -> usize {
        self.start.len()
    }

    /// The starting point as an f64 vector.
    pub fn start(&self) -> Array {
        Array::from_slice(&self.start, &[self.dim()])
    }

    /// Largest coordinate distance from `x` to the nearest known minimizer.
    pub fn distance(&self, x: &[f64]) -> f64 {
        let to = |m: &Vec<f64>| m.iter().zip(x).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        self.minimizers.iter().map(to).fold(f64::INFINITY, f64::min)
    }
}

/// The coordinate `i` of a vector, as a scalar.
fn at(x: &Array, i: usize) -> Array {
    x.index(0, i)
}

/// Rosenbrock's valley: `sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2`, minimum 0 at ones.
///
/// Rosenbrock, The Computer Journal 3 (1960).
pub fn rosenbrock(dim: usize) -> Problem {
    assert!(dim >= 2, "rosenbrock: needs at least two dimensions, got {dim}");
    Problem {
        name: if dim == 2 { "rosenbrock" } else { "rosenbrock_n" },
        function: Box::new(move |x| {
            let (head, tail) = (x.narrow(0, 0, dim - 1), x.narrow(0, 1, dim - 1));
            ((tail - head.square()).square() * 100.0 + (1.0 - head).square()).sum_all()
        }),
        start: (0..dim).map(|i| if i % 2 == 0 { -1.2 } else { 1.0 }).collect(),
        minimum: 0.0,
        minimizers: vec![vec![1.0; dim]],
        source: "Rosenbrock 1960",
    }
}

/// Himmelblau's function `(x^2 + y - 11)^2 + (x + y^2 - 7)^2`, with four minima of value 0.
///
/// Himmelblau, Applied Nonlinear Programming (1972).
pub fn himmelblau() -> Problem {
    Problem {
        name: "himmelblau",
        function: Box::new(|v| {
            let (x, y) = (at(v, 0), at(v, 1));
            (x.square() + &y - 11.0).square() + (x + y.square() - 7.0).square()
        }),
        start: vec![0.0, 0.0],
        minimum: 0.0,
        minimizers: vec![
            vec![3.0, 2.0],
            vec![-2.805118086952745, 3.131312518250573],
            vec![-3.779310253377747, -3.28318599128617],
            vec![3.584428340330492, -1.848126526964404],
        ],
        source: "Himmelblau 1972",
    }
}

/// Beale's function, flat in a curved valley; minimum 0 at (3, 1/2).
pub fn beale() -> Problem {
    Problem {
        name: "beale",
        function: Box::new(|v| {
            let (x, y) = (at(v, 0), at(v, 1));
            let term = |c: f64, p: Array| (&x * (p - 1.0) + c).square();
            term(1.5, y.clone()) + term(2.25, y.square()) + term(2.625, y.square() * &y)
        }),
        start: vec![1.0, 1.0],
        minimum: 0.0,
        minimizers: vec![vec![3.0, 0.5]],
        source: "Beale 1958",
    }
}

/// Powell's singular function, whose Hessian is singular at the minimum 0 at the origin.
pub fn powell_singular() -> Problem {
    Problem {
        name: "powell_singular",
        function: Box::new(|v| {
            let x = |i| at(v, i);
            (x(0) + x(1) * 10.0).square()
                + (x(2) - x(3)).square() * 5.0
                + (x(1) - x(2) * 2.0).square().square()
                + (x(0) - x(3)).square().square() * 10.0
        }),
        start: vec![3.0, -1.0, 0.0, 1.0],
        minimum: 0.0,
        minimizers: vec![vec![0.0; 4]],
        source: "Powell 1962",
    }
}

/// A quadratic `sum_i d_i (x_i - 1)^2 / 2` in coordinates mixed by a reflection, its eigenvalues spread evenly in logarithm from 1 to `condition`.
pub fn quadratic(dim: usize, condition: f64) -> Problem {
    let last = dim.max(2) as f64 - 1.0;
    let eigenvalues: Vec<f64> = (0..dim).map(|i| condition.powf(i as f64 / last)).collect();
    let eigenvalues = Array::from_vec(eigenvalues, &[dim]);
    // Householder reflection along a fixed vector: orthogonal, and nothing to store.
    let axis: Vec<f64> = (0..dim).map(|i| (1.3 * i as f64).sin() + 0.2).collect();
    let length = axis.iter().map(|a| a * a).sum::<f64>().sqrt();
    let axis = Array::from_vec(axis, &[dim]) * (1.0 / length);
    Problem {
        name: if condition < 1e3 { "quadratic_mild" } else { "quadratic_stiff" },
        function: Box::new(move |x| {
            let d = x - 1.0;
            let along = (&axis * &d).sum_all();
            let mixed = d - &axis * along * 2.0;
            (mixed.square() * &eigenvalues).sum_all() * 0.5
        }),
        start: (0..dim).map(|i| if i % 2 == 0 { -1.0 } else { 2.0 }).collect(),
        minimum: 0.0,
        minimizers: vec![vec![1.0; dim]],
        source: "condition number as given",
    }
}

/// Logistic regression with an L2 penalty: `mean_i ln(1 + exp(-y_i x_i'w)) + l2 |w|^2 / 2` for labels of -1 and 1 and inputs of
/// shape `[n, d]`; the last weight is the intercept and is penalised too. `minimum` is what a solver of other make found.
pub fn logistic_regression(inputs: &Array, labels: &Array, l2: f64, minimum: f64) -> Problem {
    let ones = Array::ones(&[inputs.dim(0), 1], DType::F64);
    let inputs = Array::cat(&[&inputs.cast(DType::F64), &ones], 1);
    let signed = inputs * labels.cast(DType::F64).unsqueeze(1);
    let dim = signed.dim(1);
    Problem {
        name: "logistic_breast_cancer",
        function: Box::new(move |w| {
            (-signed.matmul(w)).softplus().mean_all() + w.square().sum_all() * (0.5 * l2)
        }),
        start: vec![0.0; dim],
        minimum,
        minimizers: Vec::new(),
        source: "Wolberg et al. 1993 (UCI breast cancer)",
    }
}

/// The closed-form test functions.
pub fn all() -> Vec<Problem> {
    vec![
        rosenbrock(2),
        rosenbrock(10),
        himmelblau(),
        beale(),
        powell_singular(),
        quadratic(20, 1e2),
        quadratic(20, 1e4),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::minimize::Method;
    use crate::{GradientDescent, Lbfgs, NewtonCg, Options, Stop, minimize};
    use lisse_array::{check, grad};

    #[test]
    fn minimizers_and_derivatives_are_as_stated() {
        for problem in all() {
            for minimizer in &problem.minimizers {
                let x = Array::from_slice(minimizer, &[problem.dim()]);
                assert!(
                    ((problem.function)(&x).item() - problem.minimum).abs() < 1e-20,
                    "{}",
                    problem.name
                );
                assert!(
                    grad(&problem.function)(&x).abs().max_all().item() < 1e-9,
                    "{}",
                    problem.name
                );
            }
            check::gradient(&problem.function, &problem.start(), 2)
                .unwrap_or_else(|e| panic!("{}: {e}", problem.name));
        }
    }

    /// Every method on every problem.
    #[test]
    fn the_table_of_methods_solves_the_table_of_problems() {
        let methods: Vec<(&str, Box<dyn Method>, usize)> = vec![
            ("gradient descent", Box::new(GradientDescent::default()), 200_000),
            ("L-BFGS", Box::new(Lbfgs::default()), 1000),
            ("Newton-CG", Box::new(NewtonCg::default()), 100),
        ];
        for problem in all() {
            for (name, method, max_iterations) in &methods {
                let options = Options {
                    gradient_tolerance: 1e-7,
                    max_iterations: *max_iterations,
                    max_evaluations: 1_000_000,
                    bounds: None,
                };
                let best = minimize(&problem.function, &problem.start(), method.as_ref(), &options)
                    .unwrap();
                let what = format!(
                    "{name} on {}: {:?} after {}",
                    problem.name, best.stop, best.iterations
                );
                assert_eq!(best.stop, Stop::Converged, "{what}");
                // The singular problem is flat: a small gradient allows a far point.
                let near = if problem.name == "powell_singular" { 1e-1 } else { 1e-4 };
                assert!(problem.distance(&best.x.to_vec::<f64>()) < near, "{what}: {:?}", best.x);
                assert!(best.value - problem.minimum < 1e-6, "{what}");
            }
        }
    }

    #[test]
    fn bounds_are_kept_and_the_constrained_minimum_is_found() {
        // Rosenbrock within [-2, 0.5]^2: the minimum is at (0.5, 0.25), on a bound.
        let problem = rosenbrock(2);
        let bounds = (Array::full(&[2], -2.0, DType::F64), Array::full(&[2], 0.5, DType::F64));
        let methods: [(&str, Box<dyn Method>); 3] = [
            ("gradient descent", Box::new(GradientDescent::default())),
            ("L-BFGS", Box::new(Lbfgs::default())),
            ("Newton-CG", Box::new(NewtonCg::default())),
        ];
        for (name, method) in methods {
            let options = Options {
                bounds: Some(bounds.clone()),
                max_iterations: 50_000,
                ..Options::default()
            };
            let best =
                minimize(&problem.function, &problem.start(), method.as_ref(), &options).unwrap();
            let x = best.x.to_vec::<f64>();
            assert_eq!(best.stop, Stop::Converged, "{name}: gradient {:e}", best.gradient);
            assert!((x[0] - 0.5).abs() < 1e-9 && (x[1] - 0.25).abs() < 1e-5, "{x:?}");
        }
    }

    #[test]
    fn bad_arguments_are_named() {
        let f = |x: &Array| x.square().sum_all();
        let start = Array::from_slice(&[1.0, f64::NAN], &[2]);
        let error = minimize(f, &start, &Lbfgs::default(), &Options::default()).unwrap_err();
        assert_eq!(error.to_string(), "the starting point is not finite at coordinate 1: NaN");
        let bounds = (Array::from_slice(&[0.0, 2.0], &[2]), Array::from_slice(&[1.0, 1.0], &[2]));
        let options = Options { bounds: Some(bounds), ..Options::default() };
        let error =
            minimize(f, &Array::ones(&[2], DType::F64), &Lbfgs::default(), &options).unwrap_err();
        assert_eq!(error.to_string(), "bounds of coordinate 1 are empty: lower 2 exceeds upper 1");
        let nan = minimize(
            |x: &Array| x.ln().sum_all(),
            &Array::from_slice(&[-1.0], &[1]),
            &Lbfgs::default(),
            &Options::default(),
        );
        assert_eq!(nan.unwrap().stop, Stop::NotFinite);
    }
}
