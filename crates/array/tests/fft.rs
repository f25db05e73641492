//! Fourier transforms: reference values, inverses, derivatives, laws.

mod support;

use lisse_array::{Array, DType, check};
use proptest::prelude::*;
use support::{assert_close, golden, normal};

/// The transform by its definition, along the only axis.
fn naive(re: &Array, im: &Array) -> (Array, Array) {
    let n = re.len();
    let angle = |i: usize, j: usize| -std::f64::consts::TAU * ((i * j) % n) as f64 / n as f64;
    let matrix = |f: fn(f64) -> f64| {
        Array::from_vec((0..n * n).map(|e| f(angle(e / n, e % n))).collect::<Vec<f64>>(), &[n, n])
    };
    let (c, s) = (matrix(f64::cos), matrix(f64::sin));
    (c.matmul(re) - s.matmul(im), c.matmul(im) + s.matmul(re))
}

#[test]
fn values_agree_with_numpy() {
    let (re, im) = (golden("cube"), golden("cube_im"));
    let close = |found: &(Array, Array), name: &str| {
        assert_close(&found.0, &golden(&format!("{name}_re")), 1e-14);
        assert_close(&found.1, &golden(&format!("{name}_im")), 1e-14);
    };
    close(&Array::fft(&re, &im, &[0, 2]), "fft");
    close(&Array::ifft(&re, &im, &[]), "ifft");
    close(&Array::rfft(&re, &[2, 1]), "rfft");
    close(&Array::rfft(&re, &[-1]), "rfft_odd");
    assert_close(&Array::irfft(&re, &im, 8, &[0, 2]), &golden("irfft"), 1e-14);
}

#[test]
fn any_length_agrees_with_the_definition() {
    for n in [1, 2, 3, 8, 12, 17, 30, 101] {
        let (re, im) = (normal(1, &[n]), normal(2, &[n]));
        let (expected_re, expected_im) = naive(&re, &im);
        let (found_re, found_im) = Array::fft(&re, &im, &[0]);
        assert_close(&found_re, &expected_re, 1e-13);
        assert_close(&found_im, &expected_im, 1e-13);
        let (half_re, half_im) = Array::rfft(&re, &[0]);
        let (real_re, real_im) = naive(&re, &im.zeros_like());
        assert_close(&half_re, &real_re.narrow(0, 0, n / 2 + 1), 1e-13);
        assert_close(&half_im, &real_im.narrow(0, 0, n / 2 + 1), 1e-13);
        assert_close(&Array::irfft(&half_re, &half_im, n, &[0]), &re, 1e-13);
    }
}

#[test]
fn single_precision_and_large_batches_work() {
    let x = normal(3, &[200, 48, 3]).cast(DType::F32);
    let (re, im) = Array::rfft(&x, &[0, 1]);
    assert_eq!(re.shape(), [200, 25, 3]);
    assert_close(&Array::irfft(&re, &im, 48, &[0, 1]), &x, 1e-5);
    let (wide_re, _) = Array::rfft(&x.cast(DType::F64), &[0, 1]);
    assert_close(&re, &wide_re, 1e-5);
}

#[test]
fn transforms_differentiate() {
    let point = (normal(4, &[2, 3]), normal(5, &[2, 3]));
    let square = |(re, im): (Array, Array)| re.square() * &im + im.sin();
    for axes in [vec![0], vec![1], vec![]] {
        let forward = |(re, im): &(Array, Array)| square(Array::fft(re, im, &axes));
        check::gradient(forward, &point, 2).unwrap();
        let inverse = |(re, im): &(Array, Array)| square(Array::ifft(re, im, &axes));
        check::gradient(inverse, &point, 2).unwrap();
        let part = |(re, im): &(Array, Array)| Array::fft(re, im, &axes).1.square();
        check::gradient(part, &point, 2).unwrap();
    }
    check::gradient(|(re, im): &(Array, Array)| square(Array::fft(re, im, &[])), &point, 3)
        .unwrap();
}

#[test]
fn real_transforms_differentiate() {
    let square = |(re, im): (Array, Array)| re.square() * &im + im.sin();
    for n in [1, 2, 5, 6] {
        let x = normal(6, &[2, n]);
        for axes in [vec![1], vec![0, 1], vec![1, 0]] {
            check::gradient(|x: &Array| square(Array::rfft(x, &axes)), &x, 2).unwrap();
        }
        let half = n / 2 + 1;
        let point = (normal(7, &[2, half]), normal(8, &[2, half]));
        for axes in [vec![1], vec![0, 1]] {
            let f = |(re, im): &(Array, Array)| Array::irfft(re, im, n, &axes).sin();
            check::gradient(f, &point, 2).unwrap();
        }
    }
}

#[test]
#[should_panic(
    expected = "irfft: a result of length 5 needs 3 frequencies along axis 0, got shape [4]"
)]
fn lengths_that_do_not_fit_panic() {
    let half = Array::ones(&[4], DType::F64);
    let _ = Array::irfft(&half, &half, 5, &[0]);
}

#[test]
#[should_panic(expected = "fft: axes [0, -2] name an axis of shape [2, 3] twice")]
fn repeated_axes_panic() {
    let x = Array::ones(&[2, 3], DType::F64);
    let _ = Array::fft(&x, &x, &[0, -2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn inverses_undo_and_energy_is_kept(seed in 0u64..1_000_000, a in 1usize..9, b in 1usize..9, c in 1usize..9) {
        let (re, im) = (normal(seed, &[a, b, c]), normal(seed + 1, &[a, b, c]));
        let (fr, fi) = Array::fft(&re, &im, &[]);
        let (br, bi) = Array::ifft(&fr, &fi, &[]);
        prop_assert!(support::distance(&br, &re) < 1e-13 && support::distance(&bi, &im) < 1e-13);
        let energy = |re: &Array, im: &Array| (re.square() + im.square()).sum_all().item();
        let (there, here) = (energy(&fr, &fi) / (a * b * c) as f64, energy(&re, &im));
        prop_assert!((there - here).abs() < 1e-12 * here.max(1.0));
        let (hr, hi) = Array::rfft(&re, &[0, 2, 1]);
        prop_assert!(support::distance(&Array::irfft(&hr, &hi, b, &[0, 2, 1]), &re) < 1e-13);
    }
}
