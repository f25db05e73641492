//! Parquet tables.

use std::fs::File;
use std::path::Path;

use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;

use super::{Missing, RawColumn, RawTable, Table};
use crate::error::{DataError, Place};

impl Table {
    /// Reads a Parquet file of plain columns: numbers, truth values (as 0 and 1), text; dates and times as whole numbers
    /// in the file's unit since the Unix epoch. Nulls follow `missing`.
    ///
    /// # Errors
    /// Unreadable or damaged file, nested or decimal columns, no rows, a value that `missing` refuses.
    pub fn from_parquet(path: impl AsRef<Path>, missing: Missing) -> Result<Self, DataError> {
        let path = path.as_ref();
        let source = path.display().to_string();
        let damaged = |error: ParquetError| {
            DataError::format(
                &source,
                format!("not a whole Parquet file, cut short or damaged ({error})"),
            )
        };
        let file = File::open(path).map_err(DataError::io(path))?;
        let reader = SerializedFileReader::new(file).map_err(damaged)?;

        let schema = reader.metadata().file_metadata().schema();
        let names: Vec<String> =
            schema.get_fields().iter().map(|field| field.name().to_string()).collect();
        let mut columns: Vec<RawColumn> =
            names.iter().map(|_| RawColumn::Integer(Vec::new())).collect();
        let mut places = Vec::new();
        for row in reader.get_row_iter(None).map_err(damaged)? {
            let row = row.map_err(damaged)?;
            for ((name, field), column) in row.get_column_iter().zip(&mut columns) {
                push(column, field).map_err(|reason| {
                    let row = places.len() + 1;
                    DataError::format(&source, format!("row {row}, column `{name}`: {reason}"))
                })?;
            }
            places.push(Place::Row(places.len() as u64 + 1));
        }
        RawTable { source, names, columns, places }.finish(missing)
    }
}

/// One cell in the terms of this crate.
enum Cell<'a> {
    Null,
    Integer(i64),
    Number(f64),
    Text(&'a str),
}

fn cell(field: &Field) -> Result<Cell<'_>, String> {
    Ok(match field {
        Field::Null => Cell::Null,
        Field::Bool(value) => Cell::Integer(i64::from(*value)),
        Field::Byte(value) => Cell::Integer(i64::from(*value)),
        Field::Short(value) => Cell::Integer(i64::from(*value)),
        Field::Int(value) | Field::Date(value) | Field::TimeMillis(value) => {
            Cell::Integer(i64::from(*value))
        }
        Field::Long(value)
        | Field::TimeMicros(value)
        | Field::TimestampMillis(value)
        | Field::TimestampMicros(value) => Cell::Integer(*value),
        Field::UByte(value) => Cell::Integer(i64::from(*value)),
        Field::UShort(value) => Cell::Integer(i64::from(*value)),
        Field::UInt(value) => Cell::Integer(i64::from(*value)),
        Field::ULong(value) => Cell::Integer(
            i64::try_from(*value).map_err(|_| format!("{value} is above the largest i64"))?,
        ),
        Field::Float16(value) => Cell::Number(value.to_f64()),
        Field::Float(value) => Cell::Number(f64::from(*value)),
        Field::Double(value) => Cell::Number(*value),
        Field::Str(value) => Cell::Text(value),
        other => {
            return Err(format!(
                "`{other}` is nested, binary or decimal; expected numbers, truth values or text"
            ));
        }
    })
}

/// Appends a cell. A column starts as whole numbers and takes its type from its first value that is not null.
fn push(column: &mut RawColumn, field: &Field) -> Result<(), String> {
    let cell = cell(field)?;
    if let RawColumn::Integer(values) = column
        && values.iter().all(Option::is_none)
    {
        let nulls = values.len();
        match cell {
            Cell::Number(_) => *column = RawColumn::Number(vec![f64::NAN; nulls]),
            Cell::Text(_) => *column = RawColumn::Text(vec![None; nulls]),
            Cell::Null | Cell::Integer(_) => {}
        }
    }
    match (column, cell) {
        (RawColumn::Integer(values), Cell::Null) => values.push(None),
        (RawColumn::Integer(values), Cell::Integer(value)) => values.push(Some(value)),
        (RawColumn::Number(values), Cell::Null) => values.push(f64::NAN),
        (RawColumn::Number(values), Cell::Number(value)) => values.push(value),
        (RawColumn::Text(values), Cell::Null) => values.push(None),
        (RawColumn::Text(values), Cell::Text(value)) => values.push(Some(value.to_string())),
        _ => {
            return Err(format!("`{field}` is of another type than the values above it"));
        }
    }
    Ok(())
}
