//! The smoothers against closed forms, and together.

use std::cell::Cell;

use lisse_array::{Array, DType, Stream, Tree, check, grad, hvp};
use lisse_nn::models::{Mlp, MlpConfig, Model};
use lisse_nn::{Activation, BatchNorm, Context, losses};

use super::*;
use crate::config::OptimizerConfig;
use crate::{Adam, Clip, Clipped, Flat, LossOracle, Sgd};

/// `1/2 x'Ax` with `A = [[3, 1], [1, 2]]`.
fn quadratic(x: &Array) -> Array {
    let a = Array::from_slice(&[3.0f64, 1.0, 1.0, 2.0], &[2, 2]);
    x.matmul(&a.matmul(x)) * 0.5
}

fn point() -> Array {
    Array::from_slice(&[1.0f64, -1.0], &[2])
}

fn found(smoother: &impl Smoother<Array>, x: &Array) -> Smoothed<Array> {
    smoother.value_and_grad(&mut LossOracle(quadratic), x, 0)
}

fn metric<P>(found: &Smoothed<P>, name: &str) -> f64 {
    found.metrics.iter().find(|(n, _)| *n == name).map_or(f64::NAN, |(_, v)| *v)
}

/// Two layers and a cross entropy, smooth, in f64.
fn network() -> (Mlp, impl Fn(&Mlp) -> Array) {
    let config = MlpConfig::new(&[3, 5, 4]).activation(Activation::Tanh);
    let network = config.build(&Stream::new(3)).map(|leaf| leaf.cast(DType::F64));
    let x = Stream::new(4).normal(&[6, 3], DType::F64);
    let y = Array::from_slice(&[0i64, 1, 2, 3, 1, 0], &[6]);
    (network, move |net: &Mlp| losses::cross_entropy(&net.forward(&x, &Context::eval()), &y))
}

fn run(optimizer: &dyn Optimizer<Array>) -> Vec<f32> {
    let mut params = Array::from_slice(&[1.0f32, -1.0, 0.3], &[3]);
    let mut state = optimizer.init(&params);
    let mut oracle = LossOracle(|x: &Array| (x.square().square() + x.exp()).sum_all());
    for _ in 0..20 {
        optimizer.step(&mut params, &mut state, &mut oracle);
    }
    optimizer.averaged(&params, &state).unwrap_or(params).to_vec::<f32>()
}

#[test]
fn without_effect_they_are_the_inner_optimizer_bit_for_bit() {
    let adam = || Adam::new(0.1);
    let plain = run(&adam());
    assert_eq!(run(&RandomizedSmoothing::new(0.0, adam())), plain);
    assert_eq!(run(&GradientPenalty::new(0.0, adam())), plain);
    assert_eq!(run(&CurvaturePenalty::new(0.0, adam())), plain);
    // One snapshot, the last; and an exponential average that forgets all before.
    assert_eq!(run(&Averaged::equally(20, 1, adam())), plain);
    assert_eq!(run(&Averaged::exponentially(0.0, adam())), plain);
    // No snapshot: the last iterate.
    assert_eq!(run(&Averaged::equally(21, 1, adam())), plain);
    assert_ne!(run(&RandomizedSmoothing::new(0.1, adam())), plain);
}

#[test]
fn the_gradient_penalty_of_a_quadratic() {
    // g = (2, -1), H g / |g| = (2.2360680, 0).
    for differences in [None, Some(1e-2)] {
        let penalty = GradientPenalty { differences, ..GradientPenalty::new(0.5, ()) };
        let found = found(&penalty, &point());
        let slope =
            (found.gradient.clone() - Array::from_slice(&[2.0f64, -1.0], &[2])).to_vec::<f64>();
        assert!(
            (slope[0] - 0.5 * 5f64.sqrt()).abs() < 1e-11 && slope[1].abs() < 1e-11,
            "{slope:?}"
        );
        assert_eq!(found.value, 1.5);
        assert!((metric(&found, "gradient_penalty") - 0.5 * 5f64.sqrt()).abs() < 1e-12);
    }
}

#[test]
fn the_curvature_penalty_of_a_quadratic() {
    // R = mu |A v|, and its gradient with v constant is zero.
    let v = Array::from_slice(&[2.0f64, -1.0], &[2]) / 5f64.sqrt();
    let expected = 0.01 * hvp(quadratic, &point(), &v).norm();
    for differences in [None, Some(1e-2)] {
        let penalty = CurvaturePenalty { differences, ..CurvaturePenalty::new(2.0, ()) };
        let found = found(&penalty, &point());
        assert!((metric(&found, "curvature_penalty") - 2.0 * expected).abs() < 1e-13);
        assert!(metric(&found, "curvature_penalty_slope") < 1e-10);
        let distance = found.gradient - Array::from_slice(&[2.0f64, -1.0], &[2]);
        assert!(distance.norm() < 1e-10);
    }
}

#[test]
fn the_smoothed_gradient_is_unbiased_with_the_known_variance() {
    // Of a quadratic: mean A x, covariance sigma^2 A^2 / K; A^2 = [[10, 5], [5, 5]].
    let smoothing = RandomizedSmoothing::new(0.3, ());
    let mut oracle = LossOracle(quadratic);
    let draws: Vec<Vec<f64>> = (0..3000)
        .map(|step| smoothing.value_and_grad(&mut oracle, &point(), step).gradient.to_vec::<f64>())
        .collect();
    let count = draws.len() as f64;
    let mean = [0, 1].map(|i| draws.iter().map(|d| d[i]).sum::<f64>() / count);
    let covariance = |i: usize, j: usize| {
        draws.iter().map(|d| (d[i] - mean[i]) * (d[j] - mean[j])).sum::<f64>() / count
    };
    assert!((mean[0] - 2.0).abs() < 0.04 && (mean[1] + 1.0).abs() < 0.03, "{mean:?}");
    for (i, j, square) in [(0, 0, 10.0), (0, 1, 5.0), (1, 1, 5.0)] {
        let ratio = covariance(i, j) / (0.09 * square / 3.0);
        assert!((ratio - 1.0).abs() < 0.12, "{i}{j}: {ratio}");
    }
}

#[test]
fn noise_is_the_same_within_a_step_and_new_in_the_next() {
    let smoothing = RandomizedSmoothing::new(0.3, ());
    let mut oracle = LossOracle(quadratic);
    let mut at =
        |step| smoothing.value_and_grad(&mut oracle, &point(), step).gradient.to_vec::<f64>();
    assert_eq!(at(4), at(4));
    assert_ne!(at(4), at(5));
    // Equal shapes have noise of their own.
    let pair = smoothing.point(&(point(), point()), 0, 0);
    assert_ne!(pair.0.to_vec::<f64>(), pair.1.to_vec::<f64>());
}

#[test]
fn the_smoothed_oracle_is_consistent() {
    // What line searches and penalties inside see is one function.
    struct Probe;
    impl Optimizer<Array> for Probe {
        fn init(&self, _: &Array) -> State<Array> {
            State::new()
        }
        fn step(
            &self,
            x: &mut Array,
            _: &mut State<Array>,
            oracle: &mut dyn Oracle<Array>,
        ) -> StepInfo {
            let (value, gradient) = oracle.value_and_grad(x);
            assert!((value - oracle.value(x)).abs() < 1e-14);
            let v = Array::from_slice(&[0.3f64, 0.7], &[2]);
            let h = 1e-5;
            let difference =
                (oracle.value(&x.axpy(h, &v)) - oracle.value(&x.axpy(-h, &v))) / (2.0 * h);
            assert!((difference - gradient.dot(&v)).abs() < 1e-8);
            let change =
                oracle.value_and_grad(&x.axpy(h, &v)).1 - oracle.value_and_grad(&x.axpy(-h, &v)).1;
            assert!((change / (2.0 * h) - oracle.hvp(x, &v)).norm() < 1e-8);
            assert!(oracle.composite().is_none());
            StepInfo { loss: value, ..StepInfo::default() }
        }
    }
    let optimizer = RandomizedSmoothing::new(0.4, Probe);
    let mut oracle = LossOracle(|x: &Array| (x.square().square() + x.exp()).sum_all());
    optimizer.step(&mut point(), &mut State::new(), &mut oracle);
}

#[test]
fn the_gradient_penalty_is_the_derivative_of_its_function() {
    let (network, loss) = network();
    let lambda = 0.7;
    let penalised = |net: &Mlp| {
        let g = grad(&loss)(net);
        loss(net) + g.dot_array(&g).sqrt() * lambda
    };
    check::gradient(penalised, &network, 1).unwrap();
    let exact = grad(penalised)(&network);
    let penalty = GradientPenalty::new(lambda, ());
    let found = penalty.value_and_grad(&mut LossOracle(&loss), &network, 0);
    assert!(found.gradient.axpy(-1.0, &exact).norm() < 1e-10 * exact.norm());
}

#[test]
fn the_curvature_penalty_is_the_derivative_of_its_function() {
    let (network, loss) = network();
    let (lambda, mu) = (0.7, 0.3);
    let v = unit(&grad(&loss)(&network)).1;
    let penalised = |net: &Mlp| {
        let r = grad(&loss)(&net.axpy(mu, &v)).axpy(-1.0, &grad(&loss)(net));
        loss(net) + r.dot_array(&r).sqrt() * lambda
    };
    check::gradient(penalised, &network, 1).unwrap();
    let exact = grad(penalised)(&network);
    let penalty = CurvaturePenalty { mu, ..CurvaturePenalty::new(lambda, ()) };
    let found = penalty.value_and_grad(&mut LossOracle(&loss), &network, 0);
    assert!(found.gradient.axpy(-1.0, &exact).norm() < 1e-10 * exact.norm());
}

/// Relative distance of the smoothed gradient at `differences = h` to the exact one's penalty.
fn difference_error(at: impl Fn(Option<f64>) -> Mlp, plain: &Mlp, h: f64) -> f64 {
    let exact = at(None).axpy(-1.0, plain);
    at(Some(h)).axpy(-1.0, plain).axpy(-1.0, &exact).norm() / exact.norm()
}

#[test]
fn differences_agree_to_the_second_order() {
    let (network, loss) = network();
    let plain = grad(&loss)(&network);
    let gradient = |differences| {
        let rule = GradientPenalty { differences, ..GradientPenalty::new(1.0, ()) };
        rule.value_and_grad(&mut LossOracle(&loss), &network, 0).gradient
    };
    let curvature = |differences| {
        let rule = CurvaturePenalty { differences, mu: 0.3, ..CurvaturePenalty::new(1.0, ()) };
        rule.value_and_grad(&mut LossOracle(&loss), &network, 0).gradient
    };
    assert!(difference_error(gradient, &plain, 1e-4) < 1e-6);
    let ratio = difference_error(gradient, &plain, 4e-2) / difference_error(gradient, &plain, 2e-2);
    assert!((ratio - 4.0).abs() < 0.1, "{ratio}");
    let ratio =
        difference_error(curvature, &plain, 4e-2) / difference_error(curvature, &plain, 2e-2);
    assert!((ratio - 4.0).abs() < 0.1, "{ratio}");
}

#[test]
fn sam_is_the_gradient_penalty_to_first_order() {
    // f(x + rho u) = f(x) + rho |g| + O(rho^2), and so for the gradients.
    let (network, loss) = network();
    let distance = |rho| {
        let sam = Sam::new(rho, ()).value_and_grad(&mut LossOracle(&loss), &network, 0);
        let penalty =
            GradientPenalty::new(rho, ()).value_and_grad(&mut LossOracle(&loss), &network, 0);
        sam.gradient.axpy(-1.0, &penalty.gradient).norm()
    };
    let ratio = distance(2e-3) / distance(1e-3);
    assert!((ratio - 4.0).abs() < 0.05, "{ratio}");
}

#[test]
fn the_perturbation_has_the_radius_and_leaves_the_parameters() {
    let (network, loss) = network();
    let before: Vec<u64> = bits(&network);
    let sam = Sam::new(0.25, ());
    let mut visited = Vec::new();
    struct Spy<'a, F>(F, &'a mut Vec<Mlp>);
    impl<F: Fn(&Mlp) -> Array> Oracle<Mlp> for Spy<'_, F> {
        fn value_and_grad(&mut self, net: &Mlp) -> (f64, Mlp) {
            self.1.push(net.clone());
            LossOracle(&self.0).value_and_grad(net)
        }
        fn value(&mut self, net: &Mlp) -> f64 {
            (self.0)(net).item()
        }
        fn hvp(&mut self, net: &Mlp, v: &Mlp) -> Mlp {
            hvp(&self.0, net, v)
        }
    }
    sam.value_and_grad(&mut Spy(&loss, &mut visited), &network, 0);
    assert!((visited[1].axpy(-1.0, &visited[0]).norm() - 0.25).abs() < 1e-12);
    assert_eq!(bits(&network), before);
}

fn bits(net: &Mlp) -> Vec<u64> {
    net.leaves().iter().flat_map(|leaf| leaf.to_vec::<f64>()).map(f64::to_bits).collect()
}

#[test]
fn a_forget_loss_of_zero_leaves_pure_retaining() {
    let (network, loss) = network();
    let smoothers: [&dyn Smoother<Mlp>; 5] = [
        &(),
        &Sam::new(0.5, ()),
        &RandomizedSmoothing::new(0.1, ()),
        &GradientPenalty::new(1.0, ()),
        &CurvaturePenalty::new(1.0, ()),
    ];
    let zero = |net: &Mlp| net.dot_array(net) * 0.0;
    let step = |oracle: &mut dyn Oracle<Mlp>| {
        let (mut params, optimizer) = (network.clone(), Adam::new(0.01));
        let mut state = optimizer.init(&params);
        optimizer.step(&mut params, &mut state, oracle);
        bits(&params)
    };
    let expected = step(&mut LossOracle(&loss));
    for smoother in smoothers {
        let (mut forget, mut retain) = (LossOracle(zero), LossOracle(&loss));
        let mut both = PartlySmoothed::new(&mut forget, smoother, &mut retain, 1.0, 0);
        assert_eq!(step(&mut both), expected);
    }
}

#[test]
fn only_the_first_loss_is_perturbed() {
    let mut forget = LossOracle(quadratic);
    let mut retain = LossOracle(|x: &Array| (x.square() * x).sum_all());
    let sam = Sam::new(0.1, ());
    let mut both = PartlySmoothed::new(&mut forget, &sam, &mut retain, 2.0, 0);
    let (value, gradient) = both.value_and_grad(&point());
    // SAM's gradient of the quadratic is (2.2236068, -1), the other's own (3, 3).
    let g = gradient.to_vec::<f64>();
    assert!((g[0] - 8.2236068).abs() < 1e-7 && (g[1] - 5.0).abs() < 1e-12, "{g:?}");
    assert_eq!(value, 1.5);
    let v = Array::from_slice(&[1.0f64, 0.0], &[2]);
    assert_eq!(both.hvp(&point(), &v).to_vec::<f64>(), [15.0, 1.0]);
    // A weight of zero does not even ask.
    let mut never = LossOracle(|x: &Array| x.sum_all() * f64::NAN);
    let mut forget = LossOracle(quadratic);
    let mut one = PartlySmoothed::new(&mut forget, &(), &mut never, 0.0, 0);
    assert_eq!(one.value_and_grad(&point()).0, 1.5);
    assert_eq!(one.value(&point()), 1.5);
}

#[test]
fn averages_are_the_means_they_claim() {
    let mut iterates = Vec::new();
    let swa = Averaged::equally(4, 3, Sgd::new(0.1));
    let ema = Averaged::exponentially(0.8, Sgd::new(0.1));
    let (mut x, mut y) = (point(), point());
    let (mut state, mut other) = (swa.init(&x), ema.init(&y));
    assert!(swa.averaged(&x, &state).is_none());
    for _ in 0..13 {
        swa.step(&mut x, &mut state, &mut LossOracle(quadratic));
        ema.step(&mut y, &mut other, &mut LossOracle(quadratic));
        // The trajectory is the inner one's.
        assert_eq!(x.to_vec::<f64>(), y.to_vec::<f64>());
        iterates.push(x.clone());
    }
    // Steps 6, 9 and 12, counted from 1.
    let mean = (&iterates[5] + &iterates[8] + &iterates[11]) / 3.0;
    assert!((swa.averaged(&x, &state).unwrap() - mean).norm() < 1e-15);
    let weights: Vec<f64> = (0..13).map(|age| 0.8f64.powi(12 - age)).collect();
    let total: f64 = weights.iter().sum();
    let start = Array::zeros(&[2], DType::F64);
    let mean =
        iterates.iter().zip(&weights).fold(start, |sum, (x, w)| sum.add_scaled(w / total, x));
    assert!((ema.averaged(&y, &other).unwrap() - mean).norm() < 1e-15);
    assert!(swa.has_snapshot_within(6) && !swa.has_snapshot_within(5));
    assert!(!Averaged::equally(u64::MAX, 2, ()).has_snapshot_within(u64::MAX));
}

#[test]
fn an_average_survives_saving() {
    let swa = Averaged::equally(1, 1, Sgd::new(0.1));
    let mut x = point();
    let mut state = swa.init(&x);
    swa.step(&mut x, &mut state, &mut LossOracle(quadratic));
    let text = serde_json::to_string(&state).unwrap();
    let restored: State<Array> = serde_json::from_str(&text).unwrap();
    // Values travel beside: the structure must hold the average's place.
    let names = |s: &State<Array>| s.named_leaves().into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(names(&restored), names(&state));
    assert_eq!(restored.numbers, state.numbers);
}

/// A dense layer's worth of parameters beside the statistics and the counter of batch normalisation.
#[derive(Clone, Tree)]
struct Normed {
    norm: BatchNorm,
    scale: Array,
}

#[test]
fn buffers_and_integers_stay() {
    let norm = BatchNorm::new(3);
    let net = Normed { norm, scale: Array::ones(&[3], DType::F32) };
    let x = Stream::new(0).normal(&[8, 3], DType::F32);
    let loss = |net: &Normed| {
        let y = net.norm.forward(&x, &Context::eval()) * &net.scale;
        (y.square() + y.exp()).mean_all()
    };
    let names = net.named_leaves().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let trained: Vec<usize> = Flat::of(&net).spans.iter().map(|span| span.leaf).collect();
    assert!(trained.len() < names.len());
    let optimizers: [Box<dyn Optimizer<Normed>>; 5] = [
        Box::new(Sam::new(0.1, Adam::new(0.1))),
        Box::new(RandomizedSmoothing::new(0.1, Adam::new(0.1))),
        Box::new(GradientPenalty::new(0.1, Adam::new(0.1))),
        Box::new(CurvaturePenalty::new(0.1, Adam::new(0.1))),
        Box::new(Averaged::exponentially(0.5, Adam::new(0.1))),
    ];
    for optimizer in optimizers {
        let mut params = net.clone();
        let mut state = optimizer.init(&params);
        for _ in 0..3 {
            optimizer.step(&mut params, &mut state, &mut LossOracle(loss));
        }
        let params = optimizer.averaged(&params, &state).unwrap_or(params);
        for (i, (old, new)) in net.leaves().into_iter().zip(params.leaves()).enumerate() {
            let same = old.to_f64_vec() == new.to_f64_vec();
            assert_eq!(same, !trained.contains(&i), "{}", names[i]);
        }
    }
}

/// A loss that is fine at the parameters of its first question and NaN everywhere else, together with its gradient.
fn fine_only_here(x: &Array, asked: &Cell<bool>) -> Array {
    let factor = if asked.replace(true) { f64::NAN } else { 1.0 };
    x.square().sum_all() * factor
}

#[test]
fn a_loss_that_is_not_finite_around_the_point_is_seen_in_the_step_itself() {
    type Build = fn() -> Box<dyn Optimizer<Array>>;
    let cases: [(&str, Build); 6] = [
        ("sharpness", || Box::new(Sam::new(0.1, Adam::new(0.1)))),
        ("sharpness", || {
            Box::new(Sam::new(0.1, Clipped { clip: Clip::Norm(1.0), inner: Sgd::new(0.1) }))
        }),
        ("sharpness", || {
            Box::new(Sam::new(0.1, Clipped { clip: Clip::Value(1.0), inner: Sgd::new(0.1) }))
        }),
        ("gradient_penalty_slope", || {
            let rule = GradientPenalty::new(0.1, Adam::new(0.1));
            Box::new(GradientPenalty { differences: Some(1e-3), ..rule })
        }),
        ("curvature_penalty_slope", || Box::new(CurvaturePenalty::new(0.1, Adam::new(0.1)))),
        ("loss", || Box::new(RandomizedSmoothing::new(0.1, Adam::new(0.1)))),
    ];
    for (name, build) in cases {
        let (optimizer, mut x, asked) = (build(), point(), Cell::new(false));
        let mut state = optimizer.init(&x);
        let mut oracle = LossOracle(|x: &Array| fine_only_here(x, &asked));
        let info = optimizer.step(&mut x, &mut state, &mut oracle);
        let shown = match name {
            "loss" => info.loss,
            _ => info.metrics.iter().find(|(n, _)| *n == name).map_or(0.0, |(_, v)| *v),
        };
        assert!(shown.is_nan(), "{name}: {info:?}");
        // Not hidden either: a run finds the parameters and stops.
        assert!(x.to_vec::<f64>().iter().all(|v| v.is_nan()), "{name}: {x}");
    }
}

#[test]
fn recipes_name_them_and_ranges_name_themselves() {
    let config = |text: &str| -> OptimizerConfig {
        let rule = r#""optimizer": {"name": "sgd", "learning_rate": 0.1}"#;
        serde_json::from_str(&format!("{{{rule}, {text}}}")).unwrap()
    };
    for (text, key) in [
        (r#""smooth": {"sigma": -1}"#, "smooth.sigma"),
        (r#""smooth": {"sigma": 0.1, "samples": 0}"#, "smooth.samples"),
        (r#""gradient_penalty": {"lambda": -1}"#, "gradient_penalty.lambda"),
        (r#""gradient_penalty": {"lambda": 1, "differences": 0}"#, "gradient_penalty.differences"),
        (r#""curvature_penalty": {"lambda": 1, "mu": 0}"#, "curvature_penalty.mu"),
        (r#""average": {"every": 0}"#, "average.every"),
        (r#""average": {"decay": 1}"#, "average.decay"),
        (
            r#""gradient_penalty": {"lambda": 1}, "curvature_penalty": {"lambda": 1}"#,
            "curvature_penalty",
        ),
    ] {
        assert_eq!(config(text).validate().map_err(|bad| bad.key), Err(key.to_string()), "{text}");
    }
    let all = config(
        r#""smooth": {"sigma": 0.1}, "gradient_penalty": {"lambda": 0.2}, "sam": {"rho": 0.05}, "average": {"decay": 0.5}"#,
    );
    all.validate().map_err(|bad| bad.key).unwrap();
    // The same wrappers by hand, in the documented order.
    let by_hand = Averaged::exponentially(
        0.5,
        RandomizedSmoothing::new(0.1, GradientPenalty::new(0.2, Sam::new(0.05, Sgd::new(0.1)))),
    );
    assert_eq!(run(&*all.build::<Array>(20)), run(&by_hand));
}

/// A training whose loss is NaN wherever SAM looks, from step 3 on.
struct Doomed;

impl lisse_run::Process for Doomed {
    type State = (Array, State<Array>);

    fn start(&self) -> Result<Self::State, lisse_run::Error> {
        Ok((point(), State::new()))
    }
    fn advance(
        &self,
        (x, state): &mut Self::State,
        watch: &mut lisse_run::Watch,
    ) -> Result<lisse_run::Step, lisse_run::Error> {
        let asked = Cell::new(false);
        let doomed = state.step >= 2;
        let mut oracle =
            LossOracle(
                |x: &Array| {
                    if doomed { fine_only_here(x, &asked) } else { x.square().sum_all() }
                },
            );
        let info = Sam::new(0.1, Sgd::new(0.1)).step(x, state, &mut oracle);
        watch.metric("loss", info.loss);
        for (name, value) in info.metrics {
            watch.metric(name, value);
        }
        Ok(lisse_run::Step::Continue)
    }
    fn total(&self) -> Option<u64> {
        Some(10)
    }
}

#[test]
fn a_run_stops_at_the_step_and_names_the_perturbed_point() {
    let outcome = lisse_run::rehearse(&lisse_run::Experiment::single(Doomed)).unwrap();
    let expected =
        lisse_run::Stop::NotFinite { step: 3, leaf: "0".into(), metric: "sharpness".into() };
    assert_eq!(outcome.stop, expected);
}
