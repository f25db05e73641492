//! The recipe kind: its checks, its ends, resuming.

use lisse_run::{RecipeKind, Registry, Request, Session, Setup, Source, launch, rehearse};

use super::tables::auc;
use super::{BoRepRace, register};
use crate::interruption::interrupted_and_resumed;

fn registry() -> Registry {
    let mut registry = Registry::new();
    register(&mut registry);
    registry
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn run(text: &str) -> Result<lisse_run::Summary, lisse_run::Error> {
    let (recipe, out) = (file(text), tempfile::tempdir().unwrap());
    let mut request = Request::new(Source::File(recipe.path().to_owned()));
    request.out = Some(out.path().join("run"));
    launch(&registry(), &request, Session::quiet()).map(|finished| finished.summary)
}

#[test]
fn recipes_fit_their_kind() {
    registry().check().unwrap();
}

#[test]
fn what_does_not_fit_is_named() {
    let cosh = "kind = \"bo-rep\"\n[problem]\nname = \"cosh\"\nuntil = 0.1\n[training]\nsteps = 5\nmeasure = 1\n[method]\nname = \"bo-rep\"\n";
    let refused = |from: &str, to: &str, expected: &str| {
        let text = run(&cosh.replace(from, to)).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    };
    refused("until = 0.1", "until = -1", "problem.until");
    refused("measure = 1", "measure = 0", "training.measure");
    refused("name = \"bo-rep\"\n", "name = \"bo-rep\"\nbeta = 1.5\n", "method.beta");
    refused("name = \"bo-rep\"\n", "name = \"bo-rep\"\netaa = 1.5\n", "etaa");
    refused(
        "name = \"bo-rep\"\n",
        "name = \"maml\"\neta = 0.1\ngamma = 0.1\n",
        "MAML and ANIL need few-shot tasks",
    );
    refused(
        "name = \"bo-rep\"\n",
        "name = \"saba\"\neta = 0.1\ngamma = 0.1\nnu = 0.1\nblock = 4\n",
        "SABA needs examples",
    );
    refused("name = \"bo-rep\"\n", "name = \"fixed\"\ntrust = \"right\"\n", "only `cleaning`");
    refused(
        "name = \"bo-rep\"\n",
        "name = \"soba\"\neta = 0.0\ngamma = 0.1\nnu = 0.1\n",
        "method.eta",
    );
    let cleaning = "name = \"cleaning\"\nridge = 0.0";
    refused("name = \"cosh\"\nuntil = 0.1", cleaning, "problem.ridge");
    let cleaning = "name = \"cleaning\"\nridge = 0.1\ndata = { train = 1700, validation = 97 }";
    refused(
        "name = \"cosh\"\nuntil = 0.1",
        cleaning,
        "leave none of the 1797 in `digits` for testing",
    );
    let cleaning = "name = \"cleaning\"\nridge = 0.1\ndata = { bundled = \"diabetes\" }";
    refused("name = \"cosh\"\nuntil = 0.1", cleaning, "`diabetes` has no classes");
    refused("name = \"cosh\"\nuntil = 0.1", "name = \"few-shot\"\nhidden = 0", "problem.hidden");
    refused(
        "name = \"cosh\"\nuntil = 0.1",
        "name = \"few-shot\"\nheld_out = 100",
        "problem.held_out",
    );
    refused("kind", "claims = [\"refreshs > 0\"]\nkind", "refreshs");
}

/// A method that diverges ends its arm at the last finite point, says why, and the run goes on.
#[test]
fn an_arm_that_diverges_ends_gracefully() {
    let text = "kind = \"bo-rep\"\nclaims = [\"soba.finite == 0\", \"bo_rep.finite == 1\", \"bo_rep.negative_curvatures == 0\"]\n\
        [problem]\nname = \"cosh\"\nuntil = 0.1\nlower = \"exact\"\n[training]\nsteps = 60\nmeasure = 10\n\
        [arms.soba]\nmethod = { name = \"soba\", eta = 2e-3, gamma = 0.4, nu = 0.4 }\n\
        [arms.bo_rep]\nmethod = { name = \"bo-rep\", eta = 0.1 }\n";
    let summary = run(text).unwrap();
    assert!(summary.claims.iter().all(|claim| claim.holds), "{:?}", summary.claims);
    assert!(summary.figures["soba.gradient"].0 > 1404.0);
    assert!(summary.figures["soba.steps_to"].0.is_infinite());
    let reason = summary.notes.iter().find(|note| note.contains("soba went no further")).unwrap();
    assert!(reason.contains("expected finite numbers; the step sizes are too large"), "{reason}");
    // Counts are not negative zeros.
    assert!(summary.figures.values().all(|v| v.0 != 0.0 || v.0.is_sign_positive()));
}

#[test]
fn a_budget_of_calls_ends_a_run() {
    let text = "kind = \"bo-rep\"\n[problem]\nname = \"cosh\"\nuntil = 0.1\n[training]\nsteps = 600\nmeasure = 10\ncalls = 300\n\
        [method]\nname = \"bo-rep\"\neta = 0.01\n";
    let summary = run(text).unwrap();
    assert!((300.0..320.0).contains(&summary.figures["calls"].0));
    assert!(summary.stop.to_string().contains("training.calls = 300"), "{}", summary.stop);
}

/// An interrupted and resumed run ends as an uninterrupted one, in all problems.
#[test]
fn a_resumed_run_ends_the_same() {
    let cleaning = "kind = \"bo-rep\"\n[problem]\nname = \"cleaning\"\nridge = 0.01\ndata = { train = 60, validation = 40 }\n\
        [training]\nsteps = 12\nbatch = 8\nmeasure = 4\n\
        [arms.bo_rep]\nmethod = { name = \"bo-rep\", eta = 0.3 }\n\
        [arms.saba]\nmethod = { name = \"saba\", eta = 10.0, gamma = 0.5, nu = 0.1, block = 8 }\n\
        [arms.f2sa]\nmethod = { name = \"f2sa\", eta = 10.0, gamma = 0.5 }\n";
    let few_shot = "kind = \"bo-rep\"\n[problem]\nname = \"few-shot\"\nhidden = 4\nhead = []\ntests = 2\nsupport = 6\nquery = 6\n\
        [training]\nsteps = 3\nmeasure = 2\n\
        [arms.bo_rep]\nmethod = { name = \"bo-rep\", eta = 0.1, tasks = 2, refinement = { name = \"steps\", count = 2 } }\n\
        [arms.anil]\nmethod = { name = \"anil\", eta = 0.1, gamma = 0.1, inner = 1, tasks = 1 }\n";
    for (text, after) in [(cleaning, 17), (few_shot, 2)] {
        let whole = run(text).unwrap();
        let (recipe, out) = (file(text), tempfile::tempdir().unwrap());
        let mut request = Request::new(Source::File(recipe.path().to_owned()));
        request.out = Some(out.path().join("run"));
        let resumed = interrupted_and_resumed(&registry(), &request, after);
        for (name, value) in &whole.figures {
            let again = resumed.figures[name].0;
            let same = value.0 == again || (value.0.is_nan() && again.is_nan());
            assert!(same || name.ends_with("seconds"), "{name}: {} and {again}", value.0);
        }
    }
}

#[test]
fn ridge_weights_are_learned() {
    let text = "kind = \"bo-rep\"\n[problem]\nname = \"ridge\"\nstart = -1.0\ndata = { bundled = \"wine\", train = 60, validation = 50, noise = 0.2 }\n\
        [training]\nsteps = 60\nmeasure = 20\n\
        [arms.start]\nmethod = { name = \"fixed\" }\n\
        [arms.bo_rep]\nmethod = { name = \"bo-rep\", eta = 0.3 }\n";
    let figures = run(text).unwrap().figures;
    assert!(figures["bo_rep.validation_loss"].0 < figures["start.validation_loss"].0);
}

#[test]
fn your_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let csv = |name: &str, shift: f64, header: &str| {
        let rows: Vec<String> = (0..20)
            .map(|i| {
                let class = i % 2;
                format!(
                    "{},{},{}",
                    f64::from(i * 7 % 11) + shift,
                    f64::from(class) * 3.0,
                    ["no", "yes"][class as usize]
                )
            })
            .collect();
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
        path.display().to_string()
    };
    let (train, validation) = (csv("t.csv", 0.0, "a,b,class"), csv("v.csv", 0.5, "a,b,class"));
    let text = |validation: &str| {
        format!(
            "kind = \"bo-rep\"\n[problem]\nname = \"cleaning\"\nridge = 0.01\n[problem.data.files]\ntrain = \"{train}\"\n\
             validation = \"{validation}\"\ntarget = \"class\"\n[training]\nsteps = 5\nmeasure = 5\n[method]\nname = \"bo-rep\"\neta = 0.1\n"
        )
    };
    let figures = run(&text(&validation)).unwrap().figures;
    assert_eq!(figures["test_accuracy"].0, 1.0);
    assert!(figures["auc"].0.is_nan()); // nobody knows which labels are wrong
    let other = csv("w.csv", 0.5, "a,c,class");
    let message = run(&text(&other)).unwrap_err().to_string();
    assert!(message.contains("has not the columns and classes of"), "{message}");
}

#[test]
fn areas_under_the_curve() {
    let flipped = [true, true, false, false];
    assert_eq!(auc(&[0.0, 1.0, 2.0, 3.0], &flipped), 1.0);
    assert_eq!(auc(&[3.0, 2.0, 1.0, 0.0], &flipped), 0.0);
    assert_eq!(auc(&[1.0; 4], &flipped), 0.5);
    assert_eq!(auc(&[0.0, 2.0, 1.0, 3.0], &flipped), 0.75);
    assert!(auc(&[1.0], &[true]).is_nan());
}

/// The objectives of every problem have right derivatives.
#[test]
fn audits() {
    for problem in [
        "name = \"cosh\"\nuntil = 0.1",
        "name = \"cleaning\"\nridge = 0.01\ndata = { train = 30, validation = 20 }",
        "name = \"ridge\"\nstart = 0.0\ndata = { train = 30, validation = 20 }",
        "name = \"few-shot\"\nhidden = 3\nhead = [2]\nsupport = 4\nquery = 4",
    ] {
        let recipe = file(&format!(
            "kind = \"bo-rep\"\n[problem]\n{problem}\n[training]\nsteps = 1\nmeasure = 1\n[method]\nname = \"fixed\"\n"
        ));
        let source = Source::File(recipe.path().to_owned());
        let found = lisse_run::audits(&registry(), &Request::new(source)).unwrap();
        assert!(!found.is_empty());
        for audit in found {
            audit.check(2).unwrap_or_else(|e| panic!("{problem}, {}: {e}", audit.name()));
        }
    }
}

#[test]
fn the_report_shows_curves_and_costs() {
    let config = "{\"problem\": {\"name\": \"cosh\", \"until\": 0.1}, \"method\": {\"name\": \"bo-rep\", \"eta\": 0.1}, \"training\": {\"steps\": 20, \"measure\": 5}}";
    let config = serde_json::from_str(config).unwrap();
    let setup = Setup {
        name: "test".into(),
        seed: 0,
        device: lisse_array::Device::Cpu,
        quick: false,
        ranks: lisse_run::Ranks::alone(),
    };
    let arms = vec![lisse_run::Arm { name: "bo_rep".into(), config }];
    let rehearsal = rehearse(&BoRepRace.experiment(&setup, arms).unwrap()).unwrap();
    assert!(rehearsal.tables.contains_key("costs"));
    assert!(
        rehearsal.pictures.contains_key("gradient-calls")
            && rehearsal.pictures.contains_key("gradient-seconds")
    );
}
