use lisse_array::{Array, DType, Stream, check, grad, jacobian};

use super::{all_close, random, six_by_four};
use crate::transport::{Axis, Problem, Sinkhorn, SparseOt, Transported};

type Arguments = (Array, Array, Array);

/// Logits of the masses, so that totals stay equal, and costs.
fn arguments(problem: &Problem) -> Arguments {
    let (m, n) = (problem.sources(), problem.targets());
    let costs = (0..m * n).map(|e| problem.cost(e / n, e % n)).collect();
    (
        Array::from_slice(problem.a(), &[m]).ln(),
        Array::from_slice(problem.b(), &[n]).ln(),
        Array::from_vec(costs, &[m, n]),
    )
}

fn through(
    solve: impl Fn(&Array, &Array, &Array) -> Transported,
) -> impl Fn(&Arguments) -> Transported {
    move |(a, b, c): &Arguments| solve(&a.softmax(0), &b.softmax(0), c)
}

fn exactly(ot: SparseOt) -> SparseOt {
    SparseOt { tolerance: 1e-12, gap: 1e-9, max_iterations: 3000, ..ot }
}

#[test]
fn derivatives_of_the_quadratic_layer_are_differences() {
    for (problem, gamma) in [(random(5, 4, 0), 2.0), (random(4, 6, 3), 1.0), (six_by_four(), 4.0)] {
        let ot = exactly(SparseOt::quadratic(gamma));
        let layer = through(|a, b, c| ot.layer(a, b, c).unwrap());
        let at = arguments(&problem);
        check::gradient(|x: &Arguments| layer(x).value, &at, 2).unwrap();
        check::gradient(|x: &Arguments| layer(x).plan, &at, 1).unwrap();
        check::gradient(|x: &Arguments| layer(x).alpha, &at, 1).unwrap();
        check::gradient(|x: &Arguments| layer(x).beta, &at, 1).unwrap();
        // Of a nonlinear function of the plan, the second derivative comes from the chain rule.
        check::gradient(|x: &Arguments| layer(x).plan.square().sum_all(), &at, 2).unwrap();
    }
}

#[test]
fn derivatives_of_the_sparse_layer_are_differences() {
    let mut checked = 0;
    for seed in 0..12 {
        let problem = random(5, 4, seed);
        let ot = exactly(SparseOt::new(3, 1.0));
        let found = ot.solve(&problem).unwrap();
        let at = arguments(&problem);
        // Where a tie binds there is no derivative.
        if found.tied_columns > 0 || found.row_error > 1e-10 {
            continue;
        }
        checked += 1;
        let layer = through(|a, b, c| ot.layer(a, b, c).unwrap());
        check::gradient(|x: &Arguments| layer(x).value, &at, 2).unwrap();
        check::gradient(|x: &Arguments| layer(x).plan, &at, 1).unwrap();
        let rows = SparseOt { axis: Axis::Row, ..exactly(SparseOt::quadratic(1.0)) };
        let layer = through(|a, b, c| rows.layer(a, b, c).unwrap());
        check::gradient(|x: &Arguments| layer(x).plan, &at, 1).unwrap();
        check::gradient(|x: &Arguments| layer(x).beta, &at, 1).unwrap();
    }
    assert!(checked >= 3, "{checked}");
}

#[test]
fn derivatives_of_the_entropic_layer_are_differences() {
    let sinkhorn = Sinkhorn { tolerance: 1e-14, ..Sinkhorn::new(0.4) };
    let layer = through(|a, b, c| sinkhorn.layer(a, b, c).unwrap());
    let at = arguments(&random(4, 5, 2));
    check::gradient(|x: &Arguments| layer(x).value, &at, 2).unwrap();
    check::gradient(|x: &Arguments| layer(x).plan, &at, 2).unwrap();
    check::gradient(|x: &Arguments| layer(x).alpha, &at, 2).unwrap();
    check::gradient(|x: &Arguments| layer(x).beta, &at, 1).unwrap();
}

#[test]
fn the_envelope_is_the_plan_and_the_potentials() {
    let problem = random(6, 5, 8);
    let (a, b) = (Array::from_slice(problem.a(), &[6]), Array::from_slice(problem.b(), &[5]));
    let costs = arguments(&problem).2;
    let ot = exactly(SparseOt::new(3, 0.7));
    let found = ot.solve(&problem).unwrap();
    let (da, db, dc) =
        grad(|(a, b, c): &Arguments| ot.layer(a, b, c).unwrap().value)(&(a, b, costs));
    all_close(&dc.to_f64_vec(), &found.plan.to_dense(), 1e-12);
    all_close(&da.to_f64_vec(), &found.alpha, 1e-12);
    all_close(&db.to_f64_vec(), &found.beta, 1e-12);
}

/// The plan's answer to costs is the Hessian of the value, which is symmetric and negative semidefinite.
#[test]
fn the_answer_to_costs_is_symmetric_and_negative() {
    let problem = random(4, 3, 6);
    let (a, b) = (Array::from_slice(problem.a(), &[4]), Array::from_slice(problem.b(), &[3]));
    let ot = exactly(SparseOt::quadratic(1.5));
    let answer =
        jacobian(|c| ot.layer(&a, &b, c).unwrap().plan, &arguments(&problem).2).reshape(&[12, 12]);
    assert!((&answer - answer.t()).abs().max_all().item() < 1e-10);
    let (values, _) = answer.eigh().unwrap();
    assert!(values.max_all().item() < 1e-10);
}

#[test]
fn single_precision_stays_single() {
    let half = Array::from_slice(&[0.5f32, 0.5], &[2]);
    let costs = Stream::new(0).uniform(&[2, 2], DType::F32);
    let found = SparseOt::quadratic(1.0).layer(&half, &half, &costs).unwrap();
    assert_eq!(
        (found.plan.dtype(), found.value.dtype(), found.alpha.dtype()),
        (DType::F32, DType::F32, DType::F32)
    );
    let gradient = grad(|c: &Array| {
        SparseOt::quadratic(1.0).layer(&half, &half, c).unwrap().plan.square().sum_all()
    })(&costs);
    assert_eq!((gradient.dtype(), gradient.shape()), (DType::F32, &[2, 2][..]));
}
