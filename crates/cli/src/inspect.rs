//! `compare`, `report`, `export`: what finished runs hold.

use std::path::{Path, PathBuf};

use lisse::run::compare::Comparison;
use lisse::run::{RunFolder, export as formats};

use crate::args::Format;
use crate::output::{Failure, print, print_json, tell};

/// Runs side by side.
pub fn compare(runs: &[PathBuf], html: Option<&Path>, json: bool) -> Result<(), Failure> {
    let folders = runs.iter().map(RunFolder::open).collect::<Result<Vec<_>, _>>()?;
    let comparison = Comparison::of(&folders)?;
    if let Some(path) = html {
        comparison.write_html(path)?;
        tell(&format!("page  {}", path.display()));
    }
    if json { print_json(&comparison) } else { print(&comparison.text()) }
}

/// The report again.
pub fn report(run: &Path) -> Result<(), Failure> {
    let path = RunFolder::open(run)?.write_report()?;
    print(&format!("{}\n", path.display()))
}

/// Metrics in another format.
pub fn export(run: &Path, format: Format, out: Option<&Path>) -> Result<(), Failure> {
    let folder = RunFolder::open(run)?;
    let target = |name: &str| out.map_or_else(|| run.join(name), Path::to_path_buf);
    let path = if format.csv {
        let path = target("metrics.csv");
        formats::csv(&folder, &path)?;
        path
    } else if format.tensorboard {
        let path = target("tensorboard");
        formats::tensorboard(&folder, &path)?;
        path
    } else {
        let path = target("metrics.parquet");
        parquet(&folder, &path)?;
        path
    };
    print(&format!("{}\n", path.display()))
}

#[cfg(feature = "parquet")]
fn parquet(folder: &RunFolder, path: &Path) -> Result<(), Failure> {
    Ok(formats::parquet(folder, path)?)
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: &RunFolder, _: &Path) -> Result<(), Failure> {
    Err(Failure::usage(
        "this build cannot write Parquet; build with `--features parquet`, or use --csv",
    ))
}
