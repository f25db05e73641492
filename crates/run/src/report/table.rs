//! Tables as data.

use serde::{Deserialize, Serialize};

use crate::{Number, number};

/// A table for the report.
///
/// ```
/// use lisse_run::report::{Cell, Table};
/// let table = Table::new("Accuracy", ["method", "accuracy"]).row(["sam".into(), Cell::from(0.97)]).caption("On clean labels.");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number, shown with four significant digits.
    Number(Number),
}

impl Table {
    /// A table without rows.
    pub fn new<T: Into<String>>(title: impl Into<String>, columns: impl IntoIterator<Item = T>) -> Table {
        let columns = columns.into_iter().map(Into::into).collect();
        Table { title: title.into(), caption: String::new(), columns, rows: Vec::new() }
    }

    /// Adds a row. Panics if it has not as many cells as there are columns.
    pub fn row(mut self, cells: impl IntoIterator<Item = Cell>) -> Table {
        let cells: Vec<Cell> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "table `{}`: a row needs one cell for each column", self.title);
        self.rows.push(cells);
        self
    }

    /// A sentence or two under the table.
    pub fn caption(mut self, caption: impl Into<String>) -> Table {
        self.caption = caption.into();
        self
    }
}

impl Cell {
    /// As a person reads it.
    pub(crate) fn text(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Number(value) => number::human(value.0),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Cell {
        Cell::Number(Number(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_survive_json() {
        for cell in [Cell::from("inf or so"), Cell::from(0.5), Cell::from(3.0)] {
            let text = serde_json::to_string(&cell).unwrap();
            assert_eq!(serde_json::from_str::<Cell>(&text).unwrap(), cell);
        }
    }
}
