//! `list`, `show`, `cite`, `doctor`, `completions`, help.

use std::process::Stdio;

use serde_json::Value;

use crate::support::Place;

fn methods(place: &Place) -> Vec<Value> {
    serde_json::from_str(&place.succeeds(&["list", "--json"])).unwrap()
}

#[test]
fn help_names_commands_and_exit_codes() {
    let place = Place::new();
    insta::assert_snapshot!("help", place.succeeds(&["--help"]));
    assert!(place.succeeds(&["--version"]).starts_with("lisse "));
    for command in ["list", "show", "run", "resume", "compare", "report", "export", "audit"] {
        assert!(place.succeeds(&[command, "--help"]).contains("Usage: lisse"), "{command}");
    }
}

#[test]
fn methods_are_listed_for_people() {
    let text = Place::new().succeeds(&["list"]);
    for words in [
        "training\n",
        "minimization\n",
        "recipes\n",
        "  sam  ",
        "arXiv 2010.01412",
        "  sharpness-digits ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn methods_are_listed_for_programs() {
    let place = Place::new();
    let keys = ["slug", "title", "paper", "arxiv", "field", "summary", "recipes"];
    let listed = methods(&place);
    assert!(!listed.is_empty());
    for method in &listed {
        assert!(method.as_object().unwrap().keys().eq(keys), "{method}");
        assert!(!method["recipes"].as_array().unwrap().is_empty(), "{method}");
    }
    let sam = listed.iter().find(|method| method["slug"] == "sam").unwrap();
    assert_eq!(sam["arxiv"], "2010.01412");
    assert!(listed.iter().any(|method| method["arxiv"].is_null()));
}

#[test]
fn everything_that_is_listed_can_be_shown_and_cited() {
    let place = Place::new();
    for method in methods(&place) {
        let slug = method["slug"].as_str().unwrap();
        let shown: Value =
            serde_json::from_str(&place.succeeds(&["show", slug, "--json"])).unwrap();
        assert_eq!(shown["title"], method["title"]);
        assert!(place.succeeds(&["show", slug]).contains(method["paper"].as_str().unwrap()));
        let bibtex = place.succeeds(&["cite", slug]);
        assert!(bibtex.starts_with('@') && bibtex.ends_with("}\n"), "{bibtex}");
        for recipe in method["recipes"].as_array().unwrap() {
            assert!(place.succeeds(&["show", recipe.as_str().unwrap()]).contains("kind = "));
        }
    }
}

#[test]
fn a_method_and_a_recipe_are_shown() {
    let place = Place::new();
    insta::assert_snapshot!("show_sam", place.succeeds(&["show", "sam"]));
    let recipe: Value =
        serde_json::from_str(&place.succeeds(&["show", "minimizers", "--json"])).unwrap();
    assert_eq!(recipe["text"], place.succeeds(&["show", "minimizers"]));
}

#[test]
fn methods_recipes_files_and_runs_are_cited() {
    let place = Place::new();
    insta::assert_snapshot!("cite_sam", place.succeeds(&["cite", "sam"]));
    let both = place.succeeds(&["cite", "two.toml"]);
    assert!(both.contains("polyak1964momentum") && both.contains("foret2021sam"), "{both}");
    place.succeeds(&["run", "two.toml", "--out", "run"]);
    assert_eq!(place.succeeds(&["cite", "run"]), both);
    assert_eq!(place.succeeds(&["cite", "sharpness-digits"]), both);
}

#[test]
fn the_doctor_knows_build_and_machine() {
    let place = Place::new();
    let here: Value = serde_json::from_str(&place.succeeds(&["doctor", "--json"])).unwrap();
    let keys = ["version", "system", "processor", "threads", "devices", "features"];
    assert!(here.as_object().unwrap().keys().eq(keys), "{here}");
    assert!(here["devices"].as_array().unwrap().contains(&"cpu".into()), "{here}");
    let text = place.succeeds(&["doctor"]);
    assert!(keys.iter().all(|key| text.contains(key)), "{text}");
}

#[test]
fn completions_are_scripts() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.succeeds(&["completions", shell]);
        assert!(script.contains("completions") && script.contains("seed"), "{shell}");
    }
    let error = place.fails(2, &["completions", "tcsh"]);
    assert!(error.contains("'tcsh'") && error.contains("bash, elvish, fish"), "{error}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    for args in [&["list"][..], &["completions", "zsh"]] {
        let mut command = place.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}
