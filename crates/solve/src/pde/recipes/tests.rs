use lisse_run::{Arm, RecipeKind, Registry, Setup, rehearse};

use super::*;
use crate::pareto::problems::Function;

#[test]
fn recipes_fit_their_kinds() {
    let mut registry = Registry::new();
    register(&mut registry);
    registry.check().unwrap();
}

fn front(method: front::MethodConfig, model: front::ModelConfig) -> front::Config {
    front::Config {
        problem: front::ProblemConfig {
            n: 9,
            kappa: 10.0,
            objectives: front::Objectives::TrackingAndCost,
            control_cost: 1e-3,
        },
        method,
        model,
        points: 5,
        ends: [0.02, 0.98],
        reference: [0.13, 0.4],
    }
}

fn setup() -> Setup {
    Setup {
        name: "test".into(),
        seed: 0,
        device: lisse_array::Device::current(),
        quick: true,
        ranks: lisse_run::Ranks::alone(),
    }
}

#[test]
fn fronts_of_all_methods_and_models() {
    use front::MethodConfig::*;
    use front::ModelConfig::*;
    let arm = |name: &str, config| Arm { name: name.to_owned(), config };
    let arms = vec![
        arm("sums", front(WeightedSum, Full)),
        arm("reference", front(ReferencePoint, Full)),
        arm("bounds", front(EpsilonConstraint, Full)),
        arm("reduced", front(ReferencePoint, Reduced { tolerance: 1e-3 })),
    ];
    let outcome = rehearse(&ParetoFront.experiment(&setup(), arms).unwrap()).unwrap();
    let figure = |name: &str| outcome.figures[name].0;
    for name in ["sums", "reference", "bounds", "reduced"] {
        let points = figure(&format!("{name}.points"));
        assert!(points >= 4.0 && figure(&format!("{name}.nondominated")) == points, "{name}");
    }
    assert!(figure("reference.criticality") < 1e-6);
    assert!(figure("reference.spread") < 0.3 * figure("sums.spread"));
    assert!(figure("reduced.full_solves") < figure("reference.full_solves"));
    assert!(figure("reduced.error") < 0.05);
}

#[test]
fn ranges_are_checked() {
    let mut config = front(front::MethodConfig::WeightedSum, front::ModelConfig::Full);
    config.ends = [0.9, 0.1];
    assert!(ParetoFront.validate(&config).is_err());
    config.ends = [0.1, 0.9];
    config.problem.control_cost = 0.0;
    assert!(ParetoFront.validate(&config).is_err());
    let cover = |functions: Vec<Function>, levels| cover::Config {
        functions,
        lower: vec![0.0; 2],
        upper: vec![1.0; 2],
        reference: vec![1.0; 2],
        method: cover::MethodConfig::Cover { levels, eps: 1e-3 },
    };
    let pair = vec![Function::Crescent, Function::Lq];
    assert!(ParetoCover.validate(&cover(pair.clone(), 3)).is_ok());
    assert!(ParetoCover.validate(&cover(pair, 0)).is_err());
    assert!(ParetoCover.validate(&cover(vec![Function::Lq], 3)).is_err());
    let mut path = path(sparsity::MethodConfig::Continuation);
    assert!(SparsityFront.validate(&path).is_ok());
    path.method = sparsity::MethodConfig::Homotopy;
    assert!(SparsityFront.validate(&path).is_err());
    path.method = sparsity::MethodConfig::Continuation;
    path.last = path.first;
    assert!(SparsityFront.validate(&path).is_err());
}

fn path(method: sparsity::MethodConfig) -> sparsity::Config {
    sparsity::Config {
        task: sparsity::TaskConfig::Digits { rows: 60, hidden: 2 },
        method,
        points: 3,
        first: 1e-2,
        last: 5e-2,
        tolerance: 1e-4,
        max_steps: 100,
    }
}

#[test]
fn paths_of_a_network_end_at_optimal_points() {
    let arm = |name: &str, method| Arm { name: name.to_owned(), config: path(method) };
    let arms = vec![arm("continuation", sparsity::MethodConfig::Continuation)];
    let outcome = rehearse(&SparsityFront.experiment(&setup(), arms).unwrap()).unwrap();
    assert!(outcome.figures["continuation.violation"].0 <= 1e-4);
    assert_eq!(outcome.figures["continuation.sorted"].0, 1.0);
    let audits =
        SparsityFront.audit(&setup(), vec![arm("a", sparsity::MethodConfig::Continuation)]);
    assert!(audits.unwrap()[0].check(2).is_ok());
}

/// A front that is stopped and resumed at every point is the front of one go.
#[test]
fn a_saved_front_goes_on_as_if_nothing_had_happened() {
    use front::MethodConfig::ReferencePoint;
    use front::ModelConfig::{Full, Reduced};
    for model in [Full, Reduced { tolerance: 1e-3 }] {
        let tracer = front::Tracer::new(front(ReferencePoint, model)).unwrap();
        let (whole, pieces) = (front::trace(&tracer, false), front::trace(&tracer, true));
        assert!(whole.len() > 3 && whole == pieces);
    }
}
