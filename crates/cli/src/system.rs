//! `doctor`, `completions`: the build and the machine.

use std::fmt::Write;

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use lisse::run::Environment;

use crate::args::Args;
use crate::output::{Failure, print, print_json};

/// What this build and this machine can do.
pub fn doctor(json: bool) -> Result<(), Failure> {
    let here = Environment::here();
    if json {
        return print_json(&here);
    }
    let value = serde_json::to_value(&here).map_err(|e| Failure::failed(e.to_string()))?;
    let mut text = String::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        let shown = match value {
            serde_json::Value::String(s) => s.clone(),
            serde_json::Value::Array(list) => {
                let items: Vec<String> = list
                    .iter()
                    .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_string))
                    .collect();
                if items.is_empty() { "none".into() } else { items.join(", ") }
            }
            other => other.to_string(),
        };
        let _ = writeln!(text, "{key:<10} {shown}");
    }
    print(&text)
}

/// A completion script on standard output.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(shell, &mut Args::command(), "lisse", &mut script);
    print(&String::from_utf8_lossy(&script))
}
