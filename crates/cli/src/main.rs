//! The command `lisse`.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 success, 1 failure, 2 wrong usage, 3 a claim did not
//! hold under `--check`, 130 interrupted and saved.

mod args;
mod inspect;
mod launch;
mod list;
mod output;
mod system;
mod transport;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use output::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    match dispatch(args.command) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    let registry = lisse::registry();
    match command {
        Command::List { json } => list::list(&registry, json)?,
        Command::Show { name, json } => list::show(&registry, &name, json)?,
        Command::Cite { name } => list::cite(&registry, &name)?,
        Command::Run { recipe, check, out, json } => {
            return launch::run(&registry, recipe, out, check, json);
        }
        Command::Resume { run, check, json } => {
            return launch::resume(&registry, &run, check, json);
        }
        Command::Audit { recipe, json } => return launch::audit(&registry, recipe, json),
        Command::Compare { runs, html, json } => inspect::compare(&runs, html.as_deref(), json)?,
        Command::Report { run } => inspect::report(&run)?,
        Command::Export { run, format, out } => inspect::export(&run, format, out.as_deref())?,
        Command::Transport(args) => return transport::transport(&args),
        Command::Doctor { json } => system::doctor(json)?,
        Command::Completions { shell } => system::completions(shell)?,
    }
    Ok(ExitCode::SUCCESS)
}
