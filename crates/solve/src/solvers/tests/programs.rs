//! Quadratic programs: known solutions and derivatives, certificates, laws.

use lisse_array::{Array, DType, Stream, check, jacobian};
use proptest::prelude::*;

use super::{close, matrix, vector};
use crate::solvers::*;

const INF: f64 = f64::INFINITY;

/// The parameters `(c, d, h)` of a program with one equation and two inequalities.
fn program((c, d, h): &(Array, Array, Array)) -> QuadraticProgram {
    let open = Array::full(&[2], -INF, DType::F64);
    QuadraticProgram {
        p: matrix(&[2.0, 0.5, 0.5, 1.0], 2),
        q: c.clone(),
        a: matrix(&[1.0, 1.0, 1.0, 0.0, -1.0, 0.0], 3),
        lower: Array::cat(&[d, &open], 0),
        upper: Array::cat(&[d, h], 0),
    }
}

fn known(h1: f64) -> (Array, Array, Array) {
    (vector(&[-1.0, -1.0]), vector(&[1.0]), vector(&[h1, 0.0]))
}

/// `(x, nu, lambda)`
fn solution(theta: &(Array, Array, Array)) -> Array {
    let best = quadratic_program(&program(theta), &QpOptions::default()).unwrap();
    assert_eq!(best.stop, Stop::Converged);
    Array::cat(&[&best.x, &best.y], 0)
}

#[test]
fn the_small_program_has_its_solution_and_derivatives() {
    let theta = known(0.2);
    close("solution", &solution(&theta), &[0.2, 0.8, 0.1, 0.1, 0.0], 1e-11);
    let (c, d, h) = theta.clone();
    let along_h = jacobian(|h: &Array| solution(&(c.clone(), d.clone(), h.clone())), &h);
    close("h", &along_h, &[1.0, 0.0, -1.0, 0.0, 0.5, 0.0, -2.0, 0.0, 0.0, 0.0], 1e-10);
    let along_d = jacobian(|d: &Array| solution(&(c.clone(), d.clone(), h.clone())), &d);
    close("d", &along_d, &[0.0, 1.0, -1.0, 0.5, 0.0], 1e-10);
    let along_c = jacobian(|c: &Array| solution(&(c.clone(), d.clone(), h.clone())), &c);
    close("c", &along_c, &[0.0, 0.0, 0.0, 0.0, 0.0, -1.0, -1.0, 1.0, 0.0, 0.0], 1e-10);
    close("inactive", &solution(&known(0.3)), &[0.25, 0.75, 0.125, 0.0, 0.0], 1e-11);
}

#[test]
fn all_arrays_of_a_program_are_differentiable() {
    let at = program(&known(0.2));
    let theta = (at.p.clone(), at.q.clone(), at.a.clone(), vector(&[1.0]), vector(&[0.2, 0.0]));
    let f = |(p, q, a, d, h): &(Array, Array, Array, Array, Array)| {
        let p = (p + p.t()) * 0.5;
        let open = Array::full(&[2], -INF, DType::F64);
        let lower = Array::cat(&[d, &open], 0);
        let upper = Array::cat(&[d, h], 0);
        let program = QuadraticProgram { p, q: q.clone(), a: a.clone(), lower, upper };
        let best = quadratic_program(&program, &QpOptions::default()).unwrap();
        Array::cat(&[&best.x, &best.y], 0)
    };
    check::gradient(f, &theta, 2).unwrap();
}

#[test]
fn loose_and_exact_settings_agree() {
    let exact = solution(&known(0.2)).to_f64_vec();
    let loose = quadratic_program(&program(&known(0.2)), &QpOptions::osqp()).unwrap();
    assert_eq!(loose.stop, Stop::Converged);
    close("loose", &Array::cat(&[&loose.x, &loose.y], 0), &exact, 2e-2);
    assert!(!loose.polished);
}

#[test]
fn an_infeasible_program_has_a_certificate() {
    let program = QuadraticProgram {
        p: Array::eye(2, DType::F64),
        q: vector(&[0.0, 0.0]),
        a: matrix(&[1.0, 1.0, 1.0, 0.0, 0.0, 1.0], 3),
        lower: vector(&[1.0, -INF, -INF]),
        upper: vector(&[INF, 0.3, 0.4]),
    };
    let found = quadratic_program(&program, &QpOptions::default()).unwrap();
    assert_eq!(found.stop, Stop::PrimalInfeasible);
    let y = found.certificate.unwrap();
    let combined = program.a.t().matmul(&vector(&y));
    assert!(combined.abs().max_all().item() < 1e-5, "{y:?}");
    // u' y+ + l' y-
    let support = y[0].min(0.0) + 0.3 * y[1].max(0.0) + 0.4 * y[2].max(0.0);
    assert!(support < -0.1 && y[0] < 0.0 && y[1] > 0.0 && y[2] > 0.0, "{y:?}");
}

#[test]
fn an_unbounded_program_has_a_direction() {
    let program = QuadraticProgram {
        p: matrix(&[1.0, 0.0, 0.0, 0.0], 2),
        q: vector(&[0.0, -1.0]),
        a: matrix(&[1.0, -1.0], 1),
        lower: vector(&[-INF]),
        upper: vector(&[2.0]),
    };
    let found = quadratic_program(&program, &QpOptions::default()).unwrap();
    assert_eq!(found.stop, Stop::DualInfeasible);
    let d = found.certificate.unwrap();
    assert!(d[1] > 0.9 && d[0].abs() < 1e-5, "{d:?}");
}

#[test]
fn linear_programs_are_programs_too() {
    // min -x - 2y, x + y <= 4, x <= 2, y <= 3, x, y >= 0: the corner (1, 3).
    let lp = QuadraticProgram {
        p: Array::zeros(&[2, 2], DType::F64),
        q: vector(&[-1.0, -2.0]),
        a: matrix(&[1.0, 1.0, 1.0, 0.0, 0.0, 1.0], 3),
        lower: vector(&[-INF, 0.0, 0.0]),
        upper: vector(&[4.0, 2.0, 3.0]),
    };
    let best = quadratic_program(&lp, &QpOptions::default()).unwrap();
    assert_eq!(best.stop, Stop::Converged);
    close("corner", &best.x, &[1.0, 3.0], 1e-9);
    close("prices", &best.y, &[1.0, 0.0, 1.0], 1e-9);
    assert!((best.value + 7.0).abs() < 1e-9);
}

#[test]
fn equality_programs_are_solved_directly() {
    let p = matrix(&[2.0, 0.5, 0.5, 1.0], 2);
    let (q, a, b) = (vector(&[-1.0, -1.0]), matrix(&[1.0, 1.0], 1), vector(&[1.0]));
    let best = equality_quadratic_program(&p, &q, &a, &b).unwrap();
    assert_eq!(best.stop, Stop::Converged);
    close("x", &best.x, &[0.25, 0.75], 1e-12);
    close("y", &best.y, &[0.125], 1e-12);
    let f = |(q, a, b): &(Array, Array, Array)| equality_quadratic_program(&p, q, a, b).unwrap().x;
    check::gradient(f, &(q.clone(), a, b), 2).unwrap();
    // Equations that contradict each other: a combination of them says 0 = -1.
    let twice = matrix(&[1.0, 1.0, 2.0, 2.0], 2);
    let none = equality_quadratic_program(&p, &q, &twice, &vector(&[1.0, 3.0])).unwrap();
    assert_eq!(none.stop, Stop::PrimalInfeasible);
    let y = vector(&none.certificate.unwrap());
    assert!(twice.t().matmul(&y).abs().max_all().item() < 1e-9);
    assert!((y * vector(&[1.0, 3.0])).sum_all().item() < -1e-3);
    // Equations that agree.
    let agree = equality_quadratic_program(&p, &q, &twice, &vector(&[1.0, 2.0])).unwrap();
    close("dependent", &agree.x, &[0.25, 0.75], 1e-10);
    // No lower bound along the equation.
    let flat = Array::zeros(&[2, 2], DType::F64);
    let down = equality_quadratic_program(
        &flat,
        &vector(&[-1.0, 0.0]),
        &matrix(&[1.0, 1.0], 1),
        &vector(&[1.0]),
    );
    assert_eq!(down.unwrap().stop, Stop::DualInfeasible);
}

#[test]
fn programs_without_constraints_are_systems() {
    let program = QuadraticProgram {
        p: matrix(&[2.0, 0.5, 0.5, 1.0], 2),
        q: vector(&[-1.0, -1.0]),
        a: Array::zeros(&[0, 2], DType::F64),
        lower: Array::zeros(&[0], DType::F64),
        upper: Array::zeros(&[0], DType::F64),
    };
    let best = quadratic_program(&program, &QpOptions::default()).unwrap();
    close("free", &best.x, &[2.0 / 7.0, 6.0 / 7.0], 1e-10);
}

#[test]
fn what_is_no_program_is_refused() {
    let message = |change: &dyn Fn(&mut QuadraticProgram)| {
        let mut bad = program(&known(0.2));
        change(&mut bad);
        quadratic_program(&bad, &QpOptions::default()).unwrap_err().to_string()
    };
    assert_eq!(message(&|p| p.q = vector(&[1.0])), "p must have shape [1, 1], not shape [2, 2]");
    assert!(message(&|p| p.q = vector(&[1.0, f64::NAN])).contains("q is not finite at element 1"));
    assert!(message(&|p| p.p = matrix(&[1.0, 2.0, 3.0, 4.0], 2)).contains("must be symmetric"));
    assert!(message(&|p| p.p = matrix(&[-9.0, 0.0, 0.0, -9.0], 2)).contains("not convex"));
    assert_eq!(
        message(&|p| p.lower = vector(&[2.0, 0.0, 0.0])),
        "the bounds of row 0 are empty: lower 2, upper 1"
    );
    assert!(message(&|p| p.a = p.a.cast(DType::F32)).contains("a must be f64"));
    let options = QpOptions { relaxation: 2.5, ..QpOptions::default() };
    let error = quadratic_program(&program(&known(0.2)), &options).unwrap_err().to_string();
    assert_eq!(error, "relaxation must be between 0 and 2, not 2.5");
    let p = Array::zeros(&[1, 1], DType::F64);
    let one = vector(&[1.0]);
    let error = box_quadratic_program(&p, &one, &one, &one, &BoxQpOptions::default());
    assert!(error.unwrap_err().to_string().contains("the diagonal of p"));
}

/// A random convex program that has a solution: constraints around a point.
fn random(seed: u64, n: usize, m: usize, rank: usize) -> QuadraticProgram {
    let stream = Stream::new(seed);
    let draw = |name: &str, shape: &[usize]| stream.child(name).normal(shape, DType::F64);
    let root = draw("p", &[n, rank]);
    let a = draw("a", &[m, n]);
    let inside = a.matmul(&draw("x", &[n]));
    let below = draw("below", &[m]).abs();
    let above = draw("above", &[m]).abs();
    // Without curvature in some directions a multiplier must hold the value: q in the range of P and A'.
    let q = root.matmul(&draw("u", &[rank])) + a.t().matmul(&(draw("y", &[m]) * 0.5));
    QuadraticProgram {
        p: root.matmul(&root.t()),
        q,
        a,
        lower: &inside - below,
        upper: &inside + above,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn solutions_satisfy_the_conditions_of_optimality(seed in 0u64..10_000, n in 1usize..12, extra in 0usize..10) {
        let m = n / 2 + extra;
        let program = random(seed, n, m, n.div_ceil(2) + extra.min(n / 2));
        let best = quadratic_program(&program, &QpOptions::default()).unwrap();
        prop_assert_eq!(best.stop, Stop::Converged);
        let slope = program.p.matmul(&best.x) + &program.q + program.a.t().matmul(&best.y);
        prop_assert!(slope.abs().max_all().item() < 1e-6);
        if m > 0 {
            let ax = program.a.matmul(&best.x).to_f64_vec();
            let (l, u) = (program.lower.to_f64_vec(), program.upper.to_f64_vec());
            let y = best.y.to_f64_vec();
            for (((ax, l), u), y) in ax.iter().zip(&l).zip(&u).zip(&y) {
                prop_assert!(*ax >= l - 1e-6 && *ax <= u + 1e-6);
                // Complementarity: a multiplier only at its bound, of its sign.
                prop_assert!(*y <= 1e-6 || (u - ax).abs() < 1e-5);
                prop_assert!(*y >= -1e-6 || (ax - l).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn coordinates_and_splitting_agree(seed in 0u64..10_000, n in 1usize..10) {
        let stream = Stream::new(seed);
        let root = stream.child("p").normal(&[n, n], DType::F64);
        let p = root.matmul(&root.t()) + Array::eye(n, DType::F64) * 0.5;
        let q = stream.child("q").normal(&[n], DType::F64) * 3.0;
        let (low, high) = (q.full_like(-0.5), q.full_like(0.7));
        let a = box_quadratic_program(&p, &q, &low, &high, &BoxQpOptions::default()).unwrap();
        let program = QuadraticProgram { p, q, a: Array::eye(n, DType::F64), lower: low, upper: high };
        let b = quadratic_program(&program, &QpOptions::default()).unwrap();
        prop_assert_eq!((a.stop, b.stop), (Stop::Converged, Stop::Converged));
        prop_assert!((&a.x - &b.x).abs().max_all().item() < 1e-7);
        prop_assert!((&a.y - &b.y).abs().max_all().item() < 1e-6);
        prop_assert!((a.value - b.value).abs() < 1e-7 * (1.0 + b.value.abs()));
    }
}
