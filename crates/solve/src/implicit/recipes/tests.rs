use lisse_run::{Arm, Invalid, Ranks, RecipeKind, Registry, Setup, rehearse};

use std::path::Path;

use lisse_run::recipe::Overrides;
use lisse_run::{Request, RunFolder, Session, Source, audits, launch};

use super::*;
use crate::interruption::interrupted_and_resumed;

fn setup() -> Setup {
    let (device, ranks) = (lisse_array::Device::Cpu, Ranks::alone());
    Setup { name: "test".into(), seed: 3, device, quick: true, ranks }
}

fn figures<K: RecipeKind>(kind: &K, text: &str) -> Vec<(String, f64)> {
    let config: K::Config = serde_json::from_str(text).unwrap();
    assert_eq!(kind.validate(&config), Ok(()));
    let mut announced = kind.figures(&config).unwrap();
    let arms = vec![Arm { name: String::new(), config }];
    let outcome = rehearse(&kind.experiment(&setup(), arms).unwrap()).unwrap();
    let found: Vec<(String, f64)> = outcome.figures.into_iter().map(|(n, v)| (n, v.0)).collect();
    let mut names: Vec<String> = found.iter().map(|f| f.0.clone()).collect();
    names.sort();
    announced.sort();
    assert_eq!(names, announced);
    found
}

fn figure(figures: &[(String, f64)], name: &str) -> f64 {
    figures.iter().find(|f| f.0 == name).unwrap().1
}

fn refused<K: RecipeKind>(kind: &K, text: &str, from: &str, to: &str) -> Option<Invalid> {
    assert!(text.contains(from), "{from}");
    let config: K::Config = serde_json::from_str(&text.replace(from, to)).unwrap();
    kind.validate(&config).err()
}

#[track_caller]
fn at(found: Option<Invalid>, key: &str) {
    let text = format!("{:?}", found.expect(key));
    assert!(text.contains(&format!("\"{key}\"")), "{text}");
}

const DISTILL: &str = r#"{"method": {"name": "distilled", "derivative": {"name": "implicit", "solver": "cg"}},
    "steps": 2, "inner_steps": 60}"#;
const HYPER: &str = r#"{"problem": "ridge", "derivative": {"name": "implicit"}, "steps": 3, "rate": 0.2, "start": 1.0,
    "grid": [-8.0, 3.0], "points": 3}"#;
const SPHERES: &str = r#"{"particles": 12, "small": 0.6, "fraction": 1.1, "packings": 1,
    "derivative": {"name": "implicit", "solver": "lsqr"}}"#;

#[test]
fn the_registry_is_complete() {
    let mut registry = Registry::new();
    register(&mut registry);
    registry.check().unwrap();
}

#[test]
fn implicit_and_unrolled_distillation_take_the_same_steps() {
    let implicit = figures(&distill::Distillation, &DISTILL.replace("60", "150"));
    let unrolled = DISTILL.replace("60", "150").replace(
        r#"{"name": "implicit", "solver": "cg"}"#,
        r#"{"name": "unrolled", "steps": 150, "checkpoint": 12}"#,
    );
    let unrolled = figures(&distill::Distillation, &unrolled);
    let loss = |f: &[(String, f64)]| figure(f, "train_loss");
    assert!((loss(&implicit) - loss(&unrolled)).abs() < 1e-5, "{implicit:?} {unrolled:?}");
    assert!(loss(&implicit) < figure(&implicit, "first_loss"));
    let means = figures(
        &distill::Distillation,
        r#"{"method": {"name": "class-means"}, "steps": 1, "inner_steps": 150}"#,
    );
    assert!(figure(&means, "test_accuracy") > 0.85);
}

#[test]
fn first_gradients_agree_with_difference_quotients() {
    let cases =
        [("ridge", false, -2.0), ("lasso", true, -2.0), ("lasso", false, -2.0), ("svm", true, 2.5)];
    for (problem, support, start) in cases {
        let text = HYPER
            .replace("ridge", problem)
            .replace(r#""start": 1.0"#, &format!(r#""start": {start:.1}"#))
            .replace(
                r#"{"name": "implicit"}"#,
                &format!(r#"{{"name": "implicit", "solver": "lsqr", "support": {support}}}"#),
            );
        let found = figures(&hyper::Hyperparameters, &text);
        assert!(figure(&found, "gradient_error") < 1e-4, "{problem} {support}: {found:?}");
    }
}

#[test]
fn spheres_answer_as_their_difference_quotients() {
    for solver in ["lsqr", "cg", "bicgstab", "minres"] {
        let found = figures(&sensitivity::Sensitivity, &SPHERES.replace("lsqr", solver));
        assert!(figure(&found, "error") < 1e-3, "{solver}: {found:?}");
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let run = || figures(&sensitivity::Sensitivity, SPHERES);
    let without_time = |figures: Vec<(String, f64)>| -> Vec<(String, u64)> {
        figures.into_iter().filter(|f| f.0 != "seconds").map(|(n, v)| (n, v.to_bits())).collect()
    };
    assert_eq!(without_time(run()), without_time(run()));
}

#[test]
fn what_does_not_fit_is_named() {
    let kind = distill::Distillation;
    at(refused(&kind, DISTILL, r#""steps": 2"#, r#""steps": 0"#), "steps");
    at(refused(&kind, DISTILL, r#""inner_steps": 60"#, r#""inner_steps": 0"#), "inner_steps");
    at(refused(&kind, DISTILL, "\"cg\"", "\"gauss\""), "method.derivative.solver");
    at(refused(&kind, DISTILL, r#""steps": 2"#, r#""steps": 2, "momentum": 1.0"#), "momentum");
    let none = r#"{"method": {"name": "class-means", "scales": []}, "steps": 1, "inner_steps": 9}"#;
    at(refused(&kind, none, "9", "8"), "method.scales");
    let short = r#"{"name": "unrolled", "steps": 9}"#;
    at(
        refused(&kind, DISTILL, r#"{"name": "implicit", "solver": "cg"}"#, short),
        "method.derivative.steps",
    );
    let kind = hyper::Hyperparameters;
    at(refused(&kind, HYPER, r#""start": 1.0"#, r#""start": 9.0"#), "start");
    at(refused(&kind, HYPER, "[-8.0, 3.0]", "[3.0, -8.0]"), "grid");
    at(refused(&kind, HYPER, r#""rate": 0.2"#, r#""rate": -1.0"#), "rate");
    at(refused(&kind, HYPER, r#""points": 3"#, r#""points": 1"#), "points");
    let zero = r#"{"name": "unrolled", "steps": 5, "checkpoint": 0}"#;
    at(refused(&kind, HYPER, r#"{"name": "implicit"}"#, zero), "derivative.checkpoint");
    let kind = sensitivity::Sensitivity;
    at(refused(&kind, SPHERES, "12", "8"), "particles");
    at(refused(&kind, SPHERES, "1.1", "0.5"), "fraction");
    at(refused(&kind, SPHERES, "0.6", "0.0"), "small");
    at(
        refused(
            &kind,
            SPHERES,
            r#"{"name": "implicit", "solver": "lsqr"}"#,
            r#"{"name": "one-step"}"#,
        ),
        "derivative.name",
    );
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    register(&mut registry);
    registry
}

fn request(recipe: &str, out: &Path, set: &[&str]) -> Request {
    let set = set.iter().map(|s| (*s).to_string()).collect();
    let overrides = Overrides { quick: true, set, ..Overrides::default() };
    let source = Source::Builtin(recipe.into());
    Request { out: Some(out.to_owned()), overrides, ..Request::new(source) }
}

/// Figures by their bits, but for times.
fn bits(out: &Path) -> Vec<(String, u64)> {
    let summary = RunFolder::open(out).unwrap().summary().unwrap().unwrap();
    assert!(summary.finished);
    let figures = summary.figures.iter().filter(|(name, _)| !name.contains("seconds"));
    figures.map(|(name, value)| (name.clone(), value.0.to_bits())).collect()
}

#[test]
fn an_interruption_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (recipe, steps) in
        [("distill-digits", 4), ("hyperparameters", 8), ("sensitivity-spheres", 1)]
    {
        // Times decide no claim here.
        let set = ["claims=[]"];
        let whole = folder.path().join(format!("{recipe}-whole"));
        launch(&registry(), &request(recipe, &whole, &set), Session::quiet()).unwrap();
        let out = folder.path().join(format!("{recipe}-cut"));
        interrupted_and_resumed(&registry(), &request(recipe, &out, &set), steps);
        assert!(bits(&out) == bits(&whole), "{recipe}");
    }
}

#[test]
fn the_objectives_have_the_derivatives_they_should() {
    let folder = tempfile::tempdir().unwrap();
    let (sphere, tuned) = ("sensitivity-spheres", "hyperparameters");
    for (recipe, order) in [(sphere, 2), (tuned, 1)] {
        let found = audits(&registry(), &request(recipe, &folder.path().join("run"), &[])).unwrap();
        assert!(!found.is_empty());
        for audit in found {
            audit.check(order).unwrap();
        }
    }
}
