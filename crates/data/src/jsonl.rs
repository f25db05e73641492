//! JSON Lines: one JSON value per line.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::DataError;
use crate::file;

/// Reads a JSON Lines file (gzipped or not), each line a `T`. Blank lines are passed over.
///
/// # Errors
/// Unreadable or empty file; a line that is not a `T`, with line and column.
pub fn read_jsonl<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Vec<T>, DataError> {
    Ok(records(path.as_ref())?.into_iter().map(|(_, record)| record).collect())
}

/// Reads the text field `field` of each object of a JSON Lines file.
///
/// # Errors
/// As [`read_jsonl`]; an object without that field, with the nearest name; a field that is not text.
///
/// ```no_run
/// let lines = lisse_data::read_jsonl_text("corpus.jsonl", "text")?;
/// # Ok::<(), lisse_data::DataError>(())
/// ```
pub fn read_jsonl_text(path: impl AsRef<Path>, field: &str) -> Result<Vec<String>, DataError> {
    let path = path.as_ref();
    let source = path.display().to_string();
    let take = |(line, mut object): (u64, Map<String, Value>)| match object.remove(field) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(DataError::Json {
            file: source.clone(),
            line,
            column: 1,
            reason: format!("field `{field}` should be text, found {}", kind_name(&other)),
        }),
        None => Err(DataError::Unknown {
            holder: format!("{source}: line {line}"),
            kind: "field",
            name: field.to_string(),
            known: object.keys().cloned().collect(),
        }),
    };
    records(path)?.into_iter().map(take).collect()
}

/// The records with their line numbers.
fn records<T: DeserializeOwned>(path: &Path) -> Result<Vec<(u64, T)>, DataError> {
    let source = path.display().to_string();
    let bytes = file::read(path)?;
    let bytes = file::unpack(&bytes, &source)?;
    let mut records = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let number = index as u64 + 1;
        let record = serde_json::from_slice(line).map_err(|error| DataError::Json {
            file: source.clone(),
            line: number,
            column: error.column(),
            reason: without_position(&error),
        })?;
        records.push((number, record));
    }
    if records.is_empty() {
        return Err(DataError::EmptyFile { file: source, expected: "one JSON value per line" });
    }
    Ok(records)
}

/// The message without serde's own position, whose line is always 1 here.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_string()
}

fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
