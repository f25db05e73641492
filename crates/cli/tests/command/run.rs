//! `run` and `audit`, and that results depend on the recipe alone.

use std::path::Path;

use serde_json::Value;

use crate::support::{Place, said};

#[test]
fn a_run_prints_its_figures_and_leaves_a_folder() {
    let place = Place::new();
    let said = place.lisse(&["run", "two.toml", "--out", "run"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let summary = place.json("run/summary.json");
    for (name, value) in summary["figures"].as_object().unwrap() {
        let line = said.out.lines().find(|line| line.starts_with(name.as_str())).unwrap();
        // Printed as it is saved: to the last bit.
        assert_eq!(line.split_whitespace().nth(1).unwrap().parse::<f64>().ok(), value.as_f64());
    }
    assert!(said.out.contains("holds  sam.test_accuracy > 0.5"), "{}", said.out);
    // Standard error is no terminal here: a few lines, no bar, no colour.
    let lines: Vec<_> = said.err.lines().collect();
    assert_eq!(lines[0], "Running SGD against SAM on irises in run");
    assert!(lines[1].starts_with("sgd (1/2): completed after "), "{}", said.err);
    assert!(lines[2].starts_with("sam (2/2): completed after "), "{}", said.err);
    assert!(lines[3].starts_with("completed in "), "{}", said.err);
    assert_eq!(lines[4..], ["run     run", "report  run/report.html"]);
    for file in ["recipe.toml", "metrics.jsonl", "report.html", "checkpoint/state.safetensors"] {
        assert!(place.path("run").join(file).is_file(), "{file} is missing");
    }
    assert_eq!(place.rows("run").len(), 2 * 3 * 7, "112 examples are 7 batches of 16");
}

#[test]
fn a_program_reads_the_summary() {
    let place = Place::new();
    let out = place.succeeds(&["run", "two.toml", "--out", "run", "--json"]);
    let printed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(printed, place.json("run/summary.json"));
    assert_eq!(printed["claims"][0]["holds"], true);
}

#[test]
fn folders_are_numbered_by_default() {
    let place = Place::new();
    place.succeeds(&["run", "one.toml"]);
    place.succeeds(&["run", "one.toml"]);
    assert!(place.path("runs/one-1/summary.json").is_file());
    assert!(place.path("runs/one-2/summary.json").is_file());
}

#[test]
fn options_reach_the_resolved_recipe() {
    let place = Place::new();
    place.write(
        "quick.toml",
        &format!("{}\n[quick]\ntraining.epochs = 1\n", crate::support::ONE_ARM),
    );
    let args = ["run", "quick.toml", "--out", "run", "--quick", "--seed", "7", "--device", "cpu"];
    place.succeeds(&[&args[..], &["--set", "training.batch_size=56"]].concat());
    let recipe = place.read("run/recipe.toml");
    for line in [
        "quick = true",
        "seed = 7",
        "device = \"cpu\"",
        "epochs = 1",
        "batch_size = 56",
        "momentum = 0.0",
    ] {
        assert!(recipe.lines().any(|own| own == line), "{line}: {recipe}");
    }
    assert_eq!(place.rows("run").len(), 2);
    // The resolved recipe is a recipe: it gives the same again.
    place.succeeds(&["run", "run/recipe.toml", "--out", "again"]);
    assert_eq!(place.essence("again"), place.essence("run"));
    assert_eq!(place.read("again/recipe.toml"), recipe);
}

#[test]
fn a_failed_claim_matters_under_check() {
    let place = Place::new();
    let claims = "claims=[\"test_accuracy > 1\", \"train_loss > 0\"]";
    let run = |out, more: &[&str]| {
        place.lisse(&[&["run", "one.toml", "--set", claims, "--out", out], more].concat())
    };
    let loose = run("loose", &[]);
    assert_eq!(loose.code, Some(0));
    assert!(loose.out.contains("FAILS  test_accuracy > 1  (0."), "{}", loose.out);
    let strict = run("strict", &["--check"]);
    assert_eq!(strict.code, Some(3));
    let told: Vec<_> = strict.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(told.len(), 1, "{}", strict.err);
    assert!(told[0].starts_with("error: claim test_accuracy > 1: does not hold (0."), "{told:?}");
    assert_eq!(place.lisse(&["run", "two.toml", "--check", "--out", "good"]).code, Some(0));
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let place = Place::new();
    for (out, seed) in [("a", "1"), ("b", "1"), ("c", "2")] {
        place.succeeds(&["run", "two.toml", "--out", out, "--seed", seed]);
    }
    assert_eq!(place.essence("a"), place.essence("b"));
    assert_ne!(place.essence("a"), place.essence("c"));
}

#[test]
fn threads_do_not_change_a_bit() {
    let place = Place::new();
    let conv = "model={name=\"conv\", channels=[4, 8], hidden=16}";
    for (name, set) in [("dense", "training.batch_size=256"), ("conv", conv)] {
        let essence = |threads: &str| {
            let out = format!("{name}-{threads}");
            let args =
                ["run", "long.toml", "--out", &out, "--set", "training.epochs=1", "--set", set];
            let said = said(place.command(&args).env("RAYON_NUM_THREADS", threads));
            assert_eq!(said.code, Some(0), "{}", said.err);
            place.essence(&out)
        };
        assert_eq!(essence("1"), essence("2"), "{name}");
    }
}

#[test]
fn a_network_may_train_in_double_precision() {
    let place = Place::new();
    place.succeeds(&["run", "two.toml", "--out", "f64", "--set", "training.dtype=f64"]);
    place.succeeds(&["run", "two.toml", "--out", "f32"]);
    let loss = |run: &str| {
        let summary = place.json(&format!("{run}/summary.json"));
        summary["figures"]["sam.train_loss"].as_f64().unwrap()
    };
    let difference = (loss("f64") - loss("f32")).abs();
    assert!(difference > 0.0 && difference < 1e-3, "{difference}");
}

#[test]
fn minimizers_race() {
    let place = Place::new();
    let problems = "problems=[\"beale\", \"rosenbrock\"]";
    let claims = "claims=[\"lbfgs.solved == 2\", \"newton_cg.solved == 2\"]";
    place.succeeds(&[
        "run",
        "minimizers",
        "--check",
        "--set",
        problems,
        "--set",
        claims,
        "--out",
        "race",
    ]);
    assert!(Path::new(&place.path("race/artefacts/race.json")).is_file());
}

#[test]
fn derivatives_of_a_recipe_are_audited() {
    let place = Place::new();
    let text = place.succeeds(&["audit", "one.toml"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (order, line) in (1..).zip(lines) {
        let start = format!("training loss, order {order}: agrees (largest relative error ");
        assert!(line.starts_with(&start), "{line}");
    }
    let rows: Value = serde_json::from_str(&place.succeeds(&[
        "audit",
        "minimizers",
        "--json",
        "--set",
        "problems=[\"beale\", \"himmelblau\"]",
        "--set",
        "claims=[]",
    ]))
    .unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row["holds"] == true), "{rows:?}");
}
