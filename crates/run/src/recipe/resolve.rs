//! Writing a recipe with everything that was left to defaults and the command line filled in.

use serde::Serialize;
use toml::{Table, Value};

use super::Head;
use crate::Error;
use crate::kind::Arm;

/// The whole recipe as TOML. What all arms share stands once, at the top; reading it again gives the same arms.
pub(crate) fn resolved_text<T: Serialize>(head: &Head, arms: &[Arm<T>]) -> Result<String, Error> {
    let write = |problem: toml::ser::Error| {
        Error::message(format!("the recipe cannot be written: {problem}"))
    };
    let mut root = Table::try_from(head).map_err(write)?;
    root.retain(|_, value| !is_empty(value));
    let tables = arms
        .iter()
        .map(|arm| Table::try_from(&arm.config))
        .collect::<Result<Vec<_>, _>>()
        .map_err(write)?;
    let shared = shared_part(&tables);
    root.extend(shared.clone());
    let overlays = arms
        .iter()
        .zip(&tables)
        .map(|(arm, table)| (arm.name.clone(), Value::Table(own_part(table, &shared))));
    let overlays: Table = overlays.filter(|(name, _)| !name.is_empty()).collect();
    if !overlays.is_empty() {
        root.insert("arms".into(), Value::Table(overlays));
    }
    toml::to_string(&values_first(root)).map_err(write)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Keys with equal values in all tables, at any depth.
fn shared_part(tables: &[Table]) -> Table {
    let Some((first, others)) = tables.split_first() else { return Table::new() };
    let mut shared = Table::new();
    for (key, value) in first {
        let Some(rest) = others.iter().map(|table| table.get(key)).collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        if rest.iter().all(|other| *other == value) {
            shared.insert(key.clone(), value.clone());
            continue;
        }
        let below: Option<Vec<Table>> =
            std::iter::once(value).chain(rest).map(|value| value.as_table().cloned()).collect();
        if let Some(below) =
            below.map(|tables| shared_part(&tables)).filter(|below| !below.is_empty())
        {
            shared.insert(key.clone(), Value::Table(below));
        }
    }
    shared
}

/// What `table` has besides `shared`.
fn own_part(table: &Table, shared: &Table) -> Table {
    let mut own = Table::new();
    for (key, value) in table {
        match (value, shared.get(key)) {
            (value, Some(other)) if value == other => {}
            (Value::Table(value), Some(Value::Table(other))) => {
                own.insert(key.clone(), Value::Table(own_part(value, other)));
            }
            _ => {
                own.insert(key.clone(), value.clone());
            }
        }
    }
    own
}

/// In TOML the plain values of a table stand before its tables.
fn values_first(table: Table) -> Table {
    let is_table = |value: &Value| {
        value.is_table()
            || value
                .as_array()
                .is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_table))
    };
    let (tables, plain): (Vec<_>, Vec<_>) =
        table.into_iter().partition(|(_, value)| is_table(value));
    let below = |value| match value {
        Value::Table(table) => Value::Table(values_first(table)),
        other => other,
    };
    plain.into_iter().chain(tables.into_iter().map(|(key, value)| (key, below(value)))).collect()
}
