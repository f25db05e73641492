use super::{all_close, close, random, with_threads};
use crate::transport::{Problem, Sinkhorn, Status, TransportError, solve_exact};

/// Log-sum-exp iterations, as plainly as they can be written.
fn reference(problem: &Problem, epsilon: f64, iterations: usize) -> Vec<f64> {
    let (m, n) = (problem.sources(), problem.targets());
    let (mut alpha, mut beta) = (vec![0.0; m], vec![0.0; n]);
    let lse = |values: Vec<f64>| {
        let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top + values.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
    };
    for _ in 0..iterations {
        for (j, beta) in beta.iter_mut().enumerate() {
            let values = (0..m).map(|i| (alpha[i] - problem.cost(i, j)) / epsilon).collect();
            *beta = epsilon * (problem.b()[j].ln() - lse(values));
        }
        for (i, alpha) in alpha.iter_mut().enumerate() {
            let values = (0..n).map(|j| (beta[j] - problem.cost(i, j)) / epsilon).collect();
            *alpha = epsilon * (problem.a()[i].ln() - lse(values));
        }
    }
    (0..m * n)
        .map(|e| ((alpha[e / n] + beta[e % n] - problem.cost(e / n, e % n)) / epsilon).exp())
        .collect()
}

#[test]
fn the_plan_is_that_of_plain_iterations() {
    for (m, n, epsilon) in [(5, 7, 0.3), (70, 65, 0.05), (200, 180, 0.02)] {
        let problem = random(m, n, 1);
        let found =
            Sinkhorn { tolerance: 1e-12, ..Sinkhorn::new(epsilon) }.solve(&problem).unwrap();
        assert_eq!(found.status, Status::Converged);
        let plain = reference(&problem, epsilon, found.iterations + 5);
        all_close(&found.plan, &plain, 1e-12);
        assert!(found.row_error < 1e-11);
        // The value is that of the primal: <T, C> + epsilon sum T (log T - 1).
        let entropy: f64 = found.plan.iter().map(|t| t * (t.ln() - 1.0)).sum();
        close(found.value, found.cost + epsilon * entropy, 1e-9);
    }
}

#[test]
fn small_strengths_do_not_overflow() {
    // exp(-C / epsilon) is 0 for almost every pair.
    let problem = random(30, 30, 7);
    let exact = solve_exact(&problem).unwrap().cost;
    let found = Sinkhorn { tolerance: 1e-5, max_iterations: 200_000, ..Sinkhorn::new(2e-4) }
        .solve(&problem)
        .unwrap();
    assert!(found.plan.iter().all(|t| t.is_finite()));
    assert!(
        found.row_error <= 1.1e-5 && found.cost - exact < 2e-3 && found.cost > exact - 1e-4,
        "{} {exact}",
        found.cost
    );
    let far = Problem::uniform(2, 2, &[0.0, 1e6, 2e6, 1e5]).unwrap();
    let found = Sinkhorn::new(1e-3).solve(&far).unwrap();
    // Potentials of a million in units of a thousandth: seven digits are left.
    all_close(&found.plan, &[0.5, 0.0, 0.0, 0.5], 1e-7);
    let shifted = Problem::uniform(2, 2, &[1e9, 1e9 + 1.0, 1e9 + 1.0, 1e9]).unwrap();
    all_close(&Sinkhorn::new(1e-2).solve(&shifted).unwrap().plan, &[0.5, 0.0, 0.0, 0.5], 1e-5);
}

#[test]
fn masses_of_zero_and_forbidden_pairs_carry_nothing() {
    let costs = [0.0, 1.0, 3.0, f64::INFINITY, 0.5, 1.0, 4.0, 2.0, 0.3];
    let problem = Problem::new(&[0.6, 0.4, 0.0], &[0.5, 0.0, 0.5], &costs).unwrap();
    let found = Sinkhorn::new(0.1).solve(&problem).unwrap();
    assert_eq!(found.status, Status::Converged);
    assert_eq!((found.plan[3], found.plan[1], &found.plan[6..]), (0.0, 0.0, &[0.0; 3][..]));
    close(found.plan[5], 0.4, 1e-8);
    assert!(found.value.is_finite() && found.cost.is_finite());
    let blocked =
        Problem::new(&[0.5, 0.5], &[0.25, 0.75], &[0.0, f64::INFINITY, 1.0, 1.0]).unwrap();
    assert!(matches!(Sinkhorn::new(0.1).solve(&blocked), Err(TransportError::Infeasible(_))));
}

#[test]
fn options_out_of_range_are_named() {
    let problem = random(2, 2, 0);
    for epsilon in [0.0, -1.0, f64::NAN] {
        let error = Sinkhorn::new(epsilon).solve(&problem).unwrap_err().to_string();
        assert!(
            error.starts_with("epsilon: ") && error.ends_with("it must be a finite number above 0")
        );
    }
    let error = Sinkhorn { tolerance: -1.0, ..Sinkhorn::default() }.solve(&problem).unwrap_err();
    assert_eq!(error.to_string(), "tolerance: -1; it must be 0 or more");
    let short = Sinkhorn { max_iterations: 2, tolerance: 1e-15, ..Sinkhorn::new(0.01) }
        .solve(&random(9, 8, 0))
        .unwrap();
    assert_eq!((short.status, short.iterations), (Status::OutOfIterations, 2));
}

#[test]
fn the_same_for_any_number_of_threads() {
    let problem = random(210, 190, 3);
    let solve = || Sinkhorn { max_iterations: 50, ..Sinkhorn::new(0.02) }.solve(&problem).unwrap();
    let one = with_threads(1, solve);
    assert_eq!(one, with_threads(2, solve));
}
