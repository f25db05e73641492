//! Text as bytes, for models of characters.

use std::path::Path;
use std::sync::Arc;

use lisse_array::{Array, Stream};

use crate::error::DataError;
use crate::file;

/// A text as a sequence of bytes, cut into windows of tokens 0 to 255.
///
/// ```
/// use lisse_array::Stream;
/// use lisse_data::Text;
///
/// let (train, test) = Text::bundled("topics")?.train_test(0.1)?;
/// let batch = train.windows(32, 64, &Stream::new(0).at(7))?;
/// assert_eq!(batch.inputs.shape(), [32, 64]);
/// // Targets are the inputs one byte on.
/// assert_eq!(batch.inputs.to_vec::<i64>()[1..64], batch.targets.to_vec::<i64>()[..63]);
/// assert!(test.len() > 40_000);
/// # Ok::<(), lisse_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Text {
    /// Where it comes from: a bundled name or a file.
    pub name: String,
    bytes: Arc<[u8]>,
}

/// Windows of a text: what a model reads and what it should say next.
#[derive(Clone, Debug)]
pub struct Windows {
    /// Bytes, i64 `[windows, length]`.
    pub inputs: Array,
    /// The byte after each, i64 `[windows, length]`.
    pub targets: Array,
}

/// Names of the bundled texts.
pub const TEXTS: [&str; 1] = ["topics"];

impl Text {
    /// A text that ships with the program: `topics`, the help topics of Python 3.11 (467 KB of English prose, grammar and code).
    ///
    /// # Errors
    /// [`DataError::Unknown`] with the nearest name.
    pub fn bundled(name: &str) -> Result<Self, DataError> {
        if name != "topics" {
            return Err(DataError::Unknown {
                holder: "bundled data".to_string(),
                kind: "text",
                name: name.to_string(),
                known: TEXTS.map(String::from).to_vec(),
            });
        }
        let packed: &[u8] = include_bytes!("../../../data/topics.txt.gz");
        Self::from_bytes(name, &file::unpack(packed, "topics.txt.gz")?)
    }

    /// The text of a file, gzipped or not.
    ///
    /// # Errors
    /// A file that cannot be read or is empty.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let bytes = file::read(path)?;
        let source = path.display().to_string();
        Self::from_bytes(&source, &file::unpack(&bytes, &source)?)
    }

    /// The text of these bytes.
    ///
    /// # Errors
    /// No bytes.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, DataError> {
        if bytes.is_empty() {
            return Err(DataError::EmptyFile { file: name.to_string(), expected: "some text" });
        }
        Ok(Self { name: name.to_string(), bytes: Arc::from(bytes) })
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a text has at least one byte.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Two texts: the last `round(test_fraction * len)` bytes are held out, so no window of one overlaps with one of the other.
    ///
    /// # Errors
    /// A fraction that leaves one part empty.
    pub fn train_test(&self, test_fraction: f64) -> Result<(Self, Self), DataError> {
        let held_out = (test_fraction * self.len() as f64).round();
        if !(held_out >= 1.0 && held_out < self.len() as f64) {
            let reason = format!(
                "a test fraction of {test_fraction} leaves one part of {} bytes empty; take one between 0 and 1",
                self.len()
            );
            return Err(DataError::argument("train_test", reason));
        }
        let (train, test) = self.bytes.split_at(self.len() - held_out as usize);
        let part = |bytes: &[u8]| Self { name: self.name.clone(), bytes: Arc::from(bytes) };
        Ok((part(train), part(test)))
    }

    /// `count` windows of `length` bytes, each from a place of its own: window `i` depends only on the stream and `i`.
    ///
    /// # Errors
    /// A length of 0, or more than the text has.
    pub fn windows(
        &self,
        count: usize,
        length: usize,
        stream: &Stream,
    ) -> Result<Windows, DataError> {
        let places = self.places(length)?;
        let starts = (0..count).map(|i| stream.below_at(i as u64, places) as usize);
        Ok(self.windows_at(starts, length))
    }

    /// `count` windows of `length` bytes, evenly spread over the text: the same every time.
    ///
    /// # Errors
    /// A length of 0, or more than the text has.
    pub fn spread_windows(&self, count: usize, length: usize) -> Result<Windows, DataError> {
        let last = self.places(length)? as usize - 1;
        let gaps = count.saturating_sub(1).max(1);
        Ok(self.windows_at((0..count).map(|i| i * last / gaps), length))
    }

    /// Places at which a window and the byte after it can start.
    fn places(&self, length: usize) -> Result<u64, DataError> {
        if length == 0 || length >= self.len() {
            let reason = format!(
                "a window of {length} bytes and one more does not fit a text of {}; take at least 1 and at most {}",
                self.len(),
                self.len() - 1
            );
            return Err(DataError::argument("windows", reason));
        }
        Ok((self.len() - length) as u64)
    }

    fn windows_at(&self, starts: impl Iterator<Item = usize>, length: usize) -> Windows {
        let (mut inputs, mut targets, mut count) = (Vec::new(), Vec::new(), 0);
        for start in starts {
            let window = &self.bytes[start..=start + length];
            inputs.extend(window[..length].iter().map(|&b| i64::from(b)));
            targets.extend(window[1..].iter().map(|&b| i64::from(b)));
            count += 1;
        }
        let shape = [count, length];
        Windows {
            inputs: Array::from_vec(inputs, &shape),
            targets: Array::from_vec(targets, &shape),
        }
    }
}

impl Windows {
    /// Windows `range` of these.
    #[must_use]
    pub fn part(&self, range: std::ops::Range<usize>) -> Self {
        let rows = |a: &Array| a.narrow(0, range.start, range.len());
        Self { inputs: rows(&self.inputs), targets: rows(&self.targets) }
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.inputs.dim(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_text_is_python_help() {
        let text = Text::bundled("topics").unwrap();
        assert_eq!(text.len(), 467_254);
        assert!(text.bytes().starts_with(b"The \"assert\" statement\n"));
        let message = Text::bundled("topic").unwrap_err().to_string();
        assert_eq!(message, "bundled data: no text `topic`; did you mean `topics`?");
    }

    #[test]
    fn windows_stay_inside_and_targets_are_one_on() {
        let text = Text::from_bytes("abc", b"abcdefghij").unwrap();
        let all = text.spread_windows(8, 3).unwrap();
        assert_eq!(all.inputs.to_vec::<i64>()[..3], [97, 98, 99]);
        assert_eq!(all.targets.to_vec::<i64>()[21..], [104, 105, 106]);
        let drawn = text.windows(500, 9, &Stream::new(1)).unwrap();
        assert_eq!(drawn.len(), 500);
        // Only one place fits: all windows are the same.
        assert_eq!(drawn.part(499..500).targets.to_vec::<i64>()[8], 106);
        let few = text.windows(3, 4, &Stream::new(2)).unwrap();
        let more = text.windows(5, 4, &Stream::new(2)).unwrap();
        assert_eq!(more.part(0..3).inputs.to_vec::<i64>(), few.inputs.to_vec::<i64>());
    }

    #[test]
    fn wrong_sizes_are_named() {
        let text = Text::from_bytes("abc", b"abcdefghij").unwrap();
        assert!(Text::from_bytes("empty", b"").is_err());
        for fraction in [0.0, 1.0, -0.5, f64::NAN, 0.01] {
            let message = text.train_test(fraction).unwrap_err().to_string();
            assert!(message.contains("take one between 0 and 1"), "{message}");
        }
        let message = text.windows(1, 10, &Stream::new(0)).unwrap_err().to_string();
        assert!(message.contains("at least 1 and at most 9"), "{message}");
        assert!(text.spread_windows(1, 0).is_err());
    }
}
