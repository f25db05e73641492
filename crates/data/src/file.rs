//! Reading whole files, gzipped or not.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::DataError;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(DataError::io(path))
}

/// The bytes themselves, or what they hold if they are gzip.
pub(crate) fn unpack<'a>(bytes: &'a [u8], source: &str) -> Result<Cow<'a, [u8]>, DataError> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut unpacked).map_err(|error| {
        DataError::format(source, format!("damaged or cut short gzip data ({error})"))
    })?;
    Ok(Cow::Owned(unpacked))
}
