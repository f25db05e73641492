//! Bad arguments are errors that name them; bad ends are results with advice.

use lisse_array::{Array, DType};

use super::vector;
use crate::solvers::*;

fn square(x: &Array, _: &Array) -> Array {
    x.square().sum_all()
}

fn none() -> Array {
    Array::scalar(0.0f64)
}

#[track_caller]
fn refused(solver: &dyn Solver<Array>, start: &Array) -> String {
    solver.run(start, &none()).unwrap_err().to_string()
}

#[test]
fn bad_arguments_are_named() {
    let start = vector(&[1.0, 2.0]);
    let descent = || ProximalGradient::descent(square);
    assert_eq!(
        refused(&descent(), &vector(&[])),
        "the start must have at least one element, not shape [0]"
    );
    assert_eq!(
        refused(&descent(), &vector(&[1.0, f64::INFINITY])),
        "the start is not finite at element 1: inf"
    );
    assert!(refused(&descent(), &start.cast(DType::F32)).contains("must be f64"));
    assert_eq!(
        refused(&descent().limits(0.0, 10), &start),
        "tolerance must be a number above 0, not 0"
    );
    assert!(refused(&descent().step(StepRule::Fixed(-1.0)), &start).contains("the step"));
    assert_eq!(
        refused(&ProximalGradient::descent(|x: &Array, _: &Array| x.clone()), &start),
        "the objective returned shape [2], not []"
    );
    let shape = ProximalGradient::projected(square, |v: &Array, _: &Array| v.narrow(0, 0, 1));
    assert_eq!(refused(&shape, &start), "the proximal operator returned shape [1], not [2]");
    assert!(refused(&MirrorDescent::simplex(square, 0.0), &start).contains("the step"));
    assert!(
        refused(&FixedPoint::new(|x: &Array, _: &Array| x.clone()).damping(2.0), &start)
            .contains("above 0 and at most 1")
    );
    assert!(
        refused(&Anderson::new(|x: &Array, _: &Array| x.clone()).history(0), &start)
            .contains("history")
    );
    assert!(
        refused(&FixedPoint::new(|x: &Array, _: &Array| x.sum_all()), &start)
            .contains("the map returned")
    );
    assert!(
        refused(&Newton::new(|x: &Array, _: &Array| x.sum_all()), &start)
            .contains("the function returned")
    );
    let bounds = Minimizer::new(square).within(vector(&[0.0]), vector(&[1.0]));
    assert!(refused(&bounds, &start).contains("the lower bounds"));
    let empty = Minimizer::new(square).within(vector(&[0.0, 3.0]), vector(&[1.0, 2.0]));
    assert_eq!(refused(&empty, &start), "the bounds of row 1 are empty: lower 3, upper 2");
    let cg = Minimizer::new(square)
        .direction(Direction::ConjugateGradients)
        .within(vector(&[0.0, 0.0]), vector(&[1.0, 2.0]));
    assert!(refused(&cg, &start).contains("use L-BFGS"));
    let damped = LeastSquares::new(|x: &Array, _: &Array| x.clone()).damping(f64::NAN);
    assert!(refused(&damped, &start).contains("the damping"));
    assert!(
        refused(&ScalarRoot::new(|x: &Array, _: &Array| x.clone(), -1.0, 1.0), &start)
            .contains("one element")
    );
    let blocks = BlockCoordinateDescent::new(
        |_: &Array| Array::eye(3, DType::F64),
        square,
        |v: &Array, _: &Array, _: &Array, _| v.clone(),
        1.0,
    );
    assert!(refused(&blocks, &start).contains("two axes"));
    assert!(refused(&blocks, &Array::ones(&[2, 1], DType::F64)).contains("the design"));
}

#[test]
fn every_end_has_advice() {
    let ends = [
        Stop::Converged,
        Stop::MaxIterations,
        Stop::NoProgress,
        Stop::NotFinite,
        Stop::Singular,
        Stop::PrimalInfeasible,
        Stop::DualInfeasible,
    ];
    for stop in ends {
        assert!(stop.advice().len() > 20 && !stop.to_string().is_empty());
    }
}

#[test]
fn not_converging_is_a_result() {
    let start = vector(&[1.0, 2.0]);
    let short = ProximalGradient::descent(square)
        .plain()
        .step(StepRule::Fixed(0.1))
        .limits(1e-12, 3)
        .run(&start, &none())
        .unwrap();
    assert_eq!((short.stop, short.iterations, short.history.len()), (Stop::MaxIterations, 3, 3));
    let message = short.converged().unwrap_err().to_string();
    assert!(
        message.contains("after 3 iterations") && message.contains("raise max_iterations"),
        "{message}"
    );
    let diverges = FixedPoint::new(|x: &Array, _: &Array| x.square() * 3.0).limits(1e-9, 500);
    let lost = diverges.run(&start, &none()).unwrap();
    assert_eq!(lost.stop, Stop::NotFinite);
    // A derivative of such an end is not asked of the condition.
    let again = diverges.solve(&start, &none(), &Derivative::default()).unwrap();
    assert_eq!(again.stop, Stop::NotFinite);
    let hole = ProximalGradient::descent(|x: &Array, _: &Array| x.ln().sum_all());
    let outside = hole.run(&vector(&[-1.0, 1.0]), &none()).unwrap();
    assert_eq!(outside.stop, Stop::NotFinite);
    let singular = LeastSquares::gauss_newton(|x: &Array, _: &Array| x.sum_all() - 1.0);
    assert_eq!(singular.run(&start, &none()).unwrap().stop, Stop::Singular);
    // Damping makes the same problem solvable.
    let damped = LeastSquares::new(|x: &Array, _: &Array| x.sum_all() - 1.0);
    assert_eq!(damped.run(&start, &none()).unwrap().stop, Stop::Converged);
}
