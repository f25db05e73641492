//! Parquet tables.
#![cfg(feature = "parquet")]

use std::path::{Path, PathBuf};

use lisse_data::{Column, DataError, Kind, Missing, Table};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn message<T>(result: Result<T, DataError>, path: &Path) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string().replace(&path.display().to_string(), "FILE"),
    }
}

#[test]
fn plain_columns_read_as_pyarrow_wrote_them() {
    for name in ["people.parquet", "people_zstd.parquet"] {
        let table = Table::from_parquet(golden(name), Missing::Keep).unwrap();
        assert_eq!(table.names(), ["height", "count", "gap", "name", "member", "weight"]);
        assert_eq!(table.integers("count").unwrap(), [3, 4, 5]);
        assert_eq!(table.integers("member").unwrap(), [1, 0, 1]);
        assert_eq!(table.column("weight").unwrap(), &Column::Number(vec![0.5, 0.25, 1.0]));
        assert_eq!(table.column("gap").unwrap().kind(), Kind::Number);
        assert!(table.numbers("gap").unwrap()[0].is_nan());
        assert!(table.numbers("height").unwrap()[1].is_nan());
        let names = table.texts("name").unwrap();
        assert_eq!((names[1].as_deref(), &names[2]), (Some("bob"), &None));
    }
}

#[test]
fn nulls_follow_the_policy() {
    let path = golden("people.parquet");
    assert_eq!(
        message(Table::from_parquet(&path, Missing::Refuse), &path),
        "FILE: row 1, column 3 (`gap`): missing value; drop such rows with `Missing::DropRows` or keep them with `Missing::Keep`"
    );
    assert_eq!(
        message(Table::from_parquet(&path, Missing::DropRows), &path),
        "FILE: no rows; expected at least one (3 rows with missing values were dropped)"
    );
}

#[test]
fn faults_are_named() {
    let path = golden("nested.parquet");
    assert_eq!(
        message(Table::from_parquet(&path, Missing::Refuse), &path),
        "FILE: row 1, column `tags`: `[1, 2]` is nested, binary or decimal; expected numbers, truth values or text"
    );
    let path = golden("no_rows.parquet");
    assert_eq!(
        message(Table::from_parquet(&path, Missing::Refuse), &path),
        "FILE: no rows; expected at least one"
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.parquet");
    let bytes = std::fs::read(golden("people.parquet")).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    let text = message(Table::from_parquet(&path, Missing::Refuse), &path);
    assert!(text.starts_with("FILE: not a whole Parquet file, cut short or damaged ("), "{text}");
}
