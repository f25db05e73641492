//! `run`, `resume`, `audit`: what computes.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lisse::run::recipe::Overrides;
use lisse::run::{Error, Finished, Registry, Request, Session, Source, Stop, Summary};
use serde_json::json;

use crate::args::RecipeArgs;
use crate::output::{Failure, print, print_json, tell};

fn request(registry: &Registry, args: RecipeArgs) -> Result<Request, Failure> {
    let source = Source::find(registry, &args.recipe)?;
    let device = args.device.map(|name| name.parse()).transpose();
    let device = device.map_err(|e: lisse::array::UnknownDevice| Failure::usage(e.to_string()))?;
    let overrides = Overrides { quick: args.quick, seed: args.seed, device, set: args.set };
    Ok(Request { overrides, ..Request::new(source) })
}

/// Runs a recipe.
pub fn run(
    registry: &Registry,
    args: RecipeArgs,
    out: Option<PathBuf>,
    check: bool,
    json: bool,
) -> Result<ExitCode, Failure> {
    let request = Request { out, ..request(registry, args)? };
    let session = Session::terminal()?;
    drive(session, check, json, |session| lisse::run::launch(registry, &request, session))
}

/// Goes on with a run.
pub fn resume(
    registry: &Registry,
    folder: &Path,
    check: bool,
    json: bool,
) -> Result<ExitCode, Failure> {
    let session = Session::terminal()?;
    drive(session, check, json, |session| lisse::run::resume(registry, folder, session))
}

fn drive(
    session: Session,
    check: bool,
    json: bool,
    work: impl FnOnce(Session) -> Result<Finished, Error>,
) -> Result<ExitCode, Failure> {
    let ranks = session.ranks.clone();
    let finished = match work(session) {
        Ok(finished) => finished,
        Err(error) if ranks.size() > 1 => {
            let code = Failure::from(error).report();
            // The other ranks wait for this one: end them too.
            ranks.abort(if code == ExitCode::from(2) { 2 } else { 1 })
        }
        Err(error) => return Err(error.into()),
    };
    let summary = &finished.summary;
    if let Some(folder) = &finished.folder {
        if json {
            print_json(summary)?;
        } else {
            print(&figures(summary))?;
        }
        let path = folder.path().display();
        tell(&format!("run     {path}"));
        tell(&format!("report  {}", folder.path().join("report.html").display()));
        if matches!(summary.stop, Stop::Interrupted) {
            tell(&format!("resume  lisse resume {path}"));
        }
    }
    if check {
        for claim in summary.failed_claims() {
            tell(&format!("error: claim {claim}"));
        }
    }
    Ok(exit_code(summary, check))
}

fn exit_code(summary: &Summary, check: bool) -> ExitCode {
    if matches!(summary.stop, Stop::Interrupted) {
        ExitCode::from(130)
    } else if summary.stop.is_failure() {
        ExitCode::FAILURE
    } else if check && summary.failed_claims().next().is_some() {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    }
}

/// Final figures and claims as text.
fn figures(summary: &Summary) -> String {
    let mut text = String::new();
    let width = summary.figures.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in &summary.figures {
        let _ = writeln!(text, "{name:<width$}  {}", value.0);
    }
    for claim in &summary.claims {
        let verdict = if claim.holds { "holds" } else { "FAILS" };
        let _ =
            writeln!(text, "{verdict}  {}  ({} against {})", claim.claim, claim.left, claim.right);
    }
    text
}

/// Checks derivatives against finite differences.
pub fn audit(registry: &Registry, args: RecipeArgs, json: bool) -> Result<ExitCode, Failure> {
    let name = args.recipe.clone();
    let audits = lisse::run::audits(registry, &request(registry, args)?)?;
    if audits.is_empty() {
        return Err(Failure::failed(format!("recipe `{name}` offers no objective to check")));
    }
    let mut rows = Vec::new();
    for audit in &audits {
        for order in [1, 2] {
            rows.push((audit.name().to_string(), order, audit.check(order)));
        }
    }
    let good = rows.iter().all(|(_, _, result)| result.is_ok());
    if json {
        let row = |(name, order, result): &(String, u32, Result<f64, _>)| match result {
            Ok(error) => json!({"objective": name, "order": order, "holds": true, "error": error}),
            Err(mismatch) => {
                let mismatch: &lisse::array::check::Mismatch = mismatch;
                json!({"objective": name, "order": order, "holds": false, "error": mismatch.error, "problem": mismatch.to_string()})
            }
        };
        print_json(&rows.iter().map(row).collect::<Vec<_>>())?;
    } else {
        let mut text = String::new();
        for (name, order, result) in &rows {
            let outcome = match result {
                Ok(error) => format!("agrees (largest relative error {error:.1e})"),
                Err(mismatch) => format!("DIFFERS: {mismatch}"),
            };
            let _ = writeln!(text, "{name}, order {order}: {outcome}");
        }
        print(&text)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
