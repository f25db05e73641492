//! Developer commands: `cargo xtask check` runs what CI runs, cheapest first.
#![allow(clippy::print_stderr)] // a developer's tool talks on stderr

use std::env;
use std::process::{Command, ExitCode};
use std::time::Instant;

const USAGE: &str = "\
cargo xtask COMMAND

  check    format, lints, tests, doc tests, docs, quick recipes: what CI runs, cheapest first
  fmt      formatting only
  lint     clippy with warnings denied
  test     cargo test --workspace
  docs     cargo doc with warnings denied
  recipes  every recipe in its quick form, its claims checked
  mpi      ranks: the tests under OpenMPI and the quick recipes on three ranks (needs libopenmpi-dev, libclang-dev)
";

fn main() -> ExitCode {
    let command = env::args().nth(1).unwrap_or_default();
    let done = match command.as_str() {
        "check" => fmt() && lint() && test() && docs() && recipes(),
        "fmt" => fmt(),
        "lint" => lint(),
        "test" => test(),
        "docs" => docs(),
        "recipes" => recipes(),
        "mpi" => mpi(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one command and tells how long it took.
fn run(program: &str, args: &[&str], variables: &[(&str, &str)]) -> bool {
    eprintln!("+ {program} {}", args.join(" "));
    let start = Instant::now();
    let status = Command::new(program).args(args).envs(variables.iter().copied()).status();
    let good = matches!(&status, Ok(s) if s.success());
    let outcome = match status {
        Ok(s) if s.success() => "ok".to_string(),
        Ok(s) => s.to_string(),
        Err(e) => format!("cannot be run: {e}"),
    };
    eprintln!("  {outcome} after {:.0} s", start.elapsed().as_secs_f64());
    good
}

fn fmt() -> bool {
    run("cargo", &["fmt", "--all", "--check"], &[])
}

fn lint() -> bool {
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])
}

/// The README's test command; runs the doc tests too.
fn test() -> bool {
    run("cargo", &["test", "--workspace"], &[])
}

fn docs() -> bool {
    run("cargo", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])
}

fn recipes() -> bool {
    run("cargo", &["build", "--release"], &[])
        && quick_recipes("cargo", &["run", "--release", "--quiet", "--", "run"])
}

/// Under OpenMPI: the tests of ranks, three ranks against one, and every quick recipe on three ranks.
fn mpi() -> bool {
    // This program is TARGET/debug/xtask.
    let here = env::current_exe().expect("the system tells where a program lies");
    let lisse = here.ancestors().nth(2).expect("two folders above").join("release/lisse");
    let lisse = lisse.to_string_lossy();
    let ranks = ["--allow-run-as-root", "--oversubscribe", "-n", "3", &lisse, "run"];
    // The whole workspace, filtered: with fewer packages cargo would choose other features and build every dependency again.
    let tests = ["test", "--workspace", "--features", "mpi", "--lib", "--test", "ranks", "rank"];
    run("cargo", &tests, &[])
        && run("cargo", &["build", "--release", "--features", "mpi"], &[])
        && quick_recipes("mpirun", &ranks)
}

/// Every recipe in its quick form with its claims checked; `command` comes before the recipe's name.
fn quick_recipes(program: &str, command: &[&str]) -> bool {
    let folder = env::temp_dir().join(format!("lisse-recipes-{}", std::process::id()));
    let good = recipe_names().iter().all(|name| {
        let out = folder.join(name);
        let out = out.to_string_lossy();
        run(program, &[command, &[name, "--quick", "--check", "--out", &out]].concat(), &[])
    });
    // Best effort: a temporary folder.
    let _ = std::fs::remove_dir_all(&folder);
    good
}

/// Names of the built-in recipes: those of the files in `recipes/`.
fn recipe_names() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes");
    let files = std::fs::read_dir(folder).expect("the recipes lie beside the crates");
    let stem = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.ok()?.path();
        let stem = path.file_stem()?.to_str()?.to_owned();
        path.extension().is_some_and(|e| e == "toml").then_some(stem)
    };
    let mut names: Vec<String> = files.filter_map(stem).collect();
    names.sort_unstable();
    names
}
