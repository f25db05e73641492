//! Sparse matrices: structure, products, solves, derivatives, failures.

mod support;

use lisse_array::linalg::LinalgError;
use lisse_array::sparse::{Csr, CsrError};
use lisse_array::{Array, DType, Tree, check, grad};
use proptest::prelude::*;
use support::{assert_close, normal};

/// A random matrix with about a third of its places filled.
fn random(seed: u64, rows: usize, columns: usize) -> Csr {
    let x = normal(seed, &[rows, columns]);
    let kept = x.abs().greater(&x.full_like(0.95)).cast(DType::F64);
    Csr::from_dense(&(x * kept))
}

/// The same with a strong diagonal.
fn regular(seed: u64, n: usize) -> Csr {
    random(seed, n, n).add_scaled(4.0, &Csr::eye(n, DType::F64))
}

/// Second differences on a line of `n` points, plus the identity.
fn laplacian(n: usize) -> Csr {
    let (mut i, mut j, mut v) = (Vec::new(), Vec::new(), Vec::new());
    for k in 0..n {
        i.push(k);
        j.push(k);
        v.push(3.0);
        if k + 1 < n {
            i.extend([k, k + 1]);
            j.extend([k + 1, k]);
            v.extend([-1.0, -1.0]);
        }
    }
    let count = v.len();
    Csr::from_triplets(n, n, &i, &j, &Array::from_vec(v, &[count])).unwrap()
}

#[test]
fn triplets_are_sorted_and_summed() {
    let values = Array::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5]);
    let a = Csr::from_triplets(3, 2, &[2, 0, 2, 0, 2], &[1, 1, 0, 0, 1], &values).unwrap();
    assert_eq!(a.pattern().indptr(), [0, 2, 2, 4]);
    assert_eq!(a.pattern().indices(), [0, 1, 0, 1]);
    assert_eq!(a.values().to_vec::<f64>(), [4.0, 2.0, 3.0, 6.0]);
    assert_eq!(a.to_dense().to_vec::<f64>(), [4.0, 2.0, 0.0, 0.0, 3.0, 6.0]);
    assert_eq!(a.t().to_dense().to_vec::<f64>(), a.to_dense().t().to_vec::<f64>());
    assert_eq!(a.diagonal().to_vec::<f64>(), [4.0, 0.0]);
}

#[test]
fn what_comes_in_is_checked() {
    let one = |n: usize| Array::ones(&[n], DType::F64);
    let new = |indptr: &[usize], indices: &[usize]| {
        Csr::new(2, 2, indptr.to_vec(), indices.to_vec(), &one(indices.len())).unwrap_err()
    };
    assert!(matches!(new(&[0, 1], &[0]), CsrError::Pointers(_)));
    assert!(matches!(new(&[0, 1, 3], &[0, 1]), CsrError::Pointers(_)));
    assert!(matches!(new(&[0, 3, 2], &[0, 1]), CsrError::Pointers(_)));
    assert_eq!(new(&[0, 2, 2], &[1, 0]), CsrError::Order { row: 0, column: 0, previous: 1 });
    assert!(matches!(
        new(&[0, 1, 2], &[0, 2]),
        CsrError::OutOfRange { entry: 1, row: 1, column: 2, .. }
    ));
    let short = Csr::from_triplets(2, 2, &[0, 1], &[0], &one(2)).unwrap_err();
    assert_eq!(
        short.to_string(),
        "triplets: 2 rows, 1 columns and 2 values; there must be one of each per entry"
    );
    let outside = Csr::from_triplets(2, 2, &[0, 2], &[0, 0], &one(2)).unwrap_err();
    assert!(outside.to_string().contains("entry 1 at row 2, column 0"), "{outside}");
}

#[test]
fn products_and_solves_agree_with_dense_ones() {
    for dtype in [DType::F64, DType::F32] {
        let tolerance = support::rounding(30, dtype);
        let a = regular(1, 30);
        let a = a.with_values(&a.values().cast(dtype));
        let x = normal(2, &[30, 3]).cast(dtype);
        let dense = a.to_dense();
        assert_close(&a.matmul(&x), &dense.matmul(&x), tolerance);
        assert_close(&a.t().matmul(&x), &dense.t().matmul(&x), tolerance);
        assert_close(&a.solve(&x).unwrap(), &dense.solve(&x).unwrap(), tolerance);
        let factor = a.lu().unwrap();
        assert_close(&factor.solve_transposed(&x), &dense.t().solve(&x).unwrap(), tolerance);
        let vector = x.index(1, 0);
        assert_close(&a.matmul(&vector), &dense.matmul(&vector), tolerance);
        assert_close(&factor.solve(&vector), &dense.solve(&vector).unwrap(), tolerance);
    }
    let rectangular = random(3, 4, 6);
    let x = normal(4, &[6]);
    assert_close(&rectangular.matmul(&x), &rectangular.to_dense().matmul(&x), 1e-14);
    let sum = rectangular.add_scaled(-2.0, &random(5, 4, 6));
    assert_close(
        &sum.to_dense(),
        &(rectangular.to_dense() - random(5, 4, 6).to_dense() * 2.0),
        1e-14,
    );
}

#[test]
fn definite_systems_go_through_cholesky() {
    let a = laplacian(500);
    let b = normal(6, &[500, 2]);
    let x = a.cholesky().unwrap().solve(&b);
    assert_close(&a.matmul(&x), &b, 1e-13);
    assert_close(&a.lu().unwrap().solve(&b), &x, 1e-13);
    // The analysis of the places serves other values.
    let scaled = a.with_values(&(a.values() * 2.0));
    assert_close(&scaled.cholesky().unwrap().solve(&b), &(x * 0.5), 1e-13);
}

#[test]
fn failures_are_values() {
    let singular = Csr::from_dense(&Array::from_slice(&[1.0, 2.0, 2.0, 4.0], &[2, 2]));
    let error = singular.solve(&Array::ones(&[2], DType::F64)).unwrap_err();
    assert!(matches!(error, LinalgError::Singular { operation: "sparse lu", .. }), "{error:?}");
    let empty_row = Csr::from_triplets(2, 2, &[0], &[0], &Array::ones(&[1], DType::F64)).unwrap();
    assert!(matches!(empty_row.lu(), Err(LinalgError::Singular { .. })));
    let indefinite = Csr::from_dense(&Array::from_slice(&[1.0, 2.0, 2.0, 1.0], &[2, 2]));
    assert!(matches!(indefinite.cholesky(), Err(LinalgError::NotPositiveDefinite { .. })));
    assert!(indefinite.solve(&Array::ones(&[2], DType::F64)).is_ok());
    let skew = Csr::from_dense(&Array::from_slice(&[1.0, 2.0, -2.0, 1.0], &[2, 2]));
    let error = skew.cholesky().err().unwrap();
    assert!(matches!(error, LinalgError::NotSymmetric { row: 0, column: 1, .. }), "{error:?}");
    let nan = skew.with_values(&Array::full(&[4], f64::NAN, DType::F64));
    assert!(matches!(nan.lu(), Err(LinalgError::NotFinite { .. })));
}

#[test]
fn a_large_singular_matrix_is_found_out() {
    // Second differences without boundary values: constants lie in the null space, one row is the sum of the others.
    let n = 400;
    let a = laplacian(n);
    let mut dense = a.add_scaled(-1.0, &Csr::eye(n, DType::F64)).to_dense().to_vec::<f64>();
    (dense[0], dense[n * n - 1]) = (1.0, 1.0);
    let a = Csr::from_dense(&Array::from_vec(dense, &[n, n]));
    let outcome = a.solve(&Array::ones(&[n], DType::F64));
    assert!(matches!(outcome, Err(LinalgError::Singular { .. })), "{outcome:?}");
}

#[test]
fn products_differentiate_in_values_and_operand() {
    let a = random(7, 4, 5);
    for shape in [vec![5], vec![5, 2]] {
        let point = (a.clone(), normal(8, &shape));
        check::gradient(|(a, x): &(Csr, Array)| a.matmul(x), &point, 2).unwrap();
        let cubic = |(a, x): &(Csr, Array)| a.t().matmul(&a.matmul(x).sin());
        check::gradient(cubic, &point, 3).unwrap();
    }
}

#[test]
fn solves_differentiate_in_values_and_right_hand_side() {
    let point = (regular(9, 4), normal(10, &[4, 2]));
    check::gradient(|(a, b): &(Csr, Array)| a.solve(b).unwrap(), &point, 3).unwrap();
    check::gradient(|(a, b): &(Csr, Array)| a.lu().unwrap().solve_transposed(b), &point, 2)
        .unwrap();
    // Through Cholesky, with values that stay symmetric.
    let places = laplacian(3);
    let solve = |d: &Array| {
        let values = Array::cat(&[d, &(d.narrow(0, 0, 2) * -0.3), &(d.narrow(0, 0, 2) * -0.3)], 0);
        let a = Csr::from_triplets(3, 3, &[0, 1, 2, 0, 1, 1, 2], &[0, 1, 2, 1, 2, 0, 1], &values)
            .unwrap();
        a.cholesky().unwrap().solve(&Array::ones(&[3], DType::F64))
    };
    assert_eq!(places.shape(), [3, 3]);
    check::gradient(solve, &Array::from_slice(&[2.0, 3.0, 4.0], &[3]), 3).unwrap();
}

#[test]
fn structure_changes_differentiate() {
    let values = normal(11, &[4]);
    let dense = |v: &Array| {
        let a = Csr::from_triplets(2, 3, &[0, 1, 0, 0], &[2, 1, 2, 0], v).unwrap();
        a.to_dense().sin()
            + a.t().to_dense().t()
                * a.add_scaled(
                    2.0,
                    &a.add_scaled(1.0, &Csr::from_dense(&Array::ones(&[2, 3], DType::F64))),
                )
                .to_dense()
    };
    check::gradient(dense, &values, 2).unwrap();
    let square = normal(12, &[3, 3]);
    check::gradient(|x: &Array| Csr::from_dense(x).diagonal().exp(), &square, 2).unwrap();
    check::gradient(|x: &Array| Csr::from_dense(x).matmul(&x.index(0, 1)), &square, 2).unwrap();
}

#[test]
fn a_matrix_is_a_tree_of_its_values() {
    let a = laplacian(3);
    assert_eq!(a.named_leaves()[0].0, "values");
    let slope: Csr = grad(|a: &Csr| a.to_dense().square().sum_all())(&a);
    assert_eq!(slope.values().to_vec::<f64>(), (a.values() * 2.0).to_vec::<f64>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn transposing_twice_and_going_through_dense_change_nothing(seed in 0u64..1_000_000, rows in 1usize..9, columns in 1usize..9) {
        let a = random(seed, rows, columns);
        prop_assert_eq!(a.t().t().to_dense().to_vec::<f64>(), a.to_dense().to_vec::<f64>());
        let again = Csr::from_dense(&a.to_dense());
        prop_assert_eq!(again.pattern().indices(), a.pattern().indices());
        prop_assert_eq!(again.values().to_vec::<f64>(), a.values().to_vec::<f64>());
    }

    #[test]
    fn solutions_satisfy_the_system(seed in 0u64..1_000_000, n in 1usize..40) {
        let a = regular(seed, n);
        let b = normal(seed + 1, &[n]);
        if let Ok(x) = a.solve(&b) {
            let scale = a.values().abs().max_all().item() * n as f64 * x.abs().max_all().item().max(1.0);
            let residual = (a.matmul(&x) - b).abs().max_all().item();
            prop_assert!(residual <= support::rounding(n, DType::F64) * scale);
        }
    }
}
