//! Problems from files, plans to files.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use lisse_array::Array;
use lisse_data::{CsvOptions, DataError, Missing, Table};

use super::{Metric, Problem, SparsePlan, TransportError};

/// How far from 1 the sum of masses in a file may lie before a warning says that it was divided away.
const NORMAL: f64 = 1e-6;

/// Why a problem could not be read or a plan written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A file that cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What the files hold is no problem.
    #[error("{files}: {source}")]
    Problem {
        /// The files.
        files: String,
        /// What is wrong.
        source: TransportError,
    },
    /// A shape that does not fit.
    #[error("{file}: {reason}")]
    Shape {
        /// The file.
        file: String,
        /// What was wrong and what would be right.
        reason: String,
    },
    /// A plan that cannot be written.
    #[error("{}: could not write: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Where a problem's parts are; `.csv` (with or without a header), `.csv.gz` or `.npy`.
#[derive(Clone, Debug)]
pub enum ProblemFiles {
    /// A cost matrix; `inf` forbids a pair.
    Costs(PathBuf),
    /// Two clouds of points, one a row.
    Points {
        /// Sources.
        x: PathBuf,
        /// Targets.
        y: PathBuf,
        /// What a pair costs.
        metric: Metric,
    },
}

/// Files with the masses; without one all masses are equal.
#[derive(Clone, Debug, Default)]
pub struct Marginals {
    /// Of the sources.
    pub a: Option<PathBuf>,
    /// Of the targets.
    pub b: Option<PathBuf>,
}

/// Reads a problem. Masses are divided by their sum; the second result says so where that changed them.
///
/// # Errors
/// Unreadable files, shapes that do not go together, and all that [`Problem::new`] refuses; each names the file.
pub fn read_problem(
    files: &ProblemFiles,
    marginals: &Marginals,
) -> Result<(Problem, Vec<String>), FileError> {
    let mut warnings = Vec::new();
    let mut masses = |path: Option<&PathBuf>, count: usize, what: &str| match path {
        None => Ok(vec![1.0 / count as f64; count]),
        Some(path) => read_masses(path, count, what, &mut warnings),
    };
    let (problem, names) = match files {
        ProblemFiles::Costs(path) => {
            let costs = read_matrix(path)?;
            let a = masses(marginals.a.as_ref(), costs.dim(0), "rows of the costs")?;
            let b = masses(marginals.b.as_ref(), costs.dim(1), "columns of the costs")?;
            (Problem::new(&a, &b, &costs.to_f64_vec()), path.display().to_string())
        }
        ProblemFiles::Points { x, y, metric } => {
            let (px, py) = (read_matrix(x)?, read_matrix(y)?);
            if px.dim(1) != py.dim(1) {
                return Err(FileError::Shape {
                    file: y.display().to_string(),
                    reason: format!(
                        "points have {} coordinates, those of {} have {}; both must have as many",
                        py.dim(1),
                        x.display(),
                        px.dim(1)
                    ),
                });
            }
            let a = masses(marginals.a.as_ref(), px.dim(0), "source points")?;
            let b = masses(marginals.b.as_ref(), py.dim(0), "target points")?;
            let problem = Problem::from_points(
                (&a, &px.to_f64_vec()),
                (&b, &py.to_f64_vec()),
                px.dim(1),
                *metric,
            );
            (problem, format!("{} and {}", x.display(), y.display()))
        }
    };
    let problem = problem.map_err(|source| FileError::Problem { files: names, source })?;
    Ok((problem, warnings))
}

/// A matrix of numbers.
fn read_matrix(path: &Path) -> Result<Array, FileError> {
    let array = if has_extension(path, "npy") {
        lisse_data::read_npy(path)?
    } else {
        let options = CsvOptions {
            header: has_header(path),
            missing: Missing::Keep,
            ..CsvOptions::default()
        };
        let table = Table::from_csv_with(path, &options)?;
        let names: Vec<&str> = table.names().iter().map(String::as_str).collect();
        table.to_array(&names)?
    };
    if array.rank() != 2 {
        return Err(FileError::Shape {
            file: path.display().to_string(),
            reason: format!("shape {:?}; a matrix is needed", array.shape()),
        });
    }
    Ok(array)
}

fn read_masses(
    path: &Path,
    count: usize,
    what: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<f64>, FileError> {
    let values = if has_extension(path, "npy") {
        lisse_data::read_npy(path)?.to_f64_vec()
    } else {
        read_matrix(path)?.to_f64_vec()
    };
    let file = path.display().to_string();
    if values.len() != count {
        let reason = format!("{} masses for {count} {what}", values.len());
        return Err(FileError::Shape { file, reason });
    }
    if let Some(at) = values.iter().position(|v| !(*v >= 0.0 && v.is_finite())) {
        let reason =
            format!("mass {} is {}; masses must be 0 or more, and finite", at + 1, values[at]);
        return Err(FileError::Shape { file, reason });
    }
    let sum: f64 = values.iter().sum();
    if sum == 0.0 {
        return Err(FileError::Shape {
            file,
            reason: "all masses are 0; at least one must be positive".into(),
        });
    }
    if (sum - 1.0).abs() > NORMAL {
        warnings.push(format!("{file}: the masses sum to {sum}; they were divided by that"));
    }
    Ok(values.into_iter().map(|v| v / sum).collect())
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

/// Whether the first line names columns: not all its cells are numbers. A file that is no text (packed) is taken to have one.
fn has_header(path: &Path) -> bool {
    let Ok(file) = std::fs::File::open(path) else { return true };
    let mut line = String::new();
    if io::BufReader::new(file).read_line(&mut line).is_err() {
        return true;
    }
    !line.trim().split(',').all(|cell| cell.trim().parse::<f64>().is_ok())
}

/// How a plan is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanFormat {
    /// `source,target,mass` with a header, numbered from 0
    Csv,
    /// The same three columns
    Parquet,
}

/// Writes the entries of a plan to a file, or without one to standard output (CSV alone).
///
/// # Errors
/// A full disk and the like; Parquet without the cargo feature `parquet`, or to standard output.
pub fn write_plan(
    plan: &SparsePlan,
    format: PlanFormat,
    path: Option<&Path>,
) -> Result<(), FileError> {
    let failed = |path: Option<&Path>, reason: String| FileError::Write {
        path: path.map_or_else(|| PathBuf::from("standard output"), Path::to_path_buf),
        reason,
    };
    match (format, path) {
        (PlanFormat::Csv, None) => {
            csv(plan, io::stdout().lock()).map_err(|error| failed(path, error.to_string()))
        }
        (PlanFormat::Csv, Some(file)) => {
            let written =
                std::fs::File::create(file).and_then(|f| csv(plan, io::BufWriter::new(f)));
            written.map_err(|error| failed(path, error.to_string()))
        }
        (PlanFormat::Parquet, Some(file)) => {
            parquet(plan, file).map_err(|reason| failed(path, reason))
        }
        (PlanFormat::Parquet, None) => {
            Err(failed(None, "Parquet needs a file; name one, or write CSV".into()))
        }
    }
}

fn csv(plan: &SparsePlan, mut out: impl Write) -> io::Result<()> {
    writeln!(out, "source,target,mass")?;
    for (i, j, mass) in plan.entries() {
        writeln!(out, "{i},{j},{mass}")?;
    }
    out.flush()
}

// The one place that knows of the optional dependency.
#[cfg(not(feature = "parquet"))]
fn parquet(_: &SparsePlan, _: &Path) -> Result<(), String> {
    Err("this build has no Parquet; build with `--features parquet`, or write CSV".into())
}

#[cfg(feature = "parquet")]
fn parquet(plan: &SparsePlan, path: &Path) -> Result<(), String> {
    use ::parquet::basic::{Repetition, Type as Physical};
    use ::parquet::data_type::{DoubleType, Int64Type};
    use ::parquet::errors::ParquetError;
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::types::Type;
    use std::sync::Arc;

    let write = || -> Result<(), ParquetError> {
        let column = |name: &str, physical| {
            let built =
                Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
            built.build().map(Arc::new)
        };
        let fields = vec![
            column("source", Physical::INT64)?,
            column("target", Physical::INT64)?,
            column("mass", Physical::DOUBLE)?,
        ];
        let schema = Arc::new(Type::group_type_builder("plan").with_fields(fields).build()?);
        let file = std::fs::File::create(path).map_err(|e| ParquetError::External(Box::new(e)))?;
        let mut writer =
            SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::builder().build()))?;
        let mut group = writer.next_row_group()?;
        let missing = || ParquetError::General("a column is missing".into());
        let places: [Vec<i64>; 2] = [
            plan.entries().map(|e| e.0 as i64).collect(),
            plan.entries().map(|e| e.1 as i64).collect(),
        ];
        for values in &places {
            let mut column = group.next_column()?.ok_or_else(missing)?;
            column.typed::<Int64Type>().write_batch(values, None, None)?;
            column.close()?;
        }
        let mut column = group.next_column()?.ok_or_else(missing)?;
        column.typed::<DoubleType>().write_batch(plan.values(), None, None)?;
        column.close()?;
        group.close()?;
        writer.close()?;
        Ok(())
    };
    write().map_err(|error| error.to_string())
}

/// The plan as an SVG picture: sources down, targets across, a square for every entry, darker for more mass.
pub fn plan_picture(plan: &SparsePlan, title: &str) -> String {
    /// Pixels of the longer side.
    const SIDE: f64 = 640.0;
    const MARGIN: f64 = 40.0;
    let (m, n) = (plan.sources(), plan.targets());
    let cell = SIDE / m.max(n) as f64;
    let (width, height) = (cell * n as f64, cell * m as f64);
    let most = plan.values().iter().copied().fold(0.0, f64::max);
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let mut svg = String::new();
    let (w, h) = (width + 2.0 * MARGIN, height + 2.0 * MARGIN);
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w:.2} {h:.2}\" font-family=\"sans-serif\" font-size=\"13\">\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text x=\"{MARGIN}\" y=\"24\">{title}</text>\
         <rect x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"none\" stroke=\"#999\"/>\
         <text x=\"{:.2}\" y=\"{:.2}\" text-anchor=\"middle\">targets (0 to {})</text>\
         <text transform=\"translate({:.2} {:.2}) rotate(-90)\" text-anchor=\"middle\">sources (0 to {})</text><g fill=\"#123a7a\">",
        MARGIN + width / 2.0,
        MARGIN + height + 20.0,
        n - 1,
        MARGIN - 12.0,
        MARGIN + height / 2.0,
        m - 1,
    );
    for (i, j, mass) in plan.entries().filter(|e| e.2 > 0.0) {
        let _ = write!(
            svg,
            "<rect x=\"{:.2}\" y=\"{:.2}\" width=\"{cell:.3}\" height=\"{cell:.3}\" opacity=\"{:.3}\"/>",
            MARGIN + cell * j as f64,
            MARGIN + cell * i as f64,
            // The eye must find the smallest entries too.
            0.15 + 0.85 * (mass / most).sqrt(),
        );
    }
    svg.push_str("</g></svg>\n");
    svg
}
