use lisse_run::recipe::Overrides;
use lisse_run::{Registry, Request, Session, Source, Summary, launch};

use super::register;
use crate::interruption::interrupted_and_resumed;

fn registry() -> Registry {
    let mut registry = Registry::new();
    register(&mut registry);
    registry
}

#[test]
fn recipes_fit_their_kind() {
    registry().check().unwrap();
}

/// A run that is cut off and resumed gives the figures of one that was not.
#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let overrides = Overrides {
        quick: true,
        set: ["steps=12", "evaluations=3", "claims=[]"].map(String::from).to_vec(),
        ..Overrides::default()
    };
    let request = |name: &str| Request {
        source: Source::Builtin("penalty-digits".into()),
        out: Some(folder.path().join(name)),
        overrides: overrides.clone(),
    };
    let whole = launch(&registry(), &request("whole"), Session::quiet()).unwrap().summary;
    let resumed = interrupted_and_resumed(&registry(), &request("cut"), 5);
    let timeless = |summary: &Summary| -> Vec<(String, u64)> {
        let kept = summary.figures.iter().filter(|f| !f.0.ends_with("seconds"));
        kept.map(|(name, value)| (name.clone(), value.0.to_bits())).collect()
    };
    assert_eq!(timeless(&resumed), timeless(&whole));
    assert!(!timeless(&whole).is_empty());
}

#[test]
fn recipes_out_of_range_name_the_key() {
    let message = |set: &str| {
        let overrides = Overrides { set: vec![set.to_owned()], ..Overrides::default() };
        let request =
            Request { source: Source::Builtin("penalty-digits".into()), out: None, overrides };
        launch(&registry(), &request, Session::quiet()).unwrap_err().to_string()
    };
    let text = message("arms.penalty.method.mix=2.0");
    assert!(text.contains("method.mix") && text.contains("at most 1"), "{text}");
    let text = message("problem.flipped=1.5");
    assert!(text.contains("problem.flipped") && text.contains("from 0 to below 1"), "{text}");
    let text = message("problem.train=5000");
    assert!(text.contains("leave some of the 1797 examples"), "{text}");
    let text = message("seeds=0");
    assert!(text.contains("at least 1"), "{text}");
}
