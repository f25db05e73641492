//! Metrics as Parquet.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::metric_names;
use crate::{Error, Row, RunFolder};

/// Writes the metrics as one Parquet table: `arm`, `step`, `seconds`, then a column for each metric, null where a step has none.
pub fn parquet(run: &RunFolder, path: &Path) -> Result<(), Error> {
    let rows = run.rows()?;
    let file = File::create(path).map_err(|e| Error::disk(path, "write", e))?;
    write(&rows, file)
        .map_err(|error| Error::message(format!("{}: could not write: {error}", path.display())))
}

fn write(rows: &[Row], file: File) -> Result<(), ParquetError> {
    let names = metric_names(rows);
    let column = |name: &str, physical, repetition, logical| {
        Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    };
    let (text, required) = (Some(LogicalType::String), Repetition::REQUIRED);
    let mut fields = vec![
        column("arm", Physical::BYTE_ARRAY, required, text)?,
        column("step", Physical::INT64, required, None)?,
        column("seconds", Physical::DOUBLE, required, None)?,
    ];
    for name in &names {
        fields.push(column(name, Physical::DOUBLE, Repetition::OPTIONAL, None)?);
    }
    let schema = Arc::new(Type::group_type_builder("metrics").with_fields(fields).build()?);
    let mut writer =
        SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::builder().build()))?;
    let mut group = writer.next_row_group()?;
    let arms: Vec<ByteArray> = rows.iter().map(|row| row.arm.as_str().into()).collect();
    write_all::<ByteArrayType>(&mut group, &arms)?;
    write_all::<Int64Type>(
        &mut group,
        &rows.iter().map(|row| row.step as i64).collect::<Vec<_>>(),
    )?;
    write_all::<DoubleType>(&mut group, &rows.iter().map(|row| row.seconds).collect::<Vec<_>>())?;
    for name in names {
        let cells: Vec<Option<f64>> =
            rows.iter().map(|row| row.metrics.get(name).map(|value| value.0)).collect();
        let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
        let values: Vec<f64> = cells.into_iter().flatten().collect();
        let mut column = group
            .next_column()?
            .ok_or_else(|| ParquetError::General("a column is missing".into()))?;
        column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

fn write_all<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let mut column =
        group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".into()))?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}
