//! A run's metrics for other programs.

mod crc32c;
#[cfg(feature = "parquet")]
mod parquet;
mod tensorboard;

use std::path::Path;

use crate::{Error, Row, RunFolder};

#[cfg(feature = "parquet")]
pub use parquet::parquet;
pub use tensorboard::tensorboard;

/// Writes the metrics as one CSV table: `arm`, `step`, `seconds`, then a column for each metric, empty where a step has none.
pub fn csv(run: &RunFolder, path: &Path) -> Result<(), Error> {
    let rows = run.rows()?;
    let names = metric_names(&rows);
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::disk(path, "write", source),
        other => Error::message(format!("{}: {other:?}", path.display())),
    };
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(["arm", "step", "seconds"].into_iter().chain(names.iter().copied())).map_err(failed)?;
    for row in &rows {
        let first = [row.arm.clone(), row.step.to_string(), row.seconds.to_string()];
        let value = |name: &&str| row.metrics.get(*name).map(|value| value.0.to_string()).unwrap_or_default();
        writer.write_record(first.into_iter().chain(names.iter().map(value))).map_err(failed)?;
    }
    writer.flush().map_err(|source| Error::disk(path, "write", source))
}

/// Names of all metrics, in order of appearance.
fn metric_names(rows: &[Row]) -> Vec<&str> {
    let mut names = indexmap::IndexSet::new();
    names.extend(rows.iter().flat_map(|row| row.metrics.keys().map(String::as_str)));
    names.into_iter().collect()
}

#[cfg(test)]
mod tests;
