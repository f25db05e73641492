use lisse_array::{Array, Stream};
use lisse_data::{Dataset, Standardizer};
use proptest::prelude::*;

use super::problems::{Function, Functions};
use super::*;

fn ridge_and_bowl() -> Functions {
    Functions(vec![Function::Ridge, Function::Bowl])
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

#[test]
fn shortest_vectors() {
    let (v, w) = min_norm(&[vec![1.0, 2.0], vec![-1.0, 1.0]]);
    assert!(close(&v, &[-0.6, 1.2], 1e-12) && close(&w, &[0.2, 0.8], 1e-12), "{v:?} {w:?}");
    let (v, w) = min_norm(&[vec![2.0, 0.0], vec![0.0, 1.0]]);
    assert!(close(&v, &[0.4, 0.8], 1e-12) && close(&w, &[0.2, 0.8], 1e-12), "{v:?} {w:?}");
    // Two gradients: the closed form clip(<g2 - g1, g2> / |g1 - g2|^2, 0, 1).
    let (_, w) = min_norm(&[vec![3.0, 1.0], vec![1.0, 1.0]]);
    assert_eq!(w, [0.0, 1.0]);
    // Opposite, equal and zero vectors.
    let (v, _) = min_norm(&[vec![1.0, -1.0], vec![-2.0, 2.0], vec![1.0, -1.0]]);
    assert!(close(&v, &[0.0, 0.0], 1e-15));
    assert_eq!(min_norm(&vec![vec![2.0, 1.0]; 5]).0, [2.0, 1.0]);
    assert_eq!(min_norm(&[vec![0.0], vec![1.0]]).0, [0.0]);
}

proptest! {
    /// The shortest vector of a convex set is the one whose hyperplane separates the set from 0.
    #[test]
    fn shortest_vectors_separate(
        points in proptest::collection::vec(proptest::collection::vec(-3.0f64..3.0, 4), 1..12),
        twice in any::<bool>(),
    ) {
        let mut points = points;
        if twice {
            points.extend(points.clone());
        }
        let (v, w) = min_norm(&points);
        prop_assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-9 && w.iter().all(|&w| w >= 0.0));
        let square = dense::dot(&v, &v);
        for p in &points {
            prop_assert!(dense::dot(&v, p) >= square - 1e-8, "{} {square}", dense::dot(&v, p));
        }
    }

    /// Slicing agrees with counting unit cells.
    #[test]
    fn hypervolumes_count_cells(points in proptest::collection::vec(proptest::array::uniform3(0u8..6), 0..8)) {
        let real: Vec<[f64; 3]> = points.iter().map(|p| p.map(f64::from)).collect();
        let mut cells = 0;
        for x in 0..6u8 {
            for y in 0..6u8 {
                for z in 0..6u8 {
                    let below = |p: &[u8; 3]| p[0] <= x && p[1] <= y && p[2] <= z;
                    cells += u32::from(points.iter().any(below));
                }
            }
        }
        prop_assert_eq!(hypervolume(&real, &[6.0; 3]), f64::from(cells));
        let flat: Vec<[f64; 2]> = real.iter().map(|p| [p[0], p[1]]).collect();
        let raised: Vec<[f64; 3]> = flat.iter().map(|p| [p[0], p[1], 0.0]).collect();
        prop_assert_eq!(hypervolume(&flat, &[6.0; 2]), hypervolume(&raised, &[6.0, 6.0, 1.0]));
        let kept = nondominated(&real);
        let front: Vec<[f64; 3]> = kept.iter().map(|&i| real[i]).collect();
        prop_assert_eq!(hypervolume(&front, &[6.0; 3]), f64::from(cells));
        prop_assert_eq!(nondominated(&front).len(), front.len());
    }

    /// Every subgradient belongs to the subdifferential: where the function is differentiable it is the derivative.
    #[test]
    fn subgradients_are_derivatives(which in 0usize..8, x in proptest::array::uniform2(-2.0f64..2.0)) {
        use Function::*;
        let f = [MaxQ, Lq, Cb3, Crescent, Mifflin1, Mifflin2, Ridge, Bowl][which];
        let h = 1e-6;
        let (value, g) = f.evaluate(&x);
        for i in 0..2 {
            let at = |h: f64| {
                let mut y = x;
                y[i] += h;
                f.evaluate(&y).0
            };
            let (up, down) = ((at(h) - value) / h, (value - at(-h)) / h);
            // Between the one-sided slopes, which differ at kinks.
            prop_assert!(g[i] <= up.max(down) + 1e-3 && g[i] >= up.min(down) - 1e-3, "{f:?} {g:?} {up} {down}");
        }
    }

    /// Common descent never makes an objective worse.
    #[test]
    fn common_descent_is_descent(x in proptest::array::uniform2(-3.0f64..3.0)) {
        let f = Functions(vec![Function::Bowl, Function::Cb3]);
        if let Some(next) = CommonDescent::default().step(&f, &x) {
            let (before, after) = (f.values(&x), f.values(&next));
            prop_assert!(before.iter().zip(after).all(|(b, a)| a < *b));
        }
    }
}

#[test]
fn goldstein_descent_on_the_ridge_and_the_bowl() {
    let f = ridge_and_bowl();
    let descent = GoldsteinDescent::default();
    for (start, end) in [
        ([-1.0, 1.0], [0.0, 0.0]),
        ([-0.5, -2.0], [0.5, 0.0]),
        ([2.0, 1.0], [1.0, 0.0]),
        ([0.3, 0.7], [0.3, 0.0]),
        ([-3.0, 0.1], [0.0, 0.0]),
    ] {
        let found = descent.minimize(&f, &start).unwrap();
        assert_eq!(found.status, GoldsteinStatus::Critical);
        assert!(close(&found.x, &end, 2e-3), "{start:?}: {:?}", found.x);
        assert!((1..=4).contains(&found.steps), "{start:?}: {}", found.steps);
        let length = certificate(&f, &found.x, descent.eps, &found.witnesses);
        assert!(length <= descent.delta && (length - found.criticality).abs() < 1e-12);
    }
}

#[test]
fn goldstein_descent_on_the_crescent_and_lq() {
    let f = Functions(vec![Function::Crescent, Function::Lq]);
    let descent = GoldsteinDescent::default();
    let stream = Stream::new(3);
    let mut totals = [0usize; 3];
    for k in 0..30 {
        let at = stream.at(k).uniform_range(-1.5, 1.5, &[2], lisse_array::DType::F64);
        let found = descent.minimize(&f, &at.to_vec::<f64>()).unwrap();
        assert_eq!(found.status, GoldsteinStatus::Critical, "{k}");
        assert!(certificate(&f, &found.x, descent.eps, &found.witnesses) <= descent.delta);
        assert!(found.values[1] >= -std::f64::consts::SQRT_2 - 1e-6, "{:?}", found.values);
        // From (0, 0) along the crescent's kink to (sqrt 3, 1) / 2, and along the circle to (1, 1) / sqrt 2.
        let kink = (found.x[0].hypot(found.x[1] - 1.0) - 1.0).abs() < 5e-3 && found.x[1] < 0.51;
        let circle = (found.x[0].hypot(found.x[1]) - 1.0).abs() < 5e-3 && found.x[1] > 0.49;
        assert!(kink || circle, "{k} {:?}", found.x);
        assert!(found.x[0] > -5e-2 && found.x[0] < 0.87 && found.x[1] < 0.71, "{k} {:?}", found.x);
        totals[0] += found.steps;
        totals[1] += found.evaluations;
        totals[2] += found.subgradients;
    }
    let means = totals.map(|t| t as f64 / 30.0);
    // About 6 steps, 63 values and 16 subgradients.
    assert!(means[0] < 15.0 && means[1] < 160.0 && means[2] < 45.0, "{means:?}");
}

#[test]
fn single_functions_are_minimised() {
    use Function::*;
    for f in [MaxQ, Lq, Cb3, Crescent, Mifflin1, Mifflin2] {
        let single = Functions(vec![f]);
        for memory in [false, true] {
            let samples = if memory { (2, 7) } else { (0, 0) };
            let descent =
                GoldsteinDescent { eps: 1e-5, rounds: 4, memory, samples, ..Default::default() };
            let found = descent.minimize(&single, &[1.4, -0.8]).unwrap();
            let gap = found.values[0] - f.minimum();
            assert!((-1e-12..1e-3).contains(&gap), "{f:?} {memory}: {gap} {:?}", found.status);
        }
    }
}

#[test]
fn covers_close_in_on_the_segment() {
    let f = ridge_and_bowl();
    let descent = GoldsteinDescent::default();
    let mut cover = Cover::new(&[-2.0, -2.0], &[2.0, 2.0]).unwrap();
    let mut counts = Vec::new();
    for level in 1..=12 {
        cover.refine(|x| descent.minimize(&f, x).ok().map(|found| found.x));
        if level % 2 == 0 {
            counts.push(cover.len());
        }
    }
    assert_eq!(counts, [1, 2, 3, 5, 9, 17]);
    assert!(cover.boxes().all(|(low, high)| low[1] <= 0.0 && high[1] >= 0.0));
    let mut sampled = Cover::new(&[-2.0, -2.0], &[2.0, 2.0]).unwrap();
    for _ in 0..10 {
        sampled.refine_by_sampling(&f, 15, &Stream::new(1));
    }
    assert!(
        sampled.len() < 60 && sampled.boxes().all(|(low, high)| low[1] <= 0.2 && high[1] >= -0.2)
    );
}

#[test]
fn parallel_work_does_not_depend_on_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let f = Functions(vec![Function::Crescent, Function::Lq]);
            let descent = GoldsteinDescent::default();
            let mut cover = Cover::new(&[-1.0, -1.0], &[2.0, 2.0]).unwrap();
            (0..6).for_each(|_| cover.refine(|x| descent.minimize(&f, x).ok().map(|p| p.x)));
            cover.refine_by_sampling(&f, 5, &Stream::new(2));
            let genetic = Genetic::new(20, &[-1.0, -1.0], &[2.0, 2.0], 4);
            let mut all = genetic.start(&f).unwrap();
            (0..5).for_each(|_| genetic.advance(&f, &mut all));
            (cover, all)
        })
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn genetic_search_finds_the_segment() {
    let f = ridge_and_bowl();
    let genetic = Genetic::new(40, &[-2.0, -2.0], &[2.0, 2.0], 0);
    let mut all = genetic.start(&f).unwrap();
    let reference = [1.5, 1.0];
    let before = hypervolume(&all.values, &reference);
    (0..60).for_each(|_| genetic.advance(&f, &mut all));
    // The front is (x, (1 - x)^2 / 2): the area below the reference is 1.5 - 1/6.
    let after = hypervolume(&all.values, &reference);
    assert!(
        after > before && after > 0.98 * (1.5 - 1.0 / 6.0) && after <= 1.5 - 1.0 / 6.0,
        "{after}"
    );
    assert!(Genetic::new(3, &[0.0; 2], &[1.0; 2], 0).start(&f).is_err());
}

fn bowls(centres: &[[f64; 3]], n: usize) -> Smooth {
    centres.iter().fold(Smooth::new(n), |all, c| {
        let c = Array::from_slice(&c[..n], &[n]);
        all.objective(move |x: &Array| {
            let away = x - &c;
            away.square().sum_all() * 0.5 + away.square().square().sum_all() * 0.02
        })
    })
}

#[test]
fn continuation_follows_curves_and_surfaces() {
    let two = bowls(&[[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]], 2);
    let method = Continuation { step: 0.1, ..Continuation::default() };
    let curve = method.follow(&two, &[0.2, 0.9]).unwrap();
    // By symmetry the set is the diagonal, of length sqrt 2.
    assert!(curve.iter().all(|p| (p.x[0] - p.x[1]).abs() < 1e-8));
    let ends = [0.0, 1.0].map(|e| curve.iter().any(|p| (p.x[0] - e).abs() < 0.11));
    assert!(ends == [true, true] && (10..=40).contains(&curve.len()), "{}", curve.len());

    let corners = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.3]];
    for n in [2, 3] {
        // Pure bowls: the set is the triangle of the centres.
        let three = corners.iter().fold(Smooth::new(n), |all, c| {
            let c = Array::from_slice(&c[..n], &[n]);
            all.objective(move |x: &Array| (x - &c).square().sum_all() * 0.5)
        });
        let surface = method.follow(&three, &vec![0.4; n]).unwrap();
        for p in &surface {
            let at: Vec<f64> =
                (0..n).map(|a| (0..3).map(|i| p.weights[i] * corners[i][a]).sum()).collect();
            assert!(close(&at, &p.x, 1e-8) && p.weights.iter().all(|&w| w >= 0.0));
        }
        // Every point of the triangle has a neighbour among those found.
        let mut furthest = 0.0f64;
        for i in 0..=20 {
            for j in 0..=20 - i {
                let (b, c) = (f64::from(i) / 20.0, f64::from(j) / 20.0);
                let at: Vec<f64> = (0..n).map(|a| b * corners[1][a] + c * corners[2][a]).collect();
                let gap = |p: &CriticalPoint| dense::norm(&dense::along(&p.x, -1.0, &at));
                furthest = furthest.max(surface.iter().map(gap).fold(f64::INFINITY, f64::min));
            }
        }
        assert!(furthest <= 1.5 * method.step, "{n}: {furthest} with {} points", surface.len());
        assert!((40..=250).contains(&surface.len()), "{n}: {}", surface.len());
    }
}

#[test]
fn common_descent_ends_at_critical_points() {
    let f = bowls(&[[0.0, 0.0, 0.0], [1.0, 0.5, 0.0], [-0.5, 1.0, 0.2]], 3);
    for inertial in [false, true] {
        let descent =
            CommonDescent { tolerance: 1e-7, inertial, first_step: 0.5, ..Default::default() };
        let found = descent.minimize(&f, &[2.0, -1.0, 3.0]).unwrap();
        assert!(found.criticality <= 1e-7, "{inertial}: {found:?}");
    }
    // Gradients that are wrong by 0.1 are trusted while the direction is longer than that.
    let rough = CommonDescent { gradient_error: 0.1, ..CommonDescent::default() };
    let found = rough.minimize(&f, &[2.0, -1.0, 3.0]).unwrap();
    assert!(found.criticality <= 0.1 && found.criticality > 1e-8);
}

#[test]
fn hessians_agree_with_gradients() {
    let f = bowls(&[[0.3, -0.4, 0.1]], 3);
    let x = [0.5, 1.0, -0.7];
    let (hessian, h) = (f.hessian(0, &x), 1e-5);
    for j in 0..3 {
        let at = |h: f64| {
            let mut y = x;
            y[j] += h;
            f.subgradient(0, &y)
        };
        let (up, down) = (at(h), at(-h));
        for i in 0..3 {
            assert!(((up[i] - down[i]) / (2.0 * h) - hessian[i * 3 + j]).abs() < 1e-7);
        }
    }
}

/// Standardised inputs and centred progression of the diabetes data, row-major.
fn diabetes() -> (Vec<f64>, Vec<f64>) {
    let data = Dataset::bundled("diabetes").unwrap();
    let inputs = Standardizer::fit(&data.inputs).unwrap().apply(&data.inputs).unwrap();
    let targets = data.targets.to_f64_vec();
    let mean = targets.iter().sum::<f64>() / targets.len() as f64;
    (inputs.to_f64_vec(), targets.iter().map(|t| t - mean).collect())
}

/// `lars_path(X, y, method="lasso")` of scikit-learn on the same arrays.
const LARS: [f64; 13] = [
    45.16003002046289,
    42.30034307789048,
    21.54205166516855,
    15.034077495941316,
    6.189630875354836,
    4.223038464356995,
    3.2803205497706402,
    0.9504071158263241,
    0.2605398356933624,
    0.24202271957112748,
    0.10379984848101054,
    0.06233133813553095,
    0.0,
];

#[test]
fn the_lasso_path_of_the_diabetes_data() {
    let (a, b) = diabetes();
    let path = LassoPath::new(&a, &b).unwrap();
    let lambdas: Vec<f64> = path.breakpoints().iter().map(|p| p.lambda).collect();
    assert_eq!(lambdas.len(), LARS.len());
    for (lambda, expected) in lambdas.iter().zip(LARS) {
        assert!((lambda - expected).abs() < 1e-8 * LARS[0], "{lambda} {expected}");
    }
    // Optimality at breakpoints and between them; the front is sorted.
    let n = b.len();
    for pair in lambdas.windows(2) {
        for lambda in [pair[0], 0.5 * (pair[0] + pair[1])] {
            let x = path.at(lambda);
            let residual: Vec<f64> =
                a.chunks_exact(10).zip(&b).map(|(row, b)| b - dense::dot(row, &x)).collect();
            for j in 0..10 {
                let c =
                    a.iter().skip(j).step_by(10).zip(&residual).map(|(a, r)| a * r).sum::<f64>()
                        / n as f64;
                let off = if x[j] == 0.0 {
                    (c.abs() - lambda).max(0.0)
                } else {
                    (c - lambda * x[j].signum()).abs()
                };
                assert!(off < 1e-9 * LARS[0], "{lambda} {j} {off}");
            }
        }
    }
    let points = path.breakpoints();
    assert!(points.windows(2).all(|p| p[1].l1 > p[0].l1 && p[1].loss < p[0].loss));
    // Least squares at the end.
    let x = Array::from_vec(a.clone(), &[n, 10]).lstsq(&Array::from_slice(&b, &[n])).unwrap();
    assert!(close(&points[points.len() - 1].x, &x.to_vec::<f64>(), 1e-8));
}

#[test]
fn the_general_path_agrees_with_the_lasso() {
    let (a, b) = diabetes();
    let path = LassoPath::new(&a, &b).unwrap();
    let (matrix, right) = (Array::from_vec(a, &[b.len(), 10]), Array::from_slice(&b, &[b.len()]));
    let half = 0.5 / b.len() as f64;
    let loss =
        ArrayLoss::new(10, move |x: &Array| (matrix.matmul(x) - &right).square().sum_all() * half);
    let top = path.breakpoints()[0].lambda;
    let lambdas: Vec<f64> = (1..12).map(|k| top * 0.6f64.powi(k)).collect();
    for second_order in [true, false] {
        let method = SparsityPath { tolerance: 1e-6, max_steps: 5000, second_order };
        let found = method.follow(&loss, &[0.0; 10], &lambdas).unwrap();
        for point in &found {
            assert!(point.violation <= 1e-6, "{second_order} {}", point.violation);
            assert!(
                close(&point.x, &path.at(point.lambda), 1e-3),
                "{second_order} {}",
                point.lambda
            );
        }
    }
}

#[test]
fn the_path_of_a_loss_that_is_not_convex() {
    // A product of two parameters: zero is a saddle.
    let loss = ArrayLoss::new(3, |x: &Array| {
        let fit = x.narrow(0, 0, 1) * x.narrow(0, 1, 1) - 1.0;
        fit.square().sum_all() + (x.narrow(0, 2, 1) - 0.5).square().sum_all() * 0.5
    });
    let lambdas: Vec<f64> = (0..60).map(|k| 0.01 * f64::from(k)).collect();
    let path = SparsityPath::default().follow(&loss, &[1.2, 0.7, 0.1], &lambdas).unwrap();
    assert!(path.iter().all(|p| p.violation <= 1e-6));
    assert!(path.windows(2).all(|p| p[1].l1 <= p[0].l1 + 1e-9 && p[1].loss >= p[0].loss - 1e-9));
    // The third coefficient is 0.5 - lambda, then zero.
    for p in &path {
        assert!((p.x[2] - (0.5 - p.lambda).max(0.0)).abs() < 1e-5, "{}", p.lambda);
    }
}

#[test]
fn bad_input_is_named() {
    let f = ridge_and_bowl();
    let message = |e: ParetoError| e.to_string();
    let goldstein = GoldsteinDescent::default();
    assert_eq!(
        message(goldstein.minimize(&f, &[0.0]).unwrap_err()),
        "a point of 1 coordinates was given for 2 unknowns"
    );
    assert_eq!(
        message(goldstein.minimize(&f, &[0.0, f64::NAN]).unwrap_err()),
        "starting point: entry 1 is not a finite number"
    );
    let wrong = GoldsteinDescent { c: 1.5, ..goldstein.clone() };
    assert_eq!(
        message(wrong.minimize(&f, &[0.0; 2]).unwrap_err()),
        "`c` is 1.5; it must be between 0 and 1"
    );
    assert!(GoldsteinDescent { eps: 0.0, ..goldstein.clone() }.minimize(&f, &[0.0; 2]).is_err());
    assert!(goldstein.minimize(&Functions(vec![]), &[0.0; 2]).is_err());
    assert_eq!(
        message(Cover::new(&[0.0, 1.0], &[1.0, 1.0]).unwrap_err()),
        "cover: coordinate 1 runs from 1 to 1; bounds must be finite and rise"
    );
    assert!(Cover::new(&[0.0; 6], &[1.0; 6]).is_err());
    assert!(
        message(LassoPath::new(&[1.0, 2.0, 3.0], &[1.0, 2.0]).unwrap_err()).contains("3 entries")
    );
    assert!(LassoPath::new(&[1.0, 1.0, 2.0, 2.0], &[1.0, 2.5]).is_err());
    assert!(LassoPath::new(&[1.0, f64::INFINITY], &[1.0, 2.0]).is_err());
    let smooth = bowls(&[[0.0; 3]], 2);
    let still = Continuation { step: 0.0, ..Continuation::default() };
    assert_eq!(
        message(still.follow(&smooth, &[0.0; 2]).unwrap_err()),
        "`step` is 0; it must be above 0"
    );
    let nan = Smooth::new(1).objective(|x: &Array| x.ln().sum_all());
    assert!(goldstein.minimize(&nan, &[-1.0]).is_err());
    assert_eq!(nondominated(&[[1.0, f64::NAN], [2.0, 2.0]]), [1]);
}
