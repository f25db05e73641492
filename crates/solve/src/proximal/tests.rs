//! Proximal operators against their definition, their derivatives, and each other.

use lisse_array::{Array, DType, Stream, check};

use super::*;

fn vector(values: &[f64]) -> Array {
    Array::from_slice(values, &[values.len()])
}

fn normal(name: &str, shape: &[usize]) -> Array {
    Stream::new(11).child(name).normal(shape, DType::F64)
}

fn norm(p: &[f64]) -> f64 {
    p.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// An operator with the function whose operator it is.
struct Case {
    name: &'static str,
    operator: fn(&Array, &Array) -> Array,
    function: fn(&[f64]) -> f64,
}

fn cases() -> Vec<Case> {
    let case = |name, operator, function| Case { name, operator, function };
    vec![
        case("none", |x, _| none(x), |_| 0.0),
        case("l1", l1, |p| p.iter().map(|v| v.abs()).sum()),
        case("non_negative_l1", non_negative_l1, |p| {
            if p.iter().any(|v| *v < 0.0) { f64::INFINITY } else { p.iter().sum() }
        }),
        case(
            "elastic_net",
            |x, w| elastic_net(x, w, &Array::scalar(0.7f64)),
            |p| p.iter().map(|v| v.abs() + 0.35 * v * v).sum(),
        ),
        case("ridge", ridge, |p| 0.5 * norm(p).powi(2)),
        case("non_negative_ridge", non_negative_ridge, |p| {
            if p.iter().any(|v| *v < 0.0) { f64::INFINITY } else { 0.5 * norm(p).powi(2) }
        }),
        case("group_lasso", group_lasso, norm),
        case("linf", linf, |p| p.iter().fold(0.0, |l, v| l.max(v.abs()))),
        case("log_barrier", log_barrier, |p| {
            if p.iter().any(|v| *v <= 0.0) {
                f64::INFINITY
            } else {
                -p.iter().map(|v| v.ln()).sum::<f64>()
            }
        }),
        case(
            "huber",
            |x, w| huber(x, w, 0.4),
            |p| {
                p.iter()
                    .map(|v| if v.abs() <= 0.4 { 0.5 * v * v } else { 0.4 * (v.abs() - 0.2) })
                    .sum()
            },
        ),
        case(
            "nuclear",
            |x, w| nuclear(&x.reshape(&[2, 3]), w).reshape(&[-1]),
            |p| {
                let (_, s, _) = Array::from_slice(p, &[2, 3]).svd().unwrap();
                s.sum_all().item()
            },
        ),
    ]
}

#[test]
fn operators_minimize_what_they_are_defined_by() {
    for case in cases() {
        for i in 0..8 {
            let x = normal("points", &[8, 6]).index(0, i);
            let weight = 0.35;
            let p = (case.operator)(&x, &Array::scalar(weight)).to_f64_vec();
            let x = x.to_f64_vec();
            let value = |q: &[f64]| {
                let distance: f64 = q.iter().zip(&x).map(|(a, b)| (a - b).powi(2)).sum();
                weight * (case.function)(q) + 0.5 * distance
            };
            let least = value(&p);
            let directions = normal("directions", &[40, 6]);
            for k in 0..40 {
                let d = directions.index(0, k).to_f64_vec();
                for size in [1e-1, 1e-3] {
                    let q: Vec<f64> = p.iter().zip(&d).map(|(p, d)| p + size * d).collect();
                    assert!(value(&q) >= least - 1e-12, "{}: a better point exists", case.name);
                }
            }
        }
    }
}

#[test]
fn operators_have_the_derivatives_of_finite_differences() {
    for case in cases() {
        for i in 0..3 {
            let x = normal("derivatives", &[3, 6]).index(0, i);
            let f = |(x, w): &(Array, Array)| (case.operator)(x, w);
            let at = (x, Array::scalar(0.3f64));
            check::gradient(f, &at, 2).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        }
    }
}

#[test]
fn nuclear_is_smooth_where_singular_values_repeat() {
    let (q, _) = normal("frame", &[4, 4]).qr().unwrap();
    let x = (&q * vector(&[2.0, 2.0, 0.1, 0.0])).matmul(&normal("other", &[4, 4]).qr().unwrap().0);
    let f = |x: &Array| nuclear(x, &Array::scalar(0.5f64));
    check::gradient(f, &x, 2).unwrap();
    let (_, s, _) = f(&x).svd().unwrap();
    let s = s.to_f64_vec();
    assert!((s[0] - 1.5).abs() < 1e-12 && (s[1] - 1.5).abs() < 1e-12 && s[2].abs() < 1e-12);
    let batch = Array::stack(&[&x, &x.t()], 0);
    let together = f(&batch);
    assert!((together.index(0, 1) - f(&x.t())).abs().max_all().item() < 1e-12);
    check::gradient(f, &batch, 1).unwrap();
}

#[test]
fn moreaus_identity_turns_norms_into_balls() {
    let x = normal("moreau", &[6]) * 2.0;
    let weight = Array::scalar(0.6f64);
    // The conjugate of |.|_1 is the indicator of the unit ball of the largest entry.
    let p = conjugate(l1, &x, &weight);
    let ball = projection::linf_ball(&x, &Array::scalar(1.0f64)).unwrap();
    assert!((p - ball).abs().max_all().item() < 1e-15);
}

#[test]
fn slices_agree_with_arrays() {
    let x = normal("slices", &[6]);
    let w = Array::scalar(0.3f64);
    let with = |f: &dyn Fn(&mut [f64])| {
        let mut v = x.to_f64_vec();
        f(&mut v);
        vector(&v)
    };
    let pairs = [
        (l1(&x, &w), with(&|v| slices::l1(v, 0.3))),
        (non_negative_l1(&x, &w), with(&|v| slices::non_negative_l1(v, 0.3))),
        (elastic_net(&x, &w, &w), with(&|v| slices::elastic_net(v, 0.3, 0.3))),
        (ridge(&x, &w), with(&|v| slices::ridge(v, 0.3))),
        (non_negative_ridge(&x, &w), with(&|v| slices::non_negative_ridge(v, 0.3))),
        (group_lasso(&x, &w), with(&|v| slices::group_lasso(v, 0.3))),
        (linf(&x, &w), with(&|v| slices::linf(v, 0.3))),
        (log_barrier(&x, &w), with(&|v| slices::log_barrier(v, 0.3))),
    ];
    for (i, (array, slice)) in pairs.iter().enumerate() {
        assert!((array - slice).abs().max_all().item() < 1e-14, "pair {i}");
    }
}

#[test]
fn the_barrier_keeps_its_digits_far_outside() {
    let p = log_barrier(&vector(&[-1e9, 1e9]), &Array::scalar(1.0f64)).to_f64_vec();
    assert!((p[0] - 1e-9).abs() < 1e-22 && (p[1] - 1e9).abs() < 1e-5);
    assert!(slices::soft(f64::NAN, 1.0).is_nan());
}

#[test]
#[should_panic(expected = "l1: a weight must be a finite number of at least 0, not -1")]
fn a_negative_weight_is_named() {
    l1(&vector(&[1.0]), &Array::scalar(-1.0f64));
}
