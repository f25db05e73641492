//! Runs side by side: what differed in the recipe, what came of it.

use std::fmt::Write as _;
use std::path::Path;

use indexmap::IndexMap;
use maud::html;
use serde::Serialize;

use crate::claim::ClaimResult;
use crate::disk::{FileSystem, replace};
use crate::report::{Cell, Lines, curves, document, lines_figure, plain_table};
use crate::{Error, Number, Row, RunFolder, Stop, number};

/// Two or more runs side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Names of the runs: their folders'.
    pub runs: Vec<String>,
    /// Keys of the recipes whose values differ, with the value of each run; `None` where a run has no such key.
    pub differences: IndexMap<String, Vec<Option<String>>>,
    /// Figures by name, with the value of each run.
    pub figures: IndexMap<String, Vec<Option<Number>>>,
    /// Wall seconds of each run.
    pub wall_secs: Vec<Option<f64>>,
    /// Why each run stopped; `None` for one that goes on or was killed.
    pub stops: Vec<Option<Stop>>,
    /// Claims of each run.
    pub claims: Vec<Vec<ClaimResult>>,
    #[serde(skip)]
    curves: Vec<Lines>,
}

impl Comparison {
    /// Compares runs, which must be two or more. Runs that have not ended are shown as far as they are.
    pub fn of(folders: &[RunFolder]) -> Result<Comparison, Error> {
        if folders.len() < 2 {
            return Err(Error::message("a comparison needs two runs or more"));
        }
        let runs = names(folders);
        let summaries = folders.iter().map(RunFolder::summary).collect::<Result<Vec<_>, _>>()?;
        let recipes = folders.iter().map(flat_recipe).collect::<Result<Vec<_>, _>>()?;
        let mut rows = Vec::new();
        for (run, folder) in runs.iter().zip(folders) {
            let name =
                |arm: &str| if arm.is_empty() { run.clone() } else { format!("{run}: {arm}") };
            rows.extend(folder.rows()?.into_iter().map(|row| Row { arm: name(&row.arm), ..row }));
        }
        let figures: Vec<_> = summaries
            .iter()
            .map(|summary| summary.as_ref().map(|s| s.figures.clone()).unwrap_or_default())
            .collect();
        let mut differences = side_by_side(&recipes);
        differences.retain(|_, values| values.iter().any(|value| *value != values[0]));
        Ok(Comparison {
            runs,
            differences,
            figures: side_by_side(&figures),
            wall_secs: summaries.iter().map(|summary| Some(summary.as_ref()?.wall_secs)).collect(),
            stops: summaries.iter().map(|summary| Some(summary.as_ref()?.stop.clone())).collect(),
            claims: summaries
                .into_iter()
                .map(|summary| summary.map(|s| s.claims).unwrap_or_default())
                .collect(),
            curves: curves(&rows),
        })
    }

    /// Each table with its title: differences, figures, ends.
    fn tables(&self) -> Vec<(&'static str, Vec<Vec<Cell>>)> {
        let missing = || Cell::from("–");
        let line = |name: &str, cells: Vec<Cell>| {
            std::iter::once(Cell::from(name)).chain(cells).collect::<Vec<_>>()
        };
        let differences = self.differences.iter().map(|(key, values)| {
            line(
                key,
                values.iter().map(|v| v.as_deref().map_or_else(missing, Cell::from)).collect(),
            )
        });
        let figures = self.figures.iter().map(|(name, values)| {
            line(name, values.iter().map(|v| v.map_or_else(missing, |v| Cell::from(v.0))).collect())
        });
        let stops = self.stops.iter().map(|stop| {
            stop.as_ref().map_or("not ended".into(), |stop| Cell::from(stop.to_string()))
        });
        let times = self.wall_secs.iter().map(|secs| secs.map_or_else(missing, Cell::from));
        let held = self.claims.iter().map(|claims| {
            let held = claims.iter().filter(|claim| claim.holds).count();
            if claims.is_empty() { missing() } else { format!("{held} of {}", claims.len()).into() }
        });
        let ends = vec![
            line("stopped", stops.collect()),
            line("wall seconds", times.collect()),
            line("claims held", held.collect()),
        ];
        vec![
            ("What differs in the recipes", differences.collect()),
            ("Figures", figures.collect()),
            ("How they ended", ends),
        ]
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (title, rows) in self.tables() {
            let mut table: Vec<Vec<String>> =
                vec![std::iter::once(title.to_owned()).chain(self.runs.clone()).collect()];
            table.extend(rows.iter().map(|row| row.iter().map(Cell::text).collect()));
            if rows.is_empty() {
                // Writing into a string does not fail.
                let _ = writeln!(text, "{title}: nothing\n");
                continue;
            }
            let width = |column: usize| {
                table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
            };
            let widths: Vec<usize> = (0..table[0].len()).map(width).collect();
            for row in &table {
                let cells: Vec<String> = row
                    .iter()
                    .zip(&widths)
                    .map(|(cell, &width)| format!("{cell:width$}"))
                    .collect();
                let _ = writeln!(text, "{}", cells.join("  ").trim_end());
            }
            text.push('\n');
        }
        text
    }

    /// Writes [`html`](Self::html) whole or not at all.
    pub fn write_html(&self, path: &Path) -> Result<(), Error> {
        replace(&FileSystem, path, self.html().as_bytes())
    }

    /// A page in one file, like the report of a run.
    pub fn html(&self) -> String {
        let title = format!("{} runs side by side", self.runs.len());
        let columns = |first: &str| {
            std::iter::once(first.to_owned()).chain(self.runs.clone()).collect::<Vec<_>>()
        };
        let body = html! {
            header { p.eyebrow { "Lisse comparison" } h1 { (title) } p.lead { (self.runs.join(", ")) } }
            @for (title, rows) in self.tables() {
                section {
                    h2 { (title) }
                    @if rows.is_empty() { p { "Nothing." } } @else { (plain_table(&columns(""), &rows)) }
                }
            }
            @if !self.curves.is_empty() {
                section {
                    h2 { "Curves" }
                    div.curves { @for lines in &self.curves { (lines_figure(lines, self.curves.len() > 1)) } }
                }
            }
        };
        document(&title, &body)
    }
}

/// Folder names, or whole paths if two names are equal.
fn names(folders: &[RunFolder]) -> Vec<String> {
    let short: Vec<String> = folders
        .iter()
        .map(|folder| {
            folder
                .path()
                .file_name()
                .unwrap_or(folder.path().as_os_str())
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let unique = short.iter().enumerate().all(|(i, name)| !short[..i].contains(name));
    if unique {
        short
    } else {
        folders.iter().map(|folder| folder.path().display().to_string()).collect()
    }
}

fn side_by_side<T: Clone>(maps: &[IndexMap<String, T>]) -> IndexMap<String, Vec<Option<T>>> {
    let mut all: IndexMap<String, Vec<Option<T>>> = IndexMap::new();
    for key in maps.iter().flat_map(IndexMap::keys) {
        all.entry(key.clone())
            .or_insert_with(|| maps.iter().map(|map| map.get(key).cloned()).collect());
    }
    all
}

/// The recipe as `a.b.c` to value.
fn flat_recipe(folder: &RunFolder) -> Result<IndexMap<String, String>, Error> {
    let text = folder.recipe_text()?;
    let table: toml::Table = toml::from_str(&text)
        .map_err(|error| Error::corrupt(&folder.path().join("recipe.toml"), error.message()))?;
    let mut flat = IndexMap::new();
    flatten("", &table, &mut flat);
    Ok(flat)
}

fn flatten(prefix: &str, table: &toml::Table, flat: &mut IndexMap<String, String>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(below) => flatten(&key, below, flat),
            toml::Value::String(text) => drop(flat.insert(key, text.clone())),
            toml::Value::Float(value) => drop(flat.insert(key, number::human(*value))),
            other => drop(flat.insert(key, other.to_string())),
        }
    }
}
