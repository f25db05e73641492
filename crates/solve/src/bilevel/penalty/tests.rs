use lisse_array::random::Law;
use lisse_array::{Array, Stream};

use super::*;
use crate::bilevel::baselines::{Decay, F2sa, Solver, State};
use crate::bilevel::vector::{distance, norm, sub};
use crate::bilevel::{Batch, Bilevel, Closures, Gradient, Oracle, Samples, Set, Warning, Wrt};

fn vector(v: &[f64]) -> Array {
    Array::from_slice(v, &[v.len()])
}

fn near(a: &[f64], b: &[f64], tolerance: f64) {
    let gap = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(a.len() == b.len() && gap <= tolerance, "{a:?} is not {b:?}: {gap}");
}

/// A rank-one lower level: many solutions.
fn rank_one() -> Closures {
    let (a, b) = (vector(&[1.0, 2.0, 2.0]), vector(&[1.0, -1.0]));
    let (c, d) = (vector(&[1.0, 0.0, -1.0]), vector(&[0.5, 0.5]));
    Closures::new(
        (2, 3),
        move |x, y, _| ((y - &c).square().sum_all() + (x - &d).square().sum_all()) * 0.5,
        move |x, y, _| ((&a * y).sum_all() - (&b * x).sum_all()).square() * 0.5,
    )
}

const RANK_ONE_X: [f64; 2] = [0.3, -0.2];

/// A lower level over the unit box.
fn boxed() -> Closures {
    let q = Array::from_slice(&[2.0, 0.5, 0.5, 1.0], &[2, 2]);
    let a = Array::from_slice(&[1.0, 1.0, -1.0, 0.5], &[2, 2]);
    let t = vector(&[0.2, 0.9]);
    let square = Set::cube(2, 0.0, 1.0).unwrap();
    Closures::new(
        (2, 2),
        move |x, y, _| {
            ((y - &t).square().sum_all() + x.square().sum_all()) * 0.5 + (x * y).sum_all()
        },
        move |x, y, _| {
            let r = y - a.matmul(x);
            (&r * q.matmul(&r)).sum_all() * 0.5
        },
    )
    .within(Set::cube(2, -1.0, 1.0).unwrap(), square)
}

fn psi(problem: &dyn Bilevel, x: &[f64]) -> f64 {
    let mut oracle = Oracle::new(problem);
    let y = solve_lower(&mut oracle, x, &[0.5; 2], 0.0, 1e-13, 100_000).y;
    problem.upper(x, &y, &Batch::all(), Wrt::Y).value
}

fn at(problem: &dyn Bilevel, x: &[f64], sigma: f64, start: &[f64]) -> Penalised {
    penalised(&mut Oracle::new(problem), x, (start, start), sigma, 1e-11, 100_000)
}

#[test]
fn many_solutions_have_the_closed_form() {
    let problem = rank_one();
    let expected = [
        (1.0, 0.3775, [-0.05, -0.85]),
        (0.1, 0.388_626_37, [-0.035_164_84, -0.864_835_16]),
        (0.01, 0.389_861_27, [f64::NAN, f64::NAN]),
        (0.001, 0.389_986_11, [f64::NAN, f64::NAN]),
    ];
    let mut last = 0.0;
    for (sigma, value, gradient) in expected {
        let p = at(&problem, &RANK_ONE_X, sigma, &[0.0; 3]);
        near(&[p.value], &[value], 6e-9);
        if gradient[0].is_finite() {
            near(&p.gradient, &gradient, 6e-9);
        }
        assert!(p.value < 0.39 && p.value > last, "psi_s <= psi, and it rises as sigma falls");
        last = p.value;
    }
    let slope = (0.39 - at(&problem, &RANK_ONE_X, 1e-3, &[0.0; 3]).value) / 1e-3;
    near(&[slope], &[0.013_888_89], 1e-5);
    // y* = c - a r / |a|^2, where f is smallest among the solutions.
    let y = [1.0 + 1.5 / 9.0, 3.0 / 9.0, -1.0 + 3.0 / 9.0];
    let explicit = explicit_gradient(&mut Oracle::new(&problem), &RANK_ONE_X, &y, 1e-9).unwrap();
    near(&explicit.gradient, &[-0.033_333_33, -0.866_666_67], 5e-9);
    assert_eq!(explicit.rank, Some(1));
    assert!(explicit.residual < 1e-12 && explicit.active == 0);
}

#[test]
fn any_minimizer_gives_the_same_gradient() {
    let problem = rank_one();
    let from = |z: &[f64]| {
        penalised(&mut Oracle::new(&problem), &RANK_ONE_X, (&[0.0; 3], z), 0.1, 1e-12, 100_000)
    };
    let (p, q) = (from(&[0.0; 3]), from(&[5.0, -3.0, 2.0]));
    assert!(distance(&p.z, &q.z) > 1.0, "two different minimizers");
    near(&p.gradient, &q.gradient, 1e-9);
}

#[test]
fn the_explicit_gradient_of_the_penalised_level_is_its_derivative_in_sigma() {
    // With h_s in place of g, df/dx - h_xy K^+ df/dy = d/ds (dl/dx).
    let level = |s: f64| {
        let (f, g) = (rank_one(), rank_one());
        let both = move |x: &Array, y: &Array, b: &Batch| {
            let (x, y) = (x.clone(), y.clone());
            level_value(&f, &x, &y, b, true) * s + level_value(&g, &x, &y, b, false)
        };
        Closures::new((2, 3), |x, y, b| level_value(&rank_one(), x, y, b, true), both)
    };
    let slope = |s: f64| {
        let problem = level(s);
        let mut oracle = Oracle::new(&problem);
        let y = solve_lower(&mut oracle, &RANK_ONE_X, &[0.0; 3], 0.0, 1e-13, 100_000).y;
        (oracle.lower_x(&RANK_ONE_X, &y, &Batch::all()), y)
    };
    let (s, h) = (0.3, 1e-5);
    let difference: Vec<f64> =
        sub(&slope(s + h).0, &slope(s - h).0).iter().map(|d| d / (2.0 * h)).collect();
    let (problem, y) = (level(s), slope(s).1);
    let explicit = explicit_gradient(&mut Oracle::new(&problem), &RANK_ONE_X, &y, 1e-9).unwrap();
    near(&explicit.gradient, &difference, 1e-6);
}

/// The objectives of [`rank_one`] as functions of arrays.
fn level_value(_: &Closures, x: &Array, y: &Array, _: &Batch, upper: bool) -> Array {
    let (a, b) = (vector(&[1.0, 2.0, 2.0]), vector(&[1.0, -1.0]));
    let (c, d) = (vector(&[1.0, 0.0, -1.0]), vector(&[0.5, 0.5]));
    if upper {
        ((y - &c).square().sum_all() + (x - &d).square().sum_all()) * 0.5
    } else {
        ((&a * y).sum_all() - (&b * x).sum_all()).square() * 0.5
    }
}

#[test]
fn a_box_has_the_tabulated_values() {
    let problem = boxed();
    let x = [0.4, 0.2];
    let mut oracle = Oracle::new(&problem);
    let y = solve_lower(&mut oracle, &x, &[0.5; 2], 0.0, 1e-13, 100_000).y;
    near(&y, &[0.525, 0.0], 1e-10);
    near(&[psi(&problem, &x)], &[0.767_812_5], 1e-10);
    let explicit = explicit_gradient(&mut oracle, &x, &y, 1e-7).unwrap();
    near(&explicit.gradient, &[1.46875, 1.015_625], 1e-9);
    assert_eq!((explicit.active, explicit.rank), (1, Some(3)));
    let h = 1e-6;
    let difference: Vec<f64> = (0..2)
        .map(|i| {
            let (mut up, mut down) = (x, x);
            up[i] += h;
            down[i] -= h;
            (psi(&problem, &up) - psi(&problem, &down)) / (2.0 * h)
        })
        .collect();
    near(&difference, &[1.46875, 1.015_625], 1e-6);
    let rows = [
        (0.5, [0.357_142_86, 0.114_285_71], 0.696_964_29, [1.375, 0.841_071_43]),
        (0.1, [0.490_476_19, 0.0], 0.755_297_62, [1.408_333_33, 0.976_785_71]),
        (0.01, [0.521_393_03, 0.0], 0.766_504_98, [1.462_437_81, 1.011_567_16]),
    ];
    for (sigma, point, value, gradient) in rows {
        let p = at(&problem, &x, sigma, &[0.5; 2]);
        near(&p.y, &point, 6e-9);
        near(&[p.value], &[value], 6e-9);
        near(&p.gradient, &gradient, 6e-9);
    }
    near(&at(&problem, &x, 0.001, &[0.5; 2]).gradient, &[1.468_115_94, 1.015_217_39], 6e-9);
    // Errors are proportional to sigma.
    let ratio = |sigma: f64| {
        let p = at(&problem, &x, sigma, &[0.5; 2]);
        let gradient = norm(&sub(&p.gradient, &explicit.gradient)) / sigma;
        (gradient, (0.767_812_5 - p.value) / sigma)
    };
    let ((g2, v2), (g3, v3)) = (ratio(0.01), ratio(0.001));
    assert!((g2 / g3 - 1.0).abs() < 0.05 && (v2 / v3 - 1.0).abs() < 0.05);
    assert!((g3 - 0.754).abs() < 0.002 && (v3 - 0.1314).abs() < 0.0002, "{g3} {v3}");
}

#[test]
fn at_a_corner_the_penalty_is_exact() {
    let problem = boxed();
    let x = [0.8, 0.6];
    near(&[psi(&problem, &x)], &[2.025], 1e-10);
    let explicit = explicit_gradient(&mut Oracle::new(&problem), &x, &[1.0, 0.0], 1e-9).unwrap();
    near(&explicit.gradient, &[1.8, 0.6], 1e-10);
    assert_eq!(explicit.active, 2);
    for sigma in [0.1, 0.01, 0.001] {
        let p = at(&problem, &x, sigma, &[0.5; 2]);
        near(&[p.value], &[2.025], 1e-9);
        near(&p.y, &[1.0, 0.0], 1e-10);
    }
}

/// Large problems are solved without forming the matrix; so is a ball, whose boundary bends.
#[test]
fn the_reduced_system_gives_the_same_gradient_as_the_matrix() {
    let build = |n: usize| {
        let scale = Array::linspace(1.0, 2.0, n, lisse_array::DType::F64);
        Closures::new(
            (n, n),
            |x, y, _| (y * 0.3).sin().sum_all() + (x * y).sum_all(),
            move |x, y, _| ((y - x).square() * &scale).sum_all() * 0.5,
        )
        .within(Set::Whole, Set::Ball { radius: 1.0 })
    };
    for n in [5, 450] {
        let problem = build(n);
        let mut x = vec![0.0; n];
        Stream::new(1).fill(Law::Normal, 0, &mut x);
        let mut oracle = Oracle::new(&problem);
        let value = |oracle: &mut Oracle<'_>, x: &[f64]| {
            let y = solve_lower(oracle, x, &vec![0.0; n], 0.0, 1e-12, 100_000).y;
            (problem.upper(x, &y, &Batch::all(), Wrt::Y).value, y)
        };
        let y = value(&mut oracle, &x).1;
        let explicit = explicit_gradient(&mut oracle, &x, &y, 1e-8).unwrap();
        assert_eq!((explicit.active, explicit.rank.is_some()), (1, n == 5));
        let mut direction = vec![0.0; n];
        Stream::new(2).fill(Law::Normal, 0, &mut direction);
        let h = 1e-5;
        let mut moved = |s: f64| {
            let point: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + s * h * d).collect();
            value(&mut oracle, &point).0
        };
        let difference = (moved(1.0) - moved(-1.0)) / (2.0 * h);
        let exact: f64 = explicit.gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        assert!((difference - exact).abs() < 1e-5 * (1.0 + exact.abs()), "{difference} {exact}");
    }
}

/// `f = x^2 + y^2, g = x y` over `[-1, 1]`: no error bound at 0.
fn no_bound() -> Closures {
    Closures::new(
        (1, 1),
        |x, y, _| x.square().sum_all() + y.square().sum_all(),
        |x, y, _| (x * y).sum_all(),
    )
    .within(Set::cube(1, -2.0, 2.0).unwrap(), Set::cube(1, -1.0, 1.0).unwrap())
}

#[test]
fn without_an_error_bound_nothing_is_claimed() {
    let problem = no_bound();
    let rows =
        [(0.5, 0.1, 0.2), (0.5, 0.3, 0.6), (0.1, 0.1, 0.76), (0.1, 0.15, 0.96), (0.1, 0.3, 1.09)];
    for (sigma, x, value) in rows {
        // Values are exact; the lower solutions need not be unique to all digits.
        near(&[at(&problem, &[x], sigma, &[0.3]).value], &[value], 2e-9);
    }
    let report = |x: f64, y: f64, z: f64| {
        penalty_report(&mut Oracle::new(&problem), &[x], (&[y], &[z]), 1e-3, 1e-2, 1e-9)
    };
    for (x, y, z) in [(0.0, 0.0, 0.0), (1e-4, 0.1, -1.0), (0.0, 0.0, 1.0), (-3e-4, 0.2, 0.5)] {
        let report = report(x, y, z);
        assert_eq!(report.ending, Ending::NoErrorBound, "x = {x}");
        let warned = report.warnings.iter().find(|w| w.name() == "no_error_bound").unwrap();
        assert!(warned.to_string().contains("need not be near a solution"));
    }
    // Away from 0 the penalty is exact and the objective is not stationary.
    let away = report(0.3, -1.0, -1.0);
    assert_eq!(away.ending, Ending::NotYet);
    near(&[away.extrapolated], &[1.09], 1e-8);
}

#[test]
fn the_report_extrapolates_and_warns() {
    let problem = boxed();
    let x = [0.4, 0.2];
    let report = |sigma: f64| {
        penalty_report(&mut Oracle::new(&problem), &x, (&[0.5; 2], &[0.5; 2]), sigma, 0.1, 1e-10)
    };
    // The bias is O(sigma^2) after extrapolation.
    let (coarse, fine) = (report(0.02), report(0.01));
    let errors = [coarse.extrapolated - 0.767_812_5, fine.extrapolated - 0.767_812_5];
    assert!(errors[0].abs() < 1e-4 && (errors[0] / errors[1] - 4.0).abs() < 0.3, "{errors:?}");
    near(&[fine.bias], &[0.767_812_5 - 0.766_504_98], 2e-5);
    assert!(fine.warnings.is_empty() && fine.ending == Ending::NotYet);
    // At 0.5 the penalised solution leaves the face.
    let warned = report(0.5).warnings;
    let differ = Warning::ActiveSetsDiffer { penalised_only: 0, lower_only: 1 };
    assert!(warned.contains(&differ), "{warned:?}");
    // A stationary point of psi, from the run below.
    let best = penalty_report(
        &mut Oracle::new(&problem),
        &[-0.158_33, 0.213_31],
        (&[0.5; 2], &[0.5; 2]),
        0.01,
        0.05,
        1e-10,
    );
    assert_eq!(best.ending, Ending::Converged, "{best:?}");
}

fn solver(inner: usize) -> PenaltyBilevel {
    let q = 0.5 * (3.0 + 2.0f64.sqrt());
    PenaltyBilevel {
        sigma: Decay { first: 1.0, power: 1.0 / 3.0 },
        inner,
        inner_step: InnerStep::Smoothness { lower: q, upper: 1.0 },
        step: 0.05.into(),
        warm_up: 0,
        ..PenaltyBilevel::default()
    }
}

fn run(solver: &dyn Solver, problem: &dyn Bilevel, samples: &Samples, steps: usize) -> State {
    let mut oracle = Oracle::new(problem);
    let mut state = solver.start(&[0.9, -0.9], &[0.5; 2], &mut oracle).unwrap();
    for _ in 0..steps {
        solver.step(&mut state, &mut oracle, samples).unwrap();
    }
    state
}

#[test]
fn the_double_loop_follows_the_reference_run() {
    let problem = boxed();
    let end = run(&solver(5), &problem, &Samples::whole(), 1000);
    near(&end.x, &[-0.155_39, 0.205_02], 6e-6);
    near(&[psi(&problem, &end.x)], &[0.295_704], 6e-7);
    let end = run(&solver(5), &problem, &Samples::whole(), 5000);
    near(&end.x, &[-0.158_33, 0.213_31], 6e-6);
    near(&[psi(&problem, &end.x)], &[0.295_241], 6e-7);
    let end = run(&solver(1), &problem, &Samples::whole(), 5000);
    near(&[psi(&problem, &end.x)], &[0.295_241], 6e-7);
    // The minimum on a grid of width 0.01.
    let mut best = (f64::INFINITY, [0.0; 2]);
    for i in -30..=0 {
        for j in 10..=35 {
            let x = [f64::from(i) * 0.01, f64::from(j) * 0.01];
            let value = psi(&problem, &x);
            if value < best.0 {
                best = (value, x);
            }
        }
    }
    near(&[best.0], &[0.295_05], 6e-6);
    near(&best.1, &[-0.16, 0.22], 1e-9);
}

/// Additive noise on every gradient, a function of the batch: the same in both lower terms.
struct Noisy {
    inner: Closures,
    scale: f64,
}

impl Noisy {
    fn shake(&self, mut g: Gradient, batch: &Batch, level: &str) -> Gradient {
        for (name, part) in [("x", &mut g.x), ("y", &mut g.y)] {
            let mut noise = vec![0.0; part.len()];
            batch.stream.child(level).child(name).fill(Law::Normal, 0, &mut noise);
            part.iter_mut().zip(&noise).for_each(|(p, n)| *p += self.scale * n);
        }
        g
    }
}

impl Bilevel for Noisy {
    fn dims(&self) -> (usize, usize) {
        self.inner.dims()
    }
    fn upper(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        self.shake(self.inner.upper(x, y, batch, wrt), batch, "upper")
    }
    fn lower(&self, x: &[f64], y: &[f64], batch: &Batch, wrt: Wrt) -> Gradient {
        self.shake(self.inner.lower(x, y, batch, wrt), batch, "lower")
    }
    fn hessian_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        self.inner.hessian_product(x, y, v, batch)
    }
    fn cross_product(&self, x: &[f64], y: &[f64], v: &[f64], batch: &Batch) -> Vec<f64> {
        self.inner.cross_product(x, y, v, batch)
    }
    fn set_x(&self) -> &Set {
        self.inner.set_x()
    }
    fn set_y(&self) -> &Set {
        self.inner.set_y()
    }
}

/// Draws of one example of many: only the stream of the batch matters.
fn noise(seed: u64) -> Samples {
    Samples::draws((1, 1), 1, &Stream::new(seed))
}

#[test]
fn recursive_momentum_is_no_worse_than_averaging() {
    let clean = boxed();
    let mean = |scale: f64, streams: Streams| {
        let problem = Noisy { inner: boxed(), scale };
        let method = PenaltyBilevel {
            sigma: Decay { first: 1.0, power: 0.2 },
            mix: 0.3.into(),
            streams,
            ..solver(1)
        };
        let values = (0..5u64).map(|seed| {
            let end = run(&method, &problem, &noise(seed), 5000);
            psi(&clean, &end.x)
        });
        values.sum::<f64>() / 5.0
    };
    let (recursive, averaged) = (Streams::Recursive(0.2.into()), Streams::Averaged(0.2.into()));
    for (scale, limit) in [(0.1, 0.306), (0.5, 0.396)] {
        let (r, a) = (mean(scale, recursive), mean(scale, averaged));
        assert!(r <= a, "noise {scale}: recursive {r}, averaged {a}");
        assert!(r < limit, "noise {scale}: {r}");
    }
}

#[test]
fn replayed_samples_keep_the_noise_bounded() {
    let problem = Noisy { inner: boxed(), scale: 0.1 };
    let spread = |sigma: f64, replay: bool| {
        let method = PenaltyBilevel { sigma: sigma.into(), replay, warm_up: 300, ..solver(3) };
        // Directions from one state under fresh samples.
        let directions: Vec<Vec<f64>> =
            (0..60).map(|seed| run(&method, &problem, &noise(seed), 1).direction).collect();
        let mean: Vec<f64> =
            (0..2).map(|j| directions.iter().map(|d| d[j]).sum::<f64>() / 60.0).collect();
        (directions.iter().map(|d| distance(d, &mean).powi(2)).sum::<f64>() / 60.0).sqrt()
    };
    // The lower variables themselves are noisy here; the difference of two of them is divided by sigma. With the same samples in both,
    // it is of the order of sigma.
    let (coarse, fine) = (spread(1e-2, true), spread(1e-3, true));
    assert!(fine < 2.0 * coarse && coarse < 2.0 * fine, "replayed: {coarse} {fine}");
    let (coarse, fine) = (spread(1e-2, false), spread(1e-3, false));
    assert!(fine > 8.0 * coarse, "independent: {coarse} {fine}");
}

#[test]
fn without_proximal_terms_it_is_f2sa() {
    let problem = rank_one();
    let (lambda, gamma) = (8.0, 0.05);
    let ours = PenaltyBilevel {
        sigma: (1.0 / lambda).into(),
        prox: f64::INFINITY,
        mix: 1.0.into(),
        inner: 10,
        inner_step: InnerStep::Fixed(gamma.into()),
        step: 0.02.into(),
        warm_up: 0,
        ..PenaltyBilevel::default()
    };
    let theirs = F2sa {
        a: (gamma / lambda).into(),
        c: gamma.into(),
        b: 0.02.into(),
        lambda,
        delta: 0.0.into(),
        ..F2sa::default()
    };
    let mut oracle = Oracle::new(&problem);
    let start = |s: &dyn Solver, oracle: &mut Oracle<'_>| {
        s.start(&RANK_ONE_X, &[0.1, 0.2, 0.3], oracle).unwrap()
    };
    let (mut a, mut b) = (start(&ours, &mut oracle), start(&theirs, &mut oracle));
    for _ in 0..50 {
        ours.step(&mut a, &mut oracle, &Samples::whole()).unwrap();
        theirs.step(&mut b, &mut oracle, &Samples::whole()).unwrap();
        near(&a.direction, &b.direction, 1e-11);
        near(&a.y, &b.y, 1e-12);
    }
}

#[test]
fn f2sa_leaves_the_set_unless_projected() {
    let problem = boxed();
    let leave = |projected: bool| {
        let method = F2sa { projected, ..F2sa::default() };
        let end = run(&method, &problem, &Samples::whole(), 200);
        end.z.iter().any(|z| !(-1e-12..=1.0 + 1e-12).contains(z))
    };
    assert!(leave(false) && !leave(true));
}

#[test]
fn sigma_halves_itself_and_stops_at_its_floor() {
    let problem = boxed();
    let method = PenaltyBilevel { automatic: Some(0.01), smallest_sigma: 0.05, ..solver(5) };
    let end = run(&method, &problem, &Samples::whole(), 300);
    assert!(end.numbers[0] >= 0.05 && end.numbers[0] < 1.0, "{}", end.numbers[0]);
    // So small that differences are rounding error: said.
    let tiny = PenaltyBilevel { sigma: 1e-12.into(), smallest_sigma: 1e-13, ..solver(1) };
    let end = run(&tiny, &problem, &Samples::whole(), 3);
    assert!(end.warnings.iter().any(|w| w.name() == "cancellation"));
}

#[test]
fn a_saved_state_goes_on_to_the_same_result() {
    let problem = Noisy { inner: boxed(), scale: 0.1 };
    for streams in [Streams::Plain, Streams::Recursive(0.2.into())] {
        let method = PenaltyBilevel { streams, warm_up: 10, restart: 2, ..solver(1) };
        let samples = noise(4);
        let whole = run(&method, &problem, &samples, 40);
        let half = run(&method, &problem, &samples, 17);
        let text = serde_json::to_string(&half).unwrap();
        let mut state: State = serde_json::from_str(&text).unwrap();
        let mut oracle = Oracle::new(&problem);
        for _ in 17..40 {
            method.step(&mut state, &mut oracle, &samples).unwrap();
        }
        assert_eq!(state, whole);
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let problem = boxed();
    let message = |method: PenaltyBilevel| {
        let mut oracle = Oracle::new(&problem);
        method.start(&[0.0; 2], &[0.5; 2], &mut oracle).unwrap_err().to_string()
    };
    assert_eq!(
        message(PenaltyBilevel { sigma: 0.0.into(), ..solver(1) }),
        "sigma is 0; expected a number above 0"
    );
    let streams = Streams::Recursive(0.2.into());
    assert!(
        message(PenaltyBilevel { streams, ..solver(3) }).contains("streams need one inner step")
    );
    assert!(message(PenaltyBilevel { mix: 1.5.into(), ..solver(1) }).contains("at most 1"));
    assert!(message(PenaltyBilevel { prox: f64::NAN, ..solver(1) }).contains("prox is NaN"));
}
