//! Every message names the input, says what was wrong with it and what would be right.

use std::fs;

use crate::support::{ONE_ARM, Place};

/// The recipe with one slip in it.
fn slip(place: &Place, right: &str, wrong: &str) {
    assert!(ONE_ARM.contains(right), "{right}");
    place.write("slip.toml", &ONE_ARM.replace(right, wrong));
}

/// What `lisse run` says of the recipe with one slip, which it refuses before it makes a folder.
fn refused(right: &str, wrong: &str) -> String {
    let place = Place::new();
    slip(&place, right, wrong);
    let error = place.fails(2, &["run", "slip.toml", "--out", "run"]);
    assert!(!place.path("run").exists());
    error
}

/// What `lisse run` says of the good recipe with wrong options.
fn refused_options(code: i32, options: &[&str]) -> String {
    let place = Place::new();
    let error = place.fails(code, &[&["run", "one.toml", "--out", "run"], options].concat());
    assert!(!place.path("run").exists());
    error
}

#[test]
fn methods_and_recipes_that_are_not_there() {
    let place = Place::new();
    let near =
        "error: no method or recipe is called `samm`; did you mean `sam`? `lisse list` shows all\n";
    assert_eq!(place.fails(2, &["show", "samm"]), near);
    let far = "error: no method or recipe is called `zebra`; `lisse list` shows all\n";
    assert_eq!(place.fails(2, &["show", "zebra"]), far);
    assert_eq!(
        place.fails(2, &["cite", "admaw"]),
        "error: no method, recipe or run folder is called `admaw`; did you mean `adamw`? `lisse list` shows all\n"
    );
    for command in ["run", "audit"] {
        assert_eq!(
            place.fails(2, &[command, "sharpnes-digits"]),
            "error: there is no recipe called `sharpnes-digits`; did you mean `sharpness-digits`?\n"
        );
        assert_eq!(
            place.fails(2, &[command, "sam"]),
            "error: there is no recipe called `sam`; it is a method, whose recipes are sharpness-digits, optimizers-digits\n"
        );
    }
    assert_eq!(
        refused("methods = [\"sgd\"", "methods = [\"sdg\""),
        "error: there is no method called `sdg`; did you mean `sgd`?\n"
    );
    assert_eq!(
        place.fails(1, &["run", "nowhere.toml"]),
        "error: nowhere.toml: could not read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn keys_that_are_not_there() {
    assert_eq!(
        refused("epochs", "epoch"),
        "error: slip.toml:16: training.epoch: there is no such key; did you mean `epochs`? Valid names: epochs, batch_size, dtype\n"
    );
    assert_eq!(
        refused("[training]", "[trainig]"),
        "error: slip.toml:15: trainig: there is no such key; did you mean `training`?\n"
    );
    assert_eq!(
        refused("learning_rate = 0.1", "learning_rate = 0.1\nmomentun = 0.9"),
        "error: slip.toml:14: method.optimizer.momentun: there is no such key; did you mean `momentum`? Valid names: learning_rate, momentum, nesterov, weight_decay\n"
    );
    assert_eq!(
        refused("batch_size = 16\n", ""),
        "error: slip.toml:15: training.batch_size: this key is missing and has no default\n"
    );
    assert_eq!(
        refused("classify", "clasify"),
        "error: slip.toml:1: kind: there is no recipe kind called `clasify`; did you mean `classify`?\n"
    );
}

#[test]
fn settings_of_keys_that_are_not_there() {
    let set = |setting: &str| refused_options(2, &["--set", setting]);
    assert_eq!(
        set("training.epoch=1"),
        "error: --set training.epoch=1: training.epoch: there is no such key; did you mean `epochs`? Valid names: epochs, batch_size, dtype\n"
    );
    assert_eq!(
        set("method.rho=0.1"),
        "error: --set method.rho=0.1: method.rho: there is no such key; valid names: optimizer, schedule, sam, smooth, gradient_penalty, curvature_penalty, average, clip, coordinate_clip, adaptive_batch, groups\n"
    );
    assert_eq!(set("rho"), "error: --set rho: expected KEY=VALUE, such as `method.rho=0.1`\n");
    assert_eq!(
        set("model.hidden.3=8"),
        "error: --set model.hidden.3=8: model.hidden.3: `model.hidden` is neither a table nor a list with that item\n"
    );
    let place = Place::new();
    assert_eq!(
        place.fails(2, &["run", "two.toml", "--set", "arms.sma.method.sam.rho=1"]),
        "error: --set arms.sma.method.sam.rho=1: arms.sma.method.sam.rho: there is no arm `sma`; did you mean `sam`? Valid names: sgd, sam\n"
    );
}

#[test]
fn values_of_the_wrong_type() {
    assert_eq!(
        refused("0.1", "\"fast\""),
        "error: slip.toml:13: method.optimizer.learning_rate: expected a number, found the string \"fast\"\n"
    );
    assert_eq!(
        refused("epochs = 3", "epochs = 2.5"),
        "error: slip.toml:16: training.epochs: expected a whole number, 0 or more, found the number 2.5\n"
    );
    assert_eq!(
        refused("hidden = [4]", "hidden = 4"),
        "error: slip.toml:9: model.hidden: expected a list, found the number 4\n"
    );
    assert_eq!(
        refused("hidden = [4]", "hidden = [\n  4,\n  \"many\",\n]"),
        "error: slip.toml:11: model.hidden.1: expected a whole number, 0 or more, found the string \"many\"\n"
    );
    assert_eq!(
        refused("[data]", "[data"),
        "error: slip.toml:4: this is not TOML: unclosed table, expected `]`\n"
    );
}

#[test]
fn values_out_of_range() {
    assert_eq!(
        refused("0.1", "-0.1"),
        "error: slip.toml:13: method.optimizer.learning_rate: expected a number above 0, found the number -0.1\n"
    );
    assert_eq!(
        refused("0.1", "nan"),
        "error: slip.toml:13: method.optimizer.learning_rate: expected a number above 0, found the number NaN\n"
    );
    assert_eq!(
        refused("batch_size = 16", "batch_size = 0"),
        "error: slip.toml:17: training.batch_size: expected at least 1, found the number 0\n"
    );
    assert_eq!(
        refused("name = \"iris\"", "name = \"irsi\""),
        "error: slip.toml:5: data.name: expected a bundled data set (digits, breast_cancer, diabetes, wine, iris), found the string \"irsi\"\n"
    );
    assert_eq!(
        refused("name = \"mlp\"", "name = \"mpl\""),
        "error: slip.toml:8: model.name: \"mpl\" is not a valid choice; did you mean `mlp`? Valid names: conv, mlp\n"
    );
}

#[test]
fn settings_out_of_range_are_found_in_their_arm() {
    let place = Place::new();
    let race = |problems: &str| {
        let set = format!("problems={problems}");
        place.fails(2, &["run", "minimizers", "--set", &set, "--set", "claims=[]"])
    };
    let error = race("[\"beale\", \"rosenbrok\"]");
    let end = "in arm `gradient_descent`: problems.1: expected one of rosenbrock, rosenbrock_n, himmelblau, beale, \
               powell_singular, quadratic_mild, quadratic_stiff, logistic_breast_cancer, found the string \"rosenbrok\"\n";
    assert!(error.ends_with(end), "{error}");
    let error = race("[\"beale\", \"beale\"]");
    assert!(
        error.ends_with("problems.1: expected each problem once, found the string \"beale\"\n"),
        "{error}"
    );
    let error = race("[]");
    assert!(
        error.ends_with("problems: expected at least one test function, found a list\n"),
        "{error}"
    );
}

#[test]
fn devices_that_are_not_there() {
    assert_eq!(
        refused_options(2, &["--device", "gpu"]),
        "error: no device `gpu`: expected `cpu`, `cuda:N` or `wgpu:N`\n"
    );
    assert_eq!(
        refused("methods = [\"sgd\"]", "device = \"gpu\""),
        "error: slip.toml:2: device: no device `gpu`: expected `cpu`, `cuda:N` or `wgpu:N`\n"
    );
    #[cfg(not(feature = "cuda"))]
    assert_eq!(
        refused_options(2, &["--device", "cuda:0"]),
        "error: no device `cuda:0`: this build has no cuda support; build with `--features cuda`\n"
    );
}

#[test]
fn dtypes_that_are_not_there() {
    let names = "f64, f32, f16, bf16, i64, i32, u8, bool";
    assert_eq!(
        refused("batch_size = 16", "batch_size = 16\ndtype = \"f33\""),
        format!(
            "error: slip.toml:18: training.dtype: \"f33\" is not a valid choice; did you mean `f32`? Valid names: {names}\n"
        )
    );
    assert_eq!(
        refused("batch_size = 16", "batch_size = 16\ndtype = \"i64\""),
        "error: slip.toml:18: training.dtype: expected f32 or f64, found the string \"i64\"\n"
    );
}

#[test]
fn seeds_that_are_no_seeds() {
    for seed in ["-1", "1.5", "18446744073709551615"] {
        let error = refused_options(2, &[&format!("--seed={seed}")]);
        let start = format!(
            "error: invalid value '{seed}' for '--seed <N>': expected a whole number from 0 to 9223372036854775807\n"
        );
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn claims_that_cannot_be_checked() {
    let claims = |claims: &str| refused("methods = [\"sgd\"]", &format!("claims = [\"{claims}\"]"));
    assert_eq!(
        claims("test_acuracy > 0.5"),
        "error: claim `test_acuracy > 0.5`: this run has no figure `test_acuracy`; did you mean `test_accuracy`? Valid names: test_accuracy, train_accuracy, train_loss, steps\n"
    );
    let error = claims("test_accuracy >");
    let start =
        "error: slip.toml:2: claims: claim `test_accuracy >`: expected a number or a figure";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn data_of_which_nothing_is_left() {
    for fraction in ["0.001", "0.9999"] {
        let error = refused_options(1, &["--set", &format!("data.test_fraction={fraction}")]);
        let problem = format!(
            "a test fraction of {fraction} of 150 examples leaves one part empty; expected a fraction between 0 and 1 with an example in each part\n"
        );
        assert!(
            error.starts_with("error: data.test_fraction: ") && error.ends_with(&problem),
            "{error}"
        );
    }
}

#[test]
fn data_that_does_not_fit_the_model() {
    assert_eq!(
        refused_options(1, &["--set", "data.name=diabetes"]),
        "error: data set `diabetes` has no classes; a classification needs some\n"
    );
    assert_eq!(
        refused_options(1, &["--set", "model={name=\"conv\", channels=[2, 2], hidden=4}"]),
        "error: model `conv` needs images; `iris` holds rows of [4]: use model `mlp`\n"
    );
}

#[test]
fn numbers_that_leave_the_reals_stop_the_training() {
    let place = Place::new();
    let said = place.lisse(&[
        "run",
        "one.toml",
        "--out",
        "run",
        "--set",
        "method.optimizer.learning_rate=1e30",
    ]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.out, "");
    let problem = "not finite: at step 2 train.loss is not a finite number, and neither is `network.layers.0.weight`";
    let advice = "A NaN or an infinity reached `network.layers.0.weight`: try a smaller learning rate, gradient clipping or f64, and check the data for extreme values.";
    assert!(said.err.contains(problem) && said.err.contains(advice), "{}", said.err);
    let stop = place.json("run/summary.json")["stop"].clone();
    assert_eq!(stop["kind"], "not_finite");
    assert_eq!(stop["step"], 2);
    assert_eq!(stop["leaf"], "network.layers.0.weight");
    assert!(place.read("run/report.html").contains("Not finite: at step 2"));
    assert_eq!(place.rows("run").len(), 2, "the row that shows it is kept");
}

#[test]
fn one_arm_that_fails_leaves_the_other() {
    let place = Place::new();
    let said = place.lisse(&[
        "run",
        "two.toml",
        "--out",
        "run",
        "--check",
        "--set",
        "arms.sgd.method.optimizer.learning_rate=1e30",
    ]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("sgd (1/2): not finite: at step 2 train.loss"), "{}", said.err);
    assert!(said.err.contains("sam (2/2): completed"), "{}", said.err);
    assert!(said.out.contains("sam.test_accuracy") && !said.out.contains("sgd.test_accuracy"));
}

#[test]
fn folders_that_are_taken() {
    let place = Place::new();
    place.succeeds(&["run", "one.toml", "--out", "run"]);
    let before = place.essence("run");
    assert_eq!(
        place.fails(2, &["run", "one.toml", "--out", "run"]),
        "error: run: this folder exists and is not empty; give a new folder with --out, or continue the run in it with `lisse resume run`\n"
    );
    assert_eq!(place.essence("run"), before);
    fs::create_dir(place.path("empty")).unwrap();
    place.succeeds(&["run", "one.toml", "--out", "empty"]);
    assert_eq!(
        place.fails(1, &["run", "one.toml", "--out", "two.toml"]),
        "error: two.toml: could not make this folder: File exists (os error 17)\n"
    );
}

#[test]
fn runs_that_are_over_or_not_there() {
    let place = Place::new();
    place.succeeds(&["run", "one.toml", "--out", "run"]);
    assert_eq!(
        place.fails(1, &["resume", "run"]),
        "error: run: this run is finished (completed), there is nothing to resume; start a new one with `lisse run run/recipe.toml`\n"
    );
    for command in [&["resume"][..], &["report"], &["export", "--csv"], &["compare", "run"]] {
        assert_eq!(
            place.fails(1, &[command, &["nowhere"]].concat()),
            "error: nowhere: could not open this run folder: it does not exist\n"
        );
        assert_eq!(
            place.fails(1, &[command, &["one.toml"]].concat()),
            "error: one.toml: could not open this run folder: it is not a folder\n"
        );
        assert_eq!(
            place.fails(1, &[command, &["."]].concat()),
            "error: .: this is not a run folder: it has no recipe.toml\n"
        );
    }
    let error = place.fails(2, &["compare", "run"]);
    assert!(error.starts_with("error: 2 values required"), "{error}");
}

#[test]
fn runs_that_were_damaged() {
    let place = Place::new();
    place.succeeds(&["run", "one.toml", "--out", "run"]);
    let metrics = place.read("run/metrics.jsonl");
    place.write("run/metrics.jsonl", &metrics.replacen("{\"step\":2", "{\"stop\":2", 1));
    let error = place.fails(1, &["export", "run", "--csv"]);
    assert!(
        error.starts_with("error: run/metrics.jsonl: line 2 is not a row of metrics: "),
        "{error}"
    );
    place.write("run/metrics.jsonl", &metrics);
    let summary = place.read("run/summary.json");
    place.write("run/summary.json", &summary[..summary.len() / 2]);
    let error = place.fails(1, &["report", "run"]);
    assert!(
        error.starts_with("error: run/summary.json: this is not the summary of a run: "),
        "{error}"
    );
    place.write("run/summary.json", &summary);
    place.succeeds(&["export", "run", "--csv"]);
    place.succeeds(&["report", "run"]);
}
