//! A folder to run the command in, and what tests look at afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Two short trainings on a small table: a tenth of a second.
pub const TWO_ARMS: &str = r#"kind = "classify"
title = "SGD against SAM on irises"
methods = ["sgd", "sam"]
claims = ["sam.test_accuracy > 0.5", "sgd.train_loss < sam.train_loss"]

[data]
name = "iris"

[model]
name = "mlp"
hidden = [4]

[method.optimizer]
name = "sgd"
learning_rate = 0.1

[training]
epochs = 3
batch_size = 16

[arms.sgd]

[arms.sam.method.sam]
rho = 0.05
"#;

/// One arm of it.
pub const ONE_ARM: &str = r#"kind = "classify"
methods = ["sgd"]

[data]
name = "iris"

[model]
name = "mlp"
hidden = [4]

[method.optimizer]
name = "sgd"
learning_rate = 0.1

[training]
epochs = 3
batch_size = 16
"#;

/// Long enough to be interrupted: hundreds of steps, many checkpoints, something to conclude from both arms.
pub const LONG: &str = r#"kind = "classify"
claims = ["sam.test_accuracy > 0.5"]

[run]
checkpoint_steps = 40

[data]
name = "digits"

[model]
name = "mlp"
hidden = [32]

[method.optimizer]
name = "sgd"
learning_rate = 0.1
momentum = 0.9

[training]
epochs = 12
batch_size = 64

[sharpness]
products = 3
radius = 0.5
line_points = 5
plane_points = 3

[arms.sgd]

[arms.sam.method.sam]
rho = 0.05
"#;

/// A fresh folder.
pub struct Place(TempDir);

/// What a command came to.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Place {
    /// With the recipes above in it.
    pub fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("two.toml", TWO_ARMS);
        place.write("one.toml", ONE_ARM);
        place.write("long.toml", LONG);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// `lisse` in this folder, deaf to the environment of the test.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lisse"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        for variable in ["NO_COLOR", "CLICOLOR_FORCE", "COLUMNS", "RAYON_NUM_THREADS"] {
            command.env_remove(variable);
        }
        command
    }

    pub fn lisse(&self, args: &[&str]) -> Said {
        said(&mut self.command(args))
    }

    /// Runs a command that should succeed; returns its standard output.
    pub fn succeeds(&self, args: &[&str]) -> String {
        let said = self.lisse(args);
        assert_eq!(said.code, Some(0), "{args:?}: {}", said.err);
        said.out
    }

    /// Runs a command that should fail without data on standard output; returns its standard error.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let said = self.lisse(args);
        assert_eq!(said.code, Some(code), "{args:?}: {}", said.err);
        assert_eq!(said.out, "", "{args:?}");
        said.err
    }

    /// All of a run that must not depend on when and how it was computed: figures to the last bit (JSON keeps them), claims, ends,
    /// rows of metrics, pictures. No times, no machine.
    pub fn essence(&self, run: &str) -> String {
        let summary = self.json(&format!("{run}/summary.json"));
        let arms: Vec<_> =
            summary["arms"].as_array().unwrap().iter().map(without_seconds).collect();
        let rows: Vec<_> = self.rows(run).iter().map(without_seconds).collect();
        let mut artefacts: Vec<_> = fs::read_dir(self.path(run).join("artefacts"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (file_name(&path), fs::read_to_string(&path).unwrap()))
            .collect();
        artefacts.sort();
        let kept = json!({
            "stop": summary["stop"], "finished": summary["finished"], "steps": summary["steps"],
            "figures": summary["figures"], "claims": summary["claims"], "notes": summary["notes"],
            "arms": arms, "rows": rows, "artefacts": artefacts,
        });
        serde_json::to_string_pretty(&kept).unwrap()
    }

    /// The rows of `metrics.jsonl`; a last line that a kill has torn is left out, all others must be whole.
    pub fn rows(&self, run: &str) -> Vec<Value> {
        let text = self.read(&format!("{run}/metrics.jsonl"));
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn without_seconds(value: &Value) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove("seconds");
    value
}

/// Replaces what differs from run to run and from machine to machine: lines that are times, the version, and the lines that follow
/// the name of something measured.
pub fn normal(text: &str) -> String {
    let text = text.replace(env!("CARGO_PKG_VERSION"), "[version]");
    let mut lines = Vec::new();
    let mut masked = 0;
    for line in text.lines() {
        lines.push(if masked > 0 || is_time(line) { "[varies]" } else { line });
        masked = match line {
            "Wall time" | "Processor time" | "Peak memory" | "system" | "processor" | "threads"
            | "devices" | "features" => 1,
            // A difference of nearly equal numbers, one for each arm.
            "eigenvalue_residual" => 2,
            _ => usize::saturating_sub(masked, 1),
        };
    }
    lines.join("\n")
}

/// `88 ms`, `0.3 s`.
fn is_time(line: &str) -> bool {
    line.split_once(' ')
        .is_some_and(|(number, unit)| number.parse::<f64>().is_ok() && ["ms", "s"].contains(&unit))
}
