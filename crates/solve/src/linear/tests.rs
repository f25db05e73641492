use lisse_array::Array;
use proptest::prelude::*;

use super::*;

fn matrix(values: &[f64], n: usize) -> Array {
    Array::from_slice(values, &[values.len() / n, n])
}

/// A diagonally dominant matrix with entries from `values`; symmetric if asked.
fn dominant(values: &[f64], n: usize, symmetric: bool) -> Array {
    let mut a = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            let (p, q) = if symmetric && i < j { (j, i) } else { (i, j) };
            a[i * n + j] = values[p * n + q];
        }
        a[i * n + i] = a[i * n + i].abs() + n as f64;
    }
    matrix(&a, n)
}

fn all_methods() -> Vec<Method> {
    vec![
        Method::Auto,
        Method::Cg,
        Method::Minres,
        Method::gmres(),
        Method::Gmres { restart: 3 },
        Method::BiCgStab,
        Method::NormalCg,
        Method::Lsqr,
        Method::Lu,
        Method::Cholesky,
        Method::Qr,
        Method::Inverse,
    ]
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_method_solves_a_positive_definite_system(
        values in prop::collection::vec(-1.0f64..1.0, 64),
        x in prop::collection::vec(-1.0f64..1.0, 8),
    ) {
        let a = Operator::dense(&dominant(&values, 8, true)).structure(Structure::PositiveDefinite);
        let mut b = vec![0.0; 8];
        a.apply(&x, &mut b);
        for method in all_methods() {
            let solution = LinearSolver::new(method).solve(&a, &b).unwrap();
            prop_assert!(distance(&solution.x, &x) < 1e-7, "{method:?}: {:?}", solution);
            prop_assert!(solution.report.residual < 1e-8);
        }
    }

    #[test]
    fn general_methods_solve_a_general_system(
        values in prop::collection::vec(-1.0f64..1.0, 64),
        x in prop::collection::vec(-1.0f64..1.0, 8),
    ) {
        let a = Operator::dense(&dominant(&values, 8, false));
        let mut b = vec![0.0; 8];
        a.apply(&x, &mut b);
        for method in all_methods() {
            if matches!(method, Method::Cg | Method::Minres | Method::Cholesky) {
                continue;
            }
            let solution = LinearSolver::new(method).solve(&a, &b).unwrap();
            prop_assert!(distance(&solution.x, &x) < 1e-7, "{method:?}: {:?}", solution);
        }
    }

    #[test]
    fn transposed_products_and_factors_are_adjoint(
        values in prop::collection::vec(-1.0f64..1.0, 64),
        x in prop::collection::vec(-1.0f64..1.0, 8),
        y in prop::collection::vec(-1.0f64..1.0, 8),
    ) {
        let dense = dominant(&values, 8, false);
        let a = Operator::dense(&dense);
        let (mut ax, mut aty) = (vec![0.0; 8], vec![0.0; 8]);
        a.apply(&x, &mut ax);
        a.apply_transposed(&y, &mut aty);
        prop_assert!((vector::dot(&ax, &y) - vector::dot(&x, &aty)).abs() < 1e-12);
        let factor = Factor::lu(&dense).unwrap();
        let mut back = aty;
        factor.solve_in_place(&mut back, true);
        prop_assert!(distance(&back, &y) < 1e-12);
    }
}

#[test]
fn symmetric_indefinite_systems_are_for_minres() {
    let a = Operator::dense(&matrix(&[2.0, 1.0, 0.0, 1.0, -3.0, 1.0, 0.0, 1.0, 1.0], 3))
        .structure(Structure::Symmetric);
    let solution = LinearSolver::default().solve(&a, &[1.0, 2.0, 3.0]).unwrap();
    assert_eq!(solution.report.method, "minres");
    assert!(solution.report.residual < 1e-10, "{:?}", solution.report);
    let error = LinearSolver::new(Method::Cg).solve(&a, &[0.0, 1.0, 0.0]).unwrap_err();
    assert!(matches!(error, LinearError::NotPositiveDefinite { .. }), "{error}");
    assert!(error.to_string().contains("use minres"));
}

#[test]
fn a_preconditioner_saves_iterations() {
    let diagonal: Vec<f64> = (0..200).map(|i| 1.0 + 50.0 * f64::from(i)).collect();
    let values = diagonal.clone();
    let a = Operator::slices(200, move |x, y| {
        for i in 0..200 {
            y[i] = values[i] * x[i] + 0.1 * (x[(i + 1) % 200] + x[(i + 199) % 200]);
        }
    })
    .structure(Structure::PositiveDefinite);
    let b = vec![1.0; 200];
    for method in [Method::Cg, Method::Minres, Method::gmres(), Method::BiCgStab] {
        let plain = LinearSolver::new(method).solve(&a, &b).unwrap().report;
        let solver = LinearSolver {
            preconditioner: Some(Preconditioner::diagonal(&diagonal)),
            ..LinearSolver::new(method)
        };
        let helped = solver.solve(&a, &b).unwrap().report;
        assert!(helped.iterations * 4 < plain.iterations, "{method:?}: {plain:?} {helped:?}");
        assert!(helped.residual < 1e-9);
    }
}

#[test]
fn conjugate_gradients_hint_at_the_condition() {
    let a = Operator::slices(100, |x, y| {
        for (i, (y, x)) in y.iter_mut().zip(x).enumerate() {
            *y = x * (1.0 + i as f64);
        }
    })
    .structure(Structure::PositiveDefinite);
    let report = LinearSolver::default().solve(&a, &[1.0; 100]).unwrap().report;
    let condition = report.condition.unwrap();
    assert!((condition - 100.0).abs() < 1.0, "{condition}");
}

#[test]
fn a_singular_matrix_is_refused_and_least_squares_offered() {
    // The ring of three springs: translation is free.
    let a = matrix(&[2.0, -1.0, -1.0, -1.0, 2.0, -1.0, -1.0, -1.0, 2.0], 3);
    let error = Factor::lu(&a).unwrap_err();
    assert!(matches!(error, LinearError::Singular { .. }), "{error}");
    assert!(error.to_string().contains("lsqr"), "{error}");
    let operator = Operator::dense(&a).structure(Structure::PositiveDefinite);
    // Consistent: the smallest solution. Inconsistent: refused by CG, answered by least squares.
    let b = [1.0, -1.0, 0.0];
    for method in [Method::Cg, Method::Lsqr, Method::Minres] {
        let x = LinearSolver::new(method).solve(&operator, &b).unwrap().x;
        assert!(distance(&x, &[1.0 / 3.0, -1.0 / 3.0, 0.0]) < 1e-12, "{method:?} {x:?}");
    }
    let shifted = [2.0, 0.0, 1.0];
    for method in [Method::Cg, Method::Minres, Method::gmres(), Method::BiCgStab, Method::Lu] {
        assert!(LinearSolver::new(method).solve(&operator, &shifted).is_err(), "{method:?}");
    }
    let x = LinearSolver::new(Method::Lsqr).solve(&operator, &shifted).unwrap();
    assert!(distance(&x.x, &[1.0 / 3.0, -1.0 / 3.0, 0.0]) < 1e-10);
    assert!((x.report.residual - (3.0f64 / 5.0).sqrt()).abs() < 1e-10);
}

#[test]
fn a_ridge_and_refinement() {
    let a = Operator::dense(&matrix(&[1.0, 0.0, 0.0, 1e-3], 2));
    let ridged = LinearSolver { ridge: 1.0, ..LinearSolver::new(Method::gmres()) };
    assert!(distance(&ridged.solve(&a, &[2.0, 1.001]).unwrap().x, &[1.0, 1.0]) < 1e-9);
    let refined =
        LinearSolver { ridge: 1e-6, refinements: 10, ..LinearSolver::new(Method::gmres()) };
    let solution = refined.solve(&a, &[1.0, 1.0]).unwrap();
    assert!(distance(&solution.x, &[1.0, 1000.0]) < 1e-5 && solution.report.residual <= 1e-10);
    let wide = Operator::dense(&matrix(&[1.0, 1.0], 2));
    let smallest = LinearSolver::default().solve(&wide, &[2.0]).unwrap();
    assert!(distance(&smallest.x, &[1.0, 1.0]) < 1e-12 && smallest.report.method == "lsqr");
}

#[test]
fn the_neumann_series_sums_and_refuses_what_does_not_contract() {
    let a = Operator::dense(&matrix(&[0.5, 0.1, 0.0, 0.8], 2));
    let solver = LinearSolver::new(Method::Neumann { terms: None });
    let x = solver.solve(&a, &[1.0, 1.0]).unwrap().x;
    assert!(distance(&x, &[1.75, 1.25]) < 1e-9, "{x:?}");
    let two = LinearSolver::new(Method::Neumann { terms: Some(2) }).solve(&a, &[1.0, 1.0]).unwrap();
    assert!(distance(&two.x, &[1.4, 1.2]) < 1e-15 && two.report.residual > 0.1);
    let wide = Operator::dense(&matrix(&[2.5, 0.0, 0.0, 0.5], 2));
    let error = solver.solve(&wide, &[1.0, 1.0]).unwrap_err();
    assert!(
        matches!(error, LinearError::NotContracting { ratio } if (ratio - 1.5).abs() < 0.2),
        "{error}"
    );
}

#[test]
fn bad_input_is_named() {
    let a = Operator::slices(2, |x, y| y.copy_from_slice(x));
    let solver = LinearSolver::default();
    let message = |b: &[f64]| solver.solve(&a, b).unwrap_err().to_string();
    assert!(message(&[1.0]).contains("the right-hand side has 1 elements; it needs 2"));
    assert!(message(&[1.0, f64::NAN]).contains("the right-hand side holds NaN"));
    let nan = Operator::slices(2, |_, y| y.fill(f64::NAN));
    for method in [Method::Cg, Method::gmres(), Method::BiCgStab, Method::Minres, Method::Lu] {
        let error = LinearSolver::new(method).solve(&nan, &[1.0, 1.0]).unwrap_err();
        assert!(error.to_string().contains("NaN"), "{error}");
    }
    let error = LinearSolver::new(Method::Lsqr).solve(&a, &[1.0, 1.0]).unwrap_err();
    assert!(error.to_string().contains("transposed product"));
    let tight =
        LinearSolver { max_iterations: Some(1), bound: 1e-6, ..LinearSolver::new(Method::Cg) };
    let hard = Operator::slices(3, |x, y| (0..3).for_each(|i| y[i] = x[i] * (1.0 + i as f64)))
        .structure(Structure::PositiveDefinite);
    let error = tight.solve(&hard, &[1.0, 1.0, 1.0]).unwrap_err();
    assert!(matches!(error, LinearError::Residual { residual, .. } if residual > 1e-6), "{error}");
    let bad = LinearSolver { ridge: -1.0, ..LinearSolver::default() };
    assert!(bad.solve(&a, &[1.0, 1.0]).unwrap_err().to_string().contains("ridge is -1"));
}

#[test]
fn a_warm_start_at_the_solution_ends_at_once() {
    let a =
        Operator::dense(&matrix(&[4.0, 1.0, 1.0, 3.0], 2)).structure(Structure::PositiveDefinite);
    let solution = LinearSolver::default().solve(&a, &[1.0, 2.0]).unwrap();
    let again = LinearSolver::default().solve_from(&a, &[1.0, 2.0], Some(&solution.x)).unwrap();
    assert_eq!((again.report.iterations, again.x), (1, solution.x));
}

#[test]
fn a_batch_is_as_each_alone() {
    let scales = [1.0, 10.0, 0.0];
    let apply = |x: &[f64], y: &mut [f64]| {
        for (i, (x, y)) in x.chunks(4).zip(y.chunks_mut(4)).enumerate() {
            for j in 0..4 {
                y[j] = (1.0 + scales[i] * j as f64) * x[j]
                    + 0.1 * x[(j + 1) % 4]
                    + 0.1 * x[(j + 3) % 4];
            }
        }
    };
    let b: Vec<f64> = (0..12).map(|i| if i >= 8 { 0.0 } else { 1.0 + f64::from(i) }).collect();
    let (x, report) = cg_batch(3, apply, &b, 1e-12, 1e-6, 100).unwrap();
    assert_eq!(report.iterations[2], 0);
    for i in 0..2 {
        let alone = |v: &[f64], y: &mut [f64]| {
            let mut all = vec![0.0; 12];
            let mut out = vec![0.0; 12];
            all[i * 4..i * 4 + 4].copy_from_slice(v);
            apply(&all, &mut out);
            y.copy_from_slice(&out[i * 4..i * 4 + 4]);
        };
        let (one, single) = cg_batch(1, alone, &b[i * 4..i * 4 + 4], 1e-12, 1e-6, 100).unwrap();
        assert_eq!(one, x[i * 4..i * 4 + 4]);
        assert_eq!(single.iterations[0], report.iterations[i]);
    }
}

#[test]
fn sums_do_not_depend_on_threads() {
    let a: Vec<f64> = (0..200_003).map(|i| (f64::from(i) * 0.37).sin()).collect();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| vector::dot(&a, &a))
    };
    assert_eq!(on(1).to_bits(), on(2).to_bits());
}

#[test]
fn the_gram_matrix_is_the_product() {
    for n in [3, 128, 130, 300] {
        let values: Vec<f64> = (0..20 * n).map(|i| (i as f64 * 0.37).sin()).collect();
        let x = matrix(&values, n);
        let (found, expected) = (gram(&x).to_vec::<f64>(), x.t().matmul(&x).to_vec::<f64>());
        assert!(distance(&found, &expected) < 1e-12, "{n}");
        assert!((0..n * n).all(|e| found[e] == found[(e % n) * n + e / n]));
    }
}
