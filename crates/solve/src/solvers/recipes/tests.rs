//! The race: whole, interrupted, audited, and what is refused.

use std::path::Path;

use lisse_run::recipe::Overrides;
use lisse_run::{Registry, Request, RunFolder, Session, Source, audits, launch};

use crate::interruption::interrupted_and_resumed;

fn registry() -> Registry {
    let mut registry = Registry::new();
    super::register(&mut registry);
    registry
}

fn request(out: &Path, set: &[&str]) -> Request {
    let set = set.iter().map(|s| (*s).to_string()).collect();
    let overrides = Overrides { quick: true, set, ..Overrides::default() };
    let source = Source::Builtin("solver-race".into());
    Request { out: Some(out.to_owned()), overrides, ..Request::new(source) }
}

/// Short runs: enough for every solver to have its turn.
const SHORT: [&str; 2] = ["max_iterations=12", "claims=[]"];

#[test]
fn the_recipe_is_whole() {
    registry().check().unwrap();
}

/// Figures by their bits, but for times.
fn figures(out: &Path) -> Vec<(String, u64)> {
    let summary = RunFolder::open(out).unwrap().summary().unwrap().unwrap();
    assert!(summary.finished);
    let figures = summary.figures.iter().filter(|(name, _)| !name.ends_with("seconds"));
    figures.map(|(name, value)| (name.clone(), value.0.to_bits())).collect()
}

#[test]
fn an_interruption_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    launch(&registry(), &request(&whole, &SHORT), Session::quiet()).unwrap();
    let undisturbed = figures(&whole);
    assert!(undisturbed.len() > 60);
    for steps in [3, 40] {
        let out = folder.path().join(format!("cut-{steps}"));
        interrupted_and_resumed(&registry(), &request(&out, &SHORT), steps);
        assert!(figures(&out) == undisturbed, "interrupted after {steps} steps");
    }
}

#[test]
fn the_objectives_have_the_derivatives_they_should() {
    let folder = tempfile::tempdir().unwrap();
    for audit in audits(&registry(), &request(&folder.path().join("run"), &[])).unwrap() {
        audit.check(2).unwrap();
    }
}

#[test]
fn bad_recipes_are_told_where() {
    let folder = tempfile::tempdir().unwrap();
    let error = |set: &str| {
        let out = folder.path().join("never");
        launch(&registry(), &request(&out, &[set]), Session::quiet()).unwrap_err().to_string()
    };
    let cases = [
        ("tolerance=2.0", "tolerance", "between 0 and 1"),
        ("max_iterations=0", "max_iterations", "at least 1"),
        ("arms.lasso.solvers=['fista', 'fista']", "solvers", "different names out of ista"),
        ("arms.svm.solvers=['program']", "solvers", "projected"),
        ("arms.lasso.solvers=[]", "solvers", "at least one solver"),
        ("arms.lasso.problem.penalty=1.5", "problem.penalty", "between 0 and 1"),
        ("arms.softmax.problem.penalty=-1.0", "problem.penalty", "above 0"),
        ("arms.softmax.problem.examples=5000", "problem.examples", "between 2 and 1797"),
        ("arms.svm.derivative=true", "derivative", "not unique"),
    ];
    for (set, key, expected) in cases {
        let text = error(set);
        assert!(text.contains(key) && text.contains(expected), "{set}: {text}");
    }
}
