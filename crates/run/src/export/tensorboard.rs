//! TensorBoard event files: records of a length, its checksum, a protocol buffer and its checksum.
//!
//! Written here rather than through a crate: the format is these sixty lines, and the crates for it bring protocol buffers, image
//! codecs and their own ideas of files.

use std::fs;
use std::path::Path;

use indexmap::IndexMap;

use super::crc32c::crc32c;
use crate::{Error, Row, RunFolder};

/// Writes the metrics as TensorBoard event files into `folder`, one subfolder for each arm. Open with `tensorboard --logdir`.
pub fn tensorboard(run: &RunFolder, folder: &Path) -> Result<(), Error> {
    let mut arms: IndexMap<String, Vec<Row>> = IndexMap::new();
    for row in run.rows()? {
        arms.entry(row.arm.clone()).or_default().push(row);
    }
    for (arm, rows) in &arms {
        let folder = if arm.is_empty() { folder.to_owned() } else { folder.join(crate::exhibit::file_name(arm)) };
        fs::create_dir_all(&folder).map_err(|e| Error::disk(&folder, "make this folder", e))?;
        // TensorBoard looks for `tfevents` in the name; the rest is free.
        let path = folder.join("events.out.tfevents.0.lisse");
        fs::write(&path, events(rows)).map_err(|e| Error::disk(&path, "write", e))?;
    }
    Ok(())
}

fn events(rows: &[Row]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut version = Vec::new();
    field_double(&mut version, 1, 0.0);
    field_bytes(&mut version, 3, b"brain.Event:2");
    record(&mut file, &version);
    for row in rows {
        let mut summary = Vec::new();
        for (name, value) in &row.metrics {
            let mut scalar = Vec::new();
            field_bytes(&mut scalar, 1, name.as_bytes());
            // simple_value = 2, four bytes.
            scalar.push(2 << 3 | 5);
            scalar.extend((value.0 as f32).to_le_bytes());
            field_bytes(&mut summary, 1, &scalar);
        }
        let mut event = Vec::new();
        field_double(&mut event, 1, row.seconds);
        event.push(2 << 3);
        varint(&mut event, row.step);
        field_bytes(&mut event, 5, &summary);
        record(&mut file, &event);
    }
    file
}

fn record(file: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked(&length).to_le_bytes());
    file.extend(data);
    file.extend(masked(data).to_le_bytes());
}

/// Checksums of checksums are weak, so the format rotates and shifts them.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn field_double(out: &mut Vec<u8>, number: u8, value: f64) {
    out.push(number << 3 | 1);
    out.extend(value.to_le_bytes());
}
