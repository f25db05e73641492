//! Known projections, laws of projections, derivatives, and what is refused.

use lisse_array::{Array, DType, Stream, check, jacobian};
use proptest::prelude::*;

use super::*;

fn vector(values: &[f64]) -> Array {
    Array::from_slice(values, &[values.len()])
}

fn matrix(values: &[f64], rows: usize) -> Array {
    Array::from_slice(values, &[rows, values.len() / rows])
}

fn number_of(value: f64) -> Array {
    Array::scalar(value)
}

#[track_caller]
fn close(found: &Array, expected: &[f64], tolerance: f64) {
    let found = found.to_f64_vec();
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= tolerance, "found {found:?}, expected {expected:?}");
    }
}

fn normal(name: &str, shape: &[usize]) -> Array {
    Stream::new(7).child(name).normal(shape, DType::F64)
}

#[test]
fn simplex_has_the_known_value_and_jacobian() {
    let x = vector(&[0.9, 0.5, 0.3, -0.2]);
    let f = |x: &Array| simplex(x, &number_of(1.0)).unwrap();
    close(&f(&x), &[2.0 / 3.0, 0.8 / 3.0, 0.2 / 3.0, 0.0], 1e-15);
    let mut slice = x.to_f64_vec();
    slices::simplex(&mut slice, 1.0).unwrap();
    close(&f(&x), &slice, 1e-15);
    // diag(s) - s s' / |s| with s = (1, 1, 1, 0).
    let (on, off) = (2.0 / 3.0, -1.0 / 3.0);
    let expected = [on, off, off, 0.0, off, on, off, 0.0, off, off, on, 0.0, 0.0, 0.0, 0.0, 0.0];
    close(&jacobian(f, &x), &expected, 1e-15);
}

#[test]
fn balls_and_half_spaces_have_the_known_jacobians() {
    let x = vector(&[3.0, -4.0]);
    let ball = jacobian(|x: &Array| l2_ball(x, &number_of(2.0)).unwrap(), &x);
    // (r / |x|) (I - x x' / |x|^2)
    let factor = 2.0 / 5.0;
    let expected =
        [1.0 - 9.0 / 25.0, 12.0 / 25.0, 12.0 / 25.0, 1.0 - 16.0 / 25.0].map(|v| v * factor);
    close(&ball, &expected, 1e-15);
    let inside = jacobian(|x: &Array| l2_ball(x, &number_of(6.0)).unwrap(), &x);
    close(&inside, &[1.0, 0.0, 0.0, 1.0], 0.0);
    let (low, high) = (vector(&[-1.0, -1.0]), vector(&[1.0, 1.0]));
    let y = vector(&[0.5, 2.0]);
    close(&jacobian(|x: &Array| boxed(x, &low, &high).unwrap(), &y), &[1.0, 0.0, 0.0, 0.0], 0.0);
    let a = vector(&[1.0, 2.0]);
    let active = |x: &Array| half_space(x, &a, &number_of(1.0)).unwrap();
    close(&jacobian(active, &y), &[0.8, -0.4, -0.4, 0.2], 1e-15);
    let idle = |x: &Array| half_space(x, &a, &number_of(10.0)).unwrap();
    close(&jacobian(idle, &y), &[1.0, 0.0, 0.0, 1.0], 0.0);
}

type Project = Box<dyn Fn(&Array) -> Projected>;
type Violation = Box<dyn Fn(&[f64]) -> f64>;

/// A projection of vectors of length 6 with a test of membership.
struct Case {
    name: &'static str,
    project: Project,
    /// How far a point is from the set's constraints.
    violation: Violation,
}

fn case(
    name: &'static str,
    project: impl Fn(&Array) -> Projected + 'static,
    violation: impl Fn(&[f64]) -> f64 + 'static,
) -> Case {
    Case { name, project: Box::new(project), violation: Box::new(violation) }
}

fn below(v: f64) -> f64 {
    v.max(0.0)
}

fn negative(p: &[f64]) -> f64 {
    p.iter().fold(0.0, |l, v| l.max(-v))
}

fn sum(p: &[f64]) -> f64 {
    p.iter().sum()
}

fn l1_norm(p: &[f64]) -> f64 {
    p.iter().map(|v| v.abs()).sum()
}

fn l2_norm(p: &[f64]) -> f64 {
    p.iter().map(|v| v * v).sum::<f64>().sqrt()
}

const NORMAL: [f64; 6] = [1.0, -2.0, 0.5, 0.0, 1.5, -0.3];

/// All convex sets of vectors, in dimension 6.
fn cases() -> Vec<Case> {
    let w = || vector(&NORMAL);
    let dot = |p: &[f64]| p.iter().zip(NORMAL).map(|(a, b)| a * b).sum::<f64>();
    let ones = || matrix(&[1.0; 6], 1);
    let g = || {
        matrix(
            &[vec![1.0, 1.0, 0.0, 0.0, 0.0, 0.0], vec![0.0, 0.0, -1.0, 1.0, 0.0, 0.0]].concat(),
            2,
        )
    };
    vec![
        case("non_negative", non_negative, negative),
        case(
            "boxed",
            |x| boxed(x, &number_of(-0.5), &number_of(0.75)),
            |p| p.iter().fold(0.0, |l: f64, v| l.max(v - 0.75).max(-0.5 - v)),
        ),
        case("simplex", |x| simplex(x, &number_of(1.5)), |p| negative(p).max((sum(p) - 1.5).abs())),
        case("l1_ball", |x| l1_ball(x, &number_of(1.2)), |p| below(l1_norm(p) - 1.2)),
        case("l2_ball", |x| l2_ball(x, &number_of(1.2)), |p| below(l2_norm(p) - 1.2)),
        case(
            "linf_ball",
            |x| linf_ball(x, &number_of(0.6)),
            |p| p.iter().fold(0.0, |l: f64, v| l.max(v.abs() - 0.6)),
        ),
        case(
            "hyperplane",
            move |x| hyperplane(x, &w(), &number_of(0.7)),
            move |p| (dot(p) - 0.7).abs(),
        ),
        case(
            "half_space",
            move |x| half_space(x, &w(), &number_of(-0.4)),
            move |p| below(dot(p) + 0.4),
        ),
        case(
            "affine",
            move |x| affine(x, &Array::cat(&[&ones(), &g()], 0), &vector(&[1.0, 0.5, 0.2])),
            |p| (sum(p) - 1.0).abs().max((p[0] + p[1] - 0.5).abs()).max((p[3] - p[2] - 0.2).abs()),
        ),
        case(
            "polyhedron",
            move |x| polyhedron(x, &ones(), &vector(&[1.0]), &g(), &vector(&[0.5, 0.2])),
            |p| (sum(p) - 1.0).abs().max(p[0] + p[1] - 0.5).max(p[3] - p[2] - 0.2),
        ),
        case(
            "box_section",
            move |x| box_section(x, &vector(&[-0.5; 6]), &vector(&[0.8; 6]), &w(), &number_of(0.6)),
            move |p| {
                let bounds = p.iter().fold(0.0, |l: f64, v| l.max(v - 0.8).max(-0.5 - v));
                bounds.max((dot(p) - 0.6).abs())
            },
        ),
        case("second_order_cone", second_order_cone, |p| below(l2_norm(&p[1..]) - p[0])),
        case("isotonic", isotonic, |p| p.windows(2).fold(0.0, |l: f64, w| l.max(w[0] - w[1]))),
        case(
            "permutahedron",
            |x| permutahedron(x, &vector(&[3.0, 1.0, 2.0, 0.0, 5.0, 4.0])),
            |p| {
                // Majorized by w: the largest k sum to no more than those of w.
                let mut sorted = p.to_vec();
                sorted.sort_by(|a, b| b.total_cmp(a));
                let limits = [5.0, 9.0, 12.0, 14.0, 15.0, 15.0];
                let partial = (1..=6).map(|k| sum(&sorted[..k]) - limits[k - 1]);
                partial.fold((sum(p) - 15.0).abs(), f64::max)
            },
        ),
        case(
            "birkhoff",
            |x| birkhoff(&Array::cat(&[x, &x.narrow(0, 0, 3)], 0).reshape(&[3, 3])),
            |p| {
                let row = |i: usize| (p[3 * i] + p[3 * i + 1] + p[3 * i + 2] - 1.0).abs();
                let column = |j: usize| (p[j] + p[j + 3] + p[j + 6] - 1.0).abs();
                (0..3).fold(negative(p), |l, i| l.max(row(i)).max(column(i)))
            },
        ),
    ]
}

#[test]
fn projections_lie_in_their_sets_and_are_idempotent() {
    for case in cases() {
        for i in 0..20 {
            let x = normal(case.name, &[20, 6]).index(0, i) * 2.0;
            let p = (case.project)(&x).unwrap();
            let outside = (case.violation)(&p.to_f64_vec());
            assert!(outside < 1e-9, "{}: a projection is {outside:e} outside", case.name);
            if p.len() == 6 {
                let again = (case.project)(&p).unwrap();
                let moved = (again - &p).abs().max_all().item();
                assert!(moved < 1e-9, "{}: projecting twice moves by {moved:e}", case.name);
            }
        }
    }
}

#[test]
fn projections_never_stretch_and_make_obtuse_angles() {
    for case in cases().iter().filter(|c| c.name != "birkhoff") {
        for i in 0..10 {
            let points = normal(case.name, &[20, 6]) * 2.0;
            let (x, y) = (points.index(0, i), points.index(0, i + 10));
            let (p, q) = ((case.project)(&x).unwrap(), (case.project)(&y).unwrap());
            let before = (&x - &y).square().sum_all().item().sqrt();
            let after = (&p - &q).square().sum_all().item().sqrt();
            assert!(after <= before + 1e-10, "{}: {before} became {after}", case.name);
            // q lies in the set: (x - p) . (q - p) <= 0.
            let angle = ((&x - &p) * (&q - &p)).sum_all().item();
            assert!(angle <= 1e-8, "{}: angle {angle:e}", case.name);
        }
    }
}

#[test]
fn projections_have_the_derivatives_of_finite_differences() {
    for case in cases() {
        for i in 0..3 {
            let x = normal("derivatives", &[3, 6]).index(0, i) * 2.0;
            let f = |x: &Array| (case.project)(x).unwrap().sin();
            let order = if case.name == "birkhoff" || case.name == "polyhedron" { 1 } else { 2 };
            check::gradient(f, &x, order).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        }
    }
}

#[test]
fn parameters_of_sets_are_differentiable() {
    let x = normal("parameters", &[6]) * 2.0;
    let size = number_of(1.1);
    type OfSize = fn(&Array, &Array) -> Projected;
    let sets: [(&str, OfSize); 6] = [
        ("simplex", simplex),
        ("l1_ball", l1_ball),
        ("l2_ball", l2_ball),
        ("linf_ball", linf_ball),
        ("l1_sphere", l1_sphere),
        ("l2_sphere", l2_sphere),
    ];
    for (name, set) in sets {
        let f = |(x, size): &(Array, Array)| set(x, size).unwrap();
        check::gradient(f, &(x.clone(), size.clone()), 2).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let w = vector(&NORMAL);
    let plane = |(x, a, b): &(Array, Array, Array)| half_space(x, a, b).unwrap();
    check::gradient(plane, &(x.clone(), w.clone(), number_of(-3.0)), 2).unwrap();
    let section = |(x, w, c): &(Array, Array, Array)| {
        box_section(x, &vector(&[-0.5; 6]), &vector(&[0.8; 6]), w, c).unwrap()
    };
    check::gradient(section, &(x.clone(), w, number_of(0.6)), 2).unwrap();
    let rows = normal("rows", &[2, 6]);
    let equations = |(x, a, b): &(Array, Array, Array)| affine(x, a, b).unwrap();
    check::gradient(equations, &(x.clone(), rows.clone(), vector(&[0.3, -0.2])), 2).unwrap();
    let inequalities = |(x, g, h): &(Array, Array, Array)| {
        let none = Array::zeros(&[0, 6], DType::F64);
        polyhedron(x, &none, &Array::zeros(&[0], DType::F64), g, h).unwrap()
    };
    check::gradient(inequalities, &(x.clone(), rows, vector(&[-2.0, -2.5])), 2).unwrap();
    let ranks = |(x, w): &(Array, Array)| permutahedron(x, w).unwrap();
    check::gradient(ranks, &(x, vector(&[3.0, 1.0, 2.0, 0.0, 5.0, 4.0])), 2).unwrap();
}

#[test]
fn sparse_simplex_keeps_the_largest() {
    let x = vector(&[0.9, 0.5, 0.3, -0.2]);
    close(&sparse_simplex(&x, 2, &number_of(1.0)).unwrap(), &[0.7, 0.3, 0.0, 0.0], 1e-15);
    let mut slice = x.to_f64_vec();
    slices::sparse_simplex(&mut slice, 2, 1.0).unwrap();
    close(&vector(&slice), &[0.7, 0.3, 0.0, 0.0], 1e-15);
    close(&sparse_simplex(&x, 1, &number_of(1.0)).unwrap(), &[1.0, 0.0, 0.0, 0.0], 0.0);
    let f = |x: &Array| sparse_simplex(x, 2, &number_of(1.0)).unwrap();
    check::gradient(f, &x, 2).unwrap();
}

#[test]
fn rows_are_projected_alone() {
    let x = normal("rows", &[5, 6]) * 2.0;
    for (name, set) in
        [("simplex", simplex as fn(&Array, &Array) -> Projected), ("l1", l1_ball), ("l2", l2_ball)]
    {
        let all = set(&x, &number_of(1.3)).unwrap();
        for i in 0..5 {
            let one = set(&x.index(0, i), &number_of(1.3)).unwrap();
            close(&all.index(0, i), &one.to_f64_vec(), 1e-15);
        }
        assert_eq!(all.shape(), [5, 6], "{name}");
    }
}

#[test]
fn the_psd_cone_is_smooth_where_eigenvalues_repeat() {
    let a = normal("symmetric", &[4, 4]);
    let a = &a + a.t();
    let p = positive_semidefinite(&a).unwrap();
    let (w, v) = a.eigh().unwrap();
    close(&p, &(&v * w.relu().unsqueeze(0)).matmul(&v.t()).to_f64_vec(), 1e-12);
    let f = |x: &Array| positive_semidefinite(x).unwrap();
    check::gradient(f, &a, 2).unwrap();
    // Twice the eigenvalue 2 and twice -1, in a rotated frame: no gap may be divided by.
    let (q, _) = normal("frame", &[4, 4]).qr().unwrap();
    let repeated = (&q * vector(&[2.0, 2.0, -1.0, -1.0])).matmul(&q.t());
    check::gradient(f, &repeated, 2).unwrap();
    close(&f(&repeated), &(&q * vector(&[2.0, 2.0, 0.0, 0.0])).matmul(&q.t()).to_f64_vec(), 1e-12);
    let batch = Array::stack(&[&a, &repeated], 0);
    close(&f(&batch).index(0, 1), &f(&repeated).to_f64_vec(), 1e-12);
}

fn marginals() -> (Array, Array) {
    (vector(&[0.2, 0.5, 0.3]), vector(&[0.1, 0.4, 0.25, 0.25]))
}

#[test]
fn transport_plans_have_their_marginals() {
    let (a, b) = marginals();
    for scale in [0.1, 1.0, 30.0] {
        let x = normal("plan", &[3, 4]) * scale;
        for (name, p) in [("l2", transport(&x, &a, &b)), ("kl", transport_kl(&x, &a, &b))] {
            let p = p.unwrap();
            close(&p.sum(&[1]), &a.to_f64_vec(), 1e-11);
            close(&p.sum(&[0]), &b.to_f64_vec(), 1e-11);
            assert!(p.min_all().item() >= 0.0, "{name}");
        }
    }
    // Euclidean: the quadratic program agrees.
    let x = normal("plan", &[3, 4]);
    let p = transport(&x, &a, &b).unwrap();
    let mut equations = vec![0.0; 7 * 12];
    for e in 0..12 {
        equations[(e / 4) * 12 + e] = 1.0;
        equations[(3 + e % 4) * 12 + e] = 1.0;
    }
    let by_program = polyhedron(
        &x.reshape(&[-1]),
        &matrix(&equations, 7),
        &Array::cat(&[&a, &b], 0),
        &-Array::eye(12, DType::F64),
        &Array::zeros(&[12], DType::F64),
    )
    .unwrap();
    close(&p, &by_program.to_f64_vec(), 1e-9);
}

#[test]
fn transport_plans_are_differentiable_in_everything() {
    // Marginals move only along directions that keep the mass.
    let (a, b) = marginals();
    let x = normal("plan", &[3, 4]);
    let shift = |v: &Array, t: &Array| {
        let n = v.len();
        let t = Array::cat(&[t, &-t.sum_all().reshape(&[1])], 0);
        assert_eq!(t.len(), n);
        v + t * 0.1
    };
    let at = (x, Array::zeros(&[2], DType::F64), Array::zeros(&[3], DType::F64));
    let entropic =
        |(x, s, t): &(Array, Array, Array)| transport_kl(x, &shift(&a, s), &shift(&b, t)).unwrap();
    check::gradient(entropic, &at, 2).unwrap();
    let euclidean = |(x, s, t): &(Array, Array, Array)| {
        transport(x, &shift(&a, s), &shift(&b, t)).unwrap().sin()
    };
    check::gradient(euclidean, &at, 1).unwrap();
}

#[test]
fn slices_agree_with_arrays() {
    let x = normal("slices", &[6]) * 2.0;
    let with = |f: &dyn Fn(&mut [f64]) -> Result<(), ProjectionError>| {
        let mut v = x.to_f64_vec();
        f(&mut v).unwrap();
        v
    };
    let one = number_of(1.2);
    close(&non_negative(&x).unwrap(), &with(&slices::non_negative), 0.0);
    close(&l1_ball(&x, &one).unwrap(), &with(&|v| slices::l1_ball(v, 1.2)), 1e-15);
    close(&l2_ball(&x, &one).unwrap(), &with(&|v| slices::l2_ball(v, 1.2)), 1e-15);
    close(&linf_ball(&x, &one).unwrap(), &with(&|v| slices::linf_ball(v, 1.2)), 0.0);
    close(
        &hyperplane(&x, &vector(&NORMAL), &one).unwrap(),
        &with(&|v| slices::hyperplane(v, &NORMAL, 1.2)),
        1e-14,
    );
    close(
        &half_space(&x, &vector(&NORMAL), &-&one).unwrap(),
        &with(&|v| slices::half_space(v, &NORMAL, -1.2)),
        1e-14,
    );
    close(&second_order_cone(&x).unwrap(), &with(&slices::second_order_cone), 1e-14);
    close(&isotonic(&x).unwrap(), &with(&slices::isotonic), 1e-14);
    let w = [3.0, 1.0, 2.0, 0.0, 5.0, 4.0];
    close(
        &permutahedron(&x, &vector(&w)).unwrap(),
        &with(&|v| slices::permutahedron(v, &w)),
        1e-14,
    );
    let (low, high) = ([-0.5; 6], [0.8; 6]);
    close(
        &box_section(&x, &vector(&low), &vector(&high), &vector(&NORMAL), &number_of(0.6)).unwrap(),
        &with(&|v| slices::box_section(v, &low, &high, &NORMAL, 0.6)),
        1e-14,
    );
}

#[test]
fn box_sections_reach_the_ends_of_their_range() {
    let (low, high, w) = ([0.0; 3], [1.0; 3], [1.0, 2.0, -1.0]);
    for c in [-1.0, -0.999, 0.0, 1.3, 3.0] {
        let mut v = [5.0, -4.0, 0.3];
        slices::box_section(&mut v, &low, &high, &w, c).unwrap();
        let found: f64 = v.iter().zip(w).map(|(x, w)| x * w).sum();
        assert!((found - c).abs() < 1e-12, "{c}: {v:?}");
    }
    // Unbounded coordinates.
    let mut v = [1.0, 1.0, 1.0];
    let (low, high) = ([0.0, f64::NEG_INFINITY, 0.0], [f64::INFINITY; 3]);
    slices::box_section(&mut v, &low, &high, &[1.0; 3], -10.0).unwrap();
    assert!((v.iter().sum::<f64>() + 10.0).abs() < 1e-12 && v[0] == 0.0);
}

#[test]
fn what_is_not_a_set_is_refused() {
    let x = vector(&[1.0, 2.0, 3.0]);
    let message = |r: Projected| r.unwrap_err().to_string();
    assert_eq!(
        message(simplex(&x, &number_of(-1.0))),
        "simplex: total must be a finite number above 0, not -1"
    );
    assert_eq!(
        message(simplex(&vector(&[1.0, f64::NAN]), &number_of(1.0))),
        "simplex: the point is not finite at element 1: NaN"
    );
    assert!(message(simplex(&vector(&[]), &number_of(1.0))).contains("at least one element"));
    assert!(message(l2_ball(&x, &number_of(f64::NAN))).contains("radius is not finite"));
    assert!(message(l2_sphere(&vector(&[0.0, 0.0]), &number_of(1.0))).contains("centre"));
    assert_eq!(
        message(boxed(&x, &number_of(1.0), &number_of(0.0))),
        "boxed: the set is empty: coordinate 0 has lower bound 1 and upper bound 0"
    );
    assert!(
        message(boxed(&x, &vector(&[0.0, 1.0]), &number_of(0.0))).contains("broadcasts to [3]")
    );
    assert!(message(hyperplane(&x, &vector(&[0.0; 3]), &number_of(0.0))).contains("zero vector"));
    assert!(message(half_space(&x, &vector(&[1.0]), &number_of(0.0))).contains("shape [3]"));
    assert!(message(sparse_simplex(&x, 4, &number_of(1.0))).contains("between 1 and"));
    let section = box_section(&x, &vector(&[0.0; 3]), &vector(&[1.0; 3]), &x, &number_of(7.0));
    assert_eq!(
        message(section),
        "box_section: the set is empty: w.x lies between 0 and 6 on the box, never at 7"
    );
    let twice = matrix(&[1.0, 1.0, 0.0, 2.0, 2.0, 0.0], 2);
    assert!(message(affine(&x, &twice, &vector(&[1.0, 3.0]))).contains("contradicts"));
    close(&affine(&x, &twice, &vector(&[1.0, 2.0])).unwrap(), &[0.0, 1.0, 3.0], 1e-12);
    let apart = polyhedron(
        &x,
        &Array::zeros(&[0, 3], DType::F64),
        &vector(&[]),
        &matrix(&[1.0, 0.0, 0.0, -1.0, 0.0, 0.0], 2),
        &vector(&[0.0, -1.0]),
    );
    let text = message(apart);
    assert!(text.contains("no point satisfies inequality 0, inequality 1 together"), "{text}");
    let (a, _) = marginals();
    let plan = normal("plan", &[3, 3]);
    assert!(message(transport(&plan, &a, &(&a * 2.0))).contains("same mass"));
    assert!(
        message(transport(&plan, &a, &vector(&[-0.1, 0.6, 0.5]))).contains("b is negative at 0")
    );
    assert!(message(transport_kl(&plan, &a, &vector(&[0.0, 0.5, 0.5]))).contains("least marginal"));
    assert!(message(birkhoff(&normal("plan", &[3, 4]))).contains("as many rows as columns"));
    assert!(message(positive_semidefinite(&normal("plan", &[3, 4]))).contains("square"));
    let single = vector(&[1.0]).cast(DType::F32);
    assert!(message(non_negative(&single)).contains("must be f64"));
}

#[test]
fn one_thread_gives_the_same_bits_as_two() {
    let x = normal("threads", &[400, 50]);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let p = simplex(&x, &number_of(1.0)).unwrap();
            (p.to_f64_vec(), l1_ball(&x, &number_of(2.0)).unwrap().to_f64_vec())
        })
    };
    assert_eq!(run(1), run(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn simplex_points_are_distributions(v in prop::collection::vec(-1e3f64..1e3, 1..40), total in 0.01f64..50.0) {
        let mut p = v.clone();
        slices::simplex(&mut p, total).unwrap();
        prop_assert!(p.iter().all(|x| *x >= 0.0));
        prop_assert!((p.iter().sum::<f64>() - total).abs() < 1e-9 * (1.0 + total + 1e3));
    }

    #[test]
    fn isotonic_keeps_the_mean(v in prop::collection::vec(-10f64..10.0, 1..40)) {
        let mut p = v.clone();
        slices::isotonic(&mut p).unwrap();
        prop_assert!(p.windows(2).all(|w| w[0] <= w[1] + 1e-12));
        prop_assert!((p.iter().sum::<f64>() - v.iter().sum::<f64>()).abs() < 1e-9);
    }

    #[test]
    fn box_sections_meet_their_equation(
        v in prop::collection::vec(-3f64..3.0, 1..20),
        seed in 0u64..1000,
        at in 0f64..1.0,
    ) {
        let n = v.len();
        let w = Stream::new(seed).normal(&[n], DType::F64).to_f64_vec();
        let reach: f64 = w.iter().map(|w| w.abs()).sum();
        let c = (2.0 * at - 1.0) * reach;
        let mut p = v.clone();
        slices::box_section(&mut p, &vec![-1.0; n], &vec![1.0; n], &w, c).unwrap();
        let found: f64 = p.iter().zip(&w).map(|(p, w)| p * w).sum();
        prop_assert!((found - c).abs() < 1e-9 * (1.0 + reach));
        prop_assert!(p.iter().all(|x| x.abs() <= 1.0));
    }
}
