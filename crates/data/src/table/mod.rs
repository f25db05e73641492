//! Tables: named columns of numbers, whole numbers or text.

mod csv;
#[cfg(feature = "parquet")]
mod parquet;

pub use csv::CsvOptions;

use std::collections::BTreeMap;

use lisse_array::Array;

use crate::error::{DataError, Place};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Floating point.
    Number,
    /// Whole numbers.
    Integer,
    /// Text, also the names of classes.
    Text,
}

/// What to do with values that are missing, NaN or infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// An error that names the place. The default, because a NaN found during training has no place any more.
    #[default]
    Refuse,
    /// Leave out each row that has one.
    DropRows,
    /// Keep them: NaN in numeric columns (a whole-number column becomes a numeric one), `None` in text.
    Keep,
}

/// One column's values, a value per row.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Floating point; missing is NaN.
    Number(Vec<f64>),
    /// Whole numbers; none is missing.
    Integer(Vec<i64>),
    /// Text; missing is `None`.
    Text(Vec<Option<String>>),
}

impl Column {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Number(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the column holds.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number(_) => Kind::Number,
            Self::Integer(_) => Kind::Integer,
            Self::Text(_) => Kind::Text,
        }
    }

    fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Number(values) => Self::Number(rows.iter().map(|&row| values[row]).collect()),
            Self::Integer(values) => Self::Integer(rows.iter().map(|&row| values[row]).collect()),
            Self::Text(values) => Self::Text(rows.iter().map(|&row| values[row].clone()).collect()),
        }
    }
}

/// Named columns of equal length, at least one row.
///
/// ```
/// use lisse_data::{CsvOptions, Table};
///
/// let text = "height,name\n1.5,ann\n1.75,bob\n";
/// let table = Table::from_csv_bytes(text.as_bytes(), "people.csv", &CsvOptions::default())?;
/// assert_eq!(table.numbers("height")?, [1.5, 1.75]);
///
/// let error = table.numbers("hieght").unwrap_err().to_string();
/// assert_eq!(error, "people.csv: no column `hieght`; did you mean `height`?");
/// # Ok::<(), lisse_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    source: String,
    names: Vec<String>,
    columns: Vec<Column>,
    places: Vec<Place>,
}

impl Table {
    /// A table from columns made elsewhere; `source` names it in messages.
    ///
    /// # Errors
    /// No rows, two columns of one name, columns of different lengths, values that `missing` refuses.
    pub fn from_columns(
        source: impl Into<String>,
        columns: Vec<(String, Column)>,
        missing: Missing,
    ) -> Result<Self, DataError> {
        let rows = columns.first().map_or(0, |(_, column)| column.len());
        if let Some((name, column)) = columns.iter().find(|(_, column)| column.len() != rows) {
            return Err(DataError::argument(
                "Table::from_columns",
                format!(
                    "column `{name}` has {} values where `{}` has {rows}; all must be equally long",
                    column.len(),
                    columns[0].0,
                ),
            ));
        }
        let places = (1..=rows as u64).map(Place::Row).collect();
        let (names, raw) =
            columns.into_iter().map(|(name, column)| (name, RawColumn::from(column))).unzip();
        RawTable { source: source.into(), names, columns: raw, places }.finish(missing)
    }

    /// Where the table came from, as messages name it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The columns' names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of rows, at least one.
    pub fn rows(&self) -> usize {
        self.places.len()
    }

    /// A column by name.
    ///
    /// # Errors
    /// [`DataError::Unknown`] with the nearest name.
    pub fn column(&self, name: &str) -> Result<&Column, DataError> {
        Ok(&self.columns[self.index(name)?])
    }

    /// A column as f64.
    ///
    /// # Errors
    /// No such column; a cell of a text column that is not a number, with its place.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, DataError> {
        let index = self.index(name)?;
        match &self.columns[index] {
            Column::Number(values) => Ok(values.clone()),
            Column::Integer(values) => Ok(values.iter().map(|&value| value as f64).collect()),
            Column::Text(values) => self.parse_text(index, values, "a number", |text| {
                if text.is_empty() { Some(f64::NAN) } else { text.parse().ok() }
            }),
        }
    }

    /// A column as i64.
    ///
    /// # Errors
    /// No such column; a cell that is not a whole number, with its place.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, DataError> {
        let index = self.index(name)?;
        match &self.columns[index] {
            Column::Integer(values) => Ok(values.clone()),
            Column::Number(values) => {
                let whole = |value: f64| value.fract() == 0.0 && value.abs() < 2f64.powi(63);
                match values.iter().position(|&value| !whole(value)) {
                    None => Ok(values.iter().map(|&value| value as i64).collect()),
                    Some(row) => {
                        Err(self.wrong_cell(row, index, "a whole number", values[row].to_string()))
                    }
                }
            }
            Column::Text(values) => {
                self.parse_text(index, values, "a whole number", |text| text.parse().ok())
            }
        }
    }

    /// A text column; missing cells are `None`.
    ///
    /// # Errors
    /// No such column; a column of numbers (declare it [`Kind::Text`] when reading, which also keeps leading zeros).
    pub fn texts(&self, name: &str) -> Result<&[Option<String>], DataError> {
        match self.column(name)? {
            Column::Text(values) => Ok(values),
            Column::Number(_) | Column::Integer(_) => Err(DataError::argument(
                "Table::texts",
                format!(
                    "column `{name}` of {} holds numbers; declare it as `Kind::Text` when reading",
                    self.source
                ),
            )),
        }
    }

    /// A column of text or whole numbers as class labels: for each row the index of its value among the distinct values
    /// in ascending order, and those values.
    ///
    /// # Errors
    /// No such column; a missing cell, with its place; a column of numbers that are not whole.
    pub fn categories(&self, name: &str) -> Result<(Vec<i64>, Vec<String>), DataError> {
        let index = self.index(name)?;
        if let Column::Text(values) = &self.columns[index] {
            if let Some(row) = values.iter().position(Option::is_none) {
                return Err(self.not_finite(row, index, "missing value".to_string()));
            }
            let (codes, distinct) = number_distinct(values.iter().flatten());
            return Ok((codes, distinct.into_iter().cloned().collect()));
        }
        let values = self.integers(name)?;
        let (codes, distinct) = number_distinct(values.iter());
        Ok((codes, distinct.into_iter().map(ToString::to_string).collect()))
    }

    /// Columns side by side as an f64 array `[rows, names.len()]`.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers), for each.
    pub fn to_array(&self, names: &[&str]) -> Result<Array, DataError> {
        let columns: Vec<Vec<f64>> =
            names.iter().map(|name| self.numbers(name)).collect::<Result<_, _>>()?;
        let mut values = Vec::with_capacity(self.rows() * names.len());
        for row in 0..self.rows() {
            values.extend(columns.iter().map(|column| column[row]));
        }
        Ok(Array::from_vec(values, &[self.rows(), names.len()]))
    }

    /// The rows of the given indices, in that order.
    ///
    /// # Panics
    /// On an index past the last row.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            source: self.source.clone(),
            names: self.names.clone(),
            columns: self.columns.iter().map(|column| column.select(rows)).collect(),
            places: rows.iter().map(|&row| self.places[row]).collect(),
        }
    }

    fn index(&self, name: &str) -> Result<usize, DataError> {
        self.names.iter().position(|known| known == name).ok_or_else(|| DataError::Unknown {
            holder: self.source.clone(),
            kind: "column",
            name: name.to_string(),
            known: self.names.clone(),
        })
    }

    fn parse_text<T>(
        &self,
        column: usize,
        cells: &[Option<String>],
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, DataError> {
        let cell_value = |(row, cell): (usize, &Option<String>)| {
            let text = cell.as_deref().unwrap_or("");
            parse(text).ok_or_else(|| self.wrong_cell(row, column, expected, text.to_string()))
        };
        cells.iter().enumerate().map(cell_value).collect()
    }

    fn wrong_cell(
        &self,
        row: usize,
        column: usize,
        expected: &'static str,
        found: String,
    ) -> DataError {
        DataError::WrongCell {
            file: self.source.clone(),
            place: self.places[row],
            column: column + 1,
            name: self.names[column].clone(),
            expected,
            found,
        }
    }

    fn not_finite(&self, row: usize, column: usize, found: String) -> DataError {
        DataError::NotFinite {
            file: self.source.clone(),
            place: self.places[row],
            column: column + 1,
            name: self.names[column].clone(),
            found,
        }
    }
}

/// Numbers values by their rank among the distinct ones.
fn number_distinct<'a, T: Ord>(
    values: impl Iterator<Item = &'a T> + Clone,
) -> (Vec<i64>, Vec<&'a T>) {
    let mut codes: BTreeMap<&T, i64> = values.clone().map(|value| (value, 0)).collect();
    for (rank, code) in codes.values_mut().enumerate() {
        *code = rank as i64;
    }
    (values.map(|value| codes[value]).collect(), codes.into_keys().collect())
}

/// A column as read, before the policy on missing values.
enum RawColumn {
    Number(Vec<f64>),
    Integer(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
}

impl From<Column> for RawColumn {
    fn from(column: Column) -> Self {
        match column {
            Column::Number(values) => Self::Number(values),
            Column::Integer(values) => Self::Integer(values.into_iter().map(Some).collect()),
            Column::Text(values) => Self::Text(values),
        }
    }
}

impl RawColumn {
    /// What is wrong with a row's value, in words, if anything.
    fn flaw(&self, row: usize) -> Option<String> {
        match self {
            Self::Number(values) if values[row].is_nan() => {
                Some("NaN or missing value".to_string())
            }
            Self::Number(values) if values[row].is_infinite() => {
                Some(format!("infinite value `{}`", values[row]))
            }
            Self::Integer(values) if values[row].is_none() => Some("missing value".to_string()),
            Self::Text(values) if values[row].is_none() => Some("missing value".to_string()),
            _ => None,
        }
    }

    fn finish(self) -> Column {
        match self {
            Self::Number(values) => Column::Number(values),
            Self::Text(values) => Column::Text(values),
            Self::Integer(values) if values.iter().all(Option::is_some) => {
                Column::Integer(values.into_iter().flatten().collect())
            }
            Self::Integer(values) => Column::Number(
                values.into_iter().map(|value| value.map_or(f64::NAN, |v| v as f64)).collect(),
            ),
        }
    }

    fn keep(self, kept: &[bool]) -> Self {
        fn pick<T>(values: Vec<T>, kept: &[bool]) -> Vec<T> {
            values
                .into_iter()
                .zip(kept)
                .filter_map(|(value, &keep)| keep.then_some(value))
                .collect()
        }
        match self {
            Self::Number(values) => Self::Number(pick(values, kept)),
            Self::Integer(values) => Self::Integer(pick(values, kept)),
            Self::Text(values) => Self::Text(pick(values, kept)),
        }
    }
}

/// A table as read, before the policy on missing values.
struct RawTable {
    source: String,
    names: Vec<String>,
    columns: Vec<RawColumn>,
    places: Vec<Place>,
}

impl RawTable {
    fn finish(mut self, missing: Missing) -> Result<Table, DataError> {
        self.check_names()?;
        let mut dropped = 0;
        match missing {
            Missing::Keep => {}
            Missing::Refuse => self.refuse_flaws()?,
            Missing::DropRows => dropped = self.drop_flaws(),
        }
        if self.places.is_empty() {
            return Err(DataError::NoRows { file: self.source, dropped });
        }
        let columns = self.columns.into_iter().map(RawColumn::finish).collect();
        Ok(Table { source: self.source, names: self.names, columns, places: self.places })
    }

    fn check_names(&self) -> Result<(), DataError> {
        let mut seen = BTreeMap::new();
        for (index, name) in self.names.iter().enumerate() {
            if let Some(first) = seen.insert(name, index) {
                return Err(DataError::DuplicateColumn {
                    file: self.source.clone(),
                    name: name.clone(),
                    first: first + 1,
                    second: index + 1,
                });
            }
        }
        Ok(())
    }

    fn refuse_flaws(&self) -> Result<(), DataError> {
        for (row, &place) in self.places.iter().enumerate() {
            for (index, column) in self.columns.iter().enumerate() {
                if let Some(found) = column.flaw(row) {
                    return Err(DataError::NotFinite {
                        file: self.source.clone(),
                        place,
                        column: index + 1,
                        name: self.names[index].clone(),
                        found,
                    });
                }
            }
        }
        Ok(())
    }

    fn drop_flaws(&mut self) -> usize {
        let kept: Vec<bool> = (0..self.places.len())
            .map(|row| self.columns.iter().all(|column| column.flaw(row).is_none()))
            .collect();
        self.columns = std::mem::take(&mut self.columns)
            .into_iter()
            .map(|column| column.keep(&kept))
            .collect();
        let before = self.places.len();
        let mut keep = kept.iter();
        self.places.retain(|_| keep.next().copied().unwrap_or(true));
        before - self.places.len()
    }
}
