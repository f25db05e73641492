use lisse_array::{Array, DType, Stream, Tree};
use lisse_data::Dataset;

use super::*;
use crate::{
    Adafactor, Adam, LossOracle, NormalizedSgd, RmsProp, Schedule, Sgd, SignSgd, config::Rule,
};
use crate::{Lion, config::OptimizerConfig};

fn vector(values: &[f64]) -> Array {
    Array::from_slice(values, &[values.len()])
}

fn clipped(values: &[f64], fraction: f64) -> Vec<f64> {
    CoordinateClip::new(fraction).apply(&vector(values)).tree.to_vec::<f64>()
}

/// A training on a fixed problem in f32.
fn trained(optimizer: &dyn Optimizer<Array>, steps: usize) -> (Vec<f32>, State<Array>) {
    let mut x = Stream::new(4).normal(&[40], DType::F32);
    let scale = Stream::new(5).uniform(&[40], DType::F32) * 20.0;
    let loss = |x: &Array| ((x - 1.0).square() * &scale + (x * 2.0).tanh()).sum_all();
    let mut state = optimizer.init(&x);
    for _ in 0..steps {
        optimizer.step(&mut x, &mut state, &mut LossOracle(loss));
    }
    (x.to_vec::<f32>(), state)
}

/// The raw breast-cancer data with a last column of ones: `x -> mean(softplus(Xx) - y Xx)`.
fn logistic() -> impl Fn(&Array) -> Array {
    let data = Dataset::bundled("breast_cancer").unwrap();
    let ones = Array::ones(&[data.len(), 1], DType::F64);
    let inputs = Array::cat(&[&data.inputs, &ones], 1);
    let targets = data.targets.cast(DType::F64);
    move |x: &Array| {
        let z = inputs.matmul(x);
        (z.softplus() - &targets * z).mean_all()
    }
}

mod the_bound {
    use super::*;

    #[test]
    fn worked_example() {
        let g = [5.0, -4.0, 3.0, -2.0, 1.0];
        assert_eq!(clipped(&g, 0.4), [3.0, -3.0, 3.0, -2.0, 1.0]);
        // floor(.5) = 0: the bound is the largest itself.
        assert_eq!(clipped(&g, 0.1), g);
        assert_eq!(clipped(&g, 0.0), g);
        assert_eq!(clipped(&g, 1.0), [0.0; 5]);
        let found = CoordinateClip::new(0.4).apply(&vector(&g));
        assert_eq!((found.bound, found.share), (3.0, 0.4));
        let half = CoordinateClip { scale: 0.5, ..CoordinateClip::new(0.4) }.apply(&vector(&g));
        assert_eq!((half.bound, half.share), (1.5, 0.8));
        assert_eq!(half.tree.to_vec::<f64>(), [1.5, -1.5, 1.5, -1.5, 1.0]);
    }

    #[test]
    fn one_bound_for_all_leaves_and_buffers_are_left_alone() {
        #[derive(Clone, Tree)]
        struct Net {
            first: Array,
            #[tree(buffer)]
            running: Array,
            second: Array,
        }
        let net = Net {
            first: vector(&[9.0, -8.0]),
            running: vector(&[1000.0]),
            second: vector(&[1.0, 2.0, -3.0]),
        };
        let found = CoordinateClip::new(0.4).apply(&net);
        assert_eq!(found.bound, 3.0);
        assert_eq!(found.tree.first.to_vec::<f64>(), [3.0, -3.0]);
        assert_eq!(found.tree.running.item(), 1000.0);
        assert_eq!(found.tree.second.to_vec::<f64>(), [1.0, 2.0, -3.0]);
    }

    #[test]
    fn sparse_gradients_vanish_unless_ranked_among_what_is_there() {
        let mut g = vec![0.0; 97];
        g.extend([4.0, -2.0, 1.0]);
        let all = CoordinateClip::new(0.5).apply(&vector(&g));
        assert_eq!((all.bound, all.tree.norm()), (0.0, 0.0));
        let some = CoordinateClip { nonzero: true, ..CoordinateClip::new(0.5) }.apply(&vector(&g));
        assert_eq!(some.bound, 2.0);
        assert_eq!(some.tree.to_vec::<f64>()[97..], [2.0, -2.0, 1.0]);
        let nothing = CoordinateClip { nonzero: true, ..CoordinateClip::new(0.5) };
        assert!(nothing.apply(&vector(&[0.0, 0.0])).bound.is_nan());
    }

    #[test]
    fn what_is_not_finite_passes_to_be_seen() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let found = CoordinateClip::new(0.5).apply(&vector(&[1.0, bad, 2.0, 3.0]));
            assert!(found.bound.is_nan() && !found.tree.all_finite());
            let single = vector(&[1.0, bad, 2.0, 3.0]).cast(DType::F32);
            assert!(rank(&single, Wanted { fraction: 0.5, nonzero: false }).is_none());
            // In a tree that is sampled: everywhere, and where no sample is taken.
            let mut one = vec![0.5; 100_000];
            one[1] = bad;
            for values in [vec![bad; 100_000], one] {
                for fraction in [0.0001, 0.5, 0.9999] {
                    let wanted = Wanted { fraction, nonzero: false };
                    assert!(rank(&vector(&values), wanted).is_none());
                }
            }
        }
        let optimizer = CoordinateClipped::new(0.5, Sgd::new(0.1));
        let mut x = vector(&[-1.0, 1.0]);
        let mut state = optimizer.init(&x);
        let info =
            optimizer.step(&mut x, &mut state, &mut LossOracle(|x: &Array| x.ln().sum_all()));
        assert!(info.loss.is_nan());
        let empty = Array::zeros(&[0], DType::F32);
        assert!(CoordinateClip::new(0.5).apply(&empty).bound.is_nan());
    }

    #[test]
    fn selection_agrees_with_sorting_in_every_precision() {
        let trees = (
            Stream::new(1).normal(&[300, 301], DType::F64),
            Stream::new(2).laplace(&[70_001], DType::F64) * 1e-4,
        );
        for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16] {
            let tree = (trees.0.cast(dtype).t(), trees.1.cast(dtype));
            let mut sorted: Vec<f64> =
                tree.leaves().iter().flat_map(|a| a.abs().to_f64_vec()).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for fraction in [1e-7, 0.001, 0.1, 0.5, 0.9, 0.999_999] {
                let found = rank(&tree, Wanted { fraction, nonzero: false }).unwrap();
                assert_eq!(found.rank, (sorted.len() as f64 * fraction) as usize);
                assert_eq!(found.threshold, sorted[found.rank], "{dtype} {fraction}");
                let above = sorted.iter().filter(|&&a| a > found.threshold).count();
                assert_eq!(found.above, above);
            }
        }
    }

    #[test]
    fn a_sample_that_misleads_costs_time_not_exactness() {
        // Every seventh element, which is what is sampled of this many, is a thousand times as large, or as small, as the others.
        let noise = Stream::new(6).normal(&[200_000], DType::F64).to_vec::<f64>();
        for factor in [1e3, 1e-3] {
            let scaled = noise.iter().enumerate();
            let values: Vec<f64> =
                scaled.map(|(i, v)| if i % 7 == 0 { v * factor } else { *v }).collect();
            let mut sorted: Vec<f64> = values.iter().map(|v| v.abs()).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for fraction in [0.001, 0.2, 0.5, 0.9] {
                let found = rank(&vector(&values), Wanted { fraction, nonzero: false }).unwrap();
                assert_eq!(found.threshold, sorted[(200_000.0 * fraction) as usize]);
                assert_eq!(found.above, (200_000.0 * fraction) as usize);
            }
        }
        // Mostly zeros, ranked among the rest.
        let sparse: Vec<f64> = noise.iter().map(|v| if v.abs() < 2.5 { 0.0 } else { *v }).collect();
        let mut rest: Vec<f64> = sparse.iter().map(|v| v.abs()).filter(|v| *v > 0.0).collect();
        rest.sort_by(|a, b| b.total_cmp(a));
        let found = rank(&vector(&sparse), Wanted { fraction: 0.3, nonzero: true }).unwrap();
        assert_eq!(found.threshold, rest[(rest.len() as f64 * 0.3) as usize]);
        assert_eq!(found.rank, (rest.len() as f64 * 0.3) as usize);
    }

    #[test]
    fn laws() {
        for case in 0..200 {
            let stream = Stream::new(case);
            let n = 1 + stream.child("n").below(60) as usize;
            let draw = |name: &str| stream.child(name).uniform(&[1], DType::F64).item();
            let (q, k) = (draw("q"), 10f64.powf(6.0 * draw("k") - 3.0));
            let g = stream.child("g").normal(&[n], DType::F64) * 100.0;
            let values = g.to_vec::<f64>();
            let clip = CoordinateClip::new(q);
            let found = clip.apply(&g);
            let cut = found.tree.to_vec::<f64>();
            // Signs stay, and no more than floor(q n) coordinates change.
            assert!(values.iter().zip(&cut).all(|(a, b)| a * b >= 0.0 && b.abs() <= a.abs()));
            let changed = values.iter().zip(&cut).filter(|(a, b)| a != b).count();
            assert_eq!(changed, (q * n as f64) as usize);
            assert!((changed as f64 - found.share * n as f64).abs() < 1e-9);
            // A larger share has a smaller bound.
            let tighter = CoordinateClip::new(q + (1.0 - q) * 0.999 * draw("more")).apply(&g);
            assert!(tighter.bound <= found.bound);
            // The bound follows the size, whatever the order.
            let scaled = clip.apply(&(&g * k)).tree.to_vec::<f64>();
            assert!(scaled.iter().zip(&cut).all(|(a, b)| (a - k * b).abs() <= 1e-15 * a.abs()));
            let mut backward = values.clone();
            backward.reverse();
            let mut turned = clip.apply(&vector(&backward)).tree.to_vec::<f64>();
            turned.reverse();
            assert_eq!(turned, cut);
            // Cutting again at the same bound changes nothing.
            assert_eq!(found.tree.clamp(-found.bound, found.bound).to_vec::<f64>(), cut);
        }
    }

    #[test]
    fn top_shares() {
        assert!((top_share(&vector(&[3.0, -4.0, 0.0, 0.0]), 0.5) - 1.0).abs() < 1e-15);
        assert!((top_share(&vector(&[2.0, 2.0, 2.0, 2.0]), 0.5) - 0.5).abs() < 1e-15);
        assert_eq!(top_share(&vector(&[7.0]), 0.01), 1.0);
        for nothing in [vec![0.0, 0.0], vec![0.0], vec![1.0, f64::NAN]] {
            assert!(top_share(&vector(&nothing), 0.5).is_nan());
        }
    }
}

mod around_optimizers {
    use super::*;

    #[test]
    fn fraction_zero_is_the_optimizer_bit_for_bit() {
        type Rule = Box<dyn Optimizer<Array>>;
        let pairs: [(Rule, Rule); 5] = [
            (Box::new(CoordinateClipped::new(0.0, Adam::new(0.1))), Box::new(Adam::new(0.1))),
            (Box::new(CoordinateClipped::of_update(0.0, Adam::new(0.1))), Box::new(Adam::new(0.1))),
            (Box::new(CoordinateClipped::new(0.0, Sgd::new(0.01))), Box::new(Sgd::new(0.01))),
            (Box::new(CoordinateClipped::new(0.0, Lion::new(0.01))), Box::new(Lion::new(0.01))),
            (
                Box::new(CoordinateClipped::new(0.0, Adafactor::new(0.01))),
                Box::new(Adafactor::new(0.01)),
            ),
        ];
        for (clipped, plain) in &pairs {
            assert_eq!(trained(clipped, 20).0, trained(plain, 20).0);
        }
    }

    #[test]
    fn the_second_moment_does_not_see_the_clipping() {
        // A linear loss: the gradients do not depend on where the training went.
        let slope = Stream::new(3).normal(&[30], DType::F32);
        let squares = |fraction: f64, decay: f64| {
            let adam = Adam { weight_decay: decay, ..Adam::new(0.0) };
            let optimizer = CoordinateClipped::new(fraction, adam);
            let mut x = Array::ones(&[30], DType::F32);
            let mut state = optimizer.init(&x);
            for _ in 0..5 {
                let loss = |x: &Array| (x * &slope).sum_all();
                optimizer.step(&mut x, &mut state, &mut LossOracle(loss));
            }
            (state.trees["square"].to_vec::<f32>(), state.trees["mean"].to_vec::<f32>())
        };
        for decay in [0.0, 0.1] {
            let (whole, half) = (squares(0.0, decay), squares(0.5, decay));
            assert_eq!(whole.0, half.0);
            assert_ne!(whole.1, half.1);
        }
    }

    #[test]
    fn clipped_adam_is_the_equation() {
        // q = .4 of 5 coordinates, a linear loss: bound 3 at every step.
        let g = [5.0, -4.0, 3.0, -2.0, 1.0];
        let c = [3.0, -3.0, 3.0, -2.0, 1.0];
        let optimizer = CoordinateClipped::new(0.4, Adam::decoupled(0.1, 0.2));
        let (mut x, slope) = (Array::ones(&[5], DType::F64), vector(&g));
        let mut state = optimizer.init(&x);
        let (mut expected, mut m, mut v) = ([1.0; 5], [0.0; 5], [0.0; 5]);
        for t in 1..=4 {
            let loss = |x: &Array| (x * &slope).sum_all();
            let info = optimizer.step(&mut x, &mut state, &mut LossOracle(loss));
            assert_eq!(info.metrics, [("threshold", 3.0), ("clipped_share", 0.4)]);
            for i in 0..5 {
                m[i] = 0.9 * m[i] + 0.1 * c[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let u: f64 = (m[i] / (1.0 - 0.9f64.powi(t)))
                    / ((v[i] / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
                expected[i] = expected[i] * (1.0 - 0.1 * 0.2) - 0.1 * u;
            }
        }
        for (a, b) in x.to_vec::<f64>().iter().zip(expected) {
            assert!((a - b).abs() < 1e-14, "{a} {b}");
        }
    }

    #[test]
    fn adafactor_scales_by_the_whole_gradient() {
        let slope = vector(&[5.0, -4.0, 3.0, -2.0, 1.0]);
        let optimizer = CoordinateClipped::new(0.4, Adafactor::new(0.01));
        let mut x = slope.ones_like();
        let mut state = optimizer.init(&x);
        optimizer.step(&mut x, &mut state, &mut LossOracle(|x: &Array| (x * &slope).sum_all()));
        // u = c / |g| below 1 in size: nothing is bounded.
        for (x, u) in x.to_vec::<f64>().iter().zip([0.6, -0.75, 1.0, -1.0, 1.0]) {
            assert!((1.0 - x - 0.01 * u).abs() < 1e-15, "{x}");
        }
    }

    #[test]
    fn updates_are_cut_after_the_rule() {
        // Without momentum, SGD's clipped update is the step of its clipped gradient.
        let gradient = trained(&CoordinateClipped::new(0.3, Sgd::new(0.01)), 1).0;
        let update = trained(&CoordinateClipped::of_update(0.3, Sgd::new(0.01)), 1).0;
        assert!(gradient.iter().zip(&update).all(|(a, b)| (a - b).abs() < 1e-6));
        // Lion without its sign, clipped: the most common size is the bound.
        let lion = Lion { sign: false, ..Lion::new(1.0) };
        let slope = vector(&[5.0, -4.0, 3.0, -2.0, 1.0]);
        let optimizer = CoordinateClipped::of_update(0.4, lion);
        let mut x = slope.zeros_like();
        let mut state = optimizer.init(&x);
        let info =
            optimizer.step(&mut x, &mut state, &mut LossOracle(|x: &Array| (x * &slope).sum_all()));
        for (x, u) in x.to_vec::<f64>().iter().zip([-0.3, 0.3, -0.3, 0.2, -0.1]) {
            assert!((x - u).abs() < 1e-15, "{x}");
        }
        assert_eq!(info.metrics[1], ("clipped_share", 0.4));
    }

    #[test]
    fn other_rules_take_it_too() {
        for optimizer in [
            Box::new(CoordinateClipped::new(0.5, SignSgd::new(0.01))) as Box<dyn Optimizer<Array>>,
            Box::new(CoordinateClipped::new(0.1, NormalizedSgd::new(0.01))),
            Box::new(CoordinateClipped::new(0.5, RmsProp::new(0.01))),
            Box::new(CoordinateClipped::of_update(0.1, Adam::new(Schedule::from(0.01)))),
        ] {
            assert!(trained(&optimizer, 50).0.iter().all(|x| x.is_finite()));
        }
    }

    fn config(text: &str) -> OptimizerConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn recipes_name_it_and_refuse_what_makes_no_sense() {
        let bad = |rule: &str, clip: &str| {
            let text = format!(r#"{{"optimizer": {rule}, "coordinate_clip": {clip}}}"#);
            config(&text).validate().err().map(|bad| (bad.key, bad.expected))
        };
        let sgd = r#"{"name": "sgd", "learning_rate": 0.1}"#;
        for (clip, key) in [
            (r#"{"fraction": 1.0}"#, "coordinate_clip.fraction"),
            (r#"{"fraction": -0.1}"#, "coordinate_clip.fraction"),
            (r#"{"fraction": 0.1, "scale": 0.0}"#, "coordinate_clip.scale"),
        ] {
            assert_eq!(bad(sgd, clip).unwrap().0, key);
        }
        assert!(bad(sgd, r#"{"fraction": 0.0}"#).is_none());
        let update = r#"{"fraction": 0.5, "target": "update"}"#;
        let adamw = r#"{"name": "adamw", "learning_rate": 0.1}"#;
        let lion = r#"{"name": "lion", "learning_rate": 0.1}"#;
        let unsigned = r#"{"name": "lion", "learning_rate": 0.1, "sign": false}"#;
        for rule in [adamw, lion, r#"{"name": "sign-sgd", "learning_rate": 0.1}"#] {
            assert_eq!(bad(rule, update).unwrap().0, "coordinate_clip.target");
        }
        assert!(bad(unsigned, update).is_none() && bad(adamw, r#"{"fraction": 0.5}"#).is_none());
        let beta = r#"{"name": "lion", "learning_rate": 0.1, "beta2": 1.0}"#;
        assert_eq!(bad(beta, update).unwrap().0, "optimizer.beta2");
        for name in ["lion", "adafactor", "sign-sgd", "normalized-sgd"] {
            let rule = format!(r#"{{"optimizer": {{"name": "{name}", "learning_rate": 0.01}}}}"#);
            assert!(config(&rule).validate().is_ok());
            let (x, _) = trained(&config(&rule).build::<Array>(10), 10);
            assert!(x.iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn a_recipes_clipping_lies_inside_the_bound_on_the_norm() {
        let text = r#"{"optimizer": {"name": "adam", "learning_rate": 0.1}, "clip": {"norm": 1.0}, "coordinate_clip": {"fraction": 0.3}}"#;
        let built = config(text).build::<Array>(20);
        let by_hand = crate::Clipped {
            clip: crate::Clip::Norm(1.0),
            inner: CoordinateClipped::new(0.3, Adam::new(0.1)),
        };
        let (x, state) = trained(&built, 20);
        assert_eq!(x, trained(&by_hand, 20).0);
        assert!(matches!(config(text).optimizer, Rule::Adam { .. }));
        // The second moments are those of the gradient of norm 1, before the coordinates were cut.
        let total: f32 = state.trees["square"].to_vec::<f32>().iter().sum();
        assert!((total - (1.0 - 0.999f32.powi(20))).abs() < 1e-3, "{total}");
    }
}

mod looking {
    use super::*;

    type Named = (&'static str, Box<dyn Optimizer<Array>>);

    fn readings(loss: &dyn Fn(&Array) -> Array, x: &Array, candidates: Vec<Named>) -> Vec<Reading> {
        let candidates = candidates
            .into_iter()
            .map(|(name, optimizer)| Candidate { name: name.into(), optimizer })
            .collect();
        let probe = Probe::new(candidates);
        let mut states = probe.init(x);
        let mut oracle = LossOracle(loss);
        let mut known = Known::at(x, &mut oracle);
        let pseudo = probe.feed(&mut states, x, &mut known);
        let mut test = LossOracle(loss);
        probe.look(&pseudo, x, &mut [&mut test], || Ok::<(), ()>(())).unwrap()
    }

    fn sgd(fraction: f64) -> Box<dyn Optimizer<Array>> {
        Box::new(CoordinateClipped::new(fraction, Sgd::new(1.0)))
    }

    fn near(a: f64, b: f64, relative: f64) -> bool {
        (a - b).abs() <= relative * b.abs()
    }

    #[test]
    fn one_steep_coordinate() {
        let mut steep = [1.0; 10];
        steep[0] = 100.0;
        let steep = vector(&steep);
        let loss = |x: &Array| (x.square() * &steep * 0.5).sum_all();
        let sign: Box<dyn Optimizer<Array>> = Box::new(SignSgd::new(1.0));
        let candidates = vec![("sgd", sgd(0.0)), ("clip", sgd(0.1)), ("sign", sign)];
        let found = readings(&loss, &steep.ones_like(), candidates);
        assert!(near(found[0].sharpness, 99.91098, 1e-7), "{}", found[0].sharpness);
        assert!(near(found[0].predicted_decrease(), 50.09, 1e-5));
        for reading in &found[1..] {
            assert!(near(reading.sharpness, 10.9, 1e-14));
            assert!(near(reading.predicted_decrease(), 54.5, 1e-14));
            // The whole loss: one step reaches the minimum, and the walk finds it.
            let (decrease, at) = reading.measured_decrease();
            assert!(near(decrease, 54.5, 1e-12) && near(at, 10f64.sqrt(), 1e-12));
            assert!(reading.doubts().is_empty(), "{:?}", reading.doubts());
            assert!(near(reading.suggested_rate(1.0), 1.0, 1e-12));
        }
        assert_eq!(found[1].bound, Some(1.0));
        assert_eq!(found[1].clipped_share, Some(0.1));
        assert!(near(found[0].gradient_top_share, 10_000.0 / 10_009.0, 1e-12));
        assert!(near(found[0].cosine, 1.0, 1e-12));
        assert_eq!(found[0].layers.len(), 1);
        assert!(near(found[0].layers[0].sharpness, found[0].sharpness, 1e-15));
        assert_eq!(found[1].norms.decades[11], 10);
    }

    #[test]
    fn real_data_to_three_digits() {
        let loss = logistic();
        let x = Array::zeros(&[31], DType::F64);
        let sign: Box<dyn Optimizer<Array>> = Box::new(SignSgd::new(1.0));
        let mut candidates = vec![("sgd", sgd(0.0))];
        candidates.extend([0.05, 0.1, 0.2, 0.3, 0.5].map(|q| ("clip", sgd(q))));
        candidates.push(("sign", sign));
        let expected = [
            (3.873e5, 1.0, 0.01223),
            (3.884e5, 0.9225, 0.01038),
            (1.469e5, 0.6497, 0.01361),
            (8.426e4, 0.5313, 0.01587),
            (5.427e4, 0.4331, 0.01637),
            (3.300e4, 0.3381, 0.01641),
            (1.997e4, 0.2631, 0.01642),
        ];
        for (found, (sharpness, cosine, decrease)) in
            readings(&loss, &x, candidates).iter().zip(expected)
        {
            assert!(near(found.sharpness, sharpness, 5e-4), "{} {sharpness}", found.sharpness);
            assert!(near(found.cosine, cosine, 5e-4), "{} {cosine}", found.cosine);
            let predicted = found.predicted_decrease();
            assert!(near(predicted, decrease, 5e-4), "{predicted} {decrease}");
        }
    }

    #[test]
    fn sharpness_does_not_depend_on_the_steps_length_and_lies_in_the_spectrum() {
        // H = [[3, 1], [1, 2]]: eigenvalues (5 +- sqrt 5) / 2.
        let a = Array::from_slice(&[3.0f64, 1.0, 1.0, 2.0], &[2, 2]);
        let loss = |x: &Array| x.matmul(&a.matmul(x)) * 0.5;
        let x = vector(&[1.0, -1.0]);
        let rates: Vec<Named> = [1e-3, 1.0, 50.0]
            .map(|rate| ("sgd", Box::new(Sgd::new(rate)) as Box<dyn Optimizer<Array>>))
            .into();
        let found = readings(&loss, &x, rates);
        let exact = (4.0 * 3.0 - 2.0 * 2.0 + 2.0) / 5.0;
        assert!(found.iter().all(|r| near(r.sharpness, exact, 1e-12)));
        let [low, high] = [-1.0, 1.0].map(|sign| 2.5 + sign * 5f64.sqrt() / 2.0);
        assert!(low <= exact && exact <= high);
        // Along an eigenvector it is the eigenvalue, exactly and by differences.
        let v = vector(&[high - 2.0, 1.0]);
        let along = |v: &Array| curvature_by_differences(&mut LossOracle(loss), &x, v, 1e-5).value;
        assert!(near(along(&v), high, 1e-9), "{}", along(&v));
        assert!(near(along(&(v * 37.0)), high, 1e-9));
        // A linear loss has none.
        let linear = |x: &Array| (x * &vector(&[2.0, -5.0])).sum_all();
        assert_eq!(readings(&linear, &x, vec![("sgd", sgd(0.0))])[0].sharpness, 0.0);
    }

    #[test]
    fn differences_agree_with_exact_products_on_logistic_regression() {
        // Standardised: the raw columns are thousands and hundredths.
        let data = Dataset::bundled("breast_cancer").unwrap();
        let scale = lisse_data::Standardizer::fit(&data.inputs).unwrap();
        let (inputs, targets) = (scale.apply(&data.inputs).unwrap(), data.targets.cast(DType::F64));
        let loss = |x: &Array| {
            let z = inputs.matmul(x);
            (z.softplus() - &targets * z).mean_all()
        };
        let x = Stream::new(0).normal(&[30], DType::F64) * 0.1;
        let v = Stream::new(1).normal(&[30], DType::F64);
        let exact = v.dot(&lisse_array::hvp(loss, &x, &v)) / v.dot(&v);
        let found = curvature_by_differences(&mut LossOracle(loss), &x, &v, 1e-5);
        assert!(near(found.value, exact, 1e-6), "{} {exact}", found.value);
        assert_eq!(found.distance, 1e-5);
        // A distance that is far too large is halved until two agree.
        let sharp = |x: &Array| (x * 30.0).sin().sum_all();
        let at = vector(&[0.05]);
        let exact = lisse_array::hvp(sharp, &at, &at.ones_like()).item();
        let found = curvature_by_differences(&mut LossOracle(sharp), &at, &at, 1.0);
        assert!(
            near(found.value, exact, 0.05) && found.distance == 2f64.powi(-6),
            "{found:?} {exact}"
        );
    }

    #[test]
    fn a_probed_training_is_the_training_bit_for_bit() {
        let loss = |x: &Array| (x.square() * 3.0 + (x * 5.0).sin()).sum_all();
        let start = Stream::new(8).normal(&[25], DType::F32);
        let optimizer = crate::Sam::new(0.05, Adam::new(0.01));
        let run = |probed: bool| {
            let mut x = start.clone();
            let mut state = optimizer.init(&x);
            let clipped = CoordinateClipped::new(0.1, Sgd::new(1.0).momentum(0.9));
            let probe = Probe::new(vec![
                Candidate { name: "adam".into(), optimizer: Box::new(Adam::new(1.0)) },
                Candidate { name: "clip".into(), optimizer: Box::new(clipped) },
            ]);
            let mut states = probe.init(&x);
            for _ in 0..10 {
                let mut oracle = LossOracle(loss);
                if !probed {
                    optimizer.step(&mut x, &mut state, &mut oracle);
                    continue;
                }
                let before = x.to_vec::<f32>();
                let mut known = Known::at(&x, &mut oracle);
                let pseudo = probe.feed(&mut states, &x, &mut known);
                let mut test = LossOracle(loss);
                probe.look(&pseudo, &x, &mut [&mut test], || Ok::<(), ()>(())).unwrap();
                assert_eq!(x.to_vec::<f32>(), before);
                optimizer.step(&mut x, &mut state, &mut known);
            }
            assert!(!probed || states.iter().all(|s| s.step == 10));
            (x.to_vec::<f32>(), state.trees.map(|a| a.cast(DType::F64)).flatten().to_vec::<f64>())
        };
        assert_eq!(run(false), run(true));
    }

    #[test]
    fn candidates_follow_as_if_each_had_trained_on_these_gradients() {
        // A linear loss: a candidate's memory is that of its own training.
        let slope = vector(&[5.0, -4.0, 3.0]);
        let loss = |x: &Array| (x * &slope).sum_all();
        let rule = Sgd::new(0.1).momentum(0.9);
        let probe =
            Probe::new(vec![Candidate { name: "m".into(), optimizer: Box::new(rule.clone()) }]);
        let mut x = vector(&[0.0, 0.0, 0.0]);
        let mut states = probe.init(&x);
        let mut own = rule.init(&x);
        for _ in 0..4 {
            let mut oracle = LossOracle(loss);
            probe.feed(&mut states, &x.ones_like(), &mut Known::at(&x.ones_like(), &mut oracle));
            rule.step(&mut x, &mut own, &mut LossOracle(loss));
        }
        let memory = |s: &State<Array>| s.trees["momentum"].to_vec::<f64>();
        assert_eq!(memory(&states[0]), memory(&own));
    }
}

/// `cargo test -p lisse-optim --release -- --ignored --nocapture selection_speed`
#[test]
#[ignore = "a measurement: prints times, asserts nothing that depends on the machine"]
#[allow(clippy::print_stdout)]
fn selection_speed() {
    let tree: Vec<Array> = (0..10).map(|i| Stream::new(i).normal(&[500_000], DType::F32)).collect();
    let time = |f: &mut dyn FnMut()| {
        let mut times: Vec<f64> = (0..15)
            .map(|_| {
                let clock = std::time::Instant::now();
                f();
                clock.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[7]
    };
    let mut sink = 0.0;
    let pass = time(&mut || sink += tree.norm());
    let copy =
        time(&mut || sink += tree.iter().map(|a| f64::from(a.to_vec::<f32>()[7])).sum::<f64>());
    let wanted = Wanted { fraction: 0.1, nonzero: false };
    let select = time(&mut || sink += rank(&tree, wanted).unwrap().threshold);
    let apply = time(&mut || sink += CoordinateClip::new(0.1).apply(&tree).share);
    println!(
        "5M f32: norm {pass:.2} ms, copy {copy:.2} ms, rank {select:.2} ms, rank and clip {apply:.2} ms"
    );
    assert!(sink.is_finite());
}
