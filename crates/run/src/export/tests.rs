use std::fs;

use super::*;

fn run() -> (tempfile::TempDir, RunFolder) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("recipe.toml"), "").unwrap();
    let rows = "{\"arm\":\"sgd\",\"step\":1,\"seconds\":0.5,\"loss\":1.5}\n\
                {\"arm\":\"sgd\",\"step\":2,\"seconds\":1.0,\"loss\":\"inf\",\"accuracy\":0.25}\n";
    fs::write(folder.path().join("metrics.jsonl"), rows).unwrap();
    let run = RunFolder::open(folder.path()).unwrap();
    (folder, run)
}

#[test]
fn csv_has_a_column_for_each_metric() {
    let (folder, run) = run();
    let path = folder.path().join("metrics.csv");
    csv(&run, &path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "arm,step,seconds,loss,accuracy\nsgd,1,0.5,1.5,\nsgd,2,1,inf,0.25\n");
    let error = csv(&run, &folder.path().join("no/such.csv")).unwrap_err().to_string();
    assert!(error.contains("such.csv: could not write"), "{error}");
}

#[test]
fn tensorboard_records_are_whole() {
    let (folder, run) = run();
    tensorboard(&run, &folder.path().join("events")).unwrap();
    let bytes = fs::read(folder.path().join("events/sgd/events.out.tfevents.0.lisse")).unwrap();
    let mut rest = bytes.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        records.push(&rest[12..12 + length]);
        rest = &rest[16 + length..];
    }
    assert_eq!(records.len(), 3);
    assert!(records[0].ends_with(b"brain.Event:2"));
    // wall time 0.5, step 1, summary { value { tag "loss", simple value 1.5 } }
    let expected = [&[0x09][..], &0.5f64.to_le_bytes(), &[0x10, 1, 0x2A, 13, 0x0A, 11, 0x0A, 4], b"loss", &[0x15], &1.5f32.to_le_bytes()];
    assert_eq!(records[1], expected.concat());
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_can_be_read_back() {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    let (folder, run) = run();
    let path = folder.path().join("metrics.parquet");
    parquet(&run, &path).unwrap();
    let reader = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
    let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
    assert_eq!(rows[0], r#"{arm: "sgd", step: 1, seconds: 0.5, loss: 1.5, accuracy: null}"#);
    assert_eq!(rows.len(), 2);
}
