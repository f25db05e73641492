//! The recipe kind: refusals, resuming, threads, the experiments with known numbers.

use std::io::Write;
use std::path::Path;

use lisse_run::recipe::Overrides;
use lisse_run::{Registry, Request, Session, Source, Summary, audits, launch};

use crate::interruption::interrupted_and_resumed;

fn registry() -> Registry {
    let mut registry = Registry::new();
    super::super::recipes::register(&mut registry);
    registry
}

fn request(recipe: &str, out: &Path, quick: bool, set: &[&str]) -> Request {
    let set = set.iter().map(|s| (*s).to_string()).collect();
    let overrides = Overrides { quick, set, ..Overrides::default() };
    Request { source: Source::Builtin(recipe.into()), out: Some(out.to_owned()), overrides }
}

fn run(recipe: &str, quick: bool, set: &[&str]) -> Summary {
    let folder = tempfile::tempdir().unwrap();
    let request = request(recipe, &folder.path().join("run"), quick, set);
    launch(&registry(), &request, Session::quiet()).unwrap().summary
}

fn refusal(recipe: &str, set: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let request = request(recipe, &folder.path().join("run"), true, set);
    launch(&registry(), &request, Session::quiet()).unwrap_err().to_string()
}

#[test]
fn recipes_fit_their_kind() {
    registry().check().unwrap();
}

#[test]
fn the_objectives_have_the_derivatives_they_should() {
    let folder = tempfile::tempdir().unwrap();
    for recipe in ["online-drift", "online-regret"] {
        let audits = audits(&registry(), &request(recipe, &folder.path().join("run"), true, &[]));
        let audits = audits.unwrap();
        assert!(!audits.is_empty());
        for audit in audits {
            audit.check(2).unwrap();
        }
    }
}

/// Figures by their bits; a file does not tell one NaN from another.
fn bits(summary: &Summary) -> Vec<(String, u64)> {
    let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    summary.figures.iter().map(|(name, value)| (name.clone(), bits(value.0))).collect()
}

#[test]
fn an_interruption_changes_nothing() {
    let set = ["rounds=450", "claims=[]", "seeds=2"];
    let folder = tempfile::tempdir().unwrap();
    let whole = bits(&run("online-regret", true, &set));
    assert!(whole.len() > 60);
    for steps in [2, 25] {
        let out = folder.path().join(format!("cut-{steps}"));
        let request = request("online-regret", &out, true, &set);
        let resumed = interrupted_and_resumed(&registry(), &request, steps);
        assert!(bits(&resumed) == whole, "interrupted after {steps} steps");
    }
}

#[test]
fn threads_change_nothing() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bits(&run("online-regret", true, &["rounds=200", "claims=[]", "seeds=3"])))
    };
    assert!(on(1) == on(2));
}

/// The cumulative losses on the turning concept, and the regret under flipped labels, as found independently with NumPy.
#[test]
fn known_experiments() {
    let drift = run("online-drift", false, &["claims=[]", "horizons=1"]);
    let table = [
        ("still", [833.8, 834.0, 833.8, 832.0, 835.1]),
        ("slow", [874.3, 892.4, 1374.3, 860.5, 1275.8]),
        ("middle", [1316.9, 1379.7, 1389.8, 1316.1, 1349.0]),
        ("fast", [1357.5, 1402.4, 1389.2, 1398.4, 1368.8]),
    ];
    for (stream, losses) in table {
        for (arm, stated) in ["oomd", "no_hint", "ogd", "adagrad", "oftrl"].iter().zip(losses) {
            let found = drift.figures[&format!("{arm}.{stream}.loss")].0;
            assert!((found - stated).abs() < 0.0501, "{arm} on {stream}: {found} is not {stated}");
        }
    }
    let regret = run("online-regret", false, &["claims=[]", "horizons=1", "seeds=1"]);
    for (arm, stated) in [("oomd", -695.9390207), ("ogd", -113.7110445)] {
        let found = regret.figures[&format!("{arm}.flips.regret")].0;
        assert!((found - stated).abs() < 1e-5, "{arm}: {found} is not {stated}");
    }
}

#[test]
fn bad_recipes_are_told_where() {
    let cases = [
        ("rounds=0", "rounds", "at least 1"),
        ("seeds=0", "seeds", "at least 1"),
        ("horizons=20", "horizons", "can be halved"),
        ("streams.fast.domain.radius=-1.0", "streams.fast.domain.radius", "a number above 0"),
        ("streams.fast.l2=-1.0", "streams.fast.l2", "at least 0"),
        ("streams.fast.drift.theta=nan", "streams.fast.drift.theta", "a number"),
        ("streams.fast.batch=1000", "batch", "at most the number of rows, 569"),
        ("streams.fast.components=31", "components", "at most the number of features, 30"),
        ("streams.fast.data='iris'", "iris", "not two classes"),
        ("arms.oomd.learner.delta=0.0", "learner.delta", "a number above 0"),
        ("arms.oomd.hint={name='average', window=0}", "hint.window", "at least 1"),
        ("arms.oftrl.hint={name='middle'}", "hint", "not optimistic mirror descent"),
        ("arms.oomd.only=['quick']", "only", "names of streams: fast"),
        ("arms.oomd.hint={name='file', path='no.csv'}", "no.csv", "no.csv"),
    ];
    for (set, place, expected) in cases {
        let error = refusal("online-drift", &["claims=[]", set]);
        assert!(error.contains(place) && error.contains(expected), "{set}: {error}");
    }
}

/// A stream and its hints from files: the true gradients as hints make the regret small.
#[test]
fn files_of_examples_and_hints() {
    let folder = tempfile::tempdir().unwrap();
    let (data, hints) = (folder.path().join("data.csv"), folder.path().join("hints.csv"));
    let mut file = std::fs::File::create(&data).unwrap();
    writeln!(file, "a,b,y").unwrap();
    let mut hint_file = std::fs::File::create(&hints).unwrap();
    writeln!(hint_file, "a,b").unwrap();
    for t in 0..60 {
        let sign = if t % 2 == 0 { 1 } else { -1 };
        writeln!(file, "{sign},0.5,{}", if (t % 2 == 0) == (t % 7 > 0) { "yes" } else { "no" })
            .unwrap();
        writeln!(hint_file, "{},0.0", 0.1 * f64::from(sign)).unwrap();
    }
    let recipe = folder.path().join("mine.toml");
    let text = format!(
        "kind = 'online'\nrounds = 60\nhorizons = 2\nlearner = {{ name = 'oomd' }}\n\
         hint = {{ name = 'file', path = '{}' }}\n\
         [streams.mine]\nname = 'file'\npath = '{}'\ntarget = 'y'\nloss = 'logistic'\nstandardize = false\n\
         domain = {{ name = 'box', low = -1.0, high = 1.0 }}\n",
        hints.display(),
        data.display()
    );
    std::fs::write(&recipe, &text).unwrap();
    let go = |name: &str| {
        let source = Source::File(recipe.clone());
        let request = Request { out: Some(folder.path().join(name)), ..Request::new(source) };
        launch(&registry(), &request, Session::quiet())
    };
    let summary = go("run").unwrap().summary;
    assert!(summary.figures["mine.bound_ratio"].0 <= 1.0);
    assert!(summary.figures["mine.loss"].0 < summary.figures["mine.origin"].0);
    std::fs::write(&recipe, text.replace("rounds = 60", "rounds = 61")).unwrap();
    let error = go("short").unwrap_err().to_string();
    assert!(error.contains("has 60 rows; one for each of 61 rounds"), "{error}");
    std::fs::write(&recipe, text.replace("'y'", "'z'")).unwrap();
    let error = go("none").unwrap_err().to_string();
    assert!(error.contains('z'), "{error}");
}
