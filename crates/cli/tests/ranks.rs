//! Under OpenMPI, three ranks train what one trains, up to the order of sums.
//!
//! Needs `mpirun`: `cargo test -p lisse-cli --features mpi --test ranks`.
#![cfg(feature = "mpi")]

use std::path::Path;
use std::process::Command;

const RECIPE: &str = r#"
kind = "classify"
claims = ["sam.train_loss < 2"]

[data]
name = "digits"

[model]
name = "mlp"
hidden = [16]

[training]
epochs = 2
batch_size = 50

[method.optimizer]
name = "adam"
learning_rate = 0.002

[arms.adam]

[arms.sam.method.sam]
rho = 0.05
"#;

/// Trains into `out` and returns the figures of its summary.
fn train(ranks: usize, recipe: &Path, out: &Path) -> serde_json::Map<String, serde_json::Value> {
    let lisse = env!("CARGO_BIN_EXE_lisse");
    let mut command = if ranks == 1 {
        Command::new(lisse)
    } else {
        let mut mpirun = Command::new("mpirun");
        mpirun.args(["--allow-run-as-root", "--oversubscribe", "-n", &ranks.to_string(), lisse]);
        mpirun
    };
    let output = command
        .arg("run")
        .arg(recipe)
        .arg("--check")
        .arg("--out")
        .arg(out)
        .output()
        .expect("mpirun is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = std::fs::read_to_string(out.join("summary.json")).expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(&summary).expect("JSON");
    summary["figures"].as_object().expect("figures").clone()
}

#[test]
fn three_ranks_train_what_one_trains() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let recipe = folder.path().join("ranks.toml");
    std::fs::write(&recipe, RECIPE).expect("written");
    let alone = train(1, &recipe, &folder.path().join("one"));
    let together = train(3, &recipe, &folder.path().join("three"));
    assert_eq!(alone.keys().collect::<Vec<_>>(), together.keys().collect::<Vec<_>>());
    for (name, value) in &alone {
        let (one, three) = (value.as_f64().unwrap(), together[name].as_f64().unwrap());
        // Sums of f32 in another order, over 54 steps; an accuracy may differ by one example.
        let tolerance = if name.ends_with("accuracy") { 2.0 / 450.0 } else { 1e-4 * one.abs() };
        assert!((one - three).abs() <= tolerance, "{name}: alone {one}, on three ranks {three}");
    }
}
