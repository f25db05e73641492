use proptest::prelude::*;

use super::{close, random, with_threads};
use crate::transport::{Problem, TransportError, exact_cost, solve_exact};

/// Optimality, by the potentials.
fn check(problem: &Problem) {
    let found = solve_exact(problem).unwrap();
    let scale = problem.scale().max(1e-300);
    let (rows, columns) = found.plan.marginal_errors(problem);
    assert!(
        rows < 1e-12 * problem.total() && columns < 1e-12 * problem.total(),
        "{rows} {columns}"
    );
    assert!(found.plan.nonzeros() < problem.sources() + problem.targets());
    for i in 0..problem.sources() {
        for j in 0..problem.targets() {
            assert!(found.alpha[i] + found.beta[j] <= problem.cost(i, j) + 1e-10 * scale);
        }
    }
    let dual: f64 = found.alpha.iter().zip(problem.a()).map(|(x, a)| x * a).sum::<f64>()
        + found.beta.iter().zip(problem.b()).map(|(x, b)| x * b).sum::<f64>();
    close(dual, found.cost, 1e-10 * scale * problem.total());
}

#[test]
fn potentials_prove_the_optimum_on_random_problems() {
    for seed in 0..20 {
        check(&random(1 + (seed as usize * 7) % 23, 1 + (seed as usize * 5) % 19, seed));
    }
    check(&random(90, 70, 100));
}

#[test]
fn sorted_points_on_a_line_go_to_their_like() {
    let count = 50;
    let x: Vec<f64> = (0..count).map(|i| f64::from(i * 37 % 50) / 50.0).collect();
    let y: Vec<f64> = (0..count).map(|i| f64::from(i * 13 % 50) / 50.0 + 0.3).collect();
    let equal = vec![1.0 / f64::from(count); count as usize];
    let problem = Problem::from_points((&equal, &x), (&equal, &y), 1, Default::default()).unwrap();
    close(solve_exact(&problem).unwrap().cost, 0.09, 1e-12);
    check(&problem);
}

#[test]
fn degenerate_assignments_do_not_cycle() {
    // Equal masses and few distinct costs: almost every pivot moves nothing.
    let costs: Vec<f64> = (0..60 * 60).map(|e| f64::from((e * 7919) % 3)).collect();
    check(&Problem::uniform(60, 60, &costs).unwrap());
    check(&Problem::uniform(40, 40, &[0.0; 1600]).unwrap());
    check(&Problem::uniform(40, 40, &[2.0; 1600]).unwrap());
    let negative: Vec<f64> = (0..400).map(|e| -f64::from((e * 31) % 11)).collect();
    check(&Problem::uniform(20, 20, &negative).unwrap());
}

#[test]
fn permutations_are_found() {
    let n = 30;
    let costs: Vec<f64> =
        (0..n * n).map(|e| if (e / n * 11 + 5) % n == e % n { 0.0 } else { 1.0 }).collect();
    let found = solve_exact(&Problem::uniform(n, n, &costs).unwrap()).unwrap();
    close(found.cost, 0.0, 0.0);
    assert!(found.plan.entries().all(|(i, j, _)| (i * 11 + 5) % n == j));
}

#[test]
fn hall_is_right() {
    let inf = f64::INFINITY;
    // Sources 0 and 1 may use target 0 alone.
    let costs = [1.0, inf, inf, 1.0, inf, inf, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    let problem = Problem::new(&[0.3, 0.3, 0.2, 0.2], &[0.5, 0.25, 0.25], &costs).unwrap();
    let Err(TransportError::Infeasible(proof)) = solve_exact(&problem) else { panic!() };
    assert_eq!((proof.sources, proof.targets), (vec![0, 1], vec![0]));
    assert!(proof.supply > proof.demand);
    // One that is just possible.
    let problem = Problem::new(&[0.25, 0.25, 0.25, 0.25], &[0.5, 0.25, 0.25], &costs).unwrap();
    close(solve_exact(&problem).unwrap().cost, 1.0, 1e-15);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn patterns_are_solved_or_refuted(seed in 0u64..10_000, share in 0.2..0.9f64) {
        let base = random(9, 7, seed);
        let costs: Vec<f64> = (0..63).map(|e| {
            let c = base.cost(e / 7, e % 7);
            if (c * 1000.0).fract() < share { f64::INFINITY } else { c }
        }).collect();
        let problem = Problem::new(base.a(), base.b(), &costs).unwrap();
        match solve_exact(&problem) {
            Ok(found) => {
                let (rows, columns) = found.plan.marginal_errors(&problem);
                prop_assert!(found.cost.is_finite() && rows < 1e-9 && columns < 1e-9);
            }
            Err(TransportError::Infeasible(proof)) => {
                prop_assert!(proof.supply > proof.demand);
                for &i in &proof.sources {
                    for j in 0..7 {
                        prop_assert!(problem.cost(i, j).is_infinite() || proof.targets.contains(&j));
                    }
                }
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

#[test]
fn the_same_for_any_number_of_threads() {
    let problem = random(60, 50, 4);
    let one = with_threads(1, || solve_exact(&problem).unwrap());
    assert_eq!(one, with_threads(2, || solve_exact(&problem).unwrap()));
}

#[test]
fn the_derivative_of_the_cost_is_plan_and_potentials() {
    use lisse_array::{Array, check};
    let problem = random(4, 3, 2);
    let costs: Vec<f64> = (0..12).map(|e| problem.cost(e / 3, e % 3)).collect();
    let arguments = (
        Array::from_slice(problem.a(), &[4]).ln(),
        Array::from_slice(problem.b(), &[3]).ln(),
        Array::from_vec(costs, &[4, 3]),
    );
    let f =
        |(a, b, c): &(Array, Array, Array)| exact_cost(&a.softmax(0), &b.softmax(0), c).unwrap();
    check::gradient(f, &arguments, 2).unwrap();
}
