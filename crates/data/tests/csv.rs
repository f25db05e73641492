//! Comma-separated text: kinds, missing values and what is said of bad files.

use std::io::Write;

use lisse_data::{Column, CsvOptions, DataError, Dataset, Kind, Missing, Table};

fn read(text: &str, options: &CsvOptions) -> Result<Table, DataError> {
    Table::from_csv_bytes(text.as_bytes(), "t.csv", options)
}

fn plain(text: &str) -> Result<Table, DataError> {
    read(text, &CsvOptions::default())
}

fn message<T>(result: Result<T, DataError>) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string(),
    }
}

fn with_missing(missing: Missing) -> CsvOptions {
    CsvOptions { missing, ..CsvOptions::default() }
}

#[test]
fn kinds_are_the_narrowest_that_fit() {
    let table = plain("a,b,c,d\n1,2,x,1e3\n-5,2.5,3, inf_\n").unwrap();
    assert_eq!(table.column("a").unwrap(), &Column::Integer(vec![1, -5]));
    assert_eq!(table.column("b").unwrap(), &Column::Number(vec![2.0, 2.5]));
    assert_eq!(table.column("c").unwrap().kind(), Kind::Text);
    assert_eq!(table.texts("d").unwrap()[1].as_deref(), Some("inf_"));
    assert_eq!(table.to_array(&["a", "b"]).unwrap().to_vec::<f64>(), [1.0, 2.0, -5.0, 2.5]);
}

#[test]
fn declared_kinds_win_and_are_checked() {
    let mut options = CsvOptions { kinds: vec![("zip".into(), Kind::Text)], ..Default::default() };
    let table = read("zip,n\n007,1\n100,2\n", &options).unwrap();
    assert_eq!(table.texts("zip").unwrap()[0].as_deref(), Some("007"));

    options.kinds = vec![("n".into(), Kind::Integer)];
    assert_eq!(
        message(read("zip,n\n1,2\n3,4.5\n", &options)),
        "t.csv: line 3, column 2 (`n`): expected a whole number, found `4.5`"
    );
    options.kinds = vec![("n".into(), Kind::Number)];
    assert_eq!(
        message(read("zip,n\n1,2\n3,abc\n", &options)),
        "t.csv: line 3, column 2 (`n`): expected a number, found `abc`"
    );
    options.kinds = vec![("nn".into(), Kind::Number)];
    assert_eq!(message(read("zip,n\n1,2\n", &options)), "t.csv: no column `nn`; there are zip, n");
}

#[test]
fn a_text_cell_among_numbers_is_found_when_numbers_are_asked_for() {
    let table = plain("x,y\n1,2\n1,2\n1,2o\n").unwrap();
    assert_eq!(
        message(table.numbers("y")),
        "t.csv: line 4, column 2 (`y`): expected a number, found `2o`"
    );
    assert_eq!(
        message(Dataset::regression(&table, "x")),
        "t.csv: line 4, column 2 (`y`): expected a number, found `2o`"
    );
    assert_eq!(
        message(table.integers("y")),
        "t.csv: line 4, column 2 (`y`): expected a whole number, found `2o`"
    );
    assert_eq!(
        message(table.texts("x")),
        "Table::texts: column `x` of t.csv holds numbers; declare it as `Kind::Text` when reading"
    );
}

#[test]
fn numbers_with_a_fraction_are_no_whole_numbers() {
    let table = plain("x\n1.0\n2.5\n").unwrap();
    assert_eq!(
        message(table.integers("x")),
        "t.csv: line 3, column 1 (`x`): expected a whole number, found `2.5`"
    );
}

#[test]
fn missing_values_are_refused_dropped_or_kept() {
    let text = "x,y,z\n1,2,a\n,3,b\n4,NA,\n5,6,d\n";
    assert_eq!(
        message(plain(text)),
        "t.csv: line 3, column 1 (`x`): missing value; drop such rows with `Missing::DropRows` or keep them with `Missing::Keep`"
    );
    let dropped = read(text, &with_missing(Missing::DropRows)).unwrap();
    assert_eq!(dropped.integers("x").unwrap(), [1, 5]);
    assert_eq!(dropped.rows(), 2);
    let kept = read(text, &with_missing(Missing::Keep)).unwrap();
    assert!(kept.numbers("x").unwrap()[1].is_nan());
    assert_eq!(kept.texts("z").unwrap()[2], None);
    assert_eq!(
        message(kept.categories("z")),
        "t.csv: line 4, column 3 (`z`): missing value; drop such rows with `Missing::DropRows` or keep them with `Missing::Keep`"
    );
    assert_eq!(
        message(Dataset::regression(
            &read("x,y\n1,\n2,3\n", &with_missing(Missing::Keep)).unwrap(),
            "x"
        )),
        "t.csv: row 1, column 1 (`y`): NaN; drop such rows with `Missing::DropRows` or keep them with `Missing::Keep`"
    );
}

#[test]
fn nan_and_infinity_are_found_with_line_and_column() {
    assert_eq!(
        message(plain("x,y\n1,0.5\n2,NaN\n")),
        "t.csv: line 3, column 2 (`y`): NaN or missing value; drop such rows with `Missing::DropRows` or keep them with `Missing::Keep`"
    );
    assert_eq!(
        message(plain("x,y\n1,0.5\n2,-inf\n")),
        "t.csv: line 3, column 2 (`y`): infinite value `-inf`; drop such rows with `Missing::DropRows` or keep them with `Missing::Keep`"
    );
    let kept = read("y\n1\n-inf\n", &with_missing(Missing::Keep)).unwrap();
    assert_eq!(kept.numbers("y").unwrap(), [1.0, f64::NEG_INFINITY]);
}

#[test]
fn files_without_rows_are_refused() {
    let empty = "t.csv: the file is empty; expected a header line and at least one row";
    assert_eq!(message(plain("")), empty);
    assert_eq!(message(plain(" \n\n")), empty);
    assert_eq!(message(plain("x,y\n")), "t.csv: no rows; expected at least one");
    assert_eq!(
        message(read("x,y\n1,\n,2\n", &with_missing(Missing::DropRows))),
        "t.csv: no rows; expected at least one (2 rows with missing values were dropped)"
    );
}

#[test]
fn ragged_rows_are_found_whatever_the_line_ends() {
    for end in ["\n", "\r\n"] {
        let text = ["x,y", "1,2", "", "", "1,2,3", ""].join(end);
        assert_eq!(message(plain(&text)), "t.csv: line 5: 3 cells where the header has 2");
    }
    let quoted = "x,y\n\"two\nlines\",2\n1\n";
    assert_eq!(message(plain(quoted)), "t.csv: line 4: 1 cells where the header has 2");
}

#[test]
fn names_are_checked() {
    assert_eq!(
        message(plain("age,x,age\n1,2,3\n")),
        "t.csv: columns 1 and 3 are both named `age`; names must differ"
    );
    let table = plain("age,weight\n1,2\n").unwrap();
    assert_eq!(
        message(table.numbers("wieght")),
        "t.csv: no column `wieght`; did you mean `weight`?"
    );
    assert_eq!(message(table.numbers("zzz")), "t.csv: no column `zzz`; there are age, weight");
    assert_eq!(
        message(Dataset::classification(&table.select(&[0]), "ages")),
        "t.csv: no column `ages`; did you mean `age`?"
    );
    let single = plain("age\n1\n").unwrap();
    assert_eq!(
        message(Dataset::regression(&single, "age")),
        "Dataset: t.csv has no column besides the target `age`"
    );
}

#[test]
fn other_delimiters_and_no_header() {
    let options = CsvOptions { delimiter: b';', header: false, ..Default::default() };
    let table = read("1;2,5\n3;4,5\n", &options).unwrap();
    assert_eq!(table.names(), ["column_1", "column_2"]);
    assert_eq!(table.integers("column_1").unwrap(), [1, 3]);
    assert_eq!(
        message(table.numbers("column_2")),
        "t.csv: line 1, column 2 (`column_2`): expected a number, found `2,5`"
    );
}

#[test]
fn text_that_is_not_utf8_is_found() {
    let bytes = b"x,y\n1,2\n1,\xff\n";
    assert_eq!(
        message(Table::from_csv_bytes(bytes, "t.csv", &CsvOptions::default())),
        "t.csv: line 3, column 2: not UTF-8 text; save the file as UTF-8"
    );
}

#[test]
fn categories_are_ranked() {
    let table = plain("c,n\nwet,10\ndry,2\nwet,2\n").unwrap();
    assert_eq!(table.categories("c").unwrap(), (vec![1, 0, 1], vec!["dry".into(), "wet".into()]));
    // Whole numbers in the order of numbers, not of text.
    assert_eq!(table.categories("n").unwrap(), (vec![1, 0, 0], vec!["2".into(), "10".into()]));
}

#[test]
fn columns_made_elsewhere_are_checked() {
    let number = |values: &[f64]| Column::Number(values.to_vec());
    let uneven = vec![("a".into(), number(&[1.0])), ("b".into(), number(&[1.0, 2.0]))];
    assert_eq!(
        message(Table::from_columns("made", uneven, Missing::Refuse)),
        "Table::from_columns: column `b` has 2 values where `a` has 1; all must be equally long"
    );
    let flawed = vec![("a".to_string(), number(&[1.0, f64::NAN]))];
    assert_eq!(
        message(Table::from_columns("made", flawed.clone(), Missing::Refuse)),
        "made: row 2, column 1 (`a`): NaN or missing value; drop such rows with `Missing::DropRows` or keep them with `Missing::Keep`"
    );
    assert_eq!(Table::from_columns("made", flawed, Missing::DropRows).unwrap().rows(), 1);
    assert_eq!(
        message(Table::from_columns("made", Vec::new(), Missing::Keep)),
        "made: no rows; expected at least one"
    );
}

#[test]
fn files_are_named_in_messages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.csv");
    let text = message(Table::from_csv(&path));
    assert!(text.starts_with(&format!("cannot read `{}`: ", path.display())), "{text}");

    let path = folder.path().join("cut.csv.gz");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(b"x\n1\n2\n").unwrap();
    let packed = packer.finish().unwrap();
    std::fs::write(&path, &packed).unwrap();
    assert_eq!(Table::from_csv(&path).unwrap().integers("x").unwrap(), [1, 2]);
    std::fs::write(&path, &packed[..packed.len() - 9]).unwrap();
    let text = message(Table::from_csv(&path));
    let start = format!("{}: damaged or cut short gzip data (", path.display());
    assert!(text.starts_with(&start), "{text}");
}
