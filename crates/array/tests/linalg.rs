//! Dense linear algebra: reference values, reconstruction, derivatives, failures, laws.

mod support;

use lisse_array::linalg::LinalgError;
use lisse_array::{Array, DType, check, grad};
use proptest::prelude::*;
use support::{assert_close, definite, golden, normal, regular, rounding};

// Values ------------------------------------------------------------------------------------------------------------------

#[test]
fn values_agree_with_numpy() {
    let [square, tall, wide, columns] = ["square", "tall", "wide", "columns"].map(golden);
    let close = |found: &Array, name: &str| assert_close(found, &golden(name), 1e-12);
    close(&square.solve(&columns).unwrap(), "solve");
    close(&square.inverse().unwrap(), "inverse");
    close(&square.det().unwrap(), "det");
    let (sign, log) = square.slogdet().unwrap();
    close(&sign, "slogdet_sign");
    close(&log, "slogdet_log");
    let positive = golden("definite");
    close(&positive.cholesky().unwrap(), "cholesky");
    close(&positive.solve_triangular(&columns, false).unwrap(), "triangular");
    close(&positive.solve_triangular(&columns, true).unwrap(), "triangular_upper");
    let (q, r) = tall.qr().unwrap();
    close(&q, "q");
    close(&r, "r");
    let (q, r) = wide.qr().unwrap();
    close(&q, "q_wide");
    close(&r, "r_wide");
    let (u, s, vt) = tall.svd().unwrap();
    close(&u, "u");
    close(&s, "s");
    close(&vt, "vt");
    let (w, v) = golden("symmetric").eigh().unwrap();
    close(&w, "eigenvalues");
    close(&v, "eigenvectors");
    let five = Array::cat(&[&columns, &Array::from_slice(&[1.0, -1.0], &[1, 2])], 0);
    close(&tall.lstsq(&five).unwrap(), "lstsq_tall");
    close(&wide.lstsq(&columns.narrow(0, 0, 3)).unwrap(), "lstsq_wide");
    close(&golden("deficient").pinv(None).unwrap(), "pinv");
    close(&(square * 3.0).matrix_exp().unwrap(), "expm");
}

#[test]
fn factors_give_the_matrix_back() {
    for dtype in [DType::F64, DType::F32] {
        for (m, n) in [(1, 1), (3, 3), (7, 4), (4, 7), (64, 64), (120, 33), (300, 300)] {
            let tolerance = rounding(m.max(n), dtype);
            let a = normal(1, &[m, n]).cast(dtype);
            let k = m.min(n);
            let (q, r) = a.qr().unwrap();
            assert_close(&q.matmul(&r), &a, tolerance);
            assert_close(&q.t().matmul(&q), &Array::eye(k, dtype), tolerance);
            let (u, s, vt) = a.svd().unwrap();
            assert_close(&(&u * s.unsqueeze(-2)).matmul(&vt), &a, tolerance);
            assert_close(&u.t().matmul(&u), &Array::eye(k, dtype), tolerance);
            assert_close(&vt.matmul(&vt.t()), &Array::eye(k, dtype), tolerance);
            assert!(s.to_f64_vec().is_sorted_by(|a, b| a >= b));
            let c = definite(&a);
            let l = c.cholesky().unwrap();
            assert_close(&l.matmul(&l.t()), &c, tolerance);
            let (w, v) = c.eigh().unwrap();
            assert_close(&(&v * w.unsqueeze(-2)).matmul(&v.t()), &c, tolerance);
            assert!(w.to_f64_vec().is_sorted());
            let b = normal(2, &[m, 2]).cast(dtype);
            let x = c.solve(&b).unwrap();
            assert_close(&c.matmul(&x), &b, tolerance * w.max_all().item());
            assert_close(&l.cholesky_solve(&b), &x, tolerance * w.max_all().item());
        }
    }
}

#[test]
fn a_batch_is_the_loop_over_its_matrices() {
    for n in [3, 40, 260] {
        let a = regular(3, &[2, 3], n);
        let b = normal(4, &[2, 3, n, 2]);
        let c = definite(&a);
        let each = |f: &dyn Fn(&Array, &Array) -> Array| {
            let one = |i: usize| {
                let (p, q) = (i / 3, i % 3);
                f(&a.index(0, p).index(0, q), &b.index(0, p).index(0, q))
            };
            let parts: Vec<Array> = (0..6).map(one).collect();
            let stacked = Array::stack(&parts.iter().collect::<Vec<_>>(), 0);
            let shape: Vec<isize> = [2, 3]
                .into_iter()
                .chain(stacked.shape()[1..].iter().map(|&d| d as isize))
                .collect();
            stacked.reshape(&shape)
        };
        let same = |batched: Array, f: &dyn Fn(&Array, &Array) -> Array| {
            assert_eq!(batched.to_vec::<f64>(), each(f).to_vec::<f64>());
        };
        same(a.solve(&b).unwrap(), &|a, b| a.solve(b).unwrap());
        same(a.slogdet().unwrap().1, &|a, _| a.slogdet().unwrap().1);
        same(a.qr().unwrap().0, &|a, _| a.qr().unwrap().0);
        same(a.svd().unwrap().2, &|a, _| a.svd().unwrap().2);
        // The products that make `c` may round differently in a batch.
        let l = c.cholesky().unwrap();
        assert_close(&l.matmul(&l.t()), &c, rounding(n, DType::F64));
    }
}

#[test]
fn leading_axes_broadcast() {
    let a = regular(5, &[3], 4);
    let b = normal(6, &[2, 1, 4, 2]);
    let x = a.solve(&b).unwrap();
    assert_eq!(x.shape(), [2, 3, 4, 2]);
    assert_close(&a.matmul(&x), &b.expand(&[2, 3, 4, 2]), 1e-13);
    let l = definite(&a).cholesky().unwrap();
    assert_eq!(l.solve_triangular(&b, false).unwrap().shape(), [2, 3, 4, 2]);
    assert_eq!(a.solve(&normal(7, &[4])).unwrap().shape(), [3, 4]);
}

#[test]
fn thread_counts_do_not_change_results() {
    let a = normal(8, &[300, 300]);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (_, s, vt) = a.svd().unwrap();
            let (w, _) = (&a + a.t()).eigh().unwrap();
            let x = a.solve(&Array::ones(&[300], DType::F64)).unwrap();
            let (_, r) = a.qr().unwrap();
            [s, vt, w, x, r].map(|x| x.to_vec::<f64>())
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn empty_matrices_and_batches_are_allowed() {
    let none = Array::zeros(&[0, 0], DType::F64);
    assert_eq!(none.solve(&Array::zeros(&[0, 2], DType::F64)).unwrap().shape(), [0, 2]);
    assert_eq!(none.det().unwrap().item(), 1.0);
    assert_eq!(none.cholesky().unwrap().shape(), [0, 0]);
    assert_eq!(none.eigh().unwrap().0.shape(), [0]);
    assert_eq!(none.svd().unwrap().1.shape(), [0]);
    assert_eq!(none.qr().unwrap().0.shape(), [0, 0]);
    assert_eq!(Array::zeros(&[0, 3, 3], DType::F64).inverse().unwrap().shape(), [0, 3, 3]);
}

#[test]
fn only_the_lower_triangle_of_symmetric_matrices_is_read() {
    let a = definite(&normal(9, &[4, 4]));
    let spoilt = a.tril(0) + Array::full(&[4, 4], f64::NAN, DType::F64).triu(1).nan_to(7.0);
    assert_eq!(spoilt.cholesky().unwrap().to_vec::<f64>(), a.cholesky().unwrap().to_vec::<f64>());
    assert_eq!(spoilt.eigh().unwrap().0.to_vec::<f64>(), a.eigh().unwrap().0.to_vec::<f64>());
}

trait Spoil {
    fn nan_to(&self, value: f64) -> Array;
}
impl Spoil for Array {
    /// NaN replaced by a wrong number.
    fn nan_to(&self, value: f64) -> Array {
        let missing = self.not_equal(self);
        Array::select(&missing, &self.full_like(value), self)
    }
}

// Failures ----------------------------------------------------------------------------------------------------------------

#[test]
fn failures_name_the_matrix_and_the_pivot() {
    let good = regular(10, &[], 3);
    let bad = Array::from_slice(&[1.0, 2.0, 0.0, 2.0, 4.0, 0.0, 0.0, 0.0, 1.0], &[3, 3]);
    let batch = Array::stack(&[&good, &bad, &bad], 0);
    let b = Array::ones(&[3], DType::F64);
    let error = batch.solve(&b).unwrap_err();
    assert!(
        matches!(error, LinalgError::Singular { operation: "solve", batch: Some(1), .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("matrix 1 of the batch is singular"), "{error}");
    assert!(matches!(bad.slogdet(), Err(LinalgError::Singular { batch: None, .. })));
    assert_eq!(bad.det().unwrap().item(), 0.0);
    let indefinite = Array::from_slice(&[1.0, 2.0, 2.0, 1.0], &[2, 2]);
    let error = indefinite.cholesky().unwrap_err();
    let expected =
        LinalgError::NotPositiveDefinite { operation: "cholesky", batch: None, pivot: 1 };
    assert_eq!(error, expected);
    assert!(error.to_string().contains("jitter"));
    let nan = Array::from_slice(&[1.0, f64::NAN, f64::NAN, 1.0], &[2, 2]);
    let not_finite =
        |r: Result<Array, LinalgError>| matches!(r, Err(LinalgError::NotFinite { .. }));
    assert!(not_finite(nan.solve(&Array::ones(&[2], DType::F64))));
    assert!(not_finite(nan.cholesky()));
    assert!(not_finite(nan.svd().map(|p| p.1)));
    assert!(not_finite(nan.eigh().map(|p| p.0)));
    assert!(not_finite(nan.qr().map(|p| p.0)));
    assert!(not_finite(nan.pinv(None)));
    assert!(not_finite(nan.matrix_exp()));
    let deficient = Array::from_slice(&[1.0, 2.0, 2.0, 4.0, 3.0, 6.0], &[3, 2]);
    let error = deficient.lstsq(&b).unwrap_err();
    assert!(matches!(error, LinalgError::RankDeficient { pivot: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("pinv"));
    let zero_diagonal = Array::from_slice(&[1.0, 0.0, 1.0, 0.0], &[2, 2]);
    let error = zero_diagonal.solve_triangular(&Array::ones(&[2], DType::F64), false).unwrap_err();
    assert!(matches!(error, LinalgError::Singular { pivot: 1, .. }));
}

#[test]
fn the_determinant_of_a_singular_matrix_has_no_rule() {
    let singular = Array::ones(&[2, 2], DType::F64);
    let seen = std::cell::Cell::new(false);
    grad(|x: &Array| {
        seen.set(matches!(x.det(), Err(LinalgError::Singular { .. })));
        x.sum_all()
    })(&singular);
    assert!(seen.get());
}

#[test]
#[should_panic(expected = "solve: the right-hand side needs 3 rows: [3, 3] and [2, 1]")]
fn shapes_that_do_not_fit_panic() {
    let _ = Array::eye(3, DType::F64).solve(&Array::ones(&[2, 1], DType::F64));
}

#[test]
#[should_panic(expected = "cholesky: runs in f64 and f32, got bf16; cast first")]
fn half_floats_are_refused() {
    let _ = Array::eye(3, DType::BF16).cholesky();
}

// Derivatives -------------------------------------------------------------------------------------------------------------

#[test]
fn solves_differentiate_to_the_third_order() {
    let point = (regular(11, &[], 3), normal(12, &[3, 2]));
    check::gradient(|(a, b): &(Array, Array)| a.solve(b).unwrap(), &point, 3).unwrap();
    check::gradient(|(a, b): &(Array, Array)| a.lu().unwrap().solve_transposed(b), &point, 2)
        .unwrap();
    let vector = (regular(11, &[], 3), normal(12, &[3]));
    check::gradient(|(a, b): &(Array, Array)| a.solve(b).unwrap(), &vector, 2).unwrap();
    for upper in [false, true] {
        let f = |(a, b): &(Array, Array)| a.solve_triangular(b, upper).unwrap();
        check::gradient(f, &point, 3).unwrap();
    }
}

#[test]
fn broadcast_solves_differentiate() {
    let point = (regular(13, &[2], 2), normal(14, &[3, 1, 2, 1]));
    check::gradient(|(a, b): &(Array, Array)| a.solve(b).unwrap(), &point, 2).unwrap();
    check::gradient(|(a, b): &(Array, Array)| a.solve_triangular(b, true).unwrap(), &point, 2)
        .unwrap();
    let shared = (regular(13, &[], 2), normal(14, &[3, 2, 1]));
    check::gradient(|(a, b): &(Array, Array)| a.solve(b).unwrap(), &shared, 2).unwrap();
}

#[test]
fn inverse_and_determinants_differentiate() {
    let a = regular(15, &[2], 3);
    check::gradient(|a: &Array| a.inverse().unwrap(), &a, 2).unwrap();
    check::gradient(|a: &Array| a.slogdet().unwrap().1, &a, 3).unwrap();
    check::gradient(|a: &Array| a.det().unwrap() * 0.1, &a, 2).unwrap();
    // A negative determinant: the logarithm's slope does not see the sign.
    let flipped = Array::from_slice(&[0.0, 2.0, 1.0, 0.5], &[2, 2]);
    check::gradient(|a: &Array| a.det().unwrap(), &flipped, 2).unwrap();
}

#[test]
fn cholesky_differentiates_to_the_third_order() {
    let x = normal(16, &[3, 3]);
    check::gradient(|x: &Array| definite(x).cholesky().unwrap(), &x, 3).unwrap();
    let point = (normal(17, &[2, 2, 2]), normal(18, &[2, 1]));
    let f = |(x, b): &(Array, Array)| definite(x).cholesky().unwrap().cholesky_solve(b);
    check::gradient(f, &point, 2).unwrap();
}

#[test]
fn derivatives_of_symmetric_factorizations_are_symmetric() {
    let a = definite(&normal(19, &[4, 4]));
    for gradient in [
        grad(|a: &Array| a.cholesky().unwrap().sum_all())(&a),
        grad(|a: &Array| a.eigh().unwrap().0.square().index(-1, 1))(&a),
    ] {
        assert_close(&gradient.t(), &gradient, 1e-15);
    }
}

#[test]
fn qr_differentiates() {
    for (shape, seed) in [([4, 2], 20), ([3, 3], 21), ([2, 4], 22)] {
        let a = normal(seed, &shape);
        check::gradient(|a: &Array| a.qr().unwrap().0, &a, 2).unwrap();
        check::gradient(|a: &Array| a.qr().unwrap().1, &a, 2).unwrap();
        let both = |a: &Array| {
            let (q, r) = a.qr().unwrap();
            q.matmul(&r.sin())
        };
        check::gradient(both, &a, 2).unwrap();
    }
}

#[test]
fn svd_differentiates() {
    for (shape, seed) in [([4, 2], 23), ([3, 3], 24), ([2, 4], 25)] {
        let a = normal(seed, &shape)
            + Array::eye(4, DType::F64).narrow(0, 0, shape[0]).narrow(1, 0, shape[1]) * 2.0;
        check::gradient(|a: &Array| a.svd().unwrap().0, &a, 2).unwrap();
        check::gradient(|a: &Array| a.svd().unwrap().1, &a, 2).unwrap();
        check::gradient(|a: &Array| a.svd().unwrap().2, &a, 2).unwrap();
        let all = |a: &Array| {
            let (u, s, vt) = a.svd().unwrap();
            u.sin().matmul(&(s.unsqueeze(-1) * vt.exp()))
        };
        check::gradient(all, &a, 2).unwrap();
    }
}

#[test]
fn eigh_differentiates() {
    let diagonal = Array::from_slice(&[0.0, 3.0, 7.0], &[3]) * Array::eye(3, DType::F64);
    let symmetric = |x: &Array| x + x.t() + &diagonal;
    let x = normal(26, &[3, 3]) * 0.4;
    check::gradient(|x: &Array| symmetric(x).eigh().unwrap().0, &x, 2).unwrap();
    check::gradient(|x: &Array| symmetric(x).eigh().unwrap().1, &x, 2).unwrap();
    let both = |x: &Array| {
        let (w, v) = symmetric(x).eigh().unwrap();
        (&v * w.sin().unsqueeze(-2)).matmul(&v.t())
    };
    check::gradient(both, &x, 2).unwrap();
}

#[test]
fn repeated_values_have_value_derivatives_only() {
    let identity = Array::eye(3, DType::F64);
    let slope = grad(|a: &Array| a.eigh().unwrap().0.sum_all())(&identity);
    assert_close(&slope, &identity, 1e-14);
    let nuclear = grad(|a: &Array| a.svd().unwrap().1.sum_all())(&identity);
    assert_close(&nuclear, &identity, 1e-14);
    let vectors = grad(|a: &Array| a.eigh().unwrap().1.sin().sum_all())(&identity);
    assert!(!vectors.all_finite());
}

#[test]
fn least_squares_differentiates() {
    for (m, n) in [(4, 2), (2, 4), (3, 3)] {
        let point = (
            normal(27, &[m, n]) + Array::eye(4, DType::F64).narrow(0, 0, m).narrow(1, 0, n),
            normal(28, &[m, 2]),
        );
        check::gradient(|(a, b): &(Array, Array)| a.lstsq(b).unwrap(), &point, 2).unwrap();
    }
}

#[test]
fn the_pseudo_inverse_differentiates_at_any_rank() {
    for shape in [[4, 2], [2, 4], [3, 3]] {
        check::gradient(|a: &Array| a.pinv(None).unwrap(), &normal(29, &shape), 2).unwrap();
    }
    // Rank two of three, kept along the directions of the factors.
    let point = (normal(30, &[3, 2]), normal(31, &[2, 4]));
    let f = |(x, y): &(Array, Array)| x.matmul(y).pinv(Some(1e-10)).unwrap();
    check::gradient(f, &point, 2).unwrap();
}

#[test]
fn the_matrix_exponential_differentiates() {
    check::gradient(|a: &Array| a.matrix_exp().unwrap(), &normal(32, &[3, 3]), 3).unwrap();
    // e^{A} at large norm, through squarings: tr e^A has the derivative (e^A)^T.
    let a = normal(33, &[4, 4]) * 4.0;
    let trace = |a: &Array| (a.matrix_exp().unwrap() * Array::eye(4, DType::F64)).sum_all();
    assert_close(&grad(trace)(&a), &a.matrix_exp().unwrap().t(), 1e-11);
}

// Laws --------------------------------------------------------------------------------------------------------------------

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_residual_of_a_solve_is_small(seed in 0u64..1_000_000, n in 1usize..20, k in 1usize..4) {
        let (a, b) = (normal(seed, &[n, n]), normal(seed + 1, &[n, k]));
        let x = a.solve(&b).unwrap();
        // Backward stable: small relative to |A| |x|, however badly conditioned A is.
        let scale = a.abs().sum(&[-1]).max_all().item() * x.abs().max_all().item().max(1.0);
        let residual = (a.matmul(&x) - b).abs().max_all().item();
        prop_assert!(residual <= rounding(n, DType::F64) * scale, "{residual:e} at scale {scale:e}");
    }

    #[test]
    fn log_determinants_of_products_add(seed in 0u64..1_000_000, n in 1usize..12) {
        let (a, b) = (regular(seed, &[], n), regular(seed + 1, &[], n));
        let ((s1, l1), (s2, l2)) = (a.slogdet().unwrap(), b.slogdet().unwrap());
        let (sign, log) = a.matmul(&b).slogdet().unwrap();
        prop_assert_eq!(sign.item(), s1.item() * s2.item());
        prop_assert!((log.item() - l1.item() - l2.item()).abs() < 1e-10 * n as f64);
    }

    #[test]
    fn the_pseudo_inverse_obeys_penrose(seed in 0u64..1_000_000, m in 1usize..8, n in 1usize..8, r in 1usize..4) {
        let a = normal(seed, &[m, r]).matmul(&normal(seed + 1, &[r, n]));
        let p = a.pinv(Some(1e-10)).unwrap();
        let tolerance = 1e-9 * p.abs().max_all().item().max(1.0);
        let near = |x: &Array, y: &Array| support::distance(x, y) <= tolerance;
        let (ap, pa) = (a.matmul(&p), p.matmul(&a));
        prop_assert!(near(&ap.matmul(&a), &a) && near(&ap.t(), &ap) && near(&pa.t(), &pa));
    }
}
