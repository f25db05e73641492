use super::*;

#[test]
fn pegasos_is_the_linearised_step() {
    let x = Array::from_slice(&[1.0f64, 0.5, -1.0, 2.0], &[4, 1]);
    let y = Array::from_slice(&[1.0f64, 1.0, -1.0, 1.0], &[4]);
    let hinge = LinearModel::new(&x, &y, Loss::Hinge).unwrap();
    let lambda = 0.1;
    let problem = Linearized::new(hinge, Regularizer::SquaredL2 { weight: lambda }).unwrap();
    let run = pegasos(lambda, false).unwrap().run(&problem, &[0.0], 3, 50).unwrap();
    // w = (1 - 1/t) w + y x [y w x < 1] / (lambda t).
    let (mut w, mut sampler) = (0.0, Sampler::new(Some(4), 1, Sampling::WithReplacement, 3));
    let (x, y) = (x.to_vec::<f64>(), y.to_vec::<f64>());
    for t in 1..=50 {
        let i = sampler.at(t).examples[0];
        let active = if y[i] * w * x[i] < 1.0 { y[i] * x[i] } else { 0.0 };
        w = (1.0 - 1.0 / t as f64) * w + active / (lambda * t as f64);
    }
    assert!((run.last()[0] - w).abs() < 1e-12);
    let ball = pegasos(lambda, true).unwrap();
    assert_eq!(*ball.geometry.domain(), Domain::Ball { radius: 1.0 / lambda.sqrt() });
    assert!(pegasos(0.0, true).is_err());
}

#[test]
fn clipped_steps_are_bounded() {
    let gradient = |_: &[f64], _: &Draw<'_>, out: &mut [f64]| out.copy_from_slice(&[30.0, 40.0]);
    let oracle = Function { dimension: 2, value: |_: &[f64]| 0.0, gradient };
    let csmd = euclidean(Steps::Constant { eta: 1.0 }).clip(5.0);
    near(csmd.run(&oracle, &[0.0; 2], 0, 1).unwrap().last(), &[-3.0, -4.0], 1e-14);
}

#[test]
fn training_optimizers_run_on_these_problems() {
    let x = Array::from_slice(&[1.0f64, -1.0, 0.5, 2.0, 1.0, 1.0], &[3, 2]);
    let y = Array::from_slice(&[1.0f64, 2.0, -0.5], &[3]);
    let model = LinearModel::new(&x, &y, Loss::Squared).unwrap();
    // SGD through the adapter is CSMD with the same draws.
    let mut sampled = Sampled::new(&model, Sampling::WithReplacement, 2, 5).unwrap();
    let optimizer = Sgd::new(0.05);
    let mut w = Array::zeros(&[2], DType::F64);
    let mut state = optimizer.init(&w);
    for _ in 0..40 {
        sampled.next();
        optimizer.step(&mut w, &mut state, &mut sampled);
    }
    let csmd = euclidean(Steps::Constant { eta: 0.05 }).sampling(Sampling::WithReplacement, 2);
    near(&w.to_vec::<f64>(), csmd.run(&model, &[0.0; 2], 5, 40).unwrap().last(), 1e-14);
    let mut whole = Sampled::new(&model, Sampling::Shuffled, 3, 5).unwrap();
    let adam = Adam::new(0.05);
    let mut state = adam.init(&w);
    for _ in 0..500 {
        whole.next();
        adam.step(&mut w, &mut state, &mut whole);
    }
    let mut g = [0.0; 2];
    let stream = Stream::new(0);
    model.gradient(&w.to_vec::<f64>(), &Draw { examples: &[0, 1, 2], stream }, &mut g);
    assert!(prox::square(&g) < 1e-3);
    let v = Array::from_slice(&[1.0f64, -2.0], &[2]);
    let product = crate::Oracle::hvp(&mut whole, &w, &v).to_vec::<f64>();
    let exact = x.t().matmul(&x.matmul(&v.reshape(&[2, 1]))) / 3.0;
    near(&product, &exact.to_vec::<f64>(), 1e-8);
}

fn train<P: lisse_array::Tree>(
    optimizer: &dyn Optimizer<P>,
    params: &mut P,
    steps: usize,
    loss: impl Fn(&P) -> Array,
) -> State<P> {
    let mut state = optimizer.init(params);
    let mut oracle = LossOracle(loss);
    for _ in 0..steps {
        optimizer.step(params, &mut state, &mut oracle);
    }
    state
}

#[test]
fn proximal_sgd_without_penalty_is_sgd_bit_for_bit() {
    let loss =
        |p: &(Array, Array)| (p.0.square().square() + p.0.exp()).sum_all() + p.1.square().sum_all();
    let start = || {
        (Array::from_slice(&[0.5f32, -1.0, 0.3, 0.1], &[2, 2]), Array::from_slice(&[2.0f32], &[1]))
    };
    let (mut a, mut b) = (start(), start());
    train(&ProximalSgd::new(0.05), &mut a, 20, loss);
    train(&Sgd::new(0.05), &mut b, 20, loss);
    assert_eq!(a.0.to_vec::<f32>(), b.0.to_vec::<f32>());
    assert_eq!(a.1.to_vec::<f32>(), b.1.to_vec::<f32>());
    let mut c = start();
    let base = ScheduleFree { momentum: 0.0, ..ScheduleFree::new(0.05) };
    let state = train(&base, &mut c, 20, loss);
    assert_eq!(c.0.to_vec::<f32>(), b.0.to_vec::<f32>());
    assert!(base.averaged(&c, &state).is_some());
}

#[test]
fn tree_penalties_are_those_of_vectors() {
    let v = [0.9, -0.4, 0.05, 0.3, -0.7, 0.2];
    let zero = |p: &Array| p.sum_all() * 0.0;
    let step = |penalty, constraint| {
        let mut x = Array::from_slice(&v, &[2, 3]);
        let optimizer = ProximalSgd { penalty, constraint, ..ProximalSgd::new(0.5) };
        assert!(optimizer.validate().is_ok());
        train(&optimizer, &mut x, 1, zero);
        x.to_vec::<f64>()
    };
    let vector = |h: Regularizer, domain| {
        stepped(&geometry(Mirror::Euclidean, h, domain), &v, &[0.0; 6], 0.5)
    };
    let same = |penalty, h: Regularizer| {
        near(&step(penalty, Constraint::None), &vector(h.clone(), Domain::Whole), 1e-15);
        let ball = step(penalty, Constraint::Ball { radius: 0.4 });
        near(&ball, &vector(h, Domain::Ball { radius: 0.4 }), 1e-15);
    };
    same(Penalty::L1 { weight: 0.3 }, Regularizer::L1 { weight: 0.3 });
    same(Penalty::SquaredL2 { weight: 0.3 }, Regularizer::SquaredL2 { weight: 0.3 });
    same(Penalty::ElasticNet { l1: 0.3, l2: 0.2 }, Regularizer::ElasticNet { l1: 0.3, l2: 0.2 });
    same(
        Penalty::Rows { weight: 1.7 },
        Regularizer::GroupLasso { weight: 1.7, blocks: vec![3, 3] },
    );
    let nuclear = Regularizer::Nuclear { weight: 0.8, rows: 2, columns: 3 };
    near(
        &step(Penalty::Nuclear { weight: 0.8 }, Constraint::None),
        &vector(nuclear, Domain::Whole),
        1e-13,
    );
    let (low, high) = (-0.3, 0.25);
    let boxed = step(Penalty::L1 { weight: 0.3 }, Constraint::Box { low, high });
    near(&boxed, &vector(Regularizer::L1 { weight: 0.3 }, Domain::Box { low, high }), 1e-15);
    // A row of zeros stays one.
    let mut x = Array::zeros(&[2, 2], DType::F32);
    let rows = ProximalSgd { penalty: Penalty::Rows { weight: 0.1 }, ..ProximalSgd::new(0.5) };
    train(&rows, &mut x, 1, |p: &Array| p.sum_all() * 0.0);
    assert_eq!(x.to_vec::<f32>(), [0.0; 4]);
}

#[test]
fn schedule_free_follows_its_three_lines() {
    let optimizer = ScheduleFree::new(0.3);
    let mut y = Array::from_slice(&[1.0f64, -2.0], &[2]);
    let state = train(&optimizer, &mut y, 5, |x: &Array| x.square().sum_all() * 0.5);
    for (i, start) in [1.0, -2.0].into_iter().enumerate() {
        let (mut z, mut x, mut at) = (start, start, start);
        for t in 1..=5 {
            z -= 0.3 * at;
            let c = 1.0 / (t as f64 + 1.0);
            x = (1.0 - c) * x + c * z;
            at = 0.1 * z + 0.9 * x;
        }
        assert!((y.to_vec::<f64>()[i] - at).abs() < 1e-15);
        let average = optimizer.averaged(&y, &state).unwrap().to_vec::<f64>();
        assert!((average[i] - x).abs() < 1e-15);
    }
}

#[test]
fn recipes_name_them() {
    let read = |text: &str| serde_json::from_str::<OptimizerConfig>(text).unwrap();
    let key = |text: &str| read(text).validate().err().map(|bad| bad.key);
    let csmd = r#""optimizer": {"name": "csmd", "learning_rate": 2, "penalty": {"name": "l1", "weight": 0.1}}"#;
    let decay = r#""schedule": {"name": "last-iterate", "steps": {"name": "linear-decay"}}"#;
    assert_eq!(key(&format!("{{{csmd}, {decay}}}")), None);
    // One step of a training of 4: 2 (T-t+1) / T^1.5 = 1.
    let optimizer = read(&format!("{{{csmd}, {decay}}}")).build::<Array>(4);
    let mut x = Array::from_slice(&[1.0f64], &[1]);
    let mut state = optimizer.init(&x);
    let info = optimizer.step(&mut x, &mut state, &mut LossOracle(|x: &Array| x.sum_all()));
    assert_eq!((info.learning_rate, x.item()), (1.0, 0.0));
    let bad =
        r#""schedule": {"name": "last-iterate", "steps": {"name": "linear-decay", "eta": -1}}"#;
    assert_eq!(key(&format!("{{{csmd}, {bad}}}")).as_deref(), Some("schedule.steps.eta"));
    let with = |rest: &str| {
        key(&format!(r#"{{"optimizer": {{"name": "csmd", "learning_rate": 2, {rest}}}}}"#))
    };
    assert_eq!(
        with(r#""penalty": {"name": "rows", "weight": 0}"#).as_deref(),
        Some("optimizer.penalty.weight")
    );
    let boxed = r#""penalty": {"name": "nuclear", "weight": 1}, "constraint": {"name": "box", "low": 0, "high": 1}"#;
    assert_eq!(with(boxed).as_deref(), Some("optimizer.constraint"));
    let free = r#""optimizer": {"name": "schedule-free", "learning_rate": 1"#;
    assert_eq!(key(&format!("{{{free}}}}}")), None);
    assert_eq!(
        key(&format!(r#"{{{free}, "momentum": 1.5}}}}"#)).as_deref(),
        Some("optimizer.momentum")
    );
    assert_eq!(key(&format!("{{{free}}}, {decay}}}")).as_deref(), Some("schedule.name"));
}
