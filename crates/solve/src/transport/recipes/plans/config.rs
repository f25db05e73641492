//! The schema of a comparison of plans, and the problem it makes.

use lisse_data::{BUNDLED, Bundled, CsvOptions, Dataset, Standardizer, Table};
use lisse_run::{Error, Invalid};
use serde::{Deserialize, Serialize};

use crate::transport::{Metric, Problem, Solver, SparseOt};

/// The schema.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// What is moved.
    pub data: DataConfig,
    /// How.
    pub method: MethodConfig,
}

/// Where masses and costs come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DataConfig {
    /// The colours of one photograph to those of another: squared distances of red, green and blue from 0 to 1, masses by their shares of the pixels
    Palettes,
    /// The examples of one class of a bundled data set to those of another: squared distances of standardized features per feature, equal masses
    Classes {
        /// A bundled data set with classes.
        set: String,
        /// Class of the sources.
        from: usize,
        /// Class of the targets.
        to: usize,
    },
}

/// The methods by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MethodConfig {
    /// [`SparseOt`] for each count of entries
    Sparse {
        /// Strength of the squared norm.
        gamma: f64,
        /// Most entries of a column, one solve each; 0 for no bound.
        entries: Vec<usize>,
        /// How the dual is maximized.
        #[serde(default)]
        solver: Solver,
        /// Whether larger counts are solved first.
        #[serde(default)]
        continuation: bool,
        /// Relative certified gap at which the bundle method stops.
        #[serde(default = "gap")]
        gap: f64,
        /// Most iterations of L-BFGS.
        #[serde(default = "iterations")]
        max_iterations: usize,
        /// Most iterations of the bundle method.
        #[serde(default = "cuts")]
        max_cuts: usize,
    },
    /// [`Sinkhorn`](crate::transport::Sinkhorn)
    Sinkhorn {
        /// Strength of the entropy.
        epsilon: f64,
    },
    /// [`solve_exact`](crate::transport::solve_exact)
    Exact,
}

fn gap() -> f64 {
    SparseOt::default().gap
}
fn iterations() -> usize {
    SparseOt::default().max_iterations
}
fn cuts() -> usize {
    SparseOt::default().max_cuts
}

/// One solve of an arm.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Sparse(SparseOt),
    Sinkhorn(f64),
    Exact,
}

impl MethodConfig {
    /// The solves with the names of their figures.
    pub(super) fn tasks(&self) -> Vec<(String, Task)> {
        match self {
            MethodConfig::Sparse {
                gamma,
                entries,
                solver,
                continuation,
                gap,
                max_iterations,
                max_cuts,
            } => entries
                .iter()
                .map(|&k| {
                    let ot = SparseOt {
                        k: (k > 0).then_some(k),
                        gamma: *gamma,
                        solver: *solver,
                        continuation: *continuation,
                        gap: *gap,
                        max_iterations: *max_iterations,
                        max_cuts: *max_cuts,
                        ..SparseOt::default()
                    };
                    (label(k), Task::Sparse(ot))
                })
                .collect(),
            MethodConfig::Sinkhorn { epsilon } => vec![("plan".into(), Task::Sinkhorn(*epsilon))],
            MethodConfig::Exact => vec![("plan".into(), Task::Exact)],
        }
    }
}

fn label(k: usize) -> String {
    if k == 0 { "all".into() } else { format!("k{k}") }
}

impl Config {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        if let DataConfig::Classes { set, from, to } = &self.data {
            if Bundled::find(set).is_err() {
                let names = BUNDLED.map(|set| set.name).join(", ");
                return Err(Invalid::new("data.set", format!("a bundled data set ({names})")));
            }
            if from == to {
                return Err(Invalid::new("data.to", "another class than data.from"));
            }
        }
        match &self.method {
            MethodConfig::Sparse { gamma, entries, gap, .. } => {
                if !(*gamma > 0.0 && gamma.is_finite()) {
                    return Err(Invalid::new("method.gamma", "a finite number above 0"));
                }
                let mut sorted = entries.clone();
                sorted.sort_unstable();
                sorted.dedup();
                if entries.is_empty() || sorted.len() < entries.len() {
                    return Err(Invalid::new(
                        "method.entries",
                        "at least one count, none twice; 0 for no bound",
                    ));
                }
                if !(*gap >= 0.0 && gap.is_finite()) {
                    return Err(Invalid::new("method.gap", "0 or more"));
                }
            }
            MethodConfig::Sinkhorn { epsilon } if !(*epsilon > 0.0 && epsilon.is_finite()) => {
                return Err(Invalid::new("method.epsilon", "a finite number above 0"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Colours with their shares.
#[derive(Clone, Debug)]
pub(super) struct Palettes {
    pub source: Vec<f64>,
    pub target: Vec<f64>,
    shares: (Vec<f64>, Vec<f64>),
    /// The first photograph, made small: rows of numbers of colours.
    pub picture: Vec<Vec<usize>>,
}

impl Palettes {
    pub fn bundled() -> Result<Palettes, Error> {
        let text = include_bytes!("../../../../../../data/palettes.csv");
        let table = Table::from_csv_bytes(text, "palettes.csv", &CsvOptions::default())
            .map_err(Error::other)?;
        let names = table.texts("photograph").map_err(Error::other)?;
        let columns =
            ["red", "green", "blue", "share"].map(|name| table.numbers(name).map_err(Error::other));
        let [red, green, blue, share] = columns;
        let (red, green, blue, share) = (red?, green?, blue?, share?);
        let of = |name: &str| {
            let rows: Vec<usize> =
                (0..names.len()).filter(|&r| names[r].as_deref() == Some(name)).collect();
            let colours: Vec<f64> =
                rows.iter().flat_map(|&r| [red[r], green[r], blue[r]]).collect();
            let total: f64 = rows.iter().map(|&r| share[r]).sum();
            (colours, rows.iter().map(|&r| share[r] / total).collect::<Vec<_>>())
        };
        let ((source, a), (target, b)) = (of("china"), of("flower"));
        let picture = include_str!("../../../../../../data/china.csv");
        let number = |cell: &str| cell.parse::<usize>().ok().filter(|&c| 3 * c < source.len());
        let rows =
            picture.lines().map(|line| line.split(',').map(number).collect::<Option<Vec<_>>>());
        let picture = rows
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::message("china.csv: not a picture of colour numbers"))?;
        Ok(Palettes { source, target, shares: (a, b), picture })
    }

    fn problem(&self) -> Result<Problem, Error> {
        let (a, b) = &self.shares;
        Problem::from_points((a, &self.source), (b, &self.target), 3, Metric::SquaredEuclidean)
            .map_err(Error::other)
    }
}

impl DataConfig {
    /// The problem, and the palettes where it is theirs.
    pub(super) fn load(&self) -> Result<(Problem, Option<Palettes>), Error> {
        match self {
            DataConfig::Palettes => {
                let palettes = Palettes::bundled()?;
                Ok((palettes.problem()?, Some(palettes)))
            }
            DataConfig::Classes { set, from, to } => {
                let data = Dataset::bundled(set).map_err(Error::other)?;
                let labels = data.labels().map_err(Error::other)?;
                let classes = data.classes().unwrap_or(0);
                if *from.max(to) >= classes {
                    return Err(Error::message(format!(
                        "data: `{set}` has the classes 0 to {}; data.from and data.to are {from} and {to}",
                        classes.saturating_sub(1)
                    )));
                }
                let flat =
                    data.inputs.reshape(&[data.len() as isize, -1]).cast(lisse_array::DType::F64);
                let scaled =
                    Standardizer::fit(&flat).and_then(|s| s.apply(&flat)).map_err(Error::other)?;
                let dim = scaled.dim(1);
                let values = (scaled * (1.0 / (dim as f64).sqrt())).to_f64_vec();
                let of = |class: usize| -> Vec<f64> {
                    let rows = values.chunks(dim).zip(&labels).filter(|(_, l)| **l == class as i64);
                    rows.flat_map(|(row, _)| row.to_vec()).collect()
                };
                let (x, y) = (of(*from), of(*to));
                let equal =
                    |points: &[f64]| vec![dim as f64 / points.len() as f64; points.len() / dim];
                let problem = Problem::from_points(
                    (&equal(&x), &x),
                    (&equal(&y), &y),
                    dim,
                    Metric::SquaredEuclidean,
                );
                Ok((problem.map_err(Error::other)?, None))
            }
        }
    }
}
