//! Problems with known solutions and derivatives, times the methods that solve them.

use lisse_array::{Array, DType, Tree, check, grad, jacobian};

use super::{close, matrix, vector};
use crate::projection;
use crate::proximal;
use crate::solvers::*;

/// A problem with parameters, its solution and its Jacobian there, and methods for it.
struct Problem {
    name: &'static str,
    start: Array,
    theta: Array,
    solution: Vec<f64>,
    /// `dx/dtheta`, row by row.
    jacobian: Vec<f64>,
    methods: Vec<(&'static str, Box<dyn Solver<Array>>)>,
}

fn rows(values: &'static [f64], rows: usize) -> Array {
    matrix(values, rows)
}

const RIDGE_X: &[f64] = &[1.0, 0.0, 1.0, 1.0, 0.0, 2.0, 2.0, -1.0];
const RIDGE_Y: &[f64] = &[1.0, 2.0, 0.0, 3.0];
const LASSO_X: &[f64] =
    &[1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 2.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0, 2.0];
const LASSO_Y: &[f64] = &[2.0, 1.0, 1.5, 2.0, 1.0];

fn ridge_value(w: &Array, lambda: &Array) -> Array {
    let r = rows(RIDGE_X, 4).matmul(w) - vector(RIDGE_Y);
    r.square().sum_all() * 0.125 + lambda * w.square().sum_all() * 0.5
}

fn ridge_gradient(w: &Array, lambda: &Array) -> Array {
    let x = rows(RIDGE_X, 4);
    x.t().matmul(&(x.matmul(w) - vector(RIDGE_Y))) * 0.25 + lambda * w
}

fn ridge_residual(w: &Array, lambda: &Array) -> Array {
    let r = (rows(RIDGE_X, 4).matmul(w) - vector(RIDGE_Y)) * 0.5;
    Array::cat(&[&r, &(w * lambda.sqrt())], 0)
}

fn boxed<S: Solver<Array> + 'static>(
    name: &'static str,
    solver: S,
) -> (&'static str, Box<dyn Solver<Array>>) {
    (name, Box::new(solver))
}

const TIGHT: f64 = 1e-11;

fn ridge() -> Problem {
    let blocks = |tall: bool| {
        BlockCoordinateDescent::new(
            |_: &Array| rows(RIDGE_X, 4),
            |p: &Array, _: &Array| (p - vector(RIDGE_Y).unsqueeze(1)).square().sum_all() * 0.125,
            |v: &Array, lambda: &Array, steps: &Array, _| proximal::ridge(v, &(steps * lambda)),
            if tall { 0.25 } else { 0.5 },
        )
        .limits(TIGHT, 2000)
    };
    // Blocks are rows of a matrix: the vector goes in and out as a column.
    let column = ColumnOf(blocks(true));
    let with_prox = || {
        ProximalGradient::new(
            |w: &Array, _: &Array| ridge_value(w, &Array::scalar(0.0f64)),
            |v: &Array, lambda: &Array, s: f64| proximal::ridge(v, &(lambda * s)),
        )
        .limits(TIGHT, 5000)
    };
    let descent = || ProximalGradient::descent(ridge_value).limits(TIGHT, 5000);
    let map = |w: &Array, lambda: &Array| w - ridge_gradient(w, lambda) * 0.4;
    let map2 = |w: &Array, lambda: &Array| w - ridge_gradient(w, lambda) * 0.3;
    let minimizer = |d| Minimizer::new(ridge_value).direction(d).limits(TIGHT, 500);
    Problem {
        name: "ridge",
        start: vector(&[0.0, 0.0]),
        theta: Array::scalar(0.5f64),
        solution: vec![1.12698413, 0.01587302],
        jacobian: vec![-0.57344419, -0.07961703],
        methods: vec![
            boxed("fista", descent()),
            boxed("gradient", descent().plain()),
            boxed("fixed step", descent().plain().step(StepRule::Fixed(0.4))),
            boxed("proximal", with_prox()),
            boxed("proximal plain", with_prox().plain()),
            boxed(
                "mirror",
                MirrorDescent::new(
                    ridge_value,
                    Array::clone,
                    |u: &Array, _: &Array| u.clone(),
                    0.4,
                )
                .limits(TIGHT, 5000),
            ),
            boxed("blocks", column),
            boxed("l-bfgs", minimizer(Direction::Lbfgs(10))),
            boxed("bfgs", minimizer(Direction::Bfgs)),
            boxed("conjugate gradients", minimizer(Direction::ConjugateGradients)),
            boxed("levenberg-marquardt", LeastSquares::new(ridge_residual).limits(TIGHT, 100)),
            boxed("gauss-newton", LeastSquares::gauss_newton(ridge_residual).limits(TIGHT, 100)),
            boxed("newton", Newton::stationary(ridge_value).limits(TIGHT, 50)),
            boxed("broyden", Broyden::new(ridge_gradient).limits(TIGHT, 100)),
            boxed(
                "broyden from identity",
                Broyden::new(ridge_gradient).limits(TIGHT, 200).start_from_identity(),
            ),
            boxed("picard", FixedPoint::new(map).limits(TIGHT, 2000)),
            boxed("anderson", Anderson::new(map2).limits(TIGHT, 200)),
        ],
    }
}

/// A solver of columns as a solver of vectors.
struct ColumnOf(BlockCoordinateDescent<Array>);

impl Solver<Array> for ColumnOf {
    fn run(&self, start: &Array, theta: &Array) -> Result<Solution, SolverError> {
        let mut solution = self.0.run(&start.unsqueeze(1), theta)?;
        solution.x = solution.x.squeeze(1);
        Ok(solution)
    }
    fn condition(&self) -> crate::implicit::Condition<Array, Array> {
        let inner = self.0.condition();
        crate::implicit::Condition::root(move |x: &Array, theta: &Array| {
            inner.residual(&x.unsqueeze(1), theta).squeeze(1)
        })
    }
}

fn lasso_loss(w: &Array, _: &Array) -> Array {
    (rows(LASSO_X, 5).matmul(w) - vector(LASSO_Y)).square().sum_all() * 0.1
}

fn lasso_step(w: &Array, lambda: &Array, eta: f64) -> Array {
    let x = rows(LASSO_X, 5);
    let gradient = x.t().matmul(&(x.matmul(w) - vector(LASSO_Y))) * 0.2;
    proximal::l1(&(w - gradient * eta), &(lambda * eta))
}

/// The lasso at two penalties: the path is linear between them.
fn lasso(lambda: f64, solution: [f64; 3]) -> Problem {
    let soft = |v: &Array, lambda: &Array, s: f64| proximal::l1(v, &(lambda * s));
    let fista = move || ProximalGradient::new(lasso_loss, soft).limits(TIGHT, 20_000);
    let blocks = BlockCoordinateDescent::new(
        |_: &Array| rows(LASSO_X, 5),
        |p: &Array, _: &Array| (p - vector(LASSO_Y).unsqueeze(1)).square().sum_all() * 0.1,
        |v: &Array, lambda: &Array, steps: &Array, _| proximal::l1(v, &(steps * lambda)),
        0.2,
    );
    Problem {
        name: "lasso",
        start: vector(&[0.0; 3]),
        theta: Array::scalar(lambda),
        solution: solution.to_vec(),
        jacobian: vec![-0.68627451, -0.29411765, 0.0],
        methods: vec![
            boxed("fista", fista()),
            boxed("ista", fista().plain()),
            boxed("fista, other eta", fista().eta(0.17)),
            boxed("blocks", ColumnOf(blocks.limits(TIGHT, 5000))),
            boxed(
                "picard",
                FixedPoint::new(|w: &Array, l: &Array| lasso_step(w, l, 0.3)).limits(TIGHT, 5000),
            ),
            boxed(
                "anderson",
                Anderson::new(|w: &Array, l: &Array| lasso_step(w, l, 0.3)).limits(TIGHT, 500),
            ),
            boxed("program", LassoProgram),
        ],
    }
}

/// The lasso as a quadratic program in the positive and negative parts of the coefficients.
struct LassoProgram;

impl LassoProgram {
    fn program(lambda: &Array) -> QuadraticProgram {
        let x = rows(LASSO_X, 5);
        let h = x.t().matmul(&x) * 0.2;
        let b = x.t().matmul(&vector(LASSO_Y)) * 0.2;
        let top = Array::cat(&[&h, &-&h], 1);
        QuadraticProgram {
            p: Array::cat(&[&top, &-&top], 0),
            q: Array::cat(&[&(lambda - &b), &(lambda + &b)], 0),
            a: Array::eye(6, DType::F64),
            lower: Array::zeros(&[6], DType::F64),
            upper: Array::full(&[6], f64::INFINITY, DType::F64),
        }
    }
}

impl Solver<Array> for LassoProgram {
    fn run(&self, start: &Array, theta: &Array) -> Result<Solution, SolverError> {
        let best = quadratic_program(&LassoProgram::program(theta), &QpOptions::default())?;
        let x = best.x.narrow(0, 0, 3) - best.x.narrow(0, 3, 3);
        assert_eq!(x.shape(), start.shape());
        Ok(Solution {
            x,
            stop: best.stop,
            iterations: best.iterations,
            error: best.dual_residual,
            counts: Counts::default(),
            history: Vec::new(),
        })
    }
    fn condition(&self) -> crate::implicit::Condition<Array, Array> {
        unreachable!("the program differentiates itself")
    }
    fn solve(&self, start: &Array, theta: &Array, _: &Derivative) -> Result<Solution, SolverError> {
        self.run(start, theta)
    }
}

fn distance(x: &Array, c: &Array) -> Array {
    (x - c).square().sum_all() * 0.5
}

/// The nearest point of the simplex.
fn on_the_simplex() -> Problem {
    let (on, off) = (2.0 / 3.0, -1.0 / 3.0);
    let project = |v: &Array, _: &Array| projection::simplex(v, &Array::scalar(1.0f64)).unwrap();
    Problem {
        name: "simplex",
        start: vector(&[0.25; 4]),
        theta: vector(&[0.9, 0.5, 0.3, -0.2]),
        solution: vec![2.0 / 3.0, 0.8 / 3.0, 0.2 / 3.0, 0.0],
        jacobian: vec![on, off, off, 0.0, off, on, off, 0.0, off, off, on, 0.0, 0.0, 0.0, 0.0, 0.0],
        methods: vec![
            boxed("projected", ProximalGradient::projected(distance, project).limits(TIGHT, 500)),
            boxed("mirror", MirrorDescent::simplex(distance, 1.0).limits(TIGHT, 20_000)),
        ],
    }
}

/// A quadratic whose solution lies on two of the bounds.
fn in_a_box() -> Problem {
    let curved = |x: &Array, c: &Array| {
        let p = matrix(&[2.0, 0.5, 0.0, 0.5, 1.0, 0.3, 0.0, 0.3, 1.5], 3);
        x.matmul(&p.matmul(x)) * 0.5 + (x * c).sum_all()
    };
    let clip = |v: &Array, _: &Array| {
        projection::boxed(v, &Array::scalar(0.0f64), &Array::scalar(1.0f64)).unwrap()
    };
    // x = (?, 1, 0): 2 x_1 + 0.5 - 1 = 0.
    Problem {
        name: "box",
        start: vector(&[0.9, 0.2, 0.6]),
        theta: vector(&[-1.0, -3.0, 2.0]),
        solution: vec![0.25, 1.0, 0.0],
        jacobian: vec![-0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        methods: vec![
            boxed("projected", ProximalGradient::projected(curved, clip).limits(TIGHT, 2000)),
            boxed(
                "l-bfgs-b",
                Minimizer::new(curved)
                    .within(vector(&[0.0; 3]), vector(&[1.0; 3]))
                    .limits(TIGHT, 500),
            ),
            boxed("coordinates", BoxProgram),
        ],
    }
}

struct BoxProgram;

impl Solver<Array> for BoxProgram {
    fn run(&self, _: &Array, theta: &Array) -> Result<Solution, SolverError> {
        let p = matrix(&[2.0, 0.5, 0.0, 0.5, 1.0, 0.3, 0.0, 0.3, 1.5], 3);
        let (low, high) = (vector(&[0.0; 3]), vector(&[1.0; 3]));
        let best = box_quadratic_program(&p, theta, &low, &high, &BoxQpOptions::default())?;
        Ok(Solution {
            x: best.x,
            stop: best.stop,
            iterations: best.iterations,
            error: best.dual_residual,
            counts: Counts::default(),
            history: Vec::new(),
        })
    }
    fn condition(&self) -> crate::implicit::Condition<Array, Array> {
        unreachable!("the program differentiates itself")
    }
    fn solve(&self, start: &Array, theta: &Array, _: &Derivative) -> Result<Solution, SolverError> {
        self.run(start, theta)
    }
}

/// `x_1^2 + x_2^2 = theta, x_1 = x_2`.
fn circle() -> Problem {
    let f = |x: &Array, t: &Array| {
        let (a, b) = (x.narrow(0, 0, 1), x.narrow(0, 1, 1));
        Array::cat(&[&(a.square() + b.square() - t), &(&a - &b)], 0)
    };
    Problem {
        name: "circle",
        start: vector(&[2.0, 0.3]),
        theta: vector(&[2.0]),
        solution: vec![1.0, 1.0],
        jacobian: vec![0.25, 0.25],
        methods: vec![boxed("newton", Newton::new(f)), boxed("broyden", Broyden::new(f))],
    }
}

/// `x^3 = theta`.
fn cube_root() -> Problem {
    let f = |x: &Array, t: &Array| x.square() * x - t;
    Problem {
        name: "cube root",
        start: vector(&[1.0]),
        theta: vector(&[8.0]),
        solution: vec![2.0],
        jacobian: vec![1.0 / 12.0],
        methods: vec![
            boxed("brent", ScalarRoot::new(f, 0.0, 10.0)),
            boxed("bisection", ScalarRoot::new(f, 0.0, 10.0).bisection()),
            boxed("newton", Newton::new(f)),
            boxed("broyden", Broyden::new(f)),
        ],
    }
}

/// `x = cos(theta x)`.
fn cosine() -> Problem {
    let map = |x: &Array, t: &Array| (x * t).cos();
    let x = 0.7390851332151607f64;
    let slope = -x.sin() * x / (1.0 + x.sin());
    Problem {
        name: "cosine",
        start: vector(&[0.2]),
        theta: vector(&[1.0]),
        solution: vec![x],
        jacobian: vec![slope],
        methods: vec![
            boxed("picard", FixedPoint::new(map).limits(1e-13, 500)),
            boxed("damped", FixedPoint::new(map).limits(1e-13, 500).damping(0.6)),
            boxed("anderson", Anderson::new(map).limits(1e-13, 100)),
            boxed(
                "newton",
                Newton::new(move |x: &Array, t: &Array| x - map(x, t)).limits(1e-13, 50),
            ),
        ],
    }
}

/// `a e^{b t}` through points that lie on such a curve, with their height as parameter.
fn exponential() -> Problem {
    let r = |x: &Array, height: &Array| {
        let t = vector(&[0.0, 0.5, 1.0, 2.0]);
        let model = x.narrow(0, 0, 1) * (x.narrow(0, 1, 1) * &t).exp();
        model - (&t * -0.5).exp() * height
    };
    Problem {
        name: "exponential",
        start: vector(&[1.0, 0.0]),
        theta: vector(&[2.0]),
        solution: vec![2.0, -0.5],
        jacobian: vec![1.0, 0.0],
        methods: vec![
            boxed("levenberg-marquardt", LeastSquares::new(r).limits(1e-12, 100)),
            boxed("gauss-newton", LeastSquares::gauss_newton(r).limits(1e-12, 100)),
            boxed(
                "l-bfgs",
                Minimizer::new(move |x: &Array, h: &Array| r(x, h).square().sum_all() * 0.5)
                    .limits(1e-11, 500),
            ),
            boxed(
                "conjugate gradients",
                Minimizer::new(move |x: &Array, h: &Array| r(x, h).square().sum_all() * 0.5)
                    .direction(Direction::ConjugateGradients)
                    .limits(1e-10, 2000),
            ),
        ],
    }
}

fn problems() -> Vec<Problem> {
    vec![
        ridge(),
        lasso(0.1, [0.7745098, 0.61764706, 0.0]),
        lasso(0.4, [0.56862745, 0.52941176, 0.0]),
        on_the_simplex(),
        in_a_box(),
        circle(),
        cube_root(),
        cosine(),
        exponential(),
    ]
}

#[test]
fn every_method_finds_the_known_solution() {
    for problem in problems() {
        for (method, solver) in &problem.methods {
            let name = format!("{} by {method}", problem.name);
            let found = solver.solve(&problem.start, &problem.theta, &Derivative::Constant);
            let found = found.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(
                found.stop,
                Stop::Converged,
                "{name}: {:?}, error {}",
                found.stop,
                found.error
            );
            close(&name, &found.x, &problem.solution, 1e-8);
            let falls = found.history.windows(2).all(|w| w[0].iteration < w[1].iteration);
            assert!(falls, "{name}: the history is out of order");
        }
    }
}

#[test]
fn every_method_has_the_known_implicit_derivative() {
    for problem in problems() {
        for (method, solver) in &problem.methods {
            let name = format!("{} by {method}", problem.name);
            let solve = |theta: &Array| {
                solver.solve(&problem.start, theta, &Derivative::default()).unwrap().x
            };
            let found = jacobian(solve, &problem.theta).reshape(&[-1]);
            close(&name, &found, &problem.jacobian, 1e-8);
        }
    }
}

#[test]
fn every_implicit_derivative_agrees_with_finite_differences() {
    for problem in problems() {
        for (method, solver) in &problem.methods {
            // Mirror descent takes thousands of steps where a coordinate vanishes: once is enough.
            let order = if *method == "mirror" { 1 } else { 2 };
            let solve = |theta: &Array| {
                solver.solve(&problem.start, theta, &Derivative::default()).unwrap().x
            };
            check::gradient(solve, &problem.theta, order)
                .unwrap_or_else(|e| panic!("{} by {method}: {e}", problem.name));
        }
    }
}

#[test]
fn unrolled_derivatives_end_at_the_implicit_ones() {
    for problem in problems() {
        // Bracketed points are no smooth functions of the parameters, and what mixes steps by frozen coefficients is exact before its
        // derivative is.
        let fast = [
            "brent",
            "bisection",
            "anderson",
            "broyden",
            "broyden from identity",
            "l-bfgs",
            "bfgs",
            "l-bfgs-b",
            "conjugate gradients",
        ];
        let methods = problem.methods.iter().filter(|(m, _)| !fast.contains(m));
        for (method, solver) in methods {
            let name = format!("{} by {method}, unrolled", problem.name);
            let solve = |theta: &Array| {
                solver
                    .solve(&problem.start, theta, &Derivative::Unrolled)
                    .unwrap()
                    .x
                    .sin()
                    .sum_all()
            };
            let expected: f64 = {
                let x = vector(&problem.solution);
                let n = problem.theta.len() as isize;
                let j = vector(&problem.jacobian).reshape(&[-1, n]);
                (x.cos().unsqueeze(1) * j).sum_all().item()
            };
            let found = grad(solve)(&problem.theta).sum_all().item();
            assert!((found - expected).abs() < 1e-4, "{name}: {found} instead of {expected}");
        }
    }
}

#[test]
fn the_derivative_is_a_choice_apart() {
    let problem = ridge();
    let fista = &problem.methods[0].1;
    let with = |derivative: &Derivative| {
        let f = |l: &Array| fista.solve(&problem.start, l, derivative).unwrap().x.sum_all();
        grad(f)(&problem.theta).item()
    };
    let expected = problem.jacobian.iter().sum::<f64>();
    assert!((with(&Derivative::default()) - expected).abs() < 1e-8);
    assert!((with(&Derivative::Unrolled) - expected).abs() < 1e-6);
    assert_eq!(with(&Derivative::Constant), 0.0);
}

#[test]
fn ridge_cotangents_are_the_known_ones() {
    // All arguments at once: penalty, targets, design.
    let theta = (Array::scalar(0.5f64), vector(RIDGE_Y), rows(RIDGE_X, 4));
    let solver = Newton::stationary(|w: &Array, (l, y, x): &(Array, Array, Array)| {
        (x.matmul(w) - y).square().sum_all() * 0.125 + l * w.square().sum_all() * 0.5
    });
    let value = |theta: &(Array, Array, Array)| {
        let w = solver.solve(&vector(&[0.0, 0.0]), theta, &Derivative::default()).unwrap().x;
        (w * vector(&[1.0, -1.0])).sum_all()
    };
    let (l, y, x) = grad(value)(&theta);
    close("penalty", &l.reshape(&[1]), &[-0.49382716], 1e-8);
    close("targets", &y, &[0.11111111, 0.0, -0.22222222, 0.33333333], 1e-8);
    let design = [
        -0.13932981,
        0.01234568,
        0.09523810,
        -0.09523810,
        0.24691358,
        0.00705467,
        -0.29100529,
        -0.08994709,
    ];
    close("design", &x, &design, 1e-8);
    check::gradient(value, &theta, 2).unwrap();
}

#[test]
fn blocks_solve_the_dual_of_a_support_vector_machine() {
    // Two classes of two points each; projected gradient and block coordinate descent agree.
    let x = matrix(&[1.0, 0.2, 0.8, -0.1, -0.9, 0.3, -1.1, -0.2], 4);
    let y = matrix(&[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0], 4);
    let (xb, yb) = (x.clone(), y.clone());
    let (xp, yp) = (x.clone(), y.clone());
    let one = || Array::scalar(1.0f64);
    let loss = move |p: &Array, l: &Array| (xb.t().matmul(&yb) - p).square().sum_all() * 0.5 / l;
    let other = y.clone();
    let blocks = BlockCoordinateDescent::new(
        move |_: &Array| x.t(),
        loss,
        move |v: &Array, _: &Array, steps: &Array, range: std::ops::Range<usize>| {
            let gain = 1.0 - other.narrow(0, range.start, range.len());
            projection::simplex(&(v + gain * steps), &one()).unwrap()
        },
        2.0,
    )
    .limits(1e-10, 5000);
    let f = move |b: &Array, l: &Array| {
        let w = xp.t().matmul(&(&yp - b));
        w.square().sum_all() * 0.5 / l - (b * (1.0 - &yp)).sum_all()
    };
    let projected = ProximalGradient::projected(f, |v: &Array, _: &Array| {
        projection::simplex(v, &Array::scalar(1.0f64)).unwrap()
    })
    .limits(1e-10, 20_000);
    let start = y.full_like(0.5);
    let l = Array::scalar(0.5f64);
    let a = blocks.run(&start, &l).unwrap();
    let b = projected.run(&start, &l).unwrap();
    assert_eq!((a.stop, b.stop), (Stop::Converged, Stop::Converged));
    // The weights are unique, the dual variables need not be.
    let weights = |beta: &Array| {
        let x = matrix(&[1.0, 0.2, 0.8, -0.1, -0.9, 0.3, -1.1, -0.2], 4);
        x.t().matmul(&(&y - beta)).to_f64_vec()
    };
    close("weights", &vector(&weights(&a.x)), &weights(&b.x), 1e-7);
}

#[test]
fn results_do_not_depend_on_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let problem = lasso(0.1, [0.0; 3]);
            let all = problem.methods.iter().map(|(_, s)| {
                s.solve(&problem.start, &problem.theta, &Derivative::Constant).unwrap().x
            });
            all.collect::<Vec<Array>>().flatten().to_f64_vec()
        })
    };
    assert_eq!(run(1), run(2));
}
