//! `metrics.jsonl`: one line per step, append-only.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, Sink};
use crate::{Error, Number};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The arm; empty for a run without arms.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arm: String,
    /// Steps done in this arm, counted from 1.
    pub step: u64,
    /// Seconds spent in this arm so far, interruptions left out.
    pub seconds: f64,
    /// The metrics that the step reported, by name.
    #[serde(flatten)]
    pub metrics: IndexMap<String, Number>,
}

/// Names that a metric cannot have, because each row has them already.
pub(crate) const RESERVED: [&str; 3] = ["arm", "step", "seconds"];

/// How long rows may wait in memory. A kill loses nothing by it (rows after the last checkpoint are written again), a person
/// who watches the file sees it late by this much.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// The file, open for appending.
pub(crate) struct MetricsLog {
    path: PathBuf,
    sink: Box<dyn Sink>,
    buffer: Vec<u8>,
    length: u64,
    flushed: Instant,
}

impl MetricsLog {
    /// Opens the file to go on after its first `length` bytes; what comes after them is dropped.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, length: u64) -> Result<MetricsLog, Error> {
        if path.exists() {
            let present = fs::metadata(path).map_err(|e| Error::disk(path, "look at", e))?.len();
            if present < length {
                return Err(Error::corrupt(
                    path,
                    format!(
                        "it has {present} bytes, but the checkpoint was made when it had {length}; lines are missing"
                    ),
                ));
            }
            let file = OpenOptions::new()
                .write(true)
                .open(path)
                .map_err(|e| Error::disk(path, "open", e))?;
            file.set_len(length).map_err(|e| Error::disk(path, "truncate", e))?;
        } else if length > 0 {
            return Err(Error::corrupt(
                path,
                format!("it is gone, but the checkpoint was made when it had {length} bytes"),
            ));
        }
        let sink = disk.append(path).map_err(|e| Error::disk(path, "open", e))?;
        Ok(MetricsLog {
            path: path.to_owned(),
            sink,
            buffer: Vec::new(),
            length,
            flushed: Instant::now(),
        })
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &Row) -> Result<(), Error> {
        let before = self.buffer.len();
        serde_json::to_writer(&mut self.buffer, row).map_err(Error::other)?;
        self.buffer.push(b'\n');
        self.length += (self.buffer.len() - before) as u64;
        if self.flushed.elapsed() > FLUSH_EVERY || self.buffer.len() > 1 << 16 {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Hands all rows to the system.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.flushed = Instant::now();
        let buffer = std::mem::take(&mut self.buffer);
        self.sink.write_all(&buffer).map_err(|e| Error::disk(&self.path, "write", e))
    }

    /// Brings all rows to the disk; returns the length of the file.
    pub(crate) fn sync(&mut self) -> Result<u64, Error> {
        self.flush()?;
        self.sink.sync().map_err(|e| Error::disk(&self.path, "write", e))?;
        Ok(self.length)
    }
}

/// The rows of a file. A last line without its end (a run killed while writing, or writing now) is left out; any other line that
/// cannot be read is an error with its number.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>, Error> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::disk(path, "read", error)),
    };
    let mut reader = BufReader::new(file);
    let mut rows = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let count =
            reader.read_until(b'\n', &mut line).map_err(|e| Error::disk(path, "read", e))?;
        if count == 0 || line.last() != Some(&b'\n') {
            break;
        }
        let row = serde_json::from_slice(&line).map_err(|error| {
            Error::corrupt(path, format!("line {number} is not a row of metrics: {error}"))
        })?;
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FileSystem;

    fn row(step: u64) -> Row {
        Row {
            arm: "sgd".into(),
            step,
            seconds: 0.5,
            metrics: IndexMap::from([("loss".into(), Number(1.0 / step as f64))]),
        }
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_rows_after_the_checkpoint_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&FileSystem, &path, 0).unwrap();
        log.push(&row(1)).unwrap();
        let length = log.sync().unwrap();
        log.push(&row(2)).unwrap();
        log.flush().unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"arm\":\"sgd\",\"st").unwrap();
        assert_eq!(read(&path).unwrap(), [row(1), row(2)]);

        let mut log = MetricsLog::open(&FileSystem, &path, length).unwrap();
        log.push(&row(3)).unwrap();
        log.flush().unwrap();
        assert_eq!(read(&path).unwrap(), [row(1), row(3)]);
    }

    #[test]
    fn a_broken_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":1,\"seconds\":0.0}\nnonsense\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl: line 2 is not a row of metrics"), "{error}");
        let error = MetricsLog::open(&FileSystem, &path, 1000).err().unwrap().to_string();
        assert!(error.contains("lines are missing"), "{error}");
    }

    #[test]
    fn numbers_that_are_not_finite_are_kept() {
        let mut odd = row(1);
        odd.metrics.insert("a".into(), Number(f64::INFINITY));
        odd.metrics.insert("b".into(), Number(f64::NAN));
        let text = serde_json::to_string(&odd).unwrap();
        assert_eq!(text, r#"{"arm":"sgd","step":1,"seconds":0.5,"loss":1.0,"a":"inf","b":null}"#);
        let back: Row = serde_json::from_str(&text).unwrap();
        assert_eq!(back.metrics["a"].0, f64::INFINITY);
        assert!(back.metrics["b"].0.is_nan());
    }
}
