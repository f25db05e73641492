use lisse_array::{Array, DType, Stream, Tree};
use lisse_nn::models::{MlpConfig, SmallConvNetConfig};
use lisse_nn::{Context, Model, losses};
use lisse_run::Ranks;

use super::*;
use crate::{AdaGrad, AdaGradNorm, Adam, LossOracle, Schedule, Sgd};

fn example() -> Array {
    Array::from_slice(&[1.0f64, 0.0, 2.0, 3.0, -1.0, 0.0, 2.0, 1.0, 1.0, 0.0, 0.0, 1.0], &[4, 3])
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
}

#[test]
fn worked_example() {
    let moments = Moments::of_rows(&example());
    assert_eq!(moments.mean.to_vec::<f64>(), [1.5, 0.0, 1.0]);
    moments
        .variance()
        .to_vec::<f64>()
        .into_iter()
        .zip([5.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0])
        .for_each(|(a, b)| near(a, b));
    let spread = Spread::of_rows(&example());
    near(spread.total, 3.0);
    near(spread.squared_norm, 3.25);
    near(spread.along.unwrap(), 2.416667);
    near(spread.across().unwrap(), 2.256410);

    let norm = Controller::norm(0.5, 4, 1000);
    near(norm.need(&spread), 3.692308);
    assert_eq!(norm.decide(&mut norm.start(), &spread).next, 4);
    near(Controller::inner_product(0.5, 4, 1000).need(&spread), 0.915187);
    let across = Test::Augmented { theta: 1e9, nu: 1.0 };
    near(Controller::new(across, 4, 1000).need(&spread), 0.694280);
    near(Controller::augmented(0.5, 1.0, 4, 1000).need(&spread), 0.915187);

    let ratios = spread.ratios.as_ref().unwrap().to_vec::<f64>();
    near(ratios[0] / 0.25, 2.962963);
    near(ratios[2] / 0.25, 2.666667);
    assert!(ratios[1] > 1e11, "a coordinate without gradient asks for everything");
    assert_eq!(Controller::coordinate(0.5, 4, 1000).decide(&mut norm.start(), &spread).next, 1000);
    let two_thirds = Test::Coordinate { eta: 0.5, quantile: 0.66 };
    near(Controller::new(two_thirds, 4, 1000).need(&spread), 2.962963);
}

#[test]
fn inner_products_are_summed_over_tensors_before_they_are_squared() {
    // The same gradients as two tensors: coordinates {1, 2} and {3}.
    let tree = (example().narrow(1, 0, 2), example().narrow(1, 2, 1));
    let like = (Array::zeros(&[2], DType::F64), Array::zeros(&[1], DType::F64));
    let spread = Spread::of_rows(&rows(&Flat::of(&like), &tree));
    near(spread.along.unwrap(), 2.416667);
    let apart = |part: &Array| Spread::of_rows(part).along.unwrap();
    near(apart(&tree.0) + apart(&tree.1), 4.416667); // what the sum over tensors would be
}

#[test]
fn identical_examples_never_grow_and_sizes_only_grow_up_to_the_largest() {
    let same = Array::ones(&[4, 3], DType::F64);
    for controller in [
        Controller::norm(0.1, 4, 64),
        Controller::inner_product(0.1, 4, 64),
        Controller::augmented(0.1, 0.1, 4, 64),
        Controller::coordinate(0.1, 4, 64),
    ] {
        let mut memory = controller.start();
        let still = controller.decide(&mut memory, &Spread::of_rows(&same));
        assert_eq!((still.need, still.next), (0.0, 4));
        // Also where nothing is left of the gradients at all.
        let still = controller.decide(&mut memory, &Spread::of_rows(&(&same * 0.0)));
        assert_eq!((still.need, still.next, still.noise_floor), (0.0, 4, false));
    }
    let controller = Controller::norm(0.25, 4, 20);
    let mut memory = controller.start();
    assert_eq!(controller.decide(&mut memory, &Spread::of_rows(&example())).next, 15); // 14.77
    assert!(controller.question(&memory).is_some());
    assert_eq!(controller.decide(&mut memory, &Spread::of_rows(&same)).next, 15);
    let noisy = Array::from_slice(&[9.0f64, -8.0], &[2, 1]);
    assert_eq!(controller.decide(&mut memory, &Spread::of_rows(&noisy)).next, 20);
    assert!(controller.question(&memory).is_none(), "no test at the largest size");
}

#[test]
fn parts_merge_exactly() {
    let halves = [example().narrow(0, 0, 2), example().narrow(0, 2, 2)];
    let [a, b] = halves.each_ref().map(Moments::of_rows);
    let merged = a.merge(&b);
    assert_eq!((merged.examples, merged.observations), (4, 4));
    let expected = [5.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0];
    merged.variance().to_vec::<f64>().into_iter().zip(expected).for_each(|(a, b)| near(a, b));
    assert_eq!(merged.mean.to_vec::<f64>(), [1.5, 0.0, 1.0]);
    // Averaged variances of halves and the variance of their means: what would be wrong.
    let means = Moments::of_rows(&Array::stack(&[&a.mean, &b.mean], 0)).variance();
    let wrong = ((a.variance() + b.variance() + means) * 0.5).to_vec::<f64>();
    wrong.into_iter().zip([2.25, 0.75, 1.0]).for_each(|(a, b)| near(a, b));
}

#[test]
fn chunks_and_micro_batches_agree_with_all_at_once() {
    let rows = Stream::new(1).normal(&[23, 5], DType::F64);
    let whole = Moments::of_rows(&rows);
    let mut parts = Moments::of_rows(&rows.narrow(0, 0, 1));
    for (start, count) in [(1, 7), (8, 2), (10, 13)] {
        parts = parts.merge(&Moments::of_rows(&rows.narrow(0, start, count)));
    }
    assert!((whole.variance() - parts.variance()).abs().max_all().item() < 1e-14);

    let ranks = Ranks::alone();
    let part = Part { examples: 23, before: 0, ranks: &ranks };
    let all = Spread::of_rows(&rows);
    for wanted in [Wanted::Numbers, Wanted::Coordinates] {
        let chunked =
            part.of_examples(&whole.mean, wanted, |range| rows.narrow(0, range.start, range.len()));
        near(chunked.total, all.total);
        near(chunked.along.unwrap(), all.along.unwrap());
        assert_eq!(chunked.ratios.is_some(), wanted == Wanted::Coordinates);
    }
    // As many micro-batches as examples are the examples.
    let of = |range: std::ops::Range<usize>| rows.narrow(0, range.start, range.len()).mean(&[0]);
    let single = part.of_parts(&whole.mean, Wanted::Coordinates, 23, of);
    near(single.total, all.total);
    let (a, b) = (single.ratios.unwrap(), all.ratios.as_ref().unwrap());
    assert!(((a - b) / b).abs().max_all().item() < 1e-12);
    // Of equal size, m times the variance of the means.
    let means = rows.narrow(0, 0, 20).reshape(&[4, 5, 5]).mean(&[1]);
    let expected = Moments::of_rows(&means).variance() * 5.0;
    let found = Moments::of_means(&means, 5).variance();
    assert!((found - expected).abs().max_all().item() < 1e-14);
}

#[test]
fn the_variance_splits_into_along_and_across() {
    // Var_across + Var_along / |g|^2 = |V|_1, with `o_i` formed in full.
    let rows = Stream::new(2).normal(&[9, 4], DType::F64) + 0.3;
    let spread = Spread::of_rows(&rows);
    let g = rows.mean(&[0]);
    let along = rows.matmul(&g) * (1.0 / spread.squared_norm);
    let across = &rows - along.unsqueeze(1) * &g;
    let direct = Moments::of_rows(&across).variance().sum_all().item();
    near(spread.across().unwrap(), direct);
    near(direct + spread.along.unwrap() / spread.squared_norm, spread.total);
    // Hence at equal parameters the needs add up too.
    let need = |controller: Controller| controller.need(&spread);
    let across_only = Controller::new(Test::Augmented { theta: 1e9, nu: 0.3 }, 2, 9);
    let sum = need(across_only) + need(Controller::inner_product(0.3, 2, 9));
    near(need(Controller::norm(0.3, 2, 9)), sum);
}

#[test]
fn needs_do_not_change_with_the_scale_and_go_with_the_inverse_square() {
    let rows = Stream::new(3).normal(&[9, 4], DType::F64) + 0.3;
    let controllers = |p: f64| {
        [
            Controller::norm(p, 2, 9),
            Controller::inner_product(p, 2, 9),
            Controller::augmented(p, p, 2, 9),
            Controller::coordinate(p, 2, 9),
        ]
    };
    for (whole, half) in controllers(1.0).into_iter().zip(controllers(0.5)) {
        let need = whole.need(&Spread::of_rows(&rows));
        for scale in [1e-9, 1e-3, 1e6] {
            let scaled = whole.need(&Spread::of_rows(&(&rows * scale)));
            assert!((scaled / need - 1.0).abs() < 1e-10, "{whole:?} at {scale}");
        }
        assert!((half.need(&Spread::of_rows(&rows)) / need - 4.0).abs() < 1e-12);
    }
}

#[test]
fn the_total_variance_is_unbiased() {
    // N(mu, diag(1, 4, 9)): trace 14.
    let deviations = Array::from_slice(&[1.0f64, 2.0, 3.0], &[3]);
    let trials = 4000;
    let draws = Stream::new(4).normal(&[trials, 3, 3], DType::F64) * &deviations + 1.0;
    let mean: f64 = (0..trials)
        .map(|i| Moments::of_rows(&draws.narrow(0, i, 1).squeeze(0)).variance().sum_all().item())
        .sum::<f64>()
        / trials as f64;
    assert!((mean / 14.0 - 1.0).abs() < 0.03, "{mean}");
}

#[test]
fn the_coordinate_test_asks_for_at_least_as_much_as_the_norm_test() {
    for seed in 0..50 {
        let rows = Stream::new(5).at(seed).normal(&[7, 6], DType::F64) + 0.2;
        let spread = Spread::of_rows(&rows);
        let need = |controller: Controller| controller.need(&spread);
        assert!(need(Controller::coordinate(0.4, 2, 9)) >= need(Controller::norm(0.4, 2, 9)));
    }
}

#[test]
fn the_first_steps_of_adagrad_have_the_length_of_the_rate() {
    let data = example();
    let step = |optimizer: &dyn Optimizer<Array>, scale: f64| {
        let loss = |x: &Array| (x - &data).square().sum_all() * scale;
        let mut x = Array::from_slice(&[9.0f64, -3.0, 2.0], &[3]);
        let before = x.clone();
        let mut state = optimizer.init(&x);
        optimizer.step(&mut x, &mut state, &mut LossOracle(loss));
        before - x
    };
    let norm = AdaGradNorm { initial: 0.0, ..AdaGradNorm::new(0.3) };
    near(step(&norm, 1.0).norm(), 0.3);
    assert!((step(&norm, 1.0) - step(&norm, 1e3)).norm() < 1e-12);
    let signs = step(&AdaGrad::new(0.3), 1.0).to_vec::<f64>();
    signs.into_iter().zip([0.3, -0.3, 0.3]).for_each(|(a, b)| near(a, b));
}

fn spread_of(total: f64, squared_norm: f64) -> Spread {
    Spread {
        examples: 8,
        observations: 8,
        total,
        along: Some(total / 2.0 * squared_norm),
        squared_norm,
        ratios: None,
        flawed: None,
    }
}

#[test]
fn options_of_the_controller() {
    let noisy = spread_of(100.0, 1.0);
    let plain = Controller::norm(1.0, 8, 1000);
    let next = |controller: &Controller| controller.decide(&mut controller.start(), &noisy).next;
    assert_eq!(next(&plain), 100);
    assert_eq!(next(&Controller { growth: Some(2.0), ..plain.clone() }), 16);
    assert_eq!(next(&Controller { growth: Some(1.01), ..plain.clone() }), 9);
    assert_eq!(next(&Controller { multiple: 16, ..plain.clone() }), 112);
    assert_eq!(next(&Controller { multiple: 16, largest: Some(105), ..plain.clone() }), 105);
    assert_eq!(next(&Controller { hysteresis: 13.0, ..plain.clone() }), 8);
    assert_eq!(next(&Controller { measure_only: true, ..plain.clone() }), 8);
    assert_eq!(Controller { multiple: 16, ..plain.clone() }.initial(), 16);

    // Averages of numerator and denominator, each by itself.
    let averaged = Controller { average: 0.9, ..plain.clone() };
    let mut memory = averaged.start();
    near(averaged.decide(&mut memory, &noisy).need, 100.0);
    let second = averaged.decide(&mut memory, &spread_of(10.0, 3.0));
    near(second.need, (0.9 * 100.0 + 10.0) / (0.9 + 3.0));

    // No growth before the third test, then by the mean need.
    let settled = Controller { settle: 3, ..plain.clone() };
    let mut memory = settled.start();
    let sizes = [300.0, 30.0, 60.0, 500.0]
        .map(|need| settled.decide(&mut memory, &spread_of(need, 1.0)).next);
    assert_eq!(sizes, [8, 8, 130, 500]);

    // Shrinking, not below the first size, and not within the hysteresis.
    let shrinking = Controller { shrink: true, hysteresis: 1.5, ..plain.clone() };
    let mut memory = shrinking.start();
    let sizes = [100.0, 90.0, 50.0, 3.0]
        .map(|need| shrinking.decide(&mut memory, &spread_of(need, 1.0)).next);
    assert_eq!(sizes, [100, 100, 50, 8]);

    // Every third step.
    let rare = Controller { interval: 3, ..plain.clone() };
    let mut memory = rare.start();
    let asks: Vec<bool> = (0..6)
        .map(|_| {
            let asks = rare.question(&memory).is_some();
            rare.count_step(&mut memory);
            asks
        })
        .collect();
    assert_eq!(asks, [true, false, false, true, false, false]);

    let mut grown = plain.start();
    grown.size = 32;
    let factor = |coupling| Controller { coupling, ..plain.clone() }.rate_factor(&grown);
    assert_eq!(
        [Coupling::None, Coupling::Linear, Coupling::SquareRoot].map(factor),
        [1.0, 4.0, 2.0]
    );
}

#[test]
fn ramps_without_a_test() {
    let ramp = Controller::new(Test::Ramp { by: 3 }, 2, 10);
    let mut memory = ramp.start();
    let sizes: Vec<usize> = (0..5)
        .map(|_| {
            assert!(ramp.question(&memory).is_none());
            ramp.count_step(&mut memory);
            memory.size
        })
        .collect();
    assert_eq!(sizes, [5, 8, 10, 10, 10]);

    let sizes = vec![4, 8, 16];
    let stages = Controller { budget: 48, ..Controller::new(Test::Stages { sizes }, 4, 16) };
    let mut memory = stages.start();
    let mut seen = Vec::new();
    while memory.examples < 48 {
        seen.push(memory.size);
        stages.count_step(&mut memory);
    }
    assert_eq!(seen, [4, 4, 4, 4, 8, 8, 16]);
}

#[test]
fn a_vanished_gradient_is_the_noise_floor_and_no_spread_is_no_decision() {
    for controller in [Controller::norm(0.5, 4, 64), Controller::inner_product(0.5, 4, 64)] {
        let mut memory = controller.start();
        let floor = controller.decide(&mut memory, &spread_of(1.0, 0.0));
        assert_eq!((floor.next, floor.noise_floor), (64, true));
        let mut memory = controller.start();
        for spread in [spread_of(f64::NAN, 1.0), Spread::of_rows(&example().narrow(0, 0, 1))] {
            let none = controller.decide(&mut memory, &spread);
            assert!(none.need.is_nan() && none.next == 4);
        }
        assert_eq!(memory, controller.start());
    }
    let opposite = Array::from_slice(&[1.0f64, -1.0], &[2, 1]);
    let controller = Controller::coordinate(0.5, 4, 64);
    let floor = controller.decide(&mut controller.start(), &Spread::of_rows(&opposite));
    assert_eq!((floor.next, floor.noise_floor), (64, true));
}

#[test]
fn the_first_flawed_example_is_named() {
    let mut values = example().to_vec::<f64>();
    values[7] = f64::NAN;
    let rows = Array::from_vec(values, &[4, 3]);
    assert_eq!(Spread::of_rows(&rows).flawed, Some(2));
    let parts = [rows.narrow(0, 0, 2), rows.narrow(0, 2, 2)];
    let mean = rows.mean(&[0]);
    let [a, b] = parts.map(|rows| Projections::of_rows(&rows, &mean, 1));
    assert_eq!(a.plus(&b).flawed, Some(2));
}

#[test]
fn hyperparameters_out_of_range_are_named() {
    let good = Controller::norm(0.1, 8, 64);
    assert!(good.validate().is_ok());
    let bad = |controller: Controller| controller.validate().expect_err("out of range").key;
    let test = |test: Test| bad(Controller { test, ..good.clone() });
    assert_eq!(test(Test::Norm { eta: 0.0 }), "test.eta");
    assert_eq!(test(Test::InnerProduct { theta: f64::NAN }), "test.theta");
    assert_eq!(test(Test::Augmented { theta: 0.1, nu: -1.0 }), "test.nu");
    assert_eq!(test(Test::Coordinate { eta: 0.1, quantile: 1.5 }), "test.quantile");
    assert_eq!(test(Test::Stages { sizes: vec![] }), "test.sizes");
    assert_eq!(test(Test::Ramp { by: 0 }), "test.by");
    assert_eq!(bad(Controller { initial: Some(1), ..good.clone() }), "initial");
    assert_eq!(bad(Controller { largest: Some(7), ..good.clone() }), "largest");
    assert_eq!(bad(Controller { interval: 0, ..good.clone() }), "interval");
    assert_eq!(bad(Controller { growth: Some(1.0), ..good.clone() }), "growth");
    assert_eq!(bad(Controller { average: 1.0, ..good.clone() }), "average");
    assert_eq!(bad(Controller { hysteresis: 0.9, ..good.clone() }), "hysteresis");
    assert_eq!(bad(Controller { multiple: 0, ..good.clone() }), "multiple");
    assert_eq!(bad(Controller { micro_batches: Some(1), ..good.clone() }), "micro_batches");
}

#[test]
fn recipes_name_it() {
    let parse = |extra: &str| -> OptimizerConfig {
        let text = format!(
            r#"{{"optimizer": {{"name": "adagrad-norm", "learning_rate": 1.0}}, "adaptive_batch": {extra}}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    let config = parse(r#"{"test": {"name": "norm", "eta": 0.5}, "initial": 4, "largest": 64}"#);
    assert!(config.validate().is_ok());
    let built = config.build::<Array>(100);
    assert_eq!(built.batch_size(&State::new()), Some(4));
    let bad = parse(r#"{"test": {"name": "augmented", "nu": 0}}"#).validate().err().unwrap();
    assert_eq!(bad.key, "adaptive_batch.test.nu");
    let tests: Vec<Test> = ["norm", "inner-product", "augmented", "coordinate"]
        .map(|name| serde_json::from_str(&format!(r#"{{"name": "{name}"}}"#)).unwrap())
        .to_vec();
    assert_eq!(tests[2], Test::Augmented { theta: 0.1, nu: 0.1 });
}

/// 1/2 |x - a_i|^2 on average over points.
struct Points(Array);

impl Oracle<Array> for Points {
    fn value_and_grad(&mut self, x: &Array) -> (f64, Array) {
        (self.value(x), x - self.0.mean(&[0]))
    }
    fn value(&mut self, x: &Array) -> f64 {
        (x - &self.0).square().sum(&[1]).mean_all().item() / 2.0
    }
    fn hvp(&mut self, _: &Array, v: &Array) -> Array {
        v.clone()
    }
    fn per_example_grads(&mut self, x: &Array) -> Option<Array> {
        Some(x - &self.0)
    }
}

fn run(optimizer: &dyn Optimizer<Array>, data: &Array, steps: usize) -> (Array, State<Array>) {
    let mut x = Array::full(&[3], 4.0, DType::F64);
    let mut state = optimizer.init(&x);
    for _ in 0..steps {
        let size = optimizer.batch_size(&state).unwrap_or(8);
        optimizer.step(&mut x, &mut state, &mut Points(data.narrow(0, 0, size)));
    }
    (x, state)
}

#[test]
fn at_one_size_it_is_the_inner_optimizer_bit_for_bit() {
    let data = Stream::new(6).normal(&[64, 3], DType::F64);
    let schedule = Schedule::Cosine { peak: 0.2, warmup: 3, total: 20, floor: 0.01 };
    let inner = Adam::new(schedule);
    let fixed = run(&inner, &data, 20).0.to_vec::<f64>();
    for controller in [
        Controller::norm(0.1, 8, 8),
        Controller { measure_only: true, ..Controller::norm(0.1, 8, 64) },
    ] {
        let (x, state) = run(&AdaptiveBatch::new(controller, inner.clone()), &data, 20);
        assert_eq!(x.to_vec::<f64>(), fixed);
        assert_eq!(state.schedule_step(), 19);
    }
}

#[test]
fn schedules_count_examples_where_batches_grow() {
    let data = Stream::new(7).normal(&[64, 3], DType::F64);
    let schedule = Schedule::LinearToZero { peak: 0.1, warmup: 0, total: 100 };
    let ramp = Controller::new(Test::Ramp { by: 4 }, 4, 64);
    let optimizer = AdaptiveBatch::new(ramp, Sgd::new(schedule.clone()));
    let mut x = Array::full(&[3], 4.0, DType::F64);
    let mut state = optimizer.init(&x);
    let mut used = 0;
    for size in [4, 8, 12, 16] {
        assert_eq!(optimizer.batch_size(&state), Some(size));
        let points = &mut Points(data.narrow(0, 0, size));
        let info = optimizer.step(&mut x, &mut state, points);
        assert_eq!(info.learning_rate, schedule.at(used / 4));
        used += size as u64;
    }
}

#[test]
fn a_saved_state_goes_on_bit_for_bit() {
    let data = Stream::new(8).normal(&[512, 3], DType::F64);
    let controller =
        Controller { average: 0.9, settle: 2, growth: Some(2.0), ..Controller::norm(0.3, 4, 512) };
    let optimizer = AdaptiveBatch::new(controller, AdaGradNorm::new(1.0));
    let (x, state) = run(&optimizer, &data, 9);
    let (mut a, mut b) = (x.clone(), x);
    let mut first = state.clone();
    // Only trees and numbers are saved.
    let mut second =
        State { step: state.step, trees: state.trees.clone(), numbers: state.numbers.clone() };
    for _ in 0..6 {
        let size = optimizer.batch_size(&first).unwrap();
        assert_eq!(optimizer.batch_size(&second), Some(size));
        optimizer.step(&mut a, &mut first, &mut Points(data.narrow(0, 0, size)));
        optimizer.step(&mut b, &mut second, &mut Points(data.narrow(0, 0, size)));
    }
    assert_eq!(a.to_vec::<f64>(), b.to_vec::<f64>());
    assert_eq!(first.numbers, second.numbers);
}

#[test]
fn the_test_sees_raw_gradients_and_the_rate_can_follow_the_size() {
    let data = Stream::new(9).normal(&[64, 3], DType::F64);
    let metric = |info: &StepInfo, name: &str| {
        info.metrics.iter().find(|(n, _)| *n == name).expect("a metric").1
    };
    let mut x = Array::full(&[3], 4.0, DType::F64);
    let clipped = crate::Clipped { clip: crate::Clip::Norm(1e-3), inner: Sgd::new(0.1) };
    let optimizer = AdaptiveBatch::new(Controller::norm(0.1, 8, 64), clipped);
    let mut state = optimizer.init(&x);
    let info = optimizer.step(&mut x, &mut state, &mut Points(data.narrow(0, 0, 8)));
    let expected = Spread::of_rows(&(Array::full(&[3], 4.0, DType::F64) - data.narrow(0, 0, 8)));
    near(metric(&info, "squared_gradient_norm"), expected.squared_norm);
    near(metric(&info, "gradient_variance"), expected.total);

    let coupled =
        Controller { coupling: Coupling::Linear, ..Controller::new(Test::Ramp { by: 8 }, 8, 64) };
    let optimizer = AdaptiveBatch::new(coupled, Sgd::new(0.1));
    let (x, mut state) = run(&optimizer, &data, 1);
    let mut after = x.clone();
    let points = &mut Points(data.narrow(0, 0, 16));
    let gradient = points.value_and_grad(&x).1;
    let info = optimizer.step(&mut after, &mut state, points);
    near(info.learning_rate, 0.2);
    assert!((x - after - gradient * 0.2).norm() < 1e-12);
}

#[test]
fn ranks_decide_as_one() {
    let rows = Stream::new(10).normal(&[11, 4], DType::F64) + 0.3;
    let alone = Spread::of_rows(&rows);
    let mean = rows.mean(&[0]);
    for wanted in [Wanted::Numbers, Wanted::Coordinates] {
        let spreads = Ranks::threads(3, |ranks| {
            let share = ranks.share(11);
            let part = Part { examples: share.len(), before: share.start, ranks: &ranks };
            let of = |range: std::ops::Range<usize>| {
                rows.narrow(0, share.start + range.start, range.len())
            };
            part.of_examples(&mean, wanted, of)
        });
        let controller = match wanted {
            Wanted::Numbers => Controller::augmented(0.3, 0.3, 4, 10_000),
            Wanted::Coordinates => Controller::coordinate(0.3, 4, 10_000),
        };
        let needs: Vec<u64> = spreads.iter().map(|s| controller.need(s).to_bits()).collect();
        assert!(needs.iter().all(|&need| need == needs[0]), "the same bits on every rank");
        assert_eq!(spreads[0].examples, 11);
        near(controller.need(&spreads[2]) / controller.need(&alone), 1.0);
    }
    // More ranks than examples: some have none.
    let spreads = Ranks::threads(3, |ranks| {
        let share = ranks.share(2);
        let part = Part { examples: share.len(), before: share.start, ranks: &ranks };
        let of =
            |range: std::ops::Range<usize>| rows.narrow(0, share.start + range.start, range.len());
        part.of_examples(&rows.narrow(0, 0, 2).mean(&[0]), Wanted::Coordinates, of)
    });
    let two = Moments::of_rows(&rows.narrow(0, 0, 2)).spread();
    for s in &spreads {
        near(s.total, two.total);
    }
}

/// Rows of gradients of single examples, one backward pass each.
fn one_by_one<P: Tree + Send + Sync>(
    net: &P,
    x: &Array,
    targets: &Array,
    forward: impl Fn(&P, &Array) -> Array + Sync,
) -> Array {
    let loss = |net: &P, i: usize| {
        losses::cross_entropy(&forward(net, &x.narrow(0, i, 1)), &targets.narrow(0, i, 1))
    };
    rows(&Flat::of(net), &lisse_array::per_example_grad(loss, net, x.dim(0)))
}

fn agrees(traces: &[LayerTrace], rows: &Array, gradient: &impl Tree) {
    let expected = Spread::of_rows(rows);
    let ranks = Ranks::alone();
    for wanted in [Wanted::Numbers, Wanted::Coordinates] {
        let found = spread_of_layers(traces, gradient, wanted, 0, &ranks).expect("all layers");
        assert!((found.total / expected.total - 1.0).abs() < 1e-10);
        assert!((found.along.unwrap() / expected.along.unwrap() - 1.0).abs() < 1e-10);
        if let Some(ratios) = found.ratios {
            let expected = expected.ratios.as_ref().unwrap();
            let error = (ratios - expected).abs() / (expected + 1e-6);
            assert!(error.max_all().item() < 1e-6, "{error}");
        }
    }
}

#[test]
fn dense_layers_tell_the_spread_without_single_gradients() {
    let net =
        MlpConfig::new(&[5, 7, 3]).activation(lisse_nn::Activation::Tanh).build(&Stream::new(0));
    let net = net.map(|leaf| leaf.cast(DType::F64));
    let x = Stream::new(1).normal(&[6, 5], DType::F64);
    let targets = Array::from_slice(&[0i64, 2, 1, 1, 0, 2], &[6]);
    let loss = |logits: &Array| losses::cross_entropy(logits, &targets);
    let forward = |net: &lisse_nn::models::Mlp, x: &Array| net.forward(x, &Context::eval());
    let rows = one_by_one(&net, &x, &targets, forward);
    let gradient = lisse_array::grad(|net: &lisse_nn::models::Mlp| loss(&forward(net, &x)))(&net);
    let traces = trace_mlp(&net, &x, loss).unwrap();
    agrees(&traces, &rows, &gradient);
    // Parameters that no layer accounts for are not passed over.
    assert!(
        spread_of_layers(&traces[..1], &gradient, Wanted::Numbers, 0, &Ranks::alone()).is_none()
    );
    // Twice the same example: what is left after the subtraction is rounding.
    let (x, targets) = (x.narrow(0, 0, 1).expand(&[4, 5]), targets.narrow(0, 0, 1).expand(&[4]));
    let loss = |logits: &Array| losses::cross_entropy(logits, &targets);
    let traces = trace_mlp(&net, &x, loss).unwrap();
    let gradient = lisse_array::grad(|net: &lisse_nn::models::Mlp| loss(&forward(net, &x)))(&net);
    assert!(spread_of_layers(&traces, &gradient, Wanted::Numbers, 0, &Ranks::alone()).is_none());
}

#[test]
fn convolutions_tell_the_spread_without_single_gradients() {
    // Few positions with wide kernels and many with narrow ones: both ways to the norms.
    for (size, widths) in [(4, [2, 9]), (8, [1, 1])] {
        let config = SmallConvNetConfig {
            size,
            widths,
            hidden: 5,
            classes: 3,
            batch_norm: false,
            activation: lisse_nn::Activation::Silu,
            ..SmallConvNetConfig::default()
        };
        let net = config.build(&Stream::new(0)).map(|leaf| leaf.cast(DType::F64));
        let x = Stream::new(1).normal(&[6, 1, size, size], DType::F64);
        let targets = Array::from_slice(&[0i64, 2, 1, 1, 0, 2], &[6]);
        let loss = |logits: &Array| losses::cross_entropy(logits, &targets);
        let forward =
            |net: &lisse_nn::models::SmallConvNet, x: &Array| net.forward(x, &Context::eval());
        let rows = one_by_one(&net, &x, &targets, forward);
        let gradient =
            lisse_array::grad(|net: &lisse_nn::models::SmallConvNet| loss(&forward(net, &x)))(&net);
        agrees(&trace_conv_net(&net, &x, loss).unwrap(), &rows, &gradient);
    }
}
