//! Comma-separated text.

use std::path::Path;

use ::csv::{ByteRecord, ReaderBuilder};

use super::{Kind, Missing, RawColumn, RawTable, Table};
use crate::error::{DataError, Place};
use crate::file;

/// How to read comma-separated text.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Byte between cells; default `,`.
    pub delimiter: u8,
    /// Whether the first line names the columns (default); otherwise they are `column_1`, `column_2`, ...
    pub header: bool,
    /// What to do with missing values; default [`Missing::Refuse`].
    pub missing: Missing,
    /// Texts that mean "missing"; default the empty cell, `NA`, `N/A`, `NaN`, `nan`, `null` and `?`.
    pub missing_marks: Vec<String>,
    /// Kinds of columns by name. The others get the narrowest kind that fits every cell that is not missing.
    pub kinds: Vec<(String, Kind)>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        let marks = ["", "NA", "N/A", "NaN", "nan", "null", "?"];
        Self {
            delimiter: b',',
            header: true,
            missing: Missing::default(),
            missing_marks: marks.map(String::from).to_vec(),
            kinds: Vec::new(),
        }
    }
}

impl Table {
    /// Reads a CSV file (gzipped or not) with a header; kinds are inferred, missing values refused.
    ///
    /// # Errors
    /// Unreadable or empty file, no rows, ragged row, text that is not UTF-8, missing value: each with file, line and column.
    pub fn from_csv(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::from_csv_with(path, &CsvOptions::default())
    }

    /// Reads a CSV file with options.
    ///
    /// # Errors
    /// As [`from_csv`](Self::from_csv); a cell that does not fit the declared kind; a declared column that is not there.
    pub fn from_csv_with(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        Self::from_csv_bytes(&file::read(path)?, &path.display().to_string(), options)
    }

    /// Reads CSV text in memory (gzipped or not); `source` names it in messages.
    ///
    /// # Errors
    /// As [`from_csv_with`](Self::from_csv_with).
    pub fn from_csv_bytes(
        bytes: &[u8],
        source: &str,
        options: &CsvOptions,
    ) -> Result<Self, DataError> {
        let bytes = file::unpack(bytes, source)?;
        let expected = "a header line and at least one row";
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(DataError::EmptyFile { file: source.to_string(), expected });
        }
        let lines = Lines::read(&bytes, source, options)?;
        let columns = (0..lines.names.len())
            .map(|column| lines.column(column, source, options))
            .collect::<Result<_, _>>()?;
        let places = lines.numbers.iter().map(|&line| Place::Line(line)).collect();
        RawTable { source: source.to_string(), names: lines.names, columns, places }
            .finish(options.missing)
    }
}

/// The file cut into cells.
struct Lines {
    names: Vec<String>,
    rows: Vec<::csv::StringRecord>,
    numbers: Vec<u64>,
}

impl Lines {
    fn read(bytes: &[u8], source: &str, options: &CsvOptions) -> Result<Self, DataError> {
        let mut reader = ReaderBuilder::new()
            .delimiter(options.delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(bytes);
        let mut lines = Self { names: Vec::new(), rows: Vec::new(), numbers: Vec::new() };
        let mut counter = LineCounter { bytes, at: 0, line: 1 };
        let mut record = ByteRecord::new();
        loop {
            let start = reader.position().byte() as usize;
            let more = reader
                .read_byte_record(&mut record)
                .map_err(|error| DataError::format(source, error.to_string()))?;
            if !more {
                break;
            }
            let line = counter.line_of(start);
            lines.take(&record, line, source, options)?;
        }
        check_kinds(&lines.names, source, options)?;
        Ok(lines)
    }

    fn take(
        &mut self,
        record: &ByteRecord,
        line: u64,
        source: &str,
        options: &CsvOptions,
    ) -> Result<(), DataError> {
        let row = ::csv::StringRecord::from_byte_record(record.clone()).map_err(|error| {
            let column = error.utf8_error().field() + 1;
            DataError::format(
                source,
                format!("line {line}, column {column}: not UTF-8 text; save the file as UTF-8"),
            )
        })?;
        if self.names.is_empty() {
            if options.header {
                self.names = row.iter().map(|name| name.trim().to_string()).collect();
                return Ok(());
            }
            self.names = (1..=row.len()).map(|column| format!("column_{column}")).collect();
        }
        if row.len() != self.names.len() {
            return Err(DataError::Ragged {
                file: source.to_string(),
                line,
                expected: self.names.len(),
                found: row.len(),
            });
        }
        self.rows.push(row);
        self.numbers.push(line);
        Ok(())
    }

    fn column(
        &self,
        column: usize,
        source: &str,
        options: &CsvOptions,
    ) -> Result<RawColumn, DataError> {
        let cells: Vec<Option<&str>> = self
            .rows
            .iter()
            .map(|row| {
                let cell = row[column].trim();
                (!options.missing_marks.iter().any(|mark| mark == cell)).then_some(cell)
            })
            .collect();
        let name = &self.names[column];
        let declared = options.kinds.iter().find(|(known, _)| known == name);
        let kind = declared.map_or_else(|| infer(&cells), |(_, kind)| *kind);
        let wrong = |row: usize, expected| DataError::WrongCell {
            file: source.to_string(),
            place: Place::Line(self.numbers[row]),
            column: column + 1,
            name: name.clone(),
            expected,
            found: cells[row].unwrap_or_default().to_string(),
        };
        match kind {
            Kind::Number => parse_cells(&cells, |row| wrong(row, "a number")).map(|values| {
                RawColumn::Number(values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
            }),
            Kind::Integer => {
                parse_cells(&cells, |row| wrong(row, "a whole number")).map(RawColumn::Integer)
            }
            Kind::Text => Ok(RawColumn::Text(
                cells.iter().map(|cell| cell.map(ToString::to_string)).collect(),
            )),
        }
    }
}

fn check_kinds(names: &[String], source: &str, options: &CsvOptions) -> Result<(), DataError> {
    match options.kinds.iter().find(|(name, _)| !names.contains(name)) {
        None => Ok(()),
        Some((name, _)) => Err(DataError::Unknown {
            holder: source.to_string(),
            kind: "column",
            name: name.clone(),
            known: names.to_vec(),
        }),
    }
}

fn parse_cells<T: std::str::FromStr>(
    cells: &[Option<&str>],
    wrong: impl Fn(usize) -> DataError,
) -> Result<Vec<Option<T>>, DataError> {
    let parse = |(row, cell): (usize, Option<&str>)| match cell {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| wrong(row)),
    };
    cells.iter().copied().enumerate().map(parse).collect()
}

/// The narrowest kind that fits every cell present; text if none is.
fn infer(cells: &[Option<&str>]) -> Kind {
    let mut present = cells.iter().flatten().peekable();
    if present.peek().is_none() {
        return Kind::Text;
    }
    let mut kind = Kind::Integer;
    for cell in present {
        if kind == Kind::Integer && cell.parse::<i64>().is_err() {
            kind = Kind::Number;
        }
        if kind == Kind::Number && cell.parse::<f64>().is_err() {
            return Kind::Text;
        }
    }
    kind
}

/// Line numbers of byte offsets that only grow. The reader's own count is of where it stopped, which blank lines and
/// `\r\n` put before the row.
struct LineCounter<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl LineCounter<'_> {
    fn line_of(&mut self, start: usize) -> u64 {
        let blank = self.bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let first = start + blank.count();
        let ends = self.bytes[self.at..first].split(|&byte| byte == b'\n').count() - 1;
        self.line += ends as u64;
        self.at = first;
        self.line
    }
}
