use std::path::Path;

use lisse_run::recipe::Overrides;
use lisse_run::{Registry, Request, RunFolder, Session, Source, audits, launch};

use super::plans::palette_problem;
use crate::interruption::interrupted_and_resumed;
use crate::transport::{SparseOt, solve_exact};

fn registry() -> Registry {
    let mut registry = Registry::new();
    super::register(&mut registry);
    registry
}

#[test]
fn the_recipes_are_whole() {
    registry().check().unwrap();
}

#[test]
fn the_palettes_are_as_their_script_left_them() {
    let problem = palette_problem();
    assert_eq!((problem.sources(), problem.targets()), (64, 64));
    let exact = solve_exact(&problem).unwrap();
    assert!((exact.cost - 0.510455).abs() < 1e-6, "{}", exact.cost);
    // Entries fall with k, and the dual value with them.
    let all = SparseOt::quadratic(1.0).solve(&problem).unwrap();
    assert!(all.value > exact.cost && all.gap() < 1e-5 && all.row_error < 1e-5);
}

fn request(out: &Path, recipe: &str, set: &[&str]) -> Request {
    let set = set.iter().map(|s| (*s).to_string()).collect();
    let overrides = Overrides { quick: true, set, ..Overrides::default() };
    Request { out: Some(out.to_owned()), overrides, ..Request::new(Source::Builtin(recipe.into())) }
}

/// Figures by their bits, but for times.
fn figures(out: &Path) -> Vec<(String, u64)> {
    let summary = RunFolder::open(out).unwrap().summary().unwrap().unwrap();
    assert!(summary.finished);
    let figures = summary.figures.iter().filter(|(name, _)| !name.ends_with("seconds"));
    figures.map(|(name, value)| (name.clone(), value.0.to_bits())).collect()
}

fn an_interruption_changes_nothing(recipe: &str, set: &[&str], cuts: &[u64]) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    launch(&registry(), &request(&whole, recipe, set), Session::quiet()).unwrap();
    for &steps in cuts {
        let out = folder.path().join(format!("cut-{steps}"));
        interrupted_and_resumed(&registry(), &request(&out, recipe, set), steps);
        assert_eq!(figures(&out), figures(&whole), "{recipe} interrupted after {steps} steps");
    }
}

#[test]
fn plans_resume_to_the_same_figures() {
    an_interruption_changes_nothing("transport-colours", &[], &[1, 3]);
}

#[test]
fn trainings_resume_to_the_same_figures() {
    let set = ["training.steps=3", "training.batch_size=16", "training.seeds=2"];
    an_interruption_changes_nothing("transport-router", &set, &[2, 4]);
}

#[test]
fn the_objectives_have_the_derivatives_they_should() {
    for recipe in ["transport-colours", "transport-router"] {
        let folder = tempfile::tempdir().unwrap();
        for audit in audits(&registry(), &request(&folder.path().join("run"), recipe, &[])).unwrap()
        {
            audit.check(2).unwrap();
        }
    }
}

#[test]
fn bad_recipes_are_told_where() {
    let folder = tempfile::tempdir().unwrap();
    let error = |recipe: &str, set: &str| {
        let out = folder.path().join("never");
        launch(&registry(), &request(&out, recipe, &[set]), Session::quiet())
            .unwrap_err()
            .to_string()
    };
    let text = error("transport-router", "training.batch_size=0");
    assert!(text.contains("training.batch_size") && text.contains("1 to 450"), "{text}");
    let text = error("transport-router", "method.auxiliary=-1.0");
    assert!(text.contains("method.auxiliary") && text.contains("0 or more"), "{text}");
    let text = error("transport-router", "model.experts=1");
    assert!(text.contains("model.experts") && text.contains("at least 2"), "{text}");
    let text = error("transport-colours", "data.name='nothing'");
    assert!(text.contains("nothing") || text.contains("palettes"), "{text}");
}
